"""Operations of the random machine on its swap devices."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vswaplab.backends.device import Device, MemoryDevice
from vswaplab.errors import Interrupted
from vswaplab.testing.draws import ANY, flags, one_of, operation, whole
from vswaplab.testing.model import Model
from vswaplab.units import PAGE_SIZE

__all__ = ["DEVICE_KINDS", "DeviceOperations", "SlowMemoryDevice"]

DEVICE_KINDS = ("memory", "slow", "file")
"""Memory, memory that is not synchronous, a sparse file."""

_MAX_DEVICES = 3


class SlowMemoryDevice(MemoryDevice):
    """Memory that must be waited for, like a disk: swap-in reads ahead from it."""

    synchronous = False


class DeviceOperations(Model):
    """Devices are swapped on and off, or nearly off."""

    @operation(
        when=lambda self: len(self.machine.devices) < _MAX_DEVICES,
        kind=one_of(*DEVICE_KINDS),
        pages=whole(3, 120),
        priority=whole(0, 3, optional=True),
        discard=flags(),
    )
    def swapon(self, kind: str, pages: int, priority: int | None, discard: bool) -> None:
        """A device is swapped on: fast memory, slow memory, or a file."""
        device: Device | Path | None = SlowMemoryDevice(pages * PAGE_SIZE) if kind == "slow" else None
        if kind == "file":
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="vswaplab-"))
            self.swapfiles += 1
            device = self.folder / f"swap{self.swapfiles}.img"
        size = None if kind == "slow" else pages * PAGE_SIZE
        si = self.machine.swapon(device, size=size, priority=priority, discard=discard)
        self.devices_made.append(si.device)

    @operation(when=lambda self: len(self.machine.devices) > 0, which=ANY, patience=whole(0, 40, optional=True))
    def swapoff(self, which: int, patience: int | None) -> None:
        """A device is swapped off, unless memory is short, it can't be read, or a signal comes."""
        devices = list(self.machine.devices)
        with self.may_fail(Interrupted):
            self.machine.swapoff(devices[which % len(devices)], cancel=self.patience(patience))
