"""How far a program gets with swapfiles of several sizes, and the compressed pool on the way.

>>> swapfile_sizes_chart(swapfile_sizes())  # doctest: +SKIP
>>> pool_chart(*pool_history())  # doctest: +SKIP

Each chart has `alt_text` in its layout's `meta`, and a table beside it (`sizes_table`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.figures.chart import DESIGN_LOOKS, chart_layout, gutter, heading, panel_axes, panels
from vswaplab.figures.palette import theme_named
from vswaplab.figures.tables import Table, table
from vswaplab.workloads.swapfile_sizes import PoolSample, SizeRow

__all__ = ["pool_chart", "sizes_table", "swapfile_sizes_chart"]

_HEIGHT = 260
_GUTTER = 96


def swapfile_sizes_chart(rows: Iterable[SizeRow], theme: str = "auto") -> go.Figure:
    """Return two panels: pages written before memory ran out; slots taken, and those of them that hold a page."""
    rows, colours = list(rows), theme_named(theme)
    (left, right), height = panels(1, 2, _HEIGHT, _GUTTER)
    sizes = sorted({row.swapfile_pages for row in rows})
    top = max((max(row.written, row.slots_used) for row in rows), default=1) * 1.06
    figure = go.Figure(layout=chart_layout(colours, height, _alt(rows)))
    written: list[tuple[float, str]] = []
    taken: list[tuple[float, str]] = []
    for design in dict.fromkeys(row.design for row in rows):
        look = DESIGN_LOOKS[design]
        own = [row for row in rows if row.design == design]
        lines = [(left, "written", f"{design}", look.dash, [row.written for row in own], written)]
        lines.append((right, "taken", f"{design}: taken", look.dash, [row.slots_used for row in own], taken))
        if any(row.slots_used != row.slots_holding for row in own):
            lines.append((right, "hold a page", f"{design}: in use", "dot", [row.slots_holding for row in own], taken))
        for panel, what, name, dash, values, labels in lines:
            figure.add_scatter(
                x=[row.swapfile_pages for row in own],
                y=values,
                mode="lines+markers",
                line={"color": colours.colour(look.hue), "dash": dash, "width": 2},
                marker={"symbol": look.symbol, "size": 8},
                hovertemplate=f"{design}, %{{x:,}} pages of swapfile<br>{what}: %{{y:,}}<extra></extra>",
                **panel.axes,
            )
            labels.append((float(values[-1]), name))
    x = {"range": [-0.03 * sizes[-1], sizes[-1] * 1.03], "title": {"text": "pages of swapfile", "font": {"size": 12}}}
    y = {"range": [0, top]}
    for panel, labels, title, note in (
        (left, written, "How far it got", "pages written before memory ran out"),
        (right, taken, "What became of the slots", "slots taken when it stopped, and those that hold a page"),
    ):
        figure.update_layout(panel_axes(panel, colours, x, y))
        figure.add_annotation(heading(panel, title, note))
        for trace in gutter(panel, labels, (0, top), colours):
            figure.add_scatter(**trace)
    return figure


def pool_chart(samples: Sequence[PoolSample], limit: int, threshold: int, theme: str = "auto") -> go.Figure:
    """Return the pool against its limit and its accept threshold, with the pages written back meanwhile."""
    colours = theme_named(theme)
    (top_panel, below), height = panels(2, 1, 200, 150)
    last = samples[-1].written if samples else 1
    begins = next((sample.written for sample in samples if sample.pool_pages), 0) * 0.9
    pool_top, back_top = limit * 1.15, max((sample.written_back for sample in samples), default=1) * 1.1 or 1
    alt = (
        f"Pages in the compressed pool while {last:,} pages are written. The limit is {limit:,} pages, the accept "
        f"threshold {threshold:,}. The pool is refusing pages at {sum(sample.refusing for sample in samples)} of "
        f"{len(samples)} samples; {samples[-1].written_back if samples else 0:,} pages are written back."
    )
    figure = go.Figure(layout=chart_layout(colours, height, alt))
    x = [sample.written for sample in samples]
    lines = (
        (top_panel, [sample.pool_pages for sample in samples], Backing.ZSWAP, "solid", "pool"),
        (top_panel, [limit] * len(x), Backing.SWAPFILE, "dash", "limit"),
        (top_panel, [threshold] * len(x), "pte", "dot", "accept threshold"),
        (below, [sample.written_back for sample in samples], Backing.SWAPFILE, "solid", "written back"),
    )
    for panel, values, hue, dash, name in lines:
        style = {"color": colours.colour(hue), "dash": dash, "width": 2}
        figure.add_scatter(x=x, y=values, mode="lines", line=style, name=name, hovertemplate="%{y:,}", **panel.axes)
    for panel, top, title, note, axis in (
        (top_panel, pool_top, "The compressed pool", "pages that it takes", {}),
        (
            below,
            back_top,
            "Write-back",
            "pages moved to the swapfile so far",
            {"title": {"text": "pages written", "font": {"size": 12}}},
        ),
    ):
        figure.update_layout(panel_axes(panel, colours, {"range": [begins, last], **axis}, {"range": [0, top]}))
        figure.add_annotation(heading(panel, title, note))
        labels = [(float(values[-1]), name) for where, values, _, _, name in lines if where is panel and values]
        for trace in gutter(panel, labels, (0, top), colours):
            figure.add_scatter(**trace)
    return figure


def _alt(rows: Sequence[SizeRow]) -> str:
    said = ["Pages written before memory ran out, by size of the swapfile."]
    for design in dict.fromkeys(row.design for row in rows):
        own = [row for row in rows if row.design == design]
        said.append(f"{design}: " + ", ".join(f"{row.written:,} with {row.swapfile_pages:,}" for row in own) + ".")
    return " ".join(said)


def sizes_table(rows: Iterable[SizeRow]) -> Table:
    """Return the runs as a table, with what stopped each."""
    return table(
        [
            {
                "design": row.design,
                "swapfile, pages": row.swapfile_pages,
                "written": row.written,
                "in zswap": row.in_zswap,
                "zero": row.zero,
                "slots taken": row.slots_used,
                "hold a page": row.slots_holding,
                "pool, pages": row.pool_pages,
                "stopped by": "" if row.finished else _reason(row),
            }
            for row in rows
        ],
        "The same pages on machines that differ in design and swapfile alone",
    )


def _reason(row: SizeRow) -> str:
    if row.swapfile_pages == 0:
        return "the pool's limit" if row.in_zswap else "no slot to take"
    return "no slot is free" if row.design == "legacy" else "the pool is full, and no slot is free"
