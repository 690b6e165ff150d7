"""Grading a folder of submissions: each in a sandbox of its own, several at once, the results as CSV and reports.

Whatever a submission does, it costs its own points: it gets its zero and its reason, and the rest are graded.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from vswaplab.errors import InvalidArgument, NotPermitted, SwapError
from vswaplab.lab.grading.model import Check, Lab, Outcome, run_check
from vswaplab.lab.grading.remote import GradingError, Limits, Student, StudentError
from vswaplab.lab.grading.submission import lab_of, read_notebook, source_of
from vswaplab.strict import path_of, shown

__all__ = ["Graded", "grade", "grade_all", "report", "submissions_in", "write_results"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Graded:
    """What became of one submission."""

    name: str
    outcomes: tuple[Outcome, ...]
    of: int
    """Points that could be had."""
    reason: str = ""
    """Why it could not be graded; then it has no points."""
    score: float | None = None
    seconds: float = 0.0

    @property
    def points(self) -> int:
        """Points."""
        return 0 if self.reason else sum(outcome.got for outcome in self.outcomes)


def grade(path: Path, lab: Lab, limits: Limits | None = None, *, unsafe: bool = False) -> Graded:
    """Grade one submission; NotPermitted if there is no sandbox. It never raises for what the submission does."""
    started, outcomes = time.monotonic(), list[Outcome]()
    score, reason = None, ""
    try:
        notebook = read_notebook(path)
        named = lab_of(notebook)
        if named and named != lab.name:
            raise InvalidArgument(f"This is a notebook of {named}, not of {lab.name}.")
        with Student(source_of(notebook), limits, unsafe=unsafe) as student:
            outcomes += (_checked(lab, check, student) for check in lab.checks)
            if lab.score is not None and all(outcome.got for outcome in outcomes):
                score = lab.score(student)
    except NotPermitted:
        raise
    except (GradingError, StudentError, SwapError) as error:
        reason = str(error)
    return Graded(path.stem, tuple(outcomes), lab.points, reason, score, time.monotonic() - started)


def _checked(lab: Lab, check: Check, student: Student) -> Outcome:
    outcome = run_check(lab, check, student)
    if outcome.got or check.visible:
        return outcome
    # What a hidden check says might give it away: it is named, and no more.
    return Outcome(outcome.id, outcome.points, 0, f"Not yet: {check.says}.")


def submissions_in(paths: Iterable[Path | str]) -> list[Path]:
    """Return the files to grade: those given, and all in folders that are given; InvalidArgument if there are none."""
    found: list[Path] = []
    for given in paths:
        path = path_of(given, "A submission")
        if path.is_dir():
            found += sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        elif path.exists():
            found.append(path)
        else:
            raise InvalidArgument(f"There is no file or folder {shown(path)}; name submissions, or a folder of them.")
    if not found:
        raise InvalidArgument("There are no submissions there; name notebooks, or a folder of them.")
    return found


def grade_all(
    paths: Sequence[Path],
    lab: Lab,
    limits: Limits | None = None,
    *,
    jobs: int = 1,
    unsafe: bool = False,
    progress: Progress | None = None,
) -> list[Graded]:
    """Grade submissions, `jobs` at a time, and return what became of them in order of their names."""
    found: list[Graded] = []
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(grade, path, lab, limits, unsafe=unsafe) for path in paths]):
            found.append(done.result())
            if progress is not None:
                progress(len(found), len(paths))
    return sorted(found, key=lambda each: each.name)


def write_results(graded: Sequence[Graded], lab: Lab, out: Path) -> list[Path]:
    """Write ``results.csv``, a report for each submission, and ``leaderboard.csv`` where the lab ranks; return them."""
    (out / "reports").mkdir(parents=True, exist_ok=True)
    results = out / "results.csv"
    with results.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["submission", "points", "of", "reason", *(check.id for check in lab.checks)])
        for each in graded:
            got = {outcome.id: outcome.got for outcome in each.outcomes if not each.reason}
            rows.writerow([each.name, each.points, each.of, each.reason, *(got.get(c.id, 0) for c in lab.checks)])
    written = [results]
    for each in graded:
        path = out / "reports" / f"{each.name}.md"
        path.write_text(report(each, lab), encoding="utf-8")
        written.append(path)
    if lab.score is not None:
        written.append(_leaderboard(graded, out / "leaderboard.csv"))
    return written


def _leaderboard(graded: Sequence[Graded], path: Path) -> Path:
    ranked = sorted((each for each in graded if each.score is not None), key=lambda each: -(each.score or 0.0))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["rank", "submission", "score"])
        rows.writerows([rank, each.name, f"{each.score:.3f}"] for rank, each in enumerate(ranked, 1))
    return path


def report(graded: Graded, lab: Lab) -> str:
    """Return what a learner is told: the points, and of each check what it found."""
    lines = [f"# {lab.title}: {graded.points} of {graded.of} points", ""]
    if graded.reason:
        return "\n".join([*lines, f"It could not be graded: {graded.reason}", ""])
    says = {check.id: check.says for check in lab.checks}
    lines += ["| check | points | what was found |", "|---|---|---|"]
    for outcome in graded.outcomes:
        found = _cell(outcome.message) or "✓"
        lines.append(f"| {says[outcome.id]} | {outcome.got} of {outcome.points} | {found} |")
    if graded.score is not None:
        lines += ["", f"Score for the ranking: {graded.score:.3f}."]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:400]
