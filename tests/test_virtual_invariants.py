"""Each invariant of the layer is caught by its name when it is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from swapkit import Kit

from vswaplab.entry import Backing
from vswaplab.errors import InvariantError
from vswaplab.virtual.descriptor import IN_SWAPCACHE, TYPE_MASK, TYPE_SWAPFILE, TYPE_ZSWAP

TEXT = (b"every invariant has a name. " * 200)[:4096]


def build() -> tuple[Kit, dict[str, int]]:
    """A layer with an entry of each backing, one of them cached, and a partial cluster."""
    kit = Kit(slots=64, zswap=True)
    entries = {"zswap": kit.swapped(TEXT), "zero": kit.swapped(bytes(4096)), "folio": int(kit.out(TEXT).swap)}
    kit.zswap.enabled = False
    entries["disk"] = kit.swapped(TEXT)
    for _ in range(600):
        kit.swapped(bytes(4096))
    kit.swap.swap_free_nr(505, 1)
    kit.swap.check()
    assert len(kit.swap.allocator.map.partial[0]) == 1
    return kit, entries


def set_flags(kit: Kit, entry: int, clear: int, put: int) -> None:
    kit.swap.desc.flags[entry] = kit.swap.desc.flags[entry] & ~clear | put


def change(field: str, key: str, value: int) -> Callable[[Kit, dict[str, int]], None]:
    def apply(kit: Kit, at: dict[str, int]) -> None:
        getattr(kit.swap.desc, field)[at[key]] = value

    return apply


def rmap_of(kit: Kit, entry: int) -> tuple[object, int]:
    slot = kit.swap.swp_entry_to_swp_slot(entry)
    return kit.devices[slot.type], slot.offset


def orphan(kit: Kit) -> None:
    """A folio that says it is in the swap cache while no descriptor points to it."""
    folio = kit.folio()
    folio.in_swapcache = True
    kit.swap.folios[folio.pointer] = folio


def attr(name: str, value: object, cluster: int = 0) -> Callable[[Kit, dict[str, int]], None]:
    return lambda kit, at: setattr(kit.swap.clusters[cluster], name, value)


BREAKS: dict[str, Callable[[Kit, dict[str, int]], None]] = {
    "used-is-sum-of-counts": lambda kit, at: setattr(kit.swap.allocator, "used", 3),
    "map-id": attr("id", 5),
    "bitmap-is-count": attr("bitmap", 0b110),
    "entry-0-never-handed-out": lambda kit, at: setattr(
        kit.swap.clusters[0], "bitmap", kit.swap.clusters[0].bitmap & ~(1 << 7) | 1
    ),
    "refcnt": lambda kit, at: setattr(kit.swap.clusters[0], "refcnt", 9),
    "no-idle-cluster": lambda kit, at: kit.swap.allocator.new_cluster(3),
    "lookup-cache-reference": lambda kit, at: kit.swap.allocator.looked_up.__setitem__(1, kit.swap.clusters[1]),
    "cached-by-one-cpu": lambda kit, at: kit.swap.allocator.cached[0].__setitem__(0, None),
    "free-slot-is-blank": lambda kit, at: kit.swap.desc.memcgid.__setitem__(505, 1),
    "listed-cluster-lives": lambda kit, at: kit.swap.allocator.map.partial[3].__setitem__(9, kit.swap.clusters[0]),
    "listed-under-its-order": lambda kit, at: kit.swap.allocator.map.partial[3].__setitem__(0, kit.swap.clusters[0]),
    "partial-is-candidate": lambda kit, at: kit.swap.allocator.map.partial[0].__setitem__(1, kit.swap.clusters[1]),
    "allocated-entry-has-a-reference": change("count", "zswap", 0),
    "folio-is-pinned": lambda kit, at: set_flags(kit, at["folio"], IN_SWAPCACHE, 0),
    "folio-matches-entry": lambda kit, at: setattr(kit.swap.swap_cache_get_folio(at["folio"]), "swap", 1),
    "folio-lives": change("cache", "zero", 0xFFFF_EA00_DEAD_0000),
    "FOLIO-has-a-folio": change("cache", "folio", 0),
    "ZSWAP-has-a-handle": change("handle", "zswap", 0),
    "zswap-entry-points-back": lambda kit, at: setattr(
        kit.zswap.entry(kit.swap.lookup(at["zswap"]).zswap_entry), "swpentry", 77
    ),
    "SWAPFILE-has-a-slot": change("handle", "disk", 0),
    "handle-only-where-meant": change("handle", "zero", 8),
    "slot-bit-is-set": lambda kit, at: kit.swap.desc.handle.__setitem__(at["disk"], 60),
    "slot-owned-once": lambda kit, at: (
        set_flags(kit, at["zero"], TYPE_MASK, TYPE_SWAPFILE),
        kit.swap.desc.handle.__setitem__(at["zero"], kit.swap.desc.handle[at["disk"]]),
        rmap_of(kit, at["disk"])[0].rmap_set(rmap_of(kit, at["disk"])[1], at["zero"], 1),
    ),
    "no-entry-on-a-removed-device": lambda kit, at: kit.swap.desc.handle.__setitem__(at["disk"], 3 << 58 | 1),
    "rmap-points-back": lambda kit, at: rmap_of(kit, at["disk"])[0].rmap_set(rmap_of(kit, at["disk"])[1], 99, 1),
    "cache-only-bit": lambda kit, at: kit.swap.swap_rmap_mark(kit.swap.swp_entry_to_swp_slot(at["disk"])),
    "allocated-slot-is-owned": lambda kit, at: kit.devices.alloc_slot(0, 0),
    "cached-folio-knows-it": lambda kit, at: setattr(kit.swap.swap_cache_get_folio(at["folio"]), "in_swapcache", False),
    "folio-covers-its-entries": lambda kit, at: orphan(kit),
    "nr_swapcached": lambda kit, at: setattr(kit.swap, "nr_swapcached", 40),
}


@pytest.mark.parametrize("invariant", BREAKS)
def test_a_broken_invariant_is_named(invariant: str) -> None:
    kit, entries = build()
    BREAKS[invariant](kit, entries)
    with pytest.raises(InvariantError) as error:
        kit.swap.check()
    # Two owners of a slot also means that one of them is not whom the rmap names.
    also = {"slot-owned-once": "rmap-points-back"}.get(invariant)
    assert error.value.invariant in (invariant, also)


def test_check_changes_nothing() -> None:
    kit, _ = build()
    before = (kit.swap.allocator.lookups, kit.swap.allocator.map_walks, kit.swap.desc.rows[:1024].tobytes())
    kit.swap.check()
    assert before == (kit.swap.allocator.lookups, kit.swap.allocator.map_walks, kit.swap.desc.rows[:1024].tobytes())


def test_lookup_of_each_backing_reads_as_it_is() -> None:
    kit, entries = build()
    assert {name: kit.swap.lookup(entry).type for name, entry in entries.items()} == {
        "zswap": Backing.ZSWAP,
        "zero": Backing.ZERO,
        "folio": Backing.FOLIO,
        "disk": Backing.SWAPFILE,
    }
    assert TYPE_ZSWAP >> 1 == Backing.ZSWAP
