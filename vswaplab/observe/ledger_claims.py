"""What the numbers mean: crossovers, the worst added cost, and the claims made for virtual swap, checked.

A crossover is the smallest usage at which the virtual design costs more than the legacy one. It is found by bisection
on one live structure of each design, which grow and shrink until one entry decides; the formula of section 1.2 of
docs/facts.md plays no part in it. As posted it is the same share of a swapfile of any size: 38.46 % with zswap, 11.92 %
on disk [S3 DERIVED].

>>> round(crossover("zswap", slots=1 << 16).percent, 2)
38.46
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vswaplab.observe.ledger import AS_POSTED, measure
from vswaplab.observe.ledger_build import Population, Row
from vswaplab.observe.ledger_designs import BACKENDS, Backend
from vswaplab.observe.ledger_model import MIB
from vswaplab.units import PAGE_SIZE

__all__ = [
    "CLAIMED_BELOW",
    "CROSSOVER_SLOTS",
    "Added",
    "Claim",
    "Crossover",
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
    legacy_bytes: float
    """What both cost there (or when swap is full)."""
    virtual_bytes: float
    steps: int
    """How often the interval was halved."""

    @property
    def percent(self) -> float | None:
        """Usage in percent, or None."""
        return None if self.live is None else 100 * self.live / self.slots

    def as_dict(self) -> dict[str, Any]:
        """Return the crossover as it is written to JSON."""
        return {
            "backend": self.backend,
            "mode": self.mode,
            "slots": self.slots,
            "live": self.live,
            "percent": self.percent,
            "legacy_bytes": self.legacy_bytes,
            "virtual_bytes": self.virtual_bytes,
            "steps": self.steps,
        }


def crossover(
    backend: Backend,
    slots: int = CROSSOVER_SLOTS,
    mode: str = AS_POSTED,
    progress: Callable[[str], None] | None = None,
) -> Crossover:
    """Find the crossover of the two built designs by bisection on a live structure of each.

    As allocated, costs rise in steps of a cluster, so what is found is a usage at which the sign changes, exact to a
    cluster of 512 slots.
    """
    pair = Population("legacy", slots, backend), Population("virtual", slots, backend)

    def costs(live: int) -> tuple[float, float]:
        for population in pair:
            population.resize(live)
        legacy, virtual = (measure(population.swap, mode).total_bytes for population in pair)
        return legacy, virtual

    below, above, steps = 0, slots, 0
    legacy, virtual = costs(0)
    if virtual > legacy:
        return Crossover(backend, mode, slots, 0, legacy, virtual, 0)
    legacy, virtual = costs(slots)
    if virtual <= legacy:
        return Crossover(backend, mode, slots, None, legacy, virtual, 0)
    at = legacy, virtual
    while above - below > 1:
        middle = (below + above) // 2
        legacy, virtual = costs(middle)
        steps += 1
        if progress is not None:
            progress(f"crossover, {backend}: {100 * middle / slots:.2f} %")
        if virtual > legacy:
            above, at = middle, (legacy, virtual)
        else:
            below = middle
    return Crossover(backend, mode, slots, above, *at, steps)


# -- claims ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Added:
    """How much more one design costs than the legacy one, at the usage where that is most."""

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


def worst_added(rows: Sequence[Row], backend: Backend, design: str = "virtual") -> Added | None:
    """Return the largest added cost of a design over the legacy one among `rows`; None without rows of both."""
    ours, legacy = _cells(rows, design, backend), _cells(rows, "legacy", backend)
    added = [
        (row.ledger.total_bytes - legacy[usage].ledger.total_bytes, usage, row.slots)
        for usage, row in ours.items()
        if usage in legacy
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


def check_claims(rows: Sequence[Row], crossovers: Iterable[Crossover] = ()) -> list[Claim]:
    """Check the two claims of the press summary (section 1.4 of docs/facts.md) on measured rows and crossovers."""
    where = {found.backend: found for found in crossovers}
    claims = []
    for backend in BACKENDS:
        if backend in where:
            claims.append(_less_than_current(rows, where[backend]))
        claims += _below_one_percent(rows, backend)
    return claims


def _less_than_current(rows: Sequence[Row], found: Crossover) -> Claim:
    claim = f"0~{CLAIMED_BELOW:g} % usage: less than the current overhead"
    if found.percent is None:
        return Claim(claim, found.backend, True, "The virtual design costs less at any usage.")
    finding = f"It holds below {found.percent:.2f} %, and fails from there on"
    if found.percent < CLAIMED_BELOW == round(found.percent, -1):
        finding = f"It holds below {found.percent:.2f} %, so to rounding, and fails from there on"
    dense = [row for row in rows if row.layout == "dense"]  # as is the pair on which the crossover was found
    ours = _cells(dense, "virtual", found.backend).get(CLAIMED_BELOW)
    current = _cells(dense, "legacy", found.backend).get(CLAIMED_BELOW)
    if ours is not None and current is not None and found.percent <= CLAIMED_BELOW:
        finding += (
            f": at {CLAIMED_BELOW:g} % the virtual design costs {ours.ledger.mib:.1f} MiB against "
            f"{current.ledger.mib:.1f} MiB"
        )
    return Claim(claim, found.backend, found.percent > CLAIMED_BELOW, finding + ".")


def _below_one_percent(rows: Sequence[Row], backend: Backend) -> list[Claim]:
    claims = []
    # In the order of the rows, and each design once.
    for design in dict.fromkeys(row.design for row in rows if row.backend == backend and row.design != "legacy"):
        cells = _cells(rows, design, backend)
        most = max(cells.values(), key=lambda row: row.ledger.total_bytes)
        over = sorted(usage for usage, row in cells.items() if row.percent_of_swap >= _CLAIMED_PERCENT)
        finding = f"{design}: at most {most.percent_of_swap:.3f} % in all, at {most.usage:g} % usage"
        added = worst_added(rows, backend, design)
        if added is not None:
            legacy = _cells(rows, "legacy", backend)[added.usage].ledger
            finding += (
                f"; at most {added.percent_of_swap:.3f} % ({added.bytes / MIB:.2f} MiB) more than the legacy design, "
                f"at {added.usage:g} %"
                if added.bytes > 0
                else "; never more than the legacy design"
            )
            if legacy.mode != most.ledger.mode:
                finding += f" (counted {most.ledger.mode}, legacy {legacy.mode})"
        if over:
            finding += f"; it fails from {over[0]:g} % usage on"
        claims.append(Claim("less than 1 % of the swapfile", backend, not over, finding + "."))
    return claims
