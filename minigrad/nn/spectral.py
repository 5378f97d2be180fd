"""Spectral normalisation: a layer whose weight is divided by its largest singular value.

Leaves out: several weights in one layer, and the stable rank.
"""

from __future__ import annotations

from typing import Any

from .. import init
from ..autograd import Tensor
from ..backend import Array, array_module
from ..errors import ShapeError
from .conv import Conv, ConvTranspose2d
from .module import Buffer, Module, Parameter

__all__ = ["SpectralNorm"]

WARM_UP = 15  # iterations at the start, so that sigma is of use from the first step on


class SpectralNorm(Module):
    """``module`` with its ``weight`` divided by an estimate of the weight's largest singular value.

    Source: Miyato et al. 2018, Algorithm 1. Each forward pass in training takes
    ``n_power_iterations`` steps of the power method, v = W^T u / |W^T u| and u = W v / |W v|, from
    where the last pass stopped; in evaluation u and v stay. Then sigma = u^T W v, and gradients
    flow through W, not through u and v. The parameter is the wrapped module's own, so checkpoints
    have ``module.weight`` and the buffers ``u`` and ``v``; give an optimizer the parameters of
    this module or of the wrapped one, they are the same.

    W has one row per output feature or channel and one column per weight of it: the kernel's
    places and the input channels. That is axis 0 of a Conv2d's weight, axis 1 of a
    ConvTranspose2d's, and the last of a Conv's. For a Linear layer the weight is (in, out); its
    transpose has the same singular values, so nothing depends on the orientation.

    Raises
    ------
    TypeError
        If the module has no parameter ``weight``.
    ShapeError
        If the weight has fewer than two axes.
    ValueError
        If ``n_power_iterations`` is less than 1.
    """

    def __init__(self, module: Module, *, n_power_iterations: int = 1, eps: float = 1e-12) -> None:
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Parameter):
            raise TypeError(f"SpectralNorm: wants a module with a parameter named weight, got "
                            f"{type(module).__name__}")
        if weight.ndim < 2 or weight.size == 0:
            raise ShapeError(f"SpectralNorm: wants a weight of two or more axes with elements, got "
                             f"shape {weight.shape}")
        if n_power_iterations < 1:
            raise ValueError(f"SpectralNorm: n_power_iterations must be at least 1, got "
                             f"{n_power_iterations}")
        self.module, self.n_power_iterations, self.eps = module, n_power_iterations, eps
        columns, rows = self._transposed(weight).shape
        options = {"device": weight.device, "dtype": weight.dtype}
        self.u = Buffer(init.randn(rows, **options))
        self.v = Buffer(init.randn(columns, **options))
        self._iterate(weight, WARM_UP)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        module, weight = self.module, self.module.weight
        if self.training:
            self._iterate(weight, self.n_power_iterations)
        try:  # the module finds the divided weight where its own was, which comes back on any exit
            module.weight = weight / self.sigma()
            return module(*args, **kwargs)
        finally:
            module.weight = weight

    def sigma(self) -> Tensor:
        """u^T W v, a 0-d tensor: the estimate of the largest singular value, by today's u and v."""
        matrix = self._transposed(self.module.weight)
        columns, rows = matrix.shape
        product = self.v.reshape((1, columns)) @ matrix @ self.u.reshape((rows, 1))
        return product.reshape(())

    def _transposed(self, weight: Tensor) -> Tensor:
        """W^T, (columns, rows): outputs last, as the weights of convolutions lie in memory."""
        if weight.ndim == 2 or isinstance(self.module, Conv):
            matrix = weight
        elif isinstance(self.module, ConvTranspose2d):
            matrix = weight.permute((2, 3, 0, 1))
        else:
            matrix = weight.permute((*range(2, weight.ndim), 1, 0))
        rows = matrix.shape[-1]
        return matrix.reshape((weight.size // rows, rows))

    def _iterate(self, weight: Tensor, count: int) -> None:
        """Steps of the power method on arrays; new buffers, since a graph may hold the old ones."""
        matrix = self._transposed(weight.detach()).cached_data
        u = self.u.cached_data
        for _ in range(count):
            v = _unit(matrix @ u, self.eps)
            u = _unit(v @ matrix, self.eps)
        self.u, self.v = (Buffer(x, device=weight.device, dtype=x.dtype) for x in (u, v))

    def extra_repr(self) -> str:
        n = self.n_power_iterations
        return "" if n == 1 else f"n_power_iterations={n}"


def _unit(x: Array, eps: float) -> Array:
    """x divided by its length, or by ``eps`` if it is shorter."""
    xp = array_module(x)
    length = xp.sqrt((x * x).sum(keepdims=True))
    return x / xp.maximum(length, eps)
