"""Crossovers on live structures, and the claims made for virtual swap."""

from __future__ import annotations

import pytest

from vswaplab.errors import InvalidArgument
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
    assert (found.virtual_bytes, found.baseline_bytes) == (costs["virtual"], costs["legacy"])


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
    assert found.virtual_bytes > found.baseline_bytes


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


# -- against mainline --------------------------------------------------------------------------------------------------


def test_against_7_2_zswap_crosses_at_one_and_a_half_percent_and_the_disk_nowhere() -> None:
    """48 B a cluster are all that 7.2 pays for at swapon, and 18 bytes a page in zswap against 24 1/8 [S28 S39]."""
    zswap, disk = (crossover(backend, SLOTS, baseline="7.2") for backend in BACKENDS)
    assert zswap.percent is not None
    assert round(zswap.percent, 2) == round(100 * (48 / 512) / (24.125 - 18), 2) == 1.53
    assert (zswap.baseline, disk.baseline) == ("linux-7.2", "linux-7.2")
    assert (disk.live, disk.percent) == (0, 0.0)
    assert disk.virtual_bytes > disk.baseline_bytes


def test_against_7_2_virtual_swap_costs_more_on_disk_at_every_usage() -> None:
    usages = (0, 0.1, 1, 5, 20, 60, 100)
    ours, mainline = (rows_of(design, "disk", SLOTS, usages, AS_ALLOCATED) for design in ("virtual", "7.2"))
    assert all(a.ledger.total_bytes > b.ledger.total_bytes for a, b in zip(ours, mainline, strict=True))
    added = worst_added([*ours, *mainline], "disk", baseline="7.2")
    assert added is not None
    assert (added.usage, added.bytes > 0) == (100, True)


def test_as_allocated_the_crossover_with_7_2_lies_between_one_and_two_percent() -> None:
    found = crossover("zswap", 1 << 20, AS_ALLOCATED, baseline="7.2")
    assert found.percent is not None
    assert 1 < found.percent < 2


def test_the_claim_is_held_against_the_release_that_is_asked_for() -> None:
    rows = [row for design in ("7.2", "virtual") for row in rows_of(design, "zswap", SLOTS, (0, 40, 100))]
    rows += [row for design in ("7.2", "virtual") for row in rows_of(design, "disk", SLOTS, (0, 40, 100))]
    searches = [crossover(backend, SLOTS, baseline="7.2") for backend in BACKENDS]
    claims = check_claims(rows, searches, "7.2")
    less = {claim.backend: claim for claim in claims if "usage" in claim.claim}
    assert {claim.claim for claim in less.values()} == {
        "0~40 % usage: less than the current overhead, against Linux 7.2"
    }
    assert not less["zswap"].holds
    assert "It holds below 1.53 %, and fails from there on" in less["zswap"].finding
    assert less["disk"].finding == "The virtual design costs more at any usage."
    others = [claim for claim in claims if "usage" not in claim.claim]
    assert [claim.finding.split(":")[0] for claim in others] == ["virtual", "virtual"]
    assert all("more than Linux 7.2" in claim.finding for claim in others)


def test_what_is_no_baseline_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"There is no baseline 'ghost'; choose one of legacy, linux-7\.0"):
        crossover("zswap", 512, baseline="ghost")
