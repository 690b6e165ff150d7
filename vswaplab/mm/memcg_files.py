"""The files of a memory cgroup: what each reads, and what may be written to it [BACKGROUND: cgroup v2].

`read_file` and `write_file` take and give the kernel's own text: limits are bytes, ``max`` for none, and are kept in
whole pages; sizes may have one of the suffixes K, M, G, T, P; `memory.zswap.writeback` is 0 or 1; `cgroup.procs` takes
one process id. `memory.reclaim` can only be written: a size, then perhaps ``swappiness=`` with 0 to 200 or max.

The root has no limits, but here its other files read as any cgroup's: they say what the whole machine has.

Events are hierarchical, as the kernel's are without ``memory_localevents``. There is no OOM killer in this model, so
`oom_kill` is always 0: a task that would be killed gets -ENOMEM instead, and `oom` counts it. In memory.swap.events
`fail` counts refusals by a memory.swap.max; reclaim does not ask for a slot where no device has one.

>>> parse_limit("4M\\n", "memory.max"), parse_limit("max", "memory.max")
(4194304, None)
>>> parse_reclaim("1M swappiness=60")
(256, 60)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from vswaplab.errors import Again, InvalidArgument, NotFound
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, SIZE_SUFFIXES, parse_size

if TYPE_CHECKING:
    from vswaplab.mm.memcg import Memcg

__all__ = [
    "MEMCG_FILES",
    "STAT_BYTES",
    "STAT_EVENTS",
    "WRITABLE_FILES",
    "MemcgHost",
    "parse_limit",
    "parse_reclaim",
    "read_file",
    "stat_item",
    "write_file",
]

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
    "pgscan_kswapd",
    "pgscan_direct",
    "pgscan_proactive",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "pgsteal_proactive",
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

_LIMIT_FILES = {
    "memory.max": "max",
    "memory.high": "high",
    "memory.swap.max": "swap_max",
    "memory.zswap.max": "zswap_max",
}
"""Which attribute of `Memcg` stands behind a file."""
MEMCG_FILES = (
    "cgroup.procs",
    "memory.current",
    "memory.events",
    "memory.high",
    "memory.max",
    "memory.reclaim",
    "memory.stat",
    "memory.swap.current",
    "memory.swap.events",
    "memory.swap.max",
    "memory.zswap.current",
    "memory.zswap.max",
    "memory.zswap.writeback",
)
"""The files there are, in the order of the alphabet."""
WRITABLE_FILES = ("cgroup.procs", *sorted(_LIMIT_FILES), "memory.reclaim", "memory.zswap.writeback")

_SIZE = re.compile(rf"\d{{1,18}}[{SIZE_SUFFIXES}]?", re.IGNORECASE | re.ASCII)
_PID = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_SWAPPINESS = re.compile(r"swappiness=(\d{1,3}|max)", re.ASCII)
_MAX_SWAPPINESS = 200


class MemcgHost(Protocol):
    """The machine, as its memory cgroups need it."""

    def reclaim(self, pages: int | None = None, memcg: Memcg | None = None) -> int:
        """Reclaim pages below a cgroup; return how many frames that freed."""
        ...

    def memcg_limit_lowered(self, memcg: Memcg, hard: bool) -> None:
        """Reclaim down to a memory.max (`hard`) or memory.high that was just set."""

    def memcg_offline(self, memcg: Memcg, parent: Memcg) -> None:
        """Give the compressed pages of a removed cgroup to its parent."""

    def move_pid(self, pid: int, memcg: Memcg) -> None:
        """Move a process into a cgroup; NotFound if there is none of that number."""

    def pids_in(self, memcg: Memcg) -> list[int]:
        """Return the numbers of the processes in a cgroup, rising."""
        ...


# -- reading -----------------------------------------------------------------------------------------------------


def read_file(memcg: Memcg, name: str) -> str:
    """Return what file `name` of a cgroup reads; NotFound if there is none, InvalidArgument for memory.reclaim."""
    match name:
        case "memory.current":
            return f"{memcg.usage_pages << PAGE_SHIFT}\n"
        case "memory.swap.current":
            return f"{memcg.swap_pages << PAGE_SHIFT}\n"
        case "memory.zswap.current":
            return f"{memcg.zswap_bytes}\n"
        case "memory.zswap.writeback":
            return f"{int(memcg.zswap_writeback)}\n"
        case "memory.stat":
            return "".join(f"{item} {stat_item(memcg, item)}\n" for item in (*STAT_BYTES, *STAT_EVENTS))
        case "memory.events":
            return "".join(f"{item} {memcg.events[item]}\n" for item in ("low", "high", "max", "oom", "oom_kill"))
        case "memory.swap.events":
            return f"high 0\nmax {memcg.events['swap.max']}\nfail {memcg.events['swap.fail']}\n"
        case "cgroup.procs":
            return "".join(f"{pid}\n" for pid in memcg.pids())
        case "memory.reclaim":
            raise InvalidArgument("memory.reclaim can only be written; write a size such as 4M to it.")
    if name in _LIMIT_FILES:
        limit = getattr(memcg, _LIMIT_FILES[name])
        return "max\n" if limit is None else f"{limit}\n"
    raise _no_file(name)


def stat_item(memcg: Memcg, item: str) -> int:
    """Return an item of memory.stat, what is below included: bytes for amounts, else a count of events.

    InvalidArgument if there is no such item.
    """
    if item in ("pgscan_direct", "pgsteal_direct"):
        # Whatever neither kswapd nor memory.reclaim asked for; so the usual case is counted once, not twice.
        total = item.removesuffix("_direct")
        return memcg.events[total] - memcg.events[f"{total}_kswapd"] - memcg.events[f"{total}_proactive"]
    if item in STAT_EVENTS or item in memcg.events:
        return memcg.events[item]
    if item == "zswap":
        return memcg.zswap_bytes
    if item == "zswapped":
        return memcg.zswap_stored << PAGE_SHIFT
    if item in STAT_BYTES:
        return sum(_lru_pages(each, item) for each in memcg.subtree()) << PAGE_SHIFT
    raise InvalidArgument(f"memory.stat has no item {item!r}; it has {', '.join(STAT_BYTES + STAT_EVENTS)}.")


def _lru_pages(memcg: Memcg, item: str) -> int:
    lruvec = memcg.lruvec
    if item == "inactive_anon":
        return lruvec.nr_inactive
    if item == "active_anon":
        return lruvec.nr_active
    folios = (*lruvec.inactive, *lruvec.active)
    if item == "swapcached":
        return sum(folio.nr_pages for folio in folios if folio.in_swapcache)
    shmem = item == "shmem"
    return sum(len(set(folio.mapped.values())) for folio in folios if folio.shmem == shmem)


# -- writing -----------------------------------------------------------------------------------------------------


def write_file(memcg: Memcg, name: str, text: str) -> None:
    """Write `text` to file `name` of a cgroup.

    InvalidArgument for text that the file does not take, NotFound for no such file, cgroup or process, Again if
    memory.reclaim reclaimed less than was asked for.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"{name} takes text, such as 'max' or '4M', not {type(text).__name__}.")
    if name not in MEMCG_FILES:
        raise _no_file(name)
    if name not in WRITABLE_FILES:
        raise InvalidArgument(f"{name} can only be read; those to write to are {', '.join(WRITABLE_FILES)}.")
    if not memcg.online:
        raise NotFound(f"The cgroup {memcg.path} was removed; write to one that is there.")
    if name in _LIMIT_FILES:
        setattr(memcg, _LIMIT_FILES[name], parse_limit(text, name))
    elif name == "memory.zswap.writeback":
        memcg.zswap_writeback = _parse_flag(text, name)
    elif name == "cgroup.procs":
        _move(memcg, text)
    else:
        _reclaim(memcg, text)


def parse_limit(text: str, what: str) -> int | None:
    """Return the bytes of a limit as written to a file, None for ``max``; InvalidArgument if it is neither."""
    return None if text.strip() == "max" else _parse_bytes(text.strip(), what, "a size in bytes, such as 4M, or max")


def parse_reclaim(text: str) -> tuple[int, int | None]:
    """Return (pages, swappiness or None) of what was written to memory.reclaim; InvalidArgument if it is not that."""
    expected = "a size such as 4M, then perhaps swappiness=0 to 200 or max"
    size, *keys = text.split() or [""]
    pages = _parse_bytes(size, "memory.reclaim", expected) >> PAGE_SHIFT
    swappiness = None
    for key in keys:
        match = _SWAPPINESS.fullmatch(key)
        if match is None or (match[1] != "max" and int(match[1]) > _MAX_SWAPPINESS):
            raise InvalidArgument(f"memory.reclaim takes {expected}, not {key[:40]!r}.")
        swappiness = _MAX_SWAPPINESS if match[1] == "max" else int(match[1])
    return pages, swappiness


def _parse_bytes(text: str, what: str, expected: str) -> int:
    if _SIZE.fullmatch(text) is None:
        raise InvalidArgument(f"{what} takes {expected}, not {text[:40]!r}.")
    return parse_size(text, what) & ~(PAGE_SIZE - 1)


def _parse_flag(text: str, what: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise InvalidArgument(f"{what} takes 0 or 1, not {text.strip()[:40]!r}.")
    return text.strip() == "1"


def _move(memcg: Memcg, text: str) -> None:
    if _PID.fullmatch(text.strip()) is None:
        raise InvalidArgument(f"cgroup.procs takes the number of a process, not {text.strip()[:40]!r}.")
    memcg.host.move_pid(int(text), memcg)


def _reclaim(memcg: Memcg, text: str) -> None:
    pages, swappiness = parse_reclaim(text)
    # All memory here is anonymous, and swappiness 0 means to leave that alone.
    freed = 0 if swappiness == 0 else memcg.reclaim(pages)
    if freed < pages:
        raise Again(
            f"memory.reclaim of {memcg.path} freed {freed} of {pages} pages; what is left is in use or has no place to "
            "go: try again, ask for less, or swap on a device."
        )


def _no_file(name: str) -> NotFound:
    return NotFound(f"A memory cgroup has no file {name[:60]!r} here; there are {', '.join(MEMCG_FILES)}.")
