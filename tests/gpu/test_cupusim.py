"""The stand-in itself: what CuPy computes on it equals NumPy, the counters count, the rest refuses.

A failure here is a fault of cupusim (or of this machine's compiler), not of minigrad.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
FLOATS = ("float32", "float64")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assert_same(got, want, rounding: float = 16.0) -> None:
    """`got` (CuPy) and `want` (NumPy): shape, dtype and values, within `rounding` epsilons."""
    want = np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype.kind == "f":
        bound = rounding * np.finfo(want.dtype).eps
        np.testing.assert_allclose(got.get(), want, rtol=bound, atol=bound)
    else:
        np.testing.assert_array_equal(got.get(), want)


# ------------------------------------------------------------------------------------- elementwise
ELEMENTWISE = {
    "add": lambda xp, x, y: x + y,
    "polynomial": lambda xp, x, y: 2 * x - y / 3 + x**2,
    "tanh": lambda xp, x, y: xp.tanh(x),
    "exp": lambda xp, x, y: xp.exp(x),
    "log": lambda xp, x, y: xp.log(xp.abs(x) + 1),
    "expm1 log1p": lambda xp, x, y: xp.expm1(x) + xp.log1p(xp.abs(y)),
    "sqrt": lambda xp, x, y: xp.sqrt(xp.abs(x)),
    "power": lambda xp, x, y: xp.power(xp.abs(x), 1.5),
    "where": lambda xp, x, y: xp.where(x > y, x, 0),
    "mask": lambda xp, x, y: (x > 0) * y,
    "maximum minimum": lambda xp, x, y: xp.maximum(x, 0) - xp.minimum(y, x),
    "clip sign": lambda xp, x, y: xp.clip(x, -0.5, 0.5) * xp.sign(y),
    "isfinite": lambda xp, x, y: xp.isfinite(x / (xp.abs(y) > 0.5)),
    "float32": lambda xp, x, y: (x * 1000).astype("float32"),
    "integers": lambda xp, x, y: (x * 1000).astype("int32") // 7,
}


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(cp, rng, name, dtype):
    function = ELEMENTWISE[name]
    x, y = rng.standard_normal((2, 5, 7)).astype(dtype)
    assert_same(function(cp, cp.asarray(x), cp.asarray(y)), function(np, x, y))


def test_broadcasting_and_zero_dimensions(cp, rng):
    x, y = rng.standard_normal((4, 1, 3)), rng.standard_normal((5, 1))
    assert_same(cp.asarray(x) * cp.asarray(y), x * y)
    scalar = cp.asarray(np.float32(1.5))
    assert scalar.shape == ()
    assert_same(cp.tanh(scalar) + 1, np.tanh(np.float32(1.5)) + np.float32(1))
    assert_same(cp.zeros((0, 3), "float32").sum(axis=0), np.zeros(3, "float32"))


VIEWS = {
    "transposed": lambda xp, x: x.transpose(2, 0, 1),
    "sliced": lambda xp, x: x[1:, ::2, 1:4],
    "negative strides": lambda xp, x: x[::-1, :, ::-2],
    "broadcast": lambda xp, x: xp.broadcast_to(x[:, :1], (4, 6, 5)),
    "new axis": lambda xp, x: x[:, None, 0, ..., None],
    "reshaped": lambda xp, x: x.reshape(8, -1),
    "flipped": lambda xp, x: xp.flip(x, (0, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(cp, rng, name):
    x = rng.standard_normal((4, 6, 5)).astype("float32")
    view, expected = VIEWS[name](cp, cp.asarray(x)), VIEWS[name](np, x)
    assert_same(view, expected)
    assert_same(cp.exp(view), np.exp(expected))
    assert_same(view.sum(axis=-1), expected.sum(axis=-1))


@pytest.mark.parametrize("step", [1, 2])
def test_as_strided_windows(cp, rng, step):
    x = rng.standard_normal((2, 3, 7, 6)).astype("float32")

    def windows(xp, a):  # the 3 x 3 windows of an image, as in im2col
        n, c, h, w = a.shape
        sn, sc, sh, sw = a.strides
        shape = (n, c, (h - 3) // step + 1, (w - 3) // step + 1, 3, 3)
        strides = (sn, sc, sh * step, sw * step, sh, sw)
        return xp.lib.stride_tricks.as_strided(a, shape, strides)

    got, want = windows(cp, cp.asarray(x)), windows(np, x)
    assert_same(got, want)
    assert_same(cp.ascontiguousarray(got).reshape(-1, 27).sum(0), want.reshape(-1, 27).sum(0), 64)


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    axis=st.integers(0, 2),
    reverse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_sum_of_any_shape(cp, shape, axis, reverse, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    axis = axis % len(shape)
    x_device = cp.asarray(x)
    if reverse:
        x, x_device = x[::-1], x_device[::-1]
    assert_same(x_device.sum(axis=axis), x.sum(axis=axis))
    assert_same(x_device.sum(axis=axis, keepdims=True), x.sum(axis=axis, keepdims=True))


# -------------------------------------------------------------------------------------- reductions
REDUCTIONS = {
    "sum": lambda xp, x: x.sum(),
    "sum of axes": lambda xp, x: x.sum(axis=(0, 2)),
    "sum, keepdims": lambda xp, x: x.sum(axis=(1, 2), keepdims=True),
    "mean": lambda xp, x: x.mean(axis=0),
    "var": lambda xp, x: x.var(axis=(0, 2)),
    "std": lambda xp, x: xp.std(x, axis=1, keepdims=True),
    "max": lambda xp, x: x.max(axis=-1),
    "min": lambda xp, x: x.min(axis=(0, 1)),
    "argmax": lambda xp, x: x.argmax(axis=1),
    "argmin of all": lambda xp, x: x.argmin(),
    "prod": lambda xp, x: x.prod(axis=2),
    "any": lambda xp, x: (x > 2).any(axis=0),
    "all": lambda xp, x: xp.isfinite(x).all(),
    "norm": lambda xp, x: xp.linalg.norm(x),
    "norm of axis": lambda xp, x: xp.linalg.norm(x, axis=1),
    "cumsum": lambda xp, x: xp.cumsum(x, axis=1),
    "count_nonzero": lambda xp, x: xp.count_nonzero(x > 0, axis=1),
    "sum in float64": lambda xp, x: xp.sum(x, dtype="float64"),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(cp, rng, name, dtype):
    function = REDUCTIONS[name]
    x = rng.standard_normal((6, 9, 40)).astype(dtype)
    assert_same(function(cp, cp.asarray(x)), function(np, x), rounding=256)


def test_a_long_reduction_uses_blocks_and_barriers(cp, rng):
    x = rng.standard_normal(100_000)
    assert_same(cp.asarray(x).sum(), x.sum(), rounding=2**12)


# ------------------------------------------------------------------------------------------ matmul
MATMULS = {
    "2-D": lambda xp, a, b: a[0] @ b[0],
    "matrix x vector": lambda xp, a, b: a[0] @ b[0, :, 0],
    "vector x matrix": lambda xp, a, b: a[0, 0] @ b[0],
    "vector x vector": lambda xp, a, b: a[0, 0] @ b[0, :, 0],
    "batched": lambda xp, a, b: a @ b,
    "batch broadcast": lambda xp, a, b: a[:, None] @ b[None, 0],
    "left transposed": lambda xp, a, b: a[0].T @ a[1],
    "right transposed": lambda xp, a, b: a @ a.transpose(0, 2, 1),
    "both transposed": lambda xp, a, b: b[0].T @ a[0].T,
    "strided": lambda xp, a, b: a[0, ::2, 1::2] @ b[1, 1::2, ::3],
    "negative strides": lambda xp, a, b: a[:, ::-1] @ b[:, :, ::-1],
    "batch of views": lambda xp, a, b: a[:, 1:, 2:] @ b[:, 2:],
    "tensordot": lambda xp, a, b: xp.tensordot(a, b, axes=((0, 2), (0, 1))),
    "dot": lambda xp, a, b: xp.dot(a[0], b[0]),
    "einsum": lambda xp, a, b: xp.einsum("nij,njk->ik", a, b),
    "einsum diagonal": lambda xp, a, b: xp.einsum("nij,nij->j", a, a),
    "no inner dimension": lambda xp, a, b: a[0, :, :0] @ b[0, :0],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", MATMULS)
def test_matmul(cp, rng, name, dtype):
    function = MATMULS[name]
    a = rng.standard_normal((3, 5, 8)).astype(dtype)
    b = rng.standard_normal((3, 8, 6)).astype(dtype)
    assert_same(function(cp, cp.asarray(a), cp.asarray(b)), function(np, a, b), rounding=64)


def test_matmul_into_out(cp, rng):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))
    out = cp.full((3, 5), np.nan)  # the product must not read it
    assert cp.matmul(cp.asarray(a), cp.asarray(b), out=out) is out
    assert_same(out, a @ b)


def test_matmul_of_integers(cp):
    a = np.arange(12).reshape(3, 4)
    assert_same(cp.asarray(a) @ cp.asarray(a.T), a @ a.T)


# ------------------------------------------------------------------- indexing, gathers and scatters
INDEXING = {
    "rows": lambda xp, x, i: x[i],
    "pairs": lambda xp, x, i: x[i, i[::-1]],
    "broadcast indices": lambda xp, x, i: x[i[:, None], i[None, :3]],
    "beside a slice": lambda xp, x, i: x[:, i, 1:],
    "negative": lambda xp, x, i: x[i - 4],
    "take": lambda xp, x, i: xp.take(x, i, axis=1),
    "take_along_axis": lambda xp, x, i: xp.take_along_axis(x, i[:, None, None] % 3, axis=1),
}


@pytest.mark.parametrize("name", INDEXING)
def test_gather(cp, rng, name):
    x, i = rng.standard_normal((4, 4, 3)).astype("float32"), np.array([3, 0, 1, 1])
    assert_same(INDEXING[name](cp, cp.asarray(x), cp.asarray(i)), INDEXING[name](np, x, i))


@pytest.mark.filterwarnings("ignore:`ndarray.scatter_add` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "int64"])
def test_scatter_add_counts_repeated_indices(cp, rng, dtype):
    import cupyx

    x = np.zeros((4, 3), dtype)
    i, y = rng.integers(0, 4, 50), (10 * rng.standard_normal((50, 3))).astype(dtype)
    by_method, by_function = cp.asarray(x), cp.asarray(x)
    cp.add.at(by_method, cp.asarray(i), cp.asarray(y))
    cupyx.scatter_add(by_function, cp.asarray(i), cp.asarray(y))
    np.add.at(x, i, y)
    assert_same(by_method, x, rounding=512)
    assert_same(by_function, x, rounding=512)


def test_scatter_add_into_a_window(cp, rng):
    x, y = np.zeros((2, 5)), rng.standard_normal((2, 2))
    x_device = cp.asarray(x)
    cp.add.at(x_device, (slice(None), cp.asarray([3, 3])), cp.asarray(y))
    np.add.at(x, (slice(None), np.array([3, 3])), y)
    assert_same(x_device, x)


def test_assignment(cp, rng):
    x, y = rng.standard_normal((5, 6)), rng.standard_normal((2, 3))
    x_device = cp.asarray(x)
    x_device[1:3, ::2] = cp.asarray(y)
    x_device[cp.asarray([0, 4]), 1] = 7
    x_device[x_device < -1] = 0
    x[1:3, ::2] = y
    x[[0, 4], 1] = 7
    x[x < -1] = 0
    assert_same(x_device, x)


# ------------------------------------------------------------- what else an autograd engine calls
OTHERS = {
    "arange": lambda xp, x: xp.arange(2, 11, 3, dtype="float32"),
    "eye": lambda xp, x: xp.eye(4, dtype="float32"),
    "full_like": lambda xp, x: xp.full_like(x, 2.5),
    "linspace": lambda xp, x: xp.linspace(0, 1, 5, dtype="float32"),
    "stack": lambda xp, x: xp.stack([x, x + 1], axis=1),
    "concatenate": lambda xp, x: xp.concatenate([x, x[:1]], axis=0),
    "split": lambda xp, x: xp.split(x, 2, axis=0)[1],
    "pad with zeros": lambda xp, x: xp.pad(x, ((0, 0), (1, 2), (3, 0))),
    "pad by reflection": lambda xp, x: xp.pad(x, ((0, 0), (1, 2), (2, 1)), mode="reflect"),
    "repeat": lambda xp, x: xp.repeat(x, 2, axis=1),
    "tile": lambda xp, x: xp.tile(x, (1, 2, 1)),
    "roll": lambda xp, x: xp.roll(x, 1, axis=2),
    "moveaxis": lambda xp, x: xp.moveaxis(x, 0, 2),
    "squeeze": lambda xp, x: xp.squeeze(x[:1]),
    "outer": lambda xp, x: xp.outer(x[0, 0], x[0, 1]),
    "tril": lambda xp, x: xp.tril(x),
    "logaddexp": lambda xp, x: xp.logaddexp(x, 0),
    "nan_to_num": lambda xp, x: xp.nan_to_num(x),
    "array_equal": lambda xp, x: xp.array_equal(x, x),
    "allclose": lambda xp, x: xp.allclose(x, x + 1),
    "nonzero": lambda xp, x: xp.nonzero(x > 0)[1],
    "boolean mask": lambda xp, x: x[x > 0],
    "bincount": lambda xp, x: xp.bincount(xp.asarray([1, 1, 4])),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others(cp, rng, name):
    x = rng.standard_normal((4, 5, 6)).astype("float32")
    assert_same(OTHERS[name](cp, cp.asarray(x)), OTHERS[name](np, x))


def test_in_place(cp, rng):
    x, y = rng.standard_normal((2, 4, 5)).astype("float32")
    p, q = cp.asarray(x), cp.asarray(y)
    out = cp.empty_like(p)
    assert cp.multiply(p, q, out=out) is out
    assert_same(out, x * y)
    cp.add(p, q, out=p)
    p *= 0.5
    p[1:] -= q[1:]
    cp.tanh(p, out=p)
    expected = (x + y) * np.float32(0.5)
    expected[1:] -= y[1:]
    assert_same(p, np.tanh(expected))
    cp.copyto(p, q)
    assert_same(p, y)
    cp.sum(q, axis=0, out=p[0])
    assert_same(p[0], y.sum(axis=0))


def test_shared_memory_of_views(cp):
    x = cp.zeros((4, 6))
    assert cp.may_share_memory(x, x[1:])
    assert not cp.may_share_memory(x[0], x[1])
    assert x.T.base is x


def test_transfers(cp, rng):
    x = rng.standard_normal((3, 4))[:, ::-1]
    assert isinstance(cp.asnumpy(cp.asarray(x)), np.ndarray)
    np.testing.assert_array_equal(cp.asnumpy(cp.asarray(x).T), x.T)
    assert cp.asarray(x)[1, 2].item() == x[1, 2]
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array"):
        np.asarray(cp.asarray(x))


def test_fresh_memory_is_poisoned(cp):
    cp.get_default_memory_pool().free_all_blocks()
    assert cp.isnan(cp.empty(2**20, "float32")).all().item()


# ---------------------------------------------------------------------- kernels of the user's own
TREE_SUM = r"""
extern "C" __global__ void tree_sum(const float* x, float* out) {
  extern __shared__ float part[];
  unsigned t = threadIdx.x;
  part[t] = x[blockIdx.x * blockDim.x + t];
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half; half /= 2) {
    if (t < half) part[t] += part[t + half];
    __syncthreads();
  }
  if (!t) out[blockIdx.x] = part[0];
}
"""

WARP_SUM = r"""
extern "C" {
__global__ void warp_sum(const float* x, float* out) {
  float value = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int delta = 16; delta; delta /= 2) value += __shfl_down_sync(~0u, value, delta);
  if (threadIdx.x % 32 == 0) atomicAdd(out + blockIdx.x, value);
}
}
"""

SCALE = r"""
template <typename T> __global__ void scale(T* x, T factor) { x[threadIdx.x] *= factor; }
"""


@pytest.mark.parametrize(("name", "source"), [("tree_sum", TREE_SUM), ("warp_sum", WARP_SUM)])
@pytest.mark.parametrize("reverse", [False, True])
def test_barriers_shuffles_and_shared_memory(cp, cupusim, rng, name, source, reverse):
    x = rng.integers(-9, 9, (5, 128)).astype("float32")  # sums are exact in any order
    out = cp.zeros(5, "float32")
    with cupusim.order(reverse=reverse):
        cp.RawKernel(source, name)((5,), (128,), (cp.asarray(x), out), shared_mem=4 * 128)
    assert_same(out, x.sum(axis=1))


def test_elementwise_and_reduction_kernels(cp, rng):
    x, y = rng.standard_normal((2, 3, 4)).astype("float32")
    fused = cp.ElementwiseKernel("T x, T y", "T z", "z = x > 0 ? x * y : T(0.2) * y", "leaky")
    assert_same(fused(cp.asarray(x), cp.asarray(y)), np.where(x > 0, x, np.float32(0.2)) * y)
    squares = cp.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "squares")
    assert_same(squares(cp.asarray(x), axis=1), (x * x).sum(axis=1))

    @cp.fuse
    def swish(a):
        return a / (1 + cp.exp(-a))

    assert_same(swish(cp.asarray(x)), x / (1 + np.exp(-x)))


def test_template_kernels(cp):
    instances = ["scale<float>", "scale<double>"]
    module = cp.RawModule(code=SCALE, name_expressions=instances)
    for instance, dtype in zip(instances, FLOATS, strict=True):
        x = cp.arange(4, dtype=dtype)
        module.get_function(instance)((1,), (4,), (x, x.dtype.type(3)))
        assert_same(x, 3 * np.arange(4, dtype=dtype))


def test_wrong_kernels_and_launches_raise(cp, cupusim):
    broken = cp.ElementwiseKernel("T x", "T y", "y = nothing_of_this_name(x)", "broken")
    with pytest.raises(cp.cuda.compiler.CompileException, match="nothing_of_this_name"):
        broken(cp.zeros(3))
    with pytest.raises(cp.cuda.driver.CUDADriverError):  # more threads than a block may have
        cp.RawKernel(TREE_SUM, "tree_sum")((1,), (2048,), (cp.zeros(2048), cp.zeros(1)))


@pytest.mark.parametrize(("reverse", "lanes"), [(True, 1), (False, 7), (True, 32)])
def test_thread_order_does_not_matter(cp, cupusim, rng, reverse, lanes):
    x, i = rng.standard_normal((6, 50)).astype("float32"), rng.integers(0, 6, 40)

    def compute():
        p = cp.asarray(x)
        scattered = cp.zeros((6, 50))
        cp.add.at(scattered, cp.asarray(i), 1.0)
        return [cp.tanh(p), p[:, ::-1].sum(axis=0), p.argmax(axis=1), p @ p.T, scattered]

    with cupusim.order():
        expected = [a.get() for a in compute()]
    with cupusim.order(reverse=reverse, lanes=lanes):
        for got, want in zip(compute(), expected, strict=True):
            assert_same(got, want)


def test_order_reaches_the_threads(cp, cupusim):
    """A kernel whose result does depend on the order, so that the test above can fail."""
    last = cp.ElementwiseKernel("int32 x", "raw int32 out", "out[0] = x", "last_writer")
    x, out = cp.arange(10, dtype="int32"), cp.zeros(1, "int32")
    last(x, out)
    assert out.item() == 9
    with cupusim.order(reverse=True, lanes=10):
        last(x, out)
        assert out.item() == 0
    last(x, out)
    assert out.item() == 9


def test_two_python_threads(cp, rng):
    """CuPy releases the GIL for a launch: launches of two threads must not mix."""
    x = rng.standard_normal((64, 300)).astype("float32")
    sums, failures = x.sum(axis=1), []

    def work():
        try:
            for _ in range(50):
                assert_same(cp.asarray(x).sum(axis=1), sums, rounding=256)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ---------------------------------------------------------------------------------------- counters
def test_counters_count(cp, trace):
    x = np.ones((3, 4), "float32")
    with trace() as t:
        p = cp.asarray(x)
    assert (t.delta["h2d"], t.delta["h2d_bytes"], t.delta["launch"]) == (1, 48, 0)
    with trace() as t:
        y = cp.tanh(p * 2).sum()
    assert t.delta["launch"] == len(t.names) == 3
    assert ["multiply" in t.names[0], "tanh" in t.names[1], "sum" in t.names[2]] == [True] * 3
    assert t.delta["sync"] == t.delta["h2d"] == t.delta["d2h"] == 0
    for leave_the_device in (float, bool, repr, cp.asnumpy, lambda a: a.item()):
        with trace() as t:
            leave_the_device(y)
        assert (t.delta["d2h"], t.delta["d2h_bytes"]) == (1, 4)
        assert t.delta["sync"] >= 1
    for multiply in (lambda: p @ p.T, lambda: cp.matmul(cp.stack([p, p]), p.T)):
        with trace() as t:
            multiply()
        assert (t.delta["gemm"], t.delta["sync"]) == (1, 0)
    with trace() as t:
        cp.cuda.Stream.null.synchronize()
    assert t.delta == {"sync": 1}


def test_hidden_synchronisations_are_seen(cp, trace):
    x = cp.asarray([[1.0, -1.0], [2.0, -2.0]])
    for hidden in (lambda: x[x > 0], lambda: cp.nonzero(x), lambda: bool((x > 0).any())):
        with trace() as t:
            hidden()
        assert t.delta["sync"] >= 1


def test_traces_nest_and_lose_nothing(cp, trace):
    x = cp.zeros(3)
    with trace() as outer:
        x + 1
        with trace() as inner:
            for _ in range(3000):
                x *= 2
        x - 1
    assert (len(inner.names), len(outer.names)) == (3000, 3002)
    assert set(inner.names) == {outer.names[1]}
    with trace() as empty:
        pass
    assert (empty.names, empty.delta) == ([], {})


# ------------------------------------------------------------------------------------ what refuses
REFUSED = {
    "sort": lambda cp: cp.sort(cp.asarray([2.0, 1.0])),
    "argsort": lambda cp: cp.argsort(cp.asarray([2.0, 1.0])),
    "unique": lambda cp: cp.unique(cp.asarray([2.0, 1.0])),
    "median": lambda cp: cp.median(cp.asarray([2.0, 1.0])),
    "shares_memory": lambda cp: cp.shares_memory(cp.zeros((2, 2)), cp.zeros((2, 2)).T),
    "lexsort": lambda cp: cp.lexsort(cp.asarray([[2.0, 1.0]])),
    "permutation": lambda cp: cp.random.permutation(5),
    "default_rng": lambda cp: cp.random.default_rng(0),
    "fft": lambda cp: cp.fft.fft(cp.zeros(4)),
    "svd": lambda cp: cp.linalg.svd(cp.eye(3)),
    "solve": lambda cp: cp.linalg.solve(cp.eye(3), cp.ones(3)),
    "half matmul": lambda cp: cp.ones((2, 2), "float16") @ cp.ones((2, 2), "float16"),
    "complex matmul": lambda cp: cp.ones((2, 2), "complex64") @ cp.ones((2, 2), "complex64"),
    "managed memory": lambda cp: cp.cuda.malloc_managed(16),
    "asynchronous memory": lambda cp: cp.cuda.malloc_async(16),
    "accelerators": lambda cp: cp._core.set_routine_accelerators(["cub"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(cp, cupusim, name):
    with pytest.raises((NotImplementedError, ImportError, RuntimeError)):
        REFUSED[name](cp)
    assert cp.asarray([1.0, 2.0]).sum().item() == 3  # and the device still works


def test_install_refuses_after_cupy_and_order_refuses_nonsense(cupusim):
    script = "import cupy, cupusim\ncupusim.install()"
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "must run before the first `import cupy`" in done.stderr
    for lanes in (0, 1025):
        with pytest.raises(ValueError, match="size of a thread block"):
            cupusim.order(lanes=lanes)
    cupusim.install()  # again: no effect


# ------------------------------------------------------------------------------ conftest's promises
def run_tests_again(**environment: str) -> subprocess.CompletedProcess:
    """One test of this file in a fresh process with these environment variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MINIGRAD_")}
    command = [sys.executable, "-m", "pytest", "-rsfE", "-p", "no:cacheprovider"]
    command.append(f"{Path(__file__)}::test_broadcasting_and_zero_dimensions")
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True)


def test_a_missing_tool_skips_or_fails_as_asked(cupusim):
    skipped = run_tests_again(CXX="no-such-compiler", CUDA_VISIBLE_DEVICES="")
    assert skipped.returncode == pytest.ExitCode.OK
    assert "1 skipped" in skipped.stdout
    assert "cupusim needs no-such-compiler" in skipped.stdout
    for mode in ("required", "cupusim"):
        failed = run_tests_again(
            CXX="no-such-compiler", CUDA_VISIBLE_DEVICES="", MINIGRAD_GPU_TESTS=mode
        )
        assert failed.returncode == pytest.ExitCode.TESTS_FAILED
        assert "cupusim needs no-such-compiler" in failed.stdout
    assert run_tests_again(MINIGRAD_GPU_TESTS="requried").returncode == pytest.ExitCode.USAGE_ERROR


def test_a_wanted_card_that_is_missing_fails(cupusim):
    failed = run_tests_again(MINIGRAD_DEVICE="cuda", CUDA_VISIBLE_DEVICES="")
    assert failed.returncode == pytest.ExitCode.TESTS_FAILED
    assert "CuPy finds no working GPU" in failed.stdout
