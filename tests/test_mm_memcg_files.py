"""The files of memory cgroups: what they take, what they read, and which event changes which line."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from mmkit import contents, fill, machine, text

from vswaplab import InvalidArgument, Machine, NoMemory, NotFound
from vswaplab.errors import Again
from vswaplab.mm.memcg import MAX_HIGH_DELAY_USEC, STAT_BYTES, STAT_EVENTS, Memcg, MemcgTable
from vswaplab.mm.memcg_files import MEMCG_FILES, WRITABLE_FILES, parse_limit, parse_reclaim
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])


def stat(memcg: Memcg) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in memcg.file("memory.stat").splitlines())}


def events(memcg: Memcg) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in memcg.file("memory.events").splitlines())}


def put(process: Process, page: bytes, pages: int = 1, order: int = 0) -> Region:
    region = process.mmap(pages * PAGE_SIZE, order)
    process.write(region.start, page * pages)
    return region


# -- what files take -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["memory.max", "memory.high", "memory.swap.max", "memory.zswap.max"])
@pytest.mark.parametrize(
    ("given", "reads"),
    [
        ("4M", "4194304\n"),
        ("4m\n", "4194304\n"),
        ("1048576", "1048576\n"),
        ("5000", "4096\n"),
        ("0", "0\n"),
        ("max", "max\n"),
        ("max\n", "max\n"),
    ],
)
def test_a_limit_takes_what_the_kernel_takes_and_reads_back_in_whole_pages(name: str, given: str, reads: str) -> None:
    app = MemcgTable().create("app")
    app.write(name, given)
    assert app.file(name) == reads


@pytest.mark.parametrize("name", ["memory.max", "memory.high", "memory.swap.max", "memory.zswap.max"])
@pytest.mark.parametrize("bad", ["", "much", "-1", "1.5M", "4 M", "4MB", "nan", "inf", "1e9", "1M 2M", "٤", "9" * 40])
def test_anything_else_is_refused_with_one_sentence_and_changes_nothing(name: str, bad: str) -> None:
    app = MemcgTable().create("app", max="1M", high="1M", swap_max="1M", zswap_max="1M")
    with pytest.raises(InvalidArgument, match=name.replace(".", r"\.")) as caught:
        app.write(name, bad)
    assert len(str(caught.value)) < 160
    assert app.file(name) == "1048576\n"


def test_zswap_writeback_takes_0_and_1_only() -> None:
    app = MemcgTable().create("app")
    app.write("memory.zswap.writeback", "0\n")
    assert (app.file("memory.zswap.writeback"), app.zswap_writeback) == ("0\n", False)
    app.write("memory.zswap.writeback", "1")
    assert app.zswap_writeback
    for bad in ("2", "yes", "", "max", "01"):
        with pytest.raises(InvalidArgument, match="takes 0 or 1"):
            app.write("memory.zswap.writeback", bad)


@pytest.mark.parametrize(
    ("given", "parsed"),
    [("4M", (1024, None)), ("0", (0, None)), ("4M swappiness=0", (1024, 0)), ("8K swappiness=max\n", (2, 200))],
)
def test_memory_reclaim_takes_a_size_and_perhaps_swappiness(given: str, parsed: tuple[int, int | None]) -> None:
    assert parse_reclaim(given) == parsed


@pytest.mark.parametrize("bad", ["", "max", "swappiness=60", "4M swappiness=201", "4M swappiness=-1", "4M now", "x 4M"])
def test_memory_reclaim_refuses_anything_else(bad: str) -> None:
    with pytest.raises(InvalidArgument, match=r"memory\.reclaim"):
        MemcgTable().create("app").write("memory.reclaim", bad)


def test_every_file_reads_but_memory_reclaim() -> None:
    with machine() as m:
        app = m.memcg("app")
        for name in set(MEMCG_FILES) - {"memory.reclaim", "cgroup.procs"}:
            assert app.file(name).endswith("\n")
        with pytest.raises(InvalidArgument, match="can only be written"):
            app.file("memory.reclaim")


@pytest.mark.parametrize("name", sorted(set(MEMCG_FILES) - set(WRITABLE_FILES)))
def test_files_that_only_read_say_so(name: str) -> None:
    with pytest.raises(InvalidArgument, match="can only be read"):
        MemcgTable().create("app").write(name, "0")


def test_files_that_are_not_there_and_cgroups_that_are_gone_are_enoent() -> None:
    table = MemcgTable()
    app = table.create("app")
    for action in (lambda: app.write("memory.min", "0"), lambda: app.file("memory.min")):
        with pytest.raises(NotFound, match=r"memory\.min"):
            action()
    table.remove(app)
    with pytest.raises(NotFound, match="removed"):
        app.write("memory.max", "1M")


def test_only_text_can_be_written() -> None:
    with pytest.raises(InvalidArgument, match="text"):
        MemcgTable().create("app").write("memory.max", 4096)  # type: ignore[arg-type]


def test_the_root_has_no_limits() -> None:
    with pytest.raises(InvalidArgument, match="root"):
        MemcgTable().root.write("memory.high", "1M")


def test_a_limit_of_max_is_none() -> None:
    assert parse_limit(" max \n", "memory.max") is None


# -- memory.reclaim --------------------------------------------------------------------------------------------------


def test_memory_reclaim_pushes_out_as_many_pages_of_that_cgroup() -> None:
    with machine() as m:
        app = m.memcg("app")
        p, q = m.spawn("app", memcg=app), m.spawn("other")
        mine, theirs = p.mmap("256K"), q.mmap("256K")
        pages = fill(p, mine)
        fill(q, theirs)
        app.write("memory.reclaim", "64K")
        assert p.mm.swap_pages >= 16
        assert q.mm.swap_pages == 0
        assert app.stat("pgsteal_proactive") == app.stat("pgsteal") == p.mm.swap_pages
        assert app.stat("pgsteal_direct") == app.stat("pgscan_direct") == 0
        assert app.reclaim(4) == 4
        assert app.reclaim("16K") == 4
        assert contents(p, mine) == pages


def test_memory_reclaim_that_gets_less_than_asked_is_eagain() -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        fill(p, p.mmap("64K"))
        with pytest.raises(Again, match="freed 16 of 1024") as caught:
            app.write("memory.reclaim", "4M")
        assert caught.value.errno == errno.EAGAIN
        assert p.mm.swap_pages == 16
        assert app.reclaim(5) == 0


def test_swappiness_0_leaves_anonymous_memory_alone() -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        fill(p, p.mmap("64K"))
        with pytest.raises(Again):
            app.write("memory.reclaim", "16K swappiness=0")
        assert p.mm.swap_pages == 0
        app.write("memory.reclaim", "16K swappiness=60")
        assert p.mm.swap_pages >= 4


# -- memory.max and memory.high --------------------------------------------------------------------------------------


@DESIGNS
def test_over_memory_high_a_charge_is_let_through_and_reclaimed_for_afterwards(design: str) -> None:
    with machine(design=design) as m:
        app = m.memcg("app", high="64K")
        p = m.spawn("app", memcg=app)
        region = p.mmap("512K")
        pages = fill(p, region)
        assert app.usage_pages <= 16
        assert events(app)["high"] > 0
        assert (events(app)["max"], events(app)["oom"]) == (0, 0)
        assert (app.throttled, app.throttled_simulated_usec) == (0, 0)
        assert contents(p, region) == pages
        assert app.usage_pages <= 16


def test_memory_high_never_fails_but_slows_down_what_cannot_be_reclaimed() -> None:
    with machine() as m:
        app = m.memcg("app", high="16K", swap_max=0)
        p = m.spawn("app", memcg=app)
        region = p.mmap("64K")
        pages = fill(p, region)
        assert app.usage_pages == 16
        assert (events(app)["high"], app.throttled) == (12, 12)
        # 1, 2, ... 12 pages over a limit of 4: the square of their share, in simulated seconds
        assert app.throttled_simulated_usec == sum(
            1_000_000 * n * n // 16 if n * n < 32 else 2_000_000 for n in range(1, 13)
        )
        assert contents(p, region) == pages


def test_one_charge_is_slowed_by_two_simulated_seconds_at_most() -> None:
    app = MemcgTable().create("app", high="4K")
    app.charge(1000)
    app.throttle(1)
    assert app.throttled_simulated_usec == MAX_HIGH_DELAY_USEC


def test_a_memory_high_of_0_still_lets_the_cgroup_run() -> None:
    with machine() as m:
        app = m.memcg("app", high=0)
        p = m.spawn("app", memcg=app)
        region = p.mmap("64K")
        pages = fill(p, region)
        assert contents(p, region) == pages
        assert app.usage_pages < 16


def test_memory_high_holds_for_the_subtree_and_is_counted_where_it_is_set() -> None:
    with machine() as m:
        top = m.memcg("top", high="64K")
        left, right = m.memcg("left", parent=top), m.memcg("right", parent=top)
        p, q = m.spawn("p", memcg=left), m.spawn("q", memcg=right)
        fill(p, p.mmap("48K"))
        fill(q, q.mmap("256K"))
        assert top.usage_pages <= 16
        assert events(top)["high"] > 0
        assert events(left)["high"] == events(right)["high"] == 0


def test_memory_high_holds_for_files_of_tmpfs_too() -> None:
    with machine() as m:
        app = m.memcg("app", high="64K")
        file = m.shmem_open("log", "256K", memcg=app)
        for i in range(64):
            file.write(i * PAGE_SIZE, text(i))
        assert app.usage_pages <= 16
        assert all(file.read(i * PAGE_SIZE, PAGE_SIZE) == text(i) for i in range(64))


@pytest.mark.parametrize("name", ["memory.max", "memory.high"])
def test_writing_a_lower_limit_reclaims_at_once(name: str) -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("256K")
        pages = fill(p, region)
        app.write(name, "64K")
        assert app.usage_pages <= 16
        assert events(app)["oom"] == 0
        app.write(name, "max")
        assert contents(p, region) == pages


def test_a_lower_memory_max_that_cannot_be_had_is_set_all_the_same_and_counts_oom() -> None:
    with machine(swap=None) as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = p.mmap("64K")
        pages = fill(p, region)
        app.write("memory.max", "16K")
        assert (app.usage_pages, app.file("memory.max"), events(app)["oom"]) == (16, "16384\n", 1)
        assert contents(p, region) == pages
        with pytest.raises(NoMemory):
            put(p, text(1))


def test_max_and_oom_are_counted_where_the_limit_is_and_nothing_is_killed() -> None:
    with machine(swap=None) as m:
        top = m.memcg("top", max="64K")
        app = m.memcg("app", parent=top)
        p = m.spawn("app", memcg=app)
        with pytest.raises(NoMemory, match="/top"):
            fill(p, p.mmap("128K"))
        assert events(top)["max"] > 0
        assert events(top)["oom"] == 1
        assert events(app) == {"low": 0, "high": 0, "max": 0, "oom": 0, "oom_kill": 0}
        assert events(m.root_memcg)["oom"] == 1
        assert events(top)["oom_kill"] == 0
        assert p.alive


def test_a_large_folio_that_a_small_one_can_stand_in_for_is_no_oom() -> None:
    with machine(swap=None) as m:
        app = m.memcg("app", max="64K")
        p = m.spawn("app", memcg=app)
        put(p, text(1), 8)
        region = p.mmap("64K", order=4)
        p.write(region.start, text(2))
        assert p.read(region.start, PAGE_SIZE) == text(2)
        assert events(app)["oom"] == 0
        assert events(app)["max"] > 0


def test_swap_events_count_at_the_limit_and_everywhere_above() -> None:
    table = MemcgTable()
    top = table.create("top", swap_max="8K")
    app = table.create("app", parent=top)
    assert app.try_charge_swap(2)
    assert not app.try_charge_swap(1)
    reads = [memcg.file("memory.swap.events") for memcg in (table.root, top, app)]
    assert reads == ["high 0\nmax 1\nfail 1\n", "high 0\nmax 1\nfail 1\n", "high 0\nmax 0\nfail 1\n"]


# -- memory.stat -----------------------------------------------------------------------------------------------------

Action = Callable[[Machine, Process], object]


def _out_and_in(page: bytes) -> Action:
    def act(m: Machine, p: Process) -> None:
        region = put(p, page)
        m.reclaim()
        p.touch(region)

    return act


def _out(page: bytes, order: int = 0) -> Action:
    def act(m: Machine, p: Process) -> None:
        put(p, page, 1 << order, order)
        m.reclaim()

    return act


def _write_back(m: Machine, p: Process) -> None:
    put(p, text(1))
    m.reclaim()
    m.writeback()


def _tmpfs(m: Machine, p: Process) -> None:
    m.shmem_open("log", "16K", memcg=p.memcg).write(0, text(1))


def _refused(m: Machine, p: Process) -> None:
    p.memcg.write("memory.zswap.max", "0")
    p.memcg.write("memory.swap.max", "0")
    put(p, text(1))
    m.reclaim()


def _refault(m: Machine, p: Process) -> None:
    put(p, text(9), 8)
    cold = put(p, text(1))
    m.reclaim()
    p.touch(cold)


def _shared(m: Machine, p: Process) -> None:
    p.touch(put(p, text(1)))
    p.fork().touch(next(iter(p.mm.vmas)))
    m.reclaim()


SCENARIOS: dict[str, tuple[Action, dict[str, object], int]] = {
    # item: (what changes it, what the machine must be like, by how much)
    "anon": (lambda m, p: put(p, text(1)), {}, PAGE_SIZE),
    "inactive_anon": (lambda m, p: put(p, text(1)), {}, PAGE_SIZE),
    "shmem": (_tmpfs, {}, PAGE_SIZE),
    "swapcached": (_refused, {"design": "virtual"}, PAGE_SIZE),
    "active_anon": (_refused, {"design": "virtual"}, PAGE_SIZE),
    "zswapped": (_out(text(1)), {}, PAGE_SIZE),
    "zswpout": (_out(text(1)), {}, 1),
    "zswpin": (_out_and_in(text(1)), {}, 1),
    "zswpwb": (_write_back, {}, 1),
    "swpout_zero": (_out(ZERO_PAGE), {}, 1),
    "swpin_zero": (_out_and_in(ZERO_PAGE), {}, 1),
    "pswpout": (_out(text(1)), {"zswap": None}, 1),
    "pswpin": (_out_and_in(text(1)), {"zswap": None}, 1),
    "pgscan": (_out(text(1)), {}, 2),  # once to clear the reference, once to go
    "pgsteal": (_out(text(1)), {}, 1),
    "pgscan_direct": (_out(text(1)), {}, 2),
    "pgsteal_direct": (_out(text(1)), {}, 1),
    "pgscan_proactive": (lambda m, p: (put(p, text(1)), m.reclaim(memcg=p.memcg)), {}, 2),
    "pgsteal_proactive": (lambda m, p: (put(p, text(1)), p.memcg.write("memory.reclaim", "4K")), {}, 1),
    "pgfault": (lambda m, p: put(p, text(1), 3), {}, 3),
    "pgmajfault": (_out_and_in(text(1)), {}, 1),
    "pgactivate": (_shared, {}, 1),
    "pgdeactivate": (_shared, {}, 1),
    "pgrefill": (_shared, {}, 1),
    "workingset_refault_anon": (_refault, {"page_cluster": 0}, 1),
    "thp_fault_alloc": (lambda m, p: p.write(p.mmap("2M", order=9).start, b"large"), {"ram": "8M"}, 1),
    "thp_swpout": (
        lambda m, p: (p.write(p.mmap("2M", order=9).start, b"large"), m.reclaim()),
        {"ram": "8M", "zswap": None},
        1,
    ),
}


EACH_ITEM = [
    (design, item)
    for item, (_, options, _) in SCENARIOS.items()
    for design in ("virtual", "legacy")
    if options.get("design", design) == design  # a refused page has no swap entry in the legacy design
]


@pytest.mark.parametrize(("design", "item"), EACH_ITEM)
def test_each_item_of_memory_stat_is_changed_by_what_it_names_and_charged_to_the_owner(design: str, item: str) -> None:
    act, options, change = SCENARIOS[item]
    options = {"zswap": {"compressor": "lz4"}, **options, "design": design}
    with machine(swap="8M", **options) as m:
        top = m.memcg("top")
        app, other = m.memcg("app", parent=top), m.memcg("other")
        act(m, m.spawn("app", memcg=app))
        assert stat(app)[item] == app.stat(item) == change
        assert top.stat(item) == m.root_memcg.stat(item) == change
        assert other.stat(item) == 0


def test_the_scenarios_name_items_of_memory_stat() -> None:
    missing = set(STAT_BYTES + STAT_EVENTS) - set(SCENARIOS)
    told_elsewhere = {
        "pgscan_kswapd",
        "pgsteal_kswapd",
        "thp_swpout_fallback",
        "workingset_activate_anon",
        "workingset_restore_anon",
        "zswap",
    }
    assert missing == told_elsewhere


@DESIGNS
def test_zswap_in_memory_stat_is_the_compressed_size_and_is_kept_while_the_page_is_out(design: str) -> None:
    with machine(design=design, zswap={"compressor": "lz4"}) as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        region = put(p, text(1), 3)
        m.reclaim()
        assert m.zswap is not None
        sizes = sum(entry.length for entry in m.zswap.entries())
        assert 0 < sizes < PAGE_SIZE
        assert app.stat("zswap") == int(app.file("memory.zswap.current")) == sizes
        assert app.file("memory.current") == f"{PAGE_SIZE}\n"
        p.touch(region)
        assert (app.stat("zswap"), app.stat("zswapped"), app.stat("zswpin")) == (0, 0, 3)


def test_memory_stat_lists_every_item_once_in_order() -> None:
    assert list(stat(MemcgTable().create("app"))) == [*STAT_BYTES, *STAT_EVENTS]
