"""What every device does, wherever its bytes live: requests, their counts, faults, the header.

One call of `Device.read`, `Device.write` or `Device.discard` is one request, whatever its length. Any of them can be
made to fail with a `Fault`. Page 0 holds the header (`swap_header`), and nothing else ever. The devices
themselves are in `device`.

A request that fails is DeviceIOError (-EIO) or, if it is none to read, NoSpace (-ENOSPC), whatever the operating system
says beneath, as the block layer has it; the message names the device and the page.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from uuid import UUID, uuid4

from vswaplab.backends.swap_header import SwapHeader, pack_header, parse_header
from vswaplab.errors import DeviceIOError, InvalidArgument, NoSpace, SwapError, error_for
from vswaplab.units import PAGE_SIZE, format_size

__all__ = ["MAX_DEVICE_PAGES", "Bytes", "Device", "Fault", "block_device", "check_pages", "mkswap", "read_header"]

Bytes = bytes | bytearray | memoryview

MAX_DEVICE_PAGES = 1 << 35
"""128 TiB of pages."""

_RAM_DISK_MAJOR, _DISK_MAJOR, _FIRST_PARTITION = 1, 8, 2  # major numbers of brd and of sd

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Fault:
    """A failure to inject: the `nth` matching request from now on, and `times` - 1 after it, fail with `error`.

    `page` limits it to requests that touch that page. "short" transfers half of the bytes, then fails with EIO; so does
    a read with "ENOSPC", which needs no room.
    """

    op: Literal["read", "write", "discard"]
    error: Literal["EIO", "ENOSPC", "short"] = "EIO"
    nth: int = 1
    times: int = 1
    page: int | None = None

    def __post_init__(self) -> None:
        if self.op not in ("read", "write", "discard"):
            raise InvalidArgument(f"A fault hits 'read', 'write' or 'discard', not {self.op!r}.")
        if self.error not in ("EIO", "ENOSPC", "short"):
            raise InvalidArgument(f"A fault's error is 'EIO', 'ENOSPC' or 'short', not {self.error!r}.")
        if self.nth < 1 or self.times < 1:
            raise InvalidArgument("A fault counts from 1: give nth and times of at least 1.")


class Device(ABC):
    """Where the bytes of swapped pages live: page numbers to pages. Page 0 is the header's."""

    path: str | None = None
    """The file's absolute path; None when it is memory."""
    rotational: bool = False
    synchronous: bool = False
    """A request is done when the call returns, as for zram, brd and pmem: no swap cache is needed to wait in, and a
    fault reads a page that one page table entry alone refers to past it. C name: ``SWP_SYNCHRONOUS_IO``."""
    discard_supported: bool = True
    _end = 0
    """Pages that requests may reach: all, or none before the device is made and after it was closed."""

    def __init__(self, pages: int) -> None:
        self.pages = self._end = check_pages(pages)
        """Pages of the whole device, the header's among them."""
        self.reads = self.writes = self.discards = 0
        """Requests, those that failed among them."""
        self.pages_read = self.pages_written = self.pages_discarded = 0
        self.sequential_reads = self.sequential_writes = 0
        """Requests that began where the one before of their kind ended."""
        self.read_errors = self.write_errors = self.discard_errors = 0
        """Requests that failed."""
        self.last_write_error = ""
        """Why the last write that failed did; "" while none has."""
        self._read_end = self._write_end = 0
        self._armed: list[tuple[Fault, list[int]]] = []

    @property
    def name(self) -> str:
        """What messages call it: its path, or "memory"."""
        return self.path or "memory"

    @property
    def number(self) -> tuple[int, int] | None:
        """Major and minor number of the block device that the bytes are on; None when it is memory."""
        return None

    @property
    def errors(self) -> int:
        """Requests of any kind that failed."""
        return self.read_errors + self.write_errors + self.discard_errors

    def read(self, page: int, nr: int = 1) -> bytes:
        """Read `nr` pages in one request and return their bytes; DeviceIOError if that fails."""
        self._check_range(page, nr)
        self.reads += 1
        self.sequential_reads += page == self._read_end
        self._read_end = page + nr
        if self._armed and (fault := self._fault("read", page, nr)):
            self.read_errors += 1
            raise self._injected("Reading", fault, page, nr)
        try:
            data = self._read(page, nr)
        except OSError as error:
            self.read_errors += 1
            raise self._failed("Reading", page, nr, error) from error
        self.pages_read += nr
        return data

    def write(self, page: int, data: Bytes) -> None:
        """Write whole pages from `page` on in one request; NoSpace or DeviceIOError if that fails."""
        nr, rest = divmod(len(data), PAGE_SIZE)
        if rest:
            raise InvalidArgument(f"A device is written in whole pages of {PAGE_SIZE} bytes, not {len(data)} bytes.")
        self._check_range(page, nr)
        self.writes += 1
        self.sequential_writes += page == self._write_end
        self._write_end = page + nr
        if self._armed and (fault := self._fault("write", page, nr)):
            if fault.error == "short":
                with suppress(OSError):
                    self._write(page, memoryview(data)[: len(data) // 2])
            raise self._write_failed(self._injected("Writing", fault, page, nr))
        try:
            self._write(page, data)
        except OSError as error:
            raise self._write_failed(self._failed("Writing", page, nr, error)) from error
        self.pages_written += nr

    def _write_failed(self, error: SwapError) -> SwapError:
        """Count a write that failed, and note why; returns the error."""
        self.write_errors += 1
        self.last_write_error = str(error)
        return error

    def discard(self, page: int, nr: int) -> None:
        """Drop the contents of `nr` pages in one request: they read as zeros and take no room."""
        self._check_range(page, nr)
        self.discards += 1
        if self._armed and (fault := self._fault("discard", page, nr)):
            self.discard_errors += 1
            if fault.error == "short" and nr > 1:
                with suppress(OSError):
                    self._discard(page, nr // 2)
            raise self._injected("Discarding", fault, page, nr)
        try:
            self._discard(page, nr)
        except OSError as error:
            self.discard_errors += 1
            raise self._failed("Discarding", page, nr, error) from error
        self.pages_discarded += nr

    def inject(self, fault: Fault) -> None:
        """Let coming requests fail as `fault` says."""
        self._armed.append((fault, [0]))

    def clear_faults(self) -> None:
        """Take back all faults that have not run out."""
        self._armed.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Faults that have not run out."""
        return tuple(fault for fault, _ in self._armed)

    def close(self) -> None:
        """Give the device back; closing twice is harmless, any other use from now on is DeviceIOError."""
        self._end = 0
        self._armed.clear()

    def undo(self) -> None:
        """Close a device that was made for nothing, and leave nothing behind that making it has made."""
        self.close()

    def shares_file(self, other: Device) -> bool:
        """Whether both have their bytes in one file."""
        return self.path is not None and self.path == other.path

    def is_file(self, status: os.stat_result) -> bool:
        """Whether the device's bytes are in the file that `status` is of, whatever path that was found by."""
        if self.path is None:
            return False
        try:
            return os.path.samestat(Path(self.path).stat(), status)
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {format_size(self.pages * PAGE_SIZE)}>"

    # What a kind of device has to know: no checks, no counts. These also carry the header, which is no request.

    @abstractmethod
    def _read(self, page: int, nr: int) -> bytes: ...

    @abstractmethod
    def _write(self, page: int, data: Bytes) -> None:
        """Write any number of bytes; what is left of the last page keeps its contents."""

    @abstractmethod
    def _discard(self, page: int, nr: int) -> None: ...

    def read_header_page(self) -> bytes:
        """Return page 0; not counted as a request, and no injected fault hits it."""
        self._require_open()
        try:
            return self._read(0, 1)
        except OSError as error:
            raise self._failed("Reading", 0, 1, error) from error

    def write_header_page(self, data: bytes) -> None:
        """Replace page 0; not counted as a request, and no injected fault hits it."""
        self._require_open()
        try:
            self._write(0, data)
        except OSError as error:
            raise self._failed("Writing", 0, 1, error) from error

    def _require_open(self) -> None:
        if not self._end:
            raise DeviceIOError(f"The device on {self.name} was closed; open it again to use it.")

    def _check_range(self, page: int, nr: int) -> None:
        if page < 1 or nr < 1 or page + nr > self._end:
            self._require_open()
            raise InvalidArgument(
                f"{nr} pages from page {page} are not on {self.name}; slots are pages 1 to {self.pages - 1}."
            )

    def _fault(self, op: str, page: int, nr: int) -> Fault | None:
        """Count a request in every armed fault and return the first that hits it."""
        hit = None
        for armed in list(self._armed):
            fault, seen = armed
            if fault.op != op or not (fault.page is None or page <= fault.page < page + nr):
                continue
            seen[0] += 1
            if seen[0] >= fault.nth:
                hit = hit or fault
                if seen[0] >= fault.nth + fault.times - 1:
                    self._armed.remove(armed)
        return hit

    def _injected(self, doing: str, fault: Fault, page: int, nr: int) -> SwapError:
        """Return the error that a fault stands for."""
        what = _pages(page, nr)
        if fault.error == "short":
            return DeviceIOError(f"{doing} {what} of {self.name} stopped half-way, as injected.")
        code = errno.ENOSPC if fault.error == "ENOSPC" and fault.op != "read" else errno.EIO
        return error_for(code, f"{doing} {what} of {self.name} failed with {fault.error}, as injected.")

    def _failed(self, doing: str, page: int, nr: int, error: OSError) -> SwapError:
        """Return the error of a request for one of the system's: no room to write is -ENOSPC, everything else -EIO."""
        full = error.errno in _FULL and doing != "Reading"
        if isinstance(error, DeviceIOError) or (full and isinstance(error, NoSpace)):
            return error
        what = f"{doing} {_pages(page, nr)} of {self.name} failed"
        if full:
            why = "the file system is full or lets no file be so large"
            return NoSpace(f"{what}: {why}; free space, then try again.")
        why = os.strerror(error.errno) if error.errno else str(error)
        return DeviceIOError(f"{what}: {why}; see to the device, then try again.")


def _pages(page: int, nr: int) -> str:
    return f"page {page}" if nr == 1 else f"pages {page} to {page + nr - 1}"


def block_device(device: Device, type: int) -> tuple[str, int, int]:
    """Return path, major and minor number of what memory stands for that is on as swap device `type`: a RAM disk if it
    is synchronous, else a partition of the first disk, whose first one has the system on it.
    """
    if device.synchronous:
        return f"/dev/ram{type}", _RAM_DISK_MAJOR, type
    partition = _FIRST_PARTITION + type
    return f"/dev/sda{partition}", _DISK_MAJOR, partition


def mkswap(device: Device, *, label: str = "", bad_pages: Iterable[int] = (), uuid: UUID | None = None) -> SwapHeader:
    """Write a swap header for the whole device and return it; InvalidArgument for what a header can't say."""
    header = SwapHeader(device.pages - 1, tuple(sorted(set(bad_pages))), label, uuid or uuid4())
    device.write_header_page(pack_header(header, device.name))
    return header


def read_header(device: Device) -> SwapHeader:
    """Return what the swap header says; InvalidArgument when it is none, or says what can't be."""
    return parse_header(device.read_header_page(), device.pages, device.name)


def check_pages(pages: int) -> int:
    """Return `pages` if a device may have so many, header included; else InvalidArgument."""
    if not 2 <= pages <= MAX_DEVICE_PAGES:
        raise InvalidArgument(f"A device of {pages} pages can't be used; give 8K (2 pages, one is the header) to 128T.")
    return pages
