"""Linux swap as an executable model, in two designs, at the size of the real thing.

The *virtual* design (the Virtual Swap Space series, v6) puts a virtual slot into the page table and resolves it through
a 24-byte descriptor to one of four backings: a zswap entry, a zero page, a slot of a swapfile, a folio in memory. The
*legacy* design (Linux 6.19) puts the physical slot itself there. Start with `Machine`:

>>> from vswaplab import Machine
>>> m = Machine(ram="16M", design="virtual", seed=0)
>>> dev = m.swapon("swap.img", size="64M")  # doctest: +SKIP

Names are resolved on first use, so that ``import vswaplab`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from vswaplab.errors import (
    Busy,
    DeviceIOError,
    Exists,
    Interrupted,
    InvalidArgument,
    InvariantError,
    NoMemory,
    NoSpace,
    NotFound,
    NotPermitted,
    SwapError,
)

if TYPE_CHECKING:
    from vswaplab.entry import Backing
    from vswaplab.mm.machine import Machine

__version__ = "0.1.0"

__all__ = [
    "Backing",
    "Busy",
    "DeviceIOError",
    "Exists",
    "Interrupted",
    "InvalidArgument",
    "InvariantError",
    "Machine",
    "NoMemory",
    "NoSpace",
    "NotFound",
    "NotPermitted",
    "SwapError",
    "__version__",
]

_LAZY = {"Backing": "vswaplab.entry", "Machine": "vswaplab.mm.machine"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'vswaplab' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
