"""Batch normalisation in few passes over memory, with the activation that follows it.

Images are seen as a matrix (n * h * w, c), channels last, and worked through in chunks of rows that
stay in the cache. Sums over rows are products with ones, added up in float64; the leaky ReLU is
applied and undone where the numbers are at hand. The mean of squares minus the square of the mean
loses digits when the mean is large against the spread; then the variance is summed anew around the
mean.

Leaves out: GPUs, where ``fused`` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..backend import Array, array_module
from . import fused, reference
from .activation import apply_leaky_relu, undo_leaky_relu
from .direct import add_up
from .geometry import on_cpu, scratch
from .parallel import parallel_for

__all__ = ["as_rows", "batch_norm", "batch_norm_gradient", "like_rows"]

ELEMENTS = 1 << 17  # of a chunk: with its workspaces it stays in the L2 cache
ROWS = 2048  # of a chunk at most: so many float32 numbers are summed up without losing digits
WORTH = 1 << 20  # elements that are worth a thread
LARGE_MEAN = 100.0  # squares of the mean against the variance from which digits are lost


def as_rows(a: Array) -> Array:
    """(n, c, ...) as a matrix with c columns: a view if the channels are last in memory."""
    last = a.transpose(0, *range(2, a.ndim), 1)
    return array_module(a).ascontiguousarray(last).reshape(-1, a.shape[1])


def like_rows(rows: Array, a: Array) -> Array:
    """The inverse of ``as_rows``, as a view."""
    n, c, *size = a.shape
    return rows.reshape(n, *size, c).transpose(0, a.ndim - 1, *range(1, a.ndim - 1))


def _worth(rows: Array) -> int:
    return WORTH // rows.shape[1]


def _step(rows: Array) -> int:
    return max(1, min(ROWS, ELEMENTS // rows.shape[1]))


def _sums(rows: Array, fill: Callable[[slice, Array], None], count: int) -> Array:
    """The sum over all chunks of what ``fill`` writes into (count, c), in float64."""
    xp = array_module(rows)

    def work(chunks: Iterator[slice]) -> Array:
        total = xp.zeros((count, rows.shape[1]), dtype="float64")
        part = xp.empty((count, rows.shape[1]), dtype=rows.dtype)
        for s in chunks:
            fill(s, part)
            total += part
        return total

    return add_up(parallel_for(work, len(rows), _step(rows), _worth(rows)))


def _statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and biased variance of every column, in float64."""
    xp = array_module(rows)
    ones = xp.ones((1, _step(rows)), dtype=rows.dtype)

    def moments(s: slice, out: Array) -> None:
        chunk = rows[s]
        xp.matmul(ones[:, :len(chunk)], chunk, out=out[:1])
        out[1] = xp.einsum("pc,pc->c", chunk, chunk)

    mean, squares = _sums(rows, moments, 2) / len(rows)
    var = squares - mean * mean
    if _is_large(mean, var):
        centre = mean.astype(rows.dtype)

        def around(s: slice, out: Array) -> None:
            chunk = rows[s]
            centred = scratch(chunk, "centred", *chunk.shape)
            xp.subtract(chunk, centre, out=centred)
            xp.matmul(ones[:, :len(chunk)], centred, out=out[:1])
            out[1] = xp.einsum("pc,pc->c", centred, centred)

        rest, squares = _sums(rows, around, 2) / len(rows)
        mean, var = centre + rest, squares - rest * rest
    return mean, var


def _is_large(mean: Array, var: Array) -> bool:
    """Whether a mean is so large against the spread that sums of squares lose digits."""
    return bool((mean * mean > LARGE_MEAN * var).any())


def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float, slope: float | None
) -> tuple[Array, Array, Array]:
    """As ``reference.batch_norm``; the result has its channels last in memory."""
    if fused.runs(x):
        y, mean, var = fused.batch_norm(as_rows(x), gamma, beta, eps, slope)
        return like_rows(y, x), mean, var
    if not on_cpu(x):
        return reference.batch_norm(x, gamma, beta, eps, slope)
    xp = array_module(x)
    rows = as_rows(x)
    mean, var = _statistics(rows)
    scale = gamma / xp.sqrt(var + eps)
    shift = (beta - mean * scale).astype(x.dtype)
    scale = scale.astype(x.dtype)
    y = xp.empty(rows.shape, dtype=x.dtype)

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            out = y[s]
            xp.multiply(rows[s], scale, out=out)
            out += shift
            if slope is not None:
                apply_leaky_relu(out, slope)

    parallel_for(work, len(rows), _step(rows), _worth(rows))
    return like_rows(y, x), mean.astype(x.dtype), var.astype(x.dtype)


def batch_norm_gradient(
    x: Array, y: Array, gamma: Array, mean: Array, var: Array, out_grad: Array, eps: float,
    slope: float | None,
) -> tuple[Array, Array, Array]:
    """As ``reference.batch_norm_gradient``, in two passes.

    The gradient of a column is a combination of out_grad, x and one, with factors that the sums of
    the first pass give.
    """
    if fused.runs(x):
        grad_x, grad_gamma, grad_beta = fused.batch_norm_gradient(
            as_rows(x), as_rows(y), gamma, mean, var, as_rows(out_grad), eps, slope)
        return like_rows(grad_x, x), grad_gamma, grad_beta
    if not on_cpu(x):
        return reference.batch_norm_gradient(x, y, gamma, mean, var, out_grad, eps, slope)
    xp = array_module(x)
    rows, outputs, upstream = as_rows(x), as_rows(y), as_rows(out_grad)
    ones = xp.ones((1, _step(rows)), dtype=x.dtype)
    masked = upstream if slope is None or slope == 1 else xp.empty(rows.shape, dtype=x.dtype)
    grad_x = xp.empty(rows.shape, dtype=x.dtype) if masked is upstream else masked
    mean, var = mean.astype("float64"), var.astype("float64")
    # A large mean is taken away from x first: its products would swallow the digits of the rest.
    centre = mean.astype(x.dtype) if _is_large(mean, var) else None
    rest = mean if centre is None else mean - centre

    def sums(s: slice, out: Array) -> None:
        d, values = masked[s], rows[s]
        if masked is not upstream:
            undo_leaky_relu(upstream[s], outputs[s], slope, d)
        if centre is not None:
            values = xp.subtract(values, centre, out=scratch(d, "centred", *d.shape))
        xp.matmul(ones[:, :len(d)], d, out=out[:1])
        out[1] = xp.einsum("pc,pc->c", d, values)

    grad_beta, with_values = _sums(rows, sums, 2)
    inverse = 1 / xp.sqrt(var + eps)
    grad_gamma = (with_values - rest * grad_beta) * inverse
    of_grad = gamma * inverse
    of_x = -of_grad * inverse * grad_gamma / len(rows)
    constant = (-of_grad * grad_beta / len(rows) - of_x * rest).astype(x.dtype)
    of_grad, of_x = of_grad.astype(x.dtype), of_x.astype(x.dtype)

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            values, out = rows[s], grad_x[s]
            pull = scratch(values, "centred", *values.shape)
            if centre is not None:
                values = xp.subtract(values, centre, out=pull)
            xp.multiply(values, of_x, out=pull)
            pull += constant
            xp.multiply(masked[s], of_grad, out=out)
            out += pull

    parallel_for(work, len(rows), _step(rows), _worth(rows))
    return like_rows(grad_x, x), grad_gamma.astype(x.dtype), grad_beta.astype(x.dtype)
