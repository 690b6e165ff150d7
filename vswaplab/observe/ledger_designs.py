"""Other designs in the ledger: mainline since 7.0, and proposals; none is built here, each has its source's terms.

A design is a table of terms: so many bytes for each slot of the device, for each cluster of it, for each entry in use,
for each cluster in use. What is put in are four numbers; out comes a `Ledger` of kind "formula". What a source does not
state is not counted, and `counts` says what that is. `standing` tells what is in mainline from what was only posted;
`vswaplab.status` has the dates. What is in mainline can be a baseline, beside the legacy design of 6.19: `BASELINES`.
The figures that sources publish for 8,388,608 slots stand in `published`, and tests hold the terms to them.

>>> DESIGNS["v6"].ledger("zswap", capacity=8388608, live=8388608, clusters=16384).mib
193.75
>>> DESIGNS["ste"].ledger("disk", capacity=8388608, live=2097152, clusters=4096).mib
53.125
>>> DESIGNS["linux-7.2"].standing, design_name("7.2"), design_name("6.19")
('mainline since Linux 7.2', 'linux-7.2', 'legacy')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, Ledger, Line, Mode, line_of
from vswaplab.status import BASE, MAINLINE, Release

__all__ = [
    "BACKENDS",
    "BASELINES",
    "DESIGNS",
    "PUBLISHED",
    "PUBLISHED_SLOTS",
    "Backend",
    "FormulaDesign",
    "Term",
    "design_name",
]

Backend = Literal["zswap", "disk"]
BACKENDS: tuple[Backend, ...] = ("zswap", "disk")
PUBLISHED_SLOTS = 8_388_608
"""Slots of the 32 GiB swapfile of the published tables."""

PUBLISHED: Mapping[tuple[str, str], Mapping[float, float]] = {
    ("legacy", "zswap"): {0: 25.0, 25: 57.0, 50: 89.0, 75: 121.0, 100: 153.0},
    ("virtual", "zswap"): {0: 0.0, 25: 48.25, 50: 96.5, 75: 144.75, 100: 193.0},
    ("legacy", "disk"): {0: 25.0, 25: 41.0, 50: 57.0, 75: 73.0, 100: 89.0},
    ("virtual", "disk"): {0: 2.0, 25: 66.25, 50: 130.5, 75: 194.75, 100: 259.0},
}
"""MiB by design and backend, then by usage in percent: the table of the cover letters of v3, v4 and v6 [S3 S4 S6]."""

Per = Literal["slot", "cluster", "live entry", "used cluster"]
_STATIC: tuple[Per, ...] = ("slot", "cluster")
_BOTH: tuple[Backend, ...] = BACKENDS
_ZSWAP: tuple[Backend, ...] = ("zswap",)
_DISK: tuple[Backend, ...] = ("disk",)


@dataclass(frozen=True)
class Term:
    """`unit_bytes` of a structure for each slot or cluster of the device, or for each entry or cluster in use."""

    name: str
    unit_bytes: float
    per: Per
    backends: tuple[Backend, ...] = _BOTH

    def line(self, units: Mapping[str, int], source: str) -> Line:
        """Return the term as a line of a ledger."""
        return line_of(self.name, units[self.per], self.per, self.unit_bytes, source, static=self.per in _STATIC)


@dataclass(frozen=True)
class FormulaDesign:
    """A design that is not built here, as its source describes it."""

    name: str
    title: str
    source: str
    mode: Mode
    """How the source counts."""
    counts: str
    """What the terms cover and what they leave out."""
    terms: tuple[Term, ...]
    backends: tuple[Backend, ...] = _BOTH
    published: Mapping[Backend, Mapping[float, float]] = field(default_factory=dict)
    """MiB for `PUBLISHED_SLOTS`, by backend and usage in percent, where a source or docs/facts.md gives it."""
    since: str = ""
    """The release of Linux that brought it; empty for what is not in mainline."""
    became: str = "posted, not merged"
    """What became of it, unless it is in mainline."""

    @property
    def standing(self) -> str:
        """Whether it is in mainline, and since when; else what became of it."""
        return f"mainline since Linux {self.since}" if self.since else self.became

    def ledger(self, backend: Backend, *, capacity: int, live: int, clusters: int) -> Ledger:
        """Return the ledger for a device of `capacity` slots, `live` entries in use, spread over `clusters` clusters.

        InvalidArgument if the design has no such backend.
        """
        self._require(backend)
        units = {
            "slot": capacity,
            "cluster": -(-capacity // SWAPFILE_CLUSTER),
            "live entry": live,
            "used cluster": clusters,
        }
        lines = [term.line(units, self.source) for term in self.terms if backend in term.backends]
        return Ledger(self.name, self.mode, capacity, live, {line.name: line for line in lines}, kind="formula")

    def bytes_for(self, backend: Backend, capacity: int, live: int, mode: str) -> float:
        """Return the bytes for `live` entries one after the other, by entry or, as allocated, by cluster begun.

        By entry a cluster's bytes are charged to its slots, one by one, as the posting charges its own.
        """
        if mode == AS_ALLOCATED:
            return self.ledger(backend, capacity=capacity, live=live, clusters=-(-live // SWAPFILE_CLUSTER)).total_bytes
        self._require(backend)
        per_slot, per_entry = 0.0, 0.0
        for term in self.terms:
            each = term.unit_bytes / (SWAPFILE_CLUSTER if term.per in ("cluster", "used cluster") else 1)
            if backend in term.backends:
                per_slot += each if term.per in _STATIC else 0
                per_entry += each if term.per not in _STATIC else 0
        return capacity * per_slot + live * per_entry

    def _require(self, backend: Backend) -> None:
        if backend not in self.backends:
            raise InvalidArgument(f"{self.title} has no figures for {backend}; ask for {' or '.join(self.backends)}.")


_MAPS_OF_THE_SWAPFILE = (Term("allocated", 1 / 8, "slot", _DISK), Term("bad_map", 1 / 8, "slot", _DISK))
_RMAP_TABLE = Term("rmap", 4096, "used cluster", _DISK)
_CLUSTER_INFO = Term("swap_cluster_info", 32, "cluster")
_SWAP_TABLE = Term("swap_table", 8, "live entry")
_ZSWAP_TREE = Term("zswap_tree", 8, "live entry", _ZSWAP)
_TREE_AS_IN_LEGACY = f"with zswap its tree as well, 8 B an entry as in {BASE}"


def _designs() -> Iterator[FormulaDesign]:
    yield FormulaDesign(
        "rfc1",
        "Virtual swap, RFC v1",
        "S1",
        AS_POSTED,
        "Descriptors alone, 64 B each; the posting has no table and states nothing else.",
        (Term("swp_desc", 64, "live entry"),),
    )
    yield FormulaDesign(
        "rfc2",
        "Virtual swap, RFC v2",
        "S2",
        AS_POSTED,
        "Descriptors alone, 48 B each; the posting has no table and states nothing else.",
        (Term("swp_desc", 48, "live entry"),),
    )
    yield FormulaDesign(
        "v3",
        "Virtual swap v3 to v5, as allocated",
        "S11 INFERRED",
        AS_ALLOCATED,
        "512 descriptors inline in a cluster of 12,392 B, for which a large kmalloc takes 16,384 B: 32 B a slot. "
        "On disk: two bitmaps and a table of rmap words for each used cluster.",
        (Term("vswap_cluster", 16384, "used cluster"), *_MAPS_OF_THE_SWAPFILE, _RMAP_TABLE),
        published={"zswap": {100: 256.0}, "disk": {100: 322.0}},
    )
    yield FormulaDesign(
        "v6",
        "Virtual swap v6, as allocated",
        "S6 S10",
        AS_ALLOCATED,
        "12,288 B of descriptors and a header of 112 B for each cluster: 24.22 B a slot. On disk: two bitmaps and a "
        "table of rmap words for each used cluster. Without the cluster map and swap_cluster_info, which the built "
        "design counts.",
        (
            Term("swp_desc", 12288, "used cluster"),
            Term("vswap_cluster", 112, "used cluster"),
            *_MAPS_OF_THE_SWAPFILE,
            _RMAP_TABLE,
        ),
        published={"zswap": {100: 193.75}},
    )
    yield from _mainline_designs()
    yield from _ghost_designs()
    yield FormulaDesign(
        "ste",
        "Virtual swap, Swap Table Edition, RFC v2",
        "S8 S22 INFERRED",
        AS_ALLOCATED,
        "As of RFC v2 of 12 June 2026; version 5 of September may differ. "
        "For each virtual cluster a swap table, a virtual table and a memcg table (18 B a slot) and a header of 96 B; "
        "on disk a table of rmap words (26 B a slot) and 48 B of cluster info for each cluster of the device.",
        (
            Term("swap_table", 8 * SWAPFILE_CLUSTER, "used cluster"),
            Term("virtual_table", 8 * SWAPFILE_CLUSTER, "used cluster"),
            Term("memcg_table", 2 * SWAPFILE_CLUSTER, "used cluster"),
            Term("vswap_cluster", 96, "used cluster"),
            Term("swap_cluster_info", 48, "cluster", _DISK),
            _RMAP_TABLE,
        ),
        published={
            "zswap": {0: 0.0, 25: 36.4, 50: 72.8, 75: 109.1, 100: 145.5},
            "disk": {0: 0.75, 25: 53.1, 50: 105.5, 75: 157.9, 100: 210.3},
        },
    )


def _in_mainline(
    release: Release, source: str, mode: Mode, counts: str, terms: tuple[Term, ...], mib: Mapping[float, float]
) -> FormulaDesign:
    return FormulaDesign(
        f"linux-{release.release}",
        f"Linux {release.release} (swap table, phase {release.phase})",
        f"{source} {release.source}",
        mode,
        f"{counts}; {_TREE_AS_IN_LEGACY}.",
        (*terms, _ZSWAP_TREE),
        published={"disk": mib},
        since=release.release,
    )


def _mainline_designs() -> Iterator[FormulaDesign]:
    cache, count, arrays = MAINLINE
    map_, cgroup, zeromap = Term("swap_map", 1, "slot"), Term("swap_cgroup", 2, "slot"), Term("zeromap", 1 / 8, "slot")
    yield _in_mainline(
        cache,
        "S24",
        AS_POSTED,
        "swap_map, swap_cgroup, zeromap, cluster info of 32 B, a word an entry",
        (map_, cgroup, zeromap, _CLUSTER_INFO, _SWAP_TABLE),
        {0: 25.5, 100: 89.5},
    )
    yield _in_mainline(
        count,
        "S24",
        AS_POSTED,
        f"As {cache.release} without the swap_map: the count is in the word",
        (cgroup, zeromap, _CLUSTER_INFO, _SWAP_TABLE),
        {0: 17.5, 100: 81.5},
    )
    yield _in_mainline(
        arrays,
        "S28",
        AS_ALLOCATED,
        "Cluster info of 48 B; for each used cluster a swap table and a memcg table of 1,024 B",
        (
            Term("swap_cluster_info", 48, "cluster"),
            Term("swap_table", 8 * SWAPFILE_CLUSTER, "used cluster"),
            Term("memcg_table", 2 * SWAPFILE_CLUSTER, "used cluster"),
        ),
        {0: 0.75, 100: 80.75},
    )
    yield FormulaDesign(
        "p4-promised",
        "Swap table, phase 4, as promised in February 2026",
        "S24",
        AS_POSTED,
        f"Cluster info of 32 B and a word an entry, nothing else, where 7.2 has 48 B and a table of memory cgroup ids; "
        f"{_TREE_AS_IN_LEGACY}.",
        (_CLUSTER_INFO, _SWAP_TABLE, _ZSWAP_TREE),
        published={"disk": {0: 0.5, 100: 64.5}},
        became=f"promised; Linux {arrays.release} has it in another form",
    )


def _ghost_designs() -> Iterator[FormulaDesign]:
    left_out = "cluster info is not stated and not counted"
    yield FormulaDesign(
        "ghost",
        "Ghost swapfile",
        "S28",
        AS_POSTED,
        f"16 B a slot in zswap; on disk 24 B, with the word that leads back from the slot; {left_out}.",
        (
            _SWAP_TABLE,
            Term("redirect", 8, "live entry"),
            Term("rmap", 8, "live entry", _DISK),
        ),
        published={"zswap": {100: 128.0}, "disk": {100: 192.0}},
    )
    yield FormulaDesign(
        "ghost-plain",
        "Ghost swapfile's kernel, plain swap beside it",
        "S28",
        AS_POSTED,
        f"8 B a slot: what swap costs there for those who use no ghost; {left_out}.",
        (_SWAP_TABLE,),
        backends=_DISK,
        published={"disk": {100: 64.0}},
    )


DESIGNS: Mapping[str, FormulaDesign] = {design.name: design for design in _designs()}
"""Designs that are not built, by the name that ``vswaplab overhead --design`` takes."""

BASELINES: tuple[str, ...] = ("legacy", *(name for name, made in DESIGNS.items() if made.since))
"""What virtual swap can be held against: Linux 6.19, and what mainline is since."""

_OTHER_NAMES: Mapping[str, str] = {
    BASE: "legacy",
    **{each.release: f"linux-{each.release}" for each in MAINLINE},
    **{f"p{each.phase}": f"linux-{each.release}" for each in MAINLINE},
    "p4-posted": "linux-7.2",
}


def design_name(name: str) -> str:
    """Return the name of a design in the ledger; a release of Linux or a phase of the swap table names one, too."""
    return _OTHER_NAMES.get(name, name) if isinstance(name, str) else name
