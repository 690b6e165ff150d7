"""swapoff in the virtual design: bring a device's pages in, retarget descriptors, touch no page table [S14].

Round one starts a read for every slot in use, in slot order. Round two takes each slot that is left, pages it in, and
makes the folio itself the backing, which frees the slot. Page tables keep the entries they hold: no process, mapping or
page table is walked, and pages in zswap are not touched at all. Nobody asks whether a page could be read: if not, its
folio backs the entry all the same, not uptodate, and whoever wants the page gets an error (SIGBUS) [S14].

Reads complete at once in this model, so round one leaves little for round two but the retargeting.
"""

from __future__ import annotations

from collections.abc import Iterator

from vswaplab.backends.swapfile import SwapFile
from vswaplab.backends.swapoff import run_swapoff, stop_if_cancelled
from vswaplab.entry import make_slot
from vswaplab.errors import Busy, NoMemory
from vswaplab.protocols import FolioLike, SwapoffHost, SwapoffReport
from vswaplab.virtual.io import SwapIO

__all__ = ["Swapoff"]


class Swapoff(SwapIO):
    """`swapoff`: both rounds, and what stops them."""

    def swapoff(self, type: int, host: SwapoffHost) -> SwapoffReport:
        """Take device `type` off, and report what that took.

        Interrupted (-EINTR) on a signal, NoMemory (-ENOMEM) when a page can't be had (OutOfMemory when the machine is
        full, which kills whoever calls swapoff), Busy (-EBUSY) while the device is pinned: then the device is on again
        with its old priority, nothing is lost, and swapoff may be tried again. A page that can't be read, in either
        round, is lost, as it was on the device; swapoff goes on, and counts it in `pages_lost`.
        """
        if self.device_pins.get(type):
            raise Busy(f"Device {type} is pinned by a fault in progress; put_swap_entry ends that.")

        def empty(device: SwapFile, report: SwapoffReport) -> None:
            if device.inuse_pages:
                self._round_one(device, host, report)
            if device.inuse_pages:
                self._round_two(device, host, report)

        return run_swapoff(self.devices, type, empty)

    def _in_use(self, device: SwapFile, host: SwapoffHost, report: SwapoffReport) -> Iterator[tuple[int, int]]:
        """Scan the device's bitmap in order; yield (offset, entry) of each slot still in use when its turn comes."""
        report.rounds += 1
        last = 0
        for offset in device.allocated_offsets():
            at = int(offset)
            report.slots_scanned += at - last
            last = at
            stop_if_cancelled(host)
            entry = self._rmap_read(device, at) if device.is_allocated(at) else 0
            if entry:
                yield at, entry
        report.slots_scanned += device.max - last

    def _pagein(self, entry: int, host: SwapoffHost, report: SwapoffReport) -> FolioLike | None:
        cached = self.swap_cache_get_folio(entry)
        if cached is not None:
            return cached
        folio = host.pagein(entry)
        if folio is not None and folio.uptodate:
            report.pages_read += folio.nr_pages
        return folio

    def _round_one(self, device: SwapFile, host: SwapoffHost, report: SwapoffReport) -> None:
        for _, entry in self._in_use(device, host, report):
            try:
                self._pagein(entry, host, report)
            except NoMemory:
                # Only a head start: what is missing is asked for again, and reported, in round two.
                return

    def _round_two(self, device: SwapFile, host: SwapoffHost, report: SwapoffReport) -> None:
        for offset, entry in self._in_use(device, host, report):
            slot = make_slot(device.type, offset)
            try:
                folio = self._pagein(entry, host, report)
            except NoMemory as error:
                raise type(error)(f"swapoff stopped: no page for swap entry {entry}. {error}") from error
            if folio is None or self.swp_entry_to_swp_slot(entry) != slot:
                continue  # freed or moved while the page was on its way
            if not folio.uptodate:
                report.pages_lost += folio.nr_pages
            locked, folio.locked = folio.locked, True
            self.vswap_store_folio(folio.swap, folio)
            folio.dirty = True
            folio.locked = locked
