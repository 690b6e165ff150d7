"""One list of dependencies: pyproject.toml, environment.yml and the lock agree, and none names a registry."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CONDA_EXTRAS = {"python", "pip"}
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "anaconda" + ".org", "pypi" + ".python.org")


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def split(requirement: str) -> tuple[str, str]:
    """Split ``name>=1,<2`` into the name and its bounds."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*([<>=!~].*)?", requirement)
    assert match is not None, requirement
    return match[1].lower(), match[2] or ""


def conda_requirements(root: Path) -> list[str]:
    entries = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    flat = [entry for entry in entries if isinstance(entry, str)]
    return flat + [entry for group in entries if isinstance(group, dict) for entry in group["pip"]]


def test_conda_environment_lists_the_same_dependencies_with_the_same_bounds(
    root: Path, pyproject: dict[str, Any]
) -> None:
    project = pyproject["project"]
    expected = [
        *project["dependencies"],
        *project["optional-dependencies"]["fast"],
        *project["optional-dependencies"]["site"],
        *pyproject["dependency-groups"]["dev"],
    ]
    actual = [entry for entry in conda_requirements(root) if not entry.startswith("--")]
    assert dict(map(split, expected)) == {
        name: bounds for name, bounds in map(split, actual) if name not in CONDA_EXTRAS
    }


def test_conda_environment_asks_for_the_same_python(root: Path, pyproject: dict[str, Any]) -> None:
    assert dict(map(split, conda_requirements(root)[:1])) == {"python": pyproject["project"]["requires-python"]}


def test_every_dependency_says_why(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = text.split("\ndependencies = [", 1)[1].split("]", 1)[0]
    lines = [line for line in block.splitlines() if line.strip()]
    assert lines
    assert [line for line in lines if "#" not in line] == []


def test_lock_holds_every_dependency_by_hash(root: Path, pyproject: dict[str, Any]) -> None:
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    pinned = {match[1] for match in re.finditer(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)}
    wanted = {
        split(entry)[0]
        for entry in (
            *pyproject["project"]["dependencies"],
            *pyproject["project"]["optional-dependencies"]["fast"],
            *pyproject["dependency-groups"]["dev"],
        )
    }
    assert wanted <= pinned
    assert "python-lzo" not in pinned
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_no_committed_file_names_a_registry(committed: list[Path]) -> None:
    naming = [str(path) for path in committed if any(host.encode() in path.read_bytes() for host in REGISTRIES)]
    assert naming == []


def test_importing_the_package_is_light() -> None:
    """``import vswaplab`` loads neither numpy nor plotly nor Jupyter."""
    code = (
        "import sys, vswaplab; print([m for m in ('numpy', 'plotly', 'ipywidgets', 'jupyterlab') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_scipy_is_not_installed_by_default(root: Path) -> None:
    assert not re.search(r"^scipy==", (root / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
