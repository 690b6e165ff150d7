"""The stepper: buttons, slider and jumps drive one trait, and everything follows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tracekit import VPN, story

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.figures.slot_graph import slot_graph_figure
from vswaplab.observe.tracepoints import Trace
from vswaplab.widgets import Prediction, Stepper
from vswaplab.widgets.step_model import StepModel

QUIET = (Event.MARK, Event.FAULT, Event.WRITEOUT)


def drawn(figure: Any) -> list[dict[str, Any]]:
    """Return the marks and lines of a figure as plain data."""
    shown = []
    for each in figure.data:
        plain = each.to_plotly_json()
        plain.pop("uid", None)
        shown.append({name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()})
    return shown


def test_by_default_only_events_that_change_something_visible_are_shown() -> None:
    trace = story(6, forked=2)
    model = StepModel(trace)
    assert len(model) == sum(record.event not in QUIET for record in trace)
    for position in range(1, len(model) + 1):
        assert model.changed(position)
    assert len(StepModel(trace, every_event=True)) == len(trace)


def test_buttons_move_by_one_and_to_the_ends() -> None:
    stepper = Stepper(story(3), step=0)
    assert (stepper.step, stepper.back_button.disabled, stepper.forward_button.disabled) == (0, True, False)
    stepper.forward_button.click()
    stepper.forward_button.click()
    stepper.back_button.click()
    assert (stepper.step, stepper.slider.value) == (1, 1)
    stepper.last_button.click()
    assert (stepper.step, stepper.forward_button.disabled, stepper.last_button.disabled) == (stepper.last, True, True)
    stepper.first_button.click()
    assert stepper.step == 0


def test_it_begins_at_the_last_event_unless_told() -> None:
    assert Stepper(story(3)).step == Stepper(story(3)).last > 0
    assert Stepper(story(3), step=4).step == 4


def test_buttons_have_names_and_tooltips() -> None:
    stepper = Stepper(story(1))
    buttons = [stepper.first_button, stepper.back_button, stepper.forward_button, stepper.last_button]
    assert [button.description for button in buttons] == ["First", "Step back", "Step forward", "Last"]
    assert all(button.tooltip for button in buttons)


def test_the_step_stays_within_the_trace() -> None:
    stepper = Stepper(story(2))
    stepper.step = 10_000
    assert stepper.step == stepper.last
    stepper.step = -5
    assert stepper.step == 0


def test_slider_and_jump_set_the_step_and_follow_it() -> None:
    stepper = Stepper(story(4, forked=1))
    stepper.slider.value = 7
    assert stepper.step == 7
    fork = dict(stepper.jump.options)["fork"]
    stepper.jump.value = fork
    assert (stepper.step, stepper.slider.value) == (fork, fork)
    assert "Process 1 forks process 2." in stepper.status.value
    stepper.step = fork + 1
    assert (stepper.step, stepper.jump.value) == (fork + 1, fork)
    stepper.jump.value = dict(stepper.jump.options)["write"]
    assert stepper.step == dict(stepper.jump.options)["write"]
    stepper.step = 0
    assert stepper.jump.value == 0


def test_every_picture_on_the_way_and_back_equals_one_drawn_anew() -> None:
    trace = story(5, forked=2)
    stepper = Stepper(trace)
    model = stepper.model
    for step in [*range(0, stepper.last + 1, 3), *range(stepper.last, -1, -4)]:
        stepper.step = step
        fresh = slot_graph_figure(model.state(step), highlight=model.changed(step), layout=model.layout)
        assert drawn(stepper.figure) == drawn(fresh)


def test_the_status_says_the_event_in_words_with_its_kernel_function_and_source() -> None:
    stepper = Stepper(story(3), step=0)
    assert "event 0 of" in stepper.status.value
    assert "vswaplab-stepper-status" in stepper.status._dom_classes
    for step in range(1, stepper.last + 1):
        stepper.step = step
        record = stepper.model.record(step)
        assert record is not None
        assert f"event {step} of {stepper.last}" in stepper.status.value
        assert record.kernel.function in stepper.status.value
        assert re.search(r"\[(S\d+|BACKGROUND)\]", stepper.status.value)
        assert 'role="status"' in stepper.status.value


def test_alt_text_follows_and_the_table_is_filled_when_unfolded() -> None:
    stepper = Stepper(story(3), step=0)
    before = stepper.alt.value
    stepper.step = stepper.last
    assert stepper.alt.value != before
    assert stepper.twin.value == ""
    stepper.details.selected_index = 0
    assert stepper.twin.value == stepper.model.twin(stepper.last)
    stepper.step = 2
    assert stepper.twin.value == stepper.model.twin(2)
    stepper.details.selected_index = 1
    assert "slot_graph_figure" in stepper.code.value


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
    assert stepper.forward_button.disabled


def test_a_trace_that_dropped_its_beginning_is_stepped_from_what_it_keeps() -> None:
    trace = story(20, forked=2, capacity=64)
    stepper = Stepper(trace)
    assert trace.first > 0
    assert stepper.model.state(0) == trace.step(trace.first - 1)
    stepper.step = stepper.last
    assert stepper.model.state(stepper.last) == trace.step(len(trace) - 1)


def test_a_prediction_is_recorded_once_and_answered_after_the_run() -> None:
    prediction = Prediction("How many?", {"none": "Look again.", "all": "Indeed."})
    assert prediction.record.disabled
    prediction.choices.value = "none"
    prediction.record.click()
    prediction.choices.value = "all"
    prediction.record.click()
    assert prediction.recorded == "none"
    assert prediction.check("all") == "You predicted: none. The run says: all. Look again."
    assert "Look again." in prediction.result.value


def test_a_right_prediction_and_a_missing_one_are_told_apart() -> None:
    right = Prediction("How many?", {"none": "Look again.", "all": "Indeed."})
    right.choices.value = "all"
    right.record.click()
    assert right.check("all").startswith("As you predicted: all.")
    assert Prediction("How many?", {"all": "Indeed."}).check("all").startswith("No prediction was recorded.")
    with pytest.raises(InvalidArgument, match="not one of the choices"):
        right.check("some")
