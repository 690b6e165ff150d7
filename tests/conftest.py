"""Fixtures and settings that all tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.harness import CHROMIUM_FLAGS, Chromium, Lab, chromium_path
from browser.sitekit import pages_of
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# No claim here is about time; on a busy machine a deadline would only fail at random.
settings.register_profile("vswaplab", deadline=None, print_blob=True)
settings.load_profile("vswaplab")


def pytest_configure(config: pytest.Config) -> None:
    """Keep kernels and servers started by tests out of the user's own Jupyter and IPython folders."""
    home = tempfile.TemporaryDirectory(prefix="vswaplab-jupyter-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ[variable] = str(Path(home.name) / variable.lower())
    os.environ["JUPYTER_CONFIG_PATH"] = str(ROOT / "tools" / "jupyter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what nbmake collects, so that ``-m 'not notebook'`` leaves it out."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker("notebook")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def committed(root: Path) -> list[Path]:
    """Return every file that is committed, or would be: tracked or new, not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Return the system's Chromium, headless; the test fails, rather than being skipped, where there is none."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        pytest.fail("Chromium is missing; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield Chromium(browser)
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a running JupyterLab that serves a copy of the notebooks."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    server = Lab(folder, ROOT / "tools" / "jupyter")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, built by the command once for all processes of a run.

    A notebook that fails, or a warning, is an error.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    out = shared / "site" / "html"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one builds, the others wait for it
        if not (out / "index.html").exists():
            command = [sys.executable, "-m", "vswaplab.cli", "html", "--out", str(out)]
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def pages(site: Path) -> list[Path]:
    return pages_of(site)
