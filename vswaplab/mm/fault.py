"""Page faults: a first touch, a page that is out, a write to a page that is shared [BACKGROUND: mm/memory.c; S13].

* Reading memory never written maps the shared zero page; writing it allocates a folio of zeros.
* A swap fault finds the folio in the swap cache (minor) or reads it in (major), maps it and drops the PTE's reference
  to the entry. Swap is freed at once then, unless a slot on a device could serve again for a clean page: not when the
  fault is a write of the only owner, nor when swap is half full. From a synchronous device a page comes past the swap
  cache, and has no swap from then on.
* A write to a write-protected page copies it, unless nobody else can see it.
"""

from __future__ import annotations

from vswaplab.entry import PTE_ACCESSED, PTE_DIRTY, PTE_POISON, PTE_PRESENT, PTE_WRITE, pte_to_entry, pte_to_frame
from vswaplab.errors import DeviceIOError, Exists, InvalidArgument, NoMemory, NotFound
from vswaplab.events import Event
from vswaplab.mm.folio import Folio
from vswaplab.mm.process import Mapper, Process, Region
from vswaplab.mm.swapin import SwapIn
from vswaplab.units import PAGE_SHIFT, SWAP_NR_ORDERS

__all__ = ["MAX_TRIES", "PATIENCE", "Faults"]

_READ = PTE_PRESENT | PTE_ACCESSED
_WRITE = PTE_PRESENT | PTE_ACCESSED | PTE_WRITE | PTE_DIRTY
MAX_TRIES = 8
"""How often a fault looks at its page table entry, which reclaim may change meanwhile."""
PATIENCE = 4
"""After so many tries reclaim in the background waits for the next operation: Linux keeps a page that was just faulted
in off the LRU for a while, in a batch of its CPU, so that its task gets on [BACKGROUND]."""


class Faults(SwapIn):
    """`handle_mm_fault` and the kinds of faults below it."""

    def handle_mm_fault(self, process: Process, vpn: int, write: bool) -> None:
        """Make a page present, and writable if `write`. InvalidArgument if nothing is mapped there; NoMemory;
        DeviceIOError.
        """
        vma = process.mm.find(vpn)
        if vma is None:
            raise InvalidArgument(
                f"Address {vpn << PAGE_SHIFT:#x} is not mapped in process {process.pid}; mmap it first."
            )
        if write and not vma.anon:
            process.mm.mark_anon(vma)
        self._run_on(process.cpu)
        table = process.mm.page_table
        self._count_fault(process, vpn, table.get(vpn), write)
        try:
            for tries in range(MAX_TRIES):
                pte = table.get(vpn)
                if not pte:
                    self._do_anonymous_page(process, vma, vpn, write)
                elif pte == PTE_POISON:
                    raise self._lost(process, vpn)
                elif not pte & PTE_PRESENT:
                    self._do_swap_page(process, vma, vpn, pte_to_entry(pte), write)
                elif write and not pte & PTE_WRITE:
                    self._do_wp_page(process, vpn, pte)
                else:
                    return
                if self._background and tries < PATIENCE:
                    self._run_background()  # which may take the page again: look once more
        finally:
            self._settle(background=False)
        raise NoMemory(f"Page {vpn:#x} does not stay in memory long enough to be used; give the machine more ram.")

    @staticmethod
    def _lost(process: Mapper, vpn: int) -> DeviceIOError:
        """Return the error of an access to a page that swapoff or tmpfs could not read: Linux sends SIGBUS [S14]."""
        return DeviceIOError(
            f"Page {vpn:#x} of process or file {process.pid} is lost, as it could not be read from swap; unmap it, or "
            "cut it off."
        )

    def _run_on(self, cpu: int) -> None:
        """The operations that follow run on a CPU."""
        self.swap.cpu = cpu
        if self.nodes > 1 and self.zswap is not None:
            self.zswap.node = cpu * self.nodes // len(self.devices.percpu)
        if self.record is not None:
            self.record.cpu = cpu

    def _settle(self, background: bool = True) -> None:
        """After an operation: free what the swap layer let go of, let zswap's worker and the devices' discard workers
        run if they were woken, and do what reclaim has to do in the background, unless a page is about to be used.
        """
        self._drain_released()
        self._shrink_worker()
        for si in self.devices.active:
            if si.lists.discard:
                si.do_discards()
        if background and self._background:
            self._run_background()

    def _count_fault(self, process: Process, vpn: int, pte: int, write: bool) -> None:
        """Count and trace a fault; it is a major one if the page must be read in."""
        entry = pte_to_entry(pte) if pte and not pte & PTE_PRESENT and pte != PTE_POISON else 0
        major = entry != 0 and self._cached_folio(entry) is None
        process.memcg.count("pgfault")
        if major:
            process.memcg.count("pgmajfault")
        if self.record is not None:
            self.record(Event.FAULT, entry, pid=process.pid, vpn=vpn, value=write | major << 1)

    # -- first touch ---------------------------------------------------------------------------------------------

    def _do_anonymous_page(self, process: Mapper, vma: Region, vpn: int, write: bool) -> None:
        if not write:
            self._map_page(process, vpn, self.zero_folio, 0, _READ)
            return
        folio = self._alloc_anon_folio(process, vma, vpn)
        first = vpn & ~(folio.nr_pages - 1)
        folio.dirty = True
        for index in range(folio.nr_pages):
            self._map_page(process, first + index, folio, index, _WRITE)
        folio.refcount -= 1
        self._lru_add(folio)

    def _alloc_anon_folio(self, process: Mapper, vma: Region, vpn: int) -> Folio:
        """Allocate for a write to empty memory: of the region's order if the aligned range is empty, else one page."""
        if vma.order:
            nr = 1 << vma.order
            first = vpn & ~(nr - 1)
            inside = vma.vpn <= first and first + nr <= vma.end_vpn
            if inside and not process.mm.page_table.get_range(first, nr).any():
                try:
                    folio = self._alloc_folio(vma.order, process.memcg, retries=1)
                except NoMemory:
                    pass  # a single page may still be had
                else:
                    if vma.order == SWAP_NR_ORDERS - 1:
                        process.memcg.count("thp_fault_alloc")
                    return folio
        return self._alloc_folio(0, process.memcg)

    # -- a page that is out --------------------------------------------------------------------------------------

    def _do_swap_page(self, process: Mapper, vma: Region, vpn: int, entry: int, write: bool) -> None:
        folio = self._cached_folio(entry)
        if folio is None:
            try:
                if self._bypasses_swap_cache(entry):
                    self._map_bypassing(process, vpn, entry, *self._swapin_bypassing(process, vma, vpn, entry))
                    return
                folio = self._swapin_readahead(entry, process.memcg)
            except (Exists, NotFound):
                return  # somebody was faster: look at the PTE again
            if folio.read_error is not None:
                raise folio.read_error
        elif folio.readahead:
            process.memcg.count("swap_ra_hit")
        folio.readahead = False
        if folio.dirty and not folio.uptodate:
            raise self._lost(process, vpn)
        if folio.read_error is not None:  # it was found, and is not read again: SIGBUS to the program [S13]
            raise type(folio.read_error)(
                f"Swap entry {entry:#x} can't be read until reclaim drops its folio, whose read failed: "
                f"{folio.read_error}"
            ) from folio.read_error
        folio.locked = True
        self._map_swapped(process, vma, vpn, folio, entry, write)
        folio.locked = False

    def _map_swapped(self, process: Mapper, vma: Region, vpn: int, folio: Folio, entry: int, write: bool) -> None:
        """Map a locked folio of the swap cache: all its pages at once where the PTEs allow it, else the one asked for.

        Whoever writes and finds no reference to the folio but the swap cache's is its only owner: swap goes at once.
        """
        only_owner = folio.refcount == folio.nr_pages
        nr, index = 1, entry - folio.swap
        first = vpn - index
        inside = vma.vpn <= first and first + folio.nr_pages <= vma.end_vpn
        if folio.order and inside and self._holds_entries(process, first, folio.swap, folio.nr_pages):
            nr, vpn, entry, index = folio.nr_pages, first, folio.swap, 0
        for i in range(nr):
            self._map_page(process, vpn + i, folio, index + i, _READ)
        self.swap.swap_free_nr(entry, nr)
        if self.swap.may_free_after_swapin(folio, owner_writes=write and only_owner):
            self.swap.folio_free_swap(folio)

    def _map_bypassing(self, process: Mapper, vpn: int, entry: int, folio: Folio, start: int) -> None:
        """Map a folio that was read past the swap cache, and let its swap go: nobody else's page table holds it."""
        first = vpn - (entry - start)
        for i in range(folio.nr_pages):
            self._map_page(process, first + i, folio, i, _READ)
        self.swap.swap_free_nr(start, folio.nr_pages)
        self.swap.swapcache_clear(start, folio.nr_pages)
        folio.locked = False
        folio.refcount -= 1
        self._lru_add(folio)

    # -- copy on write -------------------------------------------------------------------------------------------

    def _only_ours(self, folio: Folio, index: int) -> bool:
        """Whether a mapped page may be written in place: one PTE maps it, and no PTE holds its entry."""
        if folio is self.zero_folio or folio.mapcount(index) != 1:
            return False
        return not folio.in_swapcache or self.swap.swp_swapcount(folio.swap + index) == 0

    def _do_wp_page(self, process: Mapper, vpn: int, pte: int) -> None:
        frame = pte_to_frame(pte)
        folio = self.frames[frame]
        index = frame - folio.pfn
        if self._only_ours(folio, index):
            process.mm.page_table.set(vpn, pte | _WRITE)
            folio.dirty = True
            return
        was_locked, folio.locked = folio.locked, True  # reclaim leaves it alone while the copy is allocated
        folio.refcount += 1
        try:
            copy = self._alloc_folio(0, process.memcg)
        finally:
            folio.locked = was_locked
            folio.refcount -= 1
        copy.data[:] = folio.page(index)
        copy.dirty = True
        self._unmap_page(process, vpn, folio)
        self._map_page(process, vpn, copy, 0, _WRITE)
        copy.refcount -= 1
        self._lru_add(copy)
        self._drop_folio(folio)
