"""How answers are judged and explained: every cause is recognised, and nothing wrong passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.homework.check import Check, Fault, Kind, Outcome, Output, compare
from minigrad.homework.checks.tools import numeric_gradients, twice
from minigrad.homework.report import printable
from minigrad.homework.runner import checks_of
from minigrad.homework.spec import homeworks

RNG = np.random.default_rng(0)
A, B, UP = (RNG.standard_normal(shape) for shape in [(3, 3), (3, 3), (3, 3)])
INPUTS = {"a": A, "b": B, "upstream": UP}


def want(inputs):
    return twice({"grad of a": inputs["upstream"] @ inputs["b"].T})


MATMUL = Check("hw1.Q2.x", lambda lib, inputs: {}, lambda rng: INPUTS, want, kind=Kind.GRADIENT)


def judged(first, again=None, check=MATMUL, kind="Tensor", mutated=(), inputs=INPUTS):
    outputs = {"grad of a": Output(kind, first),
               "grad of a, second call": Output(kind, first if again is None else again)}
    return compare(check, inputs, outputs, list(mutated))


RIGHT = UP @ B.T


def test_the_right_answer_passes():
    assert judged(RIGHT) is None


@pytest.mark.parametrize("got, cause", [
    (np.zeros((3, 3)), "zero"),
    (np.ones((3, 3)) @ B.T, "upstream ignored"),
    (UP @ B, "transposed"),
    (RIGHT.T, "transposed"),
    (-RIGHT, "sign"),
    (2 * RIGHT, "constant factor"),
    (RIGHT / 9, "constant factor"),
    (np.where(A > 0, RIGHT, 0), "mask"),
    (np.where(A > 0, RIGHT, np.nan), "nan"),
])
def test_causes_of_wrong_numbers(got, cause):
    fault = judged(got)
    assert fault.outcome is Outcome.WRONG
    assert cause in fault.cause.lower()
    assert "yours" in fault.text and "want" in fault.text


def test_the_worst_element_is_shown_with_both_values():
    got = RIGHT.copy()
    got[2, 1] += 7.5
    text = judged(got).text
    assert "1 of 9 elements differ" in text
    assert f"worst (2, 1): yours {got[2, 1]:+.6g}, want {RIGHT[2, 1]:+.6g}" in text


def test_values_that_look_alike_get_more_digits():
    got = RIGHT + 2e-6 * np.abs(RIGHT).max()
    ours, theirs = judged(got).text.split("yours ")[1].split(", want ")
    assert ours != theirs


@pytest.mark.parametrize("got, outcome, cause", [
    (np.zeros((1, 3, 3)), Outcome.SHAPE, "size 1 and are to go"),
    (np.zeros((2, 3, 3)), Outcome.SHAPE, "broadcast"),
    (np.zeros((3, 2)), Outcome.SHAPE, "wrong shape"),
    (RIGHT.astype("float32"), Outcome.DTYPE, "float32"),
])
def test_form_comes_before_numbers(got, outcome, cause):
    fault = judged(got)
    assert fault.outcome is outcome
    assert cause in fault.cause


def test_other_kinds_of_faults():
    assert "doubled on a second backward" in judged(RIGHT, 2 * RIGHT).cause
    assert "second call" in judged(RIGHT, 3 * RIGHT + 1).cause
    assert "ndarray instead of Tensor" in judged(RIGHT, kind="ndarray").cause
    assert "input mutated" in judged(RIGHT, mutated=["a"]).cause
    assert "input mutated" in judged(RIGHT, 3 * RIGHT + 1, mutated=["a"]).cause
    assert "return statement" in compare(
        MATMUL, INPUTS, {"grad of a": Output("None", None)}, []).cause
    assert "None" in compare(MATMUL, INPUTS, {}, []).text


def test_a_suspect_is_named_before_the_usual_causes():
    check = Check("x", None, None, want, kind=Kind.GRADIENT, suspects={
        "nothing of it is in this output": lambda i: {},
        "the product is turned around": lambda i: twice({"grad of a": -i["upstream"] @ i["b"].T})})
    assert judged(-RIGHT, check=check).cause == "the product is turned around"


@pytest.mark.parametrize("value, got, passes", [
    (np.nan, np.nan, True), (np.inf, np.inf, True), (np.inf, -np.inf, False),
    (1.0, np.nan, False), (np.nan, 1.0, False), (0.0, 1e-7, True), (0.0, 1e-5, False),
])
def test_special_values(value, got, passes):
    check = Check("x", None, None, lambda i: {"y": np.array([value, 0.5])})
    fault = compare(check, {}, {"y": Output("ndarray", np.array([got, 0.5]))}, [])
    assert (fault is None) is passes


@pytest.mark.parametrize("got, passes", [(True, True), (False, False)])
def test_truth_values(got, passes):
    check = Check("x", None, None, lambda i: {"y": np.array(True)})
    fault = compare(check, {}, {"y": Output("number", np.array(got))}, [])
    assert (fault is None) is passes


def test_a_judge_that_cannot_read_the_answer_says_so():
    """The parent never fails because of what a student returned."""
    check = Check("x", None, None, lambda i, o: Fault(str(o["y"][3, 3])), kind=Kind.PROPERTY)
    fault = compare(check, {}, {"y": Output("ndarray", np.zeros(2))}, [])
    assert "cannot be judged" in fault.text and "y (2,)" in fault.text
    assert "cannot be judged" in compare(check, {}, {}, []).text


@given(st.integers(0, 2**32 - 1))
def test_an_answer_that_is_off_by_more_than_the_tolerance_never_passes(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 4, rng.integers(0, 4)))
    right = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 7))
    check = Check("x", None, None, lambda i: {"y": right}, tol=1e-6)
    off = right.copy()
    index = tuple(rng.integers(size) for size in shape)
    off[index] += rng.choice([-1, 1]) * 3e-6 * np.abs(right).max()
    assert compare(check, {}, {"y": Output("Tensor", right)}, []) is None
    assert compare(check, {}, {"y": Output("Tensor", off)}, []) is not None


def test_numeric_gradients():
    found = numeric_gradients(lambda a, b: a @ b, INPUTS, ("a", "b"))
    np.testing.assert_allclose(found["grad of a"], UP @ B.T, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found["grad of b"], A.T @ UP, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("hw", homeworks(), ids=lambda hw: hw.name)
def test_no_check_wants_what_the_library_says(hw):
    """What is right comes from another source: the checks do not import the library."""
    for check in checks_of(hw).values():
        used = check.want.__globals__
        assert not any(getattr(value, "__name__", "").split(".")[0] in ("minigrad", "gans")
                       and "homework" not in getattr(value, "__name__", "")
                       for value in used.values() if type(value).__name__ == "module")


def test_control_characters_do_not_reach_the_terminal():
    assert printable("\x1b[31mred\n\ttab\u202e") == "[31mred  tab"
