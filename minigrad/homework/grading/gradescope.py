"""The zip file that Gradescope makes a grader of, and what runs there.

Gradescope unpacks the file at /autograder/source, runs ``setup.sh`` once, and for every submission
``run_autograder`` in a fresh container; what it shows is read from results/results.json beside it.
That file is there, valid and without points, before any Python is started, and is replaced in one
step after every question. The solution and the course key lie in the source folder, which only root
may read; a submission runs in a cell (``isolation``) in which that folder does not exist.

All texts have the format "text": nothing that a student wrote is shown as HTML or Markdown.

Source: Gradescope, "Autograder Specifications", "Submission Metadata" and "Code Autograder Best
Practices" (gradescope-autograders.readthedocs.io).

Leaves out: leaderboards, limits on how often one may hand in, and lateness beyond a word about it:
the settings of the assignment do those.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ..release import Tree
from ..spec import Homework, homework
from ..workplace import unpack, write, zipped
from .grade import Setting, grade_one
from .isolation import choose
from .results import CheckResult, QuestionResult, Result, State, plain, untouched

__all__ = ["EXECUTABLE", "autograder_zip", "graded", "library", "main", "submitted",
           "to_gradescope", "validate", "was_late"]

LONGEST = 4000  # characters of one text
NEEDED = ("numpy", "threadpoolctl")  # all that the grader imports and the standard library lacks
EXECUTABLE = ("setup.sh", "run_autograder")
AT = "/autograder"
NOT_YOURS = ("The grader failed. That is no fault of yours: the staff will grade this again, and "
             "you need not hand in anything.")

SETUP = r"""#!/usr/bin/env bash
# Run once, when the image is built: Python, what the grader needs, and who may read what.
# MINIGRAD_PYTHON names an interpreter that has all of requirements.txt; then nothing is installed.
set -euo pipefail
AUTOGRADER=${AUTOGRADER:-/autograder}
SOURCE="$AUTOGRADER/source"
umask 022

fits() { # a Python that is new enough and can make a virtual environment
    "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1
}

found() { # the first one that fits
    local name
    for name in python3.12 python3.11 python3.13 python3; do
        if fits "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

if [ -n "${MINIGRAD_PYTHON:-}" ]; then
    mkdir -p "$AUTOGRADER/venv/bin"
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$MINIGRAD_PYTHON" > "$AUTOGRADER/venv/bin/python"
    chmod 755 "$AUTOGRADER/venv/bin/python"
else
    if ! PYTHON=$(found); then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update
        for version in 3.12 3.11 3.13; do
            if apt-get install -y "python$version" "python$version-venv"; then break; fi
        done
        if ! PYTHON=$(found); then
            echo "setup.sh: this image has no Python 3.11 or newer; choose Ubuntu 24.04" >&2
            exit 1
        fi
    fi
    "$PYTHON" -m venv "$AUTOGRADER/venv"
    "$AUTOGRADER/venv/bin/python" -m pip install --no-cache-dir --only-binary=:all: \
        -r "$SOURCE/requirements.txt"
fi

umask 077
chmod -R go-rwx "$SOURCE" # the solution and the course key are in there
echo "What a submission cannot do here (measured again for each one):"
PYTHONPATH="$SOURCE/library" "$AUTOGRADER/venv/bin/python" -P -m minigrad.homework.grading.isolation
"""

RUN = r"""#!/usr/bin/env bash
# Run for every submission. First a result without points: whatever happens, there is a valid one.
set -uo pipefail
export AUTOGRADER=${AUTOGRADER:-/autograder}
SOURCE="$AUTOGRADER/source"
RESULTS="$AUTOGRADER/results"

put() { # a file of the source folder as results.json, in one step
    cp "$SOURCE/$1" "$RESULTS/.new" && chmod 644 "$RESULTS/.new" &&
        mv -f "$RESULTS/.new" "$RESULTS/results.json"
}

mkdir -p "$RESULTS"
put waiting.json
chmod -R go-rwx "$SOURCE" "$AUTOGRADER/submission" || true
chmod o-rwx "$RESULTS" || true
if [ -e "$AUTOGRADER/submission_metadata.json" ]; then # names and addresses
    chmod go-rwx "$AUTOGRADER/submission_metadata.json" || true
fi

cd "$SOURCE" || exit 1
code=0
PYTHONPATH="$SOURCE/library" OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
    "$AUTOGRADER/venv/bin/python" -P -m minigrad.homework.grading.gradescope || code=$?
if [ "$code" -ne 0 ] && cmp -s waiting.json "$RESULTS/results.json"; then # it did not even begin
    put failed.json
fi
exit "$code"
"""

# --------------------------------------------------------------------------------- results.json


def to_gradescope(result: Result) -> dict[str, Any]:
    """A result as Gradescope's table: one test for each check, numbered 1.3 in question 1.

    Whatever the state, the score is the sum of the tests: points that were earned before the
    grading broke off are kept, and none that were not earned are given.
    """
    return {
        "score": _score(result, [check for q in result.questions for check in q.checks]),
        "execution_time": round(result.seconds, 1),
        "output": _shown(_summary(result)),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(f"{i}.{j}", question, check, result)
                  for i, question in enumerate(result.questions, 1)
                  for j, check in enumerate(question.checks, 1)],
        "extra_data": {"late": result.late, **{
            name: _shown(getattr(result, name))
            for name in ("homework", "state", "isolation", "cases", "digest")}},
    }


def _score(result: Result, checks: list[CheckResult]) -> int:
    return 0 if result.state == State.REFUSED else sum(check.score for check in checks)


def _test(number: str, question: QuestionResult, check: CheckResult, result: Result
          ) -> dict[str, Any]:
    return {
        "number": number,
        "name": _shown(f"{question.title}: {check.id.removeprefix(question.id + '.')}"),
        "name_format": "text",
        "score": _score(result, [check]),
        "max_score": check.points,
        "status": "passed" if _score(result, [check]) == check.points else "failed",
        "output": _shown(_words(question, check, result)),
        "output_format": "text",
        "visibility": "visible",
        "tags": [_shown(question.id)],
    }


def _words(question: QuestionResult, check: CheckResult, result: Result) -> str:
    """What a test says."""
    if result.state == State.REFUSED:
        return f"not graded: {result.reason}"
    if check.outcome == "PASS":
        return "PASS"
    if check.outcome:
        seen = "\nThis was seen with a hidden input; they are drawn for exactly this code." \
            if check.hidden else ""
        return (check.message or check.outcome) + seen
    if State.FAILED in (result.state, question.state):
        return "not graded: the grader failed, which is no fault of yours"
    return f"not graded: {question.reason or result.reason or 'the grading did not end'}"


def _summary(result: Result) -> str:
    """The text above all tests."""
    if result.state == State.REFUSED:
        lines = ["Nothing was graded: " + result.reason, "Put that right and hand in again."]
    else:
        points = f"{result.score} of {result.points} points"
        begun = any(check.outcome for question in result.questions for check in question.checks)
        lines = {
            State.DONE: [f"{result.homework}: {points}."],
            State.WAITING: ["The grading did not end; "
                            + (f"so far {points}." if begun else "no points yet."),
                            "If it stays so, that is no fault of yours: tell the staff."],
            State.FAILED: [NOT_YOURS, f"So far {points}." if begun else "No points yet."],
        }[result.state]
        lines += [f"{question.id}  {question.score:3} of {question.points:3}  {question.title}"
                  + ("" if question.state == State.DONE else "  (not graded)")
                  for question in result.questions]
    lines += ["Handed in after the deadline."] if result.late else []
    return "\n".join(lines + [f"Note: {note}" for note in result.notes])


def _shown(text: str) -> str:
    """Text without control characters, and not longer than a page."""
    text = plain(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


# ------------------------------------------------------------------------------------- the check

VISIBLE = ("hidden", "after_due_date", "after_published", "visible")
FORMATS = ("text", "html", "simple_format", "md", "ansi")


def validate(table: Any) -> list[str]:
    """What is wrong with a results.json by Gradescope's documentation, one line each.

    Unknown keys are faults: Gradescope ignores them in silence. So are a score that is not the sum
    of the tests, and more points than a test has, although Gradescope would accept both.
    """
    if not isinstance(table, dict):
        return [f"wants a table, got {_kind(table)}"]
    try:
        json.dumps(table, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return [f"is no JSON: {error}"]
    found = _against("", table, {
        "score": _amount, "execution_time": _amount, "output": _text, "output_format": FORMATS,
        "test_output_format": FORMATS, "test_name_format": FORMATS, "visibility": VISIBLE,
        "stdout_visibility": VISIBLE, "extra_data": _table, "tests": _list, "leaderboard": _list})
    tests = table.get("tests", [])
    if found or not isinstance(tests, list):
        return found
    for i, test in enumerate(tests):
        found += _test_faults(f"tests[{i}]", test)
    for i, line in enumerate(table.get("leaderboard", [])):
        found += _leader_faults(f"leaderboard[{i}]", line)
    if found:
        return found
    numbers = [test["number"] for test in tests if "number" in test]
    found += [f"the number {number} stands there {numbers.count(number)} times"
              for number in sorted({n for n in numbers if numbers.count(n) > 1})]
    scores = [test["score"] for test in tests if "score" in test]
    if "score" not in table and (not tests or len(scores) < len(tests)):
        found.append("there is no score, and not every test has one")
    elif "score" in table and len(scores) == len(tests) > 0 \
            and not math.isclose(sum(scores), table["score"]):
        found.append(f"the score is {table['score']}, the tests add up to {sum(scores)}")
    return found


def _test_faults(where: str, test: Any) -> list[str]:
    if not isinstance(test, dict):
        return [f"{where}: wants a table, got {_kind(test)}"]
    found = _against(where, test, {
        "score": _amount, "max_score": _amount, "status": ("passed", "failed"), "name": _text,
        "name_format": FORMATS, "number": _text, "output": _text, "output_format": FORMATS,
        "tags": _texts, "visibility": VISIBLE, "extra_data": _table})
    if not found and test.get("score", 0) > test.get("max_score", math.inf):
        found.append(f"{where}: score {test['score']} of {test['max_score']}")
    if not found and test.get("status") == "failed" and "max_score" in test \
            and test.get("score", 0) >= test["max_score"] > 0:
        found.append(f"{where}: failed with all of its points")
    return found


def _leader_faults(where: str, line: Any) -> list[str]:
    if not isinstance(line, dict):
        return [f"{where}: wants a table, got {_kind(line)}"]
    found = _against(where, line, {"name": _text, "value": _value, "order": ("asc", "desc")})
    return found + [f"{where}: {key} is missing" for key in ("name", "value") if key not in line]


def _against(where: str, table: Mapping[str, Any], rules: Mapping[str, Any]) -> list[str]:
    """The faults of the values of a table: a rule is a tuple of words, or says what it wants."""
    at = f"{where}: " if where else ""
    found = []
    for key, value in table.items():
        rule = rules.get(key)
        if rule is None:
            found.append(f"{at}{key!r} is no documented key")
        elif isinstance(rule, tuple):
            if not isinstance(value, str) or value not in rule:
                found.append(f"{at}{key} is {value!r}, want one of {', '.join(rule)}")
        elif rule(value):
            found.append(f"{at}{key}: wants {rule(value)}, got {_kind(value)}")
    return found


def _kind(value: Any) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _amount(value: Any) -> str:
    good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return "" if good else "a number that is not negative"


def _text(value: Any) -> str:
    return "" if isinstance(value, str) else "a text"


def _texts(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return "" if good else "a list of texts"


def _table(value: Any) -> str:
    return "" if isinstance(value, dict) else "a table"


def _list(value: Any) -> str:
    return "" if isinstance(value, list) else "a list"


def _value(value: Any) -> str:
    good = isinstance(value, int | float | str) and not isinstance(value, bool)
    return "" if good else "a number or a text"


# ----------------------------------------------------------------------------------- the zip file


def library() -> dict[str, bytes]:
    """The Python and TOML files of the package ``minigrad``, which the grader is a part of."""
    root = Path(__file__).resolve().parents[3]
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted((root / "minigrad").rglob("*"))
            if path.suffix in (".py", ".toml") and path.is_file()}


def autograder_zip(
    homework: Homework, starter: Tree, key: bytes, library: Mapping[str, bytes], *,
    isolation: str = "auto", patience: float = 1.0,
) -> dict[str, bytes]:
    """The files for Gradescope; ``workplace.zipped(files, EXECUTABLE)`` makes the zip of them.

    Parameters
    ----------
    homework : Homework
        Which one is graded.
    starter : dict
        The release that students began with.
    key : bytes
        The course key. Whoever has the zip file has it, and the solution: keep the file secret.
    library : dict
        What ``library()`` gives.
    isolation : str
        "auto", or the name of a mode; measured again for every submission.
    patience : float
        By which limits of time are multiplied. Gradescope ends a grading after 10 minutes, unless
        the assignment says otherwise.
    """
    first = untouched(homework, "", "")
    failed = dataclasses.replace(first, state=State.FAILED)
    settings = {"homework": homework.name, "isolation": isolation, "patience": patience}
    versions = [f"{name}=={importlib.metadata.version(name)}\n" for name in NEEDED]
    return {
        "setup.sh": SETUP.encode(),
        "run_autograder": RUN.encode(),
        "requirements.txt": "".join(versions).encode(),
        "settings.json": (json.dumps(settings, indent=1) + "\n").encode(),
        "waiting.json": _bytes(first),
        "failed.json": _bytes(failed),
        "release.zip": zipped(starter),
        "course.key": key,
        **{f"library/{name}": content for name, content in library.items()},
    }


def _bytes(result: Result) -> bytes:
    """A result as the content of results.json."""
    return (json.dumps(to_gradescope(result), indent=1, allow_nan=False) + "\n").encode()


# ---------------------------------------------------------------------------- what runs over there


def submitted(folder: Path) -> Path:
    """What was handed in: the zip file if it is alone in the folder, else the folder."""
    try:
        entries = [path for path in sorted(folder.iterdir())
                   if not path.name.startswith((".", "__MACOSX"))]
    except OSError:
        return folder  # reading it will say what is wrong
    alone = len(entries) == 1 and entries[0].suffix.lower() == ".zip"
    return entries[0] if alone and entries[0].is_file() and not entries[0].is_symlink() else folder


def was_late(path: Path) -> bool | None:
    """Whether Gradescope's metadata say that it came after the deadline; None where they do not."""
    try:
        table = json.loads(path.read_bytes())
        due = datetime.fromisoformat(table["assignment"]["due_date"])
        return datetime.fromisoformat(table["created_at"]) > due
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def graded(root: Path, grade: Callable[[Path, Mapping[str, Any], Callable[[Result], None]], Result]
           ) -> int:
    """Grade what lies in ``root/submission`` and keep ``root/results/results.json`` up to date.

    Parameters
    ----------
    root : Path
        /autograder, as Gradescope lays it out.
    grade : callable
        Gets the submission, the settings of the zip file with "homework", "starter" and "key", and
        a function to be called with the Result whenever there is a new one; returns the last.

    Returns
    -------
    int
        The exit status: 1 if the grader failed, which results.json then says too.
    """
    late = was_late(root / "submission_metadata.json")
    last = Result("", "submission", "")

    def put(result: Result) -> None:
        nonlocal last
        last = dataclasses.replace(result, late=late)
        write(root / "results" / "results.json", _bytes(last))

    try:
        settings = json.loads((root / "source" / "settings.json").read_bytes())
        hw = homework(settings["homework"])
        last = untouched(hw, "submission", "")
        settings |= {"homework": hw, "starter": unpack(root / "source" / "release.zip"),
                     "key": (root / "source" / "course.key").read_bytes()}
        put(grade(submitted(root / "submission"), settings, put))
    except Exception:  # whatever it is, the student is told, and the staff see where it was
        traceback.print_exc()
        put(dataclasses.replace(last, state=State.FAILED))
    return 1 if last.state == State.FAILED else 0


def main() -> int:
    """``python -m minigrad.homework.grading.gradescope``, as ``run_autograder`` calls it."""
    return graded(Path(os.environ.get("AUTOGRADER", AT)), _grade)


def _grade(path: Path, settings: Mapping[str, Any], put: Callable[[Result], None]) -> Result:
    setting = Setting(settings["homework"], settings["starter"], settings["key"],
                      choose(settings["isolation"]), settings["patience"])
    return grade_one(path, setting, put)


if __name__ == "__main__":
    sys.exit(main())
