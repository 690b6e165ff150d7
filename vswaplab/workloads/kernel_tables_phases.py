"""The model against real kernels, phase by phase: pages shared by fork, and zswap without a device.

``data/kernel/phases.csv``. *fork*: a parent writes 512 pages and forks K children; all goes out; one child reads every
page, then writes them all; the parent reads; the children end; the parent ends. *noswap*: 2,048 pages, zswap but no
device; 4 MiB are asked for, then the memory cgroup's limit falls below what is there. `phase_cells` runs the same on a
`Machine` and returns every number of the table beside the model's.

The processes measured had pages of their own beside the 512: stacks, data, a buffer. They are part of the workload, so
the model is given as many: 8 of the parent (7 on 6.12) and the rest, by what the cgroup had swapped in phase 1, evenly
of the children. One page of the parent is incompressible (a zero page in the runs of zero pages), one of each child is
zero. How many of them came back by each phase is read off ``zswpin`` and ``swpin_zero``. Where these pages went, which
slots they took and what was freed is then the model's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

from vswaplab.backends.compressors import available
from vswaplab.errors import InvalidArgument, NoMemory
from vswaplab.mm.machine import Machine
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import KINDS, MIX_PAGES, mix_pages, page_bytes
from vswaplab.workloads.counters import EVENTS, counters
from vswaplab.workloads.kernel_tables import STAND_IN, count_of, design_of, read_table, stores_incompressible
from vswaplab.workloads.kernel_tables_cells import Comparison, exempt, lines_of
from vswaplab.workloads.kernel_tables_named import PHASES, PHASES_NAMED, SHARED_PAGES

__all__ = [
    "ForkInput",
    "PhaseRow",
    "measure_fork",
    "measure_noswap",
    "phase_cells",
    "phase_rows",
    "phase_table",
]

PARENT_BACK = 5
"""Pages of its own that the parent reads back in every run, of those that compress."""
COMPRESSOR = "lzo"
"""Of the machines measured."""
NAMES = ("kernel", "scenario", "label", "phase")


@dataclass(frozen=True)
class PhaseRow:
    """A row of the table: kernel, scenario, label and phase, and what was counted (empty columns are missing)."""

    kernel: str
    scenario: str
    label: str
    phase: str
    counts: dict[str, int]

    @property
    def names(self) -> dict[str, str]:
        """The cells that say which row it is."""
        return {name: getattr(self, name) for name in NAMES}


def phase_rows() -> list[PhaseRow]:
    """Return the rows of ``phases.csv``; NotFound without the file, InvalidArgument if it is damaged."""
    return read_table("phases.csv", _phase)


def _phase(cells: dict[str, str]) -> PhaseRow:
    kernel, scenario, label, phase = (cells.pop(name) for name in NAMES)
    return PhaseRow(kernel, scenario, label, phase, {name: count_of(text) for name, text in cells.items() if text})


# -- fork --------------------------------------------------------------------------------------------------------


@dataclass
class _Own:
    """Pages that are a process's own, and which of them have not been read back yet, by where they went."""

    process: Process
    region: Region
    compressed: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ForkInput:
    """What a run of the fork scenario is given, as read off the table."""

    kind: str
    children: int
    parent_own: int
    own: int
    back: tuple[tuple[str, int, int], ...]
    """Phase, own pages read back so far from zswap, and zero ones."""


@lru_cache(maxsize=64)
def measure_fork(kernel: str, given: ForkInput) -> dict[str, dict[str, int]]:
    """Run the scenario on a machine of the kernel's design; return the counts of each phase by the table's names."""
    compressor = COMPRESSOR if COMPRESSOR in available() else STAND_IN
    zswap = {"compressor": compressor, "store_incompressible": stores_incompressible(kernel)}
    with Machine("384M", design_of(kernel), cpus=1, zswap=zswap, page_cluster=0, trace=False) as machine:
        machine.swapon(size="64M")
        return _Fork(machine, given).run()


class _Fork:
    """One run of the scenario."""

    def __init__(self, machine: Machine, given: ForkInput) -> None:
        self.machine, self.given = machine, given
        self.back = [0, 0]
        self.wanted = {phase: (stored, zero) for phase, stored, zero in given.back}
        self.phases: dict[str, dict[str, int]] = {}
        parent = machine.spawn("parent")
        self.heap = parent.mmap(SHARED_PAGES * PAGE_SIZE)
        for i, page in enumerate(mix_pages(given.kind)[:SHARED_PAGES]):
            parent.write(self.heap.start + i * PAGE_SIZE, page)
        special = "zero" if given.kind == "zero" else "random"
        self.children: list[_Own] = []
        kids = [parent.fork(f"kid{i}") for i in range(given.children)]
        self.parent = self._own(parent, given.parent_own, special)
        left = given.own - given.parent_own
        for i, kid in enumerate(kids):
            nr = left // (given.children - i)
            left -= nr
            self.children.append(self._own(kid, nr, "zero"))

    def _own(self, process: Process, nr: int, first: str) -> _Own:
        """Give a process `nr` pages of its own: the first of kind `first`, the others compressible."""
        own = _Own(process, process.mmap(nr * PAGE_SIZE))
        for i in range(nr):
            kind = first if i == 0 else "text"
            page = page_bytes(kind, (SHARED_PAGES + i) % KINDS[kind])
            process.write(own.region.start + i * PAGE_SIZE, page)
            if kind != "random":
                (own.zero if page == ZERO_PAGE else own.compressed).append(i)
        return own

    def run(self) -> dict[str, dict[str, int]]:
        machine, heap = self.machine, self.heap
        self._mark("0forked")
        machine.reclaim()
        self._mark("1out")
        if self.children:
            kid = self.children[0].process
            kid.touch(heap)
            self._mark("2kid0_read")
            kid.touch(heap, write=True)
            self._mark("3kid0_written")
        self.parent.process.touch(heap)
        self._mark("4parent_read")
        self._read_back("5kids_gone")
        for own in self.children:
            own.process.exit()
        self._mark("5kids_gone")
        self.parent.process.exit()
        self._mark("6end")
        machine.check()
        return self.phases

    def _read_back(self, phase: str) -> None:
        """Read as many own pages as were back by a phase: the parent's first, then child by child."""
        for which, wanted in enumerate(self.wanted.get(phase, (0, 0))):
            while self.back[which] < wanted and self._read_one(which):
                self.back[which] += 1

    def _read_one(self, which: int) -> bool:
        kept = self.given.parent_own - 1 - PARENT_BACK
        for own in (self.parent, *self.children):
            pages = own.zero if which else own.compressed
            if own is self.parent and (which or len(pages) <= kept):
                continue
            if pages:
                own.process.touch(own.region.page(pages.pop(0)))
                return True
        return False

    def _mark(self, phase: str) -> None:
        if phase != "5kids_gone":
            self._read_back(phase)
        self.phases[phase] = _phase_counts(self.machine)


def _phase_counts(machine: Machine) -> dict[str, int]:
    """Return the counters under the names of the table's columns."""
    counts = counters(machine)
    named = {name: counts[name] for name in (*EVENTS, "zswap_stored", "pool_total_bytes", "cg_zswap_bytes")}
    named |= {name: value for name, value in counts.items() if name.startswith("vswap_")}
    return {
        **named,
        "slots_used_vda": counts["slots_used"],
        "cg_anon_pages": sum(
            bool(folio.mapped) for folio in machine.frames.values() if folio is not machine.zero_folio
        ),
        "cg_swap_pages": counts["swap_charged"],
        "nr_swapcached": cast(Any, machine.swap).nr_swapcached,
    }


def _fork_input(rows: dict[str, PhaseRow], parent_own: int) -> ForkInput:
    """Read a run's input off its rows, by phase."""
    kind, children = rows["1out"].label.split(".k")
    start = rows["0forked"].counts
    back = []
    for phase in PHASES[2:]:
        if phase in rows:
            counts = rows[phase].counts
            stored = counts["zswpin"] - start["zswpin"] - (SHARED_PAGES if _shared_in(rows[phase]) == "zswpin" else 0)
            zero = counts["swpin_zero"] - start["swpin_zero"] - (SHARED_PAGES if kind == "zero" else 0)
            back.append((phase, stored, zero))
    return ForkInput(kind, int(children), parent_own, rows["1out"].counts["cg_swap_pages"] - SHARED_PAGES, tuple(back))


def _shared_in(row: PhaseRow) -> str:
    """Return the counter that the shared pages are counted in as they come back."""
    kind = row.label.split(".")[0]
    if kind == "zero":
        return "swpin_zero"
    return "zswpin" if kind == "text" or stores_incompressible(row.kernel) else "pswpin"


# -- zswap without a device --------------------------------------------------------------------------------------


def measure_noswap(kernel: str, kind: str, own: int) -> dict[str, dict[str, int]]:
    """Run the scenario on a machine of the kernel's design; return the counts of each phase by the table's names.

    A process that gets no memory is ended, as the OOM killer would.
    """
    compressor = COMPRESSOR if COMPRESSOR in available() else STAND_IN
    with Machine("384M", design_of(kernel), cpus=1, zswap={"compressor": compressor}, trace=False) as machine:
        memcg = machine.memcg("workload")
        process = machine.spawn("workload", memcg=memcg)
        pages = [*mix_pages(kind), *(page_bytes("text", i) for i in range(own))]
        region = process.mmap(len(pages) * PAGE_SIZE)
        for i, page in enumerate(pages):
            process.write(region.start + i * PAGE_SIZE, page)
        phases = {"0fill": _phase_counts(machine)}
        machine.reclaim(pages=1024, memcg=memcg)
        phases["1reclaim4M"] = _phase_counts(machine)
        memcg.max = "7M"
        try:
            process.touch(process.mmap(PAGE_SIZE), write=True)
        except NoMemory:
            process.exit()
        phases["2max7M"] = _phase_counts(machine)
        machine.check()
    return phases


# -- both --------------------------------------------------------------------------------------------------------


def phase_cells(rows: Iterable[PhaseRow] | None = None) -> Iterator[Comparison]:
    """Yield every number of `rows` (default: of all) beside the model's, run by run; see `PHASES_NAMED`.

    A run is taken whole: give all its phases. InvalidArgument if one that the input is read off is missing.
    """
    every = phase_rows()
    chosen = every if rows is None else list(rows)
    without_children = {
        (row.kernel, row.label.split(".")[0]): row for row in every if row.label.endswith(".k0") and row.phase == "1out"
    }
    for (kernel, scenario, label), group in groupby(chosen, lambda row: (row.kernel, row.scenario, row.label)):
        run = {row.phase: row for row in group}
        try:
            if scenario == "fork":
                alone = without_children[kernel, label.split(".")[0]]
                parent_own = alone.counts["cg_swap_pages"] - SHARED_PAGES
                model = measure_fork(kernel, _fork_input(run, parent_own))
            else:
                own = run["0fill"].counts["cg_anon_pages"] - MIX_PAGES
                model = measure_noswap(kernel, label.split(".")[1], own)
        except KeyError as error:
            raise InvalidArgument(f"The run {label} of {kernel} lacks {error}; give all phases of a run.") from None
        for phase, row in run.items():
            yield from _cells_of(row, model[phase], next(iter(run.values())).counts)


def _cells_of(row: PhaseRow, model: dict[str, int], start: dict[str, int]) -> Iterator[Comparison]:
    for column, number in row.counts.items():
        kernel = number - start[column] if column in EVENTS else number
        named = exempt(row, column, kernel, model.get(column), PHASES_NAMED)
        yield named or Comparison(row, column, kernel, model.get(column), 0)


def phase_table(comparisons: Iterable[Comparison]) -> str:
    """Return the comparisons as text: a line a run and phase, with what differs and may not below it."""
    rows = [["kernel", "scenario", "label", "phase", "equal", "named"]]
    below: list[list[str]] = [[]]
    for names, group in groupby(comparisons, lambda each: each.row.names):
        found = list(group)
        held = [each for each in found if not each.reason]
        equal = f"{sum(each.agrees for each in held)}/{len(held)}"
        rows.append([*names.values(), equal, str(len(found) - len(held))])
        below.append([f"    {c.column}: kernel {c.kernel}, model {c.model}" for c in found if not c.agrees])
    printed = lines_of(rows, len(NAMES))
    return "\n".join(text for line, more in zip(printed, below, strict=True) for text in (line, *more))
