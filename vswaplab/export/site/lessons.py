"""Lessons: an executed notebook as a source of the site, its views and charts turned into what a page can show."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from vswaplab.export.static_outputs import make_static, widget_models

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "CHART_TYPE",
    "LAB_PAGE",
    "READING_SPEED",
    "chart_html",
    "described",
    "lesson",
    "minutes_of",
    "reading_minutes",
]

CHART_TYPE = "application/vswaplab-chart+json"
"""Type of the script element that holds a chart until it is drawn."""
LAB_PAGE = "docs/site/lab"
"""The page that says how to start the lab."""
READING_SPEED = 200
"""Words a minute: technical prose."""

_LONG = 14  # lines of code that a page shows without folding them
_ROW = re.compile(r"^\|[^|\n]+\|\s*(\d+)\s*\|\s*$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9][\w'’-]*")
_HIDDEN = "The code of this question, with its answers"
_FOLDED = "The code"
_UNFOLDED = "Hide the code"


def chart_html(traces: Any, layout: Any, frames: Any = ()) -> str:
    """Return a chart as the element that the site's script draws once it comes near, with room kept for it.

    One with frames gets a slider that works by keyboard, which plotly's own does not.
    """
    figure = {"data": traces, "layout": layout, **({"frames": list(frames)} if frames else {})}
    text = json.dumps(figure, separators=(",", ":")).replace("</", "<\\/")
    alt = escape((layout.get("meta") or {}).get("alt", "A chart"), quote=True)
    wide, high = int(layout.get("width") or 990), int(layout.get("height") or 450)
    return (
        f'<figure class="vs-chart" data-width="{wide}" data-height="{high}">'
        f'<div class="vs-chart-box" role="img" aria-label="{alt}" style="height:{high}px"></div>'
        f'<script type="{CHART_TYPE}">{text}</script></figure>'
    )


def minutes_of(notebook: NotebookNode) -> int:
    """Return the minutes that the table at the notebook's head adds up to: with the questions."""
    return sum(int(minutes) for minutes in _ROW.findall(notebook.cells[0].source))


def reading_minutes(notebook: NotebookNode) -> int:
    """Return the minutes it takes to read the prose alone; at least 1."""
    words = sum(len(_WORD.findall(cell.source)) for cell in notebook.cells if cell.cell_type == "markdown")
    return max(1, round(words / READING_SPEED))


def lesson(executed: NotebookNode, name: str, about: str = "") -> NotebookNode:
    """Return the page of an executed notebook; `name` is its file's, without the suffix. `executed` stays as it is."""
    page = copy.deepcopy(executed)
    models = widget_models(page.metadata.pop("widgets", {}))
    for cell in page.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.get("outputs", []):
            if "data" in output:
                make_static(output["data"], models, chart_html)
                _only_html(output["data"])
        _fold(cell)
    page.cells[0:1] = _head(page, name, about)
    return page


def _only_html(data: dict[str, Any]) -> None:
    """Drop what a page doesn't show of an output that it has as HTML."""
    if "text/html" in data:
        for other in set(data) - {"text/html"}:
            del data[other]


def _fold(cell: NotebookNode) -> None:
    """Fold away code that would give an answer, code that would be a wall of text, and that of a computed sentence."""
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
    outputs = cell.get("outputs", [])
    speaks = outputs and all("text/markdown" in output.get("data", {}) for output in outputs)
    if not hidden and len(cell.source.splitlines()) <= _LONG and outputs and not speaks:
        return
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    prompt = _HIDDEN if hidden else _FOLDED
    cell.metadata["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": _UNFOLDED}


def _head(page: NotebookNode, name: str, about: str) -> list[NotebookNode]:
    """Return the first cell cut in two, with what a reader of a page wants to know between heading and text."""
    from nbformat.v4 import new_markdown_cell

    heading, _, rest = page.cells[0].source.partition("\n")
    minutes, reading = minutes_of(page), reading_minutes(page)
    line = (
        f'<p class="vs-about"><span>{reading} min to read, {minutes} with the questions</span>'
        f'<a href="../{LAB_PAGE}.html#{name}">Open this in the lab</a>'
        f'<a href="../_downloads/{name}.ipynb" download>Notebook</a></p>'
        '<p class="vs-note">Everything on this page has been run; nothing has to be run again. Pictures step and play '
        "here as they do in the lab, questions answer, and answers stay in this browser."
        f"{' ' + escape(about) if about else ''}</p>"
    )
    return [new_markdown_cell(f"{heading}\n\n{line}\n\n{rest.strip()}\n", id="title", metadata={})]


def described(notebooks: Mapping[str, NotebookNode]) -> list[dict[str, Any]]:
    """Return for each notebook by name what the front page says of it: name, title, first sentence, minutes."""
    found = []
    for name, notebook in notebooks.items():
        heading, _, rest = notebook.cells[0].source.partition("\n")
        first = re.split(r"(?<=[.?!])\s", rest.strip().replace("\n", " "), maxsplit=1)[0]
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first).replace("*", "")
        entry = {"name": name, "title": heading.removeprefix("# ").strip(), "sentence": plain[:1].upper() + plain[1:]}
        found.append({**entry, "minutes": minutes_of(notebook), "reading": reading_minutes(notebook)})
    return found
