"""The ledger as terms: what each structure of both built designs costs, and of mainline, at any size, mix and usage.

`vswaplab.observe.ledger` measures live structures; here the same figures are sums, so that a slider can move them. A
structure is a `MixTerm`: so many bytes for each unit, and `Mix.units` says how many units there are. Tests hold the
terms to the measured ledger and to the published table.

A `Mix` says what is swapped out: the slots of the device, the shares of zero pages, zswap and disk, and how many slots
of each allocated cluster are live. Two rules make the total of a mix exact:

* pages of one backing lie side by side, in clusters of their own: what a mix costs is what is there from swapon on,
  plus the sum of its backings, each for itself;
* usage is the share of *clusters* that are allocated, each with `live_per_cluster` live slots (the last with the
  rest). With all 512 live that is the share of slots in use.

The virtual design has a swapfile when a page is on disk, or when `swapfile` keeps it on; the others always have.
Slot 0, which is no entry in either design, is left out of clusters and trees, so a measured ledger may have one cluster
or node more; so may a mix whose backings share one.

>>> mix = Mix(zswap=100)
>>> mix_ledger("legacy", mix, 100).mib, mix_ledger("virtual", mix, 100).mib
(153.0, 193.0)
>>> round(100 * mix_crossover(mix) / mix.most_live, 2)
38.46
>>> round(100 * mix_crossover(mix, "linux-7.2") / mix.most_live, 2)
1.53
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.entry import VSWAP_CLUSTER_SIZE
from vswaplab.errors import InvalidArgument
from vswaplab.legacy.zswap_tree import SWAP_ADDRESS_SPACE_SHIFT, XA_CHUNK_SHIFT, XA_CHUNK_SIZE, XARRAY_DTYPE
from vswaplab.observe.ledger import CLUSTER_INFO_BYTES, WORD_BYTES, XARRAY_NODE_BYTES
from vswaplab.observe.ledger_designs import BASELINES, DESIGNS, PUBLISHED_SLOTS, FormulaDesign, design_name
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, MODES, Ledger, Line, Mode
from vswaplab.strict import choice, flag, real_number, whole_number
from vswaplab.units import PAGE_SIZE
from vswaplab.virtual.cluster import CLUSTER_DTYPE
from vswaplab.virtual.descriptor import DESCRIPTOR_DTYPE

__all__ = [
    "MAX_MIX_SLOTS",
    "MIX_BASELINES",
    "MIX_TERMS",
    "UNITS",
    "Mix",
    "MixTerm",
    "Unit",
    "mix_crossover",
    "mix_ledger",
    "mix_terms",
]

Unit = Literal[
    "slot",
    "cluster",
    "tree",
    "live entry",
    "zswap entry",
    "disk entry",
    "used cluster",
    "zswap cluster",
    "disk cluster",
    "tree node",
    "map node",
]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""What a term counts. The first three are there from swapon on; a "used cluster" holds any backing."""
_STATIC: tuple[Unit, ...] = ("slot", "cluster", "tree")
MAX_MIX_SLOTS = 1 << 30
"""4 TiB: beyond, sums of bytes are no longer exact in every browser."""

_TREE_SLOTS = 1 << SWAP_ADDRESS_SPACE_SHIFT
_TREE_CLUSTERS = _TREE_SLOTS // SWAPFILE_CLUSTER
_LEAF_CLUSTERS = XA_CHUNK_SIZE**2 // SWAPFILE_CLUSTER
"""Clusters below a node of the second level."""


@dataclass(frozen=True)
class MixTerm:
    """`unit_bytes` of a structure for each `unit`."""

    name: str
    unit_bytes: float
    unit: Unit
    source: str
    pages: bool = False
    """Rounded up to whole pages."""
    device: bool = False
    """Only where there is a swapfile."""

    def line(self, units: Mapping[str, int]) -> Line:
        """Return the term as a line of a ledger; `units` as `Mix.units` returns them."""
        nr = units[self.unit] if units["device"] or not self.device else 0
        total = nr * self.unit_bytes
        if self.pages:
            total = -(-int(total + 7 / 8) // PAGE_SIZE) * PAGE_SIZE
        total = int(total) if total == int(total) else total
        return Line(self.name, total, nr, self.unit, self.unit_bytes, self.unit in _STATIC, self.source)


@dataclass(frozen=True)
class Mix:
    """What is swapped out, and how it is counted. Shares are whole percent and add up to 100."""

    slots: int = PUBLISHED_SLOTS
    """Of the device, without its header; whole clusters of 512."""
    zero: int = 0
    zswap: int = 0
    disk: int = 0
    live_per_cluster: int = SWAPFILE_CLUSTER
    mode: Mode = AS_POSTED
    swapfile: bool = False
    """The virtual design keeps a swapfile of that size though no page is on disk."""

    def __post_init__(self) -> None:
        """Raise InvalidArgument for what can't be meant."""
        whole_number(self.slots, "slots", SWAPFILE_CLUSTER, MAX_MIX_SLOTS)
        if self.slots % SWAPFILE_CLUSTER:
            raise InvalidArgument(f"{self.slots} slots are no whole clusters; give a multiple of {SWAPFILE_CLUSTER}.")
        shares = [whole_number(getattr(self, name), name, 0, 100) for name in ("zero", "zswap", "disk")]
        if sum(shares) != 100:
            raise InvalidArgument(f"Shares of zero, zswap and disk must add up to 100 %, not {sum(shares)} %.")
        whole_number(self.live_per_cluster, "live_per_cluster", 1, SWAPFILE_CLUSTER)
        choice(self.mode, "mode", MODES)
        flag(self.swapfile, "swapfile")

    @property
    def most_live(self) -> int:
        """Entries in use when all clusters are allocated."""
        return self.slots // SWAPFILE_CLUSTER * self.live_per_cluster

    def live_at(self, usage: float) -> int:
        """Return the entries in use at `usage` percent of the clusters; halves are rounded up."""
        return int(self.most_live * real_number(usage, "usage", 0, 100) / 100 + 0.5)

    def backings(self, live: int) -> dict[str, int]:
        """Return how many of `live` entries each backing has."""
        zero = (2 * live * self.zero + 100) // 200
        up_to_zswap = (2 * live * (self.zero + self.zswap) + 100) // 200
        return {"zero": zero, "zswap": up_to_zswap - zero, "disk": live - up_to_zswap}

    def units(self, live: int, design: str) -> dict[str, int]:
        """Return how many there are of each of `UNITS` in a design with `live` entries; "device" is 1 with a swapfile.

        As allocated, an array has a place for the header of the device too.
        """
        here = self.backings(live)
        clusters = {name: -(-nr // self.live_per_cluster) for name, nr in here.items()}
        slots = self.slots + (self.mode == AS_ALLOCATED)
        return {
            "device": int(design != "virtual" or self.disk > 0 or self.swapfile),
            "slot": slots,
            "cluster": -(-slots // SWAPFILE_CLUSTER),
            "tree": -(-slots // _TREE_SLOTS),
            "live entry": live,
            "zswap entry": here["zswap"],
            "disk entry": here["disk"],
            "used cluster": sum(clusters.values()),
            "zswap cluster": clusters["zswap"],
            "disk cluster": clusters["disk"],
            "tree node": _tree_nodes(here["zswap"], self.live_per_cluster),
            "map node": _map_nodes(sum(clusters.values())),
        }


def _tree_nodes(entries: int, live: int) -> int:
    """Return the nodes of the zswap trees for entries that fill the first `live` slots of each cluster in turn.

    A tree spans 32 clusters: leaves for 64 slots, a second level for 8 clusters, a root [S21 BACKGROUND].
    """
    full, rest = divmod(entries, _TREE_CLUSTERS * live)
    leaves = -(-live // XA_CHUNK_SIZE)
    nodes = full * (_TREE_CLUSTERS * leaves + _TREE_CLUSTERS // _LEAF_CLUSTERS + 1)
    clusters, over = divmod(rest, live)
    nodes += clusters * leaves - (-over // XA_CHUNK_SIZE)
    clusters += over > 0
    last = (clusters - 1) * SWAPFILE_CLUSTER + ((over or live) - 1)  # the largest index, which says how tall it is
    if rest <= 0 or last == 0:
        return nodes - (rest > 0)  # index 0 alone stands in the root, without a node
    if last >= XA_CHUNK_SIZE:
        nodes += -(-clusters // _LEAF_CLUSTERS)
    return nodes + (last >= XA_CHUNK_SIZE**2)


def _map_nodes(clusters: int) -> int:
    """Return the nodes of an xarray of clusters 0 to `clusters` - 1."""
    last, nodes = clusters - 1, 0
    while last > 0:
        last >>= XA_CHUNK_SHIFT
        nodes += last + 1
    return nodes


_DESCRIPTOR = DESCRIPTOR_DTYPE.itemsize

_BUILT_TERMS: Mapping[tuple[str, Mode], tuple[MixTerm, ...]] = {
    ("legacy", AS_POSTED): (
        MixTerm("swap_map", 1, "slot", "S3 S12"),
        MixTerm("swap_cgroup", 2, "slot", "S3 S12"),
        MixTerm("zeromap", 1 / 8, "slot", "S3 S12"),
        MixTerm("swap_table", WORD_BYTES, "live entry", "S3 S23"),
        MixTerm("zswap_tree", WORD_BYTES, "zswap entry", "S3 S21"),
    ),
    ("virtual", AS_POSTED): (
        MixTerm("allocated", 1 / 8, "slot", "S3 S15", device=True),
        MixTerm("bad_map", 1 / 8, "slot", "S3 S15", device=True),
        MixTerm("swp_desc", _DESCRIPTOR, "live entry", "S3 S10"),
        MixTerm("vswap_bitmap", 1 / 8, "live entry", "S3 S10"),
        MixTerm("rmap", WORD_BYTES, "disk entry", "S3 S12"),
    ),
    ("legacy", AS_ALLOCATED): (
        MixTerm("swap_map", 1, "slot", "S3 S12", pages=True),
        MixTerm("swap_cgroup", 2, "slot", "S3 S12", pages=True),
        MixTerm("zeromap", 1 / 8, "slot", "S3 S12", pages=True),
        MixTerm("swap_cluster_info", CLUSTER_INFO_BYTES, "cluster", "S24", pages=True),
        MixTerm("zswap_tree_heads", XARRAY_DTYPE.itemsize, "tree", "S21 BACKGROUND"),
        MixTerm("swap_table", PAGE_SIZE, "used cluster", "S23"),
        MixTerm("zswap_tree", XARRAY_NODE_BYTES, "tree node", "S21 BACKGROUND"),
    ),
    ("virtual", AS_ALLOCATED): (
        MixTerm("allocated", 1 / 8, "slot", "S3 S15", pages=True, device=True),
        MixTerm("bad_map", 1 / 8, "slot", "S3 S15", pages=True, device=True),
        MixTerm("swap_cluster_info", CLUSTER_INFO_BYTES, "cluster", "S24", pages=True, device=True),
        MixTerm("swp_desc", VSWAP_CLUSTER_SIZE * _DESCRIPTOR, "used cluster", "S6 S10"),
        MixTerm("vswap_cluster", CLUSTER_DTYPE.itemsize, "used cluster", "S10"),
        MixTerm("vswap_cluster_map", XARRAY_NODE_BYTES, "map node", "S10 BACKGROUND"),
        MixTerm("rmap", PAGE_SIZE, "disk cluster", "S12 S18"),
    ),
}

_UNITS_OF: Mapping[tuple[str, str], Unit] = {
    ("live entry", "zswap"): "zswap entry",
    ("live entry", "disk"): "disk entry",
    ("used cluster", "zswap"): "zswap cluster",
    ("used cluster", "disk"): "disk cluster",
}


def mix_terms(design: FormulaDesign, mode: Mode = AS_ALLOCATED) -> tuple[MixTerm, ...]:
    """Return the terms of a design that is not built as those of a mix.

    What only one backend has counts that backend's units alone. Zero pages then cost what all backends have in common.
    As posted, the bytes of a cluster in use are charged to its entries one by one.
    """
    found = []
    for term in design.terms:
        only = term.backends[0] if len(term.backends) == 1 else ""
        per, each = term.per, term.unit_bytes
        if mode == AS_POSTED and per == "used cluster":
            per, each = "live entry", each / SWAPFILE_CLUSTER
        unit = _UNITS_OF.get((per, only), per)
        found.append(MixTerm(term.name, each, unit, design.source, device=only == "disk"))
    return tuple(found)


MIX_BASELINES: tuple[str, ...] = (BASELINES[0], BASELINES[-1])
"""What virtual swap is held against here: Linux 6.19, and the newest release that changed swap's metadata."""

MIX_TERMS: Mapping[tuple[str, Mode], tuple[MixTerm, ...]] = {
    **_BUILT_TERMS,
    **{(MIX_BASELINES[1], mode): mix_terms(DESIGNS[MIX_BASELINES[1]], mode) for mode in MODES},
}
"""Terms by design and mode, in the order in which they are stacked: what is static first."""


def mix_ledger(design: str, mix: Mix, usage: float) -> Ledger:
    """Return what a design's metadata costs at `usage` percent; InvalidArgument for one without terms."""
    design = design_name(design)
    choice(design, "design", tuple(name for name, mode in MIX_TERMS if mode == AS_POSTED))
    return _ledger(design, mix, mix.live_at(usage))


def mix_crossover(mix: Mix, baseline: str = MIX_BASELINES[0]) -> int | None:
    """Return the smallest number of entries at which the virtual design costs more than `baseline`; None if never.

    By bisection, as `vswaplab.observe.ledger_claims.crossover` finds it on live structures. As allocated, costs rise in
    steps, so it is exact to a cluster.
    """

    baseline = choice(design_name(baseline), "baseline", MIX_BASELINES)

    def more(live: int) -> bool:
        virtual, old = (_ledger(design, mix, live).total_bytes for design in ("virtual", baseline))
        return virtual > old

    below, above = 0, mix.most_live
    if more(0):
        return 0
    if not more(above):
        return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if more(middle) else (middle, above)
    return above


def _ledger(design: str, mix: Mix, live: int) -> Ledger:
    units = mix.units(live, design)
    lines: dict[str, Any] = {term.name: term.line(units) for term in MIX_TERMS[design, mix.mode]}
    return Ledger(design, mix.mode, mix.slots if units["device"] else 0, live, lines, kind="formula")
