"""Compressors, by the kernel's names.

Each is the algorithm the kernel's crypto layer has under the same name, through a Python library, so that sizes are
real. How near they come to the kernel's, on the made pages of `vswaplab.workloads.corpus`:

========== ===================== ==============================================================================
name       library               sizes against the kernel's
========== ===================== ==============================================================================
zstd       ``zstandard``         reported the same (data/kernel/README.md); level 3, content size, no checksum
lz4        ``cramjam``           a raw block: the same for eight kinds of page, 0.006 % less for text
lzo        ``python-lzo``        within 0.3 %; an optional extra (GPL, built from source against liblzo2)
lzo-rle    ``python-lzo``        no library has it; lzo stands in and a warning says so
deflate    ``zlib``              raw, window of 2 KiB, as the crypto layer asks for [BACKGROUND]
========== ===================== ==============================================================================

A compressor keeps state between calls and belongs to one thread: `get_compressor` makes a new one each time.

>>> lz4 = get_compressor("lz4")
>>> packed = lz4.compress(b"page " * 819 + b"!")
>>> len(packed), lz4.decompress(packed)[-6:]
(30, b'page !')
"""

from __future__ import annotations

import importlib.util
import warnings
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import cramjam
import zstandard

from vswaplab.errors import DeviceIOError, NotFound
from vswaplab.strict import choice
from vswaplab.units import PAGE_SIZE

__all__ = ["COMPRESSORS", "Compressor", "available", "get_compressor"]

Bytes = bytes | bytearray | memoryview
Page = bytearray | memoryview


class Compressor(Protocol):
    """Compresses pages.

    The hot paths are attributes, so that a library's own function can stand there without a frame of ours around it.
    """

    @property
    def name(self) -> str:
        """The kernel's name of the algorithm."""
        ...

    @property
    def compress(self) -> Callable[[Bytes], Any]:
        """Page to a bytes-like object, perhaps of the library's own kind."""
        ...

    @property
    def decompress_into(self) -> Callable[[Bytes, Page], int]:
        """Compressed bytes into a page of 4,096 bytes; returns how many there were, or raises one of `errors`."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the library raises for bytes that it did not write."""
        ...

    def decompress(self, data: Bytes) -> bytes:
        """Return the page; DeviceIOError when the compressed bytes don't hold one."""
        ...


class _Codec:
    """What the compressors share."""

    compress: Callable[[Bytes], Any]
    decompress_into: Callable[[Bytes, Page], int]

    def __init__(self, name: str, *errors: type[Exception]) -> None:
        self.name = name
        self.errors = errors

    def decompress(self, data: Bytes) -> bytes:
        page, cause = bytearray(PAGE_SIZE), None
        try:
            if self.decompress_into(data, page) == PAGE_SIZE:
                return bytes(page)
        except self.errors as error:
            cause = error
        raise DeviceIOError(
            f"A compressed page can't be read back: its bytes are not what {self.name} wrote."
        ) from cause


class _Zstd(_Codec):
    def __init__(self, name: str) -> None:
        # A damaged frame may claim any size, more than there is memory for.
        super().__init__(name, zstandard.ZstdError, MemoryError, OverflowError)
        self.compress = zstandard.ZstdCompressor(level=3).compress
        unpack = zstandard.ZstdDecompressor().decompress

        def decompress_into(data: Bytes, page: Page) -> int:
            unpacked = unpack(data)
            if len(unpacked) == PAGE_SIZE:
                memoryview(page)[:] = unpacked  # a bytearray's own assignment would copy twice
            return len(unpacked)

        self.decompress_into = decompress_into


class _Lz4(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name, cramjam.DecompressionError)
        block = cramjam.lz4.compress_block
        # By position it is faster: output_len, mode, acceleration, compression, store_size.
        self.compress = lambda data: block(data, None, None, None, None, False)
        self.decompress_into = cramjam.lz4.decompress_block_into


class _Deflate(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name, zlib.error)
        fresh = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -11, 8)

        def compress(data: Bytes) -> bytes:
            packer = fresh.copy()
            return packer.compress(data) + packer.flush()

        def decompress_into(data: Bytes, page: Page) -> int:
            unpacked = zlib.decompressobj(-11).decompress(data, PAGE_SIZE + 1)
            if len(unpacked) == PAGE_SIZE:
                memoryview(page)[:] = unpacked
            return len(unpacked)

        self.compress, self.decompress_into = compress, decompress_into


class _Lzo(_Codec):
    def __init__(self, name: str) -> None:
        if not _has_lzo():
            raise NotFound(
                f"The compressor {name} needs python-lzo, which is not installed: get liblzo2's headers "
                "(apt-get install liblzo2-dev) and run pip install 'vswaplab[lzo]', or use zstd, lz4 or deflate."
            )
        import lzo

        super().__init__(name, lzo.error)

        def decompress_into(data: Bytes, page: Page) -> int:
            unpacked: bytes = lzo.decompress(bytes(data), False, PAGE_SIZE)
            if len(unpacked) == PAGE_SIZE:
                memoryview(page)[:] = unpacked
            return len(unpacked)

        self.compress = lambda data: lzo.compress(bytes(data), 1, False)
        self.decompress_into = decompress_into


class _LzoRle(_Lzo):
    _said = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if not _LzoRle._said:
            _LzoRle._said = True
            warnings.warn("No Python library has lzo-rle; lzo stands in, with sizes of its own.", stacklevel=3)


_MAKERS: dict[str, Callable[[str], Compressor]] = {
    "deflate": _Deflate,
    "lz4": _Lz4,
    "lzo": _Lzo,
    "lzo-rle": _LzoRle,
    "zstd": _Zstd,
}

COMPRESSORS = tuple(_MAKERS)
"""All names known here, whether their library is installed or not."""


def available() -> list[str]:
    """Return the names that `get_compressor` takes on this machine."""
    return [name for name in COMPRESSORS if not name.startswith("lzo") or _has_lzo()]


def get_compressor(name: str) -> Compressor:
    """Return a new compressor; InvalidArgument for an unknown name, NotFound when its library is not installed."""
    return _MAKERS[choice(name, "compressor", COMPRESSORS)](name)


def _has_lzo() -> bool:
    return importlib.util.find_spec("lzo") is not None
