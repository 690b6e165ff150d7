"""Core of the virtual swap layer: descriptors, references, and the free path [S10].

References to an entry are `swap_count` (PTEs and shmem) plus one if `in_swapcache`; an entry goes when both are gone.
This module is the ground floor of `VirtualSwap`; the swap cache, the backings, input and output, and the array forms
build on it, a module each.
"""

from __future__ import annotations

from vswaplab.backends.swap_cache import SwapCacheFolios
from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.backends.zswap import Zswap
from vswaplab.entry import (
    VSWAP_CLUSTER_MASK,
    VSWAP_CLUSTER_SHIFT,
    VSWAP_MAX_CLUSTER_ID,
    Backing,
    swp_entry_t,
    swp_slot_t,
)
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.events import Event, Recorder
from vswaplab.protocols import LOOKUP_KINDS, MemcgLike, MemcgTable
from vswaplab.virtual.allocator import VswapAllocator
from vswaplab.virtual.cluster import VswapCluster
from vswaplab.virtual.descriptor import (
    IN_SWAPCACHE,
    TYPE_MASK,
    TYPE_SHIFT,
    TYPE_SWAPFILE,
    TYPE_ZSWAP,
    Descriptor,
    DescriptorArena,
)

__all__ = ["VswapCore"]


class VswapCore(SwapCacheFolios):
    """Descriptors, look-up, `swap_duplicate`, `swap_free_nr` and what freeing an entry entails."""

    design = "virtual"

    def __init__(
        self,
        *,
        devices: SwapDevices,
        zswap: Zswap | None,
        memcgs: MemcgTable,
        cpus: int = 1,
        recorder: Recorder | None = None,
        max_cluster_id: int = VSWAP_MAX_CLUSTER_ID,
    ) -> None:
        super().__init__()
        self.devices = devices
        self.zswap = zswap
        self.memcgs = memcgs
        self.cpu = 0
        self.record = recorder
        self.desc = DescriptorArena()
        self.allocator = VswapAllocator(self.desc, cpus, max_cluster_id)
        self.device_pins: dict[int, int] = {}
        """References to devices taken by `tryget_swap_entry`, by type; swapoff waits for them."""
        self.rmap_reads = 0
        """Times that a physical slot was led back to its entry."""
        self._connect()

    def _connect(self) -> None:
        """Tell devices and zswap whom to call for a transition; a floor that can make one adds itself."""

    # -- look-up -------------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Virtual slots in use (debugfs ``vswap/used``)."""
        return self.allocator.used

    @property
    def alloc_reject(self) -> int:
        """Virtual slots that could not be had (debugfs ``vswap/alloc_reject``)."""
        return self.allocator.alloc_reject

    @property
    def clusters(self) -> dict[int, VswapCluster]:
        """Live clusters by id."""
        return self.allocator.map.clusters

    def entries(self) -> list[int]:
        """Return all allocated entries in rising order."""
        return self.allocator.entries()

    def cluster_of(self, entry: int) -> VswapCluster:
        """Return the cluster of an allocated entry; NotFound (-ENOENT) if there is no such entry."""
        cluster = self.allocator.find(entry, self.cpu) if entry > 0 else None
        if cluster is None:
            raise NotFound(f"Swap entry {entry} is not allocated.")
        return cluster

    def lookup(self, entry: int) -> Descriptor:
        """Return what the descriptor of `entry` says now; NotFound if it is not allocated.

        For onlookers: it passes by the look-up cache and its counters.
        """
        if not self.allocator.is_allocated(entry):
            raise NotFound(f"Swap entry {entry} is not allocated.")
        desc = self.desc
        flags, handle, cache = desc.flags[entry], desc.handle[entry], desc.cache[entry]
        kind = Backing(flags >> TYPE_SHIFT & 3)
        return Descriptor(
            entry=swp_entry_t(entry),
            type=kind,
            swap_count=desc.count[entry],
            in_swapcache=bool(flags & IN_SWAPCACHE),
            memcgid=desc.memcgid[entry],
            slot=swp_slot_t(handle) if kind is Backing.SWAPFILE else None,
            zswap_entry=handle if kind is Backing.ZSWAP else None,
            swap_cache=None if cache & 1 else self.folios.get(cache),
            shadow=cache if cache & 1 else 0,
        )

    def lookup_counts(self) -> dict[str, int]:
        """Return how many look-ups of each kind were done so far; see `vswaplab.protocols.LOOKUP_KINDS`.

        An array form counts a descriptor for each entry, and a walk or a scan only where it does one.
        """
        counts = dict.fromkeys(LOOKUP_KINDS, 0)
        counts["descriptor"] = self.allocator.lookups
        counts["cluster_map"] = self.allocator.map_walks
        counts["bitmap_scan"] = self.allocator.bitmap_scans + self.devices.bitmap_scans
        counts["rmap"] = self.rmap_reads
        return counts

    def _exists(self, entry: int) -> bool:
        return entry > 0 and self.allocator.find(entry, self.cpu) is not None

    def _has_refs(self, entry: int) -> bool:
        return self._exists(entry) and (self.desc.count[entry] > 0 or self.desc.flags[entry] & IN_SWAPCACHE != 0)

    # -- references ----------------------------------------------------------------------------------------------

    def swap_duplicate(self, entry: int) -> None:
        """Add a reference from a page table; NotFound (-ENOENT) if the entry is gone."""
        self.swap_duplicate_nr(entry, 1)

    def swap_duplicate_nr(self, entry: int, nr: int) -> None:
        """Add a reference to each of `nr` entries; on NotFound those already added are taken back."""
        desc = self.desc
        for each in range(entry, entry + nr):
            if not self._has_refs(each):
                if each > entry:
                    self.swap_free_nr(entry, each - entry)
                raise NotFound(f"Swap entry {each} is not in use, so it can't be referred to once more.")
            count = desc.count[each]
            if count == 0 and desc.flags[each] & TYPE_MASK == TYPE_SWAPFILE:
                self.swap_rmap_clear(desc.handle[each])
            desc.count[each] = count + 1
            if self.record is not None:
                self.record(Event.DUPLICATE, each, value=count + 1)

    swap_shmem_alloc = swap_duplicate_nr
    """shmem holds one count for each entry."""

    def swap_free_nr(self, entry: int, nr: int) -> None:
        """Drop one page table reference from each of `nr` entries; those without any reference left are freed."""
        self._drop_counts(entry, nr)

    def swap_free(self, entry: int) -> None:
        """Drop one page table reference from an entry."""
        self._drop_counts(entry, 1)

    def _drop_counts(self, entry: int, nr: int) -> list[int]:
        """Do `swap_free_nr` and return the entries that are left cache-only."""
        desc = self.desc
        cache_only: list[int] = []
        idle: list[int] = []
        try:
            for each in range(entry, entry + nr):
                self.cluster_of(each)
                count = desc.count[each]
                if count == 0:
                    raise InvalidArgument(f"Swap entry {each} has no page table reference to drop (swap_count is 0).")
                desc.count[each] = count - 1
                if self.record is not None:
                    self.record(Event.PUT, each, value=count - 1)
                if count > 1:
                    continue
                if not desc.flags[each] & IN_SWAPCACHE:
                    idle.append(each)
                    continue
                cache_only.append(each)
                if desc.flags[each] & TYPE_MASK == TYPE_SWAPFILE:
                    self.swap_rmap_mark(desc.handle[each])
        finally:  # whatever stops the walk, what it has taken the last reference from is freed
            self._free_in_batches(idle)
        return cache_only

    def _extends(self, first: int, batch: int, entry: int) -> bool:
        """Whether `entry` may join a batch of frees: next in line, same cluster, same memory cgroup [S10]."""
        return (
            batch > 0
            and first + batch == entry
            and first >> VSWAP_CLUSTER_SHIFT == entry >> VSWAP_CLUSTER_SHIFT
            and self.desc.memcgid[first] == self.desc.memcgid[entry]
        )

    def free_unreferenced(self, entry: int, nr: int) -> None:
        """Free those of `nr` entries that nothing refers to, in batches."""
        desc = self.desc
        self._free_in_batches(
            [each for each in range(entry, entry + nr) if not desc.count[each] and not desc.flags[each] & IN_SWAPCACHE]
        )

    def _free_in_batches(self, entries: list[int]) -> None:
        """Free entries that nothing refers to, as many at once as `_extends` allows."""
        first, batch = 0, 0
        for each in entries:
            if not self._extends(first, batch, each):
                self._free_batch(first, batch)
                first, batch = each, 0
            batch += 1
        self._free_batch(first, batch)

    # -- the free path -------------------------------------------------------------------------------------------

    def _free_batch(self, entry: int, nr: int) -> None:
        if nr:
            for each in range(entry, entry + nr):
                self.desc.cache[each] = 0  # drop the shadow
            self.vswap_free_nr(self.cluster_of(entry), entry, nr)

    def vswap_free_nr(self, cluster: VswapCluster, entry: int, nr: int) -> None:
        """Free `nr` entries of one cluster and one memory cgroup that nothing refers to."""
        desc = self.desc
        memcgid = desc.memcgid[entry]
        memcg = self.memcgs.get(memcgid)
        self.release_backing(entry, nr)
        for each in range(entry, entry + nr):
            if self.record is not None:
                self.record(Event.FREE, each, old=desc.flags[each] >> TYPE_SHIFT & 3)
            desc.memcgid[each] = 0
            desc.flags[each] = 0
        self.allocator.release(cluster, entry & VSWAP_CLUSTER_MASK, nr, self.cpu)
        if memcg is not None:
            memcg.put_id(nr)

    def release_backing(self, entry: int, nr: int) -> None:
        """Free what backs `nr` entries of one memory cgroup and clear their handles; the type is the caller's to set.

        Physical slots go back in contiguous runs, and only they are uncharged from memory.swap.current.
        """
        desc = self.desc
        run, run_nr, slots = 0, 0, 0
        for each in range(entry, entry + nr):
            kind = desc.flags[each] & TYPE_MASK
            handle = desc.handle[each]
            if kind == TYPE_ZSWAP and handle:
                assert self.zswap is not None
                self.zswap.free(handle)
            elif kind == TYPE_SWAPFILE and handle:
                if run_nr and handle != run + run_nr:
                    self.devices.free_slots(swp_slot_t(run), run_nr)
                    run_nr = 0
                if not run_nr:
                    run = handle
                run_nr += 1
                slots += 1
            desc.handle[each] = 0
        if run_nr:
            self.devices.free_slots(swp_slot_t(run), run_nr)
        memcg = self.memcgs.get(desc.memcgid[entry]) if slots else None
        if memcg is not None:
            memcg.uncharge_swap(slots)

    # -- rmap: physical slot -> virtual entry --------------------------------------------------------------------

    def swap_rmap_mark(self, slot: int) -> None:
        """Note on the physical side that the slot's entry is only in the swap cache (bit 63 of the rmap word)."""
        where = swp_slot_t(slot)
        self.devices[where.type].rmap_mark_cache_only(where.offset)

    def swap_rmap_clear(self, slot: int) -> None:
        """Take the cache-only note back."""
        where = swp_slot_t(slot)
        self.devices[where.type].rmap_clear_cache_only(where.offset)

    def swap_rmap_is_cache_only(self, slot: int) -> bool:
        """Whether a physical slot belongs to an entry that is only in the swap cache."""
        where = swp_slot_t(slot)
        return self.devices[where.type].rmap_is_cache_only(where.offset)

    def vswap_rmap_set(self, slot: int, entry: int, nr: int) -> None:
        """Note that `nr` physical slots from `slot` on back the entries from `entry` on; entry 0 clears."""
        where = swp_slot_t(slot)
        self.devices[where.type].rmap_set(where.offset, entry, nr)

    def swp_entry_to_swp_slot(self, entry: int) -> swp_slot_t:
        """Return the physical slot that backs an entry, or 0 if none does."""
        if self._exists(entry) and self.desc.flags[entry] & TYPE_MASK == TYPE_SWAPFILE:
            return swp_slot_t(self.desc.handle[entry])
        return swp_slot_t(0)

    def swp_slot_to_swp_entry(self, slot: int) -> swp_entry_t:
        """Return the entry that a physical slot backs, or 0 if none."""
        where = swp_slot_t(slot)
        return swp_entry_t(self._rmap_read(self.devices[where.type], where.offset))

    def _rmap_read(self, device: SwapFile, offset: int) -> int:
        self.rmap_reads += 1
        return device.rmap_get(offset)

    # -- whose is it ---------------------------------------------------------------------------------------------

    def lookup_swap_cgroup_id(self, entry: int) -> int:
        """Return the memory cgroup id of an entry, 0 if there is none."""
        return self.desc.memcgid[entry] if self._exists(entry) else 0

    def vswap_cgroup_batch(self, entry: int, nr: int) -> int:
        """Return how many of `nr` entries from `entry` on belong to the same memory cgroup as the first."""
        first = self.lookup_swap_cgroup_id(entry)
        return self._prefix(nr, lambda i: self._exists(entry + i) and self.desc.memcgid[entry + i] == first)

    def swap_cgroup_clear(self, entry: int, nr: int) -> int:
        """Clear the memory cgroup of `nr` entries and return what the first one had."""
        memcgid = self.lookup_swap_cgroup_id(entry)
        self.swap_cgroup_record(0, entry, nr)
        return memcgid

    def swap_cgroup_record(self, memcgid: int, entry: int, nr: int) -> None:
        """``__swap_cgroup_record``: note the memory cgroup of `nr` entries. References and charges are the caller's."""
        for each in range(entry, entry + nr):
            self.cluster_of(each)
            self.desc.memcgid[each] = memcgid

    def _memcg_of(self, entry: int) -> MemcgLike | None:
        return self.memcgs.get(self.desc.memcgid[entry])
