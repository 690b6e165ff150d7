"""Core of the legacy design: entries that are physical slots, references, and the free path [S12].

An entry is type and offset of a slot; what is known of it stands in the arrays of its device (`info`). References are
the count in the swap_map byte plus its has-cache bit; a slot goes back to the allocator when both are gone. This module
is the ground floor of `LegacySwap`; the swap cache, input and output, swapoff and the array forms build on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from vswaplab.backends.swap_cache import SwapCacheFolios
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER_SHIFT
from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.backends.zswap import Zswap
from vswaplab.entry import SLOT_OFFSET_BITS, SLOT_OFFSET_MASK, Backing, swp_entry_t, swp_slot_t
from vswaplab.errors import InvalidArgument, NoMemory, NotFound, SwapError
from vswaplab.events import Event, Recorder
from vswaplab.legacy.info import LegacyEntry, LegacyInfo
from vswaplab.protocols import LOOKUP_KINDS, MemcgLike, MemcgTable

__all__ = ["LegacyCore"]


class LegacyCore(SwapCacheFolios):
    """Arrays, look-up, `swap_duplicate`, `swap_free_nr` and what freeing a slot entails."""

    design = "legacy"

    def __init__(
        self,
        *,
        devices: SwapDevices,
        zswap: Zswap | None,
        memcgs: MemcgTable,
        cpus: int = 1,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__()
        self.devices = devices
        self.zswap = zswap
        self.memcgs = memcgs
        self.cpus = cpus
        self.cpu = 0
        self.record = recorder
        self.info: dict[int, LegacyInfo] = {}
        """The arrays of each device that is on, by type."""
        self.resolved = 0
        """Times that an entry was resolved to its device's arrays."""
        self._past_lookups: Counter[str] = Counter()
        self._connect()

    def _connect(self) -> None:
        """Tell devices and zswap whom to call; a floor that can make a transition adds itself."""
        self.devices.on_swapon = self._swapon
        self.devices.on_swapoff = self._swapoff
        for si in self.devices:
            self._swapon(si)

    def _swapon(self, si: SwapFile) -> None:
        self.info[si.type] = LegacyInfo(si)

    def _swapoff(self, si: SwapFile) -> None:
        self._past_lookups.update(_lookups_of(self.info.pop(si.type)))

    # -- look-up -------------------------------------------------------------------------------------------------

    def at(self, entry: int) -> tuple[LegacyInfo, int]:
        """Return the arrays that hold an entry, and its offset; InvalidArgument (-EINVAL) if no such slot can be."""
        self.resolved += 1
        info = self.info.get(entry >> SLOT_OFFSET_BITS)
        offset = entry & SLOT_OFFSET_MASK
        if info is None or not 0 < offset < info.si.max:
            raise InvalidArgument(f"Swap entry {entry:#x} names no slot of a device that is on.")
        return info, offset

    def _find(self, entry: int) -> tuple[LegacyInfo, int] | None:
        """As `at`, but None if there is no such slot."""
        self.resolved += 1
        info = self.info.get(entry >> SLOT_OFFSET_BITS)
        offset = entry & SLOT_OFFSET_MASK
        return None if info is None or not 0 < offset < info.si.max else (info, offset)

    def entries(self) -> list[int]:
        """Return all entries in use in rising order."""
        return [si.slot_base | offset for si in self.devices for offset in si.allocated_offsets().tolist()]

    def lookup(self, entry: int) -> LegacyEntry:
        """Return what is known of `entry` now; NotFound if it is not in use.

        For onlookers: it leaves the counters of look-ups as they are.
        """
        with self._uncounted():
            found = self._find(entry)
        count, cached = found[0].swap_map.peek(found[1]) if found is not None else (0, False)
        if found is None or not (count or cached):
            raise NotFound(f"Swap entry {entry:#x} is not in use.")
        info, offset = found
        with self._uncounted():
            word = info.table[offset]
            return LegacyEntry(
                entry=swp_entry_t(entry),
                type=self._backing(info, offset),
                swap_count=count,
                in_swapcache=cached,
                memcgid=info.cgroup[offset],
                slot=swp_slot_t(entry),
                zswap_entry=info.zswap_tree.load(offset) or None,
                swap_cache=None if word & 1 else self.folios.get(word),
                shadow=word if word & 1 else 0,
            )

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        before = [(info, info.zswap_tree.walks, info.zswap_tree.nodes_visited) for info in self.info.values()]
        resolved = self.resolved
        try:
            yield
        finally:
            self.resolved = resolved
            for info, walks, nodes in before:
                info.zswap_tree.walks, info.zswap_tree.nodes_visited = walks, nodes

    @staticmethod
    def _backing(info: LegacyInfo, offset: int) -> Backing:
        """Where a slot's contents are, asked in the order in which a read asks."""
        if info.is_zero(offset):
            return Backing.ZERO
        if info.zswap_tree.load(offset):
            return Backing.ZSWAP
        return Backing.FOLIO if info.only_in_memory[offset] else Backing.SWAPFILE

    def backing_of(self, entry: int) -> Backing:
        """Return where an entry's contents are, for the trace and for checks."""
        with self._uncounted():
            return self._backing(*self.at(entry))

    def lookup_counts(self) -> dict[str, int]:
        """Return how many look-ups of each kind were done so far; see `vswaplab.protocols.LOOKUP_KINDS`."""
        total = Counter(self._past_lookups)
        for info in self.info.values():
            total.update(_lookups_of(info))
        total["swap_info"] += self.resolved
        total["bitmap_scan"] += self.devices.bitmap_scans
        return {kind: total[kind] for kind in LOOKUP_KINDS}

    # -- references ----------------------------------------------------------------------------------------------

    def swap_duplicate(self, entry: int) -> None:
        """Add a reference from a page table; NotFound (-ENOENT) if the slot is free."""
        self.swap_duplicate_nr(entry, 1)

    def swap_duplicate_nr(self, entry: int, nr: int) -> None:
        """Add a reference to each of `nr` entries; on an error those already added are taken back.

        InvalidArgument (-EINVAL) for no slot at all, NotFound (-ENOENT) for a free one, NoMemory (-ENOMEM) when a
        count beyond 62 needs a continuation page that can't be had.
        """
        for each in range(entry, entry + nr):
            try:
                count = self._duplicate(each)
            except SwapError:
                if each > entry:
                    self.swap_free_nr(entry, each - entry)
                raise
            if self.record is not None:
                self.record(Event.DUPLICATE, each, value=count)

    def _duplicate(self, entry: int) -> int:
        info, offset = self.at(entry)
        swap_map = info.swap_map
        try:
            count = swap_map.duplicate(offset)
        except NoMemory:
            # The map says that it wants a continuation page; with one it must do.
            swap_map.add_swap_count_continuation(offset)
            count = swap_map.duplicate(offset)
        if count == 1:
            info.si.rmap_clear_cache_only(offset)
        return count

    def swap_shmem_alloc(self, entry: int, nr: int = 1) -> None:
        """A tmpfs file holds each entry from now on; its byte gets the mark of shmem, which counts as one."""
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            info.swap_map.duplicate_shmem(offset)
            info.si.rmap_clear_cache_only(offset)
            if self.record is not None:
                self.record(Event.DUPLICATE, each, value=1)

    def swap_free_nr(self, entry: int, nr: int) -> None:
        """Drop one reference from each of `nr` entries; slots without any reference left are freed."""
        self._drop_counts(entry, nr)

    def swap_free(self, entry: int) -> None:
        """Drop one page table reference from an entry."""
        self._drop_counts(entry, 1)

    def _drop_counts(self, entry: int, nr: int) -> list[int]:
        """Do `swap_free_nr` and return the entries that are left cache-only."""
        cache_only: list[int] = []
        idle: list[int] = []
        try:
            for each in range(entry, entry + nr):
                info, offset = self.at(each)
                count = info.swap_map.put(offset)
                if self.record is not None:
                    self.record(Event.PUT, each, value=count)
                if count:
                    continue
                if info.swap_map.peek(offset)[1]:
                    info.si.rmap_mark_cache_only(offset)
                    cache_only.append(each)
                else:
                    idle.append(each)
        finally:  # whatever stops the walk, what it has taken the last reference from is freed
            self._free_in_batches(idle)
        return cache_only

    def swp_swapcount(self, entry: int) -> int:
        """Return how many page table entries (and shmem indexes) refer to an entry; 0 if it is gone."""
        found = self._find(entry)
        return found[0].swap_map.count(found[1]) if found is not None else 0

    # -- the free path -------------------------------------------------------------------------------------------

    def _free_unreferenced(self, entry: int, nr: int) -> None:
        """Free those of `nr` entries that nothing refers to."""
        idle = []
        for each in range(entry, entry + nr):
            info, offset = self.at(each)
            if info.swap_map.peek(offset) == (0, False):
                idle.append(each)
        self._free_in_batches(idle)

    def _free_in_batches(self, entries: list[int]) -> None:
        """Free entries that nothing refers to: runs within one cluster and one memory cgroup at a time [S12]."""
        first, batch = 0, 0
        for each in entries:
            if not batch or first + batch != each or not self._same_batch(first, each):
                self._free_batch(first, batch)
                first, batch = each, 0
            batch += 1
        self._free_batch(first, batch)

    def _same_batch(self, first: int, entry: int) -> bool:
        info, offset = self.at(first)
        same_cluster = first >> SWAPFILE_CLUSTER_SHIFT == entry >> SWAPFILE_CLUSTER_SHIFT
        return same_cluster and info.cgroup[offset] == info.cgroup[entry & SLOT_OFFSET_MASK]

    def _free_batch(self, entry: int, nr: int) -> None:
        """``swap_entries_free``: let go of all that the arrays hold for `nr` slots, then of the slots."""
        if not nr:
            return
        info, first = self.at(entry)
        memcg = self.memcgs.get(info.cgroup[first])
        for offset in range(first, first + nr):
            if self.record is not None:
                self.record(Event.FREE, info.si.slot_base | offset, old=self.backing_of(info.si.slot_base | offset))
            self._forget_contents(info, offset)
            info.set_word(offset, 0)
            info.cgroup[offset] = 0
            info.only_in_memory[offset] = 0
            info.swap_map.free(offset)
        info.si.free_run(first, nr)
        info.release_empty([first >> SWAPFILE_CLUSTER_SHIFT])
        if memcg is not None:
            memcg.uncharge_swap(nr)
            memcg.put_id(nr)

    def _forget_contents(self, info: LegacyInfo, offset: int) -> None:
        """Clear the zeromap bit of a slot and drop its compressed copy (``zswap_invalidate``)."""
        info.zeromap_clear(offset)
        self._erase_zswap(info, offset)

    def _erase_zswap(self, info: LegacyInfo, offset: int) -> None:
        if not info.zswap_tree:  # an empty xarray is not walked
            return
        handle = info.zswap_tree.erase(offset)
        if handle and self.zswap is not None:
            self.zswap.free(handle)

    # -- whose is it ---------------------------------------------------------------------------------------------

    def lookup_swap_cgroup_id(self, entry: int) -> int:
        """Return the memory cgroup id of an entry, 0 if there is none."""
        found = self._find(entry)
        return found[0].cgroup[found[1]] if found is not None else 0

    def _memcg_of(self, entry: int) -> MemcgLike | None:
        return self.memcgs.get(self.lookup_swap_cgroup_id(entry))


def _lookups_of(info: LegacyInfo) -> dict[str, int]:
    tree = info.zswap_tree
    return {"swap_map": info.swap_map.lookups, "zswap_tree": tree.walks, "zswap_node": tree.nodes_visited}
