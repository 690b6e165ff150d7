"""The hub gives every learner a folder of their own, and what is deployed is what is locked.

The folder's rules are tested everywhere. A hub is started where JupyterHub and its proxy are
installed: after `make hub`.
"""

from __future__ import annotations

import base64
import errno
import importlib.metadata
import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy" / "jupyterhub"
PROXY_NAME = "configurable-http-proxy"
START_SECONDS = 120
MEMORY = 8 << 30


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lf = load(DEPLOY / "learner_folder.py")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of three notebooks, with masters below it as in the checkout."""
    folder = tmp_path / "source"
    (folder / "labs").mkdir(parents=True)
    for name in ("00_start_here", "01_second", "02_third"):
        (folder / f"{name}.ipynb").write_text(f'{{"name": "{name}"}}')
    (folder / "labs" / "lab1.ipynb").write_text("### BEGIN SOLUTION")
    (folder / "notes.txt").write_text("not a notebook")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found: Path = lf.home_of(tmp_path / "learners", "ada")
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- the folder ------------------------------------------------------------------------------------------------------


def test_a_new_learner_gets_the_notebooks_and_neither_masters_nor_other_files(source: Path, home: Path) -> None:
    added = lf.add_new(source, home)
    assert added == ["00_start_here.ipynb", "01_second.ipynb", "02_third.ipynb"]
    assert names(home / "notebooks") == added
    assert (home / "notebooks" / added[1]).read_text() == '{"name": "01_second"}'


def test_what_the_learner_has_is_kept_and_only_what_is_missing_is_added(source: Path, home: Path) -> None:
    lf.add_new(source, home)
    mine = home / "notebooks" / "01_second.ipynb"
    mine.write_text("my work")
    (home / "notebooks" / "02_third.ipynb").unlink()
    (home / "notebooks" / ".vswaplab-progress.json").write_text("my answers")
    (source / "03_new.ipynb").write_text("new")
    (source / "01_second.ipynb").write_text("a later edition")
    assert lf.add_new(source, home) == ["02_third.ipynb", "03_new.ipynb"]
    assert mine.read_text() == "my work"
    assert (home / "notebooks" / ".vswaplab-progress.json").read_text() == "my answers"
    assert lf.add_new(source, home) == []


def test_an_empty_file_a_folder_and_a_dangling_link_are_the_learners_own_too(
    source: Path, home: Path, tmp_path: Path
) -> None:
    notebooks = home / "notebooks"
    notebooks.mkdir()
    (notebooks / "00_start_here.ipynb").touch()
    (notebooks / "01_second.ipynb").mkdir()
    outside = tmp_path / "outside"
    (notebooks / "02_third.ipynb").symlink_to(outside)
    assert lf.add_new(source, home) == []
    assert (notebooks / "00_start_here.ipynb").read_text() == ""
    assert (notebooks / "02_third.ipynb").is_symlink()
    assert not outside.exists()


def test_a_link_in_place_of_the_notebook_folder_is_refused_and_nothing_is_written_through_it(
    source: Path, home: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (home / "notebooks").symlink_to(outside)
    with pytest.raises(lf.Refused, match="notebooks is a link"):
        lf.add_new(source, home)
    assert names(outside) == []


def test_a_link_in_place_of_the_home_folder_is_refused(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "learners").mkdir()
    (tmp_path / "learners" / "eve").symlink_to(outside)
    with pytest.raises(lf.Refused, match="eve is a link"):
        lf.home_of(tmp_path / "learners", "eve")
    with pytest.raises(lf.Refused, match="eve is a link"):
        lf.add_new(source, tmp_path / "learners" / "eve")
    assert names(outside) == []


def test_a_file_in_place_of_the_notebook_folder_is_refused(source: Path, home: Path) -> None:
    (home / "notebooks").write_text("")
    with pytest.raises(lf.Refused, match="notebooks is no folder"):
        lf.add_new(source, home)


def test_links_in_the_source_are_not_given_out(source: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (source / "09_link.ipynb").symlink_to(tmp_path / "secret")
    assert "09_link.ipynb" not in lf.add_new(source, home)


HOSTILE = ("", ".", "..", "../x", "x/../y", "/etc", "a/b", "a\\b", ".hidden", "-rf", "~root", "a\0b", "a\n", "A", "ä")


@pytest.mark.parametrize("name", [*HOSTILE, "a" * 65, "a b", "a;b", "{username}", "%2e%2e"])
def test_hostile_user_names_are_refused_and_make_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(lf.Refused, match="can't name a folder"):
        lf.home_of(tmp_path / "learners", name)
    assert not (tmp_path / "learners").exists()


@given(st.text(max_size=70))
def test_a_name_that_is_taken_is_one_component_below_the_root(name: str) -> None:
    if re.fullmatch(lf.USER_NAME, name):
        assert Path("/root", name).resolve().parent == Path("/root").resolve()
        assert not name.startswith(".")


@pytest.mark.parametrize("name", ["ada", "ada.lovelace@uni.example", "s1234567", "a-b_c+d"])
def test_accounts_and_mail_addresses_are_folders_that_nobody_else_reads(name: str, tmp_path: Path) -> None:
    home = lf.home_of(tmp_path / "learners", name)
    assert home == tmp_path / "learners" / name
    assert home.stat().st_mode & 0o077 == 0
    assert lf.home_of(tmp_path / "learners", name) == home


def test_solutions_are_not_given_out_whoever_names_their_folder(source: Path, home: Path) -> None:
    with pytest.raises(lf.Refused, match=r"lab1\.ipynb .* holds solutions .* `vswaplab assign`"):
        lf.add_new(source / "labs", home, lf.LABS)
    assert names(home) == []


def test_every_master_of_the_checkout_is_seen_as_one(home: Path) -> None:
    masters = sorted((ROOT / "notebooks" / "labs").glob("*.ipynb"))
    assert masters
    for master in masters:
        text = master.read_bytes()
        assert any(mark in text for mark in lf._SECRET), master.name


def test_no_notebook_for_learners_is_taken_for_a_master(home: Path) -> None:
    assert lf.add_new(ROOT / "notebooks", home) == [path.name for path in lf.notebooks_in(ROOT / "notebooks")]


def test_a_full_disk_leaves_nothing_behind(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        lf.add_new(source, home)
    assert names(home / "notebooks") == []


def test_where_there_are_no_hard_links_files_are_renamed(
    source: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert len(lf.add_new(source, home)) == 3
    assert names(home / "notebooks") == ["00_start_here.ipynb", "01_second.ipynb", "02_third.ipynb"]


def test_a_file_that_appears_meanwhile_is_kept(source: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def late(part: str, name: str, **options: Any) -> None:
        (home / "notebooks" / name).write_text("mine")
        real(part, name, **options)

    monkeypatch.setattr(os, "link", late)
    assert lf.add_new(source, home) == []
    assert {path.read_text() for path in (home / "notebooks").iterdir()} == {"mine"}
    assert len(names(home / "notebooks")) == 3


def test_the_first_notebook_is_start_here_or_the_first_in_order(source: Path, tmp_path: Path) -> None:
    assert lf.first_notebook(source) == "00_start_here.ipynb"
    (source / "00_start_here.ipynb").unlink()
    assert lf.first_notebook(source) == "01_second.ipynb"
    (tmp_path / "empty").mkdir()
    with pytest.raises(lf.Refused, match="no notebooks in"):
        lf.first_notebook(tmp_path / "empty")


def run_folder(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(DEPLOY / "learner_folder.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_as_an_entry_point_it_fills_the_folder_and_becomes_the_command(source: Path, home: Path) -> None:
    done = run_folder("--notebooks", source, "--home", home, "--", "sh", "-c", 'echo "$1"; exit 7', "sh", "--here")
    assert (done.stdout, done.returncode) == ("--here\n", 7)
    assert "notebooks/01_second.ipynb" in done.stderr
    assert len(names(home / "notebooks")) == 3


def test_the_command_runs_even_if_nothing_could_be_copied(source: Path, home: Path) -> None:
    (home / "notebooks").write_text("")
    done = run_folder("--notebooks", source, "--home", home, "--", "echo", "on")
    assert (done.stdout, done.returncode) == ("on\n", 0)
    assert done.stderr.startswith("Notebooks were not copied: notebooks is no folder")
    assert run_folder("--notebooks", source, "--home", home).returncode == 1


# -- what is deployed is what is locked ------------------------------------------------------------------------------


def pins(path: Path) -> dict[str, str]:
    """Return name and version of everything that a lock holds, by way of its ``-r`` lines."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"-r\s+(\S+)", line):
            found |= pins(path.parent / match[1])
        elif match := re.match(r"([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", line):
            found[match[1]] = match[2]
    return found


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirement_names(entries: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\s;\[]", entry, maxsplit=1)[0].lower() for entry in entries}


def test_binder_installs_the_roots_lock_and_lists_nothing_itself() -> None:
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["-r ../requirements.lock"]
    assert pins(ROOT / "binder" / "requirements.txt") == pins(ROOT / "requirements.lock") != {}


def test_binder_has_only_files_that_repo2docker_knows_and_none_that_takes_the_locks_place() -> None:
    assert names(ROOT / "binder") == ["postBuild", "requirements.txt", "runtime.txt", "start"]
    for script in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / script, os.X_OK)
        subprocess.run(["bash", "-n", ROOT / "binder" / script], check=True)


def test_binders_python_is_one_that_the_project_names(pyproject: dict[str, Any]) -> None:
    match = re.fullmatch(r"python-(3\.\d+)\n", (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8"))
    assert match is not None
    assert f"Programming Language :: Python :: {match[1]}" in pyproject["project"]["classifiers"]


def test_binder_opens_jupyterlab_with_the_labs_settings(tmp_path: Path) -> None:
    command = [ROOT / "binder" / "start", "sh", "-c", 'echo "$JUPYTER_CONFIG_PATH"']
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert (Path(said.split(":")[0]) / "jupyter_lab_config.json").is_file()


def test_the_hubs_lock_has_the_same_versions_and_everything_the_lab_imports(pyproject: dict[str, Any]) -> None:
    hub, root = pins(DEPLOY / "hub.lock"), pins(ROOT / "requirements.lock")
    extras = pyproject["project"]["optional-dependencies"]
    assert {name: version for name, version in hub.items() if root.get(name, version) != version} == {}
    assert requirement_names([*pyproject["project"]["dependencies"], *extras["fast"], *extras["hub"]]) <= hub.keys()
    assert not hub.keys() & {"pytest", "playwright", "mypy"}
    text = (DEPLOY / "hub.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_extra_is_optional_and_bounded(pyproject: dict[str, Any]) -> None:
    assert "jupyterhub>=6,<7" in pyproject["project"]["optional-dependencies"]["hub"]
    assert "jupyterhub" not in pins(ROOT / "requirements.lock")


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "values.yaml").read_text(encoding="utf-8"))
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, path)
    else:
        yield path, value


def test_the_charts_values_hold_no_secret() -> None:
    text = (DEPLOY / "values.yaml").read_text(encoding="utf-8")
    named = [
        (path, value)
        for path, value in leaves(values())
        if re.search(r"secret|password|token|key$", path.rsplit(".", 1)[-1], re.IGNORECASE)
        and "secretKeyRef" not in path
        if not path.endswith("token_url")
    ]
    assert named == []
    assert re.findall(r"\b[0-9a-fA-F]{32,}\b", text) == []
    assert "secretKeyRef" in values()["hub"]["extraEnv"]["OAUTH_CLIENT_SECRET"]["valueFrom"]


def test_the_image_has_the_projects_version_and_nothing_is_latest(pyproject: dict[str, Any]) -> None:
    image = values()["singleuser"]["image"]
    assert image["tag"] == pyproject["project"]["version"]
    assert [path for path, value in leaves(values()) if path.endswith(".tag") and value == "latest"] == []
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^ARG \w*IMAGE=(\S+)", dockerfile, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:3\.\d+\S*", base) for base in bases)
    assert ":latest" not in dockerfile


def test_the_chart_opens_the_first_notebook_in_the_images_home() -> None:
    single = values()["singleuser"]
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert single["defaultUrl"] == f"/lab/tree/{lf.NOTEBOOKS}/{lf.first_notebook(ROOT / 'notebooks')}"
    assert f"WORKDIR {single['storage']['homeMountPath']}\n" in dockerfile
    assert f"--uid {single['uid']} " in dockerfile


def test_the_image_runs_unprivileged_and_has_no_masters() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    assert users[-1:] == ["1000"]
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*", dockerfile, re.MULTILINE)]
    sources = [each for line in copied for each in line]
    assert "notebooks/*.ipynb" in sources
    assert [each for each in sources if each in (".", "./", "notebooks", "notebooks/", "notebooks/labs")] == []
    for each in sources:
        assert list(ROOT.glob(each)), each
    assert "--require-hashes -r /build/hub.lock" in dockerfile


def test_the_image_has_what_course_lab_1_imports_by_the_lock(tmp_path: Path) -> None:
    # `try_to_break` in the lab's notebook runs the random machine, which hub.lock has no package for.
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    program = re.search(r"RUN awk '([^']+)' /build/requirements\.lock > /build/labs\.lock", dockerfile)
    assert program is not None
    done = subprocess.run(["awk", program[1], ROOT / "requirements.lock"], capture_output=True, text=True, check=True)
    (tmp_path / "labs.lock").write_text(done.stdout)
    found, needed = pins(tmp_path / "labs.lock"), {"hypothesis"}
    for name in sorted(needed):
        wanted = importlib.metadata.requires(name) or []
        needed |= requirement_names([each for each in wanted if "extra" not in each])
    assert found.keys() | pins(DEPLOY / "hub.lock").keys() >= needed - {"exceptiongroup"}
    assert found == {name: pins(ROOT / "requirements.lock")[name] for name in found}
    assert done.stdout.count("--hash=sha256:") >= len(found)
    assert "-r /build/labs.lock" in dockerfile


def test_the_readme_has_every_setting_and_its_default() -> None:
    config = (DEPLOY / "jupyterhub_config.py").read_text(encoding="utf-8")
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r'\b(?:setting|names|number)\("([A-Z_]+)"', config))
    assert used == set(re.findall(r"^\| `VSWAPLAB_HUB_([A-Z_]+)` \|", readme, re.MULTILINE))
    for name, default in re.findall(r'\bnumber\("([A-Z_]+)", (\d+)\)', config):
        assert f"| `VSWAPLAB_HUB_{name}` | `{default}`" in readme, name


def test_every_file_that_the_readme_names_is_there() -> None:
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    links = [each for each in re.findall(r"\]\(([^)]+)\)", readme) if not each.startswith("https:")]
    assert links
    assert [each for each in links if not (DEPLOY / each).exists()] == []
    paths = re.findall(r"(?<![\w./])((?:deploy|binder|docs|notebooks|tests|tools)/[\w./*-]*)", readme)
    assert [each for each in paths if "progress" not in each and not list(ROOT.glob(each.rstrip("./")))] == []


# -- a hub -----------------------------------------------------------------------------------------------------------


def proxy() -> str | None:
    own = ROOT / ".hub" / "node_modules" / ".bin" / PROXY_NAME
    return str(own) if own.exists() else shutil.which(PROXY_NAME)


MISSING = [
    *([] if importlib.util.find_spec("jupyterhub") else ["jupyterhub (the extra `hub`)"]),
    *([] if proxy() else [PROXY_NAME]),
]
needs_hub = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' and '.join(MISSING)}; `make hub` installs both"
)


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def hub_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a hub: no settings of whoever runs the tests, no Jupyter folders of theirs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("VSWAPLAB_", "JUPYTER", "IPYTHON"))
    }
    beside = Path(proxy() or PROXY_NAME).parent
    kept["PATH"] = f"{Path(sys.executable).parent}:{beside}:{kept.get('PATH', os.defpath)}"
    return (
        kept | {"VSWAPLAB_HUB_FOLDER": str(folder)} | {f"VSWAPLAB_HUB_{name}": each for name, each in settings.items()}
    )


def wait_until(condition: Callable[[], bool], what: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} took too long\n{log.read_text()[-4000:]}"
        time.sleep(0.3)


@dataclass
class Browser:
    """Somebody with a jar of cookies; `get` and `post` follow redirects and return status, address and text."""

    base: str
    jar: CookieJar = field(default_factory=CookieJar)

    def ask(self, path: str, data: dict[str, str] | None = None) -> tuple[int, str, str]:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )
        body = None if data is None else urllib.parse.urlencode(data).encode()
        request = urllib.request.Request(self.base + path, body, {"Referer": self.base + path})
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.url or "", error.read().decode()

    def json(self, name: str, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """Ask the server of learner `name`, as its own pages do; returns what it answers, None if that is nothing."""
        token = next(each.value for each in self.jar if each.name == "_xsrf" and f"/user/{name}" in each.path)
        headers = {"X-XSRFToken": token or "", "Content-Type": "application/json", "Referer": self.base}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/user/{name}/{path}", data, headers, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )
        with opener.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def xsrf(self, path: str) -> str:
        _, _, page = self.ask(path)
        found = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert found is not None, page[:2000]
        return found[1]

    def sign_in(self, name: str, password: str) -> tuple[int, str, str]:
        form = {"username": name, "password": password, "_xsrf": self.xsrf("/hub/login")}
        home = urllib.parse.urlsplit(self.base).path + "/hub/home"
        return self.ask("/hub/login?" + urllib.parse.urlencode({"next": home}), form)


@dataclass
class Hub:
    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    password: str
    log: Path

    def learner(self, name: str) -> Browser:
        """Return a browser in which `name` is signed in and has a running server."""
        browser = Browser(self.url)
        status, url, _ = browser.sign_in(name, self.password)
        assert (status, urllib.parse.urlsplit(url).path) == (200, "/swap/hub/home")
        browser.ask(f"/hub/spawn/{name}")
        wait_until(
            lambda: browser.ask(f"/user/{name}/api/status")[0] == 200 or self.opened(browser, name), name, self.log
        )
        return browser

    @staticmethod
    def opened(browser: Browser, name: str) -> bool:
        """Visit the lab, which signs the browser in at the learner's server once it runs."""
        status, url, _ = browser.ask(f"/user/{name}/lab")
        return status == 200 and urllib.parse.urlsplit(url).path.startswith(f"/swap/user/{name}/lab")

    def servers(self) -> dict[str, psutil.Process]:
        """Return the learners' servers by learner."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            if any(part.endswith("jupyterhub-singleuser") for part in child.cmdline()):
                found[child.environ()["JUPYTERHUB_USER"]] = child
        return found

    def stop(self) -> list[psutil.Process]:
        """Ask the hub to stop, and return those of its processes that outlived it."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        _, left = psutil.wait_procs(family, timeout=20)
        for each in left:
            each.kill()
        return left


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Start a hub in which one of two learners has been before, and stop it."""
    folder = tmp_path_factory.mktemp("hub")
    lf.add_new(ROOT / "notebooks", lf.home_of(folder / "learners", "ada"))
    (folder / "learners" / "ada" / "notebooks" / lf.FIRST).write_text('{"my": "work"}')
    port, hub_port, api_port = free_ports(3)
    password = secrets.token_hex(8)
    environment = hub_environment(
        folder,
        PORT=str(port),
        HUB_PORT=str(hub_port),
        PROXY_API_PORT=str(api_port),
        BASE_URL="/swap",
        PASSWORD=password,
    )
    log = folder / "hub.log"
    command = [sys.executable, "-m", "jupyterhub", "-f", str(DEPLOY / "jupyterhub_config.py")]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True)
    running = Hub(process, f"http://127.0.0.1:{port}/swap", folder, password, log)
    try:
        wait_until(lambda: process.poll() is not None or answers(running.url), "the hub", log)
        assert process.poll() is None, log.read_text()[-4000:]
        yield running
    finally:
        left = running.stop() if process.poll() is None else []
    assert [each.pid for each in left] == []


def answers(url: str) -> bool:
    try:
        return Browser(url).ask("/hub/login")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def learners(hub: Hub) -> dict[str, Browser]:
    return {name: hub.learner(name) for name in ("ada", "bob")}


@needs_hub
@pytest.mark.slow
def test_two_learners_each_see_the_notebooks_in_a_folder_of_their_own(hub: Hub, learners: dict[str, Browser]) -> None:
    expected = [path.name for path in lf.notebooks_in(ROOT / "notebooks")]
    for name, browser in learners.items():
        status, _, text = browser.ask(f"/user/{name}/api/contents/notebooks")
        assert status == 200
        assert sorted(entry["name"] for entry in json.loads(text)["content"]) == expected
        assert (hub.folder / "learners" / name).stat().st_mode & 0o077 == 0


@needs_hub
@pytest.mark.slow
def test_a_learner_finds_work_as_it_was_left(hub: Hub, learners: dict[str, Browser]) -> None:
    path = f"api/contents/notebooks/{lf.FIRST}?type=file&format=base64"
    mine = json.loads(learners["ada"].ask(f"/user/ada/{path}")[2])["content"]
    fresh = json.loads(learners["bob"].ask(f"/user/bob/{path}")[2])["content"]
    assert base64.b64decode(mine) == b'{"my": "work"}'
    assert base64.b64decode(fresh) == (ROOT / "notebooks" / lf.FIRST).read_bytes()


@needs_hub
@pytest.mark.slow
def test_no_learner_reads_anothers_files_through_the_hub(learners: dict[str, Browser]) -> None:
    for reader, owner in (("ada", "bob"), ("bob", "ada")):
        for path in ("api/contents", "api/contents/notebooks", f"files/notebooks/{lf.FIRST}", "lab", "api/kernels"):
            status, _, text = learners[reader].ask(f"/user/{owner}/{path}")
            assert status == 403, path
            assert "content" not in text or '"content":' not in text
        assert learners[reader].ask(f"/hub/api/users/{owner}")[0] in (403, 404)
    assert Browser(learners["ada"].base).ask("/user/ada/api/contents")[0] == 403


@needs_hub
@pytest.mark.slow
def test_the_lab_opens_on_the_first_notebook_without_news_or_update_checks(learners: dict[str, Browser]) -> None:
    status, url, page = learners["bob"].ask("/user/bob/")
    assert (status, urllib.parse.urlsplit(url).path) == (200, f"/swap/user/bob/lab/tree/notebooks/{lf.FIRST}")
    found = re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    config = json.loads(found[1])
    assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
    assert config["news"] == {"disabled": True}
    assert config["extensionManager"]["can_install"] is False


@needs_hub
@pytest.mark.slow
def test_a_learners_processes_have_the_memory_limit_and_none_of_the_hubs_secrets(
    hub: Hub, learners: dict[str, Browser]
) -> None:
    servers = hub.servers()
    assert servers.keys() == learners.keys()
    for name, server in servers.items():
        assert server.rlimit(psutil.RLIMIT_DATA) == (MEMORY, MEMORY)
        environment = server.environ()
        assert environment["HOME"] == str(hub.folder / "learners" / name)
        assert hub.password not in environment.values()
        assert "CONFIGPROXY_AUTH_TOKEN" not in environment


def run_in_kernel(hub: Hub, browser: Browser, name: str, notebook: str) -> list[str]:
    """Start a kernel through the learner's server, run a notebook's cells in it, and return what went wrong."""
    body = {"path": f"notebooks/{notebook}", "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
    session = browser.json(name, "api/sessions", body)
    kernel = session["kernel"]["id"]
    learner = hub.folder / "learners" / name
    wait_until(lambda: bool(list(learner.rglob(f"kernel-{kernel}.json"))), f"the kernel of {notebook}", hub.log)
    client = BlockingKernelClient(connection_file=str(next(learner.rglob(f"kernel-{kernel}.json"))))
    client.load_connection_file()
    client.start_channels(hb=False)  # a kernel that misses a beat on a busy machine isn't dead
    try:
        client.wait_for_ready(timeout=START_SECONDS)
        for cell in nbformat.read(learner / "notebooks" / notebook, as_version=4).cells:
            if cell.cell_type == "code":
                reply = client.execute_interactive(cell.source, timeout=START_SECONDS, output_hook=lambda message: None)
                if (content := reply["content"])["status"] != "ok":
                    return [f"{content['ename']}: {content['evalue']}"]
        return []
    finally:
        client.stop_channels()
        browser.json(name, f"api/sessions/{session['id']}", method="DELETE")  # else the server starts the kernel again


@needs_hub
@pytest.mark.slow
@pytest.mark.parametrize("notebook", [lf.FIRST, "08_sharing_and_lifetime.ipynb"])
def test_notebooks_run_for_a_learner_and_the_limit_leaves_them_room(
    notebook: str, hub: Hub, learners: dict[str, Browser]
) -> None:
    assert run_in_kernel(hub, learners["bob"], "bob", notebook) == []


@needs_hub
@pytest.mark.slow
def test_a_hostile_name_and_a_wrong_password_are_refused_at_the_door(hub: Hub) -> None:
    for name, password in (("../x", hub.password), (".hidden", hub.password), ("carl", "wrong-password")):
        browser = Browser(hub.url)
        browser.sign_in(name, password)
        assert urllib.parse.urlsplit(browser.ask("/hub/home")[1]).path == "/swap/hub/login"
    assert {"x", ".hidden", "carl"}.isdisjoint(names(hub.folder) + names(hub.folder / "learners"))


LOAD = """
import json, sys
from traitlets.config.loader import PyFileConfigLoader
c = PyFileConfigLoader(sys.argv[1]).load_config()
print(json.dumps({"bind": c.JupyterHub.bind_url, "hub": c.JupyterHub.hub_bind_url, "all": c.Authenticator.allow_all,
                  "users": sorted(c.Authenticator.allowed_users),
                  "password": c.SharedPasswordAuthenticator.user_password,
                  "starts": c.JupyterHub.concurrent_spawn_limit}))
"""


def configure(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LOAD, str(DEPLOY / "jupyterhub_config.py")]
    environment = hub_environment(folder, **settings)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@needs_hub
def test_without_settings_the_hub_is_for_this_machine_and_its_password_is_drawn(tmp_path: Path) -> None:
    said = [configure(tmp_path) for _ in range(2)]
    first, second = (json.loads(each.stdout) for each in said)
    assert (first["bind"], first["hub"]) == ("http://127.0.0.1:8000/", "http://127.0.0.1:8081")
    assert first["password"] != second["password"]
    assert first["password"] in said[0].stderr


@needs_hub
def test_a_class_that_comes_all_at_once_is_let_in(tmp_path: Path) -> None:
    # JupyterHub answers whoever comes beyond the limit with an error, and has nobody wait.
    assert json.loads(configure(tmp_path).stdout)["starts"] >= 60
    assert values()["hub"]["concurrentSpawnLimit"] >= 200


@needs_hub
def test_settings_reach_the_hub(tmp_path: Path) -> None:
    done = configure(tmp_path, BIND="::1", PORT="9000", BASE_URL="lab/", USERS="ada, bob", PASSWORD="long enough")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (found["bind"], found["users"], found["all"]) == ("http://[::1]:9000/lab", ["ada", "bob"], False)
    assert found["password"] == "long enough"


@needs_hub
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"BIND": "0.0.0.0"}, "open to the network at 0.0.0.0; set VSWAPLAB_HUB_PASSWORD"),
        ({"BIND": "hub.example"}, "VSWAPLAB_HUB_BIND is 'hub.example'; give an address"),
        ({"PASSWORD": "short"}, "VSWAPLAB_HUB_PASSWORD is too short"),
        ({"ADMIN_PASSWORD": "short"}, "VSWAPLAB_HUB_ADMIN_PASSWORD is too short"),
        ({"MEMORY": "1073741824"}, "VSWAPLAB_HUB_MEMORY is '1073741824'; give a number with K, M, G or T"),
        ({"PORT": "http"}, "VSWAPLAB_HUB_PORT is 'http'; give a whole number."),
        ({"NOTEBOOKS": "/nowhere"}, "There are no notebooks in /nowhere"),
    ],
)
def test_a_setting_that_cannot_be_meant_ends_the_hub_with_a_sentence(
    settings: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    done = configure(tmp_path, **settings)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
