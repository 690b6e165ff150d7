"""The swapoff race as a view: what the page is sent, and what it makes of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from nodekit import run_node

from vswaplab.widgets import SwapoffRace
from vswaplab.workloads.swapoff_race import DESIGNS


def case(name: str, view: SwapoffRace) -> dict[str, Any]:
    samples = [view.race.tracks[design].samples.tolist() for design in DESIGNS]
    return {"name": name, "header": view.header, "data": base64.b64encode(view.data).decode(), "samples": samples}


def test_the_page_has_the_tracks_as_python_counted_them(tmp_path: Path) -> None:
    cases = [
        case("device", SwapoffRace(16, "4M", 2)),
        case("zswap", SwapoffRace(24, "2M", 1, backing="zswap", state="out")),
        case("nobody else", SwapoffRace(8, 0, 0)),
    ]
    assert run_node(tmp_path, "VSWAPLAB_RACES", cases, "racelog") == 3 * len(cases) + 1


def test_a_race_that_was_run_is_shown_and_the_code_makes_it() -> None:
    view = SwapoffRace(8, "2M", 1)
    again = SwapoffRace(view.race)
    assert again.header == view.header
    known: dict[str, Any] = {}
    exec(view.code, known)
    reports = [known["runners"].tracks[design].report for design in DESIGNS]
    assert [report.ptes_visited for report in reports] == [512 + 8, 0]
    machine = view.stopped("virtual", 25)
    assert list(machine.devices)
    machine.close()
