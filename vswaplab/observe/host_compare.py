"""A machine's own numbers in both designs: the slots its pages would hold, and the metadata that would cost.

The files of `vswaplab.observe.host` say how many slots are in use and how many pages are in zswap. In the legacy
design each page that is out holds a slot, those in zswap and those that are zero among them; with virtual slots only
what was written to a device does [S3 S10]. What the files do not tell apart (zero pages, and clean pages in memory that
keep a slot) makes the number of the *other* design a bound, and `HostSlots` says which numbers are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vswaplab.backends.swap_cluster import SWAPFILE_CLUSTER
from vswaplab.errors import InvalidArgument
from vswaplab.observe.host import HostSwap
from vswaplab.observe.ledger_mix import MIX_BASELINES, Mix, mix_ledger
from vswaplab.observe.ledger_model import AS_POSTED, Ledger, Mode
from vswaplab.units import PAGE_SIZE

__all__ = ["EVENTS", "HostSlots", "events_between", "host_ledgers", "host_mix", "host_slots"]

EVENTS = (
    "pswpin",
    "pswpout",
    "zswpin",
    "zswpout",
    "zswpwb",
    "swpin_zero",
    "swpout_zero",
    "workingset_refault_anon",
    "workingset_activate_anon",
)
"""Of /proc/vmstat: what goes to and fro while one watches. Not every kernel has them all."""


@dataclass(frozen=True)
class HostSlots:
    """Slots of swap devices that the same pages hold in each design."""

    design: str
    """Of the machine; its number is exact, the other one a bound."""
    used: int
    zswap: int
    """Pages in zswap."""
    legacy: int
    """Exact, or at least so many."""
    virtual: int
    """Exact, or at most so many."""

    @property
    def zswap_share(self) -> float:
        """Pages in zswap for each entry that is out, 0 to 1."""
        return min(1.0, self.zswap / self.legacy) if self.legacy else 0.0


def host_slots(host: HostSwap) -> HostSlots:
    """Return the slots that a machine's pages hold in either design; InvalidArgument if /proc/swaps was not read.

    Pages in zswap count as none if /proc/meminfo does not tell them.
    """
    if host.used is None:
        raise InvalidArgument("This machine does not tell its swap devices, so there are no slots to compare.")
    used, zswap = host.used // host.page_size, (host.zswapped or 0) // host.page_size
    if host.design == "virtual":
        entries = (host.counters or {}).get("vswap/used", 0)
        return HostSlots("virtual", used, zswap, max(entries, used + zswap), used)
    return HostSlots("legacy", used, zswap, used, max(0, used - zswap))


def host_mix(host: HostSwap, mode: Mode = AS_POSTED) -> tuple[Mix, float]:
    """Return the mix and the usage, in percent, that a machine's swap devices come to.

    All devices count as one, in whole clusters; what is not in zswap counts as on disk. InvalidArgument: no device is
    on, or pages are not 4 KiB, for which the ledger has no terms.
    """
    if not host.size:
        raise InvalidArgument("No swap device is on here, so there is no metadata to compare.")
    if host.page_size != PAGE_SIZE:
        raise InvalidArgument(f"The ledger is for pages of {PAGE_SIZE} bytes; this machine's have {host.page_size}.")
    slots = -(-host.size // PAGE_SIZE // SWAPFILE_CLUSTER) * SWAPFILE_CLUSTER
    here = host_slots(host)
    zswap = round(100 * here.zswap_share)
    return Mix(slots, 0, zswap, 100 - zswap, mode=mode, swapfile=True), min(100.0, 100 * here.legacy / slots)


def host_ledgers(host: HostSwap, mode: Mode = AS_POSTED) -> Mapping[str, Ledger]:
    """Return the metadata of a machine's swap devices at their usage, by design; errors as for `host_mix`.

    Beside "legacy", Linux 6.19, and "virtual" stands what mainline is since: "linux-7.2".
    """
    mix, usage = host_mix(host, mode)
    return {design: mix_ledger(design, mix, usage) for design in (*MIX_BASELINES, "virtual")}


def events_between(earlier: HostSwap, later: HostSwap) -> dict[str, int]:
    """Return what was counted between two readings, of `EVENTS`; those that either reading lacks are left out.

    A counter that went down, since the machine was started anew, is left out too.
    """
    before, after = earlier.events or {}, later.events or {}
    moved = {name: after[name] - before[name] for name in EVENTS if name in before and name in after}
    return {name: count for name, count in moved.items() if count >= 0}
