"""Draw the pictures of the documentation: real pages, swapped out by the model, photographed in Chromium.

    .venv/bin/python tools/make_images.py [--out docs/images]
    .venv/bin/python tools/make_images.py --views build/views

The first draws the pictures that the README shows; the second every view on a light and on a dark ground, for whoever
works on them to look at. Needs the system's Chromium and Playwright (a development dependency).
"""

from __future__ import annotations

import argparse
import base64
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from playwright.sync_api import sync_playwright

from vswaplab import Machine
from vswaplab.lab import choose
from vswaplab.observe.ledger_build import build
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import (
    BackingFlow,
    BreakIt,
    ByteLedger,
    SlotExplorer,
    StateMachine,
    Stepper,
    SwapoffRace,
    TwinPlayer,
    ZswapPool,
)
from vswaplab.widgets.page import page_head, view_html
from vswaplab.widgets.view import View
from vswaplab.workloads.corpus import real_page_array

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MAX_BYTES = 300_000
MARGIN = 10
GROUNDS = {"light": ("#ffffff", "#222222", "#f3f3f3", "#cccccc"), "dark": ("#111111", "#e6e6e6", "#222222", "#555555")}
"""Ground, text, what is raised, lines."""
_PIXELS = """async (png) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const bytes = context.getImageData(0, 0, image.width, image.height).data;
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}"""


def story(design: str) -> Stepper:
    """Return a stepper in the middle of the life of twelve pages, a process and its child."""
    machine = Machine(ram="1M", design=design, page_cluster=0)
    machine.swapon(size="1M")
    app = machine.spawn("app")
    region = app.mmap(12 * PAGE_SIZE)
    pages = real_page_array()[400:412].copy()
    pages[::5] = 0
    app.write(region.start, pages.tobytes())
    machine.mark("all are pushed out")
    machine.reclaim()
    machine.mark("four are written back")
    machine.writeback(4)
    machine.mark("a child reads five")
    child = app.fork()
    child.touch(region.addresses()[4:9])
    stepper = Stepper(machine)
    stepper.step = stepper.last - 3
    return stepper


def busy_pool() -> ZswapPool:
    """Return the pool of a machine whose zswap is full and written back from."""
    machine = Machine(ram="4M", page_cluster=0, zswap={"max_pool_percent": 30})
    machine.swapon(size="8M")
    app = machine.spawn("app")
    region = app.mmap(1600 * PAGE_SIZE)
    pages = real_page_array()[::2]
    machine.mark("more than fits is written")
    for i in range(1600):
        app.write(region.start + i * PAGE_SIZE, pages[i].tobytes())
    machine.mark("the first are read again")
    app.touch(region.addresses()[:60])
    view = ZswapPool(machine)
    view.step = view.last * 2 // 3
    return view


def mapped() -> SlotExplorer:
    """Return the map of a machine with pages in every backing, and holes."""
    machine = Machine(ram="32M", page_cluster=0)
    machine.swapon(size="4M")
    app = machine.spawn("app")
    region = app.mmap(900 * PAGE_SIZE)
    pages = real_page_array()[::4][:900].copy()
    pages[::11] = 0
    app.write(region.start, pages.tobytes())
    machine.reclaim()
    machine.writeback(260)
    child = app.fork()
    child.touch(region.addresses()[330:420])
    for first in (100, 480, 700):
        for process in (app, child):
            process.munmap(region.start + first * PAGE_SIZE, 40 * PAGE_SIZE)
    return SlotExplorer(machine, page=(app, region.start + 310 * PAGE_SIZE))


def found_fault() -> BreakIt:
    """Return break-it mode, solved by `SOLVED`."""
    return BreakIt("count-the-duplicate")


def at(view: View, step: int) -> View:
    """Return a view at a step."""
    view.step = step  # type: ignore[attr-defined]
    return view


VIEWS: dict[str, Callable[[], View]] = {
    "stepper": lambda: story("virtual"),
    "stepper-legacy": lambda: story("legacy"),
    "explorer": mapped,
    "explorer-8m": lambda: SlotExplorer(build("virtual", 1 << 23, "zswap", 60, "random", seed=1)),
    "twin": lambda: TwinPlayer("parent_and_child", step=12),
    "race": lambda: at(SwapoffRace(), 200),
    "ledger": ByteLedger,
    "zswap-pool": busy_pool,
    "flow": lambda: BackingFlow(story("virtual").model.trace),
    "state-machine": lambda: StateMachine(story("virtual").model.trace),
    "break-it": found_fault,
    "question": lambda: question(),
}
"""Every view, at a moment worth looking at."""
README = {
    "stepper.png": ("stepper", "light"),
    "race.png": ("race", "light"),
    "explorer.png": ("explorer", "light"),
    "zswap-pool-dark.png": ("zswap-pool", "dark"),
}
"""The views that the README shows."""


def question() -> View:
    """Return a question of the lessons."""
    return choose(
        "used",
        "zswap holds 1,000 pages; what does /proc/swaps say is used in the virtual design?",
        {"0": True, "1,000 pages": "That is the legacy design: there a slot is taken for each."},
    )


def view_page(view: View, theme: str) -> str:
    """Return a page with a view on a light or dark ground."""
    ground, text, raised, line = GROUNDS[theme]
    style = f"margin:0;padding:{MARGIN}px;width:max-content;background:{ground};color:{text}"
    names = ("--pst-color-text-base", "--pst-color-background", "--pst-color-surface", "--pst-color-border")
    style += "".join(f";{name}:{colour}" for name, colour in zip(names, (text, ground, raised, line), strict=True))
    head = f'<meta charset="utf-8">{page_head()}'
    body = f'<div style="width:980px">{view_html(view)}</div>'
    return f'<!doctype html><html data-theme="{theme}"><head>{head}</head><body style="{style}">{body}</body></html>'


def photograph(html: str, ready: str, path: Path, browser_path: str) -> None:
    """Open a page, wait for what is `ready`, and write what its body shows to `path`, at twice its size."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "page.html"
        page_file.write_text(html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1100, "height": 900}, device_scale_factor=2)
        page.goto(page_file.as_uri())
        page.locator(ready).first.wait_for(state="attached")
        page.wait_for_timeout(500)
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = page.locator("body").screenshot()
        width, height = struct.unpack(">II", shot[16:24])
        raw = page.evaluate(_PIXELS, base64.b64encode(shot).decode())
        browser.close()
    path.write_bytes(encode_png(np.frombuffer(base64.b64decode(raw), np.uint8).reshape(height, width, 4)))


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return an image (rows, columns, 4) as a PNG of its 256 commonest colours: a third of the size."""
    rgb = (pixels[:, :, :3].astype(np.uint32) + 4) // 8 * 8
    rgb = np.minimum(rgb, 255)
    words = rgb[:, :, 0] << 16 | rgb[:, :, 1] << 8 | rgb[:, :, 2]
    colours, inverse, counts = np.unique(words, return_inverse=True, return_counts=True)
    parts = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int64)
    palette = parts[np.argsort(counts)[::-1][:256]]
    nearest = ((parts[:, None] - palette[None]) ** 2).sum(axis=2).argmin(axis=1).astype(np.uint8)
    rows = nearest[inverse].reshape(words.shape)
    lines = np.hstack([np.zeros((len(rows), 1), np.uint8), rows])
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    parser.add_argument("--views", type=Path, help="draw every view, light and dark, into this folder instead")
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("Chromium is needed; install it with: apt-get install chromium", file=sys.stderr)
        return 1
    pictures = README if args.views is None else {f"{n}-{t}.png": (n, t) for n in VIEWS for t in GROUNDS}
    out, too_large = args.views or args.out, 0
    for file, (name, theme) in pictures.items():
        path = out / file
        photograph(view_page(VIEWS[name](), theme), ".vswaplab-view", path, browser)
        size = path.stat().st_size
        too_large += args.views is None and size > MAX_BYTES
        print(f"{path}: {size:,} bytes")
    return int(too_large > 0)


if __name__ == "__main__":
    raise SystemExit(main())
