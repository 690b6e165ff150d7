"""Operations of the random machine on processes and their memory, and pressure on it."""

from __future__ import annotations

from vswaplab.mm.process import Process, Region
from vswaplab.testing.contents import CONTENTS, page_of, torn
from vswaplab.testing.draws import ANY, flags, one_of, operation, some_bytes, whole
from vswaplab.testing.model import Model
from vswaplab.units import PAGE_SIZE

__all__ = ["ProcessOperations"]

_MAX_PROCESSES = 4
_MAX_PAGES = 128


class ProcessOperations(Model):
    """Processes start, map, write, read, fork, unmap, exit; somebody reclaims, or stops half-way."""

    @operation(when=lambda self: len(self.processes) < _MAX_PROCESSES, cpu=ANY, which=ANY)
    def spawn(self, cpu: int, which: int) -> None:
        """A process starts, in the root cgroup or in a group."""
        cpus, groups = self.machine.online_cpus, [self.machine.root_memcg, *self.groups]
        process = self.machine.spawn("app", groups[which % len(groups)], cpus[cpu % len(cpus)])
        self.model[process.pid] = {}

    @operation(when=Model.started, who=ANY, pages=whole(1, 24), order=one_of(0, 0, 2, 3))
    def mmap(self, who: int, pages: int, order: int) -> None:
        """A process maps memory."""
        process = self.some_process(who)
        if sum(vma.pages for vma in process.mm.vmas) < _MAX_PAGES:
            process.mmap(pages * PAGE_SIZE, order)

    @operation(when=Model.mapped, weight=3, who=ANY, where=ANY, kind=one_of(*CONTENTS), seed=ANY, count=whole(1, 30))
    def write(self, who: int, where: int, kind: str, seed: int, count: int) -> None:
        """A process writes some pages whole, one after the other, up to the first that fails."""
        process, page = self.some_page(who, where)
        for i in range(count):
            if process.mm.find(page.vpn) is None or not self.write_page(process, page, page_of(kind, seed + i)):
                return
            page = Region(page.end, PAGE_SIZE)

    def write_page(self, process: Process, page: Region, data: bytes) -> bool:
        """Write a page; False if there was an error, and then the page is as it was."""
        done = False
        with self.may_fail():
            process.write(page.start, data)
            self.model[process.pid][page.vpn] = data
            done = True
        return done

    @operation(when=Model.mapped, weight=2, who=ANY, where=ANY, seed=ANY, count=whole(2, 12))
    def write_in_one_call(self, who: int, where: int, seed: int, count: int) -> None:
        """A process writes several pages in one call: when it fails, those before the one that failed are written."""
        process, page = self.some_page(who, where)
        vma = process.mm.find(page.vpn)
        assert vma is not None
        vpns = range(page.vpn, min(page.vpn + count, vma.end_vpn))
        new = [page_of(CONTENTS[(seed + i) % len(CONTENTS)], seed + i) for i in range(len(vpns))]
        old = [self.expected(process.pid, vpn) for vpn in vpns]
        now = torn(old, new)
        with self.may_fail():
            process.write(page.start, b"".join(new))
            now = list(new)
        self.model[process.pid].update(zip(vpns, now, strict=True))

    @operation(when=Model.mapped, who=ANY, where=ANY, offset=whole(0, PAGE_SIZE - 1), data=some_bytes(64))
    def write_a_part(self, who: int, where: int, offset: int, data: bytes) -> None:
        """A process writes a few bytes of a page."""
        process, page = self.some_page(who, where)
        data, pages = data[: PAGE_SIZE - offset], self.model[process.pid]
        with self.may_fail():
            old = self.expected(process.pid, page.vpn)
            if not isinstance(old, bytes):
                old = process.read(page.start, PAGE_SIZE)
                self.verify(process.pid, page.vpn, old)
            process.write(page.start + offset, data)
            pages[page.vpn] = old[:offset] + data + old[offset + len(data) :]

    @operation(when=Model.mapped, weight=3, who=ANY, where=ANY, count=whole(1, 12))
    def read(self, who: int, where: int, count: int) -> None:
        """A process reads pages in one call: what it wrote, or an error."""
        process, page = self.some_page(who, where)
        vma = process.mm.find(page.vpn)
        assert vma is not None
        with self.may_fail():
            nr = min(count, vma.end_vpn - page.vpn)
            self.verify(process.pid, page.vpn, process.read(page.start, nr * PAGE_SIZE))

    @operation(when=Model.mapped, who=ANY, where=ANY, write=flags())
    def touch(self, who: int, where: int, write: bool) -> None:
        """A process touches a whole region, as far as memory goes."""
        process, region = self.some_region(who, where)
        with self.may_fail():
            process.touch(region, write)

    @operation(when=Model.mapped, who=ANY, where=ANY)
    def populate(self, who: int, where: int) -> None:
        """A region is filled with the zero page wherever nothing was yet."""
        process, region = self.some_region(who, where)
        process.populate(region)

    @operation(when=lambda self: self.started() and len(self.processes) < _MAX_PROCESSES, who=ANY)
    def fork(self, who: int) -> None:
        """A process forks."""
        parent = self.some_process(who)
        with self.may_fail():
            child = parent.fork()
            self.model[child.pid] = dict(self.model[parent.pid])

    @operation(when=Model.mapped, who=ANY, where=ANY, pages=whole(1, 30))
    def munmap(self, who: int, where: int, pages: int) -> None:
        """A process unmaps some pages, perhaps across regions."""
        process, page = self.some_page(who, where)
        process.munmap(page.start, pages * PAGE_SIZE)
        for vpn in range(page.vpn, page.vpn + pages):
            self.model[process.pid].pop(vpn, None)

    @operation(when=lambda self: len(self.processes) > 1, who=ANY)
    def exit(self, who: int) -> None:
        """A process exits."""
        process = self.some_process(who)
        process.exit()
        del self.model[process.pid]

    # -- pressure ------------------------------------------------------------------------------------------------

    @operation(weight=3, pages=whole(0, 40, optional=True), which=ANY, patience=whole(0, 20, optional=True))
    def reclaim(self, pages: int | None, which: int, patience: int | None) -> None:
        """Somebody reclaims, from all or from a group, and may be stopped by a signal."""
        groups = [None, *self.groups]
        self.machine.cancel = self.patience(patience)
        self.machine.reclaim(pages, groups[which % len(groups)])
        self.machine.cancel = None

    @operation(weight=2, pages=whole(1, 40, optional=True), which=ANY, patience=whole(0, 3, optional=True))
    def writeback(self, pages: int | None, which: int, patience: int | None) -> None:
        """Compressed pages of all or of a group go to a device, until a signal comes."""
        groups = [None, *self.groups]
        self.machine.cancel = self.patience(patience)
        self.machine.writeback(pages, groups[which % len(groups)])
        self.machine.cancel = None

    @operation(who=ANY)
    def hotplug(self, who: int) -> None:
        """A CPU goes or comes back."""
        cpu = who % len(self.machine.devices.percpu)
        if cpu not in self.machine.online_cpus:
            self.machine.cpu_online(cpu)
        elif len(self.machine.online_cpus) > 1:
            self.machine.cpu_offline(cpu)
