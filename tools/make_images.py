"""Draw the pictures of the documentation: real pages, swapped out by the model, photographed in Chromium.

    .venv/bin/python tools/make_images.py [--out docs/images]

Needs the system's Chromium and Playwright (a development dependency). The pictures: the slot graph of 256 real pages
(most in zswap, some written back to the swapfile, some read back, the zero page shared), and the stepper in the middle
of a story, in either design, on a light and on a dark ground.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import struct
import sys
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from playwright.sync_api import sync_playwright

from vswaplab import Machine
from vswaplab.figures.slot_graph import slot_graph_figure
from vswaplab.observe.snapshot import Snapshot
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets import Stepper
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


def slots_of_real_pages(folder: Path) -> Snapshot:
    """Return the state after 256 pages went out, 64 of them on to the swapfile, and 48 came back."""
    pages = real_page_array()[::15].copy()
    pages[::16] = 0
    with Machine(ram="16M") as machine:
        machine.swapon(folder / "swap.img", size="8M")
        app = machine.spawn("app")
        region = app.mmap(pages.nbytes)
        app.write(region.start, pages.tobytes())
        machine.reclaim()
        machine.writeback(64)
        app.touch(region.start + np.arange(200, 248) * PAGE_SIZE)
        return machine.snapshot()


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


def figure_page(snapshot: Snapshot) -> str:
    """Return a page with the slot graph on white."""
    figure = slot_graph_figure(snapshot, theme="light")
    page = figure.to_html(include_plotlyjs=True, full_html=True, config={"displayModeBar": False})
    return str(page).replace(
        "<body>", f'<body style="margin:{MARGIN}px {MARGIN}px 0;background:#fff;width:max-content">'
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
    out = parser.parse_args().out
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("Chromium is needed; install it with: apt-get install chromium", file=sys.stderr)
        return 1
    with TemporaryDirectory(prefix="vswaplab-") as folder:
        slots = figure_page(slots_of_real_pages(Path(folder)))
    pictures = {
        "slots.png": (slots, ".scatterlayer .point"),
        "stepper.png": (view_page(story("virtual"), "light"), ".vswaplab-view canvas"),
        "stepper-legacy-dark.png": (view_page(story("legacy"), "dark"), ".vswaplab-view canvas"),
    }
    too_large = 0
    for name, (html, ready) in pictures.items():
        path = out / name
        photograph(html, ready, path, browser)
        size = path.stat().st_size
        too_large += size > MAX_BYTES
        print(f"{path}: {size:,} bytes")
    return int(too_large > 0)


if __name__ == "__main__":
    raise SystemExit(main())
