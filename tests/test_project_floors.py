"""The house: who may import whom, how long a module may be, what it says it offers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vswaplab"
FLOORS = (
    {"units", "errors", "entry", "events", "protocols", "swap_arrays", "arena", "strict", "status", "folders"},
    {"backends"},
    {"virtual", "legacy"},
    {"observe"},
    {"mm"},
    {"workloads"},
    {"figures"},
    {"widgets", "testing"},
    {"lab", "bench", "export", "demo"},
    {"cli", "__main__", "__init__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MAX_LINES = 420
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the package, or the module, directly under vswaplab that holds `path`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_type_checking(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If):
        return False
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and is_type_checking(child):
            continue
        yield child
        yield from runtime_nodes(child)


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of vswaplab that `path` imports at run time."""
    here = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = here[:-1]
    rooms = set()
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names] if len(module) == 1 else [module]
        for name in names:
            if name[0] == "vswaplab":
                rooms.add(name[1] if len(name) > 1 and name[1] in FLOOR else "__init__")
    return rooms


def public_definitions(tree: ast.Module) -> set[str]:
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }


def declared_all(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[union-attr,arg-type]
    return None


def test_every_module_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} <= set(FLOOR)


def test_every_folder_of_modules_is_a_package() -> None:
    assert [str(path) for path in {path.parent for path in MODULES} if not (path / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_from_floors_below(path: Path) -> None:
    room = room_of(path)
    above = {
        other: FLOOR[other]
        for other in imported_rooms(path) - {room}
        # Floor 0 is one room with several doors, and the command line asks the package root for its version.
        if FLOOR[other] > FLOOR[room] or (FLOOR[other] == FLOOR[room] and FLOOR[room] not in (0, len(FLOORS) - 1))
    }
    assert above == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_fits_a_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_is_complete_and_everything_in_it_exists(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = declared_all(tree)
    if path.name == "__init__.py" and len(tree.body) == 1:
        return  # a package that is only its docstring offers nothing itself
    assert names is not None, "__all__ is missing"
    assert len(names) == len(set(names)), "__all__ names something twice"
    if path.name != "__init__.py":
        assert public_definitions(tree) <= set(names)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {alias.asname or alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
    assert set(names) <= bound | public_definitions(tree) | {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_docstring_is_its_page(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_import_check_sees_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "vswaplab"
    (package / "virtual").mkdir(parents=True)
    module = package / "virtual" / "space.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "import vswaplab.mm.machine\n"
        "from vswaplab import figures\n"
        "from ..observe import trace\n"
        "from . import cluster\n"
        "if TYPE_CHECKING:\n    from vswaplab.widgets import Stepper\n"
        "def late():\n    from vswaplab.legacy.space import LegacySwap\n"
    )
    monkeypatch.setattr("test_project_floors.PACKAGE", package)
    assert imported_rooms(module) == {"mm", "figures", "observe", "virtual", "legacy"}
