"""Reading elements by index, and its adjoint: writing them back into zeros.

``getitem`` and ``put`` are each other's gradients. Index arrays are checked on the host where they
enter, because a GPU would wrap them around silently, and live on the tensor's device from then on.

Leaves out: assignment (``a[i] = b``), which would change an array that a graph may need.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tensor, TensorOp
from ..backend import Array, array_module, device_of, is_array, mask_positions, to_device, to_numpy
from ..errors import DTypeError, ShapeError

__all__ = ["GetItem", "Put", "embedding", "getitem"]

_BASIC = (slice, type(None), type(Ellipsis))


class GetItem(TensorOp):
    """y = a[index], for the indices that NumPy takes (integers, slices, index arrays)."""

    reads_inputs = reads_output = False
    returns_view = True

    def __init__(self, index: tuple) -> None:
        self.index = index

    def compute(self, a: Array) -> Array:
        return a[self.index]

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return Put(self.index, node.inputs[0].shape)(out_grad)


class Put(TensorOp):
    """y = zeros of a shape into which a is added at index: the adjoint of GetItem."""

    reads_inputs = reads_output = False

    def __init__(self, index: tuple, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        out = xp.zeros(self.shape, dtype=a.dtype)
        if any(is_array(i) for i in self.index):
            xp.add.at(out, self.index, a)  # an index array may name an element twice
        else:
            out[self.index] = a
        return out

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return GetItem(self.index)(out_grad)


def getitem(a: Tensor, index: Any) -> Tensor:
    """a[index] for integers, slices, None, Ellipsis, integer arrays, lists, and bool masks.

    Raises
    ------
    IndexError
        If an index is out of range, or there are more indices than axes.
    DTypeError
        If an index array holds something else than integers or bools.
    """
    items = index if isinstance(index, tuple) else (index,)
    items = tuple(_on_host(i) for i in items)
    if any(map(_is_mask, items)):
        # a mask becomes the positions where it holds, found once on the host
        _check_masks(items, a.shape)
        items = tuple(p for i in items for p in
                      (mask_positions(i) if _is_mask(i) else (i,)))
    _check_range(items, a.shape)
    device = device_of(a.cached_data)
    return GetItem(tuple(to_device(i, device) if is_array(i) else i for i in items))(a)


def embedding(indices: Any, weight: Tensor) -> Tensor:
    """Rows of ``weight`` (number of words, features) at integer indices of any shape.

    Raises
    ------
    IndexError, DTypeError, ShapeError
    """
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight must be (words, features), got {weight.shape}")
    rows = _on_host(indices)
    rows = to_numpy(rows)  # a single integer too
    if rows.dtype == bool:
        raise DTypeError("embedding: indices must be integers, got bool")
    if rows.size and (rows.min() < 0 or rows.max() >= weight.shape[0]):
        raise IndexError(f"embedding: indices must lie in 0..{weight.shape[0] - 1}, got "
                         f"{rows.min()} to {rows.max()}")
    return GetItem((to_device(rows, weight.device),))(weight)


def _on_host(item: Any) -> Any:
    """One index as an integer, slice, None, Ellipsis or a NumPy array of integers or bools."""
    if isinstance(item, _BASIC) or type(item) is int:
        return item
    if isinstance(item, Tensor):
        item = item.cached_data
    host = to_numpy(item)
    if host.size == 0 and not is_array(item):
        host = host.astype("int64")  # an empty list
    if host.dtype.kind not in "iub":
        raise DTypeError(f"getitem: an index must be an integer, a slice or an array of integers "
                         f"or bools, got {host.dtype}")
    if host.ndim == 0 and host.dtype == bool:
        raise IndexError("getitem: a single bool is no index; use None to add an axis")
    return int(host) if host.ndim == 0 else host.copy()  # the caller may write to theirs


def _is_mask(item: Any) -> bool:
    return is_array(item) and item.dtype == bool


def _check_masks(items: tuple, shape: tuple[int, ...]) -> None:
    widths = [0 if i is None or i is Ellipsis else
              i.ndim if _is_mask(i) else 1 for i in items]
    axis = 0
    for item, width in zip(items, widths, strict=True):
        if _is_mask(item):
            if item.shape != shape[axis:axis + width]:
                raise IndexError(f"getitem: a mask of shape {item.shape} at axis {axis} of a "
                                 f"tensor of shape {shape}")
        axis += len(shape) - sum(widths) if item is Ellipsis else width


def _check_range(items: tuple, shape: tuple[int, ...]) -> None:
    used = sum(1 for i in items if i is not None and i is not Ellipsis)
    if used > len(shape):
        raise IndexError(f"getitem: {used} indices for a tensor of shape {shape}")
    if sum(1 for i in items if i is Ellipsis) > 1:
        raise IndexError("getitem: more than one Ellipsis")
    axis = 0
    for item in items:
        if item is None:
            continue
        if item is Ellipsis:
            axis += len(shape) - used
            continue
        if not isinstance(item, slice):
            values = to_numpy(item)
            size = shape[axis]
            if values.size and (values.min() < -size or values.max() >= size):
                raise IndexError(f"getitem: index {values.min()} to {values.max()} is out of range "
                                 f"for axis {axis} of shape {shape}")
        axis += 1
