"""The slot map explorer: what is sent, what the page makes of it, and what Python answers when it asks."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodekit import run_node

from vswaplab import Machine
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.observe.ledger_build import build
from vswaplab.observe.snapshot import live_state
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import SlotExplorer
from vswaplab.workloads.break_it import break_it
from vswaplab.workloads.corpus import real_page_array


def made(design: str, pages: int = 400) -> Machine:
    """A machine with two devices, a fork, holes, and pages in every backing."""
    machine = Machine(ram="4M", design=design, page_cluster=0)
    machine.swapon(size="2M", priority=3)
    machine.swapon(size="1M")
    app = machine.spawn("app")
    region = app.mmap(pages * PAGE_SIZE)
    data = real_page_array()[:pages].copy()
    data[::7] = 0
    app.write(region.start, data.tobytes())
    machine.reclaim()
    machine.writeback(pages // 4)
    child = app.fork()
    child.touch(region.addresses()[20:60])
    app.munmap(region.start + (pages // 2) * PAGE_SIZE, 50 * PAGE_SIZE)
    return machine


def case(name: str, view: SlotExplorer) -> dict[str, Any]:
    """What the page is sent, and what Python says of each slot."""
    machine, parts, entries = view.source, view.slots.parts, []
    state = live_state(machine)
    for entry, slot in state.slots.items():
        part, at = view.slots.part_of(entry)
        folio = machine.swap.swap_cache_get_folio(entry)
        entries.append(
            {
                "part": part,
                "slot": at,
                "backing": int(slot.backing),
                "length": slot.length,
                "ptes": [list(key) for key in state.referrers(entry)],
                "handle": slot.handle if slot.length else 0,
                "device": None if slot.slot is None else [slot.slot.type, slot.slot.offset],
                "frame": -1 if folio is None else folio.pfn + entry - folio.swap,
                "count": slot.swap_count,
            }
        )
    return {
        "name": name,
        "header": view.header,
        "data": base64.b64encode(view.data).decode(),
        "given": view.given,
        "cells": base64.b64encode(view.cells).decode(),
        "states": [view.slots.states(part, 0, part.slots).tolist() for part in parts],
        "entries": entries,
    }


def test_the_page_reads_the_map_as_python_does(tmp_path: Path) -> None:
    views = [(design, SlotExplorer(made(design))) for design in ("virtual", "legacy")]
    cases = [case(design, view) for design, view in views]
    assert run_node(tmp_path, "VSWAPLAB_MAPS", cases, "slotmap") == 5 * len(cases) + 1


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_every_slot_has_its_history(design: str) -> None:
    machine = made(design, 40)
    view, trace = SlotExplorer(machine), machine.trace
    assert trace is not None
    stories = view.header["stories"]
    entry = machine.swap.entries()[3]
    part, slot = view.slots.part_of(entry)
    told = stories[part][slot]
    assert told == [[step, trace[step].describe()] for step in range(len(trace)) if trace[step].entry == entry]
    assert "taken" in told[0][1] or "allocated" in told[0][1]


def test_a_long_trace_is_told_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vswaplab.widgets.explorer._STORIES", 10)
    machine = made("virtual", 40)
    view = SlotExplorer(machine)
    assert view.header["stories"] is None
    entry = machine.swap.entries()[5]
    view.chosen = entry
    assert [step for step, _ in view.history] == np.flatnonzero(machine.trace.records()["entry"] == entry).tolist()  # type: ignore[union-attr]


def test_a_large_space_sends_counts_and_the_slots_that_are_asked_for() -> None:
    swap = build("virtual", 1 << 18, "zswap", 50, "random", seed=2)
    view = SlotExplorer(swap)
    assert not view.header["whole"]
    assert len(view.data) < 1 << 14
    view.want = {"part": 0, "first": 131072, "nr": 32768}
    (window,) = view.given["windows"]
    assert (window["part"], window["first"]) == (0, 131072)
    state = np.frombuffer(view.cells, np.uint8, 32768)
    assert state.tolist() == view.slots.states(view.slots.parts[0], 131072, 32768).tolist()


def test_searches_that_the_page_cannot_do_are_answered() -> None:
    machine = made("virtual")
    view = SlotExplorer(machine)
    state = live_state(machine)
    entry, slot = next((entry, slot) for entry, slot in state.slots.items() if slot.slot is not None)
    view.want = {"find": ["swapfile", f"{slot.slot.type}:{slot.slot.offset}"]}  # type: ignore[union-attr]
    assert (view.part, view.chosen) == (0, entry)
    (pid, vpn), pte = next((key, pte) for key, pte in state.ptes.items() if not pte.present)
    view.want = {"find": ["page", f"{pid} {vpn * PAGE_SIZE:#x}"]}
    assert view.chosen == pte.entry
    other, slot = next((entry, slot) for entry, slot in state.slots.items() if slot.length)
    view.want = {"find": ["zswap", str(slot.handle)]}
    assert view.chosen == other
    view.want = {"find": ["slot", "twelve"]}
    assert view.answer == "'twelve' is no number; write it like 513, 0x1000 or 0:12."
    view.want = {"find": ["swapfile", "7:1"]}
    assert "There is no slot 7:1" in view.answer
    view.want = {"find": ["zswap", "123456"]}
    assert view.answer


def test_an_entry_or_a_page_can_be_chosen_from_python() -> None:
    machine = made("virtual")
    app = machine.processes[1]
    address = next(
        vpn * PAGE_SIZE for (pid, vpn), pte in live_state(machine).ptes.items() if pid == 1 and not pte.present
    )
    view = SlotExplorer(machine, page=(app, address))
    assert view.chosen == app.pte(address).entry
    view.choose(entry=machine.swap.entries()[-1])
    assert view.chosen == machine.swap.entries()[-1]
    with pytest.raises(NotFound, match="There is no process 99"):
        SlotExplorer(machine, page=(99, address))
    with pytest.raises(NotFound, match="is not swapped out; reclaim it first"):
        view.choose(page=(app, 0))
    with pytest.raises(NotFound, match="No slot 123456789 is in the map"):
        SlotExplorer(machine, entry=123456789)


def test_refresh_looks_at_the_machine_again() -> None:
    machine = made("virtual")
    view = SlotExplorer(machine)
    before = view.header["stories"][0]
    machine.processes[2].exit()
    machine.processes[1].exit()
    view.refresh()
    assert view.slots.parts[0].slots == 512
    assert view.chosen < 512
    assert view.header["stories"][0] != before


def test_a_broken_invariant_is_named_with_its_slots() -> None:
    run = break_it("set-the-rmap")
    view = SlotExplorer(run.machine)
    assert view.header["broken"]["invariant"] == "rmap-points-back"
    assert view.header["broken"]["slots"] == [(0, 1)]
    run.close()
    assert SlotExplorer(made("virtual", 40)).header["broken"] is None


def test_on_a_page_there_is_no_kernel_to_ask() -> None:
    view = SlotExplorer(made("legacy", 40))
    assert view.plain()["header"]["kernel"] is False
    assert view.header["kernel"] is True


def test_a_machine_without_swap_is_one_sentence() -> None:
    machine = Machine(ram="1M", design="legacy", zswap=None)
    with pytest.raises(InvalidArgument, match="no swapfile is on"):
        SlotExplorer(machine)
