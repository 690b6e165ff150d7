"""A comparison of two designs as text: a table of what differs, step by step; totals; look-ups for each swap.

What stands (slots, bytes, where pages are) is said when it becomes different, not again at each step after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from vswaplab.protocols import LOOKUP_KINDS

if TYPE_CHECKING:
    from vswaplab.observe.compare import Comparison, Step, Totals

__all__ = ["comparison_text"]

_Row = tuple[str, ...]


def comparison_text(comparison: Comparison) -> str:
    """Return the steps in which anything differs, what differs in each, and the totals."""
    if not comparison.steps:
        return f"{comparison.name}: no steps"
    names = list(comparison.steps[0].sides)
    head = ("", "operation", "what differs", *names, "difference")
    stands: dict[str, tuple[float, float]] = {}
    rows = [row for step in comparison.steps for row in _step_rows(step, stands)]
    parts = [
        f"{comparison.name}: {names[0]} and {names[1]}, step by step",
        _table([head, *rows], left=3),
        "Totals",
        _table([("", *names, "difference"), *_total_rows(list(comparison.totals.values()))], left=1),
        _per_swap(comparison, names),
    ]
    if comparison.error:
        parts.append(f"Stopped: {comparison.error}")
    return "\n\n".join(part for part in parts if part)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _pair(one: float, other: float) -> _Row:
    return (_number(one), _number(other), f"{other - one:+,.0f}" if one == round(one) else f"{other - one:+,.2f}")


_STANDING = ("slots used", "metadata", "pages:", "pages elsewhere")


def _step_rows(step: Step, stands: dict[str, tuple[float, float]]) -> list[_Row]:
    """Return the rows of a step; `stands` is what stood before it, and is brought up to date."""
    found = step.differences()
    standing = {name: pair for name, pair in found.items() if name.startswith(_STANDING)}
    elsewhere = len(step.pages_elsewhere())
    lines: list[_Row] = [(name, *_pair(*pair)) for name, pair in found.items() if stands.get(name) != pair]
    if elsewhere and stands.get("pages elsewhere") != (elsewhere, elsewhere):
        lines.append((f"pages elsewhere: {elsewhere:,}", "", "", ""))
    stands.clear()
    stands.update(standing, **{"pages elsewhere": (elsewhere, elsewhere)})
    for design, counts in step.unmatched().items():
        for name, nr in counts.items():
            lines.append((f"event: {name}", *(f"{nr:,}" if each == design else "" for each in step.sides), ""))
    if not lines:
        lines = [("nothing new", "", "", "")]
    first = (f"{step.number}", step.operation)
    return [(*(first if i == 0 else ("", "")), *line) for i, line in enumerate(lines)]


def _total_rows(totals: list[Totals]) -> list[_Row]:
    one, other = totals
    rows = {
        "pages swapped out": (one.pages_out, other.pages_out),
        "pages swapped in": (one.pages_in, other.pages_in),
        "slots used at most": (one.peak_slots, other.peak_slots),
        "metadata at most, bytes": (one.peak_metadata, other.peak_metadata),
    }
    for title, mine, theirs in (
        ("look-ups", one.lookups, other.lookups),
        ("changes", one.touched, other.touched),
        ("io", one.io, other.io),
    ):
        for name in _kinds(mine, theirs) if title == "look-ups" else sorted(mine.keys() | theirs.keys()):
            rows[f"{title}: {name}"] = (mine.get(name, 0), theirs.get(name, 0))
    return [(name, *_pair(*pair)) for name, pair in rows.items()]


def _kinds(mine: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    return [kind for kind in LOOKUP_KINDS if kind in mine or kind in theirs]


def _per_swap(comparison: Comparison, names: list[str]) -> str:
    from vswaplab.observe.compare import SEARCHES, WALKS, searches, walks

    one, other = comparison.totals.values()
    rows: list[_Row] = []
    for title, mine, theirs in (("out", one.per_out, other.per_out), ("in", one.per_in, other.per_in)):
        if not mine or not theirs:
            continue
        pairs = {kind: (mine.get(kind, 0.0), theirs.get(kind, 0.0)) for kind in _kinds(mine, theirs)}
        pairs["all that search"] = (searches(mine), searches(theirs))
        pairs["all that walk a tree"] = (walks(mine), walks(theirs))
        rows += [(f"{title}: {name}", f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}") for name, (a, b) in pairs.items()]
    if not rows:
        return ""
    return "\n\n".join(
        [
            "Look-ups for each page swapped out and in",
            _table([("", *names, "difference"), *rows], left=1),
            f"Those that search: {', '.join(SEARCHES)}; those that walk a tree: {', '.join(WALKS)}. "
            "swap_info is arithmetic, no search.\nBefore v6, without the CPU's look-up cache, each descriptor look-up "
            "walked the cluster map [S16].",
        ]
    )


def _table(rows: Iterable[_Row], left: int) -> str:
    """Return rows as text: the first `left` columns flush left, the others right."""
    rows = list(rows)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
