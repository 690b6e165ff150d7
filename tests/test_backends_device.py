"""Devices: requests and their counts, faults, the header, and real files with what can be wrong with them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab.backends.device import (
    MAX_DEVICE_PAGES,
    Device,
    Fault,
    FileDevice,
    MemoryDevice,
    SwapHeader,
    mkswap,
    read_header,
)
from vswaplab.backends.swap_header import MAX_BADPAGES
from vswaplab.errors import Busy, DeviceIOError, InvalidArgument, NoSpace, NotFound, SwapError
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

A, B = b"a" * PAGE_SIZE, b"b" * PAGE_SIZE


@pytest.fixture(params=["file", "memory"])
def device(request, tmp_path):
    made: Device = FileDevice(tmp_path / "swap.img", "1M") if request.param == "file" else MemoryDevice("1M")
    yield made
    made.close()


def test_what_was_written_is_read_and_the_rest_is_zero(device):
    device.write(3, A + B)
    assert device.read(2, 4) == ZERO_PAGE + A + B + ZERO_PAGE
    assert device.read(255) == ZERO_PAGE


def test_one_call_is_one_request_whatever_its_length(device):
    device.write(1, A * 8)
    device.write(9, A)
    device.read(1, 4)
    device.read(5, 4)
    device.read(1)
    device.discard(1, 8)
    assert (device.writes, device.pages_written, device.sequential_writes) == (2, 9, 1)
    assert (device.reads, device.pages_read, device.sequential_reads) == (3, 9, 1)
    assert (device.discards, device.pages_discarded, device.errors) == (1, 8, 0)


def test_discarded_pages_read_as_zeros_and_their_neighbours_stay(device):
    device.write(10, A * 4)
    device.discard(11, 2)
    assert device.read(10, 4) == A + ZERO_PAGE * 2 + A


@pytest.mark.parametrize(("page", "nr"), [(0, 1), (-1, 1), (1, 0), (255, 2), (256, 1)])
def test_requests_beyond_the_slots_are_refused(device, page, nr):
    with pytest.raises(InvalidArgument, match="slots are pages 1 to 255"):
        device.read(page, nr)
    with pytest.raises(InvalidArgument):
        device.write(page, A * nr)
    with pytest.raises(InvalidArgument):
        device.discard(page, nr)


def test_a_part_of_a_page_is_refused(device):
    with pytest.raises(InvalidArgument, match="whole pages"):
        device.write(1, b"abc")


def test_any_buffer_can_be_written_and_later_changes_to_it_do_not_matter(device):
    buffer = bytearray(A)
    device.write(1, buffer)
    device.write(2, memoryview(buffer))
    buffer[:] = B
    assert device.read(1, 2) == A + A


# -- faults ----------------------------------------------------------------------------------------------------------


def outcome(action):
    try:
        action()
    except SwapError as error:
        return type(error)
    return None


def test_a_fault_hits_the_nth_request_from_now_on_and_as_many_as_it_says(device):
    device.read(1)
    device.inject(Fault("read", nth=2, times=2))
    assert [outcome(lambda: device.read(1)) for _ in range(5)] == [None, DeviceIOError, DeviceIOError, None, None]
    assert device.errors == 2
    assert device.faults == ()


def test_a_fault_on_a_page_waits_for_a_request_that_touches_it(device):
    device.inject(Fault("write", "ENOSPC", page=6))
    device.write(1, A * 5)
    device.write(7, A)
    with pytest.raises(NoSpace):
        device.write(5, B * 2)
    assert device.read(5, 2) == A + ZERO_PAGE, "a refused write changes nothing"
    device.write(5, B * 2)
    assert device.read(5, 2) == B * 2


def test_a_short_write_leaves_half_of_the_bytes(device):
    device.write(4, A * 2)
    device.inject(Fault("write", "short", times=2))
    with pytest.raises(DeviceIOError, match="half-way"):
        device.write(4, B)
    assert device.read(4) == B[: PAGE_SIZE // 2] + A[: PAGE_SIZE // 2]
    with pytest.raises(DeviceIOError):
        device.write(6, B * 3)
    assert device.read(6, 3) == B + B[: PAGE_SIZE // 2] + ZERO_PAGE[: PAGE_SIZE // 2] + ZERO_PAGE


def test_a_discard_can_fail_half_way(device):
    device.write(1, A * 4)
    device.inject(Fault("discard", "short"))
    assert outcome(lambda: device.discard(1, 4)) is DeviceIOError
    assert device.read(1, 4) == ZERO_PAGE * 2 + A * 2


def test_errors_are_counted_by_kind(device):
    for op, times in (("read", 1), ("write", 2), ("discard", 3)):
        device.inject(Fault(op, times=times))
    for _ in range(4):
        outcome(lambda: device.read(1))
        outcome(lambda: device.write(1, A))
        outcome(lambda: device.discard(1, 1))
    assert (device.read_errors, device.write_errors, device.discard_errors, device.errors) == (1, 2, 3, 6)
    assert (device.pages_read, device.pages_written, device.pages_discarded) == (3, 2, 1)


def test_a_read_can_not_run_out_of_room(device):
    device.inject(Fault("read", "ENOSPC"))
    assert outcome(lambda: device.read(1)) is DeviceIOError


def test_faults_can_be_taken_back(device):
    device.inject(Fault("read"))
    assert device.faults == (Fault("read"),)
    device.clear_faults()
    assert device.read(1) == ZERO_PAGE


def test_two_faults_count_apart(device):
    device.inject(Fault("read", nth=1))
    device.inject(Fault("read", nth=2))
    assert [outcome(lambda: device.read(1)) for _ in range(3)] == [DeviceIOError, DeviceIOError, None]


@pytest.mark.parametrize("wrong", [{"op": "seek"}, {"error": "EPERM"}, {"nth": 0}, {"times": 0}])
def test_a_fault_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidArgument):
        Fault(**{"op": "read", **wrong})


# -- header ----------------------------------------------------------------------------------------------------------


def test_the_header_is_where_mkswap_puts_it():
    device = MemoryDevice("1M", label="lab", bad_pages=[9, 7, 9])
    page = device.read_header_page()
    assert page[-10:] == b"SWAPSPACE2"
    assert struct.unpack_from("<III", page, 1024) == (1, 255, 2)
    assert page[1052:1068] == b"lab".ljust(16, b"\0")
    assert struct.unpack_from("<II", page, 1536) == (7, 9)
    assert not any(page[:1024])


@settings(max_examples=60)
@given(st.data())
def test_a_header_says_again_what_mkswap_was_told(data):
    device = MemoryDevice(data.draw(st.integers(2, MAX_DEVICE_PAGES)) * PAGE_SIZE)
    last = min(device.pages - 1, 2**32 - 1)
    bad = data.draw(st.sets(st.integers(1, last), max_size=20))
    label = data.draw(st.text("abcä", max_size=8))
    written = mkswap(device, label=label, bad_pages=bad)
    assert read_header(device) == written
    assert written == SwapHeader(device.pages - 1, tuple(sorted(bad)), label, written.uuid)


def spoil(device, offset, value):
    page = bytearray(device.read_header_page())
    page[offset : offset + len(value)] = value
    device.write_header_page(bytes(page))


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (4086, b"SWAP-SPACE", "not a swap file"),
        (1024, struct.pack("<I", 2), "version 2"),
        (1028, struct.pack("<I", 0), "last page 0"),
        (1028, struct.pack("<I", 256), "last page 256, not 1 to 255"),
        (1068, struct.pack("<I", 1), "last page"),
        (1032, struct.pack("<I", MAX_BADPAGES + 1), "638 bad pages"),
        (1032, struct.pack("<I", 1), "Page 0"),
        (1032, struct.pack("<I500xI", 1, 256), None),
        (1536, b"\xff" * 4, None),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused_and_says_why(offset, value, words):
    device = MemoryDevice("1M")
    spoil(device, offset, value)
    if words is None:  # what lies beyond the counted bad pages is nobody's business
        spoil(device, 1032, struct.pack("<I", 0))
        assert read_header(device).bad_pages == ()
        return
    with pytest.raises(InvalidArgument, match=words):
        read_header(device)


def test_a_bad_page_beyond_the_end_is_refused_when_read_and_when_made():
    device = MemoryDevice("1M", bad_pages=[255])
    spoil(device, 1536, struct.pack("<I", 256))
    with pytest.raises(InvalidArgument, match="Page 256"):
        read_header(device)
    for bad in ([0], [256], range(1, MAX_BADPAGES + 2)):
        with pytest.raises(InvalidArgument):
            MemoryDevice("1M" if len(bad) == 1 else "16M", bad_pages=bad)
    assert len(read_header(MemoryDevice("16M", bad_pages=range(1, MAX_BADPAGES + 1))).bad_pages) == MAX_BADPAGES


@settings(max_examples=200)
@given(st.binary(max_size=600), st.integers(1000, 1600))
def test_no_header_however_spoilt_leads_to_anything_but_a_header_or_a_clear_error(noise, offset):
    device = MemoryDevice("1M")
    spoil(device, offset, noise)
    try:
        header = read_header(device)
    except InvalidArgument:
        return
    assert 0 < header.last_page < device.pages
    assert all(0 < page <= header.last_page for page in header.bad_pages)


def test_a_label_that_does_not_fit_is_refused():
    for label in ("x" * 17, "ä" * 9, "a\0b"):
        with pytest.raises(InvalidArgument, match="label"):
            MemoryDevice("1M", label=label)


# -- memory ----------------------------------------------------------------------------------------------------------


def test_128_tib_of_memory_cost_what_was_written():
    device = MemoryDevice("128T")
    assert device.pages == MAX_DEVICE_PAGES
    assert read_header(device).last_page == MAX_DEVICE_PAGES - 1
    device.write(device.pages - 2, A + B)
    assert device.read(device.pages - 1) == B
    assert device.resident_pages == 3
    device.discard(1, device.pages - 1)
    assert device.resident_pages == 1
    assert (device.synchronous, device.path) == (False, None)
    assert MemoryDevice("1M", synchronous=True).synchronous


@pytest.mark.parametrize("size", [0, PAGE_SIZE, "129T"])
def test_a_size_that_no_device_has_is_refused(size, tmp_path):
    with pytest.raises(InvalidArgument):
        MemoryDevice(size)
    with pytest.raises(InvalidArgument):
        FileDevice(tmp_path / "swap.img", size)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "swap.img"


def test_a_new_file_is_sparse_private_and_has_a_header(path):
    with FileDevice(path, "64M", label="lab", bad_pages=[5]) as device:
        status = path.stat()
        assert status.st_size == 64 << 20
        assert status.st_blocks * 512 <= 1 << 20
        assert status.st_mode & 0o777 == 0o600
        assert device.path == str(path)
        assert not device.synchronous
        assert read_header(device).label == "lab"


def test_bytes_are_in_the_file_at_their_page(path):
    with FileDevice(path, "1M") as device:
        device.write(7, A)
    raw = path.read_bytes()
    assert raw[7 * PAGE_SIZE : 8 * PAGE_SIZE] == A
    assert raw[4086:4096] == b"SWAPSPACE2"


def test_a_discard_gives_blocks_back(path):
    with FileDevice(path, "8M") as device:
        device.write(1, A * 1024)
        os.fsync(device._fd)
        before = path.stat().st_blocks
        device.discard(1, 1024)
        if not device.discard_supported:
            pytest.skip("the file system can't punch holes")
        assert path.stat().st_blocks < before


def test_where_holes_cannot_be_punched_zeros_are_written(path, monkeypatch):
    monkeypatch.setattr("vswaplab.backends.device._punch_hole", lambda *_: False)
    with FileDevice(path, "8M") as device:
        device.write(1, A * 600)
        device.discard(2, 598)
        assert not device.discard_supported
        assert device.read(1, 600) == A + ZERO_PAGE * 598 + A


def test_a_swap_file_is_taken_as_it_is(path):
    with FileDevice(path, "1M", label="lab") as device:
        device.write(3, A)
        uuid = read_header(device).uuid
    for size in (None, "1M"):
        with FileDevice(path, size) as device:
            assert (device.pages, device.read(3)) == (256, A)
            assert read_header(device).uuid == uuid


def test_a_swap_file_grows_and_keeps_its_name_and_bad_pages(path):
    FileDevice(path, "1M", label="lab", bad_pages=[4]).close()
    with FileDevice(path, "2M") as device:
        header = read_header(device)
        assert (header.last_page, header.label, header.bad_pages) == (511, "lab", (4,))
        assert path.stat().st_size == 2 << 20


def test_a_header_that_uses_a_part_of_the_file_only_is_kept(path):
    with FileDevice(path, "1M") as device:
        spoil(device, 1028, struct.pack("<I", 99))
    with FileDevice(path) as device:
        assert (device.pages, read_header(device).last_page) == (256, 99)


def test_a_larger_swap_file_is_not_cut(path):
    FileDevice(path, "2M").close()
    with pytest.raises(InvalidArgument, match="larger than the size asked for"):
        FileDevice(path, "1M")
    assert path.stat().st_size == 2 << 20


@pytest.mark.parametrize("contents", [b"my thesis", b"my thesis" * 10000, bytes(1 << 20)])
def test_a_file_that_holds_something_else_is_not_touched(path, contents):
    path.write_bytes(contents)
    with pytest.raises(InvalidArgument, match="not a swap file"):
        FileDevice(path, "1M")
    assert path.read_bytes() == contents


def test_an_empty_file_becomes_a_swap_file_if_a_size_is_given(path):
    path.touch()
    with pytest.raises(InvalidArgument, match="give the size"):
        FileDevice(path)
    with FileDevice(path, "1M") as device:
        assert device.pages == 256


def test_a_file_in_use_is_busy_until_it_is_closed(path):
    first = FileDevice(path, "1M")
    with pytest.raises(Busy, match="in use"):
        FileDevice(path, "1M")
    first.close()
    first.close()
    with FileDevice(path, "1M") as second:
        assert second.pages == 256
    with pytest.raises(DeviceIOError, match="was closed"):
        first.read(1)


def test_a_device_that_nobody_refers_to_gives_its_file_up(path):
    first = FileDevice(path, "1M")
    first.me = first  # a cycle, as between a machine and its devices
    del first
    FileDevice(path, "1M").close()


@pytest.mark.parametrize(
    ("name", "size", "create", "error", "words"),
    [
        ("", "1M", True, InvalidArgument, "is a folder"),
        ("none/swap.img", "1M", True, NotFound, "no folder"),
        ("swap.img", None, True, NotFound, "no file"),
        ("swap.img", "1M", False, NotFound, "no file"),
        ("n" * 300, "1M", True, InvalidArgument, "too long"),
        ("a\0b", "1M", True, InvalidArgument, "can't be called"),
    ],
)
def test_a_path_that_cannot_be_is_refused_and_says_what_to_do(tmp_path, name, size, create, error, words):
    with pytest.raises(error, match=words):
        FileDevice(tmp_path / name if name else tmp_path, size, create)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(InvalidArgument, match="no regular file"):
        FileDevice(path, "1M")


def test_a_file_cut_short_while_in_use_is_an_io_error(path):
    with FileDevice(path, "1M") as device:
        device.write(200, A)
        os.truncate(path, 1 << 19)
        with pytest.raises(DeviceIOError, match="cut short"):
            device.read(200)
        assert (device.errors, device.pages_read) == (1, 0)


def test_a_write_beyond_the_end_of_a_file_cut_short_does_not_make_it_longer(path):
    """It would be a file with a hole then, and what was lost would be read as zeros."""
    with FileDevice(path, "1M") as device:
        device.write(150, A)
        device.write(120, A)
        os.truncate(path, 1 << 19)
        with pytest.raises(DeviceIOError, match="cut short"):
            device.write(200, B)
        with pytest.raises(DeviceIOError, match="cut short"):
            device.write(127, A + B)
        device.write(127, B)
        with pytest.raises(DeviceIOError, match="ends before page 150"):
            device.read(150)
        assert device.read(120) == A
        assert (device.read_errors, device.write_errors) == (1, 2)
        assert path.stat().st_size == 1 << 19


def test_undo_leaves_a_file_as_it_was_found(path):
    FileDevice(path, "1M").undo()
    assert not path.exists()
    path.touch()
    FileDevice(path, "1M").undo()
    assert path.read_bytes() == b""
    FileDevice(path, "1M", label="lab").close()
    before = path.read_bytes()
    for size in (None, "1M", "2M"):
        device = FileDevice(path, size)
        device.undo()
        assert path.read_bytes() == before
    device.undo()


def test_a_file_is_known_by_any_of_its_names(path):
    with FileDevice(path, "1M") as device, MemoryDevice("1M") as memory:
        link = path.with_name("link")
        link.hardlink_to(path)
        assert device.is_file(link.stat())
        path.rename(path.with_name("moved"))
        assert device.is_file(path.with_name("moved").stat())
        assert not memory.is_file(link.stat())
        assert device.shares_file(device)
        assert not device.shares_file(memory)
        assert not memory.shares_file(MemoryDevice("1M"))
        with FileDevice(path, "1M") as other:
            assert not other.shares_file(device)


def test_whether_holes_can_be_punched_is_known_from_the_start(path, monkeypatch):
    monkeypatch.setattr("vswaplab.backends.device._punch_hole", lambda *_: False)
    with FileDevice(path, "1M") as device:
        assert not device.discard_supported
    monkeypatch.undo()
    with FileDevice(path) as device:
        device.write(255, A)
    with FileDevice(path) as device:
        assert device.read(255) == A, "to find out must not cost a page"


@pytest.mark.parametrize(("code", "error"), [("ENOSPC", NoSpace), ("EIO", DeviceIOError), ("EDQUOT", NoSpace)])
def test_errors_of_the_real_file_become_errors_of_swap(path, monkeypatch, code, error):
    def fail(*_args):
        raise OSError(getattr(errno, code), "no")

    with FileDevice(path, "1M") as device:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", fail)
            patched.setattr(os, "pread", fail)
            with pytest.raises(error, match=r"swap\.img"):
                device.write(1, A)
            with pytest.raises(DeviceIOError, match=r"Reading page 1 of .*swap\.img failed"):
                device.read(1)
        assert (device.errors, device.pages_written, device.pages_read) == (2, 0, 0)
        device.write(1, A)


def test_a_write_that_the_system_takes_in_parts_is_completed(path, monkeypatch):
    real = os.pwrite
    with FileDevice(path, "1M") as device:
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:1000], at))
        device.write(1, A + B)
        monkeypatch.undo()
        assert device.read(1, 2) == A + B


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("rwd"), st.integers(1, 20), st.integers(1, 12), st.integers(1, 255))))
def test_a_device_behaves_like_a_dictionary_of_pages(tmp_path_factory, steps):
    model: dict[int, bytes] = {}
    with FileDevice(tmp_path_factory.mktemp("swap") / "s", "128K") as file, MemoryDevice("128K") as memory:
        for op, page, nr, fill in steps:
            span, data = range(page, page + nr), bytes([fill]) * PAGE_SIZE
            for device in (file, memory):
                if op == "w":
                    device.write(page, data * nr)
                elif op == "d":
                    device.discard(page, nr)
                else:
                    assert device.read(page, nr) == b"".join(model.get(at, ZERO_PAGE) for at in span)
            if op != "r":
                model.update(dict.fromkeys(span, data if op == "w" else ZERO_PAGE))
        assert file.read(1, 31) == memory.read(1, 31) == b"".join(model.get(at, ZERO_PAGE) for at in range(1, 32))
