"""JupyterHub on one machine: two or thirty learners try the lab, each in a folder of their own.

For trying, and for a class that trusts itself: every learner's programs run under the account that runs the hub, so
nothing but the hub's own doors stands between two learners' files. README.md beside this file has what a course needs.

Settings are environment variables; what stands here is used where one isn't set.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import resource
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyterhub.spawner import SimpleLocalProcessSpawner

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import learner_folder  # noqa: E402  (stands beside this file, which is no package)

c: Any = get_config()  # noqa: F821  (JupyterHub gives it to this file)


def setting(name: str, default: str) -> str:
    """Return what VSWAPLAB_HUB_`name` says; `default` where it is empty or not set."""
    return os.environ.get(f"VSWAPLAB_HUB_{name}") or default


def names(name: str) -> set[str]:
    """Return a setting that lists names, with commas or spaces between them."""
    return set(setting(name, "").replace(",", " ").split())


def number(name: str, default: int) -> int:
    """Return a setting that is a whole number; the hub ends with a sentence if it is none."""
    text = setting(name, str(default))
    if not text.isdecimal():
        sys.exit(f"VSWAPLAB_HUB_{name} is {text!r}; give a whole number.")
    return int(text)


def fine(find: Callable[[], Any], sentence: str = "") -> Any:
    """Return what `find` finds; where it is refused, the hub ends with `sentence`, or the refusal's own."""
    try:
        return find()
    except ValueError as error:
        sys.exit(sentence or str(error))


# -- where -----------------------------------------------------------------------------------------------------------

BIND = setting("BIND", "127.0.0.1")  # an address; others reach the hub only if you change it
ADDRESS = fine(lambda: ipaddress.ip_address(BIND), f"VSWAPLAB_HUB_BIND is {BIND!r}; give an address such as 127.0.0.1.")
PORT = number("PORT", 8000)
BASE_URL = "/" + setting("BASE_URL", "/").strip("/")  # "/vswaplab" behind another web server
HUB_PORT = number("HUB_PORT", 8081)  # the hub's own, behind the proxy, on this machine only
PROXY_API_PORT = number("PROXY_API_PORT", 8001)  # likewise: over it the hub tells the proxy who is where
FOLDER = Path(setting("FOLDER", str(CHECKOUT / ".hub")))  # all that is written: state/ and learners/NAME/
SOURCE = Path(setting("NOTEBOOKS", str(CHECKOUT / "notebooks")))
FIRST = fine(lambda: learner_folder.first_notebook(SOURCE))
LABS = setting("LABS", "")  # a folder that `vswaplab assign` made; learners get its notebooks in labs/

STATE = FOLDER / "state"
STATE.mkdir(mode=0o700, parents=True, exist_ok=True)

c.JupyterHub.bind_url = f"http://{f'[{BIND}]' if ':' in BIND else BIND}:{PORT}{BASE_URL}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{HUB_PORT}"
c.JupyterHub.db_url = f"sqlite:///{STATE}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PROXY_API_PORT}"
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
PROXY = CHECKOUT / ".hub" / "node_modules" / ".bin" / "configurable-http-proxy"
c.ConfigurableHTTPProxy.command = [str(PROXY if PROXY.exists() else shutil.which(PROXY.name) or PROXY.name)]

# -- who -------------------------------------------------------------------------------------------------------------
# One password for all, which is to say none between learners: who knows it is whoever they say they are.
#
# A university's OAuth or OpenID Connect instead (`pip install oauthenticator`; client id and secret come from those who
# run it, the secret from the environment: OAUTH_CLIENT_SECRET): put in place of the lines from PASSWORD on
#
#   c.JupyterHub.authenticator_class = "generic-oauth"
#   c.GenericOAuthenticator.client_id = "vswaplab"
#   c.GenericOAuthenticator.oauth_callback_url = "https://hub.example.edu/hub/oauth_callback"
#   c.GenericOAuthenticator.authorize_url = "https://login.example.edu/oauth2/authorize"
#   c.GenericOAuthenticator.token_url = "https://login.example.edu/oauth2/token"
#   c.GenericOAuthenticator.userdata_url = "https://login.example.edu/oauth2/userinfo"
#   c.GenericOAuthenticator.scope = ["openid", "profile", "email"]
#   c.GenericOAuthenticator.username_claim = "preferred_username"
#   c.GenericOAuthenticator.allowed_users = names("USERS")  # or allow_all = True: everybody whom the university knows

ADMINS = names("ADMINS")
USERS = names("USERS")  # none named: everybody who knows the password
ADMIN_PASSWORD = setting("ADMIN_PASSWORD", "")  # 32 characters or more; without it nobody is let in as an admin
PASSWORD = setting("PASSWORD", "")
if not PASSWORD and not ADDRESS.is_loopback:
    sys.exit(f"The hub would be open to the network at {BIND}; set VSWAPLAB_HUB_PASSWORD (8 characters or more).")
if not PASSWORD:
    PASSWORD = secrets.token_urlsafe(9)
    print(f"The password, for any user name, until the hub stops: {PASSWORD}", file=sys.stderr, flush=True)
if len(PASSWORD) < 8:
    sys.exit("VSWAPLAB_HUB_PASSWORD is too short; give 8 characters or more.")
if ADMIN_PASSWORD and len(ADMIN_PASSWORD) < 32:
    sys.exit("VSWAPLAB_HUB_ADMIN_PASSWORD is too short; give 32 characters or more.")

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = PASSWORD
c.SharedPasswordAuthenticator.admin_password = ADMIN_PASSWORD or None
c.Authenticator.admin_users = ADMINS
c.Authenticator.allowed_users = USERS
c.Authenticator.allow_all = not USERS
c.Authenticator.username_pattern = learner_folder.USER_NAME + r"\Z"

# -- what each learner gets ------------------------------------------------------------------------------------------


class LearnerProcess(SimpleLocalProcessSpawner):
    """A JupyterLab under the hub's own account; no process of it gets more address space than `mem_limit`."""

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        enter, limit = super().make_preexec_fn(name), self.mem_limit

        def before_it_starts() -> None:
            enter()
            os.umask(0o077)
            if limit:  # JupyterHub leaves the limit to the spawner, and this one's parent sets none
                resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

        return before_it_starts


def prepare(spawner: LearnerProcess) -> None:
    """Give the learner a folder with what is new in it, and open the first notebook."""
    home = learner_folder.home_of(FOLDER / "learners", spawner.user.name)
    for source, into in ((SOURCE, learner_folder.NOTEBOOKS), *([(Path(LABS), learner_folder.LABS)] if LABS else [])):
        try:
            added = learner_folder.add_new(source, home, into)
        except (learner_folder.Refused, OSError) as error:
            spawner.log.error("Notebooks were not copied for %s: %s", spawner.user.name, error)
        else:
            spawner.log.info("%s: %d new in %s", spawner.user.name, len(added), into)
    spawner.home_dir = spawner.notebook_dir = str(home)
    spawner.default_url = f"/lab/tree/{learner_folder.NOTEBOOKS}/{FIRST}"


# What each process of a learner's may ask for; 0: no limit. It is address space, not memory in use: a model machine
# reserves 384 MiB and touches little of it, and notebook 08 comes to 4.8 GiB. It stops what runs away, and no more.
MEMORY = setting("MEMORY", "8G")
if not re.fullmatch(r"0|[1-9]\d*[KMGT]", MEMORY):
    sys.exit(f"VSWAPLAB_HUB_MEMORY is {MEMORY!r}; give a number with K, M, G or T behind it, such as 1G.")
BIN = Path(sys.executable).parent
KERNEL_IDLE = number("KERNEL_SECONDS", 1800)  # a kernel without an open page ends after this time; 0: never

c.JupyterHub.spawner_class = LearnerProcess
c.Spawner.pre_spawn_hook = prepare
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]  # the script's first line breaks where BIN has spaces
c.Spawner.args = [
    *(["--allow-root"] if os.geteuid() == 0 else []),
    *([f"--MappingKernelManager.cull_idle_timeout={KERNEL_IDLE}"] if KERNEL_IDLE else []),
]
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(CHECKOUT / "tools" / "jupyter"),  # no news, no update checks, no extension downloads
    "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
}
c.Spawner.mem_limit = MEMORY if MEMORY != "0" else None
c.Spawner.start_timeout = c.Spawner.http_timeout = 300  # they come all at once, and share the CPUs
c.JupyterHub.concurrent_spawn_limit = number("STARTS", 100)  # at a time; whoever comes then is told to try again
c.JupyterHub.active_server_limit = number("SERVERS", 0)  # 0: as many as come

# -- servers that nobody uses ----------------------------------------------------------------------------------------

CULL = number("CULL_SECONDS", 3600)  # 0: never; otherwise jupyterhub-idle-culler stops them, where it is installed
if CULL and importlib.util.find_spec("jupyterhub_idle_culler"):
    c.JupyterHub.services = [
        {"name": "idle-culler", "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={CULL}"]}
    ]
    c.JupyterHub.load_roles = [
        {
            "name": "idle-culler",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        }
    ]
