"""One workload on both designs: the same bytes, the same faults, and every difference a counted one.

With room for all, a program can't tell which design it runs on: where its pages wait is the only thing that differs.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab import Machine
from vswaplab.mm.machine import DESIGNS
from vswaplab.testing import CONTENTS, page_of
from vswaplab.units import PAGE_SIZE

PAGES = 60

OP = st.tuples(
    st.sampled_from(["write", "write", "read", "fork", "reclaim", "writeback", "munmap", "exit"]),
    st.integers(0, PAGES - 1),
    st.integers(1, 40),
    st.sampled_from(CONTENTS),
    st.integers(0, 999),
)


class Run:
    """A machine of one design with a process, and what it has answered so far."""

    def __init__(self, design: str, zswap: dict[str, Any] | None, ram: int) -> None:
        self.m = Machine(ram=ram * PAGE_SIZE, design=design, zswap=zswap, page_cluster=0)
        self.m.swapon(size="4M")
        first = self.m.spawn("app")
        self.base = first.mmap(PAGES * PAGE_SIZE).start
        self.processes = [first]
        self.unmapped: set[tuple[int, int]] = set()
        self.answers: list[Any] = []

    def step(self, op: str, where: int, nr: int, kind: str, seed: int) -> None:
        process = self.processes[seed % len(self.processes)]
        pages = [i for i in range(where, min(where + nr, PAGES)) if (process.pid, i) not in self.unmapped]
        if op == "write":
            for i in pages:
                process.write(self.base + i * PAGE_SIZE, page_of(kind, seed + i))
        elif op == "read":
            self.answers += [process.read(self.base + i * PAGE_SIZE, PAGE_SIZE) for i in pages]
        elif op == "fork" and len(self.processes) < 3:
            child = process.fork()
            self.unmapped |= {(child.pid, i) for pid, i in self.unmapped if pid == process.pid}
            self.processes.append(child)
        elif op == "reclaim":
            self.m.reclaim(nr)
        elif op == "writeback":
            self.m.writeback(nr)
        elif op == "munmap" and pages:
            for i in pages:
                process.munmap(self.base + i * PAGE_SIZE, PAGE_SIZE)
            self.unmapped |= {(process.pid, i) for i in pages}
        elif op == "exit" and len(self.processes) > 1:
            self.processes.remove(process)
            process.exit()
        self.m.check()

    def faults(self) -> dict[str, int]:
        events = self.m.root_memcg.events
        return {name: events[name] for name in ("pgfault", "pgmajfault", "workingset_refault_anon")}


@settings(max_examples=60, deadline=None)
@given(
    ops=st.lists(OP, max_size=25),
    zswap=st.sampled_from([None, {"compressor": "lz4", "max_pool_percent": 50}]),
)
def test_the_same_bytes_and_the_same_faults(ops: list[Any], zswap: dict[str, Any] | None) -> None:
    runs = [Run(design, zswap, ram=400) for design in DESIGNS]
    for op in ops:
        for run in runs:
            run.step(*op)
        assert runs[0].faults() == runs[1].faults()
    for run in runs:
        run.step("read", 0, PAGES, "zero", 0)
    assert runs[0].answers == runs[1].answers


@settings(max_examples=40, deadline=None)
@given(ops=st.lists(OP, max_size=25))
def test_the_same_bytes_under_pressure(ops: list[Any]) -> None:
    """With little memory, write-back and reclaim go their own ways; what is read does not."""
    runs = [Run(design, {"max_pool_percent": 30}, ram=40) for design in DESIGNS]
    for op in ops:
        for run in runs:
            run.step(*op)
    for run in runs:
        run.step("read", 0, PAGES, "zero", 0)
    assert runs[0].answers == runs[1].answers


@pytest.mark.parametrize("kind", CONTENTS)
def test_used_counts_every_page_in_legacy_and_only_written_ones_in_virtual(kind: str) -> None:
    used = {}
    for design in DESIGNS:
        run = Run(design, {}, ram=400)
        run.step("write", 0, 40, kind, 1)
        run.m.reclaim()
        used[design] = sum(si.inuse_pages for si in run.m.devices)
    assert used == {"virtual": 0, "legacy": 40}
