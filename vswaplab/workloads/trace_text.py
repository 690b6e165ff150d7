"""Traces in text: one number a line, or what valgrind's lackey writes, read line by line.

A line of numbers is a page number or a byte address, decimal or ``0x`` hexadecimal, then ``r`` or ``w`` if it is known,
with a comma or blanks between; a comma at the end, blank lines, and what follows a ``#`` are passed over. UTF-8, with
or without a byte order mark, and UTF-16 with one are read, whatever ends the lines.

Of ``valgrind --tool=lackey --trace-mem=yes`` the data accesses are taken: `` L addr,size`` reads, `` S`` writes, `` M``
reads and writes. Each is a reference to its page, or to two if it goes over a page's end. Instruction fetches (``I``)
are left out, as in the traces that ship. Valgrind's own lines (``==123==``) and the program's output are passed over.

A line that can't be read is named by number and column. Nothing but the references is kept, 9 bytes for each.
"""

from __future__ import annotations

import codecs
import io
import re
from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from vswaplab.entry import U64
from vswaplab.errors import InvalidArgument
from vswaplab.strict import quoted, shown
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE
from vswaplab.workloads.trace_unit import BYTE, PAGE, pages_of_addresses

__all__ = ["TextTrace", "read_text"]

_LONGEST_LINE = 4096
_LONGEST_NUMBER = 42
_ASK_FOR_ROOM = 1 << 20
"""References after which it is asked again whether there is room for them."""
_HELP = "docs/traces.md shows how to convert what other tools write"
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
    b"PK\x03\x04": ("zip", "unzip"),
}
_LETTERS = {"w": True, "W": True, "r": False, "R": False, None: False}

_DIGITS = r"0[xX][0-9a-fA-F]{1,40}|0|[1-9][0-9]{0,40}"
_NUMBER = re.compile(rf"[ \t]*+(?:({_DIGITS})(?:(?:[ \t]*+,[ \t]*+|[ \t]++)([rRwW]))?[ \t]*+,?[ \t]*+)?(?:#.*)?\n?")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.?[0-9]+)(e[-+]?[0-9]+)?|[-+]?(nan|inf|infinity)")
_NO_UTF8 = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` makes of bytes that are no UTF-8."""
_TOKEN = re.compile(r"[^ \t,#\n]+")
_ACCESS = re.compile(r"[ \t]*([ILSM])[ \t]+(?:0[xX])?([0-9a-fA-F]{1,16}),([0-9]{1,5})[ \t]*\n?")
_DAMAGED = re.compile(r"(?:I  | [LSM] )\S*\s*")
_BEHIND = re.compile(r"(?:I  | [LSM] )[0-9a-f]{8,16},[0-9]{1,5}\s*$")
_VALGRIND = re.compile(r"(==|--|\*\*)[0-9]+\1")


class TextTrace(NamedTuple):
    """What a text holds, one element for each reference."""

    numbers: U64
    """Shape (references,): page numbers, or what the lines say where nobody has said what that is."""
    write: npt.NDArray[np.bool_]
    """Shape (references,): True where the reference writes."""
    accesses: int
    """Lines that hold an access."""
    unit: str | None
    """What the lines say, "byte" or "page"; None where it is not known."""


def read_text(path: Path, file: BinaryIO, unit: str | None, room: Callable[[int], None]) -> TextTrace:
    """Read a text of numbers or of lackey's; `unit` is what its numbers are, where that is known.

    `room` is called with the references there are, from time to time, and raises where they are too many.
    InvalidArgument names the line and the column that can't be read.
    """
    encoding = _encoding(path, file)
    with io.TextIOWrapper(file, encoding, "replace" if encoding == "utf-16" else "surrogateescape") as text:
        lines = _lines(text)
        for number, line in lines:
            if _ACCESS.fullmatch(line) or _VALGRIND.match(line):
                if unit == PAGE:
                    raise InvalidArgument(f"{shown(path)} is lackey's, which has byte addresses; leave the unit out.")
                return _lackey(path, chain([(number, line)], lines), room)
            match = _number(line)
            if match is None or match[1]:
                return _numbers(path, chain([(number, line)], lines), unit, room)
    raise InvalidArgument(f"{shown(path)} holds no page number; write one a line, or see docs/traces.md.")


# -- numbers -----------------------------------------------------------------------------------------------------------


def _numbers(path: Path, lines: Iterator[tuple[int, str]], unit: str | None, room: Callable[[int], None]) -> TextTrace:
    numbers, writes = array("Q"), bytearray()
    for number, line in lines:
        match = _number(line)
        if match is None:
            _complain(path, number, line)
        text = match[1]
        if text is None:
            continue
        try:
            numbers.append(int(text, 0))
        except OverflowError:
            _complain(path, number, line)
        writes.append(_LETTERS[match[2]])
        if not len(numbers) % _ASK_FOR_ROOM:
            room(len(numbers))
    found, flags = _arrays(numbers, writes)
    return TextTrace(pages_of_addresses(found) if unit == BYTE else found, flags, len(found), unit)


def _number(line: str) -> re.Match[str] | None:
    """Return the match of a line of numbers; of one that is too long only if it ends in a comment."""
    return _NUMBER.fullmatch(line) if len(line) <= _LONGEST_LINE or "#" in line[:_LONGEST_LINE] else None


def _complain(path: Path, number: int, line: str) -> NoReturn:
    """Say what is wrong with a line of numbers, at which column, and what to do."""
    if "\0" in line:
        _refuse(path, number, line.index("\0"), "a zero byte, so this is no text, or UTF-16 without its mark", _HELP)
    binary = _NO_UTF8.search(line)
    if binary is not None:
        _refuse(path, number, binary.start(), "a byte that is no UTF-8, so this is no text", _HELP)
    if len(line) > _LONGEST_LINE:
        _refuse(path, number, _LONGEST_LINE, f"more than {_LONGEST_LINE} characters", "write one number a line")
    tokens = list(_TOKEN.finditer(line.partition("#")[0]))
    start = len(line) - len(line.lstrip(" \t"))
    if not tokens or line[start] == ",":
        _refuse(path, number, start, "a comma and no number before it", "write one number a line")
    for complaint in (_first, _second):
        said = complaint(tokens)
        if said is not None:
            token, what, advice = said
            _refuse(path, number, token.start(), f"{quoted(token[0])}, {what}", advice)
    _refuse(path, number, tokens[0].end(), "a comma too many", "write the number, then r or w if it is known")


def _first(tokens: list[re.Match[str]]) -> tuple[re.Match[str], str, str] | None:
    """Say what is wrong with what stands in the place of the number; None if nothing is."""
    token = tokens[0]
    word = token[0]
    if re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", word):
        small = len(word) <= _LONGEST_NUMBER and int(word, 0) < 1 << 64
        return None if small else (token, "beyond 2**64 - 1", "write a page number or a byte address")
    if re.fullmatch(r"-(0[xX][0-9a-fA-F]+|[0-9]+)", word):
        return token, "a negative number", "write a page number or a byte address, 0 or more"
    if re.fullmatch(r"0[0-9a-fA-F]+", word) or (re.fullmatch(r"[0-9a-fA-F]+", word) and not _FLOAT.fullmatch(word)):
        return token, "hexadecimal without its 0x, or zeros in front", "docs/traces.md has a line that puts 0x there"
    if _FLOAT.fullmatch(word.lower()):
        return token, "no whole number in plain digits", "write it without sign, point or exponent"
    if _VALGRIND.match(word) or word in ("I", "L", "S", "M"):
        return token, "no line of a text of numbers", "keep numbers and lackey's lines in files of their own"
    return token, "no page number or byte address", _HELP


def _second(tokens: list[re.Match[str]]) -> tuple[re.Match[str], str, str] | None:
    if len(tokens) > 1 and tokens[1][0] not in _LETTERS:
        return tokens[1], "where only r or w may stand", _HELP
    if len(tokens) > 2:
        return tokens[2], "more than a number and r or w", _HELP
    return None


def _refuse(path: Path, number: int, column: int, what: str, advice: str) -> NoReturn:
    raise InvalidArgument(f"{shown(path)}, line {number}, column {column + 1} has {what}; {advice}.")


# -- lackey ------------------------------------------------------------------------------------------------------------


def _lackey(path: Path, lines: Iterator[tuple[int, str]], room: Callable[[int], None]) -> TextTrace:
    pages, writes = array("Q"), bytearray()
    fetches = accesses = 0
    asked = _ASK_FOR_ROOM
    for number, line in lines:
        match = _ACCESS.fullmatch(line)
        if match is None:
            _pass_over(path, number, line)
            continue
        kind, address, size = match[1], int(match[2], 16), int(match[3])
        end = address + size - 1
        if not 0 < size <= PAGE_SIZE or end >> 64:
            _refuse(
                path,
                number,
                match.start(3),
                f"an access of {size} bytes",
                f"lackey's have 1 to {PAGE_SIZE}; restore it",
            )
        if kind == "I":
            fetches += 1
            continue
        accesses += 1
        for page in range(address >> PAGE_SHIFT, (end >> PAGE_SHIFT) + 1):
            pages.append(page)
            writes.append(kind != "L")
        if len(pages) >= asked:
            room(len(pages))
            asked += _ASK_FOR_ROOM
    if not accesses:
        only = f"{fetches} instruction fetches, but" if fetches else "messages of valgrind's, but"
        raise InvalidArgument(f"{shown(path)} holds {only} no data access; run lackey with --trace-mem=yes.")
    return TextTrace(*_arrays(pages, writes), accesses, BYTE)


def _pass_over(path: Path, number: int, line: str) -> None:
    """Let a line pass that is valgrind's message or the program's output; refuse one that held an access."""
    if _DAMAGED.fullmatch(line):
        _refuse(path, number, 0, f"part of an access, {quoted(line.rstrip())}", "restore the line, or delete it")
    behind = None if _VALGRIND.match(line) else _BEHIND.search(line)
    if behind is not None:
        advice = "trace again with valgrind --log-file=FILE, which keeps the two apart"
        _refuse(path, number, behind.start(), "an access behind other output", advice)


def _arrays(numbers: array[int], writes: bytearray) -> tuple[U64, npt.NDArray[np.bool_]]:
    return np.frombuffer(numbers, np.uint64), np.frombuffer(writes, np.bool_)


# -- lines -------------------------------------------------------------------------------------------------------------


def _lines(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line; of a long one its start and its end."""
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE and not line.endswith("\n"):
            line += _end_of_line(text)
        yield number, line


def _end_of_line(text: io.TextIOWrapper) -> str:
    end = ""
    while part := text.readline(_LONGEST_LINE):
        end = (end + part)[-_LONGEST_LINE:]
        if part.endswith("\n"):
            break
    return end


def _encoding(path: Path, file: BinaryIO) -> str:
    """Return the encoding of a text by how it starts; InvalidArgument if it is no text."""
    start = file.read(8)
    file.seek(0)
    for mark, (kind, command) in _PACKED.items():
        if start.startswith(mark):
            raise InvalidArgument(f"{shown(path)} is packed by {kind}; unpack it with {command} first.")
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InvalidArgument(f"{shown(path)} is UTF-32; save it as UTF-8.")
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
