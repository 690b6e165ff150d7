"""Questions as views: a form, feedback, hints, a solution; and what a run says of a prediction.

What is asked and how it is checked comes as plain data (`vswaplab.lab` makes it). `given` is what the reader did, and
`feedback` what the kernel says of it; on a page without a kernel ``js/checking.js`` says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
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


class QuestionView(View):
    """One question. `header` has id, prompt, hints, solution, rules and words; themes are added here."""

    given = traitlets.Dict(help="Answer, attempts, hints and solution opened").tag(sync=True)
    feedback = traitlets.Dict(help="The kernel's word on an attempt").tag(sync=True)

    def __init__(self, header: Mapping[str, Any], **traits: Any) -> None:
        super().__init__(view="question", header={**header, "themes": kind_colours()}, **traits)


class VerdictView(View):
    """What a run says of a prediction, or what running the checks of a task gave."""

    feedback = traitlets.Dict(help="What is said").tag(sync=True)

    def __init__(self, header: Mapping[str, Any], feedback: Mapping[str, Any]) -> None:
        super().__init__(view="verdict", header={**header, "themes": kind_colours()}, feedback=dict(feedback))
