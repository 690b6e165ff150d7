"""The byte ledger as a view: what metadata costs over usage, structure by structure, with sliders for what is assumed.

>>> ByteLedger()  # doctest: +SKIP
>>> ByteLedger("24 instead of 8", slots=1 << 18).crossover  # doctest: +SKIP

Two panels on one scale stack the structures of both designs over usage; a third has the two totals and where they meet.
Virtual swap is held against Linux 6.19, the base of the series, or against 7.2, which has done away with its arrays.
Sliders set the size of the device, the shares of zero pages, zswap and disk, and how many slots of each allocated
cluster are live. When one share moves the other two keep their ratio, so that they add up to 100 %. The page evaluates
the terms of `vswaplab.observe.ledger_mix`, which are sent once; the published table stands beside what they give.

`settings` is what the sliders say: read it, or assign to it, whole.

>>> view = ByteLedger("posting, disk", usage=100)
>>> view.ledger("virtual").mib, round(view.crossover, 2)
(259.0, 11.92)
>>> view.settings = {**view.settings, "zswap": 40, "disk": 60}
>>> view.ledger("virtual").mib
233.4
>>> view = ByteLedger("mainline, zswap", usage=100)
>>> view.ledger("linux-7.2").mib, round(view.crossover, 2)
(144.75, 1.53)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import traitlets

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument
from vswaplab.figures.ledger_chart import STRUCTURE_LOOKS
from vswaplab.figures.palette import SHAPES, THEMES
from vswaplab.observe.ledger_claims import baseline_title
from vswaplab.observe.ledger_designs import PUBLISHED, PUBLISHED_SLOTS
from vswaplab.observe.ledger_mix import MIX_BASELINES, MIX_TERMS, Mix, MixTerm, mix_crossover, mix_ledger
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, Ledger
from vswaplab.strict import choice, quoted, real_number
from vswaplab.widgets.step_log import palette
from vswaplab.widgets.view import View

__all__ = ["BASELINES", "COUNTS", "PRESETS", "SIZES", "ByteLedger"]

SIZES = tuple(1 << shift for shift in range(14, 29))
"""Slots of the device at each stop of the slider: 64 MiB to 1 TiB."""
_LIVE = tuple(1 << shift for shift in range(9, -1, -1))
_UNITS = ("slot", "entry", "MiB")

COUNTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "everything": {
            "title": "all structures",
            "of": None,
            "side": "Counted: both designs whole. The descriptor replaces five structures of 6.19, so all are set "
            "against it, the three that are there from swapon on as well [S27].",
            "without": {
                AS_POSTED: "Left out, as the posting leaves it out: swap_cluster_info, headers of clusters, whole "
                "nodes of trees. Counted as allocated they are in.",
                AS_ALLOCATED: "Left out: zswap_entry, which is the same in both; continuation pages of swap counts.",
            },
        },
        "24 instead of 8": {
            "title": "descriptor, swap table",
            "of": ["swp_desc", "swap_table"],
            "side": "Counted: what grows with each entry of a plain swapfile, a descriptor of 24 bytes where the swap "
            "table has a word of 8 [S24].",
            "without": dict.fromkeys(
                (AS_POSTED, AS_ALLOCATED),
                "Left out: the arrays that the legacy design makes at swapon, used or not, and its zswap tree; on the "
                "other side the rmap and the bitmaps.",
            ),
        },
    }
)
"""What each camp adds up: which structures, and in words."""

_START: Mapping[str, Any] = MappingProxyType(
    {**asdict(Mix(zswap=100)), "usage": 50, "count": "everything", "unit": "MiB", "baseline": MIX_BASELINES[0]}
)
_ALL_DISK = {"zswap": 0, "disk": 100}
_NEWEST = baseline_title(MIX_BASELINES[1])

BASELINES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        MIX_BASELINES[0]: {"title": baseline_title(MIX_BASELINES[0]), "name": "legacy", "note": ""},
        MIX_BASELINES[1]: {
            "title": f"{_NEWEST}, in mainline",
            "name": _NEWEST,
            "note": f"Against {_NEWEST}: three of the five structures that 6.19 has are gone from mainline, and with "
            "them all but 48 bytes a cluster of what was there from swapon on [S39]. A page in zswap still holds a "
            "slot of the device.",
        },
    }
)
"""What virtual swap can be held against: a title, the name in the picture, and what it means for the sums."""

PRESETS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "posting, zswap": ("As posted: all in zswap", {}),
        "posting, disk": ("As posted: all on the disk", _ALL_DISK),
        "24 instead of 8": (
            "One camp: 24 bytes instead of 8",
            {**_ALL_DISK, "count": "24 instead of 8", "usage": 100, "unit": "slot"},
        ),
        "net": ("The other: not the net overhead", {"usage": 100, "unit": "slot"}),
        "allocated, zswap": ("As allocated: all in zswap", {"mode": AS_ALLOCATED}),
        "allocated, disk": (
            "As allocated: all on the disk",
            {"mode": AS_ALLOCATED, **_ALL_DISK},
        ),
        "sparse": (
            "One live page in each cluster",
            {"mode": AS_ALLOCATED, "live_per_cluster": 1, "usage": 100},
        ),
        "mixed": ("A bit of each backing", {"zero": 10, "zswap": 60, "disk": 30}),
        "mainline, zswap": (f"Against {_NEWEST}: all in zswap", {"baseline": MIX_BASELINES[1]}),
        "mainline, disk": (f"Against {_NEWEST}: all on the disk", {"baseline": MIX_BASELINES[1], **_ALL_DISK}),
    }
)
"""Settings by name: a title, and what differs from the posting's zswap column."""

_CODE = """from vswaplab.observe.ledger_mix import Mix, mix_crossover, mix_ledger
mix = Mix(slots={slots}, zero={zero}, zswap={zswap}, disk={disk}, live_per_cluster={live_per_cluster},
          mode="{mode}", swapfile={swapfile})
for design in ("{baseline}", "virtual"):
    print(mix_ledger(design, mix, {usage}))
live = mix_crossover(mix, "{baseline}")
print(live and f"the same at {100 * live / mix.most_live:.2f} %")
"""


class ByteLedger(View):
    """Metadata of both designs over usage; `settings` as the sliders stand."""

    named = "Byte ledger"
    again = "Run this cell again to move its sliders."

    settings = traitlets.Dict(help="What the sliders say").tag(sync=True)

    def __init__(self, preset: str = "posting, zswap", **changes: Any) -> None:
        """Start from one of `PRESETS`; `changes` are settings by name. InvalidArgument for what can't be meant."""
        start = {**_START, **PRESETS[choice(preset, "preset", tuple(PRESETS))][1]}
        super().__init__(view="ledger", header=_header(), code=_CODE, settings={**start, **changes})

    @traitlets.validate("settings")
    def _checked(self, proposal: dict[str, Any]) -> dict[str, Any]:
        given = dict(proposal["value"])
        odd = set(given) ^ set(_START)
        if odd:
            known = ", ".join(_START)
            raise InvalidArgument(f"Settings are {known}; {quoted(min(odd, key=str))} is missing or is none of them.")
        _mix(given)
        real_number(given["usage"], "usage", 0, 100)
        choice(given["count"], "count", tuple(COUNTS))
        choice(given["unit"], "unit", _UNITS)
        choice(given["baseline"], "baseline", MIX_BASELINES)
        return given

    @property
    def mix(self) -> Mix:
        """What the settings assume to be swapped out."""
        return _mix(self.settings)

    def ledger(self, design: str) -> Ledger:
        """Return the ledger of a design at the usage of the settings."""
        return mix_ledger(design, self.mix, self.settings["usage"])

    @property
    def crossover(self) -> float | None:
        """Usage in percent from which on the virtual design costs more than the baseline; None if it never does."""
        live = mix_crossover(self.mix, self.settings["baseline"])
        return None if live is None else 100 * live / self.mix.most_live

    def shows(self) -> list[str]:
        """Return what is assumed, and the sums of both designs that are compared."""
        mix, usage = self.mix, self.settings["usage"]
        baseline = self.settings["baseline"]
        names = {baseline: BASELINES[baseline]["name"], "virtual": "virtual"}
        sums = ", ".join(f"{name} {self.ledger(design).mib:,.2f} MiB" for design, name in names.items())
        return [
            f"{mix.slots:,} slots of which {usage:g} % are used: zero pages {mix.zero:g} %, zswap {mix.zswap:g} %, "
            f"disk {mix.disk:g} %. Metadata {mix.mode}, all structures: {sums}."
        ]


def _mix(settings: Mapping[str, Any]) -> Mix:
    return Mix(**{name: settings[name] for name in Mix.__dataclass_fields__})


def _header() -> dict[str, Any]:
    terms: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (design, mode), own in MIX_TERMS.items():
        terms.setdefault(design, {})[mode] = [_term(term) for term in own]
    return {
        "version": 1,
        "terms": terms,
        "looks": {name: [_look(hue), pattern] for name, (hue, pattern) in STRUCTURE_LOOKS.items()},
        "published": [[design, backend, dict(cells)] for (design, backend), cells in PUBLISHED.items()],
        "publishedSlots": PUBLISHED_SLOTS,
        "publishedMode": AS_POSTED,
        "sizes": list(SIZES),
        "live": list(_LIVE),
        "modes": {AS_POSTED: "as posted: by entry", AS_ALLOCATED: "as allocated: by cluster"},
        "units": {"MiB": "MiB in all", "slot": "bytes a slot of the device", "entry": "bytes an entry in use"},
        "baselines": {name: dict(each) for name, each in BASELINES.items()},
        "counts": {name: dict(count) for name, count in COUNTS.items()},
        "presets": [[name, title, {**_START, **changes}] for name, (title, changes) in PRESETS.items()],
        "themes": {name: palette(theme) for name, theme in THEMES.items()},
        "shapes": {str(int(look) if isinstance(look, Backing) else look): shape for look, shape in SHAPES.items()},
    }


def _look(hue: Backing | str) -> int | str:
    return int(hue) if isinstance(hue, Backing) else hue


def _term(term: MixTerm) -> dict[str, Any]:
    found = asdict(term)
    found["bytes"] = found.pop("unit_bytes")
    return found
