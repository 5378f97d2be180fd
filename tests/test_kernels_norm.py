"""Batch normalisation: the fast kernel against the simple one in float64, and the op's two paths.

Bounds, with eps that of the dtype, |.| elementwise and c = 32. A variance summed around the mean is
off by c eps var for its own roundings and by the square of the error of the mean, (c eps |mean|)^2.
The quicker mean of squares minus square of the mean is off by c eps (var + mean^2): that is allowed
while mean^2 <= 100 var, and would leave no digit where the mean is 1000 standard deviations. In y
the mean cancels, which costs eps |mean| whatever one does: the input itself is rounded by as much.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_conv import lay_out, within

import minigrad as ndl
from minigrad import Tensor, grad, ops
from minigrad.kernels import fast, reference

Array = np.ndarray
C = 32
SLOPES = [None, 0, 0.0, 0.2, 1, 1.0, 0.01]
LAYOUTS = ["nchw", "nhwc", "reversed", "fortran", "sliced", "read-only", "one number"]


def over(a: Array, ndim: int) -> Array:
    return a.reshape((1, -1) + (1,) * (ndim - 2))


@dataclass(frozen=True)
class Problem:
    """One batch: its shape, how its numbers lie, and what follows."""

    shape: tuple[int, ...]
    slope: float | None = None
    dtype: str = "float32"
    mean: float = 0.0
    std: float = 1.0
    eps: float = 1e-5
    layouts: tuple[str, str] = ("nhwc", "nhwc")  # of the batch and of the upstream gradient
    elements: int | None = None  # how large a chunk may be, if not as large as usual
    seed: int = 0

    def batch(self) -> list[Array]:
        """x, gamma, beta and the upstream gradient, in memory as ``layouts`` says."""
        g, c = np.random.default_rng(self.seed), self.shape[1]
        x = self.mean * (1 + 0.01 * over(np.arange(c), len(self.shape))) + (
            self.std * g.standard_normal(self.shape))
        arrays = [x, g.standard_normal(c), g.standard_normal(c), g.standard_normal(self.shape)]
        x, gamma, beta, out_grad = (a.astype(self.dtype) for a in arrays)
        return [placed(x, self.layouts[0]), gamma, beta, placed(out_grad, self.layouts[1])]


def placed(a: Array, layout: str) -> Array:
    if layout == "one number":
        return np.broadcast_to(a.flat[0], a.shape)
    if a.ndim == 4:
        return lay_out(a, layout)
    four = lay_out(a.reshape(*a.shape, *[1] * (4 - a.ndim)), layout)
    return four[(slice(None),) * a.ndim + (0,) * (4 - a.ndim)]


@contextmanager
def chunks_of(elements: int | None) -> Iterator[None]:
    """Inside, small batches are cut into many chunks."""
    module = sys.modules["minigrad.kernels.norm"]
    usual = module.ELEMENTS
    try:
        module.ELEMENTS = elements or usual
        yield
    finally:
        module.ELEMENTS = usual


def run(k: ModuleType, p: Problem, x: Array, gamma: Array, beta: Array, up: Array) -> list[Array]:
    """y, mean, var, and the gradients of x, gamma and beta."""
    with chunks_of(p.elements):
        y, mean, var = k.batch_norm(x, gamma, beta, p.eps, p.slope)
        return [y, mean, var,
                *k.batch_norm_gradient(x, y, gamma, mean, var, up, p.eps, p.slope)]


def check(p: Problem, k: ModuleType = fast) -> None:
    """Values and gradients; inputs are left alone, and results are the caller's."""
    x, gamma, beta, up = operands = p.batch()
    kept = [a.copy() for a in operands]
    with np.errstate(invalid="ignore"):  # what was left behind must not show
        run(k, p, *[np.full_like(a, np.nan) for a in kept])
    found = run(k, p, *operands)
    y, mean, var, grad_x, grad_gamma, grad_beta = found
    for got in found:
        assert not any(np.may_share_memory(got, a) for a in operands)
    for a, b in zip(operands, kept, strict=True):
        np.testing.assert_array_equal(a, b)

    x, gamma, beta, up = (a.astype("float64") for a in operands)
    eps, ndim, axes = C * np.finfo(p.dtype).eps, x.ndim, (0, *range(2, x.ndim))
    y64, mean64, var64 = reference.batch_norm(x, gamma, beta, p.eps, p.slope)
    size = np.abs(x).mean(axis=axes)
    within("mean", mean, mean64, eps * size, p.dtype)
    allowed_var = eps * (var64 + np.minimum(mean64**2, 100 * var64)) + (eps * size) ** 2
    within("var", var, var64, allowed_var, p.dtype)
    scale = over(1 / np.sqrt(var64 + p.eps), ndim)
    normal = np.abs(x - over(mean64, ndim)) * scale
    rounded = (np.abs(x) + over(size, ndim)) * scale  # what cancels, in units of normal
    spread = np.abs(over(gamma, ndim))
    of_var = over(allowed_var, ndim) * scale**2
    within("y", y, y64, eps * (spread * rounded + np.abs(over(beta, ndim)))
           + spread * normal * of_var, p.dtype)

    # the gradient's kernel takes y, mean and var as they were found
    mean, var, y = (a.astype("float64") for a in (mean, var, y))
    want = reference.batch_norm_gradient(x, y, gamma, mean, var, up, p.eps, p.slope)
    up = np.abs(up)
    if p.slope is not None:
        up = np.where(y > 0, up, p.slope * up)
    share = 1 / np.prod([x.shape[axis] for axis in axes])
    sum_up, with_normal = up.sum(axis=axes), (up * rounded).sum(axis=axes)
    within("gradient of beta", grad_beta, want[2], eps * sum_up, p.dtype)
    within("gradient of gamma", grad_gamma, want[1], eps * with_normal, p.dtype)
    pull = over(sum_up, ndim) + normal * over(with_normal, ndim) + (
        rounded * over(np.abs(want[1]), ndim))
    within("gradient of x", grad_x, want[0], eps * spread * scale * (up + share * pull), p.dtype)


# ------------------------------------------------------------------------------ fast == reference

DTYPES = st.sampled_from(["float32", "float64"])
LAYOUT_PAIRS = st.tuples(st.sampled_from(LAYOUTS[:-1]), st.sampled_from(LAYOUTS))
SHAPES = (
    st.tuples(st.integers(2, 40), st.integers(1, 9))
    | st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(2, 9))
    | st.tuples(st.integers(2, 9), st.integers(1, 9), st.integers(1, 9)))
PROBLEMS = st.builds(
    Problem, SHAPES, st.sampled_from(SLOPES), DTYPES, st.sampled_from([0.0, 0.3, -5.0, 100.0]),
    st.sampled_from([1.0, 1e-3, 30.0]), st.sampled_from([1e-5, 0.0, 1e-2]), LAYOUT_PAIRS,
    st.sampled_from([None, 1, 10, 64]), st.integers(0, 9999))


@settings(max_examples=150)
@given(PROBLEMS)
def test_batch_norm(p):
    check(p)


@settings(max_examples=40)
@given(PROBLEMS)
def test_the_simple_kernel_keeps_the_bounds_too(p):
    check(replace(p, layouts=("nchw", "nchw")), reference)


@pytest.mark.parametrize("slope", [None, 0, 0.2, 1])
@pytest.mark.parametrize("shape", [
    (128, 64, 8, 8), (64, 1, 28, 28), (16, 3, 64, 64), (64, 256), (2, 512, 1, 1), (50_000, 1),
    (20_000, 3), (3, 2, 300, 200), (40_000, 17)], ids=str)
def test_the_layers_of_networks(shape, slope):
    """Among them batches of several chunks, and one channel."""
    check(Problem(shape, slope, mean=0.5))


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
@pytest.mark.parametrize("shape", [(64, 3), (1000, 2), (16, 3, 64, 64), (32, 1, 28, 28)], ids=str)
@pytest.mark.parametrize("mean, std", [
    (9, 1), (-11, 1), (1000, 1), (-1000, 1), (1e4, 1), (1, 1e-3), (1000, 0)])
def test_a_large_mean_leaves_the_variance_alone(mean, std, shape, k):
    """The bounds above, and said again in plain numbers."""
    for seed in range(2):
        p = Problem(shape, None, mean=mean, std=std, eps=1e-5, seed=seed)
        if k is reference:  # NumPy sums pairwise along contiguous axes only
            p = replace(p, layouts=("nchw", "nchw"))
        check(p, k)
        x, gamma, beta, _ = p.batch()
        var = k.batch_norm(x, gamma, beta, p.eps, None)[2]
        exact = x.astype("float64").var(axis=(0, *range(2, x.ndim)))
        assert (var >= 0).all()
        if abs(mean) == 1000 and std == 1:
            np.testing.assert_allclose(var, exact, rtol=1e-4)
        if std == 0:
            assert (var <= 1e-4).all()


def test_one_channel_alone_has_a_large_mean():
    """What is done for it must not spoil the others, nor be left out for it."""
    g = np.random.default_rng(0)
    x = g.standard_normal((300, 4)).astype("float32")
    x[:, 2] += 3000
    _, mean, var = fast.batch_norm(x, np.ones(4, "float32"), np.zeros(4, "float32"), 1e-5, None)
    exact = x.astype("float64")
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, exact.var(0), rtol=1e-5)


def test_slopes_at_zero_and_below():
    """y = 0 counts as below: as in ``relu`` and ``leaky_relu``."""
    x = np.array([[-1.0], [1.0], [-1.0], [1.0]], "float32")
    up = np.array([[1.0], [2.0], [4.0], [8.0]], "float32")
    for slope, below in ((0, 0), (0.2, 0.2), (1, 1), (None, 1)):
        y = np.array([[-1.0], [0.0], [0.0], [2.0]], "float32")
        grad_beta = fast.batch_norm_gradient(
            x, y, np.ones(1, "float32"), np.zeros(1, "float32"), np.ones(1, "float32"), up, 0.0,
            slope)[2]
        np.testing.assert_allclose(grad_beta, [8 + below * 7])


@settings(max_examples=40)
@given(PROBLEMS, st.data())
def test_equal_values_at_other_strides_give_equal_bits(p, data):
    x, gamma, beta, up = p.batch()
    others = [placed(a, data.draw(st.sampled_from(LAYOUTS[:-1]))) for a in (x, up)]
    for a, b in zip(run(fast, p, x, gamma, beta, up),
                    run(fast, p, others[0], gamma, beta, others[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    wide = [np.repeat(a, 2)[::2] for a in (gamma, beta)]
    for a, b in zip(run(fast, p, x, gamma, beta, up), run(fast, p, x, *wide, up), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("slope", [None, 0.2])
def test_threads(slope):
    """One and two threads keep the bounds, and each gives the same bits in every run."""
    for count in (1, 2):
        ndl.set_threads(count)
        for shape in ((70, 8, 16, 16), (5000, 7)):
            p = Problem(shape, slope, elements=5000)
            check(p)
            for a, b in zip(run(fast, p, *p.batch()), run(fast, p, *p.batch()), strict=True):
                np.testing.assert_array_equal(a, b)


@settings(max_examples=30)
@given(PROBLEMS)
def test_a_later_call_leaves_earlier_results_alone(p):
    found = run(fast, p, *p.batch())
    kept = [a.copy() for a in found]
    run(fast, p, *replace(p, seed=p.seed + 1).batch())
    for a, b in zip(found, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_stays_in_its_channel():
    p = Problem((6, 3, 4, 4), 0.2)
    x, gamma, beta, up = p.batch()
    clean = run(fast, p, x, gamma, beta, up)
    x = x.copy()
    x[2, 1, 0, 3] = np.nan
    with np.errstate(invalid="ignore"):
        found = run(fast, p, x, gamma, beta, up)
    for i, (got, want) in enumerate(zip(found, clean, strict=True)):
        axis = 1 if got.ndim == 4 else 0
        np.testing.assert_array_equal(np.delete(got, 1, axis), np.delete(want, 1, axis))
        if i < 5:  # (the gradient of beta needs no x but where the slope is)
            assert np.isnan(got.take(1, axis)).all()


# ----------------------------------------------------------------------- the op's two gradients


@settings(max_examples=80)
@given(SHAPES, st.sampled_from(SLOPES), st.sampled_from([0.0, 3.0]), st.integers(0, 9999),
       st.booleans())
def test_the_composed_gradient_is_the_fused_one(shape, slope, mean, seed, simple):
    """Recorded it is made of Tensor operations, unrecorded it is one kernel: equal numbers."""
    p = Problem(shape, slope, "float64", mean, seed=seed)
    x, gamma, beta, up = (Tensor(a, dtype="float64") for a in p.batch())

    def both() -> list[list[Tensor]]:
        y = ops.batch_norm(x, gamma, beta, p.eps, slope)
        return [grad(y, [x, gamma, beta], up, create_graph=c) for c in (False, True)]

    if simple:
        with ndl.reference_kernels():
            fused, composed = both()
    else:
        fused, composed = both()
    for a, b in zip(fused, composed, strict=True):
        assert a.op is None and b.op is not None
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


def test_one_object_called_again_keeps_each_calls_numbers():
    """``mean`` and ``var`` are the last call's; an earlier result's gradient finds its own."""
    x, gamma, beta, up = (Tensor(a, dtype="float64") for a in Problem((8, 2), 0.2).batch())
    other = Tensor(3 * x.numpy() + 7, dtype="float64")
    op = ops.BatchNorm(1e-5, 0.2)
    want = grad(ops.BatchNorm(1e-5, 0.2)(x, gamma, beta), [x, gamma, beta], up)
    first = op(x, gamma, beta)
    op(other, gamma, beta)
    np.testing.assert_allclose(op.mean, other.numpy().mean(0))
    np.testing.assert_allclose(op.var, other.numpy().var(0))
    for a, b in zip(grad(first, [x, gamma, beta], up), want, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with ndl.no_grad():
        op(other, gamma, beta)
    assert op._images is None  # nothing of the batch is kept
    for a, b in zip(grad(first, [x, gamma, beta], up), want, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
