"""The sandbox around a learner's process: bubblewrap, with nothing but the library to read and nothing to write.

What it stops: reading other submissions, solutions and hidden checks (they are not there), writing or deleting files
outside its own memory disk, the network, seeing or signalling other processes, more memory, time or output than
allowed. What it does not: a flaw of the kernel's user namespaces; load on the machine for the seconds that are
allowed; a learner's code knowing the library's own public tests, which ship with it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from vswaplab.errors import NotPermitted

__all__ = ["LABS", "PACKAGE", "sandboxed"]

PACKAGE = Path(__file__).resolve().parents[2]
"""The library."""
LABS = Path(__file__).resolve().parent / "labs"
"""The labs with their hidden checks and solutions: not there in a sandbox."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")


def sandboxed(command: Sequence[str], unsafe: bool = False) -> list[str]:
    """Return a command that runs another in the sandbox; NotPermitted if there is none and `unsafe` is not set."""
    bwrap = shutil.which("bwrap")
    if unsafe:
        return list(command)
    if bwrap is None:
        raise NotPermitted(
            "Grading needs a sandbox: install bubblewrap (apt-get install bubblewrap), "
            "or pass --unsafe for code that you trust."
        )
    system = [part for path in _SYSTEM if os.path.lexists(path) for part in _bound(Path(path))]
    prefixes = dict.fromkeys(str(Path(path).resolve()) for path in (sys.base_prefix, sys.prefix) if path != "/usr")
    library = [part for path in (*prefixes, str(PACKAGE)) for part in ("--ro-bind", path, path)]
    return [
        bwrap,
        *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *system,
        # Before the library, which would be hidden by it where the checkout is in /tmp.
        *("--proc", "/proc", "--dev", "/dev", "--size", str(16 << 20), "--tmpfs", "/tmp"),
        *library,
        *("--tmpfs", str(LABS)),
        *("--remount-ro", "/", "--chdir", "/tmp"),
        *("--uid", "65534", "--gid", "65534", "--clearenv"),
        *("--setenv", "PATH", "/usr/bin", "--setenv", "OPENBLAS_NUM_THREADS", "1", "--setenv", "HOME", "/tmp"),
        *command,
    ]


def _bound(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)]
