"""Reclaim: who goes first, who gets a second chance, limits, and out of memory."""

from __future__ import annotations

import numpy as np
import pytest
from mmkit import contents, fill, machine, noise, text

from vswaplab import Machine, NoMemory
from vswaplab.entry import Backing
from vswaplab.errors import Busy
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE


def resident(process: Process, region: Region) -> list[int]:
    return [i for i in range(region.pages) if process.pte(region.page(i).start).present]


def clear_references(m: Machine) -> None:
    """Let every page look untouched, as if reclaim had passed by once."""
    for process in m.processes.values():
        for vpn, pte in list(process.mm.page_table.walk()):
            process.mm.page_table.set(vpn, pte & ~(1 << 5) if pte & 1 else pte)


def test_pages_go_out_in_the_order_they_were_written() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("256K")
        pages = fill(p, region)
        assert m.reclaim() == region.pages
        entries = [p.pte(region.page(i).start).entry for i in range(region.pages)]
        assert entries == list(range(1, 65))
        slots = [m.swap.lookup(entry).slot.offset for entry in entries]
        assert slots == list(range(1, 65))
        assert contents(p, region) == pages


def test_reclaim_of_a_number_frees_that_many_oldest_first() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        fill(p, region)
        assert m.reclaim(pages=5) == 5
        assert resident(p, region) == list(range(5, 16))
        assert m.reclaim(pages=100) == 11
        assert m.reclaim(pages=1) == 0


def test_a_page_that_was_used_again_gets_a_second_chance() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        fill(p, region)
        clear_references(m)
        p.touch(np.array([region.page(i).start for i in (0, 2)]))
        assert m.reclaim(pages=10) == 10
        assert resident(p, region) == [0, 2, 12, 13, 14, 15]


def test_a_page_that_is_used_between_two_looks_becomes_active() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        fill(p, region)
        hot = region.page(0)
        seen = []
        for pages in (2, 7):  # the second time far enough to come past the page again
            fill(p, p.mmap("16K"))
            clear_references(m)
            p.touch(hot)
            m.reclaim(pages=pages)
            folio = m.frames[p.pte(hot.start).frame or 0]
            seen.append((folio.referenced, folio.active))
        assert seen == [(True, False), (True, True)]
        assert m.root_memcg.stat("active_anon") == PAGE_SIZE
        assert m.root_memcg.stat("pgactivate") == 1


def test_reclaim_of_all_takes_active_pages_too() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = fill(p, region)
        q = p.fork()  # both have accessed it: referenced through two PTEs, hence active at the first look
        q.touch(region)
        assert m.reclaim() == 16
        assert m.root_memcg.stat("pgactivate") == 16
        assert (m.used_pages, p.mm.swap_pages, q.mm.swap_pages) == (0, 16, 16)
        assert contents(p, region) == pages


def test_memory_pressure_swaps_out_and_every_byte_comes_back() -> None:
    with machine(ram="128K") as m:
        p = m.spawn("app")
        region = p.mmap("1M")
        pages = fill(p, region)
        assert m.used_pages <= 32
        assert contents(p, region) == pages
        assert m.used_pages <= 32
        m.check()


def test_a_page_that_comes_back_soon_is_activated_by_its_shadow() -> None:
    with machine(page_cluster=0) as m:
        p = m.spawn("app")
        hot, cold = p.mmap("64K"), p.mmap("128K")
        fill(p, hot)
        for folio in m.frames.values():
            if folio.on_lru:
                m.root_memcg.lruvec.remove(folio)
                folio.active = True
                m.root_memcg.lruvec.add(folio)
        fill(p, cold)
        clear_references(m)
        m.reclaim(pages=4)  # takes the four oldest inactive pages; 16 are active
        assert resident(p, cold) == list(range(4, 32))
        p.touch(cold.page(0))
        assert m.frames[p.pte(cold.start).frame or 0].active
        assert m.root_memcg.stat("workingset_refault_anon") == 1
        assert m.root_memcg.stat("workingset_activate_anon") == 1


def test_a_page_that_was_away_for_long_is_not_activated() -> None:
    with machine(page_cluster=0) as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        fill(p, region)
        m.reclaim()  # 16 evictions, and nothing is active
        p.touch(region.page(0))
        assert not m.frames[p.pte(region.start).frame or 0].active
        assert m.root_memcg.stat("workingset_refault_anon") == 1
        assert m.root_memcg.stat("workingset_activate_anon") == 0


@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize(("since", "activated"), [(192, 4), (4096, 0)])
def test_every_page_that_comes_back_is_a_refault_and_only_a_short_distance_activates_it(
    design: str, since: int, activated: int
) -> None:
    """Four pages return after little and after much has gone out; the active list is of tools that two use [S47]."""
    with machine(design=design, ram="64M", swap="32M", page_cluster=0, zswap=None) as m:
        group = m.memcg("group", max="1M")
        boss = m.spawn("boss", memcg=group)
        tools = boss.mmap("512K")
        fill(boss, tools)
        mate = boss.fork("mate")
        work = boss.mmap((512 + 4 + since) * PAGE_SIZE)
        for i, address in enumerate(work.addresses()):
            if i % 16 == 0:
                boss.touch(tools)
                mate.touch(tools)
            boss.write(address, text(i))
        four = list(work.addresses())[512:516]
        assert not any(boss.pte(address).present for address in four)
        before = [group.stat(f"workingset_{what}_anon") for what in ("refault", "activate")]
        boss.touch(four)
        after = [group.stat(f"workingset_{what}_anon") for what in ("refault", "activate")]
        assert [now - then for now, then in zip(after, before, strict=True)] == [4, activated]


def test_a_working_set_page_is_restored_when_it_refaults() -> None:
    with machine(page_cluster=0) as m:
        p = m.spawn("app")
        others, region = p.mmap("64K"), p.mmap("4K")
        fill(p, others)
        fill(p, region)
        folio = m.frames[p.pte(region.start).frame or 0]
        m.root_memcg.lruvec.remove(folio)
        folio.active = True
        m.root_memcg.lruvec.add(folio)
        m._shrink_active(m.root_memcg.lruvec, 1)
        assert folio.workingset
        m.reclaim()
        m.root_memcg.lruvec.nr_active += 100  # as if so much were active
        p.touch(region)
        m.root_memcg.lruvec.nr_active -= 100
        assert m.root_memcg.stat("workingset_restore_anon") == 1
        assert m.frames[p.pte(region.start).frame or 0].workingset


def test_a_cgroup_at_its_limit_reclaims_its_own_pages_only() -> None:
    with machine() as m:
        app = m.memcg("app", max="64K")
        p, q = m.spawn("app", memcg=app), m.spawn("other")
        mine, theirs = p.mmap("256K"), q.mmap("128K")
        others = fill(q, theirs)
        pages = fill(p, mine)
        assert app.usage_pages <= 16
        assert app.file("memory.current") == f"{app.usage_pages * PAGE_SIZE}\n"
        assert resident(q, theirs) == list(range(32))
        assert int(app.file("memory.events").split("max ")[1].split()[0]) > 0
        assert contents(p, mine) == pages
        assert contents(q, theirs) == others
        assert app.file("memory.swap.current") == f"{app.swap_pages * PAGE_SIZE}\n"


def test_a_limit_above_reclaims_from_the_whole_subtree_in_turns() -> None:
    with machine() as m:
        top = m.memcg("top", max="128K")
        left, right = m.memcg("left", parent=top), m.memcg("right", parent=top)
        p, q = m.spawn("p", memcg=left), m.spawn("q", memcg=right)
        ours, theirs = p.mmap("96K"), q.mmap("512K")
        pages = fill(p, ours)
        fill(q, theirs)
        assert top.usage_pages <= 32
        assert left.swap_pages > 0
        assert right.swap_pages > 0
        assert contents(p, ours) == pages


def test_reclaim_of_a_cgroup_leaves_the_others_alone() -> None:
    with machine() as m:
        app = m.memcg("app")
        p, q = m.spawn("app", memcg=app), m.spawn("other")
        mine, theirs = p.mmap("32K"), q.mmap("32K")
        fill(p, mine)
        fill(q, theirs)
        assert m.reclaim(memcg=app) == 8
        assert (p.mm.present_pages, q.mm.present_pages) == (0, 8)


def test_a_swapped_page_is_charged_to_the_cgroup_it_came_from() -> None:
    with machine(page_cluster=0) as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("8K")
        fill(p, region)
        q = p.fork()
        q.memcg = m.memcg("elsewhere")
        m.reclaim()
        q.touch(region.page(0))
        assert app.nr_pages == 1
        p.exit()
        m.rmdir(app)
        q.touch(region.page(1))  # its cgroup is gone: whoever faults pays
        assert q.memcg.nr_pages == 1
        m.check()
        q.exit()
        assert m.memcgs.get(app.id) is None


def test_a_cgroup_with_processes_cannot_be_removed() -> None:
    with machine() as m:
        app = m.memcg("app")
        m.spawn("app", memcg=app)
        with pytest.raises(Busy, match=r"\[1\]"):
            m.rmdir(app)


def test_a_removed_cgroups_pages_pass_to_its_parent() -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("8K")
        fill(p, region)
        p.fork().memcg = m.root_memcg
        p.exit()
        m.rmdir(app)
        m.check()
        assert (app.nr_pages, m.root_memcg.nr_pages) == (0, 2)


def test_without_swap_the_machine_runs_out_of_memory_with_a_clear_error() -> None:
    with machine(swap=None, ram="64K") as m:
        p = m.spawn("app")
        region = p.mmap("128K")
        with pytest.raises(
            NoMemory, match=r"Out of memory: 1 more page for the machine, 16 pages of 64K in use.*swap on"
        ):
            fill(p, region)
        m.check()
        assert m.used_pages == 16
        assert p.read(region.page(15).start, PAGE_SIZE) == noise(15)
        m.swapon(size="1M")
        pages = fill(p, region)
        assert contents(p, region) == pages


def test_when_swap_is_full_too_the_error_says_so_and_nothing_is_lost() -> None:
    with machine(swap="68K", ram="64K") as m:  # 16 slots
        p = m.spawn("app")
        region = p.mmap("256K")
        with pytest.raises(NoMemory, match="no free swap slot"):
            fill(p, region)
        written = p.mm.present_pages + p.mm.swap_pages
        assert written == 32
        m.check()
        p.munmap(region.page(written - 1))
        for i in range(written - 1):
            assert p.read(region.page(i).start, PAGE_SIZE) == noise(i)


def test_a_cgroup_that_can_neither_grow_nor_swap_runs_out_of_memory() -> None:
    with machine() as m:
        app = m.memcg("app", max="64K", swap_max=0)
        p = m.spawn("app", memcg=app)
        region = p.mmap("128K")
        with pytest.raises(NoMemory, match=r"memory cgroup /app.*memory\.swap\.max"):
            fill(p, region)
        assert "oom 1\n" in app.file("memory.events")
        m.check()
        assert p.read(region.page(15).start, PAGE_SIZE) == noise(15)
        app.swap_max = None
        fill(p, region)


def test_a_refused_folio_stays_in_memory_dirty_active_and_in_the_swap_cache() -> None:
    with machine() as m:
        app = m.memcg("app", swap_max=0)
        p = m.spawn("app", memcg=app)
        region = p.mmap("4K")
        (page,) = fill(p, region)
        assert m.reclaim() == 0
        entry = p.pte(region.start).entry
        descriptor = m.swap.lookup(entry)
        assert (descriptor.type, descriptor.in_swapcache, descriptor.swap_count) == (Backing.FOLIO, True, 1)
        assert (descriptor.swap_cache.dirty, descriptor.swap_cache.active) == (True, True)
        faults = m.root_memcg.stat("pgmajfault")
        assert p.read(region.start, PAGE_SIZE) == page
        assert m.root_memcg.stat("pgmajfault") == faults
        assert m.swap.used == 0


def test_a_fork_out_of_memory_copy_fails_clearly_and_leaves_both_sides_whole() -> None:
    with machine(swap=None, ram="64K") as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = fill(p, region)
        q = p.fork()
        with pytest.raises(NoMemory):
            q.write(region.start, b"no")
        m.check()
        assert contents(p, region) == contents(q, region) == pages


def test_a_fault_that_finds_no_memory_leaves_the_entry_as_it_was() -> None:
    with machine(ram="64K") as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = fill(p, region)
        m.reclaim()
        hog = m.memcg("hog", swap_max=0)
        q = m.spawn("hog", memcg=hog)
        fill(q, q.mmap("64K"))
        with pytest.raises(NoMemory):
            p.read(region.start, 1)
        m.check()
        q.exit()
        assert contents(p, region) == pages


def test_asking_for_one_page_gets_one_although_it_was_just_written() -> None:
    machine = Machine(ram="1M")
    process = machine.spawn("app")
    region = process.mmap("4K")
    process.write(region.start, b"fresh")
    assert machine.reclaim(pages=1) == 1
    assert process.read(region.start, 5) == b"fresh"
