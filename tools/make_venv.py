"""Make .venv, or bring it up to date: what `make setup` does, with any Python 3.11 or newer and nothing installed.

What is whole says so in ``.venv/.ready``, which is written last, under another name first, and taken away before
anything is changed. It names the place, the Python and the locks, so whoever finds another place (the checkout was
moved), another Python (the old one is gone), or no such file (a run was killed, at whatever moment) makes all of it
anew. Downloads in ``.venv/.cache`` are kept, so that this takes seconds. Two runs at once wait for each other.

    make_venv.py [--hub] [--wanted PYTHON]     make or renew it, the hub's packages too
    make_venv.py --check …                     exit with 0 if there is nothing to do
    make_venv.py --only-uv                     no more than uv, which renews the locks

The Makefile gives uv its settings in the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
READY = VENV / ".ready"
DOWNLOADS = VENV / ".cache"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOCK = CHECKOUT / "requirements.lock"
HUB_LOCK = CHECKOUT / "deploy" / "jupyterhub" / "hub.lock"
INTERRUPTED = 130


def digest(*paths: Path) -> str:
    """Return a digest of what files hold."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


def base() -> dict[str, str]:
    """Return what a whole .venv is made for, but for its packages: this place and this Python."""
    return {"place": str(VENV), "python": "{}.{}".format(*sys.version_info)}


def packages(hub: bool) -> dict[str, str]:
    """Return what a whole .venv holds."""
    found = {"packages": digest(LOCK, CHECKOUT / "pyproject.toml")}
    return found | ({"hub": digest(HUB_LOCK)} if hub else {})


def noted() -> dict[str, str]:
    """Return what .venv says of itself; nothing unless it is whole."""
    try:
        found = json.loads(READY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def holds(wanted: dict[str, str]) -> bool:
    """Return whether .venv says that it is all that is wanted."""
    return wanted.items() <= noted().items()


def version_of(python: str) -> str:
    """Return a Python's version, as ``3.12``; "" where it can't be run."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def in_order(hub: bool, wanted: str) -> bool:
    """Return whether this very Python is that of a whole .venv; `wanted` names one that is asked for, or is empty."""
    here = Path(sys.prefix).resolve() == VENV.resolve()
    fits = not wanted or version_of(wanted) == base()["python"]
    return here and fits and holds(base() | packages(hub))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the checkout's lock, which children inherit: a pip or uv that outlives a killed run is waited for."""
    fd = os.open(CHECKOUT, os.O_RDONLY)
    os.set_inheritable(fd, True)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another run sets .venv up; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            pass  # some network file systems have no locks
        yield
    finally:
        os.close(fd)


def run(*command: str | Path) -> None:
    """Run a program, which inherits the lock; what it says is said only if it fails."""
    done = subprocess.run(
        command, cwd=CHECKOUT, check=False, close_fds=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode == -signal.SIGINT:
        raise KeyboardInterrupt
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        raise subprocess.CalledProcessError(done.returncode, command)


def new_venv() -> None:
    """Make an empty .venv with pip and the locked uv, keeping downloads; the Python is that which .venv's stands on."""
    if missing := [name for name in ("ensurepip", "venv") if importlib.util.find_spec(name) is None]:
        sys.exit(f"This Python has no {missing[0]}; install what has it with: apt-get install python3-venv")
    python = getattr(sys, "_base_executable", "") or sys.executable  # ours is in .venv itself, where that is activated
    VENV.mkdir(exist_ok=True)
    for path in VENV.iterdir():
        if path == DOWNLOADS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    run(python, "-m", "venv", VENV)
    found = re.search(r"^uv==[0-9.]+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", found[0] if found else "uv")


def seen() -> list[tuple[str, int]]:
    """Return what installing or removing any package changes: the entries of the folders of packages and programs."""
    folders = (VENV / "bin", *VENV.glob("lib/python*/site-packages"))
    return sorted((str(path), path.lstat().st_mtime_ns) for folder in folders for path in folder.glob("*"))


def make(hub: bool) -> None:
    """Make .venv whole. Where that fails before anything is changed, a .venv that was whole stays so."""
    whole = READY.read_bytes() if holds(base()) and version_of(str(PYTHON)) == base()["python"] else b""
    READY.unlink(missing_ok=True)
    if not whole:
        new_venv()
    before = seen()
    try:
        run(UV, "pip", "sync", "-q", "--require-hashes", LOCK)
        if hub:
            run(UV, "pip", "install", "-q", "--require-hashes", "-r", HUB_LOCK)
        run(UV, "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--editable", ".")
    except BaseException:
        if whole and seen() == before:
            write_ready(whole)
        raise
    write_ready(json.dumps(base() | packages(hub)).encode())


def write_ready(text: bytes) -> None:
    """Say that .venv is whole."""
    part = READY.with_suffix(".part")
    part.write_bytes(text)
    part.replace(READY)


def main() -> int:
    """Do what is asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make .venv, or bring it up to date.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--hub", action="store_true")
    parser.add_argument("--only-uv", action="store_true")
    parser.add_argument("--wanted", default="", metavar="PYTHON")
    args = parser.parse_args()
    if args.check:
        return 0 if in_order(args.hub, args.wanted) else 1
    if os.pathsep in str(CHECKOUT):
        print(f"No virtual environment can be made in a path with {os.pathsep!r}; move the checkout.", file=sys.stderr)
        return 1
    try:
        with alone():
            if args.only_uv:
                READY.unlink(missing_ok=True)
                new_venv()
            elif not holds(base() | packages(args.hub)) or version_of(str(PYTHON)) != base()["python"]:
                make(args.hub)  # whoever was waited for may have done it
    except KeyboardInterrupt:
        print("Set-up was interrupted; the next make begins it again.", file=sys.stderr)
        return INTERRUPTED
    except subprocess.CalledProcessError:
        print("Set-up has failed, for the reason above; the next make begins it again.", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{error.filename or VENV}: {error.strerror}; is the checkout yours, is there room?",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
