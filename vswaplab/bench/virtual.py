"""The virtual layer at full size: 8,388,608 slots, the swapfile of 32 GiB of the posted tables.

The array form is measured whole. The scalar form is measured on a part and scaled up: its cost a slot does not depend
on how many there are.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from vswaplab.backends.device import MemoryDevice
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.bench import Case
from vswaplab.bench.unlimited import UnlimitedMemcg
from vswaplab.entry import STRUCT_PAGE_SIZE, U64, VMEMMAP_START, make_slot
from vswaplab.protocols import MemcgLike
from vswaplab.units import PAGE_SIZE
from vswaplab.virtual.space import VirtualSwap

__all__ = ["CASES"]

SLOTS = 8_388_608
SCALAR_SLOTS = 1 << 17
LOOKUPS = 1 << 20


class _Folio:
    """The least a folio can be; its contents are never looked at."""

    __slots__ = (
        "data",
        "dirty",
        "in_swapcache",
        "locked",
        "memcg",
        "pointer",
        "refcount",
        "swap",
        "uptodate",
        "writeback",
    )
    order = 0
    nr_pages = 1
    mapped = ()

    def __init__(self, number: int, memcg: MemcgLike) -> None:
        self.pointer = VMEMMAP_START + STRUCT_PAGE_SIZE * number
        self.memcg: MemcgLike | None = memcg
        self.data = bytearray()
        self.swap = 0
        self.in_swapcache = self.dirty = self.writeback = False
        self.locked = self.uptodate = True
        self.refcount = 1


def _layer(device_slots: int = 0) -> VirtualSwap:
    devices = SwapDevices()
    if device_slots:
        devices.swapon(MemoryDevice((device_slots + 1) * PAGE_SIZE))
    return VirtualSwap(devices=devices, zswap=None, memcgs={1: UnlimitedMemcg()})


def _pointers(nr: int) -> U64:
    return np.arange(1, nr + 1, dtype=np.uint64) * np.uint64(STRUCT_PAGE_SIZE) + np.uint64(VMEMMAP_START)


def _swapped_out(nr: int, *, disk: bool = False) -> tuple[VirtualSwap, U64]:
    """A layer with `nr` entries of count 1, out of the swap cache, ZERO or SWAPFILE."""
    swap = _layer(nr if disk else 0)
    entries = swap.folio_alloc_swap_many(_pointers(nr), 1)
    swap.swap_duplicate_many(entries)
    if disk:
        swap.vswap_alloc_swap_slot_many(entries)
    else:
        swap.swap_zeromap_folio_set_many(entries, 1)
    swap.vswap_remove_mapping_many(entries)
    return swap, entries


class _Clock:
    seconds = 0.0


@contextmanager
def _timed() -> Iterator[_Clock]:
    clock = _Clock()
    started = time.perf_counter()
    yield clock
    clock.seconds = time.perf_counter() - started


def _populate_array() -> float:
    swap, pointers = _layer(), _pointers(SLOTS)
    with _timed() as clock:
        entries = swap.folio_alloc_swap_many(pointers, 1)
        swap.swap_zeromap_folio_set_many(entries, 1)
    return clock.seconds


def _populate_against_scalar() -> tuple[float, float]:
    ours = _populate_array()
    swap = _layer()
    memcg = swap.memcgs[1]
    folios = [_Folio(i + 1, memcg) for i in range(SCALAR_SLOTS)]
    with _timed() as clock:
        for folio in folios:
            swap.folio_alloc_swap(folio)
            swap.swap_zeromap_folio_set(folio)
    return ours, clock.seconds * SLOTS / SCALAR_SLOTS


def _populate_against_copy() -> tuple[float, float]:
    ours = _populate_array()
    source = np.ones(SLOTS * 24, np.uint8)
    fresh = mmap.mmap(-1, len(source))
    target = np.frombuffer(fresh, np.uint8)
    with _timed() as clock:
        target[:] = source
    return ours, clock.seconds


def _free_against_scalar() -> tuple[float, float]:
    swap, entries = _swapped_out(SLOTS)
    with _timed() as ours:
        swap.swap_free_many(entries)
    swap, entries = _swapped_out(SCALAR_SLOTS)
    with _timed() as scalar:
        for entry in entries.tolist():
            swap.swap_free_nr(entry, 1)
    return ours.seconds, scalar.seconds * SLOTS / SCALAR_SLOTS


def _swapoff_walk_against_scalar() -> tuple[float, float]:
    swap, entries = _swapped_out(SLOTS, disk=True)
    with _timed() as ours:
        _, found = swap.swapoff_walk(0)
    assert len(found) == len(entries)
    device = swap.devices[0]
    offsets = device.allocated_offsets()[:SCALAR_SLOTS].tolist()
    with _timed() as scalar:
        for offset in offsets:
            entry = device.rmap_get(offset) if device.is_allocated(offset) else 0
            if swap.swp_entry_to_swp_slot(entry) != make_slot(0, offset):
                raise AssertionError("the rmap does not lead back")
    return ours.seconds, scalar.seconds * SLOTS / SCALAR_SLOTS


def _lookup_against_gather() -> tuple[float, float]:
    swap, entries = _swapped_out(SLOTS)
    some = np.random.default_rng(7).choice(entries, LOOKUPS)
    table = np.zeros(int(entries[-1]) + 1, np.uint64)
    table[entries.astype(np.int64)] = entries
    rows = some.astype(np.int64)
    with _timed() as ours:
        swap.lookup_many(some)
    with _timed() as gather:
        table[rows]
    return ours.seconds, gather.seconds


def _resident_bytes_per_slot() -> float:
    swap, _ = _swapped_out(SLOTS)
    return swap.desc.resident_bytes() / SLOTS


CASES = [
    Case(
        "virtual.populate.scalar",
        "x",
        f"the scalar form ({SCALAR_SLOTS:,} slots, scaled); {SLOTS:,} slots allocated, charged, backed",
        _populate_against_scalar,
        prototype="15-21x",
    ),
    Case(
        "virtual.populate.copy",
        "x",
        "one numpy copy of the same 192 MiB into fresh memory",
        _populate_against_copy,
        prototype="8-19x",
        better="lower",
    ),
    Case(
        "virtual.free.scalar",
        "x",
        f"the scalar form ({SCALAR_SLOTS:,} slots, scaled); {SLOTS:,} slots freed",
        _free_against_scalar,
        prototype="21-28x",
    ),
    Case(
        "virtual.swapoff_walk.scalar",
        "x",
        f"the scalar form ({SCALAR_SLOTS:,} slots, scaled); slot to entry to descriptor for {SLOTS:,} slots",
        _swapoff_walk_against_scalar,
        prototype="21-25x",
    ),
    Case(
        "virtual.lookup.gather",
        "x",
        f"a bare numpy gather; type and handle of {LOOKUPS:,} random entries out of {SLOTS:,}",
        _lookup_against_gather,
        prototype="2-3.3x",
        better="lower",
    ),
    Case(
        "virtual.resident",
        "bytes/slot",
        f"resident memory of the descriptors of {SLOTS:,} live slots",
        _resident_bytes_per_slot,
        prototype="24.0",
        better="lower",
    ),
]
