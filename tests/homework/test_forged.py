"""No answer that nobody computed earns a point, and a check that takes one is found."""

import numpy as np
import pytest
from syntax import ROOT

from minigrad.homework import runner as runner_module
from minigrad.homework.acceptance import Bench
from minigrad.homework.check import Check, Fault, Kind, Output, compare, drawn
from minigrad.homework.grading.forged import forged_answers
from minigrad.homework.runner import checks_of
from minigrad.homework.runs import hw1 as runs
from minigrad.homework.spec import homework, homeworks


@pytest.fixture(scope="module")
def bench():
    with Bench(ROOT) as found:
        yield found


@pytest.mark.parametrize("hw", homeworks(), ids=lambda hw: hw.name)
def test_nothing_forged_earns_a_point(bench, hw):
    finding = forged_answers(bench, hw)
    assert finding.against == []
    tried, rest = finding.text.split(maxsplit=1)
    assert rest == f"forged answers to {len(hw.checks)} checks: 0 points"
    assert int(tried.replace(",", "")) > 50 * len(hw.checks)


# ---- the point can fail: one check of homework 1 is put in place of all, with another judge



def alone(monkeypatch, bench, check):
    """What the point finds in a homework 1 that has this check only."""
    hw = homework("hw1")
    spec = next(s for s in hw.checks if s.id == check.id)
    monkeypatch.setattr(runner_module, "checks_of", lambda hw: {check.id: check})
    monkeypatch.setattr(type(hw), "checks", property(lambda self: (spec,)))
    return forged_answers(bench, hw)


def planted(monkeypatch, bench, inputs, judge):
    """What the point finds about one check with this draw and this judge."""
    check = Check("hw1.Q4.tuples", runs.tuples, inputs, judge, kind=Kind.PROPERTY)
    return alone(monkeypatch, bench, check)


def three_rows(rng):
    n = int(rng.integers(2, 5))
    return {"a": rng.standard_normal((3, n)), "upstream": rng.standard_normal(n)}


def right(inputs):
    a, up = inputs["a"], inputs["upstream"]
    return np.stack([up * (a[1] + a[2]), up * a[0], up * a[0]])


def test_a_fair_check_is_not_reported(monkeypatch, bench):
    def judge(inputs, outputs):
        got = outputs["grad of a"]
        if got.shape != inputs["a"].shape or not (abs(got - right(inputs)) < 1e-9).all():
            return Fault("wrong")
        return None

    assert planted(monkeypatch, bench, three_rows, judge).holds


def test_a_check_of_shapes_alone_is_reported(monkeypatch, bench):
    def judge(inputs, outputs):
        return None if outputs["grad of a"].shape == inputs["a"].shape else Fault("wrong")

    finding = planted(monkeypatch, bench, three_rows, judge)
    assert finding.against[0].startswith("hw1.Q4.tuples: 1 points for public answer 0, made to fit")
    assert finding.text.endswith("to 1 checks: 1 points")


def test_a_check_that_overlooks_nan_is_reported(monkeypatch, bench):
    def judge(inputs, outputs):
        got = outputs["grad of a"]
        if got.shape != inputs["a"].shape or (abs(got - right(inputs)) > 1e-9).any():
            return Fault("wrong")
        return None

    finding = planted(monkeypatch, bench, three_rows, judge)
    assert [line for line in finding.against if "NaN" in line]


def test_a_check_that_draws_nothing_is_reported(monkeypatch, bench):
    def always(rng):
        return three_rows(np.random.default_rng(0))

    def judge(inputs, outputs):
        got = outputs["grad of a"]
        if got.shape != inputs["a"].shape or not (abs(got - right(inputs)) < 1e-9).all():
            return Fault("wrong")
        return None

    finding = planted(monkeypatch, bench, always, judge)
    assert [line for line in finding.against
            if "the right answer to another case" in line and "public answer 0" in line]


def test_a_judge_that_takes_much_memory_is_reported(monkeypatch, bench):
    def judge(inputs, outputs):
        first, second = (outputs[f"grad of a{suffix}"] for suffix in ("", ", second call"))
        if abs(first - second).max() > 0 or not first.any():
            return Fault("wrong")
        return Fault("wrong") if first.shape != inputs["a"].shape or not (
            abs(first - right(inputs)) < 1e-9).all() else None

    finding = planted(monkeypatch, bench, three_rows, judge)
    assert [line for line in finding.against if "a column and a row of thousands took" in line]


def test_a_tree_without_answers_is_reported(monkeypatch, bench):
    hw = homework("hw1")
    blank = next(b for b in hw.blanks if b.id == "hw1.Q3.find_topo_sort")
    check = checks_of(hw)["hw1.Q3.chain"]
    with bench.with_bodies({blank: "return None + 1"}):
        finding = alone(monkeypatch, bench, check)
    assert "hw1.Q3.chain: the library gives no answer: RAISED" in finding.against[0]


# ---- the grader survives what has not the form of an answer


HEADERS = [
    {"outputs": [[["a"], "Tensor", True]], "mutated": []},
    {"outputs": [[{"a": 1}, "Tensor", True]], "mutated": []},
    {"outputs": [["a", "Tensor"]], "mutated": []},
    {"outputs": ["abc"], "mutated": []},
    {"outputs": [1, 2], "mutated": []},
    {"outputs": [["a", "Tensor", True], ["b", "Tensor", True]], "mutated": []},
    {"outputs": [[None, None, True]], "mutated": []},
    {"outputs": [["a", {"b": []}, True]], "mutated": [{}, [], None]},
    {"outputs": [[float("nan"), "Tensor", 1]], "mutated": ["\x1b[2J" * 1000]},
    {"outputs": [], "mutated": []},
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
@pytest.mark.parametrize("array", [np.zeros(3), np.zeros(3, "complex64"), np.zeros((0, 2))])
def test_headers_without_form_are_wrong_answers(header, array):
    for check in checks_of(homework("hw1")).values():
        if check.id.startswith(("hw1.Q2.sum_to", "hw1.Q3", "hw1.Q5")):
            fault = runner_module._judge(check, drawn(check, 0, 0), header, [array])
            assert isinstance(fault, Fault) and len(fault.text) <= 1000 >= len(fault.cause)


def test_complex_numbers_are_refused():
    check = Check("x", lambda lib, inputs: {}, lambda rng: {}, lambda inputs: {"y": np.ones(2)})
    fault = compare(check, {}, {"y": Output("Tensor", np.ones(2, "complex128"))}, [])
    assert "complex128" in fault.text


def test_a_whole_array_is_no_number():
    """Python's numbers have no dtype; an array has one, whatever its type is said to be."""
    check = Check("x", lambda lib, inputs: {}, lambda rng: {}, lambda inputs: {"y": np.ones(2)})
    assert compare(check, {}, {"y": Output("number", np.ones(2, "float32"))}, []).outcome.value \
        == "DTYPE"
    assert compare(check, {}, {"y": Output("number", np.ones(2))}, []) is None


def test_a_judge_may_raise_anything():
    def judge(inputs, outputs):
        raise RecursionError("too deep")

    check = Check("x", lambda lib, inputs: {}, lambda rng: {}, judge, kind=Kind.PROPERTY)
    fault = compare(check, {}, {"y": Output("Tensor", np.ones(2))}, [])
    assert fault.text == "the answer cannot be judged: too deep; got y (2,)"


def test_a_property_looks_at_no_enormous_answer():
    looked = []
    check = Check("x", lambda lib, inputs: {}, lambda rng: {},
                  lambda inputs, outputs: looked.append(1), kind=Kind.PROPERTY)
    fault = compare(check, {}, {"y": Output("Tensor", np.zeros(10**6, "int8"))}, [])
    assert "(1000000,)" in fault.text and not looked
