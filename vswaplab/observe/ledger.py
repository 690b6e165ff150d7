"""The byte ledger: what swap's metadata costs, structure by structure, read off the live structures.

A `Ledger` says how many bytes each structure takes now. Nothing in it is computed from how full swap is meant to be:
set bits are counted in bitmaps, words that are not 0 in swap tables, entries and nodes in trees; static arrays have the
size they were made with. There are two ways to count (`MODES`):

* **as posted**: as the cover letter of the series does, by *entry*: 24 bytes a live descriptor, 8 a live word [S3].
* **as allocated**: as the kernel's allocators do, by *cluster* and page: arrays in whole pages, a page of swap table
  for each used cluster, 12,288 bytes of descriptors and a header for each virtual one, trees node by node [S10 S23].
  It adds what the letter leaves out: `swap_cluster_info`, cluster headers, the cluster map, continuation pages.

A device for C pages has C + 1 slots, the first its header, and bitmaps round up to whole words or clusters; the letter
counts C. So a static line may exceed the posted figure by a slot's worth, or a cluster's in a bitmap: below 0.001 MiB
together.

`zswap_entry` costs the same in both designs: it stands apart and is in no sum. Compressed pages are contents, not
metadata.

>>> from vswaplab import Machine
>>> m = Machine(ram="1M", design="virtual")
>>> take_ledger(m).total_bytes
0
>>> device = m.swapon(size="64M")
>>> p = m.spawn(); r = p.mmap("256K"); p.write(r.start, b"some" * 65536)
>>> m.reclaim()
64
>>> ledger = take_ledger(m)
>>> ledger.structures["swp_desc"].bytes, ledger.structures["swp_desc"].units
(1536, 64)
>>> take_ledger(m, "as allocated").structures["swp_desc"].bytes
12288
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER, SWAPFILE_CLUSTER_SHIFT
from vswaplab.entry import VSWAP_CLUSTER_MASK, VSWAP_CLUSTER_SHIFT, VSWAP_CLUSTER_SIZE
from vswaplab.errors import InvalidArgument
from vswaplab.legacy.zswap_tree import XA_CHUNK_SHIFT, XA_NODE_DTYPE, XARRAY_DTYPE
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, MODES, Ledger, Line, line_of
from vswaplab.strict import quoted
from vswaplab.units import PAGE_SIZE
from vswaplab.virtual.cluster import CLUSTER_DTYPE
from vswaplab.virtual.descriptor import DESCRIPTOR_DTYPE, TYPE_MASK, TYPE_ZSWAP

if TYPE_CHECKING:
    from vswaplab.backends.swapfile import SwapFile

__all__ = [
    "AS_ALLOCATED",
    "AS_POSTED",
    "CLUSTER_INFO_BYTES",
    "MODES",
    "WORD_BYTES",
    "XARRAY_NODE_BYTES",
    "ZSWAP_ENTRY_BYTES",
    "Ledger",
    "Line",
    "measure",
    "resident_bytes",
    "take_ledger",
    "xarray_nodes",
]

WORD_BYTES = 8
"""A word of a swap table, a slot of an xarray."""
CLUSTER_INFO_BYTES = 32
"""``struct swap_cluster_info`` of one physical cluster [S24]."""
XARRAY_NODE_BYTES = XA_NODE_DTYPE.itemsize
"""A node of an xarray, for 64 indexes: 576 [BACKGROUND]."""
ZSWAP_ENTRY_BYTES = 56
"""``struct zswap_entry``, by its fields [INFERRED]."""

_ALL_SLOTS = (1 << VSWAP_CLUSTER_SIZE) - 1
_I64 = npt.NDArray[np.int64]


# -- taking it ---------------------------------------------------------------------------------------------------


def take_ledger(machine: Any, mode: str = AS_POSTED) -> Ledger:
    """Return the ledger of a machine's swap now; InvalidArgument for a mode that is not in `MODES`."""
    return measure(machine.swap, mode)


def measure(swap: Any, mode: str = AS_POSTED) -> Ledger:
    """Return the ledger of a `SwapSpace` of either design. O(clusters), and reads the words of used ones.

    InvalidArgument for a mode that is not in `MODES`.
    """
    if mode not in MODES:
        raise InvalidArgument(f"There is no mode {quoted(mode)}; choose one of: {', '.join(MODES)}.")
    allocated = mode == AS_ALLOCATED
    lines = _COUNTERS[swap.design, allocated](swap)
    return Ledger(
        design=swap.design,
        mode=AS_ALLOCATED if allocated else AS_POSTED,
        capacity=sum(si.max - 1 for si in swap.devices),
        live=_live(swap),
        structures={line.name: line for line in lines},
        apart={line.name: line for line in _apart(swap)},
    )


def resident_bytes(swap: Any) -> dict[str, int]:
    """Return the memory that the operating system has given to the arrays behind the ledger, by structure.

    An independent check: descriptors take 12,288 bytes for each live cluster that was ever full, never more for any.
    Memory comes page by page where something is written: so the last cluster of a dense layout may take one or two of
    its three pages, and static arrays what was written of them, where the kernel allocates both whole. Measuring gives
    no memory to anything. See `Arena.resident_bytes`.
    """
    if swap.design == "virtual":
        found = {"swp_desc": swap.desc.resident_bytes()}
        arrays = [("allocated", "allocated"), ("bad_map", "bad_map"), ("rmap", "rmap")]
        owners = list(swap.devices)
    else:
        found = {"swap_map": sum(info.swap_map.map.resident_bytes() for info in swap.info.values())}
        arrays = [(name, name) for name in ("swap_cgroup", "zeromap", "swap_table")]
        owners = list(swap.info.values())
    for name, attribute in arrays:
        found[name] = sum(getattr(owner, attribute).resident_bytes() for owner in owners)
    return found


# -- counting ----------------------------------------------------------------------------------------------------


def xarray_nodes(indexes: Iterable[int] | _I64) -> int:
    """Return how many nodes an xarray with these (distinct) indexes has: 64 to a node, as tall as the largest needs.

    Index 0 alone takes none: it stands in the root [BACKGROUND].

    >>> xarray_nodes([0]), xarray_nodes([0, 63]), xarray_nodes([64]), xarray_nodes(range(128))
    (0, 1, 2, 3)
    """
    level = np.unique(np.fromiter(indexes, np.int64))
    nodes = 0
    while len(level) and level[-1]:
        level = np.unique(level >> XA_CHUNK_SHIFT)
        nodes += len(level)
    return nodes


def _used_clusters(si: SwapFile) -> _I64:
    """Return the physical clusters in which a slot is allocated, in order: those that have a table.

    One with bad slots is never quite empty, so the model keeps its page once it was used; it is not counted here.
    """
    lists = si.lists
    clusters = lists.used_clusters()
    taken = lists.count_arena.rows[clusters].astype(np.int64)
    # A cluster counts the slots that can never be had as taken.
    held = np.array(lists.never_free, np.int64)
    bad = si.bad_map.rows.reshape(-1, SWAPFILE_CLUSTER // 64)[held]
    taken[np.searchsorted(clusters, held)] -= np.bitwise_count(bad).sum(axis=1, dtype=np.int64)
    return clusters[taken > 0]


def _runs(clusters: _I64, shift: int) -> Iterator[slice]:
    """Yield the rows of clusters, neighbours together: what was never written is not read, or it would get memory."""
    for run in np.split(clusters, np.flatnonzero(np.diff(clusters) != 1) + 1):
        if len(run):
            yield slice(int(run[0]) << shift, int(run[-1]) + 1 << shift)


def _words(rows: npt.NDArray[Any], clusters: _I64) -> int:
    """Count the words of clusters that are not 0."""
    return sum(int(np.count_nonzero(rows[where])) for where in _runs(clusters, SWAPFILE_CLUSTER_SHIFT))


def _live(swap: Any) -> int:
    if swap.design == "virtual":
        return sum(cluster.bitmap.bit_count() for cluster in swap.clusters.values())
    return sum(_set_bits(si) for si in swap.devices)


def _set_bits(si: SwapFile) -> int:
    words = si.allocated.rows.reshape(-1, SWAPFILE_CLUSTER // 64)[_used_clusters(si)]
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _zswap_entries(swap: Any) -> int:
    if swap.design == "legacy":
        return sum(len(info.zswap_tree) for info in swap.info.values())
    return sum(int(np.count_nonzero(flags & TYPE_MASK == TYPE_ZSWAP)) for flags in _flags_in_use(swap))


def _flags_in_use(swap: Any) -> Iterator[npt.NDArray[np.uint16]]:
    """Yield the flags of descriptors in use: of full clusters side by side, of others one by one.

    Nothing else is read: a page of descriptors that was never written would get memory by being looked at.
    """
    flags = swap.desc.rows["flags"]
    clusters = [swap.clusters[each] for each in sorted(swap.clusters)]
    full = np.array([each.id for each in clusters if each.bitmap == _ALL_SLOTS], np.int64)
    for where in _runs(full, VSWAP_CLUSTER_SHIFT):
        yield flags[where]
    rest = [each for each in clusters if each.bitmap != _ALL_SLOTS]
    packed = b"".join(each.bitmap.to_bytes(VSWAP_CLUSTER_SIZE // 8, "little") for each in rest)
    index = np.flatnonzero(np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little"))
    bases = np.array([each.id << VSWAP_CLUSTER_SHIFT for each in rest], np.int64)
    yield flags[bases[index >> VSWAP_CLUSTER_SHIFT] + (index & VSWAP_CLUSTER_MASK)]


# -- lines -------------------------------------------------------------------------------------------------------


def _apart(swap: Any) -> list[Line]:
    return [line_of("zswap_entry", _zswap_entries(swap), "live entry", ZSWAP_ENTRY_BYTES, "S10 INFERRED")]


def _array(name: str, nr_bytes: Iterable[int], slots: int, unit_bytes: float, source: str, *, pages: bool) -> Line:
    """A static array of each device: its own bytes, or the whole pages they take."""
    total = sum(-(-size // PAGE_SIZE) * PAGE_SIZE if pages else size for size in nr_bytes)
    return Line(name, total, slots, "slot", unit_bytes, True, source)


def _slots(swap: Any) -> int:
    return sum(si.max for si in swap.devices)


def _bitmaps(swap: Any, *, pages: bool) -> list[Line]:
    """The swapfile's own two bitmaps, which replace the swap_map [S15]."""
    return [
        _array(name, [getattr(si, name).rows.nbytes for si in swap.devices], _slots(swap), 1 / 8, "S3 S15", pages=pages)
        for name in ("allocated", "bad_map")
        if len(swap.devices)
    ]


def _cluster_info(swap: Any) -> list[Line]:
    """``struct swap_cluster_info []``, in whole pages; both designs have it, the posting counts it in neither."""
    if not len(swap.devices):
        return []
    clusters = [si.nr_clusters for si in swap.devices]
    total = sum(-(-nr * CLUSTER_INFO_BYTES // PAGE_SIZE) * PAGE_SIZE for nr in clusters)
    return [Line("swap_cluster_info", total, sum(clusters), "cluster", CLUSTER_INFO_BYTES, True, "S24")]


def _virtual_as_posted(swap: Any) -> list[Line]:
    live = _live(swap)
    words = sum(_words(si.rmap.rows, _used_clusters(si)) for si in swap.devices)
    rmap = [line_of("rmap", words, "live word", WORD_BYTES, "S3 S12")] if len(swap.devices) else []
    return [
        line_of("swp_desc", live, "live descriptor", DESCRIPTOR_DTYPE.itemsize, "S3 S10"),
        line_of("vswap_bitmap", live, "live slot", 1 / 8, "S3 S10"),
        *_bitmaps(swap, pages=False),
        *rmap,
    ]


def _virtual_as_allocated(swap: Any) -> list[Line]:
    clusters = len(swap.clusters)
    tables = sum(len(_used_clusters(si)) for si in swap.devices)
    array = VSWAP_CLUSTER_SIZE * DESCRIPTOR_DTYPE.itemsize
    rmap = [line_of("rmap", tables, "used cluster", PAGE_SIZE, "S12 S18")] if len(swap.devices) else []
    return [
        line_of("swp_desc", clusters, "live cluster", array, "S6 S10"),
        line_of("vswap_cluster", clusters, "live cluster", CLUSTER_DTYPE.itemsize, "S10"),
        line_of("vswap_cluster_map", xarray_nodes(swap.clusters), "node", XARRAY_NODE_BYTES, "S10 BACKGROUND"),
        *_bitmaps(swap, pages=True),
        *_cluster_info(swap),
        *rmap,
    ]


def _static_legacy(swap: Any, *, pages: bool) -> list[Line]:
    infos, slots = list(swap.info.values()), _slots(swap)
    each = {
        "swap_map": ([info.swap_map.map.rows.nbytes for info in infos], 1.0),
        "swap_cgroup": ([info.swap_cgroup.rows.nbytes for info in infos], 2.0),
        "zeromap": ([info.zeromap.rows.nbytes for info in infos], 1 / 8),
    }
    return [_array(name, sizes, slots, unit, "S3 S12", pages=pages) for name, (sizes, unit) in each.items()]


def _legacy_as_posted(swap: Any) -> list[Line]:
    words = sum(_words(info.swap_table.rows, _used_clusters(info.si)) for info in swap.info.values())
    return [
        *_static_legacy(swap, pages=False),
        line_of("swap_table", words, "live word", WORD_BYTES, "S3 S23"),
        line_of("zswap_tree", _zswap_entries(swap), "live entry", WORD_BYTES, "S3 S21"),
    ]


def _legacy_as_allocated(swap: Any) -> list[Line]:
    infos = swap.info.values()
    tables = sum(len(_used_clusters(info.si)) for info in infos)
    nodes = sum(info.zswap_tree.nodes for info in infos)
    heads = sum(info.zswap_tree.nr_trees for info in infos)
    continuation = sum(info.swap_map.continuation_pages for info in infos)
    return [
        *_static_legacy(swap, pages=True),
        line_of("continuation", continuation, "page", PAGE_SIZE, "S12"),
        *_cluster_info(swap),
        line_of("zswap_tree_heads", heads, "tree", XARRAY_DTYPE.itemsize, "S21 BACKGROUND", static=True),
        line_of("swap_table", tables, "used cluster", PAGE_SIZE, "S23"),
        line_of("zswap_tree", nodes, "node", XARRAY_NODE_BYTES, "S21 BACKGROUND"),
    ]


_COUNTERS = {
    ("virtual", False): _virtual_as_posted,
    ("virtual", True): _virtual_as_allocated,
    ("legacy", False): _legacy_as_posted,
    ("legacy", True): _legacy_as_allocated,
}
