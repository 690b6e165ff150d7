"""Operations of the random machine on its swap devices."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vswaplab.errors import Interrupted
from vswaplab.testing.draws import ANY, flags, one_of, operation, whole
from vswaplab.testing.model import Model
from vswaplab.units import PAGE_SIZE

__all__ = ["DEVICE_KINDS", "DeviceOperations"]

DEVICE_KINDS = ("disk", "ram disk", "file")
"""Memory that must be waited for, memory that is synchronous, a sparse file."""

_MAX_DEVICES = 3


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
        """A device is swapped on: a disk, a RAM disk, or a file."""
        path: Path | None = None
        if kind == "file":
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="vswaplab-"))
            self.swapfiles += 1
            path = self.folder / f"swap{self.swapfiles}.img"
        size, synchronous = pages * PAGE_SIZE, kind == "ram disk"
        si = self.machine.swapon(path, size=size, priority=priority, discard=discard, synchronous=synchronous)
        self.devices_made.append(si.device)

    @operation(when=lambda self: len(self.machine.devices) > 0, which=ANY, patience=whole(0, 40, optional=True))
    def swapoff(self, which: int, patience: int | None) -> None:
        """A device is swapped off, unless memory is short, it can't be read, or a signal comes."""
        devices = list(self.machine.devices)
        with self.may_fail(Interrupted):
            self.machine.swapoff(devices[which % len(devices)], cancel=self.patience(patience))
