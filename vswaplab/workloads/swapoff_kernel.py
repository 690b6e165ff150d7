"""What swapoff cost real kernels, in counted instructions, and whose page tables it walked: beside the model's counts.

``data/kernel/swapoff.csv`` has one swapoff a row: the owner's pages, the strangers and their page table entries, and
the instructions it took. `kernel_fits` draws the same lines through it as `vswaplab.workloads.swapoff` through the
model's rows. `who_is_walked` sets the two side by side for each kind of stranger: instructions for each of its page
table entries in the kernel, entries visited for each of them in the model.

The table has two kernels, with pages in zswap: Linux 7.2.13, with the swap table of phase 4, and 7.2.13 with patches
1 to 3 of the Swap Table Edition, RFC v2, both under full emulation on one CPU. Neither is the legacy or the virtual
design of this lab; each walks, or does not walk, as that one does. ``data/README.md`` gives two more numbers of the
same measurement, whose rows are not in the table: `STATED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vswaplab.workloads.kernel_tables import HOW_MEASURED, count_of, design_of, kernel_name, kernel_title, read_table
from vswaplab.workloads.kernel_tables_cells import lines_of
from vswaplab.workloads.swapoff import STATES, Fit, fit, measure_swapoff

__all__ = [
    "ON_A_DEVICE",
    "STATED",
    "KernelSwapoff",
    "Walked",
    "kernel_fits",
    "kernel_fits_text",
    "kernel_swapoffs",
    "walked_table",
    "who_is_walked",
]

ON_A_DEVICE = "7.2.13+STE, pages on a device, instructions per page"
STATED = {
    "6.12, instructions per PTE": 18,
    ON_A_DEVICE: 32_100,
}
"""As ``data/README.md`` states them; their rows are not in the table, so they are not computed here."""

_SIXTEEN = 16_384
"""Page table entries of each stranger where the number of strangers grows."""


@dataclass(frozen=True)
class KernelSwapoff:
    """A row of the table."""

    kernel: str
    swapped_pages: int
    strangers: int
    ptes_each: int
    where: str
    """"after" or "before" for strangers; without any, what the pages hold."""
    state: str
    instructions: int
    pages_read: int
    """Pages that came back, from zswap, as zeros or from the device."""

    @property
    def mapped_ptes(self) -> int:
        """Page table entries of all strangers together."""
        return self.strangers * self.ptes_each


def kernel_swapoffs() -> list[KernelSwapoff]:
    """Return the rows of ``swapoff.csv``; NotFound without the file, InvalidArgument if it is damaged."""
    return read_table("swapoff.csv", _swapoff)


def _swapoff(row: dict[str, str]) -> KernelSwapoff:
    return KernelSwapoff(
        kernel=row["kernel"],
        swapped_pages=count_of(row["target_swapped_pages"]),
        strangers=count_of(row["strangers"]),
        ptes_each=count_of(row["stranger_PTEs_each"]),
        where=row["where_or_mix"],
        state=row["stranger_state"],
        instructions=count_of(row["ns"]),
        pages_read=sum(count_of(row[name]) for name in ("d_zswpin", "d_swpin_zero", "d_pswpin")),
    )


def kernel_fits() -> dict[str, dict[str, Fit]]:
    """Return lines through the table by kernel: "instructions per page" and "reads per page" without strangers,
    "instructions per PTE" with one younger stranger that has swapped once, whose mapping grows.
    """
    fits: dict[str, dict[str, Fit]] = {}
    rows = kernel_swapoffs()
    for kernel in dict.fromkeys(row.kernel for row in rows):
        mine = [row for row in rows if row.kernel == kernel]
        alone = [row for row in mine if row.where == "none"]
        one = [
            row for row in mine if (row.strangers, row.where, row.state, row.swapped_pages) == (1, "after", "in", 256)
        ]
        pages = [row.swapped_pages for row in alone]
        fits[kernel] = {
            "instructions per page": fit(pages, [row.instructions for row in alone]),
            "reads per page": fit(pages, [row.pages_read for row in alone]),
            "instructions per PTE": fit([row.mapped_ptes for row in one], [row.instructions for row in one]),
        }
    return fits


def kernel_fits_text(fits: dict[str, dict[str, Fit]]) -> str:
    """Return a line a kernel, in the form of `vswaplab.workloads.swapoff.fits_text`."""
    lines = []
    for kernel, found in fits.items():
        parts = []
        for name, line in found.items():
            fixed = "flat" if line.r_squared is None else f"R^2 {line.r_squared:.4f}"
            parts.append(f"{line.slope:,.2f} {name} ({fixed})")
        lines.append(f"{kernel_name(kernel)} ({kernel_title(kernel)}): {', '.join(parts)}")
    stated = "; ".join(f"{name}: {number:,}" for name, number in STATED.items())
    return "\n".join([*lines, f"stated with the tables, rows not among them: {stated}", f"All {HOW_MEASURED}."])


@dataclass(frozen=True)
class Walked:
    """A kind of stranger, and whether swapoff walks its page tables."""

    where: str
    state: str
    design: str
    kernel: str | None
    """Kernel measured, None where the table has no such stranger."""
    instructions: Fit | None
    """Instructions for each page table entry as strangers are added; those in state "out" own a swapped page each."""
    visited: float
    """Page table entries visited for each one mapped, in the model."""


def who_is_walked(swapped: int = 256, strangers: int = 4) -> Iterator[Walked]:
    """Yield each kind of stranger under each design: the kernel's slope, and what the model counts with `strangers` of
    16,384 page table entries each.
    """
    rows = kernel_swapoffs()
    for where, state in (("after", "never"), ("after", "in"), ("before", "in"), ("before", "out"), ("before", "gone")):
        for design in ("legacy", "virtual"):
            some = [
                row
                for row in rows
                if design_of(row.kernel) == design
                and (row.where, row.state, row.ptes_each, row.swapped_pages) == (where, state, _SIXTEEN, 256)
            ]
            line = fit([row.mapped_ptes for row in some], [row.instructions for row in some]) if some else None
            model = measure_swapoff(
                design, swapped, _SIXTEEN << 12, strangers, where=where, state=state, backing="zswap"
            )
            none = measure_swapoff(design, swapped, backing="zswap")
            visited = (model.report.ptes_visited - none.report.ptes_visited) / model.mapped_ptes
            yield Walked(where, state, design, some[0].kernel if some else None, line, visited)


def walked_table(walked: Iterator[Walked] | list[Walked]) -> str:
    """Return the kinds of strangers as text; below it what each state is, and which kernels were measured."""
    lines = [["strangers went out", "state", "kernel", "instructions a PTE", "R^2", "model", "visits a PTE"]]
    kernels = []
    for each in walked:
        kernels += [each.kernel] if each.kernel else []
        line = each.instructions
        slope = "not measured" if line is None else f"{line.slope:.1f}"
        r_squared = "" if line is None or line.r_squared is None else f"{line.r_squared:.3f}"
        name = kernel_name(each.kernel) if each.kernel else "none"
        row = [f"{each.where} the owner", each.state, name, slope, r_squared, each.design, f"{each.visited:.3f}"]
        lines.append(row)
    states = [f"  {state}: {what}" for state, what in STATES.items()]
    titles = [f"  {kernel_name(kernel)}: {kernel_title(kernel)}" for kernel in dict.fromkeys(kernels)]
    return "\n".join([*lines_of(lines, 3), *states, *titles, f"  kernels: {HOW_MEASURED}"])
