"""The byte ledger as a view: what is sent, what the settings mean, and the page's sums against Python's."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from nodekit import run_node

from vswaplab.errors import InvalidArgument
from vswaplab.figures.chart import spread_labels
from vswaplab.figures.ledger_chart import STRUCTURE_LOOKS
from vswaplab.observe.ledger_designs import DESIGNS
from vswaplab.observe.ledger_mix import MIX_BASELINES, Mix, mix_crossover, mix_ledger, mix_terms
from vswaplab.observe.ledger_model import MODES
from vswaplab.widgets import ByteLedger
from vswaplab.widgets.ledger import COUNTS, PRESETS, SIZES

SHARES = ((0, 100, 0), (0, 0, 100), (100, 0, 0), (10, 60, 30), (33, 34, 33), (1, 0, 99))


def grid() -> list[dict[str, Any]]:
    """Return settings of many kinds with what Python says of them."""
    cases = []
    sizes = (SIZES[0], 8_388_608, SIZES[-1])
    for slots, shares, live, mode in product(sizes, SHARES, (512, 64, 1), MODES):
        zero, zswap, disk = shares
        mix = Mix(slots, zero, zswap, disk, live, mode, swapfile=zero == 100)
        costs = []
        for usage in (0, 1, 7, 38, 50, 99, 100):
            of = [mix_ledger(design, mix, usage) for design in (*MIX_BASELINES, "virtual")]
            lines = [[line.bytes for line in each.structures.values()] for each in of]
            costs.append({"usage": usage, "live": mix.live_at(usage), "lines": lines})
        settings = {**ByteLedger().settings, **mix.__dict__}
        crossovers = {baseline: mix_crossover(mix, baseline) for baseline in MIX_BASELINES}
        cases.append({"settings": settings, "costs": costs, "crossovers": crossovers})
    return cases


def proposals() -> list[dict[str, Any]]:
    """Return the terms of the designs that are not built, with their own sums."""
    found = []
    for made, slots, usage in product(DESIGNS.values(), (SIZES[0], 8_388_608), (0, 25, 60, 100)):
        for backend in made.backends:
            mix = Mix(slots, **{backend: 100})
            live = mix.live_at(usage)
            ledger = made.ledger(backend, capacity=slots, live=live, clusters=-(-live // 512))
            terms = [
                {"name": term.name, "bytes": term.unit_bytes, "unit": term.unit, "device": term.device, "pages": False}
                for term in mix_terms(made)
            ]
            settings = {**ByteLedger().settings, **mix.__dict__}
            found.append({"name": made.name, "terms": terms, "settings": settings, "live": live})
            found[-1]["total"] = ledger.total_bytes
    return found


def test_the_page_s_sums_are_python_s(tmp_path: Path) -> None:
    wanted = [([10, 11, 40], 10, 0, 100), ([5, 5, 5, 90], 15, 4, 100), ([99, 98, 3], 15, 4, 96), ([50], 10, 0, 60)]
    spreads = [{"given": given, "found": spread_labels(*given)} for given in wanted]
    cases = {"header": ByteLedger().header, "grid": grid(), "proposals": proposals(), "spreads": spreads}
    assert run_node(tmp_path, "VSWAPLAB_LEDGER", cases, "ledger") >= 9


@pytest.mark.parametrize("preset", list(PRESETS))
def test_each_preset_is_ready_and_goes_over_the_wire(preset: str) -> None:
    view = ByteLedger(preset)
    assert json.loads(json.dumps(view.plain()["settings"])) == view.settings
    json.dumps(view.header)
    for design in ("legacy", "virtual"):
        assert view.ledger(design).total_bytes > 0


def test_both_camps_sums_are_those_of_the_notebook() -> None:
    """24 instead of 8 is 16 bytes an entry and 128 MiB; net it is from 25 MiB less to 40 MiB more with zswap."""
    gross, net = ByteLedger("24 instead of 8"), ByteLedger("net")
    of = list(COUNTS["24 instead of 8"]["of"])
    sums = [
        sum(line.bytes for name, line in gross.ledger(design).structures.items() if name in of)
        for design in ("legacy", "virtual")
    ]
    assert (sums[1] - sums[0]) / gross.mix.slots == 16
    assert (sums[1] - sums[0]) / (1 << 20) == 128
    assert net.ledger("virtual").mib - net.ledger("legacy").mib == 40
    net.settings = {**net.settings, "usage": 0}
    assert net.ledger("virtual").mib - net.ledger("legacy").mib == -25
    assert COUNTS["everything"]["of"] is None


def test_crossovers_are_the_posted_ones() -> None:
    for preset, percent in (("posting, zswap", "38.46"), ("posting, disk", "11.92")):
        found = ByteLedger(preset).crossover
        assert found is not None
        assert f"{found:.2f}" == percent


def test_against_mainline_the_crossover_is_another() -> None:
    """Linux 7.2 pays next to nothing at swapon: 1.53 % with zswap, and on the disk virtual swap always costs more."""
    found = ByteLedger("mainline, zswap")
    assert found.crossover is not None
    assert f"{found.crossover:.2f}" == "1.53"
    assert ByteLedger("mainline, disk").crossover == 0
    found.settings = {**found.settings, "baseline": "legacy"}
    assert f"{found.crossover:.2f}" == "38.46"
    assert "legacy 89.00 MiB, virtual 96.50 MiB" in found.shows()[0]
    assert "Linux 7.2 72.75 MiB, virtual 96.50 MiB" in ByteLedger("mainline, zswap").shows()[0]
    with pytest.raises(InvalidArgument, match="baseline"):
        ByteLedger(baseline="ghost")


def test_every_structure_has_a_look_and_colours_are_the_palette_s() -> None:
    header = ByteLedger().header
    names = {term["name"] for modes in header["terms"].values() for terms in modes.values() for term in terms}
    assert names <= set(STRUCTURE_LOOKS)
    for modes in header["terms"].values():
        for terms in modes.values():
            looks = [tuple(header["looks"][term["name"]]) for term in terms]
            assert len(set(looks)) == len(looks)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zswap": 50}, "add up to 100 %"),
        ({"usage": 101}, "usage"),
        ({"unit": "pages"}, "unit"),
        ({"count": "all of it"}, "count"),
        ({"slots": 77777}, "whole clusters"),
        ({"colour": "red"}, "'colour' is missing or is none of them"),
    ],
)
def test_settings_that_can_t_be_meant_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        ByteLedger(**changes)
    with pytest.raises(InvalidArgument, match="preset"):
        ByteLedger("no such")


def test_the_calls_behind_the_picture_run(capsys: pytest.CaptureFixture[str]) -> None:
    view = ByteLedger("mixed", slots=1 << 14, swapfile=True)
    code = view.code
    for name, value in view.settings.items():
        code = code.replace(f"{{{name}}}", str(value))
    exec(code, {})
    out = capsys.readouterr().out
    assert f"virtual, as posted: {view.ledger('virtual').total_bytes:,.0f} bytes" in out
    assert f"the same at {view.crossover:.2f} %" in out
