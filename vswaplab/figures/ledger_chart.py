"""The ledger chart: bytes of metadata against usage, split by structure, one panel a design and backend.

>>> figure = ledger_chart(rows)  # doctest: +SKIP

`rows` are those of ``vswaplab overhead --json``: plain dictionaries with ``design``, ``backend``, ``usage`` (percent),
``slots`` and ``structures`` (MiB by name); ``live``, the entries in use, where usage does not tell it. Each panel
stacks the structures of one design and draws the totals of the others over it, so that what crosses is seen to cross;
names and figures at full usage stand at the right. `alt_text`, `text_twin` and `show_code` go with it; many designs at
one usage are the business of `vswaplab.figures.ledger_bars`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.figures.chart import (
    DESIGN_LOOKS,
    Look,
    Panel,
    chart_layout,
    gutter,
    heading,
    panel_axes,
    panels,
)
from vswaplab.figures.palette import Theme, theme_named
from vswaplab.figures.tables import Table, table
from vswaplab.units import PAGE_SIZE

__all__ = [
    "PATTERN_LINES",
    "STRUCTURE_LOOKS",
    "UNKNOWN_LOOK",
    "alt_text",
    "crossings",
    "ledger_chart",
    "ledger_table",
    "ledger_traces",
    "show_code",
    "text_twin",
]

Row = Mapping[str, Any]
MIB = 1 << 20
MAX_COLUMNS = 3
_HEIGHT, _GUTTER = 270, 168

STRUCTURE_LOOKS: Mapping[str, tuple[Backing | str, str]] = MappingProxyType(
    {
        "swap_map": (Backing.SWAPFILE, ""),
        "swap_cgroup": ("none", "/"),
        "zeromap": (Backing.ZERO, "."),
        "continuation": (Backing.SWAPFILE, "x"),
        "swap_cluster_info": (Backing.ZERO, "-"),
        "swap_table": (Backing.FOLIO, "\\"),
        "zswap_tree": (Backing.ZSWAP, "+"),
        "zswap_tree_heads": (Backing.ZSWAP, "."),
        "swp_desc": ("pte", ""),
        "vswap_bitmap": ("none", "x"),
        "vswap_cluster": ("none", "-"),
        "vswap_cluster_map": (Backing.ZERO, "|"),
        "allocated": (Backing.SWAPFILE, "."),
        "bad_map": (Backing.ZERO, "/"),
        "rmap": (Backing.FOLIO, "|"),
        "virtual_table": ("pte", "|"),
        "memcg_table": ("none", "/"),
        "redirect": ("pte", "\\"),
    }
)
"""Colour (as `Theme.colour` takes it) and pattern by structure: legacy and virtual ones that do the same look alike."""
UNKNOWN_LOOK: tuple[Backing | str, str] = (Backing.ZERO, "")
"""Of a structure that has no look of its own."""
PATTERN_LINES = "rgba(255,255,255,0.55)"
_PLAIN = Look(Backing.ZERO, "dot", "diamond")


@dataclass(frozen=True)
class _Series:
    """What one panel shows."""

    design: str
    backend: str
    usage: tuple[float, ...]
    structures: dict[str, tuple[float, ...]]

    @property
    def totals(self) -> tuple[float, ...]:
        return tuple(sum(each) for each in zip(*self.structures.values(), strict=True))


def ledger_chart(
    rows: Iterable[Row],
    crossover: Mapping[str, float | None] | None = None,
    per_slot: bool = False,
    theme: str = "auto",
) -> go.Figure:
    """Return the chart of metadata against usage: a row of panels for each backend, a column for each design.

    `crossover` is the usage in percent at which the first two designs cost the same, by backend; None finds it on the
    straight lines between the rows. `per_slot` divides by the entries in use. InvalidArgument without rows, with
    more than three designs (see `ledger_bars`), or if designs don't have the same usages.
    """
    chart = _Chart(list(rows), crossover, per_slot, theme_named(theme))
    return go.Figure(data=[go.Scatter(**each) for each in chart.traces()], layout=chart.layout())


def ledger_traces(
    rows: Iterable[Row],
    crossover: Mapping[str, float | None] | None = None,
    per_slot: bool = False,
    theme: str = "auto",
) -> list[dict[str, Any]]:
    """Return the traces of the chart, in their fixed order, to update a figure of the same designs in place."""
    return _Chart(list(rows), crossover, per_slot, theme_named(theme)).traces()


def crossings(rows: Iterable[Row]) -> dict[str, float | None]:
    """Return by backend the usage in percent at which the first two designs cost the same, None if they never do.

    Totals are taken to be straight between the rows.
    """
    found: dict[str, float | None] = {}
    for backend, designs in _grouped(rows, per_slot=False).items():
        found[backend] = None
        if len(designs) < 2:
            continue
        one, other = list(designs.values())[:2]
        gaps = [b - a for a, b in zip(one.totals, other.totals, strict=True)]
        for (x0, g0), (x1, g1) in pairwise(zip(one.usage, gaps, strict=True)):
            if g0 * g1 < 0:
                found[backend] = x0 + (x1 - x0) * g0 / (g0 - g1)
                break
    return found


# -- reading the rows --------------------------------------------------------------------------------------------


def _live(row: Row) -> int:
    live = row.get("live")
    return round(row["slots"] * row["usage"] / 100) if live is None else int(live)


def _value(row: Row, name: str, per_slot: bool) -> float:
    mib = float(row["structures"].get(name, 0.0))
    return mib * MIB / _live(row) if per_slot else mib


def _grouped(rows: Iterable[Row], per_slot: bool) -> dict[str, dict[str, _Series]]:
    """Return what each panel shows, by backend and design, both in the order of the rows."""
    cells: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if not (per_slot and _live(row) == 0):
            cells.setdefault(row["backend"], {}).setdefault(row["design"], []).append(row)
    found: dict[str, dict[str, _Series]] = {}
    for backend, designs in cells.items():
        for design, own in designs.items():
            own.sort(key=lambda row: row["usage"])
            names = dict.fromkeys(name for row in own for name in row["structures"])
            structures = {name: tuple(_value(row, name, per_slot) for row in own) for name in names}
            series = _Series(design, backend, tuple(row["usage"] for row in own), structures)
            found.setdefault(backend, {})[design] = series
        if len({series.usage for series in found[backend].values()}) > 1:
            raise InvalidArgument(f"Designs differ in their usages on {backend}; give rows for the same usages.")
    if not found:
        raise InvalidArgument("There are no rows to draw; give those of vswaplab overhead --json.")
    return found


def _percent(value: float) -> str:
    return f"{value:.2f} %" if value < 1 else f"{value:.4g} %"


def _signed(value: float) -> str:
    return f"{abs(value):,.2f} MiB {'more' if value > 0 else 'less'}" if abs(value) >= 0.005 else "the same"


# -- drawing -----------------------------------------------------------------------------------------------------


class _Chart:
    """The chart's parts, worked out once."""

    def __init__(
        self, rows: list[Row], crossover: Mapping[str, float | None] | None, per_slot: bool, theme: Theme
    ) -> None:
        self.rows, self.per_slot, self.theme = rows, per_slot, theme
        self.groups = _grouped(rows, per_slot)
        columns = max(len(designs) for designs in self.groups.values())
        if columns > MAX_COLUMNS:
            raise InvalidArgument(f"{columns} designs don't fit side by side; show them with ledger_bars.")
        self.crossover = crossings(rows) if crossover is None else dict(crossover)
        grid, self.height = panels(len(self.groups), columns, _HEIGHT, _GUTTER if columns < MAX_COLUMNS else 136)
        self.panels: list[tuple[Panel, _Series, list[_Series]]] = []
        for at, designs in enumerate(self.groups.values()):
            own = list(designs.values())
            for column, series in enumerate(own):
                others = [other for other in own if other is not series]
                self.panels.append((grid[at * columns + column], series, others))
        self.slots = rows[0]["slots"]
        self.sparse = rows[0].get("layout") == "sparse"

    def y_range(self, backend: str) -> tuple[float, float]:
        """Return the range that all panels of a backend share; per slot, what little usage costs leaves the frame."""
        totals = [series.totals for series in self.groups[backend].values()]
        if self.per_slot:
            return 0.0, 2.2 * max(each[-1] for each in totals)
        return 0.0, 1.08 * max(max(each) for each in totals) or 1.0

    def traces(self) -> list[dict[str, Any]]:
        return [trace for panel, series, others in self.panels for trace in self._panel(panel, series, others)]

    def _panel(self, panel: Panel, series: _Series, others: list[_Series]) -> list[dict[str, Any]]:
        traces = [_band(panel, series, name, self.theme, "B" if self.per_slot else "MiB") for name in series.structures]
        traces += [line for other in others for line in _total_lines(panel, other, self.theme)]
        traces.append(self._crossing(panel, series))
        labels, below = [], 0.0
        for name, values in series.structures.items():
            if not any(values):
                continue
            labels.append((below + values[-1] / 2, f"{name} {self._figure(values[-1])}"))
            below += values[-1]
        totals = [(series.design, below), *((other.design, other.totals[-1]) for other in others)]
        labels += [(total, f"<b>{design} {self._figure(total)}</b>") for design, total in totals]
        span = self.y_range(series.backend)
        inside = [(min(at, span[1]), text) for at, text in labels]
        return [*traces, *gutter(panel, inside, span, self.theme)]

    def _figure(self, value: float) -> str:
        """Return a number at the end of a band: MiB, or exact bytes (an eighth of one is a bit)."""
        return f"{value:.3f}".rstrip("0").rstrip(".") + " B" if self.per_slot else f"{value:.2f}"

    def _crossing(self, panel: Panel, series: _Series) -> dict[str, Any]:
        """Return the mark where the first two designs cost the same: a dotted line down to the axis and a diamond."""
        at = self.crossover.get(series.backend)
        shown = at is not None and len(self.groups[series.backend]) > 1 and series.usage[0] <= at <= series.usage[-1]
        y = _interpolated(series, at) if shown and at is not None else None
        top = self.y_range(series.backend)[1]
        return {
            "x": [at, at, at] if shown else [None, None, None],
            "y": [0, y, top] if shown else [None, None, None],
            "mode": "lines+markers+text",
            "line": {"color": self.theme.text, "width": 1.5, "dash": "dot"},
            "marker": {
                "symbol": ["circle", "diamond-open", "circle"],
                "size": [0, 11, 0],
                "color": self.theme.text,
                "opacity": 1,
                "line": {"width": 2},
            },
            "text": ["", "", f"\u2002equal at {_percent(at)}" if at is not None else ""],
            "textposition": "bottom left" if at is not None and at > 55 else "bottom right",
            "textfont": {"size": 12, "color": self.theme.text},
            "hoverinfo": "skip",
            "showlegend": False,
            **panel.axes,
        }

    def layout(self) -> dict[str, Any]:
        layout = chart_layout(self.theme, self.height, alt_text(self.rows, self.crossover))
        last = list(self.groups)[-1]
        for panel, series, _ in self.panels:
            of = "of clusters in use" if self.sparse else "of slots in use"
            x = {"range": [series.usage[0], series.usage[-1]], "ticksuffix": " %", "nticks": 6}
            if series.backend == last:
                x["title"] = {"text": of, "font": {"size": 12}, "standoff": 4}
            unit = " B" if self.per_slot else " MiB"
            y = {"range": list(self.y_range(series.backend)), "ticksuffix": unit, "showticksuffix": "last", "nticks": 7}
            layout.update(panel_axes(panel, self.theme, x, y))
        layout["annotations"] = [heading(panel, *self._words(series)) for panel, series, _ in self.panels]
        layout["hovermode"] = "x unified"
        return layout

    def _words(self, series: _Series) -> tuple[str, str]:
        title = f"{series.design}, {series.backend}"
        if self.per_slot:
            return title, "bytes for each slot in use"
        first = next(iter(self.groups[series.backend].values()))
        if series is first:
            size = self.slots * PAGE_SIZE / (1 << 30)
            return title, f"swapfile of {size:g} GiB, {self.slots:,} slots"
        gap = series.totals[-1] - first.totals[-1]
        share = 100 * abs(gap) * MIB / (self.slots * PAGE_SIZE)
        of_swap = f", {share:.2f} % of the swapfile" if abs(gap) >= 0.005 else ""
        return title, f"at {series.usage[-1]:g} % {_signed(gap)}{of_swap}"


def _interpolated(series: _Series, at: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(zip(series.usage, series.totals, strict=True)):
        if x0 <= at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return series.totals[-1]


def _band(panel: Panel, series: _Series, name: str, theme: Theme, unit: str) -> dict[str, Any]:
    hue, pattern = STRUCTURE_LOOKS.get(name, UNKNOWN_LOOK)
    colour = theme.colour(hue)
    return {
        "x": list(series.usage),
        "y": list(series.structures[name]),
        "mode": "lines",
        "line": {"color": colour, "width": 0.8 if any(series.structures[name]) else 0},
        "stackgroup": f"{series.backend}/{series.design}",
        "fillcolor": colour,
        "fillpattern": {
            "shape": pattern,
            "bgcolor": colour,
            "fgcolor": PATTERN_LINES,
            "fillmode": "replace",
            "size": 7,
            "solidity": 0.25,
        },
        "name": name,
        "hovertemplate": f"%{{y:,.2f}} {unit}",
        "showlegend": False,
        **panel.axes,
    }


def _total_lines(panel: Panel, series: _Series, theme: Theme) -> list[dict[str, Any]]:
    """Return another design's total as a dashed line with a rim, to be seen on bands of any colour."""
    look = DESIGN_LOOKS.get(series.design, _PLAIN)
    core, rim = ("#ffffff", "#111111") if theme.name == "dark" else ("#222222", "#ffffff")
    common = {
        "x": list(series.usage),
        "y": list(series.totals),
        "mode": "lines",
        "name": f"{series.design}, total",
        "showlegend": False,
        **panel.axes,
    }
    return [
        {**common, "line": {"color": rim, "width": 5}, "opacity": 0.8, "hoverinfo": "skip"},
        {
            **common,
            "line": {"color": core, "width": 2, "dash": "dash" if look.dash == "solid" else look.dash},
            "hovertemplate": "%{y:,.2f}",
        },
    ]


# -- the same in words -------------------------------------------------------------------------------------------


def alt_text(rows: Iterable[Row], crossover: Mapping[str, float | None] | None = None) -> str:
    """Return the chart in a few sentences, for those who do not see it."""
    rows = list(rows)
    said = [f"Bytes of metadata against usage for {rows[0]['slots']:,} slots, by structure." if rows else ""]
    equal = dict(crossover) if crossover is not None else crossings(rows)
    for backend, designs in _grouped(rows, per_slot=False).items():
        for series in designs.values():
            ends = f"from {series.totals[0]:,.2f} to {series.totals[-1]:,.2f} MiB"
            if len(series.usage) == 1:
                ends = f"{series.totals[0]:,.2f} MiB"
            said.append(f"{series.design} on {backend}: {ends}.")
        at = equal.get(backend)
        if at is not None and len(designs) > 1:
            one, other = list(designs)[:2]
            said.append(f"{one} and {other} cost the same at {_percent(at)} on {backend}.")
    return " ".join(part for part in said if part)


def ledger_table(rows: Iterable[Row]) -> Table:
    """Return the chart as a table: a row for each design, backend and usage, a column in MiB for each structure."""
    rows = list(rows)
    names = [name for row in rows for name, mib in row["structures"].items() if mib]
    found = []
    for row in rows:
        total, live = float(sum(row["structures"].values())), _live(row)
        found.append(
            {
                "backend": row["backend"],
                "design": row["design"],
                "usage": f"{row['usage']:g} %",
                **{name: _mib(row, name) for name in dict.fromkeys(names)},
                "total": total,
                "bytes a slot in use": total * MIB / live if live else None,
            }
        )
    slots = f"{rows[0]['slots']:,} slots" if rows else "no rows"
    return table(found, f"Metadata in MiB by structure, {slots}")


def _mib(row: Row, name: str) -> float | None:
    return float(row["structures"][name]) if name in row["structures"] else None


def text_twin(rows: Iterable[Row]) -> str:
    """Return the chart as an HTML table; see `ledger_table`."""
    return ledger_table(rows).html()


def show_code() -> str:
    """Return the library calls that draw the chart."""
    return (
        "from vswaplab.figures.ledger_chart import ledger_chart, text_twin\n"
        "from vswaplab.observe.ledger_build import rows_of\n"
        'designs, backends, usages = ("legacy", "virtual"), ("zswap", "disk"), (0, 25, 50, 75, 100)\n'
        "rows = [row.as_dict() for backend in backends for design in designs\n"
        "        for row in rows_of(design, backend, slots=8_388_608, usages=usages)]\n"
        "ledger_chart(rows)        # this picture\n"
        "text_twin(rows)           # the same as a table\n"
    )
