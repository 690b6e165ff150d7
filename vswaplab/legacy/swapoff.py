"""swapoff in the legacy design: find every page table entry that holds a slot of the device, and rewrite it [S14].

``try_to_unuse``: tmpfs files first, then every address space that ever held a swap entry, the newest first, every
region, every page table down to each entry, until nothing of the device is in use; then a scan of the swap_map for
slots that only the swap cache keeps. What is still in use after that is looked for again, from the start.
"""

from __future__ import annotations

from vswaplab.backends.swapfile import SwapFile
from vswaplab.backends.swapoff import run_swapoff, stop_if_cancelled
from vswaplab.errors import NoMemory
from vswaplab.legacy.io import LegacyIO
from vswaplab.protocols import SwapoffHost, SwapoffReport

__all__ = ["LegacySwapoff"]


class LegacySwapoff(LegacyIO):
    """`swapoff`: rounds of walks, and what stops them."""

    def swapoff(self, type: int, host: SwapoffHost) -> SwapoffReport:
        """Take device `type` off, and report what that took.

        Interrupted (-EINTR) on a signal, NoMemory (-ENOMEM) when a page can't be had (OutOfMemory when the machine is
        full, which kills whoever calls swapoff): then the device is on again with its old priority, nothing is lost,
        and swapoff may be tried again. A page that can't be read is lost, as it was on the device: it leaves a poison
        marker, swapoff goes on, and counts it in `pages_lost`. A round that frees nothing is NoMemory too, where Linux
        would try for ever.
        """
        return run_swapoff(self.devices, type, lambda device, report: self._try_to_unuse(device, host, report))

    def _try_to_unuse(self, device: SwapFile, host: SwapoffHost, report: SwapoffReport) -> None:
        while device.inuse_pages:
            report.rounds += 1
            before = device.inuse_pages
            host.shmem_unuse(device.type, report)
            for mm in host.mmlist():
                if not device.inuse_pages:
                    break
                stop_if_cancelled(host)
                host.unuse_mm(mm, device.type, report)
            self._free_leftovers(device, host, report)
            if device.inuse_pages == before:
                raise NoMemory(
                    f"swapoff got nowhere: {before} pages of device {device.type} go out as fast as they come in; "
                    "free memory or swap on another device, and run it again."
                )

    def _free_leftovers(self, device: SwapFile, host: SwapoffHost, report: SwapoffReport) -> None:
        """Scan the swap_map for slots in use, and free those that only the swap cache keeps."""
        if not device.inuse_pages:
            return
        at = 0
        for each in device.allocated_offsets():
            stop_if_cancelled(host)
            at = int(each)
            folio = self.swap_cache_get_folio(device.slot_base | at)
            if folio is not None and not folio.locked and self.folio_free_swap(folio):
                self.released.append(folio)
            if not device.inuse_pages:
                break
        report.slots_scanned += at if not device.inuse_pages else device.max - 1
