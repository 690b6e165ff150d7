"""Mappings of the zero page over whole regions: array forms of the page table, their price, and the trace's bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmkit import contents, fill, machine

from vswaplab import InvalidArgument, Machine
from vswaplab.entry import PTE_PRESENT, PTE_WRITE, frame_to_pte
from vswaplab.errors import InvariantError
from vswaplab.events import Event
from vswaplab.mm.page_table import PageTable
from vswaplab.units import PAGE_SIZE

ZERO_FRAME = 3
ZERO = frame_to_pte(ZERO_FRAME, False)
OTHER = frame_to_pte(8, True)
SWAPPED = ZERO_FRAME << 12  # not present: the same bits, but no frame
RANGES = st.tuples(st.integers(0, 2500), st.integers(1, 1500))
HELD = st.dictionaries(st.integers(0, 2500), st.sampled_from([ZERO, OTHER, SWAPPED]), max_size=40)


def table_of(held: dict[int, int]) -> PageTable:
    table = PageTable()
    for vpn, pte in held.items():
        table.set(vpn, pte)
    return table


def tables_needed(held: dict[int, int]) -> int:
    return 1 + sum(len({vpn >> shift for vpn in held}) for shift in (9, 18, 27))


def flat(batches: list[np.ndarray]) -> list[int]:
    return [vpn for batch in batches for vpn in batch.tolist()]


# -- array forms against a dictionary -------------------------------------------------------------------------------


@given(HELD, RANGES)
def test_fill_sets_what_is_empty_and_nothing_else(held: dict[int, int], where: tuple[int, int]) -> None:
    (vpn, nr), table = where, table_of(held)
    empty = [each for each in range(vpn, vpn + nr) if each not in held]
    assert flat(list(table.fill(vpn, nr, ZERO))) == empty
    held = {**held, **dict.fromkeys(empty, ZERO)}
    assert dict(table.walk()) == held
    assert table.nr_tables == tables_needed(held)


@given(HELD, RANGES)
def test_clear_frame_empties_the_ptes_that_map_it_and_drops_empty_tables(
    held: dict[int, int], where: tuple[int, int]
) -> None:
    (vpn, nr), table = where, table_of(held)
    found = [each for each in sorted(held) if vpn <= each < vpn + nr and held[each] == ZERO]
    assert flat(list(table.clear_frame(vpn, vpn + nr, ZERO_FRAME))) == found
    held = {each: pte for each, pte in held.items() if each not in found}
    assert dict(table.walk()) == held
    assert table.nr_tables == tables_needed(held)
    for each in held:  # the count of entries in use is right: the last one takes the table along
        table.set(each, 0)
    assert table.nr_tables == 1


@given(HELD)
def test_copy_frame_copies_the_ptes_that_map_it(held: dict[int, int]) -> None:
    table = PageTable()
    copied = {vpn: pte for vpn, pte in sorted(held.items()) if pte == ZERO}
    assert flat(list(table.copy_frame(table_of(held), ZERO_FRAME))) == list(copied)
    assert dict(table.walk()) == copied
    assert table.nr_tables == tables_needed(copied)


@given(HELD, RANGES)
def test_a_walk_may_leave_out_a_frame(held: dict[int, int], where: tuple[int, int]) -> None:
    (vpn, nr), table = where, table_of(held)
    kept = [(each, held[each]) for each in sorted(held) if vpn <= each < vpn + nr and held[each] != ZERO]
    assert list(table.walk(vpn, vpn + nr, leave_out=ZERO_FRAME)) == kept


def test_tables_come_in_the_order_of_a_walk_from_the_root_down() -> None:
    table = table_of({5: ZERO, 600: ZERO, 1 << 27: ZERO})
    seen = [(base, ptes is not None) for base, ptes in table.tables()]
    upper, leaf = False, True
    assert seen == [
        (0, upper),
        (0, upper),
        (0, upper),
        (0, leaf),
        (512, leaf),
        (1 << 27, upper),
        (1 << 27, upper),
        (1 << 27, leaf),
    ]
    assert [(base, ptes is not None) for base, ptes in table.tables(512, 513)] == [*seen[:3], seen[4]]
    assert len(seen) == table.nr_tables


# -- a process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_populate_leaves_pages_that_are_there_or_out_as_they_are(design: str) -> None:
    with machine(design=design) as m:
        p = m.spawn("app")
        region = p.mmap("32K")
        pages = fill(p, region)
        m.reclaim()
        p.touch(region.page(0))
        p.munmap(region.page(7))
        last = p.mmap(PAGE_SIZE)
        assert last == region.page(7)
        for vma in p.mm.vmas:
            p.populate(vma)
        m.check()
        assert (p.mm.present_pages, p.mm.swap_pages) == (2, 6)
        assert contents(p, region) == [*pages[:7], bytes(PAGE_SIZE)]


def test_the_zero_page_has_no_rmap_and_no_references() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("1M")
        p.touch(region)
        q = p.fork()
        q.populate(q.mmap("1M"))
        assert (m.zero_folio.refcount, m.zero_folio.mapped) == (0, {})
        assert (p.mm.present_pages, q.mm.present_pages) == (256, 512)
        p.write(region.start, b"x")
        assert m.zero_folio.data == bytes(PAGE_SIZE)


def test_a_large_populated_region_is_forked_unmapped_in_part_and_ended() -> None:
    with Machine(ram="1M", zswap=None, trace=False) as m:
        p = m.spawn("app")
        region = p.mmap("1G")
        p.populate(region)
        leaves = region.pages // 512
        assert (p.mm.present_pages, p.mm.page_table.nr_tables) == (region.pages, leaves + 3)
        child = p.fork()
        assert child.mm.present_pages == region.pages
        child.munmap(region.start + 100 * PAGE_SIZE, region.length - 200 * PAGE_SIZE)
        assert (child.mm.present_pages, child.mm.page_table.nr_tables) == (200, 2 + 3)
        m.check()
        child.exit()
        p.exit()
        assert p.mm.page_table.nr_tables == child.mm.page_table.nr_tables == 1
        assert m.folio_pages == 0
        m.check()


def test_each_populated_page_is_one_record_and_so_is_each_one_that_goes() -> None:
    with machine() as m:
        assert m.trace is not None
        p = m.spawn("app")
        region = p.mmap(600 * PAGE_SIZE)
        start = len(m.trace)
        p.populate(region)
        records = m.trace[start:]
        assert [(record.event, record.vpn) for record in records] == [
            (Event.PTE_MAP, vpn) for vpn in range(region.vpn, region.end_vpn)
        ]
        assert {(record.pid, record.value) for record in records} == {(p.pid, m.zero_folio.pfn)}
        child = p.fork()
        p.munmap(region)
        state = m.trace.step(len(m.trace) - 1)
        assert {pid for pid, _ in state.ptes} == {child.pid}
        assert not state.diff(m.snapshot().state)


def test_a_region_beyond_the_traces_capacity_is_refused_and_the_way_out_named() -> None:
    with Machine(ram="1M", zswap=None, trace=1000) as m:
        p = m.spawn("app")
        fits, large = p.mmap(1000 * PAGE_SIZE), p.mmap(1001 * PAGE_SIZE)
        with pytest.raises(InvalidArgument, match="trace=False"):
            p.populate(large)
        assert p.mm.present_pages == 0
        p.populate(fits)
        assert m.trace is not None
        assert len(m.trace.records()) <= 1000
        assert not m.trace.step(len(m.trace) - 1).diff(m.snapshot().state)


def test_a_writable_zero_page_and_one_outside_of_regions_are_found() -> None:
    for pte_flags, unmapped, invariant in (
        (PTE_WRITE, False, "writable-pte-is-alone"),
        (0, True, "pte-within-a-region"),
    ):
        with Machine(ram="1M", zswap=None) as m:
            p = m.spawn("app")
            region = p.mmap("16K")
            p.populate(region)
            m.check()
            zero = p.mm.page_table.get(region.vpn)
            assert zero & PTE_PRESENT
            p.mm.page_table.set(region.end_vpn if unmapped else region.vpn, zero | pte_flags)
            with pytest.raises(InvariantError) as caught:
                m.check()
            assert caught.value.invariant == invariant
