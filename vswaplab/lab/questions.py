"""Questions as plain data: what is asked, what is right, and what to say to each wrong answer.

A question knows nothing of widgets, files or learners; `vswaplab.lab.checking` answers it, `vswaplab.lab.asked` puts it
in front of a reader. Its id is ``notebook/question``, such as ``05/walk``: answers are kept under it.

>>> Choose(id="05/walk", prompt="How many PTEs?", options={"all": "Indeed.", "none": "Look again."}, right="all").right
'all'
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from vswaplab.errors import InvalidArgument
from vswaplab.lab.units import unit_factors
from vswaplab.strict import quoted, real_number

__all__ = [
    "HINT_LEVELS",
    "Check",
    "Choose",
    "Explain",
    "Help",
    "Number",
    "Order",
    "Predict",
    "Question",
    "Task",
]

HINT_LEVELS = 3
"""Where to look, what to think of, how to begin; the fourth step is the solution."""

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}(/[a-z0-9][a-z0-9_-]{0,47})?")
_MAX_NUMBER = 1e18


@dataclass(frozen=True, kw_only=True)
class Question:
    """What all kinds have: an id, a prompt, hints in three levels or none, a solution or none."""

    kind: ClassVar[str] = ""
    id: str
    prompt: str
    hints: Sequence[str] = ()
    solution: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or _ID.fullmatch(self.id) is None:
            raise InvalidArgument(f"A question's id is notebook/question, such as 05/walk, not {quoted(self.id)}.")
        if isinstance(self.hints, str) or len(self.hints) not in (0, HINT_LEVELS):
            raise self.wrong(f"hints come in {HINT_LEVELS} levels; give a list of {HINT_LEVELS}, or none")
        for text in (self.prompt, self.solution, *self.hints):
            if not isinstance(text, str):
                raise self.wrong(f"prompt, hints and solution are text, not {quoted(text)}")
        object.__setattr__(self, "hints", tuple(self.hints))

    def wrong(self, what: str) -> InvalidArgument:
        """Return the error that says what is wrong with how this question was made."""
        return InvalidArgument(f"Question {self.id}: {what}.")


@dataclass(frozen=True, kw_only=True)
class Choose(Question):
    """One of several options. `options` says to each what to think of it; `right` is "" while nobody knows."""

    kind: ClassVar[str] = "choose"
    options: Mapping[str, str]
    right: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.options, Mapping) or len(self.options) < 2:
            raise self.wrong("options are a dict of two or more")
        if self.right and self.right not in self.options:
            raise self.wrong(f"{quoted(self.right)} is not one of the options: {', '.join(self.options)}")
        for option, message in self.options.items():
            if not isinstance(option, str) or not option.strip():
                raise self.wrong(f"an option is text, not {quoted(option)}")
            if not isinstance(message, str) or (not message and option != self.right):
                raise self.wrong(f"say what to think of {quoted(option)}: each wrong option has a message of its own")
        object.__setattr__(self, "options", dict(self.options))


@dataclass(frozen=True, kw_only=True)
class Number(Question):
    """A number in a unit. `near` says what to think of numbers that one gets by a known error."""

    kind: ClassVar[str] = "number"
    answer: float | None
    """None while nobody knows."""
    unit: str = ""
    tolerance: float | str = 0.0
    """In the unit, or text such as "5%" of the answer; as a number once the question is made."""
    near: Mapping[float, str] = field(default_factory=dict)
    right: str = ""
    """What to say to the right answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answer is not None:
            real_number(self.answer, f"Question {self.id}: answer", -_MAX_NUMBER, _MAX_NUMBER)
        share = self.tolerance
        if isinstance(share, str):
            percent = re.fullmatch(r"\s*([0-9.]{1,8})\s*%\s*", share)
            if percent is None or percent[1].count(".") > 1 or percent[1] == ".":
                raise self.wrong(f"tolerance is a number in the unit, or text such as '5%', not {quoted(share)}")
            if self.answer is not None:  # a prediction has its tolerance when it has its answer
                object.__setattr__(self, "tolerance", abs(self.answer) * float(percent[1]) / 100)
        else:
            real_number(share, f"Question {self.id}: tolerance", 0, _MAX_NUMBER)
        unit_factors(self.unit)
        for value, message in self.near.items():
            real_number(value, f"Question {self.id}: a number in near", -_MAX_NUMBER, _MAX_NUMBER)
            if not isinstance(message, str) or not message:
                raise self.wrong(f"say what to think of {value:g}: near is a dict of numbers and messages")
            if self.answer is not None and self.matches(value, self.answer):
                raise self.wrong(f"{value:g} is within the tolerance of the answer, so it can't be a known error")
        object.__setattr__(self, "near", dict(self.near))

    def matches(self, value: float, wanted: float) -> bool:
        """Tell whether a value stands for the one wanted: within the tolerance, or as near as floats are."""
        slack = 0.0 if isinstance(self.tolerance, str) else self.tolerance
        if self.answer and abs(wanted) < abs(self.answer):
            slack *= abs(wanted) / abs(self.answer)  # a known error is often much smaller than the answer
        return abs(value - wanted) <= max(slack, 1e-9 * abs(wanted))


@dataclass(frozen=True, kw_only=True)
class Order(Question):
    """Items to be put in order. `items` are in the right one; `because` says why the first of a pair comes first."""

    kind: ClassVar[str] = "order"
    items: Sequence[str]
    because: Mapping[tuple[str, str], str] = field(default_factory=dict)
    right: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.items, str) or len(self.items) < 3 or len(set(self.items)) != len(self.items):
            raise self.wrong("items are a list of three or more, none of them twice")
        object.__setattr__(self, "items", tuple(self.items))
        places = {item: place for place, item in enumerate(self.items)}
        for first, then in self.because:
            if first not in places or then not in places or places[first] >= places[then]:
                raise self.wrong(f"{quoted(first)} does not come before {quoted(then)}, so no message can say why")
        object.__setattr__(self, "because", dict(self.because))


@dataclass(frozen=True, kw_only=True)
class Explain(Question):
    """A few sentences, compared by the writer with a rubric; `rubric` says to each point what to add without it."""

    kind: ClassVar[str] = "explain"
    rubric: Mapping[str, str]
    words: int = 8
    """Fewer are no explanation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.rubric, Mapping) or not self.rubric or not all(self.rubric.values()):
            raise self.wrong("rubric is a dict: each point, and what to add where it is missing")
        object.__setattr__(self, "rubric", dict(self.rubric))


@dataclass(frozen=True, kw_only=True)
class Predict(Question):
    """What a run will say, recorded before it; `asked` is the question, answered by the run."""

    kind: ClassVar[str] = "predict"
    asked: Choose | Number

    @property
    def known(self) -> bool:
        """Tell whether the run has spoken."""
        return bool(self.asked.right) if isinstance(self.asked, Choose) else self.asked.answer is not None

    def answered(self, truth: str | float) -> Self:
        """Return the question with what the run said."""
        if isinstance(self.asked, Number):
            value = real_number(truth, f"Question {self.id}: what the run says", -_MAX_NUMBER, _MAX_NUMBER)
            bare = replace(self.asked, answer=value, near={})
            near = {each: said for each, said in self.asked.near.items() if not bare.matches(each, value)}
            return replace(self, asked=replace(bare, near=near))
        if not isinstance(truth, str) or truth not in self.asked.options:
            raise self.wrong(f"{quoted(truth)} is not one of the options: {', '.join(self.asked.options)}")
        return replace(self, asked=replace(self.asked, right=truth))


@dataclass(frozen=True)
class Check:
    """One thing that a task's function must do: `test(function)` is true, or raises, or is false."""

    name: str
    test: Callable[[Callable[..., object]], object]
    message: str
    """What to think of where it fails."""


@dataclass(frozen=True, kw_only=True)
class Task(Question):
    """A function to write; checked by running it. `seconds` is how long all checks together may take."""

    kind: ClassVar[str] = "task"
    checks: Sequence[Check]
    seconds: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = tuple(check if isinstance(check, Check) else Check(*check) for check in self.checks)
        names = [check.name for check in checks]
        if not checks or len(set(names)) != len(names) or not all(check.message for check in checks):
            raise self.wrong("checks are a list of (name, test, message), each with a name of its own")
        real_number(self.seconds, f"Question {self.id}: seconds", 0.01, math.inf)
        object.__setattr__(self, "checks", checks)


@dataclass(frozen=True, kw_only=True)
class Help(Question):
    """Hints and a solution for what is done elsewhere, such as in a cell of the reader's own."""

    kind: ClassVar[str] = "help"
