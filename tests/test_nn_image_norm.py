"""Instance, group and layer normalisation against NumPy and PyTorch, their gradients and limits."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn
from minigrad.autograd import constant
from minigrad.errors import ShapeError

Array = np.ndarray
WITHOUT_TORCH = "PyTorch is an optional oracle"


def standardized(values: Array, eps: float) -> Array:
    values = values.astype(float)
    return (values - values.mean()) / np.sqrt(values.var() + eps)


def instance_oracle(x: Array, eps: float) -> Array:
    out = np.zeros(x.shape)
    for i, j in itertools.product(range(x.shape[0]), range(x.shape[1])):
        out[i, j] = standardized(x[i, j], eps)
    return out


def group_oracle(x: Array, groups: int, eps: float) -> Array:
    out, width = np.zeros(x.shape), x.shape[1] // groups
    for i, k in itertools.product(range(x.shape[0]), range(groups)):
        channels = slice(k * width, (k + 1) * width)
        out[i, channels] = standardized(x[i, channels], eps)
    return out


def layer_oracle(x: Array, axes: int, eps: float) -> Array:
    out, lead = np.zeros(x.shape), x.shape[: x.ndim - axes]
    for index in np.ndindex(lead):
        out[index] = standardized(x[index], eps)
    return out


def with_affine(layer: nn.Module, rng: np.random.Generator) -> nn.Module:
    """The layer with a weight and bias that are not 1 and 0."""
    for p in layer.parameters():
        p.data = ndl.Tensor(rng.standard_normal(p.shape), dtype=p.dtype)
    return layer


def scaled(y: Array, layer: nn.Module, shape: tuple[int, ...]) -> Array:
    return y * layer.weight.numpy().reshape(shape) + layer.bias.numpy().reshape(shape)


def in_memory(a: Array, layout: str) -> ndl.Tensor:
    """The same (n, c, h, w) values; the layouts are named after their order in memory."""
    if layout == "nhwc":
        a = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "flipped":
        a = a[:, :, ::-1].copy()[:, :, ::-1]
    elif layout == "every second":
        wide = np.full([2 * size for size in a.shape], np.nan, a.dtype)
        wide[::2, ::2, ::2, ::2] = a
        a = wide[::2, ::2, ::2, ::2]
    x = constant(a)
    x.requires_grad = True
    return x


LAYERS = {
    "instance": lambda **o: nn.InstanceNorm2d(4, affine=True, **o),
    "group": lambda **o: nn.GroupNorm(2, 4, **o),
    "layer": lambda **o: nn.LayerNorm((4, 3, 2), **o),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)

# ----------------------------------------------------------------------------------------- values


@given(n=st.integers(0, 3), c=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(2, 4),
       eps=st.sampled_from([1e-5, 1e-2, 1e-9]), seed=st.integers(0, 999))
def test_instance_norm(n, c, h, w, eps, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, c, h, w)) * 3 + 2
    plain = nn.InstanceNorm2d(c, eps=eps, dtype="float64")
    assert plain.parameters() == []
    want = instance_oracle(x, eps)
    np.testing.assert_allclose(plain(ndl.Tensor(x, dtype="float64")).numpy(), want, atol=1e-10)
    layer = with_affine(nn.InstanceNorm2d(c, eps=eps, affine=True, dtype="float64"), rng)
    got = layer(ndl.Tensor(x, dtype="float64")).numpy()
    np.testing.assert_allclose(got, scaled(want, layer, (c, 1, 1)), atol=1e-10)


@given(n=st.integers(0, 3), groups=st.integers(1, 3), width=st.integers(1, 3),
       pixels=st.lists(st.integers(1, 3), max_size=3), eps=st.sampled_from([1e-5, 1e-2]),
       seed=st.integers(0, 999))
def test_group_norm(n, groups, width, pixels, eps, seed):
    if width * np.prod(pixels, dtype=int) < 2:
        pixels = [*pixels, 2]
    rng, c = np.random.default_rng(seed), groups * width
    x = rng.standard_normal((n, c, *pixels)) * 3 + 2
    layer = with_affine(nn.GroupNorm(groups, c, eps=eps, dtype="float64"), rng)
    want = scaled(group_oracle(x, groups, eps), layer, (c, *[1] * len(pixels)))
    np.testing.assert_allclose(layer(ndl.Tensor(x, dtype="float64")).numpy(), want, atol=1e-10)
    plain = nn.GroupNorm(groups, c, eps=eps, affine=False)
    assert plain.parameters() == []
    got = plain(ndl.Tensor(x, dtype="float64")).numpy()
    np.testing.assert_allclose(got, group_oracle(x, groups, eps), atol=1e-10)


@given(lead=st.lists(st.integers(0, 3), max_size=2), eps=st.sampled_from([1e-5, 1e-2]),
       shape=st.lists(st.integers(1, 3), min_size=1, max_size=3), seed=st.integers(0, 999))
def test_layer_norm(lead, eps, shape, seed):
    shape = (*shape[:-1], shape[-1] + 1)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, *shape)) * 3 + 2
    layer = with_affine(nn.LayerNorm(shape, eps=eps, dtype="float64"), rng)
    want = scaled(layer_oracle(x, len(shape), eps), layer, shape)
    np.testing.assert_allclose(layer(ndl.Tensor(x, dtype="float64")).numpy(), want, atol=1e-10)
    plain = nn.LayerNorm(shape, eps=eps, affine=False)
    assert plain.parameters() == []
    got = plain(ndl.Tensor(x, dtype="float64")).numpy()
    np.testing.assert_allclose(got, layer_oracle(x, len(shape), eps), atol=1e-10)


def test_one_size_is_a_tuple_of_one_and_the_courses_layer():
    x = ndl.Tensor(np.random.default_rng(0).standard_normal((5, 4)))
    assert nn.LayerNorm(4).weight.shape == (4,)
    np.testing.assert_array_equal(nn.LayerNorm(4)(x).numpy(), nn.LayerNorm([4])(x).numpy())
    np.testing.assert_allclose(
        nn.LayerNorm(4)(x).numpy(), nn.LayerNorm1d(4)(x).numpy(), rtol=1e-6, atol=1e-6)


def test_groups_are_neighbouring_channels_and_the_extremes_are_the_other_norms():
    rng = np.random.default_rng(0)
    x = ndl.Tensor(rng.standard_normal((2, 6, 3, 3)), dtype="float64")
    each = nn.GroupNorm(6, 6, affine=False)(x).numpy()
    np.testing.assert_allclose(each, nn.InstanceNorm2d(6)(x).numpy(), atol=1e-12)
    one = nn.GroupNorm(1, 6, affine=False)(x).numpy()
    np.testing.assert_allclose(
        one, nn.LayerNorm((6, 3, 3), affine=False)(x).numpy(), atol=1e-12)
    louder = x.numpy()
    louder[:, :2] *= 50  # the first of three groups: the others must not notice
    a, b = (nn.GroupNorm(3, 6, affine=False)(ndl.Tensor(v, dtype="float64")).numpy()
            for v in (x.numpy(), louder))
    np.testing.assert_array_equal(a[:, 2:], b[:, 2:])
    assert np.abs(a[:, :2] - b[:, :2]).max() < 1e-4


# -------------------------------------------------------------------------------------- gradients


def call(layer: nn.Module, x: ndl.Tensor, *affine: ndl.Tensor) -> ndl.Tensor:
    return nn.functional_call(layer, dict(zip(("weight", "bias"), affine, strict=False)), x)


@settings(max_examples=6)
@given(kind=st.sampled_from(["instance", "group", "layer"]), n=st.integers(1, 2),
       c=st.integers(1, 2), h=st.integers(1, 2), affine=st.booleans(), seed=st.integers(0, 999))
def test_gradients_of_both_orders(kind, n, c, h, affine, seed):
    rng, w = np.random.default_rng(seed), 3
    options = {"affine": affine, "dtype": "float64", "eps": 1e-2}
    if kind == "instance":
        layer = nn.InstanceNorm2d(c, **options)
    elif kind == "group":
        layer = nn.GroupNorm(c, 2 * c, **options)
        c = 2 * c
    else:
        layer = nn.LayerNorm((h, w), **options)
    size = layer.weight.shape if affine else ()
    inputs = [rng.standard_normal(size) for _ in layer.parameters()]
    ndl.gradcheck(lambda x, *p: call(layer, x, *p), rng.standard_normal((n, c, h, w)), *inputs)


@each_layer
def test_upstream_of_a_constant_gives_no_gradient(make):
    """The result does not move with a shift or a change of scale of its input."""
    rng = np.random.default_rng(0)
    layer = make(dtype="float64", eps=0.0)
    x = ndl.Tensor(rng.standard_normal((2, 4, 3, 2)), dtype="float64")
    up = ndl.Tensor(rng.standard_normal(x.shape), dtype="float64")
    g = ndl.grad(layer(x), x, up).numpy()
    assert abs(g[0].sum()) < 1e-12 and abs((g * x.numpy())[0].sum()) < 1e-12
    assert np.abs(g).max() > 0.1


# -------------------------------------------------------------------------- shapes, modes, dtypes


def test_wrong_shapes_are_refused():
    rows = [
        (nn.InstanceNorm2d(3), [(2, 3, 4), (2, 4, 3, 3), (3,), (2, 3, 4, 4, 4)],
         r"InstanceNorm2d: wants \(n, 3, h, w\)"),
        (nn.GroupNorm(2, 4), [(4,), (2, 3, 4), (2, 2, 4, 4)], r"GroupNorm: wants \(n, 4, \.\.\.\)"),
        (nn.LayerNorm((4, 3)), [(3,), (2, 3, 4), (3, 4), (4,), ()], "LayerNorm: wants"),
        (nn.LayerNorm(3), [(3, 4), ()], r"LayerNorm: wants \(\.\.\., 3\)"),
    ]
    for layer, shapes, text in rows:
        for shape in shapes:
            with pytest.raises(ShapeError, match=text):
                layer(ndl.ones(*shape))


def test_impossible_sizes_are_refused():
    for make in (lambda: nn.GroupNorm(3, 4), lambda: nn.GroupNorm(0, 4), lambda: nn.GroupNorm(2, 0),
                 lambda: nn.InstanceNorm2d(0), lambda: nn.LayerNorm(()),
                 lambda: nn.LayerNorm((3, 0))):
        with pytest.raises(ShapeError, match=r"GroupNorm|InstanceNorm2d|LayerNorm"):
            make()


def test_a_single_value_cannot_be_normalised():
    """Its result would be 0 whatever it is: in training and in evaluation."""
    for layer, x in ((nn.InstanceNorm2d(3), ndl.ones(4, 3, 1, 1)),
                     (nn.InstanceNorm2d(3).eval(), ndl.ones(4, 3, 1, 1)),
                     (nn.InstanceNorm2d(3), ndl.ones(4, 3, 0, 5)),
                     (nn.GroupNorm(3, 3), ndl.ones(4, 3, 1, 1)),
                     (nn.LayerNorm(1), ndl.ones(4, 1))):
        with pytest.raises(ShapeError, match="wants more than one value to normalise over"):
            layer(x)
    nn.GroupNorm(1, 3)(ndl.ones(4, 3, 1, 1))  # three values
    nn.InstanceNorm2d(3)(ndl.ones(4, 3, 1, 2))


@each_layer
def test_an_eps_that_is_a_momentum_is_refused(make):
    for eps in (0.8, 0.011, -1e-5):
        with pytest.raises(ValueError, match="eps must be between 0 and"):
            make(eps=eps)
    assert make(eps=0.01).eps == 0.01


def test_what_has_a_default_goes_by_keyword():
    for make in (lambda: nn.InstanceNorm2d(4, 1e-5), lambda: nn.GroupNorm(2, 4, 1e-5),
                 lambda: nn.LayerNorm(4, 1e-5)):
        with pytest.raises(TypeError, match="positional"):
            make()


@each_layer
def test_training_evaluation_and_a_batch_of_one_are_the_same(make):
    """Each example is normalised by itself."""
    rng = np.random.default_rng(0)
    layer = with_affine(make(), rng)
    x = ndl.Tensor(rng.standard_normal((3, 4, 3, 2)))
    y = layer(x).numpy()
    np.testing.assert_array_equal(layer.eval()(x).numpy(), y)
    np.testing.assert_allclose(layer(x[1:2]).numpy(), y[1:2], rtol=1e-6, atol=1e-6)
    assert [name for name, _ in layer.named_buffers()] == []


@each_layer
def test_an_empty_batch_passes_and_teaches_nothing(make):
    layer, x = make(), ndl.Tensor(np.zeros((0, 4, 3, 2)))
    y = layer(x)
    assert y.shape == (0, 4, 3, 2)
    y.sum().backward()
    assert x.grad.shape == x.shape
    for p in layer.parameters():
        np.testing.assert_array_equal(p.grad.numpy(), np.zeros(p.shape))


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(make, dtype):
    rng = np.random.default_rng(0)
    layer = with_affine(make(dtype=dtype), rng)
    x = ndl.Tensor(rng.standard_normal((2, 4, 3, 2)), dtype=dtype)
    y = layer(x)
    up = ndl.Tensor(rng.standard_normal(y.shape), dtype=dtype)
    first = ndl.grad(y, [x, *layer.parameters()], up, create_graph=True)
    second = ndl.grad((first[0] * first[0]).sum(), [x, layer.weight])
    assert {str(t.dtype) for t in (y, *first, *second)} == {dtype}


@each_layer
def test_float32_is_near_float64(make):
    """Images with a large mean: the variance is taken after the mean is subtracted."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 4, 3, 2)) + 1000).astype("float32")
    got = make()(ndl.Tensor(x)).numpy()
    want = make(dtype="float64")(ndl.Tensor(x, dtype="float64")).numpy()
    np.testing.assert_allclose(got, want, atol=2e-3)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "flipped", "every second"])
@each_layer
def test_memory_layouts(make, layout):
    """Equal values and gradients; images whose channels come last in memory stay so."""
    rng = np.random.default_rng(0)
    layer = with_affine(make(dtype="float64"), rng)
    a, up = rng.standard_normal((2, 2, 4, 3, 2))
    plain, x = in_memory(a, "nchw"), in_memory(a, layout)
    y, want = layer(x), layer(plain)
    np.testing.assert_allclose(y.numpy(), want.numpy(), atol=1e-13)
    for g, h in zip(ndl.grad(y, [x, *layer.parameters()], in_memory(up, layout)),
                    ndl.grad(want, [plain, *layer.parameters()], in_memory(up, "nchw")),
                    strict=True):
        np.testing.assert_allclose(g.numpy(), h.numpy(), atol=1e-12)
    if layout == "nhwc" and not isinstance(layer, nn.LayerNorm):
        assert y.cached_data.transpose(0, 2, 3, 1).flags.c_contiguous


# ------------------------------------------------------------------------------- states and copies


@each_layer
def test_state_round_trip(make):
    rng = np.random.default_rng(0)
    source, target = with_affine(make(), rng), make()
    assert list(source.state_dict()) == ["weight", "bias"]
    target.load_state_dict(source.state_dict())
    x = ndl.Tensor(rng.standard_normal((2, 4, 3, 2)))
    np.testing.assert_array_equal(target(x).numpy(), source(x).numpy())


@each_layer
def test_deep_copies_and_moving_averages_are_apart(make):
    rng = np.random.default_rng(0)
    layer = with_affine(make(), rng)
    x = ndl.Tensor(rng.standard_normal((2, 4, 3, 2)))
    before = layer(x).numpy()
    twin, ema = copy.deepcopy(layer), ndl.optim.EMA(layer, decay=0.5)
    for p in layer.parameters():
        p.data = p + 1.0
    np.testing.assert_array_equal(twin(x).numpy(), before)
    ema.update()
    np.testing.assert_allclose(
        ema.module(x).numpy(), (before + layer(x).numpy()) / 2, rtol=1e-5, atol=1e-5)


def test_reprs():
    assert repr(nn.InstanceNorm2d(3)) == "InstanceNorm2d(3, eps=1e-05, affine=False)"
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True)"
    assert repr(nn.LayerNorm((4, 2))) == "LayerNorm((4, 2), eps=1e-05, affine=True)"


# ----------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("kind", ["instance", "instance affine", "group", "layer"])
def test_against_torch(kind):
    torch = pytest.importorskip("torch", reason=WITHOUT_TORCH)
    rng = np.random.default_rng(0)
    ours, theirs = {
        "instance": lambda: (nn.InstanceNorm2d(6), torch.nn.InstanceNorm2d(6)),
        "instance affine": lambda: (nn.InstanceNorm2d(6, affine=True),
                                    torch.nn.InstanceNorm2d(6, affine=True)),
        "group": lambda: (nn.GroupNorm(3, 6), torch.nn.GroupNorm(3, 6)),
        "layer": lambda: (nn.LayerNorm((5, 4)), torch.nn.LayerNorm((5, 4))),
    }[kind]()
    with_affine(ours, rng)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    a, up = rng.standard_normal((2, 3, 6, 5, 4)).astype("float32")
    x, t = ndl.Tensor(a), torch.tensor(a, requires_grad=True)
    y, want = ours(x), theirs(t)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-5)
    want.backward(torch.tensor(up))
    y.backward(ndl.Tensor(up))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-4, atol=1e-5)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-4)
