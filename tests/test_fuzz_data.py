"""Fuzz targets of what ships in the data folder, and of swap headers."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzkit import HOSTILE, bounded, check_sentence, damaged, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vswaplab.backends.device import FileDevice, MemoryDevice
from vswaplab.backends.swap_header import SwapHeader, pack_header, parse_header
from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads import corpus
from vswaplab.workloads.kernel_tables import kernel_rows, table_rows
from vswaplab.workloads.kernel_tables_phases import phase_rows
from vswaplab.workloads.swapoff_kernel import kernel_swapoffs

DATA = Path(__file__).resolve().parent.parent / "data"
IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
READERS: dict[str, Callable[[], Any]] = {
    "swapout_by_content.csv": kernel_rows,
    "phases.csv": phase_rows,
    "swapoff.csv": kernel_swapoffs,
}
HEAD = {name: b"\n".join((DATA / "kernel" / name).read_bytes().splitlines()[:4]) + b"\n" for name in READERS}
INDEX = {"index": [{"kind": "a", "first": 0, "pages": 2}], "page_bytes": PAGE_SIZE, "pages": 2}
IN_JSON = [value for value in HOSTILE if type(value) not in (bytes, object) and value != HOSTILE[-1]] + [2.0, "2"]
PAGES = lzma.compress(bytes(range(256)) * 32)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a small data folder, in place of the real one."""
    (tmp_path / "kernel").mkdir()
    (tmp_path / "pages").mkdir()
    for name, head in HEAD.items():
        (tmp_path / "kernel" / name).write_bytes(head)
    (tmp_path / "pages" / "pages.json").write_text(json.dumps(INDEX))
    (tmp_path / "pages" / "pages_2x4KiB.raw.xz").write_bytes(PAGES)
    monkeypatch.setenv("VSWAPLAB_DATA", str(tmp_path))
    yield tmp_path
    shutil.rmtree(tmp_path)


# -- tables ------------------------------------------------------------------------------------------------------------


@IN_FOLDER
@given(st.sampled_from(sorted(READERS)), st.data())
def test_damaged_tables(data: Path, name: str, draws: st.DataObject) -> None:
    """A damaged table is rows or a sentence."""
    (data / "kernel" / name).write_bytes(draws.draw(damaged(HEAD[name])))
    outcome(READERS[name])


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw.splitlines()[0] + b"\n",
        lambda raw: raw.replace(b"kernel,", b"kernels,", 1),
        lambda raw: raw.replace(b"kernel,", b"kernel,kernel,", 1),
        lambda raw: raw + b"x,y\n",
        lambda raw: raw[:-3],
        lambda raw: raw + b'"never closed',
        lambda raw: raw.replace(b"\n6.", b"\nsix.", 1).replace(b"\n7.", b"\nseven.", 1),
        lambda raw: raw.replace(b",0,", b",1_0,"),
        lambda raw: raw.replace(b",0,", b",1e3,"),
        lambda raw: raw.replace(b",0,", b"," + b"9" * 5000 + b","),
        lambda raw: raw.replace(b",0,", ",\u0661,".encode()),
        lambda raw: raw + bytes(1 << 22),
    ],
    ids=range(13),
)
def test_tables_that_are_none(data: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """Columns missing or twice, rows cut off, counts that are none, megabytes behind the end: one sentence."""
    (data / "kernel" / name).write_bytes(damage(HEAD[name]))
    found = outcome(READERS[name])
    if damage(HEAD[name]) != HEAD[name][:-3]:
        assert isinstance(found, InvalidArgument)


def test_missing_tables_are_missing(data: Path) -> None:
    """A table, or a folder, that is not there says which."""
    (data / "kernel" / "phases.csv").unlink()
    with pytest.raises(NotFound, match=r"phases\.csv"):
        phase_rows()
    (data / "kernel" / "phases.csv").mkdir()
    with pytest.raises(InvalidArgument, match="folder"):
        table_rows("phases.csv")


# -- pages -------------------------------------------------------------------------------------------------------------


@IN_FOLDER
@given(damaged(json.dumps(INDEX).encode()), damaged(PAGES), st.booleans())
def test_damaged_pages(data: Path, index: bytes, pages: bytes, which: bool) -> None:
    """A damaged index, or damaged pages, are the pages stated or a sentence."""
    (data / "pages" / "pages.json").write_bytes(index if which else json.dumps(INDEX).encode())
    (data / "pages" / "pages_2x4KiB.raw.xz").write_bytes(PAGES if which else pages)
    corpus._load_real.cache_clear()
    with bounded(1 << 24):  # what xz itself takes, by the presets of xz
        found = outcome(corpus.real_pages)
    assert isinstance(found, SwapError) or all(len(page) == PAGE_SIZE for page in found)


@pytest.mark.parametrize("value", IN_JSON, ids=range(len(IN_JSON)))
def test_index_of_anything(data: Path, value: Any) -> None:
    """Any other value in any place of the index is refused."""
    text = json.dumps(value)
    for place in ("pages", "page_bytes", "index"):
        (data / "pages" / "pages.json").write_text(
            json.dumps({**INDEX, place: 0}).replace(f'"{place}": 0', f'"{place}": {text}')
        )
        corpus._load_real.cache_clear()
        with bounded(1 << 24):
            found = outcome(lambda: corpus.real_page_array("a"))
        assert isinstance(found, SwapError)
    for key in ("kind", "first", "pages"):
        row = {"kind": "a", "first": 1, "pages": 1, key: value}
        (data / "pages" / "pages.json").write_text(json.dumps({**INDEX, "index": [row]}))
        corpus._load_real.cache_clear()
        found = outcome(lambda: corpus.real_page_array("a"))
        assert isinstance(found, SwapError)


def test_pages_with_more_behind_them(data: Path) -> None:
    """A second stream behind the first is not read, and not left unsaid."""
    (data / "pages" / "pages_2x4KiB.raw.xz").write_bytes(PAGES + PAGES)
    corpus._load_real.cache_clear()
    with pytest.raises(InvalidArgument, match="does not hold"):
        corpus.real_pages()


def test_the_controls_are_read(data: Path) -> None:
    """Undamaged, the small folder is read whole."""
    corpus._load_real.cache_clear()
    assert len(corpus.real_pages()) == 2
    assert [len(read()) for _, read in sorted(READERS.items())] == [3, 3, 3]


# -- swap headers ------------------------------------------------------------------------------------------------------

HEADER = pack_header(SwapHeader(last_page=15, bad_pages=(3, 5), label="lab"), "x")


@given(
    damaged(HEADER)
    | st.tuples(st.integers(0, 1100), st.binary(min_size=1, max_size=40)).map(
        lambda change: (
            HEADER[:1024] + (HEADER[1024:][: change[0]] + change[1] + HEADER[1024 + change[0] + len(change[1]) :])
        )
    )
)
def test_damaged_headers(raw: bytes) -> None:
    """A damaged header says what can be, or is refused in a sentence."""
    found = outcome(lambda: parse_header(raw[:PAGE_SIZE].ljust(PAGE_SIZE, b"\0"), 16, "x"))
    if isinstance(found, SwapHeader):
        assert 0 < found.last_page < 16
        assert all(0 < page <= found.last_page for page in found.bad_pages)


@pytest.mark.parametrize("nr", [638, 1 << 20, 0xFFFF_FFFF])
def test_headers_that_state_more_than_a_page_holds(nr: int) -> None:
    """A number of bad pages beyond the page is refused before one is read."""
    raw = HEADER[:1032] + nr.to_bytes(4, "little") + HEADER[1036:]
    with bounded(1 << 16), pytest.raises(InvalidArgument, match="bad pages") as caught:
        parse_header(raw, 16, "x")
    check_sentence(caught.value)


@IN_FOLDER
@given(damaged(HEADER), st.integers(0, 3 * PAGE_SIZE))
def test_files_with_damaged_headers(data: Path, raw: bytes, size: int) -> None:
    """Opening a damaged or cut-off swapfile is a device, or a sentence and the file as it was."""
    path = data / "swap"
    before = raw.ljust(size, b"\0")
    path.write_bytes(before)
    found = outcome(lambda: FileDevice(path))
    if isinstance(found, SwapError):
        assert path.read_bytes() == before
    else:
        found.close()


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_devices_of_no_size(value: Any) -> None:
    """A device of a size that can't be is refused; one of a terabyte in memory takes none."""
    with bounded(1 << 20):
        found = outcome(lambda: MemoryDevice(value))
    assert isinstance(found, SwapError) == (value != 10**12)
