"""The model against real kernels: the same pages through `Machine`, count by count.

``data/kernel/swapout_by_content.csv`` was measured on running kernels: 2,048 pages of one mix are pushed out, then the
first half read back. `compare` does the same on a `Machine` for each row of a kernel with virtual swap and returns both
numbers of each count. Byte counts depend on the compressor's library; how far they may be off is part of each result.

Left out: ``cg_swap_pages``, because those kernels charge a cgroup for virtual slots, posted v6 for physical ones alone
[S17]; ``half_read_d_pswpin``, which the kernels did not count on their device; the write-fault columns, which follow no
rule from version to version.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vswaplab.backends.compressors import available
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.mm.machine import Machine
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import MIX_PAGES, data_dir, mix_pages
from vswaplab.workloads.counters import counters

__all__ = ["Comparison", "KernelRow", "compare", "kernel_rows", "measure", "table"]

RAM = "384M"
"""Of the machines measured."""
SWAPFILE = "64M"

COUNTS = (
    "swapped_after_out",
    "swapfile_slots_used",
    "d_swpout_zero",
    "d_zswpout",
    "d_pswpout",
    "zswap_stored_pages",
    "zswap_incompressible",
    "vswap_used",
    "vswap_back_zswap",
    "vswap_back_zero",
    "vswap_back_swapfile",
    "vswap_back_folio",
    "half_read_slots",
    "half_read_stored",
    "half_read_d_zswpin",
    "half_read_d_swpin_zero",
    "half_read_vswap_used",
)
"""Columns that must be equal."""

POOL_TOLERANCE: dict[str, Callable[[int], float]] = {
    "lz4": lambda _: PAGE_SIZE,
    "lzo": lambda nr_bytes: 0.005 * nr_bytes,
    "off": lambda _: 0,
}
CHARGE_TOLERANCE: dict[str, Callable[[int], float]] = {
    "lz4": lambda nr_bytes: 0.0001 * nr_bytes,
    "lzo": lambda nr_bytes: 0.003 * nr_bytes,
    "off": lambda _: 0,
}


@dataclass(frozen=True)
class KernelRow:
    """A row of the table: which kernel, compressor and mix, and what was counted (columns left empty are missing)."""

    kernel: str
    compressor: str
    mix: str
    counts: dict[str, int]

    @property
    def swapfile(self) -> bool:
        """Whether a swap device was on."""
        return not self.kernel.endswith(", no swapfile")

    @property
    def virtual(self) -> bool:
        """Whether the kernel had virtual swap."""
        return "+vswap" in self.kernel


@dataclass(frozen=True)
class Comparison:
    """One count of a row: the kernel's and the model's, and by how much they may differ."""

    row: KernelRow
    column: str
    kernel: int
    model: int
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the model's number is within the tolerance of the kernel's."""
        return abs(self.model - self.kernel) <= self.tolerance

    def as_dict(self) -> dict[str, str | int | float | bool]:
        """Return what can be written as JSON."""
        return {
            "kernel": self.row.kernel,
            "compressor": self.row.compressor,
            "mix": self.row.mix,
            "column": self.column,
            "kernel_value": self.kernel,
            "model_value": self.model,
            "tolerance": self.tolerance,
            "agrees": self.agrees,
        }


def kernel_rows() -> list[KernelRow]:
    """Return the rows of ``swapout_by_content.csv``; NotFound without the file, InvalidArgument if it is damaged."""
    path = data_dir() / "kernel" / "swapout_by_content.csv"
    try:
        with path.open(newline="", encoding="ascii") as file:
            return [_row(dict(cells)) for cells in csv.DictReader(file)]
    except FileNotFoundError:
        raise NotFound(f"There is no table {path}; restore the data/ folder from the repository.") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InvalidArgument(f"{path} is damaged ({error}); restore it from the repository.") from error


def _row(cells: dict[str, str]) -> KernelRow:
    kernel, compressor, mix = (cells.pop(name) for name in ("kernel", "compressor", "mix"))
    return KernelRow(kernel, compressor, mix, {name: int(text) for name, text in cells.items() if text})


@lru_cache(maxsize=128)
def measure(mix: str, compressor: str, swapfile: bool = True) -> dict[str, int]:
    """Push the 2,048 pages of a mix out of a machine, read half back, and return the counts by the table's names.

    `compressor` "off" is a machine without zswap.
    """
    with Machine(
        RAM, cpus=1, zswap=None if compressor == "off" else {"compressor": compressor}, trace=False
    ) as machine:
        if swapfile:
            machine.swapon(size=SWAPFILE)
        process = machine.spawn("workload")
        region = process.mmap(MIX_PAGES * PAGE_SIZE)
        for i, page in enumerate(mix_pages(mix)):
            process.write(region.start + i * PAGE_SIZE, page)
        machine.reclaim()
        out = counters(machine)
        process.touch(region.addresses()[: MIX_PAGES // 2])
        half = counters(machine)
        machine.check()
    return _named(out, half)


def _named(out: dict[str, int], half: dict[str, int]) -> dict[str, int]:
    """Return the counters under the names of the table's columns."""
    return {
        "swapped_after_out": out["swapped"],
        "swapfile_slots_used": out["slots_used"],
        "d_swpout_zero": out["swpout_zero"],
        "d_zswpout": out["zswpout"],
        "d_pswpout": out["pswpout"],
        "zswap_stored_pages": out["zswap_stored"],
        "zswap_incompressible": out["zswap_incompressible"],
        "zswap_pool_total_bytes": out["pool_total_bytes"],
        "cg_zswap_bytes": out["cg_zswap_bytes"],
        **{name: out[name] for name in out if name.startswith("vswap_")},
        "half_read_slots": half["slots_used"],
        "half_read_stored": half["zswap_stored"],
        "half_read_d_zswpin": half["zswpin"],
        "half_read_d_swpin_zero": half["swpin_zero"],
        "half_read_vswap_used": half["vswap_used"],
    }


def compare(rows: Iterable[KernelRow] | None = None) -> Iterator[Comparison]:
    """Yield the comparisons of `rows`, one row after another; by default of all rows of kernels with virtual swap.

    Where lzo is not installed its rows are run with lz4 and their byte counts left out: which backing a page gets does
    not depend on the compressor.
    """
    for row in kernel_rows() if rows is None else rows:
        if not row.virtual:
            continue
        absent = row.compressor not in ("off", *available())
        model = measure(row.mix, "lz4" if absent else row.compressor, row.swapfile)
        for column in COUNTS:
            if column in row.counts:
                yield Comparison(row, column, row.counts[column], model[column], 0)
        if not absent:
            yield from _bytes(row, model)


def _bytes(row: KernelRow, model: dict[str, int]) -> Iterator[Comparison]:
    limits = (("zswap_pool_total_bytes", POOL_TOLERANCE), ("cg_zswap_bytes", CHARGE_TOLERANCE))
    for column, tolerance in limits:
        kernel = row.counts[column]
        yield Comparison(row, column, kernel, model[column], tolerance[row.compressor](kernel))


def table(comparisons: Iterable[Comparison]) -> str:
    """Return the comparisons as text, a line each row of the kernel's table: how many counts agree, and the bytes."""
    grouped: dict[tuple[str, str, str], list[Comparison]] = {}
    for each in comparisons:
        grouped.setdefault((each.row.kernel, each.row.compressor, each.row.mix), []).append(each)
    widths = (-26, -10, -8, 7, 13, 9, 14, 9)
    heads = ("kernel", "compressor", "mix", "agree", "pool, kernel", "model", "zswap, kernel", "model")
    lines = [_line(heads, widths)]
    for key, found in grouped.items():
        by_column = {each.column: each for each in found}
        cells = [*key, f"{sum(each.agrees for each in found)}/{len(found)}"]
        for column in ("zswap_pool_total_bytes", "cg_zswap_bytes"):
            cells += [str(by_column[column].kernel), str(by_column[column].model)] if column in by_column else ["", ""]
        lines.append(_line(cells, widths))
        lines += [f"    {each.column}: kernel {each.kernel}, model {each.model}" for each in found if not each.agrees]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells in columns; a negative width aligns to the left."""
    columns = (
        cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths, strict=True)
    )
    return "  ".join(columns).rstrip()
