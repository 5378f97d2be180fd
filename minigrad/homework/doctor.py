"""Looks for what is odd in the installation and in a student's folder, and says what helps.

Leaves out: repairing anything.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy

from .. import __version__
from .check import Outcome
from .release import Tree, library
from .runner import Runner
from .source import END, SourceError, by_name, decode, parse, same
from .spec import all_blanks, homeworks
from .workplace import Workplace

__all__ = ["changed_outside", "examine"]

OLDEST = (3, 11)


def examine(place: Workplace | None) -> Iterator[tuple[bool, str]]:
    """Findings: whether it is as it should be, and a sentence."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield sys.version_info >= OLDEST, f"Python {version} (3.11 or newer is wanted)"
    yield True, f"minigrad {__version__}, NumPy {numpy.__version__}"
    yield shutil.which("minigrad-hw") is not None, \
        "minigrad-hw is on the path (else: activate the environment, or python -P -m " \
        "minigrad.homework)"
    path = os.environ.get("PYTHONPATH", "")
    yield not path, "PYTHONPATH is not set" if not path else \
        "PYTHONPATH is set: other programs may import your folder instead of the package"
    if place is None:
        return
    name = place.homework.name if place.homework else "the library itself"
    yield True, f"the folder {place.root.name}: {name}"
    yield os.access(place.root, os.W_OK), "the folder can be written" \
        if os.access(place.root, os.W_OK) else "the folder cannot be written: no file is kept in it"
    yield from _files(place)
    yield from _blanks(place)
    yield from _child(place)


def _files(place: Workplace) -> Iterator[tuple[bool, str]]:
    """Files that are missing, do not parse, or were changed outside the blanks."""
    missing = [name for name in _library() if not (place.root / name).is_file()]
    yield not missing, "all files of the library are there" if not missing else \
        f"missing: {', '.join(missing[:5])}; minigrad-hw start {_name(place)} puts them back"
    broken, changed = _compared(place)
    yield not broken, "all files parse" if not broken else "; ".join(broken[:3])
    yield not changed, "nothing was changed outside the blanks" if not changed else \
        f"changed or gone outside the blanks: {', '.join(changed[:5])}; that may not count when " \
        "it is graded"


def _name(place: Workplace) -> str:
    return place.homework.name if place.homework else ""


def _library() -> Tree:
    return library(Path(__file__).resolve().parents[2])


def changed_outside(place: Workplace) -> list[str]:
    """Functions that are no blanks and not the library's any more."""
    return _compared(place)[1]


def _compared(place: Workplace) -> tuple[list[str], list[str]]:
    """Files that do not parse, and functions that were changed outside the blanks."""
    broken, changed = [], []
    blanks = {(b.file, b.name) for b in all_blanks().values()}
    for name, content in _library().items():
        path = place.root / name
        if not name.endswith(".py") or not path.is_file():
            continue
        try:
            found = path.read_bytes()
            if found == content:
                continue
            theirs = by_name(parse(decode(found)))
        except (OSError, SourceError) as error:
            broken.append(f"{name}: {getattr(error, 'strerror', None) or error}")
            continue
        changed += [f"{function} in {name}"
                    for function, nodes in by_name(parse(decode(content))).items()
                    if (name, function) not in blanks
                    and not same(theirs.get(function, ()), nodes)]
    return broken, changed


def _blanks(place: Workplace) -> Iterator[tuple[bool, str]]:
    """Blanks that cannot be found, and files whose marks do not match."""
    if place.homework is None:
        return
    blanks = all_blanks().values()
    lost = [s.problem for s in map(place.state, blanks) if s.problem]
    own = len(place.homework.blanks)
    yield not lost, f"all blanks are found: {own} of {place.homework.name}, " \
        f"{len(blanks) - own} of other homeworks" if not lost else \
        f"{len(lost)} blanks cannot be read: {'; '.join([*dict.fromkeys(lost)][:3])}"
    odd = []
    for name in sorted({blank.file for blank in blanks}):
        try:
            text = decode((place.root / name).read_bytes())
        except (OSError, SourceError):
            continue
        begins = sum(f"SOLUTION {blank.id}\n" in text for blank in blanks if blank.file == name)
        if begins != text.count(END):
            odd.append(name)
    yield not odd, "all marks are in place" if not odd else \
        f"marks are missing in {', '.join(odd)} (the tool finds the functions by their names)"


def _child(place: Workplace) -> Iterator[tuple[bool, str]]:
    """Whether a check gets an answer at all."""
    hw = place.homework or homeworks()[0]
    with Runner(place.root, hw) as runner:
        verdict = runner.run(hw.checks[0])
    works = verdict.outcome in (Outcome.PASS, Outcome.UNSOLVED, Outcome.BLOCKED, Outcome.WRONG,
                                Outcome.SHAPE, Outcome.DTYPE)
    yield works, f"the first check answers: {verdict.outcome.value} {verdict.text}"[:200]
