"""Published measurements side by side: how much worse or better than its base each version was, with the noise.

>>> benchmarks_chart(row for row in published_benchmarks() if row.posted == "v6")  # doctest: +SKIP

One line for each test and measure, one mark for each version. To the right of zero is worse, whichever way the measure
runs. The bar is two standard errors to each side where rounds and spread were published: if it crosses zero, the
difference may be chance. `alt_text` is in the layout's `meta`; `benchmarks_table` says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.figures.chart import GRID, LEFT, chart_layout
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.palette import theme_named
from vswaplab.figures.tables import Table, table
from vswaplab.workloads.published_benchmarks import Comparison

__all__ = ["alt_text", "benchmarks_chart", "benchmarks_table"]

_LINE = 30
_NAMES = 300
"""Pixels for the names of tests, to the left."""
_LOOKS: tuple[tuple[Backing | str, str], ...] = (
    (Backing.SWAPFILE, "square"),
    (Backing.ZSWAP, "circle"),
    (Backing.FOLIO, "diamond"),
    ("pte", "triangle-up"),
)


def _name(row: Comparison) -> str:
    return f"{row.test}: {row.measure}"


def benchmarks_chart(rows: Iterable[Comparison], theme: str = "auto") -> go.Figure:
    """Return a dot for each comparison by test and measure, with two standard errors to each side where known."""
    found, colours = list(rows), theme_named(theme)
    names = list(dict.fromkeys(_name(row) for row in found))
    versions = list(dict.fromkeys(f"{row.variant} [{row.tag}]" for row in found))
    layout = chart_layout(colours, _LINE * max(1, len(names)) + 40, alt_text(found), foot=52)
    layout["margin"] = {**layout["margin"], "l": _NAMES}
    layout |= {"showlegend": True, "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"}}
    figure = go.Figure(layout=layout)
    figure.add_vline(x=0, line={"color": colours.text, "width": 1})
    for at, version in enumerate(versions):
        own = [row for row in found if f"{row.variant} [{row.tag}]" == version]
        hue, symbol = _LOOKS[at % len(_LOOKS)]
        bars = [2 * row.standard_error if row.standard_error else 0.0 for row in own]
        figure.add_scatter(
            x=[row.worse for row in own],
            y=[names.index(_name(row)) + 0.22 * (at - (len(versions) - 1) / 2) for row in own],
            mode="markers",
            name=version,
            marker={"color": colours.colour(hue), "symbol": symbol, "size": 9},
            error_x={"type": "data", "array": bars, "color": colours.colour(hue), "thickness": 1.5, "width": 4},
            customdata=[_words(row) for row in own],
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.update_xaxes(
        title={"text": "worse than its base, %  (below 0: better)", "font": {"size": 12}},
        gridcolor=GRID,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    figure.update_layout(width=WIDTH + LEFT)
    return figure


def _words(row: Comparison) -> str:
    noise = "spread not published" if row.noise is None else f"{row.noise:.1f} standard errors"
    return (
        f"{row.posted} [{row.tag}], {_name(row)}<br>{row.base} {row.base_mean:,.10g}, {row.variant} {row.mean:,.10g} "
        f"{row.unit}<br>{row.percent:+.1f} %: {noise}"
    )


def alt_text(rows: Sequence[Comparison]) -> str:
    """Return the chart in words: how many are worse, and which of them by more than two standard errors."""
    worse = [row for row in rows if row.worse > 0]
    sure = [row for row in rows if row.noise is not None and row.noise > 2]
    said = [f"{len(rows)} published comparisons; {len(worse)} are worse than their base."]
    said += [f"{row.variant}, {_name(row)}: {row.percent:+.1f} %, {row.noise:.1f} standard errors." for row in sure]
    return " ".join(said if sure else [*said, "None is beyond two standard errors."])


def benchmarks_table(rows: Iterable[Comparison]) -> Table:
    """Return the comparisons as a table, with the noise where it can be told."""
    return table(
        [
            {
                "source": f"{row.posted} [{row.tag}]",
                "test": row.test,
                "measure": f"{row.measure}, {row.unit}",
                "base": f"{row.base_mean:,.10g}",
                "measured": f"{row.mean:,.10g}",
                "difference": f"{row.percent:+.1f} %",
                "is": "worse" if row.worse > 0 else "better",
                "standard errors": "" if row.noise is None else f"{row.noise:.1f}",
            }
            for row in rows
        ],
        "As published; standard errors where rounds and spread were given",
    )
