"""Array forms: what both designs of swap do to many entries at once, under the same names.

Work that is counted in millions of pages (a replayed program, a swapfile filled to the brim) runs on `SwapArrays` and
so on either design; what one page does is the business of `vswaplab.protocols.SwapSpace`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vswaplab.entry import U64

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.backends.zswap import Zswap
    from vswaplab.protocols import MemcgLike

__all__ = ["BackingColumns", "SwapArrays"]


class BackingColumns(NamedTuple):
    """What `lookup_many` found, a column a field; row i belongs to entry i of the request."""

    type: npt.NDArray[np.uint8]
    """`Backing` of each."""
    handle: U64
    """Physical slot if SWAPFILE, zswap entry if ZSWAP."""


class SwapArrays(Protocol):
    """The array forms that both designs have under the same names: for work on many order-0 entries at once.

    Entries, folio pointers and zswap entries are uint64 arrays; see `vswaplab.virtual.batch` for what each call does.
    """

    design: str
    devices: SwapDevices
    zswap: Zswap | None

    def folio_alloc_swap_many(self, pointers: U64, memcgid: int = 0) -> U64:
        """Allocate an entry for each folio; fewer come back when there are no more."""
        ...

    def swap_duplicate_many(self, entries: U64) -> None:
        """Add a page table reference to each entry."""

    def swap_free_many(self, entries: U64) -> None:
        """Drop a page table reference from each entry; what nothing refers to any more is freed."""

    def swapcache_prepare_many(self, entries: U64) -> None:
        """Pin distinct entries for the swap cache."""

    def swap_cache_add_folio_many(self, pointers: U64, entries: U64) -> U64:
        """Put a folio in the swap cache for each pinned entry; return the shadows found."""
        ...

    def remove_mapping_many(self, entries: U64, shadows: U64 | int = 0) -> None:
        """Take the folios of entries out of the swap cache, leaving shadows."""

    def swap_zeromap_folio_set_many(self, entries: U64, memcgid: int = 0) -> None:
        """The folios, which memory cgroup `memcgid` pays for, hold only zeros."""

    def zswap_entry_store_many(self, entries: U64, zswap_entries: U64) -> None:
        """zswap has the contents of each entry."""

    def zswap_loaded_many(self, entries: U64) -> None:
        """The contents were loaded from zswap, which lets go of them: the folios are the only copies."""

    def writeout_slots_many(self, entries: U64) -> U64:
        """Return the physical slot that each entry's contents are to be written to, 0 for none."""
        ...

    def lookup_many(self, entries: U64) -> BackingColumns:
        """Return what backs each entry."""
        ...

    def writeback(self, pages: int, memcg: MemcgLike | None = None) -> int:
        """Move pages from zswap to a swapfile; return how many went."""
        ...

    def check(self) -> None:
        """Check every invariant."""
