"""Normalisation without a batch: over an image, over groups of channels, over the last axes.

Every statistic belongs to one example, so there are no running ones, and training and evaluation
compute the same. Over images it is one operation, ``ops.instance_norm``; the other two are
``normalize`` over other axes: reductions and broadcasting, which leave images in the order in
memory in which they came.

Leaves out: running statistics (``track_running_stats`` in PyTorch), and fused kernels of the other
two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..backend import Device
from ..errors import ShapeError
from .module import Module, Parameter
from .norm import check_eps

__all__ = ["GroupNorm", "InstanceNorm2d", "LayerNorm"]


def normalize(name: str, x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    """``x`` minus its mean, divided by sqrt(variance + eps), both over ``axes``.

    Raises
    ------
    ShapeError
        If there is one value, or none, to take the statistics of: the result would be 0.
    """
    _check_count(name, x, axes)
    centred = x - ops.mean(x, axes, True)
    var = ops.mean(centred * centred, axes, True)
    return centred * (var + eps) ** -0.5


def _check_count(name: str, x: Tensor, axes: Sequence[int]) -> None:
    if math.prod(x.shape[axis] for axis in axes) < 2:
        raise ShapeError(f"{name}: wants more than one value to normalise over, or all results "
                         f"are 0; got shape {x.shape}, normalised over axes {tuple(axes)}")


class _Norm(Module):
    """What the layers share: ``weight`` and ``bias`` of one shape, or None, and eps."""

    def __init__(self, shape: tuple[int, ...], eps: float, affine: bool, device: Device | None,
                 dtype: Any) -> None:
        name = type(self).__name__
        if not shape or min(shape) < 1:
            raise ShapeError(f"{name}: sizes must be at least 1, got {shape}")
        self.eps, self.affine = check_eps(name, eps), affine
        self.weight = self.bias = None
        if affine:
            self.weight = Parameter(init.ones(*shape, device=device, dtype=dtype))
            self.bias = Parameter(init.zeros(*shape, device=device, dtype=dtype))

    def _scaled(self, y: Tensor, shape: tuple[int, ...]) -> Tensor:
        """``y`` times ``weight`` plus ``bias``, both in a shape that broadcasts to y's."""
        if self.weight is None:
            return y
        return y * self.weight.reshape(shape) + self.bias.reshape(shape)


class InstanceNorm2d(_Norm):
    """Each channel of each image (n, num_features, h, w) normalised over its pixels.

    Source: Ulyanov et al. 2016. With ``affine`` it is then scaled and shifted by ``weight`` and
    ``bias``, one number per channel; as in PyTorch that is off by default.

    Raises
    ------
    ShapeError
        If the input has another shape, or images of one pixel, whose result would be 0.
    ValueError
        If eps is above 0.01.
    """

    def __init__(self, num_features: int, *, eps: float = 1e-5, affine: bool = False,
                 device: Device | None = None, dtype: Any = None) -> None:
        super().__init__((num_features,), eps, affine, device, dtype)
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return self._normalized(x, None)

    def activated(self, x: Tensor, slope: float) -> Tensor:
        """The layer with a leaky ReLU of that slope after it; one operation if not affine."""
        if self.affine:
            return ops.leaky_relu(self.forward(x), slope)
        return self._normalized(x, slope)

    def operation(self, x: Tensor, slope: float | None) -> ops.InstanceNorm:
        """What the layer does to x if it is not affine, with a leaky ReLU of that slope after it.

        x itself is checked only.
        """
        if x.ndim != 4 or x.shape[1] != self.num_features:
            raise ShapeError(f"InstanceNorm2d: wants (n, {self.num_features}, h, w), got shape "
                             f"{x.shape}")
        _check_count("InstanceNorm2d", x, (2, 3))
        return ops.InstanceNorm(self.eps, slope)

    def _normalized(self, x: Tensor, slope: float | None) -> Tensor:
        return self._scaled(self.operation(x, slope)(x), (self.num_features, 1, 1))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}"


class GroupNorm(_Norm):
    """(n, num_channels, ...) normalised over groups of neighbouring channels and all pixels.

    Source: Wu and He 2018. Then every channel is scaled and shifted by its ``weight`` and
    ``bias``. One group per channel is InstanceNorm2d; a single group is one norm per image.

    Raises
    ------
    ShapeError
        If the channels cannot be divided into the groups, the input has another shape, or a group
        holds a single value.
    ValueError
        If eps is above 0.01.
    """

    def __init__(self, num_groups: int, num_channels: int, *, eps: float = 1e-5,
                 affine: bool = True, device: Device | None = None, dtype: Any = None) -> None:
        super().__init__((num_channels,), eps, affine, device, dtype)
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(f"GroupNorm: {num_channels} channels cannot be divided into "
                             f"{num_groups} groups of equal size")
        self.num_groups, self.num_channels = num_groups, num_channels

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: wants (n, {self.num_channels}, ...), got shape {x.shape}")
        n, c, *pixels = x.shape
        # splitting an axis and joining it again moves nothing in memory
        groups = x.reshape((n, self.num_groups, c // self.num_groups, *pixels))
        y = normalize("GroupNorm", groups, range(2, groups.ndim), self.eps).reshape(x.shape)
        return self._scaled(y, (c, *(1 for _ in pixels)))

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LayerNorm(_Norm):
    """(..., *normalized_shape) normalised over these last axes, as in PyTorch.

    Source: Ba et al. 2016. ``normalized_shape`` is one size or several; ``weight`` and ``bias``
    are of that shape. The course's ``LayerNorm1d`` is the same for (n, dim).

    Raises
    ------
    ShapeError
        If the input's last sizes are others, or there is a single value to normalise over.
    ValueError
        If eps is above 0.01.
    """

    def __init__(self, normalized_shape: int | Sequence[int], *, eps: float = 1e-5,
                 affine: bool = True, device: Device | None = None, dtype: Any = None) -> None:
        several = isinstance(normalized_shape, Sequence)
        self.normalized_shape = tuple(normalized_shape) if several else (normalized_shape,)
        super().__init__(self.normalized_shape, eps, affine, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        shape = self.normalized_shape
        if x.shape[-len(shape):] != shape:
            sizes = ", ".join(map(str, shape))
            raise ShapeError(f"LayerNorm: wants (..., {sizes}), got shape {x.shape}")
        y = normalize("LayerNorm", x, range(x.ndim - len(shape), x.ndim), self.eps)
        return self._scaled(y, shape)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, affine={self.affine}"
