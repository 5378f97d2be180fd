"""Every operation on CuPy arrays: the CPU's numbers to the second order, without waiting for them.

The operations are those of `minigrad.selfcheck.OPS`, which a test there holds complete.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as ndl
from minigrad import autograd, kernels, ops, selfcheck
from minigrad.errors import DeviceError

CPU, CUDA = ndl.cpu(), ndl.cuda()
UPLOADS = {"where", "masked", "getitem by an array", "embedding", "softmax_loss"}  # host arguments


def layout(array: np.ndarray, how: str) -> np.ndarray:
    """Equal values in another memory order."""
    if how == "transposed":
        return np.ascontiguousarray(array.T).T
    if how == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1] if array.ndim else array
    if how == "sliced":
        wide = np.zeros([2 * n for n in array.shape], dtype=array.dtype)
        cut = tuple(slice(None, None, 2) for _ in array.shape)
        wide[cut] = array
        return wide[cut]
    return array


def place(cp, array: np.ndarray, how: str, dtype: str, on_gpu: bool) -> ndl.Tensor:
    """A leaf whose array has the given memory order, on either device."""
    array = layout(array.astype(dtype), how)
    if on_gpu:
        base = array
        while base.base is not None:
            base = base.base
        moved = cp.asarray(base)
        array = cp.ndarray(array.shape, dtype, moved.data + (
            array.__array_interface__["data"][0] - base.__array_interface__["data"][0]),
            strides=array.strides)
    leaf = autograd.constant(array)
    leaf.requires_grad = True
    return leaf


def derivatives(cp, name: str, how: str, dtype: str, on_gpu: bool) -> list:
    """Output, gradients, and gradients of a product of them; arrays on the device."""
    inputs = [place(cp, a, how, dtype, on_gpu) for a in selfcheck._operands(name)]
    y = selfcheck.OPS[name][0](*inputs)
    first = ndl.grad(y, inputs, selfcheck._cotangent(y, 7), create_graph=True)
    total = None
    for g in first:
        part = (g * selfcheck._cotangent(g, 8) * g).sum()
        total = part if total is None else total + part
    second = ndl.grad(total, inputs) if total.requires_grad else []
    return [t.cached_data for t in [y, *first, *second] if t is not None]


@pytest.mark.parametrize("how", ["plain", "transposed", "reversed", "sliced"])
@pytest.mark.parametrize("name", selfcheck.OPS)
def test_equals_the_cpu(cp, name, how):
    got, want = (derivatives(cp, name, how, "float32", side) for side in (True, False))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert isinstance(g, cp.ndarray)
        assert g.dtype == w.dtype == np.float32
        assert g.shape == w.shape
        np.testing.assert_allclose(g.get(), w, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", selfcheck.OPS)
def test_equals_the_cpu_in_float64(cp, name):
    got, want = (derivatives(cp, name, "plain", "float64", side) for side in (True, False))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == np.float64
        np.testing.assert_allclose(g.get(), w, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("mode", ["fast", "reference"])
@pytest.mark.parametrize("name", selfcheck.OPS)
def test_nothing_waits_for_the_device(cp, trace, name, mode):
    """Forward and backward: no synchronisation, no copy to the host, uploads only of arguments."""
    inputs = [ndl.Tensor(a, device=CUDA) for a in selfcheck._operands(name)]

    def run():
        y = selfcheck.OPS[name][0](*inputs)
        y.backward()
        ndl.grad(y.sum(), inputs, create_graph=True)

    if mode == "reference":
        run = ndl.reference_kernels()(run)
    run()  # compiles
    with trace() as t:
        run()
    assert (t.delta["sync"], t.delta["d2h"]) == (0, 0), t.names
    assert t.delta["h2d"] <= (3 if name in UPLOADS else 0)


@pytest.mark.parametrize(
    "name", ["getitem by an array", "embedding", "fold", "max", "softmax_loss"])
def test_the_order_of_threads_does_not_matter(cp, cupusim, name):
    """Scattered additions may meet in one element, in any order."""
    results = []
    for options in ({}, {"reverse": True}, {"lanes": 64}):
        with cupusim.order(**options):
            results.append([a.get() for a in derivatives(cp, name, "plain", "float32", True)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# --------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("which", ["fast", "reference"])
@pytest.mark.parametrize("name", selfcheck.KERNELS)
def test_kernels(cp, name, which, dtype):
    make, written = selfcheck.KERNELS[name]
    results = []
    for device in (CUDA, CPU):
        arguments = selfcheck._on(device, make(), dtype)
        returned = getattr(getattr(kernels, which), name)(*arguments)
        results.append(selfcheck._outputs(returned, arguments, written))
    bound = 2e-5 if dtype == "float32" else 1e-12
    for g, w in zip(*results, strict=True):
        assert isinstance(g, cp.ndarray)
        assert g.dtype == w.dtype == dtype
        np.testing.assert_allclose(g.get(), w, rtol=bound, atol=bound)


@pytest.mark.parametrize("name, most", [("sgd", 7), ("adam", 16), ("rmsprop", 20)])
def test_an_update_is_a_few_launches_whatever_its_size(cp, trace, name, most):
    """On a CPU it goes block by block; here every block would be a launch of its own."""
    make, _ = selfcheck.KERNELS[name]
    arguments = selfcheck._on(CUDA, make(), "float32")
    big = [cp.concatenate([a] * 4) if isinstance(a, cp.ndarray) else a for a in arguments]
    kernel = getattr(kernels.fast, name)
    for some in (arguments, big):
        kernel(*some)
        with trace() as t:
            kernel(*some)
        assert t.delta["launch"] <= most, t.names
        assert t.delta["sync"] == t.delta["d2h"] == t.delta["h2d"] == 0


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("call", [
    lambda a, b: a + b, lambda a, b: b * a, lambda a, b: a - b, lambda a, b: a / b,
    lambda a, b: ops.power(a, b), lambda a, b: a @ b, lambda a, b: ops.maximum(a, b),
    lambda a, b: ops.linear(a, b), lambda a, b: ops.linear(b, a),
    lambda a, b: ops.bce_with_logits(a, b), lambda a, b: ops.stack([a, b]),
    lambda a, b: ops.concat([a, b]), lambda a, b: ops.concat([b, a]),
    lambda a, b: ops.where(ndl.Tensor(np.ones((2, 2), bool)), a, b),
])
def test_two_devices_in_one_operation(cp, call):
    with pytest.raises(DeviceError):
        call(ndl.ones(2, 2, device=CUDA), ndl.ones(2, 2))


def test_a_gradient_on_another_device(cp):
    x = ndl.Tensor([1.0, 2.0], device=CUDA)
    y = x * x
    with pytest.raises(DeviceError):
        y.backward(ndl.ones(2))


def test_integer_indices_are_checked_on_the_host(cp):
    """CuPy itself would wrap them around silently."""
    x = ndl.Tensor(np.arange(4.0), device=CUDA)
    with pytest.raises(IndexError):
        x[np.array([4])]
    with pytest.raises(IndexError):
        ops.embedding([[5]], ndl.ones(5, 2, device=CUDA))
    with pytest.raises(IndexError):
        ops.softmax_loss(ndl.ones(1, 3, device=CUDA), [3])
    with pytest.raises(IndexError):
        ndl.one_hot(3, [3], device=CUDA)


# ------------------------------------------------------------------------------------- transfers


def test_there_and_back(cp):
    array = np.arange(6.0, dtype="float32").reshape(2, 3)
    t = ndl.Tensor(array, device=CUDA)
    assert t.device is CUDA
    assert isinstance(t.cached_data, cp.ndarray)
    np.testing.assert_array_equal(t.numpy(), array)
    assert t[1, 2].item() == 5.0
    assert t.to(CUDA) is t
    back = t.to(CPU)
    assert back.device is CPU
    np.testing.assert_array_equal(back.numpy(), array)
    assert "5." in repr(t)
    copy = ndl.Tensor(t)
    assert copy.device is CUDA
    assert ndl.Tensor(cp.asarray(array)).device is CUDA
    assert ndl.Tensor(cp.arange(3.0)).dtype == np.float32  # float64 arrays take the default
    t.data = ndl.Tensor(np.zeros((2, 3)))  # copies in, from whichever device
    assert t.device is CUDA
    assert not t.numpy().any()


def test_the_default_device_follows_the_variable(cp, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DEVICE", "cuda")
    ndl.backend.default_device.cache_clear()
    try:
        assert ndl.Tensor([1.0]).device is CUDA
        assert ndl.randn(2).device is CUDA
        assert ndl.nn.Linear(2, 2).weight.device is CUDA
        norm = ndl.nn.BatchNorm1d(2, device=CPU)
        norm(ndl.ones(3, 2, device=CPU))
        assert norm.running_mean.device is CPU
    finally:
        monkeypatch.undo()
        ndl.backend.default_device.cache_clear()
    assert ndl.Tensor([1.0]).device is CPU


def test_a_chain_of_views_goes_stale_here_too(cp):
    x = ndl.Tensor(np.ones((2, 3)), device=CUDA)
    y = x.T.reshape((6,))
    view = x[0]
    loss = (view * view).sum()
    x.data = ndl.zeros(2, 3, device=CUDA)
    with pytest.raises(ndl.VersionError):
        loss.backward()
    assert y.numpy().shape == (6,)
