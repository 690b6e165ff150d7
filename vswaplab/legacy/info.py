"""What Linux 6.19 keeps for each slot of a device, in arrays made at swapon and let go at swapoff [S12 S21 S23].

| array | bytes a slot | made |
|---|---|---|
| `swap_map` | 1 | whole, at swapon; continuation pages beyond a count of 62 |
| `swap_cgroup` | 2 | whole, at swapon |
| `zeromap` | 1/8 | whole, at swapon |
| `swap_table` | 8 | a page of 512 words with the first slot taken in a cluster, gone with the last |
| `zswap_tree` | nodes of 576 bytes for 64 slots | with the slots that zswap stores |

The arrays are reserved whole and touched lazily, so a device of any size costs what is used of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vswaplab.arena import Arena
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, SWAPFILE_CLUSTER_SHIFT
from vswaplab.backends.swapfile import SwapFile
from vswaplab.entry import U64, Backing, swp_entry_t, swp_slot_t
from vswaplab.legacy.swap_map import SwapMap
from vswaplab.legacy.zswap_tree import ZswapTrees
from vswaplab.protocols import FolioLike

__all__ = ["LegacyEntry", "LegacyInfo"]

_WORD_SHIFT, _WORD_MASK = 6, 63


@dataclass(frozen=True)
class LegacyEntry:
    """What is known of a slot at one moment. The fields are those of the virtual design's `Descriptor`."""

    entry: swp_entry_t
    type: Backing
    """Where the contents are. Linux 6.19 keeps no such field: it asks the zeromap, zswap and the swap cache in turn."""
    swap_count: int
    in_swapcache: bool
    memcgid: int
    slot: swp_slot_t
    """The physical slot, whatever has the contents: the entry is its number."""
    zswap_entry: int | None
    """zswap entry, if the slot's tree has one."""
    swap_cache: FolioLike | None
    """Folio in the swap cache."""
    shadow: int
    """Shadow left by the folio that was here last, or 0."""


class LegacyInfo:
    """The arrays of one device. C type: the fields of ``struct swap_info_struct`` beside those of the allocator."""

    def __init__(self, si: SwapFile) -> None:
        """Reserve the arrays; NoMemory (-ENOMEM) when there is no address space for them."""
        self.si = si
        bad = np.flatnonzero(np.unpackbits(si.bad_map.rows.view(np.uint8), bitorder="little")[: si.max])
        self.swap_map = SwapMap(si.max, bad.tolist())
        self.swap_cgroup = Arena("<u2", si.max)
        self.zeromap = Arena("<u8", -(-si.max >> _WORD_SHIFT))
        self.swap_table = Arena("<u8", si.nr_clusters << SWAPFILE_CLUSTER_SHIFT)
        self.zswap_tree = ZswapTrees(si.max)
        self.unwritten = Arena("u1", si.max)
        """1 for a slot whose contents exist in memory alone. The model's own note, no array of the kernel's."""
        self.cgroup = memoryview(self.swap_cgroup.rows)
        self.table = memoryview(self.swap_table.rows)
        self.only_in_memory = memoryview(self.unwritten.rows)
        self._zero = memoryview(self.zeromap.rows)

    # -- zeromap -------------------------------------------------------------------------------------------------

    def is_zero(self, offset: int) -> bool:
        """Whether the slot's page holds only zeros, so that neither zswap nor the device has it."""
        return bool(self._zero[offset >> _WORD_SHIFT] >> (offset & _WORD_MASK) & 1)

    def zeromap_set(self, offset: int) -> None:
        """Mark the slot's page as zero-filled."""
        self._zero[offset >> _WORD_SHIFT] |= 1 << (offset & _WORD_MASK)

    def zeromap_clear(self, offset: int) -> None:
        """Take the mark back; what was never marked is not written to."""
        if self.is_zero(offset):
            self._zero[offset >> _WORD_SHIFT] ^= 1 << (offset & _WORD_MASK)

    def is_zero_many(self, offsets: U64) -> U64:
        """Array form of `is_zero` (uint64, 0 or 1)."""
        words: U64 = self.zeromap.rows[(offsets >> np.uint64(_WORD_SHIFT)).view(np.int64)]
        return words >> (offsets & np.uint64(_WORD_MASK)) & np.uint64(1)

    def zeromap_set_many(self, offsets: U64) -> None:
        """Array form of `zeromap_set`."""
        bits = np.left_shift(np.uint64(1), offsets & np.uint64(_WORD_MASK))
        np.bitwise_or.at(self.zeromap.rows, (offsets >> np.uint64(_WORD_SHIFT)).view(np.int64), bits)

    def zeromap_clear_many(self, offsets: U64) -> None:
        """Array form of `zeromap_clear`."""
        marked = offsets[self.is_zero_many(offsets) != 0]
        bits = np.left_shift(np.uint64(1), marked & np.uint64(_WORD_MASK))
        np.bitwise_and.at(self.zeromap.rows, (marked >> np.uint64(_WORD_SHIFT)).view(np.int64), ~bits)

    # -- swap table ----------------------------------------------------------------------------------------------

    def set_word(self, offset: int, word: int) -> None:
        """Set the swap table word of a slot: 0, a folio's pointer, or a shadow; what is 0 already is not touched."""
        if self.table[offset] != word:
            self.table[offset] = word

    def release_empty(self, clusters: list[int]) -> None:
        """Give back the tables of those clusters that have become empty."""
        for cluster in clusters:
            if not self.si.lists.count[cluster]:
                self.swap_table.release(cluster << SWAPFILE_CLUSTER_SHIFT, SWAPFILE_CLUSTER)
