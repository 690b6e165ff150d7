"""The zswap trees: what is entered is found, nodes are those an xarray has, array forms do what scalar forms do."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument, InvariantError
from vswaplab.legacy import zswap_tree as module
from vswaplab.legacy.zswap_tree import XA_NODE_DTYPE, XARRAY_DTYPE, ZswapTrees

TREE = 16384
"""Slots of a tree, 64 MiB of pages."""
SLOTS_32G = 8 << 20


def u64(offsets: Iterable[int]) -> U64:
    return np.array(list(offsets), np.uint64)


def expected_nodes(offsets: Iterable[int]) -> int:
    """Count the nodes of xarrays that hold `offsets`, by what a radix tree is: one for each prefix of a key in it."""
    trees: dict[int, list[int]] = {}
    for offset in offsets:
        trees.setdefault(offset // TREE, []).append(offset)
    nodes = 0
    for keys in trees.values():
        reach = 1  # how far a tree of this height reaches
        while max(keys) >= reach:
            reach *= 64
            nodes += len({key // reach for key in keys})
    return nodes


def filled(offsets: Iterable[int], max: int = SLOTS_32G) -> ZswapTrees:
    trees = ZswapTrees(max)
    keys = u64(offsets)
    trees.store_many(keys, keys + np.uint64(1))
    trees.check()
    return trees


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(module).failed == 0


def test_structures_have_the_size_of_the_kernels() -> None:
    assert XA_NODE_DTYPE.itemsize == 576
    assert XARRAY_DTYPE.itemsize == 16
    assert XA_NODE_DTYPE["slots"].shape == (64,)


# -- one offset ------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_loaded_replaced_and_erased() -> None:
    trees = ZswapTrees(100_000)
    assert trees.store(70_000, 1 << 63) == 0
    assert trees.store(70_000, 5) == 1 << 63
    assert (trees.load(70_000), trees.load(70_001), trees.load(0), len(trees)) == (5, 0, 0, 1)
    assert (trees.erase(70_000), trees.erase(70_000), trees.load(70_000)) == (5, 0, 0)
    assert (len(trees), trees.nodes) == (0, 0)
    trees.check()


def test_a_single_entry_at_0_is_in_the_head() -> None:
    trees = ZswapTrees(100_000)
    trees.store(0, 9)
    assert (trees.nodes, trees.load(0), trees.load(1), len(trees)) == (0, 9, 0, 1)
    trees.check()
    assert trees.erase(0) == 9
    assert len(trees) == 0


def test_the_tree_of_offset_0_grows_with_its_keys_and_shrinks_again() -> None:
    trees = ZswapTrees(100_000)
    heights = []
    for offset in (0, 63, 64, 4095, 4096, 16383):
        trees.store(offset, offset + 1)
        trees.check()
        heights.append((trees.nodes, int(trees._height[0])))
    assert heights == [(0, 0), (1, 1), (3, 2), (4, 2), (7, 3), (9, 3)]
    for offset in (16383, 4096, 4095, 64, 63):
        heights.pop()
        assert trees.erase(offset) == offset + 1
        trees.check()
        assert (trees.nodes, int(trees._height[0])) == heights[-1]
        assert trees.load(0) == 1


@pytest.mark.parametrize(
    ("offset", "nodes"),
    [(TREE, 3), (64**3 - 1, 3), (64**3, 4), (SLOTS_32G - 1, 4), (64**4, 5), (64**5 - 1, 5)],
)
def test_height_is_set_by_the_whole_offset(offset: int, nodes: int) -> None:
    """A lone key costs a node a level: 3 levels reach 1 GiB of device, 4 reach 64 GiB, 5 reach 4 TiB."""
    trees = ZswapTrees(64**5)
    trees.store(offset, 1)
    assert trees.nodes == nodes == expected_nodes([offset])
    assert trees.metadata_bytes() == {"as_posted": 8, "as_allocated": 576 * nodes + 16 * 64**5 // TREE}
    trees.check()
    trees.erase(offset)
    assert trees.nodes == 0


def test_walks_and_visited_nodes_are_counted() -> None:
    trees = ZswapTrees(SLOTS_32G)
    trees.store(5_000_000, 1)
    assert (trees.walks, trees.nodes_visited) == (1, 4)
    trees.load(5_000_000)
    assert (trees.walks, trees.nodes_visited) == (2, 8)
    trees.load(5_000_001)  # the leaf is there, the entry is not
    assert (trees.walks, trees.nodes_visited) == (3, 12)
    trees.load(5_000_000 ^ 64)  # the same node above the leaf, no leaf
    assert (trees.walks, trees.nodes_visited) == (4, 15)
    trees.load(100_000)  # another tree, empty
    assert (trees.walks, trees.nodes_visited) == (5, 15)
    trees.erase(5_000_000)
    assert (trees.walks, trees.nodes_visited) == (6, 19)
    trees.check()
    trees.items()
    assert (trees.walks, trees.nodes_visited) == (6, 19)


@pytest.mark.parametrize("offset", [-1, 1000])
def test_an_offset_beyond_the_device_is_refused(offset: int) -> None:
    trees = filled([1, 2], max=1000)
    for call in (trees.load, trees.erase, lambda offset: trees.store(offset, 1)):
        with pytest.raises(InvalidArgument, match="beyond the device"):
            call(offset)
    for many in (trees.load_many, trees.erase_many, lambda offsets: trees.store_many(offsets, u64([1, 1]))):
        with pytest.raises(InvalidArgument, match="beyond the device"):
            many(np.array([1, offset], np.int64).view(np.uint64))
    assert trees.items()[0].tolist() == [1, 2]


def test_what_is_no_zswap_entry_is_refused_and_nothing_changes() -> None:
    trees = filled([1, 2], max=1000)
    for handle in (0, -1, 1 << 64):
        with pytest.raises(InvalidArgument, match="no zswap entry"):
            trees.store(3, handle)
    for offsets, handles in (([3, 4], [1, 0]), ([3, 4], [1]), ([3, 4, 3], [1, 2, 3])):
        with pytest.raises(InvalidArgument):
            trees.store_many(u64(offsets), u64(handles))
    with pytest.raises(InvalidArgument, match="distinct"):
        trees.erase_many(u64([2, 1, 2]))
    assert trees.items()[0].tolist() == [1, 2]
    trees.check()


# -- how many nodes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offsets",
    [
        range(1, 300),
        range(0, TREE),
        range(TREE - 5, 3 * TREE + 70),
        range(64**3 - 3 * TREE, 64**3 + 3 * TREE),
        range(0, SLOTS_32G, 64 * 512),
        range(7, SLOTS_32G, 4099),
        range(SLOTS_32G - 2 * TREE, SLOTS_32G, 2),
    ],
    ids=["few", "whole tree", "crossing trees", "crossing heights", "far apart", "sparse", "every second"],
)
def test_nodes_are_those_that_the_keys_need(offsets: range) -> None:
    trees = filled(offsets)
    assert trees.nodes == expected_nodes(offsets)
    assert len(trees) == len(offsets)
    trees.erase_many(u64(offsets[::2]))
    trees.check()
    assert trees.nodes == expected_nodes(offsets[1::2])


def test_32_gib_of_compressed_pages_are_indexed_with_9_21_bytes_each() -> None:
    """512 trees of 256 + 4 + 1 nodes, and a fourth level in those beyond 1 GiB: not the 8 bytes that were posted."""
    trees = filled(range(SLOTS_32G))
    nodes = 512 * (256 + 4 + 1) + (512 - 16)
    assert trees.nodes == nodes == 134_128
    assert trees.metadata_bytes() == {"as_posted": 8 * SLOTS_32G, "as_allocated": 576 * nodes + 16 * 512}
    assert round(trees.metadata_bytes()["as_allocated"] / SLOTS_32G, 2) == 9.21
    assert len(trees) == SLOTS_32G
    offsets = np.arange(SLOTS_32G, dtype=np.uint64)
    assert np.array_equal(trees.load_many(offsets), offsets + np.uint64(1))
    assert abs(trees._arena.resident_bytes() - 576 * nodes) < 8192
    assert np.array_equal(trees.erase_many(offsets), offsets + np.uint64(1))
    assert (len(trees), trees.nodes, trees._arena.resident_bytes()) == (0, 0, 0)


def test_one_page_in_each_leaf_costs_a_node_each() -> None:
    trees = filled(range(0, SLOTS_32G, 64))
    assert trees.nodes == 134_128
    assert trees.metadata_bytes()["as_posted"] == 8 * SLOTS_32G // 64


def test_rows_of_freed_nodes_are_used_again() -> None:
    trees = filled(range(0, 40_000, 64), max=50_000)
    taken = trees._fresh
    for offset in range(0, 40_000, 64):
        trees.erase(offset)
    assert (trees.nodes, len(trees)) == (0, 0)
    trees.store_many(u64(range(0, 40_000, 128)), np.ones(313, np.uint64))
    for offset in range(64, 40_000, 128):
        trees.store(offset, 1)
    assert trees._fresh == taken
    trees.check()


def test_clear_empties_all_trees_and_gives_the_memory_back() -> None:
    trees = filled(range(0, 200_000, 3))
    trees.clear()
    assert (len(trees), trees.nodes, trees.load(3), trees._arena.resident_bytes()) == (0, 0, 0, 0)
    trees.check()
    assert [column.tolist() for column in trees.items()] == [[], []]
    trees.store(3, 4)
    trees.check()
    assert trees.load(3) == 4


# -- against a dict --------------------------------------------------------------------------------------------------

MAX = 64**3 + TREE
"""Slots of a device whose trees have heights 0 to 4."""
PLACES = st.sampled_from([0, 0, 0, 60, 4090, TREE - 4, TREE, 3 * TREE + 4090, 64**3 - 4, 64**3 + 4])
OFFSETS = st.lists(st.builds(lambda place, by: place + by, PLACES, st.integers(0, 12)), unique=True, max_size=30)
STEPS = st.lists(st.tuples(st.sampled_from(["store", "erase", "all"]), OFFSETS), max_size=12)


@settings(max_examples=80)
@given(STEPS)
def test_random_sequences_agree_with_a_dict_scalar_and_array(steps: list[tuple[str, list[int]]]) -> None:
    one, many = ZswapTrees(MAX), ZswapTrees(MAX)
    model: dict[int, int] = {}
    handle = 1 << 33
    for what, offsets in steps:
        if what == "store":
            handles = list(range(handle, handle + len(offsets)))
            handle += len(offsets)
            found = [one.store(offset, new) for offset, new in zip(offsets, handles, strict=True)]
            assert found == [model.get(offset, 0) for offset in offsets]
            assert many.store_many(u64(offsets), u64(handles)).tolist() == found
            model.update(zip(offsets, handles, strict=True))
        else:
            chosen = offsets if what == "erase" else list(model)
            found = [one.erase(offset) for offset in chosen]
            assert found == [model.pop(offset, 0) for offset in chosen]
            assert many.erase_many(u64(chosen)).tolist() == found
        for trees in (one, many):
            trees.check()
            assert [column.tolist() for column in trees.items()] == [sorted(model), [model[o] for o in sorted(model)]]
            assert (len(trees), trees.nodes) == (len(model), expected_nodes(model))
        before = one.nodes_visited, many.nodes_visited
        twice = offsets + offsets
        loaded = [one.load(offset) for offset in twice]
        assert many.load_many(u64(twice)).tolist() == loaded == [model.get(offset, 0) for offset in twice]
        assert one.nodes_visited - before[0] == many.nodes_visited - before[1]
        assert one.walks == many.walks


def test_array_forms_count_the_nodes_that_scalar_forms_visit() -> None:
    """Where the height of no tree changes on the way, that is to say in all trees but the first."""
    offsets = [*range(TREE + 3, TREE + 500, 7), *range(64**3, 64**3 + 200)]
    one, many = ZswapTrees(MAX), ZswapTrees(MAX)
    for offset in offsets:
        one.store(offset, 1)
    many.store_many(u64(offsets), np.ones(len(offsets), np.uint64))
    assert one.nodes_visited == many.nodes_visited
    absent = [offset + 64 * 40 for offset in offsets]
    for offset in absent + offsets:
        one.erase(offset)
    many.erase_many(u64(absent))
    many.erase_many(u64(offsets))
    assert (one.nodes_visited, one.walks) == (many.nodes_visited, many.walks)


# -- invariants ------------------------------------------------------------------------------------------------------


def root(trees: ZswapTrees) -> int:
    return int(trees._head[1])


def child(trees: ZswapTrees) -> int:
    slots = trees._node["slots"][root(trees)]
    return int(slots[slots != 0][0])


def no_entry_counted(trees: ZswapTrees) -> None:
    trees._len -= 1


def height_without_head(trees: ZswapTrees) -> None:
    trees._height[2] = 1


def wrong_count(trees: ZswapTrees) -> None:
    trees._node["count"][child(trees)] += 1


def wrong_parent(trees: ZswapTrees) -> None:
    trees._node["parent"][child(trees)] = 0


def wrong_offset(trees: ZswapTrees) -> None:
    trees._node["offset"][child(trees)] ^= 1


def wrong_shift(trees: ZswapTrees) -> None:
    trees._node["shift"][child(trees)] = 0


def empty_node(trees: ZswapTrees) -> None:
    trees._node["slots"][child(trees)] = 0
    trees._node["count"][child(trees)] = 0


def child_that_is_no_row(trees: ZswapTrees) -> None:
    slots = trees._node["slots"][root(trees)]
    trees._node["slots"][root(trees), np.flatnonzero(slots)[0]] = trees._fresh + 5


def lost_row(trees: ZswapTrees) -> None:
    trees._fresh += 1


def used_row_that_is_free(trees: ZswapTrees) -> None:
    trees._free.append(child(trees))


def too_high(trees: ZswapTrees) -> None:
    """Put a root over the first tree that its keys do not need."""
    trees._head[0], trees._height[0] = trees._new_node(2, 0, 0), 2
    old = trees._new_node(1, 0, int(trees._head[0]))
    trees._node["slots"][old, 3] = 1
    trees._node["slots"][int(trees._head[0]), 0] = old
    trees._node["count"][[old, int(trees._head[0])]] = 1
    trees._len += 1


def in_the_wrong_tree(trees: ZswapTrees) -> None:
    trees._head[2], trees._height[2] = trees._head[1], trees._height[1]
    trees._head[1] = trees._height[1] = 0


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (no_entry_counted, "entries-are-counted"),
        (height_without_head, "empty-tree-has-no-height"),
        (wrong_count, "node-counts-its-slots"),
        (wrong_parent, "child-knows-its-parent"),
        (wrong_offset, "child-knows-its-parent"),
        (wrong_shift, "child-knows-its-parent"),
        (empty_node, "no-empty-node"),
        (child_that_is_no_row, "child-is-a-node"),
        (lost_row, "row-is-one-node-or-free"),
        (used_row_that_is_free, "free-node-is-blank"),
        (too_high, "height-is-minimal"),
        (in_the_wrong_tree, "offset-is-in-its-tree"),
    ],
)
def test_check_names_the_invariant_that_broke(spoil: Callable[[ZswapTrees], None], invariant: str) -> None:
    trees = filled([TREE, TREE + 1, TREE + 5000], max=3 * TREE)
    spoil(trees)
    with pytest.raises(InvariantError) as caught:
        trees.check()
    assert caught.value.invariant == invariant
