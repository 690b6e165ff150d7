"""Designs that are not built: their terms give the figures that their sources publish; what is in mainline says so."""

from __future__ import annotations

import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger import AS_ALLOCATED, AS_POSTED, MODES, measure
from vswaplab.observe.ledger_build import build, formula_rows, rows_of
from vswaplab.observe.ledger_designs import BASELINES, DESIGNS, PUBLISHED_SLOTS, Backend, design_name
from vswaplab.status import MAINLINE

PER_CLUSTER = 512

# Sections 1.3, 1.5 and 8.5 of docs/facts.md, written down here a second time: MiB for 32 GiB.
FIGURES: list[tuple[str, Backend, float, float]] = [
    ("v3", "zswap", 100, 256.0),
    ("v3", "disk", 100, 322.0),
    ("v6", "zswap", 100, 193.75),
    ("linux-7.0", "disk", 0, 25.5),
    ("linux-7.0", "disk", 100, 89.5),
    ("linux-7.1", "disk", 0, 17.5),
    ("linux-7.1", "disk", 100, 81.5),
    ("p4-promised", "disk", 0, 0.5),
    ("p4-promised", "disk", 100, 64.5),
    ("linux-7.2", "disk", 0, 0.75),
    ("linux-7.2", "disk", 100, 80.75),
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
    mib = {name: formula_rows(name, "disk", slots, [100])[0].ledger.mib for name in ("v6", "linux-7.1", "p4-promised")}
    assert mib == {"v6": pytest.approx(1024, rel=0.02), "linux-7.1": 326.0, "p4-promised": 258.0}


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


def test_7_0_is_the_legacy_design_and_its_cluster_info() -> None:
    for backend in ("zswap", "disk"):
        (formula,) = formula_rows("linux-7.0", backend, 1 << 15, [50])
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
    (row,) = formula_rows("linux-7.2", "disk", slots, [50], layout)
    used = row.ledger.structures["memcg_table"].units
    assert used == share * slots / PER_CLUSTER
    built = measure(build("legacy", slots, "disk", 50, layout), AS_ALLOCATED).structures["swap_table"].units
    assert abs(built - used) <= 1  # slots begin at 1, so the built ones reach into one cluster more


# What version 6 and mainline cost for 32 GiB, MiB by usage in percent, counted as allocated: the sums of the terms that
# S10 and S28 give, worked out apart from this code.
BESIDE_MAINLINE: dict[tuple[str, Backend], dict[float, float]] = {
    ("linux-7.2", "zswap"): {0: 0.75, 1: 2.19, 2: 3.63, 10: 15.15, 50: 72.75, 100: 144.75},
    ("v6", "zswap"): {0: 0.00, 1: 1.94, 2: 3.88, 10: 19.38, 50: 96.88, 100: 193.75},
    ("linux-7.2", "disk"): {0: 0.75, 1: 1.55, 2: 2.35, 10: 8.75, 50: 40.75, 100: 80.75},
    ("v6", "disk"): {0: 2.00, 1: 4.58, 2: 7.16, 10: 27.78, 50: 130.88, 100: 259.75},
}


@pytest.mark.parametrize("at", list(BESIDE_MAINLINE))
def test_version_6_beside_mainline_is_the_known_table(at: tuple[str, Backend]) -> None:
    name, backend = at
    rows = rows_of(name, backend, PUBLISHED_SLOTS, BESIDE_MAINLINE[at], AS_ALLOCATED)
    assert {row.usage: row.ledger.mib for row in rows} == pytest.approx(BESIDE_MAINLINE[at], abs=0.0051)


def test_mainline_is_no_proposal() -> None:
    """The three phases of the swap table are in releases; all else was only posted, or promised."""
    assert {name: made.since for name, made in DESIGNS.items() if made.since} == {
        "linux-7.0": "7.0",
        "linux-7.1": "7.1",
        "linux-7.2": "7.2",
    }
    assert BASELINES == ("legacy", "linux-7.0", "linux-7.1", "linux-7.2")
    for release in MAINLINE:
        made = DESIGNS[f"linux-{release.release}"]
        assert made.standing == f"mainline since Linux {release.release}"
        assert release.source in made.source.split()
        assert set(release.gone).isdisjoint(term.name for term in made.terms)
    assert {made.standing for made in DESIGNS.values() if not made.since} == {
        "posted, not merged",
        "promised; Linux 7.2 has it in another form",
    }


@pytest.mark.parametrize(
    ("name", "design"),
    [("6.19", "legacy"), ("7.0", "linux-7.0"), ("7.2", "linux-7.2"), ("p3", "linux-7.1"), ("p4-posted", "linux-7.2")],
)
def test_a_release_or_a_phase_names_a_design(name: str, design: str) -> None:
    assert design_name(name) == design
    assert [row.design for row in rows_of(name, "disk", 512, [100])] == [design]


def test_bytes_by_entry_and_by_cluster_agree_where_clusters_are_full() -> None:
    for made in DESIGNS.values():
        for backend in made.backends:
            by_entry, by_cluster = (made.bytes_for(backend, 1 << 15, 1 << 14, mode) for mode in MODES)
            assert by_entry == by_cluster
    with pytest.raises(InvalidArgument, match="has no figures for zswap"):
        DESIGNS["ghost-plain"].bytes_for("zswap", 512, 512, AS_POSTED)


def test_the_edition_says_of_which_posting_its_bytes_are() -> None:
    made = DESIGNS["ste"]
    assert made.title.endswith("RFC v2")
    assert made.counts.startswith("As of RFC v2 of 12 June 2026; version 5 of September may differ.")
