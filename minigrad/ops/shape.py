"""Operations that move elements and compute nothing: each one's gradient moves them back.

Leaves out: views with overlapping windows (``ops.window``) and indexing (``ops.index``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import kernels
from ..autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp, constant
from ..backend import Array, array_module, device_of
from ..errors import DeviceError, DTypeError, ShapeError
from .broadcast import broadcast_shape, sum_to
from .reduce import Axes, normalize_axes

__all__ = [
    "BroadcastTo",
    "Concat",
    "Dilate",
    "Flip",
    "MakeTensorTuple",
    "Pad",
    "Permute",
    "ReflectionFold",
    "ReflectionPad",
    "Reshape",
    "Split",
    "Stack",
    "Transpose",
    "TupleGetItem",
    "UnDilate",
    "broadcast_to",
    "concat",
    "dilate",
    "flip",
    "make_tuple",
    "pad",
    "permute",
    "pixel_shuffle",
    "reflection_pad",
    "reshape",
    "split",
    "stack",
    "transpose",
    "tuple_get_item",
    "undilate",
]


class _Move(TensorOp):
    reads_inputs = reads_output = False


# ------------------------------------------------------------------------------ order and shape


class Transpose(_Move):
    """y = a with two axes swapped (the last two by default)."""

    returns_view = True

    def __init__(self, axes: Sequence[int] | None = None) -> None:
        if axes is not None and len(axes) != 2:
            raise ShapeError(f"Transpose: swaps two axes, got {tuple(axes)}; use permute")
        self.axes = axes

    def compute(self, a: Array) -> Array:
        first, second = self.axes if self.axes is not None else (-2, -1)
        if not (-a.ndim <= first < a.ndim and -a.ndim <= second < a.ndim):
            raise ShapeError(f"Transpose: axes {(first, second)} are out of range for shape "
                             f"{a.shape}")
        return a.swapaxes(first, second)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return transpose(out_grad, self.axes)


class Permute(_Move):
    """y = a with its axes in the order given."""

    returns_view = True

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = tuple(axes)

    def compute(self, a: Array) -> Array:
        inside = all(-a.ndim <= axis < a.ndim for axis in self.axes)
        if not inside or sorted(axis % a.ndim for axis in self.axes) != list(range(a.ndim)):
            raise ShapeError(f"Permute: axes {self.axes} must name each axis of shape {a.shape} "
                             "once")
        return a.transpose(self.axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        inverse = [0] * len(self.axes)
        for i, axis in enumerate(self.axes):
            inverse[axis] = i
        return permute(out_grad, inverse)


class Reshape(_Move):
    """y = the elements of a, in row-major order, in another shape."""

    returns_view = True

    def __init__(self, shape: Sequence[int] | int) -> None:
        self.shape = (shape,) if hasattr(shape, "__index__") else tuple(shape)

    def compute(self, a: Array) -> Array:
        known = math.prod(size for size in self.shape if size != -1)
        unknown = self.shape.count(-1)
        fits = known == a.size if not unknown else known > 0 and a.size % known == 0
        if unknown > 1 or not fits or any(size < -1 for size in self.shape):
            raise ShapeError(f"Reshape: shape {a.shape} ({a.size} elements) cannot become "
                             f"{self.shape}")
        return a.reshape(self.shape)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return reshape(out_grad, node.inputs[0].shape)


class BroadcastTo(_Move):
    """y = a repeated along new and size-1 axes to fill a shape."""

    returns_view = True

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def compute(self, a: Array) -> Array:
        if broadcast_shape("BroadcastTo", a.shape, self.shape) != self.shape:
            raise ShapeError(f"BroadcastTo: shape {a.shape} does not broadcast to {self.shape}")
        return array_module(a).broadcast_to(a, self.shape)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return sum_to(out_grad, node.inputs[0].shape)


class Flip(_Move):
    """y = a with the order along the axes reversed."""

    returns_view = True

    def __init__(self, axes: Axes = None) -> None:
        self.axes = axes

    def compute(self, a: Array) -> Array:
        return array_module(a).flip(a, normalize_axes("Flip", self.axes, a.ndim))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return flip(out_grad, self.axes)


# ---------------------------------------------------------------------------------- zeros around


class Pad(_Move):
    """y = a with zeros around it; widths is one (before, after) pair per axis."""

    def __init__(self, widths: Sequence[tuple[int, int]]) -> None:
        self.widths = tuple((before, after) for before, after in widths)

    def compute(self, a: Array) -> Array:
        if len(self.widths) != a.ndim or any(w < 0 for pair in self.widths for w in pair):
            raise ShapeError(f"Pad: wants one pair of non-negative widths for each axis of shape "
                             f"{a.shape}, got {self.widths}")
        shape = tuple(size + sum(pair) for size, pair in zip(a.shape, self.widths, strict=True))
        out = array_module(a).zeros_like(a, shape=shape)  # in a's order in memory
        out[self._inside(a.shape)] = a
        return out

    def _inside(self, shape: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(before, before + size)
                     for size, (before, _) in zip(shape, self.widths, strict=True))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad[self._inside(node.inputs[0].shape)]


class ReflectionPad(_Move):
    """y = a with its mirror image around it, the border not repeated; one pair of widths per axis.

    Each width is less than the size of its axis.
    """

    def __init__(self, widths: Sequence[tuple[int, int]]) -> None:
        self.widths = tuple((before, after) for before, after in widths)

    def compute(self, a: Array) -> Array:
        return kernels.active().reflection_pad(a, self.widths)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return ReflectionFold(self.widths)(out_grad)


class ReflectionFold(ReflectionPad):
    """y = a without a border, whose elements are added where ``ReflectionPad`` read them.

    The adjoint of ``ReflectionPad``, and its gradient.
    """

    def compute(self, a: Array) -> Array:
        return kernels.active().reflection_fold(a, self.widths)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return ReflectionPad(self.widths)(out_grad)


class Dilate(_Move):
    """y = a with ``dilation`` zeros after each element along the axes (out of range: ignored)."""

    def __init__(self, axes: Sequence[int] | int, dilation: int) -> None:
        self.axes = (axes,) if isinstance(axes, int) else tuple(axes)
        self.dilation = dilation

    def _every(self, ndim: int) -> tuple[slice, ...]:
        axes = {axis % ndim for axis in self.axes if -ndim <= axis < ndim}
        return tuple(slice(None, None, self.dilation + 1) if i in axes else slice(None)
                     for i in range(ndim))

    def compute(self, a: Array) -> Array:
        if self.dilation < 0:
            raise ShapeError(f"{type(self).__name__}: dilation must be at least 0, "
                             f"got {self.dilation}")
        every = self._every(a.ndim)
        shape = tuple(size * (s.step or 1) for size, s in zip(a.shape, every, strict=True))
        out = array_module(a).zeros(shape, dtype=a.dtype)
        out[every] = a
        return out

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return undilate(out_grad, self.axes, self.dilation)


class UnDilate(Dilate):
    """y = the elements that ``dilate`` put its input's elements at: its inverse and adjoint."""

    returns_view = True

    def compute(self, a: Array) -> Array:
        if self.dilation < 0:
            raise ShapeError(f"UnDilate: dilation must be at least 0, got {self.dilation}")
        every = self._every(a.ndim)
        if any(size % (s.step or 1) for size, s in zip(a.shape, every, strict=True)):
            raise ShapeError(f"UnDilate: sizes on axes {self.axes} of shape {a.shape} must be "
                             f"multiples of {self.dilation + 1}")
        return a[every]

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return dilate(out_grad, self.axes, self.dilation)


# ---------------------------------------------------------------------------- many into one


def _same_arrays(name: str, arrays: Sequence[Array], skip_axis: int | None = None) -> None:
    if not arrays:
        raise ShapeError(f"{name}: wants at least one tensor")
    first = arrays[0]
    for x in arrays[1:]:
        shapes_fit = x.ndim == first.ndim and all(
            a == b for i, (a, b) in enumerate(zip(x.shape, first.shape, strict=True))
            if i != skip_axis)
        if not shapes_fit:
            where = "" if skip_axis is None else f" except on axis {skip_axis}"
            raise ShapeError(f"{name}: shapes must be equal{where}, got {first.shape} and "
                             f"{x.shape}")
        if x.dtype != first.dtype:
            raise DTypeError(f"{name}: dtypes must be equal, got {first.dtype} and {x.dtype}")
        if device_of(x) is not device_of(first):
            raise DeviceError(f"{name}: tensors on {device_of(first)} and {device_of(x)}; move one "
                              "with .to(device)")


class Stack(TensorOp):
    """y = the members of a TensorTuple, all of one shape, side by side along a new axis."""

    reads_inputs = reads_output = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, arrays: tuple[Array, ...]) -> Array:
        _same_arrays("Stack", arrays)
        ndim = arrays[0].ndim + 1
        if not -ndim <= self.axis < ndim:
            raise ShapeError(f"Stack: axis {self.axis} is out of range for {ndim} axes")
        return array_module(arrays[0]).stack(arrays, self.axis)

    def gradient(self, out_grad: Tensor, node: Tensor) -> TensorTuple:
        return split(out_grad, self.axis)


class Split(TensorTupleOp):
    """The slices of a along an axis, as a TensorTuple; the axis disappears."""

    reads_inputs = reads_output = False
    returns_view = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, a: Array) -> tuple[Array, ...]:
        (axis,) = normalize_axes("Split", self.axis, a.ndim)
        before = (slice(None),) * axis
        return tuple(a[(*before, i)] for i in range(a.shape[axis]))

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> Tensor:
        return stack(out_grad, self.axis)


class Concat(TensorOp):
    """y = tensors one after the other along an existing axis."""

    reads_inputs = reads_output = False

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, *arrays: Array) -> Array:
        (axis,) = normalize_axes("Concat", self.axis, arrays[0].ndim)
        _same_arrays("Concat", arrays, axis)
        return array_module(arrays[0]).concatenate(arrays, axis)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, ...]:
        axis = self.axis % out_grad.ndim
        pieces, start = [], 0
        for x, is_wanted in zip(node.inputs, node.wanted, strict=True):
            stop = start + x.shape[axis]
            index = (slice(None),) * axis + (slice(start, stop),)
            pieces.append(out_grad[index] if is_wanted else None)
            start = stop
        return tuple(pieces)


class MakeTensorTuple(TensorTupleOp):
    """Tensors as one TensorTuple."""

    reads_inputs = reads_output = False

    def compute(self, *arrays: Array) -> tuple[Array, ...]:
        return tuple(arrays)

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor, ...]:
        return tuple(out_grad[i] for i in range(len(out_grad)))


class TupleGetItem(TensorOp):
    """One member of a TensorTuple."""

    reads_inputs = reads_output = False

    def __init__(self, index: int) -> None:
        self.index = index

    def compute(self, members: tuple[Array, ...]) -> Array:
        if not -len(members) <= self.index < len(members):
            raise IndexError(f"TupleGetItem: index {self.index} in a tuple of {len(members)}")
        return members[self.index]

    def gradient(self, out_grad: Tensor, node: Tensor) -> TensorTuple:
        members = node.inputs[0].cached_data
        chosen = self.index % len(members)
        return make_tuple(*[
            out_grad if i == chosen else constant(array_module(x).zeros(x.shape, dtype=x.dtype))
            for i, x in enumerate(members)
        ])


class AddTuples(TensorTupleOp):
    """Two TensorTuples added member by member: how gradients of tuples accumulate."""

    reads_inputs = reads_output = False

    def compute(self, a: tuple[Array, ...], b: tuple[Array, ...]) -> tuple[Array, ...]:
        if len(a) != len(b):
            raise ShapeError(f"AddTuples: tuples of {len(a)} and {len(b)} members")
        return tuple(x + y for x, y in zip(a, b, strict=True))

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple:
        return out_grad, out_grad


# ------------------------------------------------------------------------------------ functions


def transpose(a: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    """a with two axes swapped, the last two by default (``permute`` orders all)."""
    return Transpose(axes)(a)


def permute(a: Tensor, axes: Sequence[int]) -> Tensor:
    """a with its axes in the order given."""
    return Permute(axes)(a)


def reshape(a: Tensor, shape: Sequence[int] | int) -> Tensor:
    """a in another shape with as many elements; one size may be -1."""
    return Reshape(shape)(a)


def broadcast_to(a: Tensor, shape: Sequence[int]) -> Tensor:
    """a repeated to fill ``shape``, by NumPy's rules."""
    return BroadcastTo(shape)(a)


def flip(a: Tensor, axes: Axes = None) -> Tensor:
    """a reversed along the axes (all by default)."""
    return Flip(axes)(a)


def pad(a: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """a with zeros around it: one (before, after) pair for each axis."""
    return Pad(widths)(a)


def reflection_pad(a: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """a continued by its mirror image, without repeating the border; one pair for each axis.

    Raises
    ------
    ShapeError
        If a width is negative or not smaller than the axis.
    """
    check_reflection("reflection_pad", a, widths)
    return ReflectionPad(widths)(a)


def check_reflection(name: str, a: Array | Tensor, widths: Sequence[tuple[int, int]]) -> None:
    """Refuse widths that are no pairs for the axes, or reach beyond the mirror image."""
    if len(widths) != a.ndim:
        raise ShapeError(f"{name}: wants {a.ndim} pairs of widths, got {len(widths)}")
    for axis, (before, after) in enumerate(widths):
        size = a.shape[axis]
        if not (0 <= before < max(size, 1) and 0 <= after < max(size, 1)):
            raise ShapeError(f"{name}: widths {(before, after)} on axis {axis} must be "
                             f"0 to {size - 1}")


def dilate(a: Tensor, axes: Sequence[int] | int, dilation: int) -> Tensor:
    """a with ``dilation`` zeros after each element along the axes."""
    return Dilate(axes, dilation)(a)


def undilate(a: Tensor, axes: Sequence[int] | int, dilation: int) -> Tensor:
    """The inverse of ``dilate``: every (dilation + 1)-th element along the axes."""
    return UnDilate(axes, dilation)(a)


def stack(args: Sequence[Tensor] | TensorTuple, axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    return Stack(axis)(args if isinstance(args, TensorTuple) else
                       make_tuple(*_listed("stack", args)))


def split(a: Tensor, axis: int = 0) -> TensorTuple:
    """The slices of a along an axis, as a TensorTuple; the axis disappears."""
    return Split(axis)(a)


def concat(args: Sequence[Tensor] | TensorTuple, axis: int = 0) -> Tensor:
    """Tensors one after the other along an existing axis."""
    return Concat(axis)(*_listed("concat", args))


def _listed(name: str, args: Sequence[Tensor] | TensorTuple) -> tuple[Tensor, ...]:
    if isinstance(args, Tensor):
        raise TypeError(f"{name}: wants a list or tuple of Tensors, got one Tensor")
    tensors = tuple(args)
    if not tensors:
        raise ShapeError(f"{name}: wants at least one tensor")
    return tensors


def make_tuple(*args: Tensor) -> TensorTuple:
    """Tensors as one TensorTuple."""
    return MakeTensorTuple()(*args)


def tuple_get_item(value: TensorTuple, index: int) -> Tensor:
    """One member of a TensorTuple; straight from ``make_tuple``'s input where there is one."""
    if isinstance(value.op, MakeTensorTuple):
        return value.inputs[index]
    member = TupleGetItem(index)(value)
    member._cell = value._cell  # the member is one of the tuple's arrays
    return member


def add_tuples(a: TensorTuple, b: TensorTuple) -> TensorTuple:
    """Two TensorTuples added member by member."""
    return AddTuples()(a, b)


def pixel_shuffle(a: Tensor, factor: int) -> Tensor:
    """(n, c f f, h, w) to (n, c, h f, w f): channels become pixels (Shi et al. 2016).

    Raises
    ------
    ShapeError
        If the number of channels is not a multiple of factor * factor.
    """
    if a.ndim != 4:
        raise ShapeError(f"pixel_shuffle: wants (n, c, h, w), got shape {a.shape}")
    n, c, h, w = a.shape
    if factor < 1 or c % (factor * factor):
        raise ShapeError(f"pixel_shuffle: {c} channels are not a multiple of {factor}^2")
    out = c // factor**2
    # channels last: the reshapes are views of images that lie so in memory, and so are gradients'
    blocks = a.permute((0, 2, 3, 1)).reshape((n, h, w, out, factor, factor))
    pixels = blocks.permute((0, 1, 4, 2, 5, 3)).reshape((n, h * factor, w * factor, out))
    return pixels.permute((0, 3, 1, 2))
