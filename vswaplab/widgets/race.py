"""Swapoff race: the same device swapped off under both designs, counted as it happens; predict first, stop midway.

>>> SwapoffRace(swapped=64, mapped="16M", strangers=3)  # doctest: +SKIP

A tick is one thing looked at: a page table, a page table entry, a slot of the device, or a page read. Both designs read
the same pages; they differ in what they look at to find them. The stops are runs of their own, ended by a signal or by
memory running out at a part of the way; `SwapoffRace.stopped` gives the machine as it was left.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import traitlets

from vswaplab.figures.palette import THEMES
from vswaplab.mm.machine import Machine
from vswaplab.widgets.step_log import palette
from vswaplab.widgets.view import View
from vswaplab.workloads.swapoff_race import COUNTED, DESIGNS, PARTS, WHYS, Race, Track, race

__all__ = ["SwapoffRace"]

_CODE = """from vswaplab.workloads.swapoff_race import race
runners = race(swapped={swapped}, mapped={mapped!r}, strangers={strangers}, where={where!r}, state={state!r},
               backing={backing!r})
runners.tracks["legacy"].report, runners.tracks["virtual"].report
runners.stopped("legacy", 50, "signal")    # the machine as it was left
"""
MOMENTS = 200
"""Steps of the player from the start to the last finish."""


class SwapoffRace(View):
    """Two tracks and a cursor; arguments as for `vswaplab.workloads.swapoff_race.race`, or a `Race`.

    `step` is the moment, 0 to `last`. `prediction` keeps what the learner expected: "legacy", "virtual" (page table
    entries looked at) and "pages" (pages read).
    """

    named = "Swapoff race"

    step = traitlets.Int(0, help="Moment of the race").tag(sync=True)
    prediction: Any = traitlets.Dict(help="What the learner expects").tag(sync=True)
    last = traitlets.Int(MOMENTS, help="The moment at which both are done")

    def __init__(
        self,
        swapped: int | Race = 64,
        mapped: int | str = "16M",
        strangers: int = 3,
        *,
        where: str = "after",
        state: str = "in",
        backing: str = "device",
    ) -> None:
        if isinstance(swapped, Race):
            self.race = swapped
        else:
            self.race = race(swapped, mapped, strangers, where=where, state=state, backing=backing)
        tracks = [self.race.tracks[design] for design in DESIGNS]
        setting = self.race.setting
        header = {
            "designs": DESIGNS,
            "counted": COUNTED,
            "moments": MOMENTS,
            "tracks": [_told(track) for track in tracks],
            "stops": [asdict(stop) for stop in self.race.stops],
            "whys": WHYS,
            "parts": PARTS,
            "setting": {"swapped": setting.swapped, "mapped": setting.pages, "strangers": setting.strangers},
            "themes": {name: palette(theme) for name, theme in THEMES.items()},
        }
        data = b"".join(np.ascontiguousarray(track.samples, "<f8").tobytes() for track in tracks)
        code = _CODE.format(
            swapped=setting.swapped,
            mapped=setting.pages * 4096,
            strangers=setting.strangers,
            where=setting.where,
            state=setting.state,
            backing=setting.backing,
        )
        super().__init__(view="race", header=header, data=data, code=code)

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    def stopped(self, design: str, percent: int = 50, why: str = "signal", trace: bool = False) -> Machine:
        """Return a machine whose swapoff was stopped at a part of its way, to look at; close it when done."""
        return self.race.stopped(design, percent, why, trace)

    def shows(self) -> list[str]:
        """Return what is swapped off, and not how it ends: that is to be predicted."""
        setting = self.race.setting
        others = "1 other process" if setting.strangers == 1 else f"{setting.strangers} other processes"
        return [
            f"A device with {setting.swapped:,} pages of a process that maps {setting.pages:,} is swapped off, beside "
            f"{others}, in the legacy design and in the virtual one."
        ]


def _told(track: Track) -> dict[str, Any]:
    return {
        "design": track.design,
        "samples": len(track.samples),
        "walked": track.walked,
        "report": track.report.as_dict(),
    }
