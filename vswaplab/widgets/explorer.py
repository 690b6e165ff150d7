"""Slot map explorer: page table entry, slot and backing, both ways, from eight million slots down to one.

>>> SlotExplorer(machine)  # doctest: +SKIP
>>> SlotExplorer(machine, page=(app, region.start))  # doctest: +SKIP

The map shows every slot of the virtual space and of each swapfile, counted in Python: a cell is a slot, or a bar of
what its slots are. The slot that is chosen is shown whole: who holds it, what backs it, its bytes by field, its
cluster and its history. A space of up to 65,536 slots is sent whole, of a larger one the counts, and the slots where
one looks closer follow; on a page without a kernel it stays at the counts there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import traitlets

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.events import Event
from vswaplab.figures.palette import SHAPES, THEMES
from vswaplab.observe.audit import audit
from vswaplab.observe.labels import labels_of
from vswaplab.observe.slot_map import (
    LEGACY_FIELDS,
    RMAP_FIELDS,
    VIRTUAL_FIELDS,
    Columns,
    MapPart,
    SlotMap,
)
from vswaplab.strict import quoted, whole_number
from vswaplab.units import PAGE_SIZE
from vswaplab.widgets.step_log import palette
from vswaplab.widgets.view import View

__all__ = ["WHOLE", "SlotExplorer"]

WHOLE = 1 << 16
"""Slots up to which a map is sent whole."""
_STORIES = 12_000
"""Events up to which every slot's history is sent along."""
_LISTS = ("cached", "full", "partial", "stranded", "free", "nonfull", "frag", "discard")
_FIELDS = {"virtual": (VIRTUAL_FIELDS, 24), "legacy": (LEGACY_FIELDS, 12), "device": (RMAP_FIELDS, 8)}

_CODE = """from vswaplab.observe.slot_map import SlotMap
slots = SlotMap(machine)
part = slots.parts[{part}]
slots.counts(part)               # by cluster: SWAPFILE, ZERO, ZSWAP, FOLIO, free
slots.window(part, {slot}, 1)    # all that is known of slot {slot}
"""


class SlotExplorer(View):
    """Map of a machine's swap (or of a swap space alone) as it is now; `refresh` looks again.

    `entry`, or `page` as (process or pid, address), is chosen at first; `part` and `chosen` say where one is.
    """

    named = "Slot map"
    again = "Run this cell again to look around in it."

    part = traitlets.Int(0, help="Which part of the map: 0 is what page tables hold").tag(sync=True)
    chosen = traitlets.Int(0, help="The slot of that part").tag(sync=True)
    want = traitlets.Dict(help="What the picture asks for").tag(sync=True)
    given = traitlets.Dict(help="Where the columns in `cells` are").tag(sync=True)
    cells = traitlets.Bytes(b"", help="Columns of windows").tag(sync=True)
    history: Any = traitlets.List(help="Events of the chosen slot, where not all are sent along").tag(sync=True)
    answer = traitlets.Unicode("", help="Why a search found nothing").tag(sync=True)

    def __init__(self, source: Any, *, entry: int | None = None, page: tuple[Any, int] | None = None) -> None:
        self.source = source
        self.slots = SlotMap(source)
        if not self.slots.parts:
            raise InvalidArgument("There is nothing to map: no swapfile is on; do m.swapon(size='1M') first.")
        self._trace = getattr(source, "trace", None)
        part, chosen = self._start(entry, page)
        super().__init__(view="explorer", code=_CODE, part=part, chosen=chosen, **self._take())

    def refresh(self) -> None:
        """Look at the machine again: it may have gone on."""
        self.slots = SlotMap(self.source)
        taken = self._take()
        parts = self.slots.parts
        with self.hold_sync():
            self.part = min(self.part, len(parts) - 1)
            self.chosen = min(self.chosen, parts[self.part].slots - 1)
            for name, value in taken.items():
                setattr(self, name, value)

    def choose(self, *, entry: int | None = None, page: tuple[Any, int] | None = None) -> None:
        """Go to an entry, or to what a page of a process is swapped out to; NotFound if there is none."""
        with self.hold_sync():
            self.part, self.chosen = self._start(entry, page)

    def plain(self) -> dict[str, Any]:
        """Return the traits for a page; nobody answers it there."""
        traits = super().plain()
        return {**traits, "header": {**self.header, "kernel": False}}

    def stands(self) -> str:
        """Say which slot is chosen."""
        return f"{self.header['parts'][self.part]['name']}, slot {self.chosen:,}"

    def shows(self) -> list[str]:
        """Return how many slots each part of the map has, and how many were in use when it was looked at."""
        parts = zip(self.header["parts"], self._in_use, strict=True)
        return [f"{part['name'].capitalize()}: {part['slots']:,}, {used:,} of them in use." for part, used in parts]

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _take(self) -> dict[str, Any]:
        parts = self.slots.parts
        whole = sum(part.slots for part in parts) <= WHOLE
        columns: Columns = {}
        for i, part in enumerate(parts):
            columns |= {f"{i}_{name}": column for name, column in self._clusters(part).items()}
        windows = (
            [(i, 0, part.slots) for i, part in enumerate(parts)] if whole else [(0, 0, min(WHOLE, parts[0].slots))]
        )
        given, cells = self._windows(windows)
        names = labels_of(self.source)
        pids = getattr(self.source, "mappers", {})
        header = {
            "kernel": True,
            "whole": whole,
            "design": self.slots.design,
            "parts": [self._part(part) for part in parts],
            "columns": [[name, column.dtype.str[1:], column.size] for name, column in columns.items()],
            "processes": {str(pid): names.process(pid) for pid in pids},
            "themes": {name: palette(theme) for name, theme in THEMES.items()},
            "shapes": {str(int(look) if isinstance(look, Backing) else look): shape for look, shape in SHAPES.items()},
            "broken": self._broken(),
            "stories": self._stories(),
        }
        self._in_use = [int(columns[f"{at}_counts"].reshape(-1, 5)[:, :4].sum()) for at in range(len(parts))]
        return {"header": header, "data": _packed(columns), "given": given, "cells": cells}

    @staticmethod
    def _part(part: MapPart) -> dict[str, Any]:
        fields, size = _FIELDS[part.kind]
        return {
            "name": part.name,
            "kind": part.kind,
            "slots": part.slots,
            "type": part.type,
            "fields": fields,
            "size": size,
            "lists": _LISTS,
        }

    def _clusters(self, part: MapPart) -> Columns:
        counts = self.slots.counts(part)
        order, state = np.zeros(len(counts), np.uint8), np.full(len(counts), 255, np.uint8)
        for number, its_order, word in self.slots.cluster_words(part):
            order[number] = its_order
            state[number] = _LISTS.index(word) if word in _LISTS else 255
        return {"counts": counts.reshape(-1), "order": order, "list": state}

    def _windows(self, windows: list[tuple[int, int, int]]) -> tuple[dict[str, Any], bytes]:
        found, data = [], b""
        for at, first, nr in windows:
            columns = self.slots.window(self.slots.parts[at], first, nr)
            packed = _packed(columns)
            named = [[name, column.dtype.str[1:], column.size] for name, column in columns.items()]
            found.append({"part": at, "first": first, "begin": len(data), "columns": named})
            data += packed
        return {"windows": found}, data

    def _broken(self) -> dict[str, Any] | None:
        finding = audit(self.source) if self.slots.machine is not None else None
        if finding is None:
            return None
        slots = [self.slots.part_of(entry) for entry in finding.entries]
        holders = getattr(self.source, "mappers", {})
        for pid, vpn in finding.ptes:
            if pid in holders and (entry := _entry_at(holders[pid], vpn)):
                slots.append(self.slots.part_of(entry))
        return {
            "invariant": finding.invariant,
            "detail": finding.detail,
            "edge": finding.edge,
            "slots": sorted(set(slots)),
        }

    # -- histories -------------------------------------------------------------------------------------------------

    def _stories(self) -> dict[int, dict[int, list[list[Any]]]] | None:
        """Return each slot's events by part and slot; None where there are too many, or no trace."""
        if self._trace is None or len(self._trace) - self._trace.first > _STORIES:
            return None
        stories: dict[int, dict[int, list[list[Any]]]] = {}
        for step, record in enumerate(self._trace, self._trace.first):
            if record.entry and record.event is not Event.MARK:
                part, slot = self._place(record.entry)
                stories.setdefault(part, {}).setdefault(slot, []).append([step, record.describe()])
        return stories

    def _place(self, entry: int) -> tuple[int, int]:
        try:
            return self.slots.part_of(entry)
        except ValueError:  # of a device that is off by now
            return -1, 0

    def _history(self) -> list[list[Any]]:
        part = self.slots.parts[self.part]
        if self._trace is None or part.kind == "device":
            return []
        log = self._trace.records()
        steps = np.flatnonzero(log["entry"] == np.uint64(part.first + self.chosen))[-200:] + self._trace.first
        return [[step, self._trace[step].describe()] for step in steps.tolist()]

    @traitlets.observe("part", "chosen")
    def _moved(self, _: Any) -> None:
        if self.header and self.header["stories"] is None:
            self.history = self._history()

    # -- what is asked ---------------------------------------------------------------------------------------------

    def _start(self, entry: int | None, page: tuple[Any, int] | None) -> tuple[int, int]:
        if page is not None:
            process, address = page
            pid = getattr(process, "pid", process)
            mapper = getattr(self.source, "mappers", {}).get(pid)
            if mapper is None:
                raise NotFound(f"There is no process {quoted(pid)}; give a process of this machine, or its pid.")
            entry = _entry_at(mapper, whole_number(address, "address", 0, 1 << 57) // PAGE_SIZE)
            if not entry:
                raise NotFound(f"Page {address:#x} of process {pid} is not swapped out; reclaim it first.")
        if entry is None:
            return self._first_in_use()
        place = self._place(whole_number(entry, "entry", 1, (1 << 64) - 1))
        parts = self.slots.parts
        if place[0] < 0 or place[1] >= parts[place[0]].slots:
            raise NotFound(f"No slot {entry} is in the map; choose one of machine.swap.entries().")
        return place

    def _first_in_use(self) -> tuple[int, int]:
        part = self.slots.parts[0]
        counts = self.slots.counts(part)[:, :4].sum(axis=1)
        used = np.flatnonzero(counts)
        if not len(used):
            return 0, 0
        states = self.slots.states(part, int(used[0]) * 512, 512)
        return 0, int(used[0]) * 512 + int(np.flatnonzero(states < 4)[0])

    @traitlets.observe("want")
    def _asked(self, change: Any) -> None:
        want = change["new"]
        if "find" in want:
            self._find(*want["find"])
        elif want:
            part = self.slots.parts[whole_number(want["part"], "part", 0, len(self.slots.parts) - 1)]
            first = min(int(want["first"]), part.slots)
            given, cells = self._windows([(want["part"], first, min(int(want["nr"]), WHOLE))])
            with self.hold_sync():
                self.given, self.cells = given, cells

    def _find(self, kind: str, text: str) -> None:
        """Answer a search that the windows in the page can't: go there, or say why not."""
        self.answer = ""
        try:
            numbers = [int(part, 0) for part in text.replace(":", " ").split()]
            if kind == "page":
                pid = numbers[0] if len(numbers) > 1 else next(iter(getattr(self.source, "mappers", {})), 0)
                self.choose(page=(pid, numbers[-1]))
            elif kind == "slot":
                self.choose(entry=self.slots.parts[0].first + numbers[0])
            elif kind == "swapfile":
                self._choose_device(numbers[0] if len(numbers) > 1 else 0, numbers[-1])
            else:
                self.choose(entry=int(self.slots.swap.zswap.entry(numbers[0]).swpentry))
        except (ValueError, IndexError, AttributeError):
            self.answer = f"{quoted(text)} is no number; write it like 513, 0x1000 or 0:12."
        except SwapError as error:
            self.answer = str(error)

    def _choose_device(self, type: int, offset: int) -> None:
        parts = self.slots.parts
        at = next((i for i, part in enumerate(parts) if part.type == type), -1)
        if at < 0 or not 0 <= offset < parts[at].slots:
            raise NotFound(f"There is no slot {type}:{offset}; choose a swapfile that is on.")
        owner = self.slots.window(parts[at], offset, 1).get("owner") if parts[at].kind == "device" else None
        if owner is not None and len(owner) and owner[0]:
            self.choose(entry=int(owner[0]))
        else:
            with self.hold_sync():
                self.part, self.chosen = at, offset


def _entry_at(mapper: Any, vpn: int) -> int:
    """Return the swap entry that a page table holds for a page, 0 if none."""
    pte = mapper.pte(vpn * PAGE_SIZE) if hasattr(mapper, "pte") else None
    return int(pte.entry) if pte is not None and not pte.present and pte.entry else 0


def _packed(columns: Columns) -> bytes:
    return b"".join(_padded(column) for column in columns.values())


def _padded(column: npt.NDArray[Any]) -> bytes:
    data = np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
    return data + bytes(-len(data) % 8)
