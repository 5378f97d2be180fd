"""Where formulas break: huge logits, ties, kinks, empty tensors, single elements."""

import numpy as np
import pytest
import scipy.special

from minigrad import Tensor, grad, ops, reference_kernels
from minigrad.autograd import constant
from minigrad.gradcheck import gradcheck

BOTH = pytest.mark.parametrize("kernels", ["fast", "reference"])


def in_kernels(name: str, f):
    if name == "reference":
        with reference_kernels():
            return f()
    return f()


def slopes(f, x, create_graph: bool = False) -> list[float]:
    t = Tensor(x, dtype="float64")
    y = f(t)
    return grad(y, t, constant(np.ones(y.shape)), create_graph).numpy().tolist()


# ------------------------------------------------------------------------------ huge logits


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_bce_of_huge_logits(kernels: str, dtype: str, create_graph: bool):
    a = np.array([1000.0, 1000.0, -1000.0, -1000.0, 0.0, 1e4])
    t = np.array([1.0, 0.0, 1.0, 0.0, 0.5, 0.3])
    logits, targets = Tensor(a, dtype=dtype), Tensor(t, dtype=dtype)

    def run():
        loss = ops.bce_with_logits(logits, targets)
        return loss, *grad(loss, [logits, targets], create_graph=create_graph)

    loss, g, g_targets = in_kernels(kernels, run)
    log_expit = scipy.special.log_expit
    want = -(t * log_expit(a) + (1 - t) * log_expit(-a)).mean()
    assert loss.item() == pytest.approx(want, rel=1e-6)
    assert np.allclose(g.numpy(), (scipy.special.expit(a) - t) / 6, atol=1e-7)
    assert np.allclose(g_targets.numpy(), -a / 6, rtol=1e-6)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_softmax_loss_of_huge_logits(kernels: str, dtype: str, create_graph: bool):
    a = np.array([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1e4, 1e4, -1e4],
                  [0.0, 1000.0, 999.0]])
    labels = [0, 1, 2, 2]
    logits = Tensor(a, dtype=dtype)

    def run():
        loss = ops.softmax_loss(logits, labels)
        return loss, grad(loss, logits, create_graph=create_graph)

    loss, g = in_kernels(kernels, run)
    rows = range(4)
    want = -scipy.special.log_softmax(a, axis=1)[rows, labels].mean()
    softmax = scipy.special.softmax(a, axis=1)
    softmax[rows, labels] -= 1
    assert loss.item() == pytest.approx(want, rel=1e-6)
    assert np.allclose(g.numpy(), softmax / 4, atol=1e-7)


@BOTH
def test_gradcheck_of_losses_at_large_logits(kernels: str):
    logits = np.array([[30.0, -30.0], [-20.0, 25.0]])
    in_kernels(kernels, lambda: gradcheck(
        lambda a: ops.bce_with_logits(a, Tensor(np.array([[1.0, 0], [1, 0.5]]), dtype="float64")),
        logits))
    in_kernels(kernels, lambda: gradcheck(lambda a: ops.softmax_loss(a, [1, 1]), logits / 4))


@pytest.mark.parametrize("x", [-1000.0, -100.0, -30.0, 0.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_huge_numbers(x: float, dtype: str):
    t = Tensor([x], dtype=dtype)
    eps = float(np.finfo(dtype).eps)
    for f, want, slope in (
        (ops.sigmoid, scipy.special.expit(x), scipy.special.expit(x) * scipy.special.expit(-x)),
        (ops.softplus, np.logaddexp(0, x), scipy.special.expit(x)),
        (ops.tanh, np.tanh(x), 1 - np.tanh(x) ** 2),
        (ops.elu, x if x > 0 else np.expm1(x), 1.0 if x > 0 else np.exp(x)),
        (ops.gelu, x * (x > 0) if abs(x) > 10 else 0.0, float(x > 0) if x else 0.5),
    ):
        y = f(t)
        for g in (grad(y, t), grad(y, t, create_graph=True)):
            if not (f is ops.elu and x == 0):
                assert g.item() == pytest.approx(slope, abs=8 * eps)
        assert y.item() == pytest.approx(want, rel=8 * eps, abs=8 * eps)


@pytest.mark.parametrize("f", [ops.logsumexp, lambda a: ops.logsoftmax(a).sum()])
def test_log_sum_exp_of_huge_numbers(f):
    for row in ([1000.0, 999.0, -1000.0], [-1e4, -1e4, -1e4], [0.0, 1e4, 0.0]):
        t = Tensor(row, dtype="float64")
        want = scipy.special.logsumexp(row) if f is ops.logsumexp else scipy.special.log_softmax(
            row).sum()
        assert f(t).item() == pytest.approx(want, rel=1e-14)
        softmax = scipy.special.softmax(row)
        want = softmax if f is ops.logsumexp else 1 - 3 * softmax
        for create_graph in (False, True):
            assert np.allclose(grad(f(t), t, create_graph=create_graph).numpy(), want, atol=1e-12)


def test_logsoftmax_of_minus_infinity():
    y = ops.logsoftmax(Tensor([0.0, -np.inf, 0.0], dtype="float64"))
    assert np.allclose(y.numpy(), [-np.log(2), -np.inf, -np.log(2)])


def test_gelu_is_near_the_normal_distribution_function():
    x = np.linspace(-6, 6, 200)
    exact = x * scipy.special.ndtr(x)
    assert np.abs(ops.gelu(Tensor(x, dtype="float64")).numpy() - exact).max() < 5e-4


# ------------------------------------------------------------------------------ ties and kinks


@pytest.mark.parametrize("create_graph", [False, True])
def test_slopes_at_kinks(create_graph: bool):
    for f, x, want in (
        (ops.relu, [-1.0, 0.0, -0.0, 1.0], [0, 0, 0, 1]),
        (ops.abs, [-1.0, 0.0, 1.0], [-1, 0, 1]),
        (lambda t: ops.leaky_relu(t, 0.2), [-1.0, 0.0, 1.0], [0.2, 0.2, 1]),
        (lambda t: ops.leaky_relu(t, 2.0), [-1.0, 1.0], [2, 1]),
        (lambda t: ops.clip(t, 0, 1), [-0.5, 0.0, 0.5, 1.0, 1.5], [0, 1, 1, 1, 0]),
        (lambda t: ops.maximum(t, 0.0), [-1.0, 0.0, 1.0], [0, 0.5, 1]),
        (lambda t: ops.minimum(t, 0.0), [-1.0, 0.0, 1.0], [1, 0.5, 0]),
        (lambda t: t**2, [0.0, 1.0], [0, 2]),
        (lambda t: t**1, [0.0, 1.0], [1, 1]),
        (lambda t: t**0, [0.0, 1.0], [0, 0]),
    ):
        assert slopes(f, x, create_graph) == pytest.approx(want)


def test_ties_share_the_gradient():
    assert slopes(ops.max, [1.0, 3.0, 3.0]) == [0, 0.5, 0.5]
    assert slopes(lambda t: ops.max(t, 1), [[2.0, 2.0, 2.0, 2.0], [1.0, 5.0, 5.0, 0.0]]) == [
        [0.25] * 4, [0, 0.5, 0.5, 0]]
    a, b = Tensor([1.0, 2.0, 3.0]), Tensor([1.0, 3.0, 2.0])
    for f, want in ((ops.maximum, [0.5, 0, 1]), (ops.minimum, [0.5, 1, 0])):
        g_a, g_b = grad(f(a, b), [a, b])
        assert g_a.numpy().tolist() == want
        assert (g_a.numpy() + g_b.numpy() == 1).all()
    image = Tensor(np.ones((1, 1, 2, 2)))
    assert (grad(ops.max_pool(image, 2), image).numpy() == 0.25).all()
    assert slopes(lambda t: ops.maximum(t, t), [1.0, 2.0]) == [1, 1]


def test_repeated_indices_add_up():
    x = Tensor(np.zeros((3, 2)))
    y = x[[0, 0, 2, 0]]
    assert grad(y, x).numpy().tolist() == [[3, 3], [0, 0], [1, 1]]
    assert grad(ops.embedding([[1, 1], [1, 0]], x), x).numpy().tolist() == [[1, 1], [3, 3], [0, 0]]
    assert grad(x[[0, -3]], x).numpy().tolist() == [[2, 2], [0, 0], [0, 0]]


def test_derivatives_at_zero_exist_where_the_function_is_smooth():
    for f, first, second in ((lambda t: t**2, 0, 2), (lambda t: t**3, 0, 0), (ops.tanh, 1, 0),
                             (ops.sigmoid, 0.25, 0), (ops.softplus, 0.5, 0.25),
                             (ops.exp, 1, 1), (lambda t: t * t, 0, 2)):
        x = Tensor([0.0], dtype="float64")
        g = grad(f(x), x, create_graph=True)
        assert g.item() == pytest.approx(first)
        assert grad(g, x).item() == pytest.approx(second)


# ------------------------------------------------------------------------- sizes 0 and 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_tensors_go_through(shape):
    x = Tensor(np.ones(shape), dtype="float64")
    for f in (lambda x: x + x, lambda x: x * 2.0, ops.exp, ops.relu, lambda x: x.sum(),
              lambda x: x.sum(0), lambda x: x.sum(-1, keepdims=True), lambda x: x.T if x.ndim > 1
              else x, lambda x: x.reshape((0,)), lambda x: ops.concat([x, x], 0), ops.sigmoid,
              lambda x: ops.stack([x, x]), lambda x: ops.pad(x, [(1, 2)] * x.ndim),
              lambda x: x[..., None], lambda x: ops.clip(x, 0, 1), lambda x: ops.flip(x)):
        gradcheck(f, x)
        y = f(x)
        g = grad(y, x)
        assert g.shape == shape
    assert x.sum().item() == 0


def test_empty_batches():
    w, b = Tensor(np.ones((3, 4))), Tensor(np.ones(4))
    x = Tensor(np.ones((0, 3)))
    for y in (x @ w, ops.linear(x, w, b)):
        g_x, g_w = grad(y, [x, w])
        assert g_x.shape == (0, 3)
        assert np.array_equal(g_w.numpy(), np.zeros((3, 4)))
    images = Tensor(np.ones((0, 2, 4, 4)))
    for f in (lambda a: ops.avg_pool(a, 2), lambda a: ops.max_pool(a, 2),
              lambda a: ops.upsample(a, 2), lambda a: ops.windows(a, 3, 2)):
        y = f(images)
        assert y.shape[0] == 0
        assert grad(y, images).shape == images.shape


def test_inner_size_zero_gives_zeros():
    a, b = Tensor(np.ones((2, 0))), Tensor(np.ones((0, 3)))
    assert np.array_equal((a @ b).numpy(), np.zeros((2, 3)))
    assert [g.shape for g in grad(a @ b, [a, b])] == [(2, 0), (0, 3)]
    x, w = Tensor(np.ones((2, 3, 0))), Tensor(np.ones((0, 4)))
    assert [g.shape for g in grad(ops.linear(x, w), [x, w])] == [(2, 3, 0), (0, 4)]


def test_windows_at_odd_sizes():
    """The kernel as large as the image, a stride larger than the kernel, a rest at the border."""
    rng = np.random.default_rng(0)
    for size, kernel, stride in (((3, 4), (3, 4), 1), ((3, 4), (3, 4), 5), ((7, 5), 2, 3),
                                 ((5, 5), 2, 2), ((1, 6), (1, 2), (1, 4))):
        a = rng.standard_normal((2, 1, *size))
        gradcheck(lambda a, k=kernel, s=stride: ops.windows(a, k, s), a, order=1)
        gradcheck(lambda a, k=kernel, s=stride: ops.avg_pool(a, k, s), a)
        gradcheck(lambda a, k=kernel, s=stride: ops.max_pool(a, k, s), a, order=1)


def test_windows_and_fold_are_adjoint():
    """<windows x, y> = <x, fold y>."""
    rng = np.random.default_rng(0)
    for (h, w), kernel, stride in (((5, 6), (2, 3), (1, 2)), ((7, 7), (3, 3), (3, 2))):
        x = Tensor(rng.standard_normal((2, 3, h, w)), dtype="float64")
        win = ops.windows(x, kernel, stride)
        y = Tensor(rng.standard_normal(win.shape), dtype="float64")
        left, right = (win * y).sum().item(), (x * ops.fold(y, (h, w), stride)).sum().item()
        assert left == pytest.approx(right, rel=1e-12)


def test_dilate_follows_the_course():
    """Axes out of range are ignored; undilate is the inverse."""
    x = Tensor(np.arange(4.0).reshape(2, 2))
    assert ops.dilate(x, (0, 1, 2, 5), 1).shape == (4, 4)
    assert np.array_equal(ops.dilate(x, (1,), 1).numpy(), [[0, 0, 1, 0], [2, 0, 3, 0]])
    for axes in ((0,), (0, 1), (-1,), (), 1):
        assert np.array_equal(ops.undilate(ops.dilate(x, axes, 2), axes, 2).numpy(), x.numpy())
