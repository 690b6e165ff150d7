"""Backing flow: how many entries each backing has, at every event of a run.

>>> BackingFlow(machine)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import traitlets

from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.widgets.stepper import MAX_NODES
from vswaplab.widgets.view import View

__all__ = ["BackingFlow"]

_CODE = """from vswaplab import Backing
state = machine.trace.step(step)
{backing.name: state.count(backing) for backing in Backing}
"""


class BackingFlow(View):
    """Stacked areas of a machine's trace (or of a `Trace`), with a cursor; `step` is the events up to it."""

    named = "Backing flow"

    step = traitlets.Int(0, help="Events up to the cursor").tag(sync=True)
    last = traitlets.Int(0, help="Events there are")

    def __init__(self, source: Any, *, step: int | None = None, max_nodes: int = MAX_NODES) -> None:
        self.model = model = StepModel(source, max_nodes=max_nodes)
        packed = StepLog(model)
        start = len(model) if step is None else max(0, min(len(model), step))
        super().__init__(view="flow", header=packed.header, data=packed.data, code=_CODE, last=len(model), step=start)

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return how many entries each backing has at the position."""
        return [self.model.backed(self.step)]
