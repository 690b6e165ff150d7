"""Notebooks are committed without what running them leaves behind, and end as the others do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


def leftovers(path: Path) -> list[str]:
    """Return what running `path` left in it: outputs, execution counts, widget states."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = ["widget state"] if "widgets" in notebook["metadata"] else []
    for number, cell in enumerate(notebook["cells"]):
        found += [f"cell {number}: outputs"] if cell.get("outputs") else []
        found += [f"cell {number}: execution count"] if cell.get("execution_count") is not None else []
    return found


def test_leftovers_are_seen(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("1", execution_count=3, outputs=[nbformat.v4.new_output("stream", text="1")])
    path = tmp_path / "used.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}}), path)
    assert leftovers(path) == ["widget state", "cell 0: outputs", "cell 0: execution count"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_without_outputs(path: Path) -> None:
    assert leftovers(path) == []
    command = [sys.executable, "-m", "nbstripout", "--verify", "--keep-id", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_valid_and_names_the_kernel(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_ends_with_about_and_testing(path: Path) -> None:
    headings = [
        line.lstrip("# ").strip()
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    ]
    assert headings[-2:] == ["About", "Testing"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_says_how_long_it_takes_and_it_is_under_an_hour(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0].source
    minutes = [int(found[1]) for found in re.finditer(r"^\| .+ \| (\d+) \|$", first, re.MULTILINE)]
    assert len(minutes) >= 3
    assert sum(minutes) < 60


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_defines_no_algorithms(path: Path) -> None:
    """A cell calls the library; it does not define classes, and no function longer than a screen's quarter."""
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [source for source in code if source.lstrip().startswith("class ")] == []
