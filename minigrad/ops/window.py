"""Windows that slide over images, pooling, and upsampling, which is pooling's adjoint.

``windows`` copies every window out of (n, c, h, w) into (n, c, oh, ow, kh, kw); ``fold`` adds the
windows back where they came from. They are each other's gradients, and so are ``SumWindows`` and
``SpreadWindows``, which do the same for windows that are summed at once: pooling and upsampling of
any size and stride are differentiable to any order. These walk over the k * k offsets in a window
and take one strided slice of the images at each, which keeps the images' order in memory and moves
no element twice.

Leaves out: padding (use ``ops.pad``), dilation, ceil mode, upsampling by fractions.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import kernels
from ..autograd import Tensor, TensorOp, constant, default_dtype
from ..backend import Array, array_module
from ..errors import ShapeError
from .elementwise import masked
from .matmul import matmul
from .reduce import max as max_over

__all__ = [
    "Fold",
    "MaxBlocks",
    "SpreadWindows",
    "SumWindows",
    "Windows",
    "avg_pool",
    "fold",
    "max_pool",
    "upsample",
    "upsample_bilinear",
    "windows",
]

Size = int | tuple[int, int]


def _pair(name: str, value: Size) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or min(pair) < 1:
        raise ShapeError(f"{name}: sizes must be one or two positive integers, got {value}")
    return pair


def _check_images(name: str, a: Array | Tensor, kernel: tuple[int, int]) -> None:
    kh, kw = kernel
    if a.ndim != 4 or a.shape[2] < kh or a.shape[3] < kw:
        raise ShapeError(f"{name}: wants (n, c, h, w) with h >= {kh} and w >= {kw}, got {a.shape}")


class Windows(TensorOp):
    """y[n, c, i, j, p, q] = a[n, c, i sh + p, j sw + q]."""

    reads_inputs = reads_output = False

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        self.kernel, self.stride = kernel, stride

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        _check_images("Windows", a, self.kernel)
        a = xp.ascontiguousarray(a)
        return kernels.windows.windows(a, self.kernel, self.stride, (2, 3)).copy()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return fold(out_grad, node.inputs[0].shape[2:], self.stride)


class Fold(TensorOp):
    """y = an image of zeros to which every window is added at its place: adjoint of Windows."""

    reads_inputs = reads_output = False

    def __init__(self, size: tuple[int, int], stride: tuple[int, int]) -> None:
        self.size, self.stride = size, stride

    def compute(self, a: Array) -> Array:
        n, c, oh, ow, kh, kw = a.shape
        sh, sw = self.stride
        out = array_module(a).zeros((n, c, *self.size), dtype=a.dtype)
        for p in range(kh):  # the windows' elements at one offset never overlap
            for q in range(kw):
                out[:, :, p:p + sh * oh:sh, q:q + sw * ow:sw] += a[..., p, q]
        return out

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        oh, ow, kh, kw = node.inputs[0].shape[2:]
        (h, w), (sh, sw) = self.size, self.stride
        used = (sh * (oh - 1) + kh, sw * (ow - 1) + kw)  # beyond it no window was added
        if (h, w) != used:
            out_grad = out_grad[:, :, :used[0], :used[1]]
        return windows(out_grad, (kh, kw), self.stride)


class SumWindows(TensorOp):
    """y[n, c, i, j] = the sum of the window of a whose first element is a[n, c, i sh, j sw].

    Integers and bools are summed as 64-bit integers.
    """

    reads_inputs = reads_output = False

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        self.kernel, self.stride = kernel, stride

    def compute(self, a: Array) -> Array:
        if a.dtype.kind != "f":
            a = a.astype("int64")
        return _reduce_windows(array_module(a).add, a, self.kernel, self.stride)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        size = node.inputs[0].shape[2:]
        return SpreadWindows(size, self.kernel, self.stride)(out_grad)


class SpreadWindows(TensorOp):
    """y = an image of zeros to whose windows a's elements are added: adjoint of SumWindows.

    With windows side by side (kernel equal to stride) it is nearest-neighbour upsampling.
    """

    reads_inputs = reads_output = False

    def __init__(self, size: tuple[int, int], kernel: tuple[int, int],
                 stride: tuple[int, int]) -> None:
        self.size, self.kernel, self.stride = size, kernel, stride

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        for axis in (3, 2):  # the last axis first: it is the slower one, and a is still small
            k, stride, size = (pair[axis - 2] for pair in (self.kernel, self.stride, self.size))
            count, shape = a.shape[axis], list(a.shape)
            shape[axis] = size
            # every element is written where the windows lie side by side and fill the image
            make = xp.empty_like if k == stride and count * k == size else xp.zeros_like
            out = make(a, shape=tuple(shape))
            for offset in range(k):
                at = _slice(axis, offset, stride, count)
                if k <= stride:
                    out[at] = a
                else:
                    out[at] += a
            a = out
        return a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return SumWindows(self.kernel, self.stride)(out_grad)


class MaxBlocks(TensorOp):
    """y = the largest element of every window, for windows that do not overlap.

    Equal maxima share the gradient equally.
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        self.kernel, self.stride = kernel, stride

    def compute(self, a: Array) -> Array:
        return _reduce_windows(array_module(a).maximum, a, self.kernel, self.stride)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a, y = node.inputs[0].cached_data, node.cached_data
        xp = array_module(a)
        (kh, kw), (sh, sw), (oh, ow) = self.kernel, self.stride, y.shape[2:]
        places = [(*_slice(2, p, sh, oh), *_slice(3, q, sw, ow)[3:])
                  for p in range(kh) for q in range(kw)]
        is_max = [a[at] == y for at in places]
        count = is_max[0].astype(a.dtype)
        for here in is_max[1:]:
            count += here
        share = xp.zeros_like(a)
        for at, here in zip(places, is_max, strict=True):
            share[at] = here / count
        return masked(SpreadWindows(a.shape[2:], self.kernel, self.stride)(out_grad), share)


def _slice(axis: int, start: int, step: int, count: int) -> tuple[slice, ...]:
    """The index of ``count`` elements along an axis, ``step`` apart."""
    return (slice(None),) * axis + (slice(start, start + step * count, step),)


def _reduce_windows(f: Callable[..., Array], a: Array, kernel: tuple[int, int],
                    stride: tuple[int, int]) -> Array:
    """A binary ufunc over the elements of each window, first along its height, then its width."""
    for axis, k, step in zip((2, 3), kernel, stride, strict=True):
        count = (a.shape[axis] - k) // step + 1
        parts = [a[_slice(axis, offset, step, count)] for offset in range(k)]
        a = f(parts[0], parts[1]) if k > 1 else array_module(a).copy(parts[0], order="K")
        for part in parts[2:]:
            f(a, part, out=a)
    return a


def windows(a: Tensor, kernel: Size, stride: Size = 1) -> Tensor:
    """Every window of (n, c, h, w), as (n, c, oh, ow, kh, kw)."""
    return Windows(_pair("windows", kernel), _pair("windows", stride))(a)


def fold(a: Tensor, size: tuple[int, int], stride: Size = 1) -> Tensor:
    """Windows (n, c, oh, ow, kh, kw) added into images (n, c, h, w) of ``size``.

    Raises
    ------
    ShapeError
        If the windows do not fit the image.
    """
    sh, sw = _pair("fold", stride)
    fits = a.ndim == 6 and (
        (a.shape[2] - 1) * sh + a.shape[4] <= size[0]
        and (a.shape[3] - 1) * sw + a.shape[5] <= size[1])
    if not fits:
        raise ShapeError(f"fold: windows of shape {a.shape} at stride {(sh, sw)} do not fit "
                         f"images of size {tuple(size)}")
    return Fold(tuple(size), (sh, sw))(a)


def avg_pool(a: Tensor, kernel: Size, stride: Size | None = None) -> Tensor:
    """The mean of every window of (n, c, h, w); the stride is the kernel size by default.

    Raises
    ------
    ShapeError
        If ``a`` has not four axes, a window is larger than the images, or a size is no positive
        integer.
    """
    kernel, stride = _window("avg_pool", a, kernel, stride)
    return SumWindows(kernel, stride)(a) * (1.0 / (kernel[0] * kernel[1]))


def max_pool(a: Tensor, kernel: Size, stride: Size | None = None) -> Tensor:
    """The largest element of every window; equal ones share the gradient equally.

    Raises
    ------
    ShapeError
        If ``a`` has not four axes, a window is larger than the images, or a size is no positive
        integer.
    """
    kernel, stride = _window("max_pool", a, kernel, stride)
    if kernel[0] <= stride[0] and kernel[1] <= stride[1]:
        return MaxBlocks(kernel, stride)(a)
    return max_over(Windows(kernel, stride)(a), (4, 5))


def _window(name: str, a: Tensor, kernel: Size, stride: Size | None) -> tuple[tuple[int, int], ...]:
    kernel = _pair(name, kernel)
    _check_images(name, a, kernel)
    return kernel, kernel if stride is None else _pair(name, stride)


def upsample(a: Tensor, scale: int) -> Tensor:
    """Nearest-neighbour upsampling of (n, c, h, w) to (n, c, h * scale, w * scale).

    Raises
    ------
    ShapeError
        If ``a`` has not four axes, or the scale is no positive integer.
    """
    _, _, h, w = _scaled("upsample", a, scale)
    return SpreadWindows((h * scale, w * scale), (scale, scale), (scale, scale))(a)


def upsample_bilinear(a: Tensor, scale: int) -> Tensor:
    """Bilinear upsampling of (n, c, h, w) to (n, c, h * scale, w * scale).

    A pixel is a square and its value stands in the square's middle; beyond the outermost middles
    the image goes on with its border values (PyTorch: ``align_corners=False``). It is linear in
    each direction, hence two products with a matrix. The result lies in memory as (n, h, w, c).

    Raises
    ------
    ShapeError
        If ``a`` has not four axes, or the scale is no positive integer.
    """
    n, c, h, w = _scaled("upsample_bilinear", a, scale)
    rows, columns = (_interpolation(a, size, scale) for size in (h, w))
    rows_done = matmul(rows, a.permute((0, 2, 3, 1)).reshape((n, h, w * c)))
    done = matmul(columns, rows_done.reshape((n * h * scale, w, c)))
    return done.reshape((n, h * scale, w * scale, c)).permute((0, 3, 1, 2))


def _scaled(name: str, a: Tensor, scale: int) -> tuple[int, int, int, int]:
    if a.ndim != 4:
        raise ShapeError(f"{name}: wants (n, c, h, w), got shape {a.shape}")
    if not hasattr(scale, "__index__") or scale < 1:
        raise ShapeError(f"{name}: scale must be an integer of at least 1, got {scale}")
    return a.shape


def _interpolation(a: Tensor, size: int, scale: int) -> Tensor:
    """The (size * scale, size) matrix of linear interpolation, of a's dtype, on its device.

    Output i stands at (i + 1/2) / scale - 1/2, held between the first and the last input; input j
    has a weight of 1 there minus the distance to it. Both are counted in units of 1 / (2 scale),
    which are whole numbers: the weights carry one rounding.
    """
    xp = array_module(a.cached_data)
    dtype = a.dtype if a.dtype.kind == "f" else default_dtype()
    unit = 2 * scale
    middles = xp.arange(1 - scale, unit * size + 1 - scale, 2, dtype=dtype)
    middles = xp.minimum(xp.maximum(middles, 0), unit * (size - 1))
    inputs = xp.arange(0, unit * size, unit, dtype=dtype)
    distance = xp.abs(middles[:, None] - inputs)
    return constant(xp.maximum(1 - distance / unit, 0))
