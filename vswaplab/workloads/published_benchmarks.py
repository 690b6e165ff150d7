"""What was measured of the series, as published: by its author and by reviewers, with the spread where it was given.

``data/published/benchmarks.csv`` has a row for each comparison that docs/facts.md takes from a posting: the mean of a
base kernel, that of a version, and their standard deviations. None of it was measured here. `Comparison.noise` says how
large a difference is beside the spread: a percent without it says little.

>>> rows = published_benchmarks()
>>> [row.percent for row in rows if (row.posted, row.test, row.measure) == ("v6", "memhog 48G", "sys")]
[0.3508212...]
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, fields
from functools import cache

from vswaplab.errors import InvalidArgument
from vswaplab.strict import read_bounded
from vswaplab.workloads.corpus import data_dir

__all__ = ["Comparison", "published_benchmarks"]

_FILE = "published/benchmarks.csv"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Comparison:
    """A version beside its base in one measure of one test."""

    tag: str
    """Source, as docs/sources.md has it."""
    posted: str
    test: str
    rounds: int | None
    """Runs of each, if that was said."""
    measure: str
    unit: str
    better: str
    """Which way is better: "lower" or "higher"."""
    base: str
    base_mean: float
    base_sd: float | None
    variant: str
    mean: float
    sd: float | None

    @property
    def percent(self) -> float:
        """How much more than the base, in percent of it."""
        return 100 * (self.mean / self.base_mean - 1)

    @property
    def worse(self) -> float:
        """The same with its sign turned so that above 0 is always worse."""
        return self.percent if self.better == "lower" else -self.percent

    @property
    def spread(self) -> float | None:
        """Standard deviation of the difference of two single runs, in percent of the base; None if not given."""
        if self.base_sd is None or self.sd is None:
            return None
        return 100 * math.hypot(self.base_sd, self.sd) / self.base_mean

    @property
    def standard_error(self) -> float | None:
        """Standard error of the difference of the means, in percent of the base; None without spread or rounds."""
        return None if self.spread is None or self.rounds is None else self.spread / math.sqrt(self.rounds)

    @property
    def noise(self) -> float | None:
        """The difference in standard errors (Welch's t), without sign; below about 2 it may be chance."""
        return None if self.standard_error is None else abs(self.percent) / self.standard_error


@cache
def published_benchmarks() -> tuple[Comparison, ...]:
    """Return every comparison, in the order of postings; InvalidArgument for a file that is not what it should be."""
    path = data_dir() / _FILE
    text = read_bounded(path, _MAX_BYTES).decode("utf-8")
    reader = csv.DictReader(io.StringIO(text))
    names = [field.name for field in fields(Comparison)]
    if reader.fieldnames != names:
        raise InvalidArgument(f"{path} must begin with the columns {', '.join(names)}.")
    return tuple(_comparison(row, at) for at, row in enumerate(reader, 2))


def _comparison(row: dict[str, str], line: int) -> Comparison:
    try:
        found = Comparison(
            row["tag"],
            row["posted"],
            row["test"],
            int(row["rounds"]) if row["rounds"] else None,
            row["measure"],
            row["unit"],
            row["better"],
            row["base"],
            float(row["base_mean"]),
            float(row["base_sd"]) if row["base_sd"] else None,
            row["variant"],
            float(row["mean"]),
            float(row["sd"]) if row["sd"] else None,
        )
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidArgument(f"{_FILE}, line {line} is no comparison: {error}.") from None
    values = [found.base_mean, found.mean, *(sd for sd in (found.base_sd, found.sd) if sd is not None)]
    if found.better not in ("lower", "higher") or not all(math.isfinite(value) and value > 0 for value in values):
        raise InvalidArgument(f"{_FILE}, line {line} needs positive numbers, and lower or higher under better.")
    return found
