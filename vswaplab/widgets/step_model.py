"""What the stepper shows at each step, apart from any widget.

A `StepModel` picks the events that change something visible, knows where everything stands, and makes the scene, the
words and the tables for any of them. Position 0 is the state before the first of these events.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.figures.layout import SlotLayout, Universe
from vswaplab.figures.scene import Scene, alt_text, make_scene, text_twin
from vswaplab.observe.graph import build_graph, folio_pfn
from vswaplab.observe.labels import labels_of
from vswaplab.observe.state import PteKey, State, StateDiff
from vswaplab.observe.tracepoints import Trace, TraceRecord
from vswaplab.observe.words import BACKING_NAMES

__all__ = ["Phase", "StepModel"]

_PTE = (Event.PTE_MAP, Event.PTE_SWAP, Event.PTE_CLEAR)
_SLOT = (Event.ALLOC, Event.FREE, Event.BACKING, Event.DUPLICATE, Event.PUT, Event.CACHE_ADD, Event.CACHE_DEL)
_PROCESS = (Event.SPAWN, Event.EXIT)
_DEVICE = (Event.SWAPON, Event.SWAPOFF)


class Phase(NamedTuple):
    """A mark and the position at which it begins."""

    label: str
    position: int


class StepModel:
    """The steps of a trace worth showing, and what to show at each.

    `pid` keeps to one process, `entry` to one entry (a virtual slot, in legacy a physical one) and all that ever held
    it; `every_event` also shows events that change no state. Give a machine for the names of its processes and files,
    or just a trace.
    """

    def __init__(
        self,
        source: Any,
        *,
        pid: int | None = None,
        entry: int | None = None,
        every_event: bool = False,
        max_nodes: int = 2048,
    ) -> None:
        trace = getattr(source, "trace", source)
        if not isinstance(trace, Trace):
            raise InvalidArgument("There is no trace to step through: make the Machine with tracing on.")
        self.trace = trace
        self.first = trace.first
        self.labels = labels_of(source)
        universe = Universe.of_trace(trace)
        log = trace.records()
        self._ptes: set[PteKey] | None = None
        self._entries: set[int] = set()
        if pid is not None or entry is not None:
            self._follow(log, universe, pid, entry)
            universe = self._part(universe)
        self.layout = SlotLayout(universe, max_nodes)
        shown = self._shown(log, every_event)
        self.steps: list[int] = (np.flatnonzero(shown) + trace.first).tolist()
        """The step of the trace at each position; position p shows the state after ``steps[p - 1]``."""
        self.phases = self._phases()

    def __len__(self) -> int:
        """Return the number of events shown."""
        return len(self.steps)

    # -- what is shown -------------------------------------------------------------------------------------------

    def _follow(self, log: Any, universe: Universe, pid: int | None, entry: int | None) -> None:
        """Collect the page table entries and slots that belong together."""
        before = self.trace.step(self.first - 1)
        held = log[(log["event"] == Event.PTE_SWAP) & (log["entry"] > 0)]
        pairs = {(key, pte.entry) for key, pte in before.ptes.items() if pte.entry}
        pairs |= {
            ((p, v), e) for p, v, e in zip(*(held[name].tolist() for name in ("pid", "vpn", "entry")), strict=True)
        }
        ptes = {key for key in universe.ptes if key[0] == pid}
        entries = {entry} if entry is not None else {held_by for key, held_by in pairs if key in ptes}
        if entry is not None:
            ptes = {key for key, held_by in pairs if held_by == entry and pid in (None, key[0])}
            entries |= {held_by for key, held_by in pairs if key in ptes}
        if not ptes and not entries & set(universe.entries):
            raise NotFound("Nothing in the trace belongs to that process or entry; look at trace.rows().")
        self._ptes, self._entries = ptes, entries

    def _part(self, universe: Universe) -> Universe:
        ptes, entries = self._ptes or set(), self._entries
        slots: set[int] = set()
        pfns: set[int] = set()
        zero = False
        for state in (self.trace.step(self.first - 1), self.trace.step(len(self.trace) - 1)):
            mine = Universe.of_states([state.select(ptes, entries)])
            slots.update(mine.slots)
            pfns.update(mine.pfns)
            zero |= mine.zero
        for record in self.trace:
            if record.event is Event.PTE_MAP and (record.pid, record.vpn) in ptes:
                pfns.add(record.value)
            elif record.entry in entries and record.event is Event.BACKING and record.new is Backing.SWAPFILE:
                slots.add(record.slot)
            elif record.entry in entries and record.event is Event.BACKING:
                zero |= record.new is Backing.ZERO
            elif record.entry in entries and record.event is Event.CACHE_ADD and record.value:
                pfns.add(folio_pfn(record.value))
        return universe.select(ptes, entries, slots, pfns, zero)

    def _shown(self, log: Any, every_event: bool) -> Any:
        event = log["event"]
        if self._ptes is None:
            return np.ones(len(log), bool) if every_event else np.isin(event, _PTE + _SLOT + _PROCESS + _DEVICE)
        kinds = np.isin(event, _SLOT)
        if every_event:
            kinds |= np.isin(event, (Event.WRITEOUT, Event.WRITEBACK, Event.FAULT))
        shown = kinds & np.isin(log["entry"], list(self._entries))
        pairs = np.isin(event, (*_PTE, *((Event.FAULT,) if every_event else ())))
        for at in np.flatnonzero(pairs):
            shown[at] |= (int(log["pid"][at]), int(log["vpn"][at])) in self._ptes
        pids = [pid for pid, _ in self._ptes]
        return shown | np.isin(event, _DEVICE) | (np.isin(event, _PROCESS) & np.isin(log["pid"], pids))

    def _phases(self) -> list[Phase]:
        found = []
        for mark in self.trace.marks:
            at = int(np.searchsorted(self.steps, mark.step))
            if at < len(self.steps):
                found.append(Phase(mark.label, at + 1))
        return found

    # -- one position --------------------------------------------------------------------------------------------

    def state(self, position: int) -> State:
        """Return the part of the state to show at a position."""
        step = self.steps[position - 1] if position else self.first - 1
        state = self.trace.step(step)
        return state if self._ptes is None else state.select(self._ptes, self._entries)

    def record(self, position: int) -> TraceRecord | None:
        """Return the event that led to a position; None at 0."""
        return self.trace[self.steps[position - 1]] if position else None

    def changed(self, position: int) -> StateDiff:
        """Return what the event that led to a position changed."""
        return self.state(position).diff(self.state(position - 1)) if position else StateDiff()

    def scene(self, position: int) -> Scene:
        """Return what to draw at a position."""
        return make_scene(build_graph(self.state(position)), self.layout, self.changed(position), self.labels)

    def phase(self, position: int) -> Phase | None:
        """Return the phase a position is in, or None before the first mark."""
        return next((phase for phase in reversed(self.phases) if phase.position <= position), None)

    def alt(self, position: int) -> str:
        """Return the picture at a position in words."""
        return alt_text(self.state(position))

    def backed(self, position: int) -> str:
        """Say how many entries each backing has at a position."""
        state = self.state(position)
        counts = [f"{state.count(each)} by {name}" for each, name in BACKING_NAMES.items() if state.count(each)]
        return f"Entries in use: {len(state.slots)}" + (f"; backed: {', '.join(counts)}." if counts else ".")

    def twin(self, position: int) -> str:
        """Return the picture at a position as an HTML table."""
        return text_twin(self.state(position), self.changed(position))
