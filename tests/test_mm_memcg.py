from __future__ import annotations

import pytest

from vswaplab.errors import Busy, Exists, InvalidArgument, NotFound
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.units import PAGE_SIZE


@pytest.fixture
def table() -> MemcgTable:
    return MemcgTable()


def chain(table: MemcgTable, **limits: str) -> tuple[Memcg, Memcg, Memcg]:
    parent = table.create("parent", **limits)
    return table.root, parent, table.create("child", parent=parent)


def test_the_root_has_id_1_and_no_cgroup_has_id_0(table: MemcgTable) -> None:
    assert table.root.id == 1
    assert [table.create(name).id for name in "abc"] == [2, 3, 4]
    assert table.get(0) is None


def test_paths_name_the_way_from_the_root(table: MemcgTable) -> None:
    assert [memcg.path for memcg in chain(table)] == ["/", "/parent", "/parent/child"]


def test_charges_count_here_and_in_all_ancestors(table: MemcgTable) -> None:
    root, parent, child = chain(table)
    child.charge(3)
    parent.charge(2)
    child.charge_zswap(100)
    assert child.try_charge_swap(4)
    assert [memcg.nr_pages for memcg in (root, parent, child)] == [5, 5, 3]
    assert [memcg.swap_pages for memcg in (root, parent, child)] == [4, 4, 4]
    assert [memcg.file("memory.zswap.current") for memcg in (root, child)] == ["100\n", "100\n"]
    child.uncharge(3)
    child.uncharge_zswap(100)
    child.uncharge_swap(4)
    assert (root.nr_pages, root.swap_pages, root.zswap_bytes) == (2, 0, 0)


def test_compressed_bytes_count_as_memory(table: MemcgTable) -> None:
    app = table.create("app")
    app.charge(1)
    app.charge_zswap(1)
    assert app.file("memory.current") == f"{2 * PAGE_SIZE}\n"


def test_a_limit_holds_for_the_subtree(table: MemcgTable) -> None:
    _, parent, child = chain(table, max="16K", swap_max="8K")
    child.charge(3)
    assert child.over_limit(1) is None
    assert child.over_limit(2) is parent
    assert child.try_charge_swap(2)
    assert not child.try_charge_swap(1)
    assert (child.swap_pages, parent.file("memory.swap.events")) == (2, "high 0\nmax 1\nfail 1\n")


@pytest.mark.parametrize(
    ("limit", "stored", "allowed"), [(None, 1 << 20, True), (0, 0, False), ("8K", 8191, True), ("8K", 8192, False)]
)
def test_zswap_stops_at_its_limit_which_may_be_0(
    table: MemcgTable, limit: str | int | None, stored: int, allowed: bool
) -> None:
    parent = table.create("parent", zswap_max=limit)
    child = table.create("child", parent=parent)
    child.charge_zswap(stored)
    assert child.may_zswap() is allowed


def test_any_ancestor_forbids_zswap_writeback(table: MemcgTable) -> None:
    _, parent, child = chain(table)
    assert child.zswap_writeback_enabled()
    parent.zswap_writeback = False
    assert not child.zswap_writeback_enabled()


def test_counts_reach_the_root_which_is_the_machines_vmstat(table: MemcgTable) -> None:
    root, parent, child = chain(table)
    child.count("zswpout", 3)
    parent.count("zswpout")
    assert [memcg.stat("zswpout") for memcg in (root, parent, child)] == [4, 4, 3]


def test_memory_stat_lists_amounts_in_bytes_and_events_as_counts(table: MemcgTable) -> None:
    app = table.create("app")
    app.charge_zswap(1000)
    app.count("pgfault", 7)
    stat = dict(line.split() for line in app.file("memory.stat").splitlines())
    assert (stat["zswap"], stat["zswapped"], stat["pgfault"], stat["anon"]) == ("1000", "4096", "7", "0")


def test_files_read_as_the_kernels_do(table: MemcgTable) -> None:
    app = table.create("app", max="4M", zswap_writeback=False)
    assert app.file("memory.max") == "4194304\n"
    assert app.file("memory.swap.max") == app.file("memory.zswap.max") == "max\n"
    assert app.file("memory.zswap.writeback") == "0\n"
    assert app.file("memory.events") == "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"
    with pytest.raises(NotFound, match=r"memory\.stat"):
        app.file("memory.pressure")
    with pytest.raises(InvalidArgument, match="zswpout"):
        app.stat("zwspout")


def test_limits_can_be_changed_and_lifted(table: MemcgTable) -> None:
    app = table.create("app", max="10000")
    assert app.max == 8192  # whole pages, as the kernel keeps it
    app.max = "max"
    assert app.max is None
    with pytest.raises(InvalidArgument, match=r"memory\.max"):
        app.max = "much"
    with pytest.raises(InvalidArgument, match="root"):
        table.root.max = "1M"


def test_names_are_unique_among_siblings(table: MemcgTable) -> None:
    _, parent, _ = chain(table)
    with pytest.raises(Exists):
        table.create("child", parent=parent)
    assert table.create("child").path == "/child"
    for bad in ("", "a/b"):
        with pytest.raises(InvalidArgument):
            table.create(bad)


def test_an_id_outlives_its_cgroup_while_entries_bear_it(table: MemcgTable) -> None:
    app = table.create("app")
    app.get_id(2)
    table.remove(app)
    assert table.get(app.id) is app
    assert table.create("next").id == 3
    app.put_id(2)
    assert table.get(2) is None
    assert table.create("third").id == 2


def test_only_empty_branches_can_be_removed(table: MemcgTable) -> None:
    root, parent, child = chain(table)
    with pytest.raises(Busy):
        table.remove(parent)
    table.remove(child)
    table.remove(parent)
    with pytest.raises(NotFound):
        table.remove(parent)
    with pytest.raises(NotFound):
        table.create("late", parent=parent)
    with pytest.raises(InvalidArgument):
        table.remove(root)
