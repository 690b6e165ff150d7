"""Write-back from zswap: who goes, and the page it passes through; both designs share it [S21].

zswap only hands up candidates. A design moves one of them with its own `_writeback_folio`, since where the page goes is
what the designs differ in: to a slot chosen now (virtual), or to the one reserved at swap-out (legacy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.backends.swap_cache import SwapCacheFolios
from vswaplab.entry import STRUCT_PAGE_SIZE
from vswaplab.errors import DeviceIOError, Exists, NoSpace, NotFound
from vswaplab.events import Event
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.backends.zswap import Zswap
    from vswaplab.protocols import FolioLike, MemcgLike

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
    mapped = ()

    def __init__(self, zswap_entry: int, memcg: MemcgLike | None) -> None:
        self.pointer = _FOLIO_BASE + STRUCT_PAGE_SIZE * zswap_entry
        self.memcg = memcg
        self.data = bytearray(PAGE_SIZE)
        self.swap = 0
        self.in_swapcache = False
        self.refcount = 1


class ZswapWriteback(SwapCacheFolios):
    """The loop over candidates, and the frame around one of them; a design brings `_writeback_folio`."""

    devices: SwapDevices
    zswap: Zswap | None

    def swapcache_prepare(self, entry: int, nr: int = 1) -> None:
        """Pin entries for the swap cache; Exists or NotFound."""
        raise NotImplementedError

    def swap_cache_add_folio(self, folio: FolioLike, entry: int) -> int:
        """Put a folio in the swap cache for pinned entries; return the shadow found."""
        raise NotImplementedError

    def _writeback_folio(self, folio: WritebackFolio, zswap_entry: int) -> bool | None:
        """Move one zswap entry, its folio in the swap cache. True: done; False: not this one; None: no slot."""
        raise NotImplementedError

    def writeback_entry(self, zswap_entry: int) -> bool | None:
        """Write one zswap entry back. True: done; False: not this one; None: no slot, so no other one either."""
        assert self.zswap is not None
        ze = self.zswap.entry(zswap_entry)
        entry = ze.swpentry
        if not ze.memcg.zswap_writeback_enabled():
            return False
        try:
            self.swapcache_prepare(entry)
        except (Exists, NotFound):  # hot: it is on its way in
            return False
        folio = WritebackFolio(zswap_entry, ze.memcg)
        shadow = self.swap_cache_add_folio(folio, entry)
        done = self._writeback_folio(folio, zswap_entry)
        self.remove_mapping(folio, shadow)
        if self.record is not None:
            self.record(Event.WRITEBACK, entry, value=done is True)
        return done

    def _written_back(self, folio: WritebackFolio, zswap_entry: int) -> bool:
        """The page is on the device: free the compressed copy and count."""
        assert self.zswap is not None
        self.zswap.free(zswap_entry)
        self.zswap.note_written_back(1)
        self._count(folio.memcg, "zswpwb", 1)
        self._count(folio.memcg, "pswpout", 1)
        return True

    def _decompress_to(self, slot: int, folio: WritebackFolio, zswap_entry: int) -> bool:
        """Decompress an entry into its folio and write that to a slot; False if either fails."""
        assert self.zswap is not None
        try:
            self.zswap.load_into(zswap_entry, folio.data)
            self.devices.write(slot, folio.data)
        except (DeviceIOError, NoSpace):
            self.write_errors += 1
            return False
        return True

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
