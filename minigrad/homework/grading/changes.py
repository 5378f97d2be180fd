"""What differs between two gradings of a class: who, which check, how it ended before and after.

How long things took does not count: two gradings of the same submissions with the same course key
are the same. A submission is found again by its name; one that is gone and one that is new belong
together if they are the only ones of the same student.

Leaves out: reading the folders (``results.read_results``).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy

from .results import CheckResult, Result, State, plain

__all__ = ["differences", "pairs", "same", "without_times"]

SETTINGS = {"homework": "the homework", "cases": "the course key", "isolation": "the isolation"}


def without_times(result: Result) -> Result:
    """The same result, as if everything had taken no time."""
    questions = [dataclasses.replace(question, seconds=0.0) for question in result.questions]
    return dataclasses.replace(result, seconds=0.0, questions=questions)


def same(old: Sequence[Result], new: Sequence[Result]) -> bool:
    """Whether two gradings are equal in all but times and order."""
    return sorted(without_times(one).to_json() for one in old) == sorted(
        without_times(one).to_json() for one in new)


def pairs(old: Sequence[Result], new: Sequence[Result]
          ) -> tuple[list[tuple[Result, Result]], list[Result], list[Result]]:
    """Who belongs together, who is gone and who is new, each in the order of the names."""
    before, after = _by_name(old), _by_name(new)
    both = [(before[name], after[name]) for name in before if name in after]
    gone = [before[name] for name in before if name not in after]
    come = [after[name] for name in after if name not in before]
    for student in _alone(gone) & _alone(come):
        one = next(result for result in gone if result.student == student)
        other = next(result for result in come if result.student == student)
        both.append((one, other))
        gone.remove(one)
        come.remove(other)
    return sorted(both, key=lambda pair: pair[1].submission), gone, come


def _by_name(results: Iterable[Result]) -> dict[tuple[str, int], Result]:
    """Results by name; the second one of the same name (odd characters are alike) by a number."""
    seen: Counter[str] = Counter()
    found = {}
    for result in sorted(results, key=lambda r: (r.submission, r.digest)):
        found[result.submission, seen[result.submission]] = result
        seen[result.submission] += 1
    return found


def _alone(results: list[Result]) -> set[str]:
    """Students with just one of these results."""
    counts = Counter(result.student for result in results)
    return {student for student, count in counts.items() if student and count == 1}


def differences(old: Sequence[Result], new: Sequence[Result]) -> list[str]:
    """What changed, as lines to print; none for two gradings that are the same.

    First how many; then each submission with another score, state or outcome, its checks below it
    with points and outcome before and after; then who is new or gone. Texts of students are without
    control characters.
    """
    both, gone, come = pairs(old, new)
    changed = [(one, other, lines) for one, other in both if (lines := _lines(one, other))]
    settings = _settings(both)
    if not (changed or gone or come or settings):
        return []
    found = [f"{_count(len(old), 'submission')} before, {len(new)} after: {len(come)} new, "
             f"{len(gone)} gone, {len(changed)} changed, {len(both) - len(changed)} the same"]
    found += _means(both) + settings
    for one, other, lines in changed:
        found += [f"{_name(other)}: {_scored(one)} -> {_scored(other)}", *lines]
    found += [f"new   {_name(result)}: {_scored(result)}" for result in come]
    return found + [f"gone  {_name(result)}: {_scored(result)}" for result in gone]


def _means(both: list[tuple[Result, Result]]) -> list[str]:
    """How the mean of those moved that were graded both times."""
    graded = [(one.score, other.score) for one, other in both
              if one.state == other.state == State.DONE]
    if not graded:
        return []
    before, after = numpy.mean(graded, axis=0)
    up, down = sum(a < b for a, b in graded), sum(a > b for a, b in graded)
    return [f"mean of the {len(graded)} graded both times: {before:.1f} -> {after:.1f}; "
            f"{up} higher, {down} lower"]


def _settings(both: list[tuple[Result, Result]]) -> list[str]:
    """What was set otherwise: with another course key other hidden inputs were drawn."""
    found = []
    for key, words in SETTINGS.items():
        values = {(getattr(one, key), getattr(other, key)) for one, other in both}
        found += [f"{words} is another one: {_word(a)} -> {_word(b)}"
                  for a, b in sorted(values) if a != b]
    return found


def _lines(old: Result, new: Result) -> list[str]:
    """What changed in one submission, indented; what was set for all does not count."""
    old = dataclasses.replace(old, **{key: getattr(new, key) for key in SETTINGS})
    if without_times(old) == without_times(new):
        return []
    found = [f"{name}: {_word(getattr(old, name))} -> {_word(getattr(new, name))}"
             for name in ("submission", "student", "state", "late", "reason")
             if getattr(old, name) != getattr(new, name)]
    if old.digest != new.digest:
        found.append("the code is another one")
    found += [f"note gone: {plain(note)}" for note in old.notes if note not in new.notes]
    found += [f"note new: {plain(note)}" for note in new.notes if note not in old.notes]
    before, after = ({q.id: f"{_word(q.state)} ({_word(q.reason)})" for q in r.questions}
                     for r in (old, new))
    found += [f"{plain(id)}: {before[id]} -> {after[id]}"
              for id in before if id in after and before[id] != after[id]]
    found += _check_lines(_checks(old), _checks(new))
    return ["    " + line for line in found or ["titles, or the order of something"]]


def _check_lines(before: dict[str, CheckResult], after: dict[str, CheckResult]) -> list[str]:
    found = []
    for id in dict.fromkeys([*before, *after]):
        old, new = before.get(id), after.get(id)
        if old is None or new is None:
            found.append(f"{plain(id)}: {'gone' if new is None else 'new'}")
        elif old != new:
            found.append(f"{plain(id)}: {_ended(old)} -> {_ended(new)}{_why(old, new)}")
    return found


def _word(value: str | bool | None) -> str:
    return {None: "not known", True: "yes", False: "no", "": "none"}.get(value) or plain(value)


def _checks(result: Result) -> dict[str, CheckResult]:
    return {check.id: check for question in result.questions for check in question.checks}


def _ended(check: CheckResult) -> str:
    return f"{check.outcome or 'not run'} {check.score}/{check.points}"


def _why(old: CheckResult, new: CheckResult) -> str:
    """What else differs where points and outcome are the same."""
    if _ended(old) != _ended(new):
        return ""
    found = [words for words, differs in (
        ("hidden", old.hidden != new.hidden), ("blank", old.blank != new.blank),
        ("message", old.message != new.message)) if differs]
    return f" (another {' and '.join(found)})"


def _name(result: Result) -> str:
    name = plain(result.submission)
    return f"{name} ({plain(result.student)})" if result.student else name


def _scored(result: Result) -> str:
    return str(result.score) if result.state == State.DONE else f"{result.score} ({result.state})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
