"""Units: the page, the orders, and sizes as people write them.

Sizes given to the library are bytes (`int`) or text such as ``"512K"``, ``"16M"``, ``"32G"``; the suffixes are
binary, as in the kernel's own ``memparse``: K is 1024 bytes.

>>> parse_size("64M")
67108864
>>> pages_of("1M")
256
>>> format_size(1536 * 1024)
'1.5M'
"""

from __future__ import annotations

import operator
import re

from vswaplab.errors import InvalidArgument
from vswaplab.strict import quoted

__all__ = [
    "PAGE_SHIFT",
    "PAGE_SIZE",
    "SIZE_SUFFIXES",
    "SWAP_NR_ORDERS",
    "ZERO_PAGE",
    "format_size",
    "pages_of",
    "parse_size",
]

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
"""Bytes in a page (x86-64)."""

SWAP_NR_ORDERS = 10
"""Folio orders 0 (one page) to 9 (512 pages, a PMD) can be swapped [BACKGROUND: CONFIG_THP_SWAP]."""

ZERO_PAGE = bytes(PAGE_SIZE)

SIZE_SUFFIXES = "KMGTP"
"""What may stand behind the number of a size, each 1,024 times the one before."""

_SHIFTS = {"": 0} | {suffix: 10 * nr for nr, suffix in enumerate(SIZE_SUFFIXES, 1)}
_SIZE = re.compile(
    rf"\s*([0-9]{{1,19}}(?:\.[0-9]{{1,6}})?)\s*([{SIZE_SUFFIXES}]?)(?:I?B)?\s*", re.IGNORECASE | re.ASCII
)
_LISTED = f"{', '.join(SIZE_SUFFIXES[:-1])} or {SIZE_SUFFIXES[-1]}"
_MAX_SIZE = 1 << 62


def parse_size(size: int | str, what: str = "size") -> int:
    """Return `size` in bytes.

    Raises `InvalidArgument` (EINVAL) when it is not a size, is negative, or is beyond 4096P; `what` names it there.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        if match is None:
            raise InvalidArgument(f"{what} {quoted(size)} is not a size; write bytes, or a number with {_LISTED}.")
        number, suffix = match.groups()
        shift = _SHIFTS[suffix.upper()]
        value = int(float(number) * (1 << shift)) if "." in number else int(number) << shift
    else:
        try:
            value = operator.index(None if isinstance(size, bool) else size)  # type: ignore[arg-type]
        except TypeError:
            raise InvalidArgument(
                f"{what} must be a number of bytes or text such as '64M', not {quoted(size)}."
            ) from None
    if not 0 <= value <= _MAX_SIZE:
        raise InvalidArgument(f"{what} {quoted(size)} is out of range; give 0 to 4096P.")
    return value


def pages_of(size: int | str, what: str = "size") -> int:
    """Return how many whole pages hold `size`, rounded up."""
    return -(-parse_size(size, what) // PAGE_SIZE)


def format_size(nr_bytes: float) -> str:
    """Return `nr_bytes` as people write it, in binary units."""
    value = float(nr_bytes)
    for suffix in ("", *SIZE_SUFFIXES[:-1]):
        if abs(value) < 1024:
            return f"{value:.4g}{suffix}"
        value /= 1024
    return f"{value:.4g}{SIZE_SUFFIXES[-1]}"
