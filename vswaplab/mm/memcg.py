"""Memory cgroups: who pays for a page, for a swap slot and for compressed bytes, and how much each may have.

Charges count in the cgroup itself and in all its ancestors up to the root, and a limit holds for the whole subtree
below it. `memory.swap.current` counts physical slots only: zswap and zero pages cost no swap [S17]. Compressed pages
are charged by their compressed size, to `memory.zswap.current` and, as the memory they are, to `memory.current`
[BACKGROUND].

`memory.max` is hard: a charge over it reclaims, and fails with -ENOMEM if that does not help. `memory.high` is soft: a
charge over it is let through, reclaims afterwards, and what is still over slows the task down.

The number of a cgroup (its id) outlives it while swap entries bear it. Its files are in `memcg_files`.

>>> table = MemcgTable()
>>> app = table.create("app", max="4M")
>>> app.id, app.file("memory.max"), app.file("memory.swap.max")
(2, '4194304\\n', 'max\\n')
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from vswaplab.errors import Busy, Exists, InvalidArgument, NoMemory, NotFound
from vswaplab.mm.lru import Lruvec
from vswaplab.mm.memcg_files import STAT_BYTES, STAT_EVENTS, MemcgHost, read_file, stat_item, write_file
from vswaplab.strict import flag, instance, quoted, whole_number
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, parse_size

__all__ = [
    "MAX_HIGH_DELAY_USEC",
    "MAX_MEMCG_ID",
    "STAT_BYTES",
    "STAT_EVENTS",
    "USEC_PER_SEC",
    "Limit",
    "Memcg",
    "MemcgTable",
]

MAX_MEMCG_ID = (1 << 16) - 1
"""Ids are 16 bits wide, in descriptors and in shadows [S10]."""

USEC_PER_SEC = 1_000_000
MAX_HIGH_DELAY_USEC = 2 * USEC_PER_SEC
"""The longest that one charge over memory.high delays its task: two seconds [BACKGROUND]."""

_NAME = re.compile(r"[^/\0\n]{1,255}")

Limit = int | str | None
"""Bytes, text as `vswaplab.units.parse_size` takes it, or None (or "max") for none."""


class Memcg:
    """A memory cgroup. Sizes are bytes where they are set, pages where they are counted."""

    def __init__(self, table: MemcgTable, id: int, name: str, parent: Memcg | None) -> None:
        self._table = table
        self._id = id
        self.name = name
        self.parent = parent
        self.children: list[Memcg] = []
        self.online = True
        self.lruvec = Lruvec()
        self.nr_pages = 0
        """Pages of folios charged here and below."""
        self.swap_pages = 0
        """Physical slots charged here and below."""
        self.zswap_bytes = 0
        """Compressed bytes charged here and below."""
        self.zswap_stored = 0
        """Compressed pages charged here and below."""
        self.events: Counter[str] = Counter()
        """Event counts, those below included; at the root they are the machine's vmstat."""
        self.throttled = 0
        """Charges from here or below that were still over this memory.high after reclaim, so their task was slowed."""
        self.throttled_simulated_usec = 0
        """For how long, in simulated microseconds: nothing sleeps, it is only counted (see `throttle`)."""
        self.zswap_writeback = True
        self.reclaim_position = 0
        """Where the next reclaim below this cgroup starts: its members take turns."""
        self._id_refs = 0
        self._max: int | None = None
        self._high: int | None = None
        self._swap_max: int | None = None
        self._zswap_max: int | None = None

    def __repr__(self) -> str:
        return f"<Memcg {self.id} {self.path} pages={self.usage_pages} swap={self.swap_pages}>"

    # -- tree ----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The number that descriptors and shadows record; the root's is 1."""
        return self._id

    @property
    def path(self) -> str:
        """Names from the root down, as below /sys/fs/cgroup."""
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.name}"

    def lineage(self) -> Iterator[Memcg]:
        """Yield this cgroup, its parent, and so on up to the root."""
        memcg: Memcg | None = self
        while memcg is not None:
            yield memcg
            memcg = memcg.parent

    def subtree(self) -> Iterator[Memcg]:
        """Yield this cgroup and all below it, parents first, children in the order they were made."""
        yield self
        for child in self.children:
            yield from child.subtree()

    def get_id(self, nr: int) -> None:
        """Take `nr` references on the id, one a swap entry."""
        self._id_refs += nr

    def put_id(self, nr: int) -> None:
        """Drop `nr` references on the id; the last one lets the number of a removed cgroup go."""
        if nr > self._id_refs:
            raise InvalidArgument(f"Memory cgroup {self.path} has {self._id_refs} references on its id, not {nr}.")
        self._id_refs -= nr
        self._table.forget_if_dead(self)

    @property
    def id_refs(self) -> int:
        """References on the id."""
        return self._id_refs

    # -- limits --------------------------------------------------------------------------------------------------

    @property
    def max(self) -> int | None:
        """memory.max in bytes, None for no limit. Setting it reclaims what is over, as far as that can be had."""
        return self._max

    @max.setter
    def max(self, value: Limit) -> None:
        self._max = self._limit(value, "memory.max")
        self._table.limit_lowered(self, hard=True)

    @property
    def high(self) -> int | None:
        """memory.high in bytes, None for no limit: over it the cgroup is reclaimed from and slowed, but never fails."""
        return self._high

    @high.setter
    def high(self, value: Limit) -> None:
        self._high = self._limit(value, "memory.high")
        self._table.note_high()
        self._table.limit_lowered(self, hard=False)

    @property
    def swap_max(self) -> int | None:
        """memory.swap.max in bytes, None for no limit."""
        return self._swap_max

    @swap_max.setter
    def swap_max(self, value: Limit) -> None:
        self._swap_max = self._limit(value, "memory.swap.max")

    @property
    def zswap_max(self) -> int | None:
        """memory.zswap.max in bytes, None for no limit, 0 for no zswap."""
        return self._zswap_max

    @zswap_max.setter
    def zswap_max(self, value: Limit) -> None:
        self._zswap_max = self._limit(value, "memory.zswap.max")

    def _limit(self, value: Limit, what: str) -> int | None:
        if value is None or value == "max":
            return None
        if self.parent is None:
            raise InvalidArgument(f"The root cgroup has no {what}; set it on a cgroup of your own.")
        return parse_size(value, what) & ~(PAGE_SIZE - 1)

    # -- memory --------------------------------------------------------------------------------------------------

    @property
    def usage_pages(self) -> int:
        """memory.current in pages: folios, and the memory of compressed pages."""
        return self.nr_pages + (-(-self.zswap_bytes >> PAGE_SHIFT))

    def over_limit(self, nr: int) -> Memcg | None:
        """Return the nearest cgroup, here or above, that `nr` more pages would take over its memory.max."""
        for memcg in self.lineage():
            if memcg._max is not None and memcg.usage_pages + nr > memcg._max >> PAGE_SHIFT:
                return memcg
        return None

    def over_high(self) -> int:
        """Return by how many pages this cgroup, its ancestors left aside, is over its memory.high; 0 if it is not."""
        return 0 if self._high is None else max(0, self.usage_pages - (self._high >> PAGE_SHIFT))

    def throttle(self, nr: int) -> None:
        """Count the delay of a task that charged `nr` pages, if reclaim has left this cgroup over its memory.high.

        The delay grows with the square of the overage's share of memory.high, up to `MAX_HIGH_DELAY_USEC` [BACKGROUND];
        the model takes a simulated second a page at twice memory.high as its unit.
        """
        over = self.over_high()
        if over and self._high is not None:
            high = max(1, self._high >> PAGE_SHIFT)
            self.throttled += 1
            self.throttled_simulated_usec += min(MAX_HIGH_DELAY_USEC, USEC_PER_SEC * nr * over * over // (high * high))

    def charge(self, nr: int) -> None:
        """Charge `nr` pages here and above; limits are the caller's to heed."""
        for memcg in self.lineage():
            memcg.nr_pages += nr

    def uncharge(self, nr: int) -> None:
        """Take a charge of `nr` pages back."""
        self.charge(-nr)

    # -- swap ----------------------------------------------------------------------------------------------------

    def try_charge_swap(self, nr: int) -> bool:
        """Charge `nr` physical slots here and above; False, and nothing charged, if that is over a memory.swap.max."""
        for memcg in self.lineage():
            if memcg._swap_max is not None and memcg.swap_pages + nr > memcg._swap_max >> PAGE_SHIFT:
                memcg.count("swap.max")
                self.count("swap.fail", nr)
                return False
        for memcg in self.lineage():
            memcg.swap_pages += nr
        return True

    def uncharge_swap(self, nr: int) -> None:
        """Take the charge of `nr` physical slots back."""
        for memcg in self.lineage():
            memcg.swap_pages -= nr

    def swap_full(self) -> bool:
        """Whether this cgroup or one above it has used half of its memory.swap.max [BACKGROUND]."""
        limits = ((memcg.swap_pages, memcg._swap_max) for memcg in self.lineage())
        return any(limit is not None and 2 * used >= limit >> PAGE_SHIFT for used, limit in limits)

    def may_zswap(self) -> bool:
        """False when this cgroup or an ancestor is at its memory.zswap.max; 0 means never [S21]."""
        return all(
            memcg._zswap_max is None or memcg.zswap_bytes >> PAGE_SHIFT < memcg._zswap_max >> PAGE_SHIFT
            for memcg in self.lineage()
        )

    def zswap_disabled(self) -> bool:
        """Whether memory.zswap.max is 0 here or above: no page is ever taken [S21]."""
        return any(memcg._zswap_max == 0 for memcg in self.lineage())

    def charge_zswap(self, nr_bytes: int) -> None:
        """Charge one compressed page of `nr_bytes`."""
        for memcg in self.lineage():
            memcg.zswap_bytes += nr_bytes
            memcg.zswap_stored += 1

    def uncharge_zswap(self, nr_bytes: int) -> None:
        """Take the charge of one compressed page back."""
        for memcg in self.lineage():
            memcg.zswap_bytes -= nr_bytes
            memcg.zswap_stored -= 1

    def zswap_writeback_enabled(self) -> bool:
        """Whether zswap may write this cgroup's pages to a swapfile: a 0 here or above forbids it."""
        return all(memcg.zswap_writeback for memcg in self.lineage())

    # -- counts --------------------------------------------------------------------------------------------------

    def count(self, item: str, nr: int = 1) -> None:
        """Add to an event counter here and above."""
        memcg: Memcg | None = self
        while memcg is not None:
            memcg.events[item] += nr
            memcg = memcg.parent

    # -- files ---------------------------------------------------------------------------------------------------

    @property
    def host(self) -> MemcgHost:
        """The machine; InvalidArgument where there is none."""
        if self._table.host is None:
            raise InvalidArgument("These cgroups are on no machine; make them with Machine.memcg.")
        return self._table.host

    def pids(self) -> list[int]:
        """Return the numbers of the processes here, those below not among them."""
        return [] if self._table.host is None else self._table.host.pids_in(self)

    def stat(self, item: str) -> int:
        """Return an item of memory.stat: bytes for amounts, else a number of events. InvalidArgument if none."""
        return stat_item(self, item)

    def file(self, name: str) -> str:
        """Return what the cgroup's file `name` reads, in the kernel's format; errors as for `read_file`."""
        return read_file(self, instance(name, str, "name"))

    def write(self, name: str, text: str) -> None:
        """Write `text` to the cgroup's file `name`, as the kernel takes it; errors as for `write_file`."""
        write_file(self, instance(name, str, "name"), instance(text, str, "text"))

    def reclaim(self, amount: int | str) -> int:
        """Reclaim pages (a number) or bytes (text such as "4M") here and below; return how many pages that freed.

        It may be fewer; writing memory.reclaim makes an error of that.
        """
        text = isinstance(amount, str)
        pages = parse_size(amount, "amount") >> PAGE_SHIFT if text else whole_number(amount, "amount", 0, 1 << 52)
        return self.host.reclaim(pages, self)


class MemcgTable:
    """All memory cgroups by id: those that are online, and removed ones that swap entries still name."""

    def __init__(self) -> None:
        self.root = Memcg(self, 1, "", None)
        self.host: MemcgHost | None = None
        """The machine that the cgroups are on, None for accounts only."""
        self.any_high = False
        """Whether any cgroup has a memory.high, so that a charge must look for it."""
        self._by_id = {1: self.root}
        self._removed: set[int] = set()

    def create(
        self,
        name: str,
        max: Limit = None,
        swap_max: Limit = None,
        zswap_max: Limit = None,
        zswap_writeback: bool = True,
        parent: Memcg | None = None,
        high: Limit = None,
    ) -> Memcg:
        """Make a cgroup below `parent` (None: the root), with the lowest free id.

        Exists if the parent has a child of that name, InvalidArgument for a bad name or limit.
        """
        parent = self.root if parent is None else instance(parent, Memcg, "parent")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidArgument(f"A cgroup's name has 1 to 255 characters, and no slash; {quoted(name)} won't do.")
        if any(child.name == name for child in parent.children):
            raise Exists(f"There is a cgroup {name!r} in {parent.path} already; choose another name or parent.")
        if not parent.online:
            raise NotFound(f"The cgroup {parent.path} was removed; make a child of one that is there.")
        writeback = flag(zswap_writeback, "zswap_writeback")
        memcgid = next(i for i in range(2, len(self._by_id) + 3) if i not in self._by_id)
        if memcgid > MAX_MEMCG_ID:
            raise NoMemory(f"All {MAX_MEMCG_ID} cgroup ids are in use; remove cgroups first.")
        memcg = Memcg(self, memcgid, name, parent)
        memcg.max, memcg.high, memcg.swap_max, memcg.zswap_max = max, high, swap_max, zswap_max
        memcg.zswap_writeback = writeback
        self._by_id[memcgid] = memcg
        parent.children.append(memcg)
        self.note_high()
        return memcg

    def remove(self, memcg: Memcg) -> None:
        """Remove a cgroup (rmdir). What it has in memory, compressed pages too, goes to its parent; counts don't change
        there, they had it all along. Slots stay charged to it, and its id stays, as long as entries bear the id.

        Busy if it has children, InvalidArgument for the root. That no process is in it is the caller's to see to.
        """
        parent = memcg.parent
        if parent is None:
            raise InvalidArgument("The root cgroup can't be removed.")
        if not memcg.online:
            raise NotFound(f"The cgroup {memcg.path} was removed already.")
        if memcg.children:
            raise Busy(f"The cgroup {memcg.path} has children; remove them first.")
        memcg.online = False
        for folio in (*memcg.lruvec.inactive, *memcg.lruvec.active):
            memcg.lruvec.remove(folio)
            folio.memcg = parent
            parent.lruvec.add(folio)
            memcg.nr_pages -= folio.nr_pages
        if self.host is not None:
            self.host.memcg_offline(memcg, parent)
        parent.children.remove(memcg)
        self._removed.add(memcg.id)
        self.note_high()
        self.forget_if_dead(memcg)

    def note_high(self) -> None:
        """Find out whether any cgroup that is online has a memory.high."""
        self.any_high = any(memcg.high is not None for memcg in self.root.subtree())

    def limit_lowered(self, memcg: Memcg, hard: bool) -> None:
        """Have the machine, if there is one, reclaim what is over a memory.max (`hard`) or memory.high just set."""
        if self.host is not None and memcg.online:
            self.host.memcg_limit_lowered(memcg, hard)

    def forget_if_dead(self, memcg: Memcg) -> None:
        """Let the id of a removed cgroup go when nothing bears it any more."""
        if memcg.id in self._removed and not memcg.id_refs:
            self._removed.remove(memcg.id)
            del self._by_id[memcg.id]

    def __getitem__(self, memcgid: int) -> Memcg:
        memcg = self._by_id.get(memcgid)
        if memcg is None:
            raise NotFound(f"There is no memory cgroup of id {memcgid}.")
        return memcg

    def get(self, memcgid: int) -> Memcg | None:
        """Return the cgroup of an id, or None."""
        return self._by_id.get(memcgid)

    def __iter__(self) -> Iterator[Memcg]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
