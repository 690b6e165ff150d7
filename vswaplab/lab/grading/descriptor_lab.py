"""Lab 1's seam: a machine whose virtual layer reads and writes its descriptors through a learner's three functions.

``lookup(desc)`` reads the 24 bytes, ``store(desc, type, handle)`` returns them after a transition, ``load(desc)`` says
where to read from and how they are afterwards. All else is the library's own, so whatever goes wrong is theirs.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from vswaplab.entry import Backing, swp_entry_t, swp_slot_t
from vswaplab.errors import NotFound
from vswaplab.events import Event
from vswaplab.mm.machine import Machine
from vswaplab.virtual.descriptor import DESCRIPTOR_DTYPE, TYPE_SHIFT, Descriptor

__all__ = ["DESCRIPTOR_BYTES", "SOURCES", "machine_with"]

DESCRIPTOR_BYTES = 24
SOURCES = ("swapfile", "zero", "zswap", "folio")
"""What ``load`` names as the place to read from, by type."""


def machine_with(student: Any, **shape: Any) -> Machine:
    """Return a `Machine` (virtual design) whose descriptors go through a student's functions."""
    machine = Machine(**{**shape, "design": "virtual"})
    plugged, swap = _Plugged(machine, student), cast(Any, machine.swap)
    swap.lookup, swap._set_backing, swap.swap_read_folio = plugged.lookup, plugged.set_backing, plugged.read_folio
    return machine


class _Plugged:
    """The three functions, put in place of three methods of one machine's swap."""

    def __init__(self, machine: Machine, student: Any) -> None:
        self.swap: Any = machine.swap
        self.student = student
        self._read_folio = self.swap.swap_read_folio

    def bytes_of(self, entry: int) -> bytes:
        return self.swap.desc.rows[entry : entry + 1].tobytes()  # type: ignore[no-any-return]

    def put(self, entry: int, desc: Any) -> None:
        assert isinstance(desc, bytes), f"a descriptor is bytes, not {type(desc).__name__}"
        assert len(desc) == DESCRIPTOR_BYTES, f"a descriptor is 24 bytes, not {len(desc)}"
        self.swap.desc.rows[entry : entry + 1] = np.frombuffer(desc, DESCRIPTOR_DTYPE)

    def lookup(self, entry: int) -> Descriptor:
        if not self.swap.allocator.is_allocated(entry):
            raise NotFound(f"Swap entry {entry} is not allocated.")
        said = self.student.call("lookup", self.bytes_of(entry))
        kind, cache = Backing(said["type"]), int(said["cache"])
        return Descriptor(
            entry=swp_entry_t(entry),
            type=kind,
            swap_count=said["swap_count"],
            in_swapcache=bool(said["in_swapcache"]),
            memcgid=said["memcgid"],
            slot=swp_slot_t(said["handle"]) if kind is Backing.SWAPFILE else None,
            zswap_entry=said["handle"] if kind is Backing.ZSWAP else None,
            swap_cache=None if cache & 1 else self.swap.folios.get(cache),
            shadow=cache if cache & 1 else 0,
        )

    def set_backing(self, entry: int, kind: Backing, handle: int, value: int = 0) -> None:
        old = self.swap.desc.flags[entry] >> TYPE_SHIFT & 3
        self.put(entry, self.student.call("store", self.bytes_of(entry), int(kind), int(handle)))
        if self.swap.record is not None:
            self.swap.record(Event.BACKING, entry, old=old, new=kind, slot=handle, value=value)

    def read_folio(self, folio: Any) -> None:
        """Read one page from where ``load`` says; large folios are the library's own business."""
        swap, entry = self.swap, folio.swap
        if folio.nr_pages > 1:
            self._read_folio(folio)
            return
        before = self.bytes_of(entry)
        source, handle, after = self.student.call("load", before)
        if source == "zero":
            folio.data[:] = bytes(len(folio.data))
            swap._count(folio.memcg, "swpin_zero", 1)
        elif source == "zswap":
            swap.zswap.load_into(int(handle), folio.data)
            swap.zswap.entry(int(handle)).memcg.count("zswpin", 1)
            swap.release_backing(entry, 1)  # a load is exclusive
            folio.dirty = True
        elif source == "swapfile":
            folio.data[:] = swap.devices.read(swp_slot_t(int(handle)), 1)
            swap._count(folio.memcg, "pswpin", 1)
            if swap.zswap is not None:
                swap.zswap.note_disk_swapin(folio.memcg, 1)
        else:
            raise AssertionError(f"load says {source!r}, which is no place to read from")
        self._note(entry, before, after)
        folio.uptodate = True

    def _note(self, entry: int, before: bytes, after: Any) -> None:
        """Put the descriptor as ``load`` left it in place, and into the trace if its type has changed."""
        swap, old = self.swap, before[22] >> TYPE_SHIFT & 3
        self.put(entry, after)
        new = swap.desc.flags[entry] >> TYPE_SHIFT & 3
        if new != old and swap.record is not None:
            swap.record(Event.BACKING, entry, old=old, new=Backing(new), slot=swap.desc.handle[entry])
