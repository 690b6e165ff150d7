"""Folders where Jupyter may write: one's own, or others where those can't be written.

Jupyter keeps settings, signatures and the files by which it reaches its kernels in the home folder. Where that is
missing, read-only, full, or somebody else's, it ends with a traceback. `usable_folders` tries each by writing, and
names another in this process's environment, which kernels inherit.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from vswaplab.errors import NotPermitted
from vswaplab.strict import shown

__all__ = ["usable_folders"]


def usable_folders(instead: Path, environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Make HOME and Jupyter's and IPython's folders ones that can be written, and return which variables were set.

    What can't be written is replaced by a folder below `instead`; NotPermitted if that can't be written either.
    """
    changed = []
    if not _is_home(environ.get("HOME", os.path.expanduser("~"))):  # noqa: PTH111  (Path.home() raises for no home)
        changed.append(_replace("HOME", instead, environ))
    for variable, place in _folders(environ).items():
        if not _can_be_written(place):
            changed.append(_replace(variable, instead, environ))
    return changed


def _folders(environ: MutableMapping[str, str]) -> dict[str, Path]:
    """Return where Jupyter and IPython write, by the variable that would say so."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111
    shared = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    data = Path(environ.get("JUPYTER_DATA_DIR") or shared / "jupyter")
    return {
        "JUPYTER_CONFIG_DIR": Path(environ.get("JUPYTER_CONFIG_DIR") or home / ".jupyter"),
        "JUPYTER_DATA_DIR": data,
        "JUPYTER_RUNTIME_DIR": Path(environ.get("JUPYTER_RUNTIME_DIR") or data / "runtime"),
        "IPYTHONDIR": Path(environ.get("IPYTHONDIR") or home / ".ipython"),
    }


def _is_home(text: str) -> bool:
    """Return whether this is a home folder; one that doesn't exist is nobody's, though root could make it."""
    home = Path(text)
    return home.is_absolute() and home != home.parent and home.is_dir() and _can_be_written(home)


def _can_be_written(place: Path) -> bool:
    """Return whether a file can be written in a folder, or the folder be made; nothing is left behind."""
    try:
        while not place.exists() and not place.is_symlink():
            place = place.parent
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
    except OSError:
        return False
    return True


def _replace(variable: str, instead: Path, environ: MutableMapping[str, str]) -> str:
    """Name a folder of one's own below `instead`; returns the variable."""
    folder = instead.absolute() / variable.lower().replace("_", "-")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fine = _can_be_written(folder)
    except OSError:
        fine = False
    if not fine:
        raise NotPermitted(
            f"Neither the home folder nor {shown(instead)} can be written; set HOME to a folder that can be."
        )
    environ[variable] = str(folder)
    return variable
