"""Swap devices one rule at a time: priorities, order of search, relocation, reclaim, discard, swapoff [S20][S15]."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vswaplab.backends.device import Fault, FileDevice, MemoryDevice
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, ClusterState
from vswaplab.backends.swapfile import Discard, SwapDevices, SwapFile
from vswaplab.entry import MAX_SWAPFILES, SLOT_OFFSET_BITS, make_slot, swp_slot_t
from vswaplab.errors import Busy, InvalidArgument, InvariantError, NotFound, NotPermitted
from vswaplab.units import PAGE_SIZE


def device(slots: int, bad_pages: tuple[int, ...] = (), rotational: bool = False) -> MemoryDevice:
    made = MemoryDevice(slots * PAGE_SIZE, bad_pages=bad_pages)
    made.rotational = rotational
    return made


def one(slots: int, discard: Discard = False, **how: object) -> tuple[SwapDevices, SwapFile]:
    devices = SwapDevices(cpus=2)
    return devices, devices.swapon(device(slots, **how), discard=discard)  # type: ignore[arg-type]


def cluster_of(offset: int) -> int:
    return offset // SWAPFILE_CLUSTER


# -- swapon ------------------------------------------------------------------------------------------------------


def test_without_a_priority_every_device_has_minus_one() -> None:
    """Linux 6.19: DEF_SWAP_PRIO for all, whatever was given by hand, and after one has gone [S48]."""
    devices = SwapDevices()
    prios = [devices.swapon(device(8), priority).prio for priority in (None, None, 5, None)]
    assert prios == [-1, -1, 5, -1]
    assert [si.type for si in devices.by_priority()] == [2, 0, 1, 3]
    devices.begin_swapoff(0)
    devices.finish_swapoff(0)
    assert [si.prio for si in devices] == [-1, 5, -1]
    assert devices.swapon(device(8)).prio == -1
    devices.check()


def test_devices_without_a_priority_take_turns_by_cluster() -> None:
    """Being equals, they take turns as those with one priority given by hand do; in the array form, too [S48]."""
    for many in (False, True):
        devices = SwapDevices()
        for _ in range(2):
            devices.swapon(device(2 * SWAPFILE_CLUSTER))
        nr = 4 * SWAPFILE_CLUSTER - 2
        slots = devices.alloc_many(nr).tolist() if many else [devices.alloc_slot() for _ in range(nr)]
        types = [slot >> SLOT_OFFSET_BITS for slot in slots]
        assert [types[0], *(b for a, b in pairwise(types) if a != b)] == [0, 1, 0, 1]
        assert types.count(0) == types.count(1)


def test_falling_priorities_descend_from_minus_two() -> None:
    """Up to 6.18 each device ranks below all those before it, whatever explicit ones come between [S48]."""
    devices = SwapDevices(default_priority="falling")
    prios = [devices.swapon(device(8), priority).prio for priority in (None, None, 5, None)]
    assert prios == [-2, -3, 5, -4]
    assert [si.type for si in devices.by_priority()] == [2, 0, 1, 3]


def test_falling_priorities_close_the_gap_when_a_device_goes() -> None:
    """After a swapoff the falling priorities are without gaps again, and the next one follows on."""
    devices = SwapDevices(default_priority="falling")
    for _ in range(3):
        devices.swapon(device(8))
    devices.begin_swapoff(1)
    devices.finish_swapoff(1)
    assert [si.prio for si in devices] == [-2, -3]
    assert devices.swapon(device(8)).prio == -4
    devices.check()


@pytest.mark.parametrize("priority", [-1, 32768])
def test_explicit_priority_out_of_range_is_refused(priority: int) -> None:
    """Priorities given are 0 to 32767."""
    with pytest.raises(InvalidArgument):
        SwapDevices().swapon(device(8), priority)
    assert SwapDevices().swapon(device(8), 32767).prio == 32767


def test_lowest_free_type_is_reused() -> None:
    """A new device takes the lowest number that no device has."""
    devices = SwapDevices()
    for _ in range(3):
        devices.swapon(device(8))
    devices.begin_swapoff(1)
    assert devices.swapon(device(8)).type == 3
    devices.finish_swapoff(1)
    with pytest.raises(NotFound):
        devices[1]
    assert devices.swapon(device(8)).type == 1
    assert [si.type for si in devices] == [0, 1, 2, 3]


def test_no_more_than_29_devices() -> None:
    """The thirtieth device is refused with EPERM, and accepted once another has gone."""
    devices = SwapDevices()
    for _ in range(MAX_SWAPFILES):
        devices.swapon(device(8))
    with pytest.raises(NotPermitted):
        devices.swapon(device(8))
    devices.begin_swapoff(28)
    devices.finish_swapoff(28)
    assert devices.swapon(device(8)).type == 28


def test_device_that_is_on_is_busy(tmp_path: Path) -> None:
    """The same device, or another one on the same file, is on once at most."""
    devices, again = SwapDevices(), device(8)
    devices.swapon(again)
    with pytest.raises(Busy):
        devices.swapon(again)
    with FileDevice(tmp_path / "swap", "64K") as file:
        devices.swapon(file)
        same = device(8)
        same.path = file.path
        with pytest.raises(Busy):
            devices.swapon(same)
    assert len(devices) == 2


def test_usable_pages_leave_out_header_and_bad_pages() -> None:
    """Bad slots and the header are never allocated, and are not in the allocated map."""
    devices, si = one(1000, bad_pages=(1, 7, 999))
    assert (si.pages, si.max, si.bad_pages) == (996, 1000, 3)
    offsets = {si.alloc() for _ in range(996)}
    assert offsets == set(range(1000)) - {0, 1, 7, 999}
    assert si.alloc() == 0
    assert [offset for offset in range(1000) if si.is_bad(offset)] == [0, 1, 7, 999]
    assert not any(si.is_allocated(offset) for offset in (0, 1, 7, 999))
    devices.check()


def test_device_of_bad_pages_only_is_refused() -> None:
    """A swap area with nothing to use is -EINVAL, and leaves nothing behind."""
    devices = SwapDevices()
    with pytest.raises(InvalidArgument):
        devices.swapon(device(4, bad_pages=(1, 2, 3)))
    assert len(devices) == 0
    assert devices.swapon(device(8)).prio == -1


# -- which device ------------------------------------------------------------------------------------------------


def test_higher_priority_fills_first() -> None:
    """A device of lower priority is used when those above are full."""
    devices = SwapDevices()
    low, high = devices.swapon(device(11), 1), devices.swapon(device(11), 2)
    types = [devices.alloc_slot().type for _ in range(20)]
    assert types == [high.type] * 10 + [low.type] * 10
    assert devices.alloc_slot() == 0


def test_equals_take_turns_by_cluster() -> None:
    """Devices of one priority are used in turn: a solid state device for as long as its hint lasts, one cluster."""
    devices = SwapDevices()
    for _ in range(3):
        devices.swapon(device(4 * SWAPFILE_CLUSTER), 7)
    types = [devices.alloc_slot().type for _ in range(6 * SWAPFILE_CLUSTER - 3)]
    turns = [types[0], *(b for a, b in pairwise(types) if a != b)]
    assert turns == [0, 1, 2, 0, 1, 2]


def test_rotational_equals_take_turns_by_slot() -> None:
    """A rotational device has no hint per CPU, so every allocation walks the list of devices."""
    devices = SwapDevices(cpus=2)
    for _ in range(2):
        devices.swapon(device(1024, rotational=True), 7)
    slots = [devices.alloc_slot(cpu=cpu) for cpu in (0, 1, 0, 1)]
    assert [slot.type for slot in slots] == [0, 1, 0, 1]
    # Both CPUs go on in the one global cluster of a device.
    third = devices.alloc_slot(cpu=1)
    assert (third.type, third.offset) == (0, 3)
    devices.check()


def test_cpus_allocate_from_clusters_of_their_own() -> None:
    """Each CPU goes on where its own last run of that order ended."""
    devices, _ = one(8 * SWAPFILE_CLUSTER)
    offsets = [devices.alloc_slot(0, cpu).offset for cpu in (0, 1, 0, 1)]
    assert cluster_of(offsets[0]) != cluster_of(offsets[1])
    assert offsets[2:] == [offsets[0] + 1, offsets[1] + 1]
    devices.cpu_dead(0)
    assert devices.percpu[0].device == [None] * 10
    devices.check()


def test_large_folio_tries_one_device_only() -> None:
    """A run that the first device can't give is refused though the next one has room; then it is the other's turn."""
    devices = SwapDevices()
    small, large = devices.swapon(device(40), 7), devices.swapon(device(4096), 7)
    assert [devices.alloc_slot(9).type for _ in range(2)] == [0, large.type]
    assert devices.alloc_slot(9) == 0
    assert small.inuse_pages == 0


def test_scattered_swapfile_holds_no_large_folio() -> None:
    """Large orders are refused on a swapfile whose blocks are scattered."""
    devices, scattered = SwapDevices(), device(4096)
    scattered.block = False  # type: ignore[attr-defined]
    si = devices.swapon(scattered)
    assert devices.alloc_slot(1) == 0
    assert not len(si.alloc_many(5, order=2))
    assert devices.alloc_slot(0).offset == 1


@pytest.mark.parametrize("order", [-1, 10])
def test_order_that_cannot_be_swapped_is_refused(order: int) -> None:
    """Orders are 0 to 9."""
    devices, _ = one(4096)
    with pytest.raises(InvalidArgument):
        devices.alloc_slot(order)


def test_full_device_leaves_the_list_until_a_slot_is_freed() -> None:
    """A device is on the list to allocate from exactly while it has room."""
    devices, si = one(11)
    slots = [devices.alloc_slot() for _ in range(10)]
    assert devices.avail == []
    devices.free_slots(slots[4])
    assert devices.avail == [si]
    assert devices.alloc_slot() == slots[4]
    assert devices.avail == []


# -- inside a device ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(10))
def test_runs_are_aligned_and_within_a_cluster(order: int) -> None:
    """A run of 1 << order slots starts at a multiple of its length; it fills clusters without leaving holes."""
    devices, si = one(4 * SWAPFILE_CLUSTER)
    offsets = [slot.offset for slot in iter(lambda: devices.alloc_slot(order), 0)]
    assert all(offset % (1 << order) == 0 for offset in offsets)
    assert len(set(offsets)) == len(offsets)
    # The cluster with the header is never empty, so it serves single slots only.
    first = 1 if order == 0 else SWAPFILE_CLUSTER
    assert sorted(offsets)[0] == first
    assert len(offsets) == (4 * SWAPFILE_CLUSTER - first) >> order
    assert all(si.is_allocated(offset + (1 << order) - 1) for offset in offsets)
    devices.check()


def test_order_is_fixed_while_the_cluster_holds_anything() -> None:
    """A cluster of one order serves no other large order, until it is empty."""
    devices, si = one(3 * SWAPFILE_CLUSTER)
    first, second = devices.alloc_slot(3), devices.alloc_slot(2)
    assert cluster_of(first.offset) != cluster_of(second.offset)
    assert devices.alloc_slot(4) == 0
    devices.free_slots(first, 8)
    assert cluster_of(devices.alloc_slot(4).offset) == cluster_of(first.offset)
    assert si.lists.order[cluster_of(first.offset)] == 4


def test_single_slots_steal_from_higher_orders_last() -> None:
    """When nothing else is left, a single slot comes from a cluster of a higher order, which keeps its order."""
    devices, si = one(2 * SWAPFILE_CLUSTER)
    large = devices.alloc_slot(4)
    assert {cluster_of(devices.alloc_slot().offset) for _ in range(511)} == {0}
    stolen = devices.alloc_slot()
    assert cluster_of(stolen.offset) == cluster_of(large.offset)
    assert si.lists.order[1] == 4
    devices.check()


def test_search_takes_nonfull_then_free_then_frag() -> None:
    """Clusters are looked at in the order nonfull, free, frag."""
    devices, si = one(6 * SWAPFILE_CLUSTER)
    kept, freed = devices.alloc_slot(1, cpu=0), devices.alloc_slot(1, cpu=1)
    lists = si.lists
    assert lists.members(ClusterState.FRAG, 1) == [1, 2]
    spare = devices.alloc_slot(1, cpu=1)
    devices.free_slots(spare, 2)
    assert lists.members(ClusterState.NONFULL, 1) == [2]
    devices.cpu_dead(0)
    devices.cpu_dead(1)
    assert cluster_of(devices.alloc_slot(1).offset) == cluster_of(freed.offset) == 2
    assert lists.members(ClusterState.NONFULL, 1) == []
    devices.cpu_dead(0)
    assert cluster_of(devices.alloc_slot(1).offset) == 3
    while lists.free_head() >= 0:
        devices.alloc_slot(9)
    devices.cpu_dead(0)
    assert cluster_of(devices.alloc_slot(1).offset) == cluster_of(kept.offset) == 1
    assert lists.members(ClusterState.FRAG, 1) == [2, 3, 1]


def test_every_nonfull_cluster_is_tried_before_free() -> None:
    """A nonfull cluster without an aligned run goes to frag, and the next one is tried."""
    devices, si = one(6 * SWAPFILE_CLUSTER)
    runs = [devices.alloc_slot(4) for _ in range(64)]
    for run in (runs[3], runs[40]):
        devices.free_slots(run + 1)  # cluster 1 keeps no room for a run, cluster 2 does
    devices.free_slots(runs[40], 1)
    devices.free_slots(runs[40] + 2, 14)
    assert si.lists.members(ClusterState.NONFULL, 4) == [1, 2]
    devices.cpu_dead(0)
    assert devices.alloc_slot(4) == runs[40]
    assert si.lists.members(ClusterState.FRAG, 4) == [1]
    assert si.lists.members(ClusterState.NONFULL, 4) == []
    devices.check()


def test_cluster_on_frag_keeps_its_place_while_the_hint_uses_it() -> None:
    """Allocation through the hint moves a cluster to frag once, and not again to the tail."""
    devices, si = one(6 * SWAPFILE_CLUSTER)
    for cpu in (0, 1, 0, 0):
        devices.alloc_slot(1, cpu)
    assert si.lists.members(ClusterState.FRAG, 1) == [1, 2]


def test_clusters_move_with_use() -> None:
    """In use: frag; without room: full; after a free: nonfull; empty: at the tail of free."""
    devices, si = one(3 * SWAPFILE_CLUSTER)
    slots = [devices.alloc_slot(1) for _ in range(255)]
    assert si.lists.state[1] == ClusterState.FRAG
    slots.append(devices.alloc_slot(1))
    assert si.lists.state[1] == ClusterState.FULL
    devices.free_slots(slots[9], 2)
    assert si.lists.members(ClusterState.NONFULL, 1) == [1]
    for slot in slots[:9] + slots[10:]:
        devices.free_slots(slot, 2)
    assert si.lists.members(ClusterState.FREE) == [2, 1]
    devices.check()


def test_free_list_is_that_of_a_list_with_every_cluster() -> None:
    """Clusters freed go behind those never used: free is a queue that starts as all clusters in order."""
    devices, si = one(6 * SWAPFILE_CLUSTER)
    first, second = devices.alloc_slot(9), devices.alloc_slot(9)
    devices.free_slots(second, 512)
    devices.free_slots(first, 512)
    assert si.lists.members(ClusterState.FREE) == [3, 4, 5, 2, 1]
    assert [cluster_of(devices.alloc_slot(9).offset) for _ in range(5)] == [3, 4, 5, 2, 1]


def test_free_run_crosses_clusters() -> None:
    """A run over a cluster's edge is freed, one cluster at a time, its rmap words with it."""
    devices, si = one(4 * SWAPFILE_CLUSTER)
    offsets = devices.alloc_many(4 * SWAPFILE_CLUSTER - 1)
    devices.rmap_set_many(offsets, offsets)
    si.free_run(300, 1000)
    assert si.inuse_pages == 4 * SWAPFILE_CLUSTER - 1001
    assert si.allocated_offsets().tolist() == [*range(1, 300), *range(1300, 2048)]
    assert si.allocated_offsets(start=1500).tolist() == list(range(1500, 2048))
    devices.check()


def test_freeing_a_free_slot_is_refused() -> None:
    """A slot is freed once; a refused call changes nothing in its cluster."""
    devices, si = one(2000)
    slot = devices.alloc_slot(3)
    for offset, nr in ((slot.offset, 9), (slot.offset - 1, 1), (0, 1), (2000, 1), (1 << 40, 1)):
        with pytest.raises(InvalidArgument):
            si.free_run(offset, nr)
    for offsets in ([slot.offset, slot.offset], [slot.offset, slot.offset + 8], [0], [2000]):
        with pytest.raises(InvalidArgument):
            si.free_many(np.array(offsets, np.uint64))
    assert si.inuse_pages == 8
    devices.check()


# -- rmap and cache-only slots -----------------------------------------------------------------------------------


def test_rmap_masks_the_cache_only_bit() -> None:
    """The entry reads the same with and without the cache-only bit, which setting the entry clears."""
    devices, si = one(2000)
    slot = devices.alloc_slot(2)
    si.rmap_set(slot.offset, 77, 4)
    si.rmap_mark_cache_only(slot.offset + 1)
    si.rmap_mark_cache_only(slot.offset + 1)
    assert [si.rmap_get(slot.offset + i) for i in range(4)] == [77, 78, 79, 80]
    assert [si.rmap_is_cache_only(slot.offset + i) for i in range(4)] == [False, True, False, False]
    assert si.cache_only_pages == 1
    si.rmap_clear_cache_only(slot.offset + 1)
    assert (si.cache_only_pages, si.rmap_get(slot.offset + 1)) == (0, 78)
    for i in (2, 3):
        si.rmap_mark_cache_only(slot.offset + i)
    si.rmap_set(slot.offset + 2, 90)
    assert (si.cache_only_pages, si.rmap_get(slot.offset + 2)) == (1, 90)
    si.rmap_set(slot.offset, 0, 4)
    assert si.rmap_get_many(np.arange(slot.offset, slot.offset + 4, dtype=np.uint64)).tolist() == [0] * 4
    devices.check()


class Reclaimer:
    """A design that frees what it is asked for, unless told to refuse, and remembers the questions."""

    def __init__(self, devices: SwapDevices) -> None:
        self.devices = devices
        self.asked: list[int] = []
        self.refuse: set[int] = set()
        devices.reclaim_slot = self

    def __call__(self, slot: swp_slot_t) -> int:
        self.asked.append(slot.offset)
        if slot.offset in self.refuse:
            return 0
        self.devices.free_slots(slot)
        return 1


def two_clusters_full_but_for_the_last_slot() -> tuple[SwapDevices, SwapFile, Reclaimer]:
    devices, si = one(2 * SWAPFILE_CLUSTER)
    devices.alloc_many(2 * SWAPFILE_CLUSTER - 2)
    return devices, si, Reclaimer(devices)


def test_cache_only_slots_are_reclaimed_when_swap_is_half_full() -> None:
    """A slot that only the swap cache keeps is as good as free, once swap is more than half full."""
    devices, si, reclaimer = two_clusters_full_but_for_the_last_slot()
    devices.free_slots(make_slot(0, 700))
    si.rmap_mark_cache_only(600)
    devices.cpu_dead(0)
    assert devices.alloc_slot().offset == 600
    assert reclaimer.asked == [600]
    devices.check()


def test_cache_only_slots_are_left_alone_while_swap_is_half_empty() -> None:
    """Below half full no cache-only slot is given up."""
    devices, si = one(4 * SWAPFILE_CLUSTER)
    reclaimer = Reclaimer(devices)
    devices.alloc_many(800)
    devices.free_slots(make_slot(0, 700))
    si.rmap_mark_cache_only(600)
    devices.cpu_dead(0)
    assert not devices.vm_swap_full()
    assert devices.alloc_slot().offset == 700
    assert reclaimer.asked == []


def test_vm_swap_full_counts_all_devices() -> None:
    """Half full means half of all swap, not of one device."""
    devices, _ = one(1 + 512)
    devices.alloc_many(512)
    assert devices.vm_swap_full()
    other = devices.swapon(device(1 + 512))
    assert (devices.free_pages, devices.total_pages, devices.vm_swap_full()) == (512, 1024, False)
    other.alloc()
    assert devices.vm_swap_full()


def test_range_is_looked_at_again_after_reclaim() -> None:
    """A range whose reclaim failed is passed over for the next."""
    devices, si, reclaimer = two_clusters_full_but_for_the_last_slot()
    devices.free_slots(make_slot(0, 700))
    for offset in (600, 650):
        si.rmap_mark_cache_only(offset)
    reclaimer.refuse = {600}
    devices.cpu_dead(0)
    assert devices.alloc_slot().offset == 650
    assert reclaimer.asked == [600, 650]
    devices.check()


def test_a_run_is_reclaimed_whole() -> None:
    """A large run is usable if every allocated slot in it is cache-only; each is reclaimed first."""
    devices, si = one(3 * SWAPFILE_CLUSTER)
    reclaimer = Reclaimer(devices)
    runs = [devices.alloc_slot(2) for _ in range(256)]
    devices.free_slots(runs[0], 2)
    for i in (2, 3):
        si.rmap_mark_cache_only(runs[0].offset + i)
    si.rmap_mark_cache_only(runs[5].offset)  # one of four: the run stays in use
    assert devices.vm_swap_full()
    assert devices.alloc_slot(2) == runs[0]
    assert reclaimer.asked == [runs[0].offset + 2, runs[0].offset + 3]
    devices.check()


def test_one_full_cluster_is_reclaimed_before_frag() -> None:
    """When only frag is left and swap is more than half full, one full cluster gives up its cache-only slots."""
    devices, si, reclaimer = two_clusters_full_but_for_the_last_slot()
    for offset in (3, 5):
        si.rmap_mark_cache_only(offset)
    devices.cpu_dead(0)
    assert devices.alloc_slot().offset == 2 * SWAPFILE_CLUSTER - 1
    assert reclaimer.asked == [3, 5]
    assert si.lists.members(ClusterState.NONFULL) == [0]
    assert [devices.alloc_slot().offset for _ in range(2)] == [3, 5]
    devices.check()


def test_full_clusters_take_turns_in_reclaim() -> None:
    """Each reclaim looks at the next full cluster, though the last one gave nothing up."""
    devices, si = one(3 * SWAPFILE_CLUSTER)
    devices.alloc_many(3 * SWAPFILE_CLUSTER - 4)
    reclaimer = Reclaimer(devices)
    reclaimer.refuse = {7, 600}
    for offset in (7, 600):
        si.rmap_mark_cache_only(offset)
    for _ in range(3):
        devices.cpu_dead(0)
        devices.alloc_slot()
    assert reclaimer.asked == [7, 600, 7]


def test_cluster_emptied_by_reclaim_may_go_to_discard() -> None:
    """A cluster that reclaim empties on a discarding device is not allocated from before its discard."""
    devices, si = one(3 * SWAPFILE_CLUSTER, discard="pages")
    reclaimer = Reclaimer(devices)
    run = devices.alloc_slot(2)
    other = devices.alloc_slot(9)
    devices.alloc_many(300)
    devices.free_slots(run + 1, 3)
    si.rmap_mark_cache_only(run.offset)
    devices.cpu_dead(0)
    assert devices.vm_swap_full()
    assert devices.alloc_slot(2) == 0
    assert reclaimer.asked == [run.offset]
    assert si.lists.members(ClusterState.DISCARD) == [cluster_of(run.offset)]
    assert si.is_allocated(other.offset)
    devices.check()


# -- discard -----------------------------------------------------------------------------------------------------


def test_emptied_clusters_are_discarded_by_the_worker() -> None:
    """An emptied cluster waits on the discard list; the worker tells the device, then it is free."""
    devices, si = one(4 * SWAPFILE_CLUSTER, discard="pages")
    slot = devices.alloc_slot(9)
    devices.write(slot, b"x" * PAGE_SIZE * 512)
    devices.free_slots(slot, 512)
    assert si.lists.members(ClusterState.DISCARD) == [1]
    assert si.lists.members(ClusterState.FREE) == [2, 3]
    assert devices.read(slot) == b"x" * PAGE_SIZE
    assert devices.do_discards() == 1
    assert si.lists.members(ClusterState.FREE) == [2, 3, 1]
    assert devices.read(slot) == bytes(PAGE_SIZE)
    assert si.device.discards == 1
    devices.check()


def test_pending_discards_are_done_when_single_slots_run_out() -> None:
    """A single slot that fails everywhere has the discards issued at once and is tried again; a large folio is not."""
    devices, si = one(2 * SWAPFILE_CLUSTER, discard="pages")
    devices.free_slots(devices.alloc_slot(9), 512)
    for _ in range(511):
        devices.alloc_slot()
    assert devices.alloc_slot(9) == 0
    assert si.device.discards == 0
    assert devices.alloc_slot().offset == SWAPFILE_CLUSTER
    assert si.device.discards == 1


def test_discarding_device_uses_free_clusters_first() -> None:
    """On a device that discards, free comes before nonfull."""
    devices, si = one(4 * SWAPFILE_CLUSTER, discard="pages")
    first, second = devices.alloc_slot(1), devices.alloc_slot(1)
    devices.free_slots(second, 2)
    devices.cpu_dead(0)
    assert si.lists.members(ClusterState.NONFULL, 1) == [cluster_of(first.offset)]
    assert cluster_of(devices.alloc_slot(1).offset) == 2


def test_failed_discard_frees_the_cluster_all_the_same() -> None:
    """Discard is advice; a device that can't take it loses no room."""
    devices, si = one(2 * SWAPFILE_CLUSTER, discard="pages")
    devices.free_slots(devices.alloc_slot(9), 512)
    si.device.inject(Fault("discard"))
    assert devices.do_discards() == 1
    assert si.lists.members(ClusterState.FREE) == [1]
    devices.check()


def test_device_on_its_way_off_discards_nothing_more() -> None:
    """Clusters emptied by swapoff are free at once; there is nobody to discard them for."""
    devices, si = one(4 * SWAPFILE_CLUSTER, discard="pages")
    first, second = devices.alloc_slot(9), devices.alloc_slot(9)
    devices.begin_swapoff(0)
    devices.free_slots(first, 512)
    devices.free_many(np.arange(second, second + 512, dtype=np.uint64))
    assert si.lists.members(ClusterState.DISCARD) == []
    devices.abort_swapoff(0)
    assert si.lists.members(ClusterState.FREE) == [3, 1, 2]


def test_device_without_discard_is_not_asked() -> None:
    """Asking for discard on a device that has none changes nothing."""
    devices, plain = SwapDevices(), device(2 * SWAPFILE_CLUSTER)
    plain.discard_supported = False
    si = devices.swapon(plain, discard="pages")
    devices.free_slots(devices.alloc_slot(9), 512)
    assert (si.discard, si.lists.members(ClusterState.FREE)) == (False, [1])


# -- swapoff -----------------------------------------------------------------------------------------------------


def test_swapoff_begun_stops_allocation_and_may_be_taken_back() -> None:
    """A device on its way off gives no slots, though the hint points there; taken back, it has its old priority."""
    devices = SwapDevices()
    si, other = devices.swapon(device(1000), 9), devices.swapon(device(1000), 3)
    slot = devices.alloc_slot()
    assert devices.begin_swapoff(0) is si
    assert devices.alloc_slot().type == other.type
    assert (devices.total_pages, devices.by_priority()) == (999, [other])
    with pytest.raises(InvalidArgument):
        devices.begin_swapoff(0)
    devices.abort_swapoff(0)
    assert (si.prio, devices.by_priority(), devices.avail) == (9, [si, other], [si, other])
    devices.free_slots(slot)
    devices.check()


def test_swapoff_ends_only_when_the_device_is_empty() -> None:
    """finish_swapoff refuses a device in use; then it lets go of maps and hints, having discarded what was pending."""
    devices, si = one(4 * SWAPFILE_CLUSTER, discard="pages")
    devices.free_slots(devices.alloc_slot(9), 512)
    slot = devices.alloc_slot()
    with pytest.raises(InvalidArgument):
        devices.finish_swapoff(0)
    devices.begin_swapoff(0)
    assert si.device.discards == 1
    with pytest.raises(Busy):
        devices.finish_swapoff(0)
    devices.free_slots(slot)
    devices.finish_swapoff(0)
    assert devices.percpu[0].device == [None] * 10
    assert sum(si.metadata_bytes().values()) == 0
    assert (len(devices), devices.total_pages, devices.alloc_slot()) == (0, 0, 0)
    for type in (0, 5, -1):
        with pytest.raises(InvalidArgument):
            devices.begin_swapoff(type)
    devices.check()


# -- size, metadata, input and output ----------------------------------------------------------------------------


def test_device_of_128_tib_costs_what_is_used() -> None:
    """2**35 slots are there to use, and take memory only as they are used."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    devices = SwapDevices()
    si = devices.swapon(MemoryDevice("128T"))
    assert si.max == 1 << 35
    slots = devices.alloc_many(100_000)
    large = devices.alloc_slot(9)
    devices.rmap_set_many(slots, slots)
    assert si.metadata_bytes()["swap_table"] == 4096 * si.live_clusters == 4096 * (196 + 1)
    devices.check()
    devices.free_many(slots)
    devices.free_slots(large, 512)
    devices.check()
    assert (si.inuse_pages, si.live_clusters) == (0, 1)
    devices.begin_swapoff(0)
    devices.finish_swapoff(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_last_slot_of_a_device_of_128_tib_has_an_address() -> None:
    """Slots at the far end work as those at the near end."""
    devices = SwapDevices()
    si = devices.swapon(MemoryDevice("128T"))
    last = (1 << 35) - 1
    si.lists.untouched = si.nr_clusters - 1
    assert len(si.alloc_many(2 * SWAPFILE_CLUSTER - 1)) == 2 * SWAPFILE_CLUSTER - 1
    assert si.is_allocated(last)
    si.rmap_set(last, 5)
    assert si.rmap_get(last) == 5
    si.free_run(last)
    assert not si.is_allocated(last)


def test_metadata_is_counted_per_live_cluster() -> None:
    """Bitmaps are whole from swapon on, a table of rmap words exists per cluster that is not empty."""
    devices, si = one(64 * SWAPFILE_CLUSTER)
    sizes = si.metadata_bytes()
    assert (sizes["allocated"], sizes["bad_map"], sizes["swap_table"]) == (4096, 4096, 4096)
    slots = devices.alloc_many(1000)
    assert si.metadata_bytes()["swap_table"] == 2 * 4096
    devices.free_many(slots)
    assert si.metadata_bytes()["swap_table"] == 4096


def test_pages_are_read_back_from_the_right_device() -> None:
    """read and write go to the device and offset that the slot names."""
    devices = SwapDevices()
    for priority in (2, 1):
        devices.swapon(device(9), priority)
    slots = [devices.alloc_slot() for _ in range(16)]
    for i, slot in enumerate(slots):
        devices.write(slot, bytes([i]) * PAGE_SIZE)
    assert [devices.read(slot)[0] for slot in slots] == list(range(16))
    assert devices.read(slots[0], 2) == bytes(PAGE_SIZE) + b"\1" * PAGE_SIZE
    with pytest.raises(NotFound):
        devices.read(make_slot(5, 1))


def test_array_forms_span_devices() -> None:
    """free_many and the rmap forms sort slots of several devices out, in whatever order they come."""
    devices = SwapDevices()
    for _ in range(3):
        devices.swapon(device(2000), 5)
    slots = np.random.default_rng(1).permutation(devices.alloc_many(5000))
    entries = np.arange(1, 5001, dtype=np.uint64)
    devices.rmap_set_many(slots, entries)
    assert devices.rmap_get_many(slots).tolist() == entries.tolist()
    slot = make_slot(int(slots[7]) >> 58, int(slots[7]) & (1 << 58) - 1)
    assert devices[slot.type].rmap_get(slot.offset) == 8
    devices.check()
    devices.free_many(slots)
    assert devices.free_pages == devices.total_pages
    devices.check()


def test_array_form_of_one_device_replaces_the_hint_of_another() -> None:
    """Filling whole clusters leaves no hint behind, as filling them slot by slot does."""
    devices = SwapDevices()
    devices.swapon(device(1024), 9)
    other = devices.swapon(device(1024), 1)
    devices.alloc_slot(2)
    assert devices.percpu[0].device[2] is devices[0]
    assert len(other.alloc_many(128, order=2)) == 128
    assert devices.percpu[0].device[2] is None
    devices.check()


# -- check -------------------------------------------------------------------------------------------------------


def test_check_names_the_invariant_that_fails() -> None:
    """Each kind of damage is reported under the name of the invariant it breaks."""

    def damage(what: str) -> str:
        devices, si = one(4 * SWAPFILE_CLUSTER)
        slot = devices.alloc_slot(1)
        si.rmap_set(slot.offset, 9, 2)
        devices.check()
        cluster, lists = cluster_of(slot.offset), si.lists
        match what:
            case "inuse":
                si.inuse_pages += 1
            case "count":
                lists.count[cluster] += 1
            case "bad":
                si.bad_map.rows[slot.offset // 64] |= np.uint64(1 << slot.offset % 64)
            case "list":
                lists.frag[1].clear()
            case "wrong list":
                lists.nonfull[1][cluster] = lists.frag[1].pop(cluster)
            case "order":
                lists.order[cluster] = 2
            case "state":
                lists.move(cluster, ClusterState.FULL)
            case "rmap":
                si.rmap_set(slot.offset + 2, 5)
            case "cache-only":
                si.cache_only_pages = 1
            case "avail":
                devices.avail.clear()
            case "active":
                devices.active.clear()
            case "hint":
                devices.percpu[1].offset[3] = 8
        with pytest.raises(InvariantError) as caught:
            devices.check()
        return caught.value.invariant

    assert {what: damage(what) for what in ("inuse", "count", "bad", "list", "wrong list", "order", "state")} == {
        "inuse": "inuse-pages",
        "count": "cluster-count",
        "bad": "bad-slot-not-allocated",
        "list": "cluster-on-one-list",
        "wrong list": "cluster-on-the-right-list",
        "order": "cluster-order",
        "state": "full-cluster-is-full",
    }
    assert {what: damage(what) for what in ("rmap", "cache-only", "avail", "active", "hint")} == {
        "rmap": "free-slot-has-no-rmap",
        "cache-only": "cache-only-pages",
        "avail": "available-if-room",
        "active": "writable-is-active",
        "hint": "hint-whole",
    }
