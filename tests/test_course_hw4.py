"""Programs in the style of the course's fourth homework, and the GAN of its lecture.

Stack, split, flip, dilate, tanh and convolution, up to the network of nine layers for CIFAR-10.
They run in `course_mode`, as `import needle as ndl`.
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


# -------------------------------------------------------------------------------- convolution


def convolved(z: np.ndarray, w: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """Images (n, h, w, c) with a weight (k, k, c, o), window by window."""
    k = len(w)
    padded = np.pad(z, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = ((padded.shape[i] - k) // stride + 1 for i in (1, 2))
    out = np.zeros((len(z), rows, columns, w.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, i * stride:i * stride + k, j * stride:j * stride + k]
            out[:, i, j] = np.tensordot(window, w, axes=3)
    return out


def pulled_back(
    z: np.ndarray, w: np.ndarray, stride: int, padding: int, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of sum(g * convolved(z, w)), window by window."""
    k = len(w)
    padded = np.pad(z, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    of_padded, of_w = np.zeros_like(padded), np.zeros_like(w)
    for i in range(g.shape[1]):
        for j in range(g.shape[2]):
            at = np.s_[:, i * stride:i * stride + k, j * stride:j * stride + k]
            of_padded[at] += np.tensordot(g[:, i, j], w, axes=(1, 3))
            of_w += np.tensordot(padded[at], g[:, i, j], axes=(0, 0))
    inner = slice(padding, -padding or None)
    return of_padded[:, inner, inner], of_w


@pytest.mark.parametrize("stride, padding", [(1, 0), (1, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("k", [1, 3])
def test_conv(ndl, rng, k, stride, padding):
    z, w = rng.standard_normal((2, 6, 7, 2)), rng.standard_normal((k, k, 2, 3))
    out = ndl.conv(ndl.Tensor(z), ndl.Tensor(w), stride=stride, padding=padding)
    np.testing.assert_allclose(out.numpy(), convolved(z, w, stride, padding), rtol=1e-9, atol=1e-9)
    backward_check(ndl, lambda ts: ndl.conv(*ts, stride=stride, padding=padding),
                   [z[:1, :4, :4], w], rng)


@pytest.mark.parametrize("z_shape, w_shape, stride, padding", [
    ((3, 14, 14, 8), (3, 3, 8, 16), 1, 0), ((3, 14, 14, 8), (3, 3, 8, 16), 1, 1),
    ((3, 16, 16, 8), (3, 3, 8, 16), 1, 2), ((3, 16, 16, 8), (3, 3, 8, 14), 1, 0),
    ((3, 16, 16, 2), (3, 3, 2, 14), 1, 0), ((3, 14, 14, 8), (3, 3, 8, 16), 2, 0),
    ((3, 14, 14, 8), (3, 3, 8, 16), 2, 1), ((3, 16, 16, 8), (3, 3, 8, 16), 2, 2),
    ((3, 16, 16, 8), (3, 3, 8, 14), 2, 0), ((3, 16, 16, 2), (3, 3, 2, 14), 2, 0),
    ((3, 16, 16, 24), (3, 3, 24, 14), 1, 0), ((3, 14, 14, 8), (5, 5, 8, 16), 1, 0),
    ((3, 17, 17, 8), (5, 5, 8, 16), 1, 0), ((3, 17, 17, 1), (5, 5, 1, 16), 1, 0),
    ((3, 17, 17, 16), (5, 5, 16, 1), 1, 0), ((3, 17, 17, 16), (1, 1, 16, 1), 1, 0),
    ((1, 14, 14, 2), (3, 3, 2, 2), 1, 0)], ids=str)
def test_conv_at_the_courses_shapes(ndl, rng, z_shape, w_shape, stride, padding):
    """Values and gradients of a whole backward pass, by Tensor and by the op's own gradient."""
    z, w = rng.standard_normal(z_shape), rng.standard_normal(w_shape)
    a, b = ndl.Tensor(z), ndl.Tensor(w)
    y = ndl.conv(a, b, stride=stride, padding=padding)
    want = convolved(z, w, stride, padding)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-9, atol=1e-9)
    (y * y).sum().backward()
    of_z, of_w = pulled_back(z, w, stride, padding, 2 * want)
    np.testing.assert_allclose(a.grad.numpy(), of_z, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(b.grad.numpy(), of_w, rtol=1e-9, atol=1e-6)
    g = rng.standard_normal(want.shape)
    for got, exact in zip(y.op.gradient_as_tuple(ndl.Tensor(g), y),
                          pulled_back(z, w, stride, padding, g), strict=True):
        np.testing.assert_allclose(got.numpy(), exact, rtol=1e-9, atol=1e-8)


def test_conv_as_dilate_flip_and_conv_make_its_gradient(ndl, rng):
    """What students derive: the image's gradient is a convolution of the dilated upstream."""
    z, w = ndl.Tensor(rng.standard_normal((2, 8, 8, 3))), ndl.Tensor(rng.standard_normal(
        (3, 3, 3, 4)))
    for stride, padding in ((1, 0), (1, 1), (2, 1)):
        y = ndl.conv(z, w, stride=stride, padding=padding)
        g = ndl.Tensor(rng.standard_normal(y.shape))
        spread = ndl.dilate(g, (1, 2), stride - 1) if stride > 1 else g
        turned = ndl.transpose(ndl.flip(w, (0, 1)), (2, 3))
        built = ndl.conv(spread, turned, stride=1, padding=3 - 1 - padding).numpy()
        of_z = y.op.gradient_as_tuple(g, y)[0].numpy()
        np.testing.assert_allclose(of_z, built[:, :8, :8], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("s, cin, cout, k, stride", [
    (4, 8, 16, 3, 1), (32, 8, 8, 3, 2), (32, 8, 16, 3, 2), (32, 16, 8, 3, 1), (14, 8, 16, 3, 2),
    (14, 1, 16, 3, 1), (14, 8, 1, 1, 1), (6, 2, 3, 5, 1)])
def test_conv_module(ndl, nn, rng, s, cin, cout, k, stride):
    """NCHW in and out, weights (k, k, in, out), "same" padding: values and gradients."""
    f = nn.Conv(cin, cout, k, stride=stride)
    assert f.weight.shape == (k, k, cin, cout)
    assert f.bias.shape == (cout,)
    x = ndl.init.rand(2, cin, s, s, requires_grad=True)
    y = f(x)
    z, w = (t.numpy().astype("float64") for t in (x, f.weight))
    z = z.transpose(0, 2, 3, 1)
    want = convolved(z, w, stride, (k - 1) // 2) + f.bias.numpy()
    assert y.shape == (2, cout, -(-s // stride), -(-s // stride))
    np.testing.assert_allclose(y.numpy(), want.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
    g = rng.standard_normal(y.shape).astype("float32")
    (y * ndl.Tensor(g)).sum().backward()
    upstream = g.transpose(0, 2, 3, 1).astype("float64")
    of_z, of_w = pulled_back(z, w, stride, (k - 1) // 2, upstream)
    np.testing.assert_allclose(x.grad.numpy(), of_z.transpose(0, 3, 1, 2), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(f.weight.grad.numpy(), of_w, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(f.bias.grad.numpy(), g.sum((0, 2, 3)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_conv_module_without_bias(ndl, nn, bias):
    layer = nn.Conv(2, 3, 3, bias=bias)
    assert len(layer.parameters()) == 1 + bias
    x = ndl.init.randn(2, 2, 6, 6, requires_grad=True)
    out = layer(x)
    nhwc = ndl.Tensor(x.numpy().transpose(0, 2, 3, 1))
    want = ndl.conv(nhwc, layer.weight, stride=1, padding=1).numpy().transpose(0, 3, 1, 2)
    if bias:
        want = want + layer.bias.numpy().reshape(1, 3, 1, 1)
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-4, atol=1e-5)
    out.sum().backward()
    assert x.grad.shape == x.shape


def test_batch_norm_2d_is_batch_norm_1d_on_pixels(ndl, nn, rng):
    """The course writes the one by transposing the pixels into rows of the other."""
    images, rows = nn.BatchNorm2d(3), nn.BatchNorm1d(3)
    for _ in range(2):
        a = rng.standard_normal((4, 3, 5, 2)).astype("float32")
        x, r = ndl.Tensor(a), ndl.Tensor(a.transpose(0, 2, 3, 1).reshape(-1, 3))
        y, z = images(x), rows(r)
        np.testing.assert_allclose(
            y.numpy(), z.numpy().reshape(4, 5, 2, 3).transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
        g = rng.standard_normal(a.shape).astype("float32")
        (y * ndl.Tensor(g)).sum().backward()
        (z * ndl.Tensor(g.transpose(0, 2, 3, 1).reshape(-1, 3))).sum().backward()
        for p, q in ((images.weight, rows.weight), (images.bias, rows.bias)):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(images.running_mean.numpy(), rows.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(images.running_var.numpy(), rows.running_var.numpy(), rtol=1e-5)


PROGRAM = """
import needle as ndl
import needle.nn as nn
import numpy as np


def ConvBN(a, b, k, s, device=None, dtype="float32"):
    return nn.Sequential(nn.Conv(a, b, k, stride=s, bias=True, device=device, dtype=dtype),
                         nn.BatchNorm2d(dim=b, device=device, dtype=dtype), nn.ReLU())


class ResNet9(ndl.nn.Module):
    def __init__(self, device=None, dtype="float32"):
        super().__init__()
        more = {"device": device, "dtype": dtype}
        self.model = nn.Sequential(
            ConvBN(3, 16, 7, 4, **more),
            ConvBN(16, 32, 3, 2, **more),
            nn.Residual(nn.Sequential(ConvBN(32, 32, 3, 1, **more), ConvBN(32, 32, 3, 1, **more))),
            ConvBN(32, 64, 3, 2, **more),
            ConvBN(64, 128, 3, 2, **more),
            nn.Residual(nn.Sequential(ConvBN(128, 128, 3, 1, **more),
                                      ConvBN(128, 128, 3, 1, **more))),
            nn.Flatten(),
            nn.Linear(128, 128, **more),
            nn.ReLU(),
            nn.Linear(128, 10, **more),
        )

    def forward(self, x):
        return self.model(x)


def epoch(batches, model, loss_fn, opt=None):
    model.train() if opt is not None else model.eval()
    correct, total, losses = 0, 0, []
    for X, y in batches:
        out = model(ndl.Tensor(X))
        loss = loss_fn(out, ndl.Tensor(y))
        correct += (np.argmax(out.numpy(), axis=1) == y).sum()
        total += len(y)
        losses.append(float(loss.numpy()))
        if opt is not None:
            opt.reset_grad()
            loss.backward()
            opt.step()
    return correct / total, np.mean(losses)
"""


@pytest.fixture
def program(needle) -> dict:
    scope: dict = {}
    exec(compile(PROGRAM, "resnet9.py", "exec"), scope)
    return scope


def resnet9_in_numpy(state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The logits in training, from the parameters by path, in float64."""

    def conv_bn(path: str, x: np.ndarray, stride: int) -> np.ndarray:
        w = state[f"{path}.layers.0.weight"].astype("float64")
        y = convolved(x, w, stride, (len(w) - 1) // 2) + state[f"{path}.layers.0.bias"]
        m, v = y.mean((0, 1, 2)), y.var((0, 1, 2))
        y = (y - m) / np.sqrt(v + 1e-5)
        return np.maximum(y * state[f"{path}.layers.1.weight"]
                          + state[f"{path}.layers.1.bias"], 0)

    def residual(path: str, x: np.ndarray) -> np.ndarray:
        y = conv_bn(f"{path}.fn.layers.0", x, 1)
        return conv_bn(f"{path}.fn.layers.1", y, 1) + x

    at = "model.layers"
    x = x.transpose(0, 2, 3, 1).astype("float64")
    x = conv_bn(f"{at}.1", conv_bn(f"{at}.0", x, 4), 2)
    x = residual(f"{at}.2", x)
    x = residual(f"{at}.5", conv_bn(f"{at}.4", conv_bn(f"{at}.3", x, 2), 2))
    x = np.maximum(x.reshape(len(x), -1) @ state[f"{at}.7.weight"] + state[f"{at}.7.bias"], 0)
    return x @ state[f"{at}.9.weight"] + state[f"{at}.9.bias"]


def test_resnet9(ndl, program, rng):
    """As many numbers as the layers say, and the logits that NumPy finds with them."""
    model = program["ResNet9"]()
    convs = [(3, 16, 7), (16, 32, 3), (32, 32, 3), (32, 32, 3), (32, 64, 3), (64, 128, 3),
             (128, 128, 3), (128, 128, 3)]
    count = sum(a * b * k * k + b + 2 * b for a, b, k in convs) + 128 * 129 + 10 * 129
    assert sum(np.prod(p.shape) for p in model.parameters()) == count
    x = rng.standard_normal((3, 3, 32, 32)).astype("float32")
    state = model.state_dict()
    model.train()
    out = model(ndl.Tensor(x))
    assert out.shape == (3, 10)
    np.testing.assert_allclose(out.numpy(), resnet9_in_numpy(state, x), rtol=1e-3, atol=2e-3)


def test_resnet9_against_differences(ndl, program, rng):
    """In float64: the slope of the loss along a direction of all parameters together."""
    model = program["ResNet9"](dtype="float64")
    x = ndl.Tensor(rng.standard_normal((8, 3, 32, 32)))
    y = ndl.Tensor(rng.integers(10, size=8))
    loss_fn = ndl.nn.SoftmaxLoss()
    loss = loss_fn(model(x), y)
    loss.backward()
    directions = [rng.standard_normal(p.shape) * 0.01 for p in model.parameters()]
    exact = sum((p.grad.numpy() * d).sum()
                for p, d in zip(model.parameters(), directions, strict=True))
    values, h = [], 1e-6
    for step in (h, -2 * h):
        for p, d in zip(model.parameters(), directions, strict=True):
            p.data = ndl.Tensor(p.numpy() + step * d)
        values.append(float(loss_fn(model(x), y).numpy()))
    assert exact == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-4)


def test_resnet9_learns_a_batch(ndl, program, rng):
    model = program["ResNet9"]()
    X = rng.standard_normal((16, 3, 32, 32)).astype("float32")
    y = rng.integers(10, size=16)
    opt = ndl.optim.Adam(model.parameters(), lr=0.003, weight_decay=0.001)
    found = [program["epoch"]([(X, y)], model, ndl.nn.SoftmaxLoss(), opt) for _ in range(12)]
    assert found[0][1] > 1.5
    assert found[-1][1] < 0.3
    assert found[-1][0] > 0.9
    accuracy, loss = program["epoch"]([(X, y)], model, ndl.nn.SoftmaxLoss())
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1


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
