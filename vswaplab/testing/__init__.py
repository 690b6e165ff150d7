"""Testing: a random driver that puts a machine through every operation and holds it to a dictionary of bytes.

`Operations` maps, writes, reads, forks, unmaps, exits, keeps files in tmpfs, reclaims, writes back, swaps devices on
and off, takes CPUs off-line, moves processes between memory cgroups, changes limits and zswap's parameters, and makes
devices and zswap fail, on a machine so small that pressure is real. After each step every invariant is checked; at the
end every byte is read back, everything is let go, and nothing may be left over. What the trace says must equal what the
structures hold.

Two drivers draw the operations: ``vswaplab stress`` (`vswaplab.testing.stress`) for minutes, with a report; and
hypothesis, which shrinks what it finds. Put a machine of your own through the latter by giving it a factory, and let
pytest collect the test case:

    from functools import partial
    from vswaplab import Machine
    from vswaplab.testing import swap_machine

    TestMine = swap_machine(partial(Machine, design="virtual")).TestCase

Only that needs hypothesis, which the library itself does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vswaplab.mm.machine import Machine
from vswaplab.testing.contents import CONTENTS, page_of
from vswaplab.testing.operations import OPERATIONS, SHAPE, Operations

__all__ = ["CONTENTS", "OPERATIONS", "SHAPE", "Operations", "page_of", "swap_machine"]


def swap_machine(factory: Callable[..., Machine]) -> type[Any]:
    """Return the hypothesis state machine for machines that `factory` makes; its ``TestCase`` is for pytest."""
    from vswaplab.testing.stateful import state_machine

    return state_machine(factory)
