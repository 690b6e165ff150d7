"""Invariants of the virtual swap layer, each by name (section 3.13 of docs/facts.md).

`check_virtual` is called after every step of the random tests, so each check states its rule beside it and says what it
found when the rule is broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.backends.zswap_invariants import check_indexed
from vswaplab.entry import VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE, Backing, make_slot
from vswaplab.errors import hold
from vswaplab.virtual.cluster import VswapCluster
from vswaplab.virtual.descriptor import Descriptor

if TYPE_CHECKING:
    from vswaplab.virtual.core import VswapCore

__all__ = ["check_virtual"]


def check_virtual(swap: VswapCore) -> None:
    """Check every invariant of the layer; raise InvariantError that names the first one broken. O(slots)."""
    total = 0
    for cluster_id, cluster in swap.clusters.items():
        _check_cluster(swap, cluster_id, cluster)
        total += cluster.count
    hold(swap.used == total, "used-is-sum-of-counts", f"used is {swap.used}, the clusters hold {total}")
    _check_lists(swap)
    owned: dict[int, int] = {}
    cached: dict[int, int] = {}
    compressed = 0
    for entry in swap.entries():
        desc = swap.lookup(entry)
        _check_entry(swap, desc, owned, cached)
        compressed += desc.type is Backing.ZSWAP
    if swap.zswap is not None:
        stored = swap.zswap.stored_pages
        hold(stored == compressed, "every-zswap-entry-is-indexed", f"{stored} compressed pages, {compressed} ZSWAP")
    _check_devices(swap, owned)
    _check_swap_cache(swap, cached)


def _check_cluster(swap: VswapCore, cluster_id: int, cluster: VswapCluster) -> None:
    name = f"cluster {cluster_id}"
    hold(cluster.id == cluster_id, "map-id", f"{name} thinks it is {cluster.id}")
    hold(cluster.bitmap.bit_count() == cluster.count, "bitmap-is-count", f"{name}: {cluster!r}")
    hold(not cluster.bitmap & cluster.unusable, "entry-0-never-handed-out", f"{name} gave its first range away")
    expected = cluster.count + cluster.cached + cluster.pins
    hold(cluster.refcnt == expected, "refcnt", f"{name}: refcnt is {cluster.refcnt}, its users are {expected}")
    hold(cluster.refcnt > 0, "no-idle-cluster", f"{name} is empty and nobody holds it")
    pins = sum(looked_up is cluster for looked_up in swap.allocator.looked_up)
    hold(cluster.pins >= pins, "lookup-cache-reference", f"{name}: {pins} CPUs look at it with {cluster.pins} pins")
    holders = sum(cluster is slot for cpu in swap.allocator.cached for slot in cpu)
    hold(holders == cluster.cached, "cached-by-one-cpu", f"{name}: cached={cluster.cached}, by {holders} CPUs")
    rows = swap.desc.rows[cluster_id << VSWAP_CLUSTER_SHIFT : (cluster_id + 1) << VSWAP_CLUSTER_SHIFT]
    free = [i for i in range(VSWAP_CLUSTER_SIZE) if not cluster.bitmap >> i & 1]
    clean = not (rows["slot"][free].any() or rows["swap_cache"][free].any() or rows["swap_count"][free].any())
    clean = clean and not (rows["memcgid"][free].any() or rows["flags"][free].any())
    hold(clean, "free-slot-is-blank", f"{name}: a free slot's descriptor is not all zeros")


def _check_lists(swap: VswapCore) -> None:
    for order, partial in enumerate(swap.allocator.map.partial):
        for cluster_id, cluster in partial.items():
            name = f"cluster {cluster_id} on the partial list of order {order}"
            hold(swap.clusters.get(cluster_id) is cluster, "listed-cluster-lives", name)
            hold(cluster.order == order, "listed-under-its-order", f"{name}: {cluster!r}")
            rule = cluster.candidate and not cluster.cached and not cluster.full
            hold(rule, "partial-is-candidate", f"{name}: {cluster!r}, cached={cluster.cached}, full={cluster.full}")


def _check_entry(swap: VswapCore, desc: Descriptor, owned: dict[int, int], cached: dict[int, int]) -> None:
    entry, name = desc.entry, f"entry {desc.entry}"
    hold(desc.swap_count > 0 or desc.in_swapcache, "allocated-entry-has-a-reference", name)
    raw = swap.desc.cache[entry]
    if desc.swap_cache is not None:
        cached[raw] = cached.get(raw, 0) + 1
        folio = desc.swap_cache
        hold(desc.in_swapcache, "folio-is-pinned", f"{name} points to a folio without in_swapcache")
        covers = folio.swap <= entry < folio.swap + folio.nr_pages
        hold(covers, "folio-matches-entry", f"{name} points to the folio of entry {folio.swap}")
    elif raw and not raw & 1:
        cached[0] = cached.get(0, 0) + 1  # known by pointer alone; counted below
    else:
        hold(desc.type is not Backing.FOLIO, "FOLIO-has-a-folio", f"{name} is backed by a folio that is not there")
    if desc.type is Backing.ZSWAP:
        _check_zswap_entry(swap, desc)
    elif desc.type is Backing.SWAPFILE:
        _check_slot(swap, desc, owned)
    else:
        hold(swap.desc.handle[entry] == 0, "handle-only-where-meant", f"{name} is {desc.type.name} with a handle")


def _check_zswap_entry(swap: VswapCore, desc: Descriptor) -> None:
    name = f"entry {desc.entry}"
    hold(bool(desc.zswap_entry), "ZSWAP-has-a-handle", name)
    if swap.zswap is None:  # array forms may note handles of their own where there is no pool to have them
        return
    check_indexed(swap.zswap, desc.zswap_entry or 0, desc.entry)


def _check_slot(swap: VswapCore, desc: Descriptor, owned: dict[int, int]) -> None:
    slot, name = desc.slot, f"entry {desc.entry}"
    hold(bool(slot), "SWAPFILE-has-a-slot", name)
    assert slot is not None
    hold(slot not in owned, "slot-owned-once", f"{name} and entry {owned.get(slot)} both name {slot!r}")
    owned[slot] = desc.entry
    hold(any(device.type == slot.type for device in swap.devices), "no-entry-on-a-removed-device", f"{name}: {slot!r}")
    device = swap.devices[slot.type]
    hold(device.is_allocated(slot.offset), "slot-bit-is-set", f"{name}: {slot!r} is free on the device")
    back = device.rmap_get(slot.offset)
    hold(back == desc.entry, "rmap-points-back", f"{name}: the rmap of {slot!r} says {back}")
    expected = desc.swap_count == 0 and desc.in_swapcache
    marked = device.rmap_is_cache_only(slot.offset)
    hold(marked == expected, "cache-only-bit", f"{name}: bit is {marked}, count {desc.swap_count}")


def _check_devices(swap: VswapCore, owned: dict[int, int]) -> None:
    for device in swap.devices:
        for offset in device.allocated_offsets():
            slot = make_slot(device.type, int(offset))
            hold(slot in owned, "allocated-slot-is-owned", f"{slot!r} is allocated but no descriptor names it")


def _check_swap_cache(swap: VswapCore, cached: dict[int, int]) -> None:
    bare = cached.get(0, 0)
    hold(
        bare == swap.bare_swapcached,
        "folio-lives",
        f"{bare} entries point to no folio, expected {swap.bare_swapcached}",
    )
    pages = bare
    for pointer, folio in swap.folios.items():
        name = f"folio of entry {folio.swap}"
        hold(folio.in_swapcache and folio.pointer == pointer, "cached-folio-knows-it", name)
        found = cached.get(pointer, 0)
        hold(found == folio.nr_pages, "folio-covers-its-entries", f"{name}: {found} of {folio.nr_pages} entries")
        pages += folio.nr_pages
    hold(swap.nr_swapcached == pages, "nr_swapcached", f"counted {swap.nr_swapcached}, there are {pages}")
