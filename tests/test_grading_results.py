"""One row for each submission, whatever it does, and results that survive: a kill, a full disk, a spreadsheet."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import nbformat
import pytest

from vswaplab.cli import main
from vswaplab.errors import Busy, InvalidArgument, NotPermitted
from vswaplab.lab.grading import results as results_module
from vswaplab.lab.grading.allocator_lab import host_of
from vswaplab.lab.grading.collect import Submission
from vswaplab.lab.grading.limits import BadProtocol, Limits, OutOfTime
from vswaplab.lab.grading.model import Check, Lab, Outcome
from vswaplab.lab.grading.remote import Local, Student, StudentError
from vswaplab.lab.grading.results import Graded, Results, write_results
from vswaplab.lab.grading.runner import grade, grade_all
from vswaplab.lab.grading.signature import Host, Range
from vswaplab.lab.grading.submission import MAX_FILE

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
GOOD = "def double(x):\n    return x * 2"
SECRET = "the-input-of-a-hidden-check"


def visible(student: Any) -> None:
    found = student.call("double", 2)
    assert found == 4, f"double(2) is {found!r}"


def hidden(student: Any) -> None:
    assert student.call("double", SECRET) == 2 * SECRET


def late(student: Any) -> None:
    found = student.call("double", 3)
    assert found == 6, f"double(3) is {found!r}"


CHECKS = (Check("first", 2, True, visible, "of 2"), Check("secret", 2, False, hidden, "of text"))
LAB = Lab("double", "Double it", ("double",), (*CHECKS, Check("late", 1, True, late, "of 3")), 1, "*")
RANKED = Lab(
    "double", "Double it", ("double",), CHECKS, 1, "*", score=lambda student: float(student.call("double", 21))
)


def hand_in(folder: Path, name: str, source: str) -> Path:
    cell = nbformat.v4.new_code_cell(source, metadata={"nbgrader": {"solution": True}})
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    return path


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


SMUGGLES = {
    "in a message of the next check": """
        kept = []
        def double(x):
            kept.append(str(x))
            raise ValueError(" ".join(kept))
    """,
    "in the message of its own": """
        def double(x):
            raise ValueError(str(x))
    """,
    "as what it returns": """
        def double(x):
            return [x, x]
    """,
    "by how its process ends": """
        import os
        def double(x):
            if isinstance(x, str):
                os._exit(ord(x[0]))
            return x * 2
    """,
    "in what it prints": """
        def double(x):
            print(x)
            raise ValueError
    """,
    "on the memory disk": """
        def double(x):
            open("/tmp/kept", "a").write(str(x))
            raise ValueError(open("/tmp/kept").read())
    """,
}


@needs_sandbox
class TestHidden:
    @pytest.mark.parametrize("how", SMUGGLES)
    def test_inputs_of_hidden_checks_do_not_reach_the_report(self, how: str, tmp_path: Path) -> None:
        found = grade(hand_in(tmp_path, "anna", textwrap.dedent(SMUGGLES[how])), LAB)
        write_results([found], LAB, tmp_path / "out")
        told = (tmp_path / "out" / "reports" / "anna.md").read_text() + (tmp_path / "out" / "results.csv").read_text()
        assert "the-input" not in told
        assert str(ord(SECRET[0])) not in told
        outcome = next(each for each in found.outcomes if each.id == "secret")
        assert outcome.message in ("Not yet: of text.", "Not yet: of text. It met a limit.")

    def test_how_long_it_took_and_the_score_are_in_no_report(self, tmp_path: Path) -> None:
        found = grade(hand_in(tmp_path, "anna", GOOD), RANKED)
        assert (found.points, found.score) == (4, 42.0)
        write_results([found], RANKED, tmp_path / "out")
        told = (tmp_path / "out" / "reports" / "anna.md").read_text() + (tmp_path / "out" / "results.csv").read_text()
        assert "42" not in told
        assert "second" not in told
        assert "1,anna,42.000" in (tmp_path / "out" / "leaderboard.csv").read_text()

    def test_each_hidden_check_has_a_process_of_its_own(self, tmp_path: Path) -> None:
        """A counter of calls starts anew: a visible check sees the second call, a hidden one never does."""
        source = "calls = []\ndef double(x):\n    calls.append(x)\n    assert len(calls) < 3\n    return x * 2"
        many = Lab("double", "D", ("double",), tuple(Check(f"h{i}", 1, False, hidden, "h") for i in range(4)), 1, "*")
        assert grade(hand_in(tmp_path, "anna", source), many).points == 4

    def test_a_failure_while_ranked_costs_the_rank_alone(self, tmp_path: Path) -> None:
        source = "def double(x):\n    if x == 21: raise SystemExit\n    return x * 2"
        found = grade(hand_in(tmp_path, "anna", source), RANKED)
        assert (found.points, found.score, found.reason) == (4, None, "")


@needs_sandbox
class TestEveryOneHasItsRow:
    def test_a_limit_costs_the_check_in_which_it_is_met(self, tmp_path: Path) -> None:
        source = "def double(x):\n    while x == 3: pass\n    return x * 2"
        found = grade(hand_in(tmp_path, "anna", source), LAB, Limits(seconds=1))
        assert {each.id: each.got for each in found.outcomes} == {"first": 2, "secret": 2, "late": 0}
        assert found.reason == "It takes longer than 1 second."

    def test_the_budget_bounds_all_calls_together(self, tmp_path: Path) -> None:
        source = "import time\ndef double(x):\n    time.sleep(0.9)\n    return x * 2"
        many = Lab("double", "D", ("double",), tuple(Check(f"v{i}", 1, True, visible, "v") for i in range(99)), 1, "*")
        started = time.monotonic()
        found = grade(hand_in(tmp_path, "anna", source), many, Limits(seconds=9, budget=8))
        assert found.reason == "It takes longer than 8 seconds in all."
        assert 0 < found.points < 99
        assert time.monotonic() - started < 60

    def test_a_pipe_that_is_filled_and_never_read_ends(self) -> None:
        source = """
            import gc, os, threading, time
            LINE = b'{"=":"dict","items":{"value":4}}\\n' * 100
            def fill(file):
                for _ in range(400):
                    os.write(file, LINE)
            def double(x):
                worker = next(each for each in gc.get_objects() if type(each).__name__ == "_Worker")
                threading.Thread(target=fill, args=(worker.writes.fileno(),), daemon=True).start()
                time.sleep(10**6)
        """
        with Student(textwrap.dedent(source), Limits(seconds=3)) as student:
            assert student.call("double", 2) == 4  # an answer is an answer
            with pytest.raises(BadProtocol, match="answers before it is asked"):
                student.call("double", 2)

    def test_a_question_that_is_never_read_ends_too(self) -> None:
        """The pipe is full of a question longer than it holds while the process sleeps in the one before."""
        source = "import os, threading, time\ndef double(x):\n    time.sleep(10**6)\n"
        with Student(source, Limits(seconds=2)) as student, pytest.raises(OutOfTime):
            student.call("double", "x" * (3 << 20))

    @pytest.mark.parametrize(
        "line", ['{"=":"dict","items":[]}', '{"=":"object","number":1e999}', '{"=":["x"]}', "[1e999]"]
    )
    def test_what_is_written_into_the_pipe_is_no_error_of_the_grading(self, line: str, tmp_path: Path) -> None:
        written = f"{line}\n".encode()
        source = f"import os, sys\ndef double(x):\n    os.write(int(sys.orig_argv[-2]), {written!r})\n    return 4"
        found = grade(hand_in(tmp_path, "anna", source), LAB)
        assert not found.failed

    def test_a_name_or_a_note_without_end_is_cut(self, tmp_path: Path) -> None:
        found = grade(hand_in(tmp_path, "anna", "raise type('\U0001f600' * 340_000, (Exception,), {})"), LAB)
        assert not found.failed
        assert len(found.reason) < 1000

    def test_an_error_of_the_grading_itself_is_a_row_with_a_log(self, tmp_path: Path) -> None:
        def broken(student: Any) -> None:
            raise KeyboardInterrupt  # nothing that a check may raise

        lab = Lab("double", "D", ("double",), (Check("broken", 1, True, broken, "b"),), 1, "*")
        first, second = hand_in(tmp_path, "anna", GOOD), hand_in(tmp_path, "ben", GOOD)
        found = grade_all([first, second], lab)
        assert [(each.name, each.reason, each.failed) for each in found] == [
            ("anna", "grading failed: KeyboardInterrupt", True),
            ("ben", "grading failed: KeyboardInterrupt", True),
        ]
        assert "Traceback" in found[0].log

    def test_a_checker_that_dies_is_a_row(self, tmp_path: Path) -> None:
        lab = Lab("double", "D", ("double",), (Check("dies", 1, True, lambda student: os._exit(9), "d"),), 1, "*")
        (found,) = grade_all([hand_in(tmp_path, "anna", GOOD)], lab)
        assert found.failed
        assert "the checker ended before it was done" in found.reason

    def test_a_checker_that_takes_too_much_memory_is_a_row(self, tmp_path: Path) -> None:
        def takes(student: Any) -> None:
            kept = bytearray(3 << 30)
            for at in range(0, len(kept), 4096):
                kept[at] = 1
            time.sleep(60)

        lab = Lab("double", "D", ("double",), (Check("takes", 1, True, takes, "t"),), 1, "*")
        (found,) = grade_all([hand_in(tmp_path, "anna", GOOD)], lab)
        assert found.reason == "It can't be graded: what it holds or returns takes more than 2 GiB."

    def test_unreadable_files_are_rows(self, tmp_path: Path) -> None:
        good = hand_in(tmp_path, "anna", GOOD)
        found = grade_all([Submission("ben", tmp_path / "gone.ipynb"), Submission("carl", tmp_path), good], LAB)
        assert [each.points for each in found] == [5, 0, 0]
        assert [each.reason for each in found[1:]] == [
            "gone.ipynb can't be read: No such file or directory.",
            f"{tmp_path.name} is no file; hand in the .ipynb file itself.",
        ]
        assert not any(each.failed for each in found)

    def test_a_refusal_does_not_name_the_folder_of_whoever_grades(self, tmp_path: Path) -> None:
        large = tmp_path / "anna.ipynb"
        with large.open("wb") as file:
            file.truncate(MAX_FILE + 1)
        found = grade_all([large], LAB)
        assert found[0].reason == "anna.ipynb is larger than 128 MiB; clear its outputs and hand it in again."


class TestHostsAreGuarded:
    """What a learner's code passes to the checker is what the method declares, in a notebook as in a sandbox."""

    class Keeper:
        def small(self, number: Annotated[int, Range(0, 9)]) -> int:
            return 1 << number

        def word(self, number: int) -> int:
            return number

        def text(self, words: str, flag: bool) -> str:
            return words

        def fails(self) -> None:
            raise RuntimeError("the host's own")

    @pytest.fixture(params=["local", pytest.param("sandbox", marks=needs_sandbox)])
    def student(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        source = "def ask(host, name, *args):\n    return getattr(host, name)(*args)"
        if request.param == "local":
            namespace: dict[str, Any] = {}
            exec(source, namespace)
            yield Local(namespace)
            return
        with Student(source, Limits(seconds=30)) as student:
            yield student

    @pytest.mark.parametrize(
        ("name", "args", "said"),
        [
            ("small", (10,), "number of small.. must be 0 to 9, not 10"),
            ("small", (-1,), "must be 0 to 9"),
            ("small", (12_000_000_000,), "must be 0 to 9"),
            ("small", (2**100_0,), "must be 0 to 9, not a number of 1001 bits"),
            ("word", (2**64,), "must be -9223372036854775808 to 18446744073709551615"),
            ("small", ("3",), "must be a whole number, not '3'"),
            ("small", (None,), "must be a whole number"),
            ("small", (3.0,), "must be a whole number"),
            ("small", ([1],), "must be a whole number"),
            ("small", (), "takes 1 arguments, not 0"),
            ("small", (1, 2), "takes 1 arguments, not 2"),
            ("text", (1, True), "must be str"),
            ("text", ("a", 1), "must be bool"),
            ("text", ("a" * 70_000, True), "at most 65536 characters"),
            ("fails", (), "the host's own"),
        ],
    )
    def test_and_the_error_says_what_is_allowed(
        self, student: Any, name: str, args: tuple[Any, ...], said: str
    ) -> None:
        host = Host(self.Keeper(), ("small", "word", "text", "fails"))
        with pytest.raises((ValueError, TypeError, RuntimeError, StudentError), match=said):
            student.call("ask", host, name, *args)
        assert student.call("ask", host, "small", 3) == 8  # and question and answer are still in step

    def test_every_method_of_the_labs_declares_its_arguments(self) -> None:
        host, given = host_of(2)
        for name in ("find_free", "take", "give"):
            for huge in (12 * 10**9, 2**62, 10**11, -1):
                args = [0, huge] if name == "find_free" else [0, huge, 0]
                with pytest.raises(ValueError, match="must be 0 to"):
                    given.call(name, args)
        assert host.searches == 0

    def test_a_method_that_does_not_is_no_host(self) -> None:
        class Loose:
            def anything(self, value: Any) -> None:
                """Computes with whatever comes."""

        with pytest.raises(TypeError, match="must declare value"):
            Host(Loose(), ("anything",))


def some(name: str, **fields: Any) -> Graded:
    outcomes = (Outcome("first", 2, 2, ""), Outcome("secret", 2, 0, "Not yet: of text."), Outcome("late", 1, 1, ""))
    return Graded(**{"name": name, "outcomes": outcomes, "of": 5, **fields})


class TestResults:
    def test_they_come_one_by_one_and_a_killed_run_goes_on(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        killed = Results(out, LAB)
        killed.add(some("anna"), "d1")
        killed.add(some("ben", notes=("a note",)), "d2")
        killed.close()  # as the end of a process does
        with (out / "results.jsonl").open("ab") as file:
            file.write(b'{"name": "carl", "dig')  # a line that it could not end
        assert (out / "reports" / "ben.md").exists()
        with Results(out, LAB, resume=True) as again:
            assert set(again.begun) == {("anna", "d1"), ("ben", "d2")}
            assert again.begun["ben", "d2"] == some("ben", notes=("a note",))
            for graded in again.begun.values():
                again.keep(graded)
            again.add(some("carl", reason="r"), "d3")
            again.finish()
            again.close(finished=True)
        assert list(rows_of(out)) == ["anna", "ben", "carl"]
        with Results(out, LAB, resume=True) as third:
            assert len(third.begun) == 3

    def test_what_failed_is_tried_again(self, tmp_path: Path) -> None:
        with Results(tmp_path, LAB) as results:
            results.add(some("anna", failed=True), "d1")
        with Results(tmp_path, LAB, resume=True) as again:
            assert not again.begun

    def test_another_labs_results_are_not_mixed_in(self, tmp_path: Path) -> None:
        with Results(tmp_path, LAB) as results:
            results.add(some("anna"), "d1")
        other = Lab("triple", "T", ("triple",), CHECKS, 1, "*")
        with pytest.raises(InvalidArgument, match="results of another lab"):
            Results(tmp_path, other, resume=True)

    def test_a_new_run_keeps_the_lines_of_one_that_was_not_finished(self, tmp_path: Path) -> None:
        with Results(tmp_path, LAB) as results:
            results.add(some("anna"), "d1")
        Results(tmp_path, LAB).close()
        assert "anna" in (tmp_path / "results.before.jsonl").read_text()

    def test_what_a_killed_run_left_beside_its_files_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / "reports").mkdir()
        mine = tmp_path / ".gitignore"
        mine.write_text("*", encoding="ascii")
        for folder in (tmp_path, tmp_path / "reports"):
            (folder / ".vswaplab-grade-x1y2z3").write_text("half a fi", encoding="ascii")
        Results(tmp_path, LAB).close()
        assert sorted(path.name for path in tmp_path.rglob(".*")) == [".gitignore", ".lock"]

    def test_what_is_written_is_not_written_again_at_the_end(self, tmp_path: Path) -> None:
        """An interrupted run of hundreds ends at once: a report costs the disk a moment each."""
        with Results(tmp_path, LAB) as results:
            results.add(some("anna", log="x"), "d1")
            (report, log) = tmp_path / "reports" / "anna.md", tmp_path / "logs" / "anna.log"
            before = [path.stat().st_ino for path in (report, log)]
            results.finish()
            assert [path.stat().st_ino for path in (report, log)] == before
            report.write_text("half a fi", encoding="ascii")
            results.finish()
            assert "double" in report.read_text(encoding="utf-8").casefold()

    def test_two_runs_do_not_share_a_folder(self, tmp_path: Path) -> None:
        with Results(tmp_path, LAB), pytest.raises(Busy, match="Another run"):
            Results(tmp_path, LAB)
        Results(tmp_path, LAB).close()

    def test_the_folder_is_tried_before_anything_is_graded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("", encoding="ascii")
        with pytest.raises(NotPermitted, match="choose another with --out"):
            Results(tmp_path / "file", LAB)
        monkeypatch.setattr(results_module.tempfile, "NamedTemporaryFile", _full)
        with pytest.raises(NotPermitted, match=r"No space left on device.*choose another with --out"):
            Results(tmp_path / "full", LAB)

    def test_a_full_disk_leaves_what_was_there_and_takes_the_rest_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Results(tmp_path, LAB) as results:
            results.add(some("anna"), "d1")
            results.finish()
            before = (tmp_path / "results.csv").read_bytes()
            write = os.write
            monkeypatch.setattr(os, "write", _full)
            monkeypatch.setattr(results_module, "_write_whole", _full)
            results.add(some("ben"), "d2")
            with pytest.raises(OSError, match="No space left"):
                results.finish()
            assert (tmp_path / "results.csv").read_bytes() == before
            monkeypatch.undo()
            assert os.write is write
            results.add(some("carl"), "d3")
            results.finish()
        assert list(rows_of(tmp_path)) == ["anna", "ben", "carl"]
        with Results(tmp_path, LAB, resume=True) as again:
            assert len(again.begun) == 3

    @pytest.mark.parametrize("text", ["=cmd|' /C calc'!A1", "+1", "-1", "@x", '=HYPERLINK("x")'])
    def test_no_spreadsheet_takes_a_cell_for_a_formula(self, text: str, tmp_path: Path) -> None:
        write_results([some(text, reason=text)], LAB, tmp_path)
        (row,) = rows_of(tmp_path).values()
        assert row["submission"] == row["reason"] == f"'{text}"

    @pytest.mark.parametrize(
        "name", ["a/b", "..", "x" * 300, "caf\udce9", "\x1b[2J", "=cmd", "名", "a b", ".hidden", ""]
    )
    def test_any_name_has_a_report_of_its_own(self, name: str, tmp_path: Path) -> None:
        write_results([some(name), some(f"{name} (2)")], LAB, tmp_path)
        reports = list((tmp_path / "reports").iterdir())
        assert len(reports) == 2
        assert all(path.parent == tmp_path / "reports" for path in reports)
        assert not list(tmp_path.rglob(".*"))  # nothing is left beside

    def test_what_a_learner_writes_stays_in_its_cell(self, tmp_path: Path) -> None:
        evil = "a|b\n| x | 9 of 9 |\x1b[2J<script>alert(1)</script>\ud83d"
        outcomes = (Outcome("first", 2, 0, evil), Outcome("secret", 2, 0, ""), Outcome("late", 1, 1, ""))
        write_results([some("anna", outcomes=outcomes, reason=evil, notes=(evil,))], LAB, tmp_path)
        report = (tmp_path / "reports" / "anna.md").read_text(encoding="utf-8")
        assert "\n| x | 9" not in report
        assert "\x1b" not in report
        assert "<script>" not in report
        assert "\\|" in report


def _full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@needs_sandbox
class TestCommandLine:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setitem(_labs(), "double", LAB)
        folder = tmp_path / "submissions"
        folder.mkdir()
        for name in ("anna", "ben", "carl"):
            hand_in(folder, name, GOOD)
        (folder / "notes.txt").write_text("x", encoding="ascii")
        return folder

    def test_says_who_is_missing_and_what_was_passed_over(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        roster = tmp_path / "class.csv"
        roster.write_text("name\nanna\nben\ndora\n", encoding="utf-8")
        given = ["grade", "--lab", "double", str(folder), "--out", str(tmp_path / "out"), "--roster", str(roster)]
        assert main(given) == 0
        said = capsys.readouterr().out
        assert "Nothing was handed in by: dora" in said
        assert "Not on the roster: carl" in said
        assert "Passed over: notes.txt (not a notebook)" in said
        assert main([*given, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["missing"], found["unknown"], found["failed"]) == (["dora"], ["carl"], [])
        assert found["skipped"] == [{"path": "notes.txt", "why": "not a notebook"}]

    def test_resume_grades_what_is_left_or_has_changed(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        given = ["grade", "--lab", "double", str(folder), "--out", str(out), "--resume"]
        assert main(given) == 0
        hand_in(folder, "ben", "def double(x):\n    return 0")
        hand_in(folder, "dora", GOOD)
        graded: list[str] = []
        keep = Results.add
        monkeypatch.setattr(
            Results, "add", lambda self, one, digest: (graded.append(one.name), keep(self, one, digest))
        )
        assert main(given) == 0
        assert sorted(graded) == ["ben", "dora"]
        assert {name: row["points"] for name, row in rows_of(out).items()} == {
            "anna": "5",
            "ben": "0",
            "carl": "5",
            "dora": "5",
        }

    def test_ctrl_c_writes_what_there_is(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in range(6):
            hand_in(folder, f"slow{number}", "import time\ntime.sleep(8)\n" + GOOD)
        out = tmp_path / "out"
        threading.Thread(target=_interrupt_when, args=(out / "results.jsonl", b'"carl"'), daemon=True).start()
        assert main(["grade", "--lab", "double", str(folder), "--out", str(out), "--jobs", "1"]) == 130
        assert "--resume goes on" in capsys.readouterr().err
        assert {"anna", "ben", "carl"} <= set(rows_of(out)) < {"anna", "ben", "carl", *(f"slow{n}" for n in range(6))}

    def test_a_failed_grading_is_told_by_the_exit_code(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = Lab("double", "D", ("double",), (Check("dies", 1, True, lambda student: os._exit(9), "d"),), 1, "*")
        monkeypatch.setitem(_labs(), "double", broken)
        assert main(["grade", "--lab", "double", str(folder), "--out", str(tmp_path / "out")]) == 3
        assert (tmp_path / "out" / "logs" / "anna.log").exists()


def _labs() -> dict[str, Lab]:
    from vswaplab.lab.grading.labs import LABS

    return LABS


def _interrupt_when(path: Path, text: bytes) -> None:
    import _thread

    for _ in range(1200):
        if path.exists() and text in path.read_bytes():
            _thread.interrupt_main()
            return
        time.sleep(0.1)
