from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vswaplab.entry import VMEMMAP_START
from vswaplab.mm.folio import BuddyAllocator, Folio
from vswaplab.mm.lru import Lruvec, inactive_ratio, pack_shadow, refault_distance, unpack_shadow
from vswaplab.units import PAGE_SIZE

ORDERS = st.integers(0, 9)


@given(st.lists(st.tuples(st.booleans(), ORDERS, st.integers(0, 100))))
def test_blocks_are_aligned_never_overlap_and_never_hold_frame_0(steps: list[tuple[bool, int, int]]) -> None:
    buddy, live = BuddyAllocator(), {}
    for alloc, order, which in steps:
        if alloc or not live:
            pfn = buddy.alloc(order)
            assert pfn > 0
            assert pfn % (1 << order) == 0
            taken = {frame for first, size in live.items() for frame in range(first, first + (1 << size))}
            assert taken.isdisjoint(range(pfn, pfn + (1 << order)))
            live[pfn] = order
        else:
            pfn = sorted(live)[which % len(live)]
            buddy.free(pfn, live.pop(pfn))
    for pfn, order in live.items():
        buddy.free(pfn, order)
    assert buddy.free_frames() % 512 == 0
    assert not any(buddy._free[:9])


def test_a_block_may_come_back_in_parts() -> None:
    buddy = BuddyAllocator()
    first = buddy.alloc(4)
    for pfn in range(first, first + 16):
        buddy.free(pfn, 0)
    assert buddy.alloc(9) == 512


def test_frames_are_handed_out_in_rising_order() -> None:
    buddy = BuddyAllocator()
    assert [buddy.alloc(0) for _ in range(40)] == list(range(512, 552))


def test_a_folios_pointer_is_that_of_its_struct_page() -> None:
    folio = Folio(513, 2, None)
    assert (folio.pointer, folio.nr_pages, len(folio.data)) == (VMEMMAP_START + 513 * 64, 4, 4 * PAGE_SIZE)
    folio.page(3)[:2] = b"ab"
    assert folio.data[3 * PAGE_SIZE :][:2] == b"ab"


@given(st.integers(1, 0xFFFF), st.integers(0, (1 << 46) - 1), st.booleans())
def test_a_shadow_is_odd_fits_64_bits_and_tells_what_went_in(memcgid: int, age: int, workingset: bool) -> None:
    shadow = pack_shadow(memcgid, age, workingset)
    assert shadow & 1
    assert shadow < 1 << 64
    assert unpack_shadow(shadow) == (memcgid, age, workingset)


def test_the_refault_distance_survives_the_wrap_of_the_age() -> None:
    assert refault_distance(5, (1 << 46) - 3) == 8


def test_the_inactive_list_may_be_shorter_the_more_memory_there_is() -> None:
    gib = 1 << 18
    assert [inactive_ratio(n * gib) for n in (0, 1, 10, 100, 1000)] == [1, 3, 10, 31, 100]


def test_lru_lists_count_pages_and_keep_their_order() -> None:
    lruvec = Lruvec()
    folios = [Folio(512 + 16 * i, order, None) for i, order in enumerate((0, 2, 4))]
    for folio in folios:
        lruvec.add(folio)
    assert (lruvec.nr_inactive, lruvec.oldest(active=False)) == (21, folios[0])
    lruvec.remove(folios[0])
    folios[0].active = True
    lruvec.add(folios[0])
    assert (lruvec.nr_inactive, lruvec.nr_active, lruvec.oldest(active=False)) == (20, 1, folios[1])
    assert not lruvec.inactive_is_low()
    lruvec.remove(folios[2])
    lruvec.remove(folios[1])
    assert lruvec.inactive_is_low()
