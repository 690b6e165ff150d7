"""Grading many submissions: a process for each, several at once, and no submission that ends the run.

The checker of a submission is a process of its own, with limits, because it computes with what a learner's code
returns. This module only starts it, waits, and takes over its answer. Whatever happens to it, the submission has its
row, and a run can be interrupted at any moment: the processes end at once, and what was graded stays.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vswaplab.lab.grading.cgroup import Cgroup
from vswaplab.lab.grading.checker import grade_here
from vswaplab.lab.grading.collect import Submission, submissions_in
from vswaplab.lab.grading.limits import Limits, in_words
from vswaplab.lab.grading.model import Lab, Outcome
from vswaplab.lab.grading.results import Graded, report, write_results
from vswaplab.lab.grading.sandbox import require_sandbox
from vswaplab.lab.grading.submission import runnable

__all__ = ["Graded", "grade", "grade_all", "report", "submissions_in", "write_results"]

Progress = Callable[[int, int], None]

_SPARE_ADDRESSES = 16 << 30
"""Address space that a checker may take beyond what it has when it starts: machines reserve far more than they use."""
_MAX_RESIDENT = 2 << 30
"""Memory that a checker may have."""
_SPARE_SECONDS = 30.0
"""What a checker may take beyond a submission's budget: it notices the budget itself before."""
_MAX_ANSWER = 1 << 24
_PR_SET_PDEATHSIG = 1


def grade(path: Path | Submission, lab: Lab, limits: Limits | None = None, *, unsafe: bool = False) -> Graded:
    """Grade one submission; NotPermitted if there is no sandbox. It never raises for what the submission does."""
    return grade_all([path], lab, limits, unsafe=unsafe)[0]


def grade_all(
    submissions: Iterable[Path | Submission],
    lab: Lab,
    limits: Limits | None = None,
    *,
    jobs: int = 1,
    unsafe: bool = False,
    progress: Progress | None = None,
    on_result: Callable[[Submission, Graded], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Graded]:
    """Grade submissions, `jobs` at a time, and return what became of them in order of their names.

    NotPermitted if there is no sandbox; nothing else is raised for what a submission is or does. `on_result` is called
    with each as it is graded. KeyboardInterrupt leaves at once; what was graded has been handed to `on_result`. It is
    also raised when `stopped` says so: an exception that a signal raises while a process is forked is lost.
    """
    todo = deque(each if isinstance(each, Submission) else submissions_in([each])[0] for each in submissions)
    if not unsafe:
        require_sandbox()
    total, found, running = len(todo), list[Graded](), dict[int, _Running]()
    limits = limits or Limits()
    Cgroup.sweep()
    runnable("")  # IPython is imported once, here, and not by each process
    selector = selectors.DefaultSelector()
    try:
        while todo or running:
            if stopped():
                raise KeyboardInterrupt
            while todo and len(running) < jobs:
                started = _started(todo.popleft(), lab, limits, unsafe)
                running[started.reads] = started
                selector.register(started.reads, selectors.EVENT_READ)
            for key, _ in selector.select(0.2):
                running[key.fd].read()
            for one in [each for each in running.values() if each.ended(limits)]:
                selector.unregister(one.reads)
                del running[one.reads]
                graded = one.graded(lab, limits)
                found.append(graded)
                if on_result is not None:
                    on_result(one.submission, graded)
                if progress is not None:
                    progress(len(found), total)
    finally:
        for one in running.values():
            one.close()
        selector.close()
        Cgroup.sweep()
    return sorted(found, key=lambda each: each.name)


# -- a checker's process -----------------------------------------------------------------------------------------------


@dataclass
class _Running:
    """The checker of one submission, seen from the run."""

    submission: Submission
    pid: int
    reads: int
    started: float
    answer: bytearray = field(default_factory=bytearray)
    at_end: bool = False
    too_late: bool = False
    too_large: bool = False

    def read(self) -> None:
        """Take over what has come of its answer."""
        part = os.read(self.reads, 1 << 16)
        self.answer += part
        self.at_end = not part or len(self.answer) > _MAX_ANSWER

    def ended(self, limits: Limits) -> bool:
        """Whether there is nothing more to wait for."""
        self.too_late = not self.at_end and time.monotonic() > self.started + limits.budget + _SPARE_SECONDS
        self.too_large = not self.at_end and _resident(self.pid) > _MAX_RESIDENT
        return self.at_end or self.too_late or self.too_large

    def close(self) -> int:
        """End it and all that it started; return how it ended, as ``os.waitpid`` says."""
        for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
            with suppress(OSError):
                kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.reads)
        return status

    def graded(self, lab: Lab, limits: Limits) -> Graded:
        """Return what it found; where it found nothing, a row that says so."""
        status = os.waitstatus_to_exitcode(self.close())
        seconds = time.monotonic() - self.started
        with suppress(ValueError, KeyError, TypeError):
            return _decoded(json.loads(bytes(self.answer)), self.submission.name, seconds)
        if self.too_late:
            reason, failed = f"It takes longer than {in_words(limits.budget)} in all.", False
        elif self.too_large:
            reason = f"It can't be graded: what it holds or returns takes more than {_MAX_RESIDENT >> 30} GiB."
            failed = False
        else:
            how = signal.Signals(-status).name if status < 0 else f"status {status}"
            reason, failed = f"grading failed: the checker ended before it was done ({how}).", True
        return Graded(self.submission.name, (), lab.points, reason, None, seconds, (), failed, f"{reason}\n")


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process has."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return 0


def _started(submission: Submission, lab: Lab, limits: Limits, unsafe: bool) -> _Running:
    reads, writes = os.pipe()
    parent = os.getpid()
    with warnings.catch_warnings():
        # Other threads (numpy's, a test runner's) are no danger: the child touches nothing of theirs and never returns.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        os.close(reads)
        _check(submission, lab, limits, unsafe, writes, parent)
    os.close(writes)
    return _Running(submission, pid, reads, time.monotonic())


def _check(submission: Submission, lab: Lab, limits: Limits, unsafe: bool, writes: int, parent: int) -> NoReturn:
    """Be the checker: grade, write the answer, end. Nothing is raised, and nothing of the parent's is run."""
    try:
        _alone(parent)
        try:
            graded = grade_here(submission, lab, limits, unsafe=unsafe)
        except BaseException as error:
            reason = f"grading failed: {type(error).__name__}"
            graded = Graded(submission.name, (), lab.points, reason, failed=True, log=traceback.format_exc())
        with os.fdopen(writes, "wb") as file:
            file.write(json.dumps(_encoded(graded)).encode("ascii"))
    finally:
        os._exit(0)


def _alone(parent: int) -> None:
    """Leave the terminal's process group, die with the parent, and take limits."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    # The soft limit alone, so that a learner's process may still have more than its checker.
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = pages * resource.getpagesize() + _SPARE_ADDRESSES
    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_AS, (soft, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _encoded(graded: Graded) -> dict[str, Any]:
    outcomes = [[each.id, each.points, each.got, each.message] for each in graded.outcomes]
    return {**vars(graded), "outcomes": outcomes}


def _decoded(found: dict[str, Any], name: str, seconds: float) -> Graded:
    outcomes = tuple(Outcome(*each) for each in found["outcomes"])
    changed = {"name": name, "outcomes": outcomes, "notes": tuple(found["notes"]), "seconds": seconds}
    return Graded(**{**found, **changed})
