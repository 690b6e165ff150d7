"""The array form of the allocator: whole clusters at a time, the same outcome as one range after another.

Nothing here decides anything new: each function leaves clusters, lists, caches and ids as a loop over its scalar
twin in `allocator` would; a property test holds the two equal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vswaplab.entry import U64, VSWAP_CLUSTER_MASK, VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE
from vswaplab.virtual.allocator import VswapAllocator
from vswaplab.virtual.cluster import VswapCluster

Rows = npt.NDArray[np.int64]

__all__ = ["alloc_many", "bitmap_of", "indices_of", "release_many"]

_BYTES = VSWAP_CLUSTER_SIZE // 8
_ALL = (1 << VSWAP_CLUSTER_SIZE) - 1


def indices_of(bitmap: int) -> npt.NDArray[np.intp]:
    """Return the indices of the set bits of a cluster's bitmap, rising."""
    packed = np.frombuffer(bitmap.to_bytes(_BYTES, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(packed, bitorder="little"))


def bitmap_of(indices: npt.NDArray[np.integer]) -> int:
    """Return the bitmap with the bits at `indices` set."""
    bits = np.zeros(VSWAP_CLUSTER_SIZE, np.uint8)
    bits[indices] = 1
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def alloc_many(allocator: VswapAllocator, nr: int, order: int, cpu: int) -> U64:
    """Allocate `nr` ranges as `nr` calls of `alloc` would; return their first entries (uint64).

    The array is shorter than `nr` when no more could be had; each range missed counts in `alloc_reject`.
    """
    parts: list[U64] = []
    left = nr
    while left:
        part = _from_cached(allocator, left, order, cpu)
        if part is None:
            entry = allocator.from_partial(order, cpu)
            part = _from_new(allocator, left, order, cpu) if entry is None else np.array([entry], np.uint64)
        if part is None:
            allocator.alloc_reject += left << order
            break
        parts.append(part)
        left -= len(part)
    allocator.used += nr - left << order
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _from_cached(allocator: VswapAllocator, left: int, order: int, cpu: int) -> U64 | None:
    cluster = allocator.cached[cpu][order]
    if cluster is None:
        return None
    allocator.bitmap_scans += cluster.candidate
    starts = indices_of(cluster.free_ranges())[:left] if cluster.candidate else np.empty(0, np.intp)
    _take(cluster, starts)
    if not len(starts) or not cluster.candidate:
        allocator.uncache(cluster, cpu)
    return _entries(cluster.id, starts) if len(starts) else None


def _take(cluster: VswapCluster, starts: npt.NDArray[np.integer]) -> None:
    run = np.arange(1 << cluster.order)
    cluster.bitmap |= bitmap_of((starts[:, None] + run).ravel())
    cluster.count += len(starts) << cluster.order
    cluster.refcnt += len(starts) << cluster.order


def _entries(cluster_id: int, starts: npt.NDArray[np.integer]) -> U64:
    return starts.astype(np.uint64) + np.uint64(cluster_id << VSWAP_CLUSTER_SHIFT)


def _from_new(allocator: VswapAllocator, left: int, order: int, cpu: int) -> U64 | None:
    """Fill as many whole new clusters as are asked for; for the rest, start one as the scalar form does."""
    per_cluster = VSWAP_CLUSTER_SIZE >> order
    ids: list[int] = []
    while left - len(ids) * per_cluster >= per_cluster and allocator.map.lowest_free_id(0) != 0:
        cluster = allocator.new_cluster(order)
        if cluster is None:
            break
        cluster.bitmap = _ALL
        cluster.count = cluster.refcnt = VSWAP_CLUSTER_SIZE
        cluster.full = True
        ids.append(cluster.id)
    if ids:
        bases = np.array(ids, np.uint64) << np.uint64(VSWAP_CLUSTER_SHIFT)
        starts = np.arange(0, VSWAP_CLUSTER_SIZE, 1 << order, dtype=np.uint64)
        whole: U64 = (bases[:, None] + starts).ravel()
        return whole
    entry = allocator.from_new(order, cpu)
    return None if entry is None else np.array([entry], np.uint64)


def release_many(allocator: VswapAllocator, rows: Rows, cpu: int) -> Rows:
    """Give slots back as one `release` after another would; return those whose clusters live on.

    `rows` are distinct entries (int64) in the order of their freeing: it decides where clusters join the partial lists.
    """
    allocator.drop_lookup(cpu)
    ids = rows >> VSWAP_CLUSTER_SHIFT
    in_order = bool((ids[1:] >= ids[:-1]).all())
    by_cluster = None if in_order else np.argsort(ids, kind="stable")
    sorted_ids = ids if by_cluster is None else ids[by_cluster]
    firsts = np.concatenate(([0], np.flatnonzero(sorted_ids[1:] != sorted_ids[:-1]) + 1))
    ends = np.append(firsts[1:], len(ids))
    rejoin: list[tuple[int, VswapCluster]] = []
    gone: list[int] = []
    left: list[Rows] = []
    for cluster_id, first, end in zip(sorted_ids[firsts].tolist(), firsts.tolist(), ends.tolist(), strict=True):
        cluster, size = allocator.map.clusters[cluster_id], end - first
        if cluster.full:
            # The free after which there is room for one range again.
            nth = first + max(1, cluster.count + (1 << cluster.order) - VSWAP_CLUSTER_SIZE) - 1
            if nth < end:
                rejoin.append((nth if by_cluster is None else int(by_cluster[nth]), cluster))
        cluster.count -= size
        cluster.refcnt -= size
        if cluster.refcnt == 0:
            allocator.map.erase(cluster)
            gone.append(cluster_id)
        else:
            members = rows[first:end] if by_cluster is None else rows[by_cluster[first:end]]
            cluster.bitmap &= ~bitmap_of(members & VSWAP_CLUSTER_MASK)
            left.append(members)
    allocator.used -= len(rows)
    for _, cluster in sorted(rejoin, key=lambda item: item[0]):
        if cluster.refcnt:
            cluster.full = False
            if not cluster.cached:
                allocator.map.add_partial(cluster)
    _forget(allocator, gone)
    _look_at(allocator, int(ids[-1]), cpu)
    return np.concatenate(left) if left else rows[:0]


def _forget(allocator: VswapAllocator, gone: list[int]) -> None:
    """Give the descriptors of clusters back, neighbours in one call."""
    ids = np.array(sorted(gone), np.int64)
    for run in np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1):
        if len(run):
            allocator.desc.release(int(run[0]), len(run))


def _look_at(allocator: VswapAllocator, cluster_id: int, cpu: int) -> None:
    """Leave the look-up cache as the last of the scalar frees would: on its cluster, if that still holds a slot."""
    cluster = allocator.map.clusters.get(cluster_id)
    if cluster is not None and cluster.count:
        cluster.refcnt += 1
        cluster.pins += 1
        allocator.looked_up[cpu] = cluster
