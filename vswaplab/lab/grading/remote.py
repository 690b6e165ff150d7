"""A learner's code, in this process or in another: calls go in, calls to host objects come out.

Checks are written once, against `Local` here or `Student` in a sandbox: both have `has`, `call` and `new`. A score
never comes out of a learner's process, only the values that its code returns.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vswaplab.errors import NotFound, SwapError
from vswaplab.lab.grading.sandbox import sandboxed
from vswaplab.lab.grading.wire import MAX_LINE, WireError, decode, encode

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


class GradingError(Exception):
    """The code can't be graded any further; the message is for its author's report."""


class OutOfTime(GradingError):
    """A call took longer than it may."""


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
    """Processes that it may have at once, its own among them."""


@dataclass(frozen=True)
class Host:
    """An object of the checker's that a learner's code may call methods of, and nothing else."""

    obj: Any
    methods: tuple[str, ...]


class _Proxy:
    """What a learner's code gets of a host object in this process."""

    def __init__(self, host: Host) -> None:
        for name in host.methods:
            setattr(self, name, getattr(host.obj, name))


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

    def __init__(self, source: str, limits: Limits | None = None, *, unsafe: bool = False) -> None:
        """Start the process and run `source` in it; a StudentError or GradingError says why that failed."""
        self.limits = limits or Limits()
        self._hosts: list[Host] = []
        self._printed = 0
        self._dead = ""
        down, up = os.pipe(), os.pipe()
        told = {"memory": self.limits.memory, "seconds": max(2, int(30 * self.limits.seconds))}
        command = [
            sys.executable,
            "-s",
            "-m",
            "vswaplab.lab.grading.worker",
            str(down[0]),
            str(up[1]),
            json.dumps(told),
        ]
        self._process = subprocess.Popen(
            sandboxed(command, unsafe),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(down[0], up[1]),
            start_new_session=True,
        )
        os.close(down[0])
        os.close(up[1])
        self._writes, self._reads = os.fdopen(down[1], "wb"), up[0]
        self._pending = b""
        self._drain = threading.Thread(target=self._drained, daemon=True)
        self._drain.start()
        try:
            self.ask({"ask": "run", "source": source})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and all that it started."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._drain.join(5)
        with suppress(OSError):
            self._writes.close()
        with suppress(OSError):
            os.close(self._reads)

    # -- calls -----------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether a function or class of that name is defined."""
        return bool(self.ask({"ask": "has", "name": name}))

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the learner's."""
        return self.ask({"ask": "call", "name": name}, args)

    def new(self, name: str, *args: Any) -> Any:
        """Make an object of a class of the learner's."""
        return self.call(name, *args)

    def ask(self, message: dict[str, Any], args: tuple[Any, ...] = ()) -> Any:
        """Ask one thing of the process, answering what it asks meanwhile."""
        if self._dead:
            raise WorkerDied(self._dead)
        deadline = time.monotonic() + self.limits.seconds
        first = len(self._hosts)
        sent = {**message, "args": list(args)}
        line = encode(sent, self._named)
        hosts = {str(at): list(self._hosts[at].methods) for at in range(first, len(self._hosts))}
        if hosts:
            line = encode({**sent, "hosts": hosts}, self._known)
        raised: list[BaseException] = []
        try:
            self._send(line)
            while True:
                found = self._receive(deadline)
                if "ask" not in found:
                    return self._answer(found, raised)
                self._send(self._hosted(found, raised))
        except GradingError as error:
            self._dead = str(error)
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
        kind, said = str(found["error"]), str(found.get("said", ""))
        if kind == "MemoryError":
            raise OutOfMemory(f"It asks for more than {self.limits.memory >> 20} MiB of memory.")
        for error in raised:  # what a host method raised, and the learner's code let through
            if type(error).__name__ == kind and str(error) == said:
                raise error
        where = f" ({found['where']})" if found.get("where") else ""
        raise StudentError(f"{kind}: {said}{where}")

    def _hosted(self, found: dict[str, Any], raised: list[BaseException]) -> bytes:
        """Call a method of a host object for the learner's code; return the answer's line."""
        try:
            host = self._hosts[found["number"]]
            if found["name"] not in host.methods:
                raise BadProtocol("It asks for a method that there is not.")
            method, args = getattr(host.obj, found["name"]), found["args"]
        except (KeyError, IndexError, TypeError) as error:
            raise BadProtocol("It asks for what there is not.") from error
        try:
            return encode({"value": method(*args)}, self._known)
        except (SwapError, ValueError, TypeError, KeyError) as error:
            raised.append(error)
            return encode({"error": type(error).__name__, "said": str(error)}, self._known)

    # -- the pipe --------------------------------------------------------------------------------------------------

    def _send(self, line: bytes) -> None:
        try:
            self._writes.write(line)
            self._writes.flush()
        except OSError as error:
            raise self._why_dead() from error

    def _receive(self, deadline: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._reads, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                self._look(deadline)
                if not selector.select(0.05):
                    continue
                part = os.read(self._reads, 1 << 16)
                if not part:
                    raise self._why_dead()
                self._pending += part
                if len(self._pending) > MAX_LINE:
                    raise BadProtocol("An answer is longer than 4 MiB.")
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            found = decode(line, lambda kind, number: RemoteObject(self, number))
        except WireError as error:
            raise BadProtocol(f"Something else than an answer came back: {error}.") from error
        if not isinstance(found, dict):
            raise BadProtocol("Something else than an answer came back.")
        return found

    def _look(self, deadline: float) -> None:
        """See whether a limit is passed; raise what it is."""
        if self._printed > self.limits.output:
            raise TooMuchOutput(f"It prints more than {self.limits.output >> 10} KiB.")
        if time.monotonic() > deadline:
            raise OutOfTime(f"It takes longer than {self.limits.seconds:g} seconds.")
        if _processes(self._process.pid, self.limits.processes + 4) > self.limits.processes:
            raise TooManyProcesses("It starts processes of its own, which are not allowed.")

    def _why_dead(self) -> GradingError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        if self._printed > self.limits.output:
            return TooMuchOutput(f"It prints more than {self.limits.output >> 10} KiB.")
        return WorkerDied(f"Its process ended by itself (status {self._process.returncode}).")

    def _drained(self) -> None:
        """Read what it prints and throw it away, up to the limit."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while part := output.read1(1 << 16):  # type: ignore[attr-defined]
                self._printed += len(part)
                if self._printed > self.limits.output:
                    self._process.kill()


def _processes(pid: int, most: int) -> int:
    """Return how many processes there are below one and itself, counting no further than `most`."""
    todo, found = [pid], 0
    while todo and found < most:
        found += 1
        at = todo.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{at}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found
