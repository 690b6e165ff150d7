"""Checksums of what was written to swap devices, so that a page that comes back other than it went is noticed.

Linux keeps none: a page that a disk changes silently is a page that a program gets silently. A machine made with
``verify=True`` remembers the CRC-32 of every page it writes to a slot, four bytes a slot, and a read that brings
something else is a `ChecksumMismatch` (-EIO) instead. The write need not have succeeded for that: what a failed one
has left in a slot is not what should be there either.

>>> from vswaplab.backends.device import MemoryDevice
>>> devices = VerifiedDevices()
>>> si = devices.swapon(MemoryDevice("1M"))
>>> slot = devices.alloc_slot()
>>> devices.write(slot, bytes(4096))
>>> si.device.write(slot.offset, b"rotten".ljust(4096))  # behind the back of the swap layer
>>> devices.read(slot)
Traceback (most recent call last):
...
vswaplab.backends.checksums.ChecksumMismatch: Page 1 of memory is damaged: it has the checksum 0xa6258c3d, 0xc71c0011 \
was written; restore it on the device, or free the page.
"""

from __future__ import annotations

from zlib import crc32

from vswaplab.arena import Arena
from vswaplab.backends.device import Device
from vswaplab.backends.swapfile import Discard, SwapDevices, SwapFile
from vswaplab.entry import SLOT_OFFSET_BITS, SLOT_OFFSET_MASK
from vswaplab.errors import DeviceIOError
from vswaplab.units import PAGE_SIZE

__all__ = ["ChecksumMismatch", "Checksums", "VerifiedDevices"]


class ChecksumMismatch(DeviceIOError):
    """-EIO: a device returned other bytes than were written to it."""


class Checksums:
    """The CRC-32 of each page written to a device of `slots` slots; memory only for those that were."""

    def __init__(self, slots: int) -> None:
        """Reserve four bytes a slot; NoMemory when there is no address space for them."""
        self.arena = Arena("<u4", slots)
        self._sums = memoryview(self.arena.rows)

    def note(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Remember what the slots from `offset` on are to hold."""
        for i, checksum in enumerate(_checksums(data)):
            self._sums[offset + i] = checksum

    def verify(self, offset: int, data: bytes, name: str) -> None:
        """ChecksumMismatch, which calls the device `name`, if `data` is not what the slots from `offset` on are to
        hold; a slot that was never written has nothing to compare with.
        """
        for i, found in enumerate(_checksums(data)):
            wanted = self._sums[offset + i]
            if wanted not in (0, found):
                raise ChecksumMismatch(
                    f"Page {offset + i} of {name} is damaged: it has the checksum {found:#010x}, {wanted:#010x} was "
                    "written; restore it on the device, or free the page."
                )


def _checksums(data: bytes | bytearray | memoryview) -> list[int]:
    """Return the CRC-32 of each page; 0 stands for none, so a page that has it counts as 1."""
    view = memoryview(data)
    return [crc32(view[start : start + PAGE_SIZE]) or 1 for start in range(0, len(view), PAGE_SIZE)]


class VerifiedDevices(SwapDevices):
    """`SwapDevices` that check every page they read. Array forms move no bytes, so there is nothing to check there."""

    def __init__(self, cpus: int = 1, default_priority: str = "equal") -> None:
        """Arguments as for `SwapDevices`."""
        super().__init__(cpus, default_priority)
        self.checksums: dict[int, Checksums] = {}
        """Checksums by type of device."""

    def swapon(self, device: Device, priority: int | None = None, discard: Discard = False) -> SwapFile:
        """Use a device for swap; see `SwapDevices.swapon`."""
        checksums = Checksums(device.pages)
        si = super().swapon(device, priority, discard)
        self.checksums[si.type] = checksums
        return si

    def finish_swapoff(self, type: int) -> None:
        """Let go of an empty device and of its checksums; see `SwapDevices.finish_swapoff`."""
        super().finish_swapoff(type)
        del self.checksums[type]

    def read(self, slot: int, nr: int = 1) -> bytes:
        """Read `nr` pages from `slot` on; DeviceIOError if the device can't, or returns what was not written."""
        data = super().read(slot, nr)
        type = slot >> SLOT_OFFSET_BITS
        try:
            self.checksums[type].verify(slot & SLOT_OFFSET_MASK, data, self[type].device.name)
        except ChecksumMismatch:
            self.read_errors += 1
            raise
        return data

    def write(self, slot: int, data: bytes | bytearray | memoryview) -> None:
        """Write whole pages from `slot` on; DeviceIOError or NoSpace if the device can't."""
        self.checksums[slot >> SLOT_OFFSET_BITS].note(slot & SLOT_OFFSET_MASK, data)
        super().write(slot, data)
