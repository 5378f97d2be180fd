"""Programs in the style of the course's first homework: ops, gradients, the graph, two layers.

They run in `course_mode`, as `import needle as ndl`; values are checked against NumPy, gradients
against central differences in float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from test_course_names import as_needle

import minigrad
from minigrad import data


@pytest.fixture(autouse=True)
def needle() -> Iterator[None]:
    with as_needle(), minigrad.course_mode():
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def ndl():
    import needle

    return needle


def differences(f, arrays: list[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Central differences of sum(weights * f(arrays)), array by array."""
    found = []
    for array in arrays:
        g = np.zeros_like(array)
        for i in np.ndindex(array.shape):
            old = array[i]
            array[i] = old + 1e-5
            high = np.sum(weights * f(*arrays))
            array[i] = old - 1e-5
            low = np.sum(weights * f(*arrays))
            array[i] = old
            g[i] = (high - low) / 2e-5
        found.append(g)
    return found


# ------------------------------------------------------------------------- every op, both ways

# name: (how the course calls it, the same in NumPy, shapes of the operands, smallest value)
OPS = {
    "add": (lambda n, a, b: n.add(a, b), lambda a, b: a + b, [(3, 4), (3, 4)], None),
    "add_scalar": (lambda n, a: n.add_scalar(a, scalar=2.5), lambda a: a + 2.5, [(3, 4)], None),
    "multiply": (lambda n, a, b: n.multiply(a, b), lambda a, b: a * b, [(3, 4), (3, 4)], None),
    "mul_scalar": (lambda n, a: n.mul_scalar(a, scalar=-3), lambda a: a * -3, [(3, 4)], None),
    "power": (lambda n, a, b: n.power(a, b), lambda a, b: a**b, [(3, 4), (3, 4)], 0.5),
    "power_scalar": (lambda n, a: n.power_scalar(a, scalar=3), lambda a: a**3, [(3, 4)], None),
    "power_scalar 0": (lambda n, a: n.power_scalar(a, scalar=0), lambda a: a**0, [(3, 4)], None),
    "power_scalar -1.5": (
        lambda n, a: n.power_scalar(a, scalar=-1.5), lambda a: a**-1.5, [(3, 4)], 0.5),
    "divide": (lambda n, a, b: n.divide(a, b), lambda a, b: a / b, [(3, 4), (3, 4)], 0.5),
    "divide_scalar": (
        lambda n, a: n.divide_scalar(a, scalar=12), lambda a: a / 12, [(3, 4)], None),
    "scalar in an array": (  # the course's own tests write scalar=np.random.randn(1)
        lambda n, a: n.divide_scalar(a, scalar=np.array([0.7])), lambda a: a / 0.7, [(3, 4)], None),
    "negate": (lambda n, a: n.negate(a), lambda a: -a, [(2, 3)], None),
    "log": (lambda n, a: n.log(a), np.log, [(3, 4)], 0.5),
    "exp": (lambda n, a: n.exp(a), np.exp, [(3, 4)], None),
    "relu": (lambda n, a: n.relu(a), lambda a: np.maximum(a, 0), [(5, 4)], None),
    "tanh": (lambda n, a: n.tanh(a), np.tanh, [(5, 4)], None),
    "matmul": (lambda n, a, b: n.matmul(a, b), np.matmul, [(5, 4), (4, 3)], None),
    "matmul batched": (lambda n, a, b: n.matmul(a, b), np.matmul, [(2, 3, 5, 4), (2, 3, 4, 2)],
                       None),
    "matmul batch left": (lambda n, a, b: n.matmul(a, b), np.matmul, [(2, 3, 5, 4), (4, 2)], None),
    "matmul batch right": (lambda n, a, b: n.matmul(a, b), np.matmul, [(5, 4), (2, 3, 4, 2)], None),
    "matmul batch stretched": (
        lambda n, a, b: n.matmul(a, b), np.matmul, [(3, 2, 1), (3, 3, 1, 2)], None),
    "reshape": (lambda n, a: n.reshape(a, shape=(4, 5)), lambda a: a.reshape(4, 5), [(5, 4)], None),
    "reshape flat": (lambda n, a: n.reshape(a, shape=(20,)), np.ravel, [(5, 4)], None),
    "transpose": (lambda n, a: n.transpose(a), lambda a: a.swapaxes(-1, -2), [(3, 2, 4)], None),
    "transpose (1, 2)": (
        lambda n, a: n.transpose(a, axes=(1, 2)), lambda a: a.swapaxes(1, 2), [(3, 5, 4)], None),
    "transpose (0, 2)": (
        lambda n, a: n.transpose(a, axes=(0, 2)), lambda a: a.swapaxes(0, 2), [(3, 5, 4)], None),
    "broadcast_to rows": (lambda n, a: n.broadcast_to(a, shape=(3, 3)),
                          lambda a: np.broadcast_to(a, (3, 3)), [(3, 1)], None),
    "broadcast_to new axes": (lambda n, a: n.broadcast_to(a, shape=(2, 3, 4)),
                              lambda a: np.broadcast_to(a, (2, 3, 4)), [(4,)], None),
    "broadcast_to from a number": (lambda n, a: n.broadcast_to(a, shape=(3, 3, 3)),
                                   lambda a: np.broadcast_to(a, (3, 3, 3)), [()], None),
    "summation": (lambda n, a: n.summation(a), np.sum, [(3, 4)], None),
    "summation one": (lambda n, a: n.summation(a, axes=1), lambda a: a.sum(1), [(5, 4)], None),
    "summation (1,)": (lambda n, a: n.summation(a, axes=(1,)), lambda a: a.sum(1), [(5, 4)], None),
    "summation two": (
        lambda n, a: n.summation(a, axes=(0, 1)), lambda a: a.sum((0, 1)), [(5, 4, 1)], None),
}


def draw(rng: np.random.Generator, shapes: list[tuple], least: float | None) -> list[np.ndarray]:
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    return arrays if least is None else [np.abs(a) + least for a in arrays]


@pytest.mark.parametrize("name", OPS)
def test_forward(ndl, rng, name):
    call, numpy_form, shapes, least = OPS[name]
    arrays = draw(rng, shapes, least)
    out = call(ndl, *[ndl.Tensor(a) for a in arrays])
    want = np.asarray(numpy_form(*arrays))
    assert out.shape == want.shape
    assert out.dtype == np.float64  # the course keeps NumPy's dtype
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-12)


@pytest.mark.parametrize("name", OPS)
def test_gradient_by_hand(ndl, rng, name):
    """`out.op.gradient_as_tuple(upstream, out)`: how the course's own checker asks."""
    call, numpy_form, shapes, least = OPS[name]
    arrays = draw(rng, shapes, least)
    out = call(ndl, *[ndl.Tensor(a) for a in arrays])
    upstream = np.asarray(rng.standard_normal(out.shape))
    for weights in (np.ones(out.shape), upstream):
        got = out.op.gradient_as_tuple(ndl.Tensor(weights), out)
        want = differences(numpy_form, arrays, weights)
        assert type(got) is tuple
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g.numpy(), w, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", OPS)
def test_backward(ndl, rng, name):
    call, numpy_form, shapes, least = OPS[name]
    arrays = draw(rng, shapes, least)
    inputs = [ndl.Tensor(a) for a in arrays]
    call(ndl, *inputs).sum().backward()
    ones = np.ones(np.shape(numpy_form(*arrays)))
    for x, want in zip(inputs, differences(numpy_form, arrays, ones), strict=True):
        np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-6, atol=1e-8)


CLASSES = {
    "EWiseAdd": ((), 2), "AddScalar": ((2.0,), 1), "EWiseMul": ((), 2), "MulScalar": ((2.0,), 1),
    "EWisePow": ((), 2), "PowerScalar": ((2,), 1), "EWiseDiv": ((), 2), "DivScalar": ((2.0,), 1),
    "Transpose": (((0, 1),), 1), "Reshape": (((4, 4),), 1), "BroadcastTo": (((2, 4, 4),), 1),
    "Summation": (((0,),), 1), "MatMul": ((), 2), "Negate": ((), 1), "Log": ((), 1),
    "Exp": ((), 1), "ReLU": ((), 1), "Tanh": ((), 1), "LogSoftmax": ((), 1),
    "LogSumExp": (((1,),), 1), "Flip": (((0,),), 1), "Dilate": (((0,), 1), 1),
    "UnDilate": (((0,), 1), 1),
}
FUNCTIONS = {
    "EWiseAdd": "add", "AddScalar": "add_scalar", "EWiseMul": "multiply",
    "MulScalar": "mul_scalar", "EWisePow": "power", "PowerScalar": "power_scalar",
    "EWiseDiv": "divide", "DivScalar": "divide_scalar", "BroadcastTo": "broadcast_to",
    "Summation": "summation", "LogSoftmax": "logsoftmax", "LogSumExp": "logsumexp",
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(ndl, rng, name):
    """An op object is made with its settings and called with Tensors; the function is the same."""
    settings, operands = CLASSES[name]
    tensors = [ndl.Tensor(np.abs(rng.standard_normal((4, 4))) + 0.1) for _ in range(operands)]
    op = getattr(ndl.ops, name)(*settings)
    out = op(*tensors)
    assert out.op is op
    assert list(out.inputs) == tensors
    made = ndl.Tensor.make_from_op(op, tensors)
    function = getattr(ndl, FUNCTIONS.get(name, name.lower()))
    for other in (made, function(*tensors, *settings)):
        np.testing.assert_array_equal(out.numpy(), other.numpy())
        assert type(other.op) is type(op)


# ------------------------------------------------------------------------------ dtypes as NumPy's


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8"])
def test_dtypes_are_numpys(ndl, dtype):
    a = np.array([[1, 2], [3, 4]], dtype=dtype)
    t = ndl.Tensor(a)
    pairs = [
        (t, a), (t + t, a + a), (t * t, a * a), (t / t, a / a), (t - t, a - a), (t @ t, a @ a),
        (t.sum(), a.sum()), (t + 1, a + 1), (t * 2.0, a * 2.0), (t / 2, a / 2), (-t, -a),
        (t.reshape((4,)), a.reshape(4)), (ndl.relu(t), np.maximum(a, 0)), (t**2, a**2),
    ]
    for i, (got, want) in enumerate(pairs):
        np.testing.assert_array_equal(got.numpy(), want, err_msg=str(i))
        assert got.dtype == want.dtype, i


def test_mixed_dtypes_promote_as_numpys(ndl):
    single = ndl.Tensor(np.ones((2, 2), dtype="float32"))
    double, whole = ndl.Tensor(np.ones((2, 2))), ndl.Tensor(np.ones((2, 2), dtype="int64"))
    for out in (single + double, single * double, single @ double, single / double,
                double + whole, single + whole, ndl.power(double, whole)):
        assert out.dtype == np.float64
    assert ndl.Tensor(np.ones(2), dtype="float32").dtype == np.float32
    assert ndl.Tensor([1, 2]).dtype == np.int64
    assert ndl.Tensor([1.0, 2]).dtype == np.float64


def test_power_with_integer_exponents(ndl):
    out = ndl.power(ndl.Tensor([[1.0, 2.0, 3.0]]), ndl.Tensor([[0, 0, 2]]))
    np.testing.assert_allclose(out.numpy(), [[1.0, 1.0, 9.0]])


# ------------------------------------------------------------------------------------ the graph


def kinds(nodes) -> list[str]:
    return [type(node.op).__name__ if node.op else "leaf" for node in nodes]


def test_topo_sort_is_depth_first_post_order(ndl):
    """Inputs in their order, each node once; a subtraction is an addition of a negation."""
    a, b = ndl.Tensor(np.array([[0.9]])), ndl.Tensor(np.array([[0.5]]))
    c = 2 * a * a + 7 * b * a - a
    order = ndl.autograd.find_topo_sort([c])
    values = [0.9, 1.8, 1.62, 0.5, 3.5, 3.15, 4.77, -0.9, 3.87]
    np.testing.assert_allclose([x.numpy().item() for x in order], values)
    assert kinds(order) == ["leaf", "MulScalar", "EWiseMul", "leaf", "MulScalar", "EWiseMul",
                            "EWiseAdd", "Negate", "EWiseAdd"]


def test_topo_sort_of_matrices(ndl, rng):
    a, b = (ndl.Tensor(rng.standard_normal(s)) for s in [(2, 1), (1, 2)])
    c = 3 * ((b @ a) + (2.5 * b) @ a) + 1.5
    order = ndl.autograd.find_topo_sort([c])
    assert order[0] is b
    assert order[1] is a
    assert order[-1] is c
    assert kinds(order) == ["leaf", "leaf", "MatMul", "MulScalar", "MatMul", "EWiseAdd",
                            "MulScalar", "AddScalar"]


def test_topo_sort_of_several_outputs(ndl):
    a = ndl.Tensor([1.0])
    b = a * 2
    c, d = b + 1, b + b
    order = ndl.autograd.find_topo_sort([c, d])
    assert [id(x) for x in order] == [id(x) for x in (a, b, c, d)]


def test_compute_gradient_of_variables(ndl, rng):
    arrays = [rng.standard_normal(s) for s in [(4, 3), (3, 2), (4, 2)]]
    A, B, C = (ndl.Tensor(a) for a in arrays)
    out = ndl.summation((A @ B + C) * (A @ B), axes=None)
    ndl.autograd.compute_gradient_of_variables(out, ndl.Tensor(np.ones(out.shape)))
    want = differences(lambda a, b, c: np.sum((a @ b + c) * (a @ b)), arrays, np.ones(()))
    for x, w in zip((A, B, C), want, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), w, rtol=1e-6, atol=1e-7)


def test_compute_gradient_with_an_upstream(ndl, rng):
    x = ndl.Tensor(rng.standard_normal(4))
    upstream = rng.standard_normal(4)
    y = ndl.exp(x)
    ndl.autograd.compute_gradient_of_variables(y, ndl.Tensor(upstream))
    np.testing.assert_allclose(x.grad.numpy(), upstream * np.exp(x.numpy()))
    np.testing.assert_allclose(y.grad.numpy(), upstream)  # of the output itself, and of ...
    y = x * 2
    (y * y).backward(ndl.Tensor(upstream))
    np.testing.assert_allclose(y.grad.numpy(), upstream * 2 * y.numpy())  # ... intermediates


def test_gradient_of_gradient(ndl):
    a, b = ndl.Tensor([5]), ndl.Tensor([2])  # integers: in the course they carry gradients too
    y = a * a * b + b
    y.backward()
    grad_a, grad_b = a.grad, b.grad
    assert (grad_a.numpy(), grad_b.numpy()) == (20, 26)
    grad_a.backward()
    assert (a.grad.numpy(), b.grad.numpy()) == (4, 10)
    a.grad.backward()
    assert b.grad.numpy() == 2


def test_third_derivative(ndl):
    x = ndl.Tensor(np.array([0.3, -0.7]))
    y = ndl.exp(x) * x
    for order in range(1, 4):
        y.sum().backward()
        y = x.grad
        np.testing.assert_allclose(y.numpy(), np.exp(x.numpy()) * (x.numpy() + order), rtol=1e-12)


# ---------------------------------------------------------------------------------------- Tensor


def test_leaves_constants_and_detached(ndl):
    x = ndl.Tensor([1.0, 2.0])
    y = x * 2
    assert x.is_leaf()
    assert not y.is_leaf()
    assert y.detach().is_leaf()
    assert not y.detach().requires_grad
    c = ndl.Tensor.make_const(np.ones(3))
    assert c.is_leaf()
    assert not c.requires_grad
    assert ndl.Tensor.make_const(y, requires_grad=True).requires_grad
    np.testing.assert_array_equal(ndl.Tensor.make_const(y).numpy(), y.numpy())
    assert y.realize_cached_data() is y.cached_data
    assert ndl.Tensor(x).realize_cached_data() is x.realize_cached_data()


def test_only_what_requires_grad_is_recorded(ndl):
    fixed = ndl.Tensor([1.0, 2.0], requires_grad=False)
    assert (fixed * fixed).is_leaf()
    assert (fixed * ndl.Tensor([1.0, 1.0])).requires_grad


def test_data_can_be_set(ndl):
    x = ndl.Tensor(np.array([1.0, 2.0]))
    x.data = x.data - 0.5 * ndl.Tensor(np.array([2.0, 2.0]))
    np.testing.assert_array_equal(x.numpy(), [0.0, 1.0])
    assert x.is_leaf()
    assert x.requires_grad
    x.data = ndl.Tensor(np.zeros((1, 3)))  # the course asks for an equal dtype, not for a shape
    assert x.shape == (1, 3)
    with pytest.raises((TypeError, AssertionError)):
        x.data = ndl.Tensor(np.zeros((1, 3)), dtype="float32")


def test_operators_with_numbers(ndl, rng):
    a = np.abs(rng.standard_normal((2, 3))) + 1
    x = ndl.Tensor(a)
    for got, want in [(x + 2, a + 2), (2 + x, a + 2), (x - 2, a - 2), (2 - x, 2 - a),
                      (x * 2, a * 2), (2 * x, a * 2), (x / 2, a / 2), (x**2, a**2), (-x, -a)]:
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


# ----------------------------------------------------------------------------------- simple_ml.py


def softmax_loss(ndl, Z, y_one_hot):
    """The student's: mean of log sum exp minus the logit of the label."""
    log_sum = ndl.log(ndl.summation(ndl.exp(Z), axes=(1,)))
    chosen = ndl.summation(Z * y_one_hot, axes=(1,))
    return ndl.summation(log_sum - chosen) / Z.shape[0]


def nn_epoch(ndl, X, y, W1, W2, lr=0.1, batch=100):
    """One pass of gradient descent on relu(X W1) W2; new weights are new leaves."""
    for i in range(0, X.shape[0], batch):
        xs, ys = X[i : i + batch], y[i : i + batch]
        one_hot = np.zeros((len(ys), W2.shape[1]))
        one_hot[np.arange(len(ys)), ys] = 1
        logits = ndl.relu(ndl.Tensor(xs) @ W1) @ W2
        loss = softmax_loss(ndl, logits, ndl.Tensor(one_hot))
        loss.backward()
        W1 = ndl.Tensor(W1.realize_cached_data() - lr * W1.grad.realize_cached_data())
        W2 = ndl.Tensor(W2.realize_cached_data() - lr * W2.grad.realize_cached_data())
    return W1, W2


def numpy_epoch(X, y, W1, W2, lr, batch):
    for i in range(0, len(X), batch):
        xs, ys = X[i : i + batch], y[i : i + batch]
        hidden = np.maximum(xs @ W1, 0)
        p = np.exp(hidden @ W2)
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(ys)), ys] -= 1
        g2 = hidden.T @ p / len(ys)
        g1 = xs.T @ (p @ W2.T * (hidden > 0)) / len(ys)
        W1, W2 = W1 - lr * g1, W2 - lr * g2
    return W1, W2


def test_softmax_loss(ndl, rng):
    one_hot = np.eye(10)[rng.integers(10, size=50)]
    zeros = ndl.Tensor(np.zeros((50, 10)).astype(np.float32))
    np.testing.assert_allclose(softmax_loss(ndl, zeros, ndl.Tensor(one_hot)).numpy(), np.log(10))
    Z = rng.standard_normal((6, 10))
    t = ndl.Tensor(Z)
    softmax_loss(ndl, t, ndl.Tensor(one_hot[:6])).backward()
    p = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    np.testing.assert_allclose(t.grad.numpy(), (p - one_hot[:6]) / 6, rtol=1e-9, atol=1e-12)


def test_nn_epoch(ndl, rng):
    X = rng.standard_normal((50, 5)).astype(np.float32)
    y = rng.integers(3, size=50).astype(np.uint8)
    W1 = rng.standard_normal((5, 10)).astype(np.float32) / np.sqrt(10).astype(np.float32)
    W2 = rng.standard_normal((10, 3)).astype(np.float32) / np.sqrt(3).astype(np.float32)
    for batch in (50, 16):
        got = nn_epoch(ndl, X, y, ndl.Tensor(W1), ndl.Tensor(W2), lr=0.2, batch=batch)
        want = numpy_epoch(X, y, W1.astype(float), W2.astype(float), 0.2, batch)
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g.numpy(), w, rtol=1e-4, atol=1e-5)


def test_nn_epochs_learn_digits(ndl, rng):
    digits = data.load("optdigits")
    X = (digits.train_images.reshape(-1, 64) / 16).astype(np.float32)
    y = digits.train_labels
    W1 = ndl.Tensor(rng.standard_normal((64, 40)).astype(np.float32) / np.float32(np.sqrt(40)))
    W2 = ndl.Tensor(rng.standard_normal((40, 10)).astype(np.float32) / np.float32(np.sqrt(10)))
    for _ in range(4):
        W1, W2 = nn_epoch(ndl, X, y, W1, W2, lr=0.4, batch=50)
    test = (digits.test_images.reshape(-1, 64) / 16).astype(np.float32)
    logits = (ndl.relu(ndl.Tensor(test) @ W1) @ W2).numpy()
    assert np.mean(logits.argmax(axis=1) != digits.test_labels) < 0.1


# ------------------------------------------------------------------------------ a student's own op


def test_an_own_op_is_differentiated_twice(ndl):
    class Sine(ndl.autograd.TensorOp):
        def compute(self, a):
            return np.sin(a)

        def gradient(self, out_grad, node):
            return (out_grad * cosine(node.inputs[0]),)

    class Cosine(ndl.autograd.TensorOp):
        def compute(self, a):
            return np.cos(a)

        def gradient(self, out_grad, node):
            return [-out_grad * sine(node.inputs[0])]  # a list is as good as a tuple

    def sine(a):
        return Sine()(a)

    def cosine(a):
        return Cosine()(a)

    x = ndl.Tensor(np.array([0.4, 1.1]))
    y = (sine(x) * x).sum()
    y.backward()
    first = x.grad
    np.testing.assert_allclose(first.numpy(), np.cos(x.numpy()) * x.numpy() + np.sin(x.numpy()))
    first.sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), 2 * np.cos(x.numpy()) - np.sin(x.numpy()) * x.numpy())


def test_an_own_op_with_two_inputs_and_a_setting(ndl, rng):
    class Blend(ndl.autograd.TensorOp):
        def __init__(self, share):
            self.share = share

        def compute(self, a, b):
            return self.share * a + (1 - self.share) * b

        def gradient(self, out_grad, node):
            return out_grad * self.share, out_grad * (1 - self.share)

    a, b = (ndl.Tensor(rng.standard_normal((2, 3))) for _ in range(2))
    c = Blend(0.25)(a, b)
    (c * c).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 * c.numpy() * 0.25)
    np.testing.assert_allclose(b.grad.numpy(), 2 * c.numpy() * 0.75)


def test_an_own_tuple_op(ndl, rng):
    class Halves(ndl.autograd.TensorTupleOp):
        def compute(self, a):
            return a[:2], a[2:]

        def gradient(self, out_grad, node):
            first, second = out_grad.tuple()
            return ndl.stack([first, second], axis=0).reshape((4, 3))

    x = ndl.Tensor(rng.standard_normal((4, 3)))
    first, second = Halves()(x).tuple()
    (first * second).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.roll(x.numpy(), 2, axis=0))
