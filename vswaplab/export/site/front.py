"""The front page: one page of memory on its way through swap, in both designs, and the way into everything else.

What the picture shows is read off two machines that do the same; only the captions are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from typing import Any

from vswaplab.entry import Backing, swp_slot_t
from vswaplab.mm.machine import Machine
from vswaplab.observe.state import State
from vswaplab.status import BASE_NAME, box
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.corpus import real_page_array

__all__ = ["STAGES", "front_page", "journey", "journey_html", "lesson_cards"]

STAGES = (
    (
        "A page in memory",
        "A program has written a page. Its page table entry names the frame of memory that holds it.",
        "The same: nothing of swap is there yet.",
    ),
    (
        "Out, to zswap",
        "Memory is short, so the page is compressed: {bytes:,} bytes instead of 4,096. The entry must name a slot of "
        "the swapfile, so a slot is **taken**, though nothing is written to it.",
        "The entry names a **virtual slot**. What backs it is a compressed object. The swapfile is not touched: there "
        "need not be one.",
    ),
    (
        "On, to the swapfile",
        "zswap lets go of its coldest page. It goes to the slot that was taken long ago.",
        "Now, when there is something to write, a slot is taken. Only the virtual slot's descriptor changes: the page "
        "table notices nothing.",
    ),
    (
        "The swapfile is taken away",
        "swapoff must find every page table entry that names a slot of this file. It walks the page tables "
        "({legacy_walk}) and changes them.",
        "swapoff goes through the file's slots; each knows its virtual slot. {virtual_walk}: the entry still "
        "names the virtual slot, whose backing is a page in memory now.",
    ),
    (
        "Touched again",
        "The page has been in memory since swapoff; no fault is needed.",
        "A minor fault maps the page. The virtual slot has no more users and goes.",
    ),
)
"""Heading of each stage, what happens in the legacy design, what in the virtual one."""

_TITLES = {"legacy": BASE_NAME, "virtual": "Virtual swap, as posted"}


@cache
def journey() -> dict[str, Any]:
    """Return what the picture shows: for each design and stage where the page is, and what names it.

    ``pte`` is "frame" or "entry"; ``contents`` "memory", "zswap" or "swapfile"; ``slot`` of the swapfile "free",
    "taken" (something else has the contents), "holds", or "off" with no swapfile; ``backing`` that of the entry, or
    None; ``named`` what the page table entry names, ``number`` the slot of the swapfile that is in use.
    """
    found: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for design in _TITLES:
        m = Machine(ram="16M", design=design, seed=0)
        device = m.swapon(size="1M")
        process = m.spawn("app")
        region = process.mmap(PAGE_SIZE)
        process.write(region.start, next(bytes(page) for page in real_page_array() if page.any()))
        stages = [_stage(m.snapshot().state)]
        m.reclaim()
        stages.append(_stage(m.snapshot().state))
        m.writeback(pages=1)
        stages.append(_stage(m.snapshot().state))
        visited = m.swapoff(device).ptes_visited
        stages.append(_stage(m.snapshot().state))
        process.read(region.start, 1)
        stages.append(_stage(m.snapshot().state))
        found[design] = stages
        entries = f"{visited} page table {'entry' if visited == 1 else 'entries'} visited"
        words[f"{design}_walk"] = f"{entries[:1].upper()}{entries[1:]}" if design == "virtual" else entries
    words["bytes"] = found["virtual"][1]["bytes"]
    return {**found, "words": words}


def _stage(state: State) -> dict[str, Any]:
    """Return where the one page is, and what names it."""
    (pte,) = state.ptes.values()
    slot = next(iter(state.slots.values()), None)
    backing = slot.backing if slot else None
    places = {Backing.ZSWAP: "zswap", Backing.SWAPFILE: "swapfile"}
    contents = "memory" if pte.present or backing is None else places.get(backing, "memory")
    taken = slot is not None and slot.slot is not None
    legacy = swp_slot_t(pte.entry)
    entry = (
        f"virtual slot {pte.entry}" if state.design == "virtual" else f"swapfile {legacy.type}, slot {legacy.offset}"
    )
    return {
        "pte": "frame" if pte.present else "entry",
        "named": f"frame {pte.pfn}" if pte.present else entry,
        "number": slot.slot.offset if slot is not None and slot.slot is not None else None,
        "contents": contents,
        "slot": ("holds" if contents == "swapfile" else "taken" if taken else "free") if state.devices else "off",
        "backing": backing.name if backing is not None else None,
        "bytes": slot.length if slot else 0,
    }


def journey_html() -> str:
    """Return the picture's element: its data, and the same in words for those who can't or won't see it."""
    found = journey()
    data = json.dumps({**{design: found[design] for design in _TITLES}, "titles": _TITLES}, separators=(",", ":"))
    steps = []
    for at, (heading, legacy, virtual) in enumerate(STAGES):
        told = "".join(
            f"<p><b>{_TITLES[design]}.</b> {_strong(text.format(**found['words']))}</p>"
            for design, text in (("legacy", legacy), ("virtual", virtual))
        )
        steps.append(
            f'<section class="vs-stage" data-stage="{at}"><h2><span class="vs-nr">{at + 1}</span> '
            f"{escape(heading)}</h2>{told}</section>"
        )
    return (
        '<div class="vs-journey"><div class="vs-journey-steps">' + "".join(steps) + "</div>"
        '<div class="vs-journey-picture" tabindex="0" role="group" '
        'aria-label="One page in both designs: arrow keys step, space plays"></div>'
        f'<script type="application/vswaplab-journey+json">{data}</script></div>'
    )


def _strong(text: str) -> str:
    parts = escape(text, quote=False).split("**")
    return "".join(f"<b>{part}</b>" if at % 2 else part for at, part in enumerate(parts))


def front_page(lessons: Iterable[Mapping[str, Any]]) -> str:
    """Return the front page's source: the picture, where the series stands, the lessons as `described` gives them."""
    return _FRONT.format(cards=lesson_cards(lessons), status=box())


def lesson_cards(lessons: Iterable[Mapping[str, Any]], above: str = "") -> str:
    """Return the list of lessons: title, first sentence, minutes; `above` leads from the page to the site's top."""
    cards = "".join(
        f'<li><a href="{above}notebooks/{each["name"]}.html"><span class="vs-card-nr">{each["name"][:2]}</span>'
        f"<b>{escape(each['title'])}</b></a><p>{escape(each['sentence'])}</p>"
        f'<p class="vs-card-time">{each["reading"]} min to read, {each["minutes"]} with the questions</p></li>'
        for each in lessons
    )
    return f'<ol class="vs-cards" start="0">{cards}</ol>'


_FRONT = """# Understand Linux swap

<p class="vs-lead">A page leaves memory. What does the page table hold then? In mainline Linux, the place it went to.
In the <em>Virtual Swap Space</em> series of 2026, which is not merged, a number that stays, while what stands behind it
changes. Follow one page through both; scroll, or use the arrow keys.</p>

{status}

<!-- journey -->

## Lessons

<p>Eleven notebooks, all run for these pages. Pictures step and play here, questions answer, and nothing is fetched from
anywhere: save the folder, and read it on a train.</p>

{cards}

## And beside them

- **In a hurry?** [Start here](notebooks/00_start_here.ipynb), then
  [A page goes out](notebooks/01_a_page_goes_out.ipynb).
- **You know the kernel?** [The debate](notebooks/09_the_debate.ipynb), [every figure and its source](docs/facts.md),
  [what this model leaves out](docs/leaves-out.md), and [where it was wrong](docs/corrections.md).
- **You teach?** [A guide for teachers](docs/teaching.md), with course plans, and [graded labs](docs/grading.md).
- **You want to run it?** [In the lab](docs/site/lab.md) the same pages are notebooks, and everything can be changed.

```{{toctree}}
:hidden:
:caption: Lessons

Lessons <docs/site/lessons>
```

```{{toctree}}
:hidden:
:caption: Reference

docs/site/reference
docs/site/teach
docs/site/lab
```
"""
