"""Notebooks found, executed and kept: each is run once for the state of the sources it was run with."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.strict import load_json, path_of, quoted, read_bounded, shown

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["CELL_TIMEOUT", "execute", "execute_all", "find_notebooks", "title_of"]

_MAX_NOTEBOOK_BYTES = 1 << 26
CELL_TIMEOUT = 600
"""Seconds a cell may take."""


def find_notebooks(folder: Path, only: str | None = None) -> list[Path]:
    """Return the notebooks in `folder` by name, or those whose name begins with `only`; NotFound if there are none."""
    folder = path_of(folder, "A folder")
    found = sorted(path for path in folder.glob("*.ipynb") if path.name.startswith(only or ""))
    if not found:
        which = f"notebook whose name begins with {quoted(only)}" if only else "notebook"
        raise NotFound(f"There is no {which} in {shown(folder)}; name the folder with --notebooks.")
    return found


def execute(path: Path) -> NotebookNode:
    """Return the notebook at `path`, executed in its own folder; InvalidArgument naming the cell that failed."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = _read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    # Other renderers of plotly put 4.6 MB of plotly.js, or a link to it, into every output. Answers to questions are
    # whoever gave them's own: a page begins without.
    environment = {**os.environ, "PLOTLY_RENDERER": "plotly_mimetype", "VSWAPLAB_PROGRESS": "off"}
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        what = f"{error.ename}: {error.evalue}".rstrip(": ")
        raise InvalidArgument(f"{path.name} does not run to its end: {what}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise InvalidArgument(f"{path.name} does not run to its end: {str(error).splitlines()[0]}") from None
    return notebook


def _read(path: Path) -> NotebookNode:
    """Return the notebook in a file; InvalidArgument if it is none."""
    import nbformat

    text = read_bounded(path, _MAX_NOTEBOOK_BYTES, "notebook")
    load_json(text, str(path))  # says where it is no JSON
    try:
        notebook = nbformat.reads(text.decode(), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # the library raises whatever comes up in it
        raise InvalidArgument(f"{shown(path)} is no notebook of Jupyter; save it from JupyterLab again.") from error
    return notebook


def execute_all(paths: Sequence[Path], kept: Path, jobs: int = 2) -> Iterator[tuple[Path, NotebookNode]]:
    """Yield each notebook executed, in order; one that `kept` has from the same sources is taken from there.

    InvalidArgument names the first that fails. What it says of its progress goes to the standard error.
    """
    import nbformat

    kept.mkdir(parents=True, exist_ok=True)
    sources = _digest_of_sources()
    places = [kept / f"{path.stem}-{_digest(sources, path.read_bytes())}.ipynb" for path in paths]
    with ThreadPoolExecutor(jobs) as pool:  # each waits for a kernel, which is a process of its own
        runs = {
            place: pool.submit(_execute_into, path, place)
            for path, place in zip(paths, places, strict=True)
            if not place.exists()
        }
        for path, place in zip(paths, places, strict=True):
            if place in runs:
                print(f"{path.name} …", file=sys.stderr, flush=True)
                runs[place].result()
            for old in set(kept.glob(f"{path.stem}-*.ipynb")) - {place}:
                old.unlink()
            yield path, nbformat.read(place, as_version=4)


def _execute_into(path: Path, place: Path) -> None:
    import nbformat

    notebook = execute(path)
    part = place.with_suffix(".part")
    nbformat.write(notebook, part)
    part.rename(place)


def _digest_of_sources() -> bytes:
    """Return a digest of all that a notebook's outputs come from, but for the notebook: the package and the data."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in (package, package.parent / "data"):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and "__pycache__" not in path.parts and "export" not in path.parts:
                digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.digest()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def title_of(notebook: NotebookNode, default: str) -> str:
    """Return the text of the first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].strip())
    return default
