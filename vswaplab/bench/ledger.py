"""The byte ledger at full size: building a column of the posted table, 8,388,608 slots on disk, at five usages."""

from __future__ import annotations

import time

from vswaplab.bench import Case
from vswaplab.observe.ledger_build import rows_of
from vswaplab.observe.ledger_designs import PUBLISHED_SLOTS

__all__ = ["CASES"]

USAGES = (0, 25, 50, 75, 100)


def _column(design: str) -> float:
    started = time.perf_counter()
    rows_of(design, "disk", PUBLISHED_SLOTS, USAGES)
    return time.perf_counter() - started


CASES = [
    Case(
        "ledger.column.legacy",
        "x",
        f"the virtual design's column; {PUBLISHED_SLOTS:,} slots swapped out on disk, measured at five usages",
        lambda: (_column("legacy"), _column("virtual")),
        better="lower",
    ),
]
