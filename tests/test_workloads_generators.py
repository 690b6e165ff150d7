"""Generators: seeded, of the shape they state, and with the distribution they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.workloads import generators
from vswaplab.workloads.lru import lru_misses

SEEDED: list[Callable[[int], npt.NDArray[np.uint32]]] = [
    lambda seed: generators.zipf(500, 4000, seed=seed),
    lambda seed: generators.phases(500, 4000, seed=seed),
    lambda seed: generators.scan(500, 4000, seed=seed),
]


@pytest.mark.parametrize("make", SEEDED)
def test_the_seed_alone_decides(make: Callable[[int], npt.NDArray[np.uint32]]) -> None:
    """One seed gives one string, another seed another; dtype, length and bounds are as stated."""
    first = make(1)
    assert np.array_equal(first, make(1))
    assert not np.array_equal(first, make(2))
    assert (str(first.dtype), len(first)) == ("uint32", 4000)
    assert int(first.max()) < 500


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1.2])
def test_zipf_frequencies_are_those_of_the_law(alpha: float) -> None:
    """Chi-square over 20 ranks stays below its 1 in 10,000 point (49.6 for 19 degrees of freedom)."""
    draws = 200_000
    rank = generators.zipf(20, draws, alpha=alpha, seed=7, shuffled=False)
    weight = np.arange(1, 21) ** -alpha
    expected = draws * weight / weight.sum()
    assert float(((np.bincount(rank, minlength=20) - expected) ** 2 / expected).sum()) < 49.6


def test_shuffled_zipf_has_the_same_frequencies_on_other_pages() -> None:
    """Shuffling renames the pages and changes nothing else."""
    plain = generators.zipf(100, 10_000, seed=1, shuffled=False)
    shuffled = generators.zipf(100, 10_000, seed=1)
    assert sorted(np.bincount(plain, minlength=100)) == sorted(np.bincount(shuffled, minlength=100))
    assert not np.array_equal(plain, shuffled)


def test_phases_stay_in_their_working_set_and_move_on() -> None:
    """Four phases of 25 pages each: the sets are disjoint, cover the whole, and fit a memory of 25 frames."""
    ref = generators.phases(100, 40_000, nr_phases=4)
    sets = [set(part.tolist()) for part in np.split(ref, 4)]
    assert [(min(pages), max(pages)) for pages in sets] == [(0, 24), (25, 49), (50, 74), (75, 99)]
    assert lru_misses(ref, 25) == 100


def test_scan_passes_over_the_cold_pages_in_order() -> None:
    """Between the hot references, the cold pages come one by one and resume where they stopped."""
    ref = generators.scan(40, 3000, hot=10, period=100, burst=20)
    cold = ref[ref >= 10]
    assert cold.tolist() == [10 + i % 30 for i in range(len(cold))]
    assert np.all(ref.reshape(-1, 120)[:, :100] < 10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: generators.zipf(0, 1),
        lambda: generators.zipf(10, -1),
        lambda: generators.zipf(10, 1, alpha=-1),
        lambda: generators.zipf(10, 1, alpha=float("nan")),
        lambda: generators.sequential(1 << 40, 1),
        lambda: generators.phases(10, 5, nr_phases=9),
        lambda: generators.phases(10, 50, working_set=11),
        lambda: generators.scan(10, 5, hot=10),
        lambda: generators.with_writes(generators.sequential(2, 2), 1.5),
        lambda: generators.fork_heavy(-1),
        lambda: generators.fork_heavy(1, pages=1 << 20),
    ],
)
def test_impossible_requests_are_refused(make: Callable[[], Any]) -> None:
    """Bounds are checked before memory is taken, with EINVAL."""
    with pytest.raises(InvalidArgument):
        make()


def test_with_writes_marks_the_share_asked_for() -> None:
    """A third of 30,000 references write, to within five standard deviations."""
    trace = generators.with_writes(generators.zipf(50, 30_000), 1 / 3, seed=2)
    assert abs(int(trace.write.sum()) - 10_000) < 5 * (30_000 * 2 / 9) ** 0.5
