"""The slot graph: page table entries, slots and what backs them, as one plotly figure, for either design.

>>> figure = slot_graph_figure(machine.snapshot())  # doctest: +SKIP

Hover over a mark for the descriptor's fields (legacy: for what each array says of the slot) by the kernel's names.
Colour and shape both tell the backing. In the legacy design every slot that is taken has its block on the device in
the last column, hollow while something else has the contents. The ground is transparent, the axes are hidden and fixed.
`alt_text`, `text_twin` and `show_code` go with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from html import escape
from typing import Any

import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.figures.layout import WIDTH, SlotLayout, Universe
from vswaplab.figures.palette import SHAPES, Theme, theme_named
from vswaplab.figures.scene import Edge, Mark, Scene, alt_text, make_scene, text_twin
from vswaplab.observe.labels import Labels
from vswaplab.observe.snapshot import Snapshot
from vswaplab.observe.state import State, StateDiff

__all__ = ["alt_text", "show_code", "slot_graph_figure", "text_twin", "trace_updates"]

_MARGIN = {"l": 0, "r": 0, "t": 4, "b": 36}
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_LOOKS: tuple[tuple[Backing | str, str], ...] = (
    ("present", "PTE, present"),
    ("swapped", "PTE, swapped out"),
    (Backing.ZSWAP, "zswap"),
    (Backing.ZERO, "zero page"),
    (Backing.SWAPFILE, "swapfile"),
    (Backing.FOLIO, "folio in memory"),
    ("none", "not allocated"),
)
_LEGACY_LOOKS: tuple[tuple[Backing | str, str], ...] = (
    *((look, "on the device" if look is Backing.SWAPFILE else name) for look, name in _LOOKS[:-1]),
    ("reserved", "slot taken, block unused"),
    _LOOKS[-1],
)
_EDGES: tuple[tuple[str, Backing | str], ...] = (
    ("pte", "pte"),
    ("backing", Backing.ZSWAP),
    ("backing", Backing.ZERO),
    ("backing", Backing.SWAPFILE),
    ("backing", Backing.FOLIO),
    ("swapcache", Backing.FOLIO),
    ("rmap", Backing.SWAPFILE),
)
_DASH = {"pte": "solid", "backing": "solid", "swapcache": "dot", "rmap": "dash"}
_BEND = 20
_FEW = 8
"""So many changes are drawn boldly; more of them would cover the picture."""


def slot_graph_figure(
    shown: State | Snapshot,
    highlight: StateDiff | None = None,
    theme: str = "auto",
    max_nodes: int = 2048,
    layout: SlotLayout | None = None,
) -> go.Figure:
    """Return the slot graph of a state or a snapshot.

    `highlight` rings what changed, `theme` is "auto" (any ground), "light" or "dark". `layout` keeps the places of
    another figure. InvalidArgument if a column would hold more than `max_nodes` things.
    """
    state = shown if isinstance(shown, State) else shown.state
    labels = Labels() if isinstance(shown, State) else shown.labels
    places = layout if layout is not None else SlotLayout(Universe.of_states([state]), max_nodes)
    scene = make_scene(shown.graph() if isinstance(shown, State) else shown.graph, places, highlight, labels)
    colours = theme_named(theme)
    figure = go.Figure(
        data=[go.Scatter(**each) for each in _traces(scene, colours)],
        layout=_layout(scene, colours),
    )
    figure.layout.meta = {"alt": alt_text(state)}
    return figure


def trace_updates(scene: Scene, theme: str = "auto") -> list[dict[str, Any]]:
    """Return the traces of the figure for a scene, in their fixed order, to update a figure in place."""
    return _traces(scene, theme_named(theme))


def show_code(pid: int | None = None) -> str:
    """Return the library calls that draw the figure."""
    chosen = f", pid={pid}" if pid is not None else ""
    return (
        "from vswaplab.figures.slot_graph import alt_text, slot_graph_figure, text_twin\n"
        "snapshot = machine.snapshot()\n"
        "slot_graph_figure(snapshot)                    # this picture\n"
        "snapshot.graph, snapshot.tables                # what it is drawn from\n"
        "alt_text(snapshot.state)                       # in words\n"
        f"vswaplab.widgets.Stepper(machine{chosen})        # every step of it\n"
    )


# -- traces: a fixed list, so that a FigureWidget can be updated in place ----------------------------------------


def _traces(scene: Scene, theme: Theme) -> list[dict[str, Any]]:
    looks = _LEGACY_LOOKS if scene.layout.design == "legacy" else _LOOKS
    return [
        _empty_places(scene, theme),
        *(_edge_trace(scene, theme, kind, backing) for kind, backing in _EDGES),
        _changed_edges(scene, theme),
        _rings(scene, theme),
        *(_mark_trace(scene, theme, look, name) for look, name in looks),
        _heading_trace(scene, theme),
    ]


def _empty_places(scene: Scene, theme: Theme) -> dict[str, Any]:
    taken = {(mark.x, mark.y) for mark in scene.marks}
    all_places = (each for block in scene.layout.blocks for each in block.places.items())
    places = [place for key, place in all_places if key != ("folio", -1) and (place.x, place.y) not in taken]
    return _points(places, size=max(3.0, scene.layout.mark / 3), color=theme.faint, symbol="circle")


def _points(places: Iterable[Any], **marker: Any) -> dict[str, Any]:
    places = list(places)
    return {
        "x": [place.x for place in places],
        "y": [place.y for place in places],
        "mode": "markers",
        "marker": {"line": {"width": 0}, **marker},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _rings(scene: Scene, theme: Theme) -> dict[str, Any]:
    changed = [mark for mark in scene.marks if mark.changed]
    ring = _points(
        changed,
        size=scene.layout.mark + (9 if len(changed) <= _FEW else 4),
        color=theme.highlight,
        symbol="circle-open",
    )
    ring["marker"]["line"] = {"width": 3 if len(changed) <= _FEW else 1.5}
    return ring


def _edge_trace(scene: Scene, theme: Theme, kind: str, backing: Backing | str) -> dict[str, Any]:
    edges = [edge for edge in scene.edges if edge.kind == kind and _colour_key(edge) == backing]
    dense = not scene.layout.full_labels
    opacity = (0.22 if kind == "backing" else 0.16) if dense else 0.75
    return _lines(edges, theme.colour(backing), 1.0 if dense else 1.4, opacity, _DASH[kind])


def _colour_key(edge: Edge) -> Backing | str:
    return "pte" if edge.kind == "pte" else edge.backing


def _changed_edges(scene: Scene, theme: Theme) -> dict[str, Any]:
    edges = [edge for edge in scene.edges if edge.changed]
    few = len(edges) <= _FEW
    return _lines(edges, theme.highlight, 3.0 if few else 1.2, 0.95 if few else 0.5, "solid")


def _lines(edges: list[Edge], colour: str, width: float, opacity: float, dash: str) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    bend = _BEND if len(edges) <= 128 else _BEND // 2
    for edge in edges:
        for i in range(bend + 1):
            x, y = _bezier(edge, i / bend)
            xs.append(x)
            ys.append(y)
        xs.append(None)
        ys.append(None)
    return {
        "x": xs,
        "y": ys,
        "mode": "lines",
        "line": {"color": colour, "width": width, "dash": dash},
        "opacity": opacity,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _bezier(edge: Edge, t: float) -> tuple[float, float]:
    """Return a point of the curve: it leaves level, and arrives level or (`down`) from above."""
    (x0, y0), (x3, y3) = edge.start, edge.end
    if edge.down:
        (x1, y1), (x2, y2) = (x0 + max(-70.0, min(70.0, x3 - x0)), y0), (x3, y3 - (y3 - y0) * 0.6)
    else:
        (x1, y1), (x2, y2) = (x0 + (x3 - x0) / 2, y0), (x3 - (x3 - x0) / 2, y3)
    a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
    return round(a * x0 + b * x1 + c * x2 + d * x3, 1), round(a * y0 + b * y1 + c * y2 + d * y3, 1)


def _mark_trace(scene: Scene, theme: Theme, look: Backing | str, name: str) -> dict[str, Any]:
    marks = [mark for mark in scene.marks if mark.look == look]
    layout, colour = scene.layout, theme.colour(look)
    named = look != "none"
    # A point that is nowhere keeps the legend the same at every step.
    nowhere: list[None] = [None] if named else []
    return {
        "x": [*(mark.x for mark in marks), *nowhere],
        "y": [*(mark.y for mark in marks), *nowhere],
        "mode": "markers+text",
        "text": [f"\u2002{mark.label}\u2002" if mark.label else "" for mark in marks],
        "textposition": ["middle left" if _label_left(mark, scene) else "middle right" for mark in marks],
        "textfont": {"size": layout.font, "color": theme.text},
        "hovertext": [mark.hover for mark in marks],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {
            "size": [round(layout.mark * mark.scale, 1) for mark in marks] or layout.mark,
            "color": colour,
            "opacity": 1,  # plotly draws marks of several sizes see-through unless told
            "symbol": SHAPES[look],
            "line": {"width": _outline(look, layout)},
        },
        "name": name,
        "showlegend": named,
        "cliponaxis": False,
    }


def _outline(look: Backing | str, layout: SlotLayout) -> float:
    if look == "reserved":  # what is not there must not outshine what is
        return 1.5 if layout.labelled else 1.0
    return 2 if SHAPES[look].endswith("-open") else 0


def _label_left(mark: Mark, scene: Scene) -> bool:
    return mark.node[0] == "pte" and scene.layout.full_labels


def _heading_trace(scene: Scene, theme: Theme) -> dict[str, Any]:
    rows: dict[str, list[Any]] = defaultdict(list)
    for heading in scene.headings:
        beside = heading.side == "left"
        rows["x"].append(heading.x - (36 if beside else 0 if heading.side == "end" else scene.layout.mark / 2))
        rows["y"].append(heading.y + 14)
        rows["text"].append(f"<b>{escape(heading.text)}</b><br>{escape(heading.note)}")
        rows["textposition"].append("middle right" if heading.side == "over" else "middle left")
    return {
        **rows,
        "mode": "text",
        "textfont": {"size": 12, "color": theme.text},
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def _layout(scene: Scene, theme: Theme) -> dict[str, Any]:
    height = scene.layout.height
    hidden = {"visible": False, "fixedrange": True}
    return {
        "width": WIDTH,  # fixed: then labels never run into each other
        "height": int(height) + _MARGIN["t"] + _MARGIN["b"],
        "margin": _MARGIN,
        "xaxis": {**hidden, "range": [0, WIDTH]},
        "yaxis": {**hidden, "range": [height, 0]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": theme.text},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yanchor": "top",
            "itemclick": False,
            "itemdoubleclick": False,
            "itemsizing": "constant",
        },
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "font": {"family": "monospace"}},
        "dragmode": False,
    }
