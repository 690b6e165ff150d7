"""The ledger in bars: many designs at one usage, each split by structure.

>>> figure = ledger_bars(rows, usage=100, backend="zswap")  # doctest: +SKIP

`rows` are those of ``vswaplab overhead --json``, as for `vswaplab.figures.ledger_chart`; a dotted line marks the first
row's design, or lines those that `marked` names. `moving_ledger_bars` has a slider for the usage. `alt_text` says it in
words; the table twin is that of the ledger chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from vswaplab.errors import InvalidArgument
from vswaplab.figures.chart import GRID, chart_layout, with_slider
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.ledger_chart import PATTERN_LINES, STRUCTURE_LOOKS, UNKNOWN_LOOK
from vswaplab.figures.palette import Theme, theme_named

__all__ = ["alt_text", "ledger_bars", "moving_ledger_bars"]

Row = Mapping[str, Any]
_BAR, _TOP, _FOOT = 30, 40, 108


def ledger_bars(
    rows: Iterable[Row],
    usage: float = 100,
    backend: str | None = None,
    titles: Mapping[str, str] | None = None,
    theme: str = "auto",
    marked: Sequence[str] = (),
) -> go.Figure:
    """Return a bar for each design at one usage, split by structure, baselines marked by a line each.

    `backend` may be left out if all rows have the same; `titles` are longer names of designs; `marked` are the designs
    whose totals are marked, the first row's if it is empty. InvalidArgument if nothing is left to draw.
    """
    chosen = [row for row in rows if row["usage"] == usage and backend in (None, row["backend"])]
    if not chosen or len({row["backend"] for row in chosen}) > 1:
        raise InvalidArgument(f"Give rows of one backend at {usage:g} %, or choose it: backend='zswap'.")
    return _drawn(chosen, chosen, titles or {}, theme_named(theme), marked)


def moving_ledger_bars(
    rows: Iterable[Row],
    backend: str | None = None,
    titles: Mapping[str, str] | None = None,
    theme: str = "auto",
    marked: Sequence[str] = (),
) -> go.Figure:
    """Return the bars with a slider for the usage: a frame for each usage of the rows, on one scale.

    Arguments and errors are those of `ledger_bars`; all designs need the same usages.
    """
    chosen = [row for row in rows if backend in (None, row["backend"])]
    usages = sorted({row["usage"] for row in chosen})
    at = {usage: [row for row in chosen if row["usage"] == usage] for usage in usages}
    if len({row["backend"] for row in chosen}) != 1 or len({tuple(r["design"] for r in at[u]) for u in usages}) != 1:
        raise InvalidArgument("Give rows of one backend, and of each design at the same usages.")
    colours = theme_named(theme)
    return with_slider(
        {f"{usage:g} %": _drawn(at[usage], chosen, titles or {}, colours, marked) for usage in usages}, "Usage: "
    )


def _drawn(
    chosen: Sequence[Row], every: Sequence[Row], titles: Mapping[str, str], colours: Theme, marked: Sequence[str]
) -> go.Figure:
    """Draw bars of `chosen`, with the structures and on the scale of `every`."""
    baselines = [row for row in chosen if row["design"] in marked] or list(chosen[:1])
    names = [titles.get(row["design"], row["design"]) for row in chosen]
    totals = [sum(row["structures"].values()) for row in chosen]
    most = max(sum(row["structures"].values()) for row in every)
    structures = list(dict.fromkeys(name for row in every for name, mib in row["structures"].items() if mib))
    traces: list[Any] = [go.Bar(**_bar(name, names, chosen, colours)) for name in structures]
    traces.append(go.Scatter(**_bar_ends(names, totals, most, colours)))
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
            "range": [0, 1.02 * most],
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
            "text": f"<b>{chosen[0]['backend']}, {chosen[0]['usage']:g} % of {chosen[0]['slots']:,} slots in use</b>",
        }
    ]
    layout["shapes"] = [
        {
            "type": "line",
            "x0": total,
            "x1": total,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": colours.text, "width": 1.5, "dash": dash},
            "layer": "between",
        }
        for total, dash in zip((sum(row["structures"].values()) for row in baselines), cycle(("dot", "dash")))
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


def _bar_ends(names: Sequence[str], totals: Sequence[float], most: float, theme: Theme) -> dict[str, Any]:
    return {
        "x": [1.01 * most] * len(totals),
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
