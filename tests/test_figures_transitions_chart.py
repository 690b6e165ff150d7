"""The Sankey of transitions: counts against a dumb recount, columns that balance, bands as wide as their counts."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from test_widgets_js import lived
from tracekit import random_records, story

from vswaplab import Machine
from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event
from vswaplab.figures.palette import THEMES
from vswaplab.figures.transitions_chart import (
    FREED,
    MAX_PHASES,
    NODES,
    NOT_ALLOCATED,
    PhaseFlow,
    alt_text,
    phase_flows,
    show_code,
    text_twin,
    transitions_sankey,
    transitions_table,
)
from vswaplab.observe.tracepoints import Trace

Links = dict[tuple[str, str], int]


def marked(seed: int, phases: int, capacity: int = 1 << 20) -> Trace:
    """Return a trace of random records with a mark before each phase."""
    trace, records = Trace(capacity), Trace()
    random_records(seed, 600, records)
    each = len(records) // phases
    for at in range(len(records)):
        if at % each == 0 and at // each < phases:
            trace.mark(f"phase {at // each}")
        record = records.records()[at]
        names = ("entry", "old", "new", "slot", "pid", "vpn", "value")
        trace(Event(int(record["event"])), **{name: int(record[name]) for name in names})
    return trace


def recount(trace: Trace) -> list[tuple[str, Links]]:
    """Count by looking each allocation up in the state before and after each phase."""
    lives: list[list[int]] = [[entry, trace.first - 1, 1 << 60] for entry in trace.step(trace.first - 1).slots]
    changes = []
    for step in range(trace.first, len(trace)):
        record = trace[step]
        if record.event is Event.ALLOC:
            lives.append([record.entry, step, 1 << 60])
        if record.event is Event.FREE:
            next(life for life in reversed(lives) if life[0] == record.entry)[2] = step
        if record.event in (Event.ALLOC, Event.FREE, Event.BACKING):
            changes.append(step)

    def node(life: list[int], after: int) -> str:
        entry, born, died = life
        if born > after:
            return NOT_ALLOCATED
        return FREED if died <= after else trace.step(after).slots[entry].backing.name

    bounds = [("", trace.first), *((mark.label, mark.step) for mark in trace.marks)]
    found = []
    for (label, first), last in zip(bounds, [*(at for _, at in bounds[1:]), len(trace)], strict=True):
        if not any(first <= step < last for step in changes):
            continue
        links: Counter[tuple[str, str]] = Counter()
        for life in lives:
            at = node(life, first - 1), node(life, last - 1)
            if at not in ((NOT_ALLOCATED, NOT_ALLOCATED), (FREED, FREED)):
                links[at] += 1
        found.append((label, dict(links)))
    return found


TRACES = {
    "a story": lambda: story(30, forked=4),
    "a legacy life": lambda: lived("legacy"),
    "a virtual life": lambda: lived("virtual"),
    "random records": lambda: marked(3, 5),
    "what is left of a long trace": lambda: marked(11, 4, capacity=300),
}


@pytest.mark.parametrize("name", list(TRACES))
def test_links_are_those_of_a_recount_from_states(name: str) -> None:
    trace = TRACES[name]()
    flows = phase_flows(trace)
    wanted = recount(trace)
    assert [flow.links for flow in flows] == [links for _, links in wanted]
    for flow, (label, _) in zip(flows, wanted, strict=True):
        assert flow.label == (label or ("before the first mark" if trace.marks else "the whole run"))


@pytest.mark.parametrize("name", list(TRACES))
def test_what_enters_a_node_leaves_it(name: str) -> None:
    flows = phase_flows(TRACES[name]())
    for before, after in pairwise(flows):
        came = {node: nr for node, nr in before.ends.items() if node != FREED}
        assert came == {node: nr for node, nr in after.begins.items() if node != NOT_ALLOCATED}
    for flow in flows:
        assert FREED not in flow.begins
        assert NOT_ALLOCATED not in flow.ends
        assert sum(flow.begins.values()) == sum(flow.ends.values()) == sum(flow.links.values())


@pytest.mark.parametrize("name", list(TRACES))
def test_bands_are_as_wide_as_their_counts_and_fill_their_nodes(name: str) -> None:
    flows = phase_flows(TRACES[name]())
    figure = transitions_sankey(TRACES[name]())
    bars = {each.name: (each.y[0], each.y[2]) for each in figure.data if each.name and each.fillpattern.size}
    bands = [each for each in figure.data if each.name and not each.fillpattern.size]
    assert len(bands) == sum(len(flow.links) for flow in flows)
    scale = {round((low - top) / nr, 6) for (top, low), nr in zip(bars.values(), _held(bars, flows), strict=True)}
    assert len(scale) == 1
    tall: Counter[str] = Counter()
    for band in bands:
        column, old, new = _named(band.name)
        half = len(band.y) // 2
        left, right = band.y[-1] - band.y[0], band.y[half] - band.y[half - 1]
        assert left == pytest.approx(right)
        assert left == pytest.approx(flows[column].links[old, new] * next(iter(scale)), abs=1e-4)
        tall[f"{column} {old}, out"] += left
        tall[f"{column + 1} {new}, in"] += right
        for node, top in ((f"{column} {old}", band.y[0]), (f"{column + 1} {new}", band.y[half - 1])):
            assert bars[node][0] - 1e-6 <= top <= bars[node][1]
    for key, nr in tall.items():
        top, low = bars[key.split(",")[0]]
        assert nr == pytest.approx(low - top), key


def _named(name: str) -> tuple[int, str, str]:
    column, rest = name.split(" ", 1)
    old = next(node for node in NODES if rest.startswith(node))
    return int(column), old, rest[len(old) + 1 :]


def _held(bars: dict[str, Any], flows: list[PhaseFlow]) -> list[int]:
    found = []
    for name in bars:
        column, node = name.split(" ", 1)
        at = int(column)
        came = flows[at - 1].ends if at else {}
        goes = flows[at].begins if at < len(flows) else {}
        found.append(came.get(node) or goes[node])
    return found


def test_nodes_of_a_column_keep_apart_and_inside() -> None:
    for name in TRACES:
        figure = transitions_sankey(TRACES[name]())
        columns: dict[float, list[tuple[float, float]]] = {}
        for each in figure.data:
            if each.fillpattern.size:
                columns.setdefault(each.x[0], []).append((each.y[0], each.y[2]))
        low, high = figure.layout.yaxis.range[1], figure.layout.yaxis.range[0]
        for bars in columns.values():
            bars.sort()
            assert bars[0][0] >= low - 1e-6
            assert bars[-1][1] <= high + 1e-6
            assert all(after[0] - before[1] > 20 for before, after in pairwise(bars))


def test_more_phases_than_fit_are_joined_and_still_balance() -> None:
    trace = marked(5, 20)
    flows = phase_flows(trace)
    assert len(flows) == MAX_PHASES
    assert flows[-1].label.endswith("phase 19")
    assert any(" to " in flow.label for flow in flows)
    ends = {node: nr for node, nr in flows[-1].ends.items() if node != FREED}
    assert ends == {backing.name: nr for backing in Backing if (nr := trace.step(len(trace) - 1).count(backing))}
    taken = sum(flow.begins.get(NOT_ALLOCATED, 0) for flow in flows)
    assert taken == sum(record.event is Event.ALLOC for record in trace)


def test_words_and_table_have_every_link() -> None:
    trace = lived("virtual")
    alt, twin = alt_text(trace), text_twin(trace)
    assert transitions_sankey(trace).layout.meta["alt"] == alt
    flows = phase_flows(trace)
    assert twin.count("<tr>") == 1 + sum(len(flow.links) for flow in flows)
    for flow in flows:
        for (old, new), nr in flow.links.items():
            assert (f"{nr:,} from {old} to {new}" if old != new else f"{nr:,} {old}") in alt
            assert (flow.label, old, new, f"{nr:,}") in transitions_table(trace).rows


@pytest.mark.parametrize("theme", list(THEMES))
def test_colours_are_the_theme_s_and_each_backing_has_a_pattern(theme: str) -> None:
    figure = transitions_sankey(lived("virtual"), theme)
    looks = {}
    for each in figure.data:
        if each.fillpattern.size:
            name = each.name.split(" ", 1)[1]
            looks[name] = each.fillpattern.shape
            if name in Backing.__members__:
                assert each.fillcolor == THEMES[theme].backing[Backing[name]]
    assert len(set(looks.values())) == len(looks) > 4
    assert figure.layout.font.color == THEMES[theme].text


def test_without_a_trace_or_a_transition_one_sentence_says_so() -> None:
    with pytest.raises(InvalidArgument, match="tracing on"):
        transitions_sankey(object())
    with pytest.raises(InvalidArgument, match="reclaim something first"):
        transitions_sankey(Trace())
    with pytest.raises(InvalidArgument, match="no theme"):
        transitions_sankey(lived("virtual"), "neon")


def test_shown_code_runs() -> None:
    with Machine(ram="1M") as machine:
        machine.swapon(size="1M")
        app = machine.spawn("app")
        region = app.mmap("64K")
        app.write(region.start, b"some" * 1000)
        machine.reclaim()
        exec(show_code(), {"machine": machine})
    assert re.search(r"transitions_sankey\(machine\)", show_code())
