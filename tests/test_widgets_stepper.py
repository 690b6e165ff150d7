"""The stepper: one trait for the position, a log that is sent once, and the model behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracekit import VPN, story

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.observe.drgn import drgn_lines
from vswaplab.observe.sources import SOURCES
from vswaplab.observe.tracepoints import Trace
from vswaplab.widgets import Stepper
from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel

QUIET = (Event.MARK, Event.FAULT, Event.WRITEOUT)


def test_by_default_only_events_that_change_something_visible_are_shown() -> None:
    trace = story(6, forked=2)
    model = StepModel(trace)
    assert len(model) == sum(record.event not in QUIET for record in trace)
    for position in range(1, len(model) + 1):
        assert model.changed(position)
    assert len(StepModel(trace, every_event=True)) == len(trace)


def test_it_begins_at_the_last_event_unless_told() -> None:
    assert Stepper(story(3)).step == Stepper(story(3)).last > 0
    assert Stepper(story(3), step=4).step == 4


def test_the_step_stays_within_the_trace() -> None:
    stepper = Stepper(story(2))
    stepper.step = 10_000
    assert stepper.step == stepper.last
    stepper.step = -5
    assert stepper.step == 0


def test_the_log_has_an_event_for_every_position_and_its_step_in_the_trace() -> None:
    stepper = Stepper(story(5, forked=2))
    assert stepper.header["events"] == stepper.last == len(stepper.model)
    sizes = {name: (kind, length) for name, kind, length in stepper.header["columns"]}
    padded = sum(-(-int(kind[1:]) * length // 8) * 8 for kind, length in sizes.values())
    assert len(stepper.data) == padded
    assert [label for label, _ in stepper.header["phases"]] == ["write", "reclaim", "fork", "read back"]


def test_every_kind_of_event_names_a_source_that_is_known() -> None:
    for design in ("virtual", "legacy"):
        trace = story(6, forked=2)
        trace.design = design
        for kind in StepLog(StepModel(trace, every_event=True)).header["kinds"]:
            assert kind["sentence"].endswith((".", "{label}"))
            assert not kind["function"] or kind["source"] in SOURCES


def test_the_code_behind_a_step_is_python() -> None:
    stepper = Stepper(story(3), step=4)
    compile(stepper.show_code(), "show_code", "exec")
    assert f"machine.trace[{stepper.model.steps[3]}]" in stepper.show_code()


def test_one_entry_is_followed_through_all_page_tables_that_held_it() -> None:
    trace = story(8, forked=3)
    model = StepModel(trace, entry=2)
    assert model.layout.universe.entries == (2,)
    assert model.layout.universe.ptes == ((1, VPN + 1), (2, VPN + 1))
    for position in range(1, len(model) + 1):
        record = model.record(position)
        assert record is not None
        assert record.event in (Event.SWAPON, Event.SPAWN) or record.entry == 2 or record.vpn == VPN + 1
        model.scene(position)


def test_one_process_is_followed_with_the_slots_it_holds() -> None:
    model = StepModel(story(8, forked=3), pid=2)
    assert model.layout.universe.ptes == tuple((2, VPN + i) for i in range(3))
    assert model.layout.universe.entries == (1, 2, 3)
    for position in range(len(model) + 1):
        model.scene(position)


def test_a_process_nobody_knows_is_refused() -> None:
    with pytest.raises(NotFound, match="Nothing in the trace"):
        StepModel(story(2), pid=99)


def test_a_machine_without_a_trace_is_refused() -> None:
    class Untraced:
        trace = None

    with pytest.raises(InvalidArgument, match="no trace to step through"):
        Stepper(Untraced())


def test_an_empty_trace_has_one_position() -> None:
    stepper = Stepper(Trace())
    assert (stepper.step, stepper.last) == (0, 0)
    assert stepper.header["events"] == 0


def test_a_trace_that_dropped_its_beginning_is_stepped_from_what_it_keeps() -> None:
    trace = story(20, forked=2, capacity=64)
    stepper = Stepper(trace)
    assert trace.first > 0
    assert stepper.model.state(0) == trace.step(trace.first - 1)
    stepper.step = stepper.last
    assert stepper.model.state(stepper.last) == trace.step(len(trace) - 1)


def test_sources_are_those_of_the_document() -> None:
    document = (Path(__file__).parent.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    for tag, (_, address) in SOURCES.items():
        assert f"| {tag} |" in document or f"[{tag}]" in document
        assert address in document


def test_drgn_lines_are_python_with_holes_filled() -> None:
    trace = story(6, forked=2)
    for design in ("virtual", "legacy"):
        trace.design = design
        for record in trace:
            text = "\n".join(drgn_lines(record))
            for hole in ("pid", "address", "cluster", "index", "type", "offset"):
                text = text.replace(f"{{{hole}}}", "1")
            assert "{" not in text
            compile(text, "drgn", "exec")
