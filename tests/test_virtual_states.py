"""The state machine of the backing: every transition, and only where the rule allows it."""

from __future__ import annotations

import random

import pytest
from swapkit import Kit, KitFolio

from vswaplab.backends.device import Fault
from vswaplab.entry import Backing
from vswaplab.errors import Busy, DeviceIOError, InvalidArgument
from vswaplab.protocols import Writeout

TEXT = (b"virtual swap keeps page tables out of it. " * 100)[:4096]
NOISE = random.Random(7).randbytes(4096)


def kind(kit: Kit, entry: int) -> Backing:
    return kit.swap.lookup(entry).type


def read_in(kit: Kit, entry: int, order: int = 0) -> KitFolio:
    folio = kit.into_cache(entry, order)
    kit.swap.swap_read_folio(folio)
    return folio


def test_folio_to_zero() -> None:
    kit = Kit(zswap=True)
    folio = kit.out(bytes(4096))
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert kind(kit, folio.swap) is Backing.ZERO
    assert not folio.dirty
    assert kit.memcgs[1].counts["swpout_zero"] == 1
    assert kit.zswap.stored_pages == 0


def test_folio_to_zswap_page_by_page() -> None:
    kit = Kit(zswap=True)
    folio = kit.out(TEXT * 4, order=2)
    kit.swap.swap_writeout(folio)
    assert [kind(kit, folio.swap + i) for i in range(4)] == [Backing.ZSWAP] * 4
    assert len({kit.swap.lookup(folio.swap + i).zswap_entry for i in range(4)}) == 4


def test_folio_to_swapfile_when_zswap_declines() -> None:
    kit = Kit(slots=16, zswap=True)
    kit.memcgs[1].zswap_allowed = False
    folio = kit.out(TEXT)
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert kind(kit, folio.swap) is Backing.SWAPFILE
    assert kit.memcgs[1].swap_charge == 1


@pytest.mark.parametrize("why", ["writeback off", "no slot", "swap.max"])
def test_folio_stays_folio_when_nothing_takes_it(why: str) -> None:
    kit = Kit(slots=0 if why == "no slot" else 4)
    kit.memcgs[1].writeback_enabled = why != "writeback off"
    kit.memcgs[1].swap_max = 0 if why == "swap.max" else None
    folio = kit.out(TEXT)
    assert kit.swap.swap_writeout(folio) is Writeout.ACTIVATE
    assert kind(kit, folio.swap) is Backing.FOLIO
    assert folio.dirty
    assert folio.in_swapcache


def test_zswap_load_is_exclusive_and_leaves_folio() -> None:
    kit = Kit(zswap=True)
    entry = kit.swapped(TEXT)
    assert kind(kit, entry) is Backing.ZSWAP
    folio = read_in(kit, entry)
    assert folio.data == TEXT
    assert folio.dirty, "the folio is the only copy now"
    assert kind(kit, entry) is Backing.FOLIO
    assert kit.zswap.stored_pages == 0


def test_zswap_writeback_to_swapfile() -> None:
    kit = Kit(slots=16, zswap=True)
    entry = kit.swapped(TEXT)
    assert kit.swap.writeback(1) == 1
    assert kind(kit, entry) is Backing.SWAPFILE
    assert kit.zswap.stored_pages == 0
    assert kit.memcgs[1].counts["zswpwb"] == 1
    assert read_in(kit, entry).data == TEXT


def test_writeback_that_cannot_decompress_puts_the_zswap_entry_back_and_frees_the_slot() -> None:
    """zswap_entry_store restores the old backing if decompression fails [S13]."""
    kit = Kit(slots=16, zswap=True)
    entry = kit.swapped(TEXT)
    kit.zswap.inject("decompress", times=2)
    assert kit.swap.writeback(1) == 0
    assert kind(kit, entry) is Backing.ZSWAP
    assert kit.device.inuse_pages == 0
    assert kit.memcgs[1].swap_charge == 0
    kit.swap.check()
    assert read_in(kit, entry).data == TEXT


def test_writeback_that_the_device_refuses_leaves_a_dirty_folio_with_its_slot() -> None:
    """The compressed copy is freed before the write is submitted; the folio is the only copy then [S13 S49]."""
    kit = Kit(slots=16, zswap=True)
    entry = kit.swapped(TEXT)
    kit.device.device.inject(Fault("write", "EIO"))
    assert kit.swap.writeback(1) == 1
    assert kind(kit, entry) is Backing.SWAPFILE
    assert (kit.zswap.stored_pages, kit.device.inuse_pages, kit.memcgs[1].swap_charge) == (0, 1, 1)
    folio = kit.swap.swap_cache_get_folio(entry)
    assert (bytes(folio.data), folio.dirty) == (TEXT, True)
    kit.swap.check()
    folio.locked = True
    with pytest.raises(Busy, match="only copy"):
        kit.swap.swap_cache_del_folio(folio)
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert (kind(kit, entry), kit.device.inuse_pages) == (Backing.ZSWAP, 0)


def test_two_pages_whose_write_back_failed_are_two_folios() -> None:
    """zswap uses the entry of the first again for the second; their folios must not be one."""
    kit = Kit(slots=16, zswap=True)
    first = kit.swapped(TEXT)
    kit.device.device.inject(Fault("write", "EIO", times=2))
    kit.swap.writeback(1)
    second = kit.swapped(NOISE)
    kit.swap.writeback(1)
    found = [kit.swap.swap_cache_get_folio(entry) for entry in (first, second)]
    assert [bytes(folio.data) for folio in found] == [TEXT, NOISE]
    kit.swap.check()


def test_writeback_without_a_slot_leaves_the_entry_in_zswap() -> None:
    kit = Kit(slots=16, zswap=True)
    kit.memcgs[1].swap_max = 0
    entry = kit.swapped(TEXT)
    assert kit.swap.writeback(1) == 0
    assert kind(kit, entry) is Backing.ZSWAP
    kit.swap.check()


def test_writeback_passes_over_pages_that_are_on_their_way_in() -> None:
    kit = Kit(slots=16, zswap=True)
    entry = kit.swapped(TEXT)
    kit.swap.swapcache_prepare(entry)
    assert kit.swap.writeback(1) == 0
    assert kind(kit, entry) is Backing.ZSWAP


def test_redirtied_zswap_page_is_stored_again() -> None:
    kit = Kit(zswap=True)
    entry = kit.swapped(TEXT)
    folio = read_in(kit, entry)
    folio.data[:4] = b"new!"
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert kind(kit, entry) is Backing.ZSWAP
    assert kit.zswap.stored_pages == 1


def test_zswap_to_zswap_frees_the_old_entry() -> None:
    kit = Kit(zswap=True)
    folio = kit.out(TEXT)
    kit.swap.swap_writeout(folio)
    first = kit.swap.lookup(folio.swap).zswap_entry
    second = kit.zswap.store(memoryview(folio.data), folio.swap, kit.memcgs[1])
    kit.swap.zswap_entry_store(folio.swap, second)
    assert kit.swap.zswap_entry_load(folio.swap) == second != first
    assert kit.zswap.stored_pages == 1


def test_zero_stays_zero_on_fault_in_and_the_page_is_clean() -> None:
    kit = Kit(zswap=True)
    entry = kit.swapped(bytes(4096))
    folio = read_in(kit, entry)
    assert (kind(kit, entry), folio.dirty, bytes(folio.data)) == (Backing.ZERO, False, bytes(4096))
    kit.swap.swap_cache_del_folio(folio)


def test_zero_redirtied_goes_through_folio_to_zswap() -> None:
    kit = Kit(zswap=True)
    entry = kit.swapped(bytes(4096))
    folio = read_in(kit, entry)
    folio.data[:] = TEXT
    folio.dirty = True
    kit.swap.vswap_prepare_writeout(folio)
    assert kind(kit, entry) is Backing.FOLIO
    kit.swap.swap_writeout(folio)
    assert kind(kit, entry) is Backing.ZSWAP


@pytest.mark.parametrize("zswap", [True, False])
def test_backed_page_redirtied_to_zero_releases_its_backing(zswap: bool) -> None:
    kit = Kit(slots=16, zswap=zswap)
    folio = kit.out(TEXT)
    kit.swap.swap_writeout(folio)
    folio.data[:] = bytes(4096)
    folio.dirty = True
    kit.swap.swap_writeout(folio)
    assert kind(kit, folio.swap) is Backing.ZERO
    assert kit.device.inuse_pages == 0
    assert kit.zswap is None or kit.zswap.stored_pages == 0


def test_swapfile_keeps_its_slot_while_the_folio_is_cached() -> None:
    kit = Kit(slots=16)
    entry = kit.swapped(TEXT)
    folio = read_in(kit, entry)
    assert kind(kit, entry) is Backing.SWAPFILE
    assert not folio.dirty
    writes = kit.device.device.writes
    kit.swap.swap_cache_del_folio(folio)
    assert kit.device.device.writes == writes, "a clean folio is dropped without a write"


def test_swapfile_redirtied_reuses_its_slot_when_zswap_declines() -> None:
    kit = Kit(slots=16)
    entry = kit.swapped(TEXT)
    slot = kit.swap.swp_entry_to_swp_slot(entry)
    folio = read_in(kit, entry)
    folio.data[:] = NOISE
    folio.dirty = True
    kit.swap.swap_writeout(folio)
    assert kit.swap.swp_entry_to_swp_slot(entry) == slot
    assert kit.device.device.read(slot.offset) == NOISE


def test_swapfile_redirtied_goes_to_zswap_which_frees_the_slot() -> None:
    kit = Kit(slots=16, zswap=True)
    kit.zswap.enabled = False
    entry = kit.swapped(TEXT)
    assert kind(kit, entry) is Backing.SWAPFILE
    kit.zswap.enabled = True
    folio = read_in(kit, entry)
    folio.dirty = True
    kit.swap.swap_writeout(folio)
    assert kind(kit, entry) is Backing.ZSWAP
    assert kit.device.inuse_pages == 0
    assert kit.memcgs[1].swap_charge == 0


def test_scattered_swapfile_range_is_released_and_gets_a_new_run() -> None:
    kit = Kit(slots=2048)
    folio = kit.out(TEXT * 4, order=2)
    kit.swap.swap_writeout(folio)
    first = kit.swap.swp_entry_to_swp_slot(folio.swap)
    entry = folio.swap
    # One page moves away, as if it had been written back on its own.
    parts = [kit.folio(TEXT) for _ in range(4)]
    kit.swap.split_folio(folio, parts)
    kit.swap.vswap_store_folio(entry + 1, parts[1])
    kit.swap.vswap_alloc_swap_slot(parts[1])
    whole = kit.folio(TEXT * 4, order=2)
    for part in parts:
        part.dirty = False
    kit.swap.folios[whole.pointer] = whole
    for part in parts:
        kit.swap._detach(part)
    for i in range(4):
        kit.swap.desc.cache[entry + i] = whole.pointer
    kit.swap._attach(whole, entry)
    assert not kit.swap.vswap_swapfile_backed(entry, 4)
    kit.swap.vswap_prepare_writeout(whole)
    assert kit.swap.vswap_folio_backed(entry, 4)
    assert kit.device.inuse_pages == 0
    kit.swap.swap_writeout(whole)
    assert kit.swap.vswap_swapfile_backed(entry, 4)
    assert first


def test_partial_zswap_store_of_a_large_folio_leaves_nothing_behind() -> None:
    kit = Kit(slots=64, zswap=True)
    kit.memcgs[1].writeback_enabled = False  # incompressible pages are refused then
    folio = kit.out(TEXT + TEXT + NOISE + TEXT, order=2)
    assert kit.swap.swap_writeout(folio) is Writeout.ACTIVATE
    assert kit.zswap.stored_pages == 0
    assert kit.swap.vswap_folio_backed(folio.swap, 4)
    kit.swap.check()


def test_failed_device_write_keeps_the_page_dirty_in_memory() -> None:
    kit = Kit(slots=16)
    folio = kit.out(TEXT)
    kit.device.device.inject(Fault("write", "ENOSPC"))
    assert kit.swap.swap_writeout(folio) is Writeout.FAILED
    assert folio.dirty
    assert kit.swap.write_errors == 1
    kit.swap.check()
    assert kit.swap.swap_writeout(folio) is Writeout.WRITTEN
    kit.swap.vswap_remove_mapping(folio)
    assert kit.device.device.read(kit.swap.swp_entry_to_swp_slot(1).offset) == TEXT


def test_failed_read_changes_nothing() -> None:
    kit = Kit(slots=16)
    entry = kit.swapped(TEXT)
    kit.device.device.inject(Fault("read", "EIO"))
    folio = kit.into_cache(entry)
    with pytest.raises(DeviceIOError):
        kit.swap.swap_read_folio(folio)
    assert not folio.uptodate
    kit.swap.swap_cache_del_folio(folio)
    assert read_in(kit, entry).data == TEXT


def test_a_folio_backed_entry_must_not_be_read() -> None:
    kit = Kit(zswap=True)
    folio = kit.out(TEXT)
    with pytest.raises(InvalidArgument, match="can't be read"):
        kit.swap.swap_read_folio(folio)


def test_zswap_cannot_fill_a_large_folio() -> None:
    kit = Kit(zswap=True)
    entry = kit.swapped(TEXT * 2, order=1)
    folio = kit.into_cache(entry, order=1)
    with pytest.raises(InvalidArgument):
        kit.swap.swap_read_folio(folio)


def test_large_folio_comes_in_whole_from_zero_and_from_a_run() -> None:
    kit = Kit(slots=2048)
    assert read_in(kit, kit.swapped(bytes(4096 * 4), order=2), order=2).data == bytes(4096 * 4)
    contents = TEXT + NOISE + TEXT + TEXT
    assert read_in(kit, kit.swapped(contents, order=2), order=2).data == contents
    assert kit.memcgs[1].counts == {"swpout_zero": 4, "swpin_zero": 4, "pswpout": 4, "pswpin": 4}


def test_transitions_are_refused_without_the_folio_lock_or_the_swap_cache() -> None:
    kit = Kit(slots=16, zswap=True)
    folio = kit.out(TEXT)
    entry = int(folio.swap)
    folio.locked = False
    for change in (
        lambda: kit.swap.vswap_store_folio(entry, folio),
        lambda: kit.swap.swap_zeromap_folio_set(folio),
        lambda: kit.swap.vswap_prepare_writeout(folio),
        lambda: kit.swap.vswap_alloc_swap_slot(folio),
        lambda: kit.swap.zswap_entry_store(entry, 1),
    ):
        with pytest.raises(InvalidArgument, match="lock"):
            change()
    folio.locked = True
    kit.swap.swap_writeout(folio)
    kit.swap.vswap_remove_mapping(folio)
    with pytest.raises(InvalidArgument, match="no folio in the swap cache"):
        kit.swap.zswap_entry_store(entry, 1)


def test_zero_may_not_become_swapfile_directly() -> None:
    kit = Kit(slots=16)
    folio = kit.out(bytes(4096))
    kit.swap.swap_writeout(folio)
    with pytest.raises(InvalidArgument, match="FOLIO or ZSWAP"):
        kit.swap.vswap_alloc_swap_slot(folio)


def test_alloc_swap_slot_twice_returns_the_same_slot() -> None:
    kit = Kit(slots=16)
    folio = kit.out(TEXT)
    assert kit.swap.vswap_alloc_swap_slot(folio) == kit.swap.vswap_alloc_swap_slot(folio) != 0
    assert kit.device.inuse_pages == 1


def test_last_reference_frees_whatever_the_backing_is() -> None:
    kit = Kit(slots=16, zswap=True)
    packed, zero = kit.swapped(TEXT), kit.swapped(bytes(4096))
    kit.zswap.enabled = False
    disk = kit.swapped(NOISE)
    cached = kit.out(TEXT)
    for entry in (packed, zero, disk):
        kit.swap.swap_free_nr(entry, 1)
    kit.swap.swap_free_nr(cached.swap, 1)
    assert kit.swap.folio_free_swap(cached)
    assert (kit.swap.used, kit.zswap.stored_pages, kit.device.inuse_pages) == (0, 0, 0)
    assert (kit.memcgs[1].ids, kit.memcgs[1].swap_charge, kit.memcgs[1].zswap_charge) == (0, 0, 0)
    kit.swap.check()


def test_swap_is_freed_at_once_after_a_read_unless_a_slot_backs_it() -> None:
    kit = Kit(slots=64, zswap=True)
    packed = kit.swapped(TEXT)
    zero = kit.swapped(bytes(4096))
    kit.zswap.enabled = False
    disk = kit.swapped(NOISE)
    assert [kit.swap.may_free_after_swapin(read_in(kit, entry)) for entry in (packed, zero, disk)] == [
        True,
        True,
        False,
    ]
    for _ in range(40):
        kit.swapped(NOISE)
    assert kit.devices.vm_swap_full()
    assert kit.swap.may_free_after_swapin(kit.swap.swap_cache_get_folio(disk))


def test_readahead_reads_physical_neighbours_through_the_rmap() -> None:
    kit = Kit(slots=64, zswap=True)
    kit.zswap.enabled = False
    entries = [kit.swapped(bytes([i + 1]) * 4096) for i in range(12)]
    offsets = {kit.swap.swp_entry_to_swp_slot(entry).offset: entry for entry in entries}
    assert kit.swap.readahead_entries(offsets[9], 8) == [offsets[8], offsets[10], offsets[11], offsets[12]]
    kit.swap.swapcache_prepare(offsets[10])
    assert offsets[10] not in kit.swap.readahead_entries(offsets[9], 8)
    kit.zswap.enabled = True
    assert kit.swap.readahead_entries(kit.swapped(TEXT), 8) == [], "no physical slot, no readahead"


def test_can_swap_out_says_whether_there_is_a_place_to_go() -> None:
    assert not Kit().swap.can_swap_out(None)
    assert Kit(slots=4).swap.can_swap_out(None)
    kit = Kit(zswap=True)
    assert kit.swap.can_swap_out(kit.memcgs[1])
    kit.memcgs[1].zswap_allowed = False
    assert not kit.swap.can_swap_out(kit.memcgs[1])
