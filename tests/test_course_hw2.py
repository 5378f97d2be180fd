"""Programs in the style of the course's second homework: init, nn, optim, data, an MLP ResNet.

They run in `course_mode`, as `import needle as ndl`. Where the course's tests seed NumPy and
compare numbers, `RandomStateGenerator` draws minigrad's numbers from the course's stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_course_names import as_needle

import minigrad
from minigrad import data


@pytest.fixture(autouse=True)
def needle() -> Iterator[None]:
    with as_needle(), minigrad.course_mode():
        yield


@pytest.fixture
def ndl():
    import needle

    return needle


@pytest.fixture
def nn(ndl):
    import needle.nn

    return needle.nn


class RandomStateGenerator:
    """The four methods that minigrad draws through, on the legacy stream that needle draws from."""

    def __init__(self, seed: int) -> None:
        self.state = np.random.RandomState(seed)

    def random(self, size=None, dtype="float64"):
        return np.asarray(self.state.random_sample(size)).astype(dtype)

    def standard_normal(self, size=None, dtype="float64"):
        return np.asarray(self.state.standard_normal(size)).astype(dtype)

    def integers(self, low, high=None, size=None):
        return self.state.randint(low, high, size=size)

    def permutation(self, x):
        return self.state.permutation(x)


@pytest.fixture
def numpy_seed():
    """`numpy_seed(s)` is the course's `np.random.seed(s)`; it returns a twin stream."""
    before = minigrad.random.generator()

    def seed(s: int) -> np.random.RandomState:
        minigrad.random.set_generator(RandomStateGenerator(s))
        return np.random.RandomState(s)

    yield seed
    minigrad.random.set_generator(before)


def get_tensor(ndl, *shape: int, entropy: int = 1):
    """Deterministic float32 values, made the way the course makes them."""
    state = np.random.RandomState(np.prod(shape) * len(shape) * entropy)
    return ndl.Tensor(state.randint(0, 100, size=shape) / 20, dtype="float32")


def numeric(f, x: np.ndarray) -> np.ndarray:
    """Central differences of the scalar f at x, in float64."""
    x = x.astype("float64")
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + 1e-6
        high = f(x)
        x[i] = old - 1e-6
        low = f(x)
        x[i] = old
        g[i] = (high - low) / 2e-6
    return g


# ------------------------------------------------------------------------------------------ init


def test_random_inits_follow_the_seed(ndl, numpy_seed):
    twin = numpy_seed(42)
    rows = [
        (ndl.init.rand(3, 5, low=-0.4, high=1.3), twin.rand(3, 5) * 1.7 - 0.4),
        (ndl.init.randn(3, 5, mean=2.0, std=4.2), twin.randn(3, 5) * 4.2 + 2.0),
        (ndl.init.randb(3, 5, p=0.3), twin.rand(3, 5) <= 0.3),
        (ndl.init.xavier_uniform(3, 5, gain=1.5), (twin.rand(3, 5) * 2 - 1) * 1.5 * (6 / 8) ** 0.5),
        (ndl.init.xavier_normal(3, 5, gain=0.33), twin.randn(3, 5) * 0.33 * (2 / 8) ** 0.5),
        (ndl.init.kaiming_uniform(3, 5), (twin.rand(3, 5) * 2 - 1) * 2**0.5 * (3 / 3) ** 0.5),
        (ndl.init.kaiming_normal(3, 5), twin.randn(3, 5) * (2 / 3) ** 0.5),
        (ndl.init.kaiming_uniform(18, 9, shape=(3, 3, 2, 1)),
         (twin.rand(3, 3, 2, 1) * 2 - 1) * (6 / 18) ** 0.5),
    ]
    for i, (got, want) in enumerate(rows):
        np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=1e-6, err_msg=str(i))
        assert got.dtype == (np.bool_ if want.dtype == bool else np.float32)
        assert not got.requires_grad


def test_constant_inits(ndl):
    for got, value in [(ndl.init.constant(2, 3, c=3.5), 3.5), (ndl.init.ones(2, 3), 1),
                       (ndl.init.zeros(2, 3), 0), (ndl.ones(2, 3), 1), (ndl.zeros(2, 3), 0)]:
        np.testing.assert_array_equal(got.numpy(), np.full((2, 3), value, dtype="float32"))
    like = ndl.Tensor(np.ones((2, 2)))
    assert ndl.init.zeros_like(like).dtype == np.float64
    np.testing.assert_array_equal(ndl.ones_like(like, requires_grad=True).numpy(), np.ones((2, 2)))
    labels = ndl.Tensor(np.array([2, 0, 1]))
    np.testing.assert_array_equal(ndl.init.one_hot(3, labels).numpy(), np.eye(3)[[2, 0, 1]])
    assert ndl.init.rand(2, requires_grad=True).requires_grad
    assert ndl.init.ones(4, dtype="int32").dtype == np.int32


# -------------------------------------------------------------------------------------------- nn


def test_linear_weights_follow_the_seed(nn, numpy_seed):
    twin = numpy_seed(1337)
    f = nn.Linear(7, 4)
    np.testing.assert_allclose(f.weight.cached_data, (twin.rand(7, 4) * 2 - 1) * (6 / 7) ** 0.5,
                               rtol=1e-5, atol=1e-6)
    bias = (twin.rand(4, 1) * 2 - 1) * (6 / 4) ** 0.5
    np.testing.assert_allclose(f.bias.cached_data, bias.T, rtol=1e-5, atol=1e-6)
    assert f.bias.shape == (1, 4)
    assert nn.Linear(7, 4, bias=False).bias is None
    assert [p.shape for p in f.parameters()] == [(7, 4), (1, 4)]


def test_linear(ndl, nn, numpy_seed):
    numpy_seed(199)
    f = nn.Linear(10, 5)
    f.bias.data = get_tensor(ndl, 5)  # (5,) into (1, 5): the course's own test does so
    x = get_tensor(ndl, 1, 3, 10)
    w, b = f.weight.numpy().astype(float), f.bias.numpy().astype(float)
    y = f(x)
    np.testing.assert_allclose(y.numpy(), x.numpy() @ w + b, rtol=1e-5, atol=1e-5)
    (y**2).sum().backward()
    want = numeric(lambda a: ((a @ w + b) ** 2).sum(), x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-3, atol=1e-2)


def test_relu_and_flatten(ndl, nn):
    x = ndl.Tensor(get_tensor(ndl, 2, 3, 4).numpy() - 2.5)
    y = nn.Flatten()(nn.ReLU()(x))
    assert y.shape == (2, 12)
    np.testing.assert_array_equal(y.numpy(), np.maximum(x.numpy(), 0).reshape(2, 12))
    (y**2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.maximum(x.numpy(), 0))


def test_sequential_and_residual(ndl, nn, numpy_seed):
    numpy_seed(42)
    inner = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 5))
    f = nn.Residual(inner)
    x = get_tensor(ndl, 3, 5)
    (w1, b1), (w2, b2) = [(m.weight.numpy(), m.bias.numpy()) for m in inner.modules[::2]]
    want = np.maximum(x.numpy() @ w1 + b1, 0) @ w2 + b2 + x.numpy()
    np.testing.assert_allclose(f(x).numpy(), want, rtol=1e-5, atol=1e-5)
    f(x).sum().backward()
    mask = x.numpy() @ w1 + b1 > 0
    want = (np.ones((3, 5)) @ w2.T * mask) @ w1.T + 1
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-4, atol=1e-4)
    assert nn.Identity()(x) is x


def batch_norm(x, weight=1.0, bias=0.0, eps=1e-5):
    return weight * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + bias


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm(ndl, nn, affine):
    x = get_tensor(ndl, 5, 3)
    bn = nn.BatchNorm1d(3)
    weight, bias = np.ones(3), np.zeros(3)
    if affine:
        bn.weight.data = get_tensor(ndl, 3, entropy=42)
        bn.bias.data = get_tensor(ndl, 3, entropy=1337)
        weight, bias = bn.weight.numpy(), bn.bias.numpy()
    y = bn(x)
    np.testing.assert_allclose(y.numpy(), batch_norm(x.numpy(), weight, bias), rtol=1e-4, atol=1e-5)
    (y**3).sum().backward()
    want = numeric(lambda a: (batch_norm(a, weight, bias) ** 3).sum(), x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-3, atol=1e-3 * np.abs(want).max())


def test_batch_norm_running_statistics(ndl, nn):
    """Biased variance, new = (1 - momentum) old + momentum batch, and used in evaluation."""
    bn = nn.BatchNorm1d(3, momentum=0.2)
    mean, var = np.zeros(3), np.ones(3)
    for i in range(10):
        x = get_tensor(ndl, 4, 3, entropy=i)
        bn(x)
        mean = 0.8 * mean + 0.2 * x.numpy().mean(0)
        var = 0.8 * var + 0.2 * x.numpy().var(0)
    np.testing.assert_allclose(bn.running_mean.cached_data, mean, rtol=1e-5)
    np.testing.assert_allclose(bn.running_var.cached_data, var, rtol=1e-5)
    bn.eval()
    y = bn(x)
    np.testing.assert_allclose(y.numpy(), (x.numpy() - mean) / np.sqrt(var + 1e-5), rtol=1e-4)
    np.testing.assert_allclose(bn.running_mean.cached_data, mean, rtol=1e-5)
    assert bn.parameters() == [bn.weight, bn.bias]


def test_layer_norm(ndl, nn):
    def layer_norm(x):
        return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)

    x = get_tensor(ndl, 3, 6)
    f = nn.LayerNorm1d(6)
    y = f(x)
    np.testing.assert_allclose(y.numpy(), layer_norm(x.numpy()), rtol=1e-4, atol=1e-5)
    (y**4).sum().backward()
    want = numeric(lambda a: (layer_norm(a) ** 4).sum(), x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-3, atol=2e-3)


def test_dropout_follows_the_seed(ndl, nn, numpy_seed):
    twin = numpy_seed(3)
    x = get_tensor(ndl, 2, 3)
    y = nn.Dropout(0.45)(x)
    keep = (twin.rand(2, 3) <= 1 - 0.45) / (1 - 0.45)
    np.testing.assert_allclose(y.numpy(), x.numpy() * keep, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), keep, rtol=1e-6)
    f = nn.Dropout(0.45)
    f.eval()
    assert f(x) is x


@pytest.mark.parametrize("kind", ["int64", "uint8", "float32"])
def test_softmax_loss(ndl, nn, kind):
    """Labels of any kind: the lecture's GAN passes ndl.ones(n), which are floats."""
    x = get_tensor(ndl, 5, 10)
    labels = np.array([0, 9, 3, 3, 1])
    loss = nn.SoftmaxLoss()(x, ndl.Tensor(labels.astype(kind)))
    z = x.numpy().astype(float)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(loss.numpy(), -np.log(p[range(5), labels]).mean(), rtol=1e-5)
    assert loss.shape == ()
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), (p - np.eye(10)[labels]) / 5, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("axes", [None, (0,), (1,), (1, 2), (0, 2)])
def test_logsumexp(ndl, axes):
    x = get_tensor(ndl, 3, 2, 4)

    def value(a):
        return np.log(np.exp(a).sum(axis=axes))

    y = ndl.ops.logsumexp(x, axes=axes)
    np.testing.assert_allclose(y.numpy(), value(x.numpy().astype(float)), rtol=1e-5)
    (y**2).sum().backward()
    want = numeric(lambda a: (value(a) ** 2).sum(), x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-4, atol=1e-4)


def test_logarithms_do_not_overflow(ndl):
    a = np.array([[1e10, 1e9, -10.0], [1e-10, 1e9, -10.0]])
    got = ndl.ops.logsumexp(ndl.Tensor(a), (0,)).numpy()
    np.testing.assert_allclose(got, [1e10, 1e9 + np.log(2), -10 + np.log(2)], rtol=1e-12)
    x = ndl.Tensor(np.array([[1e5, 0.0], [3.0, 3.0]]))
    y = ndl.ops.logsoftmax(x)
    np.testing.assert_allclose(y.numpy(), [[0, -1e5], [-np.log(2)] * 2], atol=1e-12)
    (y * ndl.Tensor(np.array([[1.0, 0.0], [1.0, 0.0]]))).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [0.5, -0.5]], atol=1e-12)


# ----------------------------------------------------------------------------------- the module


def test_training_mode_reaches_everything(nn):
    class Useless(nn.Module):
        def __init__(self):
            super().__init__()
            self.stuff = {"first": nn.Linear(4, 4),
                          "second": [nn.Dropout(0.1), nn.Sequential(nn.Linear(4, 4))]}

        def forward(self, x):
            raise NotImplementedError

    model = nn.Sequential(
        nn.BatchNorm1d(4), nn.Sequential(nn.LayerNorm1d(4), nn.Linear(4, 4), nn.Dropout(0.1)),
        nn.Linear(4, 4), Useless())
    parts = [
        model, *model.modules, *model.modules[1].modules, model.modules[3].stuff["first"],
        model.modules[3].stuff["second"][0], model.modules[3].stuff["second"][1].modules[0]]
    assert all(m.training for m in parts)
    model.eval()
    assert not any(m.training for m in parts)
    model.train()
    assert all(m.training for m in parts)
    assert len(model.parameters()) == 2 + 2 + 2 + 2 + 2 + 2


def test_an_own_sequential_as_the_course_writes_it(ndl, nn):
    """`self.modules` is an attribute there; it must not hide anything that minigrad needs."""

    class Chain(nn.Module):
        def __init__(self, *modules):
            super().__init__()
            self.modules = modules

        def forward(self, x):
            for module in self.modules:
                x = module(x)
            return x

    model = Chain(nn.Linear(3, 4), nn.ReLU(), Chain(nn.Dropout(0.5), nn.Linear(4, 2)))
    assert [p.shape for p in model.parameters()] == [(3, 4), (1, 4), (4, 2), (1, 2)]
    model.eval()
    assert not model.modules[2].modules[0].training
    x = get_tensor(ndl, 2, 3)
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_an_own_layer_with_buffers_of_its_own(ndl, nn):
    """Running statistics as the course's solutions keep them: plain Tensors, set through .data."""

    class Norm(nn.Module):
        def __init__(self, dim):
            super().__init__()
            self.weight = nn.Parameter(ndl.init.ones(dim))
            self.mean = ndl.init.zeros(dim)

        def forward(self, x):
            n = x.shape[0]
            mean = x.sum(axes=(0,)) / n
            if self.training:
                self.mean.data = 0.9 * self.mean.data + 0.1 * mean.data
            return ndl.broadcast_to(self.weight.reshape((1, -1)), x.shape) * (
                x - ndl.broadcast_to(mean.reshape((1, -1)), x.shape))

    norm, x = Norm(3), get_tensor(ndl, 4, 3)
    for _ in range(2):
        norm(x).sum().backward()
    np.testing.assert_allclose(norm.mean.numpy(), 0.19 * x.numpy().mean(0), rtol=1e-6)
    assert norm.parameters() == [norm.weight]


# ----------------------------------------------------------------------------------------- optim

SETTINGS = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd decay": ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd both": ("SGD", {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.03}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam decay": ("Adam", {"lr": 0.01, "weight_decay": 0.2}),
    "adam betas": ("Adam", {"lr": 0.02, "beta1": 0.5, "beta2": 0.9, "eps": 1e-6}),
}


def oracle(kind: str, p: np.ndarray, grads: list[np.ndarray], lr=0.01, momentum=0.0,
           weight_decay=0.0, beta1=0.9, beta2=0.999, eps=1e-8) -> np.ndarray:
    """The course's update rules in float64."""
    p, u, m, v = p.astype(float), 0.0, 0.0, 0.0
    for t, g in enumerate(grads, start=1):
        g = g + weight_decay * p
        if kind == "SGD":
            u = momentum * u + (1 - momentum) * g
            p = p - lr * u
        else:
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            p = p - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return p


@pytest.mark.parametrize("name", SETTINGS)
def test_update_rules(ndl, nn, name):
    kind, settings = SETTINGS[name]
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(s).astype("float32") for s in [(4, 3), (1, 3)]]
    params = [nn.Parameter(a) for a in start]
    opt = getattr(ndl.optim, kind)(params, **settings)
    history = [[rng.standard_normal(p.shape).astype("float32") for p in params] for _ in range(7)]
    for grads in history:
        opt.reset_grad()
        assert all(p.grad is None for p in params)
        for p, g in zip(params, grads, strict=True):
            p.grad = ndl.Tensor(g)
        opt.step()
        for p, g in zip(params, grads, strict=True):  # a step does not write to the gradients
            np.testing.assert_array_equal(p.grad.numpy(), g)
    for i, p in enumerate(params):
        want = oracle(kind, start[i], [grads[i] for grads in history], **settings)
        np.testing.assert_allclose(p.numpy(), want, rtol=2e-5, atol=2e-6)


def models(nn):
    return {
        "linear": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)),
        "norms": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(),
                                       nn.LayerNorm1d(8), nn.Linear(8, 4)),
        "dropout": lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1),
                                         nn.Linear(32, 4)),
        "residual": lambda: nn.Sequential(nn.Linear(6, 8), nn.Residual(nn.Linear(8, 8)),
                                          nn.Linear(8, 4)),
    }


@pytest.mark.parametrize("model", ["linear", "norms", "dropout", "residual"])
@pytest.mark.parametrize("name", SETTINGS)
def test_models_learn(ndl, nn, model, name):
    kind, settings = SETTINGS[name]
    rng = np.random.default_rng(5)
    net = models(nn)[model]()
    opt = getattr(ndl.optim, kind)(net.parameters(), **(settings | {"weight_decay": 1e-4}))
    loss_function = nn.SoftmaxLoss()
    X = rng.standard_normal((256, 6)).astype("float32")
    y = (X @ rng.standard_normal((6, 4))).argmax(1).astype(np.uint8)
    losses = []
    for _ in range(6):
        for X0, y0 in zip(np.array_split(X, 8), np.array_split(y, 8), strict=True):
            opt.reset_grad()
            loss = loss_function(net(ndl.Tensor(X0, dtype="float32")), ndl.Tensor(y0))
            loss.backward()
            opt.step()
            losses.append(float(loss.numpy()))
    assert np.mean(losses[-8:]) < 0.85 * np.mean(losses[:8])


def test_float64_inputs_to_float32_weights(ndl, nn):
    """In the course NumPy promotes, and the step brings the float64 gradient to the weights."""
    net = nn.Linear(3, 2)
    before = net.weight.numpy()
    opt = ndl.optim.SGD(net.parameters(), lr=0.5)
    x = ndl.Tensor(np.arange(6.0).reshape(2, 3))
    out = net(x)
    assert out.dtype == np.float64
    out.sum().backward()
    opt.step()
    assert net.weight.dtype == np.float32
    want = before - 0.5 * x.numpy().sum(0)[:, None]
    np.testing.assert_allclose(net.weight.numpy(), want, rtol=1e-5, atol=1e-6)


def test_clip_grad_norm(ndl, nn):
    params = [nn.Parameter(np.zeros(n, dtype="float32")) for n in (3, 4)]
    grads = [np.full(3, 2.0), np.full(4, -1.0)]
    opt = ndl.optim.SGD(params, lr=1.0)
    for max_norm, factor in [(100.0, 1.0), (2.0, 2.0 / 4), (0.25, 0.25 / 4)]:
        for p, g in zip(params, grads, strict=True):
            p.grad = ndl.Tensor(g, dtype="float32")
        opt.clip_grad_norm(max_norm=max_norm)
        for p, g in zip(params, grads, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), g * factor, rtol=1e-5)


def test_an_own_optimizer(ndl, nn):
    """Written as in the course: a base class that keeps `params`, moments in dictionaries."""

    class Momentum(ndl.optim.Optimizer):
        def __init__(self, params, lr=0.1, momentum=0.9):
            super().__init__(params)
            self.lr, self.momentum, self.u = lr, momentum, {}

        def step(self):
            for p in self.params:
                grad = p.grad.data
                self.u[p] = self.momentum * self.u.get(p, 0.0) + (1 - self.momentum) * grad
                p.data = p.data - self.lr * self.u[p]

    class Plain:
        def __init__(self, params, lr):
            self.params, self.lr = params, lr

        def step(self):
            for p in self.params:
                p.data = ndl.Tensor(p.cached_data - self.lr * p.grad.cached_data, dtype=p.dtype)

    start = np.array([3.0, -2.0], dtype="float32")
    for make, want in [(lambda ps: Momentum(ps, lr=0.2), 0.9), (lambda ps: Plain(ps, 0.2), 0.0)]:
        p = nn.Parameter(start)
        opt, grads = make([p]), []
        for _ in range(4):
            ((p * p).sum() * 0.5).backward()
            grads.append(p.numpy())
            opt.step()
        expected = oracle("SGD", start, grads, lr=0.2, momentum=want)
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-5)


def test_parameters_may_be_replaced_between_steps(ndl, nn):
    """`model.layer.weight.data = ...` and `weight.cached_data = ...` after the optimizer exists."""
    layer = nn.Linear(2, 2)
    opt = ndl.optim.SGD(layer.parameters(), lr=1.0)
    layer.weight.data = ndl.Tensor(np.eye(2), dtype="float32")
    layer.weight.cached_data = np.full((2, 2), 5.0, dtype="float32")
    layer(ndl.init.ones(1, 2)).sum().backward()
    opt.step()
    np.testing.assert_array_equal(layer.weight.numpy(), np.full((2, 2), 4.0))


# ------------------------------------------------------------------------------------------ data


@pytest.fixture
def digits(tmp_path: Path) -> tuple[str, str]:
    """An image and a label file in the form of MNIST."""
    embedded = data.load("digits")
    images, labels = str(tmp_path / "images.gz"), str(tmp_path / "labels.gz")
    data.write_idx(images, embedded.train_images[:600])
    data.write_idx(labels, embedded.train_labels[:600])
    return images, labels


def test_flip_and_crop_follow_the_seed(ndl, numpy_seed):
    image = np.random.default_rng(0).random((5, 6, 2))
    twin = numpy_seed(0)
    flip = ndl.data.RandomFlipHorizontal()
    flipped = 0
    for _ in range(8):
        turned = twin.rand() < 0.5
        flipped += turned
        np.testing.assert_array_equal(flip(image), image[:, ::-1] if turned else image)
    assert 0 < flipped < 8
    crop = ndl.data.RandomCrop(2)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    for _ in range(4):
        dy, dx = twin.randint(low=-2, high=3, size=2)
        np.testing.assert_array_equal(crop(image), padded[2 + dy : 7 + dy, 2 + dx : 8 + dx])


def test_mnist_dataset_and_loader(ndl, digits, numpy_seed):
    embedded = data.load("digits")
    dataset = ndl.data.MNISTDataset(*digits)
    assert len(dataset) == 600
    image, label = dataset[7]
    np.testing.assert_allclose(np.ravel(image), embedded.train_images[7].ravel() / 255, rtol=1e-6)
    assert label == embedded.train_labels[7]
    loader = ndl.data.DataLoader(dataset=dataset, batch_size=128, shuffle=False)
    batches = list(loader)
    assert [batch[0].shape[0] for batch in batches] == [128] * 4 + [88]
    assert all(isinstance(part, ndl.Tensor) for batch in batches for part in batch)
    got = np.concatenate([batch[1].numpy() for batch in batches])
    np.testing.assert_array_equal(got, embedded.train_labels[:600])
    twin = numpy_seed(4)
    shuffled = [y.numpy() for x, y in ndl.data.DataLoader(dataset, 128, shuffle=True)]
    order = twin.permutation(600)
    np.testing.assert_array_equal(np.concatenate(shuffled), embedded.train_labels[:600][order])


def test_transforms_and_an_own_dataset(ndl, digits, numpy_seed):
    numpy_seed(0)
    transforms = [ndl.data.RandomCrop(3), ndl.data.RandomFlipHorizontal(0.5)]
    dataset = ndl.data.MNISTDataset(*digits, transforms=transforms)
    for x, _y in ndl.data.DataLoader(dataset, 100):
        assert x.shape == (100, 28, 28, 1)

    class Squares(ndl.data.Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return self.apply_transforms(np.array([index, index**2], dtype="float32"))

    rows = [batch[0].numpy() for batch in ndl.data.DataLoader(Squares(), batch_size=2)]
    np.testing.assert_array_equal(np.concatenate(rows), [[i, i * i] for i in range(5)])
    pairs = ndl.data.NDArrayDataset(np.arange(4), np.arange(4) * 2.0)
    assert pairs[3] == (3, 6.0)


# ------------------------------------------------------------------------------- mlp_resnet.py


def residual_block(nn, dim, hidden_dim, norm, drop_prob):
    body = nn.Sequential(nn.Linear(dim, hidden_dim), norm(hidden_dim), nn.ReLU(),
                         nn.Dropout(drop_prob), nn.Linear(hidden_dim, dim), norm(dim))
    return nn.Sequential(nn.Residual(body), nn.ReLU())


def mlp_resnet(nn, dim, hidden_dim, num_blocks=3, num_classes=10, norm=None, drop_prob=0.1):
    norm = norm or nn.BatchNorm1d
    blocks = [residual_block(nn, hidden_dim, hidden_dim // 2, norm, drop_prob)
              for _ in range(num_blocks)]
    return nn.Sequential(nn.Flatten(), nn.Linear(dim, hidden_dim), nn.ReLU(), *blocks,
                         nn.Linear(hidden_dim, num_classes))


def run_epoch(nn, dataloader, model, opt=None):
    """Error rate and mean loss; trains if there is an optimizer."""
    loss_function = nn.SoftmaxLoss()
    model.train() if opt else model.eval()
    wrong, losses, n = 0, [], 0
    for x, y in dataloader:
        logits = model(x)
        loss = loss_function(logits, y)
        if opt:
            opt.reset_grad()
            loss.backward()
            opt.step()
        wrong += np.sum(logits.numpy().argmax(axis=1) != y.numpy())
        losses.append(loss.numpy())
        n += len(y.numpy())
    return wrong / n, np.mean(losses)


@pytest.mark.parametrize("norm", ["BatchNorm1d", "LayerNorm1d"])
def test_mlp_resnet_has_the_courses_size(ndl, nn, norm):
    model = mlp_resnet(nn, 50, 16, num_blocks=2, norm=getattr(nn, norm))
    count = np.sum([np.prod(p.shape) for p in model.parameters()])
    block = 16 * 8 + 8 + 2 * 8 + 8 * 16 + 16 + 2 * 16
    assert count == 50 * 16 + 16 + 2 * block + 16 * 10 + 10
    assert model(ndl.Tensor(np.zeros((2, 50), dtype=np.float32))).shape == (2, 10)


@pytest.mark.parametrize(
    "kind, settings", [("SGD", {"lr": 0.2, "momentum": 0.5}), ("Adam", {"lr": 0.01})])
def test_mlp_resnet_trains_on_digits(ndl, nn, digits, kind, settings):
    loader = ndl.data.DataLoader(ndl.data.MNISTDataset(*digits), batch_size=60, shuffle=True)
    model = mlp_resnet(nn, 784, 48, num_blocks=2)
    opt = getattr(ndl.optim, kind)(model.parameters(), weight_decay=1e-3, **settings)
    history = [run_epoch(nn, loader, model, opt) for _ in range(3)]
    assert history[-1][1] < 0.6 * history[0][1]
    assert history[-1][0] < 0.25
    still = [p.numpy() for p in model.parameters()]
    error, _ = run_epoch(nn, loader, model)
    assert error < 0.3
    for p, before in zip(model.parameters(), still, strict=True):
        np.testing.assert_array_equal(p.numpy(), before)
