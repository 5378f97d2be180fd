"""Normalisation layers of the course: batch normalisation, and a row's own.

The running variance is the biased one, as in the course (PyTorch keeps the unbiased one). Running
statistics are replaced at each step, never written in place, so that a graph keeps what it read.

Leaves out: normalisations of images other than by the batch, which stand in ``image_norm``.
"""

from __future__ import annotations

from typing import Any

from .. import init, kernels, ops
from ..autograd import Tensor, constant
from ..backend import Array, Device
from ..errors import ShapeError
from .module import Buffer, Module, Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm1d"]


def check_eps(name: str, eps: float) -> float:
    """Refuse an ``eps`` above 0.01, which is most likely a momentum in the wrong place.

    Raises
    ------
    ValueError
    """
    if not 0 <= eps <= 0.01:
        raise ValueError(f"{name}: eps must be between 0 and 0.01, got {eps}; is that the "
                         "momentum? (the order is dim, eps, momentum)")
    return eps


def _features(name: str, x: Tensor, dim: int) -> None:
    if x.ndim != 2 or x.shape[1] != dim or x.shape[0] == 0:
        raise ShapeError(f"{name}: wants (n, {dim}) with n > 0, got shape {x.shape}")


class _BatchNorm(Module):
    """What the two layers share; ``ops.batch_norm`` does the work of training."""

    shape_wanted: str
    ndim: int

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1,
                 device: Device | None = None, dtype: Any = None) -> None:
        self.dim, self.eps, self.momentum = dim, check_eps(type(self).__name__, eps), momentum
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.ones(dim, **options))
        self.bias = Parameter(init.zeros(dim, **options))
        self.running_mean = Buffer(init.zeros(dim, **options))
        self.running_var = Buffer(init.ones(dim, **options))

    def forward(self, x: Tensor) -> Tensor:
        return self.activated(x, None)

    def activated(self, x: Tensor, slope: float | None) -> Tensor:
        """The layer with a leaky ReLU of that slope after it, as one operation in training."""
        if x.ndim != self.ndim or x.shape[1] != self.dim or x.shape[0] == 0:
            raise ShapeError(f"{type(self).__name__}: wants {self.shape_wanted.format(self.dim)} "
                             f"with n > 0, got shape {x.shape}")
        if not self.training:
            return self._by_running_statistics(x, slope)
        op = ops.BatchNorm(self.eps, slope)
        y = op(x, self.weight, self.bias)
        self.running_mean = self._moved(self.running_mean, op.mean)
        self.running_var = self._moved(self.running_var, op.var)
        return y

    def _by_running_statistics(self, x: Tensor, slope: float | None) -> Tensor:
        """In evaluation: (x - running mean) / sqrt(running variance + eps) weight + bias.

        Made of Tensor operations; a leaky ReLU follows where there is a slope.
        """
        beside = (1, self.dim) + (1,) * (self.ndim - 2)
        scale = self.weight * (self.running_var + self.eps) ** -0.5
        shift = self.bias - self.running_mean * scale
        y = x * scale.reshape(beside) + shift.reshape(beside)
        return y if slope is None else ops.leaky_relu(y, slope)

    def _moved(self, running: Tensor, batch: Array) -> Buffer:
        """A new Buffer, from ``running`` by ``momentum`` towards ``batch``; both stay as they are.
        """
        moved = running.cached_data.copy()
        kernels.active().ema(moved, batch, 1 - self.momentum)
        return Buffer(constant(moved))

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Each feature of (n, dim) normalised over the batch, then scaled and shifted.

    Source: Ioffe and Szegedy 2015. In evaluation the running statistics are used; each training
    step moves them by ``momentum`` towards the batch's.
    """

    shape_wanted, ndim = "(n, {})", 2


class BatchNorm2d(_BatchNorm):
    """Each channel of (n, dim, h, w) normalised over batch and pixels, then scaled and shifted.

    Source: Ioffe and Szegedy 2015. In evaluation the running statistics are used; each training
    step moves them by ``momentum`` towards the batch's.
    """

    shape_wanted, ndim = "(n, {}, h, w)", 4


class LayerNorm1d(Module):
    """Each row of (n, dim) normalised over its features, then scaled and shifted.

    Source: Ba et al. 2016.
    """

    def __init__(self, dim: int, eps: float = 1e-5, device: Device | None = None,
                 dtype: Any = None) -> None:
        self.dim, self.eps = dim, check_eps("LayerNorm1d", eps)
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.ones(dim, **options))
        self.bias = Parameter(init.zeros(dim, **options))

    def forward(self, x: Tensor) -> Tensor:
        _features("LayerNorm1d", x, self.dim)
        centred = x - ops.mean(x, 1, True)
        var = ops.mean(centred * centred, 1, True)
        return self.weight * (centred * (var + self.eps) ** -0.5) + self.bias

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps}"
