"""Questions as views: a form, feedback, hints, a solution; and what a run says of a prediction.

What is asked and how it is checked comes as plain data (`vswaplab.lab` makes it). `given` is what the reader did, and
`feedback` what the kernel says of it; on a page without a kernel ``js/checking.js`` says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import traitlets

from vswaplab.figures.palette import THEMES
from vswaplab.widgets.view import View

__all__ = ["QuestionView", "VerdictView", "kind_colours"]


def kind_colours() -> dict[str, dict[str, str]]:
    """Return the colour of each kind of feedback on light and dark ground; each has a shape of its own besides."""
    return {
        name: {
            "missing": THEMES[name].colour(_BACKING["ZERO"]),
            "keep working": THEMES[name].colour(_BACKING["SWAPFILE"]),
            "almost": THEMES[name].highlight,
            "correct": THEMES[name].colour(_BACKING["FOLIO"]),
            "recorded": THEMES[name].colour(_BACKING["ZSWAP"]),
        }
        for name in ("light", "dark")
    }


_BACKING = {backing.name: backing for backing in THEMES["light"].backing}


_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "choose": "Choose",
        "number": "Number",
        "order": "Order",
        "explain": "Explain",
        "predict": "Predict",
        "task": "Task",
        "help": "Help",
    }
)
"""What ``js/question.js`` calls each kind."""
_MOST_TEXT = 2000


class _Said(View):
    """A view of a question: its prompt, and what was said of the last answer."""

    feedback: Any

    named = "Question"

    def title(self) -> str:
        """Return the kind of question, and its prompt."""
        return f"{_TITLES[self.header['rules']['kind']]}: {self.header['prompt']}"

    def verdict(self) -> list[str]:
        """Return what was said last, a line for each check; nothing before the first attempt."""
        kind = self.feedback.get("kind")
        if not kind:
            return []
        rules = self.header["rules"]
        wordless = rules["kind"] == "predict" and rules["known"]  # it says itself how it went
        lines = [self.feedback["message"] if wordless else f"{kind.capitalize()}. {self.feedback['message']}"]
        for name, passed, message in self.feedback.get("rows", ()):
            lines.append(f"{'passed' if passed else 'failed'}: {name}{f', {message}' if message else ''}")
        return ["\n".join(lines)]


class QuestionView(_Said):
    """One question. `header` has id, prompt, hints, solution, rules and words; themes are added here."""

    again = "Run this cell again to answer it."

    given = traitlets.Dict(help="Answer, attempts, hints and solution opened").tag(sync=True)
    feedback = traitlets.Dict(help="The kernel's word on an attempt").tag(sync=True)

    def __init__(self, header: Mapping[str, Any], **traits: Any) -> None:
        super().__init__(view="question", header={**header, "themes": kind_colours()}, **traits)
        if header["rules"]["kind"] == "help":
            self.again = "Run this cell again to open it."

    def shows(self) -> list[str]:
        """Return what may be answered, what was answered last, and what was said of it; no hint and no solution."""
        rules = self.header["rules"]
        form = rules.get("asked", rules)
        shown = []
        if form["kind"] in ("choose", "order"):
            choices = [option for option, _ in form["options"]] if form["kind"] == "choose" else form["shown"]
            shown.append("\n".join(f"- {choice}" for choice in choices))
        elif form["kind"] == "number" and form["unit"]:
            shown.append(f"In {form['unit']}.")
        answer = _in_words(self.given.get("answer")) if self.given.get("attempts") else ""
        return [*shown, f"Your answer: {answer}" if answer else "", *self.verdict()]


class VerdictView(_Said):
    """What a run says of a prediction, or what running the checks of a task gave."""

    again = "Run this cell again to see what is said now."

    feedback = traitlets.Dict(help="What is said").tag(sync=True)

    def __init__(self, header: Mapping[str, Any], feedback: Mapping[str, Any]) -> None:
        super().__init__(view="verdict", header={**header, "themes": kind_colours()}, feedback=dict(feedback))

    def shows(self) -> list[str]:
        """Return what is said."""
        return self.verdict()


def _in_words(answer: Any) -> str:
    """Return an answer as its form shows it; "" for what no form gives."""
    if isinstance(answer, dict):
        answer = answer.get("text")
    elif isinstance(answer, list | tuple) and all(isinstance(item, str) for item in answer):
        answer = ", ".join(answer)
    text = answer if isinstance(answer, str) else ""
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
