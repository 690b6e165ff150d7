"""Protocols: what the rooms of the house ask of each other.

A design of swap (`SwapSpace`) lives below the machine that drives it, so it sees folios, memory cgroups and the fault
path through these protocols alone. `Machine` runs any `SwapSpace`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.backends.zswap import Zswap
    from vswaplab.entry import Backing, swp_entry_t, swp_slot_t

__all__ = [
    "LOOKUP_KINDS",
    "EntryLike",
    "FolioLike",
    "MemcgLike",
    "MemcgTable",
    "SwapSpace",
    "SwapoffHost",
    "SwapoffReport",
    "WritebackHost",
    "Writeout",
]

LOOKUP_KINDS = {
    "descriptor": "an entry was resolved to its descriptor (virtual)",
    "cluster_map": "that took a walk of the cluster map, an xarray (virtual)",
    "swap_info": "an entry was resolved to its device's arrays and the offset in them (legacy)",
    "swap_map": "the byte of a slot was read or changed (legacy)",
    "zswap_tree": "a slot was looked up, entered or erased in its zswap xarray (legacy)",
    "zswap_node": "nodes visited in these walks (legacy)",
    "bitmap_scan": "a cluster's bitmap was searched for a free run (both; physical clusters and virtual ones)",
    "rmap": "a physical slot was led back to its entry (virtual)",
}
"""Kinds of look-ups by name; both designs count under the same names, so that what differs can be subtracted."""


class Writeout(Enum):
    """What became of a folio that reclaim wanted to write out."""

    FREED = "freed"
    """Nobody refers to the entries any more: swap freed, folio dirty, out of the swap cache."""
    WRITTEN = "written"
    """The contents are safe in a backing; the folio is clean."""
    ACTIVATE = "activate"
    """Refused (AOP_WRITEPAGE_ACTIVATE): the folio is dirty and goes back to the active list."""
    FAILED = "failed"
    """The device did not take it: the folio is dirty again and stays on its list, with the slot that it was given."""


@dataclass
class SwapoffReport:
    """What a swapoff did, counted while it did it. All are numbers of things; `seconds` is wall time."""

    type: int
    mms_walked: int = 0
    """Address spaces taken from the list of those that ever held a swap entry."""
    vmas_walked: int = 0
    """Their regions with anonymous memory."""
    tables_walked: int = 0
    """Page tables of all levels looked into, below these regions."""
    ptes_visited: int = 0
    """Page table entries looked at, empty ones too: a table is read from end to end."""
    ptes_rewritten: int = 0
    """Page table entries that held a slot of the device and map a page now."""
    shmem_inodes: int = 0
    """tmpfs files on the list of those with swapped pages whose index was scanned."""
    shmem_entries: int = 0
    """Index entries of tmpfs files looked at."""
    slots_scanned: int = 0
    """Slots of the device looked at, in its swap_map or bitmap."""
    pages_read: int = 0
    """Pages brought into memory, whatever they were backed by."""
    pages_lost: int = 0
    """Those that could not be read. Legacy leaves a poison marker for each, in the page table or in a file's index; the
    virtual design a folio that is not uptodate."""
    io_requests: int = 0
    """Reads that the device was asked for."""
    io_sequential: int = 0
    """Those of them that began where the one before had ended."""
    rounds: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, int | float]:
        """Return the counts by name."""
        return asdict(self)


class SwapoffHost(Protocol):
    """The machine, as swapoff needs it."""

    def pagein(self, entry: int) -> FolioLike | None:
        """Bring an entry into the swap cache and return its folio, or None if the entry is gone meanwhile.

        The folio is not uptodate if it can't be read. Raises NoMemory when no page can be had.
        """
        ...

    def cancelled(self) -> bool:
        """True when a signal is pending."""
        ...

    def shmem_unuse(self, type: int, report: SwapoffReport) -> None:
        """Bring every page of tmpfs files that is on a device back into its file's index; errors as for `pagein`.

        Only a design whose page tables hold physical slots needs it, as the two that follow.
        """
        ...

    def mmlist(self) -> Iterator[Any]:
        """Yield the address spaces that ever held a swap entry, the newest first."""
        ...

    def unuse_mm(self, mm: Any, type: int, report: SwapoffReport) -> None:
        """Walk the page tables of one address space and map every page that is on a device; errors as for `pagein`,
        Interrupted on a signal."""
        ...


class WritebackHost(Protocol):
    """The machine, as zswap's write-back needs it."""

    def can_write_back(self) -> bool:
        """Whether a page can be had to decompress into."""
        ...

    def keep_folio(self, page: FolioLike) -> None:
        """Put a folio of memory in the swap cache in place of write-back's own page: its write failed, it is dirty."""
        ...


class MemcgLike(Protocol):
    """A memory cgroup as swap and zswap see it: who pays."""

    @property
    def id(self) -> int:
        """The number descriptors hold; never 0."""
        ...

    def get_id(self, nr: int) -> None:
        """Take `nr` references on the id, so that it outlives the cgroup."""

    def put_id(self, nr: int) -> None:
        """Drop `nr` references on the id."""
        ...

    def try_charge_swap(self, nr: int) -> bool:
        """Charge `nr` physical slots to this cgroup and its ancestors; False, and nothing charged, at a limit."""
        ...

    def uncharge_swap(self, nr: int) -> None:
        """Give `nr` slots back."""
        ...

    def swap_full(self) -> bool:
        """Whether this cgroup or an ancestor has used half of its memory.swap.max."""
        ...

    def may_zswap(self) -> bool:
        """False when this cgroup or an ancestor is at memory.zswap.max."""
        ...

    def zswap_disabled(self) -> bool:
        """Whether memory.zswap.max of this cgroup or of an ancestor is 0: never, whatever is written back."""
        ...

    def charge_zswap(self, nr_bytes: int) -> None:
        """Charge one compressed object of `nr_bytes`."""

    def uncharge_zswap(self, nr_bytes: int) -> None:
        """Give one compressed object back."""
        ...

    def zswap_writeback_enabled(self) -> bool:
        """memory.zswap.writeback of this cgroup and all its ancestors."""
        ...

    def count(self, item: str, nr: int = 1) -> None:
        """Add to an item of memory.stat (here and in all ancestors) and of the machine's vmstat."""


class MemcgTable(Protocol):
    """Finds a memory cgroup by the id a descriptor holds."""

    def __getitem__(self, memcgid: int) -> MemcgLike:
        """Return the cgroup; KeyError if there is none."""
        ...

    def get(self, memcgid: int) -> MemcgLike | None:
        """Return the cgroup or None."""
        ...


@runtime_checkable
class FolioLike(Protocol):
    """A folio as swap sees it. C type: ``struct folio``."""

    order: int
    pointer: int
    """Address of the folio, unique while it lives; low bit clear (a set low bit marks a shadow)."""
    data: bytearray
    """The contents: PAGE_SIZE << order bytes."""
    swap: int
    """Entry of the first page while in the swap cache, else 0."""
    in_swapcache: bool
    locked: bool
    uptodate: bool
    dirty: bool
    writeback: bool
    refcount: int

    @property
    def nr_pages(self) -> int:
        """Pages in the folio: 1 << order."""
        ...

    @property
    def memcg(self) -> MemcgLike | None:
        """Who pays for the folio."""
        ...

    @property
    def mapped(self) -> Sized:
        """What maps it: empty if nothing does."""
        ...


class EntryLike(Protocol):
    """What a design knows of an entry."""

    @property
    def type(self) -> Backing:
        """What backs it."""
        ...

    @property
    def swap_count(self) -> int:
        """Page table entries that refer to it."""
        ...

    @property
    def memcgid(self) -> int:
        """The memory cgroup that owns the contents, 0 for none."""
        ...

    @property
    def slot(self) -> swp_slot_t | None:
        """The physical slot behind it, if there is one."""
        ...


class SwapSpace(Protocol):
    """A design of swap: what the fault path, fork, munmap, reclaim and swapoff ask of it."""

    design: str
    devices: SwapDevices
    zswap: Zswap | None
    cpu: int
    """The CPU on which the next operations run."""
    reserves_slots: bool
    """Whether an entry has a physical slot from the first, so that zswap write-back never lacks one."""
    writeback_host: WritebackHost | None
    """Set by the machine; without one a page whose write failed stays in the swap cache as it is."""
    released: list[FolioLike]
    """Folios dropped from the swap cache by an operation on an entry, for the machine to look after."""

    def folio_alloc_swap(self, folio: FolioLike) -> None:
        """Give a locked, uptodate folio its entries and put it in the swap cache; NoMemory if there are none."""

    def swap_duplicate_nr(self, entry: int, nr: int) -> None:
        """Add a page table reference to each entry."""
        ...

    def swap_free_nr(self, entry: int, nr: int) -> None:
        """Drop a page table reference from each entry."""
        ...

    def free_swap_and_cache_nr(self, entry: int, nr: int) -> None:
        """As `swap_free_nr`, and let go of folios nobody needs (see `released`)."""
        ...

    def swapcache_prepare(self, entry: int, nr: int) -> None:
        """Pin entries for the swap cache; Exists or NotFound, and nothing pinned."""
        ...

    def swapcache_clear(self, entry: int, nr: int) -> None:
        """Unpin entries."""
        ...

    def swap_cache_add_folio(self, folio: FolioLike, entry: int) -> int:
        """Put a folio in the swap cache for pinned entries; return the shadow found."""
        ...

    def swap_cache_get_folio(self, entry: int) -> FolioLike | None:
        """Return the folio in the swap cache, or None."""
        ...

    def swap_cache_get_shadow(self, entry: int) -> int:
        """Return the shadow of the folio that was there, or 0."""
        ...

    def swap_cache_del_folio(self, folio: FolioLike) -> None:
        """Take a folio out of the swap cache, leaving no shadow."""
        ...

    def remove_mapping(self, folio: FolioLike, shadow: int) -> None:
        """Reclaim's end: take a clean folio out of the swap cache and leave `shadow` behind."""

    def split_folio(self, old: FolioLike, parts: Sequence[FolioLike]) -> None:
        """Repoint entries to the folios that one was split into."""
        ...

    def folio_free_swap(self, folio: FolioLike) -> bool:
        """Free the swap of a cached folio that no page table refers to."""
        ...

    def swp_swapcount(self, entry: int) -> int:
        """Return how many page table entries refer to an entry."""
        ...

    def swap_writeout(self, folio: FolioLike) -> Writeout:
        """Write a folio of the swap cache to a backing."""
        ...

    def swap_read_folio(self, folio: FolioLike) -> None:
        """Fill a locked folio in the swap cache from its backing; DeviceIOError if that fails."""

    def can_swapin_thp(self, entry: int, nr: int) -> bool:
        """Whether entries can be read as one large folio."""
        ...

    def may_free_after_swapin(self, folio: FolioLike, owner_writes: bool = False) -> bool:
        """Whether swap is freed as soon as a folio is in, `owner_writes` if its only owner is about to write to it."""
        ...

    def readahead_entries(self, entry: int, window: int) -> list[int]:
        """Return neighbours on the device worth reading along."""
        ...

    def swap_shmem_alloc(self, entry: int, nr: int) -> None:
        """A tmpfs file holds each entry from now on: as one page table reference, the only one there will be."""
        ...

    def lookup_counts(self) -> dict[str, int]:
        """Return how many look-ups of each kind were done so far; see `LOOKUP_KINDS`."""
        ...

    def can_swap_out(self, memcg: MemcgLike | None) -> bool:
        """Whether a page has any place to go."""
        ...

    def writeback(self, pages: int, memcg: MemcgLike | None = None) -> int:
        """Move pages from zswap to a swapfile; return how many left zswap, those whose write then failed among them."""
        ...

    def shrink_memcg(self, memcg: MemcgLike) -> bool | None:
        """Write back one cold zswap entry of a memory cgroup on each node; True if any went, None if none was there."""
        ...

    def scan_zswap(self, memcg: MemcgLike, node: int, nr: int) -> bool:
        """Visit `nr` zswap entries for the dynamic shrinker; True if it met one in the swap cache."""
        ...

    def swapoff(self, type: int, host: SwapoffHost) -> SwapoffReport:
        """Take a device off; on an error it stays on and nothing is lost."""
        ...

    def lookup(self, entry: swp_entry_t | int) -> EntryLike:
        """Return what is known of an entry now; for onlookers, it changes nothing."""
        ...

    def entries(self) -> list[int]:
        """Return all entries in use, rising."""
        ...

    def cpu_dead(self, cpu: int) -> None:
        """Let go of what a CPU has cached."""
        ...

    def check(self) -> None:
        """Check every invariant."""
        ...
