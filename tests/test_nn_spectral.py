"""Spectral normalisation against singular values, PyTorch's and its own differences."""

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
WITHOUT_TORCH = "PyTorch is an optional oracle"


def as_matrix(layer: nn.Module) -> Array:
    """A row for each output, from the definition of each layer's weight."""
    w = layer.weight.numpy().astype(float)
    if isinstance(layer, nn.Linear | nn.Embedding):
        return w.T
    if isinstance(layer, nn.ConvTranspose2d):
        return np.stack([w[:, o].ravel() for o in range(w.shape[1])])
    if isinstance(layer, nn.Conv):
        return np.stack([w[..., o].ravel() for o in range(w.shape[3])])
    return np.stack([w[o].ravel() for o in range(w.shape[0])])


def norm_of(layer: nn.Module) -> float:
    return float(np.linalg.svd(as_matrix(layer), compute_uv=False)[0])


LAYERS = {
    "linear": (lambda **o: nn.Linear(5, 3, **o), (4, 5)),
    "linear wide": (lambda **o: nn.Linear(3, 6, bias=False, **o), (4, 3)),
    "conv": (lambda **o: nn.Conv2d(2, 3, 3, padding=1, **o), (2, 2, 4, 4)),
    "transposed": (lambda **o: nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1, **o), (2, 3, 2, 2)),
    "course": (lambda **o: nn.Conv(2, 3, 3, **o), (2, 2, 4, 4)),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def wrapped(name: str, **options) -> tuple[nn.SpectralNorm, ndl.Tensor]:
    """A layer of seed 0, and an input for it."""
    make, shape = LAYERS[name]
    ndl.manual_seed(0)
    layer = make(**options)
    x = np.random.default_rng(0).standard_normal(shape)
    return nn.SpectralNorm(layer), ndl.Tensor(x, dtype=options.get("dtype", "float32"))


def settle(sn: nn.SpectralNorm, x: ndl.Tensor, passes: int = 300) -> nn.SpectralNorm:
    with ndl.no_grad():
        for _ in range(passes):
            sn(x)
    return sn


# ------------------------------------------------------------------------------------------ values


@each_layer
def test_sigma_becomes_the_largest_singular_value(name):
    sn, x = wrapped(name, dtype="float64")
    w = sn.module.weight.numpy()
    settle(sn, x)
    np.testing.assert_allclose(sn.sigma().item(), norm_of(sn.module), rtol=1e-9)
    np.testing.assert_array_equal(sn.module.weight.numpy(), w)  # the parameter stays as it is
    y = sn(x).numpy()
    sn.module.weight.data = ndl.Tensor(w / norm_of(sn.module), dtype="float64")
    np.testing.assert_allclose(y, sn.module(x).numpy(), rtol=1e-8, atol=1e-12)
    assert norm_of(sn.module) == pytest.approx(1)
    for b in (sn.u, sn.v):
        np.testing.assert_allclose((b.numpy() ** 2).sum(), 1, rtol=1e-12)


@settings(max_examples=20)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), scale=st.sampled_from([1e-3, 1.0, 1e4]),
       steps=st.integers(1, 3), seed=st.integers(0, 9999))
def test_steps_of_the_power_method(rows, columns, scale, steps, seed):
    """As in Algorithm 1: v from u, then u from v; sigma never exceeds the true norm."""
    rng = np.random.default_rng(seed)
    layer = nn.Linear(columns, rows, dtype="float64")
    layer.weight.data = ndl.Tensor(rng.standard_normal((columns, rows)) * scale, dtype="float64")
    sn = nn.SpectralNorm(layer, n_power_iterations=steps)
    m, u = as_matrix(layer), sn.u.numpy()
    x = rng.standard_normal((2, columns))
    for _ in range(2):
        y = sn(ndl.Tensor(x, dtype="float64")).numpy()
        for _ in range(steps):
            v = m.T @ u / np.linalg.norm(m.T @ u)
            u = m @ v / np.linalg.norm(m @ v)
        np.testing.assert_allclose(sn.u.numpy(), u, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(sn.v.numpy(), v, rtol=1e-7, atol=1e-9)
        sigma = u @ m @ v
        assert sigma <= norm_of(layer) * (1 + 1e-12)
        np.testing.assert_allclose(y, x @ (m / sigma).T + layer.bias.numpy(), rtol=1e-7, atol=1e-9)


def test_sigma_is_close_from_the_first_step_on():
    ndl.manual_seed(3)
    for layer in (nn.Linear(64, 32), nn.Conv2d(16, 24, 3)):
        sn = nn.SpectralNorm(layer)
        assert 0.93 * norm_of(layer) < sn.sigma().item() <= norm_of(layer) * 1.00001


def test_a_row_of_a_matrix_is_an_output():
    """Other ways to lay the weight out as a matrix have other singular values."""
    shapes = {"conv": (3, 18), "transposed": (2, 48), "course": (3, 18), "linear": (3, 5)}
    for name, (rows, columns) in shapes.items():
        sn, _ = wrapped(name)
        assert (sn.u.shape, sn.v.shape) == ((rows,), (columns,))
    sn, x = wrapped("transposed", dtype="float64")
    wrong = np.linalg.svd(sn.module.weight.numpy().reshape(3, -1), compute_uv=False)[0]
    assert abs(settle(sn, x).sigma().item() - wrong) > 1e-2


def test_the_result_does_not_depend_on_the_scale_of_the_weight():
    sn, x = wrapped("conv", dtype="float64")
    sn.module.bias.data = ndl.zeros(3, dtype="float64")
    settle(sn, x).eval()
    y = sn(x).numpy()
    sn.module.weight.data = sn.module.weight.data * 7.0
    np.testing.assert_allclose(sn(x).numpy(), y, rtol=1e-12)


def test_any_layer_with_a_weight():
    layer = nn.Embedding(6, 3)
    sn = nn.SpectralNorm(layer)
    np.testing.assert_allclose(
        sn([[1, 5]]).numpy(), layer.weight.numpy()[[[1, 5]]] / sn.sigma().item(), rtol=1e-5)


# --------------------------------------------------------------------------------------- gradients


@each_layer
def test_gradients_of_both_orders(name):
    """In evaluation, where u and v are constants; in training they move with each call."""
    sn, x = wrapped(name, dtype="float64")
    sn.eval()
    paths = [path for path, _ in sn.named_parameters()]
    values = [p.numpy() for p in sn.parameters()]

    def f(image, *params):
        return nn.functional_call(sn, dict(zip(paths, params, strict=True)), image)

    ndl.gradcheck(f, x.numpy()[:1], *values)


def test_the_gradient_by_the_papers_formula():
    """(g - (sum of g * W / sigma) u v^T) / sigma, for the gradient g of the divided weight."""
    sn, x = wrapped("linear", dtype="float64")
    up = np.random.default_rng(1).standard_normal((4, 3))
    y = sn(x)
    sigma, u, v = sn.sigma().item(), sn.u.numpy(), sn.v.numpy()
    got = ndl.grad(y, sn.module.weight, ndl.Tensor(up, dtype="float64")).numpy()
    g = x.numpy().T @ up
    w = sn.module.weight.numpy()
    want = (g - (g * w / sigma).sum() * np.outer(v, u)) / sigma
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    assert abs((got * w).sum()) < 1e-10  # the scale of the weight does not matter


def test_two_passes_in_training_then_a_backward_pass():
    """The first graph keeps the u and v that it read, though the second pass moved them."""
    sn, x = wrapped("linear", dtype="float64")
    up = ndl.Tensor(np.random.default_rng(1).standard_normal((4, 3)), dtype="float64")
    start = sn.state_dict()
    alone = ndl.grad(sn(x), sn.module.weight, up).numpy()
    sn.load_state_dict(start)
    first = sn(x)
    held, values = (sn.u, sn.v), (sn.u.numpy(), sn.v.numpy())
    sn(x + 1.0)
    assert held[0] is not sn.u and held[1] is not sn.v
    for b, value in zip(held, values, strict=True):
        np.testing.assert_array_equal(b.numpy(), value)
    np.testing.assert_array_equal(ndl.grad(first, sn.module.weight, up).numpy(), alone)


def test_buffers_hold_no_graph():
    sn, x = wrapped("linear")
    for _ in range(3):
        sn(x)
    for b in (sn.u, sn.v):
        assert type(b) is nn.Buffer
        assert b.is_leaf() and b.inputs == () and not b.requires_grad


def test_training_through_the_parameter():
    """An optimizer of the wrapped layer's weight: the loss falls, the norm stays bounded."""
    ndl.manual_seed(0)
    net = nn.Sequential(nn.SpectralNorm(nn.Linear(2, 16)), nn.ReLU(),
                        nn.SpectralNorm(nn.Linear(16, 1)))
    opt = ndl.optim.Adam(net.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 2))
    target = ndl.Tensor(np.abs(x[:, :1]) * 0.5)
    losses = []
    for _ in range(150):
        loss = nn.MSELoss()(net(ndl.Tensor(x)), target)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    for sn in (net[0], net[2]):
        assert sn.sigma().item() == pytest.approx(norm_of(sn.module), rel=0.02)


def test_steps_inside_a_graph():
    """The weight may be the result of operations: the unrolled GAN calls D so."""
    sn, x = wrapped("linear", dtype="float64")
    sn.eval()
    start = {path: ndl.Tensor(p.numpy(), dtype="float64") for path, p in sn.named_parameters()}
    loss = (nn.functional_call(sn, start, x) ** 2).sum()
    grads = ndl.grad(loss, list(start.values()), create_graph=True)
    stepped = ndl.optim.sgd_step(start, dict(zip(start, grads, strict=True)), 0.1)
    sn.train()
    after = (nn.functional_call(sn, stepped, x) ** 2).sum()
    assert np.abs(ndl.grad(after, start["module.weight"]).numpy()).max() > 0
    assert isinstance(sn.module.weight, nn.Parameter)


# ------------------------------------------------------------------------ modes, states and copies


@each_layer
def test_evaluation_moves_nothing(name):
    sn, x = wrapped(name)
    sn(x)
    sn.eval()
    u, v, y = sn.u, sn.v, sn(x).numpy()
    np.testing.assert_array_equal(sn(x).numpy(), y)
    assert sn.u is u and sn.v is v
    sn.train()(x)
    assert sn.u is not u and sn.v is not v
    assert not sn.eval().module.training


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(name, dtype):
    ndl.set_default_dtype("float64" if dtype == "float32" else "float32")  # not the layer's
    sn, x = wrapped(name, dtype=dtype)
    y = sn(x)
    grads = ndl.grad((y * y).sum(), [x, *sn.parameters()], create_graph=True)
    second = ndl.grad((grads[0] * grads[0]).sum(), sn.module.weight)
    found = (y, sn.sigma(), sn.u, sn.v, *grads, second)
    assert {str(t.dtype) for t in found} == {dtype}


@each_layer
def test_batch_of_one(name):
    sn, x = wrapped(name)
    sn.eval()
    np.testing.assert_allclose(sn(x[:1]).numpy(), sn(x).numpy()[:1], rtol=1e-5, atol=1e-6)


def test_an_empty_batch_is_left_to_the_wrapped_module():
    """Linear takes it and learns nothing; a convolution refuses it."""
    sn, x = wrapped("linear")
    y = sn(x[:0])
    assert y.shape == (0, 3)
    y.sum().backward()
    np.testing.assert_array_equal(sn.module.weight.grad.numpy(), np.zeros((5, 3)))
    sn, x = wrapped("conv")
    with pytest.raises(ShapeError, match="Conv2d"):
        sn(x[:0])


@each_layer
def test_state_round_trip(name):
    source, x = wrapped(name)
    settle(source, x, 3)
    ndl.manual_seed(99)
    target = nn.SpectralNorm(LAYERS[name][0]())
    bias = [] if source.module.bias is None else ["module.bias"]
    assert list(source.state_dict()) == ["module.weight", *bias, "u", "v"]
    target.load_state_dict(source.state_dict())
    for _ in range(2):
        np.testing.assert_array_equal(target(x).numpy(), source(x).numpy())


def test_the_parameters_are_the_wrapped_modules_own():
    layer = nn.Linear(3, 2)
    sn = nn.SpectralNorm(layer)
    assert sn.parameters()[0] is layer.weight and sn.module is layer
    before = layer.weight
    sn(ndl.ones(1, 3))
    assert layer.weight is before


@each_layer
def test_deep_copies_and_moving_averages_are_apart(name):
    sn, x = wrapped(name)
    twin, ema = copy.deepcopy(sn), ndl.optim.EMA(sn, decay=0.0)
    y = sn.eval()(x).numpy()
    np.testing.assert_array_equal(twin.eval()(x).numpy(), y)
    sn.train().module.weight.data = sn.module.weight.data + 1.0
    sn(x)
    np.testing.assert_array_equal(twin(x).numpy(), y)
    ema.update()
    np.testing.assert_array_equal(ema.module.u.numpy(), sn.u.numpy())
    np.testing.assert_allclose(
        ema.module.eval()(x).numpy(), sn.eval()(x).numpy(), rtol=1e-5, atol=1e-6)


def test_the_weight_comes_back_after_an_error():
    sn = nn.SpectralNorm(nn.Linear(3, 2))
    own = sn.module.weight
    with pytest.raises(ShapeError):
        sn(ndl.ones(2, 4))
    assert sn.module.weight is own


def test_what_cannot_be_wrapped():
    constant_weight = nn.Identity()
    constant_weight.weight = ndl.ones(2, 2)
    for module in (nn.ReLU(), nn.Sequential(nn.Linear(1, 1)), nn.SpectralNorm(nn.Linear(1, 1)),
                   nn.InstanceNorm2d(3), constant_weight):
        with pytest.raises(TypeError, match="wants a module with a parameter named weight"):
            nn.SpectralNorm(module)
    empty = nn.Linear(2, 2)
    empty.weight = nn.Parameter(np.zeros((0, 2)))
    for module in (nn.BatchNorm1d(3), empty):
        with pytest.raises(ShapeError, match="two or more axes"):
            nn.SpectralNorm(module)
    with pytest.raises(ValueError, match="n_power_iterations must be at least 1"):
        nn.SpectralNorm(nn.Linear(1, 1), n_power_iterations=0)
    with pytest.raises(TypeError, match="positional"):
        nn.SpectralNorm(nn.Linear(1, 1), 2)


def test_repr():
    assert repr(nn.SpectralNorm(nn.Linear(2, 3))) == "SpectralNorm(\n  (module): Linear(2, 3)\n)"
    assert "n_power_iterations=2" in repr(nn.SpectralNorm(nn.Linear(2, 3), n_power_iterations=2))


# ----------------------------------------------------------------------------------------- PyTorch


@pytest.mark.parametrize("name", ["linear", "conv", "transposed"])
def test_against_torch(name):
    """With equal u and v: equal results and gradients, layer by layer."""
    torch = pytest.importorskip("torch", reason=WITHOUT_TORCH)
    sn, x = wrapped(name, dtype="float64")
    layer = {"linear": lambda: torch.nn.Linear(5, 3), "conv": lambda: torch.nn.Conv2d(
        2, 3, 3, padding=1), "transposed": lambda: torch.nn.ConvTranspose2d(
        3, 2, 4, stride=2, padding=1)}[name]().double()
    w = sn.module.weight.numpy()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(w.T if name == "linear" else w))
        layer.bias.copy_(torch.tensor(sn.module.bias.numpy().ravel()))
    theirs = torch.nn.utils.parametrizations.spectral_norm(layer)
    settle(sn, x)
    t = torch.tensor(x.numpy(), requires_grad=True)
    for _ in range(300):
        want = theirs(t)
    y = sn(x)
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-8, atol=1e-10)
    up = np.random.default_rng(1).standard_normal(y.shape)
    want.backward(torch.tensor(up))
    y.backward(ndl.Tensor(up, dtype="float64"))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-7, atol=1e-10)
    g = layer.parametrizations.weight.original.grad.numpy()
    np.testing.assert_allclose(
        sn.module.weight.grad.numpy(), g.T if name == "linear" else g, rtol=1e-7, atol=1e-9)


def test_step_by_step_against_torch():
    """PyTorch takes u from v first; on the transposed weight this is the paper's order."""
    torch = pytest.importorskip("torch", reason=WITHOUT_TORCH)
    sn, x = wrapped("linear", dtype="float64")
    layer = torch.nn.Linear(3, 5, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(sn.module.weight.numpy()))
    theirs = torch.nn.utils.parametrizations.spectral_norm(layer)
    method = theirs.parametrizations.weight[0]
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal(3), rng.standard_normal(5)
    sn.u.copy_(u / np.linalg.norm(u))
    with torch.no_grad():
        method._v.copy_(torch.tensor(u / np.linalg.norm(u)))
        method._u.copy_(torch.tensor(v / np.linalg.norm(v)))
    for _ in range(3):
        sn(x)
        divided = theirs.weight.detach().numpy()
        np.testing.assert_allclose(sn.u.numpy(), method._v.numpy(), rtol=1e-12)
        np.testing.assert_allclose(sn.v.numpy(), method._u.numpy(), rtol=1e-12)
        np.testing.assert_allclose(
            sn.module.weight.numpy() / sn.sigma().item(), divided, rtol=1e-12)
