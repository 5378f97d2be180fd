"""Convolution as an operation: three maps, each the gradient of the other two.

Values, first and second derivatives, dtypes and layouts stand in ``op_cases``. Here: independent
oracles (SciPy, PyTorch), adjointness, higher orders, refusals, and what is computed and kept.
"""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import scipy.signal
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad import Tensor, grad, kernels, nn, no_grad, ops, optim, reference_kernels
from minigrad.errors import DTypeError, ShapeError, VersionError
from minigrad.gradcheck import gradcheck

Array = np.ndarray


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def tensor(rng: np.random.Generator, *shape: int, dtype: str = "float64") -> Tensor:
    return Tensor(rng.standard_normal(shape), dtype=dtype)


def close(got: Tensor | Array, want: Array, rtol: float = 1e-10) -> None:
    got = got.numpy() if isinstance(got, Tensor) else got
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * max(1.0, np.abs(want).max()))


NUMBERS = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))
PADDINGS = st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2))


def two(a: int | tuple[int, int]) -> tuple[int, int]:
    return a if isinstance(a, tuple) else (a, a)


# ------------------------------------------------------------------------------------- oracles


@pytest.mark.parametrize("which", ["fast", "reference"])
@settings(max_examples=40)
@given(kernel=NUMBERS, stride=NUMBERS, padding=PADDINGS, extra=st.integers(0, 5),
       c=st.sampled_from([1, 2, 5]), o=st.sampled_from([1, 3]), seed=st.integers(0, 999))
def test_against_scipy(which, kernel, stride, padding, extra, c, o, seed):
    """conv2d is correlation, summed over channels; conv_transpose2d convolution of spread pixels.
    """
    g = np.random.default_rng(seed)
    (kh, kw), (sh, sw), (ph, pw) = two(kernel), two(stride), two(padding)
    h, w = max(1, kh - 2 * ph) + extra, max(1, kw - 2 * pw) + extra // 2
    x, weight = g.standard_normal((2, c, h, w)), g.standard_normal((o, c, kh, kw))
    padded = np.pad(x, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    want = np.array([[sum(scipy.signal.correlate(image[k], filters[k], "valid", "direct")
                          for k in range(c)) for filters in weight] for image in padded])
    back = g.standard_normal((2, o, 3, 2))  # and from 3 x 2 pixels back
    spread = np.zeros((2, o, 2 * sh + 1, sw + 1))
    spread[:, :, ::sh, ::sw] = back
    large = np.array([[sum(scipy.signal.convolve(image[k], weight[k, j], "full", "direct")
                           for k in range(o)) for j in range(c)] for image in spread])
    large = large[:, :, ph:large.shape[2] - ph, pw:large.shape[3] - pw]
    t = Tensor(weight, dtype="float64")
    with reference_kernels() if which == "reference" else ndl.enable_grad():
        y = ops.conv2d(Tensor(x, dtype="float64"), t, stride, padding)
        close(y, want[:, :, ::sh, ::sw])
        if min(large.shape) >= 1:
            close(ops.conv_transpose2d(Tensor(back, dtype="float64"), t, stride, padding), large)


@settings(max_examples=80)
@given(kernel=NUMBERS, stride=NUMBERS, padding=PADDINGS, size=st.tuples(
    st.integers(1, 5), st.integers(1, 5)), part=st.floats(0, 0.99), seed=st.integers(0, 999))
def test_adjointness(kernel, stride, padding, size, part, seed):
    """<conv2d(x), y> = <x, conv_transpose2d(y)> for every output_padding, and in the weight."""
    g = np.random.default_rng(seed)
    extra = tuple(int(part * s) for s in two(stride))
    kh, kw = two(kernel)
    y, weight = tensor(g, 2, 3, *size), tensor(g, 3, 2, kh, kw)
    large = [(n - 1) * s - 2 * p + k + e for n, s, p, k, e in zip(
        size, two(stride), two(padding), (kh, kw), extra, strict=True)]
    assume(min(large) >= 1)
    x = tensor(g, 2, 2, *large)
    out = ops.conv2d(x, weight, stride, padding)
    assert out.shape == y.shape  # output_padding chooses among the sizes that conv2d maps to one
    back = ops.conv_transpose2d(y, weight, stride, padding, extra)
    left = (out.numpy() * y.numpy()).sum()
    assert left == pytest.approx((x.numpy() * back.numpy()).sum(), rel=1e-9, abs=1e-9)
    of_weight = ops.Conv2dWeightGradient(two(stride), two(padding), (kh, kw))(x, y)
    assert left == pytest.approx((weight.numpy() * of_weight.numpy()).sum(), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(grad(out, x, y).numpy(), back.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype, rtol", [("float32", 2e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("n, c, o, size, kernel, stride, padding, extra", [
    (2, 3, 4, (7, 6), 3, 1, 1, 0), (2, 3, 4, (8, 6), 4, 2, 1, 0), (1, 2, 5, (9, 8), (3, 2), (2, 3),
                                                                   (1, 0), 1),
    (3, 1, 2, (5, 5), 5, 1, 0, 0), (2, 64, 64, (8, 8), 4, 2, 1, 0), (2, 64, 64, (9, 7), 3, 1, 1, 0),
    (2, 3, 8, (9, 9), 7, 1, 3, 0), (2, 2, 2, (7, 7), 1, 3, 0, 2)])
def test_against_pytorch(dtype, rtol, n, c, o, size, kernel, stride, padding, extra, rng):
    """Both operations, their gradients, and those of a gradient penalty."""
    torch = pytest.importorskip("torch", reason="PyTorch is wanted by benchmarks only")
    x = rng.standard_normal((n, c, *size)).astype(dtype)
    weight = (0.2 * rng.standard_normal((o, c, *two(kernel)))).astype(dtype)

    def both(library: str) -> list[Array]:
        a, b = ([torch.tensor(v, requires_grad=True) for v in (x, weight)] if library == "torch"
                else [Tensor(v, dtype=dtype) for v in (x, weight)])
        f = torch.nn.functional if library == "torch" else ops
        gradient = torch.autograd.grad if library == "torch" else grad
        y = (torch if library == "torch" else ops).tanh(f.conv2d(a, b, None, stride, padding)
                                                        if library == "torch"
                                                        else f.conv2d(a, b, stride, padding))
        z = (f.conv_transpose2d(y, b, None, stride, padding, extra) if library == "torch"
             else f.conv_transpose2d(y, b, stride, padding, extra))
        loss = (z * z).sum()
        first = gradient(loss, [a, b], create_graph=True)
        penalty = (first[0] * first[0]).sum()
        second = gradient(penalty, [a, b])
        return [t.detach().numpy() for t in (y, z, *first, *second)]

    for got, want in zip(both("minigrad"), both("torch"), strict=True):
        close(got, want, rtol * 20)


@pytest.mark.parametrize("wrong", [
    lambda x, w: ops.conv2d(x, ops.flip(w, (2, 3))), lambda x, w: ops.conv2d(x, w, 1, 1)[:, :, :4],
])
def test_the_oracle_tells_a_convolution_from_a_correlation(wrong, rng):
    x, w = tensor(rng, 1, 1, 6, 6), tensor(rng, 1, 1, 3, 3)
    want = scipy.signal.correlate(x.numpy()[0, 0], w.numpy()[0, 0], "valid")
    assert np.abs(wrong(x, w).numpy()[0, 0][:4, :4] - want).max() > 0.1
    close(ops.conv2d(x, w).numpy()[0, 0], want)


# ------------------------------------------------------------------------------- higher orders


@pytest.mark.parametrize("f, shapes", [
    (lambda x, w: ops.conv2d(x, w, (1, 2), 1), [(1, 2, 3, 4), (2, 2, 2, 3)]),
    (lambda x, w: ops.conv2d(x, w, 2, 1), [(2, 1, 3, 4), (1, 1, 4, 4)]),
    (lambda x, w: ops.conv_transpose2d(x, w, 2, 1, 1), [(1, 2, 2, 2), (2, 1, 3, 2)]),
    (ops.Conv2dWeightGradient((2, 1), (0, 1), (2, 3)), [(2, 1, 4, 3), (2, 2, 2, 3)]),
    (lambda a, b: ops.conv(a, b, 2, 1), [(1, 3, 3, 2), (2, 2, 2, 1)]),
], ids=["conv2d", "conv2d-k4s2p1", "conv_transpose2d", "weight-gradient", "conv"])
def test_third_order(f, shapes, rng):
    """The second-order check of the gradient of tanh after the map: none of its orders is zero."""
    arrays = [rng.standard_normal(shape) for shape in shapes]
    up = rng.standard_normal(f(*map(Tensor, arrays)).shape)

    def first(x: Tensor, w: Tensor) -> list[Tensor]:
        y = ops.tanh(0.5 * f(x, w))
        return grad(y, [x, w], Tensor(up, dtype="float64"), create_graph=True)

    gradcheck(first, *arrays, order=2)


def test_batch_norm_of_third_order(rng):
    arrays = [3 * rng.standard_normal((4, 2)), rng.standard_normal(2), rng.standard_normal(2)]

    def first(*inputs: Tensor) -> list[Tensor]:
        return grad((ops.batch_norm(*inputs, slope=0.3) ** 2).sum(), list(inputs),
                    create_graph=True)

    gradcheck(first, *arrays, order=2, tol=1e-4)


def test_a_gradient_penalty_through_a_network(rng):
    """(|slope of D| - 1)^2, differentiated by D's weights: WGAN-GP in small."""
    arrays = [rng.standard_normal(s) for s in ((2, 1, 4, 4), (2, 1, 4, 4), (2, 2, 2, 2))]

    def penalty(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        score = ops.conv2d(ops.tanh(ops.conv2d(x, first, 2, 1)), second).sum()
        slope = grad(score, x, create_graph=True)
        return ((slope * slope).sum((1, 2, 3)) ** 0.5 - 1) ** 2

    gradcheck(penalty, *arrays)


@pytest.mark.parametrize("shape", [(2, 3), (1, 3, 1, 2)])
def test_batch_norm_of_two_values(shape, rng):
    """They become -1 and 1 whatever they are: no gradient reaches x."""
    x, up = tensor(rng, *shape), tensor(rng, *shape)
    gamma, beta = tensor(rng, 3), tensor(rng, 3)
    y = ops.batch_norm(x, gamma, beta, 0.0)
    axes = (0, *range(2, len(shape)))
    normal = np.sign(x.numpy() - x.numpy().mean(axes, keepdims=True))
    along = (1, 3) + (1,) * (len(shape) - 2)
    close(y, normal * gamma.numpy().reshape(along) + beta.numpy().reshape(along))
    for create_graph in (False, True):
        of_x, of_gamma, of_beta = grad(y, [x, gamma, beta], up, create_graph)
        np.testing.assert_allclose(of_x.numpy(), 0, atol=1e-9)
        close(of_gamma, (normal * up.numpy()).sum(axes))
        close(of_beta, up.numpy().sum(axes))


# ------------------------------------------------------------------------------------ refusals


def zeros(*shape: int, dtype: str = "float32") -> Tensor:
    return Tensor(np.zeros(shape), dtype=dtype)


X, W = zeros(2, 3, 5, 6), zeros(4, 3, 3, 3)
REFUSED = [
    (lambda: ops.conv2d(zeros(2, 4, 5, 6), W), ShapeError,
     r"Conv2d: .*\(2, 4, 5, 6\) have 4 channels.*\(4, 3, 3, 3\) wants 3"),
    (lambda: ops.conv2d(zeros(2, 3, 2, 6), W), ShapeError,
     r"Conv2d: a kernel of \(3, 3\) .*\(2, 6\) padded by \(0, 0\).* at most as large"),
    (lambda: ops.conv2d(zeros(2, 3, 5, 1), zeros(4, 3, 1, 4), 1, (3, 1)), ShapeError,
     r"Conv2d: .*\(1, 4\).*\(5, 1\) padded by \(3, 1\), that is \(11, 3\)"),
    (lambda: ops.conv2d(zeros(0, 3, 5, 6), W), ShapeError, r"Conv2d: .*\(0, 3, 5, 6\).*at least 1"),
    (lambda: ops.conv2d(X, zeros(0, 3, 3, 3)), ShapeError, r"Conv2d: .*\(0, 3, 3, 3\).*at least 1"),
    (lambda: ops.conv2d(X, zeros(4, 3, 0, 3)), ShapeError, r"Conv2d: .*\(4, 3, 0, 3\).*at least 1"),
    (lambda: ops.conv2d(zeros(3, 5, 6), W), ShapeError,
     r"Conv2d: .*\(n, c, h, w\).*\(o, c, kh, kw\), got \(3, 5, 6\) and \(4, 3, 3, 3\)"),
    (lambda: ops.conv2d(X, zeros(4, 3, 3)), ShapeError, r"Conv2d: .*got .* and \(4, 3, 3\)"),
    (lambda: ops.conv2d(X, zeros(4, 3, 3, 3, dtype="float64")), DTypeError,
     "Conv2d: operands of float32 and float64"),
    (lambda: ops.conv2d(X, W, 0), ShapeError, "conv2d: stride .* at least 1, got 0"),
    (lambda: ops.conv2d(X, W, (1, 0)), ShapeError, r"conv2d: stride .* at least 1, got \(1, 0\)"),
    (lambda: ops.conv2d(X, W, (1, 1, 1)), ShapeError, r"conv2d: stride must be one or two"),
    (lambda: ops.conv2d(X, W, 1.5), ShapeError, "conv2d: stride must be one or two .*1.5"),
    (lambda: ops.conv2d(X, W, None), ShapeError, "conv2d: stride must be one or two .*None"),
    (lambda: ops.conv2d(X, W, 1, "same"), ShapeError, "conv2d: padding must be one or two .*same"),
    (lambda: ops.conv2d(X, W, 1, -1), ShapeError, "conv2d: padding .* at least 0, got -1"),
    (lambda: ops.conv2d(X, W, 1, (0, -2)), ShapeError, "conv2d: padding .* at least 0, got"),
    (lambda: ops.conv2d(X.numpy(), W), TypeError, "Conv2d: wants Tensors"),
    (lambda: ops.conv_transpose2d(X, W), ShapeError,
     r"conv_transpose2d: .*\(2, 3, 5, 6\) have 3 channels.*\(4, 3, 3, 3\) wants 4"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 1, 6), W, 1, 2), ShapeError,
     r"conv_transpose2d: .*\(1, 6\).*\(3, 3\).*padding \(2, 2\).*\(-1, 4\).*smaller padding"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 5, 6), W, 2, 0, 2), ShapeError,
     r"output_padding must be smaller than the stride \(2, 2\), got \(2, 2\)"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 5, 6), W, (1, 2), 0, (1, 1)), ShapeError,
     r"output_padding must be smaller than the stride \(1, 2\), got \(1, 1\)"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 5, 6), W, 2, 0, -1), ShapeError,
     "conv_transpose2d: output_padding .* at least 0, got -1"),
    (lambda: ops.conv_transpose2d(zeros(0, 4, 5, 6), W), ShapeError, r"\(0, 4, 5, 6\).*at least 1"),
    (lambda: ops.conv_transpose2d(zeros(4, 5, 6), W), ShapeError, r"\(n, i, h, w\).*\(i, o, kh, k"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 5, 6, dtype="float64"), W), DTypeError,
     "ConvTranspose2d: operands of float64 and float32"),
    (lambda: ops.conv_transpose2d(zeros(2, 4, 5, 6).numpy(), W), TypeError, "wants Tensors"),
    (lambda: ops.conv(zeros(2, 5, 6), zeros(3, 3, 3, 4)), ShapeError, r"Conv: .*\(2, 5, 6\)"),
    (lambda: ops.conv(zeros(2, 5, 6, 3), zeros(3, 3, 3, 4), stride=0), ShapeError,
     "Conv: stride .* at least 1, got 0"),
    (lambda: ops.conv(zeros(2, 5, 6, 3), zeros(3, 3, 2, 4)), ShapeError,
     r"Conv: .*\(2, 5, 6, 3\).*3 channels.*\(3, 3, 2, 4\)"),
    (lambda: ops.conv(zeros(2, 1, 6, 3), zeros(5, 5, 3, 4)), ShapeError,
     r"Conv: a kernel of \(5, 5\) .*\(1, 6\) padded by \(1, 1\)"),
]


@pytest.mark.parametrize("call, error, message", REFUSED)
@pytest.mark.parametrize("which", ["fast", "reference"])
def test_refused_with_the_shapes_and_what_would_fit(call, error, message, which):
    with reference_kernels() if which == "reference" else ndl.enable_grad():
        with pytest.raises(error, match=message):
            call()


def test_integers_take_the_floats_dtype(rng):
    """As everywhere: an image of bytes meets a float weight; two integers stay integers."""
    image = rng.integers(0, 255, (2, 1, 5, 5)).astype("uint8")
    weight = tensor(rng, 3, 1, 2, 2, dtype="float32")
    want = ops.conv2d(Tensor(image, dtype="float32"), weight)
    y = ops.conv2d(Tensor(image), weight)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), want.numpy())
    up = tensor(rng, *y.shape, dtype="float32")
    for create_graph in (False, True):
        g = grad(y, weight, up, create_graph)
        assert g.dtype == np.float32
        np.testing.assert_allclose(g.numpy(), grad(want, weight, up).numpy(), rtol=1e-6)
    z = ops.conv_transpose2d(Tensor(image), weight.reshape((1, 3, 2, 2)))
    assert z.dtype == np.float32


@pytest.mark.parametrize("c, kernel, stride, padding", [(2, 3, 1, 1), (32, 4, 2, 1), (8, 2, 1, 0)])
@pytest.mark.parametrize("dtypes", [("float64", "float32"), ("float32", "float64")])
def test_the_course_lets_numpy_promote(c, kernel, stride, padding, dtypes, rng):
    """There arrays of float64 meet weights of float32; no digit of the result is lost."""
    x = rng.standard_normal((2, c, 6, 6)).astype(dtypes[0])
    w = rng.standard_normal((c, c, kernel, kernel)).astype(dtypes[1])
    with ndl.course_mode():
        found = []
        for dtype in (None, "float64"):
            a, b = Tensor(x, dtype=dtype), Tensor(w, dtype=dtype)
            y = ops.tanh(ops.conv2d(a, b, stride, padding))
            z = ops.conv_transpose2d(y, b, stride, padding).sum()
            z.backward()
            found.append([y, a.grad, b.grad])
    for got, want in zip(*found, strict=True):
        assert got.dtype == "float64"
        close(got, want.numpy(), 1e-12)


# ----------------------------------------------------------------- one object, several calls


@pytest.mark.parametrize("make, kernel", [
    (lambda: ops.Conv2d((2, 2), (1, 1)), 4), (lambda: ops.Conv2d((1, 1), (1, 1)), 3),
], ids=["k4s2", "k3s1"])
@pytest.mark.parametrize("first, second", [
    ((16, 8, 8), (16, 12, 12)), ((16, 12, 12), (16, 8, 8)), ((16, 12, 8), (16, 8, 12)),
    ((16, 8, 8), (1, 2, 2)), ((1, 2, 2), (16, 8, 8)), ((16, 9, 7), (40, 7, 16))])
def test_one_object_called_with_two_shapes(make, kernel, first, second, rng):
    """What the second call made of the weight must suit the first one's gradient, or be unused."""
    weight = tensor(rng, 64, 64, kernel, kernel)
    xs = [tensor(rng, n, 64, *size) for n, *size in (first, second)]
    op = make()
    ys = [op(x, weight) for x in xs]
    for x, y in zip(xs, ys, strict=True):
        up = tensor(rng, *y.shape)
        fresh = make()(x, weight)
        close(y, fresh.numpy())
        for got, want in zip(grad(y, [x, weight], up), grad(fresh, [x, weight], up), strict=True):
            close(got, want.numpy())


@pytest.mark.parametrize("channels", [2, 64])
def test_one_object_called_with_two_weights(channels, rng):
    x = tensor(rng, 16, channels, 8, 8)
    weights = [tensor(rng, channels, channels, 4, 4) for _ in range(2)]
    for make in (lambda: ops.Conv2d((2, 2), (1, 1)),
                 lambda: ops.ConvTranspose2d((2, 2), (1, 1), (16, 16))):
        op = make()
        ys = [op(x, w) for w in weights]
        with no_grad():
            op(x, tensor(rng, channels, channels, 4, 4))
        up = tensor(rng, *ys[0].shape)
        for w, y in zip(weights, ys, strict=True):
            fresh = make()(x, w)
            close(y, fresh.numpy())
            for got, want in zip(grad(y, [x, w], up), grad(fresh, [x, w], up), strict=True):
                close(got, want.numpy())


@pytest.mark.parametrize("channels", [2, 64])
def test_one_object_called_after_the_weight_was_changed(channels, rng):
    """The same array with other values: nothing made of the old ones is used."""
    x, w = tensor(rng, 16, channels, 8, 8), tensor(rng, channels, channels, 4, 4)
    op = ops.Conv2d((2, 2), (1, 1))
    op(x, w)
    w.copy_(2 * w.numpy() + 1)
    y, fresh = op(x, w), ops.conv2d(x, w, 2, 1)
    close(y, fresh.numpy())
    up = tensor(rng, *y.shape)
    for got, want in zip(grad(y, [x, w], up), grad(fresh, [x, w], up), strict=True):
        close(got, want.numpy())


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("channels", [2, 64])
def test_a_weight_changed_before_the_backward_pass_is_noticed(channels, create_graph, rng):
    x, w = tensor(rng, 16, channels, 8, 8), tensor(rng, channels, channels, 4, 4)
    for f, name in ((lambda: ops.conv2d(x, w, 2, 1), "Conv2d"),
                    (lambda: ops.conv_transpose2d(x, w, 2, 1), "ConvTranspose2d"),
                    (lambda: ops.conv(x.permute((0, 2, 3, 1)), w.permute((2, 3, 1, 0)), 2, 1),
                     "Conv")):
        for changed in (w, x):
            y = f()
            changed.copy_(changed.numpy() * 2)
            with pytest.raises(VersionError, match=f"^{name}: .* changed in place"):
                grad(y, [x, w], create_graph=create_graph)


# ------------------------------------------------------------- what is computed, and what is kept


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, tuple[bool, ...] | None]]:
    """Which kernels of convolution were called, and what was wanted of the gradients."""
    seen: list[tuple[str, tuple[bool, ...] | None]] = []
    for name in kernels.fast.__all__:
        if name.startswith("conv"):
            kernel = getattr(kernels.fast, name)

            def spy(*args, name=name, kernel=kernel):
                wanted = tuple(args[5]) if name.endswith("2d_gradient") else None
                seen.append((name, wanted))
                return kernel(*args)

            monkeypatch.setattr(kernels.fast, name, spy)
    return seen


def players() -> tuple[nn.Module, nn.Module]:
    G = nn.Sequential(nn.ConvTranspose2d(3, 4, 4), nn.ReLU(),
                      nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, 4, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
                      nn.Conv2d(4, 1, 4))
    return G, D


def test_a_generator_step_computes_no_weight_gradient_of_the_discriminator(calls):
    G, D = players()
    opt_G = optim.SGD(G.parameters(), lr=0.1)
    fake = G(ndl.randn(2, 3, 1, 1))
    loss = ops.bce_with_logits(D(fake), 1.0)
    before = D.state_dict()
    calls.clear()
    opt_G.minimize(loss)
    assert calls == [
        ("conv2d_gradient", (True, False)),  # D: the images' gradient alone
        ("conv2d_gradient", (True, False)),
        ("conv_transpose2d_gradient", (True, True)),
        ("conv_transpose2d_gradient", (False, True)),  # G's noise is a constant
    ]
    for path, array in D.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    assert all(p.grad is None for p in D.parameters())


def test_a_discriminator_step_computes_no_gradient_of_its_images(calls):
    G, D = players()
    real = Tensor(np.zeros((2, 1, 8, 8)), requires_grad=False)
    with no_grad():
        fake = G(ndl.randn(2, 3, 1, 1))
    for images in (real, fake, G(ndl.randn(2, 3, 1, 1)).detach()):
        loss = ops.bce_with_logits(D(images), 1.0)
        calls.clear()
        loss.backward()
        assert calls == [("conv2d_gradient", (True, True)), ("conv2d_gradient", (False, True))]
    D.requires_grad_(False)
    images = Tensor(np.zeros((2, 1, 8, 8)))
    loss = ops.bce_with_logits(D(images), 1.0)
    calls.clear()
    loss.backward()
    assert calls == [("conv2d_gradient", (True, False))] * 2


def test_the_course_and_the_weight_gradient_compute_what_is_wanted_only(calls, rng):
    a, b = tensor(rng, 1, 5, 5, 2), tensor(rng, 3, 3, 2, 2)
    y = ops.conv(a, b)
    calls.clear()
    grad(y, a)
    assert [name for name, _ in calls] == ["conv2d_transform", "conv2d_input_gradient"]
    calls.clear()
    grad(y, b)
    assert [name for name, _ in calls] == ["conv2d_weight_gradient"]
    x, up = tensor(rng, 1, 2, 5, 5), tensor(rng, 1, 3, 3, 3)
    w = ops.Conv2dWeightGradient((1, 1), (0, 0), (3, 3))(x, up)
    calls.clear()
    grad(w, x)
    assert [name for name, _ in calls] == ["conv2d_transform", "conv2d_input_gradient"]
    calls.clear()
    grad(w, up)
    assert [name for name, _ in calls] == ["conv2d_transform", "conv2d"]


@pytest.fixture
def transforms(monkeypatch) -> list[weakref.ref]:
    """What became of every weight that was transformed."""
    made: list[weakref.ref] = []
    transform = kernels.fast.conv2d_transform

    def spy(*args):
        transformed = transform(*args)
        if transformed is None:  # this way of convolution has no transform: stand in for one
            transformed = args[0].copy()
            made.append(weakref.ref(transformed))
            return None
        made.append(weakref.ref(transformed))
        return transformed

    monkeypatch.setattr(kernels.fast, "conv2d_transform", spy)
    return made


def test_nothing_is_kept_under_no_grad(transforms, rng):
    x, w = tensor(rng, 16, 64, 8, 8), tensor(rng, 64, 64, 4, 4)
    op, back = ops.Conv2d((2, 2), (1, 1)), ops.ConvTranspose2d((2, 2), (1, 1), (16, 16))
    with no_grad():
        y, z = op(x, w), back(x, w)
    assert y.op is None and y.inputs == () and z.op is None and z.inputs == ()
    assert op.latest is None and back.latest is None
    assert len(transforms) == 2
    assert [made() for made in transforms] == [None, None]


def test_a_transformed_weight_dies_with_the_graph(transforms, rng):
    x, w = tensor(rng, 16, 64, 8, 8), tensor(rng, 64, 64, 4, 4)
    y = ops.conv2d(x, w, 2, 1)
    z = ops.conv_transpose2d(y, w, 2, 1)
    loss = (z * z).sum()
    loss.backward()
    assert len(transforms) == 2  # the backward pass made none of its own
    del y, z, loss
    assert [made() for made in transforms] == [None, None]
    constant = ops.conv2d(x.detach(), w.detach(), 2, 1)  # recording, but there is nothing to record
    assert constant.op is None
    assert transforms[-1]() is None


def test_the_gradient_uses_the_forward_passs_transform(monkeypatch, rng):
    used = []
    for name in ("conv2d_gradient", "conv_transpose2d_gradient"):
        kernel = getattr(kernels.fast, name)
        monkeypatch.setattr(kernels.fast, name, lambda *args, kernel=kernel: (
            used.append(args[6]), kernel(*args))[1])
    x, w = tensor(rng, 16, 64, 8, 8), tensor(rng, 64, 64, 4, 4)
    for y in (ops.conv2d(x, w, 2, 1), ops.conv_transpose2d(x, w, 2, 1)):
        grad(y, [x, w])
        assert used.pop() is y.op.latest[2]
