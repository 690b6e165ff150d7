"""The swapoff race in Chromium: predict, play, stop midway, all by keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.harness import Chromium, wait_until
from browser.viewkit import open_views, serious

from vswaplab.widgets import SwapoffRace

pytestmark = pytest.mark.browser

_NOW = """() => { const {race} = document.querySelector(".vswaplab-view").player;
  return race.tracks.map((track) => [...race.now(track)]); }"""


@pytest.mark.parametrize(("theme", "width"), [("light", 1040), ("dark", 390)])
def test_predict_play_and_stop_midway(theme: str, width: int, chromium: Chromium, tmp_path: Path) -> None:
    view = SwapoffRace(16, "4M", 2)
    tab = open_views(chromium, tmp_path, view, theme=theme, width=width)
    page, status = tab.page, tab.page.locator(".vswaplab-race-status")
    page.get_by_label("PTEs that legacy looks at").fill("16")
    page.get_by_label("PTEs that virtual looks at").fill("0")
    page.locator(".vswaplab-view").focus()
    page.keyboard.press(" ")
    page.locator(".vswaplab-race-result table").wait_for(timeout=20_000)
    told = page.locator(".vswaplab-race-result").inner_text()
    legacy, virtual = (view.race.tracks[design] for design in ("legacy", "virtual"))
    assert f"{legacy.report.ptes_visited:,}" in told
    assert "times too few" in told
    assert "✓ exactly" in told
    assert page.evaluate(_NOW) == [legacy.samples[-1].tolist(), virtual.samples[-1].tolist()]
    page.keyboard.press("Home")
    assert page.evaluate(_NOW) == [[0] * 5, [0] * 5]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.get_by_label("What stops it").select_option("signal 50")
    page.locator(".vswaplab-view").focus()
    page.keyboard.press("End")
    wait_until(lambda: status.inner_text().count("stopped by a signal: EINTR") == 2, "both stopped", 5)
    stops = [s for s in view.race.stops if (s.why, s.percent) == ("signal", 50)]
    cells = page.locator(".vswaplab-fold-box").first.locator("tbody td:nth-child(3)").all_inner_texts()
    assert cells == [str(stop.on_device) for stop in stops]
    for fold in page.locator("summary").all()[1:]:
        fold.click()
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
