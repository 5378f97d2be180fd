"""What is written down about a submission: pessimistic at first, complete after every question.

``Result`` is one submission. It is written as JSON before anything is run, with no points, and
again after every question, in one step each time: whenever the grader is killed, the file on the
disk is valid and gives no point that was not earned.

Leaves out: Gradescope's own format (``gradescope``) and a page about the class (``statistics``).
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..spec import Homework
from ..workplace import write

__all__ = ["ENCODING", "CheckResult", "QuestionResult", "Result", "ResultError", "State", "csv_of",
           "feedback", "plain", "read_results", "result_name", "untouched", "write_result"]

VERSION = 1
ENCODING = "utf-8-sig"  # of the table: with the mark that spreadsheets look for
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # a sequence for a terminal
ODD = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # control, format, halves, private, separators of lines
EMPTY = "\u115f\u1160\u3164\uffa0\u2800"  # letters that look like a space
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # that a file may have as it is
FORMULA = tuple("=+-@＝＋－＠")  # how a cell begins that a spreadsheet would compute
TYPES = {"str": str, "int": int, "float": int | float, "bool": bool, "bool | None": bool | None,
         "list[str]": list}


class ResultError(ValueError):
    """A file of results is damaged or of another version."""


class State:
    """How far a submission is: the words that stand in the files."""

    WAITING = "waiting"  # not begun, or cut off: no points
    DONE = "done"
    REFUSED = "refused"  # nothing could be taken from it: no points, and a reason
    FAILED = "grader failed"  # not the student's fault: has to be graded again

    ALL = (WAITING, DONE, REFUSED, FAILED)


@dataclass
class CheckResult:
    """One check: ``outcome`` is one of the words of ``Outcome``, or "" before it is run.

    ``message`` is what the student may read: at most 12 lines, without control characters.
    """

    id: str
    points: int
    score: int = 0
    outcome: str = ""
    blank: str = ""
    message: str = ""
    hidden: bool = False  # whether it failed on a hidden case


@dataclass
class QuestionResult:
    """One question and its checks."""

    id: str
    title: str
    state: str = State.WAITING
    reason: str = ""
    seconds: float = 0.0
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def points(self) -> int:
        """What it can give."""
        return sum(check.points for check in self.checks)

    @property
    def score(self) -> int:
        """What it gave."""
        return sum(check.score for check in self.checks)


@dataclass
class Result:
    """One submission.

    Attributes
    ----------
    submission : str
        The name of the file or folder that was handed in.
    student : str
        Who, as far as the name tells.
    digest : str
        SHA-256 of what was taken from it: equal code, equal digest, equal hidden cases.
    cases : str
        Which course key the hidden cases came from: its public fingerprint.
    late : bool or None
        Whether it came after the deadline; None where that is not known.
    notes : list of str
        What was left out or mended while reading it.
    """

    homework: str
    submission: str
    student: str
    digest: str = ""
    cases: str = ""
    isolation: str = ""
    state: str = State.WAITING
    reason: str = "the grading did not end"
    late: bool | None = None
    notes: list[str] = field(default_factory=list)
    questions: list[QuestionResult] = field(default_factory=list)
    seconds: float = 0.0
    file: str = ""  # how its own two files are called, without ending
    version: int = VERSION

    @property
    def score(self) -> int:
        """The points of all questions."""
        return sum(question.score for question in self.questions)

    @property
    def points(self) -> int:
        """What could be reached."""
        return sum(question.points for question in self.questions)

    def to_json(self) -> str:
        """As text; ``from_json`` reads it."""
        table = {"score": self.score, **dataclasses.asdict(self)}
        return json.dumps(table, indent=1, ensure_ascii=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """What ``to_json`` wrote.

        Raises
        ------
        ResultError
            If it is something else.
        """
        try:
            table = json.loads(text, parse_constant=_no_number)
            score = table.pop("score")
            if table["version"] != VERSION or table["state"] not in State.ALL:
                raise ResultError(f"version {table['version']}, state {table['state']!r}")
            questions = [
                _typed(QuestionResult, {**entry, "checks": [_typed(CheckResult, check)
                                                            for check in entry["checks"]]})
                for entry in table.pop("questions")]
            result = _typed(cls, {**table, "questions": questions})
            if score != result.score:
                raise ResultError(f"the score is {score!r}, but the checks give {result.score}")
            return result
        except ResultError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ResultError(f"no results of a grading: {error}") from error


def _no_number(word: str) -> float:
    raise ResultError(f"{word} is no number")


def _typed(kind: type, table: dict[str, Any]) -> Any:
    """An object of one of the classes above; ResultError if a value is of another type."""
    for entry in dataclasses.fields(kind):
        value, wanted = table.get(entry.name), TYPES.get(entry.type)
        if entry.name not in table or wanted is None:
            continue
        good = isinstance(value, wanted) and (isinstance(value, bool) <= ("bool" in entry.type)) \
            and value not in (math.inf, -math.inf)
        if not good or (wanted is list and not all(isinstance(one, str) for one in value)):
            raise ResultError(f"{entry.name} is {value!r}, want {entry.type}")
    return kind(**table)


def untouched(homework: Homework, submission: str, student: str) -> Result:
    """The result of a submission before anything was run: no points."""
    questions = [QuestionResult(q.id, q.title, checks=[CheckResult(c.id, c.points)
                                                       for c in q.checks])
                 for q in homework.questions]
    return Result(homework.name, plain(submission), plain(student), questions=questions)


def result_name(name: str) -> str:
    """The name of a submission's result, without ending: plain, and its own for every name."""
    short = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    fits = NAME.fullmatch(name) and name == name.lower() and not name.endswith(".")
    return name if fits else re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40].lower() + "-" + short


def write_result(path: Path, result: Result) -> None:
    """Replace the file in one step."""
    write(path, result.to_json().encode())


def read_results(folder: Path) -> list[Result]:
    """All results in a folder, by the name of the submission.

    Raises
    ------
    ResultError
        Naming the file that is damaged, or saying that there is none.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Result.from_json(path.read_text(encoding="utf-8")))
        except (ResultError, OSError, UnicodeDecodeError) as error:
            raise ResultError(f"{path.name}: {error}") from error
    if not found:
        raise ResultError(f"there are no results in {folder.name}")
    return sorted(found, key=lambda result: result.submission)


def plain(text: str) -> str:
    """Text of a student without control characters, escape sequences and invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    text = ESCAPE.sub("?", text.replace("\t", " ").replace("\r\n", "\n"))
    return "".join("?" if _odd(char) else char for char in text)


def _odd(char: str) -> bool:
    return char != "\n" and (unicodedata.category(char) in ODD or char in EMPTY
                             or "\ufff0" <= char <= "\uffff")


def cell(value: Any) -> str:
    """A value for a spreadsheet: a text that would be computed begins with an apostrophe.

    It has no semicolon either: where that parts the columns, a new one could begin with a formula.
    """
    text = "" if value is None else plain(str(value)).replace(";", ",").replace("\n", " / ")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not is_number else text


def csv_of(results: Iterable[Result], homework: Homework) -> str:
    """The table of a class: one row for each submission, in the order of their names."""
    results = sorted(results, key=lambda result: result.submission)
    by_code: dict[str, list[str]] = {}
    for result in results:
        by_code.setdefault(result.digest, []).append(result.submission)
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns(homework))
    for result in results:
        same = [name for name in by_code[result.digest] if name != result.submission]
        table.writerow([cell(value) for value in (
            *row(result, homework), ", ".join(same) if result.digest and result.score else "")])
    return file.getvalue()


def columns(homework: Homework) -> list[str]:
    """The head of the table."""
    return ["student", "submission", "score", *(q.id for q in homework.questions), "state", "late",
            "reason", "notes", "seconds", "digest", "text", "same as"]


def row(result: Result, homework: Homework) -> Sequence[Any]:
    """One line of the table, but for who has the same code; no score where the grader failed."""
    failed = result.state == State.FAILED
    by_id = {question.id: question.score for question in result.questions}
    scores = [None if failed else by_id.get(q.id, 0) for q in homework.questions]
    return [result.student, result.submission, None if failed else result.score, *scores,
            result.state, {None: "", True: "late", False: ""}[result.late],
            result.reason, "\n".join(result.notes), round(result.seconds, 1), result.digest[:12],
            f"{result.file}.txt" if result.file else ""]


def feedback(result: Result) -> str:
    """What a student may read about a submission, as text."""
    lines = [f"{result.homework}: {result.submission}", ""]
    if result.state == State.FAILED:
        lines += ["The grader failed, not you: your work will be graded again.", ""]
    elif result.state == State.WAITING:
        lines += [f"{result.score} points so far: {result.reason}", ""]
    elif result.state != State.DONE:
        lines += [f"No points: {result.reason}", ""]
    else:
        lines += [f"{result.score} of {result.points} points", ""]
    lines += ["It came after the deadline.", ""] if result.late else []
    lines += [*(f"note: {note}" for note in result.notes), ""] if result.notes else []
    if result.state == State.DONE:
        lines += [f"{question.id}  {question.score:3} of {question.points:3}  {question.title}"
                  for question in result.questions]
        for text, others in _condensed(result):
            lines += ["", text]
            lines += textwrap.wrap("the same is behind " + ", ".join(others), 100,
                                   initial_indent="  ", subsequent_indent="  ") if others else []
    return plain("\n".join(lines)).rstrip("\n") + "\n"


def _condensed(result: Result) -> list[tuple[str, list[str]]]:
    """Every message once, with the other checks that say the same of the same place."""
    groups: dict[tuple[str, ...], list[CheckResult]] = {}
    for check in (c for question in result.questions for c in question.checks if c.message):
        said = check.message.split("\n")
        key = (check.outcome, check.blank)
        if check.outcome not in ("UNSOLVED", "BLOCKED"):
            # without the check, the blank and how to see it again
            key = (check.outcome, *said[2:-1]) if check.outcome == "RAISED" else (check.id,)
        groups.setdefault(key, []).append(check)
    return [(checks[0].message, [check.id for check in checks[1:]]) for checks in groups.values()]
