"""Scenarios as data: loading them, and checking them before anything is made of them.

The form is a JSON schema, ``scenario_files/schema.json``. What a schema can't say is checked after it: that each name
stands for something at that point, that ranges lie in their regions, and that the whole stays within bounds.

>>> scenario_names()
['failures', 'fork_0', 'fork_1', 'fork_3', 'fork_7', 'one_page', 'parent_and_child', 'real_256']
>>> check_scenario({"name": "x", "operations": [{"op": "exit", "process": "app"}]})
Traceback (most recent call last):
    ...
vswaplab.errors.InvalidArgument: Scenario, at operations[0].process: there is no process 'app' at this point.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from vswaplab.backends.zswap_faults import FAULTS as ZSWAP_FAULTS
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.strict import load_json, path_of, quoted, read_bounded
from vswaplab.units import pages_of
from vswaplab.workloads.corpus import KINDS, MIXES, REAL_KINDS

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

__all__ = ["MAX_PAGES", "Operation", "check_scenario", "load_scenario", "scenario_names"]

Operation = Mapping[str, Any]

MAX_PAGES = 1 << 18
"""Pages mapped at once, over all processes: 1 GiB."""
_MAX_BYTES = 1 << 22
_MAX_OPERATIONS = 10_000
_MAX_RAM_PAGES = 1 << 24
_MAX_ACCESSES = 1 << 22

_FILES = Path(__file__).parent / "scenario_files"
_SOURCES = ("mix", "kind", "real", "text")


def scenario_names() -> list[str]:
    """Return the names of the scenarios that ship."""
    return sorted(path.stem for path in _FILES.glob("*.json") if path.stem != "schema")


def load_scenario(name_or_path: str | Path) -> dict[str, Any]:
    """Return a checked scenario that ships, by name, or your own from a JSON file; NotFound if there is none."""
    path = path_of(name_or_path, "A scenario")
    if path.suffix != ".json":
        path = _FILES / f"{path.name}.json"
        if str(name_or_path) not in scenario_names():
            raise NotFound(
                f"There is no scenario {quoted(str(name_or_path))}; choose one of {', '.join(scenario_names())}, "
                "or give the path of a .json file."
            )
    scenario = load_json(read_bounded(path, _MAX_BYTES, "scenario file"), str(path))
    check_scenario(scenario)
    return dict(scenario)


@cache
def _validator() -> Validator:
    import jsonschema  # here, since it takes a second: commands that read no scenario need not wait for it

    # To JSON Schema 4.0 is an integer; to range() it is not.
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Any = jsonschema.validators.extend
    validator: Validator = extend(jsonschema.Draft202012Validator, type_checker=types)(
        json.loads((_FILES / "schema.json").read_bytes())
    )
    return validator


def check_scenario(scenario: Any) -> None:
    """Check a scenario before anything is made of it; InvalidArgument says in one sentence what is wrong where.

    First its form by the schema; then that each name stands for something at that point, that ranges lie in their
    regions, and that all of it stays within `MAX_PAGES`.
    """
    from jsonschema.exceptions import best_match

    operations = scenario.get("operations") if isinstance(scenario, dict) else None
    if isinstance(operations, list) and len(operations) > _MAX_OPERATIONS:  # to look at each takes a while
        raise InvalidArgument(f"Scenario, at operations: there are more than {_MAX_OPERATIONS}; cut it into parts.")
    try:
        json.dumps(scenario, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a scenario of a program's own, with what no file can hold
        raise InvalidArgument(
            "A scenario holds what JSON can say: dicts, lists, text, True, False, None and finite numbers."
        ) from None
    error = best_match(_validator().iter_errors(scenario))
    if error is not None:
        message = error.message if len(error.message) <= 160 else f"{error.message[:160]}…"
        raise InvalidArgument(f"Scenario, at {_path(error.absolute_path)}: {message}.")
    if _pages(scenario.get("machine", {}).get("ram", "16M"), "machine.ram") > _MAX_RAM_PAGES:
        raise InvalidArgument(f"Scenario, at machine.ram: at most {_MAX_RAM_PAGES} pages can be had.")
    names = _Names()
    for number, operation in enumerate(scenario["operations"]):
        names.where = f"operations[{number}]"
        getattr(names, operation["op"])(operation)


def _path(parts: Any) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.lstrip(".") or "the top"


def _pages(size: int | str, where: str) -> int:
    try:
        return pages_of(size, where)
    except InvalidArgument as error:
        raise InvalidArgument(f"Scenario, at {where}: {error}") from None


class _Names:
    """Plays the operations on names alone; a method for each operation."""

    def __init__(self) -> None:
        self.where = ""
        self.processes: dict[str, dict[str, int]] = {}
        self.memcgs: set[str] = set()
        self.devices: set[str] = set()
        self.accesses = 0

    def fail_at(self, key: str, message: str) -> NoReturn:
        raise InvalidArgument(f"Scenario, at {self.where}.{key}: {message}.")

    def known(self, operation: Operation, key: str, names: Any, what: str) -> None:
        if operation[key] not in names:
            self.fail_at(key, f"there is no {what} {operation[key]!r} at this point")

    def fresh(self, operation: Operation, key: str, names: Any, what: str) -> None:
        if operation[key] in names:
            self.fail_at(key, f"there is a {what} {operation[key]!r} already")

    def within(self, operation: Operation) -> None:
        """A range of pages must lie in its region."""
        self.known(operation, "process", self.processes, "process")
        regions = self.processes[operation["process"]]
        self.known(operation, "region", regions, "region")
        first, size = operation.get("first", 0), regions[operation["region"]]
        pages = operation.get("pages", size - first)
        if pages < 1 or first + pages > size:
            self.fail_at("first" if first >= size else "pages", f"the region has pages 0 to {size - 1} only")
        self.accesses += pages
        if self.accesses > _MAX_ACCESSES:
            self.fail_at("pages", f"this would be more than {_MAX_ACCESSES} page accesses; cut the scenario into parts")

    def bounded(self, key: str) -> None:
        if sum(sum(regions.values()) for regions in self.processes.values()) > MAX_PAGES:
            self.fail_at(key, f"all processes together would map more than {MAX_PAGES} pages")

    def swapon(self, operation: Operation) -> None:
        self.fresh(operation, "device", self.devices, "device")
        if _pages(operation["size"], f"{self.where}.size") < 2:
            self.fail_at("size", "a device needs two pages at least, one for its header")
        self.devices.add(operation["device"])

    def swapoff(self, operation: Operation) -> None:
        self.known(operation, "device", self.devices, "device")
        self.devices.remove(operation["device"])

    def memcg(self, operation: Operation) -> None:
        self.fresh(operation, "name", self.memcgs, "memcg")
        if "parent" in operation:
            self.known(operation, "parent", self.memcgs, "memcg")
        for key in ("max", "swap_max", "zswap_max"):
            if operation.get(key) not in (None, "max"):
                _pages(operation[key], f"{self.where}.{key}")
        self.memcgs.add(operation["name"])

    def spawn(self, operation: Operation) -> None:
        self.fresh(operation, "process", self.processes, "process")
        if "memcg" in operation:
            self.known(operation, "memcg", self.memcgs, "memcg")
        self.processes[operation["process"]] = {}

    def fork(self, operation: Operation) -> None:
        self.known(operation, "process", self.processes, "process")
        self.fresh(operation, "child", self.processes, "process")
        self.processes[operation["child"]] = dict(self.processes[operation["process"]])
        self.bounded("child")

    def exit(self, operation: Operation) -> None:
        self.known(operation, "process", self.processes, "process")
        del self.processes[operation["process"]]

    def mmap(self, operation: Operation) -> None:
        self.known(operation, "process", self.processes, "process")
        regions = self.processes[operation["process"]]
        self.fresh(operation, "region", regions, "region")
        regions[operation["region"]] = _pages(operation["size"], f"{self.where}.size")
        if not regions[operation["region"]]:
            self.fail_at("size", "a region has one page at least")
        self.bounded("size")

    def munmap(self, operation: Operation) -> None:
        self.within(operation)

    def touch(self, operation: Operation) -> None:
        self.within(operation)

    def read(self, operation: Operation) -> None:
        self.within(operation)

    def write(self, operation: Operation) -> None:
        self.within(operation)
        contents = operation["contents"]
        source = [key for key in _SOURCES if key in contents]
        if len(source) != 1:
            self.fail_at("contents", f"name one source: {', '.join(_SOURCES)}")
        known = {"mix": MIXES, "kind": KINDS, "real": ("all", *REAL_KINDS)}.get(source[0])
        if known is not None and contents[source[0]] not in known:
            self.fail_at(f"contents.{source[0]}", f"{contents[source[0]]!r} is none of {', '.join(known)}")

    def reclaim(self, operation: Operation) -> None:
        if "memcg" in operation:
            self.known(operation, "memcg", self.memcgs, "memcg")

    writeback = reclaim

    def fail(self, operation: Operation) -> None:
        """Requests are a device's, the rest is zswap's."""
        if operation["what"] in ZSWAP_FAULTS:
            for key in ("device", "error"):
                if key in operation:
                    self.fail_at(key, f"{operation['what']!r} is of zswap, it has no {key}")
        elif "device" not in operation:
            self.fail_at("what", f"{operation['what']!r} is of a device; name it")
        else:
            self.known(operation, "device", self.devices, "device")

    def heal(self, operation: Operation) -> None:
        """It needs nothing."""

    def mark(self, operation: Operation) -> None:
        """A label needs nothing."""
