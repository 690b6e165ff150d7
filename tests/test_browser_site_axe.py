"""Every page of the site, the network cut: axe-core finds no serious fault, nothing is wider than the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.harness import Chromium
from browser.sitekit import open_page

pytestmark = [pytest.mark.browser, pytest.mark.notebook]


def checks(page: Path) -> dict[str, Any]:
    """Return axe's options for a page: of the reference's, all alike and long, one stands for the colours of all."""
    contrast = page.parent.name != "api" or page.stem == "widgets"
    return {"preload": False, "resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": contrast}}}


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_every_page_opens_clean_fits_and_axe_finds_no_serious_fault(
    width: int, theme: Any, pages: list[Path], chromium: Chromium
) -> None:
    faults = []
    for page in pages:
        if width < 1400 and page.parent.name == "api":
            continue  # the other reference pages are made of the same parts
        with open_page(chromium, page, width=width, theme=theme) as tab:
            for view in tab.page.locator(".vswaplab-place, .vs-chart").all():
                view.scroll_into_view_if_needed()
            tab.page.wait_for_function(
                "[...document.querySelectorAll('.vswaplab-place')].every((each) => each.childElementCount)"
                " && [...document.querySelectorAll('.vs-chart')].every((each) => each.dataset.drawn)"
            )
            assert tab.page.locator(".vswaplab-error").count() == 0, page.name
            if tab.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append((page.name, "wider than the window", ""))
            inside = {"exclude": [[".vs-chart-box"]]}  # an image with its text: what plotly draws in it is not read
            for fault in Axe().run(tab.page, context=inside, options=checks(page)).response["violations"]:
                if fault["impact"] in ("serious", "critical"):
                    faults += [(page.name, fault["id"], node["html"][:160]) for node in fault["nodes"]]
    assert faults == []
