"""Stress: random machines for as long as you like, with a report of what was done to them.

``vswaplab stress --seconds 120`` drives both designs by turns. A machine is drawn from one number: its shape (memory,
CPUs, NUMA nodes, zswap, devices) and every operation on it, so the same number gives the same machine doing the same
things. It is small and short of memory, and its devices, zswap and limits fail and change on the way. After each
operation every invariant is checked; at its end every byte is read back and nothing may be left over. A page that a
swapoff could not read because its device failed is gone in Linux, too: such pages are counted by themselves.

What is counted is what was done. At the first byte that is lost or invariant that breaks the run ends, the report says
what happened and which command shows it again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from vswaplab.errors import InvalidArgument
from vswaplab.mm.machine import DESIGNS, Machine
from vswaplab.strict import MAX_SEED, choice, decimal, integer, quoted, seed_number, whole_number
from vswaplab.testing.operations import OPERATIONS, SHAPE, Operations

__all__ = ["Failure", "StressReport", "add_commands", "stress"]

_STEPS = (20, 120)
"""Operations on a machine: at least, at most."""
_REMEMBERED = 5
_MAX_STEPS = 1 << 40
_EVERY_SECONDS = 5.0
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Failure:
    """What went wrong, and how to see it again."""

    design: str
    seed: int
    """Of the machine."""
    step: int
    """Operations that were done on it; the last of them, or the final check after it, failed."""
    error: str
    last: tuple[str, ...]
    """The last operations, with their arguments."""

    @property
    def again(self) -> str:
        """The command that shows it again."""
        return f"vswaplab stress --design {self.design} --seed {self.seed} --steps {self.step}"

    def __str__(self) -> str:
        return f"{self.error}\n  after {'; '.join(self.last)}\n  again with: {self.again}"


@dataclass
class StressReport:
    """What was done with one design."""

    design: str
    seed: int
    """Of the first machine; the next have the next numbers."""
    seconds: float = 0.0
    started: int = 0
    """Machines begun."""
    counts: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None
    interrupted: bool = False

    def _kinds(self, prefix: str) -> dict[str, int]:
        """Return the counts of one kind by what comes behind the prefix, most first."""
        return {what.removeprefix(prefix): nr for what, nr in self.counts.most_common() if what.startswith(prefix)}

    @property
    def operations(self) -> dict[str, int]:
        """Operations done, by name."""
        return self._kinds("did ")

    @property
    def errors(self) -> dict[str, int]:
        """Errors that operations met, by errno."""
        return self._kinds("error ")

    @property
    def faults(self) -> dict[str, int]:
        """Failures injected by kind, met by a request or not."""
        return self._kinds("fault ")

    @property
    def failed_requests(self) -> dict[str, int]:
        """Requests to devices that failed, by kind."""
        return self._kinds("failed ")

    @property
    def lost(self) -> int:
        """0, or 1 when something was lost."""
        return int(self.failure is not None)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {
            "design": self.design,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "machines": self.counts["machines"],
            "operations": self.counts["operations"],
            "operations_by_name": self.operations,
            "errors": self.errors,
            "faults": self.faults,
            "failed_requests": self.failed_requests,
            "pages_verified": self.counts["pages verified"],
            "bytes_verified": self.counts["bytes verified"],
            "checks": self.counts["checks"],
            "pages_unread_at_swapoff": self.counts["pages unread at swapoff"],
            "lost": self.lost,
            "failure": None if self.failure is None else {**vars(self.failure), "again": self.failure.again},
            "interrupted": self.interrupted,
        }

    def __str__(self) -> str:
        counts, last = self.counts, self.seed + max(0, self.started - 1)
        lines = [
            f"{self.design}: {counts['machines']:,} machines (seeds {self.seed} to {last}) in {self.seconds:.0f} s",
            f"  operations       {counts['operations']:,}: {_listed(self.operations)}",
            f"  errors met       {_listed(self.errors)}",
            f"  faults injected  {sum(self.faults.values()):,}: {_listed(self.faults)}",
            f"  failed requests  {_listed(self.failed_requests)}",
            f"  verified         {counts['pages verified']:,} pages, {counts['bytes verified'] / 2**20:,.1f} MiB, "
            f"byte for byte; {counts['pages unread at swapoff']:,} gone with a device that failed",
            f"  checks           {counts['checks']:,} of every invariant",
            "  0 lost" if self.failure is None else f"  LOST: {self.failure}",
        ]
        return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {nr:,}" for name, nr in counts.items()) or "none"


Progress = Callable[[Sequence[StressReport]], None]


def stress(
    seconds: float | None = 60.0,
    designs: Sequence[str] = tuple(DESIGNS),
    seed: int = 0,
    steps: int | None = None,
    factory: Callable[..., Machine] = Machine,
    progress: Progress | None = None,
) -> list[StressReport]:
    """Run random machines of `designs` by turns for `seconds`, or for `steps` operations each; return their reports.

    With `steps` the clock is not looked at, and the same arguments give the same counts. `factory` makes the machines,
    called as `Machine` with design and shape. `progress` is called with the reports after each machine. It ends at the
    first failure; KeyboardInterrupt ends it early, with what was done so far. InvalidArgument for what can't be meant.
    """
    timed = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 1 << 31
    if steps is None and not timed:
        raise InvalidArgument(f"Stress runs for a time, not for {quoted(seconds)} seconds; give a number above 0.")
    seed = seed_number(seed)
    steps = None if steps is None else whole_number(steps, "steps", 1, _MAX_STEPS)
    reports = [StressReport(choice(design, "design", DESIGNS), seed) for design in designs]
    end = time.monotonic() + (seconds or 0)
    running = list(reports)
    while running:
        for report in running:
            left = None if steps is None else steps - report.counts["operations"]
            _one_machine(report, left, factory)
            if progress is not None:
                progress(reports)
            if report.failure is not None or report.interrupted:
                return reports
        if steps is not None:
            running = [report for report in running if report.counts["operations"] < steps]
        elif time.monotonic() >= end:
            break
    return reports


def _one_machine(report: StressReport, most: int | None, factory: Callable[..., Machine]) -> None:
    """Run the next machine of a design, for at most so many operations, and hold it to all that must be true."""
    seed = (report.seed + report.started) % (MAX_SEED + 1)
    report.started += 1
    random, begun = Random(seed), time.monotonic()
    log: deque[str] = deque(maxlen=_REMEMBERED)
    step, driven = 0, None
    try:
        shape = {name: draw.draw(random) for name, draw in SHAPE.items()}
        log.append(f"begin {_arguments(shape)}")
        driven = Operations.begin(partial(factory, design=report.design), report.counts, **shape)
        nr = random.randint(*_STEPS)
        while step < (nr if most is None else min(nr, most)):
            step += 1
            able = [operation for operation in OPERATIONS if operation.possible(driven)]
            chosen = random.choices(able, [operation.weight for operation in able])[0]
            arguments = chosen.draw(random)
            log.append(f"{chosen.name} {_arguments(arguments)}")
            driven.do(chosen.name, arguments)
        driven.finish()
    except KeyboardInterrupt:
        report.interrupted = True
    except Exception as error:  # whatever it is, it is what this looks for
        found = f"{type(error).__name__}: {error}"
        report.failure = Failure(report.design, seed, max(1, step), found, tuple(log))
    finally:
        if driven is not None:
            driven.close()
        report.seconds += time.monotonic() - begun


def _arguments(arguments: dict[str, Any]) -> str:
    return f"({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


# -- the command -------------------------------------------------------------------------------------------------


def _progress_on_stderr() -> Progress:
    """Return a report of progress, a line every few seconds."""
    last = time.monotonic()

    def progress(reports: Sequence[StressReport]) -> None:
        nonlocal last
        if time.monotonic() - last > _EVERY_SECONDS:
            last = time.monotonic()
            machines, done = (sum(report.counts[what] for report in reports) for what in ("machines", "operations"))
            faults = sum(sum(report.faults.values()) for report in reports)
            lost = sum(report.lost for report in reports)
            print(f"{machines:,} machines, {done:,} operations, {faults:,} faults, {lost} lost", file=sys.stderr)

    return progress


def _run(args: argparse.Namespace) -> int:
    designs = tuple(DESIGNS) if args.design == "both" else (args.design,)
    reports = stress(args.seconds, designs, args.seed, args.steps, progress=_progress_on_stderr())
    if args.json:
        print(json.dumps({"seed": args.seed, "rows": [report.as_dict() for report in reports]}, indent=1))
    else:
        print("\n".join(map(str, reports)))
    if any(report.failure for report in reports):
        return 1
    return EXIT_INTERRUPTED if any(report.interrupted for report in reports) else 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab stress`` to the command line."""
    parser = commands.add_parser("stress", help="run random machines with failing devices, and look for a lost byte")
    parser.add_argument("--seconds", type=decimal, default=60.0, metavar="N", help="default: %(default)s")
    parser.add_argument("--design", default="both", choices=[*sorted(DESIGNS), "both"], help="default: %(default)s")
    parser.add_argument("--seed", type=integer, default=0, help="of the first machine; default: %(default)s")
    parser.add_argument("--steps", type=integer, metavar="N", help="so many operations a design, whatever the time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)
