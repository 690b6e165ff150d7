"""An array operation that fails has changed nothing: all or none, in either design, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import test_legacy_batch as legacy
import test_virtual_batch as virtual
from swapkit import Kit, LegacyKit

from vswaplab.backends.device import MemoryDevice
from vswaplab.entry import U64, make_slot
from vswaplab.errors import SwapError
from vswaplab.units import PAGE_SIZE

FIRST, CACHED, OUT = 8, 8, 8
"""Entries with a folio and a count, cached ones without a count, and ones whose folio was dropped."""


def kit_of(design: str) -> Any:
    kit: Any = Kit(slots=600) if design == "virtual" else LegacyKit(slots=600)
    if design == "legacy":
        kit.devices.swapon(MemoryDevice(301 * PAGE_SIZE))
    return kit


def whole(design: str, kit: Any) -> Any:
    return deepcopy(virtual.state(kit) if design == "virtual" else legacy.state(kit))


class Filled:
    """A layer with entries of three kinds in it."""

    def __init__(self, design: str) -> None:
        self.design, self.kit = design, kit_of(design)
        swap = self.kit.swap
        pointers = np.arange(1, FIRST + CACHED + OUT + 1, dtype=np.uint64) * np.uint64(64) + np.uint64(
            0xFFFF_EA00 << 32
        )
        self.entries = swap.folio_alloc_swap_many(pointers, 1)
        self.mapped, self.cached, self.out = np.split(self.entries, [FIRST, FIRST + CACHED])
        swap.swap_duplicate_many(np.concatenate([self.mapped, self.out]))
        swap.writeout_slots_many(self.out)
        swap.remove_mapping_many(self.out, 3)
        swap.check()

    def bad(self) -> dict[str, U64]:
        """Return lists of entries with something wrong in the middle or at the end."""
        good, free = self.mapped, int(self.entries[-1]) + 50
        return {
            "one is free": with_one(good, free),
            "one can't be": with_one(good, (1 << 62) + 5 if self.design == "virtual" else int(make_slot(9, 3))),
            "one is 0": with_one(good, 0),
            "one is out": with_one(good, int(self.out[2])),
            "one has no count": with_one(good, int(self.cached[2])),
            "twice": np.concatenate([good, good[3:5]]),
            "out, and one is free": with_one(self.out, free),
            "out, and one is cached": with_one(self.out, int(good[1])),
            "out, twice": np.concatenate([self.out, self.out[:1]]),
            "cached, and one is out": with_one(self.cached, int(self.out[0])),
        }


def with_one(entries: U64, entry: int) -> U64:
    changed = entries.copy()
    changed[len(entries) // 2] = entry
    return changed


def pointers(entries: U64) -> U64:
    return np.arange(900, 900 + len(entries), dtype=np.uint64) * np.uint64(64) + np.uint64(0xFFFF_EA00 << 32)


OPERATIONS: dict[str, Callable[[Any, U64], object]] = {
    "swap_duplicate_many": lambda swap, e: swap.swap_duplicate_many(e),
    "swap_free_many": lambda swap, e: swap.swap_free_many(e),
    "swapcache_prepare_many": lambda swap, e: swap.swapcache_prepare_many(e),
    "swapcache_clear_many": lambda swap, e: swap.swapcache_clear_many(e),
    "swap_cache_add_folio_many": lambda swap, e: swap.swap_cache_add_folio_many(pointers(e), e),
    "remove_mapping_many": lambda swap, e: swap.remove_mapping_many(e, 5),
    "swap_zeromap_folio_set_many": lambda swap, e: swap.swap_zeromap_folio_set_many(e),
    "zswap_entry_store_many": lambda swap, e: swap.zswap_entry_store_many(e, np.arange(1, len(e) + 1, dtype=np.uint64)),
    "zswap_loaded_many": lambda swap, e: swap.zswap_loaded_many(e),
    "writeout_slots_many": lambda swap, e: swap.writeout_slots_many(e),
    "lookup_many": lambda swap, e: swap.lookup_many(e),
}


@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_fails_in_the_middle_has_changed_nothing(design: str, name: str) -> None:
    failed = []
    for what in Filled(design).bad():
        filled = Filled(design)
        entries, before = filled.bad()[what], whole(design, filled.kit)
        try:
            OPERATIONS[name](filled.kit.swap, entries)
        except SwapError:
            failed.append(what)
            assert whole(design, filled.kit) == before, what
        filled.kit.swap.check()
    assert {"one is free", "one can't be", "one is 0"} <= set(failed)


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_a_good_list_still_works_after_a_bad_one(design: str) -> None:
    filled = Filled(design)
    swap = filled.kit.swap
    with pytest.raises(SwapError):
        swap.swap_duplicate_many(filled.bad()["one is free"])
    swap.swap_duplicate_many(filled.mapped)
    swap.swap_free_many(filled.mapped)
    swap.check()


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_slots_and_charge_that_run_out_leave_the_first_ones_and_nothing_else(design: str) -> None:
    kit = kit_of(design)
    kit.memcgs[1].swap_max = 5
    nr = 9
    entries = kit.swap.folio_alloc_swap_many(pointers(np.zeros(nr, np.uint64)), 1)
    slots = kit.swap.writeout_slots_many(entries) if design == "virtual" else entries
    assert np.count_nonzero(slots) == 5
    assert kit.memcgs[1].swap_charge == 5
    assert sum(si.inuse_pages for si in kit.devices) == 5
    kit.swap.check()


@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize("name", ["alloc_many", "free_many", "rmap_set_many"])
def test_bulk_forms_of_the_devices_validate_before_they_change(design: str, name: str) -> None:
    filled = Filled(design)
    devices, before = filled.kit.devices, whole(design, filled.kit)
    slots = np.array([make_slot(0, 590), make_slot(0, 591)], np.uint64)  # free ones
    if name == "free_many":
        with pytest.raises(SwapError):
            devices.free_many(np.append(slots, np.uint64(make_slot(0, 1))))
    elif name == "rmap_set_many":
        with pytest.raises(SwapError):
            devices.rmap_set_many(np.array([make_slot(7, 1)], np.uint64), slots[:1])
    else:
        assert len(devices.alloc_many(0)) == 0
    assert whole(design, filled.kit) == before
