"""Lab 1, resolve and transition: the descriptor's 24 bytes, read and written by the learner's own three functions."""

from __future__ import annotations

import struct
from typing import Any

from vswaplab.entry import VMEMMAP_START, Backing, make_slot
from vswaplab.lab.grading.counterexample import find_counterexample
from vswaplab.lab.grading.descriptor_lab import SOURCES, machine_with
from vswaplab.lab.grading.model import Check, Lab
from vswaplab.units import PAGE_SIZE

__all__ = ["LAB", "reference"]

_FORMAT = "<QQIHH"
_SLOT = int(make_slot(2, 77))


def _packed(handle: int, cache: int, count: int, memcgid: int, kind: int, cached: bool) -> bytes:
    return struct.pack(_FORMAT, handle, cache, count, memcgid, kind << 1 | cached)


def reference() -> dict[str, Any]:
    """Return a solution, as the masters have it: what the tests hold the checks against."""

    def lookup(desc: bytes) -> dict[str, Any]:
        handle, cache, count, memcgid, flags = struct.unpack(_FORMAT, desc)
        return {
            "type": flags >> 1 & 3,
            "handle": handle,
            "cache": cache,
            "swap_count": count,
            "memcgid": memcgid,
            "in_swapcache": bool(flags & 1),
        }

    def store(desc: bytes, kind: int, handle: int) -> bytes:
        _, cache, count, memcgid, flags = struct.unpack(_FORMAT, desc)
        return struct.pack(_FORMAT, handle, cache, count, memcgid, flags & ~6 | kind << 1)

    def load(desc: bytes) -> tuple[str, int, bytes]:
        kind, handle = desc[22] >> 1 & 3, int.from_bytes(desc[:8], "little")
        if kind == Backing.ZSWAP:
            return "zswap", handle, store(desc, Backing.FOLIO, 0)
        return SOURCES[kind], handle if kind == Backing.SWAPFILE else 0, desc

    return {"lookup": lookup, "store": store, "load": load}


def _says(found: Any, name: str, wanted: Any) -> None:
    assert isinstance(found, dict), f"lookup returns a dict, not {type(found).__name__}"
    assert name in found, f"lookup leaves {name!r} out"
    assert found[name] == wanted, f"lookup says {name} is {found[name]!r}; it is {wanted!r}"


def _lookup_reads_every_field(student: Any) -> None:
    """One descriptor, all six fields."""
    found = student.call("lookup", _packed(_SLOT, 5, 3, 7, Backing.SWAPFILE, False))
    for name, wanted in (("handle", _SLOT), ("cache", 5), ("swap_count", 3), ("memcgid", 7), ("type", 0)):
        _says(found, name, wanted)
    _says(found, "in_swapcache", False)


def _lookup_keeps_the_bits_of_flags_apart(student: Any) -> None:
    """All types, in and out of the swap cache; the bits above the type mean nothing yet."""
    for kind in range(4):
        for cached in (False, True):
            desc = bytearray(_packed(9, 0, 1, 1, kind, cached))
            desc[22] |= 0xF8
            desc[23] = 0xFF
            found = student.call("lookup", bytes(desc))
            _says(found, "type", kind)
            _says(found, "in_swapcache", cached)


def _lookup_reads_large_numbers(student: Any) -> None:
    """Fields at their upper ends: a count of 32 bits, pointers of 64."""
    found = student.call("lookup", _packed(2**64 - 1, VMEMMAP_START + 64, 2**32 - 1, 2**16 - 1, 2, True))
    for name, wanted in (("handle", 2**64 - 1), ("cache", VMEMMAP_START + 64), ("swap_count", 2**32 - 1)):
        _says(found, name, wanted)
    _says(found, "memcgid", 2**16 - 1)


def _stored(student: Any, desc: bytes, kind: int, handle: int) -> bytes:
    found = student.call("store", desc, kind, handle)
    assert isinstance(found, bytes), f"store returns bytes, not {type(found).__name__}"
    assert len(found) == 24, f"store returns 24 bytes, not {len(found)}"
    return found


def _store_sets_type_and_handle(student: Any) -> None:
    """FOLIO becomes ZSWAP, then SWAPFILE."""
    first = _stored(student, _packed(0, 64, 1, 2, Backing.FOLIO, True), Backing.ZSWAP, 12)
    assert first[22] >> 1 & 3 == Backing.ZSWAP, "the type is not ZSWAP after store(…, 2, 12)"
    assert int.from_bytes(first[:8], "little") == 12, "the handle is not 12 after store(…, 2, 12)"
    second = _stored(student, first, Backing.SWAPFILE, _SLOT)
    assert second[22] >> 1 & 3 == Backing.SWAPFILE, "bits of the old type stay behind"
    assert int.from_bytes(second[:8], "little") == _SLOT, "the slot's number is cut off"


def _store_leaves_the_rest_alone(student: Any) -> None:
    """Count, cgroup, the swap cache's word and the pin are other people's business."""
    for cached in (False, True):
        desc = _packed(4, 0xABCDEF1, 2**31 + 5, 300, Backing.ZSWAP, cached)
        for kind in range(4):
            found = _stored(student, desc, kind, 0)
            assert found[22] >> 1 & 3 == kind, f"the type is not {kind} after store(…, {kind}, 0)"
            assert not int.from_bytes(found[:8], "little"), f"the handle is not 0 after store(…, {kind}, 0)"
            assert found[8:22] == desc[8:22], "store changes the swap cache's word, the count or the cgroup"
            assert found[22] & 1 == cached, "store changes in_swapcache"


def _load_names_the_place(student: Any) -> None:
    """Where a page is read from, by type."""
    for kind, handle in ((Backing.SWAPFILE, _SLOT), (Backing.ZERO, 0), (Backing.ZSWAP, 31)):
        source, found, _ = student.call("load", _packed(handle, 3, 1, 1, kind, True))
        assert source == SOURCES[kind], f"load of type {kind.name} says {source!r}, not {SOURCES[kind]!r}"
        assert found == handle, f"load of type {kind.name} has handle {found!r}, not {handle}"


def _load_from_zswap_is_exclusive(student: Any) -> None:
    """After a load zswap has let go: the folio is the only copy. The other backings stay as they are."""
    desc = _packed(31, 64, 2, 1, Backing.ZSWAP, True)
    _, _, after = student.call("load", desc)
    assert after[22] >> 1 & 3 == Backing.FOLIO, "after a load from zswap the folio backs the slot"
    assert int.from_bytes(after[:8], "little") == 0, "after a load from zswap the handle names a copy that is gone"
    for kind, handle in ((Backing.SWAPFILE, _SLOT), (Backing.ZERO, 0)):
        desc = _packed(handle, 64, 2, 1, kind, True)
        assert student.call("load", desc)[2] == desc, f"a load of type {kind.name} changes the descriptor"


def _survives_the_random_machine(student: Any) -> None:
    """The machine that the library itself is tested with, on these three functions."""
    found = find_counterexample(lambda **shape: machine_with(student, **shape), examples=12, steps=14, shrink=False)
    assert found is None, f"the random machine breaks: {found}"


def _one_page_comes_back(student: Any) -> None:
    """A page goes out and comes back, through every backing."""
    with machine_with(student, ram="1M", page_cluster=0) as machine:
        machine.swapon(size="1M")
        app = machine.spawn("app")
        region = app.mmap(8 * PAGE_SIZE)
        pages = [bytes(PAGE_SIZE) if i % 4 == 3 else bytes([i + 1]) * PAGE_SIZE for i in range(8)]
        app.write(region.start, b"".join(pages))
        machine.reclaim()
        machine.writeback(3)
        for i, page in enumerate(pages):
            assert app.read(region.start + i * PAGE_SIZE, PAGE_SIZE) == page, f"page {i} came back otherwise"
        machine.check()


LAB = Lab(
    name="lab1_resolve",
    title="Resolve and transition",
    entry=("lookup", "store", "load"),
    checks=(
        Check("lookup-fields", 2, True, _lookup_reads_every_field, "lookup reads every field of a descriptor"),
        Check("lookup-flags", 1, False, _lookup_keeps_the_bits_of_flags_apart, "type and pin are told apart"),
        Check("lookup-large", 1, False, _lookup_reads_large_numbers, "fields may be as large as their bytes allow"),
        Check("store-sets", 2, True, _store_sets_type_and_handle, "store sets type and handle"),
        Check("store-leaves", 2, False, _store_leaves_the_rest_alone, "store leaves everything else alone"),
        Check("load-place", 2, True, _load_names_the_place, "load names the place to read from"),
        Check("load-exclusive", 2, False, _load_from_zswap_is_exclusive, "a load from zswap is exclusive"),
        Check("one-page", 3, True, _one_page_comes_back, "pages go out and come back, in a machine of yours"),
        Check("random-machine", 5, False, _survives_the_random_machine, "the published random machine finds nothing"),
    ),
    minutes=60,
    hardness="*",
)
