"""A learner's folder: notebooks are copied into it when it is new, and those that came since when it is not.

What a learner has is never written over: a notebook that is there, in any form, stays. One that the learner deleted or
renamed comes back at the next start, which is how to get a fresh copy. Only notebooks at the top of the source are
copied, so that ``notebooks/labs``, masters with solutions, stays where it is; a file with solutions or hidden tests in
it is refused wherever it lies. No symbolic link is followed in the learner's folder: the learner may have made it, and
the hub may have more rights than the learner. The standard library is all this needs.

As a program it fills a home folder and then becomes another program, which makes it the entry point of an image::

    python learner_folder.py --notebooks /srv/vswaplab/notebooks --home "$HOME" -- jupyterhub-singleuser
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "FIRST",
    "LABS",
    "NOTEBOOKS",
    "USER_NAME",
    "Refused",
    "add_new",
    "first_notebook",
    "home_of",
    "main",
    "notebooks_in",
]

FIRST = "00_start_here.ipynb"
NOTEBOOKS = "notebooks"
LABS = "labs"
USER_NAME = r"[a-z0-9][a-z0-9._@+-]{0,63}"
"""Names that become folders: account names and mail addresses, never a path, never hidden."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_SECRET = (b"BEGIN SOLUTION", b"BEGIN HIDDEN TESTS")


class Refused(ValueError):
    """A name or a folder that must not be used; the sentence says why."""


def home_of(root: str | Path, name: str) -> Path:
    """Return the folder of learner `name` under `root`, made if need be, private; Refused if the name is hostile."""
    if re.fullmatch(USER_NAME, name) is None:
        raise Refused(f"{name!r} can't name a folder; use small letters, digits and . _ @ + - (64 at most).")
    Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    with _opened(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as parent, _folder(parent, name):
        return Path(root) / name


def notebooks_in(source: str | Path) -> list[Path]:
    """Return the notebooks at the top of `source` in order; Refused if there are none."""
    found = sorted(
        path for path in Path(source).glob("*.ipynb") if not path.name.startswith(".") and not path.is_symlink()
    )
    if not found:
        raise Refused(f"There are no notebooks in {source}; name the folder that holds them.")
    return found


def first_notebook(source: str | Path) -> str:
    """Return the name of the notebook to open: 00_start_here.ipynb, else the first in order; Refused without any."""
    names = [path.name for path in notebooks_in(source)]
    return FIRST if FIRST in names else names[0]


def add_new(source: str | Path, home: str | Path, into: str = NOTEBOOKS) -> list[str]:
    """Copy into ``home/into`` each notebook of `source` that isn't there, whole or not at all; return their names.

    Raises Refused for a source with solutions in it, or where a link stands for the folder; OSError as the system
    says it, for instance with a full disk.
    """
    texts = {path.name: path.read_bytes() for path in notebooks_in(source)}
    for name, text in texts.items():
        if any(mark in text for mark in _SECRET):
            raise Refused(f"{name} in {source} holds solutions or hidden tests; give out what `vswaplab assign` made.")
    with _opened(_open_folder(home)) as parent, _folder(parent, into) as folder:
        with os.scandir(folder) as entries:
            there = {entry.name for entry in entries}
        missing = [name for name in texts if name not in there]
        return [name for name in missing if _add(folder, name, texts[name])]


def _add(folder: int, name: str, text: bytes) -> bool:
    """Write a file under a name of its own and link it in; return whether the name was still free."""
    part = f".{name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(part, _NEW_FILE, 0o600, dir_fd=folder), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:  # some network file systems have no hard links
                raise
            os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)


@contextmanager
def _folder(parent: int, name: str) -> Iterator[int]:
    """Open the folder `name` in `parent`, made if need be; Refused if something else has its name, a link above all."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    with _opened(_open_folder(name, parent)) as fd:
        yield fd


def _open_folder(path: str | Path, parent: int | None = None) -> int:
    try:
        return os.open(path, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            kind = "a link" if stat.S_ISLNK(os.lstat(path, dir_fd=parent).st_mode) else "no folder"
            raise Refused(f"{Path(path).name} is {kind}; move it away, and a folder is made in its place.") from None
        raise


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def main(argv: Sequence[str] | None = None) -> int:
    """Fill a home folder, then become the command after ``--``, whatever came of the filling; return the exit code."""
    parser = argparse.ArgumentParser(description="Copy new notebooks into a learner's folder, then run a command.")
    parser.add_argument("--notebooks", type=Path, required=True, help="the folder that holds the notebooks")
    parser.add_argument("--labs", type=Path, help="course labs as `vswaplab assign` made them")
    parser.add_argument("--home", type=Path, required=True, help="the learner's home folder")
    parser.add_argument("command", nargs="*", help="what to run afterwards")
    given = parser.parse_args(argv)
    code = 0
    for source, into in ((given.notebooks, NOTEBOOKS), (given.labs, LABS)):
        try:
            added = [] if source is None else add_new(source, given.home, into)
        except (Refused, OSError) as error:
            # A learner whose disk is full needs the server to delete something.
            print(f"Notebooks were not copied: {error}", file=sys.stderr)
            code = 1
        else:
            print(*(f"{into}/{name}" for name in added), sep="\n", end="\n" if added else "", file=sys.stderr)
    if given.command:
        os.execvp(given.command[0], given.command)
    return code


if __name__ == "__main__":
    sys.exit(main())
