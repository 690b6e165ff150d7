"""States by token: a stepper over a scenario, opened where a token says, which tells the token of where it stands."""

from __future__ import annotations

from dataclasses import replace

from vswaplab.widgets.stepper import Stepper
from vswaplab.workloads.token import Token, open_token

__all__ = ["StateStepper"]


class StateStepper(Stepper):
    """The stepper of the state that a token names."""

    def __init__(self, state: Token) -> None:
        self._state = replace(state, event=None)
        with open_token(self._state) as run:
            super().__init__(run.machine, step=state.event)
        self.header = {**self.header, "token": self._state.encode()}  # a page finds the view by it

    @property
    def token(self) -> str:
        """The token of the event shown."""
        return replace(self._state, event=self.step).encode()
