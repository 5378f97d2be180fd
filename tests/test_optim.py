"""Optimizers: the update rules, the flat buffers under them, averages and schedules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import nn, optim
from minigrad.errors import DTypeError, ShapeError, VersionError

RULES = {
    "SGD": (optim.SGD, {"lr": 0.1}),
    "SGD decay": (optim.SGD, {"lr": 0.1, "weight_decay": 0.2}),
    "SGD momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD both": (optim.SGD, {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    "Adam": (optim.Adam, {"lr": 0.01}),
    "Adam DCGAN": (optim.Adam, {"lr": 2e-4, "beta1": 0.5, "beta2": 0.999}),
    "Adam WGAN-GP": (optim.Adam, {"lr": 1e-4, "beta1": 0.0, "beta2": 0.9}),
    "Adam decay": (optim.Adam, {"lr": 0.01, "weight_decay": 0.3, "eps": 1e-6}),
    "RMSprop": (optim.RMSprop, {"lr": 0.01}),
    "RMSprop decay": (optim.RMSprop, {"lr": 5e-3, "alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1}),
}


def oracle(kind, start: np.ndarray, grads, lr=0.01, momentum=0.0, weight_decay=0.0, beta1=0.9,
           beta2=0.999, eps=1e-8, alpha=0.99) -> np.ndarray:
    """Every rule in float64, gradient by gradient; None skips, but counts as a step."""
    p, u, m, v = start.astype("float64"), 0.0, 0.0, 0.0
    for t, g in enumerate(grads, start=1):
        if g is None:
            continue
        g = g + weight_decay * p
        if kind is optim.SGD:
            u = momentum * u + (1 - momentum) * g
            p = p - lr * u
        elif kind is optim.Adam:
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        else:
            v = alpha * v + (1 - alpha) * g * g
            p = p - lr * g / (np.sqrt(v) + eps)
    return p


def make(shapes, seed=0, dtype="float32") -> list[nn.Parameter]:
    g = np.random.default_rng(seed)
    return [nn.Parameter(g.standard_normal(s), dtype=dtype) for s in shapes]


def set_grads(params, grads) -> None:
    for p, g in zip(params, grads, strict=True):
        p.grad = None if g is None else ndl.Tensor(g, dtype=p.dtype)


def draw_grads(params, steps: int, seed=1) -> list[list[np.ndarray]]:
    g = np.random.default_rng(seed)
    return [[g.standard_normal(p.shape).astype(p.dtype) for p in params] for _ in range(steps)]


SHAPES = [(3, 4), (1, 4), (), (5,), (2, 3, 2)]


@pytest.mark.parametrize("dtype, rtol", [("float32", 3e-5), ("float64", 1e-11)])
@pytest.mark.parametrize("kernels", ["fast", "reference"])
@pytest.mark.parametrize("name", RULES)
def test_rules(name, kernels, dtype, rtol):
    kind, options = RULES[name]
    params = make(SHAPES, dtype=dtype)
    start = [p.numpy() for p in params]
    opt = kind(params, **options)
    history = draw_grads(params, 12)
    for grads in history:
        set_grads(params, grads)
        if kernels == "reference":
            with ndl.reference_kernels():
                opt.step()
        else:
            opt.step()
    for i, p in enumerate(params):
        want = oracle(kind, start[i], [grads[i] for grads in history], **options)
        np.testing.assert_allclose(p.numpy(), want, rtol=rtol, atol=rtol)
        assert p.dtype == dtype
        np.testing.assert_array_equal(p.grad.numpy(), history[-1][i])  # a step only reads it


# ---------------------------------------------------------------------------------- flat buffers


def test_parameters_are_views_of_one_buffer():
    params = make(SHAPES)
    values = [p.numpy() for p in params]
    opt = optim.Adam(params)
    buffer = params[0].home.buffer
    assert all(p.cached_data.base is buffer or p.cached_data is buffer for p in params)
    assert buffer.size == sum(p.size for p in params)
    for p, value in zip(params, values, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    arrays = [p.cached_data for p in params]
    set_grads(params, draw_grads(params, 1)[0])
    opt.step()
    assert all(p.cached_data is a for p, a in zip(params, arrays, strict=True))


def test_a_second_optimizer_over_the_same_parameters():
    """It updates them where they lie: the same numbers as with copies of its own."""
    params, twins = make(SHAPES), make(SHAPES)
    first = optim.Adam(params, lr=0.01)
    homes = [p.home for p in params]
    some = [params[3], params[0], params[1]]  # another order, and not all
    second = optim.SGD(some, lr=0.1, momentum=0.5)
    assert [p.home for p in params] == homes
    alone = [optim.Adam([p], lr=0.01) for p in twins]
    others = {i: optim.SGD([twins[i]], lr=0.1, momentum=0.5) for i in (3, 0, 1)}
    for k, grads in enumerate(draw_grads(params, 6)):
        set_grads(params, grads)
        set_grads(twins, grads)
        if k % 2:
            first.step()
            [opt.step() for opt in alone]
        else:
            second.step()
            [opt.step() for opt in others.values()]
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_array_equal(p.numpy(), twin.numpy())


def test_optimizers_that_overlap():
    a, b, c = make([(2,), (3,), (4,)])
    optim.SGD([a, b])
    opt = optim.SGD([b, c], lr=1.0)
    before = [p.numpy() for p in (a, b, c)]
    set_grads([a, b, c], [np.ones(2), np.ones(3), np.ones(4)])
    opt.step()
    np.testing.assert_array_equal(a.numpy(), before[0])
    np.testing.assert_allclose(b.numpy(), before[1] - 1)
    np.testing.assert_allclose(c.numpy(), before[2] - 1)
    assert b.home.buffer is a.home.buffer
    assert c.home.buffer is not a.home.buffer


def test_a_parameter_whose_array_was_exchanged_moves_anew():
    params = make([(2, 2), (3,)])
    opt = optim.SGD(params, lr=1.0)
    params[0].cached_data = np.full((2, 2), 7.0, dtype="float32")
    set_grads(params, [np.ones((2, 2)), np.ones(3)])
    kept = params[1].numpy()
    opt.step()
    np.testing.assert_array_equal(params[0].numpy(), np.full((2, 2), 6.0))
    np.testing.assert_allclose(params[1].numpy(), kept - 1)
    opt.step()
    np.testing.assert_array_equal(params[0].numpy(), np.full((2, 2), 5.0))


def test_data_set_between_steps_is_kept():
    params = make([(2, 2), (3,)])
    opt = optim.SGD(params, lr=1.0)
    array = params[0].cached_data
    params[0].data = ndl.Tensor(np.zeros((2, 2)))
    assert params[0].cached_data is array
    set_grads(params, [np.ones((2, 2)), np.ones(3)])
    opt.step()
    np.testing.assert_array_equal(params[0].numpy(), -np.ones((2, 2)))


def test_copies_of_a_module_do_not_share_the_buffer():
    import copy

    net = nn.Linear(2, 2)
    opt = optim.SGD(net.parameters(), lr=1.0)
    twin = copy.deepcopy(net)
    before = twin.weight.numpy()
    set_grads(net.parameters(), [np.ones((2, 2)), np.ones((1, 2))])
    opt.step()
    np.testing.assert_array_equal(twin.weight.numpy(), before)
    assert twin.weight.grad is None


# ------------------------------------------------------------------------------- skipped gradients


@pytest.mark.parametrize("name", RULES)
def test_a_parameter_without_a_gradient_is_skipped_moments_included(name):
    kind, options = RULES[name]
    params = make(SHAPES, dtype="float64")
    start = [p.numpy() for p in params]
    opt = kind(params, **options)
    history = draw_grads(params, 9)
    g = np.random.default_rng(5)
    for k, grads in enumerate(history):
        absent = {0, 1, 2, 3, 4} if k == 4 else set(np.flatnonzero(g.random(5) < 0.4))
        history[k] = [None if i in absent else grad for i, grad in enumerate(grads)]
        set_grads(params, history[k])
        before = [p.numpy() for p in params]
        moments = {m: getattr(opt, m).copy() for m in opt.moments}
        opt.step()
        for i in absent:
            np.testing.assert_array_equal(params[i].numpy(), before[i])
            low = sum(p.size for p in params[:i])
            own = slice(low, low + params[i].size)
            for m in opt.moments:
                np.testing.assert_array_equal(getattr(opt, m)[own], moments[m][own])
    assert opt.t == 8  # a step in which nothing has a gradient does not count
    history.pop(4)
    for i, p in enumerate(params):
        want = oracle(kind, start[i], [grads[i] for grads in history], **options)
        np.testing.assert_allclose(p.numpy(), want, rtol=1e-11, atol=1e-12)


def test_a_skipped_parameter_does_not_go_stale():
    a, b = make([(2,), (2,)])
    opt = optim.SGD([a, b], lr=1.0)
    of_a, of_b = (a * a).sum(), (b * b).sum()
    set_grads([a, b], [np.ones(2), None])
    opt.step()
    of_b.backward()
    with pytest.raises(VersionError):
        of_a.backward()


# -------------------------------------------------------------------------- too early, and refused


def test_a_step_that_comes_too_early():
    net = nn.Linear(2, 1)
    opt = optim.SGD(net.parameters(), lr=0.1)
    x = ndl.Tensor([[1.0, 2.0]])
    loss, other = net(x).sum(), (net(x) ** 2).sum()
    loss.backward()
    opt.step()
    with pytest.raises(VersionError, match=r"step .* came too early: call backward before"):
        other.backward()
    net(x).sum().backward()  # made after the step: fine


def test_a_step_under_a_detached_view_is_noticed():
    (p,) = make([(3,)])
    view, part = p.data, p[:2]
    loss, of_part = (view * p).sum(), (part * part).sum()
    opt = optim.SGD([p], lr=1.0)
    p.grad = ndl.ones(3)
    opt.step()
    with pytest.raises(VersionError):
        loss.backward()
    with pytest.raises(VersionError):
        of_part.backward()


def test_nan_gradients_stay_in_their_parameter():
    params = make([(2,), (3,)])
    opt = optim.Adam(params)
    set_grads(params, [np.array([np.nan, 1.0]), np.ones(3)])
    opt.step()
    np.testing.assert_array_equal(np.isnan(params[0].numpy()), [True, False])
    assert np.isfinite(params[1].numpy()).all()


def test_gradients_that_do_not_fit():
    params = make([(2, 2), (3,)])
    opt = optim.SGD(params)
    before = [p.numpy() for p in params]
    params[0].grad, params[1].grad = ndl.ones(2, 2), ndl.ones(1, 3)
    with pytest.raises(ShapeError, match=r"SGD.step: gradient of shape \(1, 3\)"):
        opt.step()
    params[1].grad = ndl.Tensor(np.ones(3), dtype="float64")
    with pytest.raises(DTypeError, match="gradient of float64"):
        opt.step()
    for p, value in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    assert opt.t == 0


@pytest.mark.parametrize("make_it, error, text", [
    (lambda p: optim.SGD(p[0]), TypeError, "list of parameters"),
    (lambda p: optim.SGD([]), ValueError, "no parameters"),
    (lambda p: optim.SGD([p[0], p[0]]), ValueError, "twice"),
    (lambda p: optim.SGD([p[0] * 2]), ValueError, "no operation made"),
    (lambda p: optim.SGD([np.ones(2)]), ValueError, "ndarray"),
    (lambda p: optim.SGD([ndl.Tensor(np.arange(3))]), ValueError, "float Tensor"),
    (lambda p: optim.SGD([p[0], nn.Parameter([1.0], dtype="float64")]), DTypeError, "float64"),
    (lambda p: optim.SGD(p, lr=-1), ValueError, "lr"),
    (lambda p: optim.SGD(p, lr=float("nan")), ValueError, "lr"),
    (lambda p: optim.SGD(p, lr=float("inf")), ValueError, "lr"),
    (lambda p: optim.SGD(p, momentum=1.0), ValueError, "momentum"),
    (lambda p: optim.SGD(p, weight_decay=-0.1), ValueError, "weight_decay"),
    (lambda p: optim.Adam(p, 0.1, (0.5, 0.9)), ValueError, "two arguments"),
    (lambda p: optim.Adam(p, beta2=1.0), ValueError, "beta2"),
    (lambda p: optim.Adam(p, eps=0.5), ValueError, "eps"),
    (lambda p: optim.RMSprop(p, alpha=1.5), ValueError, "alpha"),
    (lambda p: optim.LinearDecay(optim.SGD(p), start=5, total=5), ValueError, "start"),
])
def test_refused_settings(make_it, error, text):
    with pytest.raises(error, match=text):
        make_it(make([(2,), (3,)]))


def test_generators_of_parameters_are_taken():
    params = make([(2,), (3,)])
    opt = optim.SGD((p for p in params), lr=1.0)
    assert opt.params == params


# ------------------------------------------------------------------------ minimize, clipping, reset


def test_minimize_touches_no_other_gradient():
    """Two players share a graph; each optimizer moves its own and leaves the other's `.grad`."""
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    opt_G = optim.SGD(G.parameters(), lr=0.1)
    opt_D = optim.SGD(D.parameters(), lr=0.1)
    z = ndl.Tensor([[1.0, -1.0]])
    marks = [ndl.ones(*p.shape) for p in D.parameters()]
    for p, mark in zip(D.parameters(), marks, strict=True):
        p.grad = mark
    before = [p.numpy() for p in D.parameters()]
    loss = (D(G(z)) ** 2).sum()
    want = [g.numpy() for g in ndl.grad((D(G(z)) ** 2).sum(), G.parameters())]
    start = [p.numpy() for p in G.parameters()]
    opt_G.minimize(loss)
    for p, g, s in zip(G.parameters(), want, start, strict=True):
        np.testing.assert_allclose(p.numpy(), s - 0.1 * g, rtol=1e-6)
        np.testing.assert_array_equal(p.grad.numpy(), g)
    for p, mark, value in zip(D.parameters(), marks, before, strict=True):
        assert p.grad is mark
        np.testing.assert_array_equal(p.numpy(), value)
    held = [p.grad for p in G.parameters()]
    opt_D.minimize((D(G(z)) ** 2).sum())
    assert [p.grad for p in G.parameters()] == held


def test_minimize_skips_what_the_loss_does_not_reach():
    a, b = make([(2,), (2,)])
    opt = optim.Adam([a, b])
    b.grad = ndl.ones(2)  # stale: of an earlier loss
    before = b.numpy()
    opt.minimize((a * a).sum())
    assert b.grad is None
    np.testing.assert_array_equal(b.numpy(), before)


@given(scale=st.sampled_from([1e-3, 1.0, 1e3]), max_norm=st.sampled_from([0.25, 1.0, 50.0]),
       seed=st.integers(0, 99))
def test_clip_grad_norm(scale, max_norm, seed):
    params = make(SHAPES)
    (grads,) = draw_grads(params, 1, seed)
    grads[2] = None
    set_grads(params, [None if g is None else g * np.float32(scale) for g in grads])
    opt = optim.SGD(params)
    norm = opt.clip_grad_norm(max_norm)
    flat = np.concatenate([g.ravel() for g in grads if g is not None]).astype("float64") * scale
    want = np.linalg.norm(flat)
    np.testing.assert_allclose(norm.item(), want, rtol=1e-5)
    assert norm.dtype == np.float32
    factor = min(1.0, max_norm / (want + 1e-6))
    for p, g in zip(params, grads, strict=True):
        if g is None:
            assert p.grad is None
        else:
            assert p.grad.dtype == np.float32
            np.testing.assert_allclose(p.grad.numpy(), g * scale * factor, rtol=1e-5)


def test_clip_without_gradients():
    assert optim.SGD(make([(2,)])).clip_grad_norm(1.0).item() == 0


def test_reset_grad():
    params = make([(2,), (3,)])
    opt = optim.SGD(params)
    set_grads(params, [np.ones(2), np.ones(3)])
    opt.reset_grad()
    assert [p.grad for p in params] == [None, None]
    before = [p.numpy() for p in params]
    opt.step()
    assert all((p.numpy() == b).all() for p, b in zip(params, before, strict=True))


# ---------------------------------------------------------------------------------------- states


@pytest.mark.parametrize("name", RULES)
def test_state_round_trip(name):
    """6 steps, save, 6 more: the same bits as a new optimizer that continues from the state."""
    kind, options = RULES[name]
    params = make(SHAPES)
    opt = kind(params, **options)
    history = draw_grads(params, 12)
    for grads in history[:6]:
        set_grads(params, grads)
        opt.step()
    opt.lr *= 0.5
    state = opt.state_dict()
    assert set(state) == {"t", "lr", *opt.moments}
    twins = [nn.Parameter(p.numpy()) for p in params]
    again = kind(twins, **options)
    again.load_state_dict(state)
    for grads in history[6:]:
        for one, ps in ((opt, params), (again, twins)):
            set_grads(ps, grads)
            one.step()
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_array_equal(p.numpy(), twin.numpy())
    assert again.t == opt.t == 12
    assert again.lr == opt.lr


def test_states_that_do_not_fit():
    opt = optim.Adam(make([(2,), (3,)]))
    state = opt.state_dict()
    with pytest.raises(KeyError, match="Adam"):
        opt.load_state_dict({"t": state["t"], "lr": state["lr"]})
    with pytest.raises(KeyError):
        opt.load_state_dict(state | {"u": state["m"]})
    with pytest.raises(ShapeError, match="v has shape"):
        opt.load_state_dict(state | {"v": np.ones(4), "m": np.full(5, 9.0)})
    assert not opt.m.any()  # nothing was loaded
    state["m"][...] = 5
    assert not opt.m.any()  # a copy was given


# ------------------------------------------------------------------------- EMA, decay, sgd_step


def test_ema_follows_weights_and_buffers():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4, bias=False))
    average = optim.EMA(net, decay=0.9)
    opt = optim.SGD(net.parameters(), lr=0.5)
    want = [p.numpy().astype("float64") for p in net.parameters()]
    g = np.random.default_rng(0)
    for _ in range(5):
        opt.minimize(ndl.mean((net(ndl.Tensor(g.standard_normal((8, 3)))) - 1) ** 2))
        average.update()
        want = [0.9 * w + 0.1 * p.numpy() for w, p in zip(want, net.parameters(), strict=True)]
    for p, w in zip(average.module.parameters(), want, strict=True):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-5, atol=1e-6)
        assert not p.requires_grad
    assert not np.allclose(average.module[1].weight.numpy(), net[1].weight.numpy(), atol=1e-2)
    np.testing.assert_array_equal(average.module[0].running_var.numpy(), net[0].running_var.numpy())
    assert average.module[0].running_var is not net[0].running_var
    assert not np.array_equal(net[0].running_var.numpy(), np.ones(3))


def test_ema_in_whatever_order_the_optimizer_comes():
    for first in ("ema", "optimizer"):
        net = nn.Linear(2, 2)
        if first == "ema":
            average = optim.EMA(net, decay=0.5)
        opt = optim.SGD([net.bias, net.weight], lr=1.0)
        if first == "optimizer":
            average = optim.EMA(net, decay=0.5)
        start = net.weight.numpy()
        set_grads([net.bias, net.weight], [np.zeros((1, 2)), np.ones((2, 2))])
        opt.step()
        average.update()
        np.testing.assert_allclose(average.module.weight.numpy(), start - 0.5, rtol=1e-6)
        np.testing.assert_allclose(net.weight.numpy(), start - 1, rtol=1e-6)


def test_ema_refuses():
    with pytest.raises(ValueError, match="decay"):
        optim.EMA(nn.Linear(1, 1), decay=1.0)
    with pytest.raises(DTypeError, match="EMA"):
        optim.EMA(nn.ReLU())
    with pytest.raises(DTypeError, match="float64"):
        optim.EMA(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1, dtype="float64")))


def test_ema_state_goes_through_its_module():
    net = nn.Linear(2, 2)
    average = optim.EMA(net, decay=0.5)
    average.module.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.zeros((1, 2))})
    average.update()
    np.testing.assert_allclose(average.module.weight.numpy(), 0.5 * net.weight.numpy())


def test_linear_decay():
    opt = optim.SGD(make([(2,)]), lr=0.2)
    schedule = optim.LinearDecay(opt, start=2, total=6)
    rates = []
    for _ in range(8):
        schedule.step()
        rates.append(opt.lr)
    np.testing.assert_allclose(rates, [0.2, 0.2, 0.15, 0.1, 0.05, 0.0, 0.0, 0.0], atol=1e-12)
    again = optim.LinearDecay(optim.SGD(make([(2,)]), lr=9.0), start=2, total=6)
    again.load_state_dict({k: v for k, v in schedule.state_dict().items()} | {"t": np.asarray(3)})
    again.step()
    np.testing.assert_allclose(again.optimizer.lr, 0.1)


def test_sgd_step_is_recorded():
    params = {"w": ndl.Tensor([1.0, 2.0]), "b": ndl.Tensor([3.0])}
    loss = (params["w"] ** 2).sum() + (params["b"] ** 3).sum()
    grads = dict(zip(params, ndl.grad(loss, list(params.values()), create_graph=True),
                     strict=True))
    new = optim.sgd_step(params, grads, 0.1)
    np.testing.assert_allclose(new["w"].numpy(), [0.8, 1.6])
    np.testing.assert_allclose(new["b"].numpy(), [0.3], rtol=1e-6)
    slope = ndl.grad(new["b"].sum(), params["b"])
    np.testing.assert_allclose(slope.numpy(), 1 - 0.1 * 6 * 3, rtol=1e-6)
    listed = optim.sgd_step(list(params.values()), list(grads.values()), 0.1)
    np.testing.assert_array_equal(listed[1].numpy(), new["b"].numpy())
    with pytest.raises(KeyError, match="b"):
        optim.sgd_step(params, {"w": grads["w"]}, 0.1)
    with pytest.raises(ShapeError, match="2 parameters but 1"):
        optim.sgd_step(list(params.values()), [grads["w"]], 0.1)


# ------------------------------------------------------------------------------ all together


@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 999))
def test_any_mixture_of_optimizers_equals_the_oracle(data, seed):
    """Random subsets of parameters, random missing gradients, two optimizers in any order."""
    shapes = data.draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=5))
    params = make(shapes, seed, "float64")
    everyone = list(range(len(params)))
    subsets = [everyone, data.draw(st.permutations(everyone))[: data.draw(st.integers(
        1, len(params)))]]
    options = [{"lr": 0.1, "momentum": 0.7}, {"lr": 0.2, "weight_decay": 0.1}]
    opts = [optim.SGD([params[i] for i in subset], **o)
            for subset, o in zip(subsets, options, strict=True)]
    values = [p.numpy() for p in params]
    moments = [[np.zeros(p.shape) for p in params] for _ in opts]
    g = np.random.default_rng(seed)
    for _ in range(6):
        k = int(g.integers(2))
        absent = g.random(len(params)) < 0.3
        grads = [None if absent[i] else g.standard_normal(p.shape) for i, p in enumerate(params)]
        set_grads(params, grads)
        opts[k].step()
        for i in subsets[k]:
            if grads[i] is not None:
                o = options[k]
                step = grads[i] + o.get("weight_decay", 0) * values[i]
                m = o.get("momentum", 0)
                moments[k][i] = m * moments[k][i] + (1 - m) * step
                values[i] = values[i] - o["lr"] * moments[k][i]
    for p, value in zip(params, values, strict=True):
        np.testing.assert_allclose(p.numpy(), value, rtol=1e-10, atol=1e-12)


def test_ema_warmup_forgets_the_initial_weights_early():
    net = nn.Linear(1, 1, bias=False)
    net.weight.copy_(np.zeros((1, 1), dtype="float32"))
    slow, warm = (optim.EMA(net, decay=0.99, warmup=w) for w in (False, True))
    net.weight.copy_(np.ones((1, 1), dtype="float32"))
    expected, decays = 0.0, []
    for t in range(1, 4):
        slow.update()
        warm.update()
        decays.append(min(0.99, (1 + t) / (10 + t)))
        expected = decays[-1] * expected + (1 - decays[-1])
    assert warm.module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert slow.module.weight.item() == pytest.approx(1 - 0.99**3, rel=1e-5)
