"""Lab 3's host: a device with pages on it, as a learner's swapoff sees it.

The machine behind it is the library's own. The host counts what it is asked, and refuses what a swapoff may not do.
"""

from __future__ import annotations

from typing import Annotated, Any

from vswaplab.errors import NotFound, SwapError
from vswaplab.lab.grading.signature import Host, Range
from vswaplab.mm.machine import Machine
from vswaplab.units import PAGE_SIZE

__all__ = ["METHODS", "SwapoffHost", "content", "prepared", "run_swapoff"]

Slot = Annotated[int, Range(0, (1 << 32) - 1)]
Entry = Annotated[int, Range(0, (1 << 64) - 1)]
METHODS = ("nr_slots", "in_use", "entry", "page_in", "keep_in_memory", "cancelled", "walk_page_tables")


class SwapoffHost:
    """One device that is going off, and the machine around it."""

    def __init__(self, machine: Machine, device: Any, cancel_after: int | None = None) -> None:
        self.machine, self.device = machine, device
        self.swap: Any = machine.swap
        self.left = cancel_after
        self.asked: dict[str, int] = dict.fromkeys(METHODS, 0)
        self.meanwhile: Any = None
        """Called before each page that is brought in: what else happens on the machine."""

    def nr_slots(self) -> int:
        """Return how many slots the device has: 0, the header, to this less one."""
        self.asked["nr_slots"] += 1
        return int(self.device.max)

    def in_use(self, slot: Slot) -> bool:
        """Whether a slot is allocated."""
        self.asked["in_use"] += 1
        return 0 < slot < self.device.max and bool(self.device.is_allocated(slot))

    def entry(self, slot: Slot) -> int:
        """Return the entry that a slot backs, by the rmap; 0 if it backs none."""
        self.asked["entry"] += 1
        return int(self.device.rmap_get(slot)) if 0 < slot < self.device.max else 0

    def page_in(self, entry: Entry) -> bool:
        """Bring an entry's page into the swap cache; False if the entry is gone. NoMemory if no page can be had."""
        self.asked["page_in"] += 1
        if self.meanwhile is not None:
            self.meanwhile(self)
        return self.machine.pagein(entry) is not None

    def keep_in_memory(self, entry: Entry) -> None:
        """Let the folio back its entry from now on: the slot is freed. NotFound if it is not in the swap cache."""
        self.asked["keep_in_memory"] += 1
        folio = self.swap.swap_cache_get_folio(entry)
        if folio is None:
            raise NotFound(f"Entry {entry} has no folio in the swap cache; page it in first.")
        locked, folio.locked = folio.locked, True
        self.swap.vswap_store_folio(folio.swap, folio)
        folio.dirty = True
        folio.locked = locked

    def cancelled(self) -> bool:
        """Whether a signal is pending."""
        self.asked["cancelled"] += 1
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0

    def walk_page_tables(self) -> int:
        """Walk every page table of every process; return how many entries that were."""
        self.asked["walk_page_tables"] += 1
        return sum(
            len(ptes) for process in self.machine.processes.values() for _, ptes in process.mm.page_table.leaves()
        )


def prepared(pages: int = 24, shared: bool = False) -> tuple[Machine, Any, list[Any]]:
    """Return a machine with pages of a process on a device (zswap off), the device, and the processes."""
    machine = Machine(ram=(4 * pages + 64) * PAGE_SIZE, zswap=None, page_cluster=0)
    device = machine.swapon(size="1M")
    owner = machine.spawn("owner")
    region = owner.mmap(pages * PAGE_SIZE)
    for i in range(pages):
        owner.write(region.start + i * PAGE_SIZE, content(i))
    processes = [owner, owner.fork("child")] if shared else [owner]
    machine.reclaim()
    return machine, device, processes


def content(i: int) -> bytes:
    """Return what page `i` holds: its first 16 bytes."""
    return (i + 1).to_bytes(16, "little")


def run_swapoff(student: Any, machine: Machine, device: Any, host: SwapoffHost) -> str:
    """Do what the kernel does around ``swapoff(host)``; return "done", "interrupted" or "no memory".

    AssertionError if the student says something else, or says done while slots are in use.
    """
    type_ = device.type
    machine.devices.begin_swapoff(type_)
    try:
        said = student.call("swapoff", Host(host, METHODS))
    except BaseException as error:
        machine.devices.abort_swapoff(type_)
        if isinstance(error, SwapError):
            raise AssertionError(f"swapoff lets {type(error).__name__} through; say how it ended instead") from error
        raise
    if said == "done" and not device.inuse_pages:
        machine._settle()
        machine.devices.finish_swapoff(type_)
        return "done"
    left = device.inuse_pages
    machine.devices.abort_swapoff(type_)
    machine._settle()
    assert said in ("done", "interrupted", "no memory"), f"swapoff returns {said!r}"
    assert said != "done", f"swapoff says done, and {left} slots are in use"
    return str(said)
