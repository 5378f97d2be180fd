"""The page about a class: right numbers, nothing that runs, nobody's name where none may be."""

import random
import re
from html.parser import HTMLParser

import pytest

from minigrad.homework.grading.results import Result, State, untouched
from minigrad.homework.grading.statistics import causes, equal_code, page
from minigrad.homework.spec import homework, homeworks

HW1 = homework("hw1")
VOID = {"meta", "line", "rect", "br"}
EVIL = "</td><script>alert(1)</script><img src=x onerror=y> \x1b[31m\u202e =cmd() & \" '"


class Tags(HTMLParser):
    """What a browser would see: tags that are closed in their order, attributes, texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, as texts."""
    table = text.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr")[1:]]


def tile(text: str, name: str) -> str:
    return re.search(rf"<b>([^<]*)</b><span>{re.escape(name)}</span>", text).group(1)


def graded(name: str, wrong: tuple[int, ...] = (), outcome: str = "WRONG", cause: str = "",
           hidden: bool = False) -> Result:
    result = untouched(HW1, name, f"student of {name}")
    result.state, result.reason, result.digest, result.seconds = State.DONE, "", name, 3.0
    for i, check in enumerate(check for q in result.questions for check in q.checks):
        check.outcome, check.score = ("PASS", check.points)
        if i in wrong:
            check.outcome, check.score, check.hidden = outcome, 0, hidden
            check.message = f"{outcome} {check.id}\n  in x" + (
                f"\n  likely cause: {cause}" if cause else "") + "\n  seed 0, case 0"
    return result


def class_of(count: int, seed: int = 0) -> list[Result]:
    draw = random.Random(seed)
    total = len(HW1.checks)
    return [graded(f"{i:03}.zip", tuple(draw.sample(range(total), draw.randrange(total))),
                   draw.choice(["WRONG", "SHAPE", "TIMEOUT"]), "sign: -1", draw.random() < 0.5)
            for i in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 300])
@pytest.mark.parametrize("names", [True, False])
def test_a_class_of_any_size_has_a_page(count: int, names: bool) -> None:
    text = page(class_of(count), HW1, "Class", names)
    Tags(text)
    assert tile(text, "submissions") == str(count)
    assert ("<svg" in text) == bool(count)


@pytest.mark.parametrize("hw", homeworks(), ids=lambda hw: hw.name)
def test_every_homework_has_all_of_its_rows(hw) -> None:
    result = untouched(hw, "a.zip", "A")
    result.state = State.DONE
    text = page([result], hw, hw.title)
    Tags(text)
    assert len(rows(text, "Questions")) == 1 + len(hw.questions)
    assert len(rows(text, "Checks")) == 1 + len(hw.questions) + len(hw.checks)


def test_the_numbers_are_right() -> None:
    results = [graded("a.zip"), graded("b.zip", (0,)), graded("c.zip", (0, 1), hidden=True),
               graded("d.zip", tuple(range(46)))]
    results[1].late = True
    results[3].questions[-1].checks[-1].hidden = True  # but others failed in public
    refused = untouched(HW1, "e.zip", "E")
    refused.state, refused.reason = State.REFUSED, "it is empty"
    failed = untouched(HW1, "f.zip", "F")
    failed.state = State.FAILED
    text = page([*results, refused, failed], HW1, "Class")
    assert [tile(text, name) for name in ("submissions", "graded", "refused", "grader failed",
                                          "late")] == ["6", "4", "1", "1", "1"]
    assert tile(text, "mean") == "73.5"  # of 100, 98, 96 and 0
    assert tile(text, "median") == "97"
    assert tile(text, "quartiles") == "72 to 98.5"
    assert tile(text, "lowest, highest") == "0, 100"
    assert tile(text, "with all 100 points") == "1"
    assert 'aria-label="submissions by score: 0–9: 1, 90–99: 2, 100: 1"' in text
    first = rows(text, "Questions")[1]
    assert first[0] == "hw1.Q1" and first[2:4] == ["15", "9.8"]
    assert first[-2:] == ["25%", "25%"]  # one has all points of it, one none
    div, power = rows(text, "Checks")[2:4]
    assert div[:2] == ["div", "2"] and div[-2:] == ["1", "3"]  # one hidden only, three WRONG
    assert "25%" in div[2] and "50%" in power[2]
    assert "1 of 4 submissions lost points to hidden inputs only" in text
    assert rows(text, "Not graded")[1:] == [
        ["e.zip", "E", "refused", "it is empty"],
        ["f.zip", "F", "grader failed", "the grading did not end"]]
    assert rows(text, "Late")[1:] == [["b.zip", "student of b.zip", "98"]]


def test_causes_are_counted_once_for_each_code_and_shown_from_two_on() -> None:
    results = [graded("a.zip", (0, 1), cause="sign: -1"), graded("b.zip", (0,), cause="sign: -1"),
               graded("c.zip", (0,), cause="only mine"), graded("d.zip", (0,), cause="only mine")]
    results[3].digest = results[2].digest
    assert causes(results) == {"sign: -1": 2, "only mine": 1}
    text = page(results, HW1, "Class")
    assert rows(text, "Likely causes")[1:] == [["2", "sign: -1"]]
    assert "only mine" not in text


def test_a_cause_over_several_lines_is_one() -> None:
    long = graded("a.zip", (0,), cause="first\n  second\n  third")
    assert causes([long]) == {"first second third": 1}
    printed = graded("b.zip", (0,), cause="first\n  printed: hello")
    assert causes([printed]) == {"first": 1}


def test_equal_code_is_listed() -> None:
    results = [graded(f"{name}.zip") for name in "abcde"]
    for result, digest in zip(results, ("x", "y", "x", "x", ""), strict=True):
        result.digest = digest
    assert [[r.submission for r in group] for group in equal_code(results)] == [
        ["a.zip", "c.zip", "d.zip"]]
    text = page(results, HW1, "Class")
    assert rows(text, "Equal code")[1][-1] == "a.zip, c.zip, d.zip"
    anonymous = page(results, HW1, "Class", names=False)
    assert "3 submissions, in 1 group" in anonymous and "c.zip" not in anonymous


def test_nothing_of_a_student_becomes_a_tag() -> None:
    results = [graded(f"{i}{EVIL}", (0,), "WRONG", EVIL) for i in range(3)]
    for result in results:
        result.student = result.reason = EVIL
        result.digest, result.notes, result.late = "<td>" + EVIL, [EVIL], True
    results[0].state = State.REFUSED
    results[1].questions[0].id = EVIL
    results[2].questions[0].checks[0].outcome = EVIL
    for names in (True, False):
        text = page(results, HW1, EVIL, names)
        tags = Tags(text)
        assert not {"script", "img", "a", "link", "iframe"} & set(tags.tags)
        assert not [name for name, _ in tags.attributes if name.startswith("on")]
        assert not {"src", "href"} & {name for name, _ in tags.attributes}
        assert not re.search(r"url\(|@import|http:|https:", text)
        assert "\x1b" not in text and "\u202e" not in text
        text.encode()
    assert "&lt;script&gt;" in page(results, HW1, EVIL)


def test_a_page_to_publish_names_nobody() -> None:
    results = class_of(20)
    results[3].late = True
    results[4].state, results[4].reason = State.REFUSED, "a reason"
    results[5].digest = results[6].digest
    named, anonymous = (page(results, HW1, "Class", names) for names in (True, False))
    for result in results:
        assert result.submission not in anonymous and result.student not in anonymous
    assert "a reason" not in anonymous and results[5].digest[:12] not in anonymous
    assert all(word in named for word in ("003.zip", "a reason", "Longest gradings"))


def test_the_order_of_the_results_does_not_matter() -> None:
    results = class_of(12)
    assert page(results, HW1, "Class") == page(results[::-1], HW1, "Class")
