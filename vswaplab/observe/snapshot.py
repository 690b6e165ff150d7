"""Snapshots: the state read off the live structures, as a `State`, a graph and tables.

Nothing here comes from the trace: page tables are walked, entries looked up, the devices asked for their own counts
and their own rmap. That the result equals the state rebuilt from the trace is a test, and proves the trace complete. It
works for either design; in legacy there is no rmap, and the clusters are those of the swapfiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vswaplab.entry import PTE_POISON, PTE_PRESENT, Backing, pte_to_entry, pte_to_frame, swp_slot_t
from vswaplab.observe.graph import build_graph
from vswaplab.observe.labels import Labels, labels_of, swap_cluster_rows
from vswaplab.observe.state import DeviceState, ProcessState, PteState, SlotState, State

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Snapshot", "live_state", "take_snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """All of a machine's swap at one instant; it does not change when the machine goes on."""

    state: State
    rmap: dict[swp_slot_t, tuple[int, bool]]
    """For each allocated physical slot, what the device's rmap says: entry, cache-only bit. Empty in legacy."""
    labels: Labels
    device_rows: tuple[dict[str, Any], ...]
    cluster_rows: tuple[dict[str, Any], ...]
    """Virtual clusters."""
    swap_cluster_rows: tuple[dict[str, Any], ...] = ()
    """Clusters of the swapfiles."""

    @property
    def design(self) -> str:
        """The design of swap: "virtual" or "legacy"."""
        return self.state.design

    @cached_property
    def graph(self) -> nx.MultiDiGraph[Any]:
        """The state as a graph, with the devices' own rmap; see `vswaplab.observe.graph`."""
        return build_graph(self.state, self.rmap)

    @cached_property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The state as rows: those of `State.tables`, with "clusters", "swap_clusters" and "rmap".

        "swap_clusters" are those of the swapfiles (device, cluster, state, order, count), in both designs. "clusters"
        are the virtual ones; in legacy, where there are none, those of the swapfiles.
        """
        names = {**self.labels.processes, **self.labels.files}
        tables = self.state.tables()
        return {
            **tables,
            "processes": [{**row, "name": names.get(row["pid"], "")} for row in tables["processes"]],
            "devices": [dict(row) for row in self.device_rows],
            "clusters": [
                dict(row) for row in (self.cluster_rows if self.design == "virtual" else self.swap_cluster_rows)
            ],
            "swap_clusters": [dict(row) for row in self.swap_cluster_rows],
            "rmap": [
                {"device": slot.type, "offset": slot.offset, "entry": entry, "cache_only": cache_only}
                for slot, (entry, cache_only) in self.rmap.items()
            ],
        }


def take_snapshot(machine: Any) -> Snapshot:
    """Return the state of a machine, read off its live structures. O(pages + slots)."""
    rmap, clusters = (_rmap(machine), _cluster_rows(machine)) if machine.design == "virtual" else ({}, ())
    swap_clusters = tuple(swap_cluster_rows(machine))
    return Snapshot(live_state(machine), rmap, labels_of(machine), _device_rows(machine), clusters, swap_clusters)


def _rmap(machine: Any) -> dict[swp_slot_t, tuple[int, bool]]:
    return {
        swp_slot_t(si.slot_base + offset): (si.rmap_get(offset), bool(si.rmap_is_cache_only(offset)))
        for si in machine.devices
        for offset in si.allocated_offsets().tolist()
    }


def live_state(machine: Any) -> State:
    """Return the state of a machine, read off its live structures. O(pages + slots)."""
    return State(
        ptes={
            (pid, vpn): _pte(pte)
            for pid, process in machine.mappers.items()
            for vpn, pte in process.mm.page_table.walk()
        },
        slots={entry: _slot(machine, entry) for entry in machine.swap.entries()},
        devices={si.type: DeviceState(si.type, si.pages) for si in machine.devices},
        processes={pid: ProcessState(pid, process.parent) for pid, process in machine.mappers.items()},
        design=machine.design,
    )


def _pte(pte: int) -> PteState:
    if pte & PTE_PRESENT:
        return PteState(True, 0, pte_to_frame(pte))
    return PteState(False, 0 if pte == PTE_POISON else int(pte_to_entry(pte)), 0)


def _slot(machine: Any, entry: int) -> SlotState:
    descriptor = machine.swap.lookup(entry)
    handle = {Backing.SWAPFILE: descriptor.slot, Backing.ZSWAP: descriptor.zswap_entry}.get(descriptor.type)
    return SlotState(
        descriptor.type,
        descriptor.swap_count,
        descriptor.in_swapcache,
        descriptor.memcgid,
        int(handle or 0),
        _length(machine.zswap, handle) if descriptor.type is Backing.ZSWAP else 0,
        descriptor.swap_cache.pointer if descriptor.swap_cache is not None else 0,
        descriptor.shadow,
        entry if machine.design == "legacy" else 0,
    )


def _length(zswap: Any, handle: Any) -> int:
    """Return the compressed bytes of a zswap entry; 0 for one that is not stored, as in a broken machine."""
    return int(zswap.table[handle].length) if zswap is not None and 0 < handle < len(zswap.table) else 0


def _device_rows(machine: Any) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "type": si.type,
            "pages": si.pages,
            "inuse_pages": si.inuse_pages,
            "filename": str(si.device.name),
            "prio": si.prio,
        }
        for si in machine.devices
    )


def _cluster_rows(machine: Any) -> tuple[dict[str, Any], ...]:
    state_of = machine.swap.allocator.map.state
    return tuple(
        {"id": cluster.id, "order": cluster.order, "count": cluster.count, "state": state_of(cluster)}
        for _, cluster in sorted(machine.swap.clusters.items())
    )
