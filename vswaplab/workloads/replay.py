"""Replay: a reference string through the swap layer, at the speed of arrays.

The reference string alone decides which page LRU evicts and which it faults (`vswaplab.workloads.lru`). That stream of
events is taken in batches, each batch in waves that name no page twice, and each wave goes through a design of swap in
array form. A page's own events keep their order; those of different pages in one batch may change places, as if reclaim
ran ahead by a batch: 32 events, or 131,072 without contents. Swap has to hold that many pages more at most.

* A page's first fault is no swap-in: it had no contents yet.
* Contents are real pages: the page of the corpus that a fixed hash of (page, version, seed) names, where the version
  counts the writes to the page so far. An unchanged page goes out unchanged.
* A swap-in always gives its slot back, whatever the backing; so an unchanged page is written out again.
* Zeros go to ZERO; the rest to zswap, and what zswap refuses to the swapfile, as in `swap_writeout` [S13].
* In the legacy design every page that is out holds a slot of the swapfile; without one nothing can be swapped.
* `ram` holds the program's pages alone; the compressed pool comes on top, and its limit is a share of `ram`.

>>> report = replay(load_trace("sqlite"), "1M", verify=True)
>>> report.misses, report.first_touches, sum(report.swap_outs.values()), report.pages_verified
(719, 559, 463, 160)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.backends.device import FileDevice, MemoryDevice
from vswaplab.backends.swapfile import SwapDevices
from vswaplab.backends.zswap import Zswap
from vswaplab.entry import STRUCT_PAGE_SIZE, U64, VMEMMAP_START, Backing, swp_slot_t
from vswaplab.errors import InvalidArgument, InvariantError, NoMemory, NoSpace
from vswaplab.legacy.space import LegacySwap
from vswaplab.mm.machine import check_zswap
from vswaplab.mm.memcg import Memcg, MemcgTable
from vswaplab.strict import choice, flag, instance, path_of, require_memory, seed_number
from vswaplab.swap_arrays import SwapArrays
from vswaplab.units import PAGE_SIZE, ZERO_PAGE, format_size, pages_of
from vswaplab.virtual.space import VirtualSwap
from vswaplab.workloads.contents import Contents, choose_contents, corpus_of
from vswaplab.workloads.lru import MAX_PAGES, LruEvents, Waves, compile_kernels, lru_events, worth_compiling
from vswaplab.workloads.traces import Trace, load_trace

__all__ = ["ReplayReport", "replay"]

_DESIGNS: Mapping[str, Callable[..., SwapArrays]] = {"virtual": VirtualSwap, "legacy": LegacySwap}
_OUT_EVENTS = {"zswap": "zswpout", "swapfile": "pswpout"}
_IN_EVENTS = {"zero": "swpin_zero", "zswap": "zswpin", "swapfile": "pswpin"}
_BATCH = 1 << 17
_REAL_BATCH = 32  # how far reclaim looks ahead at a time: SWAP_CLUSTER_MAX [BACKGROUND]


@dataclass
class ReplayReport:
    """What a replay did. Pages unless the name says otherwise; seconds are wall time."""

    trace: str
    design: str
    frames: int
    references: int
    pages: int
    misses: int
    unit: str = "page"  # what the numbers of the trace were, or "byte"
    first_touches: int = 0
    """Misses that are no swap-in."""
    waves: int = 0  # groups of events applied as one array
    swap_outs: dict[str, int] = field(default_factory=lambda: {"zero": 0, "zswap": 0, "swapfile": 0})
    swap_ins: dict[str, int] = field(default_factory=lambda: {"zero": 0, "zswap": 0, "swapfile": 0})
    written_back: int = 0
    """From zswap to the swapfile, to bring a full pool below its threshold."""
    compressed_bytes: int = 0
    """What zswap was given to keep, over the whole replay."""
    written_bytes: int = 0
    read_bytes: int = 0
    pool_pages_peak: int = 0
    pool_pages: int = 0
    """At the end, like the two below."""
    virtual_slots: int = 0
    """0 in the legacy design, which has none."""
    swapfile_slots: int = 0
    pages_verified: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"lru": 0.0, "layer": 0.0, "contents": 0.0})
    """lru: deciding; layer: the design of swap, array forms; contents: compressing, copying, device."""

    @property
    def miss_ratio(self) -> float:
        """Misses per reference."""
        return self.misses / self.references if self.references else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return all fields by name, ready for JSON."""
        return asdict(self) | {"miss_ratio": self.miss_ratio}

    def __str__(self) -> str:
        def kinds(counts: Mapping[str, int]) -> str:
            return f"{sum(counts.values()):>10,}   " + ", ".join(f"{name} {nr:,}" for name, nr in counts.items())

        compressed = self.swap_outs["zswap"] * PAGE_SIZE
        lines = [
            f"{self.trace}: {self.references:,} references to {self.pages:,} pages, {self.frames:,} frames"
            + (", from byte addresses" if self.unit == "byte" else ""),
            f"  misses        {self.misses:>10,}   {100 * self.miss_ratio:.3g} %, {self.first_touches:,} first touches",
            f"  swapped out   {kinds(self.swap_outs)}",
            f"  swapped in    {kinds(self.swap_ins)}",
            f"  written back  {self.written_back:>10,}",
            f"  compressed    {format_size(self.compressed_bytes):>10}   of {format_size(compressed)}",
            f"  device        {format_size(self.written_bytes):>10}   written, {format_size(self.read_bytes)} read",
            f"  pool          {self.pool_pages_peak:>10,}   pages at most, {self.pool_pages:,} at the end",
            f"  virtual slots {self.virtual_slots:>10,}   at the end, {self.swapfile_slots:,} of a swapfile",
            f"  seconds       {sum(self.seconds.values()):>10.3g}   "
            + ", ".join(f"{name} {seconds:.3g}" for name, seconds in self.seconds.items()),
        ]
        if self.pages_verified:
            lines.append(f"  verified      {self.pages_verified:>10,}   pages came back byte for byte")
        return "\n".join(lines)


class _Layer:
    """The swap layer under a replay, and which entry each page that is out has. Without contents: metadata only."""

    def __init__(self, nr_pages: int, swap: SwapArrays, memcg: Memcg, report: ReplayReport, compressed: bool) -> None:
        self.swap, self.report, self.memcg = swap, report, memcg
        self.entry: U64 = np.zeros(nr_pages, np.uint64)
        self.compressed = compressed
        self.evictions = 0

    def out(self, pages: npt.NDArray[np.int32], which: npt.NDArray[np.intp]) -> None:
        """Push out distinct pages, the victims of events `which`."""
        if not len(pages):
            return
        swap = self.swap
        entries = swap.folio_alloc_swap_many(_pointers(pages), self.memcg.id)
        if len(entries) < len(pages):
            raise NoMemory("There is no swap slot left; give the replay a larger swap_size.")
        swap.swap_duplicate_many(entries)  # the page table holds the entry from now on
        self.store(pages, entries, which)
        age = np.arange(self.evictions, self.evictions + len(pages), dtype=np.uint64)
        swap.remove_mapping_many(entries, age << np.uint64(1) | np.uint64(1))
        self.evictions += len(pages)
        self.entry[pages] = entries

    def bring_in(self, pages: npt.NDArray[np.int32]) -> None:
        """Fault distinct pages back in and give their slots back."""
        if not len(pages):
            return
        swap, entries = self.swap, self.entry[pages]
        swap.swapcache_prepare_many(entries)
        swap.swap_cache_add_folio_many(_pointers(pages), entries)
        self.load(pages, entries)
        swap.swap_free_many(entries)  # the page table maps the folio from now on
        swap.remove_mapping_many(entries)
        self.entry[pages] = 0

    def store(self, pages: npt.NDArray[np.int32], entries: U64, which: npt.NDArray[np.intp]) -> None:
        """Give each entry a backing in name: a zswap entry numbered as its slot, or a real physical slot."""
        if self.compressed:
            self.swap.zswap_entry_store_many(entries, entries)
            self._went_out("zswap", len(entries))
        else:
            self.to_swapfile(entries)

    def to_swapfile(self, entries: U64) -> U64:
        slots = self.swap.writeout_slots_many(entries)
        if not slots.all():
            raise NoSpace("The swapfile is full; give the replay a larger swap_size.")
        self._went_out("swapfile", len(entries))
        return slots

    def load(self, pages: npt.NDArray[np.int32], entries: U64) -> None:
        if self.compressed:
            self.swap.zswap_loaded_many(entries)  # the load is exclusive: the folio is the only copy
            self._came_in("zswap", len(entries))
        else:
            self._came_in("swapfile", len(entries))

    def _went_out(self, where: str, nr: int) -> None:
        self.report.swap_outs[where] += nr
        if where != "zero":  # zeros are counted already
            self.memcg.count(_OUT_EVENTS[where], nr)

    def _came_in(self, where: str, nr: int) -> None:
        self.report.swap_ins[where] += nr
        self.memcg.count(_IN_EVENTS[where], nr)


class _RealLayer(_Layer):
    """The same with contents: bytes are compressed, kept, written, read and compared."""

    def __init__(
        self,
        nr_pages: int,
        swap: SwapArrays,
        memcg: Memcg,
        report: ReplayReport,
        corpus: Sequence[bytes],
        chosen: U64,
        verify: bool,
    ) -> None:
        super().__init__(nr_pages, swap, memcg, report, compressed=swap.zswap is not None)
        self.corpus, self.chosen, self.verify = corpus, chosen, verify
        self.zero = np.array([page == ZERO_PAGE for page in corpus])
        self.content: U64 = np.zeros(nr_pages, np.uint64)

    def store(self, pages: npt.NDArray[np.int32], entries: U64, which: npt.NDArray[np.intp]) -> None:
        content = self.chosen[which]
        self.content[pages] = content
        zero = self.zero[content]
        if zero.any():
            self.swap.swap_zeromap_folio_set_many(entries[zero], self.memcg.id)
            self._went_out("zero", int(zero.sum()))
        handles = self.compress(entries[~zero], content[~zero])
        stored = handles != 0
        self.swap.zswap_entry_store_many(entries[~zero][stored], handles[stored])
        self._went_out("zswap", int(stored.sum()))
        rest, of = entries[~zero][~stored], content[~zero][~stored]
        if len(rest):
            self.write(self.to_swapfile(rest), of)
            self.shrink()

    def compress(self, entries: U64, content: U64) -> U64:
        """Offer pages to zswap; return the zswap entries, 0 for each page refused."""
        zswap, handles = self.swap.zswap, np.zeros(len(entries), np.uint64)
        if zswap is None:
            return handles
        start = perf_counter()
        corpus, memcg, stored_bytes = self.corpus, self.memcg, 0
        for i, (entry, which) in enumerate(zip(entries.tolist(), content.tolist(), strict=True)):
            handle = zswap.store(corpus[which], entry, memcg)
            if handle:
                handles[i] = handle
                stored_bytes += zswap.length(handle)
        self.report.compressed_bytes += stored_bytes
        self.report.seconds["contents"] += perf_counter() - start
        return handles

    def write(self, slots: U64, content: U64) -> None:
        start = perf_counter()
        for slot, which in zip(slots.tolist(), content.tolist(), strict=True):
            self.swap.devices.write(slot, self.corpus[which])
        self.report.written_bytes += len(slots) * PAGE_SIZE
        self.report.seconds["contents"] += perf_counter() - start

    def shrink(self) -> None:
        """A full pool refused a page: write cold entries back until it is below its threshold, as the worker does."""
        zswap, report, start = self.swap.zswap, self.report, perf_counter()
        while zswap is not None and zswap.pool_reached_full and zswap.over_accept_threshold():
            written = self.swap.writeback(64)
            report.written_back += written
            report.written_bytes += written * PAGE_SIZE
            if not written:
                break
        report.seconds["contents"] += perf_counter() - start

    def load(self, pages: npt.NDArray[np.int32], entries: U64) -> None:
        found = self.swap.lookup_many(entries)
        kept, on_disk = found.type == Backing.ZSWAP, found.type == Backing.SWAPFILE
        zero = found.type == Backing.ZERO
        if self.verify:
            if not self.zero[self.content[pages[zero]]].all():
                raise InvariantError("contents", "A page that held data came back as zeros.")
            self.report.pages_verified += int(zero.sum())
        self._copy_in(pages[kept], found.handle[kept], self._load_zswap)
        self._copy_in(pages[on_disk], found.handle[on_disk], self._read_device)
        self.swap.zswap_loaded_many(entries[kept])
        for name, which in (("zero", zero), ("zswap", kept), ("swapfile", on_disk)):
            self._came_in(name, int(which.sum()))
        self.report.read_bytes += int(on_disk.sum()) * PAGE_SIZE

    def _copy_in(self, pages: npt.NDArray[np.int32], handles: U64, fetch: Callable[[int], bytes | bytearray]) -> None:
        start = perf_counter()
        for handle, which in zip(handles.tolist(), self.content[pages].tolist(), strict=True):
            data = fetch(handle)
            if self.verify and data != self.corpus[which]:
                raise InvariantError("contents", "A page came back other than it went out.")
        self.report.pages_verified += len(pages) if self.verify else 0
        self.report.seconds["contents"] += perf_counter() - start

    def _load_zswap(self, handle: int) -> bytes | bytearray:
        assert self.swap.zswap is not None
        return self.swap.zswap.load(handle)

    def _read_device(self, slot: int) -> bytes:
        return self.swap.devices.read(swp_slot_t(slot), 1)


_BYTES_A_PAGE = 32
"""Memory that a replay takes for each page, before any is out."""


def _pointers(pages: npt.NDArray[np.int32]) -> U64:
    """Return the address of each page's ``struct page``: the program's pages are numbered, and so are these."""
    return pages.astype(np.uint64) * np.uint64(STRUCT_PAGE_SIZE) + np.uint64(VMEMMAP_START)


def replay(
    trace: Trace | npt.NDArray[np.unsignedinteger[Any]] | str | Path,
    ram: int | str,
    design: str = "virtual",
    *,
    contents: Contents = "real",
    zswap: Mapping[str, Any] | None = MappingProxyType({"compressor": "zstd"}),
    swap_size: int | str | None = None,
    swap_path: str | Path | None = None,
    verify: bool = False,
    seed: int = 0,
    unit: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayReport:
    """Replay a trace (or a bare reference string, or a trace's name) with `ram` for its pages; return what happened.

    `unit` is what a trace file's numbers are, as for `load_trace`; a `Trace` and a bare string have pages already.
    `zswap` takes the settings of `Machine`, None turns it off; `swap_size` defaults to room for every page, 0 is no
    swapfile; `swap_path` makes it a real file, else it is in memory. With `contents` None nothing is compressed or
    copied: the backing is zswap in name, or swapfile slots if `zswap` is None. `verify` compares every page that comes
    back with what went out. `progress` is called with (events done, events). InvariantError if a page comes back
    changed; NoSpace when swap is full; other errors as the parts raise them. A failed one leaves no swapfile.
    """
    choice(design, "design", _DESIGNS)
    verify, seed = flag(verify, "verify"), seed_number(seed)
    zswap = None if zswap is None else check_zswap(zswap)
    swap_path = None if swap_path is None else path_of(swap_path, "A swapfile")
    trace = _as_trace(trace, unit)
    frames = pages_of(ram, "ram")
    if worth_compiling(len(trace)):
        compile_kernels(trace.ref.dtype)  # not part of the time stated
    start = perf_counter()
    events = lru_events(trace.ref, frames)
    decided = perf_counter() - start
    report = ReplayReport(trace.name, design, frames, len(trace), trace.nr_pages, len(events), trace.unit)
    report.seconds["lru"] = decided
    devices = SwapDevices(cpus=1)
    try:
        layer = _layer(trace, events, report, devices, contents, zswap, verify, seed)
        _swapon(devices, trace.nr_pages, swap_size, swap_path)
        _apply(layer, events, _BATCH if contents is None else _REAL_BATCH, progress)
        if verify and contents is not None:
            layer.swap.check()
    except BaseException:
        for si in devices:
            si.device.undo()  # a swapfile that was made for this goes
        raise
    finally:
        for si in devices:
            si.device.close()
    return report


def _as_trace(trace: Trace | npt.NDArray[np.unsignedinteger[Any]] | str | Path, unit: str | None) -> Trace:
    if isinstance(trace, str | Path):
        return load_trace(trace, unit)
    if unit is not None:
        raise InvalidArgument("A unit is of the numbers in a file; load_trace() takes it, and replay() with a path.")
    if isinstance(trace, Trace):
        return trace
    ref = instance(trace, np.ndarray, "trace")
    if ref.ndim != 1 or ref.dtype.kind not in "ui" or (ref.size and int(ref.min()) < 0):
        raise InvalidArgument("A bare reference string is one row of whole numbers, 0 or more, in an array.")
    nr_pages = int(ref.max()) + 1 if ref.size else 0
    if nr_pages > MAX_PAGES:
        raise InvalidArgument(f"Pages are numbered below {MAX_PAGES}; make a Trace.from_pages of other numbers.")
    require_memory(_BYTES_A_PAGE * nr_pages, f"A replay of {nr_pages} pages")
    return Trace("references", ref, np.zeros(len(ref), bool), np.arange(nr_pages, dtype=np.uint64), len(ref))


def _layer(
    trace: Trace,
    events: LruEvents,
    report: ReplayReport,
    devices: SwapDevices,
    contents: Contents,
    zswap: Mapping[str, Any] | None,
    verify: bool,
    seed: int,
) -> _Layer:
    """Return the layer to drive, with contents or in name only."""
    memcgs, make = MemcgTable(), _DESIGNS[report.design]
    if contents is None:
        swap = make(devices=devices, zswap=None, memcgs=memcgs)
        return _Layer(trace.nr_pages, swap, memcgs.root, report, zswap is not None)
    pool = None if zswap is None else Zswap(report.frames, **zswap)
    swap = make(devices=devices, zswap=pool, memcgs=memcgs)
    corpus = corpus_of(contents)
    chosen = choose_contents(trace, events, len(corpus), seed)
    return _RealLayer(trace.nr_pages, swap, memcgs.root, report, corpus, chosen, verify)


def _swapon(devices: SwapDevices, nr_pages: int, size: int | str | None, path: str | Path | None) -> None:
    slots = nr_pages if size is None else pages_of(size, "swap_size") - 1
    if slots > 0:
        nr_bytes = (slots + 1) * PAGE_SIZE  # slot 0 is the header
        devices.swapon(MemoryDevice(nr_bytes) if path is None else FileDevice(path, nr_bytes))


def _apply(layer: _Layer, events: LruEvents, batch: int, progress: Callable[[int, int], None] | None) -> None:
    """Put the stream of events through the layer, wave by wave."""
    report, swap = layer.report, layer.swap
    begin, waves = perf_counter(), Waves(events, len(layer.entry))
    for start in range(0, len(events), batch):
        stop = min(start + batch, len(events))
        for evicts, which in waves.batch(start, stop):
            if evicts:
                layer.out(events.evict[which], which)
            else:
                pages = events.fault[which]
                layer.bring_in(pages[layer.entry[pages] != 0])
            report.waves += 1
        if swap.zswap is not None:
            report.pool_pages_peak = max(report.pool_pages_peak, swap.zswap.pool_pages)
        if progress is not None:
            progress(stop, len(events))
    report.seconds["layer"] = perf_counter() - begin - report.seconds["contents"]
    report.first_touches = report.misses - sum(report.swap_ins.values())
    report.virtual_slots = getattr(swap, "used", 0)
    report.swapfile_slots = sum(si.inuse_pages for si in swap.devices)
    report.pool_pages = 0 if swap.zswap is None else swap.zswap.pool_pages
