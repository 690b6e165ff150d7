"""Audit: which invariant of a machine is broken, and where in the picture of it.

`Machine.check` names the first invariant that does not hold. Here that is led back to what a learner sees: the page
table entries, the swap entries and the kind of edge between them that it speaks of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from vswaplab.entry import VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE, swp_slot_t
from vswaplab.errors import InvariantError, NotFound
from vswaplab.observe.snapshot import live_state
from vswaplab.observe.state import PteKey, State

__all__ = ["EDGES", "PLACES", "Finding", "audit", "locate"]

PLACES = {
    "pte": "page table entry to swap entry",
    "backing": "swap entry to what backs it",
    "swapcache": "swap entry to its folio in the swap cache",
    "rmap": "physical slot back to its swap entry",
    "descriptor": "the swap entry itself",
    "cluster": "the cluster's books",
    "account": "a count or a charge",
    "contents": "the contents of a page",
}
"""Kinds of places that an invariant speaks of, in words."""

EDGES = {
    "swap-count-is-holders": "pte",
    "every-count-has-a-pte": "pte",
    "no-pte-holds-a-freed-entry": "pte",
    "allocated-entry-has-a-reference": "descriptor",
    "free-slot-is-blank": "descriptor",
    "handle-only-where-meant": "descriptor",
    "ZSWAP-has-a-handle": "backing",
    "SWAPFILE-has-a-slot": "backing",
    "FOLIO-has-a-folio": "backing",
    "slot-owned-once": "backing",
    "slot-bit-is-set": "backing",
    "no-entry-on-a-removed-device": "backing",
    "zswap-entry-is-stored": "backing",
    "zswap-entry-points-back": "backing",
    "every-zswap-entry-is-indexed": "backing",
    "allocated-slot-is-owned": "backing",
    "compressed-slot-is-in-use": "backing",
    "contents-are-somewhere": "backing",
    "rmap-points-back": "rmap",
    "cache-only-bit": "rmap",
    "cache-only-is-0x40": "descriptor",
    "folio-is-pinned": "swapcache",
    "folio-matches-entry": "swapcache",
    "folio-lives": "swapcache",
    "cached-folio-knows-it": "swapcache",
    "folio-covers-its-entries": "swapcache",
    "swap-cache-points-back": "swapcache",
    "used-is-sum-of-counts": "cluster",
    "refcnt": "cluster",
    "no-idle-cluster": "cluster",
    "lookup-cache-reference": "cluster",
    "bitmap-is-count": "cluster",
    "partial-is-candidate": "cluster",
    "swap-charge": "account",
    "zswap-charge": "account",
    "contents": "contents",
}
"""The kind of place, by invariant; of those that are not here, "account"."""

_ENTRY = re.compile(r"\bentr(?:y|ies) (?:swp_entry_t\()?(0x[0-9a-f]+|\d+)")
_CLUSTER = re.compile(r"\bcluster (\d+)")
_PTE = re.compile(r"PTE of page (0x[0-9a-f]+) of process (\d+)")


@dataclass(frozen=True)
class Finding:
    """An invariant that does not hold, and what it speaks of."""

    invariant: str
    detail: str
    edge: str
    """One of `PLACES`."""
    entries: tuple[int, ...] = ()
    ptes: tuple[PteKey, ...] = ()

    def __str__(self) -> str:
        return f"{self.invariant}: {self.detail}"


def audit(machine: Any) -> Finding | None:
    """Check every invariant of a machine; return the first that is broken and where, or None. O(PTEs + slots)."""
    try:
        machine.check()
    except InvariantError as error:
        return locate(machine, error)
    return None


def locate(machine: Any, error: InvariantError) -> Finding:
    """Lead a broken invariant back to entries and page table entries of the machine's state now."""
    state = live_state(machine)
    entries = [int(text, 0) for text in _ENTRY.findall(error.detail)]
    if error.invariant in ("every-count-has-a-pte", "swap-count-is-holders"):
        entries = _miscounted(state) or entries
    elif error.invariant == "every-zswap-entry-is-indexed":
        entries = _unindexed(machine)
    elif error.invariant == "allocated-slot-is-owned":
        entries = _unowned(machine)
    elif error.invariant == "folio-lives":
        entries = [entry for entry in machine.swap.entries() if _points_nowhere(machine.swap, entry)]
    elif error.invariant == "free-slot-is-blank" and machine.design == "virtual":
        entries = _not_blank(machine.swap)
    elif not entries and (cluster := _CLUSTER.search(error.detail)) and machine.design == "virtual":
        entries = [entry for entry in state.slots if entry >> VSWAP_CLUSTER_SHIFT == int(cluster[1])]
    ptes = [(int(pid), int(vpn, 16)) for vpn, pid in _PTE.findall(error.detail)]
    edge = EDGES.get(error.invariant, "account")
    if edge == "pte":
        ptes += [key for entry in entries for key in state.referrers(entry)]
    return Finding(error.invariant, error.detail, edge, tuple(dict.fromkeys(entries)), tuple(dict.fromkeys(ptes)))


def _miscounted(state: State) -> list[int]:
    holders: dict[int, int] = {}
    for pte in state.ptes.values():
        if not pte.present and pte.entry:
            holders[pte.entry] = holders.get(pte.entry, 0) + 1
    return [entry for entry, slot in state.slots.items() if slot.swap_count != holders.get(entry, 0)]


def _points_nowhere(swap: Any, entry: int) -> bool:
    word = swap._cache_word(entry)
    return bool(word) and not word & 1 and word not in swap.folios


def _not_blank(swap: Any) -> list[int]:
    """Slots that are free though their descriptors say something."""
    found = []
    for cluster_id, cluster in swap.clusters.items():
        first = cluster_id << VSWAP_CLUSTER_SHIFT
        rows = swap.desc.rows[first : first + VSWAP_CLUSTER_SIZE]
        said = np.flatnonzero((rows["slot"] != 0) | (rows["swap_cache"] != 0) | (rows["memcgid"] != 0))
        found += [first + int(index) for index in said if not cluster.bitmap >> int(index) & 1]
    return found


def _unindexed(machine: Any) -> list[int]:
    """Entries whose compressed copy is stored though nothing leads to it."""
    indexed = {machine.swap.lookup(entry).zswap_entry for entry in machine.swap.entries()}
    return [int(ze.swpentry) for ze in machine.zswap.table if ze.length and ze.id not in indexed]


def _unowned(machine: Any) -> list[int]:
    """Entries that the rmap names for slots which none of them has any more."""
    found = []
    for si in machine.devices:
        for offset in si.allocated_offsets().tolist():
            entry = int(si.rmap_get(offset))
            try:
                owner = machine.swap.lookup(entry).slot
            except NotFound:
                owner = None
            if owner != swp_slot_t(si.slot_base + offset):
                found.append(entry)
    return found
