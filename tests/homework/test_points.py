"""The acceptance points that need the grader: cut short here, and each of them can fail.

All of them as they are: pytest -m slow, or `instructor verify --all`.
"""

import csv
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import odd_submissions
import pytest
from syntax import ROOT
from walls import MODE, needs_walls

from minigrad.homework.acceptance import Bench
from minigrad.homework.grading import points
from minigrad.homework.grading.grade import Setting, grade_class
from minigrad.homework.grading.results import ENCODING, State
from minigrad.homework.grading.submission import found
from minigrad.homework.release import starter
from minigrad.homework.source import decode, with_body
from minigrad.homework.spec import homework, homeworks

HW1 = homework("hw1")
DIV = next(b for b in HW1.blanks if b.name == "EWiseDiv.compute")
pytestmark = needs_walls


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(ROOT)


@pytest.fixture
def part():
    """A homework of three checks, so that a grading takes a second."""
    question = HW1.questions[0]
    names = ("hw1.Q1.div", "hw1.Q1.power", "hw1.Q1.matmul")
    checks = tuple(replace(c, points=p) for c, p in zip(
        [c for c in question.checks if c.id in names], (34, 33, 33), strict=True))
    return replace(HW1, questions=(replace(question, checks=checks),))


def wrong_files(bench, hw):
    files = solved_files(bench, hw)
    text = with_body(decode(files[DIV.file]), DIV.name, "return b / a\n")
    return {**files, DIV.file: text.encode()}


solved_files = points.solved_files


@pytest.mark.parametrize("hw", homeworks(), ids=lambda hw: hw.name)
def test_what_is_handed_in_is_what_the_tool_packs(bench, hw):
    files = set(solved_files(bench, hw))
    assert {blank.file for blank in hw.blanks} <= files and ".minigrad-hw.json" in files


def test_fresh_gradings(bench, part, monkeypatch):
    monkeypatch.setattr(points, "GRADINGS", len(homeworks()))
    finding = points.fresh_gradings(bench, part)
    assert finding.holds and finding.text.startswith("1 of 1 gradings with 100")
    monkeypatch.setattr(points, "solved_files", wrong_files)
    finding = points.fresh_gradings(bench, part)
    assert finding.text.startswith("0 of 1") and "the operands are swapped" in finding.against[0]


def test_the_gradings_are_fifty_in_all():
    counts = [points.gradings_of(hw) for hw in homeworks()]
    assert sum(counts) == points.GRADINGS == 50 and min(counts) >= 8


def test_cost(bench, monkeypatch):
    monkeypatch.setattr(points, "PROCESSOR_S", 0.1)
    monkeypatch.setattr(points, "MEMORY_MB", 10.0)
    finding = points.cost(bench, HW1)
    assert finding.against == ["more than 0.1 s of a processor", "more than 10 MB"]
    seconds, memory = float(finding.text.split()[0]), float(finding.text.split("core), ")[1]
                                                            .split()[0])
    assert 1 < seconds and 50 < memory < 500


def test_the_same_zip_twice(bench, part, monkeypatch):
    assert points.same_twice(bench, part).holds
    real, kept = points.grade_one, []

    def other(path, setting, put, cell=None):
        kept.append(real(path, setting, put, cell))
        kept[-1].questions[0].checks[0].message += str(len(kept))
        return kept[-1]

    monkeypatch.setattr(points, "grade_one", other)
    assert not points.same_twice(bench, part).holds


def test_endless_loops(bench, part, monkeypatch):
    question = part.questions[0]
    quick = replace(part, questions=(replace(question, checks=tuple(
        replace(c, timeout_s=0.5) for c in question.checks)),))
    finding = points.endless_loops(bench, quick)
    assert finding.holds and finding.text.startswith("3 checks")
    monkeypatch.setattr(points, "LONGEST_S", 0.5)
    assert points.endless_loops(bench, quick).against == ["longer than 0.5 s"]


def test_processes_that_are_left_are_seen(tmp_path):
    (tmp_path / "program.py").write_text("import time; time.sleep(60)", encoding="ascii")
    with subprocess.Popen([sys.executable, str(tmp_path / "program.py")]) as process:
        try:
            deadline = time.monotonic() + 10
            while not points._left(str(tmp_path), 0.0) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert points._left(str(tmp_path), 0.2) == [str(process.pid)]
        finally:
            process.kill()
    assert points._left(str(tmp_path), 0.0) == []


def test_killing_the_grader(bench, monkeypatch):
    monkeypatch.setattr(points, "KILLS", 2)
    monkeypatch.setattr(points, "KILLED_AFTER_S", (3.0, 6.0))
    finding = points.killed_grader(bench, HW1)
    assert finding.holds, finding.against
    monkeypatch.setattr(points, "KILLS", 1)
    monkeypatch.setattr(points, "_left", lambda folder: ["4711"])
    assert points.killed_grader(bench, HW1).against == ["1 processes are left"]


def test_forty_odd_submissions_have_forty_rows(bench, part, tmp_path):
    """Which are refused and which can be run; what those get is told by the slow test."""
    tree = starter(ROOT, HW1)
    wanted = odd_submissions.odd_submissions(tmp_path / "in", HW1, tree, solved_files(bench, HW1))
    paths = found(tmp_path / "in")
    results = grade_class(paths, Setting(part, tree, b"a key for measurements", MODE),
                          tmp_path / "out", tmp_path / "g.csv", say=lambda line: None)
    assert {p.name: r.state for p, r in zip(paths, results, strict=True)} == {
        name: state for name, (state, _) in wanted.items()}
    with open(tmp_path / "g.csv", encoding=ENCODING, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(wanted) == 40
    assert sum(row["state"] == State.REFUSED for row in rows) >= 20
    assert len(list((tmp_path / "out").glob("*.json"))) == 40


def test_a_class_that_does_not_get_what_it_deserves_is_noticed(bench, monkeypatch):
    class Odd:
        @staticmethod
        def odd_submissions(folder: Path, hw, tree, solved):
            points.handed_in(folder, "ada.zip", {})
            return {"ada.zip": ("done", 100)}

    monkeypatch.setattr(points, "_tests_module", lambda root, name: Odd)
    against = points.odd_class(bench, HW1).against
    assert len(against) == 2 and "want done with 100" in against[0] and "want 40" in against[1]


def test_attacks_that_are_not_contained_are_noticed(bench, monkeypatch, tmp_path):
    (tmp_path / "tests" / "homework").mkdir(parents=True)
    test = tmp_path / "tests" / "homework" / "test_attacks.py"
    test.write_text("def test_fork_bomb():\n    assert 3 == 0, 'processes are left'\n",
                    encoding="ascii")
    finding = points.attacks_contained(_at(tmp_path), HW1)
    assert "processes are left" in "\n".join(finding.against) and "1 failed" in finding.text
    test.write_text("def test_fork_bomb():\n    pass\n", encoding="ascii")
    assert points.attacks_contained(_at(tmp_path), HW1).holds


def test_an_attack_is_contained_where_the_point_runs_it(bench, monkeypatch):
    """The point's own files are no traces of an attack."""
    monkeypatch.setattr(points, "SELECTED", ("-k", "crashing and abort"))
    finding = points.attacks_contained(bench, HW1)
    assert finding.holds and "passed" in finding.text, finding.against


def _at(root: Path) -> Bench:
    bench = Bench(ROOT)
    bench.root = root
    return bench


@pytest.mark.slow
@pytest.mark.parametrize("point", points.GRADER_POINTS, ids=lambda point: point.name)
def test_every_point_as_it_is(bench, point):
    for hw in homeworks():
        if point.only in ("", hw.name):
            with Bench(ROOT) as entered:
                finding = point.measure(entered, hw)
            assert finding.holds, "\n".join(finding.against)
