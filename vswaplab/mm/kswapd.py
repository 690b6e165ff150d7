"""kswapd: memory is reclaimed in the background, before anybody has to wait for it [BACKGROUND: mm/vmscan.c].

Three watermarks count free pages. An allocation that leaves fewer than `low` wakes kswapd, which reclaims from all
memory cgroups in turn until `high` are free. One that would leave fewer than `min` has to reclaim for itself first
(*direct reclaim*): the pages below `min` are for reclaim's own needs, such as compressing. A cgroup pays for its own
pages whoever reclaims them: its events count there, and what is compressed is charged to it.

`Machine(min_free=...)` sets `min`; from there to `low` is a quarter of it, and as much again to `high`, as
`min_free_kbytes` and `watermark_scale_factor` set them on Linux. By default there are no watermarks: the machines of
this lab are small, and Linux's own least `min_free_kbytes` of 128 KiB would be a good part of them, or all.
`min_free="auto"` gives Linux's formula, at most a sixteenth of RAM.

In this model kswapd has no thread: it runs at the end of the operation that woke it. So does the reclaim that
memory.high asks for, as it does on Linux when a task returns to user mode.

>>> Watermarks.of(4096, "auto")
Watermarks(min=128, low=160, high=192)
>>> Watermarks.of(4096, None)
Watermarks(min=0, low=0, high=0)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isqrt

from vswaplab.errors import InvalidArgument
from vswaplab.events import Recorder
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.mm.reclaim import DIRECT, KSWAPD, SWAP_CLUSTER_MAX, Reclaim
from vswaplab.protocols import SwapSpace
from vswaplab.strict import quoted
from vswaplab.units import PAGE_SHIFT, format_size, pages_of

__all__ = ["MAX_IDLE_ROUNDS", "MAX_RECLAIM_RETRIES", "WATERMARK_SCALE_FACTOR", "Kswapd", "Watermarks"]

MAX_RECLAIM_RETRIES = 16
"""Rounds of reclaim without progress before it is given up [BACKGROUND]."""
MAX_IDLE_ROUNDS = 2
"""Rounds that free nothing at all: the first may have had references to clear, the second had none."""
WATERMARK_SCALE_FACTOR = 10
"""vm.watermark_scale_factor: watermarks are at least that many ten-thousandths of RAM apart [BACKGROUND]."""
_MAX_AUTO_KIB = 256 << 10
_KIB_SHIFT = PAGE_SHIFT - 10


@dataclass(frozen=True)
class Watermarks:
    """Free pages at which something happens; all 0: nothing does."""

    min: int
    low: int
    high: int

    @classmethod
    def of(cls, ram_pages: int, min_free: int | str | None) -> Watermarks:
        """Return the watermarks for a `min` of `min_free` bytes (number or text), "auto", or None for none at all.

        InvalidArgument if it is no size, or leaves no half of RAM to work in.
        """
        if min_free is None:
            return cls(0, 0, 0)
        if isinstance(min_free, str) and min_free.strip() == "auto":
            kib = min(isqrt(16 * (ram_pages << _KIB_SHIFT)), _MAX_AUTO_KIB, ram_pages << _KIB_SHIFT >> 4)
            pages = kib >> _KIB_SHIFT
        else:
            pages = pages_of(min_free, "min_free")
        if not pages:
            return cls(0, 0, 0)
        gap = max(1, pages // 4, ram_pages * WATERMARK_SCALE_FACTOR // 10_000)
        marks = cls(pages, pages + gap, pages + 2 * gap)
        if 2 * marks.high > ram_pages:
            raise InvalidArgument(
                f"min_free {quoted(min_free)} makes kswapd keep {format_size(marks.high << PAGE_SHIFT)} of "
                f"{format_size(ram_pages << PAGE_SHIFT)} free; give more ram, or a min_free that leaves half of it."
            )
        return marks


class Kswapd(Reclaim):
    """Watermarks, and what is reclaimed in the background."""

    watermarks = Watermarks(0, 0, 0)
    """In pages; `Machine` sets them."""

    kswapd_failures = 0
    """Runs in a row that freed nothing; at `MAX_RECLAIM_RETRIES` kswapd sleeps until memory is freed otherwise."""
    _background = False
    """Whether there is anything for `_run_background` to do."""
    _kswapd_woken = False

    def __init__(self, ram_pages: int, swap: SwapSpace, memcgs: MemcgTable, record: Recorder | None) -> None:
        super().__init__(ram_pages, swap, memcgs, record)
        self._charged_over_high: Counter[Memcg] = Counter()
        """Pages charged by a task since it was over a memory.high."""

    # -- an allocation says what is to be done -------------------------------------------------------------------

    def _after_charge(self, nr: int, memcg: Memcg) -> None:
        """Note what a charge of `nr` pages makes necessary: the reclaim for a memory.high, or kswapd."""
        if self.memcgs.any_high and any(each.over_high() for each in memcg.lineage()):
            self._charged_over_high[memcg] += nr
            self._background = True
        if not self.watermarks.low:
            return
        if self.free_pages >= self.watermarks.low:
            self.kswapd_failures = 0
        elif self.kswapd_failures < MAX_RECLAIM_RETRIES:
            self._kswapd_woken = self._background = True

    def _run_background(self) -> None:
        """Do what allocations asked for since the last time."""
        self._background = False
        charged, self._charged_over_high = self._charged_over_high, Counter()
        for memcg, nr in charged.items():
            self._handle_over_high(memcg, nr)
        if self._kswapd_woken:
            self._kswapd_woken = False
            self._balance()

    def _handle_over_high(self, memcg: Memcg, nr: int) -> None:
        """Reclaim below each cgroup that is over its memory.high, and slow the task by what is still over."""
        for each in memcg.lineage():
            if each.over_high():
                each.count("high")
                self._try_to_free_pages(max(nr, SWAP_CLUSTER_MAX), each, DIRECT)
        for each in memcg.lineage():
            each.throttle(nr)

    def _balance(self) -> None:
        """Reclaim from all cgroups until `high` pages are free, or no more can be had. C name: ``balance_pgdat``."""
        self.vm_events["pageoutrun"] += 1
        before = best = self.used_pages
        idle = 0
        while self.free_pages < self.watermarks.high and idle < MAX_IDLE_ROUNDS:
            wanted = max(self.watermarks.high - self.free_pages, SWAP_CLUSTER_MAX)
            self._try_to_free_pages(wanted, self.root_memcg, KSWAPD)
            # What only moves into the compressed pool, at full size, is no progress.
            idle = 0 if self.used_pages < best else idle + 1
            best = min(best, self.used_pages)
        self.kswapd_failures = 0 if best < before else self.kswapd_failures + 1
