"""Allocation: a folio within the limits of the machine and of memory cgroups, by direct reclaim if need be.

Out of memory is an error that says what is full, never a loop: reclaim is repeated only as long as it makes the
memory in use shrink. Pages that merely move from a folio into the compressed pool, at full size, are no progress.
"""

from __future__ import annotations

from vswaplab.errors import NoMemory, OutOfMemory
from vswaplab.mm.folio import Folio
from vswaplab.mm.kswapd import MAX_IDLE_ROUNDS, MAX_RECLAIM_RETRIES, Kswapd
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.reclaim import SWAP_CLUSTER_MAX
from vswaplab.units import PAGE_SHIFT, format_size

__all__ = ["MAX_IDLE_ROUNDS", "MAX_RECLAIM_RETRIES", "Allocation"]


class Allocation(Kswapd):
    """Folios for faults."""

    def _fits(self, nr: int, memcg: Memcg) -> bool:
        """Whether `nr` pages are there for a cgroup without reclaim."""
        return self.used_pages + nr <= self.ram_pages - self.watermarks.min and memcg.over_limit(nr) is None

    def _alloc_folio(self, order: int, memcg: Memcg, retries: int = MAX_RECLAIM_RETRIES) -> Folio:
        """Return a folio of zeros charged to `memcg`, with one reference: the caller's.

        NoMemory when `retries` rounds of reclaim in a row have made no progress (OutOfMemory, which is one, when it is
        the machine that is full); then nothing has changed but what reclaim has moved.
        """
        nr = 1 << order
        while (full := memcg.over_limit(nr)) is not None:
            self._make_room(nr, full, retries)
        if self.used_pages + nr > self.ram_pages - self.watermarks.min:
            self._make_room(nr, self.root_memcg, retries)
        folio = self._new_folio(order, memcg)
        folio.refcount = 1
        if self.memcgs.any_high or self.watermarks.low:
            self._after_charge(nr, memcg)
        return folio

    def _make_room(self, nr: int, full: Memcg, retries: int) -> None:
        """Reclaim below `full` (the root: in the whole machine) until `nr` more pages fit; NoMemory if they won't.

        A cgroup counts `max` for each round. `oom` is for its failure, but not if the caller, who only wanted a large
        folio, can do without [BACKGROUND].
        """
        best, left, idle = self._usage(full), retries, 0
        errors = [(si.device, si.device.write_errors) for si in self.devices]
        while best + nr > self._limit(full):
            if full is self.root_memcg:
                self.vm_events["allocstall_movable"] += 1
            else:
                full.count("max")
            freed = self._try_to_free_pages(max(nr, SWAP_CLUSTER_MAX), full)
            usage = self._usage(full)
            if usage < best:
                best, left, idle = usage, retries, 0
                continue
            idle = 0 if freed else idle + 1
            left -= 1
            if left <= 0 or idle >= MAX_IDLE_ROUNDS:
                if full is not self.root_memcg and retries > 1:
                    full.count("oom")
                failed = next((device for device, before in errors if device.write_errors > before), None)
                error = OutOfMemory if full is self.root_memcg else NoMemory
                raise error(self._out_of_memory(nr, full, "" if failed is None else failed.last_write_error))

    def memcg_limit_lowered(self, memcg: Memcg, hard: bool) -> None:
        """Reclaim what a cgroup has over the memory.max (`hard`) or memory.high that was just set; what can't be had
        stays. For memory.max that counts as `oom`: Linux would begin to kill.
        """
        limit = memcg.max if hard else memcg.high
        if limit is None:
            return
        best, idle = memcg.usage_pages, 0
        while best > limit >> PAGE_SHIFT and idle < MAX_IDLE_ROUNDS:
            self._try_to_free_pages(best - (limit >> PAGE_SHIFT), memcg)
            idle = 0 if memcg.usage_pages < best else idle + 1
            best = min(best, memcg.usage_pages)
        if hard and memcg.usage_pages > limit >> PAGE_SHIFT:
            memcg.count("oom")
        self._drain_released()

    def _usage(self, memcg: Memcg) -> int:
        return self.used_pages if memcg is self.root_memcg else memcg.usage_pages

    def _limit(self, memcg: Memcg) -> int:
        return self.ram_pages - self.watermarks.min if memcg.max is None else memcg.max >> PAGE_SHIFT

    def _out_of_memory(self, nr: int, full: Memcg, write_error: str) -> str:
        """Say what is full and what to do; `write_error` is why pages could not be written to their device."""
        what = "the machine" if full is self.root_memcg else f"memory cgroup {full.path}"
        knob = "ram" if full is self.root_memcg else "memory.max"
        usage, limit = self._usage(full), format_size(self._limit(full) << PAGE_SHIFT)
        pool = self.zswap.pool_pages if self.zswap is not None else 0
        held = f"{usage} pages of {limit} in use" + (f", the zswap pool holds {pool}" if pool else "")
        room = self.devices.free_pages
        begin = f"Out of memory: {nr} more page{'s' * (nr > 1)} for {what}, {held}, and"
        if write_error:
            return f"{begin} pages can't be swapped out, though {room} slots are free. {write_error}"
        if room:
            way = f"what is left can't be swapped out ({room} slots are free)"
            advice = f"give more {knob}, or raise what keeps pages in (memory.swap.max, memory.zswap.max, writeback)"
        else:
            way = "there is no free swap slot"
            advice = f"swap on another device, give more {knob}, or unmap something"
        return f"{begin} {way}; {advice}."
