"""The notebooks of the homeworks: they run on the solution, and a student's copy has none of it."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from syntax import ROOT

from minigrad.homework.cli import main
from minigrad.homework.release import library, solution_lines, without_outputs
from minigrad.homework.source import body_of, decode, with_body
from minigrad.homework.spec import all_blanks, homework, homeworks

PATHS = sorted((ROOT / "notebooks").glob("hw*.ipynb"))
SPEC = importlib.util.spec_from_file_location("notebooks_run", ROOT / "notebooks" / "run.py")
run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(run)

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[str]:
    return [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def test_every_homework_has_one():
    assert [path.name.split("_")[0] for path in PATHS] == [hw.name for hw in homeworks()]


@each
def test_committed_outputs_are_clean(path):
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    assert run.faults(found) == []
    assert path.stat().st_size <= run.LIMIT
    texts = [out.get("text", "") for cell in found.cells if cell.cell_type == "code"
             for out in cell.outputs]
    checks = [text for text in texts if "All public checks passed" in text]
    assert len(checks) >= len(homework(path.stem.split("_")[0]).questions)


@each
def test_every_question_is_told_and_checked(path):
    hw = homework(path.stem.split("_")[0])
    code, prose = "\n".join(cells(path, "code")), "\n".join(cells(path, "markdown"))
    for question in hw.questions:
        assert f"!minigrad-hw check {question.id}" in code
        for blank in question.blanks:
            assert blank.name.split(".")[-1] in prose, f"{blank.id} is not named"
            assert blank.file in prose, f"{blank.id}: the file is not named"


@each
def test_it_runs_on_the_solution(path):
    done = subprocess.run([sys.executable, str(ROOT / "notebooks" / "run.py"), "--fast", path.stem],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_a_students_copy_has_no_outputs_and_no_solution(path):
    copy = json.loads(without_outputs(path.read_bytes()))
    nbformat.validate(nbformat.from_dict(copy))
    assert all(cell.get("outputs", []) == [] for cell in copy["cells"])
    blanks = all_blanks().values()
    text = " ".join(" ".join("".join(cell["source"]) for cell in copy["cells"]).split())
    assert [line for line in solution_lines(library(ROOT), blanks) if line in text] == []


def test_it_runs_in_a_students_folder(tmp_path):
    """On the student's own files, with the tool that is installed."""
    folder = tmp_path / "hw1"
    assert main(["start", "hw1", "--into", str(folder)]) == 0
    for blank in homework("hw1").blanks:
        path = folder / blank.file
        body = body_of(decode((ROOT / blank.file).read_bytes()), blank.name).text
        path.write_text(with_body(path.read_text(encoding="utf-8"), blank.name, body),
                        encoding="utf-8")
    shutil.copy(ROOT / "notebooks" / "run.py", folder / "notebooks" / "run.py")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "notebooks/run.py", "hw1"], capture_output=True,
                          text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (executed,) = (folder / "notebooks").glob("hw1*.ipynb")
    said = executed.read_text(encoding="utf-8")
    assert len(re.findall("100 of 100 points", said)) == 1
