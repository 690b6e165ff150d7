"""Invariants of the machine, each by name: page tables against folios, references, LRU lists, accounts.

`check_machine` first has the swap layer, the devices and zswap check themselves.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from vswaplab.entry import PTE_POISON, PTE_PRESENT, PTE_WRITE, pte_to_entry, pte_to_frame
from vswaplab.errors import InvariantError, NotFound, hold
from vswaplab.mm.memcg_invariants import check_memcgs
from vswaplab.mm.page_table import maps_frame
from vswaplab.units import ZERO_PAGE

if TYPE_CHECKING:
    from vswaplab.backends.zswap import Zswap
    from vswaplab.mm.folio import Folio
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.memcg import Memcg
    from vswaplab.mm.process import Mapper

__all__ = ["check_machine"]


def check_machine(machine: Machine) -> None:
    """Check every invariant; InvariantError names the first one broken. O(PTEs + folios + slots)."""
    machine.swap.check()
    machine.devices.check()
    if machine.zswap is not None:
        machine.zswap.check()
    holders: Counter[int] = Counter()
    maps: Counter[int] = Counter()
    for pid, process in machine.processes.items():
        hold(process.alive and process.pid == pid, "process-lives", repr(process))
        _check_page_table(machine, process, holders, maps)
        swapped = process.mm.swap_pages > 0
        hold(process.mm.on_mmlist or not swapped, "swapped-mm-is-listed", f"{process!r} is not on the mmlist")
    for file in machine.shmem_files.values():
        _check_page_table(machine, file, holders, maps)
        listed = file in machine.shmem_swaplist
        hold(listed or not file.swapped_pages, "swapped-file-is-listed", f"{file!r} is not on the shmem swap list")
    _check_entries(machine, holders)
    _check_frames(machine, maps)
    _check_accounts(machine)


def _check_page_table(machine: Machine, process: Mapper, holders: Counter[int], maps: Counter[int]) -> None:
    table = process.mm.page_table
    _check_tables(process)
    where = f"PTE of page {{:#x}} of process {process.pid}"
    _check_zero_pages(machine, process)
    for vpn, pte in table.walk(leave_out=machine.zero_folio.pfn):
        hold(process.mm.find(vpn) is not None, "pte-within-a-region", where, vpn)
        if pte == PTE_POISON:
            continue
        if not pte & PTE_PRESENT:
            holders[pte_to_entry(pte)] += 1
            continue
        frame = pte_to_frame(pte)
        folio = machine.frames.get(frame)
        hold(folio is not None, "pte-maps-a-live-frame", where + " maps frame {:#x}", vpn, frame)
        assert folio is not None
        index = frame - folio.pfn
        known = folio.mapped.get((process.pid, vpn)) == index
        hold(known, "folio-knows-its-ptes", where + " maps page {} of {!r}", vpn, index, folio)
        hold(folio.uptodate, "mapped-folio-is-uptodate", where + " maps {!r}", vpn, folio)
        maps[id(folio)] += 1
        if pte & PTE_WRITE:
            ours = folio is not machine.zero_folio and folio.mapcount(index) == 1
            hold(ours, "writable-pte-is-alone", where + " may write {!r}", vpn, folio)


def _check_zero_pages(machine: Machine, process: Mapper) -> None:
    """PTEs of the zero page lie within regions and are write-protected; its rmap does not list them."""
    for base, ptes in process.mm.page_table.leaves():
        zero = np.flatnonzero(maps_frame(ptes, machine.zero_folio.pfn))
        if len(zero):
            detail = f"process {process.pid} may write the zero page near {base:#x}"
            hold(not (ptes[zero] & np.uint64(PTE_WRITE)).any(), "writable-pte-is-alone", detail)
            ends = (int(base + zero[0]), int(base + zero[-1]))
            within = all(process.mm.find(vpn) is not None for vpn in ends)
            hold(within, "pte-within-a-region", f"process {process.pid} maps the zero page in {ends}")


def _check_tables(process: Mapper) -> None:
    """Each table holds something, and `nr_tables` is their number."""
    table = process.mm.page_table
    leaves = [base for base, ptes in table.leaves() if ptes.any()]
    held = {(shift, base >> shift) for base in leaves for shift in (9, 18, 27)}
    detail = f"process {process.pid} counts {table.nr_tables} tables, its PTEs need {len(held) + 1}"
    hold(table.nr_tables == len(held) + 1, "page-tables-counted", detail)
    vmas = process.mm.vmas
    apart = all(first.end <= second.start for first, second in pairwise(vmas))
    hold(apart, "regions-sorted-and-apart", f"process {process.pid}: {vmas}")


def _check_entries(machine: Machine, holders: Counter[int]) -> None:
    """swap_count of every entry is the number of PTEs that hold it; no PTE holds an entry that is not there."""
    for entry, nr in holders.items():
        try:
            count = machine.swap.lookup(entry).swap_count
        except NotFound:
            raise InvariantError("no-pte-holds-a-freed-entry", f"{nr} PTEs hold entry {entry}") from None
        hold(count == nr, "swap-count-is-holders", f"entry {entry}: swap_count {count}, held by {nr} PTEs")
    swap: Any = machine.swap
    total = sum(swap.lookup(entry).swap_count for entry in swap.entries())
    hold(total == holders.total(), "every-count-has-a-pte", f"counts sum to {total}, PTEs are {holders.total()}")


def _check_frames(machine: Machine, maps: Counter[int]) -> None:
    for frame, folio in machine.frames.items():
        if frame != folio.pfn:
            within = folio.pfn <= frame < folio.pfn + folio.nr_pages and machine.frames.get(folio.pfn) is folio
            hold(within, "frame-within-its-folio", "frame {:#x} belongs to {!r}", frame, folio)
            continue
        mapped = len(folio.mapped)
        hold(maps[id(folio)] == mapped, "folio-mappings-exist", "{!r}: {} PTEs map it", folio, maps[id(folio)])
        references = mapped + (folio.nr_pages if folio.in_swapcache else 0)
        hold(folio.refcount == references, "refcount", "{!r} should have {} references", folio, references)
        if folio is machine.zero_folio:
            hold(folio.data == ZERO_PAGE, "zero-page-is-zero", "somebody wrote to the zero page")
            continue
        hold(references > 0, "unreferenced-folio-is-freed", "{!r}", folio)
        hold(not folio.locked and not folio.writeback, "folio-at-rest", "{!r} is busy between operations", folio)
        _check_cached(machine, folio)


def _check_cached(machine: Machine, folio: Folio) -> None:
    """The entries of a folio in the swap cache lead to it, and a folio that is not there has none."""
    if not folio.in_swapcache:
        hold(folio.swap == 0, "no-entry-outside-the-swap-cache", "{!r} has entry {}", folio, folio.swap)
        return
    for entry in range(folio.swap, folio.swap + folio.nr_pages):
        found = machine.swap.swap_cache_get_folio(entry)
        hold(found is folio, "swap-cache-points-back", "entry {} of {!r} leads to {!r}", entry, folio, found)


def _check_accounts(machine: Machine) -> None:
    folios = {id(folio): folio for folio in machine.frames.values() if folio is not machine.zero_folio}
    pages = sum(folio.nr_pages for folio in folios.values())
    hold(machine.folio_pages == pages, "folio-pages", f"counted {machine.folio_pages}, there are {pages}")
    hold(len(machine.frames) == pages + 1, "frames-in-use", f"{len(machine.frames)} frames for {pages} pages")
    listed: set[int] = set()
    for memcg in machine.root_memcg.subtree():
        _check_lru(memcg, listed)
    hold(listed == folios.keys(), "every-folio-is-listed-once", f"{len(folios)} folios, {len(listed)} on the LRU lists")
    _check_charges(machine, list(folios.values()))
    check_memcgs(machine)


def _check_lru(memcg: Memcg, listed: set[int]) -> None:
    lruvec = memcg.lruvec
    for active, folios, counted in (
        (False, lruvec.inactive, lruvec.nr_inactive),
        (True, lruvec.active, lruvec.nr_active),
    ):
        for folio in folios:
            hold(id(folio) not in listed, "every-folio-is-listed-once", "{!r} is listed twice", folio)
            listed.add(id(folio))
            rule = folio.on_lru and folio.active == active and folio.memcg is memcg
            hold(rule, "folio-on-its-own-list", "{!r} is on a list of {}", folio, memcg.path)
        pages = sum(folio.nr_pages for folio in folios)
        hold(pages == counted, "lru-size", f"{memcg.path}: counted {counted}, there are {pages}")


def _check_charges(machine: Machine, folios: list[Folio]) -> None:
    charged: Counter[int] = Counter()
    for folio in folios:
        assert folio.memcg is not None
        for memcg in folio.memcg.lineage():
            charged[memcg.id] += folio.nr_pages
    for memcg in machine.memcgs:
        hold(memcg.nr_pages == charged[memcg.id], "memcg-charge", f"{memcg!r} pays for {charged[memcg.id]} pages")
        hold(memcg.swap_pages >= 0 and memcg.zswap_bytes >= 0, "memcg-charge", f"{memcg!r} has a negative charge")
    used = sum(device.inuse_pages for device in machine.devices)
    total = machine.root_memcg.swap_pages
    hold(total == used, "swap-charge", f"cgroups pay for {total} slots, {used} are in use")
    if machine.zswap is not None:
        _check_zswap_charges(machine, machine.zswap)


def _check_zswap_charges(machine: Machine, zswap: Zswap) -> None:
    stored, pages = zswap.stored_pages, machine.root_memcg.zswap_stored
    hold(stored == pages, "zswap-charge", f"cgroups pay for {pages} compressed pages, {stored} are stored")
    charged: Counter[Memcg] = Counter()
    for memcgid, nr_bytes in zswap.charges().items():
        for memcg in machine.memcgs[memcgid].lineage():
            charged[memcg] += nr_bytes
    for memcg in machine.memcgs:
        detail = f"{memcg!r} pays for {memcg.zswap_bytes} bytes, its entries have {charged[memcg]}"
        hold(memcg.zswap_bytes == charged[memcg], "zswap-charge", detail)
