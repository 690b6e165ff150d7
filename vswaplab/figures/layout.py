"""Layout: where everything stands in the slot graph, the same at every step.

What may appear in the picture, the `Universe`, is known beforehand: it is read off one state, or off a whole trace.
Each page table entry, virtual slot, backing and frame has one place, so nothing jumps while you step, and contents that
move from zswap to the swapfile are seen to do so.

Columns from the left: page table entries by process, virtual slots by cluster, and the backings; page frames are a band
below, which both the present page table entries and the swap cache reach. In the legacy design page table entries hold
slots of a swapfile, so these are the second column, zswap and the zero page the third, and the fourth is the blocks of
the device: each slot's compressed page and its block stand in the slot's own row.

Up to 40 things a column stand in rows with their labels beside them; up to 64 in a few rows' columns with short labels;
more in a grid of cells without labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vswaplab.entry import Backing, swp_entry_t, swp_slot_t
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event
from vswaplab.observe.graph import folio_pfn
from vswaplab.observe.state import PteKey, State
from vswaplab.observe.tracepoints import Trace

__all__ = ["WIDTH", "Block", "Place", "SlotLayout", "Universe"]

WIDTH = 960
"""Width of the drawing in its own units, pixels at full size."""

_ROWS, _LABELLED = 40, 64
_TOP = 34  # room for a block's heading
_GAP = 14


@dataclass(frozen=True)
class Universe:
    """All that a figure must have a place for, each list in its order of drawing."""

    ptes: tuple[PteKey, ...]
    entries: tuple[int, ...]
    zswapped: tuple[int, ...]
    """Entries that zswap backs at some time."""
    zero: bool
    slots: tuple[swp_slot_t, ...]
    """Physical slots that back an entry at some time."""
    pfns: tuple[int, ...]
    design: str = "virtual"
    """Legacy: entries are slots, so `slots` are the same ones."""

    @property
    def size(self) -> int:
        """Things in the fullest column."""
        return max(len(self.ptes), len(self.entries), len(self.pfns), 1)

    @classmethod
    def of_states(cls, states: Iterable[State]) -> Universe:
        """Return what occurs in any of some states."""
        ptes: set[PteKey] = set()
        entries: set[int] = set()
        zswapped: set[int] = set()
        slots: set[swp_slot_t] = set()
        pfns: set[int] = set()
        zero, design = False, "virtual"
        for state in states:
            design = state.design
            ptes |= state.ptes.keys()
            entries |= state.slots.keys() | {pte.entry for pte in state.ptes.values() if pte.entry}
            pfns |= {pte.pfn for pte in state.ptes.values() if pte.present}
            for entry, slot in state.slots.items():
                if slot.folio:
                    pfns.add(folio_pfn(slot.folio))
                if slot.slot is not None:
                    slots.add(slot.slot)
                if slot.backing is Backing.ZSWAP:
                    zswapped.add(entry)
                zero |= slot.backing is Backing.ZERO
        if design == "legacy":
            slots = {swp_slot_t(entry) for entry in entries}
        return cls(
            tuple(sorted(ptes)),
            tuple(sorted(entries)),
            tuple(sorted(zswapped)),
            zero,
            tuple(sorted(slots)),
            tuple(sorted(pfns)),
            design,
        )

    @classmethod
    def of_trace(cls, trace: Trace) -> Universe:
        """Return what occurs at any step that a trace keeps."""
        at_first = cls.of_states([trace.step(trace.first - 1)])
        log = trace.records()
        event = log["event"]
        mapped, swapped = event == Event.PTE_MAP, event == Event.PTE_SWAP
        held = log[mapped | swapped]
        backed = log[event == Event.BACKING]
        cached = log["value"][(event == Event.CACHE_ADD) & (log["value"] > 0)]
        ptes = set(zip(held["pid"].tolist(), held["vpn"].tolist(), strict=True))
        entries = set(log["entry"][(event == Event.ALLOC) | swapped].tolist()) - {0}
        slots = {swp_slot_t(slot) for slot in backed["slot"][backed["new"] == Backing.SWAPFILE].tolist()}
        if trace.design == "legacy":
            slots = {swp_slot_t(entry) for entry in entries}
        pfns = set(log["value"][mapped].tolist()) | {folio_pfn(pointer) for pointer in set(cached.tolist())}
        zswapped = set(backed["entry"][backed["new"] == Backing.ZSWAP].tolist())
        return cls(
            tuple(sorted(ptes.union(at_first.ptes))),
            tuple(sorted(entries.union(at_first.entries))),
            tuple(sorted(zswapped.union(at_first.zswapped))),
            at_first.zero or bool(np.any(backed["new"] == Backing.ZERO)),
            tuple(sorted(slots.union(at_first.slots))),
            tuple(sorted(pfns.union(at_first.pfns))),
            trace.design,
        )

    def select(
        self, ptes: Iterable[PteKey], entries: Iterable[int], slots: Iterable[int], pfns: Iterable[int], zero: bool
    ) -> Universe:
        """Return the part that concerns some page table entries, virtual slots, physical slots and frames."""
        keys, numbers, physical, frames = set(ptes), set(entries), set(slots), set(pfns)
        if self.design == "legacy":
            physical = numbers
        return Universe(
            tuple(key for key in self.ptes if key in keys),
            tuple(entry for entry in self.entries if entry in numbers),
            tuple(entry for entry in self.zswapped if entry in numbers),
            zero,
            tuple(slot for slot in self.slots if slot in physical),
            tuple(pfn for pfn in self.pfns if pfn in frames),
            self.design,
        )


@dataclass(frozen=True)
class Place:
    """Where something stands; `out` is where an edge leaves to the right, past the label."""

    x: float
    y: float
    out: float


@dataclass
class Block:
    """A heading and the places under it."""

    kind: str
    """ "pte", "vslot", "zswap", "zero", "swapfile" or "folio"; in legacy "slot" and "block" for the 2nd and 4th."""
    name: int
    """Pid, cluster id or device type; 0 where there is but one."""
    x: float
    y: float
    side: str
    """Where the heading stands: "over" the places; "end": over them, ending at x; "left": beside them, ending at x."""
    places: dict[Any, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class _Cells:
    """How one figure lays its cells out."""

    across: int
    width: float
    height: float
    label: float
    """Room for a label beside the mark; 0: none is shown."""
    font: int = 10


class SlotLayout:
    """Places for everything in a `Universe`; see `place`."""

    def __init__(self, universe: Universe, max_nodes: int = 2048) -> None:
        if universe.size > max_nodes:
            raise InvalidArgument(
                f"The figure would have {universe.size:,} things in a column, more than max_nodes={max_nodes:,}; "
                "choose a process (pid=) or an entry (entry=), or raise max_nodes."
            )
        self.universe = universe
        self.blocks: list[Block] = []
        self._cells = _cells_for(universe)
        self.labelled = self._cells.label > 0
        self.full_labels = self._cells.across == 1
        """Whether labels are whole addresses and names rather than short forms."""
        self.font = self._cells.font
        self.mark = min(13.0, 0.72 * min(self._cells.height, self._cells.width))
        self.design = universe.design
        if self.design == "legacy":
            left, middle, right, last = (204, 366, 580, 796) if self.full_labels else (48, 282, 516, 750)
            bottom = max(self._ptes(left), self._legacy_columns(middle, right, last))
        else:
            left, middle, right = (210, 410, 700) if self.full_labels else (66, 372, 678)
            bottom = max(self._ptes(left), self._slots(middle), self._backings(right))
        self.height = self._frames(left, bottom + _GAP) + _GAP
        self._places = {key: place for block in self.blocks for key, place in block.places.items()}

    def place(self, key: tuple[Any, ...]) -> Place:
        """Return the place of a node of the graph; a zswap entry has that of ``("zswap", entry)``."""
        if key[0] == "folio" and key not in self._places:
            # write-back's page, and the tail pages of a folio that was never mapped, share the last place
            return list(self.blocks[-1].places.values())[-1]
        return self._places[key]

    # -- columns -------------------------------------------------------------------------------------------------

    def _block(
        self,
        kind: str,
        name: int,
        keys: Sequence[tuple[Any, ...]],
        x: float,
        y: float,
        cells: _Cells | None = None,
        side: str = "over",
    ) -> float:
        """Place one block with its top left corner at (x, y) and return its bottom edge, with the gap after it.

        A key that is empty leaves its place free.
        """
        cells, block = cells or self._cells, Block(kind, name, x, y, side)
        top = y + (0 if side == "left" else _TOP)
        for rank, key in enumerate(keys):
            if not key:
                continue
            at_x = x + (rank % cells.across + 0.5) * cells.width if cells.across > 1 else x
            at_y = top + (rank // cells.across + 0.5) * cells.height
            block.places[key] = Place(at_x, at_y, at_x + cells.label)
        self.blocks.append(block)
        return top + -(-len(keys) // cells.across) * cells.height + _GAP

    def _ptes(self, x: float) -> float:
        bottom = 0.0
        # an address stands to the left of its mark when there is room for it
        cells = replace(self._cells, label=0.0) if self.full_labels else self._cells
        side = "end" if self.full_labels else "over"
        for pid in sorted({pid for pid, _ in self.universe.ptes}):
            keys = [("pte", *key) for key in self.universe.ptes if key[0] == pid]
            bottom = self._block("pte", pid, keys, x, bottom, cells, side)
        return bottom

    def _slots(self, x: float) -> float:
        bottom = 0.0
        for cluster in sorted({swp_entry_t(entry).cluster for entry in self.universe.entries}):
            keys = [("vslot", entry) for entry in self.universe.entries if swp_entry_t(entry).cluster == cluster]
            bottom = self._block("vslot", cluster, keys, x, bottom)
        return bottom

    def _backings(self, x: float) -> float:
        universe, bottom = self.universe, 0.0
        if universe.zswapped:
            bottom = self._block("zswap", 0, [("zswap", entry) for entry in universe.zswapped], x, bottom)
        if universe.zero:
            bottom = self._block("zero", 0, [("zero",)], x, bottom)
        for kind in sorted({slot.type for slot in universe.slots}):
            keys = [("swapfile", slot.type, slot.offset) for slot in universe.slots if slot.type == kind]
            bottom = self._block("swapfile", kind, keys, x, bottom)
        return bottom

    def _legacy_columns(self, middle: float, right: float, last: float) -> float:
        """Place slots, what zswap has of them, and the device's blocks: all three of a slot at the same height."""
        universe, bottom = self.universe, 0.0
        zswapped = set(universe.zswapped)
        for kind in sorted({slot.type for slot in universe.slots}):
            slots = [slot for slot in universe.slots if slot.type == kind]
            packed = [("zswap", int(slot)) if slot in zswapped else () for slot in slots]
            top = bottom
            bottom = self._block("slot", kind, [("slot", slot.type, slot.offset) for slot in slots], middle, top)
            if any(packed):
                self._block("zswap", kind, packed, right, top)
            self._block("block", kind, [("block", slot.type, slot.offset) for slot in slots], last, top)
        if universe.zero:
            bottom = self._block("zero", 0, [("zero",)], right, bottom)
        return bottom

    def _frames(self, x: float, y: float) -> float:
        keys: list[tuple[Any, ...]] = [("folio", pfn) for pfn in self.universe.pfns if pfn >= 0]
        if len(keys) < len(self.universe.pfns) or not keys:
            keys.append(("folio", -1))
        wide = replace(self._cells, width=92, height=24) if self.full_labels else self._cells
        wide = replace(wide, across=int((WIDTH - x) // wide.width))
        return self._block("folio", 0, keys, x, y, wide, "left" if self.full_labels else "over") - _GAP


def _cells_for(universe: Universe) -> _Cells:
    size = universe.size
    width = 240 if universe.design == "virtual" else 180  # three columns side by side, or four
    if size <= _ROWS:
        height = max(14.0, min(26.0, 620 / size))
        shown = [slot.offset for slot in universe.slots] if universe.design == "legacy" else universe.entries
        digits = len(str(max(shown, default=0)))
        return _Cells(1, height, height, 40 + 7 * digits, 12 if height > 18 else 10)
    if size <= _LABELLED:
        return _Cells(width // 60, 62, 22, 40)
    side = next(side for side in (15, 12, 9, 7) if size * side * side <= width * 480 or side == 7)
    return _Cells(width // side, side, side, 0)
