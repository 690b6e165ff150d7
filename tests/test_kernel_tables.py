"""The model gives the counts of real kernels, for every row of both tables; what it does not give is named."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from vswaplab.backends.compressors import available
from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.workloads import kernel_tables
from vswaplab.workloads.corpus import KINDS
from vswaplab.workloads.kernel_tables import KernelRow, cells, compare, kernel_rows, table
from vswaplab.workloads.kernel_tables_cells import Comparison, Exemption, exempt, reasons, totals
from vswaplab.workloads.kernel_tables_named import PHASES_NAMED, SWAPOUT_NAMED
from vswaplab.workloads.kernel_tables_phases import PhaseRow, phase_cells, phase_rows, phase_table

ROWS = [row for row in kernel_rows() if row.virtual]
LEGACY = [row for row in kernel_rows() if not row.virtual]
PHASE_ROWS = phase_rows()
RUNS = list(dict.fromkeys((row.kernel, row.scenario, row.label) for row in PHASE_ROWS))


def ident(row: KernelRow) -> str:
    kernel = "" if row.virtual else f"{row.kernel}-"
    return f"{kernel}{row.compressor}-{row.mix}{'' if row.swapfile else '-no_swapfile'}"


def run_of(kernel: str, scenario: str, label: str) -> list[PhaseRow]:
    return [row for row in PHASE_ROWS if (row.kernel, row.scenario, row.label) == (kernel, scenario, label)]


@pytest.fixture(scope="module")
def phase_found() -> list[Comparison]:
    return list(phase_cells())


def test_table_has_every_kind_of_page_for_each_setting() -> None:
    """Nine kinds of page each with lzo, lz4 and no zswap, and with lzo where no swapfile is on."""
    settings = [("lzo", False), ("lzo", True), ("lz4", True), ("off", True)]
    expected = [(compressor, swapfile, mix) for compressor, swapfile in settings for mix in KINDS]
    assert sorted((row.compressor, row.swapfile, row.mix) for row in ROWS) == sorted(expected)


@pytest.mark.parametrize("row", ROWS, ids=ident)
def test_counts_and_bytes_agree_with_the_kernel(row: KernelRow) -> None:
    """Pages, zeros, stored, incompressible, slots: equal; pool and charged bytes: within the codec's tolerance."""
    found = list(compare([row]))
    assert [(each.column, each.kernel, each.model) for each in found if not each.agrees] == [], table(found)
    with_bytes = row.compressor in ("off", *available())
    # without a swapfile two columns are missing: slots after all went out, and after half came back
    assert len(found) == (17 if row.swapfile else 15) + 2 * with_bytes


@pytest.mark.skipif("lzo" in available(), reason="python-lzo is installed, so the bytes of lzo are compared above")
def test_bytes_of_lzo_are_left_out_without_its_library() -> None:
    """Byte counts of lzo rows are compared only when python-lzo (the extra 'lzo') is there to produce them."""
    row = next(row for row in ROWS if row.compressor == "lzo")
    assert not [each for each in compare([row]) if "bytes" in each.column]


@pytest.mark.skipif("lzo" not in available(), reason="python-lzo (the extra 'lzo') is not installed")
def test_bytes_of_lzo_are_compared_with_its_library() -> None:
    """With python-lzo, pool bytes are within 0.5 % and charged bytes within 0.3 % of the kernel's."""
    rows = [row for row in ROWS if row.compressor == "lzo"]
    assert len([each for each in compare(rows) if "bytes" in each.column and each.agrees]) == 2 * len(rows)


def test_table_names_each_count_that_differs() -> None:
    """The printed table shows a disagreement with both numbers, and how many counts agree."""
    row = ROWS[0]
    found = [Comparison(row, "vswap_used", 2048, 2048, 0), Comparison(row, "zswap_pool_total_bytes", 100, 93, 5)]
    text = table(found)
    assert "1/2" in text
    assert "zswap_pool_total_bytes: kernel 100, model 93" in text


# -- legacy kernels ----------------------------------------------------------------------------------------------


def test_table_has_every_kind_of_page_for_each_legacy_kernel() -> None:
    """6.12 and 7.3 were measured with nine kinds of page, each with three compressors and without zswap."""
    settings = product(("6.12.107", "7.3.4"), ("lzo", "lzo-rle", "lz4", "off"), KINDS)
    assert sorted((row.kernel, row.compressor, row.mix) for row in LEGACY) == sorted(settings)


@pytest.mark.parametrize("row", LEGACY, ids=ident)
def test_counts_agree_with_a_legacy_kernel(row: KernelRow) -> None:
    """Every number of the row is equal to the model's, within its codec's tolerance, or named with a reason."""
    found = list(cells([row]))
    assert [(each.column, each.kernel, each.model) for each in found if not each.agrees] == [], table(found)
    assert [each.column for each in found] == list(row.counts)
    with_bytes = row.compressor in ("off", *available())
    # 6.12 has no count of incompressible pages, and its slots are named: it takes some ahead
    assert sum(not each.reason for each in found) == (9 if row.kernel.startswith("6.12") else 12) + 2 * with_bytes


def test_legacy_holds_a_slot_for_every_page_where_virtual_holds_none() -> None:
    """2,048 pages of text in zswap: a legacy kernel and the legacy model hold 2,048 slots, the virtual ones none."""
    slots = {
        row.virtual: {(each.kernel, each.model) for each in cells([row]) if each.column == "swapfile_slots_used"}
        for row in kernel_rows()
        if (row.compressor, row.mix, row.swapfile) == ("lz4", "text", True) and not row.kernel.startswith("6.12")
    }
    assert slots == {False: {(2048, 2048)}, True: {(0, 0)}}


def test_before_6_18_incompressible_pages_go_to_the_device() -> None:
    """6.12 wrote all 2,048 random pages to the device where 7.3 stored them whole; so does the model."""
    written = {}
    for row in LEGACY:
        if (row.compressor, row.mix) == ("lz4", "random"):
            by_column = {each.column: (each.kernel, each.model) for each in cells([row])}
            written[row.kernel] = by_column["d_pswpout"], by_column["zswap_stored_pages"]
    assert written == {"6.12.107": ((2048, 2048), (0, 0)), "7.3.4": ((0, 0), (2048, 2048))}


# -- phases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", RUNS, ids="-".join)
def test_phases_agree_with_the_kernel(run: tuple[str, str, str], phase_found: list[Comparison]) -> None:
    """Every number after each phase of a run is equal to the model's, or named with a reason and within its bounds."""
    found = [each for each in phase_found if tuple(each.row.names.values())[:3] == run]
    assert [(each.row.names["phase"], each.column) for each in found if not each.agrees] == [], phase_table(found)
    assert len(found) == sum(len(row.counts) for row in run_of(*run))
    assert sum(not each.reason for each in found) > len(found) / 3


def test_what_must_hold_in_the_phases_is_not_named(phase_found: list[Comparison]) -> None:
    """Where pages went, and how many came from where, is held equal in every run: no reason excuses these counts."""
    held = {"swpout_zero", "zswpout", "pswpout", "zswpwb", "pswpin", "zswap_stored", "vswap_back_zswap"}
    named = {
        each.column
        for each in phase_found
        if each.reason and each.row.names["phase"] not in ("0forked", "5kids_gone") and "+vswap" not in each.row.kernel
    }
    assert named & held == set()
    assert {each.column for each in phase_found if not each.reason} >= held


def test_a_run_that_lacks_a_phase_is_refused() -> None:
    """The input of a run is read off its first phases; without them it is not guessed."""
    rows = [row for row in run_of(*RUNS[0]) if row.phase != "1out"]
    with pytest.raises(InvalidArgument, match="lacks '1out'"):
        list(phase_cells(rows))


# -- what is named -----------------------------------------------------------------------------------------------


def test_every_cell_is_compared_or_named(phase_found: list[Comparison]) -> None:
    """No number of the two tables is passed over, and most are held equal."""
    found = [*cells(), *phase_found]
    counts = totals(found)
    assert counts["cells"] == sum(len(row.counts) for row in [*kernel_rows(), *PHASE_ROWS]) == len(found)
    assert counts["differs"] == 0
    assert counts["equal"] + counts["within"] > counts["named"]
    assert sum(reasons(found).values()) == counts["named"]


def test_every_reason_is_needed(phase_found: list[Comparison]) -> None:
    """An exemption that no cell needs any more has to go."""
    used = set(reasons([*cells(), *phase_found]))
    assert {rule.reason for rule in (*SWAPOUT_NAMED, *PHASES_NAMED)} - used == set()
    assert all(reason.endswith(".") for reason in used)


def test_a_named_cell_is_still_bounded() -> None:
    """A difference beyond what the reason explains is a disagreement."""
    row = next(row for row in LEGACY if row.kernel.startswith("6.12"))
    near = exempt(row, "swapfile_slots_used", 2060, 2048, SWAPOUT_NAMED)
    far = exempt(row, "swapfile_slots_used", 2112, 2048, SWAPOUT_NAMED)
    assert near is not None
    assert far is not None
    assert (near.verdict, far.verdict) == ("named", "differs")


def test_a_cell_without_a_rule_or_a_number_of_the_model_differs() -> None:
    """A column that the model does not have is a disagreement, not an omission."""
    row = KernelRow("7.3.4", "off", "text", {"a_new_column": 1})
    assert [each.verdict for each in cells([row])] == ["differs"]
    assert "a_new_column: kernel 1, model None" in table(cells([row]))


def test_exemptions_match_by_pattern_and_give_way_to_equal_numbers() -> None:
    """Patterns are those of file names; equal numbers are not excused unless they are always named."""
    row = LEGACY[0]
    rule = Exemption(("slots",), "Because.", {"kernel": "6.12*"})
    always = Exemption(("slots",), "Because.", {"kernel": "6.*"}, always=True)
    elsewhere = Exemption(("slots",), "Because.", {"kernel": "7*"})
    assert [exempt(row, "slots", 1, 1, [each]) is None for each in (rule, always, elsewhere)] == [True, False, True]
    assert [exempt(row, "slots", 1, 2, [each]) is None for each in (rule, always, elsewhere)] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kernel,compressor,mix,pages,cg_swap_pages\n7.3.4,off,text,2048,x\n", "damaged"),
        ("kernel,compressor,mix,pages,cg_swap_pages\n7.3.4,off,text,1024,1\n", "other than 2048"),
        ("kernel,compressor,mix,pages\n7.3.4,off\n", "too few"),
        ("kernel,compressor\n7.3.4,off\n", "damaged"),
    ],
)
def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, message: str) -> None:
    """Cells that are missing, not numbers, or of another run are one sentence, not a wrong comparison."""
    (tmp_path / "kernel").mkdir()
    monkeypatch.setattr(kernel_tables, "data_dir", lambda: tmp_path)
    with pytest.raises(NotFound, match="restore the data"):
        kernel_rows()
    (tmp_path / "kernel" / "swapout_by_content.csv").write_text(text)
    with pytest.raises(InvalidArgument, match=message):
        kernel_rows()


# -- the command -------------------------------------------------------------------------------------------------


def test_command_prints_both_tables_and_their_totals(capsys: pytest.CaptureFixture[str]) -> None:
    """``vswaplab kernel --design legacy --kernel 7.2`` ends with how many agree and how many are named."""
    assert main(["kernel", "--design", "legacy", "--kernel", "7.2"]) == 0
    text = capsys.readouterr().out
    assert "phases.csv" in text
    assert "swapout_by_content.csv" not in text  # 7.2.13 is in the other table under its virtual kernel alone
    compared = [each for each in phase_cells(row for row in PHASE_ROWS if row.kernel == "7.2.13") if not each.reason]
    assert text.splitlines()[-1].startswith(f"{len(compared)} of {len(compared)} counts agree")


def test_command_gives_every_cell_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each cell has both numbers, its verdict and its reason; the totals add up."""
    assert main(["kernel", "--table", "phases", "--kernel", "7.2.13", "--design", "legacy", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["cells"] == len(printed["rows"]) == printed["agree"] + printed["named"]
    assert printed["differ"] == 0
    assert {row["verdict"] for row in printed["rows"]} == {"equal", "named"}
    assert all(bool(row["reason"]) == (row["verdict"] == "named") for row in printed["rows"])


def test_command_refuses_a_kernel_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no kernel begins with is an error, not an empty table."""
    assert main(["kernel", "--kernel", "5.4"]) == 2
    assert "5.4" in capsys.readouterr().err
