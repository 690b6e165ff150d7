"""Crossovers on live structures, and the claims made for virtual swap."""

from __future__ import annotations

import pytest

from vswaplab.observe.ledger import AS_ALLOCATED, measure
from vswaplab.observe.ledger_build import Population, formula_rows, rows_of
from vswaplab.observe.ledger_claims import check_claims, crossover, worst_added
from vswaplab.observe.ledger_designs import BACKENDS, Backend

SLOTS = 1 << 18
PERCENT = {"zswap": 38.46, "disk": 11.92}


@pytest.mark.parametrize("backend", BACKENDS)
def test_crossover_is_the_published_share_to_a_hundredth(backend: Backend) -> None:
    found = crossover(backend, SLOTS)
    assert found.percent is not None
    assert round(found.percent, 2) == PERCENT[backend]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_entry_decides_at_the_crossover(backend: Backend) -> None:
    """Fresh structures, filled in one go, agree: below it virtual does not cost more, at it it does."""
    slots = 1 << 14
    found = crossover(backend, slots)
    assert found.live is not None
    difference = []
    for live in (found.live - 1, found.live):
        costs = {}
        for design in ("virtual", "legacy"):
            population = Population(design, slots, backend)
            population.resize(live)
            costs[design] = measure(population.swap).total_bytes
        difference.append(costs["virtual"] - costs["legacy"])
    assert difference[0] <= 0 < difference[1]
    assert (found.virtual_bytes, found.legacy_bytes) == (costs["virtual"], costs["legacy"])


@pytest.mark.parametrize(("backend", "slots"), [("zswap", 392), ("disk", 224)])
def test_equal_costs_are_below_the_crossover(backend: Backend, slots: int) -> None:
    """These sizes have a usage at which both designs cost the same to the byte: there virtual does not cost more."""
    found = crossover(backend, slots)
    assert found.live is not None
    costs = set()
    for design in ("virtual", "legacy"):
        population = Population(design, slots, backend)
        population.resize(found.live - 1)
        costs.add(measure(population.swap).total_bytes)
    assert len(costs) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_crossover_as_allocated_is_exact_to_a_cluster(backend: Backend) -> None:
    """With tree nodes counted, the crossover of zswap moves to about 45 % (section 1.3 of docs/facts.md: 44.8 %)."""
    found = crossover(backend, SLOTS, AS_ALLOCATED)
    assert found.percent == pytest.approx({"zswap": 45.3, "disk": 11.7}[backend], abs=100 * 512 / SLOTS)
    assert found.virtual_bytes > found.legacy_bytes


@pytest.mark.parametrize(("backend", "percent"), [("zswap", 0.122), ("disk", 0.519)])
def test_worst_added_cost_is_the_published_share_when_swap_is_full(backend: Backend, percent: float) -> None:
    rows = [row for design in ("legacy", "virtual") for row in rows_of(design, backend, SLOTS, range(0, 101, 20))]
    added = worst_added(rows, backend)
    assert added is not None
    assert added.usage == 100
    assert added.percent_of_swap == pytest.approx(percent, abs=0.001)
    assert worst_added([row for row in rows if row.design == "virtual"], backend) is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_claim_of_40_percent_fails_and_says_from_where_on(backend: Backend) -> None:
    rows = [row for design in ("legacy", "virtual") for row in rows_of(design, backend, SLOTS, (0, 40, 100))]
    less, below = check_claims(rows, [crossover(backend, SLOTS)])
    assert not less.holds
    assert f"below {PERCENT[backend]} %" in less.finding
    assert ("to rounding" in less.finding) == (backend == "zswap")
    assert "at 40 % the virtual design costs" in less.finding
    assert below.holds
    assert below.claim == "less than 1 % of the swapfile"


def test_what_scattered_entries_cost_at_40_percent_is_not_compared_with_a_dense_crossover() -> None:
    rows = [row for name in ("legacy", "virtual") for row in rows_of(name, "zswap", 4096, (40,), layout="sparse")]
    less = check_claims(rows, [crossover("zswap", 4096)])[0]
    assert "at 40 %" not in less.finding


def test_claim_of_one_percent_fails_for_the_descriptors_of_both_rfcs() -> None:
    rows = [row for name in ("rfc1", "rfc2", "v3", "v6") for row in formula_rows(name, "disk", SLOTS, (25, 75, 100))]
    found = {claim.finding.split(":")[0]: claim for claim in check_claims(rows)}
    assert {name: claim.holds for name, claim in found.items()} == {
        "rfc1": False,
        "rfc2": False,
        "v3": True,
        "v6": True,
    }
    assert "fails from 75 % usage on" in found["rfc1"].finding
    assert "fails from 100 % usage on" in found["rfc2"].finding
    assert "0.983 %" in found["v3"].finding


def test_claims_compare_like_with_like_or_say_so() -> None:
    rows = [*rows_of("legacy", "disk", 4096, (50, 100)), *formula_rows("ste", "disk", 4096, (50, 100))]
    (claim,) = check_claims(rows)
    assert "counted as allocated, legacy as posted" in claim.finding
