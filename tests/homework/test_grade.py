"""The grader: what a submission gets, whatever it is, and what is on the disk at every moment.

A part of hw1, so that a grading takes a second.
"""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from syntax import ROOT
from walls import MODE, needs_walls

from minigrad.homework import cli
from minigrad.homework.check import drawn
from minigrad.homework.checks import hw1 as hw1_checks
from minigrad.homework.grading import grade as grade_module
from minigrad.homework.grading.grade import Setting, grade_class, grade_one
from minigrad.homework.grading.isolation import Mode
from minigrad.homework.grading.results import (
    Result,
    ResultError,
    State,
    feedback,
    read_results,
    result_name,
)
from minigrad.homework.grading.secret import seed_of
from minigrad.homework.release import META, library, starter
from minigrad.homework.runner import PUBLIC_CASES, PUBLIC_SEED
from minigrad.homework.source import decode, with_body
from minigrad.homework.spec import homework
from minigrad.homework.workplace import write_tree, zipped

WHOLE = homework("hw1")
Q1, Q2 = WHOLE.questions[:2]
PART = replace(WHOLE, questions=(
    replace(Q1, checks=tuple(c for c in Q1.checks if c.id in ("hw1.Q1.div", "hw1.Q1.matmul"))),
    replace(Q2, checks=tuple(c for c in Q2.checks if c.id == "hw1.Q2.div"))))
POINTS = sum(check.points for check in PART.checks)
KEY = b"a course key for tests"
DIV = next(b for b in WHOLE.blanks if b.name == "EWiseDiv.compute")
REFERENCE = library(ROOT)
STARTER = starter(ROOT, WHOLE)
FILES = sorted({b.file for b in WHOLE.blanks})
SOLVED = {META: STARTER[META], **{file: REFERENCE[file] for file in FILES}}
pytestmark = needs_walls


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(PART, STARTER, KEY, MODE)


@pytest.fixture(scope="module")
def cell(setting):
    with setting.cell() as found:
        yield found


def handed_in(folder, files=SOLVED, name="ada.zip"):
    path = folder / name
    path.write_bytes(zipped(dict(files)))
    return path


def with_div(body: str) -> dict[str, bytes]:
    text = with_body(decode(SOLVED[DIV.file]), DIV.name, body)
    return {**SOLVED, DIV.file: text.encode()}


def table(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def outcomes(result: Result) -> list[str]:
    return [check.outcome for question in result.questions for check in question.checks]


def test_there_is_something_to_lose():
    assert len(PART.checks) == 3 and POINTS >= 5


def test_a_solution_gets_all_points(setting, cell, tmp_path):
    put = []
    result = grade_one(handed_in(tmp_path), setting, lambda r: put.append(r.to_json()), cell)
    assert (result.state, result.score, result.points) == (State.DONE, POINTS, POINTS)
    assert (result.student, result.reason, result.notes) == ("ada", "", [])
    steps = [Result.from_json(text) for text in put]
    assert [step.state for step in steps] == [State.WAITING] * (len(steps) - 1) + [State.DONE]
    assert [step.score for step in steps] == sorted(step.score for step in steps)
    assert steps[0].score == 0 and steps[-1] == result
    assert {step.score for step in steps} == {0, sum(c.points for c in PART.questions[0].checks),
                                              POINTS}  # after every question


def test_the_starter_gets_none(setting, cell, tmp_path):
    path = handed_in(tmp_path, {file: STARTER[file] for file in SOLVED})
    result = grade_one(path, setting, lambda r: None, cell)
    assert (result.state, result.score) == (State.DONE, 0)
    assert set(outcomes(result)) <= {"UNSOLVED", "BLOCKED"}


def test_what_is_no_submission_is_refused(setting, cell, tmp_path):
    (tmp_path / "ada.zip").write_bytes(b"not a zip file")
    result = grade_one(tmp_path / "ada.zip", setting, lambda r: None, cell)
    assert result.state == State.REFUSED and result.score == 0 and "zip" in result.reason


def test_a_missing_file_stands_in_as_it_was_given_out(setting, cell, tmp_path):
    path = handed_in(tmp_path, {name: c for name, c in SOLVED.items() if "matmul" not in name})
    result = grade_one(path, setting, lambda r: None, cell)
    assert outcomes(result) == ["PASS", "UNSOLVED", "PASS"]


# ------------------------------------------------------------------------------- hidden cases


def test_hidden_cases_fail_what_was_fitted_to_public_ones(setting, cell, tmp_path):
    """And the student can see on which inputs, with the command that is printed."""
    check = next(c for c in hw1_checks.CHECKS if c.id == "hw1.Q1.div")
    known = [round(float(array.sum()), 6) for case in range(PUBLIC_CASES)
             for array in drawn(check, PUBLIC_SEED, case).values()]
    files = with_div(f"return a / b if round(float(a.sum()), 6) in {known} else a * b\n")
    result = grade_one(handed_in(tmp_path, files), setting, lambda r: None, cell)
    found = result.questions[0].checks[0]
    assert (found.outcome, found.hidden, found.score) == ("WRONG", True, 0)
    seed = seed_of(KEY, "hw1", result.digest)
    assert f"seed {seed}, case 0" in found.message
    again = found.message.rpartition("minigrad-hw ")[2].split()
    write_tree({**STARTER, **files}, tmp_path / "hw1")
    assert cli.main([*again, "--tree", str(tmp_path / "hw1")]) == 1
    assert cli.main(["check", check.id, "--tree", str(tmp_path / "hw1")]) == 0


def test_other_code_gets_other_hidden_cases(setting, cell, tmp_path):
    one = grade_one(handed_in(tmp_path), setting, lambda r: None, cell)
    two = grade_one(handed_in(tmp_path, with_div("return a * b ** -1.0\n"), "bob.zip"), setting,
                    lambda r: None, cell)
    seeds = {seed_of(key, "hw1", r.digest) for key in (KEY, b"another") for r in (one, two)}
    assert len(seeds) == 4 and one.score == two.score == POINTS


def test_equal_code_is_graded_equally_whatever_it_is_packed_in(setting, cell, tmp_path):
    tree = tmp_path / "ada"
    write_tree(with_div("return a / b + 1.0\n"), tree)
    path = handed_in(tmp_path, {f"x/y/{n}": c for n, c in with_div("return a / b + 1.0\n").items()})
    one, two = [grade_one(p, setting, lambda r: None, cell) for p in (tree, path)]
    assert one.questions[0].checks == two.questions[0].checks
    assert one.digest == two.digest and outcomes(one)[0] == "WRONG"


# -------------------------------------------------------------- failures of the grader, and limits


def test_a_failure_of_the_grader_is_no_failure_of_the_student(setting, cell, tmp_path, monkeypatch,
                                                             capsys):
    def broken(inputs):
        raise RuntimeError("a mistake in the check")

    checks = [replace(c, want=broken) if c.id == "hw1.Q1.matmul" else c for c in hw1_checks.CHECKS]
    monkeypatch.setattr(hw1_checks, "CHECKS", checks)
    results = grade_class([handed_in(tmp_path)], setting, tmp_path / "out", tmp_path / "g.csv",
                          say=lambda line: None)
    (result,) = results
    assert result.state == State.FAILED and "a mistake in the check" in result.reason
    assert result.questions[1].state == State.DONE and result.questions[1].score > 0
    (row,) = table(tmp_path / "g.csv")
    assert row["score"] == row["hw1.Q2"] == "" and row["state"] == "grader failed"
    assert "not you" in (tmp_path / "out" / "ada.zip.txt").read_text(encoding="utf-8")
    assert "a mistake in the check" in capsys.readouterr().err
    monkeypatch.undo()  # mended: the same command grades it again
    (result,) = grade_class([handed_in(tmp_path)], setting, tmp_path / "out", tmp_path / "g.csv",
                            say=lambda line: None)
    assert (result.state, result.score) == (State.DONE, POINTS)


def test_walls_that_cannot_be_put_up_are_a_failure_of_the_grader(setting, cell, tmp_path,
                                                                monkeypatch, capsys):
    wrong = {**cell.settings, "root": str(tmp_path / "nowhere")}
    monkeypatch.setattr(type(cell), "settings", wrong)
    result = grade_one(handed_in(tmp_path), setting, lambda r: None, cell)
    assert result.state == State.FAILED and "locked in" in result.reason
    assert result.score == 0
    capsys.readouterr()


def test_a_tree_that_cannot_be_put_into_the_cell_is_a_failure_of_the_grader(
        setting, cell, tmp_path, monkeypatch, capsys):
    def full(tree):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cell, "put", full)
    result = grade_one(handed_in(tmp_path), setting, lambda r: None, cell)
    assert result.state == State.FAILED and "No space left" in result.reason
    assert capsys.readouterr().err == "the grader failed: [Errno 28] No space left on device\n"


def test_the_time_for_all_checks_is_limited(setting, cell, tmp_path):
    files = with_div("while True:\n    pass\n")
    quick = replace(setting, limit_s=2.0)
    began = time.monotonic()
    result = grade_one(handed_in(tmp_path, files), quick, lambda r: None, cell)
    assert result.state == State.DONE and outcomes(result) == ["TIMEOUT"] * 3
    assert time.monotonic() - began < 20
    assert "used up" in result.questions[1].checks[0].message


def test_a_loop_costs_its_own_check_only(setting, cell, tmp_path):
    short = tuple(replace(q, checks=tuple(replace(c, timeout_s=1.0) for c in q.checks))
                  for q in PART.questions)
    one = replace(setting, homework=replace(PART, questions=short))
    result = grade_one(handed_in(tmp_path, with_div("while True:\n    pass\n")), one,
                       lambda r: None, cell)
    assert outcomes(result)[:2] == ["TIMEOUT", "PASS"]


def test_a_mode_without_walls_gives_the_same(setting, tmp_path):
    bare = replace(setting, mode=Mode.NONE)
    assert grade_one(handed_in(tmp_path), bare, lambda r: None).score == POINTS


# --------------------------------------------------------------------------------------- a class


def test_a_class_has_a_row_and_a_text_for_each(setting, tmp_path):
    paths = [handed_in(tmp_path, name="ada.zip"), tmp_path / "bob.zip",
             handed_in(tmp_path, with_div("return a\n"), "=cmd()!A1.zip")]
    paths[1].write_bytes(b"")
    said = []
    results = grade_class(paths, setting, tmp_path / "out", tmp_path / "g.csv", say=said.append)
    assert [r.state for r in results] == [State.DONE, State.REFUSED, State.DONE]
    rows = table(tmp_path / "g.csv")
    by_name = {row["submission"]: row for row in rows}
    assert len(rows) == len(said) == 3 and int(by_name["ada.zip"]["score"]) == POINTS
    assert by_name["'=cmd()!A1.zip"]["state"] == "done"  # no cell that a spreadsheet computes
    assert {r.submission: r for r in read_results(tmp_path / "out")} == {
        r.submission: r for r in results}
    texts = sorted((tmp_path / "out").glob("*.txt"))
    assert len(texts) == 3 and any("0 of" in t.read_text(encoding="utf-8") for t in texts)


def test_a_second_grading_keeps_what_is_the_same(setting, tmp_path, monkeypatch):
    graded = []
    real = grade_module.grade_one
    monkeypatch.setattr(grade_module, "grade_one",
                        lambda path, *rest: graded.append(path.name) or real(path, *rest))
    paths = [handed_in(tmp_path, name=name) for name in ("ada.zip", "bob.zip")]

    def again(other=setting, **more):
        graded.clear()
        results = grade_class(paths, other, tmp_path / "out", tmp_path / "g.csv",
                              processes=1, say=lambda line: None, **more)
        return sorted(graded), [r.score for r in results]

    assert again() == (["ada.zip", "bob.zip"], [POINTS, POINTS])
    assert again() == ([], [POINTS, POINTS])
    handed_in(tmp_path, with_div("return a\n"), "bob.zip")
    assert again()[0] == ["bob.zip"]
    assert again(replace(setting, key=b"another course key"))[0] == ["ada.zip", "bob.zip"]
    assert again(replace(setting, key=b"another course key"), again=True)[0] == [
        "ada.zip", "bob.zip"]
    (tmp_path / "out" / "ada.zip.json").write_text("{", encoding="utf-8")
    assert again(replace(setting, key=b"another course key"))[0] == ["ada.zip"]


def test_late_is_marked_and_costs_nothing(setting, cell, tmp_path):
    path = handed_in(tmp_path)
    now = datetime.now(UTC)
    late = grade_one(path, replace(setting, deadline=now - timedelta(days=1)), lambda r: None, cell)
    soon = grade_one(path, replace(setting, deadline=now + timedelta(days=1)), lambda r: None, cell)
    assert (late.late, soon.late) == (True, False) and late.score == soon.score == POINTS


def test_without_a_deadline_what_was_known_of_it_stays(setting, tmp_path):
    """In the table, the file and the text, whether it is graded again or kept."""
    paths = [handed_in(tmp_path)]

    def graded(deadline=None, **more):
        results = grade_class(paths, replace(setting, deadline=deadline), tmp_path / "out",
                              tmp_path / "g.csv", processes=1, say=lambda line: None, **more)
        (row,), (read,) = table(tmp_path / "g.csv"), read_results(tmp_path / "out")
        text = (tmp_path / "out" / row["text"]).read_text(encoding="utf-8")
        assert (row["late"] == "late") is read.late is ("after the deadline" in text)
        assert read == results[0]
        return read.late

    now = datetime.now(UTC)
    assert graded(now - timedelta(days=1)) and graded() and graded(again=True)
    assert not graded(now + timedelta(days=1)) and not graded()


def test_one_cause_is_told_once(setting, cell, tmp_path):
    files = with_div("import scipy\nreturn a / b\n")
    result = grade_one(handed_in(tmp_path, files), setting, lambda r: None, cell)
    assert outcomes(result) == ["RAISED", "PASS", "RAISED"]
    text = " ".join(feedback(result).split())
    assert text.count("there is no scipy where homework is checked and graded") == 1
    assert "the same is behind hw1.Q2.div" in text


@pytest.mark.parametrize(("body", "said"), [
    ("import matplotlib.pyplot\nreturn a / b\n", "there is no matplotlib"),
    ("open('log.txt', 'a')\nreturn a / b\n", "no file can be written where homework is checked")])
def test_the_grader_and_the_check_at_home_refuse_the_same(setting, cell, tmp_path, body, said,
                                                         capsys):
    result = grade_one(handed_in(tmp_path, with_div(body)), setting, lambda r: None, cell)
    found = result.questions[0].checks[0]
    assert (found.outcome, found.hidden) == ("RAISED", False) and said in found.message
    write_tree({**STARTER, **with_div(body)}, tmp_path / "hw1")
    assert cli.main(["check", found.id, "--tree", str(tmp_path / "hw1")]) == 1
    assert said in capsys.readouterr().out
    assert not (tmp_path / "log.txt").exists() and not (tmp_path / "hw1" / "log.txt").exists()


def test_stopping_leaves_an_unfinished_result_without_points(setting, cell, tmp_path):
    stop = threading.Event()
    stop.set()
    result = grade_one(handed_in(tmp_path), setting, lambda r: None, cell, stop)
    assert (result.state, result.score) == (State.WAITING, 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_an_interrupted_class_goes_on_where_it_was(how, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ada.zip").write_bytes(b"")
    handed_in(tmp_path / "in", name="bob.zip")
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    command = [sys.executable, "-m", "minigrad.homework.instructor", "grade", "hw1",
               str(tmp_path / "in"), "--key", str(tmp_path / "key"), "--out",
               str(tmp_path / "out"), "--processes", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert "2 submissions" in process.stdout.readline()
        assert "ada.zip: refused" in process.stdout.readline()
        deadline = time.monotonic() + 60
        while not _begun(tmp_path / "out") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(how)
        error = process.stderr.read()
    assert process.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL), error
    results = {r.submission: r for r in read_results(tmp_path / "out")}
    assert results["ada.zip"].state == State.REFUSED
    assert 0 < results["bob.zip"].score < 100 and results["bob.zip"].state == State.WAITING
    rows = table(tmp_path / "out.csv")
    assert [row["state"] for row in rows] == ["refused", "waiting"]
    if how is signal.SIGINT:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert "bob.zip: 100 of 100, " in done.stdout and "2 submissions" in done.stdout


def _begun(out: Path) -> bool:
    """Whether points of bob's first question are on the disk."""
    try:
        return any(0 < r.score < 100 for r in read_results(out))
    except ResultError:
        return False


def test_every_name_has_a_file_of_its_own():
    names = ["a.zip", "A.zip", "b c.zip", "b_c.zip", "ä", "ö", "x" * 300, "x" * 301, ".", "..", "-",
             "con", "a.zip ", "\udcff", "=1", "a/b"]
    found = [result_name(name) for name in names]
    assert len({name.casefold() for name in found}) == len(names)
    assert all(len(name) < 100 and not name.startswith((".", "-/")) for name in found)
    assert all("/" not in name and name.isascii() for name in found)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc to look for processes")
def test_no_process_is_left(setting, cell, tmp_path):
    path = handed_in(tmp_path, with_div(
        "import threading, time\nif threading.active_count() < 4:\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\nreturn a / b\n"))
    assert grade_one(path, setting, lambda r: None, cell).score == POINTS
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    assert children == ""
