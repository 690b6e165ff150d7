"""Charts: what all charts share, so that they look alike and say the same in words.

A chart is a row of panels or a grid of them on a transparent ground, of fixed size so that labels never run into each
other. Lines and bands are named at their ends, in the gutter to the right of a panel; `spread_labels` keeps these names
apart. Designs have a colour, a dash and a marker each (`DESIGN_LOOKS`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.palette import Theme

__all__ = [
    "DESIGN_LOOKS",
    "FONT",
    "GRID",
    "LABEL_GAP",
    "Look",
    "Panel",
    "chart_layout",
    "gutter",
    "heading",
    "panel_axes",
    "panels",
    "spread_labels",
    "with_slider",
]

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
GRID = "rgba(128,128,128,0.25)"
"""Grid lines, faint on any ground."""
LABEL_GAP = 15
"""Pixels from one label to the next at least."""
LEFT, FOOT = 60, 44
HEADING = 44
_AXIS = 44
_SLIDER = 78
_INSET = 44  # for the numbers beside the inner panels
_GUTTER_AXES = 50


@dataclass(frozen=True)
class Look:
    """How the lines of a design are drawn: `hue` as `Theme.colour` takes it."""

    hue: Backing | str
    dash: str
    symbol: str


DESIGN_LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "legacy": Look(Backing.SWAPFILE, "dash", "square"),
        "virtual": Look(Backing.ZSWAP, "solid", "circle"),
        "linux-7.2": Look(Backing.FOLIO, "dashdot", "diamond"),
    }
)
"""Lines of the two designs, everywhere, and of what mainline is since."""


@dataclass(frozen=True)
class Panel:
    """One panel: its axes by number, its edges as shares of the drawing, its size in pixels."""

    number: int
    left: float
    right: float
    bottom: float
    top: float
    width: float
    height: float
    gutter: float
    """Width of what is to its right."""

    @property
    def axes(self) -> dict[str, str]:
        """Names of its axes, as a trace takes them."""
        suffix = "" if self.number == 1 else str(self.number)
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}

    @property
    def gutter_axes(self) -> dict[str, str]:
        """Names of the hidden axes to its right: pixels from its edge, and its own y."""
        return {"xaxis": f"x{_GUTTER_AXES + self.number}", "yaxis": f"y{_GUTTER_AXES + self.number}"}


def panels(rows: int, columns: int, height: int, gutter_width: int) -> tuple[list[Panel], int]:
    """Return a grid of panels, row by row, and its height in pixels.

    Each panel is `height` pixels tall, has its gutter to the right, and all are equally wide. The drawing is `WIDTH`
    pixels wide, less the left margin.
    """
    inner = WIDTH - LEFT
    width = (inner - columns * gutter_width - (columns - 1) * _INSET) / columns
    tall = rows * (HEADING + height) + (rows - 1) * _AXIS
    found = []
    for row in range(rows):
        top = row * (HEADING + height + _AXIS) + HEADING
        for column in range(columns):
            left = column * (width + gutter_width + _INSET)
            found.append(
                Panel(
                    number=row * columns + column + 1,
                    left=left / inner,
                    right=(left + width) / inner,
                    bottom=1 - (top + height) / tall,
                    top=1 - top / tall,
                    width=width,
                    height=height,
                    gutter=gutter_width,
                )
            )
    return found, tall


def panel_axes(panel: Panel, theme: Theme, x: Mapping[str, Any], y: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layout's entries for the axes of a panel; `x` and `y` are what differs from the usual."""
    names = panel.axes
    common = {
        "fixedrange": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": GRID,
        "linecolor": theme.faint,
        "gridcolor": GRID,
        "tickfont": {"size": 11},
    }
    gutter_names, hidden = panel.gutter_axes, {"visible": False, "fixedrange": True}
    y_range = [math.log10(each) for each in y["range"]] if y.get("type") == "log" else y["range"]
    share = (panel.right - panel.left) / panel.width
    return {
        _entry(names["xaxis"]): {
            **common,
            "domain": [panel.left, panel.right],
            "anchor": names["yaxis"],
            "showline": True,
            "showgrid": False,
            **_axis(x),
        },
        _entry(names["yaxis"]): {
            **common,
            "domain": [panel.bottom, panel.top],
            "anchor": names["xaxis"],
            "ticks": "",
            "ticklabelstandoff": 4,
            **_axis(y),
        },
        _entry(gutter_names["xaxis"]): {
            **hidden,
            "domain": [panel.right, min(1.0, panel.right + panel.gutter * share)],
            "anchor": gutter_names["yaxis"],
            "range": [0, panel.gutter],
        },
        _entry(gutter_names["yaxis"]): {
            **hidden,
            "domain": [panel.bottom, panel.top],
            "anchor": gutter_names["xaxis"],
            "range": y_range,
        },
    }


def _entry(name: str) -> str:
    """Return the layout's entry for an axis: xaxis3 for x3."""
    return f"{name[0]}axis{name[1:]}"


def _axis(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return an axis as plotly takes it: the range of a logarithmic one in logarithms."""
    if given.get("type") != "log":
        return dict(given)
    return {**given, "range": [math.log10(each) for each in given["range"]]}


def chart_layout(theme: Theme, height: int, alt: str, foot: int = FOOT) -> dict[str, Any]:
    """Return the layout that all charts have; `height` is that of the drawing, `foot` the room below it."""
    return {
        "width": WIDTH,
        "height": height + foot,
        "margin": {"l": LEFT, "r": 0, "t": 0, "b": foot},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": theme.text},
        "hoverlabel": {"align": "left", "font": {"family": "monospace"}},
        "dragmode": False,
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "remove": ["select", "lasso"]},
        "showlegend": False,
        "meta": {"alt": alt},
    }


def heading(panel: Panel, title: str, note: str) -> dict[str, Any]:
    """Return the two lines above a panel as an annotation."""
    return {
        "xref": "paper",
        "yref": "paper",
        "x": panel.left,
        "y": panel.top,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 6,
        "showarrow": False,
        "align": "left",
        "text": f"<b>{escape(title, quote=False)}</b><br>{escape(note, quote=False)}",
        "font": {"size": 12},
    }


def gutter(
    panel: Panel, labels: Sequence[tuple[float, str]], y_range: tuple[float, float], theme: Theme, log: bool = False
) -> list[dict[str, Any]]:
    """Return the traces that name what ends at the right edge of a panel: thin lines, and the words they lead to.

    `labels` are (the y at which it ends, words); `y_range` is that of the panel. Words are kept apart.
    """
    if log:
        labels = [(math.log10(at), text) for at, text in labels]
        y_range = (math.log10(y_range[0]), math.log10(y_range[1]))
    unit = panel.height / (y_range[1] - y_range[0])
    wanted = [(y_range[1] - at) * unit for at, _ in labels]
    apart = [y_range[1] - pixel / unit for pixel in spread_labels(wanted, LABEL_GAP, 4, panel.height - 4)]
    xs: list[float | None] = []
    ys: list[float | None] = []
    for (at, _), shown in zip(labels, apart, strict=True):
        xs += [2, 12, None]
        ys += [at, shown, None]
    common = {"hoverinfo": "skip", "showlegend": False, **panel.gutter_axes}
    return [
        {"x": xs, "y": ys, "mode": "lines", "line": {"color": theme.text, "width": 0.8}, **common},
        {
            "x": [15] * len(labels),
            "y": apart,
            "text": [text for _, text in labels],
            "mode": "text",
            "textposition": "middle right",
            "textfont": {"size": 11, "color": theme.text},
            "cliponaxis": False,
            **common,
        },
    ]


def spread_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places as near to `wanted` as can be, `gap` apart and inside `low` to `high` if they fit there.

    The order stays. Places that would collide are moved apart about their middle.

    >>> spread_labels([10, 11, 40], 10, 0, 100)
    [5.5, 15.5, 40.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[list[float]] = []  # [sum of wanted middles, members]
    for i in order:
        groups.append([wanted[i], 1])
        while len(groups) > 1 and _first(groups[-1], gap, low, high) < _last(groups[-2], gap, low, high) + gap:
            total, members = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + members]
    places = [0.0] * len(wanted)
    flat = [_first(group, gap, low, high) + rank * gap for group in groups for rank in range(int(group[1]))]
    for i, place in zip(order, flat, strict=True):
        places[i] = float(place)
    return places


def _first(group: Sequence[float], gap: float, low: float, high: float) -> float:
    length = (group[1] - 1) * gap
    return max(low, min(high - length, group[0] / group[1] - length / 2))


def _last(group: Sequence[float], gap: float, low: float, high: float) -> float:
    return _first(group, gap, low, high) + (group[1] - 1) * gap


def with_slider(figures: Mapping[str, go.Figure], prefix: str) -> go.Figure:
    """Return one figure with a slider that goes through `figures`, by their labels; the last is shown first.

    They must be alike but for data, title, marks and alternative text: the same traces in the same order. `prefix`
    stands before the label. InvalidArgument if they differ in their traces.
    """
    drawn = list(figures.values())
    if not drawn or len({tuple((trace.type, trace.name) for trace in figure.data) for figure in drawn}) != 1:
        raise InvalidArgument("A slider goes through figures with the same traces; give at least one.")
    frames = [
        go.Frame(
            name=label,
            data=figure.data,
            layout={
                "annotations": figure.layout.annotations,
                "shapes": figure.layout.shapes,
                "meta": figure.layout.meta,
            },
        )
        for label, figure in figures.items()
    ]
    whole = go.Figure(data=drawn[-1].data, layout=drawn[-1].layout, frames=frames)
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": label, "method": "animate", "args": [[label], at_once]} for label in figures]
    slider = {"active": len(steps) - 1, "steps": steps, "currentvalue": {"prefix": prefix}, "len": 0.5, "x": 0}
    whole.update_layout(
        height=whole.layout.height + _SLIDER,
        sliders=[{**slider, "y": 1, "yanchor": "bottom", "pad": {"t": 0, "b": whole.layout.margin.t, "l": 12}}],
    )
    return whole
