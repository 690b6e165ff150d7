"""Input and output: write-out, read, readahead and write-back, for the virtual design [S13].

`swap_writeout` tries the backings in their order: nobody needs it, all zeros, zswap, a physical slot, and if nothing
takes the folio it stays in memory. `writeback` moves cold compressed pages from zswap to a swapfile; the slot is chosen
only then.
"""

from __future__ import annotations

from vswaplab.backends.zswap_writeback import Moved, WritebackFolio, ZswapWriteback
from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.events import NO_BACKING, Event
from vswaplab.protocols import FolioLike, MemcgLike, Writeout
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.virtual.backing import Backings
from vswaplab.virtual.descriptor import TYPE_SHIFT

__all__ = ["SwapIO"]


class SwapIO(Backings, ZswapWriteback):
    """The paths between a folio and its backing."""

    def _connect(self) -> None:
        super()._connect()
        if self.zswap is not None:
            self.zswap.reclaim_memcg = self.reclaim_zswap_of

    # -- out -----------------------------------------------------------------------------------------------------

    def swap_writeout(self, folio: FolioLike) -> Writeout:
        """Write a locked, unmapped folio of the swap cache to a backing; see `Writeout` for what may become of it."""
        entry, nr = folio.swap, folio.nr_pages
        result = self._writeout(folio)
        folio.dirty = result is not Writeout.WRITTEN
        if self.record is not None:
            kind = self.desc.flags[entry] >> TYPE_SHIFT & 3 if result is Writeout.WRITTEN else NO_BACKING
            self.record(Event.WRITEOUT, entry, new=kind, value=nr)
        return result

    def _writeout(self, folio: FolioLike) -> Writeout:
        if self.folio_free_swap(folio):
            return Writeout.FREED
        nr, memcg = folio.nr_pages, folio.memcg
        if folio.data == (ZERO_PAGE if nr == 1 else bytes(nr * PAGE_SIZE)):
            self.swap_zeromap_folio_set(folio)
            return Writeout.WRITTEN
        self.vswap_prepare_writeout(folio)
        if self._zswap_store(folio):
            return Writeout.WRITTEN
        if memcg is not None and not memcg.zswap_writeback_enabled():
            return Writeout.ACTIVATE
        slot = self.vswap_alloc_swap_slot(folio)
        if not slot:
            return Writeout.ACTIVATE
        return Writeout.WRITTEN if self._submit(slot, folio) else Writeout.FAILED

    def _zswap_store(self, folio: FolioLike) -> bool:
        """Compress all pages of a folio, or none."""
        zswap, memcg = self.zswap, folio.memcg
        if zswap is None or memcg is None:
            return False
        entry, nr = folio.swap, folio.nr_pages
        view = memoryview(folio.data)
        for i in range(nr):
            page = view[i * PAGE_SIZE : (i + 1) * PAGE_SIZE]
            stored = zswap.store(page, entry + i, memcg, i == 0)
            if not stored:
                if i:  # a part was stored already: release it again
                    self.vswap_prepare_writeout(folio)
                return False
            self.zswap_entry_store(entry + i, stored)
        memcg.count("zswpout", nr)
        return True

    # -- in ------------------------------------------------------------------------------------------------------

    def swap_read_folio(self, folio: FolioLike) -> None:
        """Fill a locked folio of the swap cache (or one read past it): ZERO first, then zswap, then the device.

        DeviceIOError (-EIO) leaves it not uptodate, and the backing as it was. A zswap load is exclusive: the
        compressed copy goes, the folio is the only copy (FOLIO) and dirty. swpin_zero and pswpin are counted to the
        memory cgroup that pays for the folio, zswpin to the one that paid for the compressed copy [S13 S21].
        """
        self._require(folio.locked and folio.swap != 0, "swap_read_folio needs a locked folio in the swap cache")
        entry, nr = folio.swap, folio.nr_pages
        batch, kind = self.vswap_check_backing(entry, nr)
        if batch != nr or kind is Backing.FOLIO or (kind is Backing.ZSWAP and nr > 1):
            raise InvalidArgument(f"Entries from {entry} on can't be read as one folio of order {folio.order}.")
        memcg = folio.memcg
        if kind is Backing.ZERO:
            folio.data[:] = bytes(len(folio.data))
            self._count(memcg, "swpin_zero", nr)
        elif kind is Backing.ZSWAP:
            assert self.zswap is not None
            handle = self.desc.handle[entry]
            self.zswap.load_into(handle, folio.data)
            self.zswap.entry(handle).memcg.count("zswpin", nr)
            self.vswap_store_folio(entry, folio)
            folio.dirty = True
        else:
            folio.data[:] = self.devices.read(self.swp_entry_to_swp_slot(entry), nr)
            self._count(memcg, "pswpin", nr)
            if self.zswap is not None:
                self.zswap.note_disk_swapin(memcg, nr)
        folio.uptodate = True

    def readahead_entries(self, entry: int, window: int) -> list[int]:
        """Return the entries to read along with a physically backed one: its neighbours on the device, by the rmap."""
        slot = self.swp_entry_to_swp_slot(entry)
        if not slot or window < 2:
            return []
        device = self.devices[slot.type]
        first = slot.offset - slot.offset % window
        neighbours = (self._rmap_read(device, at) for at in range(max(1, first), min(first + window, device.max)))
        return [each for each in neighbours if each and each != entry and not self.is_swap_cached(each)]

    def can_swap_out(self, memcg: MemcgLike | None) -> bool:
        """Whether a page of a memory cgroup has any place to go: zswap takes it, or a physical slot is free."""
        if self.devices.free_pages > 0:
            return True
        return self.zswap is not None and self.zswap.enabled and (memcg is None or memcg.may_zswap())

    # -- zswap to swapfile ---------------------------------------------------------------------------------------

    def _writeback_folio(self, folio: WritebackFolio, zswap_entry: int) -> Moved:
        """Choose a slot only now; if there is none, or decompression fails, the entry stays in zswap."""
        entry = folio.swap
        if self.zswap_entry_load(entry) != zswap_entry:
            return Moved.STAYS
        slot = self.vswap_alloc_swap_slot(folio)
        if not slot:  # none is free, or the memory cgroup is at its memory.swap.max
            return Moved.STAYS if self.devices.free_pages else Moved.NO_SLOT
        if not self._decompress(folio, zswap_entry):
            self.zswap_entry_store(entry, zswap_entry)  # the old backing returns, the slot is freed
            return Moved.STAYS
        return self._write_back(slot, folio, zswap_entry)
