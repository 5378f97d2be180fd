"""Convolution, fast: which of the ways runs for which sizes, and the door to each.

There are several ways to compute the same numbers. ``choose`` picks one by the sizes alone, so that
the same shapes always give the same bits; ``python -m minigrad kernels`` prints what it picks.

- ``direct``: im2col and one product, for everything;
- ``winograd``: between many channels, 4x4 kernels with stride 2 (9/16 of the multiplications) and
  3x3 kernels with stride 1 (1/4 of them, and larger transforms); on small maps of odd sides the
  whole image is one tile;
- ``planar``: images of few channels come in; ``mirrored``: they go out, with stride 1;
- on a GPU, whatever the sizes, im2col in one launch and one product (``fused``).

At the door images are brought into the order (n, h, w, c) and weights into (kh, kw, c, o), by a
copy where they are not in it already. Results are views (n, c, h, w) and (o, c, kh, kw) of arrays
in that order. The side of few channels is in planes instead, (n, c, h, w).

Leaves out: groups, dilation, FFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ..backend import Array, array_module
from . import (
    direct,
    fused,
    mirrored,
    planar,
    reference,
    winograd,
    winograd_k3,
    winograd_k4s2,
    winograd_whole,
)
from .geometry import Geometry, channels_last, on_cpu

__all__ = [
    "Way",
    "choose",
    "conv2d",
    "conv2d_gradient",
    "conv2d_input_gradient",
    "conv2d_transform",
    "conv2d_weight_gradient",
    "conv_transpose2d_gradient",
]

Pair = tuple[int, int]
FEW = 4  # channels of a picture, at most


class Way(Enum):
    """How a convolution is computed."""

    DIRECT = "direct"
    PLANAR = "planar"
    MIRRORED = "mirrored"
    WINOGRAD_WHOLE = "winograd whole"
    WINOGRAD_K4S2 = "winograd 4x4/2"
    WINOGRAD_K3 = "winograd 3x3"


# From how many channels, and from how many tiles (for 128 channels), each pays.
_PAYS = {Way.WINOGRAD_WHOLE: (64, 64), Way.WINOGRAD_K4S2: (64, 64), Way.WINOGRAD_K3: (32, 32)}
_PLAIN = {Way.DIRECT: direct, Way.PLANAR: planar, Way.MIRRORED: mirrored}
_KEPT = (Way.WINOGRAD_WHOLE, Way.WINOGRAD_K4S2)  # whose transformed weights wait for backward
_MAPS = {Way.WINOGRAD_WHOLE: winograd_whole, Way.WINOGRAD_K4S2: winograd_k4s2,
         Way.WINOGRAD_K3: winograd_k3}


def choose(g: Geometry) -> Way:
    """The way that is fastest for these sizes."""
    if g.c <= FEW and g.kh * g.kw > 1:
        return Way.PLANAR
    if g.o <= FEW and g.kh * g.kw > 1 and g.oh * g.ow > 1 and mirrored.fits(g):
        return Way.MIRRORED
    # Winograd's transforms pay from some number of channels on, and his many small products only
    # with enough tiles in each, more where the weight, which is transformed as well, is large.
    narrow, wide = sorted((g.c, g.o))
    for way, maps in _MAPS.items():
        if maps.fits(g):
            least, enough = _PAYS[way]
            if narrow >= least and g.n * maps.tiles(g) >= max(enough, wide * enough // 128):
                return way
    return Way.DIRECT


def _is_fast(a: Array) -> bool:
    """Whether there are fast kernels for an array of this kind."""
    return on_cpu(a) or fused.runs(a)


def _weight(weight: Array) -> Array:
    """A weight (o, c, kh, kw) as a contiguous array (kh, kw, c, o)."""
    return array_module(weight).ascontiguousarray(weight.transpose(2, 3, 1, 0))


def _in_order(a: Array | None, in_planes: bool) -> Array | None:
    """One side of a convolution as its way wants it in memory: in planes, or channels last."""
    if a is None:
        return None
    return array_module(a).ascontiguousarray(a) if in_planes else channels_last(a)


def _as_image(a: Array | None, in_planes: bool) -> Array | None:
    """The inverse of ``_in_order``, as a view."""
    return a if a is None or in_planes else a.transpose(0, 3, 1, 2)


def _as_weight(weight: Array | None) -> Array | None:
    return None if weight is None else weight.transpose(3, 2, 0, 1)


def _forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None, U: Array | None
) -> tuple[Array | None, Array | None]:
    """The convolution of x and the weight gradient, by the chosen way."""
    w = None if weight is None else _weight(weight)
    if not on_cpu(x):
        dy = _in_order(out_grad, False)
        y, dw = fused.conv_forward(g, x.transpose(0, 2, 3, 1), w, dy)
        return _as_image(y, False), _as_weight(dw)
    way = choose(g)
    x, dy = _in_order(x, way is Way.PLANAR), _in_order(out_grad, way is Way.MIRRORED)
    if way in _MAPS:
        y, dw = winograd.forward(_MAPS[way], g, x, w, dy, U)
    else:
        y, dw = _PLAIN[way].forward(g, x, w, dy)
    return _as_image(y, way is Way.MIRRORED), _as_weight(dw)


def _backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None, U: Array | None
) -> tuple[Array | None, Array | None]:
    """The gradients of image and weight, by the chosen way."""
    w = None if weight is None else _weight(weight)
    if not on_cpu(out_grad):
        image = None if x is None else x.transpose(0, 2, 3, 1)
        dx, dw = fused.conv_backward(g, channels_last(out_grad), w, image)
        return _as_image(dx, False), _as_weight(dw)
    way = choose(g)
    dy, image = _in_order(out_grad, way is Way.MIRRORED), _in_order(x, way is Way.PLANAR)
    if way in _MAPS:
        dx, dw = winograd.backward(_MAPS[way], g, dy, w, image, U)
    else:
        dx, dw = _PLAIN[way].backward(g, dy, w, image)
    return _as_image(dx, way is Way.PLANAR), _as_weight(dw)


def conv2d(
    x: Array, weight: Array, stride: Pair, padding: Pair, transformed: Array | None = None
) -> Array:
    """As ``reference.conv2d``; ``transformed`` is what ``conv2d_transform`` made of the weight."""
    if not _is_fast(x):
        return reference.conv2d(x, weight, stride, padding)
    g = Geometry(*x.shape, len(weight), *weight.shape[2:], *stride, *padding)
    return _forward(g, x, weight, None, transformed)[0]


def conv2d_input_gradient(
    out_grad: Array, weight: Array, stride: Pair, padding: Pair, size: Pair,
    transformed: Array | None = None,
) -> Array:
    """As ``reference.conv2d_input_gradient``."""
    if not _is_fast(out_grad):
        return reference.conv2d_input_gradient(out_grad, weight, stride, padding, size)
    o, c, kh, kw = weight.shape
    g = Geometry(len(out_grad), c, *size, o, kh, kw, *stride, *padding)
    return _backward(g, out_grad, weight, None, transformed)[0]


def conv2d_weight_gradient(
    x: Array, out_grad: Array, stride: Pair, padding: Pair, kernel: Pair
) -> Array:
    """As ``reference.conv2d_weight_gradient``."""
    if not _is_fast(x):
        return reference.conv2d_weight_gradient(x, out_grad, stride, padding, kernel)
    g = Geometry(*x.shape, out_grad.shape[1], *kernel, *stride, *padding)
    return _forward(g, x, None, out_grad, None)[1]


def conv2d_transform(
    weight: Array, n: int, size: Pair, stride: Pair, padding: Pair
) -> Array | None:
    """The weight as Winograd's products want it, where n images of this size take that way.

    For 3x3 kernels it is four times the weight, more than such a network's activations, and quicker
    made again than the products that use it: it is not kept.
    """
    if not on_cpu(weight):
        return None
    o, c, kh, kw = weight.shape
    g = Geometry(n, c, *size, o, kh, kw, *stride, *padding)
    way = choose(g)
    return _MAPS[way].transform(_weight(weight), g) if way in _KEPT else None


def conv2d_gradient(
    x: Array, weight: Array, out_grad: Array, stride: Pair, padding: Pair, wanted: Sequence[bool],
    transformed: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """As ``reference.conv2d_gradient``, both from one transform of out_grad."""
    if not _is_fast(x):
        return reference.conv2d_gradient(x, weight, out_grad, stride, padding, wanted)
    g = Geometry(*x.shape, len(weight), *weight.shape[2:], *stride, *padding)
    return _backward(g, out_grad, weight if wanted[0] else None, x if wanted[1] else None,
                     transformed)


def conv_transpose2d_gradient(
    x: Array, weight: Array, out_grad: Array, stride: Pair, padding: Pair, wanted: Sequence[bool],
    transformed: Array | None = None,
) -> tuple[Array | None, Array | None]:
    """As ``reference.conv_transpose2d_gradient``, both from one transform of out_grad."""
    if not _is_fast(x):
        return reference.conv_transpose2d_gradient(x, weight, out_grad, stride, padding, wanted)
    g = Geometry(*out_grad.shape, len(weight), *weight.shape[2:], *stride, *padding)
    return _forward(g, out_grad, weight if wanted[0] else None, x if wanted[1] else None,
                    transformed)
