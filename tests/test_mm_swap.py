"""Swap-in, its errors, readahead, large folios, devices that come and go."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from mmkit import contents, fill, machine, noise

from vswaplab import DeviceIOError, Interrupted, InvalidArgument, Machine, NotFound
from vswaplab.backends.device import Fault, MemoryDevice
from vswaplab.entry import Backing
from vswaplab.errors import Busy, Killed
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE


def out(m: Machine, pages: int = 16, order: int = 0) -> tuple[Process, Region, list[bytes]]:
    """A process whose pages were all swapped out."""
    p = m.spawn("app")
    region = p.mmap(pages * PAGE_SIZE, order=order)
    written = fill(p, region)
    assert m.reclaim() == pages
    return p, region, written


# -- swap-in --------------------------------------------------------------------------------------------------------


def test_a_read_fault_keeps_the_slot_so_that_a_clean_page_goes_out_without_io() -> None:
    with machine() as m:
        p, region, pages = out(m)
        device = next(iter(m.devices)).device
        p.touch(region)
        assert (m.swap.used, next(iter(m.devices)).inuse_pages) == (16, 16)
        writes = device.writes
        assert m.reclaim() == 16
        assert device.writes == writes
        assert contents(p, region) == pages


def test_a_kept_page_that_is_written_after_it_was_read_goes_to_the_same_slot_again() -> None:
    with machine() as m:
        p, region, _ = out(m, pages=4)
        slots = [m.swap.lookup(p.pte(region.page(i).start).entry).slot for i in range(4)]
        p.touch(region)
        again = fill(p, region, first=50)
        m.check()
        assert m.reclaim() == 4
        assert [m.swap.lookup(p.pte(region.page(i).start).entry).slot for i in range(4)] == slots
        assert contents(p, region) == again


def test_swap_is_freed_at_swap_in_when_devices_are_more_than_half_full() -> None:
    with machine(swap="68K") as m:  # 16 slots
        p, region, _ = out(m, pages=12)
        si = next(iter(m.devices))
        assert si.inuse_pages == 12
        p.touch(region.page(0))
        assert si.inuse_pages == 11
        assert m.frames[p.pte(region.start).frame or 0].dirty


def test_a_zero_page_goes_out_and_comes_back_without_any_backend() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        p.touch(region, write=True)
        assert m.reclaim() == 1
        entry = p.pte(region.start).entry
        assert m.swap.lookup(entry).type is Backing.ZERO
        assert p.read(region.start, PAGE_SIZE) == bytes(PAGE_SIZE)
        assert (m.swap.used, m.devices.free_pages) == (0, 1023)
        assert m.root_memcg.stat("swpin_zero") == m.root_memcg.stat("swpout_zero") == 1


def test_a_page_of_zeros_is_found_again_and_its_entry_stays_while_somebody_holds_it() -> None:
    """The last who reads it ends the entry, and the page counts as zeros again when it goes out again [S13]."""
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        p.touch(region, write=True)
        m.reclaim()
        entry = p.pte(region.start).entry
        q = p.fork("child")
        p.touch(region)
        assert m.swap.lookup(entry).type is Backing.ZERO
        q.touch(region)
        assert m.swap.used == 0
        m.reclaim()
        assert m.root_memcg.stat("swpout_zero") == 2
        assert {m.swap.lookup(each.pte(region.start).entry).type for each in (p, q)} == {Backing.ZERO}


def test_faults_are_major_only_when_the_page_is_read_in() -> None:
    with machine() as m:
        p, region, _ = out(m, pages=1)
        q = p.fork()
        before = m.root_memcg.events.copy()
        p.touch(region)
        q.touch(region)  # finds it in the swap cache
        assert m.root_memcg.stat("pgfault") - before["pgfault"] == 2
        assert m.root_memcg.stat("pgmajfault") - before["pgmajfault"] == 1


@pytest.mark.parametrize("error", ["EIO", "short"])
def test_a_read_error_reaches_the_reader_and_loses_nothing(error: str) -> None:
    with machine(page_cluster=0) as m:
        p, region, pages = out(m)
        device = next(iter(m.devices)).device
        device.inject(Fault("read", error))  # type: ignore[arg-type]
        before = p.pte(region.start)
        with pytest.raises(DeviceIOError) as caught:
            p.read(region.start, 1)
        assert caught.value.errno == errno.EIO
        assert p.pte(region.start) == before
        assert (m.used_pages, m.swap.lookup(before.entry).in_swapcache) == (1, True)
        m.check()
        assert m.reclaim() == 1
        assert contents(p, region) == pages


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "short"])
def test_a_write_error_keeps_the_page_in_memory_until_a_later_try(error: str) -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("16K")
        pages = fill(p, region)
        next(iter(m.devices)).device.inject(Fault("write", error, nth=2))  # type: ignore[arg-type]
        assert m.reclaim() == 3
        m.check()
        assert (m.used_pages, m.swap.write_errors) == (1, 1)
        assert m.reclaim() == 1
        assert contents(p, region) == pages


# -- readahead ------------------------------------------------------------------------------------------------------


def test_readahead_brings_in_the_window_of_neighbours_on_the_device() -> None:
    with machine(swap=None) as m:
        m.swapon(size="4M")
        p, region, pages = out(m, pages=32)  # slots 1 to 32: the first window is slots 1 to 7
        p.touch(region.page(2))
        assert (m.root_memcg.stat("swap_ra"), m.used_pages) == (6, 7)
        assert p.mm.present_pages == 1
        faults = m.root_memcg.stat("pgmajfault")
        assert contents(p, region)[:7] == pages[:7]
        assert m.root_memcg.stat("pgmajfault") - faults == 4  # pages 7 to 31: one for each window of 8
        assert m.root_memcg.stat("swap_ra_hit") >= 6


def test_readahead_folios_wait_in_the_swap_cache_and_are_dropped_without_io() -> None:
    with machine(swap=None) as m:
        si = m.swapon(size="4M")
        p, region, pages = out(m, pages=8)
        p.touch(region.page(0))
        m.check()
        writes = si.device.writes
        assert m.reclaim() == 7
        assert si.device.writes == writes
        assert contents(p, region) == pages


def test_there_is_no_readahead_past_the_swap_cache_nor_with_page_cluster_0() -> None:
    with machine(swap=None) as m:
        m.swapon(size="4M", synchronous=True)
        p, region, _ = out(m)
        p.touch(region.page(0))
        assert m.used_pages == 1
    with machine(page_cluster=0) as m:
        p, region, _ = out(m)
        p.touch(region.page(0))
        assert m.used_pages == 1


def test_readahead_takes_free_memory_only() -> None:
    with machine(swap=None) as m:
        m.swapon(size="4M")
        app = m.memcg("app", max="12K")
        p = m.spawn("app", memcg=app)
        region = p.mmap("32K")
        pages = fill(p, region)
        m.reclaim()
        p.touch(region.page(0))
        assert app.usage_pages == 3
        assert app.stat("pgscan") == m.root_memcg.stat("pgscan")
        assert contents(p, region) == pages


def test_a_failed_readahead_is_nobodys_business() -> None:
    with machine(swap=None) as m:
        si = m.swapon(size="4M")
        p, region, pages = out(m, pages=8)
        si.device.inject(Fault("read", page=3, times=1))
        p.touch(region.page(0))
        m.check()
        m.reclaim()
        assert contents(p, region) == pages


# -- large folios ---------------------------------------------------------------------------------------------------


def test_a_write_fault_gets_a_folio_of_the_regions_order_where_one_fits() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("80K", order=3)  # two folios of 8 pages, and 4 pages that are too few
        assert region.start % (8 * PAGE_SIZE) == 0
        p.write(region.page(3).start, b"x")
        assert (m.used_pages, p.mm.present_pages) == (8, 8)
        p.touch(region.page(8))  # the zero page: the range is not empty any more
        p.write(region.page(9).start, b"y")
        p.write(region.page(-1).start, b"z")
        assert sorted(folio.order for folio in set(m.frames.values())) == [0, 0, 0, 3]


def test_a_large_folio_goes_to_one_run_and_comes_back_as_one_folio_from_a_synchronous_device() -> None:
    """Only what is read past the swap cache is read as one: ``alloc_swap_folio`` has no other caller [S13]."""
    with machine(swap=None) as m:
        si = m.swapon(size="4M", synchronous=True)
        p, region, pages = out(m, pages=16, order=4)
        assert si.device.writes == 1
        entries = [p.pte(region.page(i).start).entry for i in range(16)]
        assert entries == list(range(entries[0], entries[0] + 16))
        assert m.swap.lookup(entries[0]).type is Backing.SWAPFILE
        p.touch(region.page(5))
        assert (p.mm.present_pages, si.device.reads, si.inuse_pages) == (16, 1, 0)
        assert contents(p, region) == pages
        m.check()
        assert m.reclaim() == 16
        assert si.device.writes == 2  # no slot was kept, so nothing is clean


@pytest.mark.parametrize(
    ("design", "synchronous", "order"), [("legacy", True, 4), ("legacy", False, 0), ("virtual", True, 0)]
)
def test_a_large_folio_of_zeros_comes_back_as_one_only_past_the_swap_cache(
    design: str, synchronous: bool, order: int
) -> None:
    """In legacy zeros hold slots of a device, which may be synchronous; virtual ones are on no device at all [S13]."""
    with machine(swap=None, design=design, page_cluster=0) as m:
        m.swapon(size="4M", synchronous=synchronous)
        p = m.spawn("app")
        region = p.mmap("64K", order=4)
        p.touch(region, write=True)
        m.reclaim()
        p.touch(region.page(0))
        assert p.mm.present_pages == 1 << order
        assert {folio.order for folio in m.frames.values() if folio is not m.zero_folio} == {order}


def test_a_large_folio_on_a_slow_device_comes_back_page_by_page() -> None:
    with machine(swap=None, page_cluster=0) as m:
        m.swapon(size="4M")
        p, region, pages = out(m, pages=16, order=4)
        p.touch(region.page(5))
        assert p.mm.present_pages == 1
        assert contents(p, region) == pages


@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize("order", [4, 9])
def test_a_large_folio_without_a_run_is_split_in_legacy_and_stays_in_memory_in_virtual(design: str, order: int) -> None:
    """Legacy splits when folio_alloc_swap finds no run; v6 finds out later, and makes it dirty and active [S13 S50]."""
    pages_there = 2 << order  # slots enough, but slot 0 is the header's and every other slot is taken
    with machine(swap=None, design=design, ram="16M", page_cluster=0) as m:
        m.swapon(size=2 * pages_there * PAGE_SIZE)
        small, singles, _ = out(m, pages=2 * pages_there - 1)
        for i in range(0, singles.pages, 2):
            small.munmap(singles.page(i))
        p = m.spawn("large")
        region = p.mmap(PAGE_SIZE << order, order)
        pages = fill(p, region)
        freed = m.reclaim()
        large = [folio for folio in m.frames.values() if folio.order == order]
        if design == "legacy":
            assert (freed, large, m.root_memcg.stat("thp_swpout_fallback")) == (1 << order, [], order == 9)
        else:
            assert (freed, len(large), m.root_memcg.stat("thp_swpout_fallback")) == (0, 1 << order, 0)
            assert (large[0].active, large[0].dirty, large[0].in_swapcache) == (True, True, True)
            assert {m.swap.lookup(large[0].swap + i).type for i in range(1 << order)} == {Backing.FOLIO}
        m.check()
        assert contents(p, region) == pages


def test_copy_on_write_of_a_large_folio_copies_one_page() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K", order=4)
        pages = fill(p, region)
        q = p.fork()
        q.write(region.page(3).start, b"mine")
        assert m.used_pages == 17
        m.check()
        assert contents(p, region) == pages
        assert q.read(region.page(3).start, PAGE_SIZE) == b"mine" + pages[3][4:]
        p.munmap(region.page(3))
        m.check()
        assert m.reclaim() == 17
        assert contents(q, region)[4:] == pages[4:]


def test_a_large_folio_that_was_unmapped_in_part_goes_out_and_comes_back() -> None:
    with machine() as m:
        p = m.spawn("app")
        region = p.mmap("64K", order=4)
        pages = fill(p, region)
        for i in (0, 7, 15):
            p.munmap(region.page(i))
        m.check()
        m.reclaim()
        m.check()
        for i in set(range(16)) - {0, 7, 15}:
            assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]


def test_a_large_allocation_falls_back_to_a_page_when_memory_is_short() -> None:
    with machine(swap=None, ram="48K") as m:
        p = m.spawn("app")
        region = p.mmap("64K", order=4)
        p.write(region.start, b"x")
        assert m.used_pages == 1


@pytest.mark.parametrize("order", [10, -1, True, 1.0])
def test_orders_that_cannot_be_meant_are_refused(order: int) -> None:
    with machine() as m, pytest.raises(InvalidArgument, match="0 to 9"):
        m.spawn("app").mmap("4M", order=order)


# -- devices --------------------------------------------------------------------------------------------------------


def test_swapon_of_a_file_swaps_to_it_and_swapoff_brings_everything_back(tmp_path: Path) -> None:
    with machine(swap=None) as m:
        path = tmp_path / "swap.img"
        dev = m.swapon(path, size="1M", priority=5)
        assert (dev.type, dev.prio, path.stat().st_size) == (0, 5, 1 << 20)
        p, region, pages = out(m)
        entries = [p.pte(region.page(i).start).entry for i in range(16)]
        report = m.swapoff(path)
        assert (report.ptes_visited, report.pages_read, len(m.devices)) == (0, 16, 0)
        assert [p.pte(region.page(i).start).entry for i in range(16)] == entries  # no PTE was touched
        m.check()
        assert contents(p, region) == pages
        assert path.exists()


def test_swapoff_moves_pages_on_to_another_device_when_memory_is_short() -> None:
    with machine(ram="64K") as m:
        p, region, pages = out(m)
        first = next(iter(m.devices))
        q = m.spawn("hog")
        rest = q.mmap("48K")
        held = fill(q, rest)
        second = m.swapon(size="4M", priority=0)
        m.swapoff(first)
        m.check()
        assert second.inuse_pages > 0
        assert contents(p, region) == pages
        assert contents(q, rest) == held


def test_swapoff_without_memory_fails_whole_and_succeeds_later() -> None:
    with machine(swap="132K", ram="64K") as m:
        p = m.spawn("app")
        region = p.mmap("128K")
        pages = fill(p, region)
        dev = next(iter(m.devices))
        prio, used = dev.prio, dev.inuse_pages
        assert used >= 16
        with pytest.raises(Killed, match="swapoff stopped"):
            m.swapoff(dev)
        m.check()
        assert (list(m.devices), dev.prio, dev.writeok) == ([dev], prio, True)
        assert contents(p, region) == pages
        p.munmap(region.page(0).start, 20 * PAGE_SIZE)
        m.swapoff(dev)
        m.check()
        assert [p.read(region.page(i).start, PAGE_SIZE) for i in range(20, 32)] == pages[20:]


def test_a_signal_interrupts_swapoff_and_it_can_be_run_again() -> None:
    with machine() as m:
        p, region, pages = out(m)
        dev = next(iter(m.devices))
        asked = iter([False] * 5 + [True])
        with pytest.raises(Interrupted):
            m.swapoff(dev, cancel=lambda: next(asked))
        assert m.cancel is None
        m.check()
        assert dev.writeok
        m.cancel = lambda: True
        with pytest.raises(Interrupted):
            m.swapoff(dev)
        m.cancel = None
        m.swapoff(dev)
        assert contents(p, region) == pages


def test_swapon_refuses_what_cannot_be_meant_and_a_device_twice(tmp_path: Path) -> None:
    with machine(swap=None) as m:
        with pytest.raises(InvalidArgument, match="size"):
            m.swapon()
        with pytest.raises(InvalidArgument, match="size already"):
            m.swapon(MemoryDevice("1M"), size="1M")
        with pytest.raises(NotFound):
            m.swapoff("nowhere.img")
        dev = m.swapon(tmp_path / "a.img", size="1M")
        with pytest.raises(Busy):
            m.swapon(tmp_path / "a.img", size="1M")
        m.swapoff(dev)
        with pytest.raises(InvalidArgument, match="not swapped on"):
            m.swapoff(dev)
        m.swapoff(m.swapon(tmp_path / "a.img", size="1M"))


def test_swapon_that_is_refused_leaves_the_file_unlocked(tmp_path: Path) -> None:
    with machine(swap=None) as m:
        with pytest.raises(InvalidArgument, match="Priority"):
            m.swapon(tmp_path / "a.img", size="1M", priority=-7)
        m.swapon(tmp_path / "a.img", size="1M")


def test_pagein_of_an_entry_that_is_gone_returns_nothing() -> None:
    with machine() as m:
        p, region, pages = out(m, pages=1)
        entry = p.pte(region.start).entry
        folio = m.pagein(entry)
        assert folio is not None
        assert folio.data == pages[0]
        assert m.pagein(entry) is folio
        p.exit()
        with pytest.raises(NotFound):
            m.swap.lookup(entry)
        assert m.pagein(entry) is None


def test_pages_survive_a_long_mixed_run(tmp_path: Path) -> None:
    with machine(swap=None, ram="128K") as m:
        m.swapon(tmp_path / "swap.img", size="4M")  # the first cluster has the header in it: no large folio fits there
        p = m.spawn("app")
        region = p.mmap("512K", order=2)
        pages = fill(p, region)
        q = p.fork()
        for i in range(0, region.pages, 3):
            q.write(region.page(i).start, noise(1000 + i))
        m.check()
        assert contents(p, region) == pages
        expected = [noise(1000 + i) if i % 3 == 0 else page for i, page in enumerate(pages)]
        assert contents(q, region) == expected
        p.exit()
        assert contents(q, region) == expected
