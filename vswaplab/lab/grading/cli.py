"""``vswaplab grade`` and ``vswaplab assign``: course labs on the command line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.lab.grading.model import Lab
from vswaplab.strict import integer, path_of, quoted, shown, whole_number
from vswaplab.workloads.progress import progress_on_stderr

__all__ = ["add_commands"]

EXIT_FAILED = 3
"""The grading of a submission failed: its row says so."""
EXIT_INTERRUPTED = 130
_TOLD = 8
"""How many names a list on the terminal has; all of them are in ``--json``."""


def _lab(name: str) -> Lab:
    from vswaplab.lab.grading.labs import LABS  # here: a learner's sandbox has no labs

    known: dict[str, Lab] = LABS
    if name not in known:
        raise NotFound(f"There is no lab {quoted(name)}; choose one of: {', '.join(known)}.")
    return known[name]


def _grade(args: argparse.Namespace) -> int:
    from vswaplab.lab.grading.collect import collect, one_line, read_roster
    from vswaplab.lab.grading.labs import LABS
    from vswaplab.lab.grading.limits import Limits
    from vswaplab.lab.grading.results import Results
    from vswaplab.lab.grading.runner import grade_all

    lab = _lab(args.lab)
    seconds = whole_number(args.seconds, "--seconds", 1, 3600)
    budget = whole_number(args.budget, "--budget", 1, 86_400)
    memory, jobs = whole_number(args.memory, "--memory", 64, 1 << 20), whole_number(args.jobs, "--jobs", 1, 256)
    roster = read_roster(args.roster) if args.roster is not None else None
    found = collect(args.submissions, lab.name, LABS)
    limits = Limits(seconds=seconds, memory=memory << 20, budget=budget)
    with _interruptible() as stopped, Results(args.out, lab, resume=args.resume) as results:
        digests = {each.name: each.digest() for each in found.submissions}
        todo = []
        for each in found.submissions:
            before = results.begun.get((each.name, digests[each.name]))
            if before is None:
                todo.append(each)
            else:
                results.keep(before)
        try:
            grade_all(
                todo,
                lab,
                limits,
                jobs=jobs,
                unsafe=args.unsafe,
                progress=progress_on_stderr("grading"),
                on_result=lambda submission, graded: results.add(graded, digests[submission.name]),
                stopped=stopped,
            )
        except KeyboardInterrupt:
            results.finish()
            done, of = len(results.ordered()), len(found.submissions)
            print(f"\nInterrupted: {done} of {of} graded, in {args.out}; --resume goes on.", file=sys.stderr)
            return EXIT_INTERRUPTED
        results.finish()
        results.close(finished=True)
        graded = results.ordered()
    names = [each.name for each in graded]
    missing, unknown = (roster.missing(names), roster.unknown(names)) if roster is not None else ([], [])
    failed = [each.name for each in graded if each.failed]
    if args.json:
        rows = [{"submission": g.name, "points": g.points, "of": g.of, "reason": g.reason} for g in graded]
        skipped = [{"path": each.path, "why": each.why} for each in found.skipped]
        told: dict[str, Any] = {"lab": lab.name, "submissions": rows, "skipped": skipped, "failed": failed}
        if roster is not None:
            told |= {"missing": missing, "unknown": unknown}
        print(json.dumps({**told, "out": str(args.out)}, indent=1))
        return EXIT_FAILED if failed else 0
    width = min(60, max(len(each.name) for each in graded))
    for one in graded:
        print(f"{one.name:<{width}}  {one.points:>3} of {one.of}  {one_line(one.reason)}".rstrip())
    _tell("Nothing was handed in by:", missing)
    _tell("Not on the roster:", unknown)
    _tell("Passed over:", [f"{each.path} ({each.why})" for each in found.skipped])
    _tell("Grading failed, see logs/:", failed)
    print(f"results.csv and a report for each in {args.out}")
    return EXIT_FAILED if failed else 0


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Take SIGTERM as Ctrl-C: what is graded is written. Yields what says whether either has come."""
    came: list[int] = []

    def interrupted(number: int, frame: object) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(what: str, names: Sequence[str]) -> None:
    if names:
        more = f", and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        print(f"{what} {', '.join(names[:_TOLD])}{more}")


def _assign(args: argparse.Namespace) -> int:
    import nbformat

    from vswaplab.lab.grading.submission import lab_of, read_notebook, student_version

    for master in (path_of(each, "A master") for each in args.masters):
        notebook = read_notebook(master)
        if not lab_of(notebook):
            raise InvalidArgument(f"{shown(master)} is no master of a lab; its metadata name none.")
        target = args.out / master.name
        if target.exists() and target.samefile(master):
            raise InvalidArgument(f"{target} is the master itself; choose another folder with --out.")
        args.out.mkdir(parents=True, exist_ok=True)
        nbformat.write(student_version(notebook), target)
        print(target)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser("grade", help="grade submissions of a course lab, each in a sandbox")
    parser.add_argument("submissions", metavar="SUBMISSION", nargs="+", help="notebooks, folders or zips of them")
    parser.add_argument(
        "--lab", required=True, help="which lab: lab1_resolve, lab2_allocate, lab3_swapoff, lab4_policy"
    )
    parser.add_argument("--jobs", type=integer, default=os.cpu_count() or 1, help="how many at a time; default: CPUs")
    parser.add_argument("--seconds", type=integer, default=10, help="wall time of a call (default: 10)")
    parser.add_argument("--budget", type=integer, default=600, help="seconds for a whole submission (default: 600)")
    parser.add_argument("--memory", type=integer, default=1024, help="MiB a submission may have (default: 1024)")
    parser.add_argument("--out", type=Path, default=Path("graded"), help="where results go (default: graded)")
    parser.add_argument("--resume", action="store_true", help="go on where the last run in --out stopped")
    parser.add_argument("--roster", type=Path, help="a list of names, one a line: say who is missing")
    parser.add_argument("--unsafe", action="store_true", help="without a sandbox: only for code that you trust")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_grade)
    parser = commands.add_parser("assign", help="make the student versions of course labs")
    parser.add_argument("masters", metavar="MASTER", nargs="+", help="masters in notebooks/labs")
    parser.add_argument("--out", type=Path, default=Path("release"), help="where they go (default: release)")
    parser.set_defaults(run=_assign)
