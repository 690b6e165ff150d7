"""Headless Chromium against a JupyterLab of its own, with everything either of them says or asks for written down.

Chromium is the system's (Debian's package); Playwright downloads nothing. A `Tab` keeps the console's errors, uncaught
exceptions and every address requested; `Tab.check` asserts that there were no errors and that nothing left the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL_HOSTS = {"127.0.0.1", "localhost"}
LOCAL_SCHEMES = {"data", "blob", "file", "about"}
START_SECONDS = 60
RUN_SECONDS = 240


def outside(url: str) -> bool:
    """Return whether asking for `url` leaves the machine."""
    parts = urlsplit(url)
    return parts.scheme not in LOCAL_SCHEMES and parts.hostname not in LOCAL_HOSTS


def wait_until(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for `condition`; TimeoutError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took more than {seconds:.0f} seconds.")
        time.sleep(0.2)


@dataclass
class Tab:
    """A page of the browser and what it said and asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda websocket: self.requests.append(websocket.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self) -> None:
        """Assert that nothing went wrong and nothing was asked for outside the machine."""
        assert [url for url in self.requests if outside(url)] == []
        assert self.errors == []


class Chromium:
    """The browser; each tab has cookies and storage of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def open(self, width: int = 1400, color_scheme: Literal["light", "dark"] = "light") -> Tab:
        """Return a new, empty tab."""
        context = self._browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=color_scheme)
        return Tab(context.new_page())


def chromium_path() -> str | None:
    """Return where the system's Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Lab:
    """A JupyterLab server on a port of its own, serving a copy of the notebooks."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder, self.config = folder, config
        self.token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._log = (folder.parent / "lab.log").open("w+b")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={self.folder}"]
        command += ["--allow-root"] if os.getuid() == 0 else []
        environment = {**os.environ, "JUPYTER_CONFIG_PATH": str(self.config)}
        environment["JUPYTERLAB_SETTINGS_DIR"] = str(self.folder.parent / "settings")
        environment["JUPYTERLAB_WORKSPACES_DIR"] = str(self.folder.parent / "workspaces")
        self.start_by(command, environment)

    def start_by(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the server by a command that takes JupyterLab's options, and wait until it answers."""
        command = [*command, "--no-browser", "--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={self.token}"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, env=environment)
        wait_until(self._answers, "Starting JupyterLab", START_SECONDS)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"JupyterLab stopped at its start:\n{self.log()}")
        try:
            self.ask("status")
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
        return True

    def ask(self, what: str) -> Any:
        """Return the server's answer to ``GET /api/<what>``."""
        with urllib.request.urlopen(f"{self.url}/api/{what}?token={self.token}", timeout=5) as response:
            return json.load(response)

    def kernel_connected(self) -> bool:
        """Return whether a kernel is idle and a notebook connected to it."""
        kernels = [session["kernel"] for session in self.ask("sessions")]
        return any(kernel["execution_state"] == "idle" and kernel["connections"] > 0 for kernel in kernels)

    def log(self) -> str:
        """Return what the server said."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def stop(self) -> None:
        """Stop the server and its kernels."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()


class OpenNotebook:
    """A notebook in a tab of the browser: run it, look at its cells."""

    def __init__(self, tab: Tab, lab: Lab, name: str) -> None:
        self.tab, self.page = tab, tab.page
        self.page.goto(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}")
        self.panel = self.page.locator(".jp-NotebookPanel")
        self.panel.locator(".jp-Cell").first.wait_for(timeout=START_SECONDS * 1000)
        # The toolbar says idle before there is a kernel; cells run then would ask which kernel to take.
        wait_until(lab.kernel_connected, "Starting a kernel", START_SECONDS)
        self.wait_idle()

    def status(self) -> str:
        """Return the kernel's state as the notebook's toolbar has it: idle, busy, starting."""
        indicator = self.panel.locator(".jp-Notebook-ExecutionIndicator")
        return indicator.get_attribute("data-status") or "" if indicator.count() else ""

    def wait_idle(self, seconds: float = START_SECONDS) -> None:
        """Wait until the kernel has had nothing to do for a second."""
        seen: deque[str] = deque(maxlen=5)

        def stays_idle() -> bool:
            seen.append(self.status())
            return list(seen) == ["idle"] * 5

        wait_until(stays_idle, "Waiting for an idle kernel", seconds)

    def run_all(self) -> None:
        """Run all cells and wait for the last."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        wait_until(lambda: not self._unfinished(), "Running all cells", RUN_SECONDS)
        self.wait_idle()

    def _unfinished(self) -> bool:
        prompts = self.panel.locator(".jp-CodeCell .jp-InputPrompt:not(.jp-Placeholder-prompt)").all_text_contents()
        return not prompts or any(text.strip() in ("[ ]:", "[*]:", "") for text in prompts)

    def error_outputs(self) -> list[str]:
        """Return the tracebacks shown in the notebook."""
        return self.panel.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
