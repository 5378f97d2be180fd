"""Winograd's maps for 4x4 kernels with stride 2 on small maps: the whole image is one tile.

As in ``winograd_k4s2`` blocks of 2 x 2 pixels make it a 2x2 convolution with stride 1. Along each
axis the results are cut into tiles of four, three or two. m results of two taps are coefficients
of a product of polynomials, for which its values at m + 1 points are enough, out of 0, 1, -1, 2 and
infinity: 9 products for a row of 7 = 4 + 3 results, which take 14 one by one.

The maps of both axes together are one matrix for the image, applied to all images and channels at
once. On small maps that costs little beside the products, and nothing is moved but by a matrix
product. Products at the same points on both axes share their filter, and are one matrix product.

Images are (n, h, w, c) and weights (4, 4, c, o), contiguous. Source: Winograd 1980; Lavin and Gray
2016.

Leaves out: the products themselves (``kernels.winograd``).
"""

from __future__ import annotations

import functools
import itertools
from types import ModuleType
from typing import Any, NamedTuple

from ..backend import Array, array_module
from .geometry import Geometry, Matrices, matrices, scratch
from .winograd_k4s2 import pixel_places

__all__ = ["fits", "from_results", "from_tiles", "step", "tiles", "to_results", "to_tiles",
           "transform", "weight_gradient"]

ELEMENTS = 1 << 21  # numbers in V for a chunk
LARGEST = 7  # results along an axis
INFINITY = None
POINTS = (0, 1, -1, INFINITY, 2)  # the order in which tiles of 2, 3 and 4 take them
SCALE = {0: 1.0, 1: 0.5, -1: 0.5, 2: 1 / 6, INFINITY: 1.0}  # of the filters


class _Axis(NamedTuple):
    """The maps along one axis, as rows of Python numbers, and the number of products by point."""

    data: tuple[tuple[float, ...], ...]  # (products, blocks)
    result: tuple[tuple[float, ...], ...]  # (products, results): a column of the map for each
    counts: tuple[int, ...]


def _times(polynomial: list[float], root: int) -> list[float]:
    """The coefficients, the constant first, of a polynomial times (x - root)."""
    return [high - root * low for high, low in zip([0, *polynomial], [*polynomial, 0],
                                                   strict=True)]


@functools.cache
def _axis(results: int) -> _Axis:
    """The maps for a row of results, its products sorted by their points."""
    count = -(-results // 4)
    sizes = [results // count + (i < results % count) for i in range(count)]
    rows: list[tuple[int, tuple[float, ...], tuple[float, ...]]] = []
    start = 0
    for size in sizes:
        used = sorted(POINTS.index(p) for p in _points(size))
        for which in used:
            data, result = _product(POINTS[which], _points(size), size)
            rows.append((which, (*([0.0] * start), *data, *([0.0] * (results - size - start))),
                         (*([0.0] * start), *result, *([0.0] * (results - size - start)))))
        start += size
    rows.sort(key=lambda row: row[0])
    counts = [sum(row[0] == which for row in rows) for which in range(len(POINTS))]
    return _Axis(tuple(row[1] for row in rows), tuple(row[2] for row in rows),
                 tuple(c for c in counts if c))


def _points(size: int) -> list[int | None]:
    """The points of a tile of two, three or four results."""
    return [*[0, 1, -1, 2][:size], INFINITY]


def _product(point: int | None, points: list[int | None], size: int
             ) -> tuple[list[float], list[float]]:
    """What one product takes of the data, and what it gives to the results."""
    finite = [p for p in points if p is not INFINITY and p != point]
    polynomial, distance = [1.0], 1.0
    for p in finite:
        polynomial = _times(polynomial, p)
        distance *= 1.0 if point is INFINITY else point - p
    if point is INFINITY:
        return polynomial, [0.0] * (size - 1) + [1.0]
    factor = 1 / (distance * SCALE[point])
    return [factor * v for v in polynomial] + [0.0], [float(point**i) for i in range(size)]


@functools.cache
def _maps(xp: ModuleType, high: int, wide: int, dtype: Any) -> tuple[Array, Array, list[int]]:
    """DATA (products, blocks), RESULT (results, products) and how many products share a filter."""
    down, across = _axis(high), _axis(wide)
    starts = [[0, *itertools.accumulate(axis.counts)] for axis in (down, across)]
    order, shares = [], []
    for i in range(len(down.counts)):
        for j in range(len(across.counts)):
            pairs = itertools.product(range(starts[0][i], starts[0][i + 1]),
                                      range(starts[1][j], starts[1][j + 1]))
            order += [row * len(across.data) + column for row, column in pairs]
            shares.append(down.counts[i] * across.counts[j])
    both = []
    for one, other in ((down.data, across.data), (down.result, across.result)):
        product = xp.kron(xp.asarray(one, dtype="float64"), xp.asarray(other, dtype="float64"))
        both.append(product[order].astype(dtype))
    return both[0], xp.ascontiguousarray(both[1].T), shares


def _of(a: Array, g: Geometry) -> tuple[Array, Array, list[int]]:
    return _maps(array_module(a), g.oh, g.ow, a.dtype)


def fits(g: Geometry) -> bool:
    """Whether this is such a convolution, with a small map that tiles of two do not fill."""
    return ((g.kh, g.kw, g.sh, g.sw) == (4, 4, 2, 2) and (g.oh % 2 or g.ow % 2)
            and 5 <= min(g.oh, g.ow) and max(g.oh, g.ow) <= LARGEST)


def tiles(g: Geometry) -> int:
    """How many tiles an image has."""
    return -(-g.oh // 4) * -(-g.ow // 4)


def step(g: Geometry) -> int:
    """Images to a chunk."""
    products = len(_axis(g.oh).data) * len(_axis(g.ow).data)
    return max(1, ELEMENTS // (products * 4 * g.c))


def _filters(g0: Array, g1: Array, kinds: int) -> list[Array]:
    """The filters (g0, g1) at the points, scaled."""
    return [SCALE[p] * (g0 if p == 0 else g0 + p * g1) if p is not INFINITY else g1
            for p in POINTS[:kinds]]


def transform(weight: Array, g: Geometry) -> Array:
    """U of a weight (4, 4, c, o): (filters, 4 c, o)."""
    xp = array_module(weight)
    high, wide = len(_axis(g.oh).counts), len(_axis(g.ow).counts)
    blocks = weight.reshape(2, 2, 2, 2, g.c, g.o).transpose(0, 2, 1, 3, 4, 5)
    U = xp.empty((high, wide, 2, 2, g.c, g.o), dtype=weight.dtype)
    for row, out in zip(_filters(blocks[0], blocks[1], high), U, strict=True):
        for one, target in zip(_filters(row[0], row[1], wide), out, strict=True):
            target[...] = one
    return U.reshape(high * wide, 4 * g.c, g.o)


def weight_gradient(dU: Array, g: Geometry) -> Array:
    """The adjoint of ``transform``."""
    xp = array_module(dU)
    high, wide = len(_axis(g.oh).counts), len(_axis(g.ow).counts)
    out = xp.empty((4, 4, g.c, g.o), dtype=dU.dtype)
    blocks = out.reshape(2, 2, 2, 2, g.c, g.o).transpose(0, 2, 1, 3, 4, 5)
    for i, row in enumerate(_taps(dU.reshape(high, wide, 2, 2, g.c, g.o))):
        for j, tap in enumerate(_taps(row)):
            blocks[i, j] = tap
    return out


def _taps(parts: Array) -> tuple[Array, Array]:
    """The adjoint of ``_filters``."""
    first, second = SCALE[0] * parts[0], 0.0
    for point, part in zip(POINTS, parts, strict=False):
        if point is INFINITY:
            second = second + part
        elif point:
            first = first + SCALE[point] * part
            second = second + (point * SCALE[point]) * part
    return first, second


def _rows(like: Array, name: str, g: Geometry, m: int, k: int) -> Matrices:
    """Room for the rows of all products of some images."""
    return matrices(like, name, [m * share for share in _of(like, g)[2]], k)


def to_tiles(x: Array, g: Geometry) -> Matrices:
    """V of some images: a matrix (rows, 4 c) for each filter."""
    xp, m = array_module(x), len(x)
    high, wide = g.oh + 1, g.ow + 1
    blocks = scratch(x, "blocks", high, wide, m, 2, 2, g.c)
    for a, (row, i, rows) in enumerate(pixel_places(g.h, g.ph, high)):
        blocks[:i, :, :, a] = 0
        blocks[i + rows:, :, :, a] = 0
        for b, (column, j, columns) in enumerate(pixel_places(g.w, g.pw, wide)):
            target = blocks[i:i + rows, :, :, a, b]
            target[:, :j] = 0
            target[:, j + columns:] = 0
            target[:, j:j + columns] = x[:, row:row + 2 * rows:2, column:column + 2 * columns:2
                                         ].transpose(1, 2, 0, 3)
    V = _rows(x, "V", g, m, 4 * g.c)
    data = _of(x, g)[0]
    xp.matmul(data, blocks.reshape(high * wide, -1), out=V.whole.reshape(len(data), -1))
    return V


def from_tiles(V: Matrices, x: Array, g: Geometry) -> None:
    """The adjoint of ``to_tiles``, into x."""
    xp, m = array_module(x), len(x)
    high, wide = g.oh + 1, g.ow + 1
    data = _of(x, g)[0]
    blocks = scratch(x, "blocks", high, wide, m, 2, 2, g.c)
    xp.matmul(data.T, V.whole.reshape(len(data), -1), out=blocks.reshape(high * wide, -1))
    for a, (row, i, rows) in enumerate(pixel_places(g.h, g.ph, high)):
        for b, (column, j, columns) in enumerate(pixel_places(g.w, g.pw, wide)):
            target = x[:, row::2, column::2]
            target[:, :rows, :columns] = blocks[i:i + rows, j:j + columns, :, a, b].transpose(
                2, 0, 1, 3)
            target[:, rows:] = 0  # no window reaches them
            target[:, :, columns:] = 0


def to_results(M: Matrices, y: Array, g: Geometry) -> None:
    """The products, matrices (rows, o), as pixels of y."""
    xp, m = array_module(y), len(y)
    result = _of(y, g)[1]
    pixels = scratch(y, "pixels", g.oh, g.ow, m, g.o)
    xp.matmul(result, M.whole.reshape(result.shape[1], -1), out=pixels.reshape(len(result), -1))
    y[...] = pixels.transpose(2, 0, 1, 3)


def from_results(dy: Array, g: Geometry) -> Matrices:
    """The adjoint of ``to_results``."""
    xp, m = array_module(dy), len(dy)
    result = _of(dy, g)[1]
    pixels = scratch(dy, "pixels", g.oh, g.ow, m, g.o)
    pixels[...] = dy.transpose(1, 2, 0, 3)
    M = _rows(dy, "M", g, m, g.o)
    xp.matmul(result.T, pixels.reshape(len(result), -1),
              out=M.whole.reshape(result.shape[1], -1))
    return M
