"""Matrix products: ``matmul`` with batch axes, and ``linear`` (x W + b) as one operation.

Leaves out: einsum and vector operands (reshape them to matrices).
"""

from __future__ import annotations

import functools
import math

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, is_recording
from ..backend import Array, array_module
from ..errors import ShapeError
from .broadcast import BroadcastOp, broadcast_shape, match, sum_to
from .elementwise import masked, slopes_of
from .shape import transpose

__all__ = ["Linear", "MatMul", "linear", "matmul"]


class MatMul(BroadcastOp):
    """y = a @ b on the last two axes; the axes before them broadcast."""

    reads_output = False

    def compute(self, a: Array, b: Array) -> Array:
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError(f"MatMul: wants (..., m, k) @ (..., k, n), got {a.shape} @ {b.shape}")
        if a.dtype is not b.dtype or type(a) is not type(b):
            a, b = _same_kind(self, a, b)
        if a.ndim > 2 or b.ndim > 2:
            broadcast_shape("MatMul (batch axes)", a.shape[:-2], b.shape[:-2])
        return a @ b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        wants_a, wants_b = node.wanted
        grad_a = matmul(out_grad, transpose(b)) if wants_a else None
        grad_b = matmul(transpose(a), out_grad) if wants_b else None
        return grad_a, grad_b


class Linear(TensorOp):
    """y = x @ weight + bias, with x of (..., in), weight (in, out), bias (1, out) or (out,).

    With a ``slope`` in [0, 1] a leaky ReLU of that slope follows (0: a ReLU), in the same memory.
    """

    def __init__(self, slope: float | None = None) -> None:
        self.slope = slope
        self.reads_output = slope is not None

    def compute(self, x: Array, weight: Array, *bias: Array) -> Array:
        if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[0]:
            raise ShapeError(f"Linear: wants (..., in) @ (in, out), got {x.shape} @ {weight.shape}")
        if x.dtype is not weight.dtype or type(x) is not type(weight):
            x, weight = _same_kind(self, x, weight)
        y = x @ weight
        if bias:
            (b,) = bias
            if b.shape not in ((1, weight.shape[1]), (weight.shape[1],)):
                raise ShapeError(f"Linear: bias must be (1, {weight.shape[1]}) or "
                                 f"({weight.shape[1]},), got {b.shape}")
            b = b if x.ndim > 1 else b.reshape(-1)
            if b.dtype is not y.dtype or type(b) is not type(y):
                y, b = match(self, y, b)
            y += b
        if self.slope is not None:
            array_module(y).maximum(y, y * self.slope if self.slope else 0, out=y)
        return y

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = node.inputs[:2]
        wanted = node.wanted
        a, w = x.cached_data, weight.cached_data
        if a.ndim == 2 and a.dtype is w.dtype and not is_recording():
            g = out_grad.cached_data
            if self.slope is not None:
                g = g * slopes_of(node.cached_data, self.slope)
            pieces = kernels.active().linear_gradient(a, w, g, wanted)
            grads = tuple([None if piece is None else constant(piece) for piece in pieces])
            if len(grads) == 3 and wanted[2] and node.inputs[2].ndim == 1:
                return grads[0], grads[1], grads[2].reshape(-1)
            return grads
        if self.slope is not None:
            out_grad = masked(out_grad, slopes_of(node.cached_data, self.slope))
        grad_x = matmul(_rows(out_grad), transpose(weight)) if wanted[0] else None
        grad_weight = matmul(transpose(_rows(x)), _rows(out_grad)) if wanted[1] else None
        if grad_x is not None and grad_x.shape != x.shape:
            grad_x = grad_x.reshape(x.shape)
        if len(node.inputs) == 2:
            return grad_x, grad_weight
        bias_shape = node.inputs[2].shape
        return grad_x, grad_weight, sum_to(_rows(out_grad), bias_shape) if wanted[2] else None


def _rows(t: Tensor) -> Tensor:
    """All leading axes of ``t`` as one."""
    return t if t.ndim == 2 else t.reshape((math.prod(t.shape[:-1]), t.shape[-1]))


def _same_kind(op: TensorOp, a: Array, b: Array) -> tuple[Array, Array]:
    """Dtypes and devices by ``match``'s rules; the shapes are checked by the op."""
    like_a, like_b = match(op, a[..., :0, :0] if a.ndim > 1 else a[:0], b[..., :0, :0])
    return a.astype(like_a.dtype, copy=False), b.astype(like_b.dtype, copy=False)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b: matrix products on the last two axes, broadcast over the axes before them."""
    return _MATMUL(a, b)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, slope: float | None = None
) -> Tensor:
    """x @ weight + bias as one operation; weight is (in, out), as in the course.

    With ``slope`` a leaky ReLU of that slope follows, 0 <= slope <= 1 (0: a ReLU): the same values
    and gradients as two operations, with less memory touched.

    Raises
    ------
    ValueError
        If the slope is out of range.
    """
    op = _linear_op(slope)
    return op(x, weight) if bias is None else op(x, weight, bias)


@functools.cache
def _linear_op(slope: float | None) -> Linear:
    if slope is not None and not 0 <= slope <= 1:
        raise ValueError(f"linear: slope must be between 0 and 1, got {slope}")
    return Linear(slope)


_MATMUL = MatMul()
