"""Reclaim: choose folios, unmap them, write them out, free their frames [BACKGROUND: mm/vmscan.c, classic LRU].

The oldest inactive folio goes first. If it was referenced since the last look it gets a second chance; if it was
referenced twice, or through more than one PTE, it becomes active. Otherwise it gets swap entries, its PTEs are
replaced by them, the contents go wherever the swap layer finds room, and the frame is free. A folio that nothing
takes stays in memory, dirty and active, in the swap cache, whole if it is a large one [S13].

Three ask for it: an allocation that found a limit or the machine full (`DIRECT`), kswapd, and whoever writes
memory.reclaim (`PROACTIVE`). Pages are counted to the cgroup they belong to, whoever asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from vswaplab.entry import PTE_ACCESSED, PTE_DIRTY, entry_to_pte
from vswaplab.errors import NoMemory
from vswaplab.events import Event, Recorder
from vswaplab.mm.folio import Folio
from vswaplab.mm.lru import Lruvec, pack_shadow, refault_distance, unpack_shadow
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.mm.shrinkers import Shrinkers
from vswaplab.protocols import SwapSpace, Writeout
from vswaplab.units import SWAP_NR_ORDERS

__all__ = ["DEF_PRIORITY", "DIRECT", "KSWAPD", "PROACTIVE", "SWAP_CLUSTER_MAX", "Reclaim"]

SWAP_CLUSTER_MAX = 32
"""Pages that direct reclaim wants at once [BACKGROUND]."""
DEF_PRIORITY = 12
"""Reclaim looks at 1/4096 of each list first, then at twice as much each time, at last at all [BACKGROUND]."""


DIRECT, KSWAPD, PROACTIVE = "direct", "kswapd", "proactive"
"""Who asks for reclaim, as in the names of the counters: ``pgsteal_direct``."""


class _References(Enum):
    RECLAIM = "reclaim"
    KEEP = "keep"
    ACTIVATE = "activate"


@dataclass
class _Scan:
    """One run of reclaim. C type: ``struct scan_control``."""

    target: Memcg
    wanted: int
    kind: str = DIRECT
    priority: int = DEF_PRIORITY
    ignore_references: bool = False
    reclaimed: int = 0
    stop: Callable[[], bool] | None = None
    """Asked before each folio; True ends the run, as a signal would."""

    @property
    def done(self) -> bool:
        return self.reclaimed >= self.wanted or (self.stop is not None and self.stop())


class Reclaim(Shrinkers):
    """Eviction, and what a refault learns from it."""

    def __init__(self, ram_pages: int, swap: SwapSpace, memcgs: MemcgTable, record: Recorder | None) -> None:
        super().__init__(ram_pages, swap, memcgs, record)
        self.vm_events: Counter[str] = Counter()
        """What /proc/vmstat counts of reclaim on behalf of the whole machine, limits of cgroups left aside."""
        self._stop: Callable[[], bool] | None = None
        """Whether whoever asked for reclaim wants it to end; faults are never stopped by it."""

    # -- one folio -----------------------------------------------------------------------------------------------

    def _shrink_folio(self, folio: Folio, scan: _Scan) -> None:
        """Isolate one folio from the LRU, and free it or put it back."""
        assert folio.memcg is not None
        folio.memcg.lruvec.remove(folio)
        folio.memcg.count("pgscan", folio.nr_pages)
        if scan.kind is not DIRECT:
            folio.memcg.count(f"pgscan_{scan.kind}", folio.nr_pages)
        if folio.locked:
            self._lru_add(folio)
            return
        folio.refcount += 1
        folio.locked = True
        verdict = _References.RECLAIM if scan.ignore_references else self._check_references(folio)
        if verdict is _References.RECLAIM:
            self._pageout(folio, scan)
        else:
            self._put_back(folio, activate=verdict is _References.ACTIVATE)

    def _put_back(self, folio: Folio, activate: bool = False) -> None:
        """Put an isolated folio back on the LRU (or free it, if nobody else refers to it)."""
        assert folio.memcg is not None
        folio.locked = False
        folio.refcount -= 1
        if self._put_folio(folio):
            return
        if activate and not folio.active:
            folio.active = True
            folio.memcg.count("pgactivate", folio.nr_pages)
            self._age(folio.memcg, folio.nr_pages)
        self._lru_add(folio)

    def _referenced(self, folio: Folio) -> int:
        """Count the PTEs through which the folio was accessed since the last look, and clear their accessed bits."""
        seen = 0
        for pid, vpn in folio.mapped:
            table = self.mappers[pid].mm.page_table
            pte = table.get(vpn)
            if pte & PTE_ACCESSED:
                table.set(vpn, pte & ~PTE_ACCESSED)
                seen += 1
        return seen

    def _check_references(self, folio: Folio) -> _References:
        """Decide between eviction and a second chance. C name: ``folio_check_references``."""
        ptes, before = self._referenced(folio), folio.referenced
        folio.referenced = ptes > 0
        if not ptes:
            return _References.RECLAIM
        return _References.ACTIVATE if before or ptes > 1 else _References.KEEP

    def _pageout(self, folio: Folio, scan: _Scan) -> None:
        """Swap out an isolated, locked folio; in the end it is free or back on the LRU."""
        swap = self.swap
        if folio.dirty and not folio.uptodate:  # a page that a swapoff could not read: there is nothing to write
            self._finish(folio, scan, activate=True)
            return
        if not folio.in_swapcache:
            if not folio.mapped or not swap.can_swap_out(folio.memcg):
                self._finish(folio, scan)
                return
            try:
                swap.folio_alloc_swap(folio)
            except NoMemory:
                self._pageout_parts(folio, scan)
                return
            folio.dirty = True
        self._try_to_unmap(folio)
        if folio.dirty:
            result = swap.swap_writeout(folio)
            self._drain_released()
            if result is not Writeout.WRITTEN:
                self._finish(folio, scan, activate=result is Writeout.ACTIVATE)
                return
        swap.remove_mapping(folio, self._shadow(folio, scan.target))
        self._finish(folio, scan)

    def _pageout_parts(self, folio: Folio, scan: _Scan) -> None:
        """A folio finds no entries in a row: split it, and swap its pages out one by one.

        In legacy an entry is a slot, so this is where the want of a run shows. A virtual range can always be had; there
        the want of a run shows only when the folio is written out, and nothing splits it then [S13 S50].
        """
        if not folio.order:
            self._put_back(folio, activate=True)
            return
        if folio.order == SWAP_NR_ORDERS - 1:
            self._count(folio, "thp_swpout_fallback", 1)
        for part in self._split_folio(folio):
            self._pageout(part, scan)

    def _finish(self, folio: Folio, scan: _Scan, activate: bool = False) -> None:
        """End the work on a folio, and count it if that freed it."""
        if folio.refcount == 1:
            scan.reclaimed += folio.nr_pages
            self._count(folio, "pgsteal", folio.nr_pages)
            if scan.kind is not DIRECT:
                self._count(folio, f"pgsteal_{scan.kind}", folio.nr_pages)
        self._put_back(folio, activate)

    def _try_to_unmap(self, folio: Folio) -> None:
        """Replace each PTE that maps a folio of the swap cache by its entry; dirty bits move to the folio."""
        for (pid, vpn), index in list(folio.mapped.items()):
            mapper = self.mappers[pid]
            table = mapper.mm.page_table
            entry = folio.swap + index
            self._hold_entry(pid, entry)
            if table.get(vpn) & PTE_DIRTY:
                folio.dirty = True
            table.set(vpn, entry_to_pte(entry))
            self._unmap_page(mapper, vpn, folio)
            if self.record is not None:
                self.record(Event.PTE_SWAP, entry, pid=pid, vpn=vpn)

    @staticmethod
    def _count(folio: Folio, item: str, nr: int) -> None:
        assert folio.memcg is not None
        folio.memcg.count(item, nr)

    # -- the working set -----------------------------------------------------------------------------------------

    @staticmethod
    def _age(memcg: Memcg, nr: int) -> None:
        """Evictions and activations move the clock of a cgroup and of all above it on."""
        for each in memcg.lineage():
            each.lruvec.nonresident_age += nr

    def _shadow(self, folio: Folio, target: Memcg) -> int:
        """Return the shadow to leave for a folio that reclaim on behalf of `target` evicts."""
        shadow = pack_shadow(target.id, target.lruvec.nonresident_age, folio.workingset)
        self._age(target, folio.nr_pages)
        return shadow

    def _workingset_refault(self, folio: Folio, shadow: int) -> None:
        """Judge a folio that comes back, before it goes on the LRU. C name: ``workingset_refault``."""
        assert folio.memcg is not None
        memcg = folio.memcg
        memcg.count("workingset_refault_anon", folio.nr_pages)
        memcgid, age, workingset = unpack_shadow(shadow)
        evicted_by = self.memcgs.get(memcgid)
        if evicted_by is None or not evicted_by.online:
            return
        active = sum(each.lruvec.nr_active for each in evicted_by.subtree())
        if refault_distance(evicted_by.lruvec.nonresident_age, age) > active:
            return
        folio.active = True
        self._age(memcg, folio.nr_pages)
        memcg.count("workingset_activate_anon", folio.nr_pages)
        if workingset:
            folio.workingset = True
            memcg.count("workingset_restore_anon", folio.nr_pages)

    # -- lists ---------------------------------------------------------------------------------------------------

    def _shrink_inactive(self, lruvec: Lruvec, nr: int, scan: _Scan) -> int:
        """Look at `nr` pages from the old end of the inactive list; return how many there were."""
        seen = 0
        while seen < nr and not scan.done:
            folio = lruvec.oldest(active=False)
            if folio is None:
                break
            seen += folio.nr_pages
            self._shrink_folio(folio, scan)
        return seen

    def _shrink_active(self, lruvec: Lruvec, nr: int) -> int:
        """Move `nr` pages from the old end of the active list to the inactive one; return how many there were."""
        seen = 0
        while seen < nr:
            folio = lruvec.oldest(active=True)
            if folio is None:
                break
            seen += folio.nr_pages
            self._referenced(folio)
            self._deactivate(lruvec, folio)
            self._count(folio, "pgrefill", folio.nr_pages)
        return seen

    def _deactivate(self, lruvec: Lruvec, folio: Folio) -> None:
        lruvec.remove(folio)
        folio.active, folio.workingset = False, True
        lruvec.add(folio)
        self._count(folio, "pgdeactivate", folio.nr_pages)

    def _shrink_lruvec(self, lruvec: Lruvec, scan: _Scan) -> None:
        """Look at a share of both lists, in batches, the active one only while the inactive one is short."""
        inactive, active = lruvec.nr_inactive >> scan.priority, lruvec.nr_active >> scan.priority
        while (inactive > 0 or active > 0) and not scan.done:
            if active > 0:
                if lruvec.inactive_is_low():
                    self._shrink_active(lruvec, min(active, SWAP_CLUSTER_MAX))
                active -= SWAP_CLUSTER_MAX
            if inactive > 0:
                self._shrink_inactive(lruvec, min(inactive, SWAP_CLUSTER_MAX), scan)
                inactive -= SWAP_CLUSTER_MAX
        if lruvec.inactive_is_low():
            self._shrink_active(lruvec, SWAP_CLUSTER_MAX)

    def _try_to_free_pages(self, wanted: int, target: Memcg, kind: str = DIRECT) -> int:
        """Reclaim at least `wanted` pages below `target`, harder and harder; return how many were freed."""
        scan = _Scan(target, wanted, kind, stop=self._stop)
        scanned = self.root_memcg.events["pgscan"]
        for scan.priority in range(DEF_PRIORITY, -1, -1):
            members = list(target.subtree())
            first = target.reclaim_position % len(members)
            for memcg in members[first:] + members[:first]:
                target.reclaim_position += 1
                self._shrink_lruvec(memcg.lruvec, scan)
                self._shrink_zswap(memcg, scan.priority)
                if scan.done:
                    break
            if scan.done:
                break
        self._end_scan(scan, scanned)
        return scan.reclaimed

    def _reclaim_all(self, target: Memcg, kind: str = DIRECT) -> int:
        """Push out all that can be: a first look clears references, then everything goes in LRU order."""
        members = list(target.subtree())
        scan = _Scan(target, 1 << 62, kind, stop=self._stop)
        scanned = self.root_memcg.events["pgscan"]
        for memcg in members:
            self._shrink_inactive(memcg.lruvec, memcg.lruvec.nr_inactive, scan)
        scan.ignore_references = True
        for memcg in members:
            self._shrink_active(memcg.lruvec, memcg.lruvec.nr_active)
            self._shrink_inactive(memcg.lruvec, memcg.lruvec.nr_inactive, scan)
        self._end_scan(scan, scanned)
        return scan.reclaimed

    def _end_scan(self, scan: _Scan, scanned: int) -> None:
        """Count a run that began when `scanned` pages were scanned, if it was for the machine; run zswap's worker if it
        was woken.
        """
        if scan.target is self.root_memcg:
            self.vm_events[f"pgscan_{scan.kind}"] += self.root_memcg.events["pgscan"] - scanned
            self.vm_events[f"pgsteal_{scan.kind}"] += scan.reclaimed
        self._shrink_worker()
