"""The swapoff race: its tracks are the swapoffs that `measure_swapoff` counts, and a stop loses nothing."""

from __future__ import annotations

import numpy as np
import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.workloads.swapoff import measure_swapoff
from vswaplab.workloads.swapoff_race import COUNTED, DESIGNS, PARTS, WHYS, Race, race

SETTINGS = [
    {"swapped": 16, "mapped": "4M", "strangers": 2},
    {"swapped": 30, "mapped": "2M", "strangers": 1, "where": "before", "state": "out"},
    {"swapped": 12, "mapped": "2M", "strangers": 2, "backing": "zswap", "state": "gone"},
    {"swapped": 8},
]


@pytest.fixture(scope="module", params=SETTINGS, ids=[str(i) for i in range(len(SETTINGS))])
def runners(request: pytest.FixtureRequest) -> Race:
    return race(**request.param)


def test_a_track_ends_with_the_counts_of_a_measured_swapoff(runners: Race) -> None:
    setting = runners.setting
    for design in DESIGNS:
        more = {"where": setting.where, "state": setting.state, "backing": setting.backing}
        row = measure_swapoff(design, setting.swapped, setting.pages * 4096, setting.strangers, **more)
        track = runners.tracks[design]
        assert track.samples[-1].tolist() == [getattr(row.report, name) for name in COUNTED]
        assert (np.diff(track.samples, axis=0) >= 0).all()  # counts only grow
        assert (np.diff(track.work) >= 0).all()


def test_a_stop_leaves_the_device_on_and_loses_nothing(runners: Race) -> None:
    assert len(runners.stops) == len(DESIGNS) * len(WHYS) * len(PARTS)
    for stop in runners.stops:
        whole = runners.tracks[stop.design].samples[-1]
        assert stop.pages_lost == 0
        if stop.error:
            assert stop.still_on
            assert stop.errno == {"signal": "Interrupted", "memory": "Killed"}[stop.why]
            if stop.why == "signal":
                assert all(count <= total for count, total in zip(stop.counted, whole.tolist(), strict=True))
        else:
            assert not stop.still_on
            assert stop.on_device == 0


def test_a_later_signal_leaves_no_more_on_the_device(runners: Race) -> None:
    for design in DESIGNS:
        left = [stop.on_device for stop in runners.stops if stop.design == design and stop.why == "signal"]
        assert left == sorted(left, reverse=True)


def test_a_stopped_machine_can_be_looked_at_and_swapped_off_again(runners: Race) -> None:
    for design in DESIGNS:
        with runners.stopped(design, 50, "signal", trace=True) as machine:
            machine.check()
            stop = next(s for s in runners.stops if (s.design, s.percent, s.why) == (design, 50, "signal"))
            if not stop.error:  # nothing was on the device: virtual, all of it in zswap
                assert not list(machine.devices)
                continue
            (device,) = list(machine.devices)
            assert device.inuse_pages == stop.on_device
            assert machine.trace is not None
            machine.swapoff(device)
            machine.check()


def test_what_there_is_no_race_of_is_one_sentence(runners: Race) -> None:
    with pytest.raises(InvalidArgument, match=r"choose from legacy, virtual and signal, memory\."):
        runners.stopped("legacy", 50, "boredom")
    with pytest.raises(InvalidArgument, match="'sideways' is not one of"):
        race(state="sideways")
