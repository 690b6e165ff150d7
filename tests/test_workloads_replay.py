"""Replay: counts add up, every byte comes back, and the array path gives what one event after another gives."""

from __future__ import annotations

import errno
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab import cli
from vswaplab.backends.device import FileDevice
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.errors import InvalidArgument, InvariantError, NoMemory, NoSpace
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads import replay as replay_module
from vswaplab.workloads.contents import choose_contents
from vswaplab.workloads.corpus import mix_pages, page_bytes
from vswaplab.workloads.generators import sequential, with_writes, zipf
from vswaplab.workloads.lru import lru_events
from vswaplab.workloads.replay import replay
from vswaplab.workloads.traces import Trace, load_trace


def test_real_trace_with_real_pages_comes_back_byte_for_byte() -> None:
    """sqlite in 512K: LRU's misses, every swap-in verified, every page either resident or in one slot at the end."""
    report = replay("sqlite", "512K", verify=True)
    assert report.misses == 2299
    assert report.first_touches == report.pages == 559
    assert sum(report.swap_ins.values()) == report.misses - 559 == report.pages_verified
    assert sum(report.swap_outs.values()) == report.misses - 128
    assert report.virtual_slots == 559 - 128
    assert report.swap_outs["zswap"] > report.swap_outs["zero"] > 0


def test_without_zswap_pages_go_to_the_swapfile_and_are_written_whole() -> None:
    """Every page but zeros is written to the device and read from it."""
    report = replay("sqlite", "512K", zswap=None, contents="cc1", verify=True)
    assert report.swap_outs["zswap"] == report.pool_pages_peak == 0
    assert report.written_bytes == report.swap_outs["swapfile"] * PAGE_SIZE
    assert report.read_bytes == report.swap_ins["swapfile"] * PAGE_SIZE > 0
    assert report.swapfile_slots == report.virtual_slots - (report.swap_outs["zero"] - report.swap_ins["zero"])


def test_swapfile_can_be_a_real_file(tmp_path: Path) -> None:
    """With a path, the pages that are out at the end are in the file."""
    page = page_bytes("random", 7)
    replay(sequential(20, 100), 10 * PAGE_SIZE, zswap=None, contents=[page], swap_path=tmp_path / "swap.img")
    assert (tmp_path / "swap.img").read_bytes().count(page) >= 10


@pytest.mark.parametrize("compressor", ["zstd", None])
def test_a_replay_that_cannot_write_leaves_no_swapfile_and_none_as_it_was(
    compressor: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full: the file that was made goes; one that was there is cut to what it was."""
    write = FileDevice._write

    def full(self: FileDevice, page: int, data: bytes | bytearray | memoryview) -> None:
        if page + len(data) // PAGE_SIZE > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, page, data)

    def run() -> None:
        zswap = None if compressor is None else {"compressor": compressor, "max_pool_percent": 1}
        replay(sequential(400, 1200), 100 * PAGE_SIZE, zswap=zswap, contents="random", swap_path=tmp_path / "swap.img")

    monkeypatch.setattr(FileDevice, "_write", full)
    with pytest.raises(NoSpace, match="the file system is full"):
        run()
    assert list(tmp_path.iterdir()) == []
    FileDevice(tmp_path / "swap.img", 64 * PAGE_SIZE).close()
    before = (tmp_path / "swap.img").read_bytes()
    with pytest.raises(NoSpace, match="the file system is full"):
        run()
    assert (tmp_path / "swap.img").read_bytes()[:PAGE_SIZE] == before[:PAGE_SIZE]
    assert (tmp_path / "swap.img").stat().st_size == len(before)


def test_a_full_pool_is_written_back() -> None:
    """Incompressible pages fill the pool; cold ones move to the swapfile, and all still come back."""
    trace = with_writes(zipf(400, 4000, seed=2), 0.3)
    report = replay(trace, 100 * PAGE_SIZE, contents="random", verify=True)
    assert report.written_back > 0
    assert 0 < report.pool_pages_peak <= 100
    assert report.swap_ins["swapfile"] > 0


def test_contents_change_only_when_written() -> None:
    """A page that is never written goes out the same each time: its content depends on (page, version, seed) alone."""
    ref, pages = sequential(30, 300), mix_pages("heap")
    unwritten = Trace("t", ref, np.zeros(300, bool), np.arange(30, dtype=np.uint64), 300)
    written = Trace("t", ref, np.ones(300, bool), np.arange(30, dtype=np.uint64), 300)
    for trace in (unwritten, written):
        events = lru_events(trace.ref, 20)
        chosen = choose_contents(trace, events, len(pages), seed=0)
        of_page_3 = chosen[events.evict == 3]
        assert len(of_page_3) == 10
        assert len(set(of_page_3.tolist())) == (10 if trace is written else 1)


def test_seed_decides_contents_and_not_the_misses() -> None:
    """Two seeds compress to different sizes; the reference string alone decides what misses."""
    first, again, other = (replay("sqlite", "1M", seed=seed) for seed in (1, 1, 2))
    assert first.compressed_bytes == again.compressed_bytes != other.compressed_bytes
    assert first.misses == other.misses


def one_by_one(trace: Trace, frames: int) -> tuple[int, int, set[int]]:
    """Swap-outs, swap-ins and the pages out at the end, from a plain LRU queue."""
    queue: OrderedDict[int, None] = OrderedDict()
    away: set[int] = set()
    outs = ins = 0
    for page in trace.ref.tolist():
        if page in queue:
            queue.move_to_end(page)
            continue
        if len(queue) == frames:
            away.add(queue.popitem(last=False)[0])
            outs += 1
        ins += page in away
        away.discard(page)
        queue[page] = None
    return outs, ins, away


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 14), st.booleans()), max_size=150), st.integers(1, 16), st.booleans())
def test_replay_equals_one_event_after_another(ref: list[tuple[int, bool]], frames: int, zswap: bool) -> None:
    """Any string, any memory: the counts of a plain queue, and every byte verified with all invariants at the end."""
    trace = Trace.from_pages("t", np.array([page for page, _ in ref], np.uint64), [write for _, write in ref])
    outs, ins, away = one_by_one(trace, frames)
    for contents in ("desktop", None):
        report = replay(
            trace,
            frames * PAGE_SIZE,
            contents=contents,
            zswap={"compressor": "lz4", "max_pool_percent": 100} if zswap else None,
            verify=True,
        )
        assert sum(report.swap_outs.values()) == outs
        assert sum(report.swap_ins.values()) == ins
        assert report.virtual_slots == len(away)


@pytest.mark.parametrize("contents", [None, "sparse"])
def test_batches_do_not_change_the_outcome(monkeypatch: pytest.MonkeyPatch, contents: str | None) -> None:
    """Batches of 7 events and one batch for all give the same counts, as long as the pool is not full."""
    runs = []
    for batch in (7, 1 << 20):
        monkeypatch.setattr(replay_module, "_BATCH", batch)
        monkeypatch.setattr(replay_module, "_REAL_BATCH", batch)
        report = replay("sqlite", "1M", contents=contents).as_dict()
        assert report["swap_outs"]["zswap"] == report["misses"] - 256
        runs.append({name: report[name] for name in report if name not in ("seconds", "waves", "pool_pages_peak")})
    assert runs[0] == runs[1]


def test_verify_notices_a_changed_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that comes back other than it went out fails the replay."""
    monkeypatch.setattr(SwapDevices, "read", lambda self, slot, nr=1: b"x" * PAGE_SIZE)
    with pytest.raises(InvariantError, match="came back"):
        replay(sequential(20, 100), 10 * PAGE_SIZE, zswap=None, contents="text", verify=True)


def test_a_full_swapfile_is_enospc() -> None:
    """A swapfile that can't hold what is out says so."""
    with pytest.raises(NoSpace, match="swap_size"):
        replay(sequential(200, 1000), 10 * PAGE_SIZE, zswap=None, contents="text", swap_size="64K")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"design": "magic"}, "design"),
        ({"contents": "laptop"}, "contents"),
        ({"contents": [b"short"]}, "4096"),
        ({"contents": []}, "1 to"),
        ({"ram": 0}, "frames"),
        ({"ram": "much"}, "ram"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """EINVAL with the argument's name."""
    with pytest.raises(InvalidArgument, match=message):
        replay(**{"trace": "sqlite", "ram": "512K", **arguments})


def test_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`vswaplab replay sqlite --ram 512K --design virtual --json` gives misses, swap-outs, swap-ins, bytes and time."""
    assert cli.main(["replay", "sqlite", "--ram", "512K", "--design", "virtual", "--json", "--verify"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["misses"] == 2299
    assert set(got["swap_ins"]) == {"zero", "zswap", "swapfile"}
    assert set(got["seconds"]) == {"lru", "layer", "contents"}
    assert got["compressed_bytes"] > 0


def test_command_prints_text_and_errors_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Text by default; an unknown trace is exit code 2 and one line."""
    assert cli.main(["replay", "sqlite", "--ram", "512K", "--contents", "none", "--compressor", "off"]) == 0
    assert "2,299" in capsys.readouterr().out
    assert cli.main(["replay", "firefox", "--ram", "1M"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_run_command_prints_phases(capsys: pytest.CaptureFixture[str]) -> None:
    """`vswaplab run one_page` prints the phase table, and JSON on request."""
    assert cli.main(["run", "one_page"]) == 0
    assert "written back" in capsys.readouterr().out
    assert cli.main(["run", "one_page", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phases"][0]["phase"] == "written"


@pytest.mark.parametrize("options", [{"verify": True}, {"contents": None}, {"contents": None, "zswap": None}])
def test_the_designs_swap_the_same_pages_and_differ_in_the_slots_they_hold(options: dict[str, Any]) -> None:
    virtual, legacy = (replay(load_trace("sqlite"), "1M", design, **options) for design in ("virtual", "legacy"))
    for name in ("misses", "swap_outs", "swap_ins", "written_back", "compressed_bytes", "written_bytes", "read_bytes"):
        assert getattr(virtual, name) == getattr(legacy, name)
    assert legacy.virtual_slots == 0
    assert legacy.swapfile_slots == virtual.virtual_slots >= virtual.swapfile_slots


def test_the_legacy_design_swaps_nothing_without_a_swapfile() -> None:
    with pytest.raises(NoMemory, match="swap_size"):
        replay(load_trace("sqlite"), "1M", "legacy", swap_size=0)
