"""Notebooks with something wrong: the JSON, the bytes, the name or the kind of a file, changed at random by a seed."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Tree = dict[str, Any]

HELPER = "def twice(x):\n    return x + x"
SOLUTION = "import math\n\ndef double(x):\n    return twice(x) if isinstance(x, str) else 2 * x"
_TOLD = {"output_type": "stream", "name": "stdout", "text": ["4\n", "\u001b[31mred\u001b[0m\n"]}
_SHOWN = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "4", "image/png": "iVBORw0KGgo="}}


def _cell(kind: str, source: Any, nbgrader: Any = None, **more: Any) -> Tree:
    made = {"cell_type": kind, "id": f"cell{len(str(source))}", "metadata": {}, "source": source}
    if nbgrader is not None:
        made["metadata"] = {"nbgrader": nbgrader}
    if kind == "code":
        made |= {"execution_count": 1, "outputs": []}
    return made | more


def right_notebook() -> Tree:
    """Return a notebook of the lab of one line that is right, with all that a notebook may hold."""
    graded = {"grade": True, "locked": True, "points": 2, "solution": False, "grade_id": "t", "schema_version": 3}
    solution = {"grade": False, "locked": False, "solution": True, "grade_id": "s", "schema_version": 3}
    cells = [
        _cell("markdown", ["# Double it\n", "Write `double`."], attachments={"a.png": {"image/png": "iVBORw0KGgo="}}),
        _cell("code", "%matplotlib inline\n" + HELPER, outputs=[_TOLD, _SHOWN]),
        _cell("code", SOLUTION.splitlines(keepends=True), solution),
        _cell("code", "assert double(2) == 4", graded, outputs=[_TOLD]),
        _cell("raw", "notes"),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "vswaplab": {"lab": "double"}}
    return {"cells": copy.deepcopy(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def old_notebook() -> Tree:
    """Return the same in version 3 of the format."""
    made = right_notebook()
    cells = [{**each, "input": each["source"], "language": "python"} for each in made["cells"]]
    return {
        "metadata": {**made["metadata"], "name": ""},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [{"cells": cells, "metadata": {}}],
    }


# -- the tree ----------------------------------------------------------------------------------------------------------


_DEEP = "@deep"
"""What stands for arrays in arrays, so many levels deep, until the bytes are made."""
ODD: tuple[Callable[[Random], Any], ...] = (
    lambda rng: None,
    lambda rng: [],
    lambda rng: {},
    lambda rng: "",
    lambda rng: rng.choice((True, False)),
    lambda rng: rng.choice((0, -1, 3, 5, 2**63, 10**400, 1.5, float("nan"), float("inf"), -0.0)),
    lambda rng: f"{_DEEP}{rng.choice((3, 100, 900, 5000))}",
    lambda rng: rng.choice(("\ud83d", "\0", "\x1b[2J", "é漢🎈", "=cmd|'C calc'!A0", "\u202edouble", "x" * 100_000)),
    lambda rng: rng.choice((["a", "b\n"], ["a", None], [["a"]], [{}], {"=": "host"}, {"nbgrader": None})),
    lambda rng: rng.choice(("code", "markdown", "raw", "double", "lab1_resolve", "python", "solution")),
    lambda rng: right_notebook(),
)
"""Values to stand in for another."""


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found, todo = [], [tree]
    while todo:
        at = todo.pop()
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        found += [(at, key) for key in keys]
        todo += [at[key] for key in keys]
    return found


def _any(tree: Tree, rng: Random) -> tuple[Any, Any]:
    return rng.choice(_places(tree) or [({"": None}, "")])


def _replace(tree: Tree, rng: Random) -> None:
    at, key = _any(tree, rng)
    at[key] = rng.choice(ODD)(rng)


def _delete(tree: Tree, rng: Random) -> None:
    at, key = _any(tree, rng)
    del at[key]


def _swap(tree: Tree, rng: Random) -> None:
    (at, key), (other, its) = _any(tree, rng), _any(tree, rng)
    at[key], other[its] = copy.deepcopy(other[its]), copy.deepcopy(at[key])


def _wrap(tree: Tree, rng: Random) -> None:
    at, key = _any(tree, rng)
    value = at[key]
    at[key] = rng.choice(([value], {"nbgrader": value}, [value, copy.deepcopy(value)], str(value)[:10_000]))


def _rename(tree: Tree, rng: Random) -> None:
    objects = [(at, key) for at, key in _places(tree) if isinstance(at, dict)]
    if objects:
        at, key = rng.choice(objects)
        at[rng.choice((key.upper(), key + " ", "", "source", "cell_type", "metadata", "\ud800"))] = at.pop(key)


def _add(tree: Tree, rng: Random) -> None:
    objects = [at for at, _ in _places(tree) if isinstance(at, dict)]
    names = ("nbgrader", "vswaplab", "source", "cells", "worksheets", "nbformat", "outputs", "signature")
    if objects:
        rng.choice(objects)[rng.choice(names)] = rng.choice(ODD)(rng)


def _cells(tree: Tree, rng: Random) -> None:
    cells = tree.get("cells")
    if not isinstance(cells, list) or not cells:
        return
    match rng.choice(("shuffle", "drop", "double", "many", "turn", "insert")):
        case "shuffle":
            rng.shuffle(cells)
        case "drop":
            del cells[rng.randrange(len(cells))]
        case "double":
            cells.insert(rng.randrange(len(cells) + 1), copy.deepcopy(rng.choice(cells)))
        case "many":
            cells += [_cell("code", "1") for _ in range(rng.choice((10, 2000)))]
        case "turn":
            cells.reverse()
        case "insert":
            cells.insert(rng.randrange(len(cells) + 1), rng.choice(ODD)(rng))


_LINES = (
    *("%%time", "%%bash\nls", "%timeit 1", "!rm -rf nothing", "x = !ls", "x?", "??", "%", "%%", "!", "?", "%%\n%%time"),
    *("await f()", "return 1", "yield", "'''", "(", "\\", "\t x", "if True:", "class double: pass", "del double"),
    *("from __future__ import annotations", "from __future__ import braces", "# coding: latin-1", "\x0c", "\ufeff"),
    *("raise ValueError('half \ud83d emoji')", "double = None", "1/0", "import sys; sys.exit(3)", "quit()", "x = 0x"),
    *("raise BaseException", "raise KeyboardInterrupt", "print('x' * 9999)", "9" * 5000, "(" * 300, "get_ipython().x"),
    *("double = 'abab'", "def double(x): raise Exception('\\n\\x1b[2J' * 500)", "def double(x): return [x] * 10**5"),
    *(
        "import __main__",
        "double.__class__ = 3",
        "globals().clear()",
        "__builtins__ = {}",
        "import builtins; del print",
    ),
)
"""Lines that stand where nobody expects them."""


def _source(tree: Tree, rng: Random) -> None:
    found = tree.get("cells")
    cells = [each for each in found if isinstance(each, dict) and "source" in each] if isinstance(found, list) else []
    if not cells:
        return
    cell = rng.choice(cells)
    source = cell["source"]
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    at = rng.randrange(len(text) + 1)
    match rng.choice(("line", "line", "line", "characters", "cut", "ends", "indent", "long")):
        case "line":
            lines = text.split("\n")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(_LINES))
            text = "\n".join(lines)
        case "characters":
            text = (
                text[:at] + "".join(chr(rng.choice((0, 9, 40, 92, 160, 0x2028, 0xFEFF))) for _ in range(3)) + text[at:]
            )
        case "cut":
            text = text[:at]
        case "ends":
            text = text.replace("\n", rng.choice(("\r\n", "\r", "\x0b", "\u2028")))
        case "indent":
            text = text.replace("    ", rng.choice(("\t", " ", "\u00a0   ")))
        case "long":
            text += "\n#" + "x" * rng.choice((10_000, 1_000_000))
    cell["source"] = text if rng.random() < 0.5 else text.splitlines(keepends=True)


_TREE = (_replace, _replace, _replace, _delete, _swap, _wrap, _rename, _add, _cells, _source, _source, _source)


# -- bytes -------------------------------------------------------------------------------------------------------------


def _twice(raw: bytes, rng: Random) -> bytes:
    """Write a key of an object twice, the second time with another value."""
    keys = [b'"metadata": ', b'"cells": ', b'"source": ', b'"nbformat": ', b'"nbgrader": ', b'"cell_type": ']
    key = rng.choice(keys)
    odd = rng.choice((b"null", b"[]", b"{}", b"4", b'"x"', b"NaN", b"1e999"))
    return raw.replace(key, key + odd + b", " + key, 1)


def _zip(raw: bytes, rng: Random) -> bytes:
    names = (
        "a.ipynb",
        "../a.ipynb",
        "/etc/a.ipynb",
        "a\\b.ipynb",
        "x/" * 90 + "a.ipynb",
        "é漢.ipynb",
        "a.txt",
        "=1.IPYNB",
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name in rng.sample(names, rng.choice((1, 1, 1, 2, 3))):
            archive.writestr(name, raw)
    made = bytearray(file.getvalue())
    if rng.random() < 0.4:
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _flip(raw: bytes, rng: Random) -> bytes:
    made = bytearray(raw)
    for _ in range(rng.choice((1, 1, 3, 30))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _code(raw: bytes, rng: Random) -> bytes:
    code = rng.choice(
        ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1", "cp1252", "utf-7")
    )
    return raw.decode("utf-8", "replace").encode(code, "replace")


_BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _twice,
    _zip,
    _flip,
    _flip,
    _code,
    lambda raw, rng: raw[: rng.randrange(len(raw))],
    lambda raw, rng: raw + rng.choice((b"\0", b"}", b"\n\n", raw, b"x" * 1000)),
    lambda raw, rng: b" " * rng.choice((1, 1 << 20)) + raw,
    lambda raw, rng: raw.replace(b"\n", b"\r\n"),
    lambda raw, rng: rng.randbytes(rng.choice((0, 1, 4, 500))),
    lambda raw, rng: rng.choice(
        (b"", b"null", b"{}", b"[]", b"[" * 200_000, b'{"a":' * 50_000, b"9" * 5000, b"PK\x03\x04")
    ),
    lambda raw, rng: gzip.compress(raw, mtime=0),
    lambda raw, rng: raw.replace(b"\\n", rng.choice((b"\\u0000", b"\\ud83d", b"\n", b"\\x", b"\\u2028"))),
)


# -- names and kinds ---------------------------------------------------------------------------------------------------

_NAMES = (
    *(
        "a",
        "A",
        "=cmd|'C calc'!A0",
        "-1+1",
        "@x",
        "\x1b[2J",
        "a\nb",
        "a\tb",
        "a|b",
        "<b>",
        "é",
        "e\u0301",
        "漢",
        "\udce9",
    ),
    *("x" * 240, "漢" * 80, " ", "a ", "a.", "con", "double", "Anna Li_101_assignsubmission_file_", "submitted", "%s"),
    *("{name}", "\u202eabc", "$(id)", "`id`", "a'b", 'a"b', "a (2)", "results", ".ipynb"),
)
_FOLDERS = (
    *("", "", "", "anna", "Anna Li_101_assignsubmission_file_", "submitted/anna/double", "deep/" * 20),
    *("caf\udce9", "=x", "lab1_resolve", "x.ipynb", "\x1b[2J"),
)
_ENDS = (".ipynb", ".ipynb", ".ipynb", ".ipynb", ".IPYNB", ".zip", ".ipynb.txt", "", ".json")


def mutated(rng: Random) -> bytes:
    """Return the bytes of a notebook with one to four things wrong."""
    tree = old_notebook() if rng.random() < 0.1 else right_notebook()
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        rng.choice(_TREE)(tree, rng)
    raw = json.dumps(tree, indent=1 if rng.random() < 0.8 else None, ensure_ascii=rng.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )
    raw = re.sub(rb'"@deep(\d+)"', lambda found: b"[" * int(found[1]) + b"]" * int(found[1]), raw)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        raw = rng.choice(_BYTES)(raw, rng) or b"x"
    return raw if rng.random() < 0.99 else b""


def mutated_zip(rng: Random) -> bytes:
    """Return a zip of one to six notebooks in which bytes may be flipped, or that may be cut off."""
    names = (
        "a.ipynb",
        "b/a.ipynb",
        "b/double/double.ipynb",
        "../a.ipynb",
        "/a.ipynb",
        "a\\b.ipynb",
        "é漢.ipynb",
        "a.txt",
    )
    moodle = "Anna_101_assignsubmission_file_/work.ipynb"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name in rng.sample((*names, moodle, "\x1b[2J.ipynb", "x/" * 90 + "c.ipynb"), rng.randrange(1, 7)):
            archive.writestr(name, b'{"cells": []}')
    raw = file.getvalue()
    raw = _flip(raw, rng) if rng.random() < 0.7 else raw
    return raw[: rng.randrange(len(raw))] if rng.random() < 0.2 else raw


def put(folder: Path, number: int, rng: Random) -> None:
    """Write a mutated notebook below a folder, under a name that may be odd and as a kind of file that may be."""
    below = folder / rng.choice(_FOLDERS)
    below.mkdir(parents=True, exist_ok=True)
    name = rng.choice(_NAMES) if rng.random() < 0.4 else f"{number:04}"
    if len(os.fsencode(name)) < 200 and rng.random() < 0.7:
        name += str(number)
    path = below / f"{name}{rng.choice(_ENDS)}"
    if os.path.lexists(path):
        path = below / f"{number:04}.ipynb"
    match rng.choice((*("file",) * 60, "fifo", "dangling", "outside", "inside", "folder")):
        case "file":
            path.write_bytes(mutated(rng))
        case "fifo":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("nowhere")
        case "outside":
            path.symlink_to("/etc/passwd")
        case "inside":
            path.symlink_to(folder)
        case "folder":
            path.mkdir()


def files_below(folder: Path) -> int:
    """Return how many entries below a folder must be told of: files, links, and hidden folders as one each."""
    told = 0
    for at, folders, files in os.walk(folder):
        odd = [each for each in folders if each.startswith(".") or (Path(at) / each).is_symlink()]
        folders[:] = [each for each in folders if each not in odd]
        told += len(files) + len(odd)
    return told
