"""The ledger in bars: many designs at one usage, each split by structure.

>>> figure = ledger_bars(rows, usage=100, backend="zswap")  # doctest: +SKIP

`rows` are those of ``vswaplab overhead --json``, as for `vswaplab.figures.ledger_chart`; a dotted line marks the first
row's design. `alt_text` says it in words; the table twin is that of the ledger chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from vswaplab.errors import InvalidArgument
from vswaplab.figures.chart import GRID, chart_layout
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.ledger_chart import PATTERN_LINES, STRUCTURE_LOOKS, UNKNOWN_LOOK
from vswaplab.figures.palette import Theme, theme_named

__all__ = ["alt_text", "ledger_bars"]

Row = Mapping[str, Any]
_BAR, _TOP, _FOOT = 30, 40, 108


def ledger_bars(
    rows: Iterable[Row],
    usage: float = 100,
    backend: str | None = None,
    titles: Mapping[str, str] | None = None,
    theme: str = "auto",
) -> go.Figure:
    """Return a bar for each design at one usage, split by structure, the first row's design marked by a line.

    `backend` may be left out if all rows have the same; `titles` are longer names of designs. InvalidArgument if
    nothing is left to draw.
    """
    colours = theme_named(theme)
    chosen = [row for row in rows if row["usage"] == usage and backend in (None, row["backend"])]
    if not chosen or len({row["backend"] for row in chosen}) > 1:
        raise InvalidArgument(f"Give rows of one backend at {usage:g} %, or choose it: backend='zswap'.")
    names = [(titles or {}).get(row["design"], row["design"]) for row in chosen]
    totals = [sum(row["structures"].values()) for row in chosen]
    structures = list(dict.fromkeys(name for row in chosen for name, mib in row["structures"].items() if mib))
    traces: list[Any] = [go.Bar(**_bar(name, names, chosen, colours)) for name in structures]
    traces.append(go.Scatter(**_bar_ends(names, totals, colours)))
    height = _BAR * len(chosen) + _TOP
    layout = chart_layout(colours, height, alt_text(chosen, titles), foot=_FOOT)
    left = 12 + round(6.6 * max(len(name) for name in names))
    layout.update(
        margin={"l": 0, "r": 0, "t": _TOP, "b": _FOOT},
        barmode="stack",
        bargap=0.25,
        showlegend=True,
        legend={
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "itemclick": False,
            "itemdoubleclick": False,
            "traceorder": "normal",
            "entrywidth": 118,
        },
        xaxis={
            "domain": [left / WIDTH, 1 - 96 / WIDTH],
            "range": [0, 1.02 * max(totals)],
            "gridcolor": GRID,
            "zeroline": False,
            "fixedrange": True,
            "ticksuffix": " MiB",
            "showticksuffix": "last",
            "linecolor": colours.faint,
        },
        yaxis={"autorange": "reversed", "fixedrange": True, "ticklabelstandoff": 6},
        hovermode="closest",
    )
    layout["annotations"] = [
        {
            "xref": "paper",
            "yref": "paper",
            "x": left / WIDTH,
            "y": 1,
            "yshift": 8,
            "yanchor": "bottom",
            "xanchor": "left",
            "showarrow": False,
            "text": f"<b>{chosen[0]['backend']}, {usage:g} % of {chosen[0]['slots']:,} slots in use</b>",
        }
    ]
    layout["shapes"] = [
        {
            "type": "line",
            "x0": totals[0],
            "x1": totals[0],
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": colours.text, "width": 1.5, "dash": "dot"},
            "layer": "between",
        }
    ]
    return go.Figure(data=traces, layout=layout)


def _bar(name: str, names: Sequence[str], rows: Sequence[Row], theme: Theme) -> dict[str, Any]:
    hue, pattern = STRUCTURE_LOOKS.get(name, UNKNOWN_LOOK)
    return {
        "x": [row["structures"].get(name, 0.0) for row in rows],
        "y": list(names),
        "orientation": "h",
        "name": name,
        "marker": {
            "color": theme.colour(hue),
            "line": {"width": 0},
            "pattern": {
                "shape": pattern,
                "fillmode": "overlay",
                "fgcolor": PATTERN_LINES,
                "size": 7,
                "solidity": 0.25,
            },
        },
        "hovertemplate": f"{name}: %{{x:,.2f}} MiB<extra>%{{y}}</extra>",
    }


def _bar_ends(names: Sequence[str], totals: Sequence[float], theme: Theme) -> dict[str, Any]:
    return {
        "x": [1.01 * max(totals)] * len(totals),
        "y": list(names),
        "mode": "text",
        "text": [f"\u2002<b>{total:,.2f} MiB</b>" for total in totals],
        "textposition": "middle right",
        "textfont": {"size": 12, "color": theme.text},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def alt_text(rows: Iterable[Row], titles: Mapping[str, str] | None = None) -> str:
    """Return the bars in a few sentences, for those who do not see them."""
    rows = list(rows)
    parts = [
        f"{(titles or {}).get(row['design'], row['design'])}: {sum(row['structures'].values()):,.2f} MiB"
        for row in rows
    ]
    where = f" on {rows[0]['backend']} at {rows[0]['usage']:g} % of {rows[0]['slots']:,} slots" if rows else ""
    return f"Metadata of {len(rows)} designs{where}, in bars split by structure. {'; '.join(parts)}."
