"""The state as a graph: page table entries -> slots -> what has the contents; in the virtual design the rmap back.

Nodes are named by what they are, so that two graphs can be compared; `graph.graph["design"]` names the design. Virtual:

===================================  ========  ========================================================================
node                                 column    attributes (besides `kind`, `label`, `column`)
===================================  ========  ========================================================================
``("pte", pid, vpn)``                0         pid, vpn, present, entry, pfn
``("vslot", entry)``                 1         entry, cluster, index, backing, swap_count, in_swapcache, memcgid,
                                               handle, swap_cache, shadow
``("zswap", handle)``                2         backing, handle, length
``("zero",)``                        2         backing
``("swapfile", type, offset)``       2         backing, device, offset, entry (what the rmap says), cache_only
``("folio", pfn)``                   2         pfn, pointer; backing if it backs a slot
===================================  ========  ========================================================================

Edge kinds: ``pte`` (a PTE to its virtual slot, or to its folio when present), ``backing`` (a virtual slot to what holds
its contents), ``swapcache`` (a virtual slot to its folio in the swap cache), ``rmap`` (a slot of a swapfile back to the
virtual slot).

Legacy: page tables hold physical slots, so the second column is the swapfile's; its blocks are a column of their own:

===================================  ========  ========================================================================
node                                 column    attributes (besides `kind`, `label`, `column`)
===================================  ========  ========================================================================
``("pte", pid, vpn)``                0         pid, vpn, present, entry, pfn
``("slot", type, offset)``           1         entry, device, offset, cluster, backing, swap_count, in_swapcache,
                                               memcgid, handle, swap_cache, shadow
``("zswap", handle)``                2         backing, handle, length
``("zero",)``                        2         backing
``("folio", pfn)``                   2         pfn, pointer; backing if it alone has the contents of a slot
``("block", type, offset)``          3         device, offset, holds (whether the contents are there), entry
===================================  ========  ========================================================================

Edge kinds: ``pte``, ``backing`` and ``swapcache`` as above, with `through` on a backing edge: "zswap tree", "zeromap",
"swap table" or "offset", what the kernel asks to get there; ``reserved`` (a slot to its block while the block holds
nothing of it). There is no rmap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER_SHIFT
from vswaplab.entry import STRUCT_PAGE_SIZE, VMEMMAP_START, Backing, swp_entry_t, swp_slot_t
from vswaplab.observe.state import SlotState, State
from vswaplab.observe.words import address

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["COLUMNS", "Rmap", "build_graph", "folio_pfn", "slot_node"]

COLUMNS = {"pte": 0, "vslot": 1, "slot": 1, "zswap": 2, "zero": 2, "swapfile": 2, "folio": 2, "block": 3}
_THROUGH = {
    Backing.SWAPFILE: "offset",
    Backing.ZERO: "zeromap",
    Backing.ZSWAP: "zswap tree",
    Backing.FOLIO: "swap table",
}

Rmap = Mapping[swp_slot_t, tuple[int, bool]]
"""What the devices' rmaps say: physical slot -> (entry, cache-only bit)."""


def folio_pfn(pointer: int) -> int:
    """Return the frame of a folio by its pointer, as ``page_to_pfn`` does; negative for one outside the memory map.

    Write-back decompresses into a page of its own, which no frame of the machine stands for.
    """
    return (pointer - VMEMMAP_START) // STRUCT_PAGE_SIZE


def slot_node(entry: int, design: str) -> tuple[Any, ...]:
    """Return the node that page table entries with this entry lead to: a virtual slot, in legacy a physical one."""
    if design != "legacy":
        return ("vslot", entry)
    physical = swp_slot_t(entry)
    return ("slot", physical.type, physical.offset)


def build_graph(state: State, rmap: Rmap | None = None) -> nx.MultiDiGraph[Any]:
    """Return a state as a `networkx.MultiDiGraph`.

    `rmap` is what the devices' rmaps say; without it (a state rebuilt from the trace) the descriptors say it.
    """
    import networkx as nx

    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(design=state.design)
    heads: dict[int, int] = {}  # folio -> its first entry: page i of a large folio stands for entry first + i
    for entry, slot in sorted(state.slots.items()):
        head = heads.setdefault(slot.folio, entry)
        _add_slot(graph, entry, slot, entry - head)
    if state.design != "legacy":
        for slot_word, (entry, cache_only) in sorted((_derived(state) if rmap is None else rmap).items()):
            _add_rmap(graph, slot_word, entry, cache_only)
    for (pid, vpn), pte in sorted(state.ptes.items()):
        node = ("pte", pid, vpn)
        _add(graph, node, address(vpn), pid=pid, vpn=vpn, present=pte.present, entry=pte.entry, pfn=pte.pfn)
        if pte.present:
            graph.add_edge(node, _add_folio(graph, pte.pfn), kind="pte")
        elif pte.entry:  # a poison marker leads nowhere
            graph.add_edge(node, _slot_node(graph, pte.entry), kind="pte")
    return graph


def _add(graph: nx.MultiDiGraph[Any], node: tuple[Any, ...], label: str, **attributes: Any) -> None:
    kind = str(node[0])
    graph.add_node(node, kind=kind, label=label, column=COLUMNS[kind], **attributes)


def _slot_node(graph: nx.MultiDiGraph[Any], entry: int) -> tuple[Any, ...]:
    """Return the node of a slot; one that is not allocated is added, so that what dangles can be seen."""
    design = str(graph.graph["design"])
    node = slot_node(entry, design)
    if node not in graph:
        _add(graph, node, _name(entry, design), entry=entry, **_where(entry, design), backing=None)
    return node


def _name(entry: int, design: str) -> str:
    physical = swp_slot_t(entry)
    return f"{physical.type}:{physical.offset}" if design == "legacy" else str(entry)


def _where(entry: int, design: str) -> dict[str, int]:
    if design == "legacy":
        slot = swp_slot_t(entry)
        return {"device": slot.type, "offset": slot.offset, "cluster": slot.offset >> SWAPFILE_CLUSTER_SHIFT}
    virtual = swp_entry_t(entry)
    return {"cluster": virtual.cluster, "index": virtual.index}


def _add_slot(graph: nx.MultiDiGraph[Any], entry: int, slot: SlotState, page: int) -> None:
    design = str(graph.graph["design"])
    node = slot_node(entry, design)
    _add(
        graph,
        node,
        _name(entry, design),
        entry=entry,
        **_where(entry, design),
        backing=slot.backing,
        swap_count=slot.swap_count,
        in_swapcache=slot.in_swapcache,
        memcgid=slot.memcgid,
        handle=slot.handle,
        swap_cache=slot.folio,
        shadow=slot.shadow,
    )
    folio = _add_folio(graph, folio_pfn(slot.folio) + page, slot.folio) if slot.folio else None
    if design == "legacy":
        block = _add_block(graph, entry, slot.backing is Backing.SWAPFILE)
        backing = block if slot.backing is Backing.SWAPFILE else _add_backing(graph, slot, folio)
        if backing is not block:
            graph.add_edge(node, block, kind="reserved")
        if backing is not None:
            graph.add_edge(node, backing, kind="backing", through=_THROUGH[slot.backing])
    else:
        backing = _add_backing(graph, slot, folio)
        if backing is not None:
            graph.add_edge(node, backing, kind="backing")
    if folio is not None:
        graph.add_edge(node, folio, kind="swapcache")


def _add_folio(graph: nx.MultiDiGraph[Any], pfn: int, pointer: int = 0) -> tuple[Any, ...]:
    node = ("folio", pfn)
    if node not in graph:
        label = f"frame {pfn}" if 0 <= pfn < 1 << 40 else "write-back page"
        _add(graph, node, label, pfn=pfn, pointer=pointer or VMEMMAP_START + pfn * STRUCT_PAGE_SIZE)
    return node


def _add_backing(graph: nx.MultiDiGraph[Any], slot: SlotState, folio: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Add what backs a slot and return its node; None if the folio that is to back it is not there yet."""
    if slot.backing is Backing.ZSWAP:
        node: tuple[Any, ...] = ("zswap", slot.handle)
        _add(graph, node, f"{slot.length} B", backing=slot.backing, handle=slot.handle, length=slot.length)
        return node
    if slot.backing is Backing.ZERO:
        _add(graph, ("zero",), "zero page", backing=slot.backing)
        return ("zero",)
    physical = slot.slot if slot.backing is Backing.SWAPFILE else None
    if physical is not None:
        node = ("swapfile", physical.type, physical.offset)
        label = f"{physical.type}:{physical.offset}"
        _add(graph, node, label, backing=slot.backing, device=physical.type, offset=physical.offset)
        return node
    if folio is not None:
        graph.nodes[folio]["backing"] = slot.backing
    return folio


def _add_block(graph: nx.MultiDiGraph[Any], entry: int, holds: bool) -> tuple[Any, ...]:
    """Add the block on the device that is a legacy slot's own, whether or not it holds the contents."""
    physical = swp_slot_t(entry)
    node = ("block", physical.type, physical.offset)
    label = f"{physical.type}:{physical.offset}"
    _add(graph, node, label, device=physical.type, offset=physical.offset, holds=holds, entry=entry)
    return node


def _add_rmap(graph: nx.MultiDiGraph[Any], word: swp_slot_t, entry: int, cache_only: bool) -> None:
    node = ("swapfile", word.type, word.offset)
    _add(
        graph,
        node,
        f"{word.type}:{word.offset}",
        backing=Backing.SWAPFILE,
        device=word.type,
        offset=word.offset,
        entry=entry,
        cache_only=cache_only,
    )
    if entry:
        graph.add_edge(node, _slot_node(graph, entry), kind="rmap")


def _derived(state: State) -> dict[swp_slot_t, tuple[int, bool]]:
    return {
        physical: (entry, slot.cache_only) for entry, slot in state.slots.items() if (physical := slot.slot) is not None
    }
