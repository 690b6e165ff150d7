"""The right answer of each question is what a run of the library says, for whatever numbers the question has drawn."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from answerkit import RUNS

from vswaplab.lab import fresh
from vswaplab.lab.checking import Kind, check
from vswaplab.lab.questions import Choose, Explain, Number, Order, Question

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
ASKING = ("choose", "explain", "number", "order")


def asking_cells() -> dict[str, list[str]]:
    """Return, for each question with an answer, the notebook's setup and the cells that ask, up to its own."""
    found = {}
    for path in NOTEBOOKS:
        asking = []
        code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for source in code:
            for name in ASKING:
                _, called, rest = source.partition(f'{name}(\n    "')
                if called and (source.startswith(name) or f"\n{name}(" in source):
                    asking.append(source)
                    found[rest.split('"')[0]] = [code[0], *asking]
    return found


CELLS = asking_cells()


@cache
def names_of(setup: str) -> dict[str, Any]:
    """Return what a notebook's first cell defines."""
    names: dict[str, Any] = {}
    exec(compile(setup, "setup", "exec"), names)
    return names


def asked(question: str, seed: int) -> tuple[Question, dict[str, Any]]:
    """Return a question as a reader with this seed is asked it, and what its cell has drawn."""
    setup, *cells = CELLS[question]
    made: list[Question] = []

    def choose(id: str, prompt: str, options: Any, *, answer: str = "", **help: Any) -> None:
        right = answer or next(option for option, said in options.items() if said is True)
        told = {option: "" if said is True else said for option, said in options.items()}
        made.append(Choose(id=id, prompt=prompt, options=told, right=right, **help))

    def number(id: str, prompt: str, answer: float, **more: Any) -> None:
        made.append(Number(id=id, prompt=prompt, answer=answer, **more))

    def order(id: str, prompt: str, items: Any, **more: Any) -> None:
        made.append(Order(id=id, prompt=prompt, items=items, **more))

    def explain(id: str, prompt: str, rubric: Any, **more: Any) -> None:
        made.append(Explain(id=id, prompt=prompt, rubric=rubric, **more))

    names = dict(names_of(setup)) | {
        "choose": choose,
        "number": number,
        "order": order,
        "explain": explain,
        "fresh": lambda id: fresh(id, seed),
        "top": SimpleNamespace(mean=2.43, base_mean=1.0),  # of a run above the cell, for its words alone
    }
    for source in cells:
        exec(compile(source, question, "exec"), names)
    assert made[-1].id == question
    return made[-1], names


def test_every_question_with_an_answer_has_a_run() -> None:
    assert len(CELLS) >= 2 * len(NOTEBOOKS)
    assert set(RUNS) == set(CELLS)


@pytest.mark.parametrize(
    ("question", "seed"),
    [(name, seed) for name, cells in CELLS.items() for seed in ((0, 1, 2) if "fresh(" in cells[-1] else (0,))],
)
def test_the_right_answer_is_what_a_run_says(question: str, seed: int) -> None:
    one, drawn = asked(question, seed)
    says = RUNS[question](drawn)
    match one:
        case Choose():
            assert says == one.right
        case Number():
            assert one.answer is not None
            assert check(one, f"{says:.9g}").kind is Kind.CORRECT, f"the run says {says:g}, the notebook {one.answer:g}"
            assert not any(math.isclose(says, each) for each in one.near)
        case Order():
            assert says == list(one.items)
        case Explain():
            assert says == [True] * len(one.rubric), dict(zip(one.rubric, says, strict=True))
