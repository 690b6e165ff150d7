"""What the lab once said of Linux and is not so: no lesson, page or line of the library says it again.

Each row is a pattern, what is true instead with its source, and the files that may use the words for something else.
`docs/corrections.md` and the changelog tell of the errors themselves and are not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent


class Claim(NamedTuple):
    """A pattern of words, why it is not so, and where the words mean something else."""

    pattern: str
    instead: str
    but: tuple[str, ...] = ()


CLAIMS = [
    Claim(
        r"boot[ -]?loader",
        "a restore kernel reads the image of a hibernated machine, and zswap's pool is in the image [S46]",
        ("vswaplab/backends/swap_header.py",),  # the first 1,024 bytes of a swap device are left to one
    ),
    Claim(
        r"no free page is left|when free pages run out|want of free pages",
        "reclaim begins below a watermark, at a group's limit, or when it is asked for [BACKGROUND]",
    ),
    Claim(
        r"wanted again soon after|soon after its eviction|missed so soon|a page that was missed from one",
        "workingset_refault counts every page that comes back; only workingset_activate looks at how soon [S47]",
    ),
    Claim(
        r"every page table of every process|walks? all page tables|every table of every process|every page table in it",
        "swapoff walks the address spaces that ever swapped, newest first, until the device is empty [S14]",
        ("vswaplab/lab/grading/swapoff_lab.py",),  # a function that does walk them all
    ),
    Claim(
        r"still have their place on swap|SwapCached is a page that has both|in memory, that also has its slot",
        "SwapCached counts the whole swap cache: with no device left, a virtual machine has some [S10]",
    ),
    Claim(r"leaves zeros zeros", "the last holder's fault frees a ZERO entry; it is found zero again [S13]"),
    Claim(
        r"used counts pages that went out|that nobody has touched since\. |not wanted since\": ",
        "Used counts slots, also those that pages in memory have kept [S20]",
    ),
    Claim(
        r"searched for a run of their order without success", "frag: neither empty nor full after an allocation [S20]"
    ),
    Claim(r"more than one page that is mapped as one", "an mTHP is mapped by page table entries [BACKGROUND]"),
    Claim(r"Today only pages of zeros", "zram keeps any same-filled page [S25]"),
    Claim(r"a virtual slot costs nothing until it gets one", "said of one design only, and disputed [S17][S44]"),
    Claim(r"only of idle or incompressible pages", "zram also writes huge pages and single ones back [BACKGROUND]"),
    Claim(r"slots run out first, whatever the pool could take", "only where the swapfile is small: lesson 04, part 2"),
    Claim(r"empty after the machine was off|is of no use to it", "zswap's pool is in the image and comes back [S46]"),
]


def texts() -> dict[str, str]:
    """Return all that a reader may read, by the file's path: notebooks without their JSON, white space as one blank."""
    found = {}
    for pattern in ("*.md", "docs/**/*.md", "notebooks/**/*.ipynb", "vswaplab/**/*.py", "vswaplab/**/*.js"):
        for path in ROOT.glob(pattern):
            name = str(path.relative_to(ROOT))
            if name in ("CHANGELOG.md", "docs/corrections.md"):
                continue
            if path.suffix == ".ipynb":
                text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
                text = re.sub(r'"\s*\n\s*f?"', "", text)  # sentences that the formatter has cut
            else:
                text = path.read_text(encoding="utf-8")
            found[name] = re.sub(r"\s+", " ", text)
    return found


TEXTS = texts()


def test_notebooks_pages_and_the_library_are_read() -> None:
    read = {Path(name).suffix for name in TEXTS}
    assert read == {".md", ".ipynb", ".py", ".js"}
    assert len([name for name in TEXTS if name.startswith("notebooks/")]) > 10


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.pattern)
def test_nobody_says_it_again(claim: Claim) -> None:
    said = {
        name: text[max(0, found.start() - 60) : found.end() + 60]
        for name, text in TEXTS.items()
        if name not in claim.but
        for found in re.finditer(claim.pattern, text, re.IGNORECASE)
    }
    assert said == {}, claim.instead


def test_the_loop_that_misses_every_page_is_the_models() -> None:
    """Strict order of two lists is a model's; batches, pages passed by and MGLRU make a real number lower."""
    words = TEXTS["notebooks/08_sharing_and_lifetime.ipynb"]
    asked = words.partition('"08/missed"')[2]
    assert re.search(r"in each round, in this model\?", asked)
    assert "MGLRU" in asked
    assert re.search(r"loop a little too large misses every page\. So it is in this model", words)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.pattern)
def test_a_file_that_may_use_the_words_does(claim: Claim) -> None:
    assert [name for name in claim.but if not re.search(claim.pattern, TEXTS[name], re.IGNORECASE)] == []
