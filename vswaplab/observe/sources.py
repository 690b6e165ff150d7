"""Sources: what the tags such as [S10] stand for, for views that link to them. All of them are in docs/sources.md.

A test compares this table with the document.
"""

from __future__ import annotations

__all__ = ["SOURCES"]

_SERIES = "https://lore.kernel.org/all/20260505153854.1612033-{}-nphamcs@gmail.com/"

SOURCES: dict[str, tuple[str, str]] = {
    "S6": ("v6 cover letter", _SERIES.format(1)),
    "S10": ("mm/vswap.c as of v6", _SERIES.format(1)),
    "S12": ("v6, patch 13", _SERIES.format(14)),
    "S13": ("v6, patch 14", _SERIES.format(15)),
    "S14": ("v6, patch 19", _SERIES.format(20)),
    "S15": ("v6, patch 20", _SERIES.format(21)),
    "S16": ("v6, patch 22", _SERIES.format(23)),
    "S20": ("mm/swapfile.c of 2026", ""),
    "S21": ("mm/zswap.c of mainline", ""),
    "S23": ("Documentation/mm/swap-table.rst", ""),
    "BACKGROUND": ("general knowledge of mainline", ""),
}
"""Tag -> title, and address of the posting ("" where the source is a file)."""
