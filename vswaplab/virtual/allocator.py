"""The virtual slot allocator: per-CPU clusters, partial lists, new clusters, and the way back [S10].

Allocation takes three steps: the CPU's cached cluster of the order, then the partial list, then a new cluster with the
lowest free id. Each step is a function of its own below. `VswapAllocator` knows slots only; descriptors are the
business of the layer above, but for giving their memory back with the cluster.
"""

from __future__ import annotations

from collections.abc import Callable

from vswaplab.entry import VSWAP_CLUSTER_MASK, VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE, VSWAP_MAX_CLUSTER_ID
from vswaplab.errors import InvalidArgument
from vswaplab.units import SWAP_NR_ORDERS
from vswaplab.virtual.cluster import TOP_ORDER, ClusterMap, VswapCluster, run_mask
from vswaplab.virtual.descriptor import DescriptorArena

__all__ = ["VswapAllocator"]


class VswapAllocator:
    """Hands out virtual slots and takes them back. Knows which cluster is where; `used` is debugfs ``vswap/used``."""

    def __init__(self, descriptors: DescriptorArena, cpus: int, max_cluster_id: int = VSWAP_MAX_CLUSTER_ID) -> None:
        if cpus < 1:
            raise InvalidArgument(f"A machine needs at least one CPU, not {cpus}.")
        self.map = ClusterMap(max_cluster_id)
        self.desc = descriptors
        self.cached: list[list[VswapCluster | None]] = [[None] * SWAP_NR_ORDERS for _ in range(cpus)]
        """``percpu_vswap_cluster``: the cluster each CPU allocates from, by order."""
        self.looked_up: list[VswapCluster | None] = [None] * cpus
        """The v6 look-up cache: the cluster each CPU looked up last, held by one reference [S16]."""
        self.used = 0
        self.alloc_reject = 0
        self.lookups = 0
        self.map_walks = 0
        """Look-ups that had to walk the cluster map (the kernel's xarray), out of `lookups`."""
        self.bitmap_scans = 0
        """Times that a cluster's bitmap was searched for a free range."""
        self.fail_new_cluster: Callable[[], bool] | None = None
        """Fault injection: when it returns True, the memory for a new cluster can't be had."""

    # -- look-up -------------------------------------------------------------------------------------------------

    def find(self, entry: int, cpu: int) -> VswapCluster | None:
        """Return the cluster of an allocated entry, or None; goes through the CPU's look-up cache."""
        cluster_id = entry >> VSWAP_CLUSTER_SHIFT
        last = self.looked_up[cpu]
        self.lookups += 1
        if last is not None and last.id == cluster_id:
            return last if last.bitmap >> (entry & VSWAP_CLUSTER_MASK) & 1 else None
        self.map_walks += 1
        if last is not None:
            self.drop_lookup(cpu)
        cluster = self.map.clusters.get(cluster_id)
        if cluster is None or not cluster.bitmap >> (entry & VSWAP_CLUSTER_MASK) & 1:
            return None
        cluster.refcnt += 1
        cluster.pins += 1
        self.looked_up[cpu] = cluster
        return cluster

    def is_allocated(self, entry: int) -> bool:
        """Whether an entry is handed out, without touching the look-up cache."""
        cluster = self.map.clusters.get(entry >> VSWAP_CLUSTER_SHIFT) if entry > 0 else None
        return cluster is not None and bool(cluster.bitmap >> (entry & VSWAP_CLUSTER_MASK) & 1)

    def drop_lookup(self, cpu: int) -> None:
        """Forget what a CPU looked up last."""
        cluster = self.looked_up[cpu]
        if cluster is not None:
            self.looked_up[cpu] = None
            cluster.pins -= 1
            self.put(cluster)

    def put(self, cluster: VswapCluster, nr: int = 1) -> bool:
        """Drop `nr` references; the last one frees the cluster. True if it went."""
        cluster.refcnt -= nr
        if cluster.refcnt:
            return False
        self.map.erase(cluster)
        self.desc.release(cluster.id)
        return True

    # -- allocation ----------------------------------------------------------------------------------------------

    def alloc(self, order: int, cpu: int) -> int:
        """Return the first entry of a new range of 1 << order slots, or 0 (counted in `alloc_reject`)."""
        found = self.from_cached(order, cpu) or self.from_partial(order, cpu) or self.from_new(order, cpu)
        nr = 1 << order
        if found is None:
            self.alloc_reject += nr
            return 0
        self.used += nr
        return found

    def _take(self, cluster: VswapCluster) -> int | None:
        if not cluster.candidate:
            return None
        self.bitmap_scans += 1
        return self._mark(cluster, cluster.find_range())

    def _mark(self, cluster: VswapCluster, index: int) -> int | None:
        if index < 0:
            return None
        nr = 1 << cluster.order
        cluster.bitmap |= run_mask(index, nr)
        cluster.count += nr
        cluster.refcnt += nr
        return cluster.id << VSWAP_CLUSTER_SHIFT | index

    def from_cached(self, order: int, cpu: int) -> int | None:
        """Step 1: a range of the CPU's own cluster, or None; a cluster with no room left is let go."""
        cluster = self.cached[cpu][order]
        if cluster is None:
            return None
        entry = self._take(cluster)
        if entry is None or not cluster.candidate:
            self.uncache(cluster, cpu)
        return entry

    def from_partial(self, order: int, cpu: int) -> int | None:
        """Step 2: a range of the first cluster on the partial list that has one, or None."""
        partial = self.map.partial[order]
        # A locked cluster is busy: it is skipped and stays on the list. Any other leaves it, whatever comes of it.
        while (cluster := next((each for each in partial.values() if not each.locked), None)) is not None:
            entry = self._take(cluster)
            self.map.remove_partial(cluster)
            cluster.full = entry is None or not cluster.candidate
            if entry is not None:
                self.keep(cluster, cpu)
                return entry
        return None

    def from_new(self, order: int, cpu: int) -> int | None:
        """Step 3: the first range of a new cluster, or None."""
        cluster = self.new_cluster(order)
        if cluster is None:
            return None
        # Where its first range is is known: no search is counted.
        entry = self._mark(cluster, cluster.find_range())
        cluster.full = not cluster.candidate
        self.keep(cluster, cpu)
        return entry

    def new_cluster(self, order: int) -> VswapCluster | None:
        """Make an empty cluster under the lowest free id, or return None: no memory, or no id left."""
        # The top order fills a whole cluster, and cluster 0 can never give its first range away.
        cluster_id = self.map.lowest_free_id(1 if order == TOP_ORDER else 0)
        if cluster_id is None or (self.fail_new_cluster is not None and self.fail_new_cluster()):
            return None
        cluster = VswapCluster(cluster_id, order)
        self.desc.ensure(cluster_id)
        self.map.insert(cluster)
        return cluster

    def keep(self, cluster: VswapCluster, cpu: int) -> None:
        """The caching rule: a cluster with room becomes the CPU's own, or waits at the head of the partial list."""
        if cluster.full or cluster.cached:
            return
        current = self.cached[cpu][cluster.order]
        if current is None or not current.candidate:
            if current is not None:
                self.uncache(current, cpu)
            cluster.cached = True
            cluster.refcnt += 1
            self.cached[cpu][cluster.order] = cluster
        else:
            self.map.add_partial(cluster, head=True)

    def uncache(self, cluster: VswapCluster, cpu: int) -> None:
        """Drop a CPU's hold on a cluster that has no room for it any more."""
        self.cached[cpu][cluster.order] = None
        cluster.cached = False
        cluster.full = True
        self.put(cluster)

    # -- the way back --------------------------------------------------------------------------------------------

    def release(self, cluster: VswapCluster, index: int, nr: int, cpu: int) -> None:
        """``release_vswap_slot_nr``: give slots of one cluster back; the cluster may go with them."""
        cluster.bitmap &= ~run_mask(index, nr)
        cluster.count -= nr
        self.used -= nr
        if self.put(cluster, nr):
            return
        if cluster.full and cluster.candidate:
            cluster.full = False
            if not cluster.cached:
                self.map.add_partial(cluster)
        if cluster.count == 0 and self.looked_up[cpu] is cluster:
            self.drop_lookup(cpu)

    def vswap_cpu_dead(self, cpu: int) -> None:
        """Take a CPU's caches away when it goes off-line [S10].

        As in the posted code path, a dropped cluster that still has room goes on no list: nothing is allocated from it
        any more, it drains and is freed with its last slot [INFERRED]. `ClusterMap.state` calls it "stranded".
        """
        for order, cluster in enumerate(self.cached[cpu]):
            if cluster is not None:
                self.cached[cpu][order] = None
                cluster.cached = False
                self.put(cluster)
        self.drop_lookup(cpu)

    def entries(self) -> list[int]:
        """Return all allocated entries in rising order."""
        found: list[int] = []
        for cluster_id in sorted(self.map.clusters):
            base, bitmap = cluster_id << VSWAP_CLUSTER_SHIFT, self.map.clusters[cluster_id].bitmap
            found.extend(base + index for index in range(VSWAP_CLUSTER_SIZE) if bitmap >> index & 1)
        return found
