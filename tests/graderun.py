"""A run of ``vswaplab grade`` in a process of its own, seen from outside: its processes, its memory, what it leaves."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gradefarm import CANARY

from vswaplab.lab.grading.cgroup import Cgroup

FARM_MAIN = Path(__file__).with_name("gradefarm.py")
_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Become the parent of processes whose own has died, so that none can get lost."""
    libc, before = ctypes.CDLL(None), _children(os.getpid())
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)
        for pid in _children(os.getpid()) - before:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _children(pid: int) -> set[int]:
    """Return the children of a process, those that have ended and are not waited for among them."""
    found = set[int]()
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(child) for child in (task / "children").read_text(encoding="ascii").split()}
    return found


def descendants(pid: int, others: frozenset[int] = frozenset()) -> set[int]:
    """Return the processes below one that have not ended, those of `others` and below them left out.

    A browser that other tests of this process share starts and ends processes of its own all the time.
    """
    found, todo = set[int](), [pid]
    while todo:
        children = _children(todo.pop()) - others
        todo += children - found
        found |= children
    return {each for each in found if not _is_zombie(each)}


def _is_zombie(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] == "Z"
        )
    except (OSError, IndexError):
        return True


def private_bytes(pid: int) -> int:
    """Return the memory of a process, what it shares divided by those who share it; 0 if it has ended."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


class Run:
    """``vswaplab grade`` with arguments; memory and processes are looked at while it is waited for."""

    def __init__(self, arguments: Sequence[str], out: Path, scratch: Path) -> None:
        self.out, self.scratch = out, scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self.peak_bytes = self.main_bytes = 0
        self._before = frozenset(descendants(os.getpid()))
        self.checkers = set[int]()
        self._written = (scratch.parent / f"{scratch.name}.out").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, str(FARM_MAIN), "grade", *arguments, "--out", str(out)],
            stdin=subprocess.DEVNULL,
            stdout=self._written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "CANARY": CANARY, "TMPDIR": str(scratch), "PYTHONPATH": str(FARM_MAIN.parent)},
        )

    @property
    def said(self) -> str:
        return Path(self._written.name).read_text(encoding="utf-8")

    def graded(self) -> int:
        """Return how many results are kept."""
        with suppress(OSError):
            return (self.out / "results.jsonl").read_bytes().count(b'"digest"')
        return 0

    def wait(self, *, until: int | None = None, each: float = 0.1) -> int | None:
        """Wait until it has ended, or has so many results; return its status, None if it runs."""
        while (status := self.process.poll()) is None:
            if until is not None and self.graded() >= until:
                return None
            self._look()
            time.sleep(each)
        return status

    def _look(self) -> None:
        main = self.process.pid
        below = descendants(main)
        self.checkers |= _children(main)
        own = private_bytes(main)
        self.main_bytes = max(self.main_bytes, own)
        self.peak_bytes = max(self.peak_bytes, own + sum(map(private_bytes, below)))

    def end(self, number: int) -> float:
        """Send a signal, wait for the end, return how long that took."""
        self._look()
        started = time.monotonic()
        self.process.send_signal(signal.Signals(number))
        self.process.wait()
        return time.monotonic() - started

    def left(self, within: float = 10.0) -> list[str]:
        """Return what of it is left a little later, processes and temporary files; needs `adopting_orphans`."""
        until = time.monotonic() + within
        while (found := list(self._left())) and time.monotonic() < until:
            time.sleep(0.05)
        self._written.close()
        return found

    def _left(self) -> Iterator[str]:
        for pid in descendants(os.getpid(), self._before):
            with suppress(OSError):
                yield f"process {pid}: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
        yield from map(str, self.scratch.iterdir())

    def groups_left(self) -> list[str]:
        """Return the control groups that its checkers made and nobody removed."""
        own = Cgroup.make(1 << 30)
        if own is None:
            return []
        own.close()
        made = [path for pid in self.checkers for path in own.path.parent.glob(f"vswaplab-{pid}-*")]
        return sorted(path.name for path in made)
