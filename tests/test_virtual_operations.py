"""Every public operation of the layer: what it does, its errors, and its roll-back."""

from __future__ import annotations

import errno

import pytest
from swapkit import Kit

from vswaplab.entry import Backing
from vswaplab.errors import Busy, Exists, InvalidArgument, NoMemory, NotFound, SwapError


@pytest.fixture
def kit() -> Kit:
    return Kit(slots=2048, zswap=True)


def test_a_fresh_entry_is_folio_backed_pinned_and_has_count_0(kit: Kit) -> None:
    folio = kit.out(count=0)
    desc = kit.swap.lookup(folio.swap)
    assert (desc.type, desc.swap_count, desc.in_swapcache) == (Backing.FOLIO, 0, True)
    assert desc.swap_cache is folio
    assert desc.memcgid == 1
    assert (folio.refcount, folio.in_swapcache, kit.swap.nr_swapcached) == (2, True, 1)


def test_allocation_takes_no_physical_slot_and_no_swap_charge(kit: Kit) -> None:
    kit.out(order=3)
    assert kit.device.inuse_pages == 0
    assert kit.memcgs[1].swap_charge == 0
    assert kit.memcgs[1].ids == 8


def test_allocation_needs_a_locked_uptodate_folio_without_swap(kit: Kit) -> None:
    folio = kit.folio()
    folio.locked = False
    with pytest.raises(InvalidArgument, match="locked"):
        kit.swap.folio_alloc_swap(folio)
    with pytest.raises(Exists):
        kit.swap.folio_alloc_swap(kit.out())


def test_allocation_failure_gives_memcg_references_back() -> None:
    kit = Kit(max_cluster_id=0)
    with pytest.raises(NoMemory) as error:
        kit.swap.folio_alloc_swap(kit.folio(order=9))
    assert error.value.errno == errno.ENOMEM
    assert kit.memcgs[1].ids == 0
    assert kit.swap.alloc_reject == 512
    assert not kit.swap.folios


def test_duplicate_and_free_count_page_table_references(kit: Kit) -> None:
    entry = kit.swapped(count=2)
    assert kit.swap.swp_swapcount(entry) == 2
    kit.swap.swap_duplicate(entry)
    kit.swap.swap_free_nr(entry, 1)
    kit.swap.swap_free_nr(entry, 1)
    assert kit.swap.swap_entry_swapped(entry)
    kit.swap.swap_free_nr(entry, 1)
    assert kit.swap.used == 0
    assert kit.zswap.stored_pages == 0


def test_duplicate_rolls_back_when_an_entry_is_missing(kit: Kit) -> None:
    first = kit.swapped(order=2)
    kit.swap.swap_free_nr(first + 2, 1)
    with pytest.raises(NotFound):
        kit.swap.swap_duplicate_nr(first, 4)
    assert [kit.swap.swp_swapcount(first + i) for i in range(4)] == [1, 1, 0, 1]


def test_counts_go_beyond_62_without_continuation(kit: Kit) -> None:
    entry = kit.swapped()
    for _ in range(200):
        kit.swap.swap_duplicate(entry)
    assert kit.swap.swp_swapcount(entry) == 201


@pytest.mark.parametrize("entry", [0, 7, 10**9])
def test_operations_on_an_absent_entry_are_enoent(kit: Kit, entry: int) -> None:
    for operation in (kit.swap.swap_duplicate, kit.swap.swapcache_prepare, kit.swap.lookup, kit.swap.cluster_of):
        with pytest.raises(NotFound):
            operation(entry)
    assert kit.swap.swp_swapcount(entry) == 0
    assert kit.swap.swap_cache_get_folio(entry) is None
    assert kit.swap.tryget_swap_entry(entry) == (False, None)


def test_dropping_a_reference_too_many_is_refused(kit: Kit) -> None:
    folio = kit.out(count=0)
    with pytest.raises(InvalidArgument, match="no page table reference"):
        kit.swap.swap_free_nr(folio.swap, 1)


def test_a_free_stopped_half_way_still_frees_what_it_took_the_last_reference_from(kit: Kit) -> None:
    first = kit.swapped(order=1)
    with pytest.raises(NotFound):
        kit.swap.swap_free_nr(first, 3)
    assert kit.swap.used == 0
    kit.swap.check()


def test_prepare_pins_once_and_rolls_back_its_prefix(kit: Kit) -> None:
    first = kit.swapped(order=2)
    kit.swap.swapcache_prepare(first + 3)
    with pytest.raises(Exists) as error:
        kit.swap.swapcache_prepare(first, 4)
    assert error.value.errno == errno.EEXIST
    assert [kit.swap.is_swap_cached(first + i) for i in range(4)] == [False, False, False, True]
    kit.swap.swap_free_nr(first + 1, 1)
    with pytest.raises(NotFound):
        kit.swap.swapcache_prepare(first, 3)
    assert not kit.swap.is_swap_cached(first)


def test_clear_frees_what_no_page_table_refers_to(kit: Kit) -> None:
    first = kit.swapped(order=1)
    kit.swap.swapcache_prepare(first, 2)
    kit.swap.swap_free_nr(first, 1)
    assert kit.swap.used == 2
    kit.swap.swapcache_clear(first, 2)
    assert kit.swap.entries() == [first + 1]
    kit.swap.swapcache_clear(first, 0)
    assert kit.swap.entries() == [first + 1]


def test_adding_a_folio_needs_the_pin_and_returns_the_shadow(kit: Kit) -> None:
    folio = kit.out()
    entry = folio.swap
    kit.swap.swap_writeout(folio)
    kit.swap.vswap_remove_mapping(folio, shadow=0x123 << 1 | 1)
    assert kit.swap.swap_cache_get_shadow(entry) == 0x247
    assert kit.swap.swap_cache_get_folio(entry) is None
    with pytest.raises(InvalidArgument, match="swapcache_prepare"):
        kit.swap.swap_cache_add_folio(kit.folio(), entry)
    kit.swap.swapcache_prepare(entry)
    again = kit.folio()
    assert kit.swap.swap_cache_add_folio(again, entry) == 0x247
    assert kit.swap.swap_cache_get_folio(entry) is again
    assert kit.swap.swap_cache_get_shadow(entry) == 0
    with pytest.raises(InvalidArgument, match="Another folio"):
        kit.swap.swap_cache_add_folio(kit.folio(), entry)


def test_a_folio_that_is_the_only_copy_may_not_be_dropped(kit: Kit) -> None:
    folio = kit.out()
    with pytest.raises(Busy, match="only copy"):
        kit.swap.swap_cache_del_folio(folio)
    kit.swap.swap_writeout(folio)
    folio.writeback = True
    with pytest.raises(Busy, match="writeback"):
        kit.swap.swap_cache_del_folio(folio)
    folio.writeback = False
    kit.swap.swap_cache_del_folio(folio)
    assert (folio.refcount, folio.in_swapcache, folio.swap) == (1, False, 0)


def test_folio_free_swap_frees_only_what_nobody_refers_to(kit: Kit) -> None:
    folio = kit.out(order=1)
    assert not kit.swap.folio_free_swap(folio)
    kit.swap.swap_free_nr(folio.swap, 1)
    assert not kit.swap.folio_free_swap(folio), "the second page is still referred to"
    kit.swap.swap_free_nr(folio.swap + 1, 1)
    folio.dirty = False
    folio.writeback = True
    assert not kit.swap.folio_free_swap(folio)
    folio.writeback, kit.swap.storage_suspended = False, True
    assert not kit.swap.folio_free_swap(folio), "hibernation keeps swap as it is"
    kit.swap.storage_suspended = False
    assert kit.swap.folio_free_swap(folio)
    assert folio.dirty
    assert kit.swap.used == 0
    assert not kit.swap.folio_free_swap(folio)


def test_free_swap_and_cache_drops_a_cache_only_folio_and_hands_it_over(kit: Kit) -> None:
    folio = kit.out(order=2)
    folio.locked = False
    kit.swap.free_swap_and_cache_nr(folio.swap, 3)
    assert kit.swap.released == []
    kit.swap.free_swap_and_cache_nr(folio.swap + 3, 1)
    assert kit.swap.released == [folio]
    assert kit.swap.used == 0


def test_free_swap_and_cache_leaves_a_locked_folio_alone(kit: Kit) -> None:
    folio = kit.out()
    kit.swap.free_swap_and_cache_nr(folio.swap, 1)
    assert folio.in_swapcache
    assert kit.swap.released == []


def test_replace_and_split_repoint_descriptors(kit: Kit) -> None:
    old = kit.out(order=1)
    entry = int(old.swap)
    new = kit.folio(order=1)
    kit.swap.swap_cache_replace_folio(old, new)
    assert kit.swap.swap_cache_get_folio(entry + 1) is new
    assert (old.in_swapcache, old.refcount) == (False, 1)
    parts = [kit.folio(), kit.folio()]
    kit.swap.split_folio(new, parts)
    assert [kit.swap.swap_cache_get_folio(entry + i) for i in (0, 1)] == parts
    assert [part.swap for part in parts] == [entry, entry + 1]
    kit.swap.check()
    with pytest.raises(InvalidArgument):
        kit.swap.swap_cache_replace_folio(parts[0], kit.folio(order=1))


def test_kernel_names_that_begin_with_underscores_work() -> None:
    kit = Kit(slots=8)
    folio = kit.out()
    entry = int(folio.swap)
    swap = kit.swap
    assert getattr(swap, "__swap_count")(entry) == 1
    kit.swap.swap_writeout(folio)
    getattr(swap, "__vswap_remove_mapping")(folio, 5)
    assert swap.swap_cache_get_shadow(entry) == 5
    getattr(swap, "__swap_cgroup_record")(2, entry, 1)
    assert swap.lookup_swap_cgroup_id(entry) == 2


def test_cgroup_batch_is_the_prefix_with_one_owner(kit: Kit) -> None:
    first = kit.swapped(order=2)
    kit.swap.swap_cgroup_record(2, first + 2, 1)
    assert kit.swap.vswap_cgroup_batch(first, 4) == 2
    assert kit.swap.swap_cgroup_clear(first + 2, 1) == 2
    assert kit.swap.lookup_swap_cgroup_id(first + 2) == 0


def test_non_swapcache_batch_stops_at_a_pin_or_a_missing_entry(kit: Kit) -> None:
    first = kit.swapped(order=2)
    assert kit.swap.non_swapcache_batch(first, 8) == 4
    kit.swap.swapcache_prepare(first + 2)
    assert kit.swap.non_swapcache_batch(first, 8) == 2


def test_backing_questions_tell_uniform_ranges_from_mixed_ones() -> None:
    kit = Kit(slots=2048)
    disk = kit.swapped(b"\x07" * 4096 * 4, order=2)
    zero = kit.swapped(bytes(4096 * 4), order=2)
    cached = kit.out(order=2)
    swap = kit.swap
    assert swap.vswap_check_backing(disk, 4) == (4, Backing.SWAPFILE)
    assert swap.vswap_swapfile_backed(disk, 4)
    assert swap.vswap_can_swapin_thp(disk, 4)
    assert swap.vswap_can_swapin_thp(zero, 4)
    assert swap.vswap_check_backing(zero, 4) == (4, Backing.ZERO)
    assert swap.vswap_folio_backed(cached.swap, 4)
    assert not swap.vswap_can_swapin_thp(cached.swap, 4)
    assert disk + 4 == zero
    assert not swap.vswap_can_swapin_thp(disk, 8)
    assert swap.swap_zeromap_batch(disk, 8) == (4, False)
    assert swap.swap_zeromap_batch(zero, 8) == (4, True)
    assert not swap.vswap_can_swapin_thp(10**6, 1)


def test_zswap_ranges_are_never_swapped_in_as_one_large_folio(kit: Kit) -> None:
    entry = kit.swapped(order=2)
    assert kit.swap.lookup(entry).type is Backing.ZSWAP
    assert not kit.swap.vswap_can_swapin_thp(entry, 4)


def test_scattered_slots_are_not_one_range() -> None:
    kit = Kit(slots=2048)
    a = kit.swapped()
    kit.swapped()
    b = kit.out(b"\x09" * 4096)
    assert b.swap == a + 2
    kit.swap.swap_writeout(b)
    assert kit.swap.vswap_check_backing(a, 3) == (3, Backing.SWAPFILE)
    kit.swap.swap_free_nr(a + 1, 1)
    assert kit.swap.vswap_check_backing(a, 3) == (1, Backing.SWAPFILE)


def test_tryget_pins_the_cluster_and_the_device() -> None:
    kit = Kit(slots=2048)
    entry = kit.swapped()
    pinned, si = kit.swap.tryget_swap_entry(entry)
    assert pinned
    assert si is kit.device
    with pytest.raises(Busy):
        kit.swap.swapoff(si.type, host=None)
    kit.swap.swap_free_nr(entry, 1)
    cluster = kit.swap.clusters[0]
    assert (cluster.count, cluster.pins) == (0, 1), "the pin outlives the slot"
    kit.swap.vswap_cpu_dead(0)
    assert 0 in kit.swap.clusters
    kit.swap.put_swap_entry(entry, si)
    assert not kit.swap.clusters
    with pytest.raises(InvalidArgument):
        kit.swap.put_swap_entry(entry, None)


def test_rmap_leads_from_slot_to_entry_and_back() -> None:
    kit = Kit(slots=2048)
    entry = kit.swapped(order=2)
    slot = kit.swap.swp_entry_to_swp_slot(entry + 3)
    assert kit.swap.swp_slot_to_swp_entry(slot) == entry + 3
    assert kit.swap.swp_entry_to_swp_slot(kit.out().swap) == 0


def test_cache_only_bit_follows_the_count() -> None:
    kit = Kit(slots=2048)
    entry = kit.swapped()
    slot = kit.swap.swp_entry_to_swp_slot(entry)
    kit.into_cache(entry)
    assert not kit.swap.swap_rmap_is_cache_only(slot)
    kit.swap.swap_free_nr(entry, 1)
    assert kit.swap.swap_rmap_is_cache_only(slot)
    assert kit.swap.swp_slot_to_swp_entry(slot) == entry, "the bit is masked off"
    kit.swap.swap_duplicate(entry)
    assert not kit.swap.swap_rmap_is_cache_only(slot)


def test_batched_free_breaks_at_cluster_edges_memcgs_and_runs() -> None:
    kit = Kit(slots=2048)
    entries = [kit.swapped(memcg=1 if i < 400 else 2) for i in range(600)]
    freed: list[tuple[int, int]] = []
    real = kit.swap.vswap_free_nr
    kit.swap.vswap_free_nr = lambda cluster, entry, nr: (freed.append((entry, nr)), real(cluster, entry, nr))
    runs: list[tuple[int, int]] = []
    free_slots = kit.devices.free_slots
    kit.devices.free_slots = lambda slot, nr: (runs.append((slot.offset, nr)), free_slots(slot, nr))
    kit.swap.swap_free_nr(entries[0], 600)
    assert freed == [(1, 400), (401, 111), (512, 89)], "memory cgroup change, then cluster edge"
    assert sum(nr for _, nr in runs) == 600
    assert kit.memcgs[1].ids == kit.memcgs[2].ids == 0
    assert kit.memcgs[1].swap_charge == kit.memcgs[2].swap_charge == 0


def test_physical_runs_are_freed_in_one_call_until_they_break() -> None:
    kit = Kit(slots=2048)
    a = kit.swapped(order=2)
    hole = kit.swapped()
    b = kit.swapped(order=2)
    runs: list[tuple[int, int]] = []
    free_slots = kit.devices.free_slots
    kit.devices.free_slots = lambda slot, nr: (runs.append((int(slot), nr)), free_slots(slot, nr))
    kit.swap.swap_free_nr(a, 4)
    assert len(runs) == 1
    assert runs[0][1] == 4
    assert hole
    assert b == a + 4, "order 2 has a cluster of its own"


def test_swap_max_stops_physical_backing_and_gives_the_slots_back() -> None:
    kit = Kit(slots=2048)
    kit.memcgs[1].swap_max = 5
    kit.swapped(order=2)
    folio = kit.out(order=2)
    assert kit.swap.vswap_alloc_swap_slot(folio) == 0
    assert kit.device.inuse_pages == 4
    assert kit.memcgs[1].swap_charge == 4
    assert kit.swap.lookup(folio.swap).type is Backing.FOLIO


def test_cluster_lock_is_seen_by_the_allocator() -> None:
    kit = Kit()
    folio = kit.out()
    kit.swap.swap_cache_lock(folio.swap)
    assert kit.swap.cluster_of(folio.swap).locked
    kit.swap.swap_cache_unlock(folio.swap)
    assert not kit.swap.cluster_of(folio.swap).locked
    assert kit.swap.vswap_same_cluster(folio.swap, folio.swap + 1)
    assert not kit.swap.vswap_same_cluster(511, 512)


def test_errors_are_oserrors_with_the_errno_of_the_kernel() -> None:
    assert issubclass(SwapError, OSError)
    assert [cls("x").errno for cls in (NotFound, Exists, NoMemory, Busy, InvalidArgument)] == [
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOMEM,
        errno.EBUSY,
        errno.EINVAL,
    ]


NAMES = """
folio_alloc_swap swap_duplicate swap_duplicate_nr swap_shmem_alloc swap_free swap_free_nr free_swap_and_cache_nr
swapcache_prepare swapcache_clear put_swap_folio swap_cache_add_folio swap_cache_get_folio swap_cache_get_shadow
swap_cache_del_folio __vswap_remove_mapping __swap_cache_replace_folio folio_free_swap swp_swapcount __swap_count
swap_entry_swapped is_swap_cached non_swapcache_batch swp_entry_to_swp_slot swp_slot_to_swp_entry
vswap_alloc_swap_slot vswap_store_folio vswap_prepare_writeout swap_zeromap_folio_set zswap_entry_store
zswap_entry_load vswap_check_backing vswap_swapfile_backed vswap_folio_backed vswap_can_swapin_thp
swap_zeromap_batch tryget_swap_entry put_swap_entry swap_cache_lock swap_cache_lock_irq swap_cache_unlock
swap_cache_unlock_irq vswap_cgroup_batch lookup_swap_cgroup_id swap_cgroup_clear __swap_cgroup_record
vswap_same_cluster vswap_rmap_set swap_rmap_mark swap_rmap_clear swap_rmap_is_cache_only vswap_cpu_dead vswap_init
release_backing vswap_free_nr swap_writeout swap_read_folio
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_each_operation_has_the_kernels_name(name: str) -> None:
    assert callable(getattr(Kit().swap, name))


def test_vswap_init_sets_an_empty_layer_up() -> None:
    kit = Kit()
    swap = type(kit.swap).vswap_init(devices=kit.devices, zswap=None, memcgs=kit.memcgs)
    assert (swap.used, swap.clusters) == (0, {})
    swap.check()
