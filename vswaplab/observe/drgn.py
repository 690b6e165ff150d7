"""drgn: the lines that show, on a live machine, what a record is about.

drgn is a debugger that reads a running kernel's structures from Python. The lines are templates with the same holes as
the sentences (`vswaplab.observe.words.fields_of`), and {cluster} and {index} of a virtual entry, {type} and {offset} of
a physical slot. They need a kernel with debug information, for the virtual design one with the series applied [S10];
they read, and change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.entry import Backing
from vswaplab.events import Event

if TYPE_CHECKING:
    from vswaplab.observe.tracepoints import TraceRecord

__all__ = ["drgn_lines"]

_PTE = (
    "from drgn.helpers.linux.pid import find_task",
    "from drgn.helpers.linux.mm import for_each_vma",
    "mm = find_task(prog, {pid}).mm",
    "[vma for vma in for_each_vma(mm) if vma.vm_start <= {address} < vma.vm_end]",
)
_DESC = (
    "from drgn import cast",
    "from drgn.helpers.linux.xarray import xa_load",
    'cluster = cast("struct vswap_cluster *", xa_load(prog["vswap_cluster_map"].address_of_(), {cluster}))',
    "desc = cluster.descriptors[{index}]",
)
_SI = (
    "from drgn.helpers.linux.swap import for_each_swap_info",
    "si = next(si for si in for_each_swap_info(prog) if si.type == {type})",
)
_FIELD = {
    Event.ALLOC: "desc.type, desc.swap_cache, desc.memcgid, desc.swap_count, desc.in_swapcache",
    Event.FREE: "cluster.count, cluster.bitmap",
    Event.DUPLICATE: "desc.swap_count",
    Event.PUT: "desc.swap_count",
    Event.CACHE_ADD: "desc.swap_cache, desc.in_swapcache",
    Event.CACHE_DEL: "desc.shadow, desc.in_swapcache",
    Event.WRITEOUT: "desc.type",
    Event.WRITEBACK: "desc.type",
}
_LEGACY_FIELD = {
    Event.ALLOC: "si.swap_map[{offset}]",
    Event.FREE: "si.swap_map[{offset}]",
    Event.DUPLICATE: "si.swap_map[{offset}] & 0x3f",
    Event.PUT: "si.swap_map[{offset}] & 0x3f",
    Event.CACHE_ADD: "si.swap_map[{offset}] & 0x40, si.cluster_info[{offset} // 512].table",
    Event.CACHE_DEL: "si.swap_map[{offset}] & 0x40, si.cluster_info[{offset} // 512].table",
    Event.WRITEOUT: "si.zeromap",
    Event.WRITEBACK: "si.swap_map[{offset}]",
}
_BACKING_FIELD = {
    Backing.SWAPFILE: "desc.type, desc.slot",
    Backing.ZSWAP: "desc.type, desc.zswap_entry.length",
    Backing.ZERO: "desc.type",
    Backing.FOLIO: "desc.type, desc.swap_cache",
}


def drgn_lines(record: TraceRecord) -> list[str]:
    """Return the lines for a record; none where there is nothing to look at."""
    event = record.event
    if event in (Event.PTE_MAP, Event.PTE_SWAP, Event.PTE_CLEAR, Event.FAULT):
        return list(_PTE)
    if event in (Event.SWAPON, Event.SWAPOFF):
        return [_SI[0], "[(si.type, si.pages, si.inuse_pages) for si in for_each_swap_info(prog)]"]
    if event in (Event.SPAWN, Event.EXIT):
        return ["from drgn.helpers.linux.pid import find_task", "find_task(prog, {pid})"]
    if not record.entry:
        return []
    if record.design == "legacy":
        field = "si.zeromap, si.swap_map[{offset}]" if event is Event.BACKING else _LEGACY_FIELD.get(event, "")
        return [*_SI, field] if field else []
    if event is Event.BACKING:
        return [*_DESC, _BACKING_FIELD[record.new]] if record.new is not None else []
    return [*_DESC, _FIELD[event]] if event in _FIELD else []
