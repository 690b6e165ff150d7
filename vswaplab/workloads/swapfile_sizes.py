"""How far a program gets: the same pages written on machines that differ in design and size of the swapfile alone.

A process writes one page of a real program after another until no memory is to be had. `swapfile_sizes` does that for
each size and design and says where it stopped, with what in which place; `pool_history` follows the compressed pool on
the way. zswap is on in all of them.

>>> rows = swapfile_sizes(sizes=[0], pages=1300)
>>> [(row.design, row.swapfile_pages, row.written) for row in rows]
[('legacy', 0, 1024), ('virtual', 0, 1200)]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from vswaplab.errors import InvalidArgument, NoMemory
from vswaplab.mm.machine import Machine
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_page_array

__all__ = ["PoolSample", "SizeRow", "pool_history", "swapfile_sizes"]

SIZES = (0, 16, 128, 256, 512, 1024, 2048)
"""Sizes of the swapfile by default, in pages."""
MAX_PAGES = 1 << 18
"""More pages than that are refused: one after the other is written with its contents."""


@dataclass(frozen=True)
class SizeRow:
    """What became of one run."""

    design: str
    swapfile_pages: int
    written: int
    """Pages written before memory ran out; all of them if it did not."""
    finished: bool
    in_zswap: int
    zero: int
    """Pages known to be zero."""
    slots_used: int
    """Slots of the swapfile that are taken."""
    slots_holding: int
    """Those of them that hold the contents of a page; the others are reserved for pages that are elsewhere."""
    pool_pages: int
    why: str
    """The error that ended it, "" if none did."""

    def as_dict(self) -> dict[str, object]:
        """Return the row by column."""
        return asdict(self)


@dataclass(frozen=True)
class PoolSample:
    """The compressed pool after a page was written."""

    written: int
    pool_pages: int
    refusing: bool
    """It was full, and is not down to the accept threshold yet."""
    written_back: int
    limit_hits: int
    """Stores so far that found the pool at its limit: zswap's `pool_limit_hit`."""


def swapfile_sizes(
    sizes: Iterable[int] = SIZES,
    pages: int = 3000,
    ram: int | str = "4M",
    designs: Sequence[str] = ("legacy", "virtual"),
    compressor: str = "zstd",
) -> list[SizeRow]:
    """Return a row for each design and size (in pages, 0: no swapfile), in that order.

    `pages` real pages are written at most. InvalidArgument for a negative size or too many pages.
    """
    wanted = list(sizes)
    _require(pages, wanted)
    return [_run(design, size, pages, ram, compressor) for design in designs for size in wanted]


def _require(pages: int, sizes: Iterable[int]) -> None:
    if not 0 < pages <= MAX_PAGES:
        raise InvalidArgument(f"{pages} pages can't be written here; give 1 to {MAX_PAGES:,}.")
    for size in sizes:
        if size and not 2 <= size <= MAX_PAGES:
            raise InvalidArgument(f"A swapfile of {size} pages won't do; give 0 for none, or 2 to {MAX_PAGES:,}.")


def _run(design: str, size: int, pages: int, ram: int | str, compressor: str) -> SizeRow:
    contents = real_page_array()
    with Machine(ram, design, zswap={"compressor": compressor}, page_cluster=0, trace=False) as machine:
        if size:
            machine.swapon(size=size * PAGE_SIZE)
        process = machine.spawn("writer")
        region = process.mmap(pages * PAGE_SIZE)
        written, why = 0, ""
        try:
            for i in range(pages):
                process.write(region.start + i * PAGE_SIZE, contents[i % len(contents)].tobytes())
                written += 1
        except NoMemory as error:
            why = str(error)
        backings = [machine.swap.lookup(entry).type.name for entry in machine.swap.entries()]
        zswap = machine.zswap
        assert zswap is not None
        return SizeRow(
            design=design,
            swapfile_pages=size,
            written=written,
            finished=not why,
            in_zswap=zswap.stored_pages,
            zero=backings.count("ZERO"),
            slots_used=sum(si.inuse_pages for si in machine.devices),
            slots_holding=backings.count("SWAPFILE"),
            pool_pages=zswap.pool_pages,
            why=why,
        )


def pool_history(
    pages: int = 1500,
    ram: int | str = "4M",
    swapfile_pages: int = 2048,
    design: str = "virtual",
    every: int = 4,
    accept_threshold_percent: int = 90,
) -> tuple[list[PoolSample], int, int]:
    """Write pages as `swapfile_sizes` does; return a sample after every `every`-th, and the pool's limit and threshold.

    Limit and threshold are in pages; a threshold of 100 percent of the limit leaves one limit alone.
    """
    _require(pages, [swapfile_pages])
    if every < 1:
        raise InvalidArgument(f"A sample every {every} pages won't do; give at least 1.")
    contents = real_page_array()
    samples = []
    settings = {"accept_threshold_percent": accept_threshold_percent}
    with Machine(ram, design, page_cluster=0, trace=False, zswap=settings) as machine:
        if swapfile_pages:
            machine.swapon(size=swapfile_pages * PAGE_SIZE)
        zswap = machine.zswap
        assert zswap is not None
        process = machine.spawn("writer")
        region = process.mmap(pages * PAGE_SIZE)
        for i in range(pages):
            try:
                process.write(region.start + i * PAGE_SIZE, contents[i % len(contents)].tobytes())
            except NoMemory:
                break
            if i % every == 0:
                state = (zswap.pool_pages, zswap.pool_reached_full, zswap.written_back_pages, zswap.pool_limit_hit)
                samples.append(PoolSample(i + 1, *state))
        return samples, zswap.max_pages, zswap.accept_threshold_pages
