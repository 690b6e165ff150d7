"""Faults of zswap: what a test or a lesson lets fail, and when."""

from __future__ import annotations

from collections import Counter

from vswaplab.errors import InvalidArgument

__all__ = ["FAULTS", "ZswapFaults"]

FAULTS = ("kmemcache", "compress", "alloc", "decompress")
"""What can fail: the entry, the compressor, the object, the decompressor."""


class ZswapFaults:
    """Failures to come, by what fails."""

    def __init__(self) -> None:
        self.armed: dict[str, list[range]] = {}
        """Which uses fail, for what has a failure ahead of it."""
        self._uses: Counter[str] = Counter()

    def inject(self, kind: str, nth: int, times: int) -> None:
        """Let the `nth` use of `kind` from now on fail, and `times` - 1 after it."""
        if kind not in FAULTS or nth < 1 or times < 1:
            raise InvalidArgument(f"zswap can fail in {', '.join(FAULTS)}, counted from 1; not in {kind!r}, {nth}.")
        first = self._uses[kind] + nth
        self.armed.setdefault(kind, []).append(range(first, first + times))

    def hit(self, kind: str) -> bool:
        """Count a use, if a failure is ahead of it, and tell whether it fails."""
        if kind not in self.armed:
            return False
        self._uses[kind] += 1
        use = self._uses[kind]
        fails = any(use in fault for fault in self.armed[kind])
        self.armed[kind] = [fault for fault in self.armed[kind] if fault.stop > use + 1]
        if not self.armed[kind]:
            del self.armed[kind]
        return fails
