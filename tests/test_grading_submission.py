"""What runs is the notebook: whatever an editor made of the file, whichever cell the code stands in."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from vswaplab.lab.grading.checker import grade_here
from vswaplab.lab.grading.collect import Submission
from vswaplab.lab.grading.limits import Limits
from vswaplab.lab.grading.model import Check, Lab
from vswaplab.lab.grading.submission import MAX_BYTES, handed_in, runnable

GOOD = "def double(x):\n    return x * 2"


def doubles(student: Any) -> None:
    assert student.call("double", 2) == 4


DOUBLE = Lab("double", "Double it", ("double",), (Check("of-two", 2, True, doubles, "of 2"),), 1, "*")


def cell(source: Any, **nbgrader: Any) -> dict[str, Any]:
    metadata = {"nbgrader": nbgrader} if nbgrader else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def book(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    metadata = metadata or {"vswaplab": {"lab": "double"}}
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def raw(*cells: dict[str, Any]) -> bytes:
    return json.dumps(book(*cells)).encode()


def graded(folder: Path, content: bytes, *, unsafe: bool = True, name: str = "anna.ipynb", **limits: Any) -> Any:
    path = folder / name
    path.write_bytes(content)
    return grade_here(Submission("anna", path), DOUBLE, Limits(**{"seconds": 20, **limits}), unsafe=unsafe)


SOLUTION = cell(GOOD, solution=True)
RIGHT: dict[str, list[dict[str, Any]]] = {
    "a helper in a cell of one's own": [
        cell("def twice(x):\n    return x + x"),
        cell("def double(x):\n    return twice(x)", solution=True),
    ],
    "an import in a cell of one's own": [
        cell("import math"),
        cell("def double(x):\n    return math.prod((2, x))", solution=True),
    ],
    "a line that begins with a percent sign": [
        cell("def double(x):\n    y = (7\n  % 5)\n    return x * y", solution=True)
    ],
    "a line that begins with an exclamation mark": [
        cell("def double(x):\n    y = (7\n  != 5)\n    return x * 2 if y else 0", solution=True)
    ],
    "a percent sign in a text": [
        cell('TEXT = """\n%d pages\n!ls\n"""\nassert "%d pages" in TEXT and "!ls" in TEXT\n' + GOOD, solution=True)
    ],
    "a magic in a function": [cell("def double(x):\n    %timeit 1\n    return x * 2", solution=True)],
    "line magics": [cell("%matplotlib inline\n%load_ext autoreload\n!rm -rf /\nfiles = !ls\n" + GOOD, solution=True)],
    "help": [cell("len?\n" + GOOD + "\ndouble??", solution=True)],
    "a timed cell": [cell("%%time\n" + GOOD, solution=True)],
    "a captured, timed cell after empty lines": [cell("\n\n%%capture out\n%%time\n" + GOOD, solution=True)],
    "a cell of the shell": [cell("%%bash\nexit 1"), cell("%%html\n<b>"), SOLUTION],
    "await at the top": [cell("import asyncio\nawait asyncio.sleep(0)\n" + GOOD, solution=True)],
    "a future import, kept for the next cell": [
        cell("from __future__ import annotations"),
        cell("def double(x: Undefined) -> Nowhere:\n    return x * 2", solution=True),
    ],
    "a dataclass and a pattern": [
        cell("from dataclasses import dataclass\n@dataclass\nclass Two:\n    n: int = 2"),
        cell("def double(x):\n    return x * Two().n", solution=True),
    ],
    "the main guard": [
        cell("if __name__ == '__main__':\n    FACTOR = 2"),
        cell("def double(x):\n    return x * FACTOR", solution=True),
    ],
    "numpy's numbers": [cell("import numpy as np\ndef double(x):\n    return np.int64(x) * 2", solution=True)],
    "numpy's truth and floats": [
        cell("import numpy as np\ndef double(x):\n    return [np.int32(x) == 2, np.float64(x)][0] * 4", solution=True)
    ],
    "a cell that fails, as in the notebook": [cell("1 / 0"), cell("this is no Python"), SOLUTION],
    "the right version in a later cell": [
        cell("def double(x):\n    raise NotImplementedError", solution=True),
        cell(GOOD),
    ],
    "locked cells that would fail": [
        cell("raise SystemExit", locked=True),
        SOLUTION,
        cell("1 / 0", grade=True, locked=True),
    ],
    "carriage returns": [cell(GOOD.replace("\n", "\r\n"), solution=True)],
    "a source of lines": [cell(GOOD.splitlines(keepends=True), solution=True)],
    "output by the megabyte": [
        {**SOLUTION, "outputs": [{"output_type": "stream", "name": "stdout", "text": "x" * (20 << 20)}]}
    ],
    "keys that nobody knows": [{**SOLUTION, "id": 7, "attachments": [], "extra": {"a": None}}, {"cell_type": "alien"}],
    "a cell without outputs": [{"cell_type": "code", "source": GOOD, "metadata": {"nbgrader": {"solution": True}}}],
    "metadata that are none": [
        {**cell("pass"), "metadata": None},
        {**cell("pass"), "metadata": {"nbgrader": None}},
        SOLUTION,
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_code_is_right_wherever_it_stands(name: str, tmp_path: Path) -> None:
    found = graded(tmp_path, raw(*RIGHT[name]))
    assert (found.reason, found.points) == ("", 2), found


ENCODINGS = {
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_any_encoding_of_editors_is_read(name: str, tmp_path: Path) -> None:
    text = json.dumps(book(cell("# größer, 大\n" + GOOD, solution=True)), indent=1, ensure_ascii=False)
    assert graded(tmp_path, ENCODINGS[name](text)).points == 2


def test_a_zip_of_one_and_the_third_format_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("work/lab.ipynb", raw(SOLUTION))
    assert graded(tmp_path, file.getvalue(), name="anna.zip").points == 2
    assert graded(tmp_path, file.getvalue()).points == 2  # renamed to .ipynb
    third = {
        "metadata": {"vswaplab": {"lab": "double"}},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": GOOD,
                        "language": "python",
                        "outputs": [],
                        "metadata": {"nbgrader": {"solution": True}},
                    }
                ]
            }
        ],
    }
    assert graded(tmp_path, json.dumps(third).encode()).points == 2


def member(nr_bytes: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.ipynb", "w") as out:
        for _ in range(nr_bytes >> 20):
            out.write(bytes(1 << 20))
    return file.getvalue()


def of_three() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.ipynb", raw(SOLUTION))
    return file.getvalue()


NONE = {
    "empty": b"",
    "an essay": b"This is my essay.",
    "null": b"null",
    "a list": b"[]",
    "brackets": b"[" * 200_000,
    "objects": b'{"a":' * 100_000,
    "cut off": raw(SOLUTION)[:-30],
    "cells that are none": json.dumps({**book(), "cells": [1, None]}).encode(),
    "no cells": json.dumps({"nbformat": 4, "metadata": {}}).encode(),
    "cells as an object": json.dumps({**book(), "cells": {"0": SOLUTION}}).encode(),
    "bytes": bytes(range(256)) * 10,
    "a number too long": b'{"cells": [], "nbformat": ' + b"9" * 5000 + b"}",
    "an old version of nothing": json.dumps({"nbformat": 3, "worksheets": 5}).encode(),
    "a zip cut off": of_three()[:200],
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_notebook_is_said_in_one_sentence(name: str, tmp_path: Path) -> None:
    found = graded(tmp_path, NONE[name])
    assert found.points == 0
    assert found.reason.endswith("hand in the .ipynb file itself.")
    assert not found.failed


def test_what_is_too_large_or_of_no_use_is_said(tmp_path: Path) -> None:
    assert "a zip of 3 notebooks" in graded(tmp_path, of_three()).reason
    assert "larger than 128 MiB" in graded(tmp_path, member(200 << 20)).reason
    assert "No cell is marked as a solution" in graded(tmp_path, raw(cell(GOOD))).reason
    assert "MiB of code" in graded(tmp_path, raw(cell("#" * (MAX_BYTES + 1), solution=True))).reason
    assert "source is no text" in graded(tmp_path, raw(cell(7, solution=True))).reason
    other = json.dumps(book(SOLUTION, vswaplab={"lab": "triple"})).encode()
    assert graded(tmp_path, other).reason == "This is a notebook of triple, not of double."
    for lab in ("double", None, 7, ["x"], {"lab": 1}):
        assert graded(tmp_path, json.dumps(book(SOLUTION, vswaplab=lab)).encode()).points == 2
    assert (
        "It can't be read"
        in grade_here(Submission("a", tmp_path, refused="It can't be read."), DOUBLE, Limits()).reason
    )


class TestWhere:
    """Code cells are counted from the top, lines from each cell's first."""

    def test_an_error_names_its_cell_and_line(self, tmp_path: Path) -> None:
        found = graded(tmp_path, raw(cell("pass"), cell("\n\n%%time\ndef double(x):\n    return [][3]", solution=True)))
        assert found.outcomes[0].message == "StudentError: IndexError: list index out of range (cell 2, line 5)"

    def test_so_does_a_syntax_error(self, tmp_path: Path) -> None:
        assert graded(tmp_path, raw(cell("x = 1\ndef double(x) return 2", solution=True))).reason.endswith(
            "(cell 1, line 2)"
        )

    def test_a_cell_of_ones_own_that_fails_is_a_note(self, tmp_path: Path) -> None:
        found = graded(tmp_path, raw(cell("x = 1\n1 / 0"), SOLUTION))
        assert found.notes == ("Code cell 1 raises ZeroDivisionError: division by zero (cell 1, line 2).",)

    def test_one_that_meets_a_limit_is_left_out(self, tmp_path: Path) -> None:
        cells = [cell("while True:\n    pass"), cell("import os\nos._exit(0)"), SOLUTION]
        found = graded(tmp_path, raw(*cells), seconds=2)
        assert found.points == 2
        assert found.notes == (
            "Code cell 1 was left out: It takes longer than 2 seconds.",
            "Code cell 2 was left out: Its process ended by itself (status 0).",
        )

    def test_the_labs_own_cell_decides(self, tmp_path: Path) -> None:
        found = graded(tmp_path, raw(cell("while True:\n    pass", solution=True)), seconds=1)
        assert (found.points, found.reason) == (0, "It takes longer than 1 second.")


def test_lines_stay_where_they_are() -> None:
    for source in (
        "a = 1\n%time b = 2\n\nc?\n!ls\nd = 3",
        "\n\n%%time\n\nx = 1",
        "%%bash\nls\npwd",
        "",
        "\n",
        "x = (\n% 3)",
    ):
        assert runnable(source).rstrip("\n").count("\n") <= source.count("\n")
    assert runnable("\n\n%%time\n\nx = 1").split("\n")[4] == "x = 1"
    assert runnable("a = 1\n%time b = 2\nx = 1").split("\n")[2] == "x = 1"


def test_no_code_is_run_while_a_notebook_is_read() -> None:
    found = handed_in(raw(cell("raise SystemExit", solution=True), cell("x", locked=True)), "x.ipynb")
    assert [(each.number, each.solution) for each in found.cells] == [(1, True)]
