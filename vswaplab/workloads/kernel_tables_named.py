"""Which cells of the tables measured on real kernels are not held equal to the model's, and why: one place for all.

`SWAPOUT_NAMED` is for ``swapout_by_content.csv``, `PHASES_NAMED` for ``phases.csv``; the first exemption that matches a
cell counts. What lies between the two numbers is bounded wherever the reason says how far they may be apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vswaplab.workloads.corpus import MIX_PAGES
from vswaplab.workloads.counters import EVENTS
from vswaplab.workloads.kernel_tables_cells import Exemption

__all__ = ["BYTES", "PHASES", "PHASES_NAMED", "SHARED_PAGES", "SLOTS_AHEAD", "SWAPOUT_NAMED"]

BYTES = ("zswap_pool_total_bytes", "cg_zswap_bytes")
"""Columns in bytes: equal but for what the compressor's library makes of the pages."""
SHARED_PAGES = 512
"""Pages that a parent shares with its children in the fork scenario."""
PHASES = ("0forked", "1out", "2kid0_read", "3kid0_written", "4parent_read", "5kids_gone", "6end")
"""Of the fork scenario; without children there is no 2 and no 3."""
SLOTS_AHEAD = 63
"""Slots that Linux 6.12 may hold ahead on one CPU: it takes, and gives back, 64 at a time."""

SWAPOUT_NAMED = (
    Exemption(
        ("all_written_slots", "all_written_stored", "all_written_vswap_used"),
        "What a write fault frees differs by version of the kernel (7.3 all, 6.12 most, 7.2 none): there is no rule.",
        always=True,
    ),
    Exemption(
        ("half_read_d_pswpin",),
        "It is 0 in every row, also where 1,024 pages came back that had gone to the device; the table does not say "
        "whether they were still in memory or were not counted.",
        low=-MIX_PAGES // 2,
        high=0,
        always=True,
    ),
    Exemption(
        ("cg_swap_pages",),
        "The kernel measured charges a memory cgroup for virtual slots, posted v6 for physical ones alone [S17].",
        {"kernel": "*+vswap*"},
        low=0,
        high=MIX_PAGES,
        always=True,
    ),
    Exemption(
        ("swapfile_slots_used", "half_read_slots"),
        "Linux 6.12 takes slots ahead, 64 at a time for each CPU: 12 more than pages here, the model none.",
        {"kernel": "6.12*"},
        low=0,
        high=SLOTS_AHEAD,
    ),
    Exemption(
        BYTES,
        "lzo-rle has no counterpart in Python: the row is run with lz4, whose bytes are others.",
        {"compressor": "lzo-rle"},
        always=True,
    ),
)

_BACK = PHASES[2:]
_SLOTS = ("slots_used_vda", "cg_swap_pages")
_CACHED = ("vswap_used", "vswap_back_zero", "vswap_back_folio", "nr_swapcached")
_NOW = ("zswap_stored", "pool_total_bytes", "nr_swapcached", "cg_anon_pages", "cg_swap_pages", "cg_zswap_bytes")
_VSWAP = ("vswap_used", "vswap_back_zswap", "vswap_back_zero", "vswap_back_swapfile", "vswap_back_folio")


def _at(phases: Iterable[str], columns: tuple[str, ...], reason: str, **more: Any) -> Iterator[Exemption]:
    """Yield an exemption of the fork scenario for each of some phases; keywords as for `Exemption`."""
    where = {"scenario": "fork", **more.pop("where", {})}
    for phase in phases:
        yield Exemption(columns, reason, {**where, "phase": phase}, **more)


PHASES_NAMED = (
    Exemption(
        (*EVENTS, *_NOW, *_VSWAP),
        "In these runs the kernel measured swapped nothing without a device, though in swapout_by_content.csv it did; "
        "posted v6 needs none, and the model follows it [S13].",
        {"kernel": "*+vswap*", "scenario": "noswap", "phase": "[12]*"},
    ),
    Exemption(
        ("cg_anon_pages",),
        "Input: how many pages of its own the process has beside the 2,048 is read off this cell.",
        {"scenario": "noswap", "phase": "0fill"},
        low=0,
        high=0,
        always=True,
    ),
    *_at(
        PHASES[:1],
        EVENTS,
        "Events are counted on from the runs before; later phases are compared as the difference from here.",
        always=True,
    ),
    *_at(
        ("1out",),
        ("cg_swap_pages",),
        "Input: how many pages of their own the processes have is read off this cell.",
        where={"kernel": "*[0-9]"},
        low=0,
        high=0,
        always=True,
    ),
    *_at(
        PHASES[1:-1],
        ("cg_swap_pages",),
        "The kernel measured charges a memory cgroup for virtual slots, posted v6 for physical ones alone [S17].",
        where={"kernel": "*+vswap*"},
        low=0,
        high=SHARED_PAGES + 256,
        always=True,
    ),
    *_at(
        _BACK,
        ("zswpin", "swpin_zero"),
        "Input: how many of the processes' own pages are back by now is read off this cell.",
        low=0,
        high=0,
        always=True,
    ),
    *_at(
        ("5kids_gone",),
        (*_SLOTS, *_CACHED),
        "When the last entry of a page in the swap cache goes, the kernel measured keeps its swap as long as another "
        "process maps the page, posted v6 frees it (free_swap_and_cache_nr in section 3.7 of docs/facts.md).",
        where={"kernel": "*+vswap*"},
        low=-8,
        high=SHARED_PAGES + SLOTS_AHEAD,
    ),
    *_at(
        ("5kids_gone",),
        (*_SLOTS, *_CACHED),
        "Linux 6.12 gives slots back 64 at a time, and a few of the processes' own pages come and go.",
        where={"kernel": "6.12*"},
        low=-8,
        high=SLOTS_AHEAD,
    ),
    *_at(
        ("5kids_gone",),
        (*_SLOTS, *_CACHED),
        "A few of the processes' own pages come and go, at times that the table does not show.",
        where={"kernel": "7.2.13"},
        low=-8,
        high=8,
    ),
    *_at(
        PHASES[1:5],
        ("slots_used_vda",),
        "Linux 6.12 takes slots ahead, 64 at a time for each CPU; the model takes none.",
        where={"kernel": "6.12*"},
        low=0,
        high=SLOTS_AHEAD,
    ),
    *_at(
        PHASES[2:5],
        _SLOTS,
        "One of the processes' own pages has lost its slot since, to a write: what that frees differs by version.",
        where={"kernel": "7.2.13", "label": "*.k1"},
        low=-1,
        high=0,
    ),
    *_at(
        PHASES,
        ("nr_swapcached",),
        "A few of the processes' own pages leave the swap cache, when written, or stay in it, when unmapped, at times "
        "that the table does not show.",
        low=-16,
        high=5,
    ),
    *_at(
        PHASES[:1],
        ("cg_anon_pages",),
        "The child of this run had not written its own pages yet when they were counted.",
        where={"kernel": "6.12*", "label": "text.k1"},
        low=-17,
        high=-17,
    ),
    *_at(
        PHASES,
        ("cg_anon_pages",),
        "The processes touch a few new pages of their own as they run (stacks and the like); the model's do not.",
        low=0,
        high=6,
    ),
    *_at(
        PHASES[1:],
        ("pool_total_bytes", "cg_zswap_bytes"),
        "How well the processes' own pages compress is not known: the model's are text, and all are packed by lz4 "
        "where lzo is not installed.",
    ),
)
