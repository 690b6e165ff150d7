"""Set-up: killed at any moment it recovers by itself, wherever the checkout lies and whatever became of its Python.

What is set up here is small, and nothing is fetched: uv is packed again from this environment, the rest comes from
uv's own cache of downloads in ``.venv``.
"""

from __future__ import annotations

import glob
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

DOWNLOADS = Path(sys.prefix) / ".cache" / "uv"
SMALL = ("hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers", "uv")
"""What the editable install of the package needs, and no more."""
SECONDS = 120

needs_downloads = pytest.mark.skipif(
    not DOWNLOADS.is_dir(),
    reason="there are no downloads to install from: `make setup` keeps them in .venv",
)


def pack_uv(folder: Path) -> None:
    """Make a wheel of the uv that is installed here."""
    dist = importlib.metadata.distribution("uv")
    wheel = folder / f"uv-{dist.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        rows = []
        for file in dist.files or ():
            if "__pycache__" in file.parts or file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                continue
            program = file.parts[:1] == ("..",)
            name = f"uv-{dist.version}.data/scripts/{file.name}" if program else str(file)
            archive.write(Path(str(file.locate())), name)
            rows.append(f"{name},,")
        record = f"uv-{dist.version}.dist-info/RECORD"
        archive.writestr(record, "\n".join([*rows, f"{record},,"]) + "\n")


class Checkout:
    """A copy of what set-up needs, in a path that shells, make and shebang lines trip over."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.path = folder / "Søren's Kurs #1 $5" / "vs"
        self.path.mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(root / name, self.path)
        for name in ("tools", "vswaplab"):
            shutil.copytree(root / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
        lock = re.split(r"^(?=[a-z0-9])", (root / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
        chosen = [entry for entry in lock if entry.split("==")[0] in SMALL]
        assert len(chosen) == len(SMALL)
        (self.path / "requirements.lock").write_text("".join(chosen), encoding="utf-8")
        wheels = folder / "wheels"
        wheels.mkdir()
        pack_uv(wheels)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        self.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "UV_OFFLINE": "1"}
        self.environment["PIP_CONFIG_FILE"] = os.devnull
        for name in ("MAKEFLAGS", "MAKELEVEL", "PYTHON"):
            self.environment.pop(name, None)

    def make(self, *arguments: str) -> subprocess.Popen[str]:
        """Start make in a session of its own."""
        python = [] if any(each.startswith("PYTHON=") for each in arguments) else [f"PYTHON={base_python()}"]
        return subprocess.Popen(
            ["make", *arguments, *python, f"UV_CACHE_DIR={DOWNLOADS}"],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> str:
        """Run make to its end, which is a good one; return what it said."""
        with self.make(*arguments) as process:
            said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said
        return said

    def works(self) -> None:
        """Assert that programs run, and the package of this checkout."""
        beside = self.path / ".venv" / "bin"
        for program, *arguments in (["python", "-m", "pip"], ["uv"], ["hatchling"], ["python", "-m", "hatchling"]):
            command = [beside / program, *arguments, "--help"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
        where = [beside / "python", "-c", "import vswaplab.errors; print(vswaplab.__file__)"]
        done = subprocess.run(where, cwd="/", capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(self.path / "vswaplab" / "__init__.py")

    def made_at(self) -> int:
        """Return when .venv was said to be whole."""
        return (self.path / ".venv" / ".ready").stat().st_mtime_ns


def base_python() -> str:
    """Return the Python that this environment was made with."""
    return str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Checkout:
    return Checkout(root, tmp_path)


def has(pattern: str) -> Callable[[Path], bool]:
    """Return whether a folder has what fits."""
    return lambda folder: bool(glob.glob(pattern, root_dir=folder, include_hidden=True))  # noqa: PTH207  (races well)


MOMENTS = {
    "an empty folder": has(".venv"),
    "half of pip": has(".venv/lib/*/site-packages/pip/*"),
    "pip, not its programs": has(".venv/lib/*/site-packages/pip-*"),
    "half of uv": has(".venv/lib/*/site-packages/uv"),
    "some packages": has(".venv/lib/*/site-packages/packaging*"),
    "all packages": has(".venv/lib/*/site-packages/hatchling-*"),
}
"""What is there when it is killed, in order: to come so far, each run has to get over what the one before left."""


@needs_downloads
@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_set_up_killed_at_any_moment_is_made_whole_by_the_next(ended_by: signal.Signals, checkout: Checkout) -> None:
    left = checkout.path / ".venv" / "left by the run before"
    for moment, reached in MOMENTS.items():
        end = time.monotonic() + SECONDS
        with checkout.make("setup") as process:
            while process.poll() is None and (left.exists() or not reached(checkout.path)):
                assert time.monotonic() < end, moment
            with suppress(ProcessLookupError):  # it was faster, towards its end
                os.killpg(process.pid, ended_by)
            said, _ = process.communicate(timeout=SECONDS)
        assert "Traceback" not in said, (moment, said)
        (checkout.path / ".venv" / ".ready").unlink(missing_ok=True)
        left.touch()
    checkout.finish("setup")
    checkout.works()
    assert checkout.finish("setup") == ""


@needs_downloads
@pytest.mark.slow
def test_set_up_is_made_anew_only_where_something_has_changed(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout.finish("setup") == ""
    checkout.works()
    made = checkout.made_at()
    assert checkout.finish("setup") == ""
    assert checkout.made_at() == made, "there was nothing to do"

    moved = checkout.path.rename(checkout.path.parent / "elsewhere, après")
    checkout.path = moved
    checkout.finish("setup")
    checkout.works()
    made = checkout.made_at()

    venv = moved / ".venv"
    packages = next(venv.glob("lib/python*/site-packages"))
    packages.rename(packages.parent.parent / "gone")
    (venv / "bin" / "python3").unlink(missing_ok=True)
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(tmp_path / "a Python that is gone")
    checkout.finish("setup")
    checkout.works()

    for broken in (b"", b'{"place": '):
        (venv / ".ready").write_bytes(broken)
        checkout.finish("setup")
        assert checkout.made_at() > made
    checkout.works()


@needs_downloads
@pytest.mark.slow
def test_a_renewal_that_fails_before_it_changes_anything_leaves_what_was_there(checkout: Checkout) -> None:
    checkout.finish("setup")
    lock = checkout.path / "requirements.lock"
    before = lock.read_text(encoding="utf-8")
    lock.write_text(f"{before}no-such-package-here==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    for _ in range(2):  # offline, say
        with checkout.make("setup") as process:
            said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode != 0
        assert "Set-up has failed, for the reason above" in said
        checkout.works()
    lock.write_text(before, encoding="utf-8")
    made = checkout.made_at()
    assert checkout.finish("setup") == ""
    assert checkout.made_at() == made


@needs_downloads
@pytest.mark.slow
def test_two_that_set_up_at_once_wait_for_each_other(checkout: Checkout) -> None:
    with checkout.make("setup") as first, checkout.make("setup") as second:
        said = [each.communicate(timeout=SECONDS)[0] for each in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sorted(said) == ["", "Another run sets .venv up; waiting for it.\n"]
    checkout.works()


@needs_downloads
@pytest.mark.slow
def test_what_outlives_a_killed_make_is_waited_for(checkout: Checkout) -> None:
    with checkout.make("setup") as process:
        while not has(".venv/bin/python")(checkout.path):
            time.sleep(0.01)
        process.kill()  # make alone: the Python it ran goes on
    assert checkout.finish("setup") in ("", "Another run sets .venv up; waiting for it.\n")
    checkout.works()


def test_a_python_that_is_too_old_or_missing_is_said_in_one_sentence(checkout: Checkout) -> None:
    for python in ("false", "python-that-is-not-there"):
        with checkout.make("lab", f"PYTHON={python}") as process:
            said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode != 0
        assert "vswaplab needs Python 3.11 or newer; name one with: make PYTHON=python3.12 lab" in said
        assert not (checkout.path / ".venv").exists()


def test_a_path_that_no_virtual_environment_can_be_in_is_refused(checkout: Checkout) -> None:
    checkout.path = checkout.path.rename(checkout.path.parent / "a:b")
    with checkout.make("setup") as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert "No virtual environment can be made in a path with ':'; move the checkout." in said


def test_each_target_of_make_is_quoted(root: Path) -> None:
    """No recipe expands the checkout's own path, or a script whose first line would hold it."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    recipes = [line for line in makefile.splitlines() if line.startswith(("\t", "  "))]
    assert [line for line in recipes if "CURDIR" in line] == []
    programs = set(re.findall(r"\$\(BIN\)/([\w-]+)", makefile))
    assert programs <= {"python", "uv", "ruff"}, "call it as `python -m`: a script's first line holds the path of .venv"
