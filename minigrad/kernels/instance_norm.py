"""Instance normalisation, image by image while it is in the cache, with the activation after it.

As in ``norm``, images are worked through with their channels last and sums are products with ones.
But a whole image is at hand at once, so that its variance can be summed around its mean, which
keeps all digits whatever the mean is. Where the channels are few, neighbouring pixels lie side by
side in one long row ("lanes"): NumPy's loops over short rows take twice as long.

Leaves out: GPUs, where ``fused`` runs, and cutting single images that are larger than the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ..backend import Array, array_module
from . import fused, reference
from .activation import apply_leaky_relu, undo_leaky_relu
from .geometry import on_cpu, scratch
from .norm import ELEMENTS, WORTH, as_rows, like_rows
from .parallel import parallel_for

__all__ = ["instance_norm", "instance_norm_gradient"]

LANES = 1024  # numbers in a row, at most, if the channels alone are fewer


def _lanes(a: Array) -> Array:
    """(n, c, ...) as n matrices whose rows are some neighbouring pixels: (n, rows, pixels * c)."""
    rows, (n, c) = as_rows(a), a.shape[:2]
    pixels = len(rows) // n
    lanes = _pixels_side_by_side(pixels, c)
    return rows.reshape(n, pixels // lanes, lanes * c)


@functools.cache
def _pixels_side_by_side(pixels: int, c: int) -> int:
    """How many pixels make a row: they divide the image."""
    return max(k for k in range(1, max(1, LANES // c) + 1) if pixels % k == 0)


def _means(values: Array, c: int) -> Array:
    """The mean of every channel of some images, (m, c), in float64."""
    xp, (m, rows, wide) = array_module(values), values.shape
    ones = scratch(values, "ones", 1, rows)
    ones[...] = 1
    sums = (ones @ values).reshape(m, wide // c, c)
    return xp.sum(sums, axis=1, dtype="float64") * (c / (rows * wide))


def _spread(of_channels: Array, like: Array) -> Array:
    """Numbers (m, c) as they stand beside the rows of ``like``: (m, 1, pixels * c)."""
    xp, (m, c), wide = array_module(like), of_channels.shape, like.shape[2]
    repeated = xp.empty((m, wide // c, c), dtype=like.dtype)
    repeated[...] = of_channels[:, None]
    return repeated.reshape(m, 1, wide)


def _step(images: Array) -> int:
    """Images to a chunk."""
    return max(1, ELEMENTS // (images.shape[1] * images.shape[2]))


def _worth(images: Array) -> int:
    return max(1, WORTH // (images.shape[1] * images.shape[2]))


def instance_norm(
    x: Array, eps: float, slope: float | None, moments: tuple[Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """As ``reference.instance_norm``; the result has its channels last in memory."""
    if not x.size:
        return reference.instance_norm(x, eps, slope, moments)
    if fused.runs(x):
        n, c = x.shape[:2]
        y, mean, var = fused.instance_norm(as_rows(x).reshape(n, -1, c), eps, slope, moments)
        return like_rows(y, x), mean, var
    if not on_cpu(x):
        return reference.instance_norm(x, eps, slope, moments)
    xp, (n, c) = array_module(x), x.shape[:2]
    images = _lanes(x)
    y = xp.empty(images.shape, dtype=x.dtype)
    mean, var = moments or [xp.empty((n, c), dtype=x.dtype) for _ in range(2)]

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            values, out = images[s], y[s]
            if moments is None:
                mean[s] = _means(values, c)
            xp.subtract(values, _spread(mean[s], values), out=out)
            if moments is None:
                squares = scratch(out, "pull", *out.shape)
                xp.multiply(out, out, out=squares)
                var[s] = _means(squares, c)
            out *= _spread(_scale(var[s], eps), out)
            if slope is not None:
                apply_leaky_relu(out, slope)

    parallel_for(work, n, _step(images), _worth(images))
    return like_rows(y, x), mean, var


def _scale(var: Array, eps: float) -> Array:
    """1 / sqrt(var + eps), in float64."""
    return 1 / array_module(var).sqrt(var.astype("float64") + eps)


def instance_norm_gradient(
    x: Array, y: Array, mean: Array, var: Array, out_grad: Array, eps: float, slope: float | None,
) -> Array:
    """As ``reference.instance_norm_gradient``, in one pass over the images.

    Without a slope y is the normalised x, and x is not read.
    """
    if not x.size:
        return reference.instance_norm_gradient(x, y, mean, var, out_grad, eps, slope)
    n, c = x.shape[:2]
    if fused.runs(x):
        three = [as_rows(a).reshape(n, -1, c) for a in (x, y, out_grad)]
        grad_x = fused.instance_norm_gradient(three[0], three[1], mean, var, three[2], eps, slope)
        return like_rows(grad_x, x)
    if not on_cpu(x):
        return reference.instance_norm_gradient(x, y, mean, var, out_grad, eps, slope)
    xp = array_module(x)
    outputs, upstream = _lanes(y), _lanes(out_grad)
    images = outputs if slope is None else _lanes(x)
    grad_x = xp.empty(images.shape, dtype=x.dtype)

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            values, d, out = images[s], upstream[s], grad_x[s]
            pull = scratch(values, "pull", *values.shape)
            scale = _scale(var[s], eps)
            share = 1.0  # of the values in the normalised ones
            if slope is not None:
                d = undo_leaky_relu(d, outputs[s], slope, out)
                centred = scratch(values, "centred", *values.shape)
                values = xp.subtract(values, _spread(mean[s], values), out=centred)
                share = scale * scale
            xp.multiply(d, values, out=pull)
            of_values, constant = _means(pull, c) * share, _means(d, c)
            xp.multiply(values, _spread(of_values, values), out=pull)
            pull += _spread(constant, pull)
            xp.subtract(d, pull, out=out)
            out *= _spread(scale, out)

    parallel_for(work, n, _step(images), _worth(images))
    return like_rows(grad_x, x)
