"""The questions of the notebooks: named by their notebook, none twice, each prediction answered, some with hints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
ASKING = {"choose", "explain", "number", "order", "predict", "task"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a function by its name, in the order of cells."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
            for node in sorted(found, key=lambda each: each.lineno):
                if isinstance(node.func, ast.Name | ast.Attribute):
                    yield node.func.id if isinstance(node.func, ast.Name) else f".{node.func.attr}", node


def question_id(call: ast.Call) -> str:
    assert isinstance(call.args[0], ast.Constant)
    return str(call.args[0].value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_questions_are_named_by_their_notebook_and_none_twice(path: Path) -> None:
    ids = [question_id(call) for name, call in calls(path) if name in ASKING]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(rf"{path.name[:2]}/[a-z0-9-]+", each) for each in ids)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_prediction_is_answered_by_a_run(path: Path) -> None:
    names = [name for name, _ in calls(path)]
    assert names.count("predict") == names.count(".reveal") > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_some_questions_have_hints_and_a_solution(path: Path) -> None:
    helped = [
        call
        for name, call in calls(path)
        if name in ASKING and {"hints", "solution"} <= {keyword.arg for keyword in call.keywords}
    ]
    assert len(helped) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_code_of_a_question_is_folded(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and re.search(rf"\b({'|'.join(ASKING)})\(\s*\"\d\d/", cell.source):
            assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.id
