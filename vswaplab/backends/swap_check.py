"""Invariants of swap devices, each by name; `SwapFile.check` and `SwapDevices.check` raise the first that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vswaplab.backends.swap_cluster import (
    SWAPFILE_CLUSTER,
    SWAPFILE_CLUSTER_MASK,
    SWAPFILE_CLUSTER_SHIFT,
    ClusterState,
)
from vswaplab.backends.swap_maps import cluster_bits
from vswaplab.errors import InvariantError, hold
from vswaplab.units import SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.backends.swap_globals import PercpuCluster, SwapGlobals
    from vswaplab.backends.swap_info import SwapFile

__all__ = ["check_devices", "check_swapfile"]

_I64 = npt.NDArray[np.int64]
_BATCH = 1 << 12
"""Clusters whose rmap words are looked at together: 16 MiB."""


def _hold_each(clusters: _I64, wrong: npt.NDArray[np.bool_], invariant: str, name: str) -> None:
    if wrong.any():
        raise InvariantError(invariant, f"{name}: it does not hold for clusters {clusters[wrong][:8].tolist()}")


def check_swapfile(si: SwapFile) -> None:
    """Check one device. Takes time in proportion to the clusters ever used."""
    name, clusters = f"device {si.type}", si.lists.used_clusters()
    allocated = si.allocated.rows.reshape(-1, SWAPFILE_CLUSTER // 64)[clusters]
    bad = si.bad_map.rows.reshape(-1, SWAPFILE_CLUSTER // 64)[clusters]

    # A bad slot is never allocated, and the bad map is as swapon made it.
    hold(not (allocated & bad).any(), "bad-slot-not-allocated", f"{name} has bad slots allocated")
    past_end = si.nr_clusters * SWAPFILE_CLUSTER - si.max
    nr_bad = int(np.bitwise_count(bad).sum()) - past_end
    hold(nr_bad == si.bad_pages + 1, "bad-map-unchanged", f"{name} has {nr_bad} bad bits, {si.bad_pages + 1} expected")

    # Counts are what the bitmaps say.
    in_use = int(np.bitwise_count(allocated).sum())
    hold(si.inuse_pages == in_use, "inuse-pages", f"{name} counts {si.inuse_pages} slots, {in_use} bits are set")
    counts = np.bitwise_count(allocated | bad).sum(axis=1, dtype=np.int64)
    _hold_each(clusters, si.lists.count_arena.rows[clusters] != counts, "cluster-count", name)

    _check_lists(si, name, clusters, counts)
    _check_rmap(si, name, clusters)

    # Only a slot in use can wait for its write to be tried again.
    idle = [offset for offset in si.write_failed if not si.is_allocated(offset)]
    hold(not idle, "write-failed-is-allocated", f"{name}: free slots {idle[:8]} are marked")

    # A device is on the list to allocate from if it may be written and has room.
    available = si.writeok and si.inuse_pages < si.pages
    hold((si in si.shared.avail) == available, "available-if-room", f"{name}: {si!r}, writeok={si.writeok}")
    if si.global_cluster is not None:
        _check_hint(si.shared, si.global_cluster, f"{name}, global cluster")


def _check_lists(si: SwapFile, name: str, clusters: _I64, counts: _I64) -> None:
    lists = si.lists
    states, orders = lists.state_arena.rows[clusters], lists.order_arena.rows[clusters]
    empty, full = counts == 0, counts == SWAPFILE_CLUSTER

    # How full a cluster is decides which lists it may be on, and an empty one has no order.
    belongs_empty = (states == ClusterState.FREE) | (states == ClusterState.DISCARD)
    _hold_each(clusters, belongs_empty != empty, "empty-cluster-is-free", name)
    _hold_each(clusters, (states == ClusterState.FULL) != full, "full-cluster-is-full", name)
    _hold_each(clusters, empty & (orders > 0), "empty-cluster-has-no-order", name)

    # Each used cluster is on exactly one list: the one its state and order name.
    listed = [(state, order, cluster) for state, order, members in _lists_of(si) for cluster in members]
    hold(len(listed) == len(clusters), "cluster-on-one-list", f"{name}: {len(listed)} listed, {len(clusters)} used")
    for state, order, cluster in listed:
        known = ClusterState(lists.state[cluster])
        what = (
            f"{name}: cluster {cluster} is {known.name} of order {lists.order[cluster]}, listed as {state.name} {order}"
        )
        hold(known == state, "cluster-on-the-right-list", what)
        ordered = state in (ClusterState.NONFULL, ClusterState.FRAG)
        hold(not ordered or lists.order[cluster] == order, "cluster-order", what)


def _lists_of(si: SwapFile) -> list[tuple[ClusterState, int, list[int]]]:
    lists = si.lists
    once = [
        (ClusterState.FREE, 0, list(lists.freed)),
        (ClusterState.FULL, 0, list(lists.full)),
        (ClusterState.DISCARD, 0, list(lists.discard)),
    ]
    per_order = [
        (state, order, list(of_order[order]))
        for state, of_order in ((ClusterState.NONFULL, lists.nonfull), (ClusterState.FRAG, lists.frag))
        for order in range(SWAP_NR_ORDERS)
    ]
    return once + per_order


def _check_rmap(si: SwapFile, name: str, clusters: _I64) -> None:
    """A slot that is not allocated serves no entry; cache-only slots are counted."""
    cache_only = 0
    for begin in range(0, len(clusters), _BATCH):
        some = clusters[begin : begin + _BATCH]
        words = si.rmap.rows.reshape(-1, SWAPFILE_CLUSTER)[some]
        free = ~cluster_bits(si.allocated.rows.reshape(-1, SWAPFILE_CLUSTER // 64)[some].ravel()).reshape(words.shape)
        row, column = np.nonzero((words != 0) & free)
        slots = ((some[row] << SWAPFILE_CLUSTER_SHIFT) + column)[:8].tolist()
        hold(not slots, "free-slot-has-no-rmap", f"{name}: free slots {slots} serve entries")
        cache_only += int(np.count_nonzero(words >> np.uint64(63)))
    counted = si.cache_only_pages
    hold(
        counted == cache_only, "cache-only-pages", f"{name} counts {counted} cache-only slots, {cache_only} are marked"
    )


def _check_hint(shared: SwapGlobals, hints: PercpuCluster, name: str) -> None:
    """A hint points into a cluster, behind a run, on a device that is on."""
    for order, (si, offset) in enumerate(zip(hints.device, hints.offset, strict=True)):
        hold((si is None) == (offset == 0), "hint-whole", f"{name}: order {order} has half a hint")
        if si is not None:
            on = si.type < len(shared.swap_info) and shared.swap_info[si.type] is si
            hold(on, "hint-device-is-on", f"{name}: order {order} points to {si!r}")
            inside = 0 < offset < si.max + SWAPFILE_CLUSTER and bool(offset & SWAPFILE_CLUSTER_MASK)
            hold(inside, "hint-inside-cluster", f"{name}: order {order} points to {offset}")
            aligned = offset & (1 << order) - 1 == 0
            hold(aligned, "hint-aligned", f"{name}: order {order} points to {offset}")


def check_devices(shared: SwapGlobals) -> None:
    """Check every device that is on, the lists of devices, and the hints of every CPU."""
    for type, si in enumerate(shared.swap_info):
        if si is not None:
            hold(si.type == type, "type-is-index", f"device {si.type} sits at {type}")
            check_swapfile(si)
    on = [si for si in shared.swap_info if si is not None]
    hold(_same(shared.active, [si for si in on if si.writeok]), "writable-is-active", f"{shared.active} of {on}")
    hold(all(si in shared.active for si in shared.avail), "available-is-active", f"{shared.avail} of {shared.active}")
    for listed, what in ((shared.active, "active"), (shared.avail, "available")):
        prios = [si.prio for si in listed]
        hold(prios == sorted(prios, reverse=True), "devices-by-priority", f"{what} devices have priorities {prios}")
    for cpu, hints in enumerate(shared.percpu):
        _check_hint(shared, hints, f"CPU {cpu}")


def _same(some: list[SwapFile], others: list[SwapFile]) -> bool:
    return len(some) == len(others) and all(si in others for si in some)
