"""Page contents: what the lab swaps out.

Two sources:

* **made pages**, nine kinds and twelve mixes of 2,048 pages (8 MiB). Every byte comes from SHAKE-128 of a fixed seed:
  the same on any machine, and the very pages with which the tables in ``data/kernel/`` were measured on real kernels;
* **real pages**, 3,840 anonymous pages of five kinds of process, in ``data/pages/``.

>>> len(page_bytes("text", 0)), page_bytes("text", 0)[:26]
(4096, b'hapa. cobdaso. pib satu do')
>>> [kind for kind, _ in MIXES["desktop"][:6]]
['heap', 'text', 'zero', 'sparse', 'heap', 'half']
>>> len(mix_pages("desktop"))
2048
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import struct
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.strict import choice, instance, load_json, path_of, quoted, read_bounded, shown, whole_number
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

__all__ = [
    "KINDS",
    "MIXES",
    "MIX_PAGES",
    "REAL_KINDS",
    "Page",
    "PageArray",
    "data_dir",
    "mix_pages",
    "page_bytes",
    "real_page_array",
    "real_pages",
]

PageArray = npt.NDArray[np.uint8]
"""Shape (pages, 4096)."""

Page = tuple[str, int]
"""A made page by name: its kind, and which of that kind."""

KINDS: Mapping[str, int] = MappingProxyType(
    {
        "zero": 1,  # all zero bytes
        "same": 256,  # one 64-bit word repeated, not zero: "same-filled" to zswap up to 6.11
        "sparse": 512,  # zero but for 64 random bytes at a random place
        "text": 1024,  # English-like words, the frequent ones frequent
        "heap": 1024,  # 128 records of 32 bytes: pointer, counter, small integer, 6 random bytes
        "half": 512,  # 2,048 random bytes, then zeros
        "rnd75": 512,  # 3,072 random bytes, then zeros
        "rnd90": 512,  # 3,712 random bytes, then zeros
        "random": 1024,  # 4,096 random bytes: incompressible
    }
)
"""Kinds of made page, and how many distinct pages of each the mixes draw on."""

REAL_KINDS = ("python_json", "python_numpy", "sqlite", "cc1", "node")
"""Kinds of process whose pages ``data/pages/`` holds."""

MIX_PAGES = 2048

_SEED = "vswaplab-kernel-truth-1"
_RANDOM_BYTES = {"half": 2048, "rnd75": 3072, "rnd90": 3712, "random": 4096}
_HEAP_RECORD = struct.Struct("<QQIH6s4x")
_CACHED_PAGES = 8192  # 32 MiB at most: all that the mixes draw on, with room

_BLENDS: dict[str, dict[str, int]] = {
    "desktop": {"zero": 256, "same": 64, "sparse": 192, "text": 512, "heap": 704, "half": 192, "random": 128},
    "server": {"zero": 128, "sparse": 128, "text": 640, "heap": 768, "rnd75": 192, "random": 192},
    "hostile": {"zero": 64, "half": 256, "rnd75": 512, "rnd90": 448, "random": 768},
}

_KIND = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_MAX_REAL_PAGES = 1 << 16  # 256 MiB
_MAX_INDEX_BYTES = 1 << 16
_MAX_XZ_BYTES = 1 << 28
_MAX_MADE = (1 << 32) - 1


class _Stream:
    """A deterministic stream of bytes: SHAKE-128 of seed and label, read front to back."""

    def __init__(self, label: str, size: int = 32768) -> None:
        self._bytes = hashlib.shake_128(f"{_SEED}/{label}".encode()).digest(size)
        self._at = 0

    def take(self, nr: int) -> bytes:
        taken = self._bytes[self._at : self._at + nr]
        self._at += nr
        return taken

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")


@cache
def _words() -> tuple[str, ...]:
    """Return the vocabulary: 1,024 words of one to three syllables."""
    stream = _Stream("words", 65536)
    consonants, vowels = "bcdfghlmnprstvw", "aeiou"
    words = []
    for _ in range(1024):
        word = ""
        for _ in range(1 + stream.u16() % 3):
            word += consonants[stream.u16() % len(consonants)] + vowels[stream.u16() % len(vowels)]
            if stream.u16() % 3 == 0:
                word += consonants[stream.u16() % len(consonants)]
        words.append(word)
    return tuple(words)


def _same(stream: _Stream) -> bytes:
    word = stream.take(8)
    while not any(word):
        word = stream.take(8)
    return word * (PAGE_SIZE // 8)


def _sparse(stream: _Stream) -> bytes:
    start = 64 * (stream.u16() % (PAGE_SIZE // 64))
    return (bytes(start) + stream.take(64)).ljust(PAGE_SIZE, b"\0")


def _text(stream: _Stream) -> bytes:
    vocabulary, words, length = _words(), [], 0
    while length < PAGE_SIZE:
        draw = stream.u32()
        first = 1 << (draw % 11)  # ranks 1, 2-3, 4-7, … are drawn equally often: a Zipf-like choice
        word = vocabulary[min(1023, first - 1 + (draw >> 8) % first)] + ("." if draw % 17 == 0 else "")
        words.append(word)
        length += len(word) + 1
    return " ".join(words).encode().ljust(PAGE_SIZE)[:PAGE_SIZE]


def _heap(stream: _Stream) -> bytes:
    base = 0x7F00_0000_0000 + (stream.u32() << 12)
    return b"".join(
        _HEAP_RECORD.pack(base + stream.u16() % 4096 * 32, 0x100 + i, stream.u16() % 64, 1, stream.take(6))
        for i in range(PAGE_SIZE // _HEAP_RECORD.size)
    )


_MAKERS = {"same": _same, "sparse": _sparse, "text": _text, "heap": _heap}


def page_bytes(kind: str, p: int) -> bytes:
    """Return made page `p` of a kind: 4,096 bytes, the same on every machine; InvalidArgument for an unknown kind."""
    return _page_bytes(choice(kind, "page kind", KINDS), whole_number(p, "p", 0, _MAX_MADE))


@lru_cache(maxsize=_CACHED_PAGES)
def _page_bytes(kind: str, p: int) -> bytes:
    if kind == "zero":
        return ZERO_PAGE
    stream = _Stream(f"{kind}/{p}")
    if kind in _MAKERS:
        return _MAKERS[kind](stream)
    return stream.take(_RANDOM_BYTES[kind]).ljust(PAGE_SIZE, b"\0")


def _interleave(blend: Mapping[str, int]) -> tuple[Page, ...]:
    """Lay out the pages of a blend so that each kind is spread evenly: the one furthest behind its share comes next."""
    total = sum(blend.values())
    given = dict.fromkeys(blend, 0)
    pages = []
    for laid in range(1, total + 1):
        # max() keeps the first of equals, so ties go to the kind named first
        kind = max(blend, key=lambda name: blend[name] * laid - given[name] * total)
        pages.append((kind, given[kind] % KINDS[kind]))
        given[kind] += 1
    return tuple(pages)


MIXES: Mapping[str, tuple[Page, ...]] = MappingProxyType(
    {name: _interleave(blend) for name, blend in ({kind: {kind: MIX_PAGES} for kind in KINDS} | _BLENDS).items()}
)
"""The mixes: for each, its 2,048 pages in the order in which a workload lays them out. Every kind alone is one too."""


def mix_pages(name: str) -> list[bytes]:
    """Return the 2,048 pages of a mix in order (pages that occur twice are one object)."""
    return [_page_bytes(kind, p) for kind, p in MIXES[choice(name, "mix", MIXES)]]


def data_dir() -> Path:
    """Return the folder of real input: ``$VSWAPLAB_DATA``, else the checkout's ``data/``; NotFound if there is none."""
    given = os.environ.get("VSWAPLAB_DATA")
    folder = path_of(given, "A data folder") if given else Path(__file__).resolve().parents[2] / "data"
    if not folder.is_dir():
        raise NotFound(
            f"There is no data folder at {shown(folder)}; set VSWAPLAB_DATA to the data/ folder of a checkout."
        )
    return folder


def real_page_array(kind: str | None = None) -> PageArray:
    """Return the real pages, or those of one kind of process, as a read-only array of shape (pages, 4096)."""
    pages, index = _load_real(data_dir() / "pages")
    if kind is None:
        return pages
    return pages[index[choice(kind, "kind of real page", index)]]


def real_pages(kind: str | None = None) -> list[bytes]:
    """Return the real pages, or those of one kind of process (`REAL_KINDS`), as bytes of 4,096 each."""
    flat = real_page_array(kind).tobytes()
    return [flat[at : at + PAGE_SIZE] for at in range(0, len(flat), PAGE_SIZE)]


@lru_cache(maxsize=2)
def _load_real(folder: Path) -> tuple[PageArray, dict[str, slice]]:
    nr_pages, index = _read_index(folder / "pages.json")
    raw = _read_xz(folder / f"pages_{nr_pages}x4KiB.raw.xz", nr_pages * PAGE_SIZE)
    return np.frombuffer(raw, np.uint8).reshape(nr_pages, PAGE_SIZE), index


def _read_index(path: Path) -> tuple[int, dict[str, slice]]:
    """Return the number of pages and the rows of each kind, as ``pages.json`` states them."""
    table = load_json(_read(path, _MAX_INDEX_BYTES), str(path))
    try:
        nr_pages = whole_number(table["pages"], "pages", 1, _MAX_REAL_PAGES)
        whole_number(table["page_bytes"], "page_bytes", PAGE_SIZE, PAGE_SIZE)
        index: dict[str, slice] = {}
        for row in table["index"]:
            kind = instance(row["kind"], str, "kind")
            if _KIND.fullmatch(kind) is None:
                raise InvalidArgument(f"{quoted(kind)} names no kind of process.")
            first = whole_number(row["first"], "first", 0, nr_pages - 1)
            if kind in index:
                raise InvalidArgument(f"{quoted(kind)} has two rows; leave one out.")
            index[kind] = slice(first, first + whole_number(row["pages"], "pages", 1, nr_pages - first))
    except InvalidArgument as error:
        raise InvalidArgument(f"{shown(path)} is damaged: {error}") from None
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidArgument(f"{shown(path)} is not an index of pages; restore it from the repository.") from error
    return nr_pages, index


def _read_xz(path: Path, expected: int) -> bytes:
    """Return exactly `expected` bytes out of an .xz file; no more memory is taken, whatever the file holds."""
    packed = _read(path, _MAX_XZ_BYTES)
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28)
    try:
        raw = decompressor.decompress(packed, max_length=expected + 1)
    except lzma.LZMAError as error:
        raise InvalidArgument(f"{shown(path)} is damaged ({error}); restore it from the repository.") from error
    if len(raw) <= expected and not decompressor.eof:
        raise InvalidArgument(
            f"{shown(path)} is truncated: {len(raw)} of {expected} bytes; restore it from the repository."
        )
    if len(raw) != expected or decompressor.unused_data:
        raise InvalidArgument(f"{shown(path)} does not hold the {expected} bytes that pages.json names; restore both.")
    return raw


def _read(path: Path, limit: int) -> bytes:
    """Return the bytes of a file of the data folder."""
    try:
        return read_bounded(path, limit, "data file")
    except NotFound as error:
        raise NotFound(f"There is no file {shown(path)}; restore the data/ folder from the repository.") from error
