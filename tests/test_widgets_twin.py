"""The twin player: one cursor, and on the page both designs are where Python has them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from nodekit import run_node

from vswaplab.errors import InvalidArgument
from vswaplab.observe.compare import Comparison, searches
from vswaplab.observe.state import PteKey
from vswaplab.widgets import TwinPlayer
from vswaplab.workloads.scenario_compare import COMPARED, compare_scenario

SCENARIOS = ("one_page", "parent_and_child", "real_256")


def key(page: PteKey) -> str:
    return f"{page[0]}:{page[1]}"


def case(name: str) -> dict[str, Any]:
    view = TwinPlayer(name)
    steps = [
        {
            "pages": [{key(page): where for page, where in step.sides[design].pages.items()} for design in COMPARED],
            "elsewhere": [key(page) for page in step.pages_elsewhere()],
        }
        for step in view.comparison.steps
    ]
    return {"name": name, "header": view.header, "data": base64.b64encode(view.data).decode(), "steps": steps}


def test_the_page_has_both_designs_where_python_has_them(tmp_path: Path) -> None:
    assert run_node(tmp_path, "VSWAPLAB_TWINS", [case(name) for name in SCENARIOS], "twinlog") == 3 * len(SCENARIOS)


def test_series_are_the_numbers_of_the_comparison() -> None:
    comparison = compare_scenario("parent_and_child")
    view = TwinPlayer(comparison)
    looked, slots, metadata, moved = view.header["series"]
    for design in COMPARED:
        sides = [step.sides[design] for step in comparison.steps]
        assert looked[design][-1] == sum(searches(side.lookups) for side in sides)
        assert slots[design][1:] == [side.slots_used for side in sides]
        assert metadata[design][1:] == [side.metadata_bytes for side in sides]
        total = comparison.totals[design].io
        assert moved[design][-1] == total.get("pages_read", 0) + total.get("pages_written", 0)
        for series in view.header["series"]:
            assert len(series[design]) == view.last + 1


def test_events_by_kind_are_those_of_the_traces() -> None:
    view = TwinPlayer("parent_and_child")
    told = view.header["steps"]
    for i, design in enumerate(COMPARED, 1):
        records = sum(row[i] for step in told for row in step["events"])
        assert records == len(view.comparison.traces[design])


def test_step_stays_in_range_and_the_code_runs() -> None:
    view = TwinPlayer("one_page", step=99)
    assert view.step == view.last
    view.step = -3
    assert view.step == 0
    known: dict[str, Any] = {}
    exec(view.code.replace("{step}", "2"), known)
    assert known["comparison"].name == "one_page"


def test_a_comparison_without_its_traces_is_one_sentence() -> None:
    steps = compare_scenario("one_page").steps
    with pytest.raises(InvalidArgument, match="needs the steps and traces of both designs"):
        TwinPlayer(Comparison("bare", steps))
