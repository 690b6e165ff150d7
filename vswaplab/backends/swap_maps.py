"""Maps of a swapfile: which slots are allocated, which are bad, and to which entry each belongs [S15][S12].

Two bitmaps of one bit a slot, and the reverse map (rmap): one 64-bit word a slot that holds the entry the slot serves,
0 for none. Bit 63 of the word marks a cache-only slot: its swap count is 0, only the swap cache keeps it, so it may be
reclaimed. The words of one cluster fill one page of memory, the kernel's swap table, which exists from the first word
written to it until the cluster is empty. All three are reserved, not allocated, when the device is swapped on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from vswaplab.arena import Arena
from vswaplab.backends.swap_cluster import (
    SWAPFILE_CLUSTER,
    SWAPFILE_CLUSTER_MASK,
    SWAPFILE_CLUSTER_SHIFT,
    ClusterLists,
)
from vswaplab.entry import U64

__all__ = ["RMAP_CACHE_ONLY", "SwapMaps", "cluster_bits"]

RMAP_CACHE_ONLY = 1 << 63
"""Set in the rmap word of a slot whose swap count is 0 and which the swap cache alone keeps [S12]."""
_ENTRY_MASK = RMAP_CACHE_ONLY - 1
_FLAG, _ENTRY, _TOP = np.uint64(RMAP_CACHE_ONLY), np.uint64(_ENTRY_MASK), np.uint64(63)

_WORD_SHIFT, _WORD_MASK = 6, 63
_WORDS = SWAPFILE_CLUSTER >> _WORD_SHIFT
"""Bitmap words in a cluster."""


def cluster_bits(words: U64) -> npt.NDArray[np.bool_]:
    """Return bitmap words as one bool a slot."""
    return np.unpackbits(words.view(np.uint8), bitorder="little").view(np.bool_)


class SwapMaps:
    """The allocated and bad bitmaps, the rmap and the cluster lists of one device of `max` slots, slot 0 the header."""

    def __init__(self, max: int, bad_pages: Iterable[int] = ()) -> None:
        """Reserve the maps of slots 0 to `max` - 1; NoMemory when there is no address space for them."""
        self.max = max
        self.nr_clusters = -(-max // SWAPFILE_CLUSTER)
        slots = self.nr_clusters << SWAPFILE_CLUSTER_SHIFT
        self._reserve(slots)
        self.cache_only_pages = 0
        """Slots marked cache-only now."""
        bad = {0, *bad_pages}
        # Slots past the end, in the last cluster, are marked too: so no search needs to know where the device ends.
        unavailable = [*bad, *range(max, slots)]
        for offset in unavailable:
            self._bad[offset >> _WORD_SHIFT] |= 1 << (offset & _WORD_MASK)
        self.pages = max - len(bad)
        """Usable slots."""
        self.bad_pages = len(bad) - 1
        """Slots the header lists as bad."""
        self.lists = ClusterLists(self.nr_clusters, Counter(offset >> SWAPFILE_CLUSTER_SHIFT for offset in unavailable))

    def _reserve(self, slots: int) -> None:
        self.allocated = Arena("<u8", slots >> _WORD_SHIFT)
        self.bad_map = Arena("<u8", slots >> _WORD_SHIFT)
        self.rmap = Arena("<u8", slots)
        self._allocated = memoryview(self.allocated.rows)
        self._bad = memoryview(self.bad_map.rows)
        self._rmap = memoryview(self.rmap.rows)
        self._allocated_bytes = memoryview(self.allocated.rows.view(np.uint8))
        self._bad_bytes = memoryview(self.bad_map.rows.view(np.uint8))

    def free_maps(self) -> None:
        """Let go of all maps; nothing but the numbers of the device may be asked for from now on."""
        self._reserve(0)
        self.lists = ClusterLists(0, {})

    def is_allocated(self, offset: int) -> bool:
        """Tell whether a slot is in use."""
        return bool(self._allocated[offset >> _WORD_SHIFT] >> (offset & _WORD_MASK) & 1)

    def is_bad(self, offset: int) -> bool:
        """Tell whether a slot can never be had: the header, or listed as bad."""
        return bool(self._bad[offset >> _WORD_SHIFT] >> (offset & _WORD_MASK) & 1)

    def allocated_offsets(self, start: int = 1) -> U64:
        """Return the offsets of all slots in use from `start` on, in order (uint64)."""
        clusters = self.lists.used_clusters()
        clusters = clusters[self.lists.count_arena.rows[clusters] > 0]
        index = np.flatnonzero(cluster_bits(self.allocated.rows.reshape(-1, _WORDS)[clusters].ravel()))
        # Slot i of the clusters put side by side is as far off as the gaps before its cluster are wide.
        gaps = (clusters - np.arange(len(clusters))) << SWAPFILE_CLUSTER_SHIFT
        if gaps.any():
            index += gaps[index >> SWAPFILE_CLUSTER_SHIFT]
        offsets = index.view(np.uint64)
        return offsets[int(np.searchsorted(offsets, np.uint64(start))) :]

    @property
    def live_clusters(self) -> int:
        """Clusters that are not empty: each has its table of rmap words, 4096 bytes."""
        return int(np.count_nonzero(self.lists.count_arena.rows[self.lists.used_clusters()]))

    def metadata_bytes(self) -> dict[str, int]:
        """Return the bytes of each structure by its kernel name: the static ones whole, the tables of live clusters."""
        lists = self.lists
        info = lists.count_arena, lists.order_arena, lists.state_arena
        return {
            "allocated": self.allocated.rows.nbytes,
            "bad_map": self.bad_map.rows.nbytes,
            "swap_table": self.live_clusters * SWAPFILE_CLUSTER * self.rmap.dtype.itemsize,
            "swap_cluster_info": sum(arena.rows.nbytes for arena in info),
        }

    # -- rmap ----------------------------------------------------------------------------------------------------

    def rmap_set(self, offset: int, entry: int, nr: int = 1) -> None:
        """``vswap_rmap_set``: slots `offset` + i serve `entry` + i, for i below `nr`; entry 0 clears them [S10]."""
        if nr == 1:
            old = self._rmap[offset]
            if old >> 63:
                self.cache_only_pages -= 1
            if old != entry:  # clearing what is clear must not bring the page of words into being
                self._rmap[offset] = entry
            return
        words = self.rmap.rows[offset : offset + nr]
        if self.cache_only_pages:
            self.cache_only_pages -= int(np.count_nonzero(words >> _TOP))
        if entry:
            words[:] = np.arange(entry, entry + nr, dtype=np.uint64)
        elif words.any():
            words[:] = 0

    def rmap_get(self, offset: int) -> int:
        """Return the entry that a slot serves, or 0; the cache-only bit is masked off."""
        return self._rmap[offset] & _ENTRY_MASK

    def rmap_mark_cache_only(self, offset: int) -> None:
        """``swap_rmap_mark_cache_only``: the swap count is 0, the swap cache alone keeps the slot [S12]."""
        word = self._rmap[offset]
        if not word >> 63:
            self._rmap[offset] = word | RMAP_CACHE_ONLY
            self.cache_only_pages += 1

    def rmap_clear_cache_only(self, offset: int) -> None:
        """``swap_rmap_clear_cache_only``: the slot is referred to again [S12]."""
        word = self._rmap[offset]
        if word >> 63:
            self._rmap[offset] = word & _ENTRY_MASK
            self.cache_only_pages -= 1

    def rmap_is_cache_only(self, offset: int) -> bool:
        """Tell whether the swap cache alone keeps a slot."""
        return bool(self._rmap[offset] >> 63)

    def rmap_set_many(self, offsets: U64, entries: U64) -> None:
        """Array form of `rmap_set`: distinct slots `offsets[i]` serve `entries[i]` (uint64), or 0 clears."""
        at = offsets.view(np.int64)
        if self.cache_only_pages:
            self.cache_only_pages -= int(np.count_nonzero(self.rmap.rows[at] >> _TOP))
        self.rmap.rows[at] = entries

    def rmap_get_many(self, offsets: U64) -> U64:
        """Array form of `rmap_get` (uint64)."""
        words: U64 = self.rmap.rows[offsets.view(np.int64)] & _ENTRY
        return words

    def rmap_mark_cache_only_many(self, offsets: U64) -> None:
        """Array form of `rmap_mark_cache_only`, for distinct slots."""
        at = offsets.view(np.int64)
        words = self.rmap.rows[at]
        self.cache_only_pages += len(at) - int(np.count_nonzero(words >> _TOP))
        self.rmap.rows[at] = words | _FLAG

    def rmap_clear_cache_only_many(self, offsets: U64) -> None:
        """Array form of `rmap_clear_cache_only`, for distinct slots."""
        at = offsets.view(np.int64)
        words = self.rmap.rows[at]
        self.cache_only_pages -= int(np.count_nonzero(words >> _TOP))
        self.rmap.rows[at] = words & _ENTRY

    # -- bits of one cluster -------------------------------------------------------------------------------------

    def _busy_bits(self, cluster: int) -> int:
        """Return the slots of a cluster that are allocated or bad, as a number: bit i is slot i."""
        at = cluster * SWAPFILE_CLUSTER >> 3
        end = at + (SWAPFILE_CLUSTER >> 3)
        taken = int.from_bytes(self._allocated_bytes[at:end], "little")
        return taken | int.from_bytes(self._bad_bytes[at:end], "little")

    def _cache_only_bits(self, cluster: int) -> int:
        """Return the cache-only slots of a cluster, as a number."""
        base = cluster << SWAPFILE_CLUSTER_SHIFT
        flags = self.rmap.rows[base : base + SWAPFILE_CLUSTER] >> _TOP
        return int.from_bytes(np.packbits(flags.astype(np.bool_), bitorder="little").tobytes(), "little")

    def _change_bits(self, offset: int, nr: int) -> None:
        """Flip the allocated bits of `nr` slots of one cluster."""
        end = offset + nr
        while offset < end:
            within = offset & _WORD_MASK
            here = min(64 - within, end - offset)
            self._allocated[offset >> _WORD_SHIFT] ^= (1 << here) - 1 << within
            offset += here

    def _all_allocated(self, offset: int, nr: int) -> bool:
        cluster, within = offset >> SWAPFILE_CLUSTER_SHIFT, offset & SWAPFILE_CLUSTER_MASK
        at = cluster * SWAPFILE_CLUSTER >> 3
        bits = int.from_bytes(self._allocated_bytes[at : at + (SWAPFILE_CLUSTER >> 3)], "little") >> within
        mask = (1 << nr) - 1
        return bits & mask == mask
