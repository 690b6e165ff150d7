"""Submissions: what a learner handed in as cells of code, and student versions of masters.

A master marks its solutions and hidden tests with nbgrader's comments. `student_version` takes them out as nbgrader's
``ClearSolutions`` and ``ClearHiddenTests`` do; the cells' metadata are nbgrader's too (schema 3), so that nbgrader can
release and collect the same files.

What is run of a submission is the notebook: every code cell that is not locked, in its order, through IPython's own
transformer. A submission is read without trust in its structure: whatever stands in a file, the answer is cells or one
sentence.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat

from vswaplab.errors import InvalidArgument
from vswaplab.strict import quoted, read_bounded, shown

__all__ = [
    "MAX_BYTES",
    "MAX_FILE",
    "STUB",
    "Cell",
    "HandedIn",
    "handed_in",
    "lab_of",
    "member_of",
    "notebooks_in_zip",
    "read_notebook",
    "runnable",
    "source_of",
    "student_version",
    "too_large",
]

MAX_BYTES = 1 << 24
"""Bytes of code at most, outputs apart."""
MAX_FILE = 1 << 27
"""Bytes of a file at most, outputs and all."""
MAX_MEMBERS = 10_000
STUB = "raise NotImplementedError  # write this"
"""What stands where a solution was."""
_SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION[^\n]*$", re.MULTILINE | re.DOTALL)
_HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS[^\n]*\n?", re.MULTILINE | re.DOTALL)
_RUNS_ITS_BODY = frozenset({"time", "timeit", "capture", "prun", "memit", "python", "python3"})
"""Cell magics below which Python stands that the notebook runs."""
_CELL_MAGIC = re.compile(r"\s*%%(\w+)[^\n]*")


@dataclass(frozen=True)
class Cell:
    """A code cell that a learner could write into."""

    number: int
    """Among the notebook's code cells, from the top; the first is 1."""
    source: str
    solution: bool
    """Whether it is one of those that the lab gave out to be filled in."""

    @property
    def name(self) -> str:
        """How a message names it."""
        return f"cell {self.number}"


@dataclass(frozen=True)
class HandedIn:
    """What of a notebook is graded."""

    lab: str
    """The lab that its metadata name, "" if none."""
    cells: tuple[Cell, ...]


def handed_in(raw: bytes, name: str) -> HandedIn:
    """Return the cells of a notebook's bytes; InvalidArgument in one sentence if they are none.

    `name` is the file's, for messages. A zip that holds one notebook is read as that. UTF-8 with or without a byte
    order mark, UTF-16 and UTF-32 are read; outputs and attachments are dropped before anything is measured.
    """
    if raw[:4] == b"PK\x03\x04":
        raw = _only_notebook(raw, name)
    notebook = _tree(raw, name)
    cells = [each for each in _cells(notebook, name) if each.get("cell_type") == "code"]
    found, size = [], 0
    for number, cell in enumerate(cells, 1):
        source = _source(cell, name)
        size += len(source)
        nbgrader = _object(_object(cell.get("metadata")).get("nbgrader"))
        if nbgrader.get("locked") is True or nbgrader.get("grade") is True:
            continue
        found.append(Cell(number, source, nbgrader.get("solution") is True))
    if size > MAX_BYTES:
        raise InvalidArgument(
            f"{shown(name)} holds more than {MAX_BYTES >> 20} MiB of code; hand in your notebook alone."
        )
    if not any(cell.solution for cell in found):
        raise InvalidArgument("No cell is marked as a solution: hand in the notebook that you were given.")
    lab = _object(_object(notebook.get("metadata")).get("vswaplab")).get("lab")
    return HandedIn(lab if isinstance(lab, str) else "", tuple(found))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _not_one(name: str) -> InvalidArgument:
    return InvalidArgument(f"{shown(name)} is not a notebook; hand in the .ipynb file itself.")


def _tree(raw: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(raw))
    except (ValueError, RecursionError) as error:
        raise _not_one(name) from error
    if not isinstance(found, dict):
        raise _not_one(name)
    return found


def _text(raw: bytes) -> str:
    """Return the text of JSON in any encoding that editors write; UnicodeDecodeError if it is none."""
    if raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return raw.decode("utf-32")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16")
    # Without a mark the zero bytes of the first ASCII characters tell, as in JSON's own standard.
    return raw.removeprefix(codecs.BOM_UTF8).decode(json.detect_encoding(raw.removeprefix(codecs.BOM_UTF8)))


def _cells(notebook: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Return the cells of any version of the format, all of them objects."""
    cells, version = notebook.get("cells"), notebook.get("nbformat")
    if not isinstance(cells, list) and isinstance(version, int) and version < 4:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cells = nbformat.convert(nbformat.from_dict(notebook), 4).get("cells")
        except Exception as error:
            raise _not_one(name) from error
    if not isinstance(cells, list) or not all(isinstance(each, dict) for each in cells):
        raise _not_one(name)
    yield from cells


def _source(cell: dict[str, Any], name: str) -> str:
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise InvalidArgument(f"{shown(name)} has a code cell whose source is no text; save it once more in Jupyter.")
    return source.replace("\r\n", "\n").replace("\r", "\n")


# -- zips --------------------------------------------------------------------------------------------------------------


def notebooks_in_zip(raw: bytes, name: str) -> list[str]:
    """Return the names of the notebooks in a zip; InvalidArgument if it can't be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise InvalidArgument(
                    f"{shown(name)} holds more than {MAX_MEMBERS} files; hand in your notebook alone."
                )
            return [each.filename for each in archive.infolist() if _is_notebook(each)]
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"{shown(name)} is a zip that can't be read; hand in the .ipynb file itself.") from error


def _is_notebook(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts if part not in (".", ".."))
    return member.filename.lower().endswith(".ipynb") and not hidden and not member.is_dir()


def _only_notebook(raw: bytes, name: str) -> bytes:
    found = notebooks_in_zip(raw, name)
    if len(found) != 1:
        raise InvalidArgument(f"{shown(name)} is a zip of {len(found)} notebooks; hand in one notebook.")
    return member_of(raw, found[0], name)


def member_of(raw: bytes, member: str, name: str) -> bytes:
    """Return the bytes of one file of a zip, never more than a file may have; InvalidArgument if that fails."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive, archive.open(member) as file:
            found = file.read(MAX_FILE + 1)
    except Exception as error:  # a damaged member raises zlib.error, EOFError, RuntimeError for a password, …
        raise InvalidArgument(f"{shown(name)} is a zip that can't be read; hand in the .ipynb file itself.") from error
    if len(found) > MAX_FILE:
        raise InvalidArgument(too_large(member))
    return found


def too_large(name: str) -> str:
    """Say that a file is larger than one may be."""
    return f"{shown(name)} is larger than {MAX_FILE >> 20} MiB; clear its outputs and hand it in again."


# -- what runs ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _transformer() -> Any:
    from IPython.core.inputtransformer2 import TransformerManager  # half a second: only where something is graded

    make: Any = TransformerManager  # it has no annotations
    return make()


def runnable(source: str) -> str:
    """Return a cell's text as Python, line for line: magics become calls of ``get_ipython()``.

    The body of a cell magic that runs Python (``%%time``) stays; that of any other (``%%bash``) goes.
    """
    magic = _CELL_MAGIC.match(source)
    if magic:
        if magic[1] not in _RUNS_ITS_BODY:
            return "\n" * source.count("\n")
        source = "\n" * magic[0].count("\n") + source[magic.end() :]
        return runnable(source) if _CELL_MAGIC.match(source) else _transformed(source)
    return _transformed(source)


def _transformed(source: str) -> str:
    blank = len(source) - len(source.lstrip("\n"))  # the transformer drops these, and the numbers of all lines after
    try:
        made = _transformer().transform_cell(source[blank:])
    except Exception:  # it was written for cells that people typed; the compiler says what is wrong with the rest
        made = source[blank:]
    return "\n" * blank + str(made)


def source_of(notebook: Any) -> str:
    """Return all that runs of a notebook as one text: what a grader in this process executes.

    InvalidArgument if no cell is marked as a solution: then its metadata were lost.
    """
    found = handed_in(nbformat.writes(notebook).encode(), "the notebook")
    return "\n\n".join(runnable(cell.source) for cell in found.cells)


# -- masters -----------------------------------------------------------------------------------------------------------


def read_notebook(path: Path) -> Any:
    """Return a master; InvalidArgument in one sentence if the file is none."""
    raw = read_bounded(path, MAX_FILE, "notebook")
    try:
        notebook = nbformat.reads(raw.decode("utf-8"), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        raise _not_one(path.name) from error
    return notebook


def lab_of(notebook: Any) -> str:
    """Return the lab a notebook is of, "" if it does not say."""
    lab = _object(notebook.metadata.get("vswaplab")).get("lab")
    return lab if isinstance(lab, str) else ""


def student_version(notebook: Any) -> Any:
    """Return a notebook without solutions, hidden tests and outputs; InvalidArgument if a mark is not closed."""
    made = nbformat.from_dict(notebook)
    for cell in made.cells:
        cell.source = _HIDDEN.sub("", _SOLUTION.sub(lambda match: match[1] + STUB, cell.source)).rstrip("\n")
        if "### BEGIN" in cell.source or "### END" in cell.source:
            raise InvalidArgument(f"A mark of nbgrader's is not closed in this cell: {quoted(cell.source, 80)}.")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return made
