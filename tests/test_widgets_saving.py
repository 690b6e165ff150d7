"""Pictures and tables that are taken away: what is written down is what is on the screen."""

from __future__ import annotations

import csv
import io
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab
from browser.viewkit import open_views
from nodekit import run_node
from test_widgets_js import lived

from vswaplab import Machine
from vswaplab.lab import open_stepper
from vswaplab.widgets import (
    BackingFlow,
    ByteLedger,
    SlotExplorer,
    StateMachine,
    Stepper,
    SwapoffRace,
    TwinPlayer,
    ZswapPool,
)
from vswaplab.workloads.token import decode_token

SVG = "{http://www.w3.org/2000/svg}"
_DIFFER = """async (svg) => {
  const canvas = document.querySelector('.vswaplab-view canvas'), {surface} = canvas;
  // Coarse: the edges of letters fall between the points.
  const [width, height] = [canvas.width, canvas.height].map((side) => Math.round(side / 8));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const drawn = new OffscreenCanvas(canvas.width, canvas.height);
  drawn.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  const points = (source) => {
    const pen = new OffscreenCanvas(width, height).getContext('2d');
    pen.imageSmoothingQuality = 'high';
    pen.fillStyle = surface.theme.ground;
    pen.fillRect(0, 0, width, height);
    pen.drawImage(source, 0, 0, width, height);
    return pen.getImageData(0, 0, width, height).data;
  };
  const one = points(canvas), two = points(drawn);
  let painted = 0, differ = 0;
  for (let i = 0; i < one.length; i += 4) {
    const far = (j) => Math.abs(one[i + j] - two[i + j]);
    painted += Math.abs(one[i] - one[0]) + Math.abs(one[i + 1] - one[1]) + Math.abs(one[i + 2] - one[2]) > 40;
    differ += far(0) + far(1) + far(2) > 90;
  }
  return [painted / (one.length / 4), differ / (one.length / 4)];
}"""


def many_slots() -> Machine:
    machine = Machine(ram="8M", seed=1)
    machine.swapon(size="4M")
    app = machine.spawn("app")
    app.touch(app.mmap("2M"), write=True)
    machine.reclaim()
    return machine


VIEWS: dict[str, Any] = {
    "stepper": lambda: Stepper(lived("virtual")),
    "stepper of many": lambda: Stepper(many_slots()),
    "statemachine": lambda: StateMachine(lived("virtual")),
    "flow": lambda: BackingFlow(lived("virtual")),
    "twin": lambda: TwinPlayer("one_page"),
    "pool": lambda: ZswapPool(lived("virtual")),
    "explorer": lambda: SlotExplorer(many_slots()),
    "ledger": ByteLedger,
    "race": SwapoffRace,
}


def taken(tab: Tab, name: str) -> bytes:
    """Return what the button of that name saves."""
    with tab.page.expect_download() as download:
        tab.page.locator(".vswaplab-saving").first.get_by_role("button", name=name).click()
    assert download.value.suggested_filename.startswith("vswaplab-")
    assert download.value.suggested_filename.endswith(f".{name.lower()}")
    return Path(download.value.path()).read_bytes()


def test_what_is_painted_is_written_down(tmp_path: Path) -> None:
    assert run_node(tmp_path, "VSWAPLAB_CASES", {}, "saving") >= 5


@pytest.mark.browser
@pytest.mark.parametrize("view", VIEWS)
def test_a_saved_picture_is_the_one_on_the_screen(view: str, chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, VIEWS[view]())
    svg = taken(tab, "SVG").decode()
    root = ET.fromstring(svg)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    assert root.findtext(f"{SVG}title")
    assert len(root.findall(f".//{SVG}text")) > 3
    assert not root.findall(f".//{SVG}image")
    png = taken(tab, "PNG")
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">II", png[16:24]) == (2 * round(width), 2 * round(height))
    painted, differ = tab.page.evaluate(_DIFFER, svg) if len(root.findall(f"{SVG}g")) == 1 else (1.0, 0.0)
    assert differ < 0.01
    assert painted > 0.01
    table = list(csv.reader(io.StringIO(taken(tab, "CSV").decode())))
    tab.page.locator(".vswaplab-twin summary").click()
    rows = tab.page.locator(".vswaplab-twin tr").all()
    seen = [[cell.text_content() for cell in row.locator("th, td").all()] for row in rows[:40]]
    assert [row for row in seen if row not in table] == []


@pytest.mark.browser
def test_the_token_of_a_step_can_be_copied(chromium: Chromium, tmp_path: Path) -> None:
    stepper = open_stepper("vs1-0H79-ZPRB-1M1T-SRYY")
    tab = open_views(chromium, tmp_path, stepper)
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.locator(".vswaplab-view").focus()
    tab.page.keyboard.press("Home")
    tab.page.keyboard.press("ArrowRight")
    tab.page.get_by_role("button", name="Copy").click()
    tab.page.get_by_text("Copied.").wait_for()
    link = str(tab.page.evaluate("navigator.clipboard.readText()"))
    before, _, token = link.partition("#")
    assert before == tab.page.url.partition("#")[0]
    assert decode_token(token).event == 1
