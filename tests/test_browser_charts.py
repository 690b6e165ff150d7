"""Charts as Chromium draws them: every word inside the picture, and none on top of another."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium

from vswaplab.figures.ledger_bars import ledger_bars
from vswaplab.figures.ledger_chart import ledger_chart
from vswaplab.figures.swapoff_chart import kernel_rows, swapoff_chart
from vswaplab.observe.ledger_build import rows_of
from vswaplab.observe.ledger_designs import DESIGNS

pytestmark = pytest.mark.browser

SLACK = 1.5
"""Pixels by which boxes may touch: they are a little larger than the letters in them."""
_WORDS = """() => {
  const box = (element) => {
    const r = element.getBoundingClientRect();
    return [element.textContent, r.left, r.top, r.right, r.bottom];
  };
  const svg = document.querySelector(".main-svg").getBoundingClientRect();
  const words = [...document.querySelectorAll(".js-plotly-plot text")].filter((text) => text.textContent.trim());
  const lines = words.flatMap((text) => {
    const spans = [...text.querySelectorAll(".line")];
    return spans.length ? spans : [text];
  });
  return {frame: [svg.left, svg.top, svg.right, svg.bottom], words: lines.map(box).filter((b) => b[3] > b[1])};
}"""


def ledger_rows(backends: tuple[str, ...], mode: str) -> list[dict[str, Any]]:
    return [
        row.as_dict()
        for backend in backends
        for design in ("legacy", "virtual")
        for row in rows_of(design, backend, 1 << 16, range(5, 101, 5), mode)
    ]


def swapoff_rows() -> list[dict[str, Any]]:
    return [
        {
            "design": design,
            "swapped_pages": swapped,
            "mapped_ptes": mapped,
            "ptes_visited": (mapped + swapped) * (design == "legacy"),
            "pages_read": swapped,
            "seconds": 1e-5 * swapped + 1e-8 * mapped * (design == "legacy"),
            "backing": "device",
        }
        for design in ("legacy", "virtual")
        for swapped in (256, 1024, 4096)
        for mapped in (16_384, 262_144, 4_194_304)
    ]


def every_design() -> list[dict[str, Any]]:
    names = ("legacy", "virtual", *DESIGNS)
    return [row.as_dict() for name in names for row in rows_of(name, "disk", 1 << 14, (100,), "as allocated")]


CHARTS: dict[str, Callable[[], Any]] = {
    "ledger": lambda: ledger_chart(ledger_rows(("zswap", "disk"), "as posted")),
    "ledger as allocated": lambda: ledger_chart(ledger_rows(("disk",), "as allocated")),
    "ledger per slot": lambda: ledger_chart(ledger_rows(("zswap", "disk"), "as posted"), per_slot=True),
    "bars": lambda: ledger_bars(every_design(), titles={name: made.title for name, made in DESIGNS.items()}),
    "swapoff": lambda: swapoff_chart(swapoff_rows(), kernel_rows()),
}


@pytest.mark.parametrize("name", CHARTS)
def test_words_are_inside_the_picture_and_apart(name: str, chromium: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "chart.html"
    path.write_text(CHARTS[name]().to_html(include_plotlyjs=True), encoding="utf-8")
    tab = chromium.open()
    tab.page.goto(path.as_uri())
    tab.page.locator(".js-plotly-plot .main-svg text").first.wait_for(state="attached")
    tab.page.wait_for_timeout(300)
    drawn = tab.page.evaluate(_WORDS)
    tab.check()
    tab.page.context.close()
    left, top, right, bottom = drawn["frame"]
    assert len(drawn["words"]) > 20
    outside = [
        words
        for words, x0, y0, x1, y1 in drawn["words"]
        if x0 < left - SLACK or y0 < top - SLACK or x1 > right + SLACK or y1 > bottom + SLACK
    ]
    assert outside == []
    collisions = [
        (one[0], other[0])
        for one, other in combinations(drawn["words"], 2)
        if min(one[3], other[3]) - max(one[1], other[1]) > SLACK
        and min(one[4], other[4]) - max(one[2], other[2]) > 2 * SLACK
    ]
    assert collisions == []
