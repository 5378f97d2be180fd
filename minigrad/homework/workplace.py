"""The folder that a student works in: finding it, writing into it, and packing it.

Nothing that a student wrote is ever lost: a file that the tool changes is first copied to
``.minigrad-hw/backups``, and every file is written beside its place and then renamed.

Leaves out: checking (``runner``) and carrying work over from another folder (``carry``).
"""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import shutil
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .release import META, ReleaseError, Tree, checkout, starter
from .source import (
    SourceError,
    body_of,
    decode,
    is_open,
    marked_body,
    placeholder,
    with_body,
    with_marked_body,
)
from .spec import Blank, Homework, SpecError, homework, homeworks

__all__ = ["State", "Workplace", "WorkplaceError", "added_files", "pack", "release_tree", "unpack",
           "write", "write_tree", "zipped"]

OWN = ".minigrad-hw"
LARGEST = 200 * 2**20  # bytes of a release when it is unpacked
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in a zip: equal content, equal bytes


class WorkplaceError(RuntimeError):
    """The folder is not what a command needs, or already holds something else."""


@dataclass(frozen=True)
class State:
    """How far a blank is.

    Attributes
    ----------
    written : bool
        Whether something else than the placeholder stands in it; also something unfinished.
    problem : str
        Why it cannot be read; empty if it can.
    body : str
        What stands in it.
    """

    blank: Blank
    written: bool
    problem: str = ""
    body: str = ""


@dataclass(frozen=True)
class Workplace:
    """A student's folder, or the checkout of the library itself.

    ``homework`` is the one that the folder was made for; None for a checkout.
    """

    root: Path
    homework: Homework | None

    @classmethod
    def at(cls, folder: Path) -> Workplace | None:
        """The workplace whose root is ``folder``; None if it is none.

        Raises
        ------
        WorkplaceError
            If its description is damaged.
        """
        if (folder / META).is_file():
            try:
                name = json.loads((folder / META).read_text(encoding="utf-8"))["homework"]
                return cls(folder, homework(name))
            except (ValueError, KeyError, TypeError, SpecError) as error:
                raise WorkplaceError(f"{folder / META} is damaged ({error}); it should read "
                                     '{"homework": "hw1"}, with the number of yours') from error
        return cls(folder, None) if (folder / "minigrad" / "homework").is_dir() else None

    @classmethod
    def around(cls, folder: Path) -> Workplace:
        """The workplace that ``folder`` lies in.

        Raises
        ------
        WorkplaceError
            If there is none.
        """
        for parent in (folder.resolve(), *folder.resolve().parents):
            found = cls.at(parent)
            if found is not None:
                return found
        raise WorkplaceError("this is not a homework folder; go into the one that `minigrad-hw "
                             "start hw1` made, or begin with that command")

    def state(self, blank: Blank) -> State:
        """Whether a blank is written, and what stands in it."""
        try:
            text = decode((self.root / blank.file).read_bytes())
        except (OSError, SourceError) as error:
            return State(blank, False, f"{blank.file}: {_reason(error)}")
        try:
            body = body_of(text, blank.name).text
        except SourceError as error:
            body = marked_body(text, blank.id)
            problem = f"{blank.file}: {error}"
            return State(blank, body is not None and not is_open(body), problem, body or "")
        return State(blank, not is_open(body), "", body)

    def states(self, hw: Homework) -> list[State]:
        """The states of all blanks of a homework."""
        return [self.state(blank) for blank in hw.blanks]

    def back_up(self, files: list[str]) -> Path:
        """Copies of these files in a new folder of backups."""
        own = self.root / OWN / "backups"
        own.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        folder = Path(tempfile.mkdtemp(prefix=f"{stamp}_", dir=own))
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / file, folder / file)
        return folder

    def reset(self, blank: Blank) -> Path:
        """Open a blank again; returns the folder with the copy of what stood in the file.

        Raises
        ------
        WorkplaceError
            In a checkout, or if the file does not parse.
        """
        if self.homework is None:
            raise WorkplaceError("this is the library itself; reset works in a homework folder")
        empty = placeholder(blank, self.homework.number)
        try:
            before = decode((self.root / blank.file).read_bytes())
        except (OSError, SourceError) as error:
            raise WorkplaceError(f"{blank.file}: {_reason(error)}") from error
        try:
            text = with_body(before, blank.name, empty, blank.id)
        except SourceError as error:  # perhaps what is wrong stands in the blank itself
            text = with_marked_body(before, blank.id, empty)
            if text is None:
                raise WorkplaceError(f"{blank.file}: {_reason(error)}; put that right first, or "
                                     "delete the file and start again: only what is missing is "
                                     "put back") from error
        kept = self.back_up([blank.file])
        write(self.root / blank.file, text.encode())
        return kept

    def noted(self, name: str) -> dict[str, int]:
        """What the tool noted under a name; an empty dictionary where that is unreadable."""
        try:
            found = json.loads((self.root / OWN / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, int)}

    def note(self, name: str, value: Mapping[str, int]) -> None:
        """Note something under a name; nothing where the folder cannot be written.

        Notes are a comfort: a check in a folder that is read-only, or on a full disk, still tells
        its verdict.
        """
        with contextlib.suppress(OSError):
            (self.root / OWN).mkdir(exist_ok=True)
            write(self.root / OWN / f"{name}.json", (json.dumps(value, indent=1) + "\n").encode())


def _reason(error: Exception) -> str:
    """What went wrong, without the path of a student's home."""
    return getattr(error, "strerror", None) or str(error)


def write(path: Path, content: bytes) -> None:
    """Replace a file by ``content`` in one step: at any moment it is the old one or the new one.

    Raises
    ------
    WorkplaceError
        If there is no folder to write it into.
    """
    if not path.parent.is_dir():
        raise WorkplaceError(f"there is no folder {path.parent} to write {path.name} into")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        else:
            os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_tree(tree: Tree, into: Path) -> None:
    """Make the folder ``into`` with these files: all of them, or nothing.

    Raises
    ------
    WorkplaceError
        If it exists and is not an empty folder.
    """
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise WorkplaceError(f"{into.name} exists and is no folder; nothing was changed")
    if into.exists() and any(into.iterdir()):
        raise WorkplaceError(f"{into.name} exists and is not empty; nothing was changed")
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{into.name}.", dir=into.parent))
    try:
        for name, content in tree.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        os.chmod(temporary, 0o755)
        if into.exists():
            into.rmdir()
        os.rename(temporary, into)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


# ----------------------------------------------------------------------------------- zip files


def zipped(files: Tree, executable: Collection[str] = ()) -> bytes:
    """A zip file; equal files make equal bytes. The files named ``executable`` may be run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            mode = 0o755 if name in executable else 0o644
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            entry.create_system = 3  # also where the system is another
            archive.writestr(entry, files[name], compresslevel=9)
    return buffer.getvalue()


def unpack(path: Path) -> Tree:
    """The files of a release's zip.

    Raises
    ------
    WorkplaceError
        If it cannot be read, is too large, or holds links, names twice, or names that lead out
        of the folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise WorkplaceError(f"{path.name} is larger than any release")
            tree = {}
            for entry in entries:
                _refuse(path, entry, {name.casefold() for name in tree})
                with archive.open(entry) as file:  # no more than is declared, whatever comes
                    tree[entry.filename] = file.read(entry.file_size)
                if len(tree[entry.filename]) != entry.file_size:
                    raise WorkplaceError(f"{path.name}: {entry.filename} is not of the size that "
                                         "it declares")
    except WorkplaceError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error,
            lzma.LZMAError, struct.error) as error:
        raise WorkplaceError(f"{path.name} cannot be read: {error}") from error
    if META not in tree:
        raise WorkplaceError(f"{path.name} is no release of a homework: it has no {META}")
    return tree


def _refuse(path: Path, entry: zipfile.ZipInfo, known: set[str]) -> None:
    """WorkplaceError for an entry that is no plain file with a plain name of its own."""
    name = entry.filename
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in name:
        raise WorkplaceError(f"{path.name} holds the name {name!r}, which leads out of the folder")
    if "\\" in name or name != str(parts) or not name.isprintable():
        raise WorkplaceError(f"{path.name} holds the name {name!r}, which is no plain path")
    if name.casefold() in known:
        raise WorkplaceError(f"{path.name} holds {name!r} twice")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise WorkplaceError(f"{path.name}: {name!r} is no file but a link or a device")


def release_tree(name: str, source: Path | None) -> tuple[Homework, Tree]:
    """The homework of that name and its starter, from a release zip or from the checkout.

    Raises
    ------
    WorkplaceError
        If there is nothing to take it from, or the zip is of another homework.
    """
    hw = homework(name)
    if source is None:
        root = checkout()
        if root is None:
            raise WorkplaceError(
                f"minigrad is installed as a wheel, which has no notebooks to start from: get "
                f"minigrad-{name}.zip from your lecturer, then: minigrad-hw start {name} --release "
                f"minigrad-{name}.zip (or work from a checkout: pip install -e .)")
        try:
            return hw, starter(root, hw)
        except ReleaseError as error:
            raise WorkplaceError(str(error)) from error
    tree = unpack(source)
    try:
        inside = json.loads(tree[META])["homework"]
    except (ValueError, KeyError, TypeError) as error:
        raise WorkplaceError(f"{source.name}: {META} is damaged: {error}") from error
    if inside != name:
        raise WorkplaceError(f"{source.name} is a release of {inside}, not of {name}")
    if not any(path.endswith(".ipynb") for path in tree) or "minigrad/__init__.py" not in tree:
        raise WorkplaceError(f"{source.name} is no whole release: it has no notebook or no "
                             "library; is it a submission?")
    return hw, tree


def pack(place: Workplace, hw: Homework) -> Tree:
    """What is handed in: every file with a blank of this or an earlier homework, and added files.

    Raises
    ------
    WorkplaceError
        If a file is missing, or the name of an added one has characters that are not printed.
    """
    files = {b.file for h in homeworks() if h.number <= hw.number for b in h.blanks} | {META}
    found: Tree = {}
    for name in sorted(files | set(added_files(place))):
        if not name.isprintable():
            raise WorkplaceError(f"the file {name!a} has an odd name; rename it")
        try:
            found[name] = (place.root / name).read_bytes()
        except OSError as error:
            raise WorkplaceError(f"{name} cannot be read: {error.strerror}") from error
    return found


def added_files(place: Workplace) -> list[str]:
    """Python files that the student added to the two packages."""
    installed = Path(__file__).resolve().parents[2]
    found = []
    for package in ("minigrad", "gans"):
        for path in sorted((place.root / package).rglob("*.py")):
            name = path.relative_to(place.root).as_posix()
            if not (installed / name).exists() and path.is_file() and not path.is_symlink():
                found.append(name)
    return found
