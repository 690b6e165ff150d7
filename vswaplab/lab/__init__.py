"""Questions and checks, each in one call of a notebook's cell.

``choose``, ``number``, ``order`` and ``explain`` are answered in their own box; ``predict`` is recorded before a run,
and the run answers it with ``.reveal(…)``; ``task`` is a function to write, run with ``.check(…)``. ``hints`` and
``solution`` stand beside anything else. Answers are kept beside the notebook (`vswaplab.lab.progress`), numbers are
drawn with ``fresh``, and the checker (`vswaplab.lab.checking`) is the same for student and staff.

>>> walk = choose("05/walk", "How many PTEs does legacy visit?", {
...     "as many as are swapped": "It would have to know where they are.",
...     "as many as are mapped": True,
... })                                                                                       # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from vswaplab.errors import InvalidArgument
from vswaplab.lab import questions
from vswaplab.lab.fresh import draws
from vswaplab.lab.progress import Progress, progress_here

if TYPE_CHECKING:
    from vswaplab.lab.asked import Asked
    from vswaplab.lab.states import StateStepper

__all__ = [
    "choose",
    "explain",
    "fresh",
    "hints",
    "number",
    "open_stepper",
    "order",
    "predict",
    "progress",
    "solution",
    "task",
]


def choose(id: str, prompt: str, options: Mapping[str, str | bool], *, answer: str = "", **help: Any) -> Asked:
    """Ask for one of several options, each with what to think of it; the right one has True, or is named by `answer`.

    `hints` (three, from where to look to how to begin) and `solution` go with every kind of question.
    """
    marked = [option for option, message in options.items() if message is True]
    right = [answer] if answer else marked
    if len(right) != 1 or (answer and marked):
        raise InvalidArgument(f"Question {id}: mark the right option with True, or name it with answer=.")
    messages = {option: "" if message is True else message for option, message in options.items()}
    return _ask(questions.Choose(id=id, prompt=prompt, options=messages, right=right[0], **help))  # type: ignore[arg-type]


def number(
    id: str,
    prompt: str,
    answer: float,
    *,
    unit: str = "",
    tolerance: float | str = 0.0,
    near: Mapping[float, str] | None = None,
    **help: Any,
) -> Asked:
    """Ask for a number; `tolerance` is in the unit or "5%", `near` says what to think of numbers got by a known error.

    Any unit of the same family is taken: 4 KiB, 4096 bytes and 1 page are one size. `right` is said to a right answer.
    """
    asked = questions.Number(
        id=id, prompt=prompt, answer=answer, unit=unit, tolerance=tolerance, near=near or {}, **help
    )
    return _ask(asked)


def order(
    id: str, prompt: str, items: Sequence[str], *, because: Mapping[tuple[str, str], str] | None = None, **help: Any
) -> Asked:
    """Ask for the order of items, given here in the right one; `because` says why the first of a pair comes first."""
    return _ask(questions.Order(id=id, prompt=prompt, items=items, because=because or {}, **help))


def explain(id: str, prompt: str, rubric: Mapping[str, str], *, words: int = 8, **help: Any) -> Asked:
    """Ask for a few sentences, which the writer compares with a rubric: each point, and what to add without it."""
    return _ask(questions.Explain(id=id, prompt=prompt, rubric=rubric, words=words, **help))


def predict(
    id: str,
    prompt: str,
    options: Mapping[str, str] | None = None,
    *,
    unit: str = "",
    tolerance: float | str = 0.0,
    near: Mapping[float, str] | None = None,
    **help: Any,
) -> Asked:
    """Ask what a run will say, an option or (without options) a number; the run answers with ``.reveal(truth)``.

    It can be changed until then. Each option has what to think of it, once the truth is known.
    """
    asked: questions.Choose | questions.Number
    if options is not None:
        asked = questions.Choose(id=id, prompt=prompt, options=options)
    else:
        asked = questions.Number(id=id, prompt=prompt, answer=None, unit=unit, tolerance=tolerance, near=near or {})
    return _ask(questions.Predict(id=id, prompt=prompt, asked=asked, **help))


def task(
    id: str,
    prompt: str,
    checks: Sequence[tuple[str, Callable[[Callable[..., Any]], object], str]],
    *,
    seconds: float = 10.0,
    **help: Any,
) -> Asked:
    """Ask for a function, to be run with ``.check(function)``; a check is a name, a test of the function, a message.

    A test is passed if it returns True or None; what an assertion in it says is the message then.
    """
    made = [questions.Check(*check) for check in checks]
    return _ask(questions.Task(id=id, prompt=prompt, checks=made, seconds=seconds, **help))


def hints(id: str, levels: Sequence[str], prompt: str = "Hints", *, solution: str = "") -> Asked:
    """Show three hints, folded, and with `solution` a solution that opens only on request."""
    return _ask(questions.Help(id=id, prompt=prompt, hints=levels, solution=solution))


def solution(id: str, text: str, prompt: str = "Solution") -> Asked:
    """Show a solution, folded; lines indented by four spaces are code."""
    return _ask(questions.Help(id=id, prompt=prompt, solution=text))


def fresh(id: str, seed: int | None = None) -> Random:
    """Return the generator of a question's numbers; `seed` is the learner's own unless given."""
    return draws(id, progress_here().seed if seed is None else seed)


def open_stepper(token: str, scenario: Mapping[str, Any] | str | None = None) -> StateStepper:
    """Return a stepper at the event that a scenario token (`vswaplab.workloads.token`) names, or at the last.

    Its `token` is that of the event where it stands, in the address of a page too.
    """
    from vswaplab.lab.states import StateStepper  # here, too: a learner's process in the grader imports this package
    from vswaplab.workloads.token import decode_token

    return StateStepper(decode_token(token, scenario))


def progress() -> Progress:
    """Return the answers kept in this folder: shows as a table; has `export`, `reset` and `set_seed`."""
    return progress_here()


def _ask(question: questions.Question) -> Asked:
    from vswaplab.lab.asked import Asked  # here: the command line need not wait for all widgets

    return Asked(question)
