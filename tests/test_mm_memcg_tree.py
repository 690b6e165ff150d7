"""Memory cgroups on a machine: moved processes, removed cgroups, limits up the tree, and who pays for a page."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mmkit import contents, fill, machine, noise, text

from vswaplab import InvalidArgument, Machine, NotFound, SwapError
from vswaplab.entry import Backing
from vswaplab.errors import Busy, InvariantError
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])
LZ4 = {"compressor": "lz4"}


def write_texts(process: Process, region: Region, first: int = 0) -> list[bytes]:
    pages = [text(first + i) for i in range(region.pages)]
    for i, page in enumerate(pages):
        process.write(region.page(i).start, page)
    return pages


# -- moving ----------------------------------------------------------------------------------------------------------


@DESIGNS
def test_after_a_move_new_pages_are_charged_there_and_old_ones_stay_where_they_are(design: str) -> None:
    with machine(design=design) as m:
        one, two = m.memcg("one"), m.memcg("two")
        p = m.spawn("app", memcg=one)
        fill(p, p.mmap("16K"))
        m.move(p, two)
        fill(p, p.mmap("12K"))
        assert (one.nr_pages, two.nr_pages) == (4, 3)
        assert (one.file("cgroup.procs"), two.file("cgroup.procs")) == ("", f"{p.pid}\n")


@DESIGNS
def test_a_page_that_comes_back_after_a_move_is_charged_to_the_cgroup_it_was_swapped_out_from(design: str) -> None:
    with machine(design=design, page_cluster=0) as m:
        one, two = m.memcg("one"), m.memcg("two")
        p = m.spawn("app", memcg=one)
        region = p.mmap("16K")
        pages = fill(p, region)
        m.reclaim()
        m.move(p, two)
        assert contents(p, region) == pages
        assert (one.nr_pages, two.nr_pages) == (4, 0)
        assert (one.stat("pswpin"), two.stat("pswpin")) == (4, 0)
        assert (one.stat("workingset_refault_anon"), two.stat("workingset_refault_anon")) == (4, 0)


def test_cgroup_procs_takes_and_lists_process_numbers() -> None:
    with machine() as m:
        app = m.memcg("app")
        p, q = m.spawn("p"), m.spawn("q")
        app.write("cgroup.procs", f"{q.pid}\n")
        app.write("cgroup.procs", f"{p.pid}")
        assert app.file("cgroup.procs") == f"{p.pid}\n{q.pid}\n"
        assert m.root_memcg.file("cgroup.procs") == ""
        for bad in ("", "0", "-1", "all", "1 2", "1.0"):
            with pytest.raises(InvalidArgument, match=r"cgroup\.procs"):
                app.write("cgroup.procs", bad)
        with pytest.raises(NotFound, match="process 99"):
            app.write("cgroup.procs", "99")


def test_only_what_runs_can_be_moved_and_only_to_what_is_there() -> None:
    with machine() as m:
        app = m.memcg("app")
        p, q = m.spawn("p"), m.spawn("q")
        q.exit()
        with pytest.raises(NotFound, match="exited"):
            m.move(q, app)
        m.rmdir(app)
        with pytest.raises(NotFound, match="removed"):
            m.move(p, app)
        assert p.memcg is m.root_memcg


def test_a_child_is_born_in_its_parents_cgroup() -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app")
        m.move(p, app)
        assert p.fork().memcg is app


# -- who pays for what comes back ------------------------------------------------------------------------------------

BACKINGS = pytest.mark.parametrize(
    ("zswap", "page", "counter"),
    [(None, noise(1), "pswpin"), (LZ4, text(1), "zswpin"), (LZ4, ZERO_PAGE, "swpin_zero")],
    ids=["device", "zswap", "zero"],
)


@DESIGNS
@BACKINGS
@pytest.mark.parametrize("removed", [False, True])
def test_at_fault_in_the_owner_pays_or_the_faulting_cgroup_if_the_owner_was_removed(
    design: str, zswap: dict[str, str] | None, page: bytes, counter: str, removed: bool
) -> None:
    with machine(design=design, zswap=zswap, page_cluster=0) as m:
        top = m.memcg("top")
        owner, faulting = m.memcg("owner", parent=top), m.memcg("faulting", parent=top)
        p = m.spawn("p", memcg=owner)
        region = p.mmap("4K")
        p.write(region.start, page)
        q = p.fork()
        m.move(q, faulting)
        m.reclaim()
        p.exit()
        if removed:
            m.rmdir(owner)
        before = top.swap_pages
        assert q.read(region.start, PAGE_SIZE) == page
        payer, other = (faulting, owner) if removed else (owner, faulting)
        assert (payer.nr_pages, other.nr_pages) == (1, 0)
        # A compressed copy of a removed cgroup was its parent's, so the parent counts its load [S21].
        passed_on = removed and counter == "zswpin"
        assert (payer.stat(counter), other.stat(counter)) == ((0, 0) if passed_on else (1, 0))
        assert (payer.stat("workingset_refault_anon"), other.stat("workingset_refault_anon")) == (1, 0)
        assert top.stat(counter) == 1
        assert top.swap_pages in (before, 0)  # a slot that is kept stays charged to whom it was
        assert faulting.swap_pages == 0
        m.check()
        q.exit()
        assert (top.swap_pages, top.nr_pages, top.zswap_bytes) == (0, 0, 0)


@DESIGNS
@pytest.mark.parametrize("removed", [False, True])
def test_a_file_of_tmpfs_is_paid_for_by_its_cgroup_or_the_nearest_one_above_that_is_left(
    design: str, removed: bool
) -> None:
    with machine(design=design, page_cluster=0) as m:
        top = m.memcg("top")
        app = m.memcg("app", parent=top)
        file = m.shmem_open("log", "16K", memcg=app)
        for i in range(4):
            file.write(i * PAGE_SIZE, noise(i))
        m.reclaim()
        assert (app.swap_pages, app.nr_pages) == (4, 0)
        if removed:
            m.rmdir(app)
        assert [file.read(i * PAGE_SIZE, PAGE_SIZE) for i in range(4)] == [noise(i) for i in range(4)]
        assert (app.nr_pages, top.nr_pages) == ((0, 4) if removed else (4, 4))
        assert (app.stat("pswpin"), top.stat("pswpin")) == ((0, 4) if removed else (4, 4))
        assert (app.swap_pages, top.swap_pages) == (0, 0)


@pytest.mark.parametrize(("design", "payer"), [("virtual", "/"), ("legacy", "/faulting")])
def test_swapoff_charges_what_a_removed_cgroup_left_to_who_maps_it_or_where_nobody_is_asked_to_the_root(
    design: str, payer: str
) -> None:
    with machine(design=design, page_cluster=0) as m:
        owner, faulting = m.memcg("owner"), m.memcg("faulting")
        p = m.spawn("p", memcg=owner)
        region = p.mmap("16K")
        pages = fill(p, region)
        m.reclaim()
        m.move(p, faulting)
        m.rmdir(owner)
        m.swapoff(next(iter(m.devices)))
        charged = {memcg.path: memcg.nr_pages for memcg in (faulting, m.root_memcg)}
        assert charged[payer] == 4
        assert (owner.nr_pages, owner.swap_pages) == (0, 0)
        m.check()
        assert contents(p, region) == pages


@DESIGNS
def test_swapoff_charges_pages_to_their_owner_wherever_the_process_is_now(design: str) -> None:
    with machine(design=design, page_cluster=0) as m:
        owner, faulting = m.memcg("owner"), m.memcg("faulting")
        p = m.spawn("p", memcg=owner)
        fill(p, p.mmap("16K"))
        m.reclaim()
        m.move(p, faulting)
        m.swapoff(next(iter(m.devices)))
        assert (owner.nr_pages, faulting.nr_pages) == (4, 0)


# -- removed cgroups -------------------------------------------------------------------------------------------------


@DESIGNS
@pytest.mark.parametrize("zswap", [None, LZ4])
def test_a_removed_cgroup_leaves_its_pages_slots_and_compressed_pages_to_the_tree(
    design: str, zswap: dict[str, str] | None
) -> None:
    with machine(design=design, zswap=zswap) as m:
        top = m.memcg("top")
        app = m.memcg("app", parent=top)
        p = m.spawn("app", memcg=app)
        out, here = p.mmap("32K"), p.mmap("16K")
        pages = write_texts(p, out)
        m.reclaim()
        others = write_texts(p, here, 100)
        m.move(p, top)
        before = (top.nr_pages, top.swap_pages, top.zswap_bytes, top.zswap_stored, top.file("memory.stat"))
        m.rmdir(app)
        m.check()
        assert (top.nr_pages, top.swap_pages, top.zswap_bytes, top.zswap_stored, top.file("memory.stat")) == before
        assert (app.nr_pages, app.lruvec.nr_pages) == (0, 0)
        assert m.memcgs.get(app.id) is app
        assert contents(p, out) == pages
        assert contents(p, here) == others
        p.exit()
        assert m.memcgs.get(app.id) is None
        assert (top.nr_pages, top.swap_pages, top.zswap_bytes, app.swap_pages, app.zswap_bytes) == (0, 0, 0, 0, 0)


@DESIGNS
def test_write_back_of_what_a_removed_cgroup_left_charges_slots_up_the_tree(design: str) -> None:
    with machine(design=design, zswap=LZ4) as m:
        top = m.memcg("top")
        app = m.memcg("app", parent=top)
        p = m.spawn("app", memcg=app)
        region = p.mmap("16K")
        pages = write_texts(p, region)
        m.reclaim()
        m.move(p, top)
        m.rmdir(app)
        assert app.zswap_bytes == app.zswap_stored == 0
        assert m.zswap is not None
        assert {entry.memcg for entry in m.zswap.entries()} == {top}
        assert m.writeback() == 4
        assert (top.swap_pages, top.zswap_bytes) == (4, 0)
        assert (top.stat("zswpwb"), app.stat("zswpwb")) == (4, 0)
        m.check()
        assert contents(p, region) == pages


@DESIGNS
def test_a_whole_branch_can_go_while_its_pages_are_out(design: str) -> None:
    with machine(design=design, zswap=LZ4) as m:
        a = m.memcg("a")
        b = m.memcg("b", parent=a)
        c = m.memcg("c", parent=b)
        p = m.spawn("app", memcg=c)
        region = p.mmap("16K")
        pages = write_texts(p, region)
        m.reclaim()
        m.move(p, m.root_memcg)
        for memcg in (c, b, a):
            m.rmdir(memcg)
            m.check()
        new = m.memcg("new")  # may take the id of a or b, which nothing bears
        m.check()
        assert contents(p, region) == pages
        p.exit()
        assert (new.nr_pages, new.swap_pages, new.zswap_bytes) == (0, 0, 0)
        assert len(m.memcgs) == 2


def test_a_cgroup_with_children_or_processes_cannot_be_removed() -> None:
    with machine() as m:
        top = m.memcg("top")
        app = m.memcg("app", parent=top)
        p = m.spawn("app", memcg=app)
        with pytest.raises(Busy, match="children"):
            m.rmdir(top)
        with pytest.raises(Busy, match="move them"):
            m.rmdir(app)
        m.move(p, m.root_memcg)
        m.rmdir(app)
        m.rmdir(top)


def test_check_finds_a_slot_that_a_removed_cgroup_no_longer_pays_for() -> None:
    with machine() as m:
        app = m.memcg("app")
        p = m.spawn("app", memcg=app)
        fill(p, p.mmap("8K"))
        m.reclaim()
        m.move(p, m.root_memcg)
        m.rmdir(app)
        app.swap_pages -= 1
        with pytest.raises(InvariantError, match="memcg-swap-charge"):
            m.check()
        app.swap_pages += 1


def test_check_finds_a_reference_to_an_id_that_nothing_bears() -> None:
    with machine() as m:
        app = m.memcg("app")
        app.get_id(1)
        with pytest.raises(InvariantError, match="memcg-id-references"):
            m.check()
        app.put_id(1)


# -- limits up the tree ----------------------------------------------------------------------------------------------


@DESIGNS
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_zswap_limit_holds_from_each_of_three_levels(design: str, at: int) -> None:
    with machine(design=design, zswap=LZ4, ram="2M") as m:
        levels: list[Memcg] = []
        for name in "abc":
            levels.append(
                m.memcg(name, parent=levels[-1] if levels else None, zswap_max="8K" if len(levels) == at else None)
            )
        sibling = m.memcg("sibling", parent=levels[-2])
        p, q = m.spawn("app", memcg=levels[-1]), m.spawn("other", memcg=sibling)
        region = p.mmap("1M")
        pages = write_texts(p, region)
        m.reclaim()
        assert levels[at].zswap_bytes <= 2 * PAGE_SIZE + 4096
        assert levels[-1].stat("zswpwb") > 0 or levels[-1].stat("pswpout") > 0
        theirs = q.mmap("4K")
        write_texts(q, theirs)
        m.reclaim(memcg=sibling)
        stored = sibling.stat("zswapped")
        assert (stored > 0) == (at == 2)  # a limit of its sibling is none of its own; one above both is
        m.check()
        assert contents(p, region) == pages


@DESIGNS
def test_a_cgroup_at_its_zswap_limit_writes_back_its_own_pages_only(design: str) -> None:
    with machine(design=design, zswap=LZ4, ram="2M") as m:
        other, app = m.memcg("other"), m.memcg("app", zswap_max="8K")
        q, p = m.spawn("other", memcg=other), m.spawn("app", memcg=app)
        theirs, mine = q.mmap("64K"), p.mmap("1M")
        others = write_texts(q, theirs)  # older than any page of app
        m.reclaim()
        pages = write_texts(p, mine)
        m.reclaim()
        assert app.stat("zswpwb") > 0
        assert (other.stat("zswpwb"), other.stat("zswapped")) == (0, 16 * PAGE_SIZE)
        assert contents(p, mine) == pages
        assert contents(q, theirs) == others


@DESIGNS
def test_a_swap_limit_holds_from_each_of_three_levels(design: str) -> None:
    for at in range(3):
        with machine(design=design) as m:
            levels: list[Memcg] = []
            for name in "abc":
                swap_max = "16K" if len(levels) == at else None
                levels.append(m.memcg(name, parent=levels[-1] if levels else None, swap_max=swap_max))
            p = m.spawn("app", memcg=levels[-1])
            region = p.mmap("64K")
            pages = fill(p, region)
            m.reclaim()
            assert [memcg.swap_pages for memcg in levels] == [4, 4, 4]
            assert "max 0" not in levels[at].file("memory.swap.events")
            assert contents(p, region) == pages


def test_a_memory_limit_holds_from_each_of_three_levels() -> None:
    for at in range(3):
        with machine() as m:
            levels: list[Memcg] = []
            for name in "abc":
                limit = "64K" if len(levels) == at else None
                levels.append(m.memcg(name, parent=levels[-1] if levels else None, max=limit))
            p = m.spawn("app", memcg=levels[-1])
            region = p.mmap("256K")
            pages = fill(p, region)
            assert all(memcg.usage_pages <= 16 for memcg in levels)
            assert contents(p, region) == pages


def test_any_ancestors_0_keeps_compressed_pages_where_they_are() -> None:
    with machine(zswap=LZ4) as m:
        top = m.memcg("top")
        app = m.memcg("app", parent=m.memcg("middle", parent=top))
        p = m.spawn("app", memcg=app)
        region = p.mmap("16K")
        write_texts(p, region)
        m.reclaim()
        top.write("memory.zswap.writeback", "0")
        assert m.writeback() == 0
        entry = p.pte(region.start).entry
        assert entry is not None
        assert m.swap.lookup(entry).type is Backing.ZSWAP
        top.write("memory.zswap.writeback", "1")
        assert m.writeback() == 4


# -- all of it at random ---------------------------------------------------------------------------------------------


class Forest:
    """A machine with a tree of cgroups, driven by a random number generator against a dictionary of pages."""

    def __init__(self, m: Machine, random: Random) -> None:
        self.m, self.random = m, random
        self.groups: list[Memcg] = []
        self.model: dict[int, dict[int, bytes]] = {}
        self.name = 0

    def any_group(self) -> Memcg:
        return self.random.choice([self.m.root_memcg, *self.groups])

    def grow(self) -> None:
        self.name += 1
        limits = {
            limit: self.random.choice([None, None, None, 0, "32K", "96K"])
            for limit in ("high", "swap_max", "zswap_max")
        }
        self.groups.append(self.m.memcg(f"g{self.name}", parent=self.any_group(), **limits))  # type: ignore[arg-type]

    def remove(self) -> None:
        if self.groups:
            group = self.random.choice(self.groups)
            for pid in group.pids():
                self.m.move(self.m.processes[pid], self.any_group())
            if not group.children and not group.pids():
                self.m.rmdir(group)
                self.groups.remove(group)

    def spawn(self) -> None:
        process = self.m.spawn("app", memcg=self.any_group())
        process.mmap("64K")
        self.model[process.pid] = {}

    def with_process(self, what: str) -> None:
        if not self.m.processes:
            return
        process = self.random.choice(list(self.m.processes.values()))
        pages = self.model[process.pid]
        if what == "move":
            self.m.move(process, self.any_group())
        elif what == "fork" and len(self.m.processes) < 6:
            self.model[process.fork().pid] = dict(pages)
        elif what == "exit":
            process.exit()
            del self.model[process.pid]
        else:
            self.access(process, pages, what)

    def access(self, process: Process, pages: dict[int, bytes], what: str) -> None:
        page = process.mm.vmas[0].page(self.random.randrange(16))
        try:
            if what == "write":
                data = self.random.choice(
                    [ZERO_PAGE, text(self.random.randrange(99)), noise(self.random.randrange(99))]
                )
                process.write(page.start, data)
                pages[page.start] = data
            else:
                assert process.read(page.start, PAGE_SIZE) == pages.get(page.start, ZERO_PAGE)
        except SwapError:
            pass  # out of memory is a fair answer

    def step(self) -> None:
        what = self.random.choices(
            ["write", "read", "move", "fork", "exit", "spawn", "grow", "remove", "reclaim", "writeback"],
            [40, 20, 3, 2, 1, 3, 4, 4, 3, 2],
        )[0]
        if what in ("spawn", "grow", "remove"):
            getattr(self, what)()
        elif what == "reclaim":
            self.any_group().reclaim(self.random.randrange(40))
        elif what == "writeback":
            self.m.writeback(self.random.randrange(10), self.random.choice([None, self.any_group()]))
        else:
            self.with_process(what)


@DESIGNS
@settings(max_examples=12, phases=[Phase.generate])
@given(seed=st.integers(0, 1 << 32), zswap=st.booleans(), min_free=st.sampled_from([None, "16K"]))
def test_cgroups_come_and_go_at_random_and_in_the_end_nobody_owes_anything(
    design: str, seed: int, zswap: bool, min_free: str | None
) -> None:
    random = Random(seed)
    options: dict[str, object] = {"ram": "256K", "min_free": min_free, "page_cluster": random.choice([0, 3])}
    with machine(swap=random.choice(["128K", "1M"]), design=design, zswap=LZ4 if zswap else None, **options) as m:
        forest = Forest(m, random)
        for step in range(150):
            forest.step()
            if step % 15 == 0:
                m.check()
        for process in list(m.processes.values()):
            for start, data in forest.model[process.pid].items():
                try:
                    assert process.read(start, PAGE_SIZE) == data
                except SwapError:
                    continue
        for process in list(m.processes.values()):
            process.exit()
        m.check()
        assert [memcg for memcg in m.memcgs if not memcg.online] == []
        for memcg in m.memcgs:
            assert (memcg.nr_pages, memcg.swap_pages, memcg.zswap_bytes, memcg.zswap_stored, memcg.id_refs) == (0,) * 5
        while forest.groups:
            forest.remove()
        assert len(m.memcgs) == 1
