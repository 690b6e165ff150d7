"""A swapoff race: the same device swapped off under both designs, counted as it happens, and stopped midway.

The setting is that of `vswaplab.workloads.swapoff`: an owner whose pages are on the device, and strangers with large
mappings. A *track* is one design's swapoff, sampled whenever it looks for a signal. A *stop* is the same swapoff ended
at a part of its way, by a signal or because memory ran out, and the state it leaves: the device on as before, nothing
lost, every invariant checked and every page read back.

>>> runners = race(swapped=16, mapped="4M", strangers=2)
>>> [(design, track.report.ptes_visited, track.report.pages_read) for design, track in runners.tracks.items()]
[('legacy', 3072, 16), ('virtual', 0, 16)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vswaplab.errors import Interrupted, InvalidArgument, NoMemory, SwapError
from vswaplab.mm.machine import Machine
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import quoted
from vswaplab.workloads.swapoff import BuiltSwapoff, SwapoffSetting

__all__ = ["COUNTED", "DESIGNS", "PARTS", "WHYS", "Race", "Stop", "Track", "race"]

DESIGNS = ("legacy", "virtual")
COUNTED = ("tables_walked", "ptes_visited", "slots_scanned", "pages_read", "ptes_rewritten")
"""Fields of the report that a track samples, in the order of its columns."""
WHYS = {"signal": "a signal (EINTR)", "memory": "no memory left (swapoff is killed)"}
"""What may stop it."""
PARTS = (25, 50, 75)
"""Percent of the way at which the stops are."""

_SAMPLES = 400


@dataclass(frozen=True)
class Track:
    """One design's swapoff."""

    design: str
    samples: npt.NDArray[np.float64]
    """Shape (samples, 5): what was counted so far, `COUNTED`; the last row is the end."""
    report: SwapoffReport
    looks: int
    """Times that it looked for a signal."""
    walked: tuple[tuple[str, int], ...]
    """What there was to walk: processes with the PTEs of their regions, in order; in virtual the device's slots."""

    @property
    def work(self) -> npt.NDArray[np.float64]:
        """Work done at each sample: tables, PTEs and slots looked at, pages read, one each."""
        total: npt.NDArray[np.float64] = self.samples[:, :4].sum(axis=1)
        return total


@dataclass(frozen=True)
class Stop:
    """The same swapoff, stopped."""

    design: str
    why: str
    percent: int
    error: str
    """What swapoff said; "" if it was done before."""
    errno: str
    counted: tuple[int, ...]
    """`COUNTED` when it stopped."""
    on_device: int
    """Slots of the device still in use."""
    still_on: bool
    pages_lost: int
    """Pages of the owner that read other than they were written: 0."""


@dataclass(frozen=True)
class Race:
    """Both tracks of one setting, and their stops."""

    setting: SwapoffSetting
    tracks: dict[str, Track]
    stops: tuple[Stop, ...]

    def stopped(self, design: str, percent: int = 50, why: str = "signal", trace: bool = False) -> Machine:
        """Return a machine whose swapoff was stopped at a part of its way, to look at; close it when done."""
        if design not in DESIGNS or why not in WHYS:
            raise InvalidArgument(
                f"There is no race of {quoted(design)} stopped by {quoted(why)}; choose from {', '.join(DESIGNS)} and "
                f"{', '.join(WHYS)}."
            )
        built = self.setting.build(design, trace)
        with suppress(SwapError):
            built.machine.swapoff(built.device, _stopper(built, percent * self.tracks[design].looks // 100, why))
        return built.machine


def race(
    swapped: int = 64,
    mapped: int | str = "16M",
    strangers: int = 3,
    *,
    where: str = "after",
    state: str = "in",
    backing: str = "device",
) -> Race:
    """Run the race; arguments as for `measure_swapoff`. Each design's swapoff is run whole once, and stopped six times.

    InvalidArgument for a setting that can't be.
    """
    setting = SwapoffSetting(swapped, mapped, strangers, where, state, backing)
    tracks = {design: _track(setting, design) for design in DESIGNS}
    return Race(setting, tracks, tuple(_stops(setting, tracks)))


def _track(setting: SwapoffSetting, design: str) -> Track:
    with setting.build(design) as built:
        rows: list[tuple[int, ...]] = []
        walked = tuple(_to_walk(built))

        def look() -> bool:
            rows.append(_counts(built.machine.devices.swapoff_report))
            return False

        report = built.machine.swapoff(built.device, look)
        built.verify()
        built.machine.check()
    rows.append(_counts(report))
    samples = np.array(rows, np.float64)
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(_SAMPLES, len(samples))).astype(np.int64))
    return Track(design, samples[chosen], report, len(rows) - 1, walked)


def _counts(report: SwapoffReport | None) -> tuple[int, ...]:
    return tuple(getattr(report, name) for name in COUNTED) if report is not None else (0,) * len(COUNTED)


def _to_walk(built: BuiltSwapoff) -> Iterator[tuple[str, int]]:
    if built.machine.design == "virtual":
        yield "slots of the device", int(built.device.max)
        return
    for process in built.machine.mmlist():
        yield process.name, sum(vma.pages for vma in process.mm.vmas)


def _stopper(built: BuiltSwapoff, looks: int, why: str) -> Callable[[], bool]:
    """Return a hook that stops a swapoff at its look number `looks`; without memory nothing is free from then on."""
    left = [looks]

    def look() -> bool:
        left[0] -= 1
        if left[0] >= 0:
            return False
        if why == "signal":
            return True
        built.machine.ram_pages = built.machine.used_pages
        return False

    return look


def _stops(setting: SwapoffSetting, tracks: dict[str, Track]) -> Iterator[Stop]:
    for design in DESIGNS:
        for why in WHYS:
            for percent in PARTS:
                with setting.build(design) as built:
                    yield _stop(built, why, percent, tracks[design].looks)


def _stop(built: BuiltSwapoff, why: str, percent: int, looks: int) -> Stop:
    machine, ram, error = built.machine, built.machine.ram_pages, ""
    counted: list[tuple[int, ...]] = [()]
    stop = _stopper(built, percent * looks // 100, why)

    def look() -> bool:
        counted[0] = _counts(machine.devices.swapoff_report)
        return stop()

    errno = ""
    try:
        counted[0] = _counts(machine.swapoff(built.device, look))
    except (Interrupted, NoMemory) as failed:
        error, errno = str(failed), type(failed).__name__
    machine.check()
    on = [si for si in machine.devices if si is built.device]
    in_use = sum(si.inuse_pages for si in on)
    machine.ram_pages = ram
    lost = built.lost()
    return Stop(machine.design, why, percent, error, errno, counted[0], in_use, bool(on), lost)
