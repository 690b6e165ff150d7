"""Where the designs stand in Linux: told in one place, and nowhere else in other words."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from vswaplab import status
from vswaplab.errors import InvariantError, NotFound
from vswaplab.export.site.front import front_page, journey_html

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))

# Written down here a second time, from the postings and the lists of changes that went into mainline.
TAKEN = {
    "7.0": (2, date(2026, 2, 11), {"SWAP_HAS_CACHE", "skip-swapcache"}),
    "7.1": (3, date(2026, 4, 13), {"swap_map", "continuation"}),
    "7.2": (4, date(2026, 6, 18), {"swap_cgroup", "zeromap"}),
}


def told(path: Path, *kinds: str) -> str:
    """Return the text of a file with single spaces; of a notebook its markdown, or also its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] in (kinds or ("markdown",)))
    return " ".join(re.sub(r"^> ?", "", text, flags=re.MULTILINE).split())


def flat(markdown: str) -> str:
    return " ".join(re.sub(r"^> ?", "", markdown, flags=re.MULTILINE).split())


def test_the_state_is_that_of_the_postings_and_of_mainline() -> None:
    status.check()
    assert status.BASE == "6.19"
    assert {each.release: (each.phase, each.taken, set(each.gone)) for each in status.MAINLINE} == TAKEN
    assert [(each.version, each.posted, each.patches, each.merged) for each in status.POSTINGS] == [
        (6, date(2026, 5, 5), 22, False),
        (5, date(2026, 9, 18), 11, False),
    ]
    assert date(2026, 10, 11) == status.AS_OF


@pytest.mark.parametrize(
    ("releases", "said"),
    [
        (status.MAINLINE[::-1], "later than the one before"),
        ((replace(status.MAINLINE[0], release="seven"), *status.MAINLINE[1:]), "each release is a number"),
        ((replace(status.MAINLINE[0], release="6.18"), *status.MAINLINE[1:]), "than the base"),
        ((*status.MAINLINE[:2], replace(status.MAINLINE[2], taken=date(2027, 1, 1))), "none is after the day"),
        ((*status.MAINLINE[:2], replace(status.MAINLINE[2], gone=("swap_map",))), "a structure goes once"),
        ((*status.MAINLINE[:2], replace(status.MAINLINE[2], source="LWN")), "every source is a tag"),
        ((*status.MAINLINE[:2], replace(status.MAINLINE[2], phase=5)), "phases follow one another"),
    ],
)
def test_a_state_that_can_t_be_is_named(
    releases: tuple[status.Release, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "MAINLINE", releases)
    with pytest.raises(InvariantError, match=said):
        status.check()


def test_every_source_of_the_state_is_listed() -> None:
    listed = set(re.findall(r"^\| (S\d+) \|", (ROOT / "docs/sources.md").read_text(encoding="utf-8"), re.MULTILINE))
    said = " ".join((status.box(), status.MAINLINE_SINCE, status.STILL, status.CHARGING))
    assert set(re.findall(r"\[(S\d+)\]", said)) <= listed
    assert {each.source for each in (*status.MAINLINE, *status.POSTINGS)} <= listed


# What these files say is what the module says. They are read before anything runs, so they can't call it.
SAID = [
    ("notebooks/00_start_here.ipynb", "box"),
    ("notebooks/01_a_page_goes_out.ipynb", "box"),
    ("notebooks/02_the_world_before.ipynb", "MAINLINE_SINCE"),
    ("notebooks/02_the_world_before.ipynb", "STILL"),
    ("notebooks/04_zswap_decoupled.ipynb", "CHARGING"),
    ("notebooks/06_overhead.ipynb", "MAINLINE_SINCE"),
    ("notebooks/08_sharing_and_lifetime.ipynb", "CHARGING"),
    ("notebooks/09_the_debate.ipynb", "LAST_POSTINGS"),
    ("notebooks/09_the_debate.ipynb", "STANDING"),
    ("notebooks/09_the_debate.ipynb", "MAINLINE_SINCE"),
    ("notebooks/09_the_debate.ipynb", "STILL"),
    ("README.md", "STANDING"),
    ("README.md", "LAST_POSTINGS"),
    ("README.md", "MAINLINE_SINCE"),
    ("README.md", "STILL"),
    ("docs/glossary.md", "STANDING"),
    ("docs/facts.md", "STANDING"),
    ("docs/facts.md", "LAST_POSTINGS"),
    ("docs/facts.md", "MAINLINE_SINCE"),
    ("docs/facts.md", "STILL"),
]


@pytest.mark.parametrize(("file", "name"), SAID)
def test_a_text_says_what_the_module_says(file: str, name: str) -> None:
    wanted = status.box() if name == "box" else getattr(status, name)
    assert flat(wanted) in told(ROOT / file)


@pytest.mark.parametrize("name", ["00", "01"])
def test_the_dated_box_stands_at_the_top(name: str) -> None:
    (path,) = (ROOT / "notebooks").glob(f"{name}_*.ipynb")
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    assert status.box() in first.partition("**After this notebook you can**")[0]


def test_the_front_page_says_where_the_series_stands() -> None:
    page = front_page([])
    assert status.box() in page
    assert page.index(status.box()) < page.index("<!-- journey -->")
    assert f"<b>{status.BASE_NAME}.</b>" in journey_html()


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_ends_with_where_the_series_stands(path: Path) -> None:
    about = told(path, "markdown", "code").partition("## About")[2]
    assert "{STANDING}" in about.partition("## Testing")[0]


def test_the_glossary_says_since_when_mainline_does_without_a_structure() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    for release in status.MAINLINE:
        for name in release.gone:
            entry = next(each for each in text.split("\n\n") if name in each and "Gone from mainline" in each)
            assert status.gone(name) in entry, name
    with pytest.raises(NotFound, match="Mainline still has 'swap_table'"):
        status.gone("swap_table")


@pytest.mark.parametrize(("name", "part"), [("04", "## 5."), ("08", "## 8.")])
def test_the_dispute_on_charging_stands_where_the_rule_is_taught(name: str, part: str) -> None:
    (path,) = (ROOT / "notebooks").glob(f"{name}_*.ipynb")
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    taught = next(cell for cell in cells if cell.startswith(part))
    assert taught.index("[S17]") < taught.index(status.CHARGING)
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    entry = next(each for each in glossary.split("\n\n") if each.startswith("swap charge"))
    assert "Legacy: every page that is out" in entry
    assert "disputed [S44]" in entry


# -- words that would tie the texts to a day ---------------------------------------------------------------------------

DATED = re.compile(
    r"\b(today(?:'s)?|until now|until then|nowadays|swap table's next phase|not merged yet|the old way)\b",
    re.IGNORECASE,
)
OF_A_KERNEL = re.compile(r"6\.19|Linux|mainline|kernel")
"""In the library "until then" is mostly said of a moment of a run; a lesson has to be read to tell."""
TREE = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "notebooks").rglob("*.ipynb")),
    *sorted((ROOT / "data").glob("*.md")),
    *sorted(path for kind in ("py", "js", "json") for path in (ROOT / "vswaplab").rglob(f"*.{kind}")),
]
TRUE = {
    "notebooks/07_allocation.ipynb": "Until then it keeps its header",  # until the cluster's last slot is freed
    "docs/corrections.md": "",  # quotes what was said
}
"""Where such a word is true whatever the day: by file, the words around it; all of a file that quotes."""


def test_no_text_says_today_of_a_kernel_of_some_day() -> None:
    """6.19 is the base of the series: what a text says of it must not become false with the next release."""
    found, used = [], set()
    for path in TREE:
        name = path.relative_to(ROOT).as_posix()
        for line in path.read_text(encoding="utf-8").splitlines():
            word = DATED.search(line)
            of_a_run = word and path.suffix in (".py", ".js") and word[0].lower() == "until then"
            if word and not (of_a_run and not OF_A_KERNEL.search(line)):
                if name in TRUE and TRUE[name] in line:
                    used.add(name)
                else:
                    found.append(f"{name}: {line.strip()[:140]}")
    assert found == []
    assert used | {"docs/corrections.md"} == set(TRUE)  # what is not needed any more is struck off
