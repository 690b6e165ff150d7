"""What a submission may take of the machine, and what passing each limit is called, in words for a report."""

from __future__ import annotations

import signal
from dataclasses import dataclass

__all__ = [
    "BadProtocol",
    "GradingError",
    "Limits",
    "OutOfMemory",
    "OutOfTime",
    "StudentError",
    "TooManyProcesses",
    "TooMuchOutput",
    "WorkerDied",
    "ended",
    "in_words",
]


class GradingError(Exception):
    """The code can't be graded any further; the message is for its author's report."""


class OutOfTime(GradingError):
    """A call, or the whole submission, took longer than it may."""


class OutOfMemory(GradingError):
    """The code asked for more memory than it may have."""


class TooMuchOutput(GradingError):
    """The code printed more than it may."""


class TooManyProcesses(GradingError):
    """The code started processes of its own."""


class WorkerDied(GradingError):
    """The learner's process ended."""


class BadProtocol(GradingError):
    """Something else than an answer came out of the learner's process."""


class StudentError(Exception):
    """What a learner's code raised in its own process."""


@dataclass(frozen=True)
class Limits:
    """What a submission may take."""

    seconds: float = 10.0
    """Of wall time for a call, what it calls back included."""
    memory: int = 1 << 30
    """Bytes of address space."""
    output: int = 1 << 20
    """Bytes that it may print."""
    processes: int = 8
    """Processes that may be seen at once, bubblewrap's among them, where no filter refuses new ones."""
    budget: float = 600.0
    """Seconds of wall time for the whole submission, and of processor time for one of its processes."""


_SIGNALS = {
    int(signal.SIGKILL): "a signal (SIGKILL): it killed itself, or the machine ran out of memory",
    int(signal.SIGSEGV): "a signal (SIGSEGV): it read or wrote memory that it has not",
    int(signal.SIGABRT): "a signal (SIGABRT): the interpreter gave up",
    int(signal.SIGTERM): "a signal (SIGTERM): it ended itself",
    int(signal.SIGINT): "a signal (SIGINT): it interrupted itself",
    int(signal.SIGBUS): "a signal (SIGBUS): it read memory that is not there",
    int(signal.SIGFPE): "a signal (SIGFPE): its arithmetic failed",
    int(signal.SIGSYS): "a signal (SIGSYS): it made a system call that is not allowed",
}
"""What ends a process, in words. SIGXFSZ is ignored by Python: a file that grows too large is an OSError."""


def in_words(seconds: float) -> str:
    """Return a time as a report says it."""
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"


def ended(status: int | None, limits: Limits) -> GradingError:
    """Say in words how a learner's process ended: `status` is what `subprocess` has, None if it still runs."""
    if status is None:
        return WorkerDied("Its process closed the pipe to the checker.")
    number = -status if status < 0 else status - 128  # bubblewrap says 128 and the signal, as a shell does
    if number == signal.SIGXCPU:
        return OutOfTime(f"It uses more than {in_words(int(limits.budget))} of processor time.")
    if number in _SIGNALS:
        return WorkerDied(f"Its process was ended by {_SIGNALS[number]}.")
    return WorkerDied(f"Its process ended by itself (status {status}).")
