"""zsmalloc: the classes of a real kernel, the choice of zspage, and random use against a dictionary of bytes."""

from __future__ import annotations

import csv

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vswaplab.backends.zsmalloc import FULLNESS_GROUPS, ZsPool, size_classes
from vswaplab.errors import InvalidArgument, InvariantError, NotFound
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import data_dir


def test_every_class_is_that_of_a_running_kernel():
    with (data_dir() / "kernel" / "zsmalloc_classes.csv").open() as file:
        kernel = [(int(row["size"]), int(row["pages_per_zspage"])) for row in csv.DictReader(file)]
    assert len(kernel) == 119
    assert list(size_classes()) == kernel


@pytest.mark.parametrize(("chain_size", "classes", "largest"), [(4, 69, 3264), (8, 119, 3632), (16, 192, 3840)])
def test_longer_chains_make_more_classes(chain_size, classes, largest):
    sizes = [size for size, _ in size_classes(chain_size)]
    assert len(sizes) == classes
    assert sizes[-2:] == [largest, PAGE_SIZE], "anything larger takes a whole page"
    assert max(pages for _, pages in size_classes(chain_size)) <= chain_size


def test_a_chain_size_that_no_kernel_has_is_refused():
    with pytest.raises(InvalidArgument, match="4, 8 or 16"):
        ZsPool(chain_size=5)


@pytest.mark.parametrize(
    ("payload", "size"),
    [(1, 32), (24, 32), (25, 48), (3064, 3072), (3065, 3184), (3624, 3632), (3625, 4096), (4089, 4096), (4096, 4096)],
)
def test_a_payload_and_its_handle_of_8_bytes_decide_the_class(payload, size):
    pool = ZsPool()
    assert pool.object_size(pool.malloc(payload)) == size


@pytest.mark.parametrize(("size", "pages", "objects"), [(3072, 3, 4), (3264, 4, 5), (3632, 8, 9), (4096, 1, 1)])
def test_a_zspage_holds_as_many_objects_as_the_fact_sheet_says(size, pages, objects):
    pool = ZsPool()
    payload = size - 8 if size < PAGE_SIZE else size
    for nr in range(objects):
        assert pool.total_pages == pages * (nr > 0)
        pool.malloc(payload)
    assert pool.total_pages == pages
    pool.malloc(payload)
    assert (pool.total_pages, pool.pool_bytes) == (2 * pages, 2 * pages * PAGE_SIZE)


@pytest.mark.parametrize("nr_bytes", [0, -1, PAGE_SIZE + 1])
def test_sizes_that_no_object_has_are_refused(nr_bytes):
    with pytest.raises(InvalidArgument, match="1 to 4096"):
        ZsPool().malloc(nr_bytes)


def test_a_handle_that_names_nothing_is_refused():
    pool = ZsPool()
    handle = pool.malloc(10)
    pool.free(handle)
    for wrong in (handle, 0, -1, 99):
        with pytest.raises(NotFound):
            pool.free(wrong)
        with pytest.raises(NotFound):
            pool.write(wrong, b"x")
    pool.check()


def test_an_object_takes_no_more_than_its_class_holds():
    pool = ZsPool()
    handle, neighbour = pool.malloc(24), pool.malloc(5, b"stays")
    pool.write(handle, b"x" * 32)
    with pytest.raises(InvalidArgument, match="32 bytes"):
        pool.write(handle, b"x" * 33)
    assert pool.read(neighbour, 5) == b"stays"


# The class of 3,264 bytes: five objects in four pages, so that one object more or less is another group.
FIVE = 3256


def filled(pool: ZsPool, *names: str) -> dict[str, list[int]]:
    return {name: [pool.malloc(FIVE) for _ in range(5)] for name in names}


def next_homes(pool: ZsPool, zspages: dict[str, list[int]], nr: int) -> list[str]:
    """Names of the zspages that the next `nr` objects go to."""
    home = {id(pool._zspage[members[0]]): name for name, members in zspages.items()}
    return [home[id(pool._zspage[pool.malloc(FIVE)])] for _ in range(nr)]


def test_a_new_object_goes_to_the_fullest_zspage_with_room():
    pool = ZsPool()
    zspages = filled(pool, "a", "b", "c")
    for name, nr in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(nr):
            pool.free(zspages[name].pop())
    assert next_homes(pool, zspages, 6) == ["a", "c", "c", "b", "b", "b"]
    pool.check()


def test_among_equals_the_newest_in_the_group_comes_first():
    pool = ZsPool()
    zspages = filled(pool, "a", "b", "c")
    for name in "bac":
        pool.free(zspages[name].pop())
    assert next_homes(pool, zspages, 3) == ["c", "a", "b"]


def test_a_zspage_goes_with_its_last_object_and_its_memory_is_used_again():
    pool = ZsPool()
    handles = [pool.malloc(FIVE, b"x" * FIVE) for _ in range(5)]
    memory = pool._zspage[handles[0]].memory
    for nr, handle in enumerate(handles):
        assert pool.total_pages == 4, f"{nr} freed"
        pool.free(handle)
    assert (pool.total_pages, pool.objects) == (0, 0)
    assert pool._zspage[pool.malloc(FIVE)].memory is memory
    pool.check()


def test_the_table_of_classes_counts_objects_and_zspages_by_fullness():
    pool = ZsPool()
    handles = [pool.malloc(FIVE) for _ in range(12)]
    pool.free(handles[0])
    row = next(row for row in pool.classes_table() if row.size == 3264)
    assert row[:5] == (3264, 4, 5, 15, 11)
    groups = {name: nr for name, nr in zip(FULLNESS_GROUPS, row.zspages, strict=True) if nr}
    assert groups == {"50": 1, "90": 1, "100": 1}, "two of five, four of five, five of five"
    assert sum(row.objs_used for row in pool.classes_table()) == pool.objects


def test_compaction_packs_objects_and_keeps_handles():
    pool = ZsPool()
    data = {pool.malloc(FIVE, bytes([nr]) * FIVE): bytes([nr]) * FIVE for nr in range(50)}
    for handle in list(data)[::2]:
        pool.free(handle)
        del data[handle]
    assert pool.total_pages == 40
    assert pool.compact() == 20, "25 objects fit in 5 zspages of 4 pages"
    assert pool.total_pages == 20
    assert {handle: bytes(pool.read(handle, FIVE)) for handle in data} == data
    assert pool.compact() == 0
    pool.check()


def unlist(pool: ZsPool) -> None:
    klass = pool._zspage[1].klass
    klass.close()
    klass.remove(pool._zspage[1])
    klass.nr_zspages = 0


BREAKS = {
    "pages-counted": lambda pool: setattr(pool, "total_pages", 7),
    "free-handles-listed-once": lambda pool: pool._handles.append(pool._handles[0]),
    "object-has-one-handle": lambda pool: pool._start.__setitem__(1, pool._start[2]),
    "object-free-or-in-use": lambda pool: pool._zspage[1].free.pop(),
    "zspages-counted": lambda pool: setattr(pool._zspage[1].klass, "nr_zspages", 3),
    "listed-groups-marked": lambda pool: setattr(pool._zspage[1].klass, "listed", 0),
    "zspage-in-its-group": lambda pool: setattr(pool._zspage[1], "group", 2),
    "zspage-has-its-pages": lambda pool: setattr(pool._zspage[1], "memory", memoryview(b"")),
    "object-in-a-listed-zspage": unlist,
}


@pytest.mark.parametrize("name", BREAKS)
def test_check_names_the_invariant_that_is_broken(name):
    pool = ZsPool()
    handles = [pool.malloc(FIVE) for _ in range(4)]
    pool.free(handles.pop())
    pool.check()
    BREAKS[name](pool)
    with pytest.raises(InvariantError) as caught:
        pool.check()
    assert caught.value.invariant == name


class ZsPoolMachine(RuleBasedStateMachine):
    """Random use of a pool, with a dictionary of bytes as the model."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ZsPool()
        self.model: dict[int, bytes] = {}

    @rule(nr=st.one_of(st.sampled_from([24, 1500, FIVE, 3624, 4096]), st.integers(1, 4096)), fill=st.integers(0, 255))
    def malloc(self, nr, fill):
        data = bytes([fill]) * nr
        handle = self.pool.malloc(nr, data)
        assert handle > 0
        assert handle not in self.model
        self.model[handle] = data

    @rule(nr=st.sampled_from([FIVE, 1500]), times=st.integers(1, 12))
    def malloc_run(self, nr, times):
        for fill in range(times):
            self.malloc(nr, fill)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), times=st.integers(1, 6))
    def free(self, data, times):
        for _ in range(min(times, len(self.model))):
            handle = data.draw(st.sampled_from(sorted(self.model)))
            self.pool.free(handle)
            del self.model[handle]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), fill=st.integers(0, 255))
    def write(self, data, fill):
        handle = data.draw(st.sampled_from(sorted(self.model)))
        self.model[handle] = bytes([fill]) * len(self.model[handle])
        self.pool.write(handle, self.model[handle])

    @rule()
    def compact(self):
        before = self.pool.total_pages
        assert self.pool.compact() == before - self.pool.total_pages

    @invariant()
    def holds(self):
        self.pool.check()
        assert {handle: bytes(self.pool.read(handle, len(data))) for handle, data in self.model.items()} == self.model
        assert self.pool.objects == len(self.model)
        assert sum(row.objs_used for row in self.pool.classes_table()) == len(self.model)

    def teardown(self):
        for handle in self.model:
            self.pool.free(handle)
        assert self.pool.total_pages == 0


TestZsPool = ZsPoolMachine.TestCase
TestZsPool.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
