"""Reference strings: which page a program touched, in order.

Four of real programs ship in ``data/traces/``: every data access of the program, reduced by the SAD filter (k = 64), so
LRU miss counts are exact for memories of 64 frames and more. A trace of your own is read from ``.npy`` (one row of
numbers), from text with one number a line, ``0x`` for hexadecimal, and ``,w`` after it where the reference writes, or
from what valgrind's lackey writes (`vswaplab.workloads.trace_text`). Numbers are page numbers, or with ``unit="byte"``
addresses; where they may be either, the trace is refused until it is said (`vswaplab.workloads.trace_unit`).

>>> trace = load_trace("sqlite")
>>> trace
Trace('sqlite', references=46293, pages=559, writes=47.2 %)
"""

from __future__ import annotations

import io
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.strict import open_bounded, path_of, quoted, read_bounded, require_memory, shown, whole_number
from vswaplab.workloads.corpus import data_dir
from vswaplab.workloads.lru import MAX_PAGES, MAX_REFERENCES
from vswaplab.workloads.trace_text import read_text
from vswaplab.workloads.trace_unit import BYTE, PAGE, checked_unit, pages_of_addresses, require_pages

__all__ = ["MAX_TRACE_BYTES", "Trace", "load_trace", "trace_names"]

MAX_TRACE_BYTES = 1 << 30
"""The largest array, or file, that a trace may hold."""

_SUFFIX = ".trace.npz"
_MAX_DIRECTORY_BYTES = 1 << 14
"""More than the table of contents of a zip of four arrays ever takes."""
_MAX_RATIO = 100
_LARGE = 1 << 24
"""An array larger than this that packs better than `_MAX_RATIO` to 1 is taken for a bomb."""
_BYTES_A_REFERENCE = 40
"""Memory that a reference takes while a trace is made of page numbers: they are sorted, with their places."""
_END_OF_ZIP = b"PK\x05\x06"
_HEADER_ERRORS = (
    *(ValueError, KeyError, TypeError, OverflowError, UserWarning, DeprecationWarning),
    # what Python's own parser makes of nonsense
    *(SyntaxError, tokenize.TokenError, RecursionError, MemoryError),
)
_MEMBERS = {"ref": "u", "write": "u", "page": "u", "accesses": "iu"}


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """A reference string. Every `ref` is an index into `page`; `write` has one element for each reference."""

    name: str
    ref: npt.NDArray[np.unsignedinteger[Any]]
    """Shape (references,), uint16 or uint32: index of the page referenced."""
    write: npt.NDArray[np.bool_]
    """Shape (references,): True where the reference writes."""
    page: npt.NDArray[np.uint64]
    """Shape (pages,): virtual page number of each index."""
    accesses: int
    """Data accesses of the program before they were reduced to this string."""
    unit: str = PAGE
    """What the numbers were that it was made of, "page" or "byte"; `page` has page numbers either way."""

    def __post_init__(self) -> None:
        if len(self.write) != len(self.ref):
            raise InvalidArgument(
                f"Trace {self.name!r} has {len(self.ref)} references but {len(self.write)} write flags; give one each."
            )
        if len(self.ref) and int(self.ref.max()) >= len(self.page):
            raise InvalidArgument(f"Trace {self.name!r} refers to a page beyond the {len(self.page)} that it lists.")

    def __len__(self) -> int:
        return len(self.ref)

    def __repr__(self) -> str:
        share = 100 * float(self.write.mean()) if len(self) else 0.0
        return f"Trace({self.name!r}, references={len(self)}, pages={len(self.page)}, writes={share:.1f} %)"

    @property
    def nr_pages(self) -> int:
        """Distinct pages."""
        return len(self.page)

    @classmethod
    def from_pages(cls, name: str, pages: npt.ArrayLike, write: npt.ArrayLike | None = None) -> Trace:
        """Return the trace of a sequence of page numbers of any size; without `write`, nothing writes."""
        numbers = _numbers(name, pages)
        if len(numbers) and int(numbers.min()) < 0:
            raise InvalidArgument(f"Trace {quoted(name)} holds a negative page number; page numbers count from 0.")
        flags = np.zeros(len(numbers), bool) if write is None else _flags(name, write)
        _require_room(name, len(numbers))
        page, ref = np.unique(numbers.astype(np.uint64), return_inverse=True)
        if len(page) > MAX_PAGES:
            raise InvalidArgument(f"Trace {quoted(name)} has more than {MAX_PAGES} distinct pages; cut it into parts.")
        return cls(name, ref.astype(np.uint32), flags, page, len(ref))


def trace_names() -> list[str]:
    """Return the names of the traces that ship."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in (data_dir() / "traces").glob(f"*{_SUFFIX}"))


def load_trace(name_or_path: str | Path, unit: str | None = None) -> Trace:
    """Return a trace that ships, by name, or your own from a file (.npz, .npy; any other is text).

    `unit` says what a file's numbers are: "page", or "byte" for addresses in pages of 4,096 bytes; by default they are
    page numbers if they can't be anything else. Raises NotFound when there is no such trace, InvalidArgument when the
    file is not one or the unit is in doubt; never runs pickled code.
    """
    path = path_of(name_or_path, "A trace")
    unit = checked_unit(unit)
    text = str(name_or_path)
    if path.suffix == "" and "/" not in text:
        return _shipped(text, unit)
    if path.suffix == ".npy":
        numbers = _array(read_bounded(path, MAX_TRACE_BYTES, "trace file"), shown(path))
        trace = Trace.from_pages(path.stem, _pages_of(numbers, unit, shown(path)))
    elif path.suffix == ".npz":
        with open_bounded(path, MAX_TRACE_BYTES, "trace file") as file:
            trace = _from_npz(path.name.removesuffix(".npz").removesuffix(".trace"), path, file)
        trace = _merged(trace) if unit == BYTE else trace
    else:
        with open_bounded(path, MAX_TRACE_BYTES, "trace in text") as file:
            found = read_text(path, file, unit, lambda references: _require_room(path.stem, references))
        trace = replace(Trace.from_pages(path.stem, found.numbers, found.write), accesses=found.accesses)
        unit = found.unit
    if not len(trace):
        raise InvalidArgument(f"{shown(path)} holds no page number; save one at least, or see docs/traces.md.")
    if unit is None:
        require_pages(shown(path), np.unique(trace.page))
    return replace(trace, unit=unit or PAGE)


def _shipped(name: str, unit: str | None) -> Trace:
    names = trace_names()
    if name not in names:
        raise NotFound(f"There is no trace {quoted(name)}; choose one of {', '.join(names)}, or give a path.")
    if unit == BYTE:
        raise InvalidArgument(f"Trace {name!r} has page numbers; leave its unit out.")
    path = data_dir() / "traces" / f"{name}{_SUFFIX}"
    with open_bounded(path, MAX_TRACE_BYTES, "trace file") as file:
        return _from_npz(name, path, file)


def _require_room(name: str, references: int) -> None:
    """Raise InvalidArgument or NoMemory if no trace of so many references can be made."""
    if references > MAX_REFERENCES:
        raise InvalidArgument(f"Trace {quoted(name)} has more than {MAX_REFERENCES} references; cut it into parts.")
    require_memory(references * _BYTES_A_REFERENCE, f"A trace of {references} references")


def _pages_of(numbers: npt.NDArray[Any], unit: str | None, what: str) -> npt.NDArray[Any]:
    """Return the pages of numbers as they stand in a file."""
    if unit != BYTE:
        return numbers
    if len(numbers) and int(numbers.min()) < 0:
        raise InvalidArgument(f"{what} holds a negative number; byte addresses count from 0.")
    return pages_of_addresses(numbers)


def _merged(trace: Trace) -> Trace:
    """Return a trace whose `page` holds byte addresses as one of pages."""
    page, index = np.unique(pages_of_addresses(trace.page), return_inverse=True)
    return replace(trace, ref=index.astype(np.uint32)[trace.ref], page=page)


def _numbers(name: str, pages: npt.ArrayLike) -> npt.NDArray[np.integer[Any]]:
    """Return page numbers as an array; InvalidArgument unless they are one row of integers."""
    try:
        numbers = np.asarray(pages)
    except (TypeError, ValueError, OverflowError):  # lists of unequal length, among others
        numbers = np.empty((0, 0))
    if numbers.ndim != 1 or (numbers.dtype.kind not in "ui" and len(numbers)):
        raise InvalidArgument(f"Trace {quoted(name)} must be one row of page numbers (integers, 0 to 2**64 - 1).")
    return numbers


def _flags(name: str, write: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return write flags as an array; InvalidArgument unless they are one row of True and False, or of 1 and 0."""
    try:
        flags = np.asarray(write)
    except (TypeError, ValueError, OverflowError):
        flags = np.empty((0, 0))
    if flags.ndim != 1 or (len(flags) and (flags.dtype.kind not in "bui" or not np.isin(flags, (0, 1)).all())):
        raise InvalidArgument(f"The write flags of trace {quoted(name)} must be one row of True and False.")
    return flags.astype(bool)


def _from_npz(name: str, path: Path, file: BinaryIO) -> Trace:
    """Read the shipped format; sizes are checked before any member is unpacked."""
    try:
        _check_directory(path, file)
        with zipfile.ZipFile(file) as archive:
            arrays = dict(_members(archive, path))
    except InvalidArgument:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InvalidArgument(f"{shown(path)} is damaged, or is not a zip of arrays; restore it.") from error
    ref, packed, page = arrays["ref"], arrays["write"], arrays["page"]
    if packed.dtype != np.uint8 or len(packed) != -(-len(ref) // 8):
        raise InvalidArgument(f"{shown(path)}: write must hold one packed bit for each of the {len(ref)} references.")
    if arrays["accesses"].size != 1 or len(page) > MAX_PAGES:
        raise InvalidArgument(f"{shown(path)}: accesses must be one number, and page at most {MAX_PAGES} of them.")
    if len(ref) and int(ref.max()) >= len(page):
        raise InvalidArgument(f"{shown(path)}: ref points beyond the {len(page)} pages listed.")
    accesses = whole_number(arrays["accesses"].reshape(())[()], f"{shown(path)}: accesses", 0)
    write = np.unpackbits(packed, count=len(ref)).astype(bool)
    ref = ref if ref.dtype == np.uint16 else ref.astype(np.uint32)
    return Trace(name, ref, write, page.astype(np.uint64), accesses)


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Refuse a zip whose table of contents is larger than four arrays need, before it is read into objects."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 64))
    tail = file.read((1 << 16) + 64)
    file.seek(0)
    end = len(tail) - 22
    at = end if tail[end : end + 4] == _END_OF_ZIP and tail.endswith(b"\0\0") else tail.rfind(_END_OF_ZIP)
    if at < 0 or at + 22 > len(tail):
        raise InvalidArgument(f"{shown(path)} is not a zip of arrays; save it with numpy.savez.")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    if directory > _MAX_DIRECTORY_BYTES or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise InvalidArgument(f"{shown(path)} lists more than the four arrays of a trace; it is not one.")


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the four arrays of an .npz, each unpacked only if its stated size is within bounds."""
    names = archive.namelist()
    for member, kinds in _MEMBERS.items():
        what = f"{shown(path)}: array {member!r}"
        if names.count(f"{member}.npy") != 1:
            raise InvalidArgument(f"{what} must be there, once; this is not a trace.")
        info = archive.getinfo(f"{member}.npy")
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > MAX_TRACE_BYTES or (info.file_size > _LARGE and ratio > _MAX_RATIO):
            raise InvalidArgument(
                f"{what} would unpack from {info.compress_size} to {info.file_size} bytes; that is too large."
            )
        # the array, its flags unpacked, its references as 32 bits
        require_memory(8 * info.file_size, what)
        with archive.open(info) as file:
            raw = file.read(info.file_size)
        if len(raw) != info.file_size:
            raise InvalidArgument(f"{what} is truncated: {len(raw)} of {info.file_size} bytes; restore it.")
        numbers = _array(raw, what)
        if numbers.dtype.kind not in kinds:
            raise InvalidArgument(f"{what} must be unsigned integers, not {numbers.dtype}.")
        yield member, numbers


def _array(raw: bytes, what: str) -> npt.NDArray[Any]:
    """Return the array in the bytes of an .npy file: plain numbers in one row, as many as its header states."""
    file = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header that needs mending is none
            shape, _, dtype = read_header(file)
    except _HEADER_ERRORS as error:
        raise InvalidArgument(f"{what} is not a NumPy array file; save it with numpy.save.") from error
    if dtype.kind not in "iu" or len(shape) > 1:
        found = quoted(str(dtype)) if dtype.kind in "iufcbSUO" else "records"
        raise InvalidArgument(f"{what} must be one row of integers, not {found} in {len(shape)} dimensions.")
    count = shape[0] if shape else 1
    if isinstance(count, bool) or count < 0 or count * dtype.itemsize != len(raw) - file.tell():
        raise InvalidArgument(f"{what} is truncated or padded: its header states {quoted(count)} numbers of {dtype}.")
    return np.frombuffer(raw, dtype, count, file.tell())
