"""A class of learners, honest and hostile, made from a seed: what each hands in, and the row that it must get.

``python tests/gradefarm.py ARGS…`` is ``vswaplab ARGS…`` with one lab more, `FARM`.
"""

from __future__ import annotations

import copy
import csv
import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Annotated, Any

from vswaplab.lab.grading.labs import LABS
from vswaplab.lab.grading.model import Check, Lab
from vswaplab.lab.grading.signature import Host, Range

CANARY = "canary-of-whoever-grades"
"""Stands in the environment and the paths of whoever grades; no submission may find it."""
HIDDEN_INPUT = "input-of-a-hidden-check"
LABS_FOLDER = Path(__file__).resolve().parent.parent / "notebooks" / "labs"
MARKED = {"nbgrader": {"grade": False, "grade_id": "s", "locked": False, "schema_version": 3, "solution": True}}
_LOCKED = {"nbgrader": {"grade": True, "grade_id": "t", "locked": True, "points": 5, "schema_version": 3}}
Tree = dict[str, Any]


# -- a lab of two functions --------------------------------------------------------------------------------------------


class _Numbers:
    def __init__(self, numbers: list[int]) -> None:
        self._numbers = numbers

    def count(self) -> int:
        return len(self._numbers)

    def number(self, at: Annotated[int, Range(0, 99)]) -> int:
        return self._numbers[at]


def _equal(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


def _total(student: Any, numbers: list[int]) -> None:
    _equal(student.call("total", Host(_Numbers(numbers), ("count", "number"))), sum(numbers), "total()")


FARM = Lab(
    "farm",
    "Double and total",
    ("double", "total"),
    (
        Check("of-two", 2, True, lambda student: _equal(student.call("double", 2), 4, "double(2)"), "double of 2"),
        Check("total", 3, True, lambda student: _total(student, [3, 4, 5]), "the total of three numbers"),
        Check(
            "of-text",
            3,
            False,
            lambda student: _equal(student.call("double", HIDDEN_INPUT), 2 * HIDDEN_INPUT, "double of text"),
            "double of text",
        ),
        Check("total-of-none", 2, False, lambda student: _total(student, []), "the total of no numbers"),
    ),
    minutes=1,
    hardness="*",
)
_DOUBLE = "def double(x):\n    return x + x"
_TOTAL = "def total(numbers):\n    return sum(numbers.number(at) for at in range(numbers.count()))"


def lab_named(name: str) -> Lab:
    return FARM if name == FARM.name else LABS[name]


def cell(source: str, metadata: Mapping[str, Any] | None = None, kind: str = "code", **more: Any) -> Tree:
    made: Tree = {"cell_type": kind, "metadata": copy.deepcopy(dict(metadata or {})), "source": source}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made | more


def right(lab: Lab) -> Tree:
    """Return a right notebook of a lab, version 4.4 of the format: cells need no id there."""
    if lab is not FARM:
        made: Tree = json.loads((LABS_FOLDER / f"{lab.name}.ipynb").read_text(encoding="utf-8"))
        for each in made["cells"]:
            each.pop("id", None)
            each["source"] = "".join(each["source"])
        return {**made, "nbformat_minor": 4}
    cells = [
        cell("# Double and total", kind="markdown"),
        cell(_DOUBLE, MARKED),
        cell(_TOTAL, MARKED),
        cell("assert double(2) == 4", _LOCKED),
    ]
    return {"cells": cells, "metadata": {"vswaplab": {"lab": lab.name}}, "nbformat": 4, "nbformat_minor": 4}


def solution_cells(tree: Tree) -> list[Tree]:
    return [each for each in tree["cells"] if each["metadata"].get("nbgrader", {}).get("solution") is True]


def before(tree: Tree, source: str) -> Tree:
    """Put code before the first solution."""
    first = solution_cells(tree)[0]
    first["source"] = f"{source}\n{first['source']}"
    return tree


def after(tree: Tree, source: str) -> Tree:
    """Put code after the last solution."""
    last = solution_cells(tree)[-1]
    last["source"] = f"{last['source']}\n{source}"
    return tree


def own_cell(tree: Tree, source: str, at: int = 0) -> Tree:
    """Put a cell of the learner's own before that of the first solution."""
    place = tree["cells"].index(solution_cells(tree)[0])
    tree["cells"].insert(place + at, cell(source))
    return tree


def _is_class(name: str) -> bool:
    return name[0].isupper()


def in_calls(lab: Lab, body: str) -> str:
    """Return code, to stand after the solution, that runs `body` in each call, with ``args``; then it is right."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    made = [f"def _each(args):\n{lines}"]
    for name in lab.entry:
        if _is_class(name):
            made += [f"_{name} = {name}", f"class {name}(_{name}):", "    def __init__(self, *args):"]
            made += ["        _each(args)", "        super().__init__(*args)"]
        else:
            made += [f"def {name}(*args, _old={name}):", "    _each(args)", "    return _old(*args)"]
    return "\n".join(made)


def returning(lab: Lab, value: str) -> str:
    """Return code, to stand after the solution, that returns a value from each call."""
    made = []
    for name in lab.entry:
        if _is_class(name):
            made += [f"class {name}:", "    def __init__(self, *args):\n        pass"]
            made += [f"    def __getattr__(self, name):\n        return lambda *args: {value}"]
        else:
            made += [f"def {name}(*args):\n    return {value}"]
    return "\n".join(made)


# -- what is handed in, and what must come of it -----------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What must stand in a row of results."""

    points: tuple[int, int]
    """From, to; both included."""
    reason: str = "^$"
    """A pattern that is found in the reason."""


@dataclass(frozen=True)
class Case:
    """One that hands something in."""

    kind: str
    name: str
    """The row's."""
    row: Row
    put: Callable[[Path], None] = field(repr=False)
    """Writes what is handed in below a folder."""
    hostile: bool = False

    def wrong(self, found: Mapping[str, str] | None) -> str:
        """Return what is wrong with the row that it got, "" if it is right."""
        if found is None:
            return f"{self.kind}: no row {self.name!r}"
        low, high = self.row.points
        if low <= int(found["points"]) <= high and re.search(self.row.reason, found["reason"]):
            return ""
        return f"{self.kind} ({self.name!r}): {found['points']} points, {found['reason']!r}; should be {self.row}"


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wrong_rows(cases: Iterable[Case], rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what is wrong with results: rows that are missing, twice there, nobody's, or not as they must be."""
    cases, rows = list(cases), list(rows)
    names = [row["submission"] for row in rows]
    said = [f"{name!r} has two rows" for name in {each for each in names if names.count(each) > 1}]
    said += [f"{name!r} is nobody" for name in set(names) - {case.name for case in cases}]
    found = {row["submission"]: row for row in rows}
    return said + [wrong for case in cases if (wrong := case.wrong(found.get(case.name)))]


def what_leaked(out: Path) -> list[str]:
    """Return the files for learners that hold what no submission may see or tell."""
    told = [*(out / "reports").glob("*"), out / "results.csv"]
    secrets = (CANARY, HIDDEN_INPUT)
    return [str(path) for path in told for secret in secrets if secret in path.read_text(encoding="utf-8")]


def farm(lab: Lab, seed: int = 0, honest: int = 140, hostile: int = 60) -> list[Case]:
    """Return so many that hand something in, the same for a seed; every kind is there if there are enough."""
    from gradehonest import honest_cases
    from gradehostile import hostile_cases

    rng = Random(f"{lab.name}/{seed}")
    made = [
        *honest_cases(lab, rng, honest),
        *(replace(each, hostile=True) for each in hostile_cases(lab, rng, hostile)),
    ]
    names = [case.name.casefold() for case in made]
    assert len(set(names)) == len(names), sorted({each for each in names if names.count(each) > 1})
    return made


def hand_in(cases: Iterable[Case], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        case.put(folder)


def main() -> int:
    from vswaplab import cli

    LABS[FARM.name] = FARM
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal: jobs in the background ignore it
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
