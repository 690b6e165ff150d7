"""Hostile learners: what their code does, and what they hand in instead of a notebook."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from gradefarm import FARM, Case, Row, after, before, in_calls, own_cell, returning, right, solution_cells
from gradehonest import FORMS, zip_of
from hostilecode import ASKS, AT_TOP, IN_CALLS, RETURNED, TIME

from vswaplab.lab.grading.model import Lab


def _coded(lab: Lab, rng: Random) -> Iterator[tuple[str, Any, Row]]:
    none = (0, 0)
    for kind, (source, reason) in AT_TOP.items():
        yield kind, before(right(lab), source), Row(none, reason)
    for kind, (source, reason) in IN_CALLS.items():
        yield kind, after(right(lab), in_calls(lab, source)), Row(none, reason)
    for kind, source in RETURNED.items():
        yield f"returns {kind}", after(right(lab), returning(lab, source)), Row(none, "^$|Something else|answer|memory")
    below = "import time\ntime.sleep(1.6)"
    tree = right(lab)
    for _ in range(200):
        own_cell(tree, below)
    yield "sleeps just below the limit, often", tree, Row((0, lab.points - 1), "^$|seconds in all")
    busy = "import threading\ndef spin():\n    while True:\n        pass\n"
    busy += "threading.Thread(target=spin, daemon=True).start()"
    yield "a busy thread and right answers", before(right(lab), busy), Row((0, lab.points), "^$|seconds")
    if lab is FARM:
        for kind, source in ASKS.items():
            reason = TIME if kind == "asks without end" else "^$"
            yield kind, after(right(lab), f"def total(numbers):\n    return {source}"), Row((5, 5), reason)


# -- what is no notebook, or none as it should be ----------------------------------------------------------------------


def _files(lab: Lab) -> Iterator[tuple[str, str, bytes, Row]]:
    """Yield the kind, the end of the file's name, its bytes and its row."""
    none, full = (0, 0), Row((lab.points, lab.points))
    good = FORMS["plain"](right(lab))
    not_one = Row(none, r"is not a notebook; hand in the \.ipynb file itself")
    for kind, raw in {
        "cut off": good[: len(good) // 2],
        "200,000 brackets": b"[" * 200_000,
        "objects in objects": b'{"cells":' * 100_000,
        "an essay": b"This is my essay.",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "null": b"null",
        "an array": b"[]",
        "no cells": b'{"nbformat": 4}',
        "cells that are none": b'{"nbformat": 4, "cells": [null, 3]}',
        "one number of 5,000 digits": b'{"cells": ' + b"9" * 5000 + b"}",
    }.items():
        yield kind, ".ipynb", raw, not_one
    yield "empty", ".ipynb", b"", Row(none, "not a notebook|is empty")
    for kind, value in {"null": None, "text": "x", "a list": [1], "a number": 7}.items():
        tree = right(lab)
        tree["metadata"] = value
        yield f"metadata {kind}", ".ipynb", FORMS["plain"](tree), full
        tree = right(lab)
        tree["metadata"]["vswaplab"] = value
        yield f"the lab's metadata {kind}", ".ipynb", FORMS["plain"](tree), full
        tree = right(lab)
        for each in solution_cells(tree):
            each["metadata"]["nbgrader"] = value
        yield (
            f"the cells' metadata {kind}",
            ".ipynb",
            FORMS["plain"](tree),
            Row(none, "No cell is marked as a solution"),
        )
    tree = right(lab)
    tree["nbformat"] = 5
    yield "nbformat 5", ".ipynb", FORMS["plain"](tree), full
    tree = right(lab)
    solution_cells(tree)[0]["source"] = {"text": "x"}
    yield "a source that is no text", ".ipynb", FORMS["plain"](tree), Row(none, "whose source is no text")
    tree = after(right(lab), "#" * (17 << 20))
    yield "17 MiB of code", ".ipynb", FORMS["plain"](tree), Row(none, "holds more than 16 MiB of code")
    yield "a zip of three", ".zip", zip_of({f"{at}.ipynb": good for at in "abc"}), Row(none, "zip of 3 notebooks")
    yield "a zip of none", ".zip", zip_of({"essay.docx": b"x"}), Row(none, "zip of 0 notebooks")
    yield "a zip bomb", ".zip", zip_of({"a.ipynb": bytes(200 << 20)}), Row(none, "larger than 128 MiB")
    unreadable = Row(none, "zip that can't be read")
    yield "a zip with a password", ".zip", _encrypted(zip_of({"a.ipynb": good})), unreadable
    yield "a zip that is cut off", ".zip", zip_of({"a.ipynb": good})[:-30], unreadable
    yield "a zip of paths that leave", ".zip", zip_of({"../../../tmp/a.ipynb": good, "/etc/b.txt": b"x"}), full


def _encrypted(raw: bytes) -> bytes:
    """Set the mark of a password in both headers of a zip's member."""
    made = bytearray(raw)
    for head, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(head) + at] |= 1
    return bytes(made)


def _special(who: str, kind: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        path = folder / f"{who}.ipynb"
        match kind:
            case "a FIFO":
                os.mkfifo(path)
            case "a socket":
                with socket.socket(socket.AF_UNIX) as made:
                    made.bind(os.path.relpath(path))
            case "a link to nothing":
                path.symlink_to("nowhere.ipynb")
            case "a link to itself":
                path.symlink_to(path.name)
            case "a link to another folder":
                path.symlink_to(Path(__file__))
            case "a link to a device":
                path.symlink_to("/dev/zero")
            case "130 MiB":
                with path.open("wb") as file:
                    file.truncate(130 << 20)

    return put


_SPECIAL = {
    "a FIFO": "It is a FIFO",
    "a socket": "It is a socket",
    "a link to nothing": "link to a file that is not there",
    "a link to itself": "link to a file that is not there|can't be read",
    "a link to another folder": "link to a file outside of the folder",
    "a link to a device": "link to a file outside of the folder",
    "130 MiB": "larger than 128 MiB",
}
_NAMES = {
    "control characters": ("\x1b[2J\x07x", "\\x1b[2J\\x07x"),
    "a new line": ("a\nb,c\r", "a b,c"),
    "a formula": ("=cmd|'calc'!A0", "'=cmd|'calc'!A0"),
    "a formula by +": ("+1", "'+1"),
    "a tab and a formula": ("\t=1", "'=1"),
    "a table": ("a|b|c", "a|b|c"),
    "markup": ("<script>x<script>", "<script>x<script>"),
    "no UTF-8": ("caf\udce9", "caf\\xe9"),
    "right to left": ("\u202ecod", "\\u202ecod"),
    "as long as may be": ("n" * 249, "n" * 200 + "…"),
}


def _written(path: str, raw: bytes) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / path).write_bytes(raw)

    return put


def hostile_cases(lab: Lab, rng: Random, number: int) -> list[Case]:
    """Return so many hostile learners, of as many kinds as there are; every kind if there are enough."""
    made: list[Case] = []
    for kind, tree, row in _coded(lab, rng):
        made.append(Case(kind, f"x {len(made)}", row, _written(f"x {len(made)}.ipynb", FORMS["plain"](tree))))
    for kind, end, raw, row in _files(lab):
        made.append(Case(kind, f"x {len(made)}", row, _written(f"x {len(made)}{end}", raw)))
    for kind, reason in _SPECIAL.items():
        made.append(Case(kind, f"x {len(made)}", Row((0, 0), reason), _special(f"x {len(made)}", kind)))
    good = FORMS["plain"](right(lab))
    for kind, (name, shown) in _NAMES.items():
        row = Row((lab.points, lab.points))
        made.append(Case(f"a name with {kind}", shown, row, _written(f"{name}.ipynb", good)))
    if number < len(made):
        made = rng.sample(made, number)
    return made


__all__ = ["hostile_cases"]
