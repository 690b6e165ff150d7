"""Folders where Jupyter may write: one's own where that goes, others where it doesn't, and one word about it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from browser.harness import RUN_SECONDS, Lab

from vswaplab.errors import NotPermitted
from vswaplab.folders import usable_folders

VARIABLES = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_DATA_HOME")


def unwritable(folder: Path) -> Path:
    """Return a path that nobody can make a folder of, root neither."""
    folder.write_text("a file stands here")
    return folder / "below"


def test_a_home_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home)}
    assert usable_folders(tmp_path / "instead", environment) == []
    assert environment == {"HOME": str(home)}
    assert list(tmp_path.rglob("*")) == [home], "to look leaves nothing behind"


@pytest.mark.parametrize("home", ["missing", "a file", "", "relative", "/", "/proc/self"])
def test_another_home_stands_in_for_one_that_cannot_be_written(home: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    text = str(tmp_path / home) if home in ("missing", "a file") else home
    environment = {"HOME": text}
    assert usable_folders(tmp_path / "instead", environment) == ["HOME"]
    assert environment == {"HOME": str(tmp_path / "instead" / "home")}
    assert (tmp_path / "instead" / "home").stat().st_mode & 0o077 == 0
    assert usable_folders(tmp_path / "instead", environment) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write where nobody may")
def test_a_home_without_the_right_to_write_is_not_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    environment = {"HOME": str(home)}
    assert usable_folders(tmp_path / "instead", environment) == ["HOME"]
    home.chmod(0o700)
    (home / ".jupyter").mkdir(mode=0o500)  # as root leaves it behind
    environment = {"HOME": str(home)}
    assert usable_folders(tmp_path / "instead", environment) == ["JUPYTER_CONFIG_DIR"]


def test_a_folder_of_jupyters_that_cannot_be_written_is_replaced_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".local" / "share").mkdir(parents=True)
    (home / ".local" / "share" / "jupyter").symlink_to(tmp_path / "nowhere")
    environment = {"HOME": str(home), "IPYTHONDIR": str(unwritable(tmp_path / "x"))}
    changed = usable_folders(tmp_path / "instead", environment)
    assert changed == ["JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    assert environment["JUPYTER_DATA_DIR"] == str(tmp_path / "instead" / "jupyter-data-dir")
    assert environment["HOME"] == str(home)


def test_folders_that_were_named_are_kept_though_the_home_goes(tmp_path: Path) -> None:
    mine = str(tmp_path / "mine")
    environment = {"HOME": "/nonexistent", "JUPYTER_CONFIG_DIR": mine}
    assert usable_folders(tmp_path / "instead", environment) == ["HOME"]
    assert environment["JUPYTER_CONFIG_DIR"] == mine


def test_where_nothing_can_be_written_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="can be written; set HOME to a folder that can be") as caught:
        usable_folders(unwritable(tmp_path / "x"), {"HOME": "/nonexistent"})
    assert "\n" not in str(caught.value)


def test_the_lab_opens_with_a_home_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "Søren's Kurs #1"
    (checkout / "notebooks").mkdir(parents=True)
    shutil.copy(root / "notebooks" / "00_start_here.ipynb", checkout / "notebooks")
    shutil.copytree(root / "tools", checkout / "tools")
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    lab = Lab(checkout, checkout / "tools" / "jupyter")
    try:
        command = [sys.executable, str(checkout / "tools" / "open_lab.py")]
        lab.start_by(command, {**environment, "HOME": "/nonexistent"})
        with urllib.request.urlopen(
            f"{lab.url}/api/kernels?token={lab.token}", data=b"{}", timeout=RUN_SECONDS
        ) as response:
            assert json.load(response)["name"] == "python3"
        assert (checkout / ".vswaplab" / "home" / ".local" / "share" / "jupyter" / "runtime").is_dir()
        said = lab.log()
    finally:
        lab.stop()
    line = f"The home folder can't be written: Jupyter keeps its files there instead: HOME in {checkout}/.vswaplab"
    assert said.splitlines()[0] == line
    assert "Traceback" not in said
    assert re.search(r"lab/tree/notebooks/00_start_here\.ipynb", said)


def test_a_notebook_becomes_a_page_with_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").write_text(
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code", "id": "a",'
        ' "metadata": {}, "execution_count": null, "outputs": [], "source": "print(6 * 7)"}]}'
    )
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-m", "vswaplab", "html", "--notebooks", str(tmp_path), "--out", str(tmp_path / "pages")]
    done = subprocess.run(
        command, env={**environment, "HOME": "/nonexistent"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "n.ipynb …\n")
    assert "42" in (tmp_path / "pages" / "n.html").read_text(encoding="utf-8")
    assert not Path("/nonexistent").exists()
