"""zswap's pool: size classes and zspages, the list by age with its second chances, limits, and compressed sizes.

>>> ZswapPool(machine)  # doctest: +SKIP

The cursor moves by operations of the pool: a page stored, an object freed, a page visited by write-back, a page that
zswap did not take. All of it is played again from the trace (`vswaplab.observe.pool_history`). The histograms are of
real pages, compressed here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import traitlets

from vswaplab.backends.compressors import available, get_compressor
from vswaplab.backends.zsmalloc import size_classes
from vswaplab.errors import InvalidArgument
from vswaplab.figures.palette import SHAPES, THEMES
from vswaplab.observe.pool_history import POOL_DTYPE, PoolHistory
from vswaplab.observe.tracepoints import Trace
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets.step_log import palette
from vswaplab.widgets.view import View
from vswaplab.workloads.corpus import real_page_array

__all__ = ["BINS", "ZswapPool", "size_histograms"]

BINS = 64
"""Bins of a histogram, each of 64 bytes; the last one holds the pages that did not get smaller too."""
_SAMPLE = 480
"""Real pages that are compressed for the histograms, spread over the corpus."""

_CODE = """from vswaplab.observe.pool_history import PoolHistory
PoolHistory(machine.trace).operations           # stores, frees, visits by write-back
machine.zswap.pools[0].zspool.classes_table()   # size classes as they stand
list(machine.zswap.entries())                   # from the oldest, with their second chances
"""


class ZswapPool(View):
    """Pool of a machine's trace (or of a `Trace`, which knows no limits). `step` is the number of operations done.

    InvalidArgument if there is no trace, or zswap never stored a page in it.
    """

    named = "zswap's pool"

    step = traitlets.Int(0, help="Operations done so far").tag(sync=True)
    last = traitlets.Int(0, help="Operations there are")

    def __init__(self, source: Any, *, step: int | None = None) -> None:
        trace = getattr(source, "trace", source)
        if not isinstance(trace, Trace):
            raise InvalidArgument("There is no trace to play: make the Machine with tracing on.")
        history = PoolHistory(trace)
        operations = history.operations
        if not len(operations):
            raise InvalidArgument("zswap stored no page in this trace; write pages, then do machine.reclaim().")
        columns = {name: np.ascontiguousarray(operations[name]) for name in POOL_DTYPE.names or ()}
        columns["entry"] = columns["entry"].astype(np.float64)
        header = {
            "design": trace.design,
            "operations": len(operations),
            "at_first": history.at_first,
            "columns": [[name, column.dtype.str[1:], len(column)] for name, column in columns.items()],
            "classes": [[size, pages, pages * PAGE_SIZE // size] for size, pages in size_classes()],
            "limits": _limits(getattr(source, "zswap", None)),
            "phases": _phases(trace, operations["step"]),
            "histograms": size_histograms(),
            "themes": {name: palette(theme) for name, theme in THEMES.items()},
            "shapes": {str(look): shape for look, shape in SHAPES.items() if isinstance(look, str)},
        }
        data = b"".join(_padded(column) for column in columns.values())
        start = len(operations) if step is None else max(history.at_first, min(len(operations), step))
        super().__init__(view="zswappool", header=header, data=data, code=_CODE, last=len(operations), step=start)

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return what the pool is and how much of it may be used."""
        limits = self.header["limits"]
        if limits is None:
            return []
        most = f"at most {limits['max']:,} pages ({limits['max_percent']} % of memory)"
        again = f"once full, it takes pages again at {limits['accept']:,}"
        return [f"Compressed by {limits['compressor']}; {most}; {again}."]


def _limits(zswap: Any) -> dict[str, Any] | None:
    """Return the limits of a pool in pages, None where they are not known."""
    if zswap is None:
        return None
    return {
        "max": zswap.max_pages,
        "accept": zswap.accept_threshold_pages,
        "max_percent": zswap.max_pool_percent,
        "accept_percent": zswap.accept_threshold_percent,
        "compressor": zswap.compressor,
    }


def _phases(trace: Trace, steps: Any) -> list[tuple[str, int]]:
    """Return each mark and the operation with which it begins."""
    found = [(mark.label, int(np.searchsorted(steps, mark.step)) + 1) for mark in trace.marks]
    return [(label, at) for label, at in found if at <= len(steps)]


@cache
def size_histograms() -> list[dict[str, Any]]:
    """Return how real pages compress, for each codec at hand: its name, counts by bin, and the mean in bytes."""
    pages = real_page_array()
    sample = pages[:: max(1, len(pages) // _SAMPLE)]
    found = []
    for name in available():
        compress = get_compressor(name).compress
        lengths = np.array([min(PAGE_SIZE, len(compress(page.tobytes()))) for page in sample])
        counts = np.bincount(np.minimum(lengths // (PAGE_SIZE // BINS), BINS - 1), minlength=BINS)
        refused = int((lengths >= PAGE_SIZE).sum())
        found.append(
            {
                "codec": name,
                "pages": len(sample),
                "counts": counts.tolist(),
                "mean": float(lengths.mean()),
                "incompressible": refused,
            }
        )
    return found


def _padded(column: Any) -> bytes:
    data = np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
    return data + bytes(-len(data) % 8)
