"""Memory cgroups: who pays for a page, for a swap slot and for compressed bytes, and how much each may have.

Charges count in the cgroup itself and in all its ancestors up to the root, and a limit holds for the whole subtree
below it. `memory.swap.current` counts physical slots only: zswap and zero pages cost no swap [S17]. Compressed pages
are charged by their compressed size, to `memory.zswap.current` and, as the memory they are, to `memory.current`
[BACKGROUND].

The number of a cgroup (its id) outlives it while swap entries bear it.

>>> table = MemcgTable()
>>> app = table.create("app", max="4M")
>>> app.id, app.file("memory.max"), app.file("memory.swap.max")
(2, '4194304\\n', 'max\\n')
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vswaplab.errors import Busy, Exists, InvalidArgument, NoMemory, NotFound
from vswaplab.mm.lru import Lruvec
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, parse_size

__all__ = ["MAX_MEMCG_ID", "STAT_BYTES", "STAT_EVENTS", "Memcg", "MemcgTable"]

MAX_MEMCG_ID = (1 << 16) - 1
"""Ids are 16 bits wide, in descriptors and in shadows [S10]."""

STAT_BYTES = ("anon", "shmem", "swapcached", "zswap", "zswapped", "inactive_anon", "active_anon")
"""Items of memory.stat that are amounts, in bytes."""
STAT_EVENTS = (
    "workingset_refault_anon",
    "workingset_activate_anon",
    "workingset_restore_anon",
    "pswpin",
    "pswpout",
    "pgscan",
    "pgsteal",
    "pgfault",
    "pgmajfault",
    "pgrefill",
    "pgactivate",
    "pgdeactivate",
    "swpin_zero",
    "swpout_zero",
    "zswpin",
    "zswpout",
    "zswpwb",
    "thp_fault_alloc",
    "thp_swpout",
    "thp_swpout_fallback",
)
"""Items of memory.stat that count events, mostly pages, in the order of the file [BACKGROUND]."""

Limit = int | str | None


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
        self.zswap_writeback = True
        self.reclaim_position = 0
        """Where the next reclaim below this cgroup starts: its members take turns."""
        self._id_refs = 0
        self._max: int | None = None
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
        """memory.max in bytes, None for no limit. A lower limit acts at the next charge."""
        return self._max

    @max.setter
    def max(self, value: Limit) -> None:
        self._max = self._limit(value, "memory.max")

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
                memcg.events["swap.max"] += 1
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

    def stat(self, item: str) -> int:
        """Return an item of memory.stat, what is below included: bytes for amounts, else a count of events.

        InvalidArgument if there is no such item.
        """
        if item in STAT_EVENTS or item in self.events:
            return self.events[item]
        if item == "zswap":
            return self.zswap_bytes
        if item == "zswapped":
            return self.zswap_stored << PAGE_SHIFT
        if item in STAT_BYTES:
            return sum(memcg._lru_pages(item) for memcg in self.subtree()) << PAGE_SHIFT
        raise InvalidArgument(f"memory.stat has no item {item!r}; it has {', '.join(STAT_BYTES + STAT_EVENTS)}.")

    def _lru_pages(self, item: str) -> int:
        lruvec = self.lruvec
        if item == "inactive_anon":
            return lruvec.nr_inactive
        if item == "active_anon":
            return lruvec.nr_active
        folios = (*lruvec.inactive, *lruvec.active)
        if item == "swapcached":
            return sum(folio.nr_pages for folio in folios if folio.in_swapcache)
        shmem = item == "shmem"
        return sum(len(set(folio.mapped.values())) for folio in folios if folio.shmem == shmem)

    def file(self, name: str) -> str:
        """Return what the cgroup's file `name` reads, in the kernel's format; NotFound if there is no such file."""
        match name:
            case "memory.current":
                return f"{self.usage_pages << PAGE_SHIFT}\n"
            case "memory.swap.current":
                return f"{self.swap_pages << PAGE_SHIFT}\n"
            case "memory.zswap.current":
                return f"{self.zswap_bytes}\n"
            case "memory.max":
                return _limit_text(self._max)
            case "memory.swap.max":
                return _limit_text(self._swap_max)
            case "memory.zswap.max":
                return _limit_text(self._zswap_max)
            case "memory.zswap.writeback":
                return f"{int(self.zswap_writeback)}\n"
            case "memory.stat":
                return "".join(f"{item} {self.stat(item)}\n" for item in (*STAT_BYTES, *STAT_EVENTS))
            case "memory.events":
                counts = {"low": 0, "high": 0, "max": self.events["max"], "oom": self.events["oom"], "oom_kill": 0}
                return "".join(f"{item} {nr}\n" for item, nr in counts.items())
            case "memory.swap.events":
                return f"high 0\nmax {self.events['swap.max']}\nfail {self.events['swap.fail']}\n"
        raise NotFound(f"A memory cgroup has no file {name!r} here; memory.stat and memory.current are two of them.")


def _limit_text(limit: int | None) -> str:
    return "max\n" if limit is None else f"{limit}\n"


class MemcgTable:
    """All memory cgroups by id: those that are online, and removed ones that swap entries still name."""

    def __init__(self) -> None:
        self.root = Memcg(self, 1, "", None)
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
    ) -> Memcg:
        """Make a cgroup below `parent` (None: the root), with the lowest free id.

        Exists if the parent has a child of that name, InvalidArgument for a bad name or limit.
        """
        parent = self.root if parent is None else parent
        if not name or "/" in name:
            raise InvalidArgument(f"A cgroup's name is not empty and has no slash; {name!r} won't do.")
        if any(child.name == name for child in parent.children):
            raise Exists(f"There is a cgroup {name!r} in {parent.path} already; choose another name or parent.")
        if not parent.online:
            raise NotFound(f"The cgroup {parent.path} was removed; make a child of one that is there.")
        memcgid = next(i for i in range(2, len(self._by_id) + 3) if i not in self._by_id)
        if memcgid > MAX_MEMCG_ID:
            raise NoMemory(f"All {MAX_MEMCG_ID} cgroup ids are in use; remove cgroups first.")
        memcg = Memcg(self, memcgid, name, parent)
        memcg.max, memcg.swap_max, memcg.zswap_max = max, swap_max, zswap_max
        memcg.zswap_writeback = bool(zswap_writeback)
        self._by_id[memcgid] = memcg
        parent.children.append(memcg)
        return memcg

    def remove(self, memcg: Memcg) -> None:
        """Remove a cgroup (rmdir): what it holds in memory goes to its parent, its id stays while entries bear it.

        Busy if it has children, InvalidArgument for the root. That no process is in it is the caller's to see to.
        """
        parent = memcg.parent
        if parent is None:
            raise InvalidArgument("The root cgroup can't be removed.")
        if not memcg.online:
            raise NotFound(f"The cgroup {memcg.path} was removed already.")
        if memcg.children:
            raise Busy(f"The cgroup {memcg.path} has children; remove them first.")
        for folio in (*memcg.lruvec.inactive, *memcg.lruvec.active):
            memcg.lruvec.remove(folio)
            folio.memcg = parent
            parent.lruvec.add(folio)
            memcg.nr_pages -= folio.nr_pages
        memcg.online = False
        parent.children.remove(memcg)
        self._removed.add(memcg.id)
        self.forget_if_dead(memcg)

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
