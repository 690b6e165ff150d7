"""The header of a swap device: page 0, laid out as ``mkswap`` writes it.

1,024 bytes for a boot loader, then version, last page, number of bad pages (32 bits each), UUID and label (16 bytes
each), padding, bad pages (32 bits each), and the signature ``SWAPSPACE2`` in the last ten bytes of the page
[BACKGROUND: ``union swap_header``]. The last page has 32 bits there, 16 TiB; this library keeps the upper half of a
larger one in the first word of the padding, where mkswap writes 0.

>>> page = pack_header(SwapHeader(last_page=16383, bad_pages=(5,), label="lab"), "swap.img")
>>> page[1024:1036].hex(" ", 4), page[-10:]
('01000000 ff3f0000 01000000', b'SWAPSPACE2')
>>> parse_header(page, 16384, "swap.img").bad_pages
(5,)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from vswaplab.errors import InvalidArgument
from vswaplab.units import PAGE_SIZE

__all__ = ["MAX_BADPAGES", "SWAP_SIGNATURE", "SwapHeader", "pack_header", "parse_header"]

SWAP_SIGNATURE = b"SWAPSPACE2"
MAX_BADPAGES = (PAGE_SIZE - len(SWAP_SIGNATURE) - 1536) // 4
"""As many bad pages as fit between the padding and the signature: 637."""

_FIXED = struct.Struct("<1024xIII16s16sI464x")
_SIGNATURE_AT = PAGE_SIZE - len(SWAP_SIGNATURE)
_LABEL_BYTES = 16
_MAX_U32 = 0xFFFF_FFFF
_NO_UUID = UUID(int=0)


@dataclass(frozen=True)
class SwapHeader:
    """What page 0 says."""

    last_page: int
    """Last page that may hold a slot; slots are pages 1 to this."""
    bad_pages: tuple[int, ...] = ()
    """Pages never to use, ascending."""
    label: str = ""
    uuid: UUID = _NO_UUID


def pack_header(header: SwapHeader, name: str) -> bytes:
    """Return the header as a page; InvalidArgument, which calls the device `name`, for what a header can't say."""
    label = header.label.encode()
    if len(label) > _LABEL_BYTES or "\0" in header.label:
        raise InvalidArgument(f"The label {header.label[:40]!r} does not fit; give at most 16 bytes of UTF-8 text.")
    bad = header.bad_pages
    _check_bad_pages(bad, header.last_page, name)
    if any(page > _MAX_U32 for page in bad):
        raise InvalidArgument("A header names bad pages with 32 bits; one beyond 16T can't be marked bad.")
    low, high = header.last_page & _MAX_U32, header.last_page >> 32
    fixed = _FIXED.pack(1, low, len(bad), header.uuid.bytes, label, high)
    return (fixed + struct.pack(f"<{len(bad)}I", *bad)).ljust(_SIGNATURE_AT, b"\0") + SWAP_SIGNATURE


def parse_header(page: bytes, pages: int, name: str) -> SwapHeader:
    """Return what page 0 of a device of `pages` pages says; InvalidArgument if it can't be meant."""
    if page[_SIGNATURE_AT:] != SWAP_SIGNATURE:
        raise InvalidArgument(
            f"{name} is not a swap file; it lacks the signature SWAPSPACE2. Run mkswap on it, or give another path."
        )
    version, low, nr_bad, uuid, label, high = _FIXED.unpack_from(page)
    last_page = high << 32 | low
    if version != 1:
        raise InvalidArgument(f"{name} has a swap header of version {version}, not 1; run mkswap on it again.")
    if not 0 < last_page < pages:
        raise InvalidArgument(
            f"{name} has a swap header with last page {last_page}, not 1 to {pages - 1}; run mkswap on it again."
        )
    if nr_bad > MAX_BADPAGES:
        raise InvalidArgument(
            f"{name} has a swap header with {nr_bad} bad pages; at most {MAX_BADPAGES} fit. Run mkswap on it again."
        )
    bad = struct.unpack_from(f"<{nr_bad}I", page, _FIXED.size)
    _check_bad_pages(bad, last_page, name)
    return SwapHeader(
        last_page, tuple(sorted(set(bad))), label.rstrip(b"\0").decode(errors="replace"), UUID(bytes=uuid)
    )


def _check_bad_pages(bad: tuple[int, ...], last_page: int, name: str) -> None:
    if len(bad) > MAX_BADPAGES:
        raise InvalidArgument(f"{len(bad)} bad pages are too many for {name}; a header holds at most {MAX_BADPAGES}.")
    for page in bad:
        if not 0 < page <= last_page:
            raise InvalidArgument(f"Page {page} of {name} can't be marked bad; give 1 to {last_page}, not the header.")
