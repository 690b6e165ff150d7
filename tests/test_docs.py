"""The texts of docs/: examples that run, one entry for each term, names that exist."""

from __future__ import annotations

import doctest
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.export.site.api import asked_modules, public_modules, with_modules

DOCS = Path(__file__).resolve().parent.parent / "docs"
API = sorted((DOCS / "api").glob("*.md"))
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def glossary() -> dict[str, str]:
    """Return the definition of each entry by its first term."""
    body = (DOCS / "glossary.md").read_text(encoding="utf-8").partition("{glossary}")[2].partition("```")[0]
    entries = re.split(r"\n(?=\S)", re.sub(r"^:\w+:.*\n", "", body.strip() + "\n", flags=re.MULTILINE))
    found: dict[str, str] = {}
    for entry in filter(str.strip, entries):
        lines = entry.splitlines()
        found[lines[0]] = " ".join(line.strip() for line in lines[1:])
    return {term: text for term, text in found.items() if text}


# -- the reference -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", API, ids=lambda page: page.stem)
def test_a_reference_pages_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    examples = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    assert len(examples.examples) >= 2
    told: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=told.append)
    assert told == []


def test_every_public_module_is_on_one_page() -> None:
    where = Counter(name for page in API for name in asked_modules(page.read_text(encoding="utf-8")))
    assert set(public_modules()) - set(where) == set()
    assert [name for name, times in where.items() if times > 1] == []


def test_every_public_name_of_a_module_is_in_its_section() -> None:
    page = with_modules("# All\n\n<!-- modules: vswaplab vswaplab.* -->\n")
    sections = dict(zip(*[iter(re.split(r"^## `([\w.]+)`$", page, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert set(sections) == set(public_modules())
    for module, names in public_modules().items():
        words = set(re.findall(r"\w+", sections[module]))
        assert set(names) <= words, module


def test_a_page_that_asks_for_no_module_there_is_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"called vswaplab\.nothing; mend"):
        with_modules("<!-- modules: vswaplab.nothing -->")


# -- the glossary ------------------------------------------------------------------------------------------------------


def test_the_glossary_has_the_words_of_the_fact_sheet() -> None:
    table = (DOCS / "facts.md").read_text(encoding="utf-8").partition("\n## 9. ")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)[1:]
    words = [re.split(r"[,;]| / ", re.sub(r"\([^)]*\)|[`-]{2,}|`", "", cell)) for cell in cells]
    text = (DOCS / "glossary.md").read_text(encoding="utf-8").casefold()
    missing = [word.strip() for row in words for word in row if word.strip().casefold() not in text]
    assert sum(len(row) for row in words) > 70
    assert missing == []


def test_a_hint_is_a_sentence_that_fits() -> None:
    for term, text in glossary().items():
        first = re.split(r"(?<=[.?!])\s", text, maxsplit=1)[0]
        assert len(first) <= 220, term
        assert first.endswith((".", "?")), term


# -- how each figure was computed --------------------------------------------------------------------------------------


def dotted_names(text: str) -> set[str]:
    return set(re.findall(r"`(vswaplab(?:\.\w+)+)`", text))


@pytest.mark.parametrize("page", ["computed.md", "leaves-out.md", "design.md", "glossary.md", "facts.md", "traces.md"])
def test_files_that_a_page_mentions_exist(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|data|notebooks|vswaplab|docs)/[\w./]+)`", text)
    assert [name for name in named if not (DOCS.parent / name).exists()] == []


@pytest.mark.parametrize("page", ["computed.md", "leaves-out.md", "design.md"])
def test_names_of_the_library_that_a_page_mentions_exist(page: str) -> None:
    for name in dotted_names((DOCS / page).read_text(encoding="utf-8")):
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found: object = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for part in parts[cut:]:
                found = getattr(found, part)
            break


# -- corrections -------------------------------------------------------------------------------------------------------


def source_tags() -> set[str]:
    return set(re.findall(r"^\| (S\d+) \|", (DOCS / "sources.md").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_a_correction_is_whole_and_names_tests_and_sources_that_exist() -> None:
    """Each row: its number, what was said, what is right, a source that is listed, what changed, a test that exists."""
    lines = (DOCS / "corrections.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| *\d+ *\|", line)]
    numbers = [int(row[0]) for row in rows]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(1, 20))
    for row in rows:
        assert len(row) == 6, row[0]
        assert all(row), row[0]
        tags = re.findall(r"\[(S\d+|BACKGROUND|INFERRED|DERIVED)\]", row[3])
        assert tags, row[0]
        assert set(tags) - {"BACKGROUND", "INFERRED", "DERIVED"} <= source_tags(), row[0]
        named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", row[5])
        assert named, row[0]
        for file, function in named:
            text = (DOCS.parent / file).read_text(encoding="utf-8")
            assert not function or f"def {function}(" in text, f"{row[0]}: {file}::{function}"


def test_every_source_that_a_page_names_is_listed() -> None:
    for page in sorted(DOCS.glob("*.md")):
        named = set(re.findall(r"\[(S\d+)\]", page.read_text(encoding="utf-8")))
        assert named <= source_tags(), page.name
