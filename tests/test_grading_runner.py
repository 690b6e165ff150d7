"""Grading a folder: twenty submissions, eight of them hostile, each with its right outcome; nobody else pays for it."""

from __future__ import annotations

import csv
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from gradekit import DOUBLE, GOOD, notebook

from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NoMemory, NotFound, NotPermitted
from vswaplab.lab.grading.labs import LABS
from vswaplab.lab.grading.model import run_check
from vswaplab.lab.grading.remote import (
    BadProtocol,
    Host,
    Limits,
    Local,
    OutOfMemory,
    OutOfTime,
    Student,
    StudentError,
    TooManyProcesses,
    TooMuchOutput,
    WorkerDied,
)
from vswaplab.lab.grading.runner import grade, grade_all, report, submissions_in, write_results
from vswaplab.lab.grading.submission import STUB, lab_of, read_notebook, source_of, student_version

MASTERS = sorted((Path(__file__).resolve().parent.parent / "notebooks" / "labs").glob("*.ipynb"))
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
QUICK = Limits(seconds=10)


def hand_in(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook(source), path)
    return path


HONEST = {
    "right": (GOOD, 5),
    "right-too": ("double = lambda x: x + x", 5),
    "with-prints": (f"print('hello')\n{GOOD}", 5),
    "with-magic": (f"%matplotlib inline\n{GOOD}", 5),
    "with-library": (f"from vswaplab import Machine\n{GOOD}", 5),
    "numbers-only": ("def double(x):\n    return 2 * int(x)", 2),
    "wrong": ("def double(x):\n    return x", 0),
    "text-only": ("def double(x):\n    return x + x if isinstance(x, str) else 0", 3),
    "stub": (f"def double(x):\n    {STUB}", 0),
    "another-name": ("def twice(x):\n    return x * 2", 0),
    "does-not-parse": ("def double(x) return 2", 0),
    "slow-but-right": (f"import time\ntime.sleep(0.3)\n{GOOD}", 5),
}
HOSTILE = {
    "loops": ("while True:\n    pass", "takes longer than 10 seconds"),
    "forks": ("import os\nwhile True:\n    os.fork()", "starts processes of its own"),
    "eats": ("hoard = []\nwhile True:\n    hoard.append(bytes(1 << 28))", "more than 1024 MiB of memory"),
    "prints": ("while True:\n    print('x' * 100_000)", "prints more than 1024 KiB"),
    "deletes": ("import shutil\nshutil.rmtree('/usr')", "Read-only file system"),
    "reads": ("open('{other}').read()", "No such file or directory"),
    "peeks": ("from vswaplab.lab.grading.labs import LABS", "ImportError"),
}
"""And the eighth, which is no notebook."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    other = hand_in(folder, "right", HONEST["right"][0])
    for name, (source, _) in {**HONEST, **HOSTILE}.items():
        hand_in(folder, name, source.replace("{other}", str(other)))
    (folder / "not-one.ipynb").write_text("This is my essay.", encoding="utf-8")
    return folder


@needs_sandbox
def test_twenty_submissions_have_the_right_outcome_each(folder: Path, tmp_path: Path) -> None:
    paths = submissions_in([folder])
    assert len(paths) == 20
    seen: list[int] = []
    graded = grade_all(paths, DOUBLE, QUICK, jobs=3, progress=lambda done, of: seen.append(done))
    found = {each.name: each for each in graded}
    assert seen == list(range(1, 21))
    for name, (_, points) in HONEST.items():
        assert found[name].points == points, (name, found[name])
    for name, (_, reason) in HOSTILE.items():
        assert found[name].points == 0
        assert reason in found[name].reason, (name, found[name].reason)
    assert "is not a notebook" in found["not-one"].reason
    assert "SyntaxError" in found["does-not-parse"].reason
    write_results(graded, DOUBLE, tmp_path)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert len(rows) == 20
    assert (rows["right"]["points"], rows["right"]["of-two"], rows["loops"]["points"]) == ("5", "2", "0")
    with (tmp_path / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        board = list(csv.DictReader(file))
    assert {row["submission"] for row in board} == {name for name, (_, points) in HONEST.items() if points == 5}
    assert "not be graded: It takes longer than 10 seconds." in (tmp_path / "reports" / "loops.md").read_text()
    assert "abab" not in (tmp_path / "reports" / "numbers-only.md").read_text()  # a hidden check stays hidden
    assert "not 4" in (tmp_path / "reports" / "wrong.md").read_text()


@needs_sandbox
class TestStudent:
    """One learner's process."""

    @pytest.fixture
    def student(self) -> Iterator[Student]:
        source = (
            "class Keeper:\n"
            "    def __init__(self, host):\n        self.host = host\n"
            "    def ask(self, n):\n        return [self.host.give(n), n]\n"
            "    def swallow(self):\n"
            "        try:\n            self.host.fail()\n"
            "        except Exception as error:\n            return type(error).__name__\n"
            "def echo(x):\n    return x\n"
            "def let_through(host):\n    host.fail()\n"
            "def broken():\n    return [][3]\n"
        )
        with Student(source, QUICK) as student:
            yield student

    def test_values_come_back_as_they_were(self, student: Student) -> None:
        for value in (None, True, 3, 2**64 - 1, 1.5, "text", b"\x00\xff", [1, [b"x"]], {"a": {"b": [1]}, "=": 2}):
            assert student.call("echo", value) == value
        assert student.call("echo", (1, 2)) == [1, 2]

    def test_host_methods_are_called_and_no_others(self, student: Student) -> None:
        class Giver:
            secret = 7

            def give(self, n: int) -> int:
                return n + 1

            def fail(self) -> None:
                raise NoMemory("no page")

        keeper = student.new("Keeper", Host(Giver(), ("give", "fail")))
        assert keeper.ask(41) == [42, 41]
        assert keeper.swallow() == "NoMemory"
        with pytest.raises(NoMemory, match="no page"):
            student.call("let_through", Host(Giver(), ("give", "fail")))
        with pytest.raises(StudentError, match="AttributeError"):
            student.new("Keeper", Host(Giver(), ())).ask(1)

    def test_what_it_raises_says_where(self, student: Student) -> None:
        with pytest.raises(StudentError, match=r"IndexError: list index out of range \(line 16\)"):
            student.call("broken")
        assert student.call("echo", 1) == 1  # and it goes on

    def test_what_can_not_be_passed_on_is_said(self, student: Student) -> None:
        with (
            Student("def odd():\n    return open", QUICK) as odd,
            pytest.raises(StudentError, match="can't be passed on"),
        ):
            odd.call("odd")


GARBAGE = "import os\nfor fd in range(3, 64):\n  try:\n    os.write(fd, b'{}\\n')\n  except OSError:\n    pass"
"""Something else than an answer, into every file that is open."""


@needs_sandbox
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("while True:\n    pass", OutOfTime),
        ("bytearray(3 << 30)", OutOfMemory),
        ("while True:\n    print('x' * 10000)", TooMuchOutput),
        ("import os\nwhile True:\n    os.fork()", TooManyProcesses),
        ("import os\nos._exit(3)", WorkerDied),
        ("import os\nos.kill(os.getpid(), 9)", WorkerDied),
        (
            "import os\nfor fd in range(3, 64):\n  try:\n    os.write(fd, b'{}\\n')\n  except OSError:\n    pass",
            BadProtocol,
        ),
        (
            "import os\nfor fd in range(3, 64):\n  try:\n    os.write(fd, b'not json\\n')\n  except OSError:\n    pass",
            BadProtocol,
        ),
    ],
)
def test_what_is_not_allowed_ends_it_with_its_reason(source: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Student(source + "\nraise SystemExit", QUICK)


@needs_sandbox
def test_there_is_no_network_and_nothing_to_write(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = (
            "import pathlib, socket\n"
            "def connect(port):\n    socket.create_connection(('127.0.0.1', port), 1)\n"
            "def write(path):\n    pathlib.Path(path).write_text('x')\n"
            "def everything():\n    return sorted(str(p) for p in pathlib.Path('/').iterdir())\n"
        )
        with Student(source, QUICK) as student:
            with pytest.raises(StudentError, match="Error"):
                student.call("connect", port)
            for path in (tmp_path / "x", Path(__file__).parent / "x", Path("/etc/x"), Path("/usr/x")):
                with pytest.raises(StudentError, match="Error"):
                    student.call("write", str(path))
            assert not {"/home", "/var", "/srv", "/opt"} & set(student.call("everything"))


def test_without_a_sandbox_nothing_is_graded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vswaplab.lab.grading.sandbox.shutil.which", lambda name: None)
    with pytest.raises(NotPermitted, match=r"install bubblewrap .* or pass --unsafe"):
        grade(folder / "right.ipynb", DOUBLE)


def test_trusted_code_is_graded_without_one(folder: Path) -> None:
    assert grade(folder / "right.ipynb", DOUBLE, QUICK, unsafe=True).points == 5


@pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)
def test_a_master_is_right_and_its_student_version_is_not(path: Path, tmp_path: Path) -> None:
    master = read_notebook(path)
    lab = LABS[lab_of(master)]
    namespace: dict[str, Any] = {}
    exec(source_of(master), namespace)
    outcomes = [run_check(lab, check, Local(namespace)) for check in lab.checks]
    assert [outcome.message for outcome in outcomes] == [""] * len(lab.checks)
    student = student_version(master)
    text = nbformat.writes(student)
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    assert STUB.split("  #")[0] in text
    nothing: dict[str, Any] = {}
    exec(source_of(student), nothing)
    assert not sum(run_check(lab, check, Local(nothing)).got for check in lab.checks)


@pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)
def test_nbgrader_itself_makes_the_same_student_version(path: Path) -> None:
    nbgrader = pytest.importorskip("nbgrader.preprocessors", reason="nbgrader is not installed")
    from nbgrader.nbgraderformat import MetadataValidator

    MetadataValidator().validate_nb(read_notebook(path))
    solutions = nbgrader.ClearSolutions()
    solutions.code_stub = {"python": STUB}
    made, _ = solutions.preprocess(read_notebook(path), {})
    made, _ = nbgrader.ClearHiddenTests().preprocess(made, {})
    mine = student_version(read_notebook(path))
    assert [cell.source.rstrip() for cell in made.cells] == [cell.source.rstrip() for cell in mine.cells]


@pytest.mark.parametrize("path", MASTERS, ids=lambda path: path.stem)
def test_a_master_says_its_points_minutes_and_hardness(path: Path) -> None:
    notebook = read_notebook(path)
    lab, first = LABS[lab_of(notebook)], notebook.cells[0].source
    visible = sum(check.points for check in lab.checks if check.visible)
    assert f"**Points** {lab.points}, {visible} for checks" in first.replace("\n", " ")
    assert f"**Minutes** {lab.minutes}" in first
    assert first.count("★") == len(lab.hardness)
    points = [cell.metadata.nbgrader.get("points", 0) for cell in notebook.cells]
    assert sum(points) == lab.points
    ids = [cell.metadata.nbgrader.grade_id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_marks_that_are_not_closed_are_seen() -> None:
    with pytest.raises(InvalidArgument, match="not closed"):
        student_version(notebook("def f():\n    ### BEGIN SOLUTION\n    return 1"))


@needs_sandbox
def test_the_command_line_grades_and_assigns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release, out = tmp_path / "release", tmp_path / "graded"
    assert main(["assign", str(MASTERS[0]), "--out", str(release)]) == 0
    shutil.copy(MASTERS[0], release / "anna.ipynb")
    assert main(["grade", "--lab", "lab1_resolve", str(release), "--out", str(out), "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert "anna           20 of 20" in said
    assert "lab1_resolve    0 of 20" in said
    assert (out / "reports" / "anna.md").exists()
    assert main(["grade", "--lab", "lab9", str(release)]) == 2
    assert "There is no lab 'lab9'; choose one of: lab1_resolve" in capsys.readouterr().err
    assert main(["grade", "--lab", "lab1_resolve", str(tmp_path / "nobody")]) == 2
    assert "There is no file or folder" in capsys.readouterr().err
    assert main(["assign", str(MASTERS[0]), "--out", str(MASTERS[0].parent)]) == 2
    assert "is the master itself" in capsys.readouterr().err


def test_a_report_says_what_each_check_found() -> None:
    graded = grade_local_as_report("def double(x):\n    return 2 * x + 1")
    assert "| double of 2 | 0 of 2 | double(2) is 5, not 4 |" in graded


def grade_local_as_report(source: str) -> str:
    from vswaplab.lab.grading.runner import Graded

    namespace: dict[str, Any] = {}
    exec(source, namespace)
    outcomes = tuple(run_check(DOUBLE, check, Local(namespace)) for check in DOUBLE.checks)
    return report(Graded("x", outcomes, DOUBLE.points), DOUBLE)


def test_a_notebook_of_another_lab_or_without_a_marked_cell_is_refused(tmp_path: Path) -> None:
    nbformat.write(notebook(GOOD, lab="triple"), tmp_path / "other.ipynb")
    assert "of triple, not of double" in grade(tmp_path / "other.ipynb", DOUBLE, unsafe=True).reason
    bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(GOOD)])
    nbformat.write(bare, tmp_path / "bare.ipynb")
    assert "No cell is marked as a solution" in grade(tmp_path / "bare.ipynb", DOUBLE, unsafe=True).reason
    with pytest.raises(InvalidArgument, match="There are no submissions there"):
        submissions_in([tmp_path_of(tmp_path)])
    with pytest.raises(NotFound):
        Local({}).call("nobody")


def tmp_path_of(path: Path) -> Path:
    empty = path / "empty"
    empty.mkdir()
    return empty
