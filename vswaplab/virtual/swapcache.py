"""The swap cache: an entry's folio while a page is going out or coming in [S10].

The descriptor itself is the cache: its `swap_cache` field points to the folio, or holds the shadow the last one left,
and `in_swapcache` is the pin that says a folio is there or about to be. No tree, no separate lock.
"""

from __future__ import annotations

from vswaplab.entry import VSWAP_CLUSTER_SHIFT, Backing
from vswaplab.errors import Exists, NoMemory, NotFound
from vswaplab.events import Event
from vswaplab.protocols import FolioLike
from vswaplab.virtual.core import VswapCore
from vswaplab.virtual.descriptor import IN_SWAPCACHE, TYPE_FOLIO, TYPE_MASK

__all__ = ["SwapCache"]


class SwapCache(VswapCore):
    """Allocation for a folio, the pin, adding and dropping folios, freeing swap early."""

    def _connect(self) -> None:
        super()._connect()
        self.devices.reclaim_slot = self.reclaim_slot

    # -- out: a folio gets its entries ---------------------------------------------------------------------------

    def folio_alloc_swap(self, folio: FolioLike) -> None:
        """Give a locked, uptodate folio one virtual slot a page and put it in the swap cache.

        No physical slot is taken and no swap charge is made. NoMemory (-ENOMEM) if no range can be had.
        """
        self._require(folio.locked and folio.uptodate, "folio_alloc_swap needs a locked, uptodate folio")
        if folio.in_swapcache:
            raise Exists(f"The folio has swap entry {folio.swap} already.")
        nr, memcg = folio.nr_pages, folio.memcg
        memcgid = 0
        if memcg is not None:
            memcgid = memcg.id
            memcg.get_id(nr)
        entry = self.allocator.alloc(folio.order, self.cpu)
        if not entry:
            if memcg is not None:
                memcg.put_id(nr)
            raise NoMemory("No virtual swap slot: no memory for a new cluster, or the virtual space is full.")
        desc, pointer = self.desc, folio.pointer
        for each in range(entry, entry + nr):
            desc.flags[each] = TYPE_FOLIO | IN_SWAPCACHE
            desc.cache[each] = pointer
            desc.memcgid[each] = memcgid
            if self.record is not None:
                self.record(Event.ALLOC, each, new=Backing.FOLIO, value=memcgid)
                self.record(Event.CACHE_ADD, each, value=pointer)
        self._attach(folio, entry)

    # -- in: the pin, then the folio -----------------------------------------------------------------------------

    def swapcache_prepare(self, entry: int, nr: int = 1) -> None:
        """Pin `nr` entries for the swap cache.

        NotFound (-ENOENT) if one is gone, Exists (-EEXIST) if one is pinned already; then none is pinned.
        """
        desc = self.desc
        for each in range(entry, entry + nr):
            if not self._has_refs(each) or desc.flags[each] & IN_SWAPCACHE:
                known = self._has_refs(each)
                self.swapcache_clear(entry, each - entry)
                if known:
                    raise Exists(f"Swap entry {each} is in the swap cache already; look it up there.")
                raise NotFound(f"Swap entry {each} is not in use any more.")
            desc.flags[each] |= IN_SWAPCACHE
            if self.record is not None:
                self.record(Event.CACHE_ADD, each)

    def swapcache_clear(self, entry: int, nr: int = 1) -> None:
        """Take the pin off `nr` entries and free those that no page table refers to."""
        desc = self.desc
        for each in range(entry, entry + nr):
            self.cluster_of(each)
            desc.flags[each] &= ~IN_SWAPCACHE
            if self.record is not None:
                self.record(Event.CACHE_DEL, each, value=desc.cache[each])
        self.free_unreferenced(entry, nr)

    put_swap_folio = swapcache_clear

    def swap_cache_add_folio(self, folio: FolioLike, entry: int) -> int:
        """Put a folio in the swap cache for entries that the caller has pinned; return the first shadow seen, or 0."""
        desc, shadow, nr = self.desc, 0, folio.nr_pages
        for each in range(entry, entry + nr):
            self.cluster_of(each)
            cache = desc.cache[each]
            self._require(bool(desc.flags[each] & IN_SWAPCACHE), f"Pin entry {each} with swapcache_prepare first")
            self._require(not cache or bool(cache & 1), f"Another folio is in the swap cache for entry {each}")
        for each in range(entry, entry + nr):
            shadow = shadow or desc.cache[each]
            desc.cache[each] = folio.pointer
            if self.record is not None:
                self.record(Event.CACHE_ADD, each, value=folio.pointer)
        self._attach(folio, entry)
        return shadow

    def is_swap_cached(self, entry: int) -> bool:
        """Whether the entry is pinned in the swap cache."""
        return self._exists(entry) and bool(self.desc.flags[entry] & IN_SWAPCACHE)

    def non_swapcache_batch(self, entry: int, max_nr: int) -> int:
        """Return how many entries from `entry` on are in use by page tables and not in the swap cache."""
        desc = self.desc
        return self._prefix(
            max_nr,
            lambda i: (
                self._exists(entry + i) and desc.count[entry + i] > 0 and not desc.flags[entry + i] & IN_SWAPCACHE
            ),
        )

    # -- dropping a folio ----------------------------------------------------------------------------------------

    vswap_remove_mapping = VswapCore.remove_mapping

    def _cache_word(self, entry: int) -> int:
        return self.desc.cache[entry] if self._exists(entry) else 0

    def _set_cache_words(self, entry: int, nr: int, word: int) -> None:
        for each in range(entry, entry + nr):
            self.desc.cache[each] = word

    def _any_swapped(self, entry: int, nr: int) -> bool:
        return any(self.desc.count[each] for each in range(entry, entry + nr))

    def _only_copy(self, entry: int, folio: FolioLike) -> bool:
        unbacked = self.desc.flags[entry] & TYPE_MASK == TYPE_FOLIO
        return self.desc.count[entry] > 0 and (unbacked or (folio.uptodate and folio.dirty))

    def swap_cache_replace_folio(self, old: FolioLike, new: FolioLike) -> None:
        """``__swap_cache_replace_folio``: repoint the entries of `old` to `new`, of the same order; both locked."""
        self._require(old.order == new.order, "A folio is replaced by one of its own order; use split_folio to split")
        self.split_folio(old, [new])

    def reclaim_slot(self, slot: int) -> int:
        """Free the swap behind a cache-only physical slot for the physical allocator; return entries freed."""
        entry = self.swp_slot_to_swp_entry(slot)
        folio = self.swap_cache_get_folio(entry) if entry else None
        if folio is None or folio.locked or self.swp_entry_to_swp_slot(entry) != slot:
            return 0
        return self._try_to_reclaim_swap(folio)

    # -- counts --------------------------------------------------------------------------------------------------

    def swp_swapcount(self, entry: int) -> int:
        """Return how many page table entries (and shmem entries) refer to an entry; 0 if it is gone."""
        return self.desc.count[entry] if self._exists(entry) else 0

    def swap_entry_swapped(self, entry: int) -> bool:
        """Whether any page table refers to an entry."""
        return self.swp_swapcount(entry) > 0

    # -- pins and locks of clusters ------------------------------------------------------------------------------

    def swap_cache_lock(self, entry: int) -> None:
        """Lock an entry's cluster; the allocator passes over locked clusters of the partial list."""
        self.cluster_of(entry).locked = True

    def swap_cache_unlock(self, entry: int) -> None:
        """Unlock an entry's cluster."""
        cluster = self.clusters.get(entry >> VSWAP_CLUSTER_SHIFT)
        if cluster is not None:
            cluster.locked = False

    # With one thing at a time there are no interrupts to keep out.
    swap_cache_lock_irq = swap_cache_lock
    swap_cache_unlock_irq = swap_cache_unlock

    def vswap_same_cluster(self, first: int, second: int) -> bool:
        """Whether two entries share a cluster: then a pin on one keeps the other's descriptor too."""
        return first >> VSWAP_CLUSTER_SHIFT == second >> VSWAP_CLUSTER_SHIFT
