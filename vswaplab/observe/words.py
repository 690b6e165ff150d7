"""Words: a record as one plain sentence, and the kernel function it stands for with the source that says so.

Each design has words of its own: an entry is called by its number in the virtual design; in the legacy design it is a
slot of a swapfile, and is called that.

Sources are the tags of docs/facts.md: [S10] is the virtual swap layer itself, [S12] the life of a slot before it, [S13]
the patch that separates slots from backings, [S14] swapoff, [S20] the allocator of slots, [S21] zswap, [S23] the swap
table; [BACKGROUND] is general knowledge of mainline, not read for this project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vswaplab.entry import Backing, swp_slot_t
from vswaplab.events import Event
from vswaplab.units import PAGE_SHIFT

if TYPE_CHECKING:
    from vswaplab.observe.tracepoints import TraceRecord

__all__ = [
    "BACKING_NAMES",
    "LEGACY_PLACES",
    "KernelCall",
    "address",
    "describe",
    "entry_name",
    "fields_of",
    "kernel_call",
    "sentence",
]

BACKING_NAMES = {
    Backing.SWAPFILE: "a swapfile slot",
    Backing.ZERO: "the zero page",
    Backing.ZSWAP: "a zswap entry",
    Backing.FOLIO: "a folio in memory",
}
"""What the four backings are called in a sentence."""

LEGACY_PLACES = {
    Backing.SWAPFILE: "on the device",
    Backing.ZERO: "zeros alone, by its zeromap bit",
    Backing.ZSWAP: "in a zswap entry",
    Backing.FOLIO: "in a folio in memory",
}
"""Where the contents of a slot are, in the legacy design, in a sentence."""


class KernelCall(NamedTuple):
    """A kernel function and the tag of the source that names it."""

    function: str
    source: str

    def __str__(self) -> str:
        return f"{self.function} [{self.source}]"


_CALLS: dict[Event, KernelCall] = {
    Event.SPAWN: KernelCall("copy_process", "BACKGROUND"),
    Event.EXIT: KernelCall("exit_mmap", "BACKGROUND"),
    Event.SWAPON: KernelCall("swapon", "BACKGROUND"),
    Event.SWAPOFF: KernelCall("swapoff", "S14"),
    Event.ALLOC: KernelCall("folio_alloc_swap", "S10"),
    Event.FREE: KernelCall("vswap_free_nr", "S10"),
    Event.DUPLICATE: KernelCall("swap_duplicate", "S10"),
    Event.PUT: KernelCall("swap_free_nr", "S10"),
    Event.PTE_SWAP: KernelCall("set_pte_at", "BACKGROUND"),
    Event.PTE_CLEAR: KernelCall("zap_pte_range", "BACKGROUND"),
    Event.WRITEOUT: KernelCall("swap_writeout", "S13"),
    Event.WRITEBACK: KernelCall("zswap_writeback_entry", "S21"),
    Event.RECLAIM: KernelCall("shrink_folio_list", "BACKGROUND"),
}

_BACKING_CALLS: dict[Backing | None, KernelCall] = {
    Backing.SWAPFILE: KernelCall("vswap_alloc_swap_slot", "S10"),
    Backing.ZERO: KernelCall("swap_zeromap_folio_set", "S10"),
    Backing.ZSWAP: KernelCall("zswap_entry_store", "S10"),
}

_LEGACY_CALLS: dict[Event, KernelCall] = {
    **_CALLS,
    Event.SWAPOFF: KernelCall("try_to_unuse", "S14"),
    Event.ALLOC: KernelCall("folio_alloc_swap", "S20"),
    Event.FREE: KernelCall("swap_entries_free", "BACKGROUND"),
    Event.DUPLICATE: KernelCall("__swap_duplicate", "S12"),
    Event.PUT: KernelCall("swap_free_nr", "S12"),
    Event.PTE_MAP: KernelCall("do_swap_page", "BACKGROUND"),
    Event.FAULT: KernelCall("do_swap_page", "BACKGROUND"),
    Event.WRITEOUT: KernelCall("swap_writeout", "BACKGROUND"),
}


def _legacy_call(record: TraceRecord) -> KernelCall:
    event = record.event
    if event is Event.PTE_SWAP and not record.entry:
        return KernelCall("unuse_pte", "S14")
    if event is Event.BACKING:
        if record.new is Backing.ZSWAP:
            return KernelCall("zswap_store", "S21")
        if record.new is Backing.ZERO:
            return KernelCall("swap_zeromap_folio_set", "S13")
        if record.old is Backing.ZSWAP:
            return KernelCall("zswap_writeback_entry" if record.new is Backing.SWAPFILE else "zswap_load", "S21")
        return KernelCall("swap_writeout", "BACKGROUND")
    if event is Event.CACHE_ADD:
        return KernelCall("swap_cache_add_folio", "S23") if record.value else KernelCall("swapcache_prepare", "S12")
    if event is Event.CACHE_DEL:
        return KernelCall("__remove_mapping", "BACKGROUND") if record.value else KernelCall("swapcache_clear", "S12")
    if event in (Event.PTE_MAP, Event.FAULT) and not record.entry:
        return KernelCall("set_pte_at" if event is Event.PTE_MAP else "handle_mm_fault", "BACKGROUND")
    return _LEGACY_CALLS.get(event, KernelCall("", ""))


def kernel_call(record: TraceRecord) -> KernelCall:
    """Return the kernel function that makes the change a record tells of, and its source."""
    event = record.event
    if record.design == "legacy":
        return _legacy_call(record)
    if event is Event.BACKING:
        # swap-in and swapoff store the folio; a write-out that can't use the old backing prepares itself so
        to_folio = "vswap_prepare_writeout" if record.old is Backing.ZERO else "vswap_store_folio"
        return _BACKING_CALLS.get(record.new, KernelCall(to_folio, "S10"))
    if event is Event.CACHE_ADD:
        return KernelCall("swap_cache_add_folio" if record.value else "swapcache_prepare", "S10")
    if event is Event.CACHE_DEL:
        return KernelCall("__vswap_remove_mapping" if record.value else "swapcache_clear", "S10")
    if event is Event.PTE_MAP:
        return KernelCall("do_swap_page", "S13") if record.entry else KernelCall("set_pte_at", "BACKGROUND")
    if event is Event.FAULT:
        return KernelCall("do_swap_page", "S13") if record.entry else KernelCall("handle_mm_fault", "BACKGROUND")
    return _CALLS.get(event, KernelCall("", ""))


def address(vpn: int) -> str:
    """Return a virtual page number as the address of its first byte."""
    return f"{vpn << PAGE_SHIFT:#x}"


def entry_name(entry: int, design: str) -> str:
    """Return what an entry is called within a sentence: by its number, in legacy as the physical slot that it is."""
    if design != "legacy":
        return f"entry {entry}"
    slot = swp_slot_t(entry)
    return f"slot {slot.offset} of swapfile {slot.type}"


def _legacy_backing(record: TraceRecord) -> str:
    was = LEGACY_PLACES[record.old] if record.old is not None else "nowhere"
    now = LEGACY_PLACES[record.new] if record.new is not None else "nowhere"
    if record.new is Backing.ZSWAP:
        now = "in zswap entry {slot} ({amount} bytes)"
    kept = "" if record.new is Backing.SWAPFILE else "; the slot stays taken"
    return f"{{Entry}}: its contents were {was} before, they are {now} now{kept}."


def _backing(record: TraceRecord) -> str:
    if record.design == "legacy":
        return _legacy_backing(record)
    was = BACKING_NAMES[record.old] if record.old is not None else "nothing"
    if record.new is Backing.SWAPFILE:
        now = "{physical}"
    elif record.new is Backing.ZSWAP:
        now = "zswap entry {slot} ({amount} bytes)"
    else:
        now = BACKING_NAMES[record.new] if record.new is not None else "nothing"
    return f"{{Entry}}: backed by {was} before, by {now} now."


def _cache(record: TraceRecord) -> str:
    if record.event is Event.CACHE_ADD:
        if record.value:
            return "{Entry}: folio {pointer} is in the swap cache now."
        return "{Entry}: pinned for the swap cache; its folio is on its way."
    return "{Entry}: out of the swap cache" + ("; a shadow stays behind." if record.value else ".")


def _pte(record: TraceRecord) -> str:
    if record.event is Event.PTE_MAP:
        held = "{entry}" if record.entry else "nothing"
        return f"Page {{address}} of process {{pid}}: the PTE held {held} and maps frame {{value}} now."
    if record.event is Event.PTE_SWAP:
        held = "{entry}" if record.entry else "a poison marker: its page is lost, it could not be read,"
        return f"Page {{address}} of process {{pid}}: the PTE holds {held} now."
    held = " It held {entry}." if record.entry else ""
    return f"Page {{address}} of process {{pid}}: the PTE is empty now.{held}"


def _fault(record: TraceRecord) -> str:
    access = "write" if record.value & 1 else "read"
    size = "major" if record.value & 2 else "minor"
    found = "finds {entry} in the PTE" if record.entry else "finds no page"
    return f"Page {{address}} of process {{pid}}: a {access} {found} ({size} fault)."


def _writeout(record: TraceRecord) -> str:
    if record.new is None:
        return "{Entry}: nothing takes the folio or needs it; it stays in memory."
    if record.design == "legacy":
        return f"{{Entry}}: written out; its contents are {LEGACY_PLACES[record.new]}."
    return f"{{Entry}}: written out; backed by {BACKING_NAMES[record.new]}."


def _process(record: TraceRecord) -> str:
    if record.event is Event.EXIT:
        return "Process {pid} exits."
    return "Process {value} forks process {pid}." if record.value else "Process {pid} starts."


def _other(record: TraceRecord) -> str:
    value = record.value
    if record.event is Event.MARK:
        return "Mark: {label}"
    if record.event is Event.SWAPON:
        return "Swapfile {slot} is on, with {amount} usable slots."
    if record.event is Event.SWAPOFF:
        return "Swapfile {slot} is off."
    if record.event is Event.ALLOC:
        owner = " for memory cgroup {value}" if value else ""
        if record.design == "legacy":
            return f"{{Entry}} is taken{owner}: reserved on the device, whatever will have the contents."
        return f"{{Entry}} is allocated{owner}; its folio in memory is the backing."
    if record.event is Event.FREE:
        return "{Entry} is free: no page table and no swap cache refers to it."
    if record.event is Event.WRITEBACK:
        where = "its place on the device" if record.design == "legacy" else "a swapfile"
        if value > 1:
            return f"{{Entry}}: write-back from zswap to {where} failed; the page is in its folio, dirty."
        return f"{{Entry}}: write-back from zswap to {where} {'done' if value else 'refused'}."
    return "Reclaim was asked for {amount} pages and got {got}."


def sentence(record: TraceRecord) -> str:
    """Return what a record says, as a plain sentence with the names of its fields in braces; see `fields_of`.

    It depends on what kind of record it is (event, backings, whether entry and value are 0, the bits of a fault's
    value), not on the numbers, so that few sentences tell a whole trace.
    """
    event = record.event
    if event in (Event.PTE_MAP, Event.PTE_SWAP, Event.PTE_CLEAR):
        return _pte(record)
    if event in (Event.CACHE_ADD, Event.CACHE_DEL):
        return _cache(record)
    if event in (Event.DUPLICATE, Event.PUT):
        return "{Entry}: swap_count is now {value}."
    if event is Event.BACKING:
        return _backing(record)
    if event is Event.FAULT:
        return _fault(record)
    if event is Event.WRITEOUT:
        return _writeout(record)
    return _process(record) if event in (Event.SPAWN, Event.EXIT) else _other(record)


def fields_of(record: TraceRecord) -> dict[str, str | int]:
    """Return what stands for the names in a record's `sentence`."""
    entry, physical = entry_name(record.entry, record.design), swp_slot_t(record.slot)
    return {
        "Entry": entry[:1].upper() + entry[1:],
        "entry": entry,
        "address": address(record.vpn),
        "pid": record.pid,
        "slot": record.slot,
        "got": f"{record.slot:,}",
        "physical": f"slot {physical.offset} of swapfile {physical.type}",
        "value": record.value,
        "amount": f"{record.value:,}",
        "pointer": f"{record.value:#x}",
        "label": record.label,
    }


def describe(record: TraceRecord) -> str:
    """Return what a record says, as one plain sentence."""
    return sentence(record).format_map(fields_of(record))
