"""Reductions: sums, means, maxima and log-sum-exp over axes.

``axes`` is None (all), an integer or a tuple of distinct integers, negative ones counted from the
end; ``keepdims`` keeps reduced axes with size 1.

Leaves out: prod, cumulative sums, argmax (use ``.numpy()``).
"""

from __future__ import annotations

from ..autograd import Tensor, TensorOp
from ..backend import Array, array_module
from ..errors import ShapeError
from .elementwise import exp, masked

__all__ = [
    "LogSoftmax",
    "LogSumExp",
    "Max",
    "Summation",
    "logsoftmax",
    "logsumexp",
    "max",
    "mean",
    "normalize_axes",
    "summation",
    "var",
]

Axes = int | tuple[int, ...] | list[int] | None


def normalize_axes(name: str, axes: Axes, ndim: int) -> tuple[int, ...]:
    """``axes`` as a sorted tuple of non-negative integers.

    Raises
    ------
    ShapeError
        If an axis is out of range or named twice.
    """
    if axes is None:
        return tuple(range(ndim))
    listed = (axes,) if hasattr(axes, "__index__") else tuple(axes)
    for axis in listed:
        if not -ndim <= axis < ndim:
            raise ShapeError(f"{name}: axis {axis} is out of range for {ndim} axes")
    found = sorted(axis % ndim for axis in listed)
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: axes {listed} name an axis twice")
    return tuple(found)


class _Reduction(TensorOp):
    def __init__(self, axes: Axes = None, keepdims: bool = False) -> None:
        self.axes, self.keepdims = axes, keepdims

    def _kept(self, t: Tensor, node: Tensor) -> Tensor:
        """``t``, of the output's shape, with the reduced axes put back as size 1."""
        if self.keepdims:
            return t
        shape = list(node.inputs[0].shape)
        for axis in normalize_axes(type(self).__name__, self.axes, len(shape)):
            shape[axis] = 1
        return t.reshape(tuple(shape))


class Summation(_Reduction):
    """y = sum of a over the axes."""

    reads_inputs = reads_output = False

    def compute(self, a: Array) -> Array:
        axes = normalize_axes("Summation", self.axes, a.ndim)
        return a.sum(axis=axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return self._kept(out_grad, node).broadcast_to(node.inputs[0].shape)


class Max(_Reduction):
    """y = largest element of a over the axes; equal maxima share the gradient equally."""

    reads_output = False

    def compute(self, a: Array) -> Array:
        axes = normalize_axes("Max", self.axes, a.ndim)
        if any(a.shape[axis] == 0 for axis in axes):
            raise ShapeError(f"Max: shape {a.shape} has nothing to take the maximum of over "
                             f"axes {axes}")
        return a.max(axis=axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].cached_data
        axes = normalize_axes("Max", self.axes, a.ndim)
        is_max = a == a.max(axis=axes, keepdims=True)
        share = array_module(a).divide(is_max, is_max.sum(axis=axes, keepdims=True), dtype=a.dtype)
        return masked(self._kept(out_grad, node).broadcast_to(a.shape), share)


class LogSumExp(_Reduction):
    """y = log of the sum of exp(a) over the axes, shifted by the maximum so as not to overflow."""

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        axes = normalize_axes("LogSumExp", self.axes, a.ndim)
        if any(a.shape[axis] == 0 for axis in axes):
            raise ShapeError(f"LogSumExp: shape {a.shape} is empty over axes {axes}")
        largest = a.max(axis=axes, keepdims=True)
        total = xp.log(xp.exp(a - largest).sum(axis=axes, keepdims=True)) + largest
        return total if self.keepdims else total.squeeze(axis=axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        softmax = exp(a - self._kept(node, node))
        return self._kept(out_grad, node) * softmax


class LogSoftmax(TensorOp):
    """y = a - logsumexp(a) along the last axis."""

    reads_inputs = False

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        if a.ndim == 0 or a.shape[-1] == 0:
            raise ShapeError(f"LogSoftmax: wants at least one element on the last axis, "
                             f"got shape {a.shape}")
        shifted = a - a.max(axis=-1, keepdims=True)
        return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad - exp(node) * summation(out_grad, -1, True)


def summation(a: Tensor, axes: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum over the axes (all by default)."""
    return Summation(axes, keepdims)(a)


def mean(a: Tensor, axes: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean over the axes (all by default).

    Raises
    ------
    ShapeError
        If there is nothing to average.
    """
    count = _count("mean", a, axes)
    return summation(a, axes, keepdims) * (1.0 / count)


def var(a: Tensor, axes: Axes = None, keepdims: bool = False) -> Tensor:
    """The biased variance (divided by n) over the axes (all by default).

    Raises
    ------
    ShapeError
        If there is nothing to average.
    """
    centred = a - mean(a, axes, True)
    return mean(centred * centred, axes, keepdims)


def max(a: Tensor, axes: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element over the axes (all by default)."""
    return Max(axes, keepdims)(a)


def logsumexp(a: Tensor, axes: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(a))) over the axes (all by default), without overflow."""
    return LogSumExp(axes, keepdims)(a)


def logsoftmax(a: Tensor) -> Tensor:
    """The logarithm of the softmax along the last axis."""
    return LogSoftmax()(a)


def _count(name: str, a: Tensor, axes: Axes) -> int:
    count = 1
    for axis in normalize_axes(name, axes, a.ndim):
        count *= a.shape[axis]
    if count == 0:
        raise ShapeError(f"{name}: shape {a.shape} has no elements over axes {axes}")
    return count
