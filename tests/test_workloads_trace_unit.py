"""Page numbers or byte addresses: no trace of pages is taken for addresses, and no addresses for pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzkit import check_sentence
from hypothesis import given
from hypothesis import strategies as st

from vswaplab import cli
from vswaplab.errors import InvalidArgument
from vswaplab.workloads import generators
from vswaplab.workloads.replay import replay
from vswaplab.workloads.trace_unit import doubt
from vswaplab.workloads.traces import Trace, load_trace, trace_names

BASES = {
    "nothing": 0,
    "lowest mapped": 0x1_0000,
    "not PIE": 0x40_0000,
    "valgrind": 0x400_1000,
    "stack of 32 bits": 0xBF80_0000,
    "Java heap": 0x6_0000_0000,
    "arm64, 39 bits": 0x55_0000_0000,
    "Go heap": 0xC0_0000_0000,
    "PIE": 0x5555_5555_4000,
    "stack": 0x7FF0_0000_0000,
    "stack of 57 bits": 0xFF_FFFF_FFFF_0000,
    "kernel": 0xFFFF_8880_0000_0000,
}
RANDOM = np.random.default_rng(13)


def distinct(numbers: Any) -> Any:
    return np.unique(np.asarray(numbers, np.uint64))


def addresses(base: int, offsets: Any) -> Any:
    return distinct(np.asarray(offsets, np.uint64) + np.uint64(base))


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", trace_names())
def test_the_traces_that_ship_are_pages_and_as_addresses_are_not(name: str) -> None:
    page = load_trace(name).page
    assert doubt(distinct(page)) is None
    starts = page << np.uint64(12)
    assert "multiples of 4096" in str(doubt(distinct(starts)))
    for apart in (1, 8):
        inside = RANDOM.integers(0, 4096 // apart, 4 * len(page), np.uint64) * np.uint64(apart)
        assert doubt(distinct(np.tile(starts, 4) | inside)) is not None


@pytest.mark.parametrize("pages", [10, 1000, 5000, 100_000])
@pytest.mark.parametrize("base", [0, 0x400, 0x5_5555_5000, 0x7_FF00_0000, 0xF_FFF8_8800_0000])
def test_pages_of_a_program_are_pages_wherever_it_lies(pages: int, base: int) -> None:
    """Of one that touches most of what it maps, by any of the patterns, from the bottom, the top, or the kernel's."""
    for made in (
        generators.sequential(pages, 10 * pages),
        generators.zipf(pages, 20 * pages),
        generators.phases(pages, 10 * pages),
        generators.scan(pages, 10 * pages, period=100),
        RANDOM.integers(0, pages, 3 * pages),
    ):
        assert doubt(addresses(base, made)) is None


@pytest.mark.parametrize("numbers", [[], [0], [7], [7, 0, 1, 2, 4095], [5, 1 << 40], [10**9], [10**9, 10**11]])
def test_few_pages_are_pages(numbers: list[int]) -> None:
    """Small numbers, and any that would each be on a page of its own."""
    assert doubt(distinct(numbers)) is None


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("apart", [2, 4, 8, 64, 4096])
def test_addresses_at_a_distance_are_no_pages(base: str, apart: int) -> None:
    assert doubt(addresses(BASES[base], np.arange(3000) * apart)) is not None


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("pages", [2, 8, 100])
def test_addresses_here_and_there_are_no_pages(base: str, pages: int) -> None:
    """Three hundred a page, at any byte."""
    assert doubt(addresses(BASES[base], RANDOM.integers(0, pages * 4096, 300 * pages))) is not None


@pytest.mark.parametrize("base", [name for name in BASES if name not in ("nothing", "Java heap")])
def test_addresses_byte_by_byte_are_no_pages(base: str) -> None:
    """Even a buffer read byte by byte lies where no page number does, or says nothing of being one."""
    if base == "lowest mapped":
        assert doubt(addresses(BASES[base] + 1, np.arange(20_000))) is not None
    else:
        assert doubt(addresses(BASES[base], np.arange(20_000))) is not None


@given(
    st.lists(st.integers(1 << 16, (1 << 34) - 64), min_size=2, max_size=40, unique=True),
    st.sampled_from([1, 4, 8]),
)
def test_where_addresses_share_a_page_they_are_never_read_as_pages(starts: list[int], apart: int) -> None:
    """Whatever a program touches below 16 GiB: silence is kept only where both readings give one trace."""
    numbers = distinct([start + step * apart for start in starts for step in range(3)])
    if doubt(numbers) is None:
        assert len(np.unique(numbers >> np.uint64(12))) == len(numbers)


# -- files -------------------------------------------------------------------------------------------------------------


def written(folder: Path, kind: str, numbers: Any) -> Path:
    path = folder / f"own.{kind}"
    if kind == "npy":
        np.save(path, numbers)
    elif kind == "npz":
        made = Trace.from_pages("own", numbers)
        np.savez(path, ref=made.ref, write=np.packbits(made.write), page=made.page, accesses=np.array(made.accesses))
    else:
        path.write_text("\n".join(f"{number:#x}" for number in numbers.tolist()))
    return path


EIGHT_PAGES = RANDOM.integers(0, 8 * 4096, 3000, np.uint64) + np.uint64(0x7FF0_0000_0000)


@pytest.mark.parametrize("kind", ["txt", "csv", "npy", "npz"])
def test_a_file_of_addresses_is_refused_until_its_unit_is_said(tmp_path: Path, kind: str) -> None:
    """3,000 addresses on 8 pages: a sentence, 8 pages, or as many pages as there are numbers."""
    path = written(tmp_path, kind, EIGHT_PAGES)
    with pytest.raises(InvalidArgument, match=r"--unit byte or --unit page.*unit=") as caught:
        load_trace(path)
    check_sentence(caught.value)
    trace = load_trace(path, unit="byte")
    assert (trace.unit, len(trace), trace.page.tolist()) == ("byte", 3000, list(range(0x7_FF00_0000, 0x7_FF00_0008)))
    assert trace.page[trace.ref].tolist() == (EIGHT_PAGES >> np.uint64(12)).tolist()
    as_pages = load_trace(path, unit="page")
    assert (as_pages.unit, as_pages.nr_pages) == ("page", len(np.unique(EIGHT_PAGES)))
    assert replay(path, "64K", unit="byte", contents=None).as_dict()["unit"] == "byte"


@pytest.mark.parametrize("kind", ["txt", "npy", "npz"])
def test_a_file_of_pages_is_read_without_a_word(tmp_path: Path, kind: str) -> None:
    pages = np.asarray(generators.zipf(5000, 60_000), np.uint64)
    trace = load_trace(written(tmp_path, kind, pages))
    assert (trace.unit, trace.page[trace.ref].tolist()) == ("page", pages.tolist())


def test_units_that_are_none_and_units_of_what_has_its_pages_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "negative.npy", np.array([-4096, 8192]))
    calls = [
        lambda: load_trace("sqlite", unit="bytes"),
        lambda: load_trace("sqlite", unit=4096),  # type: ignore[arg-type]
        lambda: load_trace("sqlite", unit="byte"),
        lambda: load_trace(tmp_path / "negative.npy", unit="byte"),
        lambda: replay(load_trace("sqlite"), "1M", unit="page"),
        lambda: replay(np.arange(9), "1M", unit="byte"),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument) as caught:
            call()
        check_sentence(caught.value)
    assert load_trace("sqlite", unit="page").unit == "page"


def test_the_command_asks_for_the_unit_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line on stderr; with --unit byte 8 pages, and the unit in text and JSON."""
    argv = ["replay", str(written(tmp_path, "txt", EIGHT_PAGES)), "--ram", "64K", "--contents", "none"]
    assert cli.main(argv) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "--unit byte or --unit page" in printed.err
    assert cli.main([*argv, "--unit", "byte"]) == 0
    assert "references to 8 pages, 16 frames, from byte addresses" in capsys.readouterr().out
    for unit, pages in (("byte", 8), ("page", len(np.unique(EIGHT_PAGES)))):
        assert cli.main([*argv, "--unit", unit, "--json"]) == 0
        got = json.loads(capsys.readouterr().out)
        assert (got["unit"], got["pages"]) == (unit, pages)
    assert cli.main(["replay", "sqlite", "--ram", "1M", "--contents", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "page"
