"""Element types: float32 stays, integers take the other's float, two floats are not mixed."""

import numpy as np
import pytest

from minigrad import Tensor, course_mode, grad, ops, set_default_dtype
from minigrad.errors import DTypeError

BINARY = ["add", "sub", "multiply", "divide", "power", "maximum", "minimum"]
INTEGERS = ["int64", "int32", "uint8", "int8", "bool"]


def numbers(dtype: str, *shape: int) -> Tensor:
    return Tensor(np.full(shape, 3), dtype=dtype)


@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", BINARY)
def test_integers_take_the_floats_dtype(name: str, real: str, integer: str):
    op, x, n = getattr(ops, name), numbers(real, 2, 2), numbers(integer, 2)
    for a, b in ((x, n), (n, x)):
        y = op(a, b)
        assert y.dtype == np.dtype(real)
        want = op(*[Tensor(t.numpy(), dtype=real) for t in (a, b)])
        assert np.array_equal(y.numpy(), want.numpy())
        for create_graph in (False, True):
            g = grad(y, x, create_graph=create_graph)
            assert g.dtype == np.dtype(real)
        y.backward()
        assert n.grad is None and x.grad.dtype == np.dtype(real)


@pytest.mark.parametrize("integer", INTEGERS)
def test_integers_in_products_and_losses(integer: str):
    n, w, b = numbers(integer, 2, 3), numbers("float32", 3, 4), numbers("float32", 4)
    for y, x in ((n @ w, w), (ops.linear(n, w), w), (ops.linear(n, w, b), b),
                 (ops.linear(n, w, b), w), (ops.linear(numbers("float32", 2, 3), w,
                                                       numbers(integer, 4)), w),
                 (ops.bce_with_logits(w, numbers(integer, 3, 4)), w),
                 (ops.where(np.ones((3, 4), bool), numbers(integer, 3, 4), w), w)):
        assert y.dtype == np.float32
        for create_graph in (False, True):
            g = grad(y, x, create_graph=create_graph)
            assert g.dtype == np.float32 and g.shape == x.shape


@pytest.mark.parametrize("name", BINARY)
def test_two_floats_are_not_mixed(name: str):
    for first, second in (("float32", "float64"), ("float16", "float32")):
        for a, b in ((first, second), (second, first)):
            with pytest.raises(DTypeError, match=f"operands of {a} and {b}; give both one dtype"):
                getattr(ops, name)(numbers(a, 2), numbers(b, 2))


def test_the_course_lets_numpy_promote():
    with course_mode():
        assert (numbers("float32", 2) + numbers("float64", 2)).dtype == np.float64
        assert (numbers("int64", 2) + numbers("float32", 2)).dtype == np.float64
        assert ops.exp(numbers("int64", 2)).dtype == np.float64


@pytest.mark.parametrize(
    "f",
    [ops.exp, ops.log, ops.sqrt, ops.tanh, ops.sigmoid, ops.softplus, ops.elu, ops.gelu,
     ops.leaky_relu, ops.logsumexp, ops.logsoftmax, ops.mean, ops.var, lambda n: n + 0.5,
     lambda n: n * 0.5, lambda n: n / 2, lambda n: 1 / n, lambda n: n**-1, lambda n: n**0.5,
     lambda n: n / n, lambda n: 0.5 - n, lambda n: ops.clip(n, 0.5, 2.5), lambda n: 0.5**n,
     lambda n: ops.maximum(n, 3.5), lambda n: ops.where(n.numpy() > 1, n, 0.5),
     lambda n: ops.bce_with_logits(n, 1)],
)
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_what_makes_floats_of_integers_makes_the_default_dtype(f, default: str):
    n = Tensor(np.array([1, 2, 3]))
    want = f(Tensor(np.array([1.0, 2, 3]), dtype="float64")).numpy()
    try:
        set_default_dtype(default)
        y = f(n)
    finally:
        set_default_dtype("float32")
    assert y.dtype == np.dtype(default)
    assert np.allclose(y.numpy(), want, rtol=1e-6)
    assert not y.requires_grad


@pytest.mark.parametrize(
    "f", [lambda n: n + 1, lambda n: n * 2, lambda n: n - n, lambda n: -n, ops.relu, ops.abs,
          lambda n: n.sum(), lambda n: n.max(), lambda n: n @ n, lambda n: n**2, lambda n: n[0],
          lambda n: ops.maximum(n, 2), lambda n: ops.clip(n, 1, 2), lambda n: ops.concat([n, n]),
          lambda n: ops.pad(n, [(1, 1)] * 2), lambda n: ops.where(n.numpy() > 1, n, 0)])
def test_integers_stay_integers(f):
    y = f(Tensor(np.arange(4).reshape(2, 2)))
    assert y.dtype == np.int64
    assert not y.requires_grad and y.op is None


def test_float32_accuracy_of_products():
    """|got - float64| <= 16 eps sum |x| |w|, whatever the cancellation."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype("float32") for s in ((64, 200), (200, 30), (30,)))
    bound = 16 * np.finfo("float32").eps * (np.abs(x) @ np.abs(w) + np.abs(b))
    exact = x.astype(float) @ w.astype(float) + b
    assert (np.abs(ops.linear(Tensor(x), Tensor(w), Tensor(b)).numpy() - exact) <= bound).all()
    assert (np.abs((Tensor(x) @ Tensor(w)).numpy() + b - exact) <= bound).all()


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "softplus", "gelu", "relu", "elu"])
def test_float32_accuracy_of_functions(name: str):
    x = np.random.default_rng(0).standard_normal(1000).astype("float32") * 4
    got = getattr(ops, name)(Tensor(x)).numpy()
    exact = getattr(ops, name)(Tensor(x, dtype="float64")).numpy()
    assert (np.abs(got - exact) <= 16 * np.finfo("float32").eps * np.maximum(
        np.abs(exact), np.abs(x) + 1)).all()
