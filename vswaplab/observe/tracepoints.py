"""Tracepoints: every change of state as one record of 40 bytes, and any step rebuilt from them.

`Trace` is the `Recorder` that the structures call. Its log grows up to `capacity` records; after that the oldest are
folded into a base state, so every step still in the log can be rebuilt. States are rebuilt from keyframes, made on the
way and thinned out, so that a jump costs a bounded number of records and a step forwards or backwards costs one.

>>> trace = Trace()
>>> trace(Event.ALLOC, 513, new=3, value=1)
>>> trace(Event.CACHE_ADD, 513, value=0xFFFFEA0000000040)
>>> trace(Event.DUPLICATE, 513, value=1)
>>> len(trace), trace[2].describe()
(3, 'Entry 513: swap_count is now 1.')
>>> trace.step(1).slots[513].swap_count, trace.step(2).slots[513].swap_count
(0, 1)
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import EVENT_DTYPE, NO_BACKING, Event
from vswaplab.observe.state import State, Undo
from vswaplab.observe.words import KernelCall, describe, kernel_call

__all__ = ["Mark", "Trace", "TraceRecord"]

_RECORD = struct.Struct("<BBBBIQQQQ")
_SIZE = EVENT_DTYPE.itemsize
_PACK = _RECORD.pack_into
_FIRST_RECORDS = 1 << 10
_KEYFRAMES = 64
_KEYFRAME_EVERY = 256
_UNDOS = 4096
"""Steps back that are taken one record at a time; further back a keyframe is nearer."""

_FOLDED_BY_KEY = {
    Event.PTE_MAP: 1,
    Event.PTE_SWAP: 1,
    Event.PTE_CLEAR: 1,
    Event.BACKING: 2,
    Event.DUPLICATE: 3,
    Event.PUT: 3,
    Event.CACHE_ADD: 4,
    Event.CACHE_DEL: 4,
}
"""Events of which only the last of a kind and key matters to the state after them."""


class TraceRecord(NamedTuple):
    """One record with its step number; the first nine fields are those of `EVENT_DTYPE`."""

    event: Event
    cpu: int
    old: Backing | None
    new: Backing | None
    pid: int
    entry: int
    slot: int
    vpn: int
    value: int
    step: int
    label: str = ""
    """The text of a mark."""
    design: str = "virtual"
    """The design of swap that the record comes from."""

    def describe(self) -> str:
        """Return what happened, as one plain sentence."""
        return describe(self)

    @property
    def kernel(self) -> KernelCall:
        """The kernel function that makes this change, and the source that says so."""
        return kernel_call(self)


class Mark(NamedTuple):
    """A phase named by the user."""

    step: int
    label: str


@dataclass
class _Cursor:
    """The state after `step`, and how to go back from it."""

    step: int
    state: State
    undos: deque[Undo]


class Trace:
    """A log of state changes; call it to record, ask `step` for the state after any of them.

    `capacity` is the number of records kept, `design` the design of swap whose changes they are. While `enabled` is
    False nothing is recorded; the states after that would be wrong, so `restart` from a snapshot before recording
    again.
    """

    def __init__(self, capacity: int = 1 << 20, design: str = "virtual") -> None:
        if capacity < 2:
            raise InvalidArgument(f"A trace must keep at least 2 records, not {capacity}.")
        self.capacity = capacity
        self.design = design
        self.cpu = 0
        self.enabled = True
        self.restart()

    def restart(self, state: State | None = None) -> None:
        """Forget all records and begin anew; `state` is what the structures hold now (None: nothing).

        InvalidArgument if it is a state of another design.
        """
        if state is not None and state.design != self.design:
            raise InvalidArgument(
                f"This is a trace of the {self.design} design; a {state.design} state has no part in it."
            )
        self._base = State(design=self.design) if state is None else state.copy()
        self.first = 0
        """The oldest step that is kept."""
        self._labels: list[str] = []
        self._log: npt.NDArray[Any] = np.empty(min(self.capacity, _FIRST_RECORDS), EVENT_DTYPE)
        self._map_log()
        self._next = 0  # in bytes
        self._rewind()

    def _map_log(self) -> None:
        self._bytes = self._log.view(np.uint8).data
        self._end = len(self._bytes)

    # -- recording -----------------------------------------------------------------------------------------------

    def __call__(
        self,
        event: Event,
        entry: int = 0,
        old: int = NO_BACKING,
        new: int = NO_BACKING,
        slot: int = 0,
        pid: int = 0,
        vpn: int = 0,
        value: int = 0,
    ) -> None:
        """Record one event; see `Event` for the fields that each fills."""
        if self.enabled:
            at = self._next
            if at == self._end:
                at = self._make_room(1)
            _PACK(self._bytes, at, event, self.cpu, old, new, pid, entry, slot, vpn, value)
            self._next = at + 40

    def many(self, event: Event, nr: int, **fields: Any) -> None:
        """Record `nr` events of one kind; each field is a number for all or an array of `nr`."""
        unknown = fields.keys() - set(EVENT_DTYPE.names or ()) | fields.keys() & {"event", "cpu"}
        if unknown:
            raise InvalidArgument(f"A record has no field {', '.join(sorted(unknown))} to set here.")
        done = 0
        while self.enabled and done < nr:
            batch = min(nr - done, max(1, self.capacity // 2))
            at = self._make_room(batch) // _SIZE
            rows = self._log[at : at + batch]
            rows["event"], rows["cpu"], rows["old"], rows["new"] = event, self.cpu, NO_BACKING, NO_BACKING
            for name in ("pid", "entry", "slot", "vpn", "value"):
                rows[name] = 0
            for name, given in fields.items():
                rows[name] = given if np.ndim(given) == 0 else given[done : done + batch]
            self._next = (at + batch) * _SIZE
            done += batch

    def mark(self, label: str) -> None:
        """Give the phase that begins here a name."""
        self._labels.append(label)
        self(Event.MARK, value=len(self._labels) - 1)

    def _make_room(self, nr: int) -> int:
        """See that `nr` records fit (at most half the capacity) and return where the next goes, in bytes."""
        used = self._next // _SIZE
        need = used + nr
        if need > self.capacity:
            self._fold(min(used, max(nr, self.capacity // 4)))
            need = self._next // _SIZE + nr
        if need > len(self._log):
            grown = np.empty(min(self.capacity, max(need, 2 * len(self._log))), EVENT_DTYPE)
            kept = self._next // _SIZE
            grown[:kept] = self._log[:kept]
            self._log = grown
            self._map_log()
        return self._next

    def _fold(self, nr: int) -> None:
        """Apply the oldest `nr` records to the base state and drop them."""
        used = self._next // _SIZE
        oldest = self._log[:nr]
        for record in _RECORD.iter_unpack(oldest[_matters(oldest)].tobytes()):
            self._base.apply(record)
        self._log[: used - nr] = self._log[nr:used].copy()
        self._next = (used - nr) * _SIZE
        self.first += nr
        self._rewind()

    # -- reading -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return how many events there were, those folded away included."""
        return self.first + self._next // _SIZE

    @overload
    def __getitem__(self, step: int) -> TraceRecord: ...
    @overload
    def __getitem__(self, step: slice) -> list[TraceRecord]: ...
    def __getitem__(self, step: int | slice) -> TraceRecord | list[TraceRecord]:
        """Return the record of a step (negative: from the end), or of a slice of those kept."""
        if isinstance(step, slice):
            return [self._record(i) for i in range(*step.indices(len(self))) if i >= self.first]
        at = step + len(self) if step < 0 else step
        if not self.first <= at < len(self):
            raise NotFound(f"The trace holds steps {self.first} to {len(self) - 1}; there is no step {step} in it.")
        return self._record(at)

    def __iter__(self) -> Iterator[TraceRecord]:
        return (self._record(step) for step in range(self.first, len(self)))

    def _record(self, step: int) -> TraceRecord:
        event, cpu, old, new, pid, entry, slot, vpn, value = _RECORD.unpack_from(
            self._bytes, (step - self.first) * _SIZE
        )
        return TraceRecord(
            Event(event),
            cpu,
            None if old == NO_BACKING else Backing(old),
            None if new == NO_BACKING else Backing(new),
            pid,
            entry,
            slot,
            vpn,
            value,
            step,
            self._labels[value] if event == Event.MARK and value < len(self._labels) else "",
            self.design,
        )

    def records(self) -> npt.NDArray[Any]:
        """Return the records kept as a structured array of `EVENT_DTYPE`; the first is step `first`."""
        return self._log[: self._next // _SIZE].copy()

    def rows(self, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Return steps `start` to `stop - 1` as a table, each row with the event in words."""
        return [{"step": r.step, **r._asdict(), "words": r.describe()} for r in self[slice(start, stop)]]

    @property
    def marks(self) -> list[Mark]:
        """The phases named so far whose records are kept, in order."""
        log = self._log[: self._next // _SIZE]
        where = np.flatnonzero(log["event"] == Event.MARK)
        return [Mark(int(at) + self.first, self._labels[int(log["value"][at])]) for at in where]

    # -- rebuilding ----------------------------------------------------------------------------------------------

    def _rewind(self) -> None:
        """Forget the states rebuilt so far: the base has moved."""
        self._every = _KEYFRAME_EVERY
        self._keyframes: dict[int, State] = {self.first - 1: self._base.copy()}
        self._cursor = _Cursor(self.first - 1, self._base.copy(), deque(maxlen=_UNDOS))

    def step(self, step: int) -> State:
        """Return the state after event `step`; ``first - 1`` (-1 at first) is the state before the oldest one kept.

        The state is the caller's own. NotFound if the step is not kept.
        """
        if not self.first - 1 <= step < len(self):
            raise NotFound(f"The trace can rebuild steps {self.first - 1} to {len(self) - 1}, not {step}.")
        cursor = self._cursor
        if step < cursor.step - len(cursor.undos) or step > cursor.step + self._every:
            nearest = max(at for at in self._keyframes if at <= step)
            if nearest > cursor.step or step < cursor.step:
                cursor = self._cursor = _Cursor(nearest, self._keyframes[nearest].copy(), deque(maxlen=_UNDOS))
        while cursor.step > step:
            State.undo(cursor.undos.pop())
            cursor.step -= 1
        if cursor.step < step:
            self._forward(cursor, step)
        return cursor.state.copy()

    def _forward(self, cursor: _Cursor, step: int) -> None:
        start, stop = (cursor.step + 1 - self.first) * _SIZE, (step + 1 - self.first) * _SIZE
        # A copy, so that no export of the log outlives this call should the log grow meanwhile.
        for record in _RECORD.iter_unpack(bytes(self._bytes[start:stop])):
            cursor.undos.append(cursor.state.apply(record))
            cursor.step += 1
            if (cursor.step - self.first + 1) % self._every == 0 and cursor.step not in self._keyframes:
                self._keep(cursor)

    def _keep(self, cursor: _Cursor) -> None:
        """Keep a keyframe; when there are too many, drop every other one and make them half as often."""
        self._keyframes[cursor.step] = cursor.state.copy()
        if len(self._keyframes) > _KEYFRAMES:
            self._every *= 2
            self._keyframes = {
                at: state for at, state in self._keyframes.items() if (at - self.first + 1) % self._every == 0
            }

    def __repr__(self) -> str:
        return f"Trace({len(self)} events, steps {self.first} to {len(self) - 1} kept)"


def _matters(log: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which records must be applied to reach the state after all of them.

    Of records that overwrite each other (same aspect, same key) only the last counts. A mere pin (CACHE_ADD without a
    folio) overwrites nothing, so it is always kept, as are all records of other kinds.
    """
    aspect = np.zeros(len(log), np.uint8)
    for event, number in _FOLDED_BY_KEY.items():
        aspect[log["event"] == event] = number
    aspect[(log["event"] == Event.CACHE_ADD) & (log["value"] == 0)] = 0
    keep: npt.NDArray[np.bool_] = aspect == 0
    for number in range(1, 5):
        where = np.flatnonzero(aspect == number)[::-1]
        rows = log[where]
        key = rows["vpn"] | rows["pid"].astype(np.uint64) << np.uint64(36) if number == 1 else rows["entry"]
        keep[where[np.unique(key, return_index=True)[1]]] = True
    return keep
