"""What a run of grading leaves: results as they come, a report and a log for each submission, and where to go on.

``results.jsonl`` has one line for each submission as soon as it is graded; ``results.csv`` is made of it, beside and
renamed, so that there is always a whole one. A run that was killed goes on from the lines (`Results.begun`).
"""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vswaplab.errors import Busy, InvalidArgument, NotPermitted
from vswaplab.lab.grading.collect import one_line
from vswaplab.lab.grading.model import Lab, Outcome
from vswaplab.strict import shown

__all__ = ["Graded", "Results", "report", "write_results"]

_WRITE_EACH = 1.0
"""Seconds between two writings of ``results.csv`` while results come."""
_BESIDE = ".vswaplab-grade-"
"""How the name of a file begins that is written beside its place."""
_PLAIN_NAME = re.compile(r"\w[\w .@+()-]{0,79}")


@dataclass(frozen=True)
class Graded:
    """What became of one submission."""

    name: str
    outcomes: tuple[Outcome, ...]
    of: int
    """Points that could be had."""
    reason: str = ""
    """Why it could not be graded, or which limit ended a check."""
    score: float | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """What else its author should know: cells that failed, or were left out."""
    failed: bool = False
    """Whether the grading itself failed: look at the log, and grade it by hand."""
    log: str = ""
    """For whoever grades: what went wrong, hidden checks and all."""

    @property
    def points(self) -> int:
        """Points."""
        return sum(outcome.got for outcome in self.outcomes)


def report(graded: Graded, lab: Lab) -> str:
    """Return what a learner is told: the points, and of each check what it found."""
    lines = [f"# {lab.title}: {graded.points} of {graded.of} points", ""]
    if graded.reason and not graded.outcomes:
        return "\n".join([*lines, f"It could not be graded: {one_line(graded.reason)}", ""])
    says = {check.id: check.says for check in lab.checks}
    lines += ["| check | points | what was found |", "|---|---|---|"]
    for outcome in graded.outcomes:
        found = _markdown(outcome.message) or "✓"
        lines.append(f"| {says[outcome.id]} | {outcome.got} of {outcome.points} | {found} |")
    if graded.notes:
        lines += ["", *(f"- {_markdown(note)}" for note in graded.notes)]
    return "\n".join([*lines, ""])


def _markdown(text: str) -> str:
    return one_line(text).replace("|", "\\|").replace("<", "&lt;")


def write_results(graded: Sequence[Graded], lab: Lab, out: Path) -> list[Path]:
    """Write ``results.csv``, a report for each submission, and ``leaderboard.csv`` where the lab ranks; return them.

    Each file is written beside its place and renamed, so that a failure leaves what was there.
    """
    folder = out / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    written = [_write_table(out / "results.csv", *_results_table(graded, lab))]
    written += [_write_whole(folder / f"{_file_name(each.name)}.md", report(each, lab)) for each in graded]
    if lab.score is not None:
        written.append(_write_table(out / "leaderboard.csv", *_leaderboard(graded)))
    return written


def _results_table(graded: Sequence[Graded], lab: Lab) -> tuple[list[str], list[list[Any]]]:
    rows = []
    for each in graded:
        got = {outcome.id: outcome.got for outcome in each.outcomes}
        rows.append([each.name, each.points, each.of, each.reason, *(got.get(check.id, 0) for check in lab.checks)])
    return ["submission", "points", "of", "reason", *(check.id for check in lab.checks)], rows


def _leaderboard(graded: Sequence[Graded]) -> tuple[list[str], list[list[Any]]]:
    ranked = sorted((each for each in graded if each.score is not None), key=lambda each: -(each.score or 0.0))
    rows: list[list[Any]] = [[rank, each.name, f"{each.score:.3f}"] for rank, each in enumerate(ranked, 1)]
    return ["rank", "submission", "score"], rows


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(head)
    table.writerows([_cell(value) for value in row] for row in rows)
    return _write_whole(path, text.getvalue())


def _cell(value: Any) -> Any:
    """Return a value of a table: text on one line that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text


def _write_whole(path: Path, text: str) -> Path:
    """Write a file beside its place and rename it; one that says the same already is left, so that ending is quick."""
    raw = text.encode("utf-8", "backslashreplace")
    with suppress(OSError):
        if path.read_bytes() == raw:
            return path
    handle, beside = tempfile.mkstemp(prefix=_BESIDE, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _file_name(name: str) -> str:
    """Return a file's name for a learner's: itself where it is plain, else what is plain of it and a digest."""
    if _PLAIN_NAME.fullmatch(name) and len(name.encode()) <= 120 and not name.endswith((" ", ".")):
        return name
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._-")[:60]
    return f"{plain or 'submission'}-{hashlib.sha256(name.encode(errors='backslashreplace')).hexdigest()[:10]}"


class Results:
    """Where the results of one run go, one by one; close it, or use it in a `with`."""

    def __init__(self, out: Path, lab: Lab, *, resume: bool = False) -> None:
        """Try the folder before anything is graded; NotPermitted or InvalidArgument if it can't be written.

        With `resume` what the last run in `out` had graded is in `begun`; InvalidArgument if it was of another lab.
        """
        self.out, self.lab = out, lab
        self.begun: dict[tuple[str, str], Graded] = {}
        """What is graded already, by name and digest of what was handed in."""
        self._graded: dict[str, Graded] = {}
        self._unwritten: list[str] = []
        self._wrote = 0.0
        self._journal_path = out / "results.jsonl"
        _try_folder(out)
        self._lock = _locked(out)
        _swept(out)
        lines = self._read() if resume else []
        if not resume and self._journal_path.exists() and not _is_finished(self._journal_path):
            self._journal_path.replace(out / "results.before.jsonl")
        self._journal = self._begin(lines)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self) -> list[dict[str, Any]]:
        if not self._journal_path.exists():
            return []
        lines = []
        for raw in self._journal_path.read_bytes().split(b"\n"):
            with suppress(ValueError):  # a line that a killed run could not end
                line = json.loads(raw)
                if isinstance(line, dict):
                    lines.append(line)
        if lines and lines[0].get("lab") != self.lab.name:
            raise InvalidArgument(f"{shown(self.out)} has results of another lab; choose another folder with --out.")
        kept = []
        for line in lines[1:]:
            with suppress(KeyError, TypeError, ValueError):
                found = _graded(line, self.lab)
                if not found.failed:  # what failed is tried once more
                    self.begun[found.name, str(line["digest"])] = found
                    kept.append(line)
        return kept

    def _begin(self, lines: Sequence[dict[str, Any]]) -> int:
        head = {"lab": self.lab.name, "checks": [check.id for check in self.lab.checks]}
        _write_whole(self._journal_path, "".join(f"{json.dumps(each)}\n" for each in [head, *lines]))
        return os.open(self._journal_path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def keep(self, graded: Graded) -> None:
        """Take over what an earlier run had graded."""
        self._graded[graded.name] = graded

    def add(self, graded: Graded, digest: str = "") -> None:
        """Keep one result: its line, its report, its log, and soon its row.

        Where the disk is full they are kept in memory and written as soon as there is room, at the latest by `finish`.
        """
        self._graded[graded.name] = graded
        self._unwritten.append(json.dumps(_line(graded, digest)))
        with suppress(OSError):
            self._append()
            _write_whole(self.out / "reports" / f"{_file_name(graded.name)}.md", report(graded, self.lab))
            self._write_log(graded)
            if time.monotonic() - self._wrote > _WRITE_EACH:
                self._write_rows()

    def _append(self) -> None:
        while self._unwritten:
            # The line before may be torn, by a full disk: this one begins on a line of its own.
            raw = f"\n{self._unwritten[0]}\n".encode("ascii")
            if os.write(self._journal, raw) != len(raw):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._journal_path))
            del self._unwritten[0]

    def _write_log(self, graded: Graded) -> None:
        path = self.out / "logs" / f"{_file_name(graded.name)}.log"
        if graded.log:
            path.parent.mkdir(exist_ok=True)
            _write_whole(path, graded.log)
        else:
            path.unlink(missing_ok=True)  # of an earlier run

    def _write_rows(self) -> None:
        _write_table(self.out / "results.csv", *_results_table(self.ordered(), self.lab))
        self._wrote = time.monotonic()

    def ordered(self) -> list[Graded]:
        """Return what is graded, by name."""
        return [self._graded[name] for name in sorted(self._graded)]

    def finish(self) -> None:
        """Write everything: lines, rows, reports, logs, the leaderboard; an OSError says what could not be written."""
        self._append()
        for each in self._graded.values():
            self._write_log(each)
        write_results(self.ordered(), self.lab, self.out)

    def close(self, *, finished: bool = False) -> None:
        """Close the journal; a finished run says so in it."""
        if self._journal < 0:
            return
        if finished:
            os.write(self._journal, json.dumps({"finished": True}).encode("ascii") + b"\n")
        os.close(self._journal)
        os.close(self._lock)
        self._journal = self._lock = -1


def _locked(out: Path) -> int:
    """Return the open lock of a folder of results; Busy if another run has it."""
    lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Busy(f"Another run writes its results to {shown(out)}; wait for it, or choose another --out.") from error
    return lock


def _swept(out: Path) -> None:
    """Remove what killed runs left beside the places of their files."""
    for folder in (out, out / "reports", out / "logs"):
        for left in folder.glob(f"{_BESIDE}*"):
            left.unlink(missing_ok=True)


def _try_folder(out: Path) -> None:
    try:
        (out / "reports").mkdir(parents=True, exist_ok=True)
        for folder in (out, out / "reports"):
            with tempfile.NamedTemporaryFile(dir=folder, prefix=_BESIDE) as file:
                file.write(bytes(4096))
                file.flush()
    except OSError as error:
        raise NotPermitted(
            f"Results can't be written to {shown(out)} ({error.strerror}); choose another with --out."
        ) from error


def _is_finished(journal: Path) -> bool:
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - 100))
        return b'"finished": true' in file.read()


def _line(graded: Graded, digest: str) -> dict[str, Any]:
    return {
        "name": graded.name,
        "digest": digest,
        "outcomes": [[each.id, each.got, each.message] for each in graded.outcomes],
        "reason": graded.reason,
        "score": graded.score,
        "seconds": round(graded.seconds, 3),
        "notes": list(graded.notes),
        "failed": graded.failed,
    }


def _graded(line: dict[str, Any], lab: Lab) -> Graded:
    points = {check.id: check.points for check in lab.checks}
    outcomes = tuple(Outcome(str(id), points[id], int(got), str(said)) for id, got, said in line["outcomes"])
    return Graded(
        str(line["name"]),
        outcomes,
        lab.points,
        str(line["reason"]),
        line["score"],
        float(line["seconds"]),
        tuple(map(str, line["notes"])),
        bool(line["failed"]),
    )
