"""swapoff where page tables hold physical slots: who is walked, how far, and what stops it."""

from __future__ import annotations

import pytest
from mmkit import contents, fill, machine, noise

from vswaplab import DeviceIOError, Interrupted, Machine, NoMemory
from vswaplab.backends.device import Fault
from vswaplab.backends.swapfile import SwapFile
from vswaplab.entry import PTE_ACCESSED, PTE_PRESENT, PTE_WRITE
from vswaplab.errors import InvariantError, Killed
from vswaplab.events import Event
from vswaplab.mm.process import Process, Region
from vswaplab.observe.words import describe
from vswaplab.protocols import SwapoffReport
from vswaplab.units import PAGE_SIZE

TABLE = 512
"""PTEs in a page table."""


def written(m: Machine, pages: int = 4, first: int = 0, name: str = "app") -> tuple[Process, Region, list[bytes]]:
    """A process that has written some pages, no two alike."""
    p = m.spawn(name)
    region = p.mmap(pages * PAGE_SIZE)
    return p, region, fill(p, region, first)


def device_of(m: Machine) -> SwapFile:
    return next(iter(m.devices))


def walked(m: Machine, who: Process) -> SwapoffReport:
    """What a walk through one process counts, for a device that holds none of its pages."""
    report = SwapoffReport(type=9)
    m.unuse_mm(who, 9, report)
    return report


def listed(m: Machine) -> list[str]:
    return [process.name for process in m.mmlist()]


# -- who is on the list ---------------------------------------------------------------------------------------------


def test_a_process_joins_the_list_at_its_first_swap_out_and_never_leaves_it() -> None:
    with machine(design="legacy") as m:
        p, region, _ = written(m)
        assert listed(m) == []
        m.reclaim(1)
        m.reclaim(1)
        assert listed(m) == ["app"]
        p.touch(region)
        p.munmap(region)
        assert listed(m) == ["app"]
        p.exit()
        assert listed(m) == []


def test_the_newest_member_comes_first_whichever_was_born_first() -> None:
    with machine(design="legacy") as m:
        names = ["one", "two", "three"]
        groups = {name: m.memcg(name) for name in names}
        for i, name in enumerate(names):
            p = m.spawn(name, memcg=groups[name])
            fill(p, p.mmap("4K"), i)
        for name in ("two", "three", "one"):
            m.reclaim(memcg=groups[name])
        assert listed(m) == ["one", "three", "two"]


def test_a_child_that_inherits_swap_entries_stands_right_behind_its_parent() -> None:
    with machine(design="legacy") as m:
        for name in ("old", "parent", "new"):
            written(m, name=name)
            m.reclaim()
        parent = next(p for p in m.processes.values() if p.name == "parent")
        child = parent.fork("child")
        parent.fork("second")
        assert listed(m) == ["new", "parent", "second", "child", "old"]
        child.exit()
        assert listed(m) == ["new", "parent", "second", "old"]


def test_a_child_that_inherits_no_swap_entry_is_not_listed() -> None:
    with machine(design="legacy") as m:
        p, region, _ = written(m)
        m.reclaim()
        p.touch(region)
        p.fork("child")
        assert listed(m) == ["app"]


def test_the_list_may_change_while_it_is_gone_through() -> None:
    with machine(design="legacy") as m:
        for name in ("c", "b", "a"):
            written(m, name=name)
            m.reclaim()
        seen = []
        for process in m.mmlist():
            seen.append(process.name)
            if process.name == "a":
                next(p for p in m.processes.values() if p.name == "b").exit()
                written(m, name="late")
                m.reclaim()
        assert seen == ["a", "c"]
        assert listed(m) == ["late", "a", "c"]


def test_a_failed_fork_leaves_no_child_on_the_list() -> None:
    with machine(design="legacy") as m:
        p, _, pages = written(m)
        m.reclaim()
        swap_map = m.swap.info[0].swap_map  # type: ignore[attr-defined]
        allowed = iter([True, True])
        real = swap_map.duplicate

        def duplicate(offset: int) -> int:
            if not next(allowed, False):
                raise NoMemory("No continuation page.")
            return int(real(offset))

        swap_map.duplicate = duplicate
        with pytest.raises(NoMemory):
            p.fork()
        del swap_map.duplicate
        assert listed(m) == ["app"]
        m.check()
        assert contents(p, p.mm.vmas[0]) == pages


# -- what is walked -------------------------------------------------------------------------------------------------


def test_a_region_that_was_only_read_is_skipped() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        read, wrote = p.mmap("16K"), p.mmap("32K")
        p.touch(read)
        assert walked(m, p).vmas_walked == 0
        p.touch(wrote)
        p.write(wrote.page(1).start, b"x")
        report = walked(m, p)
        assert (report.mms_walked, report.vmas_walked, report.ptes_visited) == (1, 1, 8)
        p.write(read.start, b"copy on write, of the zero page")
        assert (walked(m, p).vmas_walked, walked(m, p).ptes_visited) == (2, 12)


def test_a_child_inherits_which_regions_were_written() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        read, wrote = p.mmap("16K"), p.mmap("32K")
        p.touch(read)
        p.write(wrote.start, b"x")
        child = p.fork()
        assert walked(m, child).ptes_visited == 8
        child.write(read.start, b"x")
        assert (walked(m, child).ptes_visited, walked(m, p).ptes_visited) == (12, 8)


def test_what_munmap_leaves_of_a_region_is_still_walked() -> None:
    with machine(design="legacy") as m:
        p, region, _ = written(m, pages=9)
        p.munmap(region.page(4))
        report = walked(m, p)
        assert (report.vmas_walked, report.ptes_visited) == (2, 8)
        again = p.mmap(PAGE_SIZE)  # the hole: a new region, never written
        assert again == region.page(4)
        p.touch(again)
        assert walked(m, p).vmas_walked == 2


def test_a_region_without_tables_costs_the_root_only() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        region = p.mmap("32K")
        p.write(region.start, b"x")
        p.munmap(region.page(0))
        report = walked(m, p)
        assert (report.vmas_walked, report.tables_walked, report.ptes_visited) == (1, 1, 0)


def test_every_slot_of_a_table_within_the_region_is_visited_empty_ones_too() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        p.mmap(100 * PAGE_SIZE)  # so that the next one begins within a table
        region = p.mmap((2 * TABLE + 50) * PAGE_SIZE)
        p.write(region.page(0).start, b"x")
        report = walked(m, p)
        assert (report.ptes_visited, report.tables_walked) == (TABLE - 100, 4)
        p.write(region.page(-1).start, b"x")  # two tables further on; the one between does not exist
        report = walked(m, p)
        assert (report.ptes_visited, report.tables_walked) == (TABLE - 100 + 150, 5)
        p.touch(region.page(TABLE))
        report = walked(m, p)
        assert (report.ptes_visited, report.tables_walked) == (region.pages, 6)


def test_upper_tables_are_looked_into_once_for_each_region() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        for _ in range(3):
            p.write(p.mmap("16K").start, b"x")
        assert p.mm.page_table.nr_tables == 4
        assert walked(m, p).tables_walked == 3 * 4


def test_tables_are_counted_the_same_with_large_folios() -> None:
    """A swapped-in neighbourhood looks into the page table too, but that is no walk."""
    counts = []
    for order in (0, 2):
        with machine(design="legacy") as m:
            p = m.spawn("app")
            region = p.mmap("64K", order=order)
            pages = fill(p, region)
            m.reclaim()
            report = m.swapoff(device_of(m))
            counts.append((report.tables_walked, report.ptes_visited, report.ptes_rewritten, report.pages_read))
            assert contents(p, region) == pages
    assert counts == [(4, 16, 16, 16)] * 2


def test_a_process_that_never_swapped_is_not_walked_and_an_older_one_not_reached() -> None:
    """The walk goes from the newest member of the list and ends where the device is empty."""
    with machine(design="legacy") as m:
        older, region, _ = written(m, pages=5)
        m.reclaim()
        older.munmap(region)
        fill(older, older.mmap("20K"))
        group = m.memcg("owner")
        owner = m.spawn("owner", memcg=group)
        region = owner.mmap("12K")
        pages = fill(owner, region, first=50)
        m.reclaim(memcg=group)
        written(m, pages=7, first=90, name="bystander")
        assert listed(m) == ["owner", "app"]
        report = m.swapoff(device_of(m))
        assert (report.mms_walked, report.ptes_visited) == (1, 3)
        assert contents(owner, region) == pages


def test_a_newer_process_whose_pages_are_back_is_walked_in_vain() -> None:
    with machine(design="legacy") as m:
        owner, region, pages = written(m, pages=3)
        m.reclaim()
        newer, other, _ = written(m, pages=1, first=50)
        m.reclaim()
        newer.munmap(other)
        fill(newer, newer.mmap("20K"))
        report = m.swapoff(device_of(m))
        assert (report.mms_walked, report.ptes_visited, report.ptes_rewritten) == (2, 3 + 5, 3)
        assert contents(owner, region) == pages


# -- what becomes of a page -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("zswap", [None, {}])
def test_every_page_is_mapped_read_only_and_not_yet_accessed(zswap: dict[str, object] | None) -> None:
    with machine(design="legacy", zswap=zswap) as m:
        p, region, pages = written(m)
        m.reclaim()
        report = m.swapoff(device_of(m))
        flags = {pte & 0xFFF for pte in p.mm.page_table.get_range(region.vpn, 4).tolist()}
        assert flags == {PTE_PRESENT}
        assert not any(flag & (PTE_WRITE | PTE_ACCESSED) for flag in flags)
        assert (report.ptes_rewritten, report.pages_read) == (4, 4)
        m.check()
        assert contents(p, region) == pages
        p.write(region.start, b"mine")
        assert p.pte(region.start).writable


def test_a_page_shared_by_a_fork_is_read_once_and_rewritten_twice() -> None:
    with machine(design="legacy") as m:
        p, region, pages = written(m)
        m.reclaim()
        child = p.fork()
        report = m.swapoff(device_of(m))
        assert (report.pages_read, report.ptes_rewritten, report.mms_walked) == (4, 8, 2)
        assert p.pte(region.start).frame == child.pte(region.start).frame
        assert contents(p, region) == contents(child, region) == pages


def test_a_page_in_the_swap_cache_is_not_read_again() -> None:
    with machine(design="legacy", swap=None) as m:
        device = m.swapon(size="4M")
        p, region, pages = written(m, pages=8)
        m.reclaim()
        p.touch(region.page(0))  # reads its neighbours ahead, which nobody maps yet
        reads = device.device.reads
        present = p.mm.present_pages
        report = m.swapoff(device)
        assert report.ptes_rewritten == 8 - present
        assert report.pages_read == device.device.reads - reads < 8 - present
        assert contents(p, region) == pages


def test_pages_of_another_device_are_left_alone() -> None:
    with machine(design="legacy", swap=None) as m:
        first = m.swapon(size="16K", priority=2)  # a header and 3 slots
        second = m.swapon(size="4M", priority=1)
        p, region, pages = written(m, pages=8)
        m.reclaim()
        assert (first.inuse_pages, second.inuse_pages) == (3, 5)
        report = m.swapoff(first)
        assert (report.ptes_visited, report.ptes_rewritten, p.mm.swap_pages) == (8, 3, 5)
        assert contents(p, region) == pages


def test_each_rewritten_pte_is_in_the_trace_with_the_entry_it_held() -> None:
    with machine(design="legacy") as m:
        p, region, _ = written(m)
        m.reclaim()
        entries = [p.pte(region.page(i).start).entry for i in range(4)]
        assert m.trace is not None
        start = len(m.trace)
        m.swapoff(device_of(m))
        mapped = [record for record in m.trace[start:] if record.event is Event.PTE_MAP]
        assert [(record.pid, record.vpn, record.entry) for record in mapped] == [
            (p.pid, region.vpn + i, entries[i]) for i in range(4)
        ]
        assert not m.trace.step(len(m.trace) - 1).diff(m.snapshot().state)


def test_pages_are_charged_to_the_cgroup_that_they_were_swapped_out_of() -> None:
    with machine(design="legacy") as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("16K")
        pages = fill(p, region)
        m.reclaim()
        assert (app.nr_pages, app.swap_pages) == (0, 4)
        m.swapoff(device_of(m))
        assert (app.nr_pages, app.swap_pages) == (4, 0)
        assert contents(p, region) == pages


# -- what stops it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("polls", range(12))
def test_a_signal_at_any_point_leaves_everything_consistent(polls: int) -> None:
    with machine(design="legacy") as m:
        p, region, pages = written(m)
        m.reclaim()
        child = p.fork()
        left = [polls]

        def signal() -> bool:
            left[0] -= 1
            return left[0] < 0

        with pytest.raises(Interrupted, match="still on and complete, run it again"):
            m.swapoff(device_of(m), cancel=signal)
        m.check()
        assert len(list(m.devices)) == 1
        m.swapoff(device_of(m))
        assert contents(p, region) == contents(child, region) == pages


def test_a_signal_is_asked_for_at_each_table_and_each_page() -> None:
    with machine(design="legacy") as m:
        p = m.spawn("app")
        region = p.mmap(3 * TABLE * PAGE_SIZE)
        for i in range(3):
            p.write(region.page(i * TABLE).start, noise(i))
        m.reclaim()
        asked = [0]

        def signal() -> bool:
            asked[0] += 1
            return False

        m.swapoff(device_of(m), cancel=signal)
        assert asked[0] >= 3 + 3


def test_a_page_that_can_not_be_read_leaves_a_poison_marker_and_swapoff_goes_on() -> None:
    """unuse_pte: a folio that is not uptodate becomes a poisoned marker, in every PTE that held its entry [S14]."""
    with machine(design="legacy", page_cluster=0) as m:
        p, region, pages = written(m)
        m.reclaim()
        child = p.fork("child")
        si = device_of(m)
        si.device.inject(Fault("read", "EIO", nth=3))
        report = m.swapoff(si)
        m.check()
        assert (report.pages_lost, report.pages_read, report.ptes_rewritten, list(m.devices)) == (2, 3, 6, [])
        assert m.dmesg().count("Read-error") == 1
        for process in (p, child):
            assert (process.mm.present_pages, process.mm.swap_pages) == (3, 0)
            lost = [i for i in range(4) if process.pte(region.page(i).start).poisoned]
            assert lost == [2]
            for write in (False, True):
                with pytest.raises(DeviceIOError, match="could not be read from swap"):
                    process.touch(region.page(2), write=write)
            assert [process.read(region.page(i).start, PAGE_SIZE) for i in (0, 1, 3)] == [pages[i] for i in (0, 1, 3)]
        grandchild = child.fork("grandchild")  # the marker goes along
        assert grandchild.pte(region.page(2).start).poisoned
        grandchild.munmap(region.page(2))
        assert not grandchild.pte(region.page(2).start).poisoned
        state = m.snapshot().state
        assert not m.trace.step(len(m.trace) - 1).diff(state)
        said = [describe(record) for record in m.trace if record.kernel.function == "unuse_pte"]
        assert len(said) == 3
        assert "poison marker" in said[0]


def test_without_memory_swapoff_fails_and_succeeds_later() -> None:
    with machine(design="legacy", ram="64K") as m:
        p, region, pages = written(m, pages=12)
        q, _, _ = written(m, pages=12, first=50)
        assert m.reclaim() > 0
        with pytest.raises(Killed, match=r"swapoff was killed .* swapoff stopped: no page"):
            m.swapoff(device_of(m))
        m.check()
        q.exit()
        m.swapoff(device_of(m))
        assert contents(p, region) == pages


def test_swapoff_moves_pages_on_to_another_device_when_memory_is_short() -> None:
    with machine(design="legacy", ram="64K") as m:
        first = device_of(m)
        p, region, pages = written(m, pages=40)
        m.swapon(size="4M")
        report = m.swapoff(first)
        assert report.pages_read > 0
        assert contents(p, region) == pages


def test_a_process_may_exit_while_its_pages_are_looked_for() -> None:
    with machine(design="legacy") as m:
        p, _, _ = written(m)
        q, region, pages = written(m, pages=3, first=50)
        m.reclaim()
        polls = [0]

        def signal() -> bool:
            polls[0] += 1
            if polls[0] == 4 and p.alive:
                p.exit()
            return False

        m.swapoff(device_of(m), cancel=signal)
        m.check()
        assert contents(q, region) == pages


def test_check_names_a_process_with_swap_entries_that_is_not_listed() -> None:
    m = Machine(ram="1M", design="legacy", zswap=None)
    m.swapon(size="4M")
    p, _, _ = written(m)
    m.reclaim()
    m.check()
    p.mm.on_mmlist = False
    with pytest.raises(InvariantError) as caught:
        m.check()
    assert caught.value.invariant == "swapped-mm-is-listed"
