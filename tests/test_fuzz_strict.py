"""Fuzz targets of the shared readers: JSON, numbers, sizes, paths, and files that are none."""

from __future__ import annotations

import ast
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
from fuzzkit import HOSTILE, bounded, check_sentence, damaged, outcome
from hypothesis import given
from hypothesis import strategies as st

from vswaplab import strict
from vswaplab.errors import InvalidArgument, NoMemory, NotFound, SwapError
from vswaplab.strict import load_json, open_bounded, quoted, read_bounded, real_number, require_memory, whole_number
from vswaplab.units import parse_size

PACKAGE = Path(strict.__file__).resolve().parent
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
VALID_JSON = b'{"name": "x", "machine": {"ram": "16M", "seed": 3}, "operations": [{"op": "mark", "label": "a\\u00e9"}]}'


# -- JSON --------------------------------------------------------------------------------------------------------------


@given(JSON)
def test_json_that_python_writes_comes_back(value: Any) -> None:
    """Strict does not mean narrow: any tree of plain values is read as it was written."""
    assert load_json(json.dumps(value).encode(), "x") == value
    assert load_json(json.dumps(value, ensure_ascii=False).encode(), "x") == value


@given(
    damaged(VALID_JSON)
    | st.binary(max_size=64)
    | st.text('[]{}",:0123456789-+.eENIa\\u \n', max_size=64).map(str.encode)
)
def test_damaged_json_is_a_value_or_a_sentence(raw: bytes) -> None:
    """Whatever the bytes, there is a plain value or one sentence."""
    found = outcome(lambda: load_json(raw, "file.json"))
    if not isinstance(found, SwapError):
        json.dumps(found, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "line 1"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' twice"),
        (b'[{"k": {"dup": 1, "dup": 1}}]', "'dup' twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e400", "too large"),
        (b"-1e400", "too large"),
        (b"1" * 21, "21 digits"),
        (b"9" * 100_000, "100000 digits"),
        (b"[" * 65 + b"]" * 65, "nested"),
        (b"[" * 1_000_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'"\xff"', "UTF-8"),
        ('"x"'.encode("utf-16"), "UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"' + b"k" * 100_000 + b'": 1, "' + b"k" * 100_000 + b'": 1}', "twice"),
        (b"\xef\xbb\xbf{}", "line 1"),
        (b"{} {}", "extra data"),
        (b"{'a': 1}", "double quotes"),
    ],
)
def test_json_that_can_be_taken_in_two_ways_is_refused(raw: bytes, part: str) -> None:
    """Double keys, numbers that are none, depth, half characters, other encodings: refused, each by its name."""
    with pytest.raises(InvalidArgument, match=part) as caught:
        load_json(raw, "file.json")
    check_sentence(caught.value)


def test_json_at_the_bounds_is_read() -> None:
    """The bounds are where they are said to be."""
    assert load_json(b"[" * 64 + b"]" * 64, "x")
    assert load_json(b"1" * 20, "x") == int("1" * 20)
    assert load_json(b"1e308", "x") == 1e308
    assert load_json(b'"\\ud83d\\ude00"', "x") == "\U0001f600"


# -- numbers and sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_number_is_one_sentence(value: Any) -> None:
    """What is no number, or far from any bound, is refused by every reader of numbers."""
    for read in (
        lambda: whole_number(value, "n", 0, 9),
        lambda: real_number(value, "x", 0, 0.5),
        lambda: strict.flag(value if value is not True else "True", "f"),
        lambda: strict.choice(value, "name", ("a", "b")),
        lambda: strict.instance(value, Path, "path"),
        lambda: strict.seed_number(value if value != 10**12 else -5),
    ):
        with pytest.raises(InvalidArgument) as caught:
            read()
        check_sentence(caught.value)
    assert len(quoted(value)) <= 60


@given(st.integers(), st.integers(), st.integers())
def test_a_whole_number_lies_within_its_bounds(value: int, low: int, high: int) -> None:
    """A number within its bounds is returned, any other is refused."""
    found = outcome(lambda: whole_number(value, "n", low, high))
    assert found == value if low <= value <= high else isinstance(found, InvalidArgument)


@given(st.text(max_size=12) | st.text("0123456789.KMGTPEiBb +-_eE\t\n\u0661\u212a\u00b2", max_size=24))
def test_any_text_is_a_size_or_a_sentence(text: str) -> None:
    """A size read from text is bytes within bounds, made of ASCII digits alone."""
    found = outcome(lambda: parse_size(text))
    if isinstance(found, int):
        assert 0 <= found <= 1 << 62
        assert text.isascii()


@pytest.mark.parametrize(
    "text", ["1_000", "\u0661\u0662", "64\u212a", "1e3", "nan", "-1", "0x10", "9" * 30, "1" * 100_000]
)
def test_what_only_looks_like_a_size_is_refused(text: str) -> None:
    """Digits of other scripts, exponents, underscores, the Kelvin sign: no sizes."""
    with pytest.raises(InvalidArgument) as caught:
        parse_size(text)
    check_sentence(caught.value)


def test_nothing_is_asked_of_memory_that_the_machine_has_not() -> None:
    """More memory than there is is refused before it is taken, and it is said how much there is."""
    require_memory(1, "A byte")
    with pytest.raises(NoMemory, match="ask for less") as caught:
        require_memory(1 << 80, "A yobibyte")
    check_sentence(caught.value)


# -- files -------------------------------------------------------------------------------------------------------------


def hostile_path(folder: Path, kind: str) -> Path:
    """Make what `kind` says in `folder` and return its path."""
    path = folder / "file"
    match kind:
        case "folder":
            path.mkdir()
        case "circle":
            path.symlink_to(path)
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "terabyte":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "below a file":
            path.write_bytes(b"")
            path /= "x"
        case "long":
            path = folder / ("x" * 300)
        case "longer":
            path = Path("/x" * 4096)
        case "nul":
            path = folder / "a\0b"
        case "surrogate":
            path = folder / "a\ud800b"
        case "newline":
            path = folder / "a\nb"
    return path


NO_TEXT = [value for value in HOSTILE if not isinstance(value, str)]
KINDS = (
    *("folder", "circle", "fifo", "zero", "terabyte", "missing", "below a file", "long", "longer", "nul", "surrogate"),
    "newline",
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_to_read_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """Nothing is waited for, nothing is read beyond the limit, and one sentence says why."""
    path = hostile_path(tmp_path, kind)
    for read in (read_bounded, open_bounded):
        with bounded(1 << 20), pytest.raises(SwapError) as caught:
            read(path, 4096, "thing")
        check_sentence(caught.value)
    assert isinstance(caught.value, NotFound) == (kind in ("missing", "below a file", "newline"))


@pytest.mark.parametrize(
    "path", [value for value in HOSTILE if not isinstance(value, str)], ids=lambda v: type(v).__name__
)
def test_what_names_no_file_is_refused(path: Any) -> None:
    """A number, a list or bytes are no path."""
    with pytest.raises(InvalidArgument) as caught:
        read_bounded(path, 4096)
    check_sentence(caught.value)


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    """The limit is the largest size that is read."""
    (tmp_path / "x").write_bytes(b"12345678")
    assert read_bounded(tmp_path / "x", 8) == b"12345678"
    with pytest.raises(InvalidArgument, match="larger than 7"):
        read_bounded(tmp_path / "x", 7)


def test_a_file_that_does_not_tell_its_size_is_bounded() -> None:
    """Files of /proc have size 0 and contents; the limit holds for them as well."""
    with pytest.raises(InvalidArgument, match="larger than 8"):
        read_bounded("/proc/self/status", 8)


# -- nothing is unpickled ----------------------------------------------------------------------------------------------


RUNS_CODE = {Path("lab/grading/worker.py"): {"exec"}}
"""The one process that exists to run a learner's code, behind the sandbox; see docs/grading.md."""


def test_no_module_can_run_what_it_reads() -> None:
    """No module imports a reader that runs code, or calls one, but for the worker that is made for it."""
    modules = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "xml"}
    calls = {"eval", "exec", "load_module", "fromfile", "loadtxt", "genfromtxt", "memmap", "read_pickle"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & modules, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in modules, path
            elif isinstance(node, ast.keyword):
                assert node.arg != "allow_pickle" or ast.literal_eval(node.value) is False, path
            elif isinstance(node, ast.Call):
                called = node.func
                name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
                assert name not in calls - RUNS_CODE.get(path.relative_to(PACKAGE), set()), (path, name)
                numpy = isinstance(called, ast.Attribute) and getattr(called.value, "id", "") in ("np", "numpy")
                assert not (numpy and name == "load") or any(key.arg == "allow_pickle" for key in node.keywords), path


def test_the_damage_is_real() -> None:
    """The control of all targets: random bytes do get through to the readers' refusals."""
    draws = [random.Random(seed).randbytes(20) for seed in range(50)]
    assert all(isinstance(outcome(lambda raw=raw: load_json(raw, "x")), InvalidArgument) for raw in draws)
    assert math.isnan(HOSTILE[5])
