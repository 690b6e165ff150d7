"""Exact LRU from the reference string alone.

The string is its own queue. Write down, for each page, where it was last referenced. A page is resident exactly when
that place is at or after the *tail*, so a hit is one comparison and moves nothing. When memory is full and a page
misses, walk the tail past references that are stale (their page was referenced again later); the first that is not is
the least recently used page. Each reference is passed once: the whole replay is O(references), whatever the frames.

>>> import numpy as np
>>> events = lru_events(np.array([0, 1, 2, 0, 3, 1], np.uint32), frames=3)
>>> [tuple(int(n) for n in row) for row in zip(events.index, events.fault, events.evict)]
[(0, 0, -1), (1, 1, -1), (2, 2, -1), (4, 3, 1), (5, 1, 2)]

The loop is compiled with numba when that is installed (the extra ``fast``); otherwise the same function runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.errors import InvalidArgument

__all__ = [
    "MAX_PAGES",
    "MAX_REFERENCES",
    "LruEvents",
    "compile_kernels",
    "have_numba",
    "lru_events",
    "lru_misses",
    "next_run",
]

Reference = npt.NDArray[np.unsignedinteger[Any]]
"""Shape (references,), any unsigned dtype: indices of pages, dense from 0."""

I32 = npt.NDArray[np.int32]

MAX_REFERENCES = (1 << 31) - 1
MAX_PAGES = 1 << 28
"""Distinct pages, 1 TiB of memory: bounds the one table the replay needs (4 bytes a page)."""


@dataclass(frozen=True, eq=False)
class LruEvents:
    """The misses of one replay, in order; three arrays of one length, shape (misses,), dtype int32."""

    index: I32
    """Where in the reference string."""
    fault: I32
    """The page referenced."""
    evict: I32
    """The page that made room, or -1 while memory was not full."""

    def __len__(self) -> int:
        return len(self.index)


def _lru(ref: Any, frames: int, last: Any, index: Any, evict: Any) -> int:
    """Replay `ref`; fill `index` and `evict` (if they have room for all references) and return the misses."""
    emit = len(index) > 0
    misses = tail = 0
    for i in range(len(ref)):
        page = ref[i]
        if last[page] < tail:
            victim = -1
            if misses >= frames:
                while last[ref[tail]] != tail:
                    tail += 1
                victim = ref[tail]
                tail += 1
            if emit:
                index[misses] = i
                evict[misses] = victim
            misses += 1
        last[page] = i
    return misses


def _next_run(fault: Any, evict: Any, start: int, longest: int, seen: Any) -> int:
    """Return where the run that starts at event `start` ends; `seen[page]` is 1 + the last event that named it."""
    for j in range(start, min(len(fault), start + longest)):
        page, victim = fault[j], evict[j]
        if seen[page] > start or (victim >= 0 and seen[victim] > start):
            return j
        seen[page] = j + 1
        if victim >= 0:
            seen[victim] = j + 1
    return min(len(fault), start + longest)


def have_numba() -> bool:
    """True when numba is installed, so the kernels can be compiled."""
    return find_spec("numba") is not None


@cache
def _compiled(kernel: Callable[..., int]) -> Callable[..., int]:
    import numba  # optional: the extra "fast"

    compiled: Callable[..., int] = numba.njit(cache=False, nogil=True)(kernel)
    return compiled


def _run(kernel: Callable[..., int], fast: bool, *args: Any) -> int:
    """Call a kernel, compiled or as it is; a memoryview is four times as quick as an array where it is not compiled."""
    if fast:
        return int(_compiled(kernel)(*args))
    return kernel(*(arg.data if isinstance(arg, np.ndarray) else arg for arg in args))


def compile_kernels(*dtypes: npt.DTypeLike) -> None:
    """Compile the kernels now (about a second) for reference strings of these dtypes, so that no timing includes it."""
    for dtype in dtypes or (np.uint16, np.uint32):
        events = lru_events(np.zeros(1, dtype), 1)
        next_run(events, 0, np.zeros(1, np.int32))
        lru_misses(np.zeros(1, dtype), 1)


def _checked(ref: Reference, frames: int) -> tuple[Reference, int]:
    """Return the reference string ready for a kernel, and the number of pages; bounds before memory is taken."""
    ref = np.asarray(ref)
    if ref.ndim != 1 or ref.dtype.kind not in "ui":
        raise InvalidArgument("A reference string is a one-dimensional array of page indices (unsigned integers).")
    if len(ref) > MAX_REFERENCES:
        raise InvalidArgument(f"A reference string may have {MAX_REFERENCES} references; replay this one in parts.")
    if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or frames < 1:
        raise InvalidArgument(f"frames must be a whole number of 1 or more, not {frames!r}.")
    if len(ref) and not 0 <= int(ref.min()) <= int(ref.max()) < MAX_PAGES:
        raise InvalidArgument(
            f"Page indices must be 0 to {MAX_PAGES - 1}; renumber them with np.unique(pages, return_inverse=True)[1]."
        )
    if ref.dtype not in (np.uint16, np.uint32):
        ref = ref.astype(np.uint32)
    return np.ascontiguousarray(ref), int(ref.max()) + 1 if len(ref) else 0


def lru_misses(ref: Reference, frames: int, *, fast: bool | None = None) -> int:
    """Return how many references miss an LRU memory of `frames` pages; O(references).

    `fast` forces the compiled (True) or the plain kernel (False); None takes the compiled one if numba is installed.
    """
    ref, nr_pages = _checked(ref, frames)
    last, nothing = np.full(nr_pages, -1, np.int32), np.empty(0, np.int32)
    return _run(_lru, have_numba() if fast is None else fast, ref, int(frames), last, nothing, nothing)


def lru_events(ref: Reference, frames: int, *, fast: bool | None = None) -> LruEvents:
    """Return the misses of an LRU memory of `frames` pages with what each evicts; O(references).

    The number of misses is that of `lru_misses`; `fast` as there.
    """
    ref, nr_pages = _checked(ref, frames)
    last = np.full(nr_pages, -1, np.int32)
    index, evict = np.empty(len(ref), np.int32), np.empty(len(ref), np.int32)
    misses = _run(_lru, have_numba() if fast is None else fast, ref, int(frames), last, index, evict)
    index = index[:misses].copy()
    return LruEvents(index, ref[index].astype(np.int32), evict[:misses].copy())


def next_run(events: LruEvents, start: int, seen: I32, *, longest: int = 1 << 20, fast: bool | None = None) -> int:
    """Return the end of the run of events that begins at `start` and names no page twice, faulted or evicted.

    `seen` is the caller's work space: int32 zeros, one for each page, kept from run to run.
    """
    return _run(_next_run, have_numba() if fast is None else fast, events.fault, events.evict, start, longest, seen)
