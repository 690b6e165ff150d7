"""Page contents for the random machine, and what is known of a page whose write failed half-way."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from vswaplab.units import PAGE_SIZE, ZERO_PAGE

__all__ = ["CONTENTS", "Expected", "TornPage", "page_of", "torn"]

CONTENTS = ("zero", "same", "text", "sparse", "noise")
"""Kinds of page contents, from the one that costs nothing to the one that does not compress."""


def page_of(kind: str, seed: int) -> bytes:
    """Return a page of one of the `CONTENTS`; the same seed gives the same bytes."""
    if kind == "zero":
        return ZERO_PAGE
    if kind == "same":
        return (seed % 255 + 1).to_bytes(1, "little") * PAGE_SIZE
    if kind == "text":
        return (f"page {seed} ".encode() * (PAGE_SIZE // 6))[:PAGE_SIZE]
    random = Random(seed)
    if kind == "sparse":
        at = random.randrange(PAGE_SIZE - 64)
        return bytes(at) + random.randbytes(64) + bytes(PAGE_SIZE - 64 - at)
    return random.randbytes(PAGE_SIZE)


class _Torn:
    """A write of several pages that failed: the first ones are new, the others old; `low` to `high` are new."""

    def __init__(self, nr: int) -> None:
        self.low, self.high = 0, nr - 1


class TornPage:
    """A page of such a write: it holds what it held, or what was written, and its neighbours say which."""

    def __init__(self, of: _Torn, index: int, old: Expected, new: bytes) -> None:
        self._of, self._index, self._old, self._new = of, index, old, new

    def may_hold(self, found: bytes) -> bool:
        """Whether the page may hold these bytes, as far as is known."""
        new = found == self._new and self._index < self._of.high
        return new or (self._of.low <= self._index and _may_hold(self._old, found))

    def found(self, found: bytes) -> bool:
        """Learn from what the page holds; False if that can't be."""
        new = found == self._new and self._index < self._of.high
        old = self._of.low <= self._index and _may_hold(self._old, found)
        if new and not old:
            self._of.low = max(self._of.low, self._index + 1)
        if old and not new:
            self._of.high = min(self._of.high, self._index)
            if isinstance(self._old, TornPage):
                self._old.found(found)
        return new or old


Expected = bytes | TornPage
"""What a page must hold."""


def _may_hold(expected: Expected, found: bytes) -> bool:
    return expected.may_hold(found) if isinstance(expected, TornPage) else expected == found


def torn(old: Sequence[Expected], new: Sequence[bytes]) -> list[Expected]:
    """Return what the pages hold that a failed write was to change from `old` to `new`: not the last, not all."""
    of = _Torn(len(new))
    return [TornPage(of, i, before, after) for i, (before, after) in enumerate(zip(old, new, strict=True))]
