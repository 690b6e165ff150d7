"""Watermarks, kswapd, and who is counted for what it reclaims."""

from __future__ import annotations

import pytest
from mmkit import contents, fill, machine, noise, text

from vswaplab import InvalidArgument, Machine, NoMemory
from vswaplab.mm.kswapd import MAX_RECLAIM_RETRIES, Watermarks
from vswaplab.units import PAGE_SIZE

DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])


def vmstat(m: Machine) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in m.procfs("vmstat").splitlines())}


@pytest.mark.parametrize(
    ("ram_pages", "min_free", "marks"),
    [
        (256, None, (0, 0, 0)),
        (256, 0, (0, 0, 0)),
        (256, "64K", (16, 20, 24)),
        (256, 4096, (1, 2, 3)),
        (1 << 20, "4M", (1024, 2072, 3120)),  # a thousandth of RAM apart, as that is more than a quarter of min
        (4096, "auto", (128, 160, 192)),  # sqrt(16384 KiB * 16) = 512 KiB
        (256, "auto", (16, 20, 24)),  # a sixteenth of RAM
        (1 << 23, "auto", (5792, 14180, 22568)),  # 32 GiB: 23170 KiB
    ],
)
def test_watermarks_follow_min_free(ram_pages: int, min_free: int | str | None, marks: tuple[int, int, int]) -> None:
    assert Watermarks.of(ram_pages, min_free) == Watermarks(*marks)


@pytest.mark.parametrize("bad", ["much", -1, "1M", 1.5, True, "512K"])
def test_a_min_free_that_cannot_be_meant_is_refused(bad: object) -> None:
    with pytest.raises(InvalidArgument, match="min_free"):
        Machine(ram="1M", min_free=bad)  # type: ignore[arg-type]


@DESIGNS
def test_kswapd_keeps_memory_free_and_nobody_has_to_reclaim_for_himself(design: str) -> None:
    with machine(design=design, min_free="64K") as m:
        p = m.spawn("app")
        region = p.mmap("2M")
        free = []
        for i in range(region.pages):
            p.write(region.page(i).start, noise(i))
            free.append(m.free_pages)
        assert min(free) >= m.watermarks.low
        counts = vmstat(m)
        assert counts["pgsteal_kswapd"] == counts["pgsteal_anon"] > 0
        assert counts["pgscan_kswapd"] == counts["pgscan_anon"] > 0
        assert counts["pageoutrun"] > 1
        assert counts["pgsteal_direct"] == counts["pgscan_direct"] == counts["allocstall_movable"] == 0
        assert contents(p, region) == [noise(i) for i in range(region.pages)]


def test_kswapd_sleeps_until_low_and_then_goes_on_until_high() -> None:
    with machine(min_free="64K") as m:  # 256 pages; 16, 20 and 24 free
        p = m.spawn("app")
        region = p.mmap("1M")
        fill(p, region.page(0))
        for i in range(1, 236):
            p.touch(region.page(i), write=True)
        assert (m.free_pages, vmstat(m)["pageoutrun"]) == (20, 0)
        p.touch(region.page(236), write=True)
        assert vmstat(m)["pageoutrun"] == 1
        assert m.free_pages >= m.watermarks.high


@pytest.mark.parametrize(("limit", "waits_for"), [(None, "the watermark"), ("1M", "the limit")])
def test_reclaim_begins_at_the_low_watermark_or_at_a_groups_limit(limit: str | None, waits_for: str) -> None:
    """Neither waits until no page is free: one wakes kswapd, the other has nothing to do with free memory."""
    with machine(ram="16M", swap="32M", min_free="auto") as m:
        p = m.spawn("app", memcg=m.memcg("group", max=limit))
        region = p.mmap("32M")
        free, written = [], 0
        while not m.swap.used:
            free.append(m.free_pages)
            p.write(region.page(written).start, noise(written % 64))
            written += 1
        if waits_for == "the watermark":
            assert 0 < free[-1] == m.watermarks.low
        else:
            assert written == 257
            assert free[-1] > 10 * m.watermarks.high


def test_without_min_free_there_is_no_kswapd_and_all_reclaim_is_direct() -> None:
    with machine() as m:
        p = m.spawn("app")
        fill(p, p.mmap("2M"))
        counts = vmstat(m)
        assert counts["pgsteal_kswapd"] == counts["pageoutrun"] == 0
        assert counts["pgsteal_direct"] == counts["pgsteal_anon"] > 0
        assert counts["allocstall_movable"] > 0


def test_below_min_an_allocation_reclaims_for_itself() -> None:
    with machine(min_free="64K", zswap=None) as m:
        p = m.spawn("app")
        m.kswapd_failures = MAX_RECLAIM_RETRIES  # kswapd has given up
        low, m.watermarks = m.watermarks, Watermarks(16, 0, 0)
        region = p.mmap("2M")
        pages = fill(p, region)
        m.watermarks = low
        assert m.free_pages >= 16
        counts = vmstat(m)
        assert counts["allocstall_movable"] > 0
        assert counts["pgsteal_direct"] > 0
        assert counts["pgsteal_kswapd"] == 0
        assert contents(p, region) == pages


def test_kswapd_that_gets_nothing_gives_up_and_the_reserve_is_kept() -> None:
    with machine(swap=None, min_free="64K") as m:
        p = m.spawn("app")
        region = p.mmap("1M")
        with pytest.raises(NoMemory, match="more ram"):
            fill(p, region)
        assert m.free_pages == 16
        assert m.kswapd_failures > 0
        assert vmstat(m)["pageoutrun"] <= MAX_RECLAIM_RETRIES
        runs = vmstat(m)["pageoutrun"]
        p.munmap(region)
        m.swapon(size="4M")
        fill(p, p.mmap("2M"))
        assert vmstat(m)["pageoutrun"] > runs


@DESIGNS
@pytest.mark.parametrize("zswap", [None, {"compressor": "lz4", "max_pool_percent": 50}])
def test_global_reclaim_takes_from_all_cgroups_and_charges_each_its_own(design: str, zswap: dict[str, object]) -> None:
    with machine(design=design, min_free="64K", zswap=zswap, page_cluster=0) as m:
        top = m.memcg("top")
        groups = [m.memcg("a", parent=top), m.memcg("b", parent=top), m.memcg("c")]
        processes = [m.spawn(group.name, memcg=group) for group in groups]
        regions = [process.mmap("512K") for process in processes]
        for i in range(128):
            for process, region in zip(processes, regions, strict=True):
                process.write(region.page(i).start, text(i))
        for group, process in zip(groups, processes, strict=True):
            out = process.mm.swap_pages
            assert out > 0
            assert group.stat("pgsteal_kswapd") == group.stat("pgsteal") >= out
            if zswap is None:
                assert group.stat("pswpout") == group.stat("pgsteal")
                assert group.swap_pages == out
            else:
                assert group.stat("zswapped") == out * PAGE_SIZE
        stolen = [group.stat("pgsteal_kswapd") for group in groups]
        assert top.stat("pgsteal_kswapd") == stolen[0] + stolen[1]
        assert vmstat(m)["pgsteal_kswapd"] == sum(stolen)
        assert max(stolen) < 3 * min(stolen)


def test_reclaim_for_a_limit_of_a_cgroup_is_in_its_memory_stat_but_not_in_vmstat() -> None:
    with machine() as m:
        app = m.memcg("app", max="64K")
        p = m.spawn("app", memcg=app)
        fill(p, p.mmap("256K"))
        assert app.stat("pgsteal_direct") == app.stat("pgsteal") > 0
        counts = vmstat(m)
        assert (counts["pgsteal_direct"], counts["pgsteal_anon"]) == (0, app.stat("pgsteal"))


@DESIGNS
def test_kswapd_and_tmpfs_do_not_lose_a_byte(design: str) -> None:
    with machine(design=design, min_free="64K", ram="256K", page_cluster=3) as m:
        file = m.shmem_open("log", "1M")
        for i in range(256):
            file.write(i * PAGE_SIZE, noise(i))
        assert vmstat(m)["pageoutrun"] > 0
        assert all(file.read(i * PAGE_SIZE, PAGE_SIZE) == noise(i) for i in range(256))


def test_what_kswapd_keeps_free_is_not_available() -> None:
    with machine(min_free="64K") as m:
        lines = dict(line.split(":") for line in m.procfs("meminfo").splitlines())
        assert (lines["MemFree"].split(), lines["MemAvailable"].split()) == (["1024", "kB"], ["928", "kB"])
