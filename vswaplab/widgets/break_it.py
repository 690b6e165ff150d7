"""Break-it mode as a view: find the step, the edge and the invariant of a machine that lacks one rule.

>>> BreakIt("count-the-duplicate")  # doctest: +SKIP
>>> BreakIt(seed=7)  # doctest: +SKIP

The scenario runs on a machine of its own; yours stays whole. The learner steps through its trace, names the event at
which it goes wrong, the place and the invariant, and is told how near each is; then the edge is coloured and named.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import traitlets

from vswaplab.errors import InvalidArgument
from vswaplab.observe.audit import EDGES, PLACES
from vswaplab.strict import seed_number
from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.widgets.view import View
from vswaplab.workloads.break_it import STORY, break_it
from vswaplab.workloads.broken_rules import RULES

__all__ = ["BreakIt"]

CHOICES = 8
"""Invariants to choose from, the right one among them."""

_CODE = """from vswaplab.workloads.break_it import break_it
run = break_it({rule!r}, {scenario}, {design!r})
run.operation, run.step, run.finding
run.machine.check()
"""


class BreakIt(View):
    """Stepper over a run without one rule; `rule` is a name of `RULES`, or None: one that `seed` chooses."""

    named = "Break-it mode"

    step = traitlets.Int(0, help="Events shown so far").tag(sync=True)
    last = traitlets.Int(0, help="Events there are to show")

    def __init__(
        self,
        rule: str | None = None,
        scenario: Mapping[str, Any] | str | Path = STORY,
        design: str = "virtual",
        *,
        seed: int = 0,
    ) -> None:
        draw = random.Random(seed_number(seed))
        if rule is None:
            rule = draw.choice([name for name, each in RULES.items() if design in each.designs] or list(RULES))
        self.run = break_it(rule, scenario, design)
        if self.run.finding is None:
            raise InvalidArgument(f"This scenario never misses the rule {rule!r}; run {STORY!r}, which does.")
        model = StepModel(self.run.machine, every_event=True)
        packed = StepLog(model)
        header = {**packed.header, "quiz": self._quiz(model, draw)}
        named = "scenario" if isinstance(scenario, Mapping) else repr(str(scenario))
        code = _CODE.format(rule=rule, scenario=named, design=design)
        first = max(0, header["quiz"]["within"][0] - 1)
        super().__init__(view="breakit", header=header, data=packed.data, code=code, last=len(model), step=first)

    def _quiz(self, model: StepModel, draw: random.Random) -> dict[str, Any]:
        """Return what is to be found, things by their numbers in the log, positions instead of steps."""
        run, finding, universe = self.run, self.run.finding, model.layout.universe
        assert finding is not None
        entries = {entry: at for at, entry in enumerate(universe.entries)}
        ptes = {key: at for at, key in enumerate(universe.ptes)}
        before = run.operations[-2][1] if len(run.operations) > 1 else 0
        others = sorted({name for rule in RULES.values() for name in rule.invariant.values()} - {finding.invariant})
        choices = [finding.invariant, *draw.sample(others, CHOICES - 1)]
        return {
            "rule": run.rule.says,
            "without": run.rule.without,
            "operation": run.operation,
            "within": [before + 1, run.operations[-1][1]],
            "event": run.step - model.first + 1,
            "edge": finding.edge,
            "invariant": finding.invariant,
            "detail": finding.detail,
            "entries": [entries[entry] for entry in finding.entries if entry in entries],
            "ptes": [ptes[key] for key in finding.ptes if key in ptes],
            "places": PLACES,
            "edges": EDGES,
            "choices": sorted(choices),
        }

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return what is to be found, and nothing of what it is."""
        return [
            "One rule is taken away from the machine. Find the event that goes wrong, the place, and the invariant."
        ]
