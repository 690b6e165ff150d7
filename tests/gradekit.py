"""A course lab of one line, and notebooks of it: what the tests of grading share."""

from __future__ import annotations

from typing import Any

import nbformat

from vswaplab.lab.grading.model import Check, Lab

GOOD = "def double(x):\n    return x * 2"
"""The one right answer."""


def equal(student: Any, wanted: Any, *args: Any) -> None:
    found = student.call("double", *args)
    if found != wanted:
        raise AssertionError(f"double({args[0]!r}) is {found!r}, not {wanted!r}")  # pytest would add words to an assert


DOUBLE = Lab(
    "double",
    "Double it",
    ("double",),
    (
        Check("of-two", 2, True, lambda student: equal(student, 4, 2), "double of 2"),
        Check("of-text", 3, False, lambda student: equal(student, "abab", "ab"), "double of text"),
    ),
    minutes=1,
    hardness="*",
    score=lambda student: float(student.call("double", 21)),
)
"""A lab of one line: double a number, or text."""


def notebook(source: str, lab: str = "double") -> Any:
    cell = nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"solution": True, "grade_id": "double"}})
    return nbformat.v4.new_notebook(cells=[cell], metadata={"vswaplab": {"lab": lab}})
