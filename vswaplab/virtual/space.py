"""The virtual swap space, whole: page tables hold virtual slots, descriptors say what backs them.

`VirtualSwap` is one object in floors, a module each: `core` (descriptors, references, free path), `swapcache`,
`backing` (the state machine), `io` (write-out, read, write-back), `swapoff`, and `batch` (the array forms). It behaves
as posted in version 6 of the series [S6 S10]; its operations carry the kernel's names.
"""

from __future__ import annotations

from typing import Any

from vswaplab.virtual.batch import BatchOps
from vswaplab.virtual.invariants import check_virtual
from vswaplab.virtual.swapoff import Swapoff

__all__ = ["VirtualSwap"]


class VirtualSwap(BatchOps, Swapoff):
    """The virtual swap layer over its devices and zswap. Implements `SwapSpace`.

    `devices` are the physical swapfiles, `zswap` the compressed pool or None, `memcgs` finds a memory cgroup by id,
    `recorder` takes the trace (None: no cost), `max_cluster_id` bounds the virtual space.
    """

    @classmethod
    def vswap_init(cls, **parts: Any) -> VirtualSwap:
        """Set the layer up, as the kernel does at boot; the constructor by that name. NoMemory (-ENOMEM) on failure."""
        return cls(**parts)

    def vswap_cpu_dead(self, cpu: int) -> None:
        """A CPU went off-line: drop its cached clusters, its look-up cache and its physical hints."""
        self.allocator.vswap_cpu_dead(cpu)
        self.devices.cpu_dead(cpu)

    cpu_dead = vswap_cpu_dead

    def check(self) -> None:
        """Check every invariant; InvariantError names the one that fails."""
        check_virtual(self)


# These names of the kernel begin with two underscores, which Python would mangle inside a class body.
for _alias, _name in {
    "__vswap_remove_mapping": "vswap_remove_mapping",
    "__swap_cache_replace_folio": "swap_cache_replace_folio",
    "__swap_count": "swp_swapcount",
    "__swap_cgroup_record": "swap_cgroup_record",
}.items():
    setattr(VirtualSwap, _alias, getattr(VirtualSwap, _name))
