"""Every fast kernel against the simple one, the threads under them, and the switch."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syntax import ROOT

import minigrad as ndl
from minigrad import kernels
from minigrad.kernels import fast, parallel, reference

DTYPES = st.sampled_from(["float32", "float64"])
SEEDS = st.integers(0, 9999)


def tolerance(dtype: str, factor: float = 32) -> dict[str, float]:
    eps = factor * np.finfo(dtype).eps
    return {"rtol": eps, "atol": eps}


def same(got, want, dtype: str, factor: float = 32) -> None:
    if want is None:
        assert got is None
        return
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype == dtype
    np.testing.assert_allclose(got, want, **tolerance(dtype, factor))


@pytest.fixture(autouse=True)
def threads():
    before = parallel._threads[:]
    yield
    parallel.set_threads(before[0] if before else parallel.get_threads())
    parallel._threads[:] = before


# ----------------------------------------------------------------------------- fast == reference


def test_both_modules_offer_the_same():
    assert fast.__all__ == reference.__all__
    for name in reference.__all__:
        one, other = getattr(fast, name), getattr(reference, name)
        assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters)


def layouts(g: np.random.Generator, shape: tuple[int, ...], dtype: str, how: str) -> np.ndarray:
    """Normal values of a shape, in the memory order that is asked for."""
    if how == "transposed":
        return g.standard_normal(shape[::-1]).astype(dtype).T
    if how == "sliced":
        return g.standard_normal([2 * n for n in shape]).astype(dtype)[
            tuple(slice(None, None, 2) for _ in shape)]
    if how == "reversed":
        return g.standard_normal(shape).astype(dtype)[::-1]
    return g.standard_normal(shape).astype(dtype)


LAYOUTS = st.sampled_from(["plain", "transposed", "sliced", "reversed"])


@given(n=st.integers(0, 40), inputs=st.integers(1, 9), outputs=st.integers(1, 9),
       wanted=st.lists(st.booleans(), min_size=2, max_size=3), how=LAYOUTS, dtype=DTYPES,
       seed=SEEDS)
def test_linear_gradient(n, inputs, outputs, wanted, how, dtype, seed):
    g = np.random.default_rng(seed)
    x, w = layouts(g, (n, inputs), dtype, how), layouts(g, (inputs, outputs), dtype, how)
    up = layouts(g, (n, outputs), dtype, how)
    want = (up.astype("float64") @ w.T, x.astype("float64").T @ up,
            up.sum(axis=0, keepdims=True, dtype="float64"))
    for module in (reference, fast):
        got = module.linear_gradient(x, w, up, tuple(wanted))
        assert len(got) == len(wanted)
        for piece, exact, is_wanted in zip(got, want, wanted, strict=False):
            same(piece, exact.astype(dtype) if is_wanted else None, dtype, 200)


@given(n=st.integers(1, 50), k=st.integers(1, 12), scale=st.sampled_from([1.0, 30.0, 1e4]),
       how=LAYOUTS, dtype=DTYPES, seed=SEEDS)
def test_softmax_loss(n, k, scale, how, dtype, seed):
    g = np.random.default_rng(seed)
    logits = layouts(g, (n, k), dtype, how) * np.asarray(scale, dtype)
    labels = g.integers(k, size=n)
    kept = logits.copy()
    exact = logits.astype("float64")
    exact -= exact.max(1, keepdims=True)
    softmax = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
    loss = (np.log(np.exp(exact).sum(1)) - exact[range(n), labels]).mean()
    one_hot, up = np.eye(k)[labels], np.asarray(g.standard_normal(), dtype)
    for module in (reference, fast):
        got, got_softmax = module.softmax_loss(logits, labels)
        same(got, np.asarray(loss, dtype), dtype, 64 * max(1.0, scale / 30))
        same(got_softmax, softmax.astype(dtype), dtype, 64 * max(1.0, scale))
        grad = module.softmax_loss_gradient(softmax.astype(dtype), labels, up)
        same(grad, (up * (softmax - one_hot) / n).astype(dtype), dtype)
    np.testing.assert_array_equal(logits, kept)  # the caller's array is left alone


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
       scale=st.sampled_from([1.0, 30.0, 1000.0]), how=LAYOUTS, dtype=DTYPES, seed=SEEDS)
def test_bce_with_logits(shape, scale, how, dtype, seed):
    g = np.random.default_rng(seed)
    logits = layouts(g, tuple(shape), dtype, how) * np.asarray(scale, dtype)
    targets = g.random(shape).astype(dtype)
    kept = logits.copy()
    a, t = logits.astype("float64"), targets.astype("float64")
    loss = (np.logaddexp(0, a) - t * a).mean()
    up = np.asarray(g.standard_normal(), dtype)
    grad = up * (0.5 * np.tanh(0.5 * a) + 0.5 - t) / a.size
    for module in (reference, fast):
        same(module.bce_with_logits(logits, targets), np.asarray(loss, dtype), dtype, 64 * scale)
        same(module.bce_with_logits_gradient(logits, targets, up), grad.astype(dtype), dtype)
    np.testing.assert_array_equal(logits, kept)


@settings(max_examples=60)
@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=4) | st.sampled_from(
           [[8, 6, 60, 50], [131_073], [300, 700]]),
       slope=st.sampled_from([0, 0.0, 0.2, 1, 1.0]), how=LAYOUTS, other=LAYOUTS, dtype=DTYPES,
       seed=SEEDS)
def test_leaky_relu(shape, slope, how, other, dtype, seed):
    """Small arrays and such as are worked through in blocks, whose orders in memory may differ."""
    g = np.random.default_rng(seed)
    a, up = layouts(g, tuple(shape), dtype, how), layouts(g, tuple(shape), dtype, other)
    a[g.random(shape) < 0.1] = 0  # there the slope of what is below counts
    kept = a.copy(), up.copy()
    slopes = np.where(a > 0, 1.0, slope)
    for module in (reference, fast):
        y = module.leaky_relu(a, slope)
        same(y, (a * slopes).astype(dtype), dtype, 1)
        same(module.leaky_relu_gradient(up, a, slope), (up * slopes).astype(dtype), dtype, 2)
        # the output tells as well where the input was above 0
        same(module.leaky_relu_gradient(up, y, slope), (up * slopes).astype(dtype), dtype, 2)
        assert not np.may_share_memory(y, a)
    for array, before in zip((a, up), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_leaky_relu_keeps_nan_and_leaves_earlier_results_alone():
    g = np.random.default_rng(0)
    a, up = g.standard_normal((2, 400, 500)).astype("float32")
    a[3, 7] = np.nan
    for slope in (0, 0.2):
        y, grad = fast.leaky_relu(a, slope), fast.leaky_relu_gradient(up, a, slope)
        assert np.isnan(y[3, 7]) and np.isnan(y).sum() == 1
        kept = y.copy(), grad.copy()
        fast.leaky_relu(up, slope)
        fast.leaky_relu_gradient(a, up, slope)
        np.testing.assert_array_equal(y, kept[0])
        np.testing.assert_array_equal(grad, kept[1])


def optimizer_arrays(n: int, dtype: str, seed: int) -> dict[str, np.ndarray]:
    g = np.random.default_rng(seed)
    arrays = {name: g.standard_normal(n).astype(dtype) for name in ("p", "g", "u", "m")}
    arrays["v"] = g.random(n).astype(dtype)
    return arrays


UPDATES = {
    "sgd": lambda k, a: k.sgd(a["p"], a["g"], None, 0.1, 0.0, 0.0),
    "sgd decay": lambda k, a: k.sgd(a["p"], a["g"], None, 0.1, 0.0, 0.01),
    "sgd momentum": lambda k, a: k.sgd(a["p"], a["g"], a["u"], 0.1, 0.9, 0.0),
    "sgd both": lambda k, a: k.sgd(a["p"], a["g"], a["u"], 0.1, 0.9, 0.01),
    "adam": lambda k, a: k.adam(a["p"], a["g"], a["m"], a["v"], 3, 0.01, 0.5, 0.999, 1e-8, 0.0),
    "adam decay": lambda k, a: k.adam(a["p"], a["g"], a["m"], a["v"], 1, 0.01, 0.9, 0.99, 1e-8,
                                      0.01),
    "adam beta1 0": lambda k, a: k.adam(a["p"], a["g"], a["m"], a["v"], 1000, 0.01, 0.0, 0.9,
                                        1e-8, 0.0),
    "ema": lambda k, a: k.ema(a["p"], a["g"], 0.9),
    "rmsprop": lambda k, a: k.rmsprop(a["p"], a["g"], a["v"], 0.01, 0.9, 1e-8, 0.0),
    "rmsprop decay": lambda k, a: k.rmsprop(a["p"], a["g"], a["v"], 0.01, 0.9, 1e-8, 0.01),
}
B = fast.BLOCK
SIZES = [1, 2, 7, B - 1, B, B + 1, 3 * B + 17, 8 * B, 13 * B + 3]


def check_update(name: str, n: int, dtype: str, seed: int) -> None:
    quick, simple, exact = (optimizer_arrays(n, dtype, seed) for _ in range(3))
    exact = {k: a.astype("float64") for k, a in exact.items()}
    for module, arrays in ((fast, quick), (reference, simple), (reference, exact)):
        UPDATES[name](module, arrays)
    for key in quick:
        assert quick[key].dtype == simple[key].dtype == dtype
        np.testing.assert_allclose(quick[key], simple[key], **tolerance(dtype))
        np.testing.assert_allclose(quick[key], exact[key], **tolerance(dtype))
    np.testing.assert_array_equal(quick["g"], optimizer_arrays(n, dtype, seed)["g"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", UPDATES)
def test_updates_at_the_edges_of_blocks(name, n, dtype):
    check_update(name, n, dtype, n)


@settings(max_examples=40)
@given(name=st.sampled_from(list(UPDATES)), n=st.integers(0, 5000), dtype=DTYPES, seed=SEEDS)
def test_updates(name, n, dtype, seed):
    check_update(name, n, dtype, seed)


@pytest.mark.parametrize("name", UPDATES)
def test_updates_of_a_part_leave_the_rest(name):
    """The optimizers hand in slices of their buffers."""
    n = B + 100
    whole, part = optimizer_arrays(n, "float32", 0), optimizer_arrays(n, "float32", 0)
    UPDATES[name](fast, whole)
    cut = slice(40, n - 30)
    UPDATES[name](fast, {k: a[cut] for k, a in part.items()})
    start = optimizer_arrays(n, "float32", 0)
    for key in whole:
        np.testing.assert_array_equal(part[key][cut], whole[key][cut])
        np.testing.assert_array_equal(part[key][:40], start[key][:40])
        np.testing.assert_array_equal(part[key][-30:], start[key][-30:])


# --------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("name", UPDATES)
def test_equal_bits_with_one_thread_and_more(name):
    n = 11 * B + 11
    results = []
    for count in (1, 2, 3):
        parallel.set_threads(count)
        arrays = optimizer_arrays(n, "float32", 4)
        for _ in range(3):
            UPDATES[name](fast, arrays)
        results.append(arrays)
    for other in results[1:]:
        for key, array in results[0].items():
            np.testing.assert_array_equal(other[key], array)


def test_threads_are_counted_and_checked():
    assert parallel.get_threads() >= 1
    ndl.set_threads(3)
    assert ndl.get_threads() == 3
    for n in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            ndl.set_threads(n)
    assert ndl.get_threads() == 3


def test_set_threads_limits_blas():
    from threadpoolctl import threadpool_info

    ndl.set_threads(1)
    assert {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"} <= {1}


def test_workspaces():
    a = parallel.workspace(np, "a", 100, "float32")
    a[...] = 1
    b = parallel.workspace(np, "b", 100, "float32")
    wide = parallel.workspace(np, "a", 50, "float64")
    b[...], wide[...] = 2, 3
    assert (a == 1).all()  # another name or dtype is other memory
    again = parallel.workspace(np, "a", 60, "float32")
    assert again.size == 60
    assert np.shares_memory(a, again)
    bigger = parallel.workspace(np, "a", 1000, "float32")
    assert bigger.size == 1000
    found = []
    thread = threading.Thread(
        target=lambda: found.append(parallel.workspace(np, "a", 100, "float32")))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], bigger)


# ------------------------------------------------------------------------------------ the switch


def test_reference_kernels_nest_and_restore():
    assert kernels.active() is fast
    with ndl.reference_kernels():
        assert kernels.active() is reference
        with ndl.reference_kernels():
            assert kernels.active() is reference
        assert kernels.active() is reference
        with pytest.raises(KeyError), ndl.reference_kernels():
            raise KeyError
        assert kernels.active() is reference
    assert kernels.active() is fast

    @ndl.reference_kernels()
    def inside():
        return kernels.active()

    assert inside() is reference
    assert kernels.active() is fast


@pytest.mark.parametrize("value, answer", [
    ("", "ValueError"), ("fast", "fast"), ("reference", "reference"), ("quick", "ValueError"),
    (None, "fast")])
def test_the_variable(value, answer):
    environment = {k: v for k, v in os.environ.items() if k != "MINIGRAD_KERNELS"}
    if value is not None:
        environment["MINIGRAD_KERNELS"] = value
    code = "from minigrad import kernels; print(kernels.active().__name__.split('.')[-1])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                           env=environment, check=False)
    if answer == "ValueError":
        assert f"MINIGRAD_KERNELS must be 'fast' or 'reference', got {value!r}" in child.stderr
    else:
        assert child.stdout == f"{answer}\n"


def test_the_whole_library_follows(monkeypatch):
    """Inside, a training step calls the reference kernels and no fast one; outside the reverse."""
    used = []
    for module in (fast, reference):
        for name in module.__all__:
            kernel = getattr(module, name)

            def spy(*args, kernel=kernel, which=module.__name__, **options):
                used.append(which)
                return kernel(*args, **options)

            monkeypatch.setattr(module, name, spy)
    net = ndl.nn.Linear(2, 3)
    opts = [ndl.optim.Adam(net.parameters()), ndl.optim.SGD(net.parameters()),
            ndl.optim.RMSprop(net.parameters())]

    def step():
        used.clear()
        x = ndl.Tensor([[1.0, 2.0]])
        for opt in opts:
            opt.minimize(ndl.softmax_loss(net(x), [1]) + ndl.bce_with_logits(net(x), 1.0))
        return set(used), len(used)

    outside = step()
    with ndl.reference_kernels():
        inside = step()
    assert outside == ({"minigrad.kernels.fast"}, inside[1])
    assert inside[0] == {"minigrad.kernels.reference"}
    assert inside[1] >= 3 * 6
