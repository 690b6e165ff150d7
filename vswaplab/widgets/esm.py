"""One ES module from the files in ``js/``: anywidget and a standalone page each take a single text.

The files are ordinary modules, so Node runs their tests as they are. Here each becomes a function that returns its
exports, in the order of imports; what they import is taken apart at the top. The files keep to three forms, and
`bundle` refuses any other: ``import { a, b as c } from "./file.js";``, ``export const|class|function name``, and one
``export default`` in index.js.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from vswaplab.errors import InvalidArgument

__all__ = ["FOLDER", "bundle", "module_order", "page_script", "stylesheet"]

FOLDER = Path(__file__).parent / "js"

_WHEN_READY = """if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", show);
else show();
"""

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function) (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default .*\n", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_SEVERAL = re.compile(r"^export const \w+ = [^\n(\[{]*, \w+ = .*", re.MULTILINE)
"""Of several names declared at once only the first would be found."""


@cache
def _source(name: str) -> str:
    return (FOLDER / f"{name}.js").read_text(encoding="utf-8")


def module_order(first: str = "index") -> list[str]:
    """Return the modules that one needs, itself last, each after those it imports."""
    order: list[str] = []

    def visit(name: str, on_the_way: tuple[str, ...]) -> None:
        if name in on_the_way:
            raise InvalidArgument(f"{name}.js imports itself by way of {' and '.join(on_the_way)}; break the circle.")
        for _, wanted in _IMPORT.findall(_source(name)):
            visit(wanted, (*on_the_way, name))
        if name not in order:
            order.append(name)

    visit(first, ())
    return order


def _wrapped(name: str) -> str:
    """Return a module as a function called once; its exports are properties of what that returns."""
    taken: list[str] = []

    def take(match: re.Match[str]) -> str:
        names = ", ".join(part.strip().replace(" as ", ": ") for part in match[1].split(",") if part.strip())
        taken.append(f"  const {{ {names} }} = {match[2]}_module;\n")
        return ""

    several = _SEVERAL.search(_source(name))
    if several:
        raise InvalidArgument(f"{name}.js has {several[0]!r}; export one name a line.")
    body = _DEFAULT.sub("", _IMPORT.sub(take, _source(name)))
    exports = _EXPORT.findall(body)
    body = _EXPORT.sub("", body)
    other = _OTHER.search(body)
    if other:
        raise InvalidArgument(f"{name}.js has {other[0]!r}; see vswaplab.widgets.esm for the forms it may have.")
    return f"const {name}_module = (() => {{\n{''.join(taken)}{body}  return {{ {', '.join(exports)} }};\n}})();\n"


@cache
def bundle() -> str:
    """Return the module of all views: its default export has `render`, as anywidget wants it."""
    return "".join(map(_wrapped, module_order())) + "export default { render: index_module.render };\n"


@cache
def page_script() -> str:
    """Return a classic script that shows every view of a page (a file may not load a module from another file)."""
    parts = "".join(map(_wrapped, module_order("page")))
    return f"(() => {{\n{parts}\nconst show = () => page_module.mountAll();\n{_WHEN_READY}}})();\n"


@cache
def stylesheet() -> str:
    """Return the styles of all views."""
    return (FOLDER / "vswaplab.css").read_text(encoding="utf-8")
