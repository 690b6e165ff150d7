"""The byte ledger on small structures: every line is what the structures hold, on any path that led there."""

from __future__ import annotations

import doctest
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab import Backing, Machine
from vswaplab.errors import InvalidArgument
from vswaplab.observe import ledger, ledger_build, ledger_claims, ledger_designs
from vswaplab.observe.ledger import AS_ALLOCATED, AS_POSTED, measure, resident_bytes, take_ledger, xarray_nodes
from vswaplab.observe.ledger_build import Population, build
from vswaplab.observe.ledger_designs import BACKENDS, Backend
from vswaplab.units import PAGE_SIZE

PAGES = 200
CLUSTER = 512
WHOLE = (1 << 14) - 1
"""Slots of a device that ends with a cluster: slots past the end are bad, and a cluster with such never is empty."""


def machine_with_pages(design: str, *, content: bytes = b"data", device: bool = True, zswap: bool = True) -> Machine:
    """A machine with PAGES pages swapped out, each of them different from zero unless `content` is."""
    m = Machine(ram="4M", design=design, zswap={} if zswap else None)
    if device:
        m.swapon(size="8M")
    process = m.spawn()
    region = process.mmap(PAGES * PAGE_SIZE)
    process.write(region.start, content * (PAGES * PAGE_SIZE // len(content)))
    assert m.reclaim() == PAGES
    return m


def lookups(m: Machine) -> object:
    """Every counter of look-ups that the design keeps."""
    if m.design == "legacy":
        return m.swap.lookup_counts()
    return m.swap.allocator.lookups, m.swap.allocator.map_walks


def all_bytes(m: Machine, mode: str = AS_POSTED) -> dict[str, float]:
    return {name: line.bytes for name, line in m.ledger(mode).structures.items()}


# -- machines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "device", "zswap", "expected"),
    [
        ("virtual", False, True, {"swp_desc": 24 * PAGES, "vswap_bitmap": PAGES / 8}),
        (
            "virtual",
            True,
            False,
            {
                "swp_desc": 24 * PAGES,
                "vswap_bitmap": PAGES / 8,
                "allocated": 256,
                "bad_map": 256,
                "rmap": 8 * PAGES,
            },
        ),
        (
            "legacy",
            True,
            True,
            {
                "swap_map": 2048,
                "swap_cgroup": 4096,
                "zeromap": 256,
                "swap_table": 8 * PAGES,
                "zswap_tree": 8 * PAGES,
            },
        ),
        (
            "legacy",
            True,
            False,
            {"swap_map": 2048, "swap_cgroup": 4096, "zeromap": 256, "swap_table": 8 * PAGES, "zswap_tree": 0},
        ),
    ],
)
def test_machine_ledger_counts_what_was_swapped_out(
    design: str, device: bool, zswap: bool, expected: dict[str, float]
) -> None:
    m = machine_with_pages(design, device=device, zswap=zswap)
    found = m.ledger()
    assert {name: line.bytes for name, line in found.structures.items()} == expected
    assert found.total_bytes == sum(expected.values())
    assert (found.design, found.mode, found.kind, found.live) == (design, AS_POSTED, "built", PAGES)
    assert found.capacity == (2047 if device else 0)


def test_zero_pages_have_no_zswap_entry_and_the_legacy_design_keeps_their_slots() -> None:
    legacy, virtual = (machine_with_pages(design, content=b"\0") for design in ("legacy", "virtual"))
    assert all_bytes(legacy)["zswap_tree"] == 0
    assert all_bytes(legacy)["swap_table"] == 8 * PAGES
    assert all_bytes(virtual)["rmap"] == 0
    assert [m.ledger().apart["zswap_entry"].units for m in (legacy, virtual)] == [0, 0]


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_zswap_entries_stand_apart_and_are_in_no_sum(design: str) -> None:
    m = machine_with_pages(design)
    for mode in ledger.MODES:
        found = m.ledger(mode)
        assert found.apart["zswap_entry"].bytes == 56 * PAGES == 56 * m.zswap.stored_pages
        assert found.total_bytes == sum(line.bytes for line in found.structures.values())


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_static_lines_stay_and_dynamic_ones_go_when_all_is_freed(design: str) -> None:
    m = machine_with_pages(design)
    before = m.ledger()
    for process in list(m.processes.values()):
        process.exit()
    after = m.ledger()
    assert after.live == 0
    assert after.total_bytes == after.static_bytes == before.static_bytes < before.total_bytes
    assert after.per_slot is None


def test_write_back_gives_virtual_entries_rmap_words_and_takes_tree_entries_from_legacy_ones() -> None:
    virtual, legacy = machine_with_pages("virtual"), machine_with_pages("legacy")
    moved = [m.writeback(pages=50) for m in (virtual, legacy)]
    assert moved == [50, 50]
    assert all_bytes(virtual)["rmap"] == 8 * 50
    assert all_bytes(legacy)["zswap_tree"] == 8 * (PAGES - 50)


def test_descriptors_counted_are_those_that_look_up_finds() -> None:
    m = machine_with_pages("virtual")
    m.writeback(pages=30)
    kinds = Counter(m.swap.lookup(entry).type for entry in m.swap.entries())
    found = m.ledger()
    assert found.live == kinds.total()
    assert found.structures["rmap"].units == kinds[Backing.SWAPFILE]
    assert found.apart["zswap_entry"].units == kinds[Backing.ZSWAP]


def test_swap_counts_beyond_62_cost_continuation_pages_in_the_legacy_design_alone() -> None:
    costs = {}
    for design in ("legacy", "virtual"):
        m = machine_with_pages(design)
        entry = m.swap.entries()[0]
        before = m.ledger(AS_ALLOCATED).total_bytes
        m.swap.swap_duplicate_nr(entry, 1)
        for _ in range(62):
            m.swap.swap_duplicate_nr(entry, 1)
        costs[design] = m.ledger(AS_ALLOCATED).total_bytes - before
    assert costs == {"legacy": PAGE_SIZE, "virtual": 0}


def test_ledger_adds_up_over_several_devices() -> None:
    m = Machine(ram="1M", design="legacy")
    m.swapon(size="4M")
    one = m.ledger().total_bytes
    m.swapon(size="4M")
    assert m.ledger().total_bytes == 2 * one == 2 * (1024 + 2048 + 128)


def test_taking_a_ledger_changes_nothing() -> None:
    for design in ("legacy", "virtual"):
        m = machine_with_pages(design)
        m.writeback(pages=10)
        counts, resident = lookups(m), resident_bytes(m.swap)
        for mode in ledger.MODES:
            assert take_ledger(m, mode) == take_ledger(m, mode)
        assert lookups(m) == counts
        assert resident_bytes(m.swap) == resident
        m.check()


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="There is no mode 'by hand'; choose one of: as posted, as allocated"):
        Machine(ram="1M").ledger("by hand")


# -- as allocated ------------------------------------------------------------------------------------------------


def test_one_entry_costs_a_whole_cluster_as_allocated() -> None:
    virtual = measure(build("virtual", 4096, "zswap", usage=100 / 4096), AS_ALLOCATED)
    legacy = measure(build("legacy", 4096, "disk", usage=100 / 4096), AS_ALLOCATED)
    assert virtual.live == legacy.live == 1
    assert virtual.structures["swp_desc"].bytes == 12288
    assert virtual.structures["vswap_cluster"].bytes == 112
    assert legacy.structures["swap_table"].bytes == PAGE_SIZE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_static_arrays_take_whole_pages_as_allocated(design: str, backend: Backend) -> None:
    found = measure(build(design, 5000, backend, usage=0), AS_ALLOCATED)
    arrays = [line for line in found.structures.values() if line.static and line.name != "zswap_tree_heads"]
    assert [line.bytes % PAGE_SIZE for line in arrays] == [0] * len(arrays)


@pytest.mark.parametrize(
    ("indexes", "nodes"),
    [([], 0), ([0], 0), ([1], 1), (range(64), 1), (range(65), 3), ([64], 2), ([4095], 2), ([4096], 3), ([0, 4096], 5)],
)
def test_xarray_nodes_of_known_trees(indexes: list[int], nodes: int) -> None:
    assert xarray_nodes(indexes) == nodes


@given(st.sets(st.integers(0, (1 << 14) - 1), max_size=300))
@settings(max_examples=50)
def test_xarray_nodes_agree_with_the_tree_of_legacy_zswap(offsets: set[int]) -> None:
    swap = build("legacy", (1 << 14) - 1, "zswap", usage=0)
    tree = swap.info[0].zswap_tree  # type: ignore[attr-defined]
    for offset in offsets:
        tree.store(offset, 7)
    assert xarray_nodes(offsets) == tree.nodes


# -- what the operating system says ------------------------------------------------------------------------------


def test_resident_descriptors_are_12288_bytes_a_live_cluster() -> None:
    swap = build("virtual", WHOLE, "zswap", 100)
    resident = resident_bytes(swap)["swp_desc"]  # before anything is measured, so that measuring has no part in it
    assert resident == 12288 * 32
    assert resident == measure(swap, AS_ALLOCATED).structures["swp_desc"].bytes


@given(live=st.integers(0, WHOLE))
@settings(max_examples=30)
def test_resident_descriptors_are_the_pages_that_were_written(live: int) -> None:
    """Entries begin at 1, so that many rows and row 0 before them: what is not whole is left of the last cluster."""
    population = Population("virtual", WHOLE, "disk")
    population.resize(live)
    resident = resident_bytes(population.swap)["swp_desc"]
    assert resident == (-(-(live + 1) * 24 // PAGE_SIZE) * PAGE_SIZE if live else 0)
    counted = measure(population.swap, AS_ALLOCATED).structures["swp_desc"].bytes
    assert counted - 2 * PAGE_SIZE <= resident <= counted


def test_freed_clusters_give_their_descriptors_back() -> None:
    population = Population("virtual", WHOLE, "zswap")
    population.resize(WHOLE)
    population.resize(5 * CLUSTER)
    resident = resident_bytes(population.swap)["swp_desc"]
    assert resident == measure(population.swap, AS_ALLOCATED).structures["swp_desc"].bytes
    assert 12288 * 6 <= resident <= 12288 * 7  # entry 2560 begins a sixth one, and a CPU may have one cached


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_resident_swap_tables_are_a_page_a_used_cluster(layout: str) -> None:
    swap = build("legacy", WHOLE, "disk", 50, layout)
    resident = resident_bytes(swap)["swap_table"]
    tables = measure(swap, AS_ALLOCATED).structures["swap_table"]
    assert resident == tables.bytes == tables.units * PAGE_SIZE


@pytest.mark.parametrize("layout", ["dense", "sparse", "random"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize("slots", [WHOLE, 1 << 14, 100_000])
def test_measuring_gives_no_memory_to_anything(slots: int, design: str, backend: Backend, layout: str) -> None:
    swap = build(design, slots, backend, 7, layout)
    before = resident_bytes(swap)
    for mode in ledger.MODES:
        measure(swap, mode)
    assert resident_bytes(swap) == before


# -- any path ----------------------------------------------------------------------------------------------------

SLOTS = 1700


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("design", ["virtual", "legacy"])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["resize", "shuffle", "thin"]), st.integers(0, SLOTS)), max_size=8),
)
@settings(max_examples=20)
def test_whatever_was_done_the_ledger_follows_the_entries(
    design: str, backend: Backend, steps: list[tuple[str, int]]
) -> None:
    """Sizes come from the entries alone, derived here from a list of them, not from the structures."""
    population = Population(design, SLOTS, backend)
    for step, number in steps:
        if step == "resize":
            population.resize(number)
        elif step == "shuffle":
            population.shuffle(number)
        else:
            population.thin()
    if backend == "disk":  # handles of zswap entries are numbers here, with no pool that could be asked about them
        population.swap.check()
    entries = np.sort(population.entries).astype(np.int64)
    n, clusters = len(entries), len(set((entries >> 9).tolist()))
    posted, allocated = measure(population.swap), measure(population.swap, AS_ALLOCATED)
    assert posted.live == allocated.live == n
    assert posted.apart["zswap_entry"].units == (n if backend == "zswap" else 0)
    dynamic = {
        ("virtual", "zswap"): 24 * n + n / 8,
        ("virtual", "disk"): 24 * n + n / 8 + 8 * n,
        ("legacy", "zswap"): 8 * n + 8 * n,
        ("legacy", "disk"): 8 * n,
    }[design, backend]
    assert posted.total_bytes - posted.static_bytes == dynamic
    if design == "legacy":
        assert allocated.structures["swap_table"].bytes == 4096 * clusters
        nodes = xarray_nodes(entries) if backend == "zswap" else 0
        assert allocated.structures["zswap_tree"].bytes == 576 * nodes
    else:
        # A CPU's cached cluster and the one it looked up last live on when they are empty.
        live = allocated.structures["swp_desc"].units
        assert clusters <= live <= clusters + 2
        assert allocated.structures["swp_desc"].bytes == 12288 * live


# -- text twin, JSON and pages -----------------------------------------------------------------------------------


def test_rows_and_dict_say_the_same_as_the_structures() -> None:
    found = machine_with_pages("legacy").ledger()
    rows = found.rows()
    assert [row["name"] for row in rows] == [*found.structures, "zswap_entry"]
    assert sum(row["bytes"] for row in rows if row["in_sum"]) == found.total_bytes == found.as_dict()["total_bytes"]
    assert found.as_dict()["lines"] == rows
    assert found.mib * (1 << 20) == found.total_bytes
    assert found.per_slot == found.total_bytes / PAGES


def test_every_line_prints_its_count_and_its_source() -> None:
    found = machine_with_pages("legacy").ledger()
    text = str(found).splitlines()
    assert (
        text[0]
        == f"legacy, as posted: {found.total_bytes:,.0f} bytes for 200 entries, {found.per_slot:.2f} bytes an entry"
    )
    assert text[2].split() == ["swap_map", "2,048", "2,048", "slot", "1", "static", "S3", "S12"]
    assert text[-1].startswith("zswap_entry (apart)")
    assert all(line.source for line in found.structures.values())


@pytest.mark.parametrize("module", [ledger, ledger_build, ledger_claims, ledger_designs])
def test_examples_in_the_docstrings_are_true(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert (result.failed, result.attempted > 0) == (0, True)
