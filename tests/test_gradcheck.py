"""A checker must be able to fail: planted faults are rejected by name, right ops are accepted."""

import numpy as np
import pytest

from minigrad import Tensor, course_mode, no_grad, ops, random
from minigrad.autograd import TensorOp, constant, grad, is_recording
from minigrad.errors import DTypeError, GradientError, VersionError
from minigrad.gradcheck import (
    Cause,
    gradcheck,
    likely_cause,
    numeric_gradient,
    simple_gradcheck,
)
from minigrad.ops.broadcast import match, sum_to


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng([seed, len(shape)]).standard_normal(shape))


A, B, SQUARE, OTHER = normal(5, 4), normal(5, 4, seed=1), normal(3, 3), normal(3, 3, seed=1)
POSITIVE = 0.5 + np.abs(A)


# ----------------------------------------------------------------------- the planted faults


class UpstreamIgnored(TensorOp):
    def compute(self, a, b):
        return a / b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return 1 / b, -a / (b * b)


class UpstreamOfOnes(ops.Exp):
    def gradient(self, out_grad, node):
        return node * constant(np.ones(node.shape))


class Zero(ops.Tanh):
    def gradient(self, out_grad, node):
        return out_grad * 0


class NoneAtAll(ops.Tanh):
    def gradient(self, out_grad, node):
        return None


class Unsummed(TensorOp):
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return out_grad * b, out_grad * a


class KeptAxis(TensorOp):
    """Sums back, but leaves (1, 4) where the input was (4,)."""

    def compute(self, a, b):
        return a + b

    def gradient(self, out_grad, node):
        return out_grad, out_grad.sum(0, True)


class MissingTranspose(TensorOp):
    def compute(self, a, b):
        return a @ b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return out_grad @ b, a.transpose() @ out_grad


class TransposeForgotten(ops.Transpose):
    def gradient(self, out_grad, node):
        return out_grad


class Sign(ops.EWiseSub):
    def gradient(self, out_grad, node):
        return out_grad, out_grad


class MeanWithoutN(TensorOp):
    def compute(self, a):
        return a.mean()

    def gradient(self, out_grad, node):
        return out_grad.broadcast_to(node.inputs[0].shape)


class MeanTwiceByN(MeanWithoutN):
    def gradient(self, out_grad, node):
        a = node.inputs[0]
        return out_grad.broadcast_to(a.shape) * (1 / a.size**2)


class FactorTwo(TensorOp):
    def compute(self, a):
        return a * a

    def gradient(self, out_grad, node):
        return out_grad * node.inputs[0] * 4


class FactorOther(FactorTwo):
    def gradient(self, out_grad, node):
        return out_grad * node.inputs[0] * (2 * 0.37)


class NaNSomewhere(ops.EWiseSqrt):
    def gradient(self, out_grad, node):
        hole = np.zeros(node.shape)
        hole[2, 1] = np.nan
        return out_grad / (2 * node) + constant(hole)


class Float32Forward(ops.Exp):
    def compute(self, a):
        return np.exp(a.astype("float32"))


class Float32Backward(ops.Exp):
    def gradient(self, out_grad, node):
        return constant((out_grad * node).cached_data.astype("float32"))


class MutatesInput(TensorOp):
    def compute(self, a):
        a += 1
        return a * a

    def gradient(self, out_grad, node):
        return 2 * out_grad * node.inputs[0]


class MutatesUpstream(ops.Negate):
    def gradient(self, out_grad, node):
        out_grad.cached_data[...] *= -1
        return out_grad


class MutatesOutput(ops.Exp):
    def gradient(self, out_grad, node):
        node.cached_data[...] *= out_grad.cached_data
        return constant(node.cached_data.copy())


class MutatesInputInBackward(ops.Log):
    def gradient(self, out_grad, node):
        node.inputs[0].cached_data[...] = 1 / node.inputs[0].cached_data
        return out_grad * node.inputs[0]


class ReturnsArray(ops.Exp):
    def gradient(self, out_grad, node):
        return out_grad.cached_data * node.cached_data


class ReturnsArrayBroadcast(ops.EWiseMul):
    def gradient(self, out_grad, node):
        a, b = node.inputs
        return out_grad.cached_data * b.cached_data, out_grad * a


class SecondOrderDetached(ops.Tanh):
    """Right at first order; the slope is an array, so it has no gradient of its own."""

    def gradient(self, out_grad, node):
        return out_grad * constant(1 - node.cached_data**2)


class SecondOrderSign(TensorOp):
    """sin, whose gradient's gradient is wrong."""

    def compute(self, a):
        return np.sin(a)

    def gradient(self, out_grad, node):
        return out_grad * CosWithSign()(node.inputs[0])


class CosWithSign(TensorOp):
    def compute(self, a):
        return np.cos(a)

    def gradient(self, out_grad, node):
        return out_grad * SecondOrderSign()(node.inputs[0])


class SecondOrderUpstream(ops.Tanh):
    """The dependence on the upstream gradient is cut."""

    def gradient(self, out_grad, node):
        return out_grad.detach() * (1 - node * node)


class Doubled(ops.Exp):
    """Adds to what an earlier backward pass left behind."""

    def __init__(self):
        self.total = None

    def gradient(self, out_grad, node):
        piece = out_grad * node
        self.total = piece.detach() if self.total is None else self.total + piece.detach()
        return piece if self.total is None else self.total


class MaskForgotten(ops.ReLU):
    def gradient(self, out_grad, node):
        return out_grad


class MaskTooMuch(ops.EWiseAbs):
    def gradient(self, out_grad, node):
        return ops.masked(out_grad, node.inputs[0].cached_data > 0)


class Raises(ops.Exp):
    def gradient(self, out_grad, node):
        return out_grad * nothing  # noqa: F821 - the fault


class TooFew(ops.EWiseMul):
    gradient_as_tuple = TensorOp.gradient_as_tuple

    def gradient(self, out_grad, node):
        return out_grad * node.inputs[1]


class WrongFormula(ops.Tanh):
    def gradient(self, out_grad, node):
        return out_grad * (1 - node)


class FusedOnly(ops.Tanh):
    """Right where it is not recorded."""

    def gradient(self, out_grad, node):
        return out_grad * (1 - node * node) * (3 if is_recording() else 1)


FAULTS = [
    (UpstreamIgnored(), (A, POSITIVE), Cause.UPSTREAM, "all-ones upstream", 1),
    (UpstreamOfOnes(), (A,), Cause.UPSTREAM, "out_grad is not used", 1),
    (Zero(), (A,), Cause.ZERO, "detached", 1),
    (NoneAtAll(), (A,), Cause.ZERO, "no path", 1),
    (Unsummed(), (A, B[0]), Cause.BROADCAST, "got (5, 4), want (4,)", 1),
    (Unsummed(), (A[:, :1], B), Cause.BROADCAST, "got (5, 4), want (5, 1)", 1),
    (Unsummed(), (A, normal()), Cause.BROADCAST, "got (5, 4), want ()", 1),
    (KeptAxis(), (A, B[0]), Cause.BROADCAST, "got (1, 4), want (4,)", 1),
    (MissingTranspose(), (SQUARE, OTHER), Cause.TRANSPOSED, "input 0", 1),
    (MissingTranspose(), (A, B.T), Cause.TRANSPOSED, "MatMul", 1),
    (TransposeForgotten(), (SQUARE,), Cause.TRANSPOSED, "the transpose of this", 1),
    (TransposeForgotten(), (A,), Cause.TRANSPOSED, "swapped", 1),
    (Sign(), (A, B), Cause.SIGN, "gradient of input 1", 1),
    (MeanWithoutN(), (A,), Cause.FACTOR, "a 1/n is lost", 1),
    (MeanTwiceByN(), (A,), Cause.FACTOR, "divided by n once too often", 1),
    (FactorTwo(), (A,), Cause.FACTOR, "it is 2 times", 1),
    (FactorOther(), (A,), Cause.FACTOR, "it is 0.37 times", 1),
    (NaNSomewhere(), (POSITIVE,), Cause.NAN, "first at (2, 1)", 1),
    (Float32Forward(), (A,), Cause.FLOAT32, "result has dtype float32", 1),
    (Float32Backward(), (A,), Cause.FLOAT32, "dtype got float32", 1),
    (MutatesInput(), (A,), Cause.MUTATED, "function changed input 0", 1),
    (MutatesUpstream(), (A,), Cause.MUTATED, "upstream", 1),
    (MutatesOutput(), (A,), Cause.MUTATED, "output", 1),
    (MutatesInputInBackward(), (POSITIVE,), Cause.MUTATED, "backward pass changed input", 1),
    (ReturnsArray(), (A,), Cause.NDARRAY, "returned a ndarray", 1),
    (ReturnsArrayBroadcast(), (A, B), Cause.NDARRAY, "returned a ndarray for input 0", 1),
    (SecondOrderDetached(), (A,), Cause.ZERO, "must compute with Tensors", 2),
    (SecondOrderSign(), (A,), Cause.SIGN, "gradient of the gradient", 2),
    (SecondOrderUpstream(), (A,), Cause.ZERO, "upstream gradient 0", 2),
    (Doubled(), (A,), Cause.DOUBLED, "2 times", 1),
    (MaskForgotten(), (A,), Cause.MASK, "a mask is missing", 1),
    (MaskTooMuch(), (A,), Cause.MASK, "should be off", 1),
    (Raises(), (A,), Cause.RAISED, "NameError", 1),
    (TooFew(), (A, B), Cause.RAISED, "returned 1 gradients for 2 inputs", 1),
    (WrongFormula(), (A,), Cause.UNKNOWN, "compare the formula", 1),
    (FusedOnly(), (A,), Cause.RECORDED, "create_graph=True", 1),
]
fault = pytest.mark.parametrize(
    "op, inputs, cause, text, order", FAULTS,
    ids=[f"{type(op).__name__}-{len(inputs)}-{inputs[-1].shape}" for op, inputs, *_ in FAULTS])


def caught(f, *inputs, **options) -> GradientError:
    """The error of a gradcheck that must fail; its message keeps the rules of messages."""
    with pytest.raises(GradientError) as info:
        gradcheck(f, *inputs, **options)
    message = str(info.value)
    assert len(message.splitlines()) <= 12, message
    assert max(map(len, message.splitlines())) < 400
    return info.value


@fault
def test_planted_fault_is_named(op, inputs, cause, text, order):
    error = caught(type(op)(), *inputs)
    assert error.cause is cause, str(error)
    assert cause.value in str(error)
    assert type(op).__name__ in str(error)
    assert text in str(error)
    assert error.order == order
    assert f"{('first', 'second')[order - 1]} order" in str(error)


@fault
def test_fault_inside_a_composition_is_found_and_its_op_named(op, inputs, cause, text, order):
    op = type(op)()  # one of them keeps state
    shift = [Tensor(a, dtype="float64", requires_grad=False) * 0.1 for a in inputs]

    def composition(*xs):
        return ops.sigmoid(op(*[x + s * s * 0.01 for x, s in zip(xs, shift, strict=True)]) * 0.3)

    error = caught(composition, *inputs)
    assert error.cause is cause, str(error)
    assert type(op).__name__ in str(error) or cause is Cause.DOUBLED


@fault
def test_second_order_faults_pass_at_first_order(op, inputs, cause, text, order):
    if order == 1:
        caught(op, *inputs, order=1)
    else:
        gradcheck(op, *inputs, order=1)


def test_message_says_all():
    error = caught(UpstreamIgnored(), A, POSITIVE, seed=3)
    message = str(error)
    assert "UpstreamIgnored: gradient of input 0 is wrong" in message
    assert "20 of 20 elements differ; worst at " in message
    assert f"worst at {error.index}" in message
    assert "analytic" in message and "numeric" in message
    assert "inputs float64 (5, 4), float64 (5, 4); seed 3" in message


def test_both_numbers_are_right():
    error = caught(FactorTwo(), np.array([3.0]), order=1)
    up = np.random.default_rng([0, 1]).standard_normal(1)
    assert f"analytic {4 * 3 * up[0]:+.6g}, numeric {2 * 3 * up[0]:+.6g}" in str(error)


def test_one_wrong_element_among_many_is_found():
    class OneWrong(ops.EWiseMul):
        def gradient(self, out_grad, node):
            extra = np.zeros(node.shape)
            extra[3, 2] = 0.01
            a, b = node.inputs
            return out_grad * b, out_grad * a + constant(extra)

    error = caught(OneWrong(), A, B)
    assert "gradient of input 1" in str(error)
    assert "1 of 20 elements differ; worst at (3, 2)" in str(error)


# ---------------------------------------------------------------------------- what is right


def penalty(x):
    """A gradient penalty: calls grad itself."""
    score = ops.tanh(x * x).sum()
    slope = grad(score, x, create_graph=True)
    return ((slope * slope).sum(1) + 1e-3) ** 0.5


RIGHT = [
    (ops.matmul, (A, B.T)),
    (lambda a, b: a / b, (A, POSITIVE[0])),
    (ops.EWisePow(), (POSITIVE, B)),
    (lambda a: ops.logsumexp(a, (0, -1)), (A,)),
    (lambda a: ops.split(a, 1), (A,)),
    (lambda a: (a.sum(), [a * a][0], a.max(0)), (A,)),
    (lambda a, b: ops.softmax_loss(a @ b, [0, 1, 2, 0, 1]), (A, B.T[:, :3])),
    (lambda a, b: ops.concat([a, b], 1).reshape((-1,))[::3], (A, B)),
    (penalty, (A[:2],)),
    (lambda a, n: a * n, (A, np.arange(4))),
    (lambda a: a.sum(), (np.zeros((0, 3)),)),
    (lambda a: ops.relu(a), (A,)),
]


@pytest.mark.parametrize("f, inputs", RIGHT)
def test_right_functions_are_accepted(f, inputs):
    assert gradcheck(f, *inputs) is None


@pytest.mark.parametrize("f, inputs", RIGHT)
def test_right_functions_are_accepted_in_course_mode(f, inputs):
    with course_mode():
        gradcheck(f, *inputs)


def test_recording_is_enabled_inside_no_grad():
    with no_grad():
        gradcheck(penalty, A[:2])
        caught(Zero(), A)
        assert not is_recording()


def test_inputs_of_all_kinds_become_float64():
    seen = []

    def f(x, y, z, n):
        seen.append([t.dtype.name for t in (x, y, z, n)])
        return x * y + z.sum() + n

    gradcheck(f, Tensor([1.0, 2.0]), np.float32([3, 4]), [5, 6], np.int32([1, 2]))
    assert {tuple(names) for names in seen} == {("float64", "float64", "float64", "int32")}


def test_nothing_outside_is_touched():
    w = Tensor([2.0, 3.0], dtype="float64")
    w.grad = mark = Tensor([7.0])
    x = Tensor(normal(3, 2), dtype="float64")
    given, state = x.numpy(), random.get_state()
    gradcheck(lambda x: x * w, x)
    assert w.grad is mark and x.grad is None
    assert (x.numpy() == given).all()
    assert random.get_state() == state


def test_seed_draws_the_upstream():
    messages = {str(caught(Sign(), A, B, seed=seed)).splitlines()[1] for seed in (0, 1, 2)}
    assert len(messages) == 3
    assert str(caught(Sign(), A, B)) == str(caught(Sign(), A, B, seed=0))


def test_tolerance_and_step_are_used():
    class Slightly(ops.Exp):
        def gradient(self, out_grad, node):
            return out_grad * node * 1.001

    caught(Slightly(), A)
    gradcheck(Slightly(), A, tol=1e-2, order=1)
    with pytest.raises(GradientError):
        gradcheck(ops.exp, A, eps=0.5)  # far too long a step


def test_large_and_small_gradients_are_held_to_the_same_standard():
    gradcheck(lambda x: x * 1e6, A)
    gradcheck(lambda x: x * 1e-9, A)
    error = caught(lambda x: FactorTwo()(x) * 1e-9, A)
    assert error.cause is Cause.FACTOR


# --------------------------------------------------------------------- misuse and hard cases


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        gradcheck(ops.exp, A, order=3)
    with pytest.raises(ValueError, match="none of the inputs is a float"):
        gradcheck(ops.exp, np.arange(3))
    with pytest.raises(ValueError, match="none of the inputs"):
        gradcheck(lambda: Tensor([1.0]))
    with pytest.raises(DTypeError, match="returned no float tensor"):
        gradcheck(lambda x: Tensor(np.arange(3)), A)
    with pytest.raises(DTypeError, match="must be numbers"):
        gradcheck(ops.exp, np.array([1j]))


def test_result_that_is_no_tensor():
    error = caught(lambda x: x.numpy(), A)
    assert error.cause is Cause.NDARRAY
    assert "the result is of type ndarray" in str(error)


def test_result_detached_from_its_input():
    error = caught(lambda x: Tensor(x.numpy(), dtype="float64"), A)
    assert error.cause is Cause.ZERO
    assert "no path of Tensor operations leads from the result to input 0" in str(error)


def test_errors_of_the_function_itself_come_through():
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: x / (1 // 0), A)


def test_kink_is_not_called_a_wrong_gradient():
    error = caught(ops.relu, np.array([1.0, 0.0, -1.0]))
    assert error.cause is Cause.KINK
    assert error.index == (1,)


def test_random_function_is_refused():
    rng = np.random.default_rng(0)
    error = caught(lambda x: x * float(rng.random()), A)
    assert error.cause is Cause.RANDOM


def test_changed_array_is_refused():
    def f(x):
        y = x * x
        x.data = Tensor(np.ones(x.shape), dtype="float64")
        return y

    assert caught(f, A).cause is Cause.MUTATED

    def g(x):
        h = x + 0
        y = h * h
        h.data = Tensor(np.ones(x.shape), dtype="float64")
        return y

    error = caught(g, A)
    assert error.cause is Cause.RAISED
    assert "VersionError" in str(error)
    assert isinstance(error.__cause__, VersionError)


def test_float64_broadcast_is_not_needed_twice():
    """Ops that sum back by themselves are right too."""

    class Sums(TensorOp):
        def compute(self, a, b):
            return np.multiply(*match(self, a, b))

        def gradient(self, out_grad, node):
            a, b = node.inputs
            return sum_to(out_grad * b, a.shape), sum_to(out_grad * a, b.shape)

    gradcheck(Sums(), A, B[:1])


# ------------------------------------------------------------------------------ likely_cause


@pytest.mark.parametrize(
    "analytic, cause",
    [
        (A[:, 0], Cause.SHAPE),
        (A.T, Cause.TRANSPOSED),
        (np.stack([A, A]), Cause.BROADCAST),
        (0 * A, Cause.ZERO),
        (B, Cause.UPSTREAM),
        (-A, Cause.SIGN),
        (20 * A, Cause.FACTOR),
        (A / 2, Cause.FACTOR),
        (A + np.nan, Cause.NAN),
        (A + np.inf, Cause.NAN),
        (A * (A > 0), Cause.MASK),
        (A**3, Cause.UNKNOWN),
    ],
)
def test_likely_cause_reads_the_numbers(analytic, cause):
    found, advice = likely_cause(analytic, A, ones=B, sizes=[("n", 20)])
    assert found is cause
    assert advice


def test_factors_are_named():
    assert "n: a 1/n is lost" in likely_cause(20 * A, A, sizes=[("n", 20)])[1]
    assert "1/n, n: divided by n once too often" in likely_cause(A / 20, A, sizes=[("n", 20)])[1]
    assert "(2: counted 2 times)" in likely_cause(2 * A, A)[1]
    assert "1/2" in likely_cause(A / 2, A)[1]
    one = np.array([3.0])
    assert likely_cause(one * 0.37, one)[0] is Cause.UNKNOWN  # any number is a multiple of any


# ------------------------------------------------------------------- the two in a few lines

NUMBERS = {Cause.UPSTREAM, Cause.ZERO, Cause.BROADCAST, Cause.TRANSPOSED, Cause.SIGN, Cause.FACTOR,
           Cause.NAN, Cause.MASK, Cause.UNKNOWN}
"""The causes that numbers and shapes of a first order show."""


@pytest.mark.parametrize("op, inputs", [
    pytest.param(op, inputs, id=f"{type(op).__name__}-{inputs[-1].shape}")
    for op, inputs, cause, _, order in FAULTS
    if order == 1 and cause in NUMBERS and not isinstance(op, MissingTranspose)])
def test_simple_gradcheck_rejects_what_gradcheck_rejects(op, inputs):
    with pytest.raises(GradientError, match=type(op).__name__):
        simple_gradcheck(op, *inputs)


@pytest.mark.parametrize("f, inputs", [
    *((f, inputs) for k, (f, inputs) in enumerate(RIGHT) if k not in (4, 5, 9)),
    (lambda a, b: a * a + b * 0, (A, B)),
    (lambda a, b: ops.exp(a), (A, B)),  # b does not count
    (lambda a: a * a * 1e8, (A,)),
    (lambda a: a * 2, (3.0,)),
    (lambda a: a.sum(1), ([[1, 2], [3, 4]],)),
])
def test_simple_gradcheck_accepts_what_is_right(f, inputs):
    assert simple_gradcheck(f, *inputs) is None


@pytest.mark.parametrize("index", [(0, 0), (3, 2), (4, 3)])
@pytest.mark.parametrize("wrong", [1.001, np.nan, -1.0])
def test_simple_gradcheck_looks_at_every_element_of_every_input(index, wrong):
    factors = np.ones(A.shape)
    factors[index] = wrong

    class OneWrong(ops.EWiseMul):
        def gradient(self, out_grad, node):
            a, b = node.inputs
            return out_grad * b, out_grad * a * constant(factors)

    with pytest.raises(GradientError, match=r"gradient of input 1: 1 of 20 elements are wrong"):
        simple_gradcheck(OneWrong(), A, POSITIVE)


def test_simple_gradcheck_draws_its_upstream_with_the_seed():
    seen = []

    class Listens(ops.Exp):
        def gradient(self, out_grad, node):
            seen.append(out_grad.numpy())
            return out_grad * node

    given = A.copy()
    for seed in (0, 0, 1):
        simple_gradcheck(Listens(), A, seed=seed)
    assert (seen[0] == seen[1]).all() and not (seen[0] == seen[2]).any()
    assert (seen[0] == np.random.default_rng(0).standard_normal(A.shape)).all()
    assert (given == A).all()


def test_simple_gradcheck_passes_other_errors_on():
    with pytest.raises(NameError):
        simple_gradcheck(Raises(), A)
    with pytest.raises(GradientError, match=r"shape got \(1, 4\), want \(4,\)"):
        simple_gradcheck(KeptAxis(), A, B[0])


def test_simple_gradcheck_goes_by_its_tolerance():
    nearly = FactorOther()
    nearly.gradient = lambda out_grad, node: out_grad * node.inputs[0] * 2.002
    simple_gradcheck(nearly, A, tol=0.01)
    with pytest.raises(GradientError):
        simple_gradcheck(nearly, A)


def test_numeric_gradient_of_several_outputs():
    a, b, c, d = A, B.T[:, :3], normal(5, 3, seed=2), normal(4, 3, seed=3)
    given = [a.copy(), b.copy()]

    def f(arrays):
        return [arrays[0] @ arrays[1], np.sin(arrays[1])]

    by_a, by_b = (numeric_gradient(f, [a, b], i, [c, d]) for i in (0, 1))
    assert np.allclose(by_a, c @ b.T, rtol=0, atol=1e-8)
    assert np.allclose(by_b, a.T @ c + d * np.cos(b), rtol=0, atol=1e-8)
    assert (a == given[0]).all() and (b == given[1]).all()


def test_numeric_gradient_has_an_error_of_second_order():
    x, one = np.array([0.5, -2.0]), [np.ones(2)]
    errors = [np.abs(numeric_gradient(lambda arrays: [np.exp(arrays[0])], [x], 0, one, eps)
                     - np.exp(x)) for eps in (1e-3, 1e-2)]
    assert np.allclose(errors[1] / errors[0], 100, rtol=1e-3)
    assert np.allclose(errors[0], np.exp(x) * np.array([1.0, 2.0])**2 * 1e-6 / 6, rtol=1e-3)


def test_numeric_gradient_keeps_the_shape():
    for shape in ((), (0, 3), (1, 2, 1)):
        found = numeric_gradient(lambda arrays: [arrays[0] * 2], [np.ones(shape)], 0,
                                 [np.ones(shape)])
        assert found.shape == shape and np.allclose(found, 2)
