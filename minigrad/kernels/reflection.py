"""Mirror images around images, in one pass over memory, and the adjoint.

What is padded is copied into the middle of the result; then, axis by axis, the border is copied
from there. Backwards the middle is copied, and each part of the border, which is small, is added to
it once its own corners are. The order of axes in memory stays.

Leaves out: checks of the widths, which are the operation's; GPUs, where ``fused`` runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backend import Array, array_module
from . import fused, reference

__all__ = ["reflection_fold", "reflection_pad"]

Widths = Sequence[tuple[int, int]]


def _are_sides(a: Array, widths: Widths) -> bool:
    """Whether these are widths on the sides of images (n, c, h, w)."""
    return a.ndim == 4 and not any(widths[0]) and not any(widths[1])


def reflection_pad(a: Array, widths: Widths) -> Array:
    """As ``reference.reflection_pad``."""
    if fused.runs(a):
        if _are_sides(a, widths):
            return fused.reflection_pad(a, widths[2], widths[3])
        return reference.reflection_pad(a, widths)
    shape = [size + sum(pair) for size, pair in zip(a.shape, widths, strict=True)]
    out = array_module(a).empty_like(a, shape=shape)
    inside = [slice(before, before + size)
              for size, (before, _) in zip(a.shape, widths, strict=True)]
    out[tuple(inside)] = a
    for axis, (before, after) in enumerate(widths):
        part = out[(slice(None),) * axis + (..., *inside[axis + 1:])]
        part = part.swapaxes(0, axis)
        end = before + a.shape[axis]
        part[:before] = part[before + 1:2 * before + 1][::-1]
        part[end:] = part[end - 1 - after:end - 1][::-1]
    return out


def reflection_fold(a: Array, widths: Widths) -> Array:
    """As ``reference.reflection_fold``."""
    if fused.runs(a):
        if _are_sides(a, widths):
            return fused.reflection_fold(a, widths[2], widths[3])
        return reference.reflection_fold(a, widths)
    xp = array_module(a)
    inside = [slice(before, size - after)
              for size, (before, after) in zip(a.shape, widths, strict=True)]
    out = xp.copy(a[tuple(inside)], order="K")
    for axis, (before, after) in enumerate(widths):
        within = tuple(inside[:axis])  # the axes before this one have had their borders
        later = [(0, 0)] * (axis + 1) + list(widths[axis + 1:])
        target, end = out.swapaxes(0, axis), before + out.shape[axis]
        if before:
            border = reflection_fold(a[(*within, slice(0, before))], later)
            target[1:before + 1] += border.swapaxes(0, axis)[::-1]
        if after:
            border = reflection_fold(a[(*within, slice(end, None))], later)
            target[-1 - after:-1] += border.swapaxes(0, axis)[::-1]
    return out
