"""Generators: reference strings, and forking workloads, made to order from a seed.

Each reference string is a uint32 array of page indices below `pages`, ready for `lru_misses` and `replay`.

>>> sequential(pages=3, references=7)
array([0, 1, 2, 0, 1, 2, 0], dtype=uint32)
>>> zipf(pages=1000, references=5, seed=1)
array([331, 453, 822, 596, 631], dtype=uint32)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.errors import InvalidArgument
from vswaplab.strict import choice, flag, instance, real_number, require_memory, seed_number, whole_number
from vswaplab.workloads.corpus import MIXES
from vswaplab.workloads.lru import MAX_PAGES, MAX_REFERENCES
from vswaplab.workloads.traces import Trace

__all__ = ["fork_heavy", "phases", "scan", "sequential", "with_writes", "zipf"]

U32 = npt.NDArray[np.uint32]


_BYTES_A_REFERENCE = 40
"""Memory that a reference takes while it is drawn."""
_BYTES_A_PAGE = 32


def _check(pages: object, references: object) -> tuple[int, int]:
    """Return both as numbers; InvalidArgument for what is none, NoMemory for more than this machine can hold."""
    nr_pages = whole_number(pages, "pages", 1, MAX_PAGES)
    nr = whole_number(references, "references", 0, MAX_REFERENCES)
    require_memory(
        nr * _BYTES_A_REFERENCE + nr_pages * _BYTES_A_PAGE, f"A string of {nr} references to {nr_pages} pages"
    )
    return nr_pages, nr


def sequential(pages: int, references: int) -> U32:
    """Return the pages in order, over and over: LRU's worst case when memory is one frame short."""
    pages, references = _check(pages, references)
    return np.resize(np.arange(pages, dtype=np.uint32), references)


def zipf(pages: int, references: int, *, alpha: float = 1.0, seed: int = 0, shuffled: bool = True) -> U32:
    """Return references whose page of rank r is drawn with probability proportional to 1 / r**alpha, exactly.

    Sampled by inverting the cumulative distribution over the `pages` ranks; `shuffled` scatters ranks over the indices,
    otherwise page 0 is the most frequent.
    """
    pages, references = _check(pages, references)
    alpha = real_number(alpha, "alpha", 0, 16)
    shuffled = flag(shuffled, "shuffled")
    rng = np.random.default_rng(seed_number(seed))
    cumulative = np.cumsum(np.arange(1, pages + 1, dtype=np.float64) ** -alpha)
    # a draw lies in [0, total), so the first rank whose cumulative weight exceeds it always exists
    rank = np.searchsorted(cumulative, rng.random(references) * cumulative[-1], side="right")
    rank = np.minimum(rank, pages - 1)  # rounding may make draw * total equal total
    ref: U32 = (rng.permutation(pages)[rank] if shuffled else rank).astype(np.uint32)
    return ref


def phases(pages: int, references: int, *, nr_phases: int = 4, working_set: int | None = None, seed: int = 0) -> U32:
    """Return references that stay in one working set for a phase, then move on to another, as programs do.

    The sets are `working_set` consecutive pages each (default: pages / nr_phases), spread evenly over all pages, and
    they overlap where there is no room; within a set every page is as likely.
    """
    pages, references = _check(pages, references)
    nr_phases = whole_number(nr_phases, "nr_phases", 1, max(1, references))
    width = max(1, pages // nr_phases) if working_set is None else whole_number(working_set, "working_set", 1, pages)
    rng = np.random.default_rng(seed_number(seed))
    phase = np.arange(references, dtype=np.int64) * nr_phases // max(1, references)
    first = phase * (pages - width) // max(1, nr_phases - 1)
    ref: U32 = (first + rng.integers(0, width, references)).astype(np.uint32)
    return ref


def scan(
    pages: int, references: int, *, hot: int | None = None, period: int = 1000, burst: int = 250, seed: int = 0
) -> U32:
    """Return a hot set (zipf over the first `hot` pages, default a tenth) flushed now and then by a one-pass scan.

    After every `period` hot references come `burst` pages of the cold rest, in order, resuming where the last scan
    ended: a backup or a table scan beside a server.
    """
    pages, references = _check(pages, references)
    hot = max(1, pages // 10) if hot is None else whole_number(hot, "hot", 1, max(1, pages - 1))
    period = whole_number(period, "period", 1, MAX_REFERENCES)
    burst = whole_number(burst, "burst", 0, MAX_REFERENCES)
    cold = np.arange(references) % (period + burst) >= period
    ref = zipf(hot, references, seed=seed)
    ref[cold] = hot + np.arange(np.count_nonzero(cold)) % max(1, pages - hot)
    return ref


def with_writes(ref: U32, share: float, *, name: str = "generated", seed: int = 0) -> Trace:
    """Return the trace of a generated string in which a `share` (0 to 1) of the references write, drawn from `seed`."""
    share = real_number(share, "share", 0, 1)
    ref = np.asarray(instance(ref, np.ndarray, "ref"))
    if ref.ndim != 1 or ref.dtype.kind != "u":
        raise InvalidArgument("ref must be one row of unsigned integers; convert it with astype(numpy.uint32).")
    if len(ref) > MAX_REFERENCES or (len(ref) and int(ref.max()) >= MAX_PAGES):
        raise InvalidArgument(f"ref may have {MAX_REFERENCES} references to pages below {MAX_PAGES}.")
    write = np.random.default_rng(seed_number(seed)).random(len(ref)) < share
    nr_pages = int(ref.max()) + 1 if len(ref) else 0
    return Trace(name, ref, write, np.arange(nr_pages, dtype=np.uint64), len(ref))


def fork_heavy(
    children: int, *, pages: int = 512, rounds: int = 2, mix: str = "desktop", seed: int = 0
) -> dict[str, Any]:
    """Return a scenario in which a parent forks `children`, all are pushed out, and each touches a share of its own.

    Swap entries are shared by all the processes until each writes: the swap counts rise to children + 1 and fall again.
    """
    children = whole_number(children, "children", 0, 256)
    pages = whole_number(pages, "pages", 1, 1 << 16)
    rounds = whole_number(rounds, "rounds", 1, 64)
    mix, seed = choice(mix, "mix", MIXES), seed_number(seed)
    rng = np.random.default_rng(seed)
    operations: list[dict[str, Any]] = [
        {"op": "swapon", "device": "disk", "size": pages * (children + 2) * 4096 + (1 << 20)},
        {"op": "spawn", "process": "parent"},
        {"op": "mmap", "process": "parent", "region": "heap", "size": pages * 4096},
        {"op": "write", "process": "parent", "region": "heap", "contents": {"mix": mix}},
        {"op": "reclaim"},
        *({"op": "fork", "process": "parent", "child": f"child{k}"} for k in range(children)),
        {"op": "mark", "label": "forked"},
    ]
    for turn in range(rounds):
        for k in rng.permutation(children).tolist():
            first = int(rng.integers(0, pages))
            share = {"first": first, "pages": int(rng.integers(1, min(pages - first, max(1, pages // 4)) + 1))}
            operations.append(
                {"op": "touch", "process": f"child{k}", "region": "heap", "write": bool(turn % 2), **share}
            )
        operations += [{"op": "reclaim"}, {"op": "mark", "label": f"round {turn}"}]
    operations += [{"op": "exit", "process": f"child{k}"} for k in range(children)]
    operations += [{"op": "read", "process": "parent", "region": "heap"}, {"op": "mark", "label": "children gone"}]
    return {
        "name": f"fork_heavy_{children}",
        "about": f"A parent and {children} children share {pages} swapped pages; each child touches or writes a part.",
        "machine": {"ram": max(4 << 20, pages * (children + 2) * 4096 * 2), "seed": seed},
        "operations": operations,
    }
