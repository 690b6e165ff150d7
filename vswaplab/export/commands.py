"""``vswaplab html``: the site, or notebooks as self-contained pages."""

from __future__ import annotations

import argparse
from pathlib import Path

from vswaplab.export.notebooks import find_notebooks
from vswaplab.export.one_page import export_notebooks

__all__ = ["add_commands"]


def _default_folder() -> Path:
    """Return the checkout's notebooks, or those of the current folder for an installed package."""
    beside = Path(__file__).resolve().parent.parent.parent / "notebooks"
    return beside if beside.is_dir() else Path("notebooks")


def _html(args: argparse.Namespace) -> int:
    for path in export_notebooks(find_notebooks(args.notebooks or _default_folder(), args.notebook), args.out):
        print(path)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab html`` to the command line."""
    parser = commands.add_parser("html", help="execute the notebooks and write standalone pages")
    parser.add_argument("--notebook", metavar="N", help="only notebooks whose name begins with N, such as 01")
    parser.add_argument("--notebooks", type=Path, metavar="DIR", help="folder of the notebooks")
    parser.add_argument("--out", type=Path, default=Path("build/html"), metavar="DIR", help="default: build/html")
    parser.set_defaults(run=_html)
