"""The site's own part of Sphinx: sources and terms linked where they are named, scripts only where they are used.

- A tag such as [S13] becomes a link to its row in the table of sources, which gets an anchor of that name.
- The first time a lesson uses a term of the glossary, it is linked there, with the first sentence of its definition.
- Tables of docstrings, which are written as Markdown has them, become tables; hints such as ``bytes`` stay plain text.
- A page with views carries the players' script; plotly.js is fetched by a page when its first chart comes near.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import pending_xref

from vswaplab.export.site.front import journey_html

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["definitions", "setup", "source_titles"]

SOURCES, GLOSSARY = "docs/sources", "docs/glossary"
_AMBIGUOUS = {"handle", "order", "page", "priority"}
"""Terms that are plain words as well: a lesson's "in order" is none of the glossary."""
_VIEW = "application/vswaplab+json"
_LEFT_ALONE = (nodes.literal, nodes.literal_block, nodes.reference, nodes.title, nodes.raw, nodes.term, nodes.pending)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the site's part to a Sphinx application."""
    app.connect("autodoc-process-docstring", _with_tables)
    app.connect("doctree-read", _mark_sources)
    app.connect("doctree-read", _plain_builtins)
    app.connect("doctree-resolved", _link_names)
    app.connect("html-page-context", _scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


# -- sources and terms ---------------------------------------------------------------------------------------------


def source_titles(doctree: nodes.document) -> dict[str, str]:
    """Return what each source is, by its tag, from the table of sources."""
    return {tag: row[1].astext() for tag, row in _source_rows(doctree)}


def _source_rows(doctree: nodes.document) -> Iterator[tuple[str, nodes.row]]:
    for row in doctree.findall(nodes.row):
        tag = row[0].astext().strip() if len(row) > 1 else ""
        if re.fullmatch(r"S\d+", tag):
            yield tag, row


def _mark_sources(app: Sphinx, doctree: nodes.document) -> None:
    """Give each row of the table of sources an anchor."""
    if app.env.current_document.docname == SOURCES:
        for tag, row in _source_rows(doctree):
            row["ids"].append(tag.lower())


def definitions(env: BuildEnvironment) -> dict[str, tuple[str, str]]:
    """Return the terms of the glossary that a lesson may link, as they are written: anchor, first sentence."""
    found: dict[str, tuple[str, str]] = {}
    if GLOSSARY not in env.all_docs:
        return found
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        text = next(iter(item.findall(nodes.definition))).astext().replace("\n", " ")
        first = re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]
        for term in item.findall(nodes.term):
            if term["ids"] and term.astext() not in _AMBIGUOUS:
                found[term.astext()] = (term["ids"][0], first)
    return found


def _link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link tags of sources everywhere, and the glossary's terms in lessons, at their first use."""
    titles = _titles(app.env)
    terms = definitions(app.env) if docname.startswith("notebooks/") else {}
    pattern = _pattern(terms)
    seen: set[str] = set()

    def link(docto: str, anchor: str, kind: str, hint: str, text: str) -> str:
        uri = app.builder.get_relative_uri(docname, docto)
        hint = escape(hint, quote=True)
        return f'<a class="{kind}" href="{uri}#{anchor}" data-hint="{hint}">{escape(text)}</a>'

    def replace(match: re.Match[str]) -> str | None:
        if match["tag"]:
            tag = match["tag"]
            return link(SOURCES, tag.lower(), "vs-source", titles[tag], f"[{tag}]") if tag in titles else None
        term = _term_of(match["term"], terms)
        if term is None or terms[term][0] in seen:
            return None
        seen.add(terms[term][0])
        return link(GLOSSARY, terms[term][0], "vs-term", terms[term][1], match["term"])

    for text in list(doctree.findall(nodes.Text)):
        if not any(isinstance(above, _LEFT_ALONE) for above in _above(text)):
            _replace_in(text, pattern, replace)


def _titles(env: BuildEnvironment) -> Mapping[str, str]:
    return source_titles(env.get_doctree(SOURCES)) if SOURCES in env.all_docs else {}


def _above(node: nodes.Node) -> Iterator[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


def _pattern(terms: Mapping[str, Any]) -> re.Pattern[str]:
    """Return what finds tags and terms, longer terms first; a term may have an s, and begin a sentence."""
    longest = sorted(terms, key=len, reverse=True)
    words = "|".join(f"{re.escape(term)}s?" for term in longest) or "(?!)"
    return re.compile(rf"\[(?P<tag>S\d+)\]|(?<![\w./-])(?P<term>{words})(?![\w/-])", re.IGNORECASE)


def _term_of(text: str, terms: Mapping[str, Any]) -> str | None:
    """Return the term that a word is: as it stands, small at its beginning, and with no s at its end."""
    for form in (text, text[:1].lower() + text[1:]):
        for word in (form, form.removesuffix("s")):
            if word in terms:
                return word
    return None


def _replace_in(text: nodes.Text, pattern: re.Pattern[str], replace: Any) -> None:
    parts: list[nodes.Node] = []
    whole, at = text.astext(), 0
    for match in pattern.finditer(whole):
        html = replace(match)
        if html is None:
            continue
        parts += [nodes.Text(whole[at : match.start()]), nodes.raw("", html, format="html")]
        at = match.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(whole[at:])])


# -- docstrings ----------------------------------------------------------------------------------------------------


def _with_tables(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Write a docstring's tables as reStructuredText has them; a constant with no text of its own gets none."""
    if what == "data" and lines[:1] == (type(obj).__doc__ or "").splitlines()[:1]:
        lines.clear()
    found: list[str] = []
    inside = False
    for line in lines:
        row = line.startswith("|")
        if row and not inside:
            found += [".. list-table::", "   :header-rows: 1", ""]
        if row and not set(line) <= set("|-"):
            first, *rest = (cell.strip() for cell in line.strip()[1:-1].split("|"))
            found += [f"   * - {first}", *(f"     - {cell}" for cell in rest)]
        elif not row:
            found.append(line)
        inside = row
    lines[:] = found


def _plain_builtins(app: Sphinx, doctree: nodes.document) -> None:
    """Keep ``bytes`` in a signature from being linked to a field that somebody called bytes."""
    for link in list(doctree.findall(pending_xref)):
        if link.get("refdomain") == "py" and hasattr(builtins, link["reftarget"]):
            inside = link.children[0]
            plain = inside if isinstance(inside, nodes.literal) else nodes.Text(link["reftarget"])
            link.replace_self(plain)


# -- scripts -------------------------------------------------------------------------------------------------------


def _scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give a page the scripts that it needs, and the front page its picture."""
    raws = [node.astext() for node in doctree.findall(nodes.raw)] if doctree is not None else []
    if any(_VIEW in text for text in raws):
        app.add_js_file("views.js", loading_method="defer")
    if pagename == "index":
        app.add_js_file("front.js", loading_method="defer")
        context["body"] = context["body"].replace("<!-- journey -->", journey_html())
