"""Convolution as a matrix product, chunk by chunk: "im2col" that stays in the cache.

Every window of a few images is copied into a row of a workspace, and one product with the weight
gives their pixels. The gradient with respect to the image is written as convolutions too: the
pixels of one phase (row modulo stride, column modulo stride) depend on out_grad through the taps of
the kernel that fall on them, so that each phase is a dense convolution of out_grad with a part of
the weight, and every pixel is written once.

Images are (n, h, w, c) and weights (kh, kw, c, o), contiguous. Windows that do not overlap and need
no padding (a kernel as large as the image, a kernel of one pixel) are rows already: nothing is
copied.

Leaves out: the choice between this and the other ways (``kernels.conv``).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..backend import Array, array_module
from .geometry import Geometry, padded, scratch
from .parallel import parallel_for
from .windows import windows

__all__ = ["backward", "forward"]

ROWS = 2048  # windows of a chunk


def _step(g: Geometry) -> int:
    """Images to a chunk."""
    return max(1, ROWS // (g.oh * g.ow))


def _are_rows(g: Geometry) -> bool:
    """Whether every window is a row of the image's memory."""
    if g.ph or g.pw:
        return False
    return (g.kh, g.kw) == (g.h, g.w) or (g.kh == g.kw == g.sh == g.sw == 1)


def _columns(x: Array, g: Geometry) -> Array:
    """The windows of some images, (images * oh * ow, kh * kw * c)."""
    m = len(x)
    if _are_rows(g):
        return x.reshape(m * g.oh * g.ow, g.kh * g.kw * g.c)
    if g.ph or g.pw:
        x = padded(x, "padded", (g.ph, g.ph), (g.pw, g.pw), 1)
    view = windows(x, (g.kh, g.kw), (g.sh, g.sw), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
    columns = scratch(x, "columns", m, g.oh, g.ow, g.kh, g.kw, g.c)
    columns[...] = view
    return columns.reshape(m * g.oh * g.ow, g.kh * g.kw * g.c)


def forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The convolution of x, if a weight is given, and its weight gradient, if out_grad is given.

    Both come from one copy of the windows. Results are (n, oh, ow, o) and (kh, kw, c, o).
    """
    xp = array_module(x)
    y = matrix = None
    if weight is not None:
        y = xp.empty((g.n, g.oh, g.ow, g.o), dtype=x.dtype)
        matrix = weight.reshape(-1, g.o)

    def work(chunks: Iterator[slice]) -> Array | None:
        total = None
        for s in chunks:
            columns = _columns(x[s], g)
            if matrix is not None:
                xp.matmul(columns, matrix, out=y[s].reshape(len(columns), g.o))
            if out_grad is not None:
                total = add_product(total, columns.T, out_grad[s].reshape(len(columns), g.o))
        return total

    totals = parallel_for(work, g.n, _step(g))
    if out_grad is None:
        return y, None
    return y, add_up(totals).reshape(g.kh, g.kw, g.c, g.o)


def add_product(total: Array | None, a: Array, b: Array) -> Array:
    """total + a @ b, in the memory of total; a new array if there is no total yet."""
    xp = array_module(a)
    if total is None:
        return xp.matmul(a, b)
    product = scratch(a, "product", *total.shape)
    xp.matmul(a, b, out=product)
    total += product
    return total


def add_up(totals: list[Array]) -> Array:
    """The sum of what the threads found, in their order."""
    first, *others = totals
    for other in others:
        first += other
    return first


def _phases(size: int, out: int, k: int, s: int, p: int) -> list[tuple[int, int, slice, int]]:
    """Along one axis, for each phase: it, its pixels, its taps, and where in out_grad it starts.

    Pixel s i + r gets out_grad[i + base - m] weight[first + s m] for every tap m.
    """
    phases = []
    for r in range(min(s, size)):
        base, first = divmod(r + p, s)
        taps = len(range(first, k, s))
        phases.append((r, len(range(r, size, s)), slice(first, k, s), base - (taps - 1)))
    return phases


def backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The gradient of the image, if a weight is given, and of the weight, if x is given."""
    grad_x = None if weight is None else _input_gradient(g, out_grad, weight)
    grad_weight = None if x is None else forward(g, x, None, out_grad)[1]
    return grad_x, grad_weight


def _input_gradient(g: Geometry, out_grad: Array, weight: Array) -> Array:
    xp = array_module(out_grad)
    if _are_rows(g):
        rows = out_grad.reshape(g.n * g.oh * g.ow, g.o)
        return (rows @ weight.reshape(-1, g.o).T).reshape(g.n, g.h, g.w, g.c)
    grad_x = xp.empty((g.n, g.h, g.w, g.c), dtype=out_grad.dtype)
    down = _phases(g.h, g.oh, g.kh, g.sh, g.ph)
    across = _phases(g.w, g.ow, g.kw, g.sw, g.pw)
    rows, columns = _margins(down, g.oh, g.kh, g.sh), _margins(across, g.ow, g.kw, g.sw)
    parts = []  # phase, pixels, start in padded out_grad, kernel, matrix
    for r, pixels_h, taps_h, start_h in down:
        for q, pixels_w, taps_w, start_w in across:
            part = weight[taps_h, taps_w][::-1, ::-1].transpose(0, 1, 3, 2)
            kernel = part.shape[:2]
            matrix = xp.ascontiguousarray(part).reshape(-1, g.c)
            parts.append((r, q, pixels_h, pixels_w, start_h + rows[0], start_w + columns[0],
                          kernel, matrix))

    def work(chunks: Iterator[slice]) -> None:
        for s in chunks:
            dy = padded(out_grad[s], "padded", rows, columns, 1)
            m = len(dy)
            for r, q, high, wide, top, left, (kh, kw), matrix in parts:
                target = grad_x[s, r::g.sh, q::g.sw]
                if not kh or not kw:  # no tap falls on these pixels
                    target[...] = 0
                    continue
                seen = windows(dy[:, top:top + high + kh - 1, left:left + wide + kw - 1],
                               (kh, kw), (1, 1), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
                copied = scratch(dy, "columns", m, high, wide, kh, kw, g.o)
                copied[...] = seen
                pixels = scratch(dy, "pixels", m * high * wide, g.c)
                xp.matmul(copied.reshape(m * high * wide, -1), matrix, out=pixels)
                target[...] = pixels.reshape(m, high, wide, g.c)

    parallel_for(work, g.n, _step(g))
    return grad_x


def _margins(phases: list[tuple[int, int, slice, int]], out: int, k: int, s: int
             ) -> tuple[int, int]:
    """How many zeros the phases read before and after out_grad along one axis."""
    before = after = 0
    for _, pixels, taps, start in phases:
        count = len(range(k)[taps])
        before = max(before, -start)
        after = max(after, start + pixels + count - 1 - out)
    return before, after
