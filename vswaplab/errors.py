"""Errors: one exception per errno that swap returns, each with a message that says what to do.

All derive from `SwapError`, itself an `OSError`, so ``except OSError as e: e.errno`` works as with a real system call.
`InvariantError` is of another kind: the model itself is broken (or a break-it lesson broke it), and it names the
invariant that failed.
"""

from __future__ import annotations

import errno as _errno
from typing import ClassVar

__all__ = [
    "Again",
    "Busy",
    "DeviceIOError",
    "Exists",
    "Interrupted",
    "InvalidArgument",
    "InvariantError",
    "Killed",
    "NoMemory",
    "NoSpace",
    "NotFound",
    "NotPermitted",
    "OutOfMemory",
    "SwapError",
    "error_for",
    "hold",
]


class SwapError(OSError):
    """Base of every error the swap model returns; `errno` says which."""

    code: ClassVar[int] = _errno.EIO

    def __init__(self, message: str) -> None:
        super().__init__(self.code, message)

    def __str__(self) -> str:
        return str(self.strerror)


class NoMemory(SwapError):
    """-ENOMEM: no page, no virtual slot or no memory for metadata."""

    code = _errno.ENOMEM


class OutOfMemory(NoMemory):
    """-ENOMEM: no page in the whole machine, whatever was reclaimed; where Linux calls its OOM killer."""


class NoSpace(SwapError):
    """-ENOSPC: the device or the file system under it is full."""

    code = _errno.ENOSPC


class InvalidArgument(SwapError, ValueError):
    """-EINVAL: an argument, a header or a slot that can't be meant."""

    code = _errno.EINVAL


class Again(SwapError):
    """-EAGAIN: less was done than was asked for, and trying again may do more."""

    code = _errno.EAGAIN


class Busy(SwapError):
    """-EBUSY: in use already."""

    code = _errno.EBUSY


class NotFound(SwapError):
    """-ENOENT: no such entry, device or file."""

    code = _errno.ENOENT


class Exists(SwapError):
    """-EEXIST: the entry is in the swap cache already."""

    code = _errno.EEXIST


class DeviceIOError(SwapError):
    """-EIO: the device could not read or write, or a compressed object could not be read back."""

    code = _errno.EIO


class Interrupted(SwapError):
    """-EINTR: a signal (here: the cancel hook) ended a long operation half-way."""

    code = _errno.EINTR


class Killed(Interrupted):
    """-EINTR: the OOM killer ended the task half-way, so that nobody sees the errno."""


class NotPermitted(SwapError):
    """-EPERM: not allowed."""

    code = _errno.EPERM


_BY_CODE: dict[int, type[SwapError]] = {
    cls.code: cls
    for cls in (
        NoMemory,
        NoSpace,
        InvalidArgument,
        Busy,
        NotFound,
        Exists,
        DeviceIOError,
        Interrupted,
        NotPermitted,
        Again,
    )
}


def error_for(code: int, message: str) -> SwapError:
    """Return the error for an errno value; one that swap does not know becomes EIO, as the block layer does it."""
    return _BY_CODE.get(code, DeviceIOError)(message)


class InvariantError(AssertionError):
    """An invariant of a structure does not hold; `invariant` is its name."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


def hold(rule: bool, invariant: str, detail: str, *of: object) -> None:
    """Raise `InvariantError` unless the rule holds; only then `detail` is formatted with `of`: mostly all is well."""
    if not rule:
        raise InvariantError(invariant, detail.format(*of) if of else detail)
