"""The Sankey of transitions as Chromium draws it: words inside the picture and apart, bands that say what they are."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from browser.harness import Chromium, wait_until
from test_browser_charts import _WORDS, SLACK
from test_figures_transitions_chart import marked
from test_widgets_js import lived

from vswaplab.figures.transitions_chart import transitions_sankey
from vswaplab.observe.tracepoints import Trace

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["a life", "many phases"])
def test_words_are_inside_the_picture_and_apart(name: str, chromium: Chromium, tmp_path: Path) -> None:
    trace: Trace = lived("virtual") if name == "a life" else marked(5, 20)
    path = tmp_path / "chart.html"
    path.write_text(transitions_sankey(trace).to_html(include_plotlyjs=True), encoding="utf-8")
    tab = chromium.open()
    tab.page.goto(path.as_uri())
    tab.page.locator(".js-plotly-plot .main-svg text").first.wait_for(state="attached")
    wait_until(lambda: len(tab.page.evaluate(_WORDS)["words"]) > 8, "the words", 10)
    drawn = tab.page.evaluate(_WORDS)
    left, top, right, bottom = drawn["frame"]
    for words, x0, y0, x1, y1 in drawn["words"]:
        assert x0 >= left - SLACK, words
        assert y0 >= top - SLACK, words
        assert x1 <= right + SLACK, words
        assert y1 <= bottom + SLACK, words
    for one, other in combinations(drawn["words"], 2):
        wide, tall = min(one[3], other[3]) - max(one[1], other[1]), min(one[4], other[4]) - max(one[2], other[2])
        assert wide <= SLACK or tall <= 2 * SLACK, (one[0], other[0])
    tab.check()
    tab.page.context.close()


def test_pointing_at_a_band_says_how_many_went_where(chromium: Chromium, tmp_path: Path) -> None:
    figure = transitions_sankey(lived("virtual"))
    path = tmp_path / "chart.html"
    path.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
    tab = chromium.open()
    tab.page.goto(path.as_uri())
    tab.page.locator(".js-plotly-plot .main-svg text").first.wait_for(state="attached")
    frame = tab.page.locator(".main-svg").first.bounding_box()
    assert frame is not None
    band = next(each for each in figure.data if each.name.startswith("0 not allocated"))
    side, above = (figure.layout.margin.l, figure.layout.margin.t)
    middle = (band.y[0] + band.y[-1]) / 2
    at = frame["x"] + side + band.x[0] + 6, frame["y"] + above + middle

    def said() -> bool:
        tab.page.mouse.move(at[0] + 1, at[1])
        tab.page.mouse.move(*at)
        return "from not allocated to" in " ".join(tab.page.locator(".hoverlayer").all_text_contents())

    wait_until(said, "the words", 10)
    tab.check()
    tab.page.context.close()
