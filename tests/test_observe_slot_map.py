"""The slot map against the machine's own look-ups: every state, every count, every column of a window."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from vswaplab import Machine
from vswaplab.entry import Backing, make_slot
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.observe.ledger_build import build
from vswaplab.observe.slot_map import (
    ABSENT,
    FREE,
    LEGACY_FIELDS,
    RMAP_FIELDS,
    UNUSABLE,
    VIRTUAL_FIELDS,
    MapPart,
    SlotMap,
)
from vswaplab.observe.snapshot import live_state
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_page_array


@pytest.fixture(params=["virtual", "legacy"])
def machine(request: pytest.FixtureRequest) -> Machine:
    """A machine with two devices, large folios, holes, and pages in every backing."""
    machine = Machine(ram="4M", design=request.param, page_cluster=0)
    machine.swapon(size="3M", priority=5)
    machine.swapon(size="2M")
    app = machine.spawn("app")
    region = app.mmap(600 * PAGE_SIZE)
    pages = real_page_array()[:600].copy()
    pages[::7] = 0
    app.write(region.start, pages.tobytes())
    large = app.mmap(32 * PAGE_SIZE, order=4)
    app.write(large.start, pages[1:33].tobytes())
    machine.reclaim()
    machine.writeback(150)
    child = app.fork()
    child.touch(region.addresses()[40:90])
    app.munmap(region.start + 300 * PAGE_SIZE, 100 * PAGE_SIZE)
    machine.reclaim()
    child.touch(region.addresses()[500:560])
    return machine


def number_of(part: MapPart, index: int) -> int:
    return part.first + index


def test_states_are_those_of_the_look_ups(machine: Machine) -> None:
    slots = SlotMap(machine)
    part = slots.parts[0]
    known: Any = machine.swap
    for part in slots.parts:
        states = slots.states(part, 0, part.slots)
        assert len(states) == part.slots
        for index, state in enumerate(states.tolist()):
            if part.kind == "device":
                assert (state == 0) == known.devices[part.type].is_allocated(index) if state != UNUSABLE else True
                continue
            try:
                expected: int = known.lookup(number_of(part, index)).type
            except NotFound:
                expected = state if state in (FREE, ABSENT, UNUSABLE) else -1
            assert state == expected, index
    seen = Counter(slots.states(slots.parts[0], 0, slots.parts[0].slots).tolist())
    assert {int(Backing.SWAPFILE), int(Backing.ZERO), int(Backing.ZSWAP), FREE, UNUSABLE} <= set(seen)


def test_counts_add_up_the_states_of_each_cluster(machine: Machine) -> None:
    slots = SlotMap(machine)
    for part in slots.parts:
        counts = slots.counts(part)
        states = slots.states(part, 0, part.slots).reshape(-1, 512)
        for cluster, row in enumerate(counts.tolist()):
            assert row == [(states[cluster] == state).sum() for state in range(5)]


@pytest.mark.parametrize(("first", "nr"), [(0, 1 << 20), (1, 1), (100, 37), (511, 2), (300, 0)])
def test_a_window_has_what_the_machine_says(machine: Machine, first: int, nr: int) -> None:
    slots, state = SlotMap(machine), live_state(machine)
    zswap = machine.zswap
    assert zswap is not None
    for part in slots.parts:
        if part.kind == "device":
            continue
        columns = slots.window(part, first, nr)
        live = columns["live"].tolist()
        entries = [e for e in state.slots if 0 <= e - part.first - first < len(columns["state"])]
        assert [number_of(part, first + i) for i in live] == entries
        for at, entry in enumerate(entries):
            known = state.slots[entry]
            assert columns["state"][live[at]] == known.backing
            assert columns["length"][at] == known.length
            assert columns["class"][at] >= known.length
            begin, end = columns["holder_at"][at : at + 2]
            holders = zip(columns["holder_pid"][begin:end], columns["holder_vpn"][begin:end], strict=True)
            assert sorted((int(pid), int(vpn)) for pid, vpn in holders) == state.referrers(entry)
            folio = machine.swap.swap_cache_get_folio(entry)
            assert columns["frame"][at] == (-1 if folio is None else folio.pfn + entry - folio.swap)  # type: ignore[attr-defined]


def test_records_are_the_bytes_of_the_structures(machine: Machine) -> None:
    slots, swap = SlotMap(machine), machine.swap
    known: Any = swap
    for part in slots.parts:
        columns = slots.window(part, 0, part.slots)
        fields = {"virtual": VIRTUAL_FIELDS, "legacy": LEGACY_FIELDS, "device": RMAP_FIELDS}[part.kind]
        size = max(offset + nr for _, offset, nr in fields)
        records = columns["record"].tobytes()
        assert len(records) == size * len(columns["live"])
        for at, index in enumerate(columns["live"].tolist()):
            record = records[at * size : (at + 1) * size]
            value = {name: int.from_bytes(record[offset : offset + nr], "little") for name, offset, nr in fields}
            if part.kind == "virtual":
                assert value["swap_count"] == known.lookup(index).swap_count
                assert value["flags"] >> 1 & 3 == known.lookup(index).type
                assert value["flags"] & 1 == known.lookup(index).in_swapcache
            elif part.kind == "legacy":
                info = known.info[part.type]
                assert value["swap_map"] == info.swap_map.byte(index)
                assert value["zeromap bit"] == info.is_zero(index)
                assert value["swap table word"] == info.table[index]
            else:
                assert columns["owner"][at] == known.devices[part.type].rmap_get(index)


@pytest.mark.parametrize(("design", "backend"), [("virtual", "zswap"), ("virtual", "disk"), ("legacy", "zswap")])
def test_a_space_of_arrays_alone_has_a_map(design: str, backend: Any) -> None:
    swap = build(design, 1 << 14, backend, 40, "random", seed=3)
    slots = SlotMap(swap)
    counts = slots.counts(slots.parts[0]).sum(axis=0)
    kind = Backing.ZSWAP if backend == "zswap" else Backing.SWAPFILE
    assert counts[kind] == round(0.4 * (1 << 14))
    assert len(slots.window(slots.parts[0], 0, 5000)["holder_pid"]) == 0


def test_part_of_leads_an_entry_to_its_place(machine: Machine) -> None:
    slots = SlotMap(machine)
    for entry in machine.swap.entries():
        at, index = slots.part_of(entry)
        assert number_of(slots.parts[at], index) == entry


def test_clusters_are_those_in_use(machine: Machine) -> None:
    slots, swap = SlotMap(machine), machine.swap
    for part in slots.parts:
        rows = slots.cluster_words(part)
        counts = slots.counts(part).sum(axis=1)
        assert {number for number, _, _ in rows} >= set(np.flatnonzero(counts).tolist()) - {0}
        if part.kind == "virtual":
            known: Any = swap
            assert {number: order for number, order, _ in rows} == {n: c.order for n, c in known.clusters.items()}
        else:
            assert part.first == make_slot(part.type, 0)


def test_what_has_no_swap_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="made of a Machine, or of its swap"):
        SlotMap(np.zeros(3))
