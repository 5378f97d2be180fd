"""The simple kernels: each in the few lines that a student writes, for any dtype.

They are the oracle against which the fast paths are tested, and what runs in every homework.

Leaves out: speed, and reuse of memory. Convolution and batch normalisation join them later.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backend import Array, array_module

__all__ = [
    "adam",
    "bce_with_logits",
    "bce_with_logits_gradient",
    "ema",
    "linear_gradient",
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
