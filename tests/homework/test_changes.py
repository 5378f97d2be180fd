"""Two gradings are compared: everything that differs is said, times are not."""

import dataclasses
from collections.abc import Callable

import pytest

from minigrad.homework.grading.changes import differences, pairs, same
from minigrad.homework.grading.results import CheckResult, Result, State, plain, untouched
from minigrad.homework.spec import homework

HW1 = homework("hw1")


def done(name: str, student: str = "", wrong: int = 0) -> Result:
    """A grading in which the first ``wrong`` checks failed."""
    result = untouched(HW1, name, student or name.split(".")[0])
    result.state, result.reason, result.digest = State.DONE, "", name
    result.cases, result.isolation = "f00d", "uid"
    checks = [check for question in result.questions for check in question.checks]
    for i, check in enumerate(checks):
        check.outcome = "WRONG" if i < wrong else "PASS"
        check.score = 0 if i < wrong else check.points
    for question in result.questions:
        question.state = State.DONE
    return result


def slower(result: Result) -> Result:
    questions = [dataclasses.replace(q, seconds=q.seconds + 3.0) for q in result.questions]
    return dataclasses.replace(result, seconds=99.0, questions=questions)


def test_times_and_order_do_not_count() -> None:
    old = [done("ada.zip"), done("bob.zip", wrong=2)]
    new = [slower(done("bob.zip", wrong=2)), slower(done("ada.zip"))]
    assert same(old, new)
    assert differences(old, new) == []
    assert same([], []) and differences([], []) == []


def set_check(**change: object) -> Callable[[Result], None]:
    def act(result: Result) -> None:
        for name, value in change.items():
            setattr(result.questions[0].checks[0], name, value)
    return act


def set_result(**change: object) -> Callable[[Result], None]:
    def act(result: Result) -> None:
        for name, value in change.items():
            setattr(result, name, value)
    return act


def set_question(**change: object) -> Callable[[Result], None]:
    def act(result: Result) -> None:
        for name, value in change.items():
            setattr(result.questions[2], name, value)
    return act


def without_a_check(result: Result) -> None:
    del result.questions[1].checks[3]


def with_a_check(result: Result) -> None:
    result.questions[1].checks.append(CheckResult("hw1.Q2.new", 1))


def turned(result: Result) -> None:
    result.questions.reverse()


CHANGES = [
    (set_check(outcome="TIMEOUT", score=0), "hw1.Q1.div: PASS 2/2 -> TIMEOUT 0/2"),
    (set_check(outcome="RAISED", score=0), "ada.zip (ada): 100 -> 98"),
    (set_check(message="other"), "hw1.Q1.div: PASS 2/2 -> PASS 2/2 (another message)"),
    (set_check(hidden=True, blank="x"), "(another hidden and blank)"),
    (set_check(points=1), "hw1.Q1.div: PASS 2/2 -> PASS 2/1"),
    (set_question(state=State.FAILED, reason="OSError"), "hw1.Q3: done (none) -> grader failed"),
    (set_question(title="new"), "titles, or the order"),
    (set_result(state=State.FAILED), "100 -> 100 (grader failed)"),
    (set_result(state=State.WAITING), "state: done -> waiting"),
    (set_result(reason="late"), "reason: none -> late"),
    (set_result(late=True), "late: not known -> yes"),
    (set_result(student="Eve"), "student: ada -> Eve"),
    (set_result(digest="other"), "the code is another one"),
    (set_result(notes=["left out x.pyc"]), "note new: left out x.pyc"),
    (set_result(cases="beef"), "the course key is another one: f00d -> beef"),
    (set_result(isolation="none"), "the isolation is another one: uid -> none"),
    (set_result(homework="hw2"), "the homework is another one: hw1 -> hw2"),
    (set_result(version=2), "titles, or the order"),
    (without_a_check, "hw1.Q2.div: gone"),
    (with_a_check, "hw1.Q2.new: new"),
    (turned, "titles, or the order"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_whatever_differs_is_said(change: Callable[[Result], None], words: str) -> None:
    old, new = [done("ada.zip"), done("bob.zip")], [done("ada.zip"), done("bob.zip")]
    change(new[0])
    assert not same(old, new)
    lines = differences(old, new)
    assert any(words in line for line in lines), lines
    assert not any("bob" in line for line in lines), lines


def test_every_field_of_a_result_is_among_the_changes() -> None:
    named = {name for change, _ in CHANGES if change.__closure__
             for name in change.__closure__[0].cell_contents}
    fields = {field.name for kind in (Result, CheckResult) for field in dataclasses.fields(kind)}
    assert fields - named == {"submission", "file", "questions", "seconds", "id"}


def test_totals_and_who_is_new_or_gone() -> None:
    old = [done("ada.zip", wrong=4), done("bob.zip"), done("cem.zip", wrong=1), done("gone.zip")]
    new = [done("ada.zip"), done("bob.zip"), done("cem.zip", wrong=2), done("new.zip", wrong=1)]
    lines = differences(old, new)
    assert lines[0] == "4 submissions before, 4 after: 1 new, 1 gone, 2 changed, 1 the same"
    means = [sum(r.score for r in rs[:3]) / 3 for rs in (old, new)]
    assert lines[1] == (f"mean of the 3 graded both times: {means[0]:.1f} -> {means[1]:.1f}; "
                        "1 higher, 1 lower")
    assert lines[-2:] == ["new   new.zip (new): 98", "gone  gone.zip (gone): 100"]


def test_a_file_that_was_named_anew_is_found_by_its_student() -> None:
    old, new = [done("hw1.zip", "Ada", 1)], [done("hw1-2.zip", "Ada")]
    lines = differences(old, new)
    assert "0 new, 0 gone, 1 changed" in lines[0]
    assert "    submission: hw1.zip -> hw1-2.zip" in lines
    twice = [*new, done("hw1-3.zip", "Ada")]
    assert "2 new, 1 gone" in differences(old, twice)[0]
    nobody = [dataclasses.replace(result, student="") for result in old + new]
    assert "1 new, 1 gone" in differences(nobody[:1], nobody[1:])[0]


def test_two_submissions_of_one_name_are_two() -> None:
    one, two = done("a?.zip"), dataclasses.replace(done("a?.zip", wrong=3), digest="z")
    both, gone, come = pairs([one, two], [two, one])
    assert both == [(one, one), (two, two)] and not gone and not come
    assert differences([one, two], [one]) != []


def test_texts_of_students_stay_texts() -> None:
    old, new = done("a.zip"), done("a.zip")
    new.questions[0].checks[0].id = "x\x1b[31m"
    new.student, new.reason, new.notes = "\u202eeve", "\ud800", ["\x1b]0;t\x07"]
    text = "\n".join(differences([old], [new]))
    assert text == plain(text)
    text.encode()
