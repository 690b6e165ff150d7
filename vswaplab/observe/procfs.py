"""Text in the kernel's own formats: /proc/swaps, meminfo, vmstat, slabinfo, vmallocinfo, and debugfs.

Slab and VmallocUsed of /proc/meminfo, and the two files that say what is in them, hold swap's metadata alone here; on a
running kernel they are mixed with everything else that it allocates (`vswaplab.observe.kernel_memory`). Only lines are
printed for which the model has something to count; those it has stand in the kernel's order and columns [BACKGROUND:
fs/proc, mm/vmstat.c]. debugfs names are those of section 4.4 of docs/facts.md and of [S10].
"""

from __future__ import annotations

from typing import Any

from vswaplab.backends.block_device import block_device
from vswaplab.errors import NotFound
from vswaplab.observe.kernel_memory import Area, Cache, slab_caches, vmalloc_areas
from vswaplab.strict import quoted
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE

__all__ = ["DEBUGFS_FILES", "PROCFS_FILES", "debugfs", "procfs"]

_KIB_SHIFT = PAGE_SHIFT - 10
_FILENAME_WIDTH = 40
_TWO_TABS_BELOW = 10_000_000  # KiB: wider numbers take the room of a tab
_HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
_VMALLOC_START = 0xFFFFC90000000000
_SLABINFO_HEADING = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> "
    ": tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)
_ESCAPES = {ord(" "): "\\040", ord("\t"): "\\011", ord("\n"): "\\012", ord("\\"): "\\134"}

_ZSWAP_FILES = (
    "decompress_fail",
    "pool_limit_hit",
    "pool_total_size",
    "reject_alloc_fail",
    "reject_compress_fail",
    "reject_compress_poor",
    "reject_kmemcache_fail",
    "reject_reclaim_fail",
    "stored_incompressible_pages",
    "stored_pages",
    "written_back_pages",
)
_VSWAP_FILES = ("alloc_reject", "used")

DEBUGFS_FILES = (*(f"vswap/{name}" for name in _VSWAP_FILES), *(f"zswap/{name}" for name in _ZSWAP_FILES))
"""Files below /sys/kernel/debug."""

_EVENTS = (
    "pswpin",
    "pswpout",
    "allocstall_movable",
    "pgactivate",
    "pgdeactivate",
    "pgfault",
    "pgmajfault",
    "pgrefill",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "pgscan_kswapd",
    "pgscan_direct",
    "pgscan_anon",
    "pgsteal_anon",
    "pageoutrun",
    "oom_kill",
    "thp_fault_alloc",
    "thp_swpout",
    "thp_swpout_fallback",
    "swap_ra",
    "swap_ra_hit",
    "swpin_zero",
    "swpout_zero",
    "zswpin",
    "zswpout",
    "zswpwb",
)
_COUNTED_AS = {"pgsteal_anon": "pgsteal", "pgscan_anon": "pgscan"}
"""All pages here are anonymous (or of tmpfs), so these two are all of reclaim, for a limit of a cgroup too."""
_OF_THE_MACHINE = frozenset(
    {
        "allocstall_movable",
        "pgsteal_kswapd",
        "pgsteal_direct",
        "pgscan_kswapd",
        "pgscan_direct",
        "pageoutrun",
        "oom_kill",
    }
)
"""Not counted here when it was done for a limit of a cgroup; memory.stat of the cgroup has it [BACKGROUND]."""


def procfs(machine: Any, name: str) -> str:
    """Return what ``/proc/<name>`` reads; NotFound if there is no such file here."""
    reader = _READERS.get(name)
    if reader is None:
        raise NotFound(f"There is no /proc file {quoted(name)} here; there is {', '.join(PROCFS_FILES)}.")
    return str(reader(machine))


def debugfs(machine: Any, name: str) -> str:
    """Return what ``/sys/kernel/debug/<name>`` reads: a number and a newline; NotFound if there is none."""
    if name not in DEBUGFS_FILES:
        raise NotFound(f"There is no debugfs file {quoted(name)} here; there is {', '.join(DEBUGFS_FILES)}.")
    room, _, file = name.partition("/")
    if room == "zswap":
        if machine.zswap is None:
            raise NotFound("zswap is off, so it has no debugfs files; make the Machine with zswap=dict(...).")
        return f"{int(machine.zswap.debugfs(file))}\n"
    if not hasattr(machine.swap, file):
        raise NotFound(f"The {machine.swap.design} design has no virtual swap slots, so there is no {name}.")
    return f"{getattr(machine.swap, file)}\n"


def _swaps(machine: Any) -> str:
    """One line for each swapfile, in the order they were swapped on; sizes in KiB."""
    return _HEADING + "".join(_swaps_line(si) for si in machine.devices)


def _swaps_line(si: Any) -> str:
    path = si.device.path.translate(_ESCAPES) if si.device.path else block_device(si.device, si.type)[0]
    kind = "file\t" if si.device.path else "partition"
    size, used = si.pages << _KIB_SHIFT, si.inuse_pages << _KIB_SHIFT
    gap = " " * max(1, _FILENAME_WIDTH - len(path))
    after_size, after_used = ("\t\t" if number < _TWO_TABS_BELOW else "\t" for number in (size, used))
    return f"{path}{gap}{kind}\t{size}{after_size}{used}{after_used}{si.prio}\n"


def _meminfo(machine: Any) -> str:
    pages = _pages(machine)
    kib: dict[str, int] = {
        "MemTotal": machine.ram_pages << _KIB_SHIFT,
        "MemFree": machine.free_pages << _KIB_SHIFT,
        # there is no page cache to be had for the asking: what is free, less what kswapd keeps so, is available
        "MemAvailable": max(0, machine.free_pages - machine.watermarks.high) << _KIB_SHIFT,
        "SwapCached": pages["nr_swapcached"] << _KIB_SHIFT,
        "Active": pages["nr_active_anon"] << _KIB_SHIFT,
        "Inactive": pages["nr_inactive_anon"] << _KIB_SHIFT,
        "Active(anon)": pages["nr_active_anon"] << _KIB_SHIFT,
        "Inactive(anon)": pages["nr_inactive_anon"] << _KIB_SHIFT,
        "SwapTotal": sum(si.pages for si in machine.devices) << _KIB_SHIFT,
        "SwapFree": sum(si.pages - si.inuse_pages for si in machine.devices) << _KIB_SHIFT,
    }
    if machine.zswap is not None:
        kib["Zswap"] = int(machine.zswap.debugfs("pool_total_size")) >> 10
        kib["Zswapped"] = int(machine.zswap.debugfs("stored_pages")) << _KIB_SHIFT
    kib["AnonPages"] = pages["nr_anon_pages"] << _KIB_SHIFT
    if "nr_shmem" in pages:
        kib["Shmem"] = pages["nr_shmem"] << _KIB_SHIFT
    slabs = {
        kind: sum(each.pages for each in slab_caches(machine) if each.reclaimable is kind) for kind in (True, False)
    }
    kib["Slab"] = sum(slabs.values()) << _KIB_SHIFT
    kib["SReclaimable"] = slabs[True] << _KIB_SHIFT
    kib["SUnreclaim"] = slabs[False] << _KIB_SHIFT
    kib["PageTables"] = pages["nr_page_table_pages"] << _KIB_SHIFT
    kib["VmallocUsed"] = sum(area.pages for area in vmalloc_areas(machine)) << _KIB_SHIFT
    return "".join(f"{name + ':':<16}{value:8d} kB\n" for name, value in kib.items())


def _vmstat(machine: Any) -> str:
    lines = {
        **_pages(machine),
        **{event: _event(machine, event) for event in _EVENTS},
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _event(machine: Any, event: str) -> int:
    counts = machine.vm_events if event in _OF_THE_MACHINE else machine.root_memcg.events
    return int(counts.get(_COUNTED_AS.get(event, event), 0))


def _pages(machine: Any) -> dict[str, int]:
    """Return the page counts of /proc/vmstat, in its order, with the working set's events among them as there."""
    root = machine.root_memcg
    shmem = {"nr_shmem": machine.shmem_pages} if machine.shmem_files else {}
    return {
        "nr_free_pages": machine.free_pages,
        "nr_inactive_anon": root.stat("inactive_anon") >> PAGE_SHIFT,
        "nr_active_anon": root.stat("active_anon") >> PAGE_SHIFT,
        "workingset_refault_anon": root.stat("workingset_refault_anon"),
        "workingset_activate_anon": root.stat("workingset_activate_anon"),
        "workingset_restore_anon": root.stat("workingset_restore_anon"),
        "nr_anon_pages": root.stat("anon") >> PAGE_SHIFT,
        **shmem,
        "nr_page_table_pages": sum(process.mm.page_table.nr_tables for process in machine.processes.values()),
        "nr_swapcached": root.stat("swapcached") >> PAGE_SHIFT,
    }


def _slabinfo(machine: Any) -> str:
    """The caches that hold swap's metadata, in the format of version 2.1; SLUB has no tunables and shares nothing."""
    return _SLABINFO_HEADING + "".join(map(_slabinfo_line, slab_caches(machine)))


def _slabinfo_line(cache: Cache) -> str:
    return (
        f"{cache.name:<17} {cache.objects:6d} {cache.slabs * cache.objects_per_slab:6d} {cache.object_bytes:6d} "
        f"{cache.objects_per_slab:4d} {cache.slab_pages:4d} : tunables {0:4d} {0:4d} {0:4d} "
        f": slabdata {cache.slabs:6d} {cache.slabs:6d} {0:6d}\n"
    )


def _vmallocinfo(machine: Any) -> str:
    """A line for each area: where it lies, its bytes with the guard page behind it, its caller and its pages.

    A model has no text section, so the caller's name stands without an offset; areas lie one behind the other.
    """
    lines, start = [], _VMALLOC_START
    for area in vmalloc_areas(machine):
        lines.append(_vmallocinfo_line(start, area))
        start += (area.pages + 1) * PAGE_SIZE
    return "".join(lines)


def _vmallocinfo_line(start: int, area: Area) -> str:
    size = (area.pages + 1) * PAGE_SIZE
    return f"0x{start:016x}-0x{start + size:016x} {size:7d} {area.caller} pages={area.pages} vmalloc N0={area.pages}\n"


_READERS = {
    "meminfo": _meminfo,
    "slabinfo": _slabinfo,
    "swaps": _swaps,
    "vmallocinfo": _vmallocinfo,
    "vmstat": _vmstat,
}
PROCFS_FILES = tuple(_READERS)
"""Files below /proc."""
