"""The posted table at full size: 8,388,608 slots built live in both designs, on both backends, at five usages."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vswaplab.observe.ledger_build import Row, rows_of
from vswaplab.observe.ledger_claims import check_claims, crossover, worst_added
from vswaplab.observe.ledger_cli import Overhead, overhead
from vswaplab.observe.ledger_designs import BACKENDS, Backend
from vswaplab.observe.ledger_text import table_text
from vswaplab.units import PAGE_SIZE

SLOTS = 8_388_608
USAGES = (0, 25, 50, 75, 100)
MIB = 1 << 20

# Section 1.1 of docs/facts.md [S3 S4 S6], written down here a second time.
POSTED = {
    ("legacy", "zswap"): (25.00, 57.00, 89.00, 121.00, 153.00),
    ("virtual", "zswap"): (0.00, 48.25, 96.50, 144.75, 193.00),
    ("legacy", "disk"): (25.00, 41.00, 57.00, 73.00, 89.00),
    ("virtual", "disk"): (2.00, 66.25, 130.50, 194.75, 259.00),
}
CELLS = [(*key, usage, mib) for key, column in POSTED.items() for usage, mib in zip(USAGES, column, strict=True)]


def formula(design: str, backend: Backend, n: int) -> dict[str, float]:
    """Section 1.2 of docs/facts.md: bytes by structure for n entries in use."""
    if design == "legacy":
        trees = 8 * n if backend == "zswap" else 0
        return {
            "swap_map": SLOTS,
            "swap_cgroup": 2 * SLOTS,
            "zeromap": SLOTS / 8,
            "swap_table": 8 * n,
            "zswap_tree": trees,
        }
    dynamic = {"swp_desc": 24 * n, "vswap_bitmap": n / 8}
    on_disk = {"allocated": SLOTS / 8, "bad_map": SLOTS / 8, "rmap": 8 * n}
    return dynamic if backend == "zswap" else {**dynamic, **on_disk}


@pytest.fixture(scope="module")
def table() -> Overhead:
    """Both designs built once at full size, through all usages."""
    return overhead("32G")


def cell(table: Overhead, design: str, backend: str, usage: float) -> Row:
    (row,) = (row for row in table.rows if (row.design, row.backend, row.usage) == (design, backend, usage))
    return row


@pytest.mark.parametrize(("design", "backend", "usage", "mib"), CELLS)
def test_cell_equals_the_published_one_to_a_hundredth_of_a_mib(
    table: Overhead, design: str, backend: Backend, usage: int, mib: float
) -> None:
    row = cell(table, design, backend, usage)
    assert row.ledger.kind == "built"
    assert row.ledger.live == SLOTS * usage // 100
    assert row.ledger.mib == pytest.approx(mib, abs=0.005)
    assert row.published == mib


@pytest.mark.parametrize(("design", "backend", "usage", "mib"), CELLS)
def test_cell_splits_by_structure_as_the_formula_has_it(
    table: Overhead, design: str, backend: Backend, usage: int, mib: float
) -> None:
    """Within the header's slot, or a cluster of bits: what `vswaplab.observe.ledger` says of rounding."""
    found = {name: line.bytes for name, line in cell(table, design, backend, usage).ledger.structures.items()}
    expected = formula(design, backend, SLOTS * usage // 100)
    assert found == {name: pytest.approx(size, abs=64) for name, size in expected.items()}
    assert sum(expected.values()) == mib * MIB


def test_crossovers_worst_cost_and_claims_are_the_known_ones(table: Overhead) -> None:
    assert table.as_dict()["crossover"] == {"zswap": 38.46, "disk": 11.92}
    worst = {
        added.backend: (added.usage, round(added.bytes / MIB, 2), round(added.percent_of_swap, 2))
        for added in table.added
    }
    assert worst == {"zswap": (100, 40.0, 0.12), "disk": (100, 170.0, 0.52)}
    findings = {(claim.backend, claim.claim[:4]): (claim.holds, claim.finding) for claim in table.claims}
    assert {key: holds for key, (holds, _) in findings.items()} == {
        ("zswap", "0~40"): False,
        ("zswap", "less"): True,
        ("disk", "0~40"): False,
        ("disk", "less"): True,
    }
    assert "77.2 MiB against 76.2 MiB" in findings["zswap", "0~40"][1]
    assert "at most 0.589 % in all" in findings["zswap", "less"][1]
    assert "at most 0.790 % in all" in findings["disk", "less"][1]


def test_the_table_is_built_within_two_gib_by_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "vswaplab", "overhead", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert len(found["rows"]) == len(CELLS)
    # The descriptors and rmap words alone are 256 MiB of memory that must have been there.
    assert 256 < found["peak_mib"] < 2048


def test_each_build_and_the_peak_of_memory_are_reported(table: Overhead) -> None:
    assert [(design, backend) for design, backend, _ in table.builds] == [
        ("legacy", "zswap"),
        ("virtual", "zswap"),
        ("legacy", "disk"),
        ("virtual", "disk"),
    ]
    assert "peak memory" in str(table).splitlines()[-1]


def test_text_shows_each_cell_beside_the_published_one(table: Overhead) -> None:
    lines = table_text(table.rows).splitlines()
    for line, (key, column) in zip(lines[2:], POSTED.items(), strict=True):
        assert line.split()[:2] == [key[1], key[0]]
        for mib in column:
            assert f"{mib:.2f} [{mib:.2f}]" in line


def test_a_small_swapfile_costs_the_same_share() -> None:
    for (design, backend), column in POSTED.items():
        rows = rows_of(design, backend, 1 << 16, USAGES)  # type: ignore[arg-type]
        shares = [row.percent_of_swap for row in rows]
        assert shares == pytest.approx([100 * mib * MIB / (SLOTS * PAGE_SIZE) for mib in column], abs=1e-4)
        assert [row.published for row in rows] == [None] * len(USAGES)


def test_claims_are_checked_on_any_size() -> None:
    rows = [row for design, backend in POSTED for row in rows_of(design, backend, 4096, USAGES)]  # type: ignore[arg-type]
    assert {backend: worst_added(rows, backend).usage for backend in BACKENDS} == {"zswap": 100, "disk": 100}  # type: ignore[union-attr]
    assert len(check_claims(rows, [crossover("zswap", 4096)])) == 3
