"""Convolution with stride 1 to few channels: ``planar`` with the two sides exchanged.

With stride 1 pixels and results see each other alike. So this convolution is also a transposed
one, from its image to its result, with the kernel turned by half a turn and kernel - 1 - padding
zeros around, and its gradients are a convolution of out_grad. The side of few channels is thus the
one that ``planar`` has in planes: the product comes first, into kh * kw planes for each channel,
which are added with a shift each.

Images are (n, h, w, c), results planes (n, o, oh, ow), weights (kh, kw, c, o), contiguous.

Leaves out: other strides, where pixels and results do not see each other alike.
"""

from __future__ import annotations

from ..backend import Array, array_module
from . import planar
from .geometry import Geometry

__all__ = ["backward", "fits", "forward"]


def fits(g: Geometry) -> bool:
    """Whether this is such a convolution (with more zeros around, the mirrored one would crop)."""
    return (g.sh, g.sw) == (1, 1) and g.ph < g.kh and g.pw < g.kw


def _mirrored(g: Geometry) -> Geometry:
    return g._replace(c=g.o, h=g.oh, w=g.ow, o=g.c, ph=g.kh - 1 - g.ph, pw=g.kw - 1 - g.pw)


def _turned(weight: Array | None) -> Array | None:
    """A weight turned by half a turn, with its channels exchanged; twice, it is itself again."""
    if weight is None:
        return None
    turned = weight[::-1, ::-1].transpose(0, 1, 3, 2)
    return array_module(weight).ascontiguousarray(turned)


def forward(
    g: Geometry, x: Array, weight: Array | None, out_grad: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The convolution of x, if a weight is given, and its weight gradient, if out_grad is given."""
    y, grad_weight = planar.backward(_mirrored(g), x, _turned(weight), out_grad)
    return y, _turned(grad_weight)


def backward(
    g: Geometry, out_grad: Array, weight: Array | None, x: Array | None = None
) -> tuple[Array | None, Array | None]:
    """The gradient of the image, if a weight is given, and of the weight, if x is given."""
    grad_x, grad_weight = planar.forward(_mirrored(g), out_grad, _turned(weight), x)
    return grad_x, _turned(grad_weight)
