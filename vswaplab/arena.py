"""Arenas: arrays whose memory exists only where it is used, as the kernel's own metadata does.

An `Arena` is a numpy array over an anonymous mapping. The operating system gives it a page when that page is first
written and takes it back on `release`, so resident memory *is* the metadata in use: bytes are measured, not computed.
Huge pages are declined, since one touch would otherwise cost 2 MiB.

>>> arena = Arena("u8", rows=1 << 30)
>>> arena.rows.shape
(1073741824,)
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.errors import NoMemory
from vswaplab.units import format_size

__all__ = ["Arena", "are_distinct"]

# Absent on some systems: without them an arena works the same, but may count against overcommit or keep its pages.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_MADV_NOHUGEPAGE = getattr(mmap, "MADV_NOHUGEPAGE", None)
_MADV_DONTNEED = getattr(mmap, "MADV_DONTNEED", None)


class Arena:
    """`rows` zeroed elements of `dtype`, lazily materialised in pages of `mmap.PAGESIZE`."""

    __slots__ = ("_map", "dtype", "rows")

    def __init__(self, dtype: npt.DTypeLike, rows: int) -> None:
        """Reserve address space; raises NoMemory when there is not enough of it."""
        self.dtype = np.dtype(dtype)
        nr_bytes = max(1, rows) * self.dtype.itemsize
        try:
            self._map = mmap.mmap(-1, nr_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        except (OSError, ValueError, OverflowError) as error:
            raise NoMemory(f"No address space for {format_size(nr_bytes)} of metadata ({error}).") from error
        if _MADV_NOHUGEPAGE is not None:
            with contextlib.suppress(OSError):  # a kernel built without huge pages has nothing to decline
                self._map.madvise(_MADV_NOHUGEPAGE)
        self.rows: npt.NDArray[Any] = np.frombuffer(self._map, dtype=self.dtype, count=rows)

    def resident_bytes(self) -> int:
        """Return how much memory the arena has now, in whole pages, as the operating system counts it.

        Where the system can't tell (it has no ``mincore``), that is all of it.
        """
        pages = -(-self.rows.nbytes // mmap.PAGESIZE)
        vector = (ctypes.c_ubyte * pages)()
        try:
            failed = ctypes.CDLL(None).mincore(
                ctypes.c_void_p(self.rows.ctypes.data), ctypes.c_size_t(self.rows.nbytes), vector
            )
        except (OSError, AttributeError, TypeError):
            failed = -1
        used = pages if failed else int((np.frombuffer(vector, np.uint8) & 1).sum(dtype=np.int64))
        return used * mmap.PAGESIZE

    def release(self, first: int, nr: int) -> None:
        """Zero rows `first` to `first + nr - 1` and give the memory back; both ends must fall on whole pages."""
        size = self.dtype.itemsize
        if _MADV_DONTNEED is None or first * size % mmap.PAGESIZE or nr * size % mmap.PAGESIZE:
            self.rows[first : first + nr] = np.zeros((), self.dtype)
        else:
            self._map.madvise(_MADV_DONTNEED, first * size, nr * size)


def are_distinct(values: npt.NDArray[Any]) -> bool:
    """Tell whether no number (of an integer array) occurs twice."""
    if len(values) < 2 or bool((values[1:] > values[:-1]).all()):  # mostly they rise, which is cheap to see
        return True
    low, high = int(values.min()), int(values.max())
    if high - low > 16 * len(values):
        ordered = np.sort(values)
        return bool((ordered[1:] != ordered[:-1]).all())
    seen = np.zeros(high - low + 1, np.bool_)
    seen[values - values.dtype.type(low)] = True
    return int(np.count_nonzero(seen)) == len(values)
