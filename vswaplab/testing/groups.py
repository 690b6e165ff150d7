"""Rules of the random machine that concern memory cgroups, zswap's parameters and failures; see `vswaplab.testing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from errno import errorcode
from typing import ClassVar, Literal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from vswaplab.backends.device import Fault
from vswaplab.backends.zswap import FAULTS as ZSWAP_FAULTS
from vswaplab.errors import Busy, DeviceIOError, NoMemory, SwapError
from vswaplab.mm.memcg import Memcg
from vswaplab.testing.rules import ANY, FileRules
from vswaplab.units import PAGE_SIZE

__all__ = ["GroupRules"]

_FaultKind = tuple[Literal["read", "write", "discard"], Literal["EIO", "ENOSPC", "short"]]
_FAULTS: list[_FaultKind] = [
    ("read", "EIO"),
    ("read", "short"),
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("write", "short"),
    ("discard", "EIO"),
]
_PAGES = st.none() | st.integers(0, 40)


class GroupRules(FileRules):
    """A group, at times with a child: limits that change, processes that move, and everything that can fail."""

    tally: ClassVar[Counter[str]] = Counter()
    """What all machines of this class did: operations, errors by errno, faults by kind, pages and bytes verified."""

    group: Memcg

    @property
    def groups(self) -> list[Memcg]:
        """The group and its children."""
        return list(self.group.subtree()) if hasattr(self, "group") else []

    def count(self, what: str, nr: int = 1) -> None:
        """Add to the tally."""
        type(self).tally[what] += nr

    @contextmanager
    def may_fail(self, *more: type[SwapError]) -> Iterator[None]:
        """Let an operation fail for want of memory or with an I/O error, or with one of `more`, and count that."""
        expected: tuple[type[SwapError], ...] = (NoMemory, DeviceIOError, *more)
        try:
            yield
        except expected as error:
            self.count(f"error {errorcode[error.errno or 0]}")

    def verified(self, found: bytes, expected: bytes, what: str) -> None:
        """Hold bytes that came back against those that are expected."""
        assert found == expected, what
        self.count("bytes verified", len(found))

    # -- memory cgroups ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.groups)
    @rule(
        which=ANY,
        max=st.none() | st.integers(4, 40),
        high=_PAGES,
        swap_max=_PAGES,
        zswap_max=st.none() | st.integers(0, 12),
        writeback=st.booleans(),
    )
    def limit(
        self,
        which: int,
        max: int | None,
        high: int | None,
        swap_max: int | None,
        zswap_max: int | None,
        writeback: bool,
    ) -> None:
        """A group's limits change."""
        group = self.groups[which % len(self.groups)]
        for name, pages in (("max", max), ("high", high), ("swap.max", swap_max), ("zswap.max", zswap_max)):
            group.write(f"memory.{name}", "max" if pages is None else str(pages * PAGE_SIZE))
        group.write("memory.zswap.writeback", str(int(writeback)))

    @precondition(lambda self: len(self.groups) == 1)
    @rule()
    def make_child(self) -> None:
        """The group gets a child."""
        self.machine.memcg("child", parent=self.group)

    @precondition(lambda self: len(self.groups) > 1)
    @rule()
    def remove_child(self) -> None:
        """The child is removed, unless processes are in it."""
        with self.may_fail(Busy):
            self.machine.rmdir(self.groups[-1])

    @precondition(lambda self: self.groups and self.machine.processes)
    @rule(who=ANY, which=ANY)
    def move(self, who: int, which: int) -> None:
        """A process moves to another group, or to the root."""
        processes, groups = list(self.machine.processes.values()), [self.machine.root_memcg, *self.groups]
        self.machine.move(processes[who % len(processes)], groups[which % len(groups)])

    # -- zswap ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.groups and self.machine.zswap is not None)
    @rule(
        max_pool_percent=st.sampled_from([0, 2, 10, 20, 50, 100]),
        accept_threshold_percent=st.sampled_from([0, 50, 90, 100]),
        compressor=st.sampled_from(["zstd", "lz4", "deflate"]),
        enabled=st.booleans(),
        shrinker=st.booleans(),
    )
    def tune(
        self, max_pool_percent: int, accept_threshold_percent: int, compressor: str, enabled: bool, shrinker: bool
    ) -> None:
        """zswap's parameters change."""
        zswap = self.machine.zswap
        assert zswap is not None
        zswap.max_pool_percent, zswap.accept_threshold_percent = max_pool_percent, accept_threshold_percent
        zswap.compressor, zswap.enabled, zswap.shrinker_enabled = compressor, enabled, shrinker

    # -- failures ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.groups and len(self.machine.devices) > 0)
    @rule(which=ANY, fault=st.sampled_from(_FAULTS), nth=st.integers(1, 4), times=st.integers(1, 6))
    def fail(self, which: int, fault: _FaultKind, nth: int, times: int) -> None:
        """A device will fail soon."""
        devices = list(self.machine.devices)
        devices[which % len(devices)].device.inject(Fault(*fault, nth=nth, times=times))
        self.count(f"fault {fault[0]} {fault[1]}", times)

    @precondition(lambda self: self.groups and self.machine.zswap is not None)
    @rule(kind=st.sampled_from(ZSWAP_FAULTS), nth=st.integers(1, 4), times=st.integers(1, 6))
    def fail_zswap(self, kind: str, nth: int, times: int) -> None:
        """zswap will fail soon."""
        assert self.machine.zswap is not None
        self.machine.zswap.inject(kind, nth, times)
        self.count(f"fault zswap {kind}", times)

    # -- the end -------------------------------------------------------------------------------------------------

    def let_everything_work(self) -> None:
        """Take all limits and failures back."""
        for si in self.machine.devices:
            si.device.clear_faults()
        zswap = self.machine.zswap
        if zswap is not None:
            zswap.clear_faults()
            zswap.enabled, zswap.max_pool_percent = True, 20
        for group in self.groups:
            group.max = group.high = group.swap_max = group.zswap_max = None
            group.zswap_writeback = True
