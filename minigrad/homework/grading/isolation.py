"""Which walls this machine has, and the cell that a submission is run in.

A cell is a folder with Python's standard library, NumPy, threadpoolctl and the student's tree at
``/tree``. The child process makes it its root (``cell``): what is not in it cannot be read, and
nothing in it can be written. Which walls stand is not assumed but measured, by a probe that tries
to get out: ``python -m minigrad.homework.grading.isolation`` prints what it found.

Leaves out: what goes on in the cell (``worker``, ``runner``), and what only a container can stop
(docs/homework/security.md).
"""

from __future__ import annotations

import compileall
import contextlib
import enum
import errno
import importlib.util
import json
import os
import py_compile
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import threadpoolctl

try:
    import fcntl
    import pwd
except ImportError:  # not on Windows, which has no cells either
    fcntl = pwd = None

__all__ = ["Cell", "IsolationError", "Mode", "Wall", "choose", "measured"]

HERE = Path(__file__).resolve().parent
TREE = "/tree"
PREFIX = "minigrad-cell-"
USERS = range(61184, 65520)  # numbers that systems leave to services of a moment
OMITTED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3",
           "pydoc_data", "site-packages", "dist-packages", "include", "f2py", "__phello__")
MEMORY = 2 * 2**30  # bytes of address space
NEW_S = 60.0  # for how long a folder may be without a lock
END_S = 5.0  # for processes of a cell to end once they are killed


class IsolationError(RuntimeError):
    """The walls that were asked for are not there on this machine."""


class Mode(enum.Enum):
    """How a child process is walled in."""

    NAMESPACES = "namespaces"  # own network, processes and read-only root; needs no right
    UID = "uid"  # another user and another root; needs root
    NONE = "none"  # with the rights of whoever grades


@dataclass(frozen=True)
class Wall:
    """One thing that a submission must not be able to do, and whether it was stopped."""

    name: str
    stands: bool
    seen: str  # how it was refused


TITLES = {
    "solution": "read the solution",
    "secret": "read the grader's files: the course key, other submissions, results",
    "files": "write a file",
    "network": "reach the network",
    "grader": "send the grader a signal",
    "processes": "look at other processes",
    "root": "become root",
    "programs": "start another process",
}


class Cell:
    """A folder that child processes of one grader are locked into, one after the other.

    A context manager. ``put`` gives it the tree of a submission; ``settings`` is what the child
    has to be told; ``end`` and ``sweep`` end whatever is left of it.
    """

    def __init__(self, mode: Mode, starter: Mapping[str, bytes]) -> None:
        self.mode, self.starter = mode, starter
        self.user = 0  # that of the grader, until the cell is entered
        self._claim: socket.socket | None = None  # to the user

    def __enter__(self) -> Cell:
        _remove_abandoned()
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = _locked(self._folder)
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        """The folders, with Python in the one and the starter in the other."""
        os.chmod(self._folder, 0o711)  # the way to the root is not a secret, its neighbours are
        self.root = self._folder / "root"
        self._template = self._folder / "template"
        self.root.mkdir()
        self._template.mkdir(mode=0o700)
        for path, content in self.starter.items():
            _place(self._template / path, content)
        # Only what is ours is compiled here; by content, since times change when it is copied.
        compileall.compile_dir(self._template, quiet=2, ddir=TREE,
                               invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        if self.mode is not Mode.NONE:
            if _is_root():
                self.user, self._claim = _unused_user()
            self._fill()
        _opened_for_reading(self.root)

    def _fill(self) -> None:
        """Put Python and NumPy in: from another cell of this process, where there is one.

        The files may be shared: nobody in a cell can write to them.
        """
        base = next((other.root for other in _living), None)
        for source in _needed():
            target = self.root / source.relative_to("/")
            if base is None:
                _copy(source, target)
            else:
                _copy(base / source.relative_to("/"), target, os.link)
        _living.append(self)

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(ValueError):
            _living.remove(self)
        self.sweep()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()
        if self._claim is not None:
            self._claim.close()

    @property
    def tree(self) -> Path:
        """Where the tree lies, seen from outside."""
        return self.root / "tree"

    def put(self, tree: Mapping[str, bytes]) -> None:
        """Replace the tree in the cell: the starter with these files put in."""
        self.sweep()
        if self.tree.exists():
            shutil.rmtree(self.tree)
        shutil.copytree(self._template, self.tree)
        for path, content in tree.items():
            if self.starter.get(path) != content:
                _place(self.tree / path, content)
                Path(importlib.util.cache_from_source(self.tree / path)).unlink(missing_ok=True)
        for path in set(self.starter) - set(tree):
            (self.tree / path).unlink()
        _opened_for_reading(self.tree)

    @property
    def settings(self) -> dict[str, Any] | None:
        """What ``cell.enter`` needs; None without walls."""
        if self.mode is Mode.NONE:
            return None
        return {"mode": self.mode.value, "root": str(self.root), "user": self.user}

    @property
    def seen_tree(self) -> str:
        """Where the tree lies, seen from inside."""
        return str(self.tree) if self.mode is Mode.NONE else TREE

    memory = MEMORY

    def end(self, process: int) -> None:
        """Kill the children of a process that is walled in: its own kill would not reach them.

        One that left the group of its parent still is its child.
        """
        for number in self.children(process):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)

    def children(self, process: int) -> list[int]:
        """The children of a process outside of the walls; none where it went in itself."""
        return _children(process) if self.mode is Mode.NAMESPACES else []

    def sweep(self) -> None:
        """End every process of the cell's user.

        Raises
        ------
        IsolationError
            If some cannot be ended; nothing else may be graded then.
        """
        if not self.user:
            return
        end = time.monotonic() + END_S
        while _processes_of(self.user):
            # As that user, all at once: a process that forks cannot get away in between.
            subprocess.run(
                [sys.executable, "-I", "-S", "-c",
                 f"import os; os.setgroups([]); os.setresgid({self.user}, {self.user}, {self.user})"
                 f"; os.setresuid({self.user}, {self.user}, {self.user}); os.kill(-1, 9)"],
                check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if time.monotonic() > end:
                raise IsolationError(f"processes of user {self.user} cannot be ended")
            time.sleep(0.01)


_living: list[Cell] = []  # of this process, with Python in them


def _locked(folder: Path) -> BinaryIO:
    """A file in the folder, locked as long as it is open and this process lives."""
    file = open(folder / "lock", "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _remove_abandoned() -> None:
    """Remove the folders of graders that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > NEW_S:
                _locked(folder).close()
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is in use, or only being made
            continue


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _stat(number: str) -> list[str]:
    """Fields of /proc/NUMBER/stat after the name; empty if the process has ended."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _children(process: int) -> list[int]:
    return [int(number) for number in os.listdir("/proc") if number.isdigit()
            and _stat(number)[1:2] == [str(process)]]


def _processes_of(user: int) -> list[int]:
    """The living processes of a user."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{number}").st_uid == user and _stat(number)[:1] != ["Z"]:
                found.append(int(number))
            elif f"Uid:\t{user}\t" in Path(f"/proc/{number}/status").read_text("utf-8") \
                    and _stat(number)[:1] != ["Z"]:
                found.append(int(number))  # one that may not be looked into belongs to root
    return found


def _claim(user: int) -> socket.socket | None:
    """The claim to a user number; None if another cell has it."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0minigrad-user-{user}")
    except OSError as error:
        claim.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return claim


def _unused_user() -> tuple[int, socket.socket]:
    """A number that no user and no process has, and the claim to it: close that to give it back.

    The claim is a name that the system gives to one socket at a time, whoever asks, and takes back
    when the process ends: two graders never end each other's processes.
    """
    known = {entry.pw_uid for entry in pwd.getpwall()}
    for user in random.sample(USERS, len(USERS)):
        claim = _claim(user) if user not in known else None
        if claim is None:
            continue
        if not _processes_of(user):
            return user, claim
        claim.close()
    raise IsolationError("there is no unused user number")


def _needed() -> Iterator[Path]:
    """The folders and files that a cell needs, as the child's Python knows them."""
    library = Path(sysconfig.get_path("stdlib"))
    yield library
    shared = Path(sysconfig.get_config_var("DESTSHARED") or library)
    if shared.is_dir() and not shared.is_relative_to(library):
        yield shared
    yield Path(numpy.__file__).parent  # its shared libraries are loaded before
    yield Path(threadpoolctl.__file__)


def _copy(source: Path, target: Path, copy: Callable[[Path, Path], Any] = shutil.copy2) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        copy(source, target)
    else:
        ignored = shutil.ignore_patterns(*OMITTED, "*.pyi", "*.a", "config-*", "_test*",
                                         "*.opt-1.pyc", "*.opt-2.pyc")
        shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True, copy_function=copy)


def _place(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _opened_for_reading(folder: Path) -> None:
    """Everyone may read, whatever the umask."""
    os.chmod(folder, 0o755)
    for at, folders, files in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(at, name), 0o755)
        for name in files:
            os.chmod(os.path.join(at, name), 0o644)


# ------------------------------------------------------------------------------- measuring


def measured(mode: Mode) -> list[Wall]:
    """What a process in a cell of this mode could do on this machine.

    Raises
    ------
    IsolationError
        If a cell of this mode cannot be made here, with what the system said.
    """
    if mode is not Mode.NONE and not sys.platform.startswith("linux"):
        raise IsolationError(f"{mode.value}: cells are made on Linux only, this is {sys.platform}")
    if mode is Mode.UID and not _is_root():
        raise IsolationError("uid: only root may change to another user")
    with Cell(mode, {"minigrad/__init__.py": b""}) as cell, \
            tempfile.TemporaryDirectory(prefix="minigrad-probe-") as folder, \
            socket.create_server(("127.0.0.1", 0)) as server:
        cell.put(cell.starter)
        for name in ("cell.py", "probe.py"):
            shutil.copy(HERE / name, folder)
        secret = Path(folder) / "secret"
        secret.write_text("secret", encoding="ascii")
        secret.chmod(0o600)
        asked = {"settings": cell.settings, "secret": str(secret), "grader": os.getpid(),
                 "solution": str(HERE.parents[1] / "__init__.py"),
                 "port": server.getsockname()[1],
                 "places": ["/", cell.seen_tree, tempfile.gettempdir(), "/tmp", "/var/tmp",
                            "/dev/shm"]}
        done = subprocess.run(
            [sys.executable, "-S", "-s", "-P", "-B", str(Path(folder) / "probe.py")],
            input=json.dumps(asked) + "\n", capture_output=True, text=True, check=False,
            timeout=60, env={"PYTHONPATH": os.pathsep.join(
                [folder, str(Path(numpy.__file__).parents[1])]), "OPENBLAS_NUM_THREADS": "1"})
        try:
            found = json.loads(done.stdout)
        except ValueError:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise IsolationError(f"{mode.value}: the probe ended early: {last[0]}") from None
    if "refused" in found:
        raise IsolationError(f"{mode.value}: {found['refused']}")
    return [Wall(title, bool(found[name]), found[name]) for name, title in TITLES.items()]


def choose(wanted: str) -> Mode:
    """The mode of that name, or for "auto" the best one whose walls all stand.

    Raises
    ------
    IsolationError
        If none can be had, with the reason for each.
    """
    if wanted == Mode.NONE.value:
        return Mode.NONE
    modes = (Mode.NAMESPACES, Mode.UID) if wanted == "auto" else (Mode(wanted),)
    reasons = []
    for mode in modes:
        try:
            open_ones = [wall.name for wall in measured(mode) if not wall.stands]
        except (IsolationError, OSError, subprocess.TimeoutExpired) as error:
            reasons.append(str(error))
            continue
        if not open_ones:
            return mode
        reasons.append(f"{mode.value}: a submission could {', '.join(open_ones)}")
    raise IsolationError("\n".join(
        [*reasons, "Grade in a container or as root, or with --isolation none if you trust every "
         "submission as your own code."]))


def main() -> int:
    """Print what each mode with walls stops on this machine, and which one is used."""
    for mode in (Mode.NAMESPACES, Mode.UID):
        try:
            walls = measured(mode)
        except (IsolationError, OSError, subprocess.TimeoutExpired) as error:
            print(f"{mode.value:12} not available: {error}")
            continue
        print(mode.value)
        for wall in walls:
            print(f"  {'stopped' if wall.stands else 'OPEN   '}  {wall.name}"
                  + (f"  ({wall.seen})" if wall.stands else ""))
    try:
        print(f"submissions are graded with the walls: {choose('auto').value}")
    except IsolationError:
        print("nothing is graded on this machine, unless with --isolation none, which stops none "
              "of this")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
