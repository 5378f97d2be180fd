"""Broadcasting: every pattern of two shapes, forward and back, for every op with two operands."""

import itertools

import numpy as np
import pytest

from minigrad import Tensor, grad, ops
from minigrad.autograd import constant
from minigrad.errors import ShapeError
from minigrad.gradcheck import gradcheck
from minigrad.ops.broadcast import broadcast_shape, sum_to

SHAPES = [shape for ndim in range(4) for shape in itertools.product((1, 2), repeat=ndim)] + [
    (0,), (1, 0), (0, 1), (2, 0), (0, 2, 1), (3,), (3, 1)]


def fits(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


PAIRS = [pair for pair in itertools.product(SHAPES, repeat=2) if fits(*pair)]
UNFIT = [pair for pair in itertools.product(SHAPES, repeat=2) if not fits(*pair)]
BINARY = {"add": np.add, "sub": np.subtract, "multiply": np.multiply, "divide": np.divide,
          "power": np.power, "maximum": np.maximum, "minimum": np.minimum}


def summed_by_hand(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Element by element: every element of the result belongs to one element of the operand."""
    out = np.zeros(shape)
    for index in np.ndindex(g.shape):
        own = index[len(index) - len(shape):]
        out[tuple(i if n > 1 else 0 for i, n in zip(own, shape, strict=True))] += g[index]
    return out


def test_the_list_holds_what_it_should():
    assert ((), (2, 2, 2)) in PAIRS and ((2, 1), (1, 2)) in PAIRS and ((0, 1), (2,)) in PAIRS
    assert len(PAIRS) > 200 and len(UNFIT) > 50


@pytest.mark.parametrize("name", BINARY)
def test_values_and_gradients_of_every_pair_of_shapes(name: str):
    op, rng = getattr(ops, name), np.random.default_rng(0)
    for a_shape, b_shape in PAIRS:
        a, b = 1 + rng.random(a_shape), 1 + rng.random(b_shape)
        x, y = Tensor(a, dtype="float64"), Tensor(b, dtype="float64")
        z = op(x, y)
        assert np.allclose(z.numpy(), BINARY[name](a, b), rtol=1e-14)
        up = np.asarray(rng.standard_normal(z.shape))
        full = [np.broadcast_to(t, z.shape) for t in (a, b)]
        wide = [Tensor(t, dtype="float64") for t in full]
        whole = grad(op(*wide), wide, constant(up))
        for g, w, shape in zip(grad(z, [x, y], constant(up)), whole, (a_shape, b_shape),
                               strict=True):
            assert g.shape == shape
            assert np.allclose(g.numpy(), summed_by_hand(w.numpy(), shape), rtol=1e-13)


def test_gradients_of_where_with_three_shapes():
    rng = np.random.default_rng(1)
    for c_shape, a_shape, b_shape in itertools.product(
            [(), (1,), (2, 1), (3,), (2, 3)], repeat=3):
        condition = np.asarray(rng.random(c_shape) < 0.5)
        gradcheck(lambda a, b, c=condition: ops.where(c, a, b),
                  np.asarray(rng.standard_normal(a_shape)),
                  np.asarray(rng.standard_normal(b_shape)), order=1)


@pytest.mark.parametrize("name", [*BINARY, "div"])
def test_shapes_that_do_not_fit(name: str):
    for a_shape, b_shape in UNFIT:
        with pytest.raises(ShapeError) as caught:
            getattr(ops, name)(Tensor(np.ones(a_shape)), Tensor(np.ones(b_shape)))
        assert "EWise" in str(caught.value)
        assert f"shapes {a_shape} and {b_shape} do not broadcast" in str(caught.value)


@pytest.mark.parametrize("shapes", [((2, 1), (1, 3)), ((), (2, 2)), ((2, 1, 2), (3, 1))])
@pytest.mark.parametrize("name", ["add", "multiply", "divide", "power"])
def test_second_order_where_both_are_stretched(name: str, shapes):
    rng = np.random.default_rng(2)
    gradcheck(getattr(ops, name), *[np.asarray(1 + rng.random(s)) for s in shapes])


def test_sum_to():
    g = Tensor(np.arange(12.0).reshape(2, 2, 3), dtype="float64")
    for shape in [(), (3,), (1,), (2, 3), (1, 3), (2, 1), (1, 1), (2, 2, 3), (2, 1, 1), (1, 1, 1)]:
        assert np.array_equal(sum_to(g, shape).numpy(), summed_by_hand(g.numpy(), shape))
    assert sum_to(g, (2, 2, 3)) is g
    empty = Tensor(np.ones((0, 3)))
    assert np.array_equal(sum_to(empty, (1, 3)).numpy(), np.zeros((1, 3)))
    assert sum_to(empty, (0, 1)).shape == (0, 1)


def test_broadcast_shape_names_the_operation():
    assert broadcast_shape("f", (2, 1), (3,), ()) == (2, 3)
    with pytest.raises(ShapeError, match=r"^f: shapes \(2,\) and \(3,\) do not broadcast"):
        broadcast_shape("f", (2,), (3,))


class Halved(ops.EWiseAdd):
    """An addition whose gradient is what a test asks for."""

    def __init__(self, gradient):
        self.returned = gradient

    def gradient(self, out_grad, node):
        return self.returned(out_grad)


@pytest.mark.parametrize("returned, kind, said", [
    (lambda g: None, ShapeError, "Halved.gradient returned 1 gradients for 2 inputs"),
    (lambda g: g, ShapeError, "returned 1 gradients for 2 inputs"),
    (lambda g: (g, g, g), ShapeError, "returned 3 gradients for 2 inputs"),
    (lambda g: (g.numpy(), g), TypeError, r"wants Tensors, got \(ndarray, Tensor\)"),
])
def test_what_a_gradient_may_not_return(returned, kind, said):
    x = Tensor([1.0, 2.0])
    y = Halved(returned)(x, Tensor([[1.0, 2.0]]))
    with pytest.raises(kind, match=said):
        grad(y, x)
