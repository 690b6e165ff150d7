"""Benchmarks of replay: the LRU kernel and the whole replay, against caches in Python and in C.

One reference string for all: 10 million zipf accesses (alpha 1) over 1 million pages, 250,000 frames of memory. Each
side is given the string in the form it likes best, made beforehand: an array for us, a list for cachetools, a file in
libCacheSim's binary format for its own reader. The kernel alone meets cachetools on the first 2 million references,
because five runs of 10 million would take cachetools over a minute.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.bench import Case, Unavailable
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.generators import zipf
from vswaplab.workloads.lru import compile_kernels, have_numba, lru_events, lru_misses
from vswaplab.workloads.replay import replay

__all__ = ["CASES"]

PAGES, REFERENCES, FRAMES = 1_000_000, 10_000_000, 250_000
SOME = 2_000_000

_HASH_POWER = 20
"""Buckets of libCacheSim's table, as a power of two: the fastest of 16 to 24 at these sizes."""


@cache
def _string() -> npt.NDArray[np.uint32]:
    if not have_numba():
        raise Unavailable("it needs numba; install the extra with: pip install 'vswaplab[fast]'.")
    compile_kernels(np.uint32)
    return zipf(PAGES, REFERENCES, seed=1)


@cache
def _misses(references: int) -> int:
    return lru_misses(_string()[:references], FRAMES)


def _cachetools(references: int) -> float:
    """Return the seconds that cachetools takes for LRU alone."""
    try:
        from cachetools import LRUCache
    except ImportError:
        raise Unavailable("it needs cachetools; install it with: pip install cachetools.") from None
    pages = _string()[:references].tolist()
    memory: Any = LRUCache(FRAMES)
    misses = 0
    start = perf_counter()
    for page in pages:
        try:
            memory[page]
        except KeyError:
            memory[page] = True
            misses += 1
    seconds = perf_counter() - start
    _agree(misses, references)
    return seconds


def _libcachesim() -> float:
    """Return the seconds that libCacheSim takes, reading its binary format through its own reader."""
    try:
        import libcachesim as lcs
    except ImportError:
        raise Unavailable("it needs libcachesim; install it with: pip install libcachesim.") from None
    params = lcs.ReaderInitParam(ignore_obj_size=True)
    reader = lcs.TraceReader(str(_oracle_file()), lcs.TraceType.ORACLE_GENERAL_TRACE, params)
    memory = lcs.LRU(cache_size=FRAMES, hashpower=_HASH_POWER)
    start = perf_counter()
    miss_ratio, _ = memory.process_trace(reader)
    seconds = perf_counter() - start
    _agree(round(miss_ratio * REFERENCES), REFERENCES)
    return seconds


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="vswaplab-bench-")


@cache
def _oracle_file() -> Path:
    record = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
    requests = np.zeros(REFERENCES, record)
    requests["time"], requests["id"] = np.arange(REFERENCES), _string().astype(np.uint64) + 1
    requests["size"], requests["next"] = 1, -1
    path = Path(_folder().name) / "zipf.oracleGeneral"
    requests.tofile(path)
    return path


def _agree(misses: int, references: int) -> None:
    ours = _misses(references)
    if misses != ours:
        raise AssertionError(f"The reference counts {misses} misses, the kernel {ours}: the comparison is void.")


def _kernel_seconds(references: int) -> float:
    ref = _string()[:references]
    start = perf_counter()
    lru_events(ref, FRAMES)
    return perf_counter() - start


def _kernel_against_cachetools() -> tuple[float, float]:
    return _kernel_seconds(SOME), _cachetools(SOME)


def _kernel_against_libcachesim() -> tuple[float, float]:
    return _kernel_seconds(REFERENCES), _libcachesim()


def _replay_against_cachetools() -> tuple[float, float]:
    ref = _string()
    start = perf_counter()
    replay(ref, FRAMES * PAGE_SIZE, contents=None)
    return perf_counter() - start, _cachetools(REFERENCES)


CASES = [
    Case(
        "replay.lru.cachetools",
        "x",
        "cachetools.LRUCache, 2 M zipf references over 1 M pages; ours also emits every eviction",
        _kernel_against_cachetools,
        prototype="92x",
    ),
    Case(
        "replay.lru.libcachesim",
        "x",
        "libCacheSim LRU with tuned hash power, 10 M references of the same; ours also emits every eviction",
        _kernel_against_libcachesim,
        prototype="12x",
    ),
    Case(
        "replay.whole",
        "x",
        "cachetools.LRUCache doing LRU alone, 10 M references, 1 M pages, 250,000 frames; ours with the layer",
        _replay_against_cachetools,
        prototype="8.4x",
    ),
]
