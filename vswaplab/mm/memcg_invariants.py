"""Invariants of memory cgroups, each by name: who pays for which slots, and who bears which id.

A removed cgroup keeps paying for the slots of entries that bear its id, and its ancestors with it; for nothing else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vswaplab.entry import Backing
from vswaplab.errors import hold

if TYPE_CHECKING:
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.memcg import Memcg

__all__ = ["check_memcgs"]


def check_memcgs(machine: Machine) -> None:
    """Check the charges and references of every cgroup; InvariantError names the first that is wrong. O(entries)."""
    bearers: Counter[int] = Counter()
    slots: Counter[int] = Counter()
    reserved = machine.design == "legacy"
    for entry in machine.swap.entries():
        known = machine.swap.lookup(entry)
        memcgid = known.memcgid
        bearers[memcgid] += 1
        hold(not memcgid or machine.memcgs.get(memcgid) is not None, "entry-names-a-memcg", "{}: {}", entry, memcgid)
        if reserved or known.type is Backing.SWAPFILE:
            slots[memcgid] += 1
    # By object: the id of a removed cgroup may be somebody else's already, while one below it still pays.
    charged: Counter[Memcg] = Counter()
    for memcgid, nr in slots.items():
        owner = machine.memcgs.get(memcgid)
        for memcg in owner.lineage() if owner is not None else ():
            charged[memcg] += nr
    online = {memcg.id for memcg in machine.root_memcg.subtree()}
    for memcg in machine.memcgs:
        known_as = bearers[memcg.id]
        hold(memcg.id_refs == known_as, "memcg-id-references", "{!r} has {} for {}", memcg, memcg.id_refs, known_as)
        hold(memcg.online == (memcg.id in online), "memcg-online-in-tree", "{!r}", memcg)
        hold(memcg.online or known_as > 0, "dead-memcg-has-bearers", "{!r} is removed and nothing bears its id", memcg)
        hold(memcg.online or not memcg.lruvec.nr_pages, "dead-memcg-has-no-folios", "{!r}", memcg)
        exact = charged[memcg]
        hold(memcg.swap_pages == exact, "memcg-swap-charge", "{!r} pays, its entries have {} slots", memcg, exact)
