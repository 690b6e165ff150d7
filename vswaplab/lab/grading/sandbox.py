"""The sandbox around a learner's process: bubblewrap, the library at one fixed place, little to write.

What it stops: reading other submissions, solutions and hidden checks (they are not there); seeing who grades, from
where and with which environment (there is no /proc, and bubblewrap itself has no environment and no arguments to read);
writing or deleting files outside a memory disk of 16 MiB; the network; seeing, starting or signalling processes; more
memory, time or output than allowed. What it does not: a flaw of the kernel's user namespaces; load on the machine for
the seconds that are allowed; a learner's code knowing the library's own public tests, which ship with it.

Memory is bounded by the address space of the one process, the one memory disk, and, where one can be made, a control
group around both. System calls that open other doors to memory are refused (`vswaplab.lab.grading.seccomp`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from vswaplab.errors import NotFound, NotPermitted
from vswaplab.lab.grading.seccomp import filter_program

__all__ = ["DISK_BYTES", "DISK_FILES", "PACKAGE", "ROOT", "Command", "require_sandbox", "sandboxed"]

PACKAGE = Path(__file__).resolve().parents[2]
"""The library."""
ROOT = Path("/lab")
"""Where the sandbox has Python, packages and the library, wherever the grader has them."""
DISK_BYTES, DISK_FILES = 16 << 20, 4096
"""What the memory disk on /tmp may hold; the files are counted from outside (`vswaplab.lab.grading.remote`)."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
_ENVIRONMENT = {"PATH": "/usr/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Command:
    """A command, and the open files it reads its settings from; close it when the process was started."""

    words: list[str]
    files: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Close the files on this side."""
        while self.files:
            os.close(self.files.pop())


def _file_of(data: bytes) -> int:
    """Return an anonymous file; the process that is started sees no more of it than its number."""
    file = os.memfd_create("vswaplab", 0)
    os.write(file, data)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def sandboxed(command: Sequence[str], unsafe: bool = False, cgroup: Path | None = None) -> Command:
    """Return what runs ``python ARGS…`` in the sandbox; NotPermitted if there is none and `unsafe` is not set.

    `command` is the arguments for Python. `cgroup` is the file to join a control group by.
    """
    if unsafe:
        return Command([sys.executable, "-s", *command])
    bwrap = _bwrap()
    python, library = _python()
    system = list(_system())
    options = [*_NAMESPACES, *system, *_devices(), *library, *_hidden([*system, *library]), *_last()]
    for name, value in {**_ENVIRONMENT, **_search_paths()}.items():
        options += ["--setenv", name, value]
    files = [_file_of("\0".join(options).encode() + b"\0")]
    words = [bwrap, "--args", str(files[0])]
    program = filter_program()
    if program is not None:
        files.append(_file_of(program))
        words += ["--seccomp", str(files[1])]
    words += [python, *command]
    if cgroup is not None:
        words = ["/bin/sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh", str(cgroup), *words]
    return Command(words, files)


def require_sandbox() -> None:
    """NotPermitted, with what to do, if a sandbox can't be had; asked once before the first submission."""
    command = sandboxed(["-c", "import vswaplab"])
    try:
        tried = subprocess.run(
            command.words, env={}, pass_fds=command.files, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    finally:
        command.close()
    if tried.returncode:
        said = " ".join(tried.stdout.decode(errors="replace").split())[:300]
        raise NotPermitted(
            f"bubblewrap can't make a sandbox here ({said}); allow user namespaces, "
            "or pass --unsafe for code that you trust."
        )


def _bwrap() -> str:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise NotPermitted(
            "Grading needs a sandbox: install bubblewrap (apt-get install bubblewrap), "
            "or pass --unsafe for code that you trust."
        )
    return bwrap


_NAMESPACES = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--hostname", "lab", "--uid", "65534", "--gid", "65534", "--clearenv"),
)


def _system() -> Iterator[str]:
    for path in map(Path, filter(os.path.lexists, _SYSTEM)):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        else:
            yield from ("--ro-bind", str(path), str(path))


def _hidden(mounts: Sequence[str]) -> Iterator[str]:
    """Cover hidden checks, solutions and tests wherever a mount shows them: below /usr, in Python's own prefix."""
    secrets = (
        PACKAGE / "lab" / "grading" / "labs",
        *(PACKAGE.parent / name for name in ("notebooks", "tests", ".git")),
    )
    for at in (at for at, word in enumerate(mounts) if word == "--ro-bind"):
        source, place = Path(mounts[at + 1]).resolve(), Path(mounts[at + 2])
        for secret in secrets:
            if secret.is_dir() and source in secret.parents:
                hidden = str(place / secret.relative_to(source))
                yield from ("--tmpfs", hidden, "--remount-ro", hidden)


def _devices() -> tuple[str, ...]:
    """Return an empty /proc, devices without a place to write, and the memory disk."""
    return (
        *("--dir", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", str(DISK_BYTES), "--tmpfs", "/tmp"),
    )


def _last() -> tuple[str, ...]:
    return ("--remount-ro", "/", "--chdir", "/tmp")


@lru_cache(maxsize=1)
def _python() -> tuple[str, tuple[str, ...]]:
    """Return the interpreter's path in the sandbox, and what mounts it, its packages, the library and the data."""
    binary = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    prefix = Path(sys.base_prefix).resolve()
    mounts: list[str] = []
    if Path("/usr") in (prefix, *prefix.parents):
        python = str(binary)
    else:
        if prefix not in binary.parents:
            raise NotPermitted(f"The sandbox can't find this Python below {prefix}; grade with another one.")
        python = str(ROOT / "python" / binary.relative_to(prefix))
        mounts += ["--ro-bind", str(prefix), str(ROOT / "python")]
        for folder in prefix.glob("lib/python3*/site-packages"):
            if folder not in _own_packages():  # those of other programs, and where they were installed from
                hidden = str(ROOT / "python" / folder.relative_to(prefix))
                mounts += ["--tmpfs", hidden, "--remount-ro", hidden]
    for number, folder in enumerate(_packages()):
        place = ROOT / f"packages{number}"
        mounts += ["--ro-bind", str(folder), str(place)]
        # These name the place they were installed from.
        tells = [*folder.glob("*.pth"), *folder.glob("*/direct_url.json"), *folder.glob("__editable__*")]
        for each in filter(Path.is_file, tells):
            mounts += ["--ro-bind", "/dev/null", str(place / each.relative_to(folder))]
        if (folder / "vswaplab").is_dir():
            mounts += ["--tmpfs", str(place / "vswaplab"), "--remount-ro", str(place / "vswaplab")]
    library = ROOT / "library"
    mounts += ["--ro-bind", str(PACKAGE), str(library / "vswaplab")]
    data = _data()
    if data is not None:
        mounts += ["--ro-bind", str(data), str(library / "data")]
    return python, tuple(mounts)


def _data() -> Path | None:
    from vswaplab.workloads.corpus import data_dir

    try:
        return data_dir().resolve()
    except NotFound:
        return None


def _packages() -> list[Path]:
    """Return the folders of installed packages that lie outside the interpreter's own prefix."""
    prefix = Path(sys.base_prefix).resolve()
    return [each for each in _own_packages() if prefix not in each.parents]


def _own_packages() -> list[Path]:
    """Return the folders that this interpreter has its packages in."""
    found = dict.fromkeys(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))
    return [each for each in found if each.is_dir()]


def _search_paths() -> dict[str, str]:
    places = [ROOT / "library", *(ROOT / f"packages{number}" for number in range(len(_packages())))]
    return {"PYTHONPATH": ":".join(map(str, places)), "LD_LIBRARY_PATH": str(ROOT / "python" / "lib")}
