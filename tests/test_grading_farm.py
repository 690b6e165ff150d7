"""``vswaplab grade`` on a class of learners, most of them hostile: the right row for each, whatever becomes of the run.

`tools/grade_farm.py` does the same with a class of 200, or of any size, in any lab.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradefarm import CANARY, FARM, Case, farm, hand_in, rows_of, what_leaked, wrong_rows
from graderun import Run, adopting_orphans

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]
LIMITS = ["--lab", FARM.name, "--jobs", "4", "--seconds", "6", "--budget", "20", "--memory", "640"]
HONEST, HOSTILE = 20, 90


@dataclass(frozen=True)
class Graded:
    """A class that was graded in one go."""

    cases: list[Case]
    run: Run
    status: int | None
    left: list[str]


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graded]:
    top = tmp_path_factory.mktemp("farm")
    cases = farm(FARM, seed=1, honest=HONEST, hostile=HOSTILE)
    folder = top / CANARY / "class"
    hand_in(cases, folder)
    with adopting_orphans():
        run = Run([str(folder), *LIMITS], top / "graded", top / "tmp")
        yield Graded(cases, run, run.wait(), run.left())


def test_each_has_the_right_row(graded: Graded) -> None:
    assert graded.status == 0, graded.run.said
    assert wrong_rows(graded.cases, rows_of(graded.run.out)) == []


def test_each_is_of_a_kind_of_its_own(graded: Graded) -> None:
    assert len({case.kind for case in graded.cases if case.hostile}) == HOSTILE
    assert len({case.kind for case in graded.cases if not case.hostile}) == HONEST


def test_nothing_of_whoever_grades_or_of_hidden_checks_is_told(graded: Graded) -> None:
    assert what_leaked(graded.run.out) == []


def test_nothing_is_left_behind(graded: Graded) -> None:
    assert graded.left == []
    assert graded.run.groups_left() == []
    assert [path for path in graded.run.out.rglob(".*") if path.name != ".lock"] == []


def test_a_run_that_is_killed_and_interrupted_goes_on_to_the_same_rows(graded: Graded, tmp_path: Path) -> None:
    quick = [case for case in graded.cases if case.hostile and "seconds" not in case.row.reason][::10]
    cases = [*(case for case in graded.cases if not case.hostile), *quick]
    folder, out = tmp_path / CANARY / "class", tmp_path / "graded"
    hand_in(cases, folder)
    arguments = [str(folder), *LIMITS, "--resume"]
    with adopting_orphans():
        killed = Run(arguments, out, tmp_path / "killed")
        assert killed.wait(until=len(cases) // 3) is None
        killed.end(signal.SIGKILL)
        assert killed.left() == []
        kept = killed.graded()
        assert kept >= len(cases) // 3

        interrupted = Run(arguments, out, tmp_path / "interrupted")
        assert interrupted.wait(until=2 * len(cases) // 3) is None
        seconds = interrupted.end(signal.SIGINT)
        assert interrupted.process.returncode == 130
        assert "--resume goes on" in interrupted.said
        assert seconds < 15  # not the minutes that the rest would take
        assert len(rows_of(out)) == interrupted.graded() > kept
        assert wrong_rows([case for case in cases if case.name in _names(out)], rows_of(out)) == []
        assert interrupted.left() == interrupted.groups_left() == []

        last = Run(arguments, out, tmp_path / "last")
        assert last.wait() == 0
        assert last.left() == last.groups_left() == []
    assert killed.groups_left() == []
    assert [path for path in out.rglob(".*") if path.name != ".lock"] == []
    names = _names(out)
    assert rows_of(out) == [row for row in rows_of(graded.run.out) if row["submission"] in names]
    assert wrong_rows(cases, rows_of(out)) == []


def _names(out: Path) -> set[str]:
    return {row["submission"] for row in rows_of(out)}
