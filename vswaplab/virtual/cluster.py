"""Virtual clusters: 512 slots of one order, their bitmap, and what keeps them alive [S10].

A cluster serves one order for its whole life and hands out naturally aligned ranges. It is *cached* (one CPU allocates
from it), *partial* (on the list of its order), or *full* (on no list). There is no free list: an empty cluster that
nobody caches is freed. `refcnt` is allocated slots, plus one if cached, plus one for each pin and each CPU's look-up
cache; at 0 the cluster goes.

Here the bitmap is one 512-bit integer, and the grace period after which the kernel frees a cluster has no length.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict

import numpy as np

from vswaplab.entry import VSWAP_CLUSTER_SIZE, VSWAP_MAX_CLUSTER_ID
from vswaplab.units import SWAP_NR_ORDERS

__all__ = ["CLUSTER_DTYPE", "TOP_ORDER", "ClusterMap", "VswapCluster", "run_mask"]

TOP_ORDER = SWAP_NR_ORDERS - 1
"""The PMD order: one range fills a cluster."""

CLUSTER_DTYPE = np.dtype(
    {
        "names": ["lock", "list", "id", "bits", "refcnt", "bitmap", "descriptors"],
        "formats": ["<u4", ("<u8", 2), "<u8", "<u4", "<u4", ("<u8", 8), "<u8"],
        "offsets": [0, 8, 24, 32, 36, 40, 104],
        "itemsize": 112,
    }
)
"""Layout of the kernel's cluster header, for counting its bytes: 112 in v6 [fields S10; sizes INFERRED]."""

_ALL = (1 << VSWAP_CLUSTER_SIZE) - 1
_ALIGNED = [sum(1 << i for i in range(0, VSWAP_CLUSTER_SIZE, 1 << order)) for order in range(SWAP_NR_ORDERS)]
_RUN = [(1 << (1 << order)) - 1 for order in range(SWAP_NR_ORDERS)]


def run_mask(index: int, nr: int) -> int:
    """Return the bitmap with bits `index` to `index + nr - 1` set."""
    return ((1 << nr) - 1) << index


class VswapCluster:
    """Header of one cluster. C type: ``struct vswap_cluster``."""

    __slots__ = ("bitmap", "cached", "count", "full", "id", "locked", "order", "pins", "refcnt")

    def __init__(self, cluster_id: int, order: int) -> None:
        self.id = cluster_id
        self.order = order
        self.count = 0
        self.cached = False
        self.full = False
        self.locked = False
        self.refcnt = 0
        self.pins = 0
        """References of `tryget_swap_entry` and of look-up caches; the kernel keeps only their sum in refcnt."""
        self.bitmap = 0

    @property
    def candidate(self) -> bool:
        """Whether there may be room for one more range of the order."""
        return self.count + (1 << self.order) <= VSWAP_CLUSTER_SIZE

    @property
    def unusable(self) -> int:
        """Bitmap of slots that are never handed out: the first range of cluster 0, so that no entry is 0."""
        return _RUN[self.order] if self.id == 0 else 0

    def free_ranges(self) -> int:
        """Return a bitmap of the first slots of all free, naturally aligned ranges."""
        free = ~(self.bitmap | self.unusable) & _ALL
        for shift in range(self.order):
            free &= free >> (1 << shift)
        return free & _ALIGNED[self.order]

    def find_range(self) -> int:
        """Return the index of the first free range, or -1."""
        starts = self.free_ranges()
        return (starts & -starts).bit_length() - 1

    def __repr__(self) -> str:
        return f"VswapCluster(id={self.id}, order={self.order}, count={self.count}, refcnt={self.refcnt})"


class ClusterMap:
    """`vswap_cluster_map` and the partial lists: id to cluster, with the lowest free id on demand."""

    def __init__(self, max_id: int = VSWAP_MAX_CLUSTER_ID) -> None:
        self.clusters: dict[int, VswapCluster] = {}
        self.partial: list[OrderedDict[int, VswapCluster]] = [OrderedDict() for _ in range(SWAP_NR_ORDERS)]
        self.max_id = max_id
        self._next_id = 0
        self._free_ids: list[int] = []

    def lowest_free_id(self, minimum: int) -> int | None:
        """Return the lowest id at or above `minimum` (0 or 1) that is free, or None when the map is full."""
        free = self._free_ids
        if free and free[0] >= minimum:
            return free[0]
        if free and len(free) > 1:  # id 0 is free but below the minimum
            return min(free[1:3])
        return max(self._next_id, minimum) if max(self._next_id, minimum) <= self.max_id else None

    def insert(self, cluster: VswapCluster) -> None:
        """Publish a cluster under its id, which must be the lowest free one for its order."""
        cluster_id = cluster.id
        if cluster_id >= self._next_id:
            for skipped in range(self._next_id, cluster_id):
                heapq.heappush(self._free_ids, skipped)
            self._next_id = cluster_id + 1
        elif self._free_ids[0] == cluster_id:
            heapq.heappop(self._free_ids)
        else:
            self._free_ids.remove(cluster_id)
            heapq.heapify(self._free_ids)
        self.clusters[cluster_id] = cluster

    def erase(self, cluster: VswapCluster) -> None:
        """Take a cluster off its list and out of the map; its id may be handed out again."""
        self.partial[cluster.order].pop(cluster.id, None)
        del self.clusters[cluster.id]
        heapq.heappush(self._free_ids, cluster.id)

    def add_partial(self, cluster: VswapCluster, *, head: bool = False) -> None:
        """Put a cluster on the partial list of its order, at the tail or the head."""
        partial = self.partial[cluster.order]
        partial[cluster.id] = cluster
        if head:
            partial.move_to_end(cluster.id, last=False)

    def remove_partial(self, cluster: VswapCluster) -> None:
        """Take a cluster off the partial list."""
        del self.partial[cluster.order][cluster.id]

    def state(self, cluster: VswapCluster) -> str:
        """Return "cached", "full", "partial", or "stranded": with room but on no list (see `vswap_cpu_dead`)."""
        if cluster.cached:
            return "cached"
        if cluster.full:
            return "full"
        return "partial" if cluster.id in self.partial[cluster.order] else "stranded"
