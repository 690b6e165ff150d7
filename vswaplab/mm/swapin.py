"""Swap-in: a page comes back through the swap cache [S13].

The entry is pinned, a folio is charged to the cgroup that the entry names, put in the swap cache, judged by the
shadow found there, and read. If the read fails the folio goes again, and the entry is as it was. Neighbours on the
device are read along when memory is free and the device is one that must be waited for; a range that was swapped out
as a large folio comes back as one if all of it is zero pages, or lies on a synchronous device in one run.
"""

from __future__ import annotations

from vswaplab.entry import entry_to_pte
from vswaplab.errors import DeviceIOError, Exists, NoMemory, NotFound, SwapError
from vswaplab.mm.alloc import MAX_RECLAIM_RETRIES, Allocation
from vswaplab.mm.folio import Folio
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Mapper, Region

__all__ = ["PAGE_CLUSTER", "SwapIn"]

PAGE_CLUSTER = 3
"""vm.page-cluster: readahead looks at aligned windows of ``1 << 3`` slots [BACKGROUND]."""


class SwapIn(Allocation):
    """From an entry to a folio in the swap cache, uptodate."""

    page_cluster = PAGE_CLUSTER

    def _read_swap_cache(self, entry: int, order: int, memcg: Memcg, retries: int = MAX_RECLAIM_RETRIES) -> Folio:
        """Bring the entries from `entry` on into the swap cache as one folio of `order`, and return it: on the LRU,
        unlocked.

        Exists if one is in the cache or on its way, NotFound if one is gone, NoMemory, or DeviceIOError; nothing has
        changed then.
        """
        nr = 1 << order
        self.swap.swapcache_prepare(entry, nr)
        try:
            folio = self._alloc_folio(order, memcg, retries)
        except NoMemory:
            self.swap.swapcache_clear(entry, nr)
            raise
        folio.locked, folio.uptodate = True, False
        shadow = self.swap.swap_cache_add_folio(folio, entry)
        try:
            if shadow:
                self._workingset_refault(folio, shadow)
            self.swap.swap_read_folio(folio)
        except BaseException:
            self.swap.swap_cache_del_folio(folio)
            folio.locked = False
            folio.refcount -= 1
            self._put_folio(folio)
            raise
        folio.locked = False
        folio.refcount -= 1
        self._lru_add(folio)
        return folio

    def _swapin_folio(self, process: Mapper, vma: Region, vpn: int, entry: int) -> Folio:
        """Read the page of a swap PTE: as part of a large folio if that may be, else alone, then its neighbours."""
        folio = self._swapin_large(process, vma, vpn, entry) if vma.order else None
        return folio if folio is not None else self._swapin_readahead(entry, process.memcg)

    def _swapin_readahead(self, entry: int, otherwise: Memcg) -> Folio:
        """Read one page, then its neighbours on the device if it is worth while; errors as for `_read_swap_cache`."""
        memcg = self._memcg_of_entry(entry, otherwise)
        neighbours: list[int] = []
        if self.page_cluster and not self._on_synchronous_device(entry):
            neighbours = self.swap.readahead_entries(entry, 1 << self.page_cluster)
        folio = self._read_swap_cache(entry, 0, memcg)
        if neighbours:
            folio.refcount += 1
            self._readahead(neighbours, memcg)
            folio.refcount -= 1
        return folio

    def _readahead(self, entries: list[int], otherwise: Memcg) -> None:
        """Read entries nobody has asked for yet, as long as memory is free; failures are nobody's business."""
        for entry in entries:
            try:
                memcg = self._memcg_of_entry(entry, otherwise)
                if not self._fits(1, memcg):
                    return
                folio = self._read_swap_cache(entry, 0, memcg)
            except SwapError:
                continue
            folio.readahead = True
            memcg.count("swap_ra")

    def _swapin_large(self, process: Mapper, vma: Region, vpn: int, entry: int) -> Folio | None:
        """Read the aligned range around a page as one folio, or return None if it can't be had as one."""
        nr = 1 << vma.order
        first = vpn & ~(nr - 1)
        start = entry - (vpn - first)
        if first < vma.vpn or first + nr > vma.end_vpn or not self._holds_entries(process, first, start, nr):
            return None
        if not self._may_swapin_large(start, nr):
            return None
        memcg = self._memcg_of_entry(entry, process.memcg)
        try:
            return self._read_swap_cache(start, vma.order, memcg, retries=1)
        except (Exists, NotFound, NoMemory, DeviceIOError):
            return None  # one by one they may do: a bad page must not take its neighbours along

    def _may_swapin_large(self, start: int, nr: int) -> bool:
        """Whether entries may be read as one folio: one cgroup, all zero, or one run on a synchronous device [S13]."""
        if not self.swap.can_swapin_thp(start, nr):
            return False
        owner = self.swap.lookup(start).memcgid
        if any(self.swap.lookup(start + i).memcgid != owner for i in range(1, nr)):
            return False
        return self._is_zero(start) or self._on_synchronous_device(start)

    @staticmethod
    def _holds_entries(process: Mapper, vpn: int, entry: int, nr: int) -> bool:
        """Whether `nr` PTEs from `vpn` on hold the entries from `entry` on, in order."""
        if entry <= 0:
            return False
        ptes = process.mm.page_table.get_range(vpn, nr)
        return all(pte == entry_to_pte(entry + i) for i, pte in enumerate(ptes.tolist()))

    # -- for swapoff ---------------------------------------------------------------------------------------------

    def pagein(self, entry: int) -> Folio | None:
        """Bring an entry into the swap cache and return its folio, or None if it is gone. For swapoff [S14].

        NoMemory when no page can be had, DeviceIOError when it can't be read.
        """
        folio = self._cached_folio(entry)
        if folio is not None:
            return folio
        try:
            return self._read_swap_cache(entry, 0, self._memcg_of_entry(entry, self.root_memcg))
        except (Exists, NotFound):
            return self._cached_folio(entry)
