"""Small stand-ins for folios and memory cgroups, for tests that drive the swap layer without a machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vswaplab.backends.device import MemoryDevice
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.backends.zswap import Zswap
from vswaplab.legacy.space import LegacySwap
from vswaplab.units import PAGE_SIZE
from vswaplab.virtual.space import VirtualSwap


@dataclass
class KitMemcg:
    id: int = 1
    swap_max: int | None = None
    zswap_allowed: bool = True
    zswap_never: bool = False
    writeback_enabled: bool = True
    ids: int = 0
    swap_charge: int = 0
    zswap_charge: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def get_id(self, nr: int) -> None:
        self.ids += nr

    def put_id(self, nr: int) -> None:
        self.ids -= nr
        assert self.ids >= 0

    def try_charge_swap(self, nr: int) -> bool:
        if self.swap_max is not None and self.swap_charge + nr > self.swap_max:
            return False
        self.swap_charge += nr
        return True

    def uncharge_swap(self, nr: int) -> None:
        self.swap_charge -= nr
        assert self.swap_charge >= 0

    def swap_full(self) -> bool:
        return self.swap_max is not None and 2 * self.swap_charge >= self.swap_max

    def may_zswap(self) -> bool:
        return self.zswap_allowed and not self.zswap_never

    def zswap_disabled(self) -> bool:
        return self.zswap_never

    def charge_zswap(self, nr_bytes: int) -> None:
        self.zswap_charge += nr_bytes

    def uncharge_zswap(self, nr_bytes: int) -> None:
        self.zswap_charge -= nr_bytes
        assert self.zswap_charge >= 0

    def zswap_writeback_enabled(self) -> bool:
        return self.writeback_enabled

    def count(self, item: str, nr: int = 1) -> None:
        self.counts[item] += nr


class KitFolio:
    """A locked, uptodate, dirty folio, as reclaim holds it."""

    def __init__(self, pointer: int, data: bytes = b"", order: int = 0, memcg: KitMemcg | None = None) -> None:
        self.order = order
        self.nr_pages = 1 << order
        self.pointer = pointer
        self.data = bytearray(data or bytes([pointer >> 6 & 0xFF or 1]) * (PAGE_SIZE << order))
        self.memcg = memcg
        self.swap = 0
        self.in_swapcache = False
        self.locked = True
        self.uptodate = True
        self.dirty = True
        self.writeback = False
        self.mapped: tuple[int, ...] = ()
        self.refcount = 1


class Kit:
    """A design of swap with memory cgroups 1 and 2, and folios to feed it."""

    make: Callable[..., Any] = VirtualSwap

    def __init__(
        self,
        slots: int = 0,
        zswap: bool = False,
        cpus: int = 2,
        ram_pages: int = 4096,
        **parts: Any,
    ) -> None:
        self.memcgs = {1: KitMemcg(1), 2: KitMemcg(2)}
        self.devices = SwapDevices(cpus=cpus)
        self.zswap = Zswap(ram_pages) if zswap else None
        self.swap = type(self).make(devices=self.devices, zswap=self.zswap, memcgs=self.memcgs, cpus=cpus, **parts)
        self.device = self.devices.swapon(MemoryDevice((slots + 1) * PAGE_SIZE)) if slots else None
        self._next = 0

    def folio(self, data: bytes = b"", order: int = 0, memcg: int = 1) -> KitFolio:
        self._next += 1 << order
        return KitFolio(0xFFFF_EA00_0000_0000 + 64 * self._next, data, order, self.memcgs[memcg])

    def out(self, data: bytes = b"", order: int = 0, memcg: int = 1, count: int = 1) -> KitFolio:
        """A folio in the swap cache, its entries referred to `count` times each, FOLIO."""
        folio = self.folio(data, order, memcg)
        self.swap.folio_alloc_swap(folio)
        for _ in range(count):
            self.swap.swap_duplicate_nr(folio.swap, folio.nr_pages)
        return folio

    def swapped(self, data: bytes = b"", order: int = 0, memcg: int = 1, count: int = 1) -> int:
        """An entry whose folio was written out and dropped."""
        folio = self.out(data, order, memcg, count)
        entry = int(folio.swap)
        self.swap.swap_writeout(folio)
        self.swap.remove_mapping(folio)
        return entry

    def into_cache(self, entry: int, order: int = 0) -> KitFolio:
        """Pin an entry and put a fresh, not uptodate folio in the swap cache for it."""
        self.swap.swapcache_prepare(entry, 1 << order)
        folio = self.folio(order=order)
        folio.uptodate = folio.dirty = False
        self.swap.swap_cache_add_folio(folio, entry)
        return folio


class LegacyKit(Kit):
    """The same with the legacy design."""

    make = LegacySwap
