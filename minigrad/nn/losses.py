"""Losses as modules; those for classification take logits, never probabilities.

Leaves out: reductions other than the mean, and class weights.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from .module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss", "L1Loss", "MSELoss", "SoftmaxLoss"]


class SoftmaxLoss(Module):
    """Mean cross entropy of logits (n, k) against labels (n,), whole numbers (floats too)."""

    def forward(self, logits: Tensor, y: Any) -> Tensor:
        return ops.softmax_loss(logits, y)


class BCEWithLogitsLoss(Module):
    """Mean binary cross entropy of sigmoid(logits) against targets in [0, 1] of equal shape."""

    def forward(self, logits: Tensor, targets: Tensor | float) -> Tensor:
        return ops.bce_with_logits(logits, targets)


class BCELoss(Module):
    """Mean binary cross entropy of probabilities against targets of equal shape.

    Logarithms are cut off at -100, as in PyTorch. Prefer BCEWithLogitsLoss, whose gradient does
    not vanish.
    """

    def forward(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        _same_shape("BCELoss", probabilities, targets)
        return -ops.mean(targets * _log(probabilities) + (1 - targets) * _log(1 - probabilities))


class MSELoss(Module):
    """Mean squared difference of two tensors of equal shape."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        _same_shape("MSELoss", x, y)
        d = x - y
        return ops.mean(d * d)


class L1Loss(Module):
    """Mean absolute difference of two tensors of equal shape."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        _same_shape("L1Loss", x, y)
        return ops.mean(ops.abs(x - y))


def _log(p: Tensor) -> Tensor:
    return ops.where(p.cached_data < 1e-37, -100.0, ops.log(ops.clip(p, 1e-37, 1.0)))


def _same_shape(name: str, x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape:
        raise ShapeError(f"{name}: shapes must be equal, got {x.shape} and {y.shape}")
