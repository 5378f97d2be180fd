"""What the homeworks are: questions, blanks and checks, as ``hwN.toml`` lists them.

A question has blanks (functions of the library, by file and qualified name) and checks (by the id
that they have in ``checks/hwN.py``). Points belong to checks; those of a homework add up to 100.

Leaves out: the programs of the checks, and where a blank stands in a file (``source``).
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["Blank", "CheckSpec", "Homework", "Question", "SpecError", "all_blanks", "homework",
           "homeworks", "parse"]

HERE = Path(__file__).resolve().parent
HINTS = 3
POINTS = 100
LIBRARY_FILE = re.compile(r"(minigrad|gans)(/\w+)+\.py")


class SpecError(ValueError):
    """A homework's TOML file is wrong, or does not fit the library."""


@dataclass(frozen=True)
class Blank:
    """A function whose body students write.

    Attributes
    ----------
    id : str
        Question and name: ``hw1.Q2.MatMul.gradient``.
    file, name : str
        Path below the root, and the qualified name in that file.
    hints : tuple of str
        Three steps, from a question to nearly the answer.
    given : tuple of str
        Helpers and imports of the file that only the solution uses; they stay for the student.
    """

    id: str
    file: str
    name: str
    hints: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The id of its question."""
        return ".".join(self.id.split(".")[:2])

    @property
    def homework(self) -> str:
        """The name of its homework."""
        return self.id.split(".")[0]


@dataclass(frozen=True)
class CheckSpec:
    """What the TOML file says about a check; ``blanks`` are full ids, the first the main one."""

    id: str
    points: int
    blanks: tuple[str, ...]
    visible: bool = True
    hidden_cases: int = 6
    timeout_s: float = 5.0

    @property
    def question(self) -> str:
        """The id of its question."""
        return ".".join(self.id.split(".")[:2])


@dataclass(frozen=True)
class Question:
    """A part of a homework that can be checked by itself, once those in ``needs`` are done."""

    id: str
    title: str
    needs: tuple[str, ...]
    blanks: tuple[Blank, ...]
    checks: tuple[CheckSpec, ...]

    @property
    def points(self) -> int:
        """The sum of its checks' points."""
        return sum(check.points for check in self.checks)


@dataclass(frozen=True)
class Homework:
    """One module: 100 points."""

    name: str
    title: str
    questions: tuple[Question, ...]

    @property
    def blanks(self) -> tuple[Blank, ...]:
        """The blanks of all questions, in order."""
        return tuple(blank for question in self.questions for blank in question.blanks)

    @property
    def checks(self) -> tuple[CheckSpec, ...]:
        """The checks of all questions, in order."""
        return tuple(check for question in self.questions for check in question.checks)

    @property
    def number(self) -> int:
        """4 for hw4."""
        return int(self.name.removeprefix("hw"))


@functools.cache
def homeworks() -> tuple[Homework, ...]:
    """All homeworks, by number.

    Raises
    ------
    SpecError
        If one is wrong, or two have the same function as a blank.
    """
    files = sorted((path for path in HERE.glob("hw*.toml") if path.stem[2:].isdecimal()),
                   key=lambda path: int(path.stem[2:]))
    found = tuple(parse(path.stem, path.read_text(encoding="utf-8")) for path in files)
    _once("all homeworks", [f"{b.name} in {b.file}" for hw in found for b in hw.blanks])
    return found


@functools.cache
def all_blanks() -> Mapping[str, Blank]:
    """The blanks of all homeworks, by their ids."""
    return MappingProxyType({blank.id: blank for hw in homeworks() for blank in hw.blanks})


def homework(name: str) -> Homework:
    """The homework of that name; SpecError for a name that there is none of."""
    for found in homeworks():
        if found.name == name:
            return found
    raise SpecError(f"there is no homework {name!r}; there are "
                    f"{', '.join(hw.name for hw in homeworks())}")


def parse(name: str, text: str) -> Homework:
    """A homework from its TOML text.

    Raises
    ------
    SpecError
        Naming the entry, for a missing or unknown key, a value of a wrong type, an id that does not
        fit, a file that is not of the library, a wrong number of hints, a check of a blank that
        there is none of, a blank without a check, anything that stands there twice, points that do
        not add up to 100, or a need that does not come before.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{name}.toml: {error}") from error
    _keys(name, table, {"title": str, "question": list})
    questions = []
    for i, entry in enumerate(table["question"], 1):
        question = _question(name, entry)
        if question.id != f"{name}.Q{i}":
            raise SpecError(f"{question.id}: question {i} is to have the id {name}.Q{i}")
        earlier = {q.id for q in questions}
        for need in question.needs:
            if need not in earlier:
                raise SpecError(f"{question.id}: needs {need}, which does not come before it")
        questions.append(question)
    found = Homework(name, table["title"], tuple(questions))
    points = sum(question.points for question in questions)
    if points != POINTS:
        raise SpecError(f"{name}: the checks have {points} points in all, want {POINTS}")
    _once(f"{name}, blanks", [b.id for b in found.blanks])
    _once(f"{name}, blanks", [f"{b.name} in {b.file}" for b in found.blanks])
    _once(f"{name}, checks", [c.id for c in found.checks])
    unchecked = {b.id for b in found.blanks} - {b for c in found.checks for b in c.blanks}
    if unchecked:
        raise SpecError(f"{name}: no check is about {min(unchecked)}")
    return found


def _question(name: str, entry: Mapping[str, Any]) -> Question:
    where = _id(entry, f"a question of {name}")
    _keys(where, entry, {"id": str, "title": str, "needs": [str], "blank": list, "check": list},
          {"needs"})
    blanks = tuple(_blanks(where, entry["blank"]))
    full = {blank.id.removeprefix(where + "."): blank.id for blank in blanks}
    checks = []
    for check in entry["check"]:
        at = _id(check, f"a check of {where}")
        _keys(at, check, {"id": str, "points": int, "blanks": [str], "visible": bool,
                          "hidden_cases": int, "timeout_s": float},
              {"visible", "hidden_cases", "timeout_s"})
        if not at.startswith(where + ".") or check["points"] < 1:
            raise SpecError(f"{at}: the id begins with {where}, and points are at least 1")
        if check.get("hidden_cases", 1) < 1 or not 0 < check.get("timeout_s", 1) < float("inf"):
            raise SpecError(f"{at}: hidden_cases and timeout_s are to be positive")
        unknown = set(check["blanks"]) - set(full)
        if unknown or not check["blanks"]:
            raise SpecError(f"{at}: blanks {sorted(unknown) or check['blanks']} are not among "
                            f"those of {where}: {sorted(full)}")
        _once(f"{at}, blanks", check["blanks"])
        about = tuple(full[blank] for blank in check["blanks"])
        checks.append(CheckSpec(**{**check, "blanks": about}))
    return Question(where, entry["title"], tuple(entry.get("needs", ())), blanks, tuple(checks))


def _blanks(question: str, entries: list[Mapping[str, Any]]) -> Iterator[Blank]:
    for entry in entries:
        at = _id(entry, f"a blank of {question}")
        _keys(at, entry, {"id": str, "file": str, "name": str, "hints": [str], "given": [str]},
              {"given"})
        if at != f"{question}.{entry['name']}":
            raise SpecError(f"{at}: the id of a blank is its question and its name, "
                            f"{question}.{entry['name']}")
        if not LIBRARY_FILE.fullmatch(entry["file"]) or ".." in entry["file"]:
            raise SpecError(f"{at}: {entry['file']!r} is no Python file of minigrad or gans")
        if len(entry["hints"]) != HINTS or not all(hint.strip() for hint in entry["hints"]):
            raise SpecError(f"{at}: wants {HINTS} hints that say something, got {entry['hints']}")
        yield Blank(at, entry["file"], entry["name"], tuple(entry["hints"]),
                    tuple(entry.get("given", ())))


def _id(entry: Any, otherwise: str) -> str:
    """What an entry is called in messages: its id, if it has a proper one."""
    if not isinstance(entry, Mapping):
        raise SpecError(f"{otherwise}: wants a table, got {entry!r}")
    found = entry.get("id", otherwise)
    if not isinstance(found, str):
        raise SpecError(f"{otherwise}: the id is to be text, got {found!r}")
    return found


def _keys(where: str, entry: Mapping[str, Any], types: Mapping[str, Any],
          optional: frozenset[str] | set[str] = frozenset()) -> None:
    """SpecError unless an entry has these keys, with values of these types."""
    missing = sorted(set(types) - set(optional) - set(entry))
    unknown = sorted(set(entry) - set(types))
    if missing or unknown:
        raise SpecError(f"{where}: missing keys {missing}, unknown keys {unknown}")
    for key, value in entry.items():
        wanted = types[key]
        if isinstance(wanted, list):  # of such elements
            fits = isinstance(value, list) and all(type(one) is wanted[0] for one in value)
        else:
            fits = type(value) is wanted or (wanted is float and type(value) is int)
        if not fits:
            words = f"a list of {wanted[0].__name__}" if isinstance(wanted, list) \
                else wanted.__name__
            raise SpecError(f"{where}: {key} is to be {words}, got {value!r}")


def _once(where: str, ids: list[str]) -> None:
    twice = {one for one in ids if ids.count(one) > 1}
    if twice:
        raise SpecError(f"{where}: {min(twice)} stands there twice")
