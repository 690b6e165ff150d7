"""``vswaplab overhead``: build both designs, fill them, and print what their metadata costs, structure by structure.

Virtual swap is held against a baseline: Linux 6.19, the base of the series, or what mainline is since. Crossovers are
found against both, 6.19 and the newest.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger import AS_ALLOCATED, AS_POSTED, MODES
from vswaplab.observe.ledger_build import BUILT, LAYOUTS, Row, entries_at, rows_of
from vswaplab.observe.ledger_claims import (
    CLAIMED_BELOW,
    CROSSOVER_SLOTS,
    Added,
    Claim,
    Crossover,
    check_claims,
    crossover,
    worst_added,
)
from vswaplab.observe.ledger_designs import BACKENDS, BASELINES, DESIGNS, Backend, design_name
from vswaplab.observe.ledger_model import Mode
from vswaplab.observe.ledger_text import claims_text, crossover_text, structures_text, table_text
from vswaplab.status import BASE, MAINLINE
from vswaplab.strict import choice, integer, quoted, real_number, seed_number
from vswaplab.units import PAGE_SIZE, format_size, pages_of

__all__ = ["NEWEST", "Overhead", "add_commands", "overhead", "peak_bytes"]

ALL = "all"
NEWEST = BASELINES[-1]
"""The newest release that changed swap's metadata."""
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,12})?%?")
T = TypeVar("T")
_MODES: dict[str, Mode] = {"posted": AS_POSTED, "allocated": AS_ALLOCATED, **{mode: mode for mode in MODES}}


@dataclass
class Overhead:
    """What ``vswaplab overhead`` found; `as_dict` is its JSON and `str` its text."""

    slots: int
    mode: str
    layout: str
    seed: int
    rows: list[Row] = field(default_factory=list)
    crossovers: list[Crossover] = field(default_factory=list)
    """Against the baseline, by backend."""
    mainline: list[Crossover] = field(default_factory=list)
    """Against the newest release that changed swap's metadata, by backend; empty if that is the baseline."""
    added: list[Added] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    builds: list[tuple[str, Backend, float]] = field(default_factory=list)
    """Design, backend, and the seconds that building and measuring it took."""
    seconds: float = 0.0
    peak_bytes: int = 0
    """Most memory that this process ever had."""
    baseline: str = "legacy"
    """One of `BASELINES`."""

    def as_dict(self) -> dict[str, Any]:
        """Return all as it is written to JSON."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "crossover": _by_backend(self.crossovers),
            "crossovers": [each.as_dict() for each in self.crossovers],
            "baseline": self.baseline,
            "mainline": {
                "design": NEWEST,
                "crossover": _by_backend(self.mainline),
                "crossovers": [each.as_dict() for each in self.mainline],
            },
            "worst_added": {each.backend: each.as_dict() for each in self.added},
            "claims": [claim.as_dict() for claim in self.claims],
            "slots": self.slots,
            "mode": self.mode,
            "layout": self.layout,
            "seed": self.seed,
            "builds": [
                {"design": design, "backend": backend, "seconds": seconds} for design, backend, seconds in self.builds
            ],
            "seconds": self.seconds,
            "peak_mib": self.peak_bytes / (1 << 20),
        }

    def __str__(self) -> str:
        laid_out = {
            "dense": "entries lie one after the other",
            "random": f"swap was full, then a random share was freed (seed {self.seed})",
            "sparse": "swap was full, then all but one entry of each cluster was freed; usage is of clusters",
        }
        built = ", ".join(f"{design} {backend} {seconds:.1f} s" for design, backend, seconds in self.builds)
        parts = [
            f"{table_text(self.rows)}\nlayout {self.layout}: {laid_out[self.layout]}",
            structures_text(self.rows),
            crossover_text([*self.crossovers, *self.mainline]),
            claims_text(self.added, self.claims),
            f"built in {self.seconds:.1f} s ({built or 'nothing'}); peak memory {format_size(self.peak_bytes)}",
        ]
        return "\n\n".join(part for part in parts if part)


def _by_backend(crossovers: Iterable[Crossover]) -> dict[str, float | None]:
    return {each.backend: None if each.percent is None else round(each.percent, 2) for each in crossovers}


def peak_bytes() -> int:
    """Return the most memory that this process ever had (``ru_maxrss``)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # bytes there, KiB elsewhere


def _progress(what: str) -> None:
    """Say on stderr what is being built, where a person may be looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def overhead(
    size: int | str = "32G",
    designs: Sequence[str] | None = None,
    backends: Sequence[str] = BACKENDS,
    usages: Sequence[float] = (0, 25, 50, 75, 100),
    mode: str = AS_POSTED,
    layout: str = "dense",
    seed: int = 0,
    with_crossover: bool | None = None,
    baseline: str = "legacy",
) -> Overhead:
    """Build `designs` for a swapfile of `size`, measure them at each usage, and check the claims.

    `designs`: "legacy" and "virtual" are built, others by name computed; None for the baseline and "virtual".
    `baseline`: one of `BASELINES`, or a release such as "7.2". `with_crossover`: None finds crossovers where virtual
    swap and the baseline are compared, dense. InvalidArgument names what can't be meant; NoMemory for a size too large.
    """
    slots, seed = pages_of(size), seed_number(seed)
    baseline = choice(design_name(baseline), "baseline", BASELINES)
    designs = (baseline, "virtual") if designs is None else designs
    choice(mode, "mode", MODES)
    designs, backends = _row_of(designs, "designs"), _row_of(backends, "backends")
    usages = [real_number(usage, "usage", 0, 100) for usage in _row_of(usages, "usages")]
    usages = [int(usage) if usage.is_integer() else usage for usage in usages]
    chosen = _checked(slots, designs, backends, usages, layout)
    found = Overhead(slots, mode, layout, seed, baseline=baseline)
    started = time.perf_counter()
    compared = layout == "dense" and {baseline, "virtual"} <= {design for design, _ in chosen}
    crossing = compared if with_crossover is None else with_crossover
    # One usage more than asked for: the claim is about 40 %, and the structures pass through it anyway.
    measured = list(dict.fromkeys([*usages, CLAIMED_BELOW] if crossing and layout == "dense" else usages))
    all_rows: list[Row] = []
    for design, backend in chosen:
        since = time.perf_counter()
        all_rows += rows_of(design, backend, slots, measured, mode, layout, seed, _progress)
        if design in BUILT:
            found.builds.append((design, backend, time.perf_counter() - since))
    found.rows = [row for row in all_rows if row.usage in usages]
    asked: list[Backend] = [backend for backend in BACKENDS if any(each == backend for _, each in chosen)]
    if crossing:
        found.crossovers = [crossover(backend, CROSSOVER_SLOTS, mode, _progress, baseline) for backend in asked]
    if crossing and baseline != NEWEST:
        found.mainline = [crossover(backend, CROSSOVER_SLOTS, mode, _progress, NEWEST) for backend in asked]
    found.added = [
        added for backend in asked if (added := worst_added(found.rows, backend, baseline=baseline)) is not None
    ]
    found.claims = check_claims(all_rows, found.crossovers, baseline)
    _progress("")
    found.seconds = time.perf_counter() - started
    found.peak_bytes = peak_bytes()
    return found


def _row_of(values: Iterable[T], what: str) -> list[T]:
    """Return values as a list; InvalidArgument for one value, a text among them."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidArgument(f"{what} must be a list, not {quoted(values)}.")
    return list(values)


def _checked(
    slots: int, designs: Sequence[str], backends: Sequence[str], usages: Sequence[float], layout: str
) -> list[tuple[str, Backend]]:
    """Return the pairs of design and backend to measure; InvalidArgument before anything is built."""
    if not slots:
        raise InvalidArgument("A swapfile needs at least one slot; give a size of 4K or more.")
    if not usages:
        raise InvalidArgument("No usage was given; give one or more percentages, such as 0 25 50 75 100.")
    for usage in usages:
        entries_at(slots, usage)
    choice(layout, "layout", LAYOUTS)
    known = (*BUILT, *DESIGNS)
    designs = [design_name(name) for name in designs]
    for name in designs:
        choice(name, "design", (*known, ALL))
    for name in backends:
        choice(name, "backend", BACKENDS)
    names = list(dict.fromkeys(name for each in designs for name in (known if each == ALL else (each,))))
    wanted = [backend for backend in BACKENDS if backend in backends]
    if not wanted or not names:
        raise InvalidArgument("Name one design and one backend at least, such as virtual and zswap.")
    pairs = [
        (name, backend) for backend in wanted for name in names if name in BUILT or backend in DESIGNS[name].backends
    ]
    if not pairs:
        raise InvalidArgument(f"{', '.join(names)} has no figures for {wanted[0]}; ask for the other backend.")
    return pairs


def _overhead(args: argparse.Namespace) -> int:
    if args.mode not in _MODES:
        raise InvalidArgument(f"There is no mode {quoted(args.mode)}; choose posted or allocated.")
    found = overhead(
        args.size,
        args.design,
        args.backend or BACKENDS,
        [_percent(usage) for usage in args.usage],
        _MODES[args.mode],
        args.layout,
        args.seed,
        args.crossover,
        args.baseline,
    )
    print(json.dumps(found.as_dict(), indent=1) if args.json else found)
    return 0


def _percent(text: str) -> float:
    if _PERCENT.fullmatch(text) is None:
        raise InvalidArgument(f"Usage {quoted(text)} is no percentage; give a number of 0 to 100.")
    value = float(text.removesuffix("%"))
    return int(value) if value.is_integer() else value


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab overhead`` to the command line."""
    parser = commands.add_parser("overhead", help="build both designs and print what their metadata costs")
    parser.add_argument("--size", default="32G", metavar="SIZE", help="of the swapfile; default: %(default)s")
    parser.add_argument(
        "--backend", action="extend", nargs="+", metavar="NAME", help=f"{' or '.join(BACKENDS)}; default: both"
    )
    parser.add_argument(
        "--design",
        action="extend",
        nargs="+",
        metavar="NAME",
        help=f"{', '.join(BUILT)} (built), {', '.join(DESIGNS)} (formulas), or all; default: the baseline and virtual",
    )
    parser.add_argument(
        "--baseline",
        default="legacy",
        metavar="NAME",
        help=f"what virtual swap is held against: legacy (Linux {BASE}), "
        f"{', '.join(BASELINES[1:])}, or a release such as {MAINLINE[-1].release}; default: %(default)s",
    )
    parser.add_argument(
        "--usage",
        nargs="+",
        default=["0", "25", "50", "75", "100"],
        metavar="PERCENT",
        help="entries in use; default: 0 25 50 75 100",
    )
    parser.add_argument(
        "--mode",
        default="posted",
        metavar="MODE",
        help="posted: by entry, as the cover letter; allocated: by cluster and page; default: %(default)s",
    )
    parser.add_argument(
        "--layout", default="dense", metavar="LAYOUT", help=f"{', '.join(LAYOUTS)}; default: %(default)s"
    )
    parser.add_argument("--seed", type=integer, default=0, help="chooses what random frees; default: %(default)s")
    parser.add_argument(
        "--crossover",
        action=argparse.BooleanOptionalAction,
        help=f"find the crossovers on a pair of {format_size(CROSSOVER_SLOTS * PAGE_SIZE)}; "
        "default: if virtual and the baseline are compared, dense",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_overhead)
