"""What backs a slot, and how that changes: the state machine of the four backings [S10 S13 S14].

    allocate -> FOLIO -> ZERO | ZSWAP | SWAPFILE, and back: see section 3.8 of docs/facts.md

One rule holds for every change: the folio is locked and in the swap cache, or nothing refers to the entry any more.
Everybody else may read the type, but only as a hint.
"""

from __future__ import annotations

from vswaplab.backends.swapfile import SwapFile
from vswaplab.entry import VSWAP_CLUSTER_SHIFT, Backing, swp_slot_t
from vswaplab.errors import InvalidArgument
from vswaplab.events import Event
from vswaplab.protocols import FolioLike
from vswaplab.virtual.descriptor import (
    TYPE_FOLIO,
    TYPE_MASK,
    TYPE_SHIFT,
    TYPE_SWAPFILE,
    TYPE_ZERO,
    TYPE_ZSWAP,
)
from vswaplab.virtual.swapcache import SwapCache

__all__ = ["Backings"]


class Backings(SwapCache):
    """Transitions between backings, and questions about the backing of a range."""

    # -- transitions ---------------------------------------------------------------------------------------------

    def _may_change(self, folio: FolioLike, entry: int, nr: int) -> None:
        self._require(
            folio.locked and folio.in_swapcache and folio.swap <= entry and entry + nr <= folio.swap + folio.nr_pages,
            f"The backing of entry {entry} may change only under the lock of its folio in the swap cache",
        )

    def _holder(self, entry: int) -> FolioLike:
        folio = self.swap_cache_get_folio(entry)
        if folio is None:
            raise InvalidArgument(f"Entry {entry} has no folio in the swap cache, so its backing may not change.")
        return folio

    def _set_backing(self, entry: int, kind: Backing, handle: int, value: int = 0) -> None:
        desc = self.desc
        flags = desc.flags[entry]
        desc.flags[entry] = flags & ~TYPE_MASK | kind << TYPE_SHIFT
        desc.handle[entry] = handle
        if self.record is not None:
            self.record(Event.BACKING, entry, old=flags >> TYPE_SHIFT & 3, new=kind, slot=handle, value=value)

    def vswap_store_folio(self, entry: int, folio: FolioLike) -> None:
        """Release what backs the folio's entries; from now on the locked folio itself is the backing (FOLIO)."""
        self._require(folio.swap == entry, f"The folio is that of swap entry {folio.swap}, not of {entry}")
        self._may_change(folio, entry, folio.nr_pages)
        self._release_to(folio, Backing.FOLIO)

    def _release_to(self, folio: FolioLike, kind: Backing) -> None:
        self.release_backing(folio.swap, folio.nr_pages)
        for each in range(folio.swap, folio.swap + folio.nr_pages):
            self._set_backing(each, kind, 0)

    def vswap_prepare_writeout(self, folio: FolioLike) -> None:
        """Before a folio is written out: keep a contiguous run of physical slots, release anything else to FOLIO."""
        entry, nr = folio.swap, folio.nr_pages
        self._may_change(folio, entry, nr)
        if not self.vswap_swapfile_backed(entry, nr) and not self.vswap_folio_backed(entry, nr):
            self._release_to(folio, Backing.FOLIO)

    def swap_zeromap_folio_set(self, folio: FolioLike) -> None:
        """The folio holds only zeros: release its backing, type ZERO.

        swpout_zero is counted to the memory cgroup that pays for the folio, whoever owns its entries [S10].
        """
        self._may_change(folio, folio.swap, folio.nr_pages)
        self._release_to(folio, Backing.ZERO)
        self._count(folio.memcg, "swpout_zero", folio.nr_pages)

    def zswap_entry_store(self, entry: int, zswap_entry: int) -> None:
        """One slot is backed by a zswap entry from now on; its old backing is released."""
        assert self.zswap is not None
        self._may_change(self._holder(entry), entry, 1)
        self.release_backing(entry, 1)
        self._set_backing(entry, Backing.ZSWAP, zswap_entry, self.zswap.length(zswap_entry))

    def zswap_entry_load(self, entry: int) -> int | None:
        """Return the zswap entry that backs a slot, or None if something else does."""
        if self._exists(entry) and self.desc.flags[entry] & TYPE_MASK == TYPE_ZSWAP:
            return self.desc.handle[entry]
        return None

    def vswap_alloc_swap_slot(self, folio: FolioLike) -> swp_slot_t:
        """Give a cached folio physical backing, and return its first slot; 0 if there is no run or no charge for it.

        If the folio has physical backing, that is returned. Otherwise all its entries must be FOLIO (zswap declined) or
        all ZSWAP (write-back); what backed them before is *not* freed, it is the caller's.
        """
        entry, nr, desc = folio.swap, folio.nr_pages, self.desc
        self._may_change(folio, entry, nr)
        kind = desc.flags[entry] & TYPE_MASK
        if kind == TYPE_SWAPFILE:
            return swp_slot_t(desc.handle[entry])
        uniform = all(desc.flags[each] & TYPE_MASK == kind for each in range(entry, entry + nr))
        self._require(uniform and kind != TYPE_ZERO, f"Entry {entry}: only FOLIO or ZSWAP may become SWAPFILE")
        slot = self.devices.alloc_slot(folio.order, self.cpu)
        if not slot:
            return swp_slot_t(0)
        memcg = self._memcg_of(entry)
        if memcg is not None and not memcg.try_charge_swap(nr):
            self.devices.free_slots(slot, nr)
            return swp_slot_t(0)
        self.vswap_rmap_set(slot, entry, nr)
        for i in range(nr):
            self._set_backing(entry + i, Backing.SWAPFILE, slot + i)
            if desc.count[entry + i] == 0:
                self.swap_rmap_mark(slot + i)
        return slot

    # -- questions -----------------------------------------------------------------------------------------------

    def vswap_check_backing(self, entry: int, nr: int) -> tuple[int, Backing]:
        """Return how many of `nr` entries have one kind of backing, contiguous where that means something, and which.

        A hint only, unless the caller holds the pin or the folio lock.
        """
        self.cluster_of(entry)
        desc = self.desc
        kind, handle, cache = desc.flags[entry] & TYPE_MASK, desc.handle[entry], desc.cache[entry]

        def same(i: int) -> bool:
            each = entry + i
            if (i and not self._exists(each)) or desc.flags[each] & TYPE_MASK != kind:
                return False
            if kind == TYPE_SWAPFILE:
                return desc.handle[each] == handle + i
            return kind != TYPE_FOLIO or desc.cache[each] == cache

        return self._prefix(nr, same), Backing(kind >> TYPE_SHIFT)

    def vswap_swapfile_backed(self, entry: int, nr: int) -> bool:
        """Whether all of `nr` entries are backed by one contiguous run of physical slots."""
        return self.vswap_check_backing(entry, nr) == (nr, Backing.SWAPFILE)

    def vswap_folio_backed(self, entry: int, nr: int) -> bool:
        """Whether all of `nr` entries are backed by one folio in memory."""
        return self.vswap_check_backing(entry, nr) == (nr, Backing.FOLIO)

    def vswap_can_swapin_thp(self, entry: int, nr: int) -> bool:
        """Whether `nr` entries may be read as one large folio: all ZERO, or one contiguous run of physical slots."""
        if not self._exists(entry):
            return False
        return self.vswap_check_backing(entry, nr) in ((nr, Backing.ZERO), (nr, Backing.SWAPFILE))

    can_swapin_thp = vswap_can_swapin_thp

    def swap_zeromap_batch(self, entry: int, max_nr: int) -> tuple[int, bool]:
        """Return how many entries agree with the first on being ZERO or not, and whether they are."""
        self.cluster_of(entry)
        desc = self.desc
        zero = desc.flags[entry] & TYPE_MASK == TYPE_ZERO
        agree = self._prefix(
            max_nr, lambda i: self._exists(entry + i) and (desc.flags[entry + i] & TYPE_MASK == TYPE_ZERO) == zero
        )
        return agree, zero

    def may_free_after_swapin(self, folio: FolioLike, owner_writes: bool = False) -> bool:
        """Whether swap may be freed as soon as a folio is in: yes, unless a clean drop could use the slot again [S13].

        Physical backing is given up too when swap, or the cgroup's share of it, is at least half full, and when the
        only owner of the folio is about to write to it (`owner_writes`). C name: ``should_try_to_free_swap``.
        """
        if not folio.in_swapcache:
            return False
        if self._swap_full(folio) or not self.vswap_swapfile_backed(folio.swap, folio.nr_pages):
            return True
        return owner_writes

    def tryget_swap_entry(self, entry: int) -> tuple[bool, SwapFile | None]:
        """Pin an entry's cluster, and its device if it has physical backing now; the backing may change right after.

        Return (False, None) if the cluster is gone. Give both back with `put_swap_entry`.
        """
        cluster = self.allocator.find(entry, self.cpu) if entry > 0 else None
        if cluster is None:
            return False, None
        cluster.refcnt += 1
        cluster.pins += 1
        slot = self.swp_entry_to_swp_slot(entry)
        if not slot:
            return True, None
        device = self.devices[slot.type]
        self.device_pins[slot.type] = self.device_pins.get(slot.type, 0) + 1
        return True, device

    def put_swap_entry(self, entry: int, si: SwapFile | None) -> None:
        """Give a pin back, with the entry it was taken for; the cluster may go with it."""
        cluster = self.clusters.get(entry >> VSWAP_CLUSTER_SHIFT)
        self._require(cluster is not None and cluster.pins > 0, f"Entry {entry} is not pinned")
        assert cluster is not None
        if si is not None:
            self.device_pins[si.type] -= 1
        cluster.pins -= 1
        self.allocator.put(cluster)
        if cluster.count == 0 and self.allocator.looked_up[self.cpu] is cluster:
            self.allocator.drop_lookup(self.cpu)
