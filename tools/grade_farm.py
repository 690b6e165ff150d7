"""Grade a class made from a seed, kill the run in the middle, resume it, and hold every row to what it must be.

    .venv/bin/python tools/grade_farm.py [--lab lab2_allocate] [--honest 140] [--hostile 60] [--seed 0] [--jobs 2]

The class has honest and hostile learners (`tests/gradehonest.py`, `tests/gradehostile.py`). The run is killed at a
third of the results, interrupted at two thirds, and goes on each time with ``--resume``. Printed are rows that are
wrong, what is left behind, wall clock, and memory: of the run's own process, and the most of all at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from gradefarm import CANARY, farm, hand_in, lab_named, rows_of, what_leaked, wrong_rows
from graderun import Run, adopting_orphans


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", default="farm", help="farm (two functions), or one of the course's labs")
    parser.add_argument("--honest", type=int, default=140)
    parser.add_argument("--hostile", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--seconds", default="10")
    parser.add_argument("--budget", default="600")
    parser.add_argument("--memory", default="1024")
    args = parser.parse_args()
    cases = farm(lab_named(args.lab), args.seed, args.honest, args.hostile)
    with tempfile.TemporaryDirectory(prefix="farm-") as name, adopting_orphans():
        top = Path(name)
        folder, out = top / CANARY / "class", top / "graded"
        hand_in(cases, folder)
        arguments = [str(folder), "--lab", args.lab, "--resume"]
        for option in ("jobs", "seconds", "budget", "memory"):
            arguments += [f"--{option}", getattr(args, option)]
        started, peak, own, wrong = time.monotonic(), 0, 0, list[str]()
        for share, number in ((1 / 3, signal.SIGKILL), (2 / 3, signal.SIGINT), (None, None)):
            run = Run(arguments, out, top / f"tmp-{number or 'last'}")
            status = run.wait(until=None if share is None else int(share * len(cases)))
            if number is not None and status is None:
                took = run.end(number)
                ended = f"ended in {took:.2f} s with {run.process.returncode}"
                print(f"{number.name} after {run.graded()} results: {ended}")
                if number is signal.SIGINT and run.process.returncode != 130:
                    wrong.append(f"an interrupted run ends with {run.process.returncode}: {run.said}")
            elif status != 0:
                wrong.append(f"the run ended with {status}: {run.said[-2000:]}")
            wrong += [f"left behind: {each}" for each in run.left()]
            if number is not signal.SIGKILL:
                wrong += [f"left behind: {each}" for each in run.groups_left()]
            peak, own = max(peak, run.peak_bytes), max(own, run.main_bytes)
        wrong += [f"left behind: {path}" for path in out.glob("**/.*") if path.name != ".lock"]
        rows = wrong_rows(cases, rows_of(out))
        wrong += [f"leaked into {path}" for path in what_leaked(out)]
        kinds = len({case.kind for case in cases if case.hostile})
        print(
            f"{len(cases)} submissions, {sum(case.hostile for case in cases)} hostile of {kinds} kinds; lab {args.lab}"
        )
        print(f"{len(cases) - len(rows)} rows right, {len(rows)} wrong; {time.monotonic() - started:.0f} s")
        print(f"memory at most: {own >> 20} MiB the run itself, {peak >> 20} MiB all processes at once")
        print("\n".join([*rows, *wrong]))
    return 1 if rows or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
