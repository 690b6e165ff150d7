"""Processes: an address space each, with its regions (VMAs), its page table, and memory to read and write.

An access looks its page up in the page table as the MMU would. A PTE that is not present, or not writable for a
write, is a page fault, which the machine handles; then the access sets the accessed and dirty bits and moves the
bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from vswaplab.entry import (
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_POISON,
    PTE_PRESENT,
    PTE_WRITE,
    pte_to_entry,
    pte_to_frame,
    swp_entry_t,
)
from vswaplab.errors import InvalidArgument
from vswaplab.mm.page_table import VPN_BITS, PageTable
from vswaplab.strict import flag, instance, quoted, require_memory, whole_number
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, SWAP_NR_ORDERS, parse_size

if TYPE_CHECKING:
    from vswaplab.mm.folio import Folio
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.memcg import Memcg

__all__ = ["MAX_TRANSFER", "MMAP_BASE", "TASK_SIZE", "AddressSpace", "Mapper", "Process", "Pte", "Region", "bytes_of"]

MMAP_BASE = 0x1000_0000_0000
"""Where `mmap` starts to look for room; it goes up from there, lowest address first."""
TASK_SIZE = 1 << (VPN_BITS + PAGE_SHIFT - 1)
"""User addresses end here: 47 of the 48 bits, 128 TiB [BACKGROUND]."""

MAX_TRANSFER = 1 << 30
"""Bytes read or written at once, at most; Linux has a bound of its own, 2 GiB less a page."""

_OFFSET_MASK = PAGE_SIZE - 1
_READABLE = PTE_PRESENT | PTE_ACCESSED
_WRITTEN = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY

Addresses = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, order=True)
class Region:
    """A range of anonymous memory, in bytes. C type: ``struct vm_area_struct``.

    `order` is the size of folio that a write fault tries to put here first.
    """

    start: int
    length: int
    order: int = 0
    anon: bool = field(default=False, compare=False)
    """Whether any page of it was ever written (the kernel's anon_vma): only then can it hold a swap entry."""

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.start + self.length

    @property
    def pages(self) -> int:
        """Pages in the region."""
        return self.length >> PAGE_SHIFT

    @property
    def vpn(self) -> int:
        """First virtual page number."""
        return self.start >> PAGE_SHIFT

    @property
    def end_vpn(self) -> int:
        """First virtual page number behind the region."""
        return self.end >> PAGE_SHIFT

    def page(self, index: int) -> Region:
        """Return page `index` of the region as a region; a negative index counts from the end."""
        if type(index) is not int:
            index = whole_number(index, "index", -self.pages, self.pages - 1)
        at = index + self.pages if index < 0 else index
        if not 0 <= at < self.pages:
            raise InvalidArgument(f"The region has pages 0 to {self.pages - 1}, not {quoted(index)}.")
        return Region(self.start + at * PAGE_SIZE, PAGE_SIZE, self.order)

    def addresses(self) -> npt.NDArray[np.int64]:
        """Return the address of each page, in order."""
        return np.arange(self.start, self.end, PAGE_SIZE, dtype=np.int64)

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.end

    def __repr__(self) -> str:
        return f"Region({self.start:#x}, {self.length}, order={self.order})"


@dataclass(frozen=True)
class Pte:
    """What one page table entry says."""

    present: bool
    entry: swp_entry_t | None
    """The swap entry, None if the page is present or there is nothing."""
    frame: int | None
    """The page frame number, None if the page is not present."""
    writable: bool
    dirty: bool
    accessed: bool
    poisoned: bool = False
    """The page could not be read at swapoff, and is lost: any access fails."""

    @classmethod
    def of(cls, pte: int) -> Pte:
        """Decode the 64 bits of a PTE."""
        if pte == PTE_POISON:
            return cls(False, None, None, False, False, False, poisoned=True)
        if not pte & PTE_PRESENT:
            return cls(False, pte_to_entry(pte) if pte else None, None, False, False, False)
        flags = bool(pte & PTE_WRITE), bool(pte & PTE_DIRTY), bool(pte & PTE_ACCESSED)
        return cls(True, None, pte_to_frame(pte), *flags)


def bytes_of(data: object) -> memoryview:
    """Return what can be written to memory, byte by byte; InvalidArgument for what holds no bytes."""
    try:
        return memoryview(data).cast("B")  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        raise InvalidArgument(f"data must be bytes in one row, such as b'text', not {quoted(data)}.") from None


def _vpns(where: object) -> list[int]:
    """Return the pages of an address, or of a row of them."""
    try:
        addresses = np.atleast_1d(np.asarray(where))
    except (TypeError, ValueError, OverflowError):
        addresses = np.empty((0, 0))
    if addresses.ndim != 1 or (addresses.size and addresses.dtype.kind not in "iu"):
        raise InvalidArgument("touch takes a Region, an address, or one row of addresses as whole numbers.")
    return [] if not addresses.size else (addresses >> PAGE_SHIFT).tolist()


class Mapper(Protocol):
    """Whatever has a table of pages and swap entries: a process, or a tmpfs file with its index."""

    @property
    def pid(self) -> int:
        """Its number, one series for processes and files."""
        ...

    @property
    def memcg(self) -> Memcg:
        """Who pays for its pages."""
        ...

    @property
    def mm(self) -> AddressSpace:
        """Its pages."""
        ...


class AddressSpace:
    """Regions in order of address, and the page table. C type: ``struct mm_struct``."""

    def __init__(self) -> None:
        self.vmas: list[Region] = []
        self.page_table = PageTable()
        self.on_mmlist = False
        """Whether a PTE here ever held a swap entry, so that a swapoff that searches page tables searches these."""

    def find(self, vpn: int) -> Region | None:
        """Return the region that holds a page, or None. O(log regions)."""
        at = bisect_right(self.vmas, vpn, key=lambda vma: vma.vpn) - 1
        return self.vmas[at] if at >= 0 and vpn < self.vmas[at].end_vpn else None

    def reserve(self, length: int | str, order: int = 0) -> Region:
        """Add a region of `length` bytes (rounded up to pages) at the lowest gap that fits; O(regions).

        It starts at a multiple of the folio size. InvalidArgument for a length of 0, one that does not fit, or a bad
        order.
        """
        if isinstance(order, bool) or not isinstance(order, int) or not 0 <= order < SWAP_NR_ORDERS:
            raise InvalidArgument(f"Order {quoted(order)} is not one of 0 to {SWAP_NR_ORDERS - 1}.")
        size = parse_size(length, "length") + _OFFSET_MASK & ~_OFFSET_MASK
        if size == 0:
            raise InvalidArgument("A mapping of length 0 holds nothing; give at least one byte.")
        align = PAGE_SIZE << order
        start = MMAP_BASE
        for vma in self.vmas:
            if start + size <= vma.start:
                break
            start = -(-vma.end // align) * align
        if start + size > TASK_SIZE:
            raise InvalidArgument(f"No room for {size} bytes below {TASK_SIZE:#x}; unmap something or map less.")
        region = Region(start, size, order)
        self.vmas.insert(bisect_right(self.vmas, region), region)
        return region

    def remove(self, start: int, end: int) -> list[Region]:
        """Take the pages from address `start` up to `end` out of the regions; return the parts that were there."""
        removed, kept = [], []
        for vma in self.vmas:
            first, last = max(vma.start, start), min(vma.end, end)
            if first >= last:
                kept.append(vma)
                continue
            removed.append(Region(first, last - first, vma.order))
            if vma.start < first:
                kept.append(replace(vma, length=first - vma.start))
            if last < vma.end:
                kept.append(replace(vma, start=last, length=vma.end - last))
        self.vmas = kept
        return removed

    def mark_anon(self, vma: Region) -> None:
        """Note that a page of a region is about to be written for the first time. O(log regions)."""
        at = bisect_right(self.vmas, vma.vpn, key=lambda each: each.vpn) - 1
        self.vmas[at] = replace(vma, anon=True)

    def _count(self, which: Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]) -> int:
        return sum(int(np.count_nonzero(which(ptes))) for _, ptes in self.page_table.leaves())

    @property
    def present_pages(self) -> int:
        """PTEs that map a page, the zero page among them. O(tables)."""
        return self._count(lambda ptes: ptes & np.uint64(PTE_PRESENT) != 0)

    @property
    def swap_pages(self) -> int:
        """PTEs that hold a swap entry (VmSwap in pages). O(tables)."""
        return self._count(
            lambda ptes: (ptes != 0) & (ptes & np.uint64(PTE_PRESENT) == 0) & (ptes != np.uint64(PTE_POISON))
        )


class Process:
    """A process. Made by `Machine.spawn` and `fork`; its memory is read and written through it."""

    def __init__(self, machine: Machine, pid: int, name: str, memcg: Memcg, cpu: int, parent: int = 0) -> None:
        self.machine = machine
        self.pid = pid
        self.name = name
        self.memcg = memcg
        self.cpu = cpu
        self.parent = parent
        """Pid of the process it was forked from, 0 if none."""
        self.mm = AddressSpace()
        self.alive = True

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.name!r}{'' if self.alive else ' (exited)'}>"

    # -- the address space ---------------------------------------------------------------------------------------

    def mmap(self, length: int | str, order: int = 0) -> Region:
        """Map `length` bytes of anonymous memory, all zeros, and return the region.

        Addresses are handed out from `MMAP_BASE` up, the same ones in each run. With `order` above 0, write faults
        get folios of that order where a whole aligned range is still empty (mTHP). InvalidArgument for a bad length
        or order.
        """
        self._require_alive()
        return self.mm.reserve(length, order)

    def munmap(self, region: Region | int, length: int | str | None = None) -> None:
        """Unmap a region, a part of one, or `length` bytes from an address (rounded up to pages).

        Its pages and swap entries are let go. InvalidArgument if nothing is mapped there.
        """
        self._require_alive()
        if isinstance(region, Region):
            start, size = region.start, region.length
        elif length is None:
            raise InvalidArgument("Unmapping from an address takes a length too.")
        else:
            start, size = whole_number(region, "The address", 0, TASK_SIZE), parse_size(length, "length")
        if start & _OFFSET_MASK or size == 0:
            raise InvalidArgument(f"Unmap whole pages: {start:#x} must be a multiple of {PAGE_SIZE}, the length not 0.")
        self.machine.munmap_range(self, start, start + size + _OFFSET_MASK & ~_OFFSET_MASK)

    def fork(self, name: str | None = None) -> Process:
        """Return a child that shares all pages, to be copied when either writes (copy-on-write), and all swap
        entries.
        """
        self._require_alive()
        return self.machine.fork_process(self, None if name is None else instance(name, str, "name"))

    def exit(self) -> None:
        """End the process and let go of all its memory."""
        self._require_alive()
        self.machine.exit_process(self)

    def pte(self, address: int) -> Pte:
        """Return what the page table says about an address."""
        return Pte.of(self.mm.page_table.get(whole_number(address, "The address", 0, TASK_SIZE) >> PAGE_SHIFT))

    # -- memory --------------------------------------------------------------------------------------------------

    def read(self, address: int, nr_bytes: int) -> bytes:
        """Return `nr_bytes` from `address` on.

        InvalidArgument outside of a mapping, DeviceIOError if a page can't be read back, NoMemory if there is no page
        for it.
        """
        self._require_alive()
        address, nr_bytes = self._range(address, nr_bytes)
        parts = []
        while nr_bytes:
            offset = address & _OFFSET_MASK
            nr = min(nr_bytes, PAGE_SIZE - offset)
            folio, start = self._access(address >> PAGE_SHIFT, write=False)
            parts.append(folio.data[start + offset : start + offset + nr])
            address += nr
            nr_bytes -= nr
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at `address`. Errors as for `read`; pages before the one that failed are written then."""
        self._require_alive()
        view = bytes_of(data)
        address, nr_bytes = self._range(address, len(view))
        done = 0
        while done < nr_bytes:
            offset = address & _OFFSET_MASK
            nr = min(nr_bytes - done, PAGE_SIZE - offset)
            folio, start = self._access(address >> PAGE_SHIFT, write=True)
            folio.data[start + offset : start + offset + nr] = view[done : done + nr]
            address += nr
            done += nr

    def touch(self, where: Region | int | Addresses, write: bool = False) -> None:
        """Access one byte of each page of a region, or at an address, or at each of an array of addresses, in order.

        A write leaves the contents as they are, but makes the page dirty.
        """
        self._require_alive()
        flag(write, "write")
        vpns = range(where.vpn, where.end_vpn) if isinstance(where, Region) else _vpns(where)
        for vpn in vpns:
            self._access(vpn, write)

    def populate(self, region: Region) -> None:
        """Map the shared zero page over whatever of a region is still empty, as reading all of it would (MAP_POPULATE).

        At the speed of arrays and for the price of the page tables, 8 bytes a page: a mapping of any size to walk over.
        """
        self._require_alive()
        instance(region, Region, "region")
        require_memory(8 * region.pages, f"Populating {region.pages} pages")
        self.machine.populate_range(self, region)

    def _access(self, vpn: int, write: bool) -> tuple[Folio, int]:
        """Do what the MMU does for one page; return its folio and where in the folio's bytes the page starts."""
        table = self.mm.page_table
        pte = table.get(vpn)
        if not pte & PTE_PRESENT or (write and not pte & PTE_WRITE):
            self.machine.handle_mm_fault(self, vpn, write)
            pte = table.get(vpn)
        wanted = _WRITTEN if write else _READABLE
        if pte & wanted != wanted:
            table.set(vpn, pte | wanted)
        frame = pte_to_frame(pte)
        folio = self.machine.frames[frame]
        if write:
            folio.dirty = True
        return folio, frame - folio.pfn << PAGE_SHIFT

    @staticmethod
    def _range(address: int, nr_bytes: int) -> tuple[int, int]:
        if type(address) is not int or type(nr_bytes) is not int:
            address, nr_bytes = whole_number(address, "The address", 0), whole_number(nr_bytes, "nr_bytes", 0)
        if nr_bytes > MAX_TRANSFER:
            raise InvalidArgument(f"At most {MAX_TRANSFER} bytes can be read or written at once; do it in parts.")
        if address < 0 or nr_bytes < 0 or address + nr_bytes > TASK_SIZE:
            raise InvalidArgument(
                f"{nr_bytes} bytes at {quoted(address)} are outside of user memory; see Region.start."
            )
        return address, nr_bytes

    def _require_alive(self) -> None:
        self.machine.require_open()
        if not self.alive:
            raise InvalidArgument(f"Process {self.pid} has exited; spawn or fork another one.")
