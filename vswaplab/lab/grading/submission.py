"""Submissions: notebooks in nbgrader's format, what of them is the learner's code, and student versions of masters.

A master marks its solutions and hidden tests with nbgrader's comments. `student_version` takes them out as nbgrader's
``ClearSolutions`` and ``ClearHiddenTests`` do; the cells' metadata are nbgrader's too (schema 3), so that nbgrader can
release and collect the same files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat

from vswaplab.errors import InvalidArgument
from vswaplab.strict import read_bounded, shown

__all__ = ["MAX_BYTES", "STUB", "lab_of", "read_notebook", "source_of", "student_version"]

MAX_BYTES = 1 << 24
STUB = "raise NotImplementedError  # write this"
"""What stands where a solution was."""
_SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION[^\n]*$", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS[^\n]*\n?", re.MULTILINE | re.DOTALL)


def read_notebook(path: Path) -> Any:
    """Return a notebook; InvalidArgument in one sentence if the file is none."""
    raw = read_bounded(path, MAX_BYTES, "notebook")
    try:
        notebook = nbformat.reads(raw.decode("utf-8"), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        raise InvalidArgument(f"{shown(path.name)} is not a notebook; hand in the .ipynb file itself.") from error
    return notebook


def lab_of(notebook: Any) -> str:
    """Return the lab a notebook is of, "" if it does not say."""
    return str(notebook.metadata.get("vswaplab", {}).get("lab", ""))


def source_of(notebook: Any) -> str:
    """Return the learner's code: the cells that nbgrader's metadata call solutions, one after the other.

    InvalidArgument if there is none: then its metadata were lost.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [cell.source for cell in cells if cell.metadata.get("nbgrader", {}).get("solution")]
    if not found:
        raise InvalidArgument("No cell is marked as a solution: hand in the notebook that you were given.")
    return "\n\n".join(line for source in found for line in (_without_magic(source),))


def _without_magic(source: str) -> str:
    """Return code without lines that only IPython understands."""
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))


def student_version(notebook: Any) -> Any:
    """Return a notebook without solutions, hidden tests and outputs; InvalidArgument if a mark is not closed."""
    made = nbformat.from_dict(notebook)
    for cell in made.cells:
        cell.source = _HIDDEN.sub("", _SOLUTION.sub(lambda match: match[1] + STUB, cell.source)).rstrip("\n")
        if "### BEGIN" in cell.source or "### END" in cell.source:
            raise InvalidArgument(f"A mark of nbgrader's is not closed in this cell: {cell.source[:80]!r}.")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made
