"""Mappings come and go: munmap, fork, exit.

fork copies page tables, not pages: present pages are write-protected on both sides, and a swap entry gets one more
reference [S10]. munmap and exit drop references in runs of consecutive entries; the swap layer cuts them where it
must.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from vswaplab.entry import PTE_POISON, PTE_PRESENT, PTE_WRITE, entry_to_pte, frame_to_pte, pte_to_entry, pte_to_frame
from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.events import Event
from vswaplab.mm.fault import Faults
from vswaplab.mm.folio import Folio
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Mapper, Process, Region
from vswaplab.units import PAGE_SHIFT

if TYPE_CHECKING:
    from vswaplab.mm.machine import Machine

__all__ = ["Mappings"]

_KEPT_FLAGS = (1 << PAGE_SHIFT) - 1 & ~PTE_WRITE


def _runs(ptes: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield (first page number, first entry, how many) for PTEs that hold consecutive entries; (vpn, pte, 0) if
    present or poisoned.
    """
    start, entry, nr = 0, 0, 0
    for vpn, pte in ptes:
        here = 0 if pte & PTE_PRESENT or pte == PTE_POISON else pte_to_entry(pte)
        if nr and here and vpn == start + nr and here == entry + nr:
            nr += 1
            continue
        if nr:
            yield start, entry, nr
        nr = 0
        if here:
            start, entry, nr = vpn, here, 1
        else:
            yield vpn, pte, 0
    if nr:
        yield start, entry, nr


class Mappings(Faults):
    """Processes are born, fork, unmap and die."""

    _next_pid = 1

    def _spawn(self, name: str, memcg: Memcg, cpu: int, parent: int = 0) -> Process:
        process = Process(cast("Machine", self), self._next_pid, name, memcg, cpu, parent)
        self._next_pid += 1
        if self.record is not None:
            self.record(Event.SPAWN, pid=process.pid, value=parent)
        return process

    # -- unmap ---------------------------------------------------------------------------------------------------

    def munmap_range(self, process: Process, start: int, end: int) -> None:
        """Unmap the addresses from `start` up to `end`; InvalidArgument if there is no mapping among them."""
        removed = process.mm.remove(start, end)
        if not removed:
            raise InvalidArgument(f"Nothing is mapped between {start:#x} and {end:#x} in process {process.pid}.")
        self._run_on(process.cpu)
        for region in removed:
            self._zap_range(process, region.vpn, region.end_vpn)
        self._settle()

    def exit_process(self, process: Process) -> None:
        """End a process: everything it maps is let go."""
        self._run_on(process.cpu)
        self._tear_down(process)
        del self.processes[process.pid]
        self._settle()

    def _tear_down(self, process: Process) -> None:
        for region in process.mm.vmas:
            self._zap_range(process, region.vpn, region.end_vpn)
        process.mm.vmas = []
        process.alive = False
        if process.mm.on_mmlist:
            self._mmlist.remove(process)
        if self.record is not None:
            self.record(Event.EXIT, pid=process.pid)

    def _zap_range(self, process: Mapper, start: int, end: int) -> None:
        """Empty the PTEs of a range, and drop what each refers to."""
        table = process.mm.page_table
        for vpns in table.clear_frame(start, end, self.zero_folio.pfn):
            if self.record is not None:
                self.record.many(Event.PTE_CLEAR, len(vpns), pid=process.pid, vpn=vpns)
        for vpn, what, nr in _runs(table.walk(start, end)):
            for i in range(nr or 1):
                table.set(vpn + i, 0)
                if self.record is not None:
                    self.record(Event.PTE_CLEAR, what + i if nr else 0, pid=process.pid, vpn=vpn + i)
            if nr:
                self.swap.free_swap_and_cache_nr(what, nr)
                self._drain_released()
            elif what != PTE_POISON:
                folio = self.frames[pte_to_frame(what)]
                self._unmap_page(process, vpn, folio)
                self._drop_folio(folio)

    # -- fork ----------------------------------------------------------------------------------------------------

    def fork_process(self, parent: Process, name: str | None = None) -> Process:
        """Return a child with a copy of the parent's page tables. On an error there is no child; the parent is as it
        was, but that its next writes fault once each, to find that their pages are not shared.
        """
        self._run_on(parent.cpu)
        child = self._spawn(parent.name if name is None else name, parent.memcg, parent.cpu, parent.pid)
        child.mm.vmas = list(parent.mm.vmas)
        try:
            zero = self.zero_folio.pfn
            for vpns in child.mm.page_table.copy_frame(parent.mm.page_table, zero):
                self._trace_zero_pages(child, vpns)
            for vpn, what, nr in _runs(parent.mm.page_table.walk(leave_out=zero)):
                if nr:
                    self._share_entries(child, vpn, what, nr)
                    self._add_to_mmlist(child, behind=parent)
                elif what == PTE_POISON:
                    self._poison(child, vpn)
                else:
                    self._share_page(parent, child, vpn, what)
        except SwapError:
            self._tear_down(child)
            self._settle()
            raise
        self.processes[child.pid] = child
        self._settle()
        return child

    def populate_range(self, process: Process, region: Region) -> None:
        """Map the zero page wherever a region is empty.

        InvalidArgument if the region is not mapped as one piece, or has more pages than the trace may keep records: a
        trace knows every PTE by itself, and has no array forms to keep it small.
        """
        vma = process.mm.find(region.vpn)
        if vma is None or region.end_vpn > vma.end_vpn:
            raise InvalidArgument(f"{region!r} is not mapped in process {process.pid}; mmap it first.")
        capacity: int = getattr(self.record, "capacity", region.pages)
        if region.pages > capacity:
            raise InvalidArgument(
                f"Populating {region.pages} pages takes as many records, the trace keeps {capacity}; make the machine "
                "with trace=False, or with a larger trace."
            )
        for vpns in process.mm.page_table.fill(region.vpn, region.pages, frame_to_pte(self.zero_folio.pfn, False)):
            self._trace_zero_pages(process, vpns)

    def _trace_zero_pages(self, process: Process, vpns: npt.NDArray[np.int64]) -> None:
        if self.record is not None:
            self.record.many(Event.PTE_MAP, len(vpns), pid=process.pid, vpn=vpns, value=self.zero_folio.pfn)

    def _share_entries(self, child: Process, vpn: int, entry: int, nr: int) -> None:
        self.swap.swap_duplicate_nr(entry, nr)
        for i in range(nr):
            child.mm.page_table.set(vpn + i, entry_to_pte(entry + i))
            if self.record is not None:
                self.record(Event.PTE_SWAP, entry + i, pid=child.pid, vpn=vpn + i)

    def _share_page(self, parent: Process, child: Process, vpn: int, pte: int) -> None:
        parent.mm.page_table.set(vpn, pte & ~PTE_WRITE)
        frame = pte_to_frame(pte)
        folio: Folio = self.frames[frame]
        self._map_page(child, vpn, folio, frame - folio.pfn, pte & _KEPT_FLAGS)
