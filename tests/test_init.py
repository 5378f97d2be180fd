"""Initialisations: their statistics, dtypes, shapes, and the one generator behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as ndl
from minigrad import init
from minigrad.errors import ShapeError

N = (200, 300)  # enough elements for the statistics below


def uniform(bound: float):
    return -bound, bound, bound / math.sqrt(3)


def normal(std: float):
    return -math.inf, math.inf, std


RANDOM = {  # what it makes, least and largest value, standard deviation
    "rand": (lambda **o: init.rand(*N, low=-1, high=3, **o), (-1, 3, 4 / math.sqrt(12))),
    "randn": (lambda **o: init.randn(*N, mean=1, std=2.5, **o), normal(2.5)),
    "xavier_uniform": (lambda **o: init.xavier_uniform(*N, gain=1.4, **o),
                       uniform(1.4 * math.sqrt(6 / 500))),
    "xavier_normal": (lambda **o: init.xavier_normal(*N, gain=1.4, **o),
                      normal(1.4 * math.sqrt(2 / 500))),
    "kaiming_uniform": (lambda **o: init.kaiming_uniform(*N, **o), uniform(math.sqrt(6 / 200))),
    "kaiming_normal": (lambda **o: init.kaiming_normal(*N, **o), normal(math.sqrt(2 / 200))),
}
MEANS = {"rand": 1.0, "randn": 1.0}


@pytest.mark.parametrize("name", RANDOM)
def test_statistics(name):
    make, (low, high, std) = RANDOM[name]
    x = make().numpy().astype("float64")
    assert x.shape == N
    assert low <= x.min()
    assert x.max() <= high
    if math.isfinite(high):  # and it fills the range
        assert x.max() > high - 0.01 * (high - low)
        assert x.min() < low + 0.01 * (high - low)
    else:
        assert np.abs(x - x.mean()).max() > 3.5 * std
    assert abs(x.mean() - MEANS.get(name, 0.0)) < 5 * std / math.sqrt(x.size)
    assert abs(x.std() / std - 1) < 0.02


@pytest.mark.parametrize("name", RANDOM)
def test_dtypes_seeds_and_gradients(name):
    make, _ = RANDOM[name]
    for dtype in ("float32", "float64"):
        ndl.manual_seed(3)
        first = make(dtype=dtype)
        assert first.dtype == dtype
        second = make(dtype=dtype)
        ndl.manual_seed(3)
        np.testing.assert_array_equal(make(dtype=dtype).numpy(), first.numpy())
        assert not np.array_equal(first.numpy(), second.numpy())
    assert make().dtype == np.float32
    ndl.set_default_dtype("float64")
    assert make().dtype == np.float64
    assert not make().requires_grad
    made = make(requires_grad=True)
    assert made.requires_grad
    assert made.is_leaf()
    assert make(device=ndl.cpu()).device is ndl.cpu()


def test_the_shape_may_be_another():
    ndl.manual_seed(0)
    x = init.kaiming_normal(64 * 9, 32, shape=(32, 64, 3, 3))
    assert x.shape == (32, 64, 3, 3)
    assert abs(x.numpy().std() / math.sqrt(2 / (64 * 9)) - 1) < 0.02
    assert init.xavier_uniform(3, 4, shape=()).shape == ()
    assert init.kaiming_uniform(5, 7).shape == (5, 7)


def test_randb():
    x = init.randb(*N, p=0.2)
    assert x.dtype == np.bool_
    assert abs(x.numpy().mean() - 0.2) < 0.01
    assert not init.randb(3, requires_grad=True).requires_grad
    y = init.randb(4, p=1.0, dtype="float32")
    assert y.dtype == np.float32
    assert y.numpy().all()


def test_constants():
    assert (init.constant(2, 3, c=2.5).numpy() == 2.5).all()
    assert init.zeros(2, 0, 3).shape == (2, 0, 3)
    assert init.ones().shape == ()
    assert init.ones(2, dtype="int32").dtype == np.int32
    assert not init.ones(2, dtype="int32", requires_grad=True).requires_grad
    like = ndl.Tensor(np.zeros((2, 1), dtype="float64"), dtype="float64")
    for make, value in ((init.ones_like, 1), (init.zeros_like, 0)):
        made = make(like, requires_grad=True)
        assert (made.shape, made.dtype, made.requires_grad) == ((2, 1), np.float64, True)
        assert (made.numpy() == value).all()


def test_one_hot():
    want = np.eye(4, dtype="float32")[[[0, 3], [1, 1]]]
    for index in ([[0, 3], [1, 1]], np.array([[0, 3], [1, 1]], "uint8"),
                  ndl.Tensor(np.array([[0, 3], [1, 1]])), ndl.Tensor([[0.0, 3.0], [1.0, 1.0]])):
        made = init.one_hot(4, index)
        np.testing.assert_array_equal(made.numpy(), want)
        assert made.dtype == np.float32
    assert init.one_hot(4, [0], dtype="float64").dtype == np.float64
    assert init.one_hot(4, np.zeros(0, "int64")).shape == (0, 4)
    for index in ([4], [-1]):
        with pytest.raises(IndexError, match=r"one_hot: indices must lie in 0\.\.3"):
            init.one_hot(4, index)


def test_refused():
    with pytest.raises(ShapeError, match="xavier_uniform"):
        init.xavier_uniform(0, 0)
    with pytest.raises(ShapeError, match="kaiming_normal"):
        init.kaiming_normal(0, 4)
    with pytest.raises(ValueError, match="'tanh'"):
        init.kaiming_uniform(3, 4, nonlinearity="tanh")
    with pytest.raises(TypeError):
        init.kaiming_uniform(3, 4, std=2.0)


def test_made_tensors_own_their_arrays():
    """An in-place step on one is not seen by another."""
    a, b = init.ones(3), init.ones(3)
    a.data = init.zeros(3)
    assert (b.numpy() == 1).all()
    weights = init.one_hot(3, [0, 0])
    weights.data = init.zeros(2, 3)
    assert (init.one_hot(3, [0]).numpy() == [[1, 0, 0]]).all()
