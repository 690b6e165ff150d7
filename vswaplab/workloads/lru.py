"""Exact LRU from the reference string alone.

The string is its own queue. Write down, for each page, where it was last referenced. A page is resident exactly when
that place is at or after the *tail*, so a hit is one comparison and moves nothing. When memory is full and a page
misses, walk the tail past references that are stale (their page was referenced again later); the first that is not is
the least recently used page. Each reference is passed once: the whole replay is O(references), whatever the frames.

>>> import numpy as np
>>> events = lru_events(np.array([0, 1, 2, 0, 3, 1], np.uint32), frames=3)
>>> [tuple(int(n) for n in row) for row in zip(events.index, events.fault, events.evict)]
[(0, 0, -1), (1, 1, -1), (2, 2, -1), (4, 3, 1), (5, 1, 2)]

The loop is compiled with numba when that is installed (the extra ``fast``) and the string is long; otherwise the same
function runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    "Waves",
    "compile_kernels",
    "have_numba",
    "lru_events",
    "lru_misses",
    "worth_compiling",
]

Reference = npt.NDArray[np.unsignedinteger[Any]]
"""Shape (references,), any unsigned dtype: indices of pages, dense from 0."""

I32 = npt.NDArray[np.int32]

MAX_REFERENCES = (1 << 31) - 1
MAX_PAGES = 1 << 28
"""Distinct pages, 1 TiB of memory: bounds the one table the replay needs (4 bytes a page)."""

_WORTH_COMPILING = 5_000_000


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


def _waves(fault: Any, evict: Any, seen: Any, base: int, wave_in: Any, wave_out: Any) -> int:
    """Number the waves of a batch; return the highest. `seen[page]` is 1 + base + the wave of its last event so far."""
    highest = 0
    for j in range(len(fault)):
        page, victim = fault[j], evict[j]
        if victim >= 0:
            wave = seen[victim] - base if seen[victim] > base else 1
            wave_out[j] = wave
            seen[victim] = base + wave + 1
            highest = max(highest, wave)
        wave = seen[page] - base if seen[page] > base else 0
        wave_in[j] = wave
        seen[page] = base + wave + 1
        highest = max(highest, wave)
    return highest


def have_numba() -> bool:
    """True when numba is installed, so the kernels can be compiled."""
    return find_spec("numba") is not None


@cache
def _compiled(kernel: Callable[..., int]) -> Callable[..., int]:
    import numba  # optional: the extra "fast"

    compiled: Callable[..., int] = numba.njit(cache=False, nogil=True)(kernel)
    return compiled


def worth_compiling(references: int) -> bool:
    """Return whether to use the compiled kernels: compiling takes as long as a few million references do plain."""
    return have_numba() and (bool(_compiled.cache_info().currsize) or references >= _WORTH_COMPILING)


def _run(kernel: Callable[..., int], fast: bool, *args: Any) -> int:
    """Call a kernel, compiled or as it is; a memoryview is four times as quick as an array where it is not compiled."""
    if fast:
        return int(_compiled(kernel)(*args))
    return kernel(*(arg.data if isinstance(arg, np.ndarray) else arg for arg in args))


def compile_kernels(*dtypes: npt.DTypeLike) -> None:
    """Compile the kernels now (about a second) for reference strings of these dtypes, so that no timing includes it."""
    for dtype in dtypes or (np.uint16, np.uint32):
        events = lru_events(np.zeros(1, dtype), 1, fast=True)
        list(Waves(events, 1, fast=True).batch(0, 1))
        lru_misses(np.zeros(1, dtype), 1, fast=True)


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

    `fast` forces the compiled (True) or the plain kernel (False); None takes the compiled one if numba is
    installed and the string long enough to be worth it.
    """
    ref, nr_pages = _checked(ref, frames)
    last, nothing = np.full(nr_pages, -1, np.int32), np.empty(0, np.int32)
    return _run(_lru, worth_compiling(len(ref)) if fast is None else fast, ref, int(frames), last, nothing, nothing)


def lru_events(ref: Reference, frames: int, *, fast: bool | None = None) -> LruEvents:
    """Return the misses of an LRU memory of `frames` pages with what each evicts; O(references).

    The number of misses is that of `lru_misses`; `fast` as there.
    """
    ref, nr_pages = _checked(ref, frames)
    last = np.full(nr_pages, -1, np.int32)
    index, evict = np.empty(len(ref), np.int32), np.empty(len(ref), np.int32)
    misses = _run(_lru, worth_compiling(len(ref)) if fast is None else fast, ref, int(frames), last, index, evict)
    index = index[:misses].copy()
    return LruEvents(index, ref[index].astype(np.int32), evict[:misses].copy())


class Waves:
    """Cuts a stream of events into waves that name no page twice, so that each can be applied as one array.

    Of a batch of events, wave 0 faults pages that were out before, wave 1 evicts, wave 2 faults what wave 1 evicted,
    and so on: for each page its events keep their order, and nearly all of them fall into the first two or three waves.
    """

    def __init__(self, events: LruEvents, nr_pages: int, *, fast: bool | None = None) -> None:
        self._events, self._fast = events, worth_compiling(len(events)) if fast is None else fast
        self._seen = np.zeros(nr_pages, np.int64)
        self._base = 0

    def batch(self, start: int, stop: int) -> Iterator[tuple[bool, npt.NDArray[np.intp]]]:
        """Yield the waves of events `start` to `stop` in order: whether it evicts, and which events it is of.

        Batches must follow one another from event 0 on.
        """
        fault, evict = self._events.fault[start:stop], self._events.evict[start:stop]
        wave_in, wave_out = np.empty(len(fault), np.int64), np.full(len(fault), -1, np.int64)
        highest = _run(_waves, self._fast, fault, evict, self._seen, self._base, wave_in, wave_out)
        self._base += highest + 1
        order_in, order_out = np.argsort(wave_in, kind="stable"), np.argsort(wave_out, kind="stable")
        bounds = np.arange(highest + 2)
        cuts_in, cuts_out = np.searchsorted(wave_in[order_in], bounds), np.searchsorted(wave_out[order_out], bounds)
        for wave in range(highest + 1):
            evicts = wave % 2 == 1
            order, cuts = (order_out, cuts_out) if evicts else (order_in, cuts_in)
            yield evicts, start + order[cuts[wave] : cuts[wave + 1]]
