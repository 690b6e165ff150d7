"""The array forms leave the state that a loop over the scalar forms leaves, whatever is done in whatever order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swapkit import Kit, KitFolio

from vswaplab.entry import U64, Backing
from vswaplab.errors import Busy, Exists, InvalidArgument, NotFound

SLOTS = 700


class Pair:
    """The same layer twice: one driven entry by entry, one by arrays. Zswap entries are nominal numbers."""

    def __init__(self) -> None:
        self.one, self.many = Kit(slots=SLOTS, cpus=2), Kit(slots=SLOTS, cpus=2)
        self.refs: dict[int, int] = {}
        self.cached: dict[int, KitFolio] = {}
        self.backing: dict[int, Backing] = {}
        self.serial = 1

    def alloc(self, nr: int, memcg: int, cpu: int) -> None:
        self.one.swap.cpu = self.many.swap.cpu = cpu
        folios = [self.one.folio(memcg=memcg) for _ in range(nr)]
        for folio in folios:
            self.one.swap.folio_alloc_swap(folio)
        pointers = np.array([folio.pointer for folio in folios], np.uint64)
        entries = self.many.swap.folio_alloc_swap_many(pointers, memcg)
        assert entries.tolist() == [int(folio.swap) for folio in folios]
        for folio in folios:
            entry = int(folio.swap)
            self.refs[entry], self.cached[entry], self.backing[entry] = 0, folio, Backing.FOLIO

    def duplicate(self, entries: list[int]) -> None:
        for entry in entries:
            self.one.swap.swap_duplicate(entry)
            self.refs[entry] += 1
        self.many.swap.swap_duplicate_many(u64(entries))

    def free(self, entries: list[int]) -> None:
        for entry in entries:
            self.one.swap.swap_free_nr(entry, 1)
            self.refs[entry] -= 1
        self.many.swap.swap_free_many(u64(entries))
        self.forget()

    def forget(self) -> None:
        for entry in [e for e, count in self.refs.items() if count == 0 and e not in self.cached]:
            del self.refs[entry], self.backing[entry]

    def zero(self, entries: list[int]) -> None:
        """Folios that others pay for than own the entries are among them: an array call is for those of one payer."""
        for memcg in (1, 2):
            theirs = [entry for entry in entries if self.cached[entry].memcg.id == memcg]
            for entry in theirs:
                self.one.swap.swap_zeromap_folio_set(self.cached[entry])
                self.backing[entry] = Backing.ZERO
            self.many.swap.swap_zeromap_folio_set_many(u64(theirs), memcg)

    def store_folio(self, entries: list[int]) -> None:
        for entry in entries:
            self.one.swap.vswap_store_folio(entry, self.cached[entry])
            self.backing[entry] = Backing.FOLIO
        self.many.swap.vswap_store_folio_many(u64(entries))

    def to_disk(self, entries: list[int]) -> None:
        slots = [int(self.one.swap.vswap_alloc_swap_slot(self.cached[entry])) for entry in entries]
        assert self.many.swap.vswap_alloc_swap_slot_many(u64(entries)).tolist() == slots
        for entry in entries:
            self.backing[entry] = Backing.SWAPFILE

    def remove(self, entries: list[int], shadow: int) -> None:
        for entry in entries:
            self.one.swap.vswap_remove_mapping(self.cached.pop(entry), shadow)
        self.many.swap.vswap_remove_mapping_many(u64(entries), shadow)
        self.forget()

    def cache(self, entries: list[int], payers: list[int]) -> None:
        shadows = []
        folios = [self.one.folio(memcg=payer) for payer in payers]
        for entry in entries:
            self.one.swap.swapcache_prepare(entry)
        for entry, folio in zip(entries, folios, strict=True):
            folio.uptodate, folio.dirty = True, False
            shadows.append(self.one.swap.swap_cache_add_folio(folio, entry))
            self.cached[entry] = folio
        self.many.swap.swapcache_prepare_many(u64(entries))
        pointers = np.array([folio.pointer for folio in folios], np.uint64)
        assert self.many.swap.swap_cache_add_folio_many(pointers, u64(entries)).tolist() == shadows

    def pin_and_clear(self, entries: list[int]) -> None:
        for entry in entries:
            self.one.swap.swapcache_prepare(entry)
        for entry in entries:
            self.one.swap.swapcache_clear(entry)
        self.many.swap.swapcache_prepare_many(u64(entries))
        self.many.swap.swapcache_clear_many(u64(entries))

    def compare(self) -> None:
        for kit in (self.one, self.many):
            kit.swap.check()
        assert state(self.one) == state(self.many)


def u64(entries: list[int]) -> U64:
    return np.array(entries, np.uint64)


def state(kit: Kit) -> dict[str, Any]:
    swap = kit.swap
    allocator = swap.allocator
    return {
        "descriptors": swap.desc.rows[: 512 * 16].tobytes(),
        "clusters": {c.id: (c.order, c.count, c.bitmap, c.refcnt, c.cached, c.full) for c in swap.clusters.values()},
        "lists": [list(partial) for partial in allocator.map.partial],
        "cached": [[c.id if c else None for c in row] for row in allocator.cached],
        "looked up": [c.id if c else None for c in allocator.looked_up],
        "counts": (swap.used, swap.alloc_reject, swap.nr_swapcached),
        "memcgs": {i: (m.ids, m.swap_charge, m.counts) for i, m in kit.memcgs.items()},
        "slots": [kit.device.rmap_get(int(at)) for at in kit.device.allocated_offsets()],
        "bits": [int(at) for at in kit.device.allocated_offsets()],
    }


STEP = st.tuples(
    st.sampled_from(["alloc", "alloc", "duplicate", "free", "free", "zero", "disk", "folio", "remove", "cache", "pin"]),
    st.integers(1, 300),
    st.booleans(),
    st.randoms(use_true_random=False),
)


@settings(max_examples=60)
@given(st.lists(STEP, max_size=25))
def test_array_forms_equal_scalar_forms(steps: list[tuple[str, int, bool, Any]]) -> None:
    pair = Pair()
    for op, nr, ordered, random in steps:

        def pick(among: list[int], nr: int = nr, ordered: bool = ordered, random: Any = random) -> list[int]:
            some = random.sample(among, min(nr, len(among)))
            return sorted(some) if ordered else some

        if op == "alloc":
            pair.alloc(nr * 2, random.choice([1, 2]), random.choice([0, 1]))
        elif op == "duplicate":
            entries = pick(list(pair.refs))
            pair.duplicate(entries + (random.choices(entries, k=5) if entries and not ordered else []))
        elif op == "free":
            references = [entry for entry, count in pair.refs.items() for _ in range(count)]
            pair.free(pick(references, nr * 3))
        elif op == "zero":
            pair.zero(pick(list(pair.cached)))
        elif op == "folio":
            pair.store_folio(pick(list(pair.cached)))
        elif op == "disk":
            for memcg in (1, 2):
                free = SLOTS - pair.one.device.inuse_pages
                mine = [e for e in pair.cached if pair.backing[e] is Backing.FOLIO and pair.cached[e].memcg.id == memcg]
                owner = [e for e in mine if pair.one.swap.lookup_swap_cgroup_id(e) == memcg]
                pair.many.swap.lookup_swap_cgroup_id(owner[-1]) if owner else None
                # Beyond half full the physical allocator may take cache-only slots back, which needs folio objects.
                pair.to_disk(pick(owner, max(0, min(nr, free - SLOTS // 2))))
        elif op == "remove":
            safe = [e for e in pair.cached if pair.backing[e] is not Backing.FOLIO or pair.refs[e] == 0]
            for entry in safe:
                pair.cached[entry].dirty = False
            pair.remove(pick(safe), random.randrange(1 << 20) << 1 | 1)
        elif op == "cache":
            entries = pick([e for e in pair.refs if e not in pair.cached])
            pair.cache(entries, [random.choice([1, 2]) for _ in entries])
        elif op == "pin":
            pair.pin_and_clear(pick([e for e in pair.refs if e not in pair.cached]))
        for kit in (pair.one, pair.many):
            for cpu in (0, 1):
                kit.swap.allocator.drop_lookup(cpu)
        pair.compare()


@pytest.fixture
def kit() -> Kit:
    return Kit(slots=SLOTS)


def fill(kit: Kit, nr: int) -> U64:
    entries = kit.swap.folio_alloc_swap_many(np.arange(nr, dtype=np.uint64) * np.uint64(64) + np.uint64(1 << 40), 1)
    kit.swap.swap_duplicate_many(entries)
    return entries


def test_errors_of_array_forms_change_nothing(kit: Kit) -> None:
    entries = fill(kit, 600)
    before = state(kit)
    absent = np.append(entries, np.uint64(5000))
    far = np.append(entries, np.uint64(1 << 50))
    for bad in (absent, far):
        for operation in (kit.swap.swap_duplicate_many, kit.swap.swapcache_prepare_many, kit.swap.lookup_many):
            with pytest.raises(NotFound):
                operation(bad)
    with pytest.raises(Exists):
        kit.swap.swapcache_prepare_many(entries)
    with pytest.raises(Busy):
        kit.swap.vswap_remove_mapping_many(entries)
    with pytest.raises(InvalidArgument):
        kit.swap.swap_free_many(np.append(entries, entries))
    with pytest.raises(InvalidArgument):
        kit.swap.swap_cache_add_folio_many(entries, entries)
    assert state(kit) == before


def test_swap_max_charges_as_many_slots_as_fit(kit: Kit) -> None:
    entries = fill(kit, 100)
    kit.memcgs[1].swap_max = 30
    slots = kit.swap.vswap_alloc_swap_slot_many(entries)
    assert np.count_nonzero(slots) == 30
    assert kit.device.inuse_pages == kit.memcgs[1].swap_charge == 30
    kit.swap.check()


def test_lookup_many_reads_type_and_handle(kit: Kit) -> None:
    entries = fill(kit, 100)
    slots = kit.swap.vswap_alloc_swap_slot_many(entries[:40])
    kit.swap.swap_zeromap_folio_set_many(entries[40:60])
    kit.swap.vswap_remove_mapping_many(entries[:60])
    found = kit.swap.lookup_many(entries)
    assert found.type.tolist() == [Backing.SWAPFILE] * 40 + [Backing.ZERO] * 20 + [Backing.FOLIO] * 40
    assert found.handle[:40].tolist() == slots.tolist()
    assert not found.handle[40:].any()


def test_swapoff_walk_finds_what_the_device_holds(kit: Kit) -> None:
    entries = fill(kit, 100)
    slots = kit.swap.vswap_alloc_swap_slot_many(entries[::2])
    offsets, found = kit.swap.swapoff_walk(kit.device.type)
    assert sorted(found.tolist()) == entries[::2].tolist()
    assert offsets.tolist() == sorted(slots.tolist())


def test_an_exhausted_space_gives_what_it_has() -> None:
    kit = Kit(max_cluster_id=1)
    entries = kit.swap.folio_alloc_swap_many(np.arange(1, 2001, dtype=np.uint64) * np.uint64(64), 1)
    assert len(entries) == 1023
    assert kit.swap.alloc_reject == 2000 - 1023
    assert kit.memcgs[1].ids == 1023
    kit.swap.check()


def test_empty_arrays_are_fine(kit: Kit) -> None:
    none = np.empty(0, np.uint64)
    assert len(kit.swap.folio_alloc_swap_many(none, 1)) == 0
    for operation in (
        kit.swap.swap_duplicate_many,
        kit.swap.swap_free_many,
        kit.swap.swapcache_prepare_many,
        kit.swap.swapcache_clear_many,
        kit.swap.swap_zeromap_folio_set_many,
        kit.swap.vswap_store_folio_many,
        kit.swap.vswap_alloc_swap_slot_many,
        kit.swap.vswap_remove_mapping_many,
        kit.swap.lookup_many,
    ):
        operation(none)
    kit.swap.check()
