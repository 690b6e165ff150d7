"""Compressors: they give back what they took, whatever buffer it comes in, and name damage as damage."""

from __future__ import annotations

import contextlib
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab.backends import compressors
from vswaplab.backends.compressors import COMPRESSORS, available, get_compressor
from vswaplab.errors import DeviceIOError, InvalidArgument, NotFound
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import KINDS, page_bytes

NAMES = [name for name in available() if name != "lzo-rle"]
PAGE = page_bytes("text", 0)

pages = st.one_of(
    st.binary(min_size=1, max_size=64).map(lambda part: (part * PAGE_SIZE)[:PAGE_SIZE]),
    st.randoms(use_true_random=False).map(lambda random: random.randbytes(PAGE_SIZE)),
    st.tuples(st.sampled_from(list(KINDS)), st.just(0)).map(lambda page: page_bytes(*page)),
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(page=pages)
def test_a_page_comes_back_from_any_buffer(name, page):
    codec = get_compressor(name)
    for given_page in (page, bytearray(page), memoryview(bytearray(page))):
        packed = bytes(codec.compress(given_page))
        assert codec.decompress(packed) == page
        assert codec.decompress(memoryview(bytearray(packed))) == page
        target = bytearray(PAGE_SIZE)
        assert codec.decompress_into(packed, target) == PAGE_SIZE
        assert target == page


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_an_io_error_or_some_page(name, data):
    codec = get_compressor(name)
    packed = bytearray(codec.compress(PAGE))
    for at, bit in data.draw(st.lists(st.tuples(st.integers(0, len(packed) - 1), st.integers(0, 7)), min_size=1)):
        packed[at] ^= 1 << bit
    del packed[data.draw(st.integers(0, len(packed))) :]
    with contextlib.suppress(DeviceIOError):
        assert len(codec.decompress(packed)) == PAGE_SIZE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nr", [0, 100, PAGE_SIZE - 1, PAGE_SIZE + 1, 3 * PAGE_SIZE])
def test_what_is_not_a_page_is_an_io_error_when_read_back(name, nr):
    codec = get_compressor(name)
    with pytest.raises(DeviceIOError):
        codec.decompress(bytes(codec.compress(b"x" * nr)))


@pytest.mark.parametrize("name", NAMES)
def test_damage_never_changes_the_size_of_the_page_it_was_to_fill(name):
    codec, target = get_compressor(name), bytearray(PAGE_SIZE)
    for nr in (100, 3 * PAGE_SIZE):
        with contextlib.suppress(*codec.errors):
            assert codec.decompress_into(bytes(codec.compress(b"x" * nr)), target) != PAGE_SIZE
        assert len(target) == PAGE_SIZE


def test_zstd_writes_a_frame_of_level_3_with_content_size_and_no_checksum():
    frame = get_compressor("zstd").compress(PAGE)
    assert frame[:4] == bytes.fromhex("28b52ffd")
    assert frame[4] == 0x60, "single segment, two bytes of content size, no checksum, no dictionary"
    assert int.from_bytes(frame[5:7], "little") + 256 == PAGE_SIZE


def test_lz4_is_a_raw_block_without_a_size():
    assert len(get_compressor("lz4").compress(ZERO_PAGE)) < 32


def test_a_new_compressor_is_made_each_time():
    assert get_compressor("zstd").compress is not get_compressor("zstd").compress


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InvalidArgument, match="zstd"):
        get_compressor("snappy")
    assert set(available()) <= set(COMPRESSORS)
    assert {"deflate", "lz4", "zstd"} <= set(available())


@pytest.mark.parametrize("name", ["lzo", "lzo-rle"])
def test_without_its_library_lzo_says_how_to_get_it(monkeypatch, name):
    monkeypatch.setattr(compressors, "_has_lzo", lambda: False)
    assert name not in available()
    with pytest.raises(NotFound, match=r"vswaplab\[lzo\]"):
        get_compressor(name)


def test_lzo_rle_falls_back_to_lzo_and_says_so_once(monkeypatch):
    pytest.importorskip("lzo", reason="python-lzo is an optional extra: pip install 'vswaplab[lzo]'")
    monkeypatch.setattr(compressors._LzoRle, "_said", False)
    with pytest.warns(UserWarning, match="lzo stands in"):
        codec = get_compressor("lzo-rle")
    assert codec.name == "lzo-rle"
    assert codec.compress(PAGE) == get_compressor("lzo").compress(PAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get_compressor("lzo-rle")
