"""Made traces for tests of what looks at traces: a story told by hand, and random but valid records."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from vswaplab.entry import Backing, make_slot
from vswaplab.events import Event
from vswaplab.observe.tracepoints import Trace

VPN = 0x7F000_0000
"""Page number of the first page of a story."""
PFN = 512
"""Frame of the first page of a story."""


def folio(pfn: int) -> int:
    """Return the pointer of the folio in a frame."""
    return 0xFFFF_EA00_0000_0000 + 64 * pfn


def backing_of(page: int) -> Backing:
    """Return what backs page `page` of a story once it is out: one in ten is zero, two go to the swapfile."""
    place = page * 7 % 10
    return Backing.ZERO if place == 0 else Backing.SWAPFILE if place < 3 else Backing.ZSWAP


def story(pages: int, forked: int = 0, capacity: int = 1 << 20) -> Trace:
    """Return a trace in which `pages` pages are written and pushed out, the first `forked` shared, some read back."""
    t = Trace(capacity)
    t(Event.SWAPON, slot=0, value=4095)
    t(Event.SPAWN, pid=1)
    t.mark("write")
    for i in range(pages):
        t(Event.PTE_MAP, pid=1, vpn=VPN + i, value=PFN + i)
    t.mark("reclaim")
    for i in range(pages):
        _push_out(t, i)
    if forked:
        t.mark("fork")
        t(Event.SPAWN, pid=2, value=1)
        for i in range(forked):
            t(Event.DUPLICATE, i + 1, value=2)
            t(Event.PTE_SWAP, pid=2, vpn=VPN + i, entry=i + 1)
    t.mark("read back")
    for i in range(pages // 3):
        _read_back(t, i, shared=i < forked)
    return t


def _push_out(t: Trace, i: int) -> None:
    entry, kind = i + 1, backing_of(i)
    t(Event.ALLOC, entry, new=Backing.FOLIO, value=1)
    t(Event.CACHE_ADD, entry, value=folio(PFN + i))
    t(Event.DUPLICATE, entry, value=1)
    t(Event.PTE_SWAP, pid=1, vpn=VPN + i, entry=entry)
    handle = make_slot(0, 1 + i) if kind is Backing.SWAPFILE else 4096 + i if kind is Backing.ZSWAP else 0
    length = 500 + 37 * i % 3000 if kind is Backing.ZSWAP else 0
    t(Event.BACKING, entry, old=Backing.FOLIO, new=kind, slot=handle, value=length)
    t(Event.WRITEOUT, entry, new=kind, value=1)
    t(Event.CACHE_DEL, entry, value=2 * i + 1)


def _read_back(t: Trace, i: int, shared: bool) -> None:
    entry, kind = i + 1, backing_of(i)
    t(Event.FAULT, entry, pid=1, vpn=VPN + i, value=2)
    t(Event.CACHE_ADD, entry)
    t(Event.CACHE_ADD, entry, value=folio(PFN + i))
    if kind is Backing.ZSWAP:
        t(Event.BACKING, entry, old=kind, new=Backing.FOLIO)
    t(Event.PTE_MAP, entry, pid=1, vpn=VPN + i, value=PFN + i)
    t(Event.PUT, entry, value=int(shared))
    if not shared:
        t(Event.CACHE_DEL, entry)
        t(Event.FREE, entry, old=kind)


def random_records(seed: int, nr: int, record: Callable[..., Any]) -> None:
    """Call `record` with `nr` random events that never speak of a virtual slot that is not allocated."""
    rng = random.Random(seed)
    live: list[int] = []
    for i in range(1, nr + 1):
        kind = rng.random()
        page = {"pid": rng.randrange(1, 4), "vpn": rng.randrange(20)}
        if kind < 0.2 or not live:
            entry = rng.choice([each for each in range(1, 60) if each not in live])
            record(Event.ALLOC, entry, new=Backing.FOLIO, value=1)
            live.append(entry)
        elif kind < 0.3:
            record(Event.FREE, live.pop(rng.randrange(len(live))), old=rng.randrange(4))
        elif kind < 0.4:
            record(Event.BACKING, rng.choice(live), old=rng.randrange(4), new=rng.randrange(4), slot=i, value=i)
        elif kind < 0.5:
            record(Event.CACHE_ADD, rng.choice(live), value=rng.choice((0, folio(i))))
        elif kind < 0.6:
            record(Event.CACHE_DEL, rng.choice(live), value=rng.choice((0, 2 * i + 1)))
        elif kind < 0.7:
            record(rng.choice((Event.DUPLICATE, Event.PUT)), rng.choice(live), value=i)
        elif kind < 0.8:
            record(Event.PTE_MAP, value=i, **page)
        elif kind < 0.9:
            record(rng.choice((Event.PTE_SWAP, Event.PTE_CLEAR)), i, **page)
        elif kind < 0.95:
            record(rng.choice((Event.SPAWN, Event.EXIT)), pid=page["pid"])
        else:
            record(rng.choice((Event.SWAPON, Event.SWAPOFF)), slot=rng.randrange(3), value=100)
        if len(live) > 50:
            record(Event.FREE, live.pop(0), old=3)
