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


# -- what a run reveals is what it computed ----------------------------------------------------------------------------


class Computed:
    """Which names of a notebook hold something that a run of the library gave, followed cell by cell.

    A call of what the library offers (but `vswaplab.lab`, which asks) is computed, and so is whatever is made of
    something computed, is chosen by it, or has it put in. Text and numbers that are typed are not.
    """

    def __init__(self, source: str) -> None:
        self.library: set[str] = set()
        self.names: set[str] = set()
        self.typed: list[str] = []
        """Arguments of `reveal` that no run has computed."""
        self.reveals = 0
        self._block(ast.parse(source).body, chosen=False)

    def of(self, node: ast.AST) -> bool:
        """Tell whether an expression is computed."""
        if isinstance(node, ast.Name):
            return node.id in self.names
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.library:
            return True
        if isinstance(node, ast.IfExp):  # where both ways say the same, nothing was chosen
            return ast.dump(node.body) != ast.dump(node.orelse) and any(map(self.of, ast.iter_child_nodes(node)))
        return any(map(self.of, ast.iter_child_nodes(node)))

    def _block(self, body: list[ast.stmt], chosen: bool) -> None:
        for statement in body:
            self._calls(statement)
            self._statement(statement, chosen)

    def _statement(self, statement: ast.stmt, chosen: bool) -> None:
        match statement:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "vswaplab" and module != "vswaplab.lab":
                self.library |= {alias.asname or alias.name for alias in statement.names}
            case ast.FunctionDef():
                self._block(statement.body, chosen)
                if any(
                    self.of(node.value) for node in ast.walk(statement) if isinstance(node, ast.Return) and node.value
                ):
                    self.library.add(statement.name)
            case ast.Assign():
                for target in statement.targets:
                    self._assign(target, chosen or self.of(statement.value))
            case ast.AugAssign() if chosen or self.of(statement.value):
                self._put(statement.target)
            case ast.For():
                self._assign(statement.target, self.of(statement.iter))
                for _ in range(2):  # the second time with what the first has made
                    self._block(statement.body, chosen or self.of(statement.iter))
            case ast.While() | ast.If():
                self._block(statement.body, chosen or self.of(statement.test))
                self._block(statement.orelse, chosen or self.of(statement.test))
            case ast.With():
                for item in statement.items:
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, self.of(item.context_expr))
                self._block(statement.body, chosen)
            case ast.Try():
                self._block(statement.body, chosen)
                for handler in statement.handlers:
                    if handler.name:
                        self.names.add(handler.name)
                    self._block(handler.body, chosen)

    def _assign(self, target: ast.expr, computed: bool) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                (self.names.add if computed else self.names.discard)(node.id)
        if not isinstance(target, ast.Name | ast.Tuple | ast.List) and computed:
            self._put(target)

    def _put(self, target: ast.expr) -> None:
        """Something computed was put into what a name holds."""
        while isinstance(target, ast.Subscript | ast.Attribute | ast.Starred):
            target = target.value
        if isinstance(target, ast.Name):
            self.names.add(target.id)

    def _calls(self, statement: ast.stmt) -> None:
        """Look at the calls of a simple statement: what is put into a list, and what is revealed."""
        if isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try | ast.FunctionDef):
            return
        for node in ast.walk(statement):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "reveal":
                self.reveals += 1
                self.typed += [ast.unparse(node) for argument in node.args if not self.of(argument)]
            elif node.func.attr in ("append", "extend", "update", "add") and any(map(self.of, node.args)):
                self._put(node.func.value)


def computed_in(source: str) -> list[str]:
    return Computed("from vswaplab import Machine\nm = Machine('1M')\nq = 0\n" + source).typed


@pytest.mark.parametrize(
    "source",
    [
        "q.reveal(m.swap.used)",
        "q.reveal('a' if m.swap.used else 'b')",
        "rows = []\nfor size in (1, 2):\n    rows.append({'size': Machine(size).used})\nq.reveal(str(rows[0]['size']))",
        "d = {}\nd['x'] = m.swap.used\nq.reveal({0: 'a'}[d['x']])",
        "x = 'a'\nif m.swap.used:\n    x = 'b'\nq.reveal(x)",
        "def f():\n    return m.swap.used\nq.reveal(f())",
        "one, two = m.swap.used, 2\nq.reveal(next(n for n in (one, two)))",
        "r = []\ndef f(what):\n    r.append({'what': what, 'n': m.swap.used})\nf('x')\nq.reveal(r[0]['n'])",
    ],
)
def test_what_a_run_gave_is_known(source: str) -> None:
    assert computed_in(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "q.reveal('a')",
        "q.reveal(str(4))",
        "x = 'a'\nq.reveal(x)",
        "x = m.swap.used\nx = 4\nq.reveal(x)",
        "q.reveal('a' if m.swap.used else 'a')",
        "rows = [1, 2]\nrows.append(3)\nq.reveal(max(rows))",
        "from vswaplab.lab import fresh\nq.reveal(fresh('a').random())",
        "q.reveal('a' if True else 'b')",
    ],
)
def test_what_is_typed_is_seen(source: str) -> None:
    assert len(computed_in(source)) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_is_revealed_was_computed(path: Path) -> None:
    """An answer that was typed would be right even where the run says something else."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    found = Computed("\n".join(cells))
    assert found.reveals == sum(source.count(".reveal(") for source in cells) > 0
    assert found.typed == []


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
