"""What a byte ledger is made of: lines, a structure each, and the ledger that adds them up.

A ledger is the same thing whether it was measured from live structures (`vswaplab.observe.ledger`) or computed for a
design that is not built here (`vswaplab.observe.ledger_designs`); `kind` says which. It prints itself as a table, and
`rows` is its twin for whoever draws it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["AS_ALLOCATED", "AS_POSTED", "MIB", "MODES", "Ledger", "Line", "Mode", "line_of"]

MIB = 1 << 20
Mode = Literal["as posted", "as allocated"]
AS_POSTED: Mode = "as posted"
AS_ALLOCATED: Mode = "as allocated"
MODES: tuple[Mode, ...] = (AS_POSTED, AS_ALLOCATED)
"""By entry, as the cover letter of the series counts, or by cluster and page, as the kernel allocates."""


@dataclass(frozen=True)
class Line:
    """One structure: `units` times `unit_bytes`, or a little more where an array was rounded up."""

    name: str
    bytes: float
    """A fraction where the posting charges single bits."""
    units: int
    unit: str
    """What is counted: "slot", "live word", "used cluster", …"""
    unit_bytes: float
    static: bool
    """Made at swapon, whole; else it grows and shrinks with use."""
    source: str
    """Tag of the source that names the structure and its size."""

    @property
    def mib(self) -> float:
        """MiB of the line."""
        return self.bytes / MIB


@dataclass(frozen=True)
class Ledger:
    """Bytes of metadata at one instant. `structures` add up to `total_bytes`; what stands `apart` is in no sum."""

    design: str
    mode: Mode
    capacity: int
    """Slots of the devices that are on, without their headers; 0 without a device."""
    live: int
    """Entries in use."""
    structures: dict[str, Line]
    apart: dict[str, Line] = field(default_factory=dict)
    """The same in every design: `zswap_entry`."""
    kind: Literal["built", "formula"] = "built"
    """built: measured from live structures. formula: computed, for a design that is not built here."""

    @property
    def total_bytes(self) -> float:
        """Sum of all lines in `structures`."""
        return sum(line.bytes for line in self.structures.values())

    @property
    def static_bytes(self) -> float:
        """Of that, what is there from swapon on, however little is swapped."""
        return sum(line.bytes for line in self.structures.values() if line.static)

    @property
    def mib(self) -> float:
        """`total_bytes` in MiB."""
        return self.total_bytes / MIB

    @property
    def per_slot(self) -> float | None:
        """Bytes of metadata for each entry in use; None while none is."""
        return self.total_bytes / self.live if self.live else None

    def rows(self) -> list[dict[str, Any]]:
        """Return the ledger as rows, a line each: the table twin of every picture of it."""
        return [_row(line, True) for line in self.structures.values()] + [
            _row(line, False) for line in self.apart.values()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the ledger as it is written to JSON."""
        return {
            "design": self.design,
            "mode": self.mode,
            "kind": self.kind,
            "capacity": self.capacity,
            "live": self.live,
            "total_bytes": self.total_bytes,
            "mib": self.mib,
            "per_slot": self.per_slot,
            "lines": self.rows(),
        }

    def __str__(self) -> str:
        head = ("structure", "bytes", "count", "of", "bytes each", "kind", "source")
        table = [head] + [
            (
                row["name"] + ("" if row["in_sum"] else " (apart)"),
                f"{row['bytes']:,.0f}",
                f"{row['units']:,}",
                row["unit"],
                f"{row['unit_bytes']:g}",
                "static" if row["static"] else "dynamic",
                row["source"],
            )
            for row in self.rows()
        ]
        widths = [max(len(row[column]) for row in table) for column in range(len(head))]
        right = (False, True, True, False, True, False, False)
        lines = [
            "  ".join(
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in table
        ]
        each = "" if self.per_slot is None else f", {self.per_slot:.2f} bytes an entry"
        total = f"{self.design}, {self.mode}: {self.total_bytes:,.0f} bytes for {self.live:,} entries{each}"
        return "\n".join([total, *lines])


def _row(line: Line, in_sum: bool) -> dict[str, Any]:
    return {
        "name": line.name,
        "bytes": line.bytes,
        "mib": line.mib,
        "units": line.units,
        "unit": line.unit,
        "unit_bytes": line.unit_bytes,
        "static": line.static,
        "in_sum": in_sum,
        "source": line.source,
    }


def line_of(name: str, units: int, unit: str, unit_bytes: float, source: str, *, static: bool = False) -> Line:
    """Return the line of `units` things of `unit_bytes` each."""
    total = units * unit_bytes
    return Line(name, int(total) if total == int(total) else total, units, unit, unit_bytes, static, source)
