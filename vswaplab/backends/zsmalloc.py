"""zsmalloc: the allocator that packs compressed pages into whole ones.

Objects of like size share a *size class*. A class draws its memory in *zspages*, chains of 1 to `chain_size` pages
that hold as many objects of one size as fit: five objects of 3,264 bytes in four pages, say. Neighbouring classes whose
zspages would hold the same number of objects in the same number of pages are one, so that of 255 nominal classes 119
are left with chains of up to 8 pages (fact sheet section 4.7). A zspage belongs to a *fullness group* by the share of
its objects in use; a new object goes to the fullest zspage with room, the newest such first, and a zspage is given back
when its last object goes.

An object is known by its *handle*, which says where the object is now; so objects may be moved (`ZsPool.compact`). In
the kernel the handle takes 8 bytes of the object: a payload of p bytes lands in the class for p + 8. Here handles live
in a table, and those 8 bytes stay unused.

>>> pool = ZsPool()
>>> handle = pool.malloc(5, b"hello")
>>> bytes(pool.read(handle, 5)), pool.total_pages
(b'hello', 1)
>>> pool.free(handle)
>>> pool.total_pages, len(pool.classes)
(0, 119)
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from vswaplab.errors import InvalidArgument, NotFound, hold
from vswaplab.units import PAGE_SIZE

__all__ = [
    "CHAIN_SIZES",
    "FULLNESS_GROUPS",
    "ZS_HANDLE_SIZE",
    "ZS_MAX_ALLOC_SIZE",
    "ZS_MIN_ALLOC_SIZE",
    "ClassInfo",
    "SizeClass",
    "ZsPage",
    "ZsPool",
    "size_classes",
]

Bytes = bytes | bytearray | memoryview

CHAIN_SIZES = (4, 8, 16)
"""Longest zspages that a kernel can be built with, in pages; 8 is the default."""
ZS_MIN_ALLOC_SIZE = 32
ZS_MAX_ALLOC_SIZE = PAGE_SIZE
ZS_HANDLE_SIZE = 8
_CLASS_STEP = 16
_MAX_SPARE_PAGES = 2048

FULLNESS_GROUPS = ("0", *(f"{percent}" for percent in range(10, 100, 10)), "99", "100")
"""Names of the groups, as in the kernel's statistics: under so many per cent of the objects are in use, or all."""
_FULL = len(FULLNESS_GROUPS) - 1


class ClassInfo(NamedTuple):
    """A size class as it stands: a row of the kernel's ``zsmalloc/.../classes``."""

    size: int
    """Bytes of an object."""
    pages_per_zspage: int
    objs_per_zspage: int
    objs_allocated: int
    """Objects for which there is memory."""
    objs_used: int
    zspages: tuple[int, ...]
    """Number of zspages by fullness group, as `FULLNESS_GROUPS` names them."""


@lru_cache(maxsize=4)
def size_classes(chain_size: int = 8) -> tuple[tuple[int, int], ...]:
    """Return (object bytes, pages per zspage) of every class for a chain size, ascending."""
    if chain_size not in CHAIN_SIZES:
        raise InvalidArgument(f"zsmalloc's chain size is 4, 8 or 16 pages, not {chain_size!r}.")
    merged: dict[tuple[int, int], int] = {}
    for size in range(ZS_MIN_ALLOC_SIZE, ZS_MAX_ALLOC_SIZE + 1, _CLASS_STEP):
        # min() keeps the first of equals: the shortest chain that wastes least
        pages = min(range(1, chain_size + 1), key=lambda n: n * PAGE_SIZE % size)
        merged[pages, pages * PAGE_SIZE // size] = size  # the largest size of those that merge
    return tuple(sorted((size, pages) for (pages, _), size in merged.items()))


class ZsPage:
    """A zspage, or the head of a list of them. C type: ``struct zspage``."""

    __slots__ = ("free", "group", "klass", "memory", "next", "prev")

    def __init__(self) -> None:
        self.prev = self.next = self
        self.group = -1
        self.klass: SizeClass
        self.memory: memoryview
        """The bytes of its pages, in a row."""
        self.free: list[int]
        """Where its free objects start; the last is given out next."""


class SizeClass:
    """A size class with its zspages by fullness group. C type: ``struct size_class``.

    The zspage that serves the next object is `open`: it is on no list until an object of the class is freed or it is
    full. As the head of the fullest group it stays the right choice for so long, so allocating moves no list.
    """

    __slots__ = ("group_of", "groups", "listed", "nr_zspages", "objs", "open", "pages", "size", "spare", "starts")

    def __init__(self, size: int, pages: int) -> None:
        self.size = size
        self.pages = pages
        self.objs = pages * PAGE_SIZE // size
        self.starts = [i * size for i in range(self.objs - 1, -1, -1)]
        self.group_of = [_fullness_group(self.objs - free, self.objs) for free in range(self.objs + 1)]
        """Fullness group by number of free objects."""
        self.groups = [ZsPage() for _ in FULLNESS_GROUPS]
        """Heads of the lists, newest zspage first."""
        self.listed = 0
        """One bit for each group with room whose list is not empty."""
        self.open: ZsPage | None = None
        self.nr_zspages = 0
        self.spare: list[ZsPage] = []
        """Empty zspages that left the pool and may come back."""

    def add(self, zspage: ZsPage, group: int) -> None:
        """Put a zspage at the front of a group's list."""
        head = self.groups[group]
        after = head.next
        zspage.prev = head
        zspage.next = after
        after.prev = zspage
        head.next = zspage
        zspage.group = group
        if group != _FULL:
            self.listed |= 1 << group

    def remove(self, zspage: ZsPage) -> None:
        """Take a zspage off the list it is on."""
        before, after = zspage.prev, zspage.next
        before.next = after
        after.prev = before
        if before is after:  # the head alone is left
            self.listed &= ~(1 << zspage.group)
        zspage.group = -1

    def close(self) -> None:
        """Put the open zspage back on its list."""
        zspage = self.open
        if zspage is not None:
            self.open = None
            self.add(zspage, self.group_of[len(zspage.free)])

    def zspages(self) -> Iterator[ZsPage]:
        """Yield every zspage: by group from the emptiest, in a group the newest first, the open one last."""
        for head in self.groups:
            zspage = head.next
            while zspage is not head:
                yield zspage
                zspage = zspage.next
        if self.open is not None:
            yield self.open


class ZsPool:
    """A pool of compressed objects. C type: ``struct zs_pool``.

    `malloc`, `free`, `read` and `write` take constant time.
    """

    def __init__(self, chain_size: int = 8) -> None:
        self.chain_size = chain_size
        self.classes = [SizeClass(size, pages) for size, pages in size_classes(chain_size)]
        """Ascending by size."""
        self.total_pages = 0
        """Pages that the zspages take."""
        self._spare_pages = 0
        self._class_of = _classes_by_payload(self.classes)
        self._zspage: list[ZsPage | None] = [None]
        """By handle: where the object is. Handle 0 means none."""
        self._start = [0]
        self._handles: list[int] = []
        """Handles to give out again, the last first."""

    @property
    def objects(self) -> int:
        """Live objects."""
        return len(self._start) - 1 - len(self._handles)

    @property
    def pool_bytes(self) -> int:
        """Bytes of memory that the pool takes."""
        return self.total_pages * PAGE_SIZE

    def malloc(self, nr_bytes: int, data: Bytes | None = None) -> int:
        """Allocate an object for `nr_bytes` (1 to 4,096), place `data` of that length in it, and return its handle."""
        if not 0 < nr_bytes <= ZS_MAX_ALLOC_SIZE:
            raise InvalidArgument(f"zsmalloc holds objects of 1 to {ZS_MAX_ALLOC_SIZE} bytes, not {nr_bytes}.")
        klass = self._class_of[nr_bytes]
        zspage = klass.open or self._open_zspage(klass)
        free = zspage.free
        start = free.pop()
        if data is not None:
            zspage.memory[start : start + nr_bytes] = data
        if not free:
            klass.open = None
            klass.add(zspage, _FULL)
        if self._handles:
            handle = self._handles.pop()
            self._zspage[handle] = zspage
            self._start[handle] = start
            return handle
        self._zspage.append(zspage)
        self._start.append(start)
        return len(self._start) - 1

    def free(self, handle: int) -> None:
        """Free an object; NotFound for a handle that names none."""
        zspage = self._zspage[handle] if 0 < handle < len(self._start) else None
        if zspage is None:
            raise NotFound(f"Handle {handle} names no object; it was freed, or never given out.")
        self._zspage[handle] = None
        self._handles.append(handle)
        klass, free = zspage.klass, zspage.free
        if klass.open is not None:
            klass.close()
        free.append(self._start[handle])
        group = klass.group_of[len(free)]
        if group != zspage.group:
            klass.remove(zspage)
            if group:
                klass.add(zspage, group)
            else:
                self._give_back(zspage)

    def read(self, handle: int, nr_bytes: int) -> memoryview:
        """Return the first `nr_bytes` of an object, a view that holds until the object is freed or moved."""
        zspage = self._zspage[handle]
        if zspage is None:
            raise NotFound(f"Handle {handle} names no object; it was freed, or never given out.")
        start = self._start[handle]
        return zspage.memory[start : start + nr_bytes]

    def write(self, handle: int, data: Bytes) -> None:
        """Replace the first bytes of an object; InvalidArgument if it is too small for `data`."""
        zspage = self._live(handle)
        if len(data) > zspage.klass.size:
            raise InvalidArgument(f"An object of {zspage.klass.size} bytes can't take {len(data)}.")
        start = self._start[handle]
        zspage.memory[start : start + len(data)] = data

    def object_size(self, handle: int) -> int:
        """Return the bytes set aside for an object: the size of its class."""
        return self._live(handle).klass.size

    def compact(self) -> int:
        """Move objects from the emptiest zspages to the fullest of their class and return the pages given back."""
        before = self.total_pages
        tenants: dict[ZsPage, list[int]] = {}
        for handle, zspage in enumerate(self._zspage):
            if zspage is not None:
                tenants.setdefault(zspage, []).append(handle)
        for klass in self.classes:
            klass.close()
            while klass.listed:
                source = klass.groups[
                    (klass.listed & -klass.listed).bit_length() - 1
                ].prev  # the oldest of the emptiest
                in_use = klass.objs - len(source.free)
                room = sum(len(zspage.free) for zspage in klass.zspages()) - len(source.free)
                if in_use > room:
                    break
                self._evacuate(source, tenants)
        return before - self.total_pages

    def classes_table(self) -> list[ClassInfo]:
        """Return every class as it stands, ascending by size."""
        return [_class_info(klass) for klass in self.classes]

    def check(self) -> None:
        """Raise InvariantError, by name, for whatever does not hold."""
        used: dict[ZsPage, set[int]] = {}
        for handle, zspage in enumerate(self._zspage):
            if zspage is None:
                continue
            starts = used.setdefault(zspage, set())
            hold(self._start[handle] not in starts, "object-has-one-handle", f"handle {handle} shares its object")
            starts.add(self._start[handle])
        spare = sorted(handle for handle, zspage in enumerate(self._zspage) if zspage is None and handle)
        hold(
            sorted(self._handles) == spare,
            "free-handles-listed-once",
            f"{len(self._handles)} listed, {len(spare)} free",
        )
        pages = 0
        for klass in self.classes:
            zspages = list(klass.zspages())
            pages += len(zspages) * klass.pages
            hold(len(zspages) == klass.nr_zspages, "zspages-counted", f"class {klass.size} counts {klass.nr_zspages}")
            for zspage in zspages:
                _check_zspage(klass, zspage, used.pop(zspage, set()))
            for group, head in enumerate(klass.groups[:-1]):
                bit = klass.listed >> group & 1
                hold(bit == (head.next is not head), "listed-groups-marked", f"class {klass.size}, group {group}")
        hold(not used, "object-in-a-listed-zspage", f"{len(used)} zspages hold objects and are on no list")
        hold(pages == self.total_pages, "pages-counted", f"{pages} pages, {self.total_pages} counted")

    def _open_zspage(self, klass: SizeClass) -> ZsPage:
        """Take the fullest zspage with room off its list, or make one, to serve the next objects of a class."""
        if klass.listed:
            zspage = klass.groups[klass.listed.bit_length() - 1].next
            klass.remove(zspage)
        else:
            if klass.spare:
                zspage = klass.spare.pop()
                self._spare_pages -= klass.pages
            else:
                zspage = ZsPage()
                zspage.klass = klass
                zspage.memory = memoryview(bytearray(klass.pages * PAGE_SIZE))
                zspage.free = klass.starts.copy()
            klass.nr_zspages += 1
            self.total_pages += klass.pages
        klass.open = zspage
        return zspage

    def _live(self, handle: int) -> ZsPage:
        zspage = self._zspage[handle] if 0 < handle < len(self._start) else None
        if zspage is None:
            raise NotFound(f"Handle {handle} names no object; it was freed, or never given out.")
        return zspage

    def _evacuate(self, source: ZsPage, tenants: dict[ZsPage, list[int]]) -> None:
        """Move all objects of a zspage to others of its class and give it back."""
        klass = source.klass
        klass.remove(source)
        nr_bytes = klass.size - ZS_HANDLE_SIZE
        for handle in tenants.pop(source):
            start = self._start[handle]
            there = self.malloc(nr_bytes, source.memory[start : start + nr_bytes])
            target = self._live(there)
            self._zspage[handle], self._start[handle] = target, self._start[there]
            tenants[target].append(handle)
            self._zspage[there] = None
            self._handles.append(there)
        klass.close()
        source.free = klass.starts.copy()
        self._give_back(source)

    def _give_back(self, zspage: ZsPage) -> None:
        """An empty zspage, on no list, leaves the pool. Some are kept to be used again, as free pages of the system."""
        klass = zspage.klass
        klass.nr_zspages -= 1
        self.total_pages -= klass.pages
        if self._spare_pages < _MAX_SPARE_PAGES:
            self._spare_pages += klass.pages
            klass.spare.append(zspage)


def _fullness_group(in_use: int, objs: int) -> int:
    """Return the index in `FULLNESS_GROUPS`: 0 none, 1 under 10 per cent, 2 under 20, ... 10 under 100, 11 all."""
    if not in_use:
        return 0
    return _FULL if in_use == objs else in_use * 100 // objs // 10 + 1


def _classes_by_payload(classes: list[SizeClass]) -> list[SizeClass]:
    """Return the class for each payload of 0 to 4,096 bytes: the smallest that holds it and its handle."""
    table = []
    ascending = iter(classes)
    klass = next(ascending)
    for nr_bytes in range(ZS_MAX_ALLOC_SIZE + 1):
        if nr_bytes + ZS_HANDLE_SIZE > klass.size:
            klass = next(ascending, klass)  # an object of a whole page keeps its handle elsewhere
        table.append(klass)
    return table


def _class_info(klass: SizeClass) -> ClassInfo:
    by_group = [0] * len(FULLNESS_GROUPS)
    used = 0
    for zspage in klass.zspages():
        by_group[klass.group_of[len(zspage.free)]] += 1
        used += klass.objs - len(zspage.free)
    return ClassInfo(klass.size, klass.pages, klass.objs, klass.nr_zspages * klass.objs, used, tuple(by_group))


def _check_zspage(klass: SizeClass, zspage: ZsPage, used: set[int]) -> None:
    name = f"a zspage of class {klass.size}"
    hold(zspage.klass is klass, "zspage-in-its-class", f"{name} is of class {zspage.klass.size}")
    hold(bool(used), "zspage-holds-something", f"{name} is empty")
    hold(sorted([*used, *zspage.free]) == klass.starts[::-1], "object-free-or-in-use", f"{name}: {len(used)} in use")
    size = klass.pages * PAGE_SIZE
    hold(len(zspage.memory) == size, "zspage-has-its-pages", f"{name} has {len(zspage.memory)} bytes")
    group = -1 if zspage is klass.open else klass.group_of[len(zspage.free)]
    hold(zspage.group == group, "zspage-in-its-group", f"{name} is in group {zspage.group}, not {group}")
