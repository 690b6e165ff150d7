"""Write-back and partial stores without a machine, in both designs: what moves, what stays, who pays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from swapkit import Kit, KitFolio, LegacyKit

from vswaplab.backends.block_device import Fault
from vswaplab.backends.zswap import Zswap
from vswaplab.backends.zswap_writeback import Moved
from vswaplab.entry import Backing
from vswaplab.errors import DeviceIOError, InvariantError
from vswaplab.protocols import Writeout
from vswaplab.workloads.corpus import page_bytes

OLD = [page_bytes("text", i) for i in range(4)]
NEW = [page_bytes("heap", i) for i in range(4)]
NOISE = page_bytes("random", 0)


class Parts:
    """A kit, and short names for what the tests look at."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.swap = kit, kit.swap
        assert kit.zswap is not None
        self.zswap: Zswap = kit.zswap
        self.virtual = not isinstance(kit, LegacyKit)

    def type(self, entry: int) -> Backing:
        backing: Backing = self.swap.lookup(entry).type
        return backing

    def read(self, entry: int) -> bytes:
        """Read a page into a folio, which stays in the swap cache where it is the only copy then."""
        folio = self.kit.into_cache(entry)
        try:
            self.swap.swap_read_folio(folio)
        except DeviceIOError:
            self.swap.swap_cache_del_folio(folio)
            raise
        return bytes(folio.data)

    def cold(self) -> None:
        for entry in self.zswap.entries():
            entry.referenced = False

    def ids(self) -> list[int]:
        return [entry.id for entry in self.zswap.entries()]


@pytest.fixture(params=[Kit, LegacyKit], ids=["virtual", "legacy"])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    """A design with 2,048 slots and zswap, checked at the end."""
    found = Parts(request.param(slots=2048, zswap=True))
    yield found
    found.swap.check()
    found.zswap.check()


def rewrite(folio: KitFolio, pages: list[bytes]) -> None:
    """What a process does that writes to a folio in the swap cache."""
    folio.data[:] = b"".join(pages)
    folio.dirty = True


# -- partial stores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["kmemcache", "alloc"])
def test_a_partial_store_leaves_no_older_copy_that_could_hide_what_the_device_gets(
    parts: Parts, kind: str, nth: int
) -> None:
    folio = parts.kit.out(b"".join(OLD), order=2)
    entry = int(folio.swap)
    assert parts.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert parts.zswap.stored_pages == 4
    rewrite(folio, NEW)
    parts.zswap.inject(kind, nth=nth)
    assert parts.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert parts.zswap.debugfs(f"reject_{kind}_fail") == 1
    assert (parts.zswap.stored_pages, parts.kit.memcgs[1].zswap_charge) == (0, 0)
    parts.swap.remove_mapping(folio)
    assert [parts.type(entry + i) for i in range(4)] == [Backing.SWAPFILE] * 4
    assert [parts.read(entry + i) for i in range(4)] == NEW


@pytest.mark.parametrize("nth", [2, 4])
def test_a_partial_store_with_no_way_to_the_device_keeps_the_folio_as_the_only_copy(parts: Parts, nth: int) -> None:
    folio = parts.kit.out(b"".join(OLD), order=2)
    parts.swap.swap_writeout(folio)
    rewrite(folio, NEW)
    parts.kit.memcgs[1].writeback_enabled = False
    parts.zswap.inject("alloc", nth=nth)
    assert parts.swap.swap_writeout(folio) is Writeout.ACTIVATE
    assert folio.dirty
    assert parts.zswap.stored_pages == 0
    assert [parts.type(int(folio.swap) + i) for i in range(4)] == [Backing.FOLIO] * 4
    assert parts.swap.swap_writeout(folio) is Writeout.WRITTEN
    entry = int(folio.swap)
    parts.swap.remove_mapping(folio)
    assert [parts.read(entry + i) for i in range(4)] == NEW


def test_zswap_switched_off_leaves_no_older_copy_either(parts: Parts) -> None:
    folio = parts.kit.out(OLD[0])
    entry = int(folio.swap)
    parts.swap.swap_writeout(folio)
    rewrite(folio, NEW[:1])
    parts.zswap.enabled = False
    assert parts.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert parts.zswap.stored_pages == 0
    parts.swap.remove_mapping(folio)
    assert parts.read(entry) == NEW[0]


def test_a_page_stored_again_has_one_copy_and_one_charge(parts: Parts) -> None:
    folio = parts.kit.out(OLD[0])
    entry = int(folio.swap)
    parts.swap.swap_writeout(folio)
    rewrite(folio, NEW[:1])
    assert parts.swap.swap_writeout(folio) is Writeout.WRITTEN
    assert parts.zswap.stored_pages == 1
    assert parts.kit.memcgs[1].zswap_charge == parts.zswap.length(parts.ids()[0])
    parts.swap.remove_mapping(folio)
    assert parts.read(entry) == NEW[0]


# -- write-back of one entry -------------------------------------------------------------------------------------


def test_a_page_is_written_back_as_it_was_and_its_compressed_copy_goes(parts: Parts) -> None:
    memcg = parts.kit.memcgs[1]
    entry = parts.kit.swapped(OLD[0])
    before = memcg.swap_charge
    assert parts.swap.writeback_entry(parts.ids()[0]) is Moved.DONE
    assert parts.type(entry) is Backing.SWAPFILE
    assert (parts.zswap.stored_pages, parts.zswap.written_back_pages, memcg.zswap_charge) == (0, 1, 0)
    assert (before, memcg.swap_charge) == ((0, 1) if parts.virtual else (1, 1)), "legacy had its slot already"
    assert parts.read(entry) == OLD[0]


def test_legacy_write_back_goes_to_the_slot_that_was_reserved() -> None:
    kit = LegacyKit(slots=8, zswap=True)
    entries = [kit.swapped(OLD[i % 4]) for i in range(8)]
    assert kit.devices.free_pages == 0
    assert kit.swap.writeback(8) == 8, "it never lacks a slot"
    offset = int(entries[5]) & 0xFFFF
    assert kit.device is not None
    assert kit.device.device.read(offset) == OLD[1]


@pytest.mark.parametrize("why", ["no slot", "swap.max"])
def test_in_the_virtual_design_a_page_without_a_slot_stays_in_zswap(why: str) -> None:
    parts = Parts(Kit(slots=2, zswap=True))
    memcg = parts.kit.memcgs[1]
    entries = [parts.kit.swapped(OLD[i]) for i in range(3)]
    ids = parts.ids()
    if why == "no slot":
        taken = parts.kit.devices.alloc_many(2)
    else:
        memcg.swap_max = 0
    charge = memcg.zswap_charge
    moved = [parts.swap.writeback_entry(ze) for ze in ids]
    assert moved == [Moved.NO_SLOT if why == "no slot" else Moved.STAYS] * 3
    assert [parts.type(entry) for entry in entries] == [Backing.ZSWAP] * 3
    assert (parts.ids(), memcg.zswap_charge, memcg.swap_charge) == (ids, charge, 0)
    if why == "no slot":
        parts.kit.devices.free_many(taken)
    else:
        assert parts.kit.devices.free_pages == 2, "the slot that could not be charged is free again"
        memcg.swap_max = None
    assert parts.swap.writeback(2) == 2
    assert [parts.read(entry) for entry in entries] == OLD[:3]
    parts.swap.check()


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_failed_write_leaves_the_page_in_a_dirty_folio_and_frees_its_compressed_copy(
    parts: Parts, error: str
) -> None:
    """The copy is freed and counted before the write is submitted, in both designs [S13 S21 S49]."""
    memcg = parts.kit.memcgs[1]
    entry = parts.kit.swapped(OLD[0])
    free = parts.kit.devices.free_pages
    assert parts.kit.device is not None
    parts.kit.device.device.inject(Fault("write", error))
    assert parts.swap.writeback_entry(parts.ids()[0]) is Moved.FAILED
    assert (parts.type(entry), parts.ids()) == (Backing.SWAPFILE if parts.virtual else Backing.FOLIO, [])
    assert (memcg.zswap_charge, memcg.swap_charge, parts.swap.write_errors) == (0, 1, 1)
    assert parts.kit.devices.free_pages == free - parts.virtual, "legacy had its slot already"
    assert memcg.counts["zswpwb"] == memcg.counts["pswpout"] == parts.zswap.written_back_pages == 1
    folio = parts.swap.swap_cache_get_folio(entry)
    assert (bytes(folio.data), folio.dirty) == (OLD[0], True)
    assert list(parts.kit.devices.log) == ["Write-error on swap-device (8:2:8)"]


def test_an_entry_that_cannot_be_decompressed_goes_nowhere_and_that_is_no_write_error(parts: Parts) -> None:
    entry = parts.kit.swapped(OLD[0])
    free = parts.kit.devices.free_pages
    parts.zswap.inject("decompress", times=2)
    assert parts.swap.writeback_entry(parts.ids()[0]) is Moved.STAYS
    assert (parts.type(entry), parts.kit.devices.free_pages) == (Backing.ZSWAP, free)
    with pytest.raises(DeviceIOError):
        parts.read(entry)
    assert (parts.zswap.decompress_fail, parts.swap.write_errors) == (2, 0)
    assert parts.read(entry) == OLD[0], "the data was kept"


def test_a_page_that_may_not_be_written_back_or_is_on_its_way_in_stays(parts: Parts) -> None:
    entry = parts.kit.swapped(OLD[0])
    ze = parts.ids()[0]
    parts.kit.memcgs[1].writeback_enabled = False
    assert parts.swap.writeback_entry(ze) is Moved.STAYS
    parts.kit.memcgs[1].writeback_enabled = True
    parts.swap.swapcache_prepare(entry)
    assert parts.swap.writeback_entry(ze) is Moved.HOT
    parts.swap.swapcache_clear(entry, 1)
    assert parts.type(entry) is Backing.ZSWAP


def test_a_page_that_could_not_be_decompressed_is_the_youngest_then(parts: Parts) -> None:
    for page in OLD[:3]:
        parts.kit.swapped(page)
    first, second, third = parts.ids()
    parts.cold()
    parts.zswap.inject("decompress")
    assert parts.swap.shrink_memcg(parts.kit.memcgs[1]) is False
    assert parts.ids() == [second, third, first]
    assert parts.swap.shrink_memcg(parts.kit.memcgs[1]) is True
    assert parts.ids() == [third, first]


# -- one entry of each node --------------------------------------------------------------------------------------


def on_two_nodes(parts: Parts, memcg: int, pages: int) -> list[int]:
    """Have `pages` pages of a memory cgroup stored on each of two nodes; return their entries, node by node."""
    parts.zswap.nodes = 2
    entries = []
    for parts.zswap.node in (0, 1):
        entries += [parts.kit.swapped(OLD[i % 4], memcg=memcg) for i in range(pages)]
    parts.zswap.node = 0
    return entries


def test_a_visit_takes_one_entry_of_each_node_and_of_its_memory_cgroup_alone(parts: Parts) -> None:
    mine, others = on_two_nodes(parts, 1, 3), on_two_nodes(parts, 2, 2)
    one, two = parts.kit.memcgs[1], parts.kit.memcgs[2]
    assert [parts.zswap.count(one, node) for node in (0, 1)] == [3, 3]
    assert parts.swap.shrink_memcg(one) is True
    assert [parts.zswap.count(one, node) for node in (0, 1)] == [2, 2]
    assert [parts.zswap.count(two, node) for node in (0, 1)] == [2, 2]
    gone = [entry for entry in mine + others if parts.type(entry) is Backing.SWAPFILE]
    assert gone == [mine[0], mine[3]], "the oldest of each node"


def test_a_visit_says_whether_there_was_anybody_to_visit(parts: Parts) -> None:
    memcg = parts.kit.memcgs[1]
    assert parts.swap.shrink_memcg(memcg) is None
    parts.kit.swapped(OLD[0])
    memcg.writeback_enabled = False
    assert parts.swap.shrink_memcg(memcg) is None
    memcg.writeback_enabled = True
    assert parts.swap.shrink_memcg(memcg) is True
    assert parts.swap.shrink_memcg(memcg) is None


def test_a_page_read_from_the_device_counts_for_its_memory_cgroup_and_node(parts: Parts) -> None:
    on_two_nodes(parts, 2, 1)
    entry = parts.kit.swapped(OLD[0])
    assert parts.swap.writeback(3) == 3
    parts.zswap.node = 1
    parts.read(entry)
    assert dict(parts.zswap.disk_swapins) == {(1, 1): 1}


def test_a_page_read_from_zswap_is_no_sign_that_zswap_is_too_small(parts: Parts) -> None:
    parts.read(parts.kit.swapped(OLD[0]))
    assert not parts.zswap.disk_swapins


# -- at memory.zswap.max -----------------------------------------------------------------------------------------


def test_at_its_limit_a_memory_cgroup_makes_room_with_its_oldest_page(parts: Parts) -> None:
    one, two = parts.kit.memcgs[1], parts.kit.memcgs[2]
    other = parts.kit.swapped(OLD[0], memcg=2)
    first, second = (parts.kit.swapped(page) for page in OLD[:2])
    one.zswap_allowed = False
    third = parts.kit.swapped(OLD[2])
    assert [parts.type(entry) for entry in (other, first, second, third)] == [
        Backing.ZSWAP,
        Backing.SWAPFILE,
        Backing.ZSWAP,
        Backing.ZSWAP,
    ]
    assert (one.counts["zswpwb"], two.counts["zswpwb"]) == (1, 0)


def test_a_memory_cgroup_at_its_limit_that_cannot_make_room_is_refused(parts: Parts) -> None:
    memcg = parts.kit.memcgs[1]
    first = parts.kit.swapped(OLD[0])
    memcg.zswap_allowed = False
    parts.zswap.inject("decompress")
    second = parts.kit.swapped(OLD[1])
    assert (parts.type(first), parts.type(second)) == (Backing.ZSWAP, Backing.SWAPFILE)
    assert (parts.zswap.reject_reclaim_fail, memcg.counts["zswpwb"]) == (1, 0)


def test_a_limit_of_zero_writes_nothing_back_to_make_room(parts: Parts) -> None:
    memcg = parts.kit.memcgs[1]
    first = parts.kit.swapped(OLD[0])
    memcg.zswap_never = True
    second = parts.kit.swapped(OLD[1])
    assert (parts.type(first), parts.type(second)) == (Backing.ZSWAP, Backing.SWAPFILE)
    assert (parts.zswap.reject_reclaim_fail, memcg.counts["zswpwb"]) == (0, 0)
    assert parts.read(first) == OLD[0], "what was stored before is still there"


def test_a_large_folio_is_held_against_the_limits_once(parts: Parts) -> None:
    memcg = parts.kit.memcgs[1]
    first, second = (parts.kit.swapped(page) for page in OLD[:2])
    memcg.zswap_allowed = False
    large = parts.kit.swapped(b"".join(NEW), order=2)
    assert (parts.type(first), parts.type(second)) == (Backing.SWAPFILE, Backing.ZSWAP)
    assert [parts.type(large + i) for i in range(4)] == [Backing.ZSWAP] * 4
    memcg.zswap_allowed = True
    parts.zswap.max_pool_percent = 0
    refused = parts.kit.swapped(b"".join(NEW), order=2)
    assert parts.zswap.pool_limit_hit == 1
    assert [parts.type(refused + i) for i in range(4)] == [Backing.SWAPFILE] * 4


def test_a_large_folio_of_pages_that_do_not_compress_is_taken_past_the_limit_as_a_whole() -> None:
    parts = Parts(Kit(slots=2048, zswap=True, ram_pages=10))  # two pages at most
    assert parts.zswap.max_pages == 2
    entry = parts.kit.swapped(NOISE * 4, order=2)
    assert parts.zswap.pool_pages == 4
    assert parts.type(parts.kit.swapped(NOISE)) is Backing.SWAPFILE
    assert (parts.zswap.pool_limit_hit, parts.zswap.shrink_wanted) == (1, True)
    assert parts.zswap.debugfs("stored_incompressible_pages") == 4
    assert parts.read(entry + 3) == NOISE


def test_loaded_pages_leave_zswap_even_while_it_is_switched_off(parts: Parts) -> None:
    entries: list[Any] = [parts.kit.swapped(page) for page in OLD]
    parts.zswap.enabled = False
    assert [parts.read(entry) for entry in entries] == OLD
    assert (parts.zswap.stored_pages, parts.zswap.pool_total_size) == (0, 0)
    assert parts.kit.memcgs[1].zswap_charge == 0
    assert parts.kit.memcgs[1].counts["zswpin"] == 4


# -- what a design knows of zswap --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "invariant", ["zswap-entry-is-stored", "zswap-entry-points-back", "every-zswap-entry-is-indexed"]
)
def test_check_names_what_is_wrong_between_a_design_and_zswap(invariant: str) -> None:
    for make in (Kit, LegacyKit):
        parts = Parts(make(slots=64, zswap=True))
        entry = parts.kit.swapped(OLD[0])
        parts.swap.check()
        (ze,) = parts.ids()
        if invariant == "zswap-entry-is-stored":
            parts.zswap.free(ze)
        elif invariant == "zswap-entry-points-back":
            parts.zswap.entry(ze).swpentry = entry + 1
        else:
            parts.zswap.store(OLD[1], entry, parts.kit.memcgs[1])
        with pytest.raises(InvariantError) as caught:
            parts.swap.check()
        assert caught.value.invariant == invariant
