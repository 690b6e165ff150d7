"""zswap's entries and the lists that order them by age.

Each memory cgroup has a list of its compressed pages, the oldest first: ``list_lru``, of which the kernel has one for
every NUMA node as well [S21]. An entry is linked into its list by two of its own fields, so moving it takes constant
time. Entries come from a cache of used ones, as from the kernel's slab cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from vswaplab.backends.compressors import Compressor
from vswaplab.backends.zsmalloc import ZsPool
from vswaplab.protocols import MemcgLike

__all__ = ["ZswapEntry", "ZswapLru", "ZswapPool"]


class ZswapPool:
    """A compressor and the objects it wrote. C type: ``struct zswap_pool``."""

    __slots__ = ("compress", "compressor", "decompress_into", "errors", "zspool")

    def __init__(self, compressor: Compressor, chain_size: int) -> None:
        self.compressor = compressor.name
        self.compress = compressor.compress
        self.decompress_into = compressor.decompress_into
        self.errors = compressor.errors
        self.zspool = ZsPool(chain_size)


class ZswapEntry:
    """A compressed page. C type: ``struct zswap_entry``. Good as long as the page is stored; then it serves another."""

    __slots__ = ("handle", "id", "length", "lru", "next", "pool", "prev", "referenced", "swpentry")

    def __init__(self, id: int) -> None:
        self.id = id
        """What a descriptor's pointer field holds."""
        self.swpentry = 0
        """The entry that this page backs (legacy design: its slot)."""
        self.length = 0
        """Compressed bytes; 4,096 for a page stored as it is."""
        self.referenced = False
        """Has its second chance."""
        self.handle = 0
        """Of its object in the pool."""
        self.pool: ZswapPool
        self.lru: ZswapLru
        self.prev = self.next = self

    @property
    def memcg(self) -> MemcgLike:
        """The memory cgroup that pays for it."""
        return self.lru.memcg

    def __repr__(self) -> str:
        return f"<ZswapEntry {self.id} swpentry={self.swpentry} length={self.length} referenced={self.referenced}>"


class ZswapLru:
    """The compressed pages of a memory cgroup, oldest first."""

    __slots__ = ("head", "memcg", "nr")

    def __init__(self, memcg: MemcgLike) -> None:
        self.memcg = memcg
        self.head = ZswapEntry(0)
        self.nr = 0

    def __iter__(self) -> Iterator[ZswapEntry]:
        entry = self.head.next
        while entry is not self.head:
            yield entry
            entry = entry.next

    def rotate(self, entry: ZswapEntry) -> None:
        """Make an entry of this list the youngest."""
        entry.prev.next = entry.next
        entry.next.prev = entry.prev
        head = self.head
        entry.prev = head.prev
        entry.next = head
        head.prev.next = entry
        head.prev = entry

    def next_victim(self) -> int:
        """Return the oldest entry without a second chance, or 0 if one pass finds none; those seen are the youngest."""
        for _ in range(self.nr):
            entry = self.head.next
            self.rotate(entry)
            if not entry.referenced:
                return entry.id
            entry.referenced = False
        return 0
