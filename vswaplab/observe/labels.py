"""Labels: names that no record holds, for pictures: processes by pid, files by device type, clusters by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Labels", "labels_of"]


_COMM_LEN = 15


@dataclass(frozen=True)
class Labels:
    """Names of processes, swapfiles and clusters."""

    processes: Mapping[int, str] = field(default_factory=dict)
    devices: Mapping[int, str] = field(default_factory=dict)
    clusters: Mapping[int, str] = field(default_factory=dict)

    def process(self, pid: int) -> str:
        """Return a process as pictures name it."""
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
    swap: Any = getattr(machine, "swap", None)
    clusters = getattr(swap, "clusters", {})
    return Labels(
        {pid: str(process.name) for pid, process in getattr(machine, "processes", {}).items()},
        {si.type: str(si.device.name).rpartition("/")[2] for si in getattr(machine, "devices", ())},
        {
            number: f"order {cluster.order}, {cluster.count} of 512 slots in use, {swap.allocator.map.state(cluster)}"
            for number, cluster in clusters.items()
        },
    )
