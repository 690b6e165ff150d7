"""tmpfs: files whose pages are in memory, in swap, or not there, held by an index instead of page tables."""

from __future__ import annotations

from random import Random

import pytest
from mmkit import contents, fill, machine, noise

from vswaplab import DeviceIOError, Interrupted, InvalidArgument, Machine, NoMemory, NotFound
from vswaplab.backends.device import Fault
from vswaplab.entry import PTE_PRESENT, Backing, pte_to_entry
from vswaplab.errors import InvariantError, Killed
from vswaplab.events import Event
from vswaplab.mm.shmem import ShmemFile
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])


def write_file(file: ShmemFile, first: int = 0) -> list[bytes]:
    """Write each page of a file, and return what was written."""
    pages = [noise(first + i) for i in range(file.pages)]
    for i, page in enumerate(pages):
        file.write(i * PAGE_SIZE, page)
    return pages


def read_file(file: ShmemFile) -> list[bytes]:
    return [file.read(i * PAGE_SIZE, PAGE_SIZE) for i in range(file.pages)]


def entries_of(file: ShmemFile) -> list[int]:
    return [pte_to_entry(pte) for _, pte in file.index() if not pte & PTE_PRESENT]


# -- contents -------------------------------------------------------------------------------------------------------


@DESIGNS
def test_a_hole_reads_as_zeros_and_takes_no_page(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", "64K")
        assert file.read(100, 3 * PAGE_SIZE) == bytes(3 * PAGE_SIZE)
        assert (file.pages, file.present_pages, m.shmem_pages, m.folio_pages) == (16, 0, 0, 0)


@DESIGNS
def test_a_file_keeps_bytes_across_page_boundaries_and_through_swap(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", "32K")
        model = bytearray(8 * PAGE_SIZE)
        random = Random(1)
        for _ in range(60):
            at, nr = random.randrange(len(model)), random.randrange(2 * PAGE_SIZE)
            data = random.randbytes(min(nr, len(model) - at))
            file.write(at, data)
            model[at : at + len(data)] = data
            if random.random() < 0.3:
                m.reclaim()
            at = random.randrange(len(model))
            assert file.read(at, len(model) - at) == model[at:]
            m.check()
        assert file.read(0, len(model)) == model


def test_a_file_begins_and_ends_where_it_says() -> None:
    with machine() as m:
        file = m.shmem_open("f", 5000)
        assert file.pages == 2
        file.write(2 * PAGE_SIZE - 1, b"x")
        for offset, nr in ((2 * PAGE_SIZE, 1), (-1, 1), (0, 2 * PAGE_SIZE + 1)):
            with pytest.raises(InvalidArgument, match="2 pages of f"):
                file.read(offset, nr)
        with pytest.raises(InvalidArgument, match="truncate makes it larger"):
            file.write(2 * PAGE_SIZE - 1, b"xy")
        assert file.read(2 * PAGE_SIZE - 1, 1) == b"x"
        with pytest.raises(InvalidArgument, match="at least one byte"):
            m.shmem_open("g", 0)


# -- out and in -----------------------------------------------------------------------------------------------------


@DESIGNS
def test_reclaim_swaps_a_file_out_and_the_index_holds_one_reference_to_each_entry(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", "64K")
        pages = write_file(file)
        assert m.reclaim() == 16
        assert (file.present_pages, file.swapped_pages, m.shmem_pages) == (0, 16, 0)
        found = [m.swap.lookup(entry) for entry in entries_of(file)]
        assert [(entry.swap_count, entry.in_swapcache) for entry in found] == [(1, False)] * 16
        assert next(iter(m.devices)).inuse_pages == 16
        m.check()
        assert read_file(file) == pages


@DESIGNS
def test_swap_is_freed_as_soon_as_a_page_is_back(design: str) -> None:
    """Unlike a page table's: a page of a file is never in its index and in the swap cache at once."""
    with machine(design=design, page_cluster=0) as m:
        file = m.shmem_open("f", "64K")
        write_file(file)
        m.reclaim()
        file.read(5 * PAGE_SIZE, 1)
        assert (file.present_pages, file.swapped_pages) == (1, 15)
        assert (len(m.swap.entries()), next(iter(m.devices)).inuse_pages) == (15, 15)
        assert m.root_memcg.stat("swapcached") == 0


@DESIGNS
def test_a_page_that_was_only_read_is_written_out_again(design: str) -> None:
    """Its slot is gone, so its folio is dirty, though nobody wrote to it."""
    with machine(design=design) as m:
        file = m.shmem_open("f", PAGE_SIZE)
        pages = write_file(file)
        device = next(iter(m.devices)).device
        for writes in (1, 2, 3):
            m.reclaim()
            assert device.writes == writes
            assert read_file(file) == pages


def test_pages_of_zeros_and_compressed_ones_come_back_too() -> None:
    with machine(zswap={}) as m:
        file = m.shmem_open("f", 2 * PAGE_SIZE)
        file.write(0, ZERO_PAGE)
        file.write(PAGE_SIZE, b"text" * 1024)
        m.reclaim()
        assert [m.swap.lookup(entry).type for entry in entries_of(file)] == [Backing.ZERO, Backing.ZSWAP]
        assert read_file(file) == [ZERO_PAGE, b"text" * 1024]


@DESIGNS
def test_what_no_backend_takes_stays_in_memory_in_the_swap_cache(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", PAGE_SIZE)
        pages = write_file(file)
        next(iter(m.devices)).device.inject(Fault("write", "EIO"))
        assert m.reclaim() == 0
        m.check()
        assert (m.folio_pages, file.swapped_pages) == (1, 1)
        assert read_file(file) == pages
        assert m.swap.entries() == []


@DESIGNS
def test_a_read_error_reaches_the_reader_and_the_page_is_lost(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", PAGE_SIZE)
        write_file(file)
        m.reclaim()
        next(iter(m.devices)).device.inject(Fault("read", "EIO"))
        with pytest.raises(DeviceIOError, match="failed with EIO"):
            file.read(0, 1)
        m.check()
        assert (file.swapped_pages, len(m.swap.entries()), m.used_pages) == (0, 0, 0)
        with pytest.raises(DeviceIOError, match="is lost"):
            file.read(0, 1)


def test_a_write_without_memory_says_so_and_leaves_the_rest() -> None:
    with machine(swap=None, ram="32K") as m:
        file = m.shmem_open("f", "64K")
        with pytest.raises(NoMemory, match="no free swap slot"):
            write_file(file)
        assert file.present_pages == 8
        assert read_file(file)[:8] == [noise(i) for i in range(8)]
        m.check()


@DESIGNS
def test_a_file_larger_than_memory_pushes_itself_out(design: str) -> None:
    with machine(design=design, ram="64K") as m:
        file = m.shmem_open("f", "256K")
        pages = write_file(file)
        assert file.present_pages + file.swapped_pages == 64
        assert file.swapped_pages >= 48
        assert read_file(file) == pages


@DESIGNS
def test_neighbours_on_a_slow_device_are_read_along(design: str) -> None:
    with machine(swap=None, design=design) as m:
        m.swapon(size="4M")
        file = m.shmem_open("f", "64K")
        pages = write_file(file)
        m.reclaim()
        file.read(0, 1)
        assert m.root_memcg.stat("swapcached") > 0
        m.check()
        assert read_file(file) == pages
        assert m.root_memcg.stat("swapcached") == 0


# -- accounts -------------------------------------------------------------------------------------------------------


@DESIGNS
def test_pages_are_charged_to_the_files_cgroup_and_wait_on_its_lists(design: str) -> None:
    with machine(design=design) as m:
        app = m.memcg("app")
        file = m.shmem_open("f", "16K", memcg=app)
        write_file(file)
        assert (app.nr_pages, app.lruvec.nr_pages) == (4, 4)
        m.reclaim(memcg=app)
        assert (app.nr_pages, app.swap_pages) == (0, 4)
        file.read(0, 4 * PAGE_SIZE)
        assert (app.nr_pages, app.swap_pages) == (4, 0)


def test_a_cgroups_limit_pushes_its_files_out() -> None:
    with machine() as m:
        app = m.memcg("app", max="16K")
        file = m.shmem_open("f", "64K", memcg=app)
        pages = write_file(file)
        assert app.nr_pages <= 4
        assert read_file(file) == pages


@DESIGNS
def test_a_file_outlives_its_cgroup(design: str) -> None:
    with machine(design=design) as m:
        app = m.memcg("app")
        file = m.shmem_open("f", "32K", memcg=app)
        pages = [noise(i) for i in range(4)]
        for i, page in enumerate(pages):
            file.write(i * PAGE_SIZE, page)
        m.reclaim()
        m.rmdir(app)
        file.write(4 * PAGE_SIZE, b"more")
        m.check()
        assert read_file(file)[:4] == pages
        assert (file.memcg, m.root_memcg.nr_pages) == (m.root_memcg, 5)
        with pytest.raises(NotFound, match="was removed"):
            m.shmem_open("g", "4K", memcg=app)


def test_pages_of_files_count_as_shmem_and_not_as_anonymous() -> None:
    with machine() as m:
        file = m.shmem_open("f", "16K")
        p = m.spawn("app")
        fill(p, p.mmap("8K"))
        for _ in range(2):
            write_file(file)
            assert m.shmem_pages == 4
            stat = {item: m.root_memcg.stat(item) >> 12 for item in ("anon", "shmem", "inactive_anon")}
            assert stat == {"anon": 2, "shmem": 4, "inactive_anon": 6}
            m.reclaim()
            p.touch(p.mm.vmas[0])
            file.read(0, 4 * PAGE_SIZE)
            stat = {item: m.root_memcg.stat(item) >> 12 for item in ("anon", "shmem")}
            assert stat == {"anon": 2, "shmem": 4}


def test_reading_and_writing_a_file_are_no_page_faults() -> None:
    with machine() as m:
        file = m.shmem_open("f", "16K")
        write_file(file)
        m.reclaim()
        read_file(file)
        assert (m.root_memcg.stat("pgfault"), m.root_memcg.stat("pgmajfault")) == (0, 0)
        assert m.root_memcg.stat("pswpin") == 4


# -- the end of a file ----------------------------------------------------------------------------------------------


@DESIGNS
@pytest.mark.parametrize("state", ["present", "swapped", "half", "cached"])
def test_unlink_frees_pages_and_swap(design: str, state: str) -> None:
    with machine(design=design, swap=None) as m:
        m.swapon(size="4M")
        file = m.shmem_open("f", "64K")
        write_file(file)
        if state != "present":
            m.reclaim()
        if state == "half":
            file.read(0, 8 * PAGE_SIZE)
        if state == "cached":  # read ahead: in the swap cache, and the index still holds the entries
            file.read(0, 1)
        file.unlink()
        m.check()
        assert (m.folio_pages, m.swap.entries(), m.shmem_files) == (0, [], {})
        assert next(iter(m.devices)).inuse_pages == 0
        with pytest.raises(NotFound, match="was removed"):
            file.read(0, 1)
        with pytest.raises(NotFound, match="was removed"):
            file.unlink()


@DESIGNS
def test_truncate_frees_what_is_cut_off_and_adds_holes(design: str) -> None:
    with machine(design=design) as m:
        file = m.shmem_open("f", "32K")
        pages = write_file(file)
        m.reclaim()
        file.read(0, 1)
        file.read(6 * PAGE_SIZE, 1)
        file.truncate(2 * PAGE_SIZE + 1)
        m.check()
        assert (file.pages, file.present_pages, file.swapped_pages) == (3, 1, 2)
        assert len(m.swap.entries()) == 2
        with pytest.raises(InvalidArgument, match="3 pages of f"):
            file.read(3 * PAGE_SIZE, 1)
        file.truncate("32K")
        assert read_file(file) == pages[:3] + [ZERO_PAGE] * 5
        with pytest.raises(InvalidArgument, match="unlink"):
            file.truncate(0)


def test_a_file_of_a_closed_machine_can_not_be_read() -> None:
    m = Machine(ram="1M")
    file = m.shmem_open("f", "4K")
    m.close()
    with pytest.raises(InvalidArgument, match="closed"):
        file.read(0, 1)
    with pytest.raises(InvalidArgument, match="closed"):
        m.shmem_open("g", "4K")


# -- swapoff --------------------------------------------------------------------------------------------------------


def test_legacy_swapoff_scans_the_index_of_each_file_with_swapped_pages() -> None:
    with machine(design="legacy", swap=None, page_cluster=0) as m:
        first = m.swapon(size="4M")
        out, half, never = (m.shmem_open(name, "32K") for name in ("out", "half", "never"))
        pages = [write_file(file, i * 100) for i, file in enumerate((out, half))]
        m.reclaim()
        half.read(0, 4 * PAGE_SIZE)
        write_file(never)
        report = m.swapoff(first)
        assert (report.shmem_inodes, report.shmem_entries, report.pages_read) == (2, 16, 12)
        assert (report.mms_walked, report.ptes_visited, report.rounds) == (0, 0, 1)
        assert (out.swapped_pages, half.swapped_pages, m.shmem_swaplist) == (0, 0, [])
        assert [read_file(out), read_file(half)] == pages


def test_a_file_with_pages_on_another_device_stays_on_the_list() -> None:
    with machine(design="legacy", swap=None) as m:
        first = m.swapon(size="16K", priority=2)  # a header and 3 slots
        m.swapon(size="4M", priority=1)
        file = m.shmem_open("f", "32K")
        pages = write_file(file)
        m.reclaim()
        report = m.swapoff(first)
        assert (report.shmem_inodes, report.shmem_entries, report.pages_read) == (1, 8, 3)
        assert (file.swapped_pages, m.shmem_swaplist) == (5, [file])
        assert read_file(file) == pages


def test_files_are_searched_newest_on_the_list_first_and_before_any_process() -> None:
    with machine(design="legacy", swap=None) as m:
        device = m.swapon(size="4M")
        old, new = m.shmem_open("old", "4K"), m.shmem_open("new", "4K")
        p = m.spawn("app")
        r = p.mmap("4K")
        for write in (lambda: write_file(old), lambda: write_file(new, 1), lambda: fill(p, r, 2)):
            write()
            m.reclaim()
        assert m.shmem_swaplist == [new, old]
        start = len(m.trace or ())
        m.swapoff(device)
        assert m.trace is not None
        mapped = [record.pid for record in m.trace[start:] if record.event is Event.PTE_MAP]
        assert mapped == [new.pid, old.pid, p.pid]


def test_virtual_swapoff_brings_files_back_without_looking_at_them() -> None:
    with machine(swap=None) as m:
        device = m.swapon(size="4M")
        file = m.shmem_open("f", "32K")
        pages = write_file(file)
        m.reclaim()
        before = entries_of(file)
        report = m.swapoff(device)
        assert (report.shmem_inodes, report.shmem_entries, report.pages_read) == (0, 0, 8)
        assert entries_of(file) == before  # the index holds the same entries: their backing is the folio now
        assert {m.swap.lookup(entry).type for entry in before} == {Backing.FOLIO}
        m.check()
        assert read_file(file) == pages


@DESIGNS
def test_a_page_of_a_file_that_can_not_be_read_is_lost_and_swapoff_goes_on(design: str) -> None:
    """shmem_unuse goes on: the index gets a marker (shmem_set_folio_swapin_error); v6 does not know of files [S14]."""
    with machine(design=design, swap=None, page_cluster=0) as m:
        device = m.swapon(size="4M")
        file = m.shmem_open("f", "32K")
        pages = write_file(file)
        m.reclaim()
        device.device.inject(Fault("read", "EIO", nth=4))
        report = m.swapoff(device)
        m.check()
        assert (report.pages_lost, list(m.devices)) == (1, [])
        assert (file.swapped_pages, file.present_pages) == ((0, 7) if design == "legacy" else (8, 0))
        for i in range(8):
            if i != 3:
                assert file.read(i * PAGE_SIZE, PAGE_SIZE) == pages[i]
        for use in (lambda: file.read(3 * PAGE_SIZE, 1), lambda: file.write(3 * PAGE_SIZE, b"new")):
            with pytest.raises(DeviceIOError, match="could not be read from swap"):
                use()
        file.truncate("12K")
        m.check()
        assert file.present_pages + file.swapped_pages == 3


def test_a_signal_stops_swapoff_within_a_file() -> None:
    with machine(design="legacy", swap=None, page_cluster=0) as m:
        device = m.swapon(size="4M")
        file = m.shmem_open("f", "32K")
        pages = write_file(file)
        m.reclaim()
        polls = iter([False] * 3 + [True] * 9)
        with pytest.raises(Interrupted, match="run it again"):
            m.swapoff(device, cancel=lambda: next(polls))
        m.check()
        assert (file.present_pages, file.swapped_pages, m.shmem_swaplist) == (3, 5, [file])
        assert m.swapoff(device).pages_read == 5
        assert read_file(file) == pages


def test_legacy_swapoff_without_memory_for_a_file_fails_and_succeeds_later() -> None:
    with machine(design="legacy", swap=None, ram="64K") as m:
        device = m.swapon(size="4M")
        file, other = m.shmem_open("f", "64K"), m.shmem_open("g", "32K")
        pages = write_file(file)
        write_file(other)
        with pytest.raises(Killed, match="swapoff stopped: no page for swap entry"):
            m.swapoff(device)
        m.check()
        other.unlink()
        m.swapoff(device)
        assert read_file(file) == pages


# -- the trace and the checks ---------------------------------------------------------------------------------------


@DESIGNS
def test_the_trace_knows_a_file_by_its_number_and_equals_what_is_there(design: str) -> None:
    with machine(design=design, zswap={}) as m:
        p = m.spawn("app")
        file = m.shmem_open("f", "32K")
        assert (file.pid, m.processes, m.shmem_files) == (p.pid + 1, {p.pid: p}, {file.pid: file})
        pages = fill(p, p.mmap("16K"))
        write_file(file)
        assert m.trace is not None

        def same() -> bool:
            assert m.trace is not None
            return not m.trace.step(len(m.trace) - 1).diff(m.snapshot().state)

        for act in (m.reclaim, lambda: file.read(0, 3 * PAGE_SIZE), lambda: file.write(0, b"x"), m.reclaim):
            act()
            assert same()
        assert {pid for pid, _ in m.snapshot().state.ptes} == {p.pid, file.pid}
        file.unlink()
        assert same()
        assert contents(p, p.mm.vmas[0]) == pages


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("swapped-file-is-listed", lambda m, f: m.shmem_swaplist.clear()),
        ("every-count-has-a-pte", lambda m, f: f.mm.page_table.set(0, 0)),
        ("swap-count-is-holders", lambda m, f: f.mm.page_table.set(2, f.mm.page_table.get(0))),
        ("pte-within-a-region", lambda m, f: f.mm.page_table.set(4, f.mm.page_table.get(0))),
        ("folio-mappings-exist", lambda m, f: f.mm.page_table.set(1, 0)),
    ],
)
def test_check_names_what_is_wrong_with_a_file(invariant: str, damage: object) -> None:
    m = Machine(ram="1M", zswap=None)
    m.swapon(size="4M")
    file = m.shmem_open("f", "16K")
    file.write(0, b"out")
    m.reclaim()
    file.write(PAGE_SIZE, b"in")
    m.check()
    damage(m, file)  # type: ignore[operator]
    with pytest.raises(InvariantError) as caught:
        m.check()
    assert caught.value.invariant == invariant
