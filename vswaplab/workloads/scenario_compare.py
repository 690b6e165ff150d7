"""A scenario on both designs in lockstep: what differs after each operation; see `vswaplab.observe.compare`.

>>> comparison = compare_scenario("one_page")
>>> [(step.operation, step.sides["legacy"].slots_used, step.sides["virtual"].slots_used)
...     for step in comparison.steps if step.operation in ("reclaim", "writeback")]
[('reclaim', 1, 0), ('writeback', 1, 1)]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vswaplab.observe.compare import Comparison, compare
from vswaplab.observe.ledger import AS_POSTED
from vswaplab.workloads.scenario_data import Operation, check_scenario, load_scenario
from vswaplab.workloads.scenarios import Player, start_scenario

__all__ = ["COMPARED", "compare_scenario", "operation_name"]

COMPARED = ("legacy", "virtual")
"""The designs, what was before first."""

_NAMED = ("op", "what", "device", "name", "process", "child", "region", "label", "memcg")


def compare_scenario(
    scenario: Mapping[str, Any] | str | Path, folder: str | Path | None = None, mode: str = AS_POSTED
) -> Comparison:
    """Run a scenario (its data, or a name or path for `load_scenario`) on both designs and return what differs.

    The scenario's own design is left aside. With `folder` the swap devices are real files, in ``<folder>/<design>``.
    `mode` is how bytes of metadata are counted. An operation that fails in one design is the last; both machines are
    closed in the end.
    """
    if isinstance(scenario, str | Path):
        scenario = load_scenario(scenario)
    else:
        check_scenario(scenario)
    with ExitStack() as stack:
        players: dict[str, Player] = {}
        for design in COMPARED:
            place = None if folder is None else Path(folder) / design
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)
            players[design] = start_scenario(scenario, design, place)
            stack.enter_context(players[design].run)
        machines = {design: player.machine for design, player in players.items()}
        operations = [
            (operation_name(operation), _on_either(players, number))
            for number, operation in enumerate(scenario["operations"])
        ]
        traces = {design: machine.trace for design, machine in machines.items() if machine.trace is not None}
        return Comparison(scenario["name"], list(compare(machines, operations, mode)), traces)


def _on_either(players: Mapping[str, Player], number: int) -> Callable[[Any], None]:
    """Return what does one operation on a machine of either design."""
    return lambda machine: players[machine.design].do(number)


def operation_name(operation: Operation) -> str:
    """Return an operation as tables name it: what is done, to what.

    >>> operation_name({"op": "read", "process": "app", "region": "heap", "pages": 2})
    'read app heap, 2 pages'
    """
    name = " ".join(str(operation[key]) for key in _NAMED if key in operation)
    pages = operation.get("pages")
    return name if pages is None else f"{name}, {pages} page{'s' if pages != 1 else ''}"
