"""Normalisation layers of the course, composed of operations.

The running variance is the biased one, as in the course (PyTorch keeps the unbiased one). Running
statistics are replaced at each step, never written in place, so that a graph keeps what it read.

Leaves out: the fused kernels and the layers for images, which come with convolution.
"""

from __future__ import annotations

from typing import Any

from .. import init, ops
from ..autograd import Tensor
from ..backend import Device
from ..errors import ShapeError
from .module import Buffer, Module, Parameter

__all__ = ["BatchNorm1d", "LayerNorm1d"]


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


class BatchNorm1d(Module):
    """Each feature of (n, dim) normalised over the batch, then scaled and shifted.

    Source: Ioffe and Szegedy 2015. In evaluation the running statistics are used; each training
    step moves them by ``momentum`` towards the batch's.
    """

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1,
                 device: Device | None = None, dtype: Any = None) -> None:
        self.dim, self.eps, self.momentum = dim, check_eps("BatchNorm1d", eps), momentum
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.ones(dim, **options))
        self.bias = Parameter(init.zeros(dim, **options))
        self.running_mean = Buffer(init.zeros(dim, **options))
        self.running_var = Buffer(init.ones(dim, **options))

    def forward(self, x: Tensor) -> Tensor:
        _features("BatchNorm1d", x, self.dim)
        if not self.training:
            scale = (self.running_var + self.eps) ** -0.5
            return self.weight * ((x - self.running_mean) * scale) + self.bias
        mean = ops.mean(x, 0)
        centred = x - mean
        var = ops.mean(centred * centred, 0)
        self.running_mean = self._moved(self.running_mean, mean)
        self.running_var = self._moved(self.running_var, var)
        return self.weight * (centred * (var + self.eps) ** -0.5) + self.bias

    def _moved(self, running: Tensor, batch: Tensor) -> Buffer:
        old, new = running.cached_data, batch.cached_data
        return Buffer(old * (1 - self.momentum) + new * self.momentum, device=running.device,
                      dtype=old.dtype)

    def extra_repr(self) -> str:
        return f"{self.dim}, eps={self.eps}, momentum={self.momentum}"


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
