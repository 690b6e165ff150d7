"""What a swapoff needs of the machine when page tables hold physical slots: to find and rewrite every one [S14].

`LegacySwap.swapoff` drives the rounds of ``try_to_unuse``; here is how one address space, or every tmpfs file, is gone
through. A process that never swapped is not on the list, and a region that was never written can't hold an entry, so
neither is walked; of all others every table is read to its last entry, whether it has anything to do with the device or
not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vswaplab.backends.swapoff import stop_if_cancelled
from vswaplab.entry import PTE_PRESENT, SLOT_OFFSET_BITS, U64, pte_to_entry
from vswaplab.errors import Exists, NoMemory, NotFound
from vswaplab.mm.folio import Folio
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.page_table import PTRS_PER_TABLE
from vswaplab.mm.process import Process, Region
from vswaplab.mm.shmem import Shmem, ShmemFile
from vswaplab.protocols import SwapoffReport

__all__ = ["Unuse"]


class Unuse(Shmem):
    """`unuse_mm`, `shmem_unuse` and the list of address spaces."""

    def cancelled(self) -> bool:
        """Whether a signal is pending."""
        raise NotImplementedError

    def mmlist(self) -> Iterator[Process]:
        """Yield the processes that ever held a swap entry, the newest first; those that exit meanwhile are left out."""
        for process in list(self._mmlist):
            if process.mm.on_mmlist and process.alive:
                yield process

    # -- page tables ---------------------------------------------------------------------------------------------

    def unuse_mm(self, mm: Process, type: int, report: SwapoffReport) -> None:
        """Walk the page tables of one process and map every page that is on device `type`.

        Interrupted (-EINTR), NoMemory (-ENOMEM): what was done until then stays done, nothing is lost. A page that
        can't be read leaves a poison marker in its PTE, and the walk goes on [S14].
        """
        report.mms_walked += 1
        self._run_on(mm.cpu)
        for vma in list(mm.mm.vmas):
            if vma.anon:
                report.vmas_walked += 1
                self._unuse_vma(mm, vma, type, report)

    def _unuse_vma(self, process: Process, vma: Region, type: int, report: SwapoffReport) -> None:
        try:
            for base, ptes in process.mm.page_table.tables(vma.vpn, vma.end_vpn):
                report.tables_walked += 1
                if ptes is None:
                    continue
                stop_if_cancelled(self)
                first, stop = max(base, vma.vpn) - base, min(base + PTRS_PER_TABLE, vma.end_vpn) - base
                report.ptes_visited += stop - first
                for index in _swapped_on(type, ptes[first:stop]).tolist():
                    stop_if_cancelled(self)
                    self._unuse_pte(process, base + first + index, type, report)
        finally:
            self._settle()

    def _unuse_pte(self, process: Process, vpn: int, type: int, report: SwapoffReport) -> None:
        """Bring the page in and let the PTE map it, not accessed; then free the slot if that was its last reference."""
        pte = process.mm.page_table.get(vpn)
        entry = pte_to_entry(pte)
        if pte & PTE_PRESENT or not pte or entry >> SLOT_OFFSET_BITS != type:
            return  # changed while another page was on its way
        folio = self._unuse_pagein(entry, process.memcg, report)
        if folio is None or process.mm.page_table.get(vpn) != pte:
            return
        folio.readahead = False
        folio.locked = True
        if folio.uptodate:
            self._map_page(process, vpn, folio, entry - folio.swap, PTE_PRESENT)
            report.ptes_rewritten += 1
        else:
            self._poison(process, vpn)
            report.pages_lost += 1
        self.swap.swap_free_nr(entry, 1)
        self.swap.folio_free_swap(folio)
        folio.locked = False
        self._put_folio(folio)

    def _unuse_pagein(self, entry: int, otherwise: Memcg, report: SwapoffReport) -> Folio | None:
        """Return the folio of an entry from the swap cache, or read it in with its neighbours; None if it is gone."""
        folio = self._cached_folio(entry)
        if folio is not None:
            return folio
        before = self._pages_swapped_in()
        try:
            return self._swapin_readahead(entry, otherwise)
        except (Exists, NotFound):
            return self._cached_folio(entry)
        except NoMemory as error:
            raise type(error)(f"swapoff stopped: no page for swap entry {entry:#x}. {error}") from error
        finally:
            report.pages_read += self._pages_swapped_in() - before

    def _pages_swapped_in(self) -> int:
        events = self.root_memcg.events
        return events["pswpin"] + events["zswpin"] + events["swpin_zero"]

    # -- tmpfs ---------------------------------------------------------------------------------------------------

    def shmem_unuse(self, type: int, report: SwapoffReport) -> None:
        """Bring every page of tmpfs files that is on device `type` back into its file's index; as above."""
        for file in list(self.shmem_swaplist):
            report.shmem_inodes += 1
            self._shmem_unuse_inode(file, type, report)
            if file in self.shmem_swaplist and not file.swapped_pages:
                self.shmem_swaplist.remove(file)
        self._settle()

    def _shmem_unuse_inode(self, file: ShmemFile, type: int, report: SwapoffReport) -> None:
        for index, pte in file.index():
            report.shmem_entries += 1
            entry = pte_to_entry(pte)
            if pte & PTE_PRESENT or entry >> SLOT_OFFSET_BITS != type:
                continue
            stop_if_cancelled(self)
            folio = self._unuse_pagein(entry, file.memcg, report)
            if folio is None or file.mm.page_table.get(index) != pte:
                continue
            if folio.uptodate:
                self.shmem_swapin_folio(file, index, entry)
            else:
                self.shmem_set_folio_swapin_error(file, index, entry)
                report.pages_lost += 1


def _swapped_on(type: int, ptes: U64) -> npt.NDArray[np.intp]:
    """Return which of the PTEs of a table hold a slot of device `type`."""
    away = np.flatnonzero((ptes & np.uint64(PTE_PRESENT) == 0) & (ptes != 0))
    found: npt.NDArray[np.intp] = away[pte_to_entry(ptes[away]) >> np.uint64(SLOT_OFFSET_BITS) == np.uint64(type)]
    return found
