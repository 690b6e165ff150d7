"""Lessons without a kernel: the site of `make html`, and one notebook as one file."""

from __future__ import annotations

from vswaplab.export.commands import add_commands
from vswaplab.export.notebooks import execute, find_notebooks
from vswaplab.export.one_page import export_notebooks, to_html
from vswaplab.export.static_outputs import CONTROLS_NOTE

__all__ = ["CONTROLS_NOTE", "add_commands", "execute", "export_notebooks", "find_notebooks", "to_html"]
