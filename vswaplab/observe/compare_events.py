"""The tracepoints of two designs laid side by side, page by page.

Entries have other numbers in each design, and write-back or reclaim may choose other pages at other times. What both
have in common is the page that an event is about: process and virtual page number. So the events of a step are grouped
by page, and within a page matched in order, by kind and, for a change of backing, by the new one. What is left without
a partner is what one design does and the other does not.

`structures_of` says which structures of a design an event changes; their names are those of the byte ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from vswaplab.entry import Backing
from vswaplab.events import Event
from vswaplab.observe.state import PteKey
from vswaplab.observe.tracepoints import TraceRecord

__all__ = ["AlignedEvent", "EntryOwners", "align", "event_name", "structures_of"]

_PTE = (Event.PTE_MAP, Event.PTE_SWAP, Event.PTE_CLEAR)
_PAGE = (*_PTE, Event.FAULT)


def event_name(record: TraceRecord) -> str:
    """Return what kind of event a record is: its name, with the new backing where that is part of the matter."""
    if record.event in (Event.BACKING, Event.WRITEOUT):
        return f"{record.event.name} {record.new.name if record.new is not None else 'refused'}"
    return record.event.name


@dataclass(frozen=True)
class AlignedEvent:
    """An event of a page, in each design in which it happened."""

    page: PteKey | None
    """Process and virtual page number; None for what is about no page."""
    name: str
    records: Mapping[str, TraceRecord]
    """By design."""

    @property
    def only(self) -> str | None:
        """The one design in which it happened, or None if it did in both."""
        return next(iter(self.records)) if len(self.records) == 1 else None


@dataclass
class EntryOwners:
    """Which page each entry belongs to: the first that holds it after its allocation, until it is allocated anew."""

    _life: dict[int, int] = field(default_factory=dict)
    """Of each entry, the number of its present life."""
    _page: dict[int, PteKey] = field(default_factory=dict)
    _lives: int = 0

    def pages_of(self, records: Sequence[TraceRecord]) -> list[PteKey | None]:
        """Return the page that each record is about; the records follow those of the call before."""
        lives = [self._follow(record) for record in records]
        return [
            (record.pid, record.vpn) if record.event in _PAGE else self._page.get(life)
            for record, life in zip(records, lives, strict=True)
        ]

    def _follow(self, record: TraceRecord) -> int:
        if not record.entry:
            return 0
        if record.event is Event.ALLOC or record.entry not in self._life:
            self._lives += 1
            self._life[record.entry] = self._lives
        life = self._life[record.entry]
        if record.event in _PAGE:
            self._page.setdefault(life, (record.pid, record.vpn))
        return life


_Grouped = dict[PteKey | None, list[TraceRecord]]


def _by_page(records: Sequence[TraceRecord], owners: EntryOwners) -> _Grouped:
    groups: _Grouped = defaultdict(list)
    for record, page in zip(records, owners.pages_of(records), strict=True):
        groups[page].append(record)
    return groups


def align(records: Mapping[str, Sequence[TraceRecord]], owners: Mapping[str, EntryOwners]) -> tuple[AlignedEvent, ...]:
    """Return the events of one step of two designs, pages in the order in which the first design comes to them.

    `owners` carry on from step to step.
    """
    (one, first), (other, second) = ((name, _by_page(each, owners[name])) for name, each in records.items())
    aligned: list[AlignedEvent] = []
    for page in [*first, *(page for page in second if page not in first)]:
        aligned += _align_page(page, one, first.get(page, []), other, second.get(page, []))
    return tuple(aligned)


def _align_page(
    page: PteKey | None, one: str, first: list[TraceRecord], other: str, second: list[TraceRecord]
) -> Iterable[AlignedEvent]:
    names = [event_name(record) for record in first], [event_name(record) for record in second]
    for tag, i, i_end, j, j_end in SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if tag == "equal":
            for mine, theirs in zip(first[i:i_end], second[j:j_end], strict=True):
                yield AlignedEvent(page, event_name(mine), {one: mine, other: theirs})
            continue
        for mine in first[i:i_end]:
            yield AlignedEvent(page, event_name(mine), {one: mine})
        for theirs in second[j:j_end]:
            yield AlignedEvent(page, event_name(theirs), {other: theirs})


# -- structures --------------------------------------------------------------------------------------------------


def structures_of(records: Iterable[TraceRecord]) -> dict[str, int]:
    """Return how often each structure was changed by the events, by the names of the byte ledger [S10 S12 S15].

    "page tables" are those of processes, and the indexes of tmpfs files.
    """
    found: Counter[str] = Counter()
    for record in records:
        found.update(_legacy(record) if record.design == "legacy" else _virtual(record))
    return dict(sorted(found.items()))


def _virtual(record: TraceRecord) -> tuple[str, ...]:
    event = record.event
    if event in _PTE:
        return ("page tables",)
    if event in (Event.ALLOC, Event.FREE):
        physical = ("allocated", "rmap") if record.old is Backing.SWAPFILE else ()
        return ("swp_desc", "vswap_bitmap", *physical)
    if event is Event.BACKING:
        # a physical slot is taken or given back, unless the same one stays
        physical = ("allocated", "rmap") if Backing.SWAPFILE in (record.old, record.new) else ()
        return ("swp_desc", *physical)
    if event in (Event.DUPLICATE, Event.PUT, Event.CACHE_ADD, Event.CACHE_DEL):
        return ("swp_desc",)
    return ("allocated", "bad_map") if event in (Event.SWAPON, Event.SWAPOFF) else ()


_LEGACY_INDEX = {Backing.ZERO: "zeromap", Backing.ZSWAP: "zswap_tree"}
_LEGACY: dict[Event, tuple[str, ...]] = {
    **dict.fromkeys(_PTE, ("page tables",)),
    Event.ALLOC: ("swap_map", "swap_cgroup"),
    Event.FREE: ("swap_map", "swap_cgroup", "swap_table"),
    Event.DUPLICATE: ("swap_map",),
    Event.PUT: ("swap_map",),
    Event.CACHE_DEL: ("swap_map", "swap_table"),
    Event.SWAPON: ("swap_map", "swap_cgroup", "zeromap"),
    Event.SWAPOFF: ("swap_map", "swap_cgroup", "zeromap"),
}


def _legacy(record: TraceRecord) -> tuple[str, ...]:
    if record.event is Event.CACHE_ADD:
        return ("swap_table",) if record.value else ("swap_map",)
    left = (record.old, record.new) if record.event is Event.BACKING else (record.old,)
    indexes = tuple(_LEGACY_INDEX[kind] for kind in left if kind in _LEGACY_INDEX)
    return (*_LEGACY.get(record.event, ()), *indexes)
