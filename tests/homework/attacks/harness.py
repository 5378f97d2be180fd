"""Makes submissions of the attacks in this folder, and the homework that they are graded on.

Every other file here is a kind of attack:

    MODES       the modes of isolation that must contain it
    HANDED_IN   variants by title, each a dictionary of

        module      code at the end of minigrad/ops/elementwise.py, outside of any function
        body        code in both blanks that are graded; ``arguments`` are the arrays that the
                    operation is given, ``solve()`` is the right answer
        bodies      code for single blanks, by name
        files       other files by path, added or put in place of those of the homework
        zip         a function from the files to the bytes that are handed in, or a folder's maker
        name        of what is handed in
        honest      the points that the solved part earns: none, if nothing is said
        outcomes    of checks, of which no other may come; one of them has to come
        seen        a regular expression that a message holds: proof that the attack did run
        unseen      one that nothing written down may hold
        seconds     that the grading may take
        timeout_s, start_s, limit_s   shorter limits, where an attack loops
        checks      of homework 1, in place of the usual two
        dangerous   is not tried without walls, as it could harm the machine

Leaves out: running them (``test_attacks``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.homework.release import META
from minigrad.homework.source import with_body
from minigrad.homework.spec import Homework, homework
from minigrad.homework.workplace import zipped

__all__ = ["FILE", "Attack", "attacks", "cut_down", "handed_in"]

HERE = Path(__file__).resolve().parent
FILE = "minigrad/ops/elementwise.py"
CHECKS = ("hw1.Q1.div", "hw1.Q1.power")
SOLVED = {
    "EWiseDiv.compute": "arguments, solve = (a, b), lambda: a / b",
    "PowerScalar.compute": "arguments, solve = (a,), lambda: a ** self.scalar",
}
KEYS = {"module", "body", "bodies", "files", "zip", "name", "honest", "outcomes", "seen", "unseen",
        "seconds", "timeout_s", "start_s", "limit_s", "dangerous", "checks"}


@dataclass(frozen=True)
class Attack:
    """One variant of one kind of attack."""

    name: str
    modes: tuple[str, ...]
    told: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The file that it is from."""
        return self.name.partition(":")[0]

    @property
    def honest(self) -> int:
        """The points that it may get."""
        return self.told.get("honest", 0)


def attacks() -> Iterator[Attack]:
    """All attacks, by file and title.

    Raises
    ------
    ValueError
        For a word in a variant that means nothing.
    """
    for path in sorted(HERE.glob("*.py")):
        if path.stem in ("harness", "tries"):
            continue
        spec = importlib.util.spec_from_file_location(f"attack_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for title, told in module.HANDED_IN.items():
            if set(told) - KEYS:
                raise ValueError(f"{path.name}, {title}: {sorted(set(told) - KEYS)}")
            yield Attack(f"{path.stem}: {title}", module.MODES, told)


def cut_down(timeout_s: float = 10.0, listed: Collection[str] = CHECKS) -> Homework:
    """Homework 1 with two checks of its first question, which have 4 points, or others."""
    full = homework("hw1")
    questions = []
    for question in full.questions:
        checks = tuple(dataclasses.replace(check, timeout_s=timeout_s, hidden_cases=2)
                       for check in question.checks if check.id in listed)
        questions += [dataclasses.replace(question, checks=checks)] if checks else []
    return dataclasses.replace(full, questions=tuple(questions))


def handed_in(told: Mapping[str, Any], starter: Mapping[str, bytes], folder: Path,
              known: Mapping[str, Any]) -> Path:
    """Write what is handed in into ``folder``; ``known`` is what the attack is told for nothing."""
    names = {blank.file for blank in homework("hw1").blanks}
    files = {name: starter[name] for name in (*sorted(names), META)}
    text = files[FILE].decode()
    bodies = dict.fromkeys(SOLVED, told["body"]) if "body" in told else told.get("bodies", {})
    for name, body in bodies.items():
        text = with_body(text, name, f"{SOLVED[name]}\n{textwrap.dedent(body).strip()}\n",
                         f"hw1.Q1.{name}")
    files[FILE] = (text + "\n\n" + textwrap.dedent(told.get("module", "")).strip() + "\n").encode()
    constants = "".join(f"{name} = {value!r}\n" for name, value in known.items())
    head, _, rest = (HERE / "tries.py").read_text("utf-8").partition("LIBRARY = ")
    files["minigrad/tries.py"] = f"{head}{constants}LIBRARY = {rest}".encode()
    for name, content in told.get("files", {}).items():
        files[name] = textwrap.dedent(content).strip().encode() + b"\n" \
            if isinstance(content, str) else content
    path = folder / told.get("name", "attack.zip")
    path.write_bytes(told["zip"](files) if "zip" in told else zipped(files))
    return path


def digest_of(root: Path) -> str:
    """SHA-256 of a folder: names, kinds, rights, times and contents."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        kind = path.lstat()
        digest.update(f"{path}\0{kind.st_mode}\0{kind.st_uid}\0{kind.st_mtime_ns}\0".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
