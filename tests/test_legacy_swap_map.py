"""The swap_map byte for byte: counts of any size, who may change what, and array forms against scalar forms."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab.entry import U64
from vswaplab.errors import Exists, InvalidArgument, InvariantError, NoMemory, NotFound, SwapError
from vswaplab.legacy import swap_map as module
from vswaplab.legacy.swap_map import (
    COUNT_CONTINUED,
    SWAP_CONT_MAX,
    SWAP_HAS_CACHE,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
    SWAP_MAP_SHMEM,
    SwapMap,
)

SLOTS, BAD = 9000, (7, 5000)
FREE, CACHED, SHMEM, USED, OUT = 1, 2, 3, 4, SLOTS
"""Slots of `prepared`: one in each state, and one that is not there."""


def u64(*offsets: int) -> U64:
    return np.array(offsets, np.uint64)


def prepared() -> SwapMap:
    """A map with a free, a cached, a tmpfs-owned and a plainly used slot."""
    swap_map = SwapMap(SLOTS, BAD)
    swap_map.set_cached_new(CACHED, 3)
    swap_map.duplicate_shmem(SHMEM)
    swap_map.duplicate(USED)
    swap_map.clear_cache(USED)
    return swap_map


def duplicate(swap_map: SwapMap, offset: int, nr: int = 1) -> None:
    """Add references as the kernel's callers do: a continuation page when one is wanted, then again."""
    for _ in range(nr):
        try:
            swap_map.duplicate(offset)
        except NoMemory:
            swap_map.add_swap_count_continuation(offset)
            swap_map.duplicate(offset)


def contents(swap_map: SwapMap) -> tuple[bytes, dict[int, list[bytes]]]:
    pages = {index: [bytes(page) for page in pages] for index, pages in swap_map._continuation.items()}
    return swap_map.map.rows.tobytes(), pages


def with_count(count: int, offset: int = USED) -> SwapMap:
    """A map that holds `count` at a slot, written digit by digit rather than counted up to."""
    swap_map = prepared()
    low, rest = count % (SWAP_MAP_MAX + 1), count // (SWAP_MAP_MAX + 1)
    swap_map.map.rows[offset] = low | (COUNT_CONTINUED if rest else 0)
    pages = swap_map._continuation.setdefault(offset // 4096, [])
    while rest:
        digit, rest = rest % 128, rest // 128
        page = memoryview(np.zeros(4096, np.uint8))
        page[offset % 4096] = digit | (COUNT_CONTINUED if rest else 0)
        pages.append(page)
    swap_map.continuation_pages = len(pages)
    swap_map.check()
    return swap_map


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(module).failed == 0


# -- bytes -----------------------------------------------------------------------------------------------------------


def test_bytes_are_the_kernels() -> None:
    swap_map = prepared()
    seen = [swap_map.byte(offset) for offset in (0, 7, FREE, CACHED, SHMEM, USED)]
    assert seen == [SWAP_MAP_BAD, 0x3F, 0, SWAP_HAS_CACHE, 0xFF, 1]
    swap_map.clear_cache(SHMEM)
    assert swap_map.byte(SHMEM) == SWAP_MAP_SHMEM == 0xBF
    assert swap_map.map.rows.dtype == np.uint8
    assert len(swap_map.map.rows) == SLOTS
    assert [swap_map.in_use(offset) for offset in (0, FREE, CACHED, SHMEM, USED)] == [False, False, True, True, True]
    assert [swap_map.has_cache(offset) for offset in (0, FREE, CACHED, SHMEM, USED)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert swap_map.counts(u64(0, 7, FREE, CACHED, SHMEM, USED)).tolist() == [0, 0, 0, 0, 1, 1]


def test_a_reference_on_a_tmpfs_slot_is_the_only_one_and_can_be_dropped() -> None:
    swap_map = prepared()
    assert swap_map.put(SHMEM) == 0
    assert swap_map.byte(SHMEM) == SWAP_HAS_CACHE
    swap_map.duplicate_shmem(SHMEM)
    swap_map.clear_cache(SHMEM)
    assert (swap_map.count(SHMEM), swap_map.put_many(u64(SHMEM)).tolist(), swap_map.byte(SHMEM)) == (1, [0], 0)


def test_a_map_is_as_large_as_the_device_and_nothing_more() -> None:
    swap_map = SwapMap(8 << 20, ())
    assert swap_map.metadata_bytes() == {"swap_map": 8 << 20, "swap_map_continuation": 0}
    assert swap_map.map.resident_bytes() == 4096
    swap_map.set_cached_new_many(u64(5 << 20))
    swap_map.set_cached_new(4 << 20, 1)
    swap_map.check()
    assert swap_map.map.resident_bytes() == 3 * 4096
    with pytest.raises(InvalidArgument, match="Bad page 100"):
        SwapMap(100, [100])


# -- counts beyond the byte ------------------------------------------------------------------------------------------


def test_62_references_fit_the_byte_and_the_63rd_needs_a_page() -> None:
    swap_map = prepared()
    duplicate(swap_map, USED, 61)
    assert (swap_map.byte(USED), swap_map.continuation_pages) == (SWAP_MAP_MAX, 0)
    with pytest.raises(NoMemory, match="add_swap_count_continuation"):
        swap_map.duplicate(USED)
    assert swap_map.count(USED) == 62
    swap_map.add_swap_count_continuation(USED)
    assert swap_map.duplicate(USED) == 63
    assert (swap_map.byte(USED), swap_map.continuation_pages) == (COUNT_CONTINUED, 1)
    assert swap_map.put(USED) == 62
    assert swap_map.byte(USED) == SWAP_MAP_MAX
    swap_map.check()


def test_counting_up_and_down_through_two_digits_is_exact() -> None:
    swap_map = prepared()
    swap_map.set_cache(USED)
    top = 63 * 128 * 2 + 5
    for count in range(2, top + 1):
        duplicate(swap_map, USED)
        assert swap_map.count(USED) == count
    assert swap_map.continuation_pages == 2
    swap_map.check()
    for count in reversed(range(top)):
        assert swap_map.put(USED) == count
    assert swap_map.byte(USED) == SWAP_HAS_CACHE
    swap_map.check()


@pytest.mark.parametrize("power", [0, 1, 2, 3, 4])
def test_digits_carry_and_borrow_at_every_power_of_their_base(power: int) -> None:
    """63 * 128**4 is 1.7e10 references, where a fifth digit begins."""
    edge = 63 * 128**power
    swap_map = with_count(edge - 3)
    for count in range(edge - 2, edge + 4):
        duplicate(swap_map, USED)
        assert swap_map.count(USED) == count
        swap_map.check()
    assert swap_map.continuation_pages == power + 1
    for count in reversed(range(edge - 3, edge + 3)):
        assert swap_map.put(USED) == count
        swap_map.check()
    assert contents(swap_map)[0] == contents(with_count(edge - 3))[0]


def test_a_large_count_goes_through_the_array_forms_too() -> None:
    edge = 63 * 128 * 128
    swap_map = with_count(edge - 1)
    swap_map.duplicate_many(u64(CACHED, USED))
    assert swap_map.counts(u64(USED, CACHED, USED)).tolist() == [edge, 1, edge]
    assert swap_map.put_many(u64(CACHED, USED)).tolist() == [0, edge - 1]
    swap_map.check()


def test_slots_of_one_page_of_the_map_share_a_continuation_page() -> None:
    swap_map = SwapMap(SLOTS, ())
    for offset in (10, 4095, 4096):
        swap_map.set_cached_new(offset, 1)
        duplicate(swap_map, offset, 62)
    duplicate(swap_map, 10)
    assert swap_map.duplicate(4095) == 63  # the page that slot 10 asked for has room for it
    assert swap_map.continuation_pages == 1
    swap_map.add_swap_count_continuation(4095)
    assert swap_map.continuation_pages == 1
    with pytest.raises(NoMemory):
        swap_map.duplicate(4096)
    duplicate(swap_map, 4096)
    assert swap_map.metadata_bytes()["swap_map_continuation"] == 2 * 4096
    swap_map.check()


def test_continuation_pages_stay_when_counts_drop() -> None:
    swap_map = with_count(63 * 128 + 1)
    for _ in range(63 * 128 + 1):
        left = swap_map.put(USED)
    assert (left, swap_map.continuation_pages) == (0, 2)
    swap_map.free(USED)
    swap_map.set_cached_new(USED, 1)
    for count in range(1, 63 * 128 + 2):
        assert swap_map.duplicate(USED) == count  # and need not be asked for again
    swap_map.check()


def test_without_memory_for_a_page_the_count_stays_at_62() -> None:
    swap_map = prepared()
    swap_map.continuation_limit = 0
    duplicate(swap_map, USED, 61)
    for attempt in (swap_map.add_swap_count_continuation, lambda offset: swap_map.duplicate_many(u64(CACHED, offset))):
        before = contents(swap_map)
        with pytest.raises(NoMemory, match="No page"):
            attempt(USED)
        assert contents(swap_map) == before
    swap_map.continuation_limit = 1
    duplicate(swap_map, USED)
    assert swap_map.count(USED) == 63


# -- errors ----------------------------------------------------------------------------------------------------------

SCALAR = {
    "duplicate": (NotFound, NotFound, InvalidArgument, None, None, InvalidArgument),
    "duplicate_shmem": (NotFound, NotFound, InvalidArgument, None, InvalidArgument, InvalidArgument),
    "put": (NotFound, NotFound, None, InvalidArgument, None, InvalidArgument),
    "set_cache": (NotFound, NotFound, Exists, Exists, None, InvalidArgument),
    "clear_cache": (NotFound, NotFound, None, None, InvalidArgument, InvalidArgument),
    "free": (InvalidArgument, None, InvalidArgument, None, InvalidArgument, InvalidArgument),
    "add_swap_count_continuation": (NotFound, NotFound, None, None, None, InvalidArgument),
    "byte": (None, None, None, None, None, InvalidArgument),
}
"""What each operation raises for a bad, a free, a tmpfs, a cached, a used slot, and one beyond the device."""
CASES = [
    (name, offset, error)
    for name, errors in SCALAR.items()
    for offset, error in zip((7, FREE, SHMEM, CACHED, USED, OUT), errors, strict=True)
]
MANY = [case for case in CASES if hasattr(SwapMap, f"{case[0]}_many")]


@pytest.mark.parametrize(("name", "offset", "error"), CASES)
def test_errors_of_each_operation_on_each_kind_of_slot(name: str, offset: int, error: type[SwapError] | None) -> None:
    swap_map = prepared()
    before = contents(swap_map)
    if error is None:
        getattr(swap_map, name)(offset)
    else:
        with pytest.raises(error):
            getattr(swap_map, name)(offset)
        assert contents(swap_map) == before
    swap_map.check()


@pytest.mark.parametrize(("name", "offset", "error"), MANY)
def test_array_forms_raise_the_same_and_then_change_nothing(
    name: str, offset: int, error: type[SwapError] | None
) -> None:
    swap_map, scalar = prepared(), prepared()
    for each in (swap_map, scalar):  # a slot on which every operation can be done
        each.set_cached_new(100, 1)
        if name in ("put", "set_cache"):
            each.duplicate(100)
        if name == "set_cache":
            each.clear_cache(100)
    before = contents(swap_map)
    if error is None:
        getattr(swap_map, f"{name}_many")(u64(100, offset))
        getattr(scalar, name)(100)
        getattr(scalar, name)(offset)
        assert contents(swap_map) == contents(scalar)
    else:
        with pytest.raises(error):
            getattr(swap_map, f"{name}_many")(u64(100, offset))
        assert contents(swap_map) == before


@pytest.mark.parametrize("name", ["duplicate_many", "put_many", "set_cache_many", "clear_cache_many", "free_many"])
def test_array_forms_refuse_the_same_slot_twice(name: str) -> None:
    swap_map = prepared()
    before = contents(swap_map)
    with pytest.raises(InvalidArgument, match="distinct"):
        getattr(swap_map, name)(u64(USED, CACHED, USED))
    assert contents(swap_map) == before


def test_only_free_slots_can_be_new() -> None:
    swap_map = prepared()
    before = contents(swap_map)
    for first, nr in ((FREE, 2), (6, 3), (SLOTS - 1, 2), (10, 0), (-1, 1)):
        with pytest.raises(InvalidArgument):
            swap_map.set_cached_new(first, nr)
    for offsets in (u64(FREE, CACHED), u64(FREE, 7), u64(FREE, FREE), u64(OUT)):
        with pytest.raises(InvalidArgument):
            swap_map.set_cached_new_many(offsets)
    assert contents(swap_map) == before
    swap_map.set_cached_new_many(u64(20, 10))
    assert (swap_map.byte(10), swap_map.byte(20)) == (SWAP_HAS_CACHE, SWAP_HAS_CACHE)


def test_array_forms_take_no_slots_at_all() -> None:
    swap_map = prepared()
    before = contents(swap_map)
    for name in ("duplicate", "put", "set_cached_new", "set_cache", "clear_cache", "free"):
        getattr(swap_map, f"{name}_many")(u64())
    assert swap_map.counts(u64()).dtype == np.uint32
    assert contents(swap_map) == before


def test_look_ups_are_counted_one_a_slot() -> None:
    swap_map = SwapMap(SLOTS, BAD)
    swap_map.set_cached_new(10, 4)
    assert swap_map.lookups == 4
    swap_map.duplicate(10)
    swap_map.count(10)
    assert swap_map.lookups == 6
    swap_map.duplicate_many(u64(10, 11, 12))
    swap_map.put_many(u64(10, 11))
    swap_map.counts(u64(10, 10))
    assert swap_map.lookups == 13
    swap_map.check()
    swap_map.metadata_bytes()
    assert swap_map.lookups == 13


# -- against a model -------------------------------------------------------------------------------------------------

AREA = [1, 2, 3, 4094, 4095, 4096, 4097]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "duplicate", "duplicate", "duplicate", "put", "put", "set", "clear", "shmem"]),
        st.lists(st.sampled_from(AREA), min_size=1, unique=True),
        st.sampled_from([1, 1, 2, 61, 62, 63, 130]),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS)
def test_random_sequences_agree_with_a_dict_scalar_and_array(steps: list[tuple[str, list[int], int]]) -> None:
    """The model is a count, a flag for the swap cache and one for tmpfs a slot."""
    one, many = SwapMap(5000, [5, 4098]), SwapMap(5000, [5, 4098])
    model: dict[int, list[Any]] = {}
    for what, chosen, times in steps:
        for _ in range(times if what in ("duplicate", "put") else 1):
            offsets = [offset for offset in chosen if allowed(what, model.get(offset))]
            apply(what, offsets, one, many, model)
        counts = [model[offset][0] if offset in model else 0 for offset in AREA]
        assert [one.count(offset) for offset in AREA] == many.counts(u64(*AREA)).tolist() == counts
        assert [one.has_cache(offset) for offset in AREA] == [offset in model and model[offset][1] for offset in AREA]
        assert [one.in_use(offset) for offset in AREA] == [offset in model for offset in AREA]
        assert contents(one) == contents(many)
        one.check()
        many.check()


def allowed(what: str, state: list[Any] | None) -> bool:
    if what == "new" or state is None:
        return (what == "new") == (state is None)
    count, cached, shmem = state
    may = {"duplicate": not shmem, "put": count > 0, "set": not cached, "clear": cached, "shmem": count == 0}
    return bool(may[what])


def apply(what: str, offsets: list[int], one: SwapMap, many: SwapMap, model: dict[int, list[Any]]) -> None:
    for offset in offsets:
        state = model.setdefault(offset, [0, True, False])
        if what == "new":
            one.set_cached_new(offset, 1)
        elif what == "duplicate":
            state[0] += 1
            duplicate(one, offset)
        elif what == "put":
            state[0], state[2] = state[0] - 1, False
            assert one.put(offset) == state[0]
        elif what == "set":
            state[1] = True
            one.set_cache(offset)
        elif what == "clear":
            state[1] = False
            one.clear_cache(offset)
        else:
            state[0], state[2] = 1, True
            one.duplicate_shmem(offset)
            many.duplicate_shmem(offset)
        if state[:2] == [0, False]:
            del model[offset]
            one.free(offset)
    call: dict[str, Callable[[U64], Any]] = {
        "new": many.set_cached_new_many,
        "duplicate": many.duplicate_many,
        "put": many.put_many,
        "set": many.set_cache_many,
        "clear": many.clear_cache_many,
    }
    if what in call:
        left = call[what](u64(*offsets))
        if what == "put":
            assert left.tolist() == [model[offset][0] if offset in model else 0 for offset in offsets]
    many.free_many(u64(*(offset for offset in offsets if offset not in model)))


# -- invariants ------------------------------------------------------------------------------------------------------


def spoil_digit(value: int) -> Callable[[SwapMap], None]:
    def spoil(swap_map: SwapMap) -> None:
        swap_map._continuation[0][-1][USED] = value

    return spoil


def spoil_byte(offset: int, value: int) -> Callable[[SwapMap], None]:
    def spoil(swap_map: SwapMap) -> None:
        swap_map.map.rows[offset] = value

    return spoil


def lose_a_page(swap_map: SwapMap) -> None:
    swap_map._continuation[0].pop()


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (spoil_byte(7, 0), "bad-slots-are-fixed"),
        (spoil_byte(9, SWAP_MAP_BAD), "bad-slots-are-fixed"),
        (spoil_byte(7, SWAP_MAP_BAD | SWAP_HAS_CACHE), "bad-slot-is-not-cached"),
        (lose_a_page, "continuation-pages-are-counted"),
        (spoil_digit(0), "count-goes-on-where-it-says"),
        (spoil_digit(COUNT_CONTINUED | SWAP_CONT_MAX), "count-has-an-end"),
        (spoil_byte(USED, 1), "count-goes-on-where-it-says"),
        (spoil_byte(USED, SWAP_MAP_SHMEM), "count-goes-on-where-it-says"),
        (spoil_byte(5001, COUNT_CONTINUED), "count-has-an-end"),
    ],
)
def test_check_names_the_invariant_that_broke(spoil: Callable[[SwapMap], None], invariant: str) -> None:
    swap_map = with_count(63 * 128 + 70)
    spoil(swap_map)
    with pytest.raises(InvariantError) as caught:
        swap_map.check()
    assert caught.value.invariant == invariant
