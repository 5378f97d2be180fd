"""Convolution, batch normalisation and DCGAN on CuPy: NumPy's numbers, in few launches.

Results in float32 are compared with NumPy's in float64. What may differ is 1e-5 of the largest
number of an array: sums of many products cancel in places.

The kernels of `minigrad.kernels.fused` are also compared with the generic ones, both on CuPy.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
from devices import working_on
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from gans.dcgan import DCGAN
from minigrad import kernels, nn, ops
from minigrad.kernels import fast, fused, reference

CPU, CUDA = ndl.cpu(), ndl.cuda()
BOUNDS = {"float32": 1e-5, "float64": 1e-13}
Pair = tuple[int, int]


def close(cp, got, want: np.ndarray, dtype: str = "float32", what: object = "") -> None:
    """A CuPy array of this dtype, as far from `want` as rounding explains."""
    assert isinstance(got, cp.ndarray), what
    assert got.dtype == dtype, what
    assert got.shape == want.shape, what
    largest = np.abs(want).max()
    error = np.abs(got.get().astype("float64") - want).max()
    assert error <= BOUNDS[dtype] * largest, f"{what}: off by {error} of {largest}"  # NaN fails


def lay_out(cp, a: np.ndarray, layout: str):
    """The values on the GPU, placed in memory as `layout` says; what lies between them is NaN."""
    b = cp.asarray(a)
    if layout == "plain":
        return b
    if layout == "channels last":
        order = (0, *range(2, a.ndim), 1)
        return cp.ascontiguousarray(b.transpose(order)).transpose(
            0, a.ndim - 1, *range(1, a.ndim - 1))
    if layout == "transposed":
        return cp.ascontiguousarray(b.T).T
    if layout == "reversed":
        backwards = (slice(None, None, -1),) * a.ndim
        return cp.ascontiguousarray(b[backwards])[backwards]
    assert layout == "sliced"
    wide = cp.full([2 * size + 1 for size in a.shape], np.nan, dtype=a.dtype)
    every_second = (slice(1, None, 2),) * a.ndim
    wide[every_second] = b
    return wide[every_second]


LAYOUTS = ["plain", "channels last", "transposed", "reversed", "sliced"]


# ------------------------------------------------------------------------------------ convolution


@dataclass(frozen=True)
class Problem:
    """One convolution: its sizes, and how its operands lie in memory."""

    n: int
    c: int
    o: int
    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dtype: str = "float32"
    layouts: tuple[str, str, str] = ("plain", "plain", "plain")  # image, weight, gradient
    seed: int = 0

    @property
    def out(self) -> Pair:
        h, w = ((size + 2 * p - k) // s + 1 for size, k, s, p in zip(
            self.size, self.kernel, self.stride, self.padding, strict=True))
        return h, w

    def values(self) -> list[np.ndarray]:
        """Image, weight and gradient of the result."""
        g = np.random.default_rng(self.seed)
        shapes = ((self.n, self.c, *self.size), (self.o, self.c, *self.kernel),
                  (self.n, self.o, *self.out))
        return [g.standard_normal(shape).astype(self.dtype) for shape in shapes]

    def operands(self, cp) -> list:
        return [lay_out(cp, a, layout) for a, layout in zip(self.values(), self.layouts,
                                                            strict=True)]


PROBLEMS = {
    "4x4 at stride 2": Problem(2, 3, 5, (8, 6), (4, 4), (2, 2), (1, 1)),
    "3x3": Problem(2, 4, 3, (5, 6), (3, 3), (1, 1), (1, 1)),
    "7x7": Problem(1, 2, 3, (8, 7), (7, 7), (1, 1), (3, 3)),
    "odd": Problem(3, 2, 4, (7, 5), (3, 2), (2, 1), (1, 0)),
    "stride > kernel": Problem(2, 3, 2, (9, 11), (2, 3), (3, 4), (0, 1)),
    "rest of the image unseen": Problem(2, 2, 3, (6, 8), (3, 3), (2, 3), (0, 0)),
    "one image": Problem(1, 4, 3, (5, 5), (3, 3), (2, 2), (1, 1)),
    "one channel to one": Problem(3, 1, 1, (6, 7), (5, 4), (1, 2), (2, 1)),
    "padding > kernel": Problem(2, 2, 3, (3, 4), (2, 2), (1, 1), (3, 2)),
    "one pixel": Problem(3, 5, 4, (1, 1), (1, 1)),
    "1x1": Problem(2, 5, 4, (3, 4), (1, 1)),
    "1x1 at stride 2": Problem(2, 3, 4, (5, 4), (1, 1), (2, 2)),
    "1x1 with padding": Problem(2, 3, 4, (3, 4), (1, 1), (1, 1), (1, 0)),
    "kernel = image": Problem(4, 3, 5, (4, 3), (4, 3)),
    "kernel = padded image": Problem(4, 3, 5, (2, 3), (4, 3), (1, 1), (1, 0)),
    "as many channels as threads": Problem(1, 33, 35, (3, 4), (3, 3), (1, 1), (1, 1)),
}


def run(k: ModuleType, p: Problem, x, w, g) -> Iterator[tuple[str, object]]:
    """Every result that the functions of `k` can give: its kind (y, dx or dw) and it."""
    geometry = p.stride, p.padding
    transformed = k.conv2d_transform(w, len(x), p.size, *geometry)
    yield "y", k.conv2d(x, w, *geometry, transformed)
    yield "dx", k.conv2d_input_gradient(g, w, *geometry, p.size, transformed)
    yield "dw", k.conv2d_weight_gradient(x, g, *geometry, p.kernel)
    for wanted in itertools.product((True, False), repeat=2):
        for kinds, found in (
            (("dx", "dw"), k.conv2d_gradient(x, w, g, *geometry, wanted, transformed)),
            (("y", "dw"), k.conv_transpose2d_gradient(g, w, x, *geometry, wanted, transformed)),
        ):
            assert tuple(a is not None for a in found) == wanted
            yield from ((kind, a) for kind, a in zip(kinds, found, strict=True) if a is not None)


def exact(p: Problem) -> dict[str, np.ndarray]:
    """y, dx and dw by the simple kernels on NumPy, in float64."""
    x, w, g = (a.astype("float64") for a in p.values())
    return {"y": reference.conv2d(x, w, p.stride, p.padding),
            "dx": reference.conv2d_input_gradient(g, w, p.stride, p.padding, p.size),
            "dw": reference.conv2d_weight_gradient(x, g, p.stride, p.padding, p.kernel)}


def check(cp, p: Problem, k: ModuleType) -> None:
    want, operands = exact(p), p.operands(cp)
    for kind, got in run(k, p, *operands):
        close(cp, got, want[kind], p.dtype, kind)
        assert not any(cp.may_share_memory(got, a) for a in operands), kind
    for a, b in zip(operands, p.values(), strict=True):  # left alone
        np.testing.assert_array_equal(a.get(), b)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("k", [fast, reference], ids=lambda k: k.__name__.rpartition(".")[2])
@pytest.mark.parametrize("name", PROBLEMS)
def test_convolution(cp, name, k, dtype):
    check(cp, replace(PROBLEMS[name], dtype=dtype), k)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["4x4 at stride 2", "stride > kernel", "kernel = image", "1x1"])
def test_operands_that_lie_otherwise(cp, name, layout):
    check(cp, replace(PROBLEMS[name], layouts=(layout,) * 3), fast)


def test_a_gradient_that_is_one_number(cp):
    """As that of a sum is: all its elements are one place in memory."""
    p = PROBLEMS["4x4 at stride 2"]
    x, w, g = p.operands(cp)
    one = cp.broadcast_to(g[:1, :1, :1, :1], g.shape)
    for (kind, got), (_, want) in zip(run(fast, p, x, w, one), run(fast, p, x, w, one.copy()),
                                      strict=True):
        np.testing.assert_array_equal(got.get(), want.get(), err_msg=kind)


def test_types_without_fast_kernels_take_the_simple_ones(cp):
    """Whole numbers are convolved too, as on the CPU."""
    p = PROBLEMS["odd"]
    x, w, _ = ((8 * a).astype("int64") for a in p.values())
    got = fast.conv2d(cp.asarray(x), cp.asarray(w), p.stride, p.padding)
    np.testing.assert_array_equal(got.get(), reference.conv2d(x, w, p.stride, p.padding))


def test_a_weight_keeps_its_place_in_memory(cp):
    """Channels last, as on the CPU: what an optimizer adds lies as what it is added to."""
    layer, x = nn.Conv2d(3, 4, 4, bias=False, device=CUDA), ndl.ones(2, 3, 5, 5, device=CUDA)
    layer(x).sum().backward()
    assert layer.weight.grad.cached_data.strides == layer.weight.cached_data.strides


# --------------------------------------------------------------------------- batch normalisation

SHAPES = [(8, 3), (2, 1), (2, 40), (3, 2, 5), (2, 3, 4, 5), (1, 4, 3, 3), (5, 1, 2, 3),
          (4, 2, 16, 17)]


def normalised(k: ModuleType, x, gamma, beta, out_grad, slope, eps=1e-5) -> list:
    y, mean, var = k.batch_norm(x, gamma, beta, eps, slope)
    return [y, mean, var, *k.batch_norm_gradient(x, y, gamma, mean, var, out_grad, eps, slope)]


def batch(shape: tuple[int, ...], dtype: str, mean: float = 0.0, seed: int = 0
          ) -> list[np.ndarray]:
    g, c = np.random.default_rng(seed), shape[1]
    x = g.standard_normal(shape) + mean
    return [a.astype(dtype) for a in (x, g.standard_normal(c), g.standard_normal(c),
                                      g.standard_normal(shape))]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("k", [fast, reference], ids=lambda k: k.__name__.rpartition(".")[2])
@pytest.mark.parametrize("slope", [None, 0, 0.2, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(cp, shape, slope, k, dtype):
    arrays = batch(shape, dtype)
    want = normalised(reference, *(a.astype("float64") for a in arrays), slope)
    got = normalised(k, *map(cp.asarray, arrays), slope)
    for name, a, b in zip(("y", "mean", "var", "grad_x", "grad_gamma", "grad_beta"), got, want,
                          strict=True):
        if a.shape == shape and shape[0] * np.prod(shape[2:], dtype=int) == 2 and name == "grad_x":
            continue  # of two values each: a gradient of 0, and all that is left is rounding
        close(cp, a, b, dtype, name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 4, 5)], ids=str)
def test_batch_norm_of_what_lies_otherwise(cp, shape, layout):
    arrays = batch(shape, "float32")
    want = normalised(reference, *(a.astype("float64") for a in arrays), 0.2)
    x, gamma, beta, out_grad = arrays
    got = normalised(fast, lay_out(cp, x, layout), cp.asarray(gamma), cp.asarray(beta),
                     lay_out(cp, out_grad, layout), 0.2)
    for a, b in zip(got, want, strict=True):
        close(cp, a, b)


@pytest.mark.parametrize("dtype, mean", [("float32", 1e3), ("float32", -1e5), ("float64", 1e9)])
def test_a_variance_far_from_zero(cp, dtype, mean):
    """The square of the mean has more digits than the numbers themselves."""
    arrays = batch((8, 3, 6, 5), dtype, mean)
    x = arrays[0].astype("longdouble")
    _, got_mean, got_var, *_ = normalised(fast, *map(cp.asarray, arrays), None)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got_mean.get(), x.mean((0, 2, 3)).astype(dtype), rtol=2 * eps)
    np.testing.assert_allclose(got_var.get(), x.var((0, 2, 3)).astype(dtype), rtol=16 * eps)


def test_a_channel_of_equal_values(cp):
    """Its variance is 0, never less."""
    x = cp.full((4, 2, 3, 3), 0.1, dtype="float32")
    one, zero = cp.ones(2, dtype="float32"), cp.zeros(2, dtype="float32")
    y, mean, var, *_ = normalised(fast, x, one, zero, x, None)
    assert float(cp.abs(y).max()) < 1e-5
    assert (var.get() == 0).all()
    np.testing.assert_allclose(mean.get(), 0.1, rtol=1e-6)


IMAGES = [(3, 2, 5), (2, 3, 4, 5), (1, 4, 3, 3), (5, 1, 2, 3), (4, 2, 16, 17)]


def instance_normalised(k: ModuleType, x, out_grad, slope, eps=1e-5) -> list:
    y, mean, var = k.instance_norm(x, eps, slope)
    return [y, mean, var, k.instance_norm_gradient(x, y, mean, var, out_grad, eps, slope)]


def check_instance_norm(cp, k: ModuleType, shape, slope, dtype="float32", layout="plain", mean=0.5,
                        eps=1e-5) -> None:
    x, _, _, out_grad = batch(shape, dtype, mean)
    want = instance_normalised(reference, *(a.astype("float64") for a in (x, out_grad)), slope, eps)
    got = instance_normalised(k, *(lay_out(cp, a, layout) for a in (x, out_grad)), slope, eps)
    for name, a, b in zip(("y", "mean", "var", "grad_x"), got, want, strict=True):
        close(cp, a, b, dtype, name)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("k", [fast, reference], ids=lambda k: k.__name__.rpartition(".")[2])
@pytest.mark.parametrize("slope", [None, 0, 0.2, 1.0])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_instance_norm(cp, shape, slope, k, dtype):
    check_instance_norm(cp, k, shape, slope, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_instance_norm_of_what_lies_otherwise(cp, layout):
    check_instance_norm(cp, fast, (2, 3, 4, 5), 0.2, layout=layout)


def check_reflection(cp, k: ModuleType, shape, widths, dtype="float32", layout="plain") -> None:
    g = np.random.default_rng(0)
    x = g.standard_normal(shape).astype(dtype)
    padded = k.reflection_pad(lay_out(cp, x, layout), widths)
    np.testing.assert_array_equal(padded.get(), np.pad(x, widths, mode="reflect"))
    up = g.standard_normal(padded.shape).astype(dtype)
    close(cp, k.reflection_fold(lay_out(cp, up, layout), widths),
          reference.reflection_fold(up.astype("float64"), widths), dtype)
    assert padded.dtype == dtype


SIDES = [((0, 0), (0, 0), (1, 1), (1, 1)), ((0, 0), (0, 0), (3, 0), (2, 4)),
         ((0, 0), (0, 0), (0, 0), (0, 0)), ((1, 0), (0, 2), (1, 2), (3, 0))]


@pytest.mark.parametrize("k", [fast, reference], ids=lambda k: k.__name__.rpartition(".")[2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("widths", SIDES, ids=str)
def test_reflection(cp, widths, layout, k):
    check_reflection(cp, k, (2, 3, 4, 5), widths, layout=layout)


@pytest.mark.parametrize("shape, widths", [((5,), [(2, 4)]), ((3, 4), [(2, 1), (0, 3)]),
                                           ((1, 1, 1, 1), SIDES[2])], ids=str)
def test_reflection_of_other_shapes(cp, shape, widths):
    check_reflection(cp, fast, shape, widths, "float64")


# --------------------------------------------------------------------- fused kernels == generic


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    number = st.integers(low, high)
    return number.map(lambda a: (a, a)) | st.tuples(number, number)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any convolution whose kernel fits, strides larger than the kernel included."""
    kernel, padding = draw(pairs(1, 5)), draw(pairs(0, 3))
    h, w = (draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True))
    layouts = tuple(draw(st.sampled_from(LAYOUTS)) for _ in range(3))
    return Problem(draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6)),
                   (h, w), kernel, draw(pairs(1, 6)), padding, draw(st.sampled_from([*BOUNDS])),
                   layouts, draw(st.integers(0, 9999)))


@settings(max_examples=60, deadline=None)
@given(p=problems())
def test_fused_convolution_equals_the_generic(cp, p):
    results = [list(run(k, p, *p.operands(cp))) for k in (fast, reference)]
    for (kind, got), (_, want) in zip(*results, strict=True):
        assert want.dtype == p.dtype
        close(cp, got, want.get().astype("float64"), p.dtype, kind)


@settings(max_examples=40, deadline=None)
@given(shape=st.tuples(st.integers(2, 9), st.integers(1, 6))
       | st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9), st.integers(2, 9)),
       slope=st.sampled_from([None, 0, 0.2, 1]), dtype=st.sampled_from([*BOUNDS]),
       layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2), seed=st.integers(0, 9999))
def test_fused_batch_norm_equals_the_generic(cp, shape, slope, dtype, layouts, seed):
    x, gamma, beta, out_grad = batch(shape, dtype, seed=seed)
    arrays = [lay_out(cp, x, layouts[0]), cp.asarray(gamma), cp.asarray(beta),
              lay_out(cp, out_grad, layouts[1])]
    for got, want in zip(normalised(fast, *arrays, slope), normalised(reference, *arrays, slope),
                         strict=True):
        # with few values to a channel most of grad_x cancels
        bound = 20 * BOUNDS[dtype]
        np.testing.assert_allclose(got.get(), want.get(), rtol=bound,
                                   atol=bound * (1 + np.abs(out_grad).max() * np.abs(gamma).max()))
        assert got.dtype == dtype


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 6), min_size=0, max_size=4).map(tuple),
       layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2), dtype=st.sampled_from([*BOUNDS]),
       slope=st.sampled_from([0, 0.0, 0.2, 1, 1.0]), seed=st.integers(0, 9999))
def test_fused_leaky_relu_equals_the_generic(cp, shape, layouts, dtype, slope, seed):
    if len(shape) < 2:
        layouts = ("plain", "plain") if not shape else tuple(
            "sliced" if layout == "channels last" else layout for layout in layouts)
    g = np.random.default_rng(seed)
    x, out_grad = (lay_out(cp, np.asarray(g.standard_normal(shape), dtype), layout)
                   for layout in layouts)
    for got, want in (
        (fast.leaky_relu(x, slope), reference.leaky_relu(x, slope)),
        (fast.leaky_relu(x, slope, out=x.copy()), reference.leaky_relu(x, slope)),
        (fast.leaky_relu_gradient(out_grad, x, slope),
         reference.leaky_relu_gradient(out_grad, x, slope)),
    ):
        assert (got.dtype, got.shape) == (dtype, shape)
        np.testing.assert_array_equal(got.get(), want.get())


def test_leaky_relu_in_place(cp):
    """Of an image as convolutions return it; the result keeps its channels last."""
    x = lay_out(cp, np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype("float32"),
                "channels last")
    want = reference.leaky_relu(x, 0.2)
    y = fast.leaky_relu(x, 0.2)
    assert y.strides == x.strides
    np.testing.assert_array_equal(y.get(), want.get())
    assert fast.leaky_relu(x, 0.2, out=x) is x
    np.testing.assert_array_equal(x.get(), want.get())


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_fused_updates_equal_the_generic(cp, weight_decay, dtype):
    g = np.random.default_rng(0)
    results = []
    arrays = [cp.asarray(g.standard_normal(1003).astype(dtype)) for _ in range(3)]
    arrays.append(cp.abs(arrays[0][::-1]) + 0)
    for k in (fast, reference):
        p, grad, m, v = (a.copy() for a in arrays)
        for t in (1, 2, 700):
            k.adam(p, grad, m, v, t, 1e-2, 0.5, 0.999, 1e-8, weight_decay)
        k.ema(grad, p, 0.9)
        results.append([p, m, v, grad])
    for got, want in zip(*results, strict=True):
        close(cp, got, want.get().astype("float64"), dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("shape", [(1,), (7, 1), (3, 1, 4, 5)], ids=str)
def test_fused_cross_entropy_equals_the_generic(cp, shape, dtype):
    g = np.random.default_rng(0)
    logits = 60 * g.standard_normal(shape)
    logits.flat[0] = 900.0  # its exponential is infinite
    logits, targets = (cp.asarray(a.astype(dtype)) for a in (logits, g.random(shape)))
    out_grad = cp.asarray(0.7, dtype=dtype)
    for name, arguments in (("bce_with_logits", (logits, targets)),
                            ("bce_with_logits_gradient", (logits, targets, out_grad))):
        got, want = (getattr(k, name)(*arguments) for k in (fast, reference))
        close(cp, got, want.get().astype("float64"), dtype, name)


def everything(cp) -> list[np.ndarray]:
    """What the fused kernels make of some arrays."""
    found = [a for name in ("4x4 at stride 2", "stride > kernel", "odd")
             for _, a in run(fast, PROBLEMS[name], *PROBLEMS[name].operands(cp))]
    found += normalised(fast, *map(cp.asarray, batch((4, 3, 11, 5), "float32")), 0.2)
    x, _, _, g = map(cp.asarray, batch((4, 3, 11, 5), "float32"))
    found += instance_normalised(fast, x, g, 0.2)
    found += [fast.reflection_pad(x, SIDES[0]), fast.reflection_fold(x, SIDES[0])]
    found += [fast.leaky_relu(x, 0.2), fast.leaky_relu_gradient(g, x, 0.2),
              fast.bce_with_logits(x, g), fast.bce_with_logits_gradient(x, g, g.sum())]
    flat = [a.reshape(-1).copy() for a in (x, g, g, abs(x))]
    fast.adam(*flat, 3, 1e-3, 0.5, 0.999, 1e-8, 0.1)
    fast.ema(flat[0], flat[1], 0.9)
    return [a.get() for a in [*found, *flat]]


def test_the_order_of_threads_changes_no_bit(cp, cupusim):
    usual = everything(cp)
    for options in ({"reverse": True}, {"reverse": True, "lanes": 7}, {"lanes": 256}):
        with cupusim.order(**options):
            for a, b in zip(everything(cp), usual, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=2e-7 if a.ndim == 0 else 0)


def test_arrays_of_more_elements_than_an_int_counts(cp, monkeypatch):
    """Their kernels have wider indices: here for arrays of any size."""
    usual = everything(cp)
    monkeypatch.setattr(fused, "INT", 0)
    for a, b in zip(everything(cp), usual, strict=True):
        np.testing.assert_array_equal(a, b)


LAUNCHES = {  # kernels and products of each function
    "conv2d": (1, 1), "conv2d_input_gradient": (1, 1), "conv2d_weight_gradient": (1, 1),
    "conv2d_gradient": (2, 2), "conv_transpose2d_gradient": (1, 2), "batch_norm": (3, 0),
    "batch_norm_gradient": (3, 0), "leaky_relu": (1, 0), "leaky_relu_gradient": (1, 0),
    "instance_norm": (3, 0), "instance_norm_gradient": (3, 0), "reflection_pad": (1, 0),
    "reflection_fold": (1, 0), "instance_norm, again": (1, 0),
    "bce_with_logits": (2, 0), "bce_with_logits_gradient": (1, 0), "adam": (1, 0), "ema": (1, 0),
}


@pytest.mark.parametrize("name", LAUNCHES)
def test_launches(cp, trace, name):
    """Of arrays as a network has them: images and weights with their channels last."""
    p = replace(PROBLEMS["4x4 at stride 2"], layouts=("channels last",) * 3)
    x, w, g = p.operands(cp)
    w = cp.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    geometry = p.stride, p.padding
    values = [lay_out(cp, a, "channels last") if a.ndim > 1 else cp.asarray(a)
              for a in batch((2, 3, 4, 5), "float32")]
    y, mean, var, *_ = normalised(fast, *values, 0.2)
    of_images = fast.instance_norm(values[0], 1e-5, 0.2)
    flat = [cp.ones(9, dtype="float32") for _ in range(4)]
    arguments = {
        "conv2d": (x, w, *geometry),
        "conv2d_input_gradient": (g, w, *geometry, p.size),
        "conv2d_weight_gradient": (x, g, *geometry, p.kernel),
        "conv2d_gradient": (x, w, g, *geometry, (True, True)),
        "conv_transpose2d_gradient": (g, w, x, *geometry, (True, True)),
        "batch_norm": (*values[:3], 1e-5, 0.2),
        "batch_norm_gradient": (values[0], y, values[1], mean, var, values[3], 1e-5, 0.2),
        "instance_norm": (values[0], 1e-5, 0.2),
        "instance_norm, again": (values[0], 1e-5, 0.2, of_images[1:]),
        "instance_norm_gradient": (values[0], *of_images, values[3], 1e-5, 0.2),
        "reflection_pad": (values[0], SIDES[0]),
        "reflection_fold": (values[0], SIDES[0]),
        "leaky_relu": (x, 0.2),
        "leaky_relu_gradient": (x, x, 0.2),
        "bce_with_logits": (flat[0], flat[1]),
        "bce_with_logits_gradient": (flat[0], flat[1], flat[0].sum()),
        "adam": (*flat, 1, 0.1, 0.5, 0.999, 1e-8, 0.0),
        "ema": (flat[0], flat[1], 0.9),
    }[name]
    kernel = getattr(fast, name.partition(",")[0])
    kernel(*arguments)
    with trace() as t:
        kernel(*arguments)
    assert (t.delta["launch"], t.delta["gemm"]) == LAUNCHES[name], t.names
    assert not {"memset", "d2d", "d2h", "h2d", "sync"} & set(t.delta)


FAULTS = {
    "no padding below": ("_WINDOWS", "row >= h", "row > h + 9"),
    "no padding on the left": ("_WINDOWS", "column < 0", "column < -9"),
    "rows of the kernel as columns": ("_WINDOWS", "rest % kw", "rest % kh"),
    "strides exchanged": ("_WINDOWS", "* sw", "* sh"),
    "a window beside the image": ("_FOLD", "left >= ow", "left >= ow + 1"),
    "the first window alone": ("_FOLD", "p += sh", "p += kh"),
    "padding forgotten": ("_FOLD", "+ ph", "+ 0"),
    "windows before the first": ("_FOLD", "&& q <= column", ""),
    "a part forgotten": ("_MEAN_AND_VAR", "part = 0", "part = 1"),
    "the sum for the mean": ("_MEAN_AND_VAR", "total * total", "total"),
    "the first image alone": ("_MOMENTS", "i / step * size", "0"),
    "the partial sums of the first image": ("_MEAN_AND_VAR", "image * parts + part", "part"),
    "measured from another image": ("_MEAN_AND_VAR", "x[image * size + channel]", "x[channel]"),
    "the pulls of the first image": ("_PULLS", "i / step * size", "0"),
    "the mean of the first image": ("_PULLS", "mean[i / step * c + i % c]", "mean[i % c]"),
    "the products of the first image": ("_GRAD_GAMMA_AND_BETA", "image * parts + part", "part"),
    "a border repeated": ("_REFLECT", "h - 1 - abs(h - 1 - row)", "min(row, h - 1)"),
    "no border above": ("_REFLECT", "- top", ""),
    "the border above lost": ("_REFLECTED", "row ? top - row : -1", "-1"),
    "the border on the right lost": ("_REFLECTED", "left + 2 * (w - 1) - column", "wide"),
    "the edge counted twice": ("_REFLECTED", "column ? left - column", "true ? left - column"),
    "eps outside of the root": ("_NORMALISE", "sqrt(var + eps)", "(sqrt(var) + eps)"),
    "the slope forgotten": ("_NORMALISE", "value * slope", "value"),
    "the slope undone nowhere": ("_PULLS", "y[at] > 0", "true"),
    "not centred": ("_PULLS", "(x[at] - centre)", "x[at]"),
    "gamma's gradient not scaled": ("_GRAD_GAMMA_AND_BETA", "product / sqrt(var + eps)", "product"),
    "gamma forgotten": ("_UNNORMALISE", "gamma * scale", "scale"),
    "the pull of the mean lost": ("_UNNORMALISE", "grad_beta +", ""),
    "bias correction lost": ("_ADAM", "* scale", ""),
    "weight decay lost": ("_ADAM", "+ weight_decay * p", ""),
    "the moment of the old step": ("_ADAM", "rest1 * g", "rest1 * grad"),
    "the sign of a logit": ("_BCE", "exp(-abs(a))", "exp(abs(a))"),
    "the targets lost": ("_BCE_GRADIENT", "- target", ""),
    "the wrong way": ("_EMA", "value - average", "average - value"),
    "nothing below zero": ("_LEAKY_RELU", "a * slope", "T(0)"),
    "the gradient's sign": ("_LEAKY_RELU_GRADIENT", "a > 0", "out_grad > 0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_fused_kernel_is_noticed(cp, monkeypatch, fault):
    name, right, wrong = FAULTS[fault]
    loop = getattr(fused, name)
    assert right in loop.body
    body = loop.body.replace(right, wrong)
    broken = fused._Loop(f"broken{name}", loop.inputs, loop.outputs, body)
    monkeypatch.setattr(fused, name, broken)
    with pytest.raises(AssertionError):
        for problem in ("4x4 at stride 2", "odd", "stride > kernel", "padding > kernel"):
            check(cp, PROBLEMS[problem], fast)
        for eps in (1e-5, 0.1):
            arrays = batch((4, 3, 5, 7), "float32", mean=0.5)
            want = normalised(reference, *(a.astype("float64") for a in arrays), 0.2, eps)
            for a, b in zip(normalised(fast, *map(cp.asarray, arrays), 0.2, eps), want,
                            strict=True):
                close(cp, a, b)
        check_instance_norm(cp, fast, (4, 3, 5, 7), 0.2)
        for widths in SIDES[:2]:
            check_reflection(cp, fast, (2, 3, 4, 5), widths)
        test_fused_leaky_relu_equals_the_generic.hypothesis.inner_test(
            cp, (2, 3), ("plain", "plain"), "float32", 0.2, 0)
        test_fused_updates_equal_the_generic(cp, 0.1, "float32")
        test_fused_cross_entropy_equals_the_generic(cp, (7, 1), "float32")


# ------------------------------------------------------------------------------- ops, to order 2

OPS = {
    "conv2d": (lambda x, w: ops.conv2d(x, w, (2, 1), (1, 0)), [(2, 3, 6, 5), (4, 3, 3, 2)]),
    "conv2d, 4x4 at stride 2": (lambda x, w: ops.conv2d(x, w, 2, 1), [(2, 3, 6, 8), (4, 3, 4, 4)]),
    "conv2d, stride > kernel": (lambda x, w: ops.conv2d(x, w, 3), [(2, 3, 7, 8), (4, 3, 2, 2)]),
    "conv2d and leaky ReLU": (lambda x, w: ops.conv2d(x, w, 2, 1, 0.2),
                              [(2, 3, 6, 5), (4, 3, 3, 2)]),
    "conv_transpose2d": (lambda x, w: ops.conv_transpose2d(x, w, 2, 1, 1),
                         [(2, 4, 3, 2), (4, 3, 3, 3)]),
    "conv_transpose2d, 4x4": (lambda x, w: ops.conv_transpose2d(x, w, 2, 1),
                              [(2, 4, 3, 5), (4, 3, 4, 4)]),
    "conv_transpose2d of pixels": (lambda x, w: ops.conv_transpose2d(x, w),
                                   [(3, 4, 1, 1), (4, 3, 4, 4)]),
    "the course's conv": (lambda x, w: ops.conv(x, w, 2, 1), [(2, 5, 6, 3), (3, 3, 3, 4)]),
    "batch_norm": (lambda x, g, b: ops.batch_norm(x, g, b), [(3, 4, 3, 5), (4,), (4,)]),
    "batch_norm and leaky ReLU": (lambda x, g, b: ops.batch_norm(x, g, b, slope=0.2),
                                  [(3, 4, 3, 5), (4,), (4,)]),
    "batch_norm of rows": (lambda x, g, b: ops.batch_norm(x, g, b, slope=0), [(9, 4), (4,), (4,)]),
    "instance_norm": (lambda x: ops.instance_norm(x), [(2, 3, 4, 5)]),
    "instance_norm and leaky ReLU": (lambda x: ops.instance_norm(x, slope=0.2), [(2, 3, 4, 5)]),
    "instance_norm of rows": (lambda x: ops.instance_norm(x, slope=0), [(2, 3, 9)]),
    "reflection_pad": (lambda x: ops.reflection_pad(x, SIDES[1]), [(2, 3, 4, 5)]),
    "conv2d of mirror images": (lambda x, w: ops.conv2d(x, w, (2, 1), (1, 2), 0.2, reflect=True),
                                [(2, 3, 6, 5), (4, 3, 3, 2)]),
    "conv2d of normalised images": (
        lambda x, w: ops.conv2d(x, w, 1, 1, reflect=True, before=ops.InstanceNorm(slope=0.2)),
        [(2, 3, 6, 5), (4, 3, 3, 3)]),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 0.2), [(2, 3, 4, 5)]),
    "avg_pool, windows overlap": (lambda x: ops.avg_pool(x, 3, 2), [(2, 3, 7, 6)]),
    "max_pool, windows overlap": (lambda x: ops.max_pool(x, 3, 2), [(2, 3, 7, 6)]),
    "max_pool, gaps": (lambda x: ops.max_pool(x, 2, 3), [(2, 3, 8, 6)]),
    "upsample": (lambda x: ops.upsample(x, 3), [(2, 3, 2, 3)]),
    "upsample_bilinear": (lambda x: ops.upsample_bilinear(x, 2), [(2, 3, 3, 4)]),
    "conv, norm, conv": (
        lambda x, v, g, b, w: ops.conv2d(ops.batch_norm(ops.conv_transpose2d(x, v, 2, 1), g, b,
                                                        slope=0.2), w, 2, 1),
        [(2, 3, 3, 3), (3, 2, 4, 4), (2,), (2,), (4, 2, 4, 4)]),
}


def derivatives(name: str, device, dtype: str) -> list:
    """Output, gradients, and gradients of a product of them; arrays on the device."""
    function, shapes = OPS[name]
    g = np.random.default_rng(3)
    inputs = [ndl.Tensor(g.standard_normal(s), device=device, dtype=dtype) for s in shapes]

    def cotangent(like):
        return ndl.Tensor(g.standard_normal(like.shape), device=device, dtype=dtype,
                          requires_grad=False)

    y = function(*inputs)
    up = cotangent(y)
    first = ndl.grad(y, inputs, up, create_graph=True)
    plain = ndl.grad(function(*inputs), inputs, up)  # by the kernels, where nothing is recorded
    total = None
    for d in first:
        part = (d * cotangent(d) * d).sum()
        total = part if total is None else total + part
    second = ndl.grad(total, inputs) if total.requires_grad else []
    return [t.cached_data for t in (y, *first, *plain, *second) if t is not None]


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize("name", OPS)
def test_ops_to_second_order(cp, name, mode):
    with kernels.reference_kernels():
        want = derivatives(name, CPU, "float64")
    there = derivatives if mode == "fast" else kernels.reference_kernels()(derivatives)
    got = there(name, CUDA, "float32")
    assert len(got) == len(want)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        close(cp, a, b, what=i)


# ----------------------------------------------------------------------------------------- layers

LAYERS = {
    "Conv2d": (lambda o: nn.Conv2d(3, 4, 3, stride=2, padding=1, **o), (2, 3, 6, 5)),
    "Conv2d and LeakyReLU": (
        lambda o: nn.Sequential(nn.Conv2d(3, 4, 4, stride=2, padding=1, bias=False, **o),
                                nn.LeakyReLU(0.2)), (2, 3, 6, 4)),
    "ConvTranspose2d": (
        lambda o: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1, **o),
        (2, 3, 4, 3)),
    "Conv": (lambda o: nn.Conv(3, 4, 3, stride=2, **o), (2, 3, 6, 5)),
    "BatchNorm2d": (lambda o: nn.BatchNorm2d(3, **o), (2, 3, 4, 5)),
    "BatchNorm2d and ReLU": (lambda o: nn.Sequential(nn.BatchNorm2d(3, **o), nn.ReLU()),
                             (2, 3, 4, 5)),
    "BatchNorm1d and LeakyReLU": (
        lambda o: nn.Sequential(nn.BatchNorm1d(3, **o), nn.LeakyReLU(0.2)), (7, 3)),
    "InstanceNorm2d": (lambda o: nn.InstanceNorm2d(3, affine=True, **o), (2, 3, 4, 5)),
    "GroupNorm": (lambda o: nn.GroupNorm(2, 4, **o), (2, 4, 4, 3)),
    "AvgPool2d": (lambda o: nn.AvgPool2d(3, stride=2), (2, 3, 7, 6)),
    "MaxPool2d": (lambda o: nn.MaxPool2d(2), (2, 3, 6, 4)),
    "GlobalAvgPool2d": (lambda o: nn.GlobalAvgPool2d(), (2, 3, 4, 5)),
    "Upsample": (lambda o: nn.Upsample(2), (2, 3, 4, 5)),
    "Upsample, bilinear": (lambda o: nn.Upsample(2, mode=nn.UpsampleMode.BILINEAR), (2, 3, 4, 5)),
    "SpectralNorm of Conv2d": (lambda o: nn.SpectralNorm(nn.Conv2d(3, 4, 3, **o)), (2, 3, 5, 4)),
    "SpectralNorm of ConvTranspose2d": (
        lambda o: nn.SpectralNorm(nn.ConvTranspose2d(3, 4, 3, **o)), (2, 3, 4, 4)),
    "SpectralNorm of Linear": (lambda o: nn.SpectralNorm(nn.Linear(6, 5, **o)), (4, 6)),
    "a residual block": (
        lambda o: nn.Residual(nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3, bias=False, **o), nn.InstanceNorm2d(3, **o),
            nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1, **o))), (2, 3, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(cp, name):
    """Output, all gradients, buffers after two passes, and evaluation."""
    make, shape = LAYERS[name]
    ndl.manual_seed(0)
    here = make({"device": CUDA})
    there = make({"device": CPU, "dtype": "float64"})
    there.load_state_dict(here.state_dict())
    g = np.random.default_rng(1)
    x_values, up_values = g.standard_normal((2, *shape)), g.standard_normal(10_000)

    def run_layer(layer, device, dtype) -> list[tuple[str, object]]:
        found = []
        for values in x_values:
            x = ndl.Tensor(values, device=device, dtype=dtype)
            y = layer.train()(x)
            y.backward(ndl.Tensor(up_values[: y.size].reshape(y.shape), device=device,
                                  dtype=dtype))
            found += [("y", y), ("x", x.grad),
                      *((path, p.grad) for path, p in layer.named_parameters())]
        found += [*layer.named_buffers(), ("eval", layer.eval()(x))]
        return [(path, t.cached_data) for path, t in found]

    results = run_layer(here, CUDA, "float32"), run_layer(there, CPU, "float64")
    for (path, got), (same, want) in zip(*results, strict=True):
        assert path == same
        close(cp, got, want, what=path)


def test_layers_wait_for_nothing(cp, trace):
    for name, (make, shape) in LAYERS.items():
        layer, x = make({"device": CUDA}), ndl.randn(*shape, device=CUDA, requires_grad=True)
        for _ in range(2):
            with trace() as t:
                y = layer(x)
                y.backward(y.detach())
        assert not {"sync", "d2h", "h2d"} & set(t.delta), name


# ------------------------------------------------------------------------------------------ DCGAN


class Trained:
    """A tiny DCGAN on one device, and its steps, from the seed 0."""

    def __init__(self, side: int, device, batch_size: int = 4, **options) -> None:
        self.device, self.g = device, np.random.default_rng(0)
        shape = (3 if side == 64 else 1, side, side)
        with working_on(device, self.g):
            self.model = DCGAN(shape, latent_dim=6, features_G=4, features_D=4,
                               batch_size=batch_size, **options)
        g = np.random.default_rng(1)
        self.images = g.uniform(-1, 1, (batch_size, *shape)).astype("float32")
        self.losses: list[ndl.Tensor] = []

    def batches(self) -> Iterator[ndl.Tensor]:
        while True:
            yield ndl.Tensor(self.images, device=self.device, requires_grad=False)

    def step(self) -> None:
        with working_on(self.device, self.g):
            report = self.model.train_step(self.batches())
        self.losses += [t.detach() for t in report.values()]

    def state(self) -> dict[str, np.ndarray]:
        """Losses, parameters and running statistics, on the host."""
        model = self.model
        found = {f"loss {i}": loss.numpy() for i, loss in enumerate(self.losses)}
        for name, network in (("G", model.G), ("D", model.D)):
            found |= {f"{name}.{path}": a for path, a in network.state_dict().items()}
        return found


def same_state(got: dict[str, np.ndarray], want: dict[str, np.ndarray], bound: float) -> None:
    assert got.keys() == want.keys()
    for name, a in got.items():
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, want[name], rtol=bound, atol=bound, err_msg=name)


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize("side", [64, 28])
def test_dcgan_equals_numpys(cp, side, mode):
    """Losses, beliefs, all weights and running statistics, after one step and after three."""
    here, there = Trained(side, CUDA), Trained(side, CPU)
    assert {p.device for p in [*here.model.G.parameters(), *here.model.D.parameters()]} == {CUDA}
    step = here.step if mode == "fast" else kernels.reference_kernels()(here.step)
    same_state(here.state(), there.state(), 0)
    before = here.state()
    for steps in (1, 2):
        for _ in range(steps):
            step()
            there.step()
        same_state(here.state(), there.state(), 1e-5)
    after = here.state()
    assert all((after[name] != a).any() for name, a in before.items())


@pytest.mark.parametrize("side, mode, most, most_in_all", [
    (64, "fast", 300, 300), (28, "fast", 150, 180), (64, "reference", 1100, 1200),
    (28, "reference", 750, 800)])
def test_the_budget_of_a_dcgan_step(cp, trace, capsys, side, mode, most, most_in_all):
    """KERNELS.md: no synchronisation, no download, three uploads at most, bounded launches.

    ``most`` bounds the kernels launched, ``most_in_all`` these with cuBLAS's and the fills.
    """
    here = Trained(side, CUDA, batch_size=2)
    step = here.step if mode == "fast" else kernels.reference_kernels()(here.step)
    for _ in range(2):
        step()
    with trace() as t:
        step()
    launches = t.delta["launch"]
    in_all = launches + t.delta["gemm"] + t.delta["memset"]
    counted = (f"DCGAN-{side} step, {mode} kernels: {launches} launches, {in_all} with "
               f"{t.delta['gemm']} gemm and {t.delta['memset']} memset; {t.delta['d2d']} d2d, "
               f"{t.delta['h2d']} h2d, {t.delta['malloc']} malloc")
    with capsys.disabled():
        print(f"\n{counted}")
    assert (t.delta["sync"], t.delta["d2h"]) == (0, 0)
    assert t.delta["h2d"] <= 3
    assert launches <= most and in_all <= most_in_all, f"{counted}: {Counter(t.names)}"
    assert not [name for name in t.names if "float64" in name]
    assert t.delta["malloc"] == 0  # the pool has all it needs after the first steps


def test_averaged_weights_wait_for_nothing_either(cp, trace):
    here = Trained(28, CUDA, batch_size=2, ema_decay=0.9, cool_down=0.5)
    here.model.set_total_steps(10)
    for _ in range(2):
        here.step()
    with trace() as t:
        here.step()
    assert (t.delta["sync"], t.delta["d2h"]) == (0, 0)
    assert t.delta["h2d"] <= 3
    assert "minigrad_ema" in t.names


@pytest.mark.parametrize("side", [64, 28])
def test_the_order_of_threads_does_not_matter_to_dcgan(cp, cupusim, side):
    results = []
    for options in ({}, {"reverse": True, "lanes": 7}):
        with cupusim.order(**options):
            here = Trained(side, CUDA, batch_size=2)
            for _ in range(2):
                here.step()
            results.append(here.state())
    same_state(*results, 1e-6)


def test_samples_of_a_generator_on_the_gpu(cp):
    """From running statistics, in evaluation."""
    here, there = Trained(28, CUDA), Trained(28, CPU)
    images = []
    for trained in (here, there):
        trained.step()
        with working_on(trained.device, trained.g):
            images.append(trained.model.sample(3, np.random.default_rng(5)).numpy())
    assert images[0].shape == (3, 1, 28, 28)
    np.testing.assert_allclose(*images, rtol=1e-5, atol=1e-5)
