"""A learner's code, in this process or in another: calls go in, calls to host objects come out.

Checks are written once, against `Local` here or `Student` in a sandbox: both have `has`, `call` and `new`. A score
never comes out of a learner's process, only the values that its code returns. Whatever the process does, each wait for
it ends: pipes never block, and a call, the submission as a whole, processor time, memory and output have limits.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vswaplab.errors import NotFound
from vswaplab.lab.grading.cgroup import Cgroup
from vswaplab.lab.grading.limits import (
    BadProtocol,
    GradingError,
    Limits,
    OutOfMemory,
    OutOfTime,
    StudentError,
    TooManyProcesses,
    TooMuchOutput,
    WorkerDied,
    ended,
    in_words,
)
from vswaplab.lab.grading.sandbox import DISK_FILES, sandboxed
from vswaplab.lab.grading.signature import Host
from vswaplab.lab.grading.wire import MAX_LINE, NO_PROCESSES, WireError, decode, encode

__all__ = [
    "BadProtocol",
    "GradingError",
    "Host",
    "Limits",
    "Local",
    "OutOfMemory",
    "OutOfTime",
    "RemoteObject",
    "Student",
    "StudentError",
    "TooManyProcesses",
    "TooMuchOutput",
    "WorkerDied",
]

_START_SECONDS = 60.0
"""What the sandbox and Python may take to start, on a busy machine: no time of the learner's."""
_LOOK_EACH = 0.05
"""Seconds between two looks at what the process has taken."""
_GROUP_SPARE = 48 << 20
"""What a control group gets beyond the address space and the memory disk: the kernel's own memory for both."""
_WORKER = "from vswaplab.lab.grading.worker import main; main()"


class _Proxy:
    """What a learner's code gets of a host object in this process."""

    def __init__(self, host: Host) -> None:
        for name in host.methods:
            setattr(self, name, _method(host, name))


def _method(host: Host, name: str) -> Callable[..., Any]:
    return lambda *args: host.call(name, args)


class Local:
    """Code of this process: a namespace, such as ``globals()`` of a notebook."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def has(self, name: str) -> bool:
        """Whether a function or class of that name is defined."""
        return callable(self.namespace.get(name))

    def call(self, name: str, *args: Any) -> Any:
        """Call a function; NotFound if there is none of that name."""
        if not self.has(name):
            raise NotFound(f"Nothing named {name} is defined; write it first.")
        return self.namespace[name](*(_Proxy(arg) if isinstance(arg, Host) else arg for arg in args))

    def new(self, name: str, *args: Any) -> Any:
        """Make an object of a class."""
        return self.call(name, *args)


class RemoteObject:
    """An object in a learner's process; its methods are called there."""

    def __init__(self, student: Student, number: int) -> None:
        self._student, self._number = student, number

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: self._student.ask({"ask": "method", "number": self._number, "name": name}, args)


class Student:
    """A learner's code in a process of its own, in the sandbox; close it, or use it in a `with`."""

    def __init__(
        self, source: str = "", limits: Limits | None = None, *, unsafe: bool = False, until: float | None = None
    ) -> None:
        """Start the process and run `source` in it; a StudentError or GradingError says why that failed.

        `until` is when the whole submission must have ended, by ``time.monotonic()``; default: its budget from now.
        """
        self.limits = limits or Limits()
        self._until = time.monotonic() + self.limits.budget if until is None else until
        self._hosts: list[Host] = []
        self._printed = 0
        self._dead = ""
        self._pending = b""
        self._looked = 0.0
        self._cgroup = None if unsafe else Cgroup.make(self.limits.memory + _GROUP_SPARE)
        try:
            self._start(unsafe)
            self.ask({"ask": "ready"}, seconds=_START_SECONDS)
            if source:
                self.run(source)
        except BaseException:
            self.close()
            raise

    def _start(self, unsafe: bool) -> None:
        down, up = os.pipe(), os.pipe()
        self._writes, self._reads = down[1], up[0]
        told = {"memory": self.limits.memory, "seconds": max(2, int(self.limits.budget)), "confined": not unsafe}
        words = ["-c", _WORKER, str(down[0]), str(up[1]), json.dumps(told)]
        self._process: subprocess.Popen[bytes] | None = None
        command = None
        try:
            command = sandboxed(words, unsafe, self._cgroup.procs if self._cgroup is not None else None)
            self._process = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(down[0], up[1], *command.files),
                # Nothing of the grader's: the sandbox's first process is bubblewrap, whose environment this is.
                env=None if unsafe else {"PATH": "/usr/bin:/bin"},
            )
        finally:
            os.close(down[0])
            os.close(up[1])
            if command is not None:
                command.close()
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        for file in (self._reads, self._output):
            os.set_blocking(file, False)
            self._selector.register(file, selectors.EVENT_READ)
        os.set_blocking(self._writes, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and all that it started."""
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            self._selector.close()
            self._process = None
        for file in (self._writes, self._reads):
            with suppress(OSError):
                os.close(file)
        self._writes = self._reads = -1
        if self._cgroup is not None:
            self._cgroup.close()

    # -- calls -----------------------------------------------------------------------------------------------------

    def run(self, source: str, name: str = "submission") -> None:
        """Run source text; errors in it name `name` and the line."""
        self.ask({"ask": "run", "source": source, "name": name})

    def has(self, name: str) -> bool:
        """Whether a function or class of that name is defined."""
        return bool(self.ask({"ask": "has", "name": name}))

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the learner's."""
        return self.ask({"ask": "call", "name": name}, args)

    def new(self, name: str, *args: Any) -> Any:
        """Make an object of a class of the learner's."""
        return self.call(name, *args)

    def ask(self, message: dict[str, Any], args: tuple[Any, ...] = (), seconds: float | None = None) -> Any:
        """Ask one thing of the process, answering what it asks meanwhile; it has `seconds`, or what a call has."""
        if self._dead:
            raise WorkerDied(self._dead)
        deadline = time.monotonic() + (self.limits.seconds if seconds is None else seconds)
        first = len(self._hosts)
        sent = {**message, "args": list(args)}
        line = encode(sent, self._named)
        hosts = {str(at): list(self._hosts[at].methods) for at in range(first, len(self._hosts))}
        if hosts:
            line = encode({**sent, "hosts": hosts}, self._known)
        raised: list[BaseException] = []
        try:
            found = self._exchange(line, deadline)
            while "ask" in found:
                found = self._exchange(self._hosted(found, raised), deadline)
            return self._answer(found, raised)
        except GradingError as error:
            self._dead = str(error)
            if self._process is not None:
                with suppress(OSError):
                    self._process.kill()
            raise

    def _named(self, value: Any) -> dict[str, Any] | None:
        if isinstance(value, Host):
            self._hosts.append(value)
            return {"=": "host", "number": len(self._hosts) - 1}
        return {"=": "object", "number": value._number} if isinstance(value, RemoteObject) else None

    def _known(self, value: Any) -> dict[str, Any] | None:
        """As `_named`, of hosts that have a number."""
        if isinstance(value, Host):
            return {"=": "host", "number": max(at for at, host in enumerate(self._hosts) if host is value)}
        return self._named(value)

    def _answer(self, found: dict[str, Any], raised: list[BaseException]) -> Any:
        if "error" not in found:
            return found.get("value")
        kind, said = str(found["error"])[:100], str(found.get("said", ""))[:500]
        if kind == "MemoryError":
            raise self._out_of_memory()
        if said == NO_PROCESSES:
            raise TooManyProcesses(NO_PROCESSES)
        for error in raised:  # what a host method raised, and the learner's code let through
            if type(error).__name__ == kind and str(error) == said:
                raise error
        where = f" ({str(found['where'])[:100]})" if found.get("where") else ""
        raise StudentError(f"{kind}: {said}{where}")

    def _hosted(self, found: dict[str, Any], raised: list[BaseException]) -> bytes:
        """Call a method of a host object for the learner's code; return the answer's line."""
        number, name, args = found.get("number"), found.get("name"), found.get("args")
        if not (isinstance(number, int) and 0 <= number < len(self._hosts) and isinstance(args, list)):
            raise BadProtocol("It asks for what there is not.")
        host = self._hosts[number]
        if name not in host.methods:
            raise BadProtocol("It asks for a method that there is not.")
        try:
            return encode({"value": host.call(name, args)}, self._known)
        except GradingError:
            raise
        except Exception as error:
            raised.append(error)
            return encode({"error": type(error).__name__, "said": str(error)[:500]}, self._known)

    # -- the pipes -------------------------------------------------------------------------------------------------

    def _exchange(self, line: bytes, deadline: float) -> dict[str, Any]:
        """Send a line and return the next one that comes; neither waits longer than the deadline."""
        if self._pending:
            raise BadProtocol("Something else than an answer came back: it answers before it is asked.")
        left = memoryview(line)
        left = left[self._sent(left) :]
        if left:  # the pipe is full: seldom, so that it is not asked before each line
            self._selector.register(self._writes, selectors.EVENT_WRITE)
        try:
            while left or b"\n" not in self._pending:
                self._look(deadline)
                for key, _ in self._selector.select(_LOOK_EACH):
                    if key.fd == self._writes:
                        left = left[self._sent(left) :]
                        if not left:
                            self._selector.unregister(self._writes)
                    elif key.fd == self._reads:
                        self._pending += self._received()
                    else:
                        self._drained()
        finally:
            if left:
                self._selector.unregister(self._writes)
        answer, _, self._pending = self._pending.partition(b"\n")
        try:
            found = decode(answer, lambda kind, number: RemoteObject(self, number))
        except WireError as error:
            raise BadProtocol(f"Something else than an answer came back: {error}.") from error
        if not isinstance(found, dict):
            raise BadProtocol("Something else than an answer came back.")
        return found

    def _sent(self, part: memoryview) -> int:
        try:
            return os.write(self._writes, part[: 1 << 16])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._why_dead() from error

    def _received(self) -> bytes:
        part = os.read(self._reads, 1 << 16)
        if not part:
            raise self._why_dead()
        if len(self._pending) + len(part) > MAX_LINE:
            raise BadProtocol("An answer is longer than 4 MiB.")
        return part

    def _drained(self) -> None:
        """Throw away what it prints, up to the limit."""
        with suppress(BlockingIOError):
            part = os.read(self._output, 1 << 16)
            self._printed += len(part)
            if not part:
                self._selector.unregister(self._output)
        if self._printed > self.limits.output:
            raise self._too_much_output()

    # -- limits ----------------------------------------------------------------------------------------------------

    def _look(self, deadline: float) -> None:
        """See whether a limit is passed; raise what it is."""
        now = time.monotonic()
        if now > self._until:
            raise OutOfTime(f"It takes longer than {in_words(self.limits.budget)} in all.")
        if now > deadline:
            raise OutOfTime(f"It takes longer than {in_words(self.limits.seconds)}.")
        if now - self._looked < _LOOK_EACH or self._process is None:
            return
        self._looked = now
        below = _below(self._process.pid, self.limits.processes + 4)
        if len(below) > self.limits.processes:
            raise TooManyProcesses(NO_PROCESSES)
        if below and _files_on_disk(below[-1]) > DISK_FILES:
            raise OutOfMemory(f"It makes more than {DISK_FILES} files.")

    def _out_of_memory(self) -> OutOfMemory:
        return OutOfMemory(f"It asks for more than {self.limits.memory >> 20} MiB of memory.")

    def _too_much_output(self) -> TooMuchOutput:
        return TooMuchOutput(f"It prints more than {self.limits.output >> 10} KiB.")

    def _why_dead(self) -> GradingError:
        """Say in words why the process has ended."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        with suppress(GradingError, OSError):
            while self._printed <= self.limits.output and (part := os.read(self._output, 1 << 16)):
                self._printed += len(part)
        if self._printed > self.limits.output:
            return self._too_much_output()
        if self._cgroup is not None and self._cgroup.killed():
            return self._out_of_memory()
        status = self._process.returncode
        return ended(status, self.limits)


def _below(pid: int, most: int) -> list[int]:
    """Return a process and those below it, parents first, no more than `most`."""
    todo, found = [pid], list[int]()
    while todo and len(found) < most:
        at = todo.pop()
        found.append(at)
        with suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found


def _files_on_disk(pid: int) -> int:
    """Return how many files are on the memory disk of a sandboxed process, 0 where that can't be seen."""
    with suppress(OSError):
        root = Path(f"/proc/{pid}/root")
        if root.stat().st_dev != Path("/").stat().st_dev:
            disk = os.statvfs(root / "tmp")
            return disk.f_files - disk.f_ffree
    return 0
