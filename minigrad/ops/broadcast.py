"""What ops that take several operands share: matching dtypes and shapes, and summing back.

Operands broadcast as in NumPy. The gradient of a broadcast operand is summed over the axes that
were added or stretched: once, in ``BroadcastOp.gradient_as_tuple``, so that no op writes it.

Leaves out: the operations themselves.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, TensorOp, in_course_mode
from ..backend import Array, broadcast_shapes, device_of, number_from
from ..errors import DeviceError, DTypeError, ShapeError

__all__ = ["BroadcastOp", "as_scalar", "broadcast_shape", "match", "sum_to"]


def broadcast_shape(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which ``shapes`` broadcast together.

    Raises
    ------
    ShapeError
        Naming the operation and the shapes, if two sizes differ and neither is 1.
    """
    try:
        return broadcast_shapes(*shapes)
    except ValueError:
        text = " and ".join(str(s) for s in shapes)
        raise ShapeError(f"{name}: shapes {text} do not broadcast; counted from the last axis, "
                         "sizes must be equal or 1") from None


def match(op: Any, a: Array, b: Array) -> tuple[Array, Array]:
    """Two operands with one dtype, on one device, whose shapes broadcast.

    Integer and bool operands take the other's float dtype; two different float dtypes are refused.

    Raises
    ------
    DeviceError, DTypeError, ShapeError
    """
    if a.dtype is not b.dtype or type(a) is not type(b):
        a, b = _reconcile(type(op).__name__, a, b)
    if a.shape != b.shape and a.shape and b.shape:  # a 0-d operand fits any shape
        broadcast_shape(type(op).__name__, a.shape, b.shape)
    return a, b


def _reconcile(name: str, a: Array, b: Array) -> tuple[Array, Array]:
    if device_of(a) is not device_of(b):
        raise DeviceError(f"{name}: operands on {device_of(a)} and {device_of(b)}; move one with "
                          ".to(device)")
    if a.dtype == b.dtype or in_course_mode():
        return a, b
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        raise DTypeError(f"{name}: operands of {a.dtype} and {b.dtype}; give both one dtype "
                         "(Tensor(..., dtype=...))")
    if a.dtype.kind == "f":
        return a, b.astype(a.dtype)
    if b.dtype.kind == "f":
        return a.astype(b.dtype), b
    return a, b  # two integer types: NumPy's rule


def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``grad`` summed over the axes that broadcasting from ``shape`` added or stretched."""
    if grad.shape == shape:
        return grad
    added = grad.ndim - len(shape)
    stretched = [added + i for i, size in enumerate(shape) if size == 1]
    axes = tuple(range(added)) + tuple(i for i in stretched if grad.shape[i] != 1)
    if axes:
        grad = grad.sum(axes)
    return grad if grad.shape == shape else grad.reshape(shape)


def as_scalar(name: str, value: Any) -> Any:
    """``value`` as a Python number, which leaves the dtype of the other operand alone.

    Raises
    ------
    TypeError
        If it is not a number.
    """
    if value.__class__ is not float:
        value = number_from(value, sizes_of_one=in_course_mode())
    if not isinstance(value, int | float):
        raise TypeError(f"{name}: wants a Tensor or a number, got {type(value).__name__}; wrap "
                        "arrays in minigrad.Tensor(...)")
    return value


class BroadcastOp(TensorOp):
    """An op whose inputs broadcast; ``gradient`` may return gradients of the output's shape."""

    def gradient_as_tuple(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, ...]:
        """``gradient``, each entry summed back to the shape of its input."""
        result = self.gradient(out_grad, node)
        pieces = result if isinstance(result, tuple | list) else (result,)
        if len(pieces) != len(node.inputs):
            raise ShapeError(f"{type(self).__name__}.gradient returned {len(pieces)} gradients for "
                             f"{len(node.inputs)} inputs")
        try:
            return tuple([g if g is None or g.cached_data.shape == x.cached_data.shape
                          else sum_to(g, x.shape)
                          for g, x in zip(pieces, node.inputs, strict=True)])
        except AttributeError:
            kinds = ", ".join(type(g).__name__ for g in pieces)
            if all(g is None or isinstance(g, Tensor) for g in pieces):
                raise
            raise TypeError(f"{type(self).__name__}.gradient: wants Tensors, got ({kinds})"
                            ) from None
