"""Gradescope: results.json by its documentation, and the two scripts, run for real."""

import contextlib
import copy
import dataclasses
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from syntax import ROOT
from walls import WITHOUT, needs_walls

from minigrad.homework.grading import gradescope
from minigrad.homework.grading.gradescope import (
    EXECUTABLE,
    autograder_zip,
    graded,
    library,
    submitted,
    to_gradescope,
    validate,
    was_late,
)
from minigrad.homework.grading.results import Result, State, plain, untouched
from minigrad.homework.release import starter
from minigrad.homework.spec import homework, homeworks
from minigrad.homework.workplace import zipped

HW = homework("hw4")
KEY = b"0123456789abcdef0123456789abcdef"
EVIL = "<b>bold</b> \x1b[31m\u202e\ud800\x00 [x](http://y) =cmd()"

# --------------------------------------------------------------------------------- results.json


def done(wrong: tuple[int, ...] = (), hidden: bool = False) -> Result:
    result = untouched(HW, "ada.zip", "Ada")
    result.state, result.reason, result.seconds = State.DONE, "", 12.34
    for question in result.questions:
        question.state = State.DONE
    for i, check in enumerate(check for q in result.questions for check in q.checks):
        check.outcome, check.score = "PASS", check.points
        if i in wrong:
            check.outcome, check.score, check.hidden = "WRONG", 0, hidden
            check.message = f"WRONG    {check.id}\n  yours 1, want 2"
    return result


def test_one_test_for_each_check() -> None:
    table = to_gradescope(done((1,), hidden=True))
    assert validate(table) == []
    points = HW.checks[1].points
    assert table["score"] == 100 - points and table["execution_time"] == 12.3
    assert [test["max_score"] for test in table["tests"]] == [check.points for check in HW.checks]
    first, second = table["tests"][:2]
    assert (first["number"], first["status"], first["output"]) == ("1.1", "passed", "PASS")
    assert first["name"] == HW.questions[0].title + ": " + HW.checks[0].id.split(".", 2)[2]
    assert (second["number"], second["status"], second["score"]) == ("1.2", "failed", 0)
    assert "yours 1, want 2" in second["output"] and "hidden input" in second["output"]
    assert "hidden input" not in to_gradescope(done((1,)))["tests"][1]["output"]
    assert table["tests"][-1]["number"] == f"{len(HW.questions)}.{len(HW.questions[-1].checks)}"
    assert f"{100 - points} of 100 points" in table["output"]


def test_everything_is_shown_as_plain_text() -> None:
    table = to_gradescope(done((0,)))
    formats = [table["output_format"], table["test_output_format"], table["test_name_format"]]
    formats += [test[key] for test in table["tests"] for key in ("output_format", "name_format")]
    assert set(formats) == {"text"}
    assert table["stdout_visibility"] == "hidden"


def test_what_did_not_end_gives_what_was_earned() -> None:
    nothing = to_gradescope(untouched(HW, "ada.zip", "Ada"))
    assert validate(nothing) == [] and nothing["score"] == 0
    assert "did not end; no points yet" in nothing["output"]
    assert {test["output"] for test in nothing["tests"]} == {
        "not graded: the grading did not end"}
    half = untouched(HW, "ada.zip", "Ada")
    half.questions[0] = done().questions[0]
    table = to_gradescope(half)
    assert validate(table) == [] and table["score"] == HW.questions[0].points
    assert f"so far {HW.questions[0].points} of 100 points" in table["output"]


def test_what_was_refused_says_why_and_has_no_points() -> None:
    result = done()
    result.state, result.reason = State.REFUSED, "the zip file is empty"
    table = to_gradescope(result)
    assert validate(table) == [] and table["score"] == 0
    assert "the zip file is empty" in table["output"]
    assert {(test["score"], test["status"]) for test in table["tests"]} == {(0, "failed")}


def test_a_failure_of_the_grader_is_none_of_the_student() -> None:
    result = done()
    result.questions[-1] = untouched(HW, "", "").questions[-1]
    result.state, result.reason = State.FAILED, "OSError: /srv/secret: no space left"
    table = to_gradescope(result)
    assert validate(table) == [] and table["score"] == 100 - HW.questions[-1].points
    assert "no fault of yours" in table["output"] and "grade this again" in table["output"]
    assert "no fault of yours" in table["tests"][-1]["output"]
    assert "secret" not in json.dumps(table)


TEXTS = st.sampled_from([EVIL, "", "x" * 4001, "\n=1"]) | st.text(
    st.characters(exclude_categories=()), max_size=8)


@settings(max_examples=40, phases=[Phase.generate])
@given(st.data(), st.sampled_from(State.ALL))
def test_whatever_the_texts_the_table_is_valid_and_plain(data: st.DataObject, state: str) -> None:
    result = done(tuple(data.draw(st.sets(st.integers(0, 39), max_size=5))), hidden=True)
    result.state = state
    for name in ("submission", "student", "reason", "homework", "digest", "cases", "isolation"):
        setattr(result, name, data.draw(TEXTS))
    result.notes, result.late = data.draw(st.lists(TEXTS, max_size=3)), data.draw(st.booleans())
    question = data.draw(st.sampled_from(result.questions))
    question.title, question.reason, question.state = data.draw(TEXTS), data.draw(TEXTS), state
    check = data.draw(st.sampled_from(question.checks))
    check.message, check.outcome, check.id = (data.draw(TEXTS) for _ in range(3))
    check.score = 0
    table = to_gradescope(result)
    assert validate(table) == []
    assert all(text == plain(text) and len(text) < 5000 for text in texts_of(table))
    json.dumps(table, ensure_ascii=False, allow_nan=False).encode()


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_of(one)


GOOD = {  # the example of the documentation, in our words
    "score": 44.0, "execution_time": 136, "output": "text", "output_format": "simple_format",
    "test_output_format": "text", "test_name_format": "text", "visibility": "after_due_date",
    "stdout_visibility": "visible", "extra_data": {},
    "tests": [{"score": 2.0, "max_score": 2.0, "status": "passed", "name": "name",
               "name_format": "text", "number": "1.1", "output": "long", "output_format": "md",
               "tags": ["a", "b"], "visibility": "visible", "extra_data": {}},
              {"score": 42.0}],
    "leaderboard": [{"name": "Accuracy", "value": .926},
                    {"name": "Time", "value": 15.1, "order": "asc"},
                    {"name": "Stars", "value": "*****"}]}


def changed(*path: Any, value: Any = ...) -> dict[str, Any]:
    """The good table with one value changed, or gone."""
    table = copy.deepcopy(GOOD)
    at: Any = table
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return table


@pytest.mark.parametrize("table", [
    GOOD, {"score": 0}, {"tests": [{"score": 1}, {"score": 0, "max_score": 2}]},
    changed("score"), changed("tests"), changed("leaderboard"), {"score": 3, "tests": []},
    {"score": 3, "tests": [{"name": "no score of its own"}]}])
def test_what_the_documentation_allows_is_allowed(table: dict[str, Any]) -> None:
    assert validate(table) == []


@pytest.mark.parametrize(("table", "words"), [
    ([], "wants a table"), ("text", "wants a table"), ({}, "there is no score"),
    (changed("score", value="44"), "score: wants a number"),
    (changed("score", value=True), "score: wants a number"),
    (changed("score", value=-1), "score: wants a number that is not negative, got -1"),
    (changed("score", value=float("nan")), "is no JSON"),
    (changed("score", value=float("inf")), "is no JSON"),
    (changed("score", value=45), "the score is 45, the tests add up to 44.0"),
    (changed("execution_time", value="1 s"), "execution_time: wants a number"),
    (changed("output", value=["a"]), "output: wants a text"),
    (changed("output", value="\ud800"), "is no JSON"),
    (changed("output_format", value="markdown"), "output_format is 'markdown'"),
    (changed("test_output_format", value=None), "test_output_format is None"),
    (changed("test_name_format", value="rtf"), "test_name_format"),
    (changed("visibility", value="public"), "visibility is 'public'"),
    (changed("stdout_visibility", value=True), "stdout_visibility is True"),
    (changed("extra_data", value=[]), "extra_data: wants a table"),
    (changed("tests", value={}), "tests: wants a list"),
    (changed("points", value=3), "'points' is no documented key"),
    (changed("tests", 1, "score"), None),
    ({"tests": [{"name": "x"}]}, "not every test has one"), ({"tests": []}, "there is no score"),
    (changed("tests", 0, value="x"), "tests[0]: wants a table"),
    (changed("tests", 0, "score", value=3.0), "tests[0]: score 3.0 of 2.0"),
    (changed("tests", 0, "score", value="2"), "tests[0]: score: wants a number"),
    (changed("tests", 0, "max_score", value=-2), "max_score: wants a number"),
    (changed("tests", 0, "status", value="pass"), "status is 'pass'"),
    (changed("tests", 0, "status", value="failed"), "failed with all of its points"),
    (changed("tests", 0, "name", value=3), "name: wants a text"),
    (changed("tests", 0, "name_format", value="bold"), "name_format"),
    (changed("tests", 0, "number", value=1.1), "number: wants a text"),
    (changed("tests", 1, "number", value="1.1"), "the number 1.1 stands there 2 times"),
    (changed("tests", 0, "output", value=None), "output: wants a text"),
    (changed("tests", 0, "output_format", value="HTML"), "output_format"),
    (changed("tests", 0, "tags", value="a"), "tags: wants a list of texts"),
    (changed("tests", 0, "tags", value=[1]), "tags: wants a list of texts"),
    (changed("tests", 0, "visibility", value="never"), "visibility"),
    (changed("tests", 0, "extra_data", value=3), "extra_data: wants a table"),
    (changed("tests", 0, "outptu", value="x"), "'outptu' is no documented key"),
    (changed("leaderboard", value={}), "leaderboard: wants a list"),
    (changed("leaderboard", 0, value=3), "leaderboard[0]: wants a table"),
    (changed("leaderboard", 0, "name"), "leaderboard[0]: name is missing"),
    (changed("leaderboard", 0, "value", value=None), "value: wants a number or a text"),
    (changed("leaderboard", 1, "order", value="up"), "order is 'up'"),
    (changed("extra_data", "x", value={1, 2}), "is no JSON"),
])
def test_every_fault_of_a_table_is_named(table: Any, words: str | None) -> None:
    if words is None:  # a score above the tests suffices
        assert validate(table) == []
    else:
        assert [line for line in validate(table) if words in line], validate(table)


# ------------------------------------------------------------------------------- what runs there


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return autograder_zip(HW, starter(ROOT, HW), KEY, library())


def handed_in(**change: bytes) -> bytes:
    """A zip file as ``minigrad-hw pack`` makes it, with the library's own bodies."""
    names = {blank.file for hw in homeworks() if hw.number <= HW.number for blank in hw.blanks}
    found = {name: (ROOT / name).read_bytes() for name in names}
    found[".minigrad-hw.json"] = b'{"homework": "hw4"}\n'
    return zipped({**found, **change})


@pytest.fixture(scope="module")
def built(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Gradescope's image has it, after setup.sh."""
    root = tmp_path_factory.mktemp("autograder")
    (root / "source").mkdir()
    with zipfile.ZipFile(io.BytesIO(zipped(files, EXECUTABLE))) as archive:
        for entry in archive.infolist():
            target = root / "source" / archive.extract(entry, root / "source")
            target.chmod(entry.external_attr >> 16)
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    ran = subprocess.run([root / "source" / "setup.sh"], capture_output=True, text=True,
                         env={**clean(root), "MINIGRAD_PYTHON": sys.executable})
    assert ran.returncode == 0, ran.stderr
    assert "read the solution" in ran.stdout
    return root


def clean(root: Path) -> dict[str, str]:
    """The environment of a container: none of the variables of this test run."""
    return {"PATH": os.environ["PATH"], "HOME": str(root), "AUTOGRADER": str(root)}


@pytest.fixture
def place(built: Path, tmp_path: Path) -> Path:
    """A fresh container: the image with an empty submission and no results."""
    root = tmp_path / "autograder"
    shutil.copytree(built, root, symlinks=True)
    (root / "submission").mkdir()
    return root


def run(root: Path) -> tuple[int, dict[str, Any], str]:
    ran = subprocess.run([root / "run_autograder"], capture_output=True, text=True, cwd=root,
                         env=clean(root))
    table = json.loads((root / "results" / "results.json").read_text())
    assert validate(table) == []
    return ran.returncode, table, ran.stdout + ran.stderr


def test_the_zip_file_is_the_same_each_time_and_its_scripts_may_be_run(
        files: dict[str, bytes]) -> None:
    content = zipped(files, EXECUTABLE)
    assert content == zipped(autograder_zip(HW, starter(ROOT, HW), KEY, library()), EXECUTABLE)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert {"setup.sh", "run_autograder", "requirements.txt", "course.key"} <= set(modes)
    assert {name for name, mode in modes.items() if mode & 0o111} == set(EXECUTABLE)
    assert all("\r" not in files[name].decode() for name in EXECUTABLE)
    with zipfile.ZipFile(io.BytesIO(zipped({"a": b""}))) as archive:
        assert archive.infolist()[0].external_attr >> 16 == 0o644
    for name in ("waiting.json", "failed.json"):
        assert validate(json.loads(files[name])) == []
    assert "no fault of yours" in json.loads(files["failed.json"])["output"]
    lines = files["requirements.txt"].decode().splitlines()
    assert [line.split("==")[0] for line in lines] == ["numpy", "threadpoolctl"]


@pytest.mark.parametrize("name", EXECUTABLE)
def test_shellcheck_finds_nothing(files: dict[str, bytes], name: str, tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    (tmp_path / name).write_bytes(files[name])
    ran = subprocess.run(["shellcheck", tmp_path / name], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_only_root_can_read_the_solution_and_the_key(built: Path) -> None:
    for path in [built / "source", *(built / "source").rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert stat.S_IMODE((built / "venv" / "bin" / "python").stat().st_mode) == 0o755


@needs_walls
def test_a_submission_is_graded_and_the_file_is_valid_all_the_time(place: Path) -> None:
    (place / "submission" / "ada.zip").write_bytes(handed_in())
    (place / "submission_metadata.json").write_text(json.dumps(
        {"created_at": "2018-08-01T14:22:32.365935-07:00",
         "assignment": {"due_date": "2018-07-31T23:00:00.000000-07:00"}, "users": []}))
    process = subprocess.Popen([place / "run_autograder"], cwd=place, env=clean(place),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seen: list[int] = []
    file = place / "results" / "results.json"
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):  # only before the script began
            table = json.loads(file.read_text())
            assert validate(table) == []
            seen += [table["score"]] * (table["score"] not in seen[-1:])
        time.sleep(0.02)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    table = json.loads(file.read_text())
    assert validate(table) == [] and table["score"] == 100, printed
    assert seen[0] == 0 and seen == sorted(seen) and len(seen) > 3  # a step for each question
    assert table["extra_data"]["late"] is True and "after the deadline" in table["output"]
    assert table["extra_data"]["isolation"] in ("namespaces", "uid")
    assert not stat.S_IMODE((place / "submission_metadata.json").stat().st_mode) & 0o077
    assert not stat.S_IMODE((place / "results").stat().st_mode) & 0o007
    assert [path.name for path in (place / "results").iterdir()] == ["results.json"]


@needs_walls
def test_killed_in_the_middle_the_file_keeps_what_was_earned(place: Path) -> None:
    (place / "submission" / "ada.zip").write_bytes(handed_in())
    process = subprocess.Popen([place / "run_autograder"], cwd=place, env=clean(place),
                               start_new_session=True, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    file = place / "results" / "results.json"
    end = time.monotonic() + 120
    score = 0
    while not score and time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            score = json.loads(file.read_text())["score"]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    table = json.loads(file.read_text())
    assert validate(table) == []
    assert 0 < table["score"] < 100 and "did not end; so far" in table["output"]


def test_an_empty_submission_is_refused(place: Path) -> None:
    code, table, printed = run(place)
    if WITHOUT:
        assert code == 1 and "no fault of yours" in table["output"]
    else:
        assert (code, table["score"]) == (0, 0), printed
        assert "Nothing was graded" in table["output"]


@pytest.mark.parametrize("name", ["settings.json", "release.zip", "course.key"])
def test_a_broken_grader_says_so(place: Path, name: str) -> None:
    (place / "source" / name).unlink()
    code, table, printed = run(place)
    assert code == 1 and table["score"] == 0
    assert "no fault of yours" in table["output"]
    assert "Traceback" in printed and "Traceback" not in json.dumps(table)


@pytest.mark.parametrize("python", ["#!/bin/sh\nexit 3\n", None])
def test_without_a_working_python_the_student_is_told(place: Path, python: str | None) -> None:
    target = place / "venv" / "bin" / "python"
    target.unlink()
    if python is not None:
        target.write_text(python)
        target.chmod(0o755)
    code, table, _ = run(place)
    assert code in (3, 127) and table["score"] == 0
    assert "no fault of yours" in table["output"]


def test_results_of_an_earlier_run_are_replaced_first(place: Path) -> None:
    (place / "results").mkdir()
    (place / "results" / "results.json").write_text('{"score": 100}')
    (place / "venv" / "bin" / "python").write_text("#!/bin/sh\nkill -9 $PPID\nsleep 1\n")
    code, table, _ = run(place)
    assert code == -signal.SIGKILL
    assert table["score"] == 0 and "did not end" in table["output"]


@pytest.mark.slow
def test_setup_with_pip(files: dict[str, bytes], tmp_path: Path) -> None:
    root = tmp_path / "autograder"
    (root / "source").mkdir(parents=True)
    for name, content in files.items():
        (root / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "source" / name).write_bytes(content)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3.12").symlink_to(sys.executable)
    pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http"))}
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(["bash", root / "source" / "setup.sh"], capture_output=True, text=True,
                         env={**clean(root), **pip, "PATH": path})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    versions = subprocess.run([root / "venv" / "bin" / "python", "-m", "pip", "freeze"],
                              capture_output=True, text=True, check=True, env=clean(root)).stdout
    assert set(files["requirements.txt"].decode().split()) <= set(versions.split())
    assert "minigrad" not in versions  # else a submission could import the solution
    assert "read the solution" in ran.stdout


# ------------------------------------------------------------------------------------- its parts


@pytest.fixture
def bare(tmp_path: Path, files: dict[str, bytes]) -> Path:
    for name in ("source", "results", "submission"):
        (tmp_path / name).mkdir()
    for name in ("settings.json", "release.zip", "course.key"):
        (tmp_path / "source" / name).write_bytes(files[name])
    return tmp_path


def table_of(root: Path) -> dict[str, Any]:
    table = json.loads((root / "results" / "results.json").read_text())
    assert validate(table) == []
    return table


def test_the_grader_gets_what_is_in_the_zip_file(bare: Path) -> None:
    got: dict[str, Any] = {}

    def grade(path: Path, setting: Mapping[str, Any], put: Callable[[Result], None]) -> Result:
        got.update(setting, path=path)
        put(untouched(HW, "ada.zip", "Ada"))
        assert table_of(bare)["score"] == 0
        return done((0,))

    (bare / "submission_metadata.json").write_text(
        '{"created_at": "2018-08-02T00:00Z", "assignment": {"due_date": "2018-08-01T00:00Z"}}')
    assert graded(bare, grade) == 0
    assert table_of(bare)["extra_data"]["late"] is True
    assert table_of(bare)["score"] == 100 - HW.checks[0].points
    assert got["homework"] is HW and got["key"] == KEY and got["path"] == bare / "submission"
    assert got["starter"] == starter(ROOT, HW)
    assert (got["isolation"], got["patience"]) == ("auto", 1.0)


@pytest.mark.parametrize("error", [OSError("full"), MemoryError(), ValueError(), RecursionError()])
def test_a_crash_keeps_what_was_earned(bare: Path, error: Exception) -> None:
    def grade(path: Path, setting: Mapping[str, Any], put: Callable[[Result], None]) -> Result:
        half = untouched(HW, "ada.zip", "Ada")
        half.questions[0] = done().questions[0]
        put(half)
        raise error

    assert graded(bare, grade) == 1
    table = table_of(bare)
    assert table["score"] == HW.questions[0].points
    assert "no fault of yours" in table["output"] and table["extra_data"]["state"] == State.FAILED


def test_a_result_that_failed_is_an_exit_status(bare: Path) -> None:
    failed = dataclasses.replace(done(), state=State.FAILED)
    assert graded(bare, lambda path, setting, put: failed) == 1
    assert table_of(bare)["extra_data"]["state"] == State.FAILED


@pytest.mark.parametrize(("content", "want"), [
    ('{"created_at": "2018-07-01T14:22:32.365935-07:00", '
     '"assignment": {"due_date": "2018-07-31T23:00:00.000000-07:00"}}', False),
    ('{"created_at": "2018-08-01T06:00:01+00:00", '
     '"assignment": {"due_date": "2018-07-31T23:00:00-07:00"}}', True),
    ('{"created_at": "2018-08-01T06:00:00+00:00", '
     '"assignment": {"due_date": "2018-07-31T23:00:00-07:00"}}', False),
    ('{"created_at": "2018-07-01T14:22:32", '
     '"assignment": {"due_date": "2018-07-31T23:00:00-07:00"}}', None),
    ('{"created_at": "2018-07-01", "assignment": {"due_date": null}}', None),
    ('{"assignment": []}', None), ("[]", None), ("", None), ("{", None), ("[" * 99_999, None),
    ("\ud800", None), (None, None)])
def test_late_is_what_the_metadata_say(tmp_path: Path, content: str | None, want: bool | None
                                       ) -> None:
    path = tmp_path / "submission_metadata.json"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert was_late(path) is want


def test_what_was_handed_in_is_found(tmp_path: Path) -> None:
    assert submitted(tmp_path / "none") == tmp_path / "none"
    assert submitted(tmp_path) == tmp_path
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "ada.ZIP").touch()
    assert submitted(tmp_path) == tmp_path / "ada.ZIP"
    (tmp_path / "ops.py").touch()
    assert submitted(tmp_path) == tmp_path
    (tmp_path / "ops.py").unlink()
    (tmp_path / "ada.ZIP").unlink()
    (tmp_path / "link.zip").symlink_to("/etc/passwd")
    assert submitted(tmp_path) == tmp_path
    (tmp_path / "link.zip").unlink()
    (tmp_path / "folder.zip").mkdir()
    assert submitted(tmp_path) == tmp_path


def test_the_library_is_all_that_the_grader_imports(files: dict[str, bytes]) -> None:
    found = library()
    assert "minigrad/homework/grading/cell.py" in found and "minigrad/homework/hw4.toml" in found
    assert not any(name.startswith("minigrad/data/files") for name in found)
    assert {name for name in files if name.startswith("library/")} == {
        f"library/{name}" for name in found}
    assert gradescope.AT == "/autograder"
