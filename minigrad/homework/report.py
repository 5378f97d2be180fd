"""Messages for students: what was seen, where, why that may be, and how to see it again.

No message has more than 12 lines. A message names the check, the blank, file and line, the element
with both values, the likely cause, the seed and the command that runs the check again.

Leaves out: colours, and any character that a terminal could take for a command.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from .check import Outcome
from .runner import PUBLIC_CASES, Verdict
from .source import SourceError, decode, find
from .spec import Blank, Homework, Question

__all__ = ["LINES", "WIDTH", "message", "place_of", "printable", "score", "table"]

LINES, WIDTH = 12, 100


def printable(text: str) -> str:
    """``text`` without control characters, on one line."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def place_of(tree: Path, blank: Blank) -> str:
    """``file:line`` of a blank in a tree; the file alone where it cannot be found."""
    try:
        return f"{blank.file}:{find(decode((tree / blank.file).read_bytes()), blank.name).lineno}"
    except (OSError, SourceError):
        return blank.file


def message(verdict: Verdict, tree: Path, blanks: Mapping[str, Blank]) -> str:
    """What to tell a student about a check that did not pass: at most 12 lines."""
    spec = verdict.check
    blank = blanks.get(verdict.blank)
    name = f"{verdict.blank}  {place_of(tree, blank)}" if blank else verdict.blank
    lines = [f"{verdict.outcome.value:8} {spec.id}  ({_points(spec.points)})"]
    if verdict.outcome is Outcome.UNSOLVED:
        lines += [f"  not written yet: {name}", f"  try: minigrad-hw hint {verdict.blank}"]
    elif verdict.outcome is Outcome.BLOCKED:
        lines += [f"  waits for {name}, which is not written yet"]
    else:
        others = [_short(b) for b in spec.blanks if b != verdict.blank]
        if "SyntaxError" in verdict.text or "IndentationError" in verdict.text:
            lines += [f"  in {verdict.file}"]
        else:
            lines += [f"  in {name}" + (f"  (or {', '.join(others[:2])}"
                                        f"{', ...' if len(others) > 2 else ''})" if others else "")]
        lines += _wrapped(printable(verdict.text), 4)
        if verdict.file:
            lines += [_cut(f"  at {verdict.file}:{verdict.line}: {printable(verdict.source)}")]
        if verdict.cause:
            lines += _wrapped("likely cause: " + printable(verdict.cause), 3)
        printed = [printable(line) for line in verdict.printed.splitlines() if line.strip()]
        lines += [_cut(f"  printed: {line}") for line in printed[-2:]]
        lines += [f"  seed {verdict.seed}, case {verdict.case}; again: minigrad-hw check {spec.id}"
                  + (f" --seed {verdict.seed}" if verdict.seed else "")
                  + (f" --cases {verdict.case + 1}" if verdict.case >= PUBLIC_CASES else "")]
    return "\n".join(lines[:LINES])


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[:WIDTH - 4] + " ..."


def _wrapped(text: str, most: int) -> list[str]:
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=True) or [""]
    if len(lines) > most:
        lines = [*lines[:most - 1], lines[most - 1][:WIDTH - 7] + " ..."]
    return ["  " + line for line in lines]


def _short(blank_id: str) -> str:
    return blank_id.split(".", 2)[2]


def _points(points: int) -> str:
    return f"{points} point" + ("s" if points != 1 else "")


def score(verdicts: Sequence[Verdict]) -> int:
    """The points of the checks that passed."""
    return sum(v.check.points for v in verdicts if v.passed)


def table(homework: Homework, verdicts: Sequence[Verdict]) -> str:
    """One line for each question that was checked: points and what the checks came to."""
    lines = []
    width = max(len(question.title) for question in homework.questions)
    for question in homework.questions:
        own = [v for v in verdicts if v.check.question == question.id]
        if own:
            lines.append(_line(question, own, width))
    return "\n".join(lines)


def _line(question: Question, own: Sequence[Verdict], width: int) -> str:
    counts = {outcome: sum(v.outcome is outcome for v in own) for outcome in Outcome}
    words = ", ".join(f"{n} {outcome.value}" for outcome, n in counts.items() if n)
    possible = sum(v.check.points for v in own)
    return f"{question.id}  {score(own):3} of {possible:3}  {question.title:{width}}  {words}"
