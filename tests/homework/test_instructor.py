"""The lecturer's commands: a journey from the key to the page about the class, and what is refused.

Grading itself is in test_grade.py.
"""

import csv
import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest
from syntax import ROOT
from walls import needs_walls

from minigrad.homework import acceptance, instructor
from minigrad.homework.grading import isolation
from minigrad.homework.grading.isolation import IsolationError
from minigrad.homework.grading.results import (
    Result,
    State,
    read_results,
    untouched,
    write_result,
)
from minigrad.homework.release import META, library, starter
from minigrad.homework.source import decode, with_body
from minigrad.homework.spec import homework, homeworks
from minigrad.homework.workplace import zipped

HW1 = homework("hw1")
DIV = next(b for b in HW1.blanks if b.name == "EWiseDiv.compute")


@pytest.fixture
def at(tmp_path, monkeypatch):
    """An empty folder to work in, with a course key and a folder of submissions."""
    monkeypatch.chdir(tmp_path)
    assert instructor.main(["key"]) == 0
    (tmp_path / "submissions").mkdir()
    return tmp_path


def hand_in(at: Path, name: str, div: str = "") -> None:
    reference = library(ROOT)
    files = {b.file: reference[b.file] for b in HW1.blanks}
    if div:
        files[DIV.file] = with_body(decode(files[DIV.file]), DIV.name, div).encode()
    meta = starter(ROOT, HW1)[META]
    (at / "submissions" / name).write_bytes(zipped({**files, META: meta}))


@needs_walls
def test_a_journey(at, capsys):
    """Grade, look, publish; somebody hands in again; what changed is told."""
    hand_in(at, "ada.zip")
    hand_in(at, "bob_LATE_1_2_hw1.zip", "return b / a\n")
    (at / "submissions" / "eve.zip").write_bytes(b"?")
    capsys.readouterr()
    assert instructor.main(["grade", "hw1", "submissions"]) == 0
    said = capsys.readouterr().out
    assert "3 submissions of hw1" in said and "ada.zip: 100 of 100" in said
    assert "grades.csv: 2 done, 1 refused" in said
    with open("grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["submission"]: row for row in csv.DictReader(file)}
    assert [rows[name]["score"] for name in rows] == ["100", rows["bob_LATE_1_2_hw1.zip"]["score"],
                                                      "0"]
    assert rows["bob_LATE_1_2_hw1.zip"]["late"] == "late" and rows["eve.zip"]["reason"]
    (bob,) = Path("grades").glob("bob*.txt")
    text = bob.read_text(encoding="utf-8")
    assert "the operands are swapped" in text and "hw1.Q1.div" in text

    assert instructor.main(["stats", "grades"]) == 0
    page = Path("statistics.html").read_text(encoding="utf-8")
    assert "logsumexp" in page and "bob_LATE" not in page
    assert instructor.main(["stats", "grades", "--names", "--out", "mine.html"]) == 0
    assert "bob_LATE" in Path("mine.html").read_text(encoding="utf-8")

    hand_in(at, "bob_LATE_1_2_hw1.zip", "return a / b\n")
    capsys.readouterr()
    command = ["regrade", "hw1", "submissions", "--only", "bob_LATE_1_2_hw1.zip"]
    assert instructor.main(command) == 0
    said = capsys.readouterr().out
    assert "bob" in said and "hw1.Q1.div" in said and "grades-before-1" in said
    assert sorted(r.score for r in read_results(Path("grades"))) == [0, 100, 100]
    assert instructor.main(["diff", "grades-before-1", "grades"]) == 1
    assert "bob" in capsys.readouterr().out
    assert instructor.main(["diff", "grades", "grades"]) == 0


def test_who_handed_in_twice_is_told(at, capsys):
    for name in ("ada.zip", "eve.zip", "eve-LATE.zip"):
        (at / "submissions" / name).write_bytes(b"?")
    assert instructor.main(["grade", "hw1", "submissions", "--isolation", "none"]) == 0
    found = capsys.readouterr()
    assert found.err.strip().splitlines()[-1] == (
        "instructor: more than one submission, each with its own row, of eve")
    assert "3 refused" in found.out


def test_what_cannot_be_graded_is_said_in_a_line(at, capsys):
    def refused(*words: str) -> str:
        capsys.readouterr()
        assert instructor.main([*words]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    assert "nothing to grade" in refused("grade", "hw1", "submissions")
    assert "nowhere" in refused("grade", "hw1", "nowhere")
    hand_in(at, "ada.zip")
    assert "no homework 'hw9'" in refused("grade", "hw9", "submissions")
    assert "no.key" in refused("grade", "hw1", "submissions", "--key", "no.key")
    (at / "course.key").chmod(0o644)
    assert "chmod 600" in refused("grade", "hw1", "submissions")
    (at / "course.key").chmod(0o600)
    assert "above 0" in refused("grade", "hw1", "submissions", "--time-factor", "-1")
    assert "no whole release" in refused("grade", "hw1", "submissions", "--release",
                                         "submissions/ada.zip")
    assert "lies in the folder of the submissions" in refused(
        "grade", "hw1", "submissions", "--out", "submissions/grades")
    for out, hw in (("others", "hw2"), ("some", "hw1")):
        Path(out).mkdir()
        write_result(Path(out, "ada.json"), Result(hw, "ada.zip", "ada"))
    for command in ("grade", "regrade"):
        assert "others holds results of hw2" in refused(command, "hw1", "submissions", "--out",
                                                        "others")
    Path("folder.csv").mkdir()
    assert "folder.csv" in refused("grade", "hw1", "submissions", "--csv", "folder.csv")
    assert "no submission eve.zip" in refused("regrade", "hw1", "submissions", "--out", "some",
                                              "--only", "eve.zip")
    assert "course.key exists" in refused("key")
    assert "there are no results" in refused("stats", "submissions")
    assert "there are no results" in refused("diff", "submissions", "submissions")
    assert "there are no results" in refused("regrade", "hw1", "submissions", "--out", ".")
    assert not Path("grades.csv").exists() and not Path("grades").exists()


@pytest.mark.parametrize("text", ["tomorrow", "20.11.2026", "2026-11-20", "2026-11-20T25:00"])
def test_a_deadline_needs_a_date_and_a_time(text, capsys):
    with pytest.raises(SystemExit):
        instructor.main(["grade", "hw1", "submissions", "--deadline", text])
    assert "no date with a time, such as 2026-11-20T23:59" in capsys.readouterr().err


def test_a_regrade_that_was_cut_off_goes_on(at, capsys, monkeypatch):
    """The table keeps everybody, and what changed is told against the results before."""
    for name in ("ada.zip", "bob.zip"):
        hand_in(at, name)
    Path("grades").mkdir()
    for name, score in (("ada.zip", 0), ("bob.zip", 2)):
        result = untouched(HW1, name, name[:3])
        result.file, result.state = name, State.DONE
        result.questions[0].checks[0].score = score
        write_result(Path("grades", f"{name}.json"), result)
    calls = []

    def class_(paths, setting, out, table, *rest, beside=(), **more):
        calls.append([path.name for path in paths] + [result.submission for result in beside])
        result = untouched(HW1, "bob.zip", "bob")
        result.file = "bob.zip"
        if len(calls) > 1:
            result.state, result.questions[0].checks[0].score = State.DONE, 1
        write_result(out / "bob.zip.json", result)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return [result]

    monkeypatch.setattr(instructor, "grade_class", class_)
    command = ["regrade", "hw1", "submissions", "--only", "bob.zip", "--isolation", "none"]
    assert instructor.main(command) == 130
    assert "the same command finishes it" in capsys.readouterr().err
    assert instructor.main(command) == 0
    said = capsys.readouterr().out
    assert "bob" in said and "2" in said and "grades-before-1" in said
    assert "nothing changed" not in said and not Path("grades-before-2").exists()
    assert calls == [["bob.zip", "ada.zip"]] * 2


def test_without_walls_nothing_is_graded(at, capsys, monkeypatch):
    def none(mode):
        raise IsolationError(f"{mode.value}: not on this machine")

    monkeypatch.setattr(isolation, "measured", none)
    hand_in(at, "ada.zip")
    capsys.readouterr()
    assert instructor.main(["grade", "hw1", "submissions"]) == 2
    said = capsys.readouterr().err
    assert "namespaces: not on this machine" in said and "--isolation none" in said
    assert not Path("grades").exists()


def test_grading_without_walls_says_what_is_open(at, capsys, monkeypatch):
    graded = []

    def class_(paths, setting, out, table, *rest, **more):
        graded.append(setting.mode)
        table.write_text("", encoding="utf-8")
        return [untouched(HW1, path.name, path.stem) for path in paths]

    monkeypatch.setattr(instructor, "grade_class", class_)
    hand_in(at, "ada.zip")
    assert instructor.main(["grade", "hw1", "submissions", "--isolation", "none"]) == 1
    said = capsys.readouterr().err
    assert "read the solution" in said and "your rights" in said
    assert graded == [isolation.Mode.NONE]


def test_a_failure_of_the_grader_is_the_exit_status(at, capsys, monkeypatch):
    def class_(paths, setting, out, table, *rest, **more):
        result = untouched(HW1, paths[0].name, "ada")
        result.state = State.FAILED
        return [result]

    monkeypatch.setattr(instructor, "grade_class", class_)
    hand_in(at, "ada.zip")
    assert instructor.main(["grade", "hw1", "submissions", "--isolation", "none"]) == 1
    assert "they have no score" in capsys.readouterr().err


def test_a_damaged_result_is_named(at, capsys):
    Path("grades").mkdir()
    write_result(Path("grades/ada.json"), Result("hw1", "ada.zip", "ada"))
    Path("grades/bob.json").write_text('{"score": 100', encoding="utf-8")
    capsys.readouterr()
    assert instructor.main(["stats", "grades"]) == 2
    assert "bob.json" in capsys.readouterr().err


def test_the_zip_for_gradescope_is_for_its_owner_alone(at, capsys):
    assert instructor.main(["gradescope", "hw1"]) == 0
    path = Path("gradescope-hw1.zip")
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        assert {"setup.sh", "run_autograder"} <= names
        for name in ("setup.sh", "run_autograder"):
            assert archive.getinfo(name).external_attr >> 16 & 0o111
    assert "to nobody else" in capsys.readouterr().out
    first = path.read_bytes()
    assert instructor.main(["gradescope", "hw1"]) == 0
    assert path.read_bytes() == first


# ---- verify


def test_verify_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    measured = []

    def point(name, holds):
        def measure(bench, hw):
            """It holds."""
            measured.append(f"{name} {hw.name}")
            return acceptance.Finding(f"seen {name}", [] if holds else ["a fault"])
        return acceptance.Point(name, measure)

    monkeypatch.setattr(instructor, "ALL_POINTS", (point("reference", True), point("sweep", False)))
    command = ["verify", "hw1", "hw2", "--all", "--processes", "1", "--resume",
               str(tmp_path / "known.json")]
    assert instructor.main(command) == 1
    assert measured == ["reference hw1", "reference hw2", "sweep hw1", "sweep hw2"]
    assert "FAIL hw2: seen sweep" in capsys.readouterr().out
    measured.clear()
    assert instructor.main(command) == 1
    assert measured == ["sweep hw1", "sweep hw2"]  # what did not hold is measured again
    assert "seen reference" in capsys.readouterr().out
    measured.clear()
    monkeypatch.setattr(instructor, "_fingerprint", lambda root: "other code")
    assert instructor.main(command) == 1
    assert len(measured) == 4
    (tmp_path / "known.json").write_text("[", encoding="utf-8")
    assert instructor.main(command) == 2


def test_quick_leaves_the_grader_out(monkeypatch):
    measured = []

    def point(name):
        def measure(bench, hw):
            """It holds."""
            measured.append((name, bench.share))
            return acceptance.Finding("")
        return acceptance.Point(name, measure)

    monkeypatch.setattr(instructor, "ALL_POINTS",
                        tuple(point(p.name) for p in instructor.ALL_POINTS))
    assert instructor.main(["verify", "hw1", "--processes", "1"]) == 0
    assert instructor.main(["verify", "hw1", "--processes", "1", "--quick"]) == 0
    quick = {name for name, _ in measured}
    assert {share for _, share in measured} == {instructor.SHARE}
    assert {"reference", "sweep", "forged"} <= quick
    assert not {"fresh", "odd", "attacks", "killed", "loops", "cost"} & quick
    measured.clear()
    assert instructor.main(["verify", "hw1", "--processes", "1", "--all"]) == 0
    assert {share for _, share in measured} == {1} and len(measured) == len(instructor.ALL_POINTS)


# ---- the handbook


def handbook_commands() -> list[str]:
    found = []
    for path in sorted((ROOT / "docs" / "homework").glob("*.md")):
        found += re.findall(r"^(?:`|)python -m minigrad\.homework\.instructor ([^`#\n]+)",
                            path.read_text(encoding="utf-8"), re.MULTILINE)
    return found


def test_every_command_of_the_handbook_is_one(capsys):
    commands = handbook_commands()
    assert len(commands) >= 8
    assert {c.split()[0] for c in commands} >= {"verify", "release", "key", "grade", "regrade",
                                                "stats", "diff", "gradescope"}
    for command in commands:
        options = instructor._parser().parse_args(shlex.split(command))
        for name in getattr(options, "homeworks", None) or [getattr(options, "homework", "hw1")]:
            homework(name)


def test_files_of_results_are_json_whatever_stands_in_them(tmp_path):
    result = untouched(HW1, "\x1b[31m\udcff.zip", "=cmd()")
    write_result(tmp_path / "r.json", result)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["score"] == 0


def test_a_point_may_be_measured_with_one_homework(monkeypatch, capsys):
    monkeypatch.setattr(instructor, "ALL_POINTS", (
        acceptance.Point("reference", lambda bench, hw: acceptance.Finding(hw.title), only="hw2"),))
    assert instructor.main(["verify", "--all", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert "hw2: " in said and "hw1: " not in said


def test_the_slowest_homework_is_the_one_that_loops_are_measured_with():
    (loops,) = [point for point in instructor.ALL_POINTS if point.name == "loops"]
    slowest = max(homeworks(), key=lambda hw: sum(c.timeout_s for c in hw.checks))
    assert loops.only == slowest.name
