"""The rules of swap that break-it mode can take away, each with what removes it from one machine.

A rule is removed from a machine by replacing one method of one of its objects; all other machines keep it. Each names
the invariant that catches its absence first, in the scenario ``parent_and_child``; a test holds it to that, in each
design it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from vswaplab.mm.machine import Machine
from vswaplab.protocols import Writeout
from vswaplab.virtual.descriptor import IN_SWAPCACHE

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """A rule of the protocol that can be taken away."""

    name: str
    says: str
    """The rule."""
    without: str
    """What goes wrong without it, for the solution."""
    invariant: Mapping[str, str]
    """By design, the invariant that catches it first."""
    remove: Callable[[Machine], None]
    """Take it away from one machine."""

    @property
    def designs(self) -> tuple[str, ...]:
        """The designs that have it."""
        return tuple(self.invariant)


RULES: dict[str, Rule] = {}
"""By name."""


def _rule(name: str, says: str, without: str, **invariant: str) -> Callable[[Callable[[Any], None]], Any]:
    def add(remove: Callable[[Any], None]) -> Any:
        RULES[name] = Rule(name, says, without, MappingProxyType(invariant), remove)
        return remove

    return add


def _skip(*_: Any, **__: Any) -> None:
    """Do nothing where something was to be done."""


# -- counts ------------------------------------------------------------------------------------------------------


@_rule(
    "count-the-duplicate",
    "A fork adds a reference to each swap entry that the child's page table takes over.",
    "Parent and child both hold the entry, its count says one. When one lets go, the entry is freed under the other.",
    virtual="swap-count-is-holders",
    legacy="swap-count-is-holders",
)
def _forget_duplicates(machine: Any) -> None:
    swap, duplicate = machine.swap, machine.swap.swap_duplicate_nr

    def only_the_first(entry: int, nr: int) -> None:
        for each in range(entry, entry + nr):
            if not swap.swp_swapcount(each):
                duplicate(each, 1)

    swap.swap_duplicate_nr = only_the_first


@_rule(
    "drop-the-count",
    "A page table entry that goes, or gets its page back, drops its reference.",
    "The count never falls to 0, so the entry and what backs it are never freed: a leak.",
    virtual="swap-count-is-holders",
    legacy="swap-count-is-holders",
)
def _forget_puts(machine: Any) -> None:
    machine.swap.swap_free_nr = _skip


@_rule(
    "free-with-the-last",
    "An entry is freed with its last reference, not before.",
    "The first of two holders to go frees the entry; the other's page table entry leads to a slot that is not there.",
    virtual="no-pte-holds-a-freed-entry",
)
def _free_with_the_first(machine: Any) -> None:
    swap, drop = machine.swap, machine.swap._drop_counts

    def drop_all(entry: int, nr: int) -> Any:
        for each in range(entry, entry + nr):
            swap.cluster_of(each)
            if not swap.is_swap_cached(each):
                swap.desc.count[each] = min(1, swap.desc.count[each])
        return drop(entry, nr)

    swap._drop_counts = drop_all


# -- the swap cache ----------------------------------------------------------------------------------------------


@_rule(
    "keep-the-pin",
    "A folio in the swap cache keeps its entries pinned (in_swapcache).",
    "The entry loses its only reference while its folio still points to it.",
    virtual="folio-is-pinned",
)
def _drop_the_pin(machine: Any) -> None:
    swap, add = machine.swap, machine.swap.swap_cache_add_folio

    def add_unpinned(folio: Any, entry: int) -> Any:
        shadow = add(folio, entry)
        if folio in machine.frames.values():  # write-back's own page is gone before anybody looks
            for each in range(entry, entry + folio.nr_pages):
                swap.desc.flags[each] &= ~IN_SWAPCACHE
        return shadow

    swap.swap_cache_add_folio = add_unpinned


@_rule(
    "leave-a-shadow",
    "A folio that leaves the swap cache is replaced by its shadow.",
    "The descriptor still points to a folio that is gone: the next look-up follows it into freed memory.",
    virtual="folio-lives",
    legacy="folio-is-pinned",
)
def _leave_the_pointer(machine: Any) -> None:
    machine.swap._set_cache_words = _skip


@_rule(
    "write-before-dropping",
    "A folio that is the only copy of its contents is written out before it goes.",
    "The page table leads to an entry that nothing backs. The page is lost.",
    virtual="FOLIO-has-a-folio",
    legacy="contents-are-somewhere",
)
def _drop_unwritten(machine: Any) -> None:
    swap = machine.swap

    def pretend(folio: Any) -> Writeout:
        folio.dirty = False
        return Writeout.WRITTEN

    swap.swap_writeout = pretend
    swap._only_copy = lambda entry, folio: False


# -- backings ----------------------------------------------------------------------------------------------------


@_rule(
    "free-the-old-copy",
    "A compressed copy is freed when something else backs its entry, or its entry goes.",
    "zswap keeps a stale copy that no descriptor leads to: memory that is never given back.",
    virtual="every-zswap-entry-is-indexed",
    legacy="every-zswap-entry-is-indexed",
)
def _keep_stale_copies(machine: Any) -> None:
    machine.zswap.free = _skip


@_rule(
    "free-the-slot",
    "A physical slot is freed when its entry goes or gets another backing.",
    "The slot stays taken though no descriptor names it; the swapfile fills up and swapoff can't empty it.",
    virtual="allocated-slot-is-owned",
)
def _leak_slots(machine: Any) -> None:
    machine.devices.free_slots = _skip


@_rule(
    "free-once",
    "A backing is freed once, with its entry.",
    "The slot is free on the device while a descriptor names it: the next page written there replaces the contents.",
    virtual="slot-bit-is-set",
)
def _free_early(machine: Any) -> None:
    swap, remove = machine.swap, machine.swap.remove_mapping

    def remove_and_free(folio: Any, shadow: int = 0) -> None:
        entry = folio.swap
        remove(folio, shadow)
        slot = swap.swp_entry_to_swp_slot(entry)
        if slot:
            machine.devices.free_slots(slot, 1)

    swap.remove_mapping = remove_and_free


@_rule(
    "look-before-calling-it-zero",
    "Only a page that holds nothing but zeros gets the type ZERO.",
    "Every page is taken for zeros and reads back as zeros. No structure is wrong; only a reader can tell.",
    virtual="contents",
    legacy="contents",
)
def _all_are_zero(machine: Any) -> None:
    swap = machine.swap

    def write_zero(folio: Any) -> Writeout:
        if swap.folio_free_swap(folio):
            return Writeout.FREED
        swap.swap_zeromap_folio_set(folio)
        folio.dirty = False
        return Writeout.WRITTEN

    swap.swap_writeout = write_zero


@_rule(
    "erase-from-the-tree",
    "In the legacy design a slot that is freed takes its compressed copy out of zswap's tree.",
    "The tree leads from a free slot to a stale copy: who gets the slot next reads another's page.",
    legacy="compressed-slot-is-in-use",
)
def _keep_in_tree(machine: Any) -> None:
    machine.swap._erase_zswap = _skip


# -- the way back from the device ----------------------------------------------------------------------------------


@_rule(
    "set-the-rmap",
    "A physical slot that is given to an entry notes which: the rmap.",
    "Nothing leads from the slot back to its entry: readahead and swapoff can't find whose it is.",
    virtual="rmap-points-back",
)
def _skip_rmap(machine: Any) -> None:
    machine.swap.vswap_rmap_set = _skip


@_rule(
    "mark-cache-only",
    "A slot whose entry is left to the swap cache alone is marked so (bit 63 of its rmap word).",
    "The physical allocator, short of slots, can't tell which it could have back at once.",
    virtual="cache-only-bit",
)
def _skip_cache_only(machine: Any) -> None:
    machine.swap.swap_rmap_mark = _skip


@_rule(
    "clear-cache-only",
    "The mark goes when a page table takes the entry up again.",
    "The allocator takes the slot for one that only the cache keeps, while a page table depends on it.",
    virtual="cache-only-bit",
)
def _keep_cache_only(machine: Any) -> None:
    machine.swap.swap_rmap_clear = _skip


# -- clusters ----------------------------------------------------------------------------------------------------


@_rule(
    "blank-the-descriptor",
    "A freed slot's descriptor is all zeros.",
    "The next owner of the slot inherits a type and a memory cgroup.",
    virtual="free-slot-is-blank",
)
def _leave_descriptor(machine: Any) -> None:
    swap, free = machine.swap, machine.swap.vswap_free_nr

    def free_and_leave(cluster: Any, entry: int, nr: int) -> None:
        kept = [swap.desc.memcgid[each] or 1 for each in range(entry, entry + nr)]
        free(cluster, entry, nr)
        if cluster.count:  # else its memory went with it
            for each, memcgid in zip(range(entry, entry + nr), kept, strict=True):
                swap.desc.memcgid[each] = memcgid

    swap.vswap_free_nr = free_and_leave


@_rule(
    "count-what-is-freed",
    "Slots given back are taken off the number in use.",
    "vswap/used only ever grows.",
    virtual="used-is-sum-of-counts",
)
def _never_uncount(machine: Any) -> None:
    allocator, release = machine.swap.allocator, machine.swap.allocator.release

    def release_uncounted(cluster: Any, index: int, nr: int, cpu: int) -> None:
        release(cluster, index, nr, cpu)
        allocator.used += nr

    allocator.release = release_uncounted


@_rule(
    "hold-what-is-looked-up",
    "The look-up cache of a CPU holds a reference to the cluster that it remembers.",
    "The cluster may be freed while a CPU still goes to it without asking.",
    virtual="refcnt",
)
def _remember_without_holding(machine: Any) -> None:
    allocator, find = machine.swap.allocator, machine.swap.allocator.find

    def find_unheld(entry: int, cpu: int) -> Any:
        before = allocator.looked_up[cpu]
        cluster = find(entry, cpu)
        if cluster is not None and cluster is not before:
            cluster.pins -= 1
        return cluster

    allocator.find = find_unheld


# -- charges -----------------------------------------------------------------------------------------------------


@_rule(
    "uncharge-the-slot",
    "A physical slot that is freed is taken off memory.swap.current.",
    "The cgroup pays for swap that it no longer has, until its limit stops it.",
    virtual="swap-charge",
    legacy="swap-charge",
)
def _keep_swap_charge(machine: Any) -> None:
    machine.root_memcg.uncharge_swap = _skip


@_rule(
    "uncharge-the-copy",
    "A compressed copy that is freed is taken off memory.zswap.current.",
    "The cgroup pays for memory that was given back.",
    virtual="zswap-charge",
    legacy="zswap-charge",
)
def _keep_zswap_charge(machine: Any) -> None:
    machine.root_memcg.uncharge_zswap = _skip
