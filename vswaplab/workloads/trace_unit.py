"""Page numbers or byte addresses: what the numbers of a trace are, told from the numbers alone, or asked.

Read as page numbers, the addresses of one page become thousands of pages, and every count that follows is wrong. So
numbers that may be addresses are refused until the reader says which they are. They count as page numbers if

* all are below 4,096: as addresses they would be one page; or
* each is on a 4 KiB page of its own, and not at its start: both readings give the same misses; or
* they lie close together, as pages of one mapping do (three of four have the number before or after them), where page
  numbers lie: from below 65,536 on, under which Linux maps nothing [BACKGROUND], or up to the top of the 47 bits of a
  process (2**34 to 2**35), or in the kernel's half.

Accesses of a program are mostly 4, 8 or more bytes apart, so its addresses do not lie close together. No page number
is 2**44 or more, but for the kernel's: addresses have 56 bits at most in either half [BACKGROUND].

>>> import numpy as np
>>> doubt(np.arange(5000, dtype=np.uint64)) is None
True
>>> doubt(np.arange(0x400000, 0x402000, 8, dtype=np.uint64))
'1024 different numbers may be byte addresses on 2 pages, or as many page numbers'
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument
from vswaplab.strict import choice
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE

__all__ = ["BYTE", "PAGE", "SAY_WHICH", "UNITS", "checked_unit", "doubt", "pages_of_addresses", "require_pages"]

BYTE, PAGE = "byte", "page"
UNITS = (BYTE, PAGE)
SAY_WHICH = 'say --unit byte or --unit page (in Python unit="byte" or unit="page")'
"""What to do where it is not clear what numbers are."""

_USER_PAGES = 1 << 44
_KERNEL_PAGES = (1 << 52) - _USER_PAGES, 1 << 52
_LOWEST_MAPPED = 1 << 16
_TOP_OF_47_BITS = 1 << 34, 1 << 35
_MAX_APART = 0.25


def checked_unit(unit: object) -> str | None:
    """Return one of `UNITS`, or None for "tell by the numbers"; InvalidArgument for anything else."""
    return None if unit is None else choice(unit, "unit", UNITS)


def pages_of_addresses(addresses: npt.NDArray[np.integer]) -> U64:
    """Return the page number of each byte address; shape as given, pages of 4,096 bytes."""
    return addresses.astype(np.uint64) >> np.uint64(PAGE_SHIFT)


def require_pages(what: str, numbers: U64) -> None:
    """Raise InvalidArgument, calling them `what`, unless numbers (distinct, ascending) can only be page numbers."""
    found = doubt(numbers)
    if found is not None:
        raise InvalidArgument(f"{what}: {found}; {SAY_WHICH}.")


def doubt(numbers: U64) -> str | None:
    """Say why numbers (distinct, ascending; shape (pages,), uint64) may be byte addresses; None if they are pages."""
    if not len(numbers) or int(numbers[-1]) < PAGE_SIZE:
        return None
    low, high = (np.uint64(bound) for bound in _KERNEL_PAGES)
    beyond = numbers[(numbers >= np.uint64(_USER_PAGES)) & ((numbers < low) | (numbers >= high))]
    if len(beyond):
        return f"{int(beyond[0]):#x} is beyond any page number, so these look like byte addresses"
    if len(numbers) > 1 and not (numbers & np.uint64(PAGE_SIZE - 1)).any():
        return f"all {len(numbers)} different numbers are multiples of 4096, so these look like byte addresses"
    blocks = len(np.unique(pages_of_addresses(numbers)))
    if blocks == len(numbers) or (_apart(numbers) <= _MAX_APART and _where_pages_are(numbers)):
        return None
    pages = "1 page" if blocks == 1 else f"{blocks} pages"
    return f"{len(numbers)} different numbers may be byte addresses on {pages}, or as many page numbers"


def _apart(numbers: U64) -> float:
    """Return the share of numbers that have neither the one before nor the one after them beside them."""
    beside = np.zeros(len(numbers) + 1, bool)
    beside[1:-1] = np.diff(numbers) == 1
    return 1 - float((beside[1:] | beside[:-1]).mean())


def _where_pages_are(numbers: U64) -> bool:
    lowest, highest = int(numbers[0]), int(numbers[-1])
    top_from, top_to = _TOP_OF_47_BITS
    return lowest < _LOWEST_MAPPED or top_from <= highest < top_to or highest >= _KERNEL_PAGES[0]
