"""Benchmarks: ratios measured in one run, each saying what it is against.

Times drift with the machine and its load; ratios hold. So a `Case` times our code and a reference in turn, `RUNS` times
over, and reports the median of the ratios. A module ``vswaplab.bench.<x>`` holds a list ``CASES``; nothing else has to
be registered.

>>> def doubling() -> tuple[float, float]:
...     return 1.0, 2.0
>>> result = run_case(Case("example", "x", "the same, done twice", doubling, prototype="2x"))
>>> result.ratio
2.0
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import importlib
import json
import os
import pkgutil
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vswaplab.strict import quoted

__all__ = ["RUNS", "Case", "Result", "Unavailable", "add_commands", "discover", "run_case", "select", "table"]

RUNS = 5
"""How often each case is run; the median counts."""


class Unavailable(Exception):
    """Raised by a case that needs something absent here, such as an optional extra; says what to install."""


@dataclass(frozen=True)
class Case:
    """One measurement: what is measured, in which unit, and against what.

    `measure` returns (our seconds, the reference's seconds), timed one after the other, or a plain value. It does its
    own set-up, untimed.
    """

    name: str
    """Unique, lower case, words joined by dots: ``virtual.populate.array``."""
    unit: str
    """Unit of the ratio or value: ``x``, ``bytes/slot``."""
    against: str
    """What the reference is; for a plain value, what the value is of."""
    measure: Callable[[], tuple[float, float] | float]
    prototype: str = ""
    """The figure measured on the prototype, printed in brackets."""
    better: Literal["higher", "lower"] = "higher"
    """higher: the ratio is the reference's time over ours. lower: ours over the reference's, a cost."""
    runs: int = RUNS


@dataclass(frozen=True)
class Result:
    """What one case gave: the ratio (or value) of each run and, where timed, the median seconds of both sides."""

    case: Case
    runs: tuple[float, ...]
    ours_seconds: float | None = None
    reference_seconds: float | None = None

    @property
    def ratio(self) -> float:
        """Median of the runs."""
        return statistics.median(self.runs)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as it is written to JSON."""
        return {
            "ratio": self.ratio,
            "runs": list(self.runs),
            "unit": self.case.unit,
            "against": self.case.against,
            "prototype": self.case.prototype,
            "better": self.case.better,
            "ours_seconds": self.ours_seconds,
            "reference_seconds": self.reference_seconds,
        }


def discover() -> list[Case]:
    """Return the cases of every module of this package, by name; ValueError when two share a name."""
    found: dict[str, Case] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for case in getattr(importlib.import_module(f"{__name__}.{module}"), "CASES", []):
            if case.name in found:
                raise ValueError(f"Two benchmarks are called {case.name!r}; rename one of them.")
            found[case.name] = case
    return [found[name] for name in sorted(found)]


def select(cases: Iterable[Case], patterns: Iterable[str]) -> list[Case]:
    """Return the cases that match a pattern (a name, its beginning up to a dot, or a glob); all without patterns.

    ValueError when a pattern matches none.
    """
    cases, patterns = list(cases), list(patterns)
    if not patterns:
        return cases
    chosen = []
    for pattern in patterns:
        hits = [c for c in cases if fnmatch.fnmatchcase(c.name, pattern) or c.name.startswith(f"{pattern}.")]
        if not hits:
            raise ValueError(
                f"No benchmark is called {quoted(pattern)}; there are: {', '.join(c.name for c in cases)}."
            )
        chosen += hits
    return list(dict.fromkeys(chosen))


def run_case(case: Case) -> Result:
    """Run `case` as often as it asks and return the result; `Unavailable` if it can't run here."""
    ratios, ours, reference = [], [], []
    for _ in range(case.runs):
        gc.collect()
        got = case.measure()
        if isinstance(got, tuple):
            ours.append(got[0])
            reference.append(got[1])
            ratios.append(got[1] / got[0] if case.better == "higher" else got[0] / got[1])
        else:
            ratios.append(float(got))
    if not ours:
        return Result(case, tuple(ratios))
    return Result(case, tuple(ratios), statistics.median(ours), statistics.median(reference))


def table(results: Iterable[Result]) -> str:
    """Return the results as text: ratio, spread, the prototype's figure in brackets, both times, what it is against."""
    rows = [("benchmark", "median", "least-most", "prototype", "ours", "reference", "against")]
    for result in results:
        unit = result.case.unit
        rows.append(
            (
                result.case.name,
                f"{result.ratio:.3g} {unit}",
                f"{min(result.runs):.3g}-{max(result.runs):.3g}",
                f"[{result.case.prototype}]" if result.case.prototype else "",
                _seconds(result.ours_seconds),
                _seconds(result.reference_seconds),
                result.case.against + ("" if result.case.better == "higher" else " (lower is better)"),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _load() -> str:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return f"load {load} on {os.cpu_count()} CPUs, Python {platform.python_version()}"


def _bench(args: argparse.Namespace) -> int:
    cases = select(discover(), args.names)
    if args.list:
        print("\n".join(case.name for case in cases))
        return 0
    before, results, absent = _load(), [], []
    for number, case in enumerate(cases, 1):
        print(f"[{number}/{len(cases)}] {case.name}", end=" ", flush=True, file=sys.stderr)
        start = time.perf_counter()
        try:
            result = run_case(case)
        except Unavailable as reason:
            absent.append(f"{case.name} did not run: {reason}")
            print("did not run", file=sys.stderr)
            continue
        results.append(result)
        print(f"{result.ratio:.3g} {case.unit} ({time.perf_counter() - start:.1f} s)", file=sys.stderr)
    report = json.dumps({result.case.name: result.as_dict() for result in results}, indent=1)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(report + "\n", encoding="utf-8")
    if args.json:
        print(report)
        return 0
    print(table(results), *absent, "", f"before: {before}", f"after:  {_load()}", sep="\n")
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab bench`` to the command line."""
    parser = commands.add_parser("bench", help="measure ratios, each against what it names")
    parser.add_argument("names", nargs="*", metavar="NAME", help="name, beginning up to a dot, or glob; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON to FILE as well")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.set_defaults(run=_bench)
