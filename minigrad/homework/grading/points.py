"""The acceptance points that need the grader, each measured; the others are in ``acceptance``.

A point runs the commands that a lecturer runs, in folders of its own. What does not depend on the
homework is measured with one of them.

Leaves out: the time that all of it takes on another machine.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from ..acceptance import Bench, Finding, Point
from ..release import META, Tree, starter
from ..source import decode, with_body
from ..spec import Homework, homeworks
from ..workplace import zipped
from .changes import differences, same
from .forged import forged_answers
from .grade import LIMIT_S, Setting, grade_class, grade_one
from .isolation import Mode, choose
from .results import Result, State, read_results
from .submission import found

__all__ = ["GRADER_POINTS", "handed_in", "solved_files"]

GRADINGS = 50
PROCESSOR_S, MEMORY_MB = 30.0, 500.0  # 60 s on half a core
LONGEST_S = 480.0
SELECTED = ("-m", "slow or not slow")  # of the attacks: all
KILLS, KILLED_AFTER_S = 12, (1.0, 15.0)
CLASS = 40


def solved_files(bench: Bench, homework: Homework) -> Tree:
    """What a student who solved this homework and all before hands in."""
    files = {b.file for hw in homeworks() if hw.number <= homework.number for b in hw.blanks}
    return {file: bench.reference[file] for file in sorted(files)} | {
        META: (json.dumps({"homework": homework.name}) + "\n").encode()}


def handed_in(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """A zip file with these files."""
    path = folder / name
    path.write_bytes(zipped(dict(files)))
    return path


def _setting(bench: Bench, homework: Homework) -> Setting:
    return Setting(homework, starter(bench.root, homework), b"a key for measurements", _mode())


_modes: list[Mode] = []


def _mode() -> Mode:
    """The best mode of this machine; measured once."""
    if not _modes:
        _modes.append(choose("auto"))
    return _modes[0]


def _lost(result: Result) -> list[str]:
    """What a result does not have all points for."""
    if result.state != State.DONE:
        return [f"{result.submission}: {result.state}: {result.reason}"]
    return [f"{result.submission}: {check.message}" for question in result.questions
            for check in question.checks if check.score < check.points]


def _nothing(result: Result) -> None:
    """For gradings whose steps nobody reads."""


def gradings_of(homework: Homework) -> int:
    """How many of the gradings are of this homework: of all about as many."""
    return GRADINGS // len(homeworks()) + (homework.number <= GRADINGS % len(homeworks()))


# -------------------------------------------------------------------------------------- the points


def fresh_gradings(bench: Bench, homework: Homework) -> Finding:
    """50 gradings of the reference in all, with fresh course keys: 100 of 100 each."""
    count = gradings_of(homework)
    with tempfile.TemporaryDirectory(prefix="minigrad-fresh-") as folder:
        path = handed_in(Path(folder), "solved.zip", solved_files(bench, homework))
        against, seconds = [], []
        setting = _setting(bench, homework)
        with setting.cell() as cell:
            for i in range(count):
                fresh = dataclasses.replace(setting, key=f"fresh course key {i}".encode())
                result = grade_one(path, fresh, _nothing, cell)
                against += [f"key {i}: {line}" for line in _lost(result)]
                seconds.append(result.seconds)
    failed = len({line.split(":")[0] for line in against})
    return Finding(f"{count - failed} of {count} gradings with 100, {min(seconds):.1f} to "
                   f"{max(seconds):.1f} s each ({_mode().value})", against)


def cost(bench: Bench, homework: Homework) -> Finding:
    """One homework is graded in under 60 s on half a core, and 500 MB."""
    program = ("import sys, resource; from pathlib import Path\n"
               "from minigrad.homework.acceptance import Bench\n"
               "from minigrad.homework.grading import points\n"
               "from minigrad.homework.spec import homework\n"
               "hw = homework(sys.argv[1])\n"
               "setting = points._setting(Bench(Path(sys.argv[3])), hw)\n"
               "result = points.grade_one(Path(sys.argv[2]), setting, points._nothing)\n"
               "use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF,"
               " resource.RUSAGE_CHILDREN)]\n"
               # not its own ru_maxrss, which begins with what the process had that started it
               "own = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]\n"
               "print(result.score, sum(u.ru_utime + u.ru_stime for u in use),"
               " (int(own) + use[1].ru_maxrss) / 1024)\n")
    with tempfile.TemporaryDirectory(prefix="minigrad-cost-") as folder:
        path = handed_in(Path(folder), "solved.zip", solved_files(bench, homework))
        done = subprocess.run(
            [sys.executable, "-c", program, homework.name, str(path), str(bench.root)],
            capture_output=True, text=True, check=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1",
                 "PYTHONPATH": str(Path(__file__).resolve().parents[3])})
    points, seconds, memory = map(float, done.stdout.split())
    against = [] if points == homework_points(homework) else [f"{points:g} points"]
    if seconds > PROCESSOR_S:
        against.append(f"more than {PROCESSOR_S:g} s of a processor")
    if memory > MEMORY_MB:
        against.append(f"more than {MEMORY_MB:g} MB")
    return Finding(f"{seconds:.1f} s of a processor ({2 * seconds:.0f} s on half a core), "
                   f"{memory:.0f} MB of memory at most (grader and largest child together), the "
                   "making of the cell counted", against)


def homework_points(homework: Homework) -> int:
    """The points of all questions."""
    return sum(question.points for question in homework.questions)


def same_twice(bench: Bench, homework: Homework) -> Finding:
    """The same half-solved zip graded twice gives the same results but for times."""
    files = solved_files(bench, homework)
    for i, blank in enumerate(homework.blanks):  # every second one wrong
        if i % 2:
            text = decode(files[blank.file])
            files[blank.file] = with_body(text, blank.name, "return None\n").encode()
    with tempfile.TemporaryDirectory(prefix="minigrad-same-") as folder:
        path = handed_in(Path(folder), "half.zip", files)
        setting = _setting(bench, homework)
        with setting.cell() as cell:
            one, two = [grade_one(path, setting, _nothing, cell) for _ in range(2)]
    against = [] if same([one], [two]) else differences([one], [two]) or ["notes or messages"]
    return Finding(f"{one.score} and {two.score} points, {len(one.to_json())} characters", against)


def endless_loops(bench: Bench, homework: Homework) -> Finding:
    """A submission whose every check loops ends in under 8 minutes, with partial results."""
    files = solved_files(bench, homework)
    for blank in homework.blanks:
        text = decode(files[blank.file])
        files[blank.file] = with_body(text, blank.name, "while True:\n    pass\n").encode()
    with tempfile.TemporaryDirectory(prefix="minigrad-loops-") as folder:
        path = handed_in(Path(folder), "loops.zip", files)
        result = grade_one(path, _setting(bench, homework), _nothing)
    outcomes = [check.outcome for question in result.questions for check in question.checks]
    against = [] if result.state == State.DONE else [f"{result.state}: {result.reason}"]
    if result.seconds > LONGEST_S:
        against.append(f"longer than {LONGEST_S:g} s")
    if result.score or set(outcomes) != {"TIMEOUT"}:
        against.append(f"{result.score} points, {sorted(set(outcomes))}")
    return Finding(f"{len(outcomes)} checks, {result.seconds:.0f} s, of which the limit for all "
                   f"is {LIMIT_S:g}", against)


def attacks_contained(bench: Bench, homework: Homework) -> Finding:
    """Every attack is contained in the modes that it names."""
    # Not named as the files are that attacks try to leave behind: those are looked for.
    with tempfile.TemporaryDirectory(prefix="minigrad-report-") as folder:
        report = Path(folder) / "report.txt"
        with open(report, "w", encoding="utf-8") as file:
            code = subprocess.run(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs",
                 *SELECTED, "--tb=short", "tests/homework/test_attacks.py"],
                cwd=bench.root, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        lines = report.read_text(encoding="utf-8", errors="replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    untested = [line for line in lines if line.startswith("SKIPPED")]
    return Finding("; ".join([*lines[-1:], *untested]),
                   [] if code == 0 else failed or lines[-5:])


def killed_grader(bench: Bench, homework: Homework) -> Finding:
    """Killing the grader at any moment leaves valid JSON, and no process."""
    rng = random.Random(0)
    against, files = [], 0
    with tempfile.TemporaryDirectory(prefix="minigrad-kill-") as folder:
        root = Path(folder)
        (root / "in").mkdir()
        for name in ("ada.zip", "bob.zip", "eve.zip"):
            handed_in(root / "in", name, solved_files(bench, homework))
        (root / "key").write_text("a key for measurements", encoding="ascii")
        (root / "key").chmod(0o600)
        command = [sys.executable, "-m", "minigrad.homework.instructor", "grade", homework.name,
                   str(root / "in"), "--key", str(root / "key"), "--out", str(root / "out"),
                   "--csv", str(root / "grades.csv"), "--again"]
        (root / "tmp").mkdir()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
                       "TMPDIR": str(root / "tmp")}
        for _ in range(KILLS):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=environment)
            time.sleep(rng.uniform(*KILLED_AFTER_S))
            process.send_signal(signal.SIGKILL)
            process.wait()
            left = _left(str(root / "tmp"))
            against += [f"{len(left)} processes are left"] if left else []
            if (root / "out").is_dir() and any((root / "out").glob("*.json")):
                try:
                    found = read_results(root / "out")
                    files += len(found)
                    against += [f"{r.submission}: {r.state} with {r.score} points" for r in found
                                if r.state not in (State.WAITING, State.DONE)]
                except ValueError as error:
                    against.append(str(error))
    return Finding(f"{KILLS} times killed after {KILLED_AFTER_S[0]:g} to {KILLED_AFTER_S[1]:g} s, "
                   f"{files} results read afterwards",
                   against)


def _left(folder: str, patience: float = 5.0) -> list[str]:
    """Processes whose program lies in a folder, once those that are ending have ended."""
    end = time.monotonic() + patience
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += [path.parent.name] if folder.encode() in path.read_bytes() else []
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.1)


def odd_class(bench: Bench, homework: Homework) -> Finding:
    """40 odd submissions give 40 rows, each with what it deserves, and no crash."""
    odd = _tests_module(bench.root, "odd_submissions")
    tree = starter(bench.root, homework)
    with tempfile.TemporaryDirectory(prefix="minigrad-odd-") as folder:
        root = Path(folder)
        (root / "in").mkdir()
        wanted = odd.odd_submissions(root / "in", homework, tree, solved_files(bench, homework))
        began = time.monotonic()
        paths = found(root / "in")
        results = grade_class(paths, _setting(bench, homework), root / "out",
                              root / "grades.csv", say=lambda line: None)
        with open(root / "grades.csv", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    against = []
    for path, result in zip(paths, results, strict=True):
        state, score = wanted[path.name]
        fits = result.score == score if score is not None else result.score < result.points
        if result.state != state or not fits:
            against.append(f"{result.submission}: {result.state} with {result.score} points "
                           f"({result.reason}), want {state} with {score}")
    if len(rows) != len(wanted) or len(wanted) != CLASS:
        against.append(f"{len(rows)} rows for {len(wanted)} submissions, want {CLASS}")
    return Finding(f"{len(wanted)} submissions, {len(rows)} rows, "
                   f"{time.monotonic() - began:.0f} s", against)


def _tests_module(root: Path, name: str) -> ModuleType:
    """A module of the tests: a checkout is needed, as for the known-wrong bodies."""
    spec = importlib.util.spec_from_file_location(name, root / "tests" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"there is no tests/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


GRADER_POINTS: tuple[Point, ...] = (
    Point("forged", forged_answers),
    Point("fresh", fresh_gradings),
    Point("cost", cost),
    Point("same", same_twice),
    Point("loops", endless_loops, only="hw6"),  # whose checks may take longest
    Point("killed", killed_grader, only="hw1"),
    Point("odd", odd_class, only="hw1"),
    Point("attacks", attacks_contained, only="hw1"),
)
