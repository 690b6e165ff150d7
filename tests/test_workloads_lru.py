"""The LRU kernel is exact: equal to a plain model, to libCacheSim, and compiled or not."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.workloads import generators
from vswaplab.workloads.lru import LruEvents, Waves, have_numba, lru_events, lru_misses
from vswaplab.workloads.traces import load_trace

if sys.version_info < (3, 14):
    import libcachesim

needs_libcachesim = pytest.mark.skipif(sys.version_info >= (3, 14), reason="libcachesim has no wheels for Python 3.14")
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


@given(REFERENCES, FRAMES, st.integers(1, 40), st.booleans())
def test_waves_keep_each_pages_order_and_name_no_page_twice(
    ref: list[int], frames: int, batch: int, fast: bool
) -> None:
    """Each fault and eviction is in one wave; no wave repeats a page; a page's events come in their own order."""
    events = lru_events(np.array(ref, np.uint32), frames, fast=False)
    waves, done = Waves(events, 13, fast=fast and have_numba()), []
    for start in range(0, len(events), batch):
        for evicts, which in waves.batch(start, min(start + batch, len(events))):
            pages = (events.evict if evicts else events.fault)[which].tolist()
            assert len(pages) == len(set(pages))
            done += [(page, evicts, at) for page, at in zip(pages, which.tolist(), strict=True)]
    in_order = [
        (page, evicts, at) for at, row in enumerate(rows(events)) for evicts, page in ((True, row[2]), (False, row[1]))
    ]
    for page in range(13):
        assert [each for each in done if each[0] == page] == [each for each in in_order if each[0] == page]
    assert len(done) == len([each for each in in_order if each[0] >= 0])


def test_a_loop_needs_three_waves_only() -> None:
    """Pages that come back at once: in, out and in again, not one wave an event."""
    events = lru_events(generators.sequential(101, 1100), 100)
    assert len([wave for wave in Waves(events, 101).batch(0, 100) if len(wave[1])]) == 1
    waves = Waves(events, 101)
    list(waves.batch(0, 150))
    assert [len(which) for _, which in waves.batch(150, 240)] == [1, 90, 89]


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


@needs_libcachesim
@pytest.mark.parametrize("name", ["cc1", "python_json", "sort", "sqlite"])
def test_misses_equal_libcachesim_on_real_traces(name: str, tmp_path: Path) -> None:
    """Five memory sizes, each exact for the program (64 frames and more): equal miss counts."""
    ref = load_trace(name).ref
    ours = {frames: lru_misses(ref, frames) for frames in SIZES}
    assert ours == {frames: lcs_misses(ref, frames, tmp_path / "trace.bin") for frames in SIZES}


@needs_libcachesim
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
