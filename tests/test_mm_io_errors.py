"""Devices that fail: who asks for the page is told, everybody else goes on, and no byte is lost or silently wrong."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmkit import contents, fill, machine, noise, text

from vswaplab import Machine
from vswaplab.backends.checksums import ChecksumMismatch, Checksums, VerifiedDevices
from vswaplab.backends.device import Device, Fault, FileDevice, MemoryDevice
from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.entry import make_slot
from vswaplab.errors import DeviceIOError, InvariantError, NoMemory, NoSpace, SwapError
from vswaplab.mm.process import Process, Region
from vswaplab.mm.shrinkers import RESERVE_PAGES
from vswaplab.units import PAGE_SIZE

DESIGNS = ("virtual", "legacy")
FOR_EVER = 1 << 30


@pytest.fixture(params=DESIGNS)
def m(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine with a device in memory, without zswap, checked at the end."""
    with machine(design=request.param) as made:
        yield made


def device_of(m: Machine) -> SwapFile:
    return next(iter(m.devices))


def swapped_out(m: Machine, pages: int = 8, order: int = 0) -> tuple[Process, Region, list[bytes]]:
    """A process whose pages are all on the device, no two alike."""
    p = m.spawn("app")
    region = p.mmap(pages * PAGE_SIZE, order)
    written = fill(p, region)
    m.reclaim()
    assert p.mm.present_pages == 0
    return p, region, written


def slot_of(m: Machine, p: Process, page: Region) -> int:
    """The offset on the device of the slot that a page is in."""
    entry = p.pte(page.start).entry
    assert entry is not None
    slot = m.swap.lookup(entry).slot
    assert slot is not None
    return int(slot.offset)


# -- a page that can't be read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("design", DESIGNS)
def test_an_unreadable_page_is_eio_to_its_readers(design: str, slow: bool) -> None:
    """The folio stays in the swap cache, not uptodate: every access fails until reclaim drops it, though the device
    could read the page again. A read past the swap cache leaves nothing behind, so each access reads anew [S13]."""
    with machine(swap=None, design=design, page_cluster=0) as m:
        device = MemoryDevice("4M", synchronous=not slow)
        m.swapon(device)
        p, region, pages = swapped_out(m)
        bad = slot_of(m, p, region.page(3))
        device.inject(Fault("read", page=bad, times=FOR_EVER))
        entry = p.pte(region.page(3).start).entry
        assert entry is not None
        before = m.swap.lookup(entry)
        for i in (*range(8), 3, 3):
            if i != 3:
                assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]
                continue
            with pytest.raises(DeviceIOError, match=rf"Reading page {bad} of memory failed with EIO") as caught:
                p.read(region.page(3).start, 1)
            assert caught.value.errno == errno.EIO
            now = m.swap.lookup(entry)
            assert (now.swap_count, now.type, now.slot, now.in_swapcache) == (1, before.type, before.slot, slow)
            assert p.pte(region.page(3).start).entry == entry
            m.check()
        with pytest.raises(DeviceIOError):
            p.write(region.page(3).start, b"x")
        assert (device.read_errors, m.devices.read_errors, device.write_errors) == ((1, 1, 0) if slow else (4, 4, 0))
        device.clear_faults()
        if slow:
            said = (
                rf"^Swap entry {int(entry):#x} can't be read until reclaim drops its folio, whose read failed: Reading"
            )
            with pytest.raises(DeviceIOError, match=said):
                p.read(region.page(3).start, 1)
            writes = device.writes
            m.reclaim()
            assert device.writes == writes  # there is nothing to write: the slot has the page
        assert contents(p, region) == pages


def test_a_process_with_an_unreadable_page_can_fork_unmap_and_exit(m: Machine) -> None:
    device = device_of(m).device
    p, region, pages = swapped_out(m)
    bad = slot_of(m, p, region.page(3))
    device.inject(Fault("read", page=bad, times=FOR_EVER))
    child = p.fork("child")
    other = p.fork("other")
    entry = p.pte(region.page(3).start).entry
    assert entry is not None
    assert m.swap.lookup(entry).swap_count == 3
    for each in (p, child, other):
        with pytest.raises(DeviceIOError):
            each.read(region.page(3).start, 1)
    p.munmap(region.page(3))
    assert m.swap.lookup(entry).swap_count == 2
    other.exit()
    assert m.swap.lookup(entry).swap_count == 1
    m.check()
    device.clear_faults()
    m.reclaim()
    assert contents(child, region) == pages
    m.reclaim()
    device.inject(Fault("read", page=bad, times=FOR_EVER))
    child.exit()
    p.exit()
    m.check()
    assert device_of(m).inuse_pages == 0


def test_a_page_that_was_never_read_again_costs_nobody_anything(m: Machine) -> None:
    """An unreadable page may be unmapped unread; its slot is as good as any other for the next write."""
    p, region, _ = swapped_out(m)
    device_of(m).device.inject(Fault("read", page=1, times=FOR_EVER))
    p.munmap(region)
    assert device_of(m).inuse_pages == 0
    device_of(m).device.clear_faults()
    q, again, pages = swapped_out(m)
    assert contents(q, again) == pages


@pytest.mark.parametrize("design", DESIGNS)
def test_one_unreadable_page_does_not_take_along_the_others_of_its_large_folio(design: str) -> None:
    with machine(design=design) as m:
        p, region, pages = swapped_out(m, 16, order=4)
        bad = slot_of(m, p, region.page(5))
        device_of(m).device.inject(Fault("read", page=bad, times=FOR_EVER))
        for i in range(16):
            if i != 5:
                assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]
        with pytest.raises(DeviceIOError, match=f"page {bad} "):
            p.read(region.page(5).start, 1)
        m.check()
        device_of(m).device.clear_faults()
        m.reclaim()
        assert contents(p, region) == pages


def test_an_unreadable_page_of_a_tmpfs_file_is_lost(m: Machine) -> None:
    """The file's index gets a marker in its place, and its swap is freed [BACKGROUND: shmem_set_folio_swapin_error]."""
    file = m.shmem_open("/dev/shm/log", "16K")
    for i in range(4):
        file.write(i * PAGE_SIZE, noise(i))
    m.reclaim()
    device_of(m).device.inject(Fault("read", page=2, times=FOR_EVER))
    failed = []
    for i in range(4):
        try:
            assert file.read(i * PAGE_SIZE, PAGE_SIZE) == noise(i)
        except DeviceIOError:
            failed.append(i)
    assert len(failed) == 1
    m.check()
    device_of(m).device.clear_faults()
    m.reclaim()
    with pytest.raises(DeviceIOError, match=rf"^Page {failed[0]:#x} of process or file {file.pid} is lost"):
        file.write(failed[0] * PAGE_SIZE, b"x")
    assert (file.swapped_pages, file.present_pages, device_of(m).inuse_pages) == (3, 0, 3)
    file.truncate("4K")
    file.truncate("16K")
    if failed[0]:
        assert file.read(failed[0] * PAGE_SIZE, 4) == bytes(4)
    m.check()


def test_a_fault_in_readahead_is_nobodys_business_until_somebody_wants_the_page(m: Machine) -> None:
    m.swapoff(device_of(m))
    device = MemoryDevice("4M")
    m.swapon(device)
    p, region, pages = swapped_out(m)
    device.inject(Fault("read", nth=2, times=3))
    assert p.read(region.page(0).start, PAGE_SIZE) == pages[0]
    assert m.devices.read_errors == 3
    m.check()
    with pytest.raises(DeviceIOError, match=r"until reclaim drops its folio"):
        contents(p, region)
    m.reclaim()
    assert contents(p, region) == pages


# -- a page that can't be written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "short"])
def test_a_page_that_can_not_be_written_stays_dirty_in_memory_and_its_slot_is_marked(m: Machine, error: Any) -> None:
    si = device_of(m)
    p = m.spawn("app")
    region = p.mmap("32K")
    pages = fill(p, region)
    si.device.inject(Fault("write", error, page=3, times=2))
    m.reclaim()
    assert (m.used_pages, si.write_failed, m.swap.write_errors, si.device.write_errors) == (1, {3}, 1, 1)
    (folio,) = m.swap.folios.values()  # type: ignore[attr-defined]
    assert (folio.dirty, folio.in_swapcache, bytes(folio.data) in pages) == (True, True, True)
    m.check()
    # It was not refused but failed, so it is not made active: the next reclaim meets it twice, and succeeds then [S49].
    assert not folio.active  # type: ignore[attr-defined]
    m.reclaim()
    assert (m.used_pages, si.write_failed, m.swap.write_errors) == (0, set(), 2)
    assert m.root_memcg.stat("pswpout") == 10, "what is handed to the device is counted, taken or not"
    assert contents(p, region) == pages


def test_the_mark_of_a_slot_goes_when_the_slot_is_freed(m: Machine) -> None:
    si = device_of(m)
    p = m.spawn("app")
    region = p.mmap("32K")
    fill(p, region)
    si.device.inject(Fault("write", page=3, times=FOR_EVER))
    m.reclaim()
    assert si.write_failed == {3}
    p.munmap(region)
    assert (si.write_failed, si.inuse_pages) == (set(), 0)


def test_the_array_form_of_freeing_takes_marks_away_too_and_check_knows_them() -> None:
    devices = SwapDevices()
    si = devices.swapon(MemoryDevice("1M"))
    slots = devices.alloc_many(10)
    si.device.inject(Fault("write", times=2))
    for at in (2, 7):
        with pytest.raises(DeviceIOError):
            devices.write(int(slots[at]), bytes(PAGE_SIZE))
    assert si.write_failed == {3, 8}
    devices.check()
    devices.free_many(slots[:5])
    assert si.write_failed == {8}
    si.write_failed.add(3)
    with pytest.raises(InvariantError, match="write-failed-is-allocated"):
        devices.check()


def test_all_pages_stay_in_memory_while_no_write_succeeds_and_reclaim_comes_to_an_end(m: Machine) -> None:
    si = device_of(m)
    si.device.inject(Fault("write", times=FOR_EVER))
    p = m.spawn("app")
    region = p.mmap("64K")
    pages = fill(p, region)
    assert m.reclaim() == 0
    assert m.reclaim(8) == 0
    m.check()
    assert len(si.write_failed) == 16
    assert contents(p, region) == pages
    si.device.clear_faults()
    assert m.reclaim() == 16
    assert si.write_failed == set()
    assert contents(p, region) == pages


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("times", [1, 3, FOR_EVER])
def test_a_large_folio_whose_write_stops_half_way_loses_nothing(m: Machine, order: int, times: int) -> None:
    si = device_of(m)
    p = m.spawn("app")
    region = p.mmap(PAGE_SIZE << order, order)
    pages = fill(p, region)
    si.device.inject(Fault("write", "short", times=times))
    m.reclaim()
    m.check()
    # A write that fails is no reason to split: the folio stays whole, dirty, with its run of slots [S49].
    assert m.used_pages == len(si.write_failed) == region.pages
    assert {folio.order for folio in m.swap.folios.values()} == {order}  # type: ignore[attr-defined]
    assert contents(p, region) == pages
    si.device.clear_faults()
    m.reclaim()
    m.check()
    assert (m.used_pages, si.write_failed) == (0, set())
    assert contents(p, region) == pages


@pytest.mark.parametrize("design", DESIGNS)
def test_write_back_that_fails_leaves_the_page_in_a_dirty_folio_with_its_slot_and_is_counted(design: str) -> None:
    """The compressed copy goes before the device has answered; the folio is the only copy then [S13 S21 S49]."""
    with machine(design=design, zswap={}) as m:
        si = device_of(m)
        p = m.spawn("app")
        region = p.mmap("16K")
        pages = [text(i) for i in range(4)]
        for i, page in enumerate(pages):
            p.write(region.page(i).start, page)
        m.reclaim()
        assert m.zswap is not None
        assert m.zswap.stored_pages == 4
        si.device.inject(Fault("write", times=2))
        done = m.writeback()
        assert (done, m.zswap.stored_pages, m.zswap.written_back_pages) == (4, 0, 4)
        assert (m.swap.write_errors, si.device.write_errors) == (2, 2)
        assert [m.root_memcg.stat(name) for name in ("zswpwb", "pswpout")] == [4, 4]
        assert (si.inuse_pages, si.write_failed, m.used_pages) == (4, {1, 2}, 2)
        first, second = m.swap.folios.values()  # type: ignore[attr-defined]
        assert [(folio.dirty, folio.uptodate, folio.active) for folio in (first, second)] == [(True, True, False)] * 2
        assert m.dmesg() == "Write-error on swap-device (8:2:8)\nWrite-error on swap-device (8:2:16)\n"
        assert m.root_memcg.stat("swapcached") == 2 * PAGE_SIZE
        m.check()
        assert contents(p, region) == pages
        m.reclaim()
        assert contents(p, region) == pages


@pytest.mark.parametrize("design", DESIGNS)
def test_a_page_whose_write_back_failed_goes_out_again_when_memory_is_wanted(design: str) -> None:
    """It is on the inactive list, dirty: reclaim writes it out as any other, to zswap first [S13]."""
    with machine(design=design, zswap={}) as m:
        si = device_of(m)
        p = m.spawn("app")
        region = p.mmap("16K")
        for i in range(4):
            p.write(region.page(i).start, text(i))
        m.reclaim()
        si.device.inject(Fault("write", times=4))
        m.writeback()
        assert m.used_pages == 4
        assert m.reclaim() == 4
        assert m.zswap is not None
        assert (m.zswap.stored_pages, si.inuse_pages) == (4, 0 if design == "virtual" else 4)
        assert m.writeback() == 4
        assert (m.used_pages, si.write_failed, m.swap.write_errors) == (0, set(), 4)
        assert contents(p, region) == [text(i) for i in range(4)]


@pytest.mark.parametrize("design", DESIGNS)
def test_write_back_finds_no_page_when_failed_ones_have_taken_the_reserve(design: str) -> None:
    """A full machine with a device that fails: write-back may overdraw by its reserve, then entries stay in zswap."""
    with machine(design=design, zswap={"max_pool_percent": 50}) as m:
        p = m.spawn("app")
        region = p.mmap("1600K")
        for i in range(region.pages):
            p.write(region.page(i).start, text(i))
        assert m.zswap is not None
        for si in m.devices:
            si.device.inject(Fault("write", times=FOR_EVER))
        m.writeback()
        m.check()
        assert m.zswap.stored_pages > 0
        assert m.used_pages == m.ram_pages + RESERVE_PAGES
        for si in m.devices:
            si.device.clear_faults()
        assert contents(p, region) == [text(i) for i in range(region.pages)]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("zswap", [None, {}])
def test_thp_swpout_counts_what_is_handed_to_a_device(design: str, zswap: dict[str, object] | None) -> None:
    """It is counted with the write, so a folio that goes to zswap is none of it [S49]."""
    with machine(design=design, zswap=zswap, ram="8M", swap="8M") as m:
        p = m.spawn("app")
        region = p.mmap("2M", 9)
        p.write(region.start, b"".join(text(i) for i in range(512)))
        assert m.reclaim() == 512
        assert m.root_memcg.stat("thp_swpout") == (zswap is None)


def test_a_read_that_fails_is_logged_with_the_numbers_of_its_device(m: Machine) -> None:
    si = device_of(m)
    p, region, _ = swapped_out(m)
    at = slot_of(m, p, region.page(0))
    si.device.inject(Fault("read"))
    with pytest.raises(DeviceIOError):
        p.read(region.start, 1)
    assert m.dmesg() == f"Read-error on swap-device (8:2:{8 * at})\n"


def test_swapoff_after_failed_writes_brings_everything_in(m: Machine) -> None:
    si = device_of(m)
    si.device.inject(Fault("write", nth=3, times=4))
    p = m.spawn("app")
    region = p.mmap("64K")
    pages = fill(p, region)
    m.reclaim()
    assert len(si.write_failed) == 4
    m.swapoff(si)
    assert contents(p, region) == pages


@pytest.mark.parametrize("zswap", [None, {"compressor": "lz4", "max_pool_percent": 10}])
@pytest.mark.parametrize("limit", [None, "256K"])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("ENOSPC", "failed with ENOSPC, as injected."),
        ("EIO", "failed with EIO, as injected."),
    ],
)
@pytest.mark.parametrize("design", DESIGNS)
def test_out_of_memory_names_the_write_error_where_that_is_why(
    design: str, fault: Any, why: str, limit: str | None, zswap: dict[str, Any] | None
) -> None:
    with Machine(ram="1M", design=design, zswap=zswap) as m:
        device = m.swapon(size="8M").device
        group = None if limit is None else m.memcg("a", max=limit)
        p = m.spawn("app", memcg=group)
        region = p.mmap("4M")
        device.inject(Fault("write", fault, times=FOR_EVER))
        with pytest.raises(NoMemory) as caught:
            fill(p, region)
        said = str(caught.value)
        assert "and pages can't be swapped out, though" in said
        assert "Writing page" in said
        assert said.endswith(why)
        assert "raise what keeps pages in" not in said


def test_an_old_write_error_is_not_blamed_for_memory_that_is_full_for_another_reason() -> None:
    with Machine(ram="1M", zswap=None) as m:
        device = m.swapon(size="64K").device
        p = m.spawn("app")
        region = p.mmap("4M")
        device.inject(Fault("write"))
        with pytest.raises(NoMemory, match="there is no free swap slot; swap on another device") as caught:
            fill(p, region)
        assert device.write_errors == 1
        assert "injected" not in str(caught.value)


# -- no room below --------------------------------------------------------------------------------------------------


class Thin(FileDevice):
    """A sparse file on a file system that has room for so many pages, once they are written."""

    room = 0

    def __init__(self, path: Path, size: str) -> None:
        self.taken: set[int] = set()
        super().__init__(path, size)

    def _write(self, page: int, data: bytes | bytearray | memoryview) -> None:
        pages = set(range(page, page + len(data) // PAGE_SIZE))
        if page and len(self.taken | pages) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.taken |= pages - {0}
        super()._write(page, data)


@pytest.mark.parametrize("order", [0, 2])
@pytest.mark.parametrize("design", DESIGNS)
def test_enospc_under_a_sparse_file_keeps_pages_in_memory_until_there_is_room(
    design: str, order: int, tmp_path: Path
) -> None:
    with machine(swap=None, design=design) as m:
        device = Thin(tmp_path / "swap.img", "4M")
        si = m.swapon(device)
        device.room = 10
        p = m.spawn("app")
        region = p.mmap("64K", order)
        pages = fill(p, region)
        m.reclaim()
        m.check()
        assert m.used_pages == len(si.write_failed) == (6 if not order else 8), "folios of 4 pages, whole"
        assert contents(p, region) == pages
        m.reclaim()
        device.room = 100
        m.reclaim()
        assert (m.used_pages, si.write_failed) == (0, set())
        assert contents(p, region) == pages


_ON_A_SMALL_FILE_SYSTEM = """
import sys
from pathlib import Path
from mmkit import contents, fill, machine

folder, design = Path(sys.argv[1]), sys.argv[2]
ballast = folder / "ballast"
ballast.write_bytes(bytes(32 << 10))
with machine(swap=None, design=design) as m:
    si = m.swapon(folder / "swap.img", size="4M")
    p = m.spawn("app")
    region = p.mmap("48K")
    pages = fill(p, region)
    m.reclaim()
    m.check()
    # 16 pages of room, less the ballast and the header
    assert (m.used_pages, len(si.write_failed), m.swap.write_errors) == (5, 5, 5), (m.used_pages, si.write_failed)
    assert contents(p, region) == pages
    ballast.unlink()
    m.reclaim()
    assert (m.used_pages, si.write_failed) == (0, set())
    assert contents(p, region) == pages
"""


@pytest.mark.parametrize("design", DESIGNS)
def test_a_real_file_system_that_is_full_keeps_pages_in_memory_until_there_is_room(design: str, tmp_path: Path) -> None:
    """A tmpfs of 64 KiB, mounted where nobody else sees it, under a sparse file of 4 MiB."""
    script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" -c "$3" "$1" "$4"'
    inside = ["sh", "-c", script, "sh", str(tmp_path), sys.executable, _ON_A_SMALL_FILE_SYSTEM, design]
    for namespace in (["unshare", "-m"], ["unshare", "-Urm"]):
        if shutil.which("unshare") is None:
            break
        probe = subprocess.run([*namespace, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True)
        if probe.returncode == 0:
            path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
            done = subprocess.run(
                [*namespace, *inside], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            return
    pytest.skip("no right to mount a small tmpfs in a namespace of its own")


@pytest.mark.parametrize("design", DESIGNS)
def test_a_file_size_limit_of_the_system_is_no_room(design: str, tmp_path: Path) -> None:
    """RLIMIT_FSIZE is met by a real write, with EFBIG; the machine sees -ENOSPC and goes on."""
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN  # as Python has it from its start
    with machine(swap=None, design=design) as m:
        si = m.swapon(tmp_path / "swap.img", size="4M")
        p = m.spawn("app")
        region = p.mmap("64K")
        pages = fill(p, region)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9 * PAGE_SIZE, hard))
        try:
            m.reclaim()
            with pytest.raises(NoSpace, match=r"Writing page 500 of .*swap.img failed: .* free space, then try again"):
                si.device.write(500, bytes(PAGE_SIZE))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        m.check()
        assert (m.used_pages, si.write_failed) == (8, set(range(9, 17)))
        assert contents(p, region) == pages
        m.reclaim()
        assert (m.used_pages, si.write_failed) == (0, set())
        assert contents(p, region) == pages


@pytest.mark.parametrize("code", [errno.EIO, errno.EPERM, errno.EINVAL, errno.ENOMEM, errno.ENODEV, errno.ENOSPC, None])
def test_whatever_the_system_says_a_request_fails_with_eio_or_enospc(m: Machine, code: int | None) -> None:
    class Moody(MemoryDevice):
        moody = False

        def _read(self, page: int, nr: int) -> bytes:
            return super()._read(page, nr) if not self.moody else self._fail()

        def _write(self, page: int, data: bytes | bytearray | memoryview) -> None:
            return super()._write(page, data) if not self.moody else self._fail()

        def _discard(self, page: int, nr: int) -> None:
            return super()._discard(page, nr) if not self.moody else self._fail()

        def _fail(self) -> Any:
            raise OSError("out of order") if code is None else OSError(code, os.strerror(code))

    m.swapoff(device_of(m))
    device = Moody("4M")
    si = m.swapon(device, discard="pages")
    p, region, pages = swapped_out(m)
    q = m.spawn("later")
    other = q.mmap("16K")
    more = fill(q, other, 80)
    device.moody = True
    m.reclaim()
    with pytest.raises(DeviceIOError, match=r"^Reading page \d+ of memory failed: ") as caught:
        p.read(region.start, 1)
    assert (os.strerror(code) if code is not None else "out of order") in str(caught.value)
    error = NoSpace if code == errno.ENOSPC else DeviceIOError
    with pytest.raises(error, match=r"^Discarding pages 1 to 3 of memory failed: "):
        device.discard(1, 3)
    assert contents(q, other) == more
    # With it its seven neighbours of a window were to be read.
    assert (device.read_errors, device.write_errors, device.discard_errors) == (8, len(si.write_failed), 1)
    m.check()
    device.moody = False
    m.reclaim()
    assert contents(p, region) == pages


# -- a file that changes underneath ---------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_a_file_cut_short_while_on_is_eio_beyond_its_end_and_nothing_else_is_lost(design: str, tmp_path: Path) -> None:
    path = tmp_path / "swap.img"
    with machine(swap=None, design=design) as m:
        si = m.swapon(path, size="1M")
        p, region, pages = swapped_out(m)
        q = m.spawn("later")
        other = q.mmap("16K")
        more = fill(q, other, 80)
        os.truncate(path, 6 * PAGE_SIZE)
        m.reclaim()
        assert (m.used_pages, len(si.write_failed)) == (4, 4)
        assert path.stat().st_size == 6 * PAGE_SIZE, "a write must not make the file longer: a hole would read as zeros"
        lost = 0
        for i in range(8):
            slot = slot_of(m, p, region.page(i))
            if slot < 6:
                assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]
                continue
            with pytest.raises(DeviceIOError, match=f"swap.img ends before page {slot}; it was cut short while in use"):
                p.read(region.page(i).start, 1)
            lost += 1
        assert lost == 3
        assert contents(q, other) == more
        m.check()
        assert m.swapoff(path).pages_lost == 3
        m.check()
        assert (list(m.devices), contents(q, other)) == ([], more)


def test_a_device_closed_under_the_machine_is_eio_with_one_clear_sentence(m: Machine) -> None:
    si = device_of(m)
    p, region, _ = swapped_out(m)
    q = m.spawn("later")
    other = q.mmap("16K")
    more = fill(q, other, 80)
    si.device.close()
    m.reclaim()
    with pytest.raises(DeviceIOError, match=r"^The device on memory was closed; open it again to use it\.$"):
        p.read(region.start, 1)
    assert contents(q, other) == more
    m.check()
    assert m.swapoff(si).pages_lost == region.pages
    m.check()
    assert contents(q, other) == more


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_every_use_of_a_closed_device_says_that_it_was_closed(kind: str, tmp_path: Path) -> None:
    device: Device = FileDevice(tmp_path / "swap.img", "1M") if kind == "file" else MemoryDevice("1M")
    device.close()
    device.close()
    device.undo()
    for use in (
        lambda: device.read(1),
        lambda: device.write(1, bytes(PAGE_SIZE)),
        lambda: device.discard(1, 1),
        device.read_header_page,
        lambda: device.write_header_page(bytes(PAGE_SIZE)),
    ):
        with pytest.raises(DeviceIOError, match="was closed; open it again to use it"):
            use()
    assert (device.reads, device.writes, device.discards) == (0, 0, 0)


# -- verify ---------------------------------------------------------------------------------------------------------


def flip(path: Path, page: int, at: int = 100) -> None:
    """Change one bit of a page, as a rotten disk does."""
    with path.open("r+b") as file:
        file.seek(page * PAGE_SIZE + at)
        (byte,) = file.read(1)
        file.seek(page * PAGE_SIZE + at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("design", DESIGNS)
def test_verify_makes_a_damaged_page_eio_and_says_which(design: str, tmp_path: Path) -> None:
    path = tmp_path / "swap.img"
    with machine(swap=None, design=design, verify=True, page_cluster=0) as m:
        m.swapon(path, size="1M")
        p, region, pages = swapped_out(m)
        bad = slot_of(m, p, region.page(5))
        flip(path, bad)
        for i in range(8):
            if i != 5:
                assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]
        for _ in range(2):
            with pytest.raises(
                ChecksumMismatch, match=rf"Page {bad} of .*swap\.img is damaged: .* free the page\.$"
            ) as caught:
                p.read(region.page(5).start, 1)
            assert (caught.value.errno, isinstance(caught.value, DeviceIOError)) == (errno.EIO, True)
            m.check()
        assert m.devices.read_errors == 1
        flip(path, bad)
        m.reclaim()
        assert contents(p, region) == pages
        m.reclaim()
        flip(path, slot_of(m, p, region.page(5)))
        assert m.swapoff(path).pages_lost == 1
        with pytest.raises(DeviceIOError):
            p.read(region.page(5).start, 1)
        m.check()


@pytest.mark.parametrize("design", DESIGNS)
def test_without_verify_a_damaged_page_is_read_as_it_is_as_on_linux(design: str, tmp_path: Path) -> None:
    path = tmp_path / "swap.img"
    with machine(swap=None, design=design) as m:
        m.swapon(path, size="1M")
        p, region, pages = swapped_out(m)
        flip(path, slot_of(m, p, region.page(5)))
        wrong = p.read(region.page(5).start, PAGE_SIZE)
        assert wrong[100] == pages[5][100] ^ 1
        assert wrong[:100] + wrong[101:] == pages[5][:100] + pages[5][101:]
        assert type(m.devices) is SwapDevices


@pytest.mark.parametrize("design", DESIGNS)
def test_verify_finds_two_pages_swapped_by_the_disk_and_one_page_of_a_large_folio(design: str) -> None:
    with machine(design=design, verify=True, page_cluster=0) as m:
        device = device_of(m).device
        p, region, pages = swapped_out(m, 16, order=4)
        first, second = (slot_of(m, p, region.page(i)) for i in (2, 3))
        old, new = device.read(first), device.read(second)
        device.write(first, new)
        for i in range(16):
            if i != 2:
                assert p.read(region.page(i).start, PAGE_SIZE) == pages[i]
        with pytest.raises(ChecksumMismatch, match=f"Page {first} "):
            p.read(region.page(2).start, 1)
        device.write(first, old)
        m.reclaim()
        assert contents(p, region) == pages


@pytest.mark.parametrize("zswap", [None, {}])
@pytest.mark.parametrize("design", DESIGNS)
def test_verify_lets_all_that_is_well_pass(design: str, zswap: dict[str, Any] | None) -> None:
    """Written, rewritten, freed and taken again, written back from zswap, with failed writes between."""
    with machine(design=design, zswap=zswap, verify=True, ram="128K") as m:
        si = device_of(m)
        p = m.spawn("app")
        region = p.mmap("512K")
        pages: list[bytes] = []
        for turn in range(4):
            si.device.inject(Fault("write", "short", nth=5, times=2))
            pages = [(noise if (i + turn) % 3 else text)(i + 1000 * turn) for i in range(128)]
            for i, page in enumerate(pages):
                p.write(region.page(i).start, page)
            m.writeback(8)
            assert contents(p, region) == pages
        p.munmap(region)
        m.swapoff(si)
        again = m.swapon(size="1M")
        assert isinstance(m.devices, VerifiedDevices)
        assert list(m.devices.checksums) == [again.type]
        assert not m.devices.checksums[0].arena.rows.any()


def test_verify_knows_a_slot_by_what_was_to_be_written_even_if_that_failed() -> None:
    devices = VerifiedDevices()
    si = devices.swapon(MemoryDevice("1M"))
    slot = make_slot(0, 5)
    assert devices.read(slot) == bytes(PAGE_SIZE), "never written: nothing to compare with"
    si.device.inject(Fault("write", "short"))
    with pytest.raises(DeviceIOError, match="half-way"):
        devices.write(slot, noise(1))
    with pytest.raises(ChecksumMismatch):
        devices.read(slot)
    devices.write(slot, noise(1))
    assert devices.read(slot) == noise(1)


def test_a_page_whose_checksum_is_zero_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 stands for a slot never written, so a page whose CRC-32 is 0 has another number."""
    sums = Checksums(8)
    sums.verify(3, noise(1), "memory")
    with monkeypatch.context() as patched:
        patched.setattr("vswaplab.backends.checksums.crc32", lambda _: 0)
        sums.note(3, noise(1))
        sums.verify(3, noise(1), "memory")
    with pytest.raises(ChecksumMismatch):
        sums.verify(3, noise(2), "memory")


def test_verify_costs_memory_only_for_what_was_written() -> None:
    devices = VerifiedDevices()
    devices.swapon(MemoryDevice("1T"))
    devices.write(make_slot(0, 1 << 27), noise(1))
    assert devices.checksums[0].arena.resident_bytes() <= 64 * PAGE_SIZE
    with pytest.raises(SwapError):
        devices.swapon(MemoryDevice("1M"), priority=-1)
    assert list(devices.checksums) == [0]
