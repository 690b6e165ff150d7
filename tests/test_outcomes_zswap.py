"""Outcomes that the public description of the kernel's zswap self-tests names, against the public API, both designs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vswaplab import Machine
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import page_bytes, real_page_array


@pytest.fixture(params=["virtual", "legacy"])
def m(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with room to swap, checked at the end."""
    with Machine(ram="64M", design=request.param) as machine:
        machine.swapon(size="64M")
        yield machine
        machine.check()


def real_pages(nr: int, first: int = 0) -> list[bytes]:
    """Return real pages, none of them zero."""
    pages = real_page_array()
    pages = pages[pages.any(axis=1)]
    return [pages[(first + i) % len(pages)].tobytes() for i in range(nr)]


def sparse(number: int) -> bytes:
    """Return a page with little in it, so that a limit on memory is not met by its compressed form."""
    return number.to_bytes(8, "little").ljust(PAGE_SIZE, b"\0")


def allocate(m: Machine, memcg: Memcg, pages: list[bytes]) -> tuple[Process, Region]:
    process = m.spawn("worker", memcg=memcg)
    region = process.mmap(len(pages) * PAGE_SIZE)
    process.write(region.start, b"".join(pages))
    return process, region


def reread(process: Process, region: Region, pages: list[bytes]) -> None:
    for i, page in enumerate(pages):
        assert process.read(region.page(i).start, PAGE_SIZE) == page, f"page {i}"


def test_usage_a_group_that_swaps_has_its_pages_in_zswap_and_they_are_counted(m: Machine) -> None:
    group, pages = m.memcg("usage", max="1M"), real_pages(512)
    process, region = allocate(m, group, pages)
    assert group.stat("zswpout") > 0
    assert int(group.file("memory.zswap.current")) == group.stat("zswap") > 0
    assert m.zswap.stored_pages * PAGE_SIZE == group.stat("zswapped")
    reread(process, region, pages)


def test_swap_in_with_zswap_off_for_the_group_comes_from_the_device(m: Machine) -> None:
    group, pages = m.memcg("disabled", max="2M", zswap_max=0), real_pages(1024)
    process, region = allocate(m, group, pages)
    reread(process, region, pages)
    assert (group.stat("zswpout"), group.stat("zswpin"), group.stat("zswap")) == (0, 0, 0)
    assert group.stat("pswpin") > 0
    assert group.stat("pswpout") > 0


def test_zswap_in_gives_every_byte_back(m: Machine) -> None:
    group, pages = m.memcg("roundtrip", max="2M"), real_pages(1024)
    process, region = allocate(m, group, pages)
    group.write("memory.reclaim", "1M")
    reread(process, region, pages)
    assert group.stat("zswpin") > 0
    again = real_pages(1024, first=7)
    process.write(region.start, b"".join(again))
    reread(process, region, again)


def test_write_back_on_and_off(m: Machine) -> None:
    """With memory.zswap.writeback 0 nothing of the group reaches the device, by whatever way."""
    device = next(iter(m.devices)).device
    for enabled in (True, False):
        group = m.memcg(f"writeback {enabled}", zswap_writeback=enabled)
        pages = [page_bytes("random", i) if i % 4 == 0 else page for i, page in enumerate(real_pages(256))]
        process, region = allocate(m, group, pages)
        before = device.pages_written
        m.reclaim(memcg=group)
        m.writeback(memcg=group)
        m.zswap.max_pool_percent = 0  # full from now on
        process.write(region.start, pages[0])
        m.reclaim(memcg=group)
        m.zswap.max_pool_percent = 20
        assert (group.stat("zswpwb") + group.stat("pswpout") > 0) == enabled
        assert (device.pages_written > before) == enabled
        reread(process, region, pages)


def test_any_ancestor_can_forbid_write_back(m: Machine) -> None:
    parent = m.memcg("parent")
    child = m.memcg("child", parent=parent)
    allocate(m, child, real_pages(64))
    m.reclaim(memcg=child)
    parent.write("memory.zswap.writeback", "0")
    assert m.writeback() == 0
    parent.write("memory.zswap.writeback", "1")
    assert m.writeback() == 64


def test_at_its_zswap_limit_a_group_writes_back_its_own_pages_only(m: Machine) -> None:
    control, limited = m.memcg("control", max="1M"), m.memcg("limited", max="1M", zswap_max="10K")
    pages, others = [sparse(i) for i in range(1024)], [sparse(5000 + i) for i in range(2560)]
    control_process = allocate(m, control, pages)
    limited_process = allocate(m, limited, others)
    assert limited.stat("zswpwb") > 0
    assert control.stat("zswpwb") == 0
    assert control.stat("pswpout") == 0
    assert int(limited.file("memory.zswap.current")) <= 10 * 1024 + PAGE_SIZE
    reread(*control_process, pages)
    reread(*limited_process, others)


def test_under_global_reclaim_a_page_is_charged_to_its_owner() -> None:
    for design in ("virtual", "legacy"):
        with Machine(ram="4M", design=design) as m:
            m.swapon(size="32M")
            owner, other = m.memcg("owner"), m.memcg("other")
            pages, others = real_pages(512), real_pages(700, first=1024)
            mine = allocate(m, owner, pages)
            theirs = allocate(m, other, others)  # their allocation pushes the owner's pages out
            assert owner.stat("zswpout") > 0
            assert owner.stat("zswap") > 0
            assert owner.stat("zswap") + other.stat("zswap") == m.root_memcg.stat("zswap")
            reread(*mine, pages)
            reread(*theirs, others)
            mine[0].exit()
            theirs[0].exit()
            for group in (owner, other):
                assert (group.file("memory.current"), group.file("memory.swap.current")) == ("0\n", "0\n")
                m.rmdir(group)
            m.check()
            assert len(m.memcgs) == 1, "nothing keeps a removed group"


def test_incompressible_pages_are_stored_as_they_are_and_counted(m: Machine) -> None:
    group, pages = m.memcg("random"), [page_bytes("random", i) for i in range(64)]
    process, region = allocate(m, group, pages)
    m.reclaim(memcg=group)
    assert m.debugfs("zswap/stored_incompressible_pages") == "64\n"
    assert group.stat("zswap") == 64 * PAGE_SIZE
    assert group.stat("zswpwb") == 0
    assert m.writeback(10) == 10
    assert m.debugfs("zswap/stored_incompressible_pages") == "54\n"
    reread(process, region, pages)
    assert m.debugfs("zswap/stored_incompressible_pages") == "0\n"


def test_incompressible_pages_stay_in_memory_where_write_back_is_off(m: Machine) -> None:
    group = m.memcg("random", zswap_writeback=False)
    process, region = allocate(m, group, [page_bytes("random", i) for i in range(16)])
    m.reclaim(memcg=group)
    assert m.debugfs("zswap/reject_compress_poor") == "16\n"
    assert group.stat("zswpout") == group.stat("pswpout") == 0
    assert all(process.pte(page).entry is not None or process.pte(page).present for page in region.addresses())
    assert int(group.file("memory.current")) == 16 * PAGE_SIZE


def test_zeros_cost_neither_zswap_nor_a_write(m: Machine) -> None:
    group = m.memcg("zeros")
    process, region = allocate(m, group, [bytes(PAGE_SIZE)] * 32)
    m.reclaim(memcg=group)
    assert (group.stat("swpout_zero"), group.stat("zswpout"), group.stat("pswpout")) == (32, 0, 0)
    assert np.frombuffer(process.read(region.start, 32 * PAGE_SIZE), np.uint8).max() == 0
    assert group.stat("swpin_zero") == 32


@pytest.mark.parametrize(("design", "works"), [("virtual", True), ("legacy", False)])
def test_zswap_without_any_swapfile(design: str, works: bool) -> None:
    with Machine(ram="16M", design=design) as m:
        group, pages = m.memcg("no swapfile"), real_pages(256)
        process, region = allocate(m, group, pages)
        assert (m.reclaim(memcg=group) > 0) == works
        assert (group.stat("zswpout") == 256) == works
        reread(process, region, pages)
        m.check()
