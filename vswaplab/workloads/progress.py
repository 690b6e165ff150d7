"""A report of progress on stderr, for commands that take a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "progress_on_stderr"]

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


def progress_on_stderr(what: str) -> Progress:
    """Return a report of progress, at most twice a second, and only where a person may be looking."""
    shown = [time.monotonic()]

    def report(done: int, total: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and (now - shown[0] > 0.5 or done == total):
            shown[0] = now
            print(f"\r{what}: {100 * done // max(1, total)} %", end="\n" if done == total else "", file=sys.stderr)

    return report
