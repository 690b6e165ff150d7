"""Address spaces, first touch, fork and copy-on-write, with pages in memory and out."""

from __future__ import annotations

import numpy as np
import pytest
from mmkit import contents, fill, machine, noise

from vswaplab import InvalidArgument, Machine, NotFound
from vswaplab.errors import Busy
from vswaplab.mm.process import MMAP_BASE, TASK_SIZE
from vswaplab.units import PAGE_SIZE


def test_addresses_are_handed_out_from_the_base_up_and_used_again() -> None:
    with machine() as m:
        p = m.spawn("app")
        first, second = p.mmap("8K"), p.mmap(1)
        assert (first.start, first.pages) == (MMAP_BASE, 2)
        assert (second.start, second.length) == (first.end, PAGE_SIZE)
        p.munmap(first)
        assert p.mmap("8K").start == MMAP_BASE


@pytest.mark.parametrize("length", [0, TASK_SIZE, -1, "many", 1.5])
def test_lengths_that_cannot_be_meant_are_refused(length: object) -> None:
    with machine() as m, pytest.raises(InvalidArgument):
        m.spawn("app").mmap(length)  # type: ignore[arg-type]


def test_memory_outside_of_a_mapping_cannot_be_accessed() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        with pytest.raises(InvalidArgument, match="is not mapped"):
            p.read(region.end, 1)
        with pytest.raises(InvalidArgument, match="is not mapped"):
            p.write(region.end - 1, b"ab")
        for address in (-1, TASK_SIZE):
            with pytest.raises(InvalidArgument, match="outside"):
                p.read(address, 1)


def test_untouched_memory_reads_as_zeros_and_costs_nothing() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64M")
        p.touch(region.page(0))
        assert p.read(region.page(-1).start, 10) == bytes(10)
        pte = p.pte(region.start)
        assert (pte.present, pte.writable, pte.frame) == (True, False, m.zero_folio.pfn)
        assert (m.used_pages, m.root_memcg.nr_pages) == (0, 0)


def test_a_write_to_a_zero_page_gets_a_page_of_its_own() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        p.touch(region)
        p.write(region.start + 100, b"x")
        assert p.read(region.start, 102) == bytes(100) + b"x\0"
        assert (p.pte(region.start).dirty, m.used_pages) == (True, 1)
        assert not any(m.zero_folio.data)


def test_reads_and_writes_cross_pages() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        data = noise(1) + noise(2)
        p.write(region.start + 1000, data)
        assert p.read(region.start + 1000, len(data)) == data
        assert p.read(region.start, 0) == b""


def test_touch_takes_a_region_an_address_or_an_array() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        p.touch(region.start, write=True)
        p.touch(np.array([region.start + 5000, region.start + 9000]), write=True)
        assert p.mm.present_pages == m.used_pages == 3
        p.touch(region)
        assert (p.mm.present_pages, m.used_pages) == (4, 3)


def test_a_region_knows_its_pages() -> None:
    with machine() as m:
        region = m.spawn("app").mmap("12K")
        assert region.page(-1) == region.page(2)
        assert region.addresses().tolist() == [region.page(i).start for i in range(3)]
        assert region.start + 1 in region
        assert region.end not in region
        with pytest.raises(InvalidArgument, match="0 to 2"):
            region.page(3)


def test_munmap_of_a_part_splits_the_region_and_frees_its_pages_and_tables() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        pages = fill(p, region)
        p.munmap(region.page(1))
        assert [(vma.start - region.start, vma.pages) for vma in p.mm.vmas] == [(0, 1), (2 * PAGE_SIZE, 2)]
        assert (m.used_pages, p.mm.page_table.nr_tables) == (3, 4)
        assert p.read(region.page(2).start, PAGE_SIZE) == pages[2]
        with pytest.raises(InvalidArgument, match="not mapped"):
            p.read(region.page(1).start, 1)
        with pytest.raises(InvalidArgument, match="Nothing is mapped"):
            p.munmap(region.page(1))
        p.munmap(region.start, region.length)
        assert (p.mm.vmas, m.used_pages, p.mm.page_table.nr_tables) == ([], 0, 1)
        with pytest.raises(InvalidArgument, match="length"):
            p.munmap(region.start)
        with pytest.raises(InvalidArgument, match="multiple"):
            p.munmap(region.start + 1, 4096)


def test_exit_lets_go_of_pages_and_entries() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        fill(p, region)
        m.reclaim(pages=8)
        p.exit()
        assert (m.processes, m.used_pages, m.swap.used, m.devices.free_pages) == ({}, 0, 0, 1023)
        with pytest.raises(InvalidArgument, match="has exited"):
            p.read(region.start, 1)


def test_fork_shares_pages_until_one_side_writes() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        pages = fill(p, region)
        q = p.fork()
        assert (m.used_pages, q.parent, q.name) == (4, p.pid, "app")
        assert p.pte(region.start).frame == q.pte(region.start).frame
        assert not p.pte(region.start).writable
        q.write(region.start, b"child")
        assert m.used_pages == 5
        assert contents(p, region) == pages
        assert q.read(region.start, 5) == b"child"
        p.write(region.start, pages[0])  # nobody shares it any more: written in place
        assert m.used_pages == 5
        m.check()
        p.exit()
        assert contents(q, region)[1:] == pages[1:]
        assert m.used_pages == 4


def test_fork_shares_swap_entries_and_each_side_brings_in_its_own_copy_to_write() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("8K")
        pages = fill(p, region)
        m.reclaim()
        q = p.fork()
        entry = p.pte(region.start).entry
        assert entry == q.pte(region.start).entry
        assert m.swap.lookup(entry).swap_count == 2
        q.write(region.start, b"child")
        m.check()
        assert m.swap.lookup(entry).swap_count == 1
        assert contents(p, region) == pages
        assert q.read(region.start, PAGE_SIZE) == b"child" + pages[0][5:]
        p.exit()
        q.exit()
        assert m.swap.used == 0


def test_a_shared_page_goes_out_once_and_both_see_it_again() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        pages = fill(p, region)
        q = p.fork()
        assert m.reclaim() == 4
        assert (m.used_pages, m.swap.used) == (0, 4)
        assert contents(q, region) == contents(p, region) == pages
        assert m.used_pages == 4


def test_a_write_copies_while_another_process_holds_the_page_as_an_entry() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        (page,) = fill(p, region)
        q = p.fork()
        m.reclaim()
        p.touch(region)  # in the swap cache, mapped by p; q still holds the entry
        p.write(region.start, b"mine")
        assert q.read(region.start, PAGE_SIZE) == page
        assert p.read(region.start, PAGE_SIZE) == b"mine" + page[4:]


def test_a_fork_that_fails_leaves_no_child_and_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("32K")
        pages = fill(p, region)
        m.reclaim()
        p.touch(np.array([region.page(i).start for i in (0, 3, 5)]))
        duplicate, calls = m.swap.swap_duplicate_nr, []

        def fail_late(entry: int, nr: int) -> None:
            calls.append(nr)
            if len(calls) == 3:
                raise NotFound("Swap entry is gone.")
            duplicate(entry, nr)

        monkeypatch.setattr(m.swap, "swap_duplicate_nr", fail_late)
        with pytest.raises(NotFound):
            p.fork()
        monkeypatch.undo()
        assert list(m.processes) == [p.pid]
        m.check()
        assert contents(p, region) == pages
        fill(p, region, first=100)


def test_a_cpu_that_goes_offline_gives_its_caches_back_and_its_processes_move() -> None:
    with machine(cpus=2) as m:
        p = m.spawn("app", cpu=1)
        region = p.mmap("16K")
        pages = fill(p, region)
        m._run_on(1)
        m.reclaim()
        m.cpu_offline(1)
        assert (p.cpu, m.online_cpus) == (0, [0])
        m.check()
        assert contents(p, region) == pages
        with pytest.raises(Busy):
            m.cpu_offline(0)
        with pytest.raises(InvalidArgument):
            m.spawn("late", cpu=1)
        m.cpu_online(1)
        assert m.spawn("late", cpu=1).cpu == 1
        with pytest.raises(InvalidArgument):
            m.cpu_online(1)
        with pytest.raises(InvalidArgument):
            m.cpu_offline(7)


def test_a_closed_machine_says_so() -> None:
    m = Machine(ram="1M")
    p = m.spawn("app")
    m.close()
    m.close()
    with pytest.raises(InvalidArgument, match="closed"):
        p.mmap("4K")


@pytest.mark.parametrize(
    "options", [{"design": "quantum"}, {"ram": "4K"}, {"cpus": 0}, {"zswap": {"speed": 9}}, {"page_cluster": 10}]
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        Machine(**options)  # type: ignore[arg-type]


def test_the_same_calls_have_the_same_effects() -> None:
    def run() -> tuple[str, list[tuple[int, ...]]]:
        with machine(ram="128K") as m:
            p = m.spawn("app")
            region = p.mmap("256K")
            fill(p, region)
            q = p.fork()
            fill(q, region, first=500)
            m.reclaim(pages=5)
            ptes = [(pid, vpn, pte) for pid, each in m.processes.items() for vpn, pte in each.mm.page_table.walk()]
            return m.root_memcg.file("memory.stat"), ptes

    assert run() == run()
