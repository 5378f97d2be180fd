"""Convolution: every fast kernel against the simple one in float64, whichever path it takes.

The bound is elementwise: |got - want| <= c eps op(|x|, |w|), where op(|x|, |w|), the operation on
absolute values, is what an error of one eps in every product and sum can add up to. c is 16 for
direct convolution, 64 for kernels of 4 at stride 2 and padding 1 (Winograd F(2,2)) and 512 for
kernels of 3 at stride 1 (F(4,3)), for images, their gradients and weight gradients alike: errors of
a long sum have changing signs, so that they grow no faster than the sum of absolute values.

One place is not elementwise. Winograd finds all taps of a weight's gradient between two channels
together, as sums of shared products that cancel. Over a few pixels the taps can differ by orders of
magnitude, and the error is that of the largest: there op(|x|, |w|) is the largest of the taps.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as ndl
from minigrad.kernels import conv, fast, reference

Array = np.ndarray
Pair = tuple[int, int]

IMAGE_LAYOUTS = ["nchw", "nhwc", "reversed", "fortran", "sliced", "read-only", "some channels"]
WEIGHT_LAYOUTS = ["nchw", "hwio", "reversed", "fortran", "sliced"]


def lay_out(a: Array, layout: str) -> Array:
    """The same values, placed in memory as ``layout`` says; what lies between them is NaN."""
    if layout == "nhwc":
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "hwio":
        return np.ascontiguousarray(a.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    if layout == "reversed":
        return a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1]
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "sliced":
        wide = np.full([2 * size + 1 for size in a.shape], np.nan, a.dtype)
        wide[1::2, 1::2, 1::2, 1::2] = a
        return wide[1::2, 1::2, 1::2, 1::2]
    if layout == "some channels":  # of an image whose channels come last
        n, c, h, w = a.shape
        wide = np.full((n, h, w, c + 2), np.nan, a.dtype)
        wide[..., 1:-1] = a.transpose(0, 2, 3, 1)
        return wide.transpose(0, 3, 1, 2)[:, 1:-1]
    a = a.copy()
    a.flags.writeable = layout != "read-only"
    return a


@dataclass(frozen=True)
class Problem:
    """One convolution: its shapes, and how its operands lie in memory."""

    n: int
    c: int
    o: int
    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dtype: str = "float32"
    layouts: tuple[str, str, str] = ("nhwc", "hwio", "nhwc")  # of the image, weight and gradient
    rows: int | None = None  # of a chunk, if not as many as usual
    seed: int = 0

    @property
    def out(self) -> Pair:
        """Height and width of the result."""
        h, w = ((size + 2 * p - k) // s + 1 for size, k, s, p in zip(
            self.size, self.kernel, self.stride, self.padding, strict=True))
        return h, w

    @property
    def factor(self) -> int:
        """c of the bound."""
        if (self.kernel, self.stride, self.padding) == ((4, 4), (2, 2), (1, 1)):
            return 64
        return 512 if (self.kernel, self.stride) == ((3, 3), (1, 1)) else 16

    def values(self) -> list[Array]:
        """Image, weight and gradient of the result, contiguous."""
        g = np.random.default_rng(self.seed)
        found = []
        for shape, layout in zip(((self.n, self.c, *self.size), (self.o, self.c, *self.kernel),
                                  (self.n, self.o, *self.out)), self.layouts, strict=True):
            a = g.standard_normal(shape).astype(self.dtype)
            if layout == "one number":
                a[...] = a.flat[0]
            elif layout == "one a channel":
                a[...] = a[:1, :, :1, :1]
            found.append(a)
        return found

    def operands(self) -> list[Array]:
        """The same values, as ``layouts`` says."""
        return [
            np.broadcast_to(a.flat[0], a.shape) if layout == "one number"
            else np.broadcast_to(a[:1, :, :1, :1], a.shape) if layout == "one a channel"
            else lay_out(a, layout)
            for a, layout in zip(self.values(), self.layouts, strict=True)]


@contextmanager
def in_small(rows: int | None) -> Iterator[None]:
    """Inside, tiny problems run as large ones do, unless ``rows`` is None.

    They are cut into chunks of so many rows, in every module that has chunks, and go by Winograd's
    ways from 32 channels on, however few their products are.
    """
    if rows is None:
        yield
        return
    modules = [module for name, module in sys.modules.items()
               if name.startswith("minigrad.kernels.") and hasattr(module, "ROWS")]
    before, pays = [module.ROWS for module in modules], dict(conv._PAYS)
    assert len(before) > 2
    assert {least for least, _ in pays.values()} <= set(range(16, 129))
    try:
        for module in modules:
            module.ROWS = rows
        conv._PAYS.update({way: (min(least, 32), 1) for way, (least, _) in pays.items()})
        yield
    finally:
        for module, usual in zip(modules, before, strict=True):
            module.ROWS = usual
        conv._PAYS.update(pays)


def run(k: ModuleType, p: Problem, x: Array, w: Array, g: Array) -> list[tuple[str, Array]]:
    """Every result that the functions of ``k`` can give: its kind (y, dx or dw) and it."""
    with in_small(p.rows):
        return list(_run(k, p, x, w, g))


def _run(k: ModuleType, p: Problem, x: Array, w: Array, g: Array) -> Iterator[tuple[str, Array]]:
    geometry = p.stride, p.padding
    transformed = k.conv2d_transform(w, len(x), p.size, *geometry)
    yield "dw", k.conv2d_weight_gradient(x, g, *geometry, p.kernel)
    for t in (None, transformed):
        yield "y", k.conv2d(x, w, *geometry, t)
        yield "dx", k.conv2d_input_gradient(g, w, *geometry, p.size, t)
    for wanted in itertools.product((True, False), repeat=2):
        for t in (None, transformed) if all(wanted) else (transformed,):
            for kinds, found in (
                (("dx", "dw"), k.conv2d_gradient(x, w, g, *geometry, wanted, t)),
                (("y", "dw"), k.conv_transpose2d_gradient(g, w, x, *geometry, wanted, t)),
            ):
                assert tuple(a is not None for a in found) == wanted
                yield from ((kind, a) for kind, a in zip(kinds, found, strict=True)
                            if a is not None)


def exact(p: Problem, x: Array, w: Array, g: Array) -> dict[str, Array]:
    """y, dx and dw by the simple kernels in float64."""
    x, w, g = (a.astype("float64") for a in (x, w, g))
    return {"y": reference.conv2d(x, w, p.stride, p.padding),
            "dx": reference.conv2d_input_gradient(g, w, p.stride, p.padding, p.size),
            "dw": reference.conv2d_weight_gradient(x, g, p.stride, p.padding, p.kernel)}


def within(kind: str, got: Array, want: Array, allowed: Array, dtype: str) -> None:
    """Of this shape and dtype, and nowhere further from ``want`` than ``allowed``."""
    assert got.shape == want.shape, kind
    assert got.dtype == dtype, kind
    excess = np.abs(got - want) - allowed
    if not (excess <= 0).all():  # NaN included
        at = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), got.shape)
        raise AssertionError(f"{kind} at {tuple(map(int, at))}: got {got[at]}, want {want[at]} "
                             f"within {allowed[at]}; wrong in {(~(excess <= 0)).sum()} of "
                             f"{got.size} places")


def bounds(p: Problem, x: Array, w: Array, g: Array) -> dict[str, Array]:
    """How far y, dx and dw may be from the exact ones: the text at the top."""
    allowed = exact(p, np.abs(x), np.abs(w), np.abs(g))
    if p.factor > 16:
        largest = allowed["dw"].max(axis=(2, 3), keepdims=True)
        allowed["dw"] = np.broadcast_to(largest, allowed["dw"].shape)
    return {kind: p.factor * np.finfo(p.dtype).eps * a for kind, a in allowed.items()}


def check(p: Problem, k: ModuleType = fast, spoil: bool = True) -> None:
    """Every result of every function; inputs are left alone, and results are the caller's.

    With ``spoil`` the functions have worked on NaN before: what they left behind must not show.
    """
    values, operands = p.values(), p.operands()
    want, allowed = exact(p, *values), bounds(p, *values)
    if spoil:
        with np.errstate(invalid="ignore"):
            run(k, p, *[np.full_like(a, np.nan) for a in values])
    found = run(k, p, *operands)
    for kind, got in found:
        within(kind, got, want[kind], allowed[kind], p.dtype)
        assert not any(np.may_share_memory(got, a) for a in operands), kind
    for a, b in zip(operands, values, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------ the draws

DTYPES = st.sampled_from(["float32", "float64"])


def pairs(low: int, high: int) -> st.SearchStrategy[Pair]:
    """Two numbers, equal or not."""
    number = st.integers(low, high)
    return number.map(lambda a: (a, a)) | st.tuples(number, number)


@st.composite
def problems(
    draw: st.DrawFn, channels: list[int], kernels: st.SearchStrategy[Pair],
    strides: st.SearchStrategy[Pair], paddings: st.SearchStrategy[Pair], sizes: Pair,
    batches: st.SearchStrategy[int] | None = None, outputs: list[int] | None = None,
) -> Problem:
    """A convolution whose kernel fits; sizes are drawn from ``sizes``, kernel = image included."""
    kernel, padding = draw(kernels), draw(paddings)
    size = []
    for k, p in zip(kernel, padding, strict=True):
        least = max(1, k - 2 * p)
        low = max(least, sizes[0])
        size.append(draw(st.just(least) | st.integers(low, max(low, sizes[1]))))
    gradients = [*IMAGE_LAYOUTS, "one number", "one a channel"]
    layouts = [draw(st.sampled_from(names)) for names in (IMAGE_LAYOUTS, WEIGHT_LAYOUTS, gradients)]
    return Problem(
        draw(st.integers(1, 5) if batches is None else batches), draw(st.sampled_from(channels)),
        draw(st.sampled_from(outputs or channels)), (size[0], size[1]), kernel, draw(strides),
        padding, draw(DTYPES), (layouts[0], layouts[1], layouts[2]),
        draw(st.sampled_from([None, 1, 6, 20, 100])), draw(st.integers(0, 9999)))


ANY = problems([1, 2, 3, 4, 7, 16], pairs(1, 5), pairs(1, 6), pairs(0, 3), (1, 9))
FOURS = problems([1, 3, 16, 32, 64, 80], st.just((4, 4)), st.just((2, 2)), st.just((1, 1)), (2, 18))
THREES = problems([3, 16, 64], st.just((3, 3)), st.just((1, 1)),
                  st.sampled_from([(1, 1), (0, 0), (2, 2), (1, 0)]), (3, 13))
MANY = problems([64, 65, 96], st.sampled_from([(1, 1), (2, 2), (3, 3), (4, 4), (3, 4)]),
                st.sampled_from([(1, 1), (2, 2), (2, 1)]), pairs(0, 1), (1, 8))
# the ends of a network: images of few channels with large kernels, on either side
FEW = problems([1, 2, 3], st.sampled_from([(7, 7), (5, 5), (4, 4), (3, 3), (1, 1), (5, 2)]),
               pairs(1, 2), st.sampled_from([(0, 0), (1, 1), (3, 3), (2, 0)]), (1, 20),
               outputs=[1, 3, 8, 64])
FEW_OUT = problems([8, 64], st.sampled_from([(7, 7), (5, 5), (4, 4), (3, 3), (1, 1), (2, 5)]),
                   pairs(1, 2), st.sampled_from([(0, 0), (1, 1), (3, 3), (0, 2)]), (1, 20),
                   outputs=[1, 2, 3])
BATCHES = problems([1, 3, 5, 32], st.sampled_from([(1, 1), (2, 2), (3, 3), (4, 4)]), pairs(1, 2),
                   pairs(0, 1), (1, 6), st.sampled_from([33, 64, 65, 130]))


# ------------------------------------------------------------------------------ fast == reference


@settings(max_examples=100)
@given(ANY, st.booleans())
def test_any_convolution(p, spoil):
    check(p, spoil=spoil)


@settings(max_examples=40)
@given(FOURS)
def test_kernels_of_four_at_stride_two(p):
    check(p)


@settings(max_examples=40)
@given(THREES)
def test_kernels_of_three_at_stride_one(p):
    check(p)


@settings(max_examples=30)
@given(MANY)
def test_many_channels(p):
    check(p)


@settings(max_examples=20)
@given(FEW)
def test_few_channels_in(p):
    check(p)


@settings(max_examples=20)
@given(FEW_OUT)
def test_few_channels_out(p):
    check(p)


@settings(max_examples=25)
@given(BATCHES)
def test_large_batches_of_tiny_images(p):
    check(p)


@pytest.mark.parametrize("p", [
    Problem(64, 64, 64, (8, 8), (4, 4), (2, 2), (1, 1)),
    Problem(65, 3, 8, (8, 8), (4, 4), (2, 2), (1, 1)),
    Problem(33, 64, 32, (8, 10), (4, 4), (2, 2), (1, 1), "float64"),
    Problem(17, 64, 64, (16, 16), (4, 4), (2, 2), (1, 1)),
    Problem(9, 32, 64, (32, 32), (4, 4), (2, 2), (1, 1)),
    Problem(9, 1, 16, (32, 32), (4, 4), (2, 2), (1, 1), "float64"),
    Problem(33, 64, 64, (8, 8), (3, 3), (1, 1), (1, 1)),
    Problem(17, 64, 80, (12, 10), (3, 3), (1, 1), (1, 1)),
    Problem(5, 64, 64, (19, 18), (3, 3), (1, 1), (0, 0), "float64"),
    Problem(33, 65, 3, (8, 8), (7, 7), (1, 1), (3, 3)),
    Problem(65, 100, 64, (1, 1), (1, 1)),
    Problem(64, 64, 100, (4, 4), (4, 4)),
    Problem(65, 64, 1, (4, 4), (4, 4), dtype="float64"),
    Problem(33, 16, 16, (16, 16), (3, 3), (2, 2), (1, 1)),
    Problem(3, 32, 3, (70, 70), (7, 7)),
    Problem(5, 3, 32, (38, 38), (7, 7)),
    Problem(5, 128, 1, (7, 7), (4, 4), (1, 1), (1, 1), "float64"),
    Problem(5, 64, 128, (8, 8), (4, 4), (1, 1), (1, 1)),
    Problem(3, 64, 64, (18, 18), (3, 3)),
], ids=lambda p: f"{p.n}x{p.c}x{p.size[0]}x{p.size[1]}-{p.o}-k{p.kernel[0]}s{p.stride[0]}")
def test_the_layers_of_networks(p):
    """Batches that end inside a chunk, at sizes as networks have them."""
    check(p, spoil=False)


@pytest.mark.parametrize("sizes, way", [
    ((8, 3, 70, 70, 64, 7, 7, 1, 1, 0, 0), conv.Way.PLANAR),
    ((8, 64, 70, 70, 3, 7, 7, 1, 1, 0, 0), conv.Way.MIRRORED),
    ((4, 512, 7, 7, 1, 4, 4, 1, 1, 1, 1), conv.Way.MIRRORED),
    ((4, 64, 32, 32, 3, 4, 4, 2, 2, 1, 1), conv.Way.DIRECT),  # results do not see pixels alike
    ((4, 64, 8, 8, 3, 3, 3, 1, 1, 3, 3), conv.Way.DIRECT),  # results that see zeros alone
    ((64, 512, 4, 4, 1, 4, 4, 1, 1, 0, 0), conv.Way.DIRECT),  # images are rows already
    ((8, 256, 18, 18, 256, 3, 3, 1, 1, 0, 0), conv.Way.WINOGRAD_K3),
    ((4, 256, 18, 18, 256, 3, 3, 1, 1, 0, 0), conv.Way.WINOGRAD_K3),
    ((2, 256, 18, 18, 256, 3, 3, 1, 1, 0, 0), conv.Way.DIRECT),  # the weight is the larger work
    ((64, 64, 32, 32, 128, 4, 4, 2, 2, 1, 1), conv.Way.WINOGRAD_K4S2)])
def test_the_way_of_the_layers_of_networks(sizes, way):
    assert conv.choose(conv.Geometry(*sizes)) is way


@settings(max_examples=40)
@given(ANY)
def test_the_simple_kernels_keep_the_bound_too(p):
    check(replace(p, dtype="float32"), reference)


# ------------------------------------------------------------------------------- bits and threads

SOME = ANY | FOURS | THREES | MANY | FEW | BATCHES


def same_bits(one: list[tuple[str, Array]], other: list[tuple[str, Array]]) -> None:
    for (kind, a), (_, b) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=kind)


@settings(max_examples=50)
@given(SOME, st.data())
def test_equal_values_at_other_strides_give_equal_bits(p, data):
    """Kernels bring their operands into one order before they begin."""
    constant = [layout for layout in p.layouts if layout.startswith("one ")]
    others = (data.draw(st.sampled_from(IMAGE_LAYOUTS)), data.draw(st.sampled_from(WEIGHT_LAYOUTS)),
              data.draw(st.sampled_from(IMAGE_LAYOUTS)))
    values = [lay_out(a, layout) for a, layout in zip(p.values(), others, strict=True)]
    assert not constant or np.ptp(values[2][:, 0]) == 0
    same_bits(run(fast, p, *p.operands()), run(fast, p, *values))


@settings(max_examples=40)
@given(SOME | BATCHES)
def test_threads(p):
    """One and two threads keep the bound, and each gives the same bits in every run."""
    operands = p.operands()
    want, allowed = exact(p, *operands), bounds(p, *operands)
    for count in (1, 2):
        ndl.set_threads(count)
        found = run(fast, p, *operands)
        for kind, got in found:
            within(f"{kind}, {count} threads", got, want[kind], allowed[kind], p.dtype)
        same_bits(found, run(fast, p, *operands))


def test_calls_from_several_threads_at_once():
    """Each has workspaces of its own."""
    ps = [Problem(9, 32, 32, (8, 8), (4, 4), (2, 2), (1, 1), seed=1),
          Problem(9, 32, 32, (8, 8), (4, 4), (2, 2), (1, 1), seed=2),
          Problem(5, 3, 16, (12, 12), (5, 5), (1, 1), (2, 2), seed=3)]
    want = [run(fast, p, *p.operands()) for p in ps]
    found: list[list] = [[] for _ in ps]

    def work(i: int) -> None:
        for _ in range(3):
            found[i].append(run(fast, ps[i], *ps[i].operands()))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(ps))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, many in zip(want, found, strict=True):
        assert len(many) == 3
        for other in many:
            same_bits(one, other)


# ------------------------------------------------------------------ what belongs to whom, and NaN


@settings(max_examples=40)
@given(SOME)
def test_a_later_call_leaves_earlier_results_alone(p):
    """Workspaces are used again; what was handed out is not one of them."""
    found = run(fast, p, *p.operands())
    kept = [a.copy() for _, a in found]
    transform = p.values()[1], p.n, p.size, p.stride, p.padding
    transformed = fast.conv2d_transform(*transform)
    kept_transform = None if transformed is None else transformed.copy()
    run(fast, p, *replace(p, seed=p.seed + 1).operands())
    for (kind, a), b in zip(found, kept, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=kind)
    for (kind, a), (_, b) in itertools.combinations(found, 2):
        assert not np.may_share_memory(a, b), kind
    if transformed is not None:
        np.testing.assert_array_equal(transformed, kept_transform)


@settings(max_examples=50)
@given(SOME.filter(lambda p: p.n > 1), st.data())
def test_nan_stays_in_its_image(p, data):
    """In the result and in the image's gradient; a weight's gradient sums over all images."""
    p = replace(p, layouts=(p.layouts[0], p.layouts[1], "nhwc"))
    i = data.draw(st.integers(0, p.n - 1))
    x, w, g = p.operands()
    want, allowed = exact(p, x, w, g), bounds(p, x, w, g)
    x, g = x.copy(), g.copy()
    x[i], g[i] = np.nan, np.nan
    others = [j for j in range(p.n) if j != i]
    with np.errstate(invalid="ignore"):
        for kind, got in run(fast, p, x, w, g):
            if kind != "dw":
                within(kind, got[others], want[kind][others], allowed[kind][others], p.dtype)
                assert np.isnan(got[i][want[kind][i] != 0]).all()
        for grad in (fast.conv2d_weight_gradient(x, g, p.stride, p.padding, p.kernel),
                     fast.conv2d_gradient(x, w, g, p.stride, p.padding, (False, True))[1]):
            assert np.isnan(grad).all()  # its gradient is NaN everywhere, and 0 * NaN is NaN


def test_one_pixel_of_nan_spoils_what_reads_it():
    p = Problem(2, 3, 4, (7, 6), (3, 3), (2, 2), (1, 1))
    x, w, _ = p.operands()
    x = x.copy()
    x[1, 2, 3, 3] = np.nan
    bad = np.isnan(fast.conv2d(x, w, p.stride, p.padding))
    want = np.zeros(bad.shape, bool)
    want[1, :, 1:3, 1:3] = True  # windows of rows 1-3 and 3-5
    np.testing.assert_array_equal(bad, want)
