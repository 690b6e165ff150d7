"""Tables: rows of plain values as they stand in a notebook, and as text.

>>> print(table([{"design": "legacy", "pages": 2048}, {"design": "virtual", "pages": 12}], "Pages out"))
Pages out
design   pages
legacy   2,048
virtual     12

A number is shown with its thousands apart and stands to the right, words stand to the left. A float has two decimals;
whoever wants others gives the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Table", "html_table", "table"]

_NUMBER = re.compile(r"[-+\u2212]?[\d,]*\.?\d+ ?(%|B|MiB|KiB|ms|s)?")


@dataclass(frozen=True)
class Table:
    """Cells as text, a caption above them; a notebook shows it as HTML, `print` as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    summary: str = ""
    """If given, the table is folded away under these words."""

    def folded(self, summary: str = "The same as a table") -> Table:
        """Return the same table folded away: only `summary` shows until it is opened."""
        return Table(self.columns, self.rows, self.caption, summary)

    def _right(self) -> list[bool]:
        """Return which columns hold numbers alone."""
        return [
            any(row[at] for row in self.rows) and all(not row[at] or _NUMBER.fullmatch(row[at]) for row in self.rows)
            for at in range(len(self.columns))
        ]

    def html(self) -> str:
        """Return the table as HTML."""
        html = html_table(self.columns, self.rows, self.caption, self._right())
        return f"<details><summary>{escape(self.summary)}</summary>{html}</details>" if self.summary else html

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        cells = [self.columns, *self.rows]
        widths = [max(len(row[at]) for row in cells) for at in range(len(self.columns))]
        right = self._right()
        lines = [
            "  ".join(
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.caption, *lines])


def table(rows: Iterable[Mapping[str, Any]], caption: str) -> Table:
    """Return rows as a `Table`: a column for each key, in the order in which keys first occur; None leaves a gap."""
    rows = list(rows)
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(columns, tuple(tuple(_text(row.get(key)) for key in columns) for row in rows), caption)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def html_table(
    columns: Iterable[str], rows: Iterable[Iterable[object]], caption: str, right: Iterable[bool] | None = None
) -> str:
    """Return an HTML table; the first cell of a row is its heading, `right` says which columns stand to the right."""
    columns = list(columns)
    flush = [True] * len(columns) if right is None else list(right)
    style = ["text-align:right" if each else "text-align:left" for each in flush]
    head = "".join(
        f'<th scope="col" style="{how}">{escape(cell)}</th>' for cell, how in zip(columns, style, strict=True)
    )
    body = []
    for row in rows:
        first, *rest = (escape(str(cell)) for cell in row)
        cells = "".join(f'<td style="{how}">{cell}</td>' for cell, how in zip(rest, style[1:], strict=True))
        body.append(f'<tr><th scope="row" style="{style[0]};font-weight:normal">{first}</th>{cells}</tr>')
    return (
        f'<table><caption style="text-align:left">{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
