"""Labels: names that no record holds, for pictures: processes by pid, files by device type, clusters by number.

The number of a cluster is ``entry >> 9`` in both designs: the id of a virtual cluster; in legacy, type and number of a
cluster of a swapfile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, SWAPFILE_CLUSTER_SHIFT, ClusterState
from vswaplab.entry import make_slot

__all__ = ["Labels", "labels_of", "swap_cluster_rows"]

_COMM_LEN = 15


@dataclass(frozen=True)
class Labels:
    """Names of processes, swapfiles and clusters."""

    processes: Mapping[int, str] = field(default_factory=dict)
    devices: Mapping[int, str] = field(default_factory=dict)
    clusters: Mapping[int, str] = field(default_factory=dict)
    files: Mapping[int, str] = field(default_factory=dict)
    """tmpfs files by the pid under which the trace knows them."""

    def process(self, pid: int) -> str:
        """Return a process, or a tmpfs file, as pictures name it."""
        if pid in self.files:
            return f"tmpfs file {pid} ({_short(self.files[pid])})"
        name = _short(self.processes.get(pid, ""))
        return f"process {pid} ({name})" if name else f"process {pid}"

    def device(self, type: int) -> str:
        """Return a swapfile as pictures name it."""
        name = _short(self.devices.get(type, ""))
        return f"swapfile {type} ({name})" if name else f"swapfile {type}"

    def cluster(self, number: int) -> str:
        """Return what there is to say about a cluster, or nothing."""
        return self.clusters.get(number, "")


def _short(name: str) -> str:
    """Return a name as `ps` would cut it: 15 characters."""
    return name if len(name) <= _COMM_LEN else name[: _COMM_LEN - 1] + "…"


def labels_of(machine: Any) -> Labels:
    """Return the names a machine knows; none for anything else, such as a bare trace."""
    return Labels(
        {pid: str(process.name) for pid, process in getattr(machine, "processes", {}).items()},
        {si.type: str(si.device.name).rpartition("/")[2] for si in getattr(machine, "devices", ())},
        _cluster_names(machine),
        {pid: str(file.name).rpartition("/")[2] for pid, file in getattr(machine, "shmem_files", {}).items()},
    )


def _cluster_names(machine: Any) -> dict[int, str]:
    swap: Any = getattr(machine, "swap", None)
    if swap is None:
        return {}
    if swap.design == "legacy":
        return {
            make_slot(row["device"], row["cluster"] << SWAPFILE_CLUSTER_SHIFT) >> SWAPFILE_CLUSTER_SHIFT: _in_words(row)
            for row in swap_cluster_rows(machine)
        }
    state_of = swap.allocator.map.state
    return {
        number: _in_words({"order": cluster.order, "count": cluster.count, "state": state_of(cluster)})
        for number, cluster in swap.clusters.items()
    }


def _in_words(row: Mapping[str, Any]) -> str:
    return f"order {row['order']}, {row['count']} of {SWAPFILE_CLUSTER} slots in use, {row['state']}"


def swap_cluster_rows(machine: Any) -> list[dict[str, Any]]:
    """Return a row for each cluster of a swapfile in which a slot is allocated: device, cluster, state, order, count.

    `state` is the list it is on, `count` how many slots of it are allocated.
    """
    rows = []
    for si in machine.devices:
        clusters, counts = np.unique(si.allocated_offsets() >> np.uint64(SWAPFILE_CLUSTER_SHIFT), return_counts=True)
        for cluster, count in zip(clusters.tolist(), counts.tolist(), strict=True):
            state = ClusterState(si.lists.state[cluster]).name.lower()
            order = si.lists.order[cluster]
            rows.append({"device": si.type, "cluster": cluster, "state": state, "order": order, "count": count})
    return rows
