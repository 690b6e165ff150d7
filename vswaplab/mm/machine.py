"""The machine: memory, processes, memory cgroups, and one design of swap.

>>> from vswaplab import Machine
>>> m = Machine(ram="1M")
>>> device = m.swapon(size="4M")
>>> p = m.spawn("app")
>>> region = p.mmap("64K")
>>> p.write(region.start, b"hello")
>>> m.reclaim()
1
>>> p.pte(region.start).entry is not None, p.read(region.start, 5)
(True, b'hello')

`Machine` is one object in floors, a module each: `memory` (frames and accounts), `reclaim`, `alloc`, `swapin`, `fault`,
`mappings`, `syscalls`, and this one, which is what users call. Nothing in it looks at a clock or at random numbers:
the same calls have the same effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from vswaplab.backends.checksums import VerifiedDevices
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.backends.zswap import Zswap
from vswaplab.errors import Busy, InvalidArgument, NotFound
from vswaplab.events import Event
from vswaplab.legacy.space import LegacySwap
from vswaplab.mm.alloc import MAX_IDLE_ROUNDS
from vswaplab.mm.invariants import check_machine
from vswaplab.mm.kswapd import Watermarks
from vswaplab.mm.memcg import Limit, Memcg, MemcgTable
from vswaplab.mm.process import Process
from vswaplab.mm.reclaim import DIRECT, PROACTIVE, SWAP_CLUSTER_MAX
from vswaplab.mm.syscalls import SwapSyscalls
from vswaplab.observe.ledger import AS_POSTED, Ledger, take_ledger
from vswaplab.observe.procfs import debugfs, procfs
from vswaplab.observe.snapshot import Snapshot, take_snapshot
from vswaplab.observe.tracepoints import Trace
from vswaplab.protocols import SwapSpace
from vswaplab.strict import choice, flag, instance, quoted, seed_number, whole_number
from vswaplab.units import PAGE_SIZE, format_size, pages_of
from vswaplab.virtual.space import VirtualSwap

__all__ = ["DESIGNS", "MAX_CPUS", "MAX_PAGES", "MIN_RAM_PAGES", "ZSWAP_DEFAULTS", "Machine", "check_zswap"]

DESIGNS: dict[str, Callable[..., SwapSpace]] = {"virtual": VirtualSwap, "legacy": LegacySwap}
"""Designs of swap by name: called with devices, zswap, memcgs, cpus and recorder."""

ZSWAP_DEFAULTS: Mapping[str, Any] = {
    "compressor": "zstd",
    "max_pool_percent": 20,
    "accept_threshold_percent": 90,
    "shrinker": False,
    "store_incompressible": True,
}
"""zswap's parameters and their defaults [S21]."""

MIN_RAM_PAGES = 4
"""Less can't hold a page, its copy and a compressed one."""
MAX_CPUS = 1024
MAX_PAGES = 1 << 52
"""More than any address space or device has: the bound of counts of pages."""
MAX_RECORDS = 1 << 30


def check_zswap(zswap: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return parameters for zswap; InvalidArgument for one it does not have, or a flag that is none."""
    if not isinstance(zswap, Mapping):
        raise InvalidArgument(f"zswap must be a dict of parameters, or None, not {quoted(zswap)}.")
    unknown = {quoted(name) for name in zswap if name not in ZSWAP_DEFAULTS}
    if unknown:
        raise InvalidArgument(f"zswap has no parameter {min(unknown)}; it has {', '.join(ZSWAP_DEFAULTS)}.")
    for name in ("shrinker", "store_incompressible"):
        flag(zswap.get(name, False), name)
    return zswap


def _trace(trace: int | bool, design: str) -> Trace | None:
    """Return the trace that a machine keeps, if it does; its memory is taken as records come."""
    if isinstance(trace, bool) or trace == 0:
        return Trace(design=design) if trace is True else None
    return Trace(whole_number(trace, "trace", 2, MAX_RECORDS), design)


class Machine(SwapSyscalls):
    """A machine of `ram` bytes (number or text like "16M") and `cpus` CPUs, with `design` of swap.

    `zswap`: parameters that differ from `ZSWAP_DEFAULTS`, or None for no zswap; mainline has it off by default, this
    model on. `seed`: for whoever generates work for the machine; the machine itself draws no random numbers.
    `trace`: how many events to keep, False for none.
    `page_cluster`: swap readahead in windows of ``1 << page_cluster`` pages, 0 for none. `privileged`: whether swapon
    and swapoff are allowed, EPERM if not. `verify`: keep a checksum of each page written to a device, and fail with EIO
    rather than read another. `min_free`: memory to keep free, in bytes or text, "auto" for a share of RAM, None for no
    kswapd (see `vswaplab.mm.kswapd`). `nodes`: NUMA nodes, each with an equal share of the CPUs; on each of them
    zswap has lists of its own. `default_priority`: what swapon gives a device without a priority: "equal", -1 to all,
    which take turns (since Linux 6.19); "falling", -2, -3 and on down, the first filled first (up to 6.18) [S48].
    `overcommit_memory`: 0, 1 or 2, as vm.overcommit_memory; with 2 swapoff may be refused up front (see `syscalls`).
    """

    def __init__(
        self,
        ram: int | str = "16M",
        design: str = "virtual",
        cpus: int = 2,
        seed: int = 0,
        zswap: Mapping[str, Any] | None = ZSWAP_DEFAULTS,
        *,
        page_cluster: int = 3,
        trace: int | bool = True,
        min_free: int | str | None = None,
        privileged: bool = True,
        verify: bool = False,
        nodes: int = 1,
        default_priority: str = "equal",
        overcommit_memory: int = 0,
    ) -> None:
        make = DESIGNS[choice(design, "design", DESIGNS)]
        cpus = whole_number(cpus, "cpus", 1, MAX_CPUS)
        seed = seed_number(seed)
        privileged, verify = flag(privileged, "privileged"), flag(verify, "verify")
        page_cluster = whole_number(page_cluster, "page_cluster", 0, 9)
        overcommit_memory = whole_number(overcommit_memory, "overcommit_memory", 0, 2)
        ram_pages = pages_of(ram, "ram")
        if ram_pages < MIN_RAM_PAGES:
            raise InvalidArgument(f"A machine needs at least {format_size(MIN_RAM_PAGES * PAGE_SIZE)} of ram.")
        zswap = None if zswap is None else check_zswap(zswap)
        if not isinstance(nodes, int) or isinstance(nodes, bool) or not 1 <= nodes <= cpus:
            raise InvalidArgument(f"{quoted(nodes)} NUMA nodes for {cpus} CPUs won't do; give 1 to {cpus}.")
        watermarks = Watermarks.of(ram_pages, min_free)
        memcgs = MemcgTable()
        record = _trace(trace, design)
        pool = Zswap(ram_pages, **{**ZSWAP_DEFAULTS, **zswap}, nodes=nodes) if zswap is not None else None
        devices = (VerifiedDevices if verify else SwapDevices)(cpus, default_priority)
        swap = make(devices=devices, zswap=pool, memcgs=memcgs, cpus=cpus, recorder=record)
        super().__init__(ram_pages, swap, memcgs, record)
        memcgs.host = self
        self.watermarks = watermarks
        self.design = design
        self.seed = seed
        self.page_cluster = page_cluster
        self.nodes = nodes
        self.online_cpus = list(range(cpus))
        self.privileged = privileged
        self.overcommit_memory = overcommit_memory
        self.trace: Trace | None = record
        """The log of all events, None if it is off."""
        self._closed = False

    # -- life ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the devices; closing twice is harmless. Files that `swapon` made are left where they are."""
        if not self._closed:
            self._closed = True
            for si in list(self.devices):
                si.device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def require_open(self) -> None:
        """InvalidArgument if the machine was closed."""
        if self._closed:
            raise InvalidArgument("The machine is closed; make another one.")

    def __repr__(self) -> str:
        used = f"{self.used_pages} of {self.ram_pages} pages in use"
        return f"<Machine {self.design} {used}, {len(self.processes)} processes, {len(self.devices)} swap devices>"

    # -- memory cgroups and processes ----------------------------------------------------------------------------

    def memcg(
        self,
        name: str,
        max: Limit = None,
        swap_max: Limit = None,
        zswap_max: Limit = None,
        zswap_writeback: bool = True,
        parent: Memcg | None = None,
        high: Limit = None,
    ) -> Memcg:
        """Make a memory cgroup below `parent` (None: the root). Limits in bytes or text, None for none."""
        return self.memcgs.create(name, max, swap_max, zswap_max, zswap_writeback, parent, high)

    def rmdir(self, memcg: Memcg) -> None:
        """Remove a memory cgroup. Busy while it has children or processes; what it holds passes to its parent."""
        inside = self.pids_in(instance(memcg, Memcg, "memcg"))
        if inside:
            raise Busy(f"Processes {inside} are in cgroup {memcg.path}; move them to another one, or end them.")
        self.memcgs.remove(memcg)

    def move(self, process: Process, memcg: Memcg) -> None:
        """Move a process to a memory cgroup: its later pages are charged there, those it has stay where they are.

        NotFound if the process has exited or the cgroup was removed.
        """
        instance(process, Process, "process")
        instance(memcg, Memcg, "memcg")
        if self.processes.get(process.pid) is not process:
            raise NotFound(f"Process {process.pid} has exited; move one that runs.")
        if not memcg.online:
            raise NotFound(f"The cgroup {memcg.path} was removed; use another one.")
        process.memcg = memcg

    def move_pid(self, pid: int, memcg: Memcg) -> None:
        """As `move`, for a process by its number: what writing cgroup.procs does. NotFound if there is none."""
        if whole_number(pid, "pid", 0, MAX_PAGES) not in self.processes:
            raise NotFound(f"There is no process {pid}; those there are: {sorted(self.processes)}.")
        self.move(self.processes[pid], memcg)

    def pids_in(self, memcg: Memcg) -> list[int]:
        """Return the numbers of the processes in a memory cgroup, rising; those below it are not among them."""
        return sorted(pid for pid, process in self.processes.items() if process.memcg is memcg)

    def memcg_offline(self, memcg: Memcg, parent: Memcg) -> None:
        """Give the compressed pages of a cgroup that is being removed to its parent, and what it charged with them."""
        if self.zswap is not None:
            self.zswap.reparent(memcg, parent)
            self._shrinker_offline(memcg, parent)
            memcg.zswap_bytes = memcg.zswap_stored = 0  # the parent had them in its counts all along

    def spawn(self, name: str = "process", memcg: Memcg | None = None, cpu: int = 0) -> Process:
        """Start a process without any memory, in a memory cgroup (None: the root), on a CPU."""
        self.require_open()
        memcg = self.root_memcg if memcg is None else instance(memcg, Memcg, "memcg")
        name, cpu = instance(name, str, "name"), whole_number(cpu, "cpu", 0, MAX_CPUS)
        if not memcg.online:
            raise NotFound(f"The cgroup {memcg.path} was removed; use another one.")
        if cpu not in self.online_cpus:
            raise InvalidArgument(f"CPU {cpu} is not on-line; those that are: {self.online_cpus}.")
        process = self._spawn(name, memcg, cpu)
        self.processes[process.pid] = process
        return process

    def cpu_offline(self, cpu: int) -> None:
        """Take a CPU off-line: what it had cached is dropped, its processes go to another. Busy for the last one."""
        if whole_number(cpu, "cpu", 0, MAX_CPUS) not in self.online_cpus:
            raise InvalidArgument(f"CPU {cpu} is not on-line; those that are: {self.online_cpus}.")
        if len(self.online_cpus) == 1:
            raise Busy(f"CPU {cpu} is the last one on-line; bring another one back first.")
        self.online_cpus.remove(cpu)
        for process in self.processes.values():
            if process.cpu == cpu:
                process.cpu = self.online_cpus[0]
        self._run_on(self.online_cpus[0])
        # A design that caches nothing of its own for a CPU has only the devices' hints to drop.
        self.swap.cpu_dead(cpu)

    def cpu_online(self, cpu: int) -> None:
        """Bring a CPU back that was taken off-line."""
        if whole_number(cpu, "cpu", 0, MAX_CPUS) in self.online_cpus or not 0 <= cpu < len(self.devices.percpu):
            raise InvalidArgument(f"CPU {cpu} is not off-line; the machine has {len(self.devices.percpu)} CPUs.")
        self.online_cpus = sorted([*self.online_cpus, cpu])

    # -- reclaim and write-back ----------------------------------------------------------------------------------

    def reclaim(self, pages: int | None = None, memcg: Memcg | None = None) -> int:
        """Reclaim `pages` pages from the machine or below a memory cgroup; return how many frames that freed.

        None pushes out all that can be, active and referenced pages too, in LRU order. A number follows the rules of
        pressure: unreferenced pages first, and fewer if no more can be had. Counted as memory.reclaim is for a cgroup
        (``pgsteal_proactive``), and for the machine as direct reclaim. `Machine.cancel` may end it early.
        """
        self.require_open()
        pages = None if pages is None else whole_number(pages, "pages", 0, MAX_PAGES)
        target = self.root_memcg if memcg is None else instance(memcg, Memcg, "memcg")
        asked = target.nr_pages if pages is None else pages
        kind = DIRECT if memcg is None else PROACTIVE
        self._stop = self.cancel
        try:
            freed = self._reclaim_all(target, kind) if pages is None else self._reclaim_pages(pages, target, kind)
        finally:
            self._stop = None
            self._settle()
        if self.record is not None:
            self.record(Event.RECLAIM, slot=freed, value=asked)
        return freed

    def _reclaim_pages(self, pages: int, target: Memcg, kind: str) -> int:
        freed = idle = 0
        # A round that frees nothing may have cleared the references that the next one wants to see gone.
        while freed < pages and idle < MAX_IDLE_ROUNDS and not self.cancelled():
            here = self._try_to_free_pages(pages - freed, target, kind)
            freed += here
            idle = 0 if here else idle + 1
        return freed

    def writeback(self, pages: int | None = None, memcg: Memcg | None = None) -> int:
        """Move compressed pages from zswap to a swapfile, cold ones first; None: all that can be. Return how many left
        zswap. One whose write fails is in memory then, dirty, in the swap cache. `Machine.cancel` may end it early.
        """
        self.require_open()
        pages = None if pages is None else whole_number(pages, "pages", 0, MAX_PAGES)
        memcg = None if memcg is None else instance(memcg, Memcg, "memcg")
        if self.zswap is None:
            return 0
        wanted, done = self.zswap.stored_pages if pages is None else pages, 0
        batch = wanted if self.cancel is None else SWAP_CLUSTER_MAX
        try:
            while done < wanted and not self.cancelled():
                here = self.swap.writeback(min(batch, wanted - done), memcg)
                done += here
                if here < batch:
                    break
        finally:
            self._settle()
        return done

    # -- what there is to see ------------------------------------------------------------------------------------

    def procfs(self, name: str) -> str:
        """Return what ``/proc/<name>`` reads, in the kernel's format: "swaps", "meminfo", "slabinfo" and more."""
        return procfs(self, instance(name, str, "name"))

    def debugfs(self, name: str) -> str:
        """Return what a file of debugfs reads: "zswap/stored_pages", "vswap/used" and their like."""
        return debugfs(self, instance(name, str, "name"))

    def dmesg(self) -> str:
        """Return the kernel's log as far as it is about swap: a line for each request that a device failed.

        The newest thousand are kept. Linux drops some where many come at once.
        """
        return "".join(f"{line}\n" for line in self.devices.log)

    def snapshot(self) -> Snapshot:
        """Return the state of page tables, slots, backings and devices, as a graph and as tables."""
        return take_snapshot(self)

    def ledger(self, mode: str = AS_POSTED) -> Ledger:
        """Return the bytes of swap's metadata by structure, counted "as posted" or "as allocated"."""
        return take_ledger(self, mode)

    def mark(self, label: str) -> None:
        """Name the phase that begins now, in the trace."""
        if self.trace is not None:
            self.trace.mark(instance(label, str, "label"))

    def check(self) -> None:
        """Check every invariant of every structure; InvariantError names the one that fails."""
        check_machine(self)
