"""Results of gradings: what is written is read again, and no text gets out of its cell."""

import csv
import dataclasses
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minigrad.homework.grading import results as results_module
from minigrad.homework.grading.results import (
    CheckResult,
    QuestionResult,
    Result,
    ResultError,
    State,
    cell,
    csv_of,
    feedback,
    plain,
    read_results,
    untouched,
    write_result,
)
from minigrad.homework.spec import homework

HW1 = homework("hw1")
NASTY = ["=cmd()", "\x1b[31mred\x1b[0m", "<script>alert(1)</script>", "a,b;\"c\"\r\n=1", "\n=1+1",
         "", " @x", "\t-1", "＝1", ";=1;+2", "\u202eflipped", "\ud800", "\x00", "`md` **x**", "'",
         '"']
TEXTS = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=()), max_size=12)
CHECKS = st.builds(CheckResult, id=TEXTS, points=st.integers(1, 9), score=st.integers(0, 9),
                   outcome=TEXTS, blank=TEXTS, message=TEXTS, hidden=st.booleans())
SECONDS = st.floats(0, 1e4)
QUESTIONS = st.builds(
    QuestionResult, id=st.sampled_from([q.id for q in HW1.questions]) | TEXTS, title=TEXTS,
    state=st.sampled_from(State.ALL), reason=TEXTS, seconds=SECONDS,
    checks=st.lists(CHECKS, max_size=2))
RESULTS = st.builds(
    Result, homework=TEXTS, submission=TEXTS, student=TEXTS, digest=TEXTS, cases=TEXTS,
    isolation=TEXTS, state=st.sampled_from(State.ALL), reason=TEXTS,
    late=st.sampled_from([None, True, False]), notes=st.lists(TEXTS, max_size=2),
    questions=st.lists(QUESTIONS, max_size=3), seconds=SECONDS)


@given(RESULTS)
def test_a_result_is_read_as_it_was_written(result: Result) -> None:
    text = result.to_json()
    assert text.isascii()
    assert Result.from_json(text) == result
    assert json.loads(text)["score"] == sum(c.score for q in result.questions for c in q.checks)


@settings(max_examples=25, phases=[Phase.generate])  # a smaller class tells no more
@given(st.lists(RESULTS, min_size=40, max_size=40))
def test_forty_results_are_forty_rows_whatever_their_texts(results: list[Result]) -> None:
    text = csv_of(results, HW1)
    text.encode()  # no half of a character is left
    for parted in (csv.reader(io.StringIO(text), strict=True),
                   csv.reader(io.StringIO(text), strict=False, delimiter=";")):
        rows = list(parted)
        assert len(rows) == 41
        for row in rows:
            for value in row:
                assert not value.lstrip().startswith(tuple("=+-@＝＋－＠\t\r")), value
    rows = list(csv.DictReader(io.StringIO(text)))
    assert all(None not in row and None not in row.values() for row in rows)
    assert [row["submission"] for row in rows] == [
        cell(r.submission) for r in sorted(results, key=lambda r: r.submission)]
    for row, result in zip(rows, sorted(results, key=lambda r: r.submission), strict=True):
        assert row["score"] == ("" if result.state == State.FAILED else str(result.score))


@given(TEXTS)
def test_no_text_holds_what_a_terminal_or_a_reader_could_take_for_more(text: str) -> None:
    for char in plain(text):
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


@pytest.mark.parametrize("char", [
    "\x1b", "\x07", "\x9b", "\u00ad", "\u061c", "\u200b", "\u202e", "\u2028", "\u2066", "\ufeff",
    "\U000e0041", "\ud83d", "\u3164", "\u2800", "\x7f", "\r"])
def test_characters_that_nobody_sees_are_marked(char: str) -> None:
    assert plain(f"a{char}b") == "a?b"


def test_ordinary_texts_stay_as_they_are() -> None:
    assert plain("Grüße, 日本, ∂L/∂x ≠ 0 🙂\nnext") == "Grüße, 日本, ∂L/∂x ≠ 0 🙂\nnext"
    assert plain("a\tb\r\nc\x1b[1;31mred") == "a b\nc?red"


@pytest.mark.parametrize(("value", "want"), [
    ("=1+1", "'=1+1"), (" =1", "' =1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(1)", "'@SUM(1)"),
    ("\t=1", "' =1"), ("＝1", "'＝1"), ("a;=1", "a,=1"), ("a\n=1", "a / =1"), ("\n=1", " / =1"),
    (-1, "-1"), (1.5, "1.5"), (None, ""), (True, "True"), ("Ada", "Ada")])
def test_a_cell_is_never_a_formula(value: object, want: str) -> None:
    assert cell(value) == want


def test_the_table_shows_who_lost_points_where() -> None:
    result = untouched(HW1, "ada.zip", "Ada")
    result.state, result.reason, result.late, result.seconds = State.DONE, "", True, 1.26
    result.questions[1].checks[0].score = 2
    failed = untouched(HW1, "bob.zip", "Bob")
    failed.state = State.FAILED
    ada, bob = csv.DictReader(io.StringIO(csv_of([failed, result], HW1)))
    assert (ada["student"], ada["score"], ada["hw1.Q1"], ada["hw1.Q2"]) == ("Ada", "2", "0", "2")
    assert (ada["late"], ada["seconds"], ada["state"]) == ("late", "1.3", "done")
    assert (bob["score"], bob["hw1.Q2"], bob["state"]) == ("", "", "grader failed")


def test_untouched_is_the_worst_that_can_be() -> None:
    result = untouched(HW1, "a\x1b.zip", "A")
    assert (result.score, result.points, result.state) == (0, 100, State.WAITING)
    assert result.submission == "a?.zip"
    assert [c.id for q in result.questions for c in q.checks] == [c.id for c in HW1.checks]


def damaged(**change: object) -> str:
    table = json.loads(untouched(HW1, "ada.zip", "Ada").to_json())
    return json.dumps({**table, **change})


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", "3", '"text"', "{}", '{"score": 0}', "[" * 100_000,
    damaged(version=2), damaged(state="perfect"), damaged(score=100), damaged(submission=3),
    damaged(notes="text"), damaged(notes=[1]), damaged(late=1), damaged(seconds="long"),
    damaged(questions=3), damaged(questions=[3]), damaged(questions=[{}]), damaged(extra=1),
    damaged(seconds=True), damaged(homework=None),
    damaged(seconds=float("nan")), damaged(seconds=float("inf")),
    damaged().replace('"seconds": 0.0', '"seconds": 1e999'),
    damaged(questions=[{"id": "q", "title": "t", "checks": [{"id": "c", "points": "3"}]}]),
    damaged(questions=[{"id": "q", "title": "t", "checks": [
        {"id": "c", "points": 3, "score": True}]}]),
])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(ResultError):
        Result.from_json(text)


def test_a_score_written_by_hand_is_noticed() -> None:
    with pytest.raises(ResultError, match="score is 100, but the checks give 0"):
        Result.from_json(damaged(score=100))


def test_a_folder_is_read_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no results in"):
        read_results(tmp_path)
    for name in ("bob", "ada"):
        write_result(tmp_path / f"{name}.json", untouched(HW1, f"{name}.zip", name))
    (tmp_path / "grades.csv").write_text("no result")
    assert [result.student for result in read_results(tmp_path)] == ["ada", "bob"]
    (tmp_path / "bob.json").write_bytes(b"\xff")
    with pytest.raises(ResultError, match=r"^bob\.json"):
        read_results(tmp_path)


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ada.json"
    write_result(path, untouched(HW1, "ada.zip", "Ada"))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("minigrad.homework.workplace.os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_result(path, dataclasses.replace(untouched(HW1, "ada.zip", "Ada"), reason="new"))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["ada.json"]


@given(RESULTS)
def test_feedback_can_be_written_and_read(result: Result) -> None:
    text = feedback(result)
    assert text == plain(text)
    text.encode()


def test_results_name_the_words_of_their_states() -> None:
    assert set(State.ALL) == {value for name, value in vars(State).items()
                              if name.isupper() and isinstance(value, str)}
    assert results_module.VERSION == 1
