"""The compressed pool made smaller: the worker, the dynamic shrinker, and what write-back does when something fails."""

from __future__ import annotations

import pytest
from mmkit import contents, fill, machine, noise, text

from vswaplab import DeviceIOError, Machine
from vswaplab.backends.block_device import Fault
from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Process, Region
from vswaplab.mm.shrinkers import MAX_SHRINK_RETRIES, SHRINK_BATCH
from vswaplab.units import PAGE_SIZE

both = pytest.mark.parametrize("design", ["virtual", "legacy"])


def stored(m: Machine, memcg: Memcg | None = None, pages: int = 16, cpu: int = 0) -> tuple[Process, Region]:
    """Have a process's pages, which don't compress, put into zswap."""
    process = m.spawn("app", memcg=memcg, cpu=cpu)
    region = process.mmap(pages * PAGE_SIZE)
    fill(process, region)
    m.reclaim(memcg=memcg)
    return process, region


def wake(m: Machine) -> None:
    """Wake the worker as a refused page would."""
    assert m.zswap is not None
    m.zswap.shrink_wanted = True
    m._settle()


def types(m: Machine, process: Process, region: Region) -> list[str]:
    ptes = [process.pte(region.page(i).start) for i in range(region.pages)]
    return [m.swap.lookup(pte.entry).type.name for pte in ptes if pte.entry is not None]


# -- the worker --------------------------------------------------------------------------------------------------


@both
def test_one_run_of_the_worker_goes_down_to_the_threshold(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        process, region = stored(m, pages=100)
        m.zswap.max_pool_percent = 1  # 10 pages, the threshold is 9
        wake(m)
        assert m.zswap.pool_pages == m.zswap.accept_threshold_pages == 9
        assert not m.zswap.shrink_wanted
        assert m.root_memcg.stat("zswpwb") == 91
        assert contents(process, region) == [noise(i) for i in range(100)]


@both
def test_the_worker_gives_up_after_sixteen_failures(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        process = m.spawn("app")
        region = process.mmap("4M")
        for i in range(900):
            process.write(region.page(i).start, text(i))
        m.reclaim()
        m.zswap.max_pool_percent = 0
        m.zswap.inject("decompress", times=1000)
        wake(m)
        assert m.zswap.decompress_fail == MAX_SHRINK_RETRIES
        assert m.zswap.stored_pages == 900
        m.zswap.clear_faults()


@both
def test_a_device_that_fails_does_not_stop_the_worker(design: str) -> None:
    """Each entry leaves zswap before the device has answered; the pages are in memory then, dirty [S13 S21]."""
    with machine(zswap={}, design=design, ram="4M") as m:
        process, region = stored(m, pages=40)
        m.zswap.max_pool_percent = 1  # 10 pages, the threshold is 9
        device = next(iter(m.devices)).device
        device.inject(Fault("write", times=1000))
        wake(m)
        assert (m.zswap.pool_pages, m.root_memcg.stat("zswpwb")) == (9, 31)
        assert device.write_errors == 31
        assert m.root_memcg.stat("swapcached") == 31 * PAGE_SIZE
        device.clear_faults()
        assert contents(process, region) == [noise(i) for i in range(40)]


@both
def test_the_worker_goes_round_the_memory_cgroups_one_entry_each(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        groups = [m.memcg(name) for name in ("a", "b", "c")]
        for group in groups:
            stored(m, group, pages=20)
        m.zswap.max_pool_percent = 5  # 51 pages, the threshold is 45 of 60
        wake(m)
        assert [group.stat("zswpwb") for group in groups] == [5, 5, 5]
        m.zswap.max_pool_percent = 4
        wake(m)
        assert m.zswap.pool_pages <= m.zswap.accept_threshold_pages
        assert max(group.stat("zswpwb") for group in groups) - min(group.stat("zswpwb") for group in groups) <= 1


@both
def test_the_worker_passes_over_a_cgroup_that_may_not_write_back(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        shut, open_ = m.memcg("shut"), m.memcg("open")
        stored(m, shut, pages=20)
        stored(m, open_, pages=20)
        shut.zswap_writeback = False
        m.zswap.max_pool_percent = 3  # 30 pages, the threshold is 27
        wake(m)
        assert (shut.stat("zswpwb"), open_.stat("zswpwb")) == (0, 13)
        m.zswap.max_pool_percent = 1
        wake(m)
        assert (shut.stat("zswpwb"), open_.stat("zswpwb")) == (0, 20), "and it gives up when nobody else is left"


def test_the_worker_visits_an_entry_on_each_node() -> None:
    with machine(zswap={}, ram="4M", cpus=2, nodes=2) as m:
        group = m.memcg("group")
        for cpu in (0, 1):
            process = m.spawn("app", memcg=group, cpu=cpu)
            process.write(process.mmap("64K").start, b"".join(noise(i) for i in range(16)))
            process.touch(process.mm.vmas[0])
            m._run_on(cpu)
            m.reclaim(memcg=group)
        assert [m.zswap.count(group, node) for node in (0, 1)] == [16, 16]
        for entry in m.zswap.entries():
            entry.referenced = False
        assert m.swap.shrink_memcg(group)
        assert [m.zswap.count(group, node) for node in (0, 1)] == [15, 15]


def test_nodes_have_at_least_one_cpu_each() -> None:
    with pytest.raises(InvalidArgument, match="3 NUMA nodes for 2 CPUs"):
        Machine(cpus=2, nodes=3)


def test_a_refused_page_wakes_the_worker_and_hysteresis_holds_until_the_threshold() -> None:
    with machine(zswap={"max_pool_percent": 10}, ram="1M", swap="8M") as m:
        process = m.spawn("app")
        region = process.mmap("2M")
        pages = fill(process, region)
        assert m.zswap.pool_limit_hit > 0
        assert m.zswap.pool_pages <= m.zswap.max_pages == 25
        assert contents(process, region) == pages


# -- removed memory cgroups --------------------------------------------------------------------------------------


@both
def test_compressed_pages_of_a_removed_cgroup_age_and_are_charged_in_its_parent(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        parent = m.memcg("parent")
        child = m.memcg("child", parent=parent)
        process, region = stored(m, child, pages=8)
        m.move(process, parent)
        charged = parent.zswap_bytes
        m.rmdir(child)
        assert (child.zswap_bytes, parent.zswap_bytes) == (0, charged)
        assert m.zswap.charges() == {parent.id: charged}
        m.check()
        assert m.writeback(3) == 3
        assert parent.stat("zswpwb") == 3
        assert len(contents(process, region)) == 8
        assert parent.zswap_bytes == 0


# -- the dynamic shrinker ----------------------------------------------------------------------------------------


@both
def test_the_dynamic_shrinker_is_off_until_told(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        stored(m, pages=64)
        assert m.zswap_freeable(m.root_memcg) == 0
        m.zswap.shrinker_enabled = True
        assert m.zswap_freeable(m.root_memcg) == 64


def test_it_counts_less_for_what_compresses_well_and_for_recent_swap_ins_from_the_device() -> None:
    with machine(zswap={"shrinker": True}, ram="4M", page_cluster=0) as m:
        process = m.spawn("app")
        region = process.mmap(64 * PAGE_SIZE)
        for i in range(64):
            process.write(region.page(i).start, text(i))
        m.reclaim()
        scaled = 64 * (m.root_memcg.zswap_bytes // PAGE_SIZE) // 64
        assert 0 <= m.zswap_freeable(m.root_memcg) == scaled < 64
        m.writeback(10)
        for i in range(64):
            if m.swap.lookup(process.pte(region.page(i).start).entry).type is Backing.SWAPFILE:
                process.read(region.page(i).start, 1)
        assert m.zswap.disk_swapins[m.root_memcg.id, 0] == 10
        m.zswap_freeable(m.root_memcg)
        assert m.zswap.disk_swapins[m.root_memcg.id, 0] == 0, "what was counted is used up"


@both
def test_it_counts_nothing_where_write_back_is_off_and_in_virtual_where_no_slot_is_free(design: str) -> None:
    with machine(zswap={"shrinker": True}, design=design, ram="4M", swap="80K") as m:
        group = m.memcg("group")
        stored(m, group, pages=19)  # as many as the device has slots
        assert next(iter(m.devices)).pages == 19
        assert m.zswap_freeable(group) == 19
        group.zswap_writeback = False
        assert m.zswap_freeable(group) == 0
        group.zswap_writeback = True
        if design == "virtual":
            assert m.devices.alloc_many(19).size == 19
            assert m.zswap_freeable(group) == 0
            m.devices.free_many(m.devices.by_priority()[0].slot_base + m.devices[0].allocated_offsets().astype("u8"))
        else:
            assert m.devices.free_pages == 0
            assert m.zswap_freeable(group) == 19, "their slots have been theirs since they went out"


@both
def test_with_it_reclaim_writes_cold_pages_back_before_the_pool_is_full(design: str) -> None:
    for enabled in (False, True):
        with machine(zswap={"shrinker": enabled, "max_pool_percent": 50}, design=design, ram="4M", swap="16M") as m:
            process = m.spawn("app")
            region = process.mmap("4M")
            pages = fill(process, region)
            for _ in range(3):
                m.reclaim(pages=200)
            assert (m.root_memcg.stat("zswpwb") > 0) == (enabled or m.zswap.pool_limit_hit > 0)
            assert contents(process, region) == pages


@both
def test_it_stops_at_an_entry_that_is_on_its_way_in(design: str) -> None:
    with machine(zswap={"shrinker": True}, design=design, ram="4M") as m:
        stored(m, pages=8)
        oldest = list(m.zswap.entries())
        for entry in oldest:
            entry.referenced = False
        m.swap.swapcache_prepare(oldest[2].swpentry, 1)  # somebody is about to read it
        assert m.swap.scan_zswap(m.root_memcg, 0, 8)
        assert m.root_memcg.stat("zswpwb") == 2
        m.swap.swapcache_clear(oldest[2].swpentry, 1)
        assert not m.swap.scan_zswap(m.root_memcg, 0, 8)
        assert m.root_memcg.stat("zswpwb") == 8


def test_few_entries_wait_until_they_are_worth_a_look() -> None:
    with machine(zswap={"max_pool_percent": 50}, ram="8M", swap="16M") as m:
        stored(m, pages=4 * SHRINK_BATCH)
        m.zswap.shrinker_enabled = True
        for entry in m.zswap.entries():
            entry.referenced = False
        m._shrink_zswap(m.root_memcg, 12)
        assert m.root_memcg.stat("zswpwb") == 0
        m._shrink_zswap(m.root_memcg, 2)  # a quarter of them, twice
        assert m.root_memcg.stat("zswpwb") == 2 * SHRINK_BATCH


# -- write-back that fails ---------------------------------------------------------------------------------------


def test_write_back_without_a_slot_or_over_swap_max_leaves_the_entry_in_zswap() -> None:
    with machine(zswap={}, swap="32K") as m:  # seven slots
        group = m.memcg("group", swap_max="16K")
        process, region = stored(m, group, pages=12)
        assert m.writeback(memcg=group) == 4, "swap.max"
        assert types(m, process, region).count("ZSWAP") == 8
        group.swap_max = None
        assert m.writeback(memcg=group) == 3, "the device is full"
        assert types(m, process, region).count("ZSWAP") == 5
        assert (group.swap_pages, group.zswap_bytes, m.devices.free_pages) == (7, 5 * PAGE_SIZE, 0)
        assert contents(process, region) == [noise(i) for i in range(12)]


@both
def test_a_failed_write_leaves_the_page_in_a_folio_and_a_later_one_succeeds(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        process, region = stored(m, pages=4)
        device = next(iter(m.devices)).device
        device.inject(Fault("write", times=100))
        assert m.writeback(1) == 1
        left = "SWAPFILE" if design == "virtual" else "FOLIO"  # legacy has no word for it: its slot is taken all along
        assert types(m, process, region) == [left, "ZSWAP", "ZSWAP", "ZSWAP"]
        m.check()
        device.clear_faults()
        assert m.writeback() == 3
        assert m.reclaim() == 1
        assert contents(process, region) == [noise(i) for i in range(4)]


@both
def test_a_page_that_cannot_be_decompressed_keeps_its_place_in_zswap_and_takes_no_slot(design: str) -> None:
    """The old backing returns, and a slot that was found for it is free again [S13]."""
    with machine(zswap={}, design=design) as m:
        process = m.spawn("app")
        region = process.mmap("16K")
        for i in range(4):
            process.write(region.page(i).start, text(i))
        m.reclaim()
        free = m.devices.free_pages
        m.zswap.inject("decompress", times=100)
        assert m.writeback() == 0
        assert types(m, process, region) == ["ZSWAP"] * 4
        assert (m.devices.free_pages, m.zswap.written_back_pages, m.used_pages) == (free, 0, m.zswap.pool_pages)
        assert m.root_memcg.stat("swapcached") == 0
        m.zswap.clear_faults()
        assert m.writeback() == 4
        assert contents(process, region) == [text(i) for i in range(4)]


@both
def test_an_entry_that_cannot_be_decompressed_is_not_written_back_and_read_as_an_error(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        process = m.spawn("app")
        region = process.mmap(PAGE_SIZE)
        process.write(region.start, text(1))
        m.reclaim()
        m.zswap.inject("decompress", times=3)
        assert m.writeback(1) == 0
        with pytest.raises(DeviceIOError):
            process.read(region.start, 1)
        m.zswap.clear_faults()
        with pytest.raises(DeviceIOError, match="until reclaim drops its folio"):  # the folio that was read in vain
            process.read(region.start, 1)
        m.reclaim()
        assert process.read(region.start, PAGE_SIZE) == text(1)


# -- incompressible pages, partial stores, compressors -----------------------------------------------------------


@both
def test_a_page_stored_as_it_is_needs_no_decompressor(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        process, region = stored(m, pages=1)
        assert m.zswap.stored_incompressible_pages == 1
        m.zswap.inject("decompress")
        assert process.read(region.start, PAGE_SIZE) == noise(0)
        m.zswap.clear_faults()


@both
@pytest.mark.parametrize("kind", ["kmemcache", "compress", "alloc"])
def test_a_large_folio_stored_in_part_leaves_nothing_stale(design: str, kind: str) -> None:
    with machine(zswap={}, design=design, ram="4M", swap="16M") as m:
        group = m.memcg("group")
        process = m.spawn("app", memcg=group)
        region = process.mmap(16 * PAGE_SIZE, order=4)
        process.write(region.start, b"".join(text(i) for i in range(16)))
        group.zswap_writeback = True
        m.zswap.store_incompressible = False
        m.zswap.inject(kind, nth=9)
        m.reclaim()
        m.zswap.clear_faults()
        assert m.zswap.stored_pages == 0
        assert set(types(m, process, region)) == {"SWAPFILE"}
        m.check()
        new = [text(100 + i) for i in range(16)]
        process.write(region.start, b"".join(new))
        m.reclaim()
        assert contents(process, region) == new


@both
def test_old_copies_never_hide_new_bytes_when_the_store_is_refused(design: str) -> None:
    with machine(zswap={}, design=design, page_cluster=0) as m:
        process = m.spawn("app")
        region = process.mmap(8 * PAGE_SIZE)
        for i in range(8):
            process.write(region.page(i).start, text(i))
        m.reclaim()
        for i in range(8):
            process.write(region.page(i).start, text(50 + i))
        m.zswap.enabled = False
        m.reclaim()
        assert m.zswap.stored_pages == 0
        assert contents(process, region) == [text(50 + i) for i in range(8)]


@both
def test_the_compressor_may_change_at_any_time(design: str) -> None:
    with machine(zswap={"compressor": "lz4"}, design=design) as m:
        process = m.spawn("app")
        region = process.mmap(16 * PAGE_SIZE)
        for i in range(16):
            process.write(region.page(i).start, text(i))
            if i == 7:
                m.reclaim()
                m.zswap.compressor = "zstd"
        m.reclaim()
        assert [pool.compressor for pool in m.zswap.pools] == ["zstd", "lz4"]
        assert contents(process, region) == [text(i) for i in range(16)]
        assert [pool.compressor for pool in m.zswap.pools] == ["zstd"], "the old pool went with its last page"


def test_without_a_device_a_cgroup_that_may_not_use_zswap_is_not_swapped_out() -> None:
    with machine(zswap={}, swap=None) as m:
        never = m.memcg("never", zswap_max=0)
        process = m.spawn("app", memcg=never)
        region = process.mmap("32K")
        pages = fill(process, region)
        assert not m.swap.can_swap_out(never)
        assert m.reclaim(memcg=never) == 0
        assert m.swap.used == 0
        assert contents(process, region) == pages


# -- rounds of the worker ----------------------------------------------------------------------------------------


@both
def test_sixteen_rounds_in_which_nobody_has_a_candidate_end_the_worker(
    design: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        m.memcg("empty")
        shut = m.memcg("shut")
        stored(m, shut, pages=20)
        shut.zswap_writeback = False
        m.zswap.max_pool_percent = 0
        visits: list[str] = []
        shrink = m.swap.shrink_memcg

        def count(memcg: Memcg) -> bool | None:
            visits.append(memcg.path)
            return shrink(memcg)

        monkeypatch.setattr(m.swap, "shrink_memcg", count)
        wake(m)
        assert visits == ["/", "/empty", "/shut"] * MAX_SHRINK_RETRIES
        assert m.zswap.stored_pages == 20


@both
def test_the_next_run_goes_on_where_the_last_one_stopped_also_if_that_cgroup_was_removed(
    design: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        groups = {name: m.memcg(name) for name in "abcd"}
        for group in groups.values():
            stored(m, group, pages=8)
        visits: list[str] = []
        shrink = m.swap.shrink_memcg

        def count(memcg: Memcg) -> bool | None:
            visits.append(memcg.name)
            return shrink(memcg)

        monkeypatch.setattr(m.swap, "shrink_memcg", count)
        m.zswap.accept_threshold_percent, m.zswap.ram_pages = 100, 1000
        m.zswap.max_pool_percent = 3  # 30 of 32 pages
        wake(m)
        assert visits == ["", "a", "b"]
        for process in list(m.processes.values()):
            if process.memcg is groups["b"]:
                m.move(process, m.root_memcg)
        m.rmdir(groups["b"])
        visits.clear()
        m.zswap.ram_pages = 940
        m.zswap.max_pool_percent = 3  # 28 pages
        wake(m)
        assert visits == ["c", "d"]


@both
def test_the_worker_goes_past_an_entry_that_is_on_its_way_in(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        stored(m, pages=12)
        m.zswap.max_pool_percent = 1  # 10 pages, the threshold is 9
        oldest = list(m.zswap.entries())[:2]
        for entry in oldest:
            m.swap.swapcache_prepare(entry.swpentry, 1)
        wake(m)
        assert m.zswap.pool_pages == 9
        assert [m.zswap.entry(entry.id) for entry in oldest] == oldest
        for entry in oldest:
            m.swap.swapcache_clear(entry.swpentry, 1)


@both
def test_the_worker_takes_pages_that_were_not_used_again_before_those_that_were(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        process, region = stored(m, pages=12)
        entries = list(m.zswap.entries())
        for entry in entries[3:]:
            entry.referenced = False
        m.zswap.max_pool_percent = 1
        wake(m)
        went = [i for i, kind in enumerate(types(m, process, region)) if kind == "SWAPFILE"]
        assert went == [3, 4, 5]


def test_the_worker_has_nothing_to_do_until_a_page_was_refused() -> None:
    with machine(zswap={}, ram="4M") as m:
        stored(m, pages=20)
        m.zswap.max_pool_percent = 0
        m._settle()
        assert m.zswap.stored_pages == 20


@both
@pytest.mark.parametrize("threshold", [0, 50, 100])
def test_nothing_is_taken_from_full_down_to_the_accept_threshold(design: str, threshold: int) -> None:
    options = {"max_pool_percent": 2, "accept_threshold_percent": threshold}
    with machine(zswap=options, design=design, ram="4M", swap="8M") as m:
        m.zswap.ram_pages = 1000
        m.zswap.max_pool_percent = 2  # 20 pages
        process, region = stored(m, pages=30)
        assert m.zswap.pool_limit_hit == 10
        assert m.zswap.pool_pages <= m.zswap.accept_threshold_pages == 20 * threshold // 100
        before = m.root_memcg.stat("zswpout")
        extra = m.spawn("more")
        extra.write(extra.mmap("4K").start, noise(99))
        m.reclaim()
        assert m.root_memcg.stat("zswpout") == before + (threshold < 100), "below the limit it takes again"
        assert contents(process, region) == [noise(i) for i in range(30)]


# -- more of the dynamic shrinker --------------------------------------------------------------------------------


@both
def test_the_dynamic_shrinker_takes_a_second_chance_first(design: str) -> None:
    with machine(zswap={"shrinker": True}, design=design, ram="4M") as m:
        stored(m, pages=8)
        for entry in m.zswap.entries():
            entry.referenced = True
        m.swap.scan_zswap(m.root_memcg, 0, 8)
        assert m.root_memcg.stat("zswpwb") == 0
        m.swap.scan_zswap(m.root_memcg, 0, 3)
        assert m.root_memcg.stat("zswpwb") == 3


@both
def test_disk_swap_ins_hold_the_dynamic_shrinker_back_until_they_are_used_up(design: str) -> None:
    with machine(zswap={}, design=design, ram="4M") as m:
        stored(m, pages=20)
        m.zswap.shrinker_enabled = True
        m.zswap.note_disk_swapin(m.root_memcg, 45)
        assert [m.zswap_freeable(m.root_memcg) for _ in range(4)] == [0, 0, 15, 20]
        m.zswap.note_disk_swapin(None, 5)
        assert m.zswap_freeable(m.root_memcg) == 20


def test_the_dynamic_shrinker_looks_at_each_node_and_memory_cgroup_by_itself() -> None:
    with machine(zswap={}, ram="4M", cpus=4, nodes=2) as m:
        group = m.memcg("group")
        for cpu, nr in ((0, 4), (1, 2), (2, 8), (3, 1)):
            process = m.spawn("app", memcg=group, cpu=cpu)
            fill(process, process.mmap(nr * PAGE_SIZE))
            m.reclaim()
        m.zswap.shrinker_enabled = True
        assert [m.zswap_freeable(group, node) for node in (0, 1)] == [6, 9]
        assert m.zswap_freeable(m.root_memcg) == 0, "the root has none of its own"
        m.zswap.disk_swapins[group.id, 1] = 4
        assert [m.zswap_freeable(group, node) for node in (0, 1)] == [6, 5]


def test_the_dynamic_shrinker_writes_back_from_every_node() -> None:
    with machine(zswap={}, ram="4M", cpus=2, nodes=2) as m:
        process = m.spawn("app", cpu=1)
        region = process.mmap(16 * PAGE_SIZE)
        pages = fill(process, region)
        m.reclaim()
        for entry in m.zswap.entries():
            entry.referenced = False
        m.zswap.shrinker_enabled = True
        m._shrink_zswap(m.root_memcg, 0)
        assert m.root_memcg.stat("zswpwb") == 16
        assert contents(process, region) == pages


def test_what_was_deferred_is_caught_up_with_by_and_by() -> None:
    with machine(zswap={"max_pool_percent": 50}, ram="8M", swap="16M") as m:
        stored(m, pages=4 * SHRINK_BATCH)
        for entry in m.zswap.entries():
            entry.referenced = False
        m.zswap.shrinker_enabled = True
        m._nr_deferred[m.root_memcg, 0] = 300
        m._shrink_zswap(m.root_memcg, 3)  # an eighth of what was deferred, and a quarter of what there is
        assert m.root_memcg.stat("zswpwb") == SHRINK_BATCH
        assert m._nr_deferred == {(m.root_memcg, 0): 300}


def test_what_compresses_to_next_to_nothing_is_left_in_zswap() -> None:
    with machine(zswap={"shrinker": True}, ram="4M") as m:
        process = m.spawn("app")
        region = process.mmap(32 * PAGE_SIZE)
        for i in range(32):
            process.write(region.page(i).start, text(i))
        m.reclaim()
        assert m.zswap.stored_pages == 32
        assert m.root_memcg.zswap_bytes < PAGE_SIZE
        assert m.zswap_freeable(m.root_memcg) == 0


def test_what_a_removed_cgroup_deferred_is_its_parents() -> None:
    with machine(zswap={}, ram="4M") as m:
        parent = m.memcg("parent")
        child = m.memcg("child", parent=parent)
        process, _ = stored(m, child, pages=64)
        m.zswap.shrinker_enabled = True
        m._shrink_zswap(child, 4)  # 64 >> 4, twice: too few to look at
        assert m._nr_deferred == {(child, 0): 8}
        m.move(process, parent)
        m.rmdir(child)
        assert m._nr_deferred == {(parent, 0): 8}
        assert m.zswap_freeable(parent) == 64


@both
def test_reclaim_of_one_cgroup_shrinks_no_others_pool(design: str) -> None:
    with machine(zswap={}, design=design, ram="8M", swap="16M") as m:
        mine, other = m.memcg("mine"), m.memcg("other")
        stored(m, mine, pages=40)
        stored(m, other, pages=40)
        process = m.spawn("app", memcg=mine)
        region = process.mmap("1M")
        pages = fill(process, region)
        m.zswap.shrinker_enabled = True
        for entry in m.zswap.entries():
            entry.referenced = False
        m.reclaim(pages=200, memcg=mine)
        assert mine.stat("zswpwb") > 0
        assert other.stat("zswpwb") == 0
        assert contents(process, region) == pages


# -- limits of cgroups and of the pool, in a machine -------------------------------------------------------------


@both
def test_a_limit_of_zero_set_later_stops_stores_but_not_loads(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        group = m.memcg("group")
        process, region = stored(m, group, pages=8)
        group.write("memory.zswap.max", "0")
        other = process.mmap("32K")
        others = fill(process, other, first=50)
        m.reclaim()
        assert (group.stat("zswpout"), group.stat("zswpwb"), m.zswap.stored_pages) == (8, 0, 8)
        assert types(m, process, other) == ["SWAPFILE"] * 8
        assert contents(process, region) == [noise(i) for i in range(8)]
        assert group.stat("zswpin") == 8
        assert contents(process, other) == others


def test_a_cgroup_at_its_zswap_limit_with_no_slot_keeps_its_pages_in_memory() -> None:
    with machine(zswap={}, swap=None) as m:
        group = m.memcg("group", zswap_max="16K")
        process, region = stored(m, group, pages=10)
        assert m.zswap.stored_pages == 4
        assert not m.swap.can_swap_out(group)
        assert m.swap.can_swap_out(m.root_memcg)
        assert (group.stat("zswpwb"), m.zswap.written_back_pages) == (0, 0)
        assert contents(process, region) == [noise(i) for i in range(10)]


@both
def test_zswap_may_be_switched_off_and_on_again_at_run_time(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        process, region = stored(m, pages=4)
        m.zswap.enabled = False
        other = process.mmap("16K")
        others = fill(process, other, first=50)
        m.reclaim()
        assert (types(m, process, region), types(m, process, other)) == (["ZSWAP"] * 4, ["SWAPFILE"] * 4)
        m.zswap.enabled = True
        assert contents(process, other) == others
        process.write(other.start, b"".join(others))
        m.reclaim(memcg=m.root_memcg)
        assert types(m, process, other) == ["ZSWAP"] * 4
        assert contents(process, region) == [noise(i) for i in range(4)]


def test_zswap_switched_off_is_no_place_to_go() -> None:
    with machine(zswap={}, swap=None) as m:
        assert m.swap.can_swap_out(m.root_memcg), "with zswap, pages are reclaimable without a swapfile"
        m.zswap.enabled = False
        assert not m.swap.can_swap_out(m.root_memcg)
        process = m.spawn("app")
        process.write(process.mmap("4K").start, text(1))
        assert (m.reclaim(), m.swap.used) == (0, 0)


@both
def test_both_pools_count_against_the_limit_and_the_old_one_is_written_back_too(design: str) -> None:
    with machine(zswap={"compressor": "lz4"}, design=design, ram="4M") as m:
        process, region = stored(m, pages=30)
        m.zswap.compressor = "zstd"
        m.zswap.max_pool_percent = 3  # 30 pages: the old pool alone is full
        other = process.mmap("16K")
        others = fill(process, other, first=50)
        m.reclaim()
        assert m.zswap.pool_limit_hit >= 1
        assert m.root_memcg.stat("zswpwb") > 0
        assert m.zswap.pool_pages <= m.zswap.max_pages
        m.writeback()
        assert [pool.compressor for pool in m.zswap.pools] == ["zstd"], "the old one is gone"
        assert contents(process, region) + contents(process, other) == [noise(i) for i in range(30)] + others


@both
def test_a_large_folio_is_taken_as_a_whole(design: str) -> None:
    with machine(zswap={"max_pool_percent": 1}, design=design, ram="4M", swap="8M") as m:
        process = m.spawn("app")
        region = process.mmap(16 * PAGE_SIZE, order=4)
        process.write(region.start, b"".join(noise(i) for i in range(16)))
        assert m.zswap.max_pages == 10
        m.reclaim()
        assert (m.zswap.pool_limit_hit, m.root_memcg.stat("zswpout")) == (0, 16)
        assert contents(process, region) == [noise(i) for i in range(16)]


@pytest.mark.parametrize("nodes", [0, -1, 1.0, True, "2", None])
def test_a_number_of_nodes_is_a_whole_number(nodes: object) -> None:
    with pytest.raises(InvalidArgument, match="NUMA nodes"):
        Machine(nodes=nodes)  # type: ignore[arg-type]


def test_a_cpu_belongs_to_its_nodes_share() -> None:
    with machine(zswap={}, cpus=5, nodes=2) as m:
        nodes = []
        for cpu in range(5):
            process = m.spawn("app", cpu=cpu)
            process.write(process.mmap("4K").start, b"x")
            nodes.append(m.zswap.node)
        assert nodes == [cpu * 2 // 5 for cpu in range(5)] == [0, 0, 0, 1, 1]
