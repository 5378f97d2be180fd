"""Grades one submission, or the submissions of a class.

Every question gets a fresh child process in a cell. What comes out of it are arrays; they are
compared here. A check gives its points if its public cases pass and its hidden ones do. The result
is written before anything runs and after every question.

A failure of the grader is no failure of the student: it is noted as such, gives no score in the
table, and has to be graded again.

Leaves out: what is written for whom (``results``, ``gradescope``, ``statistics``).
"""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..check import Outcome
from ..report import message
from ..runner import PUBLIC_CASES, PUBLIC_SEED, Runner, Verdict
from ..spec import CheckSpec, Homework, all_blanks
from ..workplace import write
from .isolation import Cell, Mode
from .results import (
    ENCODING,
    CheckResult,
    QuestionResult,
    Result,
    ResultError,
    State,
    csv_of,
    feedback,
    plain,
    result_name,
    untouched,
    write_result,
)
from .secret import fingerprint, seed_of
from .submission import SubmissionError, about, read, tree_of

__all__ = ["LIMIT_S", "Setting", "grade_class", "grade_one"]

LIMIT_S = 360.0  # for all checks of a submission


@dataclass(frozen=True)
class Setting:
    """How a homework is graded.

    Attributes
    ----------
    starter : mapping
        The files that the students were given, by path: what a submission lacks comes from here.
    key : bytes
        The course key.
    mode : Mode
        What the child processes are locked into.
    patience : float
        By which limits of time are multiplied.
    deadline : datetime, optional
        What comes later is marked as late; it loses no points.
    """

    homework: Homework
    starter: Mapping[str, bytes]
    key: bytes
    mode: Mode
    patience: float = 1.0
    deadline: datetime | None = None
    limit_s: float = LIMIT_S

    def cell(self) -> Cell:
        """A cell for submissions of this homework."""
        packages = {path: content for path, content in self.starter.items()
                    if path.startswith(("minigrad/", "gans/"))}
        return Cell(self.mode, packages)


def grade_one(path: Path, setting: Setting, put: Callable[[Result], None],
              cell: Cell | None = None, stop: threading.Event | None = None) -> Result:
    """The result of one submission; ``put`` is given it at the start and after every question.

    Nothing that a submission does raises an exception here. Without ``cell`` one is made. Once
    ``stop`` is set no further check is run, and the result stays unfinished.
    """
    began = time.monotonic()
    result = _begun(path, setting)
    put(result)
    try:
        submission = read(path, setting.homework, setting.starter, setting.deadline)
    except SubmissionError as error:
        result.state, result.reason = State.REFUSED, plain(str(error))
        put(result)
        return result
    result.student, result.late = submission.student, submission.late
    result.notes, result.digest = list(submission.notes), submission.digest
    put(result)
    tree, stop = tree_of(submission, setting.starter), stop or threading.Event()
    try:
        if cell is None:
            with setting.cell() as own:
                _questions(result, own, tree, setting, put, began, stop)
        else:
            _questions(result, cell, tree, setting, put, began, stop)
    except Exception as error:  # ours, not the student's: it must not end the grading of a class
        _failed(result, error)
    failed = [question for question in result.questions if question.state == State.FAILED]
    if failed:
        result.state, result.reason = State.FAILED, failed[0].reason
    elif result.state == State.WAITING and not stop.is_set():
        result.state, result.reason = State.DONE, ""
    result.seconds = time.monotonic() - began
    put(result)
    return result


def _begun(path: Path, setting: Setting) -> Result:
    """The result before anything is known but the name."""
    name, student, late = about(path, setting.deadline)
    result = untouched(setting.homework, name, student)
    result.isolation, result.cases = setting.mode.value, fingerprint(setting.key)
    result.late, result.file = late, result_name(path.name)
    return result


def _questions(result: Result, cell: Cell, tree: Mapping[str, bytes], setting: Setting,
               put: Callable[[Result], None], began: float, stop: threading.Event) -> None:
    """Run all checks, and note what they came to."""
    cell.put(tree)
    until = began + setting.limit_s * setting.patience
    seed = seed_of(setting.key, setting.homework.name, result.digest)
    for question, noted in zip(setting.homework.questions, result.questions, strict=True):
        start = time.monotonic()
        if stop.is_set():
            return
        try:
            with Runner(cell.tree, setting.homework, caches=False, cell=cell,
                        patience=setting.patience, until=until) as runner:
                for spec, check in zip(question.checks, noted.checks, strict=True):
                    if stop.is_set():
                        return
                    verdict = _verdict(runner, spec, seed, until)
                    _note(check, verdict, cell)
            noted.state = State.DONE
        except Exception as error:  # the next question may still be graded
            _failed(noted, error)
        noted.seconds = time.monotonic() - start
        result.seconds = time.monotonic() - began
        put(result)


def _verdict(runner: Runner, spec: CheckSpec, seed: int, until: float) -> Verdict:
    """The first case that fails, public ones before hidden ones."""
    if time.monotonic() > until:
        return Verdict(spec, Outcome.TIMEOUT, spec.blanks[0],
                       "not run: the time for the whole submission was used up before")
    if spec.visible:
        verdict = runner.run(spec, PUBLIC_SEED, range(PUBLIC_CASES))
        if not verdict.passed:
            return verdict
    return runner.run(spec, seed, range(spec.hidden_cases))


def _note(check: CheckResult, verdict: Verdict, cell: Cell) -> None:
    check.outcome, check.blank = verdict.outcome.value, verdict.blank
    check.hidden = verdict.seed != PUBLIC_SEED and not verdict.passed
    if verdict.passed:
        check.score = check.points
    else:
        check.message = plain(message(verdict, cell.tree, all_blanks()))


def _failed(part: Result | QuestionResult, error: Exception) -> None:
    """Note that the grader failed, and say how to those who run it.

    What the system refuses, as on a full disk, is told by its own words; of anything else the place
    matters.
    """
    if isinstance(error, OSError):
        print(f"the grader failed: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error, file=sys.stderr)
    part.state, part.reason = State.FAILED, plain(f"{type(error).__name__}: {error}")[:300]


# ---------------------------------------------------------------------------------- a class


def grade_class(paths: Sequence[Path], setting: Setting, out: Path, table: Path,
                processes: int = 2, again: bool = False, beside: Sequence[Result] = (),
                say: Callable[[str], None] = print) -> list[Result]:
    """The results of all submissions, in the order of ``paths``.

    Each is written to ``out`` as JSON and as text for the student, and all to ``table`` as CSV,
    whenever one more is known. What was graded before is kept, if it is the same code, key and
    homework: a grading that was cut off goes on where it was.

    Parameters
    ----------
    again : bool
        Grade also what was graded before.
    beside : sequence of Result
        Of other submissions, for the table.
    say : callable
        Told one line for each submission.
    """
    out.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for path in paths:
        results.append(_begun(path, setting))
    write(table, csv_of([*results, *beside], setting.homework).encode(ENCODING))
    free: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    stop, writing = threading.Event(), threading.Lock()

    def one(i: int) -> None:
        path = paths[i]
        file = out / f"{results[i].file}.json"
        before = _before(file)
        late = before.late if before is not None and setting.deadline is None else None

        def put(result: Result) -> None:
            if result.late is None:
                result.late = late  # as it was known with the deadline
            write_result(file, result)

        kept = not again and _is_same(before, path, setting)
        if kept:
            results[i] = dataclasses.replace(before, late=results[i].late)
            put(results[i])
        else:
            cell = free.get()
            try:
                results[i] = grade_one(path, setting, put, cell, stop)
            finally:
                free.put(cell)
        write(out / f"{results[i].file}.txt", feedback(results[i]).encode())
        with writing:
            write(table, csv_of([*results, *beside], setting.homework).encode(ENCODING))
            say(f"{results[i].submission}: {_said(results[i])}{' (graded before)' if kept else ''}")

    cells = [setting.cell() for _ in range(max(1, min(processes, len(paths))))]
    opened: list[Cell] = []
    try:
        for cell in cells:
            free.put(cell.__enter__())
            opened.append(cell)
        with ThreadPoolExecutor(len(cells)) as pool:
            try:
                list(pool.map(one, range(len(paths))))
            except BaseException:  # Ctrl-C: what is being graded ends with the check it is at
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        for cell in opened:
            cell.__exit__(None, None, None)
    return results


def _before(file: Path) -> Result | None:
    """The result of an earlier grading, if there is one that can be read."""
    try:
        return Result.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ResultError):
        return None


def _is_same(before: Result | None, path: Path, setting: Setting) -> bool:
    """Whether a result is of the same code, key and checks."""
    if before is None or before.state != State.DONE:
        return False
    try:
        digest = read(path, setting.homework, setting.starter, setting.deadline).digest
    except SubmissionError:
        return False
    return (before.digest, before.homework, before.cases) == (
        digest, setting.homework.name, fingerprint(setting.key)) and [
        c.id for q in before.questions for c in q.checks] == [
        c.id for c in setting.homework.checks]


def _said(result: Result) -> str:
    if result.state == State.DONE:
        return f"{result.score} of {result.points}, {result.seconds:.0f} s"
    return f"{result.state}: {result.reason}"
