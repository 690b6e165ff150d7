"""Where the designs of this lab stand in Linux, as of one day: what mainline has, and what was only posted.

Whatever says "is in mainline", "was posted last" or "is not merged" (notebooks, README, front page, glossary) takes its
sentence from here, and a test holds the texts that can't call it. So a new release is told in one place. Dates are
those of the postings, and of the lists of changes that Linus Torvalds took; `source` names rows of docs/sources.md.

>>> STANDING
'As of 11 October 2026 no kernel has a virtual swap layer [S9] [S45].'
>>> gone("zeromap")
'Gone from mainline since Linux 7.2 [S39].'
>>> [each.release for each in MAINLINE]
['7.0', '7.1', '7.2']
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from vswaplab.errors import InvariantError, NotFound
from vswaplab.strict import quoted

__all__ = [
    "AS_OF",
    "BASE",
    "BASE_NAME",
    "CHARGING",
    "LAST_POSTINGS",
    "LEGACY_IS",
    "MAINLINE",
    "MAINLINE_SINCE",
    "POSTINGS",
    "SERIES_NAME",
    "STANDING",
    "STILL",
    "Posting",
    "Release",
    "box",
    "check",
    "day",
    "gone",
    "tags",
]


@dataclass(frozen=True)
class Release:
    """A release of Linux, and what it changed in swap's metadata."""

    release: str
    phase: int
    """Of the swap table, whose first phase came with 6.18 [S40]."""
    taken: date
    """The day of the list of changes with which it went into mainline."""
    gone: tuple[str, ...]
    """Structures of `BASE` that this release no longer has."""
    instead: str
    """What does their work now."""
    source: str


@dataclass(frozen=True)
class Posting:
    """The newest version of a series, as far as is known on `AS_OF`."""

    name: str
    version: int
    posted: date
    patches: int
    says: str
    source: str
    merged: bool = False


AS_OF = date(2026, 10, 11)
"""The day up to which the sources reach."""
BASE = "6.19"
"""The release that the series was posted on, and the legacy design of this lab."""
BASE_NAME = f"Linux {BASE}, the base of the series"

MAINLINE: tuple[Release, ...] = (
    Release(
        "7.0",
        2,
        date(2026, 2, 11),
        ("SWAP_HAS_CACHE", "skip-swapcache"),
        "a folio in the swap table says that a slot is cached, and every page that comes in goes through the cache",
        "S37",
    ),
    Release("7.1", 3, date(2026, 4, 13), ("swap_map", "continuation"), "the count stands in the swap table", "S38"),
    Release(
        "7.2",
        4,
        date(2026, 6, 18),
        ("swap_cgroup", "zeromap"),
        "memory cgroup ids stand in a table for each cluster in use, and the word of a slot has a bit for zeros",
        "S39",
    ),
)
"""Releases since `BASE` that changed what swap keeps for a slot, in order."""

POSTINGS: tuple[Posting, ...] = (
    Posting("Virtual Swap Space", 6, date(2026, 5, 5), 22, "descriptors of 24 bytes", "S6"),
    Posting("Swap Table Edition", 5, date(2026, 9, 18), 11, "the same idea on top of the swap table", "S9"),
)
"""The last posting with descriptors of its own, and its author's newest, in order."""

_RELEASE = re.compile(r"\d+\.\d+")
_TAG = re.compile(r"S\d+")


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
"""Written out: a date is the same whatever the locale."""


def day(when: date) -> str:
    """Return a date as the texts write it: 5 May 2026."""
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def tags(*sources: str) -> str:
    """Return tags in the brackets that the texts have: [S6] [S10]."""
    return " ".join(f"[{source}]" for source in sources)


def gone(structure: str) -> str:
    """Return the sentence that says since when mainline does without a structure of `BASE`; NotFound if it has it."""
    for each in MAINLINE:
        if structure in each.gone:
            return f"Gone from mainline since Linux {each.release} {tags(each.source)}."
    known = ", ".join(name for each in MAINLINE for name in each.gone)
    raise NotFound(f"Mainline still has {quoted(structure)}, or never had it; gone are {known}.")


_LAST, _NEWEST = POSTINGS
_CACHE, _MAP, _ARRAYS = MAINLINE

SERIES_NAME = f"{_LAST.name} v{_LAST.version}, posted {day(_LAST.posted)}"

STANDING = f"As of {day(AS_OF)} no kernel has a virtual swap layer {tags(_NEWEST.source, 'S45')}."

LAST_POSTINGS = (
    f"Version {_LAST.version} of *{_LAST.name}* ({day(_LAST.posted)}) was the last posting with {_LAST.says} "
    f"{tags(_LAST.source)}. Its author posted the idea again on top of the swap table, as *{_NEWEST.name}*: version "
    f"{_NEWEST.version} of {day(_NEWEST.posted)} is the newest, and it is not merged {tags(_NEWEST.source)}."
)

MAINLINE_SINCE = (
    f"Linux {BASE} is the base of the series, not the newest kernel. Mainline has changed since: Linux "
    f"{_CACHE.release} dropped `{_CACHE.gone[0]}` and the way in past the swap cache {tags(_CACHE.source)}, "
    f"{_MAP.release} the `{_MAP.gone[0]}` and its continuation pages {tags(_MAP.source)}, {_ARRAYS.release} the "
    f"`{_ARRAYS.gone[0]}` array and the `{_ARRAYS.gone[1]}` {tags(_ARRAYS.source)}."
)

STILL = (
    "What mainline has kept: a page table entry names a slot of a device, a page in zswap holds such a slot as well, "
    "and swapoff walks page tables."
)

LEGACY_IS = (
    f"What these lessons call *legacy* is Linux {BASE}, the base of the series, not the newest kernel: "
    f"{_CACHE.release}, {_MAP.release} and {_ARRAYS.release} have each changed what swap keeps for a slot."
)

CHARGING = (
    "This is version 6's rule, and it is disputed: on 25 and 26 September 2026 linux-mm argued whether a page in zswap "
    "that holds no slot should be charged to swap all the same. Johannes Weiner: by definition no slot, no charge, and "
    "the kernel adds no convenience for what user space can do itself. Gregory Price: pressure figures and proactive "
    "reclaim are enough for that. No conclusion was reached [S44]."
)


def box() -> str:
    """Return the state of things as a Markdown quotation: what stands at the top of the first lessons."""
    return f"> **Where this stands.** {STANDING} {LAST_POSTINGS} {LEGACY_IS}"


def check() -> None:
    """Raise InvariantError unless releases and dates are in order, none lies ahead, and every source is a tag."""
    releases = [BASE, *(each.release for each in MAINLINE if _RELEASE.fullmatch(each.release))]
    order = sorted(set(releases), key=lambda release: [int(part) for part in release.split(".")])
    taken, posted = [each.taken for each in MAINLINE], [each.posted for each in POSTINGS]
    structures = [name for each in MAINLINE for name in each.gone]
    sources = [each.source for each in MAINLINE] + [each.source for each in POSTINGS]
    claims = {
        "each release is a number such as 7.2, later than the one before and than the base": len(order)
        == 1 + len(MAINLINE)
        and releases == order,
        "phases follow one another": [each.phase for each in MAINLINE] == list(range(2, 2 + len(MAINLINE))),
        "dates rise and none is after the day up to which the sources reach": taken == sorted(set(taken))
        and posted == sorted(set(posted))
        and max([*taken, *posted]) <= AS_OF,
        "a structure goes once": len(structures) == len(set(structures)),
        "every source is a tag": all(_TAG.fullmatch(source) for source in sources),
        "nothing that was only posted is merged": not any(each.merged for each in POSTINGS),
    }
    for claim, holds in claims.items():
        if not holds:
            raise InvariantError("status", f"it must be that {claim}; mend vswaplab/status.py.")
