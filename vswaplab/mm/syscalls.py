"""swapon and swapoff as system calls: what they refuse, with which error, and that nothing has changed then.

| error | swapon | swapoff |
|---|---|---|
| EPERM | the machine is not privileged, 29 devices are on, no right to the file | the machine is not privileged |
| EINVAL | no swap header or a damaged one, no regular file, a bad priority or policy | a file that is not swapped on |
| ENOENT | no such file, and no size to make one with | no such file |
| EBUSY | on already, by whatever path; held by another program | pinned |
| ENOSPC | no room for the header of a new file | |
| ENOMEM | no address space for the maps | no room in memory for what the device holds |
| EIO | the header can't be read | a page can't be read |
| EINTR | | a signal |

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
from vswaplab.errors import Busy, InvalidArgument, NotFound, NotPermitted, SwapError, error_for
from vswaplab.events import Event
from vswaplab.mm.unuse import Unuse
from vswaplab.protocols import SwapoffReport
from vswaplab.strict import shown

__all__ = ["SwapSyscalls"]


class SwapSyscalls(Unuse):
    """`swapon` and `swapoff`."""

    privileged: bool = True
    """Whether the machine's user has CAP_SYS_ADMIN; without it swapon and swapoff are NotPermitted (EPERM)."""
    cancel: Callable[[], bool] | None = None
    """Asked now and then during swapoff, `reclaim` and `writeback`; True ends them, as a signal would."""

    def swapon(
        self,
        path: str | os.PathLike[str] | Device | None = None,
        size: int | str | None = None,
        priority: int | None = None,
        discard: Discard = False,
    ) -> SwapFile:
        """Use a file for swap (made sparse with `size` if it is missing), memory (`path` None), or a `Device` of your
        own.

        `priority`: 0 to 32767, higher ones first, equals in turn; None for the default, -1, the same for all (see
        `default_priority` of `Machine`). `discard`: "once" the whole device now, "pages" as clusters become empty, True
        both. Errors as the module says; nothing has changed then.
        """
        self.require_open()
        self._require_privilege("swapon")
        self.devices.require_swapon(priority, discard)
        device = self._device(path, size)
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

        InvalidArgument if it is not on, NotFound if there is no such file, NotPermitted. NoMemory, Interrupted (by
        `cancel` or `Machine.cancel`), DeviceIOError or Busy: the device is on as before, nothing is lost, and swapoff
        may be tried again.
        """
        self.require_open()
        self._require_privilege("swapoff")
        si = self._find_device(device)
        hook, self.cancel = self.cancel, cancel or self.cancel
        try:
            report = self.swap.swapoff(si.type, self)
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

    def _device(self, path: str | os.PathLike[str] | Device | None, size: int | str | None) -> Device:
        """Return the device to swap on, made if it is not one already."""
        if isinstance(path, Device):
            if size is not None:
                raise InvalidArgument("A device has its size already; leave `size` out.")
            return path
        if path is None:
            if size is None:
                raise InvalidArgument("Swap in memory needs a size, as in swapon(size='64M').")
            return MemoryDevice(size)
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
