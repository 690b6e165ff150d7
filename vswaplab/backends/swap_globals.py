"""What all swap devices share: their table, the lists by priority, and the hints of each CPU [S20].

In the kernel these are global variables; here they belong to one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vswaplab.entry import swp_slot_t
from vswaplab.errors import InvalidArgument
from vswaplab.units import SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.backends.swap_info import SwapFile

__all__ = ["PercpuCluster", "SwapGlobals", "insert_by_prio"]


class PercpuCluster:
    """Where allocation goes on, for each order: a device and an offset. C type: ``struct percpu_swap_cluster``."""

    __slots__ = ("device", "offset")

    def __init__(self) -> None:
        self.device: list[SwapFile | None] = [None] * SWAP_NR_ORDERS
        self.offset = [0] * SWAP_NR_ORDERS

    def drop(self, order: int) -> None:
        """Forget the hint of one order."""
        self.device[order] = None
        self.offset[order] = 0


class SwapGlobals:
    """What all devices share: the table of devices, the list to allocate from, the hints of each CPU."""

    def __init__(self, cpus: int = 1) -> None:
        if cpus < 1:
            raise InvalidArgument(f"A machine needs at least one CPU, not {cpus}.")
        self.swap_info: list[SwapFile | None] = []
        """Devices by type; None where one was swapped off."""
        self.active: list[SwapFile] = []
        """``swap_active_head``: writable devices, highest priority first."""
        self.avail: list[SwapFile] = []
        """``swap_avail_head``: those with room; equals take turns."""
        self.percpu = [PercpuCluster() for _ in range(cpus)]
        self.bitmap_scans = 0
        """Times that a cluster's bitmap was searched for free slots, over all devices there ever were."""
        self.reclaim_slot: Callable[[swp_slot_t], int] | None = None
        """Set by the design: tries to free a cache-only slot; returns how many slots went, 0 if it could not."""
        self.on_swapon: Callable[[SwapFile], None] | None = None
        """Set by a design that keeps arrays of its own for each device; an error refuses the device."""
        self.on_swapoff: Callable[[SwapFile], None] | None = None
        """Set by such a design: the device is empty and goes."""

    @property
    def total_pages(self) -> int:
        """Usable slots of all writable devices: SwapTotal in pages."""
        return sum(si.pages for si in self.active)

    @property
    def free_pages(self) -> int:
        """Free slots of all writable devices: SwapFree in pages."""
        return sum(si.pages - si.inuse_pages for si in self.active)

    def vm_swap_full(self) -> bool:
        """Tell whether swap, all devices taken together, is more than half full [S20]."""
        return self.free_pages * 2 < self.total_pages

    def add_avail(self, si: SwapFile) -> None:
        """Put a device on the list to allocate from, behind its equals."""
        insert_by_prio(self.avail, si)


def insert_by_prio(devices: list[SwapFile], si: SwapFile) -> None:
    """Insert a device into a list in falling priority, behind those of the same priority."""
    at = next((at for at, other in enumerate(devices) if other.prio < si.prio), len(devices))
    devices.insert(at, si)
