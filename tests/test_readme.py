"""What README and docs tell a reader to type: Python blocks run, command lines are understood.

A ```python block is executed, blocks of one page in one namespace, in an empty folder. A ```py
block is only shown (PyTorch code to compare with). A ```bash block has to be valid bash, and its
`gans` and `minigrad` commands are checked against the options that these programs print.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from documents import Block, blocks, commands, documents
from syntax import ROOT

import gans.__main__
import minigrad.__main__
import minigrad.homework.instructor
from gans.figures import FIGURES
from gans.models import MODELS

# Child processes run this checkout, wherever they start.
CHECKOUT = {**os.environ, "PYTHONPATH": str(ROOT)}
SETUP = "python3 -m venv .venv && "
PROGRAMS = {  # minigrad-hw: tests/homework
    "gans": gans.__main__.main,
    "minigrad": minigrad.__main__.main,
    "minigrad.homework.instructor": minigrad.homework.instructor.main,
}


def all_blocks(*languages: str) -> list[Block]:
    return [block for path in documents() for block in blocks(path, *languages)]


def program_calls() -> list[list[str]]:
    """Every call of our own programs in a bash block, as words that begin with the program."""
    calls = []
    for block in all_blocks("bash"):
        for line in commands(block):
            for part in re.split(r"&&|\|\||[;|]", line):
                words = shlex.split(part)
                if words[:2] == ["python", "-m"] or words[:2] == ["python3", "-m"]:
                    words = words[2:]
                if words and words[0].removeprefix(".venv/bin/") in PROGRAMS:
                    calls.append([words[0].removeprefix(".venv/bin/"), *words[1:]])
    return calls


@cache
def help_of(program: str, *words: str) -> str:
    """What a program prints for `words --help`; in this process, as starting one takes a second."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            status = PROGRAMS[program]([*words, "--help"])
        except SystemExit as end:
            status = end.code
    assert not status, f"{program} {' '.join(words)} --help: status {status}\n{said.getvalue()}"
    return said.getvalue()


def unknown_options(call: list[str]) -> list[str]:
    """The options of a call that the program's help does not list."""
    # The words that name what runs ("gans train dcgan"); then the values and options.
    end = next((i for i, word in enumerate(call) if word.startswith("-")), len(call))
    names = [word for word in call[1:end] if re.fullmatch(r"[a-z][a-z0-9_-]*", word)]
    listed = help_of(call[0], *names)
    return [
        word
        for word in call[end:]
        if re.match(r"--?[a-z]", word)
        and not re.search(rf"(?<![\w-]){re.escape(word.split('=')[0])}(?![\w-])", listed)
    ]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to parse the blocks with")
def test_bash_blocks_parse():
    for block in all_blocks("bash"):
        child = subprocess.run(
            ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
        )
        assert child.returncode == 0, f"{block}: {child.stderr}"


def test_readme_has_the_two_set_up_lines():
    """.ci/run reads them from here and runs them as they stand."""
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in commands(block)]
    lines = [line for line in lines if line.startswith(SETUP)]
    assert len(lines) == 2
    assert sum("gans train dcgan" in line for line in lines) == 1
    assert sum(re.search(r"/pytest( -n \d)?$", line) is not None for line in lines) == 1


@pytest.mark.parametrize("call", program_calls(), ids=" ".join)
def test_our_programs_know_their_options(call: list[str]):
    assert unknown_options(call) == []


def test_figures_and_models_that_are_named_exist():
    named = {kind: {call[2] for call in program_calls() if call[:2] == ["gans", kind] and call[2:]}
             for kind in ("figure", "train")}
    assert named["figure"] and named["figure"] <= {*FIGURES}
    assert named["train"] and named["train"] <= {*MODELS}


def test_an_unknown_option_is_noticed():
    assert unknown_options(["gans", "train", "gan", "--bugdet", "3m"]) == ["--bugdet"]


@pytest.mark.parametrize(
    "path", [p for p in documents() if blocks(p, "python")], ids=lambda p: p.name
)
def test_python_blocks_run(path: Path, tmp_path: Path):
    """Each page in a fresh interpreter and folder; tracebacks show the page's line numbers."""
    lines: list[str] = []
    for block in blocks(path, "python"):
        lines += [""] * (block.line - len(lines))
        lines += block.text.splitlines()
    script = tmp_path / f"{path.stem}.py"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    child = subprocess.run(
        [sys.executable, "-W", "error:::__main__", script],
        cwd=tmp_path,
        env=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr[-4000:]
