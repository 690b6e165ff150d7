"""One trace, two designs: the same operations on two machines in lockstep, and what differs after each.

`compare` does each operation on both machines, then yields a `Step`: how many slots of the devices are in use, which
structures were changed and how often, look-ups by kind, bytes of metadata, where each page is, input and output, and
the tracepoints of both, aligned page by page. Everything is counted, nothing estimated. `Comparison` keeps the steps,
adds them up, and prints them.

How many steps the way through virtual slots adds to a swap is a number here: `Totals.per_out` and `Totals.per_in` are
look-ups for each page that goes out and that a fault brings in. Legacy computes where the arrays of an entry are
("swap_info"); the virtual design has to look its descriptor up, most often in the CPU's look-up cache, else by a walk
of the cluster map [S16]. For that, legacy walks a tree for each page in zswap. `searches` counts what has to be looked
for, `walks` the trees among it.

>>> from vswaplab import Machine
>>> machines = {design: Machine(ram="1M", design=design) for design in ("legacy", "virtual")}
>>> operations = [("swapon", lambda m: m.swapon(size="1M")), ("spawn", lambda m: m.spawn("app").mmap("16K")),
...     ("write", lambda m: m.processes[1].write(1 << 44, b"x" * 16384)), ("reclaim", lambda m: m.reclaim())]
>>> steps = list(compare(machines, operations))
>>> {name: side.slots_used for name, side in steps[-1].sides.items()}
{'legacy': 4, 'virtual': 0}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.events import Event
from vswaplab.observe.compare_events import AlignedEvent, EntryOwners, align, event_name, structures_of
from vswaplab.observe.ledger import AS_POSTED, take_ledger
from vswaplab.observe.state import PteKey, State
from vswaplab.observe.tracepoints import Trace, TraceRecord
from vswaplab.protocols import LOOKUP_KINDS

__all__ = [
    "PART_OF",
    "SEARCHES",
    "WALKS",
    "Comparison",
    "Side",
    "Step",
    "Totals",
    "compare",
    "searches",
    "walks",
]

Operation = tuple[str, Callable[[Any], object]]
"""A name, and what to do with a machine."""

SEARCHES = ("descriptor", "zswap_tree", "bitmap_scan", "rmap")
"""Kinds of look-ups that look for something; the others are parts of these, or arithmetic."""
WALKS = ("cluster_map", "zswap_tree")
"""Kinds of look-ups that walk an xarray from its head."""
PART_OF = {"cluster_map": "descriptor", "swap_map": "swap_info", "zswap_node": "zswap_tree"}
"""Kinds that are counted within another kind."""

_OUT = ("swpout_zero", "zswpout", "pswpout")
_IN = ("swpin_zero", "zswpin", "pswpin")
_IO = ("reads", "writes", "pages_read", "pages_written")


def searches(lookups: Mapping[str, float]) -> float:
    """Return how many look-ups had to look for something."""
    return sum(lookups.get(kind, 0) for kind in SEARCHES)


def walks(lookups: Mapping[str, float]) -> float:
    """Return how many look-ups walked an xarray."""
    return sum(lookups.get(kind, 0) for kind in WALKS)


@dataclass(frozen=True)
class Side:
    """What one design did in a step, and how it stands afterwards."""

    slots_used: int
    """Slots in use on all devices, afterwards."""
    metadata: Mapping[str, float]
    """Bytes of metadata by structure, afterwards; see `vswaplab.observe.ledger`."""
    pages: Mapping[PteKey, str]
    """Where each page is afterwards: "memory", or the name of its backing."""
    lookups: Mapping[str, int]
    """Look-ups by kind, in the step."""
    touched: Mapping[str, int]
    """Changes by structure, in the step."""
    io: Mapping[str, int]
    """Requests to the devices, and pages, in the step."""
    pages_out: int
    """Pages swapped out in the step, whatever took them; write-back is not counted again."""
    pages_in: int
    records: tuple[TraceRecord, ...] = field(repr=False)
    error: str = ""
    """Why the operation failed, if it did."""

    @property
    def metadata_bytes(self) -> float:
        """Bytes of metadata afterwards."""
        return sum(self.metadata.values())

    @property
    def where(self) -> dict[str, int]:
        """Pages by where they are, afterwards."""
        return dict(sorted(Counter(self.pages.values()).items()))

    def numbers(self) -> dict[str, float]:
        """Return all that can be compared, by name."""
        return {
            "slots used": self.slots_used,
            "metadata, bytes": self.metadata_bytes,
            **{f"pages: {name}": count for name, count in self.where.items()},
            **{f"look-ups: {kind}": self.lookups[kind] for kind in LOOKUP_KINDS if self.lookups.get(kind)},
            **{f"changes: {name}": count for name, count in self.touched.items()},
            **{f"io: {name}": count for name, count in self.io.items() if count},
            "pages out": self.pages_out,
            "pages in": self.pages_in,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "slots_used": self.slots_used,
            "metadata": dict(self.metadata),
            "metadata_bytes": self.metadata_bytes,
            "pages": self.where,
            "lookups": dict(self.lookups),
            "touched": dict(self.touched),
            "io": dict(self.io),
            "pages_out": self.pages_out,
            "pages_in": self.pages_in,
            "events": dict(sorted(Counter(event_name(record) for record in self.records).items())),
            "error": self.error,
        }


_GROUPS = ("slots used", "metadata, bytes", "pages out", "pages in", "pages", "look-ups", "changes", "io")
_KINDS = list(LOOKUP_KINDS)


def _rank(name: str) -> tuple[int, int, str]:
    """Return where a number stands in a list: by group, look-ups by kind, else by name."""
    group, _, rest = name.partition(": ")
    kind = _KINDS.index(rest) if group == "look-ups" and rest in LOOKUP_KINDS else 0
    return _GROUPS.index(group), kind, rest


@dataclass(frozen=True)
class Step:
    """One operation of the workload, in both designs."""

    number: int
    operation: str
    sides: Mapping[str, Side]
    """By name of the machine, in the order given."""
    events: tuple[AlignedEvent, ...] = field(repr=False)

    def differences(self) -> dict[str, tuple[float, float]]:
        """Return what differs, by name, as the two numbers."""
        one, other = (side.numbers() for side in self.sides.values())
        rows = {name: (one.get(name, 0), other.get(name, 0)) for name in sorted(one.keys() | other.keys(), key=_rank)}
        return {name: pair for name, pair in rows.items() if pair[0] != pair[1]}

    def pages_elsewhere(self) -> dict[PteKey, tuple[str, str]]:
        """Return the pages that are not in the same kind of place in both designs, and where they are ("": gone)."""
        one, other = (side.pages for side in self.sides.values())
        pairs = {page: (one.get(page, ""), other.get(page, "")) for page in sorted(one.keys() | other.keys())}
        return {page: pair for page, pair in pairs.items() if pair[0] != pair[1]}

    def unmatched(self) -> dict[str, dict[str, int]]:
        """Return, by design, the events that only it has, and how many of each."""
        found: dict[str, Counter[str]] = {name: Counter() for name in self.sides}
        for event in self.events:
            if event.only is not None:
                found[event.only][event.name] += 1
        return {name: dict(sorted(counts.items())) for name, counts in found.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "number": self.number,
            "operation": self.operation,
            "designs": {name: side.as_dict() for name, side in self.sides.items()},
            "differences": {name: list(pair) for name, pair in self.differences().items()},
            "pages_elsewhere": len(self.pages_elsewhere()),
            "unmatched_events": self.unmatched(),
        }


@dataclass(frozen=True)
class Totals:
    """One design over all steps."""

    pages_out: int
    pages_in: int
    peak_slots: int
    peak_metadata: float
    lookups: Mapping[str, int]
    touched: Mapping[str, int]
    io: Mapping[str, int]
    per_out: Mapping[str, float]
    """Look-ups by kind for each page swapped out, over steps that did nothing else with swap; empty if none did."""
    per_in: Mapping[str, float]
    """The same for each page swapped in, by faults: swapoff is not among it."""

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "pages_out": self.pages_out,
            "pages_in": self.pages_in,
            "peak_slots": self.peak_slots,
            "peak_metadata_bytes": self.peak_metadata,
            "lookups": dict(self.lookups),
            "touched": dict(self.touched),
            "io": dict(self.io),
            "per_swap_out": dict(self.per_out),
            "per_swap_in": dict(self.per_in),
        }


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _each(sides: list[Side]) -> dict[str, float]:
    """Return look-ups by kind for each page moved."""
    total, nr = _sum(side.lookups for side in sides), sum(side.pages_out + side.pages_in for side in sides)
    return {kind: total[kind] / nr for kind in LOOKUP_KINDS if total.get(kind)} if nr else {}


def _totals(sides: list[Side], out: list[Side], came_in: list[Side]) -> Totals:
    return Totals(
        pages_out=sum(side.pages_out for side in sides),
        pages_in=sum(side.pages_in for side in sides),
        peak_slots=max(side.slots_used for side in sides),
        peak_metadata=max(side.metadata_bytes for side in sides),
        lookups=_sum(side.lookups for side in sides),
        touched=_sum(side.touched for side in sides),
        io=_sum(side.io for side in sides),
        per_out=_each(out),
        per_in=_each(came_in),
    )


def _direction(step: Step) -> str:
    """Return "out" or "in" if both designs moved the same number of pages, all that way, and "" otherwise."""
    one, other = step.sides.values()
    if (one.pages_out, one.pages_in) != (other.pages_out, other.pages_in) or (one.pages_out and one.pages_in):
        return ""
    if any(record.event is Event.SWAPOFF for record in one.records):
        return ""
    return "out" if one.pages_out else "in" if one.pages_in else ""


@dataclass
class Comparison:
    """All steps of one workload on two machines."""

    name: str
    steps: list[Step]
    traces: Mapping[str, Trace] = field(default_factory=dict, repr=False)
    """By design, the trace of its machine, for players; empty if nobody kept them."""

    @property
    def totals(self) -> dict[str, Totals]:
        """Totals by design. Look-ups for each swap are those of steps that moved as many pages in both designs, all
        one way."""
        out = [step for step in self.steps if _direction(step) == "out"]
        came_in = [step for step in self.steps if _direction(step) == "in"]
        return {
            name: _totals(*([step.sides[name] for step in steps] for steps in (self.steps, out, came_in)))
            for name in (self.steps[0].sides if self.steps else ())
        }

    @property
    def error(self) -> str:
        """Why the workload stopped, if it did: what failed, in which design."""
        failed = [
            f"{name}: {side.error}" for step in self.steps[-1:] for name, side in step.sides.items() if side.error
        ]
        return " ".join(failed)

    def added_per_swap(self) -> dict[str, dict[str, float]]:
        """Return what the second design adds to each page swapped "out" and "in": "searches", and "walks" of trees.

        A direction is missing if no step moved pages in it alone, as many in both.
        """
        one, other = self.totals.values()
        pairs = {"out": (one.per_out, other.per_out), "in": (one.per_in, other.per_in)}
        return {
            direction: {"searches": searches(b) - searches(a), "walks": walks(b) - walks(a)}
            for direction, (a, b) in pairs.items()
            if a and b
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "name": self.name,
            "steps": [step.as_dict() for step in self.steps],
            "totals": {name: totals.as_dict() for name, totals in self.totals.items()},
            "added_per_swap": self.added_per_swap() if self.steps else {},
            "error": self.error,
        }

    def __str__(self) -> str:
        from vswaplab.observe.compare_text import comparison_text

        return comparison_text(self)


class _Watch:
    """One machine, looked at before and after each operation."""

    def __init__(self, machine: Any, mode: str) -> None:
        if machine.trace is None:
            raise InvalidArgument("There is no trace to compare: make both machines with tracing on.")
        self.machine, self.mode = machine, mode
        self.devices: dict[int, Any] = {}
        """Every device there was, by id, since those that were swapped off have done input and output too."""
        self._before = self._read()

    def _read(self) -> tuple[int, dict[str, int], dict[str, int], int, int]:
        machine = self.machine
        self.devices |= {id(si.device): si.device for si in machine.devices}
        io = {name: sum(getattr(device, name) for device in self.devices.values()) for name in _IO}
        events = machine.root_memcg.events
        out = sum(events[name] for name in _OUT) - events["zswpwb"]  # write-back counts as pswpout too
        return len(machine.trace), machine.swap.lookup_counts(), io, out, sum(events[name] for name in _IN)

    def after(self, operation: Callable[[Any], object]) -> Side:
        """Do an operation and return what it did."""
        machine, error = self.machine, ""
        step, lookups, io, out, came_in = self._before
        try:
            operation(machine)
        except SwapError as failed:
            error = str(failed)
        now = self._before = self._read()
        records = tuple(machine.trace[step:])
        return Side(
            slots_used=sum(si.inuse_pages for si in machine.devices),
            metadata={name: line.bytes for name, line in take_ledger(machine, self.mode).structures.items()},
            pages=_pages(machine.trace.step(len(machine.trace) - 1)),
            lookups={kind: nr - lookups[kind] for kind, nr in now[1].items() if nr != lookups[kind]},
            touched=structures_of(records),
            io={name: nr - io[name] for name, nr in now[2].items() if nr != io[name]},
            pages_out=now[3] - out,
            pages_in=now[4] - came_in,
            records=records,
            error=error,
        )


def _pages(state: State) -> dict[PteKey, str]:
    slots = state.slots
    return {
        key: "memory" if pte.present else slots[pte.entry].backing.name if pte.entry else "lost"
        for key, pte in state.ptes.items()
    }


def compare(machines: Mapping[str, Any], operations: Iterable[Operation], mode: str = AS_POSTED) -> Iterator[Step]:
    """Do each operation on both machines, by name, and yield what it did there; both begin as they are.

    An operation is a name and a function of a machine. One that fails with a SwapError in either ends the comparison:
    its step is the last, and its side has the message. `mode` is how the ledger counts bytes. InvalidArgument if there
    are not two machines, or one has no trace.
    """
    if len(machines) != 2:
        raise InvalidArgument(f"Two machines are compared, not {len(machines)}; give two, by name.")
    watches = {name: _Watch(machine, mode) for name, machine in machines.items()}
    owners = {name: EntryOwners() for name in machines}
    for number, (label, operation) in enumerate(operations, 1):
        sides = {name: watch.after(operation) for name, watch in watches.items()}
        events = align({name: side.records for name, side in sides.items()}, owners)
        yield Step(number, label, sides, events)
        if any(side.error for side in sides.values()):
            return
