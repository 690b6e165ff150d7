"""Snapshots are read off the live structures; that they equal the rebuilt state proves the trace complete."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswaplab import Backing, Machine, SwapError
from vswaplab.mm.process import Process, Region
from vswaplab.observe.state import State
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import page_bytes

CONTENTS = (ZERO_PAGE, *(page_bytes(kind, i) for kind in ("text", "heap", "random") for i in range(4)))


class Run:
    """Random operations on a machine."""

    def __init__(self, seed: int, zswap: bool = True) -> None:
        self.rng = random.Random(seed)
        self.machine = Machine(ram="256K", zswap={"max_pool_percent": 40} if zswap else None)
        self.spaces: dict[int, tuple[Process, list[Region]]] = {}
        self.machine.swapon(size="512K")
        self.spawn()

    def spawn(self) -> None:
        process = self.machine.spawn("app", memcg=None, cpu=self.rng.randrange(2))
        self.spaces[process.pid] = (process, [])
        self.mmap()

    def pick(self) -> tuple[Process, list[Region]]:
        return self.spaces[self.rng.choice(sorted(self.spaces))]

    def mmap(self) -> None:
        process, regions = self.pick()
        if len(regions) < 4:
            regions.append(process.mmap(self.rng.randrange(1, 24) * PAGE_SIZE, order=self.rng.choice((0, 0, 0, 2))))

    def somewhere(self) -> tuple[Process, int] | None:
        process, regions = self.pick()
        if not regions:
            return None
        region = self.rng.choice(regions)
        return process, region.start + self.rng.randrange(region.length // PAGE_SIZE) * PAGE_SIZE

    def write(self) -> None:
        where = self.somewhere()
        if where is not None:
            where[0].write(where[1], self.rng.choice(CONTENTS))

    def read(self) -> None:
        where = self.somewhere()
        if where is not None:
            where[0].read(where[1], 8)

    def munmap(self) -> None:
        process, regions = self.pick()
        if regions:
            process.munmap(regions.pop(self.rng.randrange(len(regions))))

    def fork(self) -> None:
        if len(self.spaces) < 4:
            process, regions = self.pick()
            child = process.fork()
            self.spaces[child.pid] = (child, list(regions))

    def exit(self) -> None:
        if len(self.spaces) > 1:
            process, _ = self.spaces.pop(self.rng.choice(sorted(self.spaces)))
            process.exit()

    def swapon(self) -> None:
        if len(self.machine.devices) < 3:
            self.machine.swapon(size=self.rng.choice(("64K", "256K")))

    def swapoff(self) -> None:
        devices = list(self.machine.devices)
        if devices:
            self.machine.swapoff(self.rng.choice(devices))

    def step(self) -> None:
        operation = self.rng.choices(
            (self.write, self.read, self.mmap, self.munmap, self.fork, self.exit, self.swapon, self.swapoff),
            (12, 8, 2, 1, 2, 1, 1, 1),
        )[0]
        rare = self.rng.random()
        try:
            if rare < 0.1:
                self.machine.reclaim(self.rng.choice((None, 5, 20)))
            elif rare < 0.2:
                self.machine.writeback(self.rng.randrange(1, 12))
            else:
                operation()
        except SwapError:
            pass  # out of memory, or swapoff with nowhere to go: an answer, not a failure


def replayed(machine: Machine) -> State:
    """Return the state that the machine's trace ends with."""
    assert machine.trace is not None
    return machine.trace.step(len(machine.trace) - 1)


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), zswap=st.booleans())
def test_the_live_state_equals_the_rebuilt_one_after_every_operation(seed: int, zswap: bool) -> None:
    run = Run(seed, zswap)
    for _ in range(60):
        run.step()
        assert run.machine.snapshot().state == replayed(run.machine)
    run.machine.check()


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_the_devices_own_rmap_gives_the_same_graph_as_the_descriptors(seed: int) -> None:
    run = Run(seed)
    for _ in range(80):
        run.step()
    snapshot = run.machine.snapshot()
    derived = snapshot.state.graph()
    assert dict(snapshot.graph.nodes(data=True)) == dict(derived.nodes(data=True))
    assert Counter(snapshot.graph.edges(data="kind")) == Counter(derived.edges(data="kind"))


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_counts_of_the_live_devices_and_clusters_follow_from_the_state(seed: int) -> None:
    run = Run(seed)
    for _ in range(80):
        run.step()
    snapshot = run.machine.snapshot()
    for row in snapshot.tables["devices"]:
        assert row["inuse_pages"] == snapshot.state.inuse_pages(row["type"])
    in_cluster = Counter(entry >> 9 for entry in snapshot.state.slots)
    assert {row["id"]: row["count"] for row in snapshot.tables["clusters"] if row["count"]} == in_cluster
    assert sum(slot.swap_count for slot in snapshot.state.slots.values()) == sum(
        not pte.present for pte in snapshot.state.ptes.values()
    )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine with a page in each of zswap, the zero page and the swapfile."""
    machine = Machine(ram="1M")
    machine.swapon(tmp_path / "swap.img", size="1M")
    process = machine.spawn("app")
    region = process.mmap(3 * PAGE_SIZE)
    process.write(region.start, page_bytes("text", 0) + ZERO_PAGE + page_bytes("heap", 0))
    machine.reclaim()
    machine.writeback(1)
    return machine


def test_a_snapshot_stays_when_the_machine_goes_on(machine: Machine) -> None:
    snapshot = machine.snapshot()
    before = snapshot.state.copy()
    for process in list(machine.processes.values()):
        process.exit()
    assert snapshot.state == before
    assert snapshot.graph.number_of_nodes() > 0
    assert machine.snapshot().state.slots == {}


def test_tables_name_processes_files_and_clusters(machine: Machine) -> None:
    tables = machine.snapshot().tables
    assert tables["processes"] == [{"pid": 1, "parent": 0, "name": "app"}]
    assert tables["devices"][0]["filename"].endswith("swap.img")
    assert tables["clusters"] == [{"id": 0, "order": 0, "count": 3, "state": "cached"}]
    assert [row["cache_only"] for row in tables["rmap"]] == [False]
    assert sorted(row["type"] for row in tables["virtual_slots"]) == ["SWAPFILE", "ZERO", "ZSWAP"]


def test_the_hover_names_cluster_and_file(machine: Machine) -> None:
    labels = machine.snapshot().labels
    assert labels.cluster(0) == "order 0, 3 of 512 slots in use, cached"
    assert labels.device(0) == "swapfile 0 (swap.img)"
    assert labels.process(1) == "process 1 (app)"


def test_lengths_are_those_of_the_compressed_objects(machine: Machine) -> None:
    state = machine.snapshot().state
    lengths = [slot.length for slot in state.slots.values() if slot.backing is Backing.ZSWAP]
    assert len(lengths) == 1
    assert 0 < lengths[0] < PAGE_SIZE
    assert machine.root_memcg.stat("zswap") == lengths[0]
