"""Mappings of the zero page, and who a swapoff that searches page tables walks: the rules of data/kernel/README.md."""

from __future__ import annotations

import pytest

from vswaplab import Machine
from vswaplab.errors import InvalidArgument
from vswaplab.mm.machine import DESIGNS
from vswaplab.mm.page_table import PTRS_PER_TABLE
from vswaplab.mm.process import Process, Region
from vswaplab.protocols import SwapoffReport
from vswaplab.testing import page_of
from vswaplab.units import PAGE_SIZE


@pytest.fixture(params=sorted(DESIGNS))
def m(request: pytest.FixtureRequest) -> Machine:
    machine = Machine(ram="4M", design=request.param, page_cluster=0)
    machine.swapon(size="4M")
    return machine


# -- populate ------------------------------------------------------------------------------------------------------


def test_populate_maps_the_zero_page_wherever_nothing_was(m: Machine) -> None:
    p = m.spawn("app")
    region = p.mmap("5M")
    p.write(region.page(700).start, b"here")
    p.populate(region)
    assert p.mm.present_pages == region.pages
    assert p.mm.page_table.nr_tables == 1 + 1 + 1 + 3
    assert p.read(region.page(700).start, 4) == b"here"
    assert p.read(region.page(3).start, 8) == bytes(8)
    assert m.folio_pages == 1
    m.check()
    assert m.trace is not None
    assert not m.trace.step(len(m.trace) - 1).diff(m.snapshot().state)


def test_a_populated_page_is_copied_when_written(m: Machine) -> None:
    p = m.spawn("app")
    region = p.mmap("1M")
    p.populate(region)
    child = p.fork()
    p.write(region.start, b"mine")
    assert (p.read(region.start, 4), child.read(region.start, 4)) == (b"mine", bytes(4))
    p.munmap(region.start + 4 * PAGE_SIZE, 100 * PAGE_SIZE)
    assert p.mm.present_pages == region.pages - 100
    m.check()
    p.exit()
    child.exit()
    assert m.folio_pages == 0
    m.check()


def test_populate_wants_a_region_that_is_mapped(m: Machine) -> None:
    p = m.spawn("app")
    region = p.mmap("64K")
    with pytest.raises(InvalidArgument):
        p.populate(Region(region.start, 2 * region.length))
    with pytest.raises(InvalidArgument):
        p.populate(Region(0, PAGE_SIZE))


def test_reclaim_takes_nothing_from_the_zero_page(m: Machine) -> None:
    p = m.spawn("app")
    p.populate(p.mmap("1M"))
    assert m.reclaim() == 0
    assert not m.swap.entries()


# -- who is walked -------------------------------------------------------------------------------------------------


class Walk:
    """A legacy machine with an owner of 10 pages, and strangers whose pages are all mapped."""

    def __init__(self) -> None:
        self.m = Machine(ram="4M", design="legacy", page_cluster=0)
        self.si = self.m.swapon(size="4M")

    def owner(self) -> Process:
        p = self.m.spawn("owner")
        region = p.mmap(10 * PAGE_SIZE)
        for i in range(10):
            p.write(region.page(i).start, page_of("text", i))
        self.m.reclaim()
        return p

    def stranger(self, *, swapped: bool = True, back: bool = True, written: bool = True) -> Process:
        q = self.m.spawn("stranger")
        region = q.mmap(4 * PTRS_PER_TABLE * PAGE_SIZE)
        q.populate(region)
        if written:
            q.write(region.start, b"stranger")
        if swapped:
            self.m.reclaim()
        if back:
            q.touch(region.page(0))
        return q

    def swapoff(self) -> SwapoffReport:
        report = self.m.swapoff(self.si)
        self.m.check()
        return report


STRANGER = 4 * PTRS_PER_TABLE


def test_the_owner_alone_costs_its_own_tables() -> None:
    walk = Walk()
    walk.owner()
    report = walk.swapoff()
    assert (report.mms_walked, report.vmas_walked, report.ptes_visited) == (1, 1, 10)
    assert report.tables_walked == 4
    assert (report.ptes_rewritten, report.pages_read) == (10, 10)


def test_a_process_that_never_swapped_costs_nothing() -> None:
    walk = Walk()
    walk.owner()
    walk.stranger(swapped=False)
    assert walk.swapoff().ptes_visited == 10


def test_a_younger_stranger_that_once_swapped_is_walked_to_the_last_entry() -> None:
    walk = Walk()
    walk.owner()
    walk.stranger()
    report = walk.swapoff()
    assert (report.mms_walked, report.ptes_visited) == (2, STRANGER + 10)
    assert report.tables_walked == 4 + 7  # three upper ones and the leaves


def test_an_older_stranger_costs_nothing_once_the_device_is_empty() -> None:
    walk = Walk()
    stranger = walk.stranger()
    walk.owner()
    stranger.munmap(stranger.mm.vmas[0].page(0))  # the slot goes with it; a page read back would keep its slot
    report = walk.swapoff()
    assert (report.mms_walked, report.ptes_visited) == (1, 10)


def test_an_older_stranger_whose_page_is_back_is_walked_for_the_slot_it_keeps() -> None:
    walk = Walk()
    stranger = walk.stranger()
    walk.owner()
    stranger.touch(stranger.mm.vmas[0].page(0))  # pushed out with the owner's pages, and read back
    report = walk.swapoff()
    assert (report.mms_walked, report.ptes_rewritten) == (2, 10)
    assert report.slots_scanned > 0  # no page table held it: the scan of the swap_map freed it


def test_a_stranger_that_still_holds_a_page_is_always_walked() -> None:
    walk = Walk()
    walk.stranger(back=False)
    walk.owner()
    report = walk.swapoff()
    assert (report.mms_walked, report.ptes_visited, report.pages_read) == (2, STRANGER + 10, 11)


def test_a_region_that_was_only_read_is_not_walked() -> None:
    walk = Walk()
    walk.owner()
    q = walk.stranger()
    q.populate(q.mmap("8M"))
    report = walk.swapoff()
    assert (report.vmas_walked, report.ptes_visited) == (2, STRANGER + 10)


def test_a_child_stands_right_behind_its_parent_on_the_list() -> None:
    walk = Walk()
    first = walk.owner()
    second = walk.owner()
    child = first.fork()
    assert list(walk.m.mmlist()) == [second, first, child]
    first.exit()
    assert list(walk.m.mmlist()) == [second, child]


def test_a_page_that_two_processes_hold_is_read_once_and_rewritten_twice() -> None:
    walk = Walk()
    walk.owner().fork()
    report = walk.swapoff()
    assert (report.ptes_rewritten, report.pages_read, report.rounds) == (20, 10, 1)


def test_the_virtual_design_walks_nobody() -> None:
    m = Machine(ram="4M", design="virtual", zswap=None, page_cluster=0)
    si = m.swapon(size="4M")
    p = m.spawn("owner")
    region = p.mmap(10 * PAGE_SIZE)
    for i in range(10):
        p.write(region.page(i).start, page_of("text", i))
    m.reclaim()
    entries = [p.pte(address).entry for address in region.addresses().tolist()]
    report = m.swapoff(si)
    assert (report.mms_walked, report.vmas_walked, report.tables_walked, report.ptes_visited) == (0, 0, 0, 0)
    assert (report.pages_read, report.io_requests, report.io_sequential) == (10, 10, 9)
    assert [p.pte(address).entry for address in region.addresses().tolist()] == entries
    assert p.read(region.page(7).start, PAGE_SIZE) == page_of("text", 7)
