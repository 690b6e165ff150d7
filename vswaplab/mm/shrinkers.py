"""Shrinkers: what makes the compressed pool smaller [S21].

*The worker* runs when a page was refused because the pool was full. It goes round the memory cgroups and writes back
one cold entry of each on every NUMA node, until the pool is down to its accept threshold. It gives up after 16
failures, or rounds in which nobody had a candidate. In Linux it runs beside the tasks; here at the end of the
operation.

*The dynamic shrinker* (`shrinker_enabled`, off by default) runs with reclaim, before the pool is full. How much it
looks at follows from how many entries there are, less those that had to be read from the device of late (then zswap is
too small already), and from how well they compress: what compresses well is not worth much to write back. It stops at
an entry that is in the swap cache, where the warm ones begin. It looks at nothing where write-back is off, and in the
virtual design where no physical slot is free [S17].
"""

from __future__ import annotations

from vswaplab.events import Recorder
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.mm.memory import Memory
from vswaplab.protocols import FolioLike, SwapSpace
from vswaplab.units import PAGE_SHIFT

__all__ = ["DEFAULT_SEEKS", "MAX_SHRINK_RETRIES", "RESERVE_PAGES", "SHRINK_BATCH", "Shrinkers"]

MAX_SHRINK_RETRIES = 16
"""Failures after which the worker gives up [BACKGROUND]."""
SHRINK_BATCH = 128
"""Objects that a shrinker looks at in one go, unless there are fewer [BACKGROUND]."""
DEFAULT_SEEKS = 2
"""What it costs to make an object again, relative to a page: a shrinker looks at 4 / seeks of the share that reclaim
looks at [BACKGROUND]."""

RESERVE_PAGES = 32
"""Pages beyond RAM that write-back may hold: what Linux keeps for reclaim itself, 128 KiB at least [BACKGROUND]."""


class Shrinkers(Memory):
    """zswap's worker, and its dynamic shrinker."""

    def __init__(self, ram_pages: int, swap: SwapSpace, memcgs: MemcgTable, record: Recorder | None) -> None:
        super().__init__(ram_pages, swap, memcgs, record)
        swap.writeback_host = self
        self._shrink_turn: Memcg | None = None
        """The memory cgroup that the worker visited last, None at the end of a round."""
        self._nr_deferred: dict[tuple[Memcg, int], int] = {}
        """Entries of a memory cgroup and node that were too few to look at so far."""

    # -- pages that write-back passes through --------------------------------------------------------------------

    def can_write_back(self) -> bool:
        """Whether a page can be had to decompress into: reclaim's own reserve is for that."""
        return self.used_pages < self.ram_pages + RESERVE_PAGES

    def keep_folio(self, page: FolioLike) -> None:
        """The device did not take a page of write-back: make it a folio of memory, dirty, in the swap cache [S13].

        It is charged as any page that comes in is, and stands where a page that came in stands, on the inactive list.
        """
        folio = self._new_folio(0, self._memcg_of_entry(page.swap, self.root_memcg))
        folio.data[:] = page.data
        folio.dirty = folio.locked = True
        self.swap.split_folio(page, [folio])
        folio.locked = False
        self._lru_add(folio)

    # -- the worker ----------------------------------------------------------------------------------------------

    def _shrink_worker(self) -> None:
        """Write cold compressed pages back, if the pool was full, down to its accept threshold."""
        zswap = self.zswap
        if zswap is None or not zswap.shrink_wanted:
            return
        zswap.shrink_wanted = False
        left, attempts = MAX_SHRINK_RETRIES, 0
        while left and zswap.over_accept_threshold():
            memcg = self._next_to_shrink()
            if memcg is None:  # a round has come to its end
                left -= not attempts
                attempts = 0
                continue
            done = self.swap.shrink_memcg(memcg)
            if done is not None:
                attempts += 1
                left -= not done
        self._drain_released()

    def _next_to_shrink(self) -> Memcg | None:
        """Return the memory cgroup after the one visited last, in the order of the tree; None at the end of a round."""
        members = list(self.root_memcg.subtree())
        if self._shrink_turn is None:
            self._shrink_turn = members[0]
        else:
            at = members.index(self._shrink_turn) + 1
            self._shrink_turn = members[at] if at < len(members) else None
        return self._shrink_turn

    def _shrinker_offline(self, memcg: Memcg, parent: Memcg) -> None:
        """A memory cgroup is being removed, and still in the tree: it leaves the round, what it deferred is its
        parent's.
        """
        if self._shrink_turn is memcg:
            members = list(self.root_memcg.subtree())
            self._shrink_turn = members[members.index(memcg) - 1]
        for who, node in [key for key in self._nr_deferred if key[0] is memcg]:
            deferred = self._nr_deferred.pop((who, node))
            self._nr_deferred[parent, node] = self._nr_deferred.get((parent, node), 0) + deferred

    # -- the dynamic shrinker ------------------------------------------------------------------------------------

    def zswap_freeable(self, memcg: Memcg, node: int = 0) -> int:
        """Return how many entries of a memory cgroup on a node the dynamic shrinker takes into account now.

        It uses up the disk swap-ins counted so far. C name: ``zswap_shrinker_count``.
        """
        zswap = self.zswap
        if zswap is None or not zswap.shrinker_enabled or not memcg.zswap_writeback_enabled():
            return 0
        if not self.swap.reserves_slots and not self.devices.free_pages:
            return 0
        objects = zswap.count(memcg, node)
        if not objects:
            return 0
        swapins = zswap.disk_swapins[memcg.id, node]
        zswap.disk_swapins[memcg.id, node] = max(0, swapins - objects)
        objects = max(0, objects - swapins)
        stored = memcg.zswap_stored
        return objects * (memcg.zswap_bytes >> PAGE_SHIFT) // stored if stored else 0

    def _shrink_zswap(self, memcg: Memcg, priority: int) -> None:
        """Let the dynamic shrinker look at its share of a memory cgroup, as reclaim does at a priority."""
        zswap = self.zswap
        if zswap is None or not zswap.shrinker_enabled:
            return
        for node in range(zswap.nodes):
            freeable = self.zswap_freeable(memcg, node)
            if not freeable:
                continue
            before = self._nr_deferred.pop((memcg, node), 0)
            delta = (freeable >> priority) * 4 // DEFAULT_SEEKS
            left = min((before >> priority) + delta, 2 * freeable)
            looked_at = 0
            while left >= SHRINK_BATCH or left >= freeable:
                batch = min(SHRINK_BATCH, left)
                if not batch or self.swap.scan_zswap(memcg, node, batch):
                    break
                left -= batch
                looked_at += batch
            deferred = min(max(0, before + delta - looked_at), 2 * freeable)
            if deferred:
                self._nr_deferred[memcg, node] = deferred
        self._drain_released()
