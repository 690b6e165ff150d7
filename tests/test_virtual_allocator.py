"""The three steps of allocation, the caching rule, and the way back, against a model too simple to be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.virtual.allocator import VswapAllocator
from vswaplab.virtual.allocator_batch import alloc_many, bitmap_of, indices_of, release_many
from vswaplab.virtual.cluster import TOP_ORDER
from vswaplab.virtual.descriptor import DescriptorArena


def make(cpus: int = 2, max_cluster_id: int = 0xFFFF_FFFF) -> VswapAllocator:
    return VswapAllocator(DescriptorArena(16), cpus, max_cluster_id)


def free(allocator: VswapAllocator, entry: int, nr: int = 1, cpu: int = 0) -> None:
    cluster = allocator.find(entry, cpu)
    assert cluster is not None
    allocator.release(cluster, entry & 511, nr, cpu)


class DumbAllocator:
    """Lists of booleans and loops: section 3.4 of docs/facts.md, read aloud."""

    def __init__(self, cpus: int) -> None:
        self.slots: dict[int, list[bool]] = {}
        self.order: dict[int, int] = {}
        self.full: dict[int, bool] = {}
        self.partial: list[list[int]] = [[] for _ in range(10)]
        self.cached: list[list[int | None]] = [[None] * 10 for _ in range(cpus)]

    def candidate(self, c: int) -> bool:
        return sum(self.slots[c]) + (1 << self.order[c]) <= 512

    def attempt(self, c: int) -> int | None:
        nr = 1 << self.order[c]
        for at in range(nr if c == 0 else 0, 512, nr):
            if self.candidate(c) and not any(self.slots[c][at : at + nr]):
                self.slots[c][at : at + nr] = [True] * nr
                return c * 512 + at
        return None

    def alloc(self, order: int, cpu: int) -> int:
        own = self.cached[cpu][order]
        if own is not None:
            got = self.attempt(own)
            if got is None or not self.candidate(own):
                self.cached[cpu][order] = None
                self.full[own] = True
            if got is not None:
                return got
        for c in list(self.partial[order]):
            got = self.attempt(c)
            self.partial[order].remove(c)
            self.full[c] = got is None or not self.candidate(c)
            if got is not None:
                if not self.full[c]:
                    self.cached[cpu][order] = c
                return got
        c = next(i for i in range(1 if order == 9 else 0, 10**6) if i not in self.slots)
        self.slots[c], self.order[c] = [False] * 512, order
        got = self.attempt(c)
        assert got is not None
        self.full[c] = not self.candidate(c)
        if not self.full[c]:
            self.cached[cpu][order] = c
        return got

    def free(self, entry: int) -> None:
        c, at = divmod(entry, 512)
        self.slots[c][at] = False
        is_cached = any(c in row for row in self.cached)
        if not any(self.slots[c]) and not is_cached:
            if c in self.partial[self.order[c]]:
                self.partial[self.order[c]].remove(c)
            del self.slots[c], self.order[c], self.full[c]
        elif self.full[c] and self.candidate(c):
            self.full[c] = False
            if not is_cached:
                self.partial[self.order[c]].append(c)


OPS = st.lists(
    st.tuples(
        st.sampled_from(["alloc", "alloc", "free", "free_many"]), st.integers(0, 9), st.integers(0, 1), st.randoms()
    ),
    max_size=60,
)


@given(OPS)
def test_allocates_exactly_as_the_dumb_model(ops) -> None:
    ours, dumb, live = make(), DumbAllocator(2), []
    for op, order, cpu, random in ops:
        if op == "alloc":
            for _ in range(random.randint(1, 40)):
                got = ours.alloc(order, cpu)
                assert got == dumb.alloc(order, cpu)
                live.extend(range(got, got + (1 << order)))
        else:
            for _ in range(random.randint(1, 300) if op == "free_many" else 1):
                if live:
                    entry = live.pop(random.randrange(len(live)))
                    # A look-up by another CPU would hold an empty cluster; here only lists and slots are compared.
                    free(ours, entry, cpu=cpu)
                    ours.drop_lookup(cpu)
                    dumb.free(entry)
        assert ours.entries() == sorted(live)
        assert ours.used == len(live)
        assert [list(partial) for partial in ours.map.partial] == dumb.partial
        assert [[c.id if c else None for c in row] for row in ours.cached] == dumb.cached
    for entry in live:
        free(ours, entry)
    assert ours.used == 0
    for cpu in (0, 1):
        ours.vswap_cpu_dead(cpu)
    assert not ours.map.clusters, "with nothing allocated and nothing cached no cluster is left"


@given(OPS)
def test_array_form_leaves_the_same_state_as_the_scalar_form(ops) -> None:
    one, many = make(), make()
    live: list[int] = []
    for op, order, cpu, random in ops:
        if op == "alloc":
            nr = random.choice([1, 2, 7, 100, 600, 1500]) >> order or 1
            expected = [one.alloc(order, cpu) for _ in range(nr)]
            assert alloc_many(many, nr, order, cpu).tolist() == expected
            live.extend(entry + i for entry in expected for i in range(1 << order))
        elif live:
            nr = min(len(live), random.choice([1, 3, 512, 1200]))
            if random.random() < 0.5:
                random.shuffle(live)
            batch, live = live[:nr], live[nr:]
            for entry in batch:
                free(one, entry, cpu=cpu)
            release_many(many, np.array(batch, np.int64), cpu)
        assert describe(one) == describe(many)


def describe(allocator: VswapAllocator) -> object:
    clusters = {
        c.id: (c.order, c.count, c.bitmap, c.refcnt, c.pins, c.cached, c.full) for c in allocator.map.clusters.values()
    }
    lists = [list(partial) for partial in allocator.map.partial]
    cached = [[c.id if c else None for c in row] for row in allocator.cached]
    return clusters, lists, cached, [c.id if c else None for c in allocator.looked_up], allocator.used


def test_entry_0_is_never_handed_out_and_cluster_0_skips_its_first_range() -> None:
    assert make().alloc(0, 0) == 1
    assert make().alloc(4, 0) == 16
    allocator = make()
    taken = [allocator.alloc(0, 0) for _ in range(512)]
    assert taken[:511] == list(range(1, 512))
    assert taken[511] == 512, "cluster 0 serves 511 slots of order 0"


def test_top_order_starts_at_cluster_1_and_leaves_0_to_others() -> None:
    allocator = make()
    assert allocator.alloc(TOP_ORDER, 0) == 512
    assert allocator.alloc(0, 0) == 1


@pytest.mark.parametrize("order", range(10))
def test_ranges_are_naturally_aligned_to_their_order(order: int) -> None:
    allocator = make()
    for _ in range(600 >> order or 2):
        assert allocator.alloc(order, 0) % (1 << order) == 0


def test_lowest_free_id_is_used_again() -> None:
    allocator = make()
    entries = [allocator.alloc(TOP_ORDER, 0) for _ in range(4)]
    for entry in (entries[2], entries[1]):
        free(allocator, entry, 512)
    assert allocator.alloc(TOP_ORDER, 0) == entries[1]
    assert allocator.alloc(TOP_ORDER, 0) == entries[2]


def test_a_full_virtual_space_rejects_and_counts_it() -> None:
    allocator = make(max_cluster_id=1)
    assert [allocator.alloc(TOP_ORDER, 0), allocator.alloc(TOP_ORDER, 0)] == [512, 0]
    assert allocator.alloc_reject == 512
    assert allocator.used == 512


def test_failed_memory_for_a_cluster_leaves_no_trace() -> None:
    allocator = make()
    allocator.fail_new_cluster = lambda: True
    assert allocator.alloc(3, 0) == 0
    assert allocator.alloc_reject == 8
    assert not allocator.map.clusters
    allocator.fail_new_cluster = None
    assert allocator.alloc(3, 0) == 8


def test_each_cpu_fills_a_cluster_of_its_own() -> None:
    allocator = make()
    assert [allocator.alloc(0, cpu) for cpu in (0, 1, 0, 1)] == [1, 512, 2, 513]


def test_locked_cluster_is_skipped_and_stays_on_the_partial_list() -> None:
    allocator = make()
    entries = [allocator.alloc(8, 0) for _ in range(5)]  # cluster 0 serves one range, 1 and 2 two each
    assert entries == [256, 512, 768, 1024, 1280]
    free(allocator, 512, 256)
    free(allocator, 1024, 256)
    first, second = allocator.map.partial[8].values()
    first.locked = True
    assert allocator.alloc(8, 0) == second.id << 9
    assert list(allocator.map.partial[8]) == [first.id]


def test_a_cluster_with_room_goes_to_the_head_of_the_list_when_the_cpu_has_one() -> None:
    allocator = make()
    allocator.alloc(0, 0)
    for wanted in (1, 2):
        cluster = allocator.new_cluster(0)
        assert cluster is not None
        cluster.count, cluster.refcnt, cluster.bitmap = 1, 1, 1
        allocator.keep(cluster, 0)
        assert next(iter(allocator.map.partial[0])) == wanted


def test_freed_slot_of_a_full_cluster_puts_it_at_the_tail_of_the_partial_list() -> None:
    allocator = make()
    for _ in range(511 + 3 * 512):
        allocator.alloc(0, 0)
    for entry in (1024, 600):
        free(allocator, entry)
    assert list(allocator.map.partial[0]) == [2, 1]


def test_dead_cpus_cluster_only_drains() -> None:
    allocator = make()
    first = allocator.alloc(0, 0)
    allocator.vswap_cpu_dead(0)
    cluster = allocator.map.clusters[0]
    assert allocator.map.state(cluster) == "stranded"
    assert allocator.alloc(0, 1) == 512, "nobody allocates from it any more"
    free(allocator, first, cpu=1)
    assert 0 not in allocator.map.clusters


def test_states_of_a_cluster() -> None:
    allocator = make()
    entry = allocator.alloc(8, 0)
    cluster = allocator.map.clusters[0]
    assert allocator.map.state(cluster) == "cached", "cluster 0 looks as if it had room for a second range"
    other = allocator.alloc(8, 0)
    assert allocator.map.state(cluster) == "full", "it had not: its first range is never handed out"
    allocator.alloc(8, 0)
    assert allocator.map.state(allocator.map.clusters[1]) == "full"
    free(allocator, other, 256)
    assert allocator.map.state(allocator.map.clusters[1]) == "partial"
    assert entry == 256


class TestLookupCache:
    """The per-CPU cluster of version 6 [S16]."""

    def test_same_cluster_skips_the_map_walk(self) -> None:
        allocator = make()
        entries = [allocator.alloc(0, 0) for _ in range(600)]
        for entry in entries[:10]:
            allocator.find(entry, 0)
        assert (allocator.lookups, allocator.map_walks) == (10, 1)
        allocator.find(entries[-1], 0)
        allocator.find(entries[0], 0)
        assert (allocator.lookups, allocator.map_walks) == (12, 3)

    def test_holds_one_reference_and_moves_it(self) -> None:
        allocator = make()
        a, b = allocator.alloc(TOP_ORDER, 0), allocator.alloc(TOP_ORDER, 0)
        first, second = allocator.map.clusters[1], allocator.map.clusters[2]
        allocator.find(a, 0)
        assert (first.refcnt, second.refcnt) == (513, 512)
        allocator.find(b, 0)
        assert (first.refcnt, second.refcnt) == (512, 513)

    def test_does_not_remember_a_slot_that_is_not_allocated(self) -> None:
        allocator = make()
        allocator.alloc(0, 0)
        assert allocator.find(77, 0) is None
        assert allocator.looked_up[0] is None

    def test_is_cleared_when_its_cluster_becomes_empty(self) -> None:
        allocator = make()
        entry = allocator.alloc(TOP_ORDER, 0)
        free(allocator, entry, 512)
        assert allocator.looked_up[0] is None
        assert not allocator.map.clusters

    def test_of_another_cpu_keeps_an_empty_cluster_until_it_moves_on(self) -> None:
        allocator = make()
        a, b = allocator.alloc(TOP_ORDER, 0), allocator.alloc(TOP_ORDER, 0)
        allocator.find(a, 1)
        free(allocator, a, 512, cpu=0)
        assert 1 in allocator.map.clusters
        allocator.find(b, 1)
        assert 1 not in allocator.map.clusters


@given(st.sets(st.integers(0, 511)))
def test_bitmaps_convert_both_ways(indices: set[int]) -> None:
    bitmap = sum(1 << i for i in indices)
    assert indices_of(bitmap).tolist() == sorted(indices)
    assert bitmap_of(indices_of(bitmap)) == bitmap
