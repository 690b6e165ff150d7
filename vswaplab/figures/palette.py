"""Palette: the colours and shapes of every figure, defined once.

The hues are those of Okabe and Ito, which people with any of the common colour deficiencies can tell apart; the shade
is adjusted so that each is readable on its ground. Colour is never alone: every backing has a shape of its own too.

Three themes: "light" and "dark" for pictures whose ground is known, "auto" for pictures on a transparent ground. Its
shades lie midway, with a contrast of at least 3 to 1 for marks and 4.3 to 1 for text on white and on near-black.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument

__all__ = ["SHAPES", "THEMES", "Theme", "contrast", "theme_named"]


@dataclass(frozen=True)
class Theme:
    """Colours for one kind of ground."""

    name: str
    ground: str
    """What the figure is meant to stand on; figures themselves are transparent."""
    text: str
    faint: str
    """Places that are empty, and frames."""
    pte: str
    highlight: str
    broken: str
    """What breaks an invariant; it is drawn in a way of its own too."""
    backing: Mapping[Backing, str]

    def colour(self, look: Backing | str) -> str:
        """Return the colour of a backing, of a page table entry, of an unused block, or of what should not be."""
        if isinstance(look, Backing):
            return self.backing[look]
        if look == "reserved":
            return self.backing[Backing.SWAPFILE]
        return self.highlight if look == "none" else self.pte


SHAPES: Mapping[Backing | str, str] = MappingProxyType(
    {
        Backing.ZSWAP: "diamond",
        Backing.ZERO: "circle-open",
        Backing.SWAPFILE: "square",
        Backing.FOLIO: "circle",
        "present": "triangle-right",
        "swapped": "triangle-right-open",
        "reserved": "square-open",
        "none": "x",
    }
)
"""Plotly markers by backing; page table entries are "present" or "swapped", "reserved" is a block of the device whose
slot is taken while something else has the contents, "none" is a slot that is not there."""


def _theme(name: str, ground: str, text: str, faint: str, marks: str) -> Theme:
    pte, highlight, broken, swapfile, zero, zswap, folio = marks.split()
    backing = {Backing.SWAPFILE: swapfile, Backing.ZERO: zero, Backing.ZSWAP: zswap, Backing.FOLIO: folio}
    return Theme(name, ground, text, faint, pte, highlight, broken, MappingProxyType(backing))


THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        theme.name: theme
        for theme in (
            #                                              pte     highlight broken swapfile zero  zswap   folio
            _theme("light", "#ffffff", "#222222", "#d4d4d4", "#a04a7c #b87f00 #c00020 #d55e00 #6b6b6b #0072b2 #00805d"),
            _theme("dark", "#111111", "#e6e6e6", "#444444", "#cc79a7 #f0e442 #ff6b6b #f08a3c #b4b4b4 #56b4e9 #2fbf94"),
            _theme(
                "auto", "transparent", "#797979", "#8f8f8f66", "#b8639a #b87f00 #dd3344 #d55e00 #7d7d7d #2186c4 #009e73"
            ),
        )
    }
)


def theme_named(name: str) -> Theme:
    """Return a theme by its name; InvalidArgument if there is no such theme."""
    if name not in THEMES:
        raise InvalidArgument(f"There is no theme {name!r}; choose one of {', '.join(THEMES)}.")
    return THEMES[name]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two ``#rrggbb`` colours, 1 to 21, as WCAG 2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)
