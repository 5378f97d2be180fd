"""Instance normalisation: the fast kernel against the simple one in float64; the op's two paths.

Bounds, with eps that of the dtype, |.| elementwise and c = 32. The variance is summed around the
mean: it is off by c eps var for its own roundings, and by the square of the error of the mean. In y
the mean cancels, which costs eps |mean| whatever one does: the input itself is rounded by as much.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_conv import within
from test_kernels_norm import LAYOUTS, placed

import minigrad as ndl
from minigrad import Tensor, grad, nn, ops
from minigrad.kernels import fast, reference

Array = np.ndarray
C = 32
SLOPES = [None, 0, 0.0, 0.2, 1, 0.01]


@dataclass(frozen=True)
class Problem:
    """Some images: their shape, how their numbers lie, and what follows."""

    shape: tuple[int, ...]
    slope: float | None = None
    dtype: str = "float32"
    mean: float = 0.0
    std: float = 1.0
    eps: float = 1e-5
    layouts: tuple[str, str] = ("nhwc", "nhwc")  # of the images and of the upstream gradient
    elements: int | None = None  # how large a chunk may be, if not as large as usual
    seed: int = 0

    def images(self) -> tuple[Array, Array]:
        """x and the upstream gradient, in memory as ``layouts`` says."""
        g = np.random.default_rng(self.seed)
        means = self.mean * (1 + 0.01 * np.arange(np.prod(self.shape[:2])))
        x = means.reshape(self.shape[:2] + (1,) * (len(self.shape) - 2)) + (
            self.std * g.standard_normal(self.shape))
        up = g.standard_normal(self.shape)
        return (placed(x.astype(self.dtype), self.layouts[0]),
                placed(up.astype(self.dtype), self.layouts[1]))


def run(k: ModuleType, p: Problem, x: Array, up: Array) -> list[Array]:
    """y, mean, var and the gradient of x."""
    module = sys.modules["minigrad.kernels.instance_norm"]
    usual = module.ELEMENTS
    module.ELEMENTS = p.elements or usual
    try:
        y, mean, var = k.instance_norm(x, p.eps, p.slope)
        return [y, mean, var, k.instance_norm_gradient(x, y, mean, var, up, p.eps, p.slope)]
    finally:
        module.ELEMENTS = usual


def check(p: Problem, k: ModuleType = fast) -> None:
    """Values and gradients; inputs are left alone, and results are the caller's."""
    x, up = operands = p.images()
    kept = [a.copy() for a in operands]
    with np.errstate(invalid="ignore"):  # what was left behind must not show
        run(k, p, *[np.full_like(a, np.nan) for a in kept])
    y, mean, var, grad_x = found = run(k, p, *operands)
    for got in found:
        assert not any(np.may_share_memory(got, a) for a in operands)
    for a, b in zip(operands, kept, strict=True):
        np.testing.assert_array_equal(a, b)

    x, up = (a.astype("float64") for a in operands)
    eps, axes = C * np.finfo(p.dtype).eps, tuple(range(2, x.ndim))
    y64, mean64, var64 = reference.instance_norm(x, p.eps, p.slope)
    size = np.abs(x).mean(axis=axes)
    within("mean", mean, mean64, eps * size, p.dtype)
    allowed_var = eps * var64 + (eps * size) ** 2
    within("var", var, var64, allowed_var, p.dtype)

    def over(a: Array) -> Array:
        return a.reshape(x.shape[:2] + (1,) * (x.ndim - 2))

    scale = over(1 / np.sqrt(var64 + p.eps))
    normal = np.abs(x - over(mean64)) * scale
    rounded = (np.abs(x) + over(size)) * scale  # what cancels, in units of normal
    within("y", y, y64, eps * rounded + normal * over(allowed_var) * scale**2, p.dtype)

    # the gradient's kernel takes y, mean and var as they were found
    mean, var, y = (a.astype("float64") for a in (mean, var, y))
    want = reference.instance_norm_gradient(x, y, mean, var, up, p.eps, p.slope)
    up = np.abs(up)
    if p.slope is not None:
        up = np.where(y > 0, up, p.slope * up)
    with_normal = up * (x - over(mean)) * scale
    pull = up.mean(axes, keepdims=True) + normal * (up * rounded).mean(axes, keepdims=True) + (
        rounded * np.abs(with_normal).mean(axes, keepdims=True))
    within("gradient of x", grad_x, want, eps * scale * (up + pull), p.dtype)


# ------------------------------------------------------------------------------ fast == reference

SHAPES = (
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(2, 9))
    | st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(2, 12)))
PROBLEMS = st.builds(
    Problem, SHAPES, st.sampled_from(SLOPES), st.sampled_from(["float32", "float64"]),
    st.sampled_from([0.0, 0.3, -5.0, 100.0]), st.sampled_from([1.0, 1e-3, 30.0]),
    st.sampled_from([1e-5, 1e-2]),
    st.tuples(st.sampled_from(LAYOUTS[:-1]), st.sampled_from(LAYOUTS)),
    st.sampled_from([None, 1, 10, 64]), st.integers(0, 9999))


@settings(max_examples=150)
@given(PROBLEMS)
def test_instance_norm(p):
    check(p)


@settings(max_examples=40)
@given(PROBLEMS)
def test_the_simple_kernel_keeps_the_bounds_too(p):
    check(replace(p, layouts=("nchw", "nchw")), reference)


@pytest.mark.parametrize("slope", [None, 0, 0.2, 1])
@pytest.mark.parametrize("shape", [
    (8, 256, 16, 16), (4, 64, 64, 64), (5, 512, 7, 7), (3, 1, 300, 200), (2, 3, 127, 131),
    (9, 2000, 2, 2), (1, 17, 40, 40)], ids=str)
def test_the_layers_of_networks(shape, slope):
    """Among them images larger than a chunk, primes of pixels, and more channels than lanes."""
    check(Problem(shape, slope, mean=0.5))


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
@pytest.mark.parametrize("mean, std", [(9, 1), (1000, 1), (-1e4, 1), (1, 1e-3), (1000, 0)])
def test_a_large_mean_leaves_the_variance_alone(mean, std, k):
    p = Problem((3, 4, 32, 32), None, mean=mean, std=std, layouts=("nchw", "nchw"))
    check(p, k)
    x = p.images()[0]
    var = k.instance_norm(x, p.eps, None)[2]
    exact = x.astype("float64").var(axis=(2, 3))
    np.testing.assert_allclose(var, exact, rtol=1e-4, atol=1e-6 * abs(mean) * (std == 0))


@settings(max_examples=40)
@given(PROBLEMS)
def test_known_moments_give_the_same_bits(p):
    x, _ = p.images()
    y, *moments = fast.instance_norm(x, p.eps, p.slope)
    again, *same = fast.instance_norm(x, p.eps, p.slope, tuple(moments))
    np.testing.assert_array_equal(again, y)
    assert all(a is b for a, b in zip(same, moments, strict=True))
    other = fast.instance_norm(x, p.eps, None, (0 * moments[0], 0 * moments[1] + 1))[0]
    np.testing.assert_allclose(other, x / np.sqrt(1 + p.eps), rtol=1e-6)


def test_slopes_at_zero_and_below():
    """y = 0 counts as below: as in ``relu`` and ``leaky_relu``."""
    y = np.array([[[-1.0, 0.0, 2.0, 0.0]]], "float32")
    up = np.array([[[1.0, 2.0, 4.0, 8.0]]], "float32")
    zero, one = np.zeros((1, 1), "float32"), np.ones((1, 1), "float32")
    for slope, below in ((0, 0), (0.2, 0.2), (1, 1)):
        got = fast.instance_norm_gradient(0 * y, y, zero, one, up, 0.0, slope)
        masked = up * np.where(y > 0, 1, below)
        np.testing.assert_allclose(got, masked - masked.mean(), rtol=1e-5)


@settings(max_examples=40)
@given(PROBLEMS, st.data())
def test_equal_values_at_other_strides_give_equal_bits(p, data):
    x, up = p.images()
    others = [placed(a, data.draw(st.sampled_from(LAYOUTS[:-1]))) for a in (x, up)]
    for a, b in zip(run(fast, p, x, up), run(fast, p, *others), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30)
@given(PROBLEMS)
def test_an_image_alone_and_among_others(p):
    """Its numbers come from itself alone, bit for bit, however many are in the batch."""
    x, up = p.images()
    for i in range(len(x)):
        one = run(fast, p, x[i:i + 1], up[i:i + 1])
        for a, b in zip(one, run(fast, p, x, up), strict=True):
            np.testing.assert_array_equal(a, b[i:i + 1])


@pytest.mark.parametrize("slope", [None, 0, 0.2])
def test_threads(slope):
    """One and two threads give the same bits."""
    for shape in ((5, 64, 96, 96), (9, 7, 5, 5)):
        p = Problem(shape, slope)
        results = []
        for count in (1, 2):
            ndl.set_threads(count)
            results.append(run(fast, p, *p.images()))
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=30)
@given(PROBLEMS)
def test_a_later_call_leaves_earlier_results_alone(p):
    found = run(fast, p, *p.images())
    kept = [a.copy() for a in found]
    run(fast, p, *replace(p, seed=p.seed + 1).images())
    for a, b in zip(found, kept, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("slope", [None, 0, 0.2])
def test_nan_stays_in_its_channel_of_its_image(slope):
    p = Problem((3, 2, 4, 4), slope)
    x, up = p.images()
    clean = run(fast, p, x, up)
    x = x.copy()
    x[1, 1, 0, 3] = np.nan
    with np.errstate(invalid="ignore"):
        found = run(fast, p, x, up)
    for got, want in zip(found, clean, strict=True):
        assert np.isnan(got[1, 1]).all()
        got[1, 1] = want[1, 1]
        np.testing.assert_array_equal(got, want)


def test_no_images():
    for shape in ((0, 3, 4, 4), (2, 0, 4, 4)):
        x = np.ones(shape, "float32")
        y, mean, var = fast.instance_norm(x, 1e-5, 0)
        assert (y.shape, mean.shape, var.shape) == (shape, shape[:2], shape[:2])
        assert fast.instance_norm_gradient(x, y, mean, var, x, 1e-5, 0).shape == shape


# ----------------------------------------------------------------------- the op's two gradients


@settings(max_examples=80)
@given(SHAPES, st.sampled_from(SLOPES), st.sampled_from([0.0, 3.0]), st.integers(0, 9999),
       st.booleans())
def test_the_composed_gradient_is_the_fused_one(shape, slope, mean, seed, simple):
    """Recorded it is made of Tensor operations, unrecorded it is one kernel: equal numbers."""
    p = Problem(shape, slope, "float64", mean, seed=seed)
    x, up = (Tensor(a, dtype="float64") for a in p.images())

    def both() -> list[Tensor]:
        y = ops.instance_norm(x, p.eps, slope)
        return [grad(y, x, up, create_graph=c) for c in (False, True)]

    fused, composed = ndl.reference_kernels()(both)() if simple else both()
    assert fused.op is None and composed.op is not None
    np.testing.assert_allclose(fused.numpy(), composed.numpy(), rtol=1e-9, atol=1e-9)


def test_one_object_called_again_keeps_each_calls_numbers():
    x, up = (Tensor(a, dtype="float64") for a in Problem((2, 3, 4, 4), 0.2).images())
    other = Tensor(3 * x.numpy() ** 2 + 7, dtype="float64")
    want = grad(ops.InstanceNorm(1e-5, 0.2)(x), x, up)
    op = ops.InstanceNorm(1e-5, 0.2)
    first = op(x)
    op(other)
    np.testing.assert_array_equal(grad(first, x, up).numpy(), want.numpy())
    fresh = ops.InstanceNorm(1e-5, 0.2)
    with ndl.no_grad():
        fresh(other)
    assert fresh._latest is None  # nothing of the images is kept
    np.testing.assert_array_equal(grad(first, x, up).numpy(), want.numpy())


# ------------------------------------------------------------------------------------- the layer


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU, lambda: nn.LeakyReLU(0.2), nn.Tanh])
def test_sequential_joins_the_activation(activation, affine):
    """In the fast kernels norm and (leaky) ReLU are one operation; the numbers are the same."""
    rng = np.random.default_rng(0)
    layer, follows = nn.InstanceNorm2d(3, affine=affine, dtype="float64"), activation()
    if affine:
        for parameter in (layer.weight, layer.bias):
            parameter.data = Tensor(rng.standard_normal(3), dtype="float64")
    net = nn.Sequential(layer, follows)
    x = Tensor(rng.standard_normal((2, 3, 5, 4)), dtype="float64")
    up = Tensor(rng.standard_normal(x.shape), dtype="float64")
    wanted = [x, *net.parameters()]
    joined, apart = net(x), follows(layer(x))
    np.testing.assert_allclose(joined.numpy(), apart.numpy(), atol=1e-12)
    for a, b in zip(grad(joined, wanted, up), grad(apart, wanted, up), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)
    is_one = isinstance(joined.op, ops.InstanceNorm)
    assert is_one == (not affine and not isinstance(follows, nn.Tanh))
    with ndl.reference_kernels():
        assert not isinstance(net(x).op, ops.InstanceNorm)
