"""Kernel-format text: columns, units and names as the kernel prints them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vswaplab import Machine, NotFound
from vswaplab.observe.kernel_memory import Cache, slab_caches, vmalloc_areas
from vswaplab.observe.procfs import DEBUGFS_FILES, PROCFS_FILES, debugfs, procfs
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import page_bytes

HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def device(path: str | None, pages: int, used: int, prio: int, type: int = 0, synchronous: bool = False) -> Any:
    inner = SimpleNamespace(path=path, synchronous=synchronous)
    return SimpleNamespace(device=inner, pages=pages, inuse_pages=used, prio=prio, type=type)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (device("/swapfile", 2047, 0, -2), "/swapfile                               file\t\t8188\t\t0\t\t-2\n"),
        (device("/dev/a b\tc\\d", 1, 1, 5), "/dev/a\\040b\\011c\\134d                   file\t\t4\t\t4\t\t5\n"),
        (device(None, 255, 3, 10, 1, True), "/dev/ram1                               partition\t1020\t\t12\t\t10\n"),
        (device(None, 255, 3, -1, 0), "/dev/sda2                               partition\t1020\t\t12\t\t-1\n"),
        (device("/big", 1 << 22, 1 << 22, -2), "/big" + " " * 36 + "file\t\t16777216\t16777216\t-2\n"),
        (device("/" + "x" * 60, 1, 0, -2), "/" + "x" * 60 + " file\t\t4\t\t0\t\t-2\n"),
    ],
)
def test_a_line_of_proc_swaps_is_the_kernels_to_the_character(given: Any, line: str) -> None:
    assert procfs(SimpleNamespace(devices=[given]), "swaps") == HEADING + line


def test_without_a_swapfile_proc_swaps_has_its_heading_only() -> None:
    machine = Machine(ram="1M")
    process = machine.spawn("app")
    process.write(process.mmap(PAGE_SIZE).start, page_bytes("text", 0))
    machine.reclaim()
    assert machine.debugfs("vswap/used") == "1\n"
    assert machine.procfs("swaps") == HEADING


def test_a_page_in_zswap_is_not_used_in_proc_swaps_and_one_written_back_is(tmp_path: Path) -> None:
    machine = Machine(ram="1M")
    machine.swapon(tmp_path / "swap.img", size="1M")
    process = machine.spawn("app")
    process.write(process.mmap(2 * PAGE_SIZE).start, page_bytes("text", 0) + page_bytes("text", 1))
    machine.reclaim()
    used = [machine.procfs("swaps").splitlines()[1].split()[3]]
    machine.writeback(1)
    used.append(machine.procfs("swaps").splitlines()[1].split()[3])
    assert used == ["0", "4"]
    machine.close()


def busy_machine() -> Machine:
    """Return a machine with two pages in zswap, one zero page, one page in memory."""
    machine = Machine(ram="1M")
    machine.swapon(size="1M")
    process = machine.spawn("app")
    region = process.mmap(4 * PAGE_SIZE)
    process.write(region.start, page_bytes("text", 0) + page_bytes("heap", 0) + ZERO_PAGE)
    machine.reclaim()
    process.write(region.start + 3 * PAGE_SIZE, b"here")
    return machine


def meminfo(machine: Machine) -> dict[str, int]:
    return {line.split(":")[0]: int(line.split()[1]) for line in machine.procfs("meminfo").splitlines()}


def test_meminfo_has_the_kernels_columns_and_order() -> None:
    text = busy_machine().procfs("meminfo")
    assert all(re.fullmatch(r"[A-Z][A-Za-z()]+: +\d+ kB", line) and len(line) == 27 for line in text.splitlines())
    assert text.startswith("MemTotal:           1024 kB\nMemFree: ")
    names = [line.split(":")[0] for line in text.splitlines()]
    assert " ".join(names) == (
        "MemTotal MemFree MemAvailable SwapCached Active Inactive Active(anon) Inactive(anon) SwapTotal SwapFree "
        "Zswap Zswapped AnonPages Slab SReclaimable SUnreclaim PageTables VmallocUsed"
    )


def test_meminfo_counts_what_is_there() -> None:
    machine = busy_machine()
    now = meminfo(machine)
    assert (now["Zswapped"], now["AnonPages"], now["PageTables"]) == (8, 4, 16)
    assert now["SwapTotal"] == now["SwapFree"] == 1020
    assert now["Active"] + now["Inactive"] == 4
    assert now["Zswap"] << 10 == int(machine.debugfs("zswap/pool_total_size"))
    assert now["MemTotal"] - now["MemFree"] == 4 + now["Zswap"]


@pytest.mark.parametrize(("design", "cached"), [("legacy", 0), ("virtual", 40)])
def test_swapcached_counts_the_swap_cache_whether_or_not_a_page_has_a_place_on_swap(design: str, cached: int) -> None:
    """After swapoff a virtual machine has pages in the swap cache, and no device at all [S10]."""
    with Machine("16M", design, zswap=None) as m:
        device = m.swapon(size="1M")
        p = m.spawn("app")
        region = p.mmap("40K")
        p.write(region.start, b"x" * region.length)
        m.reclaim()
        m.swapoff(device)
        lines = dict(line.split(":") for line in m.procfs("meminfo").splitlines())
        assert [int(lines[name].split()[0]) for name in ("SwapTotal", "SwapCached")] == [0, cached]


def test_meminfo_leaves_zswap_out_where_there_is_none() -> None:
    assert "Zswap" not in Machine(ram="1M", zswap=None).procfs("meminfo")


# -- where metadata is found -------------------------------------------------------------------------------------------

SLABINFO = re.compile(r"(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) : tunables +0 +0 +0 : slabdata +(\d+) +(\d+) +0")
VMALLOCINFO = re.compile(r"0x([0-9a-f]{16})-0x([0-9a-f]{16}) +(\d+) (\w+) pages=(\d+) vmalloc N0=(\d+)")


def swapped(design: str, size: str = "32M", zswap: dict[str, Any] | None = {}) -> Machine:  # noqa: B006 - only read
    """Return a machine with 700 pages out, some of them in zswap, some on the device."""
    machine = Machine(ram="16M", design=design, zswap=zswap, trace=False)
    machine.swapon(size=size)
    process = machine.spawn("app")
    region = process.mmap(700 * PAGE_SIZE)
    process.write(region.start, b"".join(page_bytes("text", at % 50) for at in range(700)))
    machine.reclaim()
    machine.writeback(100)
    return machine


def test_slabinfo_is_the_kernels_format_to_the_character() -> None:
    lines = swapped("virtual").procfs("slabinfo").splitlines()
    assert lines[0] == "slabinfo - version: 2.1"
    assert lines[1].startswith("# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tun")
    assert lines[2] == (
        "vswap_cluster          2     36    112   36    1 : tunables    0    0    0 : slabdata      1      1      0"
    )
    assert all(SLABINFO.fullmatch(line) for line in lines[2:])
    assert [line.split()[0] for line in lines[2:]] == ["vswap_cluster", "zswap_entry", "radix_tree_node"]


def test_vmallocinfo_is_areas_one_behind_the_other_each_with_its_guard_page() -> None:
    found = [VMALLOCINFO.fullmatch(line) for line in swapped("virtual").procfs("vmallocinfo").splitlines()]
    areas = [match.groups() for match in found if match]
    assert len(areas) == len(found)
    for start, end, size, _, pages, node in areas:
        assert int(end, 16) - int(start, 16) == int(size) == (int(pages) + 1) * PAGE_SIZE
        assert pages == node
    assert all(one[1] == next_one[0] for one, next_one in pairwise(areas))
    assert [(caller, int(pages)) for _, _, _, caller, pages, _ in areas][-1] == ("folio_alloc_swap", 3)


@pytest.mark.parametrize("design", ["legacy", "virtual"])
@pytest.mark.parametrize("size", ["1M", "32M", "40G"])
@pytest.mark.parametrize("zswap", [{}, None])
def test_what_proc_has_of_metadata_is_what_the_ledger_counts(
    design: str, size: str, zswap: dict[str, Any] | None
) -> None:
    """Line by line: arrays by the page, objects by the byte; what no file has is the pages of tables [S10]."""
    with swapped(design, size, zswap) as machine:
        ledger = machine.ledger("as allocated")
        lines = {**ledger.structures, **ledger.apart}
        held: dict[str, float] = {}
        for area in vmalloc_areas(machine):
            held[area.structure] = held.get(area.structure, 0) + area.pages * PAGE_SIZE
        for cache in slab_caches(machine):
            held[cache.structure] = held.get(cache.structure, 0) + cache.objects * cache.object_bytes
        heads = held.pop("zswap_tree_heads", 0)  # rounded up to an object of kmalloc, or to a page
        assert lines["zswap_tree_heads"].bytes <= heads < 2 * 8192 if design == "legacy" else heads == 0
        assert held == {name: lines[name].bytes for name in held}
        in_no_file = {"swap_table", "rmap", "continuation", "zswap_tree_heads"}
        left_out = {name for name in set(lines) - set(held) if lines[name].bytes} - in_no_file
        assert left_out == set()
        now = meminfo(machine)
        areas = [int(line.split("pages=")[1].split()[0]) for line in machine.procfs("vmallocinfo").splitlines()]
        assert now["VmallocUsed"] == 4 * sum(areas)
        slabs = [match for line in machine.procfs("slabinfo").splitlines() if (match := SLABINFO.fullmatch(line))]
        assert now["Slab"] == now["SReclaimable"] + now["SUnreclaim"]
        assert now["Slab"] == sum(4 * int(match[6]) * int(match[8]) for match in slabs)
        for match in slabs:
            active, objects, per, nr = (int(match[at]) for at in (2, 3, 5, 8))
            assert objects == per * nr >= active > objects - per or active == objects == 0


def test_the_virtual_design_holds_no_vmalloc_before_a_page_goes_out_and_none_after_it_is_home() -> None:
    machine = Machine(ram="16M", trace=False)
    process = machine.spawn("app")
    region = process.mmap(700 * PAGE_SIZE)
    process.write(region.start, b"".join(page_bytes("text", at % 50) for at in range(700)))
    assert meminfo(machine)["VmallocUsed"] == 0
    machine.reclaim()
    assert meminfo(machine)["VmallocUsed"] == 2 * 12
    process.exit()
    assert meminfo(machine)["VmallocUsed"] <= 12  # the cluster that the CPU has cached


def test_a_slab_has_as_many_objects_as_slub_gives_it() -> None:
    """576 bytes: 28 to a slab of four pages; 112: 36 to a page; 1,024: 16 to four pages [BACKGROUND]."""
    for size, objects, pages in ((576, 28, 4), (112, 36, 1), (56, 73, 1), (16, 256, 1), (1024, 16, 4), (8192, 4, 8)):
        cache = Cache("any", "any", 1, size)
        assert (cache.objects_per_slab, cache.slab_pages, cache.pages) == (objects, pages, pages)


def test_vmstat_is_names_and_counts() -> None:
    machine = busy_machine()
    lines = [line.split(" ") for line in machine.procfs("vmstat").splitlines()]
    counts = {name: int(value) for name, value in lines}
    assert len(counts) == len(lines)
    assert (counts["zswpout"], counts["swpout_zero"], counts["pswpout"], counts["nr_anon_pages"]) == (2, 1, 0, 1)
    assert counts["pgfault"] == 4
    assert counts["pgsteal_direct"] == counts["pgsteal_anon"] == 3
    assert counts["nr_free_pages"] == machine.free_pages
    for name in ("pswpin", "swpin_zero", "zswpin", "zswpwb", "pgmajfault", "workingset_refault_anon", "swap_ra"):
        assert counts[name] == 0


@pytest.mark.parametrize("name", DEBUGFS_FILES)
def test_a_debugfs_file_reads_as_a_number_and_a_newline(name: str) -> None:
    assert re.fullmatch(r"\d+\n", busy_machine().debugfs(name))


def test_debugfs_counts_what_is_there() -> None:
    machine = busy_machine()
    assert [machine.debugfs(name) for name in ("zswap/stored_pages", "vswap/used", "vswap/alloc_reject")] == [
        "2\n",
        "3\n",
        "0\n",
    ]


def test_unknown_names_are_answered_with_those_there_are() -> None:
    machine = Machine(ram="1M")
    with pytest.raises(NotFound, match=", ".join(PROCFS_FILES)):
        procfs(machine, "cpuinfo")
    with pytest.raises(NotFound, match="zswap/stored_pages"):
        debugfs(machine, "zswap/rubbish")


def test_zswaps_files_are_missing_where_zswap_is() -> None:
    machine = Machine(ram="1M", zswap=None)
    with pytest.raises(NotFound, match="zswap is off"):
        debugfs(machine, "zswap/stored_pages")
    assert debugfs(machine, "vswap/used") == "0\n"


def test_a_design_without_virtual_slots_has_no_vswap_files() -> None:
    legacy = SimpleNamespace(swap=SimpleNamespace(design="legacy"), zswap=None)
    with pytest.raises(NotFound, match="legacy design"):
        debugfs(legacy, "vswap/used")
