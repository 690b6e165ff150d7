"""Predictions: say what will happen before you run it.

The choice is recorded with a button and can't be changed afterwards; `check`, called after the run, answers it, with a
message of its own for each wrong choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import ipywidgets
import traitlets

from vswaplab.errors import InvalidArgument

__all__ = ["Prediction"]


class Prediction(ipywidgets.VBox):
    """One question with choices; `messages` says for each choice what to think of it, once the answer is known.

    `recorded` is the choice recorded, or "" before that.
    """

    recorded = traitlets.Unicode("", help="The choice that was recorded")

    def __init__(self, question: str, messages: Mapping[str, str]) -> None:
        self.messages = dict(messages)
        self.question = ipywidgets.HTML(f"<b>{escape(question)}</b>")
        self.choices = ipywidgets.RadioButtons(
            options=list(self.messages), value=None, layout=ipywidgets.Layout(width="auto")
        )
        self.record = ipywidgets.Button(
            description="Record my prediction", tooltip="Record the choice, then run on", disabled=True
        )
        self.record.layout = ipywidgets.Layout(width="auto", align_self="flex-start")
        self.result = ipywidgets.HTML()
        self.choices.observe(self._chosen, "value")
        self.record.on_click(lambda _: self._record())
        super().__init__(children=[self.question, self.choices, self.record, self.result])
        self.add_class("vswaplab-prediction")

    def _chosen(self, _: dict[str, object]) -> None:
        self.record.disabled = self.choices.value is None or bool(self.recorded)

    def _record(self) -> None:
        if self.choices.value is None or self.recorded:
            return
        self.recorded = self.choices.value
        self.choices.disabled = self.record.disabled = True
        self.result.value = '<div role="status">Recorded. Run the next cell to see.</div>'

    def check(self, answer: str) -> str:
        """Return (and show) what to think of the recorded choice, now that the run gave `answer`."""
        if answer not in self.messages:
            raise InvalidArgument(f"{answer!r} is not one of the choices: {', '.join(self.messages)}.")
        if not self.recorded:
            said = f"No prediction was recorded. The run says: {answer}. {self.messages[answer]}"
        elif self.recorded == answer:
            said = f"As you predicted: {answer}. {self.messages[answer]}"
        else:
            said = f"You predicted: {self.recorded}. The run says: {answer}. {self.messages[self.recorded]}"
        self.choices.disabled = self.record.disabled = True
        self.result.value = f'<div role="status">{escape(said)}</div>'
        return said
