"""swapon and swapoff as system calls: what they refuse, with which error, and that nothing has changed then.

| error | swapon | swapoff |
|---|---|---|
| EPERM | the machine is not privileged, 29 devices are on, no right to the file | the machine is not privileged |
| EINVAL | no swap header or a damaged one, no regular file, a bad priority or policy | a file that is not swapped on |
| ENOENT | no such file, and no size to make one with | no such file |
| EBUSY | on already, by whatever path; held by another program | pinned |
| ENOSPC | no room for the header of a new file | |
| ENOMEM | no address space for the maps | strict overcommit has no room for the device's pages; a cgroup is full |
| EIO | the header can't be read | |
| EINTR | | a signal; SIGKILL from the OOM killer |

Memory may be missing at two points of a swapoff. *Up front* the pages of the whole device, used or not, are held
against what overcommit allows (``security_vm_enough_memory_mm``): that can refuse only under strict accounting
(`overcommit_memory` 2), since by the default heuristic the device itself is part of what there is. *On the way* the
task that calls swapoff is the preferred victim of the OOM killer (``set_current_oom_origin``): it is killed (`Killed`),
nobody else is, and the device is on again [S51].

[BACKGROUND: swapon(2), swapon(8)]. A refused swapon leaves a file as it found it: one that it made itself goes again.
A refused swapoff leaves the device on, with its old priority, behind those of the same priority.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from vswaplab.backends.device import Device, FileDevice, MemoryDevice
from vswaplab.backends.swapfile import Discard, SwapFile
from vswaplab.errors import (
    Busy,
    InvalidArgument,
    Killed,
    NoMemory,
    NotFound,
    NotPermitted,
    OutOfMemory,
    SwapError,
    error_for,
)
from vswaplab.events import Event
from vswaplab.mm.unuse import Unuse
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import flag, shown

__all__ = ["OVERCOMMIT_RATIO", "SwapSyscalls"]

OVERCOMMIT_RATIO = 50
"""vm.overcommit_ratio: per cent of RAM in the commit limit [BACKGROUND]."""


class SwapSyscalls(Unuse):
    """`swapon` and `swapoff`."""

    privileged: bool = True
    """Whether the machine's user has CAP_SYS_ADMIN; without it swapon and swapoff are NotPermitted (EPERM)."""
    cancel: Callable[[], bool] | None = None
    """Asked now and then during swapoff, `reclaim` and `writeback`; True ends them, as a signal would."""

    overcommit_memory: int = 0
    """vm.overcommit_memory: 0 heuristic, 1 always, 2 never more than the commit limit. Only swapoff asks here."""

    def swapon(
        self,
        path: str | os.PathLike[str] | Device | None = None,
        size: int | str | None = None,
        priority: int | None = None,
        discard: Discard = False,
        *,
        synchronous: bool = False,
    ) -> SwapFile:
        """Use a file for swap (made sparse with `size` if it is missing), memory (`path` None), or a `Device` of your
        own.

        `priority`: 0 to 32767, higher ones first, equals in turn; None for the default, -1, the same for all (see
        `default_priority` of `Machine`). `discard`: "once" the whole device now, "pages" as clusters become empty, True
        both. `synchronous`: swap in memory is a RAM disk, whose pages a fault reads past the swap cache; without it, it
        stands for a partition of a disk. Errors as the module says; nothing has changed then.
        """
        self.require_open()
        self._require_privilege("swapon")
        self.devices.require_swapon(priority, discard)
        device = self._device(path, size, flag(synchronous, "synchronous"))
        try:
            si = self.devices.swapon(device, priority=priority, discard=discard)
        except BaseException:
            if device is not path:
                device.undo()
            raise
        if self.record is not None:
            self.record(Event.SWAPON, slot=si.type, value=si.pages)
        return si

    def swapoff(
        self, device: SwapFile | Device | str | os.PathLike[str], cancel: Callable[[], bool] | None = None
    ) -> SwapoffReport:
        """Take a device off: all it holds comes back to memory. Return counts of what that took; the device is closed.

        InvalidArgument if it is not on, NotFound if there is no such file, NotPermitted. NoMemory if it is refused up
        front or a cgroup is full, Killed if the machine is, Interrupted (by `cancel` or `Machine.cancel`)
        or Busy: the device is on as before, nothing is lost, and swapoff may be tried again. Pages that can't be read
        are lost, and no reason to stop: `pages_lost` of the report counts them.
        """
        self.require_open()
        self._require_privilege("swapoff")
        si = self._find_device(device)
        self._require_commit(si)
        hook, self.cancel = self.cancel, cancel or self.cancel
        try:
            report = self.swap.swapoff(si.type, self)
        except OutOfMemory as error:
            self.vm_events["oom_kill"] += 1
            self.devices.log.append("Out of memory: Killed process (swapoff)")
            raise Killed(
                "swapoff was killed for want of memory: the OOM killer picks the task that calls it; the device is on "
                f"and complete, run it again with more memory. {error}"
            ) from error
        finally:
            self.cancel = hook
            self._settle()
        if self.record is not None:
            self.record(Event.SWAPOFF, slot=si.type)
        si.device.close()
        return report

    def cancelled(self) -> bool:
        """Whether a signal is pending: what the `cancel` hook says."""
        return self.cancel is not None and self.cancel()

    def _require_privilege(self, call: str) -> None:
        if not self.privileged:
            raise NotPermitted(f"{call} needs CAP_SYS_ADMIN, which this machine's user lacks; set privileged to True.")

    @property
    def committed_pages(self) -> int:
        """Pages that processes and tmpfs files may come to use (Committed_AS): all regions are private and writable."""
        regions = sum(vma.pages for process in self.processes.values() for vma in process.mm.vmas)
        return regions + sum(file.present_pages + file.swapped_pages for file in self.shmem_files.values())

    @property
    def commit_limit_pages(self) -> int:
        """Pages that may be used in all under strict accounting (CommitLimit): half of RAM, and swap."""
        return self.ram_pages * OVERCOMMIT_RATIO // 100 + self.devices.total_pages

    def _require_commit(self, si: SwapFile) -> None:
        """NoMemory if overcommit has no room for the pages of a whole device. C name: ``__vm_enough_memory`` [S51]."""
        if self.overcommit_memory != 2:  # by the heuristic a device that is on always fits: it is part of the sum
            return
        if self.committed_pages + si.pages >= self.commit_limit_pages:
            raise NoMemory(
                f"swapoff refused: {self.committed_pages} pages are committed, and the {si.pages} of the device on top "
                f"are beyond the limit of {self.commit_limit_pages}; unmap something, or set overcommit_memory to 0."
            )

    def _device(
        self, path: str | os.PathLike[str] | Device | None, size: int | str | None, synchronous: bool
    ) -> Device:
        """Return the device to swap on, made if it is not one already."""
        if synchronous and path is not None:
            raise InvalidArgument("Only swap in memory can be made synchronous; leave `path` out, or `synchronous`.")
        if isinstance(path, Device):
            if size is not None:
                raise InvalidArgument("A device has its size already; leave `size` out.")
            return path
        if path is None:
            if size is None:
                raise InvalidArgument("Swap in memory needs a size, as in swapon(size='64M').")
            return MemoryDevice(size, synchronous=synchronous)
        name = _name(path)
        try:
            on = self._device_in(Path(name).stat())
        except (OSError, ValueError):
            on = None  # not there, or not to be had: `FileDevice` says why
        if on is not None:
            raise Busy(f"{shown(name)} is on already, as device {on.type}; swap it off first.")
        return FileDevice(name, size)

    def _device_in(self, status: os.stat_result) -> SwapFile | None:
        """Return the device whose bytes are in a file, if it is on."""
        return next((si for si in self.devices if si.device.is_file(status)), None)

    def _find_device(self, device: SwapFile | Device | str | os.PathLike[str]) -> SwapFile:
        if isinstance(device, SwapFile | Device):
            si = next((si for si in self.devices if device in (si, si.device)), None)
            name = repr(device)
        else:
            name = _name(device)
            try:
                si = self._device_in(Path(name).stat())
            except (OSError, ValueError) as error:
                raise _no_file(name, error) from error
        if si is None:
            on = ", ".join(f"{si.type} ({si.device.name})" for si in self.devices)
            which = f"name one of the devices that are: {on}" if on else "no device is"
            raise InvalidArgument(f"{shown(name)} is not swapped on; {which}.")
        return si


def _name(path: str | os.PathLike[str]) -> str:
    """Return a path as text; InvalidArgument for what is none."""
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(name, str):
        raise InvalidArgument(f"A swapfile is named by a path, as text or a Path, not by a {type(path).__name__}.")
    return name


def _no_file(name: str, error: OSError | ValueError) -> SwapError:
    """Return the error of a swapoff for a path that leads nowhere."""
    code = error.errno if isinstance(error, OSError) else errno.EINVAL
    if code in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(
            f"There is no file {shown(name)}; give the path of one that is swapped on, or what swapon returned."
        )
    if code in (errno.EACCES, errno.EPERM):
        return NotPermitted(f"Looking for {shown(name)} is not permitted; give a path you may read.")
    if code in (errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP):
        return InvalidArgument(f"{name[:40]!r} can't be the path of a file; give one that is swapped on.")
    return error_for(
        code or errno.EIO, f"Looking for {shown(name)} failed: {error}; give the path of one that is swapped on."
    )
