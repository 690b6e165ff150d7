"""The slot map explorer in Chromium: keys, search both ways, what is shown equals the machine's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious
from test_widgets_explorer import made

from vswaplab.observe.ledger_build import build
from vswaplab.observe.snapshot import live_state
from vswaplab.widgets import SlotExplorer
from vswaplab.workloads.break_it import break_it

pytestmark = pytest.mark.browser

_SHOWN = """() => { const p = document.querySelector(".vswaplab-view").player, c = p.map.chain(p.part, p.slot);
  return {part: p.part, slot: p.slot, per: p.per, state: c && c.state, ptes: c && c.ptes, length: c && c.length}; }"""


def shown(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = tab.page.evaluate(_SHOWN)
    return found


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_keys_alone_walk_the_map_and_each_slot_is_the_machines(design: str, chromium: Chromium, tmp_path: Path) -> None:
    machine = made(design)
    view, state = SlotExplorer(machine), live_state(machine)
    tab = open_views(chromium, tmp_path, view)
    page, keyboard = tab.page, tab.page.keyboard
    entries = [entry for entry in state.slots if view.slots.part_of(entry)[0] == 0]
    page.locator(".vswaplab-view").focus()
    for entry in entries[1:12]:
        keyboard.press("PageDown")
        slot = view.slots.part_of(entry)[1]
        known = state.slots[entry]
        assert shown(tab) == {
            "part": 0,
            "slot": slot,
            "per": 1,
            "state": int(known.backing),
            "ptes": [list(key) for key in state.referrers(entry)],
            "length": known.length,
        }
        assert f"slot {slot:,}" in page.locator(".vswaplab-status").inner_text()
        assert known.backing.name in page.locator(".vswaplab-chain").inner_text()
    keyboard.press("PageUp")
    assert shown(tab)["slot"] == view.slots.part_of(entries[10])[1]
    keyboard.press("ArrowRight")
    assert shown(tab)["slot"] == view.slots.part_of(entries[10])[1] + 1
    keyboard.press("End")
    keyboard.press("Home")
    assert shown(tab)["slot"] == 0
    tab.check()
    page.context.close()


def test_a_page_an_object_and_a_slot_of_the_device_lead_to_the_entry(chromium: Chromium, tmp_path: Path) -> None:
    machine = made("virtual")
    view, state = SlotExplorer(machine), live_state(machine)
    tab = open_views(chromium, tmp_path, view)
    page = tab.page
    stored, slot = next((entry, slot) for entry, slot in state.slots.items() if slot.length)
    page.get_by_label("What to find").select_option("zswap")
    page.get_by_label("Its number or address").fill(str(slot.handle))
    page.keyboard.press("Enter")
    assert shown(tab)["slot"] == stored
    assert f"{slot.length:,} bytes" in page.locator(".vswaplab-chain").inner_text()
    physical, known = next((entry, slot) for entry, slot in state.slots.items() if slot.slot is not None)
    page.get_by_label("What to find").select_option("slot")
    page.get_by_label("Its number or address").fill(str(physical))
    page.get_by_role("button", name="Find").click()
    strip = page.locator(".vswaplab-strip").inner_text()
    assert known.slot is not None
    assert f"slot {known.slot.offset} of swapfile {known.slot.type}" in strip
    page.locator(".vswaplab-chain button").click()  # to the device's slot, whose rmap leads back
    assert shown(tab)["slot"] == physical
    page.get_by_label("Its number or address").fill("99999")
    page.get_by_role("button", name="Find").click()
    assert "Nothing here answers to slot 99999" in page.locator(".vswaplab-message").inner_text()
    page.get_by_text("The same as a table").click()
    twin = page.locator(".vswaplab-twin")
    wait_until(lambda: "SWAPFILE" in twin.inner_text(), "the table", 5)
    page.get_by_text("The calls behind this picture").click()
    call = f"slots.window(part, {physical}, 1)"
    wait_until(lambda: page.locator("pre").count() == 1 and call in page.locator("pre").inner_text(), "the calls", 5)
    tab.check()
    page.context.close()


def test_eight_million_slots_are_a_map_that_zooms(chromium: Chromium, tmp_path: Path) -> None:
    view = SlotExplorer(build("virtual", 1 << 23, "zswap", 60, "random", seed=1))
    tab = open_views(chromium, tmp_path, view)
    page, canvas = tab.page, tab.page.locator("canvas")
    page.locator(".vswaplab-view").focus()
    start = shown(tab)["per"]
    assert start >= 8192
    for _ in range(3):
        page.keyboard.press("+")
    assert shown(tab)["per"] == start // 8
    for _ in range(40):
        page.keyboard.press("+")
    assert shown(tab)["per"] == 512  # no kernel behind a page: by clusters, and it says so
    page.keyboard.press("End")
    wait_until(lambda: "the lab opens each slot" in page.locator(".vswaplab-status").inner_text(), "the words", 5)
    assert "8,38" in str(canvas.get_attribute("aria-label"))
    tab.check()
    page.context.close()


@pytest.mark.parametrize(("theme", "width"), [("light", 1040), ("dark", 390)])
def test_a_broken_edge_is_coloured_and_named_and_axe_finds_nothing(
    theme: str, width: int, chromium: Chromium, tmp_path: Path
) -> None:
    run = break_it("set-the-rmap")
    tab = open_views(chromium, tmp_path, SlotExplorer(run.machine), theme=theme, width=width)
    page = tab.page
    assert "rmap-points-back" in page.locator(".vswaplab-status").inner_text()
    assert page.locator(".vswaplab-box.vswaplab-broken").inner_text().startswith("swapfile 0")
    assert "Broken: rmap-points-back." in str(page.locator("canvas").get_attribute("aria-label"))
    for fold in page.locator("summary").all()[1:]:
        fold.click()
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
    run.close()
