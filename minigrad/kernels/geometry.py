"""The sizes of one convolution, and its arrays in the order in which the fast kernels read them.

Leaves out: arithmetic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backend import Array, array_module, cpu
from .parallel import workspace

__all__ = ["Geometry", "Matrices", "channels_last", "matrices", "on_cpu", "padded",
           "scratch"]


class Geometry(NamedTuple):
    """A convolution of images (n, c, h, w) with a weight (o, c, kh, kw), stride and padding."""

    n: int
    c: int
    h: int
    w: int
    o: int
    kh: int
    kw: int
    sh: int
    sw: int
    ph: int
    pw: int

    @property
    def oh(self) -> int:
        """The height of the result."""
        return (self.h + 2 * self.ph - self.kh) // self.sh + 1

    @property
    def ow(self) -> int:
        """The width of the result."""
        return (self.w + 2 * self.pw - self.kw) // self.sw + 1


def on_cpu(a: Array) -> bool:
    """Whether an array lives where the loops over chunks run."""
    return array_module(a) is cpu().module


def channels_last(a: Array) -> Array:
    """Images (n, c, h, w) as a contiguous array (n, h, w, c); copied only if they are not yet."""
    return array_module(a).ascontiguousarray(a.transpose(0, 2, 3, 1))


def scratch(like: Array, name: str, *shape: int) -> Array:
    """This thread's workspace called ``name``, in a shape; its values are those of its last use."""
    size = 1
    for length in shape:
        size *= length
    return workspace(array_module(like), name, size, like.dtype).reshape(shape)


class Matrices(NamedTuple):
    """Matrices one after the other in memory: all their rows, and each."""

    whole: Array
    each: list[Array]


def matrices(like: Array, name: str, rows: list[int], columns: int) -> Matrices:
    """Matrices of so many rows each in this thread's workspace ``name``."""
    whole = scratch(like, name, sum(rows), columns)
    each, start = [], 0
    for count in rows:
        each.append(whole[start:start + count])
        start += count
    return Matrices(whole, each)


def padded(a: Array, name: str, rows: tuple[int, int], columns: tuple[int, int],
           first_axis: int) -> Array:
    """A copy in a workspace with zeros before and after two neighbouring axes."""
    shape: list[int] = list(a.shape)
    shape[first_axis] += sum(rows)
    shape[first_axis + 1] += sum(columns)
    out = scratch(a, name, *shape)
    lead: tuple[Any, ...] = (slice(None),) * first_axis
    top, left = rows[0], columns[0]
    bottom, right = top + a.shape[first_axis], left + a.shape[first_axis + 1]
    out[(*lead, slice(0, top))] = 0
    out[(*lead, slice(bottom, None))] = 0
    out[(*lead, slice(top, bottom), slice(0, left))] = 0
    out[(*lead, slice(top, bottom), slice(right, None))] = 0
    out[(*lead, slice(top, bottom), slice(left, right))] = a
    return out
