"""Winograd's maps for 4x4 kernels with stride 2: nine products instead of sixteen.

**From 4x4, stride 2 to 2x2, stride 1.** Cut the padded image into blocks of 2 x 2 pixels and take a
block's 4 c numbers as the channels of one pixel. A 4x4 window at stride 2 is then 2 x 2 blocks, and
its neighbour begins one block further.

**F(2, 2).** Two neighbouring results of a filter (g0, g1) on (d0, d1, d2) take three products
instead of four::

    d0 g0 + d1 g1 = (d0 - d1) g0 + d1 (g0 + g1)
    d1 g0 + d2 g1 =                d1 (g0 + g1) + (d2 - d1) g1

In two dimensions a tile of 2 x 2 results takes 3 x 3 products instead of 16. Each of the nine is a
matrix product over all tiles and channels: V (tiles, 4 c) times U (4 c, o). All coefficients are 0
and 1 with a sign, so the rounding errors are those of the direct sum.

**Gradients.** Each of the three maps (image to V, weight to U, products to result) is linear, and
its adjoint has the same coefficients: both gradients take nine products as well, and share the
transform of out_grad.

Images are (n, h, w, c) and weights (4, 4, c, o), contiguous. Sizes need not be even: missing blocks
and results are zeros. Source: Winograd 1980; Lavin and Gray 2016.

Leaves out: the products themselves (``kernels.winograd``).
"""

from __future__ import annotations

from ..backend import Array, array_module
from .geometry import Geometry, Matrices, matrices, scratch

__all__ = ["fits", "from_results", "from_tiles", "pixel_places", "step", "tiles", "to_results",
           "to_tiles", "transform", "weight_gradient"]

ROWS = 256  # tiles of a chunk: fewer make the products small, more leave the cache


def _tiles(g: Geometry) -> tuple[int, int]:
    """How many tiles of 2 x 2 results lie down and across the result."""
    return -(-g.oh // 2), -(-g.ow // 2)


def fits(g: Geometry) -> bool:
    """Whether this is such a convolution."""
    return (g.kh, g.kw, g.sh, g.sw) == (4, 4, 2, 2)


def tiles(g: Geometry) -> int:
    """How many tiles an image has."""
    down, across = _tiles(g)
    return down * across


def step(g: Geometry) -> int:
    """Images to a chunk."""
    return max(1, ROWS // tiles(g))


def transform(weight: Array, g: Geometry) -> Array:
    """U of a weight (4, 4, c, o): (9, 4 c, o), the filters g0, g0 + g1 and g1 on both axes."""
    c, o = weight.shape[2:]
    xp = array_module(weight)
    g = weight.reshape(2, 2, 2, 2, c, o).transpose(0, 2, 1, 3, 4, 5)  # block, then place in it
    U = xp.empty((3, 3, 2, 2, c, o), dtype=weight.dtype)
    for row, block in ((0, g[0]), (2, g[1])):
        U[row, 0], U[row, 2] = block
        xp.add(block[0], block[1], out=U[row, 1])
    xp.add(U[0], U[2], out=U[1])
    return U.reshape(9, 4 * c, o)


def weight_gradient(dU: Array, g: Geometry) -> Array:
    """The adjoint of ``transform``."""
    xp = array_module(dU)
    c, o = dU.shape[1] // 4, dU.shape[2]
    dU = dU.reshape(3, 3, 2, 2, c, o)
    out = xp.empty((4, 4, c, o), dtype=dU.dtype)
    blocks = out.reshape(2, 2, 2, 2, c, o).transpose(0, 2, 1, 3, 4, 5)
    for i in range(2):
        row = dU[i] + dU[i + 1]
        for j in range(2):
            xp.add(row[j], row[j + 1], out=blocks[i, j])
    return out


def pixel_places(size: int, p: int, blocks: int) -> list[tuple[int, int, int]]:
    """Where the pixels of the image lie in the blocks along one axis.

    For the first and for the second pixel of a block: the first such pixel of the image, its block,
    and how many there are.
    """
    places = []
    for a in range(2):
        first = (a - p) % 2
        block = (first + p) // 2
        places.append((first, block, max(0, min(len(range(first, size, 2)), blocks - block))))
    return places


def _blocks(x: Array, g: Geometry) -> Array:
    """The padded images as blocks, (images, 2 down + 1, 2 across + 1, 4 c)."""
    down, across = _tiles(g)
    high, wide = 2 * down + 1, 2 * across + 1
    out = scratch(x, "blocks", len(x), high, wide, 2, 2, g.c)
    for a, (row, i, rows) in enumerate(pixel_places(g.h, g.ph, high)):
        out[:, :i, :, a] = 0
        out[:, i + rows:, :, a] = 0
        for b, (column, j, columns) in enumerate(pixel_places(g.w, g.pw, wide)):
            target = out[:, i:i + rows, :, a, b]
            target[:, :, :j] = 0
            target[:, :, j + columns:] = 0
            target[:, :, j:j + columns] = x[:, row:row + 2 * rows:2,
                                            column:column + 2 * columns:2]
    return out.reshape(len(x), high, wide, 4 * g.c)


def _from_blocks(blocks: Array, x: Array, g: Geometry) -> None:
    """The adjoint of ``_blocks``, into x: every pixel lies in one block."""
    m, high, wide = blocks.shape[:3]
    blocks = blocks.reshape(m, high, wide, 2, 2, g.c)
    for a, (row, i, rows) in enumerate(pixel_places(g.h, g.ph, high)):
        for b, (column, j, columns) in enumerate(pixel_places(g.w, g.pw, wide)):
            target = x[:, row::2, column::2]
            target[:, :rows, :columns] = blocks[:, i:i + rows, j:j + columns, a, b]
            target[:, rows:] = 0  # no window reaches them
            target[:, :, columns:] = 0


def to_tiles(x: Array, g: Geometry) -> Matrices:
    """V of some images: nine matrices (tiles, 4 c)."""
    xp = array_module(x)
    (down, across), m, k = _tiles(g), len(x), 4 * g.c
    d = _blocks(x, g)
    middle = d[:, 1::2]
    rows = scratch(x, "rows", 2, m, down, 2 * across + 1, k)
    xp.subtract(d[:, :-1:2], middle, out=rows[0])
    xp.subtract(d[:, 2::2], middle, out=rows[1])
    V = matrices(x, "V", [m * down * across] * 9, k)
    parts = V.whole.reshape(3, 3, m, down, across, k)
    for row, out in zip((rows[0], middle, rows[1]), parts, strict=True):
        centre = row[:, :, 1::2]
        xp.subtract(row[:, :, :-1:2], centre, out=out[0])
        out[1] = centre
        xp.subtract(row[:, :, 2::2], centre, out=out[2])
    return V


def from_tiles(V: Matrices, x: Array, g: Geometry) -> None:
    """The adjoint of ``to_tiles``, into x; V is overwritten."""
    (down, across), m, k = _tiles(g), len(x), 4 * g.c
    parts = V.whole.reshape(3, 3, m, down, across, k)
    rows = scratch(x, "all rows", 3, m, down, 2 * across + 1, k)
    _spread(parts[:, 0], parts[:, 1], parts[:, 2], rows, 3)
    d = scratch(x, "blocks", m, 2 * down + 1, 2 * across + 1, k)
    _spread(rows[0], rows[1], rows[2], d, 1)
    _from_blocks(d, x, g)


def _spread(first: Array, middle: Array, last: Array, out: Array, axis: int) -> None:
    """The adjoint of (d0 - d1, d1, d2 - d1) along an axis of overlapping triples (d0, d1, d2)."""
    xp = array_module(out)

    def at(a: Array, start: int | None, stop: int | None, step: int = 1) -> Array:
        return a[(slice(None),) * axis + (slice(start, stop, step),)]

    xp.subtract(middle, first, out=at(out, 1, None, 2))
    odd = at(out, 1, None, 2)
    odd -= last
    at(out, 0, 1)[...] = at(first, 0, 1)
    at(out, -1, None)[...] = at(last, -1, None)
    xp.add(at(first, 1, None), at(last, 0, -1), out=at(out, 2, -1, 2))


def to_results(M: Matrices, y: Array, g: Geometry) -> None:
    """The products, nine matrices (tiles, o), as pixels: sums of two neighbours on both axes."""
    xp = array_module(y)
    (down, across), m = _tiles(g), len(y)
    parts = M.whole.reshape(3, 3, m, down, across, g.o)
    rows = scratch(y, "result rows", 2, 3, m, down, across, g.o)
    xp.add(parts[:2], parts[1:], out=rows)
    for i in range(2):
        for j in range(2):
            pixels = y[:, i::2, j::2]
            high, wide = pixels.shape[1:3]
            xp.add(rows[i, j, :, :high, :wide], rows[i, j + 1, :, :high, :wide], out=pixels)


def from_results(dy: Array, g: Geometry) -> Matrices:
    """The adjoint of ``to_results``."""
    xp = array_module(dy)
    (down, across), m = _tiles(g), len(dy)
    M = matrices(dy, "M", [m * down * across] * 9, g.o)
    parts = M.whole.reshape(3, 3, m, down, across, g.o)
    for i in range(2):
        for j in range(2):
            pixels = dy[:, i::2, j::2]
            high, wide = pixels.shape[1:3]
            corner = parts[2 * i, 2 * j]
            corner[:, :high, :wide] = pixels
            corner[:, high:] = 0  # a result too many, where their number is odd
            corner[:, :, wide:] = 0
        xp.add(parts[2 * i, 0], parts[2 * i, 2], out=parts[2 * i, 1])
    xp.add(parts[0], parts[2], out=parts[1])
    return M
