"""Swap devices: swapped on and off, ordered by priority, written in turn among equals [S20].

`SwapDevices` is what a design asks for physical slots (`swp_slot_t`: type and offset); each device that is on is a
`SwapFile`. Nothing here knows what an entry is, but for the rmap word that the design keeps with a slot.

>>> from vswaplab.backends.device import MemoryDevice
>>> devices = SwapDevices(cpus=2)
>>> si = devices.swapon(MemoryDevice("4M"))
>>> si.type, si.prio, si.pages
(0, -1, 1023)
>>> slot = devices.alloc_slot(); slot
swp_slot_t(type=0, offset=1)
>>> devices.free_slots(slot); devices.free_pages
1023
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import numpy as np

from vswaplab.backends.block_device import block_device
from vswaplab.backends.device import Device, read_header
from vswaplab.backends.swap_batch import take_clusters, take_hinted
from vswaplab.backends.swap_check import check_devices
from vswaplab.backends.swap_globals import PercpuCluster, SwapGlobals, insert_by_prio
from vswaplab.backends.swap_info import SwapFile
from vswaplab.entry import MAX_SWAPFILES, SLOT_OFFSET_BITS, SLOT_OFFSET_MASK, U64, swp_slot_t
from vswaplab.errors import Busy, DeviceIOError, InvalidArgument, NoSpace, NotFound, NotPermitted, SwapError
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import choice, quoted
from vswaplab.units import PAGE_SIZE, SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.backends.device import SwapHeader

__all__ = ["DEFAULT_PRIORITIES", "Discard", "SwapDevices", "SwapFile"]

Discard = bool | Literal["once", "pages"]
"""What of a device to discard, as in swapon(8): "once" all of it at swapon, "pages" clusters as they become empty, True
both."""

DEFAULT_PRIORITIES = {
    "equal": "-1 for every device, so that they take turns: since Linux 6.19",
    "falling": "-2, -3, and on down, so that the first swapped on is filled first: up to Linux 6.18",
}
"""What swapon gives a device without a priority of its own, by name [S48]."""

_DEF_SWAP_PRIO = -1
_LOG_LINES = 1000
_SECTOR = 512
_SHIFT = np.uint64(SLOT_OFFSET_BITS)
_MAX_PRIO = 32767


class SwapDevices(SwapGlobals):
    """All devices that are on. Index it by type; iterating gives them in order of type."""

    def __init__(self, cpus: int = 1, default_priority: str = "equal") -> None:
        """`cpus`: how many CPUs allocate, each with its own hint. `default_priority`: one of `DEFAULT_PRIORITIES`."""
        super().__init__(cpus)
        self.default_priority = choice(default_priority, "default_priority", DEFAULT_PRIORITIES)
        """By which rule a device without a priority of its own gets one."""
        self._least_priority = _DEF_SWAP_PRIO
        self.read_errors = 0
        """Requests for swapped pages that failed, over all devices there ever were."""
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        """What the kernel's log says of requests that failed, the newest last [S49]."""
        self.swapoff_report: SwapoffReport | None = None
        """What the swapoff that is under way has counted so far, for those who watch it."""

    def __getitem__(self, type: int) -> SwapFile:
        si = self.swap_info[type] if 0 <= type < len(self.swap_info) else None
        if si is None:
            raise NotFound(f"No swap device of type {type} is on; swap one on first.")
        return si

    def __iter__(self) -> Iterator[SwapFile]:
        return (si for si in self.swap_info if si is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def by_priority(self) -> list[SwapFile]:
        """Return the devices that may be written, highest priority first."""
        return list(self.active)

    # -- on and off ----------------------------------------------------------------------------------------------

    def require_swapon(self, priority: int | None = None, discard: Discard = False) -> int:
        """Return the type that the next device gets; errors as for `swapon`, as far as the device is not needed."""
        if priority is not None and (type(priority) is not int or not 0 <= priority <= _MAX_PRIO):
            raise InvalidArgument(
                f"Priority {quoted(priority)} is out of range; give 0 to {_MAX_PRIO} or, for the default, None."
            )
        if not isinstance(discard, bool) and discard not in ("once", "pages"):
            raise InvalidArgument(f"discard is False, True, 'once' or 'pages', not {quoted(discard)}.")
        at = next((at for at, si in enumerate(self.swap_info) if si is None), len(self.swap_info))
        if at == MAX_SWAPFILES:
            raise NotPermitted(f"All {MAX_SWAPFILES} swap devices are in use; swap one off first.")
        return at

    def swapon(self, device: Device, priority: int | None = None, discard: Discard = False) -> SwapFile:
        """Read the header of a device and use it for swap; return it as a `SwapFile` with the lowest free type.

        `priority`: 0 to 32767, or None for the default: -1, the same for all [S48]; below all so far, from -2 down,
        with `default_priority` "falling". `discard`: what to discard, if the device can; else it is ignored. Raises
        InvalidArgument for a bad priority or header, Busy for a device that is on already, NotPermitted when 29 are,
        NoMemory when there is no address space for its maps, DeviceIOError when the header can't be read; nothing has
        changed then.
        """
        number = self.require_swapon(priority, discard)
        for other in self:
            if other.device is device or other.device.shares_file(device):
                raise Busy(f"This device is on already as type {other.type}; swap it off first.")
        header = read_header(device)
        _require_usable(device, header)
        prio = self._default_prio() if priority is None else priority
        si = SwapFile(self, device, header, type=number, prio=prio, discard=discard in (True, "pages"))
        if self.on_swapon is not None:
            self.on_swapon(si)
        if discard in (True, "once") and device.discard_supported:
            with suppress(SwapError):  # advice: the device is as good without
                device.discard(1, header.last_page)
        self._least_priority = min(self._least_priority, prio)
        if number == len(self.swap_info):
            self.swap_info.append(None)
        self.swap_info[number] = si
        self._enable(si)
        return si

    def _default_prio(self) -> int:
        """Return the priority of a device that was given none."""
        return _DEF_SWAP_PRIO if self.default_priority == "equal" else self._least_priority - 1

    def _enable(self, si: SwapFile) -> None:
        si.writeok = True
        insert_by_prio(self.active, si)
        if si.inuse_pages < si.pages:
            self.add_avail(si)

    def begin_swapoff(self, type: int) -> SwapFile:
        """Stop allocating from a device, so that its slots can be moved elsewhere, and return it.

        Pending discards are issued. Raises InvalidArgument if no such device is on, or it is being swapped off already.
        """
        si = self.swap_info[type] if 0 <= type < len(self.swap_info) else None
        if si is None or not si.writeok:
            raise InvalidArgument(f"No swap device of type {type} can be swapped off; it is not on, or on its way off.")
        si.do_discards()
        si.writeok = False
        self.active.remove(si)
        if si in self.avail:
            self.avail.remove(si)
        return si

    def abort_swapoff(self, type: int) -> None:
        """Use a device again, with its old priority, after a swapoff that did not come to its end."""
        self._enable(self._on_its_way_off(type))

    def finish_swapoff(self, type: int) -> None:
        """Let go of a device that `begin_swapoff` has disabled and that is empty; Busy if it is not."""
        si = self._on_its_way_off(type)
        if si.inuse_pages:
            raise Busy(f"Device {type} still holds {si.inuse_pages} pages; move or free them first.")
        for cpu in range(len(self.percpu)):
            self._drop_hints(self.percpu[cpu], si)
        if self.on_swapoff is not None:
            self.on_swapoff(si)
        self.swap_info[type] = None
        if si.prio < _DEF_SWAP_PRIO:
            # Falling priorities stay without gaps: the devices below move up one [BACKGROUND].
            self._least_priority += 1
            for other in self:
                if other.prio < si.prio:
                    other.prio += 1
        si.free_maps()

    def _on_its_way_off(self, type: int) -> SwapFile:
        si = self[type]
        if si.writeok:
            raise InvalidArgument(f"Device {type} is in use; call begin_swapoff first.")
        return si

    def cpu_dead(self, cpu: int) -> None:
        """Forget where a CPU that goes off-line was allocating."""
        self.percpu[cpu] = PercpuCluster()

    @staticmethod
    def _drop_hints(hints: PercpuCluster, si: SwapFile) -> None:
        for order in range(SWAP_NR_ORDERS):
            if hints.device[order] is si:
                hints.drop(order)

    # -- slots ---------------------------------------------------------------------------------------------------

    def alloc_slot(self, order: int = 0, cpu: int = 0) -> swp_slot_t:
        """Allocate a contiguous, aligned run of 1 << `order` slots; return the first, or 0 if there is none.

        The CPU's hint is tried first, then devices by priority, each one visited going behind its equals. A large folio
        tries one device only; it is the caller's to split it and try again [S20].
        """
        if order and not 0 < order < SWAP_NR_ORDERS:
            raise InvalidArgument(f"Order {order} can't be swapped; give 0 to {SWAP_NR_ORDERS - 1}.")
        hint = self.percpu[cpu]
        si = hint.device[order]
        if si is not None:
            offset = si._alloc_from_hint(order, hint)
            if offset:
                return swp_slot_t(si.slot_base | offset)
        return self._alloc_slow(order, cpu)

    def _alloc_slow(self, order: int, cpu: int) -> swp_slot_t:
        while True:
            for si in list(self.avail):
                self._requeue(si)
                offset = si.alloc(order, cpu)
                if offset:
                    return swp_slot_t(si.slot_base | offset)
                if order:
                    return swp_slot_t(0)
            # A single slot failed everywhere: what waits to be discarded is discarded now.
            if order or not self.do_discards():
                return swp_slot_t(0)

    def _requeue(self, si: SwapFile) -> None:
        """Put a device behind its equals."""
        if si in self.avail:
            self.avail.remove(si)
            self.add_avail(si)

    def do_discards(self) -> int:
        """Issue the pending discards of all devices, as their workers do; return how many clusters became free.

        A machine does it at the end of the operation that emptied the clusters.
        """
        return sum(si.do_discards() for si in self.active)

    def free_slots(self, slot: int, nr: int = 1) -> None:
        """Free `nr` slots of one device from `slot` on; InvalidArgument if one of them is free."""
        self[slot >> SLOT_OFFSET_BITS].free_run(slot & SLOT_OFFSET_MASK, nr)

    # -- array forms ---------------------------------------------------------------------------------------------

    def alloc_many(self, nr: int, cpu: int = 0) -> U64:
        """Array form of `alloc_slot` for single slots: `nr` of them (uint64), fewer when there are no more."""
        taken: list[U64] = []
        left = nr
        while left > 0:
            got = self._alloc_bulk(left, cpu)
            if not len(got):
                slot = self.alloc_slot(0, cpu)
                if not slot:
                    break
                got = np.array([slot], np.uint64)
            taken.append(got)
            left -= len(got)
        return np.concatenate(taken) if taken else np.empty(0, np.uint64)

    def _alloc_bulk(self, nr: int, cpu: int) -> U64:
        """Allocate up to `nr` slots in one step where no choice has to be made; none otherwise."""
        hint = self.percpu[cpu]
        si = hint.device[0]
        if si is not None:
            got = take_hinted(si, hint, nr, 0)
        elif self.avail:
            si = self.avail[0]
            equals = sum(1 for other in self.avail if other.prio == si.prio)
            if si.global_cluster is not None and equals > 1:  # these take turns slot by slot
                return np.empty(0, np.uint64)
            got = take_hinted(si, si.hint(cpu), nr, 0)
            if not len(got):
                got = take_clusters(si, si.hint(cpu), nr, 0, limit=1 if equals > 1 else None)
            if len(got):
                self._requeue(si)
        else:
            return np.empty(0, np.uint64)
        return got | np.uint64(si.slot_base)

    def free_many(self, slots: U64) -> None:
        """Array form of `free_slots`: free distinct slots (uint64, any devices, any order)."""
        for si, at in self.by_device(slots):
            si.free_many(si.offsets(slots[at]))

    def rmap_set_many(self, slots: U64, entries: U64) -> None:
        """Say which entry each of the distinct `slots` serves (both uint64), or 0 for none."""
        for si, at in self.by_device(slots):
            si.rmap_set_many(si.offsets(slots[at]), entries[at])

    def rmap_get_many(self, slots: U64) -> U64:
        """Return the entries that `slots` serve (both uint64); 0 for none."""
        entries = np.zeros(len(slots), np.uint64)
        for si, at in self.by_device(slots):
            entries[at] = si.rmap_get_many(si.offsets(slots[at]))
        return entries

    def by_device(self, slots: U64) -> Iterator[tuple[SwapFile, slice | U64]]:
        """Yield each device among `slots`, in order of first appearance, and where its slots are."""
        if not len(slots):
            return
        first = int(slots.min()) >> SLOT_OFFSET_BITS
        if first == int(slots.max()) >> SLOT_OFFSET_BITS:
            yield self[first], slice(None)
            return
        types = slots >> _SHIFT
        found, where = np.unique(types, return_index=True)
        for type in found[np.argsort(where)].tolist():
            yield self[type], np.flatnonzero(types == type).view(np.uint64)

    # -- input and output ----------------------------------------------------------------------------------------

    def read(self, slot: int, nr: int = 1) -> bytes:
        """Read `nr` pages from `slot` on; DeviceIOError if the device can't."""
        try:
            return self[slot >> SLOT_OFFSET_BITS].device.read(slot & SLOT_OFFSET_MASK, nr)
        except DeviceIOError:
            self.read_errors += 1
            self._log("Read", slot)
            raise

    def write(self, slot: int, data: bytes | bytearray | memoryview) -> None:
        """Write whole pages from `slot` on; DeviceIOError or NoSpace if the device can't.

        Then the slots are marked in the device's `write_failed`, until a write succeeds or they are freed.
        """
        si, offset = self[slot >> SLOT_OFFSET_BITS], slot & SLOT_OFFSET_MASK
        try:
            si.device.write(offset, data)
        except (DeviceIOError, NoSpace):
            si.write_failed.update(range(offset, offset + len(data) // PAGE_SIZE))
            self._log("Write", slot)
            raise
        if si.write_failed:
            si.write_failed.difference_update(range(offset, offset + len(data) // PAGE_SIZE))

    def _log(self, what: str, slot: int) -> None:
        """Add the line that Linux logs for a request that failed: the device's numbers, and the sector of 512 bytes."""
        type, offset = slot >> SLOT_OFFSET_BITS, slot & SLOT_OFFSET_MASK
        device = self[type].device
        major, minor = device.number or block_device(device, type)[1:]
        self.log.append(f"{what}-error on swap-device ({major}:{minor}:{offset * (PAGE_SIZE // _SECTOR)})")

    def check(self) -> None:
        """Check every invariant of every device; InvariantError names the one that fails."""
        check_devices(self)


def _require_usable(device: Device, header: SwapHeader) -> None:
    """Refuse a header that can't be meant, with -EINVAL, as swapon does [S15]."""
    last = header.last_page
    if not 0 < last < device.pages:
        raise InvalidArgument(f"The swap header ends at page {last} of a device of {device.pages}; make the area anew.")
    wrong = [page for page in header.bad_pages if not 0 < page <= last]
    if wrong:
        raise InvalidArgument(
            f"The swap header lists page {wrong[0]} as bad, not one of 1 to {last}; make the area anew."
        )
    if len(set(header.bad_pages)) == last:
        raise InvalidArgument("All pages of the swap area are bad; use another device.")
