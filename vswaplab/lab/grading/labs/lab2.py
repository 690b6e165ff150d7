"""Lab 2, allocate: a per-CPU cluster allocator, few searches and little fragmentation."""

from __future__ import annotations

from typing import Any

from vswaplab.lab.grading.allocator_lab import CLUSTER, ClusterHost, host_of, run_workload
from vswaplab.lab.grading.model import Check, Lab

__all__ = ["LAB", "MAX_SEARCHES", "MAX_SPREAD", "reference"]

MAX_SEARCHES = 1.25
"""Searches in a bitmap for each range allocated, at most."""
MAX_SPREAD = 1.6
"""Clusters in use against those that are needed, at most, with two CPUs and two orders."""


def reference() -> dict[str, Any]:
    """Return a solution, as the masters have it."""

    class Allocator:
        def __init__(self, host: Any, cpus: int) -> None:
            self.host = host
            self.nr = host.nr_clusters()
            self.order = [-1] * self.nr
            self.cached: dict[tuple[int, int], int] = {}
            self.partial: dict[int, list[int]] = {}

        def _room(self, cluster: int, order: int) -> bool:
            return bool(self.host.used(cluster) + (1 << order) <= CLUSTER)

        def _take(self, cluster: int, order: int) -> int:
            index = self.host.find_free(cluster, order)
            return -1 if index < 0 else int(self.host.take(cluster, index, order))

        def alloc(self, order: int, cpu: int) -> int:
            mine = self.cached.get((cpu, order), -1)
            if mine >= 0 and self._room(mine, order):
                return self._take(mine, order)
            partial = self.partial.setdefault(order, [])
            cluster = partial.pop() if partial else self._fresh(order)
            if cluster < 0:
                return self._steal(order)
            self.cached[cpu, order] = cluster
            return self._take(cluster, order)

        def _fresh(self, order: int) -> int:
            cluster = next((c for c in range(self.nr) if self.order[c] < 0), -1)
            if cluster >= 0:
                self.order[cluster] = order
            return cluster

        def _steal(self, order: int) -> int:
            for cluster in range(self.nr):
                if self.order[cluster] == order and self._room(cluster, order):
                    return self._take(cluster, order)
            return -1

        def free(self, slot: int, order: int) -> None:
            cluster, index = divmod(slot, CLUSTER)
            self.host.give(cluster, index, order)
            cached = cluster in self.cached.values()
            partial = self.partial.setdefault(order, [])
            if not self.host.used(cluster) and not cached:
                self.order[cluster] = -1
                if cluster in partial:
                    partial.remove(cluster)
            elif not cached and cluster not in partial:
                partial.append(cluster)

    return {"Allocator": Allocator}


def _taken(host: ClusterHost) -> int:
    """Return how many slots are taken, as the host sees it: what an allocator says of itself proves nothing."""
    return sum(bitmap.bit_count() for bitmap in host.bitmaps)


def _first_slots(student: Any) -> None:
    """Four single slots, all different, all taken."""
    host, given = host_of(2)
    allocator = student.new("Allocator", given, 1)
    slots = [allocator.alloc(0, 0) for _ in range(4)]
    assert len(set(slots)) == 4, f"four allocations return {slots}"
    assert _taken(host) == 4, "four slots are handed out, others are taken"


def _a_slot_that_comes_back(student: Any) -> None:
    """A freed slot is free, and can be had again."""
    host, given = host_of(1)
    allocator = student.new("Allocator", given, 1)
    slots = [allocator.alloc(0, 0) for _ in range(CLUSTER)]
    assert all(type(slot) is int and slot >= 0 for slot in slots), "a cluster of 512 slots holds 512 ranges"
    assert _taken(host) == CLUSTER, f"of 512 slots that are handed out {_taken(host)} are taken"
    assert allocator.alloc(0, 0) == -1, "with no slot free alloc returns -1"
    allocator.free(slots[100], 0)
    assert host.used(0) == CLUSTER - 1, "free gives no slot back"
    assert allocator.alloc(0, 0) == slots[100], "the one free slot is not found again"


def _ranges_are_aligned(student: Any) -> None:
    """Ranges of several orders: aligned to their length, a cluster for each order."""
    host, given = host_of(6)
    allocator = student.new("Allocator", given, 1)
    for order in (0, 4, 2, 0, 4, 2, 9):
        slot = allocator.alloc(order, 0)
        assert slot >= 0, f"no range of order {order} though clusters are free"
        assert slot % (1 << order) == 0, f"slot {slot} is not aligned to order {order}"
        assert host.orders[slot // CLUSTER] == order, "two orders share a cluster"


def _processors_keep_apart(student: Any) -> None:
    """Two CPUs that allocate by turns don't share a cluster while there are others."""
    host, given = host_of(8)
    allocator = student.new("Allocator", given, 2)
    clusters: dict[int, set[int]] = {0: set(), 1: set()}
    for i in range(200):
        clusters[i % 2].add(allocator.alloc(0, i % 2) // CLUSTER)
    assert _taken(host) == 200, f"of 200 slots that are handed out {_taken(host)} are taken"
    assert not clusters[0] & clusters[1], "both CPUs allocate from one cluster"
    assert len(clusters[0]) == 1, f"CPU 0 spreads 100 slots over {len(clusters[0])} clusters"


def _the_last_slot_is_found(student: Any) -> None:
    """When nothing else is left, a CPU takes from another's cluster, and -1 comes only at the very end."""
    host, given = host_of(2)
    allocator = student.new("Allocator", given, 2)
    got = [allocator.alloc(0, 1 if i == 0 else 0) for i in range(2 * CLUSTER)]
    assert -1 not in got, f"alloc gives up with {got.count(-1)} slots free"
    assert len(set(got)) == _taken(host) == 2 * CLUSTER, f"of {2 * CLUSTER} slots {_taken(host)} are taken"
    assert allocator.alloc(0, 0) == -1, "alloc finds a slot though all are taken"


def _few_searches(student: Any) -> None:
    """A random workload, and how often a bitmap was searched."""
    found = run_workload(student, 24, ((2500, 0.2),), seed=3)
    assert found.refused == 0, f"{found.refused} allocations are refused though slots are free"
    said = f"{found.searches_each:.2f} searches for each allocation; at most {MAX_SEARCHES} are allowed"
    assert found.searches_each <= MAX_SEARCHES, said


def _little_fragmentation(student: Any) -> None:
    """Two CPUs, two orders; it fills, drains and fills again: how many clusters are in use at the end."""
    found = run_workload(student, 60, ((3000, 0.1), (2000, 0.9), (1500, 0.2)), orders=(0, 0, 0, 3), seed=5)
    assert not found.refused, f"{found.refused} allocations are refused though slots are free"
    said = (
        f"{found.host.live} clusters in use, {found.spread:.2f} times what is needed; at most {MAX_SPREAD} are allowed"
    )
    assert found.spread <= MAX_SPREAD, said


def _empty_clusters_serve_any_order(student: Any) -> None:
    """A cluster that was emptied is not lost to other orders."""
    host, given = host_of(2)
    allocator = student.new("Allocator", given, 1)
    slots = [allocator.alloc(0, 0) for _ in range(2 * CLUSTER)]
    assert _taken(host) == 2 * CLUSTER, f"of {2 * CLUSTER} slots {_taken(host)} are taken"
    for slot in slots:
        allocator.free(slot, 0)
    assert not _taken(host), f"all slots were given back, {_taken(host)} are taken"
    slot = allocator.alloc(9, 0)
    assert slot in (0, CLUSTER), f"all slots are free, and alloc(9, 0) returns {slot}, no range of order 9"
    assert _taken(host) == CLUSTER, f"of a range of order 9 {_taken(host)} slots are taken"


LAB = Lab(
    name="lab2_allocate",
    title="Allocate",
    entry=("Allocator",),
    checks=(
        Check("first-slots", 2, True, _first_slots, "four slots are four slots"),
        Check("comes-back", 2, True, _a_slot_that_comes_back, "a freed slot can be had again"),
        Check("aligned", 2, True, _ranges_are_aligned, "ranges are aligned, orders keep apart"),
        Check("per-cpu", 3, True, _processors_keep_apart, "CPUs keep apart"),
        Check("last-slot", 3, False, _the_last_slot_is_found, "the last slot is found"),
        Check("any-order", 2, False, _empty_clusters_serve_any_order, "an empty cluster serves any order"),
        Check("searches", 3, False, _few_searches, f"at most {MAX_SEARCHES} searches for each allocation"),
        Check("fragmentation", 3, False, _little_fragmentation, f"at most {MAX_SPREAD} times the clusters needed"),
    ),
    minutes=120,
    hardness="**",
)
