"""What a course lab is made of: checks with points, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Check", "Lab", "Outcome", "Shown", "grade_local", "run_check"]


@dataclass(frozen=True)
class Check:
    """One thing that a learner's code must do. `run` takes the code, and raises AssertionError with what is wrong."""

    id: str
    points: int
    visible: bool
    """Whether learners may run it themselves."""
    run: Callable[[Any], None]
    says: str
    """What it checks, in words that give no solution away."""


@dataclass(frozen=True)
class Lab:
    """A course lab: what is to be written, and how it is checked."""

    name: str
    title: str
    entry: tuple[str, ...]
    """Names that the learner's code must define."""
    checks: tuple[Check, ...]
    minutes: int
    hardness: str
    """One to three stars."""
    score: Callable[[Any], float] | None = None
    """For a leaderboard: larger is better."""

    @property
    def points(self) -> int:
        """Points that can be had."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True)
class Outcome:
    """What became of one check."""

    id: str
    points: int
    got: int
    message: str
    """"" where it passed."""


@dataclass(frozen=True)
class Shown:
    """Outcomes as a notebook shows them: a table, what passed marked in words and by a sign."""

    lab: Lab
    outcomes: tuple[Outcome, ...]

    @property
    def points(self) -> int:
        """Points that were got; nbgrader takes the last value of a graded cell for them."""
        return sum(each.got for each in self.outcomes)

    def _rows(self) -> list[tuple[str, str, str]]:
        says = {check.id: check.says for check in self.lab.checks}
        return [
            (("✓ " if each.got else "✗ ") + says[each.id], f"{each.got} of {each.points}", each.message or "passed")
            for each in self.outcomes
        ]

    def __repr__(self) -> str:
        return "\n".join(f"{points:>7}  {what}: {found}" for what, points, found in self._rows())

    def _repr_html_(self) -> str:
        cells = ("".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) for row in self._rows())
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        got, of = self.points, sum(each.points for each in self.outcomes)
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("check", "points", "what was found"))
        caption = f"{self.lab.title}: {got} of {of} points"
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def run_check(lab: Lab, check: Check, student: Any) -> Outcome:
    """Run one check; what the code under it raises becomes its message. Errors of the grading itself come out."""
    from vswaplab.lab.grading.remote import GradingError

    missing = [name for name in lab.entry if not student.has(name)]
    if missing:
        return Outcome(check.id, check.points, 0, f"Write {', '.join(missing)}: nothing of that name is defined.")
    try:
        check.run(student)
    except AssertionError as error:
        return Outcome(check.id, check.points, 0, _first(str(error), 400) or check.says)
    except GradingError:
        raise
    except Exception as error:
        return Outcome(check.id, check.points, 0, f"{type(error).__name__}: {_first(str(error), 300)}")
    return Outcome(check.id, check.points, check.points, "")


def _first(text: str, limit: int) -> str:
    """Return what of a message a report has room for, whatever a learner's code put into it."""
    line = next(iter(text[: 4 * limit].splitlines()), "")
    return line if len(line) <= limit else f"{line[:limit]}…"


def grade_local(lab: Lab, namespace: dict[str, Any], *, hidden: bool = False) -> list[Outcome]:
    """Run a lab's visible checks on code of this process, as a notebook does; `hidden`: all of them."""
    from vswaplab.lab.grading.remote import Local

    student = Local(namespace)
    return [run_check(lab, check, student) for check in lab.checks if check.visible or hidden]
