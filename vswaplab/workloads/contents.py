"""Contents of a replayed trace: which real page each page of a program holds, and when it changes.

The page of the corpus that a page holds is a fixed hash of (page, version, seed); the version counts the writes to the
page so far. So a page that was not written since goes out again with the bytes it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument
from vswaplab.strict import quoted
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import MIXES, REAL_KINDS, mix_pages, real_pages
from vswaplab.workloads.lru import LruEvents
from vswaplab.workloads.traces import Trace

__all__ = ["Contents", "choose_contents", "corpus_of"]

Contents = str | Sequence[bytes] | None
"""``"real"``, a kind of real page, a mix, pages of your own, or None: no contents, the layer's metadata only."""

_CORPUS_LIMIT = 1 << 18  # pages of the caller's own, 1 GiB


def corpus_of(contents: Contents) -> Sequence[bytes]:
    """Return the pages that contents are chosen from; InvalidArgument for a name or pages that can't be meant."""
    if contents == "real":
        return real_pages()
    if isinstance(contents, str):
        if contents in REAL_KINDS:
            return real_pages(contents)
        if contents in MIXES:
            return mix_pages(contents)
        raise InvalidArgument(f"contents {quoted(contents)} is none of: real, {', '.join((*REAL_KINDS, *MIXES))}.")
    if not isinstance(contents, Sequence):
        raise InvalidArgument(f"contents must be a name or a list of pages, not {quoted(contents)}.")
    pages = list(contents[: _CORPUS_LIMIT + 1])
    if not all(isinstance(page, bytes | bytearray | memoryview) for page in pages):
        raise InvalidArgument("contents must be pages as bytes; give a list of bytes of 4,096 each.")
    if not 1 <= len(pages) <= _CORPUS_LIMIT or any(len(page) != PAGE_SIZE for page in pages):
        raise InvalidArgument(f"contents must be 1 to {_CORPUS_LIMIT} pages of {PAGE_SIZE} bytes each.")
    return cast(list[bytes], pages)


def choose_contents(trace: Trace, events: LruEvents, nr_choices: int, seed: int) -> U64:
    """Return, for each event, which page of the corpus the evicted page holds: a hash of (page, version, seed)."""
    page = np.maximum(events.evict, 0).astype(np.uint64)
    writes = np.flatnonzero(trace.write)
    # writes in order of (page, time); an eviction's version is its rank in there less that of its page's first write
    written = np.sort(trace.ref[writes].astype(np.uint64) << np.uint64(32) | writes.astype(np.uint64))
    first = page << np.uint64(32)
    version = np.searchsorted(written, first | events.index.astype(np.uint64)) - np.searchsorted(written, first)
    return _mixed(page ^ _mixed(version.astype(np.uint64) + np.uint64(seed << 32))) % np.uint64(nr_choices)


def _mixed(value: U64) -> U64:
    """Return a 64-bit finalizer's hash (splitmix64) of each element."""
    value = (value + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ value >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return value ^ value >> np.uint64(31)
