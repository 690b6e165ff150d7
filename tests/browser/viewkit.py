"""Views on pages of their own, opened in Chromium: what their tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from browser.harness import Chromium, Tab
from vswaplab.widgets.page import page_head, view_html
from vswaplab.widgets.view import View

GROUNDS = {"light": ("#ffffff", "#222222"), "dark": ("#111111", "#e6e6e6")}
LANDMARKS = {"rules": {"region": {"enabled": False}}}
"""A page of nothing but a view has no landmarks to put it in."""


def page_of(views: Sequence[View], theme: str = "light") -> str:
    """Return a page with views, on a light or dark ground."""
    ground, text = GROUNDS[theme]
    style = f"background:{ground};color:{text};--pst-color-text-base:{text};--pst-color-background:{ground}"
    if theme == "dark":
        style += ";--pst-color-surface:#222;--pst-color-border:#555;--pst-color-primary:#5aa9ff"
    body = "".join(map(view_html, views))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Views</title>{page_head()}'
    shell = f'<!doctype html><html lang="en" data-theme="{theme}"><head>{head}</head>'
    return f'{shell}<body style="{style}">{body}</body></html>'


def open_views(chromium: Chromium, folder: Path, *views: View, theme: str = "light", width: int = 1040) -> Tab:
    """Return a tab with a page of views, all of them shown."""
    path = folder / "views.html"
    path.write_text(page_of(views, theme), encoding="utf-8")
    tab = chromium.open()
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.page.goto(path.as_uri())
    for place in tab.page.locator(".vswaplab-place").all():
        place.scroll_into_view_if_needed()
        place.locator(".vswaplab-view, .vswaplab-error").first.wait_for()
    return tab


def serious(tab: Tab) -> list[tuple[str, str]]:
    """Return what axe-core finds to be a serious or critical fault: the rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(tab.page, options=LANDMARKS).response["violations"]
    return [
        (fault["id"], node["html"][:120])
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
