"""Input and output of the legacy design: write-out, read, and write-back to the reserved slot [S12 S21].

`swap_writeout` asks in the same order as the virtual design: nobody needs it, all zeros, zswap, the device. But the
slot is there already, so nothing has to be found for the last step, and nothing is given back by the others.
"""

from __future__ import annotations

from vswaplab.backends.zswap_writeback import Moved, WritebackFolio, ZswapWriteback
from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.events import NO_BACKING, Event
from vswaplab.legacy.swapcache import LegacySwapCache
from vswaplab.protocols import FolioLike, Writeout
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

__all__ = ["LegacyIO"]


class LegacyIO(LegacySwapCache, ZswapWriteback):
    """The paths between a folio and what will hold its contents."""

    reserves_slots = True

    def _connect(self) -> None:
        super()._connect()
        if self.zswap is not None:
            self.zswap.reclaim_memcg = self.reclaim_zswap_of

    # -- where the contents are ----------------------------------------------------------------------------------

    def _was(self, entry: int, nr: int) -> list[Backing]:
        """Return where the contents of entries are, if anybody is listening."""
        return [self.backing_of(each) for each in range(entry, entry + nr)] if self.record is not None else []

    def _note(self, entry: int, was: list[Backing], now: Backing) -> None:
        """Note that the contents of entries are elsewhere now; zswap notes its own entry by entry."""
        for i, old in enumerate(was):
            if old is not now and self.record is not None:
                slot = entry + i if now is Backing.SWAPFILE else 0
                self.record(Event.BACKING, entry + i, old=old, new=now, slot=slot)

    def _mark_in_memory(self, entry: int, nr: int, alone: bool | int) -> None:
        """Say whether a folio in memory is the only copy of the contents of entries: the model's own note."""
        with self._uncounted():
            for each in range(entry, entry + nr):
                info, offset = self.at(each)
                if info.only_in_memory[offset] != alone:
                    info.only_in_memory[offset] = alone

    # -- out -----------------------------------------------------------------------------------------------------

    def swap_writeout(self, folio: FolioLike) -> Writeout:
        """Write a locked, unmapped folio of the swap cache out; see `Writeout` for what may become of it."""
        entry, nr = folio.swap, folio.nr_pages
        result = self._writeout(folio)
        folio.dirty = result is not Writeout.WRITTEN
        if self.record is not None:
            kind = self.backing_of(entry) if result is Writeout.WRITTEN else NO_BACKING
            self.record(Event.WRITEOUT, entry, new=kind, value=nr)
        return result

    def _writeout(self, folio: FolioLike) -> Writeout:
        if self.folio_free_swap(folio):
            return Writeout.FREED
        entry, nr, memcg = folio.swap, folio.nr_pages, folio.memcg
        if folio.data == (ZERO_PAGE if nr == 1 else bytes(nr * PAGE_SIZE)):
            self.swap_zeromap_folio_set(folio)
            return Writeout.WRITTEN
        was = self._was(entry, nr)
        self.swap_zeromap_folio_clear(folio)
        if self._zswap_store(folio, was):
            return Writeout.WRITTEN
        result = Writeout.ACTIVATE
        if memcg is None or memcg.zswap_writeback_enabled():
            result = Writeout.WRITTEN if self._submit(entry, folio) else Writeout.FAILED
        # If not written, whatever the slot had is of an older time: the folio is the only good copy.
        in_memory = result is not Writeout.WRITTEN
        self._mark_in_memory(entry, nr, in_memory)
        self._note(entry, was, Backing.FOLIO if in_memory else Backing.SWAPFILE)
        return result

    def swap_zeromap_folio_set(self, folio: FolioLike) -> None:
        """The folio holds only zeros: set its zeromap bits. The slots stay taken, though nothing is written to them.

        swpout_zero is counted to the memory cgroup that pays for the folio, whoever owns its entries [S13].
        """
        entry, nr = folio.swap, folio.nr_pages
        was = self._was(entry, nr)
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            info.zeromap_set(offset)
        self._mark_in_memory(entry, nr, 0)
        self._note(entry, was, Backing.ZERO)
        self._count(folio.memcg, "swpout_zero", nr)

    def swap_zeromap_folio_clear(self, folio: FolioLike) -> None:
        """The folio holds more than zeros: clear its zeromap bits before it is written anywhere."""
        for each in range(folio.swap, folio.swap + folio.nr_pages):
            info, offset = self.at(each)
            info.zeromap_clear(offset)

    def _zswap_store(self, folio: FolioLike, was: list[Backing]) -> bool:
        """Compress all pages of a folio, or none.

        After a failure no slot of the folio may have a compressed copy, were it an old one: it would be read instead of
        what the device gets now. So all are erased, even when zswap is off [S21].
        """
        entry, nr = folio.swap, folio.nr_pages
        if self._store_pages(folio, was):
            self._mark_in_memory(entry, nr, 0)
            self._count(folio.memcg, "zswpout", nr)
            return True
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            self._erase_zswap(info, offset)
        return False

    def _store_pages(self, folio: FolioLike, was: list[Backing]) -> bool:
        zswap, memcg = self.zswap, folio.memcg
        if zswap is None or memcg is None:
            return False
        view = memoryview(folio.data)
        handles: list[int] = []
        for i in range(folio.nr_pages):
            entry = folio.swap + i
            info, offset = self.at(entry)
            handle = zswap.store(view[i * PAGE_SIZE : (i + 1) * PAGE_SIZE], entry, memcg, i == 0)
            if not handle:
                return False
            handles.append(handle)
            old = info.zswap_tree.store(offset, handle)
            if old:
                zswap.free(old)
        for i, (kind, handle) in enumerate(zip(was, handles, strict=False)):
            if self.record is not None:
                length = zswap.length(handle)
                self.record(Event.BACKING, folio.swap + i, old=kind, new=Backing.ZSWAP, slot=handle, value=length)
        return True

    # -- in ------------------------------------------------------------------------------------------------------

    def swap_read_folio(self, folio: FolioLike) -> None:
        """Fill a locked folio of the swap cache (or one read past it): zeromap first, then zswap, then the device.

        DeviceIOError (-EIO) leaves it not uptodate, and all else as it was. A zswap load is exclusive: the compressed
        copy goes, the folio is the only copy and dirty, and its slot stays taken without holding anything. swpin_zero
        and pswpin are counted to the memory cgroup that pays for the folio, zswpin to the one that paid for the
        compressed copy [S13 S21].
        """
        self._require(folio.locked and folio.swap != 0, "swap_read_folio needs a locked folio in the swap cache")
        entry, nr, memcg = folio.swap, folio.nr_pages, folio.memcg
        info, offset = self.at(entry)
        zeros = sum(info.is_zero(each) for each in range(offset, offset + nr))
        if zeros not in (0, nr):
            raise InvalidArgument(f"Entries from {entry:#x} on can't be read as one folio of order {folio.order}.")
        if zeros:
            folio.data[:] = bytes(len(folio.data))
            self._count(memcg, "swpin_zero", nr)
        elif not self._zswap_load(folio):
            folio.data[:] = self.devices.read(entry, nr)
            self._count(memcg, "pswpin", nr)
            if self.zswap is not None:
                self.zswap.note_disk_swapin(memcg, nr)
        folio.uptodate = True

    def _zswap_load(self, folio: FolioLike) -> bool:
        """Decompress a folio's page if zswap has it. A large folio can't be filled: -EINVAL [S21]."""
        if self.zswap is None:
            return False
        entry = folio.swap
        info, offset = self.at(entry)
        if folio.order:
            raise InvalidArgument(f"zswap can't fill a folio of order {folio.order}; read its pages one by one.")
        handle = info.zswap_tree.load(offset)
        if not handle:
            return False
        self.zswap.load_into(handle, folio.data)
        self.zswap.entry(handle).memcg.count("zswpin", 1)
        if not folio.in_swapcache:  # read past the swap cache: the copy goes with the slot, once the page is mapped
            return True
        info.zswap_tree.erase(offset)
        self.zswap.free(handle)
        folio.dirty = True
        info.only_in_memory[offset] = 1
        self._note(entry, [Backing.ZSWAP], Backing.FOLIO)
        return True

    # -- zswap to swapfile ---------------------------------------------------------------------------------------

    def _writeback_folio(self, folio: WritebackFolio, zswap_entry: int) -> Moved:
        """Write to the slot that was reserved at swap-out: it can't run out of slots, and can't choose another."""
        entry = folio.swap
        info, offset = self.at(entry)
        if info.zswap_tree.load(offset) != zswap_entry or not self._decompress(folio, zswap_entry):
            return Moved.STAYS
        info.zswap_tree.erase(offset)
        self._note(entry, [Backing.ZSWAP], Backing.SWAPFILE)
        done = self._write_back(entry, folio, zswap_entry)
        if done is Moved.FAILED:
            self._mark_in_memory(entry, 1, 1)
            self._note(entry, [Backing.SWAPFILE], Backing.FOLIO)
        return done
