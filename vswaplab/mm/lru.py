"""LRU lists and the working set: who is evicted next, and who came back too soon.

Each memory cgroup keeps two lists of anonymous folios. New folios start on the inactive list; reclaim takes the
oldest, gives those that were referenced a second chance, and promotes those referenced again to the active list
[BACKGROUND: mm/vmscan.c].

When a folio is evicted, a *shadow* stays behind in the swap cache: the memory cgroup whose reclaim evicted it and how
many evictions and activations that one had seen by then (its `nonresident_age`). At the refault the age since then is
the *refault distance*: how much more memory would have kept the folio in. If that is no more than the active list
holds, the folio belongs to the working set and is activated at once [BACKGROUND: mm/workingset.c].

>>> unpack_shadow(pack_shadow(memcgid=3, age=1000, workingset=True))
(3, 1000, True)
"""

from __future__ import annotations

from collections import OrderedDict
from math import isqrt

from vswaplab.mm.folio import Folio
from vswaplab.units import PAGE_SHIFT

__all__ = ["Lruvec", "inactive_ratio", "pack_shadow", "refault_distance", "unpack_shadow"]

_GIB_SHIFT = 30 - PAGE_SHIFT
_MEMCG_BITS, _AGE_BITS = 16, 46
_AGE_MASK = (1 << _AGE_BITS) - 1


def pack_shadow(memcgid: int, age: int, workingset: bool) -> int:
    """Return a shadow: an odd 64-bit number, so that it can't be taken for a folio's pointer."""
    return ((age & _AGE_MASK) << _MEMCG_BITS | memcgid) << 2 | workingset << 1 | 1


def unpack_shadow(shadow: int) -> tuple[int, int, bool]:
    """Return (memory cgroup id, age, working set bit) of a shadow."""
    value = shadow >> 2
    return value & (1 << _MEMCG_BITS) - 1, value >> _MEMCG_BITS, bool(shadow & 2)


def refault_distance(age_now: int, age_then: int) -> int:
    """Return how far the age has moved on since an eviction; the counter wraps at 46 bits."""
    return (age_now - age_then) & _AGE_MASK


def inactive_ratio(nr_pages: int) -> int:
    """Return how many active pages there may be to an inactive one: sqrt(10 * GiB), at least 1."""
    gib = nr_pages >> _GIB_SHIFT
    return isqrt(10 * gib) if gib else 1


class Lruvec:
    """The lists of one memory cgroup; in both the first folio is the oldest. All operations are O(1)."""

    def __init__(self) -> None:
        self.inactive: OrderedDict[Folio, None] = OrderedDict()
        self.active: OrderedDict[Folio, None] = OrderedDict()
        self.nr_inactive = 0
        """Pages, not folios."""
        self.nr_active = 0
        self.nonresident_age = 0

    @property
    def nr_pages(self) -> int:
        """Pages on both lists."""
        return self.nr_inactive + self.nr_active

    def add(self, folio: Folio) -> None:
        """Put a folio on the young end of the list that its `active` flag names."""
        folio.on_lru = True
        if folio.active:
            self.active[folio] = None
            self.nr_active += folio.nr_pages
        else:
            self.inactive[folio] = None
            self.nr_inactive += folio.nr_pages

    def remove(self, folio: Folio) -> None:
        """Take a folio off its list."""
        folio.on_lru = False
        if folio.active:
            del self.active[folio]
            self.nr_active -= folio.nr_pages
        else:
            del self.inactive[folio]
            self.nr_inactive -= folio.nr_pages

    def oldest(self, active: bool) -> Folio | None:
        """Return the folio at the old end of a list, or None."""
        return next(iter(self.active if active else self.inactive), None)

    def inactive_is_low(self) -> bool:
        """Whether reclaim should refill the inactive list from the active one."""
        return self.nr_inactive * inactive_ratio(self.nr_pages) < self.nr_active
