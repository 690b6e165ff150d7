"""The state machine of backings: which transitions a run made, how often, and by which events.

>>> StateMachine(machine)  # doctest: +SKIP

Arrows are the transitions that the design knows (section 3.8 of docs/facts.md); those that have not happened yet are
faint. The counts grow as the position moves. Choosing a transition lists its events, and choosing one of these goes
there.
"""

from __future__ import annotations

from typing import Any

import traitlets

from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.widgets.stepper import MAX_NODES
from vswaplab.widgets.view import View

__all__ = ["StateMachine"]

_CODE = """from vswaplab.events import Event
[(record.old, record.new) for record in machine.trace if record.event is Event.BACKING]
"""


class StateMachine(View):
    """Transitions of a machine's trace (or of a `Trace`); `step` is the number of events counted so far."""

    named = "State machine of backings"

    step = traitlets.Int(0, help="Events counted so far").tag(sync=True)
    last = traitlets.Int(0, help="Events there are")

    def __init__(self, source: Any, *, step: int | None = None, max_nodes: int = MAX_NODES) -> None:
        self.model = model = StepModel(source, max_nodes=max_nodes)
        packed = StepLog(model)
        start = len(model) if step is None else max(0, min(len(model), step))
        super().__init__(
            view="statemachine", header=packed.header, data=packed.data, code=_CODE, last=len(model), step=start
        )

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return how many entries each backing has at the position."""
        return [self.model.backed(self.step)]
