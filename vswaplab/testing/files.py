"""Operations of the random machine on tmpfs files."""

from __future__ import annotations

from vswaplab.testing.contents import CONTENTS, page_of, torn
from vswaplab.testing.draws import ANY, one_of, operation, whole
from vswaplab.testing.model import Model
from vswaplab.units import PAGE_SIZE

__all__ = ["FileOperations"]

_MAX_FILES = 2


class FileOperations(Model):
    """Files are made in a memory cgroup, written, read, cut off, lengthened and removed."""

    def has_files(self) -> bool:
        """Whether there is a file."""
        return bool(self.open_files)

    @operation(when=lambda self: len(self.open_files) < _MAX_FILES, pages=whole(1, 24), which=ANY)
    def open_file(self, pages: int, which: int) -> None:
        """A tmpfs file is made, all holes, in the root cgroup or in a group."""
        groups = [self.machine.root_memcg, *self.groups]
        file = self.machine.shmem_open("file", pages * PAGE_SIZE, groups[which % len(groups)])
        self.model[file.pid] = {}

    @operation(when=has_files, weight=2, which=ANY, where=ANY, kind=one_of(*CONTENTS), seed=ANY, count=whole(1, 24))
    def write_file(self, which: int, where: int, kind: str, seed: int, count: int) -> None:
        """Some pages of a file are written in one call: when it fails, those before the one that failed are written."""
        file = self.some_file(which)
        first = where % file.pages
        pages = range(first, min(first + count, file.pages))
        new = [page_of(kind, seed + index) for index in pages]
        now = torn([self.expected(file.pid, index) for index in pages], new)
        with self.may_fail():
            file.write(first * PAGE_SIZE, b"".join(new))
            now = list(new)
        self.model[file.pid].update(zip(pages, now, strict=True))

    @operation(when=has_files, weight=2, which=ANY, where=ANY)
    def read_file(self, which: int, where: int) -> None:
        """A page of a file is read: what was written, or an error."""
        file = self.some_file(which)
        with self.may_fail():
            index = where % file.pages
            self.verify(file.pid, index, file.read(index * PAGE_SIZE, PAGE_SIZE))

    @operation(when=has_files, which=ANY, pages=whole(1, 24))
    def truncate(self, which: int, pages: int) -> None:
        """A file is cut off, or made longer by holes."""
        file = self.some_file(which)
        file.truncate(pages * PAGE_SIZE)
        for index in [index for index in self.model[file.pid] if index >= pages]:
            del self.model[file.pid][index]

    @operation(when=has_files, which=ANY)
    def unlink(self, which: int) -> None:
        """A file is removed."""
        file = self.some_file(which)
        file.unlink()
        del self.model[file.pid]
