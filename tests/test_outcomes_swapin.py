"""What a fault leaves of a page's swap, in both designs: ``do_swap_page`` of Linux 6.19 and of v6 [S13]."""

from __future__ import annotations

import pytest
from mmkit import contents, fill, machine
from test_mm_swap import out

from vswaplab import Machine
from vswaplab.units import PAGE_SIZE

DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])
TEXT_ON_DEVICE = {"zswap": None, "page_cluster": 0}


def slots(m: Machine) -> int:
    return sum(si.inuse_pages for si in m.devices)


# -- a write fault ---------------------------------------------------------------------------------------------------


@DESIGNS
def test_a_write_fault_of_the_only_owner_frees_the_slot_and_dirties_the_folio(design: str) -> None:
    with machine(design=design, **TEXT_ON_DEVICE) as m:
        p, region, _ = out(m, pages=4)
        assert slots(m) == 4
        p.touch(region.page(0), write=True)
        folio = m.frames[p.pte(region.start).frame or 0]
        assert (slots(m), folio.in_swapcache, folio.dirty) == (3, False, True)
        p.touch(region.page(1))
        assert slots(m) == 3
        assert m.frames[p.pte(region.page(1).start).frame or 0].in_swapcache


@DESIGNS
def test_a_page_read_first_and_written_later_keeps_its_slot_until_it_goes_out(design: str) -> None:
    with machine(design=design, **TEXT_ON_DEVICE) as m:
        p, region, _ = out(m, pages=4)
        p.touch(region)
        again = fill(p, region, first=9)
        assert slots(m) == 4
        m.reclaim()
        assert (slots(m), contents(p, region)) == (4, again)


@DESIGNS
def test_a_write_fault_frees_nothing_while_another_has_the_page(design: str) -> None:
    """Another page table maps the folio, or holds its entry: the writer gets a copy, and the slot stays."""
    for other_reads in (True, False):
        with machine(design=design, **TEXT_ON_DEVICE) as m:
            p, region, pages = out(m, pages=1)
            q = p.fork()
            if other_reads:
                q.touch(region)
            p.write(region.start, b"mine")
            assert slots(m) == 1
            assert contents(q, region) == pages
            assert p.read(region.start, 4) == b"mine"


@DESIGNS
def test_the_last_owner_to_write_frees_the_slot(design: str) -> None:
    with machine(design=design, **TEXT_ON_DEVICE) as m:
        p, region, _ = out(m, pages=1)
        q = p.fork()
        p.exit()
        q.write(region.start, b"mine")
        assert slots(m) == 0


@DESIGNS
def test_a_large_folio_that_its_only_owner_writes_frees_its_whole_run(design: str) -> None:
    with machine(design=design, **TEXT_ON_DEVICE) as m:
        p, region, _ = out(m, pages=4, order=2)
        p.touch(region)
        m.reclaim()
        before = slots(m)
        for i in range(4):
            p.touch(region.page(i), write=True)
        assert (before, slots(m)) == (4, 0)


# -- swap that runs short --------------------------------------------------------------------------------------------


@DESIGNS
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize(("taken", "left"), [(40, 40), (50, 49), (80, 60)])
def test_slots_are_given_up_at_the_fault_once_a_cgroup_has_used_half_of_its_swap(
    design: str, above: bool, taken: int, left: int
) -> None:
    """``mem_cgroup_swap_full``: half of memory.swap.max, here or above, is full, though the device is all but empty."""
    with machine(ram="16M", swap="32M", design=design, **TEXT_ON_DEVICE) as m:
        top = m.memcg("top", swap_max="400K" if above else None)
        group = m.memcg("group", swap_max=None if above else "400K", parent=top)
        p = m.spawn("app", memcg=group)
        region = p.mmap(taken * PAGE_SIZE)
        fill(p, region)
        m.reclaim()
        assert slots(m) == taken
        for i in range(20):
            p.touch(region.page(i))
        assert slots(m) == left  # 50 of 100 is full; the first fault leaves 49, and those that follow keep theirs
