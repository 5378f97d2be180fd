"""Reference and virtual batch norm against loops, their independence of the batch, and limits."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn
from minigrad.errors import ShapeError

Array = np.ndarray
KINDS = {"reference": nn.ReferenceBatchNorm2d, "virtual": nn.VirtualBatchNorm2d}
each_kind = pytest.mark.parametrize("kind", KINDS)


def oracle(x: Array, r: int, eps: float, virtual: bool) -> Array:
    """One channel of one image after the other, by the values that its statistics are taken of."""
    out = np.zeros(x.shape)
    for i in range(len(x)):
        seen = [*range(r), i] if virtual and i >= r else [*range(r)]
        for c in range(x.shape[1]):
            values = np.concatenate([x[j, c].ravel() for j in seen])
            out[i, c] = (x[i, c] - values.mean()) / np.sqrt(values.var() + eps)
    return out


def with_affine(layer: nn.Module, rng: np.random.Generator) -> nn.Module:
    """The layer with a weight and bias that are not 1 and 0."""
    for p in layer.parameters():
        p.data = ndl.Tensor(rng.standard_normal(p.shape), dtype=p.dtype)
    return layer


def float64(a: Array) -> ndl.Tensor:
    return ndl.Tensor(a, dtype="float64")


# ----------------------------------------------------------------------------------------- values


@given(kind=st.sampled_from(sorted(KINDS)), r=st.integers(1, 4), n=st.integers(1, 3),
       c=st.integers(1, 3), h=st.integers(1, 3), w=st.integers(2, 3),
       eps=st.sampled_from([1e-5, 1e-2, 1e-9]), seed=st.integers(0, 999))
def test_values(kind, r, n, c, h, w, eps, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((r + n, c, h, w)) * 3 + rng.standard_normal((r + n, c, 1, 1)) * 5
    layer = with_affine(KINDS[kind](c, r, eps=eps, dtype="float64"), rng)
    want = (oracle(x, r, eps, kind == "virtual") * layer.weight.numpy().reshape(c, 1, 1)
            + layer.bias.numpy().reshape(c, 1, 1))
    # rounding in x grows by up to 1 / sqrt(var + eps)
    np.testing.assert_allclose(layer(float64(x)).numpy(), want, rtol=1e-8, atol=1e-8)


def test_virtual_statistics_are_those_of_reference_and_sample_together():
    """BatchNorm2d in training, fed with the reference batch and one sample, says the same."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3, 4, 4)) + rng.standard_normal((6, 3, 1, 1))
    got = nn.VirtualBatchNorm2d(3, 4, dtype="float64")(float64(x)).numpy()
    for i in (4, 5):
        together = nn.BatchNorm2d(3, dtype="float64")(float64(x[[0, 1, 2, 3, i]])).numpy()
        np.testing.assert_allclose(got[i], together[4], atol=1e-12)
    alone = nn.BatchNorm2d(3, dtype="float64")(float64(x[:4])).numpy()
    np.testing.assert_allclose(got[:4], alone, atol=1e-12)


def test_the_kinds_differ_and_come_together_in_large_reference_batches():
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((1, 2, 4, 4)) * 2 + 3
    gaps = []
    for r in (1, 16, 256):
        x = float64(np.concatenate([rng.standard_normal((r, 2, 4, 4)), sample]))
        a, b = (kind(2, r, dtype="float64")(x).numpy() for kind in KINDS.values())
        np.testing.assert_array_equal(a[:r], b[:r])
        gaps.append(np.abs(a[r:] - b[r:]).max())
    assert gaps[0] > gaps[1] > 4 * gaps[2] > 0


# ------------------------------------------------------------------------------- other neighbours


@each_kind
def test_same_sample_in_another_batch_is_the_same(kind):
    rng = np.random.default_rng(0)
    layer = with_affine(KINDS[kind](3, 5), rng)
    first, mine = rng.standard_normal((5, 3, 4, 4)), rng.standard_normal((1, 3, 4, 4))
    seen = []
    for others in (0, 1, 7, 30):
        rest = [mine, rng.standard_normal((others, 3, 4, 4)) * 9 + 5]
        seen.append(layer(ndl.Tensor(np.concatenate([first, *rest]))).numpy()[5])
        moved = ndl.Tensor(np.concatenate([first, *rest[::-1]]))
        seen.append(layer(moved).numpy()[-1])
    for other in seen[1:]:
        np.testing.assert_array_equal(other, seen[0])
    batch_norm = nn.BatchNorm2d(3)  # what all this is about
    a, b = (batch_norm(ndl.Tensor(np.concatenate([first[:k], mine]))).numpy()[-1] for k in (2, 4))
    assert np.abs(a - b).max() > 0.05


@each_kind
def test_a_sample_gets_no_gradient_from_its_neighbours(kind):
    rng = np.random.default_rng(0)
    layer, x = KINDS[kind](2, 3), ndl.Tensor(rng.standard_normal((6, 2, 3, 3)))
    y = layer(x)
    g = ndl.grad((y[4] * ndl.Tensor(rng.standard_normal((2, 3, 3)))).sum(), x).numpy()
    moved = np.abs(g).max((1, 2, 3)) > 1e-6
    assert moved.tolist() == [True, True, True, False, True, False]


@each_kind
def test_training_and_evaluation_are_the_same(kind):
    rng = np.random.default_rng(0)
    layer, x = KINDS[kind](2, 3), ndl.Tensor(rng.standard_normal((5, 2, 3, 3)))
    np.testing.assert_array_equal(layer(x).numpy(), layer.eval()(x).numpy())


# -------------------------------------------------------------------------------------- gradients


@settings(max_examples=6)
@given(kind=st.sampled_from(sorted(KINDS)), r=st.integers(1, 2), n=st.integers(1, 2),
       c=st.integers(1, 2), seed=st.integers(0, 999))
def test_gradients_of_both_orders(kind, r, n, c, seed):
    rng = np.random.default_rng(seed)
    layer = KINDS[kind](c, r, eps=1e-2, dtype="float64")

    def f(x: ndl.Tensor, weight: ndl.Tensor, bias: ndl.Tensor) -> ndl.Tensor:
        return nn.functional_call(layer, {"weight": weight, "bias": bias}, x)

    ndl.gradcheck(f, rng.standard_normal((r + n, c, 1, 3)), rng.standard_normal(c),
                  rng.standard_normal(c))


@each_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(kind, dtype):
    rng = np.random.default_rng(0)
    layer = with_affine(KINDS[kind](4, 2, dtype=dtype), rng)
    x = ndl.Tensor(rng.standard_normal((3, 4, 3, 2)), dtype=dtype)
    y = layer(x)
    up = ndl.Tensor(rng.standard_normal(y.shape), dtype=dtype)
    first = ndl.grad(y, [x, *layer.parameters()], up, create_graph=True)
    second = ndl.grad((first[0] * first[0]).sum(), [x, layer.weight])
    assert {str(t.dtype) for t in (y, *first, *second)} == {dtype}


@each_kind
def test_float32_is_near_float64_where_the_mean_is_large(kind):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((5, 4, 3, 2)) + 1000).astype("float32")
    got = KINDS[kind](4, 3)(ndl.Tensor(x)).numpy()
    want = KINDS[kind](4, 3, dtype="float64")(float64(x)).numpy()
    np.testing.assert_allclose(got, want, atol=2e-3)


# ------------------------------------------------------------------------------- what is refused


@each_kind
def test_wrong_inputs_are_refused(kind):
    layer, name = KINDS[kind](3, 4), KINDS[kind].__name__
    for shape in ((6, 3, 4), (6, 2, 4, 4), (3,), (6, 3, 4, 4, 4)):
        with pytest.raises(ShapeError, match=rf"{name}: wants \(n, 3, h, w\), got shape"):
            layer(ndl.ones(*shape))
    for n in (0, 3, 4):
        with pytest.raises(ShapeError, match=rf"{name}: wants more than the 4 images .* got shape "
                                             rf"\({n}, 3, 2, 2\); WithReference"):
            layer(ndl.ones(n, 3, 2, 2))
    for x in (ndl.ones(5, 3, 1, 1), ndl.ones(5, 3, 0, 2)):
        with pytest.raises(ShapeError, match="two or more values in each channel"):
            KINDS[kind](3, 1)(x)
    layer(ndl.ones(5, 3, 1, 1))  # four values


@each_kind
def test_impossible_settings_are_refused(kind):
    for sizes in ((0, 4), (3, 0), (3, -1)):
        with pytest.raises(ShapeError, match=f"{KINDS[kind].__name__}: features and reference"):
            KINDS[kind](*sizes)
    with pytest.raises(ValueError, match="is that the momentum"):
        KINDS[kind](3, 4, eps=0.8)
    with pytest.raises(TypeError, match="positional"):
        KINDS[kind](3, 4, 1e-5)


# -------------------------------------------------------------------------------------- networks


def network(rng: np.random.Generator) -> nn.Module:
    ndl.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 12), nn.Reshape(3, 2, 2), nn.BatchNorm2d(3), nn.ReLU(),
                        nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1),
                                                  nn.BatchNorm2d(3, 1e-4))))
    for layer in (net[2], net[4].fn[1]):
        with_affine(layer, rng)
    return net


@each_kind
def test_a_network_with_a_reference_batch(kind):
    rng = np.random.default_rng(0)
    first = ndl.Tensor(rng.standard_normal((4, 5)))
    inner = nn.replace_batch_norm(network(rng), lambda c: KINDS[kind](c, 4))
    net = nn.WithReference(inner, first)
    z = rng.standard_normal((3, 5))
    y = net(ndl.Tensor(z)).numpy()
    assert y.shape == (3, 3, 2, 2)
    both = inner(ndl.Tensor(np.concatenate([first.numpy(), z]))).numpy()
    np.testing.assert_array_equal(y, both[4:])
    np.testing.assert_allclose(net(ndl.Tensor(z[1:2])).numpy(), y[1:2], atol=1e-6)
    first.data = first * 0  # the network has a copy of its own
    np.testing.assert_array_equal(net(ndl.Tensor(z)).numpy(), y)


def test_a_network_with_a_reference_batch_learns():
    """The gradient goes through the rows of the reference batch, too."""
    rng = np.random.default_rng(0)
    first, z = rng.standard_normal((2, 5)), float64(rng.standard_normal((2, 5)))
    inner = nn.Sequential(nn.Linear(5, 4, dtype="float64"), nn.Reshape(1, 2, 2),
                          nn.VirtualBatchNorm2d(1, 2, eps=1e-2, dtype="float64"))
    net = nn.WithReference(inner, float64(first))
    weight = inner[0].weight
    ndl.gradcheck(lambda w: nn.functional_call(net, {"net.layers.0.weight": w}, z), weight)


def test_what_a_network_with_a_reference_batch_refuses():
    net = nn.WithReference(nn.Identity(), ndl.ones(4, 5))
    for shape in ((3, 6), (3,), (3, 5, 1), ()):
        with pytest.raises(ShapeError, match=r"WithReference: wants rows of shape \(5,\)"):
            net(ndl.ones(*shape))
    for shape in ((0, 5), ()):
        with pytest.raises(ShapeError, match="WithReference: wants one or more reference inputs"):
            nn.WithReference(nn.Identity(), ndl.ones(*shape))


def test_batch_norms_are_replaced_in_a_copy():
    net = network(np.random.default_rng(0))
    before = net.state_dict()
    other = nn.replace_batch_norm(net, lambda c: nn.ReferenceBatchNorm2d(c, 8))
    kinds = [type(m).__name__ for _, m in other.named_modules()]
    assert kinds.count("ReferenceBatchNorm2d") == 2 and "BatchNorm2d" not in kinds
    state = other.state_dict()
    assert set(before) - set(state) == {
        f"{path}.running_{what}" for path in ("layers.2", "layers.4.fn.layers.1")
        for what in ("mean", "var")}
    for path, array in state.items():
        np.testing.assert_array_equal(array, before[path])
    for p in other.parameters():
        p.data = p + 1.0
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    alone = nn.replace_batch_norm(nn.BatchNorm2d(3), lambda c: nn.VirtualBatchNorm2d(c, 2))
    assert isinstance(alone, nn.VirtualBatchNorm2d)


# ------------------------------------------------------------------------------- states and copies


def test_state_round_trip():
    rng = np.random.default_rng(0)
    nets = [nn.WithReference(nn.replace_batch_norm(network(rng),
                                                   lambda c: nn.VirtualBatchNorm2d(c, 4)),
                             ndl.Tensor(rng.standard_normal((4, 5)))) for _ in range(2)]
    source, target = nets
    assert "reference" in source.state_dict()
    x = ndl.Tensor(rng.standard_normal((2, 5)))
    assert np.abs(target(x).numpy() - source(x).numpy()).max() > 1e-3
    target.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(target(x).numpy(), source(x).numpy())
    ema = ndl.optim.EMA(source, decay=0.5)
    ema.update()
    np.testing.assert_allclose(ema.module(x).numpy(), source(x).numpy(), atol=1e-6)
    assert np.abs(copy.deepcopy(source)(x).numpy() - source(x).numpy()).max() == 0


def test_reprs():
    assert repr(nn.ReferenceBatchNorm2d(3, 8)) == "ReferenceBatchNorm2d(3, 8, eps=1e-05)"
    assert repr(nn.VirtualBatchNorm2d(3, 8)) == "VirtualBatchNorm2d(3, 8, eps=1e-05)"
    assert repr(nn.WithReference(nn.Identity(), ndl.ones(4, 5))) == (
        "WithReference(reference=(4, 5)\n  (net): Identity()\n)")
