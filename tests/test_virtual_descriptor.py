"""The 24 bytes are where the posting puts them."""

import numpy as np
import pytest

from vswaplab.arena import Arena
from vswaplab.virtual.cluster import CLUSTER_DTYPE
from vswaplab.virtual.descriptor import DESCRIPTOR_DTYPE, IN_SWAPCACHE, TYPE_FOLIO, TYPE_ZSWAP, DescriptorArena


def test_descriptor_is_24_bytes_and_a_cluster_of_them_three_pages() -> None:
    assert DESCRIPTOR_DTYPE.itemsize == 24
    assert 512 * DESCRIPTOR_DTYPE.itemsize == 3 * 4096


@pytest.mark.parametrize(
    ("name", "offset", "size"),
    [
        ("slot", 0, 8),
        ("zswap_entry", 0, 8),
        ("swap_cache", 8, 8),
        ("shadow", 8, 8),
        ("swap_count", 16, 4),
        ("memcgid", 20, 2),
        ("flags", 22, 2),
    ],
)
def test_each_field_lies_at_its_offset(name: str, offset: int, size: int) -> None:
    dtype, at = DESCRIPTOR_DTYPE.fields[name][:2]
    assert (at, dtype.itemsize) == (offset, size)


def test_bit_fields_share_the_32_bits_at_offset_20() -> None:
    row = np.zeros(1, DESCRIPTOR_DTYPE)
    row["memcgid"], row["flags"] = 0xABCD, IN_SWAPCACHE | TYPE_ZSWAP
    word = int.from_bytes(row.tobytes()[20:24], "little")
    assert word & 0xFFFF == 0xABCD
    assert word >> 16 & 1 == 1, "in_swapcache is bit 16"
    assert word >> 17 & 3 == 2, "type is bits 17 and 18"
    assert word >> 19 == 0, "13 bits of padding"


def test_unions_are_one_storage() -> None:
    row = np.zeros(1, DESCRIPTOR_DTYPE)
    row["slot"], row["shadow"] = 7, 9
    assert (row["zswap_entry"][0], row["swap_cache"][0]) == (7, 9)


def test_cluster_header_is_112_bytes_with_a_bitmap_of_512_bits() -> None:
    assert CLUSTER_DTYPE.itemsize == 112
    assert CLUSTER_DTYPE["bitmap"].itemsize * 8 == 512
    assert pytest.approx(24.22, abs=0.005) == (512 * 24 + 112) / 512


def test_arena_grows_and_keeps_what_was_written() -> None:
    desc = DescriptorArena(clusters=1)
    desc.flags[5] = TYPE_FOLIO
    desc.ensure(3)
    desc.count[3 * 512 + 1] = 8
    assert (desc.flags[5], desc.count[3 * 512 + 1]) == (TYPE_FOLIO, 8)


def test_released_cluster_reads_as_zeros() -> None:
    desc = DescriptorArena(clusters=4)
    desc.rows["swap_count"][:] = 3
    desc.release(1, 2)
    assert desc.rows["swap_count"].reshape(4, 512).sum(axis=1).tolist() == [1536, 0, 0, 1536]


def test_arena_releases_odd_ranges_by_zeroing_them() -> None:
    arena = Arena("u8", 1000)
    arena.rows[:] = 1
    arena.release(3, 5)
    assert int(arena.rows.sum()) == 995


def test_memory_exists_only_where_clusters_are_in_use() -> None:
    desc = DescriptorArena(clusters=1 << 15)
    assert desc.resident_bytes() == 0
    desc.rows["flags"][: 4096 * 512] = TYPE_FOLIO
    assert desc.resident_bytes() == 4096 * 12288, "24.0 bytes a slot"
    desc.release(0, 4095)
    assert desc.resident_bytes() == 12288
