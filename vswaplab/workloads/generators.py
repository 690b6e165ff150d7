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
from vswaplab.workloads.lru import MAX_PAGES, MAX_REFERENCES
from vswaplab.workloads.traces import Trace

__all__ = ["fork_heavy", "phases", "scan", "sequential", "with_writes", "zipf"]

U32 = npt.NDArray[np.uint32]


def _check(pages: int, references: int) -> None:
    if not 1 <= pages <= MAX_PAGES:
        raise InvalidArgument(f"pages must be 1 to {MAX_PAGES}, not {pages}.")
    if not 0 <= references <= MAX_REFERENCES:
        raise InvalidArgument(f"references must be 0 to {MAX_REFERENCES}, not {references}.")


def sequential(pages: int, references: int) -> U32:
    """Return the pages in order, over and over: LRU's worst case when memory is one frame short."""
    _check(pages, references)
    return np.resize(np.arange(pages, dtype=np.uint32), references)


def zipf(pages: int, references: int, *, alpha: float = 1.0, seed: int = 0, shuffled: bool = True) -> U32:
    """Return references whose page of rank r is drawn with probability proportional to 1 / r**alpha, exactly.

    Sampled by inverting the cumulative distribution over the `pages` ranks; `shuffled` scatters ranks over the indices,
    otherwise page 0 is the most frequent.
    """
    _check(pages, references)
    if not 0 <= alpha <= 16:
        raise InvalidArgument(f"alpha must be 0 (all pages alike) to 16, not {alpha}.")
    rng = np.random.default_rng(seed)
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
    _check(pages, references)
    width = max(1, pages // max(1, nr_phases)) if working_set is None else working_set
    if not 1 <= nr_phases <= max(1, references):
        raise InvalidArgument(f"nr_phases must be 1 to the number of references, not {nr_phases}.")
    if not 1 <= width <= pages:
        raise InvalidArgument(f"working_set must be 1 to {pages} pages, not {width}.")
    rng = np.random.default_rng(seed)
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
    _check(pages, references)
    hot = max(1, pages // 10) if hot is None else hot
    if not 1 <= hot < max(2, pages) or period < 1 or burst < 0:
        raise InvalidArgument(
            f"A scan needs 1 to {pages - 1} hot pages, a period of 1 or more and a burst of 0 or more."
        )
    cold = np.arange(references) % (period + burst) >= period
    ref = zipf(hot, references, seed=seed)
    ref[cold] = hot + np.arange(np.count_nonzero(cold)) % max(1, pages - hot)
    return ref


def with_writes(ref: U32, share: float, *, name: str = "generated", seed: int = 0) -> Trace:
    """Return the trace of a generated string in which a `share` (0 to 1) of the references write, drawn from `seed`."""
    if not 0 <= share <= 1:
        raise InvalidArgument(f"The share of writes must be 0 to 1, not {share}.")
    write = np.random.default_rng(seed).random(len(ref)) < share
    nr_pages = int(ref.max()) + 1 if len(ref) else 0
    return Trace(name, ref, write, np.arange(nr_pages, dtype=np.uint64), len(ref))


def fork_heavy(
    children: int, *, pages: int = 512, rounds: int = 2, mix: str = "desktop", seed: int = 0
) -> dict[str, Any]:
    """Return a scenario in which a parent forks `children`, all are pushed out, and each touches a share of its own.

    Swap entries are shared by all the processes until each writes: the swap counts rise to children + 1 and fall again.
    """
    if not 0 <= children <= 256 or not 1 <= pages <= 1 << 16 or not 1 <= rounds <= 64:
        raise InvalidArgument("fork_heavy takes 0 to 256 children, 1 to 65536 pages and 1 to 64 rounds.")
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
