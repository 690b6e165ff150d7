"""The built site in Chromium with the network cut: what its tests share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from browser.harness import Chromium, Tab

__all__ = ["Links", "internal_targets", "links_of", "open_page", "pages_of"]


class Links(HTMLParser):
    """What a page links to, what it loads, the ids it has and those it refers to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        """Ids that something on the page refers to: labels, descriptions."""
        self.unnamed: list[str] = []
        """Images without a text, frames without a title."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag has."""
        found = {name: value or "" for name, value in attrs}
        if found.get("id"):
            self.ids.append(found["id"])
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            self.named += found.get(name, "").split()
        if (tag == "img" and "alt" not in found) or (tag == "iframe" and not found.get("title")):
            self.unnamed.append(found.get("src", tag))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "prefetch", "modulepreload"):
            self.loads.append(found.get("href", ""))
        if tag in ("script", "img", "iframe", "source", "embed", "audio", "video"):
            self.loads += [found[name] for name in ("src", "srcset") if found.get(name)]


def pages_of(site: Path) -> list[Path]:
    """Return the site's pages."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def links_of(page: Path) -> Links:
    """Return what a page links to and has."""
    found = Links()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def internal_targets(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield each link of a page that stays on the site: as written, the file it names, its fragment."""
    for link in links_of(page).links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc and link:
            yield link, (page.parent / unquote(parts.path)).resolve() if parts.path else page, unquote(parts.fragment)


@contextmanager
def open_page(
    chromium: Chromium, page: Path, fragment: str = "", width: int = 1400, theme: Literal["light", "dark"] = "light"
) -> Iterator[Tab]:
    """Yield a tab with a page of the site, read from the file system, the network cut; nothing may go wrong in it."""
    tab = chromium.open(color_scheme=theme, width=width)
    tab.page.context.set_offline(True)
    try:
        tab.page.goto(page.as_uri() + (f"#{fragment}" if fragment else ""))
        yield tab
        assert tab.errors == [], (page.name, tab.errors)
        assert [url for url in tab.requests if not re.match(r"(file|data|blob|about):", url)] == []
    finally:
        tab.page.context.close()
