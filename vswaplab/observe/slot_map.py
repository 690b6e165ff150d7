"""Slot map: every slot of a design as one byte, counted by cluster, and all that is known of those in a window.

The map of a swap space has parts: the virtual slots, and the slots of each swapfile; in legacy only the latter. At
scale one looks at the counts (`SlotMap.counts`), which are small however large the space is, and asks for the slots of
a window where one looks closer. Everything is read off the live structures, array by array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, ClusterState
from vswaplab.backends.swap_maps import cluster_bits
from vswaplab.backends.zsmalloc import size_classes
from vswaplab.entry import (
    PTE_POISON,
    PTE_PRESENT,
    SLOT_OFFSET_BITS,
    STRUCT_PAGE_SIZE,
    U64,
    VMEMMAP_START,
    VSWAP_CLUSTER_SIZE,
    Backing,
    pte_to_entry,
)
from vswaplab.errors import InvalidArgument
from vswaplab.strict import whole_number

__all__ = ["ABSENT", "FREE", "LEGACY_FIELDS", "RMAP_FIELDS", "UNUSABLE", "VIRTUAL_FIELDS", "MapPart", "SlotMap"]

FREE, ABSENT, UNUSABLE = 4, 5, 6
"""States beside the four backings: free in a cluster in use, in a cluster that is not, never handed out."""

VIRTUAL_FIELDS = (
    ("slot / zswap_entry", 0, 8),
    ("swap_cache / shadow", 8, 8),
    ("swap_count", 16, 4),
    ("memcgid", 20, 2),
    ("flags", 22, 2),
)
"""The descriptor's fields: name, offset, bytes [S10]."""
LEGACY_FIELDS = (("swap_map", 0, 1), ("swap_cgroup", 1, 2), ("swap table word", 3, 8), ("zeromap bit", 11, 1))
"""What the arrays of a device have for one slot; the bit takes a byte here."""
RMAP_FIELDS = (("rmap word", 0, 8),)
"""What a device keeps of a slot in the virtual design, beside two bits in bitmaps."""

_LEGACY_RECORD = np.dtype([("swap_map", "u1"), ("swap_cgroup", "<u2"), ("word", "<u8"), ("zero", "u1")])
_CHUNK = 1 << 12
"""Clusters looked at in one go."""

U8 = npt.NDArray[np.uint8]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class MapPart:
    """Slots that are numbered in one row."""

    name: str
    kind: str
    """"virtual", "legacy" (slots that page tables hold) or "device" (slots that descriptors name)."""
    slots: int
    first: int
    """Entry, or physical slot, of its slot 0."""
    type: int = -1
    """The device it is on, -1 for the virtual space."""


class SlotMap:
    """Map of a machine's swap, or of a swap space alone, as it is when it is asked."""

    def __init__(self, source: Any) -> None:
        """Take a `Machine` or what its `swap` is; InvalidArgument for anything else."""
        self.machine: Any = source if hasattr(source, "swap") else None
        self.swap: Any = getattr(source, "swap", source)
        if getattr(self.swap, "design", None) not in ("virtual", "legacy"):
            raise InvalidArgument("A slot map is made of a Machine, or of its swap.")
        self.design: str = self.swap.design

    @property
    def parts(self) -> list[MapPart]:
        """The parts, what page tables hold first."""
        found = []
        if self.design == "virtual":
            last = max(self.swap.clusters, default=0)
            found.append(MapPart("virtual slots", "virtual", (last + 1) * VSWAP_CLUSTER_SIZE, 0))
        kind = "legacy" if self.design == "legacy" else "device"
        for si in self.swap.devices:
            slots = si.nr_clusters * SWAPFILE_CLUSTER
            found.append(MapPart(f"swapfile {si.type}", kind, slots, si.slot_base, si.type))
        return found

    # -- every slot ----------------------------------------------------------------------------------------------

    def counts(self, part: MapPart) -> npt.NDArray[np.uint16]:
        """Return how many slots of each cluster are SWAPFILE, ZERO, ZSWAP, FOLIO, free: shape (clusters, 5)."""
        clusters = part.slots // SWAPFILE_CLUSTER
        found = np.zeros((clusters, 5), np.uint16)
        for first in range(0, clusters, _CHUNK):
            states = self._states(part, first, min(_CHUNK, clusters - first))
            for state in range(5):
                found[first : first + len(states), state] = (states == state).sum(axis=1)
        return found

    def states(self, part: MapPart, first: int, nr: int) -> U8:
        """Return the state of `nr` slots from slot `first` of a part on: a `Backing`, FREE, ABSENT or UNUSABLE."""
        first = whole_number(first, "first", 0, part.slots)
        nr = min(whole_number(nr, "nr", 0, 1 << 50), part.slots - first)
        begin = first // SWAPFILE_CLUSTER
        end = -(-(first + nr) // SWAPFILE_CLUSTER)
        at = first - begin * SWAPFILE_CLUSTER
        return self._states(part, begin, end - begin).reshape(-1)[at : at + nr]

    def _states(self, part: MapPart, first: int, nr: int) -> U8:
        """Return the states of whole clusters: shape (nr, 512)."""
        if part.kind == "virtual":
            return self._virtual_states(first, nr)
        si = self.swap.devices[part.type]
        span = slice(first * 8, (first + nr) * 8)  # words of a bitmap
        states = np.full((nr, SWAPFILE_CLUSTER), ABSENT, np.uint8)
        states[si.lists.count_arena.rows[first : first + nr] > 0] = FREE
        used = cluster_bits(si.allocated.rows[span]).reshape(nr, -1)
        states[used] = Backing.SWAPFILE
        if part.kind == "legacy":
            self._legacy_backings(states, used, part, first)
        states[cluster_bits(si.bad_map.rows[span]).reshape(nr, -1)] = UNUSABLE
        return states

    def _virtual_states(self, first: int, nr: int) -> U8:
        states = np.full((nr, VSWAP_CLUSTER_SIZE), ABSENT, np.uint8)
        live = [(i, cluster) for i in range(nr) if (cluster := self.swap.clusters.get(first + i)) is not None]
        if not live:
            return states
        at = np.array([i for i, _ in live])
        raw = b"".join(cluster.bitmap.to_bytes(VSWAP_CLUSTER_SIZE // 8, "little") for _, cluster in live)
        used = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little").reshape(len(at), -1).view(np.bool_)
        flags = self.swap.desc.rows["flags"].reshape(-1, VSWAP_CLUSTER_SIZE)[first + at]
        states[at] = np.where(used, flags >> 1 & 3, FREE)
        if first == 0 and at[0] == 0:
            states[0, : live[0][1].unusable.bit_length()] = UNUSABLE
        return states

    def _legacy_backings(self, states: U8, used: npt.NDArray[np.bool_], part: MapPart, first: int) -> None:
        info, nr = self.swap.info[part.type], len(states)
        begin, end = first * SWAPFILE_CLUSTER, min((first + nr) * SWAPFILE_CLUSTER, info.si.max)
        flat = states.reshape(-1)
        alone = np.flatnonzero(info.unwritten.rows[begin:end])
        flat[alone] = Backing.FOLIO
        offsets = self._trees[part.type][0].view(np.int64)
        stored = offsets[np.searchsorted(offsets, begin) : np.searchsorted(offsets, end)] - begin
        flat[stored] = Backing.ZSWAP
        zero = cluster_bits(info.zeromap.rows[first * 8 : (first + nr) * 8])
        flat[: len(zero)][zero] = Backing.ZERO
        flat[~used.reshape(-1) & (flat < FREE)] = FREE

    @cached_property
    def _trees(self) -> dict[int, tuple[U64, U64]]:
        """By device, the offsets that zswap's trees have and their zswap entries, as they were when first asked."""
        return {type: info.zswap_tree.items() for type, info in self.swap.info.items()}

    # -- a window ------------------------------------------------------------------------------------------------

    def window(self, part: MapPart, first: int, nr: int) -> Columns:
        """Return what is known of the slots in a window, as columns; those of "live" slots have one row for each.

        state (nr); live: index in the window; record: its bytes, as the FIELDS of its kind say; length and class:
        compressed bytes and size class, 0 if not in zswap; handle: slot or zswap entry; frame: of its folio in the swap
        cache, -1 for none; owner: the entry that the rmap names; holder_at (live + 1), holder_pid, holder_vpn: the page
        table entries that hold it, those of live slot i from ``holder_at[i]`` on.
        """
        states = self.states(part, first, nr)
        live = np.flatnonzero(states < FREE)
        numbers = live + first
        columns: Columns = {"state": states, "live": live.astype(np.uint32)}
        if part.kind == "virtual":
            columns |= self._descriptors(numbers)
        elif part.kind == "legacy":
            columns |= self._legacy_records(part, numbers)
        else:
            rmap = self.swap.devices[part.type].rmap.rows[numbers]
            columns["record"] = np.ascontiguousarray(rmap).view(np.uint8)
            columns["owner"] = (rmap & np.uint64((1 << 63) - 1)).astype(np.float64)
            return columns
        columns |= self._zswap(columns["handle"], states[live])
        return columns | self._holders(numbers.astype(np.uint64) + np.uint64(part.first))

    def _descriptors(self, numbers: npt.NDArray[np.intp]) -> Columns:
        rows = self.swap.desc.rows[numbers]
        return {
            "record": np.ascontiguousarray(rows).view(np.uint8),
            "handle": rows["slot"].astype(np.float64),
            "frame": self._frames(rows["swap_cache"], numbers),
        }

    def _legacy_records(self, part: MapPart, numbers: npt.NDArray[np.intp]) -> Columns:
        info = self.swap.info[part.type]
        offsets, handles = self._trees[part.type]
        rows = np.zeros(len(numbers), _LEGACY_RECORD)
        rows["swap_map"] = info.swap_map.map.rows[numbers]
        rows["swap_cgroup"] = info.swap_cgroup.rows[numbers]
        rows["word"] = info.swap_table.rows[numbers]
        rows["zero"] = info.is_zero_many(numbers.astype(np.uint64))
        found = np.searchsorted(offsets, numbers.astype(np.uint64))
        stored = found < len(offsets)
        stored[stored] = offsets[found[stored]] == numbers[stored].astype(np.uint64)
        handle = np.zeros(len(numbers))
        handle[stored] = handles[found[stored]]
        return {
            "record": rows.view(np.uint8),
            "handle": handle,
            "frame": self._frames(rows["word"], numbers + part.first),
        }

    def _frames(self, words: U64, entries: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the page frame of each entry's page in the swap cache; page i of a large folio is i frames on."""
        frames = np.full(len(words), -1.0)
        cached = np.flatnonzero((words > 0) & (words & np.uint64(1) == 0))
        for i in cached.tolist():
            pointer = int(words[i])
            folio = self.swap.folios.get(pointer)
            page = int(entries[i]) - folio.swap if folio is not None else 0
            frames[i] = (pointer - VMEMMAP_START) // STRUCT_PAGE_SIZE + page
        return frames

    def _zswap(self, handles: npt.NDArray[np.float64], states: U8) -> Columns:
        length = np.zeros(len(handles), np.uint16)
        table: Any = self.swap.zswap.table if self.swap.zswap is not None else ()
        for i in np.flatnonzero(states == Backing.ZSWAP).tolist():
            handle = int(handles[i])
            if 0 < handle < len(table):
                length[i] = table[handle].length
        sizes = np.array([size for size, _ in size_classes()], np.uint16)
        room = sizes[np.minimum(np.searchsorted(sizes, length), len(sizes) - 1)]
        return {"length": length, "class": np.where(length > 0, room, 0).astype(np.uint16)}

    def _holders(self, entries: U64) -> Columns:
        held, pids, vpns = self.held
        begin, end = np.searchsorted(held, entries), np.searchsorted(held, entries, side="right")
        counts = end - begin
        at = np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return {
            "holder_at": np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32),
            "holder_pid": pids[at],
            "holder_vpn": vpns[at].astype(np.float64),
        }

    @cached_property
    def held(self) -> tuple[U64, npt.NDArray[np.int32], U64]:
        """The entries that page tables hold, in rising order, and beside each pid and virtual page number."""
        parts = list(self._swapped())
        if not parts:
            return np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0, np.uint64)
        entries = np.concatenate([each[0] for each in parts])
        pids = np.concatenate([np.full(len(each[0]), each[1], np.int32) for each in parts])
        vpns = np.concatenate([each[2] for each in parts])
        order = np.argsort(entries, kind="stable")
        return entries[order], pids[order], vpns[order]

    def _swapped(self) -> Iterator[tuple[U64, int, U64]]:
        for pid, process in self.machine.mappers.items() if self.machine is not None else ():
            for base, ptes in process.mm.page_table.leaves():
                held = (ptes != 0) & (ptes != np.uint64(PTE_POISON))
                away = np.flatnonzero((ptes & np.uint64(PTE_PRESENT) == 0) & held)
                if len(away):
                    yield pte_to_entry(ptes[away]), pid, away.astype(np.uint64) + np.uint64(base)

    # -- clusters ------------------------------------------------------------------------------------------------

    def cluster_words(self, part: MapPart) -> list[tuple[int, int, str]]:
        """Return number, order and state of each cluster in use, in order."""
        if part.kind == "virtual":
            state = self.swap.allocator.map.state
            return [(number, cluster.order, state(cluster)) for number, cluster in sorted(self.swap.clusters.items())]
        lists = self.swap.devices[part.type].lists
        used = np.flatnonzero(lists.count_arena.rows > 0).tolist()
        return [(number, lists.order[number], ClusterState(lists.state[number]).name.lower()) for number in used]

    def part_of(self, entry: int) -> tuple[int, int]:
        """Return which part has an entry that page tables hold, and its place there; NotFound is the caller's."""
        if self.design == "virtual":
            return 0, entry
        types = [part.type for part in self.parts]
        return types.index(entry >> SLOT_OFFSET_BITS), entry & ((1 << SLOT_OFFSET_BITS) - 1)
