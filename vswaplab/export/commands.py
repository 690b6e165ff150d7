"""``vswaplab html``: the site, or notebooks as self-contained pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from vswaplab.export.notebooks import find_notebooks
from vswaplab.export.one_page import export_notebooks
from vswaplab.folders import usable_folders

__all__ = ["add_commands"]

_ROOT = Path(__file__).resolve().parent.parent.parent


def _html(args: argparse.Namespace) -> int:
    with TemporaryDirectory(prefix="vswaplab-html-") as instead:  # for Jupyter's files, where there is no usable home
        usable_folders(Path(instead))
        return _write(args)


def _write(args: argparse.Namespace) -> int:
    if args.notebook is None and args.notebooks is None:
        from vswaplab.export.site import build_site

        print(build_site(_ROOT if (_ROOT / "docs").is_dir() else Path.cwd(), args.out or Path("build/html")))
        return 0
    beside = _ROOT / "notebooks"
    folder = args.notebooks or (beside if beside.is_dir() else Path("notebooks"))
    for path in export_notebooks(find_notebooks(folder, args.notebook), args.out or Path("build/pages")):
        print(path)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab html`` to the command line."""
    parser = commands.add_parser(
        "html", help="build the site from the notebooks, or write notebooks as one self-contained file each"
    )
    parser.add_argument(
        "--notebook", metavar="N", help="one file for each notebook whose name begins with N, such as 01"
    )
    parser.add_argument("--notebooks", type=Path, metavar="DIR", help="one file for each notebook in this folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: build/html (the site), build/pages (files)")
    parser.set_defaults(run=_html)
