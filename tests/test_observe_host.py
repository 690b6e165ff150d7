"""Reading a computer's own swap: the model's files read back as the model's numbers, and no file makes it fail."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab import Backing, InvalidArgument, Machine, NotFound
from vswaplab.observe.host import GROUP_FILES, HOST_FILES, PARAMETERS, HostSwap, read_host
from vswaplab.observe.host_compare import events_between, host_ledgers, host_mix, host_slots
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_page_array
from vswaplab.workloads.host_model import MODEL_SLOTS, host_or_sample, make_sample, model_of, sample_host, write_host

KIB = 1 << 10


@pytest.fixture(scope="module")
def sample() -> HostSwap:
    return sample_host()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like / is, with the sample's files."""
    place = tmp_path_factory.mktemp("host")
    make_sample(place)
    return place


def put(root: Path, name: str, contents: bytes | str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return root


# -- what is read is what the machine has ------------------------------------------------------------------------------


@pytest.mark.parametrize("design", ["legacy", "virtual"])
def test_a_model_is_read_as_it_is(design: str, tmp_path: Path) -> None:
    """Devices, pool and counters of the files equal the machine's own."""
    with Machine("16M", design, page_cluster=0) as m:
        m.swapon(size="4M")
        group = m.memcg("jobs", swap_max="1M")
        app = m.spawn("app", memcg=group)
        region = app.mmap(64 * PAGE_SIZE)
        app.write(region.start, real_page_array()[40:104].tobytes())
        m.reclaim()
        m.writeback(pages=10)
        write_host(m, tmp_path, group)
        host = read_host(tmp_path)
        assert host.design == design
        assert host.used == sum(device.inuse_pages for device in m.devices) * PAGE_SIZE
        assert host.size == (1024 - 1) * PAGE_SIZE
        assert host.zswapped is not None
        assert m.zswap is not None
        assert host.zswapped == m.zswap.stored_pages * PAGE_SIZE
        assert host.counters is not None
        assert host.counters["zswap/written_back_pages"] == 10
        assert host.pool == host.counters["zswap/pool_total_size"]
        assert host.pool_limit == (16 << 20) * 20 // 100
        assert host.group_bytes("memory.swap.max") == 1 << 20
        assert host.group_bytes("memory.zswap.max") is None
        assert (host.parameters or {})["compressor"] == "zstd"


def test_the_sample_says_what_went_into_it(sample: HostSwap, tmp_path: Path) -> None:
    """The sample's numbers follow from the pages that were pushed out: none is typed."""
    went = make_sample(tmp_path)
    out = went["real"] + went["zero"] + went["noise"] - went["read again"]
    assert sample.devices is not None
    assert host_slots(sample).used == out, "a swapfile more than half full gives up the slot of a page that was read"
    assert (sample.events or {})["swpout_zero"] == went["zero"]
    assert (sample.events or {})["pswpin"] == went["read again"]
    assert sample.telling
    assert sample.notes == ()
    assert sample.root == "the sample"
    assert sample == sample_host(), "the same each time"


def test_a_file_is_shown_as_the_kernel_wrote_it(sample: HostSwap) -> None:
    assert sample.lines("proc/meminfo", "Zswap", "Zswapped").count("\n") == 2
    assert sample.lines("proc/swaps").splitlines()[0].split() == ["Filename", "Type", "Size", "Used", "Priority"]
    assert sample.lines("no/such") == ""


def test_this_computer_is_read_without_being_written_to() -> None:
    """The machine the tests run on: whatever it has, it is read, and nothing raises."""
    host = read_host("/")
    assert host.page_size == os.sysconf("SC_PAGE_SIZE")
    assert set(host.texts) >= {"proc/meminfo"}
    found, sampled = host_or_sample()
    assert found.telling
    assert sampled is not host.telling


# -- what follows from it ----------------------------------------------------------------------------------------------


def test_slots_of_the_other_design_are_a_bound(sample: HostSwap) -> None:
    """A legacy machine: each page in zswap holds a slot that it would not hold in the virtual design."""
    here = host_slots(sample)
    assert here.design == "legacy"
    assert here.legacy == here.used
    assert here.virtual == here.used - here.zswap
    assert 0 < here.zswap_share < 1


@pytest.mark.parametrize("design", ["legacy", "virtual"])
def test_the_model_has_the_hosts_proportions(sample: HostSwap, design: str) -> None:
    """Shares of slots used and of pages in zswap agree with the host's to a percent."""
    here = host_slots(sample)
    assert sample.size is not None
    with model_of(sample, design) as m:
        model = m.snapshot().state
        out = sum(not pte.present for pte in model.ptes.values())
        stored = sum(slot.backing is Backing.ZSWAP for slot in model.slots.values()) if design == "virtual" else None
        assert out / MODEL_SLOTS == pytest.approx(here.legacy * PAGE_SIZE / sample.size, abs=0.01)
        if stored is not None:
            assert stored / out == pytest.approx(here.zswap_share, abs=0.01)
            assert next(iter(m.devices)).inuse_pages == out - stored
        else:
            assert next(iter(m.devices)).inuse_pages == out
        m.check()


def test_ledgers_of_a_host_are_the_mix_at_its_usage(sample: HostSwap) -> None:
    mix, usage = host_mix(sample)
    ledgers = host_ledgers(sample)
    assert mix.slots % 512 == 0
    assert 0 < usage <= 100
    assert set(ledgers) == {"legacy", "linux-7.2", "virtual"}
    assert ledgers["linux-7.2"].total_bytes < ledgers["legacy"].total_bytes
    assert ledgers["legacy"].total_bytes > 0


def test_events_between_two_readings_leave_out_what_went_down() -> None:
    def host(**events: int) -> HostSwap:
        return HostSwap("x", PAGE_SIZE, None, None, events, None, None, None, None, (), {})

    assert events_between(host(pswpin=3, pswpout=9, zswpin=1), host(pswpin=5, pswpout=2)) == {"pswpin": 2}


def test_what_is_not_told_is_refused_in_one_sentence(tmp_path: Path) -> None:
    empty = read_host(tmp_path)
    with pytest.raises(InvalidArgument, match="does not tell its swap devices"):
        host_slots(empty)
    with pytest.raises(InvalidArgument, match="No swap device is on here"):
        host_mix(empty)
    with pytest.raises(NotFound, match="laid out like /"):
        read_host(tmp_path / "none")
    with pytest.raises(InvalidArgument, match="is no folder"):
        read_host(put(tmp_path, "file", "") / "file")
    big = put(tmp_path / "big", "proc/swaps", "Filename Type Size Used Priority\n/s file 4096 64 -2\n")
    host = read_host(big)
    with pytest.raises(InvalidArgument, match="pages of 4096 bytes"):
        host_mix(HostSwap(**{**vars(host), "page_size": 16384}))


# -- hostile files -----------------------------------------------------------------------------------------------------

SWAPS_HEAD = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize(
    ("name", "contents", "note"),
    [
        ("proc/swaps", "", "does not begin with the kernel's heading"),
        ("proc/swaps", SWAPS_HEAD + "/s file 10 11 -2\n", "1 line is not in the kernel's format"),
        ("proc/swaps", SWAPS_HEAD + "/s file x 1 -2\n/t pipe 8 1 0\n", "2 lines are not in the kernel's format"),
        ("proc/swaps", b"\0" * 40, "is not text"),
        ("proc/meminfo", "MemTotal: ten kB\n", "1 line is not"),
        ("proc/vmstat", "pswpin -3\n", "1 line is not"),
        ("proc/vmstat", b"\xff\xfe\n" * 9, "9 lines are not"),
        ("proc/sys/vm/swappiness", "201\n", "no number from 0 to 200"),
        ("proc/sys/vm/swappiness", "9" * 400, "no number from 0 to 200"),
        ("proc/self/cgroup", "0::/../../etc\n", "outside what it can see"),
        ("proc/self/cgroup", "3:memory:/x\n", "not one of version 2"),
    ],
)
def test_a_file_that_is_not_the_kernels_is_noted(name: str, contents: bytes | str, note: str, tmp_path: Path) -> None:
    host = read_host(put(tmp_path, name, contents))
    assert any(note in each for each in host.notes), host.notes
    assert all(each.endswith(".") and "\n" not in each for each in host.notes)


def test_missing_unreadable_and_strange_files_leave_none(tmp_path: Path) -> None:
    """Nothing there: nothing known, and a note for each."""
    (tmp_path / "proc/swaps").mkdir(parents=True)
    host = read_host(tmp_path)
    assert (host.devices, host.memory, host.events, host.swappiness, host.counters) == (None,) * 5
    assert any("proc/swaps: it is no file" in each for each in host.notes), host.notes
    assert any("proc/meminfo: there is no such file" in each for each in host.notes)
    assert not host.telling
    assert (host.size, host.used, host.pool, host.pool_limit, host.ratio) == (None,) * 5


def test_a_pipe_or_a_giant_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    os.mkfifo(tmp_path / "proc/swaps")
    put(tmp_path, "proc/vmstat", b"x" * (2 << 20))
    host = read_host(tmp_path)
    assert host.devices is None
    assert host.events is None


def test_a_device_with_a_blank_in_its_name(tmp_path: Path) -> None:
    host = read_host(put(tmp_path, "proc/swaps", SWAPS_HEAD + "/my\\040swap\\033[31m file 1020 8 -2\n"))
    assert host.devices is not None
    assert host.devices[0].path == "/my swap?[31m"
    assert host.used == 8 * KIB


KEPT = [*HOST_FILES, "proc/self/cgroup", *(f"sys/module/zswap/parameters/{name}" for name in PARAMETERS)]
KEPT += [f"sys/fs/cgroup/lab.slice/{name}" for name in GROUP_FILES]
PIECES = st.sampled_from(
    [b"0", b"-1", b"\n", b" ", b"\t", b"kB", b":", b"\xff", b"\0", b"/", b"9" * 30, "\u0663".encode()]
)


@pytest.fixture(scope="module")
def texts(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in KEPT if (folder / name).exists()}


@given(which=st.sampled_from(KEPT), seed=st.integers(0, 2**32), pieces=st.lists(PIECES, min_size=1, max_size=6))
def test_damaged_files_never_raise(texts: dict[str, bytes], which: str, seed: int, pieces: list[bytes]) -> None:
    """Whatever stands in a file: a reading, with whole numbers of the right range and notes in sentences."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name, raw in texts.items():
            put(root, name, raw)
        raw = bytearray(texts.get(which, b""))
        for piece in pieces:
            at = draw.randrange(len(raw) + 1)
            raw[at : at + draw.randrange(3) * len(piece)] = piece
        host = read_host(put(root, which, bytes(raw)))
        for table in (host.memory, host.events, host.counters):
            assert all(0 <= value < 1 << 74 for value in (table or {}).values())
        for device in host.devices or ():
            assert 0 <= device.used <= device.size
            assert device.path.isprintable()
        assert all(note.endswith(".") for note in host.notes)
        if host.size:
            assert set(host_ledgers(host)) == {"legacy", "linux-7.2", "virtual"}
        assert host.telling in (True, False)
