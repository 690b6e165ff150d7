"""Break-it mode: a scenario on a machine from which one rule of the protocol was taken, and what that breaks.

Your machine stays whole: the scenario runs on one of its own, beside a sound one. After every operation all invariants
are checked; the first that does not hold ends the run. The step is the first event in which the two runs differ, or,
where the trace does not show the fault, the last event of the operation.

>>> run = break_it("set-the-rmap")
>>> run.operation, run.finding.invariant, run.finding.edge
('writeback, 4 pages', 'rmap-points-back', 'rmap')
>>> run.close()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vswaplab.errors import InvalidArgument, InvariantError, NotFound
from vswaplab.mm.machine import Machine
from vswaplab.observe.audit import Finding, audit, locate
from vswaplab.observe.tracepoints import Trace
from vswaplab.strict import quoted
from vswaplab.workloads.broken_rules import RULES, Rule
from vswaplab.workloads.scenario_compare import operation_name
from vswaplab.workloads.scenario_data import load_scenario
from vswaplab.workloads.scenarios import Player, start_scenario

__all__ = ["STORY", "BrokenRun", "break_it"]

STORY = "parent_and_child"
"""The scenario in which every rule is missed."""


@dataclass(frozen=True)
class BrokenRun:
    """A machine without one rule, stopped at the first broken invariant. Close it when done."""

    rule: Rule
    machine: Machine
    operations: tuple[tuple[str, int], ...]
    """What was done, in order, each with the number of events in the trace after it."""
    finding: Finding | None
    """What is broken; None if the scenario never missed the rule."""
    step: int
    """The event of the trace at which it goes wrong; -1 if it never does."""

    @property
    def operation(self) -> str:
        """The operation in which it goes wrong, or the last."""
        return self.operations[-1][0] if self.operations else ""

    def close(self) -> None:
        """Close the machine."""
        self.machine.close()


def break_it(
    rule: str, scenario: Mapping[str, Any] | str | Path = STORY, design: str = "virtual", folder: Path | None = None
) -> BrokenRun:
    """Run a scenario without one rule (a name of `RULES`) until an invariant does not hold.

    NotFound for a rule that there is not, InvalidArgument for one that the design does not have.
    """
    chosen = RULES.get(rule)
    if chosen is None:
        raise NotFound(f"There is no rule {quoted(rule)}; choose one of: {', '.join(RULES)}.")
    if design not in chosen.designs:
        raise InvalidArgument(
            f"The {design} design has no rule {quoted(rule)}; choose design={' or '.join(map(repr, chosen.designs))}."
        )
    if isinstance(scenario, str | Path):
        scenario = load_scenario(scenario)
    broken = start_scenario(scenario, design, folder)
    sound = start_scenario(scenario, design)
    try:
        chosen.remove(broken.machine)
        return _run(chosen, broken, sound)
    except BaseException:
        broken.machine.close()
        raise
    finally:
        sound.machine.close()


def _run(rule: Rule, broken: Player, sound: Player) -> BrokenRun:
    machine, done = broken.machine, []
    trace, whole = machine.trace, sound.machine.trace
    assert trace is not None
    assert whole is not None
    for number, operation in enumerate(broken.operations):
        sound.do(number)
        finding = _attempt(broken, number)
        done.append((operation_name(operation), len(trace)))
        if finding is not None:
            return BrokenRun(rule, machine, tuple(done), finding, _first_difference(trace, whole))
    return BrokenRun(rule, machine, tuple(done), None, -1)


def _attempt(player: Player, number: int) -> Finding | None:
    """Do one operation and look for what is broken; a broken machine may fail in any way."""
    try:
        player.do(number)
    except InvariantError as error:
        return locate(player.machine, error)
    except Exception as error:
        found = audit(player.machine)
        if found is None:  # it stumbled before any invariant could tell
            raise
        return Finding(found.invariant, f"{found.detail} ({error})", found.edge, found.entries, found.ptes)
    return audit(player.machine)


def _first_difference(trace: Trace, whole: Trace) -> int:
    """Return the first event that differs between two runs, else the last one."""
    mine, theirs = trace.records(), whole.records()
    nr = min(len(mine), len(theirs))
    names = [name for name in mine.dtype.names or () if name not in ("time", "seq")]
    for at in range(nr):
        if any(mine[name][at] != theirs[name][at] for name in names):
            return trace.first + at
    return trace.first + (nr if len(mine) > nr else len(mine) - 1)
