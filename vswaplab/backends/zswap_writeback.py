"""Write-back from zswap: who goes, and the page it passes through; both designs share it [S21].

zswap only hands up candidates. A design moves one of them with its own `writeback_entry`, since where the page goes is
what the designs differ in: to a slot chosen now (virtual), or to the one reserved at swap-out (legacy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.entry import STRUCT_PAGE_SIZE
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    from vswaplab.backends.zswap import Zswap
    from vswaplab.protocols import MemcgLike

__all__ = ["WritebackFolio", "ZswapWriteback"]

_FOLIO_BASE = 0xFFFF_C900_0000_0000
"""Pointers of write-back's own folios: apart from those of the machine's frames."""


class WritebackFolio:
    """The page that write-back decompresses into, in the swap cache meanwhile."""

    order = 0
    nr_pages = 1
    locked = True
    dirty = False
    writeback = False
    uptodate = False

    def __init__(self, zswap_entry: int, memcg: MemcgLike | None) -> None:
        self.pointer = _FOLIO_BASE + STRUCT_PAGE_SIZE * zswap_entry
        self.memcg = memcg
        self.data = bytearray(PAGE_SIZE)
        self.swap = 0
        self.in_swapcache = False
        self.refcount = 1


class ZswapWriteback:
    """The loop over candidates; a design brings `writeback_entry`."""

    zswap: Zswap | None

    def writeback_entry(self, zswap_entry: int) -> bool | None:
        """Write one zswap entry back. True: done; False: not this one; None: no room, so no other one either."""
        raise NotImplementedError

    def writeback(self, pages: int, memcg: MemcgLike | None = None) -> int:
        """Move up to `pages` cold pages from zswap to a swapfile and return how many went.

        Victims come from the zswap LRU with its second chance. It ends early when there is no slot or no victim left.
        """
        zswap = self.zswap
        if zswap is None:
            return 0
        # Every entry is seen at most twice: once to lose its second chance, once to go.
        written, tries, passes = 0, 2 * zswap.stored_pages, 0
        while written < pages and tries > 0 and passes < 2:
            victim = zswap.next_victim(memcg)
            if not victim:
                passes += 1
                continue
            tries -= 1
            done = self.writeback_entry(victim)
            written += done is True
            if done is None:
                break
        return written

    def reclaim_zswap_of(self, memcg: MemcgLike) -> bool:
        """A memory cgroup is at its zswap limit: write one of its entries back [S21]."""
        return self.writeback(1, memcg) == 1
