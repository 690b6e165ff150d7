"""Page tables: four levels of 512 entries, as on x86-64 [BACKGROUND].

The three upper levels (PGD, PUD, PMD) keep those of their 512 entries that are in use; the leaves are numpy arrays of
512 64-bit PTEs, so that a walk over a whole address space runs at the speed of arrays. One leaf is read and written
through a memoryview, which is three times faster than an array for a single PTE. A table exists exactly as long as it
holds something; every mapping ends in PTEs, the model has no huge PMDs.

>>> table = PageTable()
>>> table.set(0x12345, 7)
>>> table.get(0x12345), table.nr_tables
(7, 4)
>>> table.set(0x12345, 0)
>>> table.nr_tables
1
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vswaplab.entry import PTE_PRESENT, U64
from vswaplab.errors import InvalidArgument
from vswaplab.units import PAGE_SHIFT

__all__ = ["PTRS_PER_TABLE", "TABLE_SHIFT", "VPN_BITS", "PageTable", "maps_frame"]

TABLE_SHIFT = 9
PTRS_PER_TABLE = 1 << TABLE_SHIFT
"""Entries in a table of any level: 512 of 8 bytes, one page."""
_MASK = PTRS_PER_TABLE - 1
_LEVELS = 4
VPN_BITS = _LEVELS * TABLE_SHIFT
"""Bits of a virtual page number: 48-bit addresses less the 12 bits within a page."""


def maps_frame(ptes: U64, frame: int) -> npt.NDArray[np.bool_]:
    """Tell for each of an array of PTEs whether it maps a frame."""
    present, frames = ptes & np.uint64(PTE_PRESENT), ptes >> np.uint64(PAGE_SHIFT)
    found: npt.NDArray[np.bool_] = (present != 0) & (frames == np.uint64(frame))
    return found


class _Upper:
    """A table of the three upper levels: index to the table below."""

    __slots__ = ("slots",)

    def __init__(self) -> None:
        self.slots: dict[int, _Upper | _Leaf] = {}


class _Leaf:
    """A table of PTEs: one storage, seen as an array and as a memoryview."""

    __slots__ = ("ptes", "used", "view")

    def __init__(self) -> None:
        self.ptes: U64 = np.zeros(PTRS_PER_TABLE, np.uint64)
        self.view = memoryview(self.ptes)
        self.used = 0


class PageTable:
    """Maps virtual page numbers to PTEs (64-bit integers, 0: none)."""

    def __init__(self) -> None:
        self._root = _Upper()
        self._last: tuple[int, _Leaf] | None = None
        self.nr_tables = 1
        """Tables of all levels, the root included; each is a page of memory in a real kernel."""

    def get(self, vpn: int) -> int:
        """Return the PTE of a page, 0 if there is none."""
        last = self._last
        if last is not None and last[0] == vpn >> TABLE_SHIFT:
            return int(last[1].view[vpn & _MASK])
        leaf = self._find(vpn)
        return int(leaf.view[vpn & _MASK]) if leaf is not None else 0

    def set(self, vpn: int, pte: int) -> None:
        """Set the PTE of a page; tables come and go as needed."""
        last = self._last
        if last is not None and last[0] == vpn >> TABLE_SHIFT:
            leaf: _Leaf | None = last[1]
        else:
            leaf = self._make(vpn) if pte else self._find(vpn)
        if leaf is None:
            return
        index = vpn & _MASK
        had = leaf.view[index]
        leaf.view[index] = pte
        if pte:
            leaf.used += not had
        elif had:
            leaf.used -= 1
            if leaf.used == 0:
                self._drop(vpn)

    def get_range(self, vpn: int, nr: int) -> U64:
        """Return a copy of `nr` PTEs from `vpn` on (uint64)."""
        out = np.zeros(nr, np.uint64)
        for base, ptes in self.leaves(vpn, vpn + nr):
            first, end = max(base, vpn), min(base + PTRS_PER_TABLE, vpn + nr)
            out[first - vpn : end - vpn] = ptes[first - base : end - base]
        return out

    def walk(self, start: int = 0, end: int = 1 << VPN_BITS, leave_out: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (virtual page number, PTE) of every PTE that is not empty, in address order.

        The PTEs of a leaf are read when the walk gets to it: the loop may change those it was given. PTEs that map the
        frame `leave_out` are passed over.
        """
        for base, ptes in self.leaves(start, end):
            first, stop = max(base, start) - base, min(base + PTRS_PER_TABLE, end) - base
            held = first + np.flatnonzero(ptes[first:stop])
            if leave_out is not None:
                held = held[~maps_frame(ptes[held], leave_out)]
            yield from zip((held + base).tolist(), ptes[held].tolist(), strict=True)

    def fill(self, vpn: int, nr: int, pte: int) -> Iterator[npt.NDArray[np.int64]]:
        """Set those of `nr` PTEs from `vpn` on that are empty; yield their page numbers, a leaf at a time (int64)."""
        at = vpn
        while at < vpn + nr:
            leaf, first = self._make(at), at & _MASK
            stop = min(PTRS_PER_TABLE, first + vpn + nr - at)
            empty = first + np.flatnonzero(leaf.ptes[first:stop] == 0)
            leaf.ptes[empty] = pte
            leaf.used += len(empty)
            if len(empty):
                yield empty + (at - first)
            at += stop - first

    def clear_frame(self, start: int, end: int, frame: int) -> Iterator[npt.NDArray[np.int64]]:
        """Empty the PTEs of a range that map a frame; yield their page numbers, a leaf at a time (int64)."""
        for base, ptes in list(self.leaves(start, end)):
            first, stop = max(base, start) - base, min(base + PTRS_PER_TABLE, end) - base
            found = first + np.flatnonzero(maps_frame(ptes[first:stop], frame))
            if not len(found):
                continue
            leaf = self._find(base)
            assert leaf is not None
            ptes[found] = 0
            leaf.used -= len(found)
            if not leaf.used:
                self._drop(base)
            yield found + base

    def copy_frame(self, other: PageTable, frame: int) -> Iterator[npt.NDArray[np.int64]]:
        """Copy the PTEs of another table that map a frame; yield their page numbers, a leaf at a time (int64)."""
        for base, ptes in other.leaves():
            found = np.flatnonzero(maps_frame(ptes, frame))
            if not len(found):
                continue
            leaf = self._make(base)
            leaf.used += len(found) - int(np.count_nonzero(leaf.ptes[found]))
            leaf.ptes[found] = ptes[found]
            yield found + base

    def leaves(self, start: int = 0, end: int = 1 << VPN_BITS) -> Iterator[tuple[int, U64]]:
        """Yield (first virtual page number, the 512 PTEs themselves) of each leaf that overlaps the range, in order."""
        return ((base, ptes) for base, ptes in self.tables(start, end) if ptes is not None)

    def tables(self, start: int = 0, end: int = 1 << VPN_BITS) -> Iterator[tuple[int, U64 | None]]:
        """Yield (first virtual page number, PTEs or None) of each table that a walk of the range looks into, in order.

        A table of the upper levels comes before those below it, with None; a leaf with its 512 PTEs themselves.
        """
        yield from self._tables(self._root, _LEVELS - 1, 0, start, end)

    def _tables(self, table: _Upper, level: int, base: int, start: int, end: int) -> Iterator[tuple[int, U64 | None]]:
        yield base, None
        shift = level * TABLE_SHIFT
        first, stop = start - base >> shift, -(-(end - base) >> shift)
        for index in sorted(table.slots):
            if not first <= index < stop:
                continue
            below = table.slots.get(index)
            if isinstance(below, _Leaf):
                yield base + (index << shift), below.ptes
            elif below is not None:  # it may have gone since the walk came to this table
                yield from self._tables(below, level - 1, base + (index << shift), start, end)

    def _find(self, vpn: int) -> _Leaf | None:
        node: _Upper | _Leaf | None = self._root
        for shift in (27, 18, 9):
            if not isinstance(node, _Upper):
                return None
            node = node.slots.get(vpn >> shift & _MASK)
        if not isinstance(node, _Leaf):
            return None
        self._last = (vpn >> TABLE_SHIFT, node)
        return node

    def _make(self, vpn: int) -> _Leaf:
        if not 0 <= vpn < 1 << VPN_BITS:
            raise InvalidArgument(f"Page number {vpn:#x} is beyond {VPN_BITS + PAGE_SHIFT}-bit addresses.")
        node = self._root
        for shift in (27, 18):
            below = node.slots.get(vpn >> shift & _MASK)
            if below is None:
                below = self._add(node, vpn >> shift & _MASK, _Upper())
            assert isinstance(below, _Upper)
            node = below
        leaf = node.slots.get(vpn >> TABLE_SHIFT & _MASK)
        if leaf is None:
            leaf = self._add(node, vpn >> TABLE_SHIFT & _MASK, _Leaf())
        assert isinstance(leaf, _Leaf)
        self._last = (vpn >> TABLE_SHIFT, leaf)
        return leaf

    def _add(self, parent: _Upper, index: int, table: _Upper | _Leaf) -> _Upper | _Leaf:
        parent.slots[index] = table
        self.nr_tables += 1
        return table

    def _drop(self, vpn: int) -> None:
        """Free the empty leaf of `vpn` and the upper tables that this empties; the root stays."""
        self._last = None
        path = [self._root]
        for shift in (27, 18):
            below = path[-1].slots[vpn >> shift & _MASK]
            assert isinstance(below, _Upper)
            path.append(below)
        for table, shift in zip(reversed(path), (9, 18, 27), strict=True):
            del table.slots[vpn >> shift & _MASK]
            self.nr_tables -= 1
            if table.slots:
                return
