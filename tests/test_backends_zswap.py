"""zswap: what a real kernel stored of the same pages, every way to be refused, age, faults, and random use."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from swapkit import KitMemcg

from vswaplab.backends.compressors import available
from vswaplab.backends.zswap import DEBUGFS_FILES, FAULTS, Zswap
from vswaplab.errors import DeviceIOError, InvalidArgument, InvariantError, NotFound
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import MIX_PAGES, data_dir, mix_pages, page_bytes, real_pages

RAM_PAGES = 98304
"""384 MiB, as the machines on which the tables were measured."""
TEXT, NOISE = page_bytes("text", 0), page_bytes("random", 0)

REJECTS = [name for name in DEBUGFS_FILES if name.startswith(("reject", "pool_limit", "decompress"))]


def rejects(zswap: Zswap) -> dict[str, int]:
    return {name: zswap.debugfs(name) for name in REJECTS if zswap.debugfs(name)}


@pytest.fixture
def memcg() -> KitMemcg:
    return KitMemcg(1)


# -- against real kernels --------------------------------------------------------------------------------------------


def kernel_rows() -> list[dict[str, str]]:
    """Rows of kernels that store incompressible pages as they are, with a compressor that Python has."""
    with (data_dir() / "kernel" / "swapout_by_content.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row["kernel"].startswith("7.") and row["compressor"] in ("zstd", "lz4", "lzo")]


# How far pool pages (absolute or in parts) and compressed bytes (in parts) may be from the kernel's.
TOLERANCE = {"zstd": (0, 0.0, 0.0), "lz4": (1, 0.0, 0.0001), "lzo": (0, 0.005, 0.003)}


@pytest.mark.parametrize("row", kernel_rows(), ids=lambda row: f"{row['kernel']}-{row['compressor']}-{row['mix']}")
def test_the_same_pages_take_the_same_room_as_on_a_real_kernel(row, memcg):
    name = row["compressor"]
    if name not in available():
        pytest.skip(f"{name} is an optional extra: pip install 'vswaplab[lzo]'")
    zswap = Zswap(RAM_PAGES, name)
    for entry, page in enumerate(mix_pages(row["mix"]), 512):
        if any(page):  # zero pages never come to zswap
            assert zswap.store(page, entry, memcg)
    pages, part_of_pages, part_of_bytes = TOLERANCE[name]
    assert zswap.stored_pages == int(row["zswap_stored_pages"])
    assert zswap.stored_incompressible_pages == int(row["zswap_incompressible"] or 0)
    kernel_pages = int(row["zswap_pool_total_bytes"]) // PAGE_SIZE
    assert zswap.pool_pages == pytest.approx(kernel_pages, rel=part_of_pages, abs=pages)
    assert memcg.zswap_charge == pytest.approx(int(row["cg_zswap_bytes"]), rel=part_of_bytes, abs=0)
    zswap.check()


def test_the_table_has_rows_to_compare_with():
    compared = [(row["compressor"], row["mix"]) for row in kernel_rows() if row["kernel"] == "7.3.4"]
    assert len([mix for name, mix in compared if name == "lz4"]) == 9
    assert all(int(row["pages"]) == MIX_PAGES for row in kernel_rows())


# -- store and load --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressor", ["zstd", "lz4", "deflate"])
def test_real_pages_come_back_byte_for_byte(compressor, memcg):
    zswap, pages = Zswap(RAM_PAGES, compressor), real_pages()[::40]
    stored = [zswap.store(page, 512 + i, memcg) for i, page in enumerate(pages)]
    assert len(set(stored)) == len(pages)
    assert [zswap.load(ze) for ze in stored] == pages
    assert [zswap.entry(ze).swpentry for ze in stored] == list(range(512, 512 + len(pages)))
    assert memcg.zswap_charge == sum(map(zswap.length, stored)) < len(pages) * PAGE_SIZE
    for ze in stored:
        zswap.free(ze)
    zswap.check()
    assert (zswap.stored_pages, zswap.pool_total_size, memcg.zswap_charge) == (0, 0, 0)


def test_a_page_is_taken_from_any_buffer_and_filled_into_any(memcg):
    zswap = Zswap(RAM_PAGES)
    for page in (TEXT, NOISE):
        buffer = bytearray(page)
        stored = zswap.store(memoryview(buffer), 512, memcg)
        buffer[:] = bytes(PAGE_SIZE)
        target = bytearray(2 * PAGE_SIZE)
        zswap.load_into(stored, memoryview(target)[PAGE_SIZE:])
        assert target == bytes(PAGE_SIZE) + page


@pytest.mark.parametrize("nr", [0, 100, PAGE_SIZE - 1, PAGE_SIZE + 1, 2 * PAGE_SIZE])
def test_what_is_not_a_page_is_refused(memcg, nr):
    with pytest.raises(InvalidArgument, match="4096"):
        Zswap(RAM_PAGES).store(b"x" * nr, 512, memcg)


def test_an_entry_that_is_not_there_is_not_found(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = zswap.store(TEXT, 512, memcg)
    zswap.free(stored)
    for ze in (stored, 0, -1, 99):
        for use in (zswap.load, zswap.free, zswap.entry, zswap.length, zswap.touch, zswap.compressed):
            with pytest.raises(NotFound, match=f"no zswap entry {ze}"):
                use(ze)
    zswap.check()


def test_an_incompressible_page_is_stored_as_it_is(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = zswap.store(NOISE, 512, memcg)
    assert zswap.length(stored) == PAGE_SIZE
    assert bytes(zswap.compressed(stored)) == zswap.load(stored) == NOISE
    assert (zswap.stored_incompressible_pages, memcg.zswap_charge, zswap.pool_pages) == (1, PAGE_SIZE, 1)
    zswap.free(stored)
    assert (zswap.stored_incompressible_pages, memcg.zswap_charge, zswap.pool_pages) == (0, 0, 0)


def test_an_incompressible_page_that_may_not_be_written_back_is_refused(memcg):
    memcg.writeback_enabled = False
    zswap = Zswap(RAM_PAGES)
    assert zswap.store(NOISE, 512, memcg) == 0
    assert rejects(zswap) == {"reject_compress_poor": 1}
    assert zswap.store(TEXT, 513, memcg) > 0
    assert memcg.zswap_charge == zswap.length(1)
    zswap.check()


def test_before_linux_6_18_an_incompressible_page_is_refused(memcg):
    zswap = Zswap(RAM_PAGES, store_incompressible=False)
    assert zswap.store(NOISE, 512, memcg) == 0
    assert rejects(zswap) == {"reject_compress_poor": 1}
    assert (zswap.store(TEXT, 513, memcg) > 0, zswap.stored_incompressible_pages) == (True, 0)
    zswap.check()


def test_ids_are_used_again_only_when_free(memcg):
    zswap = Zswap(RAM_PAGES)
    first, second = (zswap.store(TEXT, 512, memcg) for _ in range(2))
    zswap.free(first)
    third, fourth = (zswap.store(TEXT, 512, memcg) for _ in range(2))
    assert third == first
    assert len({second, third, fourth}) == 3


# -- refusals --------------------------------------------------------------------------------------------------------


def test_switched_off_it_takes_nothing_but_gives_back_what_it_has(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = zswap.store(TEXT, 512, memcg)
    zswap.enabled = False
    assert zswap.store(TEXT, 513, memcg) == 0
    assert rejects(zswap) == {}
    assert zswap.load(stored) == TEXT


def test_a_full_pool_accepts_again_only_below_the_threshold(memcg):
    zswap = Zswap(100)  # at most 20 pages, after that not before it is down to 18
    stored = [zswap.store(NOISE, 512 + i, memcg) for i in range(20)]
    assert (all(stored), zswap.max_pages, zswap.accept_threshold_pages) == (True, 20, 18)
    assert (zswap.shrink_wanted, zswap.pool_reached_full) == (False, False)
    assert zswap.store(NOISE, 600, memcg) == 0
    assert (zswap.shrink_wanted, zswap.pool_reached_full, rejects(zswap)) == (True, True, {"pool_limit_hit": 1})
    zswap.shrink_wanted = False
    zswap.free(stored.pop())
    assert zswap.over_accept_threshold()
    assert zswap.store(NOISE, 600, memcg) == 0
    assert (zswap.pool_limit_hit, zswap.shrink_wanted) == (1, True), "below the limit, but not below the threshold"
    zswap.free(stored.pop())
    assert not zswap.over_accept_threshold()
    assert zswap.store(NOISE, 600, memcg) > 0
    assert not zswap.pool_reached_full


def test_limits_may_be_changed_at_any_time(memcg):
    zswap = Zswap(100)
    zswap.max_pool_percent = 1
    assert zswap.store(NOISE, 512, memcg) > 0
    assert zswap.store(NOISE, 513, memcg) == 0
    zswap.max_pool_percent, zswap.accept_threshold_percent = 50, 100
    assert (zswap.max_pages, zswap.accept_threshold_pages) == (50, 50)
    assert zswap.store(NOISE, 513, memcg) > 0
    zswap.max_pool_percent = 0
    assert zswap.store(NOISE, 514, memcg) == 0


@pytest.mark.parametrize("value", [-1, 101, 2.5, "20", True, None])
def test_a_percentage_that_cannot_be_is_refused_and_changes_nothing(value):
    zswap = Zswap(100)
    for name in ("max_pool_percent", "accept_threshold_percent"):
        with pytest.raises(InvalidArgument, match=name):
            setattr(zswap, name, value)
        with pytest.raises(InvalidArgument):
            Zswap(100, **{name: value})
    assert (zswap.max_pages, zswap.accept_threshold_pages) == (20, 18)


def test_at_its_limit_a_memory_cgroup_gets_one_page_written_back(memcg):
    memcg.zswap_allowed = False
    zswap = Zswap(RAM_PAGES)
    asked: list[KitMemcg] = []
    answers = [True, False]

    def reclaim(who: KitMemcg) -> bool:
        asked.append(who)
        return answers.pop(0)

    assert zswap.store(TEXT, 512, memcg) == 0
    assert rejects(zswap) == {"reject_reclaim_fail": 1}, "there is nobody to ask"
    zswap.reclaim_memcg = reclaim
    assert zswap.store(TEXT, 512, memcg) > 0
    assert zswap.store(TEXT, 513, memcg) == 0
    assert rejects(zswap) == {"reject_reclaim_fail": 2}
    assert asked == [memcg, memcg]


def test_a_limit_of_zero_means_never_and_nobody_is_asked_to_make_room(memcg):
    memcg.zswap_never = True
    zswap = Zswap(RAM_PAGES)
    zswap.reclaim_memcg = lambda who: pytest.fail("nothing is to be written back")
    assert zswap.store(TEXT, 512, memcg) == 0
    assert rejects(zswap) == {}


def test_a_page_refused_while_the_pool_is_full_wakes_the_worker_whatever_the_reason(memcg):
    zswap = Zswap(100, max_pool_percent=1)
    assert [zswap.store(NOISE, 512 + i, memcg) > 0 for i in range(2)] == [True, False]
    zswap.shrink_wanted = False
    memcg.zswap_allowed = False
    assert zswap.store(NOISE, 600, memcg) == 0
    assert zswap.shrink_wanted


def test_later_pages_of_a_folio_are_not_held_against_the_limits_again(memcg):
    zswap = Zswap(100, max_pool_percent=1)
    assert [zswap.store(NOISE, 512 + i, memcg, i == 0) > 0 for i in range(4)] == [True] * 4
    assert (zswap.pool_pages, zswap.max_pages, zswap.pool_limit_hit) == (4, 1, 0)
    memcg.zswap_allowed = False
    assert zswap.store(NOISE, 516, memcg, False) > 0
    assert zswap.store(NOISE, 600, memcg) == 0
    zswap.check()


@pytest.mark.parametrize(("percent", "threshold", "pages"), [(0, 90, (0, 0)), (1, 90, (1, 0)), (100, 100, (100, 100))])
def test_limits_are_rounded_down(memcg, percent, threshold, pages):
    zswap = Zswap(100, max_pool_percent=percent, accept_threshold_percent=threshold)
    assert (zswap.max_pages, zswap.accept_threshold_pages) == pages
    stored = 0
    while zswap.store(NOISE, 512, memcg):
        stored += 1
    assert (stored, zswap.pool_limit_hit) == (pages[0], 1)


@pytest.mark.parametrize("kind", ["kmemcache", "alloc"])
def test_without_memory_a_page_is_refused_and_nothing_is_left_behind(memcg, kind):
    zswap = Zswap(RAM_PAGES)
    zswap.inject(kind, nth=2)
    assert [zswap.store(TEXT, 512 + i, memcg) > 0 for i in range(3)] == [True, False, True]
    assert rejects(zswap) == {f"reject_{kind}_fail": 1}
    zswap.check()
    assert memcg.zswap_charge == sum(zswap.charges().values())


def test_a_page_that_fails_to_compress_is_stored_as_it_is_or_refused(memcg):
    zswap = Zswap(RAM_PAGES)
    zswap.inject("compress", times=2)
    stored = zswap.store(TEXT, 512, memcg)
    assert (zswap.length(stored), zswap.load(stored)) == (PAGE_SIZE, TEXT)
    memcg.writeback_enabled = False
    assert zswap.store(TEXT, 513, memcg) == 0
    assert rejects(zswap) == {"reject_compress_fail": 1}
    zswap.check()


def test_a_page_that_fails_to_decompress_is_kept(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = zswap.store(TEXT, 512, memcg)
    zswap.inject("decompress")
    with pytest.raises(DeviceIOError, match=f"entry {stored}"):
        zswap.load(stored)
    assert zswap.load(stored) == TEXT
    assert rejects(zswap) == {"decompress_fail": 1}


@pytest.mark.parametrize("compressor", ["zstd", "lz4", "deflate"])
def test_a_damaged_object_is_an_io_error(memcg, compressor):
    zswap = Zswap(RAM_PAGES, compressor)
    stored = zswap.store(TEXT, 512, memcg)
    zswap.compressed(stored)[:] = b"\xff" * zswap.length(stored)
    with pytest.raises(DeviceIOError):
        zswap.load(stored)
    assert rejects(zswap) == {"decompress_fail": 1}
    zswap.free(stored)


def test_faults_can_be_taken_back_and_have_to_be_meant(memcg):
    zswap = Zswap(RAM_PAGES)
    for kind in FAULTS:
        zswap.inject(kind)
    zswap.clear_faults()
    assert zswap.load(zswap.store(TEXT, 512, memcg)) == TEXT
    for wrong in (("swap", 1, 1), ("alloc", 0, 1), ("alloc", 1, 0)):
        with pytest.raises(InvalidArgument):
            zswap.inject(*wrong)


# -- compressors and files -------------------------------------------------------------------------------------------


def test_another_compressor_takes_new_pages_and_the_old_pool_drains(memcg):
    zswap = Zswap(RAM_PAGES, "zstd")
    old = zswap.store(TEXT, 512, memcg)
    zswap.compressor = "lz4"
    new = zswap.store(TEXT, 513, memcg)
    assert [pool.compressor for pool in zswap.pools] == ["lz4", "zstd"]
    assert zswap.length(old) < zswap.length(new), "zstd packs text tighter"
    assert zswap.load(old) == zswap.load(new) == TEXT
    assert zswap.pool_pages == sum(pool.zspool.total_pages for pool in zswap.pools)
    zswap.check()
    zswap.compressor = "zstd"
    assert [pool.compressor for pool in zswap.pools] == ["zstd", "lz4"], "the pool that drained is used again"
    zswap.free(new)
    assert [pool.compressor for pool in zswap.pools] == ["zstd"]
    zswap.check()


def test_the_limit_holds_for_all_pools_together(memcg):
    zswap = Zswap(100)
    for i in range(20):
        assert zswap.store(NOISE, 512 + i, memcg)
    zswap.compressor = "lz4"
    assert zswap.store(NOISE, 600, memcg) == 0
    assert zswap.pool_pages == 20


def test_an_unknown_compressor_changes_nothing(memcg):
    zswap = Zswap(RAM_PAGES)
    with pytest.raises(InvalidArgument, match="snappy"):
        zswap.compressor = "snappy"
    assert zswap.compressor == "zstd"
    with pytest.raises(InvalidArgument):
        Zswap(0)


def test_debugfs_has_the_kernels_files(memcg):
    zswap = Zswap(RAM_PAGES, "lz4")
    for i in range(2):
        zswap.store((TEXT, NOISE)[i], 512 + i, memcg)
    zswap.note_written_back(3)
    files = {name: zswap.debugfs(name) for name in DEBUGFS_FILES}
    assert {name: value for name, value in files.items() if value} == {
        "written_back_pages": 3,
        "pool_total_size": zswap.pool_pages * PAGE_SIZE,
        "stored_pages": 2,
        "stored_incompressible_pages": 1,
    }
    with pytest.raises(NotFound, match="pool_limit_hit"):
        zswap.debugfs("same_filled_pages")


# -- age -------------------------------------------------------------------------------------------------------------


def stored_by(zswap: Zswap, memcg: KitMemcg, nr: int) -> list[int]:
    return [zswap.store(TEXT, 512, memcg) for _ in range(nr)]


def test_a_page_has_a_second_chance_and_then_the_oldest_goes_first(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = stored_by(zswap, memcg, 3)
    assert zswap.next_victim() == 0, "all were new; now they have had their chance"
    assert [zswap.next_victim() for _ in range(4)] == [*stored, stored[0]]
    zswap.touch(stored[1])
    assert zswap.next_victim() == stored[2], "the one touched is passed over"
    assert not zswap.entry(stored[1]).referenced


def test_a_victim_is_the_youngest_from_then_on(memcg):
    zswap = Zswap(RAM_PAGES)
    stored = stored_by(zswap, memcg, 3)
    zswap.next_victim()
    zswap.next_victim()
    assert [entry.id for entry in zswap.entries()] == [*stored[1:], stored[0]]


def test_memory_cgroups_take_turns():
    zswap = Zswap(RAM_PAGES)
    groups = [KitMemcg(id) for id in (3, 1, 2)]
    stored = {group.id: stored_by(zswap, group, 2) for group in groups}
    assert zswap.next_victim() == 0
    victims = [zswap.next_victim() for _ in range(6)]
    assert [zswap.entry(ze).memcg.id for ze in victims] == [1, 2, 3, 1, 2, 3]
    assert victims == [stored[id][i] for i in range(2) for id in (1, 2, 3)]
    assert zswap.next_victim(groups[0]) == stored[3][0]
    assert zswap.next_victim(KitMemcg(9)) == 0


def test_a_memory_cgroup_without_candidates_is_passed_over():
    zswap = Zswap(RAM_PAGES)
    one, two = KitMemcg(1), KitMemcg(2)
    stored_by(zswap, one, 2)
    cold = zswap.store(TEXT, 512, two)
    zswap.entry(cold).referenced = False
    assert zswap.next_victim() == cold
    assert not any(entry.referenced for entry in zswap.entries())


def test_an_empty_zswap_has_no_victim(memcg):
    zswap = Zswap(RAM_PAGES)
    assert zswap.next_victim() == zswap.next_victim(memcg) == 0
    zswap.free(zswap.store(TEXT, 512, memcg))
    assert zswap.next_victim() == zswap.next_victim(memcg) == 0


def test_charges_go_to_the_memory_cgroup_that_stored():
    zswap = Zswap(RAM_PAGES)
    groups = [KitMemcg(1), KitMemcg(2)]
    stored = [zswap.store((TEXT, NOISE)[i], 512 + i, group) for i, group in enumerate(groups)]
    assert zswap.charges() == {1: groups[0].zswap_charge, 2: PAGE_SIZE}
    zswap.free(stored[1])
    assert (groups[0].zswap_charge, groups[1].zswap_charge) == (zswap.length(stored[0]), 0)


# -- nodes, and memory cgroups that go ---------------------------------------------------------------------------------


def on_nodes(zswap: Zswap, memcg: KitMemcg, nodes: list[int]) -> list[int]:
    stored = []
    for zswap.node in nodes:
        stored.append(zswap.store(TEXT, 512, memcg))
    return stored


def test_a_page_goes_on_the_list_of_the_node_that_stored_it(memcg):
    zswap = Zswap(RAM_PAGES, nodes=2)
    stored = on_nodes(zswap, memcg, [0, 1, 1, 0, 1])
    assert [zswap.count(memcg, node) for node in (0, 1)] == [2, 3]
    assert [zswap.entry(ze).lru.node for ze in stored] == [0, 1, 1, 0, 1]
    assert zswap.charges() == {1: 5 * zswap.length(stored[0])}
    zswap.check()
    for ze in stored:
        zswap.free(ze)
    assert zswap.lrus == {}


def test_a_visit_takes_a_second_chance_or_names_the_oldest(memcg):
    zswap = Zswap(RAM_PAGES, nodes=2)
    first, second = on_nodes(zswap, memcg, [1, 1])
    assert zswap.visit(memcg, 0) is None
    assert [zswap.visit(memcg, 1) for _ in range(4)] == [0, 0, first, second]
    zswap.touch(first)
    assert zswap.victim_on(memcg, 1) == second
    assert zswap.victim_on(memcg, 0) == 0


def test_nodes_take_turns_as_memory_cgroups_do(memcg):
    zswap = Zswap(RAM_PAGES, nodes=2)
    first, second, third, fourth = on_nodes(zswap, memcg, [0, 1, 0, 1])
    assert zswap.next_victim() == 0
    assert [zswap.next_victim() for _ in range(4)] == [first, second, third, fourth]


def test_pages_of_a_memory_cgroup_that_goes_are_the_youngest_of_its_parent():
    zswap, child, parent = Zswap(RAM_PAGES, nodes=2), KitMemcg(2), KitMemcg(1)
    ours, theirs = on_nodes(zswap, child, [0, 1, 0]), on_nodes(zswap, parent, [0, 0])
    zswap.note_disk_swapin(child, 3)
    moved = zswap.reparent(child, parent)
    assert moved == sum(map(zswap.length, ours))
    assert [entry.id for entry in zswap.lrus[1, 0]] == [*theirs, ours[0], ours[2]]
    assert [entry.id for entry in zswap.lrus[1, 1]] == [ours[1]]
    assert (set(zswap.charges()), dict(zswap.disk_swapins)) == ({1}, {})
    zswap.check()
    parent.zswap_charge += child.zswap_charge  # as the tree of cgroups has it all along
    for ze in (*ours, *theirs):
        zswap.free(ze)
    assert parent.zswap_charge == 0
    assert zswap.reparent(child, parent) == 0
    assert zswap.store(TEXT, 512, parent) > 0


# -- invariants ------------------------------------------------------------------------------------------------------

BREAKS: dict[str, Callable[[Zswap], object]] = {
    "ids-live-or-spare": lambda zswap: zswap.spare.pop(),
    "incompressible-pages-counted": lambda zswap: setattr(zswap, "stored_incompressible_pages", 5),
    "lru-counted": lambda zswap: setattr(zswap.lrus[1, 0], "nr", 7),
    "lru-of-its-node": lambda zswap: setattr(zswap.lrus[1, 0], "node", 1),
    "lru-of-its-memcg": lambda zswap: zswap.lrus.__setitem__((2, 0), zswap.lrus.pop((1, 0))),
    "lru-holds-the-stored": lambda zswap: setattr(zswap.table[2], "length", 0),
    "entry-knows-its-id": lambda zswap: zswap.table.reverse(),
    "entry-in-a-known-pool": lambda zswap: setattr(zswap.table[1], "pool", None),
    "object-holds-the-page": lambda zswap: setattr(zswap.table[1], "length", PAGE_SIZE - 1),
    "object-has-one-entry": lambda zswap: setattr(zswap.table[1], "handle", zswap.table[2].handle),
    "pages-counted": lambda zswap: setattr(zswap.pools[0].zspool, "total_pages", 99),
}


@pytest.mark.parametrize("name", BREAKS)
def test_check_names_the_invariant_that_is_broken(memcg, name):
    zswap = Zswap(RAM_PAGES)
    stored = stored_by(zswap, memcg, 3)
    zswap.free(stored[2])
    zswap.check()
    BREAKS[name](zswap)
    with pytest.raises(InvariantError) as caught:
        zswap.check()
    assert caught.value.invariant == name


PAGES = [page_bytes(kind, 0) for kind in ("text", "heap", "half", "rnd75", "rnd90", "random", "same")]


class ZswapMachine(RuleBasedStateMachine):
    """Random use of zswap, with dictionaries as the model."""

    def __init__(self) -> None:
        super().__init__()
        self.zswap = Zswap(400, "lz4", max_pool_percent=10, nodes=2)  # full at 40 pages, so that it happens
        self.memcgs = {id: KitMemcg(id) for id in (1, 2)}
        self.pages: dict[int, tuple[bytes, tuple[int, int]]] = {}
        self.order: dict[tuple[int, int], list[int]] = {(id, node): [] for id in (1, 2) for node in (0, 1)}
        self.referenced: set[int] = set()

    @rule(page=st.sampled_from(PAGES), id=st.sampled_from([1, 2]), node=st.sampled_from([0, 1]), nr=st.integers(1, 6))
    def store(self, page, id, node, nr):
        self.zswap.node = node
        for _ in range(nr):
            before, accepts = self.zswap.pool_pages, self.zswap.pool_pages < self.zswap.max_pages
            if self.zswap.pool_reached_full:
                accepts = before <= self.zswap.accept_threshold_pages
            stored = self.zswap.store(page, 77, self.memcgs[id])
            assert bool(stored) == accepts
            if stored:
                assert stored not in self.pages
                self.pages[stored] = page, (id, node)
                self.order[id, node].append(stored)
                self.referenced.add(stored)

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), nr=st.integers(1, 4))
    def free(self, data, nr):
        for _ in range(min(nr, len(self.pages))):
            ze = data.draw(st.sampled_from(sorted(self.pages)))
            self.zswap.free(ze)
            _, where = self.pages.pop(ze)
            self.order[where].remove(ze)
            self.referenced.discard(ze)

    @precondition(lambda self: self.pages)
    @rule(data=st.data())
    def touch(self, data):
        ze = data.draw(st.sampled_from(sorted(self.pages)))
        self.zswap.touch(ze)
        self.referenced.add(ze)

    @rule(id=st.sampled_from([1, 2]), node=st.sampled_from([0, 1]))
    def victim_on(self, id, node):
        order, want = self.order[id, node], 0
        for _ in range(2 * len(order)):
            ze = order.pop(0)
            order.append(ze)
            if ze not in self.referenced:
                want = ze
                break
            self.referenced.discard(ze)
        assert self.zswap.victim_on(self.memcgs[id], node) == want

    @rule(id=st.sampled_from([1, 2]), node=st.sampled_from([0, 1]))
    def visit(self, id, node):
        order = self.order[id, node]
        ze = order.pop(0) if order else None
        if ze is not None:
            order.append(ze)
        want = 0 if ze in self.referenced else ze
        self.referenced.discard(ze)
        assert self.zswap.visit(self.memcgs[id], node) == want

    @rule()
    def next_victim(self):
        ze = self.zswap.next_victim()
        seen = [each for each in self.referenced if not self.zswap.entry(each).referenced]
        self.referenced.difference_update(seen)
        assert ze not in self.referenced
        assert ze or len(seen) == len(self.pages)
        for entry in self.zswap.entries():  # who lost a second chance is among the youngest, in the order of before
            self.order[entry.memcg.id, entry.lru.node].remove(entry.id)
            self.order[entry.memcg.id, entry.lru.node].append(entry.id)

    @rule()
    def reparent(self):
        self.zswap.reparent(self.memcgs[2], self.memcgs[1])
        self.memcgs[1].zswap_charge += self.memcgs[2].zswap_charge
        self.memcgs[2].zswap_charge = 0
        for node in (0, 1):
            for ze in self.order[2, node]:
                self.pages[ze] = self.pages[ze][0], (1, node)
            self.order[1, node] += self.order[2, node]
            self.order[2, node] = []

    @rule(name=st.sampled_from(["lz4", "zstd", "deflate"]))
    def change_compressor(self, name):
        self.zswap.compressor = name

    @invariant()
    def holds(self):
        self.zswap.check()
        assert {ze: self.zswap.load(ze) for ze in self.pages} == {ze: page for ze, (page, _) in self.pages.items()}
        for id, memcg in self.memcgs.items():
            assert memcg.zswap_charge == self.zswap.charges().get(id, 0)
            for node in (0, 1):
                lru = self.zswap.lrus.get((id, node), ())
                assert [entry.id for entry in lru] == self.order[id, node]
                assert self.zswap.count(memcg, node) == len(self.order[id, node])
        assert {entry.id for entry in self.zswap.entries() if entry.referenced} == self.referenced

    def teardown(self):
        for ze in self.pages:
            self.zswap.free(ze)
        assert (self.zswap.pool_pages, len(self.zswap.pools)) == (0, 1)


TestZswap = ZswapMachine.TestCase
TestZswap.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
