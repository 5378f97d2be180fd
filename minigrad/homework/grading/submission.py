"""What may be taken from a submission: the files that the homework is about, and nothing else.

A submission is the zip file that ``minigrad-hw pack`` makes, or what comes instead: a folder, a zip
file in a zip file, a tree some folders down, single Python files. It comes from a stranger, so
nothing of it is written to the disk under a name of its own, no link is followed, and sizes that
are declared are not believed: a file is read up to a limit. What is taken is a dictionary from path
to content:

    files with a blank of this or an earlier homework
    Python files that were added to the two packages
    ``.minigrad-hw.json``, which says of what homework they are

Extra files never make a submission fail. They are left out, with a note. What cannot be told apart,
or is too much, is refused: ``SubmissionError``. Texts about a submission hold no control
characters and no path of this machine.

Leaves out: tar, RAR and other archives, and running the code (``grade``).
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..release import META
from ..source import decode, parse
from ..spec import Homework, homeworks
from .results import plain

__all__ = ["Submission", "SubmissionError", "about", "found", "read", "tree_of"]

MB = 2**20
LARGEST_ARCHIVE, LARGEST_INNER = 50 * MB, 20 * MB  # of a zip file, of one inside it
LARGEST_FILE, LARGEST_SUM, MOST_FILES = MB, 10 * MB, 200  # of what is taken
MOST_ENTRIES, DEEPEST = 5_000, 40  # of what is looked at
LONGEST_PATH = 4096  # characters of a name in a zip file; as long as a path can be
LONGEST_NAME = 200  # bytes of the path of a file that was added
PARSED = 100_000  # bytes; a syntax tree takes up to 900 times the memory of its text
SHOWN = 5  # files with something odd that are named one by one

PACKAGES = ("minigrad", "gans")
JUNK = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini")  # left by systems, not by students
CENTRAL = b"PK\x01\x02"  # how an entry in the table of a zip file begins
ENCRYPTED = 0x41  # flags of a zip entry
DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError,
           RuntimeError, OverflowError, LookupError)
FOREIGN = {b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7z archive", b"\x1f\x8b": "a gzip file",
           b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"%PDF": "a PDF",
           b"<!DOCTYPE": "a web page", b"<html": "a web page"}
ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
HAND_IN = "hand in the zip file that `minigrad-hw pack` makes"

# Names that learning platforms give to what they hand out; `rest` is the student's own file name.
CANVAS = re.compile(r"(?P<who>.+?)(?:_LATE)?_\d{3,}_\d{3,}_(?P<rest>.+)")
PLATFORMS = (CANVAS, *map(re.compile, (
    r"(?P<who>.+?)_\d+_assignsubmission_(?:file|onlinetext)(?:_(?P<rest>.*))?",  # Moodle
    r".+?_(?P<who>[^_]+)_attempt_\d{4}(?:-\d\d){5}(?:[_.](?P<rest>.+))?",  # Blackboard
)))
OWN = tuple(map(re.compile, (
    r"hw\d+[-_ ](?:submission[-_ ])?(?!submission)(?P<who>[^\W\d_].*)",
    r"(?P<who>.+?)[-_ ]hw\d+(?:[-_ ]submission)?",
)))
LATE = re.compile(r"(?:^|(?<=[-_. ]))LATE(?=[-_. ]|$)")
COPY = re.compile(r"(?:-\d+| ?\(\d+\))$")  # what browsers and platforms add to a name


class SubmissionError(ValueError):
    """Nothing can be taken from a submission; the text is for the student and the lecturer."""

    def __init__(self, text: str) -> None:
        super().__init__(_shown(text, 500))


@dataclass(frozen=True)
class Submission:
    """What was taken from what a student handed in.

    Attributes
    ----------
    name : str
        Of the file or folder.
    student : str
        Who, as far as the name tells; else the name without its ending.
    files : dict of str to bytes
        Path below the root and content, as it came.
    notes : tuple of str
        What was left out, and what is odd about the files.
    digest : str
        SHA-256 of the files without ``.minigrad-hw.json``: equal code, equal digest, however it
        was packed.
    late : bool or None
        Whether it came after the deadline; None if nothing tells.
    """

    name: str
    student: str
    files: dict[str, bytes]
    notes: tuple[str, ...]
    digest: str
    late: bool | None


@dataclass(frozen=True)
class _Entry:
    """A file in a submission that was not read yet.

    ``odd`` says why it is never read, if so. ``read`` gives at most so many bytes, and raises
    SubmissionError.
    """

    parts: tuple[str, ...]
    read: Callable[[int], bytes]
    odd: str = ""

    @property
    def name(self) -> str:
        return "/".join(self.parts)


def found(folder: Path) -> list[Path]:
    """The submissions in a folder by name: everything in it but hidden files and system litter.

    Raises
    ------
    SubmissionError
        If it cannot be read.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise SubmissionError(f"{folder.name} cannot be read: {error.strerror}") from error
    return [folder / name for name in sorted(names) if not name.startswith(".")
            and name not in JUNK]


def about(path: Path, deadline: datetime | None = None) -> tuple[str, str, bool | None]:
    """Name, student and whether it is late, as far as the name and the file's own time tell.

    A learning platform's word LATE in the name, or its absence from a name of Canvas, counts before
    the time. The time is that of the file, or of the newest file in the folder: deeper ones are the
    student's.

    Raises
    ------
    ValueError
        For a deadline without a time zone.
    """
    if deadline is not None and deadline.tzinfo is None:
        raise ValueError("a deadline needs a time zone")
    late = True if LATE.search(path.name) else False if CANVAS.fullmatch(path.name) else None
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        status = None
    is_folder = status is not None and stat.S_ISDIR(status.st_mode)
    if late is None and deadline is not None and status is not None:
        when = _newest(path, status.st_mtime) if is_folder else status.st_mtime
        late = when > deadline.timestamp()
    return _shown(path.name), _shown(_student(path.name, is_folder)), late


def _newest(folder: Path, otherwise: float) -> float:
    """The time of the newest file that lies directly in a folder."""
    try:
        with os.scandir(folder) as entries:
            times = [entry.stat(follow_symlinks=False).st_mtime
                     for entry in itertools.islice(entries, MOST_ENTRIES)
                     if entry.is_file(follow_symlinks=False)]
    except OSError:
        return otherwise
    return max(times, default=otherwise)


def read(path: Path, homework: Homework, starter: Mapping[str, bytes],
         deadline: datetime | None = None) -> Submission:
    """What a submission of a homework holds.

    Parameters
    ----------
    path : Path
        A zip file, a folder or a Python file.
    homework : Homework
        What it is to be a submission of.
    starter : mapping of str to bytes
        The tree that the students started from.
    deadline : datetime, optional
        With a time zone.

    Raises
    ------
    SubmissionError
        If there is nothing to take: no file of the homework, another homework, a damaged or
        foreign archive, a link; or if it is not clear what to take, or it is too much.
    """
    name, student, late = about(path, deadline)
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError) as error:
        raise SubmissionError(f"it cannot be read: {_reason(error)}") from error
    if stat.S_ISLNK(mode):
        raise SubmissionError(f"it is a link to somewhere else; {HAND_IN}")
    if stat.S_ISDIR(mode):
        entries = _in_folder(path)
    elif stat.S_ISREG(mode):
        entries = _in_file(path)
    else:
        raise SubmissionError(f"it is no file and no folder; {HAND_IN}")
    files, notes = _taken(entries, homework, starter)
    notes += _oddities(files)
    return Submission(name, student, files, tuple(_shown(note, 300) for note in notes),
                      _digest(files), late)


def tree_of(submission: Submission, starter: Mapping[str, bytes]) -> dict[str, bytes]:
    """What is run: the two packages of the starter with the files of the submission put in."""
    tree = {name: content for name, content in starter.items()
            if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    return tree | {name: content for name, content in submission.files.items() if name != META}


def _digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 of names and contents, each with its length, so that nothing can run together."""
    digest = hashlib.sha256()
    for name in sorted(set(files) - {META}):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------ names, texts


def _student(name: str, is_folder: bool) -> str:
    """Who handed in something of that name."""
    for pattern in PLATFORMS:
        match = pattern.fullmatch(name)
        if match:
            return match["who"]
    stem = name if is_folder else re.sub(r"(?:\.tar)?\.\w{1,4}$", "", name)
    for pattern in OWN:
        match = pattern.fullmatch(stem)
        if match:
            stem = match["who"]
            break
    return LATE.sub("", stem).strip("-_. ") or name


def _own_name(name: str) -> str:
    """The name that a student gave to a file that a learning platform or browser renamed."""
    for pattern in PLATFORMS:
        match = pattern.fullmatch(name)
        if match and match["rest"]:
            name = match["rest"]
    stem, dot, ending = name.rpartition(".")
    return COPY.sub("", stem) + dot + ending


def _shown(text: str, longest: int = 255) -> str:
    """A text of one line of characters that can be printed, cut where it is too long."""
    text = "".join(c if c.isprintable() else " " if unicodedata.category(c) == "Zs" else "?"
                   for c in plain(text[:2 * longest]))
    return text if len(text) <= longest else text[:longest - 3] + "..."


def _short(name: str) -> str:
    """A file's name in a sentence."""
    return _shown(name, 100)


def _reason(error: Exception) -> str:
    """What went wrong, without a path of this machine."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _some(names: Iterable[str], most: int = SHOWN) -> str:
    """Names as an enumeration; of many only the first."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(_short, names[:most])) + more


def _count(names: Sequence[str]) -> str:
    """``3 files, e.g. one.py``."""
    return f"{len(names)} file{'s' * (len(names) > 1)}, e.g. {_short(names[0])}"


# ------------------------------------------------------------------------------- what there is


def _in_file(path: Path) -> list[_Entry]:
    """The entries of a submission that is one file."""
    content = _content(path, LARGEST_ARCHIVE + 1)
    if len(content) > LARGEST_ARCHIVE:
        raise SubmissionError(f"it is larger than {LARGEST_ARCHIVE // MB} MB; {HAND_IN}")
    if not content:
        raise SubmissionError(f"the file is empty (0 bytes); {HAND_IN}")
    if path.name.lower().endswith((".py", ".ipynb")):
        return [_Entry((path.name,), lambda limit: content[:limit])]
    return _in_zip(content)


def _content(path: Path, limit: int) -> bytes:
    """The first bytes of a file: of a plain file only, and without waiting for one."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise SubmissionError(f"{_short(path.name)} is no plain file")
            return file.read(min(limit, status.st_size + 1))
    except (OSError, ValueError) as error:
        if isinstance(error, SubmissionError):
            raise
        raise SubmissionError(f"{_short(path.name)} cannot be read: {_reason(error)}") from error


def _in_folder(root: Path) -> list[_Entry]:
    """The files below a folder, hidden ones left out."""
    entries: list[_Entry] = []
    waiting: list[tuple[tuple[str, ...], Path]] = [((), root)]
    seen = 0
    while waiting:
        above, folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                for one in listed:
                    seen += 1
                    if seen > MOST_ENTRIES:
                        raise SubmissionError(f"it holds more than {MOST_ENTRIES:,} files; "
                                              f"{HAND_IN}")
                    parts = (*above, one.name)
                    if _is_junk(parts):
                        continue
                    path = Path(one.path)
                    if one.is_dir(follow_symlinks=False) and len(parts) < DEEPEST:
                        waiting.append((parts, path))
                    else:
                        odd = "" if one.is_file(follow_symlinks=False) else _kind(one)
                        entries.append(_Entry(parts, functools.partial(_content, path), odd))
        except OSError as error:
            if not above:
                raise SubmissionError(f"the folder cannot be read: {_reason(error)}") from error
            entries.append(_Entry(above, _nothing, "a folder that cannot be read"))
    return sorted(entries, key=lambda entry: entry.parts)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry of a folder is that is no file."""
    if entry.is_symlink():
        return "a link"
    return "nested too deeply" if entry.is_dir(follow_symlinks=False) else "no plain file"


def _nothing(limit: int) -> bytes:
    """The content of what is never read."""
    return b""


def _in_zip(content: bytes) -> list[_Entry]:
    """The files in a zip file, hidden ones left out."""
    for magic, what in FOREIGN.items():
        if content.startswith(magic):
            raise SubmissionError(f"it is {what}, which is not read; {HAND_IN}")
    if content[257:262] == b"ustar":
        raise SubmissionError(f"it is a tar archive, which is not read; {HAND_IN}")
    if content.count(CENTRAL) > MOST_ENTRIES:  # before a table of millions is read
        raise SubmissionError(f"it holds more than {MOST_ENTRIES:,} files; {HAND_IN}")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except DAMAGES as error:
        what = "the zip file is damaged or cut off" if content.startswith(b"PK") \
            else "it is no zip file"
        raise SubmissionError(f"{what} ({_reason(error)}); {HAND_IN}") from error
    listed = archive.infolist()
    _refuse_overlaps(listed)
    entries = []
    for info in listed:
        name = info.filename.replace("\\", "/")  # as some programs on Windows write it
        kind = stat.S_IFMT(info.external_attr >> 16)
        if name.endswith("/") or kind == stat.S_IFDIR:
            continue
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        odd = ""
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name) or not parts:
            odd = "a name that leads out of the folder"
        elif len(parts) > DEEPEST or len(name) > LONGEST_PATH:
            odd = "nested too deeply"
        elif kind not in (0, stat.S_IFREG):
            odd = "a link" if kind == stat.S_IFLNK else "no plain file"
        if odd or not _is_junk(parts):
            reader = functools.partial(_unzipped, archive, info, name)
            entries.append(_Entry((name,) if odd else parts, reader, odd))
    return sorted(entries, key=lambda entry: entry.parts)


def _refuse_overlaps(listed: list[zipfile.ZipInfo]) -> None:
    """SubmissionError where two entries share bytes: small files that unpack to huge ones."""
    end, before = -1, ""
    for info in sorted(listed, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise SubmissionError(f"in the zip file {_short(before)} and {_short(info.filename)} "
                                  f"overlap, as in no proper one; {HAND_IN}")
        end, before = info.header_offset + 30 + info.compress_size, info.filename


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, limit: int) -> bytes:
    """The first bytes of an entry, whatever size it declares."""
    if info.flag_bits & ENCRYPTED:
        raise SubmissionError(f"{_short(name)} is protected with a password; {HAND_IN}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SubmissionError(f"{_short(name)} is compressed in a way that is not read "
                              f"(method {info.compress_type}); {HAND_IN}")
    try:
        with archive.open(info) as file:
            return file.read(limit)
    except DAMAGES as error:
        raise SubmissionError(f"the zip file is damaged at {_short(name)} "
                              f"({_short(_reason(error))}); {HAND_IN}") from error


def _is_junk(parts: Sequence[str]) -> bool:
    """Whether a path is hidden or made by a system; the description of a homework is neither."""
    hidden = parts[:-1] if parts[-1] == META else parts
    return any(part.startswith(".") or part in JUNK for part in hidden)


# ------------------------------------------------------------------------------ what is taken


def _taken(entries: list[_Entry], homework: Homework, starter: Mapping[str, bytes],
           inside: str = "") -> tuple[dict[str, bytes], list[str]]:
    """The files to take and the notes about the others; ``inside`` names a zip file in another."""
    allowed = {blank.file for hw in (*homeworks(), homework) if hw.number <= homework.number
               for blank in hw.blanks}
    root = _root(entries, allowed)
    if root is not None:
        chosen = {entry: _normal(entry.parts[len(root):]) for entry in entries
                  if entry.parts[:len(root)] == root and not entry.odd}
        _refuse_other_homework(chosen, homework)
        has_code = allowed & set(chosen.values())
    else:
        chosen = _loose(entries, allowed)
        has_code = bool(chosen)
        zips = [e for e in entries if e.name.lower().endswith(".zip") and not e.odd]
        if len(zips) > 1 or (zips and has_code):
            names = [entry.name for entry in (*zips, *chosen)]
            raise SubmissionError(f"it is not clear which counts: {_some(names, 2)}; {HAND_IN}")
        if zips and not inside:
            content = _limited(zips[0], LARGEST_INNER)
            return _taken(_in_zip(content), homework, starter, zips[0].name)
    if not has_code:
        raise SubmissionError(_why_nothing(entries, homework))
    files, changed, left = _sorted_out(chosen, allowed, starter)
    left += [entry.name for entry in entries if entry not in chosen and not entry.odd]
    notes = [f"it is taken from {_short(inside)}, a zip file inside"] if inside else []
    if root is None:
        notes += [f"{_short(e.name)} is taken as {name}" for e, name in sorted(
            chosen.items(), key=lambda item: item[1]) if e.name != name]
    if META not in files:
        notes.append(f"it has no {META}, and is taken for {homework.name}")
    missing = sorted(allowed - set(files))
    if missing:
        notes.append(f"not handed in, so that the blanks there are open: {_some(missing)}")
    if changed:
        notes.append(f"changed, but no part of {homework.name}; the library's own is run: "
                     f"{_some(sorted(changed))}")
    for odd in sorted({entry.odd for entry in entries if entry.odd}):
        notes.append(f"not taken, {odd}: {_some(e.name for e in entries if e.odd == odd)}")
    if left:
        left.sort(key=lambda name: (not name.endswith(".py"), name))
        notes.append(f"left out: {_count(left)}")
    return files, notes


def _normal(parts: Sequence[str]) -> str:
    """A path whose accents are written in one way."""
    return unicodedata.normalize("NFC", "/".join(parts))


def _root(entries: list[_Entry], allowed: set[str]) -> tuple[str, ...] | None:
    """The folder that the packages are in; None if there is none.

    Raises
    ------
    SubmissionError
        If there are several, and it is not one that holds the others and alone has a description.
    """
    lengths = {name.count("/") + 1 for name in allowed}
    code, described = set(), set()
    for entry in entries:
        if entry.odd:
            continue
        for length in lengths:
            if "/".join(entry.parts[-length:]) in allowed and len(entry.parts) >= length:
                code.add(entry.parts[:-length])
        if entry.parts[-1] == META:
            described.add(entry.parts[:-1])
    both = code & described
    if len(code) == 1:
        return code.pop()
    if len(both) == 1:
        (root,) = both
        if all(other[:len(root)] == root for other in code):
            return root
    if not code and len(described) == 1:
        return described.pop()
    if code or described:
        names = ["/".join(one) or "the top" for one in sorted(code or described)]
        raise SubmissionError(f"it holds several homework folders, and it is not clear which "
                              f"counts: {_some(names, 2)}; {HAND_IN}")
    return None


def _loose(entries: list[_Entry], allowed: set[str]) -> dict[_Entry, str]:
    """Python files outside of their folders, by the only file of the homework that is so called.

    Raises
    ------
    SubmissionError
        If two of them are called so.
    """
    chosen: dict[_Entry, str] = {}
    for entry in entries:
        own = _own_name(entry.parts[-1])
        meant = [name for name in allowed if name.rpartition("/")[2] == own]
        if len(meant) != 1 or entry.odd:
            continue
        for other, name in chosen.items():
            if name == meant[0]:
                raise SubmissionError(f"it is not clear which is {name}: {_short(other.name)} or "
                                      f"{_short(entry.name)}; {HAND_IN}")
        chosen[entry] = meant[0]
    return chosen


def _why_nothing(entries: list[_Entry], homework: Homework) -> str:
    """Why there is nothing to take, as precisely as can be said."""
    wanted = f"the code in minigrad/ and gans/ is what counts; {HAND_IN}"
    if not entries:
        return f"it is empty; {HAND_IN}"
    for entry in entries:
        if entry.odd:
            return f"no file of {homework.name} is in it, and {_short(entry.name)} is not taken: " \
                   f"{entry.odd}; {wanted}"
    for entry in entries:
        if entry.name.lower().endswith(".ipynb"):
            return f"there is a notebook, {_short(entry.name)}, but no file of {homework.name}; " \
                   f"{wanted}"
    for entry in entries:
        if entry.name.lower().endswith((*ARCHIVES, ".zip")):
            return f"there is only an archive inside, {_short(entry.name)}, which is not " \
                   f"read; {HAND_IN}"
    return f"no file of {homework.name} is in it, only {_count([e.name for e in entries])}; " \
           f"{wanted}"


def _refuse_other_homework(chosen: Mapping[_Entry, str], homework: Homework) -> None:
    """SubmissionError if the description names another homework; a damaged one says nothing."""
    for entry, name in chosen.items():
        if name != META:
            continue
        try:
            named = json.loads(entry.read(MB))["homework"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(named, str) and named != homework.name:
            raise SubmissionError(f"it is a submission of {_short(named)}, not of "
                                  f"{homework.name}")


def _sorted_out(chosen: Mapping[_Entry, str], allowed: set[str], starter: Mapping[str, bytes]
                ) -> tuple[dict[str, bytes], list[str], list[str]]:
    """The files that are taken, the library's own that were changed, and what is left out.

    Raises
    ------
    SubmissionError
        If one cannot be read, two have the same name, or they are too many or too large.
    """
    files: dict[str, bytes] = {}
    changed, left, size = [], [], 0
    names = _names_of(starter)
    known: dict[str, str] = {}  # names without case and normal form, as other systems see them
    compared = set()
    for entry, name in chosen.items():
        if name in starter and name not in allowed | {META}:
            if name not in compared and _differs(entry, starter[name]):
                (changed if name.startswith(PACKAGES) and name.endswith(".py") else left
                 ).append(name)
            compared.add(name)
            continue
        if name not in allowed | {META} and not _is_added(name, names):
            left.append(name)
            continue
        key = _folded(name)
        if key in known:
            raise SubmissionError(f"it is not clear which counts, {_short(known[key])} or "
                                  f"{_short(name)}: the names are the same; {HAND_IN}")
        known[key] = name
        if len(files) == MOST_FILES:
            raise SubmissionError(f"it holds more than {MOST_FILES} files to take; {HAND_IN}")
        files[name] = _limited(entry, LARGEST_FILE)
        size += len(files[name])
        if size > LARGEST_SUM:
            raise SubmissionError(f"its files are larger than {LARGEST_SUM // MB} MB together")
    return files, changed, left


def _limited(entry: _Entry, limit: int) -> bytes:
    """The content of an entry; SubmissionError if it is larger than the limit."""
    content = entry.read(limit + 1)
    if len(content) > limit:
        raise SubmissionError(f"{_short(entry.name)} is larger than {limit // MB} MB")
    return content


def _differs(entry: _Entry, own: bytes) -> bool:
    """Whether an entry differs from the library's own file in more than its line ends."""
    try:
        content = entry.read(2 * len(own) + 1)
    except SubmissionError:
        return True
    return content != own and content.replace(b"\r\n", b"\n") != own


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _names_of(starter: Mapping[str, bytes]) -> set[str]:
    """The files and folders of the starter as other systems see them."""
    names = set()
    for name in starter:
        parts = _folded(name).split("/")
        names |= {"/".join(parts[:i]) for i in range(1, len(parts) + 1)}
    return names


def _is_added(name: str, names: set[str]) -> bool:
    """Whether a file is a module that the student added, which hides none of the library's.

    A package hides the module of the same name, ``ops/matmul/`` the file ``ops/matmul.py``, and a
    module is hidden by the package.
    """
    parts = name.removesuffix(".py").split("/")
    if not name.endswith(".py") or parts[0] not in PACKAGES or len(parts) < 2:
        return False
    if not all(map(str.isidentifier, parts)) or len(name.encode()) > LONGEST_NAME:
        return False
    folded = [_folded(part) for part in parts]
    if folded[1] == "homework":
        return False
    above = ["/".join(folded[:i]) for i in range(1, len(folded) + 1)]
    is_hiding = any(f"{folder}.py" in names for folder in above)
    return not is_hiding and above[-1] not in names


# --------------------------------------------------------------------------- what is odd about it


def _oddities(files: Mapping[str, bytes]) -> list[str]:
    """Notes about line ends, byte order marks, and files that do not compile."""
    code = [name for name in sorted(files) if name.endswith(".py")]
    notes = []
    windows = [name for name in code if b"\r" in files[name]]
    if windows:
        notes.append(f"line ends of Windows: {_count(windows)}")
    marked = [name for name in code if files[name].startswith(b"\xef\xbb\xbf")]
    if marked:
        notes.append(f"begins with a byte order mark: {_count(marked)}")
    broken = [f"{_short(name)}: {fault}" for name in code if (fault := _fault(files[name]))]
    more = [f"and {len(broken) - SHOWN} more files that do not compile"] \
        if len(broken) > SHOWN else []
    return [*notes, *broken[:SHOWN], *more]


def _fault(content: bytes) -> str:
    """Why a file does not compile, with the line; empty if it does.

    Only the syntax is looked at. What is larger than any file of a homework is not looked at: its
    syntax tree may take hundreds of megabytes.
    """
    if len(content) > PARSED:
        return f"has {len(content):,} bytes; its syntax was not looked at"
    try:
        text = decode(content)
        if "\0" in text:
            return f"line {text[:text.index(chr(0))].count(chr(10)) + 1}: holds a NUL byte"
        parse.__wrapped__(text)  # a large tree is not worth being kept
    except ValueError as error:  # also UnicodeError, of encodings that never decode anything
        line = _foreign_line(content)
        return f"{line}{error}" if not str(error).startswith("line ") else str(error)
    return ""


def _foreign_line(content: bytes) -> str:
    """``line 3: ``, the first with bytes that are no UTF-8; empty where all are."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"line {content.count(10, 0, error.start) + 1}: "
    return ""
