"""The learner's process: runs their code, answers calls, and calls back to host objects. It decides nothing.

Started by `vswaplab.lab.grading.remote.Student` as ``python -m vswaplab.lab.grading.worker READ WRITE``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from typing import Any, BinaryIO

import vswaplab.errors as errors
from vswaplab.lab.grading.wire import MAX_LINE, WireError, decode, encode

__all__ = ["main"]


class _HostProxy:
    """A host object: its methods call into the checker's process."""

    def __init__(self, worker: _Worker, number: int, methods: list[str]) -> None:
        self._number = number
        for name in methods:
            setattr(self, name, worker.method(number, name))


class _Worker:
    def __init__(self, reads: BinaryIO, writes: BinaryIO) -> None:
        self.reads, self.writes = reads, writes
        self.namespace: dict[str, Any] = {"__name__": "submission"}
        self.objects: list[Any] = []
        self.methods: dict[int, list[str]] = {}

    # -- the pipe --------------------------------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        self.writes.write(encode(message, self.named))
        self.writes.flush()

    def receive(self) -> dict[str, Any]:
        line = self.reads.readline(MAX_LINE)
        if not line:
            os._exit(0)
        found: dict[str, Any] = decode(line, self.other)
        return found

    def named(self, value: Any) -> dict[str, Any] | None:
        """Name an object of ours by its number; only of classes that the submission defines."""
        if isinstance(value, _HostProxy):
            return {"=": "host", "number": value._number}
        if type(value).__module__ != "submission":
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
                self.send({"error": type(error).__name__, "said": str(error)[:500], "where": _where(error)})

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
        if ask == "run":
            exec(compile(message["source"], "submission", "exec"), self.namespace)
            return True
        if ask == "has":
            return callable(self.namespace.get(message["name"]))
        for number, methods in message.get("hosts", {}).items():
            self.methods[int(number)] = methods
        args = [self.other("host", arg._number) if isinstance(arg, _HostProxy) else arg for arg in message["args"]]
        if ask == "call":
            return self.namespace[message["name"]](*args)
        return getattr(self.objects[message["number"]], message["name"])(*args)


def _where(error: BaseException) -> str:
    """Return the line of the submission in which it happened."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "submission"]
    return f"line {lines[-1]}" if lines else ""


def _limit(memory: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))


def main() -> None:
    """Serve the checker at the other end of two pipes: ``worker READ WRITE LIMITS``."""
    reads, writes = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb")
    limits = json.loads(sys.argv[3])
    _limit(limits["memory"], limits["seconds"])
    sys.argv = ["submission"]
    _Worker(reads, writes).serve()


if __name__ == "__main__":
    main()
