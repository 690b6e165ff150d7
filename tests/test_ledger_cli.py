"""``vswaplab overhead``: the shape of its JSON, its text, and one clear sentence for what can't be meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vswaplab.cli import main
from vswaplab.observe import ledger_cli
from vswaplab.observe.ledger_cli import overhead, peak_bytes

SMALL = ["overhead", "--size", "64M", "--no-crossover"]


@pytest.fixture(autouse=True)
def _small_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_cli, "CROSSOVER_SLOTS", 1 << 18)


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found = json.loads(printed.out)
    assert isinstance(found, dict)
    return found


def test_json_has_a_row_for_each_design_backend_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "overhead", "--size", "64M")
    keys = [(row["backend"], row["design"], row["usage"]) for row in found["rows"]]
    assert keys == [(b, d, u) for b in ("zswap", "disk") for d in ("legacy", "virtual") for u in (0, 25, 50, 75, 100)]
    for row in found["rows"]:
        assert row["slots"] == 16384
        assert row["mib"] == pytest.approx(sum(row["structures"].values()), abs=1e-12)
        assert (row["kind"], row["mode"]) == ("built", "as posted")
    assert found["crossover"] == {"zswap": 38.46, "disk": 11.92}
    assert found["baseline"] == "legacy"
    assert found["mainline"]["design"] == "linux-7.2"
    assert found["mainline"]["crossover"] == {"zswap": 1.53, "disk": 0.0}
    assert found["peak_mib"] > 1
    assert {build["design"] for build in found["builds"]} == {"legacy", "virtual"}


@pytest.mark.parametrize("name", ["7.2", "linux-7.2", "p4"])
def test_mainline_can_be_the_baseline(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "overhead", "--size", "64M", "--baseline", name)
    assert {(row["design"], row["kind"]) for row in found["rows"]} == {("linux-7.2", "formula"), ("virtual", "built")}
    assert {row.get("standing") for row in found["rows"]} == {"mainline since Linux 7.2", None}
    assert (found["baseline"], found["crossover"]) == ("linux-7.2", {"zswap": 1.53, "disk": 0.0})
    assert found["mainline"]["crossover"] == {}
    assert all("legacy_bytes" not in each for each in found["crossovers"])
    assert {backend: added["usage"] for backend, added in found["worst_added"].items()} == {"zswap": 100, "disk": 100}


def test_structures_are_those_of_the_design_and_the_backend(capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, *SMALL, "--usage", "100")["rows"]
    names = {(row["design"], row["backend"]): list(row["structures"]) for row in rows}
    legacy = ["swap_map", "swap_cgroup", "zeromap", "swap_table", "zswap_tree"]
    assert names == {
        ("legacy", "zswap"): legacy,
        ("legacy", "disk"): legacy,
        ("virtual", "zswap"): ["swp_desc", "vswap_bitmap"],
        ("virtual", "disk"): ["swp_desc", "vswap_bitmap", "allocated", "bad_map", "rmap"],
    }


def test_only_what_was_asked_for_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(
        capsys, "overhead", "--size", "1M", "--design", "virtual", "--backend", "disk", "--usage", "10", "33.5"
    )
    assert [(row["design"], row["backend"], row["usage"]) for row in found["rows"]] == [
        ("virtual", "disk", 10),
        ("virtual", "disk", 33.5),
    ]
    assert found["crossover"] == {}
    assert found["worst_added"] == {}


def test_the_usage_of_the_claim_is_measured_but_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "overhead", "--size", "1M", "--usage", "100")
    assert {row["usage"] for row in found["rows"]} == {100}
    assert any("at 40 % the virtual design costs" in claim["finding"] for claim in found["claims"])


@pytest.mark.parametrize(
    "designs", [["--design", "ste", "--design", "virtual", "--design", "ste"], ["--design", "ste", "virtual"]]
)
def test_designs_may_be_repeated(designs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, *SMALL, *designs, "--usage", "50", "--backend", "zswap")["rows"]
    assert [(row["design"], row["kind"], row["mode"]) for row in rows] == [
        ("ste", "formula", "as allocated"),
        ("virtual", "built", "as posted"),
    ]


def test_all_designs_come_with_their_source(capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, *SMALL, "--design", "all", "--usage", "100")["rows"]
    assert {row["kind"] for row in rows if row["design"] in ("legacy", "virtual")} == {"built"}
    assert {row["kind"] for row in rows if row["design"] not in ("legacy", "virtual")} == {"formula"}
    assert len({row["design"] for row in rows}) == 13
    assert all(line["source"] for row in rows for line in row["lines"])


def test_allocated_costs_more_than_posted(capsys: pytest.CaptureFixture[str]) -> None:
    posted, allocated = (
        run_json(capsys, *SMALL, "--mode", mode, "--usage", "100")["rows"] for mode in ("posted", "allocated")
    )
    assert [row["mode"] for row in allocated] == ["as allocated"] * 4
    assert all(more["mib"] > less["mib"] for more, less in zip(allocated, posted, strict=True))


def test_scattered_entries_are_counted_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    for layout in ("random", "sparse"):
        found = run_json(capsys, "overhead", "--size", "64M", "--layout", layout, "--seed", "5", "--usage", "50")
        assert (found["layout"], found["seed"], found["crossover"]) == (layout, 5, {})
        assert all(row["mib as allocated"] > row["mib"] for row in found["rows"])


def test_crossover_can_be_asked_for_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    asked = run_json(
        capsys, "overhead", "--size", "1M", "--design", "virtual", "--backend", "disk", "--crossover", "--usage", "1"
    )
    assert asked["crossover"] == {"disk": 11.92}
    assert asked["crossovers"][0]["slots"] == 1 << 18
    assert run_json(capsys, *SMALL, "--usage", "1")["crossover"] == {}


def test_text_says_what_was_built_and_how_much_memory_it_took(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead", "--size", "64M"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("MiB of metadata for a swapfile of 64M, 16,384 slots, by usage\n")
    for part in (
        "swp_desc",
        "% of the swapfile",
        "crossover, zswap: 38.46 %",
        "crossover, disk: 11.92 %",
        "crossover, zswap, against Linux 7.2: 1.53 %",
        "crossover, disk, against Linux 7.2: none; the virtual design costs more at any usage, as posted",
        "worst added cost, disk: 0.33 MiB, 0.52 % of the swapfile, at 100 % usage",
        "claim, zswap: 0~40 % usage: less than the current overhead: fails. It holds below 38.46 %",
        "peak memory",
    ):
        assert part in text


def test_text_of_a_proposal_says_what_its_terms_cover(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--design", "rfc1", "--backend", "zswap"]) == 0
    assert "Virtual swap, RFC v1: posted, not merged. Descriptors alone, 64 B each" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--size", "banana"], "size 'banana' is not a size; write bytes, or a number with K, M, G, T or P."),
        (["--size", "0"], "A swapfile needs at least one slot; give a size of 4K or more."),
        (["--usage", "101"], "usage must be a number of 0 to 100, not 101."),
        (["--usage", "nan"], "Usage 'nan' is no percentage; give a number of 0 to 100."),
        (["--usage", "some"], "Usage 'some' is no percentage; give a number of 0 to 100."),
        (["--backend", "tape"], "There is no backend 'tape'; choose one of zswap, disk."),
        (["--mode", "weird"], "There is no mode 'weird'; choose posted or allocated."),
        (
            ["--baseline", "8.0"],
            "There is no baseline '8.0'; choose one of legacy, linux-7.0, linux-7.1, linux-7.2.",
        ),
        (["--layout", "heap"], "There is no layout 'heap'; choose one of dense, sparse, random."),
        (
            ["--design", "ghost-plain", "--backend", "zswap"],
            "ghost-plain has no figures for zswap; ask for the other backend.",
        ),
        (
            ["--design", "foo"],
            "There is no design 'foo'; choose one of legacy, virtual, rfc1, rfc2, v3, v6, linux-7.0, linux-7.1, "
            "linux-7.2, p4-promised, ghost, ghost-plain, ste, all.",
        ),
        (
            ["--size", "1M", "--layout", "random", "--seed", "-1"],
            "seed must be a whole number of 0 to 4294967295, not -1.",
        ),
    ],
)
def test_what_can_not_be_meant_is_one_sentence(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["overhead", *argv]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"vswaplab overhead: {sentence}\n")


def test_a_size_beyond_this_machine_is_refused_before_it_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead", "--size", "900T"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("vswaplab overhead: 900T of swap can't be built in the memory of this machine; choose")


def test_peak_memory_never_falls() -> None:
    before = peak_bytes()
    overhead("4M", usages=[100], with_crossover=False)
    assert peak_bytes() >= before > 0
