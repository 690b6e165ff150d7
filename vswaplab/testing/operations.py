"""All operations of the random machine, how one begins, and what must hold when it ends."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from vswaplab.entry import PTE_POISON, pte_to_entry
from vswaplab.errors import SwapError
from vswaplab.testing.contents import CONTENTS, page_of
from vswaplab.testing.devices import DEVICE_KINDS, DeviceOperations
from vswaplab.testing.draws import ANY, Draw, Operation, flags, one_of, operations_of, whole
from vswaplab.testing.faults import FaultOperations
from vswaplab.testing.files import FileOperations
from vswaplab.testing.groups import GroupOperations
from vswaplab.testing.processes import ProcessOperations
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.process import Process
    from vswaplab.mm.shmem import ShmemFile

__all__ = ["OPERATIONS", "SHAPE", "Operations"]

SHAPE: Mapping[str, Draw] = {
    "ram": whole(24, 64),
    "cpus": one_of(1, 2, 2, 4),
    "nodes": one_of(1, 1, 2),
    "zswap": one_of(
        None,
        {},
        {"compressor": "lz4", "max_pool_percent": 50},
        {"compressor": "deflate", "shrinker": True},
        {"store_incompressible": False, "accept_threshold_percent": 50},
    ),
    "page_cluster": one_of(0, 2, 3),
    "verify": flags(),
    "min_free": one_of(None, None, "8K", "16K", "auto"),
    "default_priority": one_of("equal", "equal", "falling"),
    "device": one_of(None, *DEVICE_KINDS),
    "slots": whole(3, 120),
    "order": one_of(0, 0, 2, 3),
    "seed": ANY,
}
"""What a machine is drawn as; `ram` and `slots` in pages."""


class Operations(ProcessOperations, FileOperations, GroupOperations, DeviceOperations, FaultOperations):
    """One machine, driven one operation at a time."""

    @classmethod
    def begin(cls, factory: Callable[..., Machine], tally: Counter[str] | None = None, **shape: Any) -> Operations:
        """Make a machine of a `SHAPE`, with a process that has written more than fits in memory, as far as it got."""
        machine = factory(
            ram=shape["ram"] * PAGE_SIZE,
            cpus=shape["cpus"],
            nodes=min(shape["nodes"], shape["cpus"]),
            zswap=shape["zswap"],
            page_cluster=shape["page_cluster"],
            verify=shape["verify"],
            min_free=shape["min_free"],
            default_priority=shape["default_priority"],
        )
        made = cls(machine, tally)
        try:
            made._fill(**shape)
        except BaseException:
            made.close()
            raise
        return made

    def _fill(self, ram: int, device: str | None, slots: int, order: int, seed: int, **_: Any) -> None:
        if device is not None:
            self.swapon(device, slots, priority=None, discard=False)
        self.spawn(cpu=0, which=seed)
        process = self.some_process(0)
        region = process.mmap((ram + ram // 2) * PAGE_SIZE, order)
        for i in range(region.pages):
            if not self.write_page(process, region.page(i), page_of(CONTENTS[(seed + i) % len(CONTENTS)], seed + i)):
                break

    def do(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Do one operation, then check every invariant."""
        getattr(self, name)(**arguments)
        self.count(f"did {name}")
        self.count("operations")
        self.check()

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Every byte comes back, the trace tells the truth, and nothing is left over; AssertionError if not."""
        self._read_everything()
        self._trace_is_true()
        self._let_everything_go()
        self.count("machines")

    def close(self) -> None:
        """Close the machine, count the requests that failed, and remove what was made for it."""
        self.machine.close()
        for device in self.devices_made:
            for kind in ("read", "write", "discard"):
                if nr := getattr(device, f"{kind}_errors"):
                    self.count(f"failed {kind}", nr)
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read_everything(self) -> None:
        """With the faults and limits gone and room to swap, nothing may stand in the way of reading."""
        self.let_everything_work()
        # Clusters for every order, and asked first: without a run a large folio stays in memory, were that full of it.
        self.machine.swapon(size="16M", priority=32767)
        self._shrink_pool()
        self.machine.reclaim()  # what an interrupted swapoff could not read goes, and is read anew
        for process in self.processes:
            for region in process.mm.vmas:
                for vpn in range(region.vpn, region.end_vpn):
                    self._read_back(process, vpn, partial(process.read, vpn * PAGE_SIZE, PAGE_SIZE))
        for file in self.open_files:
            for index in range(file.pages):
                self._read_back(file, index, partial(file.read, index * PAGE_SIZE, PAGE_SIZE))
        self.check()

    def _read_back(self, mapper: Process | ShmemFile, page: int, read: Callable[[], bytes]) -> None:
        """Read a page and hold it against what it must be; only a page that a swapoff could not read may fail."""
        try:
            data = read()
        except SwapError as error:
            if not self._may_be_lost(mapper, page):
                raise AssertionError(f"A page could not be read back though nothing fails any more: {error}") from error
            self.count("pages unread at swapoff")
            return
        self.verify(mapper.pid, page, data)

    def _may_be_lost(self, mapper: Process | ShmemFile, page: int) -> bool:
        """Whether a page could not be read at a swapoff: its PTE says so, or its folio, and some read did fail."""
        machine, pte = self.machine, mapper.mm.page_table.get(page)
        failed = machine.devices.read_errors + (machine.zswap.decompress_fail if machine.zswap is not None else 0)
        if not failed or pte == PTE_POISON:
            return failed > 0
        folio = machine.swap.swap_cache_get_folio(pte_to_entry(pte))
        return folio is not None and not folio.uptodate

    def _shrink_pool(self) -> None:
        """Write back what the pool holds beyond its limit: it may have been as large as memory, which leaves no page to
        read with, and nothing but a store makes it smaller.
        """
        zswap = self.machine.zswap
        while zswap is not None and zswap.pool_pages > zswap.max_pages and self.machine.writeback(1):
            pass

    def _trace_is_true(self) -> None:
        trace = self.machine.trace
        if trace is not None and not trace.first:
            difference = trace.step(len(trace) - 1).diff(self.machine.snapshot().state)
            assert not difference, f"The trace and the structures disagree: {difference}"

    def _let_everything_go(self) -> None:
        machine = self.machine
        for process in self.processes:
            process.exit()
        for file in self.open_files:
            file.unlink()
        self.check()
        left = {
            "virtual slots": machine.swap.used if hasattr(machine.swap, "used") else 0,
            "compressed pages": machine.zswap.stored_pages if machine.zswap is not None else 0,
            "physical slots": sum(si.inuse_pages for si in machine.devices),
            "frames": len(machine.frames) - 1,  # the zero page stays
            "charged pages": sum(memcg.nr_pages + memcg.swap_pages + memcg.zswap_bytes for memcg in machine.memcgs),
            "references on cgroup ids": sum(memcg.id_refs for memcg in machine.memcgs),
        }
        assert not any(left.values()), f"Left over: {left}"
        for si in list(machine.devices):
            machine.swapoff(si)
        for group in reversed(self.groups):
            machine.rmdir(group)
        self.check()


OPERATIONS: tuple[Operation, ...] = tuple(operations_of(Operations))
"""All of them, by name."""
