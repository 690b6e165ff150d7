"""swapoff, both ways: what its counts grow with, whose page tables are walked, and what real kernels took."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.figures.swapoff_chart import kernel_rows
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads import kernel_tables, swapoff
from vswaplab.workloads.swapoff import (
    STATES,
    WHERE,
    SwapoffRow,
    fastest,
    fit,
    fits_text,
    growth,
    growth_fits,
    measure_swapoff,
    swapoff_table,
)
from vswaplab.workloads.swapoff_kernel import (
    ON_A_DEVICE,
    STATED,
    kernel_fits,
    kernel_fits_text,
    kernel_swapoffs,
    walked_table,
    who_is_walked,
)

TABLE = 512
"""PTEs in a page table."""


def ptes(row: SwapoffRow) -> int:
    return row.report.ptes_visited


# -- growth ------------------------------------------------------------------------------------------------------


def test_legacy_visits_grow_by_one_for_each_pte_mapped() -> None:
    """Swapped pages fixed, an unrelated mapping growing: every PTE more is one visit more, exactly."""
    rows = list(growth(["legacy"], [64], ["2M", "64M", "256M", "1G"]))
    assert [row.mapped_ptes for row in rows] == [512, 16_384, 65_536, 262_144]
    first = rows[0]
    assert [ptes(row) - ptes(first) for row in rows] == [row.mapped_ptes - first.mapped_ptes for row in rows]
    assert {row.report.pages_read for row in rows} == {64}


def test_legacy_tables_grow_with_the_mapping() -> None:
    """Each 2 MiB more is one more page table that is walked."""
    small, large = growth(["legacy"], [64], ["64M", "1G"])
    leaves = (large.mapped_ptes - small.mapped_ptes) // TABLE
    assert leaves <= large.report.tables_walked - small.report.tables_walked <= leaves + 2  # and upper ones


def test_virtual_counts_are_the_same_whatever_is_mapped() -> None:
    """Swapped pages fixed, an unrelated mapping growing: virtual swap walks nothing, and not one count changes."""
    rows = list(growth(["virtual"], [64], [0, "2M", "64M", "1G"]))
    reports = [{**row.report.as_dict(), "seconds": 0} for row in rows]
    # a stranger's page was on the device too, and came back before: its slot is read by nobody but scanned
    assert all(each["ptes_visited"] == each["mms_walked"] == each["tables_walked"] == 0 for each in reports)
    assert all(each["ptes_rewritten"] == each["vmas_walked"] == 0 for each in reports)
    assert reports[1] == reports[2] == reports[3]


@pytest.mark.parametrize("pages", [1, 64, 2048])
def test_legacy_scans_to_the_slot_that_the_swap_cache_keeps(pages: int) -> None:
    """A stranger's page that came back keeps its slot, the last one taken: the scan of the swap_map ends there."""
    report = measure_swapoff("legacy", pages, "2M", 1, state="in").report
    assert (report.slots_scanned, report.rounds) == (pages + 1, 1)
    assert measure_swapoff("legacy", pages, "2M", 1, state="never").report.slots_scanned == 0


@pytest.mark.parametrize("design", ["legacy", "virtual"])
def test_pages_read_grow_by_one_for_each_page_swapped(design: str) -> None:
    """Mappings fixed, swapped pages growing: both designs read each page once."""
    rows = list(growth([design], [1, 64, 512, 2048], ["2M"]))
    assert [row.report.pages_read for row in rows] == [1, 64, 512, 2048]
    assert [row.report.ptes_rewritten for row in rows] == ([1, 64, 512, 2048] if design == "legacy" else [0] * 4)


def test_a_stranger_more_is_walked_like_a_larger_mapping() -> None:
    """Four strangers with 64 MiB each cost the visits of one with 256 MiB."""
    four = measure_swapoff("legacy", 32, "64M", 4)
    one = measure_swapoff("legacy", 32, "256M", 1)
    assert four.mapped_ptes == one.mapped_ptes
    assert ptes(four) == ptes(one)
    assert (four.report.mms_walked, one.report.mms_walked) == (5, 2)


def test_64_gib_of_mappings_are_counted_to_the_last_pte() -> None:
    """64 GiB mapped by one process: 16,777,216 entries visited beyond those of a small mapping, for 16 pages."""
    large, small = measure_swapoff("legacy", 16, "64G"), measure_swapoff("legacy", 16, "2M")
    assert ptes(large) - ptes(small) == 16_777_216 - 512
    assert large.report.pages_read == 16


# -- who is walked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backing", ["device", "zswap"])
@pytest.mark.parametrize(
    ("where", "state", "walked"),
    [
        ("after", "never", 0),
        ("before", "never", 0),
        ("after", "in", 1),
        ("after", "out", 1),
        ("after", "gone", 1),
        ("before", "gone", 0),
        ("before", "out", 1),
        ("before", "in", 1),
    ],
)
def test_legacy_walks_the_newest_first_until_the_device_is_empty(
    where: str, state: str, walked: int, backing: str
) -> None:
    """Who never swapped costs nothing, nor who is older and holds no slot; who holds one is always walked."""
    alone = measure_swapoff("legacy", 32, backing=backing)
    row = measure_swapoff("legacy", 32, "8M", 3, where=where, state=state, backing=backing)
    holes = 3 if state == "gone" else 0  # the page that was unmapped leaves an entry of its table empty: visited or not
    assert 0 <= walked * row.mapped_ptes - (ptes(row) - ptes(alone)) <= walked * holes
    assert row.report.mms_walked == 1 + 3 * walked


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("state", STATES)
def test_virtual_walks_nobody(where: str, state: str) -> None:
    """Whatever strangers do, virtual swap takes no address space from a list and reads no page table."""
    report = measure_swapoff("virtual", 32, "8M", 3, where=where, state=state).report
    assert (report.mms_walked, report.vmas_walked, report.tables_walked, report.ptes_visited) == (0, 0, 0, 0)


def test_pages_in_zswap_cost_virtual_nothing_and_legacy_a_read_each() -> None:
    """All pages compressed: the device is empty for virtual swap, and full of reserved slots for legacy."""
    virtual = measure_swapoff("virtual", 64, "8M", backing="zswap").report
    legacy = measure_swapoff("legacy", 64, "8M", backing="zswap").report
    assert {**virtual.as_dict(), "seconds": 0, "type": 0} == dict.fromkeys(virtual.as_dict(), 0)
    assert (legacy.pages_read, legacy.io_requests) == (64, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("legacy", 0), "of 1 to 262144"),
        (("legacy", 1, "2M", -1), "of 0 to 4096"),
        (("ghost", 1), "no design"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: tuple[object, ...], message: str) -> None:
    """No pages, fewer than no strangers, an unknown design: one sentence."""
    with pytest.raises(InvalidArgument, match=message):
        measure_swapoff(*settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"where": "beside"}, {"state": "lost"}, {"backing": "tape"}])
def test_words_that_mean_nothing_are_refused(wrong: dict[str, str]) -> None:
    """The names of a setting are a fixed list, and the error gives it."""
    with pytest.raises(InvalidArgument, match=next(iter(wrong.values()))):
        measure_swapoff("legacy", 1, **wrong)  # type: ignore[arg-type]


# -- lines -------------------------------------------------------------------------------------------------------


def test_the_fastest_of_some_runs_has_the_counts_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs with equal counts the one with the least wall time is kept."""
    made: list[SwapoffRow] = []

    def measure(*args: Any, **more: Any) -> SwapoffRow:
        row = measure_swapoff(*args, **more)
        row.report.seconds = [3.0, 1.0, 2.0][len(made)]
        made.append(row)
        return row

    monkeypatch.setattr(swapoff, "measure_swapoff", measure)
    assert fastest(3, "legacy", 16, "2M") is made[1]
    assert len({(ptes(row), row.report.pages_read) for row in made}) == 1


def test_a_line_through_exact_points_is_exact() -> None:
    """Points on a line give its slope with R^2 1, points at one height no R^2, two at one place no line."""
    line = fit([1, 2, 16_777_216], [7, 9, 2 * 16_777_216 + 5])
    assert line.slope == pytest.approx(2)
    assert line.intercept == pytest.approx(5, abs=1e-6)
    assert line.r_squared == pytest.approx(1)
    assert fit([1, 2], [4, 4]).r_squared is None
    assert fit([0, 1, 2], [0, 1, 0]).r_squared == pytest.approx(0)
    with pytest.raises(InvalidArgument, match="two points"):
        fit([3, 3], [1, 2])


def test_lines_through_the_model_have_the_slopes_of_its_counts() -> None:
    """Legacy: one visit for each PTE and one read for each page; virtual: no visit and one read."""
    fits = growth_fits(growth(["legacy", "virtual"], [16, 32, 64], ["2M", "8M", "32M"]))
    slopes = {design: (lines["visits per PTE"], lines["reads per page"]) for design, lines in fits.items()}
    assert slopes["legacy"][0].slope == pytest.approx(1)
    assert slopes["legacy"][1].slope == slopes["virtual"][1].slope == pytest.approx(1)
    assert (slopes["virtual"][0].slope, slopes["virtual"][0].r_squared) == (pytest.approx(0, abs=1e-12), None)
    text = fits_text(fits)
    assert "1.00 PTEs visited a mapped PTE (R^2 1.0000)" in text
    assert "0.00 PTEs visited a mapped PTE (flat)" in text


def test_what_was_not_varied_has_no_line() -> None:
    """One setting alone has no slope, and the text says so."""
    rows = list(growth(["virtual"], [16], ["2M"]))
    assert growth_fits(rows) == {"virtual": {}}
    assert "no slope" in fits_text(growth_fits(rows))
    assert swapoff_table(rows).splitlines()[1].split()[:3] == ["virtual", "16", "512"]


# -- real kernels ------------------------------------------------------------------------------------------------


def test_kernels_slopes_are_those_the_tables_state() -> None:
    """7.2.13: about 33,500 instructions a swapped page and 11 a PTE; with virtual swap and zswap next to none."""
    fits = kernel_fits()
    legacy, virtual = fits["7.2.13"], fits["7.2.13+vswap"]
    assert legacy["instructions per page"].slope == pytest.approx(33_500, rel=0.01)
    assert legacy["instructions per PTE"].slope == pytest.approx(11, abs=0.5)
    assert legacy["reads per page"].slope == pytest.approx(1)
    # the rest is noise of the measurement: a hundredth of legacy's per page, and no line at all per PTE
    assert virtual["instructions per page"].slope < 0.01 * legacy["instructions per page"].slope
    assert abs(virtual["instructions per PTE"].slope) < 1
    assert virtual["instructions per PTE"].r_squared < 0.1
    assert virtual["reads per page"].slope == pytest.approx(0, abs=1e-12)
    text = kernel_fits_text(fits)
    assert "18; 7.2.13+STE, pages on a device, instructions per page: 32,100" in text


def test_what_is_said_of_kernels_names_which_and_how() -> None:
    """7.2.13 has the swap table of phase 4; the other is it with three patches of the edition's RFC v2; emulated."""
    patched = "Linux 7.2.13, with the swap table of phase 4, and patches 1 to 3 of the Swap Table Edition, RFC v2 [S8]"
    for text in (kernel_fits_text(kernel_fits()), walked_table(who_is_walked(swapped=16, strangers=1))):
        assert "Linux 7.2.13, with the swap table of phase 4" in text
        assert patched in text
        assert "under full emulation (QEMU TCG), on one CPU" in text
    stock, edition = (kernel_rows()[at] for at in (0, -1))
    assert (stock["kernel"], edition["kernel"], edition["title"]) == ("7.2.13", "7.2.13+STE", patched)
    assert kernel_tables.kernel_title("6.12.107") == "Linux 6.12.107"
    readme = " ".join((kernel_tables.data_dir() / "README.md").read_text(encoding="utf-8").split())
    assert 'carries patches 1-3 of "Virtual Swap Space (Swap Table Edition)" RFC v2' in readme
    assert f"swapoff, virtual: {STATED[ON_A_DEVICE]:,} instructions a page for pages on the device" in readme


def test_the_lesson_names_the_kernels_wherever_a_number_of_theirs_stands() -> None:
    (path,) = (kernel_tables.data_dir().parent / "notebooks").glob("05_*.ipynb")
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    told = [" ".join(cell.split()) for cell in cells]
    for start in ("## 2. Who is walked?", "The lowest panels are no model."):
        (cell,) = (each for each in told if each.startswith(start))
        for words in ("7.2.13", "swap table of phase 4", "patches 1 to 3", "RFC v2", "full emulation", "one CPU"):
            assert words in cell, (start, words)
    assert any("STATED[ON_A_DEVICE]" in cell for cell in cells)
    assert not any(
        re.search(r"real legacy kernel|A virtual kernel|with and without virtual swap", each) for each in told
    )


def test_model_reads_what_the_kernels_read() -> None:
    """Row by row: the pages that the kernel brought back are those that the model brings back."""
    rows = [row for row in kernel_swapoffs() if row.strangers <= 4 and row.ptes_each <= 16_384]
    assert len(rows) > 30
    for row in rows:
        alone = not row.strangers
        model = measure_swapoff(
            kernel_tables.design_of(row.kernel),
            row.swapped_pages,
            row.ptes_each * PAGE_SIZE,
            row.strangers,
            where="after" if alone else row.where,
            state="in" if alone else row.state,
            backing="zswap",
        )
        assert model.report.pages_read == row.pages_read, row


def test_who_is_walked_is_the_same_in_kernel_and_model() -> None:
    """A stranger costs the legacy kernel 11 instructions a PTE just where the legacy model visits each once."""
    walked = list(who_is_walked(swapped=16, strangers=1))
    assert {each.design for each in walked} == {"legacy", "virtual"}
    for each in walked:
        if each.instructions is not None:
            costs = each.instructions.slope > 5
            assert costs == (each.visited > 0.5), each
            assert costs or abs(each.instructions.slope) < 5
        assert each.visited == pytest.approx(round(each.visited), abs=0.001)
    text = walked_table(walked)
    assert "not measured" in text  # strangers that are older and hold nothing are in no row of the table
    assert all(state in text for state in STATES)


def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A table that is missing or holds something else is one sentence."""
    monkeypatch.setattr(kernel_tables, "data_dir", lambda: tmp_path)
    with pytest.raises(NotFound, match=r"swapoff\.csv"):
        kernel_swapoffs()
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "swapoff.csv").write_text("kernel,ns\n7.2.13,1\n")
    with pytest.raises(InvalidArgument, match="damaged"):
        kernel_swapoffs()


# -- the command -------------------------------------------------------------------------------------------------


def test_command_gives_a_row_for_each_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """``vswaplab swapoff --json``: each design, swapped pages and mapped size, with every count of the report."""
    arguments = ["swapoff", "--swapped", "16", "64", "--mapped", "2M", "16M", "--strangers", "2", "--json"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    settings = [(row["design"], row["swapped_pages"], row["mapped_ptes"]) for row in rows]
    assert settings == [(d, pages, n) for d in ("legacy", "virtual") for pages in (16, 64) for n in (1024, 8192)]
    assert all({"ptes_visited", "pages_read", "seconds", "io_requests", "slots_scanned"} <= set(row) for row in rows)
    assert [row["ptes_visited"] > 0 for row in rows] == [True] * 4 + [False] * 4


def test_command_prints_model_and_kernels_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Without ``--json``: the model's counts and slopes, the kernels' slopes, and who is walked."""
    assert main(["swapoff", "--swapped", "16", "32", "--mapped", "2M", "16M"]) == 0
    text = capsys.readouterr().out
    for part in ("legacy: ", "virtual: ", "7.2.13 (Linux 7.2.13,", "7.2.13+STE (Linux", "R^2", "before the owner"):
        assert part in text


@pytest.mark.parametrize("wrong", [["--swapped", "0"], ["--mapped", "huge"], ["--strangers", "-1"], ["--repeat", "0"]])
def test_command_refuses_what_cannot_be(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that can't be is one sentence and exit code 2."""
    assert main(["swapoff", "--swapped", "16", "--mapped", "2M", *wrong]) == 2
    assert capsys.readouterr().err.startswith("vswaplab swapoff: ")
