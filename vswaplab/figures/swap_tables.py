"""Tables of swap's own structures: what each design knows of an entry, what a swapoff did.

The legacy design spreads it over five structures, the virtual one has a descriptor; `entries_table` shows either. Rows
are read off a live machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vswaplab.entry import swp_slot_t
from vswaplab.figures.tables import Table, table
from vswaplab.observe.compare import Step
from vswaplab.protocols import LOOKUP_KINDS, SwapoffReport

__all__ = ["entries_table", "lookups_table", "reports_table", "steps_table"]


def entries_table(machine: Any, entries: Mapping[str, int | None], caption: str | None = None) -> Table:
    """Return what a machine's swap holds for entries by name: legacy slot by slot, virtual descriptor by descriptor.

    None stands for a page that is present and has no entry; NotFound if an entry is not in use.
    """
    of = _legacy if machine.design == "legacy" else _virtual
    rows = [{"page": name, **(of(machine.swap, entry) if entry is not None else {})} for name, entry in entries.items()]
    what = "five structures for each slot" if machine.design == "legacy" else "a descriptor for each entry"
    return table(rows, caption or f"{machine.design}: {what}")


def _legacy(swap: Any, entry: int) -> dict[str, Any]:
    found, slot = swap.lookup(entry), swp_slot_t(entry)
    info = swap.info[slot.type]
    byte = int(info.swap_map.map.rows[slot.offset])
    return {
        "slot": f"{slot.type}:{slot.offset}",
        "swap_map": f"{byte:#04x}",
        "swap_cgroup": found.memcgid,
        "zeromap": int(info.is_zero(slot.offset)),
        "swap_table": _word(found),
        "zswap_tree": f"entry {found.zswap_entry}" if found.zswap_entry else "nothing",
        "so it is": found.type.name,
    }


def _virtual(swap: Any, entry: int) -> dict[str, Any]:
    found = swap.lookup(entry)
    backing = f"slot {found.slot.type}:{found.slot.offset}" if found.slot else "nothing"
    return {
        "entry": str(int(entry)),
        "swap_count": found.swap_count,
        "in_swapcache": int(found.in_swapcache),
        "memcgid": found.memcgid,
        "swap_cache or shadow": _word(found),
        "slot or zswap_entry": f"entry {found.zswap_entry}" if found.zswap_entry else backing,
        "type": found.type.name,
    }


def _word(found: Any) -> str:
    return "folio" if found.swap_cache is not None else "shadow" if found.shadow else "0"


_COUNTS = {
    "mms_walked": "address spaces walked",
    "vmas_walked": "regions walked",
    "tables_walked": "page tables read",
    "ptes_visited": "PTEs visited",
    "ptes_rewritten": "PTEs rewritten",
    "shmem_inodes": "tmpfs files searched",
    "shmem_entries": "index entries of theirs",
    "slots_scanned": "slots scanned",
    "pages_read": "pages brought in",
    "io_requests": "reads of the device",
    "io_sequential": "of these, sequential",
    "rounds": "rounds",
}


def reports_table(reports: Mapping[str, SwapoffReport], names: Iterable[str] = tuple(_COUNTS)) -> Table:
    """Return what swapoffs did, a column for each; `names` chooses fields of `SwapoffReport`."""
    rows: list[dict[str, Any]] = [
        {"": _COUNTS[name], **{title: getattr(report, name) for title, report in reports.items()}} for name in names
    ]
    rows.append({"": "milliseconds", **{title: 1000 * report.seconds for title, report in reports.items()}})
    return table(rows, "What swapoff did")


def lookups_table(counts: Mapping[str, Mapping[str, int]], pages: int = 1) -> Table:
    """Return look-ups by kind, a column for each of `counts` (see `SwapSpace.lookup_counts`), divided by `pages`.

    Kinds that none of them did are left out.
    """
    rows = [
        {"kind": kind, **{title: found[kind] / pages for title, found in counts.items()}, "what": what}
        for kind, what in LOOKUP_KINDS.items()
        if any(found[kind] for found in counts.values())
    ]
    return table(rows, f"Look-ups, for each of {pages} pages" if pages > 1 else "Look-ups")


def steps_table(steps: Iterable[Step]) -> Table:
    """Return what differs between two machines after each step: slots in use, bytes of metadata, pages elsewhere."""
    rows = []
    for step in steps:
        slots = {f"slots, {name}": side.slots_used for name, side in step.sides.items()}
        metadata = {f"metadata, {name}": round(side.metadata_bytes) for name, side in step.sides.items()}
        elsewhere = len(step.pages_elsewhere())
        rows.append({"step": step.operation, **slots, **metadata, "pages that are elsewhere": elsewhere})
    return table(rows, "The same steps in both designs; metadata in bytes, as posted")
