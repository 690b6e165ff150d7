"""The sandbox: what a submission can find out, take and leave behind; docs/grading.md says no more."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vswaplab.lab.grading import sandbox
from vswaplab.lab.grading.cgroup import Cgroup
from vswaplab.lab.grading.limits import Limits, OutOfMemory, OutOfTime, TooManyProcesses, WorkerDied
from vswaplab.lab.grading.remote import Student, StudentError
from vswaplab.lab.grading.sandbox import DISK_BYTES, PACKAGE, ROOT
from vswaplab.lab.grading.seccomp import ARCHITECTURES, filter_program

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
QUICK = Limits(seconds=30)
CANARY = "canary-of-whoever-grades"

LOOKS = """
import ctypes, errno, mmap, os, resource
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

def everything_of_processes(text):
    "Where a text stands in any file below /proc, and how many files there are."
    found, seen = [], 0
    for folder, _, files in os.walk("/proc"):
        for name in files:
            seen += 1
            try:
                if text.encode() in Path(folder, name).read_bytes():
                    found.append(f"{folder}/{name}")
            except OSError:
                pass
    return [seen, found]

def environment():
    return dict(os.environ)

def mentions(text):
    "The paths below /, outside the system's, and the files of text in them that hold a text."
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [each for each in folders if os.path.join(folder, each) not in ("/usr", "/lab/python/lib")]
        for name in (*folders, *files):
            path = Path(folder, name)
            if text in str(path):
                found.append(str(path))
            elif name in files and path.suffix in ("", ".py", ".pth", ".json", ".cfg", ".txt", ".toml"):
                try:
                    if path.is_file() and text.encode() in path.read_bytes():
                        found.append(str(path))
                except OSError:
                    pass
    return found

def places():
    import sys
    return [sys.executable, sys.prefix, *sys.path, os.getcwd()]

def who():
    return [os.uname().nodename, os.getuid(), os.getgid()]

def fill(folder, size, most):
    "How many files of a size can be written into a folder, and what ends that."
    for number in range(most):
        try:
            Path(folder, f"f{number}").write_bytes(bytes(size))
        except OSError as error:
            return [number, errno.errorcode[error.errno]]
    return [most, ""]

def system_call(name, *args):
    ctypes.set_errno(0)
    found = getattr(libc, name)(*args)
    return errno.errorcode.get(ctypes.get_errno(), "") if found < 0 else "done"

def raw(number, *args):
    ctypes.set_errno(0)
    found = libc.syscall(number, *args)
    return errno.errorcode.get(ctypes.get_errno(), "") if found < 0 else "done"

def memory_file():
    try:
        return os.memfd_create("x")
    except OSError as error:
        return errno.errorcode[error.errno]

def shared_pages(size):
    return len(mmap.mmap(-1, size))

def pipes():
    "How many bytes can be left lying in pipes."
    total, kept = 0, []
    try:
        while True:
            kept.append(os.pipe())
            os.set_blocking(kept[-1][1], False)
            try:
                while True:
                    total += os.write(kept[-1][1], bytes(4096))
            except BlockingIOError:
                pass
    except OSError:
        return total

def threads(nr):
    import threading
    found = []
    running = [threading.Thread(target=found.append, args=(at,)) for at in range(nr)]
    for each in running: each.start()
    for each in running: each.join()
    return len(found)

def start(how):
    import subprocess
    {"fork": os.fork, "system": lambda: os.system("true"), "popen": lambda: subprocess.run(["/bin/true"]),
     "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {})}[how]()

def raise_limit(name):
    which = getattr(resource, name)
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (hard + 1, hard + 1))
"""


@pytest.fixture(scope="module")
def looks() -> Iterator[Student]:
    with Student(LOOKS, QUICK) as student:
        yield student


class TestHidesWhoGrades:
    def test_nothing_of_the_environment_stands_anywhere_below_proc(self, tmp_path: Path) -> None:
        """Graded by a process of its own, whose environment, arguments, folder and name hold a canary."""
        folder = tmp_path / CANARY
        folder.mkdir()
        script = folder / "grades.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import json, sys
                from vswaplab.lab.grading.remote import Limits, Student
                with Student({LOOKS!r}, Limits(seconds=60)) as student:
                    found = student.call("everything_of_processes", {CANARY!r})
                    print(json.dumps([found, student.call("environment")]))
                """
            ),
            encoding="utf-8",
        )
        environment = {**os.environ, "CANARY_TOKEN": CANARY, "USER": CANARY, "LOGNAME": CANARY}
        found = subprocess.run(
            [sys.executable, str(script), CANARY],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert CANARY not in found.stdout
        assert found.stdout.startswith("[[0, []], ")

    def test_the_checkout_is_named_nowhere(self, looks: Student) -> None:
        """Not by a path, a mount, a file of text. (Compiled files of packages name the folder they were made in.)"""
        assert looks.call("mentions", str(PACKAGE.parent)) == []

    def test_python_and_the_library_are_at_one_place_wherever_the_checkout_is(self, looks: Student) -> None:
        there = [each for each in looks.call("places") if each]
        assert all(each.startswith((str(ROOT), "/tmp", "/usr")) for each in there), there

    def test_it_is_nobody_on_a_machine_without_a_name(self, looks: Student) -> None:
        assert looks.call("who") == ["lab", 65534, 65534]
        assert set(looks.call("environment")) <= {
            *("PATH", "HOME", "LANG", "OPENBLAS_NUM_THREADS", "PYTHONPATH", "LD_LIBRARY_PATH", "PWD", "LC_CTYPE")
        }

    def test_hidden_checks_solutions_and_this_file_are_not_there(self, looks: Student) -> None:
        for name in ("lab1.py", "test_grading_sandbox.py", "lab1_resolve.ipynb"):
            assert looks.call("mentions", name) == []

    @pytest.mark.parametrize("top", ["/usr", "/opt/python"])
    def test_hidden_checks_are_covered_wherever_a_mount_shows_them(
        self, top: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A checkout below /usr, a library in the interpreter's own prefix: folders in the place of both."""
        package = tmp_path / "lib" / "vswaplab"
        for folder in ("lib/vswaplab/lab/grading/labs", "lib/notebooks", "lib/tests"):
            (tmp_path / folder).mkdir(parents=True)
        monkeypatch.setattr(sandbox, "PACKAGE", package)
        hidden = list(
            sandbox._hidden(["--ro-bind", str(tmp_path), top, "--ro-bind", str(package), "/lab/library/vswaplab"])
        )
        assert [place for word, place in zip(hidden[::2], hidden[1::2], strict=True) if word == "--tmpfs"] == [
            f"{top}/lib/vswaplab/lab/grading/labs",
            f"{top}/lib/notebooks",
            f"{top}/lib/tests",
            "/lab/library/vswaplab/lab/grading/labs",
        ]


class TestMemory:
    """Every door to memory has a size: what all of them add up to is bounded."""

    def test_there_is_one_memory_disk_and_it_is_small(self, looks: Student) -> None:
        written, why = looks.call("fill", "/tmp", 1 << 20, 400)
        assert (written << 20, why) == (DISK_BYTES, "ENOSPC")
        for folder in (
            "/dev/shm",
            "/dev",
            "/",
            "/run",
            "/var/tmp",
            f"{ROOT}/library/vswaplab/lab/grading/labs",
            str(ROOT),
        ):
            assert looks.call("fill", folder, 1, 4)[0] == 0, folder

    def test_empty_files_are_counted_too(self) -> None:
        with Student(LOOKS, QUICK) as student, pytest.raises(OutOfMemory, match="more than 4096 files"):
            student.call("fill", "/tmp", 0, 10**7)

    def test_shared_memory_of_any_kind_is_refused_or_counted(self, looks: Student) -> None:
        assert looks.call("system_call", "shmget", 0, 1 << 20, 0o1600) == "EPERM"
        assert looks.call("system_call", "msgget", 0, 0o1600) == "EPERM"
        assert looks.call("system_call", "semget", 0, 8, 0o1600) == "EPERM"
        assert looks.call("memory_file") == "EPERM"
        assert looks.call("shared_pages", 1 << 20) == 1 << 20
        small = Limits(seconds=30, memory=512 << 20)
        with Student(LOOKS, small) as student, pytest.raises(StudentError, match="Cannot allocate memory"):
            student.call("shared_pages", 1 << 30)

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers of x86_64")
    @pytest.mark.parametrize(
        ("name", "number"),
        [
            *(("socket", 41), ("sendmsg", 46), ("sendmmsg", 307), ("splice", 275), ("tee", 276), ("vmsplice", 278)),
            *(("inotify_init", 253), ("inotify_init1", 294), ("fanotify_init", 300), ("flock", 73)),
        ],
    )
    def test_what_the_kernel_would_keep_for_it_is_refused(self, looks: Student, name: str, number: int) -> None:
        """Buffers of sockets, pages and open files sent away, queues of file events; locks that others see."""
        assert looks.call("raw", number, 2, 1, 0, 0) == "EPERM"

    def test_a_pair_of_sockets_is_allowed_for_an_event_loop(self) -> None:
        with Student("import asyncio\ndef run():\n    return asyncio.run(asyncio.sleep(0, 7))", QUICK) as student:
            assert student.call("run") == 7

    def test_what_lies_in_pipes_is_little(self, looks: Student) -> None:
        assert looks.call("pipes") < 64 << 20

    def test_limits_can_not_be_raised(self, looks: Student) -> None:
        for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_NOFILE"):
            with pytest.raises(StudentError, match="not allowed to raise maximum limit"):
                looks.call("raise_limit", name)

    def test_a_control_group_bounds_it_where_one_can_be_made(self) -> None:
        group = Cgroup.make(1 << 26)
        if group is None:
            pytest.skip("no control group for memory can be made here")
        try:
            program = f"open({str(group.procs)!r}, 'w').write('0'); x = bytearray(200 << 20)"
            ended = subprocess.run([sys.executable, "-c", program], check=False).returncode
            assert ended == -9
            assert group.killed()
        finally:
            group.close()
        assert not group.path.exists()


class TestProcesses:
    @pytest.mark.parametrize("how", ["fork", "system", "popen", "spawn"])
    def test_a_process_can_not_be_started(self, how: str) -> None:
        with Student(LOOKS, QUICK) as student, pytest.raises(TooManyProcesses, match="starts processes of its own"):
            student.call("start", how)

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers of x86_64")
    def test_the_kernel_refuses_it_too(self, looks: Student) -> None:
        """By system call, past Python: fork, vfork, clone, clone3."""
        assert looks.call("raw", 57) == "EPERM"
        assert looks.call("raw", 56, 17, 0, 0, 0, 0) == "EPERM"
        assert looks.call("raw", 435, 0, 0) == "ENOSYS"
        assert looks.call("raw", 272, 0x10000000) == "EPERM"  # unshare: a user namespace
        assert looks.call("raw", 458, 0, 0, 0, 0) == "EPERM"  # listmount

    def test_threads_are_allowed(self, looks: Student) -> None:
        assert looks.call("threads", 16) == 16

    def test_a_limit_of_processor_time_is_named(self) -> None:
        with pytest.raises(OutOfTime, match="uses more than 600 seconds of processor time"):
            Student("import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)", QUICK)

    def test_busy_threads_end_with_the_budget(self) -> None:
        source = """
            import threading, time
            def spin():
                while True: pass
            for _ in range(4):
                threading.Thread(target=spin, daemon=True).start()
            time.sleep(60)
        """
        with pytest.raises(OutOfTime, match=r"2 seconds (of processor time|in all)"):
            Student(textwrap.dedent(source), Limits(seconds=60, budget=2))

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("import os\nos.kill(os.getpid(), 9)", "SIGKILL"),
            ("import os\nos.abort()", "SIGABRT"),
            ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
            ("import os\nos._exit(7)", "status 7"),
        ],
    )
    def test_how_a_process_ended_is_said_in_words(self, source: str, said: str) -> None:
        with pytest.raises(WorkerDied, match=said):
            Student(source, QUICK)


class TestFilter:
    """The filter program, run by a small machine of its own."""

    @staticmethod
    def run(program: bytes, architecture: int, number: int, argument: int = 0) -> int:
        code = list(struct.iter_unpack("<HBBI", program))
        at, value = 0, 0
        while True:
            what, yes, no, k = code[at]
            at += 1
            if what == 0x20:
                value = {0: number, 4: architecture, 16: argument}[k]
            elif what == 0x06:
                return k
            else:
                at += yes if {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[what] else no

    @pytest.mark.parametrize("machine", ARCHITECTURES)
    def test_refuses_what_it_names_and_nothing_else(self, machine: str) -> None:
        program = filter_program(machine)
        assert program is not None
        architecture, refused = ARCHITECTURES[machine]
        for number in range(600):
            wanted = 0x7FFF0000
            if number in refused.values():
                wanted = 0x50026 if number == refused["clone3"] else 0x50001
            assert self.run(program, architecture, number) == wanted, number
        assert self.run(program, architecture, refused["clone"], 0x3D0F00) == 0x7FFF0000  # a thread
        assert self.run(program, architecture, 0x40000000 + 59) == 0x50001
        assert self.run(program, architecture ^ 1, 1) == 0x80000000

    def test_an_unknown_machine_has_none(self) -> None:
        assert filter_program("vax") is None


class TestControlGroups:
    """Version 2 has no memory controller on most test machines: files in the place of the kernel's."""

    def test_a_delegated_group_of_version_2_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        base = tmp_path / "user.slice" / "scope"
        base.mkdir(parents=True)
        (base / "cgroup.subtree_control").write_text("", encoding="ascii")
        own = tmp_path / "own"
        own.write_text("0::/user.slice/scope\n", encoding="ascii")
        made: list[Path] = []
        mkdir = Path.mkdir

        def kernel(path: Path, *args: Any, **kwargs: Any) -> None:
            mkdir(path, *args, **kwargs)
            made.append(path)
            for name in ("memory.max", "memory.swap.max", "cgroup.procs"):
                (path / name).write_text("", encoding="ascii")

        monkeypatch.setattr(Path, "mkdir", kernel)
        group = Cgroup.make(1 << 20, tmp_path, own)
        assert group is not None
        assert (base / "cgroup.subtree_control").read_text(encoding="ascii") == "+memory"
        assert (base / "vswaplab-grader" / "cgroup.procs").read_text(encoding="ascii") == str(os.getpid())
        assert (group.path / "memory.max").read_text(encoding="ascii") == str(1 << 20)
        assert (group.path / "memory.swap.max").read_text(encoding="ascii") == "0"
        (group.path / "memory.events").write_text("oom 1\noom_kill 1\n", encoding="ascii")
        assert group.killed()

    def test_where_none_can_be_made_there_is_none(self, tmp_path: Path) -> None:
        own = tmp_path / "own"
        for text in ("", "0::/\n", "4:memory:/x\n", "nonsense\n"):
            own.write_text(text, encoding="ascii")
            assert Cgroup.make(1 << 20, tmp_path, own) is None
        assert Cgroup.make(1 << 20, tmp_path, tmp_path / "nothing") is None
