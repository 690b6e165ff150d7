"""Where the kernel's allocators hold swap's metadata: areas of vmalloc and objects of slab caches, now.

The byte ledger says what a structure takes; this says under whose name an administrator finds it. Three allocators
share it, and /proc shows two of them [S10, section 1.3 of docs/facts.md, BACKGROUND]:

* **vmalloc**: arrays. Virtual: the 512 descriptors of each cluster, and the bitmaps of a device; legacy: swap_map,
  swap_cgroup, zeromap; both: the headers of a device's clusters. ``VmallocUsed`` is their sum, ``/proc/vmallocinfo``
  lists them by caller. What Linux takes with kvmalloc comes from here too (it tries contiguous memory first).
* **slab caches**: ``vswap_cluster``, a header for each virtual cluster; ``zswap_entry``, one for each page in zswap;
  ``radix_tree_node``, the nodes of xarrays (legacy: of zswap's trees; virtual: of the cluster map); the heads of the
  trees in a ``kmalloc`` cache. ``/proc/slabinfo`` lists them, ``SReclaimable`` and ``SUnreclaim`` have their pages.
* **pages**: swap tables, tables of rmap words, continuation pages. No file of /proc has them under any name.

>>> from vswaplab import Machine
>>> m = Machine(ram="1M", design="virtual")
>>> p = m.spawn(); r = p.mmap("256K"); p.write(r.start, b"some" * 65536)
>>> m.reclaim()
64
>>> [(area.caller, area.pages) for area in vmalloc_areas(m)]
[('folio_alloc_swap', 3)]
>>> [(cache.name, cache.objects) for cache in slab_caches(m)]
[('vswap_cluster', 1), ('zswap_entry', 64), ('radix_tree_node', 1)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vswaplab.legacy.zswap_tree import XARRAY_DTYPE
from vswaplab.observe.ledger import AS_ALLOCATED, CLUSTER_INFO_BYTES, measure
from vswaplab.observe.ledger_model import Ledger
from vswaplab.units import PAGE_SIZE

__all__ = ["Area", "Cache", "slab_caches", "vmalloc_areas"]

_SYSCALL = "__do_sys_swapon"
_KMALLOC_BYTES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
_MIN_OBJECTS, _MAX_SLAB_ORDER, _WASTE = 16, 3, 16
"""A slab has so many objects if it can, in at most 8 pages, and wastes at most a 16th of them [BACKGROUND]."""


@dataclass(frozen=True)
class Area:
    """One area of vmalloc: an array, in whole pages."""

    structure: str
    """The line of the ledger that it is part of."""
    caller: str
    """The kernel's function that asked for it."""
    pages: int


@dataclass(frozen=True)
class Cache:
    """One slab cache: objects in use, packed into as few slabs as can be."""

    name: str
    structure: str
    """The line of the ledger that its objects are."""
    objects: int
    object_bytes: int
    reclaimable: bool = False

    @property
    def slab_pages(self) -> int:
        """Pages of one slab."""
        for order in range(_MAX_SLAB_ORDER + 1):
            room = PAGE_SIZE << order
            if room // self.object_bytes >= _MIN_OBJECTS and room % self.object_bytes <= room // _WASTE:
                return 1 << order
        return 1 << _MAX_SLAB_ORDER

    @property
    def objects_per_slab(self) -> int:
        """Objects that fit in one slab."""
        return self.slab_pages * PAGE_SIZE // self.object_bytes

    @property
    def slabs(self) -> int:
        """Slabs in use."""
        return -(-self.objects // self.objects_per_slab)

    @property
    def pages(self) -> int:
        """Pages of all slabs in use."""
        return self.slabs * self.slab_pages


def vmalloc_areas(machine: Any) -> list[Area]:
    """Return the areas of a machine's swap metadata: arrays of devices first, then those of virtual clusters."""
    swap = machine.swap
    found = [area for si in swap.devices for area in _areas_of(swap, si)]
    if swap.design == "virtual":
        array = measure(swap, AS_ALLOCATED).structures["swp_desc"].unit_bytes
        found += [_area("swp_desc", "folio_alloc_swap", int(array))] * len(swap.clusters)
    return found


def _areas_of(swap: Any, si: Any) -> Iterator[Area]:
    if swap.design == "virtual":
        yield _area("allocated", _SYSCALL, si.allocated.rows.nbytes)
        yield _area("bad_map", _SYSCALL, si.bad_map.rows.nbytes)
    else:
        info = swap.info[si.type]
        yield _area("swap_map", _SYSCALL, info.swap_map.map.rows.nbytes)
        yield _area("swap_cgroup", "swap_cgroup_swapon", info.swap_cgroup.rows.nbytes)
        yield _area("zeromap", _SYSCALL, info.zeromap.rows.nbytes)
        heads = _heads(info)
        if heads > _KMALLOC_BYTES[-1]:
            yield _area("zswap_tree_heads", "zswap_swapon", heads)
    yield _area("swap_cluster_info", "setup_clusters", si.nr_clusters * CLUSTER_INFO_BYTES)


def _area(structure: str, caller: str, nr_bytes: int) -> Area:
    return Area(structure, caller, -(-nr_bytes // PAGE_SIZE))


def _heads(info: Any) -> int:
    """Return the bytes of the heads of a device's zswap trees, which stand in one array."""
    return int(info.zswap_tree.nr_trees) * XARRAY_DTYPE.itemsize


def slab_caches(machine: Any) -> list[Cache]:
    """Return the slab caches that hold a machine's swap metadata, also those that hold nothing now."""
    swap = machine.swap
    ledger = measure(swap, AS_ALLOCATED)
    virtual = swap.design == "virtual"
    found = [_cache("vswap_cluster", "vswap_cluster", ledger)] if virtual else []
    if machine.zswap is not None:
        found.append(_cache("zswap_entry", "zswap_entry", ledger))
    tree = "vswap_cluster_map" if virtual else "zswap_tree"
    found.append(_cache("radix_tree_node", tree, ledger, reclaimable=True))
    return [*found, *([] if virtual else _kmalloc_caches(swap))]


def _cache(name: str, structure: str, ledger: Ledger, *, reclaimable: bool = False) -> Cache:
    line = ledger.apart[structure] if structure in ledger.apart else ledger.structures[structure]
    return Cache(name, structure, line.units, int(line.unit_bytes), reclaimable)


def _kmalloc_caches(swap: Any) -> Iterator[Cache]:
    """The arrays of tree heads that are small enough: each is one object of the first size that it fits in."""
    sizes = [next((size for size in _KMALLOC_BYTES if size >= _heads(info)), 0) for info in swap.info.values()]
    for size in sorted(set(sizes) - {0}):
        name = f"kmalloc-{size >> 10}k" if size >= 1024 else f"kmalloc-{size}"
        yield Cache(name, "zswap_tree_heads", sizes.count(size), size)
