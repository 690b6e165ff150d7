"""What the numbers mean: crossovers, the worst added cost, and the claims made for virtual swap, checked.

A crossover is the smallest usage at which the virtual design costs more than a baseline: the legacy one, Linux 6.19, or
what mainline is since. It is found by bisection on one live structure of each design, which grow and shrink until one
entry decides; the formula of section 1.2 of docs/facts.md plays no part in it. Against 6.19, as posted, it is the same
share of a swapfile of any size: 38.46 % with zswap, 11.92 % on disk [S3 DERIVED]. A baseline that is not built here is
its own terms. Against 7.2 it is 1.53 % with zswap, and on disk the virtual design costs more at any usage [S28 S39
DERIVED].

>>> round(crossover("zswap", slots=1 << 16).percent, 2)
38.46
>>> round(crossover("zswap", slots=1 << 16, baseline="7.2").percent, 2)
1.53
>>> crossover("disk", slots=1 << 16, baseline="7.2").percent
0.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vswaplab.observe.ledger import AS_POSTED, measure
from vswaplab.observe.ledger_build import Population, Row
from vswaplab.observe.ledger_designs import BACKENDS, BASELINES, DESIGNS, Backend, design_name
from vswaplab.observe.ledger_model import MIB
from vswaplab.status import BASE_NAME
from vswaplab.strict import choice
from vswaplab.units import PAGE_SIZE

__all__ = [
    "CLAIMED_BELOW",
    "CROSSOVER_SLOTS",
    "Added",
    "Claim",
    "Crossover",
    "baseline_title",
    "check_claims",
    "crossover",
    "worst_added",
]

CROSSOVER_SLOTS = 1 << 20
"""Slots of the pair on which crossovers are found (4 GiB): one entry is 0.0001 %."""
CLAIMED_BELOW = 40.0
"""The claim: up to this usage in percent the virtual design costs less (section 1.4 of docs/facts.md)."""

_CLAIMED_PERCENT = 1.0


@dataclass(frozen=True)
class Crossover:
    """Where one design begins to cost more than the other."""

    backend: Backend
    mode: str
    slots: int
    live: int | None
    """The smallest number of entries in use at which the virtual design costs more; None if it never does."""
    baseline_bytes: float
    """What both cost there (or when swap is full)."""
    virtual_bytes: float
    steps: int
    """How often the interval was halved."""
    baseline: str = "legacy"
    """What the virtual design is held against: one of `BASELINES`."""

    @property
    def percent(self) -> float | None:
        """Usage in percent; 0 if the virtual design costs more with nothing swapped out, None if it never does."""
        return None if self.live is None else 100 * self.live / self.slots

    def as_dict(self) -> dict[str, Any]:
        """Return the crossover as it is written to JSON."""
        return {
            "backend": self.backend,
            "mode": self.mode,
            "slots": self.slots,
            "live": self.live,
            "percent": self.percent,
            "baseline": self.baseline,
            **({"legacy_bytes": self.baseline_bytes} if self.baseline == "legacy" else {}),
            "baseline_bytes": self.baseline_bytes,
            "virtual_bytes": self.virtual_bytes,
            "steps": self.steps,
        }


def crossover(
    backend: Backend,
    slots: int = CROSSOVER_SLOTS,
    mode: str = AS_POSTED,
    progress: Callable[[str], None] | None = None,
    baseline: str = "legacy",
) -> Crossover:
    """Find the crossover of virtual swap and a baseline by bisection on live structures.

    `baseline` is one of `BASELINES`, or a release of Linux. As allocated, costs rise in steps of a cluster, so what is
    found is a usage at which the sign changes, exact to a few clusters of 512 slots. InvalidArgument for another one.
    """
    baseline = choice(design_name(baseline), "baseline", BASELINES)
    cost = [_cost_of(design, backend, slots, mode) for design in (baseline, "virtual")]

    def costs(live: int) -> tuple[float, float]:
        return cost[0](live), cost[1](live)

    below, above, steps = 0, slots, 0
    old, virtual = costs(0)
    if virtual > old:
        return Crossover(backend, mode, slots, 0, old, virtual, 0, baseline)
    old, virtual = costs(slots)
    if virtual <= old:
        return Crossover(backend, mode, slots, None, old, virtual, 0, baseline)
    at = old, virtual
    while above - below > 1:
        middle = (below + above) // 2
        old, virtual = costs(middle)
        steps += 1
        if progress is not None:
            progress(f"crossover, {backend}: {100 * middle / slots:.2f} %")
        if virtual > old:
            above, at = middle, (old, virtual)
        else:
            below = middle
    return Crossover(backend, mode, slots, above, *at, steps, baseline)


def _cost_of(design: str, backend: Backend, slots: int, mode: str) -> Callable[[int], float]:
    """Return what tells a design's bytes by its entries in use: a live structure, or the terms of its source."""
    made = DESIGNS.get(design)
    if made is not None:
        return lambda live: made.bytes_for(backend, slots, live, mode)
    population = Population(design, slots, backend)

    def cost(live: int) -> float:
        population.resize(live)
        return measure(population.swap, mode).total_bytes

    return cost


# -- claims ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """How much more one design costs than the baseline, at the usage where that is most."""

    backend: Backend
    usage: float
    bytes: float
    percent_of_swap: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is written to JSON."""
        return {
            "backend": self.backend,
            "usage": self.usage,
            "mib": self.bytes / MIB,
            "percent_of_swap": self.percent_of_swap,
        }


def _cells(rows: Iterable[Row], design: str, backend: str) -> dict[float, Row]:
    return {row.usage: row for row in rows if row.design == design and row.backend == backend}


def worst_added(
    rows: Sequence[Row], backend: Backend, design: str = "virtual", baseline: str = "legacy"
) -> Added | None:
    """Return the largest added cost of a design over the baseline among `rows`; None without rows of both."""
    ours, old = _cells(rows, design, backend), _cells(rows, design_name(baseline), backend)
    added = [
        (row.ledger.total_bytes - old[usage].ledger.total_bytes, usage, row.slots)
        for usage, row in ours.items()
        if usage in old
    ]
    if not added:
        return None
    most, usage, slots = max(added)
    return Added(backend, usage, most, 100 * most / (slots * PAGE_SIZE))


@dataclass(frozen=True)
class Claim:
    """A statement made for virtual swap, and what the ledger says to it."""

    claim: str
    backend: Backend
    holds: bool
    finding: str
    """One sentence: the measured figures, and where the claim fails."""

    def as_dict(self) -> dict[str, Any]:
        """Return the claim as it is written to JSON."""
        return {"claim": self.claim, "backend": self.backend, "holds": self.holds, "finding": self.finding}


def check_claims(rows: Sequence[Row], crossovers: Iterable[Crossover] = (), baseline: str = "legacy") -> list[Claim]:
    """Check the two claims of the press summary (section 1.4 of docs/facts.md) on measured rows and crossovers.

    The summary's "current" overhead was that of Linux 6.19; `baseline` holds the claims against a later release.
    """
    baseline = choice(design_name(baseline), "baseline", BASELINES)
    where = {found.backend: found for found in crossovers}
    claims = []
    for backend in BACKENDS:
        if backend in where:
            claims.append(_less_than_baseline(rows, where[backend]))
        claims += _below_one_percent(rows, backend, baseline)
    return claims


def baseline_title(baseline: str) -> str:
    """Return what a baseline is, in words: the base of the series, or a later release of Linux."""
    return BASE_NAME if baseline == "legacy" else f"Linux {DESIGNS[baseline].since}"


def _less_than_baseline(rows: Sequence[Row], found: Crossover) -> Claim:
    claim = f"0~{CLAIMED_BELOW:g} % usage: less than the current overhead"
    if found.baseline != "legacy":
        claim = f"{claim}, against {baseline_title(found.baseline)}"
    if found.live == 0:
        return Claim(claim, found.backend, False, "The virtual design costs more at any usage.")
    if found.percent is None:
        return Claim(claim, found.backend, True, "The virtual design costs less at any usage.")
    finding = f"It holds below {found.percent:.2f} %, and fails from there on"
    if found.percent < CLAIMED_BELOW == round(found.percent, -1):
        finding = f"It holds below {found.percent:.2f} %, so to rounding, and fails from there on"
    dense = [row for row in rows if row.layout == "dense"]  # as is the pair on which the crossover was found
    ours = _cells(dense, "virtual", found.backend).get(CLAIMED_BELOW)
    current = _cells(dense, found.baseline, found.backend).get(CLAIMED_BELOW)
    if ours is not None and current is not None and found.percent <= CLAIMED_BELOW:
        finding += (
            f": at {CLAIMED_BELOW:g} % the virtual design costs {ours.ledger.mib:.1f} MiB against "
            f"{current.ledger.mib:.1f} MiB"
        )
    return Claim(claim, found.backend, found.percent > CLAIMED_BELOW, finding + ".")


def _below_one_percent(rows: Sequence[Row], backend: Backend, baseline: str) -> list[Claim]:
    claims = []
    name = "the legacy design" if baseline == "legacy" else baseline_title(baseline)
    # In the order of the rows, and each design once; what is in mainline is no claim for virtual swap.
    for design in dict.fromkeys(row.design for row in rows if row.backend == backend and row.design not in BASELINES):
        cells = _cells(rows, design, backend)
        most = max(cells.values(), key=lambda row: row.ledger.total_bytes)
        over = sorted(usage for usage, row in cells.items() if row.percent_of_swap >= _CLAIMED_PERCENT)
        finding = f"{design}: at most {most.percent_of_swap:.3f} % in all, at {most.usage:g} % usage"
        added = worst_added(rows, backend, design, baseline)
        if added is not None:
            old = _cells(rows, baseline, backend)[added.usage].ledger
            finding += (
                f"; at most {added.percent_of_swap:.3f} % ({added.bytes / MIB:.2f} MiB) more than {name}, "
                f"at {added.usage:g} %"
                if added.bytes > 0
                else f"; never more than {name}"
            )
            if old.mode != most.ledger.mode:
                finding += f" (counted {most.ledger.mode}, {baseline} {old.mode})"
        if over:
            finding += f"; it fails from {over[0]:g} % usage on"
        claims.append(Claim("less than 1 % of the swapfile", backend, not over, finding + "."))
    return claims
