"""Every view in JupyterLab, a kernel behind it: renders, steps both ways by keyboard alone, and the kernel follows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.harness import Chromium, Lab, OpenNotebook, wait_until
from playwright.sync_api import Locator

pytestmark = pytest.mark.browser

_SETUP = """import json, pathlib
from vswaplab.observe.ledger_build import build
from vswaplab.widgets import *
from vswaplab.workloads.scenarios import run_scenario
machine = run_scenario("parent_and_child").machine
views = {}
def show(name, view, trait="step"):
    def keep(change=None):
        views[name] = getattr(view, trait)
        pathlib.Path("views.json").write_text(json.dumps(views))
    view.observe(keep, trait)
    keep()
    return view"""

_MAP = 'show("map", SlotExplorer(build("virtual", 1 << 20, "zswap", 60, "random", seed=1)), "chosen")'

PLAYERS = {
    "stepper": ('show("stepper", Stepper(machine))', "tape.position"),
    "statemachine": ('show("statemachine", StateMachine(machine))', "tape.position"),
    "flow": ('show("flow", BackingFlow(machine))', "position"),
    "twin": ('show("twin", TwinPlayer("parent_and_child"))', "twin.position"),
    "race": ('show("race", SwapoffRace(16, "2M", 1))', "race.position"),
    "zswappool": ('show("zswappool", ZswapPool(machine))', "log.position"),
    "breakit": ('show("breakit", BreakIt("count-the-duplicate"))', "tape.position"),
}
"""By view: the cell that shows it, and where its player keeps the position."""
OTHERS = {
    "explorer": 'show("explorer", SlotExplorer(swapped()), "chosen")',
    "ledger": 'show("ledger", ByteLedger(), "settings")',
}
_SWAPPED = """def swapped():
    from vswaplab import Machine
    machine = Machine(ram="1M")
    app = machine.spawn("app")
    region = app.mmap("64K")
    app.write(region.start, b"x" * region.length)
    machine.reclaim()
    return machine"""


@pytest.fixture(scope="module")
def notebook(chromium: Chromium, lab: Lab) -> Iterator[OpenNotebook]:
    """Return a notebook with a cell for each view, opened and run."""
    cells = [_SETUP, _SWAPPED, *(cell for cell, _ in PLAYERS.values()), *OTHERS.values(), _MAP]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, lab.folder / "views.ipynb")
    tab = chromium.open()
    opened = OpenNotebook(tab, lab, "views.ipynb")
    opened.run_all()
    assert opened.error_outputs() == []
    yield opened
    tab.check()
    tab.page.context.close()


def cell_of(notebook: OpenNotebook, at: int) -> Locator:
    """Return the view that stands under a cell, scrolled to and drawn."""
    cell = notebook.panel.locator(".jp-Cell").nth(at)
    view = cell.locator(".vswaplab-view")

    def drawn() -> bool:
        cell.scroll_into_view_if_needed()
        return view.count() == 1 and view.locator("canvas").first.is_visible()

    wait_until(drawn, f"the view under cell {at}", 30)
    view.scroll_into_view_if_needed()
    return view


def told(lab: Lab, name: str) -> Any:
    """Return what the kernel knows of a view."""
    for _ in range(100):
        try:
            return json.loads((lab.folder / "views.json").read_text(encoding="utf-8")).get(name)
        except ValueError:
            time.sleep(0.05)  # it is being written
    raise TimeoutError("The kernel never wrote what it knows of the views.")


def serious(notebook: OpenNotebook) -> list[str]:
    """Return the serious faults that axe finds within the views on the screen."""
    options = {"rules": {"region": {"enabled": False}}}
    found = Axe().run(notebook.page, context=".vswaplab-view", options=options).response["violations"]
    return [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("name", PLAYERS)
def test_a_player_steps_both_ways_and_the_kernel_follows(name: str, notebook: OpenNotebook, lab: Lab) -> None:
    view = cell_of(notebook, 2 + list(PLAYERS).index(name))
    where = PLAYERS[name][1]

    def position() -> int:
        return int(view.evaluate(f"(element) => element.player.{where}"))

    view.focus()
    view.press("End")
    last = position()
    assert last > 5
    for key, expected in (("ArrowLeft", last - 1), ("ArrowLeft", last - 2), ("ArrowRight", last - 1), ("Home", 0)):
        view.press(key)
        assert position() == expected, key
        wait_until(lambda expected=expected: told(lab, name) == expected, f"the kernel at {expected}", 20)  # type: ignore[misc]
    view.press("End")
    assert view.locator("canvas").first.get_attribute("aria-label")
    assert serious(notebook) == []


def test_the_ledger_s_sliders_reach_the_kernel(notebook: OpenNotebook, lab: Lab) -> None:
    view = cell_of(notebook, 2 + len(PLAYERS) + 1)
    usage = view.get_by_label("Usage, the cursor")
    before = told(lab, "ledger")["usage"]
    usage.press("ArrowRight")
    wait_until(lambda: told(lab, "ledger")["usage"] > before, "the usage", 20)
    usage.press("ArrowLeft")
    wait_until(lambda: told(lab, "ledger")["usage"] == before, "the usage", 20)
    assert serious(notebook) == []


def test_the_explorer_walks_its_slots(notebook: OpenNotebook, lab: Lab) -> None:
    view = cell_of(notebook, 2 + len(PLAYERS))
    view.focus()
    view.press("PageDown")
    view.press("PageDown")
    wait_until(lambda: told(lab, "explorer") == 3, "the slot", 20)
    view.press("PageUp")
    wait_until(lambda: told(lab, "explorer") == 2, "the slot", 20)
    assert "virtual slot 2" in view.locator(".vswaplab-chain").inner_text()
    assert serious(notebook) == []


def test_a_large_map_is_zoomed_down_to_a_slot_with_the_kernel_s_help(notebook: OpenNotebook, lab: Lab) -> None:
    view = cell_of(notebook, 2 + len(PLAYERS) + 2)
    view.focus()
    view.press("End")
    for _ in range(4):
        view.press("ArrowUp")
    for _ in range(12):
        view.press("+")
    view.press("PageDown")
    assert view.evaluate("(element) => element.player.per") == 1
    wait_until(lambda: view.locator(".vswaplab-field").count() == 5, "the bytes of the slot", 20)
    shown = int(view.evaluate("(element) => element.player.slot"))
    assert shown > 1 << 18
    wait_until(lambda: told(lab, "map") == shown, "the slot", 20)
    assert view.evaluate("(element) => element.player.shown().cells !== null")
