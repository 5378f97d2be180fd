"""Pooling, upsampling, pixel shuffling and reflection padding as layers.

Values against NumPy, SciPy and PyTorch, gradients of both orders, the order in memory.
"""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn, ops
from minigrad.autograd import constant
from minigrad.errors import ShapeError

Array = np.ndarray
WITHOUT_TORCH = "PyTorch is an optional oracle"
BILINEAR = nn.UpsampleMode.BILINEAR

LAYERS = {
    "avg": nn.AvgPool2d(2),
    "avg overlapping": nn.AvgPool2d(3, stride=2),
    "avg wide": nn.AvgPool2d((2, 3), stride=(1, 3)),
    "avg apart": nn.AvgPool2d(1, stride=2),
    "max": nn.MaxPool2d(2),
    "max overlapping": nn.MaxPool2d(3, stride=2),
    "max wide": nn.MaxPool2d((1, 2), stride=(3, 2)),
    "global": nn.GlobalAvgPool2d(),
    "nearest": nn.Upsample(2),
    "bilinear": nn.Upsample(3, mode=BILINEAR),
    "shuffle": nn.PixelShuffle(2),
    "reflect": nn.ReflectionPad2d(2),
}
each_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
KEEP_ORDER = set(LAYERS) - {"max overlapping", "global"}  # the former copies its windows


def pooled(a: Array, kernel, stride, reduce) -> Array:
    (kh, kw), (sh, sw) = np.broadcast_to(kernel, 2), np.broadcast_to(stride, 2)
    oh, ow = (a.shape[2] - kh) // sh + 1, (a.shape[3] - kw) // sw + 1
    out = np.zeros((*a.shape[:2], oh, ow))
    for i, j in itertools.product(range(oh), range(ow)):
        out[:, :, i, j] = reduce(a[:, :, i * sh:i * sh + kh, j * sw:j * sw + kw], axis=(2, 3))
    return out


def in_memory(a: Array, layout: str) -> ndl.Tensor:
    """The same (n, c, h, w) values; the layouts are named after their order in memory."""
    if layout == "nhwc":
        a = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "flipped":
        a = a[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
    elif layout == "every second":
        wide = np.full([2 * size for size in a.shape], np.nan, a.dtype)
        wide[::2, ::2, ::2, ::2] = a
        a = wide[::2, ::2, ::2, ::2]
    elif layout == "broadcast":
        a = np.broadcast_to(a[:, :1], a.shape)
    x = constant(a)
    x.requires_grad = True
    return x


def channels_last(a: Array) -> bool:
    return a.transpose(0, 2, 3, 1).flags.c_contiguous


class Spy(ops.Negate):
    """Keeps the gradient that arrives, before anything copies it."""

    def gradient(self, out_grad, node):
        self.seen = out_grad.cached_data
        return -out_grad


# ----------------------------------------------------------------------------------------- pooling


@given(h=st.integers(1, 7), w=st.integers(1, 7), kh=st.integers(1, 4), kw=st.integers(1, 4),
       stride=st.sampled_from([None, 1, 2, 3, (1, 2), (5, 3)]), ties=st.booleans(),
       layout=st.sampled_from(["nchw", "nhwc", "flipped", "every second"]), n=st.integers(0, 2),
       seed=st.integers(0, 999))
def test_pooling(h, w, kh, kw, stride, ties, layout, n, seed):
    assume(kh <= h and kw <= w)
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, 3, h, w))
    if ties:
        a = np.round(a)
    step = (kh, kw) if stride is None else stride
    for layer, reduce in ((nn.AvgPool2d((kh, kw), stride=stride), np.mean),
                          (nn.MaxPool2d((kh, kw), stride=stride), np.max)):
        x = in_memory(a, layout)
        y = layer(x)
        want = pooled(a, (kh, kw), step, reduce)
        assert y.shape == want.shape
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-13, atol=1e-14)
        up = rng.standard_normal(want.shape)
        got = ndl.grad(y, x, ndl.Tensor(up, dtype="float64")).numpy()
        np.testing.assert_allclose(got, pooled_gradient(a, up, (kh, kw), step, reduce), atol=1e-13)


def pooled_gradient(a: Array, up: Array, kernel, stride, reduce) -> Array:
    """From each window back to its elements: equal parts, or equal parts to the largest."""
    (kh, kw), (sh, sw) = np.broadcast_to(kernel, 2), np.broadcast_to(stride, 2)
    out = np.zeros(a.shape)
    for i, j in itertools.product(range(up.shape[2]), range(up.shape[3])):
        at = (slice(None), slice(None), slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw))
        share = np.ones(a[at].shape)
        if reduce is np.max:
            share = (a[at] == a[at].max(axis=(2, 3), keepdims=True)).astype(float)
        out[at] += up[:, :, i, j, None, None] * share / share.sum(axis=(2, 3), keepdims=True)
    return out


@given(h=st.integers(1, 5), w=st.integers(1, 5), c=st.integers(1, 3), n=st.integers(0, 3),
       seed=st.integers(0, 99))
def test_global_average(h, w, c, n, seed):
    a = np.random.default_rng(seed).standard_normal((n, c, h, w))
    y = nn.GlobalAvgPool2d()(ndl.Tensor(a, dtype="float64"))
    assert y.shape == (n, c)
    np.testing.assert_allclose(y.numpy(), a.sum((2, 3)) / (h * w), atol=1e-14)


def test_pooling_of_integers_does_not_wrap_around():
    a = np.full((1, 1, 2, 4), 200, "uint8")
    np.testing.assert_array_equal(ops.avg_pool(ndl.Tensor(a), 2).numpy(), [[[[200, 200]]]])
    assert ops.avg_pool(ndl.Tensor(a), 2).dtype == np.float32
    assert ops.max_pool(ndl.Tensor(a), 2).dtype == np.uint8
    b = np.ones((1, 1, 2, 2), bool)
    np.testing.assert_array_equal(ops.avg_pool(ndl.Tensor(b), 2).numpy(), [[[[1.0]]]])


def test_the_result_is_no_view_of_the_input():
    """In-place writes to the one must not reach the other."""
    x = ndl.ones(1, 1, 3, 3, requires_grad=True)
    for layer in (nn.AvgPool2d(1), nn.MaxPool2d(1), nn.Upsample(1), nn.PixelShuffle(1),
                  nn.ReflectionPad2d(0), nn.Upsample(1, mode=BILINEAR)):
        y = layer(x)
        np.testing.assert_array_equal(y.numpy(), np.ones((1, 1, 3, 3)))
        assert y is not x
        if not isinstance(layer, nn.PixelShuffle):
            assert not np.shares_memory(y.cached_data, x.cached_data)


# --------------------------------------------------------------------------------------- upsampling


@given(h=st.integers(1, 5), w=st.integers(1, 5), scale=st.integers(1, 5), seed=st.integers(0, 99))
def test_nearest(h, w, scale, seed):
    a = np.random.default_rng(seed).standard_normal((2, 2, h, w))
    y = nn.Upsample(scale)(ndl.Tensor(a, dtype="float64")).numpy()
    np.testing.assert_array_equal(y, np.kron(a, np.ones((scale, scale))))


@given(h=st.integers(1, 5), w=st.integers(1, 5), scale=st.integers(1, 5), seed=st.integers(0, 99))
def test_bilinear(h, w, scale, seed):
    """SciPy's linear spline, sampled at the middles of the new pixels."""
    a = np.random.default_rng(seed).standard_normal((2, 2, h, w))
    y = nn.Upsample(scale, mode=BILINEAR)(ndl.Tensor(a, dtype="float64")).numpy()
    at = [(np.arange(size * scale) + 0.5) / scale - 0.5 for size in (h, w)]
    grid = np.meshgrid(*at, indexing="ij")
    for i, j in itertools.product(range(2), range(2)):
        want = scipy.ndimage.map_coordinates(a[i, j], grid, order=1, mode="nearest")
        np.testing.assert_allclose(y[i, j], want, atol=1e-12)


def test_bilinear_by_hand():
    y = ops.upsample_bilinear(ndl.Tensor([[[[0.0, 4.0]]]]), 2)
    np.testing.assert_array_equal(y.numpy(), [[[[0, 1, 3, 4], [0, 1, 3, 4]]]])


def test_bilinear_reproduces_constants_exactly_and_planes_inside():
    for scale in range(1, 8):
        flat = ops.upsample_bilinear(ndl.Tensor(np.full((1, 1, 7, 9), 3.0)), scale).numpy()
        np.testing.assert_allclose(flat, 3.0, rtol=3e-7)
    plane = ndl.Tensor(np.add.outer(np.arange(400.0), 2 * np.arange(300.0))[None, None])
    y = ops.upsample_bilinear(plane, 3).numpy()[0, 0, 1:-1, 1:-1]
    rows, columns = (np.arange(1, 3 * size - 1) / 3 - 1 / 3 for size in (400, 300))
    np.testing.assert_allclose(y, np.add.outer(rows, 2 * columns), rtol=1e-6)


def test_how_to_upsample_is_said_by_an_enum():
    assert nn.Upsample(2).mode is nn.UpsampleMode.NEAREST
    for mode in ("bilinear", None, 1):
        with pytest.raises(TypeError, match="mode must be UpsampleMode"):
            nn.Upsample(2, mode=mode)
    with pytest.raises(TypeError, match="positional"):
        nn.Upsample(2, BILINEAR)


# ------------------------------------------------------------------------------------------ padding


@given(h=st.integers(1, 5), w=st.integers(1, 5), padding=st.integers(0, 4),
       layout=st.sampled_from(["nchw", "nhwc", "flipped", "every second"]), seed=st.integers(0, 99))
def test_reflection(h, w, padding, layout, seed):
    assume(padding < min(h, w))
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((2, 3, h, w))
    widths = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    x = in_memory(a, layout)
    y = nn.ReflectionPad2d(padding)(x)
    np.testing.assert_array_equal(y.numpy(), np.pad(a, widths, mode="reflect"))
    up = rng.standard_normal(y.shape)
    places = np.pad(np.arange(a.size).reshape(a.shape), widths, mode="reflect")
    want = np.zeros(a.size)
    np.add.at(want, places.ravel(), up.ravel())
    got = ndl.grad(y, x, in_memory(up, layout)).numpy()
    np.testing.assert_allclose(got, want.reshape(a.shape), atol=1e-13)


def test_a_border_as_wide_as_the_image_is_refused():
    for padding, shape in ((3, (1, 1, 3, 5)), (3, (1, 1, 5, 3)), (4, (1, 1, 3, 3)), (1, (2, 3)),
                           (1, (1, 2, 3)), (1, (1, 1, 1, 1)), (0, (1, 1, 0, 2))):
        with pytest.raises(ShapeError) as caught:
            nn.ReflectionPad2d(padding)(ndl.ones(*shape))
        assert f"greater than the padding {padding}, got shape {shape}" in str(caught.value)
    nn.ReflectionPad2d(2)(ndl.ones(1, 1, 3, 3))
    with pytest.raises(ShapeError, match="ReflectionPad2d: padding must be at least 0, got -1"):
        nn.ReflectionPad2d(-1)


# ------------------------------------------------------------------------------- all of the layers


@each_layer
def test_gradients_of_both_orders(layer):
    rng = np.random.default_rng(0)
    h, w = 3, 4
    a = rng.permutation(2 * 4 * h * w).reshape(2, 4, h, w) * 0.1  # apart: the maximum has no tie
    ndl.gradcheck(layer, a[:1])


@pytest.mark.parametrize("layout", ["nhwc", "flipped", "every second", "broadcast"])
@each_layer
def test_memory_layouts(layer, layout, request):
    """Equal values and gradients; images whose channels come last in memory stay so."""
    rng = np.random.default_rng(0)
    x = in_memory(rng.standard_normal((2, 8, 6, 6)), layout)
    plain = in_memory(np.array(x.cached_data), "nchw")
    spy = Spy()
    y, want = layer(spy(x)), layer(-plain)
    np.testing.assert_allclose(y.numpy(), want.numpy(), atol=1e-14)
    up = rng.standard_normal(y.shape)
    sides = "nchw" if layout == "broadcast" or y.ndim != 4 else layout
    got = ndl.grad(y, x, in_memory(up, sides)).numpy()
    np.testing.assert_allclose(got, ndl.grad(want, plain, in_memory(up, "nchw")).numpy(),
                               atol=1e-13)
    if layout == "nhwc" and request.node.callspec.id.split("-")[0] in KEEP_ORDER:
        assert channels_last(y.cached_data)
        assert channels_last(spy.seen)


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(layer, dtype):
    x = ndl.Tensor(np.random.default_rng(0).standard_normal((2, 4, 6, 6)), dtype=dtype)
    y = layer(x)
    first = ndl.grad((y * y).sum(), x, create_graph=True)
    second = ndl.grad((first * first).sum(), x)
    assert {str(t.dtype) for t in (y, first, second)} == {dtype}


@each_layer
def test_batch_of_one_empty_batch_and_evaluation(layer):
    x = ndl.Tensor(np.random.default_rng(0).standard_normal((3, 4, 6, 6)))
    y = layer(x).numpy()
    np.testing.assert_allclose(layer(x[1:2]).numpy(), y[1:2], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(copy.deepcopy(layer).eval()(x).numpy(), y)
    empty = ndl.Tensor(np.zeros((0, 4, 6, 6)))
    nothing = layer(empty)
    assert nothing.shape == (0, *y.shape[1:])
    nothing.sum().backward()
    assert empty.grad.shape == empty.shape
    assert layer.state_dict() == {}


@each_layer
def test_wrong_shapes_are_refused(layer):
    for shape in ((2, 3), (4, 6, 6), (1, 1, 4, 6, 6), ()):
        with pytest.raises(ShapeError, match=r"wants \(n, c, h, w\)"):
            layer(ndl.ones(*shape))


def test_impossible_sizes_are_refused():
    x = ndl.ones(1, 1, 2, 3)
    for layer in (nn.AvgPool2d(3), nn.MaxPool2d(3), nn.MaxPool2d((3, 1), stride=1),
                  nn.AvgPool2d(0), nn.MaxPool2d((1, 2, 3)), nn.AvgPool2d(1, stride=0),
                  nn.Upsample(0), nn.Upsample(1.5), nn.Upsample(2.0, mode=BILINEAR)):
        with pytest.raises(ShapeError):
            layer(x)
    with pytest.raises(ShapeError, match="mean"):
        nn.GlobalAvgPool2d()(ndl.ones(1, 1, 0, 3))
    for layer in (nn.AvgPool2d, nn.MaxPool2d):
        with pytest.raises(TypeError, match="positional"):
            layer(2, 2)


def test_reprs():
    rows = {nn.AvgPool2d(2): "AvgPool2d(2)", nn.MaxPool2d(3, stride=2): "MaxPool2d(3, stride=2)",
            nn.AvgPool2d((1, 2), stride=(1, 2)): "AvgPool2d((1, 2))", nn.Upsample(2): "Upsample(2)",
            nn.Upsample(2, mode=BILINEAR): "Upsample(2, mode=UpsampleMode.BILINEAR)",
            nn.GlobalAvgPool2d(): "GlobalAvgPool2d()"}
    for layer, text in rows.items():
        assert repr(layer) == text


# ----------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("name", LAYERS)
def test_against_torch(name):
    torch = pytest.importorskip("torch", reason=WITHOUT_TORCH)
    theirs = {
        "avg": lambda t: torch.nn.functional.avg_pool2d(t, 2),
        "avg overlapping": lambda t: torch.nn.functional.avg_pool2d(t, 3, 2),
        "avg wide": lambda t: torch.nn.functional.avg_pool2d(t, (2, 3), (1, 3)),
        "avg apart": lambda t: torch.nn.functional.avg_pool2d(t, 1, 2),
        "max": lambda t: torch.nn.functional.max_pool2d(t, 2),
        "max overlapping": lambda t: torch.nn.functional.max_pool2d(t, 3, 2),
        "max wide": lambda t: torch.nn.functional.max_pool2d(t, (1, 2), (3, 2)),
        "global": lambda t: torch.nn.functional.adaptive_avg_pool2d(t, 1)[:, :, 0, 0],
        "nearest": torch.nn.Upsample(scale_factor=2),
        "bilinear": torch.nn.Upsample(scale_factor=3, mode="bilinear"),
        "shuffle": torch.nn.PixelShuffle(2),
        "reflect": torch.nn.ReflectionPad2d(2),
    }[name]
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 4, 7, 6))
    x, t = ndl.Tensor(a, dtype="float64"), torch.tensor(a, requires_grad=True)
    y, want = LAYERS[name](x), theirs(t)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-12, atol=1e-13)
    up = rng.standard_normal(y.shape)
    want.backward(torch.tensor(up))
    y.backward(ndl.Tensor(up, dtype="float64"))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-13)
