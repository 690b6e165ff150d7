"""Array forms of a swapfile's allocation and free: whole clusters at once, the same state afterwards.

Most of what an allocation leaves behind is decided once per cluster: which cluster, which list, which hint. So
`alloc_many` takes all that is left in the hinted cluster, or a row of free clusters whole, in one step each, and hands
every other decision to the scalar form. `free_many` works out from the order of its slots in which order the scalar
form would have moved the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vswaplab.arena import are_distinct
from vswaplab.backends.swap_cluster import (
    FULL,
    NONFULL,
    PMD_ORDER,
    SWAPFILE_CLUSTER,
    SWAPFILE_CLUSTER_SHIFT,
)
from vswaplab.backends.swap_maps import cluster_bits
from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument

if TYPE_CHECKING:
    from vswaplab.backends.swap_globals import PercpuCluster
    from vswaplab.backends.swap_info import SwapFile

__all__ = ["alloc_many", "free_many", "take_clusters", "take_hinted"]

_I64 = npt.NDArray[np.int64]
_WORDS = SWAPFILE_CLUSTER // 64
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NONE: U64 = np.empty(0, np.uint64)


def alloc_many(si: SwapFile, nr: int, order: int, cpu: int) -> U64:
    """Allocate up to `nr` runs on one device; see `SwapFile.alloc_many`."""
    hint = si.hint(cpu)
    taken: list[U64] = []
    left = nr
    while left > 0:
        got = take_hinted(si, hint, left, order)
        if not len(got):
            got = take_clusters(si, hint, left, order)
        if not len(got):
            offset = si.alloc(order, cpu)
            if not offset:
                break
            got = np.array([offset], np.uint64)
        taken.append(got)
        left -= len(got)
    return np.concatenate(taken) if taken else _NONE


def take_hinted(si: SwapFile, hint: PercpuCluster, nr: int, order: int) -> U64:
    """Allocate up to `nr` runs behind the hint, in its cluster; none if the scalar form has to decide."""
    start = hint.offset[order]
    cluster = start >> SWAPFILE_CLUSTER_SHIFT
    if hint.device[order] is not si or not si.writeok or not si._usable(cluster, order) or _may_reclaim(si):
        return _NONE
    si.shared.bitmap_scans += 1
    words = si.allocated.rows[cluster * _WORDS : (cluster + 1) * _WORDS]
    bad = si.bad_map.rows[cluster * _WORDS : (cluster + 1) * _WORDS]
    size, base = 1 << order, cluster << SWAPFILE_CLUSTER_SHIFT
    free = np.flatnonzero(~cluster_bits(words | bad).reshape(-1, size).any(axis=1)) * size
    runs = free[free >= start - base][:nr]
    if not len(runs):
        return _NONE
    chosen = np.zeros((SWAPFILE_CLUSTER // size, size), np.bool_)
    chosen[runs // size] = True
    words |= np.packbits(chosen.ravel(), bitorder="little").view(np.uint64)
    si._account(cluster, order, len(runs) * size, base + int(runs[-1]) + size, hint)
    return (runs + base).astype(np.uint64)


def _may_reclaim(si: SwapFile) -> bool:
    """Tell whether, within a cluster from now, swap may be more than half full and so cache-only slots worth a look."""
    if not si.cache_only_pages or si.shared.reclaim_slot is None:
        return False
    return (si.shared.free_pages - SWAPFILE_CLUSTER) * 2 < si.shared.total_pages


def take_clusters(si: SwapFile, hint: PercpuCluster, nr: int, order: int, limit: int | None = None) -> U64:
    """Fill free clusters whole, up to `nr` runs (and `limit` clusters); none if the scalar form has to decide.

    It has to while the hint or a nonfull cluster comes first, and for the last, partly filled cluster.
    """
    wanted = nr >> (SWAPFILE_CLUSTER_SHIFT - order)
    if limit is not None:
        wanted = min(wanted, limit)
    lists = si.lists
    if not wanted or not si.writeok or hint.device[order] is si or (order and not si.block):
        return _NONE
    if not si.discard and order < PMD_ORDER and lists.nonfull[order]:
        return _NONE
    clusters = lists.take_free(wanted)
    if not len(clusters):
        return _NONE
    si.allocated.rows.reshape(-1, _WORDS)[clusters] = _ALL
    lists.count_arena.rows[clusters] = SWAPFILE_CLUSTER
    lists.order_arena.rows[clusters] = order
    lists.state_arena.rows[clusters] = FULL
    lists.full.update(dict.fromkeys(clusters.tolist()))
    si.inuse_pages += len(clusters) * SWAPFILE_CLUSTER
    if si.inuse_pages == si.pages:
        si.shared.avail.remove(si)
    hint.drop(order)
    starts = (clusters << SWAPFILE_CLUSTER_SHIFT)[:, None] + np.arange(0, SWAPFILE_CLUSTER, 1 << order)
    return starts.ravel().astype(np.uint64)


@dataclass(frozen=True)
class _Touched:
    """The clusters of an array of slots, in order, and for each of them ..."""

    clusters: _I64
    freed: _I64
    """how many of the slots it has,"""
    first: _I64
    last: _I64
    """where in the array the first and the last run of them begin,"""
    index: _I64
    length: _I64
    """and, for each run of slots of one cluster in the array: which cluster, and how many slots."""

    def each(self, flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Spread a flag of each cluster over the slots."""
        return np.repeat(flags[self.index], self.length)


def free_many(si: SwapFile, offsets: U64) -> None:
    """Free distinct slots of one device; see `SwapFile.free_many`."""
    if not len(offsets):
        return
    at = np.ascontiguousarray(offsets, np.uint64).view(np.int64)
    if at.min() <= 0 or at.max() >= si.max:
        raise _not_allocated(si, at)
    touched = _by_cluster(at)
    _require_allocated(si, at, touched)
    lists, clusters = si.lists, touched.clusters
    left = lists.count_arena.rows[clusters] - touched.freed
    emptied = left == 0
    if si.cache_only_pages:
        si.cache_only_pages -= int(np.count_nonzero(si.rmap.rows[at] >> np.uint64(63)))
    if not emptied.all():
        _clear_each(si, at[touched.each(~emptied)])
    if emptied.any():
        _clear_whole(si, clusters[emptied])
    lists.count_arena.rows[clusters] = left
    # The scalar form moves a cluster to nonfull at its first slot, unless it is there, and off it again at its last.
    for cluster in clusters[~emptied][np.argsort(touched.first[~emptied])].tolist():
        if lists.state[cluster] != NONFULL:
            lists.move(cluster, NONFULL)
    state = si.empty_state
    for cluster in clusters[emptied][np.argsort(touched.last[emptied])].tolist():
        lists.move(cluster, state)
    lists.order_arena.rows[clusters[emptied]] = 0
    si.uncount_device(len(at))


def _by_cluster(at: _I64) -> _Touched:
    slot_cluster = at >> SWAPFILE_CLUSTER_SHIFT
    starts = np.concatenate(([0], np.flatnonzero(slot_cluster[1:] != slot_cluster[:-1]) + 1))
    length = np.diff(starts, append=len(at))
    run = slot_cluster[starts]
    low, span = int(run.min()), int(run.max()) - int(run.min()) + 1
    if span > 4 * len(run) + 1024:
        clusters, index = np.unique(run, return_inverse=True)
    else:
        seen = np.zeros(span, np.bool_)
        seen[run - low] = True
        clusters = np.flatnonzero(seen) + low
        index = (np.cumsum(seen) - 1)[run - low]
    freed = np.bincount(index, weights=length).astype(np.int64)
    first, last = np.zeros((2, len(clusters)), np.int64)
    # Of several values assigned to one place the last one stays.
    last[index] = starts
    first[index[::-1]] = starts[::-1]
    return _Touched(clusters, freed, first, last, index, length)


def _not_allocated(si: SwapFile, at: _I64) -> InvalidArgument:
    return InvalidArgument(f"Not all {len(at)} slots of device {si.type} are allocated and distinct; free a slot once.")


def _require_allocated(si: SwapFile, at: _I64, touched: _Touched) -> None:
    """Refuse slots that are free or given twice."""
    # Distinct slots that are as many as a cluster has are all of it, which is looked up at once.
    whole = touched.freed == SWAPFILE_CLUSTER
    full = (si.allocated.rows.reshape(-1, _WORDS)[touched.clusters[whole]] == _ALL).all()
    if not full or not are_distinct(at):
        raise _not_allocated(si, at)
    rest = at if not whole.any() else at[touched.each(~whole)]
    words = si.allocated.rows[rest >> 6] >> (rest & 63).view(np.uint64)
    if not (words & np.uint64(1)).all():
        raise _not_allocated(si, at)


def _clear_each(si: SwapFile, at: _I64) -> None:
    """Clear the rmap words of slots, then their bits."""
    words = si.rmap.rows[at]
    if words.any():  # clearing what is clear must not bring pages of words into being
        si.rmap.rows[at] = 0
    # The bits are set and distinct, so subtracting them clears them (and is the faster by far).
    np.subtract.at(si.allocated.rows, at >> 6, np.uint64(1) << (at & 63).view(np.uint64))


def _clear_whole(si: SwapFile, clusters: _I64) -> None:
    """Give the rmap words of emptied clusters back, and clear their bits: a row of neighbours at a time."""
    breaks = np.flatnonzero(np.diff(clusters, prepend=-2) != 1)
    for begin, end in zip(breaks.tolist(), [*breaks[1:].tolist(), len(clusters)], strict=True):
        cluster, nr = int(clusters[begin]), end - begin
        si.rmap.release(cluster << SWAPFILE_CLUSTER_SHIFT, nr << SWAPFILE_CLUSTER_SHIFT)
        si.allocated.rows[cluster * _WORDS : (cluster + nr) * _WORDS] = 0
