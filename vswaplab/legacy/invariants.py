"""Invariants of the legacy design, each by name: the arrays against each other, the allocator and zswap.

`check_legacy` is called after every step of the random tests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.backends.zswap_invariants import check_indexed
from vswaplab.entry import SLOT_OFFSET_BITS
from vswaplab.errors import hold
from vswaplab.legacy.info import LegacyEntry, LegacyInfo
from vswaplab.legacy.swap_map import SWAP_HAS_CACHE

if TYPE_CHECKING:
    from vswaplab.legacy.core import LegacyCore

__all__ = ["check_legacy"]


def check_legacy(swap: LegacyCore) -> None:
    """Check every invariant of the design; raise InvariantError that names the first one broken. O(slots)."""
    on = {si.type for si in swap.devices}
    hold(on == swap.info.keys(), "arrays-of-each-device", f"devices {on}, arrays for {set(swap.info)}")
    cached: Counter[int] = Counter()
    for info in swap.info.values():
        info.swap_map.check()
        info.zswap_tree.check()
        used = info.si.allocated_offsets()
        _check_free_slots(info, used.view(np.int64))
        _check_zswap(swap, info)
        for offset in used.tolist():
            _check_entry(swap, info, offset, cached)
    _check_swap_cache(swap, cached)


def _check_free_slots(info: LegacyInfo, used: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    """Only a slot in use has anything in any array, and the allocator's bitmap is what the swap_map says."""
    si, name = info.si, f"device {info.si.type}"
    clusters = si.lists.used_clusters()
    rows = (clusters[:, None] * SWAPFILE_CLUSTER + np.arange(SWAPFILE_CLUSTER)).ravel()
    rows = rows[rows < si.max]
    free = np.setdiff1d(rows, used, assume_unique=True)
    free = free[[not si.is_bad(int(offset)) for offset in free]] if si.bad_pages else free[free > 0]
    for array, what in (
        (info.swap_map.map.rows, "swap_map"),
        (info.swap_table.rows, "swap_table"),
        (info.swap_cgroup.rows, "swap_cgroup"),
        (info.unwritten.rows, "unwritten"),
    ):
        hold(not array[free].any(), "free-slot-is-blank", f"{name}: a free slot has something in {what}")
    offsets = free.astype(np.uint64)
    hold(not info.is_zero_many(offsets).any(), "free-slot-is-blank", f"{name}: a free slot has its zeromap bit set")


def _check_zswap(swap: LegacyCore, info: LegacyInfo) -> None:
    """The tree and zswap agree on which slot has which compressed copy."""
    offsets, handles = info.zswap_tree.items()
    for offset, handle in zip(offsets.tolist(), handles.tolist(), strict=True):
        entry = info.si.slot_base | offset
        hold(info.swap_map.in_use(offset), "compressed-slot-is-in-use", f"entry {entry:#x} is free, zswap has it")
        if swap.zswap is not None:
            check_indexed(swap.zswap, handle, entry)
    if swap.zswap is not None:
        total = sum(len(each.zswap_tree) for each in swap.info.values())
        stored = swap.zswap.stored_pages
        hold(total == stored, "every-zswap-entry-is-indexed", f"{stored} compressed pages, {total} in the trees")


def _check_entry(swap: LegacyCore, info: LegacyInfo, offset: int, cached: Counter[int]) -> None:
    known: LegacyEntry = swap.lookup(info.si.slot_base | offset)
    name, raw = f"entry {known.entry:#x}", info.table[offset]
    hold(known.swap_count > 0 or known.in_swapcache, "allocated-entry-has-a-reference", name)
    alone = info.swap_map.byte(offset) == SWAP_HAS_CACHE
    hold(info.si.rmap_is_cache_only(offset) == alone, "cache-only-is-0x40", f"{name}: {info.swap_map.byte(offset):#x}")
    hold(info.si.rmap_get(offset) == 0, "no-rmap", f"{name}: page tables hold the slot itself, no rmap leads back")
    if raw and not raw & 1:
        hold(known.in_swapcache, "folio-is-pinned", f"{name} points to a folio without the has-cache bit")
        cached[raw if raw in swap.folios else 0] += 1
    elif info.only_in_memory[offset]:
        copied = info.is_zero(offset) or known.zswap_entry is not None
        hold(copied, "contents-are-somewhere", f"{name}: neither a folio nor anything else has its contents")
    if known.swap_cache is not None:
        folio = known.swap_cache
        covers = folio.swap <= known.entry < folio.swap + folio.nr_pages
        hold(covers, "folio-matches-entry", f"{name} points to the folio of entry {folio.swap:#x}")


def _check_swap_cache(swap: LegacyCore, cached: Counter[int]) -> None:
    bare = cached[0]
    hold(bare == swap.bare_swapcached, "folio-lives", f"{bare} words point to no folio, not {swap.bare_swapcached}")
    pages = bare
    for pointer, folio in swap.folios.items():
        name = f"folio of entry {folio.swap:#x}"
        hold(folio.in_swapcache and folio.pointer == pointer, "cached-folio-knows-it", name)
        hold(folio.swap >> SLOT_OFFSET_BITS in swap.info, "no-folio-of-a-removed-device", name)
        found = cached[pointer]
        hold(found == folio.nr_pages, "folio-covers-its-entries", f"{name}: {found} of {folio.nr_pages} entries")
        pages += folio.nr_pages
    hold(swap.nr_swapcached == pages, "nr_swapcached", f"counted {swap.nr_swapcached}, there are {pages}")
