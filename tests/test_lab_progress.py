"""Answers kept in a file: two notebooks at once, what can't be written for a while, what a killed process leaves."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labkit import CHOOSE, NUMBER

from vswaplab import lab
from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NotPermitted
from vswaplab.lab.asked import Asked
from vswaplab.lab.progress import FILE_NAME, Entry, Progress, progress_here

MODULE = sys.modules["vswaplab.lab.progress"]  # a function stands before it in vswaplab.lab


@pytest.fixture(autouse=True)
def work_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VSWAPLAB_PROGRESS", raising=False)


def kept(folder: Path) -> Any:
    return json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))["answers"]


def test_notebooks_open_at_once_keep_each_others_answers(tmp_path: Path) -> None:
    one, other = Progress(FILE_NAME), Progress(FILE_NAME)
    threads = [
        threading.Thread(target=lambda p=p, n=n: [p.record(f"{n}/q{i}", answer=i, kind="correct") for i in range(20)])
        for p, n in ((one, "01"), (other, "02"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Progress(FILE_NAME).entries) == 40
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"vswaplab-progress": 99, "answers": {}}',
        '{"vswaplab-progress": 1}',
        '{"vswaplab-progress": 1, "answers": {"a": 3}}',
        '{"vswaplab-progress": 1, "answers": {"a": {"what": 3}}}',
        '{"vswaplab-progress": 1, "answers": {"a": {"attempts": true}}}',
        '{"vswaplab-progress": 1, "answers": {"a": {"kind": 1}}}',
        '{"vswaplab-progress": 1, "seed": -1, "answers": {}}',
        "\0" * 100,
    ],
)
def test_a_broken_file_is_kept_aside_and_that_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
    progress = Progress(FILE_NAME)
    assert progress.entries == {}
    assert f"It is kept as {FILE_NAME}.broken-1" in progress.note
    progress.record("a", answer=1)
    assert (tmp_path / f"{FILE_NAME}.broken-1").read_text(encoding="utf-8") == text
    assert Progress(FILE_NAME).entry("a").answer == 1
    asked = Asked(NUMBER, progress)
    asked.answer("24")
    assert asked.header["note"] == progress.note


def test_a_file_that_breaks_again_is_kept_beside_the_first(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / FILE_NAME).write_text("x", encoding="utf-8")
        assert f"broken-{number}" in Progress(FILE_NAME).note


def test_where_nothing_can_be_written_answers_last_as_long_as_the_session(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "missing" / FILE_NAME)
    asked = Asked(NUMBER, progress)
    asked.answer("8")
    asked.answer("24")
    assert progress.entry("06/slot").attempts == 2
    assert "not kept beyond this session" in asked.header["note"]


def test_progress_is_exported_and_reset(tmp_path: Path) -> None:
    progress = progress_here()
    progress.record("05/a", answer="x", kind="correct", attempts=1)
    progress.record("05/b", answer="y", kind="almost", attempts=2)
    progress.record("06/a", answer="z", kind="missing", attempts=1)
    assert str(progress).startswith("1 of 3 questions tried are answered correctly.")
    assert progress._repr_html_().count("<tr>") == 4
    copy = progress.export(tmp_path / "mine.json")
    assert Progress(copy).entries == progress.entries
    assert progress.reset("05/") == 2
    assert list(Progress(FILE_NAME).entries) == ["06/a"]
    assert progress.reset() == 1
    assert Progress(FILE_NAME).entry("06/a") == Entry()


def test_the_command_line_shows_exports_and_forgets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Asked(NUMBER).answer("24")
    assert main(["progress"]) == 0
    assert "06/slot" in capsys.readouterr().out
    assert main(["progress", "--answers", str(tmp_path), "--out", str(tmp_path / "copy.json")]) == 0
    capsys.readouterr()
    assert main(["progress", "--reset"]) == 0
    assert capsys.readouterr().out == "Answers forgotten: 1.\n"
    assert main(["progress", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == {}
    assert Progress(tmp_path / "copy.json").entry("06/slot").answer == "24"


def test_the_learners_seed_gives_fresh_numbers_and_is_kept(tmp_path: Path) -> None:
    before = lab.fresh("06/a").random()
    progress_here().set_seed(7)
    assert lab.fresh("06/a").random() != before
    assert lab.fresh("06/a", seed=0).random() == before
    assert Progress(FILE_NAME).seed == 7


def test_progress_can_be_off_or_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSWAPLAB_PROGRESS", "off")
    Asked(NUMBER).answer("24")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("VSWAPLAB_PROGRESS", str(tmp_path / "mine.json"))
    Asked(NUMBER).answer("24")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


# -- a file that can't be written, for a while ------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return what makes every write end with a full disk, and end that."""
    write, state = os.fsync, {"full": False}

    def fsync(fd: int) -> None:
        if state["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return lambda yes: state.update(full=yes)


def test_what_is_answered_while_the_disk_is_full_is_kept_when_there_is_room(
    full: Callable[[bool], None], tmp_path: Path
) -> None:
    progress = Progress(FILE_NAME)
    first, second = Asked(CHOOSE, progress), Asked(NUMBER, progress)
    progress.record("a", answer=1)
    progress.record("gone", answer=1)
    full(True)
    first.answer("none")
    progress.record("a", answer=2)
    progress.forget("gone")
    progress.set_seed(5)
    assert {*kept(tmp_path)} == {"a", "gone"}
    note = "Answers are not kept beyond this session so far: No space left on device."
    assert progress.note.startswith(note)
    assert first.header["note"] == second.header["note"] == progress.note
    assert progress.entry("a").answer == 2
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME], "no half-written file stays"
    Progress(FILE_NAME).record("other", answer=3)  # fails too, and is another's
    full(False)
    Progress(FILE_NAME).record("other", answer=4)
    second.answer("24")
    assert {name: entry["answer"] for name, entry in kept(tmp_path).items()} == {
        "05/walk": "none",
        "a": 2,
        "other": 4,
        "06/slot": "24",
    }
    assert Progress(FILE_NAME).seed == 5
    assert first.header["note"] == second.header["note"] == progress.note == ""


def test_of_two_answers_the_later_is_kept_though_the_earlier_could_not_be_written(
    full: Callable[[bool], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Progress(FILE_NAME), Progress(FILE_NAME)
    full(True)
    monkeypatch.setattr(MODULE, "_now", lambda: "2026-01-01T10:00:00+00:00")
    one.record("q", answer="earlier")
    one.record("mine", answer="mine")
    full(False)
    monkeypatch.setattr(MODULE, "_now", lambda: "2026-01-01T11:00:00+00:00")
    other.record("q", answer="later")
    one.keep()
    assert {name: entry["answer"] for name, entry in kept(tmp_path).items()} == {"q": "later", "mine": "mine"}
    assert one.entry("q").answer == "later"
    assert not one.unwritten


def test_a_program_that_ends_tries_once_more(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    code = f"""
import os
from vswaplab.lab.progress import progress_here
os.environ["VSWAPLAB_PROGRESS"] = {str(folder / FILE_NAME)!r}
progress = progress_here()
progress.record("q", answer="mine")
assert "not kept beyond this session" in progress.note
os.mkdir({str(folder)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert kept(folder)["q"]["answer"] == "mine"


def test_a_file_that_cannot_be_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Progress(FILE_NAME).record("old", answer=1)
    before = (tmp_path / FILE_NAME).read_bytes()

    def refused(*_: object) -> bytes:
        raise NotPermitted("Reading it is not permitted.")

    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "read_bounded", refused)
        progress = Progress(FILE_NAME)
        progress.record("new", answer=2)
        assert "not kept beyond this session so far: Reading it is not permitted." in progress.note
        assert (tmp_path / FILE_NAME).read_bytes() == before
    progress.keep()
    assert kept(tmp_path).keys() == {"old", "new"}
    assert progress.note == ""


def test_the_command_line_says_when_nothing_could_be_forgotten(
    full: Callable[[bool], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Progress(FILE_NAME).record("a", answer=1)
    full(True)
    assert main(["progress", "--reset"]) == 2
    said = capsys.readouterr()
    assert (said.out, "Nothing is forgotten. Answers are not kept" in said.err) == ("", True)
    assert kept(tmp_path).keys() == {"a"}


# -- what the file may hold, and what it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"answer": float("nan")}, "holds NaN, which is no number"),
        ({"answer": [1, {"x": float("inf")}]}, "holds Infinity, which is no number"),
        ({"answer": "\ud800"}, "half of a surrogate pair"),
        ({"answer": 10**30}, "31 digits"),
        ({"answer": 10**5000}, "give text, numbers"),
        ({"answer": {1}}, "give text, numbers"),
        ({"answer": b"x"}, "give text, numbers"),
        ({"answer": {1: "a", "1": "b"}}, "twice in one object"),
        ({"attempts": 1.5}, "a wrong attempts"),
        ({"kind": None}, "a wrong kind"),
        ({"what": 1}, "in a form that is not known"),
        ({"answer": "x" * (1 << 24)}, "come to more than 16777216 bytes"),
    ],
)
def test_what_could_not_be_read_again_is_refused_and_nothing_is_changed(
    changes: dict[str, Any], part: str, tmp_path: Path
) -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    for progress in (Progress(None), Progress(FILE_NAME)):
        progress.record("a", answer=[1.5, None, {"x": "é"}], kind="correct", attempts=1)
        before = progress.entries
        for wrong in (changes, {"answer": deep}):
            with pytest.raises(InvalidArgument) as caught:
                progress.record("b", **wrong)
            assert "\n" not in str(caught.value)
            assert part in str(caught.value) or wrong is not changes
            assert progress.entries == before
            assert not progress.unwritten
    assert kept(tmp_path).keys() == {"a"}
    assert Progress(FILE_NAME).entries == before
    assert Progress(FILE_NAME).note == ""


def test_the_files_mode_stays_and_a_link_to_it_too(tmp_path: Path) -> None:
    kept_elsewhere = tmp_path / "backed up" / "answers.json"
    kept_elsewhere.parent.mkdir()
    (tmp_path / FILE_NAME).symlink_to(kept_elsewhere)
    Progress(FILE_NAME).record("a", answer=1)  # what the link names is made
    kept_elsewhere.chmod(0o640)
    Progress(FILE_NAME).record("b", answer=2)
    assert (tmp_path / FILE_NAME).readlink() == kept_elsewhere
    assert kept_elsewhere.stat().st_mode & 0o7777 == 0o640
    assert kept(tmp_path).keys() == {"a", "b"}
    assert [path.name for path in kept_elsewhere.parent.iterdir()] == ["answers.json"]
    kept_elsewhere.write_text("{", encoding="utf-8")
    progress = Progress(FILE_NAME)
    progress.record("c", answer=3)
    assert "It is kept as answers.json.broken-1" in progress.note
    assert (kept_elsewhere.parent / "answers.json.broken-1").read_text(encoding="utf-8") == "{"
    assert (tmp_path / FILE_NAME).is_symlink()
    assert kept(tmp_path).keys() == {"c"}


def test_a_circle_of_links_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(FILE_NAME)
    progress = Progress(FILE_NAME)
    progress.record("a", answer=1)
    assert kept(tmp_path).keys() == {"a"}
    assert (tmp_path / f"{FILE_NAME}.broken-1").is_symlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_a_learners_file_stays_the_learners_when_root_changes_it(tmp_path: Path) -> None:
    Progress(FILE_NAME).record("a", answer=1)
    os.chown(tmp_path / FILE_NAME, 12345, 23456)
    Progress(FILE_NAME).reset()
    status = (tmp_path / FILE_NAME).stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12345, 23456, 0o600)


KILLED = """
import os, signal, sys
from vswaplab.lab.progress import Progress
os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)
Progress(sys.argv[1]).record("b", answer=2)
"""


def test_what_a_killed_process_leaves_is_cleared_away_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    Progress(FILE_NAME).record("a", answer=1)
    before = (tmp_path / FILE_NAME).read_bytes()
    others = [f"{FILE_NAME}.mine.part", f"{FILE_NAME}.part", "x.abcdefgh.part", f"{FILE_NAME}.ABCDEFGH.part"]
    others += [f"{FILE_NAME}.mybackup", f"{FILE_NAME}.broken-1", f"{FILE_NAME}.abcdefgh.part.bak"]
    for name in others:
        (tmp_path / name).write_text("mine")
    for _ in range(3):
        assert subprocess.run([sys.executable, "-c", KILLED, FILE_NAME], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / FILE_NAME).read_bytes() == before
    left = {path.name for path in tmp_path.iterdir()} - {*others, FILE_NAME}
    assert len(left) == 1, "each clears away what the one before left"
    busy = tmp_path / f"{FILE_NAME}.somebody.part"
    busy.write_text("half")
    (tmp_path / f"{FILE_NAME}.folder_0.part").mkdir()
    (tmp_path / f"{FILE_NAME}.linked_0.part").symlink_to(busy)
    with busy.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a process does that is at work on it
        Progress(FILE_NAME).record("c", answer=3)
        there = {path.name for path in tmp_path.iterdir()}
        assert there == {*others, FILE_NAME, busy.name, f"{FILE_NAME}.folder_0.part", f"{FILE_NAME}.linked_0.part"}
    Progress(FILE_NAME).record("d", answer=4)
    assert not busy.exists()
    assert kept(tmp_path).keys() == {"a", "c", "d"}


def test_without_locks_only_what_is_old_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    young, old = (tmp_path / f"{FILE_NAME}.{name}.part" for name in ("young_00", "old_0000"))
    young.write_text("")
    old.write_text("")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    Progress(FILE_NAME).record("a", answer=1)
    assert (young.exists(), old.exists()) == (True, False)
    assert kept(tmp_path).keys() == {"a"}


SHARED = """
import sys
from vswaplab.lab.progress import Progress
progress = Progress(sys.argv[1])
for number in range(30):
    progress.record(f"{sys.argv[2]}/{number}", answer=number)
"""


def test_two_processes_lose_nothing_through_two_names_of_one_file(tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    (tmp_path / "link.json").symlink_to(folder / FILE_NAME)
    names = (str(folder / FILE_NAME), str(tmp_path / "link.json"))
    running = [subprocess.Popen([sys.executable, "-c", SHARED, name, str(nr)]) for nr, name in enumerate(names)]
    assert [each.wait() for each in running] == [0, 0]
    assert len(kept(folder)) == 60
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
