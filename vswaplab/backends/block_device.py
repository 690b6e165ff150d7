"""What every device does, wherever its bytes live: requests, their counts, faults, the header.

One call of `Device.read`, `Device.write` or `Device.discard` is one request, whatever its length. Any of them can be
made to fail with a `Fault`. Page 0 holds the header (`swap_header`), and nothing else ever. The devices
themselves are in `device`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self
from uuid import UUID, uuid4

from vswaplab.backends.swap_header import SwapHeader, pack_header, parse_header
from vswaplab.errors import DeviceIOError, InvalidArgument, SwapError, error_for
from vswaplab.units import PAGE_SIZE, format_size

__all__ = ["MAX_DEVICE_PAGES", "Bytes", "Device", "Fault", "check_pages", "mkswap", "read_header"]

Bytes = bytes | bytearray | memoryview

MAX_DEVICE_PAGES = 1 << 35
"""128 TiB of pages."""


@dataclass(frozen=True)
class Fault:
    """A failure to inject: the `nth` matching request from now on, and `times` - 1 after it, fail with `error`.

    `page` limits it to requests that touch that page. "short" transfers half of the bytes, then fails.
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
    """A request is done when the call returns, as for zram, brd and pmem: no swap cache is needed to wait in."""
    discard_supported: bool = True

    def __init__(self, pages: int) -> None:
        self.pages = check_pages(pages)
        """Pages of the whole device, the header's among them."""
        self.reads = self.writes = self.discards = 0
        """Requests, those that failed among them."""
        self.pages_read = self.pages_written = self.pages_discarded = 0
        self.sequential_reads = self.sequential_writes = 0
        """Requests that began where the one before of their kind ended."""
        self.errors = 0
        """Requests that failed."""
        self._read_end = self._write_end = 0
        self._armed: list[tuple[Fault, list[int]]] = []

    @property
    def name(self) -> str:
        """What messages call it: its path, or "memory"."""
        return self.path or "memory"

    def read(self, page: int, nr: int = 1) -> bytes:
        """Read `nr` pages in one request and return their bytes; DeviceIOError if that fails."""
        self._check_range(page, nr)
        self.reads += 1
        self.sequential_reads += page == self._read_end
        self._read_end = page + nr
        if self._armed and (fault := self._fault("read", page, nr)):
            self._fail("Reading", fault, page, nr)
        try:
            data = self._read(page, nr)
        except SwapError:
            self.errors += 1
            raise
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
                self._write(page, memoryview(data)[: len(data) // 2])
            self._fail("Writing", fault, page, nr)
        try:
            self._write(page, data)
        except SwapError:
            self.errors += 1
            raise
        self.pages_written += nr

    def discard(self, page: int, nr: int) -> None:
        """Drop the contents of `nr` pages in one request: they read as zeros and take no room."""
        self._check_range(page, nr)
        self.discards += 1
        if self._armed and (fault := self._fault("discard", page, nr)):
            if fault.error == "short" and nr > 1:
                self._discard(page, nr // 2)
            self._fail("Discarding", fault, page, nr)
        try:
            self._discard(page, nr)
        except SwapError:
            self.errors += 1
            raise
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
        """Give the device back; closing twice is harmless."""
        self._armed.clear()

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
        return self._read(0, 1)

    def write_header_page(self, data: bytes) -> None:
        """Replace page 0; not counted as a request, and no injected fault hits it."""
        self._write(0, data)

    def _check_range(self, page: int, nr: int) -> None:
        if page < 1 or nr < 1 or page + nr > self.pages:
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

    def _fail(self, doing: str, fault: Fault, page: int, nr: int) -> None:
        self.errors += 1
        what = f"page {page}" if nr == 1 else f"pages {page} to {page + nr - 1}"
        if fault.error == "short":
            raise DeviceIOError(f"{doing} {what} of {self.name} stopped half-way, as injected.")
        code = errno.ENOSPC if fault.error == "ENOSPC" else errno.EIO
        raise error_for(code, f"{doing} {what} of {self.name} failed with {fault.error}, as injected.")


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
