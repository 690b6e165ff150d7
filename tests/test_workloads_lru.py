"""The LRU kernel is exact: equal to a plain model, to libCacheSim, and compiled or not."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import libcachesim
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.workloads import generators
from vswaplab.workloads.lru import LruEvents, have_numba, lru_events, lru_misses, next_run
from vswaplab.workloads.traces import load_trace

REFERENCES = st.lists(st.integers(0, 12), max_size=120)
FRAMES = st.integers(1, 15)
SIZES = (64, 128, 256, 512, 1024)


def model(ref: list[int], frames: int) -> list[tuple[int, int, int]]:
    """LRU with a queue that is really moved: (index, fault, evict) of each miss."""
    queue: OrderedDict[int, None] = OrderedDict()
    misses = []
    for i, page in enumerate(ref):
        if page in queue:
            queue.move_to_end(page)
            continue
        evicted = queue.popitem(last=False)[0] if len(queue) == frames else -1
        queue[page] = None
        misses.append((i, page, evicted))
    return misses


def rows(events: LruEvents) -> list[tuple[int, int, int]]:
    return list(zip(events.index.tolist(), events.fault.tolist(), events.evict.tolist(), strict=True))


@given(REFERENCES, FRAMES)
def test_events_equal_those_of_a_plain_lru_queue(ref: list[int], frames: int) -> None:
    """Every miss, at the same reference, with the same victim as an ordered dictionary gives."""
    events = lru_events(np.array(ref, np.uint32), frames, fast=False)
    assert rows(events) == model(ref, frames)
    assert lru_misses(np.array(ref, np.uint32), frames, fast=False) == len(events)


@pytest.mark.skipif(not have_numba(), reason="numba (the extra 'fast') is not installed")
@given(REFERENCES, FRAMES, st.sampled_from([np.uint16, np.uint32]))
def test_compiled_kernel_equals_the_plain_one(ref: list[int], frames: int, dtype: type[np.unsignedinteger]) -> None:
    """The compiled loop emits the events of the loop as it is."""
    string = np.array(ref, dtype)
    assert rows(lru_events(string, frames, fast=True)) == rows(lru_events(string, frames, fast=False))
    assert lru_misses(string, frames, fast=True) == lru_misses(string, frames, fast=False)


@given(REFERENCES, FRAMES, st.integers(1, 6), st.booleans())
def test_runs_cover_all_events_name_no_page_twice_and_are_longest(
    ref: list[int], frames: int, longest: int, fast: bool
) -> None:
    """Runs follow one another without a gap; each stops only at its bound or where the next event repeats a page."""
    events = lru_events(np.array(ref, np.uint32), frames, fast=False)
    seen, start = np.zeros(13, np.int32), 0
    while start < len(events):
        end = next_run(events, start, seen, longest=longest, fast=fast and have_numba())
        assert start < end <= start + longest
        named = [p for row in rows(events)[start:end] for p in row[1:] if p >= 0]
        assert len(named) == len(set(named))
        if end < min(len(events), start + longest):
            assert set(rows(events)[end][1:]) & set(named)
        start = end


def lcs_misses(ref: npt.NDArray[np.unsignedinteger], frames: int, path: Path) -> int:
    """Misses by libCacheSim's LRU: objects of size 1, so the cache size is the number of frames."""
    if not path.exists():
        record = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
        requests = np.zeros(len(ref), record)
        requests["time"], requests["id"] = (np.arange(len(ref)), ref.astype(np.uint64) + 1)
        requests["size"], requests["next"] = 1, -1
        requests.tofile(path)
    params = libcachesim.ReaderInitParam(ignore_obj_size=True)
    reader = libcachesim.TraceReader(str(path), libcachesim.TraceType.ORACLE_GENERAL_TRACE, params)
    miss_ratio: float
    miss_ratio, _ = libcachesim.LRU(cache_size=frames, hashpower=16).process_trace(reader)
    return round(miss_ratio * len(ref))


@pytest.mark.parametrize("name", ["cc1", "python_json", "sort", "sqlite"])
def test_misses_equal_libcachesim_on_real_traces(name: str, tmp_path: Path) -> None:
    """Five memory sizes, each exact for the program (64 frames and more): equal miss counts."""
    ref = load_trace(name).ref
    ours = {frames: lru_misses(ref, frames) for frames in SIZES}
    assert ours == {frames: lcs_misses(ref, frames, tmp_path / "trace.bin") for frames in SIZES}


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(generators.zipf(20_000, 300_000, seed=3), id="zipf"),
        pytest.param(generators.zipf(20_000, 300_000, alpha=0.6, seed=4), id="zipf-flat"),
        pytest.param(generators.scan(20_000, 300_000, seed=5), id="scan"),
        pytest.param(generators.sequential(1025, 100_000), id="sequential"),
    ],
)
def test_misses_equal_libcachesim_on_generated_strings(ref: npt.NDArray[np.uint32], tmp_path: Path) -> None:
    """Zipf, scans and a loop one page larger than memory: equal miss counts at five sizes."""
    sizes = (100, 1024, 1025, 5000, 15_000)
    ours = {frames: lru_misses(ref, frames) for frames in sizes}
    assert ours == {frames: lcs_misses(ref, frames, tmp_path / "trace.bin") for frames in sizes}


def test_a_loop_one_page_larger_than_memory_misses_always_and_evicts_the_next_page() -> None:
    """LRU's worst case, by hand: each miss evicts exactly the page wanted next."""
    events = lru_events(generators.sequential(5, 50), 4)
    assert len(events) == 50
    assert events.evict[4:-1].tolist() == events.fault[5:].tolist()


@pytest.mark.parametrize(
    ("ref", "frames", "message"),
    [
        (np.zeros(3), 1, "unsigned integers"),
        (np.zeros((2, 2), np.uint16), 1, "one-dimensional"),
        (np.array([0, 1 << 40], np.uint64), 1, "renumber"),
        (np.array([0, -1]), 1, "renumber"),
        (np.zeros(3, np.uint16), 0, "frames"),
        (np.zeros(3, np.uint16), 2.5, "frames"),
    ],
)
def test_bad_reference_strings_are_refused(ref: npt.NDArray[np.uint16], frames: int, message: str) -> None:
    """Floats, tables, sparse or negative page numbers and impossible memories are EINVAL, before memory is taken."""
    with pytest.raises(InvalidArgument, match=message):
        lru_misses(ref, frames)


def test_empty_string_has_no_misses() -> None:
    """No references, no events."""
    assert len(lru_events(np.zeros(0, np.uint16), 4)) == lru_misses(np.zeros(0, np.uint16), 4) == 0
