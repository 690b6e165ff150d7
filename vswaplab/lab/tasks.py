"""Tasks: a function of the learner's own, run against checks, each with its name and its message.

An exception is one short line; a function that does not end is stopped, where the system lets a running function be
stopped: in the main thread, which is where cells run.

>>> from vswaplab.lab.questions import Check, Task
>>> half = Task(id="00/half", prompt="Halve it.", checks=[Check("of 4", lambda f: f(4) == 2, "Half of 4 is 2.")])
>>> print(run_task(half, lambda n: n // 2))
correct: 1 of 1 checks passed.
  passed  of 4
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from vswaplab.lab.checking import Feedback, Kind
from vswaplab.lab.questions import Check, Task

__all__ = ["CheckResult", "TaskResult", "run_task"]

_MAX_MESSAGE = 300


@dataclass(frozen=True)
class CheckResult:
    """What one check found."""

    name: str
    passed: bool
    message: str
    """"" where it passed."""


@dataclass(frozen=True)
class TaskResult:
    """What all checks of a task found."""

    results: tuple[CheckResult, ...]

    @property
    def feedback(self) -> Feedback:
        """The whole in one: correct if all passed, almost if at least half did."""
        passed = sum(result.passed for result in self.results)
        said = f"{passed} of {len(self.results)} checks passed."
        if passed == len(self.results):
            return Feedback(Kind.CORRECT, said)
        first = next(result for result in self.results if not result.passed)
        kind = Kind.ALMOST if 2 * passed >= len(self.results) else Kind.KEEP_WORKING
        return Feedback(kind, f"{said} {first.name}: {first.message}")

    def __str__(self) -> str:
        rows = [
            f"  {'passed' if each.passed else 'failed'}  {each.name}{f': {each.message}' if each.message else ''}"
            for each in self.results
        ]
        passed = sum(result.passed for result in self.results)
        return "\n".join([f"{self.feedback.kind.value}: {passed} of {len(self.results)} checks passed.", *rows])


class _TimeIsUp(BaseException):
    """Not an Exception, so that a function which catches those can't catch it."""


def run_task(task: Task, function: Any) -> TaskResult:
    """Run all checks of a task on a function; whatever the function does, each check has a result."""
    if not callable(function):
        said = f"This is no function but a {type(function).__name__}: give the function itself, without ()."
        return TaskResult(tuple(CheckResult(check.name, False, said) for check in task.checks))
    ends = time.monotonic() + task.seconds
    return TaskResult(tuple(_run(check, function, ends - time.monotonic(), task.seconds) for check in task.checks))


def _run(check: Check, function: Callable[..., object], left: float, seconds: float) -> CheckResult:
    try:
        with _limit(left):
            said = check.test(function)
            passed = said is None or bool(said)
        return CheckResult(check.name, passed, "" if passed else check.message)
    except _TimeIsUp:
        message = f"It had not ended after {seconds:g} seconds; is there a loop that never does?"
    except AssertionError as error:
        message = _short(str(error)) or check.message
    except RecursionError:
        message = "It calls itself without end; when does it stop?"
    except Exception as error:
        message = f"{check.message} It raised {_short(traceback.format_exception_only(error)[-1])}{_line(error)}"
    except SystemExit:
        message = f"{check.message} It ended the program; return a value instead."
    return CheckResult(check.name, False, message)


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUp` in here once the time is over, if this is the main thread."""
    if seconds <= 0:
        raise _TimeIsUp
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    # Again and again: a ring that falls into a finalizer or a callback of C is swallowed there.
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)
    try:
        yield
    finally:
        with suppress(_TimeIsUp):  # one that rings just now
            signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MAX_MESSAGE else f"{plain[:_MAX_MESSAGE]}…"


def _line(error: Exception) -> str:
    """Say on which line of the learner's own cell an exception came up."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/vswaplab/" not in frame.filename]
    return f", on line {own[-1].lineno} of its cell." if own and "ipykernel" in own[-1].filename else "."
