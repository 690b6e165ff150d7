"""Traces in text: what is read right, what is refused by line and column, lackey's lines, and the lines of awk."""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from fuzzkit import bounded, check_sentence

from vswaplab.errors import InvalidArgument
from vswaplab.workloads.traces import Trace, load_trace

DOCS = Path(__file__).resolve().parent.parent / "docs" / "traces.md"


def load(folder: Path, raw: bytes | str, unit: str | None = None, name: str = "own.txt") -> Trace:
    (folder / name).write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return load_trace(folder / name, unit)


def references(trace: Trace) -> list[tuple[int, bool]]:
    """Return page number and write flag of each reference."""
    return list(zip(trace.page[trace.ref].tolist(), trace.write.tolist(), strict=True))


def refused(folder: Path, raw: bytes | str, unit: str | None = None) -> str:
    with pytest.raises(InvalidArgument) as caught:
        load(folder, raw, unit)
    check_sentence(caught.value)
    return str(caught.value)


# -- numbers -----------------------------------------------------------------------------------------------------------

PLAIN = "# mine\n12,w\n\n0x10\n  12 r # again\n13, W ,\n0XfF,\n"
READ = [(12, True), (16, False), (12, False), (13, True), (255, False)]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "not ended"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
    ids=["UTF-8", "UTF-8 marked", "UTF-16 little", "UTF-16 big"],
)
def test_text_of_any_system_is_the_same_trace(
    tmp_path: Path, ends: str, last: bool, mark: bytes, encoding: str
) -> None:
    text = PLAIN if last else PLAIN.rstrip("\n")
    assert references(load(tmp_path, mark + text.replace("\n", ends).encode(encoding))) == READ


def test_a_comment_may_be_as_long_as_it_likes(tmp_path: Path) -> None:
    long = "#" + "x" * 100_000
    assert references(load(tmp_path, f"{long}\n1\n2 {long}\n3\n")) == [(1, False), (2, False), (3, False)]


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        ("-1", 1, "negative"),
        ("-0x10", 1, "negative"),
        (" 1.5", 2, "whole number"),
        ("1e3", 1, "whole number"),
        ("+5", 1, "whole number"),
        ("nan", 1, "whole number"),
        ("Infinity", 1, "whole number"),
        ("18446744073709551616", 1, "beyond 2\\*\\*64 - 1"),
        ("0x10000000000000000", 1, "beyond 2\\*\\*64 - 1"),
        ("9" * 2000, 1, "beyond 2\\*\\*64 - 1"),
        ("9" * 5000, 4097, "more than 4096 characters"),
        ("7" + " " * 5000 + "x", 4097, "more than 4096 characters"),
        ("7" + " " * 4097 + "x" + " " * 4095 + "#", 4097, "more than 4096 characters"),
        ("7ffe3a10", 1, "without its 0x"),
        ("007", 1, "zeros in front"),
        ("0x", 1, "no page number"),
        ("1_000", 1, "no page number"),
        ("0b1", 1, "without its 0x"),
        ("0o17", 1, "no page number"),
        ("12;w", 1, "no page number"),
        ("12,x", 4, "only r or w"),
        ("12,S", 4, "only r or w"),
        ("12,w,4", 6, "more than a number"),
        ("12 13", 4, "only r or w"),
        ("12,,w", 3, "a comma too many"),
        (",12", 1, "no number before it"),
        (",", 1, "no number before it"),
        ("\u0661", 1, "no page number"),
        ("12\u00a0w", 1, "no page number"),
        ("I  04001090,3", 1, "files of their own"),
        ("==12== Lackey", 1, "files of their own"),
        ("1\0", 2, "zero byte"),
    ],
)
def test_a_line_that_is_no_number_is_refused_by_line_and_column(
    tmp_path: Path, line: str, column: int, said: str
) -> None:
    message = refused(tmp_path, f"1\n# two\n{line}\n4\n")
    assert f"own.txt, line 3, column {column} has " in message
    assert re.search(said, message)
    if "files of their own" not in said:
        assert f"own.txt, line 1, column {column} has " in refused(tmp_path, f"{line}\n4\n")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "holds no page number"),
        (b"# nothing\n\n", "holds no page number"),
        (codecs.BOM_UTF8, "holds no page number"),
        ("12\n13\n".encode("utf-16-le"), "UTF-16 without its mark"),
        ("12\n13\n".encode("utf-32"), "UTF-32; save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"1\0\n\0\x00\xd8\n\0", "line 2, column 1 has .*no page number"),
        (codecs.BOM_UTF16_LE + b"1\0\n\0" + b"2", "line 2, column 1 has .*no page number"),
        (b"1\n\xff\xfe\n", "line 2, column 1 has a byte that is no UTF-8"),
        (gzip.compress(b"12\n", mtime=0), "packed by gzip; unpack it with gunzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(20), "packed by zstd"),
        (b"\xfd7zXZ\0" + bytes(20), "packed by xz"),
        (b"BZh9" + bytes(20), "packed by bzip2"),
        (struct.pack("<IQIq", 5633898, 42932745, 512, -1), "docs/traces.md"),
        ("version,time,op,size,lbn\n1,5633898,2a,512,42932745\n", "line 1, column 1 .* docs/traces.md"),
        ("0x7ff0000007c8,S\n", "column 16 has 'S', where only r or w may stand; docs/traces.md"),
    ],
)
def test_what_is_no_such_text_is_refused_with_a_way_on(tmp_path: Path, raw: bytes | str, said: str) -> None:
    assert re.search(said, refused(tmp_path, raw))


# -- lackey ------------------------------------------------------------------------------------------------------------

LACKEY = """\
==123== Lackey, an example Valgrind tool
==123== Using Valgrind-3.19.0 and LibVEX; rerun with -h for copyright info
I  04001090,3
 L 1ffefffe78,8
--123-- a message of valgrind's that is not an error, and is rather long, longer than any line of numbers would be
Hello, world
42
 S 1ffefffffc,8
I  04001ffe,4
 M 0421c7cc,4
 L 0421d000,4096

==123== Counted 1 call to main()
"""
ACCESSED = [
    (0x1FFEFFF, False),
    (0x1FFEFFF, True),
    (0x1FFF000, True),
    (0x421C, True),
    (0x421D, False),
]


@pytest.mark.parametrize("unit", [None, "byte"])
@pytest.mark.parametrize("changed", ["as it is", "no messages", "Windows", "no blanks in front", "0x"])
def test_lackeys_lines_are_read(tmp_path: Path, unit: str | None, changed: str) -> None:
    """Data accesses by page, both pages where one goes over the end; fetches, messages and output are passed over."""
    text = LACKEY
    if changed == "no messages":
        text = "".join(re.findall(r"^(?:I | [LSM]) .*\n", LACKEY, flags=re.MULTILINE))
    elif changed == "Windows":
        text = LACKEY.replace("\n", "\r\n")
    elif changed == "no blanks in front":
        text = LACKEY.replace("\n ", "\n")
    elif changed == "0x":
        text = re.sub(r"(?m)^( [LSM] )", r"\g<1>0x", LACKEY)
    trace = load(tmp_path, text, unit)
    assert references(trace) == ACCESSED
    assert (trace.unit, trace.accesses, len(trace)) == ("byte", 4, 5)


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        (" L 1ffe", 1, "part of an access, ' L 1ffe'"),
        (" S ", 1, "part of an access"),
        (" M xyz,8", 1, "part of an access"),
        ("I  04001090,", 1, "part of an access"),
        (" L 1ffefffe78,0", 15, "an access of 0 bytes"),
        (" L 1ffefffe78,4097", 15, "an access of 4097 bytes"),
        (" S ffffffffffffffff,2", 21, "an access of 2 bytes"),
        ("Hello, world S 1ffefffe78,8", 13, "behind other output; .*--log-file"),
        ("x" * 10_000 + " S 1ffefffe78,8", 8182, "behind other output"),
    ],
)
def test_an_access_that_can_not_be_read_is_refused_by_line_and_column(
    tmp_path: Path, line: str, column: int, said: str
) -> None:
    message = refused(tmp_path, f"{LACKEY}{line}\n")
    assert "own.txt, line 14, column" in message
    assert re.search(said, message)
    if len(line) < 4096:
        assert f"column {column} has " in message


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        (LACKEY, "page", "byte addresses; leave the unit out"),
        ("==1== Lackey\nI  04001090,3\n", None, "1 instruction fetches, but no data access"),
        ("==1== Command: true\n==1==\n", None, "messages of valgrind's, but no data access"),
    ],
)
def test_lackeys_lines_without_a_data_access_or_as_pages_are_refused(
    tmp_path: Path, text: str, unit: str | None, said: str
) -> None:
    assert said in refused(tmp_path, text, unit)


def test_only_the_references_are_kept_of_a_large_file(tmp_path: Path) -> None:
    """Seven megabytes of lackey's lines, of which one in a hundred is an access, are read in less than one."""
    with (tmp_path / "own.txt").open("w") as file:
        for number in range(5000):
            file.write("I  04001090,3\n" * 99 + f" L {0x1FFE000000 + number * 8:08x},8\n")
    assert (tmp_path / "own.txt").stat().st_size > 6 << 20
    with bounded(1 << 20):
        trace = load_trace(tmp_path / "own.txt")
    assert (len(trace), trace.nr_pages) == (5000, 10)


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_what_valgrind_writes_is_read(tmp_path: Path) -> None:
    """A real program, its messages and its accesses on one stream: the pages are those of its lines."""
    command = ["valgrind", "--tool=lackey", "--trace-mem=yes", "echo", "done"]
    done = subprocess.run(command, capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"})
    trace = load(tmp_path, done.stderr)
    wanted = []
    for kind, address, size in re.findall(rb"^ ([LSM]) ([0-9a-f]+),(\d+)$", done.stderr, flags=re.MULTILINE):
        first = int(address, 16)
        pages = sorted({first >> 12, (first + int(size) - 1) >> 12})
        wanted += [(page, kind != b"L") for page in pages]
    assert len(wanted) > 10_000
    assert references(trace) == wanted


# -- what other tools write --------------------------------------------------------------------------------------------

PAGES = [(1, False), (2, True), (1, False)]
SAMPLES: dict[str, tuple[bytes, str | None, list[tuple[int, bool]]]] = {
    "trace.txt.gz": (gzip.compress(b"1\n2,w\n1\n", mtime=0), None, PAGES),
    "hex.txt": (b"1f\n20\n0a\n", None, [(31, False), (32, False), (10, False)]),
    "letters.txt": (b"0x1008,L\n0x400000,I\n0x2ff0,S\n0x1010,M\n", "byte", [(1, False), (2, True), (1, True)]),
    "table.csv": (b"time,page,op\n0.1,1,read\n0.2,2,write\n0.3,1,read\n", None, PAGES),
    "perf_script_F_addr.txt": (
        b"     7f1234567890 \n         401abc \n",
        "byte",
        [(0x7F1234567, False), (0x401, False)],
    ),
    "blocks.csv": (
        b"version,time,op,size,lbn\n1,5633898,28,512,42932745\n1,5633898,2a,4096,42932752\n",
        "page",
        [(5366593, False), (5366594, True)],
    ),
    "requests.oracleGeneral.bin": (
        b"".join(struct.pack("<IQIq", 7, number, 512, -1) for number in (42932745, 5 << 40, 12)),
        "page",
        [(42932745, False), (5 << 40, False), (12, False)],
    ),
}
LINES: Sequence[str] = re.findall(
    r"^```sh\n(.*?)\n```$", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
)


def test_each_line_of_awk_has_its_sample() -> None:
    assert len(LINES) == len(SAMPLES)
    assert [[name for name in SAMPLES if name in line] for line in LINES] == [[name] for name in SAMPLES]


@pytest.mark.parametrize("line", LINES, ids=list(SAMPLES))
def test_a_line_of_awk_makes_a_trace(tmp_path: Path, line: str) -> None:
    """As it stands in docs/traces.md, on a file in the form it is for; the unit is the one named beside it."""
    name, (raw, unit, wanted) = next(each for each in SAMPLES.items() if each[0] in line)
    (tmp_path / name).write_bytes(raw)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    written = tmp_path / line.rpartition("> ")[2]
    assert references(load_trace(written, unit)) == wanted
    before = DOCS.read_text(encoding="utf-8").partition(line)[0].rpartition("\n\n**")[2]
    assert (f"--unit {unit}" in before) == (unit is not None)
