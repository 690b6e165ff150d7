"""Operations of the random machine that let devices and zswap fail, and that change zswap's parameters."""

from __future__ import annotations

from vswaplab.backends.device import Fault
from vswaplab.backends.zswap_faults import FAULTS as ZSWAP_FAULTS
from vswaplab.testing.draws import ANY, flags, one_of, operation, whole
from vswaplab.testing.model import Model

__all__ = ["FaultOperations"]

_FAULTS = (
    ("read", "EIO"),
    ("read", "short"),
    ("write", "EIO"),
    ("write", "ENOSPC"),
    ("write", "short"),
    ("discard", "EIO"),
    ("discard", "short"),
)


class FaultOperations(Model):
    """What can fail, fails; what can be turned, is turned."""

    def has_zswap(self) -> bool:
        """Whether the machine has zswap."""
        return self.machine.zswap is not None

    @operation(
        when=lambda self: len(self.machine.devices) > 0,
        weight=2,
        which=ANY,
        fault=one_of(*_FAULTS),
        nth=whole(1, 4),
        times=whole(1, 6),
    )
    def fail(self, which: int, fault: tuple[str, str], nth: int, times: int) -> None:
        """A device will fail soon."""
        devices, (op, error) = list(self.machine.devices), fault
        devices[which % len(devices)].device.inject(Fault(op, error, nth=nth, times=times))  # type: ignore[arg-type]
        self.count(f"fault {op} {error}", times)

    @operation(when=has_zswap, weight=2, kind=one_of(*ZSWAP_FAULTS), nth=whole(1, 4), times=whole(1, 6))
    def fail_zswap(self, kind: str, nth: int, times: int) -> None:
        """zswap will fail soon."""
        assert self.machine.zswap is not None
        self.machine.zswap.inject(kind, nth, times)
        self.count(f"fault zswap {kind}", times)

    @operation(
        when=has_zswap,
        max_pool_percent=one_of(0, 2, 10, 20, 50, 100),
        accept_threshold_percent=one_of(0, 50, 90, 100),
        compressor=one_of("zstd", "lz4", "deflate"),
        enabled=one_of(True, True, False),
        shrinker=flags(),
    )
    def tune(
        self, max_pool_percent: int, accept_threshold_percent: int, compressor: str, enabled: bool, shrinker: bool
    ) -> None:
        """zswap's parameters change."""
        zswap = self.machine.zswap
        assert zswap is not None
        zswap.max_pool_percent, zswap.accept_threshold_percent = max_pool_percent, accept_threshold_percent
        zswap.compressor, zswap.enabled, zswap.shrinker_enabled = compressor, enabled, shrinker

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
