"""zswap's pool and its list by age at every event, played again from the trace.

The trace says which page was stored, with how many bytes, and which left; played through a `ZsPool` in the same order,
each object comes to lie where it lay. `PoolHistory` is a list of operations: store, free, and *visit* (write-back looks
at the oldest page, which loses its second chance and becomes the youngest). Visits are not in the trace; they follow
from what was written back. With one memory cgroup at work they are exact; of several, a list whose pages all lost their
second chance in vain is not told apart. Pools of an earlier compressor and compaction are not told apart either.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.backends.zsmalloc import ZsPage, ZsPool
from vswaplab.entry import Backing
from vswaplab.events import Event
from vswaplab.observe.tracepoints import Trace

__all__ = ["FREE", "LEAVES", "POOL_DTYPE", "REFUSED", "STORE", "VISIT", "PoolHistory"]

STORE, FREE, VISIT, REFUSED = range(4)
"""Operations. REFUSED: a page that went to the device, or stayed, since zswap did not take it."""
LEAVES = {Backing.FOLIO: "read back", Backing.SWAPFILE: "written back", Backing.ZERO: "replaced", None: "freed"}
"""Why an object was freed, by the backing that its entry has then."""

POOL_DTYPE = np.dtype(
    [
        ("op", "u1"),
        ("why", "u1"),
        ("memcg", "<u2"),
        ("length", "<u2"),
        ("klass", "<u2"),
        ("zspage", "<i4"),
        ("object", "<u2"),
        ("step", "<i4"),
        ("pages", "<i4"),
        ("entry", "<u8"),
    ]
)
"""One operation. `why`: backing afterwards, 255 for none; `klass`: which size class; `zspage`: its serial number;
`pages`: what the pool takes afterwards; `step`: event of the trace."""

_NONE = 255


class PoolHistory:
    """Operations on the pool of a trace: `operations` (POOL_DTYPE), and the state at the end."""

    def __init__(self, trace: Trace) -> None:
        self.pool = ZsPool()
        self.lrus: dict[int, OrderedDict[int, bool]] = {}
        """By memory cgroup id: entries from the oldest, True with a second chance."""
        self.first = trace.first
        self._where: dict[int, tuple[int, int, int, int, int]] = {}
        self._memcg: dict[int, int] = {}
        self._serial: dict[ZsPage, int] = {}
        self._serials = 0
        self._rows: list[tuple[Any, ...]] = []
        self._before(trace)
        self.at_first = len(self._rows)
        """Operations that stand for what was stored before the first event."""
        for step, record in enumerate(trace.records().tolist(), trace.first):
            self._play(step, record)
        self.operations: npt.NDArray[Any] = np.array(self._rows, POOL_DTYPE)

    def _before(self, trace: Trace) -> None:
        for entry, slot in trace.step(trace.first - 1).slots.items():
            self._memcg[entry] = slot.memcgid
            if slot.backing is Backing.ZSWAP:
                self._store(trace.first - 1, entry, slot.length)

    def _play(self, step: int, record: tuple[Any, ...]) -> None:
        event, _, old, new, _, entry, _, _, value = record
        if event == Event.ALLOC:
            self._memcg[entry] = value
        elif event == Event.FREE:
            if entry in self._where:
                self._free(step, entry, _NONE)
        elif event == Event.BACKING:
            self._backing(step, entry, old, new, value)
        elif event == Event.WRITEBACK and not value and entry in self._where:
            self._visit_until(step, entry)
        elif event == Event.WRITEOUT and new == _NONE:
            self._note(step, REFUSED, entry, _NONE)

    def _backing(self, step: int, entry: int, old: int, new: int, length: int) -> None:
        if entry in self._where:
            if new == Backing.SWAPFILE:
                self._visit_until(step, entry)
            self._free(step, entry, new)
        elif old == Backing.FOLIO and new == Backing.SWAPFILE:
            self._note(step, REFUSED, entry, new)
        if new == Backing.ZSWAP:
            self._store(step, entry, length)

    # -- operations ------------------------------------------------------------------------------------------------

    def _store(self, step: int, entry: int, length: int) -> None:
        handle = self.pool.malloc(length)
        zspage = self.pool._zspage[handle]
        assert zspage is not None
        if zspage not in self._serial:
            self._serial[zspage] = self._serials
            self._serials += 1
        klass = self.pool.classes.index(zspage.klass)
        at = self.pool._start[handle] // zspage.klass.size
        self._where[entry] = handle, length, klass, self._serial[zspage], at
        self.lrus.setdefault(self._memcg.get(entry, 0), OrderedDict())[entry] = True
        self._row(step, STORE, entry, Backing.ZSWAP)

    def _free(self, step: int, entry: int, why: int) -> None:
        handle = self._where[entry][0]
        zspage = self.pool._zspage[handle]
        assert zspage is not None
        self.pool.free(handle)
        if len(zspage.free) == zspage.klass.objs:  # it was given back; should it come back it is another one
            del self._serial[zspage]
        memcg = self._memcg.get(entry, 0)
        lru = self.lrus[memcg]
        del lru[entry]
        self._row(step, FREE, entry, why)
        del self._where[entry]

    def _visit_until(self, step: int, victim: int) -> None:
        """Write-back visited the oldest pages one after the other until it found the victim without a second chance."""
        lru = self.lrus[self._memcg.get(victim, 0)]
        for _ in range(2 * len(lru) + 1):
            entry, referenced = next(iter(lru.items()))
            lru.move_to_end(entry)
            lru[entry] = False
            self._row(step, VISIT, entry, _NONE)
            if entry == victim and not referenced:
                return

    def _row(self, step: int, op: int, entry: int, why: int) -> None:
        _, length, klass, serial, at = self._where[entry]
        memcg = self._memcg.get(entry, 0)
        self._rows.append((op, why, memcg, length, klass, serial, at, step, self.pool.total_pages, entry))

    def _note(self, step: int, op: int, entry: int, why: int) -> None:
        memcg = self._memcg.get(entry, 0)
        self._rows.append((op, why, memcg, 0, 0, -1, 0, step, self.pool.total_pages, entry))
