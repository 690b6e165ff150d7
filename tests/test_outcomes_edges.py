"""Rules at their edges: whose folio, whose cgroup, the last one and the one after it, in both designs."""

from __future__ import annotations

from typing import Any

import pytest
from mmkit import contents, fill, machine, noise
from swapkit import Kit, LegacyKit
from test_mm_reclaim import clear_references, resident
from test_mm_swap import out
from test_virtual_swapoff import Host

from vswaplab import Machine, NoMemory
from vswaplab.entry import Backing
from vswaplab.mm.alloc import MAX_RECLAIM_RETRIES
from vswaplab.mm.reclaim import SWAP_CLUSTER_MAX
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

KITS = pytest.mark.parametrize("kit_of", [Kit, LegacyKit])
DESIGNS = pytest.mark.parametrize("design", ["virtual", "legacy"])

# -- entries ---------------------------------------------------------------------------------------------------------


def test_legacy_frees_a_run_of_two_owners_to_each_what_is_theirs() -> None:
    """``swap_entries_free`` never crosses a change of memory cgroup [S12]; the virtual design's test is its own."""
    kit = LegacyKit(slots=2048)
    entries = [kit.swapped(memcg=1 if i < 40 else 2) for i in range(60)]
    assert (kit.memcgs[1].swap_charge, kit.memcgs[2].swap_charge) == (40, 20)
    kit.swap.swap_free_nr(entries[0], 60)
    assert (kit.memcgs[1].swap_charge, kit.memcgs[2].swap_charge) == (0, 0)
    assert (kit.memcgs[1].ids, kit.memcgs[2].ids) == (0, 0)


@KITS
def test_the_allocator_takes_no_swap_from_under_a_locked_folio(kit_of: type[Kit]) -> None:
    """A physical slot is reclaimed only from a folio whose lock can be had [S12]."""
    kit: Any = kit_of(slots=16)
    folio = kit.into_cache(kit.swapped(noise(1)))
    kit.swap.swap_read_folio(folio)
    kit.swap.swap_free_nr(folio.swap, 1)  # the page table maps the folio now: the slot is cache-only
    slot = kit.swap.lookup(folio.swap).slot
    assert folio.locked
    assert kit.devices.reclaim_slot(slot) == 0
    assert folio.in_swapcache
    folio.locked = False
    assert kit.devices.reclaim_slot(slot) == 1
    assert kit.device.inuse_pages == 0
    kit.swap.check()


def test_two_folios_in_memory_are_two_backings() -> None:
    """A range is folio-backed if one folio backs all of it [S10]."""
    kit = Kit()
    first, second = kit.out(), kit.out()
    assert int(first.swap) + 1 == second.swap
    assert kit.swap.vswap_check_backing(first.swap, 2) == (1, Backing.FOLIO)
    assert not kit.swap.vswap_folio_backed(first.swap, 2)


@KITS
@pytest.mark.parametrize(("shadows", "found"), [((3, 5), 3), ((0, 5), 5), ((3, 0), 3)])
def test_a_large_folio_is_told_the_first_shadow_seen(kit_of: type[Kit], shadows: tuple[int, int], found: int) -> None:
    """``swap_cache_add_folio`` returns the first shadow of the range [S10]."""
    kit: Any = kit_of(slots=2048)
    old = kit.out(ZERO_PAGE * 2, order=1)
    entry = int(old.swap)
    kit.swap.swap_writeout(old)
    parts = [kit.folio(), kit.folio()]
    kit.swap.split_folio(old, parts)
    for part, shadow in zip(parts, shadows, strict=True):
        part.dirty = False
        kit.swap.remove_mapping(part, shadow)
    kit.swap.swapcache_prepare(entry, 2)
    folio = kit.folio(order=1)
    folio.uptodate = folio.dirty = False
    assert kit.swap.swap_cache_add_folio(folio, entry) == found


def test_each_way_from_a_slot_to_its_entry_is_counted() -> None:
    """The rmap row of the look-ups: asked by hand, by readahead, and by swapoff for each slot in use."""
    kit = Kit(slots=1000)
    entries = [kit.swapped(noise(i)) for i in range(12)]
    slot = kit.swap.swp_entry_to_swp_slot(entries[8])
    assert kit.swap.lookup_counts()["rmap"] == 0
    kit.swap.swp_slot_to_swp_entry(slot)
    assert kit.swap.lookup_counts()["rmap"] == 1
    kit.swap.readahead_entries(entries[8], 8)  # slots 8 to 15
    assert kit.swap.lookup_counts()["rmap"] == 9
    kit.swap.swapoff(0, Host(kit))
    assert kit.swap.lookup_counts()["rmap"] == 9 + 12 + 12


@pytest.mark.parametrize("kept", [(1, 2, 3), (100, 900), (999,)])
def test_a_virtual_swapoff_scans_the_whole_device_twice_however_sparse_it_is(kept: tuple[int, ...]) -> None:
    """Both rounds look at every slot from the first to the last [S14]."""
    kit = Kit(slots=1000)
    entries = {int(kit.swap.swp_entry_to_swp_slot(e).offset): e for e in [kit.swapped(noise(i)) for i in range(1000)]}
    for offset, entry in entries.items():
        if offset not in kept:
            kit.swap.swap_free_nr(entry, 1)
    report = kit.swap.swapoff(0, Host(kit))
    assert (report.slots_scanned, report.pages_read) == (2 * 1001, len(kept))


# -- faults ----------------------------------------------------------------------------------------------------------


@DESIGNS
def test_reclaim_leaves_a_page_alone_while_it_is_copied(design: str) -> None:
    with machine(design=design) as m:
        group = m.memcg("group", max="8K")
        p = m.spawn("p", memcg=group)
        region = p.mmap("8K")
        pages = fill(p, region)
        q = p.fork()
        clear_references(m)
        q.write(region.start, b"mine")  # the oldest page is the source: the other one has to make room
        assert (resident(p, region), resident(q, region)) == ([0], [0])
        assert q.read(region.start, 4) == b"mine"
        assert contents(p, region) == pages


@DESIGNS
def test_a_page_read_ahead_is_a_hit_once_whoever_maps_it_later(design: str) -> None:
    with machine(swap=None, design=design) as m:
        m.swapon(size="4M")
        p, region, _ = out(m, pages=8)
        q = p.fork()
        p.touch(region.page(0))
        p.touch(region.page(1))
        q.touch(region.page(1))
        assert m.root_memcg.stat("swap_ra_hit") == 1


@DESIGNS
def test_entries_of_two_cgroups_are_not_read_as_one_folio(design: str) -> None:
    """A batch of page table entries for a large folio has one memory cgroup [S13]."""
    with machine(design=design, swap=None) as m:
        m.swapon(size="4M", synchronous=True)
        p = m.spawn("app")
        region = p.mmap("16K", order=2)
        p.write(region.start, noise(1) * 4)
        assert m.reclaim() == 4
        entry = p.pte(region.page(2).start).entry
        other = m.memcg("other")
        swap: Any = m.swap
        owner, swap_owner = swap.lookup_swap_cgroup_id(entry), _set_owner(design)
        swap_owner(swap, entry, other.id)
        p.touch(region.page(0))
        assert m.frames[p.pte(region.start).frame or 0].order == 0
        swap_owner(swap, entry, owner)
        assert contents(p, region) == [noise(1)] * 4


def _set_owner(design: str) -> Any:
    def virtual(swap: Any, entry: int, memcgid: int) -> None:
        swap.swap_cgroup_record(memcgid, entry, 1)

    def legacy(swap: Any, entry: int, memcgid: int) -> None:
        info, offset = swap.at(entry)
        info.cgroup[offset] = memcgid

    return virtual if design == "virtual" else legacy


@pytest.mark.parametrize(("slots", "kept"), [(64, 1), (8, 0)])
def test_legacy_keeps_the_slot_of_a_page_that_another_maps_unless_swap_is_half_full(slots: int, kept: int) -> None:
    """``free_swap_and_cache`` frees a mapped page's slot only where swap runs short: data/kernel/phases.csv."""
    with machine(swap=(slots + 1) * PAGE_SIZE, design="legacy", page_cluster=0) as m:  # type: ignore[arg-type]
        p = m.spawn("p")
        region = p.mmap("20K")
        fill(p, region)
        q = p.fork()
        m.reclaim()
        q.touch(region.page(0))
        slot = m.frames[q.pte(region.start).frame or 0].swap
        assert slot
        p.munmap(region.start, PAGE_SIZE)
        assert (m.frames[q.pte(region.start).frame or 0].swap != 0) == kept


# -- reclaim ---------------------------------------------------------------------------------------------------------


def test_cgroups_take_turns_from_one_reclaim_to_the_next() -> None:
    with machine() as m:
        top = m.memcg("top")
        groups = [m.memcg(name, parent=top) for name in ("left", "right")]
        for group in groups:
            p = m.spawn(group.name, memcg=group)
            fill(p, p.mmap("32K"))
        clear_references(m)
        for _ in range(4):
            m.reclaim(pages=1, memcg=top)
        assert [group.nr_pages for group in groups] == [6, 6]


@pytest.mark.parametrize(("evicted", "activated"), [(16, 1), (17, 0)])
def test_a_refault_as_far_off_as_pages_are_active_is_activated_and_no_farther_one(evicted: int, activated: int) -> None:
    """``workingset_refault``: a distance of at most the active pages would have been a hit [BACKGROUND]."""
    with machine(page_cluster=0) as m:
        p = m.spawn("app")
        hot, cold = p.mmap("64K"), p.mmap("256K")
        fill(p, hot)
        lruvec = m.root_memcg.lruvec
        for folio in [folio for folio in m.frames.values() if folio.on_lru]:
            lruvec.remove(folio)
            folio.active = True
            lruvec.add(folio)
        fill(p, cold)
        clear_references(m)
        assert m.reclaim(pages=evicted) == evicted
        assert lruvec.nr_active == 16
        p.touch(cold.page(0))
        assert m.root_memcg.stat("workingset_activate_anon") == activated


def test_an_allocation_gives_up_after_so_many_rounds_that_freed_without_making_room() -> None:
    """Pages that only move into the pool, at full size, make no room: MAX_RECLAIM_RETRIES rounds, each in `max`."""
    m = Machine(ram="16M", zswap={"max_pool_percent": 100}, trace=False)
    group = m.memcg("group", max="4M")
    p = m.spawn("p", memcg=group)
    with pytest.raises(NoMemory):
        fill(p, p.mmap("5M"))
    assert group.stat("pgsteal") == MAX_RECLAIM_RETRIES * SWAP_CLUSTER_MAX
    assert dict(line.split() for line in group.file("memory.events").splitlines())["max"] == str(MAX_RECLAIM_RETRIES)
    m.check()
    m.close()
