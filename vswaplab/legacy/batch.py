"""The array forms of the legacy design: the same operations on many order-0 entries at once.

As in the virtual design: names with ``_many`` behind them, uint64 arrays for arguments, folios known by their pointers
alone, and the same state afterwards as after a loop over the scalar form, to which a property test holds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.arena import are_distinct
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER_SHIFT
from vswaplab.entry import U64, Backing
from vswaplab.errors import Busy, Exists, InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.legacy.info import LegacyInfo
from vswaplab.legacy.swapcache import LegacySwapCache
from vswaplab.swap_arrays import BackingColumns

__all__ = ["LegacyBatch"]

_I64 = npt.NDArray[np.int64]


class LegacyBatch(LegacySwapCache):
    """Array forms of allocation, references, the swap cache, and of what has the contents."""

    def _by_device(self, entries: U64) -> Iterator[tuple[LegacyInfo, U64, Any]]:
        """Yield (arrays, offsets, where in `entries`) for each device among the entries; they must be in use."""
        for si, where in self.devices.by_device(entries):
            offsets = si.offsets(entries[where])
            if not offsets.all() or int(offsets.max()) >= si.max:
                raise InvalidArgument("One of the swap entries names no slot of a device that is on.")
            yield self.info[si.type], offsets, where

    def _in_use(self, entries: U64) -> list[tuple[LegacyInfo, U64, Any]]:
        parts = list(self._by_device(entries))
        for info, offsets, _ in parts:
            if not (info.swap_map.map.rows[offsets.view(np.int64)] != 0).all():
                raise NotFound("One of the swap entries is not in use.")
        return parts

    def _distinct(self, entries: U64) -> None:
        if not are_distinct(entries):
            raise InvalidArgument("The swap entries of one call must be distinct; split the call.")

    def _memcgs(self, ids: npt.NDArray[np.uint16]) -> list[tuple[Any, int]]:
        counts = np.bincount(ids)
        found = np.flatnonzero(counts).tolist()
        return [(memcg, int(counts[each])) for each in found if (memcg := self.memcgs.get(each)) is not None]

    # -- allocation and references -------------------------------------------------------------------------------

    def folio_alloc_swap_many(self, pointers: U64, memcgid: int = 0) -> U64:
        """Take a slot for each folio (by pointer) of one memory cgroup; all are in the swap cache then.

        Returns the entries; fewer than folios when slots or the cgroup's swap charge run out.
        """
        slots = self.devices.alloc_many(len(pointers), self.cpu)
        memcg = self.memcgs.get(memcgid)
        if memcg is not None:
            slots = self._charge(memcg, slots)
            memcg.get_id(len(slots))
        pointers = pointers[: len(slots)]
        for info, offsets, where in self._by_device(slots):
            rows = offsets.view(np.int64)
            info.swap_map.set_cached_new_many(offsets)
            info.swap_cgroup.rows[rows] = memcgid
            info.swap_table.rows[rows] = pointers[where]
            info.unwritten.rows[rows] = 1
            info.si.rmap_mark_cache_only_many(offsets)
        self.nr_swapcached += len(slots)
        self.bare_swapcached += len(slots)
        if self.record is not None:
            self.record.many(Event.ALLOC, len(slots), entry=slots, new=int(Backing.FOLIO), slot=slots, value=memcgid)
            self.record.many(Event.CACHE_ADD, len(slots), entry=slots, value=pointers)
        return slots

    def _charge(self, memcg: Any, slots: U64) -> U64:
        """Charge as many slots as the limits allow, give the others back, and return those that are paid for."""
        charged = len(slots)
        if not memcg.try_charge_swap(charged):
            charged = 0
            while charged < len(slots) and memcg.try_charge_swap(1):
                charged += 1
            self.devices.free_many(slots[charged:])
        return slots[:charged]

    def swap_duplicate_many(self, entries: U64) -> None:
        """Add a reference to each of the distinct entries; NotFound, and nothing changed, if one is free."""
        self._distinct(entries)
        counts = np.zeros(len(entries), np.uint64)
        for info, offsets, where in self._in_use(entries):
            info.swap_map.duplicate_many(offsets)
            now = info.swap_map.counts(offsets)
            counts[where] = now
            info.si.rmap_clear_cache_only_many(offsets[now == 1])
        if self.record is not None:
            self.record.many(Event.DUPLICATE, len(entries), entry=entries, value=counts)

    def swap_free_many(self, entries: U64) -> None:
        """Drop a reference from each of the distinct entries; what nothing refers to any more is freed."""
        self._distinct(entries)
        parts = self._in_use(entries)
        counts = np.zeros(len(entries), np.uint64)
        idle = np.zeros(len(entries), np.bool_)
        for info, offsets, where in parts:
            left = info.swap_map.put_many(offsets)
            counts[where] = left
            cached = self._cached(info, offsets)
            info.si.rmap_mark_cache_only_many(offsets[(left == 0) & cached])
            idle[where] = (left == 0) & ~cached
        if self.record is not None:
            self.record.many(Event.PUT, len(entries), entry=entries, value=counts)
        self._free_many(entries[idle])

    @staticmethod
    def _cached(info: LegacyInfo, offsets: U64) -> npt.NDArray[np.bool_]:
        cached: npt.NDArray[np.bool_] = info.swap_map.map.rows[offsets.view(np.int64)] & 0x40 != 0
        return cached

    def _free_many(self, entries: U64) -> None:
        if not len(entries):
            return
        if self.record is not None:
            kinds = self.lookup_many(entries)
            self.record.many(Event.FREE, len(entries), entry=entries, old=kinds.type)
        for info, offsets, _ in self._by_device(entries):
            rows = offsets.view(np.int64)
            memcgs = self._memcgs(info.swap_cgroup.rows[rows])
            info.zeromap_clear_many(offsets)
            self._erase_zswap_many(info, offsets)
            info.swap_table.rows[rows] = 0
            info.swap_cgroup.rows[rows] = 0
            info.unwritten.rows[rows] = 0
            info.swap_map.free_many(offsets)
            info.si.free_many(offsets)
            info.release_empty(np.flatnonzero(np.bincount(rows >> SWAPFILE_CLUSTER_SHIFT)).tolist())
            for memcg, nr in memcgs:
                memcg.uncharge_swap(nr)
                memcg.put_id(nr)

    def _erase_zswap_many(self, info: LegacyInfo, offsets: U64) -> None:
        if not info.zswap_tree:
            return
        handles = info.zswap_tree.erase_many(offsets)
        if self.zswap is not None:
            for handle in handles[handles != 0].tolist():
                self.zswap.free(handle)

    # -- swap cache ----------------------------------------------------------------------------------------------

    def swapcache_prepare_many(self, entries: U64) -> None:
        """Pin distinct entries; NotFound or Exists, and none pinned, if one is free or pinned already."""
        parts = self._in_use(entries)
        if not are_distinct(entries) or any(self._cached(info, at).any() for info, at, _ in parts):
            raise Exists("One of the swap entries is in the swap cache already.")
        for info, offsets, _ in parts:
            info.swap_map.set_cache_many(offsets)
        if self.record is not None:
            self.record.many(Event.CACHE_ADD, len(entries), entry=entries)

    def swapcache_clear_many(self, entries: U64) -> None:
        """Unpin distinct entries that hold no folio, and free those that no page table refers to.

        InvalidArgument, and nothing changed, if one is not pinned, or has a folio.
        """
        self._require(not self._folios(self._pinned(entries)).any(), "Take the folio out with remove_mapping_many")
        self._unpin(entries)

    def _pinned(self, entries: U64) -> list[tuple[LegacyInfo, U64, Any]]:
        self._distinct(entries)
        parts = self._in_use(entries)
        pinned = all(bool(self._cached(info, offsets).all()) for info, offsets, _ in parts)
        self._require(pinned, "Pin with swapcache_prepare_many first")
        return parts

    @staticmethod
    def _folios(parts: list[tuple[LegacyInfo, U64, Any]]) -> npt.NDArray[np.bool_]:
        """Tell where a folio is in the swap table, part by part: a shadow has its low bit set."""
        words = [info.swap_table.rows[offsets.view(np.int64)] for info, offsets, _ in parts]
        found: npt.NDArray[np.bool_] = np.concatenate(
            [(each != 0) & (each & np.uint64(1) == 0) for each in words] or [[]]
        )
        return found

    def _unpin(self, entries: U64) -> None:
        words = np.zeros(len(entries), np.uint64)
        idle = np.zeros(len(entries), np.bool_)
        for info, offsets, where in self._in_use(entries):
            info.swap_map.clear_cache_many(offsets)
            info.si.rmap_clear_cache_only_many(offsets)
            words[where] = info.swap_table.rows[offsets.view(np.int64)]
            idle[where] = info.swap_map.counts(offsets) == 0
        if self.record is not None:
            self.record.many(Event.CACHE_DEL, len(entries), entry=entries, value=words)
        self._free_many(entries[idle])

    def swap_cache_add_folio_many(self, pointers: U64, entries: U64) -> U64:
        """Put a folio (by pointer) in the swap cache for each pinned entry; return the shadows that were there."""
        shadows = np.zeros(len(entries), np.uint64)
        parts = self._in_use(entries)
        for info, offsets, where in parts:
            shadows[where] = words = info.swap_table.rows[offsets.view(np.int64)]
            self._require(bool(self._cached(info, offsets).all()), "Pin with swapcache_prepare_many first")
            folio = (words != 0) & (words & np.uint64(1) == 0)
            self._require(not folio.any(), "Another folio is in the swap cache")
        for info, offsets, where in parts:
            info.swap_table.rows[offsets.view(np.int64)] = pointers[where]
        self.nr_swapcached += len(entries)
        self.bare_swapcached += len(entries)
        if self.record is not None:
            self.record.many(Event.CACHE_ADD, len(entries), entry=entries, value=pointers)
        return shadows

    def remove_mapping_many(self, entries: U64, shadows: U64 | int = 0) -> None:
        """Take the folios of entries out of the swap cache, leaving shadows; Busy if one is the only copy in use.

        InvalidArgument if one is not there. Nothing has changed then.
        """
        parts = self._pinned(entries)
        self._require(bool(self._folios(parts).all()), "No folio is in the swap cache")
        words = np.broadcast_to(np.asarray(shadows, np.uint64), entries.shape)
        for info, offsets, _ in parts:
            needed = (info.unwritten.rows[offsets.view(np.int64)] != 0) & (info.swap_map.counts(offsets) > 0)
            if needed.any():
                raise Busy("One of the folios is the only copy of its contents; write it out first.")
        for info, offsets, where in parts:
            info.swap_table.rows[offsets.view(np.int64)] = words[where]
        self.nr_swapcached -= len(entries)
        self.bare_swapcached -= len(entries)
        self._unpin(entries)

    # -- what has the contents -----------------------------------------------------------------------------------

    def lookup_many(self, entries: U64) -> BackingColumns:
        """Return where the contents of each entry are, in the order in which a read asks; for onlookers."""
        kinds = np.full(len(entries), int(Backing.SWAPFILE), np.uint8)
        handles = entries.copy()
        with self._uncounted():
            for info, offsets, where in self._in_use(entries):
                kind = np.where(info.unwritten.rows[offsets.view(np.int64)] != 0, Backing.FOLIO, Backing.SWAPFILE)
                packed = info.zswap_tree.load_many(offsets)
                kind[packed != 0] = Backing.ZSWAP
                kind[info.is_zero_many(offsets) != 0] = Backing.ZERO
                kinds[where] = kind
                handles[where] = np.where(kind == Backing.ZSWAP, packed, entries[where])
        handles[(kinds == Backing.FOLIO) | (kinds == Backing.ZERO)] = 0
        return BackingColumns(kinds, handles)

    def _contents_in(self, entries: U64, now: Backing, slot: Any, value: Any = 0) -> None:
        """Note where the contents of entries are from now on; call it before the change."""
        if self.record is not None:
            old = self.lookup_many(entries).type
            self.record.many(Event.BACKING, len(entries), entry=entries, old=old, new=int(now), slot=slot, value=value)

    def swap_zeromap_folio_set_many(self, entries: U64, memcgid: int = 0) -> None:
        """The folios, of one memory cgroup, hold only zeros: set their zeromap bits; the slots stay taken.

        `memcgid`: who pays for the folios, 0 for none; their swpout_zero is counted there, whoever owns the entries
        [S13].
        """
        parts = self._in_use(entries)
        self._contents_in(entries, Backing.ZERO, 0)
        for info, offsets, _ in parts:
            info.zeromap_set_many(offsets)
            info.unwritten.rows[offsets.view(np.int64)] = 0
        self._count(self.memcgs.get(memcgid), "swpout_zero", len(entries))

    def zswap_entry_store_many(self, entries: U64, zswap_entries: U64) -> None:
        """Enter a zswap entry in the tree for each slot; older compressed copies are freed, the slots stay taken."""
        parts = self._in_use(entries)
        lengths: Any = 0
        if self.record is not None and self.zswap is not None:
            lengths = np.array([self.zswap.length(ze) for ze in zswap_entries.tolist()], np.uint64)
        self._contents_in(entries, Backing.ZSWAP, zswap_entries, lengths)
        for info, offsets, where in parts:
            info.zeromap_clear_many(offsets)
            old = info.zswap_tree.store_many(offsets, zswap_entries[where])
            info.unwritten.rows[offsets.view(np.int64)] = 0
            if self.zswap is not None:
                for handle in old[old != 0].tolist():
                    self.zswap.free(handle)

    def zswap_loaded_many(self, entries: U64) -> None:
        """The contents were loaded from zswap: erase the compressed copies, the folios are the only ones now."""
        self._alone(entries, Backing.FOLIO, 0, 1)

    def writeout_slots_many(self, entries: U64) -> U64:
        """Return the slots that the contents of entries are written to, and count them as written: the entries."""
        self._alone(entries, Backing.SWAPFILE, entries, 0)
        return entries.copy()

    def _alone(self, entries: U64, now: Backing, slots: U64 | int, unwritten: int) -> None:
        """Neither zeromap nor zswap has the contents of entries any more; their folios are in the swap cache."""
        parts = self._pinned(entries)
        self._contents_in(entries, now, slots)
        for info, offsets, _ in parts:
            info.zeromap_clear_many(offsets)
            self._erase_zswap_many(info, offsets)
            info.unwritten.rows[offsets.view(np.int64)] = unwritten
