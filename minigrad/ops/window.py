"""Windows that slide over images, their adjoint, and pooling as a reduction over windows.

``windows`` copies every window out of (n, c, h, w) into (n, c, oh, ow, kh, kw); ``fold`` adds the
windows back where they came from. They are each other's gradients, so pooling of any size and
stride is differentiable to any order.

Leaves out: padding (use ``ops.pad``), dilation, ceil mode.
"""

from __future__ import annotations

from ..autograd import Tensor, TensorOp
from ..backend import Array, array_module
from ..errors import ShapeError
from .reduce import max as max_over
from .reduce import mean

__all__ = ["Fold", "Windows", "avg_pool", "fold", "max_pool", "windows"]

Size = int | tuple[int, int]


def _pair(name: str, value: Size) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or min(pair) < 1:
        raise ShapeError(f"{name}: sizes must be one or two positive integers, got {value}")
    return pair


class Windows(TensorOp):
    """y[n, c, i, j, p, q] = a[n, c, i sh + p, j sw + q]."""

    reads_inputs = reads_output = False

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        self.kernel, self.stride = kernel, stride

    def compute(self, a: Array) -> Array:
        xp = array_module(a)
        (kh, kw), (sh, sw) = self.kernel, self.stride
        if a.ndim != 4 or a.shape[2] < kh or a.shape[3] < kw:
            raise ShapeError(f"Windows: wants (n, c, h, w) with h >= {kh} and w >= {kw}, "
                             f"got {a.shape}")
        a = xp.ascontiguousarray(a)
        n, c, h, w = a.shape
        bn, bc, bh, bw = a.strides
        shape = (n, c, (h - kh) // sh + 1, (w - kw) // sw + 1, kh, kw)
        view = xp.lib.stride_tricks.as_strided(a, shape, (bn, bc, bh * sh, bw * sw, bh, bw))
        return view.copy()

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
    """The mean of every window of (n, c, h, w); the stride is the kernel size by default."""
    return mean(windows(a, kernel, kernel if stride is None else stride), (4, 5))


def max_pool(a: Tensor, kernel: Size, stride: Size | None = None) -> Tensor:
    """The largest element of every window; equal ones share the gradient equally."""
    return max_over(windows(a, kernel, kernel if stride is None else stride), (4, 5))
