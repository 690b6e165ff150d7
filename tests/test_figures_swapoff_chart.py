"""The swapoff chart: what grows, with which slope, in model and kernels; zeros on a logarithmic axis; in words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.figures.swapoff_chart import (
    alt_text,
    kernel_rows,
    show_code,
    slope,
    slopes_table,
    swapoff_chart,
    swapoff_traces,
    text_twin,
)
from vswaplab.workloads.swapoff_kernel import kernel_fits

Row = dict[str, Any]


def row(design: str, swapped: int, mapped: int) -> Row:
    visited = mapped + swapped if design == "legacy" else 0
    return {
        "design": design,
        "swapped_pages": swapped,
        "mapped_ptes": mapped,
        "ptes_visited": visited,
        "pages_read": swapped,
        "seconds": 1e-5 * swapped + 1e-8 * visited,
    }


def grid() -> list[Row]:
    return [
        row(design, swapped, mapped)
        for design in ("legacy", "virtual")
        for swapped in (256, 1024, 4096)
        for mapped in (16_384, 65_536, 262_144)
    ]


def points(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.mode == "markers"]


def words(figure: Any) -> list[str]:
    return [text for trace in figure.data if trace.mode == "text" for text in trace.text]


def test_mappings_grow_at_the_fewest_swapped_pages_and_pages_at_the_least_mapped() -> None:
    shown = points(swapoff_chart(grid()))
    assert len(shown) == 2 * 4  # PTEs and seconds, pages and seconds, two designs each
    legacy, virtual = shown[0], shown[1]
    assert list(legacy.x) == [16_384, 65_536, 262_144]
    assert list(legacy.customdata) == [16_640, 65_792, 262_400]
    assert list(virtual.customdata) == [0, 0, 0]
    reads = next(trace for trace in shown if list(trace.x) == [256, 1024, 4096])
    assert list(reads.customdata) == [256, 1024, 4096]


def test_a_count_of_zero_has_a_place_on_a_logarithmic_axis_and_is_called_zero() -> None:
    figure = swapoff_chart(grid())
    virtual = points(figure)[1]
    assert figure.layout.yaxis.type == "log"
    assert min(virtual.y) > 0
    assert figure.layout.yaxis.tickvals[0] == virtual.y[0]
    assert figure.layout.yaxis.ticktext[0] == "0"
    assert virtual.y[0] < min(points(figure)[0].y)
    assert "0" not in figure.layout.yaxis2.ticktext  # pages are read in both designs


def test_slopes_are_named_at_the_right_edge() -> None:
    said = words(swapoff_chart(grid()))
    assert "<b>legacy</b> 1.00 a PTE" in said
    assert "<b>virtual</b> none at all" in said
    assert said.count("<b>virtual</b> 1.00 a page") == 1


def test_kernels_stand_below_with_the_slopes_of_the_table() -> None:
    figure = swapoff_chart(grid(), kernel_rows())
    fits = kernel_fits()
    legacy = next(found for kernel, found in fits.items() if "vswap" not in kernel)
    said = words(figure)
    assert f"<b>7.2.13</b> {legacy['instructions per page'].slope:,.0f} a page" in said
    assert f"<b>7.2.13</b> {legacy['instructions per PTE'].slope:,.1f} a PTE" in said
    assert said.count("<b>7.2.13+STE</b> flat") == 2
    assert len(points(figure)) == 2 * 6
    assert any("in zswap" in note.text for note in figure.layout.annotations)


def test_kernel_rows_are_those_without_strangers_or_with_one_that_grows() -> None:
    rows = kernel_rows()
    assert {each["design"] for each in rows} == {"legacy", "virtual"}
    legacy = [each for each in rows if each["design"] == "legacy"]
    assert {each["mapped_ptes"] for each in legacy} >= {0, 4096, 16_384, 65_536, 262_144, 524_288}
    assert next(each["instructions"] for each in legacy if each["swapped_pages"] == 2048) == 69_221_669


@given(
    st.floats(-1e4, 1e4),
    st.floats(-1e6, 1e6),
    st.lists(st.integers(0, 10**6), min_size=2, max_size=9, unique=True),
)
def test_slope_of_points_on_a_line_is_that_of_the_line(rate: float, start: float, xs: list[int]) -> None:
    assert slope(xs, [start + rate * x for x in xs]) == pytest.approx(rate, rel=1e-4, abs=1e-2)


def test_points_at_one_place_have_no_slope() -> None:
    assert slope([5, 5], [1, 9]) == 0


def test_a_chart_may_have_one_column() -> None:
    figure = swapoff_chart([each for each in grid() if each["swapped_pages"] == 256])
    assert len(points(figure)) == 4
    assert all("stranger's mapping grows" in note.text for note in figure.layout.annotations)


def test_a_range_without_a_power_of_ten_has_an_axis() -> None:
    rows = [row(design, pages, 16_384) for design in ("legacy", "virtual") for pages in (256, 512)]
    narrow = [{**each, "pages_read": 2 * each["swapped_pages"] / 1.5, "seconds": 2e-3} for each in rows]
    assert len(swapoff_chart(narrow).layout.yaxis.tickvals) >= 1


def test_rows_in_which_nothing_grows_are_refused() -> None:
    for rows in ([], [row("legacy", 256, 16_384)]):
        with pytest.raises(InvalidArgument, match="several"):
            swapoff_chart(rows)


def test_traces_come_in_the_same_order_whatever_the_numbers() -> None:
    other = [{**each, "seconds": 2 * each["seconds"]} for each in grid()]
    before, after = swapoff_traces(grid()), swapoff_traces(other)
    assert [(each.get("name"), each["xaxis"]) for each in before] == [
        (each.get("name"), each["xaxis"]) for each in after
    ]


def test_designs_differ_in_marker_and_dash_and_both_are_seen_where_they_agree() -> None:
    figure = swapoff_chart(grid())
    first, second = points(figure)[:2]
    assert first.marker.symbol != second.marker.symbol
    assert first.marker.size > second.marker.size
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.line.dash]
    assert len({trace.line.dash for trace in lines[:2]}) == 2


def test_sizes_stand_below_the_axis_in_binary_units() -> None:
    assert swapoff_chart(grid()).layout.xaxis.ticktext == ("64 MiB", "256 MiB", "1 GiB")


def test_alt_text_names_the_slopes_of_model_and_kernels() -> None:
    text = alt_text(grid(), kernel_rows())
    assert "page table entries visited: legacy 1.00 a PTE, virtual 0.00 a PTE." in text
    assert re.search(r"instructions of emulated kernels: 7\.2\.13 33,5\d\d\.\d\d a page, 7\.2\.13\+STE ", text)
    assert swapoff_chart(grid(), kernel_rows()).layout.meta["alt"] == text


def test_the_table_twin_has_every_row() -> None:
    tables = text_twin(grid(), kernel_rows())
    assert tables.count("<table>") == 2
    assert tables.count("<tr>") == 1 + len(grid()) + 1 + len(kernel_rows())
    assert ">262,400</td>" in tables
    assert text_twin(grid()).count("<table>") == 1


def test_the_slopes_of_all_lines_stand_in_one_table() -> None:
    found = {row[0]: row[1:] for row in slopes_table(grid(), kernel_rows()).rows}
    assert found["model: PTEs visited for each PTE mapped"] == ("1.00", "0.00")
    assert found["model: nanoseconds for each PTE mapped"] == ("10.00", "0.00")
    assert found["model: microseconds for each page swapped"] == ("10.01", "10.00")
    assert found["7.2.13 and 7.2.13+STE, emulated: instructions for each page swapped"][0] == "33,504.00"
    assert len(slopes_table(grid()).rows) == 4


def test_the_code_behind_the_chart_runs_as_python() -> None:
    compile(show_code(), "show_code", "exec")
