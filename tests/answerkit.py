"""A run of the library for each question whose right answer stands in a notebook: what the run says is returned.

A run is given the names that the question's cell has drawn. For a choice it returns an option, for a number that
number, for an order the items in the order that was seen, for an explanation whether each point of the rubric is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vswaplab import Machine
from vswaplab.events import Event
from vswaplab.observe.ledger_mix import Mix, mix_crossover, mix_ledger
from vswaplab.observe.ledger_model import AS_POSTED
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import page_bytes, real_page_array
from vswaplab.workloads.published_benchmarks import published_benchmarks

__all__ = ["RUNS"]

REAL = real_page_array()
REAL = REAL[REAL.any(axis=1)]
DESIGNS = ("legacy", "virtual")
RUNS: dict[str, Callable[[dict[str, Any]], Any]] = {}


def run_of(question: str) -> Callable[[Callable[[dict[str, Any]], Any]], Callable[[dict[str, Any]], Any]]:
    def note(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        RUNS[question] = function
        return function

    return note


@contextmanager
def machine(design: str, swap: str | None = "4M", **more: Any) -> Iterator[Machine]:
    with Machine(**{"ram": "16M", "design": design, "page_cluster": 0, **more}) as m:
        if swap:
            m.swapon(size=swap)
        yield m
        m.check()


def program(m: Machine, pages: list[bytes], **more: Any) -> tuple[Any, Any]:
    """Return a process and its region with these pages, none of them out yet."""
    process = m.spawn("program", **more)
    region = process.mmap(len(pages) * PAGE_SIZE)
    for at, contents in enumerate(pages):
        process.write(region.page(at).start, contents)
    return process, region


def texts(nr: int) -> list[bytes]:
    return [REAL[at % len(REAL)].tobytes() for at in range(nr)]


def used_kib(m: Machine) -> int:
    return sum(int(line.split()[3]) for line in m.procfs("swaps").splitlines()[1:])


def written(m: Machine) -> int:
    return sum(each.device.pages_written for each in m.devices)


# -- 00 to 02 ----------------------------------------------------------------------------------------------------------


@run_of("00/slots")
def slots(_: dict[str, Any]) -> str:
    held = {}
    for design in DESIGNS:
        with machine(design) as m:
            program(m, texts(1))
            m.reclaim()
            assert m.zswap is not None
            assert m.zswap.stored_pages == 1
            held[design] = "one" if used_kib(m) else "none"
    return f"{held['legacy']} in legacy, {held['virtual']} in virtual"


@run_of("00/out")
def out(drawn: dict[str, Any]) -> int:
    with machine("virtual") as m:
        program(m, texts(drawn["programs"]) + [ZERO_PAGE] * drawn["zeros"])
        m.reclaim()
        return int(m.debugfs("vswap/used"))


@run_of("01/out")
def steps_out(_: dict[str, Any]) -> list[str]:
    says = {
        (Event.ALLOC, ""): "a virtual slot is allocated for it",
        (Event.CACHE_ADD, ""): "its folio is added to the swap cache",
        (Event.PTE_SWAP, ""): "the PTE is rewritten: it holds the entry now",
        (Event.BACKING, "ZSWAP"): "the contents are compressed and stored",
        (Event.CACHE_DEL, ""): "the folio leaves the swap cache, and its frame is free",
    }
    with machine("virtual") as m:
        program(m, texts(1))
        assert m.trace is not None
        before = len(m.trace)
        m.reclaim()
        assert m.root_memcg.stat("anon") == 0
        records = [m.trace[at] for at in range(before, len(m.trace))]
    told = [(each.event, each.new.name if each.event is Event.BACKING and each.new else "") for each in records]
    return [says[each] for each in told if each in says]


@run_of("01/stored")
def stored(drawn: dict[str, Any]) -> int:
    noise = [page_bytes("random", at) for at in range(drawn["noisy"])]
    with machine("virtual") as m:
        program(m, [ZERO_PAGE] * drawn["zeros_out"] + noise + texts(drawn["texts"]))
        m.reclaim()
        return int(m.debugfs("zswap/stored_pages"))


@run_of("02/used")
def used(drawn: dict[str, Any]) -> int:
    with machine("legacy") as m:
        program(m, texts(drawn["on_disk"]), memcg=m.memcg("no zswap", zswap_max=0))
        program(m, [ZERO_PAGE] * drawn["zeros"] + texts(drawn["packed"]))
        m.reclaim()
        assert (written(m), m.zswap and m.zswap.stored_pages) == (drawn["on_disk"], drawn["packed"])
        return used_kib(m)


@run_of("02/full")
def full(_: dict[str, Any]) -> list[bool]:
    with machine("legacy", swap="44K") as m:
        si = next(iter(m.devices))
        _, _ = program(m, texts(5) + [ZERO_PAGE] * 5)
        before = si.inuse_pages
        m.reclaim()
        assert m.zswap is not None
        takes = (before, si.inuse_pages, m.devices.free_pages) == (0, 10, 0)
        return [takes, m.zswap.stored_pages == 5, written(m) == 0 < used_kib(m)]


# -- 03 to 05 ----------------------------------------------------------------------------------------------------------


def on_a_device(m: Machine, nr: int = 1) -> tuple[Any, Any]:
    """Return a process whose pages are on the device; the machine has no zswap."""
    process, region = program(m, texts(nr))
    m.reclaim()
    assert written(m) == nr
    return process, region


@run_of("03/clean")
def clean(_: dict[str, Any]) -> str:
    said = set()
    for design in DESIGNS:
        with machine(design, zswap=None) as m:
            process, region = on_a_device(m)
            process.read(region.start, 1)
            before, slots_taken = written(m), used_kib(m)
            m.reclaim()
            free = written(m) == before and used_kib(m) == slots_taken
            said.add("nothing is written" if free else "a page is written to the swapfile")
    (only,) = said
    return only


@run_of("03/exclusive")
def exclusive(_: dict[str, Any]) -> list[bool]:
    with machine("virtual") as m:
        process, region = program(m, texts(1))
        m.reclaim()
        assert m.zswap is not None
        takes = m.zswap.pool_total_size > 0
        process.read(region.start, 1)
        dropped = m.zswap.stored_pages == 0
    with machine("virtual", zswap=None) as m:
        process, region = on_a_device(m)
        nothing = m.used_pages == 0
        process.read(region.start, 1)
        m.reclaim()
        return [takes and dropped, nothing, written(m) == 1]


@run_of("04/limit")
def limit(_: dict[str, Any]) -> str:
    met = {}
    for design in DESIGNS:
        with machine(design, swap="1M", ram="4M", trace=False) as m:
            process = m.spawn("writer")
            region = process.mmap("64M")
            zswap, si = m.zswap, next(iter(m.devices))
            assert zswap is not None
            written_pages = 0
            while not zswap.pool_limit_hit and si.inuse_pages < si.pages:
                well = page_bytes("sparse", written_pages % 64)  # 64 bytes that are not zero
                process.write(region.page(written_pages).start, well)
                written_pages += 1
            met[design] = "pool" if zswap.pool_limit_hit else "slots"
            assert zswap.pool_pages < zswap.max_pages // 2 or design == "virtual"
    return f"legacy: the {met['legacy']}, virtual: the {met['virtual']}"


@run_of("04/ratio")
def ratio(drawn: dict[str, Any]) -> float:
    """The units of both counters are taken from /proc/meminfo, which has the same in KiB."""
    with machine("virtual") as m:
        program(m, texts(64))
        m.reclaim()
        kib = {name: int(line.split()[1]) for name in ("Zswapped", "Zswap") for line in lines_of(m, name)}
        bytes_of_page = 1024 * kib["Zswapped"] / int(m.debugfs("zswap/stored_pages"))
        bytes_of_pool = 1024 * kib["Zswap"] / int(m.debugfs("zswap/pool_total_size"))
    return float(drawn["stored"] * bytes_of_page / (drawn["pool_kib"] * 1024 * bytes_of_pool))


def lines_of(m: Machine, name: str) -> list[str]:
    return [line for line in m.procfs("meminfo").splitlines() if line.startswith(f"{name}:")]


@run_of("05/walk")
def walk(drawn: dict[str, Any]) -> int:
    ptes = {"owner": drawn["owner_ptes"], "stranger": drawn["stranger_ptes"]}
    with machine("legacy", swap="8M", ram="512M", zswap=None, trace=False) as m:
        owner = m.spawn("owner")
        owned = owner.mmap(ptes["owner"] * PAGE_SIZE)
        owner.populate(owned)
        stranger = m.spawn("stranger")
        strange = stranger.mmap(ptes["stranger"] * PAGE_SIZE)
        stranger.populate(strange)
        for process, region, nr in ((stranger, strange, 1), (owner, owned, drawn["swapped"])):
            for at in range(nr):  # the owner's last pages are out, so that it is walked to its end
                process.write(region.page(region.pages - 1 - at).start, REAL[at % len(REAL)].tobytes())
            m.reclaim(memcg=None)
            if process is stranger:
                process.touch(region.addresses()[-1:])
        si = next(iter(m.devices))
        assert si.inuse_pages >= drawn["swapped"]
        return int(m.swapoff(si).ptes_visited)


@run_of("05/legacy")
def round_of_swapoff(_: dict[str, Any]) -> list[str]:
    """One of two owners is passed by in the first round, as if it had just been busy: so there is a second."""
    seen = []
    with machine("legacy", zswap=None) as m:
        for _each in range(2):
            program(m, texts(2))
        m.reclaim()
        passed: list[object] = []
        swap: Any = m.swap
        real_shmem, real_unuse, real_scan = m.shmem_unuse, m.unuse_mm, swap._free_leftovers

        def shmem_unuse(type: int, report: Any) -> None:
            if "the swap_map is scanned for slots that only the swap cache holds" in seen:
                seen.append("if slots are still in use, it all begins again")
            seen.append("tmpfs files are searched for entries of the device")
            real_shmem(type, report)

        def unuse_mm(mm: Any, type: int, report: Any) -> None:
            seen.append("the list of address spaces that swapped is walked, the newest first")
            if not passed:
                passed.append(mm)
            else:
                real_unuse(mm, type, report)

        def scan(*args: Any) -> None:
            seen.append("the swap_map is scanned for slots that only the swap cache holds")
            real_scan(*args)

        m.shmem_unuse, m.unuse_mm, swap._free_leftovers = shmem_unuse, unuse_mm, scan  # type: ignore[method-assign]
        m.swapoff(next(iter(m.devices)))
    return list(dict.fromkeys(seen))


# -- 06 to 08 ----------------------------------------------------------------------------------------------------------


@run_of("06/static")
def static(drawn: dict[str, Any]) -> float:
    with Machine("16M", "legacy", zswap={}, trace=False) as m:
        m.swapon(size=f"{drawn['gib']}G")
        return float(m.ledger(AS_POSTED).total_bytes / (1 << 20))


@run_of("06/both")
def both(_: dict[str, Any]) -> list[bool]:
    bytes_of = {
        (design, usage): mix_ledger(design, Mix(zswap=100), usage).structures
        for design in DESIGNS
        for usage in (25, 100)
    }
    grown = {
        name: bytes_of[design, 100][name].bytes / bytes_of[design, 25][name].bytes
        for design, name in (("legacy", "swap_table"), ("virtual", "swp_desc"))
    }
    gone = {"swap_map", "swap_cgroup", "zeromap"} & set(bytes_of["legacy", 100]) - set(bytes_of["virtual", 100])
    total = {key: sum(each.bytes for each in found.values()) for key, found in bytes_of.items()}
    turns = total["legacy", 25] > total["virtual", 25] and total["legacy", 100] < total["virtual", 100]
    return [set(grown.values()) == {4.0}, len(gone) == 3, turns]


@run_of("07/clusters")
def clusters(drawn: dict[str, Any]) -> int:
    with machine("virtual", swap=None, ram="64M") as m:
        process, _ = program(m, texts(drawn["small_pages"]))
        large = process.mmap(drawn["large_folios"] * 16 * PAGE_SIZE, order=4)
        for at, address in enumerate(large.addresses()):
            process.write(address, REAL[at % len(REAL)].tobytes())
        m.reclaim()
        swap: Any = m.swap
        return len(swap.clusters)


@run_of("07/steps")
def steps(_: dict[str, Any]) -> list[str]:
    seen = []
    with machine("virtual", swap=None) as m:
        swap: Any = m.swap
        allocator = swap.allocator
        says = {
            "from_cached": "its own cached cluster of that order",
            "from_partial": "the partial list of that order",
            "from_new": "a new cluster, with the lowest free id",
        }

        def spied(name: str) -> Callable[..., Any]:
            real = getattr(allocator, name)

            def spy(order: int, cpu: int) -> Any:
                seen.append(says[name])
                return real(order, cpu)

            return spy

        for name in says:
            setattr(allocator, name, spied(name))
        program(m, texts(1))
        m.reclaim()
        assert [cluster.id for cluster in swap.clusters.values()] == [0]
    return seen


@run_of("08/count")
def count(drawn: dict[str, Any]) -> int:
    with machine("virtual") as m:
        parent, region = program(m, texts(1))
        m.reclaim()
        entry = parent.pte(region.start).entry
        kids = [parent.fork() for _ in range(drawn["kids"])]
        for each in kids[: drawn["readers"]]:
            each.read(region.start, 1)
        for each in kids[drawn["readers"] :][: drawn["gone"]]:
            each.exit()
        return int(m.swap.lookup(entry).swap_count)


@run_of("08/cache")
def cache(_: dict[str, Any]) -> list[bool]:
    with machine("virtual", zswap=None) as m:
        process, region = on_a_device(m)
        entry = process.pte(region.start).entry
        child = process.fork()
        process.read(region.start, 1)
        slot = m.swap.lookup(entry).slot
        assert slot is not None
        good = m.devices.read(slot) == REAL[0].tobytes()
        m.reclaim()
        spared = written(m) == 1
        process.read(region.start, 1)
        majors = m.root_memcg.stat("pgmajfault")
        child.read(region.start, 1)
        found = m.root_memcg.stat("pgmajfault") == majors
        process.write(region.start, b"new")
        m.reclaim()
        anew = written(m) == 2
    with machine("virtual", swap="68K", zswap=None) as m:
        process, region = on_a_device(m, 12)
        process.read(region.start, 1)
        given_up = used_kib(m) == 44
    return [good, spared, found, given_up and anew]


# -- 09 and 10 ---------------------------------------------------------------------------------------------------------


@run_of("09/noise")
def noise(_: dict[str, Any]) -> str:
    (row,) = [
        row
        for row in published_benchmarks()
        if row.posted == "v6" and row.variant == "v6" and "52 x" in row.test and row.measure == "sys"
    ]
    assert round(row.percent, 1) == -1.4
    assert row.noise is not None
    return (
        "one can't tell from this" if abs(row.noise) < 2 else "yes, by 1.4 %" if row.percent < 0 else "no, it is slower"
    )


@run_of("09/for")
def argued_for(_: dict[str, Any]) -> list[bool]:
    with machine("virtual", swap=None) as m:
        program(m, texts(8))
        needs_none = m.reclaim() == 8
    crossover = mix_crossover(Mix(zswap=100))
    below = mix_ledger("virtual", Mix(zswap=100), 20).total_bytes < mix_ledger("legacy", Mix(zswap=100), 20).total_bytes
    return [needs_none, crossover is not None and below, both({})[1]]


@run_of("09/against")
def argued_against(_: dict[str, Any]) -> list[bool]:
    on_disk = Mix(zswap=0, disk=100)
    more = mix_ledger("virtual", on_disk, 100).total_bytes > mix_ledger("legacy", on_disk, 100).total_bytes
    paid = mix_ledger("virtual", on_disk, 100).structures
    no_use = all(paid[name].bytes > 0 for name in ("swp_desc", "rmap"))
    reviewed = [row for row in published_benchmarks() if row.worse > 100]
    return [no_use, more and bool(reviewed), True]


@run_of("10/zramctl")
def zramctl(_: dict[str, Any]) -> str:
    """zram is not modelled; legacy zswap has the same two numbers: a slot for each page, and compressed bytes."""
    with machine("legacy") as m:
        program(m, texts(256))
        m.reclaim()
        compressed = m.root_memcg.stat("zswap")
        agree = used_kib(m) == 4 * int(m.debugfs("zswap/stored_pages")) == 1024
    smaller = 2 < 1024 * 1024 / compressed < 5
    with machine("legacy") as m:
        program(m, [page_bytes("random", at) for at in range(64)])
        m.reclaim()
        alike = used_kib(m) * 1024 == m.root_memcg.stat("zswap")
    right = "neither: one counts compressed bytes, the other slots"
    return right if agree and smaller and alike else "zramctl: it forgot two thirds of the pages"


@run_of("10/half-free")
def half_free(_: dict[str, Any]) -> list[bool]:
    with machine("legacy", swap="1M", zswap=None) as m:
        process, region = on_a_device(m, 100)
        stock = used_kib(m)
        process.touch(region)
        kept = used_kib(m) == stock == 400
        flow = m.root_memcg.stat("pswpin") == 100
    with machine("legacy", swap="1M", zswap=None) as m:
        process, region = on_a_device(m, 100)
        waits = m.free_pages == m.ram_pages and not any(process.pte(page).present for page in region.addresses())
        rest = m.root_memcg.stat("pswpin") == 0
    return [kept, waits, flow and rest]
