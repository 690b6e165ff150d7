"""What the fuzz targets share: damage done to valid input, and what an error must look like."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

from vswaplab.errors import SwapError

MAX_SENTENCE = 400


def check_sentence(error: BaseException) -> None:
    """Hold an error to one printable line that ends as a sentence does, of a length that is read."""
    text = str(error)
    assert text.endswith("."), text
    assert text.isprintable(), text
    assert len(text) <= MAX_SENTENCE, text


def outcome(parse: Callable[[], Any]) -> Any:
    """Return what `parse` returns, or the error it raises if that is one of the library's own, in one sentence."""
    try:
        return parse()
    except SwapError as error:
        check_sentence(error)
        return error


@contextmanager
def bounded(nr_bytes: int) -> Iterator[None]:
    """Hold what is allocated inside to a peak of `nr_bytes`."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= nr_bytes
    finally:
        tracemalloc.stop()


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """Draw valid bytes with a few things done to them: bytes flipped, cut off, doubled, put in, or overwritten."""
    raw = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        nr = draw(st.integers(1, 16))
        match draw(st.sampled_from(("flip", "cut", "drop", "double", "insert", "overwrite"))):
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del raw[at:]
            case "drop":
                del raw[at : at + nr]
            case "double":
                raw[at:at] = raw[at : at + nr * 8]
            case "insert":
                raw[at:at] = draw(st.binary(min_size=1, max_size=16))
            case _:
                raw[at : at + nr] = draw(st.sampled_from((b"\xff", b"\0", b"9", b"-", b"[", b'"', b"\n"))) * nr
    return bytes(raw)


HOSTILE: tuple[Any, ...] = (
    *(10**30, 2**64, 2**62, 10**12, -1, float("nan"), float("inf"), 1.5, True, None),
    *(
        "1e3",
        "\u0661\u0662",
        "",
        "x\0y",
        "a" * 5000,
        "x\ny",
        b"x",
        [],
        {},
        (),
        [[1], [1, 2]],
        {"x": 1},
        object(),
        10**5000,
    ),
)
"""Values that no argument, or hardly any, can mean."""
