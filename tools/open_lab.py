"""Open JupyterLab on the first notebook, with the lab's settings; what `make lab` does.

.venv/bin/python tools/open_lab.py [options of JupyterLab's]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vswaplab.errors import SwapError
from vswaplab.folders import usable_folders

CHECKOUT = Path(__file__).resolve().parent.parent
FIRST_NOTEBOOK = "notebooks/00_start_here.ipynb"
INSTEAD = CHECKOUT / ".vswaplab"


def main() -> None:
    """Become JupyterLab."""
    try:
        changed = usable_folders(INSTEAD)
    except SwapError as error:
        sys.exit(str(error))
    if changed:
        where = f"{', '.join(changed)} in {INSTEAD}"
        print(f"The home folder can't be written: Jupyter keeps its files there instead: {where}", file=sys.stderr)
    os.environ["JUPYTER_CONFIG_PATH"] = str(CHECKOUT / "tools" / "jupyter")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={CHECKOUT}"]
    command += [f"--LabApp.default_url=/lab/tree/{FIRST_NOTEBOOK}", *(["--allow-root"] if os.getuid() == 0 else [])]
    sys.stderr.flush()
    os.execv(sys.executable, [*command, *sys.argv[1:]])


if __name__ == "__main__":
    main()
