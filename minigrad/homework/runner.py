"""Runs checks on a student's tree in a child process, and judges the answers here.

One child answers many checks. It is started again after a check that took too long or ended it;
what else was to be checked goes on in the new one.

Leaves out: another user, name spaces and other walls around code that means harm.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
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
from typing import Any

import numpy

from .check import Arrays, Check, Fault, Kind, Outcome, Output, compare, drawn
from .source import SourceError, body_of, decode
from .spec import Blank, CheckSpec, Homework, SpecError, homeworks
from .wire import FrameError, read_frame, write_frame

__all__ = ["PUBLIC_CASES", "PUBLIC_SEED", "Runner", "Verdict", "checks_of"]

HERE = Path(__file__).resolve().parent
COPIED = ("worker.py", "wire.py", "runs")
PUBLIC_SEED = 0
PUBLIC_CASES = 2
MEMORY = 4 * 2**30  # bytes of address space
START_S = 30.0  # to import the tree, which the first run after an edit compiles
GRACE_S = 2.0  # for a process that has closed its pipe to end
FORMS = {  # what an answer of each outcome holds
    "open": {"blank": str},
    "memory": {"places": list},
    "raised": {"places": list, "error": str},
    "done": {"outputs": list, "mutated": list},
}
SHOWN = 2000  # bytes of what the student's code printed


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


@dataclass
class _Child:
    process: subprocess.Popen
    answers: queue.Queue
    listener: threading.Thread


def checks_of(homework: Homework) -> dict[str, Check]:
    """The programs of a homework's checks, by id.

    Raises
    ------
    SpecError
        If they are not those that the TOML file lists.
    """
    module = importlib.import_module(f"minigrad.homework.checks.{homework.name}")
    found = {check.id: check for check in module.CHECKS}
    listed = {spec.id for spec in homework.checks}
    if set(found) != listed or len(found) != len(module.CHECKS):
        raise SpecError(f"{homework.name}: checks and TOML differ in {sorted(set(found) ^ listed)}")
    return found


class Runner:
    """A context manager: runs checks of one homework on the tree in a folder.

    Parameters
    ----------
    tree : Path
        A folder that holds ``minigrad`` and ``gans``.
    homework : Homework
        Whose checks are run.
    caches : bool
        Whether Python may keep its compiled files in the tree, as it does for everyone.
    """

    def __init__(self, tree: Path, homework: Homework, caches: bool = True) -> None:
        self.tree, self.homework, self.caches = tree.resolve(), homework, caches
        self.checks = checks_of(homework)
        self._blanks = [blank for hw in homeworks() for blank in hw.blanks]
        self._child: _Child | None = None
        self._serial = 0  # of requests: an answer to another one is none
        self._stuck = False  # the tree cannot even be imported
        self._folder = ""

    def __enter__(self) -> Runner:
        self._folder = tempfile.mkdtemp(prefix="minigrad-hw-")
        for name in COPIED:
            source, target = HERE / name, Path(self._folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        self._printed = open(Path(self._folder) / "printed", "a+b")
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
                        "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "Agg"}
        flags = ["-S", "-s", "-P", *([] if self.caches else ["-B"])]
        process = subprocess.Popen(
            [sys.executable, *flags, str(Path(self._folder) / "worker.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed,
            env=environment, cwd=self._folder, start_new_session=True)
        answers: queue.Queue = queue.Queue()
        listener = threading.Thread(target=_listen, args=(process.stdout, answers), daemon=True)
        listener.start()
        child = _Child(process, answers, listener)
        config = {"tree": str(self.tree), "homework": self.homework.name, "memory": MEMORY}
        with contextlib.suppress(OSError):  # the first check will tell
            write_frame(process.stdin, config, [])
        try:
            if not isinstance(answers.get(timeout=START_S), tuple):
                answers.put(None)  # the end of the stream, for the first check to meet
        except queue.Empty:
            self._stuck = True
        return child

    def _end(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        process = child.process
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # and all that it started
            else:
                process.kill()
        process.wait()
        child.listener.join(GRACE_S)  # the pipe has ended, unless somebody else holds it open

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
        if self._child is None and not self._stuck:
            self._child = self._start()
        if self._stuck:
            self._end()
            return verdict(Outcome.TIMEOUT, f"importing your files did not end within {START_S:g} "
                           "s", "a loop that does not end, outside of a function")
        try:
            answer = self._ask(self._child, check, inputs, spec.timeout_s)
            header, arrays = self._checked(answer) if isinstance(answer, tuple) else ({}, [])
        except queue.Empty:
            self._end()
            return verdict(Outcome.TIMEOUT, f"no answer within {spec.timeout_s:g} s",
                           "a loop that does not end, or far more work than needed")
        except (OSError, FrameError) as error:
            answer = error
        if not isinstance(answer, tuple):
            how = f"sent what is no answer ({answer})" if isinstance(answer, FrameError) \
                else self._death(self._child)
            self._end()
            return verdict(Outcome.DIED, f"the process {how}",
                           "os._exit() in the code, or a crash of the interpreter")
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
            return verdict(Outcome.RAISED, header["error"], _cause_of(header["error"], inside),
                           **where)
        fault = _judge(check, inputs, header, arrays)
        if fault is None:
            return verdict(Outcome.PASS)
        return verdict(fault.outcome, fault.text, fault.cause,
                       blank=check.blamed(fault, spec.blanks))

    def _ask(self, child: _Child, check: Check, inputs: Arrays, seconds: float) -> Any:
        """The answer to one request; queue.Empty if none comes in time, OSError from the pipe."""
        self._serial += 1
        request = {"run": check.run.__name__, "names": list(inputs), "serial": self._serial}
        write_frame(child.process.stdin, request, list(inputs.values()))
        end = time.monotonic() + seconds
        while True:
            answer = child.answers.get(timeout=max(0.0, end - time.monotonic()))
            if not isinstance(answer, tuple) or answer[0].get("serial") == self._serial:
                return answer

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
        for place in header.get("places", ()):
            if not isinstance(place, list) or [*map(type, place)] != [str, int, str]:
                raise FrameError("a place that is none")
        if header["outcome"] == "open" and header["blank"] not in {b.id for b in self._blanks}:
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
        found: dict[str, dict[str, Any]] = {}
        for file, line, source in places:
            for blank in self._blanks:
                if blank.file == file and line in self._lines(blank):
                    found.pop(blank.id, None)  # the innermost comes last
                    found[blank.id] = {"blank": blank.id, "file": file, "line": line,
                                       "source": source}
        innermost = [*found][::-1]
        for near in (spec.blanks[:1], spec.blanks, f"{spec.question}.",
                     f"{self.homework.name}.", "hw"):
            for blank in innermost:
                if blank in near if isinstance(near, tuple) else blank.startswith(near):
                    return found[blank]
        return dict(zip(("file", "line", "source"), places[-1], strict=True)) if places else {}

    def _lines(self, blank: Blank) -> range:
        """The lines of a blank's function, counted from 1; none where it cannot be found."""
        try:
            body = body_of(decode((self.tree / blank.file).read_bytes()), blank.name)
        except (OSError, SourceError):
            return range(0)
        return range(body.line, body.stop + 1)

    def _tail(self) -> str:
        """The end of what was printed during this check."""
        self._printed.seek(max(0, os.fstat(self._printed.fileno()).st_size - SHOWN))
        return self._printed.read(SHOWN).decode("utf-8", "replace").replace(
            f"{self.tree}{os.sep}", "")


def _listen(stream: Any, answers: queue.Queue) -> None:
    """Put every frame that comes into the queue; at the end None, or the error.

    The stream is closed here: another process may hold its other end longer than the tool waits.
    """
    with stream:
        try:
            while (frame := read_frame(stream)) is not None:
                answers.put(frame)
            answers.put(None)
        except (FrameError, OSError, ValueError) as error:
            answers.put(error if isinstance(error, FrameError) else None)


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
    if check.kind is Kind.PROPERTY:
        with numpy.errstate(all="ignore"):
            return compare(check, inputs, outputs, mutated)
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
