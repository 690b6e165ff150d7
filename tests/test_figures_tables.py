"""Tables: the same cells in a notebook and as text, numbers to the right, names that carry no markup."""

from __future__ import annotations

import pytest

from vswaplab import Machine
from vswaplab.errors import NotFound
from vswaplab.figures.ledger_tables import (
    against_table,
    both_sums_table,
    claims_table,
    crossover_table,
    designs_table,
    scattered_table,
    structures_table,
)
from vswaplab.figures.swap_tables import entries_table, lookups_table, reports_table, steps_table
from vswaplab.figures.tables import Table, table
from vswaplab.observe.compare import compare
from vswaplab.observe.ledger_build import rows_of
from vswaplab.observe.ledger_claims import check_claims, crossover
from vswaplab.observe.ledger_designs import DESIGNS
from vswaplab.protocols import LOOKUP_KINDS, SwapoffReport
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import page_bytes


def column(found: Table, name: str) -> list[str]:
    return [row[found.columns.index(name)] for row in found.rows]


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    found = table([{"name": "a", "pages": 1234, "share": 12.345}, {"name": "bcd", "pages": None}], "Pages")
    assert str(found).splitlines() == ["Pages", "name  pages  share", "a     1,234  12.35", "bcd"]
    html = found._repr_html_()
    assert '<th scope="col" style="text-align:left">name</th>' in html
    assert '<td style="text-align:right">1,234</td>' in html


def test_markup_in_cells_is_text() -> None:
    html = table([{"<b>": "<script>"}], "<i>")._repr_html_()
    assert "<script>" not in html
    assert "<i>" not in html


def test_a_folded_table_shows_its_summary() -> None:
    html = table([{"a": 1}], "c").folded("Look")._repr_html_()
    assert html.startswith("<details><summary>Look</summary><table>")


def test_both_sums_are_those_of_the_two_camps() -> None:
    """On a full swapfile: 24 less 8 bytes a slot, and 24 1/8 less 19 1/8 with zswap."""
    slots = 1 << 16
    rows = [row for design in ("legacy", "virtual") for row in rows_of(design, "zswap", slots, (0, 100))]
    found = both_sums_table(rows)
    mib = slots / (1 << 20)
    assert column(found, "24 instead of 8") == ["+0.00", f"{16 * mib:+.2f}"]
    assert column(found, "net") == [f"{-3.125 * mib:+.2f}", f"{5 * mib:+.2f}"]


def test_a_design_stands_beside_each_baseline() -> None:
    usages = (0, 100)
    rows = [row for name in ("6.19", "7.2", "v6") for row in rows_of(name, "disk", 1 << 15, usages, "as allocated")]
    found = against_table(rows)
    assert column(found, "usage") == ["0 %", "100 %"]
    costs = {name: [float(mib) for mib in column(found, name)] for name in ("virtual swap v6", "Linux 7.2")}
    less = [ours - mainline for ours, mainline in zip(*costs.values(), strict=True)]
    assert [float(mib) for mib in column(found, "v6 less Linux 7.2")] == pytest.approx(less, abs=0.011)
    assert column(found, "v6 less Linux 6.19")[0].startswith("-")  # its arrays are there from swapon on


def test_tables_of_the_ledger_have_a_row_for_each() -> None:
    rows = [
        row
        for design in ("legacy", "virtual")
        for row in rows_of(design, "disk", 2048, (0, 40, 100), "as allocated", "sparse")
    ]
    found = crossover("disk", 2048)
    assert column(crossover_table([found]), "crossover") == [f"{found.percent:.2f} %"]
    assert len(claims_table(check_claims(rows, [found])).rows) == 2
    assert column(scattered_table(rows), "left")[2] == "one in each of 100 % of the clusters"
    assert len(designs_table().rows) == len(DESIGNS)
    assert column(designs_table(), "standing").count("mainline since Linux 7.2") == 1
    names = column(structures_table([row for row in rows if row.usage == 100]), "structure")
    assert {"swap_map", "swap_table", "swp_desc", "rmap"} <= set(names)
    assert "zswap_tree" not in names  # nothing in it


@pytest.mark.parametrize("design", ["legacy", "virtual"])
def test_what_is_known_of_an_entry_is_what_the_design_holds(design: str) -> None:
    with Machine(ram="1M", design=design) as machine:
        machine.swapon(size="1M")
        process = machine.spawn()
        region = process.mmap(2 * PAGE_SIZE)
        process.write(region.start, page_bytes("text", 1) + ZERO_PAGE)
        machine.reclaim()
        entries = {name: process.pte(region.page(at).start).entry for at, name in enumerate(("text", "zeros"))}
        found = entries_table(machine, {**entries, "home": None})
        assert column(found, found.columns[-1]) == ["ZSWAP", "ZERO", ""]
        if design == "legacy":
            assert column(found, "swap_map") == ["0x01", "0x01", ""]
            assert column(found, "zeromap") == ["0", "1", ""]
            assert column(found, "slot") == ["0:1", "0:2", ""]
        else:
            assert column(found, "swap_count") == ["1", "1", ""]
            assert column(found, "slot or zswap_entry")[1] == "nothing"
        counts = machine.swap.lookup_counts()
        entries_table(machine, entries)
        assert machine.swap.lookup_counts() == counts
        with pytest.raises(NotFound):
            entries_table(machine, {"none": 200})


def test_reports_stand_side_by_side() -> None:
    reports = {"legacy": SwapoffReport(0, ptes_visited=512, seconds=0.5), "virtual": SwapoffReport(0, slots_scanned=9)}
    found = reports_table(reports, ["ptes_visited", "slots_scanned"])
    assert found.rows == (
        ("PTEs visited", "512", "0"),
        ("slots scanned", "0", "9"),
        ("milliseconds", "500.00", "0.00"),
    )


def test_lookups_stand_side_by_side_without_those_that_nobody_did() -> None:
    none = dict.fromkeys(LOOKUP_KINDS, 0)
    found = lookups_table({"legacy": {**none, "swap_map": 6}, "virtual": {**none, "descriptor": 9}}, pages=3)
    assert {row[0]: row[1:3] for row in found.rows} == {"descriptor": ("0.00", "3.00"), "swap_map": ("2.00", "0.00")}


def test_steps_stand_with_what_differs_between_the_designs() -> None:
    machines = {design: Machine(ram="1M", design=design) for design in ("legacy", "virtual")}
    steps = compare(
        machines,
        [
            ("swapon", lambda m: m.swapon(size="1M")),
            ("write", lambda m: m.spawn().write(m.processes[1].mmap(PAGE_SIZE).start, page_bytes("text", 1))),
            ("reclaim", lambda m: m.reclaim()),
        ],
    )
    found = steps_table(steps)
    assert column(found, "step") == ["swapon", "write", "reclaim"]
    assert column(found, "slots, legacy") == ["0", "0", "1"]
    assert column(found, "slots, virtual") == ["0", "0", "0"]
    assert [text.replace(",", "") for text in column(found, "metadata, legacy")] == [
        str(round(machines["legacy"].ledger().static_bytes))
    ] * 2 + [str(round(machines["legacy"].ledger().total_bytes))]
    for machine in machines.values():
        machine.close()
