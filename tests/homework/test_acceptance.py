"""What a lecturer must be able to verify, verified: every point of every homework.

Each test is one line of `python -m minigrad.homework.instructor verify`. Of the wrong and the
alternative right bodies the default run tries a third, always the same; `-m slow` tries them all.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from syntax import ROOT

from minigrad.homework.acceptance import (
    POINTS,
    Bench,
    bodies_of,
    chosen,
    right_bodies,
    single_blanks,
    wrong_bodies,
)
from minigrad.homework.instructor import main
from minigrad.homework.spec import homeworks

SHARE = 3  # of the bodies, one in so many
# Where pytest itself runs in several processes, each of these works on one tree.
COPIES = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(2, os.cpu_count() or 1)

each_homework = pytest.mark.parametrize("homework", homeworks(), ids=lambda hw: hw.name)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(ROOT, copies=COPIES, share=SHARE) as found:
        yield found


@each_homework
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_point(bench, point, homework):
    finding = point.measure(bench, homework)
    assert finding.against == [], finding.text


@pytest.mark.slow
@each_homework
@pytest.mark.parametrize("measure", [wrong_bodies, right_bodies])
def test_all_bodies(measure, homework):
    with Bench(ROOT, copies=COPIES) as whole:
        finding = measure(whole, homework)
    assert finding.against == [], finding.text
    assert " of " not in finding.text.split(" tried")[0], "all of them"


def test_a_share_has_some_of_every_blank_and_question():
    for hw in homeworks():
        bodies = bodies_of(ROOT, hw)
        wrong = chosen(bodies.wrong, lambda entry: entry.blank, SHARE)
        right = chosen(bodies.right, lambda alternative: alternative[0], SHARE)
        assert {entry.blank for entry in wrong} == {blank.id for blank in hw.blanks}
        assert {question for question, _ in right} == {question.id for question in hw.questions}
        assert len(wrong) == pytest.approx(len(bodies.wrong) / SHARE, rel=0.2)


def test_a_share_is_always_the_same():
    """Wherever the entries stand, and whatever other groups there are."""
    entries = [f"{group}{i}" for group in "abc" for i in range(7)]
    found = chosen(entries, lambda entry: entry[0], 3)
    assert found == ["a3", "a4", "b1", "b3", "c1", "c4"]
    assert sorted(chosen(entries[::-1], lambda entry: entry[0], 3)) == found
    assert chosen(entries[7:], lambda entry: entry[0], 3) == found[2:]
    assert chosen(entries, lambda entry: entry[0], 100) == ["a3", "b3", "c1"]
    assert chosen(entries, lambda entry: entry[0], 1) == entries
    assert chosen([], lambda entry: entry[0], 3) == []


def test_there_are_enough_bodies():
    wrong = [entry for hw in homeworks() for entry in bodies_of(ROOT, hw).wrong]
    assert len(wrong) >= 100
    assert len({(entry.blank, entry.body) for entry in wrong}) == len(wrong)


# ---- each point can fail: a homework with a fault in it


def test_a_blank_that_no_check_names_is_noticed(bench):
    """Of its own question: that another one is BLOCKED by it does not suffice."""
    hw1 = homeworks()[0]
    question = hw1.questions[0]
    blank = question.blanks[-1]
    checks = tuple(replace(c, blanks=tuple(b for b in c.blanks if b != blank.id) or
                           (question.blanks[0].id,)) for c in question.checks)
    lame = replace(hw1, questions=(replace(question, checks=checks), *hw1.questions[1:]))
    assert single_blanks(bench, lame).against == [f"{blank.id} open: no check of hw1.Q1 names it"]


@pytest.fixture
def bodies(monkeypatch, bench):
    """A function that makes the points see other bodies."""

    def use(text: str) -> None:
        folder = bench.root
        real = Path.read_text

        def read(path: Path, *args, **kwargs) -> str:
            here = path.parent == folder / "tests" / "homework" / "bodies"
            return text if here else real(path, *args, **kwargs)

        monkeypatch.setattr(Path, "read_text", read)

    return use


def test_a_right_body_among_the_wrong_ones_is_noticed(bench, bodies):
    bodies('[[wrong]]\nblank = "hw1.Q1.EWiseDiv.compute"\ncause = "sign"\n'
           'body = "a, b = match(self, a, b)\\nreturn a / b"\n')
    finding = wrong_bodies(bench, homeworks()[0])
    assert "is not caught" in "\n".join(finding.against)


def test_a_wrong_cause_is_noticed(bench, bodies):
    bodies('[[wrong]]\nblank = "hw1.Q1.EWiseDiv.compute"\ncause = "transposed"\n'
           'body = "return -a / b"\n')
    finding = wrong_bodies(bench, homeworks()[0])
    assert "'transposed' is not in" in "\n".join(finding.against)
    assert "is not caught" not in "\n".join(finding.against)


def test_a_wrong_body_among_the_right_ones_is_noticed(bench, bodies):
    bodies('[[right]]\nquestion = "hw1.Q1"\n[right.bodies]\n'
           '"hw1.Q1.EWiseDiv.compute" = "return a * b"\n')
    finding = right_bodies(bench, homeworks()[0])
    assert any("hw1.Q1.div" in line for line in finding.against)


def test_a_share_is_said_and_the_number_is_that_of_all(bench, bodies):
    """Two wrong bodies are too few, three are not, of which a third is one."""
    entry = ('[[wrong]]\nblank = "hw1.Q1.EWiseDiv.compute"\ncause = "sign"\n'
             'body = "a, b = match(self, a, b)\\nreturn -a / b  # {}"\n')
    for count in (2, 3):
        bodies("".join(entry.format(i) for i in range(count)))
        finding = wrong_bodies(bench, homeworks()[0])
        assert f"1 of {count} wrong bodies tried, 1 caught" in finding.text
        few = [line for line in finding.against if line.startswith("hw1.Q1.EWiseDiv.compute")]
        assert few == (["hw1.Q1.EWiseDiv.compute: 2 known-wrong bodies, want 3"]
                       if count == 2 else [])


def test_the_command_prints_what_it_measured(capsys):
    assert main(["verify", "hw3", "--quick", "--only", "starter", "points"]) == 0
    said = capsys.readouterr().out
    assert "2. The starter scores 0" in said
    assert "ok   hw3: 0 points" in said
    assert "100" in said


def test_the_command_knows_its_homeworks(capsys):
    assert main(["verify", "hw99"]) == 2
    assert "there is no homework 'hw99'" in capsys.readouterr().err


def test_releases_are_the_same_twice(tmp_path, capsys):
    for folder in ("a", "b"):
        assert main(["release", "hw1", "--out", str(tmp_path / folder)]) == 0
    first, second = (tmp_path / f / "minigrad-hw1.zip" for f in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert "SHA-256" in capsys.readouterr().out
