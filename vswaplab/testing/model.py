"""What all operations of the random machine share: the machine, the dictionary of bytes beside it, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from errno import errorcode
from pathlib import Path
from typing import TYPE_CHECKING

from vswaplab.errors import DeviceIOError, NoMemory, SwapError
from vswaplab.testing.contents import Expected, TornPage
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswaplab.backends.device import Device
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.memcg import Memcg
    from vswaplab.mm.process import Process, Region
    from vswaplab.mm.shmem import ShmemFile

__all__ = ["Model"]

_Pages = dict[int, Expected]


class Model:
    """A machine beside a dictionary of pages for each process and file; pages never written are not in it: zeros."""

    def __init__(self, machine: Machine, tally: Counter[str] | None = None) -> None:
        self.machine = machine
        self.group: Memcg = machine.memcg("group")
        self.tally = Counter[str]() if tally is None else tally
        """Operations, errors by errno, faults by kind, pages and bytes verified; it may be shared by many."""
        self.model: dict[int, _Pages] = {}
        """Process id or file number -> page number -> contents."""
        self.devices_made: list[Device] = []
        """Every device that was ever on, for its counts."""
        self.folder: Path | None = None
        self.swapfiles = 0

    def count(self, what: str, nr: int = 1) -> None:
        """Add to the tally."""
        self.tally[what] += nr

    @contextmanager
    def may_fail(self, *more: type[SwapError]) -> Iterator[None]:
        """Let an operation fail for want of memory or with an I/O error, or with one of `more`, and count that."""
        expected: tuple[type[SwapError], ...] = (NoMemory, DeviceIOError, *more)
        try:
            yield
        except expected as error:
            self.count(f"error {errorcode[error.errno or 0]}")

    def check(self) -> None:
        """Check every invariant of every structure."""
        self.machine.check()
        self.count("checks")

    # -- choices -------------------------------------------------------------------------------------------------

    @property
    def processes(self) -> list[Process]:
        """Live processes, oldest first."""
        return list(self.machine.processes.values())

    @property
    def open_files(self) -> list[ShmemFile]:
        """Files there are, oldest first."""
        return list(self.machine.shmem_files.values())

    @property
    def groups(self) -> list[Memcg]:
        """The group and its children."""
        return list(self.group.subtree())

    def started(self) -> bool:
        """Whether there is a process."""
        return bool(self.machine.processes)

    def mapped(self) -> bool:
        """Whether any process has mapped anything."""
        return any(process.mm.vmas for process in self.processes)

    def some_process(self, who: int) -> Process:
        """Choose a process by any number."""
        return self.processes[who % len(self.processes)]

    def some_file(self, which: int) -> ShmemFile:
        """Choose a file by any number."""
        return self.open_files[which % len(self.open_files)]

    def some_region(self, who: int, where: int) -> tuple[Process, Region]:
        """Choose a process that has mapped something, and one of its regions."""
        able = [process for process in self.processes if process.mm.vmas]
        process = able[who % len(able)]
        return process, process.mm.vmas[where % len(process.mm.vmas)]

    def some_page(self, who: int, where: int) -> tuple[Process, Region]:
        """Choose a process that has mapped something, and one of its pages."""
        process, region = self.some_region(who, where)
        return process, region.page((where // len(process.mm.vmas)) % region.pages)

    def patience(self, nr: int | None) -> Callable[[], bool]:
        """Return a cancel hook that says no `nr` times, then yes; None: no always."""
        left = [nr]

        def signal() -> bool:
            if left[0] is None:
                return False
            left[0] -= 1
            return left[0] < 0

        return signal

    # -- bytes ---------------------------------------------------------------------------------------------------

    def expected(self, pid: int, page: int) -> Expected:
        """Return what a page of a process or file must hold."""
        return self.model[pid].get(page, ZERO_PAGE)

    def verify(self, pid: int, first: int, found: bytes) -> None:
        """Hold the bytes of whole pages that came back, from page `first` on, against those that are expected."""
        for at in range(0, len(found), PAGE_SIZE):
            data, page = found[at : at + PAGE_SIZE], first + at // PAGE_SIZE
            wanted = self.expected(pid, page)
            right = wanted.found(data) if isinstance(wanted, TornPage) else data == wanted
            assert right, f"Page {page:#x} of process or file {pid} came back other than it was written."
            self.count("pages verified")
            self.count("bytes verified", len(data))
