"""Break-it mode in Chromium: by keyboard alone from the first event to the solution."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.harness import Chromium, wait_until
from browser.viewkit import open_views, serious

from vswaplab.widgets import BreakIt

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("design", "theme", "width"), [("virtual", "light", 1040), ("legacy", "dark", 390)])
def test_a_learner_finds_it_by_keyboard(
    design: str, theme: str, width: int, chromium: Chromium, tmp_path: Path
) -> None:
    view = BreakIt("count-the-duplicate", design=design)
    tab = open_views(chromium, tmp_path, view, theme=theme, width=width)
    page, keyboard, quiz = tab.page, tab.page.keyboard, view.header["quiz"]
    feedback, canvas = page.locator(".vswaplab-feedback li"), page.locator("canvas")
    page.locator(".vswaplab-view").focus()
    for _ in range(quiz["event"] - view.step):
        keyboard.press("ArrowRight")
    page.get_by_role("button", name="The one shown").press("Enter")
    page.get_by_role("button", name="Check").press("Enter")
    assert [text.split(".")[0] for text in feedback.all_inner_texts()] == [
        "✓ event: correct",
        "… place: missing",
        "… invariant: missing",
    ]
    assert "Broken" not in str(canvas.get_attribute("aria-label"))
    page.get_by_label("Place", exact=True).select_option(quiz["edge"])
    page.get_by_label("Invariant", exact=True).select_option(quiz["invariant"])
    page.get_by_role("button", name="Check").press("Enter")
    wait_until(lambda: "Broken: swap-count-is-holders." in str(canvas.get_attribute("aria-label")), "the edge", 5)
    assert "A fork adds a reference" in feedback.last.inner_text()
    edges = page.evaluate(
        """() => { const {graph, tape} = document.querySelector(".vswaplab-view").player;
          const [{edge, ptes, entries}] = graph.broken;
          return {edge, held: ptes.map((p) => tape.state.pteRef[p]), entries}; }"""
    )
    assert edges == {"edge": "pte", "held": [0, 0], "entries": [0]}  # parent's and child's, and no other by now
    page.locator(".vswaplab-view").focus()
    keyboard.press("ArrowLeft")
    wait_until(lambda: "Broken" not in str(canvas.get_attribute("aria-label")), "before it", 5)
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
    view.run.close()
