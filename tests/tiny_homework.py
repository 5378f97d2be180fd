"""A library of two files with five blanks in two homeworks, to break the homework system on."""

import json
from pathlib import Path

import pytest

from minigrad.homework import carry, cli, doctor, release, spec, workplace
from minigrad.homework.release import Tree
from minigrad.homework.source import body_of, decode, with_body
from minigrad.homework.spec import Blank, Homework

ARITH = '''"""Arithmetic for the tests of the homework system."""

from __future__ import annotations

import math
import operator as op
from collections import abc

__all__ = ["Scale", "double", "triple"]

FACTOR = 2.0


def _times(a: float, b: float) -> float:
    """Used by solutions and by ``quadruple``."""
    return op.mul(a, b)


def _hidden_helper(a: float) -> float:
    """Only a solution uses it; it is given."""
    return a + a


class Scale:
    """A layer."""

    rate: float = 1.0

    def forward(self, x: float) -> float:
        """x times the factor."""
        scaled_by_rate = _times(x, FACTOR * self.rate)
        return scaled_by_rate + 0.0

    def backward(
        self, out_grad: float, check: abc.Callable[[float], bool] = lambda g: True,
    ) -> float:
        factor_of_gradient = FACTOR * self.rate
        return out_grad * factor_of_gradient


def double(x: float) -> float:
    """2 x."""
    # written with the helper
    return _hidden_helper(x) if math.isfinite(x) else x


def quadruple(x: float) -> float:
    """4 x."""
    return _times(x, 4.0)


def triple(x: float) -> float:
    """3 x; comes in the next homework."""
    return sum([x] * 3, start=0.0)
'''

PLAYERS = '''"""Players."""

from minigrad.arith import quadruple


def play(x):
    """Plays."""
    value_of_game = quadruple(x) - 1.5
    return value_of_game


def other():
    """Is no blank."""
    return 7
'''

HW8 = '''
title = "First"
[[question]]
id = "hw8.Q1"
title = "Scale"
  [[question.blank]]
  id = "hw8.Q1.Scale.forward"
  file = "minigrad/arith.py"
  name = "Scale.forward"
  hints = ["one", "two", "three"]
  [[question.blank]]
  id = "hw8.Q1.Scale.backward"
  file = "minigrad/arith.py"
  name = "Scale.backward"
  hints = ["one", "two", "three"]
  [[question.check]]
  id = "hw8.Q1.both"
  points = 60
  blanks = ["Scale.forward", "Scale.backward"]
[[question]]
id = "hw8.Q2"
title = "Double"
needs = ["hw8.Q1"]
  [[question.blank]]
  id = "hw8.Q2.double"
  file = "minigrad/arith.py"
  name = "double"
  given = ["_hidden_helper", "math"]
  hints = ["one", "two", "three"]
  [[question.check]]
  id = "hw8.Q2.values"
  points = 40
  blanks = ["double"]
  hidden_cases = 3
  timeout_s = 2
'''

HW9 = '''
title = "Second"
[[question]]
id = "hw9.Q1"
title = "Play"
  [[question.blank]]
  id = "hw9.Q1.play"
  file = "gans/players.py"
  name = "play"
  given = ["quadruple"]
  hints = ["one", "two", "three"]
  [[question.blank]]
  id = "hw9.Q1.triple"
  file = "minigrad/arith.py"
  name = "triple"
  hints = ["one", "two", "three"]
  [[question.check]]
  id = "hw9.Q1.all"
  points = 100
  blanks = ["play", "triple"]
'''

NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"who": "ran it"}, "cells": [
    {"cell_type": "markdown", "metadata": {}, "id": "a", "source": ["A story.\n", "More."]},
    {"cell_type": "code", "metadata": {"tags": ["x"]}, "id": "b", "source": "1 + 1",
     "execution_count": 3, "outputs": [{"output_type": "stream", "text": "somebody"}]},
]}

EIGHT, NINE = spec.parse("hw8", HW8), spec.parse("hw9", HW9)
BOTH = (EIGHT, NINE)


def make_library(root: Path) -> Path:
    """The clean library, with notebooks and tests, in a folder."""
    files = {"minigrad/__init__.py": '"""Tiny."""\n', "minigrad/arith.py": ARITH,
             "minigrad/homework/secret.py": "SECRET = 1\n", "minigrad/data/table.csv": "1,2\n",
             "gans/__init__.py": "", "gans/players.py": PLAYERS, "setup.py": ""}
    for name in ("hw8", "hw9"):
        files[f"notebooks/{name}_story.ipynb"] = json.dumps(NOTEBOOK)
        files[f"tests/{name}/test_{name}.py"] = "def test_one():\n    assert True\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny library is the installed one, and hw8 and hw9 are all homeworks there are."""
    root = make_library(tmp_path / "library")

    def homework(name: str) -> Homework:
        for found in BOTH:
            if found.name == name:
                return found
        raise spec.SpecError(f"there is no homework {name!r}")

    for module in (carry, cli, doctor, release, workplace):
        monkeypatch.setattr(module, "homeworks", lambda: BOTH)
        if hasattr(module, "all_blanks"):
            monkeypatch.setattr(module, "all_blanks",
                                lambda: {b.id: b for hw in BOTH for b in hw.blanks})
        if hasattr(module, "homework"):
            monkeypatch.setattr(module, "homework", homework)
    monkeypatch.setattr(workplace, "checkout", lambda: root)
    for module in (doctor, workplace):  # they look for the installed library beside themselves
        monkeypatch.setattr(module, "__file__", str(root / "minigrad" / "homework" / "w.py"))
    return root


def solved(tree: Tree, homework: Homework) -> Tree:
    """A starter with the library's bodies in the blanks of a homework."""
    reference = {"minigrad/arith.py": ARITH, "gans/players.py": PLAYERS}
    tree = dict(tree)
    for blank in homework.blanks:
        tree[blank.file] = written(tree[blank.file], blank,
                                   body_of(reference[blank.file], blank.name).text)
    return tree


def written(content: bytes, blank: Blank, body: str) -> bytes:
    """A file with a body written into a blank."""
    return with_body(decode(content), blank.name, body, blank.id).encode()


def blank(name: str) -> Blank:
    """A blank of the tiny homeworks by its name in the file."""
    return next(b for hw in BOTH for b in hw.blanks if b.name == name)
