"""The model against real kernels: the same pages through `Machine`, count by count.

``data/kernel/swapout_by_content.csv`` was measured on running kernels: 2,048 pages of one mix are pushed out, then the
first half read back. `cells` does the same on a `Machine` of the row's design (virtual for kernels with virtual swap,
legacy for the others) and returns every number of the row beside the model's. Byte counts depend on the compressor's
library; how far they may be off is part of each result. What can't be equal is named, with the reason, in
`vswaplab.workloads.kernel_tables_named`.

Linux before 6.18 refused incompressible pages, so the rows of 6.12 run with ``store_incompressible`` off. The slots
that 6.12 takes ahead for each CPU are an explained difference, not a mechanism: the model takes one at a time.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from vswaplab.backends.compressors import available
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.mm.machine import Machine
from vswaplab.status import MAINLINE
from vswaplab.strict import choice, quoted, read_bounded, shown
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import MIX_PAGES, MIXES, data_dir, mix_pages
from vswaplab.workloads.counters import counters
from vswaplab.workloads.kernel_tables_cells import Comparison, exempt, lines_of
from vswaplab.workloads.kernel_tables_named import BYTES, SWAPOUT_NAMED

__all__ = [
    "HOW_MEASURED",
    "STAND_IN",
    "KernelRow",
    "cells",
    "compare",
    "count_of",
    "design_of",
    "kernel_name",
    "kernel_rows",
    "kernel_title",
    "measure",
    "read_table",
    "stores_incompressible",
    "table",
    "table_rows",
]

_MAX_TABLE_BYTES = 1 << 22
_COUNT = re.compile(r"-?[0-9]{1,18}")
_KERNEL = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}[ -~]{0,60}")
T = TypeVar("T")

RAM = "384M"
"""Of the machines measured."""
SWAPFILE = "64M"

STAND_IN = "lz4"
"""Compressor for rows whose own is not there: which backing a page gets does not depend on the compressor."""

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

_NO_LIBRARY = (
    "The compressor's library is not installed (extra 'lzo'): the row is run with lz4, whose bytes are others."
)


@dataclass(frozen=True)
class KernelRow:
    """A row of the table: which kernel, compressor and mix, and what was counted (columns left empty are missing)."""

    kernel: str
    compressor: str
    mix: str
    counts: dict[str, int]

    @property
    def names(self) -> dict[str, str]:
        """The cells that say which row it is."""
        return {"kernel": self.kernel, "compressor": self.compressor, "mix": self.mix}

    @property
    def swapfile(self) -> bool:
        """Whether a swap device was on."""
        return not self.kernel.endswith(", no swapfile")

    @property
    def virtual(self) -> bool:
        """Whether the kernel had virtual swap."""
        return design_of(self.kernel) == "virtual"


def design_of(kernel: str) -> str:
    """Return the design whose place a kernel of the tables takes: in which page tables are, or are not, walked.

    None of them is the design itself: see `kernel_title`.
    """
    return "virtual" if "+vswap" in kernel else "legacy"


HOW_MEASURED = "under full emulation (QEMU TCG), on one CPU, instructions of the guest counted"
"""How each number of ``data/kernel`` was got, as ``data/README.md`` tells."""
_STE = "patches 1 to 3 of the Swap Table Edition, RFC v2 [S8]"


def kernel_name(kernel: str) -> str:
    """Return a kernel's name as a label has it: 7.2.13, 7.2.13+STE.

    >>> kernel_name("7.2.13+vswap, no swapfile")
    '7.2.13+STE, no swapfile'
    """
    return kernel.replace("+vswap", "+STE")


def kernel_title(kernel: str) -> str:
    """Return what a kernel of the tables is.

    >>> kernel_title("7.2.13")
    'Linux 7.2.13, with the swap table of phase 4'
    """
    version, _, patched = kernel.partition("+")
    release = tuple(int(part) for part in version.split(".")[:2])
    had = [each.phase for each in MAINLINE if tuple(int(part) for part in each.release.split(".")) <= release]
    title = f"Linux {version}" + (f", with the swap table of phase {had[-1]}" if had else "")
    return f"{title}, and {_STE}" if patched else title


def stores_incompressible(kernel: str) -> bool:
    """Whether a kernel's zswap stores pages that do not get smaller: since Linux 6.18 [S21]."""
    major, minor = kernel.split(".")[:2]
    return (int(major), int(minor)) >= (6, 18)


def table_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table in ``data/kernel/`` as text; NotFound without the file, InvalidArgument if it is
    damaged.
    """
    path = data_dir() / "kernel" / name
    try:
        text = read_bounded(path, _MAX_TABLE_BYTES, "table").decode("ascii")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = [dict(cells) for cells in reader]
        names = list(reader.fieldnames or ())
    except NotFound:
        raise NotFound(f"There is no table {shown(path)}; restore the data/ folder from the repository.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgument(
            f"{shown(path)} is damaged (it is not a table of ASCII text); restore it from the repository."
        ) from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise InvalidArgument(f"{shown(path)} is damaged (a row has too few or too many cells); restore it.")
    if len(set(names)) < len(names):
        raise InvalidArgument(f"{shown(path)} is damaged (two columns have one name); restore it.")
    return rows


def read_table(name: str, parse: Callable[[dict[str, str]], T]) -> list[T]:
    """Return what `parse` makes of each row of a table; errors as for `table_rows`."""
    rows = table_rows(name)
    try:
        for row in rows:
            if _KERNEL.fullmatch(row["kernel"]) is None:
                raise InvalidArgument(f"{quoted(row['kernel'])} is the version of no kernel.")
        return [parse(row) for row in rows]
    except KeyError as error:
        why = f"it has no column {quoted(error.args[0])}"
    except InvalidArgument as error:
        why = str(error).removesuffix(".")
    raise InvalidArgument(f"{name} is damaged ({why}); restore it from the repository.")


def count_of(text: str) -> int:
    """Return the count in a cell; InvalidArgument for what is none."""
    if _COUNT.fullmatch(text) is None:
        raise InvalidArgument(f"{quoted(text)} is no count.")
    return int(text)


def kernel_rows() -> list[KernelRow]:
    """Return the rows of ``swapout_by_content.csv``; errors as for `table_rows`."""
    return read_table("swapout_by_content.csv", _row)


def _row(cells: dict[str, str]) -> KernelRow:
    kernel, compressor, mix = (cells.pop(name) for name in ("kernel", "compressor", "mix"))
    if count_of(cells.pop("pages")) != MIX_PAGES:
        raise InvalidArgument(f"A row has other than {MIX_PAGES} pages.")
    counts = {name: count_of(text) for name, text in cells.items() if text}
    return KernelRow(kernel, compressor, choice(mix, "mix", MIXES), counts)


@lru_cache(maxsize=256)
def measure(
    mix: str, compressor: str, swapfile: bool = True, design: str = "virtual", store_incompressible: bool = True
) -> dict[str, int]:
    """Push the 2,048 pages of a mix out of a machine, read half back, and return the counts by the table's names.

    `compressor` "off" is a machine without zswap.
    """
    parameters = {"compressor": compressor, "store_incompressible": store_incompressible}
    zswap = None if compressor == "off" else parameters
    # The counts measured have no page that was read ahead.
    with Machine(RAM, design, cpus=1, zswap=zswap, page_cluster=0, trace=False) as machine:
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
    counts = {
        "swapped_after_out": out["swapped"],
        "swapfile_slots_used": out["slots_used"],
        "d_swpout_zero": out["swpout_zero"],
        "d_zswpout": out["zswpout"],
        "d_pswpout": out["pswpout"],
        "zswap_stored_pages": out["zswap_stored"],
        "zswap_incompressible": out["zswap_incompressible"],
        "zswap_pool_total_bytes": out["pool_total_bytes"],
        "cg_zswap_bytes": out["cg_zswap_bytes"],
        "cg_swap_pages": out["swap_charged"],
        **{name: out[name] for name in out if name.startswith("vswap_")},
        "half_read_slots": half["slots_used"],
        "half_read_stored": half["zswap_stored"],
        "half_read_d_zswpin": half["zswpin"],
        "half_read_d_swpin_zero": half["swpin_zero"],
        "half_read_d_pswpin": half["pswpin"],
    }
    if "vswap_used" in half:
        counts["half_read_vswap_used"] = half["vswap_used"]
    return counts


def cells(rows: Iterable[KernelRow] | None = None) -> Iterator[Comparison]:
    """Yield every number of `rows` (default: of all) beside the model's, one row after another; see
    `SWAPOUT_NAMED`."""
    for row in kernel_rows() if rows is None else rows:
        absent = row.compressor not in ("off", *available())
        compressor = STAND_IN if absent else row.compressor
        keep = stores_incompressible(row.kernel)
        model = measure(row.mix, compressor, row.swapfile, design_of(row.kernel), keep)
        for column, kernel in row.counts.items():
            named = exempt(row, column, kernel, model.get(column), SWAPOUT_NAMED)
            if named is None and absent and column in BYTES:
                named = Comparison(row, column, kernel, model.get(column), 0, _NO_LIBRARY)
            yield named or Comparison(row, column, kernel, model.get(column), _tolerance(row, column, kernel))


def _tolerance(row: KernelRow, column: str, kernel: int) -> float:
    if column not in BYTES:
        return 0
    limits = POOL_TOLERANCE if column == "zswap_pool_total_bytes" else CHARGE_TOLERANCE
    return limits[row.compressor](kernel)


def compare(rows: Iterable[KernelRow] | None = None) -> Iterator[Comparison]:
    """Yield the numbers of `rows` (default: of all) that must agree, one row after another: `cells` not named."""
    return (each for each in cells(rows) if not each.reason)


def table(comparisons: Iterable[Comparison]) -> str:
    """Return the comparisons as text, a line each row of the kernel's table: how many counts agree, how many are
    named, and the bytes.
    """
    grouped: dict[tuple[str, ...], list[Comparison]] = {}
    for each in comparisons:
        grouped.setdefault(tuple(each.row.names.values()), []).append(each)
    heads = ["kernel", "compressor", "mix", "agree", "named", "pool, kernel", "model", "zswap, kernel", "model"]
    lines, below = [heads], []
    for key, found in grouped.items():
        held = [each for each in found if not each.reason]
        by_column = {each.column: each for each in held}
        row = [*key, f"{sum(each.agrees for each in held)}/{len(held)}", str(len(found) - len(held))]
        for column in BYTES:
            row += [str(by_column[column].kernel), str(by_column[column].model)] if column in by_column else ["", ""]
        lines.append(row)
        below.append([f"    {c.column}: kernel {c.kernel}, model {c.model}" for c in found if not c.agrees])
    printed = lines_of(lines, 3)
    return "\n".join(
        [printed[0], *(text for line, more in zip(printed[1:], below, strict=True) for text in (line, *more))]
    )
