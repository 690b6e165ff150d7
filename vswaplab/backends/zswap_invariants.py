"""What always holds in zswap: each invariant by its name.

`Zswap.check` calls this; the random tests call that after every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.errors import hold
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    from vswaplab.backends.zswap import Zswap

__all__ = ["check_indexed", "check_zswap"]


def check_zswap(zswap: Zswap) -> None:
    """Raise InvariantError, by name, for whatever does not hold; takes time in proportion to the entries."""
    _check_lists(zswap)
    _check_objects(zswap)
    as_is = zswap.stored_incompressible_pages
    there = sum(entry.length == PAGE_SIZE for entry in zswap.table)
    hold(as_is == there, "incompressible-pages-counted", f"{as_is} counted, {there} there")


def check_indexed(zswap: Zswap, ze: int, entry: int) -> None:
    """Check that what a design has for the compressed copy of swap entry `entry` is stored, and is that."""
    stored = 0 < ze < len(zswap.table) and zswap.table[ze].length > 0
    hold(stored, "zswap-entry-is-stored", f"entry {entry:#x} names zswap entry {ze}, which was freed or never stored")
    back = zswap.table[ze].swpentry
    hold(back == entry, "zswap-entry-points-back", f"entry {entry:#x}: its zswap entry says {back:#x}")


def _check_lists(zswap: Zswap) -> None:
    for ze, entry in enumerate(zswap.table):
        hold(entry.id == ze, "entry-knows-its-id", f"entry {ze} says {entry.id}")
    listed: list[int] = []
    for (id, node), lru in zswap.lrus.items():
        on_list = [entry.id for entry in lru]
        listed += on_list
        hold(lru.memcg.id == id, "lru-of-its-memcg", f"the list of memcg {id} belongs to {lru.memcg.id}")
        hold(lru.node == node < zswap.nodes, "lru-of-its-node", f"a list of node {node} is that of node {lru.node}")
        hold(0 < lru.nr == len(on_list), "lru-counted", f"memcg {id} lists {len(on_list)} entries, {lru.nr} counted")
        hold(all(entry.lru is lru for entry in lru), "entry-on-its-lru", f"memcg {id} lists an entry of another")
    live = [entry.id for entry in zswap.table if entry.length]
    hold(sorted(listed) == live, "lru-holds-the-stored", f"{len(listed)} listed, {len(live)} stored")
    ids = sorted([*live, *(entry.id for entry in zswap.spare)])
    hold(ids == list(range(1, len(zswap.table))), "ids-live-or-spare", f"{len(zswap.table) - 1} ids are known")


def _check_objects(zswap: Zswap) -> None:
    objects: dict[int, set[int]] = {id(pool): set() for pool in zswap.pools}
    for ze, entry in enumerate(zswap.table):
        if not entry.length:
            continue
        hold(id(entry.pool) in objects, "entry-in-a-known-pool", f"entry {ze} is in a pool that went")
        objects[id(entry.pool)].add(entry.handle)
        room = entry.pool.zspool.object_size(entry.handle)
        hold(0 < entry.length <= room, "object-holds-the-page", f"entry {ze}: {entry.length} bytes in {room}")
    for pool in zswap.pools:
        nr, owned = pool.zspool.objects, len(objects[id(pool)])
        hold(owned == nr, "object-has-one-entry", f"{nr} objects of {pool.compressor}, {owned} entries")
        hold(nr > 0 or pool is zswap.pools[0], "drained-pool-goes", f"the pool of {pool.compressor} is empty")
        pool.zspool.check()
