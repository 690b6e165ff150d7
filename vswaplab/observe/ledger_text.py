"""The ledger in text: the posted table beside the published figures, each cell by structure, crossovers and claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vswaplab.observe.ledger_build import Row
from vswaplab.observe.ledger_claims import Added, Claim, Crossover, baseline_title
from vswaplab.observe.ledger_designs import DESIGNS
from vswaplab.observe.ledger_model import MIB
from vswaplab.units import PAGE_SIZE, format_size

__all__ = ["claims_text", "crossover_text", "structures_text", "table_text"]


def _columns(table: Sequence[Sequence[str]], left: int) -> list[str]:
    """Line cells up in columns; the first `left` ones flush left, the others right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _groups(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each backend and design together, backends apart, in the order given."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.backend, row.design), []).append(row)
    order = list(dict.fromkeys(backend for backend, _ in groups))
    return [group for backend in order for (other, _), group in groups.items() if other == backend]


def table_text(rows: Sequence[Row]) -> str:
    """Return MiB by backend, design and usage; a published figure stands in brackets behind the measured one."""
    groups = _groups(rows)
    first = groups[0][0]
    published = any(row.published is not None for row in rows)
    heading = (
        f"MiB of metadata for a swapfile of {format_size(first.slots * PAGE_SIZE)}, {first.slots:,} slots, by usage"
        + (" [published]" if published else "")
    )
    cells = [["backend", "design", "kind", "counted"] + [f"{row.usage:g} %" for row in groups[0]]]
    cells += [
        [group[0].backend, group[0].design, group[0].ledger.kind, group[0].ledger.mode, *map(_cell, group)]
        for group in groups
    ]
    if published:  # so that points stand below each other where only some cells have a bracket
        cells = [row[:4] + [_pad(cell, at, cells) for at, cell in enumerate(row[4:], 4)] for row in cells]
    return "\n".join([heading, *_columns(cells, 4)])


def _cell(row: Row) -> str:
    mib = f"{row.ledger.mib:.2f}"
    return mib if row.published is None else f"{mib} [{row.published:.2f}]"


def _pad(cell: str, column: int, cells: Sequence[Sequence[str]]) -> str:
    tails = [len(row[column]) - len(row[column].split(" [")[0]) for row in cells]
    return cell + " " * (max(tails) - (len(cell) - len(cell.split(" [")[0])))


def structures_text(rows: Sequence[Row]) -> str:
    """Return each cell split by structure, a block for each backend and design."""
    blocks = []
    for group in _groups(rows):
        first = group[0]
        names = list(dict.fromkeys(name for row in group for name in row.ledger.structures))
        cells = [["structure", "made", "a unit"] + [f"{row.usage:g} %" for row in group]]
        for name in names:
            line = next(row.ledger.structures[name] for row in group if name in row.ledger.structures)
            made = "at swapon" if line.static else "with use"
            unit = f"{line.unit_bytes:g} B a {line.unit}"
            cells.append(
                [name, made, unit, *(f"{row.ledger.structures[name].mib:.2f}" for row in group)],
            )
        cells.append(["all", "", "", *(f"{row.ledger.mib:.2f}" for row in group)])
        other = first.counterpart
        if other is not None:
            counted = (row.counterpart for row in group)
            cells.append([f"all, {other.mode}", "", "", *(f"{each.mib:.2f}" if each else "" for each in counted)])
        cells.append(["B an entry in use", "", "", *(_per_slot(row) for row in group)])
        cells.append(["% of the swapfile", "", "", *(f"{row.percent_of_swap:.3f}" for row in group)])
        sources = " ".join(
            dict.fromkeys(tag for line in first.ledger.structures.values() for tag in line.source.split())
        )
        title = f"{first.design}, {first.backend} ({first.ledger.kind}, {first.ledger.mode}) [{sources}]"
        if first.design in DESIGNS:
            known = DESIGNS[first.design]
            title += f"\n{known.title}: {known.standing}. {known.counts}"
        apart = [row.ledger.apart.get("zswap_entry") for row in group]
        if any(line is not None and line.bytes for line in apart):
            cells.append(["zswap_entry, apart", "with use", "", *(f"{line.mib:.2f}" if line else "" for line in apart)])
        blocks.append("\n".join([title, *_columns(cells, 3)]))
    return "\n\n".join(blocks)


def _per_slot(row: Row) -> str:
    return "-" if row.ledger.per_slot is None else f"{row.ledger.per_slot:.2f}"


def crossover_text(found: Iterable[Crossover]) -> str:
    """Return where the virtual design begins to cost more than a baseline, a line for each search."""
    lines = []
    for each in found:
        against = "" if each.baseline == "legacy" else f", against {baseline_title(each.baseline)}"
        if each.percent is None or each.live == 0:
            more = "less" if each.percent is None else "more"
            lines.append(
                f"crossover, {each.backend}{against}: none; the virtual design costs {more} at any usage, {each.mode}"
            )
            continue
        lines.append(
            f"crossover, {each.backend}{against}: {each.percent:.2f} %: from {each.live:,} of {each.slots:,} entries "
            f"on the virtual design costs more, {_bytes(each.virtual_bytes)} against {_bytes(each.baseline_bytes)} "
            f"bytes ({each.mode}, {each.steps} halvings)"
        )
    return "\n".join(lines)


def _bytes(value: float) -> str:
    """Write bytes with the bits that the posting charges singly."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def claims_text(added: Iterable[Added], claims: Iterable[Claim]) -> str:
    """Return the worst added cost and each claim with what was found."""
    lines = [
        f"worst added cost, {each.backend}: {each.bytes / MIB:.2f} MiB, {each.percent_of_swap:.2f} % of the swapfile, "
        f"at {each.usage:g} % usage"
        if each.bytes > 0
        else f"worst added cost, {each.backend}: none; the virtual design costs less at each of these usages"
        for each in added
    ]
    lines += [
        f"claim, {each.backend}: {each.claim}: {'holds' if each.holds else 'fails'}. {each.finding}" for each in claims
    ]
    return "\n".join(lines)
