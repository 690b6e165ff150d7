"""Scene: what to draw of a state, apart from how it is drawn.

A `Scene` is plain data: marks, edges and headings with their places. The plotly figure draws one; another view may draw
the same. `alt_text` and `text_twin` say the same in words and as a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER_SHIFT
from vswaplab.entry import Backing
from vswaplab.figures.layout import Block, Place, SlotLayout
from vswaplab.observe.graph import slot_node
from vswaplab.observe.labels import Labels
from vswaplab.observe.state import State, StateDiff
from vswaplab.observe.words import BACKING_NAMES, LEGACY_PLACES, address
from vswaplab.units import PAGE_SIZE

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Edge", "Heading", "Mark", "Scene", "alt_text", "make_scene", "text_twin"]

Node = tuple[Any, ...]

_CAPTION = "Page table entries, virtual slots and backings"
_LEGACY_WHERE = {
    Backing.SWAPFILE: "its block on the device",
    Backing.ZERO: "zeromap bit; block unused",
    Backing.ZSWAP: "zswap, {} bytes; block unused",
    Backing.FOLIO: "a folio alone; block unused",
}


@dataclass(frozen=True)
class Mark:
    """One thing: its place, its shape and colour by `look` (a key of `SHAPES`), its words."""

    node: Node
    x: float
    y: float
    look: Backing | str
    label: str
    hover: str
    scale: float
    """Size relative to the layout's marks: in a grid, a compressed object's area is its share of a page."""
    changed: bool


@dataclass(frozen=True)
class Edge:
    """A line from one place to another; `kind` as in the graph, `backing` what its target is."""

    kind: str
    backing: Backing | str
    start: tuple[float, float]
    end: tuple[float, float]
    down: bool
    """Whether it arrives from above, at the page frames."""
    changed: bool


@dataclass(frozen=True)
class Heading:
    """Two lines of text at a block; `side` as in `Block`."""

    x: float
    y: float
    text: str
    note: str
    side: str


@dataclass(frozen=True)
class Scene:
    """Everything to draw at one step."""

    marks: tuple[Mark, ...]
    edges: tuple[Edge, ...]
    headings: tuple[Heading, ...]
    layout: SlotLayout


def make_scene(
    graph: nx.MultiDiGraph[Any], layout: SlotLayout, highlight: StateDiff | None = None, about: Labels | None = None
) -> Scene:
    """Return what to draw of a graph (see `vswaplab.observe.graph`); `highlight` is what changed."""
    diff, labels = highlight or StateDiff(), about or Labels()
    design = str(graph.graph["design"])
    changed = {slot_node(entry, design) for entry in diff.slots} | {("pte", *key) for key in diff.ptes}
    where: dict[Node, Place] = {}
    for node in graph:
        where[node] = layout.place(_key(graph, node))
    for source, target, data in graph.edges(data=True):
        if data["kind"] == "backing" and source in changed and target != ("zero",):
            changed.add(target)
    marks = tuple(
        Mark(
            node,
            where[node].x,
            where[node].y,
            _look(data),
            _label(data, layout),
            _hover(graph, node, labels),
            _scale(data, layout),
            node in changed,
        )
        for node, data in graph.nodes(data=True)
    )
    edges = tuple(
        _edge(graph, source, target, str(data["kind"]), where, source in changed)
        for source, target, data in graph.edges(data=True)
        if data["kind"] != "reserved"  # the block stands in the row of its slot, which says it
    )
    headings = tuple(_heading(block, graph, labels, layout) for block in layout.blocks)
    return Scene(marks, edges, headings, layout)


def _key(graph: nx.MultiDiGraph[Any], node: Node) -> Node:
    """A compressed object has the place of its virtual slot's rank: handles come and go."""
    if node[0] != "zswap":
        return node
    return ("zswap", next(graph.nodes[source]["entry"] for source, _ in graph.in_edges(node)))


def _look(data: dict[str, Any]) -> Backing | str:
    if data["kind"] == "pte":
        return "present" if data["present"] else "swapped"
    if data["kind"] == "folio":
        return Backing.FOLIO
    if data["kind"] == "block":
        return Backing.SWAPFILE if data["holds"] else "reserved"
    return data["backing"] if data.get("backing") is not None else "none"


def _scale(data: dict[str, Any], layout: SlotLayout) -> float:
    if layout.labelled or data["kind"] != "zswap":
        return 1.0
    return float(max(0.35, (data["length"] / PAGE_SIZE) ** 0.5))


def _label(data: dict[str, Any], layout: SlotLayout) -> str:
    kind = data["kind"]
    if not layout.labelled and kind != "zero":
        return ""
    if kind == "pte":
        return address(data["vpn"]) if layout.full_labels else f"{data['vpn'] & 0xFFFFF:05x}"
    if kind == "vslot":
        count = data.get("swap_count", 0)
        return f"{data['entry']} ×{count}" if layout.full_labels or count != 1 else str(data["entry"])
    if kind == "slot":
        count, name = data.get("swap_count", 0), str(data["offset"])
        return f"{name} ×{count}" if layout.full_labels or count != 1 else name
    if kind == "block":
        return "" if not data["holds"] else f"block {data['offset']}" if layout.full_labels else str(data["offset"])
    if kind == "zswap":
        return f"{data['length']:,} bytes" if layout.full_labels else f"{data['length']}"
    if kind == "swapfile":
        return f"slot {data['offset']}" if layout.full_labels else str(data["offset"])
    if kind == "folio":
        return str(data["label"]) if layout.full_labels else str(data["pfn"])
    return str(data["label"])


def _hover(graph: nx.MultiDiGraph[Any], node: Node, labels: Labels) -> str:
    data = graph.nodes[node]
    hovers = {"pte": _hover_pte, "vslot": _hover_slot, "slot": _hover_legacy, "block": _hover_block}
    lines = hovers.get(data["kind"], _hover_backing)(data, labels)
    if data["kind"] == "folio" and graph.graph["design"] == "legacy":
        alone = data.get("backing") is Backing.FOLIO
        lines[-1] = "alone has the contents of its slot" if alone else "a copy, or the page of no slot"
    return "<br>".join(lines)


def _hover_pte(data: dict[str, Any], labels: Labels) -> list[str]:
    held = f"present: frame {data['pfn']}" if data["present"] else f"not present: swp_entry_t {data['entry']}"
    return [f"<b>PTE</b> of {escape(labels.process(data['pid']))}", f"address {address(data['vpn'])}", held]


def _hover_slot(data: dict[str, Any], labels: Labels) -> list[str]:
    place = f"cluster {data['cluster']}, index {data['index']}"
    if data["backing"] is None:
        return [f"<b>virtual slot {data['entry']}</b>", place, "not allocated: the PTE dangles"]
    backing = data["backing"]
    handle = {Backing.SWAPFILE: "slot", Backing.ZSWAP: "zswap_entry"}.get(backing)
    cache = f"shadow: {data['shadow']:#x}" if data["shadow"] else f"swap_cache: {data['swap_cache'] or 0:#x}"
    return [
        f"<b>virtual slot {data['entry']}</b>",
        place,
        *([labels.cluster(data["cluster"])] if labels.cluster(data["cluster"]) else []),
        f"{handle}: {data['handle']:#x}" if handle else "slot / zswap_entry: 0",
        cache,
        f"swap_count: {data['swap_count']}",
        f"memcgid: {data['memcgid']}",
        f"in_swapcache: {int(data['in_swapcache'])}",
        f"type: {backing.name} ({int(backing)})",
    ]


def _hover_legacy(data: dict[str, Any], labels: Labels) -> list[str]:
    """What Linux 6.19 keeps for a slot, array by array [S12 S21 S23]."""
    name = f"<b>slot {data['offset']}</b> of {escape(labels.device(data['device']))}"
    place = f"swp_entry_t {data['entry']}, cluster {data['cluster']}"
    if data["backing"] is None:
        return [name, place, "not allocated: the PTE dangles"]
    cluster = labels.cluster(data["entry"] >> SWAPFILE_CLUSTER_SHIFT)
    cached = ", has cache" if data["in_swapcache"] else ""
    table = f"shadow {data['shadow']:#x}" if data["shadow"] else f"folio {data['swap_cache'] or 0:#x}"
    return [
        name,
        place,
        *([cluster] if cluster else []),
        f"swap_map: count {data['swap_count']}{cached}",
        f"swap_cgroup: {data['memcgid']}",
        f"swap table: {table}",
        f"zeromap: {int(data['backing'] is Backing.ZERO)}",
        f"zswap tree: {data['handle']:#x}" if data["backing"] is Backing.ZSWAP else "zswap tree: none",
        f"contents {LEGACY_PLACES[data['backing']]}",
    ]


def _hover_block(data: dict[str, Any], labels: Labels) -> list[str]:
    held = "holds the contents" if data["holds"] else "unused: the slot is taken, something else has the contents"
    return [f"<b>block {data['offset']}</b> of {escape(labels.device(data['device']))}", held]


def _hover_backing(data: dict[str, Any], labels: Labels) -> list[str]:
    kind = data["kind"]
    if kind == "zswap":
        return [f"<b>zswap entry {data['handle']}</b>", f"{data['length']:,} bytes compressed"]
    if kind == "zero":
        return ["<b>zero page</b>", "no bytes are stored"]
    if kind == "swapfile":
        back = f"rmap: entry {data['entry']}" if data.get("entry") else "rmap: none"
        only = ", cache-only" if data.get("cache_only") else ""
        return [f"<b>slot {data['offset']}</b> of {escape(labels.device(data['device']))}", back + only]
    backs = "backs a virtual slot" if data.get("backing") is Backing.FOLIO else "backs no virtual slot"
    return [f"<b>folio</b> in {data['label']}", f"{data['pointer']:#x}", backs]


def _edge(
    graph: nx.MultiDiGraph[Any], source: Node, target: Node, kind: str, where: dict[Node, Place], changed: bool
) -> Edge:
    start, end = where[source], where[target]
    look = _look(graph.nodes[source if kind == "rmap" else target])
    if kind == "rmap":  # drawn back from the slot of the swapfile to the virtual slot, a little below the way there
        return Edge(kind, look, (start.x, start.y + 3), (end.out, end.y + 3), False, changed)
    down = target[0] == "folio"
    return Edge(kind, look, (start.x if down else start.out, start.y), (end.x, end.y), down, changed)


def _heading(block: Block, graph: nx.MultiDiGraph[Any], labels: Labels, layout: SlotLayout) -> Heading:
    nodes = [data for _, data in graph.nodes(data=True) if data["kind"] == block.kind]
    if block.kind == "pte":
        own = [data for data in nodes if data["pid"] == block.name]
        out = sum(not data["present"] for data in own)
        text, note = _capital(labels.process(block.name)), f"PTEs: {out} of {len(own)} swapped out"
        if not layout.labelled and block.places:
            first = f", from {address(min(key[2] for key in block.places))}" if layout.design == "virtual" else ""
            note = f"PTEs: {out} of {len(own)} out{first}"
    elif block.kind == "vslot":
        own = [data for data in nodes if data["cluster"] == block.name]
        text, note = f"Virtual slots, cluster {block.name}", f"{len(own)} in use"
    elif block.kind == "slot":
        own = [data for data in nodes if data["device"] == block.name and data["backing"] is not None]
        text, note = _capital(labels.device(block.name)), f"{_number(len(own), 'slot', 'slots')} taken"
    elif block.kind == "block":
        own = [data for data in nodes if data["device"] == block.name]
        used = sum(data["holds"] for data in own)
        text, note = "Its blocks on the device", f"{used} of {len(own)} hold the contents"
    elif block.kind == "zswap":
        legacy = layout.design == "legacy"
        if legacy:  # a block for each device
            nodes = [data for node, data in graph.nodes(data=True) if _key(graph, node) in block.places]
        size = sum(data["length"] for data in nodes)
        area = "" if layout.labelled or legacy else " (area: size)"
        text, note = "zswap", f"{len(nodes)} compressed, {size:,} bytes{area}"
    elif block.kind == "zero":
        users = graph.in_degree(("zero",)) if ("zero",) in graph else 0
        text = "Zero page"
        note = (
            f"{_number(users, 'zeromap bit', 'zeromap bits')}"
            if layout.design == "legacy"
            else f"backs {users}, 0 bytes"
        )
    elif block.kind == "swapfile":
        own = [data for data in nodes if data["device"] == block.name]
        text, note = _capital(labels.device(block.name)), f"{len(own)} slots, {len(own) * 4} KiB"
    else:
        text, note = "Memory: page frames", f"{len(nodes)} in use"
    return Heading(block.x, block.y, text, note, block.side)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- the same in words -------------------------------------------------------------------------------------------


def alt_text(state: State) -> str:
    """Return a state in a few sentences, for those who do not see the figure."""
    if state.design == "legacy":
        return _legacy_alt(state)
    present = sum(pte.present for pte in state.ptes.values())
    swapped = len(state.ptes) - present
    shared = sum(slot.swap_count > 1 for slot in state.slots.values())
    cached = sum(slot.in_swapcache for slot in state.slots.values())
    counts = [
        f"{_number(state.count(backing), 'is', 'are')} backed by {name}"
        for backing, name in BACKING_NAMES.items()
        if state.count(backing)
    ]
    backed = f" Of these, {', '.join(counts)}." if counts else ""
    extra = f" {_number(shared, 'is', 'are')} shared by several page table entries." if shared else ""
    cache = f" {_number(cached, 'is', 'are')} in the swap cache." if cached else ""
    return (
        f"Slot graph. {_number(len(state.ptes), 'page table entry', 'page table entries')}: {present} present, "
        f"{swapped} swapped out. {_number(len(state.slots), 'virtual slot', 'virtual slots')} in use."
        f"{backed}{extra}{cache}"
    )


def _legacy_alt(state: State) -> str:
    present = sum(pte.present for pte in state.ptes.values())
    used = state.count(Backing.SWAPFILE)
    kept = {
        "zswap": state.count(Backing.ZSWAP),
        "the zeromap": state.count(Backing.ZERO),
        "a folio in memory alone": state.count(Backing.FOLIO),
    }
    shared = sum(slot.swap_count > 1 for slot in state.slots.values())
    cached = sum(slot.in_swapcache for slot in state.slots.values())
    taken = ", ".join(f"{count} by {name}" for name, count in kept.items() if count)
    where = f" The contents of {used} are on the device" if state.slots else ""
    where += f"; of the others they are kept {taken}, and their blocks are unused." if taken else "." if where else ""
    extra = f" {_number(shared, 'is', 'are')} shared by several page table entries." if shared else ""
    cache = f" {_number(cached, 'is', 'are')} in the swap cache." if cached else ""
    return (
        f"Slot graph, legacy design. {_number(len(state.ptes), 'page table entry', 'page table entries')}: "
        f"{present} present, {len(state.ptes) - present} swapped out. "
        f"{_number(len(state.slots), 'slot', 'slots')} of swapfiles taken.{where}{extra}{cache}"
    )


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def text_twin(state: State, highlight: StateDiff | None = None, max_rows: int = 2048) -> str:
    """Return a state as an HTML table: a row for each slot in use, with the page table entries that hold it.

    The slots are virtual ones, in the legacy design those of swapfiles.
    Rows that `highlight` names are marked "changed" and come first.
    """
    diff = highlight or StateDiff()
    holders: dict[int, list[str]] = {}
    rows: list[Iterable[object]] = []
    for (pid, vpn), pte in sorted(state.ptes.items()):
        if pte.present:
            mark = "changed" if (pid, vpn) in diff.ptes else ""
            rows.append((f"{pid}: {address(vpn)}", "", "present", f"frame {pte.pfn}", "", "", "", mark))
        else:
            holders.setdefault(pte.entry, []).append(f"{pid}: {address(vpn)}")
    legacy = state.design == "legacy"
    for entry, slot in sorted(state.slots.items()):
        mark = "changed" if entry in diff.slots else ""
        held = ", ".join(holders.get(entry, ["none"]))
        where = f"{slot.slot.type}:{slot.slot.offset}" if slot.slot is not None else ""
        detail = f"{slot.length} bytes" if slot.backing is Backing.ZSWAP else f"slot {where}" if where else ""
        if legacy:
            detail = _LEGACY_WHERE[slot.backing].format(slot.length)
        cached = "yes" if slot.in_swapcache else "no"
        named = where if legacy else entry
        rows.append((held, named, slot.backing.name, detail, slot.swap_count, cached, slot.memcgid, mark))
    rows.sort(key=lambda row: tuple(row)[-1] != "changed")  # what changed comes first
    heading = ("PTE (process: address)", "entry", "type", "where", "swap_count", "in_swapcache", "memcgid", "this step")
    if legacy:
        heading = ("PTE (process: address)", "slot", "contents", "where", "count", "has cache", "cgroup", "this step")
    return _html_table(
        heading,
        rows[:max_rows],
        ("Page table entries, slots of swapfiles and contents" if legacy else _CAPTION)
        + (f" (the first {max_rows:,} of {len(rows):,} rows)" if len(rows) > max_rows else ""),
    )


def _html_table(heading: Iterable[str], rows: Iterable[Iterable[object]], caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
