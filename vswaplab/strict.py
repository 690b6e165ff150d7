"""Strict input: files, JSON, numbers and paths from outside, checked before memory is taken for them.

Whatever a file holds or a learner types, the answer is a value that can be used, or one sentence that says what to do.
A file is opened without waiting for anybody (a FIFO would) and read only if it is a regular one of a size that can be
meant. A number is a number: no bool, no NaN, no text that happens to look like one in another script.

>>> whole_number(3, "cpus", 1, 8)
3
>>> whole_number(True, "cpus", 1, 8)
Traceback (most recent call last):
    ...
vswaplab.errors.InvalidArgument: cpus must be a whole number of 1 to 8, not True.
>>> load_json(b'{"a": 1, "a": 2}', "x.json")
Traceback (most recent call last):
    ...
vswaplab.errors.InvalidArgument: x.json names 'a' twice in one object; leave one of the two out.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import operator
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from vswaplab.errors import InvalidArgument, NoMemory, NotFound, NotPermitted, SwapError, error_for

__all__ = [
    "MAX_JSON_DEPTH",
    "MAX_SEED",
    "choice",
    "decimal",
    "flag",
    "instance",
    "integer",
    "load_json",
    "open_bounded",
    "path_of",
    "quoted",
    "read_bounded",
    "real_number",
    "require_memory",
    "seed_number",
    "shown",
    "whole_number",
]

MAX_SEED = (1 << 32) - 1
MAX_JSON_DEPTH = 64

_MAX_PATH = 4095  # PATH_MAX less the zero byte
_MAX_DIGITS = 20
_PART = 1 << 20
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_CGROUP_LIMIT = "/sys/fs/cgroup/memory.max"

T = TypeVar("T")


# -- what a message shows of a value -----------------------------------------------------------------------------------


def quoted(value: object, limit: int = 40) -> str:
    """Return a value as a message shows it: on one line, printable, and no longer than a glance takes."""
    if isinstance(value, str):
        return repr(value if len(value) <= limit else f"{value[:limit]}…")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"one of type {type(value).__name__[:limit]}"


def shown(path: object, limit: int = 100) -> str:
    """Return a path as a message shows it: printable, and its end only if it is long."""
    text = str(path)
    text = text if len(text) <= limit else f"…{text[-limit:]}"
    return text if text.isprintable() else repr(text)


# -- numbers, flags, names ---------------------------------------------------------------------------------------------


def whole_number(value: object, what: str, low: int, high: int | None = None) -> int:
    """Return a whole number of `low` to `high` as an int; InvalidArgument, calling it `what`, for anything else."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        bounds = f"of {low} or more" if high is None else f"of {low} to {high}"
        wanted = str(low) if low == high else f"a whole number {bounds}"
        raise InvalidArgument(f"{what} must be {wanted}, not {quoted(value)}.")
    return number


def seed_number(value: object, what: str = "seed") -> int:
    """Return a seed, 0 to `MAX_SEED`; InvalidArgument for anything else."""
    return whole_number(value, what, 0, MAX_SEED)


def real_number(value: object, what: str, low: float, high: float) -> float:
    """Return a number of `low` to `high`, whole or not; InvalidArgument for anything else, NaN and bool among it."""
    number = math.nan
    if not isinstance(value, bool | str | bytes | bytearray):
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
    if not low <= number <= high:
        raise InvalidArgument(f"{what} must be a number of {low:g} to {high:g}, not {quoted(value)}.")
    return number


def flag(value: object, what: str) -> bool:
    """Return True or False as it is given; InvalidArgument for what is neither."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's own, too
        return bool(value)
    raise InvalidArgument(f"{what} must be True or False, not {quoted(value)}.")


def choice(value: object, what: str, known: Any) -> str:
    """Return a name that is among `known`; InvalidArgument lists them for any other."""
    if not isinstance(value, str) or value not in known:
        raise InvalidArgument(f"There is no {what} {quoted(value)}; choose one of {', '.join(map(str, known))}.")
    return value


def instance(value: object, kind: type[T], what: str) -> T:
    """Return a value of the type wanted; InvalidArgument for one of another type."""
    if not isinstance(value, kind):
        raise InvalidArgument(f"{what} must be a {kind.__name__}, not {quoted(value)}.")
    return value


def integer(text: str) -> int:
    """Read a whole number of the command line, for argparse; its bounds are for whoever uses it."""
    if _WHOLE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no whole number; give one, in digits.")
    return int(text)


def decimal(text: str) -> float:
    """Read a number of the command line, whole or with a point, for argparse; its bounds are for whoever uses it."""
    if _DECIMAL.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no number; give one, in digits.")
    return float(text)


# -- memory ------------------------------------------------------------------------------------------------------------


def require_memory(nr_bytes: int, what: str) -> None:
    """Raise NoMemory, before any is taken, if `what` needs more memory than this machine has."""
    total = _memory_bytes()
    if total is not None and nr_bytes > total:
        raise NoMemory(f"{what} takes {nr_bytes >> 20} MiB of memory and this machine has {total >> 20}; ask for less.")


def _memory_bytes() -> int | None:
    """Return the memory this process may have: the machine's, or what its cgroup is limited to."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None  # a system that does not tell
    try:
        limit = Path(_CGROUP_LIMIT).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return total
    return min(total, int(limit)) if limit.isdecimal() else total


# -- files -------------------------------------------------------------------------------------------------------------


def path_of(path: object, what: str = "A file") -> Path:
    """Return a path given as text or as a path; InvalidArgument for what no file can be called."""
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise InvalidArgument(f"{what} is named by a path, as text or a Path, not by {quoted(path)}.")
    try:
        known = bool(text) and "\0" not in text and len(os.fsencode(text)) <= _MAX_PATH
    except UnicodeEncodeError:  # half of a surrogate pair, which no file system stores
        known = False
    if not known:
        raise InvalidArgument(f"{what} can't be called {quoted(text)}; give the path of one.")
    return Path(text)


def open_bounded(path: object, limit: int, what: str = "file") -> BinaryIO:
    """Open a regular file of at most `limit` bytes for reading, at once or not at all.

    NotFound: there is none. InvalidArgument: a folder, a FIFO, a device, a circle of links, too large. NotPermitted: no
    right to read it. `what` is what messages call it.
    """
    path = path_of(path, f"A {what}")
    try:
        _require_regular(path, path.stat(), limit, what)  # before it is opened: to open a device may do something
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        _explain(path, what, error)
    file = os.fdopen(fd, "rb")
    try:
        _require_regular(path, os.fstat(fd), limit, what)
    except BaseException:
        file.close()
        raise
    return file


def read_bounded(path: object, limit: int, what: str = "file") -> bytes:
    """Return the bytes of a regular file, never more than `limit`; errors as for `open_bounded`."""
    with open_bounded(path, limit, what) as file:
        raw = bytearray()
        try:
            # In parts: to ask for as much as the limit would take that much memory, whatever the file holds.
            while len(raw) <= limit and (part := file.read(min(_PART, limit + 1 - len(raw)))):
                raw += part
        except OSError as error:
            _explain(Path(os.fspath(path)), what, error)  # type: ignore[call-overload]
    if len(raw) > limit:  # it grew, or is one of those that do not tell their size
        raise _too_large(path, limit, what)
    return bytes(raw)


def _require_regular(path: Path, status: os.stat_result, limit: int, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise InvalidArgument(f"{shown(path)} is {kind}; give the path of a {what}.")
    if status.st_size > limit:
        raise _too_large(path, limit, what)


def _too_large(path: object, limit: int, what: str) -> InvalidArgument:
    return InvalidArgument(f"{shown(path)} is larger than {limit} bytes, the most a {what} may have; give another one.")


def _explain(path: Path, what: str, error: OSError) -> NoReturn:
    """Raise the swap error for one of the system's, met in opening or reading a file."""
    if isinstance(error, SwapError):
        raise error
    code = error.errno or errno.EIO
    if code in (errno.ENOENT, errno.ENOTDIR):
        raise NotFound(f"There is no {what} {shown(path)}; give the path of one.") from error
    if code in (errno.EACCES, errno.EPERM):
        raise NotPermitted(f"Reading {shown(path)} is not permitted; choose a {what} you may read.") from error
    if code == errno.ELOOP:
        raise InvalidArgument(f"The links on the way to {shown(path)} lead in a circle; give another path.") from error
    if code == errno.ENAMETOOLONG:
        raise InvalidArgument(f"The path {quoted(str(path))} is too long; give a shorter one.") from error
    raise error_for(code, f"Reading {shown(path)} failed: {os.strerror(code)}; give another {what}.") from error


# -- JSON --------------------------------------------------------------------------------------------------------------


class _NotStrict(ValueError):
    """JSON that Python reads and this library does not."""


def load_json(raw: bytes, what: str) -> Any:
    """Return what JSON in UTF-8 says; InvalidArgument, which calls it `what`, unless it can be taken in one way only.

    Not taken: a key twice in an object, NaN and Infinity and numbers beyond a float, whole numbers of more than 20
    digits, nesting beyond `MAX_JSON_DEPTH`, half of a surrogate pair.
    """
    what = shown(what)
    try:
        found = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
        _check_tree(found)
    except _NotStrict as error:
        raise InvalidArgument(f"{what} {error}") from None
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{what} is not UTF-8 text from byte {error.start} on; save it as UTF-8.") from error
    except RecursionError:
        raise InvalidArgument(f"{what} is nested more than {MAX_JSON_DEPTH} deep; make it flatter.") from None
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise InvalidArgument(
            f"{what} is not JSON: line {error.lineno}, column {error.colno}, {message}; mend it there."
        ) from error
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _NotStrict(f"names {quoted(twice)} twice in one object; leave one of the two out.")
    return found


def _constant(text: str) -> NoReturn:
    raise _NotStrict(f"holds {text}, which is no number; write one.")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotStrict(f"holds {quoted(text)}, which is too large a number; write a smaller one.")
    return value


def _int(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > _MAX_DIGITS:
        raise _NotStrict(f"holds a whole number of {digits} digits; write one of at most {_MAX_DIGITS}.")
    return int(text)


def _check_tree(found: Any) -> None:
    """Hold depth and text to what can be worked with; without recursion, since depth is what is in question."""
    level = [found]
    for depth in range(MAX_JSON_DEPTH + 1):
        inner = [each for each in level if isinstance(each, dict | list)]
        texts = [each for each in level if isinstance(each, str)]
        texts += [key for each in inner if isinstance(each, dict) for key in each]
        if any(not text.isascii() and _SURROGATE.search(text) for text in texts):
            raise _NotStrict("holds half of a surrogate pair, which is no character; write a whole one.")
        if inner and depth == MAX_JSON_DEPTH:
            raise _NotStrict(f"is nested more than {MAX_JSON_DEPTH} deep; make it flatter.")
        level = [child for each in inner for child in (each.values() if isinstance(each, dict) else each)]
