"""The ledger chart: bands that add up, names that don't collide, what crosses marked, the same in words."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.figures import ledger_bars as bars
from vswaplab.figures.chart import DESIGN_LOOKS, LABEL_GAP, spread_labels, with_slider
from vswaplab.figures.layout import WIDTH
from vswaplab.figures.ledger_chart import (
    STRUCTURE_LOOKS,
    alt_text,
    crossings,
    ledger_chart,
    ledger_traces,
    show_code,
    text_twin,
)
from vswaplab.observe.ledger_build import rows_of
from vswaplab.observe.ledger_designs import DESIGNS

SLOTS = 8_388_608
MIB = 1 << 20
Row = dict[str, Any]


def row(design: str, backend: str, usage: float, **structures: float) -> Row:
    return {"design": design, "backend": backend, "usage": usage, "slots": SLOTS, "structures": structures}


def posted(step: int = 25) -> list[Row]:
    """Return the posting's table as rows, from its formula (section 1.2 of docs/facts.md)."""
    rows = []
    for usage in range(0, 101, step):
        live = SLOTS * usage / 100 / MIB
        static = {"swap_map": 8.0, "swap_cgroup": 16.0, "zeromap": 1.0}
        rows += [
            row("legacy", "zswap", usage, **static, swap_table=8 * live, zswap_tree=8 * live),
            row("virtual", "zswap", usage, swp_desc=24 * live, vswap_bitmap=live / 8),
            row("legacy", "disk", usage, **static, swap_table=8 * live),
            row(
                "virtual",
                "disk",
                usage,
                swp_desc=24 * live,
                vswap_bitmap=live / 8,
                allocated=1,
                bad_map=1,
                rmap=8 * live,
            ),
        ]
    return rows


def bands(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.stackgroup]


def gutter_words(figure: Any) -> list[str]:
    return [text for trace in figure.data if trace.mode == "text" for text in trace.text]


@pytest.mark.parametrize(("backend", "percent"), [("zswap", 38.46), ("disk", 11.92)])
def test_crossings_of_the_posted_rows_are_the_published_ones(backend: str, percent: float) -> None:
    found = crossings(posted())[backend]
    assert found is not None
    assert round(found, 2) == percent


def test_designs_that_never_cross_have_no_crossing() -> None:
    rows = [row("legacy", "zswap", usage, swap_map=5) for usage in (0, 100)]
    rows += [row("virtual", "zswap", usage, swp_desc=1) for usage in (0, 100)]
    assert crossings(rows) == {"zswap": None}
    marks = [trace for trace in ledger_chart(rows).data if trace.mode == "lines+markers+text"]
    assert all(list(mark.x) == [None, None, None] for mark in marks)


def test_the_mark_stands_where_both_designs_cost_the_same() -> None:
    marks = [trace for trace in ledger_chart(posted()).data if trace.mode == "lines+markers+text"]
    assert [mark.text[-1].strip() for mark in marks] == ["equal at 38.46 %"] * 2 + ["equal at 11.92 %"] * 2
    assert marks[0].y[1] == pytest.approx(marks[1].y[1])  # the same height in both panels
    assert marks[0].y[1] == pytest.approx((24.125 * 0.384615 * SLOTS) / MIB, rel=1e-4)


def test_a_crossover_that_is_given_is_the_one_shown() -> None:
    figure = ledger_chart(posted(), crossover={"zswap": 38.5, "disk": None})
    marks = [trace for trace in figure.data if trace.mode == "lines+markers+text"]
    assert marks[0].x[0] == 38.5
    assert marks[2].x[0] is None
    assert "38.5 % on zswap" in figure.layout.meta["alt"]


def test_bands_of_a_panel_add_up_to_the_total() -> None:
    figure = ledger_chart(posted())
    by_group: dict[str, list[Any]] = {}
    for band in bands(figure):
        by_group.setdefault(band.stackgroup, []).append(band)
    assert {group: round(sum(band.y[-1] for band in own), 2) for group, own in by_group.items()} == {
        "zswap/legacy": 153.0,
        "zswap/virtual": 193.0,
        "disk/legacy": 89.0,
        "disk/virtual": 259.0,
    }
    assert [band.name for band in by_group["zswap/legacy"]] == [
        "swap_map",
        "swap_cgroup",
        "zeromap",
        "swap_table",
        "zswap_tree",
    ]


def test_every_band_and_both_totals_are_named_with_their_figure() -> None:
    words = gutter_words(ledger_chart(posted()))
    for wanted in ("swap_map 8.00", "swp_desc 192.00", "rmap 64.00", "<b>legacy 153.00</b>", "<b>virtual 259.00</b>"):
        assert wanted in words


def test_panels_of_a_backend_share_their_range_and_none_overlap() -> None:
    layout = ledger_chart(posted()).layout
    assert layout.yaxis.range == layout.yaxis2.range
    assert layout.yaxis3.range == layout.yaxis4.range
    assert layout.width == WIDTH
    boxes = [(layout[f"xaxis{n}"].domain, layout[f"yaxis{n}"].domain) for n in ("", 2, 3, 4, 51, 52, 53, 54)]
    for at, (x, y) in enumerate(boxes):
        assert 0 <= x[0] < x[1] <= 1
        assert 0 <= y[0] < y[1] <= 1
        for other_x, other_y in boxes[at + 1 :]:
            assert x[1] <= other_x[0] or other_x[1] <= x[0] or y[1] <= other_y[0] or other_y[1] <= y[0]


def test_names_in_the_gutter_are_a_line_apart() -> None:
    figure = ledger_chart(posted())
    for trace in figure.data:
        if trace.mode == "text":
            axis = figure.layout["yaxis" + trace.yaxis[1:]]
            pixels = 270 / (axis.range[1] - axis.range[0])
            assert all((b - a) * pixels >= LABEL_GAP - 0.01 for a, b in pairwise(sorted(trace.y)))


@given(st.lists(st.floats(0, 270), max_size=14), st.sampled_from([10.0, 15.0]))
def test_labels_are_spread_in_order_and_inside(wanted: list[float], gap: float) -> None:
    places = spread_labels(wanted, gap, 0, 270)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    assert all(places[b] - places[a] >= gap - 1e-6 for a, b in pairwise(order))
    assert all(-1e-6 <= place <= 270 + 1e-6 for place in places)


def test_labels_that_have_room_stay_where_they_belong() -> None:
    assert spread_labels([10, 60, 200], 15, 0, 270) == [10, 60, 200]


def test_every_structure_that_is_counted_has_a_look_of_its_own() -> None:
    rows = [
        each
        for design in ("legacy", "virtual", *DESIGNS)
        for mode in ("as posted", "as allocated")
        for backend in ("zswap", "disk")
        if design not in DESIGNS or backend in DESIGNS[design].backends
        for each in rows_of(design, backend, 1024, (100,), mode)
    ]
    assert {name for each in rows for name in each.ledger.structures} <= set(STRUCTURE_LOOKS)
    for one in rows:
        looks = [STRUCTURE_LOOKS[name] for name in one.ledger.structures]
        assert len(set(looks)) == len(looks), one.design


def test_what_is_drawn_from_live_structures_is_what_they_hold() -> None:
    rows = [each.as_dict() for design in ("legacy", "virtual") for each in rows_of(design, "disk", 4096, (0, 50, 100))]
    figure = ledger_chart(rows)
    assert sum(band.y[-1] for band in bands(figure) if band.stackgroup == "disk/virtual") == pytest.approx(
        rows[-1]["mib"]
    )
    assert f"{rows[-1]['mib']:,.2f}" in alt_text(rows)


def test_per_slot_divides_by_what_is_in_use() -> None:
    figure = ledger_chart(posted(), per_slot=True)
    virtual = [band for band in bands(figure) if band.stackgroup == "zswap/virtual"]
    assert [sum(each) for each in zip(*(band.y for band in virtual), strict=True)] == pytest.approx([24.125] * 4)
    assert figure.layout.xaxis.range == (25, 100)  # nothing in use: nothing to divide by
    assert "<b>legacy 19.125 B</b>" in gutter_words(figure)


def test_rows_may_say_how_much_is_live() -> None:
    """One slot in each of 16,384 clusters: usage is of clusters, and bytes a slot follow `live`."""
    rows = [{**row("virtual", "zswap", 100, swp_desc=192), "live": 16_384}]
    figure = ledger_chart([*rows, {**rows[0], "usage": 50, "live": 8192}], per_slot=True)
    assert bands(figure)[0].y[-1] == 12_288


def test_traces_come_in_the_same_order_whatever_the_numbers() -> None:
    before, after = ledger_traces(posted()), ledger_traces(posted(step=10), crossover={})
    assert [each.get("name") for each in before] == [each.get("name") for each in after]
    assert [each["xaxis"] for each in before] == [each["xaxis"] for each in after]


def test_what_cannot_be_drawn_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match="vswaplab overhead --json"):
        ledger_chart([])
    with pytest.raises(InvalidArgument, match="same usages"):
        ledger_chart([row("legacy", "zswap", 0, swap_map=1), row("virtual", "zswap", 50, swp_desc=1)])
    with pytest.raises(InvalidArgument, match="ledger_bars"):
        ledger_chart([row(design, "zswap", 0, swap_map=1) for design in "abcd"])
    with pytest.raises(InvalidArgument, match="light, dark, auto"):
        ledger_chart(posted(), theme="neon")


def test_alt_text_says_both_ends_and_the_crossing() -> None:
    text = alt_text(posted())
    assert "legacy on zswap: from 25.00 to 153.00 MiB." in text
    assert "legacy and virtual cost the same at 38.46 % on zswap." in text
    assert ledger_chart(posted()).layout.meta["alt"] == text


def test_the_table_twin_has_a_row_for_each_and_every_figure() -> None:
    table = text_twin(posted())
    assert table.count("<tr>") == 1 + 20
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table)
    for wanted in ("153.00", "48.25", "194.75", "24.12", "19.12"):
        assert wanted in cells
    assert table.count('scope="col"') == 3 + 10 + 2


def test_markup_in_a_name_does_not_reach_the_table() -> None:
    assert "<img" not in text_twin([row("<img src=x>", "zswap", 100, swap_map=1)])


def test_bars_end_in_their_totals_and_mark_the_first_design() -> None:
    rows = [each for each in posted() if each["usage"] == 100]
    figure = bars.ledger_bars(rows, backend="zswap", titles={"virtual": "virtual (v6)"})
    ends = next(trace for trace in figure.data if getattr(trace, "mode", "") == "text")
    assert [re.sub(r"[^0-9.]", "", text.replace("b>", "")) for text in ends.text] == ["153.00", "193.00"]
    assert list(ends.y) == ["legacy", "virtual (v6)"]
    assert figure.layout.shapes[0].x0 == 153
    assert "virtual (v6): 193.00 MiB" in figure.layout.meta["alt"]
    assert sum(trace.x[1] for trace in figure.data if trace.type == "bar") == pytest.approx(193)


def test_more_than_one_baseline_can_be_marked() -> None:
    """Against the base of the series and against mainline, in the same picture, by lines of two kinds."""
    rows = [each.as_dict() for name in ("6.19", "virtual", "7.2") for each in rows_of(name, "zswap", 1 << 15, (100,))]
    figure = bars.ledger_bars(rows, marked=("legacy", "linux-7.2"))
    assert [line.x0 for line in figure.layout.shapes] == pytest.approx([rows[0]["mib"], rows[2]["mib"]])
    assert [line.line.dash for line in figure.layout.shapes] == ["dot", "dash"]
    moving = bars.moving_ledger_bars(rows, marked=("legacy", "linux-7.2"))
    assert all(len(frame.layout.shapes) == 2 for frame in moving.frames)


def test_bars_of_two_backends_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="backend='zswap'"):
        bars.ledger_bars(posted())
    with pytest.raises(InvalidArgument):
        bars.ledger_bars(posted(), usage=33)


def test_a_slider_goes_through_the_usages_on_one_scale() -> None:
    rows = [each for each in posted() if each["backend"] == "zswap"]
    usages = sorted({each["usage"] for each in rows})
    figure = bars.moving_ledger_bars(rows)
    assert [frame.name for frame in figure.frames] == [f"{usage:g} %" for usage in usages]
    assert [step.label for step in figure.layout.sliders[0].steps] == [frame.name for frame in figure.frames]
    assert figure.layout.sliders[0].active == len(usages) - 1
    most = max(sum(each["structures"].values()) for each in rows)
    for usage, frame in zip(usages, figure.frames, strict=True):
        still = [each for each in rows if each["usage"] == usage]
        assert [trace.name for trace in frame.data] == [trace.name for trace in figure.data]
        ends = next(trace for trace in frame.data if getattr(trace, "mode", "") == "text")
        wanted = [f"{sum(each['structures'].values()):,.2f}" for each in still]
        assert [re.sub(r"[^0-9.,]", "", text.replace("b>", "")) for text in ends.text] == wanted
        assert f"at {usage:g} %" in frame.layout.meta["alt"]
    assert most < figure.layout.xaxis.range[1] < 1.1 * most
    assert figure.data[0].x == figure.frames[-1].data[0].x


def test_designs_at_different_usages_have_no_slider() -> None:
    rows = [each for each in posted() if each["backend"] == "zswap"]
    with pytest.raises(InvalidArgument, match="at the same usages"):
        bars.moving_ledger_bars(rows[1:])
    with pytest.raises(InvalidArgument, match="of one backend"):
        bars.moving_ledger_bars(posted())
    with pytest.raises(InvalidArgument, match="same traces"):
        with_slider({}, "")


def test_designs_differ_in_shape_and_colour() -> None:
    looks = list(DESIGN_LOOKS.values())
    assert (
        len({look.dash for look in looks}) == len({look.symbol for look in looks}) == len({look.hue for look in looks})
    )


def test_the_code_behind_the_chart_runs_as_python() -> None:
    compile(show_code(), "show_code", "exec")
