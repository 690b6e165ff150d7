"""Lab 2's host: clusters of 512 slots that a learner's allocator hands out, and what that costs.

The host keeps the bitmaps, so it counts every search in one, and it refuses what no allocator may do. Its methods are
the learner's to call; a workload drives both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any

from vswaplab.lab.grading.signature import Host, Range
from vswaplab.virtual.cluster import run_mask

__all__ = ["CLUSTER", "ClusterHost", "Workload", "host_of", "run_workload"]

CLUSTER = 512
"""Slots of a cluster."""
MAX_ORDER = 9
Cluster = Annotated[int, Range(0, (1 << 20) - 1)]
Index = Annotated[int, Range(0, CLUSTER - 1)]
Order = Annotated[int, Range(0, MAX_ORDER)]
METHODS = ("nr_clusters", "find_free", "take", "give", "used")


class ClusterHost:
    """Clusters and their bitmaps. Slots are numbered through: slot 513 is the second of cluster 1."""

    def __init__(self, clusters: int) -> None:
        self.bitmaps = [0] * clusters
        self.orders = [-1] * clusters
        self.searches = 0
        """Times that a bitmap was searched."""
        self.faults: list[str] = []

    def nr_clusters(self) -> int:
        """Return how many clusters there are."""
        return len(self.bitmaps)

    def used(self, cluster: Cluster) -> int:
        """Return how many slots of a cluster are taken: a counter, no search."""
        return self._bitmap(cluster).bit_count()

    def find_free(self, cluster: Cluster, order: Order) -> int:
        """Search a cluster's bitmap for a free, aligned range; return its first index, -1 if there is none."""
        bitmap, nr = self._bitmap(cluster), 1 << order
        self.searches += 1
        return next((i for i in range(0, CLUSTER, nr) if not bitmap & run_mask(i, nr)), -1)

    def take(self, cluster: Cluster, index: Index, order: Order) -> int:
        """Take a range; return its first slot."""
        nr = 1 << order
        if index % nr or not 0 <= index <= CLUSTER - nr or self._bitmap(cluster) & run_mask(index, nr):
            raise ValueError(f"range {index} of order {order} in cluster {cluster} is not free and aligned")
        if self.orders[cluster] not in (-1, order):
            raise ValueError(f"cluster {cluster} serves order {self.orders[cluster]}, not {order}")
        self.orders[cluster] = order
        self.bitmaps[cluster] |= run_mask(index, nr)
        return cluster * CLUSTER + index

    def give(self, cluster: Cluster, index: Index, order: Order) -> None:
        """Give a range back; an empty cluster may serve any order again."""
        mask = run_mask(index, 1 << order)
        if self._bitmap(cluster) & mask != mask:
            raise ValueError(f"range {index} of order {order} in cluster {cluster} is not taken")
        self.bitmaps[cluster] &= ~mask
        if not self.bitmaps[cluster]:
            self.orders[cluster] = -1

    def _bitmap(self, cluster: int) -> int:
        if not 0 <= cluster < len(self.bitmaps):
            raise ValueError(f"there is no cluster {cluster}; there are {len(self.bitmaps)}")
        return self.bitmaps[cluster]

    @property
    def live(self) -> int:
        """Clusters in use."""
        return sum(bitmap != 0 for bitmap in self.bitmaps)


def host_of(clusters: int) -> tuple[ClusterHost, Host]:
    """Return clusters, and what a learner's code gets of them."""
    host = ClusterHost(clusters)
    return host, Host(host, METHODS)


@dataclass
class Workload:
    """What a workload found."""

    host: ClusterHost
    allocated: int = 0
    refused: int = 0
    owners: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Slot to (order, CPU)."""

    @property
    def searches_each(self) -> float:
        """Searches in a bitmap for each range allocated."""
        return self.host.searches / max(1, self.allocated)

    @property
    def spread(self) -> float:
        """Clusters in use against those that the live ranges would fill, order by order: 1 is perfect."""
        slots: dict[int, int] = {}
        for order, _ in self.owners.values():
            slots[order] = slots.get(order, 0) + (1 << order)
        needed = sum(-(-nr // CLUSTER) for nr in slots.values())
        return self.host.live / max(1, needed)


def run_workload(
    student: Any,
    clusters: int,
    phases: tuple[tuple[int, float], ...],
    cpus: int = 2,
    orders: tuple[int, ...] = (0,),
    seed: int = 0,
) -> Workload:
    """Allocate and free at random on several CPUs; AssertionError for anything that no allocator may do.

    A phase is a number of steps, and the share of them that free something.
    """
    draw = Random(seed)
    host, given = host_of(clusters)
    allocator, found = student.new("Allocator", given, cpus), Workload(host)
    for steps, free in phases:
        for _ in range(steps):
            if found.owners and draw.random() < free:
                _free(allocator, found, draw)
            else:
                _alloc(allocator, found, draw.choice(orders), draw.randrange(cpus))
    return found


def _free(allocator: Any, found: Workload, draw: Random) -> None:
    slot = draw.choice(list(found.owners))
    order, _ = found.owners.pop(slot)
    allocator.free(slot, order)
    taken = found.host.bitmaps[slot // CLUSTER] >> slot % CLUSTER & 1
    assert not taken, f"free({slot}, {order}) gives nothing back"


def _alloc(allocator: Any, found: Workload, order: int, cpu: int) -> None:
    slot, host = allocator.alloc(order, cpu), found.host
    assert type(slot) is int, f"alloc returns a slot's number, not {type(slot).__name__}"
    if slot < 0:
        found.refused += 1
        return
    taken = host.bitmaps[slot // CLUSTER] >> slot % CLUSTER & 1 if slot < len(host.bitmaps) * CLUSTER else 0
    assert taken, f"alloc({order}, {cpu}) returns slot {slot}, which it has not taken"
    assert slot not in found.owners, f"slot {slot} is handed out twice"
    found.owners[slot] = order, cpu
    found.allocated += 1
