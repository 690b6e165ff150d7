"""Sizes, entries, page table bits and errors: what everything else stands on."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab import errors
from vswaplab.arena import Arena
from vswaplab.entry import (
    MAX_SWAPFILES,
    MAX_VSWAP,
    PTE_PRESENT,
    PTE_WRITE,
    SLOT_OFFSET_BITS,
    Backing,
    entry_to_pte,
    frame_to_pte,
    make_entry,
    make_slot,
    pte_to_entry,
    pte_to_frame,
)
from vswaplab.errors import InvalidArgument, NoMemory, SwapError
from vswaplab.events import EVENT_DTYPE
from vswaplab.lab.units import unit_factors
from vswaplab.units import format_size, pages_of, parse_size

VIRTUAL = st.integers(1, MAX_VSWAP)
# The page table entry of x86-64 has 50 bits for the offset: more than any device has.
PHYSICAL = st.builds(make_slot, st.integers(0, MAX_SWAPFILES - 1), st.integers(1, (1 << 50) - 1))


def test_the_virtual_space_is_8_pib_of_pages() -> None:
    assert MAX_VSWAP == 2**41 - 1
    assert (MAX_VSWAP + 1) * 4096 == 8 << 50


def test_backings_have_the_kernels_values() -> None:
    assert [(b.name, b.value) for b in Backing] == [("SWAPFILE", 0), ("ZERO", 1), ("ZSWAP", 2), ("FOLIO", 3)]


@given(st.one_of(VIRTUAL, PHYSICAL))
def test_an_entry_survives_the_page_table(entry: int) -> None:
    pte = entry_to_pte(int(entry))
    assert not pte & PTE_PRESENT
    assert 0 < pte < 1 << 64
    assert pte_to_entry(pte) == entry


@given(st.lists(st.one_of(VIRTUAL, PHYSICAL), max_size=20))
def test_array_forms_of_the_page_table_encoding_agree_with_the_scalar_ones(entries: list[int]) -> None:
    array = np.array([int(entry) for entry in entries], np.uint64)
    ptes = entry_to_pte(array)
    assert ptes.tolist() == [entry_to_pte(int(entry)) for entry in entries]
    assert pte_to_entry(ptes).tolist() == array.tolist()


def test_parts_of_entries_and_slots_have_names() -> None:
    entry, slot = make_entry(cluster=5, index=511), make_slot(type=3, offset=9)
    assert (entry.val, entry.cluster, entry.index) == (5 * 512 + 511, 5, 511)
    assert (slot.type, slot.offset, slot.val) == (3, 9, 3 << SLOT_OFFSET_BITS | 9)
    assert repr(entry) == "swp_entry_t(3071)"
    assert repr(slot) == "swp_slot_t(type=3, offset=9)"


@given(st.integers(0, 1 << 40), st.booleans())
def test_a_present_entry_names_its_frame(frame: int, writable: bool) -> None:
    pte = frame_to_pte(frame, writable)
    assert pte & PTE_PRESENT
    assert bool(pte & PTE_WRITE) == writable
    assert pte_to_frame(pte) == frame


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512K", 512 << 10),
        ("16M", 16 << 20),
        ("32G", 32 << 30),
        ("1.5M", 3 << 19),
        (" 4 KiB ", 4096),
        ("7", 7),
        (7, 7),
        ("3t", 3 << 40),
        ("4096P", 1 << 62),
    ],
)
def test_sizes_are_read_as_people_write_them(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "bad", ["", "x", "-1", -1, "1e9", "NaN", "12Q", 10**30, "9" * 40, 1.5, None, True, "1M 2M", "9999999P", "4E"]
)
def test_what_is_not_a_size_is_refused_in_one_sentence(bad: object) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_size(bad, what="ram")
    assert str(error.value).startswith("ram ")
    assert "\n" not in str(error.value)


def test_every_suffix_that_is_read_is_named_and_written() -> None:
    with pytest.raises(InvalidArgument, match="write bytes, or a number with K, M, G, T or P"):
        parse_size("4E")
    for shift, suffix in enumerate("KMGTP", 1):
        assert parse_size(format_size(3 << 10 * shift)) == 3 << 10 * shift
        assert format_size(3 << 10 * shift) == f"3{suffix}"
        assert unit_factors("bytes")[f"{suffix.lower()}ib"] == 1 << 10 * shift


def test_pages_round_up() -> None:
    assert [pages_of(n) for n in (0, 1, 4096, 4097)] == [0, 1, 1, 2]
    assert [format_size(n) for n in (5, 1536, 3 << 20)] == ["5", "1.5K", "3M"]


def test_each_errno_has_its_one_exception() -> None:
    kinds = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SwapError)]
    codes = [cls.code for cls in kinds if SwapError in cls.__bases__]
    assert sorted(codes) == sorted(set(codes))
    for cls in kinds:  # a kind of such an error has its errno, and an errno alone is never taken for the kind
        assert cls is SwapError or cls.code in codes
        assert SwapError in type(errors.error_for(cls.code, "x")).__bases__
    wanted = ("ENOMEM", "ENOSPC", "EINVAL", "EBUSY", "ENOENT", "EEXIST", "EIO", "EINTR", "EPERM", "EAGAIN")
    assert {getattr(errno, name) for name in wanted} == set(codes)
    for cls in kinds:
        error = cls("Say what to do.")
        assert (error.errno, str(error)) == (cls.code, "Say what to do.")
        assert isinstance(error, OSError)


def test_an_errno_that_swap_does_not_know_becomes_eio() -> None:
    assert errors.error_for(errno.ENOSPC, "x").errno == errno.ENOSPC
    assert errors.error_for(errno.EXDEV, "x").errno == errno.EIO


def test_a_trace_record_is_40_bytes() -> None:
    assert EVENT_DTYPE.itemsize == 40


def test_address_space_that_can_not_be_had_is_enomem() -> None:
    with pytest.raises(NoMemory, match="address space"):
        Arena("u8", 1 << 60)
