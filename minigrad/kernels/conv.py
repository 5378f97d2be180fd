"""Convolution, fast: which of the ways runs for which sizes, and the door to each.

There are several ways to compute the same numbers. ``choose`` picks one by the sizes alone, so that
the same shapes always give the same bits; ``python -m minigrad kernels`` prints what it picks.

- ``direct``: im2col and one product, for everything;
- ``winograd``: between many channels, 4x4 kernels with stride 2 (9/16 of the multiplications) and
  3x3 kernels with stride 1 (1/4 of them, and larger transforms); on small maps of odd sides the
  whole image is one tile;
- ``planar``: images of few channels come in or go out;
- on a GPU, whatever the sizes, im2col in one launch and one product (``fused``).

At the door images are brought into the order (n, h, w, c) and weights into (kh, kw, c, o), by a
copy where they are not in it already. Results are views (n, c, h, w) and (o, c, kh, kw) of arrays
in that order.

Leaves out: groups, dilation, FFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ..backend import Array, array_module
from . import (
    direct,
    fused,
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
    WINOGRAD_WHOLE = "winograd whole"
    WINOGRAD_K4S2 = "winograd 4x4/2"
    WINOGRAD_K3 = "winograd 3x3"


# From how many channels, and from how many tiles (for 128 channels), each pays.
_PAYS = {Way.WINOGRAD_WHOLE: (64, 64), Way.WINOGRAD_K4S2: (64, 64), Way.WINOGRAD_K3: (32, 32)}
_MAPS = {Way.WINOGRAD_WHOLE: winograd_whole, Way.WINOGRAD_K4S2: winograd_k4s2,
         Way.WINOGRAD_K3: winograd_k3}


def choose(g: Geometry) -> Way:
    """The way that is fastest for these sizes."""
    if g.c <= FEW and g.kh * g.kw > 1:
        return Way.PLANAR
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


def _image(x: Array, way: Way) -> Array:
    """Images as the side with c channels is wanted: in planes, or channels last."""
    return array_module(x).ascontiguousarray(x) if way is Way.PLANAR else channels_last(x)


def _as_image(x: Array | None, way: Way) -> Array | None:
    """The inverse of ``_image``, as a view."""
    return x if x is None or way is Way.PLANAR else x.transpose(0, 3, 1, 2)


def _as_weight(weight: Array | None) -> Array | None:
    return None if weight is None else weight.transpose(3, 2, 0, 1)


def _forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None, U: Array | None
) -> tuple[Array | None, Array | None]:
    """The convolution of x and the weight gradient, by the chosen way."""
    way = choose(g)
    dy = None if out_grad is None else channels_last(out_grad)
    w = None if weight is None else _weight(weight)
    if not on_cpu(x):
        y, dw = fused.conv_forward(g, x.transpose(0, 2, 3, 1), w, dy)
        return _as_image(y, Way.DIRECT), _as_weight(dw)
    x = _image(x, way)
    if way in _MAPS:
        y, dw = winograd.forward(_MAPS[way], g, x, w, dy, U)
    else:
        y, dw = (planar if way is Way.PLANAR else direct).forward(g, x, w, dy)
    return _as_image(y, Way.DIRECT), _as_weight(dw)


def _backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None, U: Array | None
) -> tuple[Array | None, Array | None]:
    """The gradients of image and weight, by the chosen way."""
    way = choose(g)
    dy = channels_last(out_grad)
    w = None if weight is None else _weight(weight)
    if not on_cpu(out_grad):
        dx, dw = fused.conv_backward(g, dy, w, None if x is None else x.transpose(0, 2, 3, 1))
        return _as_image(dx, Way.DIRECT), _as_weight(dw)
    image = None if x is None else _image(x, way)
    if way in _MAPS:
        dx, dw = winograd.backward(_MAPS[way], g, dy, w, image, U)
    else:
        dx, dw = (planar if way is Way.PLANAR else direct).backward(g, dy, w, image)
    return _as_image(dx, way), _as_weight(dw)


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
    """The weight as Winograd's products want it, where n images of this size take that way."""
    if not on_cpu(weight):
        return None
    o, c, kh, kw = weight.shape
    g = Geometry(n, c, *size, o, kh, kw, *stride, *padding)
    way = choose(g)
    return _MAPS[way].transform(_weight(weight), g) if way in _MAPS else None


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
