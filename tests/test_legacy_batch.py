"""The array forms of the legacy design leave the state that a loop over the scalar forms leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from swapkit import KitFolio, LegacyKit

from vswaplab.backends.device import MemoryDevice
from vswaplab.entry import U64, Backing
from vswaplab.errors import Busy, Exists, InvalidArgument, NotFound
from vswaplab.units import PAGE_SIZE

SLOTS = 1500


class Pair:
    """The same design twice: one driven entry by entry, one by arrays. Zswap entries are nominal numbers."""

    def __init__(self) -> None:
        self.one, self.many = LegacyKit(slots=SLOTS), LegacyKit(slots=SLOTS)
        for kit in (self.one, self.many):
            kit.devices.swapon(MemoryDevice((SLOTS + 1) * PAGE_SIZE))
        self.refs: dict[int, int] = {}
        self.cached: dict[int, KitFolio] = {}

    def alloc(self, nr: int, memcg: int, cpu: int) -> None:
        self.one.swap.cpu = self.many.swap.cpu = cpu
        # Beyond half full the allocator may take cache-only slots back, which needs folio objects.
        nr = min(nr, max(0, SLOTS - sum(si.inuse_pages for si in self.one.devices)))
        folios = [self.one.folio(memcg=memcg) for _ in range(nr)]
        for folio in folios:
            self.one.swap.folio_alloc_swap(folio)
        pointers = np.array([folio.pointer for folio in folios], np.uint64)
        entries = self.many.swap.folio_alloc_swap_many(pointers, memcg)
        assert entries.tolist() == [int(folio.swap) for folio in folios]
        for folio in folios:
            self.refs[int(folio.swap)], self.cached[int(folio.swap)] = 0, folio

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
            del self.refs[entry]

    def zero(self, entries: list[int]) -> None:
        """Folios that others pay for than own the entries are among them: an array call is for those of one payer."""
        for memcg in (1, 2):
            theirs = [entry for entry in entries if self.cached[entry].memcg.id == memcg]
            for entry in theirs:
                self.one.swap.swap_zeromap_folio_set(self.cached[entry])
            self.many.swap.swap_zeromap_folio_set_many(u64(theirs), memcg)

    def written(self, entries: list[int]) -> None:
        for entry in entries:
            self.one.swap.writeout_slots_many(u64([entry]))
        assert self.many.swap.writeout_slots_many(u64(entries)).tolist() == entries

    def compress(self, entries: list[int]) -> None:
        handles = [entry & 0xFFFF | 1 << 20 for entry in entries]
        for entry, handle in zip(entries, handles, strict=True):
            info, offset = self.one.swap.at(entry)
            info.zeromap_clear(offset)
            info.zswap_tree.store(offset, handle)
            info.only_in_memory[offset] = 0
        self.many.swap.zswap_entry_store_many(u64(entries), u64(handles))

    def remove(self, entries: list[int], shadow: int) -> None:
        for entry in entries:
            self.one.swap.remove_mapping(self.cached.pop(entry), shadow)
        self.many.swap.remove_mapping_many(u64(entries), shadow)
        self.forget()

    def cache(self, entries: list[int], payers: list[int]) -> None:
        shadows = []
        folios = [self.one.folio(memcg=payer) for payer in payers]
        for entry, folio in zip(entries, folios, strict=True):
            self.one.swap.swapcache_prepare(entry)
            folio.uptodate, folio.dirty = True, False
            shadows.append(self.one.swap.swap_cache_add_folio(folio, entry))
            self.cached[entry] = folio
        self.many.swap.swapcache_prepare_many(u64(entries))
        pointers = np.array([folio.pointer for folio in folios], np.uint64)
        assert self.many.swap.swap_cache_add_folio_many(pointers, u64(entries)).tolist() == shadows

    def compare(self) -> None:
        for kit in (self.one, self.many):
            kit.swap.check()
            kit.devices.check()
        assert state(self.one) == state(self.many)


def u64(entries: list[int]) -> U64:
    return np.array(entries, np.uint64)


def state(kit: LegacyKit) -> dict[str, Any]:
    swap = kit.swap
    arrays = {
        type: (
            info.swap_map.map.rows.tobytes(),
            info.swap_cgroup.rows.tobytes(),
            info.zeromap.rows.tobytes(),
            info.swap_table.rows.tobytes(),
            info.unwritten.rows.tobytes(),
            [column.tolist() for column in info.zswap_tree.items()],
            info.zswap_tree.nodes,
        )
        for type, info in swap.info.items()
    }
    return {
        "arrays": arrays,
        "counts": swap.nr_swapcached,
        "memcgs": {i: (m.ids, m.swap_charge, m.counts) for i, m in kit.memcgs.items()},
        "bits": [si.allocated_offsets().tolist() for si in kit.devices],
        "cache only": [si.cache_only_pages for si in kit.devices],
    }


STEP = st.tuples(
    st.sampled_from(
        ["alloc", "alloc", "duplicate", "duplicate", "free", "zero", "written", "zswap", "remove", "remove", "cache"]
    ),
    st.integers(1, 300),
    st.booleans(),
    st.randoms(use_true_random=False),
)


@settings(max_examples=60, deadline=None)
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
            pair.duplicate(pick(list(pair.refs)))
        elif op == "free":
            pair.free(pick([entry for entry, count in pair.refs.items() if count]))
        elif op == "zero":
            pair.zero(pick(list(pair.cached)))
        elif op == "written":
            pair.written(pick(list(pair.cached)))
        elif op == "zswap":
            pair.compress(pick(list(pair.cached)))
        elif op == "remove":
            alone = {e for e in pair.cached if pair.refs[e] and pair.one.swap.lookup(e).type is Backing.FOLIO}
            safe = [e for e in pair.cached if e not in alone]
            for entry in safe:
                pair.cached[entry].dirty = False
            pair.remove(pick(safe), random.randrange(1 << 20) << 1 | 1)
        elif op == "cache":
            entries = pick([e for e in pair.refs if e not in pair.cached])
            pair.cache(entries, [random.choice([1, 2]) for _ in entries])
        pair.compare()


@pytest.fixture
def kit() -> LegacyKit:
    return LegacyKit(slots=SLOTS)


def fill(kit: LegacyKit, nr: int) -> U64:
    entries = kit.swap.folio_alloc_swap_many(np.arange(nr, dtype=np.uint64) * np.uint64(64) + np.uint64(1 << 40), 1)
    kit.swap.swap_duplicate_many(entries)
    return entries


def test_errors_of_array_forms_change_nothing(kit: LegacyKit) -> None:
    entries = fill(kit, 600)
    before = state(kit)
    with pytest.raises(NotFound):
        kit.swap.swap_duplicate_many(np.append(entries, np.uint64(1000)))
    with pytest.raises(InvalidArgument):
        kit.swap.swap_duplicate_many(np.append(entries, np.uint64(1 << 50)))
    with pytest.raises(Exists):
        kit.swap.swapcache_prepare_many(entries)
    with pytest.raises(Busy):
        kit.swap.remove_mapping_many(entries)
    with pytest.raises(InvalidArgument):
        kit.swap.swap_free_many(np.append(entries, entries))
    with pytest.raises(InvalidArgument):
        kit.swap.swap_cache_add_folio_many(entries, entries)
    assert state(kit) == before


def test_swap_max_charges_as_many_slots_as_fit(kit: LegacyKit) -> None:
    kit.memcgs[1].swap_max = 30
    entries = fill(kit, 100)
    assert len(entries) == kit.device.inuse_pages == kit.memcgs[1].swap_charge == 30
    kit.swap.check()


def test_a_full_device_gives_what_it_has(kit: LegacyKit) -> None:
    assert len(fill(kit, SLOTS + 100)) == SLOTS


def test_lookup_many_says_where_the_contents_are(kit: LegacyKit) -> None:
    entries = fill(kit, 100)
    kit.swap.writeout_slots_many(entries[:40])
    kit.swap.swap_zeromap_folio_set_many(entries[40:60])
    kit.swap.zswap_entry_store_many(entries[60:70], np.arange(1, 11, dtype=np.uint64))
    found = kit.swap.lookup_many(entries)
    kinds = [Backing.SWAPFILE] * 40 + [Backing.ZERO] * 20 + [Backing.ZSWAP] * 10 + [Backing.FOLIO] * 30
    assert found.type.tolist() == kinds
    assert found.type.tolist() == [kit.swap.lookup(int(entry)).type for entry in entries]
    assert found.handle[:40].tolist() == entries[:40].tolist()
    assert found.handle[60:70].tolist() == list(range(1, 11))


def test_onlookers_are_not_counted(kit: LegacyKit) -> None:
    entries = fill(kit, 10)
    before = kit.swap.lookup_counts()
    kit.swap.lookup_many(entries)
    kit.swap.lookup(int(entries[0]))
    assert kit.swap.lookup_counts() == before


def test_a_table_of_an_empty_cluster_is_given_back() -> None:
    kit = LegacyKit(slots=2047)  # with the header four whole clusters
    entries = fill(kit, 1200)
    kit.swap.writeout_slots_many(entries)
    kit.swap.remove_mapping_many(entries, 1)
    table = kit.swap.info[0].swap_table
    full = table.resident_bytes()
    kit.swap.swap_free_many(entries[entries // 512 == 1])
    assert table.resident_bytes() == full - 4096
    kit.swap.check()


def test_empty_arrays_are_fine(kit: LegacyKit) -> None:
    none = np.empty(0, np.uint64)
    assert len(kit.swap.folio_alloc_swap_many(none, 1)) == 0
    for operation in (
        kit.swap.swap_duplicate_many,
        kit.swap.swap_free_many,
        kit.swap.swapcache_prepare_many,
        kit.swap.swapcache_clear_many,
        kit.swap.swap_zeromap_folio_set_many,
        kit.swap.zswap_loaded_many,
        kit.swap.writeout_slots_many,
        kit.swap.remove_mapping_many,
    ):
        operation(none)
    kit.swap.check()
