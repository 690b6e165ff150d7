"""Swap-in: a page comes back through the swap cache, or past it [S13].

The entry is pinned, a folio is charged to the cgroup that the entry names, put in the swap cache, judged by the
shadow found there, and read. If the read fails the folio stays there, not uptodate: every access is an error (SIGBUS)
until reclaim drops it. Neighbours on the device are read along while memory is free.

A page on a synchronous device whose entry one page table entry alone holds is read *past* the swap cache: there is
nothing to wait for and nobody to share it with, so it is mapped at once, and its swap is free. Only so does a range
that was swapped out as a large folio come back as one: on one device in one run, or in legacy all zeros.
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
        unlocked. If it could not be read it is not uptodate, and `read_error` says why [S13].

        Exists if one is in the cache or on its way, NotFound if one is gone, NoMemory; nothing has changed then.
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
        except DeviceIOError as error:
            folio.read_error = error
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

    def _swapin_readahead(self, entry: int, otherwise: Memcg) -> Folio:
        """Read one page, then its neighbours on the device if it is worth while; as for `_read_swap_cache`."""
        memcg = self._memcg_of_entry(entry, otherwise)
        neighbours = self.swap.readahead_entries(entry, 1 << self.page_cluster) if self.page_cluster else []
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

    # -- past the swap cache -------------------------------------------------------------------------------------

    def _bypasses_swap_cache(self, entry: int) -> bool:
        """Whether a fault reads an entry past the swap cache: it is on a synchronous device, and the fault's page table
        entry alone holds it [S13].

        In legacy every entry is on the device of its slot, whatever holds the contents; in the virtual design only one
        with physical backing is.
        """
        return self._on_synchronous_device(entry) and self.swap.swp_swapcount(entry) == 1

    def _swapin_bypassing(self, process: Mapper, vma: Region, vpn: int, entry: int) -> tuple[Folio, int]:
        """Read the page of a swap PTE past the swap cache, as part of a large folio if that may be.

        Return the folio, with one reference, locked, its entries pinned, and the first of them. Errors as for
        `_read_swap_cache`.
        """
        memcg = self._memcg_of_entry(entry, process.memcg)
        if vma.order:
            nr = 1 << vma.order
            start = entry - (vpn & nr - 1)
            if self._may_swapin_large(process, vma, vpn, start, nr):
                try:
                    return self._read_bypassing(start, vma.order, memcg, retries=1), start
                except (Exists, NotFound, NoMemory, DeviceIOError):
                    pass  # one by one they may do: a bad page must not take its neighbours along
        return self._read_bypassing(entry, 0, memcg), entry

    def _may_swapin_large(self, process: Mapper, vma: Region, vpn: int, start: int, nr: int) -> bool:
        """Whether the aligned range around a page may be read as one folio: PTEs and entries in order, one cgroup, and
        what backs them in one run."""
        first = vpn & ~(nr - 1)
        inside = vma.vpn <= first and first + nr <= vma.end_vpn
        if not inside or not self._holds_entries(process, first, start, nr) or not self.swap.can_swapin_thp(start, nr):
            return False
        owner = self.swap.lookup(start).memcgid
        return all(self.swap.lookup(start + i).memcgid == owner for i in range(1, nr))

    def _read_bypassing(self, entry: int, order: int, memcg: Memcg, retries: int = MAX_RECLAIM_RETRIES) -> Folio:
        """Pin entries, and read them into a folio that never enters the swap cache."""
        nr = 1 << order
        self.swap.swapcache_prepare(entry, nr)
        try:
            folio = self._alloc_folio(order, memcg, retries)
            folio.locked, folio.uptodate, folio.swap = True, False, entry
            try:
                if shadow := self.swap.swap_cache_get_shadow(entry):
                    self._workingset_refault(folio, shadow)
                self.swap.swap_read_folio(folio)
            except BaseException:
                folio.locked = False
                folio.refcount -= 1
                self._put_folio(folio)
                raise
            finally:
                folio.swap = 0
        except BaseException:
            self.swap.swapcache_clear(entry, nr)
            raise
        return folio

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

        The folio is not uptodate if it can't be read. NoMemory when no page can be had.
        """
        folio = self._cached_folio(entry)
        if folio is not None:
            return folio
        try:
            return self._read_swap_cache(entry, 0, self._memcg_of_entry(entry, self.root_memcg))
        except (Exists, NotFound):
            return self._cached_folio(entry)
