"""Progress: answers kept in a file beside the notebook, so that they outlive a restart.

``.vswaplab-progress.json`` in the working folder holds, for each question, the last answer, what was said of it, how
often it was tried, how many hints were opened, and when. It is written whole or not at all, and notebooks open at the
same time keep each other's answers. A file that can't be read is kept aside under another name, and that is said.
Nothing is written before somebody answers; the variable ``VSWAPLAB_PROGRESS`` names another file, or is "off".
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.strict import load_json, path_of, quoted, read_bounded, seed_number, shown

__all__ = ["FILE_NAME", "VERSION", "Entry", "Progress", "progress_here"]

FILE_NAME = ".vswaplab-progress.json"
VERSION = 1
_MAX_BYTES = 1 << 24
_VARIABLE = "VSWAPLAB_PROGRESS"


@dataclass(frozen=True)
class Entry:
    """What is kept of one question."""

    answer: Any = None
    kind: str = ""
    """Of the last feedback: missing, keep working, almost, correct, recorded; "" before the first answer."""
    attempts: int = 0
    hints: int = 0
    """The highest level opened."""
    shown: bool = False
    """The solution was opened."""
    revealed: bool = False
    """The run has answered the prediction."""
    asked: str = ""
    """A digest of the question: an answer to other numbers is not an answer to this."""
    time: str = ""
    """Of the last answer, in UTC."""


class Progress:
    """The answers in one file; `path` None keeps them in memory alone. `note` says what went wrong with the file."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else path_of(path, "A progress file")
        self.note = ""
        self.seed = 0
        self._entries: dict[str, Entry] = {}
        self._kept = self.path is not None  # until the file turns out not to be writable
        self._load()

    @property
    def entries(self) -> dict[str, Entry]:
        """A copy of what is kept, by question."""
        return dict(self._entries)

    def entry(self, question_id: str, asked: str = "") -> Entry:
        """Return what is kept of a question; nothing where it was another one under the same id."""
        found = self._entries.get(question_id, Entry())
        return found if not asked or found.asked in ("", asked) else Entry()

    def record(self, question_id: str, **changes: Any) -> Entry:
        """Change what is kept of a question, with the time if it is an answer; returns what is kept now."""
        if "answer" in changes:
            changes["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing():
            entry = replace(self._entries.get(question_id, Entry()), **changes)
            self._entries[question_id] = entry
        return entry

    def set_seed(self, seed: int) -> None:
        """Set the learner's seed: fresh problems from the next time that their cells run."""
        seed_number(seed)
        with self._changing():
            self.seed = seed

    def reset(self, prefix: str = "") -> int:
        """Forget all answers, or those whose id begins with `prefix` such as "05/"; returns how many."""
        with self._changing():
            gone = [each for each in self._entries if each.startswith(prefix)]
            for each in gone:
                del self._entries[each]
        return len(gone)

    def forget(self, question_id: str) -> None:
        """Forget one question's answer."""
        with self._changing():
            self._entries.pop(question_id, None)

    def export(self, path: str | Path) -> Path:
        """Write all that is kept into another file, as JSON; returns its path."""
        target = path_of(path, "A progress file")
        _write(target, self._text())
        return target

    def as_dict(self) -> dict[str, Any]:
        """Return what is kept as JSON has it."""
        answers = {each: asdict(entry) for each, entry in sorted(self._entries.items())}
        return {"vswaplab-progress": VERSION, "seed": self.seed, "answers": answers}

    def rows(self) -> list[list[str]]:
        """Return a row for each question: id, what was said last, attempts, hints opened, solution opened."""
        return [
            [each, entry.kind or "not answered", str(entry.attempts), str(entry.hints), "yes" if entry.shown else "no"]
            for each, entry in sorted(self._entries.items())
        ]

    def __str__(self) -> str:
        right = sum(entry.kind == "correct" for entry in self._entries.values())
        tried = len(self._entries)
        lines = [
            f"{right} of {tried} questions tried are answered correctly." if tried else "No question answered yet."
        ]
        lines += [f"{row[0]:<24}{row[1]:<14}{row[2]} tries, {row[3]} hints" for row in self.rows()]
        return "\n".join([*lines, *filter(None, [self.note])])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in ("question", "last", "tries", "hints", "solution"))
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows())
        first, *_ = str(self).splitlines()
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        if not body:
            return f"<p>{first}</p>{note}"
        return f"<table><caption>{first}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    # -- the file ------------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n"

    def _load(self) -> None:
        """Take what the file says, if there is one; keep it aside if it can't be taken."""
        if self.path is None or not self._kept:
            return
        try:
            self.seed, self._entries = _read(self.path)
        except NotFound:
            return
        except InvalidArgument as error:
            self._put_aside(error)
        except SwapError as error:
            self.note = f"Answers are not kept beyond this session: {error}"
            self._kept = False

    def _put_aside(self, error: Exception) -> None:
        assert self.path is not None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
            self.note = f"{error} It is kept as {aside.name}, and a new file is begun."
        except OSError:
            self.note = f"{error} It can't be moved aside, so answers are not kept beyond this session."
            self._kept = False

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the folder's lock, take in what others have written meanwhile, and write once changed."""
        lock = self._lock()
        try:
            self._load()
            yield
            if self.path is not None and self._kept:
                _write(self.path, self._text())
        except OSError as error:
            self.note = f"Answers are not kept beyond this session: {error.strerror or error}."
            self._kept = False
        finally:
            if lock is not None:
                os.close(lock)

    def _lock(self) -> int | None:
        """Return the locked folder, to be closed; None where it can't be locked, as on some network file systems."""
        if self.path is None or not self._kept:
            return None
        try:
            fd = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            os.close(fd)
            return None
        return fd


def _read(path: Path) -> tuple[int, dict[str, Entry]]:
    """Return the seed and the entries of a file; InvalidArgument if it is none of ours."""
    data = load_json(read_bounded(path, _MAX_BYTES, "progress file"), path.name)
    if not isinstance(data, dict) or data.get("vswaplab-progress") != VERSION:
        raise InvalidArgument(f"{shown(path.name)} is no progress file of version {VERSION}.")
    answers, known = data.get("answers"), {each.name: each.type for each in fields(Entry)}
    if not isinstance(answers, dict):
        raise InvalidArgument(f"{shown(path.name)} has no answers.")
    entries = {}
    for question_id, entry in answers.items():
        if not isinstance(entry, dict) or not entry.keys() <= known.keys():
            raise InvalidArgument(
                f"{shown(path.name)} has an answer in a form that is not known: {quoted(question_id)}."
            )
        for name, value in entry.items():
            wanted = {"str": str, "int": int, "bool": bool}.get(str(known[name]), object)
            if type(value) is not wanted and wanted is not object:
                raise InvalidArgument(f"{shown(path.name)} has a wrong {name} at {quoted(question_id)}.")
        entries[question_id] = Entry(**entry)
    return seed_number(data.get("seed", 0)), entries


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; OSError as the system says it."""
    fd, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


_open: dict[Path | None, Progress] = {}


def progress_here() -> Progress:
    """Return the progress of the working folder, or what ``VSWAPLAB_PROGRESS`` names; the same object each time."""
    named = os.environ.get(_VARIABLE, "")
    path = None if named == "off" else Path(named).absolute() if named else Path.cwd() / FILE_NAME
    if path not in _open:
        _open[path] = Progress(path)
    return _open[path]
