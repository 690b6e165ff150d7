"""State: all that the trace can tell about page tables, swap entries, what backs them, and the devices.

A `State` is what a picture of the system shows at one instant. It is rebuilt from records, one `apply` each, or read
off the live structures by `vswaplab.observe.snapshot`; both ways must give equal states, and a test holds them to it.
The values are immutable, so a copy of a state costs only the copy of its dictionaries.

Both designs have the same states. In the virtual design an entry is a virtual slot, which may have a physical slot
behind it. In the legacy design an entry *is* a physical slot: it is taken with the entry and kept as long, whatever has
the contents; so `SlotState.reserved` is set, and `SlotState.slot` is never None.

>>> state = State()
>>> _ = state.apply((Event.ALLOC, 0, 0xFF, Backing.FOLIO, 0, 513, 0, 0, 1))
>>> state.slots[513].backing.name, state.slots[513].in_swapcache
('FOLIO', True)
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from vswaplab.entry import Backing, swp_entry_t, swp_slot_t
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["DeviceState", "PteKey", "PteState", "ProcessState", "SlotState", "State", "StateDiff", "Undo"]

PteKey = tuple[int, int]
"""A page table entry by process id and virtual page number."""


class PteState(NamedTuple):
    """What one page table entry holds: a frame if present, else a swap entry."""

    present: bool
    entry: int
    """`swp_entry_t`, 0 if present, or if it holds a poison marker: the page is lost."""
    pfn: int
    """Page frame number, 0 if not present."""


class SlotState(NamedTuple):
    """What is known of one entry. Field names are those of `swp_desc` [S10]; the legacy design keeps the same
    knowledge in arrays of the device: swap_map, swap_cgroup, zeromap, swap table, and in zswap's trees [S12 S21 S23].
    """

    backing: Backing
    """The `type` field. Legacy: where the contents are, asked in the order in which a read asks."""
    swap_count: int
    in_swapcache: bool
    memcgid: int
    handle: int
    """The first union: physical slot (`swp_slot_t`) if SWAPFILE, zswap entry if ZSWAP, else 0. The same in legacy."""
    length: int
    """Compressed bytes if ZSWAP, else 0."""
    folio: int
    """Second union, pointer arm: the folio in the swap cache, or 0."""
    shadow: int
    """Second union, value arm: what the last folio left, or 0."""
    reserved: int = 0
    """Legacy: the physical slot that the entry is, from allocation to free. Virtual: 0, nothing is reserved."""

    @property
    def slot(self) -> swp_slot_t | None:
        """The physical slot, if there is one; in legacy always, also while something else has the contents."""
        if self.reserved:
            return swp_slot_t(self.reserved)
        return swp_slot_t(self.handle) if self.backing is Backing.SWAPFILE else None

    @property
    def cache_only(self) -> bool:
        """Whether nothing but the swap cache holds the entry."""
        return self.swap_count == 0 and self.in_swapcache


class DeviceState(NamedTuple):
    """A swapfile that is on."""

    type: int
    pages: int
    """Usable slots."""


class ProcessState(NamedTuple):
    """A live process."""

    pid: int
    parent: int
    """Pid of the process it was forked from, or 0."""


Undo = tuple[tuple[dict[Any, Any], Any, Any], ...]
"""How to take one record back: dictionary, key, what stood there (None: nothing)."""

_PTE = frozenset((Event.PTE_MAP, Event.PTE_SWAP, Event.PTE_CLEAR))
_SLOT = frozenset((Event.FREE, Event.BACKING, Event.DUPLICATE, Event.PUT, Event.CACHE_ADD, Event.CACHE_DEL))
_BACKINGS = tuple(Backing)


@dataclass(frozen=True)
class StateDiff:
    """The keys at which two states differ."""

    ptes: frozenset[PteKey] = frozenset()
    slots: frozenset[int] = frozenset()
    devices: frozenset[int] = frozenset()
    processes: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.ptes or self.slots or self.devices or self.processes)


@dataclass
class State:
    """Page tables, swap entries, devices and processes at one instant."""

    ptes: dict[PteKey, PteState] = field(default_factory=dict)
    """Page table entries that are not empty."""
    slots: dict[int, SlotState] = field(default_factory=dict)
    """Allocated slots by entry: virtual ones, in legacy physical ones."""
    devices: dict[int, DeviceState] = field(default_factory=dict)
    """Swapfiles that are on, by type."""
    processes: dict[int, ProcessState] = field(default_factory=dict)
    """Live processes by pid."""
    design: str = "virtual"
    """The design of swap that the state is one of: "virtual" or "legacy"."""

    # -- records in, records out ---------------------------------------------------------------------------------

    def apply(self, record: Sequence[Any]) -> Undo:
        """Apply one record (fields in the order of `EVENT_DTYPE`) and return how to take it back.

        InvalidArgument if it speaks of an entry that is not there: then records are missing.
        """
        event, _, _, new, pid, entry, slot, vpn, value = record[:9]
        if event in _PTE:
            return self._apply_pte(event, (pid, vpn), entry, value)
        if event in _SLOT:
            return self._apply_slot(event, entry, new, slot, value)
        if event == Event.ALLOC:
            # The entry is pinned in the swap cache from birth, its folio is named by the record that follows.
            return _put(self.slots, entry, SlotState(_BACKINGS[new], 0, True, value, 0, 0, 0, 0, slot))
        if event == Event.SPAWN:
            return _put(self.processes, pid, ProcessState(pid, value))
        if event == Event.EXIT:
            return _put(self.processes, pid, None)
        if event == Event.SWAPON:
            return _put(self.devices, slot, DeviceState(slot, value))
        if event == Event.SWAPOFF:
            return _put(self.devices, slot, None)
        return ()

    def _apply_pte(self, event: int, key: PteKey, entry: int, value: int) -> Undo:
        if event == Event.PTE_MAP:
            return _put(self.ptes, key, PteState(True, 0, value))
        if event == Event.PTE_SWAP:
            return _put(self.ptes, key, PteState(False, entry, 0))
        return _put(self.ptes, key, None)

    def _apply_slot(self, event: int, entry: int, new: int, handle: int, value: int) -> Undo:
        was = self.slots.get(entry)
        if was is None:
            raise InvalidArgument(
                f"Record {Event(event).name} speaks of entry {entry}, which is not allocated: records are missing. "
                "Restart the trace from a snapshot."
            )
        backing, count, cached, memcgid, old_handle, length, folio, shadow, reserved = was
        if event == Event.FREE:
            return _put(self.slots, entry, None)
        if event == Event.BACKING:
            backing, old_handle = _BACKINGS[new], handle
            length = value if backing is Backing.ZSWAP else 0
        elif event == Event.CACHE_ADD:
            cached = True
            if value:  # a pin alone leaves the shadow where it is
                folio, shadow = value, 0
        elif event == Event.CACHE_DEL:
            cached, folio, shadow = False, 0, value
        else:
            count = value
        now = SlotState(backing, count, cached, memcgid, old_handle, length, folio, shadow, reserved)
        return _put(self.slots, entry, now)

    @staticmethod
    def undo(undo: Undo) -> None:
        """Take the last record applied back."""
        for table, key, was in reversed(undo):
            if was is None:
                table.pop(key, None)
            else:
                table[key] = was

    def copy(self) -> State:
        """Return a state that goes its own way from here."""
        return State(dict(self.ptes), dict(self.slots), dict(self.devices), dict(self.processes), self.design)

    # -- questions -----------------------------------------------------------------------------------------------

    def diff(self, other: State) -> StateDiff:
        """Return what differs between this state and another."""
        return StateDiff(
            _differing(self.ptes, other.ptes),
            _differing(self.slots, other.slots),
            _differing(self.devices, other.devices),
            _differing(self.processes, other.processes),
        )

    def inuse_pages(self, type: int) -> int:
        """Return how many slots of a device are taken."""
        return sum(1 for slot in self.slots.values() if slot.slot is not None and slot.slot.type == type)

    def count(self, backing: Backing) -> int:
        """Return how many entries have this backing."""
        return sum(1 for slot in self.slots.values() if slot.backing is backing)

    def referrers(self, entry: int) -> list[PteKey]:
        """Return the page table entries that hold an entry."""
        return sorted(key for key, pte in self.ptes.items() if pte.entry == entry and entry and not pte.present)

    def select(self, ptes: Container[PteKey], entries: Container[int]) -> State:
        """Return the part of the state that concerns some page table entries and some entries."""
        return State(
            {key: pte for key, pte in self.ptes.items() if key in ptes},
            {entry: slot for entry, slot in self.slots.items() if entry in entries},
            dict(self.devices),
            dict(self.processes),
            self.design,
        )

    # -- views ---------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the state as rows: "ptes", "slots", "virtual_slots", "backings", "devices", "processes".

        "slots" has the same columns in both designs, a row for each entry, so that one can be laid beside the other.
        "virtual_slots" has the fields of the descriptors; there are none in legacy.
        """
        virtual = self.design == "virtual"
        return {
            "ptes": [{"pid": pid, "vpn": vpn, **self.ptes[pid, vpn]._asdict()} for pid, vpn in sorted(self.ptes)],
            "slots": [_entry_row(entry, self.slots[entry]) for entry in sorted(self.slots)],
            "virtual_slots": [_slot_row(entry, self.slots[entry]) for entry in sorted(self.slots) if virtual],
            "backings": [_backing_row(entry, self.slots[entry]) for entry in sorted(self.slots)],
            "devices": [
                {**device._asdict(), "inuse_pages": self.inuse_pages(type)}
                for type, device in sorted(self.devices.items())
            ],
            "processes": [self.processes[pid]._asdict() for pid in sorted(self.processes)],
        }

    def graph(self) -> nx.MultiDiGraph[Any]:
        """Return the state as a graph: see `vswaplab.observe.graph`."""
        from vswaplab.observe.graph import build_graph

        return build_graph(self)


def _put(table: dict[Any, Any], key: Any, value: Any) -> Undo:
    """Set or (None) drop one value, and return how to take that back."""
    was = table.get(key)
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
    return ((table, key, was),)


def _differing(mine: dict[Any, Any], theirs: dict[Any, Any]) -> frozenset[Any]:
    return frozenset(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))


def _slot_row(entry: int, slot: SlotState) -> dict[str, Any]:
    virtual = swp_entry_t(entry)
    return {
        "entry": entry,
        "cluster": virtual.cluster,
        "index": virtual.index,
        "type": slot.backing.name,
        "handle": slot.handle,
        "swap_cache": slot.folio,
        "shadow": slot.shadow,
        "swap_count": slot.swap_count,
        "memcgid": slot.memcgid,
        "in_swapcache": slot.in_swapcache,
    }


def _entry_row(entry: int, slot: SlotState) -> dict[str, Any]:
    physical = slot.slot
    return {
        "entry": entry,
        "device": physical.type if physical is not None else None,
        "offset": physical.offset if physical is not None else None,
        "type": slot.backing.name,
        "swap_count": slot.swap_count,
        "in_swapcache": slot.in_swapcache,
        "memcgid": slot.memcgid,
        "zswap_entry": slot.handle if slot.backing is Backing.ZSWAP else None,
        "swap_cache": slot.folio,
        "shadow": slot.shadow,
    }


def _backing_row(entry: int, slot: SlotState) -> dict[str, Any]:
    physical = slot.slot if slot.backing is Backing.SWAPFILE else None
    return {
        "entry": entry,
        "type": slot.backing.name,
        "device": physical.type if physical is not None else None,
        "offset": physical.offset if physical is not None else None,
        "zswap_entry": slot.handle if slot.backing is Backing.ZSWAP else None,
        "length": slot.length if slot.backing is Backing.ZSWAP else None,
        "folio": slot.folio if slot.backing is Backing.FOLIO else None,
    }
