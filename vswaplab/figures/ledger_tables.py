"""Tables of the byte ledger: both camps' sums, crossovers, claims, structures, scattered entries.

Each takes what `vswaplab.observe.ledger_build` and `ledger_claims` return, and gives a `Table` that a notebook shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vswaplab.figures.tables import Table, table
from vswaplab.observe.ledger_build import Row
from vswaplab.observe.ledger_claims import Claim, Crossover, baseline_title
from vswaplab.observe.ledger_designs import BASELINES, DESIGNS
from vswaplab.status import AS_OF, day
from vswaplab.units import PAGE_SIZE, format_size

__all__ = [
    "against_table",
    "both_sums_table",
    "claims_table",
    "crossover_table",
    "designs_table",
    "scattered_table",
    "structures_table",
]


def _pairs(rows: Iterable[Row]) -> list[tuple[Row, Row]]:
    """Return the rows of both built designs for the same backend, layout and usage, in the order of the legacy ones."""
    rows = list(rows)
    virtual = {(row.backend, row.layout, row.usage): row for row in rows if row.design == "virtual"}
    legacy = [row for row in rows if row.design == "legacy"]
    return [(row, virtual[key]) for row in legacy if (key := (row.backend, row.layout, row.usage)) in virtual]


def both_sums_table(rows: Iterable[Row]) -> Table:
    """Return "24 bytes instead of 8" beside the net sum: descriptors less swap table, and everything less everything.

    In MiB, for each backend and usage [S24 S27].
    """
    found = []
    for old, new in _pairs(rows):
        swp_desc, swap_table = new.ledger.structures["swp_desc"].mib, old.ledger.structures["swap_table"].mib
        found.append(
            {
                "backend": old.backend,
                "usage": f"{old.usage:g} %",
                "descriptors": swp_desc,
                "less swap table": swap_table,
                "24 instead of 8": f"{swp_desc - swap_table:+.2f}",
                "all virtual": new.ledger.mib,
                "less all legacy": old.ledger.mib,
                "net": f"{new.ledger.mib - old.ledger.mib:+.2f}",
            }
        )
    return table(found, "Both sums in MiB: what one camp subtracts, and what the other does")


def crossover_table(crossovers: Iterable[Crossover]) -> Table:
    """Return where the virtual design begins to cost more than a baseline, a row for each search."""
    found = [
        {
            "against": baseline_title(each.baseline),
            "swapfile": format_size(each.slots * PAGE_SIZE),
            "backend": each.backend,
            "entries in use": each.live,
            "crossover": _crossing(each),
            "baseline, bytes": round(each.baseline_bytes),
            "virtual, bytes": round(each.virtual_bytes),
            "halvings": each.steps,
        }
        for each in crossovers
    ]
    return table(found, "Where the virtual design begins to cost more, found by bisection on live structures")


def _crossing(found: Crossover) -> str:
    if found.percent is None:
        return "none: always less"
    return f"{found.percent:.2f} %" if found.live else "none: always more"


def claims_table(claims: Iterable[Claim]) -> Table:
    """Return claims with what was found."""
    found = [
        {"claim": each.claim, "backend": each.backend, "holds": each.holds, "what was found": each.finding}
        for each in claims
    ]
    return table(found, "Claims, and what the ledger says to them")


def structures_table(rows: Sequence[Row]) -> Table:
    """Return every structure of some rows: how it is counted, and what it comes to for each slot of the swapfile."""
    found = [
        {
            "design": row.design,
            "structure": line.name,
            "there are": line.units,
            "of": line.unit,
            "bytes each": f"{line.unit_bytes:,g}",
            "MiB": f"{line.mib:.3f}",
            "bytes a slot": f"{line.bytes / row.slots:.3f}",
            "made": "at swapon" if line.static else "with use",
            "source": line.source,
        }
        for row in rows
        for line in row.ledger.structures.values()
        if line.bytes
    ]
    return table(found, f"Structures, {rows[0].ledger.mode}, {rows[0].backend}" if rows else "No structures")


_LAYOUTS = {"dense": "{:g} %, packed", "random": "{:g} %, at random", "sparse": "one in each of {:g} % of the clusters"}


def scattered_table(rows: Iterable[Row]) -> Table:
    """Return what a page that is out costs in both designs, by what is left of a swapfile that was full."""
    found = [
        {
            "left": _LAYOUTS[old.layout].format(old.usage),
            "backend": old.backend,
            "pages out": old.ledger.live,
            "legacy, B a page": f"{old.ledger.per_slot or 0:,.1f}",
            "virtual, B a page": f"{new.ledger.per_slot or 0:,.1f}",
            "legacy, MiB": old.ledger.mib,
            "virtual, MiB": new.ledger.mib,
        }
        for old, new in _pairs(rows)
    ]
    return table(found, "A swapfile that was full, and what is left of it")


def designs_table() -> Table:
    """Return the designs that are computed: what became of each, its source, and what its terms cover."""
    found = [
        {
            "design": made.title,
            "standing": made.standing,
            "source": made.source,
            "counted": made.mode,
            "what": made.counts,
        }
        for made in DESIGNS.values()
    ]
    return table(found, f"Designs that are not built here, as of {day(AS_OF)}")


def against_table(rows: Iterable[Row], ours: str = "v6") -> Table:
    """Return what a design costs beside each baseline among `rows`, in MiB: a row for each backend and usage."""
    rows = list(rows)
    cells = {(row.backend, row.usage, row.design): row.ledger.mib for row in rows}
    baselines = [name for name in BASELINES if any(row.design == name for row in rows)]
    found = []
    for backend, usage in dict.fromkeys((row.backend, row.usage) for row in rows):
        mib = cells[backend, usage, ours]
        beside: dict[str, object] = {"backend": backend, "usage": f"{usage:g} %", "virtual swap v6": mib}
        for name in baselines:
            old = cells[backend, usage, name]
            title = baseline_title(name).partition(",")[0]
            beside |= {title: old, f"v6 less {title}": f"{mib - old:+.2f}"}
        found.append(beside)
    return table(found, "Metadata in MiB, beside the base of the series and beside mainline")
