"""Who handed in what: from folders as people have them to submissions with one name each, and a list of what is none.

Read are a folder of notebooks; Moodle's folder for each learner (``NAME_NUMBER_assignsubmission_file_/…``); nbgrader's
``submitted/NAME/LAB/LAB.ipynb``; folders below folders; a zip that holds one notebook; a zip given as an argument, as a
folder. A learner's name comes from the path below what was given, less what all paths have in common by those layouts.
A link is never followed out of the folder, and nothing is passed over without a word.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from vswaplab.errors import InvalidArgument, SwapError
from vswaplab.lab.grading.submission import MAX_FILE, member_of, notebooks_in_zip, too_large
from vswaplab.strict import path_of, read_bounded, shown

__all__ = ["Found", "Roster", "Skipped", "Submission", "collect", "one_line", "read_roster", "submissions_in"]

_MOODLE = re.compile(r"_assignsubmission_(file|onlinetext)(_.*)?$")
_SNIFFED = 1 << 16
_MAX_NAME = 200
_MAX_ROSTER = 1 << 22
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@dataclass(frozen=True)
class Submission:
    """One thing that was handed in."""

    name: str
    """The learner's: on one line, printable, and nobody else's."""
    path: Path
    member: str = ""
    """The file in a zip of several, "" otherwise."""
    refused: str = ""
    """Why it is not read at all; it gets a row all the same."""

    @property
    def file_name(self) -> str:
        """The name of the file that was handed in, for messages."""
        return PurePosixPath(self.member).name if self.member else self.path.name

    def read(self) -> bytes:
        """Return the file's bytes; a SwapError in one sentence if that can't be."""
        if self.refused:
            raise InvalidArgument(self.refused)
        try:
            raw = read_bounded(self.path, MAX_FILE, "submission")
        except SwapError as error:
            raise InvalidArgument(self._unreadable(error)) from error
        return member_of(raw, self.member, self.path.name) if self.member else raw

    def _unreadable(self, error: SwapError) -> str:
        """Say for a learner's report why the file can't be read: without the path, which is whoever grades' own."""
        with suppress(OSError):
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):
                return f"{shown(self.path.name)} is no file; hand in the .ipynb file itself."
            if status.st_size > MAX_FILE:
                return too_large(self.path.name)
        return f"{shown(self.path.name)} can't be read: {os.strerror(error.code)}."

    def digest(self) -> str:
        """Return a digest of what was handed in, "" if it can't be read: whether it is the same as before."""
        with suppress(OSError, InvalidArgument):
            return hashlib.sha256(self.read()).hexdigest()
        return ""


@dataclass(frozen=True)
class Skipped:
    """What lies in a folder and is nobody's submission."""

    path: str
    why: str


@dataclass(frozen=True)
class Found:
    """What there is to grade, and what there is besides."""

    submissions: tuple[Submission, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Roster:
    """Who is in the class, as a file says."""

    names: tuple[str, ...]

    def missing(self, found: Iterable[str]) -> list[str]:
        """Return who handed nothing in; a name is found in another's path, whatever its case and its number."""
        there = {form for name in found for form in _forms(name)}
        return [name for name in self.names if not _forms(name) & there]

    def unknown(self, found: Iterable[str]) -> list[str]:
        """Return the submissions of nobody on the roster."""
        there = {form for name in self.names for form in _forms(name)}
        return [name for name in found if not _forms(name) & there]


def one_line(text: str, limit: int = 400) -> str:
    """Return a text as a cell, a line of a terminal or a report can hold it: printable, on one line, not too long.

    >>> one_line("a\\x1b[2Jb\\nc")
    'a\\\\x1b[2Jb c'
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if _escaped(text) else text
    text = " ".join(text.split())
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"


def _escaped(text: str) -> bool:
    """Whether a text has bytes of a file name that are no UTF-8, and no other half characters."""
    return any("\udc80" <= char <= "\udcff" for char in text) and not re.search("[\ud800-\udc7f\udd00-\udfff]", text)


def collect(given: Iterable[Path | str], lab: str = "", labs: Iterable[str] = ()) -> Found:
    """Return the submissions in what is given: files, folders and zips.

    `lab` is the one that is graded; files below a folder named as another of `labs` are passed over. InvalidArgument
    if something given is not there, or if nothing that is given is a submission.
    """
    known = {lab, *labs} - {""}
    found: list[Submission] = []
    skipped: list[Skipped] = []
    for each in given:
        path = path_of(each, "A submission")
        if path.is_dir():
            found += _in_folder(path, lab, known, skipped)
        elif path.suffix.lower() == ".zip" and path.is_file() and _holds_many(path):
            found += _in_zip(path, lab, known, skipped)
        elif os.path.lexists(path):
            found.append(Submission(_name_of_file(path, known), path))
        else:
            raise InvalidArgument(f"There is no file or folder {shown(path)}; name submissions, or a folder of them.")
    if not found:
        also = f" Passed over: {skipped[0].path} ({skipped[0].why})" if skipped else ""
        more = f" and {len(skipped) - 1} more." if len(skipped) > 1 else ("." if skipped else "")
        raise InvalidArgument(f"There are no submissions there; name notebooks, or a folder of them.{also}{more}")
    return Found(tuple(sorted(_distinct(found), key=lambda each: each.name)), tuple(skipped))


def submissions_in(paths: Iterable[Path | str]) -> list[Submission]:
    """Return what there is to grade in what is given; InvalidArgument if there is nothing."""
    return list(collect(paths).submissions)


# -- folders -----------------------------------------------------------------------------------------------------------


def _in_folder(root: Path, lab: str, known: set[str], skipped: list[Skipped]) -> list[Submission]:
    """Return the submissions below a folder, by what their paths say."""
    files: list[tuple[Path, str]] = []
    for path in _walk(root, skipped):
        parts = path.relative_to(root).parts
        other = next((part for part in parts[:-1] if part in known and part != lab), "") if lab else ""
        if other:
            skipped.append(Skipped(_told(path, root), f"a submission of {one_line(other)}"))
            continue
        refused, why = _looked_at(path, root)
        if why:
            skipped.append(Skipped(_told(path, root), why))
        else:
            files.append((path, refused))
    return [
        Submission(
            _name(path.relative_to(root).parts, known, _fallback(root, len(files), known)), path, refused=refused
        )
        for path, refused in files
    ]


def _walk(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Yield what lies below a folder and is not hidden, in order; folders that can't be read are listed."""

    def unreadable(error: OSError) -> None:
        skipped.append(Skipped(_told(Path(error.filename or root), root), error.strerror or "it can't be read"))

    for folder, folders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        for name in sorted(folders):
            path = here / name
            why = "a link to a folder" if path.is_symlink() else "hidden" if _hidden(name) else ""
            if why:
                skipped.append(Skipped(_told(path, root), why))
                folders.remove(name)
        folders.sort()
        for name in sorted(files):
            if _hidden(name):
                skipped.append(Skipped(_told(here / name, root), "hidden"))
            else:
                yield here / name


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _told(path: Path, root: Path) -> str:
    return one_line(str(path.relative_to(root)) if root in path.parents else str(path))


def _looked_at(path: Path, root: Path) -> tuple[str, str]:
    """Return why a file is refused and gets a row, and why it is passed over; both "" if it is read."""
    notebook = path.suffix.lower() in (".ipynb", ".zip")
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return _link(path, root, notebook)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "")
        if kind:
            return (f"It is {kind}, not a notebook; hand in the .ipynb file itself.", "") if notebook else ("", kind)
        if notebook or _looks_like_one(path):
            return "", ""
    except OSError as error:
        why = error.strerror or os.strerror(error.errno or errno.EIO)
        return (f"It can't be read: {why}.", "") if notebook else ("", why)
    return "", "not a notebook"


def _link(path: Path, root: Path, notebook: bool) -> tuple[str, str]:
    target = Path(os.path.realpath(path))
    if not target.exists():
        refused = "It is a link to a file that is not there; hand in the .ipynb file itself."
    elif Path(os.path.realpath(root)) not in target.parents:
        refused = "It is a link to a file outside of the folder; hand in the .ipynb file itself."
    else:
        return "", f"a link to {_told(target, Path(os.path.realpath(root)))}, which is graded where it lies"
    return (refused, "") if notebook else ("", refused.partition(";")[0].removeprefix("It is "))


def _looks_like_one(path: Path) -> bool:
    """Whether a file of another name is a notebook after all: ``anna.ipynb.txt``, or a name that was cut off."""
    with path.open("rb") as file:
        head = file.read(_SNIFFED).replace(b"\0", b"")
        if head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] != b"{":
            return False
        file.seek(max(0, os.fstat(file.fileno()).st_size - _SNIFFED))
        return b'"nbformat"' in head or b'"nbformat"' in file.read(_SNIFFED).replace(b"\0", b"")


def _fallback(root: Path, files: int, known: set[str]) -> str:
    """Return the name for a file that no part of its path names: its folder's, if it is the only one there."""
    return "" if files > 1 else _named_by(root.absolute() if root.name else root.resolve(), known)


def _named_by(folder: Path, known: set[str]) -> str:
    """Return the name of the innermost folder of a path that is a learner's, "" if none is."""
    named = (_MOODLE.sub("", part) for part in reversed(folder.parts[1:]))
    return next((part for part in named if part and part not in known and part != "submitted"), "")


# -- zips --------------------------------------------------------------------------------------------------------------


def _holds_many(path: Path) -> bool:
    with suppress(InvalidArgument, OSError):
        return len(notebooks_in_zip(read_bounded(path, MAX_FILE, "zip"), path.name)) > 1
    return False


def _in_zip(path: Path, lab: str, known: set[str], skipped: list[Skipped]) -> list[Submission]:
    found = []
    for member in notebooks_in_zip(read_bounded(path, MAX_FILE, "zip"), path.name):
        parts = [part for part in PurePosixPath(member).parts if part not in ("/", "..")]
        other = next((part for part in parts[:-1] if part in known and part != lab), "") if lab else ""
        if other:
            skipped.append(Skipped(one_line(f"{path.name}/{member}"), f"a submission of {one_line(other)}"))
        else:
            found.append(Submission(_name(parts, known, ""), path, member))
    return found


# -- names -------------------------------------------------------------------------------------------------------------


def _name_of_file(path: Path, known: set[str]) -> str:
    """Return the name of a file that was given itself: its stem, or what its folders say where that is a lab's."""
    stem = _MOODLE.sub("", _stem(path.name))
    named = "" if stem not in known else _named_by(path.absolute().parent, known)
    return one_line(named or stem, _MAX_NAME)


def _name(parts: Sequence[str], known: set[str], fallback: str) -> str:
    """Return a learner's name from a path below the folder: what is left without what the layouts put there."""
    folders = [_MOODLE.sub("", part) for part in parts[:-1]]
    named = [part for part in folders if part not in known and part != "submitted"]
    moodle = any(_MOODLE.search(part) for part in parts[:-1])
    stem = _MOODLE.sub("", _stem(parts[-1]))
    if stem not in known and not moodle and not (set(parts[:-1]) & known):
        named.append(stem)
    return one_line("/".join(filter(None, named)) or fallback or stem, _MAX_NAME)


def _stem(name: str) -> str:
    for suffix in (".ipynb", ".zip"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name.partition(".ipynb.")[0]


def _distinct(found: Sequence[Submission]) -> list[Submission]:
    """Return submissions none of which has another's name: the second is "name (2)"."""
    once = list({(each.path, each.member): each for each in found}.values())
    taken = Counter[str]()
    used: set[str] = set()
    made = []
    for each in sorted(once, key=lambda each: (each.name, os.fsencode(each.path), each.member)):
        name = each.name
        while name.casefold() in used:
            taken[each.name] += 1
            name = f"{each.name} ({taken[each.name] + 1})"
        used.add(name.casefold())
        made.append(replace(each, name=name))
    return made


# -- the class ---------------------------------------------------------------------------------------------------------


def read_roster(path: Path | str) -> Roster:
    """Return who is in the class: the first column of a text or CSV file, a name a line.

    A first line that says ``name``, ``student``, ``learner``, ``user``, ``username``, ``login`` or ``id`` is a heading;
    empty lines and lines that begin with ``#`` are passed over. InvalidArgument if the file names nobody.
    """
    raw = read_bounded(path, _MAX_ROSTER, "roster")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{shown(path)} is not UTF-8 text; save the roster as UTF-8.") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    first = lines[0] if lines else ""
    delimiter = next((mark for mark in "\t;" if mark in first and "," not in first), ",")
    try:
        names = [row[0].strip() for row in csv.reader(lines, delimiter=delimiter) if row and row[0].strip()]
    except csv.Error as error:
        raise InvalidArgument(f"{shown(path)} is not a list of names, one a line ({error}).") from error
    headings = {"name", "student", "learner", "user", "username", "login", "id", "student_id", "submission"}
    if names and names[0].casefold() in headings:
        names = names[1:]
    if not names:
        raise InvalidArgument(f"{shown(path)} names nobody; write one name a line.")
    return Roster(tuple(dict.fromkeys(one_line(name, _MAX_NAME) for name in names)))


def _forms(name: str) -> set[str]:
    """Return the forms in which a name is looked for: the whole, each part of a path, and without Moodle's number."""
    name = unicodedata.normalize("NFC", name).casefold()
    found = {name, *name.split("/")}
    found |= {re.sub(r"_\d+$", "", each) for each in found}
    return {" ".join(each.replace("_", " ").split()) for each in found if each}
