"""swapon and swapoff as system calls: the errors of the manual page, and a machine that is as before after each."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmkit import contents, fill, machine, noise

from vswaplab import Machine
from vswaplab.backends.device import Device, Fault, FileDevice, MemoryDevice
from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.entry import MAX_SWAPFILES
from vswaplab.errors import (
    Busy,
    DeviceIOError,
    Interrupted,
    InvalidArgument,
    Killed,
    NoMemory,
    NotFound,
    NotPermitted,
    SwapError,
)
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE

DESIGNS = ("virtual", "legacy")


@pytest.fixture(params=DESIGNS)
def m(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine without swap, checked at the end."""
    with machine(swap=None, design=request.param) as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "swap.img"


def written(m: Machine, pages: int = 4, first: int = 0) -> tuple[Process, Region, list[bytes]]:
    """A process that has written some pages, no two alike."""
    p = m.spawn("app")
    region = p.mmap(pages * PAGE_SIZE)
    return p, region, fill(p, region, first)


def state(m: Machine) -> tuple[object, ...]:
    """What swapon and swapoff may change."""
    return (
        m.procfs("swaps"),
        [id(si) for si in m.devices],
        [si.type for si in m.devices.active],
        [si.type for si in m.devices.avail],
        m.devices.total_pages,
        m.devices.free_pages,
        len(m.trace) if m.trace is not None else 0,
    )


def refused(m: Machine, code: int, words: str, call: Callable[..., object], *args: object, **how: object) -> None:
    """A call fails with an errno and one sentence, and the machine is as before."""
    before = state(m)
    with pytest.raises(SwapError, match=words) as caught:
        call(*args, **how)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[code]
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert state(m) == before
    m.check()


# -- swapon: the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holds", [b"my thesis", b"my thesis " * 1000, bytes(1 << 16)])
def test_a_file_that_is_no_swap_file_is_einval_and_is_not_touched(m: Machine, path: Path, holds: bytes) -> None:
    path.write_bytes(holds)
    for size in (None, "1M"):
        refused(m, errno.EINVAL, "is not a swap file", m.swapon, path, size=size)
        assert path.read_bytes() == holds


def test_a_missing_file_without_a_size_is_enoent(m: Machine, path: Path) -> None:
    refused(m, errno.ENOENT, "give the size", m.swapon, path)
    refused(m, errno.ENOENT, "no folder", m.swapon, path / "deeper", size="1M")
    assert not path.exists()


def test_a_folder_a_pipe_and_an_empty_file_are_einval(m: Machine, tmp_path: Path, path: Path) -> None:
    refused(m, errno.EINVAL, "is a folder", m.swapon, tmp_path, size="1M")
    os.mkfifo(tmp_path / "pipe")
    refused(m, errno.EINVAL, "no regular file", m.swapon, tmp_path / "pipe", size="1M")
    path.touch()
    refused(m, errno.EINVAL, "is empty", m.swapon, path)


@pytest.mark.parametrize("path", ["x\0y", "n" * 300, b"swap.img", 7, 1.5])
def test_what_can_be_no_path_is_einval_for_both_calls(m: Machine, path: Any) -> None:
    refused(m, errno.EINVAL, "path", m.swapon, path, size="1M")
    refused(m, errno.EINVAL, "path", m.swapoff, path)


def test_links_in_a_circle_are_einval_for_both_calls(m: Machine, path: Path) -> None:
    path.symlink_to(path)
    refused(m, errno.EINVAL, "circle", m.swapon, path, size="1M")
    refused(m, errno.EINVAL, "can't be the path", m.swapoff, path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_one_may_not_write_is_eperm(m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(code, os.strerror(code))

    FileDevice(path, "1M").close()
    monkeypatch.setattr(os, "open", refuse)
    refused(m, errno.EPERM, "not permitted; choose a path", m.swapon, path)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (4086, b"SWAP-SPACE", "not a swap file"),
        (1024, struct.pack("<I", 2), "version 2"),
        (1028, struct.pack("<I", 0), "last page 0, not 1 to 255"),
        (1028, struct.pack("<I", 256), "last page 256, not 1 to 255"),
        (1032, struct.pack("<I", 638), "638 bad pages"),
        (1032, struct.pack("<I", 1), "Page 0"),
        (1536, struct.pack("<I", 256), "Page 256"),
    ],
)
def test_a_damaged_header_is_einval_and_says_what_is_wrong(
    m: Machine, path: Path, offset: int, value: bytes, words: str
) -> None:
    FileDevice(path, "1M", bad_pages=[9] if offset == 1536 else ()).close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    refused(m, errno.EINVAL, words, m.swapon, path)


def test_a_file_smaller_than_its_header_says_is_einval(m: Machine, path: Path) -> None:
    FileDevice(path, "1M").close()
    os.truncate(path, 1 << 19)
    refused(m, errno.EINVAL, "last page 255, not 1 to 127", m.swapon, path)
    assert path.stat().st_size == 1 << 19


def test_a_file_whose_pages_are_all_bad_is_einval(m: Machine, path: Path) -> None:
    FileDevice(path, "16K", bad_pages=[1, 2, 3]).close()
    refused(m, errno.EINVAL, "All pages", m.swapon, path)


def test_a_device_that_was_closed_is_eio(m: Machine, path: Path) -> None:
    for device in (FileDevice(path, "1M"), MemoryDevice("1M")):
        device.close()
        refused(m, errno.EIO, "was closed; open it again", m.swapon, device)


def test_a_header_that_can_not_be_read_is_eio(m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> bytes:
        raise OSError(errno.EIO, "no")

    with FileDevice(path, "1M") as device:
        monkeypatch.setattr(os, "pread", fail)
        refused(m, errno.EIO, "Reading page 0 of .*swap.img failed", m.swapon, device)
        monkeypatch.undo()
        m.swapon(device)


# -- swapon: already on ---------------------------------------------------------------------------------------------


def test_a_file_that_is_on_is_ebusy_by_whatever_path(m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m.swapon(path, size="1M")
    soft, hard = path.with_name("soft"), path.with_name("hard")
    soft.symlink_to(path)
    hard.hardlink_to(path)
    monkeypatch.chdir(path.parent)
    for same in (path, str(path), soft, hard, Path("swap.img"), "./swap.img", path.parent / "x" / ".." / "swap.img"):
        if "x" not in str(same):
            refused(m, errno.EBUSY, "on already, as device 0; swap it off first", m.swapon, same)
        for size in ("1M", "2M"):
            refused(m, errno.EBUSY if "x" not in str(same) else errno.ENOENT, "swap", m.swapon, same, size=size)
    assert path.stat().st_size == 1 << 20


def test_a_device_that_is_on_is_ebusy(m: Machine) -> None:
    device = MemoryDevice("1M")
    m.swapon(device)
    refused(m, errno.EBUSY, "on already as type 0", m.swapon, device)


def test_a_file_of_another_machine_is_ebusy(m: Machine, path: Path) -> None:
    with Machine(ram="1M") as other:
        other.swapon(path, size="1M")
        refused(m, errno.EBUSY, "in use by another device", m.swapon, path)
    m.swapon(path)


def test_a_file_that_took_the_name_of_one_that_is_on_is_another(m: Machine, path: Path) -> None:
    m.swapon(path, size="1M")
    path.rename(path.with_name("moved"))
    m.swapon(path, size="2M")
    assert [si.pages for si in m.devices] == [255, 511]
    refused(m, errno.EBUSY, "device 0", m.swapon, path.with_name("moved"))
    m.swapoff(path.with_name("moved"))
    assert [si.type for si in m.devices] == [1]


# -- swapon: arguments and rights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [-1, -2, 32768, 1 << 40, 1.5, "high", True])
def test_a_bad_priority_is_einval_and_makes_no_file(m: Machine, path: Path, priority: Any) -> None:
    refused(m, errno.EINVAL, "Priority", m.swapon, path, size="1M", priority=priority)
    refused(m, errno.EINVAL, "Priority", m.swapon, size="1M", priority=priority)
    assert not path.exists()


@pytest.mark.parametrize("discard", ["never", "", 2, None, "Once"])
def test_a_bad_discard_policy_is_einval_and_makes_no_file(m: Machine, path: Path, discard: Any) -> None:
    refused(m, errno.EINVAL, "'once' or 'pages'", m.swapon, path, size="1M", discard=discard)
    assert not path.exists()


def test_more_than_29_devices_are_eperm_as_on_linux_and_make_no_file(m: Machine, path: Path) -> None:
    for _ in range(MAX_SWAPFILES):
        m.swapon(size="16K")
    refused(m, errno.EPERM, "All 29 swap devices are in use; swap one off first", m.swapon, path, size="1M")
    assert not path.exists()
    first = next(iter(m.devices))
    m.swapoff(first)
    assert m.swapon(path, size="1M").type == 0


@pytest.mark.parametrize("design", DESIGNS)
def test_an_unprivileged_machine_may_neither_swap_on_nor_off(design: str, path: Path) -> None:
    with Machine(ram="1M", design=design, zswap=None, privileged=False) as m:
        refused(m, errno.EPERM, "swapon needs CAP_SYS_ADMIN", m.swapon, path, size="1M")
        refused(m, errno.EPERM, "swapon needs", m.swapon, path, size="1M", priority=-7)
        assert not path.exists()
        m.privileged = True
        si = m.swapon(path, size="1M")
        p, region, pages = written(m)
        m.reclaim()
        m.privileged = False
        for each in (si, path, "nowhere"):
            refused(m, errno.EPERM, "swapoff needs CAP_SYS_ADMIN", m.swapoff, each)
        assert contents(p, region) == pages
        m.privileged = True
        m.swapoff(si)


# -- swapon: nothing is left behind ---------------------------------------------------------------------------------


@pytest.fixture
def no_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device is refused at the last moment, when its maps are made."""

    def refuse(*_args: object, **_how: object) -> None:
        raise NoMemory("No address space for the maps.")

    monkeypatch.setattr(SwapFile, "__init__", refuse)


@pytest.mark.usefixtures("no_maps")
@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_a_refused_swapon_made_is_gone_again(m: Machine, path: Path, link: bool) -> None:
    asked = path
    if link:
        asked = path.with_name("link")
        asked.symlink_to(path)
    refused(m, errno.ENOMEM, "No address space", m.swapon, asked, size="1M")
    assert not path.exists()
    assert [each.name for each in path.parent.iterdir()] == (["link"] if link else [])


@pytest.mark.usefixtures("no_maps")
def test_a_file_that_was_there_is_what_it_was_after_a_refused_swapon(m: Machine, path: Path) -> None:
    path.touch()
    refused(m, errno.ENOMEM, "No address space", m.swapon, path, size="1M")
    assert path.read_bytes() == b""
    with FileDevice(path, "1M", label="lab") as device:
        device.write(9, b"9" * PAGE_SIZE)
    before = path.read_bytes()
    for size in (None, "1M", "2M"):
        refused(m, errno.ENOMEM, "No address space", m.swapon, path, size=size)
        assert path.read_bytes() == before
    with FileDevice(path) as device:  # nobody holds its lock
        assert device.read(9) == b"9" * PAGE_SIZE


@pytest.mark.usefixtures("no_maps")
def test_a_device_of_ones_own_stays_open_after_a_refused_swapon(m: Machine, path: Path) -> None:
    with FileDevice(path, "1M") as device:
        refused(m, errno.ENOMEM, "No address space", m.swapon, device)
        assert device.read(1) == bytes(PAGE_SIZE)
    assert path.exists()


def test_a_header_that_finds_no_room_is_enospc_and_leaves_no_file(
    m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "pwrite", full)
    refused(m, errno.ENOSPC, "free space", m.swapon, path, size="1M")
    assert not path.exists()


def test_a_size_that_the_file_system_refuses_is_einval_and_leaves_no_file(
    m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(*_args: object) -> int:
        raise OSError(errno.EFBIG, "no")

    monkeypatch.setattr(os, "ftruncate", large)
    refused(m, errno.EINVAL, "use a smaller one", m.swapon, path, size="1M")
    assert not path.exists()


# -- priorities -----------------------------------------------------------------------------------------------------


def prios(m: Machine) -> list[int]:
    """The last column of /proc/swaps."""
    shown = [int(line.split()[-1]) for line in m.procfs("swaps").splitlines()[1:]]
    assert shown == [si.prio for si in m.devices]
    return shown


@pytest.mark.parametrize("design", DESIGNS)
def test_without_a_priority_all_devices_are_equal_and_take_turns(design: str) -> None:
    """Linux 6.19 gives -1 to every device, so that the second one has its turn with the second cluster [S48]."""
    with machine(swap=None, design=design, ram="8M") as m:
        one, two = m.swapon(size="8M"), m.swapon(size="8M")
        assert prios(m) == [-1, -1]
        p, region, pages = written(m, 1100)
        m.reclaim()
        assert sorted((one.inuse_pages, two.inuse_pages)) == [512 - 1, 1100 - 511]
        assert contents(p, region) == pages
        m.swapoff(one)
        assert (prios(m), m.swapon(size="16K").prio) == ([-1], -1)


@pytest.mark.parametrize("design", DESIGNS)
def test_falling_priorities_are_those_of_linux_up_to_6_18(design: str) -> None:
    """-2, -3 and on down, without gaps, and the first that was swapped on is filled first [S48]."""
    with machine(swap=None, design=design, ram="8M", default_priority="falling") as m:
        made = [m.swapon(size=size) for size in ("4M", "8M", "16K", "16K")]
        assert prios(m) == [-2, -3, -4, -5]
        _, region, _ = written(m, 1100)
        m.reclaim()
        assert [si.inuse_pages for si in made] == [1023, region.pages - 1023, 0, 0]
        m.swapoff(made[1])
        assert prios(m) == [-2, -3, -4]
        assert m.swapon(size="16K").prio == -5
        m.swapoff(made[2])
        assert prios(m) == [-2, -4, -3]  # in order of type: the fifth device has type 1


def test_explicit_priorities_leave_the_default_ones_alone(m: Machine) -> None:
    first = m.swapon(size="16K", priority=0)
    for priority in (32767, 5, None, 5, None):
        m.swapon(size="16K", priority=priority)
    assert prios(m) == [0, 32767, 5, -1, 5, -1]
    assert [si.type for si in m.devices.by_priority()] == [1, 2, 4, 0, 3, 5]
    m.swapoff(first)
    assert prios(m) == [32767, 5, -1, 5, -1]


@pytest.mark.parametrize("design", DESIGNS)
def test_higher_priorities_are_filled_first_and_equals_take_turns_cluster_by_cluster(design: str) -> None:
    with machine(swap=None, design=design, ram="8M") as m:
        low, high = m.swapon(size="4M"), m.swapon(size="16K", priority=7)
        ones = [m.swapon(size="8M", priority=3) for _ in range(2)]
        p, region, pages = written(m, 1100)
        m.reclaim()
        assert (high.inuse_pages, low.inuse_pages) == (3, 0)
        assert sorted(si.inuse_pages for si in ones) == [512 - 1, 1100 - 3 - 511]
        assert contents(p, region) == pages


def test_a_refused_swapon_uses_up_no_falling_priority(path: Path) -> None:
    with machine(swap=None, default_priority="falling") as m:
        m.swapon(size="16K")
        path.write_bytes(b"my thesis")
        refused(m, errno.EINVAL, "not a swap file", m.swapon, path)
        assert m.swapon(size="16K").prio == -3


# -- discard --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discard", "at_swapon", "of_clusters"),
    [(False, 0, 0), ("once", 1, 0), ("pages", 0, 1), (True, 1, 1)],
)
def test_discard_once_is_of_the_whole_area_and_pages_of_emptied_clusters(
    m: Machine, discard: Any, at_swapon: int, of_clusters: int
) -> None:
    device = MemoryDevice("4M")
    device.write(1000, b"x" * PAGE_SIZE)
    si = m.swapon(device, discard=discard)
    assert (device.discards, device.pages_discarded) == (at_swapon, at_swapon * 1023)
    assert (device.read(1000) == bytes(PAGE_SIZE)) == bool(at_swapon)
    p, region, _ = written(m, 100)
    m.reclaim()
    p.munmap(region)
    assert m.devices.do_discards() == 0, "the worker has run"
    assert (device.discards, si.discard) == (at_swapon + of_clusters, bool(of_clusters))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("how", ["munmap", "exit", "unlink"])
def test_emptied_clusters_are_discarded_at_the_end_of_the_operation_that_emptied_them(design: str, how: str) -> None:
    """A free that empties a cluster wakes the worker, which issues the discard as soon as it runs [S20]."""
    with machine(swap=None, design=design, ram="8M") as m:
        si = m.swapon(size="8M", discard="pages")
        p, region, _ = written(m, 1100)
        file = m.shmem_open("/dev/shm/f", "4400K")
        if how == "unlink":
            p.exit()
            for page in range(file.pages):
                file.write(page * PAGE_SIZE, noise(page))
        m.reclaim()
        assert (si.inuse_pages, si.device.discards) == (1100, 0)
        match how:
            case "munmap":
                p.munmap(region)
            case "exit":
                p.exit()
            case _:
                file.unlink()
        assert (si.inuse_pages, len(si.lists.discard)) == (0, 0)
        assert si.device.discards == si.device.pages_discarded // 512 == 3
        assert si.free_pages == si.pages


def test_a_device_that_can_not_discard_is_not_asked_to(m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = MemoryDevice("1M")
    plain.discard_supported = False
    monkeypatch.setattr("vswaplab.backends.device._punch_hole", lambda *_: False)
    for si in (m.swapon(plain, discard=True), m.swapon(path, size="64G", discard=True)):
        assert (si.discard, si.device.discards, si.device.discard_errors) == (False, 0, 0)
    assert path.stat().st_blocks * 512 < 1 << 20


def test_a_failed_discard_is_no_reason_to_refuse_a_device(m: Machine) -> None:
    device = MemoryDevice("1M")
    device.inject(Fault("discard"))
    m.swapon(device, discard="once")
    assert (device.discards, device.discard_errors) == (1, 1)


# -- swapoff: what is not on ----------------------------------------------------------------------------------------


def test_swapoff_of_a_file_that_is_not_on_is_einval_and_of_none_enoent(m: Machine, path: Path, tmp_path: Path) -> None:
    m.swapon(size="1M")
    refused(m, errno.ENOENT, "There is no file", m.swapoff, path)
    refused(m, errno.ENOENT, "There is no file", m.swapoff, "nowhere/swap.img")
    path.write_bytes(b"my thesis")
    refused(m, errno.ENOENT, "There is no file", m.swapoff, path / "below")
    refused(m, errno.EINVAL, r"is not swapped on; .* that are: 0 \(memory\)", m.swapoff, path)
    refused(m, errno.EINVAL, "is not swapped on", m.swapoff, tmp_path)
    refused(m, errno.EINVAL, "is not swapped on", m.swapoff, MemoryDevice("1M"))


def test_swapoff_twice_is_einval(m: Machine, path: Path) -> None:
    si = m.swapon(path, size="1M")
    m.swapoff(path)
    for same in (si, si.device, path, str(path)):
        refused(m, errno.EINVAL, "is not swapped on; no device is", m.swapoff, same)
    path.unlink()
    refused(m, errno.ENOENT, "what swapon returned", m.swapoff, path)


def test_swapoff_of_another_machines_device_is_einval(m: Machine, path: Path) -> None:
    with Machine(ram="1M") as other:
        si = other.swapon(path, size="1M")
        for same in (si, si.device, path):
            refused(m, errno.EINVAL, "is not swapped on", m.swapoff, same)


def test_swapoff_finds_a_file_by_any_path_that_leads_to_it(
    m: Machine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft, hard = path.with_name("soft"), path.with_name("hard")
    soft.symlink_to(path)
    monkeypatch.chdir(path.parent)
    m.swapon(path, size="1M")
    hard.hardlink_to(path)
    for same in (soft, hard, "swap.img", Path("./soft")):
        m.swapoff(same)
        m.swapon(path)
    device = MemoryDevice("1M")
    m.swapon(device)
    m.swapoff(device)
    m.swapoff(path)
    assert len(m.devices) == 0


def test_a_file_that_was_removed_while_on_still_serves_and_goes_by_what_swapon_returned(m: Machine, path: Path) -> None:
    si = m.swapon(path, size="1M")
    p, region, pages = written(m)
    path.unlink()
    m.reclaim()
    refused(m, errno.ENOENT, "what swapon returned", m.swapoff, path)
    path.write_bytes(b"my thesis")
    refused(m, errno.EINVAL, "is not swapped on", m.swapoff, path)
    m.swapoff(si)
    assert contents(p, region) == pages


# -- swapoff: what stops it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_without_memory_swapoff_is_killed_and_the_device_stays_on_as_it_was(design: str) -> None:
    """The task that calls swapoff is the preferred victim (set_current_oom_origin): killed, and nobody else [S51]."""
    with machine(swap=None, design=design, ram="64K") as m:
        high, low = m.swapon(size="132K", priority=4), m.swapon(MemoryDevice("16K"))
        p, region, pages = written(m, 32)
        assert high.inuse_pages >= 16
        before = state(m)
        for times in range(1, 4):
            with pytest.raises(Killed, match=r"swapoff was killed for want of memory") as caught:
                m.swapoff(high)
            assert caught.value.errno == errno.EINTR
            assert dict(line.split() for line in m.procfs("vmstat").splitlines())["oom_kill"] == str(times)
            assert m.dmesg().count("Out of memory: Killed process (swapoff)") == times
            assert p.alive
            m.check()
            assert state(m)[1:3] == before[1:3]
            assert (state(m)[4], prios(m), high.writeok) == (before[4], [4, -1], True)
            assert contents(p, region) == pages
        p.munmap(region.page(0).start, 20 * PAGE_SIZE)
        m.swapoff(high)
        m.check()
        assert (list(m.devices), low.prio) == ([low], -1)
        assert [p.read(region.page(i).start, PAGE_SIZE) for i in range(20, 32)] == pages[20:]


@pytest.mark.parametrize("design", DESIGNS)
def test_under_strict_overcommit_swapoff_is_refused_before_anything_is_read(design: str) -> None:
    """All pages of the device are held against the commit limit, in use or not [S51]; the heuristic never refuses."""
    with machine(swap=None, design=design, ram="1M", overcommit_memory=2) as m:
        si = m.swapon(size="1M")  # 255 slots; the limit is 128 + 255
        p, region, pages = written(m, 100)
        assert (m.committed_pages, m.commit_limit_pages) == (100, 383)
        m.reclaim()
        m.swapoff(m.swapon(size="64K"))  # 15 more, and 115 are less than the limit
        q = p.fork()  # its 100 pages are private, too
        for _ in range(2):
            before = state(m)
            with pytest.raises(
                NoMemory, match=r"swapoff refused: 200 pages are committed, and the 255 .* limit of 383"
            ):
                m.swapoff(si)
            assert state(m) == before
            assert si.device.reads == 0
        for lenient in (0, 1):
            m.overcommit_memory = lenient
            m.swapoff(si)
            si = m.swapon(size="1M")
        assert [contents(each, region) for each in (p, q)] == [pages, pages]


@pytest.mark.parametrize("design", DESIGNS)
def test_a_cgroup_at_its_limit_is_enomem_for_swapoff_and_kills_nobody(design: str) -> None:
    """The OOM killer of a cgroup looks for a victim inside; the model has none, and swapoff gives up [BACKGROUND]."""
    with machine(swap=None, design=design, ram="1M") as m:
        si = m.swapon(size="1M")
        group = m.memcg("g")
        p = m.spawn("app", memcg=group)
        region = p.mmap("64K")
        pages = fill(p, region)
        m.reclaim()
        group.max = "32K"
        with pytest.raises(NoMemory, match=r"memory cgroup .*g, ") as caught:
            m.swapoff(si)
        assert (caught.value.errno, m.vm_events["oom_kill"], list(m.devices)) == (errno.ENOMEM, 0, [si])
        group.max = None
        m.swapoff(si)
        assert contents(p, region) == pages


def test_after_a_failed_swapoff_a_device_stands_behind_its_equals(m: Machine) -> None:
    first, second, third = (m.swapon(size="64K", priority=prio) for prio in (5, 5, 1))
    written(m)
    m.reclaim()
    with pytest.raises(Interrupted):
        m.swapoff(first, cancel=lambda: True)
    assert [si.type for si in m.devices.active] == [second.type, first.type, third.type]
    assert [si.prio for si in m.devices.active] == [5, 5, 1]


def crowd(m: Machine) -> list[tuple[Any, Region, list[bytes]]]:
    """Processes with pages on the device in every way there is: shared, in the swap cache, from tmpfs, zeros."""
    p, region, pages = written(m, 6)
    m.reclaim()
    child = p.fork("child")
    p.write(region.start, b"changed")
    pages_of_p = [b"changed" + pages[0][7:], *pages[1:]]
    q, other, more = written(m, 5, first=50)
    q.write(other.page(2).start, bytes(PAGE_SIZE))
    more[2] = bytes(PAGE_SIZE)
    m.reclaim()
    q.touch(other.page(1))
    return [(p, region, pages_of_p), (child, region, pages), (q, other, more)]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("zswap", [None, {}])
def test_a_signal_at_every_point_of_a_swapoff_loses_nothing(design: str, zswap: dict[str, object] | None) -> None:
    """With a patience of 0, 1, 2 ... questions, until it is enough: a fresh machine each."""
    patience = 0
    while True:
        with machine(design=design, zswap=zswap) as m:
            held = crowd(m)
            file = m.shmem_open("/dev/shm/log", "12K")
            file.write(5000, b"hello")
            m.reclaim()
            si = next(iter(m.devices))
            left = patience

            def signal() -> bool:
                nonlocal left
                left -= 1
                return left < 0

            try:
                m.swapoff(si, cancel=signal)
            except Interrupted:
                m.check()
                assert list(m.devices) == [si]
                assert (si.prio, si.writeok) == (-1, True)
                m.swapoff(si)
                ended = False
            else:
                ended = True
            m.check()
            assert len(m.devices) == 0
            assert all(contents(p, region) == pages for p, region, pages in held)
            assert file.read(5000, 5) == b"hello"
        if ended:
            break
        patience += 1
    assert patience >= (10 if zswap is None or design == "legacy" else 0)


def test_a_swapoff_that_is_interrupted_again_and_again_comes_to_its_end(m: Machine) -> None:
    m.swapon(size="1M")
    held = crowd(m)
    si = next(iter(m.devices))
    for patience in range(100):
        left = [patience]

        def signal(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        try:
            m.swapoff(si, cancel=signal)
            break
        except Interrupted:
            m.check()
            assert all(contents(p, region) == pages for p, region, pages in held)
    assert len(m.devices) == 0
    assert all(contents(p, region) == pages for p, region, pages in held)


def readable(p: Process, region: Region, page: int) -> bool:
    try:
        p.read(region.page(page).start, 1)
    except DeviceIOError:
        return False
    return True


def test_a_page_that_can_not_be_read_is_lost_and_does_not_stop_swapoff(m: Machine) -> None:
    """Legacy leaves a poison marker, v6 a folio that is not uptodate: an access fails, in either design [S14]."""
    si = m.swapon(size="1M", priority=3)
    p, region, pages = written(m, 8)
    m.reclaim()
    si.device.inject(Fault("read", page=3, times=100))
    report = m.swapoff(si)
    m.check()
    assert (report.pages_lost, report.pages_read, list(m.devices)) == (1, 7, [])
    m.swapon(size="1M")
    assert m.reclaim() == 7, "what could not be read is not written"
    (lost,) = [i for i in range(8) if not readable(p, region, i)]
    assert [p.read(region.page(i).start, PAGE_SIZE) for i in range(8) if i != lost] == pages[:lost] + pages[lost + 1 :]
    with pytest.raises(DeviceIOError, match="could not be read from swap"):
        p.write(region.page(lost).start, b"new")
    p.munmap(region.page(lost))
    m.check()
    assert not m.trace.step(len(m.trace) - 1).diff(m.snapshot().state)


def test_a_slot_that_belongs_to_nobody_is_ebusy_and_the_device_stays_on() -> None:
    """A slot taken from the device itself, as hibernation does, can't be moved; the device is not left half off."""
    with machine() as m:
        si = next(iter(m.devices))
        slot = m.devices.alloc_slot()
        with pytest.raises(Busy, match="1 slots of device 0 can't be moved"):
            m.swapoff(si)
        assert (si.writeok, list(m.devices.active)) == (True, [si])
        m.devices.free_slots(slot)
        m.swapoff(si)


@pytest.mark.parametrize(
    ("design", "swap", "room"), [("legacy", "1M", 55), ("virtual", "1M", 255), ("virtual", None, 0)]
)
def test_a_hibernation_image_has_the_slots_that_no_page_holds(design: str, swap: str | None, room: int) -> None:
    """An image needs slots of a device [S46]. 200 pages are in zswap: that takes 200 slots in one design only."""
    with machine(design=design, swap=swap, ram="16M", zswap={}) as m:
        p, region, pages = written(m, 200)
        m.reclaim()
        assert m.zswap is not None
        assert m.zswap.stored_pages == 200
        taken = list(iter(m.devices.alloc_slot, 0))
        assert len(taken) == room
        for slot in taken:
            m.devices.free_slots(slot)
        assert contents(p, region) == pages


def test_any_exception_of_a_device_leaves_it_on(m: Machine) -> None:
    """A device of one's own with a bug in it stops swapoff, no more."""

    class Broken(MemoryDevice):
        broken = False

        def _read(self, page: int, nr: int) -> bytes:
            if self.broken:
                raise ZeroDivisionError
            return super()._read(page, nr)

    device = Broken("1M")
    si = m.swapon(device)
    p, region, pages = written(m)
    m.reclaim()
    device.broken = True
    with pytest.raises(ZeroDivisionError):
        m.swapoff(si)
    device.broken = False
    m.check()
    assert m.devices.active == [si]
    assert contents(p, region) == pages


def test_the_table_of_devices_counts_alone_too() -> None:
    """`require_swapon` says which type comes next, and refuses what swapon would refuse."""
    devices = SwapDevices()
    assert devices.require_swapon() == 0
    device: Device = MemoryDevice("16K")
    devices.swapon(device)
    assert devices.require_swapon(3, "once") == 1
    for error, how in ((InvalidArgument, {"priority": -1}), (InvalidArgument, {"discard": "x"})):
        with pytest.raises(error):
            devices.require_swapon(**how)  # type: ignore[arg-type]
    for _ in range(MAX_SWAPFILES - 1):
        devices.swapon(MemoryDevice("16K"))
    with pytest.raises(NotPermitted):
        devices.require_swapon()
    with pytest.raises(NotFound):
        devices[MAX_SWAPFILES]
