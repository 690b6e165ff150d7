"""Rules of the random machine that concern tmpfs files and memory that was only ever read; see `vswaplab.testing`."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from vswaplab.errors import DeviceIOError, NoMemory
from vswaplab.units import PAGE_SIZE, ZERO_PAGE

if TYPE_CHECKING:
    from vswaplab.mm.machine import Machine
    from vswaplab.mm.memcg import Memcg
    from vswaplab.mm.shmem import ShmemFile

__all__ = ["ANY", "CONTENTS", "FileRules", "page_of"]

CONTENTS = ("zero", "same", "text", "sparse", "noise")
"""Kinds of page contents, from the one that costs nothing to the one that does not compress."""

ANY = st.integers(0, 1 << 16)
_MAX_FILES = 2


def page_of(kind: str, seed: int) -> bytes:
    """Return a page of one of the `CONTENTS`; the same seed gives the same bytes."""
    if kind == "zero":
        return ZERO_PAGE
    if kind == "same":
        return (seed % 255 + 1).to_bytes(1, "little") * PAGE_SIZE
    if kind == "text":
        return (f"page {seed} ".encode() * (PAGE_SIZE // 6))[:PAGE_SIZE]
    random = Random(seed)
    if kind == "sparse":
        at = random.randrange(PAGE_SIZE - 64)
        return bytes(at) + random.randbytes(64) + bytes(PAGE_SIZE - 64 - at)
    return random.randbytes(PAGE_SIZE)


class FileRules(RuleBasedStateMachine):
    """Files in tmpfs against a dictionary of pages for each, and regions filled with the zero page."""

    machine: Machine
    group: Memcg

    def __init__(self) -> None:
        super().__init__()
        self.file_model: dict[int, dict[int, bytes]] = {}
        """File number -> page -> contents; holes are not there and read as zeros."""

    @property
    def open_files(self) -> list[ShmemFile]:
        """Files there are, oldest first."""
        return list(self.machine.shmem_files.values()) if hasattr(self, "machine") else []

    @precondition(lambda self: hasattr(self, "machine") and len(self.open_files) < _MAX_FILES)
    @rule(pages=st.integers(1, 24), grouped=st.booleans())
    def open_file(self, pages: int, grouped: bool) -> None:
        """A tmpfs file is made, all holes."""
        file = self.machine.shmem_open("file", pages * PAGE_SIZE, self.group if grouped else None)
        self.file_model[file.pid] = {}

    @precondition(lambda self: self.open_files)
    @rule(which=ANY, where=ANY, kind=st.sampled_from(CONTENTS), seed=ANY, count=st.integers(1, 24))
    def write_file(self, which: int, where: int, kind: str, seed: int, count: int) -> None:
        """Some pages of a file are written."""
        file = self.open_files[which % len(self.open_files)]
        first = where % file.pages
        for index in range(first, min(first + count, file.pages)):
            data = page_of(kind, seed + index)
            try:
                file.write(index * PAGE_SIZE, data)
            except (NoMemory, DeviceIOError):
                return
            self.file_model[file.pid][index] = data

    @precondition(lambda self: self.open_files)
    @rule(which=ANY, where=ANY)
    def read_file(self, which: int, where: int) -> None:
        """A page of a file is read: what was written, or an error."""
        file = self.open_files[which % len(self.open_files)]
        with suppress(NoMemory, DeviceIOError):
            self._compare(file, where % file.pages)

    def _compare(self, file: ShmemFile, index: int) -> None:
        found = file.read(index * PAGE_SIZE, PAGE_SIZE)
        self.verified(found, self.file_model[file.pid].get(index, ZERO_PAGE), f"page {index} of file {file.pid}")

    def verified(self, found: bytes, expected: bytes, what: str) -> None:
        """Hold bytes that came back against those that are expected."""
        raise NotImplementedError

    @precondition(lambda self: self.open_files)
    @rule(which=ANY)
    def unlink(self, which: int) -> None:
        """A file is removed."""
        file = self.open_files[which % len(self.open_files)]
        file.unlink()
        del self.file_model[file.pid]

    @precondition(lambda self: hasattr(self, "machine") and any(p.mm.vmas for p in self.machine.processes.values()))
    @rule(which=ANY, where=ANY)
    def populate(self, which: int, where: int) -> None:
        """A region is filled with the zero page wherever nothing was yet."""
        able: list[Any] = [process for process in self.machine.processes.values() if process.mm.vmas]
        process = able[which % len(able)]
        process.populate(process.mm.vmas[where % len(process.mm.vmas)])

    def read_all_files(self) -> None:
        """Every byte of every file comes back."""
        for file in self.open_files:
            for index in range(file.pages):
                self._compare(file, index)
