"""Progress: answers kept in a file beside the notebook, so that they outlive a restart.

``.vswaplab-progress.json`` in the working folder holds, for each question, the last answer, what was said of it, how
often it was tried, how many hints were opened, and when. It is written whole or not at all, and notebooks open at the
same time keep each other's answers. A file that can't be read is kept aside under another name, and that is said.
What can't be written, with a full disk say, is tried again with each answer and at the end of the program. The file
keeps its mode and its owner, and a link stays a link. Nothing is written before somebody answers; the variable
``VSWAPLAB_PROGRESS`` names another file, or is "off".
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakMethod

from vswaplab.errors import InvalidArgument, NotFound, SwapError
from vswaplab.strict import load_json, path_of, quoted, read_bounded, seed_number, shown

__all__ = ["FILE_NAME", "VERSION", "Entry", "Progress", "progress_here"]

FILE_NAME = ".vswaplab-progress.json"
VERSION = 1
_MAX_BYTES = 1 << 24
_VARIABLE = "VSWAPLAB_PROGRESS"
_PART = r"\.[a-z0-9_]{8}\.part"  # behind the name of the file that it is to become; letters as tempfile draws them
_STALE_SECONDS = 3600


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
        self.seed = 0
        self._entries: dict[str, Entry] = {}
        self._unwritten: dict[str, tuple[Entry | None, str]] = {}  # None: forgotten; with the time of the change
        self._unwritten_seed: int | None = None
        self._aside = ""
        self._trouble = ""
        self._listeners: list[WeakMethod[Callable[[str], None]]] = []
        if self.path is not None:
            self._load(self.path)

    @property
    def note(self) -> str:
        """What there is to say of the file; "" while all goes well."""
        return " ".join(filter(None, [self._aside, self._trouble]))

    @property
    def unwritten(self) -> bool:
        """Whether something is known here that the file could not be given yet."""
        return bool(self._unwritten) or self._unwritten_seed is not None

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call a method with the note whenever it changes, for as long as its object lives."""
        self._listeners.append(WeakMethod(listener))

    @property
    def entries(self) -> dict[str, Entry]:
        """A copy of what is kept, by question."""
        return dict(self._entries)

    def entry(self, question_id: str, asked: str = "") -> Entry:
        """Return what is kept of a question; nothing where it was another one under the same id."""
        found = self._entries.get(question_id, Entry())
        return found if not asked or found.asked in ("", asked) else Entry()

    def record(self, question_id: str, **changes: Any) -> Entry:
        """Change what is kept of a question, with the time if it is an answer; returns what is kept now.

        InvalidArgument, and nothing is changed, for what could not be read again: NaN, a name of no field, too much.
        """
        if "answer" in changes:
            changes["time"] = _now()
        _checked(question_id, changes)
        with self._changing():
            entry = _checked(question_id, {**asdict(self._entries.get(question_id, Entry())), **changes})
            self._put(question_id, entry)
        return entry

    def set_seed(self, seed: int) -> None:
        """Set the learner's seed: fresh problems from the next time that their cells run."""
        seed_number(seed)
        with self._changing():
            self.seed = self._unwritten_seed = seed

    def reset(self, prefix: str = "") -> int:
        """Forget all answers, or those whose id begins with `prefix` such as "05/"; returns how many."""
        with self._changing():
            gone = [each for each in self._entries if each.startswith(prefix)]
            for each in gone:
                self._put(each, None)
        return len(gone)

    def forget(self, question_id: str) -> None:
        """Forget one question's answer."""
        with self._changing():
            self._put(question_id, None)

    def keep(self) -> None:
        """Try once more to write what could not be written, if there is any."""
        if self.unwritten:
            with self._changing():
                pass

    def export(self, path: str | Path) -> Path:
        """Write all that is kept into another file, as JSON; returns its path."""
        target = path_of(path, "A progress file")
        with _locked(target) as locked:
            _write(target, self._text(), locked)
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

    def _put(self, question_id: str, entry: Entry | None) -> None:
        """Change or forget (None) an entry, and note that this is to be written."""
        self._unwritten[question_id] = (entry, _now())
        if entry is None:
            self._entries.pop(question_id, None)
        else:
            self._entries[question_id] = entry

    def _load(self, path: Path) -> bool:
        """Take what the file says, but for what is newer here; keep aside what can't be taken.

        Returns whether the file may be written: not where it is there and can't be read.
        """
        try:
            self.seed, self._entries = _read(path)
        except NotFound:
            return True
        except InvalidArgument as error:
            return self._put_aside(path, error)
        except SwapError as error:
            self._trouble = _not_kept(str(error))
            return False
        if self._unwritten_seed is not None:
            self.seed = self._unwritten_seed
        for question_id, (entry, changed) in self._unwritten.items():
            there = self._entries.get(question_id)
            if there is not None and there.time > changed:
                continue  # answered since, in another notebook
            if entry is None:
                self._entries.pop(question_id, None)
            else:
                self._entries[question_id] = entry
        return True

    def _put_aside(self, path: Path, error: Exception) -> bool:
        """Rename a file that is none of ours, where a link leads if it is one; returns whether that went."""
        place = _target(path)
        place = place if place.exists() else path
        number = 1
        while (aside := place.with_name(f"{place.name}.broken-{number}")).exists():
            number += 1
        try:
            place.rename(aside)
        except OSError:
            self._trouble = f"{error} It can't be moved aside, so answers are not kept beyond this session."
            return False
        self._aside = f"{error} It is kept as {aside.name}, and a new file is begun."
        return True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the folder's lock, take in what others have written meanwhile, and write once changed.

        What can't be written stays to be written the next time; `note` says so until then. InvalidArgument, and
        nothing is changed, for more than a file may hold.
        """
        said = self.note
        with _locked(self.path) as locked:
            may_write = self.path is None or self._load(self.path)
            before = (self.seed, dict(self._entries), dict(self._unwritten), self._unwritten_seed)
            yield
            text = self._text()
            if len(text.encode()) > _MAX_BYTES:
                self.seed, self._entries, self._unwritten, self._unwritten_seed = before
                raise InvalidArgument(f"The answers come to more than {_MAX_BYTES} bytes; forget some, or give less.")
            if may_write:
                self._write(text, locked)
        if self.note != said:
            self._listeners = [each for each in self._listeners if each() is not None]
            for each in self._listeners:
                if (listener := each()) is not None:
                    listener(self.note)

    def _write(self, text: str, locked: bool) -> None:
        """Write the file, or note what is in the way of that."""
        try:
            if self.path is not None:
                _write(self.path, text, locked)
        except OSError as error:
            self._trouble = _not_kept(f"{error.strerror or error}.")
            return
        self._unwritten.clear()
        self._unwritten_seed = None
        self._trouble = ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _not_kept(reason: str) -> str:
    return f"Answers are not kept beyond this session so far: {reason} Each answer tries again, for all of them."


def _read(path: Path) -> tuple[int, dict[str, Entry]]:
    """Return the seed and the entries of a file; InvalidArgument if it is none of ours."""
    data = load_json(read_bounded(path, _MAX_BYTES, "progress file"), path.name)
    if not isinstance(data, dict) or data.get("vswaplab-progress") != VERSION:
        raise InvalidArgument(f"{shown(path.name)} is no progress file of version {VERSION}.")
    answers = data.get("answers")
    if not isinstance(answers, dict):
        raise InvalidArgument(f"{shown(path.name)} has no answers.")
    try:
        entries = {question_id: _entry(question_id, entry) for question_id, entry in answers.items()}
    except InvalidArgument as error:
        raise InvalidArgument(f"{shown(path.name)} has {error}") from None
    return seed_number(data.get("seed", 0)), entries


def _entry(question_id: str, entry: Any) -> Entry:
    """Return what JSON says of one question; InvalidArgument says what it has instead."""
    known = {each.name: each.type for each in fields(Entry)}
    if not isinstance(entry, dict) or not entry.keys() <= known.keys():
        raise InvalidArgument(f"an answer in a form that is not known: {quoted(question_id)}.")
    for name, value in entry.items():
        wanted = {"str": str, "int": int, "bool": bool}.get(str(known[name]), object)
        if type(value) is not wanted and wanted is not object:
            raise InvalidArgument(f"a wrong {name} at {quoted(question_id)}.")
    return Entry(**entry)


def _checked(question_id: str, entry: dict[str, Any]) -> Entry:
    """Return an entry as it will be read again; InvalidArgument if it would not be."""
    what = f"The answer to {quoted(question_id)}"
    try:
        raw = json.dumps({"answers": {question_id: entry}}).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(f"{what} can't be kept; give text, numbers, None, or lists of these.") from None
    ((name, read),) = load_json(raw, what)["answers"].items()
    if name != question_id:
        raise InvalidArgument(f"A question is named by text, not by {quoted(question_id)}.")
    try:
        return _entry(name, read)
    except InvalidArgument as error:
        raise InvalidArgument(f"{what} can't be kept: it has {error}") from None


def _target(path: Path) -> Path:
    """Return the file that a path leads to, over all links."""
    return Path(os.path.realpath(path))


@contextmanager
def _locked(path: Path | None) -> Iterator[bool]:
    """Hold the lock of the folder in which a file really is; False where there is none, as on some network systems."""
    if path is None:
        yield False
        return
    try:
        fd = os.open(_target(path).parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _write(path: Path, text: str, locked: bool) -> None:
    """Write a file whole or not at all, with the mode and owner that it has; OSError as the system says it."""
    target = _target(path)
    _clear_parts(target, locked)
    fd, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            with suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX)  # says that somebody is at work on it, until this process ends
            with suppress(FileNotFoundError):
                _look_like(fd, target.stat())
            file.write(text)
            file.flush()
            os.fsync(fd)
            Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _look_like(fd: int, status: os.stat_result) -> None:
    """Give a new file the owner, as far as that is ours to give, and the mode of another."""
    mine = os.fstat(fd)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        with suppress(PermissionError):
            os.fchown(fd, status.st_uid, status.st_gid)
    os.fchmod(fd, stat.S_IMODE(status.st_mode))


def _clear_parts(target: Path, locked: bool) -> None:
    """Delete what killed processes left of this file: our own, locked by nobody, and old where there are no locks."""
    for part in target.parent.glob("*.part"):
        if not re.fullmatch(re.escape(target.name) + _PART, part.name):
            continue
        with suppress(OSError):
            fd = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                old = time.time() - status.st_mtime > _STALE_SECONDS
                ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
                if ours and _given_up(fd, locked, old):
                    part.unlink()
            finally:
                os.close(fd)


def _given_up(fd: int, locked: bool, old: bool) -> bool:
    """Return whether nobody is at work on a file; its age decides where it, or its folder (`locked`), has no lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return old
    return locked or old


_open: dict[Path | None, Progress] = {}


def progress_here() -> Progress:
    """Return the progress of the working folder, or what ``VSWAPLAB_PROGRESS`` names; the same object each time."""
    named = os.environ.get(_VARIABLE, "")
    path = None if named == "off" else Path(named).absolute() if named else Path.cwd() / FILE_NAME
    if path not in _open:
        _open[path] = Progress(path)
        atexit.register(_open[path].keep)
    return _open[path]
