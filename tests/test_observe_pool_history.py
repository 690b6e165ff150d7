"""zswap's pool played again from the trace is the pool that the machine has: objects, order by age, second chances."""

from __future__ import annotations

from typing import Any

import pytest

from vswaplab import Machine
from vswaplab.observe.pool_history import FREE, REFUSED, STORE, VISIT, PoolHistory
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_page_array


def busy(design: str, tight: bool) -> Machine:
    """A machine whose zswap was filled, written back from, read from and filled again; `tight`: beyond its limit."""
    machine = Machine(ram="2M", design=design, page_cluster=0, zswap={"max_pool_percent": 12 if tight else 50})
    machine.swapon(size="4M")
    app = machine.spawn("app")
    region = app.mmap(500 * PAGE_SIZE)
    pages = real_page_array()[::4]
    for i in range(500):
        app.write(region.start + i * PAGE_SIZE, pages[i].tobytes())
    machine.reclaim(100)
    machine.writeback(20)
    app.touch(region.addresses()[:80])
    machine.writeback(5)
    child = app.fork()
    child.touch(region.addresses()[200:240])
    app.munmap(region.start + 300 * PAGE_SIZE, 60 * PAGE_SIZE)
    machine.reclaim(60)
    return machine


@pytest.fixture(params=[(d, t) for d in ("virtual", "legacy") for t in (False, True)], ids=str)
def machine(request: pytest.FixtureRequest) -> Machine:
    return busy(*request.param)


def test_objects_lie_where_the_machines_do(machine: Machine) -> None:
    assert machine.trace is not None
    assert machine.zswap is not None
    history, pool = PoolHistory(machine.trace), machine.zswap.pools[0].zspool
    assert history.pool.classes_table() == pool.classes_table()
    assert history.pool.total_pages == pool.total_pages
    theirs = {int(ze.swpentry): pool.object_size(ze.handle) for ze in machine.zswap.entries()}
    mine = {entry: history.pool.object_size(where[0]) for entry, where in history._where.items()}
    assert mine == theirs


def test_order_by_age_and_second_chances_are_the_machines(machine: Machine) -> None:
    assert machine.trace is not None
    assert machine.zswap is not None
    history = PoolHistory(machine.trace)
    for (memcg, _), lru in machine.zswap.lrus.items():
        assert list(history.lrus[memcg]) == [int(ze.swpentry) for ze in lru]


def test_second_chances_are_exact_where_write_back_alone_looks() -> None:
    machine = busy("virtual", False)
    assert machine.trace is not None
    assert machine.zswap is not None
    history = PoolHistory(machine.trace)
    (lru,) = machine.zswap.lrus.values()
    assert list(history.lrus[1].items()) == [(int(ze.swpentry), ze.referenced) for ze in lru]


def test_operations_add_up_to_the_counters(machine: Machine) -> None:
    assert machine.trace is not None
    ops: Any = PoolHistory(machine.trace).operations
    events = machine.root_memcg.events
    assert (ops["op"] == STORE).sum() == events["zswpout"]
    assert ((ops["op"] == FREE) & (ops["why"] == 0)).sum() == events["zswpwb"]
    assert (ops["op"] == VISIT).sum() >= events["zswpwb"]
    refused = (ops["op"] == REFUSED) & (ops["why"] == 0)
    assert refused.sum() == events["pswpout"] - events["zswpwb"]
