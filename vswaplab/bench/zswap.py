"""zswap per page, against the bare codec on the same real pages.

The bare codec is the compressor's fastest entry point from Python, called in a loop, its result dropped. Processor
time is counted, so that waiting for others does not. A *cold* pool is new: its memory and its entries come from the
system. A *recycled* one was filled and emptied before. Loading fills a page of the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cramjam
import zstandard

from vswaplab.backends.zswap import Zswap
from vswaplab.bench import Case
from vswaplab.bench.unlimited import UnlimitedMemcg
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_pages

__all__ = ["CASES"]

_RAM_PAGES = 1 << 20

Work = Callable[[Any], object]


def _both(ours: Work, our_items: list[Any], bare: Work, bare_items: list[Any]) -> tuple[float, float]:
    """Return the processor seconds of both."""
    start = time.thread_time()
    ours(our_items)
    middle = time.thread_time()
    bare(bare_items)
    return middle - start, time.thread_time() - middle


def _store(zswap: Zswap, memcg: UnlimitedMemcg, pages: list[bytes]) -> None:
    store = zswap.store
    for page in pages:
        store(page, 512, memcg)


def _load(zswap: Zswap, ids: list[int]) -> None:
    load, page = zswap.load_into, bytearray(PAGE_SIZE)
    for ze in ids:
        load(ze, page)


def _replace(zswap: Zswap, memcg: UnlimitedMemcg, pages: list[tuple[int, bytes]]) -> None:
    store, free = zswap.store, zswap.free
    for ze, page in pages:
        free(ze)
        store(page, 512, memcg)


def _compress_lz4(pages: list[bytes]) -> None:
    compress = cramjam.lz4.compress_block
    for page in pages:
        compress(page, store_size=False)


def _decompress_lz4(packed: list[bytes]) -> None:
    decompress, page = cramjam.lz4.decompress_block_into, bytearray(PAGE_SIZE)
    for data in packed:
        decompress(data, page)


def _each(function: Work, items: list[Any]) -> None:
    for item in items:
        function(item)


def _bare(compressor: str) -> tuple[Work, Work]:
    """Return loops that compress and decompress pages and do nothing else."""
    if compressor == "lz4":
        return _compress_lz4, _decompress_lz4
    compress, decompress = zstandard.ZstdCompressor(level=3).compress, zstandard.ZstdDecompressor().decompress
    return partial(_each, compress), partial(_each, decompress)


def _measure_store(compressor: str, recycled: bool) -> tuple[float, float]:
    zswap, memcg, pages = Zswap(_RAM_PAGES, compressor), UnlimitedMemcg(), real_pages()
    if recycled:
        _store(zswap, memcg, pages)
        for ze in [entry.id for entry in zswap.entries()]:
            zswap.free(ze)
    return _both(partial(_store, zswap, memcg), pages, _bare(compressor)[0], pages)


def _measure_replace(compressor: str) -> tuple[float, float]:
    zswap, memcg, pages = Zswap(_RAM_PAGES, compressor), UnlimitedMemcg(), real_pages()
    _store(zswap, memcg, pages)
    work = [(entry.id, page) for entry, page in zip(zswap.entries(), pages, strict=True)]
    return _both(partial(_replace, zswap, memcg), work, _bare(compressor)[0], pages)


def _measure_load(compressor: str) -> tuple[float, float]:
    zswap = Zswap(_RAM_PAGES, compressor)
    _store(zswap, UnlimitedMemcg(), real_pages())
    ids = [entry.id for entry in zswap.entries() if entry.length < PAGE_SIZE]  # the others are copied
    packed = [bytes(zswap.compressed(ze)) for ze in ids]
    return _both(partial(_load, zswap), ids, _bare(compressor)[1], packed)


def _cases(compressor: str, cold: str, recycled: str, load: str) -> list[Case]:
    bare = f"bare {compressor}, same real pages"
    return [
        Case(f"zswap.store.cold.{compressor}", "x", bare, partial(_measure_store, compressor, False), cold),
        Case(f"zswap.store.recycled.{compressor}", "x", bare, partial(_measure_store, compressor, True), recycled),
        Case(
            f"zswap.replace.{compressor}",
            "x",
            f"{bare}; ours frees one and stores one",
            partial(_measure_replace, compressor),
        ),
        Case(f"zswap.load.{compressor}", "x", bare, partial(_measure_load, compressor), load),
    ]


CASES = [*_cases("lz4", "0.63", "0.83", "0.86"), *_cases("zstd", "0.86", "0.92", "0.97")]
