"""Long work can be stopped at any point: by a signal, by Ctrl-C, by whoever watches its progress. Nothing is lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmkit import contents, machine, text

from vswaplab import Machine
from vswaplab.cli import main
from vswaplab.mm.process import Process, Region
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.generators import sequential
from vswaplab.workloads.replay import replay

both = pytest.mark.parametrize("design", ["virtual", "legacy"])


def patience(nr: int) -> Callable[[], bool]:
    """Return a hook that says no `nr` times, then yes."""
    left = [nr]

    def signal() -> bool:
        left[0] -= 1
        return left[0] < 0

    return signal


def filled(m: Machine, pages: int = 40) -> tuple[Process, Region]:
    process = m.spawn("app")
    region = process.mmap(pages * PAGE_SIZE)
    process.write(region.start, b"".join(text(i) for i in range(pages)))
    return process, region


@both
@pytest.mark.parametrize("pages", [None, 30])
def test_reclaim_ends_at_a_signal_with_what_it_has_done(design: str, pages: int | None) -> None:
    for nr in range(0, 60, 3):
        with machine(zswap={}, design=design) as m:
            process, region = filled(m)
            m.cancel = patience(nr)
            freed = m.reclaim(pages)
            assert 0 <= freed < 40
            m.check()
            m.cancel = None
            assert m.reclaim() >= 40 - freed - 1
            assert contents(process, region) == [text(i) for i in range(40)]


@both
def test_write_back_ends_at_a_signal_with_what_it_has_done(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        process, region = filled(m, 100)
        m.reclaim()
        m.cancel = patience(2)
        assert m.writeback() == 64
        m.check()
        m.cancel = None
        assert m.writeback() == 36
        assert contents(process, region) == [text(i) for i in range(100)]


@both
def test_a_signal_does_not_fail_the_faults_of_others(design: str) -> None:
    with machine(zswap={}, design=design) as m:
        m.cancel = lambda: True
        process, region = filled(m, 400)  # more than fits: direct reclaim
        assert contents(process, region) == [text(i) for i in range(400)]


@both
def test_ctrl_c_in_the_middle_leaves_a_machine_that_is_whole(design: str) -> None:
    for nr in range(1, 40, 4):
        with machine(zswap={}, design=design) as m:
            process, region = filled(m)
            stop = patience(nr)

            def interrupt(stop: Callable[[], bool] = stop) -> bool:
                if stop():
                    raise KeyboardInterrupt
                return False

            m.cancel = interrupt
            with pytest.raises(KeyboardInterrupt):
                m.reclaim()
            m.cancel = None
            assert contents(process, region) == [text(i) for i in range(40)]


class Enough(Exception):
    """What somebody who watches progress may raise."""


def test_replay_ends_when_its_progress_raises_and_leaves_no_file(tmp_path: Path) -> None:
    def progress(done: int, of: int) -> None:
        if done:
            raise Enough

    path = tmp_path / "swap.img"
    with pytest.raises(Enough):
        replay(sequential(5000, 10_000), "256K", "virtual", swap_path=path, progress=progress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "inside"),
    [
        (["overhead", "--size", "64M", "--json"], "vswaplab.observe.ledger_cli.rows_of"),
        (["swapoff", "--json"], "vswaplab.workloads.kernel_cli.growth"),
        (["run", "one_page"], "vswaplab.workloads.cli.open_token"),
    ],
)
def test_ctrl_c_on_the_command_line_is_130_and_leaves_nothing_behind(
    command: list[str], inside: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(inside, interrupt)
    assert main(command) == 130
    assert list(tmp_path.iterdir()) == []
