"""Reference pages: each names the modules that it is about, and gets a section for each with every public name."""

from __future__ import annotations

import re
from collections.abc import Sized
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

from vswaplab.errors import InvalidArgument

__all__ = ["INTERNAL", "asked_modules", "public_modules", "with_modules"]

INTERNAL = (
    "vswaplab.__main__",
    "vswaplab.cli",
    "vswaplab.*_cli",
    "vswaplab.bench*",
    "vswaplab.demo*",
    "vswaplab.export*",
    "vswaplab.lab.grading.labs*",
    "vswaplab.lab.grading.worker",
)
"""Modules that nobody imports: the command line, what it runs, and the course labs' solutions."""

_LONG = 200  # characters
_MARK = re.compile(r"<!-- modules: ([^>]+?) -->\n?")


@cache
def public_modules() -> dict[str, tuple[str, ...]]:
    """Return the names that each module of the library is there to be asked for, by the module's name."""
    root = import_module("vswaplab")
    every = [root.__name__, *(found.name for found in walk_packages(root.__path__, f"{root.__name__}."))]
    names = [name for name in every if not any(fnmatchcase(name, pattern) for pattern in INTERNAL)]
    offered = {name: tuple(getattr(import_module(name), "__all__", ())) for name in sorted(names)}
    return {name: names for name, names in offered.items() if names}


def asked_modules(text: str) -> list[str]:
    """Return the modules that a reference page asks for; ``a.b.*`` asks for the package ``a.b`` and all in it.

    InvalidArgument naming a pattern that fits no module.
    """
    asked: list[str] = []
    for pattern in " ".join(_MARK.findall(text)).split():
        fits = [name for name in public_modules() if fnmatchcase(name, pattern) or f"{name}.*" == pattern]
        if not fits:
            raise InvalidArgument(f"No public module is called {pattern}; mend the page that asks for it.")
        asked += [name for name in fits if name not in asked]
    return asked


def with_modules(text: str) -> str:
    """Return a reference page with a section for each module that it asks for."""
    return "\n\n".join([_MARK.sub("", text).rstrip(), *map(_section, asked_modules(text))]) + "\n"


def _home(module: str, name: str) -> str:
    """Return the module that defines what `module` offers by a name; a constant does not know, so it is looked for."""
    value = getattr(import_module(module), name)
    if hasattr(value, "__module__"):
        return str(value.__module__)
    inside = [other for other in public_modules() if other.startswith(f"{module}.")]
    return next((other for other in inside if name in public_modules()[other]), module)


def _is_long(value: object) -> bool:
    """Whether a constant is more than a reader wants to see written out."""
    return isinstance(value, Sized) and not isinstance(value, type) and len(repr(value)) > _LONG


def _section(name: str) -> str:
    """Return a module's section: its text, what it defines, and what it passes on."""
    module = import_module(name)
    names = public_modules()[name]
    home = {each: _home(name, each) for each in names}
    clashes = [each for each in names if f"{name}.{each}" in public_modules()]  # a function and a module of one name
    tables = [each for each in names if _is_long(getattr(module, each))]
    own = [each for each in names if home[each] == name and each not in (*clashes, *tables)]
    passed = [each for each in names if home[each] != name]
    lines = [f"## `{name}`", "", "```{eval-rst}", f".. automodule:: {name}"]
    if own:
        lines += [f"   :members: {', '.join(own)}", "   :undoc-members:"]
    for each in clashes:
        lines += ["", f".. autofunction:: {name}.{each}", "   :no-index:"]
    for each in tables:
        lines += ["", f".. autodata:: {name}.{each}", "   :no-value:"]
    lines += ["```"]
    if passed:
        lines += ["", "Passed on: " + ", ".join(f"{{py:obj}}`{n} <{home[n]}.{n}>`" for n in passed) + "."]
    return "\n".join(lines)
