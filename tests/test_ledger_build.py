"""Populations: what is built is what was asked for, by the operations of the designs themselves."""

from __future__ import annotations

import numpy as np
import pytest

from vswaplab import Backing
from vswaplab.errors import InvalidArgument, NoMemory
from vswaplab.observe.ledger import AS_ALLOCATED, AS_POSTED, measure
from vswaplab.observe.ledger_build import Population, build, entries_at, rows_of
from vswaplab.observe.ledger_designs import BACKENDS, Backend

SLOTS = 5000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_entries_are_out_of_the_swap_cache_referred_to_once_and_on_the_backend(design: str, backend: Backend) -> None:
    swap = build(design, SLOTS, backend, 20)
    entries = swap.entries()  # type: ignore[attr-defined]
    assert len(entries) == 1000
    wanted = Backing.ZSWAP if backend == "zswap" else Backing.SWAPFILE
    for entry in (entries[0], entries[500], entries[-1]):
        known = swap.lookup(entry)  # type: ignore[attr-defined]
        assert (known.type, known.swap_count, known.in_swapcache, known.memcgid) == (wanted, 1, False, 1)
        assert known.shadow & 1 == 1


@pytest.mark.parametrize(
    ("design", "backend", "devices"),
    [
        ("virtual", "zswap", 0),
        ("virtual", "disk", 1),
        ("legacy", "zswap", 1),
        ("legacy", "disk", 1),
    ],
)
def test_only_the_virtual_design_does_without_a_swapfile(design: str, backend: Backend, devices: int) -> None:
    swap = build(design, SLOTS, backend, 0)
    assert [si.pages for si in swap.devices] == [SLOTS] * devices


@pytest.mark.parametrize("layout", ["dense", "random", "sparse"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_one_growing_structure_gives_what_separate_ones_give(design: str, backend: Backend, layout: str) -> None:
    usages = (75, 0, 25, 100)
    together = rows_of(design, backend, SLOTS, usages, AS_POSTED, layout, seed=3)
    assert [row.usage for row in together] == list(usages)
    for row in together:
        swap = build(design, SLOTS, backend, row.usage, layout, seed=3)
        assert row.ledger == measure(swap)
        if row.counterpart is not None:  # the layout too is the same, but for an empty cluster that a CPU has cached
            more = {"virtual": 12288 + 112 + 576, "legacy": 0}[design]
            assert abs(row.counterpart.total_bytes - measure(swap, AS_ALLOCATED).total_bytes) <= more


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_random_frees_leave_clusters_behind_that_the_posted_formula_does_not_see(design: str) -> None:
    """Half of full swap freed at random: half the bytes by entry, all of them by cluster."""
    slots = 1 << 15
    posted = {row.usage: row.ledger for row in rows_of(design, "disk", slots, (50, 100), AS_POSTED, "random")}
    allocated = {row.usage: row.ledger for row in rows_of(design, "disk", slots, (50, 100), AS_ALLOCATED, "random")}
    dynamic = [found[50].total_bytes - found[50].static_bytes for found in (posted, allocated)]
    full = [found[100].total_bytes - found[100].static_bytes for found in (posted, allocated)]
    assert dynamic[0] == full[0] / 2
    assert dynamic[1] >= 0.98 * full[1]


@pytest.mark.parametrize(
    ("design", "backend", "structure", "posted", "allocated"),
    [
        ("virtual", "zswap", "swp_desc", 24, 12288),
        ("virtual", "disk", "rmap", 8, 4096),
        ("legacy", "disk", "swap_table", 8, 4096),
        ("legacy", "zswap", "swap_table", 8, 4096),
    ],
)
def test_one_entry_in_each_cluster_costs_512_times_what_is_posted(
    design: str, backend: Backend, structure: str, posted: int, allocated: int
) -> None:
    slots = 1 << 15
    (row,) = rows_of(design, backend, slots, [100], AS_POSTED, "sparse")
    assert row.counterpart is not None
    assert row.ledger.live == slots // 512 + 1  # the first entry is 1, so the last one begins a cluster
    assert row.ledger.structures[structure].bytes == posted * row.ledger.live
    assert row.counterpart.structures[structure].bytes == allocated * row.ledger.live


def test_a_seed_chooses_what_is_freed() -> None:
    kept = []
    for seed in (1, 1, 2):
        population = Population("virtual", SLOTS, "zswap")
        population.resize(SLOTS)
        population.shuffle(seed)
        population.resize(100)
        kept.append(np.sort(population.entries).tolist())
    assert kept[0] == kept[1] != kept[2]


def test_population_can_be_emptied_and_filled_again() -> None:
    for design in ("virtual", "legacy"):
        population = Population(design, SLOTS, "disk")
        costs = []
        for live in (SLOTS, 0, SLOTS):
            population.resize(live)
            costs.append(measure(population.swap).total_bytes)
        assert costs[0] == costs[2] > costs[1]


@pytest.mark.parametrize(
    ("slots", "usage", "entries"), [(1000, 0, 0), (1000, 38.46, 385), (1000, 100, 1000), (3, 50, 2)]
)
def test_usage_is_rounded_to_whole_entries(slots: int, usage: float, entries: int) -> None:
    assert entries_at(slots, usage) == entries


@pytest.mark.parametrize("usage", [-1, 100.01, float("nan"), float("inf")])
def test_usage_beyond_0_to_100_is_refused(usage: float) -> None:
    with pytest.raises(InvalidArgument, match="must be a number of 0 to 100"):
        entries_at(1000, usage)


def test_what_can_not_be_built_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidArgument, match="Design 'ste' can't be built; choose one of: legacy, virtual"):
        Population("ste", 100, "disk")
    with pytest.raises(InvalidArgument, match="There is no backend 'tape'"):
        Population("virtual", 100, "tape")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="slots must be"):
        Population("virtual", 0, "disk")
    with pytest.raises(InvalidArgument, match="6 entries don't fit in 5 slots"):
        Population("virtual", 5, "disk").resize(6)
    with pytest.raises(InvalidArgument, match="There is no layout 'heap'"):
        build("virtual", 100, "disk", 50, "heap")
    with pytest.raises(InvalidArgument, match="seed must be"):
        build("virtual", 100, "disk", 50, "random", seed=-1)
    with pytest.raises(NoMemory, match="choose a size below"):
        Population("legacy", 1 << 45, "disk")
