"""Stress: the random machine, run for minutes, with a report of what it did.

``vswaplab stress --seconds 120`` drives both designs by turns, in rounds of a few machines each. Every machine is one
of the random machine's: small, short of memory, with devices, zswap and limits that fail and change on the way. After
each operation every invariant is checked, at a machine's end every byte is read back. What is counted is what was done;
if a byte is lost or an invariant breaks, hypothesis shrinks the run to the shortest one that shows it, the report says
so, and the command fails. The same seed gives the same rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.mm.machine import DESIGNS, Machine
from vswaplab.strict import decimal, integer, quoted, seed_number, whole_number

__all__ = ["PHASES", "ROUND", "STEPS", "StressReport", "add_commands", "stress"]

ROUND = 8
"""Machines in a round: between two rounds the clock is looked at."""
STEPS = 60
"""Operations on a machine at most."""
PHASES: tuple[Any, ...] | None = None
"""Phases of hypothesis; None: find, and shrink what was found."""
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"verify": True},
    {"min_free": "16K"},
    {"nodes": 2},
    {"verify": True, "nodes": 2, "min_free": "8K"},
)
"""What else may differ between rounds, apart from what the random machine draws itself."""


@dataclass
class StressReport:
    """What was done with one design."""

    design: str
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    """How to see again what went wrong, "" if nothing did."""

    @property
    def faults(self) -> int:
        """Failures that were injected, used up or not."""
        return sum(nr for what, nr in self.counts.items() if what.startswith("fault "))

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {
            "design": self.design,
            "seconds": round(self.seconds, 1),
            "lost": int(bool(self.failure)),
            "failure": self.failure,
            "counts": dict(sorted(self.counts.items())),
        }

    def __str__(self) -> str:
        counts = self.counts
        errors = {what.removeprefix("error "): nr for what, nr in sorted(counts.items()) if what.startswith("error ")}
        said = ", ".join(f"{nr:,} {name}" for name, nr in errors.items()) or "none"
        return (
            f"{self.design}: {counts['machines']:,} machines, {counts['operations']:,} operations, each followed by a "
            f"check of every invariant, in {self.seconds:.0f} s\n"
            f"  {self.faults:,} faults injected; errors met: {said}\n"
            f"  {counts['bytes verified'] / 2**20:,.1f} MiB verified byte for byte, "
            + (f"LOST: {self.failure}" if self.failure else "0 lost, 0 invariants broken")
        )


def stress(
    seconds: float | None = 60.0,
    designs: Sequence[str] = ("virtual", "legacy"),
    seed: int = 0,
    rounds: int | None = None,
    factory: Any = Machine,
    progress: Any = None,
) -> list[StressReport]:
    """Run rounds of random machines by turns for `seconds`, or so many `rounds` each; return a report for each design.

    It stops at the first failure. `progress` is called with the reports after each round; KeyboardInterrupt ends it
    early, with what was done so far.
    """
    timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 1 << 31
    if rounds is None and not timed:
        raise InvalidArgument(f"Stress runs for a time, not for {quoted(seconds)} seconds; give a number above 0.")
    seed = seed_number(seed)
    rounds = None if rounds is None else whole_number(rounds, "rounds", 1)
    reports = [StressReport(design) for design in designs]
    end = time.monotonic() + (seconds or 0)
    try:
        for number in count():
            for report in reports:
                _round(report, seed + number, factory)
                if progress is not None:
                    progress(reports)
            done = number + 1 >= rounds if rounds is not None else time.monotonic() >= end
            if done or any(report.failure for report in reports):
                break
    except KeyboardInterrupt:
        pass
    return reports


def _round(report: StressReport, seed: int, factory: Any) -> None:
    """Run one round with one design."""
    try:
        from hypothesis import HealthCheck, Phase, settings
        from hypothesis import seed as seeded
        from hypothesis.stateful import run_state_machine_as_test
    except ModuleNotFoundError:
        raise NotFound("The random machine needs hypothesis; install it with: pip install hypothesis.") from None

    from vswaplab.testing import swap_machine

    made = swap_machine(partial(factory, design=report.design, **_VARIANTS[seed % len(_VARIANTS)]))
    made.tally = report.counts
    start = time.monotonic()
    try:
        run_state_machine_as_test(
            seeded(seed)(made),
            settings=settings(
                max_examples=ROUND,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=False,
                phases=PHASES or (Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it is, it is what this looks for
        again = f"--design {report.design} --seed {seed} --rounds 1"
        report.failure = f"{type(error).__name__}: {error} (again with {again})"
    finally:
        report.seconds += time.monotonic() - start


def _run(args: argparse.Namespace) -> int:
    designs = ("virtual", "legacy") if args.design == "both" else (args.design,)
    last = [time.monotonic()]

    def progress(reports: Sequence[StressReport]) -> None:
        if time.monotonic() - last[0] > 5:
            last[0] = time.monotonic()
            done = sum(report.counts["operations"] for report in reports)
            print(f"{done:,} operations, {sum(r.faults for r in reports):,} faults, 0 lost so far", file=sys.stderr)

    reports = stress(args.seconds, designs, args.seed, args.rounds, progress=progress)
    if args.json:
        print(json.dumps({"seed": args.seed, "rows": [report.as_dict() for report in reports]}, indent=1))
    else:
        print("\n".join(map(str, reports)))
    return int(any(report.failure for report in reports))


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab stress`` to the command line."""
    parser = commands.add_parser("stress", help="run random machines with failing devices, and look for a lost byte")
    parser.add_argument("--seconds", type=decimal, default=60.0, metavar="N", help="default: %(default)s")
    parser.add_argument("--design", default="both", choices=[*sorted(DESIGNS), "both"], help="default: %(default)s")
    parser.add_argument("--seed", type=integer, default=0, help="of the first round; default: %(default)s")
    parser.add_argument(
        "--rounds", type=integer, metavar="N", help="so many rounds with each design, whatever the time"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)
