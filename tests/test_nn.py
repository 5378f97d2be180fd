"""Modules: paths and states, modes, functional_call, normalisation, dropout and losses."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn
from minigrad.errors import DTypeError, ShapeError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def tensor(rng: np.random.Generator, *shape: int, **options) -> ndl.Tensor:
    return ndl.Tensor(rng.standard_normal(shape), **options)


class Nested(nn.Module):
    """Members directly, in lists, tuples, dictionaries, and one of them twice."""

    def __init__(self) -> None:
        self.first = nn.Linear(2, 3)
        self.scale = nn.Parameter([1.5])
        self.many = [nn.Linear(3, 3, bias=False), {"norm": nn.BatchNorm1d(3), 7: (nn.ReLU(),)}]
        self.pair = (nn.Parameter([0.5]), [nn.Parameter([0.25])])
        self.again = self.first
        self.note = "not a tensor"
        self.plain = ndl.Tensor([9.0])  # neither a Parameter nor a Buffer

    def forward(self, x):
        x = self.first(x) * self.scale
        norm, (act,) = self.many[1]["norm"], self.many[1][7]
        x = act(norm(self.many[0](x)))
        return x * self.pair[0] + self.pair[1][0]


NESTED_PARAMETERS = ["scale", "pair.0", "pair.1.0", "first.weight", "first.bias", "many.0.weight",
                     "many.1.norm.weight", "many.1.norm.bias"]
NESTED_BUFFERS = ["many.1.norm.running_mean", "many.1.norm.running_var"]


# ------------------------------------------------------------------------------------- the tree


def test_paths_and_order():
    net = Nested()
    assert [path for path, _ in net.named_parameters()] == NESTED_PARAMETERS
    assert [path for path, _ in net.named_buffers()] == NESTED_BUFFERS
    assert [path for path, _ in net.named_modules()] == [
        "", "first", "many.0", "many.1.norm", "many.1.7.0"]
    assert [type(m).__name__ for m in net.children()] == [
        "Linear", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert list(net.state_dict()) == NESTED_PARAMETERS + NESTED_BUFFERS
    prefixed = [path for path, _ in net.named_modules("G")]
    assert prefixed == ["G", "G.first", "G.many.0", "G.many.1.norm", "G.many.1.7.0"]


def test_shared_parameters_count_once():
    net = Nested()
    assert len({id(p) for p in net.parameters()}) == len(net.parameters()) == 8
    tied = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    tied[2].weight = tied[0].weight
    assert [path for path, _ in tied.named_parameters()] == [
        "layers.0.weight", "layers.0.bias", "layers.2.bias"]
    opt = ndl.optim.SGD(tied.parameters(), lr=1.0)
    x = ndl.Tensor(np.eye(2))
    before = tied[0].weight.numpy()
    tied(x).sum().backward()
    grad = tied[0].weight.grad.numpy()
    opt.step()
    np.testing.assert_allclose(tied[2].weight.numpy(), before - grad)


def test_modules_that_contain_each_other():
    a, b = nn.Module(), nn.Module()
    a.other, b.other, b.w = b, a, nn.Parameter([1.0])
    assert [path for path, _ in a.named_modules()] == ["", "other"]
    assert [path for path, _ in a.named_parameters()] == ["other.w"]
    a.eval()
    assert not b.training


def test_state_round_trip(rng):
    source, target = Nested(), Nested()
    source(tensor(rng, 5, 2))  # moves the running statistics
    state = source.state_dict()
    target.load_state_dict(state)
    for path, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[path])
    x = tensor(rng, 4, 2)
    np.testing.assert_array_equal(target.eval()(x).numpy(), source.eval()(x).numpy())
    state["scale"][...] = 100.0  # a copy
    assert source.scale.numpy() == 1.5


def test_a_state_that_does_not_fit_changes_nothing():
    net = Nested()
    good = net.state_dict()
    cases = [
        (KeyError, "scale", {k: v for k, v in good.items() if k != "scale"}),
        (KeyError, "extra", good | {"extra": np.ones(1)}),
        (ShapeError, "many.1.norm.running_var", good | {NESTED_BUFFERS[1]: np.ones(4, "float32")}),
        (ShapeError, "scale", good | {"scale": np.ones((1, 1), "float32")}),
        (DTypeError, "scale", good | {"scale": np.ones(1, "int64")}),
    ]
    for error, name, state in cases:
        spoiled = {k: (v + 1 if v.shape == good[k].shape else v) if k in good else v
                   for k, v in state.items()}
        with pytest.raises(error, match=name):
            net.load_state_dict(spoiled)
        for path, array in net.state_dict().items():
            np.testing.assert_array_equal(array, good[path])


def test_loading_copies_in_and_keeps_the_optimizers_view(rng):
    net = nn.Linear(2, 2)
    opt = ndl.optim.SGD(net.parameters(), lr=1.0)
    array = net.weight.cached_data
    net.load_state_dict({"weight": np.eye(2), "bias": np.zeros((1, 2))})
    assert net.weight.cached_data is array
    assert array.dtype == np.float32
    net(ndl.Tensor([[1.0, 1.0]])).sum().backward()
    opt.step()
    np.testing.assert_array_equal(net.weight.numpy(), np.eye(2) - 1)


def test_loading_under_a_graph_is_noticed(rng):
    net = nn.Linear(2, 2)
    loss = net(tensor(rng, 3, 2, requires_grad=True)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(ndl.VersionError, match="Linear"):
        loss.backward()


def test_modes_and_requires_grad(rng):
    net = Nested()
    assert all(m.training for _, m in net.named_modules())
    assert net.eval() is net
    assert not any(m.training for _, m in net.named_modules())
    assert net.train() is net
    assert all(m.training for _, m in net.named_modules())
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(tensor(rng, 3, 2, requires_grad=False)).requires_grad
    x = tensor(rng, 3, 2)
    net(x).sum().backward()  # through a frozen network to its input
    assert x.grad is not None
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_()
    net(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_repr_shows_the_tree():
    text = repr(nn.Sequential(nn.Linear(2, 3, bias=False), nn.Residual(nn.LeakyReLU(0.2))))
    assert text == ("Sequential(\n  (layers.0): Linear(2, 3, bias=False)\n"
                    "  (layers.1): Residual(\n    (fn): LeakyReLU(0.2)\n  )\n)")


def test_sequential_as_a_list():
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3))
    assert len(net) == 3
    assert net[-1] is list(net)[2]
    assert isinstance(net[:2], nn.Sequential)
    assert net[1:].modules == net.modules[1:]
    assert nn.Sequential()(5) == 5
    with pytest.raises(TypeError, match="argument 1 is no Module but function"):
        nn.Sequential(nn.ReLU(), ndl.relu)


def test_forward_is_wanted():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


# ------------------------------------------------------------------------------- functional_call

Couple = namedtuple("Couple", "left right")


class Held(nn.Module):
    """Parameters in every kind of container that the tree looks into."""

    def __init__(self) -> None:
        self.direct = nn.Parameter([1.0])
        self.tuple = (nn.Parameter([2.0]), [nn.Parameter([3.0]), (nn.Parameter([4.0]),)])
        self.named = Couple(nn.Parameter([5.0]), {"x": nn.Parameter([6.0])})
        self.same = self.direct

    def forward(self, x):
        (a, (b, (c,))), n = self.tuple, self.named
        return (x * self.direct + x * a + x * b + x * c + x * n.left + x * n.right["x"]
                + x * self.same)


def test_functional_call_reaches_every_container():
    net = Held()
    before = vars(net).copy()
    paths = [path for path, _ in net.named_parameters()]
    assert paths == ["direct", "tuple.0", "tuple.1.0", "tuple.1.1.0", "named.0", "named.1.x"]
    given_ = {path: ndl.Tensor([10.0 ** i]) for i, path in enumerate(paths)}
    out = nn.functional_call(net, given_, ndl.Tensor([1.0]))
    assert out.numpy() == 111111 + 1
    assert vars(net) == before
    assert all(vars(net)[k] is v for k, v in before.items())
    assert net(ndl.Tensor([1.0])).numpy() == 21 + 1
    out.backward()
    assert [given_[path].grad.item() for path in paths] == [2, 1, 1, 1, 1, 1]
    assert net.direct.grad is None


class Broken(nn.Module):
    def __init__(self) -> None:
        self.inner = nn.Linear(1, 1)
        self.many = [nn.Parameter([1.0])]

    def forward(self, x):
        assert self.many[0].item() == 5.0
        raise KeyboardInterrupt


def test_functional_call_restores_after_any_exit():
    net = Broken()
    own = dict(net.named_parameters())
    with pytest.raises(KeyboardInterrupt):
        nn.functional_call(net, {"many.0": ndl.Tensor([5.0]), "inner.weight": ndl.ones(1, 1)}, 1)
    assert all(p is own[path] for path, p in net.named_parameters())


def test_functional_call_refuses():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x = ndl.ones(2, 2)
    with pytest.raises(KeyError, match=r"layers\.0\.wieght"):
        nn.functional_call(net, {"layers.0.wieght": ndl.ones(2, 3)}, x)
    with pytest.raises(KeyError, match="running_mean"):  # buffers are not parameters
        nn.functional_call(net, {"layers.1.running_mean": ndl.ones(3)}, x)
    with pytest.raises(ShapeError, match=r"\(2, 3\), got \(3, 2\)"):
        nn.functional_call(net, {"layers.0.weight": ndl.ones(3, 2)}, x)


def test_functional_call_second_order(rng):
    """d/dw of a loss after one step inside the graph, against differences: the unrolled GAN."""
    w0 = rng.standard_normal((3, 1))
    x, t = rng.standard_normal((6, 3)), rng.standard_normal((6, 1))
    lr = 0.1

    def inner_loss(net, params, data, target):
        y = nn.functional_call(net, params, data)
        return ndl.mean(ndl.exp(0.3 * y) * (y - target) ** 2)

    def after_step(w, create_graph):
        net = nn.Linear(3, 1, bias=False, dtype="float64")
        start = {"weight": ndl.Tensor(w, dtype="float64")}
        data, target = ndl.Tensor(x, dtype="float64"), ndl.Tensor(t, dtype="float64")
        loss = inner_loss(net, start, data, target)
        grads = ndl.grad(loss, list(start.values()), create_graph=create_graph)
        stepped = ndl.optim.sgd_step(start, dict(zip(start, grads, strict=True)), lr)
        return start["weight"], inner_loss(net, stepped, data, target)

    w, loss = after_step(w0, True)
    exact = ndl.grad(loss, w).numpy()
    differences = np.zeros_like(w0)
    for i in np.ndindex(w0.shape):
        for sign in (1, -1):
            moved = w0.copy()
            moved[i] += sign * 1e-6
            differences[i] += sign * after_step(moved, True)[1].item() / 2e-6
    np.testing.assert_allclose(exact, differences, rtol=1e-6)
    first_order = ndl.grad(after_step(w0, False)[1], w)  # another leaf: not on this graph
    assert first_order is None
    w, loss = after_step(w0, False)
    assert np.abs(ndl.grad(loss, w).numpy() - exact).max() > 1e-3  # the step's own slope is lost


# --------------------------------------------------------------------------------- normalisation


def test_batch_norm_running_variance_is_biased(rng):
    bn = nn.BatchNorm1d(2, momentum=1.0)
    x = tensor(rng, 4, 2)
    bn(x)
    np.testing.assert_allclose(bn.running_var.numpy(), x.numpy().var(0), rtol=1e-5)
    assert not np.allclose(bn.running_var.numpy(), x.numpy().var(0, ddof=1), rtol=0.1)


def test_batch_norm_replaces_its_buffers(rng):
    """A graph made in evaluation keeps the statistics that it read."""
    bn = nn.BatchNorm1d(2)
    x = tensor(rng, 4, 2)
    bn.eval()
    loss = (bn(x) ** 2).sum()
    held, values = bn.running_var, bn.running_var.numpy()
    bn.train()
    bn(x)
    assert bn.running_var is not held
    np.testing.assert_array_equal(held.numpy(), values)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy() / (1 + 1e-5), rtol=1e-4)
    assert type(bn.running_var) is nn.Buffer
    assert not bn.running_var.requires_grad


def test_batch_norm_statistics_hold_no_graph(rng):
    bn = nn.BatchNorm1d(2)
    for _ in range(3):
        bn(tensor(rng, 4, 2))
    assert bn.running_mean.is_leaf()
    assert bn.running_mean.inputs == ()


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.LayerNorm1d])
def test_an_eps_that_is_a_momentum_is_refused(layer):
    with pytest.raises(ValueError, match=r"eps.*momentum"):
        layer(4, 0.8)
    with pytest.raises(ValueError, match="eps"):
        layer(4, eps=-1e-5)
    layer(4, eps=0.01)
    layer(4, 0.0)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.LayerNorm1d])
def test_norms_check_shapes(layer, rng):
    f = layer(3)
    for shape in [(4, 2), (3,), (2, 3, 3), (0, 3)]:
        with pytest.raises(ShapeError, match=layer.__name__):
            f(tensor(rng, *shape))


def test_batch_of_one(rng):
    bn = nn.BatchNorm1d(3)
    bn.bias.data = ndl.Tensor([1.0, 2.0, 3.0])
    x = tensor(rng, 1, 3)
    with pytest.raises(ndl.ShapeError, match=r"\(1, 3\).*batch of one"):
        bn(x)  # its variance is 0, and all that it knew of x would be lost
    y = bn.eval()(x)
    np.testing.assert_allclose(y.numpy(), x.numpy() + np.array([[1, 2, 3]]), rtol=1e-4)
    ln = nn.LayerNorm1d(3)(x)
    np.testing.assert_allclose([ln.numpy().mean(), ln.numpy().std()], [0, 1], atol=1e-3)


def test_norms_are_twice_differentiable(rng):
    for layer in (nn.BatchNorm1d(3, dtype="float64"), nn.LayerNorm1d(3, dtype="float64")):
        x = tensor(rng, 4, 3, dtype="float64")

        def slope(a, f=layer):
            t = ndl.Tensor(a, dtype="float64")
            return ndl.grad((f(t) ** 3).sum(), t).numpy()

        (g,) = [ndl.grad((layer(x) ** 3).sum(), x, create_graph=True)]
        c = rng.standard_normal((4, 3))
        exact = ndl.grad((g * ndl.Tensor(c, dtype="float64")).sum(), x).numpy()
        want = np.zeros((4, 3))
        for i in np.ndindex(4, 3):
            for sign in (1, -1):
                moved = x.numpy()
                moved[i] += sign * 1e-5
                want[i] += sign * (slope(moved) * c).sum() / 2e-5
        np.testing.assert_allclose(exact, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_keep_their_dtype(rng, dtype):
    options = {"dtype": dtype}
    net = nn.Sequential(
        nn.Linear(3, 4, **options), nn.BatchNorm1d(4, **options), nn.ReLU(),
        nn.LayerNorm1d(4, **options), nn.Dropout(0.3), nn.LeakyReLU(0.2), nn.ELU(), nn.GELU(),
        nn.Softplus(), nn.Tanh(), nn.Sigmoid(), nn.Linear(4, 2, **options))
    x = tensor(rng, 5, 3, dtype=dtype)
    y = net(x)
    (y * y).sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert {str(t.dtype) for t in [*net.parameters(), *(b for _, b in net.named_buffers())]} == {
        dtype}
    assert {str(p.grad.dtype) for p in net.parameters()} == {dtype}


def test_empty_batches(rng):
    """What needs no statistics takes a batch of nothing; its weights get zero gradients."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Dropout(0.5),
                        nn.Linear(4, 2, bias=False))
    x = tensor(rng, 0, 2, 3)
    y = net(x)
    assert y.shape == (0, 2)
    y.sum().backward()
    assert x.grad.shape == (0, 2, 3)
    for p in net.parameters():
        np.testing.assert_array_equal(p.grad.numpy(), np.zeros(p.shape))


# --------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_scales_what_it_keeps(p):
    layer, x = nn.Dropout(p), ndl.Tensor(np.full((200, 100), 3.0))
    y = layer(x)
    kept = y.numpy() != 0
    np.testing.assert_allclose(y.numpy()[kept], 3 / (1 - p), rtol=1e-6)
    assert abs(kept.mean() - (1 - p)) < 0.01
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), kept / (1 - p), rtol=1e-6)


def test_dropout_follows_the_generator_and_rests_in_evaluation():
    layer, x = nn.Dropout(0.5), ndl.ones(4, 5)
    ndl.manual_seed(11)
    first, second = layer(x).numpy(), layer(x).numpy()
    ndl.manual_seed(11)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    assert not np.array_equal(first, second)
    before = ndl.random.get_state()
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert ndl.random.get_state() == before  # nothing was drawn
    for p in (1.0, -0.1, 1.5):
        with pytest.raises(ValueError, match="Dropout"):
            nn.Dropout(p)


# ----------------------------------------------------------------------------------------- losses


def numpy_bce(a: np.ndarray, t: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, a) - t * a))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bce_with_logits_at_the_edges(dtype):
    logits = np.array([-1000, -100, -1, 0, 1, 100, 1000], dtype=dtype)
    for target in (0.0, 1.0, 0.9):
        x = ndl.Tensor(logits, dtype=dtype)
        targets = ndl.Tensor(np.full(7, target), dtype=dtype)
        loss = nn.BCEWithLogitsLoss()(x, targets)
        np.testing.assert_allclose(loss.numpy(), numpy_bce(logits, target), rtol=1e-6)
        assert loss.dtype == dtype
        loss.backward()
        sigmoid = np.exp(-np.logaddexp(0, -logits.astype("float64")))
        np.testing.assert_allclose(x.grad.numpy(), (sigmoid - target) / 7, rtol=1e-5, atol=1e-8)
        same = nn.BCEWithLogitsLoss()(x, target)  # a number: one target for all
        np.testing.assert_array_equal(same.numpy(), loss.numpy())


@given(n=st.integers(1, 40), scale=st.sampled_from([0.1, 3.0, 50.0]), seed=st.integers(0, 999))
def test_bce_of_probabilities_equals_that_of_logits(n, scale, seed):
    g = np.random.default_rng(seed)
    logits, targets = g.standard_normal((n, 1)) * scale, g.random((n, 1))
    x = ndl.Tensor(logits, dtype="float64")
    t = ndl.Tensor(targets, dtype="float64")
    a, b = nn.BCEWithLogitsLoss()(x, t), nn.BCELoss()(ndl.sigmoid(x), t)
    if scale < 10:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9)
        np.testing.assert_allclose(ndl.grad(a, x).numpy(), ndl.grad(b, x).numpy(), rtol=1e-6,
                                   atol=1e-12)
    assert np.isfinite(b.numpy())


def test_bce_cuts_logarithms_off_at_minus_100():
    p = ndl.Tensor([0.0, 1.0, 0.0, 1.0])
    loss = nn.BCELoss()(p, ndl.Tensor([1.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(loss.numpy(), 50.0)
    loss.backward()
    assert np.isfinite(p.grad.numpy()).all()


@pytest.mark.parametrize("loss, formula, slope", [
    (nn.MSELoss(), lambda d: np.mean(d**2), lambda d: 2 * d / d.size),
    (nn.L1Loss(), lambda d: np.mean(np.abs(d)), lambda d: np.sign(d) / d.size),
])
def test_regression_losses(rng, loss, formula, slope):
    x, y = tensor(rng, 4, 3), tensor(rng, 4, 3)
    d = x.numpy().astype(float) - y.numpy()
    value = loss(x, y)
    np.testing.assert_allclose(value.numpy(), formula(d), rtol=1e-5)
    value.backward()
    np.testing.assert_allclose(x.grad.numpy(), slope(d), rtol=1e-4)
    np.testing.assert_allclose(y.grad.numpy(), -slope(d), rtol=1e-4)


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.L1Loss(), nn.BCELoss(), nn.BCEWithLogitsLoss()],
    ids=lambda loss: type(loss).__name__)
def test_losses_do_not_broadcast(loss, rng):
    """(n, 1) against (n,) would silently average an n by n matrix."""
    p = ndl.Tensor(np.full((4, 1), 0.5))
    for shape in [(4,), (1, 1), (4, 4), ()]:
        with pytest.raises(ShapeError, match=r"\(4, 1\)"):
            loss(p, ndl.Tensor(np.full(shape, 0.5)))
    with pytest.raises(ShapeError):
        loss(ndl.Tensor(np.ones((0, 1))), ndl.Tensor(np.ones((0, 1))))


def test_softmax_loss_labels(rng):
    logits = tensor(rng, 3, 4)
    loss = nn.SoftmaxLoss()
    values = [loss(logits, y).item() for y in (
        [0, 3, 1], np.array([0, 3, 1], "uint8"), np.array([0.0, 3.0, 1.0]),
        ndl.Tensor([0.0, 3.0, 1.0]), ndl.Tensor(np.array([0, 3, 1])))]
    assert len(set(values)) == 1
    z = logits.numpy().astype(float)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    np.testing.assert_allclose(values[0], -log_p[range(3), [0, 3, 1]].mean(), rtol=1e-6)
    for labels, error in [([0, 4, 1], IndexError), ([0, -1, 1], IndexError),
                          ([0.5, 1, 1], DTypeError), ([0, 1], ShapeError),
                          ([[0], [1], [2]], ShapeError)]:
        with pytest.raises(error, match="SoftmaxLoss"):
            loss(logits, labels)
    with pytest.raises(ShapeError):
        loss(ndl.zeros(0, 4), np.zeros(0, "int64"))


# ------------------------------------------------------------------------------------ the others


def test_layers_compute_what_they_say(rng):
    x = tensor(rng, 4, 6)
    a = x.numpy().astype(float)
    erf = np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))
    rows = [
        (nn.LeakyReLU(0.2), np.where(a > 0, a, 0.2 * a)),
        (nn.LeakyReLU(), np.where(a > 0, a, 0.01 * a)),
        (nn.ELU(1.5), np.where(a > 0, a, 1.5 * np.expm1(np.minimum(a, 0)))),
        (nn.GELU(), 0.5 * a * (1 + erf)),
        (nn.Tanh(), np.tanh(a)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-a))),
        (nn.Softplus(), np.logaddexp(0, a)),
        (nn.Reshape(2, 3), a.reshape(4, 2, 3)),
        (nn.Residual(nn.Tanh()), np.tanh(a) + a),
        (nn.Residual(ndl.tanh), np.tanh(a) + a),
    ]
    for layer, want in rows:
        np.testing.assert_allclose(layer(x).numpy(), want, rtol=1e-5, atol=1e-6,
                                   err_msg=repr(layer))


def test_image_layers(rng):
    x = tensor(rng, 2, 4, 3, 3)
    a = x.numpy()
    np.testing.assert_array_equal(nn.Upsample(2)(x).numpy(), a.repeat(2, 2).repeat(2, 3))
    np.testing.assert_array_equal(
        nn.ReflectionPad2d(2)(x).numpy(), np.pad(a, [(0, 0), (0, 0), (2, 2), (2, 2)], "reflect"))
    shuffled = nn.PixelShuffle(2)(x).numpy()
    assert shuffled.shape == (2, 1, 6, 6)
    np.testing.assert_array_equal(shuffled[:, 0, 1::2, ::2], a[:, 2])  # row 1, column 0
    with pytest.raises(ShapeError, match="ReflectionPad2d"):
        nn.ReflectionPad2d(1)(ndl.ones(2, 3))


def test_embedding(rng):
    layer = nn.Embedding(5, 3)
    index = np.array([[0, 4], [4, 2]])
    y = layer(index)
    np.testing.assert_array_equal(y.numpy(), layer.weight.numpy()[index])
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy()[:, 0], [1, 0, 1, 0, 2])
    with pytest.raises(IndexError, match=r"0\.\.4"):
        layer([5])


@given(n=st.integers(0, 5), inputs=st.integers(1, 5), outputs=st.integers(1, 5),
       bias=st.booleans(), lead=st.lists(st.integers(1, 3), max_size=2), seed=st.integers(0, 99))
def test_linear(n, inputs, outputs, bias, lead, seed):
    g = np.random.default_rng(seed)
    layer = nn.Linear(inputs, outputs, bias)
    x = ndl.Tensor(g.standard_normal((n, *lead, inputs)))
    y = layer(x)
    want = x.numpy() @ layer.weight.numpy() + (layer.bias.numpy() if bias else 0)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5, atol=1e-5)
    up = g.standard_normal(y.shape).astype("float32")
    y.backward(ndl.Tensor(up))
    rows, ups = x.numpy().reshape(-1, inputs), up.reshape(-1, outputs)
    np.testing.assert_allclose(layer.weight.grad.numpy(), rows.T @ ups, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(x.grad.numpy(), up @ layer.weight.numpy().T, rtol=1e-4, atol=1e-4)
    if bias:
        assert layer.bias.grad.shape == (1, outputs)
        np.testing.assert_allclose(layer.bias.grad.numpy()[0], ups.sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.2)], ids=["relu", "leaky"])
def test_sequential_joins_linear_and_activation_on_the_fast_kernels_only(activation):
    """Joined values and gradients are equal; on the reference kernels layers run apart."""
    net = nn.Sequential(nn.Linear(5, 4), activation, nn.Linear(4, 3), activation)
    x = ndl.Tensor(np.random.default_rng(0).standard_normal((6, 5)).astype("float32"))
    joined = net(x)
    with ndl.reference_kernels():
        apart = net(x)
    assert type(joined.op).__name__ == "Linear"
    assert type(apart.op).__name__ == type(activation).__name__
    np.testing.assert_allclose(joined.numpy(), apart.numpy(), rtol=1e-6, atol=1e-7)
    upstream = ndl.Tensor(np.random.default_rng(1).standard_normal((6, 3)).astype("float32"))
    leaves = [x, *net.parameters()]
    for g, h in zip(ndl.grad(joined, leaves, upstream), ndl.grad(apart, leaves, upstream),
                    strict=True):
        np.testing.assert_allclose(g.numpy(), h.numpy(), rtol=1e-5, atol=1e-6)
