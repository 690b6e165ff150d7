"""Honest learners: right and partly right notebooks, in each form that editors, systems and people make of them."""

from __future__ import annotations

import codecs
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from gradefarm import (
    FARM,
    MARKED,
    Case,
    Row,
    Tree,
    after,
    before,
    cell,
    own_cell,
    returning,
    right,
    solution_cells,
)

from vswaplab.lab.grading.model import Lab
from vswaplab.lab.grading.submission import STUB, student_version

# -- what is written ---------------------------------------------------------------------------------------------------

_BEFORE = {
    "a magic": "%matplotlib inline",
    "commands of the shell": "!pip install numpy\nfiles = !ls",
    "help": "print?\nlen??",
    "per cent signs that are none": 'x = (10\n% 3)\ntext = """\n%d pages\n"""\ny = (1\n!= 2)',
    "a magic in a function": "def measured():\n    if True:\n        %timeit 1\n    return 1\nassert measured() == 1",
    "from __future__": "from __future__ import annotations",
    "a class with fields": "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: int\n"
    "    b: 'Pair | None' = None\nPair(1)",
    "threads": "import threading\nt = threading.Thread(target=sum, args=([1, 2],))\nt.start()\nt.join()",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as pool:\n"
    "    assert list(pool.map(abs, [-1, 2])) == [1, 2]",
    "numpy": "import numpy as np\nassert np.arange(3).sum() == 3",
    "the library itself": "from vswaplab import Machine\nm = Machine(ram='1M', seed=0)",
    "slow": "import time\ntime.sleep(0.5)",
    "prints": "for i in range(500):\n    print('looking at', i)",
    "a file of its own": "with open('mine.txt', 'w') as f:\n    f.write('x')\nassert open('mine.txt').read() == 'x'",
    "the main block": "if __name__ == '__main__':\n    ran = True\nassert ran",
    "letters of all kinds": "größe = 3  # Größe der Seite, 页面, 🎈\nassert größe == 3\ntext = '页面 🎈'",
    "new syntax": "match [1, 2]:\n    case [a, b]:\n        pass\nif (n := a) and f'{n!r:>5}':\n    pass",
    "warnings and logs": "import logging, sys, warnings\nwarnings.warn('look')\n"
    "logging.warning('look')\nprint('x', file=sys.stderr)",
    "display": "from IPython.display import display\ndisplay(1)",
    "widgets of the shell": "get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().system('ls')",
    "deep recursion": "def down(n):\n    return n and down(n - 1)\nassert down(800) == 0",
    "a random choice": "import random\nrandom.seed(1)\nassert 0 <= random.random() < 1",
    "tabs and a form feed": "if True:\n\ttabs = 1\n\x0c\nassert tabs",
    "asserts of its own": "import unittest\nunittest.TestCase().assertEqual(1, 1)",
}
"""What stands before a right solution and changes nothing."""

_OWN_CELLS = {
    "a helper in a cell of its own": "def same(x):\n    return x",
    "await at the top": "import asyncio\nawait asyncio.sleep(0)\nasync with asyncio.Lock():\n    pass",
    "looks around and fails": "1 / 0",
    "looks around and reads what is not there": "open('my-data.csv').read()",
    "asks a question": "answer = input('Ready?')",
    "does not parse": "def (:",
    "ends the session": "import sys\nsys.exit()",
    "interrupted": "raise KeyboardInterrupt",
    "a library that is not here": "import a_library_that_is_not_here",
    "shell script": "%%bash\nrm -rf nothing\nif [ then",
    "writes a file by a magic": "%%writefile notes.txt\n'unclosed",
    "html": "%%html\n<b>unclosed",
    "%%capture": "%%capture out\nkept = 1",
    "%%timeit": "%%timeit -n 3\nsum(range(10))",
    "prints two MiB": "print('x' * (1 << 21))",
    "takes all memory": "hoard = [bytes(1 << 24) for _ in range(1000)]",
    "starts a program": "import subprocess\nsubprocess.run(['ls'])",
    "never ends": "while True:\n    pass",
    "empty": "",
    "a thousand lines": "\n".join(f"v{at} = {at}" for at in range(1000)),
}
"""Cells that a learner adds; whatever becomes of them, the solution is right."""


def _last_lines(tree: Tree) -> Tree:
    after(tree, "helper_used = same(1)\nassert helper_used == 1")
    return own_cell(tree, _OWN_CELLS["a helper in a cell of its own"])


def _time_of_a_cell(tree: Tree) -> Tree:
    for each in solution_cells(tree):
        each["source"] = f"%%time\n{each['source']}"
    return tree


def _copied_cell(tree: Tree) -> Tree:
    at = tree["cells"].index(solution_cells(tree)[-1])
    tree["cells"].insert(at + 1, json.loads(json.dumps(tree["cells"][at])))
    return tree


def _in_own_cell_below(tree: Tree) -> Tree:
    """The cell that was given stays as it was; the answer stands in one below."""
    for each in solution_cells(tree):
        at = tree["cells"].index(each)
        tree["cells"].insert(at + 1, cell(each["source"]))
        each["source"] = "'see below'"
    return tree


def _changed_texts(tree: Tree) -> Tree:
    for each in tree["cells"]:
        if each not in solution_cells(tree):
            each["source"] = "my notes"
    return tree


def _without_checks(tree: Tree) -> Tree:
    kept = solution_cells(tree)
    return {**tree, "cells": kept}


def _large_outputs(tree: Tree) -> Tree:
    image = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo" * 2_000_000}}
    solution_cells(tree)[0]["outputs"] = [image]
    return tree


def _attachments(tree: Tree) -> Tree:
    tree["cells"].insert(0, cell("![](a.png)", kind="markdown", attachments={"a.png": {"image/png": "iVBO" * 1000}}))
    return tree


def _many_cells(tree: Tree) -> Tree:
    tree["cells"] += [cell(f"{at}") for at in range(300)]
    return tree


_CHANGED: dict[str, Callable[[Tree], Tree]] = {
    "right": lambda tree: tree,
    "a helper in a cell of its own": _last_lines,
    "cell magic time": _time_of_a_cell,
    "a copied cell": _copied_cell,
    "in a cell below": _in_own_cell_below,
    "other texts and checks": _changed_texts,
    "without the checks": _without_checks,
    "20 MB of output": _large_outputs,
    "attachments": _attachments,
    "three hundred cells": _many_cells,
}


def _stub(tree: Tree) -> Tree:
    import nbformat

    made: Any = student_version(nbformat.from_dict(tree))
    if tree["metadata"]["vswaplab"]["lab"] == FARM.name:
        for each in made.cells:
            if each.metadata.get("nbgrader", {}).get("solution"):
                each.source = each.source.partition("\n")[0] + f"\n    {STUB}"
    return json.loads(json.dumps(made))


def _partial(lab: Lab) -> Iterator[tuple[str, Tree, Row]]:
    """Yield what is not right, or not wholly, with its points."""
    none = (0, 0)
    yield "the stub", _stub(right(lab)), Row(none)
    yield "an error in it", before(right(lab), "undefined_name + 1"), Row(none, "NameError: name 'undefined_name'")
    yield "does not parse at all", before(right(lab), "def f() return"), Row(none, r"SyntaxError.*\(cell \d+, line 1\)")
    yield "another name", after(right(lab), f"del {lab.entry[0]}"), Row(none)
    yield "returns nothing", after(right(lab), returning(lab, "None")), Row(none)
    other = right(lab)
    other["metadata"]["vswaplab"]["lab"] = "lab9_other"
    yield "of another lab", other, Row(none, f"This is a notebook of lab9_other, not of {lab.name}")
    bare = right(lab)
    for each in bare["cells"]:
        each["metadata"] = {}
    yield "metadata lost", bare, Row(none, "No cell is marked as a solution")
    if lab is FARM:
        yield "numbers alone", after(right(lab), "def double(x):\n    return 2 * int(x)"), Row((7, 7))
        yield "text alone", after(right(lab), "def double(x):\n    return x + x if x != 2 else 5"), Row((8, 8))
        yield "one function alone", after(right(lab), "def total(numbers):\n    return -1"), Row((5, 5))
        numbers = "import numpy as np\ndef double(x):\n    return np.int64(2) * x if x == 2 else x + x"
        yield "numpy's numbers", after(right(lab), numbers), Row((10, 10))
        slow = "import time\ndef double(x):\n    time.sleep(0.4)\n    return x + x"
        yield "slow calls", after(right(lab), slow), Row((10, 10))


def _written(lab: Lab) -> list[tuple[str, Callable[[], Tree], Row]]:
    full = Row((lab.points, lab.points))
    made: list[tuple[str, Callable[[], Tree], Row]] = []
    for kind, change in _CHANGED.items():
        made.append((kind, lambda change=change: change(right(lab)), full))
    for kind, source in _BEFORE.items():
        made.append((kind, lambda source=source: before(right(lab), source), full))
    for kind, source in _OWN_CELLS.items():
        made.append((kind, lambda source=source: own_cell(right(lab), source), full))
    for kind, tree, row in _partial(lab):
        made.append((kind, lambda tree=tree: tree, row))
    return made


# -- in which form it comes --------------------------------------------------------------------------------------------


def _v3(tree: Tree) -> Tree:
    cells = [{**each, "input": each["source"], "language": "python"} for each in tree["cells"]]
    for each in cells:
        if each["cell_type"] == "code":
            del each["source"]
            each["prompt_number"] = each.pop("execution_count")
    metadata = {**tree["metadata"], "name": ""}
    worksheets = [{"cells": cells, "metadata": {}}]
    return {"metadata": metadata, "nbformat": 3, "nbformat_minor": 0, "worksheets": worksheets}


def _as_text(tree: Tree, **options: Any) -> str:
    return json.dumps(tree, **{"ensure_ascii": False, "indent": 1, **options})


FORMS: dict[str, Callable[[Tree], bytes]] = {
    "plain": lambda tree: _as_text(tree).encode(),
    "one line": lambda tree: _as_text(tree, indent=None, ensure_ascii=True).encode(),
    "BOM": lambda tree: codecs.BOM_UTF8 + _as_text(tree).encode(),
    "UTF-16": lambda tree: _as_text(tree).encode("utf-16"),
    "UTF-16 without a mark": lambda tree: _as_text(tree).encode("utf-16-le"),
    "UTF-32": lambda tree: _as_text(tree).encode("utf-32"),
    "CRLF": lambda tree: _as_text(tree).replace("\n", "\r\n").replace("\\n", "\\r\\n").encode(),
    "version 3": lambda tree: _as_text(_v3(tree)).encode(),
    "version 4.5": lambda tree: _as_text(
        {**tree, "nbformat_minor": 5, "cells": [{**each, "id": "same"} for each in tree["cells"]]}
    ).encode(),
    "sources as lines": lambda tree: _as_text(
        {**tree, "cells": [{**each, "source": each["source"].splitlines(True)} for each in tree["cells"]]}
    ).encode(),
}


def zip_of(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return made.getvalue()


def _zipped(raw: bytes, lab: str) -> bytes:
    return zip_of({f"{lab}.ipynb": raw, f"__MACOSX/._{lab}.ipynb": b"Mac", "notes.txt": b"x"})


PLACES: dict[str, Callable[[str, str], tuple[str, str, bool]]] = {
    "a file": lambda who, lab: (f"{who}.ipynb", who, False),
    "in capitals": lambda who, lab: (f"{who}.IPYNB", who, False),
    "a text file": lambda who, lab: (f"{who}.ipynb.txt", who, False),
    "a folder": lambda who, lab: (f"monday/{who}.ipynb", f"monday/{who}", False),
    "Moodle's": lambda who, lab: (f"{who}_101_assignsubmission_file_/{lab}.ipynb", f"{who}_101", False),
    "Moodle's, renamed": lambda who, lab: (f"{who}_7_assignsubmission_file_/final (2).ipynb", f"{who}_7", False),
    "nbgrader's": lambda who, lab: (f"submitted/{who}/{lab}/{lab}.ipynb", who, False),
    "a zip": lambda who, lab: (f"{who}.zip", who, True),
    "a zip in Moodle's": lambda who, lab: (f"{who}_9_assignsubmission_file_/work.zip", f"{who}_9", True),
}
"""By layout: the path below the folder, the row's name, and whether it is a zip."""
_FIRST = ("Anna", "José", "Li Wei", "Søren", "O'Neil", "Fatma Çelik", "林", "ben", "a.b", "Dr. No")


def _case(kind: str, tree: Callable[[], Tree], row: Row, form: str, place: str, who: str, lab: Lab) -> Case:
    path, name, zipped = PLACES[place](who, lab.name)

    def put(folder: Path) -> None:
        raw = FORMS[form](tree())
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_zipped(raw, lab.name) if zipped else raw)

    return Case(f"{kind}; {form}; {place}", name, row, put)


def honest_cases(lab: Lab, rng: Random, number: int) -> list[Case]:
    """Return so many honest learners: every kind of text if there are enough, every form and every place in turn."""
    written, forms, places = _written(lab), list(FORMS), list(PLACES)
    if number < len(written):
        written = rng.sample(written, number)
    rng.shuffle(forms)
    rng.shuffle(places)
    made = []
    for at in range(number):
        kind, tree, row = written[at % len(written)]
        form = forms[at % len(forms)]
        if form == "version 3" and kind == "attachments":
            form = "plain"  # that version has none
        who = f"{rng.choice(_FIRST)} {at}"
        made.append(_case(kind, tree, row, form, places[at % len(places)], who, lab))
    return made


__all__ = ["FORMS", "MARKED", "PLACES", "honest_cases", "zip_of"]
