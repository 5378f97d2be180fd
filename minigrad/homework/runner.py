"""Runs checks on a student's tree in a child process, and judges the answers here.

One child answers many checks. It is started again after a check that took too long or ended it;
what else was to be checked goes on in the new one.

Without a cell the child has the rights of whoever checks: that is for one's own code. Submissions
are run in a ``grading.isolation.Cell``.

Leaves out: which checks to run, and what a submission is (``grading``).
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from .check import Arrays, Check, Fault, Outcome, Output, compare, drawn
from .source import SourceError, body_of, decode
from .spec import Blank, CheckSpec, Homework, SpecError, all_blanks, homeworks
from .wire import FrameError, read_frame, write_frame

if TYPE_CHECKING:
    from .grading.isolation import Cell  # which needs a Unix system

__all__ = ["PUBLIC_CASES", "PUBLIC_SEED", "Runner", "RunnerError", "Verdict", "checks_of"]

HERE = Path(__file__).resolve().parent
COPIED = ("worker.py", "wire.py", "runs")
PUBLIC_SEED = 0
PUBLIC_CASES = 2
MEMORY = 4 * 2**30  # bytes of address space
SLOWEST = 4  # times as long as its processor time a check may take, on a busy machine
LOOK_S = 0.05  # between two looks at how much a child used
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
START_S = 30.0  # to import the tree, which the first run after an edit compiles
GRACE_S = 2.0  # for a process that has closed its pipe to end
FORMS = {  # what an answer of each outcome holds
    "open": {"blank": str},
    "memory": {"places": list},
    "raised": {"places": list, "error": str},
    "done": {"outputs": list, "mutated": list},
}
SHOWN = 2000  # bytes of what the student's code printed
MOST_PLACES = 100  # of an exception that are looked at
LONGEST = 1000  # letters of an error, or of the name of the file that it came from
WAITING = 2  # answers that may wait to be read: the child has to wait with more
STACK = re.compile(rb"(?:Fatal Python error: [^\n]*\n+)?(?:Current thread|Thread|Stack)\b[^\n]*"
                   rb"\(most recent call first\):\n")  # how faulthandler begins
FRAME = re.compile(rb'  File "([^"\n]*)", line (\d+) in ')
OUTERMOST = re.compile(
    rb'^  (?:\.\.\.|File "[^"\n]*worker\.py", line \d+ in <module>)\n', re.MULTILINE)
STACK_S = 2.0  # for a process to tell where it is
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")  # of an object: another one in every process


@dataclass(frozen=True)
class Verdict:
    """What became of one check.

    Attributes
    ----------
    blank : str
        The id of the blank that is open, or that the check is mainly about.
    text, cause : str
        What was seen, and why that may be.
    file, line, source : str, int, str
        Where an exception came from, if one did.
    printed : str
        The end of what the student's code printed.
    """

    check: CheckSpec
    outcome: Outcome
    blank: str
    text: str = ""
    cause: str = ""
    seed: int = PUBLIC_SEED
    case: int = 0
    file: str = ""
    line: int = 0
    source: str = ""
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check gives its points."""
        return self.outcome is Outcome.PASS


class RunnerError(RuntimeError):
    """The checks could not be run, for a reason that is not the student's."""


@dataclass
class _Child:
    process: subprocess.Popen
    answers: queue.Queue
    listener: threading.Thread
    over: threading.Event  # nobody reads answers any more
    sender: threading.Thread | None = None

    def send(self, header: dict[str, Any], arrays: list[numpy.ndarray]) -> None:
        """Write a frame, without waiting: a child that reads nothing must not hold up the tool.

        Where it has ended, the end of its answers tells.
        """
        before = self.sender

        def write() -> None:
            if before is not None:
                before.join()
            with contextlib.suppress(OSError, ValueError):
                write_frame(self.process.stdin, header, arrays)

        self.sender = threading.Thread(target=write, daemon=True)
        self.sender.start()


def checks_of(homework: Homework) -> dict[str, Check]:
    """The programs of a homework's checks, by id; of a part of a homework, all that it needs.

    Raises
    ------
    SpecError
        If they are not those that the TOML file lists.
    """
    module = importlib.import_module(f"minigrad.homework.checks.{homework.name}")
    found = {check.id: check for check in module.CHECKS}
    whole = next((hw for hw in homeworks() if hw.name == homework.name), homework)
    listed = {spec.id for spec in whole.checks} | {spec.id for spec in homework.checks}
    if set(found) != listed or len(found) != len(module.CHECKS):
        raise SpecError(f"{homework.name}: checks and TOML differ in {sorted(set(found) ^ listed)}")
    return found


class Runner:
    """A context manager: runs checks of one homework on the tree in a folder.

    ``run`` raises RunnerError where the child cannot be locked in.

    Parameters
    ----------
    tree : Path
        A folder that holds ``minigrad`` and ``gans``.
    homework : Homework
        Whose checks are run.
    caches : bool
        Whether Python may keep its compiled files in the tree, as it does for everyone.
    cell : Cell, optional
        What the child is locked into; ``tree`` is the one in it.
    patience : float
        By which limits of time are multiplied, for a slow machine.
    until : float
        When no check may go on any longer, by ``time.monotonic()``.
    """

    def __init__(self, tree: Path, homework: Homework, caches: bool = True,
                 cell: Cell | None = None, patience: float = 1.0, until: float = math.inf
                 ) -> None:
        self.tree, self.homework, self.caches = tree.resolve(), homework, caches
        self.cell, self.patience, self.until = cell, patience, until
        self.checks = checks_of(homework)
        self._child: _Child | None = None
        self._serial = 0  # of requests: an answer to another one is none
        self._stuck: dict[str, Any] | None = None  # where, if the tree cannot even be imported
        self._folder = ""

    def __enter__(self) -> Runner:
        self._folder = tempfile.mkdtemp(prefix="minigrad-hw-")
        for name in (*COPIED, *(() if self.cell is None else ("grading/cell.py",))):
            source, target = HERE / name, Path(self._folder) / Path(name).name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        self._printed = open(Path(self._folder) / "printed", "ab")
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        self._printed.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- the child

    def _start(self) -> _Child:
        sites = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
        sites.append(str(Path(numpy.__file__).resolve().parents[1]))
        kept = ("PATH", "SYSTEMROOT", "HOME", "TMPDIR", "TEMP", "LANG", "LC_ALL")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"PYTHONPATH": os.pathsep.join([self._folder, *dict.fromkeys(sites)]),
                        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                        "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg", "PYTHONHASHSEED": "0"}
        flags = ["-S", "-s", "-P", *([] if self.caches else ["-B"])]
        process = subprocess.Popen(
            [sys.executable, *flags, str(Path(self._folder) / "worker.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed,
            env=environment, cwd=self._folder, start_new_session=True)
        answers: queue.Queue = queue.Queue(WAITING)
        over = threading.Event()
        listener = threading.Thread(target=_listen, args=(process.stdout, answers, over),
                                    daemon=True)
        listener.start()
        child = _Child(process, answers, listener, over)
        in_cell = self.cell is not None
        config = {"tree": self.cell.seen_tree if in_cell else str(self.tree),
                  "homework": self.homework.name,
                  "memory": self.cell.memory if in_cell else MEMORY,
                  "cell": self.cell.settings if in_cell else None,
                  "plots": any(b.file.startswith("gans/") for b in self.homework.blanks)}
        with contextlib.suppress(OSError):  # the first check will tell
            write_frame(process.stdin, config, [])
        if config["cell"] is not None:
            self._wait_for_walls(child)
        try:
            first = answers.get(timeout=self._limit(START_S))
            if not isinstance(first, tuple):
                answers.put(first)  # the end of the stream, for the first check to meet
        except queue.Empty:
            self._stuck = self._stopped_at(child)
        return child

    def _wait_for_walls(self, child: _Child) -> None:
        """Return when the child has locked itself in; nothing of the student's has run before.

        Raises
        ------
        RunnerError
            If it cannot.
        """
        try:
            answer = child.answers.get(timeout=START_S * self.patience)
        except queue.Empty:
            answer = None
        if not isinstance(answer, tuple) or answer[0].get("outcome") != "inside":
            self._child = child
            self._end()
            last = self._tail().strip().splitlines()[-1:] or ["no reason was given"]
            raise RunnerError(f"the child process could not be locked in: {last[0]}")

    def _end(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        process = child.process
        child.over.set()
        if self.cell is not None:
            self.cell.end(process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # and all that it started
            else:
                process.kill()
        process.wait()
        child.listener.join(GRACE_S)  # the pipe has ended, unless somebody else holds it open
        if self.cell is not None:
            self.cell.sweep()
        if child.sender is not None:  # nobody is left who could read
            child.sender.join(GRACE_S)
        if child.sender is None or not child.sender.is_alive():
            with contextlib.suppress(OSError):
                process.stdin.close()

    # ---- one check

    def run(self, spec: CheckSpec, seed: int = PUBLIC_SEED, cases: Sequence[int] = range(
            PUBLIC_CASES)) -> Verdict:
        """The verdict on one check: the first of its cases that fails, or PASS."""
        check = self.checks[spec.id]
        for case in cases:
            inputs = drawn(check, seed, case)
            verdict = self._case(spec, check, inputs, seed, case)
            if not verdict.passed:
                return verdict
        return verdict

    def _case(self, spec: CheckSpec, check: Check, inputs: Arrays, seed: int, case: int) -> Verdict:
        def verdict(outcome: Outcome, text: str = "", cause: str = "", **more: Any) -> Verdict:
            return Verdict(spec, outcome, more.pop("blank", spec.blanks[0]), text, cause, seed,
                           case, printed=self._tail(), **more)

        os.ftruncate(self._printed.fileno(), 0)
        if self._child is None and self._stuck is None:
            self._child = self._start()
        if self._stuck is not None:
            self._end()
            return verdict(Outcome.TIMEOUT, f"importing your files did not end within {START_S:g} "
                           "s", "a loop that does not end, outside of a function", **self._stuck)
        try:
            answer = self._ask(self._child, check, inputs, self._limit(spec.timeout_s))
            header, arrays = self._checked(answer) if isinstance(answer, tuple) else ({}, [])
        except queue.Empty:
            where = self._stopped_at(self._child)
            self._end()
            if self.cell is not None:  # how far a loop came differs; equal work is graded equally
                os.ftruncate(self._printed.fileno(), 0)
            return verdict(Outcome.TIMEOUT, f"no answer within {spec.timeout_s:g} s",
                           "a loop that does not end, or far more work than needed", **where)
        except (OSError, FrameError) as error:
            answer = error
        if not isinstance(answer, tuple):
            how = self._death(self._child) if not isinstance(answer, FrameError) \
                else f"sent what is no answer ({str(answer)[:LONGEST]})"
            self._end()
            return verdict(Outcome.DIED, f"the process {how}",
                           "os._exit() in the code, or a crash of the interpreter",
                           **self._told_stack(0))
        where = self._where(spec, header.get("places", ()))
        if header["outcome"] == "open":
            is_own = header["blank"] in spec.blanks
            return verdict(Outcome.UNSOLVED if is_own else Outcome.BLOCKED,
                           f"{header['blank']} is not written yet", blank=header["blank"])
        if header["outcome"] == "memory":
            return verdict(Outcome.MEMORY, "the memory did not suffice",
                           "an array is far larger than it has to be", **where)
        if header["outcome"] == "raised":
            last = header["places"][-1][:2] if header["places"] else None
            inside = "blank" in where and [where["file"], where["line"]] == last
            error = ADDRESS.sub("0x...", header["error"][:LONGEST])
            return verdict(Outcome.RAISED, error, _cause_of(error, inside), **where)
        fault = _judge(check, inputs, header, arrays)
        if fault is None:
            return verdict(Outcome.PASS)
        return verdict(fault.outcome, fault.text, fault.cause,
                       blank=check.blamed(fault, spec.blanks))

    def _limit(self, seconds: float) -> float:
        """A limit of time on this machine, and no longer than is left for all checks."""
        return min(seconds * self.patience, max(0.1, self.until - time.monotonic()))

    def _ask(self, child: _Child, check: Check, inputs: Arrays, seconds: float) -> Any:
        """The answer to one request.

        queue.Empty if none comes within ``seconds`` of the child's processor time, or, where that
        is more than the child was given or it only waits, a few times as long by the clock.
        """
        self._serial += 1
        request = {"run": check.run.__name__, "names": list(inputs), "serial": self._serial}
        used = self._used(child)
        child.send(request, list(inputs.values()))
        now = time.monotonic()
        end = min(now + seconds * (1 if used is None else SLOWEST), self.until)
        while True:
            left = min(end - time.monotonic(), math.inf if used is None
                       else max(used + seconds - (self._used(child) or 0.0), 0.0))
            if left <= 0:
                raise queue.Empty
            try:
                answer = child.answers.get(timeout=max(left, LOOK_S))
            except queue.Empty:
                continue
            if not isinstance(answer, tuple) or answer[0].get("serial") == self._serial:
                return answer

    def _used(self, child: _Child) -> float | None:
        """Seconds of a processor that a child and what it started used; None if unknown."""
        pids = [child.process.pid, *([] if self.cell is None
                                     else self.cell.children(child.process.pid))]
        try:
            fields = [Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
                      .split() for pid in pids]
            return sum(int(n) for found in fields for n in found[11:13]) / TICKS
        except (OSError, ValueError, IndexError):
            return None

    def _checked(self, answer: tuple[dict[str, Any], list]) -> tuple[dict[str, Any], list]:
        """An answer that has the form of one; it comes from code that anyone may have written.

        Raises
        ------
        FrameError
            Naming what is wrong with it.
        """
        header = answer[0]
        for key, kind in FORMS.get(str(header.get("outcome")), {"outcome": dict}).items():
            if not isinstance(header.get(key), kind):
                raise FrameError(f"an {header.get('outcome')!r} with {header.get(key)!r} as {key}")
        if len(header.get("places", ())) > MOST_PLACES:
            raise FrameError(f"{len(header['places'])} places")
        for place in header.get("places", ()):
            if not isinstance(place, list) or [*map(type, place)] != [str, int, str] \
                    or len(place[0]) > LONGEST or not place[0].isprintable():
                raise FrameError("a place that is none")
        if header["outcome"] == "open" and header["blank"] not in all_blanks():
            raise FrameError("a blank that there is none of")
        return answer

    def _death(self, child: _Child) -> str:
        """How a child ended that gives no more answers."""
        try:
            code = child.process.wait(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            return "closed its side of the pipe"
        if code < 0:
            names = {s.value: s.name for s in signal.Signals}
            return f"ended with signal {names.get(-code, -code)} before it answered"
        return f"ended with exit code {code} before it answered"

    def _where(self, spec: CheckSpec, places: Sequence[Sequence]) -> dict[str, Any]:
        """Which blank an error came from, and the place in it; else the innermost place.

        The check's main blank if it was being run; else the innermost one of the check, of its
        question, of its homework, or of any. What is called with wrong arguments raises, and is
        not to blame.
        """
        found = self._blanks_at(places)
        innermost = [*found][::-1]
        for near in (spec.blanks[:1], spec.blanks, f"{spec.question}.",
                     f"{self.homework.name}.", "hw"):
            for blank in innermost:
                if blank in near if isinstance(near, tuple) else blank.startswith(near):
                    return found[blank]
        return _innermost(places)

    def _blanks_at(self, places: Sequence[Sequence]) -> dict[str, dict[str, Any]]:
        """The last place in each blank that was being run; the innermost blank comes last."""
        found: dict[str, dict[str, Any]] = {}
        files = {place[0] for place in places}
        lines = {blank: self._lines(blank) for blank in all_blanks().values()
                 if blank.file in files}
        for file, line, source in places:
            for blank, own in lines.items():
                if blank.file == file and line in own:
                    found.pop(blank.id, None)
                    found[blank.id] = {"blank": blank.id, "file": file, "line": line,
                                       "source": source}
        return found

    def _stopped_at(self, child: _Child) -> dict[str, Any]:
        """Where a process is that did not answer in time; nothing if it does not tell.

        Only at home: a loop is met at one line or another, as it is with what it prints.
        """
        if self.cell is not None or not hasattr(signal, "SIGUSR1"):
            return {}
        size = os.fstat(self._printed.fileno()).st_size
        with contextlib.suppress(ProcessLookupError, PermissionError):
            child.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + STACK_S
        while time.monotonic() < end:
            text = self._printed_from(size)
            begin = STACK.search(text)
            if begin and OUTERMOST.search(text, begin.end()):
                break
            time.sleep(LOOK_S)
        return self._told_stack(size)

    def _told_stack(self, start: int) -> dict[str, Any]:
        """Of a stack that faulthandler printed from there on: the innermost place in a blank.

        The stack is taken out of what was printed. Where no blank is on it, the innermost place in
        the student's tree is told.
        """
        text = self._printed_from(start)
        begins = [*STACK.finditer(text)]
        if self.cell is not None or not begins:
            return {}
        os.ftruncate(self._printed.fileno(), start + begins[-1].start())
        places = []
        for name, number in FRAME.findall(text, begins[-1].end()):
            path = Path(os.fsdecode(name))
            if path.is_relative_to(self.tree):
                line = int(number)
                lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
                source = lines[line - 1].strip() if line <= len(lines) else ""
                places.append((path.relative_to(self.tree).as_posix(), line, source[:200]))
        places.reverse()
        blanks = self._blanks_at(places)
        return [*blanks.values()][-1] if blanks else _innermost(places)

    def _lines(self, blank: Blank) -> range:
        """The lines of a blank's function, counted from 1; none where it cannot be found."""
        try:
            body = body_of(decode((self.tree / blank.file).read_bytes()), blank.name)
        except (OSError, SourceError):
            return range(0)
        return range(body.line, body.stop + 1)

    def _printed_from(self, start: int) -> bytes:
        """What was printed from there on.

        Opened anew, since the child shares the position of its own file and moves it as it prints.
        """
        with open(self._printed.name, "rb") as file:
            file.seek(start)
            return file.read()

    def _tail(self) -> str:
        """The end of what was printed during this check."""
        size = os.fstat(self._printed.fileno()).st_size
        text = self._printed_from(max(0, size - SHOWN))[:SHOWN].decode("utf-8", "replace")
        return ADDRESS.sub("0x...", text.replace(f"{self.tree}{os.sep}", ""))


def _innermost(places: Sequence[Sequence]) -> dict[str, Any]:
    """The last place, as a verdict names it."""
    return dict(zip(("file", "line", "source"), places[-1], strict=True)) if places else {}


def _listen(stream: Any, answers: queue.Queue, over: threading.Event) -> None:
    """Put every frame that comes into the queue; at the end None, or the error.

    The stream is closed here: another process may hold its other end longer than the tool waits.
    """

    def put(item: Any) -> None:
        while not over.is_set():
            with contextlib.suppress(queue.Full):
                answers.put(item, timeout=0.1)
                return

    with stream:
        try:
            while not over.is_set() and (frame := read_frame(stream)) is not None:
                put(frame)
            put(None)
        except (FrameError, OSError, ValueError) as error:
            put(error if isinstance(error, FrameError) else None)


def _judge(check: Check, inputs: Arrays, header: dict[str, Any], arrays: list) -> Fault | None:
    """Compare an answer; one that does not have the form of an answer is wrong."""
    remaining: Iterator[numpy.ndarray] = iter(arrays)
    outputs: dict[str, Output] = {}
    try:
        for name, kind, has_array in header["outputs"]:
            outputs[name] = Output(kind, next(remaining) if has_array else None)
        mutated = [str(name) for name in header["mutated"]]
    except (KeyError, ValueError, TypeError, StopIteration) as error:
        return Fault(f"the answer has not the form of an answer: {error!r}")
    with numpy.errstate(all="ignore"):
        return compare(check, inputs, outputs, mutated)


CAUSES = (
    ("gradients for", "return one gradient for each input, as a tuple"),
    ("BdbQuit", "a check has no keyboard for a debugger: use print"),
    ("wants Tensors, got", "ndarray instead of Tensor: compute with Tensors and return Tensors"),
)


def _cause_of(error: str, inside: bool) -> str:
    """What an exception most likely comes from, where its text tells; else nothing.

    ``inside`` says that the blank itself raised it, not what it called or what called it.
    """
    if "NoneType" in error:
        return "a value here is None" if inside else (
            "something is None: a missing return, or a None that has to be skipped")
    return next((cause for said, cause in CAUSES if said in error), "")
