"""Proposals in the ledger: their terms give the figures that their sources publish."""

from __future__ import annotations

import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger import AS_ALLOCATED, measure
from vswaplab.observe.ledger_build import build, formula_rows, rows_of
from vswaplab.observe.ledger_designs import DESIGNS, PUBLISHED_SLOTS, Backend

PER_CLUSTER = 512

# Sections 1.3, 1.5 and 8.5 of docs/facts.md, written down here a second time: MiB for 32 GiB.
FIGURES: list[tuple[str, Backend, float, float]] = [
    ("v3", "zswap", 100, 256.0),
    ("v3", "disk", 100, 322.0),
    ("v6", "zswap", 100, 193.75),
    ("p2", "disk", 0, 25.5),
    ("p2", "disk", 100, 89.5),
    ("p3", "disk", 0, 17.5),
    ("p3", "disk", 100, 81.5),
    ("p4-promised", "disk", 0, 0.5),
    ("p4-promised", "disk", 100, 64.5),
    ("p4-posted", "disk", 0, 0.75),
    ("p4-posted", "disk", 100, 80.75),
    *[("ste", "zswap", usage, mib) for usage, mib in [(0, 0.0), (25, 36.4), (50, 72.8), (75, 109.1), (100, 145.5)]],
    *[("ste", "disk", usage, mib) for usage, mib in [(0, 0.75), (25, 53.1), (50, 105.5), (75, 157.9), (100, 210.3)]],
]


@pytest.mark.parametrize(("name", "backend", "usage", "mib"), FIGURES)
def test_published_figure_comes_out(name: str, backend: Backend, usage: float, mib: float) -> None:
    (row,) = formula_rows(name, backend, PUBLISHED_SLOTS, [usage])
    assert row.ledger.mib == pytest.approx(mib, abs=0.0501 if mib * 100 % 25 else 1e-9)
    assert row.published == mib
    assert row.ledger.kind == "formula"


@pytest.mark.parametrize(
    ("name", "backend", "bytes_a_slot"),
    [
        ("rfc1", "zswap", 64),
        ("rfc2", "zswap", 48),
        ("v3", "zswap", 32),
        ("v6", "zswap", 24 + 112 / 512),
        ("ghost-plain", "disk", 8),
        ("ghost", "zswap", 16),
        ("ghost", "disk", 24),
        ("ste", "zswap", 18 + 96 / 512),
        ("ste", "disk", 26 + (96 + 48) / 512),
    ],
)
def test_bytes_of_a_slot_when_swap_is_full(name: str, backend: Backend, bytes_a_slot: float) -> None:
    found = DESIGNS[name].ledger(
        backend, capacity=PUBLISHED_SLOTS, live=PUBLISHED_SLOTS, clusters=PUBLISHED_SLOTS // 512
    )
    assert found.per_slot == bytes_a_slot


def test_a_128_gib_device_costs_what_the_review_of_v3_says() -> None:
    """About 1 GB with virtual swap against about 320 and 256 MB with phases 3 and 4 [S24]."""
    slots = 4 * PUBLISHED_SLOTS
    mib = {name: formula_rows(name, "disk", slots, [100])[0].ledger.mib for name in ("v6", "p3", "p4-promised")}
    assert mib == {"v6": pytest.approx(1024, rel=0.02), "p3": 326.0, "p4-promised": 258.0}


def test_the_swap_table_edition_with_zswap_costs_less_than_the_legacy_baseline_at_any_usage() -> None:
    usages = range(0, 101, 5)
    ours = formula_rows("ste", "zswap", 1 << 15, usages)
    legacy = rows_of("legacy", "zswap", 1 << 15, usages)
    assert all(a.ledger.total_bytes < b.ledger.total_bytes for a, b in zip(ours, legacy, strict=True))


def test_inline_rounding_of_v3_costs_a_third_more_than_v6_per_cluster() -> None:
    old, new = (DESIGNS[name].ledger("zswap", capacity=0, live=1, clusters=1) for name in ("v3", "v6"))
    assert (old.total_bytes, new.total_bytes) == (16384, 12400)


@pytest.mark.parametrize("usage", [0, 37, 100])
def test_v6_as_a_formula_is_v6_as_built_without_what_it_leaves_out(usage: float) -> None:
    slots = (1 << 15) - 1  # a whole number of clusters, with the header or with entry 0
    for backend in ("zswap", "disk"):
        built = measure(build("virtual", slots, backend, usage), AS_ALLOCATED)
        units = built.structures["swp_desc"].units
        formula = DESIGNS["v6"].ledger(backend, capacity=slots, live=built.live, clusters=units)
        for name in set(built.structures) & set(formula.structures) - {"allocated", "bad_map"}:
            assert formula.structures[name].bytes == built.structures[name].bytes
        assert set(built.structures) - set(formula.structures) <= {"vswap_cluster_map", "swap_cluster_info"}


def test_p2_is_the_legacy_design_and_its_cluster_info() -> None:
    for backend in ("zswap", "disk"):
        (formula,) = formula_rows("p2", backend, 1 << 15, [50])
        (built,) = rows_of("legacy", backend, 1 << 15, [50])
        cluster_info = formula.ledger.structures["swap_cluster_info"].bytes
        assert formula.ledger.total_bytes - cluster_info == pytest.approx(built.ledger.total_bytes, abs=64)


def test_every_design_names_its_source_and_what_it_counts() -> None:
    for name, design in DESIGNS.items():
        assert design.name == name
        assert design.source.startswith("S")
        assert design.counts.endswith(".")
        for backend in design.backends:
            assert design.ledger(backend, capacity=512, live=512, clusters=1).total_bytes > 0


def test_a_backend_that_a_design_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="has no figures for zswap; ask for disk"):
        formula_rows("ghost-plain", "zswap", 512, [100])


def test_a_cluster_that_is_begun_counts_whole() -> None:
    costs = [row.ledger.total_bytes for row in formula_rows("v3", "zswap", 1024, (0, 0.1, 50, 50.1, 100))]
    assert costs == [0, 16384, 16384, 2 * 16384, 2 * 16384]


@pytest.mark.parametrize(("layout", "share"), [("dense", 0.5), ("random", 1.0), ("sparse", 0.5)])
def test_scattered_entries_use_the_clusters_that_a_built_design_has(layout: str, share: float) -> None:
    slots = 1 << 15
    (row,) = formula_rows("p4-posted", "disk", slots, [50], layout)
    used = row.ledger.structures["memcg_table"].units
    assert used == share * slots / PER_CLUSTER
    built = measure(build("legacy", slots, "disk", 50, layout), AS_ALLOCATED).structures["swap_table"].units
    assert abs(built - used) <= 1  # slots begin at 1, so the built ones reach into one cluster more
