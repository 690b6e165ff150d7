"""The swap cache as far as both designs agree: folios come, are split, and go.

Where the pointer of an entry's folio is kept differs (in the descriptor, or in the swap table of the slot's cluster),
and so do counts and pins; a design brings those. That a folio in the swap cache bears its entry, a reference a page and
a flag, and when it may be dropped, does not differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vswaplab.entry import swp_entry_t
from vswaplab.errors import Busy, InvalidArgument
from vswaplab.events import Event

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapDevices
    from vswaplab.events import Recorder
    from vswaplab.protocols import FolioLike, MemcgLike

__all__ = ["SwapCacheFolios"]


class SwapCacheFolios:
    """Folios in the swap cache by pointer, the counts beside them, and the ways out of the swap cache."""

    record: Recorder | None
    devices: SwapDevices

    def __init__(self) -> None:
        self.folios: dict[int, FolioLike] = {}
        """Folios in the swap cache, by pointer: what the design's words point to."""
        self.released: list[FolioLike] = []
        """Folios that an operation on an entry has dropped from the swap cache; the machine takes them from here."""
        self.bare_swapcached = 0
        """Pages in the swap cache known by pointer alone: array forms handle folios without objects."""
        self.nr_swapcached = 0
        """NR_SWAPCACHE: pages in the swap cache."""
        self.write_errors = 0
        """Pages whose write to a device failed; they stayed where they were."""
        self.storage_suspended = False
        """True while hibernation writes its image: no swap may be freed."""

    def _attach(self, folio: FolioLike, entry: int) -> None:
        folio.refcount += folio.nr_pages
        folio.in_swapcache = True
        folio.swap = swp_entry_t(entry)
        self.folios[folio.pointer] = folio
        self.nr_swapcached += folio.nr_pages

    def _detach(self, folio: FolioLike) -> int:
        entry, folio.swap = folio.swap, swp_entry_t(0)
        folio.refcount -= folio.nr_pages
        folio.in_swapcache = False
        del self.folios[folio.pointer]
        self.nr_swapcached -= folio.nr_pages
        return entry

    @staticmethod
    def _require(holds: bool, rule: str) -> None:
        if not holds:
            raise InvalidArgument(f"{rule}.")

    @staticmethod
    def _prefix(nr: int, holds: Callable[[int], bool]) -> int:
        return next((i for i in range(nr) if not holds(i)), nr)

    @staticmethod
    def _count(memcg: MemcgLike | None, item: str, nr: int) -> None:
        if memcg is not None:
            memcg.count(item, nr)

    # -- what a design brings ------------------------------------------------------------------------------------

    def _cache_word(self, entry: int) -> int:
        """Return what the design keeps for the swap cache: a folio's pointer, a shadow (low bit set), or 0."""
        raise NotImplementedError

    def _set_cache_words(self, entry: int, nr: int, word: int) -> None:
        """Set that word of `nr` entries."""
        raise NotImplementedError

    def _only_copy(self, entry: int, folio: FolioLike) -> bool:
        """Whether dropping the folio would lose what a page table needs."""
        raise NotImplementedError

    def _any_swapped(self, entry: int, nr: int) -> bool:
        """Whether any of `nr` entries has a page table reference."""
        raise NotImplementedError

    def _keeps_swap_of(self, folio: FolioLike) -> bool:
        """Whether a folio's swap is kept when the last entry of a page table goes, for others that map it."""
        return False

    def _drop_counts(self, entry: int, nr: int) -> list[int]:
        """Drop one reference from each of `nr` entries; return those that only the swap cache keeps now."""
        raise NotImplementedError

    def swapcache_clear(self, entry: int, nr: int = 1) -> None:
        """Take the pin off `nr` entries and free those that no page table refers to."""
        raise NotImplementedError

    # -- looking -------------------------------------------------------------------------------------------------

    def swap_cache_get_folio(self, entry: int) -> FolioLike | None:
        """Return the folio in the swap cache for an entry, or None. Lock it and check that it still matches."""
        word = self._cache_word(entry)
        return None if not word or word & 1 else self.folios[word]

    def swap_cache_get_shadow(self, entry: int) -> int:
        """Return the shadow an entry's last folio left, or 0."""
        word = self._cache_word(entry)
        return word if word & 1 else 0

    # -- dropping a folio ----------------------------------------------------------------------------------------

    def swap_cache_del_folio(self, folio: FolioLike) -> None:
        """Take a folio out of the swap cache, leaving no shadow.

        Busy if it is under writeback, or dirty while a page table still needs its contents.
        """
        self.remove_mapping(folio, 0)

    def remove_mapping(self, folio: FolioLike, shadow: int = 0) -> None:
        """``__remove_mapping``: take a folio out of the swap cache, leaving `shadow` (0: none), and unpin."""
        self._require(folio.in_swapcache, "The folio is not in the swap cache")
        entry, nr = folio.swap, folio.nr_pages
        if folio.writeback:
            raise Busy(f"The folio of swap entry {entry} is under writeback; wait for it.")
        if any(self._only_copy(each, folio) for each in range(entry, entry + nr)):
            raise Busy(f"The folio of swap entry {entry} is the only copy of its contents; write it out first.")
        self._set_cache_words(entry, nr, shadow)
        self._detach(folio)
        self.swapcache_clear(entry, nr)

    def split_folio(self, old: FolioLike, parts: Sequence[FolioLike]) -> None:
        """Repoint the entries of `old` to the folios it was split into, in order; entries keep their numbers."""
        self._require(old.locked and all(part.locked for part in parts), "Both sides of a replacement must be locked")
        self._require(sum(part.nr_pages for part in parts) == old.nr_pages, "The parts must cover the folio exactly")
        entry = self._detach(old)
        for part in parts:
            self._set_cache_words(entry, part.nr_pages, part.pointer)
            if self.record is not None:
                for each in range(entry, entry + part.nr_pages):
                    self.record(Event.CACHE_ADD, each, value=part.pointer)
            self._attach(part, entry)
            entry += part.nr_pages

    # -- freeing swap early --------------------------------------------------------------------------------------

    def _swap_full(self, folio: FolioLike) -> bool:
        """Whether more than half of all slots is used, or half of what the folio's cgroup or one above it may have.

        C name: ``mem_cgroup_swap_full`` [S13].
        """
        return self.devices.vm_swap_full() or (folio.memcg is not None and folio.memcg.swap_full())

    def folio_free_swap(self, folio: FolioLike) -> bool:
        """Free a cached folio's entries if no page table refers to any; the folio is dirty then. True if it did."""
        if not folio.in_swapcache or folio.writeback or self.storage_suspended:
            return False
        entry, nr = folio.swap, folio.nr_pages
        if self._any_swapped(entry, nr):
            return False
        self._set_cache_words(entry, nr, 0)
        self._detach(folio)
        folio.dirty = True
        self.swapcache_clear(entry, nr)
        return True

    def free_swap_and_cache_nr(self, entry: int, nr: int) -> None:
        """Drop one reference from each of `nr` entries, and free the swap of folios that nobody else refers to.

        Folios dropped from the swap cache are appended to `released`. A locked folio is left alone.
        """
        done = 0  # entries below are dealt with: the walk goes on at a folio's natural boundary
        for each in self._drop_counts(entry, nr):
            if each < done:
                continue
            folio = self.swap_cache_get_folio(each)
            if folio is None or folio.locked or self._keeps_swap_of(folio):
                continue
            done = folio.swap + folio.nr_pages
            self._try_to_reclaim_swap(folio)

    def _try_to_reclaim_swap(self, folio: FolioLike) -> int:
        """Free a folio's swap; return the number of entries freed, and hand the folio to the machine."""
        if not self.folio_free_swap(folio):
            return 0
        self.released.append(folio)
        return folio.nr_pages
