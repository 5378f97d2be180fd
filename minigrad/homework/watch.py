"""Checks again whenever a file is saved, one question at a time.

It never jumps ahead: when a question is done it says so and waits, until a blank of another one is
edited. When all are done it says so and ends.

Leaves out: notification by the system; looking at times twice a second costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .spec import Homework, Question
from .workplace import Workplace

__all__ = ["changes", "watch"]

PAUSE_S = 0.5


def stamps(root: Path) -> dict[Path, tuple[int, int]]:
    """Time and size of every Python file of the two packages."""
    found = {}
    for package in ("minigrad", "gans"):
        for path in (root / package).rglob("*.py"):
            try:
                status = path.stat()
            except OSError:
                continue  # an editor is just replacing it, or it is a link to nowhere
            found[path] = (status.st_mtime_ns, status.st_size)
    return found


def changes(root: Path, pause: float = PAUSE_S) -> Iterator[None]:
    """Yields at once, and then whenever a file was saved since it was asked last."""
    before = stamps(root)
    yield
    while True:
        time.sleep(pause)
        now = stamps(root)
        if now != before:
            before = now
            yield


def watch(
    place: Workplace, hw: Homework, questions: Sequence[Question],
    look: Callable[[Sequence[Question]], bool], say: Callable[[str], None],
    events: Iterator[None] | None = None,
) -> None:
    """Call ``look`` with the questions to check after each event, until all are done.

    ``look`` tells whether they passed. ``events`` are ``changes`` of the folder by default.
    """
    events = changes(place.root) if events is None else events
    next(events, None)  # from here on nothing that is saved is missed
    bodies = _bodies(place, questions, {})
    done: set[str] = set()
    say(f"watching {hw.name}; save a file to check it, Ctrl-C to stop")
    current = questions[0]
    for question in questions:  # begin where work is left
        if not look([question]):
            current = question
            break
        done.add(question.id)
    while len(done) < len(questions):
        if next(events, StopIteration) is StopIteration:
            return
        now = _bodies(place, questions, bodies)
        edited = [q for q in questions if any(now[b.id] != bodies[b.id] for b in q.blanks)]
        bodies = now
        for question in edited or [current]:
            current = question
            if look([question]):
                done.add(question.id)
            else:
                done.discard(question.id)
        _say_next(questions, current, done, say)
    say(f"all questions that you watched are done ({', '.join(q.id for q in questions)}); "
        "hidden checks use other inputs")


def _bodies(place: Workplace, questions: Sequence[Question], before: Mapping[str, str]
            ) -> dict[str, str]:
    """What stands in each blank; where that cannot be read, what stood there before."""
    states = [place.state(blank) for question in questions for blank in question.blanks]
    return {s.blank.id: before.get(s.blank.id, "") if s.problem and not s.body else s.body
            for s in states}


def _say_next(questions: Sequence[Question], current: Question, done: set[str],
              say: Callable[[str], None]) -> None:
    waiting = [q for q in questions if q.id not in done]
    if current.id in done and waiting:
        say(f"{current.id} is done. When you edit {waiting[0].id} ({waiting[0].title}), that is "
            "checked")
