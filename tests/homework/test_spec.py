"""Every mistake in a homework's TOML file is named, with the entry that it is in."""

import re

import pytest
from tiny_homework import EIGHT, HW8

from minigrad.homework import spec
from minigrad.homework.release import checkout, library, missing_blanks
from minigrad.homework.spec import SpecError, all_blanks, homework, homeworks, parse


def test_a_right_one_is_read() -> None:
    assert [q.id for q in EIGHT.questions] == ["hw8.Q1", "hw8.Q2"]
    assert [q.points for q in EIGHT.questions] == [60, 40]
    assert EIGHT.number == 8
    check = EIGHT.checks[1]
    assert (check.blanks, check.hidden_cases, check.timeout_s) == (("hw8.Q2.double",), 3, 2)
    assert check.visible and check.question == "hw8.Q2"
    blank = EIGHT.blanks[2]
    assert (blank.question, blank.homework, blank.given) == (
        "hw8.Q2", "hw8", ("_hidden_helper", "math"))
    assert EIGHT.questions[1].needs == ("hw8.Q1",)


@pytest.mark.parametrize(("old", "new", "says"), [
    ('title = "First"', 'title = "First', "hw8.toml: "),
    ('title = "First"', "", "hw8: missing keys ['title']"),
    ('title = "First"', 'title = "First"\nauthor = "me"', "unknown keys ['author']"),
    ('title = "First"', "title = 1", "hw8: title is to be str, got 1"),
    ('id = "hw8.Q2"', 'id = "hw8.Q3"', "its question and its name, hw8.Q3.double"),
    ('id = "hw8.Q2"', "id = 2", "the id is to be text, got 2"),
    ('id = "hw8.Q1"\n', "", "a question of hw8: missing keys ['id']"),
    ('title = "Scale"', "", "hw8.Q1: missing keys ['title']"),
    ('title = "Scale"', 'title = ["Scale"]', "hw8.Q1: title is to be str"),
    ('needs = ["hw8.Q1"]', 'needs = ["hw8.Q2"]', "hw8.Q2: needs hw8.Q2"),
    ('needs = ["hw8.Q1"]', 'needs = ["hw7.Q1"]', "hw8.Q2: needs hw7.Q1"),
    ('needs = ["hw8.Q1"]', 'needs = "hw8.Q1"', "hw8.Q2: needs is to be a list of str"),
    ('needs = ["hw8.Q1"]', 'need = ["hw8.Q1"]', "unknown keys ['need']"),
    ('id = "hw8.Q2.double"', 'id = "hw8.Q2.twice"', "hw8.Q2.twice: the id of a blank"),
    ('id = "hw8.Q2.double"', 'id = "hw8.Q1.double"', "the id of a blank"),
    ('name = "double"', 'name = 5', "hw8.Q2.double: name is to be str"),
    ('name = "double"', "", "hw8.Q2.double: missing keys ['name']"),
    ('file = "minigrad/arith.py"', 'file = "../arith.py"', "no Python file"),
    ('file = "minigrad/arith.py"', 'file = "minigrad/../setup.py"', "no Python file"),
    ('file = "minigrad/arith.py"', 'file = "/minigrad/arith.py"', "no Python file"),
    ('file = "minigrad/arith.py"', 'file = "minigrad/arith.txt"', "no Python file"),
    ('hints = ["one", "two", "three"]', 'hints = ["one", "two"]', "wants 3 hints"),
    ('hints = ["one", "two", "three"]', 'hints = "one"', "hints is to be a list of str"),
    ('hints = ["one", "two", "three"]', 'hints = ["one", " ", "three"]', "wants 3 hints"),
    ('hints = ["one", "two", "three"]', 'hints = ["one", 2, "three"]', "a list of str"),
    ('given = ["_hidden_helper", "math"]', 'given = "math"', "given is to be a list of str"),
    ("points = 40", "points = 41", "the checks have 101 points in all, want 100"),
    ("points = 40", "points = 0", "hw8.Q2.values: the id begins with"),
    ("points = 40", 'points = "40"', "points is to be int, got '40'"),
    ("points = 40", "points = 40.0", "points is to be int, got 40.0"),
    ("points = 40", "points = true", "points is to be int, got True"),
    ('id = "hw8.Q2.values"', 'id = "hw8.Q1.values"', "hw8.Q1.values: the id begins with hw8.Q2"),
    ('blanks = ["double"]', 'blanks = ["dubble"]', "blanks ['dubble'] are not among"),
    ('blanks = ["double"]', 'blanks = ["Scale.forward"]', "blanks ['Scale.forward'] are not"),
    ('blanks = ["double"]', "blanks = []", "blanks [] are not among"),
    ('blanks = ["double"]', 'blanks = "double"', "blanks is to be a list of str"),
    ('blanks = ["double"]', 'blanks = ["double", "double"]', "double stands there twice"),
    ('blanks = ["Scale.forward", "Scale.backward"]', 'blanks = ["Scale.forward"]',
     "no check is about hw8.Q1.Scale.backward"),
    ("hidden_cases = 3", "hidden_cases = 0", "are to be positive"),
    ("hidden_cases = 3", "hidden_cases = 2.5", "hidden_cases is to be int"),
    ("timeout_s = 2", "timeout_s = -1", "are to be positive"),
    ("timeout_s = 2", "timeout_s = inf", "are to be positive"),
    ("timeout_s = 2", "timeout_s = nan", "are to be positive"),
    ("timeout_s = 2", 'timeout_s = "2"', "timeout_s is to be float"),
    ("timeout_s = 2", "timeout = 2", "unknown keys ['timeout']"),
    ("timeout_s = 2", 'visible = "yes"', "visible is to be bool"),
    ("[[question.check]]", "[question.check]", "check"),
    ("[[question]]", "[question]", "hw8"),
])
def test_mistakes_are_named(old: str, new: str, says: str) -> None:
    assert old in HW8
    with pytest.raises(SpecError, match=re.escape(says)):
        parse("hw8", new.join(HW8.rsplit(old, 1)))


@pytest.mark.parametrize("text", ["", "title = 'a'", "title = 'a'\nquestion = []",
                                  "title = 'a'\nquestion = [1]", "title = 'a'\nquestion = 'x'",
                                  "title = 'a'\n[[question]]\n", "\0", "title = 'a'\n[question]"])
def test_nearly_empty_files(text: str) -> None:
    with pytest.raises(SpecError, match="hw8"):
        parse("hw8", text)


@pytest.mark.parametrize(("old", "new", "says"), [
    ("hw8.Q2.values", "hw8.Q1.both", "begins with"),
    ('id = "hw8.Q2.double"\n  file = "minigrad/arith.py"\n  name = "double"',
     'id = "hw8.Q2.Scale.forward"\n  file = "minigrad/arith.py"\n  name = "Scale.forward"',
     "Scale.forward in minigrad/arith.py stands there twice"),
])
def test_the_same_twice(old: str, new: str, says: str) -> None:
    text = HW8.replace(old, new).replace('blanks = ["double"]', 'blanks = ["Scale.forward"]') \
        if "Scale" in new else HW8.replace(old, new)
    with pytest.raises(SpecError, match=says):
        parse("hw8", text)


def test_questions_are_numbered_from_one() -> None:
    with pytest.raises(SpecError, match=r"question 2 is to have the id hw8\.Q2"):
        parse("hw8", HW8.replace("hw8.Q2", "hw8.Q3"))


def test_a_check_or_blank_listed_twice() -> None:
    block = HW8[HW8.index("  [[question.check]]"):HW8.index("[[question]]\nid = \"hw8.Q2\"")]
    with pytest.raises(SpecError, match=re.escape("hw8, checks: hw8.Q1.both stands there twice")):
        parse("hw8", HW8.replace(block, (block * 2).replace("60", "30")))
    begin = HW8.rindex("  [[question.blank]]")
    block = HW8[begin:HW8.rindex("  [[question.check]]")]
    with pytest.raises(SpecError, match=re.escape("hw8.Q2.double stands there twice")):
        parse("hw8", HW8.replace(block, block * 2))


def test_files_beside_the_homeworks(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that editors leave are no homeworks; two homeworks have no blank in common."""
    (tmp_path / "hw8.toml").write_text(HW8)
    (tmp_path / "hw8_old.toml").write_text("broken")
    (tmp_path / "hw10.toml").write_text(HW8.replace("hw8", "hw10").replace("arith", "other"))
    monkeypatch.setattr(spec, "HERE", tmp_path)
    assert [hw.name for hw in homeworks.__wrapped__()] == ["hw8", "hw10"]  # by number
    (tmp_path / "hw10.toml").write_text(HW8.replace("hw8", "hw10"))
    with pytest.raises(SpecError, match="stands there twice"):
        homeworks.__wrapped__()


def test_the_real_ones_fit_the_library() -> None:
    assert [hw.name for hw in homeworks()][:4] == ["hw1", "hw2", "hw3", "hw4"]
    reference = library(checkout())
    assert missing_blanks(reference, [*all_blanks().values()]) == []
    with pytest.raises(SpecError, match="'hw77'; there are hw1, hw2"):
        homework("hw77")
