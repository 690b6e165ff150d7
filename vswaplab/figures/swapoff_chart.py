"""The swapoff chart: what swapoff costs when mappings grow and when what is swapped grows, in the model and in kernels.

>>> figure = swapoff_chart(rows, kernels)  # doctest: +SKIP

`rows` are those of ``vswaplab swapoff --json``: plain dictionaries with ``design``, ``swapped_pages``, ``mapped_ptes``,
``ptes_visited``, ``pages_read`` and ``seconds``. `kernels` are counts from running kernels (`kernel_rows`): ``design``,
``swapped_pages``, ``mapped_ptes`` and ``instructions``. Either may name the ``backing`` of the pages. The left column
holds what is swapped and grows what an unrelated process has mapped, the right column the other way round. Points are
what was counted; slopes at the right edge are least squares. `alt_text`, `text_twin` and `show_code` go with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression
from typing import Any

import plotly.graph_objects as go

from vswaplab.errors import InvalidArgument
from vswaplab.figures.chart import (
    DESIGN_LOOKS,
    Panel,
    chart_layout,
    gutter,
    heading,
    panel_axes,
    panels,
)
from vswaplab.figures.palette import Theme, theme_named
from vswaplab.figures.tables import Table, table
from vswaplab.units import PAGE_SIZE, format_size
from vswaplab.workloads.kernel_tables import design_of, kernel_name, kernel_title
from vswaplab.workloads.swapoff_kernel import kernel_swapoffs

__all__ = [
    "alt_text",
    "kernel_rows",
    "show_code",
    "slope",
    "slopes_table",
    "swapoff_chart",
    "swapoff_tables",
    "swapoff_traces",
    "text_twin",
]

Row = Mapping[str, Any]
MAPPED, SWAPPED = "mapped_ptes", "swapped_pages"
_HEIGHT, _GUTTER = 190, 158
_NAMES = {MAPPED: ("PTE", "mapped by a stranger"), SWAPPED: ("page", "pages swapped")}


@dataclass(frozen=True)
class _Measure:
    """What a row of panels shows: a column of the rows, its title, how its slope or its last value is said."""

    name: str
    title: str
    said: Callable[[Sequence[float], Sequence[float], str], str]
    log: bool = True


def _per(xs: Sequence[float], ys: Sequence[float], unit: str) -> str:
    rate = slope(xs, ys)
    return "none at all" if not any(ys) else f"{rate:,.2f} a {unit}" if rate < 100 else f"{rate:,.0f} a {unit}"


def _rate(xs: Sequence[float], ys: Sequence[float], unit: str) -> str:
    rate = slope(xs, ys)
    # what is far below the spread of the points is no slope
    flat = abs(rate) * (max(xs) - min(xs)) < 0.75 * (max(ys) - min(ys)) or rate < 0.05
    return "flat" if flat else f"{rate:,.1f} a {unit}" if rate < 100 else f"{rate:,.0f} a {unit}"


def _last(_: Sequence[float], ys: Sequence[float], __: str) -> str:
    return f"{1000 * ys[-1]:,.3g} ms"


_SECONDS = _Measure("seconds", "seconds in the model", _last)
_MODEL = {
    MAPPED: (_Measure("ptes_visited", "page table entries visited", _per), _SECONDS),
    SWAPPED: (_Measure("pages_read", "pages read", _per), _SECONDS),
}
_KERNEL = _Measure("instructions", "emulated kernels: guest instructions", _rate, log=False)


def swapoff_chart(rows: Iterable[Row], kernels: Iterable[Row] = (), theme: str = "auto") -> go.Figure:
    """Return the chart: two columns (mappings grow, swapped pages grow), three rows (counted, timed, emulated kernels).

    The lowest row is left out without `kernels`, a column where nothing grows. InvalidArgument if nothing does.
    """
    chart = _Chart(list(rows), list(kernels), theme_named(theme))
    return go.Figure(data=[go.Scatter(**each) for each in chart.traces()], layout=chart.layout())


def swapoff_traces(rows: Iterable[Row], kernels: Iterable[Row] = (), theme: str = "auto") -> list[dict[str, Any]]:
    """Return the traces of the chart, in their fixed order, to update a figure of the same designs in place."""
    return _Chart(list(rows), list(kernels), theme_named(theme)).traces()


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the straight line nearest to the points (least squares); 0 if x does not vary.

    >>> slope([0, 10, 20], [5, 25, 45])
    2.0
    """
    return linear_regression(xs, ys).slope if len(set(xs)) > 1 else 0.0


def kernel_rows() -> list[dict[str, Any]]:
    """Return what running kernels were measured to do as rows for the chart: no stranger, or one that grows.

    ``design`` is the one whose place a kernel takes in the chart, ``kernel`` its own name.
    """
    return [
        {
            "design": design_of(each.kernel),
            "kernel": kernel_name(each.kernel),
            "title": kernel_title(each.kernel),
            "swapped_pages": each.swapped_pages,
            "mapped_ptes": each.mapped_ptes,
            "instructions": each.instructions,
            "backing": "zswap",
        }
        for each in kernel_swapoffs()
        if each.where == "none" or (each.strangers, each.where, each.state) == (1, "after", "in")
    ]


# -- reading the rows --------------------------------------------------------------------------------------------


def _growing(rows: Sequence[Row], grows: str) -> tuple[list[Row], float]:
    """Return the rows in which one column grows while the other holds, and the value at which it holds.

    Of several such values it is the one with most points, the least of these.
    """
    held = SWAPPED if grows == MAPPED else MAPPED
    # mappings grow from the first one on: a device without strangers is another setting
    rows = [row for row in rows if grows == SWAPPED or row[MAPPED]]
    if not rows:
        return [], 0
    at = max(
        {row[held] for row in rows}, key=lambda each: (len({row[grows] for row in rows if row[held] == each}), -each)
    )
    chosen = sorted((row for row in rows if row[held] == at), key=lambda row: row[grows])
    return (chosen if len({row[grows] for row in chosen}) > 1 else []), at


def _points(rows: Sequence[Row], design: str, grows: str, name: str) -> tuple[list[float], list[float]]:
    own = [row for row in rows if row["design"] == design]
    return [float(row[grows]) for row in own], [float(row[name]) for row in own]


def _name_of(rows: Sequence[Row], design: str) -> str:
    """Return what a line is called: the kernel that was measured, else the design that ran in the model."""
    return next((str(row["kernel"]) for row in rows if row["design"] == design and "kernel" in row), design)


def _fitted(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the ends of the straight line nearest to the points."""
    rate, ends = slope(xs, ys), [min(xs), max(xs)]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return ends, [middle_y + rate * (x - middle_x) for x in ends]


# -- drawing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cell:
    """One panel and what it shows."""

    panel: Panel
    rows: Sequence[Row]
    held: float
    grows: str
    measure: _Measure

    @property
    def designs(self) -> list[str]:
        return list(dict.fromkeys(row["design"] for row in self.rows))

    @property
    def y_range(self) -> tuple[float, float]:
        ys = [float(row[self.measure.name]) for row in self.rows]
        if not self.measure.log:
            return 0.0, 1.1 * max(ys) or 1.0
        positive = [y for y in ys if y > 0] or [1.0]
        return self.floor / 1.8, 2 * max(positive)

    @property
    def floor(self) -> float:
        """Where 0 stands on a logarithmic axis: well below the least of the others."""
        ys = [float(row[self.measure.name]) for row in self.rows]
        least = min((y for y in ys if y > 0), default=1.0)
        return least / 10 if min(ys) <= 0 else least / 1.2

    @property
    def log_x(self) -> bool:
        return self.measure.log and min(row[self.grows] for row in self.rows) > 0

    @property
    def x_range(self) -> tuple[float, float]:
        xs = [float(row[self.grows]) for row in self.rows]
        return (min(xs) / 1.3, max(xs) * 1.3) if self.log_x else (-0.03 * max(xs), 1.03 * max(xs))


class _Chart:
    def __init__(self, rows: list[Row], kernels: list[Row], theme: Theme) -> None:
        self.rows, self.kernels, self.theme = rows, kernels, theme
        columns = [grows for grows in (MAPPED, SWAPPED) if _growing(rows, grows)[0]]
        if not columns:
            raise InvalidArgument("Nothing grows in these rows; give several mapped_ptes or swapped_pages.")
        measures = {grows: (*_MODEL[grows], _KERNEL) if kernels else _MODEL[grows] for grows in columns}
        nr_rows = len(measures[columns[0]])
        grid, self.height = panels(nr_rows, len(columns), _HEIGHT, _GUTTER)
        self.cells: list[_Cell] = []
        for at, grows in enumerate(columns):
            for row, measure in enumerate(measures[grows]):
                source, held = _growing(kernels if measure is _KERNEL else rows, grows)
                if source:
                    self.cells.append(_Cell(grid[row * len(columns) + at], source, held, grows, measure))

    def traces(self) -> list[dict[str, Any]]:
        found = []
        for cell in self.cells:
            labels = []
            for design in cell.designs:
                found += self._line(cell, design)
                labels.append(self._label(cell, design))
            found += gutter(cell.panel, labels, cell.y_range, self.theme, log=cell.measure.log)
        return found

    def _label(self, cell: _Cell, design: str) -> tuple[float, str]:
        xs, ys = _points(cell.rows, design, cell.grows, cell.measure.name)
        said = cell.measure.said(xs, ys, _NAMES[cell.grows][0])
        name = _name_of(cell.rows, design)
        return max(ys[-1], cell.floor if cell.measure.log else 0.0), f"<b>{name}</b> {said}"

    def _line(self, cell: _Cell, design: str) -> list[dict[str, Any]]:
        """Return a design's points and the line through them: on linear axes the one whose slope is named."""
        xs, ys = _points(cell.rows, design, cell.grows, cell.measure.name)
        look, first = DESIGN_LOOKS[design], design == cell.designs[0]
        colour = self.theme.colour(look.hue)
        shown = [max(y, cell.floor) for y in ys] if cell.measure.log else ys
        line = (xs, shown) if cell.measure.log else _fitted(xs, ys)
        common = {"showlegend": False, "cliponaxis": False, **cell.panel.axes}
        # what lies under the other is drawn larger and open, so that both are seen where they agree
        return [
            {
                "x": line[0],
                "y": line[1],
                "mode": "lines",
                "line": {"color": colour, "width": 3 if first else 1.8, "dash": look.dash},
                "hoverinfo": "skip",
                **common,
            },
            {
                "x": xs,
                "y": shown,
                "customdata": ys,
                "mode": "markers",
                "name": design,
                "marker": {
                    "symbol": look.symbol + ("-open" if first else ""),
                    "size": 10 if first else 6,
                    "color": colour,
                    "opacity": 1,
                    "line": {"width": 2 if first else 0},
                },
                "hovertemplate": f"{_name_of(cell.rows, design)}: %{{customdata:,.6~g}}<extra></extra>",
                **common,
            },
        ]

    def layout(self) -> dict[str, Any]:
        layout = chart_layout(self.theme, self.height, alt_text(self.rows, self.kernels))
        for cell in self.cells:
            layout.update(panel_axes(cell.panel, self.theme, _x_axis(cell), _y_axis(cell)))
        layout["annotations"] = [heading(cell.panel, *_words(cell)) for cell in self.cells]
        layout["hovermode"] = "closest"
        return layout


def _words(cell: _Cell) -> tuple[str, str]:
    backing = cell.rows[0].get("backing", "")
    where = {"": "", "device": " on a device"}.get(backing, f" in {backing}")
    if cell.grows == MAPPED:
        return cell.measure.title, f"{cell.held:,.0f} pages{where}; a stranger's mapping grows"
    held = f"a stranger has {_size(cell.held)} mapped" if cell.held else "no strangers"
    return cell.measure.title, f"more and more pages{where}; {held}"


def _size(ptes: float) -> str:
    text = format_size(int(ptes) * PAGE_SIZE)
    return f"{text[:-1]} {text[-1]}iB" if text[-1].isalpha() else text


def _x_axis(cell: _Cell) -> dict[str, Any]:
    xs = sorted({float(row[cell.grows]) for row in cell.rows})
    ticks = xs[:: -(-(len(xs) - 1) // 4)] if cell.log_x else [xs[-1] * i / 4 for i in range(5)]
    text = [_size(x) if cell.grows == MAPPED else f"{x:,.0f}" for x in ticks]
    return {
        "type": "log" if cell.log_x else "linear",
        "range": list(cell.x_range),
        "tickvals": ticks,
        "ticktext": text,
        "title": {"text": _NAMES[cell.grows][1], "font": {"size": 12}, "standoff": 2},
    }


def _y_axis(cell: _Cell) -> dict[str, Any]:
    low, high = cell.y_range
    if not cell.measure.log:
        return {"range": [low, high], "nticks": 5}
    powers = [10.0**power for power in range(-9, 13) if cell.floor * 1.5 < 10.0**power < high]
    every = max(1, -(-len(powers) // 5))  # there may be no power of ten in a narrow range
    shown = powers[::every]
    if len(shown) < 2:
        steps = (factor * 10.0**power for power in range(-9, 13) for factor in (1, 2, 5))
        shown = [step for step in steps if cell.floor * 1.5 < step < high]
    zero = any(not row[cell.measure.name] for row in cell.rows)
    vals = [cell.floor, *shown] if zero else shown
    text = (["0"] if zero else []) + [_tick(power, cell.measure.name) for power in shown]
    return {"type": "log", "range": [low, high], "tickvals": vals, "ticktext": text}


def _tick(value: float, name: str) -> str:
    if name == "seconds":
        return f"{value:g} s" if value >= 1 else f"{1000 * value:g} ms"
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.0f}M"


# -- the same in words -------------------------------------------------------------------------------------------


def alt_text(rows: Iterable[Row], kernels: Iterable[Row] = ()) -> str:
    """Return the chart in a few sentences, for those who do not see it."""
    rows, kernels = list(rows), list(kernels)
    said = ["What swapoff costs in two designs."]
    for grows, (unit, _) in _NAMES.items():
        what = "mappings of a stranger grow" if grows == MAPPED else "swapped pages grow"
        for source, name, words in (
            (rows, _MODEL[grows][0].name, _MODEL[grows][0].title),
            (kernels, "instructions", "instructions of emulated kernels"),
        ):
            chosen, _ = _growing(source, grows)
            slopes = [
                f"{_name_of(chosen, design)} {slope(*_points(chosen, design, grows, name)):,.2f} a {unit}"
                for design in dict.fromkeys(row["design"] for row in chosen)
            ]
            if slopes:
                said.append(f"While {what}, {words}: {', '.join(slopes)}.")
    return " ".join(said)


def swapoff_tables(rows: Iterable[Row], kernels: Iterable[Row] = ()) -> list[Table]:
    """Return the chart as tables: the model's counts, then those of the kernels if there are any."""
    columns = ("design", SWAPPED, MAPPED, "ptes_visited", "pages_read")
    model = [{**{name: row[name] for name in columns}, "milliseconds": f"{1000 * row['seconds']:,.2f}"} for row in rows]
    counted = [
        {"kernel": row.get("kernel", row["design"]), **{name: row[name] for name in (SWAPPED, MAPPED, "instructions")}}
        for row in kernels
    ]
    titles = dict.fromkeys(row["title"] for row in kernels if "title" in row)
    caption = "; ".join(["swapoff in kernels under full emulation", *titles])
    return [table(model, "swapoff in the model"), *([table(counted, caption)] if counted else [])]


_SLOPES = (
    ("ptes_visited", MAPPED, 1.0, "model: PTEs visited for each PTE mapped"),
    ("seconds", MAPPED, 1e9, "model: nanoseconds for each PTE mapped"),
    ("pages_read", SWAPPED, 1.0, "model: pages read for each page swapped"),
    ("seconds", SWAPPED, 1e6, "model: microseconds for each page swapped"),
    ("instructions", MAPPED, 1.0, "7.2.13 and 7.2.13+STE, emulated: instructions for each PTE mapped"),
    ("instructions", SWAPPED, 1.0, "7.2.13 and 7.2.13+STE, emulated: instructions for each page swapped"),
)


def slopes_table(rows: Iterable[Row], kernels: Iterable[Row] = ()) -> Table:
    """Return the slopes of all lines of the chart, a column for each design (least squares)."""
    rows, kernels = list(rows), list(kernels)
    found: list[dict[str, Any]] = []
    for name, grows, scale, words in _SLOPES:
        chosen, _ = _growing(kernels if name == "instructions" else rows, grows)
        slopes = {
            design: float(scale * slope(*_points(chosen, design, grows, name)))
            for design in dict.fromkeys(row["design"] for row in chosen)
        }
        if slopes:
            found.append({"slope": words, **slopes})
    return table(found, "What one more costs")


def text_twin(rows: Iterable[Row], kernels: Iterable[Row] = ()) -> str:
    """Return the chart as HTML tables; see `swapoff_tables`."""
    return "".join(found.html() for found in swapoff_tables(rows, kernels))


def show_code() -> str:
    """Return the library calls that draw the chart."""
    return (
        "from vswaplab.figures.swapoff_chart import kernel_rows, swapoff_chart, text_twin\n"
        "from vswaplab.workloads.swapoff import growth\n"
        'rows = [row.as_dict() for row in growth(("legacy", "virtual"))]\n'
        "swapoff_chart(rows, kernel_rows())   # this picture\n"
        "text_twin(rows, kernel_rows())       # the same as tables\n"
    )
