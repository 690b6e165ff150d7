"""Cells of the tables measured on real kernels: each is compared with the model, or named with the reason why not.

A table is read row by row. Every number in it becomes a `Comparison`; where an `Exemption` of the table matches, the
two numbers need not be equal; if they are not, the comparison bears the exemption's reason. Nothing is left out without
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

__all__ = ["Comparison", "Exemption", "Row", "exempt", "lines_of", "reasons", "totals"]


class Row(Protocol):
    """A row of a table."""

    @property
    def kernel(self) -> str:
        """Which kernel was measured."""
        ...

    @property
    def names(self) -> dict[str, str]:
        """The cells that say which row it is, by column, the kernel among them."""
        ...


@dataclass(frozen=True)
class Exemption:
    """Cells that follow no rule the model could have, or one it doesn't have, and why."""

    columns: tuple[str, ...]
    reason: str
    """One sentence."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Pattern (as for file names) for cells that name the row, by column; those not given match all."""
    low: float | None = None
    high: float | None = None
    """What may be between the kernel's number and the model's: ``low <= kernel - model <= high``; None: anything."""
    always: bool = False
    """Named even where the numbers are the same: an input of the run, or not known to count what its name says."""

    def matches(self, row: Row, column: str) -> bool:
        """Whether it speaks of a column of a row."""
        names = row.names
        return column in self.columns and all(fnmatchcase(names[key], want) for key, want in self.where.items())


@dataclass(frozen=True)
class Comparison:
    """One count of a row: the kernel's and the model's, and by how much they may differ.

    With a `reason` it is *named*: not held equal, but between `low` and `high` if they are given.
    """

    row: Row
    column: str
    kernel: int
    model: int | None
    """None where the model has no such number."""
    tolerance: float
    reason: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the model's number is as near to the kernel's as it has to be."""
        if self.model is None:
            return bool(self.reason)
        off = self.kernel - self.model
        if not self.reason:
            return abs(off) <= self.tolerance
        return (self.low is None or off >= self.low) and (self.high is None or off <= self.high)

    @property
    def verdict(self) -> str:
        """Return "differs", "named", "equal", or "within" for a tolerance that was needed."""
        if not self.agrees:
            return "differs"
        if self.reason:
            return "named"
        return "equal" if self.kernel == self.model else "within"

    def as_dict(self) -> dict[str, str | int | float | bool | None]:
        """Return what can be written as JSON."""
        return {
            **self.row.names,
            "column": self.column,
            "kernel_value": self.kernel,
            "model_value": self.model,
            "tolerance": self.tolerance,
            "agrees": self.agrees,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def exempt(row: Row, column: str, kernel: int, model: int | None, rules: Iterable[Exemption]) -> Comparison | None:
    """Return the named comparison of a cell by the first exemption that matches it.

    None if none does, or the numbers are the same anyway.
    """
    for rule in rules:
        if rule.matches(row, column):
            if kernel == model and not rule.always:
                return None
            return Comparison(row, column, kernel, model, 0, rule.reason, rule.low, rule.high)
    return None


def totals(cells: Iterable[Comparison]) -> dict[str, int]:
    """Return how many cells there are of each verdict, and all of them under "cells"."""
    counts = dict.fromkeys(("equal", "within", "named", "differs"), 0)
    for each in cells:
        counts[each.verdict] += 1
    return {**counts, "cells": sum(counts.values())}


def reasons(cells: Iterable[Comparison]) -> dict[str, int]:
    """Return the reasons of the named cells, and how many cells each stands for."""
    counts: dict[str, int] = {}
    for each in cells:
        if each.reason:
            counts[each.reason] = counts.get(each.reason, 0) + 1
    return counts


def lines_of(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return cells as lines in columns, the first `left` columns aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
