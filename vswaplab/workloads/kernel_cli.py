"""Commands that set the model beside real kernels: ``vswaplab kernel`` and ``vswaplab swapoff``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence

from vswaplab.mm.machine import DESIGNS
from vswaplab.strict import integer, quoted
from vswaplab.workloads.kernel_tables import cells, design_of, kernel_rows, table
from vswaplab.workloads.kernel_tables_cells import Comparison, reasons, totals
from vswaplab.workloads.kernel_tables_phases import phase_cells, phase_rows, phase_table
from vswaplab.workloads.progress import progress_on_stderr
from vswaplab.workloads.swapoff import (
    BACKINGS,
    MAPPED,
    SWAPPED,
    SwapoffRow,
    fits_text,
    growth,
    growth_fits,
    swapoff_table,
)
from vswaplab.workloads.swapoff_kernel import kernel_fits, kernel_fits_text, walked_table, who_is_walked

__all__ = ["add_commands"]


def _designs(args: argparse.Namespace) -> Sequence[str]:
    return sorted(DESIGNS) if args.design == "both" else [args.design]


# -- kernel ------------------------------------------------------------------------------------------------------


def _kernel(args: argparse.Namespace) -> int:
    """Print the model beside the kernel; exit code 1 if a count that must agree does not."""
    designs = _designs(args)
    found: list[Comparison] = []
    texts: list[str] = []
    if args.table in ("swapout", "all"):
        rows = [row for row in kernel_rows() if design_of(row.kernel) in designs and row.kernel.startswith(args.kernel)]
        report = progress_on_stderr("running the kernel's rows")
        for done, row in enumerate(rows, 1):
            found += cells([row])
            report(done, len(rows))
        if rows:
            texts += ["swapout_by_content.csv", table(found), ""]
    if args.table in ("phases", "all"):
        phases = [
            row for row in phase_rows() if design_of(row.kernel) in designs and row.kernel.startswith(args.kernel)
        ]
        compared = list(phase_cells(phases))
        found += compared
        if phases:
            texts += ["phases.csv", phase_table(compared), ""]
    if not found:
        raise ValueError(f"No kernel of the tables begins with {quoted(args.kernel)} and is {args.design}.")
    counts = totals(found)
    if args.json:
        print(json.dumps({**_agreement(counts), "rows": [each.as_dict() for each in found]}, indent=1))
    else:
        print(*texts, *_named(found), _sentence(counts), sep="\n")
    return 1 if counts["differs"] else 0


def _agreement(counts: dict[str, int]) -> dict[str, int]:
    return {"agree": counts["equal"] + counts["within"], "differ": counts["differs"], **counts}


def _named(found: Iterable[Comparison]) -> list[str]:
    """Return the reasons of the named cells, a line each, the frequent ones first."""
    by_count = sorted(reasons(found).items(), key=lambda item: -item[1])
    return ["named, not held equal:", *(f"{nr:6}  {reason}" for reason, nr in by_count), ""] if by_count else []


def _sentence(counts: dict[str, int]) -> str:
    compared = counts["cells"] - counts["named"]
    agree = compared - counts["differs"]
    return (
        f"{agree} of {compared} counts agree ({counts['equal']} equal, {counts['within']} within their codec's "
        f"tolerance), {counts['named']} more are named"
    )


# -- swapoff -----------------------------------------------------------------------------------------------------


def _swapoff(args: argparse.Namespace) -> int:
    designs = _designs(args)
    nr = len(designs) * len(args.swapped) * len(args.mapped)
    report = progress_on_stderr("swapping off")
    rows: list[SwapoffRow] = []
    for row in growth(designs, args.swapped, args.mapped, args.strangers, args.backing, args.repeat):
        rows.append(row)
        report(len(rows), nr)
    if args.json:
        print(json.dumps({"rows": [row.as_dict() for row in rows]}, indent=1))
        return 0
    print("the model:", swapoff_table(rows), "", fits_text(growth_fits(rows)), sep="\n")
    print("", "real kernels, guest instructions (swapoff.csv):", kernel_fits_text(kernel_fits()), sep="\n")
    print("", "whose page tables are walked:", walked_table(who_is_walked()), sep="\n")
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    choices = [*sorted(DESIGNS), "both"]
    parser = commands.add_parser(
        "kernel", help="run what real kernels were measured with, and print model beside kernel"
    )
    parser.add_argument("--design", default="both", choices=choices, help="kernels of a design; default: %(default)s")
    parser.add_argument("--kernel", default="", metavar="NAME", help="only kernels whose name begins so, such as 6.12")
    parser.add_argument(
        "--table", default="all", choices=["swapout", "phases", "all"], help="which table; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_kernel)

    parser = commands.add_parser("swapoff", help="measure what swapoff costs, and what its cost grows with")
    parser.add_argument(
        "--swapped",
        nargs="+",
        type=integer,
        default=list(SWAPPED),
        metavar="PAGES",
        help="pages of one process on the device; default: " + " ".join(map(str, SWAPPED)),
    )
    parser.add_argument(
        "--mapped",
        nargs="+",
        default=list(MAPPED),
        metavar="SIZE",
        help="memory that each unrelated process has mapped, 0 for none; default: " + " ".join(MAPPED),
    )
    parser.add_argument("--design", default="both", choices=choices, help="default: %(default)s")
    parser.add_argument(
        "--strangers",
        type=integer,
        default=1,
        metavar="N",
        help="unrelated processes; default: %(default)s",
    )
    parser.add_argument(
        "--backing", default="device", choices=BACKINGS, help="where the swapped pages are; default: %(default)s"
    )
    parser.add_argument(
        "--repeat",
        type=integer,
        default=1,
        metavar="N",
        help="give the time of the fastest of N runs; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_swapoff)
