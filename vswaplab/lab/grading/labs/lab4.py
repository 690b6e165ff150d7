"""Lab 4, a policy of one's own: which page of a full zswap goes to the disk, measured on real reference strings."""

from __future__ import annotations

from typing import Any

from vswaplab.lab.grading.model import Check, Lab
from vswaplab.lab.grading.policy_lab import Result, baseline, simulate

__all__ = ["HELD_OUT", "LAB", "reference"]

HELD_OUT: tuple[tuple[str, dict[str, int]], ...] = (
    ("cc1", {"ram": 96, "zswap": 160, "part": 3}),
    ("sort", {"ram": 48, "zswap": 96, "part": 0}),
    ("python_json", {"ram": 128, "zswap": 200, "part": 5}),
)
"""Traces and sizes that learners don't see."""


def reference() -> dict[str, Any]:
    """Return a solution, as the masters have it: pages that came back before are spared once."""

    class Policy:
        def __init__(self, capacity: int) -> None:
            self.order: dict[int, bool] = {}
            self.came_back: dict[int, int] = {}

        def stored(self, page: int) -> None:
            self.order[page] = self.came_back.get(page, 0) > 0

        def loaded(self, page: int) -> None:
            del self.order[page]
            self.came_back[page] = self.came_back.get(page, 0) + 1

        def victim(self) -> int:
            while True:
                page = next(iter(self.order))
                spared = self.order.pop(page)
                if not spared:
                    return page
                self.order[page] = False

    return {"Policy": Policy}


def _run(student: Any, trace: str, **sizes: int) -> tuple[Result, Result]:
    """Return what the student's policy costs, and the baseline."""
    policy = student.new("Policy", sizes.get("zswap", 160))
    return simulate(policy, trace, **sizes), baseline(trace, **sizes)


def _names_a_page_that_is_there(student: Any) -> None:
    """A short trace: every victim is in zswap."""
    found, _ = _run(student, "sqlite", ram=32, zswap=24)
    assert found.victims > 0, "no page was ever written back: the simulation is broken, tell your teacher"


def _is_not_worse_than_the_oldest(student: Any) -> None:
    """On the trace that is given, no more than 2 % dearer than the oldest first."""
    found, oldest = _run(student, "sqlite", ram=64, zswap=96)
    said = f"{found.disk_faults} pages come back from the disk, {oldest.disk_faults} with the oldest first"
    assert found.cost <= 1.02 * oldest.cost, said


def _does_not_forget(student: Any) -> None:
    """Pages that come and go: one that was loaded is not named until it is stored again."""
    policy = student.new("Policy", 4)
    for page in (1, 2, 3, 4):
        policy.stored(page)
    policy.loaded(2)
    named = [policy.victim() for _ in range(3)]
    assert 2 not in named, "page 2 was loaded, and is named all the same"
    assert sorted(named) == [1, 3, 4], f"of pages 1, 3 and 4 in zswap these are named: {named}"


def _held_out(at: int) -> Any:
    def check(student: Any) -> None:
        trace, sizes = HELD_OUT[at]
        found, oldest = _run(student, trace, **sizes)
        said = f"{found.cost / oldest.cost:.2f} times the cost of the oldest first; at most 1.00 is asked for"
        assert found.cost <= oldest.cost, said

    return check


def _score(student: Any) -> float:
    """Return the mean saving against the oldest first on the held-out traces, in percent."""
    costs = [_run(student, trace, **sizes) for trace, sizes in HELD_OUT]
    return sum(100 * (1 - found.cost / oldest.cost) for found, oldest in costs) / len(costs)


LAB = Lab(
    name="lab4_policy",
    title="A policy of your own",
    entry=("Policy",),
    checks=(
        Check("there", 3, True, _names_a_page_that_is_there, "every victim is in zswap"),
        Check("no-ghosts", 3, True, _does_not_forget, "a page that was loaded is not named"),
        Check("not-worse", 4, True, _is_not_worse_than_the_oldest, "not worse than the oldest first, on your trace"),
        Check("held-out-1", 3, False, _held_out(0), "not worse on a compiler's trace"),
        Check("held-out-2", 3, False, _held_out(1), "not worse on a sort's trace"),
        Check("held-out-3", 4, False, _held_out(2), "not worse on another program's trace"),
    ),
    minutes=120,
    hardness="***",
    score=_score,
)
