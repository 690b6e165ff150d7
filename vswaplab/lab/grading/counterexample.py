"""A counter-example: the published random machine run on a machine that uses a learner's code, shrunk by hypothesis.

`find_counterexample` needs hypothesis. What it returns is the shortest run found: its operations, what was wrong, and
the trace, for the stepper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vswaplab.mm.machine import Machine
from vswaplab.observe.tracepoints import Trace

__all__ = ["CounterExample", "find_counterexample"]


@dataclass(frozen=True)
class CounterExample:
    """A run that ends in an error."""

    operations: tuple[str, ...]
    """What was done, the last of which failed, or the final check after it."""
    error: str
    trace: Trace | None
    """Of the machine: ``Stepper(found.trace)`` draws it."""

    def __str__(self) -> str:
        steps = "\n".join(f"  {number}. {operation}" for number, operation in enumerate(self.operations, 1))
        return f"{self.error}\nafter\n{steps}" if steps else self.error


@dataclass
class _Seen:
    operations: list[str]
    machine: Machine | None = None
    error: str = ""


def find_counterexample(
    make: Callable[..., Machine], examples: int = 30, steps: int = 20, *, shrink: bool = True, seed: int = 0
) -> CounterExample | None:
    """Run random machines that `make` makes; return the shortest failing run, None if all hold.

    `make` takes what `Machine` takes. The same `seed` gives the same runs.
    """
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import seed as seeded
    from hypothesis.stateful import run_state_machine_as_test

    from vswaplab.testing.stateful import state_machine

    seen = _Seen([])

    def factory(**shape: Any) -> Machine:
        seen.machine = None
        seen.machine = make(**shape)
        return seen.machine

    machines = _watched(state_machine(factory), seen)
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    try:
        run_state_machine_as_test(seeded(seed)(machines), settings=chosen)
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        trace = seen.machine.trace if seen.machine is not None else None
        return CounterExample(tuple(seen.operations), said, trace)
    return None


def _watched(machines: Any, seen: _Seen) -> Any:
    """Return the state machine, which notes what it does; hypothesis ends with the shortest run that fails."""

    class Watched(machines):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            seen.operations.clear()

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "driven" and value is not None:
                value.do = _noting(value.do, seen)
            super().__setattr__(name, value)

    return Watched


def _noting(do: Callable[..., None], seen: _Seen) -> Callable[..., None]:
    def noting(name: str, arguments: Any) -> None:
        given = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
        seen.operations.append(f"{name}({given})")
        do(name, arguments)

    return noting


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
