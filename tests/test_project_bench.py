"""The benchmark framework: medians, directions, selection, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vswaplab import bench
from vswaplab.bench import Case, Unavailable, run_case, select, table
from vswaplab.cli import main


def in_turn(*values: tuple[float, float] | float) -> Callable[[], tuple[float, float] | float]:
    iterator = iter(values)
    return lambda: next(iterator)


def fixed(name: str, value: tuple[float, float] | float = (1.0, 2.0), **options: object) -> Case:
    return Case(name, "x", "a reference", lambda: value, **options)  # type: ignore[arg-type]


def test_ratio_is_the_median_of_the_ratios_of_five_runs() -> None:
    case = Case("a", "x", "b", in_turn((1, 2), (1, 9), (1, 3), (2, 8), (1, 5)))
    result = run_case(case)
    assert result.runs == (2, 9, 3, 4, 5)
    assert (result.ratio, result.ours_seconds, result.reference_seconds) == (4, 1, 5)


def test_cost_is_our_time_over_the_references() -> None:
    assert run_case(fixed("a", (3.0, 2.0), better="lower")).ratio == 1.5


def test_plain_value_is_reported_as_it_is() -> None:
    result = run_case(fixed("bytes", 24.0))
    assert (result.ratio, result.ours_seconds) == (24.0, None)


def test_selection_by_name_beginning_and_glob() -> None:
    cases = [fixed("virtual.free"), fixed("virtual.populate"), fixed("zswap.store")]
    names = {
        pattern: [case.name for case in select(cases, [pattern])] for pattern in ("virtual", "*.store", "zswap.store")
    }
    assert names == {
        "virtual": ["virtual.free", "virtual.populate"],
        "*.store": ["zswap.store"],
        "zswap.store": ["zswap.store"],
    }
    assert select(cases, []) == cases


def test_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match="there are: one"):
        select([fixed("one")], ["two"])


def test_table_shows_prototype_spread_and_what_it_is_against() -> None:
    text = table([run_case(fixed("virtual.free", (0.002, 0.05), prototype="21-28x"))])
    assert "25 x" in text
    assert "[21-28x]" in text
    assert "2 ms" in text
    assert "a reference" in text


def test_every_shipped_case_has_a_name_of_its_own_and_says_what_it_is_against() -> None:
    cases = bench.discover()
    assert len({case.name for case in cases}) == len(cases)
    assert [case.name for case in cases if not (case.unit and case.against)] == []


def test_command_writes_json_and_goes_on_when_a_case_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> float:
        raise Unavailable("numba is not installed")

    monkeypatch.setattr(bench, "discover", lambda: [fixed("one"), Case("two", "x", "y", absent)])
    out = tmp_path / "made" / "bench.json"
    assert main(["bench", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert list(report) == ["one"]
    assert {"ratio", "runs", "unit", "against"} <= set(report["one"])
    printed = capsys.readouterr()
    assert "two did not run: numba is not installed" in printed.out
    assert "load" in printed.out
    assert "[1/2] one" in printed.err


def test_command_prints_only_json_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "discover", lambda: [fixed("one")])
    assert main(["bench", "--json", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["one"]["ratio"] == 2.0
