"""Folios and page frames: memory with its bytes, and a buddy allocator that numbers it.

A folio is one or more contiguous page frames handled as one; order `n` is ``1 << n`` pages. Frame numbers come from a
buddy allocator, so a folio's first frame is aligned to its size. How much memory there is, is not its business: the
numbers suffice for any amount, and physical memory never fragments beyond use in this model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.entry import STRUCT_PAGE_SIZE, VMEMMAP_START, swp_entry_t
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.errors import DeviceIOError
    from vswaplab.mm.memcg import Memcg

__all__ = ["BuddyAllocator", "Folio"]

_MAX_ORDER = SWAP_NR_ORDERS - 1
_NO_ENTRY = swp_entry_t(0)


class Folio:
    """One or more contiguous pages. C type: ``struct folio``.

    `refcount` is what the kernel's would be here: one a mapping, one a page while in the swap cache, one while somebody
    works on the folio (reclaim has it isolated, a fault holds it). A folio whose count falls to 0 is freed.
    """

    __slots__ = (
        "active",
        "data",
        "dirty",
        "in_swapcache",
        "locked",
        "mapped",
        "memcg",
        "nr_pages",
        "on_lru",
        "order",
        "pfn",
        "pointer",
        "read_error",
        "readahead",
        "refcount",
        "referenced",
        "shmem",
        "swap",
        "uptodate",
        "workingset",
        "writeback",
    )

    def __init__(self, pfn: int, order: int, memcg: Memcg | None, data: bytearray | None = None) -> None:
        self.pfn = pfn
        self.order = order
        self.nr_pages = 1 << order
        self.pointer = VMEMMAP_START + pfn * STRUCT_PAGE_SIZE
        self.data = bytearray(PAGE_SIZE << order) if data is None else data
        self.memcg = memcg
        self.mapped: dict[tuple[int, int], int] = {}
        """The page rmap: (pid, virtual page number) of each PTE that maps a page of the folio -> which page."""
        self.swap: int = _NO_ENTRY
        self.refcount = 0
        self.in_swapcache = False
        self.locked = False
        self.uptodate = True
        self.dirty = False
        self.writeback = False
        """Always False between operations: writes complete at once in this model."""
        self.referenced = False
        self.active = False
        self.workingset = False
        """Was on the active list before it was deactivated, or was when last evicted."""
        self.readahead = False
        """Read ahead of any fault, and no fault has found it yet."""
        self.read_error: DeviceIOError | None = None
        """Why its contents could not be read from swap; it is not uptodate then, and nobody maps it."""
        self.on_lru = False
        self.shmem = False
        """A page of a tmpfs file, on the same lists, but not anonymous memory in the accounts."""

    def page(self, index: int) -> memoryview:
        """Return the bytes of page `index` of the folio, writable."""
        start = index << PAGE_SHIFT
        return memoryview(self.data)[start : start + PAGE_SIZE]

    def mapcount(self, index: int) -> int:
        """Return how many PTEs map page `index`. O(mappings of the folio)."""
        if self.order == 0:
            return len(self.mapped)
        return sum(1 for page in self.mapped.values() if page == index)

    def __repr__(self) -> str:
        flags = ("in_swapcache", "locked", "uptodate", "dirty", "referenced", "active")
        said = " ".join(flag for flag in flags if getattr(self, flag))
        return f"<Folio pfn={self.pfn:#x} order={self.order} refcount={self.refcount} mapped={len(self.mapped)} {said}>"


class BuddyAllocator:
    """Hands out frame numbers, naturally aligned; free buddies merge. Grows by one block of the top order at a time."""

    def __init__(self) -> None:
        self._free: list[dict[int, None]] = [{} for _ in range(SWAP_NR_ORDERS)]
        self._end = 1 << _MAX_ORDER  # frame 0 stays out of the game: 0 means "no frame" to many a reader

    def alloc(self, order: int) -> int:
        """Return the first frame number of a free block of ``1 << order`` pages; the last one freed goes first."""
        at = next((i for i in range(order, SWAP_NR_ORDERS) if self._free[i]), None)
        if at is None:
            at, pfn = _MAX_ORDER, self._end
            self._end += 1 << _MAX_ORDER
        else:
            pfn = self._free[at].popitem()[0]
        while at > order:
            at -= 1
            self._free[at][pfn + (1 << at)] = None
        return pfn

    def free(self, pfn: int, order: int) -> None:
        """Take a block back; what was allocated as one block may come back in parts."""
        while order < _MAX_ORDER:
            buddy = pfn ^ 1 << order
            if buddy not in self._free[order]:
                break
            del self._free[order][buddy]
            pfn &= ~(1 << order)
            order += 1
        self._free[order][pfn] = None

    def free_frames(self) -> int:
        """Return how many frame numbers are free below the highest ever handed out."""
        return sum(len(blocks) << order for order, blocks in enumerate(self._free))
