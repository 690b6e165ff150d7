"""Twin player: one scenario through both designs side by side, one cursor, what differs marked and counted.

>>> TwinPlayer("parent_and_child")  # doctest: +SKIP

The cursor moves by operations of the scenario. Each design shows where every page is, its slots, and what has the
contents; pages that are not in the same kind of place are ringed. Below, look-ups, slots, bytes of metadata and pages
read and written as they grow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from vswaplab.errors import InvalidArgument
from vswaplab.observe.compare import Comparison, Side, Step, searches
from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.widgets.stepper import MAX_NODES
from vswaplab.widgets.view import View
from vswaplab.workloads.scenario_compare import COMPARED, compare_scenario

__all__ = ["TwinPlayer"]

_CODE = """from vswaplab.workloads.scenario_compare import compare_scenario
comparison = compare_scenario({scenario})
comparison.steps[{step}].differences()
comparison.steps[{step}].pages_elsewhere()
"""


class TwinPlayer(View):
    """Player of a scenario (its data, name or path) in both designs, or of a `Comparison` that has both traces.

    `step` is the number of operations done, 0 to `last`. What a scenario does before its first event shows nothing.
    """

    named = "Twin player"

    step = traitlets.Int(0, help="Operations done so far").tag(sync=True)
    last = traitlets.Int(0, help="Operations there are")

    def __init__(
        self,
        scenario: Comparison | Mapping[str, Any] | str | Path,
        *,
        step: int | None = None,
        max_nodes: int = MAX_NODES,
    ) -> None:
        made = isinstance(scenario, Comparison)
        self.comparison = scenario if isinstance(scenario, Comparison) else compare_scenario(scenario)
        traces, steps = self.comparison.traces, self.comparison.steps
        if set(traces) != set(COMPARED) or not steps:
            raise InvalidArgument("The twin player needs the steps and traces of both designs; use compare_scenario().")
        header: dict[str, Any] = {
            "steps": [_told(each) for each in steps],
            "series": _series(steps),
            "designs": COMPARED,
        }
        data = b""
        for design in COMPARED:
            model = StepModel(traces[design], max_nodes=max_nodes)
            packed = StepLog(model)
            done = list(accumulate(len(each.sides[design].records) for each in steps))
            at = np.searchsorted(model.steps, [0, *done]).tolist()
            header[design] = {"log": packed.header, "begin": len(data), "end": len(data) + len(packed.data), "at": at}
            data += packed.data
        named = "scenario" if made or isinstance(scenario, Mapping) else repr(str(scenario))
        start = len(steps) if step is None else max(0, min(len(steps), step))
        super().__init__(
            view="twin", header=header, data=data, code=_CODE.replace("{scenario}", named), last=len(steps), step=start
        )

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return the operation done last, and where pages and slots are after it in each design."""
        if not self.step:
            return ["Nothing is done yet, in neither design."]
        step = self.comparison.steps[self.step - 1]
        return [f"Done last: {step.operation}.", *(_stood(design, step.sides[design]) for design in COMPARED)]


def _stood(design: str, side: Side) -> str:
    where = ", ".join(f"{count} in {place}" for place, count in side.where.items()) or "none"
    return f"In the {design} design, pages: {where}; slots in use on devices: {side.slots_used}."


def _told(step: Step) -> dict[str, Any]:
    """Return what the page says of one step: its differences and its events by name, each in both designs."""
    events: dict[str, Counter[str]] = {design: Counter() for design in COMPARED}
    for event in step.events:
        for design in event.records:
            events[design][event.name] += 1
    names = dict.fromkeys(event.name for event in step.events)
    return {
        "operation": step.operation,
        "differences": [[name, *pair] for name, pair in step.differences().items()],
        "events": [[name, *(events[design][name] for design in COMPARED)] for name in names],
        "error": " ".join(side.error for side in step.sides.values() if side.error),
    }


def _series(steps: list[Step]) -> list[dict[str, Any]]:
    """Return what is counted after each step (and before the first: 0), for each design; look-ups and pages add up."""

    def sums(count: Any) -> dict[str, list[float]]:
        return {design: [0, *accumulate(count(step.sides[design]) for step in steps)] for design in COMPARED}

    def levels(count: Any) -> dict[str, list[float]]:
        return {design: [0, *(count(step.sides[design]) for step in steps)] for design in COMPARED}

    def moved(side: Side) -> int:
        return side.io.get("pages_read", 0) + side.io.get("pages_written", 0)

    return [
        {"name": "look-ups", "note": "searches, so far", **sums(lambda side: searches(side.lookups))},
        {"name": "slots in use", "note": "on the swapfiles", **levels(lambda side: side.slots_used)},
        {"name": "metadata", "note": "bytes", **levels(lambda side: side.metadata_bytes)},
        {"name": "device", "note": "pages read and written, so far", **sums(moved)},
    ]
