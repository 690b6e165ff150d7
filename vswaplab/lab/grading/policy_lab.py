"""Lab 4's simulation: real reference strings through memory, zswap and a disk; a learner's policy chooses who goes.

Memory holds the pages used last. What falls out of it goes into zswap; when that is full, the policy names a page that
is written back to the disk. A fault costs 1 if zswap has the page, 20 if the disk has. The numbers are the lab's own.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from vswaplab.workloads.traces import load_trace

__all__ = ["DISK_COST", "ZSWAP_COST", "Result", "baseline", "simulate"]

ZSWAP_COST, DISK_COST = 1, 20
_MAX_REFERENCES = 60_000


@dataclass(frozen=True)
class Result:
    """What a policy cost on one trace."""

    trace: str
    cost: int
    zswap_faults: int
    disk_faults: int
    victims: int


class _Oldest:
    """The baseline: the page that was stored longest ago."""

    def __init__(self) -> None:
        self.order: OrderedDict[int, None] = OrderedDict()

    def stored(self, page: int) -> None:
        self.order[page] = None

    def loaded(self, page: int) -> None:
        del self.order[page]

    def victim(self) -> int:
        page, _ = self.order.popitem(last=False)
        return page


def simulate(policy: Any, trace: str, ram: int = 96, zswap: int = 160, part: int = 0) -> Result:
    """Drive a policy (stored, loaded, victim) over a part of a trace; AssertionError for a victim that is not there.

    `ram` and `zswap` are pages; `part` is which stretch of 60,000 references, a page counted once while it stays.
    """
    references = _references(trace, part)
    memory: OrderedDict[int, None] = OrderedDict()
    stored: set[int] = set()
    disk: set[int] = set()
    faults = [0, 0]
    victims = 0
    for page in references:
        if page in memory:
            memory.move_to_end(page)
            continue
        if page in stored:
            stored.discard(page)
            policy.loaded(page)
            faults[0] += 1
        elif page in disk:
            disk.discard(page)
            faults[1] += 1
        memory[page] = None
        if len(memory) <= ram:
            continue
        out, _ = memory.popitem(last=False)
        if len(stored) >= zswap:
            victim = policy.victim()
            assert victim in stored, f"victim() names page {victim!r}, which is not in zswap"
            stored.discard(victim)
            disk.add(victim)
            victims += 1
        stored.add(out)
        policy.stored(out)
    return Result(trace, faults[0] * ZSWAP_COST + faults[1] * DISK_COST, faults[0], faults[1], victims)


def _references(trace: str, part: int) -> list[int]:
    ref = load_trace(trace).ref
    first = part * _MAX_REFERENCES % max(1, len(ref) - _MAX_REFERENCES)
    found: list[int] = np.asarray(ref[first : first + _MAX_REFERENCES], np.int64).tolist()
    return found


def baseline(trace: str, ram: int = 96, zswap: int = 160, part: int = 0) -> Result:
    """Return what the oldest-first policy costs."""
    return simulate(_Oldest(), trace, ram, zswap, part)
