"""The 24 bytes: `swp_desc`, one for each virtual slot [S3 S10].

| offset | field | meaning |
|---|---|---|
| 0 (8) | `slot` / `zswap_entry` | union: the handle of what backs the slot; 0 is none |
| 8 (8) | `swap_cache` / `shadow` | union: the folio, or (low bit set) its shadow; for FOLIO it *is* the backing |
| 16 (4) | `swap_count` | page table entries (and shmem entries) that refer to the slot |
| 20 (2) | `memcgid` | memory cgroup that owns the contents, 0 for none |
| 22 (2) | `flags` | bit 0 `in_swapcache`, bits 1-2 `type`; together with `memcgid` the kernel's bit-fields |

The structs live in one `Arena`; cluster `c` is rows `512 c` to `512 c + 511`, 12,288 bytes, three pages of memory.
Array forms work on the columns of `DescriptorArena.rows`, scalar forms on memory views of the same columns, which
read a field several times faster than numpy does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.arena import Arena
from vswaplab.entry import VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE, Backing, swp_entry_t, swp_slot_t
from vswaplab.protocols import FolioLike

__all__ = [
    "DESCRIPTOR_DTYPE",
    "IN_SWAPCACHE",
    "TYPE_FOLIO",
    "TYPE_MASK",
    "TYPE_SHIFT",
    "TYPE_SWAPFILE",
    "TYPE_ZERO",
    "TYPE_ZSWAP",
    "Descriptor",
    "DescriptorArena",
]

DESCRIPTOR_DTYPE = np.dtype(
    {
        "names": ["slot", "zswap_entry", "swap_cache", "shadow", "swap_count", "memcgid", "flags"],
        "formats": ["<u8", "<u8", "<u8", "<u8", "<u4", "<u2", "<u2"],
        "offsets": [0, 0, 8, 8, 16, 20, 22],
        "itemsize": 24,
    }
)
"""`struct swp_desc`: 24 bytes, unions as overlapping fields."""

IN_SWAPCACHE = 1
TYPE_SHIFT = 1
TYPE_MASK = 3 << TYPE_SHIFT
TYPE_SWAPFILE = Backing.SWAPFILE << TYPE_SHIFT
TYPE_ZERO = Backing.ZERO << TYPE_SHIFT
TYPE_ZSWAP = Backing.ZSWAP << TYPE_SHIFT
TYPE_FOLIO = Backing.FOLIO << TYPE_SHIFT


@dataclass(frozen=True)
class Descriptor:
    """A descriptor as read at one moment, its unions resolved."""

    entry: swp_entry_t
    type: Backing
    swap_count: int
    in_swapcache: bool
    memcgid: int
    slot: swp_slot_t | None
    """Physical slot, if the type is SWAPFILE."""
    zswap_entry: int | None
    """zswap entry, if the type is ZSWAP."""
    swap_cache: FolioLike | None
    """Folio in the swap cache."""
    shadow: int
    """Shadow left by the folio that was here last, or 0."""


def _view(column: Any) -> memoryview:
    return memoryview(column)


class DescriptorArena:
    """All descriptors, and a memory view of each field. Grows by doubling; rows never move within the arena."""

    def __init__(self, clusters: int = 1 << 15) -> None:
        self.capacity = 0
        self._map(clusters)

    def _map(self, clusters: int) -> None:
        old = self.rows if self.capacity else None
        self._arena: Arena = Arena(DESCRIPTOR_DTYPE, clusters << VSWAP_CLUSTER_SHIFT)
        self.capacity = clusters
        self.rows: npt.NDArray[Any] = self._arena.rows
        rows = self.rows
        self.handle = _view(rows["slot"])
        self.cache = _view(rows["swap_cache"])
        self.count = _view(rows["swap_count"])
        self.memcgid = _view(rows["memcgid"])
        self.flags = _view(rows["flags"])
        if old is not None:
            self._copy_live(old)

    def _copy_live(self, old: npt.NDArray[Any]) -> None:
        # Cluster by cluster, so that rows never written stay without memory.
        for first in range(0, len(old), VSWAP_CLUSTER_SIZE):
            rows = old[first : first + VSWAP_CLUSTER_SIZE]
            if rows["flags"].any():
                self.rows[first : first + VSWAP_CLUSTER_SIZE] = rows

    def resident_bytes(self) -> int:
        """Return the memory that descriptors take now: 12,288 bytes a live cluster."""
        return self._arena.resident_bytes()

    def ensure(self, cluster_id: int) -> None:
        """Make room for the descriptors of a cluster."""
        if cluster_id >= self.capacity:
            self._map(max(2 * self.capacity, cluster_id + 1))

    def release(self, cluster_id: int, clusters: int = 1) -> None:
        """Give back (and zero) the descriptors of clusters from `cluster_id` on."""
        self._arena.release(cluster_id << VSWAP_CLUSTER_SHIFT, clusters << VSWAP_CLUSTER_SHIFT)
