"""Programs in the style of the course's fourth homework, and the GAN of its lecture.

Stack, split, flip, dilate and tanh; `ops.conv` and `nn.Conv` once convolution is there. They run in
`course_mode`, as `import needle as ndl`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from test_course_names import as_needle

import minigrad


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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def dilated(a: np.ndarray, axes: tuple[int, ...], dilation: int) -> np.ndarray:
    """Zeros after every element, written out by loops."""
    shape = [n * (dilation + 1) if i in axes else n for i, n in enumerate(a.shape)]
    out = np.zeros(shape, dtype=a.dtype)
    for index in np.ndindex(a.shape):
        out[tuple(k * (dilation + 1) if i in axes else k for i, k in enumerate(index))] = a[index]
    return out


def backward_check(ndl, f, arrays: list[np.ndarray], rng) -> None:
    """As the course's: gradient_as_tuple on a random cotangent, against central differences.

    ``f`` takes a list of Tensors; a gradient that is one TensorTuple counts as its members.
    """
    tensors = [ndl.Tensor(a) for a in arrays]
    out = f(tensors)
    c = rng.standard_normal(out.shape)
    grads = out.op.gradient_as_tuple(ndl.Tensor(c), out)
    if isinstance(grads[0], ndl.TensorTuple):
        grads = grads[0].tuple()
    assert len(grads) == len(arrays)
    for i, a in enumerate(arrays):
        want = np.zeros_like(a)
        for index in np.ndindex(a.shape):
            for step in (1e-5, -1e-5):
                moved = [b.copy() for b in arrays]
                moved[i][index] += step
                value = f([ndl.Tensor(b) for b in moved]).numpy()
                want[index] += np.sign(step) * (value * c).sum() / 2e-5
        np.testing.assert_allclose(grads[i].numpy(), want, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stack(ndl, rng, n, axis):
    arrays = [rng.standard_normal((3, 4)) for _ in range(n)]
    tensors = [ndl.Tensor(a) for a in arrays]
    out = ndl.stack(tensors, axis=axis)
    np.testing.assert_array_equal(out.numpy(), np.stack(arrays, axis=axis))
    np.testing.assert_array_equal(
        ndl.ops.Stack(axis)(ndl.make_tuple(*tensors)).numpy(), out.numpy())
    backward_check(ndl, lambda ts: ndl.stack(ts, axis=axis), arrays, rng)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_split(ndl, rng, axis):
    a = rng.standard_normal((2, 3, 4))
    x = ndl.Tensor(a)
    parts = ndl.split(x, axis=axis)
    assert isinstance(parts, ndl.TensorTuple)
    assert len(parts) == a.shape[axis]
    weights = [rng.standard_normal(part.shape) for part in parts.tuple()]
    total = None
    for i, w in enumerate(weights):
        np.testing.assert_array_equal(parts[i].numpy(), np.take(a, i, axis=axis))
        term = (parts[i] * parts[i] * ndl.Tensor(w)).sum()
        total = term if total is None else total + term
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * a * np.stack(weights, axis=axis))
    np.testing.assert_array_equal(ndl.stack(parts.tuple(), axis=axis).numpy(), a)
    np.testing.assert_array_equal(ndl.stack(ndl.ops.Split(axis)(x), axis).numpy(), a)


def test_only_one_member_is_used(ndl, rng):
    x = ndl.Tensor(rng.standard_normal((3, 2)))
    y = ndl.ops.tuple_get_item(ndl.split(x, axis=0), 1)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [1, 1], [0, 0]])


def test_tuples_add_and_give_gradients(ndl, rng):
    a, b, c, d = (ndl.Tensor(rng.standard_normal(3)) for _ in range(4))
    total = ndl.make_tuple(a, b) + ndl.make_tuple(c, d)
    first, second = total.tuple()
    np.testing.assert_allclose(first.numpy(), a.numpy() + c.numpy())
    (first * second).sum().backward()
    np.testing.assert_allclose(d.grad.numpy(), first.numpy())
    np.testing.assert_allclose(a.grad.numpy(), second.numpy())
    assert ndl.make_tuple(a, b).detach().tuple()[0].is_leaf()


def test_stack_inside_a_graph(ndl, rng):
    """The gradient of a product through stack, matmul and reshape, against its hand form."""
    arrays = [rng.standard_normal((3, 3)) for _ in range(3)] + [rng.standard_normal((9, 3))]
    A, B, C, D = (ndl.Tensor(a) for a in arrays)
    X = ndl.stack([A, C @ B, C], axis=1)
    y = (D @ X.reshape((3, 9)) @ D).sum()
    y.backward()
    _, b, c, d = arrays
    g = (d.sum(0)[:, None] * d.sum(1)[None, :]).reshape(3, 3, 3)
    np.testing.assert_allclose(A.grad.numpy(), g[:, 0])
    np.testing.assert_allclose(B.grad.numpy(), c.T @ g[:, 1])
    np.testing.assert_allclose(C.grad.numpy(), g[:, 1] @ b.T + g[:, 2])


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (2, 3), (0, 1, 2, 3), None])
def test_flip(ndl, rng, axes):
    a = rng.standard_normal((2, 3, 2, 4))
    np.testing.assert_array_equal(ndl.flip(ndl.Tensor(a), axes=axes).numpy(), np.flip(a, axes))
    backward_check(ndl, lambda ts: ndl.flip(ts[0], axes=axes), [a], rng)


@pytest.mark.parametrize(
    "shape, axes", [((2, 5), (0,)), ((2, 5), (1,)), ((2, 5), (0, 1)), ((2, 2, 3, 2), (1, 2)),
                    ((2, 1, 2, 2), (0, 1, 2, 3)), ((3, 2), ())])
@pytest.mark.parametrize("d", [0, 1, 2])
def test_dilate_and_undilate(ndl, rng, shape, axes, d):
    a = rng.standard_normal(shape)
    out = ndl.dilate(ndl.Tensor(a), dilation=d, axes=axes)
    np.testing.assert_array_equal(out.numpy(), dilated(a, axes, d))
    np.testing.assert_array_equal(ndl.undilate(out, axes=axes, dilation=d).numpy(), a)
    backward_check(ndl, lambda ts: ndl.dilate(ts[0], axes=axes, dilation=d), [a], rng)
    backward_check(
        ndl, lambda ts: ndl.undilate(ts[0], axes=axes, dilation=d), [out.numpy()], rng)


def test_dilate_integers(ndl):
    out = ndl.dilate(ndl.Tensor(np.array([[7, 9], [8, 2]])), dilation=1, axes=(0,))
    np.testing.assert_array_equal(out.numpy(), [[7, 9], [0, 0], [8, 2], [0, 0]])
    assert out.dtype == np.int64


def test_tanh(ndl, rng):
    a = rng.standard_normal((3, 4))
    np.testing.assert_allclose(ndl.tanh(ndl.Tensor(a)).numpy(), np.tanh(a))
    backward_check(ndl, lambda ts: ndl.tanh(ts[0]), [a], rng)


@pytest.mark.parametrize("stride, padding", [(1, 0), (1, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("k", [1, 3])
def test_conv(ndl, rng, k, stride, padding):
    if not hasattr(ndl.ops, "conv"):
        pytest.skip("comes with convolution")
    z, w = rng.standard_normal((2, 6, 7, 2)), rng.standard_normal((k, k, 2, 3))

    def naive(z, w):
        padded = np.pad(z, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        rows, columns = ((padded.shape[i] - k) // stride + 1 for i in (1, 2))
        out = np.zeros((2, rows, columns, 3))
        for i in range(rows):
            for j in range(columns):
                window = padded[:, i * stride : i * stride + k, j * stride : j * stride + k]
                out[:, i, j] = np.tensordot(window, w, axes=3)
        return out

    out = ndl.conv(ndl.Tensor(z), ndl.Tensor(w), stride=stride, padding=padding)
    np.testing.assert_allclose(out.numpy(), naive(z, w), rtol=1e-9, atol=1e-9)
    backward_check(ndl, lambda ts: ndl.conv(*ts, stride=stride, padding=padding),
                   [z[:1, :4, :4], w], rng)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_conv_module(ndl, nn, stride, bias):
    """NCHW in and out, weights (k, k, in, out), "same" padding k // 2."""
    if not hasattr(nn, "Conv"):
        pytest.skip("comes with convolution")
    layer = nn.Conv(2, 3, 3, stride=stride, bias=bias)
    assert layer.weight.shape == (3, 3, 2, 3)
    assert len(layer.parameters()) == 1 + bias
    x = ndl.init.randn(2, 2, 6, 6, requires_grad=True)
    out = layer(x)
    nhwc = ndl.conv(ndl.Tensor(x.numpy().transpose(0, 2, 3, 1)), layer.weight, stride=stride,
                    padding=1).numpy()
    want = nhwc.transpose(0, 3, 1, 2)
    if bias:
        want = want + layer.bias.numpy().reshape(1, 3, 1, 1)
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-4, atol=1e-5)
    out.sum().backward()
    assert x.grad.shape == x.shape


# ------------------------------------------------------------------------------ the lecture's GAN

A = np.array([[1, 2], [-0.2, 0.5]], dtype="float32")
MU = np.array([2, 1], dtype="float32")


def make_data(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal((n, 2), dtype="float32") @ A + MU


class GANLoss:
    """The lecture's: a discriminator and its optimizer as one loss; it never resets a gradient."""

    def __init__(self, ndl, nn, model_D, opt_D):
        self.ndl, self.model_D, self.opt_D = ndl, model_D, opt_D
        self.loss_D = nn.SoftmaxLoss()

    def update_D(self, fake_X, real_X):
        fake_Y, real_Y = self.model_D(fake_X.detach()), self.model_D(real_X)
        n = real_X.shape[0]
        loss = self.loss_D(real_Y, self.ndl.ones(n)) + self.loss_D(fake_Y, self.ndl.zeros(n))
        loss.backward()
        self.opt_D.step()
        return loss

    def __call__(self, fake_X, real_X):
        self.d_loss = self.update_D(fake_X, real_X)
        return self.loss_D(self.model_D(fake_X), self.ndl.ones(real_X.shape[0]))


def discriminator(nn):
    return nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(),
                         nn.Linear(10, 2))


def test_the_lectures_gan_finds_the_mean_and_covariance(ndl, nn, rng):
    model_G, model_D = nn.Sequential(nn.Linear(2, 2)), discriminator(nn)
    opt_G = ndl.optim.Adam(model_G.parameters(), lr=0.01)
    gan_loss = GANLoss(ndl, nn, model_D, ndl.optim.Adam(model_D.parameters(), lr=0.01))
    real = make_data(rng, 3200)
    for _ in range(12):
        for i in range(0, len(real), 32):
            fake_X = model_G(ndl.Tensor(rng.standard_normal((32, 2), dtype="float32")))
            loss = gan_loss(fake_X, ndl.Tensor(real[i : i + 32]))
            loss.backward()
            opt_G.step()
    fake = model_G(ndl.Tensor(rng.standard_normal((3200, 2), dtype="float32"))).numpy()
    np.testing.assert_allclose(fake.mean(0), MU, atol=0.35)
    np.testing.assert_allclose(np.cov(fake.T), A.T @ A, atol=1.0)
    assert abs(float(loss.numpy()) - np.log(2)) < 0.5


def test_the_lectures_gan_step_is_exact(ndl, nn, rng):
    """Two steps without reset_grad, against float64 NumPy: no gradient leaks to the other."""
    model_G, model_D = nn.Sequential(nn.Linear(2, 2)), discriminator(nn)
    opt_G = ndl.optim.SGD(model_G.parameters(), lr=0.1)
    gan_loss = GANLoss(ndl, nn, model_D, ndl.optim.SGD(model_D.parameters(), lr=0.2))
    G = [p.numpy().astype(float) for p in model_G.parameters()]
    D = [p.numpy().astype(float) for p in model_D.parameters()]

    def passes(x, label):
        """Gradients of the mean cross entropy with one label: of D's weights, and of x."""
        h1 = np.maximum(x @ D[0] + D[1], 0)
        h2 = np.maximum(h1 @ D[2] + D[3], 0)
        z = h2 @ D[4] + D[5]
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[:, label] -= 1
        g3 = p / len(x)
        g2 = g3 @ D[4].T * (h2 > 0)
        g1 = g2 @ D[2].T * (h1 > 0)
        grads = [x.T @ g1, g1.sum(0), h1.T @ g2, g2.sum(0), h2.T @ g3, g3.sum(0)]
        return grads, g1 @ D[0].T

    for _ in range(2):
        real, z = make_data(rng, 16), rng.standard_normal((16, 2), dtype="float32")
        loss = gan_loss(model_G(ndl.Tensor(z)), ndl.Tensor(real))
        loss.backward()
        opt_G.step()
        fake = z @ G[0] + G[1]
        of_real, of_fake = passes(real, 1)[0], passes(fake, 0)[0]
        for p, a, b in zip(D, of_real, of_fake, strict=True):
            p -= 0.2 * (a + b)
        g = passes(fake, 1)[1]
        G[0] = G[0] - 0.1 * z.T @ g
        G[1] = G[1] - 0.1 * g.sum(0)
        for model, arrays in ((model_D, D), (model_G, G)):
            for p, want in zip(model.parameters(), arrays, strict=True):
                np.testing.assert_allclose(p.numpy(), want, rtol=1e-4, atol=1e-5)
