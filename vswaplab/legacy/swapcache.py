"""The swap cache of the legacy design: the swap table holds an entry's folio or its shadow [S12 S23].

A slot is taken for every page when its folio enters the swap cache, whatever will back it in the end, and charged to
the memory cgroup there and then. The has-cache bit of the swap_map byte is the pin.
"""

from __future__ import annotations

from vswaplab.entry import Backing
from vswaplab.errors import Exists, NoMemory, SwapError
from vswaplab.events import Event
from vswaplab.legacy.core import LegacyCore
from vswaplab.protocols import FolioLike

__all__ = ["LegacySwapCache"]


class LegacySwapCache(LegacyCore):
    """Allocation for a folio, the pin, adding and dropping folios, freeing swap early."""

    def _connect(self) -> None:
        super()._connect()
        self.devices.reclaim_slot = self.reclaim_slot

    # -- out: a folio gets its slots -----------------------------------------------------------------------------

    def folio_alloc_swap(self, folio: FolioLike) -> None:
        """Give a locked, uptodate folio a run of slots on one device and put it in the swap cache.

        NoMemory (-ENOMEM), and nothing taken, if there is no such run, or memory.swap.max forbids the charge.
        """
        self._require(folio.locked and folio.uptodate, "folio_alloc_swap needs a locked, uptodate folio")
        if folio.in_swapcache:
            raise Exists(f"The folio has swap entry {folio.swap:#x} already.")
        nr, memcg = folio.nr_pages, folio.memcg
        slot = self.devices.alloc_slot(folio.order, self.cpu)
        if not slot:
            raise NoMemory("No swap slot: no device is on, or none has a free run of that size; swap on another one.")
        if memcg is not None and not memcg.try_charge_swap(nr):
            self.devices.free_slots(slot, nr)
            raise NoMemory("No swap charge: the memory cgroup is at its memory.swap.max; raise it.")
        memcgid = 0
        if memcg is not None:
            memcgid = memcg.id
            memcg.get_id(nr)
        info, first = self.at(slot)
        info.swap_map.set_cached_new(first, nr)
        for offset in range(first, first + nr):
            entry = info.si.slot_base | offset
            info.cgroup[offset] = memcgid
            info.table[offset] = folio.pointer
            info.only_in_memory[offset] = 1
            info.si.rmap_mark_cache_only(offset)
            if self.record is not None:
                self.record(Event.ALLOC, entry, new=Backing.FOLIO, slot=entry, value=memcgid)
                self.record(Event.CACHE_ADD, entry, value=folio.pointer)
        self._attach(folio, slot)

    # -- in: the pin, then the folio -----------------------------------------------------------------------------

    def swapcache_prepare(self, entry: int, nr: int = 1) -> None:
        """Pin `nr` entries for the swap cache.

        NotFound (-ENOENT) if one is free, Exists (-EEXIST) if one is pinned already, InvalidArgument (-EINVAL) for no
        slot at all; then none is pinned.
        """
        for each in range(entry, entry + nr):
            try:
                info, offset = self.at(each)
                info.swap_map.set_cache(offset)
            except SwapError:
                self.swapcache_clear(entry, each - entry)
                raise
            if self.record is not None:
                self.record(Event.CACHE_ADD, each)

    def swapcache_clear(self, entry: int, nr: int = 1) -> None:
        """Take the pin off `nr` entries and free those that no page table refers to."""
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            info.swap_map.clear_cache(offset)
            info.si.rmap_clear_cache_only(offset)
            if self.record is not None:
                self.record(Event.CACHE_DEL, each, value=info.table[offset])
        self._free_unreferenced(entry, nr)

    put_swap_folio = swapcache_clear

    def swap_cache_add_folio(self, folio: FolioLike, entry: int) -> int:
        """Put a folio in the swap cache for entries that the caller has pinned; return the first shadow seen, or 0."""
        shadow, nr = 0, folio.nr_pages
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            word = info.table[offset]
            self._require(info.swap_map.peek(offset)[1], f"Pin entry {each:#x} with swapcache_prepare first")
            self._require(not word or bool(word & 1), f"Another folio is in the swap cache for entry {each:#x}")
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            shadow = shadow or info.table[offset]
            info.table[offset] = folio.pointer
            if self.record is not None:
                self.record(Event.CACHE_ADD, each, value=folio.pointer)
        self._attach(folio, entry)
        return shadow

    def _cache_word(self, entry: int) -> int:
        found = self._find(entry)
        return found[0].table[found[1]] if found is not None else 0

    def is_swap_cached(self, entry: int) -> bool:
        """Whether the entry is pinned in the swap cache."""
        found = self._find(entry)
        return found is not None and found[0].swap_map.has_cache(found[1])

    # -- dropping a folio ----------------------------------------------------------------------------------------

    def _set_cache_words(self, entry: int, nr: int, word: int) -> None:
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            info.set_word(offset, word)

    def _only_copy(self, entry: int, folio: FolioLike) -> bool:
        info, offset = self.at(entry)
        needed = folio.uptodate and (folio.dirty or bool(info.only_in_memory[offset]))
        return needed and info.swap_map.peek(offset)[0] > 0

    def _any_swapped(self, entry: int, nr: int) -> bool:
        return any(self.swp_swapcount(each) for each in range(entry, entry + nr))

    def _keeps_swap_of(self, folio: FolioLike) -> bool:
        """Kept while somebody maps the folio, unless swap runs short: seen in data/kernel/phases.csv [BACKGROUND]."""
        return len(folio.mapped) > 0 and not self._swap_full(folio)

    def reclaim_slot(self, slot: int) -> int:
        """Free a cache-only slot for the allocator; return how many went. The slot is the entry: no rmap is asked."""
        folio = self.swap_cache_get_folio(slot)
        if folio is None or folio.locked:
            return 0
        return self._try_to_reclaim_swap(folio)

    # -- questions -----------------------------------------------------------------------------------------------

    def can_swapin_thp(self, entry: int, nr: int) -> bool:
        """Whether `nr` entries may be read as one large folio: all in use, none cached, all zero or none, no zswap."""
        if self.zswap is not None:
            return False
        found = [self._find(each) for each in range(entry, entry + nr)]
        slots = [each for each in found if each is not None and each[0].swap_map.count(each[1])]
        if len(slots) < nr or any(info.swap_map.peek(offset)[1] for info, offset in slots):
            return False
        return len({info.is_zero(offset) for info, offset in slots}) == 1

    def may_free_after_swapin(self, folio: FolioLike, owner_writes: bool = False) -> bool:
        """Whether swap is freed as soon as a folio is in: when swap, or the cgroup's share of it, is at least half
        full, and when the only owner of the folio is about to write to it (`owner_writes`) [S13].

        Otherwise the slot is kept, so that a clean folio can be dropped without writing it again. C name:
        ``should_try_to_free_swap``.
        """
        return folio.in_swapcache and (owner_writes or self._swap_full(folio))

    def readahead_entries(self, entry: int, window: int) -> list[int]:
        """Return the entries to read along with one: its neighbours on the device that are in use and not cached."""
        if window < 2:
            return []
        info, offset = self.at(entry)
        first = offset - offset % window
        near = (info.si.slot_base | at for at in range(max(1, first), min(first + window, info.si.max)))
        return [each for each in near if each != entry and self.swp_swapcount(each) and not self.is_swap_cached(each)]

    def can_swap_out(self, memcg: object) -> bool:
        """Whether a page has any place to go: only if a slot is free, zswap or not."""
        return self.devices.free_pages > 0
