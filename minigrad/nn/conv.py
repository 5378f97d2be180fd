"""Convolutional layers: PyTorch's Conv2d and ConvTranspose2d, and the course's Conv.

Weights have PyTorch's shapes. In memory their channels come last, as the kernels want them; an
optimizer keeps that order in its flat buffer.

Leaves out: groups, dilation, other paddings than zeros (put ``ReflectionPad2d`` before the layer).
"""

from __future__ import annotations

import math
from typing import Any

from .. import init, ops
from ..autograd import Tensor, TensorOp, constant
from ..backend import Array, Device, array_module
from ..errors import ShapeError
from ..ops.conv import Size, pair
from .module import Module, Parameter

__all__ = ["Conv", "Conv2d", "ConvTranspose2d"]


def channels_last(weight: Array) -> Array:
    """The same (o, c, kh, kw) values with the axes in the order (kh, kw, c, o) in memory."""
    in_memory = array_module(weight).ascontiguousarray(weight.transpose(2, 3, 1, 0))
    return in_memory.transpose(3, 2, 0, 1)


class _ConvNd(Module):
    """What Conv2d and ConvTranspose2d share."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size, *,
                 stride: Size = 1, padding: Size = 0, dilation: int = 1, groups: int = 1,
                 bias: bool = True, device: Device | None = None, dtype: Any = None) -> None:
        name = type(self).__name__
        if min(in_channels, out_channels) < 1:
            raise ShapeError(f"{name}: channels must be at least 1, got {in_channels} and "
                             f"{out_channels}")
        if groups != 1:
            raise ShapeError(f"{name}: groups must be 1, got {groups}; slice the channels, use one "
                             "layer for each group and ops.concat")
        if dilation not in (1, (1, 1)):
            raise ShapeError(f"{name}: dilation must be 1, got {dilation}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride = pair(name, "stride", stride, 1)
        self.padding = pair(name, "padding", padding, 0)
        first, second = self._weight_channels()
        bound = 1 / math.sqrt(second * math.prod(self.kernel_size))
        options = {"low": -bound, "high": bound, "device": device, "dtype": dtype}
        weight = init.rand(first, second, *self.kernel_size, **options)
        self.weight = Parameter(constant(channels_last(weight.cached_data)))
        self.bias = Parameter(init.rand(out_channels, **options)) if bias else None

    def _weight_channels(self) -> tuple[int, int]:
        raise NotImplementedError(f"{type(self).__name__}._weight_channels")

    def _with_bias(self, y: Tensor) -> Tensor:
        return y if self.bias is None else y + self.bias.reshape((1, self.out_channels, 1, 1))

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return (f"{self.in_channels}, {self.out_channels}, {_short(self.kernel_size)}, "
                f"stride={_short(self.stride)}, padding={_short(self.padding)}{bias}")


def _short(both: tuple[int, int]) -> int | tuple[int, int]:
    return both[0] if both[0] == both[1] else both


class Conv2d(_ConvNd):
    """Images (n, in_channels, h, w) to (n, out_channels, oh, ow); see ``ops.conv2d``.

    ``weight`` is (out_channels, in_channels, kh, kw), ``bias`` (out_channels,); both are drawn
    uniformly in +-1 / sqrt(in_channels kh kw), as in PyTorch.

    Raises
    ------
    ShapeError
        If a size is impossible, or groups or dilation is not 1.
    """

    def _weight_channels(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels

    def forward(self, x: Tensor) -> Tensor:
        return self._with_bias(ops.conv2d(x, self.weight, self.stride, self.padding))

    def activated(self, x: Tensor, slope: float) -> Tensor:
        """The layer with a leaky ReLU of that slope after it; as one operation without a bias."""
        if self.bias is not None:
            return ops.leaky_relu(self.forward(x), slope)
        return ops.conv2d(x, self.weight, self.stride, self.padding, slope)

    def joined(self, x: Tensor, before: TensorOp | None, reflected: int, slope: float | None
               ) -> Tensor:
        """The layer and its neighbours as one operation.

        ``before`` is an operation on x (``ops.conv2d``). ``reflected`` is the width of a
        ReflectionPad2d after it; 0 for none, and for a layer that pads zeros. With a ``slope`` a
        leaky ReLU follows, as in ``activated``.
        """
        within = slope if self.bias is None else None
        padding = reflected if reflected else self.padding
        y = self._with_bias(ops.conv2d(x, self.weight, self.stride, padding, within,
                                       reflect=reflected > 0, before=before))
        return y if slope == within else ops.leaky_relu(y, slope)


class ConvTranspose2d(_ConvNd):
    """Images (n, in_channels, h, w) to larger ones; see ``ops.conv_transpose2d``.

    ``weight`` is (in_channels, out_channels, kh, kw), ``bias`` (out_channels,); both are drawn
    uniformly in +-1 / sqrt(out_channels kh kw), as in PyTorch.

    Raises
    ------
    ShapeError
        If a size is impossible, or groups or dilation is not 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Size, *,
                 output_padding: Size = 0, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, 0)

    def _weight_channels(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return self._with_bias(ops.conv_transpose2d(
            x, self.weight, self.stride, self.padding, self.output_padding))

    def joined(self, x: Tensor, before: TensorOp) -> Tensor:
        """The layer after an operation on x, as one operation (``ops.conv_transpose2d``)."""
        return self._with_bias(ops.conv_transpose2d(
            x, self.weight, self.stride, self.padding, self.output_padding, before))

    def extra_repr(self) -> str:
        extra = "" if self.output_padding == (0, 0) else (
            f", output_padding={_short(self.output_padding)}")
        return super().extra_repr() + extra


class Conv(Module):
    """The course's layer: images (n, c, h, w), a square odd kernel, "same" padding.

    ``weight`` is (k, k, in_channels, out_channels), drawn by ``init.kaiming_uniform``; ``bias``
    (out_channels,) is uniform in +-1 / sqrt(in_channels k k). The result is (n, out_channels,
    ceil(h / stride), ceil(w / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1,
                 bias: bool = True, device: Device | None = None, dtype: Any = None) -> None:
        kernel_size = kernel_size[0] if isinstance(kernel_size, tuple) else kernel_size
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = kernel_size
        self.stride = stride[0] if isinstance(stride, tuple) else stride
        area = kernel_size * kernel_size
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.kaiming_uniform(
            in_channels * area, out_channels * area,
            shape=(kernel_size, kernel_size, in_channels, out_channels), **options))
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(in_channels * area)
            self.bias = Parameter(init.rand(out_channels, low=-bound, high=bound, **options))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ShapeError(f"Conv: wants (n, {self.in_channels}, h, w), got shape {x.shape}")
        padding = (self.kernel_size - 1) // 2
        y = ops.conv(x.permute((0, 2, 3, 1)), self.weight, self.stride, padding)
        if self.bias is not None:
            y = y + self.bias
        return y.permute((0, 3, 1, 2))

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return (f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, "
                f"stride={self.stride}{bias}")
