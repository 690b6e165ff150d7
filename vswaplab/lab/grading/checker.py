"""Grading one submission, from its bytes to its outcomes: in a process of its own, started by `runner`.

Visible checks run in one sandbox. Each hidden check runs in a fresh one, and all that comes back of it is whether it
passed or met a limit, so that nothing a learner's code saw of a hidden check can stand in the report. The score for a
ranking is measured in a fresh one, too; a failure there costs the rank, not the points.

A cell that the learner added and that fails, or meets a limit, is left out with a note; a cell of the lab's decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.lab.grading.collect import Submission
from vswaplab.lab.grading.model import Check, Lab, Outcome, run_check
from vswaplab.lab.grading.remote import (
    BadProtocol,
    GradingError,
    Limits,
    OutOfMemory,
    OutOfTime,
    Student,
    StudentError,
    WorkerDied,
)
from vswaplab.lab.grading.results import Graded
from vswaplab.lab.grading.submission import Cell, HandedIn, handed_in, runnable

__all__ = ["grade_here"]

_LEFT_OUT = 3
"""Cells that may be left out because they meet a limit."""
_NOTES = 20
"""Notes that a report has room for."""
_LIMITS_MET = 2
"""Checks that may meet a limit; after that no more are run."""
_COSTS_A_CHECK = (OutOfTime, OutOfMemory, WorkerDied)
"""What costs the check it happens in. Anything else that a submission does to the grading costs all points."""


def grade_here(submission: Submission, lab: Lab, limits: Limits, *, unsafe: bool = False) -> Graded:
    """Grade a submission in this process; what it does wrong is the reason, never an exception."""
    started = time.monotonic()
    try:
        found = handed_in(submission.read(), submission.file_name)
        if found.lab and found.lab != lab.name:
            raise InvalidArgument(f"This is a notebook of {found.lab}, not of {lab.name}.")
        graded = _Run(found, lab, limits, unsafe, started + limits.budget).graded(submission.name)
    except (GradingError, StudentError, SwapError) as error:
        graded = Graded(submission.name, (), lab.points, str(error))
    except (MemoryError, RecursionError) as error:
        reason = f"It can't be graded: the checker meets a {type(error).__name__} over what it returns or holds."
        graded = Graded(submission.name, (), lab.points, reason)
    return replace(graded, seconds=time.monotonic() - started)


@dataclass
class _Run:
    """One submission on its way through its checks."""

    handed_in: HandedIn
    lab: Lab
    limits: Limits
    unsafe: bool
    until: float
    notes: list[str] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    limit: str = ""
    """The first limit that a visible check met."""

    def __post_init__(self) -> None:
        self.cells = [replace(cell, source=runnable(cell.source)) for cell in self.handed_in.cells]

    def graded(self, name: str) -> Graded:
        outcomes = {outcome.id: outcome for outcome in (*self._visible(), *self._hidden())}
        ordered = tuple(outcomes[check.id] for check in self.lab.checks)
        score = None
        if self.lab.score is not None and all(outcome.got for outcome in ordered):
            score = self._score(self.lab.score)
        return Graded(name, ordered, self.lab.points, self.limit, score, 0.0, tuple(self.notes), False, self._log())

    def _log(self) -> str:
        return "\n".join([*self.log, ""]) if self.log else ""

    # -- the learner's process -------------------------------------------------------------------------------------

    def _student(self, *, tell: bool = False) -> Student:
        """Return a process in which the cells have run; `tell`: note what became of the learner's own cells."""
        while True:
            student = Student("", self.limits, unsafe=self.unsafe, until=self.until)
            cell = None
            try:
                for cell in self.cells:
                    if cell.number not in self.left_out:
                        self._run_cell(student, cell, tell)
                return student
            except GradingError as error:
                student.close()
                if cell is None or cell.solution or len(self.left_out) >= _LEFT_OUT:
                    raise
                self.left_out.add(cell.number)
                self._note(f"Code cell {cell.number} was left out: {error}", tell)
            except BaseException:
                student.close()
                raise

    def _run_cell(self, student: Student, cell: Cell, tell: bool) -> None:
        try:
            student.run(cell.source, cell.name)
        except StudentError as error:
            if cell.solution:
                raise
            self._note(f"Code cell {cell.number} raises {error}.", tell)

    def _note(self, text: str, tell: bool) -> None:
        if tell and text not in self.notes and len(self.notes) < _NOTES:
            self.notes.append(text)

    # -- checks ----------------------------------------------------------------------------------------------------

    def _visible(self) -> list[Outcome]:
        checks = [check for check in self.lab.checks if check.visible]
        student, outcomes, met = self._student(tell=True), list[Outcome](), 0
        try:
            for check in checks:
                if met >= _LIMITS_MET:
                    outcomes.append(_lost(check, "Not run: checks before it met a limit."))
                    continue
                try:
                    outcomes.append(run_check(self.lab, check, student))
                except _COSTS_A_CHECK as error:
                    met += 1
                    self.limit = self.limit or str(error)
                    outcomes.append(_lost(check, str(error)))
                    student.close()
                    try:
                        student = self._student()
                    except (GradingError, StudentError):  # the cells themselves meet a limit now: the budget
                        met = _LIMITS_MET
        finally:
            student.close()
        self._met = met
        return outcomes

    def _hidden(self) -> list[Outcome]:
        return [self._hidden_one(check) for check in self.lab.checks if not check.visible]

    def _hidden_one(self, check: Check) -> Outcome:
        # What a hidden check says, and how its process ends, might give it away: it is named, and no more.
        said = f"Not yet: {check.says}."
        if self._met >= _LIMITS_MET:
            return _lost(check, said)
        try:
            with self._student() as student:
                outcome = run_check(self.lab, check, student)
        except (*_COSTS_A_CHECK, BadProtocol, GradingError, StudentError) as error:
            self._met += isinstance(error, _COSTS_A_CHECK)
            self.log.append(f"{check.id}: {type(error).__name__}: {error}")
            return _lost(check, f"{said} It met a limit." if isinstance(error, GradingError) else said)
        if outcome.got:
            return outcome
        self.log.append(f"{check.id}: {outcome.message}")
        return _lost(check, said)

    def _score(self, score: Callable[[Student], float]) -> float | None:
        with suppress(GradingError, StudentError, AssertionError, Exception), self._student() as student:
            return float(score(student))
        return None


def _lost(check: Check, message: str) -> Outcome:
    return Outcome(check.id, check.points, 0, message)
