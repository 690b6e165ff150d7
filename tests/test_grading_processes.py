"""A learner's process: what it costs to start, and that nothing of it stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vswaplab.lab.grading.cgroup import Cgroup
from vswaplab.lab.grading.remote import Limits, Student

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def own_groups() -> list[Path]:
    """Return the control groups that this process has made and not removed."""
    group = Cgroup.make(1 << 30)
    if group is None:
        return []
    group.close()
    return sorted(group.path.parent.glob(f"vswaplab-{os.getpid()}-*"))


@needs_sandbox
def test_a_process_starts_without_the_model() -> None:
    """Each hidden check pays for what the process imports: numpy and the machine are there when they are asked for."""
    source = (
        "import sys\n"
        "HEAVY = {'numpy', 'asyncio', 'IPython', 'nbformat', 'ipywidgets', 'vswaplab.mm.machine'}\n"
        "loaded = sorted(HEAVY & set(sys.modules))\n"
        "def heavy():\n    return loaded\n"
        "def machine():\n    from vswaplab import Machine\n    return Machine(ram='1M', seed=0).seed\n"
    )
    with Student(source, Limits(seconds=60)) as student:
        assert student.call("heavy") == []
        assert student.call("machine") == 0


@needs_sandbox
def test_a_cell_may_be_longer_than_an_answer() -> None:
    with Student(limits=Limits(seconds=60)) as student:
        student.run("table = '" + "1,2,3;" * 1_000_000 + "'\ndef lines():\n    return table.count(';')")
        assert student.call("lines") == 1_000_000


@needs_sandbox
def test_cells_run_as_in_a_main_module() -> None:
    """C code that imports looks for ``__builtins__`` among the globals of its caller."""
    source = "import numpy as np\nsums = [int(np.arange(3).sum()), int(np.array([[1, 2], [3, 4]]).mean(axis=0).max())]"
    with Student(f"{source}\ndef found():\n    return [sums, __name__]", Limits(seconds=60)) as student:
        assert student.call("found") == [[3, 3], "__main__"]


@needs_sandbox
def test_no_control_group_outlives_its_process() -> None:
    for _ in range(3):
        Student("def f():\n    return 1", Limits(seconds=60)).close()
        assert own_groups() == []


def test_groups_of_killed_graders_are_swept_with_what_runs_in_them() -> None:
    own = Cgroup.make(1 << 30)
    if own is None:
        pytest.skip("no control group can be made here")
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is listed until somebody waits for it
    left = Cgroup(own.path.with_name(f"vswaplab-{dead.pid}-0"), own.version)
    left.path.mkdir()
    try:
        with subprocess.Popen(["/bin/sh", "-c", f"echo $$ > {left.procs}; exec sleep 3600"]) as process:
            while str(process.pid) not in left.procs.read_text().split():
                assert process.poll() is None
            Cgroup.sweep()
            assert process.wait() == -9
        assert not left.path.exists()
        assert own.path.exists()  # of a grader that lives
    finally:
        dead.wait()
        own.close()
        left.close()
