"""The legacy design, whole: Linux 6.19, in which page tables hold the physical slot.

`LegacySwap` is one object in floors, a module each: `core` (references, free path) over the arrays of `info`,
`swapcache`, `io`, `swapoff`, and `batch` (the array forms). A slot of a device is taken for every page that is swapped
out and kept as long as anything refers to it, also while zswap or the zeromap has the contents.
"""

from __future__ import annotations

from vswaplab.legacy.batch import LegacyBatch
from vswaplab.legacy.invariants import check_legacy
from vswaplab.legacy.swapoff import LegacySwapoff

__all__ = ["LegacySwap"]


class LegacySwap(LegacyBatch, LegacySwapoff):
    """Linux 6.19's swap over its devices and zswap. Implements `SwapSpace`.

    `devices` are the swapfiles, `zswap` the compressed pool or None, `memcgs` finds a memory cgroup by id, `recorder`
    takes the trace (None: no cost).
    """

    def cpu_dead(self, cpu: int) -> None:
        """A CPU went off-line: drop where it was allocating."""
        self.devices.cpu_dead(cpu)

    def check(self) -> None:
        """Check every invariant; InvariantError names the one that fails."""
        check_legacy(self)
