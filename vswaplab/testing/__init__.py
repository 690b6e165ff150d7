"""Testing: a random driver that puts a machine through every operation and holds it to a dictionary of bytes.

`SwapMachine` is a hypothesis state machine. It maps, writes, reads, forks, unmaps, exits, keeps files in tmpfs,
reclaims, writes back, swaps devices on and off, takes CPUs off-line, tightens limits and makes devices fail, on a
machine so small that pressure is real. After each step every invariant is checked; at the end every byte is read back,
everything is let go, and nothing may be left over. What the trace says must equal what the structures hold.

Put a machine of your own through it by giving it a factory, and let pytest collect the test case:

    from functools import partial
    from vswaplab import Machine
    from vswaplab.testing import swap_machine

    TestMine = swap_machine(partial(Machine, design="virtual")).TestCase

It needs hypothesis, which the library itself does not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from vswaplab.backends.device import Device, MemoryDevice
from vswaplab.errors import DeviceIOError, Interrupted, NoMemory
from vswaplab.mm.machine import Machine
from vswaplab.mm.process import Process, Region
from vswaplab.testing.groups import GroupRules
from vswaplab.testing.rules import ANY, CONTENTS, page_of
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

__all__ = ["CONTENTS", "SlowMemoryDevice", "SwapMachine", "page_of", "swap_machine"]

_MAX_PROCESSES = 4
_MAX_DEVICES = 3

_DEVICE_KINDS = ("memory", "slow", "file")


class SlowMemoryDevice(MemoryDevice):
    """Memory that must be waited for, like a disk: swap-in reads ahead from it."""

    synchronous = False


class SwapMachine(GroupRules):
    """Drives a machine at random against a model that is a dictionary of pages for each process and file."""

    factory: ClassVar[Callable[..., Machine]] = Machine
    """Makes the machine; called with `ram`, `cpus`, `zswap` and `page_cluster`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.machine: Machine
        self.model: dict[int, dict[int, bytes]] = {}
        """Process id -> page number -> contents; pages never written are not there and read as zeros."""
        self.swapfiles = 0

    @initialize(
        ram=st.integers(24, 64),
        zswap=st.sampled_from([None, {}, {"compressor": "lz4", "max_pool_percent": 50}]),
        page_cluster=st.sampled_from([0, 2, 3]),
        device=st.none() | st.tuples(st.sampled_from(_DEVICE_KINDS), st.integers(3, 120)),
        order=st.sampled_from([0, 0, 2, 3]),
        grouped=st.booleans(),
        seed=ANY,
    )
    def start(
        self,
        ram: int,
        zswap: dict[str, Any] | None,
        page_cluster: int,
        device: tuple[str, int] | None,
        order: int,
        grouped: bool,
        seed: int,
    ) -> None:
        """Begin with a process that has written more than fits in memory, if there was any place to swap it to."""
        make = type(self).factory
        self.machine = make(ram=ram * PAGE_SIZE, cpus=2, zswap=zswap, page_cluster=page_cluster)
        self.group = self.machine.memcg("group")
        if device is not None:
            self.swapon(*device, priority=None, discard=False)
        self.spawn(cpu=0, grouped=grouped)
        process = self.some_process(0)
        region = process.mmap((ram + ram // 2) * PAGE_SIZE, order)
        for i in range(region.pages):
            if not self._write(process, region.page(i), page_of(CONTENTS[(seed + i) % len(CONTENTS)], seed + i)):
                break

    # -- choices -------------------------------------------------------------------------------------------------

    @property
    def processes(self) -> list[Process]:
        """Live processes, oldest first."""
        return list(self.machine.processes.values())

    def some_process(self, who: int) -> Process:
        """Choose a process by any number."""
        return self.processes[who % len(self.processes)]

    def some_page(self, who: int, where: int) -> tuple[Process, Region]:
        """Choose a process that has mapped something, and one of its pages."""
        able = [process for process in self.processes if process.mm.vmas]
        process = able[who % len(able)]
        regions = process.mm.vmas
        region = regions[where % len(regions)]
        return process, region.page((where // len(regions)) % region.pages)

    def expected(self, process: Process, page: Region) -> bytes:
        """Return what a page must hold."""
        return self.model[process.pid].get(page.vpn, ZERO_PAGE)

    def started(self) -> bool:
        """Whether there is a process."""
        return hasattr(self, "machine") and bool(self.machine.processes)

    def mapped(self) -> bool:
        """Whether any process has mapped anything."""
        return self.started() and any(process.mm.vmas for process in self.processes)

    # -- processes and memory ------------------------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "machine") and len(self.processes) < _MAX_PROCESSES)
    @rule(cpu=st.integers(0, 1), grouped=st.booleans())
    def spawn(self, cpu: int, grouped: bool) -> None:
        """A process starts, in the root cgroup or in the group."""
        cpus = self.machine.online_cpus
        process = self.machine.spawn("app", self.group if grouped else None, cpus[cpu % len(cpus)])
        self.model[process.pid] = {}

    @precondition(started)
    @rule(who=ANY, pages=st.integers(1, 24), order=st.sampled_from([0, 0, 2, 3]))
    def mmap(self, who: int, pages: int, order: int) -> None:
        """A process maps memory."""
        process = self.some_process(who)
        if sum(vma.pages for vma in process.mm.vmas) < 128:
            process.mmap(pages * PAGE_SIZE, order)

    @precondition(mapped)
    @rule(who=ANY, where=ANY, kind=st.sampled_from(CONTENTS), seed=ANY, count=st.integers(1, 30))
    def write(self, who: int, where: int, kind: str, seed: int, count: int) -> None:
        """A process writes some pages whole, one after the other."""
        process, page = self.some_page(who, where)
        for i in range(count):
            self._write(process, page, page_of(kind, seed + i))
            page = Region(page.end, PAGE_SIZE)
            if process.mm.find(page.vpn) is None:
                return

    def _write(self, process: Process, page: Region, data: bytes) -> bool:
        """Write a page; False if there was an error, and then the page is as it was."""
        try:
            process.write(page.start, data)
        except (NoMemory, DeviceIOError):
            return False
        self.model[process.pid][page.vpn] = data
        return True

    @precondition(mapped)
    @rule(who=ANY, where=ANY, offset=st.integers(0, PAGE_SIZE - 1), data=st.binary(min_size=1, max_size=64))
    def write_a_part(self, who: int, where: int, offset: int, data: bytes) -> None:
        """A process writes a few bytes."""
        process, page = self.some_page(who, where)
        data = data[: PAGE_SIZE - offset]
        old = self.expected(process, page)
        with self.may_fail():
            process.write(page.start + offset, data)
            self.model[process.pid][page.vpn] = old[:offset] + data + old[offset + len(data) :]

    @precondition(mapped)
    @rule(who=ANY, where=ANY)
    def read(self, who: int, where: int) -> None:
        """A process reads a page: what it wrote, or an error."""
        process, page = self.some_page(who, where)
        with self.may_fail():
            self.verified(process.read(page.start, PAGE_SIZE), self.expected(process, page), f"page {page.vpn:#x}")

    @precondition(mapped)
    @rule(who=ANY, where=ANY, write=st.booleans())
    def touch(self, who: int, where: int, write: bool) -> None:
        """A process touches a whole region, as far as memory goes."""
        process, page = self.some_page(who, where)
        region = process.mm.find(page.vpn)
        assert region is not None
        with self.may_fail():
            process.touch(region, write)

    @precondition(lambda self: self.started() and len(self.processes) < _MAX_PROCESSES)
    @rule(who=ANY)
    def fork(self, who: int) -> None:
        """A process forks."""
        parent = self.some_process(who)
        child = parent.fork()
        self.model[child.pid] = dict(self.model[parent.pid])

    @precondition(mapped)
    @rule(who=ANY, where=ANY, pages=st.integers(1, 30))
    def munmap(self, who: int, where: int, pages: int) -> None:
        """A process unmaps some pages, perhaps across regions."""
        process, page = self.some_page(who, where)
        process.munmap(page.start, pages * PAGE_SIZE)
        for vpn in range(page.vpn, page.vpn + pages):
            self.model[process.pid].pop(vpn, None)

    @precondition(lambda self: self.started() and len(self.processes) > 1)
    @rule(who=ANY)
    def exit(self, who: int) -> None:
        """A process exits."""
        process = self.some_process(who)
        process.exit()
        del self.model[process.pid]

    # -- pressure ------------------------------------------------------------------------------------------------

    @precondition(started)
    @rule(pages=st.none() | st.integers(0, 40), grouped=st.booleans())
    def reclaim(self, pages: int | None, grouped: bool) -> None:
        """Somebody reclaims, from all or from the group."""
        self.machine.reclaim(pages, self.group if grouped else None)

    @precondition(started)
    @rule(pages=st.integers(1, 20))
    def writeback(self, pages: int) -> None:
        """Compressed pages go to a device."""
        self.machine.writeback(pages)

    @precondition(started)
    @rule(cpu=st.integers(0, 1))
    def hotplug(self, cpu: int) -> None:
        """A CPU goes or comes back."""
        if cpu not in self.machine.online_cpus:
            self.machine.cpu_online(cpu)
        elif len(self.machine.online_cpus) > 1:
            self.machine.cpu_offline(cpu)

    # -- devices -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.started() and len(self.machine.devices) < _MAX_DEVICES)
    @rule(
        kind=st.sampled_from(_DEVICE_KINDS),
        pages=st.integers(3, 120),
        priority=st.none() | st.integers(0, 3),
        discard=st.booleans(),
    )
    def swapon(self, kind: str, pages: int, priority: int | None, discard: bool) -> None:
        """A device is swapped on: fast memory, slow memory, or a file."""
        device: Device | Path | None = SlowMemoryDevice(pages * PAGE_SIZE) if kind == "slow" else None
        if kind == "file":
            if self.folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="vswaplab-"))
            self.swapfiles += 1
            device = self.folder / f"swap{self.swapfiles}.img"
        size = None if kind == "slow" else pages * PAGE_SIZE
        self.machine.swapon(device, size=size, priority=priority, discard=discard)

    @precondition(lambda self: self.started() and len(self.machine.devices) > 0)
    @rule(which=ANY, patience=st.none() | st.integers(0, 40))
    def swapoff(self, which: int, patience: int | None) -> None:
        """A device is swapped off, unless memory is short, it can't be read, or a signal comes."""
        devices = list(self.machine.devices)
        left = [patience]

        def signal() -> bool:
            if left[0] is None:
                return False
            left[0] -= 1
            return left[0] < 0

        with self.may_fail(Interrupted):
            self.machine.swapoff(devices[which % len(devices)], cancel=signal)

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        """Every invariant of every structure."""
        if hasattr(self, "machine"):
            self.count("operations")
            self.machine.check()

    def teardown(self) -> None:
        """Every byte comes back, the trace tells the truth, and nothing is left over."""
        try:
            if hasattr(self, "machine"):
                self._read_everything()
                self._trace_is_true()
                self._let_everything_go()
                self.count("machines")
        finally:
            if hasattr(self, "machine"):
                self.machine.close()
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _read_everything(self) -> None:
        """With the faults and limits gone and room to swap, nothing may stand in the way of reading."""
        self.let_everything_work()
        self.machine.swapon(size="4M")
        for process in self.processes:
            for region in process.mm.vmas:
                for i in range(region.pages):
                    page = region.page(i)
                    found = process.read(page.start, PAGE_SIZE)
                    what = f"page {page.vpn:#x} of process {process.pid}"
                    self.verified(found, self.expected(process, page), what)
        self.read_all_files()
        self.machine.check()

    def _trace_is_true(self) -> None:
        trace = self.machine.trace
        if trace is not None and not trace.first:
            difference = trace.step(len(trace) - 1).diff(self.machine.snapshot().state)
            assert not difference, f"the trace and the structures disagree: {difference}"

    def _let_everything_go(self) -> None:
        machine = self.machine
        for process in self.processes:
            process.exit()
        for file in self.open_files:
            file.unlink()
        machine.check()
        left = {
            "virtual slots": machine.swap.used if hasattr(machine.swap, "used") else 0,
            "compressed pages": machine.zswap.stored_pages if machine.zswap is not None else 0,
            "physical slots": sum(si.inuse_pages for si in machine.devices),
            "frames": len(machine.frames) - 1,  # the zero page stays
            "charged pages": sum(memcg.nr_pages + memcg.swap_pages + memcg.zswap_bytes for memcg in machine.memcgs),
            "references on cgroup ids": sum(memcg.id_refs for memcg in machine.memcgs),
        }
        assert not any(left.values()), f"left over: {left}"
        for si in list(machine.devices):
            machine.swapoff(si)
        for group in reversed(self.groups):
            machine.rmdir(group)
        machine.check()


def swap_machine(factory: Callable[..., Machine]) -> type[SwapMachine]:
    """Return the state machine for machines that `factory` makes; its ``TestCase`` is for pytest to collect."""
    return type("SwapMachine", (SwapMachine,), {"factory": staticmethod(factory)})
