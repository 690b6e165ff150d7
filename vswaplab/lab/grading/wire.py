"""What goes over the pipe between a checker and a learner's process: one JSON value a line.

None, bool, int, float, str, lists and dicts with text as keys go as they are; bytes as hex; an object of the other
side's as its number. Anything else is refused, so nothing is ever unpickled.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any

__all__ = ["MAX_LINE", "NO_PROCESSES", "WireError", "decode", "encode"]

MAX_LINE = 1 << 22
"""Bytes at most of a line that comes from a learner's process."""
NO_PROCESSES = "It starts processes of its own, which are not allowed."
"""What a learner's process is told that tries to, and what its report says."""
_BYTES, _OBJECT, _HOST = "bytes", "object", "host"


class WireError(Exception):
    """A value that can't go over the pipe, or a line that means nothing."""


def encode(value: Any, named: Callable[[Any], dict[str, Any] | None]) -> bytes:
    """Return a value as a line; `named` gives the form of an object that stays on this side, or None."""
    return json.dumps(_plain(value, named), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any, named: Callable[[Any], dict[str, Any] | None]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"=": _BYTES, "hex": bytes(value).hex()}
    if isinstance(value, list | tuple):
        return [_plain(each, named) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"=": "dict", "items": {key: _plain(each, named) for key, each in value.items()}}
    form = named(value)
    if form is None and type(value).__module__ == "numpy" and hasattr(value, "item") and value.ndim == 0:
        return _plain(value.item(), named)  # a number or a truth value of numpy's is one, as in a notebook
    if form is None and hasattr(type(value), "__index__"):
        return operator.index(value)
    if form is None:
        raise WireError(f"a {type(value).__name__} can't be passed on; use numbers, text, bytes, lists and dicts")
    return form


def decode(line: bytes, other: Callable[[str, int], Any]) -> Any:
    """Return the value of a line; `other` gives what stands for an object of the other side, by kind and number."""
    try:
        return _value(json.loads(line), other)
    except Exception as error:  # whatever stands in a line that a learner's code may have written
        raise WireError(f"a line that means nothing: {line[:60]!r}") from error


def _value(plain: Any, other: Callable[[str, int], Any]) -> Any:
    if isinstance(plain, list):
        return [_value(each, other) for each in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain["="]
    if kind == _BYTES:
        return bytes.fromhex(plain["hex"])
    if kind == "dict":
        return {key: _value(each, other) for key, each in plain["items"].items()}
    if kind in (_OBJECT, _HOST):
        return other(kind, int(plain["number"]))
    raise ValueError(kind)
