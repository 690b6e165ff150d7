"""The slot graph: everything in its place, nothing on top of anything else, the same in words."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracekit import random_records, story

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.figures.layout import WIDTH, SlotLayout, Universe
from vswaplab.figures.palette import SHAPES, THEMES, contrast, theme_named
from vswaplab.figures.scene import make_scene
from vswaplab.figures.slot_graph import alt_text, show_code, slot_graph_figure, text_twin, trace_updates
from vswaplab.observe.labels import Labels
from vswaplab.observe.state import State
from vswaplab.observe.tracepoints import Trace

SIZES = (1, 2, 8, 24, 40, 41, 64, 65, 256, 512, 1100)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_text_stand_out_from_their_ground(theme: str) -> None:
    colours = theme_named(theme)
    assert contrast(colours.text, colours.ground) >= 7
    for colour in (colours.pte, colours.highlight, *colours.backing.values()):
        assert contrast(colour, colours.ground) >= 3


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_the_auto_theme_is_readable_on_white_and_on_near_black(ground: str) -> None:
    colours = THEMES["auto"]
    assert contrast(colours.text, ground) >= 4.3
    for colour in (colours.pte, colours.highlight, *colours.backing.values()):
        assert contrast(colour, ground) >= 3


def test_every_backing_has_a_colour_and_a_shape_of_its_own() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)
    for theme in THEMES.values():
        assert set(theme.backing) == set(Backing)
        assert len({theme.pte, *theme.backing.values()}) == 5


def test_an_unknown_theme_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="light, dark, auto"):
        theme_named("neon")


@pytest.mark.parametrize("pages", SIZES)
def test_no_two_things_share_a_place_and_all_are_inside(pages: int) -> None:
    layout = SlotLayout(Universe.of_trace(story(pages, forked=min(pages, 3))))
    places = [place for block in layout.blocks for place in block.places.values()]
    assert len({(place.x, place.y) for place in places}) == len(places)
    for place in places:
        assert 0 <= place.x <= WIDTH
        assert 0 <= place.y <= layout.height
    for one, other in pairwise(sorted(places, key=lambda place: (place.x, place.y))):
        if one.x == other.x:
            assert other.y - one.y >= layout.mark


@pytest.mark.parametrize("pages", SIZES)
def test_blocks_do_not_overlap(pages: int) -> None:
    layout = SlotLayout(Universe.of_trace(story(pages, forked=min(pages, 3))))
    boxes = []
    for block in layout.blocks:
        xs = [place.x for place in block.places.values()]
        ys = [place.y for place in block.places.values()]
        boxes.append((min(xs) - layout.mark / 2, max(xs) + layout.mark / 2, block.y, max(ys) + layout.mark / 2))
    for i, (left, right, top, bottom) in enumerate(boxes):
        for other_left, other_right, other_top, other_bottom in boxes[i + 1 :]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def test_labels_fit_between_their_mark_and_what_comes_next() -> None:
    """Rows: a line's height is at least its font's; short labels: six characters fit beside the mark."""
    for pages in (1, 24, 40):
        layout = SlotLayout(Universe.of_trace(story(pages)))
        ys = sorted({place.y for place in layout.blocks[0].places.values()})
        assert layout.full_labels
        assert all(b - a >= layout.font + 3 for a, b in pairwise(ys))
    layout = SlotLayout(Universe.of_trace(story(64)))
    scene = make_scene(story(64).step(200).graph(), layout)
    assert layout.labelled
    assert not layout.full_labels
    assert max(len(mark.label) for mark in scene.marks if mark.node[0] in ("pte", "vslot")) <= 6


@settings(max_examples=15)
@given(seed=st.integers(0, 500), nr=st.integers(1, 400))
def test_the_universe_of_a_trace_has_a_place_for_every_step(seed: int, nr: int) -> None:
    trace = Trace(capacity=256)
    random_records(seed, nr, trace)
    layout = SlotLayout(Universe.of_trace(trace))
    for step in range(trace.first - 1, len(trace), 13):
        scene = make_scene(trace.step(step).graph(), layout)
        assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= layout.height for mark in scene.marks)


def test_the_figure_has_the_same_axes_and_traces_at_every_step() -> None:
    trace = story(20, forked=4)
    layout = SlotLayout(Universe.of_trace(trace))
    first = slot_graph_figure(trace.step(0), layout=layout)
    for step in range(0, len(trace), 9):
        figure = slot_graph_figure(trace.step(step), layout=layout)
        assert figure.layout.xaxis.range == first.layout.xaxis.range
        assert figure.layout.yaxis.range == first.layout.yaxis.range
        assert figure.layout.height == first.layout.height
        assert [each.name for each in figure.data] == [each.name for each in first.data]


def test_the_figure_is_transparent_and_its_axes_are_hidden() -> None:
    figure = slot_graph_figure(story(3).step(10))
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.xaxis.visible is figure.layout.yaxis.visible is False


def test_hover_shows_the_six_fields_by_the_kernels_names() -> None:
    trace = story(10)
    labels = Labels({1: "app"}, {0: "swap.img"}, {0: "order 0, 10 of 512 slots in use, cached"})
    state = trace.step(trace.marks[2].step)
    scene = make_scene(state.graph(), SlotLayout(Universe.of_states([state])), about=labels)
    hover = {mark.node: mark.hover for mark in scene.marks}
    in_zswap = next(entry for entry, slot in state.slots.items() if slot.backing is Backing.ZSWAP)
    for field in ("zswap_entry: 0x", "shadow: 0x", "swap_count: 1", "memcgid: 1", "in_swapcache: 0", "type: ZSWAP (2)"):
        assert field in hover["vslot", in_zswap]
    assert "cluster 0, index" in hover["vslot", in_zswap]
    assert "order 0, 10 of 512" in hover["vslot", in_zswap]
    assert any("process 1 (app)" in text for node, text in hover.items() if node[0] == "pte")
    assert any("swapfile 0 (swap.img)" in text for node, text in hover.items() if node[0] == "swapfile")


def test_colour_and_shape_of_a_slot_follow_its_backing() -> None:
    state = story(10).step(75)
    figure = slot_graph_figure(state, theme="light")
    shown = {each.name: each for each in figure.data if each.mode == "markers+text"}
    for name, backing in (("zswap", Backing.ZSWAP), ("swapfile", Backing.SWAPFILE), ("zero page", Backing.ZERO)):
        assert shown[name].marker.symbol == SHAPES[backing]
        assert shown[name].marker.color == THEMES["light"].backing[backing]
        slots = state.count(backing)
        stores = 1 if backing is Backing.ZERO else slots
        assert len([x for x in shown[name].x if x is not None]) == (slots + stores if slots else 0)


def test_what_changed_is_ringed() -> None:
    trace = story(6)
    step = next(record.step for record in trace if record.new is Backing.ZSWAP)
    scene = make_scene(
        trace.step(step).graph(), SlotLayout(Universe.of_trace(trace)), trace.step(step).diff(trace.step(step - 1))
    )
    entry = trace[step].entry
    assert {mark.node[0] for mark in scene.marks if mark.changed} == {"vslot", "zswap"}
    assert ("vslot", entry) in {mark.node for mark in scene.marks if mark.changed}
    assert [edge.kind for edge in scene.edges if edge.changed and not edge.down] == ["backing"]


def test_alt_text_counts_what_the_state_holds() -> None:
    trace = story(10, forked=2)
    state = trace.step(trace.marks[3].step)
    text = alt_text(state)
    assert text.startswith("Slot graph. 12 page table entries: 0 present, 12 swapped out. 10 virtual slots in use.")
    assert f"{state.count(Backing.ZSWAP)} are backed by a zswap entry" in text
    assert "2 are shared by several page table entries." in text
    assert slot_graph_figure(state).layout.meta["alt"] == text
    assert alt_text(State()).endswith("0 virtual slots in use.")


def test_the_table_twin_has_every_slot_and_marks_what_changed() -> None:
    trace = story(8)
    state, before = trace.step(40), trace.step(39)
    table = text_twin(state, state.diff(before))
    assert table.count("<tr>") == 1 + len(state.slots) + sum(pte.present for pte in state.ptes.values())
    assert table.count("<td>changed</td>") == 1
    assert "changed" in table.split("<tbody>")[1].split("</tr>")[0]
    assert "<caption>" in table
    assert table.count('scope="col"') == 8
    assert "the first 3 of" in text_twin(state, max_rows=3)


def test_too_many_things_are_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match="choose a process"):
        slot_graph_figure(story(30).step(40), max_nodes=20)


def test_the_code_behind_the_figure_runs_as_python() -> None:
    compile(show_code(), "show_code", "exec")
    assert "slot_graph_figure(snapshot)" in show_code()


def test_updates_carry_no_markup_from_names() -> None:
    labels = Labels({1: "<img src=x>"}, {}, {})
    trace = story(2)
    scene = make_scene(trace.step(8).graph(), SlotLayout(Universe.of_trace(trace)), about=labels)
    for each in trace_updates(scene):
        for text in [*each.get("hovertext", []), *each.get("text", [])]:
            assert not re.search(r"<(?!/?b>|br>)", text)
