"""zswap's entries and the lists that order them by age.

Each memory cgroup has a list of its compressed pages for every NUMA node, the oldest first: ``list_lru`` [S21]. An
entry is linked into its list by two of its own fields, so moving it takes constant time. Entries come from a cache of
used ones, as from the kernel's slab cache.

A cold page has two chances: on its first visit it loses `referenced` and becomes the youngest, on its second it is the
victim [S21].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vswaplab.backends.compressors import Compressor
from vswaplab.backends.zsmalloc import ZsPool
from vswaplab.protocols import MemcgLike

__all__ = ["LruKey", "ZswapAges", "ZswapEntry", "ZswapLru", "ZswapPool"]

LruKey = tuple[int, int]
"""Id of a memory cgroup, and NUMA node."""


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
    """The compressed pages of a memory cgroup on one NUMA node, oldest first."""

    __slots__ = ("head", "memcg", "node", "nr")

    def __init__(self, memcg: MemcgLike, node: int = 0) -> None:
        self.memcg = memcg
        self.node = node
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

    def visit(self) -> int:
        """Look at the oldest entry, which is the youngest from then on: return it, or 0 if it had a second chance."""
        entry = self.head.next
        self.rotate(entry)
        if not entry.referenced:
            return entry.id
        entry.referenced = False
        return 0

    def next_victim(self) -> int:
        """Return the oldest entry without a second chance, or 0 if one pass finds none; those seen are the youngest."""
        for _ in range(self.nr):
            victim = self.visit()
            if victim:
                return victim
        return 0

    def take_all(self, other: ZswapLru) -> None:
        """Append all entries of another list, which is empty then."""
        while other.nr:
            entry = other.head.next
            other.head.next = entry.next
            entry.next.prev = other.head
            last = self.head.prev
            entry.prev, entry.next, entry.lru = last, self.head, self
            last.next = self.head.prev = entry
            self.nr += 1
            other.nr -= 1


class ZswapAges:
    """The lists of all memory cgroups, and whose turn it is."""

    # So `Zswap` has at most 30 attributes besides, which Python finds at once: with more, store and load are slower.
    __slots__ = ("_last_lru", "_node", "_turn", "disk_swapins", "lrus", "nodes")

    def __init__(self, nodes: int = 1) -> None:
        self.nodes = nodes
        """NUMA nodes."""
        self._node = 0
        self.lrus: dict[LruKey, ZswapLru] = {}
        """By memory cgroup id and node, none of them empty."""
        self.disk_swapins: Counter[LruKey] = Counter()
        """Pages read from a device since the dynamic shrinker counted last: signs that zswap is too small already."""
        self._last_lru: ZswapLru | None = None
        """The list of the last page stored, if it was on the current node."""
        self._turn: LruKey = (0, 0)
        """The list that gave the last victim."""

    @property
    def node(self) -> int:
        """The node on which the next pages are stored: that of the CPU at work."""
        return self._node

    @node.setter
    def node(self, node: int) -> None:
        if node != self._node:
            self._node, self._last_lru = node, None

    def entries(self) -> Iterator[ZswapEntry]:
        """Yield all entries, list by list, each from the oldest."""
        for lru in self.lrus.values():
            yield from lru

    def next_victim(self, memcg: MemcgLike | None = None) -> int:
        """Return the entry to write back next, of one memory cgroup or of all in turn; it is the youngest from now on.

        Entries that have a second chance lose it and are passed over. 0 when a whole pass finds no other: call again
        and it finds one, unless nothing is stored.
        """
        turns = sorted(key for key in self.lrus if memcg is None or key[0] == memcg.id)
        for key in [each for each in turns if each > self._turn] + [each for each in turns if each <= self._turn]:
            victim = self.lrus[key].next_victim()
            if victim:
                self._turn = key
                return victim
        return 0

    def visit(self, memcg: MemcgLike, node: int) -> int | None:
        """Look at a memory cgroup's oldest entry on a node: return it, 0 if it had a second chance, None for none."""
        lru = self.lrus.get((memcg.id, node))
        return lru.visit() if lru is not None else None

    def victim_on(self, memcg: MemcgLike, node: int) -> int:
        """Return the oldest entry of a memory cgroup on a node that may go, second chances taken until one is found."""
        lru = self.lrus.get((memcg.id, node))
        return 0 if lru is None else lru.next_victim() or lru.next_victim()

    def count(self, memcg: MemcgLike, node: int) -> int:
        """Return how many entries of a memory cgroup are on a node."""
        lru = self.lrus.get((memcg.id, node))
        return lru.nr if lru is not None else 0

    def note_disk_swapin(self, memcg: MemcgLike | None, nr: int) -> None:
        """Pages of a memory cgroup had to be read from a device. C name: ``zswap_folio_swapin``."""
        if memcg is not None:
            self.disk_swapins[memcg.id, self.node] += nr

    def reparent(self, memcg: MemcgLike, parent: MemcgLike) -> int:
        """Move the entries of a memory cgroup to its parent, as the youngest there; return the bytes that were charged.

        Charges count in all ancestors, so only the removed cgroup's own count changes, and that is the caller's.
        """
        moved = 0
        for node in range(self.nodes):
            lru = self.lrus.pop((memcg.id, node), None)
            self.disk_swapins.pop((memcg.id, node), None)
            if lru is not None:
                moved += sum(entry.length for entry in lru)
                to = self.lrus.setdefault((parent.id, node), ZswapLru(parent, node))
                to.take_all(lru)
        self._last_lru = None
        return moved

    def charges(self) -> dict[int, int]:
        """Return the compressed bytes that each memory cgroup should be charged, by id, counted from the entries."""
        found: dict[int, int] = {}
        for (id, _), lru in self.lrus.items():
            found[id] = found.get(id, 0) + sum(entry.length for entry in lru)
        return found

    def _lru_of(self, memcg: MemcgLike) -> ZswapLru:
        """Return the list of a memory cgroup on the current node, made if it has none."""
        key = memcg.id, self._node
        lru = self.lrus.get(key)
        if lru is None:
            lru = self.lrus[key] = ZswapLru(memcg, self._node)
        self._last_lru = lru
        return lru
