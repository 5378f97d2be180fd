"""Batch and instance normalisation as one operation each, with the (leaky) ReLU that may follow.

While nothing is recorded the gradient is one kernel; when the backward pass is itself recorded it
is composed of Tensor operations. Tests hold the two against each other.

Leaves out: running statistics, which belong to the layer, and the other normalisations, which are
composed in ``minigrad.nn``.
"""

from __future__ import annotations

import math

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, is_recording
from ..backend import Array
from ..errors import DTypeError, ShapeError
from .elementwise import masked, slopes_of
from .reduce import mean, summation

__all__ = ["BatchNorm", "InstanceNorm", "batch_norm", "instance_norm"]


class BatchNorm(TensorOp):
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and var over all axes but the second.

    With a ``slope`` in [0, 1] a leaky ReLU follows (0: a ReLU). ``mean`` and the biased ``var`` of
    the last call, arrays (c,), stay on the op, where the layer reads them.
    """

    def __init__(self, eps: float = 1e-5, slope: float | None = None) -> None:
        if slope is not None and not 0 <= slope <= 1:
            raise ValueError(f"batch_norm: slope must be between 0 and 1, got {slope}")
        self.eps, self.slope = eps, slope
        self.mean: Array | None = None
        self.var: Array | None = None
        self._images: Array | None = None  # whose mean and var these are

    def compute(self, x: Array, gamma: Array, beta: Array) -> Array:
        if x.ndim < 2 or gamma.shape != (x.shape[1],) or beta.shape != (x.shape[1],):
            raise ShapeError(f"batch_norm: wants (n, c, ...) and two tensors (c,), got {x.shape}, "
                             f"{gamma.shape} and {beta.shape}")
        if x.shape[1] == 0 or x.size // x.shape[1] < 2:
            raise ShapeError(f"batch_norm: wants two or more values in each channel, got shape "
                             f"{x.shape}; a batch of one can be normalised in evaluation only")
        if not x.dtype == gamma.dtype == beta.dtype or x.dtype.kind != "f":
            raise DTypeError(f"batch_norm: wants one float dtype, got {x.dtype}, {gamma.dtype} and "
                             f"{beta.dtype}")
        y, self.mean, self.var = kernels.active().batch_norm(x, gamma, beta, self.eps, self.slope)
        self._images = x if is_recording() else None
        return y

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, gamma, beta = node.inputs
        if not is_recording():
            if self._images is not x.cached_data:  # this op object was called again
                self.compute(x.cached_data, gamma.cached_data, beta.cached_data)
            pieces = kernels.active().batch_norm_gradient(
                x.cached_data, node.cached_data, gamma.cached_data, self.mean, self.var,
                out_grad.cached_data, self.eps, self.slope)
            return tuple([constant(piece) for piece in pieces])
        if self.slope is not None:
            out_grad = masked(out_grad, slopes_of(node.cached_data, self.slope))
        axes = (0, *range(2, x.ndim))
        centred = x - mean(x, axes, True)
        scale = (mean(centred * centred, axes, True) + self.eps) ** -0.5
        normal = centred * scale
        grad_beta = summation(out_grad, axes)
        grad_gamma = summation(out_grad * normal, axes)
        pull = mean(out_grad, axes, True) + normal * mean(out_grad * normal, axes, True)
        spread = gamma.reshape((1, -1) + (1,) * (x.ndim - 2))
        return spread * scale * (out_grad - pull), grad_gamma, grad_beta


class InstanceNorm(TensorOp):
    """y = (x - mean) / sqrt(var + eps), mean and var of each channel of each image.

    With a ``slope`` in [0, 1] a leaky ReLU follows (0: a ReLU).
    """

    def __init__(self, eps: float = 1e-5, slope: float | None = None) -> None:
        if slope is not None and not 0 <= slope <= 1:
            raise ValueError(f"instance_norm: slope must be between 0 and 1, got {slope}")
        self.eps, self.slope = eps, slope
        # Of the last call: the images, and their means and biased variances, (n, c).
        self._latest: tuple[Array, Array, Array] | None = None

    def compute(self, x: Array) -> Array:
        if x.ndim < 3 or math.prod(x.shape[2:]) < 2:
            raise ShapeError(f"instance_norm: wants (n, c, ...) with two or more values in each "
                             f"channel of an image, got shape {x.shape}")
        if x.dtype.kind != "f":
            raise DTypeError(f"instance_norm: wants a float dtype, got {x.dtype}")
        known = self._moments(x)
        y, mean, var = kernels.active().instance_norm(x, self.eps, self.slope, known)
        if is_recording():
            self._latest = x, mean, var
        return y

    def _moments(self, x: Array) -> tuple[Array, Array] | None:
        """Means and variances of x, if it was the last call's."""
        return self._latest[1:] if self._latest is not None and self._latest[0] is x else None

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (x,) = node.inputs
        if not is_recording():
            k, a = kernels.active(), x.cached_data
            moments = self._moments(a)
            if moments is None:  # this op object was called again
                moments = k.instance_norm(a, self.eps, self.slope)[1:]
            return constant(k.instance_norm_gradient(
                a, node.cached_data, *moments, out_grad.cached_data, self.eps, self.slope))
        if self.slope is not None:
            out_grad = masked(out_grad, slopes_of(node.cached_data, self.slope))
        axes = tuple(range(2, x.ndim))
        centred = x - mean(x, axes, True)
        scale = (mean(centred * centred, axes, True) + self.eps) ** -0.5
        normal = centred * scale
        pull = mean(out_grad, axes, True) + normal * mean(out_grad * normal, axes, True)
        return scale * (out_grad - pull)


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5, slope: float | None = None
) -> Tensor:
    """Each channel of (n, c) or (n, c, h, w) normalised over the batch and the pixels.

    gamma and beta are (c,). With ``slope`` a leaky ReLU of that slope follows, 0 <= slope <= 1
    (0: a ReLU). Source: Ioffe and Szegedy 2015.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a channel has fewer than two values: its variance is 0.
    DTypeError
        If the three are not of one float dtype.
    ValueError
        If the slope is out of range.
    """
    return BatchNorm(eps, slope)(x, gamma, beta)


def instance_norm(x: Tensor, eps: float = 1e-5, slope: float | None = None) -> Tensor:
    """Each channel of each image of (n, c, ...) normalised over its pixels.

    With ``slope`` a leaky ReLU of that slope follows, 0 <= slope <= 1 (0: a ReLU). Source: Ulyanov
    et al. 2016.

    Raises
    ------
    ShapeError
        If there are no pixels to normalise over, or one: its variance is 0.
    DTypeError
        If x is not of a float dtype.
    ValueError
        If the slope is out of range.
    """
    return InstanceNorm(eps, slope)(x)
