"""The trace: what it keeps, and that every step can be rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracekit import VPN, random_records, story

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import EVENT_DTYPE, Event
from vswaplab.observe.state import State
from vswaplab.observe.tracepoints import Trace


def replayed(trace: Trace) -> list[State]:
    """Return the states after each record of a trace that has dropped none."""
    state, states = State(), []
    for record in trace.records().tolist():
        state.apply(record)
        states.append(state.copy())
    return states


class Both:
    """Records the same in two traces."""

    def __init__(self, *traces: Trace) -> None:
        self.traces = traces

    def __call__(self, *args: object, **fields: object) -> None:
        for trace in self.traces:
            trace(*args, **fields)  # type: ignore[arg-type]


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), steps=st.lists(st.integers(-1, 1199), min_size=1, max_size=40))
def test_any_step_in_any_order_equals_a_replay_from_the_start(seed: int, steps: list[int]) -> None:
    trace = Trace()
    random_records(seed, 1200, trace)
    states = replayed(trace)
    for step in steps:
        assert trace.step(step) == (states[step] if step >= 0 else State())


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), capacity=st.integers(2, 400), nr=st.integers(1, 1500))
def test_a_trace_that_dropped_records_still_rebuilds_every_step_it_keeps(seed: int, capacity: int, nr: int) -> None:
    whole, small = Trace(), Trace(capacity)
    random_records(seed, nr, Both(whole, small))
    states = [State(), *replayed(whole)]
    assert len(small) == len(whole)
    assert len(small) - small.first <= capacity
    for step in range(small.first - 1, len(small)):
        assert small.step(step) == states[step + 1]


def test_stepping_back_across_keyframes_and_the_undo_limit() -> None:
    trace = Trace()
    random_records(7, 12_000, trace)
    states = [State(), *replayed(trace)]
    for step in [*range(11_999, 11_700, -1), 5000, 4999, 4500, 11_000, 3, 2, 1, 0, -1, 0]:
        assert trace.step(step) == states[step + 1]


def test_keyframes_stay_few_however_long_the_trace() -> None:
    trace = Trace()
    random_records(3, 60_000, trace)
    trace.step(len(trace) - 1)
    assert len(trace._keyframes) <= 65


def test_a_state_handed_out_is_the_callers_own() -> None:
    trace = story(4)
    state = trace.step(5)
    state.ptes.clear()
    assert trace.step(5).ptes


def test_the_log_grows_as_needed_and_not_before() -> None:
    trace = Trace()
    assert trace._log.nbytes <= 1024 * EVENT_DTYPE.itemsize
    for i in range(5000):
        trace(Event.MARK, value=i)
    assert len(trace) == 5000
    assert trace._log.nbytes < 20_000 * EVENT_DTYPE.itemsize


@pytest.mark.parametrize("capacity", [7, 64, 1 << 20])
def test_many_equals_one_at_a_time(capacity: int) -> None:
    one, many = Trace(capacity), Trace(capacity)
    entries = np.arange(1, 201, dtype=np.uint64)
    many.many(Event.ALLOC, 200, entry=entries, new=int(Backing.FOLIO), value=3)
    many.many(Event.DUPLICATE, 200, entry=entries, value=entries)
    for entry in range(1, 201):
        one(Event.ALLOC, entry, new=Backing.FOLIO, value=3)
    for entry in range(1, 201):
        one(Event.DUPLICATE, entry, value=entry)
    assert len(many) == len(one) == 400
    assert many.step(399) == one.step(399)
    last = min(len(many.records()), len(one.records()))
    assert many.records()[-last:].tobytes() == one.records()[-last:].tobytes()


def test_many_refuses_a_field_no_record_has() -> None:
    with pytest.raises(InvalidArgument, match="frame"):
        Trace().many(Event.ALLOC, 1, frame=1)


def test_a_record_has_named_fields_and_says_itself_in_words() -> None:
    trace = story(1)
    record = trace[5]
    assert (record.event, record.entry, record.old, record.new, record.step) == (Event.ALLOC, 1, None, Backing.FOLIO, 5)
    said = [each.describe() for each in trace]
    assert f"Page {VPN << 12:#x} of process 1: the PTE holds entry 1 now." in said
    assert "Entry 1: backed by a folio in memory before, by the zero page now." in said
    assert all(text[0].isupper() and (text[-1] == "." or text.startswith("Mark: ")) for text in said)


def test_every_event_but_a_mark_names_a_kernel_function_and_its_source() -> None:
    for record in story(12, forked=4):
        if record.event is not Event.MARK:
            assert record.kernel.function
            assert record.kernel.source in ("S10", "S13", "S14", "S21", "BACKGROUND")
            assert str(record.kernel).startswith(record.kernel.function + " [")


def test_indexing_counts_from_the_end_and_names_what_is_kept() -> None:
    trace = story(3)
    assert trace[-1] == trace[len(trace) - 1]
    assert [record.step for record in trace[2:5]] == [2, 3, 4]
    with pytest.raises(NotFound, match="holds steps 0 to"):
        trace[len(trace)]
    with pytest.raises(NotFound, match="can rebuild steps -1 to"):
        trace.step(len(trace))


def test_marks_are_listed_with_their_steps() -> None:
    trace = story(2, forked=1)
    assert [mark.label for mark in trace.marks] == ["write", "reclaim", "fork", "read back"]
    assert [trace[mark.step].label for mark in trace.marks] == ["write", "reclaim", "fork", "read back"]


def test_rows_are_a_table_with_words() -> None:
    rows = story(1).rows(0, 2)
    assert [row["words"] for row in rows] == ["Swapfile 0 is on, with 4,095 usable slots.", "Process 1 starts."]
    assert rows[1]["pid"] == 1


def test_nothing_is_recorded_while_off_and_restart_begins_from_a_state() -> None:
    trace = story(2)
    before = trace.step(len(trace) - 1)
    trace.enabled = False
    trace(Event.EXIT, pid=1)
    trace.many(Event.EXIT, 3, pid=1)
    assert trace.step(len(trace) - 1) == before
    trace.enabled = True
    trace.restart(before)
    trace(Event.EXIT, pid=1)
    assert len(trace) == 1
    assert trace.step(-1) == before
    assert before.processes.keys() - trace.step(0).processes.keys() == {1}


def test_the_cpu_is_recorded() -> None:
    trace = Trace()
    trace.cpu = 3
    trace(Event.EXIT, pid=1)
    trace.many(Event.EXIT, 1, pid=2)
    assert [record.cpu for record in trace] == [3, 3]


def test_a_missing_record_is_noticed() -> None:
    with pytest.raises(InvalidArgument, match="entry 9, which is not allocated"):
        State().apply((Event.PUT, 0, 255, 255, 0, 9, 0, 0, 0))


def test_a_trace_of_one_record_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 2"):
        Trace(capacity=1)
