"""Windows that slide over images, as a view: the one place that makes overlapping views.

Leaves out: padding and copying, which are the callers'.
"""

from __future__ import annotations

from ..backend import Array, array_module

__all__ = ["windows"]


def windows(
    a: Array, kernel: tuple[int, int], stride: tuple[int, int], axes: tuple[int, int]
) -> Array:
    """Every window of ``a`` over two axes: they count windows, and (kh, kw) stand at the end.

    ``a`` must be contiguous in some order of its axes, and the kernel fit in it. The elements of
    the view overlap: read them, never write to them.
    """
    shape, strides = list(a.shape), list(a.strides)
    for axis, k, s in zip(axes, kernel, stride, strict=True):
        shape[axis] = (a.shape[axis] - k) // s + 1
        strides[axis] = a.strides[axis] * s
    within = [a.strides[axis] for axis in axes]
    return array_module(a).lib.stride_tricks.as_strided(
        a, (*shape, *kernel), (*strides, *within))
