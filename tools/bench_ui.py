"""Measure the views in headless Chromium: from a step to the painted frame, beside plotly's own update of the picture.

    .venv/bin/python tools/bench_ui.py [--slots 64 512 4096] [--events 100000] [--map 8388608] [--json]

Times are medians, in milliseconds, of one run on this machine, whose load is printed; the ratio to plotly in the same
run is what can be compared between machines. Needs the system's Chromium and Playwright (a development dependency).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import numpy as np
from playwright.sync_api import Page, Playwright, sync_playwright
from plotly.offline import get_plotlyjs

from vswaplab import Machine
from vswaplab.figures.slot_graph import slot_graph_figure, trace_updates
from vswaplab.observe.ledger_build import build
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import SlotExplorer, Stepper
from vswaplab.widgets.page import page_head, view_html
from vswaplab.widgets.view import View
from vswaplab.workloads.corpus import real_page_array

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STEPS = 30
_STEP = """async (steps) => {
  const player = document.querySelector(".vswaplab-view").player, times = [];
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let i = 0; i < steps; i++) {
    await painted();
    const start = performance.now();
    player.transport.go(player.position + (i % 2 ? 1 : -1));
    await painted();
    times.push(performance.now() - start);
  }
  return times;
}"""
_WORK = """(steps) => {
  const player = document.querySelector(".vswaplab-view").player, times = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    player.transport.go(player.position + (i % 2 ? 1 : -1));
    player.graph.surface.now();
    times.push(performance.now() - start);
  }
  return times;
}"""
_ZOOM = """async (steps) => {
  const zoom = document.querySelector(".vswaplab-view input[type=range]"), times = [];
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let i = 0; i < steps; i++) {
    await painted();
    const start = performance.now();
    zoom.value = String(i % (Number(zoom.max) + 1));
    zoom.dispatchEvent(new Event("input"));
    await painted();
    times.push(performance.now() - start);
  }
  return times;
}"""
_HEATMAP = """async ([pictures, steps]) => {
  const place = document.body.appendChild(document.createElement("div")), times = [];
  const layout = { width: 900, height: 300, margin: { l: 60, r: 10, t: 10, b: 30 } };
  await Plotly.newPlot(place, [{ type: "heatmap", z: pictures[0] }], layout);
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    await Plotly.react(place, [{ type: "heatmap", z: pictures[1 - i % 2] }], layout);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - start);
  }
  return times;
}"""
_PLOTLY = """async ([figures, layout, steps]) => {
  const place = document.body.appendChild(document.createElement("div")), times = [];
  await Plotly.newPlot(place, figures[0], layout);
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    await Plotly.react(place, figures[1 - i % 2], layout);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - start);
  }
  return times;
}"""


def history(slots: int) -> Machine:
    """Return a machine in which so many pages went out, a quarter of them on to the swapfile, and some came back."""
    machine = Machine(ram=4 * slots * PAGE_SIZE, page_cluster=0)
    machine.swapon(size=2 * slots * PAGE_SIZE)
    app = machine.spawn("app")
    region = app.mmap(slots * PAGE_SIZE)
    pages = np.resize(real_page_array(), (slots, PAGE_SIZE)).copy()
    pages[::16] = 0
    app.write(region.start, pages.tobytes())
    machine.reclaim()
    machine.writeback(slots // 4)
    app.touch(region.addresses()[: slots // 8])
    return machine


def opened(page: Page, view: View, folder: Path) -> float:
    """Open a page with a view; return the milliseconds until it was painted."""
    path = folder / "view.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{page_head()}<body>{view_html(view)}", encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector(".vswaplab-view canvas")
    return float(
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))")
    )


def plotly(page: Page, stepper: Stepper) -> list[float]:
    """Return the times of plotly's update of the same picture."""
    model, last = stepper.model, stepper.last
    scenes = [trace_updates(model.scene(position)) for position in (last - 1, last)]
    layout = slot_graph_figure(model.state(last), layout=model.layout, max_nodes=1 << 20).layout.to_plotly_json()
    page.add_script_tag(content=get_plotlyjs())
    return list(page.evaluate(_PLOTLY, [scenes, layout, 8 if len(model.layout.universe.entries) < 2000 else 3]))


def density(page: Page, slots: int, folder: Path) -> dict[str, float]:
    """Return the medians of the map of so many slots: zoom to painted frame, a window in Python, plotly's heat map."""
    explorer = SlotExplorer(build("virtual", slots, "zswap", 60, "random", seed=1))
    opened(page, explorer, folder)
    frame = statistics.median(page.evaluate(_ZOOM, STEPS))
    times = []
    for first in range(0, slots, slots // 16):
        start = time.perf_counter()
        explorer.want = {"part": 0, "first": first, "nr": 1 << 15}
        times.append(1000 * (time.perf_counter() - start))
    counts = explorer.slots.counts(explorer.slots.parts[0])[:, 2]
    counts = counts[: len(counts) // 64 * 64].reshape(-1, 64)
    page.add_script_tag(content=get_plotlyjs())
    theirs = statistics.median(page.evaluate(_HEATMAP, [[counts.tolist(), counts[::-1].tolist()], 8]))
    return {
        "slots": slots,
        "zoom": frame,
        "window": statistics.median(times),
        "plotly": theirs,
        "ratio": theirs / frame,
    }


_CELLS = (
    """import numpy as np
from vswaplab import Machine
from vswaplab.widgets import Stepper
machine = Machine(ram="8M")
machine.swapon(size="4M")
app = machine.spawn("app")
region = app.mmap("2M")
app.write(region.start, np.random.default_rng(0).bytes(1 << 20))
machine.reclaim()""",
    "Stepper(machine)",
)


def in_lab(playwright: Playwright, folder: Path) -> float:
    """Return the milliseconds from running a cell in JupyterLab to its stepper's first picture, the library loaded."""
    sys.path.insert(0, str(ROOT / "tests"))
    from browser.harness import CHROMIUM_FLAGS, Chromium, Lab, OpenNotebook

    notebooks = folder / "lab" / "notebooks"
    notebooks.mkdir(parents=True)
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in _CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, notebooks / "first.ipynb")
    lab = Lab(notebooks, ROOT / "tools" / "jupyter")
    lab.start()
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(CHROMIUM_FLAGS))
    try:
        opened = OpenNotebook(Chromium(browser).open(), lab, "first.ipynb")
        for _ in range(2):  # the second time is measured, as in a notebook that has been begun
            opened.run_all()
        cell = opened.panel.locator(".jp-CodeCell").nth(1)
        cell.locator(".cm-content").click()
        cell.locator(".vswaplab-view").evaluate("(element) => element.remove()")
        start = time.perf_counter()
        opened.page.keyboard.press("Control+Enter")
        cell.locator(".vswaplab-view canvas").wait_for()
        opened.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        return 1000 * (time.perf_counter() - start)
    finally:
        browser.close()
        lab.stop()


def measure(sizes: list[int], events: int, map_slots: int) -> dict[str, Any]:
    """Return the medians by size, how long a long trace takes to open, and those of the map at scale."""
    found: dict[str, Any] = {"load": os.getloadavg()[0], "step": {}}
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for slots in sizes:
            page = browser.new_page(viewport={"width": 1100, "height": 900})
            with history(slots) as machine:
                stepper = Stepper(machine)
                opened(page, stepper, Path(folder))
                frame = statistics.median(page.evaluate(_STEP, STEPS))
                work = statistics.median(page.evaluate(_WORK, STEPS))
                theirs = statistics.median(plotly(page, stepper))
            found["step"][slots] = {"frame": frame, "work": work, "plotly": theirs, "ratio": theirs / frame}
            page.close()
        page = browser.new_page()
        with history(events // 10) as machine:
            start = time.perf_counter()
            stepper = Stepper(machine, max_nodes=1 << 20)
            packed = 1000 * (time.perf_counter() - start)
            found["open"] = {"events": stepper.last, "pack": packed, "page": opened(page, stepper, Path(folder))}
        page.close()
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        found["density"] = density(page, map_slots, Path(folder))
        browser.close()
        found["lab"] = in_lab(playwright, Path(folder))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the views in headless Chromium.")
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 512, 4096])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--map", type=int, default=1 << 23, help="slots of the density map")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.slots, args.events, args.map)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    print(
        f"{'slots':>6}  {'step to painted frame':>22}  {'of it work':>10}  {'plotly':>8}  {'ratio':>6}   (ms, medians)"
    )
    for slots, row in found["step"].items():
        print(f"{slots:>6}  {row['frame']:>22.1f}  {row['work']:>10.1f}  {row['plotly']:>8.1f}  {row['ratio']:>6.1f}")
    opening = found["open"]
    packed = f"a trace of {opening['events']:,} events: packed in {opening['pack']:.0f} ms"
    print(f"\n{packed}, its page painted after {opening['page']:.0f} ms")
    scale = found["density"]
    zoom = f"the map of {scale['slots']:,} slots: zoom to painted frame {scale['zoom']:.1f} ms"
    print(
        f"{zoom}, plotly's heat map {scale['plotly']:.0f} ms; 32,768 slots read in Python in {scale['window']:.1f} ms"
    )
    print(f"JupyterLab: from running a cell to its first picture {found['lab']:.0f} ms")
    print(f"medians, ms; load when it began {found['load']:.2f}, {os.cpu_count()} CPUs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
