"""Clusters of a swapfile: 512 slots each, on one of five kinds of list [S20].

A cluster with nothing in it is on `free` (or on `discard` until the device has been told). One with room is on
`nonfull` after a slot of it was freed, on `frag` after it was last allocated from; both kinds exist once per order. One
without room is on `full`. Its order is fixed by the first allocation and holds until it is empty again.

Lists are ordered as the kernel's: taken from the head, added at the tail. The free list starts as all clusters in
order; a watermark stands for the part of it that was never touched, so a list of 67 million clusters costs nothing.

>>> lists = ClusterLists(nr_clusters=4, unavailable={0: 1})
>>> lists.free_head(), lists.members(ClusterState.NONFULL), lists.members(ClusterState.FREE)
(1, [0], [1, 2, 3])
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from enum import IntEnum
from itertools import islice

import numpy as np
import numpy.typing as npt

from vswaplab.arena import Arena
from vswaplab.units import SWAP_NR_ORDERS

__all__ = [
    "DISCARD",
    "FRAG",
    "FREE",
    "FULL",
    "NONFULL",
    "PMD_ORDER",
    "SWAPFILE_CLUSTER",
    "SWAPFILE_CLUSTER_MASK",
    "SWAPFILE_CLUSTER_SHIFT",
    "ClusterLists",
    "ClusterState",
]

SWAPFILE_CLUSTER_SHIFT = 9
SWAPFILE_CLUSTER = 1 << SWAPFILE_CLUSTER_SHIFT
"""Slots in a cluster, with CONFIG_THP_SWAP [S20]."""
SWAPFILE_CLUSTER_MASK = SWAPFILE_CLUSTER - 1
PMD_ORDER = SWAP_NR_ORDERS - 1
"""The order that takes a whole cluster."""


class ClusterState(IntEnum):
    """Which list a cluster is on. Up to FRAG it can be allocated from."""

    FREE = 0
    NONFULL = 1
    FRAG = 2
    FULL = 3
    DISCARD = 4


# Plain integers: comparing with an enum member costs five times as much, and the allocator does it for every slot.
FREE, NONFULL, FRAG, FULL, DISCARD = (int(state) for state in ClusterState)

_List = OrderedDict[int, None]


class ClusterLists:
    """The cluster info of one device (`count`, `order`, `state` of each cluster) and its lists.

    C type: ``struct swap_cluster_info []`` and the list heads of ``struct swap_info_struct``. `count` includes slots
    that can never be had (bad ones, and those past the end), so such a cluster is never empty and stays order 0.
    """

    def __init__(self, nr_clusters: int, unavailable: Mapping[int, int]) -> None:
        """`unavailable`: how many slots can never be had, by cluster; only clusters that have any."""
        self.nr_clusters = nr_clusters
        self.count_arena = Arena("<u2", nr_clusters)
        self.order_arena = Arena("u1", nr_clusters)
        self.state_arena = Arena("u1", nr_clusters)
        self.count = memoryview(self.count_arena.rows)
        self.order = memoryview(self.order_arena.rows)
        self.state = memoryview(self.state_arena.rows)
        self.freed: _List = OrderedDict()
        self.nonfull: list[_List] = [OrderedDict() for _ in range(SWAP_NR_ORDERS)]
        self.frag: list[_List] = [OrderedDict() for _ in range(SWAP_NR_ORDERS)]
        self.full: _List = OrderedDict()
        self.discard: _List = OrderedDict()
        self._by_state = [
            [self.freed] * SWAP_NR_ORDERS,
            self.nonfull,
            self.frag,
            [self.full] * SWAP_NR_ORDERS,
            [self.discard] * SWAP_NR_ORDERS,
        ]
        self.never_free = sorted(unavailable)
        """Clusters with slots that can never be had, so that they are never on the free list."""
        for cluster in self.never_free:
            self.count[cluster] = unavailable[cluster]
            state = FULL if unavailable[cluster] == SWAPFILE_CLUSTER else NONFULL
            self.state[cluster] = state
            self._by_state[state][0][cluster] = None
        self.untouched = -1
        """The first cluster that was never used; it and those behind it head the free list."""
        self._advance(0)

    def _advance(self, cluster: int) -> None:
        """Move the watermark to the first cluster from `cluster` on that can be free."""
        at = bisect_left(self.never_free, cluster)
        while at < len(self.never_free) and self.never_free[at] == cluster:
            at += 1
            cluster += 1
        self.untouched = cluster

    def free_head(self) -> int:
        """Return the head of the free list, or -1."""
        if self.untouched < self.nr_clusters:
            return self.untouched
        return next(iter(self.freed), -1)

    def move(self, cluster: int, state: int) -> None:
        """Take a cluster off its list and add it at the tail of the list of `state` (and of its order)."""
        old, order = self.state[cluster], self.order[cluster]
        if old == FREE and cluster >= self.untouched:
            self._advance(cluster + 1)
        else:
            del self._by_state[old][order][cluster]
        self.state[cluster] = state
        self._by_state[state][order][cluster] = None

    def take_free(self, nr: int) -> npt.NDArray[np.int64]:
        """Take up to `nr` clusters off the free list, from its head, and return them in that order."""
        taken: list[npt.NDArray[np.int64]] = []
        while nr and self.untouched < self.nr_clusters:
            at = bisect_left(self.never_free, self.untouched)
            end = self.never_free[at] if at < len(self.never_free) else self.nr_clusters
            end = min(end, self.untouched + nr)
            taken.append(np.arange(self.untouched, end, dtype=np.int64))
            nr -= end - self.untouched
            self._advance(end)
        heads = list(islice(self.freed, nr))
        for cluster in heads:
            del self.freed[cluster]
        return np.concatenate([*taken, np.array(heads, np.int64)])

    def members(self, state: ClusterState, order: int = 0) -> list[int]:
        """Return the clusters of a list, head first; `order` tells nonfull and frag lists apart."""
        listed = list(self._by_state[state][order])
        if state != ClusterState.FREE:
            return listed
        held = set(self.never_free)
        return [cluster for cluster in range(self.untouched, self.nr_clusters) if cluster not in held] + listed

    def used_clusters(self) -> npt.NDArray[np.int64]:
        """Return every cluster that was ever touched, in order: all that may hold anything."""
        beyond = self.never_free[bisect_left(self.never_free, self.untouched) :]
        return np.concatenate([np.arange(self.untouched, dtype=np.int64), np.array(beyond, np.int64)])
