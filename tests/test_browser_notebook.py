"""The first notebook in JupyterLab under headless Chromium, as a reader meets it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator

import pytest
from browser.harness import Chromium, Lab, OpenNotebook, wait_until

pytestmark = pytest.mark.browser

FIRST = "01_a_page_goes_out.ipynb"
POSITION = re.compile(r"event (\d+) of (\d+)")


@pytest.fixture(scope="module")
def notebook(chromium: Chromium, lab: Lab) -> Iterator[OpenNotebook]:
    """Return the first notebook, opened and run from top to bottom."""
    tab = chromium.open()
    opened = OpenNotebook(tab, lab, FIRST)
    opened.run_all()
    yield opened
    tab.page.context.close()


def position(notebook: OpenNotebook) -> tuple[int, int]:
    """Return the event at which the stepper stands, and how many there are."""
    status = notebook.panel.locator(".vswaplab-stepper-status").first
    found: list[tuple[int, int]] = []

    def read() -> bool:
        # A cell that comes into view is drawn a moment later, its widgets after it.
        status.scroll_into_view_if_needed()
        match = POSITION.search(status.inner_text())
        if match is not None:
            found.append((int(match[1]), int(match[2])))
        return bool(found)

    wait_until(read, "the stepper showing where it stands", 30)
    return found[-1]


def press(notebook: OpenNotebook, name: str) -> int:
    """Press a button of the stepper and return where it stands then."""
    before, _ = position(notebook)
    notebook.panel.get_by_role("button", name=name, exact=True).first.click()
    wait_until(lambda: position(notebook)[0] != before, f"{name!r} changing the position", 30)
    return position(notebook)[0]


def test_every_cell_runs_without_error(notebook: OpenNotebook) -> None:
    assert notebook.error_outputs() == []


def test_figure_is_drawn(notebook: OpenNotebook) -> None:
    """A plotly figure stands in the output, with points of some size in it."""
    figure = notebook.panel.locator(".js-plotly-plot").first
    figure.scroll_into_view_if_needed()
    figure.locator(".scatterlayer .point").first.wait_for(state="attached")
    box = figure.bounding_box()
    assert box is not None
    assert box["width"] > 300
    assert box["height"] > 100


def test_stepper_moves_both_ways_and_comes_back(notebook: OpenNotebook) -> None:
    start, total = position(notebook)
    assert total > 1
    forth, back = ("Step forward", "Step back") if start < total - 1 else ("Step back", "Step forward")
    first = press(notebook, forth)
    second = press(notebook, forth)
    assert abs(second - start) == 2
    assert press(notebook, back) == first
    assert press(notebook, back) == start


def test_console_is_clean_and_nothing_leaves_the_machine(notebook: OpenNotebook) -> None:
    assert notebook.tab.requests
    notebook.tab.check()


def test_lab_is_set_to_ask_nobody_for_news_updates_or_extensions(lab: Lab) -> None:
    with urllib.request.urlopen(f"{lab.url}/lab?token={lab.token}", timeout=10) as response:
        page = response.read().decode()
    found = re.search(r'id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    config = json.loads(found[1])
    assert config["disabledExtensions"] == ["@jupyterlab/apputils-extension:announcements"]
    assert config["news"] == {"disabled": True}
    assert config["extensionManager"]["name"] == "read-only"
