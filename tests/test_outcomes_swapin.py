"""What a fault leaves of a page's swap, in both designs: ``do_swap_page`` of Linux 6.19 and of v6 [S13]."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmkit import contents, fill, machine
from test_mm_swap import out

from vswaplab import DeviceIOError, InvalidArgument, Machine, NoMemory
from vswaplab.backends.device import Fault, MemoryDevice
from vswaplab.entry import Backing
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


# -- a synchronous device --------------------------------------------------------------------------------------------


def ram_disk(m: Machine) -> None:
    m.swapon(size="4M", synchronous=True)


@DESIGNS
def test_a_page_of_one_owner_on_a_synchronous_device_never_enters_the_swap_cache(design: str) -> None:
    """``do_swap_page`` skips the swap cache where the device is SWP_SYNCHRONOUS_IO and the count is 1 [S13]."""
    with machine(design=design, swap=None, zswap=None) as m:
        ram_disk(m)
        p, region, pages = out(m, pages=8)
        assert contents(p, region) == pages
        assert (slots(m), m.root_memcg.stat("swapcached"), m.root_memcg.events["swap_ra"]) == (0, 0, 0)
        assert (m.root_memcg.stat("pswpin"), m.root_memcg.stat("pgmajfault")) == (8, 8)
        assert m.root_memcg.stat("workingset_refault_anon") == 8
        assert m.reclaim() == 8
        assert m.root_memcg.stat("pswpout") == 16  # nothing was kept that a clean page could be dropped to
        assert contents(p, region) == pages


@DESIGNS
def test_an_ordinary_device_keeps_slot_and_folio_after_a_read(design: str) -> None:
    """A device made by size alone is a disk: what was read stays in the swap cache."""
    with machine(design=design, zswap=None) as m:
        p, region, pages = out(m, pages=8)
        assert contents(p, region) == pages
        assert (slots(m), m.root_memcg.stat("swapcached")) == (8, 8 * PAGE_SIZE)
        assert m.procfs("swaps").splitlines()[1].split()[:2] == ["/dev/sda2", "partition"]


@DESIGNS
def test_a_page_that_two_hold_goes_through_the_swap_cache_on_any_device(design: str) -> None:
    """And is read with its neighbours: only the way past the swap cache has no readahead."""
    with machine(design=design, swap=None, zswap=None) as m:
        ram_disk(m)
        p, region, pages = out(m, pages=8)
        q = p.fork()
        p.touch(region.page(0))
        assert m.root_memcg.stat("swapcached") == 7 * PAGE_SIZE  # slots 1 to 7
        assert slots(m) == 8
        assert contents(q, region) == pages == contents(p, region)


@DESIGNS
@pytest.mark.parametrize("kind", ["zero", "zswap"])
def test_zeros_and_compressed_pages_leave_nothing_behind_on_a_synchronous_device(design: str, kind: str) -> None:
    """Legacy reads them past the swap cache too, as their slots are on the device; the compressed copy goes with the
    slot. In the virtual design they have no device, and their swap is freed since it is no slot."""
    with machine(design=design, swap=None, zswap={"compressor": "lz4"}, page_cluster=0) as m:
        ram_disk(m)
        p = m.spawn("app")
        region = p.mmap("16K")
        page = bytes(PAGE_SIZE) if kind == "zero" else b"text" * 1024
        for i in range(4):
            p.write(region.page(i).start, page)
        m.reclaim()
        assert contents(p, region) == [page] * 4
        assert (slots(m), len(m.swap.entries()), m.root_memcg.stat("swapcached")) == (0, 0, 0)
        assert m.zswap is not None
        assert m.zswap.stored_pages == 0
        assert m.root_memcg.stat("swpin_zero" if kind == "zero" else "zswpin") == 4
        m.reclaim()
        assert contents(p, region) == [page] * 4


@DESIGNS
def test_a_tmpfs_page_on_a_synchronous_device_comes_back_past_the_swap_cache(design: str) -> None:
    with machine(design=design, swap=None, zswap=None) as m:
        ram_disk(m)
        file = m.shmem_open("f", "16K")
        file.write(0, b"x" * 16384)
        m.reclaim()
        assert file.read(0, 1) == b"x"
        assert (slots(m), file.present_pages, m.root_memcg.stat("swapcached")) == (3, 1, 0)
        m.reclaim()
        assert file.read(0, 16384) == b"x" * 16384


@DESIGNS
def test_without_memory_a_read_past_the_swap_cache_leaves_the_entry_as_it_was(design: str) -> None:
    with machine(ram="64K", design=design, swap=None, zswap=None) as m:
        ram_disk(m)
        p, region, pages = out(m, pages=16)
        q = m.spawn("hog", memcg=m.memcg("hog", swap_max=0))
        fill(q, q.mmap("64K"))
        with pytest.raises(NoMemory):
            p.read(region.start, 1)
        m.check()
        q.exit()
        assert contents(p, region) == pages


def test_only_swap_in_memory_can_be_made_synchronous(tmp_path: Path) -> None:
    m = Machine("1M")
    for path, size in ((tmp_path / "swap.img", "1M"), (MemoryDevice("1M"), None)):
        with pytest.raises(InvalidArgument, match="leave `path` out"):
            m.swapon(path, size=size, synchronous=True)
    with pytest.raises(InvalidArgument, match="synchronous"):
        m.swapon(size="1M", synchronous=1)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [] == list(m.devices)


# -- zeros -----------------------------------------------------------------------------------------------------------


def test_zeros_stay_zeros_only_while_another_holds_them() -> None:
    """The last holder's fault frees the entry, which no slot backs; the page is found zero anew [S13]."""
    with machine(page_cluster=0) as m:
        p = m.spawn("app")
        region = p.mmap(PAGE_SIZE)
        p.write(region.start, bytes(PAGE_SIZE))
        m.reclaim()
        q = p.fork()
        entry = p.pte(region.start).entry
        p.touch(region)
        assert m.swap.lookup(entry or 0).type is Backing.ZERO
        q.touch(region)
        assert m.swap.entries() == []
        assert m.root_memcg.stat("swpout_zero") == 1
        m.reclaim()
        assert m.root_memcg.stat("swpout_zero") == 2


# -- a page that can't be read ---------------------------------------------------------------------------------------


def test_an_unread_folio_that_backs_its_entry_is_never_written_out_and_goes_with_its_last_owner() -> None:
    """After a virtual swapoff: as posted the folio is the backing, dirty, with nothing in it [S14]."""
    with machine(page_cluster=0, zswap={"compressor": "lz4"}) as m:
        assert m.zswap is not None
        m.zswap.enabled = False
        p, region, _ = out(m, pages=2)
        m.zswap.enabled = True
        (device,) = m.devices
        device.device.inject(Fault("read", page=1, times=2))
        assert m.swapoff(device).pages_lost == 1
        m.swapon(size="4M")
        for _ in range(2):
            m.reclaim()
            with pytest.raises(DeviceIOError, match="could not be read from swap; unmap it"):
                p.read(region.start, 1)
        assert (m.used_pages, m.zswap.stored_pages) == (1 + 1, 1)  # the pool has a page: the other one is in zswap
        p.munmap(region.page(0))
        m.check()
        assert m.used_pages == 1


@DESIGNS
def test_a_compressed_page_that_can_not_be_decompressed_fails_until_reclaim_drops_its_folio(design: str) -> None:
    """zswap keeps the copy, the folio is not uptodate [S21]."""
    with machine(design=design, page_cluster=0, zswap={"compressor": "lz4"}) as m:
        assert m.zswap is not None
        p = m.spawn("app")
        region = p.mmap(PAGE_SIZE)
        p.write(region.start, b"text" * 1024)
        m.reclaim()
        m.zswap.inject("decompress")
        for _ in range(3):
            with pytest.raises(DeviceIOError):
                p.read(region.start, 1)
        assert (m.zswap.decompress_fail, m.zswap.stored_pages) == (1, 1)
        m.reclaim()
        assert contents(p, region) == [b"text" * 1024]
