"""Other designs in the ledger: proposals that are not built here, each as the terms its source gives.

A design is a table of terms: so many bytes for each slot of the device, for each cluster of it, for each entry in use,
for each cluster in use. What is put in are four numbers; out comes a `Ledger` of kind "formula". What a source does not
state is not counted, and `counts` says what that is. The figures that sources publish for 8,388,608 slots stand in
`published`, and tests hold the terms to them.

>>> DESIGNS["v6"].ledger("zswap", capacity=8388608, live=8388608, clusters=16384).mib
193.75
>>> DESIGNS["ste"].ledger("disk", capacity=8388608, live=2097152, clusters=4096).mib
53.125
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, Ledger, Line, Mode, line_of

__all__ = ["BACKENDS", "DESIGNS", "PUBLISHED", "PUBLISHED_SLOTS", "Backend", "FormulaDesign", "Term"]

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
    """A proposal as its source describes it."""

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

    def ledger(self, backend: Backend, *, capacity: int, live: int, clusters: int) -> Ledger:
        """Return the ledger for a device of `capacity` slots, `live` entries in use, spread over `clusters` clusters.

        InvalidArgument if the design has no such backend.
        """
        if backend not in self.backends:
            raise InvalidArgument(f"{self.title} has no figures for {backend}; ask for {' or '.join(self.backends)}.")
        units = {
            "slot": capacity,
            "cluster": -(-capacity // SWAPFILE_CLUSTER),
            "live entry": live,
            "used cluster": clusters,
        }
        lines = [term.line(units, self.source) for term in self.terms if backend in term.backends]
        return Ledger(self.name, self.mode, capacity, live, {line.name: line for line in lines}, kind="formula")


_MAPS_OF_THE_SWAPFILE = (Term("allocated", 1 / 8, "slot", _DISK), Term("bad_map", 1 / 8, "slot", _DISK))
_RMAP_TABLE = Term("rmap", 4096, "used cluster", _DISK)
_CLUSTER_INFO = Term("swap_cluster_info", 32, "cluster")
_SWAP_TABLE = Term("swap_table", 8, "live entry")
_ZSWAP_TREE = Term("zswap_tree", 8, "live entry", _ZSWAP)
_TREE_AS_IN_LEGACY = "with zswap its tree as well, 8 B an entry as in 6.19"


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
    yield from _swap_table_designs()
    yield from _ghost_designs()
    yield FormulaDesign(
        "ste",
        "Virtual swap, Swap Table Edition",
        "S8 S22 INFERRED",
        AS_ALLOCATED,
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


def _swap_table_designs() -> Iterator[FormulaDesign]:
    yield FormulaDesign(
        "p2",
        "Swap table, phase 2 (mm-stable of February 2026)",
        "S24",
        AS_POSTED,
        f"swap_map, swap_cgroup, zeromap, cluster info of 32 B, a word an entry; {_TREE_AS_IN_LEGACY}.",
        (
            Term("swap_map", 1, "slot"),
            Term("swap_cgroup", 2, "slot"),
            Term("zeromap", 1 / 8, "slot"),
            _CLUSTER_INFO,
            _SWAP_TABLE,
            _ZSWAP_TREE,
        ),
        published={"disk": {0: 25.5, 100: 89.5}},
    )
    yield FormulaDesign(
        "p3",
        "Swap table, phase 3",
        "S24",
        AS_POSTED,
        f"As phase 2 without the swap_map: the count is in the word; {_TREE_AS_IN_LEGACY}.",
        (
            Term("swap_cgroup", 2, "slot"),
            Term("zeromap", 1 / 8, "slot"),
            _CLUSTER_INFO,
            _SWAP_TABLE,
            _ZSWAP_TREE,
        ),
        published={"disk": {0: 17.5, 100: 81.5}},
    )
    yield FormulaDesign(
        "p4-promised",
        "Swap table, phase 4, as promised",
        "S24",
        AS_POSTED,
        f"Cluster info of 32 B and a word an entry, nothing else; {_TREE_AS_IN_LEGACY}.",
        (_CLUSTER_INFO, _SWAP_TABLE, _ZSWAP_TREE),
        published={"disk": {0: 0.5, 100: 64.5}},
    )
    yield FormulaDesign(
        "p4-posted",
        "Swap table, phase 4, as posted",
        "S28",
        AS_ALLOCATED,
        f"Cluster info of 48 B; for each used cluster a swap table and a memcg table of 1,024 B; {_TREE_AS_IN_LEGACY}.",
        (
            Term("swap_cluster_info", 48, "cluster"),
            Term("swap_table", 8 * SWAPFILE_CLUSTER, "used cluster"),
            Term("memcg_table", 2 * SWAPFILE_CLUSTER, "used cluster"),
            _ZSWAP_TREE,
        ),
        published={"disk": {0: 0.75, 100: 80.75}},
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
"""Proposals by the name that ``vswaplab overhead --design`` takes."""
