"""Building the site: notebooks executed, sources laid out as the repository has them, Sphinx run over them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vswaplab.entry import Backing
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.export.notebooks import execute_all, find_notebooks
from vswaplab.export.site.api import with_modules
from vswaplab.export.site.front import front_page, lesson_cards
from vswaplab.export.site.lessons import described, lesson
from vswaplab.figures.palette import THEMES, Theme
from vswaplab.strict import path_of, shown
from vswaplab.widgets.esm import page_script, stylesheet

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["build_site", "built_from", "palette_files", "write_sources"]

_HERE = Path(__file__).resolve().parent
_STATIC = _HERE / "static"
_ABOUT = {"10_your_machine": "The computer of this page is the one that built it; in the lab it is yours."}
"""What else is to be said of a lesson as a page."""
_NEEDS = (
    "Building the site needs Sphinx, myst-nb and pydata-sphinx-theme; install them with: pip install 'vswaplab[site]'"
)


def build_site(root: str | Path, out: str | Path, work: str | Path | None = None) -> Path:
    """Build the site of the checkout `root` into the folder `out`; return its first page.

    `work` (default: ``build`` in the checkout) keeps executed notebooks and Sphinx's own files, for the next time.
    InvalidArgument for what is no checkout, or naming the notebook that fails or what Sphinx warns of.
    """
    root, out = path_of(root, "A folder").resolve(), path_of(out, "A folder").resolve()
    work = path_of(work, "A folder").resolve() if work is not None else root / "build"
    if not (root / "docs" / "conf.py").is_file():
        raise NotFound(f"There is no docs/conf.py in {shown(root)}; run this in a checkout of vswaplab.")
    executed = {
        path.stem: notebook for path, notebook in execute_all(find_notebooks(root / "notebooks"), work / "executed")
    }
    sources = work / "site"
    if (out / ".buildinfo").exists():  # a site of ours: none of its pages outlives what it was made from
        shutil.rmtree(out)
    write_sources(root, sources, executed)
    _run_sphinx(root / "docs", sources, out, work / "doctrees")
    return out / "index.html"


def write_sources(root: Path, sources: Path, executed: dict[str, NotebookNode]) -> None:
    """Write the site's sources: the same folders as in the repository, so that links among its files hold."""
    import nbformat
    from plotly.offline import get_plotlyjs

    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(root / "docs", sources / "docs", ignore=shutil.ignore_patterns("conf.py", "__pycache__"))
    for page in (sources / "docs" / "api").glob("*.md"):
        page.write_text(with_modules(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("CHANGELOG.md", "deploy/jupyterhub/README.md"):
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, sources / name)
    (sources / "notebooks").mkdir()
    extra = sources / "_extra" / "_downloads"
    extra.mkdir(parents=True)
    for name, notebook in executed.items():
        page = lesson(notebook, name, _ABOUT.get(name, ""))
        nbformat.write(page, sources / "notebooks" / f"{name}.ipynb")
        shutil.copyfile(root / "notebooks" / f"{name}.ipynb", extra / f"{name}.ipynb")
    lessons = described(executed)
    (sources / "index.md").write_text(front_page(lessons), encoding="utf-8")
    listed = sources / "docs" / "site" / "lessons.md"
    cards = lesson_cards(lessons, "../../")
    listed.write_text(listed.read_text(encoding="utf-8").replace("<!-- cards -->", cards), encoding="utf-8")
    static = sources / "_static"
    shutil.copytree(_STATIC, static)
    for name, text in palette_files().items():
        (static / name).write_text(text + (_STATIC / name).read_text(encoding="utf-8"), encoding="utf-8")
    (static / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    (static / "views.js").write_text(page_script(), encoding="utf-8")
    (static / "views.css").write_text(stylesheet(), encoding="utf-8")


def palette_files() -> dict[str, str]:
    """Return what goes before a file of the site so that it has the colours of the figures' palette."""
    colours = {name: _colours(theme) for name, theme in THEMES.items()}
    css = "".join(
        f'html[data-theme="{name}"] {{ {" ".join(f"--vs-{key}: {value};" for key, value in colours[name].items())} }}\n'
        for name in ("light", "dark")
    )
    keyed = {name: {colours["auto"][key]: value for key, value in found.items()} for name, found in colours.items()}
    return {"site.css": css, "site.js": f"const PALETTES = {json.dumps(keyed)};\n"}


def _colours(theme: Theme) -> dict[str, str]:
    marks = {
        "text": theme.text,
        "faint": theme.faint,
        "pte": theme.pte,
        "highlight": theme.highlight,
        "broken": theme.broken,
    }
    return {**marks, **{backing.name.lower(): theme.backing[backing] for backing in Backing}}


def built_from(root: Path, version: str) -> str:
    """Return what a page was built from: `version`, with the commit if the checkout `root` has one."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}, commit {found}" if found else version


def _run_sphinx(conf: Path, sources: Path, out: Path, doctrees: Path) -> None:
    try:
        import myst_nb  # noqa: F401  (asked for by name in conf.py: say what is missing before Sphinx does)
        import pydata_sphinx_theme  # noqa: F401
        from sphinx.application import Sphinx
        from sphinx.errors import SphinxError
        from sphinx.util.console import nocolor
    except ImportError as error:
        raise InvalidArgument(_NEEDS) from error
    if not sys.stderr.isatty():
        nocolor()
    try:
        app = Sphinx(
            str(sources),
            str(conf),
            str(out),
            str(doctrees),
            "html",
            {"html_static_path": [str(sources / "_static")], "html_extra_path": [str(sources / "_extra")]},
            status=None,
            warning=sys.stderr,
            warningiserror=True,
        )
        app.build()
    except SphinxError as error:
        raise InvalidArgument(f"The site could not be built: {error}") from error
    if app.statuscode:
        raise InvalidArgument("The site was built with warnings; see above, and mend what they name.")
