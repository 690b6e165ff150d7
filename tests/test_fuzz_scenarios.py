"""Fuzz targets of scenarios: damaged JSON files, and plain data with anything in any place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from fuzzkit import HOSTILE, bounded, check_sentence, damaged, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fuzz_strict import KINDS, hostile_path

from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.workloads.scenario_data import check_scenario, load_scenario, scenario_names
from vswaplab.workloads.scenarios import run_scenario

ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
VALID: dict[str, Any] = {
    "name": "x",
    "machine": {"ram": "1M", "seed": 3, "zswap": {"compressor": "lz4", "max_pool_percent": 20}},
    "operations": [
        {"op": "swapon", "device": "d", "size": "64K", "priority": 5},
        {"op": "memcg", "name": "g", "max": "512K", "zswap_writeback": True},
        {"op": "spawn", "process": "p", "memcg": "g", "cpu": 0},
        {"op": "mmap", "process": "p", "region": "r", "size": 16384, "order": 0},
        {"op": "write", "process": "p", "region": "r", "first": 0, "pages": 2, "contents": {"kind": "text", "from": 1}},
        {"op": "write", "process": "p", "region": "r", "first": 2, "pages": 1, "contents": {"text": "abc"}},
        {"op": "reclaim", "pages": 2, "memcg": "g"},
        {"op": "writeback", "pages": 1},
        {"op": "touch", "process": "p", "region": "r", "write": True},
        {"op": "read", "process": "p", "region": "r"},
        {"op": "fail", "what": "discard", "device": "d", "error": "EIO", "nth": 1, "times": 1},
        {"op": "fail", "what": "kmemcache", "nth": 3, "times": 1},
        {"op": "heal"},
        {"op": "mark", "label": "done"},
        {"op": "fork", "process": "p", "child": "c"},
        {"op": "exit", "process": "c"},
        {"op": "munmap", "process": "p", "region": "r", "first": 1, "pages": 1},
        {"op": "swapoff", "device": "d"},
    ],
}
RAW = json.dumps(VALID).encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a tree of dicts and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


PLACES = [place for place in places(VALID) if place]


def changed(place: tuple[Any, ...], new: Any) -> dict[str, Any]:
    """Return the valid scenario with something else in one place."""
    scenario = copy.deepcopy(VALID)
    owner: Any = scenario
    for key in place[:-1]:
        owner = owner[key]
    owner[place[-1]] = new
    return scenario


def run(scenario: Any) -> None:
    """Run a scenario, which works or is an error in one sentence."""
    found = outcome(lambda: run_scenario(scenario))
    if not isinstance(found, SwapError):
        found.machine.check()
        found.machine.close()


@ONE_FOLDER
@given(damaged(RAW))
def test_damaged_scenario_files(tmp_path: Path, raw: bytes) -> None:
    """A damaged file is a scenario that runs, or a sentence."""
    (tmp_path / "x.json").write_bytes(raw)
    run(tmp_path / "x.json")


@settings(max_examples=150)
@given(
    st.sampled_from(PLACES),
    st.sampled_from(HOSTILE)
    | st.sampled_from([0, 1, 2, 15, 16, 17, "8K", "0", "16M", "max", "p", "r", "g", "d", "c", "lz4", "text", "zero"])
    | st.integers(-5, 20),
)
def test_anything_in_any_place(place: tuple[Any, ...], new: Any) -> None:
    """Whatever stands in any place of a scenario, it runs or is a sentence."""
    run(changed(place, new))


@settings(max_examples=50)
@given(st.permutations(VALID["operations"]), st.integers(0, 15))
def test_operations_in_any_order(operations: list[Any], nr: int) -> None:
    """Operations in an order that makes no sense are refused by the name that is missing, or run."""
    run({**VALID, "operations": operations[:nr]})


@pytest.mark.parametrize("place", [("extra",), ("machine", "extra"), ("operations", 3, "extra")])
def test_unknown_keys_are_refused(place: tuple[Any, ...]) -> None:
    """A key that means nothing is refused rather than left out: it may be a slip of the pen."""
    with pytest.raises(InvalidArgument, match="extra") as caught:
        check_scenario(changed(place, 1))
    check_sentence(caught.value)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_scenario(value: Any) -> None:
    """A scenario, its design and its folder are refused when they can't be meant."""
    for arguments in ((value,), ("one_page", value), ("one_page", None, value)):
        if arguments[-1] is not None and not (len(arguments) == 3 and isinstance(value, str)):
            found = outcome(lambda arguments=arguments: run_scenario(*arguments))
            assert isinstance(found, SwapError)


@pytest.mark.parametrize("name", ["x\n", "", "a b", "a" * 49, "a/b", "\u00e4"])
def test_names_are_names(name: str) -> None:
    """No name ends in a newline, or holds what a file name may not."""
    with pytest.raises(InvalidArgument):
        check_scenario(changed(("operations", 0, "device"), name))


def test_too_many_operations_are_refused_before_each_is_looked_at() -> None:
    """A million operations are refused for their number."""
    scenario = {"name": "x", "operations": [{}] * 1_000_000}
    with bounded(1 << 22), pytest.raises(InvalidArgument, match="more than 10000"):
        check_scenario(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_scenario_file(tmp_path: Path, kind: str) -> None:
    """A folder, a FIFO, a device, a circle, a terabyte: one sentence at once, and no memory taken."""
    load_scenario(scenario_names()[0])  # what checks the form is made once, and is large
    path = hostile_path(tmp_path, kind)
    named = path.with_suffix(".json")
    if kind in ("folder", "circle", "fifo", "zero", "terabyte"):
        path.rename(named)
    with bounded(1 << 23), pytest.raises(SwapError) as caught:
        load_scenario(named)
    check_sentence(caught.value)
