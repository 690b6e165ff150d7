"""Asked: a question in front of a reader, its answers checked and kept as they come in.

What the reader does arrives in the trait `given`; the checker's word goes back in `feedback`. `answer` does the same
from a program: the checker is one for both.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import traitlets
from IPython.display import display

from vswaplab.errors import InvalidArgument
from vswaplab.lab.checking import WORDS, Feedback, Kind, check, rules
from vswaplab.lab.progress import Progress, progress_here
from vswaplab.lab.questions import Predict, Question, Task
from vswaplab.lab.tasks import TaskResult, run_task
from vswaplab.strict import load_json
from vswaplab.widgets.question import QuestionView, VerdictView

__all__ = ["Asked", "digest", "header_of"]

_MAX_ANSWER = 20_000


def digest(question: Question) -> str:
    """Return a short digest of what is asked: another prompt or other options are another question."""
    shape = rules(question.asked if isinstance(question, Predict) else question)
    told = {key: shape.get(key) for key in ("kind", "items", "unit", "checks")}
    told |= {"options": [option for option, _ in shape.get("options", ())], "prompt": question.prompt}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


def header_of(question: Question, asked: str = "") -> dict[str, Any]:
    """Return what a view of a question needs, as JSON."""
    return {
        "version": 1,
        "id": question.id,
        "asked": asked or digest(question),
        "prompt": question.prompt,
        "hints": list(question.hints),
        "solution": question.solution,
        "rules": rules(question),
        "words": WORDS,
    }


class Asked(QuestionView):
    """A question that is asked; show it by making it the last expression of a cell."""

    def __init__(self, question: Question, progress: Progress | None = None) -> None:
        self.question = question
        self.progress = progress_here() if progress is None else progress
        self._digest = digest(question)
        kept = self.progress.entry(question.id, self._digest)
        given = {"answer": kept.answer, "attempts": kept.attempts, "hints": kept.hints}
        given |= {"shown": kept.shown, "revealed": kept.revealed}
        super().__init__({**header_of(question, self._digest), "note": self.progress.note}, given=given)
        if kept.attempts and not isinstance(question, Task):
            self._say(check(question, kept.answer))
        self._before = given
        self.result: TaskResult | None = None
        self.observe(self._heard, "given")
        self.progress.listen(self._noted)

    @property
    def said(self) -> Feedback | None:
        """What was said last, None before the first attempt."""
        kind = self.feedback.get("kind")
        return Feedback(Kind(kind), self.feedback["message"]) if kind else None

    def answer(self, answer: Any) -> Feedback:
        """Give an answer as the reader would, and return what is said of it."""
        self.given = {**self.given, "answer": answer, "attempts": self.given.get("attempts", 0) + 1}
        said = self.said
        assert said is not None
        return said

    def reveal(self, truth: str | float) -> None:
        """Answer a prediction with what the run says, and show that here; it can't be changed then."""
        if not isinstance(self.question, Predict):
            raise InvalidArgument(f"Question {self.question.id} is no prediction: only a run's answer is revealed.")
        self.question = self.question.answered(truth)
        feedback = check(self.question, self.given.get("answer"))
        self.header = {**self.header, "rules": rules(self.question)}
        self._say(feedback)
        if self.given.get("attempts"):
            self._keep(kind=feedback.kind.value, revealed=True)
        display(VerdictView(header_of(self.question, self._digest), self.feedback))  # type: ignore[no-untyped-call]

    def check(self, function: Any) -> None:
        """Run a task's checks on a function, and show what they say here; `result` has it too."""
        if not isinstance(self.question, Task):
            raise InvalidArgument(f"Question {self.question.id} is no task: it is answered in its own box.")
        self.result = result = run_task(self.question, function)
        attempts = self.given.get("attempts", 0) + 1
        self._before = {**self.given, "attempts": attempts}
        self.given = self._before
        self._say(result.feedback, rows=[[each.name, each.passed, each.message] for each in result.results])
        self._keep(answer=None, kind=result.feedback.kind.value, attempts=attempts)
        display(VerdictView(header_of(self.question, self._digest), self.feedback))  # type: ignore[no-untyped-call]

    def _say(self, feedback: Feedback, **more: Any) -> None:
        self.feedback = {**feedback.as_dict(), "attempt": self.given.get("attempts", 0), **more}

    def _keep(self, **changes: Any) -> None:
        self.progress.record(self.question.id, asked=self._digest, **changes)

    def _noted(self, note: str) -> None:
        """Show what there is to say of the answers' file now, whichever question it came up at."""
        self.header = {**self.header, "note": note}

    def _heard(self, change: traitlets.Bunch) -> None:
        """Check what the reader gave, if it is a new attempt; keep what was opened."""
        given, before, self._before = change["new"], self._before, change["new"]
        if not given.get("attempts") and before.get("attempts"):
            self.progress.forget(self.question.id)
            self.feedback = {}
            return
        locked = isinstance(self.question, Predict) and (self.question.known or given.get("revealed"))
        if given.get("attempts", 0) != before.get("attempts", 0) and not isinstance(self.question, Task) and not locked:
            answer = given.get("answer")
            feedback = check(self.question, answer)
            self._say(feedback)
            self._keep(answer=_keepable(answer), kind=feedback.kind.value, attempts=given["attempts"])
        if given.get("hints", 0) > before.get("hints", 0) or (given.get("shown") and not before.get("shown")):
            self._keep(hints=int(given.get("hints", 0)), shown=bool(given.get("shown")))


def _keepable(answer: Any) -> Any:
    """Return an answer as it can be written and read again; None for what no form sends."""
    try:
        raw = json.dumps(answer, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
        return load_json(raw, "answer") if len(raw) <= _MAX_ANSWER else None
    except (TypeError, ValueError, RecursionError):
        return None
