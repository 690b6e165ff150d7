"""Checking: from a question and an answer to feedback, the same for student and staff.

Pure functions. The page without a kernel does the same in ``widgets/js/checking.js``, with `rules` for its data; a test
holds the two equal over many answers. Whatever is given as an answer, one feedback comes back.

>>> from vswaplab.lab.questions import Number
>>> slot = Number(id="06/slot", prompt="How large?", answer=24, unit="bytes", near={8: "That is the swap table."})
>>> check(slot, "24 B").kind.value, check(slot, "8").message, check(slot, "24 ms").message
('correct', 'That is the swap table.', 'Which unit? The answer is in bytes.')
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vswaplab.lab.fresh import shuffled
from vswaplab.lab.questions import Choose, Explain, Help, Number, Order, Predict, Question, Task
from vswaplab.lab.units import unit_factors

__all__ = ["WORDS", "Feedback", "Kind", "check", "rules"]


class Kind(Enum):
    """What feedback says; `RECORDED` is for a prediction that no run has answered yet."""

    MISSING = "missing"
    KEEP_WORKING = "keep working"
    ALMOST = "almost"
    CORRECT = "correct"
    RECORDED = "recorded"


@dataclass(frozen=True)
class Feedback:
    """What a reader is told of an answer."""

    kind: Kind
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind.value, "message": self.message}


WORDS = {
    "choose": "Choose one of the options first.",
    "number": "Write a number first, such as 24, 1.5 or 1,048,576, with its unit if you like.",
    "bare": "This answer has no unit: write the number alone.",
    "unit": "Which unit? The answer is in {unit}.",
    "factor": "The number is off by a factor of {factor}: look at the unit again.",
    "close": "Close: within a tenth of it. What is left out, or counted twice?",
    "far": "Not that. Which number do you get, step by step? A hint may help.",
    "order": "Put the items in order first.",
    "head": "In place from the top: {count}. What comes next?",
    "one": "All but one are in order: which one is out of place?",
    "restart": "The first one is not that yet. What does nothing else have to come before?",
    "text": "Write a sentence or two first, {count} words at least.",
    "tick": "Now compare: tick what your text says.",
    "explained": "Your text has all of it.",
    "right": "That is it.",
    "recorded": "You can change it until the run has spoken.",
    "predicted": "As you predicted: {answer}.",
    "surprised": "You predicted: {answer}. The run says: {truth}.",
    "unpredicted": "No prediction was recorded. The run says: {truth}.",
    "task": "Run your function through the checks: this is checked by running it.",
}
"""The sentences that no author writes; a page has them from here too."""

_SPACE = "[ \t\n\r\u00a0\u2009\u202f]+"
_NUMBER = re.compile(
    "([+-]?)([0-9]{1,3}(?:[,_ ][0-9]{3})+|[0-9]{0,18})([.][0-9]{0,12})?(?:e([+-]?[0-9]{1,2}))?"
    " ?(%|[a-zµμ][a-zµμ ]{0,23})?"
)
_MAX_TEXT = 80
_FACTORS = (1024, 4096, 1000, 8)


def check(question: Question, answer: Any) -> Feedback:
    """Return what to say to an answer: an option's text, a number as typed, items in their order, or text and ticks.

    For `Explain` the answer is ``{"text": str, "met": list of points}``. Anything else counts as missing.
    """
    match question:
        case Predict():
            return _predict(question, answer)
        case Choose():
            return _choose(question, answer)
        case Number():
            return _number(question, answer)
        case Order():
            return _order(question, answer)
        case Explain():
            return _explain(question, answer)
    return Feedback(Kind.MISSING, WORDS["task"])


def _choose(question: Choose, answer: Any) -> Feedback:
    if not isinstance(answer, str) or answer not in question.options:
        return Feedback(Kind.MISSING, WORDS["choose"])
    if answer == question.right:
        return Feedback(Kind.CORRECT, question.options[answer] or WORDS["right"])
    return Feedback(Kind.KEEP_WORKING, question.options[answer])


def _number(question: Number, answer: Any) -> Feedback:
    found = _parse(answer)
    if found is None or question.answer is None:
        return Feedback(Kind.MISSING, WORDS["number"])
    value, unit = found
    factors = unit_factors(question.unit)
    if unit and unit not in factors:
        kind = Kind.ALMOST if question.matches(value, question.answer) else Kind.KEEP_WORKING
        return Feedback(kind, WORDS["unit"].format(unit=question.unit) if factors else WORDS["bare"])
    return _judge(question, question.answer, value * factors.get(unit, 1.0))


def _judge(question: Number, wanted: float, value: float) -> Feedback:
    if question.matches(value, wanted):
        return Feedback(Kind.CORRECT, question.right or WORDS["right"])
    for known, message in question.near.items():
        if question.matches(value, known):
            return Feedback(Kind.KEEP_WORKING, message)
    if wanted and question.unit:
        for factor in _FACTORS:
            if question.matches(value * factor, wanted) or question.matches(value / factor, wanted):
                return Feedback(Kind.ALMOST, WORDS["factor"].format(factor=f"{factor:,}"))
    if abs(value - wanted) <= abs(wanted) / 10:
        return Feedback(Kind.ALMOST, WORDS["close"])
    return Feedback(Kind.KEEP_WORKING, WORDS["far"])


def _parse(text: Any) -> tuple[float, str] | None:
    """Return the number and the unit (in lower case, or "") that a text says, None if it says none."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        return None
    plain = re.sub(_SPACE, " ", text).strip(" ").replace("\u2212", "-").lower()
    found = _NUMBER.fullmatch(plain)
    if found is None:
        return None
    sign, whole, part, power, unit = (each or "" for each in found.groups())
    digits = re.sub("[,_ ]", "", whole)
    if not digits and len(part) < 2:
        return None
    return float(f"{sign}{digits or '0'}{part if len(part) > 1 else ''}e{power or '0'}"), unit


def _order(question: Order, answer: Any) -> Feedback:
    items = question.items
    if not isinstance(answer, list | tuple) or len(answer) != len(items):
        return Feedback(Kind.MISSING, WORDS["order"])
    if any(not isinstance(item, str) for item in answer) or set(answer) != set(items):
        return Feedback(Kind.MISSING, WORDS["order"])
    places = [items.index(item) for item in answer]
    if places == sorted(places):
        return Feedback(Kind.CORRECT, question.right or WORDS["right"])
    kind = Kind.ALMOST if _longest_rise(places) == len(items) - 1 else Kind.KEEP_WORKING
    for (first, then), message in question.because.items():
        if answer.index(first) > answer.index(then):
            return Feedback(kind, message)
    head = next(at for at, place in enumerate(places) if place != at)
    if kind is Kind.ALMOST:
        return Feedback(kind, WORDS["one"])
    return Feedback(kind, WORDS["head"].format(count=head) if head else WORDS["restart"])


def _longest_rise(places: Sequence[int]) -> int:
    """Return how many items are in order if the others are taken out."""
    lengths: list[int] = []
    for at, place in enumerate(places):
        lengths.append(1 + max((lengths[i] for i in range(at) if places[i] < place), default=0))
    return max(lengths)


def _explain(question: Explain, answer: Any) -> Feedback:
    text = answer.get("text") if isinstance(answer, dict) else None
    words = [word for word in re.split(_SPACE, text) if word] if isinstance(text, str) else []
    if len(words) < question.words:
        return Feedback(Kind.MISSING, WORDS["text"].format(count=question.words))
    ticked = answer.get("met")
    met = {point for point in ticked if isinstance(point, str)} if isinstance(ticked, list | tuple) else set()
    missing = [add for point, add in question.rubric.items() if point not in met]
    if not missing:
        return Feedback(Kind.CORRECT, WORDS["explained"])
    if len(missing) == len(question.rubric):
        return Feedback(Kind.KEEP_WORKING, WORDS["tick"])
    return Feedback(Kind.ALMOST if 2 * len(missing) <= len(question.rubric) else Kind.KEEP_WORKING, missing[0])


def _predict(question: Predict, answer: Any) -> Feedback:
    asked = question.asked
    if isinstance(asked, Choose):
        given = answer if isinstance(answer, str) and answer in asked.options else ""
        truth = asked.right
    else:
        given = re.sub(_SPACE, " ", answer).strip(" ") if _parse(answer) is not None else ""
        truth = "" if asked.answer is None else _shown(asked.answer, asked.unit)
    if not question.known:
        wanted = WORDS["choose" if isinstance(asked, Choose) else "number"]
        return Feedback(Kind.RECORDED, WORDS["recorded"]) if given else Feedback(Kind.MISSING, wanted)
    if not given:
        said = asked.options[asked.right] if isinstance(asked, Choose) else asked.right
        return Feedback(Kind.MISSING, _join(WORDS["unpredicted"].format(truth=truth), said))
    found = check(asked, given)
    right = found.kind is Kind.CORRECT
    said = "" if right and found.message == WORDS["right"] else found.message
    frame = WORDS["predicted" if right else "surprised"]
    return Feedback(found.kind, _join(frame.replace("{answer}", given).replace("{truth}", truth), said))


def _shown(value: float, unit: str) -> str:
    """Return a number as sentences have it, with its unit."""
    text = f"{value:,.0f}" if value == math.floor(value) else f"{value:.6g}"
    return f"{text}{'' if unit == '%' else ' '}{unit}".strip()


def _join(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def rules(question: Question) -> dict[str, Any]:
    """Return what a page needs in order to ask a question and to check it as `check` does, as JSON."""
    found: dict[str, Any] = {"kind": question.kind}
    match question:
        case Predict():
            asked = question.asked
            truth = asked.right if isinstance(asked, Choose) else None
            if isinstance(asked, Number) and asked.answer is not None:
                truth = _shown(asked.answer, asked.unit)
            found |= {"asked": rules(asked), "known": question.known, "truth": truth or ""}
        case Choose():
            found |= {"options": list(question.options.items()), "right": question.right}
        case Number():
            tolerance = 0.0 if isinstance(question.tolerance, str) else question.tolerance
            found |= {"answer": question.answer, "unit": question.unit, "tolerance": tolerance, "right": question.right}
            found |= {"near": list(question.near.items()), "factors": unit_factors(question.unit)}
        case Order():
            pairs = [[first, then, message] for (first, then), message in question.because.items()]
            found |= {"items": list(question.items), "because": pairs, "right": question.right}
            found["shown"] = shuffled(question.items, question.id)
        case Explain():
            found |= {"rubric": list(question.rubric.items()), "words": question.words}
        case Task():
            found |= {"checks": [each.name for each in question.checks]}
        case Help():
            pass
    return found
