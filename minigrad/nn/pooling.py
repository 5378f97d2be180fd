"""Pooling layers: a window of pixels becomes its mean or its largest element.

Leaves out: padding (put it before the layer), dilation, ceil mode, and pooling to a given size.
"""

from __future__ import annotations

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..ops.window import Size
from .module import Module

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "MaxPool2d"]


class _Pool(Module):
    """What the two layers share: the size of the window and its stride."""

    def __init__(self, kernel_size: Size, *, stride: Size | None = None) -> None:
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        same = self.stride == self.kernel_size
        return f"{self.kernel_size}" + ("" if same else f", stride={self.stride}")


class AvgPool2d(_Pool):
    """The mean of every window of images (n, c, h, w).

    ``kernel_size`` and ``stride`` are an integer or a pair (height, width); the stride is the
    kernel size by default. The result is (n, c, (h - kh) // sh + 1, (w - kw) // sw + 1).

    Raises
    ------
    ShapeError
        If the input has not four axes, or a window is larger than the images.
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool(x, self.kernel_size, self.stride)


class MaxPool2d(_Pool):
    """The largest element of every window of images (n, c, h, w); sizes as in AvgPool2d.

    Equal largest elements share the gradient equally (PyTorch gives it to the first).

    Raises
    ------
    ShapeError
        If the input has not four axes, or a window is larger than the images.
    """

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool(x, self.kernel_size, self.stride)


class GlobalAvgPool2d(Module):
    """The mean of every channel of images: (n, c, h, w) to (n, c), ready for a Linear layer.

    Source: Lin et al. 2014. PyTorch's ``AdaptiveAvgPool2d(1)`` keeps two axes of size 1.

    Raises
    ------
    ShapeError
        If the input has not four axes, or images without pixels.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ShapeError(f"GlobalAvgPool2d: wants (n, c, h, w), got shape {x.shape}")
        return ops.mean(x, (2, 3))
