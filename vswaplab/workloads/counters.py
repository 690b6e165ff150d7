"""Counters of a machine, under the names that the tables measured on real kernels use for them.

>>> from vswaplab import Machine
>>> counters(Machine(ram="1M"))["zswap_stored"]
0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vswaplab.entry import Backing
from vswaplab.mm.machine import Machine
from vswaplab.units import PAGE_SIZE

__all__ = ["EVENTS", "counters"]

EVENTS = ("swpout_zero", "zswpout", "pswpout", "zswpwb", "swpin_zero", "zswpin", "pswpin")
"""Those that count events since the machine began; the others say how it is now."""


def counters(machine: Machine) -> dict[str, int]:
    """Return the counts by name, in pages unless the name says bytes."""
    zswap, root, swap = machine.zswap, machine.root_memcg, machine.swap
    counts = {
        "slots_used": sum(si.inuse_pages for si in machine.devices),
        "zswap_stored": 0 if zswap is None else zswap.stored_pages,
        "zswap_incompressible": 0 if zswap is None else zswap.stored_incompressible_pages,
        "pool_total_bytes": 0 if zswap is None else zswap.pool_pages * PAGE_SIZE,
        **{name: root.events[name] for name in EVENTS},
        "anon_pages": machine.folio_pages,
        "swap_charged": root.swap_pages,
        "cg_zswap_bytes": root.zswap_bytes,
        "swapped": sum(process.mm.swap_pages for process in machine.processes.values()),
    }
    if machine.design == "virtual":
        counts |= _virtual(swap)
    return counts


def _virtual(swap: Any) -> dict[str, int]:
    entries = np.array(swap.entries(), np.uint64)
    kinds = np.bincount(swap.lookup_many(entries).type, minlength=len(Backing))
    backings = {f"vswap_back_{kind.name.lower()}": int(kinds[kind]) for kind in (Backing.ZSWAP, Backing.ZERO)}
    backings |= {f"vswap_back_{kind.name.lower()}": int(kinds[kind]) for kind in (Backing.SWAPFILE, Backing.FOLIO)}
    return {"vswap_used": swap.used, **backings}
