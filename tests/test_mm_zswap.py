"""The machine with a compressed pool: where pages go, limits, write-back, memory it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmkit import contents, fill, machine, noise, text

from vswaplab import DeviceIOError, InvariantError, Machine, NoMemory
from vswaplab.entry import Backing
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE


def write(process: Process, region: Region) -> list[bytes]:
    pages = [text(i) for i in range(region.pages)]
    for i, page in enumerate(pages):
        process.write(region.page(i).start, page)
    return pages


def backings(m: Machine) -> list[str]:
    return [m.swap.lookup(entry).type.name for entry in m.swap.entries()]


def test_compressible_pages_go_to_the_pool_and_no_slot_or_swap_charge_is_taken() -> None:
    with machine(zswap={}) as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("64K")
        pages = write(p, region)
        assert m.reclaim() == 16
        assert backings(m) == ["ZSWAP"] * 16
        assert (app.file("memory.swap.current"), next(iter(m.devices)).inuse_pages) == ("0\n", 0)
        assert app.stat("zswapped") == 16 * PAGE_SIZE
        assert m.used_pages == m.zswap.pool_pages > 0
        assert contents(p, region) == pages
        assert (m.zswap.stored_pages, m.swap.used, app.stat("zswpin")) == (0, 0, 16)


def test_zswap_works_without_any_swapfile() -> None:
    with machine(swap=None, zswap={}) as m:
        p = m.spawn("app")
        region = p.mmap("128K")
        pages = write(p, region)
        assert m.reclaim() == 32
        assert contents(p, region) == pages


def test_writeback_moves_compressed_pages_to_the_device_and_ptes_stay() -> None:
    with machine(zswap={}) as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = write(p, region)
        m.reclaim()
        before = [p.pte(region.page(i).start) for i in range(16)]
        assert m.writeback(5) == 5
        assert sorted(backings(m)) == ["SWAPFILE"] * 5 + ["ZSWAP"] * 11
        assert m.writeback() == 11
        assert [p.pte(region.page(i).start) for i in range(16)] == before
        assert m.root_memcg.stat("zswpwb") == 16
        assert contents(p, region) == pages


def test_swapoff_does_not_touch_pages_in_the_pool() -> None:
    with machine(zswap={}) as m:
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = write(p, region)
        m.reclaim()
        report = m.swapoff(next(iter(m.devices)))
        assert (report.pages_read, report.slots_scanned, m.zswap.stored_pages) == (0, 0, 16)
        assert contents(p, region) == pages


def test_a_full_pool_wakes_the_worker_which_writes_back_to_the_threshold() -> None:
    with machine(zswap={"max_pool_percent": 5}, ram="1M", swap="8M") as m:
        p = m.spawn("app")
        region = p.mmap("4M")
        pages = fill(p, region)  # stored as they are, 4,096 bytes each
        assert m.zswap.pool_limit_hit > 0
        assert not m.zswap.shrink_wanted
        assert m.zswap.pool_pages <= m.zswap.max_pages
        assert m.root_memcg.stat("zswpwb") > 0
        assert contents(p, region) == pages


def test_incompressible_pages_without_a_swapfile_end_in_out_of_memory_not_in_a_loop() -> None:
    with machine(swap=None, zswap={"max_pool_percent": 100}, ram="128K") as m:
        p = m.spawn("app")
        region = p.mmap("256K")
        with pytest.raises(NoMemory, match="zswap pool holds"):
            fill(p, region)
        m.check()
        held = p.mm.present_pages + p.mm.swap_pages
        for i in range(held):
            if i < 8:
                p.munmap(region.page(held - 1 - i))
        assert p.read(region.start, PAGE_SIZE) == noise(0)


def test_a_cgroup_without_writeback_keeps_what_does_not_compress_in_memory() -> None:
    with machine(zswap={}) as m:
        app = m.memcg("app", zswap_writeback=False)
        p = m.spawn("app", memcg=app)
        region = p.mmap("32K")
        pages = fill(p, region)
        assert m.reclaim() == 0
        assert (backings(m), m.zswap.reject_compress_poor) == (["FOLIO"] * 8, 8)
        assert contents(p, region) == pages
        good = write(p, region)
        assert m.reclaim() == 8
        assert m.writeback() == 0
        assert contents(p, region) == good


def test_compressed_pages_count_against_the_limit_of_their_cgroup() -> None:
    with machine(zswap={}, ram="4M", swap="8M") as m:
        app = m.memcg("app", max="256K")
        p = m.spawn("app", memcg=app)
        region = p.mmap("2M")
        pages = write(p, region)
        assert app.zswap_bytes > 0
        assert app.nr_pages + -(-app.zswap_bytes // PAGE_SIZE) <= 64
        assert contents(p, region) == pages


def test_a_cgroup_at_its_zswap_limit_writes_its_own_pages_back() -> None:
    with machine(zswap={}, swap="8M") as m:
        app = m.memcg("app", zswap_max="8K")
        p = m.spawn("app", memcg=app)
        region = p.mmap("64K")
        pages = fill(p, region)
        m.reclaim()
        assert app.zswap_bytes == 2 * PAGE_SIZE  # stored as they are
        assert (app.stat("zswpwb"), app.swap_pages) == (14, 14)
        assert contents(p, region) == pages


def test_zswap_is_on_by_default_which_mainline_s_is_not_and_the_list_of_limits_says_so() -> None:
    """CONFIG_ZSWAP_DEFAULT_ON is n in mainline [BACKGROUND]; a machine is made without by zswap=None."""
    with Machine() as m, Machine(zswap=None) as without:
        assert m.zswap is not None
        assert (m.zswap.enabled, without.zswap) == (True, None)
    limits = Path(__file__).parent.parent / "docs" / "leaves-out.md"
    (row,) = [line for line in limits.read_text(encoding="utf-8").splitlines() if "CONFIG_ZSWAP_DEFAULT_ON" in line]
    assert "Machine(zswap=None)" in row


def test_a_page_that_cannot_be_decompressed_is_an_error_and_stays() -> None:
    with machine(zswap={}) as m:
        p = m.spawn("app")
        region = p.mmap("4K")
        (page,) = write(p, region)
        m.reclaim()
        m.zswap.inject("decompress")
        with pytest.raises(DeviceIOError):
            p.read(region.start, 1)
        m.check()
        assert m.swap.lookup(p.pte(region.start).entry).type is Backing.ZSWAP
        with pytest.raises(DeviceIOError, match="until reclaim drops its folio"):
            p.read(region.start, 1)
        m.reclaim()
        assert p.read(region.start, PAGE_SIZE) == page


def test_a_large_folio_goes_to_the_pool_and_comes_back_page_by_page() -> None:
    with machine(zswap={}) as m:
        p = m.spawn("app")
        region = p.mmap("64K", order=4)
        pages = write(p, region)
        assert m.reclaim() == 16
        assert backings(m) == ["ZSWAP"] * 16
        p.touch(region.page(3))
        assert p.mm.present_pages == 1
        assert contents(p, region) == pages


def test_swapped_pages_of_a_removed_cgroup_come_back() -> None:
    with machine(zswap={}) as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("16K")
        pages = write(p, region)
        m.reclaim()
        q = p.fork()
        q.memcg = m.root_memcg
        p.exit()
        m.rmdir(app)
        m.check()
        assert contents(q, region) == pages
        m.check()
        assert m.memcgs.get(app.id) is None


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("swap-count-is-holders", lambda m, p, out, here: p.mm.page_table.set(here.vpn, p.mm.page_table.get(out.vpn))),
        ("no-pte-holds-a-freed-entry", lambda m, p, out, here: p.mm.page_table.set(here.vpn, 1 << 20)),
        ("every-count-has-a-pte", lambda m, p, out, here: p.mm.page_table.set(out.vpn, 0)),
        ("pte-maps-a-live-frame", lambda m, p, out, here: p.mm.page_table.set(here.vpn, 9 << 12 | 1)),
        ("refcount", lambda m, p, out, here: setattr(folio_of(m, p, here), "refcount", 5)),
        ("folio-at-rest", lambda m, p, out, here: setattr(folio_of(m, p, here), "locked", True)),
        ("folio-knows-its-ptes", lambda m, p, out, here: folio_of(m, p, here).mapped.clear()),
        ("mapped-folio-is-uptodate", lambda m, p, out, here: setattr(folio_of(m, p, here), "uptodate", False)),
        ("every-folio-is-listed-once", lambda m, p, out, here: m.root_memcg.lruvec.remove(folio_of(m, p, here))),
        ("lru-size", lambda m, p, out, here: setattr(m.root_memcg.lruvec, "nr_inactive", 7)),
        ("folio-on-its-own-list", lambda m, p, out, here: setattr(folio_of(m, p, here), "active", True)),
        ("memcg-charge", lambda m, p, out, here: m.root_memcg.charge(1)),
        ("zswap-charge", lambda m, p, out, here: m.root_memcg.charge_zswap(1)),
        ("swap-charge", lambda m, p, out, here: m.root_memcg.try_charge_swap(1)),
        ("folio-pages", lambda m, p, out, here: setattr(m, "folio_pages", 0)),
        ("zero-page-is-zero", lambda m, p, out, here: m.zero_folio.data.__setitem__(0, 1)),
        ("pte-within-a-region", lambda m, p, out, here: p.mm.vmas.clear()),
        ("page-tables-counted", lambda m, p, out, here: setattr(p.mm.page_table, "nr_tables", 3)),
        ("process-lives", lambda m, p, out, here: setattr(p, "alive", False)),
    ],
)
def test_check_names_the_invariant_that_was_broken(invariant: str, damage: object) -> None:
    m = Machine(ram="1M")
    p = m.spawn("app")
    out, here = p.mmap("4K"), p.mmap("4K")
    p.write(out.start, b"x")
    m.reclaim()
    p.write(here.start, b"y")
    m.check()
    damage(m, p, out, here)  # type: ignore[operator]
    with pytest.raises(InvariantError) as caught:
        m.check()
    assert caught.value.invariant == invariant


def folio_of(m: Machine, p: Process, page: Region) -> object:
    return m.frames[p.pte(page.start).frame or 0]
