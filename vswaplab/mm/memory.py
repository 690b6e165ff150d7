"""Memory: page frames, the page rmap, the LRU, and the accounts of who uses what.

The ground floor of `Machine`. A folio is freed when its reference count falls to 0, whoever drops the last reference: a
mapping, the swap cache, or somebody who worked on it. The swap layer knows no frames; folios it drops from the swap
cache on its own are taken from its `released` list.
"""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, cast

from vswaplab.entry import PTE_POISON, pte_to_entry
from vswaplab.events import Event, Recorder
from vswaplab.mm.folio import BuddyAllocator, Folio
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.protocols import SwapSpace
from vswaplab.units import PAGE_SHIFT

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.backends.zswap import Zswap
    from vswaplab.mm.process import Mapper, Process
    from vswaplab.mm.shmem import ShmemFile

__all__ = ["Memory"]


class Memory:
    """Frames and folios, over a design of swap. `ram_pages` is all there is, for folios and compressed pages
    together.
    """

    nodes = 1
    """NUMA nodes; `Machine` sets it."""

    def __init__(self, ram_pages: int, swap: SwapSpace, memcgs: MemcgTable, record: Recorder | None) -> None:
        self.ram_pages = ram_pages
        self.swap = swap
        self.memcgs = memcgs
        self.record = record
        self.processes: dict[int, Process] = {}
        """Live processes by pid."""
        self.shmem_files: dict[int, ShmemFile] = {}
        """tmpfs files by number; the numbers are of the same series as pids."""
        self.mappers = ChainMap[int, "Mapper"](self.processes, self.shmem_files)  # type: ignore[arg-type]
        """Whatever maps pages or holds swap entries: processes and tmpfs files."""
        self.frames: dict[int, Folio] = {}
        """The folio of every page frame in use; a large folio is there once for each of its frames."""
        self.folio_pages = 0
        """Pages in folios, the zero page not counted."""
        self._mmlist: list[Process] = []
        """Processes whose page tables ever held a swap entry; new ones come first."""
        self.shmem_swaplist: list[ShmemFile] = []
        """tmpfs files with pages that are out; new ones come first."""
        self._buddy = BuddyAllocator()
        self.zero_folio = Folio(self._buddy.alloc(0), 0, None)
        """The page that all reads of untouched memory share. Charged to nobody, on no LRU, never written or freed."""
        self.frames[self.zero_folio.pfn] = self.zero_folio

    # -- accounts ------------------------------------------------------------------------------------------------

    @property
    def devices(self) -> SwapDevices:
        """The swap devices that are on."""
        return self.swap.devices

    @property
    def zswap(self) -> Zswap | None:
        """The compressed pool, None if it is off."""
        return self.swap.zswap

    @property
    def root_memcg(self) -> Memcg:
        """The root of the memory cgroups; its event counts are the machine's vmstat."""
        return self.memcgs.root

    @property
    def used_pages(self) -> int:
        """Pages of folios and of the compressed pool."""
        zswap = self.swap.zswap
        return self.folio_pages + (zswap.pool_pages if zswap is not None else 0)

    @property
    def shmem_pages(self) -> int:
        """Pages of tmpfs files in memory (NR_SHMEM)."""
        return sum(file.present_pages for file in self.shmem_files.values())

    @property
    def free_pages(self) -> int:
        """Pages to be had without reclaim. Reclaim may overdraw for a moment to compress; that shows as 0 here."""
        return max(0, self.ram_pages - self.used_pages)

    # -- folios come and go --------------------------------------------------------------------------------------

    def _new_folio(self, order: int, memcg: Memcg) -> Folio:
        """Make a folio of zeros, charged to `memcg`, with no reference. Limits are the caller's to heed."""
        folio = Folio(self._buddy.alloc(order), order, memcg)
        for pfn in range(folio.pfn, folio.pfn + folio.nr_pages):
            self.frames[pfn] = folio
        self.folio_pages += folio.nr_pages
        memcg.charge(folio.nr_pages)
        return folio

    def _lru_add(self, folio: Folio) -> None:
        assert folio.memcg is not None
        folio.memcg.lruvec.add(folio)

    def _put_folio(self, folio: Folio) -> bool:
        """Free a folio if nobody refers to it any more; True if so."""
        if folio.refcount or folio is self.zero_folio:
            return False
        assert folio.memcg is not None
        if folio.on_lru:
            folio.memcg.lruvec.remove(folio)
        for pfn in range(folio.pfn, folio.pfn + folio.nr_pages):
            del self.frames[pfn]
        self.folio_pages -= folio.nr_pages
        folio.memcg.uncharge(folio.nr_pages)
        self._buddy.free(folio.pfn, folio.order)
        return True

    def _drop_folio(self, folio: Folio) -> None:
        """A reference was dropped: free the swap nobody needs any more, then the folio if it was the last one."""
        if not folio.mapped and folio.in_swapcache and not folio.locked:
            self.swap.folio_free_swap(folio)
        self._put_folio(folio)

    def _drain_released(self) -> None:
        """Free the folios that the swap layer has let go of."""
        released = self.swap.released
        while released:
            folio = cast(Folio, released.pop())
            if folio.pfn in self.frames and self.frames[folio.pfn] is folio:
                self._put_folio(folio)

    def _cached_folio(self, entry: int) -> Folio | None:
        """Return the folio in the swap cache for an entry, or None."""
        return cast("Folio | None", self.swap.swap_cache_get_folio(entry))

    def _split_folio(self, folio: Folio) -> list[Folio]:
        """Split a locked, isolated large folio into single pages, each locked and isolated; PTEs and entries stay."""
        assert folio.locked
        assert not folio.on_lru
        assert folio.memcg is not None
        parts = []
        for i in range(folio.nr_pages):
            part = Folio(folio.pfn + i, 0, folio.memcg, bytearray(folio.page(i)))
            part.locked, part.refcount = True, 1
            part.uptodate, part.dirty = folio.uptodate, folio.dirty
            part.active, part.referenced, part.workingset = folio.active, folio.referenced, folio.workingset
            self.frames[part.pfn] = part
            parts.append(part)
        for where, i in folio.mapped.items():
            parts[i].mapped[where] = 0
            parts[i].refcount += 1
        if folio.in_swapcache:
            self.swap.split_folio(folio, parts)
        folio.mapped.clear()
        folio.refcount = 0
        return parts

    # -- the page rmap -------------------------------------------------------------------------------------------

    def _map_page(self, process: Mapper, vpn: int, folio: Folio, index: int, flags: int) -> None:
        """Let a PTE map page `index` of a folio, `flags` being the low bits; what it held before is the caller's."""
        table = process.mm.page_table
        if self.record is not None:
            was = table.get(vpn)
            entry = pte_to_entry(was) if was and not was & 1 else 0
            self.record(Event.PTE_MAP, entry, pid=process.pid, vpn=vpn, value=folio.pfn + index)
        table.set(vpn, folio.pfn + index << PAGE_SHIFT | flags)
        if folio is self.zero_folio:  # special: nobody ever has to find its PTEs
            return
        folio.mapped[process.pid, vpn] = index
        folio.refcount += 1

    def _unmap_page(self, process: Mapper, vpn: int, folio: Folio) -> None:
        """A PTE is about to map something else, or nothing: take it out of the page rmap."""
        if folio is self.zero_folio:
            return
        del folio.mapped[process.pid, vpn]
        folio.refcount -= 1

    def _poison(self, process: Mapper, vpn: int) -> None:
        """Leave a poison marker in a PTE: its page is lost, and an access will fail."""
        process.mm.page_table.set(vpn, PTE_POISON)
        if self.record is not None:
            self.record(Event.PTE_SWAP, 0, pid=process.pid, vpn=vpn)

    # -- who holds swap entries ----------------------------------------------------------------------------------

    def _hold_entry(self, pid: int, entry: int) -> None:
        """A page goes out: a process's PTE, or the index of a tmpfs file, holds its entry from now on."""
        file = self.shmem_files.get(pid)
        if file is not None:
            self.swap.swap_shmem_alloc(entry, 1)
            if file not in self.shmem_swaplist:
                self.shmem_swaplist.insert(0, file)
            return
        self.swap.swap_duplicate_nr(entry, 1)
        self._add_to_mmlist(self.processes[pid])

    def _add_to_mmlist(self, process: Process, behind: Process | None = None) -> None:
        """Put a process on the list of those that ever held a swap entry: first, or right behind its parent [S14]."""
        if not process.mm.on_mmlist:
            process.mm.on_mmlist = True
            self._mmlist.insert(0 if behind is None else self._mmlist.index(behind) + 1, process)

    # -- what the swap layer says --------------------------------------------------------------------------------

    def _on_synchronous_device(self, entry: int) -> bool:
        """Whether an entry has physical backing on a device that needs no waiting."""
        slot = self.swap.lookup(entry).slot
        return slot is not None and self.devices[slot.type].device.synchronous

    def _memcg_of_entry(self, entry: int, otherwise: Memcg) -> Memcg:
        """Return whom a swapped-in page is charged to: the cgroup that the entry names, if it is still there."""
        memcg = self.memcgs.get(self.swap.lookup(entry).memcgid)
        return memcg if memcg is not None and memcg.online else otherwise
