"""A control group around one submission, where the machine lets one be made: the bound on all of its memory at once.

Version 1 needs a memory hierarchy that may be written; version 2 a group that was delegated, such as the scope made by
``systemd-run --user --scope -p Delegate=yes``. Where neither is to be had, the limits of the process and the sizes of
its memory disks bound it instead (see `vswaplab.lab.grading.sandbox`).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

__all__ = ["Cgroup"]

_MOUNT = Path("/sys/fs/cgroup")
_PREFIX = "vswaplab-"
_NUMBERS = count()
_ENDS_WITHIN = 2.0
"""Seconds that killed processes may take to be gone; a group that is busy longer is swept by a later run."""
_LIMITS = {1: ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), 2: ("memory.max", "memory.swap.max")}
"""Files of the limit for memory and of that for swap (version 1: for both together), by version."""


@dataclass(frozen=True)
class Cgroup:
    """A group of processes with a limit of memory; `close` removes it."""

    path: Path
    version: int

    @classmethod
    def make(cls, nr_bytes: int, mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")) -> Self | None:
        """Return a new group that may take `nr_bytes` of memory and no swap, or None if none can be made here."""
        try:
            lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
            for _, controllers, path in lines:
                if "memory" in controllers.split(","):
                    return cls._limited(mount / "memory" / path.lstrip("/"), 1, nr_bytes)
            for number, controllers, path in lines:
                if number == "0" and not controllers:
                    return cls._limited(cls._delegated(mount / path.lstrip("/")), 2, nr_bytes)
        except (OSError, ValueError):
            pass
        return None

    @staticmethod
    def _delegated(base: Path) -> Path:
        """Return the group whose children may have limits: a group with processes of its own may have no such child."""
        if base.name == f"{_PREFIX}grader":
            return base.parent
        if "memory" not in (base / "cgroup.subtree_control").read_text(encoding="ascii").split():
            grader = base / f"{_PREFIX}grader"
            grader.mkdir(exist_ok=True)
            (grader / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            (base / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
        return base

    @classmethod
    def _limited(cls, base: Path, version: int, nr_bytes: int) -> Self:
        group = cls(base / f"{_PREFIX}{os.getpid()}-{next(_NUMBERS)}", version)
        group.path.mkdir()
        limit, swap = _LIMITS[version]
        try:
            _write(group.path / limit, str(nr_bytes))
            with suppress(FileNotFoundError):  # there where swap is accounted
                _write(group.path / swap, str(nr_bytes if version == 1 else 0))
        except OSError:
            group.close()
            raise
        return group

    @property
    def procs(self) -> Path:
        """The file that a process writes its number into, to be in the group."""
        return self.path / "cgroup.procs"

    def killed(self) -> bool:
        """Whether the limit ended a process."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        with suppress(OSError, ValueError):
            for line in (self.path / name).read_text(encoding="ascii").splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value) > 0
        return False

    def close(self) -> None:
        """End what is in the group and remove it.

        A sandbox's processes end one after the other, the learner's a moment after bubblewrap: a group that is removed
        at once is still busy.
        """
        until = time.monotonic() + _ENDS_WITHIN
        while not self._removed() and time.monotonic() < until:
            for pid in self._pids():
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def _removed(self) -> bool:
        with suppress(OSError):
            self.path.rmdir()
        return not self.path.exists()

    def _pids(self) -> list[int]:
        """Return the processes in the group; one of another PID namespace is read as 0, which names none."""
        with suppress(OSError, ValueError):
            return [pid for pid in map(int, self.procs.read_text(encoding="ascii").split()) if pid]
        return []

    @classmethod
    def sweep(cls, mount: Path = _MOUNT, own: Path = Path("/proc/self/cgroup")) -> None:
        """Remove the groups that killed graders left behind."""
        group = cls.make(1 << 30, mount, own)
        if group is None:
            return
        group.close()
        for left in group.path.parent.glob(f"{_PREFIX}*-*"):
            pid = left.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdigit() and not _runs(pid):
                cls(left, group.version).close()


def _runs(pid: str) -> bool:
    """Whether a process is there and has not ended; one that has may stay listed where nobody waits for it."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[:1] != ["Z"]
    return False


def _write(path: Path, text: str) -> None:
    with path.open("r+", encoding="ascii") as file:  # never made: a hierarchy without the file has no such limit
        file.write(text)
