"""Operations of the random machine on memory cgroups: limits that change, processes that move, children that go."""

from __future__ import annotations

from vswaplab.errors import Again, Busy
from vswaplab.testing.draws import ANY, flags, operation, whole
from vswaplab.testing.model import Model
from vswaplab.units import PAGE_SIZE

__all__ = ["GroupOperations"]

_MAX_GROUPS = 3
_PAGES = whole(0, 40, optional=True)


class GroupOperations(Model):
    """A group, at times with children."""

    @operation(
        which=ANY,
        max=whole(4, 40, optional=True),
        high=_PAGES,
        swap_max=_PAGES,
        zswap_max=whole(0, 12, optional=True),
        writeback=flags(),
    )
    def limit(
        self,
        which: int,
        max: int | None,
        high: int | None,
        swap_max: int | None,
        zswap_max: int | None,
        writeback: bool,
    ) -> None:
        """A group's limits change."""
        group = self.groups[which % len(self.groups)]
        for name, pages in (("max", max), ("high", high), ("swap.max", swap_max), ("zswap.max", zswap_max)):
            group.write(f"memory.{name}", "max" if pages is None else str(pages * PAGE_SIZE))
        group.write("memory.zswap.writeback", str(int(writeback)))

    @operation(which=ANY, pages=whole(1, 40))
    def write_memory_reclaim(self, which: int, pages: int) -> None:
        """Somebody writes memory.reclaim: an error if there is not so much to be had."""
        with self.may_fail(Again):
            self.groups[which % len(self.groups)].write("memory.reclaim", str(pages * PAGE_SIZE))

    @operation(when=lambda self: len(self.groups) < _MAX_GROUPS, which=ANY)
    def make_child(self, which: int) -> None:
        """A group gets a child."""
        parent = self.groups[which % len(self.groups)]
        if not any(child.name == "child" for child in parent.children):
            self.machine.memcg("child", parent=parent)

    @operation(when=lambda self: len(self.groups) > 1)
    def remove_child(self) -> None:
        """The last child is removed, unless processes are in it."""
        with self.may_fail(Busy):
            self.machine.rmdir(self.groups[-1])

    @operation(when=Model.started, weight=2, who=ANY, which=ANY)
    def move(self, who: int, which: int) -> None:
        """A process moves to another group, or to the root."""
        groups = [self.machine.root_memcg, *self.groups]
        self.machine.move(self.some_process(who), groups[which % len(groups)])
