"""The array forms: the same operations on many order-0 entries at once.

Each has the name of its scalar twin with ``_many`` behind it and leaves the same state as a loop over it, but writes
column by column. Arguments are uint64 arrays; folios are known by their pointers alone. A scalar call on one entry
costs a tenth of an array call, an array call on a million entries a twentieth of a million scalar ones: so there are
two bodies over one storage, and a property test that holds them equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.arena import are_distinct
from vswaplab.entry import SLOT_OFFSET_BITS, SLOT_OFFSET_MASK, U64, Backing
from vswaplab.errors import Busy, Exists, InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.swap_arrays import BackingColumns
from vswaplab.virtual.allocator_batch import alloc_many, release_many
from vswaplab.virtual.backing import Backings
from vswaplab.virtual.descriptor import IN_SWAPCACHE, TYPE_FOLIO, TYPE_MASK, TYPE_SHIFT, TYPE_SWAPFILE, TYPE_ZSWAP

__all__ = ["BatchOps"]


class BatchOps(Backings):
    """Array forms of allocation, references, the swap cache and the transitions. All entries are of order 0."""

    # -- helpers -------------------------------------------------------------------------------------------------

    def _rows(self, entries: U64) -> npt.NDArray[np.int64]:
        """Return entries as row numbers; NotFound when one can't be an entry at all."""
        rows = entries.astype(np.int64)
        if len(rows) and not (rows.min() > 0 and rows.max() < len(self.desc.rows)):
            raise NotFound("One of the swap entries is not allocated.")
        return rows

    def _live(self, entries: U64) -> npt.NDArray[np.int64]:
        rows = self._rows(entries)
        columns, where = self.desc.rows, _slice_or_rows(rows)
        if not ((columns["swap_count"][where] > 0) | (columns["flags"][where] & IN_SWAPCACHE != 0)).all():
            raise NotFound("One of the swap entries is not in use.")
        return rows

    def _look_at_last(self, entries: U64) -> None:
        if len(entries):
            self.allocator.lookups += len(entries) - 1
            self.allocator.find(int(entries[-1]), self.cpu)

    def _each_memcg(self, memcgids: npt.NDArray[np.uint16]) -> list[tuple[Any, int]]:
        """Return (memory cgroup, number of rows) for each id that a cgroup stands behind."""
        if len(memcgids) and (memcgids == memcgids[0]).all():
            found = [(int(memcgids[0]), len(memcgids))]
        else:
            ids, counts = np.unique(memcgids, return_counts=True)
            found = list(zip(ids.tolist(), counts.tolist(), strict=True))
        return [(memcg, nr) for memcgid, nr in found if (memcg := self.memcgs.get(memcgid)) is not None]

    # -- look-up -------------------------------------------------------------------------------------------------

    def lookup_many(self, entries: U64) -> BackingColumns:
        """Return type and handle of each entry; NotFound if one is not in use."""
        rows = self._rows(entries)
        flags = self.desc.rows["flags"][rows]
        if not flags.all() and (self.desc.rows["swap_count"][rows[flags == 0]] == 0).any():
            raise NotFound("One of the swap entries is not in use.")
        return BackingColumns((flags >> TYPE_SHIFT & 3).astype(np.uint8), self.desc.rows["slot"][rows])

    # -- allocation and references -------------------------------------------------------------------------------

    def folio_alloc_swap_many(self, pointers: U64, memcgid: int = 0) -> U64:
        """Allocate an entry for each folio (by pointer) of one memory cgroup; all are in the swap cache, FOLIO.

        Returns the entries; fewer than folios when the space is exhausted (the first ones have theirs).
        """
        entries = alloc_many(self.allocator, len(pointers), 0, self.cpu)
        pointers = pointers[: len(entries)]
        rows, columns = _slice_or_rows(entries), self.desc.rows
        columns["flags"][rows] = TYPE_FOLIO | IN_SWAPCACHE
        columns["swap_cache"][rows] = pointers
        columns["memcgid"][rows] = memcgid
        self.nr_swapcached += len(entries)
        self.bare_swapcached += len(entries)
        memcg = self.memcgs.get(memcgid)
        if memcg is not None:
            memcg.get_id(len(entries))
        if self.record is not None:
            self.record.many(Event.ALLOC, len(entries), entry=entries, new=int(Backing.FOLIO), value=memcgid)
            self.record.many(Event.CACHE_ADD, len(entries), entry=entries, value=pointers)
        return entries

    def swap_duplicate_many(self, entries: U64) -> None:
        """Add a reference to each entry; an entry may occur more than once.

        NotFound, and nothing changed, if one is gone.
        """
        rows = self._live(entries)
        count, unique = self.desc.rows["swap_count"], are_distinct(rows)
        where = _slice_or_rows(rows)
        before = count[where].copy()
        if unique:
            count[where] = before + np.uint32(1)
        else:
            np.add.at(count, rows, np.uint32(1))
        fresh = rows[(before == 0) & (self.desc.rows["flags"][where] & TYPE_MASK == TYPE_SWAPFILE)]
        self._mark_cache_only(fresh, on=False)
        self._look_at_last(entries)
        if self.record is not None:
            value = before + 1 if unique else before + 1 + _nth_occurrence(rows)
            self.record.many(Event.DUPLICATE, len(entries), entry=entries, value=value)

    def swap_free_many(self, entries: U64) -> None:
        """Drop a reference from each entry; what nothing refers to any more is freed, in this order.

        InvalidArgument, and nothing changed, if one has too few references to drop.
        """
        if not len(entries):
            return
        rows = self._rows(entries)
        columns, unique = self.desc.rows, are_distinct(rows)
        count = columns["swap_count"]
        last, drop = (rows, 1) if unique else _by_last_occurrence(rows)
        before = count[last]
        if not (before >= drop).all():
            raise InvalidArgument("One of the swap entries has no page table reference to drop.")
        if self.record is not None:
            left = before - 1 if unique else count[rows] - 1 - _nth_occurrence(rows)
            self.record.many(Event.PUT, len(entries), entry=entries, value=left)
        after = (before - drop).astype(np.uint32)
        count[last] = after
        idle = last[after == 0] if after.any() else last
        flags = columns["flags"][idle]
        cached = (flags & IN_SWAPCACHE).astype(bool)
        self._mark_cache_only(idle[cached & (flags & TYPE_MASK == TYPE_SWAPFILE)], on=True)
        self._look_at_last(entries)
        self._free_rows(idle[~cached] if cached.any() else idle)

    def _mark_cache_only(self, rows: npt.NDArray[np.int64], *, on: bool) -> None:
        slots = self.desc.rows["slot"][rows]
        types = slots >> np.uint64(SLOT_OFFSET_BITS)
        for kind in np.unique(types).tolist():
            offsets = slots[types == kind] & np.uint64(SLOT_OFFSET_MASK)
            device = self.devices[kind]
            (device.rmap_mark_cache_only_many if on else device.rmap_clear_cache_only_many)(offsets)

    # -- the free path -------------------------------------------------------------------------------------------

    def _free_rows(self, rows: npt.NDArray[np.int64]) -> None:
        """Free distinct entries that nothing refers to, in this order."""
        if not len(rows):
            return
        columns = self.desc.rows
        where = _slice_or_rows(rows)
        memcgs = self._each_memcg(columns["memcgid"][where])
        flags = columns["flags"][where]
        self._release_rows(rows, flags)
        if self.record is not None:
            self.record.many(Event.FREE, len(rows), entry=rows.astype(np.uint64), old=flags >> TYPE_SHIFT & 3)
        left = release_many(self.allocator, rows, self.cpu)
        for name in ("slot", "swap_cache", "swap_count", "memcgid", "flags") if len(left) else ():
            columns[name][left] = 0
        for memcg, nr in memcgs:
            memcg.put_id(nr)

    def _release_rows(self, rows: npt.NDArray[np.int64], flags: npt.NDArray[np.uint16]) -> None:
        """Free what backs the rows, and uncharge physical slots; handles are left for the caller to overwrite."""
        columns, kinds = self.desc.rows, flags & TYPE_MASK
        packed = rows[kinds == TYPE_ZSWAP]
        if len(packed) and self.zswap is not None:
            for handle in columns["zswap_entry"][packed].tolist():
                self.zswap.free(handle)
        on_disk = rows[kinds == TYPE_SWAPFILE]
        if len(on_disk):
            self.devices.free_many(columns["slot"][on_disk])
            for memcg, nr in self._each_memcg(columns["memcgid"][on_disk]):
                memcg.uncharge_swap(nr)

    # -- swap cache ----------------------------------------------------------------------------------------------

    def swapcache_prepare_many(self, entries: U64) -> None:
        """Pin distinct entries; NotFound or Exists, and none pinned, if one is gone or pinned already."""
        rows = self._live(entries)
        flags = self.desc.rows["flags"][rows]
        if (flags & IN_SWAPCACHE).any() or not are_distinct(rows):
            raise Exists("One of the swap entries is in the swap cache already.")
        self.desc.rows["flags"][rows] = flags | np.uint16(IN_SWAPCACHE)
        self._look_at_last(entries)
        if self.record is not None:
            self.record.many(Event.CACHE_ADD, len(entries), entry=entries)

    def swapcache_clear_many(self, entries: U64) -> None:
        """Unpin distinct entries that hold no folio, and free those that no page table refers to.

        InvalidArgument, and nothing changed, if one is not pinned, or has a folio.
        """
        rows = self._live(entries)
        words = self.desc.rows["swap_cache"][rows]
        self._pinned(rows)
        self._require(not _is_folio(words).any(), "Take the folio out of the swap cache with remove_mapping_many")
        self._unpin(rows, words)

    def _pinned(self, rows: npt.NDArray[np.int64]) -> None:
        flags = self.desc.rows["flags"][_slice_or_rows(rows)]
        self._require(
            bool((flags & IN_SWAPCACHE).all()), "The backing may change only while the folio is in the swap cache"
        )
        self._require(are_distinct(rows), "The entries of one call must be distinct")

    def _unpin(self, rows: npt.NDArray[np.int64], shadows: U64 | int) -> None:
        columns, where = self.desc.rows, _slice_or_rows(rows)
        columns["flags"][where] &= np.uint16(~IN_SWAPCACHE & 0xFFFF)
        if self.record is not None:
            self.record.many(Event.CACHE_DEL, len(rows), entry=rows.astype(np.uint64), value=shadows)
        self._look_at_last(rows.astype(np.uint64))
        self._free_rows(rows[columns["swap_count"][where] == 0])

    def swap_cache_add_folio_many(self, pointers: U64, entries: U64) -> U64:
        """Put a folio (by pointer) in the swap cache for each pinned entry; return the shadows that were there."""
        rows, cache = self._live(entries), self.desc.rows["swap_cache"]
        shadows: U64 = cache[rows]
        self._require(
            bool((self.desc.rows["flags"][rows] & IN_SWAPCACHE).all()), "Pin with swapcache_prepare_many first"
        )
        self._require(not _is_folio(shadows).any(), "Another folio is in the swap cache")
        cache[rows] = pointers
        self.nr_swapcached += len(rows)
        self.bare_swapcached += len(rows)
        self._look_at_last(entries)
        if self.record is not None:
            self.record.many(Event.CACHE_ADD, len(entries), entry=entries, value=pointers)
        return shadows

    def vswap_remove_mapping_many(self, entries: U64, shadows: U64 | int = 0) -> None:
        """Take the folios of entries out of the swap cache, leaving shadows; Busy if one is the only copy in use.

        InvalidArgument if one is not there. Nothing has changed then.
        """
        rows = self._live(entries)
        columns, where = self.desc.rows, _slice_or_rows(rows)
        self._pinned(rows)
        self._require(bool(_is_folio(columns["swap_cache"][where]).all()), "No folio is in the swap cache")
        unbacked = columns["flags"][where] & TYPE_MASK == TYPE_FOLIO
        if unbacked.any() and (columns["swap_count"][rows[unbacked]] > 0).any():
            raise Busy("One of the folios is the only copy of its contents; give it a backing first.")
        columns["swap_cache"][where] = shadows
        self.nr_swapcached -= len(rows)
        self.bare_swapcached -= len(rows)
        self._unpin(rows, shadows)

    # -- transitions ---------------------------------------------------------------------------------------------

    def _set_rows(self, entries: U64, kind: Backing, handles: U64 | int, *, release: bool, value: Any = 0) -> None:
        self._pinned(self._live(entries))
        rows, columns = _slice_or_rows(entries), self.desc.rows
        flags = columns["flags"][rows].copy()
        if release:
            self._release_rows(entries.astype(np.int64), flags)
        columns["flags"][rows] = flags & np.uint16(~TYPE_MASK & 0xFFFF) | np.uint16(kind << TYPE_SHIFT)
        columns["slot"][rows] = handles
        self._look_at_last(entries)
        if self.record is not None:
            old = flags >> TYPE_SHIFT & 3
            self.record.many(
                Event.BACKING, len(entries), entry=entries, old=old, new=int(kind), slot=handles, value=value
            )

    def swap_zeromap_folio_set_many(self, entries: U64, memcgid: int = 0) -> None:
        """The folios, of one memory cgroup, hold only zeros: release their backing, type ZERO.

        `memcgid`: who pays for the folios, 0 for none; their swpout_zero is counted there, whoever owns the entries
        [S10].
        """
        self._set_rows(entries, Backing.ZERO, 0, release=True)
        self._count(self.memcgs.get(memcgid), "swpout_zero", len(entries))

    def zswap_entry_store_many(self, entries: U64, zswap_entries: U64) -> None:
        """Each slot is backed by its zswap entry from now on; old backings are released."""
        lengths: Any = 0
        if self.record is not None and self.zswap is not None:
            lengths = np.array([self.zswap.length(ze) for ze in zswap_entries.tolist()], np.uint64)
        self._set_rows(entries, Backing.ZSWAP, zswap_entries, release=True, value=lengths)

    def vswap_store_folio_many(self, entries: U64) -> None:
        """Release what backs each slot; the folio in the swap cache is the backing (FOLIO)."""
        self._set_rows(entries, Backing.FOLIO, 0, release=True)

    def vswap_alloc_swap_slot_many(self, entries: U64) -> U64:
        """Give FOLIO or ZSWAP entries of one memory cgroup a physical slot each; return the slots, 0 for none.

        As in the scalar form the previous backing is the caller's to free.
        """
        rows = self._live(entries)
        self._pinned(rows)
        kinds = self.desc.rows["flags"][rows] & TYPE_MASK
        self._require(
            bool(((kinds == TYPE_FOLIO) | (kinds == TYPE_ZSWAP)).all()), "Only FOLIO or ZSWAP may become SWAPFILE"
        )
        memcgids = self.desc.rows["memcgid"][rows]
        self._require(not len(rows) or bool((memcgids == memcgids[0]).all()), "The entries must share a memory cgroup")
        memcg = self.memcgs.get(int(memcgids[0])) if len(rows) else None
        slots = np.zeros(len(entries), np.uint64)
        got = self.devices.alloc_many(len(entries), self.cpu)
        charged = len(got)
        if memcg is not None and not memcg.try_charge_swap(charged):
            charged = 0
            while memcg.try_charge_swap(1):
                charged += 1
            self.devices.free_many(got[charged:])
        slots[:charged] = got[:charged]
        backed, slots_got = entries[:charged], slots[:charged]
        self.devices.rmap_set_many(slots_got, backed)
        self._set_rows(backed, Backing.SWAPFILE, slots_got, release=False)
        self._mark_cache_only(rows[:charged][self.desc.rows["swap_count"][rows[:charged]] == 0], on=True)
        return slots

    # The names that both designs answer to (`SwapArrays`).
    remove_mapping_many = vswap_remove_mapping_many
    zswap_loaded_many = vswap_store_folio_many
    writeout_slots_many = vswap_alloc_swap_slot_many

    # -- swapoff -------------------------------------------------------------------------------------------------

    def swapoff_walk(self, type: int) -> tuple[U64, U64]:
        """Return (offsets, entries) of all slots in use on a device, in slot order: what swapoff has to bring in.

        Slots whose descriptor has moved on meanwhile are left out.
        """
        device = self.devices[type]
        offsets = device.allocated_offsets()
        entries = device.rmap_get_many(offsets)
        self.rmap_reads += len(offsets)
        slots = self.desc.rows["slot"][entries.astype(np.int64)]
        match = slots == (offsets & np.uint64(SLOT_OFFSET_MASK) | np.uint64(type << SLOT_OFFSET_BITS))
        return (offsets, entries) if match.all() else (offsets[match], entries[match])


def _is_folio(words: U64) -> npt.NDArray[np.bool_]:
    """Tell which words of the swap cache are folios: a shadow has its low bit set."""
    folios: npt.NDArray[np.bool_] = (words != 0) & (words & np.uint64(1) == 0)
    return folios


def _slice_or_rows(entries: npt.NDArray[Any]) -> Any:
    """Index for columns: a slice where the entries are one run (much faster), else row numbers."""
    nr = len(entries)
    if nr and int(entries[-1]) - int(entries[0]) == nr - 1 and bool((entries[1:] > entries[:-1]).all()):
        return slice(int(entries[0]), int(entries[0]) + nr)
    return entries.astype(np.int64)


def _by_last_occurrence(rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Return the distinct rows in the order of their last occurrence, and how often each occurs."""
    unique, first_from_end, counts = np.unique(rows[::-1], return_index=True, return_counts=True)
    order = np.argsort(-first_from_end)
    return unique[order], counts[order].astype(np.uint32)


def _nth_occurrence(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each element how many equal ones stand before it."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    lengths = np.diff(np.append(starts, len(rows)))
    nth = np.empty(len(rows), np.int64)
    nth[order] = np.arange(len(rows)) - np.repeat(starts, lengths)
    return nth
