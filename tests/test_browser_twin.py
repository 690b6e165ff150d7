"""The twin player in Chromium: by keyboard both ways, both designs as Python has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious
from test_widgets_twin import key

from vswaplab.widgets import TwinPlayer
from vswaplab.workloads.scenario_compare import COMPARED

pytestmark = pytest.mark.browser


def agrees(tab: Tab, view: TwinPlayer, position: int) -> bool:
    found: dict[str, Any] = tab.page.evaluate(
        """() => { const {twin} = document.querySelector(".vswaplab-twins").player;
          return {position: twin.position, places: twin.places.map((each) => Object.fromEntries(each))}; }"""
    )
    if not position:
        return bool(found["position"] == 0)
    sides = view.comparison.steps[position - 1].sides
    wanted = [{key(page): where for page, where in sides[design].pages.items()} for design in COMPARED]
    return bool(found["position"] == position and found["places"] == wanted)


def test_keys_alone_step_play_and_jump(chromium: Chromium, tmp_path: Path) -> None:
    view = TwinPlayer("parent_and_child")
    tab = open_views(chromium, tmp_path, view)
    page, keyboard = tab.page, tab.page.keyboard
    page.locator(".vswaplab-view").focus()
    assert agrees(tab, view, view.last)
    marks = [i for i, step in enumerate(view.header["steps"], 1) if step["operation"].startswith("mark ")]
    for press, position in (
        ("ArrowLeft", view.last - 1),
        ("Home", 0),
        ("ArrowRight", 1),
        ("PageDown", marks[0]),
        ("PageDown", marks[1]),
        ("PageUp", marks[0]),
        ("End", view.last),
    ):
        keyboard.press(press)
        assert agrees(tab, view, position), press
    keyboard.press("Home")
    for _ in range(4):
        keyboard.press("+")
    keyboard.press(" ")
    wait_until(lambda: agrees(tab, view, view.last), "playing to the end", 20)
    tab.check()
    page.context.close()


@pytest.mark.parametrize(("theme", "width"), [("light", 1040), ("dark", 390)])
def test_words_follow_and_axe_finds_nothing(theme: str, width: int, chromium: Chromium, tmp_path: Path) -> None:
    view = TwinPlayer("parent_and_child", step=12)
    tab = open_views(chromium, tmp_path, view, theme=theme, width=width)
    page, step = tab.page, view.comparison.steps[11]
    assert "operation 12 of 26: read child heap, 5 pages" in page.locator(".vswaplab-status").inner_text()
    for fold in page.locator("summary").all()[1:]:
        fold.click()
    wait_until(lambda: page.locator("table").count() == 4, "the tables", 5)
    cells = page.locator("table").first.locator("tbody tr td:first-child").all_inner_texts()
    assert cells == list(step.differences())
    label = str(page.locator("canvas").first.get_attribute("aria-label"))
    memory = step.sides["legacy"].where["memory"]
    assert f"{memory} memory" in label
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
