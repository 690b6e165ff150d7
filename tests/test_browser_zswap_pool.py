"""The zswap pool in Chromium: by keyboard both ways, equal to the machine's at the end, no fault for axe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious
from test_observe_pool_history import busy

from vswaplab.widgets import ZswapPool

pytestmark = pytest.mark.browser


def shown(tab: Tab) -> dict[str, Any]:
    found: dict[str, Any] = tab.page.evaluate(
        """() => { const {log} = document.querySelector(".vswaplab-view").player;
          const oldest = [...log.lrus.values()].flat()[0];
          return {position: log.position, stored: log.objects.size, pages: log.pages(), oldest}; }"""
    )
    return found


@pytest.mark.parametrize(("theme", "width"), [("light", 1040), ("dark", 390)])
def test_keys_step_both_ways_and_the_end_is_the_machines(
    theme: str, width: int, chromium: Chromium, tmp_path: Path
) -> None:
    machine = busy("virtual", True)
    zswap = machine.zswap
    assert zswap is not None
    view = ZswapPool(machine)
    tab = open_views(chromium, tmp_path, view, theme=theme, width=width)
    page, keyboard = tab.page, tab.page.keyboard
    end = shown(tab)
    oldest = next(int(ze.swpentry) for ze in next(iter(zswap.lrus.values())))
    assert end == {"position": view.last, "stored": zswap.stored_pages, "pages": zswap.pool_pages, "oldest": oldest}
    page.locator(".vswaplab-view").focus()
    keyboard.press("ArrowLeft")
    assert shown(tab)["position"] == view.last - 1
    keyboard.press("Home")
    assert shown(tab) == {"position": 0, "stored": 0, "pages": 0, "oldest": None}
    keyboard.press("ArrowRight")
    assert "is stored" in page.locator(".vswaplab-status").inner_text()
    keyboard.press("End")
    assert shown(tab) == end
    page.get_by_text("The same as a table").click()
    cells = page.locator(".vswaplab-twin tbody tr td:nth-child(4)")
    used = [f"{row.objs_used:,}" for row in zswap.pools[0].zspool.classes_table() if row.objs_used]
    wait_until(lambda: cells.all_inner_texts()[: len(used)] == used, "the table", 5)
    labels = [str(canvas.get_attribute("aria-label")) for canvas in page.locator("canvas").all()]
    assert f"Pages of the pool over {view.last:,} operations: {zswap.pool_pages} now" in labels[1]
    assert serious(tab) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tab.check()
    page.context.close()
