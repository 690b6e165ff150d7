"""What swapoff costs, and what its cost grows with: the same device, owner and strangers under either design.

`measure_swapoff` makes a machine with one device, which holds the pages of one process, the *owner*. *Strangers* are
other processes with large mappings of their own, almost all of it the zero page, that have one page on the device or
none. Then the device is swapped off, and the design's own counts of what that took are returned. The scenarios are
those of ``data/kernel/swapoff.csv``, measured on real kernels (see `vswaplab.workloads.swapoff_kernel`).

`growth` varies the swapped pages and the mapped bytes; `growth_fits` are straight lines through what it measured.
Counts are exact and the same in each run; seconds are wall time of the machine that runs the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.errors import InvalidArgument
from vswaplab.mm.machine import Machine
from vswaplab.mm.process import Process, Region
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import quoted, require_memory, whole_number
from vswaplab.units import PAGE_SIZE, pages_of
from vswaplab.workloads.kernel_tables_cells import lines_of

__all__ = [
    "BACKINGS",
    "MAPPED",
    "MAX_REPEAT",
    "MAX_STRANGERS",
    "MAX_SWAPPED",
    "STATES",
    "SWAPPED",
    "WHERE",
    "BuiltSwapoff",
    "Fit",
    "SwapoffRow",
    "SwapoffSetting",
    "fit",
    "fastest",
    "fits_text",
    "growth",
    "growth_fits",
    "measure_swapoff",
    "swapoff_table",
]

SWAPPED = (256, 1024, 4096)
MAPPED = ("64M", "1G", "16G", "64G")
"""What `growth` varies by default."""

MAX_SWAPPED = 1 << 18
MAX_STRANGERS = 1 << 12
MAX_REPEAT = 1 << 10

BACKINGS = ("device", "zswap")
"""Where the swapped pages are: on the device, or compressed in memory."""

WHERE = ("after", "before")
"""Whether the strangers went to swap after the owner did (they are younger) or before."""

STATES = {
    "never": "the stranger has never swapped",
    "in": "one page of the stranger was out and is back; legacy keeps its slot",
    "out": "one page of the stranger is out",
    "gone": "one page of the stranger was out, and is unmapped since: it holds no slot",
}


@dataclass(frozen=True)
class SwapoffRow:
    """A swapoff and what it was done to."""

    design: str
    swapped_pages: int
    """Pages of the owner that were swapped out."""
    mapped_ptes: int
    """Page table entries of all strangers together."""
    strangers: int
    where: str
    state: str
    backing: str
    report: SwapoffReport

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON: the setting, then every count of the report."""
        return {
            "design": self.design,
            "swapped_pages": self.swapped_pages,
            "mapped_ptes": self.mapped_ptes,
            "strangers": self.strangers,
            "where": self.where,
            "state": self.state,
            "backing": self.backing,
            **self.report.as_dict(),
        }


def measure_swapoff(
    design: str,
    swapped: int,
    mapped: int | str = 0,
    strangers: int = 1,
    *,
    where: str = "after",
    state: str = "in",
    backing: str = "device",
) -> SwapoffRow:
    """Swap a device off that holds `swapped` pages of one process, beside `strangers` with `mapped` bytes each.

    `where` is one of `WHERE`, `state` of `STATES`, `backing` of `BACKINGS`. Nothing mapped means no strangers. The
    contents are compared afterwards. InvalidArgument for a setting that can't be.
    """
    setting = SwapoffSetting(swapped, mapped, strangers, where, state, backing)
    with setting.build(design) as built:
        report = built.machine.swapoff(built.device)
        built.verify()
        built.machine.check()
    mapped_ptes = setting.pages * setting.strangers
    return SwapoffRow(design, setting.swapped, mapped_ptes, setting.strangers, where, state, backing, report)


def _slots(pages: int) -> int:
    """Return a size for the device: whole clusters, and never half full, when legacy would free slots early."""
    return SWAPFILE_CLUSTER * (2 + 4 * pages // SWAPFILE_CLUSTER)


class SwapoffSetting:
    """What a device holds before its swapoff, and who else is there; arguments as for `measure_swapoff`."""

    def __init__(
        self,
        swapped: int,
        mapped: int | str = 0,
        strangers: int = 1,
        where: str = "after",
        state: str = "in",
        backing: str = "device",
    ) -> None:
        """InvalidArgument for a setting that can't be."""
        self.swapped = whole_number(swapped, "swapped", 1, MAX_SWAPPED)
        strangers = whole_number(strangers, "strangers", 0, MAX_STRANGERS)
        for value, allowed in ((where, WHERE), (state, tuple(STATES)), (backing, BACKINGS)):
            if value not in allowed:
                raise InvalidArgument(f"{quoted(value)} is not one of {', '.join(allowed)}.")
        self.pages = pages_of(mapped, "mapped")
        """Pages that each stranger maps."""
        self.strangers = strangers if self.pages else 0
        self.where, self.state, self.backing = where, state, backing
        require_memory(8 * self.pages * self.strangers + 3 * PAGE_SIZE * (swapped + self.strangers), "This swapoff")

    def build(self, design: str, trace: bool = False) -> BuiltSwapoff:
        """Make the machine, with its device on and all processes in their states."""
        pages = self.swapped + self.strangers
        ram = (2 * pages + 1024) * PAGE_SIZE
        zswap = {"compressor": "lz4", "max_pool_percent": 50} if self.backing == "zswap" else None
        machine = Machine(ram, design, cpus=1, zswap=zswap, page_cluster=0, trace=trace)
        built = BuiltSwapoff(self, machine, machine.swapon(size=_slots(pages) * PAGE_SIZE))
        if self.where == "before":
            built.add_strangers()
        built.add_owner()
        if self.where == "after":
            built.add_strangers()
        built.settle()
        return built


class BuiltSwapoff:
    """A machine before a swapoff; close it, or use it in a `with`."""

    def __init__(self, setting: SwapoffSetting, machine: Machine, device: Any) -> None:
        self.setting, self.machine, self.device = setting, machine, device
        self.swapped, self.pages, self.state = setting.swapped, setting.pages, setting.state
        self.owner: tuple[Process, Region] | None = None
        self.strangers: list[tuple[Process, Region]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.machine.close()

    def add_owner(self) -> None:
        """Write the owner's pages, no two alike and none zero, and push them out."""
        process = self.machine.spawn("owner")
        region = process.mmap(self.swapped * PAGE_SIZE)
        for i in range(self.swapped):
            process.write(region.start + i * PAGE_SIZE, _content(i))
        self.machine.reclaim()
        self.owner = process, region

    def add_strangers(self) -> None:
        """Map the strangers' memory, write the last page of each, and push these out unless they are never to swap.

        The last page, so that a walk that ends at it has seen the others.
        """
        for i in range(self.setting.strangers):
            process = self.machine.spawn(f"stranger{i}")
            region = process.mmap(self.pages * PAGE_SIZE)
            process.populate(region)
            if self.state != "never":
                process.write(region.page(-1).start, _content(self.swapped + i))
            self.strangers.append((process, region))
        self.machine.reclaim()

    def settle(self) -> None:
        """Bring the strangers into the state they are to be in."""
        for i, (process, region) in enumerate(self.strangers):
            if self.state == "never":
                process.write(region.page(-1).start, _content(self.swapped + i))
            elif self.state == "in":
                process.touch(region.page(-1))
            elif self.state == "gone":
                process.munmap(region.page(-1))

    def verify(self) -> None:
        """Compare every page of the owner with what was written; InvalidArgument if any differs."""
        lost = self.lost()
        if lost:
            raise InvalidArgument(f"{lost} pages of the owner read other than they were written.")

    def lost(self) -> int:
        """Read every page of the owner and return how many differ from what was written."""
        assert self.owner is not None
        process, region = self.owner
        return sum(process.read(region.start + i * PAGE_SIZE, 8) != _content(i) for i in range(self.swapped))


def _content(i: int) -> bytes:
    return (i + 1).to_bytes(8, "little")


def fastest(
    repeat: int, design: str, swapped: int, mapped: int | str = 0, strangers: int = 1, **more: str
) -> SwapoffRow:
    """Return the quickest of `repeat` runs of `measure_swapoff`: a machine that does other work makes some slower.

    The counts are the same in each. InvalidArgument for fewer than 1 run.
    """
    repeat = whole_number(repeat, "repeat", 1, MAX_REPEAT)
    runs = (measure_swapoff(design, swapped, mapped, strangers, **more) for _ in range(repeat))
    return min(runs, key=lambda row: row.report.seconds)


def growth(
    designs: Sequence[str],
    swapped: Sequence[int] = SWAPPED,
    mapped: Sequence[int | str] = MAPPED,
    strangers: int = 1,
    backing: str = "device",
    repeat: int = 1,
) -> Iterator[SwapoffRow]:
    """Yield a swapoff for each design, number of swapped pages and mapped size; errors as for `fastest`."""
    for design, pages, size in product(designs, swapped, mapped):
        yield fastest(repeat, design, pages, size, strangers, backing=backing)


# -- straight lines ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """A straight line through points, by least squares."""

    slope: float
    intercept: float
    r_squared: float | None
    """Share of the variance that the line explains; None where there is no variance to explain."""
    points: int


def fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Return the line through points; InvalidArgument unless there are two at different x."""
    if len(x) != len(y) or len(set(x)) < 2:
        raise InvalidArgument("A line takes at least two points at different x.")
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    scale = float(xs.max())  # keeps the normal equations well conditioned
    slope, intercept = np.polyfit(xs / scale, ys, 1)
    variance = float(((ys - ys.mean()) ** 2).sum())
    rest = float(((ys - intercept - slope * xs / scale) ** 2).sum())
    r_squared = 1 - rest / variance if variance > 1e-12 * float((ys**2).sum()) else None
    return Fit(float(slope) / scale, float(intercept), r_squared, len(xs))


def growth_fits(rows: Iterable[SwapoffRow]) -> dict[str, dict[str, Fit]]:
    """Return lines by design: "per PTE" at the fewest swapped pages, "per page" at the least mapped memory.

    Each is fitted to the seconds, and under "visits per PTE" and "reads per page" to the counts. What was not varied is
    left out.
    """
    by_design: dict[str, list[SwapoffRow]] = {}
    for row in rows:
        by_design.setdefault(row.design, []).append(row)
    return {design: _lines(found) for design, found in by_design.items()}


def _lines(rows: list[SwapoffRow]) -> dict[str, Fit]:
    fewest = min(row.swapped_pages for row in rows)
    least = min(row.mapped_ptes for row in rows)
    lines: dict[str, Fit] = {}
    across = [row for row in rows if row.swapped_pages == fewest]
    if len({row.mapped_ptes for row in across}) > 1:
        x = [row.mapped_ptes for row in across]
        lines["seconds per PTE"] = fit(x, [row.report.seconds for row in across])
        lines["visits per PTE"] = fit(x, [row.report.ptes_visited for row in across])
    down = [row for row in rows if row.mapped_ptes == least]
    if len({row.swapped_pages for row in down}) > 1:
        x = [row.swapped_pages for row in down]
        lines["seconds per page"] = fit(x, [row.report.seconds for row in down])
        lines["reads per page"] = fit(x, [row.report.pages_read for row in down])
    return lines


_UNITS = {
    "seconds per PTE": (1e9, "ns a mapped PTE"),
    "visits per PTE": (1, "PTEs visited a mapped PTE"),
    "seconds per page": (1e6, "us a swapped page"),
    "reads per page": (1, "pages read a swapped page"),
}


def fits_text(fits: dict[str, dict[str, Fit]]) -> str:
    """Return a line a design: slopes in nanoseconds, microseconds and counts, each with its R^2."""
    lines = []
    for design, found in fits.items():
        parts = []
        for name, line in found.items():
            scale, unit = _UNITS[name]
            fixed = "flat" if line.r_squared is None else f"R^2 {line.r_squared:.4f}"
            parts.append(f"{line.slope * scale:.2f} {unit} ({fixed})")
        lines.append(f"{design}: {', '.join(parts)}" if parts else f"{design}: one setting, no slope")
    return "\n".join(lines)


def swapoff_table(rows: Iterable[SwapoffRow]) -> str:
    """Return the rows as text, in columns."""
    columns = {
        "swapped": "swapped_pages",
        "mapped PTEs": "mapped_ptes",
        "mms": "mms_walked",
        "PTEs visited": "ptes_visited",
        "rewritten": "ptes_rewritten",
        "slots scanned": "slots_scanned",
        "pages read": "pages_read",
        "requests": "io_requests",
        "rounds": "rounds",
    }
    lines = [["design", *columns, "ms"]]
    for row in rows:
        values = row.as_dict()
        counts = [f"{values[name]:,}" for name in columns.values()]
        lines.append([row.design, *counts, f"{row.report.seconds * 1e3:.2f}"])
    return "\n".join(lines_of(lines, 1))
