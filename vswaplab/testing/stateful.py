"""The random machine as a hypothesis state machine, which shrinks what it finds. It needs hypothesis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from vswaplab.mm.machine import Machine
from vswaplab.testing.draws import Draw, Operation
from vswaplab.testing.operations import OPERATIONS, SHAPE, Operations

__all__ = ["StatefulMachine", "state_machine"]

# Their types ask for arguments by name, which here come out of a table.
_rule_of: Any = rule
_first_rule_of: Any = initialize


def _strategy(draw: Draw) -> st.SearchStrategy[Any]:
    if draw.choices:
        found: st.SearchStrategy[Any] = st.sampled_from(draw.choices)
    elif draw.most_bytes:
        found = st.binary(min_size=1, max_size=draw.most_bytes)
    else:
        found = st.integers(draw.low, draw.high)
    return st.none() | found if draw.optional else found


def _rule(operation: Operation) -> Any:
    """Return a rule that does one operation."""

    def run(self: StatefulMachine, **arguments: Any) -> None:
        assert self.driven is not None
        self.driven.do(operation.name, arguments)

    run.__name__ = operation.name
    made = _rule_of(**{name: _strategy(draw) for name, draw in operation.draws.items()})(run)
    return precondition(lambda self: self.driven is not None and operation.possible(self.driven))(made)


class StatefulMachine(RuleBasedStateMachine):
    """Drives a machine at random; its rules are the operations, added by `state_machine`."""

    factory: ClassVar[Callable[..., Machine]] = Machine
    """Makes the machine; see `Operations.begin` for what it is called with."""
    tally: ClassVar[Counter[str]] = Counter()
    """What all machines of this class did."""

    def __init__(self) -> None:
        super().__init__()
        self.driven: Operations | None = None

    def teardown(self) -> None:
        """Hold the machine to all that must be true at its end."""
        if self.driven is not None:
            try:
                self.driven.finish()
            finally:
                self.driven.close()


def _begin() -> Any:
    """Return the rule that comes first: it makes a machine."""

    def begin(self: StatefulMachine, **shape: Any) -> None:
        self.driven = Operations.begin(type(self).factory, type(self).tally, **shape)

    return _first_rule_of(**{name: _strategy(draw) for name, draw in SHAPE.items()})(begin)


def state_machine(factory: Callable[..., Machine]) -> type[StatefulMachine]:
    """Return the state machine for machines that `factory` makes."""
    members = {"factory": staticmethod(factory), "tally": Counter[str](), "begin": _begin()}
    members |= {operation.name: _rule(operation) for operation in OPERATIONS}
    return type("SwapMachine", (StatefulMachine,), members)
