"""What a student does, from the first command to the zip file, in a folder of their own."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from syntax import ROOT

from minigrad.homework.cli import main
from minigrad.homework.source import BEGIN, body_of, decode, is_open, with_body
from minigrad.homework.spec import Blank, homework, homeworks

HW1 = homework("hw1")
DIV = HW1.blanks[0]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A folder as `start` makes it; tests work on copies of it."""
    into = tmp_path_factory.mktemp("fresh") / "hw1"
    assert main(["start", "hw1", "--into", str(into)]) == 0
    return into


@pytest.fixture
def folder(fresh, tmp_path, monkeypatch) -> Path:
    """One's own folder, in which one is."""
    own = tmp_path / "hw1"
    shutil.copytree(fresh, own)
    monkeypatch.chdir(own)
    return own


def write(folder: Path, blank: Blank, body: str | None = None) -> None:
    """Put a body into a blank, the library's by default."""
    path = folder / blank.file
    if body is None:
        body = body_of(decode((ROOT / blank.file).read_bytes()), blank.name).text
    path.write_text(with_body(decode(path.read_bytes()), blank.name, body, blank.id),
                    encoding="utf-8")


def said(capsys) -> str:
    return capsys.readouterr().out


def test_start_makes_the_folder(fresh):
    names = {path.name for path in fresh.iterdir()}
    assert names == {"minigrad", "gans", "notebooks", "tests", "README.md", "pyproject.toml",
                     ".minigrad-hw.json"}
    assert not (fresh / "minigrad" / "homework").exists()
    assert [p.name for p in (fresh / "notebooks").iterdir()] == ["hw1_autograd.ipynb"]
    assert [p.name for p in (fresh / "tests").iterdir()] == ["hw1"]
    assert f"{BEGIN} {DIV.id}" in (fresh / DIV.file).read_text(encoding="utf-8")


def test_status_and_check_of_an_untouched_folder(folder, capsys):
    assert main(["status"]) == 0
    text = said(capsys)
    assert f"open       {DIV.name}" in text
    assert "next: hw1.Q1" in text
    assert main(["check"]) == 1
    text = said(capsys)
    assert "0 of 100 points" in text
    assert text.count("not written yet") == 1, "one blank is next, and not all of them"


def test_the_first_right_blank(folder, capsys):
    write(folder, DIV)
    assert main(["check", "hw1.Q1.div"]) == 0
    assert "All public checks passed" in said(capsys)
    assert main(["status"]) == 0
    assert "2 of 15 points at the last check" in said(capsys)


def test_a_wrong_blank_and_its_message(folder, capsys):
    write(folder, DIV, "return a * b")
    assert main(["check", "EWiseDiv.compute"]) == 1
    text = said(capsys)
    for part in ("WRONG", "hw1.Q1.div", DIV.id, f"{DIV.file}:", "yours", "want", "seed 0, case 0",
                 "again: minigrad-hw check hw1.Q1.div"):
        assert part in text


def test_the_command_of_a_message_repeats_the_message(folder, capsys):
    write(folder, DIV, "return a * b")
    assert main(["check", "hw1.Q1.div", "--seed", "7"]) == 1
    text = said(capsys)
    again = next(line for line in text.splitlines() if "again: " in line).split("minigrad-hw ")[1]
    assert again == "check hw1.Q1.div --seed 7"
    assert main(again.split()) == 1
    assert said(capsys) == text


@pytest.mark.parametrize("target", ["hw1", "hw1.Q2", "hw1.Q1.div", "EWiseDiv.compute", DIV.id])
def test_targets(folder, target, capsys):
    assert main(["list", target]) == 0
    assert "hw1.Q" in said(capsys)


@pytest.mark.parametrize("words", [
    ["check", "EWiseDve.compute"], ["check", "hw9"], ["hint", "nothing"], ["hint", "hw1"],
    ["reset", "hw1.Q1"], ["start", "hw77"],
])
def test_what_there_is_not_is_refused(folder, words, capsys):
    assert main(words) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("minigrad-hw: ")


def test_outside_of_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "not a homework folder" in capsys.readouterr().err


def test_hints_get_better_and_stay(folder, capsys):
    for count in (1, 2, 3, 3):
        assert main(["hint", "EWiseDiv.compute"]) == 0
        text = said(capsys)
        assert text.count("  hint ") == count
        assert ("a better one" in text) == (count < 3)


def test_a_hint_for_a_question_is_about_what_is_open(folder, capsys):
    write(folder, DIV)
    main(["check", "hw1.Q1"])
    said(capsys)
    assert main(["hint", "hw1.Q1"]) == 0
    text = said(capsys)
    assert text.startswith(HW1.blanks[1].id), "the first one is written and right"


def test_reset_keeps_what_was_written(folder, capsys):
    write(folder, DIV, "return a / b  # mine")
    assert main(["reset", "EWiseDiv.compute"]) == 0
    kept = said(capsys).split("the file as it was: ")[1].strip()
    assert "# mine" in (folder / kept).read_text(encoding="utf-8")
    assert is_open(body_of((folder / DIV.file).read_text(encoding="utf-8"), DIV.name).text)


def test_pack_holds_what_was_written_and_nothing_else(folder, capsys):
    write(folder, DIV, "return helped(a, b)")
    (folder / "minigrad" / "mine.py").write_text("helped = 1\n", encoding="utf-8")
    (folder / "numpy.py").write_text("", encoding="utf-8")
    assert main(["pack"]) == 0
    assert "1 of 19 blanks written" in said(capsys)
    with zipfile.ZipFile(folder / "hw1-submission.zip") as archive:
        names = set(archive.namelist())
        assert "helped(a, b)" in archive.read(DIV.file).decode()
    wanted = {blank.file for blank in HW1.blanks} | {".minigrad-hw.json", "minigrad/mine.py"}
    assert names == wanted


def test_packing_twice_gives_equal_bytes(folder, tmp_path, capsys):
    for name in ("a.zip", "b.zip"):
        assert main(["pack", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_syntax_error_is_said_once(folder, capsys):
    write(folder, DIV, "return a / b")
    path = folder / DIV.file
    path.write_text(path.read_text(encoding="utf-8").replace("return a / b", "return (a / b"),
                    encoding="utf-8")
    assert main(["check"]) == 1
    text = said(capsys)
    assert text.count("SyntaxError") == 1
    assert f"at {DIV.file}:" in text
    assert main(["status"]) == 0
    assert "unreadable" in said(capsys)


def test_the_next_homework_takes_the_work_along(fresh, tmp_path, monkeypatch, capsys):
    shutil.copytree(fresh, tmp_path / "hw1")
    for blank in HW1.blanks[:3]:
        write(tmp_path / "hw1", blank)
    monkeypatch.chdir(tmp_path)
    assert main(["start", "hw2"]) == 0
    assert "carried over from hw1: 3 blanks" in said(capsys)
    write(tmp_path / "hw1", HW1.blanks[3])
    write(tmp_path / "hw2", HW1.blanks[0], "return 'mine'")
    assert main(["start", "hw2"]) == 0
    assert "carried over from hw1: 1 blanks" in said(capsys)
    assert "return 'mine'" in (tmp_path / "hw2" / HW1.blanks[0].file).read_text(encoding="utf-8")


def test_start_within_a_folder_makes_the_next_one_beside_it(folder, capsys):
    write(folder, DIV)
    assert main(["start", "hw2"]) == 0
    assert "1 blanks that were open here" in said(capsys)
    assert (folder.parent / "hw2" / "minigrad").is_dir()
    assert not (folder / "hw2").exists()


def test_start_again_puts_back_what_is_missing_and_only_that(folder, capsys):
    write(folder, DIV, "return 'mine'")
    shutil.rmtree(folder / "gans")
    (folder / "minigrad" / "errors.py").unlink()
    assert main(["start", "hw1"]) == 0
    assert "was missing, put back: minigrad/errors.py" in said(capsys)
    assert (folder / "gans" / "gan.py").is_file()
    assert "return 'mine'" in (folder / DIV.file).read_text(encoding="utf-8")


def test_start_without_an_earlier_homework_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["start", "hw2"]) == 0
    assert "--from FOLDER" in said(capsys)


def test_a_submission_is_no_release(folder, tmp_path, capsys):
    assert main(["pack"]) == 0
    assert main(["start", "hw1", "--release", "hw1-submission.zip",
                 "--into", str(tmp_path / "other")]) == 2
    assert "is it a submission?" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_reset_of_a_blank_that_does_not_parse(folder, capsys):
    write(folder, DIV, "return a / b")
    path = folder / DIV.file
    path.write_text(path.read_text(encoding="utf-8").replace("return a / b", "return (a / b"),
                    encoding="utf-8")
    assert main(["reset", DIV.name]) == 0
    assert is_open(body_of(path.read_text(encoding="utf-8"), DIV.name).text)


def test_one_blank_is_not_judged_by_others(folder, capsys):
    """A check of all operations cannot be run yet: that is said, and does not count."""
    write(folder, DIV)
    assert main(["check", DIV.name]) == 0
    text = said(capsys)
    assert "2 of 2 points. All public checks passed" in text
    assert "1 check can be run later" in text


def test_what_waits_for_what_is_one_line(folder, capsys):
    assert main(["check", "hw1.Q4"]) == 1
    text = said(capsys)
    assert "9 checks wait for hw1.Q" in text
    assert len(text.splitlines()) <= 8


def test_a_change_outside_the_blanks_is_suspected(folder, capsys):
    write(folder, DIV, "return a * b")
    path = folder / DIV.file
    path.write_text(path.read_text(encoding="utf-8").replace(
        "        return a - b\n", "        return a + b\n"), encoding="utf-8")
    assert main(["check", "hw1.Q1.div"]) == 1
    assert "changed outside the blanks: EWiseSub.compute" in said(capsys)
    assert main(["pack"]) == 0
    assert "careful: changed outside the blanks" in said(capsys)


@pytest.mark.parametrize("wrong, right", [("ewisediv.compute", "EWiseDiv.compute"),
                                          ("Q2", "hw1.Q2"), ("MatMul.gradent", "MatMul.gradient")])
def test_what_may_have_been_meant(folder, wrong, right, capsys):
    assert main(["check", wrong]) == 2
    assert f"did you mean {right}?" in capsys.readouterr().err


def test_a_wheel_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minigrad.homework.workplace.checkout", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert main(["start", "hw1"]) == 2
    assert "--release minigrad-hw1.zip" in capsys.readouterr().err


def test_pytest_in_the_folder(folder):
    """`pytest -m hw1`: the messages are the tool's; nothing of the folder's own is imported."""
    write(folder, DIV)
    (folder / "minigrad" / "errors.py").write_text("1 / 0\n", encoding="utf-8")
    done = run_pytest(folder)
    assert "ZeroDivisionError" in done.stdout
    shutil.copy(ROOT / "minigrad" / "errors.py", folder / "minigrad" / "errors.py")
    done = run_pytest(folder)
    assert f"{len(HW1.checks) - 1} failed, 1 passed" in done.stdout, done.stdout[-3000:]
    assert "try: minigrad-hw hint" in done.stdout


def run_pytest(folder: Path) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run([sys.executable, "-m", "pytest", "-m", "hw1", "-q", "-p",
                           "no:cacheprovider"],
                          cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_json_for_programs(folder, capsys):
    main(["check", "hw1.Q1", "--json"])
    found = json.loads(said(capsys))
    assert {entry["outcome"] for entry in found} == {"UNSOLVED"}
    assert all(entry["message"].count("\n") < 12 for entry in found)


def test_ctrl_c(folder, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minigrad.homework.cli.run_checks", interrupted)
    assert main(["check"]) == 130


def test_the_test_files_differ_in_the_number_only():
    texts = {hw.number: (ROOT / "tests" / hw.name / f"test_{hw.name}.py").read_text(
        encoding="utf-8") for hw in homeworks()}
    assert {text.replace(f"hw{n}", "hwN") for n, text in texts.items()} == {
        texts[1].replace("hw1", "hwN")}
