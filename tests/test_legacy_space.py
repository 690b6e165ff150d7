"""The legacy design entry by entry: what Linux 6.19 does with slots, counts, zswap and the swap cache [S12 S14 S21]."""

from __future__ import annotations

import pytest
from swapkit import LegacyKit

from vswaplab import Machine
from vswaplab.backends.device import Fault, MemoryDevice
from vswaplab.entry import Backing, make_slot
from vswaplab.errors import Busy, Exists, Interrupted, InvalidArgument, Killed, NoMemory, NotFound
from vswaplab.legacy.swap_map import SWAP_HAS_CACHE, SWAP_MAP_SHMEM
from vswaplab.protocols import Writeout
from vswaplab.testing import page_of
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

TEXT, NOISE = page_of("text", 1), page_of("noise", 1)


@pytest.fixture
def kit() -> LegacyKit:
    return LegacyKit(slots=3000, zswap=True)


# -- slots ---------------------------------------------------------------------------------------------------------


def test_an_entry_is_the_physical_slot(kit: LegacyKit) -> None:
    folio = kit.out(TEXT)
    assert folio.swap == make_slot(0, 1)
    assert kit.swap.lookup(folio.swap).slot == make_slot(0, 1)
    second = kit.devices.swapon(MemoryDevice("4M"), priority=7)
    kit.swap.cpu = 1  # CPU 0 goes on where it was allocating
    assert kit.out(TEXT).swap == make_slot(second.type, 1)


@pytest.mark.parametrize("data", [ZERO_PAGE, TEXT, NOISE])
def test_every_page_that_is_out_holds_a_slot_and_is_charged(kit: LegacyKit, data: bytes) -> None:
    entry = kit.swapped(data)
    assert kit.device.inuse_pages == kit.memcgs[1].swap_charge == kit.memcgs[1].ids == 1
    kit.swap.swap_free(entry)
    assert kit.device.inuse_pages == kit.memcgs[1].swap_charge == kit.memcgs[1].ids == 0
    assert kit.zswap.stored_pages == 0
    kit.swap.check()


def test_without_a_device_nothing_can_be_swapped_zswap_or_not() -> None:
    kit = LegacyKit(zswap=True)
    assert not kit.swap.can_swap_out(None)
    with pytest.raises(NoMemory, match="No swap slot"):
        kit.swap.folio_alloc_swap(kit.folio(TEXT))


def test_swap_max_is_charged_at_swap_out_for_compressed_pages_too(kit: LegacyKit) -> None:
    kit.memcgs[1].swap_max = 2
    for _ in range(2):
        kit.swapped(TEXT)
    with pytest.raises(NoMemory, match=r"memory\.swap\.max"):
        kit.swap.folio_alloc_swap(kit.folio(TEXT))
    assert kit.device.inuse_pages == 2
    kit.swap.check()


def test_a_large_folio_takes_one_aligned_run(kit: LegacyKit) -> None:
    folio = kit.out(order=4)
    assert folio.swap % 16 == 0
    assert kit.swap.entries() == list(range(folio.swap, folio.swap + 16))
    with pytest.raises(NoMemory):
        LegacyKit(slots=8).swap.folio_alloc_swap(kit.folio(order=4))


# -- counts and errors ---------------------------------------------------------------------------------------------


def test_errors_of_swap_duplicate(kit: LegacyKit) -> None:
    entry = kit.swapped(TEXT)
    with pytest.raises(NotFound):
        kit.swap.swap_duplicate(entry + 1)
    for bad in (make_slot(0, 1 << 20), make_slot(3, 1), 0):
        with pytest.raises(InvalidArgument):
            kit.swap.swap_duplicate(bad)
    with pytest.raises(NotFound):  # the first one is taken back
        kit.swap.swap_duplicate_nr(entry, 2)
    assert kit.swap.swp_swapcount(entry) == 1
    kit.swap.swapcache_prepare(entry)
    with pytest.raises(Exists):
        kit.swap.swapcache_prepare(entry)
    kit.swap.swapcache_clear(entry)
    kit.swap.check()


def test_a_count_beyond_62_needs_a_continuation_page(kit: LegacyKit) -> None:
    entry = kit.swapped(TEXT)
    swap_map = kit.swap.info[0].swap_map
    for _ in range(61):
        kit.swap.swap_duplicate(entry)
    assert (kit.swap.swp_swapcount(entry), swap_map.continuation_pages) == (62, 0)
    swap_map.continuation_limit = 0
    with pytest.raises(NoMemory):
        kit.swap.swap_duplicate(entry)
    assert kit.swap.swp_swapcount(entry) == 62
    swap_map.continuation_limit = None
    for _ in range(10_000):
        kit.swap.swap_duplicate(entry)
    assert kit.swap.swp_swapcount(entry) == 10_062
    assert swap_map.continuation_pages >= 1
    kit.swap.check()
    for _ in range(10_062):
        kit.swap.swap_free(entry)
    assert kit.device.inuse_pages == 0
    kit.swap.check()


def test_shmem_leaves_its_mark(kit: LegacyKit) -> None:
    folio = kit.out(TEXT, count=0)
    kit.swap.swap_shmem_alloc(folio.swap, 1)
    offset = folio.swap
    kit.swap.swap_writeout(folio)
    kit.swap.remove_mapping(folio)
    assert kit.swap.info[0].swap_map.byte(offset) == SWAP_MAP_SHMEM
    assert kit.swap.swp_swapcount(offset) == 1
    kit.swap.swap_free(offset)
    assert kit.device.inuse_pages == 0
    kit.swap.check()


def test_a_fresh_slot_says_has_cache(kit: LegacyKit) -> None:
    folio = kit.out(TEXT, count=0)
    assert kit.swap.info[0].swap_map.byte(folio.swap) == SWAP_HAS_CACHE
    assert kit.device.rmap_is_cache_only(folio.swap)
    assert kit.swap.folio_free_swap(folio)
    assert kit.device.inuse_pages == 0


# -- out and in ----------------------------------------------------------------------------------------------------


def test_zero_text_and_noise_go_where_they_belong(kit: LegacyKit) -> None:
    kit.memcgs[2].zswap_allowed = False
    kinds = {ZERO_PAGE: Backing.ZERO, TEXT: Backing.ZSWAP}
    for data, kind in kinds.items():
        assert kit.swap.lookup(kit.swapped(data)).type is kind
    entry = kit.swapped(NOISE, memcg=2)
    assert kit.swap.lookup(entry).type is Backing.SWAPFILE
    assert kit.device.device.read(entry) == NOISE


def test_a_zswap_load_is_exclusive_but_keeps_the_slot(kit: LegacyKit) -> None:
    entry = kit.swapped(TEXT)
    folio = kit.into_cache(entry)
    kit.swap.swap_read_folio(folio)
    assert (folio.data, folio.dirty) == (TEXT, True)
    assert kit.zswap.stored_pages == 0
    assert kit.device.inuse_pages == 1
    assert kit.swap.lookup(entry).type is Backing.FOLIO
    with pytest.raises(Busy, match="only copy"):
        kit.swap.remove_mapping(folio)
    kit.swap.check()


def test_a_page_from_the_device_can_be_dropped_again_without_a_write(kit: LegacyKit) -> None:
    kit.memcgs[1].zswap_allowed = False
    entry = kit.swapped(TEXT)
    folio = kit.into_cache(entry)
    kit.swap.swap_read_folio(folio)
    assert not kit.swap.may_free_after_swapin(folio)
    writes = kit.device.device.writes
    kit.swap.remove_mapping(folio, shadow=5)
    assert kit.swap.swap_cache_get_shadow(entry) == 5
    again = kit.into_cache(entry)
    kit.swap.swap_read_folio(again)
    assert again.data == TEXT
    assert kit.device.device.writes == writes


def test_zero_again_text_again(kit: LegacyKit) -> None:
    entry = kit.swapped(ZERO_PAGE)
    folio = kit.into_cache(entry)
    kit.swap.swap_read_folio(folio)
    assert folio.data == ZERO_PAGE
    folio.data[:], folio.dirty = TEXT, True
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert kit.swap.lookup(entry).type is Backing.ZSWAP
    assert not kit.swap.info[0].is_zero(entry)


def test_a_partial_store_leaves_no_compressed_copy_behind(kit: LegacyKit) -> None:
    folio = kit.out(TEXT * 4, order=2)
    kit.zswap.inject("alloc", nth=3)
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert (kit.zswap.stored_pages, len(kit.swap.info[0].zswap_tree)) == (0, 0)
    assert kit.device.device.read(folio.swap, 4) == TEXT * 4
    kit.swap.check()


def test_a_refused_store_erases_what_an_older_one_left(kit: LegacyKit) -> None:
    folio = kit.out(TEXT)
    kit.swap.swap_writeout(folio)
    assert kit.swap.lookup(folio.swap).type is Backing.ZSWAP
    folio.data[:], folio.dirty = NOISE, True
    kit.memcgs[1].zswap_allowed = False
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert kit.zswap.stored_pages == 0
    entry = int(folio.swap)
    kit.swap.remove_mapping(folio)
    again = kit.into_cache(entry)
    kit.swap.swap_read_folio(again)
    assert again.data == NOISE


def test_refused_by_zswap_and_barred_from_the_device_a_page_stays_in_memory_with_its_slot(kit: LegacyKit) -> None:
    kit.memcgs[1].zswap_allowed = kit.memcgs[1].writeback_enabled = False
    folio = kit.out(TEXT)
    assert kit.swap.swap_writeout(folio) is Writeout.ACTIVATE
    assert folio.dirty
    assert kit.device.inuse_pages == 1  # the useless slot of section 4.8
    assert kit.swap.lookup(folio.swap).type is Backing.FOLIO
    kit.swap.check()


def test_a_failed_write_keeps_the_page(kit: LegacyKit) -> None:
    kit.memcgs[1].zswap_allowed = False
    kit.device.device.inject(Fault("write", "EIO"))
    folio = kit.out(TEXT)
    assert kit.swap.swap_writeout(folio) is Writeout.FAILED
    assert (folio.dirty, folio.data, kit.swap.write_errors) == (True, TEXT, 1)
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN


# -- write-back ----------------------------------------------------------------------------------------------------


def test_write_back_goes_to_the_reserved_slot_and_needs_no_room() -> None:
    kit = LegacyKit(slots=20, zswap=True)
    entries = [kit.swapped(page_of("text", i)) for i in range(20)]
    assert kit.device.free_pages == 0
    assert kit.swap.writeback(20) == 20
    assert kit.device.inuse_pages == 20
    for i, entry in enumerate(entries):
        assert kit.swap.lookup(entry).type is Backing.SWAPFILE
        assert kit.device.device.read(entry) == page_of("text", i)
    kit.swap.check()


def test_a_failed_write_back_leaves_the_page_in_a_folio(kit: LegacyKit) -> None:
    """The compressed copy is gone by then, and the slot, taken at swap-out, holds nothing [S21 S49]."""
    entry = kit.swapped(TEXT)
    kit.device.device.inject(Fault("write", "EIO"))
    assert kit.swap.writeback(1) == 1
    assert kit.swap.lookup(entry).type is Backing.FOLIO
    folio = kit.swap.swap_cache_get_folio(entry)
    assert (bytes(folio.data), folio.dirty, folio.uptodate, folio.locked) == (TEXT, True, True, False)
    assert kit.zswap.stored_pages == 0
    kit.swap.check()


def test_write_back_passes_a_page_by_that_is_on_its_way_in(kit: LegacyKit) -> None:
    entry = kit.swapped(TEXT)
    kit.swap.swapcache_prepare(entry)
    assert kit.swap.writeback(1) == 0
    kit.swap.swapcache_clear(entry)


# -- cache-only slots and readahead --------------------------------------------------------------------------------


def test_the_allocator_takes_cache_only_slots_back_when_swap_is_half_full() -> None:
    kit = LegacyKit(slots=600)
    cached = [kit.swapped(NOISE) for _ in range(598)]
    folios = [kit.into_cache(entry) for entry in cached[:50]]
    for folio in folios:
        kit.swap.swap_read_folio(folio)
        folio.locked = False
        kit.swap.swap_free(folio.swap)  # the page table maps the folio now
    assert kit.device.cache_only_pages == 50
    kit.swap.cpu = 1  # it looks from the start of a cluster, where CPU 0 goes on behind its last slot
    folio = kit.folio(NOISE)
    kit.swap.folio_alloc_swap(folio)
    assert len(kit.swap.released) == 50  # all of them: they sat in a full cluster
    assert kit.device.inuse_pages == 549
    kit.swap.check()


def test_readahead_names_neighbours_on_the_device(kit: LegacyKit) -> None:
    entries = [kit.swapped(TEXT) for _ in range(12)]
    assert kit.swap.readahead_entries(entries[9], 8) == [8, 9, 11, 12]
    kit.swap.swapcache_prepare(9)
    assert kit.swap.readahead_entries(entries[9], 8) == [8, 11, 12]
    kit.swap.swapcache_clear(9)


def test_a_large_swap_in_needs_zswap_to_have_been_off(kit: LegacyKit) -> None:
    entry = kit.swapped(TEXT * 4, order=2)
    assert not kit.swap.can_swapin_thp(entry, 4)
    plain = LegacyKit(slots=3000)
    entry = plain.swapped(TEXT * 4, order=2)
    assert plain.swap.can_swapin_thp(entry, 4)
    folio = plain.into_cache(entry, order=2)
    plain.swap.swap_read_folio(folio)
    assert folio.data == TEXT * 4


# -- swapoff -------------------------------------------------------------------------------------------------------


def machine(**parts: object) -> Machine:
    return Machine(ram="2M", design="legacy", page_cluster=0, **parts)  # type: ignore[arg-type]


def test_swapoff_rewrites_every_page_table_entry_and_loses_nothing() -> None:
    m = machine()
    si = m.swapon(size="4M")
    p = m.spawn("app")
    region = p.mmap("400K")
    contents = [page_of(kind, i) for i in range(25) for kind in ("zero", "same", "text", "noise")]
    for i, data in enumerate(contents):
        p.write(region.page(i).start, data)
    child = p.fork()
    m.reclaim()
    m.writeback(20)
    report = m.swapoff(si)
    assert (report.ptes_rewritten, report.pages_read, report.rounds) == (200, 100, 1)
    assert report.mms_walked == 2
    assert report.io_requests == 20
    assert not len(m.devices)
    for process in (p, child):
        assert [process.read(region.page(i).start, PAGE_SIZE) for i in range(100)] == contents
    m.check()


def test_an_interrupted_swapoff_leaves_the_device_on_and_a_second_one_finishes() -> None:
    m = machine()
    si = m.swapon(size="4M")
    p = m.spawn("app")
    region = p.mmap("400K")
    contents = [page_of("text", i) for i in range(100)]
    for i, data in enumerate(contents):
        p.write(region.page(i).start, data)
    m.reclaim()
    left = [30]

    def signal() -> bool:
        left[0] -= 1
        return left[0] < 0

    with pytest.raises(Interrupted):
        m.swapoff(si, cancel=signal)
    m.check()
    assert si.writeok
    assert 0 < si.inuse_pages < 100
    m.swapoff(si)
    assert [p.read(region.page(i).start, PAGE_SIZE) for i in range(100)] == contents


def test_swapoff_without_memory_leaves_the_device_on() -> None:
    m = Machine(ram="64K", design="legacy", zswap=None, page_cluster=0)
    si = m.swapon(size="4M")
    p = m.spawn("app")
    region = p.mmap("400K")
    for i in range(100):
        p.write(region.page(i).start, page_of("noise", i))
    with pytest.raises(Killed):
        m.swapoff(si)
    m.check()
    assert si.writeok
    assert [p.read(region.page(i).start, PAGE_SIZE) for i in range(100)] == [page_of("noise", i) for i in range(100)]
    p.munmap(region.start, 90 * PAGE_SIZE)
    m.swapoff(si)
    assert p.read(region.page(95).start, PAGE_SIZE) == page_of("noise", 95)
