"""States: what they hold, how they differ, and the graph made from them."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st
from tracekit import PFN, VPN, backing_of, folio, random_records, story

from vswaplab.entry import Backing, make_slot
from vswaplab.events import Event
from vswaplab.observe.graph import build_graph
from vswaplab.observe.state import DeviceState, PteState, State
from vswaplab.observe.tracepoints import Trace


def after(trace: Trace, label: str) -> State:
    """Return the state at the end of a phase."""
    marks = trace.marks
    at = next(i for i, mark in enumerate(marks) if mark.label == label)
    return trace.step(marks[at + 1].step if at + 1 < len(marks) else len(trace) - 1)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_undo_takes_back_exactly_what_apply_did(seed: int) -> None:
    trace, state = Trace(), State()
    random_records(seed, 300, trace)
    undos, states = [], [state.copy()]
    for record in trace.records().tolist():
        undos.append(state.apply(record))
        states.append(state.copy())
    while undos:
        assert state == states.pop()
        State.undo(undos.pop())
    assert state == State()


def test_a_pushed_out_page_is_told_in_full() -> None:
    state = after(story(4, forked=1), "fork")
    assert state.devices == {0: DeviceState(0, 4095)}
    assert state.ptes[1, VPN] == state.ptes[2, VPN] == PteState(False, 1, 0)
    assert state.referrers(1) == [(1, VPN), (2, VPN)]
    slot = state.slots[2]
    assert (slot.backing, slot.swap_count, slot.in_swapcache, slot.memcgid) == (backing_of(1), 1, False, 1)
    assert state.slots[1].swap_count == 2
    assert state.processes[2].parent == 1


def test_a_pin_keeps_the_shadow_and_a_folio_replaces_it() -> None:
    state = State()
    state.apply((Event.ALLOC, 0, 255, Backing.FOLIO, 0, 5, 0, 0, 1))
    state.apply((Event.CACHE_DEL, 0, 255, 255, 0, 5, 0, 0, 99))
    state.apply((Event.CACHE_ADD, 0, 255, 255, 0, 5, 0, 0, 0))
    assert (state.slots[5].in_swapcache, state.slots[5].shadow, state.slots[5].folio) == (True, 99, 0)
    state.apply((Event.CACHE_ADD, 0, 255, 255, 0, 5, 0, 0, folio(3)))
    assert (state.slots[5].shadow, state.slots[5].folio) == (0, folio(3))


def test_diff_names_just_what_changed() -> None:
    trace = story(5, forked=2)
    for step in range(len(trace)):
        before, now, record = trace.step(step - 1), trace.step(step), trace[step]
        diff = now.diff(before)
        assert diff.slots <= {record.entry}
        assert diff.ptes <= {(record.pid, record.vpn)}
        assert bool(diff) == (now != before)


def test_tables_have_a_row_for_each_thing() -> None:
    state = after(story(10), "reclaim")
    tables = state.tables()
    assert [len(tables[name]) for name in ("ptes", "virtual_slots", "backings", "devices", "processes")] == [
        10,
        10,
        10,
        1,
        1,
    ]
    assert tables["devices"][0]["inuse_pages"] == sum(backing_of(i) is Backing.SWAPFILE for i in range(10))
    assert tables["virtual_slots"][1]["type"] == backing_of(1).name
    row = next(row for row in tables["backings"] if row["type"] == "SWAPFILE")
    assert (row["device"], row["offset"]) == (0, row["entry"])


def test_selecting_keeps_only_what_was_named() -> None:
    state = after(story(6, forked=2), "fork").select({(2, VPN)}, {1})
    assert (list(state.ptes), list(state.slots)) == ([(2, VPN)], [1])


def test_graph_edges_lead_from_page_tables_to_slots_to_backings_and_back() -> None:
    graph = after(story(20, forked=2), "fork").graph()
    assert isinstance(graph, nx.MultiDiGraph)
    for i in range(20):
        slot = ("vslot", i + 1)
        assert [data["kind"] for *_, data in graph.edges(("pte", 1, VPN + i), data=True)] == ["pte"]
        assert graph.has_edge(("pte", 1, VPN + i), slot)
        backing = next(to for _, to, data in graph.out_edges(slot, data=True) if data["kind"] == "backing")
        assert graph.nodes[backing]["backing"] is graph.nodes[slot]["backing"] is backing_of(i)
        back = [data["kind"] for source, _, data in graph.in_edges(slot, data=True) if source[0] == "swapfile"]
        assert back == (["rmap"] if backing_of(i) is Backing.SWAPFILE else [])
    assert graph.has_edge(("pte", 2, VPN), ("vslot", 1))
    assert graph.in_degree(("zero",)) == sum(backing_of(i) is Backing.ZERO for i in range(20))


def test_a_present_page_leads_to_its_frame_and_a_cached_slot_to_its_folio() -> None:
    trace = story(10, forked=10)
    graph = trace.step(len(trace) - 1).graph()
    cached = next(i for i in range(3) if backing_of(i) is Backing.ZSWAP)
    frame = ("folio", PFN + cached)
    assert graph.has_edge(("pte", 1, VPN + cached), frame)
    kinds = {data["kind"] for _, to, data in graph.out_edges(("vslot", cached + 1), data=True) if to == frame}
    assert kinds == {"backing", "swapcache"}
    assert graph.nodes[frame]["backing"] is Backing.FOLIO


def test_every_node_and_edge_has_what_a_drawing_needs() -> None:
    trace = story(30, forked=5)
    for step in range(-1, len(trace), 17):
        graph = trace.step(step).graph()
        for node, data in graph.nodes(data=True):
            assert data["kind"] == node[0]
            assert data["column"] in (0, 1, 2)
            assert data["label"]
        assert {kind for *_, kind in graph.edges(data="kind")} <= {"pte", "backing", "swapcache", "rmap"}


def test_pages_of_a_large_folio_lead_to_their_own_frames() -> None:
    state = State()
    for i in range(4):
        state.apply((Event.ALLOC, 0, 255, Backing.FOLIO, 0, 8 + i, 0, 0, 1))
        state.apply((Event.CACHE_ADD, 0, 255, 255, 0, 8 + i, 0, 0, folio(64)))
    graph = state.graph()
    assert [graph.has_edge(("vslot", 8 + i), ("folio", 64 + i)) for i in range(4)] == [True] * 4


def test_a_dangling_page_table_entry_and_a_wrong_rmap_are_drawn() -> None:
    state = State()
    state.apply((Event.PTE_SWAP, 0, 255, 255, 1, 77, 0, 5, 0))
    graph = build_graph(state, {make_slot(1, 9): (78, True)})
    assert graph.nodes["vslot", 77]["backing"] is None
    assert graph.has_edge(("swapfile", 1, 9), ("vslot", 78))
    assert graph.nodes["vslot", 78]["backing"] is None
