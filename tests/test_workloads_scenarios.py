"""Scenarios: those that ship run and tell their story; what is not a scenario is refused with its place."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vswaplab.errors import InvalidArgument, InvariantError, NotFound, SwapError
from vswaplab.mm.process import Process
from vswaplab.workloads import scenario_data
from vswaplab.workloads.corpus import data_dir
from vswaplab.workloads.generators import fork_heavy
from vswaplab.workloads.scenario_data import check_scenario, load_scenario, scenario_names
from vswaplab.workloads.scenarios import run_scenario

APP = {"process": "app", "region": "heap"}
START: list[dict[str, Any]] = [
    {"op": "swapon", "device": "disk", "size": "1M"},
    {"op": "spawn", "process": "app"},
    {"op": "mmap", "size": "64K", **APP},
]


def scenario(*operations: dict[str, Any], **machine: Any) -> dict[str, Any]:
    return {"name": "test", "machine": {"ram": "1M", **machine}, "operations": [*START, *operations]}


def test_schema_is_a_schema() -> None:
    """The shipped schema is itself valid."""
    path = Path(scenario_data.__file__).parent / "scenario_files" / "schema.json"
    Draft202012Validator.check_schema(json.loads(path.read_text()))


@pytest.mark.parametrize("name", scenario_names())
def test_every_shipped_scenario_ends_consistent(name: str) -> None:
    """Each runs to its end, reads back what it wrote, and leaves a machine whose invariants hold."""
    with run_scenario(name) as run:
        run.machine.check()
        assert run.pages_verified > 0
        assert [row["phase"] for row in run.phases] == [
            each["label"] for each in load_scenario(name)["operations"] if each["op"] == "mark"
        ]


def test_one_page_goes_through_zswap_and_swapfile_and_back() -> None:
    """Resident, in zswap, in a slot, back (the slot is kept), and free of the device at the end."""
    with run_scenario("one_page") as run:
        keys = ("anon_pages", "vswap_back_zswap", "vswap_back_swapfile", "slots_used")
        assert [tuple(row[key] for key in keys) for row in run.phases] == [
            (1, 0, 0, 0),
            (0, 1, 0, 0),
            (0, 0, 1, 1),
            (1, 0, 1, 1),
            (1, 0, 0, 0),
        ]
        assert [report.pages_read for report in run.swapoffs] == [0]


def test_real_256_shows_each_backing() -> None:
    """Zero pages go to ZERO, incompressible ones are stored whole, write-back fills slots, nothing is left."""
    with run_scenario("real_256") as run:
        phase = {row["phase"]: row for row in run.phases}
        assert phase["out"]["swpout_zero"] == 3
        assert phase["out"]["vswap_used"] == 256
        assert phase["out"]["zswap_incompressible"] >= 3
        assert phase["40 written back"]["slots_used"] == phase["40 written back"]["zswpwb"] == 40
        assert phase["swapped off"]["slots_used"] == 0
        assert {key: phase["gone"][key] for key in ("anon_pages", "vswap_used", "zswap_stored", "swapped")} == {
            "anon_pages": 0,
            "vswap_used": 0,
            "zswap_stored": 0,
            "swapped": 0,
        }


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_write_back_fails_at_either_end_and_no_page_is_lost(design: str) -> None:
    """Decompression: all stays in zswap. The device: all in dirty folios, counted as written back [S13 S21 S49]."""
    with run_scenario("failures", design=design) as run:
        keys = ("zswap_stored", "anon_pages", "slots_used", "zswpwb", "pswpout")
        taken = 8 if design == "legacy" else 0
        assert [tuple(row[key] for key in keys) for row in run.phases] == [
            (8, 0, taken, 0, 0),
            (8, 0, taken, 0, 0),
            (0, 8, 8, 8, 8),
            (8, 0, taken, 8, 8),
            (0, 0, 8, 16, 16),
            (0, 8, 8, 16, 16),
        ]
        assert run.machine.dmesg().count("Write-error on swap-device") == 8


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"what": "write"}, "what: 'write' is of a device; name it"),
        ({"what": "write", "device": "tape"}, "device: there is no device 'tape' at this point"),
        ({"what": "decompress", "device": "disk"}, "device: 'decompress' is of zswap, it has no device"),
        ({"what": "alloc", "error": "EIO"}, "error: 'alloc' is of zswap, it has no error"),
    ],
)
def test_what_fails_is_a_device_s_or_zswap_s(operation: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check_scenario(scenario({"op": "fail", **operation}))


def test_zswap_can_not_fail_where_there_is_none() -> None:
    with pytest.raises(InvalidArgument, match="has no zswap to fail"):
        run_scenario(scenario({"op": "fail", "what": "decompress"}, zswap=None))


@pytest.mark.parametrize("children", [0, 1, 3, 7])
def test_fork_phases_agree_with_the_kernel(children: int) -> None:
    """The 512 shared pages take the backings that the kernel's do; its processes' own few pages come on top."""
    with (data_dir() / "kernel" / "phases.csv").open(newline="") as file:
        kernel = {
            row["phase"]: row
            for row in csv.DictReader(file)
            if row["kernel"] == "7.2.13+vswap" and row["scenario"] == "fork" and row["label"] == f"text.k{children}"
        }
    own = 8 + 16 * children  # stacks, libraries' data and the like, which our processes have none of
    with run_scenario(f"fork_{children}") as run:
        model = {row["phase"]: row for row in run.phases}
    for phase in set(model) - {
        "5kids_gone"
    }:  # there the kernel may hold on to swap-cache folios, see free_swap_and_cache
        assert model[phase]["vswap_back_folio"] == int(kernel[phase]["vswap_back_folio"])
        assert 0 <= int(kernel[phase]["vswap_used"]) - model[phase]["vswap_used"] <= own
        assert 0 <= int(kernel[phase]["zswap_stored"]) - model[phase]["zswap_stored"] <= own


def test_fork_heavy_runs_and_verifies() -> None:
    """The generated forking workload reads every page of the parent back unchanged after its children wrote."""
    with run_scenario(fork_heavy(5, pages=40, seed=3)) as run:
        run.machine.check()
        assert run.pages_verified == 40
        assert run.phases[-1]["phase"] == "children gone"


def test_devices_are_real_files_in_a_folder(tmp_path: Path) -> None:
    """With a folder, the swapfile is a file that holds the page that was written back."""
    with run_scenario(
        scenario(
            {"op": "write", "contents": {"kind": "random"}, "pages": 1, **APP}, {"op": "reclaim"}, {"op": "writeback"}
        ),
        folder=tmp_path,
    ):
        page = scenario_page("random")
        assert page in (tmp_path / "disk.img").read_bytes()


def scenario_page(kind: str) -> bytes:
    from vswaplab.workloads.corpus import page_bytes

    return page_bytes(kind, 0)


def test_read_notices_a_page_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that reads other than it was written fails the run, named."""
    monkeypatch.setattr(Process, "read", lambda self, address, nr: b"x" * nr)
    with pytest.raises(InvariantError, match="Page 0 of heap"):
        run_scenario(scenario({"op": "read", **APP}))


def test_errors_of_the_machine_name_the_operation() -> None:
    """Out of memory with nowhere to go is ENOMEM, with the operation's place before it; the errno stays."""
    full = scenario({"op": "mmap", "process": "app", "region": "big", "size": "8M"}, zswap=None)
    full["operations"] += [{"op": "write", "process": "app", "region": "big", "contents": {"kind": "random"}}]
    with pytest.raises(SwapError, match=r"operations\[4\] \(write\)"):
        run_scenario(full)


@pytest.mark.parametrize(
    ("operation", "place"),
    [
        ({"op": "fly"}, r"operations\[3\]\.op: 'fly'"),
        ({}, r"operations\[3\]"),
        ({"op": "reclaim", "pages": 4.0}, r"operations\[3\]\.pages"),
        ({"op": "reclaim", "pages": True}, r"operations\[3\]\.pages"),
        ({"op": "reclaim", "page": 4}, r"operations\[3\]: .*'page'"),
        ({"op": "reclaim", "memcg": "nobody"}, r"operations\[3\]\.memcg"),
        ({"op": "exit", "process": "nobody"}, r"operations\[3\]\.process"),
        ({"op": "read", "process": "app", "region": "stack"}, r"operations\[3\]\.region"),
        ({"op": "read", "pages": 17, **APP}, r"operations\[3\]\.pages: the region has pages 0 to 15"),
        ({"op": "read", "first": 16, **APP}, r"operations\[3\]\.first"),
        ({"op": "write", "contents": {"mix": "laptop"}, **APP}, r"operations\[3\]\.contents\.mix"),
        ({"op": "write", "contents": {"mix": "text", "real": "all"}, **APP}, r"operations\[3\]\.contents"),
        ({"op": "write", "contents": {"from": 1}, **APP}, r"operations\[3\]\.contents"),
        ({"op": "mmap", "process": "app", "region": "big", "size": "2G"}, r"operations\[3\]\.size: .*262144"),
        ({"op": "mmap", "process": "app", "region": "big", "size": "huge"}, r"operations\[3\]\.size"),
        ({"op": "mmap", "process": "app", "region": "heap", "size": "4K"}, r"operations\[3\]\.region: .*already"),
        ({"op": "swapon", "device": "../../etc", "size": "1M"}, r"operations\[3\]\.device"),
        ({"op": "swapon", "device": "disk", "size": "1M"}, r"operations\[3\]\.device: .*already"),
        ({"op": "swapon", "device": "tiny", "size": 4096}, r"operations\[3\]\.size"),
        ({"op": "swapoff", "device": "tape"}, r"operations\[3\]\.device"),
        ({"op": "fork", "process": "app", "child": "app"}, r"operations\[3\]\.child"),
        ({"op": "memcg", "name": "g", "parent": "none"}, r"operations\[3\]\.parent"),
    ],
)
def test_what_is_no_scenario_is_refused_with_its_place(operation: dict[str, Any], place: str) -> None:
    """One sentence, EINVAL, and the path in the JSON, before anything is made."""
    with pytest.raises(InvalidArgument, match=place) as caught:
        check_scenario(scenario(operation))
    assert "\n" not in str(caught.value)


def test_memory_of_the_machine_is_bounded() -> None:
    """A scenario can't ask for a machine of any size."""
    with pytest.raises(InvalidArgument, match=r"machine\.ram"):
        check_scenario(scenario(ram="1P"))


def test_forks_count_towards_the_bound() -> None:
    """A thousand children of a gigabyte are refused before the first is made."""
    forks = [{"op": "fork", "process": "app", "child": f"c{i}"} for i in range(1000)]
    big = {"op": "mmap", "process": "app", "region": "big", "size": "512M"}
    with pytest.raises(InvalidArgument, match=r"child: all processes together"):
        check_scenario(scenario(big, *forks))


def test_unknown_and_broken_files_are_refused(tmp_path: Path) -> None:
    """No such scenario lists those that exist; a file that is no JSON says so."""
    with pytest.raises(NotFound, match="one_page"):
        load_scenario("two_pages")
    with pytest.raises(NotFound, match="no scenario file"):
        load_scenario(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InvalidArgument, match="not JSON"):
        load_scenario(tmp_path / "bad.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InvalidArgument, match="nested"):
        load_scenario(tmp_path / "deep.json")
