"""How answers are judged and explained: every cause is recognised, and nothing wrong passes."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.homework.check import (
    Check,
    Fault,
    Kind,
    Outcome,
    Output,
    agrees,
    compare,
    drawn,
)
from minigrad.homework.checks import hw6
from minigrad.homework.checks.tools import (
    bent_at_zero,
    numeric_gradients,
    twice,
    well_conditioned,
)
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


# ---- inputs that differences can be trusted with


def test_draws_come_near_no_kink_and_do_not_explode():
    """As often as they would without; what is asked outside of a draw is not touched."""
    def steep(inputs):
        x = bent_at_zero(inputs["x"])
        return numeric_gradients(lambda x: 10 ** (3 * x), {"x": x, "upstream": np.ones(1)}, ["x"])

    def anywhere(rng):
        return {"x": rng.uniform(-0.005, 1.0, 1) ** 3}

    plain = np.array([anywhere(np.random.default_rng(s))["x"] for s in range(300)])
    drawn_ones = well_conditioned(anywhere, steep)
    safe = np.array([drawn_ones(np.random.default_rng(s))["x"] for s in range(300)])
    slopes = 3 * np.log(10) * 10 ** (3 * safe)
    assert (abs(plain) < 1e-3).any() and (abs(safe) >= 1e-3).all()
    assert (plain > 0.9).any() and (slopes <= 100.01).all()
    assert bent_at_zero(np.zeros(1)) == 0


@pytest.mark.parametrize("name, seed, case", [
    ("hw6.Q4.identity", 175174004863216, 5),  # a kink lay within the difference
    ("hw6.Q4.gan", 77000097, 1),  # weights in the thousands
    ("hw6.Q4.together", 77000061, 1),  # weights of 1e52
    *(("hw6." + name, seed, 0) for name in ("Q4.cycle", "Q4.together", "Q4.pools", "Q6.step",
                                           "Q6.n_critic", "Q6.on") for seed in range(4)),
])
def test_differences_of_other_lengths_agree_about_a_step(monkeypatch, name, seed, case):
    check = checks_of(homeworks()[5])[name]
    inputs = drawn(check, seed, case)
    short = check.want(inputs)
    monkeypatch.setattr(hw6, "numeric_gradients", functools.partial(numeric_gradients, eps=1e-5))
    long = check.want(inputs)
    for output, value in short.items():
        assert agrees(np.asarray(value), np.asarray(long[output]), check.tol).all(), output


def test_the_variance_of_one_value_is_exactly_0():
    check = checks_of(homeworks()[2])["hw3.Q4.batch_norm.shapes"]
    for seed, case in ((77000010, 4), (77000170, 2)):
        assert not check.want(drawn(check, seed, case))["var, one row"].any()


def test_no_gradient_of_the_game_is_nearly_0():
    check = checks_of(homeworks()[1])["hw2.Q6.minimize"]
    for seed, case in ((200001845, 3), (200002881, 1)):
        wanted = check.want(drawn(check, seed, case))
        assert min(abs(wanted[f"{name}: grad"]).max() for name in ("G", "D", "bias")) > 0.01
