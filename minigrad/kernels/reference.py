"""The simple kernels: each in the few lines that a student writes, for any dtype.

They are the oracle against which the fast paths are tested, and what runs in every homework.

Images are (n, c, h, w) and the weights of a convolution (o, c, kh, kw). Strides and paddings are
pairs. The three kernels of convolution are linear in each argument and closed: the gradients of
each are the other two.

Leaves out: speed, and reuse of memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backend import Array, array_module
from .windows import windows

__all__ = [
    "adam",
    "batch_norm",
    "batch_norm_gradient",
    "bce_with_logits",
    "bce_with_logits_gradient",
    "conv2d",
    "conv2d_gradient",
    "conv2d_input_gradient",
    "conv2d_transform",
    "conv2d_weight_gradient",
    "conv_transpose2d_gradient",
    "ema",
    "instance_norm",
    "instance_norm_gradient",
    "leaky_relu",
    "leaky_relu_gradient",
    "linear_gradient",
    "reflection_fold",
    "reflection_pad",
    "rmsprop",
    "sgd",
    "softmax_loss",
    "softmax_loss_gradient",
]


def linear_gradient(
    x: Array, weight: Array, out_grad: Array, wanted: Sequence[bool]
) -> tuple[Array | None, ...]:
    """Gradients of x @ weight (+ bias) with respect to x, weight (and bias, as (1, out)).

    x is (n, in), weight (in, out), out_grad (n, out). ``wanted`` has two or three entries, as the
    result has; what is not wanted is None.
    """
    grad_x = out_grad @ weight.T if wanted[0] else None
    grad_weight = x.T @ out_grad if wanted[1] else None
    if len(wanted) == 2:
        return grad_x, grad_weight
    return grad_x, grad_weight, out_grad.sum(axis=0, keepdims=True) if wanted[2] else None


Pair = tuple[int, int]


def _columns(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Every window of the zero-padded images as a row: (n, oh, ow, c, kh, kw), "im2col"."""
    n, c, h, w = x.shape
    ph, pw = padding
    padded = array_module(x).zeros((n, c, h + 2 * ph, w + 2 * pw), dtype=x.dtype)
    padded[:, :, ph:ph + h, pw:pw + w] = x
    return windows(padded, kernel, stride, (2, 3)).transpose(0, 2, 3, 1, 4, 5)


def conv2d(
    x: Array, weight: Array, stride: Pair, padding: Pair, transformed: Array | None = None
) -> Array:
    """y[n, o, i, j] = sum over c, p, q of padded x[n, c, i sh + p, j sw + q] weight[o, c, p, q].

    ``transformed``, here and below, is for the fast kernels; these have no use for it.
    """
    columns = _columns(x, weight.shape[2:], stride, padding)
    n, oh, ow = columns.shape[:3]
    y = columns.reshape(n * oh * ow, -1) @ weight.reshape(len(weight), -1).T
    return y.reshape(n, oh, ow, len(weight)).transpose(0, 3, 1, 2)


def conv2d_input_gradient(
    out_grad: Array, weight: Array, stride: Pair, padding: Pair, size: Pair,
    transformed: Array | None = None,
) -> Array:
    """The gradient of ``conv2d`` with respect to x, whose height and width are ``size``.

    The matrix product backwards, then every window is added where it came from ("col2im"). As an
    operation of its own this is the transposed convolution.
    """
    xp = array_module(out_grad)
    n, o, oh, ow = out_grad.shape
    c, kh, kw = weight.shape[1:]
    (sh, sw), (ph, pw), (h, w) = stride, padding, size
    rows = out_grad.transpose(0, 2, 3, 1).reshape(n * oh * ow, o)
    columns = (rows @ weight.reshape(o, -1)).reshape(n, oh, ow, c, kh, kw)
    padded = xp.zeros((n, h + 2 * ph, w + 2 * pw, c), dtype=out_grad.dtype)
    for p in range(kh):  # the windows' elements at one offset never overlap
        for q in range(kw):
            padded[:, p:p + sh * oh:sh, q:q + sw * ow:sw] += columns[..., p, q]
    return padded[:, ph:ph + h, pw:pw + w].transpose(0, 3, 1, 2)


def conv2d_weight_gradient(
    x: Array, out_grad: Array, stride: Pair, padding: Pair, kernel: Pair
) -> Array:
    """The gradient of ``conv2d`` with respect to the weight, (o, c, kh, kw)."""
    columns = _columns(x, kernel, stride, padding)
    n, o, oh, ow = out_grad.shape
    columns = columns[:, :oh, :ow]
    rows = out_grad.transpose(0, 2, 3, 1).reshape(n * oh * ow, o)
    product = rows.T @ columns.reshape(n * oh * ow, -1)
    return product.reshape(o, x.shape[1], *kernel)


def conv2d_transform(
    weight: Array, n: int, size: Pair, stride: Pair, padding: Pair
) -> Array | None:
    """What a convolution of n images makes of its weight, once for all its kernels: nothing."""
    return None


def conv2d_gradient(
    x: Array, weight: Array, out_grad: Array, stride: Pair, padding: Pair, wanted: Sequence[bool],
    transformed: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """The gradients of ``conv2d`` with respect to x and the weight, None where not wanted."""
    size, kernel = x.shape[2:], weight.shape[2:]
    return (
        conv2d_input_gradient(out_grad, weight, stride, padding, size) if wanted[0] else None,
        conv2d_weight_gradient(x, out_grad, stride, padding, kernel) if wanted[1] else None,
    )


def conv_transpose2d_gradient(
    x: Array, weight: Array, out_grad: Array, stride: Pair, padding: Pair, wanted: Sequence[bool],
    transformed: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """The gradients of ``conv2d_input_gradient`` with respect to its image and the weight."""
    kernel = weight.shape[2:]
    return (
        conv2d(out_grad, weight, stride, padding) if wanted[0] else None,
        conv2d_weight_gradient(out_grad, x, stride, padding, kernel) if wanted[1] else None,
    )


def _over(a: Array, ndim: int) -> Array:
    """One number a channel, (c,), as (1, c, 1, ...): beside arrays of ``ndim`` axes."""
    return a.reshape((1, len(a)) + (1,) * (ndim - 2))


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, slope: float | None
) -> tuple[Array, Array, Array]:
    """Each channel of x, (n, c, ...), normalised over all else, scaled by gamma, shifted by beta.

    With a ``slope`` a leaky ReLU follows. Returns y and the biased mean and variance, (c,).
    """
    xp = array_module(x)
    axes = (0, *range(2, x.ndim))
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    normal = (x - _over(mean, x.ndim)) / xp.sqrt(_over(var, x.ndim) + eps)
    y = _over(gamma, x.ndim) * normal + _over(beta, x.ndim)
    return y if slope is None else xp.maximum(y, slope * y), mean, var


def batch_norm_gradient(
    x: Array, y: Array, gamma: Array, mean: Array, var: Array, out_grad: Array, eps: float,
    slope: float | None,
) -> tuple[Array, Array, Array]:
    """The gradients of ``batch_norm``, whose output was y, with respect to x, gamma and beta."""
    xp = array_module(x)
    axes = (0, *range(2, x.ndim))
    if slope is not None:
        out_grad = xp.where(y > 0, out_grad, slope * out_grad)
    scale = 1 / xp.sqrt(var + eps)
    normal = (x - _over(mean, x.ndim)) * _over(scale, x.ndim)
    grad_beta, grad_gamma = out_grad.sum(axis=axes), (out_grad * normal).sum(axis=axes)
    share = len(gamma) / x.size  # one over the elements of a channel
    pull = _over(grad_beta, x.ndim) + normal * _over(grad_gamma, x.ndim)
    grad_x = _over(gamma * scale, x.ndim) * (out_grad - share * pull)
    return grad_x, grad_gamma, grad_beta


def instance_norm(
    x: Array, eps: float, slope: float | None, moments: tuple[Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Each channel of each image of x, (n, c, ...), minus its mean, over sqrt(variance + eps).

    With a ``slope`` a leaky ReLU follows. Returns y and the means and biased variances, (n, c),
    which may be given as ``moments`` if they are known.
    """
    xp = array_module(x)
    axes, one_each = tuple(range(2, x.ndim)), x.shape[:2] + (1,) * (x.ndim - 2)
    mean, var = (x.mean(axis=axes), x.var(axis=axes)) if moments is None else moments
    y = (x - mean.reshape(one_each)) / xp.sqrt(var.reshape(one_each) + eps)
    return y if slope is None else xp.maximum(y, slope * y), mean, var


def instance_norm_gradient(
    x: Array, y: Array, mean: Array, var: Array, out_grad: Array, eps: float, slope: float | None,
) -> Array:
    """The gradient of ``instance_norm``, whose results were y, mean and var, with respect to x."""
    xp = array_module(x)
    axes = tuple(range(2, x.ndim))
    if slope is not None:
        out_grad = xp.where(y > 0, out_grad, slope * out_grad)
    one_each = x.shape[:2] + (1,) * (x.ndim - 2)
    scale = 1 / xp.sqrt(var.reshape(one_each) + eps)
    normal = (x - mean.reshape(one_each)) * scale
    pull = out_grad.mean(axis=axes, keepdims=True) + normal * (
        (out_grad * normal).mean(axis=axes, keepdims=True))
    return scale * (out_grad - pull)


def _range(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    """The index of the elements from ``start`` to ``stop`` along one axis."""
    return (slice(None),) * axis + (slice(start, stop),)


def reflection_pad(a: Array, widths: Sequence[Pair]) -> Array:
    """a with its mirror image around it, the border not repeated; (before, after) for each axis."""
    xp = array_module(a)
    for axis, (before, after) in enumerate(widths):
        size = a.shape[axis]
        left = xp.flip(a[_range(axis, 1, before + 1)], axis)
        right = xp.flip(a[_range(axis, size - 1 - after, size - 1)], axis)
        a = xp.concatenate((left, a, right), axis) if before or after else a
    return a if any(map(any, widths)) else xp.copy(a, order="K")


def reflection_fold(a: Array, widths: Sequence[Pair]) -> Array:
    """a without its border, which is added where ``reflection_pad`` read it: its adjoint."""
    xp = array_module(a)
    for axis, (before, after) in enumerate(widths):
        size = a.shape[axis] - before - after
        left = xp.flip(a[_range(axis, 0, before)], axis)
        right = xp.flip(a[_range(axis, before + size, before + size + after)], axis)
        a = xp.copy(a[_range(axis, before, before + size)], order="K")
        a[_range(axis, 1, before + 1)] += left
        a[_range(axis, size - 1 - after, size - 1)] += right
    return a


def leaky_relu(a: Array, slope: float, out: Array | None = None) -> Array:
    """a where a > 0, else slope a; 0 <= slope <= 1. ``out`` may be a itself."""
    return array_module(a).maximum(a, a * slope, out=out)


def leaky_relu_gradient(out_grad: Array, a: Array, slope: float) -> Array:
    """out_grad where a > 0, else slope out_grad; a may be the output as well as the input."""
    return array_module(a).where(a > 0, out_grad, slope * out_grad)


def softmax_loss(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Mean over the rows of log sum exp(logits) - logits[label], and the softmax of the logits.

    logits are (n, k), labels (n,) integers.
    """
    xp = array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sum = xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
    rows = xp.arange(logits.shape[0], dtype="int64")
    return (log_sum[:, 0] - shifted[rows, labels]).mean(), xp.exp(shifted - log_sum)


def softmax_loss_gradient(softmax: Array, labels: Array, out_grad: Array) -> Array:
    """Gradient of ``softmax_loss`` with respect to the logits: out_grad (softmax - one hot) / n."""
    xp = array_module(softmax)
    n, k = softmax.shape
    one_hot = xp.arange(k, dtype="int64") == labels[:, None]
    return out_grad * (softmax - one_hot.astype(softmax.dtype)) / n


def bce_with_logits(logits: Array, targets: Array) -> Array:
    """Mean of -t log sigmoid(a) - (1 - t) log(1 - sigmoid(a)), stable for any logit a."""
    xp = array_module(logits)
    softplus = xp.maximum(logits, 0) + xp.log1p(xp.exp(-xp.abs(logits)))
    return (softplus - logits * targets).mean()


def bce_with_logits_gradient(logits: Array, targets: Array, out_grad: Array) -> Array:
    """Gradient of ``bce_with_logits`` with respect to the logits: out_grad (sigmoid - t) / size."""
    xp = array_module(logits)
    sigmoid = 0.5 * xp.tanh(0.5 * logits) + 0.5
    return out_grad * (sigmoid - targets) / logits.size


def sgd(
    p: Array, g: Array, u: Array | None, lr: float, momentum: float, weight_decay: float
) -> None:
    """One step, in place, of SGD with the course's momentum: u = m u + (1 - m) g, p = p - lr u.

    ``u`` is the moment array, or None where momentum is 0.
    """
    g = g + weight_decay * p
    if u is not None:
        u[...] = momentum * u + (1 - momentum) * g
        g = u
    p[...] = p - lr * g


def adam(
    p: Array, g: Array, m: Array, v: Array, t: int,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float,
) -> None:
    """Step ``t`` (from 1), in place, of Adam with bias correction (Kingma and Ba 2015, alg. 1)."""
    xp = array_module(p)
    g = g + weight_decay * p
    m[...] = beta1 * m + (1 - beta1) * g
    v[...] = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p[...] = p - lr * m_hat / (xp.sqrt(v_hat) + eps)


def rmsprop(
    p: Array, g: Array, v: Array, lr: float, alpha: float, eps: float, weight_decay: float
) -> None:
    """One step, in place, of RMSprop: v = a v + (1 - a) g^2, p = p - lr g / (sqrt(v) + eps)."""
    xp = array_module(p)
    g = g + weight_decay * p
    v[...] = alpha * v + (1 - alpha) * g * g
    p[...] = p - lr * g / (xp.sqrt(v) + eps)


def ema(average: Array, values: Array, decay: float) -> None:
    """One step, in place, of a moving average: average = decay average + (1 - decay) values."""
    average[...] = decay * average + (1 - decay) * values
