"""The swap_map of Linux 6.19: one byte a slot, and continuation pages for counts beyond 62 [S12].

Section 5.1 of docs/facts.md has the bits:

| bits of the byte | meaning |
|---|---|
| 0 to 5 | how many page table entries refer to the slot, 0 to 62 (`SWAP_MAP_MAX`); 63 with no other bit: a bad slot |
| 6 | `SWAP_HAS_CACHE`: the swap cache has the slot |
| 7 | `COUNT_CONTINUED`: the count goes on in a continuation page |

0xbf, which no count can be, marks a slot that a tmpfs file owns (`SWAP_MAP_SHMEM`); that counts as one reference.

A count beyond 62 is a number of several digits. The byte has the lowest, 0 to 62; each further digit is 0 to 127 and
stands in a continuation page, with `COUNT_CONTINUED` when a higher one follows. A continuation page is 4096 bytes: a
digit for each of the 4096 slots whose bytes share a page of the map, so one slot with a high count pays for 4096. The
second page of a list has their next digit, and so on. Pages are added when a digit is full, by the caller of
`duplicate`, and stay until swapoff, whatever becomes of the counts.

>>> swap_map = SwapMap(100, bad=[7])
>>> swap_map.set_cached_new(1, 1)
>>> swap_map.duplicate(1), hex(swap_map.byte(1))
(1, '0x41')
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
import numpy.typing as npt

from vswaplab.arena import Arena, are_distinct
from vswaplab.entry import U64
from vswaplab.errors import Exists, InvalidArgument, NoMemory, NotFound, hold
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE

__all__ = [
    "COUNT_CONTINUED",
    "SWAP_CONT_MAX",
    "SWAP_HAS_CACHE",
    "SWAP_MAP_BAD",
    "SWAP_MAP_COUNT_MASK",
    "SWAP_MAP_MAX",
    "SWAP_MAP_SHMEM",
    "SwapMap",
]

SWAP_HAS_CACHE = 0x40
"""The swap cache has the slot [S12]."""
COUNT_CONTINUED = 0x80
"""The count goes on in a continuation page [S12]."""
SWAP_MAP_MAX = 0x3E
"""The largest count that fits the byte [S12]."""
SWAP_MAP_BAD = 0x3F
"""The slot can't be used: the header, or a bad page [S12]."""
SWAP_MAP_COUNT_MASK = 0x3F
"""The bits of the byte that hold the lowest digit of the count."""
SWAP_CONT_MAX = 0x7F
"""The largest digit in a continuation page [S12]."""
SWAP_MAP_SHMEM = 0xBF
"""A tmpfs file owns the slot, and holds its one reference [S12]."""

_LOW_BASE = SWAP_MAP_MAX + 1
_CONT_BASE = SWAP_CONT_MAX + 1
_PAGE_MASK = PAGE_SIZE - 1
_NOT_CACHE = 0xFF ^ SWAP_HAS_CACHE

_U8 = npt.NDArray[np.uint8]
_U32 = npt.NDArray[np.uint32]
_I64 = npt.NDArray[np.int64]


class SwapMap:
    """The bytes of one device of `max` slots, made at swapon. C type: ``unsigned char *swap_map``.

    Array forms take distinct offsets (uint64); all operations check everything first and change nothing on an error.
    InvalidArgument (-EINVAL) is for an offset the device does not have, NotFound (-ENOENT) for a free or bad slot.
    """

    def __init__(self, max: int, bad: Iterable[int]) -> None:
        """Make the map, with slot 0 and the slots of `bad` marked SWAP_MAP_BAD; NoMemory without address space."""
        self.max = max
        self.map = Arena("u1", max)
        self._map = memoryview(self.map.rows)
        self._written = np.zeros(-(-max >> PAGE_SHIFT), np.bool_)
        """Whether a page of the map was ever written to: the others are not there, and `check` leaves it so."""
        self.lookups = 0
        """Bytes read or changed so far, as operations: a scalar form is one, an array form one for each offset."""
        self.continuation_limit: int | None = None
        """How many continuation pages memory allows, None for any number: a test's way to run out of it."""
        self.continuation_pages = 0
        """Continuation pages there are, 4096 bytes each."""
        self._continuation: dict[int, list[memoryview]] = {}
        """By page of the map: its continuation pages, lower digits first."""
        self.bad = frozenset({0, *bad})
        for offset in self.bad:
            if not 0 <= offset < max:
                raise InvalidArgument(f"Bad page {offset} is not on the device, which has {max} slots.")
            self._map[offset] = SWAP_MAP_BAD
            self._written[offset >> PAGE_SHIFT] = True

    # -- reading -------------------------------------------------------------------------------------------------

    def byte(self, offset: int) -> int:
        """Return the byte of a slot as it is."""
        if not 0 <= offset < self.max:
            raise InvalidArgument(f"Slot {offset} is beyond the device, which has {self.max} slots; check the entry.")
        self.lookups += 1
        return self._map[offset]

    def count(self, offset: int) -> int:
        """Return how many references a slot has, in all digits; 1 if tmpfs owns it, 0 if it is free or bad."""
        return self._count(offset, self.byte(offset))

    def has_cache(self, offset: int) -> bool:
        """Whether the swap cache has the slot."""
        return self.byte(offset) & SWAP_HAS_CACHE != 0

    def in_use(self, offset: int) -> bool:
        """Whether a slot has references or is in the swap cache; a bad slot never is in use."""
        return self.byte(offset) not in (0, SWAP_MAP_BAD)

    def peek(self, offset: int) -> tuple[int, bool]:
        """Return count and has-cache bit of a slot, for onlookers: it is no look-up."""
        byte = self._map[offset]
        return self._count(offset, byte), byte != SWAP_MAP_BAD and byte & SWAP_HAS_CACHE != 0

    def _count(self, offset: int, byte: int) -> int:
        if not byte & COUNT_CONTINUED:
            low = byte & SWAP_MAP_COUNT_MASK
            return low if low != SWAP_MAP_BAD else 0
        if byte & _NOT_CACHE == SWAP_MAP_SHMEM:
            return 1
        count, weight = byte & SWAP_MAP_COUNT_MASK, _LOW_BASE
        for page in self._continuation[offset >> PAGE_SHIFT]:
            digit = page[offset & _PAGE_MASK]
            count += (digit & SWAP_CONT_MAX) * weight
            if not digit & COUNT_CONTINUED:
                break
            weight *= _CONT_BASE
        return count

    def _used(self, offset: int) -> int:
        """Return the byte of a slot that must be in use."""
        byte = self.byte(offset)
        if byte in (0, SWAP_MAP_BAD):
            raise NotFound(f"Swap slot {offset} is {'bad' if byte else 'free'}; only a slot in use has references.")
        return byte

    # -- references ----------------------------------------------------------------------------------------------

    def duplicate(self, offset: int) -> int:
        """Add a reference and return the new count: ``__swap_duplicate`` with usage 1 [S12].

        NotFound (-ENOENT) if the slot is free or bad; InvalidArgument (-EINVAL) if tmpfs owns it; NoMemory (-ENOMEM)
        if its digits are full and no continuation page has room: call `add_swap_count_continuation`, then try again.
        """
        return self._duplicate(offset, self._used(offset))

    def _duplicate(self, offset: int, byte: int) -> int:
        digit = byte & SWAP_MAP_COUNT_MASK
        if digit < SWAP_MAP_MAX:
            byte += 1
        elif digit > SWAP_MAP_MAX:
            raise InvalidArgument(f"Swap slot {offset} belongs to a tmpfs file, which holds its only reference.")
        elif self._carry(offset):
            byte = byte & SWAP_HAS_CACHE | COUNT_CONTINUED
        else:
            raise NoMemory(f"The count of swap slot {offset} needs a page: call add_swap_count_continuation first.")
        self._map[offset] = byte
        return self._count(offset, byte)

    def duplicate_shmem(self, offset: int) -> None:
        """Give a slot without references to a tmpfs file: ``swap_shmem_alloc``; InvalidArgument if it has any [S12]."""
        byte = self._used(offset)
        if byte & _NOT_CACHE:
            raise InvalidArgument(f"Swap slot {offset} has references; a tmpfs file must be the first and only one.")
        self._map[offset] = byte | SWAP_MAP_SHMEM

    def put(self, offset: int) -> int:
        """Drop a reference and return the new count; InvalidArgument (-EINVAL) if there is none to drop [S12]."""
        byte = self._used(offset)
        if not byte & _NOT_CACHE:
            raise InvalidArgument(f"Swap slot {offset} has no reference to drop; the swap cache alone keeps it.")
        return self._put(offset, byte)

    def _put(self, offset: int, byte: int) -> int:
        if byte & _NOT_CACHE == SWAP_MAP_SHMEM:
            byte &= SWAP_HAS_CACHE
        elif byte & SWAP_MAP_COUNT_MASK:
            byte -= 1
        else:
            byte = byte & SWAP_HAS_CACHE | SWAP_MAP_MAX | self._borrow(offset)
        self._map[offset] = byte
        return self._count(offset, byte)

    # -- continuation --------------------------------------------------------------------------------------------

    def _room(self, offset: int) -> int | None:
        """Return which continuation page of a slot has a digit that can still grow, None if all are full."""
        for depth, page in enumerate(self._continuation.get(offset >> PAGE_SHIFT, ())):
            if page[offset & _PAGE_MASK] & SWAP_CONT_MAX < SWAP_CONT_MAX:
                return depth
        return None

    def _carry(self, offset: int) -> bool:
        """Add one to the digits above the byte; False, and nothing changed, if they are full."""
        depth = self._room(offset)
        if depth is None:
            return False
        pages, at = self._continuation[offset >> PAGE_SHIFT], offset & _PAGE_MASK
        pages[depth][at] += 1
        for page in pages[:depth]:
            page[at] = COUNT_CONTINUED
        return True

    def _borrow(self, offset: int) -> int:
        """Take one from the digits above the byte; return COUNT_CONTINUED if any is left above 0, else 0."""
        pages, at = self._continuation[offset >> PAGE_SHIFT], offset & _PAGE_MASK
        depth = next(depth for depth, page in enumerate(pages) if page[at] & SWAP_CONT_MAX)
        pages[depth][at] -= 1
        continued = COUNT_CONTINUED if pages[depth][at] else 0
        for page in reversed(pages[:depth]):
            page[at] = SWAP_CONT_MAX | continued
            continued = COUNT_CONTINUED
        return continued

    def add_swap_count_continuation(self, offset: int) -> None:
        """Add a continuation page if the next reference to a slot needs one [S12].

        Nothing is added when the byte, or a page that a neighbour's count made, has room. NoMemory (-ENOMEM) when there
        is no page to be had, NotFound if the slot is free or bad.
        """
        self._add_continuation(offset, self._used(offset))

    def _add_continuation(self, offset: int, byte: int) -> None:
        if byte & SWAP_MAP_COUNT_MASK != SWAP_MAP_MAX or self._room(offset) is not None:
            return
        if self.continuation_limit is not None and self.continuation_pages >= self.continuation_limit:
            raise NoMemory(f"No page to continue the count of swap slot {offset}; free memory and try again.")
        page = memoryview(np.zeros(PAGE_SIZE, np.uint8))
        self._continuation.setdefault(offset >> PAGE_SHIFT, []).append(page)
        self.continuation_pages += 1

    # -- swap cache, allocation ----------------------------------------------------------------------------------

    def set_cached_new(self, offset: int, nr: int) -> None:
        """Mark `nr` free slots, just allocated, as being in the swap cache; InvalidArgument if one is not free."""
        if nr < 1 or not 0 <= offset <= self.max - nr:
            raise InvalidArgument(f"Slots {offset} to {offset + nr - 1} are not all on the device of {self.max} slots.")
        self.lookups += nr
        if any(self._map[offset : offset + nr]):
            raise InvalidArgument(f"One of the slots {offset} to {offset + nr - 1} is not free; allocate others.")
        self._map[offset : offset + nr] = bytes([SWAP_HAS_CACHE]) * nr
        self._written[offset >> PAGE_SHIFT : (offset + nr - 1 >> PAGE_SHIFT) + 1] = True

    def set_cache(self, offset: int) -> None:
        """Pin a slot for the swap cache: ``__swap_duplicate`` with usage SWAP_HAS_CACHE [S12].

        Exists (-EEXIST) if the swap cache has it already, NotFound (-ENOENT) if it is free or bad.
        """
        byte = self._used(offset)
        if byte & SWAP_HAS_CACHE:
            raise Exists(f"Swap slot {offset} is in the swap cache already; use the folio that is there.")
        self._map[offset] = byte | SWAP_HAS_CACHE

    def clear_cache(self, offset: int) -> None:
        """Unpin a slot; InvalidArgument if the swap cache does not have it."""
        byte = self._used(offset)
        if not byte & SWAP_HAS_CACHE:
            raise InvalidArgument(f"Swap slot {offset} is not in the swap cache; pin it with set_cache first.")
        self._map[offset] = byte & _NOT_CACHE

    def free(self, offset: int) -> None:
        """Make a slot without references free; InvalidArgument if it has any, or is bad."""
        if self.byte(offset) & _NOT_CACHE:
            raise InvalidArgument(f"Swap slot {offset} is bad or referred to; drop its references before freeing it.")
        self._map[offset] = 0

    # -- array forms ---------------------------------------------------------------------------------------------

    def _rows(self, offsets: U64) -> tuple[_I64, _U8]:
        """Return where the bytes of slots are, and the bytes."""
        at = np.asarray(offsets, np.uint64).view(np.int64)
        if len(at) and not 0 <= int(at.min()) <= int(at.max()) < self.max:
            raise InvalidArgument(f"One of the slots is beyond the device, which has {self.max}; check the entries.")
        self.lookups += len(at)
        return at, self.map.rows[at]

    def _distinct(self, offsets: U64) -> tuple[_I64, _U8]:
        """As `_rows`, for offsets that must differ."""
        at, bytes_ = self._rows(offsets)
        if not are_distinct(at):
            raise InvalidArgument("The swap slots of one call must be distinct; split the call.")
        return at, bytes_

    def _used_many(self, offsets: U64) -> tuple[_I64, _U8]:
        at, bytes_ = self._distinct(offsets)
        if ((bytes_ == 0) | (bytes_ == SWAP_MAP_BAD)).any():
            raise NotFound("One of the swap slots is free or bad; only a slot in use has references.")
        return at, bytes_

    def counts(self, offsets: U64) -> _U32:
        """Array form of `count` (uint32); here offsets may repeat."""
        return self._counts(*self._rows(offsets))

    def _counts(self, at: _I64, bytes_: _U8) -> _U32:
        counts = (bytes_ & SWAP_MAP_COUNT_MASK).astype(np.uint32)
        counts[bytes_ == SWAP_MAP_BAD] = 0
        for i in np.flatnonzero(bytes_ & COUNT_CONTINUED).tolist():
            counts[i] = self._count(int(at[i]), int(bytes_[i]))
        return counts

    def duplicate_many(self, offsets: U64) -> None:
        """Array form of `duplicate`, which adds the continuation pages it needs itself.

        NoMemory (-ENOMEM) if one can't be had: no count has changed then, pages that were added stay.
        """
        at, bytes_ = self._used_many(offsets)
        digits = bytes_ & SWAP_MAP_COUNT_MASK
        if (digits > SWAP_MAP_MAX).any():
            raise InvalidArgument("One of the swap slots belongs to a tmpfs file, which holds its only reference.")
        full = digits == SWAP_MAP_MAX
        if not full.any():
            self.map.rows[at] = bytes_ + np.uint8(1)
            return
        slow = list(zip(at[full].tolist(), bytes_[full].tolist(), strict=True))
        for offset, byte in slow:
            self._add_continuation(offset, byte)
        self.map.rows[at[~full]] += np.uint8(1)
        for offset, byte in slow:
            self._duplicate(offset, byte)

    def put_many(self, offsets: U64) -> _U32:
        """Array form of `put`: return the new counts (uint32)."""
        at, bytes_ = self._used_many(offsets)
        if not (bytes_ & _NOT_CACHE).all():
            raise InvalidArgument("One of the swap slots has no reference to drop; the swap cache alone keeps it.")
        plain = bytes_ < COUNT_CONTINUED
        if plain.all():
            self.map.rows[at] = bytes_ - np.uint8(1)
            return (bytes_ & SWAP_MAP_COUNT_MASK).astype(np.uint32) - np.uint32(1)
        self.map.rows[at[plain]] -= np.uint8(1)
        for offset, byte in zip(at[~plain].tolist(), bytes_[~plain].tolist(), strict=True):
            self._put(offset, byte)
        return self._counts(at, self.map.rows[at])

    def set_cached_new_many(self, offsets: U64) -> None:
        """Array form of `set_cached_new`."""
        at, bytes_ = self._distinct(offsets)
        if bytes_.any():
            raise InvalidArgument("One of the swap slots is not free; allocate others.")
        self.map.rows[at] = SWAP_HAS_CACHE
        self._written[at >> PAGE_SHIFT] = True

    def set_cache_many(self, offsets: U64) -> None:
        """Array form of `set_cache`."""
        at, bytes_ = self._used_many(offsets)
        if (bytes_ & SWAP_HAS_CACHE).any():
            raise Exists("One of the swap slots is in the swap cache already; use the folio that is there.")
        self.map.rows[at] = bytes_ | SWAP_HAS_CACHE

    def clear_cache_many(self, offsets: U64) -> None:
        """Array form of `clear_cache`."""
        at, bytes_ = self._used_many(offsets)
        if not (bytes_ & SWAP_HAS_CACHE).all():
            raise InvalidArgument("One of the swap slots is not in the swap cache; pin it with set_cache_many first.")
        self.map.rows[at] = bytes_ & _NOT_CACHE

    def free_many(self, offsets: U64) -> None:
        """Array form of `free`."""
        at, bytes_ = self._distinct(offsets)
        if (bytes_ & _NOT_CACHE).any():
            raise InvalidArgument("One of the swap slots is bad or referred to; drop its references before freeing it.")
        self.map.rows[at] = 0

    # -- size and invariants -------------------------------------------------------------------------------------

    def metadata_bytes(self) -> dict[str, int]:
        """Return the bytes of the map, whole from swapon on, and of the continuation pages there are."""
        return {"swap_map": self.map.rows.nbytes, "swap_map_continuation": self.continuation_pages * PAGE_SIZE}

    def check(self) -> None:
        """Check every invariant; raise InvariantError that names the first one broken. O(slots in pages written to)."""
        pages = len(list(chain.from_iterable(self._continuation.values())))
        hold(self.continuation_pages == pages, "continuation-pages-are-counted", f"{pages} pages are there")
        bad: list[int] = []
        for index in np.flatnonzero(self._written).tolist():
            first = index << PAGE_SHIFT
            bytes_ = self.map.rows[first : first + PAGE_SIZE]
            # 63 in the count bits is the mark of a bad slot or of tmpfs, never a count.
            found = np.flatnonzero((bytes_ & SWAP_MAP_COUNT_MASK == SWAP_MAP_BAD) & (bytes_ < COUNT_CONTINUED))
            hold(bool((bytes_[found] == SWAP_MAP_BAD).all()), "bad-slot-is-not-cached", f"one of {first} and following")
            bad.extend((found + first).tolist())
            self._check_digits(index, bytes_)
        hold(bad == sorted(self.bad), "bad-slots-are-fixed", f"bad slots are {bad[:9]}")

    def _check_digits(self, index: int, bytes_: _U8) -> None:
        """A digit says that it continues if and only if the next one is there and is not 0, flag and all."""
        goes_on = (bytes_ >= COUNT_CONTINUED) & (bytes_ & _NOT_CACHE != SWAP_MAP_SHMEM)
        for page in self._continuation.get(index, ()):
            digits = np.frombuffer(page, np.uint8)[: len(bytes_)]
            wrong = np.flatnonzero(goes_on != (digits != 0)) + (index << PAGE_SHIFT)
            hold(not len(wrong), "count-goes-on-where-it-says", "slots {}", wrong[:9])
            goes_on = digits >= COUNT_CONTINUED
        wrong = np.flatnonzero(goes_on) + (index << PAGE_SHIFT)
        hold(not len(wrong), "count-has-an-end", "slots {} continue beyond the last page", wrong[:9])
