"""The learner's process: runs their code, answers calls, and calls back to host objects. It decides nothing.

Started by `vswaplab.lab.grading.remote.Student` as ``python -c … READ WRITE LIMITS``.
"""

from __future__ import annotations
import __future__ as future

import ast
import builtins
import inspect
import json
import os
import resource
import sys
import traceback
import types
from typing import Any, BinaryIO

import vswaplab.errors as errors
from vswaplab.lab.grading.wire import NO_PROCESSES, WireError, decode, encode

__all__ = ["main"]

_FUTURE_FLAGS = 0
for _name in future.all_feature_names:
    _FUTURE_FLAGS |= getattr(future, _name).compiler_flag
_STARTS = ("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "subprocess.Popen", "pty.spawn")


class _HostProxy:
    """A host object: its methods call into the checker's process."""

    def __init__(self, worker: _Worker, number: int, methods: list[str]) -> None:
        self._number = number
        for name in methods:
            setattr(self, name, worker.method(number, name))


class _Shell:
    """What ``get_ipython()`` returns here: commands of the shell and of IPython do nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None

    def getoutput(self, *args: Any, **kwargs: Any) -> list[str]:
        """What ``x = !command`` gives."""
        return []


class _Worker:
    def __init__(self, reads: BinaryIO, writes: BinaryIO) -> None:
        self.reads, self.writes = reads, writes
        # The learner's code is __main__, as in a notebook.
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace: dict[str, Any] = module.__dict__
        self.namespace["__builtins__"] = builtins  # as in any __main__; C code looks for it there (numpy's sum)
        self.namespace["get_ipython"] = _Shell
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.sources: set[str] = set()
        self.objects: list[Any] = []
        self.methods: dict[int, list[str]] = {}

    # -- the pipe --------------------------------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        self.writes.write(encode(message, self.named))
        self.writes.flush()

    def receive(self) -> dict[str, Any]:
        line = self.reads.readline()  # the checker's is as long as what was handed in
        if not line:
            os._exit(0)
        found: dict[str, Any] = decode(line, self.other)
        return found

    def named(self, value: Any) -> dict[str, Any] | None:
        """Name an object of ours by its number; only of classes that the submission defines."""
        if isinstance(value, _HostProxy):
            return {"=": "host", "number": value._number}
        if type(value).__module__ != "__main__":
            return None
        self.objects.append(value)
        return {"=": "object", "number": len(self.objects) - 1}

    def other(self, kind: str, number: int) -> Any:
        if kind == "object":
            return self.objects[number]
        return _HostProxy(self, number, self.methods.get(number, []))

    def method(self, number: int, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.send({"ask": "host", "number": number, "name": name, "args": list(args)})
            return self.serve()

        return call

    # -- work ------------------------------------------------------------------------------------------------------

    def serve(self) -> Any:
        """Do what is asked until an answer to our own question comes; return that."""
        while True:
            message = self.receive()
            ask = message.get("ask")
            if ask is None:
                return self.answered(message)
            try:
                self.send({"value": self.done(ask, message)})
            except WireError as error:
                self.send({"error": "TypeError", "said": str(error), "where": ""})
            except BaseException as error:
                self.send({"error": type(error).__name__, "said": _said(error), "where": self.where(error)})

    @staticmethod
    def answered(message: dict[str, Any]) -> Any:
        if "error" not in message:
            return message.get("value")
        kind = getattr(errors, message["error"], None)
        if isinstance(kind, type) and issubclass(kind, errors.SwapError):
            raise kind(message["said"])
        known = {"ValueError": ValueError, "KeyError": KeyError, "TypeError": TypeError}
        raise known.get(message["error"], RuntimeError)(message["said"])

    def done(self, ask: str, message: dict[str, Any]) -> Any:
        if ask == "ready":
            return True
        if ask == "run":
            return self.run(message["source"], message["name"])
        if ask == "has":
            return callable(self.namespace.get(message["name"]))
        for number, methods in message.get("hosts", {}).items():
            self.methods[int(number)] = methods
        args = [self.other("host", arg._number) if isinstance(arg, _HostProxy) else arg for arg in message["args"]]
        if ask == "call":
            return self.namespace[message["name"]](*args)
        return getattr(self.objects[message["number"]], message["name"])(*args)

    def run(self, source: str, name: str) -> bool:
        """Run source text as a cell: ``from __future__ import`` lasts, ``await`` may stand at its top."""
        self.sources.add(name)
        code = compile(source, name, "exec", flags=self.flags, dont_inherit=True)
        self.flags |= code.co_flags & _FUTURE_FLAGS
        found = types.FunctionType(code, self.namespace)()
        if code.co_flags & inspect.CO_COROUTINE:
            import asyncio  # here: most never need it, and each process pays for its imports

            asyncio.run(found)
        return True

    def where(self, error: BaseException) -> str:
        """Return the line of the submission in which it happened."""
        if isinstance(error, SyntaxError) and error.filename in self.sources:
            lines = [(error.filename, error.lineno)]
        else:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [(frame.filename, frame.lineno) for frame in frames if frame.filename in self.sources]
        if not lines:
            return ""
        name, line = lines[-1]
        return f"line {line}" if name == "submission" else f"{name}, line {line}"


def _said(error: BaseException) -> str:
    """Return what an exception says; one whose text can't be had says nothing."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return str.__str__(text)[:500]
    except BaseException:
        return ""


def _refuse_processes(event: str, args: tuple[Any, ...]) -> None:
    """Say in words what the sandbox's filter refuses with an errno."""
    if event in _STARTS:
        raise PermissionError(NO_PROCESSES)


def _limit(memory: int, seconds: int) -> None:
    limits = {
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_FSIZE: (1 << 20, 1 << 20),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (64, 64),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_MSGQUEUE: (0, 0),
    }
    for which, (soft, hard) in limits.items():
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:  # nobody may raise what was lowered before
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))


def main() -> None:
    """Serve the checker at the other end of two pipes: arguments READ WRITE LIMITS."""
    reads, writes = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    limits = json.loads(sys.argv[3])
    _limit(limits["memory"], limits["seconds"])
    if limits["confined"]:
        sys.addaudithook(_refuse_processes)
    sys.argv = ["submission"]
    _Worker(reads, writes).serve()
