"""Winograd's maps for 3x3 kernels with stride 1: F(4 x 4, 3 x 3), 36 products instead of 144.

Four neighbouring results of a filter of three taps are coefficients of a product of polynomials,
of which it is enough to know the values at six points: 0, 1, -1, 2, -2 and infinity. With the
matrices ``DATA`` (6 x 6), ``TAPS`` (6 x 3) and ``RESULT`` (4 x 6), four results of the taps w and
the data d (6 values) are ::

    RESULT ((TAPS w) * (DATA d))

In two dimensions each matrix acts on both axes: as one Kronecker product on all 36 values of a
tile. It is applied to all tiles and channels at once, so that the transforms are matrix products
too. The gradients are the transposed matrices. The points and their powers cost digits: errors are
some 1e-5 of the largest result in float32.

Images are (n, h, w, c) and weights (3, 3, c, o), contiguous; any padding. Source: Lavin and Gray
2016, section 4.3.

Leaves out: the products themselves (``kernels.winograd``).
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from ..backend import Array, array_module
from .geometry import Geometry, Matrices, matrices, scratch
from .windows import windows

__all__ = ["fits", "from_results", "from_tiles", "step", "tiles", "to_results", "to_tiles",
           "transform", "weight_gradient"]

ROWS = 256  # tiles of a chunk
TILE, SEEN = 4, 6  # results of a tile along one axis, and the pixels they are made from

DATA = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1))
TAPS = ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1))
RESULT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


@functools.cache
def _on_both_axes(xp: ModuleType, matrix: tuple, dtype: Any) -> Array:
    """The matrix that acts on tiles as ``matrix`` does on each of their axes."""
    one = xp.asarray(matrix, dtype="float64")
    return xp.kron(one, one).astype(dtype)


def _tiles(g: Geometry) -> tuple[int, int]:
    """How many tiles of 4 x 4 results lie down and across the result."""
    return -(-g.oh // TILE), -(-g.ow // TILE)


def fits(g: Geometry) -> bool:
    """Whether this is such a convolution."""
    return (g.kh, g.kw, g.sh, g.sw) == (3, 3, 1, 1)


def tiles(g: Geometry) -> int:
    """How many tiles an image has."""
    down, across = _tiles(g)
    return down * across


def step(g: Geometry) -> int:
    """Images to a chunk."""
    return max(1, ROWS // tiles(g))


def transform(weight: Array, g: Geometry) -> Array:
    """U of a weight (3, 3, c, o): (36, c, o)."""
    taps = _on_both_axes(array_module(weight), TAPS, weight.dtype)
    return (taps @ weight.reshape(9, -1)).reshape(36, *weight.shape[2:])


def weight_gradient(dU: Array, g: Geometry) -> Array:
    """The adjoint of ``transform``."""
    taps = _on_both_axes(array_module(dU), TAPS, dU.dtype)
    return (taps.T @ dU.reshape(36, -1)).reshape(3, 3, *dU.shape[1:])


def to_tiles(x: Array, g: Geometry) -> Matrices:
    """V of some images: 36 matrices (tiles, c)."""
    xp = array_module(x)
    (down, across), m = _tiles(g), len(x)
    high, wide = TILE * down + 2, TILE * across + 2
    whole = scratch(x, "whole", m, high, wide, g.c)
    rows, columns = min(g.h, high - g.ph), min(g.w, wide - g.pw)  # the rest no result needs
    bottom, right = g.ph + rows, g.pw + columns
    whole[:, :g.ph] = 0
    whole[:, bottom:] = 0
    whole[:, g.ph:bottom, :g.pw] = 0
    whole[:, g.ph:bottom, right:] = 0
    whole[:, g.ph:bottom, g.pw:right] = x[:, :rows, :columns]
    view = windows(whole, (SEEN, SEEN), (TILE, TILE), (1, 2))
    seen = scratch(x, "tiles", SEEN, SEEN, m, down, across, g.c)
    seen[...] = view.transpose(4, 5, 0, 1, 2, 3)
    V = matrices(x, "V", [m * down * across] * 36, g.c)
    xp.matmul(_on_both_axes(xp, DATA, x.dtype), seen.reshape(36, -1), out=V.whole.reshape(36, -1))
    return V


def from_tiles(V: Matrices, x: Array, g: Geometry) -> None:
    """The adjoint of ``to_tiles``, into x: where tiles overlap they add up."""
    xp = array_module(x)
    (down, across), m = _tiles(g), len(x)
    seen = scratch(x, "tiles", SEEN, SEEN, m, down, across, g.c)
    xp.matmul(_on_both_axes(xp, DATA, x.dtype).T, V.whole.reshape(36, -1), out=seen.reshape(36, -1))
    whole = scratch(x, "whole", m, down + 1, TILE, across + 1, TILE, g.c)
    whole[...] = 0
    places = whole.transpose(2, 4, 0, 1, 3, 5)  # within a tile, then the tile
    for to_h, from_h, high in ((slice(0, TILE), slice(0, TILE), slice(0, down)),
                               (slice(0, 2), slice(TILE, SEEN), slice(1, None))):
        for to_w, from_w, wide in ((slice(0, TILE), slice(0, TILE), slice(0, across)),
                                   (slice(0, 2), slice(TILE, SEEN), slice(1, None))):
            target = places[to_h, to_w, :, high, wide]
            target += seen[from_h, from_w]
    image = whole.reshape(m, (down + 1) * TILE, (across + 1) * TILE, g.c)[:, g.ph:, g.pw:]
    rows, columns = min(g.h, image.shape[1]), min(g.w, image.shape[2])
    x[:, :rows, :columns] = image[:, :rows, :columns]
    x[:, rows:] = 0
    x[:, :, columns:] = 0


def to_results(M: Matrices, y: Array, g: Geometry) -> None:
    """The products, 36 matrices (tiles, o), as pixels of y."""
    xp = array_module(y)
    (down, across), m = _tiles(g), len(y)
    pixels = scratch(y, "pixels", TILE, TILE, m, down, across, g.o)
    xp.matmul(_on_both_axes(xp, RESULT, y.dtype), M.whole.reshape(36, -1),
              out=pixels.reshape(16, -1))
    for i in range(TILE):
        for j in range(TILE):
            target = y[:, i::TILE, j::TILE]
            target[...] = pixels[i, j, :, :target.shape[1], :target.shape[2]]


def from_results(dy: Array, g: Geometry) -> Matrices:
    """The adjoint of ``to_results``."""
    xp = array_module(dy)
    (down, across), m = _tiles(g), len(dy)
    pixels = scratch(dy, "pixels", TILE, TILE, m, down, across, g.o)
    for i in range(TILE):
        for j in range(TILE):
            source = dy[:, i::TILE, j::TILE]
            high, wide = source.shape[1:3]
            pixels[i, j, :, :high, :wide] = source
            pixels[i, j, :, high:] = 0
            pixels[i, j, :, :, wide:] = 0
    M = matrices(dy, "M", [m * down * across] * 36, g.o)
    xp.matmul(_on_both_axes(xp, RESULT, dy.dtype).T, pixels.reshape(16, -1),
              out=M.whole.reshape(36, -1))
    return M
