"""Scenarios: a machine and what is done with it, as plain data.

A scenario is JSON (see `vswaplab.workloads.scenario_data`): the machine's settings and a list of operations. Pages are
written with made pages, real pages or text, and every page that is *read* is compared with what was written. Each
``mark`` ends a phase and adds a row of counters to the table.

>>> run = run_scenario("one_page")
>>> [(row["phase"], row["vswap_back_zswap"], row["slots_used"]) for row in run.phases]
[('written', 0, 0), ('out', 1, 0), ('written back', 0, 1), ('read back', 0, 1), ('swapped off', 0, 0)]
>>> run.pages_verified
1
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from vswaplab.backends.block_device import Fault
from vswaplab.errors import InvalidArgument, InvariantError, SwapError, error_for
from vswaplab.mm.machine import Machine
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import Process, Region
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import path_of
from vswaplab.units import PAGE_SIZE, ZERO_PAGE
from vswaplab.workloads.corpus import KINDS, mix_pages, page_bytes, real_pages
from vswaplab.workloads.counters import counters
from vswaplab.workloads.scenario_data import Operation, check_scenario, load_scenario

__all__ = ["Player", "ScenarioRun", "run_scenario", "start_scenario"]


@dataclass
class ScenarioRun:
    """A machine after a scenario, with the names that the scenario gave to things in it. Close it when done."""

    name: str
    machine: Machine
    phases: list[dict[str, Any]] = field(default_factory=list)
    """A row of counters for each mark, under "phase" its label."""
    processes: dict[str, Process] = field(default_factory=dict)
    regions: dict[tuple[str, str], Region] = field(default_factory=dict)
    """By process and name."""
    memcgs: dict[str, Memcg] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    swapoffs: list[SwapoffReport] = field(default_factory=list)
    pages_verified: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.machine.close()

    def as_dict(self) -> dict[str, Any]:
        """Return what can be written as JSON."""
        return {
            "name": self.name,
            "design": self.machine.design,
            "phases": self.phases,
            "swapoffs": [report.as_dict() for report in self.swapoffs],
            "pages_verified": self.pages_verified,
        }

    def __str__(self) -> str:
        """Return the phases as a table: a line a counter, a column a phase; counters that stay 0 are left out."""
        names = [name for name in (self.phases[0] if self.phases else ()) if any(row[name] for row in self.phases)]
        columns = [names, *([str(row[name]) for name in names] for row in self.phases)]
        widths = [max(map(len, column), default=0) for column in columns]
        lines = [
            "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in zip(*columns, strict=True)
        ]
        return "\n".join([*lines, f"{self.pages_verified} pages read back, all equal to what was written"])


def run_scenario(
    scenario: Mapping[str, Any] | str | Path, design: str | None = None, folder: str | Path | None = None
) -> ScenarioRun:
    """Run a scenario (its data, or a name or path for `load_scenario`) and return the machine and the phase table.

    `design` overrides the scenario's own; with `folder` each swap device is a real file ``<device>.img`` in it, else
    it is in memory. Errors of an operation come out as they are, with the operation's place before the message;
    InvariantError when a page reads back other than it was written.
    """
    scenario = _checked(scenario)
    player = start_scenario(scenario, design, folder)
    try:
        for number in range(len(scenario["operations"])):
            player.do(number)
    except BaseException:
        player.machine.close()
        raise
    return player.run


def start_scenario(
    scenario: Mapping[str, Any] | str | Path, design: str | None = None, folder: str | Path | None = None
) -> Player:
    """Make the machine of a scenario, and who does its operations there, one by one; arguments as for `run_scenario`.

    Close `player.machine` when done.
    """
    scenario = _checked(scenario)
    settings = dict(scenario.get("machine", {}))
    if design is not None:
        settings["design"] = design
    run = ScenarioRun(scenario["name"], Machine(**settings))
    return Player(run, scenario["operations"], None if folder is None else path_of(folder, "A folder"))


def _checked(scenario: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    if isinstance(scenario, str | Path):
        return load_scenario(scenario)
    check_scenario(scenario)
    return scenario


class Player:
    """Does the operations on a machine; a method for each. Keeps what every written page should read."""

    def __init__(self, run: ScenarioRun, operations: Sequence[Operation], folder: Path | None) -> None:
        self.run, self.machine, self.operations, self.folder = run, run.machine, operations, folder
        self.written: dict[str, dict[tuple[str, int], bytes]] = {}

    def do(self, number: int) -> None:
        """Do one operation; its errors come out as they are, with its place before the message."""
        operation = self.operations[number]
        try:
            getattr(self, operation["op"])(operation)
        except SwapError as error:
            place = f"operations[{number}] ({operation['op']})"
            raise error_for(error.errno or error.code, f"Scenario, at {place}: {error}") from error

    def _range(self, operation: Operation) -> Iterator[tuple[int, int]]:
        """Yield (page of the region, address)."""
        region = self.run.regions[operation["process"], operation["region"]]
        first = operation.get("first", 0)
        for page in range(first, first + operation.get("pages", region.pages - first)):
            yield page, region.start + page * PAGE_SIZE

    def _process(self, operation: Operation) -> Process:
        return self.run.processes[operation["process"]]

    def _memcg(self, operation: Operation, key: str = "memcg") -> Memcg | None:
        return self.run.memcgs[operation[key]] if key in operation else None

    def swapon(self, operation: Operation) -> None:
        path = None if self.folder is None else self.folder / f"{operation['device']}.img"
        device = self.machine.swapon(path, size=operation["size"], priority=operation.get("priority"))
        self.run.devices[operation["device"]] = device

    def swapoff(self, operation: Operation) -> None:
        self.run.swapoffs.append(self.machine.swapoff(self.run.devices[operation["device"]]))
        del self.run.devices[operation["device"]]

    def memcg(self, operation: Operation) -> None:
        limits = {
            key: operation[key] for key in ("max", "swap_max", "zswap_max", "zswap_writeback") if key in operation
        }
        parent = self._memcg(operation, "parent")
        self.run.memcgs[operation["name"]] = self.machine.memcg(operation["name"], **limits, parent=parent)

    def spawn(self, operation: Operation) -> None:
        name = operation["process"]
        process = self.machine.spawn(name, memcg=self._memcg(operation), cpu=operation.get("cpu", 0))
        self.run.processes[name], self.written[name] = process, {}

    def fork(self, operation: Operation) -> None:
        parent, child = operation["process"], operation["child"]
        self.run.processes[child] = self._process(operation).fork(child)
        self.written[child] = dict(self.written[parent])
        for (process, name), region in list(self.run.regions.items()):
            if process == parent:
                self.run.regions[child, name] = region

    def exit(self, operation: Operation) -> None:
        name = operation["process"]
        self._process(operation).exit()
        del self.run.processes[name], self.written[name]
        for key in [key for key in self.run.regions if key[0] == name]:
            del self.run.regions[key]

    def mmap(self, operation: Operation) -> None:
        region = self._process(operation).mmap(operation["size"], order=operation.get("order", 0))
        self.run.regions[operation["process"], operation["region"]] = region

    def munmap(self, operation: Operation) -> None:
        pages = list(self._range(operation))
        self._process(operation).munmap(pages[0][1], len(pages) * PAGE_SIZE)
        for page, _ in pages:
            self.written[operation["process"]].pop((operation["region"], page), None)

    def write(self, operation: Operation) -> None:
        process, written = self._process(operation), self.written[operation["process"]]
        contents = operation["contents"]
        source, at = _source(contents), contents.get("from", 0)
        for page, address in self._range(operation):
            data = source[at % len(source)]
            process.write(address, data)
            key = operation["region"], page
            written[key] = data + written.get(key, ZERO_PAGE)[len(data) :]
            at += 1

    def touch(self, operation: Operation) -> None:
        addresses = np.array([address for _, address in self._range(operation)])
        self._process(operation).touch(addresses, operation.get("write", False))

    def read(self, operation: Operation) -> None:
        process, written = self._process(operation), self.written[operation["process"]]
        for page, address in self._range(operation):
            if process.read(address, PAGE_SIZE) != written.get((operation["region"], page), ZERO_PAGE):
                where = f"PTE of page {address // PAGE_SIZE:#x} of process {process.pid}"
                raise InvariantError(
                    "contents", f"Page {page} of {operation['region']} reads other than it was written ({where})."
                )
            self.run.pages_verified += 1

    def reclaim(self, operation: Operation) -> None:
        self.machine.reclaim(operation.get("pages"), memcg=self._memcg(operation))

    def writeback(self, operation: Operation) -> None:
        self.machine.writeback(operation.get("pages"), memcg=self._memcg(operation))

    def fail(self, operation: Operation) -> None:
        what, nth, times = operation["what"], operation.get("nth", 1), operation.get("times", 1)
        if "device" in operation:
            fault = Fault(what, operation.get("error", "EIO"), nth=nth, times=times)
            self.run.devices[operation["device"]].device.inject(fault)
        elif self.machine.zswap is None:
            raise InvalidArgument("The machine has no zswap to fail; give it one, or let a device fail.")
        else:
            self.machine.zswap.inject(what, nth, times)

    def heal(self, operation: Operation) -> None:
        for si in self.machine.devices:
            si.device.clear_faults()
        if self.machine.zswap is not None:
            self.machine.zswap.clear_faults()

    def mark(self, operation: Operation) -> None:
        self.machine.mark(operation["label"])
        self.run.phases.append({"phase": operation["label"], **counters(self.machine)})


def _source(contents: Mapping[str, Any]) -> Sequence[bytes]:
    """Return the pages that a write draws on in turn; text is shorter than a page and leaves the rest as it was."""
    if "mix" in contents:
        return mix_pages(contents["mix"])
    if "kind" in contents:
        return [page_bytes(contents["kind"], p) for p in range(KINDS[contents["kind"]])]
    if "real" in contents:
        return real_pages(None if contents["real"] == "all" else contents["real"])
    return [str(contents["text"]).encode()[:PAGE_SIZE]]
