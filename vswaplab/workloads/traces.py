"""Reference strings: which page a program touched, in order.

Four of real programs ship in ``data/traces/``: every data access of the program, reduced by the SAD filter (k = 64), so
LRU miss counts are exact for memories of 64 frames and more. A trace of your own is read from ``.npy`` (page numbers)
or from text with one page number a line, ``0x`` for hexadecimal, and ``,w`` after it where the reference writes.

>>> trace = load_trace("sqlite")
>>> trace
Trace('sqlite', references=46293, pages=559, writes=47.2 %)
"""

from __future__ import annotations

import io
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.workloads.corpus import data_dir
from vswaplab.workloads.lru import MAX_PAGES, MAX_REFERENCES

__all__ = ["MAX_TRACE_BYTES", "Trace", "load_trace", "trace_names"]

MAX_TRACE_BYTES = 1 << 30
"""The largest array, or file, that a trace may hold."""

_SUFFIX = ".trace.npz"
_LONGEST_LINE = 64
_MAX_TEXT_BYTES = 1 << 26
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
        numbers = np.asarray(pages)
        if numbers.ndim != 1 or (numbers.dtype.kind not in "ui" and len(numbers)):
            raise InvalidArgument(f"Trace {name!r} must be one row of page numbers (integers).")
        if len(numbers) > MAX_REFERENCES:
            raise InvalidArgument(f"Trace {name!r} has more than {MAX_REFERENCES} references; cut it into parts.")
        if len(numbers) and int(numbers.min()) < 0:
            raise InvalidArgument(f"Trace {name!r} holds a negative page number; page numbers count from 0.")
        page, ref = np.unique(numbers.astype(np.uint64), return_inverse=True)
        if len(page) > MAX_PAGES:
            raise InvalidArgument(f"Trace {name!r} has more than {MAX_PAGES} distinct pages; cut it into parts.")
        flags = np.zeros(len(ref), bool) if write is None else np.asarray(write, bool)
        return cls(name, ref.astype(np.uint32), flags, page, len(ref))


def trace_names() -> list[str]:
    """Return the names of the traces that ship."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in (data_dir() / "traces").glob(f"*{_SUFFIX}"))


def load_trace(name_or_path: str | Path) -> Trace:
    """Return a trace that ships, by name, or your own from a file (.npz, .npy, .txt, .csv).

    Raises NotFound when there is no such trace, InvalidArgument when the file is not one; never runs pickled code.
    """
    text = str(name_or_path)
    path = Path(name_or_path)
    if path.suffix == "" and "/" not in text:
        path = data_dir() / "traces" / f"{text}{_SUFFIX}"
        if not path.is_file():
            raise NotFound(
                f"There is no trace {text[:40]!r}; choose one of {', '.join(trace_names())}, or give a path."
            )
    if not path.is_file():
        raise NotFound(f"There is no trace file {path}.")
    if path.stat().st_size > MAX_TRACE_BYTES:
        raise InvalidArgument(f"{path} is larger than {MAX_TRACE_BYTES} bytes; cut it into parts.")
    name = path.name.removesuffix(".npz").removesuffix(".trace")
    if path.suffix == ".npz":
        return _from_npz(name, path)
    if path.suffix == ".npy":
        pages = _array(path.read_bytes(), path.name)
        return Trace.from_pages(path.stem, pages)
    return _from_text(path.stem, path)


def _from_npz(name: str, path: Path) -> Trace:
    """Read the shipped format; sizes are checked before any member is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = dict(_members(archive, path))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path} is damaged or is not a trace ({error}); restore it.") from error
    ref, packed, page = arrays["ref"], arrays["write"], arrays["page"]
    if packed.dtype != np.uint8 or len(packed) != -(-len(ref) // 8):
        raise InvalidArgument(f"{path}: write must hold one packed bit for each of the {len(ref)} references.")
    if arrays["accesses"].size != 1 or len(page) > MAX_PAGES:
        raise InvalidArgument(f"{path}: accesses must be one number, and page at most {MAX_PAGES} of them.")
    if len(ref) and int(ref.max()) >= len(page):
        raise InvalidArgument(f"{path}: ref points beyond the {len(page)} pages listed.")
    write = np.unpackbits(packed, count=len(ref)).astype(bool)
    ref = ref if ref.dtype == np.uint16 else ref.astype(np.uint32)
    return Trace(name, ref, write, page.astype(np.uint64), int(arrays["accesses"].reshape(())))


def _members(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yield the four arrays of an .npz, each unpacked only if its stated size is within bounds."""
    for member, kinds in _MEMBERS.items():
        try:
            info = archive.getinfo(f"{member}.npy")
        except KeyError:
            raise InvalidArgument(f"{path} has no array {member!r}; it is not a trace.") from None
        if info.file_size > MAX_TRACE_BYTES:
            raise InvalidArgument(
                f"{path}: array {member!r} would unpack to {info.file_size} bytes; that is too large."
            )
        with archive.open(info) as file:
            numbers = _array(file.read(info.file_size), f"{path}: array {member!r}")
        if numbers.dtype.kind not in kinds:
            raise InvalidArgument(f"{path}: array {member!r} must be unsigned integers, not {numbers.dtype}.")
        yield member, numbers


def _array(raw: bytes, what: str) -> npt.NDArray[Any]:
    """Return the array in the bytes of an .npy file: plain numbers in one row, as many as its header states."""
    file = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, _, dtype = read_header(file)
    except (ValueError, KeyError) as error:
        raise InvalidArgument(f"{what} is not a NumPy array file; save it with numpy.save.") from error
    if dtype.kind not in "iu" or len(shape) > 1:
        raise InvalidArgument(f"{what} must be one row of integers, not {dtype} of shape {shape}.")
    count = shape[0] if shape else 1
    if count * dtype.itemsize != len(raw) - file.tell():
        raise InvalidArgument(f"{what} is truncated or padded: its header states {count} numbers of {dtype}.")
    return np.frombuffer(raw, dtype, count, file.tell())


def _from_text(name: str, path: Path) -> Trace:
    """Read one page number a line, with ``,w`` where it writes; blank lines and lines from # on are skipped."""
    if path.stat().st_size > _MAX_TEXT_BYTES:
        raise InvalidArgument(f"{path} is larger than {_MAX_TEXT_BYTES} bytes; save the page numbers as .npy instead.")
    pages, writes = array("Q"), bytearray()
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 1):
            words = line.split(b"#")[0].replace(b",", b" ").split()
            if not words and len(line) <= _LONGEST_LINE:
                continue
            try:
                if len(line) > _LONGEST_LINE or len(words) > 2 or words[1:] not in ([], [b"r"], [b"w"]):
                    raise ValueError
                page = int(words[0].decode("ascii"), 0)
                if not 0 <= page < 1 << 64:
                    raise ValueError
            except (ValueError, UnicodeDecodeError):
                raise InvalidArgument(
                    f"{path}, line {number}, is not a page number with an optional ,r or ,w after it."
                ) from None
            pages.append(page)
            writes.append(words[1:] == [b"w"])
    return Trace.from_pages(name, np.array(pages, np.uint64), np.frombuffer(bytes(writes), bool))
