"""Your own machine, read only: what its kernel says of swap, parsed from the files that Linux has for it.

`read_host` reads ``/proc/swaps``, ``meminfo``, ``vmstat``, zswap's parameters, its counters in debugfs, and the files
of the memory cgroup that the reader's process is in; from ``/`` or from any folder laid out like it. It opens for
reading and never writes. A file that is missing, may not be read or is not what it should be leaves None, and `notes`
says why in a sentence; a line that is not in the kernel's format is passed over, and counted in a note. What follows
from the numbers in both designs is in `vswaplab.observe.host_compare`. Formats: [BACKGROUND: fs/proc, mm/zswap.c,
cgroup v2].

>>> host = read_host("/")
>>> host.root, host.used is None or host.used >= 0
('/', True)
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.strict import path_of, read_bounded, shown
from vswaplab.units import PAGE_SIZE

__all__ = ["GROUP_FILES", "HOST_FILES", "PARAMETERS", "HostDevice", "HostSwap", "read_host"]

HOST_FILES = ("proc/swaps", "proc/meminfo", "proc/vmstat", "proc/sys/vm/swappiness")
PARAMETERS = ("accept_threshold_percent", "compressor", "enabled", "max_pool_percent", "shrinker_enabled")
"""Below sys/module/zswap/parameters."""
GROUP_FILES = (
    "memory.current",
    "memory.max",
    "memory.stat",
    "memory.swap.current",
    "memory.swap.max",
    "memory.zswap.current",
    "memory.zswap.max",
    "memory.zswap.writeback",
)
"""Of the memory cgroup; its root has none of the limits."""
_DEBUGFS = "sys/kernel/debug"
_ZSWAP_COUNTERS = (
    "pool_limit_hit",
    "pool_total_size",
    "reject_compress_fail",
    "reject_compress_poor",
    "reject_reclaim_fail",
    "stored_incompressible_pages",
    "stored_pages",
    "written_back_pages",
)
_MAX_BYTES = 1 << 20
_MAX_NUMBER = 1 << 63
_SWAPS_HEAD = re.compile(r"Filename\s+Type\s+Size\s+Used\s+Priority\s*")
_SWAPS_LINE = re.compile(r"(\S+)\s+(file|partition)\s+([0-9]{1,16})\s+([0-9]{1,16})\s+(-?[0-9]{1,5})\s*", re.ASCII)
_MEMINFO_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_()]{0,60}):\s+([0-9]{1,16})( kB)?\s*", re.ASCII)
_COUNT_LINE = re.compile(r"([a-z][a-z0-9_]{0,60}) ([0-9]{1,20})\s*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class HostDevice:
    """A line of /proc/swaps; sizes in bytes, `size` without the header."""

    path: str
    kind: str
    """"file" or "partition"."""
    size: int
    used: int
    priority: int


@dataclass(frozen=True)
class HostSwap:
    """What a machine says of its swap. None: it could not be read, and `notes` says why."""

    root: str
    page_size: int
    devices: tuple[HostDevice, ...] | None
    memory: Mapping[str, int] | None
    """/proc/meminfo: bytes, or a count for the few lines without a unit."""
    events: Mapping[str, int] | None
    """/proc/vmstat: pages or events since boot."""
    swappiness: int | None
    parameters: Mapping[str, str] | None
    """zswap's, by name, as they stand in their files."""
    counters: Mapping[str, int] | None
    """debugfs: ``zswap/stored_pages`` and so on, ``vswap/used`` where there is such a design."""
    group: Mapping[str, str] | None
    """Files of the memory cgroup, by name."""
    notes: tuple[str, ...]
    texts: Mapping[str, str] = field(repr=False)
    """Every file that could be read, by its path below the root; what can't be printed is a question mark."""

    @property
    def design(self) -> str:
        """Which design its kernel has: "virtual" if vswap's counters are there, else "legacy"."""
        return "virtual" if "vswap/used" in (self.counters or {}) else "legacy"

    @property
    def size(self) -> int | None:
        """Bytes of all swap devices."""
        return None if self.devices is None else sum(device.size for device in self.devices)

    @property
    def used(self) -> int | None:
        """Bytes of slots in use, of all swap devices."""
        return None if self.devices is None else sum(device.used for device in self.devices)

    @property
    def zswapped(self) -> int | None:
        """Bytes of pages in zswap before they were compressed [BACKGROUND: Zswapped in /proc/meminfo]."""
        return (self.memory or {}).get("Zswapped")

    @property
    def pool(self) -> int | None:
        """Bytes that zswap's pool takes up [BACKGROUND: Zswap in /proc/meminfo]."""
        return (self.memory or {}).get("Zswap")

    @property
    def pool_limit(self) -> int | None:
        """Bytes that the pool may take: max_pool_percent of RAM [S21]."""
        total, percent = (self.memory or {}).get("MemTotal"), (self.parameters or {}).get("max_pool_percent", "")
        return None if total is None or not 0 <= _whole(percent) <= 100 else total * _whole(percent) // 100

    @property
    def ratio(self) -> float | None:
        """Bytes of pages for each byte of the pool."""
        return self.zswapped / self.pool if self.zswapped and self.pool else None

    @property
    def telling(self) -> bool:
        """Whether there is something to compare: slots in use, and pages in zswap."""
        return bool(self.used and self.zswapped)

    def group_bytes(self, name: str) -> int | None:
        """Return a limit or an amount of the memory cgroup; None for "max" and where there is no such file."""
        value = _whole((self.group or {}).get(name, ""))
        return value if value >= 0 else None

    def lines(self, file: str, *names: str) -> str:
        """Return a file as the kernel wrote it, or only its lines that begin with one of `names`; "" if unread."""
        kept = self.texts.get(file, "").splitlines(keepends=True)
        return "".join(line for line in kept if not names or re.split(r"[:\s]", line, maxsplit=1)[0] in names)


def read_host(root: str | Path = "/") -> HostSwap:
    """Read a machine's swap from below `root`, without writing anything.

    NotFound if there is no such folder, InvalidArgument if it is none. Nothing that stands in the files is an error.
    """
    folder = path_of(root, "A root folder")
    if not folder.exists():
        raise NotFound(f"There is no folder {shown(folder)}; give one that is laid out like / is.")
    if not folder.is_dir():
        raise InvalidArgument(f"{shown(folder)} is no folder; give one that is laid out like / is.")
    files = _Files(folder)
    counters = _counters(files)
    return HostSwap(
        root=str(root),
        page_size=os.sysconf("SC_PAGE_SIZE") if folder.resolve() == Path("/") else PAGE_SIZE,
        devices=_devices(files),
        memory=_table(files, "proc/meminfo", _MEMINFO_LINE, lambda line: int(line[2]) << (10 if line[3] else 0)),
        events=_table(files, "proc/vmstat", _COUNT_LINE, lambda line: int(line[2])),
        swappiness=_number(files, "proc/sys/vm/swappiness", 200),
        parameters=_some(files, "sys/module/zswap/parameters", PARAMETERS, "this kernel may be built without zswap"),
        counters=counters,
        group=_group(files),
        notes=tuple(files.notes),
        texts=files.texts,
    )


class _Files:
    """The files below a root: text if it can be had, and a note if it can't."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
        self.texts: dict[str, str] = {}

    def text(self, name: str, *, quiet: bool = False) -> str | None:
        """Return what a file says, printable; None, with a note unless `quiet`, if it can't be had."""
        try:
            raw = read_bounded(self.root / name, _MAX_BYTES)
        except SwapError as error:
            if not quiet:
                self.notes.append(f"{name}: {_why(error)}")
            return None
        if b"\0" in raw:
            self.notes.append(f"{name} is not text, so nothing is taken from it.")
            return None
        text = "".join(
            letter if letter in "\n\t" or letter.isprintable() else "?" for letter in raw.decode("utf-8", "replace")
        )
        self.texts[name] = text
        return text

    def passed_over(self, name: str, lines: int) -> None:
        """Note how many lines of a file made no sense."""
        if lines:
            word = "line is" if lines == 1 else "lines are"
            self.notes.append(f"{name}: {lines} {word} not in the kernel's format, and passed over.")


def _why(error: SwapError) -> str:
    if isinstance(error, NotFound):
        return "there is no such file here."
    return "it may not be read by this user." if isinstance(error, PermissionError) else "it is no file to be read."


def _whole(text: str) -> int:
    """Return a whole number as the kernel writes one; -1 for anything else."""
    return int(text) if _NUMBER.fullmatch(text) and int(text) < _MAX_NUMBER else -1


def _devices(files: _Files) -> tuple[HostDevice, ...] | None:
    """Return the lines of /proc/swaps; None without its heading."""
    name = "proc/swaps"
    text = files.text(name)
    if text is None:
        return None
    head, *lines = text.splitlines() or [""]
    if not _SWAPS_HEAD.fullmatch(head):
        files.notes.append(f"{name} does not begin with the kernel's heading, so nothing is taken from it.")
        return None
    found = [_SWAPS_LINE.fullmatch(line) for line in lines]
    devices = [
        HostDevice(_plain(line[1]), line[2], int(line[3]) << 10, int(line[4]) << 10, int(line[5]))
        for line in found
        if line is not None and int(line[4]) <= int(line[3])
    ]
    files.passed_over(name, len(lines) - len(devices))
    return tuple(devices)


def _plain(path: str) -> str:
    """Return a path with the kernel's octal escapes (of a blank, a tab, a newline, a backslash) taken back."""
    letters = _ESCAPED.sub(lambda found: chr(int(found[1], 8) & 0xFF), path)
    return "".join(letter if letter.isprintable() else "?" for letter in letters)


def _table(
    files: _Files, name: str, form: re.Pattern[str], value: Callable[[re.Match[str]], int]
) -> Mapping[str, int] | None:
    """Return the numbers of a file by name, the first where a name comes twice; None if no line makes sense."""
    text = files.text(name)
    if text is None:
        return None
    found = [form.fullmatch(line) for line in text.splitlines()]
    table: dict[str, int] = {}
    for line in found:
        if line is not None and int(line[2]) < _MAX_NUMBER:
            table.setdefault(line[1], value(line))
    files.passed_over(name, len(found) - len(table))
    return table or None


def _number(files: _Files, name: str, most: int) -> int | None:
    text = files.text(name)
    if text is None:
        return None
    value = _whole(text.strip())
    if 0 <= value <= most:
        return value
    files.notes.append(f"{name} is no number from 0 to {most}.")
    return None


def _some(files: _Files, folder: str, names: tuple[str, ...], otherwise: str) -> Mapping[str, str] | None:
    """Return the files of a folder that have one word each; None, and one note for all, if there are none."""
    found = {}
    for name in names:
        text = files.text(f"{folder}/{name}", quiet=True)
        if text is not None and re.fullmatch(r"\S{1,64}\s?", text):
            found[name] = text.strip()
    if not found:
        files.notes.append(f"{folder}: nothing there can be read; {otherwise}.")
    return found or None


def _counters(files: _Files) -> Mapping[str, int] | None:
    """Return the counters of zswap and of virtual slots in debugfs, of those that can be read."""
    found = {}
    names = (*(f"zswap/{name}" for name in _ZSWAP_COUNTERS), "vswap/used", "vswap/alloc_reject")
    for name in names:
        value = _whole((files.text(f"{_DEBUGFS}/{name}", quiet=True) or "").strip())
        if value >= 0:
            found[name] = value
    if not found:
        files.notes.append(
            f"{_DEBUGFS}/zswap can't be read: root alone may, and debugfs must be mounted. "
            "/proc/meminfo has the two numbers that matter most."
        )
    return found or None


def _group(files: _Files) -> Mapping[str, str] | None:
    """Return the files of the memory cgroup v2 that the reading process is in, or of the nearest above that has any."""
    listed = re.search(r"^0::(/.*)$", files.text("proc/self/cgroup") or "", re.MULTILINE)
    parts = [part for part in (listed[1] if listed else "").split("/") if part]
    if listed is None:
        files.notes.append("The memory cgroup of this process is not one of version 2, so its files are not read.")
        return None
    if ".." in parts or any(len(part) > 255 for part in parts):
        files.notes.append("The memory cgroup of this process lies outside what it can see.")
        return None
    for top in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
        for depth in range(len(parts), -1, -1):
            folder = "/".join([top, *parts[:depth]])
            found = {name: files.text(f"{folder}/{name}", quiet=True) for name in GROUP_FILES}
            if found["memory.swap.current"] is not None or found["memory.current"] is not None:
                return {name: text.strip() for name, text in found.items() if text is not None}
    files.notes.append("The memory cgroup of this process has no files of memory: it may be the root.")
    return None
