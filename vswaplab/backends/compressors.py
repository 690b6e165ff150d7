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
>>> len(packed), bytes(lz4.decompress(packed)[-6:])
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

from vswaplab.errors import DeviceIOError, InvalidArgument, NotFound
from vswaplab.units import PAGE_SIZE

__all__ = ["COMPRESSORS", "Compressor", "available", "get_compressor"]

Bytes = bytes | bytearray | memoryview


class Compressor(Protocol):
    """Compresses pages. `compress` and `decompress` are attributes so that a library's own function can stand there."""

    @property
    def name(self) -> str:
        """The kernel's name of the algorithm."""
        ...

    @property
    def compress(self) -> Callable[[Bytes], Any]:
        """Page to a bytes-like object, perhaps of the library's own kind."""
        ...

    @property
    def decompress(self) -> Callable[[Bytes], bytes | bytearray]:
        """Compressed bytes to a page of 4,096 bytes, the caller's to keep; DeviceIOError when they don't hold one."""
        ...


class _Codec:
    """What the compressors share: the name and the error."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _damaged(self) -> DeviceIOError:
        return DeviceIOError(f"A compressed page can't be read back: its bytes are not what {self.name} wrote.")


class _Zstd(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.compress = zstandard.ZstdCompressor(level=3).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def decompress(self, data: Bytes) -> bytes:
        try:
            # The frame's own word on its size decides how much memory is taken, so look at it first.
            if zstandard.frame_content_size(data) == PAGE_SIZE:
                return self._decompress(data)
        except zstandard.ZstdError as error:
            raise self._damaged() from error
        raise self._damaged()


class _Lz4(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._compress = cramjam.lz4.compress_block
        self._decompress = cramjam.lz4.decompress_block_into

    def compress(self, data: Bytes) -> Any:
        return self._compress(data, store_size=False)

    def decompress(self, data: Bytes) -> bytearray:
        page = bytearray(PAGE_SIZE)
        try:
            nr = self._decompress(data, page, PAGE_SIZE)
        except cramjam.DecompressionError as error:
            raise self._damaged() from error
        if nr != PAGE_SIZE:
            raise self._damaged()
        return page


class _Deflate(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._fresh = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -11, 8)

    def compress(self, data: Bytes) -> bytes:
        packer = self._fresh.copy()
        return packer.compress(data) + packer.flush()

    def decompress(self, data: Bytes) -> bytes:
        unpacker = zlib.decompressobj(-11)
        try:
            page = unpacker.decompress(data, PAGE_SIZE + 1)
        except zlib.error as error:
            raise self._damaged() from error
        if len(page) != PAGE_SIZE or not unpacker.eof:
            raise self._damaged()
        return page


class _Lzo(_Codec):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        if not _has_lzo():
            raise NotFound(
                f"The compressor {name} needs python-lzo, which is not installed: get liblzo2's headers "
                "(apt-get install liblzo2-dev) and run pip install 'vswaplab[lzo]', or use zstd, lz4 or deflate."
            )
        import lzo

        self._lzo = lzo

    def compress(self, data: Bytes) -> bytes:
        packed: bytes = self._lzo.compress(bytes(data), 1, False)
        return packed

    def decompress(self, data: Bytes) -> bytes:
        try:
            page: bytes = self._lzo.decompress(bytes(data), False, PAGE_SIZE)
        except self._lzo.error as error:
            raise self._damaged() from error
        if len(page) != PAGE_SIZE:
            raise self._damaged()
        return page


class _LzoRle(_Lzo):
    _said = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if not _LzoRle._said:
            _LzoRle._said = True
            warnings.warn(
                "No Python library has lzo-rle; lzo stands in, its sizes differ by some per cent.", stacklevel=3
            )


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
    if name not in _MAKERS:
        raise InvalidArgument(f"There is no compressor {str(name)[:40]!r}; choose one of {', '.join(COMPRESSORS)}.")
    return _MAKERS[name](name)


def _has_lzo() -> bool:
    return importlib.util.find_spec("lzo") is not None
