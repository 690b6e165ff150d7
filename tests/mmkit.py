"""What the tests of the machine share: page contents, and a machine with a process in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from vswaplab import Machine
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE


def noise(seed: int) -> bytes:
    """A page that does not compress, the same for the same seed."""
    return Random(seed).randbytes(PAGE_SIZE)


def text(seed: int) -> bytes:
    """A page that compresses well, the same for the same seed."""
    return (f"page {seed} ".encode() * 600)[:PAGE_SIZE]


def fill(process: Process, region: Region, first: int = 0) -> list[bytes]:
    """Write each page of a region, in order, and return what was written."""
    pages = [noise(first + i) for i in range(region.pages)]
    for i, page in enumerate(pages):
        process.write(region.page(i).start, page)
    return pages


def contents(process: Process, region: Region) -> list[bytes]:
    return [process.read(region.page(i).start, PAGE_SIZE) for i in range(region.pages)]


@contextmanager
def machine(swap: str | None = "4M", **options: object) -> Iterator[Machine]:
    """A machine with a memory-backed device (unless `swap` is None), checked and closed at the end."""
    options.setdefault("ram", "1M")
    options.setdefault("zswap", None)
    with Machine(**options) as m:  # type: ignore[arg-type]
        if swap:
            m.swapon(size=swap)
        yield m
        m.check()
