"""Lab 3, swapoff without page tables: slot by slot by the rmap, stopped by a signal or for want of memory."""

from __future__ import annotations

from typing import Any

from vswaplab.errors import NoMemory
from vswaplab.lab.grading.model import Check, Lab
from vswaplab.lab.grading.swapoff_lab import SwapoffHost, content, prepared, run_swapoff
from vswaplab.units import PAGE_SIZE

__all__ = ["LAB", "reference"]


def reference() -> dict[str, Any]:
    """Return a solution, as the masters have it."""

    def swapoff(host: Any) -> str:
        for slot in range(1, host.nr_slots()):
            if not host.in_use(slot):
                continue
            if host.cancelled():
                return "interrupted"
            entry = host.entry(slot)
            if not entry:
                continue
            try:
                there = host.page_in(entry)
            except NoMemory:
                return "no memory"
            if there and host.in_use(slot) and host.entry(slot) == entry:
                host.keep_in_memory(entry)
        return "done"

    return {"swapoff": swapoff}


def _whole(machine: Any, processes: list[Any], pages: int) -> None:
    """Every page of every process reads as it was written, and every invariant holds."""
    for process in processes:
        start = process.mm.vmas[0].start
        for i in range(pages):
            assert process.read(start + i * PAGE_SIZE, 16) == content(i), f"page {i} of {process.name} is lost"
    machine.check()


def _empties_the_device(student: Any) -> None:
    """Twenty-four pages of one process."""
    machine, device, processes = prepared()
    with machine:
        assert run_swapoff(student, machine, device, SwapoffHost(machine, device)) == "done", "it does not end"
        _whole(machine, processes, 24)


def _stops_at_a_signal(student: Any) -> None:
    """A signal comes after ten looks: the device stays on, what is in is in."""
    machine, device, processes = prepared()
    with machine:
        said = run_swapoff(student, machine, device, SwapoffHost(machine, device, cancel_after=10))
        assert said == "interrupted", f"a signal is pending, and swapoff says {said!r}"
        assert device.inuse_pages > 0, "it went on after the signal"
        _whole(machine, processes, 24)
        assert run_swapoff(student, machine, device, SwapoffHost(machine, device)) == "done", "a second one fails"


def _asks_for_signals_often(student: Any) -> None:
    """Between two looks for a signal at most two pages are read."""
    machine, device, _ = prepared(40)
    with machine:
        host = SwapoffHost(machine, device, cancel_after=6)
        said = run_swapoff(student, machine, device, host)
        assert said == "interrupted", f"a signal is pending, and swapoff says {said!r}"
        assert host.asked["page_in"] > 0, "nothing was read before the signal"
        assert host.asked["page_in"] <= 12, f"{host.asked['page_in']} pages are read before it notices the signal"


def _survives_want_of_memory(student: Any) -> None:
    """No page can be had half-way: it says so, and nothing is lost."""
    machine, device, processes = prepared()
    with machine:
        host, ram = SwapoffHost(machine, device), machine.ram_pages

        def shrink(host: SwapoffHost) -> None:
            if host.asked["page_in"] == 9:
                machine.ram_pages = machine.used_pages

        host.meanwhile = shrink
        said = run_swapoff(student, machine, device, host)
        machine.ram_pages = ram
        assert host.asked["page_in"] >= 9, "it says that there is no memory while there is"
        assert said == "no memory", f"no page can be had, and swapoff says {said!r}"
        _whole(machine, processes, 24)


def _walks_no_page_table(student: Any) -> None:
    """The rmap knows: no page table is read, no page twice, no slot more than three times."""
    machine, device, _ = prepared()
    with machine:
        host = SwapoffHost(machine, device)
        assert run_swapoff(student, machine, device, host) == "done", "it does not end"
        assert not host.asked["walk_page_tables"], "page tables are walked"
        assert host.asked["page_in"] <= 24, f"{host.asked['page_in']} pages are read, there are 24"
        assert host.asked["in_use"] <= 3 * device.max, f"slots are looked at {host.asked['in_use']} times"


def _notices_who_has_gone(student: Any) -> None:
    """The owner exits while its pages are on their way: their entries are gone."""
    machine, device, processes = prepared()
    with machine:
        host = SwapoffHost(machine, device)

        def leave(host: SwapoffHost) -> None:
            if host.asked["page_in"] == 5:
                processes[0].exit()

        host.meanwhile = leave
        said = run_swapoff(student, machine, device, host)
        assert said == "done", f"nobody holds a page any more, and swapoff says {said!r}"
        machine.check()


def _brings_shared_pages_in_once(student: Any) -> None:
    """Parent and child share every entry: one page in memory for both."""
    machine, device, processes = prepared(shared=True)
    with machine:
        host = SwapoffHost(machine, device)
        assert run_swapoff(student, machine, device, host) == "done", "it does not end"
        assert host.asked["page_in"] <= 24, "shared pages are read twice"
        _whole(machine, processes, 24)


LAB = Lab(
    name="lab3_swapoff",
    title="swapoff without page tables",
    entry=("swapoff",),
    checks=(
        Check("empties", 4, True, _empties_the_device, "the device is empty, every page is there"),
        Check("signal", 3, True, _stops_at_a_signal, "a signal stops it, and nothing is lost"),
        Check("no-walk", 2, True, _walks_no_page_table, "no page table is walked"),
        Check("often", 2, False, _asks_for_signals_often, "it looks for signals often"),
        Check("memory", 3, False, _survives_want_of_memory, "want of memory stops it, and nothing is lost"),
        Check("gone", 3, False, _notices_who_has_gone, "entries that have gone meanwhile are passed over"),
        Check("shared", 3, False, _brings_shared_pages_in_once, "shared pages come in once"),
    ),
    minutes=90,
    hardness="**",
)
