"""The stress command: it counts what it did, does the same for the same seed, and finds what is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from vswaplab import Machine
from vswaplab.backends.device import Fault
from vswaplab.cli import main
from vswaplab.errors import InvalidArgument
from vswaplab.testing import OPERATIONS, SHAPE, Operations, page_of
from vswaplab.testing.contents import torn
from vswaplab.testing.stress import stress

both = pytest.mark.parametrize("design", ["virtual", "legacy"])


@both
def test_two_seconds_verify_bytes_and_inject_faults(design: str) -> None:
    (report,) = stress(2, [design])
    assert report.failure is None
    assert report.counts["machines"] == report.started
    assert report.counts["operations"] == sum(report.operations.values()) > 50
    assert report.counts["checks"] >= report.counts["operations"] + 2 * report.started
    assert report.counts["bytes verified"] == report.counts["pages verified"] * 4096 > 0
    assert sum(report.faults.values()) > 0
    assert str(report).endswith("0 lost")


@both
def test_a_run_of_some_hundred_operations_does_every_operation_and_meets_failures(design: str) -> None:
    (report,) = stress(None, [design], seed=100, steps=1200)
    assert set(report.operations) == {operation.name for operation in OPERATIONS}
    assert {"ENOMEM", "EAGAIN", "EINTR", "EIO"} <= set(report.errors)
    assert {"read", "write"} <= set(report.failed_requests)
    assert {what.split()[0] for what in report.faults} == {"read", "write", "discard", "zswap"}


def test_the_same_seed_does_the_same_and_another_one_does_not() -> None:
    one, same, other = (stress(None, ["virtual"], seed, steps=150)[0] for seed in (3, 3, 4))
    assert one.counts == same.counts
    assert one.counts != other.counts
    assert one.counts["operations"] == 150


def _every(nr: int, calls: list[int]) -> bool:
    calls[0] += 1
    return calls[0] % nr == 0


class Forgetful(Machine):
    """A machine that forgets a swap count now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        right, calls = self.swap.swap_duplicate_nr, [0]

        def wrong(entry: int, nr: int) -> None:
            if not _every(50, calls):
                right(entry, nr)

        self.swap.swap_duplicate_nr = wrong  # type: ignore[method-assign]


class Lossy(Machine):
    """A machine whose swap-in damages a byte now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        right, calls = self.swap.swap_read_folio, [0]

        def wrong(folio: Any) -> None:
            right(folio)
            if _every(20, calls):
                folio.data[7] ^= 1

        self.swap.swap_read_folio = wrong  # type: ignore[method-assign]


class Leaky(Machine):
    """A machine whose devices forget to free a slot now and then."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        right, calls = self.devices.free_slots, [0]

        def wrong(slot: int, nr: int = 1) -> None:
            if not _every(5, calls):
                right(slot, nr)

        self.devices.free_slots = wrong  # type: ignore[method-assign]


class Stuck(Machine):
    """A machine that charges a page and forgets it, which no error tells."""

    def munmap_range(self, *args: Any) -> None:
        super().munmap_range(*args)
        self.root_memcg.nr_pages += 1


@pytest.mark.parametrize("broken", [Forgetful, Lossy, Leaky, Stuck])
def test_a_broken_machine_is_found_and_the_command_given_finds_it_again(broken: type[Machine]) -> None:
    (report,) = stress(None, ["virtual"], seed=1, steps=3000, factory=broken)
    found = report.failure
    assert found is not None
    assert report.as_dict()["lost"] == 1
    assert "LOST" in str(report)
    assert found.again in str(report)
    assert found.last
    (again,) = stress(None, [found.design], found.seed, found.step, factory=broken)
    assert again.failure == found
    if found.step > 1:
        (before,) = stress(None, [found.design], found.seed, found.step - 1, factory=broken)
        assert before.failure is None or before.failure.step == found.step - 1


def test_the_command_fails_when_something_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Operations.check

    def wrong(self: Operations) -> None:
        right(self)
        assert self.tally["operations"] < 30, "thirty"

    monkeypatch.setattr(Operations, "check", wrong)
    assert main(["stress", "--steps", "100", "--design", "legacy", "--seed", "5"]) == 1
    assert "again with: vswaplab stress --design legacy --seed 5 --steps 30" in capsys.readouterr().out
    assert main(["stress", "--steps", "100", "--design", "legacy", "--seed", "5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"][0]["failure"]["step"] == 30


def test_command_prints_json_and_refuses_no_time_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stress", "--steps", "40", "--design", "legacy", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["design"], row["lost"], row["operations"]) == ("legacy", 0, 40)
    assert main(["stress", "--seconds", "0"]) == 2
    with pytest.raises(InvalidArgument, match="above 0"):
        stress(seconds=float("nan"))


def test_ctrl_c_ends_it_with_the_report_so_far_and_nothing_left_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    right = Operations.do

    def interrupted(self: Operations, name: str, arguments: Any) -> None:
        if self.tally["operations"] == 200:
            raise KeyboardInterrupt
        right(self, name, arguments)

    monkeypatch.setattr(Operations, "do", interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["stress", "--design", "virtual"]) == 130
    out = capsys.readouterr().out
    assert "200: " in out
    assert out.endswith("0 lost\n")
    assert list(tmp_path.iterdir()) == []


def test_it_needs_no_hypothesis() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from vswaplab.cli import main\n"
        "sys.exit(main(['stress', '--steps', '5', '--design', 'virtual']))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_shape_is_drawn_from_its_seed_alone() -> None:
    drawn = [{name: draw.draw(Random(9)) for name, draw in SHAPE.items()} for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_pages_of_a_failed_write_are_new_up_to_one_and_old_from_there() -> None:
    """What one page is found to hold says what its neighbours may hold."""
    old, new = [[page_of("text", base + i) for i in range(4)] for base in (0, 100)]
    pages: Any = torn(old, new)
    assert not pages[3].found(new[3])  # the last one is never written, or nothing would have failed
    assert pages[1].found(new[1])
    assert not pages[0].found(old[0])
    assert pages[2].found(old[2])
    assert not pages[2].found(new[2])
    assert not pages[2].found(page_of("text", 50))
    again: Any = torn(pages, [page_of("text", 200 + i) for i in range(4)])
    assert again[0].found(page_of("text", 200))
    assert again[2].found(old[2])
    assert again[1].found(new[1])
    assert not again[1].found(old[1])


def test_machines_of_a_run_are_those_of_the_numbers_that_follow() -> None:
    """So that any of them can be had alone."""
    begun: list[int] = []

    def factory(**options: Any) -> Machine:
        begun.append(options["ram"])
        return Machine(**options)

    stress(None, ["legacy"], seed=7, steps=200, factory=factory)
    together, begun = begun, []
    for seed in range(7, 7 + len(together)):
        stress(None, ["legacy"], seed, steps=1, factory=factory)
    assert len(together) > 1
    assert begun == together


@both
def test_large_folios_that_fill_memory_and_find_no_run_are_no_failure_of_the_machine(design: str) -> None:
    """In the virtual design nothing splits them: the run gives them a device with runs before it reads all."""
    drawn: dict[str, Any] = {name: SHAPE[name].choices[0] for name in SHAPE if SHAPE[name].choices}
    run = Operations.begin(
        lambda **options: Machine(design=design, **options),
        Counter(),
        **drawn | {"ram": 24, "slots": 100, "seed": 1, "device": "memory", "zswap": None, "verify": False, "order": 3},
    )
    run.do("write", {"who": 0, "where": 0, "count": 28, "kind": "noise", "seed": 1})
    if design == "virtual":
        assert {folio.order for folio in run.machine.frames.values()} >= {3}
        assert run.machine.reclaim() == 0
    run.finish()
    run.close()


@both
def test_a_page_that_a_swapoff_could_not_read_is_counted_and_no_other_may_be_gone(design: str) -> None:
    """Its device failed, and Linux goes on without it [S14]; the same error with no read that failed is a loss."""
    drawn: dict[str, Any] = {name: SHAPE[name].choices[0] for name in SHAPE if SHAPE[name].choices}
    tally: Counter[str] = Counter()
    run = Operations.begin(
        lambda **options: Machine(design=design, **options),
        tally,
        **drawn | {"ram": 64, "slots": 100, "seed": 1, "device": "disk", "zswap": None, "page_cluster": 0},
    )
    run.machine.swapon(size="1M")
    run.machine.reclaim()
    si = run.machine.devices[0]
    si.device.inject(Fault("read", page=int(si.allocated_offsets()[1]), times=100))
    report = run.machine.swapoff(si)
    assert report.pages_lost == 1
    run.machine.devices.read_errors, failed = 0, run.machine.devices.read_errors
    with pytest.raises(AssertionError, match="could not be read back though nothing fails"):
        run._read_everything()
    run.machine.devices.read_errors = failed
    run.finish()
    assert tally["pages unread at swapoff"] == 1
    run.close()


@both
def test_a_pool_as_large_as_memory_is_no_failure_of_the_machine(design: str) -> None:
    """Nothing but a store makes the pool smaller: the run writes back what is over the limit before it reads all."""
    drawn: dict[str, Any] = {name: SHAPE[name].choices[0] for name in SHAPE if SHAPE[name].choices}
    pool = {"compressor": "lz4", "max_pool_percent": 100}
    run = Operations.begin(
        lambda **options: Machine(design=design, **options),
        Counter(),
        **drawn | {"ram": 36, "slots": 83, "seed": 1, "device": "disk", "zswap": pool, "verify": False},
    )
    zswap = run.machine.zswap
    assert zswap is not None
    for seed in range(20):
        for where in range(len(run.processes[0].mm.vmas)):
            run.do("write", {"who": 0, "where": where, "count": 28, "kind": "noise", "seed": 100 * seed + where})
        run.machine.reclaim()
    assert zswap.pool_pages == 36
    run.finish()
    run.close()
