"""The index of legacy zswap: one xarray for each 64 MiB of a swapfile, keyed by swap offset [S21].

An xarray is a radix tree. A node has 64 slots and is 576 bytes (``struct xa_node``, x86-64 [BACKGROUND]); slots of a
leaf hold zswap entries, slots of a node above it hold nodes. The key is the whole offset within the device, six bits a
level, so a tree that serves high offsets has levels with a single node in them: of the keys of one tree only the last
14 bits differ. Up to 1 GiB of device a tree is 3 levels high, up to 64 GiB 4, up to 4 TiB 5. The tree with key 0 is the
one whose height varies: it grows with its largest key, and with key 0 alone its entry is in the head, without a node.

All nodes of a device are rows of one arena; the number of a row plays the pointer, 0 is NULL. A node lives from the
first entry below it to the last, so what a tree looks like depends on its keys alone, not on their history. Dense trees
of a 32 GiB device cost 9.21 bytes an entry, a lone entry costs up to 2304; the posting counts 8 for either [S3].

>>> trees = ZswapTrees(max=8 << 20)
>>> trees.store(4_000_000, 77), trees.load(4_000_000), trees.nodes
(0, 77, 4)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vswaplab.arena import Arena
from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument, hold

__all__ = ["SWAP_ADDRESS_SPACE_SHIFT", "XA_CHUNK_SHIFT", "XA_CHUNK_SIZE", "XA_NODE_DTYPE", "XARRAY_DTYPE", "ZswapTrees"]

SWAP_ADDRESS_SPACE_SHIFT = 14
"""A tree serves 1 << 14 slots, 64 MiB [S21]."""
XA_CHUNK_SHIFT = 6
XA_CHUNK_SIZE = 1 << XA_CHUNK_SHIFT
"""Slots in a node [BACKGROUND]."""

XA_NODE_DTYPE = np.dtype(
    {
        "names": ["shift", "offset", "count", "nr_values", "parent", "array", "private_list", "slots", "marks"],
        "formats": ["u1", "u1", "u1", "u1", "<u8", "<u8", ("<u8", 2), ("<u8", XA_CHUNK_SIZE), ("<u8", 3)],
        "offsets": [0, 1, 2, 3, 8, 16, 24, 40, 552],
        "itemsize": 576,
    }
)
"""C type: ``struct xa_node`` [BACKGROUND]. `offset` is the slot in the parent that holds the node."""

XARRAY_DTYPE = np.dtype([("xa_lock", "<u4"), ("xa_flags", "<u4"), ("xa_head", "<u8")])
"""C type: ``struct xarray`` [BACKGROUND]. A bit of the kernel's head tells node from entry; here `xa_flags` has the
height, and with 0 the head is the entry."""

_MASK = XA_CHUNK_SIZE - 1
_ROW_BYTES, _ROW_WORDS = XA_NODE_DTYPE.itemsize, XA_NODE_DTYPE.itemsize // 8
# Where fields are within a row: bytes, then words.
_SHIFT, _OFFSET, _COUNT = 0, 1, 2
_PARENT, _SLOTS = 1, 5
_CHUNK = 1 << 17
"""Array forms take so many offsets at a time, which bounds what they need beside the trees."""

_I64 = npt.NDArray[np.int64]


def _height_for(offset: int) -> int:
    """Return how many levels a tree needs that holds `offset`."""
    return -(-offset.bit_length() // XA_CHUNK_SHIFT)


def _leaves(rising: _I64) -> tuple[_I64, _I64, list[int]]:
    """Return where the offsets of each leaf begin, for each offset which leaf it is in, and how many each leaf has."""
    leaf = rising >> XA_CHUNK_SHIFT
    starts = np.flatnonzero(np.concatenate([[True], leaf[1:] != leaf[:-1]]))
    nr = np.diff(starts, append=len(rising))
    return starts, np.repeat(np.arange(len(starts)), nr), nr.tolist()


def _unsorted(found: U64, order: _I64 | None) -> U64:
    """Return what was found for sorted offsets in the order in which they were given."""
    if order is None:
        return found
    result = np.empty_like(found)
    result[order] = found
    return result


class ZswapTrees:
    """The xarrays of one device of `max` slots, made at swapon: swap offset to zswap entry (a number, never 0).

    Operations take offsets below `max`, InvalidArgument (-EINVAL) otherwise. Array forms take uint64 arrays; those that
    change anything want distinct offsets, check all first, and change nothing on an error.
    """

    def __init__(self, max: int) -> None:
        """Make the heads and reserve address space for all nodes there can be; NoMemory without it."""
        self.max = max
        self.nr_trees = -(-max >> SWAP_ADDRESS_SPACE_SHIFT)
        self.walks = 0
        """Times that an offset was looked up, entered or erased."""
        self.nodes_visited = 0
        """Nodes on the way from head to leaf in these walks. `erase_many` counts those there were before it began."""
        heads = Arena(XARRAY_DTYPE, self.nr_trees).rows
        self._head, self._height = heads["xa_head"], heads["xa_flags"]
        # At most 256 leaves, 4 nodes above them, and one a level beyond. Row 0 is NULL; 64 rows fill whole pages.
        rows = 1 + self.nr_trees * (256 + 4 + _height_for(max - 1)) + 63 & ~63
        self._arena = Arena(XA_NODE_DTYPE, rows)
        self._node = self._arena.rows
        self._words: U64 = self._node.view(np.uint64)
        self._bytes = memoryview(self._node.view(np.uint8))
        self._word = memoryview(self._words)
        self._head_of, self._height_of = memoryview(self._head), memoryview(self._height)
        self._len = 0
        self._free: list[int] = []
        """Rows that were nodes and are not."""
        self._fresh = 1
        """The first row that never was a node."""

    def __len__(self) -> int:
        """Return how many offsets have an entry."""
        return self._len

    @property
    def nodes(self) -> int:
        """Nodes there are, in all trees."""
        return self._fresh - 1 - len(self._free)

    def metadata_bytes(self) -> dict[str, int]:
        """Return the bytes of the index: a word an entry, as the posting counts, and what is allocated for them."""
        heads = self.nr_trees * XARRAY_DTYPE.itemsize
        return {"as_posted": 8 * self._len, "as_allocated": XA_NODE_DTYPE.itemsize * self.nodes + heads}

    def clear(self) -> None:
        """Erase everything and give the memory of nodes back."""
        self._arena.release(0, self._fresh + 63 & ~63)
        self._head[:] = 0
        self._height[:] = 0
        self._len, self._free, self._fresh = 0, [], 1

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _new_node(self, level: int, offset: int, parent: int) -> int:
        """Return an empty node at `level` (1 for a leaf), to be put in slot `offset` of `parent`."""
        if self._free:
            row = self._free.pop()
        else:
            row = self._fresh
            self._fresh += 1
        at = row * _ROW_BYTES
        self._bytes[at + _SHIFT] = (level - 1) * XA_CHUNK_SHIFT
        self._bytes[at + _OFFSET] = offset
        self._bytes[at + _COUNT] = 0
        self._word[row * _ROW_WORDS + _PARENT] = parent
        return row

    def _add_to_count(self, node: int, by: int) -> int:
        """Change how many slots of a node are used, and return that."""
        at = node * _ROW_BYTES + _COUNT
        self._bytes[at] = count = self._bytes[at] + by
        return count

    def _grow(self, tree: int, offset: int) -> None:
        """Put nodes on top of a tree until it can hold `offset`: ``xas_expand``."""
        need, height = _height_for(offset), self._height_of[tree]
        if height >= need:
            return
        head = self._head_of[tree]
        if not head:
            head, height = self._new_node(need, 0, 0), need
        while height < need:
            node = self._new_node(height + 1, 0, 0)
            self._word[node * _ROW_WORDS + _SLOTS] = head
            self._add_to_count(node, 1)
            if height:
                self._word[head * _ROW_WORDS + _PARENT] = node
            head, height = node, height + 1
        self._head_of[tree], self._height_of[tree] = head, height

    def _shrink(self, tree: int) -> None:
        """Take nodes off the top of a tree while all they hold is in slot 0: ``xas_shrink``."""
        while self._height_of[tree]:
            root = self._head_of[tree]
            at = root * _ROW_WORDS + _SLOTS
            only = self._word[at]
            if not only or self._bytes[root * _ROW_BYTES + _COUNT] != 1:
                return
            self._word[at] = 0
            self._free.append(root)
            self._head_of[tree] = only
            self._height_of[tree] = height = self._height_of[tree] - 1
            if height:
                self._word[only * _ROW_WORDS + _PARENT] = 0

    # -- one offset ----------------------------------------------------------------------------------------------

    def _leaf(self, tree: int, offset: int, nr: int, make: bool = False) -> int:
        """Walk `nr` times to the leaf of an offset and return it; 0 for none, with `make` only for a lone offset 0."""
        self.walks += nr
        if make:
            self._grow(tree, offset)
        level = self._height_of[tree]
        node = self._head_of[tree] if level and not offset >> level * XA_CHUNK_SHIFT else 0
        while node:
            self.nodes_visited += nr
            level -= 1
            if not level:
                break
            slot = offset >> level * XA_CHUNK_SHIFT & _MASK
            at = node * _ROW_WORDS + _SLOTS + slot
            child = self._word[at]
            if not child and make:
                self._word[at] = child = self._new_node(level, slot, node)
                self._add_to_count(node, 1)
            node = child
        return node

    def _tree(self, offset: int) -> int:
        if not 0 <= offset < self.max:
            raise InvalidArgument(f"Slot {offset} is beyond the device, which has {self.max} slots; check the entry.")
        return offset >> SWAP_ADDRESS_SPACE_SHIFT

    def load(self, offset: int) -> int:
        """Return the zswap entry of an offset, 0 if it has none: ``xa_load``. O(height)."""
        tree = self._tree(offset)
        leaf = self._leaf(tree, offset, 1)
        if leaf:
            return self._word[leaf * _ROW_WORDS + _SLOTS + (offset & _MASK)]
        return self._head_of[tree] if offset == self._height_of[tree] == 0 else 0

    def store(self, offset: int, handle: int) -> int:
        """Enter a zswap entry and return the one that was there, or 0: ``xa_store``. O(height)."""
        if not 0 < handle < 1 << 64:
            raise InvalidArgument(f"{handle} is no zswap entry; to take one out use erase.")
        tree = self._tree(offset)
        leaf = self._leaf(tree, offset, 1, make=True)
        if leaf:
            at = leaf * _ROW_WORDS + _SLOTS + (offset & _MASK)
            old, self._word[at] = self._word[at], handle
            self._add_to_count(leaf, old == 0)
        else:
            old, self._head_of[tree] = self._head_of[tree], handle
        self._len += old == 0
        return old

    def erase(self, offset: int) -> int:
        """Take an entry out and return it, or 0 if there is none: ``xa_erase``. O(height)."""
        tree = self._tree(offset)
        leaf, old = self._leaf(tree, offset, 1), 0
        if leaf:
            at = leaf * _ROW_WORDS + _SLOTS + (offset & _MASK)
            old, self._word[at] = self._word[at], 0
            self._drop(tree, leaf, old != 0)
        elif offset == self._height_of[tree] == 0:
            old, self._head_of[tree] = self._head_of[tree], 0
        self._len -= old != 0
        return old

    def _drop(self, tree: int, node: int, nr: int) -> None:
        """`nr` slots of a node were emptied: free it if those were all, and so on upwards; then shrink the tree."""
        while nr and not self._add_to_count(node, -nr):
            slot = self._bytes[node * _ROW_BYTES + _OFFSET]
            parent = self._word[node * _ROW_WORDS + _PARENT]
            self._free.append(node)
            if not parent:
                self._head_of[tree] = self._height_of[tree] = 0
                return
            self._word[parent * _ROW_WORDS + _SLOTS + slot] = 0
            node, nr = parent, 1
        self._shrink(tree)

    # -- many offsets --------------------------------------------------------------------------------------------

    def _offsets(self, offsets: U64) -> _I64:
        at = np.asarray(offsets, np.uint64).view(np.int64)
        if len(at) and not 0 <= int(at.min()) <= int(at.max()) < self.max:
            raise InvalidArgument(f"One of the slots is beyond the device, which has {self.max}; check the entries.")
        return at

    def _in_order(self, offsets: U64) -> tuple[_I64, _I64 | None]:
        """Return distinct offsets in rising order, and how they were sorted (None: they were)."""
        at = self._offsets(offsets)
        if (at[1:] > at[:-1]).all():
            return at, None
        order = np.argsort(at, kind="stable")
        at = at[order]
        if (at[1:] == at[:-1]).any():
            raise InvalidArgument("The swap slots of one call must be distinct; split the call.")
        return at, order

    def _pieces(self, at: _I64) -> Iterator[slice]:
        """Cut rising offsets into pieces of at most `_CHUNK`; offset 0 is one of its own."""
        start = 0
        while start < len(at):
            end = start + _CHUNK if at[start] else 1
            yield slice(start, end)
            start = end

    def load_many(self, offsets: U64) -> U64:
        """Array form of `load` (uint64, 0 for no entry); here offsets may repeat."""
        whole = self._offsets(offsets)
        self.walks += len(whole)
        found: U64 = self._head[whole >> SWAP_ADDRESS_SPACE_SHIFT]
        for start in range(0, len(whole), _CHUNK):
            at, word = whole[start : start + _CHUNK], found[start : start + _CHUNK]
            heights = self._height[at >> SWAP_ADDRESS_SPACE_SHIFT].astype(np.int64)
            word[at >> heights * XA_CHUNK_SHIFT != 0] = 0
            for level in range(int(heights.max()), 0, -1):
                here = np.flatnonzero((heights >= level) & (word != 0))
                self.nodes_visited += len(here)
                slots = at[here] >> (level - 1) * XA_CHUNK_SHIFT & _MASK
                word[here] = self._words[word[here].view(np.int64) * _ROW_WORDS + _SLOTS + slots]
        return found

    def store_many(self, offsets: U64, handles: U64) -> U64:
        """Array form of `store`: enter `handles[i]` at `offsets[i]`, return what was there (uint64)."""
        handles = np.asarray(handles, np.uint64)
        if len(handles) != len(offsets) or not handles.all():
            raise InvalidArgument("Give one zswap entry for each slot, none of them 0; to take one out use erase_many.")
        at, order = self._in_order(offsets)
        handles = handles if order is None else handles[order]
        old = np.zeros(len(at), np.uint64)
        for piece in self._pieces(at):
            old[piece] = self._store_piece(at[piece], handles[piece])
        return _unsorted(old, order)

    def _store_piece(self, at: _I64, handles: U64) -> U64:
        if not at[0]:  # the offset that may have no leaf
            return np.array([self.store(0, int(handles[0]))], np.uint64)
        starts, leaf_of, nr = _leaves(at)
        firsts = zip((at[starts] >> SWAP_ADDRESS_SPACE_SHIFT).tolist(), at[starts].tolist(), nr, strict=True)
        rows = np.array([self._leaf(*first, make=True) for first in firsts])
        place = rows[leaf_of] * _ROW_WORDS + _SLOTS + (at & _MASK)
        old: U64 = self._words[place]
        self._words[place] = handles
        entered = np.bincount(leaf_of[old == 0], minlength=len(rows))
        self._node["count"][rows] += entered.astype(np.uint8)
        self._len += int(entered.sum())
        return old

    def erase_many(self, offsets: U64) -> U64:
        """Array form of `erase` (uint64, 0 where there was no entry)."""
        at, order = self._in_order(offsets)
        old = np.zeros(len(at), np.uint64)
        for piece in self._pieces(at):
            old[piece] = self._erase_piece(at[piece])
        if not self._len and self._fresh > _CHUNK >> XA_CHUNK_SHIFT:
            self.clear()
        return _unsorted(old, order)

    def _erase_piece(self, at: _I64) -> U64:
        if not at[0]:
            return np.array([self.erase(0)], np.uint64)
        starts, leaf_of, nr = _leaves(at)
        trees = (at[starts] >> SWAP_ADDRESS_SPACE_SHIFT).tolist()
        leaves = [self._leaf(*first) for first in zip(trees, at[starts].tolist(), nr, strict=True)]
        place = np.array(leaves)[leaf_of] * _ROW_WORDS + _SLOTS + (at & _MASK)
        old: U64 = self._words[place]
        self._words[place[old != 0]] = 0
        erased = np.bincount(leaf_of[old != 0], minlength=len(leaves))
        for tree, leaf, dropped in zip(trees, leaves, erased.tolist(), strict=True):
            self._drop(tree, leaf, dropped)
        self._len -= int(erased.sum())
        return old

    # -- everything ----------------------------------------------------------------------------------------------

    def _trees_by_height(self) -> Iterator[tuple[int, _I64]]:
        """Yield (height, trees) for all trees that hold anything, in rising order, some at a time."""
        used = np.flatnonzero(self._head)
        heights = self._height[used]
        for height in np.unique(heights).tolist():
            trees = used[heights == height]
            for start in range(0, len(trees), XA_CHUNK_SIZE):
                yield height, trees[start : start + XA_CHUNK_SIZE]

    def items(self) -> tuple[U64, U64]:
        """Return all offsets in rising order and their zswap entries (two uint64 arrays)."""
        offsets, handles = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for height, trees in self._trees_by_height():
            key, word = trees * 0, self._head[trees]
            for _ in range(height):
                slots = self._node["slots"][word.view(np.int64)]
                which, slot = np.nonzero(slots)
                key, word = key[which] << XA_CHUNK_SHIFT | slot, slots[which, slot]
            offsets.append(key)
            handles.append(word)
        return np.concatenate(offsets).view(np.uint64), np.concatenate(handles)

    def check(self) -> None:
        """Check every invariant; raise InvariantError that names the first one broken. O(nodes)."""
        flat = self._height[self._head == 0]
        hold(not flat.any(), "empty-tree-has-no-height", "{} trees without a head have one", np.count_nonzero(flat))
        live, entries = [np.array([0, *self._free])], 0
        hold(not self._node["slots"][live[0]].any(), "free-node-is-blank", "a row that is no node has slots in use")
        for height, trees in self._trees_by_height():
            entries += self._check_trees(height, trees, live)
        hold(entries == self._len, "entries-are-counted", f"{entries} entries, counted {self._len}")
        rows = np.sort(np.concatenate(live))
        whole = np.array_equal(rows, np.arange(self._fresh))
        hold(whole, "row-is-one-node-or-free", f"{len(rows)} rows found in trees or free, {self._fresh} were taken")

    def _check_trees(self, height: int, trees: _I64, live: list[_I64]) -> int:
        """Check trees of one height, add their rows to `live` and return how many entries they have."""
        row, key = self._head[trees].view(np.int64), trees * 0
        slot = parent = key
        for level in range(height, 0, -1):
            live.append(row)
            shift = XA_CHUNK_SHIFT * (level - 1)
            name = f"level {level} of trees {trees[0]} to {trees[-1]}"
            hold(bool(((row > 0) & (row < self._fresh)).all()), "child-is-a-node", name)
            node = self._node[row]
            linked = (node["parent"] == parent) & (node["offset"] == slot) & (node["shift"] == shift)
            hold(bool(linked.all()), "child-knows-its-parent", name)
            used = node["slots"] != 0
            hold(bool((node["count"] == used.sum(axis=1)).all()), "node-counts-its-slots", name)
            hold(bool(used.any(axis=1).all()), "no-empty-node", name)
            if level == height:
                hold(bool(used[:, 1:].any(axis=1).all()), "height-is-minimal", name)
            which, slot = np.nonzero(used)
            parent, key, trees = row[which], key[which] << XA_CHUNK_SHIFT | slot, trees[which]
            row = node["slots"][which, slot].view(np.int64)
        mine = (key >> SWAP_ADDRESS_SPACE_SHIFT == trees) & (key < self.max)
        hold(bool(mine.all()), "offset-is-in-its-tree", f"height {height}: {key[~mine][:9].tolist()}")
        return len(key)
