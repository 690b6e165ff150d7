"""The stepper: the slot graph at any event of a trace, forwards and backwards, in either design.

>>> Stepper(machine)  # doctest: +SKIP

The whole log goes to the browser once; stepping, playing and jumping happen there, and `step` follows. All of it works
from the keyboard: arrows step (ten at a time with shift), space plays, page keys change the phase, home and end go to
the ends, plus and minus change the speed. It says what it shows in words and as a table too.
"""

from __future__ import annotations

from typing import Any

import traitlets

from vswaplab.widgets.step_log import StepLog
from vswaplab.widgets.step_model import StepModel
from vswaplab.widgets.view import View

__all__ = ["MAX_NODES", "Stepper"]

MAX_NODES = 8192
"""Things in a column that can still be told apart; more than these are for a map."""

_CODE = """from vswaplab.figures.slot_graph import slot_graph_figure
now, before = machine.trace.step({step}), machine.trace.step({before})
slot_graph_figure(now, highlight=now.diff(before))
machine.trace[{step}].describe()
"""


class Stepper(View):
    """Slot graph of a machine's trace (or of a `Trace`), one event at a time.

    `step` is the number of events shown so far, 0 to `last`; it begins at the last unless told. `pid`, `entry` and
    `every_event` choose the events, see `StepModel`.
    """

    named = "Stepper"

    step = traitlets.Int(0, help="Events shown so far").tag(sync=True)
    last = traitlets.Int(0, help="Events there are to show")

    def __init__(
        self,
        source: Any,
        *,
        pid: int | None = None,
        entry: int | None = None,
        every_event: bool = False,
        step: int | None = None,
        max_nodes: int = MAX_NODES,
    ) -> None:
        self.model = StepModel(source, pid=pid, entry=entry, every_event=every_event, max_nodes=max_nodes)
        packed = StepLog(self.model)
        start = len(self.model) if step is None else max(0, min(len(self.model), step))
        super().__init__(
            view="stepper", header=packed.header, data=packed.data, code=_CODE, last=len(self.model), step=start
        )

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def shows(self) -> list[str]:
        """Return the picture in words."""
        return [self.model.alt(self.step)]

    def show_code(self) -> str:
        """Return the library calls that make this picture."""
        step = self.model.steps[self.step - 1] if self.step else self.model.first - 1
        return self.code.replace("{step}", str(step)).replace("{before}", str(max(self.model.first - 1, step - 1)))
