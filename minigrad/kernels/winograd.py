"""Winograd's convolution: three linear maps and a few large products instead of one huge one.

The image becomes matrices V (tiles, channels), the weight matrices U (channels, o); the results are
sums of the products M = V U. The maps are linear and have their own file for each kind of kernel.
The gradients use their adjoints: both take as many products again, and share the transform of
out_grad. ``maps`` is the module that has them: ``winograd_k4s2``, ``winograd_whole`` or
``winograd_k3``.

Leaves out: the choice between this and the other ways (``kernels.conv``).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from ..backend import Array, array_module
from .direct import add_product, add_up
from .geometry import Geometry, Matrices, matrices
from .parallel import parallel_for

__all__ = ["backward", "forward"]


def forward(
    maps: ModuleType, g: Geometry, x: Array, weight: Array | None, out_grad: Array | None = None,
    U: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """The convolution of x, if a weight is given, and its weight gradient, if out_grad is given.

    ``U`` may hold the transformed weight.
    """
    xp = array_module(x)
    y = None
    if weight is not None:
        y = xp.empty((g.n, g.oh, g.ow, g.o), dtype=x.dtype)
        U = maps.transform(weight, g) if U is None else U

    def work(chunks: Iterator[slice]) -> Array | None:
        total = None
        for s in chunks:
            V = maps.to_tiles(x[s], g)
            if out_grad is not None:
                total = _add_products(total, V, maps.from_results(out_grad[s], g))
            if y is not None:
                M = matrices(x, "M", [len(v) for v in V.each], g.o)
                for v, u, m in zip(V.each, U, M.each, strict=True):
                    xp.matmul(v, u, out=m)
                maps.to_results(M, y[s], g)
        return total

    totals = parallel_for(work, g.n, maps.step(g))
    return y, None if out_grad is None else maps.weight_gradient(add_up(totals), g)


def backward(
    maps: ModuleType, g: Geometry, out_grad: Array, weight: Array | None, x: Array | None = None,
    U: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """The gradient of the image, if a weight is given, and of the weight, if x is given."""
    xp = array_module(out_grad)
    grad_x = None
    if weight is not None:
        grad_x = xp.empty((g.n, g.h, g.w, g.c), dtype=out_grad.dtype)
        U = maps.transform(weight, g) if U is None else U

    def work(chunks: Iterator[slice]) -> Array | None:
        total = None
        for s in chunks:
            M = maps.from_results(out_grad[s], g)
            if x is not None:
                total = _add_products(total, maps.to_tiles(x[s], g), M)
            if grad_x is not None:
                V = matrices(out_grad, "V", [len(m) for m in M.each], U.shape[1])
                for m, u, v in zip(M.each, U, V.each, strict=True):
                    xp.matmul(m, u.T, out=v)
                maps.from_tiles(V, grad_x[s], g)
        return total

    totals = parallel_for(work, g.n, maps.step(g))
    return grad_x, None if x is None else maps.weight_gradient(add_up(totals), g)


def _add_products(total: Array | None, V: Matrices, M: Matrices) -> Array:
    """The gradient of U, V^T M for each product, added to the total of the chunks before."""
    xp = array_module(V.whole)
    if total is None:
        k, o = V.whole.shape[1], M.whole.shape[1]
        total = xp.empty((len(V.each), k, o), dtype=V.whole.dtype)
        for v, m, out in zip(V.each, M.each, total, strict=True):
            xp.matmul(v.T, m, out=out)
        return total
    for v, m, out in zip(V.each, M.each, total, strict=True):
        add_product(out, v.T, m)
    return total
