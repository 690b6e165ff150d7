"""Fuzz targets of trace files: .npy, .npz and text."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzkit import HOSTILE, bounded, check_sentence, damaged, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument, NoMemory, SwapError
from vswaplab.workloads import generators
from vswaplab.workloads.traces import Trace, load_trace

PEAK = 1 << 23
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def npy(array: Any) -> bytes:
    """Return an array as numpy saves it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, version: int = 1) -> bytes:
    """Return the start of an .npy file whose header is `text`, whatever that is."""
    raw = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes((version, 0)) + len(raw).to_bytes(2 if version == 1 else 4, "little") + raw


ARRAYS = {
    "ref": npy(np.arange(16, dtype=np.uint16) % 4),
    "write": npy(np.array([1, 2], np.uint8)),
    "page": npy(np.arange(4, dtype=np.uint64)),
    "accesses": npy(np.array(99)),
}


def npz(method: int = zipfile.ZIP_DEFLATED, **changed: bytes | None) -> bytes:
    """Return the shipped form of a trace, with members changed or left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, raw in {**ARRAYS, **changed}.items():
            if raw is not None:
                archive.writestr(f"{name}.npy", raw)
    return file.getvalue()


def load(path: Path, raw: bytes, unit: str | None = None) -> Any:
    """Return the trace in bytes, or the error in one sentence."""
    path.write_bytes(raw)
    found = outcome(lambda: load_trace(path, unit))
    if isinstance(found, Trace):
        assert len(found.ref) == len(found.write)
        assert not len(found) or int(found.ref.max()) < found.nr_pages
    return found


@ONE_FOLDER
@given(damaged(npy(np.arange(40) % 7)))
def test_damaged_npy(tmp_path: Path, raw: bytes) -> None:
    """A damaged .npy is a trace or a sentence."""
    load(tmp_path / "x.npy", raw)


@ONE_FOLDER
@given(damaged(npz(zipfile.ZIP_STORED)) | damaged(npz()))
def test_damaged_npz(tmp_path: Path, raw: bytes) -> None:
    """A damaged .npz is a trace or a sentence."""
    load(tmp_path / "x.npz", raw)


@ONE_FOLDER
@given(st.sampled_from(sorted(ARRAYS)), st.data())
def test_npz_of_damaged_arrays(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """A whole zip of one damaged array is a trace or a sentence."""
    load(tmp_path / "x.npz", npz(**{name: data.draw(damaged(ARRAYS[name]))}))


UNITS = st.sampled_from([None, "byte", "page"])


@ONE_FOLDER
@given(
    damaged(b"0x10,w\n17\n# all\n\n3,r\n")
    | damaged("0x10,w\r\n17\r\n3,r\r\n".encode("utf-16"))
    | st.text("0123456789xXabo_+-.,rw# \n\r\0\u0661\ufeff", max_size=40).map(str.encode),
    UNITS,
)
def test_damaged_text(tmp_path: Path, raw: bytes, unit: str | None) -> None:
    """Damaged text is a trace or a sentence, whatever its unit is said to be."""
    found = load(tmp_path / "x.txt", raw, unit)
    assert isinstance(found, Trace | InvalidArgument)


LACKEY = b"==7== Lackey\nI  04001090,3\n L 1ffefffe78,8\nout 42\n S 1ffefffffc,8\n M 0421c7cc,4\n"


@ONE_FOLDER
@given(
    damaged(LACKEY)
    | st.lists(st.sampled_from([*LACKEY.splitlines(True), b" S ", b"12\n", b"\xff", b"0", b",", b"#\n"])).map(b"".join),
    UNITS,
)
def test_damaged_lines_of_lackey(tmp_path: Path, raw: bytes, unit: str | None) -> None:
    """Lines of lackey's that are damaged, mixed or glued are a trace of byte addresses, of numbers, or a sentence."""
    found = load(tmp_path / "x.txt", raw, unit)
    assert isinstance(found, Trace | InvalidArgument)
    assert not isinstance(found, Trace) or len(found) > 0


NUMBER = st.integers(0, 1 << 14) | st.integers(0, (1 << 64) - 1) | st.integers(0x40_0000, 0x40_3000)


@ONE_FOLDER
@given(st.lists(st.tuples(NUMBER, st.sampled_from(["", ",r", ",w", " w", ","]), st.booleans()), min_size=1), UNITS)
def test_numbers_are_read_right_or_asked_about(
    tmp_path: Path, lines: list[tuple[int, str, bool]], unit: str | None
) -> None:
    """Any numbers in any form: each is its page, in order; silent only if both readings are one, or dense."""
    text = "".join(f"{number:#x}{after}\n" if hexed else f"{number}{after}\n" for number, after, hexed in lines)
    found = load(tmp_path / "x.txt", text.encode(), unit)
    numbers = [number for number, _, _ in lines]
    if isinstance(found, Trace):
        shift = 12 if unit == "byte" else 0
        assert found.page[found.ref].tolist() == [number >> shift for number in numbers]
        assert found.write.tolist() == ["w" in after for _, after, _ in lines]
        assert found.unit == (unit or "page")
        if unit is None and max(numbers) >= 4096 and len({number >> 12 for number in numbers}) < len(set(numbers)):
            beside = [number for number in set(numbers) if {number - 1, number + 1} & set(numbers)]
            assert len(beside) >= 0.75 * len(set(numbers))
    else:
        assert unit is None
        assert "--unit byte or --unit page" in str(found)


@pytest.mark.parametrize(
    "raw",
    [
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (1000000000000,), }"),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (99999999999999999999999999999,), }"),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (True,), }") + bytes(8),
        header("{'descr': '|V0', 'fortran_order': False, 'shape': (3,), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + pickle.dumps([1]),
        header("{'descr': [('a', '<u8')], 'fortran_order': False, 'shape': (1,), }") + bytes(8),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }") + bytes(8),
        header("{'descr': '<u8', 'fortran_order': False, 'shape': (1L,), }") + bytes(8),
        header("(" * 9000),
        header("(" * 60000),
        header("(" * 900_000, version=2),
        header("{" * 200),
        header("\\" * 200),
        header("\0" * 100),
        header("{'descr': " + "-" * 8000 + "1}"),
        header("9" * 9000),
        b"\x93NUMPY\x03\x00" + npy(np.arange(3))[8:],
        b"",
        b"\x93NUMPY",
        pickle.dumps(np.arange(3)),
        npy(np.array([1.0, np.nan])),
        npy(np.array([-1, 2])),
        npy(np.zeros((2, 2), np.int64)),
        npy(np.array([True])),
        npy(np.array(["1"])),
    ],
    ids=range(26),
)
def test_npy_that_is_no_trace(tmp_path: Path, raw: bytes) -> None:
    """Headers that lie or nest, arrays of anything but numbers, and pickles: one sentence, in little memory."""
    (tmp_path / "x.npy").write_bytes(raw)
    with bounded(PEAK), pytest.raises(InvalidArgument) as caught:
        load_trace(tmp_path / "x.npy")
    check_sentence(caught.value)


def test_pickle_in_an_array_is_never_run(tmp_path: Path) -> None:
    """An array of objects whose pickle would make a file makes none."""

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "ran"), "w")

    raw = io.BytesIO()
    np.save(raw, np.array([Payload()], object), allow_pickle=True)
    (tmp_path / "x.npy").write_bytes(raw.getvalue())
    (tmp_path / "x.npz").write_bytes(npz(ref=raw.getvalue()))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(InvalidArgument):
            load_trace(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    """An array of 256 MiB in a zip of 256 KiB is refused by what the zip says of it."""
    zeros = header("{'descr': '|u1', 'fortran_order': False, 'shape': (268435456,), }") + bytes(1 << 28)
    (tmp_path / "x.npz").write_bytes(npz(ref=zeros))
    del zeros
    with bounded(PEAK), pytest.raises(InvalidArgument, match="too large"):
        load_trace(tmp_path / "x.npz")


def test_zip_that_states_more_than_it_holds_is_truncated(tmp_path: Path) -> None:
    """A member whose stated size is a lie is refused: it is too large to take, or too short when it is read."""
    raw = bytearray(npz())
    at = raw.find(b"PK\x01\x02")
    for stated in (0x3FFF_FFFF, len(ARRAYS["ref"]) + 8):
        raw[at + 24 : at + 28] = stated.to_bytes(4, "little")
        (tmp_path / "x.npz").write_bytes(raw)
        with bounded(PEAK), pytest.raises(InvalidArgument) as caught:
            load_trace(tmp_path / "x.npz")
        check_sentence(caught.value)


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 99)], ids=["encrypted", "unknown method"])
def test_zip_that_can_not_be_unpacked(tmp_path: Path, at: int, value: int) -> None:
    """Members that are encrypted or packed in an unknown way are one sentence."""
    raw = bytearray(npz())
    raw[raw.find(b"PK\x01\x02") + at] = value
    assert isinstance(load(tmp_path / "x.npz", bytes(raw)), InvalidArgument)


def test_zip_of_many_members_is_refused_by_its_directory(tmp_path: Path) -> None:
    """A directory of thousands of members is not read into objects."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(5000):
            archive.writestr(f"{number}.npy", b"")
    (tmp_path / "x.npz").write_bytes(file.getvalue())
    with bounded(1 << 20), pytest.raises(InvalidArgument, match="more than the four"):
        load_trace(tmp_path / "x.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_of_a_member_twice_is_refused(tmp_path: Path) -> None:
    """Which of two arrays of one name is meant can't be told."""
    file = io.BytesIO(npz())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("ref.npy", ARRAYS["ref"])
    (tmp_path / "x.npz").write_bytes(file.getvalue())
    with pytest.raises(InvalidArgument, match="once"):
        load_trace(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"#\n\n",
        b"1_000\n",
        b"0o17\n",
        b"0b1\n",
        b"-0\n",
        b"+5\n",
        b"1e3\n",
        "\u0661\n".encode(),
        b"1\n\0\n",
        b"1,x\n",
        *(b"18446744073709551616\n", b"0x10000000000000000\n", b"1" * 10_000_000, b"1 w w\n", b"007\n", b"\xff\n"),
    ],
    ids=range(17),
)
def test_text_that_is_no_trace(tmp_path: Path, raw: bytes) -> None:
    """Whatever is no decimal or hexadecimal number of 64 bits is refused, and no trace is empty."""
    (tmp_path / "x.txt").write_bytes(raw)
    with bounded(PEAK), pytest.raises(InvalidArgument) as caught:
        load_trace(tmp_path / "x.txt")
    check_sentence(caught.value)


def test_the_controls_are_read(tmp_path: Path) -> None:
    """Undamaged, each form is the trace that was written."""
    assert load(tmp_path / "x.npz", npz()).accesses == 99
    assert len(load(tmp_path / "x.npy", npy(np.arange(40) % 7))) == 40
    assert load(tmp_path / "x.txt", b"0x10,w\n17\n").write.tolist() == [True, False]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_generators_refuse_what_can_not_be_meant(value: Any) -> None:
    """No generator takes memory for, or works on, an argument that can't be meant."""
    calls = [
        *(lambda make=make: make(value, 20) for make in (generators.sequential, generators.zipf, generators.phases)),
        *(lambda make=make: make(10, value) for make in (generators.sequential, generators.zipf, generators.scan)),
        lambda: generators.zipf(10, 20, alpha=value if value != 1.5 else -2),
        lambda: generators.phases(10, 20, nr_phases=value),
        lambda: generators.scan(10, 20, period=value),
        lambda: generators.with_writes(value, 0.5),
        lambda: generators.with_writes(np.zeros(3, np.uint32), value),
        lambda: generators.fork_heavy(value),
        lambda: Trace.from_pages("x", [value]),
    ]
    for call in calls:
        with bounded(PEAK):
            found = outcome(call)
        small = isinstance(found, Trace) and len(found) == 1
        assert isinstance(found, SwapError) or small


def test_a_string_that_no_machine_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two billion references to 2**28 pages are more than a machine of 16 GiB can hold: ENOMEM, before any is taken."""
    monkeypatch.setattr("vswaplab.strict._memory_bytes", lambda: 16 << 30)
    for make in (generators.sequential, generators.zipf, generators.phases, generators.scan):
        with bounded(PEAK), pytest.raises(NoMemory, match="ask for less"):
            make(1 << 28, (1 << 31) - 1)
