"""Swap devices against a dumb perfect model, and array forms against scalar forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vswaplab.backends.device import MemoryDevice
from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.backends.swapfile import SwapDevices, SwapFile
from vswaplab.entry import SLOT_OFFSET_BITS, SLOT_OFFSET_MASK, swp_slot_t
from vswaplab.units import PAGE_SIZE, SWAP_NR_ORDERS

# Odd sizes for the edges, some whole clusters for what array forms do with many of them.
SIZES = st.one_of(st.integers(2, 2200), st.sampled_from([3 * SWAPFILE_CLUSTER, 5 * SWAPFILE_CLUSTER + 1]))
CPUS = st.integers(0, 1)
ORDERS = st.integers(0, SWAP_NR_ORDERS - 1)
PRIORITIES = st.sampled_from([None, 3, 3, 7])


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """What a device is like."""
    slots = draw(SIZES)
    bad = draw(st.just([]) | st.lists(st.integers(1, slots - 1), max_size=min(6, slots - 2), unique=True))
    return {
        "slots": slots,
        "bad_pages": tuple(sorted(bad)),
        "rotational": draw(st.booleans()),
        "discard": draw(st.booleans()),
        "priority": draw(PRIORITIES),
        "block": draw(st.sampled_from([True, True, False])),
    }


def swap_on(devices: SwapDevices, shape: dict[str, Any]) -> SwapFile:
    device = MemoryDevice(shape["slots"] * PAGE_SIZE, bad_pages=shape["bad_pages"])
    device.rotational = shape["rotational"]
    device.block = shape["block"]  # type: ignore[attr-defined]
    return devices.swapon(device, shape["priority"], shape["discard"])


class SwapMachine(RuleBasedStateMachine):
    """Devices in every state, against a dict of slots: who has it, and whether the swap cache alone keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = SwapDevices(cpus=2)
        self.devices.reclaim_slot = self.reclaim
        self.shape: dict[int, dict[str, Any]] = {}
        self.leaving: set[int] = set()
        self.used: dict[int, int] = {}
        """Slot to rmap word; the entry is a number of its own."""
        self.cache_only: set[int] = set()
        self.order: dict[int, int] = {}
        """The order of each cluster, by its first slot, while anything in it is in use."""
        self.stubborn = False
        self.entry = 0

    # -- the model -----------------------------------------------------------------------------------------------

    def usable(self, type: int) -> list[int]:
        bad, base = {0, *self.shape[type]["bad_pages"]}, type << SLOT_OFFSET_BITS
        return [base | offset for offset in range(self.shape[type]["slots"]) if offset not in bad]

    def writable(self) -> list[int]:
        return [slot for type in self.shape if type not in self.leaving for slot in self.usable(type)]

    def forget(self, slot: int) -> None:
        del self.used[slot]
        self.cache_only.discard(slot)
        cluster = slot // SWAPFILE_CLUSTER * SWAPFILE_CLUSTER
        bad = any(cluster <= (slot & ~SLOT_OFFSET_MASK | page) < cluster + 512 for page in self.never(slot))
        if not bad and not any(cluster + i in self.used for i in range(SWAPFILE_CLUSTER)):
            self.order.pop(cluster, None)

    def never(self, slot: int) -> list[int]:
        """Offsets, on the device of a slot, that can't be had."""
        shape = self.shape[slot >> SLOT_OFFSET_BITS]
        past_end = range(shape["slots"], -(-shape["slots"] // SWAPFILE_CLUSTER) * SWAPFILE_CLUSTER)
        return [0, *shape["bad_pages"], *past_end]

    def reclaim(self, slot: swp_slot_t) -> int:
        assert slot in self.cache_only, "only cache-only slots may be asked for"
        # It is asked once a cluster; what was reclaimed of this cluster since then may have changed the answer.
        free, total = self.devices.free_pages - SWAPFILE_CLUSTER, self.devices.total_pages
        assert 2 * free < total, "and only when swap is more than half full"
        if self.stubborn and slot % 3:
            return 0
        self.devices.free_slots(slot)
        self.forget(int(slot))
        return 1

    def take(self, slot: int, order: int) -> None:
        nr, type = 1 << order, slot >> SLOT_OFFSET_BITS
        assert type in self.shape
        assert type not in self.leaving
        offset = slot & SLOT_OFFSET_MASK
        never = set(self.never(slot))
        assert offset % nr == 0
        for i in range(nr):
            assert slot + i not in self.used
            assert offset + i not in never
        if order:
            assert self.shape[type]["block"]
        cluster = slot // SWAPFILE_CLUSTER * SWAPFILE_CLUSTER
        fixed = 0 if any(offset // 512 == page // 512 for page in never) else order
        assert self.order.setdefault(cluster, fixed) == order or not order
        self.entry += nr
        self.devices[type].rmap_set(offset, self.entry, nr)
        for i in range(nr):
            self.used[slot + i] = self.entry + i

    # -- the rules -----------------------------------------------------------------------------------------------

    @initialize(shape=shapes())
    def first_device(self, shape: dict[str, Any]) -> None:
        self.swapon(shape)

    def swapon(self, shape: dict[str, Any]) -> None:
        self.shape[swap_on(self.devices, shape).type] = shape

    @precondition(lambda self: len(self.shape) < 4)
    @rule(shape=shapes())
    def another_device(self, shape: dict[str, Any]) -> None:
        self.swapon(shape)

    @rule(order=ORDERS, cpu=CPUS)
    def alloc(self, order: int, cpu: int) -> None:
        slot = self.devices.alloc_slot(order, cpu)
        if slot:
            self.take(int(slot), order)
        elif not order:
            assert all(slot in self.used for slot in self.writable()), "a single slot fails only if there is none"

    @rule(nr=st.integers(1, 1500), cpu=CPUS)
    def alloc_many(self, nr: int, cpu: int) -> None:
        room = sum(slot not in self.used for slot in self.writable())
        # Slots reclaimed on the way may be handed out again, so take them one run of distinct ones at a time.
        self.devices.reclaim_slot = None
        slots = self.devices.alloc_many(nr, cpu).tolist()
        self.devices.reclaim_slot = self.reclaim
        assert len(slots) == min(nr, room)
        for slot in slots:
            self.take(slot, 0)

    @precondition(lambda self: self.used)
    @rule(data=st.data(), nr=st.sampled_from([1, 1, 2, 8, 300, 700]))
    def free(self, data: st.DataObject, nr: int) -> None:
        start = data.draw(st.sampled_from(sorted(self.used)))
        end = start
        while end - start < nr and end in self.used:
            end += 1
        self.devices.free_slots(start, end - start)
        for slot in range(start, end):
            self.forget(slot)

    @precondition(lambda self: self.used)
    @rule(seed=st.integers(0, 1000), share=st.sampled_from([0.02, 0.5, 1.0]))
    def free_many(self, seed: int, share: float) -> None:
        slots = np.array(sorted(self.used), np.uint64)
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(slots[rng.random(len(slots)) < share])
        self.devices.free_many(chosen)
        for slot in chosen.tolist():
            self.forget(slot)

    @precondition(lambda self: self.used)
    @rule(seed=st.integers(0, 1000), share=st.sampled_from([0.01, 0.3, 1.0]), on=st.booleans())
    def mark(self, seed: int, share: float, on: bool) -> None:
        rng = np.random.default_rng(seed)
        for slot in [slot for slot in sorted(self.used) if rng.random() < share]:
            si, offset = self.devices[slot >> SLOT_OFFSET_BITS], slot & SLOT_OFFSET_MASK
            if on:
                si.rmap_mark_cache_only(offset)
                self.cache_only.add(slot)
            else:
                si.rmap_clear_cache_only(offset)
                self.cache_only.discard(slot)

    @rule(stubborn=st.booleans())
    def design_changes_its_mind(self, stubborn: bool) -> None:
        self.stubborn = stubborn

    @rule(cpu=CPUS)
    def cpu_dead(self, cpu: int) -> None:
        self.devices.cpu_dead(cpu)

    @rule()
    def discard(self) -> None:
        self.devices.do_discards()

    @precondition(lambda self: set(self.shape) - self.leaving)
    @rule(data=st.data())
    def begin_swapoff(self, data: st.DataObject) -> None:
        type = data.draw(st.sampled_from(sorted(set(self.shape) - self.leaving)))
        self.devices.begin_swapoff(type)
        self.leaving.add(type)

    @precondition(lambda self: self.leaving)
    @rule(data=st.data(), finish=st.booleans())
    def end_swapoff(self, data: st.DataObject, finish: bool) -> None:
        type = data.draw(st.sampled_from(sorted(self.leaving)))
        prio = self.devices[type].prio
        self.leaving.remove(type)
        if not finish:
            self.devices.abort_swapoff(type)
            assert self.devices[type].prio == prio
            return
        held = [slot for slot in sorted(self.used) if slot >> SLOT_OFFSET_BITS == type]
        self.devices.free_many(np.array(held, np.uint64))
        for slot in held:
            self.forget(slot)
        self.devices.finish_swapoff(type)
        self.order = {cluster: order for cluster, order in self.order.items() if cluster >> SLOT_OFFSET_BITS != type}
        del self.shape[type]

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def agrees(self) -> None:
        self.devices.check()
        assert [si.type for si in self.devices] == sorted(self.shape)
        found = [si.slot_base | offset for si in self.devices for offset in si.allocated_offsets().tolist()]
        assert found == sorted(self.used)
        words = self.devices.rmap_get_many(np.array(found, np.uint64)).tolist()
        assert words == [self.used[slot] for slot in found]
        writable = self.writable()
        assert self.devices.total_pages == len(writable)
        assert self.devices.free_pages == sum(slot not in self.used for slot in writable)


TestSwapMachine = SwapMachine.TestCase
TestSwapMachine.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- array forms against scalar forms ----------------------------------------------------------------------------


def state_of(devices: SwapDevices) -> dict[str, Any]:
    """Everything that decides what the devices do next, in the order in which they would do it."""

    def hint(hints: Any) -> list[tuple[int | None, int]]:
        return [(si and si.type, at) for si, at in zip(hints.device, hints.offset, strict=True)]

    def lists(si: SwapFile) -> Any:
        known = si.lists
        ordered = [[list(members) for members in of_order] for of_order in (known.nonfull, known.frag)]
        return known.untouched, list(known.freed), ordered, list(known.full), list(known.discard)

    return {
        "avail": [si.type for si in devices.avail],
        "hints": [hint(hints) for hints in devices.percpu],
        "devices": [
            {
                "inuse": si.inuse_pages,
                "cache_only": si.cache_only_pages,
                "lists": lists(si),
                "allocated": si.allocated.rows.tobytes(),
                "rmap": si.rmap.rows.tobytes(),
                "info": [a.rows.tolist() for a in (si.lists.count_arena, si.lists.order_arena, si.lists.state_arena)],
                "global": si.global_cluster and hint(si.global_cluster),
            }
            for si in devices
        ],
    }


class Scalar:
    """Array operations done a slot at a time."""

    def alloc_many(self, devices: SwapDevices, nr: int, cpu: int) -> list[int]:
        return repeat(lambda: devices.alloc_slot(0, cpu), nr)

    def device_alloc_many(self, si: SwapFile, nr: int, order: int, cpu: int) -> list[int]:
        return repeat(lambda: si.alloc(order, cpu), nr)

    def free_many(self, devices: SwapDevices, slots: list[int]) -> None:
        for slot in slots:
            devices.free_slots(slot)

    def rmap_set_many(self, devices: SwapDevices, slots: list[int], entries: list[int]) -> None:
        for slot, entry in zip(slots, entries, strict=True):
            devices[slot >> SLOT_OFFSET_BITS].rmap_set(slot & SLOT_OFFSET_MASK, entry)

    def mark_many(self, si: SwapFile, offsets: list[int], on: bool) -> None:
        for offset in offsets:
            (si.rmap_mark_cache_only if on else si.rmap_clear_cache_only)(offset)


class Array:
    """The same in one call."""

    def alloc_many(self, devices: SwapDevices, nr: int, cpu: int) -> list[int]:
        return devices.alloc_many(nr, cpu).tolist()

    def device_alloc_many(self, si: SwapFile, nr: int, order: int, cpu: int) -> list[int]:
        return si.alloc_many(nr, order, cpu).tolist()

    def free_many(self, devices: SwapDevices, slots: list[int]) -> None:
        devices.free_many(np.array(slots, np.uint64))

    def rmap_set_many(self, devices: SwapDevices, slots: list[int], entries: list[int]) -> None:
        devices.rmap_set_many(np.array(slots, np.uint64), np.array(entries, np.uint64))

    def mark_many(self, si: SwapFile, offsets: list[int], on: bool) -> None:
        many = np.array(offsets, np.uint64)
        (si.rmap_mark_cache_only_many if on else si.rmap_clear_cache_only_many)(many)


def repeat(alloc: Callable[[], int], nr: int) -> list[int]:
    taken: list[int] = []
    while len(taken) < nr and (got := alloc()):
        taken.append(int(got))
    return taken


ACTIONS = st.one_of(
    st.tuples(st.just("alloc"), st.integers(1, 2600) | st.integers(2600, 7000), CPUS),
    st.tuples(st.just("alloc on"), st.integers(0, 2), st.integers(1, 700), ORDERS, CPUS),
    st.tuples(st.just("free"), st.integers(0, 99), st.sampled_from([0.01, 0.4, 0.97, 1.0]), st.booleans()),
    st.tuples(st.just("rmap"), st.integers(0, 99), st.sampled_from([0.01, 0.5]), st.booleans()),
    st.tuples(st.just("mark"), st.integers(0, 99), st.sampled_from([0.01, 0.5]), st.booleans()),
    st.tuples(st.just("off"), st.integers(0, 2)),
    st.tuples(st.just("discard")),
    st.tuples(st.just("cpu dead")),
)


def play(how: Scalar | Array, shapes_: list[dict[str, Any]], actions: list[Any]) -> list[Any]:
    """Do the actions one way; return the state after each, and all that was given out."""
    devices, seen = SwapDevices(cpus=2), []
    for shape in shapes_:
        swap_on(devices, shape)

    def reclaim(slot: swp_slot_t) -> int:
        if slot.offset % 3 == 0:
            return 0
        devices.free_slots(slot)
        return 1

    devices.reclaim_slot = reclaim
    entry = 1
    for action, *rest in actions:
        given: list[int] = []
        in_use = [si.slot_base | offset for si in devices for offset in si.allocated_offsets().tolist()]
        if action in ("free", "rmap", "mark"):
            seed, share, flag = rest
            rng = np.random.default_rng(seed)
            chosen = [slot for slot in in_use if rng.random() < share]
            chosen = chosen if flag else rng.permutation(np.array(chosen, np.uint64)).tolist()
        match action:
            case "alloc":
                given = how.alloc_many(devices, *rest)
            case "alloc on":
                given = how.device_alloc_many(devices[rest[0] % len(shapes_)], *rest[1:])
            case "free":
                how.free_many(devices, chosen)
            case "rmap":
                how.rmap_set_many(devices, chosen, list(range(entry, entry + len(chosen))))
                entry += len(chosen)
            case "mark":
                for si in devices:
                    mine = [slot & SLOT_OFFSET_MASK for slot in chosen if slot >> SLOT_OFFSET_BITS == si.type]
                    how.mark_many(si, mine, flag)
            case "off":
                si = devices[rest[0] % len(shapes_)]
                (devices.begin_swapoff if si.writeok else devices.abort_swapoff)(si.type)
            case "discard":
                devices.do_discards()
            case "cpu dead":
                devices.cpu_dead(0)
        devices.check()
        seen.append((action, given, state_of(devices)))
    return seen


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes_=st.lists(shapes(), min_size=1, max_size=3), actions=st.lists(ACTIONS, min_size=6, max_size=16))
def test_array_forms_leave_the_state_of_scalar_forms(shapes_: list[dict[str, Any]], actions: list[Any]) -> None:
    """Slots given, their order, every list's order, hints, maps and counts are the same after every step."""
    actions = [("alloc", 3000, 0), *actions]  # nothing else does anything before there is something
    for scalar, array in zip(play(Scalar(), shapes_, actions), play(Array(), shapes_, actions), strict=True):
        assert scalar == array


def test_array_allocation_sees_swap_become_half_full() -> None:
    """Cache-only slots ahead of the hint are reclaimed from the very slot on with which swap is more than half full."""
    shape = {
        "slots": 4 * SWAPFILE_CLUSTER,
        "bad_pages": (),
        "rotational": False,
        "discard": False,
        "priority": None,
        "block": True,
    }

    def play_half(how: Scalar | Array) -> tuple[list[int], dict[str, Any]]:
        devices = SwapDevices(cpus=2)
        si = swap_on(devices, shape)
        devices.reclaim_slot = lambda slot: devices.free_slots(slot) or 1
        devices.alloc_many(400, 0)
        devices.free_many(np.arange(1, 101, dtype=np.uint64))
        devices.cpu_dead(0)
        assert devices.alloc_slot(0, 0) == 1
        while devices.free_pages * 2 > devices.total_pages + 60:
            devices.alloc_slot(0, 1)
        for offset in (200, 300, 305):
            si.rmap_mark_cache_only(offset)
        given = how.alloc_many(devices, 130, 0)
        assert {200, 300, 305} <= set(given)
        return given, state_of(devices)

    assert play_half(Scalar()) == play_half(Array())
