"""The leaky ReLU on large arrays, in blocks that stay in the cache.

The derivative is a product with slopes made from a comparison: choosing by ``where`` takes many
times as long.

Leaves out: other activations, which are single calls of the array library.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..backend import Array, array_module, cpu
from . import fused, reference
from .parallel import parallel_for, workspace

__all__ = ["apply_leaky_relu", "leaky_relu", "leaky_relu_gradient", "undo_leaky_relu"]

BLOCK = 1 << 17  # elements handled at a time
WORTH = 1 << 20  # elements that are worth a thread


def leaky_relu(a: Array, slope: float, out: Array | None = None) -> Array:
    """As ``reference.leaky_relu``; large arrays in blocks, shared among the threads."""
    if fused.runs(a):
        return fused.leaky_relu(a, slope, out)
    xp = array_module(a)
    if a.size <= BLOCK or xp is not cpu().module:
        return reference.leaky_relu(a, slope, out)
    y = xp.empty_like(a) if out is None else out
    flat = _flat(a, y)
    if flat is None:
        return reference.leaky_relu(a, slope, out)
    source, target = flat

    def work(blocks: Iterator[slice]) -> None:
        for s in blocks:
            below = workspace(xp, "below", source[s].size, a.dtype)
            xp.multiply(source[s], slope, out=below)
            xp.maximum(source[s], below, out=target[s])

    parallel_for(work, a.size, BLOCK, WORTH)
    return y


def leaky_relu_gradient(out_grad: Array, a: Array, slope: float) -> Array:
    """As ``reference.leaky_relu_gradient``; large arrays in blocks, shared among the threads."""
    if fused.runs(a, out_grad):
        return fused.leaky_relu_gradient(out_grad, a, slope)
    xp = array_module(a)
    if xp is not cpu().module:
        return reference.leaky_relu_gradient(out_grad, a, slope)
    grad = xp.empty_like(a)
    flat = _flat(a, out_grad, grad) if a.size > BLOCK else None
    if flat is None:
        undo_leaky_relu(out_grad, a, slope, grad)
        return grad
    values, upstream, target = flat

    def work(blocks: Iterator[slice]) -> None:
        for s in blocks:
            undo_leaky_relu(upstream[s], values[s], slope, target[s])

    parallel_for(work, a.size, BLOCK, WORTH)
    return grad


def apply_leaky_relu(a: Array, slope: float) -> None:
    """The leaky ReLU of a chunk, in its own memory."""
    xp = array_module(a)
    if slope == 0:  # (against an array: one number for all takes three times as long)
        below = xp.zeros(a.shape[-1:], dtype=a.dtype)
    else:
        below = workspace(xp, "below", a.size, a.dtype).reshape(a.shape)
        xp.multiply(a, slope, out=below)
    xp.maximum(a, below, out=a)


def undo_leaky_relu(out_grad: Array, a: Array, slope: float, out: Array) -> Array:
    """Write out_grad where a > 0, else slope times it, into ``out``, which may be out_grad."""
    xp = array_module(a)
    above = workspace(xp, "above", a.size, xp.dtype("bool")).reshape(a.shape)
    xp.greater(a, 0, out=above)
    if slope == 0:
        return xp.multiply(out_grad, above, out=out)
    slopes = workspace(xp, "slopes", a.size, a.dtype).reshape(a.shape)
    slopes[...] = above  # (a product of bools and a number would be taken in float64)
    slopes *= 1 - slope
    slopes += slope
    return xp.multiply(out_grad, slopes, out=out)


def _flat(*arrays: Array) -> list[Array] | None:
    """Arrays with one order of their axes in memory, without gaps, as flat views; else None."""
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    turned = [a.transpose(order) for a in arrays]
    if not all(a.flags.c_contiguous for a in turned):
        return None
    return [a.reshape(-1) for a in turned]
