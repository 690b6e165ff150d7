"""tmpfs: files whose pages live in memory and in swap, and in no page table [S14; BACKGROUND: mm/shmem.c].

A file's *index* says for each of its pages where it is: a folio, a swap entry, or nothing (a hole, which reads as
zeros). Reclaim swaps its pages out like any others, but what holds the entry afterwards is the index, with the one
reference that `swap_shmem_alloc` takes; a swapoff that only walked page tables would never find it. Reading or writing
the page brings it back, and its swap is freed at once.

>>> from vswaplab import Machine
>>> m = Machine(ram="1M", design="legacy")
>>> device = m.swapon(size="4M")
>>> file = m.shmem_open("/dev/shm/log", "64K")
>>> file.write(5000, b"hello")
>>> m.reclaim(), file.swapped_pages
(1, 1)
>>> file.read(5000, 5), file.swapped_pages
(b'hello', 0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswaplab.entry import PTE_ACCESSED, PTE_DIRTY, PTE_POISON, PTE_PRESENT, PTE_WRITE, pte_to_entry, pte_to_frame
from vswaplab.errors import DeviceIOError, InvalidArgument, NoMemory, NotFound
from vswaplab.events import Event
from vswaplab.mm.fault import MAX_TRIES, PATIENCE
from vswaplab.mm.folio import Folio
from vswaplab.mm.mappings import Mappings
from vswaplab.mm.memcg import Memcg
from vswaplab.mm.process import MAX_TRANSFER, AddressSpace, Region, bytes_of
from vswaplab.strict import instance, quoted, whole_number
from vswaplab.units import PAGE_SHIFT, PAGE_SIZE, ZERO_PAGE, pages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Shmem", "ShmemFile"]

_OFFSET_MASK = PAGE_SIZE - 1
_PRESENT = PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY


class ShmemFile:
    """A tmpfs file. Made by `Machine.shmem_open`; C type: ``struct shmem_inode_info`` and its ``i_pages``.

    `mm.page_table` is the index, kept in the array that page tables are kept in; no address is translated through it.
    """

    alive = True
    parent = 0

    def __init__(self, machine: Shmem, pid: int, name: str, pages: int, memcg: Memcg) -> None:
        self.machine = machine
        self.pid = pid
        """The file's number, of the same series as process ids, under which the trace knows it."""
        self.name = name
        self.mm = AddressSpace()
        self.mm.vmas = [Region(0, pages * PAGE_SIZE, anon=True)]
        self._memcg = memcg

    def __repr__(self) -> str:
        return f"<ShmemFile {self.pid} {self.name!r} {self.present_pages} in memory, {self.swapped_pages} in swap>"

    @property
    def memcg(self) -> Memcg:
        """Who pays for new pages: the cgroup that the file was made in, or the nearest one above that still is."""
        while not self._memcg.online and self._memcg.parent is not None:
            self._memcg = self._memcg.parent
        return self._memcg

    @property
    def pages(self) -> int:
        """Size of the file in pages, holes included."""
        return self.mm.vmas[0].pages

    @property
    def present_pages(self) -> int:
        """Pages in memory."""
        return self.mm.present_pages

    @property
    def swapped_pages(self) -> int:
        """Pages that are out: index entries that hold a swap entry."""
        return self.mm.swap_pages

    def index(self) -> Iterator[tuple[int, int]]:
        """Yield (page, what the index holds) of every page that is no hole; what it holds is laid out as a PTE."""
        return self.mm.page_table.walk()

    def read(self, offset: int, nr_bytes: int) -> bytes:
        """Return `nr_bytes` from `offset` on; holes read as zeros.

        InvalidArgument beyond the end of the file, DeviceIOError if a page can't be read back, NoMemory.
        """
        self._check(offset, nr_bytes)
        parts = []
        while nr_bytes:
            at = offset & _OFFSET_MASK
            nr = min(nr_bytes, PAGE_SIZE - at)
            folio = self.machine.shmem_get_folio(self, offset >> PAGE_SHIFT, write=False)
            parts.append((ZERO_PAGE if folio is None else folio.data)[at : at + nr])
            offset += nr
            nr_bytes -= nr
        return b"".join(parts)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at `offset`. Errors as for `read`; pages before the one that failed are written then."""
        view = bytes_of(data)
        self._check(offset, len(view))
        done = 0
        while done < len(view):
            at = offset + done & _OFFSET_MASK
            nr = min(len(view) - done, PAGE_SIZE - at)
            folio = self.machine.shmem_get_folio(self, offset + done >> PAGE_SHIFT, write=True)
            assert folio is not None
            folio.data[at : at + nr] = view[done : done + nr]
            done += nr

    def truncate(self, size: int | str) -> None:
        """Make the file `size` bytes long (rounded up to pages): what is cut off is freed, what is added are holes."""
        self._check(0, 0)
        self.machine.shmem_truncate(self, _file_pages(size))

    def unlink(self) -> None:
        """Remove the file: its pages and its swap are freed."""
        self._check(0, 0)
        self.machine.shmem_evict_inode(self)

    def _check(self, offset: int, nr_bytes: int) -> None:
        self.machine.require_open()
        if not self.alive:
            raise NotFound(f"The file {self.name} was removed; open another one.")
        if type(offset) is not int or type(nr_bytes) is not int:
            whole_number(offset, "offset", 0)
            whole_number(nr_bytes, "nr_bytes", 0)
        if nr_bytes > MAX_TRANSFER:
            raise InvalidArgument(f"At most {MAX_TRANSFER} bytes can be read or written at once; do it in parts.")
        if offset < 0 or nr_bytes < 0 or offset + nr_bytes > self.pages * PAGE_SIZE:
            raise InvalidArgument(
                f"{nr_bytes} bytes at {quoted(offset)} are not within the {self.pages} pages of {self.name}; "
                "truncate makes it larger."
            )


def _file_pages(size: int | str) -> int:
    pages = pages_of(size, "size")
    if pages < 1:
        raise InvalidArgument("A file of size 0 holds nothing; give at least one byte, or unlink it.")
    return pages


class Shmem(Mappings):
    """tmpfs files on a machine."""

    def require_open(self) -> None:
        """InvalidArgument if the machine was closed."""
        raise NotImplementedError

    def shmem_open(self, name: str, size: int | str, memcg: Memcg | None = None) -> ShmemFile:
        """Make a tmpfs file of `size` bytes (number or text, rounded up to pages), all holes, in a memory cgroup
        (None: the root).

        InvalidArgument for no size at all, NotFound if the cgroup was removed.
        """
        self.require_open()
        memcg = self.root_memcg if memcg is None else instance(memcg, Memcg, "memcg")
        name = instance(name, str, "name")
        if not memcg.online:
            raise NotFound(f"The cgroup {memcg.path} was removed; use another one.")
        file = ShmemFile(self, self._next_pid, name, _file_pages(size), memcg)
        self._next_pid += 1
        self.shmem_files[file.pid] = file
        if self.record is not None:
            self.record(Event.SPAWN, pid=file.pid)
        return file

    def shmem_truncate(self, file: ShmemFile, pages: int) -> None:
        """Cut a file off behind `pages` pages, or let it grow to them."""
        self._zap_range(file, pages, max(pages, file.pages))
        file.mm.vmas = [Region(0, pages * PAGE_SIZE, anon=True)]
        self._settle()

    def shmem_evict_inode(self, file: ShmemFile) -> None:
        """Let go of all that a file holds, and of the file."""
        self._zap_range(file, 0, file.pages)
        file.alive = False
        if file in self.shmem_swaplist:
            self.shmem_swaplist.remove(file)
        del self.shmem_files[file.pid]
        if self.record is not None:
            self.record(Event.EXIT, pid=file.pid)
        self._settle()

    def shmem_get_folio(self, file: ShmemFile, index: int, write: bool) -> Folio | None:
        """Return the folio of a page, swapped in or, for a write, made if need be; None for a hole that is read."""
        table = file.mm.page_table
        try:
            for tries in range(MAX_TRIES):
                pte = table.get(index)
                if pte & PTE_PRESENT:
                    table.set(index, pte | _PRESENT if write else pte | PTE_ACCESSED)
                    folio = self.frames[pte_to_frame(pte)]
                    folio.dirty = folio.dirty or write
                    return folio
                if pte == PTE_POISON:
                    raise self._lost(file, index)
                if pte:
                    self.shmem_swapin_folio(file, index, pte_to_entry(pte))
                elif write:
                    self._do_anonymous_page(file, file.mm.vmas[0], index, write=True)
                    self.frames[pte_to_frame(table.get(index))].shmem = True
                else:
                    return None
                if self._background and tries < PATIENCE:
                    self._run_background()  # which may take the page again: look once more
        finally:
            self._settle(background=False)
        raise NoMemory(f"Page {index} of {file.name} does not stay in memory long enough; give the machine more ram.")

    def shmem_swapin_folio(self, file: ShmemFile, index: int, entry: int) -> None:
        """Bring one page back and put it in the index in place of its entry; its swap is freed at once.

        It is no page fault, so none is counted. DeviceIOError, and the page is lost, if it can't be read.
        """
        try:
            self._do_swap_page(file, file.mm.vmas[0], index, entry, write=False)
        except DeviceIOError:
            self.shmem_set_folio_swapin_error(file, index, entry)
            raise
        pte = file.mm.page_table.get(index)
        if not pte & PTE_PRESENT:
            return  # somebody was faster: the caller looks again
        file.mm.page_table.set(index, pte | _PRESENT)
        folio = self.frames[pte_to_frame(pte)]
        folio.dirty = folio.shmem = True
        self.swap.folio_free_swap(folio)

    def shmem_set_folio_swapin_error(self, file: ShmemFile, index: int, entry: int) -> None:
        """A page of a file can't be read: its index has a poison marker from now on, and its swap is free [S14]."""
        self._poison(file, index)
        self.swap.free_swap_and_cache_nr(entry, 1)
        self._drain_released()
