"""Swap built for the ledger: a design at any size, with as many pages swapped out as one likes.

A `Population` is a live `SwapSpace` whose entries were allocated, referred to, given a backing and dropped from the
swap cache by the operations of the design itself, in array form. It grows and shrinks, so one structure passes through
all usages. The two columns of the posting are the two backends [S3]:

| backend | virtual | legacy |
|---|---|---|
| zswap | no swapfile at all; each descriptor holds a zswap entry | a swapfile; each slot is entered in its zswap tree |
| disk | a swapfile of exactly that many slots, all taken by descriptors | the same swapfile, each slot written |

zswap entries are handles without compressed bytes behind them, and the device is sparse memory: metadata alone counts.
Every word that a folio leaves behind is a shadow, as reclaim leaves it.

Three layouts say where the entries in use lie:

* **dense**: one after the other, as the posted formula has it;
* **random**: swap was full, then a random share was freed (`seed`);
* **sparse**: swap was full, then all but one entry of each cluster was freed; usage is the share of clusters that still
  have theirs.

>>> swap = build("virtual", slots=2048, backend="zswap", usage=50)
>>> measure(swap).structures["swp_desc"].bytes
24576
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.backends.device import MemoryDevice
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, SWAPFILE_CLUSTER_SHIFT
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.entry import STRUCT_PAGE_SIZE, U64, VMEMMAP_START
from vswaplab.errors import InvalidArgument, NoMemory, NoSpace
from vswaplab.legacy.space import LegacySwap
from vswaplab.observe.ledger import AS_POSTED, MODES, Ledger, measure
from vswaplab.observe.ledger_designs import BACKENDS, DESIGNS, PUBLISHED, PUBLISHED_SLOTS, Backend, design_name
from vswaplab.strict import choice, quoted, real_number, seed_number, whole_number
from vswaplab.swap_arrays import SwapArrays
from vswaplab.units import PAGE_SIZE, format_size
from vswaplab.virtual.space import VirtualSwap

__all__ = [
    "BUILT",
    "LAYOUTS",
    "Population",
    "Row",
    "build",
    "entries_at",
    "formula_rows",
    "published_mib",
    "rows_of",
]

BUILT: dict[str, Callable[..., SwapArrays]] = {"legacy": LegacySwap, "virtual": VirtualSwap}
"""Designs that are built; all others are formulas."""
LAYOUTS = ("dense", "sparse", "random")

MAX_SLOTS = 1 << 50
"""4 EiB; far more than can be built anywhere."""
_MEMCGID = 1
_BATCH = 1 << 20
"""Entries handled in one array call: small enough that the arrays in between don't count."""
_BYTES_A_SLOT = 128
"""What a built slot may take of this machine's memory at most, all arrays in between included."""

Progress = Callable[[str], None]


def entries_at(slots: int, usage: float) -> int:
    """Return how many of `slots` are in use at `usage` percent; InvalidArgument unless that is 0 to 100."""
    return round(slots * real_number(usage, "usage", 0, 100) / 100)


class Population:
    """Entries of one design on one backend: `resize` swaps pages out and frees them, `thin` and `shuffle` scatter."""

    def __init__(self, design: str, slots: int, backend: Backend) -> None:
        """Set the layer up, empty, for up to `slots` pages; NoMemory if they can't be built on this machine."""
        make = BUILT.get(design) if isinstance(design, str) else None
        if make is None:
            raise InvalidArgument(f"Design {quoted(design)} can't be built; choose one of: {', '.join(BUILT)}.")
        choice(backend, "backend", BACKENDS)
        slots = whole_number(slots, "slots", 1, MAX_SLOTS)
        _require_memory(slots)
        self.design, self.slots, self.backend = design, slots, backend
        devices = SwapDevices()
        if design == "legacy" or backend == "disk":
            devices.swapon(MemoryDevice((slots + 1) * PAGE_SIZE))  # one page more, for the header
        self.swap: SwapArrays = make(devices=devices, zswap=None, memcgs={})
        self.live = 0
        self._entries = np.empty(slots, np.uint64)  # the first `live` of them are in use

    @property
    def entries(self) -> U64:
        """Entries in use, in the order in which they were allocated."""
        return self._entries[: self.live]

    def resize(self, live: int) -> None:
        """Swap pages out, or free the entries allocated last, until `live` are in use."""
        if not 0 <= live <= self.slots:
            raise InvalidArgument(f"{live} entries don't fit in {self.slots} slots.")
        while self.live < live:
            self._swap_out(min(_BATCH, live - self.live))
        while self.live > live:
            self._free(max(live, self.live - _BATCH))

    def _swap_out(self, nr: int) -> None:
        swap = self.swap
        serial = np.arange(self.live + 1, self.live + nr + 1, dtype=np.uint64)
        pointers = serial * np.uint64(STRUCT_PAGE_SIZE) + np.uint64(VMEMMAP_START)
        entries = swap.folio_alloc_swap_many(pointers, _MEMCGID)
        if len(entries) < nr:
            raise NoSpace(f"Only {self.live + len(entries)} of {self.slots} entries could be had.")
        swap.swap_duplicate_many(entries)
        if self.backend == "zswap":
            swap.zswap_entry_store_many(entries, pointers)  # a handle is an address; any that is not 0 will do
        elif not swap.writeout_slots_many(entries).all():
            raise NoSpace(f"Not all of {self.slots} entries got a slot of the device.")
        swap.remove_mapping_many(entries, serial << np.uint64(1) | np.uint64(1))
        self._entries[self.live : self.live + nr] = entries
        self.live += nr

    def _free(self, live: int) -> None:
        # In rising order: what is left is the same, and clusters empty one after the other.
        self.swap.swap_free_many(np.sort(self._entries[live : self.live]))
        self.live = live

    def shuffle(self, seed: int) -> None:
        """Put the entries in random order, so that `resize` frees at random from now on."""
        self._entries[: self.live] = self.entries[_permutation(self.live, seed)]

    def thin(self) -> None:
        """Free all but the first entry of each cluster."""
        entries = np.sort(self.entries)
        first = np.diff(entries >> np.uint64(SWAPFILE_CLUSTER_SHIFT), prepend=np.uint64(1 << 63)) != 0
        kept, freed = entries[first], entries[~first]
        for start in range(0, len(freed), _BATCH):
            self.swap.swap_free_many(freed[start : start + _BATCH])
        self.live = len(kept)
        self._entries[: self.live] = kept


def _permutation(nr: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed_number(seed)).permutation(nr)


def _require_memory(slots: int) -> None:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return  # a system that does not tell
    if slots * _BYTES_A_SLOT > total:
        size, most = format_size(slots * PAGE_SIZE), format_size(total // _BYTES_A_SLOT * PAGE_SIZE)
        raise NoMemory(f"{size} of swap can't be built in the memory of this machine; choose a size below {most}.")


# -- a usage, or several -----------------------------------------------------------------------------------------


def build(design: str, slots: int, backend: Backend, usage: float, layout: str = "dense", seed: int = 0) -> SwapArrays:
    """Build a design with `usage` percent of `slots` swapped out, laid out as `layout` says, and return it."""
    population = Population(design, slots, backend)
    for _ in _at_each(population, [usage], layout, seed):
        pass
    return population.swap


def _at_each(population: Population, usages: Iterable[float], layout: str, seed: int) -> Iterator[float]:
    """Bring a population to one usage after the other, in the order that suits the layout."""
    if layout not in LAYOUTS:
        raise InvalidArgument(f"There is no layout {quoted(layout)}; choose one of: {', '.join(LAYOUTS)}.")
    wanted = {usage: entries_at(population.slots, usage) for usage in usages}
    if layout == "dense":
        for usage in sorted(wanted):
            population.resize(wanted[usage])
            yield usage
        return
    population.resize(population.slots)
    if layout == "random":
        population.shuffle(seed)
    else:
        population.thin()
        wanted = {usage: entries_at(population.live, usage) for usage in wanted}
    for usage in sorted(wanted, reverse=True):
        population.resize(wanted[usage])
        yield usage


@dataclass(frozen=True)
class Row:
    """A cell of the table: what one design costs on one backend at one usage."""

    backend: Backend
    usage: float
    slots: int
    """Pages the swapfile has, or would have."""
    layout: str
    ledger: Ledger
    counterpart: Ledger | None = None
    """The same structures counted the other way, where entries are scattered and so the two ways part."""

    @property
    def design(self) -> str:
        """The design's name."""
        return self.ledger.design

    @property
    def percent_of_swap(self) -> float:
        """Metadata in percent of the swapfile."""
        return 100 * self.ledger.total_bytes / (self.slots * PAGE_SIZE)

    @property
    def published(self) -> float | None:
        """The published figure in MiB, if there is one for this cell."""
        return published_mib(self) if self.layout == "dense" and self.slots == PUBLISHED_SLOTS else None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as it is written to JSON."""
        ledger = self.ledger
        return {
            "design": ledger.design,
            "backend": self.backend,
            "usage": self.usage,
            "slots": self.slots,
            "mib": ledger.mib,
            "structures": {name: line.mib for name, line in ledger.structures.items()},
            "kind": ledger.kind,
            "mode": ledger.mode,
            "layout": self.layout,
            "live": ledger.live,
            "bytes_per_live_slot": ledger.per_slot,
            "percent_of_swap": self.percent_of_swap,
            "published": self.published,
            "apart": {name: line.mib for name, line in ledger.apart.items()},
            **({"standing": DESIGNS[ledger.design].standing} if ledger.design in DESIGNS else {}),
            "lines": ledger.rows(),
            **({f"mib {self.counterpart.mode}": self.counterpart.mib} if self.counterpart is not None else {}),
        }


def published_mib(row: Row) -> float | None:
    """Return what was published for the design, backend, usage and way of counting of a row, for 8,388,608 slots."""
    if row.ledger.kind == "formula":
        return DESIGNS[row.design].published.get(row.backend, {}).get(row.usage)
    return PUBLISHED[row.design, row.backend].get(row.usage) if row.ledger.mode == AS_POSTED else None


def rows_of(
    design: str,
    backend: Backend,
    slots: int,
    usages: Iterable[float],
    mode: str = AS_POSTED,
    layout: str = "dense",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Row]:
    """Return a row for each usage: a built design passes through them in one structure, another is computed.

    `design` may also be a release of Linux, such as "7.2". A design that is not built counts in its own way, whatever
    `mode` says. InvalidArgument for an unknown name or usage.
    """
    usages, design = list(usages), design_name(design)
    if design in DESIGNS:
        return formula_rows(design, backend, slots, usages, layout, seed)
    population = Population(design, slots, backend)
    found: dict[float, Row] = {}
    for usage in _at_each(population, usages, layout, seed):
        if progress is not None:
            progress(f"{design}, {backend}: {usage:g} %")
        other = next(each for each in MODES if each != mode)
        counterpart = measure(population.swap, other) if layout != "dense" else None
        found[usage] = Row(backend, usage, slots, layout, measure(population.swap, mode), counterpart)
    return [found[usage] for usage in usages]


def formula_rows(
    design: str, backend: Backend, slots: int, usages: Iterable[float], layout: str = "dense", seed: int = 0
) -> list[Row]:
    """Return a row for each usage of a design that is not built; entries are laid out as in a built one."""
    made = DESIGNS[design_name(design)]
    rows = []
    for usage in usages:
        live, clusters = _spread(slots, usage, layout, seed)
        ledger = made.ledger(backend, capacity=slots, live=live, clusters=clusters)
        rows.append(Row(backend, usage, slots, layout, ledger))
    return rows


def _spread(slots: int, usage: float, layout: str, seed: int) -> tuple[int, int]:
    """Return how many entries are in use, and over how many clusters they are spread."""
    if layout == "sparse":
        live = entries_at(-(-slots // SWAPFILE_CLUSTER), usage)
        return live, live
    live = entries_at(slots, usage)
    if layout == "dense":
        return live, -(-live // SWAPFILE_CLUSTER)
    if layout != "random":
        raise InvalidArgument(f"There is no layout {quoted(layout)}; choose one of: {', '.join(LAYOUTS)}.")
    kept = _permutation(slots, seed)[:live]
    return live, int(np.count_nonzero(np.bincount(kept >> SWAPFILE_CLUSTER_SHIFT)))
