"""zswap: pages kept compressed in memory instead of on a device.

`Zswap.store` takes a page or refuses it and says which entry holds it now; `Zswap.load` gives its contents back;
`Zswap.free` drops it. An incompressible page is stored as it is as long as it may be written back later, so that the
order of age is kept [S21] (`store_incompressible` False refuses it, as Linux did before 6.18). The pool may take
`max_pool_percent` of RAM; once it was full, nothing is accepted until it is down to `accept_threshold_percent` of that
[S21].

zswap does not know the design of swap above it. It names the page to write back next (`Zswap.next_victim`) and the
design moves it; see `vswaplab.backends.zswap_lru` for the order of age.

Counters have the names of the kernel's files in debugfs, parameters those of the module's. Parameters may be changed
at any time: pages stored under another compressor stay in its pool, which goes when the last of them is freed.

>>> from types import SimpleNamespace
>>> memcg = SimpleNamespace(id=1, may_zswap=lambda: True, zswap_writeback_enabled=lambda: True,
...                         charge_zswap=lambda nr: None, uncharge_zswap=lambda nr: None)
>>> zswap = Zswap(ram_pages=4096, compressor="lz4")
>>> stored = zswap.store(b"page" * 1024, 512, memcg)
>>> zswap.entry(stored)
<ZswapEntry 1 swpentry=512 length=29 referenced=True>
>>> zswap.stored_pages, zswap.debugfs("pool_total_size"), zswap.load(stored)[:8]
(1, 12288, b'pagepage')
>>> zswap.next_victim(), zswap.next_victim()
(0, 1)
"""

from __future__ import annotations

from collections.abc import Callable

from vswaplab.backends.compressors import get_compressor
from vswaplab.backends.zswap_faults import FAULTS, ZswapFaults
from vswaplab.backends.zswap_invariants import check_zswap
from vswaplab.backends.zswap_lru import ZswapAges, ZswapEntry, ZswapPool
from vswaplab.errors import DeviceIOError, InvalidArgument, NotFound
from vswaplab.protocols import MemcgLike
from vswaplab.strict import whole_number
from vswaplab.units import PAGE_SIZE

__all__ = ["DEBUGFS_FILES", "FAULTS", "Zswap"]

Bytes = bytes | bytearray | memoryview

DEBUGFS_FILES = (
    "pool_limit_hit",
    "reject_reclaim_fail",
    "reject_alloc_fail",
    "reject_kmemcache_fail",
    "reject_compress_fail",
    "reject_compress_poor",
    "decompress_fail",
    "written_back_pages",
    "pool_total_size",
    "stored_pages",
    "stored_incompressible_pages",
)
"""Files of debugfs ``zswap/`` [S21]."""


class Zswap(ZswapAges):
    """zswap of a machine with `ram_pages` pages.

    Raises InvalidArgument for a parameter that can't be meant and NotFound for a compressor that is not installed.
    """

    def __init__(
        self,
        ram_pages: int,
        compressor: str = "zstd",
        max_pool_percent: int = 20,
        accept_threshold_percent: int = 90,
        shrinker: bool = False,
        enabled: bool = True,
        chain_size: int = 8,
        store_incompressible: bool = True,
        nodes: int = 1,
    ) -> None:
        super().__init__(nodes)
        if ram_pages < 1:
            raise InvalidArgument(f"zswap needs the machine's RAM in pages, at least 1, not {ram_pages}.")
        self.ram_pages = ram_pages
        self.chain_size = chain_size
        """Longest zspage of its pools, in pages."""
        self.enabled = enabled
        """Whether pages are taken; those stored can be loaded either way."""
        self.store_incompressible = store_incompressible
        """False as before Linux 6.18, where a page that does not get smaller was refused and went to the device."""
        self.shrinker_enabled = shrinker
        """Whether reclaim makes the pool smaller too, before it is full: the dynamic shrinker."""
        self.reclaim_memcg: Callable[[MemcgLike], bool] | None = None
        """Set by the design: writes one page of a memory cgroup back; False when it can't."""
        self.shrink_wanted = False
        """A page was refused because the pool is full, so the shrink worker should run. The worker takes it back."""
        self.pool_reached_full = False
        """The pool was full and is not down to the accept threshold yet."""
        self.pool_limit_hit = 0
        self.reject_reclaim_fail = 0
        self.reject_alloc_fail = 0
        self.reject_kmemcache_fail = 0
        self.reject_compress_fail = 0
        self.reject_compress_poor = 0
        self.decompress_fail = 0
        self.written_back_pages = 0
        self.stored_incompressible_pages = 0
        self.table: list[ZswapEntry] = [ZswapEntry(0)]
        """Entries by id; one of length 0 is free. Id 0 means none."""
        self.spare: list[ZswapEntry] = []
        """Entries that were freed, to be used again."""
        self._faults = ZswapFaults()
        self._max_pool_percent = self._accept_threshold_percent = 0
        self._pool = ZswapPool(get_compressor(compressor), chain_size)
        self._draining: list[ZswapPool] = []
        """Pools of other compressors that still hold pages."""
        self.max_pool_percent = max_pool_percent
        self.accept_threshold_percent = accept_threshold_percent

    # -- parameters and sizes ------------------------------------------------------------------------------------

    @property
    def compressor(self) -> str:
        """Compressor of pages stored from now on, by the kernel's name."""
        return self._pool.compressor

    @compressor.setter
    def compressor(self, name: str) -> None:
        if name == self._pool.compressor:
            return
        known = next((pool for pool in self._draining if pool.compressor == name), None)
        pool = known or ZswapPool(get_compressor(name), self.chain_size)
        self._draining = [each for each in self.pools if each is not pool and each.zspool.objects]
        self._pool = pool

    @property
    def pools(self) -> tuple[ZswapPool, ...]:
        """All pools, the current one first."""
        return (self._pool, *self._draining)

    @property
    def max_pool_percent(self) -> int:
        """How much of RAM the pool may take, in per cent."""
        return self._max_pool_percent

    @max_pool_percent.setter
    def max_pool_percent(self, percent: int) -> None:
        self._max_pool_percent = _percent("max_pool_percent", percent)
        self._set_limits()

    @property
    def accept_threshold_percent(self) -> int:
        """How far the pool, once full, has to come down before it accepts again, in per cent of its limit."""
        return self._accept_threshold_percent

    @accept_threshold_percent.setter
    def accept_threshold_percent(self, percent: int) -> None:
        self._accept_threshold_percent = _percent("accept_threshold_percent", percent)
        self._set_limits()

    def _set_limits(self) -> None:
        self.max_pages = self.ram_pages * self._max_pool_percent // 100
        """Pages at which the pool is full [S21]."""
        self.accept_threshold_pages = self.max_pages * self._accept_threshold_percent // 100
        """Pages at which a pool that was full accepts again [S21]."""

    @property
    def pool_pages(self) -> int:
        """Pages that the pools take."""
        pages = self._pool.zspool.total_pages
        if self._draining:
            pages += sum(pool.zspool.total_pages for pool in self._draining)
        return pages

    @property
    def pool_total_size(self) -> int:
        """Bytes that the pools take."""
        return self.pool_pages * PAGE_SIZE

    @property
    def stored_pages(self) -> int:
        """Pages stored now."""
        return len(self.table) - 1 - len(self.spare)

    def over_accept_threshold(self) -> bool:
        """Tell whether the shrink worker has to go on."""
        return self.pool_pages > self.accept_threshold_pages

    def debugfs(self, name: str) -> int:
        """Return what the file debugfs ``zswap/<name>`` reads; NotFound if there is none."""
        if name not in DEBUGFS_FILES:
            raise NotFound(f"There is no debugfs file zswap/{name[:40]}; there are {', '.join(DEBUGFS_FILES)}.")
        value: int = getattr(self, name)
        return value

    # -- pages ---------------------------------------------------------------------------------------------------

    def store(self, data: Bytes, swpentry: int, memcg: MemcgLike, first: bool = True) -> int:
        """Compress a page and return the id of its new zswap entry, or 0 if it is refused (a counter says why).

        Constant time, but for the compressor. The order of the checks is the kernel's [S21]. A folio is let in as a
        whole: its later pages (`first` False) are not held against the limits again. InvalidArgument for data that is
        not 4,096 bytes.
        """
        if len(data) != PAGE_SIZE:
            raise InvalidArgument(f"zswap stores pages of {PAGE_SIZE} bytes, not {len(data)} bytes.")
        pool = self._pool
        zspool = pool.zspool
        if first:
            if not self.enabled or not (memcg.may_zswap() or self._reclaimed_one_of(memcg)):
                return 0
            near_limit = zspool.total_pages >= self.max_pages or self.pool_reached_full or self._draining
            if near_limit and self._limit_refuses():
                return 0
        if self._faults.armed and self._faults.hit("kmemcache"):
            self.reject_kmemcache_fail += 1
            return 0
        packed = pool.compress(data)
        length = len(packed)
        if length >= PAGE_SIZE or self._faults.armed:
            failed = self._faults.hit("compress")
            if length >= PAGE_SIZE or failed:
                if not (self.store_incompressible and memcg.zswap_writeback_enabled()):
                    if failed:
                        self.reject_compress_fail += 1
                    else:
                        self.reject_compress_poor += 1
                    return 0
                packed, length = data, PAGE_SIZE
            if self._faults.hit("alloc"):
                self.reject_alloc_fail += 1
                return 0
        handle = zspool.malloc(length, packed)
        memcg.charge_zswap(length)
        if length == PAGE_SIZE:
            self.stored_incompressible_pages += 1

        if self.spare:
            entry = self.spare.pop()
        else:
            entry = ZswapEntry(len(self.table))
            self.table.append(entry)
        entry.swpentry = swpentry
        entry.length = length
        entry.referenced = True
        entry.handle = handle
        entry.pool = pool
        lru = self._last_lru
        if lru is None or lru.memcg is not memcg:
            lru = self._lru_of(memcg)
        head = lru.head
        last = head.prev
        entry.lru = lru
        entry.prev = last
        entry.next = head
        last.next = entry
        head.prev = entry
        lru.nr += 1
        return entry.id

    def load(self, ze: int) -> bytes:
        """Return the contents of an entry, 4,096 bytes; the entry stays. Errors as in `load_into`."""
        page = bytearray(PAGE_SIZE)
        self.load_into(ze, page)
        return bytes(page)

    def load_into(self, ze: int, page: bytearray | memoryview) -> None:
        """Decompress an entry into a page of 4,096 bytes; the entry stays.

        DeviceIOError when that fails, the page may then hold anything; NotFound when there is no such entry.
        """
        try:
            entry = self.table[ze]
        except IndexError:
            raise _no_entry(ze) from None
        length = entry.length
        if not length or ze < 1:
            raise _no_entry(ze)
        pool = entry.pool
        data = pool.zspool.read(entry.handle, length)
        cause = None
        try:
            if length == PAGE_SIZE:
                page[:] = data
                return
            if self._faults.armed and self._faults.hit("decompress"):
                pass
            elif pool.decompress_into(data, page) == PAGE_SIZE:
                return
        except pool.errors as error:
            cause = error
        self.decompress_fail += 1
        raise DeviceIOError(f"zswap entry {ze} can't be decompressed; its compressed bytes are kept.") from cause

    def free(self, ze: int) -> None:
        """Drop an entry: its object and its charge go; NotFound when there is no such entry."""
        entry = self.entry(ze)
        lru, length, pool = entry.lru, entry.length, entry.pool
        before, after = entry.prev, entry.next
        before.next = after
        after.prev = before
        lru.nr -= 1
        if not lru.nr:
            del self.lrus[lru.memcg.id, lru.node]
            self._last_lru = None
        pool.zspool.free(entry.handle)
        if pool is not self._pool and not pool.zspool.objects:
            self._draining.remove(pool)
        lru.memcg.uncharge_zswap(length)
        if length == PAGE_SIZE:
            self.stored_incompressible_pages -= 1
        entry.length = 0
        self.spare.append(entry)

    def entry(self, ze: int) -> ZswapEntry:
        """Return an entry, good until it is freed; NotFound when there is no such entry."""
        if 0 < ze < len(self.table) and self.table[ze].length:
            return self.table[ze]
        raise _no_entry(ze)

    def length(self, ze: int) -> int:
        """Return the compressed bytes of an entry."""
        return self.entry(ze).length

    def compressed(self, ze: int) -> memoryview:
        """Return the bytes of an entry's object as they are stored: a view, good until the entry is freed."""
        entry = self.entry(ze)
        return entry.pool.zspool.read(entry.handle, entry.length)

    # -- age -----------------------------------------------------------------------------------------------------

    def touch(self, ze: int) -> None:
        """Give an entry its second chance again."""
        self.entry(ze).referenced = True

    def note_written_back(self, nr: int) -> None:
        """Count pages that the design moved to a swapfile."""
        self.written_back_pages += nr

    def inject(self, kind: str, nth: int = 1, times: int = 1) -> None:
        """Let the `nth` use of something (`FAULTS`) from now on fail, and `times` - 1 after it."""
        self._faults.inject(kind, nth, times)

    def clear_faults(self) -> None:
        """Take back all faults that have not run out."""
        self._faults.armed.clear()

    # -- limits --------------------------------------------------------------------------------------------------

    def _reclaimed_one_of(self, memcg: MemcgLike) -> bool:
        """A memory cgroup is at memory.zswap.max: make room once by writing one of its pages back [S21].

        There is no room to be made where the limit is 0.
        """
        if not memcg.zswap_disabled():
            if self.reclaim_memcg is not None and self.reclaim_memcg(memcg):
                return True
            self.reject_reclaim_fail += 1
        self.shrink_wanted = self.shrink_wanted or self.pool_reached_full
        return False

    def _limit_refuses(self) -> bool:
        """Compare the pool with its limit; it takes no page from full down to the accept threshold [S21]."""
        pages = self.pool_pages
        if pages >= self.max_pages:
            self.pool_limit_hit += 1
            self.pool_reached_full = True
        elif pages <= self.accept_threshold_pages:
            self.pool_reached_full = False
        self.shrink_wanted = self.shrink_wanted or self.pool_reached_full
        return self.pool_reached_full

    # -- invariants ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise InvariantError, by name, for whatever does not hold."""
        check_zswap(self)


def _no_entry(ze: int) -> NotFound:
    return NotFound(f"There is no zswap entry {ze}; it was freed, or never stored.")


def _percent(what: str, value: int) -> int:
    return whole_number(value, what, 0, 100)
