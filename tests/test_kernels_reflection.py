"""Mirror images around images: exact copies, and their adjoint, in every order of memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.kernels import fast, reference

LAYOUTS = ["row by row", "fortran", "channels last", "reversed", "sliced"]


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[int, int]], str, str, int]:
    """A shape, widths below its sizes, a dtype, an order in memory and a seed."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    widths = [(draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))) for size in shape]
    return (shape, widths, draw(st.sampled_from(["float32", "float64"])),
            draw(st.sampled_from(LAYOUTS)), draw(st.integers(0, 9999)))


def placed(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values, otherwise in memory."""
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "channels last" and a.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)
    if layout == "reversed":
        return np.flip(np.flip(a).copy())
    if layout == "sliced":
        return np.repeat(a, 2, axis=-1)[..., ::2]
    return a


@settings(max_examples=120)
@given(problems())
def test_fast_equals_reference(problem):
    shape, widths, dtype, layout, seed = problem
    g = np.random.default_rng(seed)
    x = placed(g.standard_normal(shape).astype(dtype), layout)
    kept = x.copy()
    padded = fast.reflection_pad(x, widths)
    np.testing.assert_array_equal(padded, np.pad(x, widths, mode="reflect"))
    np.testing.assert_array_equal(padded, reference.reflection_pad(x, widths))
    assert padded.dtype == dtype and not np.may_share_memory(padded, x)
    up = placed(g.standard_normal(padded.shape).astype(dtype), layout)
    up_kept = up.copy()
    folded = fast.reflection_fold(up, widths)
    want = reference.reflection_fold(up.astype("float64"), widths)
    sizes = reference.reflection_fold(np.abs(up).astype("float64"), widths)
    eps = np.finfo(dtype).eps
    assert (np.abs(folded - want) <= 16 * eps * sizes).all()
    assert folded.dtype == dtype and not np.may_share_memory(folded, up)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(up, up_kept)


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
@settings(max_examples=60)
@given(problems())
def test_they_are_adjoint(k, problem):
    """<pad(x), u> = <x, fold(u)>."""
    shape, widths, _, _, seed = problem
    g = np.random.default_rng(seed)
    x = g.standard_normal(shape)
    u = g.standard_normal([n + sum(pair) for n, pair in zip(shape, widths, strict=True)])
    np.testing.assert_allclose((k.reflection_pad(x, widths) * u).sum(),
                               (x * k.reflection_fold(u, widths)).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
def test_corners_by_hand(k):
    """Read four times, an inner corner gets four gradients back."""
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    sides = ((0, 0), (0, 0), (1, 1), (1, 1))
    padded = k.reflection_pad(x, sides)
    np.testing.assert_array_equal(padded[0, 0], [
        [4, 3, 4, 5, 4], [1, 0, 1, 2, 1], [4, 3, 4, 5, 4], [7, 6, 7, 8, 7], [4, 3, 4, 5, 4]])
    counts = k.reflection_fold(np.ones_like(padded), sides)[0, 0]
    np.testing.assert_array_equal(counts, [[1, 3, 1], [3, 9, 3], [1, 3, 1]])


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
def test_images_keep_their_order_in_memory(k):
    x = np.ones((2, 4, 5, 3), "float32").transpose(0, 3, 1, 2)
    sides = ((0, 0), (0, 0), (1, 2), (3, 0))
    padded = k.reflection_pad(x, sides)
    assert padded.transpose(0, 2, 3, 1).flags.c_contiguous
    assert k.reflection_fold(padded, sides).transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("k", [fast, reference], ids=["fast", "reference"])
def test_no_width_is_a_copy(k):
    x = np.ones((2, 3), "float32")
    for f in (k.reflection_pad, k.reflection_fold):
        y = f(x, [(0, 0), (0, 0)])
        assert y is not x and not np.may_share_memory(x, y)
        np.testing.assert_array_equal(x, y)
