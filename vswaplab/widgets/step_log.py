"""The step log: all that a player needs of a trace, as a header and one block of bytes.

Sent once; a player steps, plays and jumps in it without asking Python again, in JupyterLab and on a page with no
kernel alike. Things have dense numbers in it, from 0: page table entries, entries, physical slots and frames, each with
its place in the picture. The events are columns. `StepLog.header` is JSON, `StepLog.data` the columns one after
another, each beginning at a multiple of 8 bytes; ``header["columns"]`` names them.

=================  ==========================================================================================
column             meaning
=================  ==========================================================================================
event, old, new    as in `EVENT_DTYPE`
pid, vpn           as in `EVENT_DTYPE`
pte, entry         which page table entry, which entry; -1 for none
ref                BACKING to SWAPFILE: which physical slot; else the field `slot` of the record
value              PTE_MAP: which frame; CACHE_ADD, CACHE_DEL: 1 + which folio or shadow, 0 for none; else as it is
sentence, kernel   which of ``header["sentences"]`` and ``header["kernel"]`` tell the event
step               number of the event in the trace
pte_*, entry_*,    the things and their places: x, y, and where an edge leaves (out); zswap_x and zswap_y are the
slot_*, frame_*    places of entries' compressed objects
folio_frame        the frame of a folio's first page, -1 for none
pte0_*, entry0_*   the state before the first event
=================  ==========================================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.entry import SLOT_OFFSET_BITS, SLOT_OFFSET_MASK, Backing
from vswaplab.events import NO_BACKING, Event
from vswaplab.figures.layout import WIDTH, SlotLayout
from vswaplab.figures.palette import SHAPES, THEMES, Theme
from vswaplab.observe.drgn import drgn_lines
from vswaplab.observe.graph import folio_pfn
from vswaplab.observe.sources import SOURCES
from vswaplab.observe.state import State
from vswaplab.observe.words import sentence
from vswaplab.widgets.step_model import StepModel

__all__ = ["VERSION", "StepLog", "palette"]

VERSION = 1
"""Of the layout of header and columns; a player refuses any other."""

Array = npt.NDArray[Any]
_FREE = 0xFF
"""In entry0_backing: not allocated."""
_PRESENT, _SWAPPED = 1, 2


def palette(theme: Theme) -> dict[str, Any]:
    """Return a theme as JSON, backings by number."""
    return {
        "ground": theme.ground,
        "text": theme.text,
        "faint": theme.faint,
        "pte": theme.pte,
        "highlight": theme.highlight,
        "broken": theme.broken,
        "backing": [theme.backing[backing] for backing in Backing],
    }


class StepLog:
    """The events of a `StepModel` and everything they speak of."""

    def __init__(self, model: StepModel) -> None:
        self.model = model
        self._columns: dict[str, Array] = {}
        universe = model.layout.universe
        self._pte_keys = _pte_key(
            np.array([pid for pid, _ in universe.ptes], np.uint64),
            np.array([vpn for _, vpn in universe.ptes], np.uint64),
        )
        self._entries = np.array(universe.entries, np.uint64)
        self._slots = np.array(universe.slots, np.uint64)
        self._pfns = np.array(universe.pfns, np.int64)
        self._folios = np.empty(0, np.uint64)
        self._shadows = np.empty(0, np.uint64)
        log = model.trace.records()[np.array(model.steps, np.int64) - model.first]
        before = model.state(0)
        self._collect(log, before)
        self._events(log)
        told = self._words(log)
        self._things(model.layout)
        self._state(before)
        self.header: dict[str, Any] = {
            "version": VERSION,
            "design": model.trace.design,
            "events": len(log),
            "phases": [[phase.label, phase.position] for phase in model.phases],
            **told,
            **self._picture(model.layout),
            "pointers": [f"{pointer:#x}" for pointer in self._folios.tolist()],
            "shadows": [f"{shadow:#x}" for shadow in self._shadows.tolist()],
            "sources": SOURCES,
            "columns": [[name, column.dtype.str[1:], len(column)] for name, column in self._columns.items()],
        }
        self.data = b"".join(_padded(column) for column in self._columns.values())

    # -- events --------------------------------------------------------------------------------------------------

    def _collect(self, log: Array, before: State) -> None:
        """Number the folios and the shadows that occur."""
        cached = log["value"][log["event"] == Event.CACHE_ADD]
        left = log["value"][log["event"] == Event.CACHE_DEL]
        at_first = list(before.slots.values())
        self._folios = np.unique(np.concatenate([cached, np.array([slot.folio for slot in at_first], np.uint64)]))
        self._shadows = np.unique(np.concatenate([left, np.array([slot.shadow for slot in at_first], np.uint64)]))
        self._folios = self._folios[self._folios > 0]
        self._shadows = self._shadows[self._shadows > 0]

    def _events(self, log: Array) -> None:
        event, value, ref = log["event"], log["value"], log["slot"].astype(np.float64)
        to_device = (event == Event.BACKING) & (log["new"] == Backing.SWAPFILE)
        ref[to_device] = _number_of(log["slot"][to_device], self._slots)
        number = value.astype(np.float64)
        for kind, table, first in (
            (Event.PTE_MAP, self._pfns, 0),
            (Event.CACHE_ADD, self._folios, 1),
            (Event.CACHE_DEL, self._shadows, 1),
        ):
            chosen = (event == kind) & ((value > 0) | (first == 0))
            number[chosen] = _number_of(value[chosen].astype(table.dtype), table) + first
        self._columns |= {
            "event": event.copy(),
            "old": log["old"].copy(),
            "new": log["new"].copy(),
            "pid": log["pid"].astype(np.int32),
            "vpn": log["vpn"].astype(np.float64),
            "pte": _number_of(_pte_key(log["pid"].astype(np.uint64), log["vpn"]), self._pte_keys),
            "entry": np.where(log["entry"] > 0, _number_of(log["entry"], self._entries), -1).astype(np.int32),
            "ref": ref,
            "value": number,
            "step": np.array(self.model.steps, np.int32),
        }

    def _words(self, log: Array) -> dict[str, Any]:
        """Say which sentence tells each event: one for each kind of record, with holes for the numbers."""
        value = log["value"]
        shade = np.where(log["event"] == Event.FAULT, value & np.uint64(3), value > 0).astype(np.int64)
        key = shade << 25 | (log["entry"] > 0).astype(np.int64) << 24
        key |= log["new"].astype(np.int64) << 16 | log["old"].astype(np.int64) << 8 | log["event"]
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        records = [self.model.trace[self.model.steps[at]] for at in first.tolist()]
        self._columns["kind"] = which.reshape(-1).astype(np.uint16)
        kinds = [
            {
                "sentence": sentence(record),
                "function": record.kernel.function,
                "source": record.kernel.source,
                "drgn": drgn_lines(record),
            }
            for record in records
        ]
        marks = {mark.step: mark.label for mark in self.model.trace.marks}
        shown = {position: marks[step] for position, step in enumerate(self.model.steps, 1) if step in marks}
        return {"kinds": kinds, "marks": shown}

    # -- things --------------------------------------------------------------------------------------------------

    def _things(self, layout: SlotLayout) -> None:
        universe, legacy = layout.universe, layout.design == "legacy"
        zswapped = set(universe.zswapped)
        own: list[Any] = [("vslot", entry) for entry in universe.entries]
        if legacy:
            own = [("slot", slot.type, slot.offset) for slot in universe.slots]
        physical = "block" if legacy else "swapfile"
        self._columns |= {
            "pte_pid": np.array([pid for pid, _ in universe.ptes], np.int32),
            "pte_vpn": np.array([vpn for _, vpn in universe.ptes], np.float64),
            **_places(layout, "pte", [("pte", *key) for key in universe.ptes]),
            "entry_type": (self._entries >> np.uint64(SLOT_OFFSET_BITS)).astype(np.uint8),
            "entry_number": (self._entries & np.uint64(SLOT_OFFSET_MASK)).astype(np.float64),
            **_places(layout, "entry", own),
            **_places(layout, "zswap", [("zswap", e) if e in zswapped else None for e in universe.entries]),
            "slot_type": (self._slots >> np.uint64(SLOT_OFFSET_BITS)).astype(np.uint8),
            "slot_number": (self._slots & np.uint64(SLOT_OFFSET_MASK)).astype(np.float64),
            **_places(layout, "slot", [(physical, slot.type, slot.offset) for slot in universe.slots]),
            "frame_pfn": self._pfns.astype(np.float64),
            **_places(layout, "frame", [("folio", pfn if pfn >= 0 else -1) for pfn in universe.pfns]),
            "folio_frame": self._frame_of_folios(),
        }

    def _frame_of_folios(self) -> Array:
        pfns = np.array([folio_pfn(pointer) for pointer in self._folios.tolist()], np.int64)
        return _number_of(pfns, self._pfns) if len(pfns) else np.empty(0, np.int32)

    def _state(self, before: State) -> None:
        """Write down the state before the first event."""
        kind = np.zeros(len(self._pte_keys), np.uint8)
        ref = np.full(len(self._pte_keys), -1, np.int32)
        for number, key in enumerate(self.model.layout.universe.ptes):
            pte = before.ptes.get(key)
            if pte is not None:
                kind[number] = _PRESENT if pte.present else _SWAPPED
                table, at = (self._pfns, pte.pfn) if pte.present else (self._entries, pte.entry)
                if pte.present or pte.entry:
                    ref[number] = int(np.searchsorted(table, table.dtype.type(at)))
        self._columns |= {"pte0_kind": kind, "pte0_ref": ref}
        names = ("count", "cached", "memcg", "ref", "length", "folio", "shadow")
        rows = np.zeros((len(self._entries), len(names)))
        backing = np.full(len(self._entries), _FREE, np.uint8)
        for number, entry in enumerate(self._entries.tolist()):
            slot = before.slots.get(entry)
            if slot is None:
                continue
            backing[number] = slot.backing
            on_device = slot.backing is Backing.SWAPFILE
            rows[number] = (
                slot.swap_count,
                slot.in_swapcache,
                slot.memcgid,
                np.searchsorted(self._slots, np.uint64(slot.slot or 0)) if on_device else slot.handle,
                slot.length,
                np.searchsorted(self._folios, np.uint64(slot.folio)) + 1 if slot.folio else 0,
                np.searchsorted(self._shadows, np.uint64(slot.shadow)) + 1 if slot.shadow else 0,
            )
        self._columns["entry0_backing"] = backing
        self._columns |= {f"entry0_{name}": rows[:, at].copy() for at, name in enumerate(names)}

    # -- the picture ---------------------------------------------------------------------------------------------

    def _picture(self, layout: SlotLayout) -> dict[str, Any]:
        labels, universe, before = self.model.labels, layout.universe, self.model.state(0)
        types = {slot.type for slot in universe.slots} | set(before.devices)
        pids = {pid for pid, _ in universe.ptes}
        zero = layout.place(("zero",)) if universe.zero else None
        return {
            "width": WIDTH,
            "height": round(layout.height, 1),
            "mark": layout.mark,
            "font": layout.font,
            "labelled": layout.labelled,
            "fullLabels": layout.full_labels,
            "blocks": [[block.kind, block.name, block.x, block.y, block.side] for block in layout.blocks],
            "zero": [zero.x, zero.y] if zero is not None else None,
            "processes": {str(pid): labels.process(pid) for pid in sorted(pids)},
            "devices": {str(type): labels.device(type) for type in sorted(types)},
            "on": {str(device.type): device.pages for device in before.devices.values()},
            "alive": sorted(before.processes),
            "themes": {name: palette(theme) for name, theme in THEMES.items()},
            "shapes": {str(int(look) if isinstance(look, Backing) else look): shape for look, shape in SHAPES.items()},
        }


def _pte_key(pid: Array, vpn: Array) -> Array:
    """Return (pid, vpn) as one number; a virtual page number has 36 bits."""
    return pid << np.uint64(36) | vpn


def _number_of(values: Array, table: Array) -> Array:
    """Return which element of a sorted table each value is (int32), -1 for those that are not in it."""
    if not len(table):
        return np.full(len(values), -1, np.int32)
    at = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return np.where(table[at] == values, at, -1).astype(np.int32)


def _places(layout: SlotLayout, what: str, keys: list[Any]) -> dict[str, Array]:
    """Return the columns of places of some nodes; a key that is None has none."""
    nowhere = (np.nan, np.nan, np.nan)
    found = [nowhere if key is None else (place := layout.place(key)) and (place.x, place.y, place.out) for key in keys]
    table = np.array(found, np.float32).reshape(len(keys), 3)
    return {f"{what}_{axis}": table[:, at].copy() for at, axis in enumerate(("x", "y", "out"))}


def _padded(column: Array) -> bytes:
    data = np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
    return data + bytes(-len(data) % 8)


assert NO_BACKING == _FREE  # the player takes one for the other
