"""Losses on logits as single operations, stable for any logit.

While recording is off a loss uses its kernel's gradient; when the backward pass is itself
recorded it is written in Tensor operations. Tests hold the two against each other.

Leaves out: losses on probabilities, and losses that are one line of other operations.
"""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, is_recording
from ..backend import Array, array_module, to_device, to_numpy
from ..errors import DTypeError, ShapeError
from .broadcast import as_scalar, match
from .elementwise import exp, sigmoid
from .reduce import logsoftmax

__all__ = ["BCEWithLogits", "SoftmaxLoss", "bce_with_logits", "softmax_loss"]


class SoftmaxLoss(TensorOp):
    """y = mean over rows of logsumexp(logits) - logits[label]; labels are constant integers."""

    reads_output = False

    def __init__(self, labels: Array) -> None:
        self.labels = labels
        self.latest: tuple[Array, Array] | None = None  # logits of the last call, their softmax

    def compute(self, logits: Array) -> Array:
        loss, softmax = kernels.active().softmax_loss(logits, self.labels)
        self.latest = logits, softmax
        return loss

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (logits,) = node.inputs
        if not is_recording():
            kernel = kernels.active().softmax_loss_gradient
            if self.latest[0] is not logits.cached_data:  # this op object was called again
                self.compute(logits.cached_data)
            return constant(kernel(self.latest[1], self.labels, out_grad.cached_data))
        n, k = logits.shape
        xp = array_module(logits.cached_data)
        is_label = xp.arange(k, dtype="int64") == self.labels[:, None]
        one_hot = constant(xp.asarray(is_label, dtype=logits.dtype))
        return out_grad * (exp(logsoftmax(logits)) - one_hot) * (1.0 / n)


class BCEWithLogits(TensorOp):
    """y = mean of softplus(a) - a t, the cross entropy of sigmoid(a) against targets t."""

    reads_output = False

    def compute(self, logits: Array, targets: Array) -> Array:
        return kernels.active().bce_with_logits(*match(self, logits, targets))

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, targets = node.inputs
        wants_logits, wants_targets = node.wanted
        n = logits.size
        grad_logits = None
        if wants_logits and not is_recording():
            kernel = kernels.active().bce_with_logits_gradient
            a, t = match(self, logits.cached_data, targets.cached_data)
            grad_logits = constant(kernel(a, t, out_grad.cached_data))
        elif wants_logits:
            grad_logits = out_grad * (sigmoid(logits) - targets) * (1.0 / n)
        return grad_logits, out_grad * logits * (-1.0 / n) if wants_targets else None


def softmax_loss(logits: Tensor, labels: Any) -> Tensor:
    """Mean cross entropy of logits (n, k) against integer labels (n,).

    Labels may be a Tensor, array or list; whole numbers stored as floats are accepted, as in the
    course.

    Raises
    ------
    ShapeError, DTypeError, IndexError
        If the shapes do not fit, a label is no whole number, or it is not in 0..k-1.
    """
    labels = to_numpy(labels.cached_data if isinstance(labels, Tensor) else labels)
    shape, dtype = logits.shape, logits.dtype
    if len(shape) != 2 or labels.shape != shape[:1]:
        raise ShapeError(f"SoftmaxLoss: wants logits (n, k) and labels (n,), got {shape} and "
                         f"{labels.shape}")
    if dtype.kind != "f":
        raise DTypeError(f"SoftmaxLoss: logits must be floats, got {dtype}")
    if 0 in shape:
        raise ShapeError(f"SoftmaxLoss: nothing to average in logits of shape {shape}")
    whole = labels.astype("int64")  # copies: the caller may write to theirs
    if labels.dtype.kind == "f" and not (whole == labels).all():
        raise DTypeError("SoftmaxLoss: labels must be whole numbers")
    if whole.view("uint64").max() >= shape[1]:  # a negative label looks huge: one pass
        raise IndexError(f"SoftmaxLoss: labels must lie in 0..{shape[1] - 1}, got "
                         f"{whole.min()} to {whole.max()}")
    return SoftmaxLoss(to_device(whole, logits.device))(logits)


def bce_with_logits(logits: Tensor, targets: Tensor | float) -> Tensor:
    """Mean binary cross entropy of sigmoid(logits) against targets in [0, 1] of equal shape.

    ``targets`` may be a number: the same target for every logit.

    Raises
    ------
    ShapeError
        If the shapes differ (they do not broadcast: (n, 1) against (n,) is a well-known accident)
        or there is nothing to average.
    """
    if not isinstance(targets, Tensor):
        xp = array_module(logits.cached_data)
        number = as_scalar("BCEWithLogits", targets)
        targets = constant(xp.full(logits.shape, number, dtype=logits.dtype))
    if logits.shape != targets.shape:
        raise ShapeError(f"BCEWithLogits: logits {logits.shape} and targets {targets.shape} must "
                         "have equal shapes")
    if logits.size == 0:
        raise ShapeError(f"BCEWithLogits: nothing to average in shape {logits.shape}")
    if logits.ndim == 0:  # kernels write into arrays, and NumPy's 0-d results are none
        logits, targets = logits.reshape((1,)), targets.reshape((1,))
    return BCEWithLogits()(logits, targets)
