"""Events: the vocabulary of the trace.

Every change of state is one fixed-size record, so that a run can be rebuilt at any step. A structure that changes state
calls its `Recorder` (or nothing at all when that is None); `vswaplab.observe` keeps the records and rebuilds states.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

import numpy as np

__all__ = ["EVENT_DTYPE", "NO_BACKING", "Event", "Recorder"]

NO_BACKING = 0xFF
"""Stands for "none" in the `old` and `new` fields of a record."""


class Event(IntEnum):
    """What happened. Beside each: which fields of the record it fills."""

    MARK = 0
    """A phase named by the user: value = number of the label."""
    SPAWN = 1
    """pid; value = parent's pid when forked, else 0."""
    EXIT = 2
    """pid."""
    SWAPON = 3
    """slot = device type; value = usable slots."""
    SWAPOFF = 4
    """slot = device type."""
    ALLOC = 5
    """entry taken; new = backing (virtual: FOLIO); value = memcg id. Swap count 0, pinned in the swap cache."""
    FREE = 6
    """entry gone; old = its last backing."""
    BACKING = 7
    """entry; old and new backing; slot = new physical slot or zswap entry; value = compressed bytes if ZSWAP."""
    DUPLICATE = 8
    """entry; value = new swap count."""
    PUT = 9
    """entry; value = new swap count."""
    CACHE_ADD = 10
    """entry; value = pointer of the folio now in the swap cache (0: pinned, no folio yet)."""
    CACHE_DEL = 11
    """entry; value = shadow left behind, or 0."""
    PTE_MAP = 12
    """pid, vpn; value = page frame number. The PTE is present from now on; entry = what it held before, or 0."""
    PTE_SWAP = 13
    """pid, vpn, entry: the PTE holds this entry from now on; entry 0: a poison marker."""
    PTE_CLEAR = 14
    """pid, vpn: the PTE is empty from now on; entry = what it held before, or 0."""
    FAULT = 15
    """pid, vpn; entry if a swap fault; value = 1 write, + 2 major. Changes no state by itself."""
    WRITEOUT = 16
    """entry; new = where the folio went (NO_BACKING: refused, it stays in memory). Changes no state by itself."""
    WRITEBACK = 17
    """entry: zswap to swapfile; value = 1 done, 0 refused, 2 the device failed. Changes no state by itself."""
    RECLAIM = 18
    """value = pages asked for; slot = pages reclaimed; Changes no state by itself."""


EVENT_DTYPE = np.dtype(
    [
        ("event", "u1"),
        ("cpu", "u1"),
        ("old", "u1"),
        ("new", "u1"),
        ("pid", "<u4"),
        ("entry", "<u8"),
        ("slot", "<u8"),
        ("vpn", "<u8"),
        ("value", "<u8"),
    ]
)
"""One record: 40 bytes."""


class Recorder(Protocol):
    """Takes records, one at a time or many of one kind at once (any field may then be an array)."""

    cpu: int

    def __call__(
        self,
        event: Event,
        entry: int = 0,
        old: int = NO_BACKING,
        new: int = NO_BACKING,
        slot: int = 0,
        pid: int = 0,
        vpn: int = 0,
        value: int = 0,
    ) -> None:
        """Record one event."""
        ...

    def many(self, event: Event, nr: int, **fields: Any) -> None:
        """Record `nr` events of one kind; each field is a number for all or an array of `nr`."""
        ...
