"""Devices: where the bytes of swapped pages live.

A `FileDevice` is a real sparse file, read with ``os.pread`` and written with ``os.pwrite``; a `MemoryDevice` is a
dictionary of pages, addressable up to 128 TiB and as large as what was written to it. One call of `Device.read`,
`Device.write` or `Device.discard` is one request, whatever its length. Any of them can be made to fail with a `Fault`.

Page 0 holds the header (`swap_header`), and nothing else ever.

>>> device = MemoryDevice("64M", bad_pages=[5])
>>> header = read_header(device)
>>> header.last_page, header.bad_pages
(16383, (5,))
>>> device.write(7, b"swapped".ljust(4096, b"."))
>>> device.read(7)[:7], device.writes, device.pages_written
(b'swapped', 1, 1)
>>> device.inject(Fault("read", "EIO", nth=2))
>>> len(device.read(7))
4096
>>> device.read(7)
Traceback (most recent call last):
...
vswaplab.errors.DeviceIOError: Reading page 7 of memory failed with EIO, as injected.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from vswaplab.backends.block_device import (
    MAX_DEVICE_PAGES,
    Bytes,
    Device,
    Fault,
    check_pages,
    mkswap,
    read_header,
)
from vswaplab.backends.swap_header import SwapHeader
from vswaplab.errors import Busy, DeviceIOError, InvalidArgument, NoSpace, NotFound, NotPermitted, SwapError, error_for
from vswaplab.strict import flag, path_of
from vswaplab.units import PAGE_SIZE, ZERO_PAGE, format_size, pages_of

__all__ = [
    "MAX_DEVICE_PAGES",
    "Device",
    "Fault",
    "FileDevice",
    "MemoryDevice",
    "SwapHeader",
    "mkswap",
    "read_header",
]

_ZERO_CHUNK = 256
_FALLOC_PUNCH_HOLE: Final = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class MemoryDevice(Device):
    """Memory as a device: a dictionary of the pages that were written, so that its size costs nothing.

    `size` in bytes or text. It gets a header at once. It stands for a partition of a disk, which must be waited for,
    or with `synchronous` for a RAM disk, which need not.
    """

    def __init__(
        self, size: int | str, *, label: str = "", bad_pages: Iterable[int] = (), synchronous: bool = False
    ) -> None:
        super().__init__(pages_of(size))
        self.synchronous = flag(synchronous, "synchronous")
        self._pages: dict[int, bytes] = {}
        mkswap(self, label=label, bad_pages=bad_pages)

    @property
    def resident_pages(self) -> int:
        """Pages that take memory, the header among them."""
        return len(self._pages)

    def _read(self, page: int, nr: int) -> bytes:
        if nr == 1:
            return self._pages.get(page, ZERO_PAGE)
        return b"".join([self._pages.get(at, ZERO_PAGE) for at in range(page, page + nr)])

    def _write(self, page: int, data: Bytes) -> None:
        if len(data) == PAGE_SIZE:
            self._pages[page] = bytes(data)
            return
        view = memoryview(data)
        for start in range(0, len(view), PAGE_SIZE):
            part = bytes(view[start : start + PAGE_SIZE])
            self._pages[page] = part + self._pages.get(page, ZERO_PAGE)[len(part) :]
            page += 1

    def _discard(self, page: int, nr: int) -> None:
        pages = self._pages
        for at in range(page, page + nr) if nr <= len(pages) else [at for at in pages if page <= at < page + nr]:
            pages.pop(at, None)


class FileDevice(Device):
    """A sparse file as a device, held by an exclusive lock until it is closed.

    A file that is missing is made (`create`), an empty one extended to `size`, and both get a header. A file that is
    swap already keeps its header; it grows when `size` is more than it has, and `size` None takes it as it is.

    InvalidArgument: the file holds something else, is no regular file, or is larger than `size`. NotFound: no such file
    or folder. Busy: another device holds it. NotPermitted: no right to it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: int | str | None = None,
        create: bool = True,
        *,
        label: str = "",
        bad_pages: Iterable[int] = (),
    ) -> None:
        wanted = None if size is None else check_pages(pages_of(size))
        self.path = str(path_of(path, "A swapfile").absolute())
        self._fd = -1
        self._made = False
        self._found: tuple[int, bytes] | None = None
        """Size and header of a file that was there, if this device has changed them."""
        try:
            self._made = not Path(self.path).exists()
            self._fd = self._open(create and wanted is not None)
            self._prepare(wanted, label, bad_pages)
            self._probe_discard()
        except BaseException as error:
            self.undo()
            if isinstance(error, OSError) and not isinstance(error, SwapError):
                raise self._explain(error) from error
            raise

    def _open(self, create: bool) -> int:
        path = Path(self.name)
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise InvalidArgument(f"{path} is {kind}; give the name of a file.")
        if not path.parent.is_dir():
            raise NotFound(f"There is no folder {path.parent} to hold {path.name}; make it, or give another path.")
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        if not _lock(fd):
            os.close(fd)
            raise Busy(f"{path} is in use by another device; swap that off and close it, or give another path.")
        return fd

    def _prepare(self, wanted: int | None, label: str, bad_pages: Iterable[int]) -> None:
        """Size the file and see to its header."""
        self._status = os.fstat(self._fd)
        size = self._status.st_size
        if not size:
            if wanted is None:
                raise InvalidArgument(f"{self.path} is empty; give the size that the swapfile is to have.")
            super().__init__(wanted)
            self._extend(0)
            mkswap(self, label=label, bad_pages=bad_pages)
            return
        if size < 2 * PAGE_SIZE:
            raise InvalidArgument(f"{self.path} is not a swap file; it has {size} bytes; give another path.")
        pages = size // PAGE_SIZE
        if wanted is not None and wanted < pages:
            raise InvalidArgument(
                f"{self.path} is {format_size(size)}, larger than the size asked for; ask for that, or delete the file."
            )
        super().__init__(wanted or pages)
        header = read_header(self)
        if self.pages > pages:
            self._extend(size)
            mkswap(self, label=header.label, bad_pages=header.bad_pages, uuid=header.uuid)

    def _extend(self, size: int) -> None:
        """Make a file of `size` bytes as large as the device is to be; what was there can be had back by `undo`."""
        self._found = size, os.pread(self._fd, PAGE_SIZE, 0)
        os.ftruncate(self._fd, self.pages * PAGE_SIZE)

    def _probe_discard(self) -> None:
        # A hole beyond the end changes nothing, and tells whether the file system has holes to punch.
        with suppress(OSError):
            self.discard_supported = _punch_hole(self._fd, self.pages * PAGE_SIZE, PAGE_SIZE)

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor number of the block device that the file system is on."""
        return os.major(self._status.st_dev), os.minor(self._status.st_dev)

    def shares_file(self, other: Device) -> bool:
        """Whether both have their bytes in one file, by whatever path."""
        return self.is_file(other._status) if isinstance(other, FileDevice) else super().shares_file(other)

    def is_file(self, status: os.stat_result) -> bool:
        """Whether `status` is of the file that is open here: by a link, too, or when its name is another's by now."""
        return os.path.samestat(self._status, status)

    def undo(self) -> None:
        """Close the file and leave it as it was found: one that this device made goes, one that it extended is cut."""
        if self._fd >= 0:
            with suppress(OSError):
                if self._made:
                    Path(os.path.realpath(self.name)).unlink()
                elif self._found is not None:
                    size, header = self._found
                    os.ftruncate(self._fd, size)
                    os.pwrite(self._fd, header, 0)
        self.close()

    def close(self) -> None:
        """Close the file, which gives up its lock; closing twice is harmless."""
        self._end = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    def _read(self, page: int, nr: int) -> bytes:
        left, at = nr * PAGE_SIZE, page * PAGE_SIZE
        parts = []
        while left:
            part = os.pread(self._fd, left, at)
            if not part:
                raise self._cut_short(page + nr - 1)
            parts.append(part)
            left -= len(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _write(self, page: int, data: Bytes) -> None:
        view, at = memoryview(data), page * PAGE_SIZE
        # A write would make the file longer again, and what was cut off before it would then read as zeros.
        if at + len(view) > os.lseek(self._fd, 0, os.SEEK_END):
            raise self._cut_short(page + -(-len(view) // PAGE_SIZE) - 1)
        while view:
            done = os.pwrite(self._fd, view, at)
            view = view[done:]
            at += done

    def _cut_short(self, page: int) -> DeviceIOError:
        return DeviceIOError(
            f"{self.path} ends before page {page}; it was cut short while in use: give it back its size, or free the "
            "pages that it had."
        )

    def _discard(self, page: int, nr: int) -> None:
        if self.discard_supported and _punch_hole(self._fd, page * PAGE_SIZE, nr * PAGE_SIZE):
            return
        self.discard_supported = False
        for start in range(page, page + nr, _ZERO_CHUNK):
            self._write(start, bytes(min(_ZERO_CHUNK, page + nr - start) * PAGE_SIZE))

    def _explain(self, error: OSError) -> SwapError:
        """Return the swap error for one of the system's, met in opening the file."""
        code = error.errno or errno.EIO
        if code in (errno.ENOSPC, errno.EDQUOT):
            return NoSpace(f"Opening {self.path} failed: the file system is full; free space, or use a smaller device.")
        if code == errno.EFBIG:
            return InvalidArgument(f"The file system can't hold {self.path} in that size; use a smaller one.")
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            return NotPermitted(f"Opening {self.path} is not permitted; choose a path you may read and write.")
        if code == errno.ENOENT:
            return NotFound(f"There is no file {self.path}; give the size that it is to be made with, or another path.")
        if code == errno.ENAMETOOLONG:
            return InvalidArgument(
                f"The path {self.path[:40] if self.path else ''!r}... is too long; give a shorter one."
            )
        if code == errno.ELOOP:
            return InvalidArgument(f"The links on the way to {self.path} lead in a circle; give another path.")
        return error_for(code, f"Opening {self.path} failed: {os.strerror(code)}; give another path.")


def _lock(fd: int) -> bool:
    """Take the file's exclusive lock; False when another device holds it."""
    for last in (False, True):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if last:
                return False
            gc.collect()  # a machine that nobody uses any more may hold it still
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            return True  # a file system without locks
        else:
            return True
    return False


def _punch_hole(fd: int, offset: int, length: int) -> bool:
    """Give the blocks of a range back to the file system; False where that can't be done."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fallocate = libc.fallocate64 if hasattr(libc, "fallocate64") else libc.fallocate
    except AttributeError:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if fallocate(fd, _FALLOC_PUNCH_HOLE, offset, length) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EOPNOTSUPP, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code))
