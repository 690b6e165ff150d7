"""Transitions between backings over a run, as a Sankey diagram: how many entries went from what to what in each phase.

>>> transitions_sankey(machine)  # doctest: +SKIP

A column of nodes stands at each boundary of phases (`Machine.mark` names them): what backs the entries there. A link is
the entries that a phase led from one node to another, by where they were when it began and when it ended; what they
were in between is the business of the state machine (`vswaplab.widgets.StateMachine`). Each allocation counts once: an
entry that was freed and taken again is another one. Entries taken during a phase come from "not allocated", entries
freed go to "freed", which end there; what enters any other node leaves it.

A phase in which no backing changes has no links of its own. Of more than `MAX_PHASES`, neighbours are joined.
`transitions_table` is the same as a table, `alt_text` in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event
from vswaplab.figures.chart import chart_layout
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.palette import Theme, theme_named
from vswaplab.figures.tables import Table, table
from vswaplab.observe.tracepoints import Trace

__all__ = [
    "FREED",
    "MAX_PHASES",
    "NODES",
    "NOT_ALLOCATED",
    "PhaseFlow",
    "alt_text",
    "phase_flows",
    "show_code",
    "text_twin",
    "transitions_sankey",
    "transitions_table",
]

Array = npt.NDArray[Any]
NOT_ALLOCATED, FREED = "not allocated", "freed"
NODES = (NOT_ALLOCATED, "FOLIO", "ZERO", "ZSWAP", "SWAPFILE", FREED)
"""Nodes of a column, from the top."""
MAX_PHASES = 6

_BEFORE = "before the first mark"
_WHOLE = "the whole run"
_SIGNS: Mapping[str, str] = MappingProxyType(
    {"FOLIO": "\u25cf ", "ZERO": "\u25cb ", "ZSWAP": "\u25c6 ", "SWAPFILE": "\u25a0 "}
)
"""The marks of `vswaplab.figures.palette.SHAPES` as letters: shape as well as colour."""
_HEIGHT, _TOP, _SIDE, _FOOT = 400, 40, 12, 16
_PAD, _THICK = 22, 16
_PATTERNS: Mapping[str, str] = MappingProxyType({"FOLIO": "|", "ZERO": "/", "ZSWAP": "\\", "SWAPFILE": "-", FREED: "x"})
_FILLED: Mapping[str, Any] = MappingProxyType(
    {
        "mode": "lines",
        "fill": "toself",
        "hoveron": "fills",
        "hoverinfo": "text",
        "showlegend": False,
    }
)


@dataclass(frozen=True)
class PhaseFlow:
    """What one phase did: entries by (node when it began, node when it ended)."""

    label: str
    links: Mapping[tuple[str, str], int]

    @property
    def begins(self) -> dict[str, int]:
        """Entries in each node that links leave."""
        return _sums(self.links, 0)

    @property
    def ends(self) -> dict[str, int]:
        """Entries in each node that links reach."""
        return _sums(self.links, 1)


def _sums(links: Mapping[tuple[str, str], int], end: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for at, nr in links.items():
        found[at[end]] += nr
    return {name: found[name] for name in NODES if found[name]}


def phase_flows(source: Any) -> list[PhaseFlow]:
    """Return what each phase of a machine's trace (or of a `Trace`) did, those that changed a backing.

    O(records). InvalidArgument without a trace, or if no entry was ever allocated in it.
    """
    trace = getattr(source, "trace", source)
    if not isinstance(trace, Trace):
        raise InvalidArgument("There is no trace to draw: make the Machine with tracing on.")
    log = trace.records()
    places = np.flatnonzero(np.isin(log["event"], (Event.ALLOC, Event.FREE, Event.BACKING)))
    backing = {entry: slot.backing.name for entry, slot in trace.step(trace.first - 1).slots.items()}
    flows = []
    for label, part in _phases(trace, places):
        began = dict(backing)
        links: Counter[tuple[str, str]] = Counter()
        for event, entry, new in zip(*(log[name][part].tolist() for name in ("event", "entry", "new")), strict=True):
            if event == Event.FREE:
                links[began.pop(entry, NOT_ALLOCATED), FREED] += 1
                del backing[entry]
            else:
                backing[entry] = Backing(new).name
        for entry, name in backing.items():
            links[began.get(entry, NOT_ALLOCATED), name] += 1
        flows.append(PhaseFlow(label, {at: links[at] for at in _ordered(links)}))
    if not flows:
        raise InvalidArgument("No entry changes its backing in this trace; reclaim something first.")
    return flows


def _phases(trace: Trace, places: Array) -> list[tuple[str, Array]]:
    """Return the phases that have any of the records at `places`, with those; neighbours joined if they are many."""
    marks = [(mark.label, mark.step - trace.first) for mark in trace.marks]
    bounds = [(_BEFORE if marks else _WHOLE, 0), *marks]
    parts = np.split(places, np.searchsorted(places, [at for _, at in bounds[1:]]))
    phases = [([label], part) for (label, _), part in zip(bounds, parts, strict=True) if len(part)]
    while len(phases) > MAX_PHASES:  # the pair with the fewest records becomes one
        at = min(range(len(phases) - 1), key=lambda i: len(phases[i][1]) + len(phases[i + 1][1]))
        (before, one), (after, other) = phases[at : at + 2]
        phases[at : at + 2] = [(before + after, np.concatenate([one, other]))]
    return [(" to ".join(dict.fromkeys((labels[0], labels[-1]))), part) for labels, part in phases]


def _ordered(links: Mapping[tuple[str, str], int]) -> list[tuple[str, str]]:
    return sorted(links, key=lambda at: (NODES.index(at[0]), NODES.index(at[1])))


# -- drawing -----------------------------------------------------------------------------------------------------


def transitions_sankey(source: Any, theme: str = "auto") -> go.Figure:
    """Return the Sankey diagram of a machine's trace (or of a `Trace`); errors as `phase_flows`.

    It is drawn from plain traces: plotly's own kind of trace takes a node's column from its links, and so puts what is
    taken late into the first column.
    """
    chart = _Chart(phase_flows(source), theme_named(theme))
    traces = [*chart.links(), *chart.nodes(), *chart.labels()]
    return go.Figure(data=[go.Scatter(**each) for each in traces], layout=chart.layout())


class _Chart:
    """The diagram's parts, worked out once; places are pixels from the upper left corner."""

    def __init__(self, flows: Sequence[PhaseFlow], theme: Theme) -> None:
        self.flows, self.theme = flows, theme
        self.columns = [_column(one, other) for one, other in zip([None, *flows], [*flows, None], strict=True)]
        self.inner = WIDTH - 2 * _SIDE
        self.step = (self.inner - _THICK) / len(flows)
        self.scale = min((_HEIGHT - _PAD * (len(column) - 1)) / max(1, sum(column.values())) for column in self.columns)
        self.tops = [self._tops(column) for column in self.columns]

    def _tops(self, column: Mapping[str, int]) -> dict[str, float]:
        """Return where each node of a column begins; columns are centred."""
        top = (_HEIGHT - self.scale * sum(column.values()) - _PAD * (len(column) - 1)) / 2
        found = {}
        for name, nr in column.items():
            found[name] = top
            top += self.scale * nr + _PAD
        return found

    def links(self) -> Iterator[dict[str, Any]]:
        """Yield the bands: an entry that stays is paler than one that moves, and drawn first."""
        # On an unknown ground the letters are of middle grey: bands under them have to be paler.
        pale, strong = (0.13, 0.3) if self.theme.name == "auto" else (0.2, 0.5)
        for at, flow in enumerate(self.flows):
            left, right = dict(self.tops[at]), dict(self.tops[at + 1])
            bands = []
            for (old, new), nr in flow.links.items():  # in the order of nodes on both sides
                bands.append((old, new, nr, left[old], right[new]))
                left[old] += self.scale * nr
                right[new] += self.scale * nr
            for old, new, nr, start, end in sorted(bands, key=lambda band: band[0] != band[1]):
                x, y = _band(at * self.step + _THICK, (at + 1) * self.step, start, end, self.scale * nr)
                what = f"{nr:,} stay {new}" if old == new else f"{nr:,} from {old} to {new}"
                colour = _faded(self._colour(new), pale if old == new else strong)
                yield {
                    **_FILLED,
                    "x": x,
                    "y": y,
                    "fillcolor": colour,
                    "line": {"color": colour, "width": 1},  # a single entry of thousands is seen too
                    "name": f"{at} {old} {new}",
                    "text": f"{what}<br>in {escape(flow.label)}",
                }

    def nodes(self) -> Iterator[dict[str, Any]]:
        """Yield the nodes: bars as tall as what they hold, with a pattern as well as a colour."""
        for at, column in enumerate(self.columns):
            when = f"when {self.flows[at].label} begins" if at < len(self.flows) else f"after {self.flows[-1].label}"
            for name, nr in column.items():
                x, y, tall = at * self.step, self.tops[at][name], self.scale * nr
                colour = self._colour(name)
                yield {
                    **_FILLED,
                    "x": [x, x + _THICK, x + _THICK, x, x],
                    "y": [y, y, y + tall, y + tall, y],
                    "line": {"color": self.theme.text, "width": 0.8},
                    "fillcolor": colour,
                    "fillpattern": {
                        "shape": _PATTERNS.get(name, ""),
                        "bgcolor": colour,
                        "fgcolor": "rgba(255,255,255,0.6)",
                        "fillmode": "replace",
                        "size": 6,
                        "solidity": 0.25,
                    },
                    "name": f"{at} {name}",
                    "text": f"{nr:,} {name}<br>{escape(when)}",
                }

    def labels(self) -> Iterator[dict[str, Any]]:
        """Yield the names of nodes: to their right, in the last column to their left."""
        for last in (False, True):
            chosen = [
                (at, name, nr)
                for at, column in enumerate(self.columns)
                for name, nr in column.items()
                if (at == len(self.flows)) == last
            ]
            yield {
                "x": [at * self.step + (-4 if last else _THICK + 4) for at, _, _ in chosen],
                "y": [self.tops[at][name] + self.scale * nr / 2 for at, name, nr in chosen],
                "text": [f"{_SIGNS.get(name, '')}<b>{name}</b> {nr:,}" for _, name, nr in chosen],
                "mode": "text",
                "textposition": "middle left" if last else "middle right",
                "textfont": {"size": 11, "color": self.theme.text},
                "cliponaxis": False,
                "hoverinfo": "skip",
                "showlegend": False,
            }

    def layout(self) -> dict[str, Any]:
        axis = {"visible": False, "fixedrange": True}
        return {
            **chart_layout(self.theme, _TOP + _HEIGHT, _alt(self.flows), _FOOT),
            "margin": {"l": _SIDE, "r": _SIDE, "t": _TOP, "b": _FOOT},
            "xaxis": {**axis, "range": [0, self.inner]},
            "yaxis": {**axis, "range": [_HEIGHT, 0]},
            "hovermode": "closest",
            "annotations": self._headings(),
        }

    def _headings(self) -> list[dict[str, Any]]:
        """Return the name of each phase between its two columns."""
        most = int(self.step / 7)
        return [
            {
                "x": at * self.step + (self.step + _THICK) / 2,
                "y": 0,
                "yref": "y",
                "xanchor": "center",
                "yanchor": "bottom",
                "yshift": 10,
                "showarrow": False,
                "text": f"<b>{escape(_cut(flow.label, most), quote=False)}</b>",
                "hovertext": escape(flow.label),
                "font": {"size": 12},
            }
            for at, flow in enumerate(self.flows)
        ]

    def _colour(self, name: str) -> str:
        if name in Backing.__members__:
            return self.theme.colour(Backing[name])
        return self.theme.colour("pte" if name == FREED else "none")


def _column(before: PhaseFlow | None, after: PhaseFlow | None) -> dict[str, int]:
    """Return the nodes at a boundary: what the phase before ends in, and what the phase after takes anew."""
    ends, begins = (before.ends if before else {}), (after.begins if after else {})
    return {name: nr for name in NODES if (nr := ends.get(name, 0) or begins.get(name, 0))}


def _band(left: float, right: float, start: float, end: float, tall: float) -> tuple[list[float], list[float]]:
    """Return the outline of a band that leaves at `start`, arrives at `end` and is level at both."""
    share = np.linspace(0, 1, 25)
    x = left + (right - left) * share
    y = start + (end - start) * share * share * (3 - 2 * share)
    return [*x.tolist(), *x[::-1].tolist()], [*y.tolist(), *(y[::-1] + tall).tolist()]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(1, most - 1)]}\u2026"


def _faded(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


# -- the same in words -------------------------------------------------------------------------------------------


def alt_text(source: Any) -> str:
    """Return the diagram in a few sentences, for those who do not see it."""
    return _alt(phase_flows(source))


def _alt(flows: Sequence[PhaseFlow]) -> str:
    said = ["Entries by backing at each boundary of phases, and how many went from what to what."]
    for flow in flows:
        moved = [f"{nr:,} from {old} to {new}" for (old, new), nr in flow.links.items() if old != new]
        stayed = [f"{nr:,} {old}" for (old, new), nr in flow.links.items() if old == new]
        rest = f"; unchanged {', '.join(stayed)}" if stayed else ""
        said.append(f"In {flow.label}: {', '.join(moved) or 'none moved in the end'}{rest}.")
    return " ".join(said)


def transitions_table(source: Any) -> Table:
    """Return the diagram as a table: a row for each link."""
    rows = [
        {"phase": flow.label, "from": old, "to": new, "entries": nr}
        for flow in phase_flows(source)
        for (old, new), nr in flow.links.items()
    ]
    return table(rows, "How many entries each phase led from what to what")


def text_twin(source: Any) -> str:
    """Return the diagram as an HTML table; see `transitions_table`."""
    return transitions_table(source).html()


def show_code() -> str:
    """Return the library calls that draw the diagram."""
    return (
        "from vswaplab.figures.transitions_chart import text_twin, transitions_sankey\n"
        "transitions_sankey(machine)   # this picture; machine.mark() names the phases\n"
        "text_twin(machine)            # the same as a table\n"
    )
