"""The fast kernels: the functions of ``kernels.reference``, with fewer passes over memory.

They give the same values within rounding, in float32 and float64. Convolution, normalisation,
activations and mirror images have files of their own. On a CPU the optimizer updates run in blocks
that stay in the cache, with one reused workspace; small arrays take one block.

Leaves out: kernels that are fast enough as they stand in ``reference``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from ..backend import Array, array_module, cpu
from . import fused
from .activation import leaky_relu, leaky_relu_gradient
from .conv import (
    conv2d,
    conv2d_gradient,
    conv2d_input_gradient,
    conv2d_transform,
    conv2d_weight_gradient,
    conv_transpose2d_gradient,
)
from .instance_norm import instance_norm, instance_norm_gradient
from .norm import batch_norm, batch_norm_gradient
from .parallel import workspace
from .reference import rmsprop
from .reflection import reflection_fold, reflection_pad

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

BLOCK = 1 << 16  # elements an optimizer update handles at a time: five arrays stay in the L2 cache


@functools.lru_cache(maxsize=256)
def _ones(xp: ModuleType, rows: int, columns: int, dtype: Any) -> Array:
    """Ones, made once: a product with them is the quickest sum of a small array."""
    return xp.ones((rows, columns), dtype=dtype)


@functools.lru_cache(maxsize=256)
def _counting(xp: ModuleType, n: int) -> Array:
    """0 to n - 1, made once."""
    return xp.arange(n, dtype="int64")


def linear_gradient(
    x: Array, weight: Array, out_grad: Array, wanted: Sequence[bool]
) -> tuple[Array | None, ...]:
    """As ``reference.linear_gradient``; the sum over rows is a product."""
    grad_x = out_grad @ weight.T if wanted[0] else None
    grad_weight = x.T @ out_grad if wanted[1] else None
    if len(wanted) == 2:
        return grad_x, grad_weight
    if not wanted[2]:
        return grad_x, grad_weight, None
    ones = _ones(array_module(out_grad), 1, len(out_grad), out_grad.dtype)
    return grad_x, grad_weight, ones @ out_grad


def softmax_loss(logits: Array, labels: Array) -> tuple[Array, Array]:
    """As ``reference.softmax_loss``, with one exponential per logit.

    It works on a transposed copy (k, n): rows of a few classes would be slow to loop over. Sums are
    products with ones.
    """
    xp = array_module(logits)
    n, k = logits.shape
    softmax = logits.T.copy()
    softmax -= softmax.max(axis=0)
    chosen = softmax[labels, _counting(xp, n)]
    xp.exp(softmax, out=softmax)
    total = _ones(xp, 1, k, logits.dtype) @ softmax
    softmax /= total
    xp.log(total, out=total)
    total -= chosen
    return (total @ _ones(xp, n, 1, logits.dtype))[0, 0] * (1.0 / n), softmax.T


def softmax_loss_gradient(softmax: Array, labels: Array, out_grad: Array) -> Array:
    """As ``reference.softmax_loss_gradient``, without a one-hot matrix."""
    xp = array_module(softmax)
    n = len(softmax)
    scale = out_grad * (1.0 / n)
    g = softmax * scale
    g[_counting(xp, n), labels] -= scale  # one element a row: no index repeats
    return g


def bce_with_logits(logits: Array, targets: Array) -> Array:
    """As ``reference.bce_with_logits``."""
    if fused.runs(logits, targets):
        return fused.bce_with_logits(logits, targets)
    xp = array_module(logits)
    loss = xp.exp(-xp.abs(logits))
    xp.log1p(loss, out=loss)
    loss += xp.maximum(logits, 0)
    loss -= logits * targets
    return loss.mean()


def bce_with_logits_gradient(logits: Array, targets: Array, out_grad: Array) -> Array:
    """As ``reference.bce_with_logits_gradient``, in one buffer."""
    if fused.runs(logits, targets):
        return fused.bce_with_logits_gradient(logits, targets, out_grad)
    xp = array_module(logits)
    g = 0.5 * logits
    xp.tanh(g, out=g)
    g *= 0.5
    g += 0.5
    g -= targets
    g *= out_grad * (1.0 / logits.size)
    return g


def _blocks(xp: ModuleType, size: int) -> Iterator[slice]:
    """What an update handles at a time; on a GPU all at once, where each block is a launch."""
    step = BLOCK if xp is cpu().module else max(size, 1)
    for low in range(0, size, step):
        yield slice(low, low + step)


def sgd(
    p: Array, g: Array, u: Array | None, lr: float, momentum: float, weight_decay: float
) -> None:
    """As ``reference.sgd``; all arrays are one-dimensional and contiguous."""
    xp = array_module(p)
    for s in _blocks(xp, p.size):
        ps, gs = p[s], g[s]
        t = workspace(xp, "optimizer", ps.size, p.dtype)
        if weight_decay:
            xp.multiply(ps, weight_decay, out=t)
            t += gs
            gs = t
        if u is not None:
            us = u[s]
            us *= momentum
            xp.multiply(gs, 1 - momentum, out=t)
            us += t
            gs = us
        xp.multiply(gs, lr, out=t)
        ps -= t


def adam(
    p: Array, g: Array, m: Array, v: Array, t: int,
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float,
) -> None:
    """As ``reference.adam``, bias corrections folded into two numbers; one-dimensional arrays."""
    xp = array_module(p)
    step = lr / (1 - beta1**t)
    scale = 1 / math.sqrt(1 - beta2**t)
    if fused.runs(p):
        fused.adam(p, g, m, v, step, scale, beta1, beta2, eps, weight_decay)
        return
    for s in _blocks(xp, p.size):
        ps, gs, ms, vs = p[s], g[s], m[s], v[s]
        w = workspace(xp, "optimizer", ps.size, p.dtype)
        if weight_decay:
            d = workspace(xp, "decay", ps.size, p.dtype)
            xp.multiply(ps, weight_decay, out=d)
            d += gs
            gs = d
        ms *= beta1
        xp.multiply(gs, 1 - beta1, out=w)
        ms += w
        vs *= beta2
        xp.multiply(gs, gs, out=w)
        w *= 1 - beta2
        vs += w
        xp.sqrt(vs, out=w)
        w *= scale
        w += eps
        xp.divide(ms, w, out=w)
        w *= step
        ps -= w


def ema(average: Array, values: Array, decay: float) -> None:
    """As ``reference.ema``; one-dimensional arrays."""
    if fused.runs(average):
        fused.ema(average, values, decay)
        return
    xp = array_module(average)
    for s in _blocks(xp, average.size):
        mine = average[s]
        w = workspace(xp, "optimizer", mine.size, average.dtype)
        xp.subtract(values[s], mine, out=w)
        w *= 1 - decay
        mine += w
