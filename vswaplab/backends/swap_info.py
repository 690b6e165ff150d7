"""One swap device: slots handed out and taken back, in the order of search that the kernel has [S20].

To allocate a run of 2**order slots the device looks, in turn, at:

1. the hint: where the last run of that order on this CPU ended (rotational devices: on any CPU);
2. `free`, if the device discards (what was discarded is best used at once);
3. every `nonfull` cluster of the order;
4. `free`;
5. if swap is more than half full, one `full` cluster, whose cache-only slots it reclaims; then one `frag` cluster of
   the order;
6. for a single slot, `frag` and `nonfull` clusters of the higher orders.

A run lies within one cluster and is naturally aligned. A range counts as usable if no slot of it is bad and every
allocated one is cache-only and swap is more than half full; then the cache-only ones are reclaimed first [S15].

After use a cluster moves to `full` or `frag`, after a free to `nonfull`, and when it is empty to `free`, or first to
`discard` until `do_discards` has told the device.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from vswaplab.backends.swap_batch import alloc_many, free_many
from vswaplab.backends.swap_check import check_swapfile
from vswaplab.backends.swap_cluster import (
    DISCARD,
    FRAG,
    FREE,
    FULL,
    NONFULL,
    PMD_ORDER,
    SWAPFILE_CLUSTER,
    SWAPFILE_CLUSTER_MASK,
    SWAPFILE_CLUSTER_SHIFT,
)
from vswaplab.backends.swap_globals import PercpuCluster, SwapGlobals
from vswaplab.backends.swap_maps import SwapMaps
from vswaplab.entry import SLOT_OFFSET_BITS, U64, swp_slot_t
from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.units import SWAP_NR_ORDERS

if TYPE_CHECKING:
    from vswaplab.backends.device import Device, SwapHeader

__all__ = ["SwapFile"]

_FULL_BITS = (1 << SWAPFILE_CLUSTER) - 1
_ALIGNED = [sum(1 << index for index in range(0, SWAPFILE_CLUSTER, 1 << order)) for order in range(SWAP_NR_ORDERS)]
"""For each order, the slots of a cluster at which a run may start."""


class SwapFile(SwapMaps):
    """A device that is swapped on. C type: ``struct swap_info_struct``.

    `pages` usable slots, `max` slots with the header, `inuse_pages` allocated now. Scalar forms take and give offsets
    (int), array forms uint64 arrays of them; both leave the same state behind.
    """

    def __init__(
        self, shared: SwapGlobals, device: Device, header: SwapHeader, *, type: int, prio: int, discard: bool
    ) -> None:
        super().__init__(header.last_page + 1, header.bad_pages)
        self.shared = shared
        self.device = device
        self.type = type
        self.prio = prio
        self.discard = discard and device.discard_supported
        self.block: bool = getattr(device, "block", True)
        """False for a swapfile whose blocks are scattered: it holds no large folio."""
        self.inuse_pages = 0
        self.write_failed: set[int] = set()
        """Offsets of slots in use whose last write failed: what they should hold is still where it was."""
        self.writeok = False
        self.slot_base = type << SLOT_OFFSET_BITS
        self.global_cluster = PercpuCluster() if device.rotational else None
        """Rotational devices have one hint for all CPUs, so that the head seeks less [S20]."""

    def __repr__(self) -> str:
        return f"<SwapFile type={self.type} prio={self.prio} inuse={self.inuse_pages}/{self.pages}>"

    @property
    def free_pages(self) -> int:
        """Slots that are neither bad nor in use."""
        return self.pages - self.inuse_pages

    def hint(self, cpu: int) -> PercpuCluster:
        """Return where this device goes on for a CPU."""
        return self.global_cluster or self.shared.percpu[cpu]

    # -- allocation ----------------------------------------------------------------------------------------------

    def alloc(self, order: int = 0, cpu: int = 0) -> int:
        """Allocate an aligned run of 1 << `order` slots and return its first offset, or 0 if there is none."""
        hint = self.hint(cpu)
        if hint.device[order] is self:
            offset = self._alloc_from_hint(order, hint)
            if offset:
                return offset
        return self._alloc_from_lists(order, hint)

    def _alloc_from_hint(self, order: int, hint: PercpuCluster) -> int:
        start = hint.offset[order]
        cluster = start >> SWAPFILE_CLUSTER_SHIFT
        if self.writeok and self._usable(cluster, order):
            word, bit = start >> 6, 1 << (start & 63)
            if not order and not (self._allocated[word] | self._bad[word]) & bit:
                self.shared.bitmap_scans += 1  # a search that ends at its first slot
                self._allocated[word] |= bit
                self._account(cluster, 0, 1, start + 1, hint)
                return start
            offset = self._alloc_in(cluster, start, order, hint)
            if offset:
                return offset
        hint.drop(order)
        return 0

    def _alloc_from_lists(self, order: int, hint: PercpuCluster) -> int:
        """The slow path: the lists of the device in their order of search [S20]."""
        if not self.writeok or (order and not self.block):
            return 0
        lists = self.lists
        if self.discard and (offset := self._alloc_free(order, hint)):
            return offset
        if order < PMD_ORDER:  # a cluster with anything in it has no room for the PMD order
            while lists.nonfull[order]:  # each one looked at goes to another list, so this ends
                if offset := self._alloc_listed(next(iter(lists.nonfull[order])), order, hint):
                    return offset
        if offset := self._alloc_free(order, hint):
            return offset
        if self.shared.vm_swap_full():
            self._reclaim_full_cluster()
        frag = next(iter(lists.frag[order]), -1) if order < PMD_ORDER else -1
        if frag >= 0 and (offset := self._alloc_listed(frag, order, hint)):
            return offset
        return 0 if order else self._steal(hint)

    def _alloc_free(self, order: int, hint: PercpuCluster) -> int:
        cluster = self.lists.free_head()
        return self._alloc_listed(cluster, order, hint) if cluster >= 0 else 0

    def _steal(self, hint: PercpuCluster) -> int:
        """Take a single slot from a cluster of a higher order, which keeps its order."""
        for order in range(1, SWAP_NR_ORDERS):
            for clusters in (self.lists.frag[order], self.lists.nonfull[order]):
                for _ in range(len(clusters)):
                    if not clusters:
                        break
                    if offset := self._alloc_listed(next(iter(clusters)), 0, hint):
                        return offset
        return 0

    def _alloc_listed(self, cluster: int, order: int, hint: PercpuCluster) -> int:
        """Try the head of a list; whatever comes of it, it ends at the tail of the list it then belongs to."""
        offset = self._alloc_in(cluster, cluster << SWAPFILE_CLUSTER_SHIFT, order, hint)
        if self.lists.state[cluster] == FRAG:
            self.lists.frag[self.lists.order[cluster]].move_to_end(cluster)
        return offset

    def _alloc_in(self, cluster: int, start: int, order: int, hint: PercpuCluster) -> int:
        """Allocate in one cluster from offset `start` on; 0 if it has no such run."""
        offset = self._find(cluster, start, order)
        if offset:
            self._change_bits(offset, 1 << order)
            self._account(cluster, order, 1 << order, offset + (1 << order), hint)
        elif self.lists.count[cluster]:
            self._relocate(cluster)
        return offset

    def _usable(self, cluster: int, order: int) -> bool:
        """Tell whether a cluster may serve an order: single slots come from any that isn't full."""
        lists = self.lists
        if lists.state[cluster] > FRAG:
            return False
        return not order or lists.order[cluster] == order or not lists.count[cluster]

    def _find(self, cluster: int, start: int, order: int) -> int:
        """Return the first usable run from `start` on, its cache-only slots reclaimed, or 0."""
        base = cluster << SWAPFILE_CLUSTER_SHIFT
        busy = self._busy_bits(cluster)
        reclaimable = 0
        if self.cache_only_pages and self.shared.reclaim_slot is not None and self.shared.vm_swap_full():
            reclaimable = self._cache_only_bits(cluster)
        self.shared.bitmap_scans += 1
        index = _first_run(busy & ~reclaimable, start - base, order)
        while index >= 0:
            wanted = reclaimable >> index & (1 << (1 << order)) - 1
            if not wanted:
                return base + index
            self._reclaim(base + index, wanted)
            # Whoever was asked to reclaim may have emptied the cluster, and sent it off to be discarded.
            if not self._usable(cluster, order):
                return 0
            busy = self._busy_bits(cluster)
            if not busy >> index & (1 << (1 << order)) - 1:
                return base + index
            reclaimable &= self._cache_only_bits(cluster)
            self.shared.bitmap_scans += 1
            index = _first_run(busy & ~reclaimable, index + (1 << order), order)
        return 0

    def _account(self, cluster: int, order: int, nr: int, end: int, hint: PercpuCluster) -> None:
        """Count `nr` slots just taken from a cluster, the last run up to `end`, and move on the hint."""
        lists = self.lists
        count = lists.count[cluster]
        if not count:
            lists.order[cluster] = order
        count += nr
        lists.count[cluster] = count
        self.inuse_pages += nr
        if self.inuse_pages == self.pages:
            self.shared.avail.remove(self)
        if count == SWAPFILE_CLUSTER:
            lists.move(cluster, FULL)
            hint.drop(order)
            return
        if lists.state[cluster] != FRAG:
            lists.move(cluster, FRAG)
        if end & SWAPFILE_CLUSTER_MASK:
            hint.device[order] = self
            hint.offset[order] = end
        else:
            hint.drop(order)

    def _relocate(self, cluster: int) -> None:
        """Put a cluster that could not serve where it belongs after use."""
        state = FULL if self.lists.count[cluster] == SWAPFILE_CLUSTER else FRAG
        if self.lists.state[cluster] != state:
            self.lists.move(cluster, state)

    # -- reclaim of cache-only slots -----------------------------------------------------------------------------

    def _reclaim(self, base: int, bits: int) -> None:
        """Ask the design to free cache-only slots: `base` + i for each bit i."""
        reclaim_slot = self.shared.reclaim_slot
        if reclaim_slot is None:
            return
        while bits:
            low = bits & -bits
            bits ^= low
            offset = base + low.bit_length() - 1
            if self.rmap_is_cache_only(offset):  # not gone with the folio of an earlier one
                reclaim_slot(swp_slot_t(self.slot_base | offset))

    def _reclaim_full_cluster(self) -> None:
        """Reclaim what one full cluster holds for the swap cache alone; the next call takes the next cluster."""
        full = self.lists.full
        if full and self.cache_only_pages:
            cluster = next(iter(full))
            full.move_to_end(cluster)
            self._reclaim(cluster << SWAPFILE_CLUSTER_SHIFT, self._cache_only_bits(cluster))

    # -- the way back --------------------------------------------------------------------------------------------

    def free_run(self, offset: int, nr: int = 1) -> None:
        """Free `nr` slots from `offset` on: their rmap words, then their bits, one cluster at a time [S15].

        Raises InvalidArgument if one of them is not allocated; then none of its cluster is freed.
        """
        if self.write_failed:
            self.write_failed.difference_update(range(offset, offset + nr))
        while nr > 0:
            here = min(nr, SWAPFILE_CLUSTER - (offset & SWAPFILE_CLUSTER_MASK))
            if here == 1:
                self._free_one(offset)
            else:
                self._free_in_cluster(offset, here)
            offset += here
            nr -= here

    def _free_one(self, offset: int) -> None:
        word, bit = offset >> 6, 1 << (offset & 63)
        if not 0 < offset < self.max or not self._allocated[word] & bit:
            raise self._not_allocated(offset, 1)
        old = self._rmap[offset]
        if old:
            self._rmap[offset] = 0
            if old >> 63:
                self.cache_only_pages -= 1
        self._allocated[word] ^= bit
        self._uncount(offset >> SWAPFILE_CLUSTER_SHIFT, 1)

    def _free_in_cluster(self, offset: int, nr: int) -> None:
        if not 0 < offset <= self.max - nr or not self._all_allocated(offset, nr):
            raise self._not_allocated(offset, nr)
        self.rmap_set(offset, 0, nr)
        self._change_bits(offset, nr)
        self._uncount(offset >> SWAPFILE_CLUSTER_SHIFT, nr)

    def _not_allocated(self, offset: int, nr: int) -> InvalidArgument:
        return InvalidArgument(
            f"Slots {offset} to {offset + nr - 1} of device {self.type} are not all allocated; free a slot once."
        )

    def _uncount(self, cluster: int, nr: int) -> None:
        """Count `nr` slots just freed; move the cluster, and the device if it was full."""
        lists = self.lists
        count = lists.count[cluster] - nr
        lists.count[cluster] = count
        if not count:
            self._free_cluster(cluster)
        elif lists.state[cluster] != NONFULL:
            lists.move(cluster, NONFULL)
        self.uncount_device(nr)

    def uncount_device(self, nr: int) -> None:
        """Take `nr` slots off `inuse_pages`; a device that was full can be allocated from again."""
        if self.inuse_pages == self.pages and self.writeok:
            self.shared.add_avail(self)
        self.inuse_pages -= nr

    def _free_cluster(self, cluster: int) -> None:
        """Give back the table of an empty cluster; the cluster is free, or is to be discarded first."""
        self.rmap.release(cluster << SWAPFILE_CLUSTER_SHIFT, SWAPFILE_CLUSTER)
        self.lists.move(cluster, self.empty_state)
        self.lists.order[cluster] = 0

    @property
    def empty_state(self) -> int:
        """The list that a cluster goes to when it becomes empty; a device on its way out discards nothing more."""
        return DISCARD if self.discard and self.writeok else FREE

    def do_discards(self) -> int:
        """Tell the device about all emptied clusters, as the discard worker does; return how many there were."""
        done = 0
        for cluster in list(self.lists.discard):
            # A discard is advice: the cluster is as free if the device fails to take it.
            with suppress(SwapError):
                self.device.discard(cluster << SWAPFILE_CLUSTER_SHIFT, SWAPFILE_CLUSTER)
            self.lists.move(cluster, FREE)
            done += 1
        return done

    def offsets(self, slots: U64) -> U64:
        """Return the offsets of slots of this device (uint64)."""
        return slots - np.uint64(self.slot_base) if self.slot_base else slots

    # -- array forms ---------------------------------------------------------------------------------------------

    def alloc_many(self, nr: int, order: int = 0, cpu: int = 0) -> U64:
        """Array form of `alloc`: the first offsets of `nr` runs (uint64), fewer when the device has no more."""
        return alloc_many(self, nr, order, cpu)

    def free_many(self, offsets: U64) -> None:
        """Array form of `free_run`: free distinct slots (uint64, in any order).

        Raises InvalidArgument if one of them is not allocated; then none is freed.
        """
        free_many(self, offsets)
        if self.write_failed:
            self.write_failed.difference_update(offsets.tolist())

    def check(self) -> None:
        """Check every invariant of this device; InvariantError names the one that fails."""
        check_swapfile(self)


def _first_run(busy: int, start: int, order: int) -> int:
    """Return the first aligned run of 1 << `order` clear bits from index `start` on, or -1."""
    for step in range(order):
        busy |= busy >> (1 << step)
    clear = ~busy & _ALIGNED[order] & (_FULL_BITS << start)
    return (clear & -clear).bit_length() - 1
