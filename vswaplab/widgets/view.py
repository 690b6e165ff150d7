"""View: a picture of our own in JupyterLab, drawn in the browser by the module that ``js/`` makes.

State is in traits only. `header` and `data` are sent once; moving about in what they say asks Python nothing. The same
traits, written into a page, give the same view without a kernel (`vswaplab.export`).

Where nothing can draw it (a notebook opened again without its kernel, a code forge, a reader without widgets) a view is
words: what it is, how it stood when its cell ran, and what to do. They are the same each time the notebook is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, ClassVar

import anywidget
import traitlets

from vswaplab.errors import SwapError
from vswaplab.widgets.esm import bundle, stylesheet

__all__ = ["WORDS_CLASS", "View"]

WORDS_CLASS = "vswaplab-words"
"""Class of the HTML that a view's words are."""


class View(anywidget.AnyWidget):
    """One view; `view` is its name in ``js/index.js``."""

    _esm = bundle()
    _css = stylesheet()

    named: ClassVar[str] = "View"
    """What the view is called where it can't be drawn."""
    again: str = "Run this cell again to play it."
    """What to do there."""

    view = traitlets.Unicode(help="Name of the view").tag(sync=True)
    header = traitlets.Dict(help="What the view shows, as JSON").tag(sync=True)
    data = traitlets.Bytes(b"", help="Columns that the header names").tag(sync=True)
    code = traitlets.Unicode("", help="The library calls behind the picture").tag(sync=True)

    def plain(self) -> dict[str, Any]:
        """Return the traits that a page without a kernel needs, by name; `data` is bytes."""
        names = set(self.trait_names(sync=True)) - set(anywidget.AnyWidget.class_trait_names())
        return {name: getattr(self, name) for name in sorted(names) if not name.startswith("_")}

    # -- in words ------------------------------------------------------------------------------------------------------

    def stands(self) -> str:
        """Say in a few words where the view stands; "" if it stands nowhere."""
        step, last = getattr(self, "step", None), getattr(self, "last", None)
        return "" if step is None or last is None else f"step {step} of {last}"

    def shows(self) -> Sequence[str]:
        """Return what the view shows, a paragraph each, and nothing that its reader has not seen."""
        return ()

    def words(self) -> list[str]:
        """Return the view in words, a paragraph each: its name and where it stands, what it shows, what to do."""
        try:
            shown = list(self.shows())
        except SwapError:  # the machine has gone on, and what was shown is no longer in its trace
            shown = []
        paragraphs = [self.title(), *filter(None, shown), self.again]
        return [_storable(paragraph) for paragraph in paragraphs]

    def title(self) -> str:
        """Return the name of the view and where it stands, in one sentence."""
        stands = self.stands()
        return f"{self.named}: {stands}." if stands else f"{self.named}."

    def __repr__(self) -> str:
        return self.title() if self.header else f"{self.named}, not made yet."

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return None
        first, *others = self.words()
        paragraphs = [f"<strong>{escape(first)}</strong>", *map(escape, others)]
        html = "".join(f"<p>{paragraph}</p>".replace("\n", "<br>") for paragraph in paragraphs)
        data, metadata = found
        return {
            **data,
            "text/plain": "\n".join([first, *others]),
            "text/html": f'<div class="{WORDS_CLASS}">{html}</div>',
        }, metadata


def _storable(text: str) -> str:
    """Return a text as a file can hold it: half of a surrogate pair, which a browser can send, becomes a mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
