"""Measure the built site in headless Chromium: what each page weighs over the wire, and when it can be used.

    .venv/bin/python tools/bench_html.py [--site build/html] [--json]

A server on this machine sends every file compressed with gzip. Each page is opened with an empty cache. It can be used
when all views in the window are there and the browser is idle; then the page is scrolled through, so that its weight
is that of everything on it. The limits are 3 MB for a page and 2 s until it can be used. Times are medians; this
machine's load is printed. Needs the system's Chromium and Playwright (a development dependency).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MAX_BYTES, MAX_SECONDS = 3_000_000, 2.0
RUNS = 3
PACKED = {".html", ".js", ".css", ".svg", ".json", ".ipynb", ".txt"}
_USABLE = """() => new Promise((done) => {
  const inside = (each) => each.getBoundingClientRect().top < innerHeight;
  const look = () => {
    const views = [...document.querySelectorAll(".vswaplab-place")].filter(inside);
    if (document.readyState !== "complete" || !views.every((each) => each.childElementCount)) setTimeout(look, 5);
    else requestIdleCallback(() => done(performance.now()));
  };
  look();
})"""
_WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .map((each) => [new URL(each.name).pathname, each.encodedBodySize])"""
_ALL_THERE = """() => [...document.querySelectorAll(".vswaplab-place")].every((each) => each.childElementCount)
  && [...document.querySelectorAll(".vs-chart")].every((each) => each.dataset.drawn)"""


@cache
def _packed(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), 6)


class Packing(SimpleHTTPRequestHandler):
    """Sends files of a folder, text compressed as any web server does."""

    def send_head(self) -> BytesIO | Any:
        """Answer with a file's head; return its body."""
        path = self.translate_path(self.path)
        if Path(path).suffix not in PACKED or not Path(path).is_file():
            return super().send_head()
        body = _packed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Yield the address of a server of `site`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Packing, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def opened(browser: Browser, url: str) -> tuple[float, dict[str, int]]:
    """Return the seconds until a page can be used, and the bytes of each file that it is made of."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(url, wait_until="commit")
    seconds = page.evaluate(_USABLE) / 1000
    for each in page.locator(".vswaplab-place, .vs-chart").all():
        each.scroll_into_view_if_needed()
    page.wait_for_function(_ALL_THERE)
    files = {path: size for path, size in page.evaluate(_WEIGHT) if size}
    context.close()
    return seconds, files


def measure(site: Path) -> dict[str, Any]:
    """Return for each page its bytes, its own and shared, and the seconds until it can be used."""
    load = os.getloadavg()[0]
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)
    found = {}
    with served(site) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name in pages:
            runs = [opened(browser, f"{base}/{name}") for _ in range(RUNS)]
            files = runs[0][1]
            own = sum(size for path, size in files.items() if path == f"/{name}")
            plotly = sum(size for path, size in files.items() if path.endswith("plotly.min.js"))
            views = sum(size for path, size in files.items() if path.endswith("views.js"))
            seconds = statistics.median(run[0] for run in runs)
            whole = sum(files.values())
            found[name] = {"seconds": seconds, "bytes": whole, "own": own, "plotly": plotly, "views": views}
        browser.close()
    return {"load": load, "pages": found}


def main() -> int:
    """Measure and print; 1 if a page is over a limit."""
    parser = argparse.ArgumentParser(description="Measure the built site in headless Chromium.")
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "html")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not (args.site / "index.html").is_file():
        parser.error(f"there is no site in {args.site}; build one with make html")
    found = measure(args.site)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{'page':<46} {'whole':>8} {'itself':>8} {'plotly':>8} {'players':>8}  {'usable':>6}   (kB, s)")
        for name, row in found["pages"].items():
            sizes = " ".join(f"{row[what] / 1000:>8.1f}" for what in ("bytes", "own", "plotly", "views"))
            print(f"{name:<46} {sizes}  {row['seconds']:>6.2f}")
        print(f"medians of {RUNS}; load when it began {found['load']:.2f}, {os.cpu_count()} CPUs")
    over = [n for n, row in found["pages"].items() if row["bytes"] > MAX_BYTES or row["seconds"] > MAX_SECONDS]
    if over:
        print(f"over {MAX_BYTES / 1e6:.0f} MB or {MAX_SECONDS:.0f} s: {', '.join(over)}", file=sys.stderr)
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
