"""Convolution of images of few channels: pictures going in or coming out.

Rows of one to three channels are too short to copy or multiply one by one, so here the images are
planes (n, c, h, w), the windows of some images are the columns of a matrix (c * kh * kw, pixels),
and its long rows are what is copied. In the gradient with respect to the image the product comes
first, and its planes are then added where they belong, each in its phase of the stride, where
neighbours are neighbours in memory.

The other side is (n, oh, ow, o), weights are (kh, kw, c, o), contiguous.

Leaves out: the choice between this and the other ways (``kernels.conv``).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..backend import Array, array_module
from .direct import add_product, add_up
from .geometry import Geometry, padded, scratch
from .parallel import parallel_for
from .windows import windows

__all__ = ["backward", "forward"]

ROWS = 4096  # windows of a chunk


def _step(g: Geometry) -> int:
    return max(1, ROWS // (g.oh * g.ow))


def _columns(x: Array, g: Geometry) -> Array:
    """The windows of some images, (c * kh * kw, images * oh * ow)."""
    m = len(x)
    if g.ph or g.pw:
        x = padded(x, "padded", (g.ph, g.ph), (g.pw, g.pw), 2)
    columns = scratch(x, "columns", g.c, g.kh, g.kw, m, g.oh, g.ow)
    columns[...] = windows(x, (g.kh, g.kw), (g.sh, g.sw), (2, 3)).transpose(1, 4, 5, 0, 2, 3)
    return columns.reshape(g.c * g.kh * g.kw, m * g.oh * g.ow)


def _matrix(weight: Array, g: Geometry) -> Array:
    """The weight as (c * kh * kw, o)."""
    planes = weight.transpose(2, 0, 1, 3)
    return array_module(weight).ascontiguousarray(planes).reshape(-1, g.o)


def forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The convolution of x, if a weight is given, and its weight gradient, if out_grad is given."""
    xp = array_module(x)
    y = matrix = None
    if weight is not None:
        y = xp.empty((g.n, g.oh, g.ow, g.o), dtype=x.dtype)
        matrix = _matrix(weight, g)

    def work(chunks: Iterator[slice]) -> Array | None:
        total = None
        for s in chunks:
            columns = _columns(x[s], g)
            pixels = columns.shape[1]
            if matrix is not None:
                xp.matmul(columns.T, matrix, out=y[s].reshape(pixels, g.o))
            if out_grad is not None:
                total = add_product(total, columns, out_grad[s].reshape(pixels, g.o))
        return total

    totals = parallel_for(work, g.n, _step(g))
    if out_grad is None:
        return y, None
    grad_weight = add_up(totals).reshape(g.c, g.kh, g.kw, g.o)
    return y, xp.ascontiguousarray(grad_weight.transpose(1, 2, 0, 3))


def backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The gradient of the image, (n, c, h, w), if a weight is given; of the weight, if x is."""
    grad_weight = None if x is None else forward(g, x, None, out_grad)[1]
    if weight is None:
        return None, grad_weight
    xp = array_module(out_grad)
    matrix = _matrix(weight, g)
    grad_x = xp.empty((g.n, g.c, g.h, g.w), dtype=out_grad.dtype)
    high, wide = g.oh + (g.kh - 1) // g.sh, g.ow + (g.kw - 1) // g.sw  # of a phase

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            dy = out_grad[s]
            m = len(dy)
            columns = scratch(dy, "columns", g.c, g.kh, g.kw, m, g.oh, g.ow)
            xp.matmul(matrix, dy.reshape(m * g.oh * g.ow, g.o).T,
                      out=columns.reshape(len(matrix), m * g.oh * g.ow))
            phases = scratch(dy, "phases", g.sh, g.sw, g.c, m, high, wide)
            phases[...] = 0
            for p in range(g.kh):
                for q in range(g.kw):
                    top, left = p // g.sh, q // g.sw
                    target = phases[p % g.sh, q % g.sw, :, :, top:top + g.oh, left:left + g.ow]
                    target += columns[:, p, q]
            _interleave(phases, grad_x[s], g)

    parallel_for(work, g.n, _step(g))
    return grad_x, grad_weight


def _interleave(phases: Array, grad_x: Array, g: Geometry) -> None:
    """Put pixel (i, j) of phase (r, q) at row s i + r - p, column s j + q - p of the images."""
    images = grad_x.transpose(1, 0, 2, 3)
    if g.h + g.ph > g.sh * phases.shape[4] or g.w + g.pw > g.sw * phases.shape[5]:
        images[...] = 0  # pixels that no window reaches
    for r in range(g.sh):
        first_h, rows = _places(r, g.sh, g.ph, g.h, phases.shape[4])
        for q in range(g.sw):
            first_w, columns = _places(q, g.sw, g.pw, g.w, phases.shape[5])
            images[:, :, rows, columns] = phases[
                r, q, :, :, first_h:first_h + len(range(g.h)[rows]),
                first_w:first_w + len(range(g.w)[columns])]


def _places(r: int, s: int, p: int, size: int, count: int) -> tuple[int, slice]:
    """The first pixel of phase r that lies in the image, and the image's pixels of this phase."""
    first = max(0, -(-(p - r) // s))
    start = s * first + r - p
    return first, slice(start, max(start, min(size, s * count + r - p)), s)
