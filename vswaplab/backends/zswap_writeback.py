"""Write-back from zswap: who goes, and the page it passes through; both designs share it [S21].

zswap only hands up candidates. A design moves one of them with its own `_writeback_folio`, since where the page goes is
what the designs differ in: to a slot chosen now (virtual), or to the one reserved at swap-out (legacy).

Two things can fail, at two ends. If the compressed copy can't be decompressed, nothing has happened: the entry is put
back. If the device does not take the page, that is told when the compressed copy is long gone: the folio stays in the
swap cache, dirty, with its slot, and is written out again some day. Either way the page is somewhere.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from vswaplab.backends.swap_cache import SwapCacheFolios
from vswaplab.entry import STRUCT_PAGE_SIZE
from vswaplab.errors import DeviceIOError, Exists, NoSpace, NotFound
from vswaplab.events import Event
from vswaplab.units import PAGE_SIZE, SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.backends.zswap import Zswap
    from vswaplab.protocols import FolioLike, MemcgLike, WritebackHost

__all__ = ["Moved", "WritebackFolio", "ZswapWriteback"]

_FOLIO_BASE = 0xFFFF_C900_0000_0000
"""Pointers of write-back's own folios: apart from those of the machine's frames."""
_FOLIO_STRIDE = 1 << 40


class Moved(Enum):
    """What became of an entry that was to be written back."""

    DONE = "done"
    HOT = "hot"
    """It is in the swap cache already, on its way in."""
    STAYS = "stays"
    """It may not go, can't be decompressed, finds no page, or its memory cgroup is at memory.swap.max."""
    NO_SLOT = "no slot"
    """No slot is free, for other entries neither."""
    FAILED = "failed"
    """It has left zswap, but the device did not take it: its folio is in the swap cache, dirty."""

    @property
    def left_zswap(self) -> bool:
        """Whether the compressed copy is gone."""
        return self in (Moved.DONE, Moved.FAILED)


class WritebackFolio:
    """The page that write-back decompresses into, in the swap cache meanwhile."""

    order = 0
    nr_pages = 1
    dirty = False
    writeback = False
    uptodate = False
    mapped = ()

    def __init__(self, pointer: int, memcg: MemcgLike | None) -> None:
        self.pointer = pointer
        self.memcg = memcg
        self.data = bytearray(PAGE_SIZE)
        self.swap = 0
        self.in_swapcache = False
        self.locked = True
        self.refcount = 1


_RECORDED = {Moved.DONE: 1, Moved.FAILED: 2}
"""What an event says of the outcome; 0: the entry is in zswap still."""


class ZswapWriteback(SwapCacheFolios):
    """The loop over candidates, and the frame around one of them; a design brings `_writeback_folio`."""

    devices: SwapDevices
    zswap: Zswap | None
    writeback_host: WritebackHost | None = None
    """Set by the machine; without one a page whose write failed stays in the swap cache as it is."""
    reserves_slots = False
    """Whether each entry has had its slot since swap-out, so that write-back never lacks one (legacy)."""

    def swapcache_prepare(self, entry: int, nr: int = 1) -> None:
        """Pin entries for the swap cache; Exists or NotFound."""
        raise NotImplementedError

    def swap_cache_add_folio(self, folio: FolioLike, entry: int) -> int:
        """Put a folio in the swap cache for pinned entries; return the shadow found."""
        raise NotImplementedError

    def _writeback_folio(self, folio: WritebackFolio, zswap_entry: int) -> Moved:
        """Move one zswap entry, its folio in the swap cache."""
        raise NotImplementedError

    def writeback_entry(self, zswap_entry: int) -> Moved:
        """Write one zswap entry back. C name: ``zswap_writeback_entry``."""
        assert self.zswap is not None
        ze, host = self.zswap.entry(zswap_entry), self.writeback_host
        entry = ze.swpentry
        if not ze.memcg.zswap_writeback_enabled() or not (host is None or host.can_write_back()):
            return Moved.STAYS
        try:
            self.swapcache_prepare(entry)
        except Exists:
            return Moved.HOT
        except NotFound:
            return Moved.STAYS
        pointer = _FOLIO_BASE + STRUCT_PAGE_SIZE * zswap_entry
        while pointer in self.folios:  # of an entry whose write failed, and that nobody took care of
            pointer += _FOLIO_STRIDE
        folio = WritebackFolio(pointer, ze.memcg)
        shadow = self.swap_cache_add_folio(folio, entry)
        done = self._writeback_folio(folio, zswap_entry)
        if done is not Moved.FAILED:
            self.remove_mapping(folio, shadow)
        elif host is not None:
            host.keep_folio(folio)
        folio.locked = False
        if self.record is not None:
            self.record(Event.WRITEBACK, entry, value=_RECORDED.get(done, 0))
        return done

    def _decompress(self, folio: WritebackFolio, zswap_entry: int) -> bool:
        """Decompress an entry into its folio; False if that fails, which zswap counts as `decompress_fail`."""
        assert self.zswap is not None
        try:
            self.zswap.load_into(zswap_entry, folio.data)
        except DeviceIOError:
            return False
        folio.uptodate = True
        return True

    def _write_back(self, slot: int, folio: WritebackFolio, zswap_entry: int) -> Moved:
        """Free the compressed copy, count, and write the folio, which is the only copy from now on, to a slot.

        What becomes of the write is known only when the device has answered, and then the compressed copy is gone
        [S13 S21 S49].
        """
        assert self.zswap is not None
        self.zswap.free(zswap_entry)
        self.zswap.note_written_back(1)
        self._count(folio.memcg, "zswpwb", 1)
        return Moved.DONE if self._submit(slot, folio) else Moved.FAILED

    def _submit(self, slot: int, folio: FolioLike) -> bool:
        """Write a folio to its slots; False if the device failed: then the folio is dirty, the only copy there is.

        pswpout and thp_swpout count what was handed to the device, not what it took [S49].
        """
        self._count(folio.memcg, "pswpout", folio.nr_pages)
        if folio.order == SWAP_NR_ORDERS - 1:
            self._count(folio.memcg, "thp_swpout", 1)
        try:
            self.devices.write(slot, folio.data)
        except (DeviceIOError, NoSpace):
            self.write_errors += 1
            folio.dirty = True
            return False
        return True

    def writeback(self, pages: int, memcg: MemcgLike | None = None) -> int:
        """Move up to `pages` cold pages from zswap to a swapfile and return how many left zswap.

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
            written += done.left_zswap
            if done is Moved.NO_SLOT:
                break
        return written

    def shrink_memcg(self, memcg: MemcgLike) -> bool | None:
        """Write back one cold entry of a memory cgroup on each NUMA node [S21].

        True if any went, None if there was none or write-back is not allowed. Linux looks at one entry a time, and a
        second chance taken is a failure to it; here second chances are taken until an entry is found that may go.
        """
        zswap = self.zswap
        if zswap is None or not memcg.zswap_writeback_enabled():
            return None
        victims = [zswap.victim_on(memcg, node) for node in range(zswap.nodes)]
        if not any(victims):
            return None
        return True in [self.writeback_entry(victim).left_zswap for victim in victims if victim]

    def reclaim_zswap_of(self, memcg: MemcgLike) -> bool:
        """A memory cgroup is at its zswap limit: try once to make room, with its own pages alone [S21]."""
        return self.shrink_memcg(memcg) is True

    def scan_zswap(self, memcg: MemcgLike, node: int, nr: int) -> bool:
        """Visit `nr` entries for the dynamic shrinker; True if one was in the swap cache, where the warm ones begin."""
        zswap = self.zswap
        assert zswap is not None
        for _ in range(nr):
            victim = zswap.visit(memcg, node)
            if victim is None:
                break
            if victim and self.writeback_entry(victim) is Moved.HOT:
                return True
        return False
