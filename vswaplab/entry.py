"""Entries and slots: the numbers a page table, a descriptor and a swapfile keep.

`swp_entry_t` is what a PTE stores for a page that is out. In the virtual design it is a *virtual* slot: cluster id and
index, no device. `swp_slot_t` is a *physical* slot: device (type) and offset; it exists only in the virtual design, the
legacy design puts the same bits straight into the PTE. Both are plain integers with named parts, so they cost nothing
in an array.

>>> entry = make_entry(cluster=3, index=7)
>>> entry, entry.cluster, entry.index
(swp_entry_t(1543), 3, 7)
>>> slot = make_slot(type=1, offset=42)
>>> slot.type, slot.offset
(1, 42)
>>> pte_to_entry(entry_to_pte(entry))
swp_entry_t(1543)

A PTE here is 64 bits laid out as on x86-64: bit 0 present, bit 1 writable, bit 5 accessed, bit 6 dirty, the frame
from bit 12. A non-present PTE holds type and offset from bits 59 and 9 [BACKGROUND: x86-64 stores the offset inverted
against speculative reads; the model does not].
"""

from __future__ import annotations

from enum import IntEnum
from typing import overload

import numpy as np
import numpy.typing as npt

__all__ = [
    "Backing",
    "MAX_SWAPFILES",
    "MAX_VSWAP",
    "PTE_ACCESSED",
    "PTE_DIRTY",
    "PTE_POISON",
    "PTE_PRESENT",
    "PTE_WRITE",
    "SLOT_OFFSET_BITS",
    "SLOT_OFFSET_MASK",
    "STRUCT_PAGE_SIZE",
    "U64",
    "VMEMMAP_START",
    "VSWAP_CLUSTER_MASK",
    "VSWAP_CLUSTER_SHIFT",
    "VSWAP_CLUSTER_SIZE",
    "VSWAP_MAX_CLUSTER_ID",
    "entry_to_pte",
    "frame_to_pte",
    "make_entry",
    "make_slot",
    "pte_to_entry",
    "pte_to_frame",
    "swp_entry_t",
    "swp_slot_t",
]

U64 = npt.NDArray[np.uint64]

VSWAP_CLUSTER_SHIFT = 9
VSWAP_CLUSTER_SIZE = 1 << VSWAP_CLUSTER_SHIFT
"""Slots in a virtual cluster (2 MiB of pages) [S10]."""
VSWAP_CLUSTER_MASK = VSWAP_CLUSTER_SIZE - 1
VSWAP_MAX_CLUSTER_ID = 0xFFFF_FFFF
"""The cluster map hands out 32-bit ids [S10]."""
MAX_VSWAP = (VSWAP_MAX_CLUSTER_ID << VSWAP_CLUSTER_SHIFT) + VSWAP_CLUSTER_MASK
"""Largest virtual slot: 2**41 - 1, 8 PiB of pages [S10]."""

MAX_SWAPFILES = 29
"""Devices that can be on at once: 32 types less those that other non-present entries use [BACKGROUND]."""
SLOT_OFFSET_BITS = 58
SLOT_OFFSET_MASK = (1 << SLOT_OFFSET_BITS) - 1

VMEMMAP_START = 0xFFFF_EA00_0000_0000
"""Where the array of ``struct page`` begins on x86-64 [BACKGROUND]: a folio's pointer lies in it."""
STRUCT_PAGE_SIZE = 64
"""Bytes from the pointer of one page frame to the next."""

PTE_PRESENT = 1 << 0
PTE_WRITE = 1 << 1
PTE_ACCESSED = 1 << 5
PTE_DIRTY = 1 << 6
_PTE_FRAME_SHIFT = 12
_PTE_OFFSET_SHIFT = 9
_PTE_TYPE_SHIFT = 59
PTE_POISON = 31 << _PTE_TYPE_SHIFT | 1 << _PTE_OFFSET_SHIFT
"""What a PTE holds whose page could not be read at swapoff: a marker of a type that no device has. It is no entry; any
access fails [S14]. C names: ``PTE_MARKER_POISONED``, ``make_poisoned_swp_entry``."""
_PTE_OFFSET_MASK = (1 << (_PTE_TYPE_SHIFT - _PTE_OFFSET_SHIFT)) - 1


class Backing(IntEnum):
    """What stands behind a virtual slot now; the kernel's own values [S10]."""

    SWAPFILE = 0
    ZERO = 1
    ZSWAP = 2
    FOLIO = 3


class swp_entry_t(int):
    """What a PTE stores for a swapped page; 0 means none. C type: ``swp_entry_t``."""

    __slots__ = ()

    @property
    def val(self) -> int:
        """The number itself."""
        return int(self)

    @property
    def cluster(self) -> int:
        """Virtual design: id of the cluster that holds the slot."""
        return int(self) >> VSWAP_CLUSTER_SHIFT

    @property
    def index(self) -> int:
        """Virtual design: index within the cluster, 0 to 511."""
        return int(self) & VSWAP_CLUSTER_MASK

    def __repr__(self) -> str:
        return f"swp_entry_t({int(self)})"


class swp_slot_t(int):
    """A physical slot: device and offset; 0 means none (slot 0 is the header). C type: ``swp_slot_t``."""

    __slots__ = ()

    @property
    def val(self) -> int:
        """The number itself."""
        return int(self)

    @property
    def type(self) -> int:
        """Device index, in the order devices were swapped on."""
        return int(self) >> SLOT_OFFSET_BITS

    @property
    def offset(self) -> int:
        """Page number within the device."""
        return int(self) & SLOT_OFFSET_MASK

    def __repr__(self) -> str:
        return f"swp_slot_t(type={self.type}, offset={self.offset})"


def make_entry(cluster: int, index: int) -> swp_entry_t:
    """Return the virtual slot `index` of `cluster`."""
    return swp_entry_t(cluster << VSWAP_CLUSTER_SHIFT | index)


def make_slot(type: int, offset: int) -> swp_slot_t:
    """Return the physical slot `offset` of device `type`."""
    return swp_slot_t(type << SLOT_OFFSET_BITS | offset)


@overload
def entry_to_pte(entry: int) -> int: ...
@overload
def entry_to_pte(entry: U64) -> U64: ...
def entry_to_pte(entry: int | U64) -> int | U64:
    """Return the non-present PTE for an entry, or for an array of them (uint64)."""
    if isinstance(entry, np.ndarray):
        kind, offset = entry >> np.uint64(SLOT_OFFSET_BITS), entry & np.uint64(_PTE_OFFSET_MASK)
        return kind << np.uint64(_PTE_TYPE_SHIFT) | offset << np.uint64(_PTE_OFFSET_SHIFT)
    return entry >> SLOT_OFFSET_BITS << _PTE_TYPE_SHIFT | (entry & _PTE_OFFSET_MASK) << _PTE_OFFSET_SHIFT


@overload
def pte_to_entry(pte: int) -> swp_entry_t: ...
@overload
def pte_to_entry(pte: U64) -> U64: ...
def pte_to_entry(pte: int | U64) -> swp_entry_t | U64:
    """Return the entry in a non-present PTE (0 for an empty one), or the entries in an array of them."""
    if isinstance(pte, np.ndarray):
        offset = pte >> np.uint64(_PTE_OFFSET_SHIFT) & np.uint64(_PTE_OFFSET_MASK)
        return pte >> np.uint64(_PTE_TYPE_SHIFT) << np.uint64(SLOT_OFFSET_BITS) | offset
    return swp_entry_t(pte >> _PTE_TYPE_SHIFT << SLOT_OFFSET_BITS | pte >> _PTE_OFFSET_SHIFT & _PTE_OFFSET_MASK)


def frame_to_pte(frame: int, writable: bool) -> int:
    """Return a present, accessed PTE for a page frame number."""
    return frame << _PTE_FRAME_SHIFT | PTE_ACCESSED | PTE_PRESENT | (PTE_WRITE if writable else 0)


def pte_to_frame(pte: int) -> int:
    """Return the page frame number in a present PTE."""
    return pte >> _PTE_FRAME_SHIFT
