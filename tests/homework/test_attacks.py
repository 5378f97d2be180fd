"""Every attack on the grader that is known, run through the grader: none gets what it wants.

Each kind of attack is a file in ``attacks``, which names the modes of isolation that must contain
it. A mode that this machine does not have is skipped with its reason: it was not tested. After
every attack a good submission is graded in the same cell, and has to get what it got before.

Leaves out: attacks that only a container can stop (docs/homework/security.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from homework.attacks.harness import CHECKS, FILE, Attack, attacks, cut_down, digest_of, handed_in

from minigrad.homework import runner
from minigrad.homework.check import Check, drawn
from minigrad.homework.grading import gradescope
from minigrad.homework.grading.changes import same
from minigrad.homework.grading.grade import Setting, grade_one
from minigrad.homework.grading.isolation import (
    Cell,
    IsolationError,
    Mode,
    _children,
    _processes_of,
    measured,
)
from minigrad.homework.grading.results import Result, State, csv_of, feedback, write_result
from minigrad.homework.release import library, starter
from minigrad.homework.runner import PUBLIC_CASES, PUBLIC_SEED
from minigrad.homework.spec import Homework, homework

ROOT = Path(__file__).resolve().parents[2]
ATTACKS = list(attacks())
KEY = b"the course key of the attacked"
POINTS = 4
MARK = "minigrad-attack"
SECONDS = 25.0  # for one grading, whatever the submission does
LARGEST = 20_000  # bytes of a result of two checks
FORMULA = re.compile(r"\s*[=+@-]")


def only_listed(homework: Homework) -> dict[str, Check]:
    """The programs of the checks that a cut down homework has."""
    module = importlib.import_module(f"minigrad.homework.checks.{homework.name}")
    listed = {spec.id for spec in homework.checks}
    return {check.id: check for check in module.CHECKS if check.id in listed}


@dataclass
class Target:
    """What is attacked: a cell, and what must not change."""

    cell: Cell | None
    setting: Setting
    folder: Path  # of the grader: key, results, temporary files
    known: dict[str, Any]  # which the attack is told
    servers: list[socket.socket]
    good: Result | None  # of a submission that is right
    digest: str

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """With own temporary files, and checks that may be fewer than a homework has."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(self.folder / "tmp"))
            patch.setattr(runner, "checks_of", only_listed)
            yield

    def grade(self, path: Path, **changes: Any) -> Result:
        """A grading as it is done for a class, its result on the disk."""
        out = self.folder / "results" / "attack.json"
        setting = Setting(changes.pop("homework", self.setting.homework), self.setting.starter,
                          KEY, self.setting.mode, **changes)
        with self.inside():
            result = grade_one(path, setting, lambda one: write_result(out, one), self.cell)
        assert Result.from_json(out.read_text("utf-8")) == result
        out.unlink()
        return result

    def traces(self) -> list[str]:
        """What an attack has left behind or reached, in words."""
        found = [f"a file in {place}: {name}"
                 for place in ("/tmp", "/var/tmp", "/dev/shm", str(ROOT), str(Path.home()))
                 for name in (os.listdir(place) if os.path.isdir(place) else ())
                 if MARK in name]
        for server in self.servers:
            with contextlib.suppress(BlockingIOError):
                server.recv(1) if server.type == socket.SOCK_DGRAM else server.accept()
                found.append(f"something reached {server.getsockname()}")
        if self.digest != digest_of(self.folder / "canary"):
            found.append("a file of the grader")
        left = os.listdir(self.folder / "tmp")
        if len(left) != 1:  # the folder of the cell
            found.append(f"temporary files {left}")
        if self.cell.user and _processes_of(self.cell.user):
            found.append(f"processes {_processes_of(self.cell.user)}")
        if _children(os.getpid()):
            found.append(f"children {_children(os.getpid())}")
        if os.path.exists("/proc/sysvipc/shm") and self.cell.user:
            found += [f"shared memory {line}" for line in
                      Path("/proc/sysvipc/shm").read_text("ascii").splitlines()
                      if str(self.cell.user) in line.split()]
        return found


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Target]]:
    """A cell of each mode that this machine has, made when it is asked for."""
    made: dict[str, Target | str] = {}
    with contextlib.ExitStack() as stack:

        def target(name: str) -> Target:
            if name not in made:
                mode = Mode(name)
                try:
                    open_ones = [wall.name for wall in measured(mode) if not wall.stands]
                    made[name] = f"a submission could {open_ones}" if open_ones else (
                        stack.enter_context(attacked(mode, tmp_path_factory.mktemp(name))))
                except IsolationError as error:
                    made[name] = str(error)
            if isinstance(made[name], str):
                pytest.skip(f"{name} was not tested, as it is not available: {made[name]}")
            return made[name]

        yield target


@contextlib.contextmanager
def attacked(mode: Mode, folder: Path) -> Iterator[Target]:
    """A cell, and around it all that an attack could want."""
    for name in ("tmp", "results", "canary", "submissions"):
        (folder / name).mkdir()
    (folder / "canary" / "course.key").write_bytes(KEY)
    (folder / "canary" / "neighbour.zip").write_bytes(b"the work of another student")
    (folder / "canary" / "grades.csv").write_text("student,score\n", "ascii")
    os.chmod(folder / "canary" / "course.key", 0o600)
    full, files = homework("hw1"), starter(ROOT, homework("hw1"))
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    unix, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
    near = Path(tempfile.mkdtemp(dir="/tmp"))  # the path of a socket has 107 bytes at most
    unix.bind(str(near / "socket"))
    abstract.bind(f"\0minigrad-{os.getpid()}-{mode.value}")
    servers = [tcp, udp, unix, abstract]
    for server in servers:
        server.setblocking(False)
        if server.type == socket.SOCK_STREAM:
            server.listen()
    checks = only_listed(cut_down())
    public = [hashlib.sha256(value.tobytes()).hexdigest()[:12] for check in checks.values()
              for case in range(PUBLIC_CASES)
              for value in drawn(check, PUBLIC_SEED, case).values()]
    known = {"SECRET": str(folder / "canary" / "course.key"), "FOLDER": str(folder),
             "CHECKOUT": str(ROOT), "GRADER": os.getpid(), "PORT": tcp.getsockname()[1],
             "UDP": udp.getsockname()[1], "UNIX": str(near / "socket"),
             "ABSTRACT": abstract.getsockname(), "KEY_HASH": hashlib.sha256(KEY).hexdigest(),
             "PUBLIC": public}
    setting = Setting(cut_down(), files, KEY, mode)
    solved = {name: library(ROOT)[name] for name in {blank.file for blank in full.blanks}}
    target = Target(None, setting, folder, known, servers, None, digest_of(folder / "canary"))
    with target.inside(), setting.cell() as cell:
        target.cell = cell
        known["CELL"] = str(cell.root)
        target.good = target.grade(written(solved, files, folder))
        assert target.good.score == POINTS
        yield target
    for server in servers:
        server.close()
    (near / "socket").unlink()
    near.rmdir()


def written(solved: dict[str, bytes], files: dict[str, bytes], folder: Path) -> Path:
    """The submission of a student who solved everything."""
    path = handed_in({"files": solved, "name": "good.zip"}, files, folder / "submissions", {})
    return path


@pytest.fixture(scope="module", autouse=True)
def the_library_is_untouched() -> Iterator[None]:
    """No attack has changed a file of the package."""
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (ROOT / "minigrad").rglob("*")
                if path.suffix in (".py", ".toml")}

    before = contents()
    yield
    assert contents() == before


def cases() -> Iterator[Any]:
    """Every attack in every mode; by default each in one of them, the modes in turn."""
    for i, attack in enumerate(ATTACKS):
        for j, mode in enumerate(attack.modes):
            is_last = i + 2 >= len(ATTACKS) or ATTACKS[i + 2].kind != attack.kind
            is_slow = (i + j) % 2 == 1
            yield pytest.param(attack, mode, is_last or is_slow, id=f"{mode}-{attack.name}",
                               marks=[pytest.mark.slow] if is_slow else [])


@pytest.mark.parametrize(("attack", "mode", "grades_another"), list(cases()))
def test_attack_gets_nothing(attack: Attack, mode: str, grades_another: bool,
                             targets: Callable[[str], Target], monkeypatch: pytest.MonkeyPatch
                             ) -> None:
    """No points, no harm, a valid result in time, and the next submission is graded as before.

    The next one is a good one after every attack (slow), or after the last ones of a kind.
    """
    target, told = targets(mode), attack.told
    path = handed_in(told, target.setting.starter, target.folder / "submissions", target.known)
    changes = {"homework": cut_down(told.get("timeout_s", 10.0), told.get("checks", CHECKS)),
               "limit_s": told.get("limit_s", 60.0)}
    monkeypatch.setattr(runner, "START_S", told.get("start_s", runner.START_S))
    began = time.monotonic()
    result = target.grade(path, **changes)
    seconds = time.monotonic() - began
    assert seconds < told.get("seconds", SECONDS)
    assert result.state in (State.DONE, State.REFUSED), result.reason
    assert result.score <= attack.honest
    messages = [check.message for question in result.questions for check in question.checks]
    outcomes = {check.outcome for question in result.questions for check in question.checks}
    text = "\n".join([*messages, *result.notes, result.reason])
    if "outcomes" in told:
        assert outcomes <= told["outcomes"], text
    assert "GOT OUT" not in text, text
    assert re.search(told.get("seen", ""), text), text
    assert "unseen" not in told or not re.search(told["unseen"], text), text
    written_down_safely(result)
    assert target.traces() == []
    if grades_another:
        again = target.grade(target.folder / "submissions" / "good.zip")
        assert same([again], [target.good])


def written_down_safely(result: Result) -> None:
    """Nothing in the result is a command to a terminal, a spreadsheet, a browser or Gradescope."""
    for text in (result.to_json(), feedback(result), csv_of([result], cut_down())):
        assert len(text) < LARGEST
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
        text.encode()
    for question in result.questions:
        for check in question.checks:
            assert check.message.count("\n") < 12
            assert max(map(len, check.message.splitlines()), default=0) <= 160
    assert gradescope.validate(gradescope.to_gradescope(result)) == []


def test_every_attack_of_the_list_is_here() -> None:
    """The kinds are files, and every one names at least one mode or says why none."""
    assert len(ATTACKS) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {mode for attack in ATTACKS for mode in attack.modes} == {"uid", "namespaces"}
    assert FILE in homework("hw1").blanks[0].file
