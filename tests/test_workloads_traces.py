"""Traces: those that ship load with the facts their table states; damaged or hostile files are refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.workloads import traces
from vswaplab.workloads.corpus import data_dir
from vswaplab.workloads.traces import Trace, load_trace, trace_names


def test_shipped_traces_are_four_and_agree_with_their_table() -> None:
    """References, pages, accesses and share of writes of each equal what traces.json states."""
    table = json.loads((data_dir() / "traces" / "traces.json").read_text())
    assert trace_names() == sorted(table) == ["cc1", "python_json", "sort", "sqlite"]
    for name, facts in table.items():
        trace = load_trace(name)
        assert (len(trace), trace.nr_pages, trace.accesses) == (
            facts["refs"],
            facts["unique_pages"],
            facts["data_accesses"],
        )
        assert float(trace.write.mean()) == pytest.approx(facts["writes"], abs=1e-12)
        assert [str(array.dtype) for array in (trace.ref, trace.write, trace.page)] == ["uint16", "bool", "uint64"]


def arrays(**changes: Any) -> dict[str, Any]:
    good = {
        "ref": np.array([0, 1, 0, 2], np.uint16),
        "write": np.packbits([True, False, False, True]),
        "page": np.array([7, 8, 9], np.uint64),
        "accesses": np.array(40),
    }
    return {name: array for name, array in (good | changes).items() if array is not None}


def npz(path: Path, members: dict[str, Any]) -> Path:
    np.savez(path, **members)
    return path


def test_own_npz_is_read(tmp_path: Path) -> None:
    """The control of the cases below: the shipped format, undamaged."""
    trace = load_trace(npz(tmp_path / "mine.trace.npz", arrays()))
    assert (trace.name, trace.accesses, trace.ref.tolist()) == ("mine", 40, [0, 1, 0, 2])
    assert (trace.write.tolist(), trace.page.tolist()) == ([True, False, False, True], [7, 8, 9])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ref": None}, "array 'ref' must be there"),
        ({"ref": np.array([0.5])}, "row of integers"),
        ({"ref": np.array([[0, 1]], np.uint16)}, "row of integers"),
        ({"ref": np.array([0, -1], np.int16)}, "unsigned"),
        ({"ref": np.array([0, 1, 3, 0], np.uint16)}, "beyond"),
        ({"ref": np.array([0, 1, 1 << 32, 0], np.uint64)}, "beyond"),
        ({"write": np.zeros(9, np.uint8)}, "one packed bit"),
        ({"write": np.zeros(1, np.uint16)}, "one packed bit"),
        ({"accesses": np.array([1, 2])}, "one number"),
    ],
)
def test_inconsistent_npz_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Missing arrays, wrong dtypes and indices out of range are one clear EINVAL."""
    with pytest.raises(InvalidArgument, match=message):
        load_trace(npz(tmp_path / "bad.npz", arrays(**changes)))


@pytest.mark.parametrize("keep", [0, 1, 100, -40, -1])
def test_truncated_npz_is_refused(tmp_path: Path, keep: int) -> None:
    """A file that ends early is EINVAL wherever it ends."""
    path = npz(tmp_path / "cut.npz", arrays())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidArgument) as caught:
        load_trace(path)
    assert isinstance(caught.value, SwapError)


class Bomb:
    """Sets a mark if it is ever unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_pickles_are_never_run(tmp_path: Path) -> None:
    """An object array is refused by its dtype; its pickle is not touched."""
    path = npz(tmp_path / "evil.npz", arrays(ref=np.array([Bomb()], object)))
    with pytest.raises(InvalidArgument):
        load_trace(path)
    (tmp_path / "evil.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidArgument):
        load_trace(tmp_path / "evil.npy")


def member(path: Path, header: dict[str, Any], body: bytes) -> Path:
    """An .npz whose `ref` has the header given."""
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, header)
    npz(path, arrays(ref=None))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ref.npy", raw.getvalue() + body)
    return path


def test_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path: Path) -> None:
    """A header of 2**50 numbers is compared with the bytes there are before any array is made."""
    header = {"descr": "<u2", "fortran_order": False, "shape": (1 << 50,)}
    with pytest.raises(InvalidArgument, match="truncated"):
        load_trace(member(tmp_path / "huge.npz", header, b"\0\0"))


def test_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member whose stated size is over the bound is refused unread."""
    monkeypatch.setattr(traces, "MAX_TRACE_BYTES", 1 << 20)
    header = {"descr": "<u2", "fortran_order": False, "shape": (1 << 20,)}
    path = member(tmp_path / "bomb.npz", header, bytes(2 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InvalidArgument, match="too large"):
        load_trace(path)


def test_npy_of_page_numbers_is_renumbered(tmp_path: Path) -> None:
    """Page numbers of any size become dense indices, in ascending order, and nothing writes."""
    np.save(tmp_path / "own.npy", np.array([1 << 40, 5, 1 << 40], np.uint64))
    trace = load_trace(tmp_path / "own.npy")
    assert (trace.ref.tolist(), trace.page.tolist()) == ([1, 0, 1], [5, 1 << 40])
    assert not trace.write.any()


def test_an_empty_trace_is_refused_in_every_form(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([], np.int64))
    empty = {"ref": np.array([], np.uint16), "write": np.array([], np.uint8), "page": np.array([], np.uint64)}
    npz(tmp_path / "b.npz", arrays() | empty)
    (tmp_path / "c.txt").write_text("# nothing\n")
    for name in ("a.npy", "b.npz", "c.txt"):
        with pytest.raises(InvalidArgument, match="holds no page number; "):
            load_trace(tmp_path / name)


def test_text_of_page_numbers_is_read(tmp_path: Path) -> None:
    """One page number a line, hexadecimal too, ,w for a write, comments and blank lines skipped."""
    (tmp_path / "own.txt").write_text("# mine\n12,w\n\n0x10\n12,r # again\n")
    trace = load_trace(str(tmp_path / "own.txt"))
    assert (trace.ref.tolist(), trace.page.tolist()) == ([0, 1, 0], [12, 16])
    assert trace.write.tolist() == [True, False, False]


@pytest.mark.parametrize("line", ["twelve", "12,x", "-1", "1 2 3", "1" * 40, "9" * 70, "\u00b9", "1_0,w,w", "w"])
def test_text_that_is_not_a_trace_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    """The message names the line that can't be read."""
    (tmp_path / "bad.csv").write_text(f"1\n{line}\n")
    with pytest.raises(InvalidArgument, match="line 2"):
        load_trace(tmp_path / "bad.csv")


def test_unknown_trace_lists_those_that_exist() -> None:
    """ENOENT with the names to choose from."""
    with pytest.raises(NotFound, match="cc1, python_json, sort, sqlite"):
        load_trace("firefox")
    with pytest.raises(NotFound, match="no trace file"):
        load_trace("./no/such.npz")


def test_trace_needs_a_write_flag_for_each_reference() -> None:
    """Arrays of unequal length are refused when the trace is made."""
    with pytest.raises(InvalidArgument, match="one each"):
        Trace("t", np.zeros(3, np.uint32), np.zeros(2, bool), np.zeros(1, np.uint64), 3)


@pytest.mark.parametrize("pages", [[[1]], [-1], [0.5]])
def test_pages_that_are_not_page_numbers_are_refused(pages: Any) -> None:
    """Tables, negative numbers and fractions are EINVAL."""
    with pytest.raises(InvalidArgument):
        Trace.from_pages("t", pages)
