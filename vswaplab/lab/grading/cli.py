"""``vswaplab grade`` and ``vswaplab assign``: course labs on the command line."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.lab.grading.model import Lab
from vswaplab.strict import integer, path_of, quoted, shown, whole_number
from vswaplab.workloads.progress import progress_on_stderr

__all__ = ["add_commands"]


def _lab(name: str) -> Lab:
    from vswaplab.lab.grading.labs import LABS  # here: a learner's sandbox has no labs

    known: dict[str, Lab] = LABS
    if name not in known:
        raise NotFound(f"There is no lab {quoted(name)}; choose one of: {', '.join(known)}.")
    return known[name]


def _grade(args: argparse.Namespace) -> int:
    from vswaplab.lab.grading.remote import Limits
    from vswaplab.lab.grading.runner import grade_all, submissions_in, write_results

    lab, paths = _lab(args.lab), submissions_in(args.submissions)
    seconds, memory = (
        whole_number(args.seconds, "--seconds", 1, 3600),
        whole_number(args.memory, "--memory", 64, 1 << 20),
    )
    jobs, progress = whole_number(args.jobs, "--jobs", 1, 256), progress_on_stderr("grading")
    paths = submissions_in(args.submissions)
    limits = Limits(seconds=seconds, memory=memory << 20)
    graded = grade_all(paths, lab, limits, jobs=jobs, unsafe=args.unsafe, progress=progress)
    write_results(graded, lab, args.out)
    if args.json:
        rows = [{"submission": g.name, "points": g.points, "of": g.of, "reason": g.reason} for g in graded]
        print(json.dumps({"lab": lab.name, "submissions": rows, "out": str(args.out)}, indent=1))
        return 0
    width = max(len(each.name) for each in graded)
    for each in graded:
        print(f"{each.name:<{width}}  {each.points:>3} of {each.of}  {each.reason}".rstrip())
    print(f"results.csv and a report for each in {args.out}")
    return 0


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
    parser.add_argument("submissions", metavar="SUBMISSION", nargs="+", help="notebooks, or folders of them")
    parser.add_argument(
        "--lab", required=True, help="which lab: lab1_resolve, lab2_allocate, lab3_swapoff, lab4_policy"
    )
    parser.add_argument("--jobs", type=integer, default=os.cpu_count() or 1, help="how many at a time; default: CPUs")
    parser.add_argument("--seconds", type=integer, default=10, help="wall time of a call (default: 10)")
    parser.add_argument("--memory", type=integer, default=1024, help="MiB a submission may have (default: 1024)")
    parser.add_argument("--out", type=Path, default=Path("graded"), help="where results go (default: graded)")
    parser.add_argument("--unsafe", action="store_true", help="without a sandbox: only for code that you trust")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_grade)
    parser = commands.add_parser("assign", help="make the student versions of course labs")
    parser.add_argument("masters", metavar="MASTER", nargs="+", help="masters in notebooks/labs")
    parser.add_argument("--out", type=Path, default=Path("release"), help="where they go (default: release)")
    parser.set_defaults(run=_assign)
