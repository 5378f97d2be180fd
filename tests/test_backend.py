"""Devices, transfers, and what is said where there is no GPU (no GPU is needed to run this)."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import numpy as np
import pytest
from syntax import ROOT

import minigrad as ndl
from minigrad import backend
from minigrad.errors import DeviceError, DTypeError


@pytest.fixture
def no_cupy(monkeypatch):
    """As on a machine without CuPy, whatever is installed here."""
    monkeypatch.setitem(sys.modules, "cupy", None)


class CUDARuntimeError(Exception):
    pass


def fake_cupy(count) -> types.ModuleType:
    """A module cupy whose driver answers with ``count()``."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "99.0"
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    cupy.cuda = types.SimpleNamespace(runtime=runtime)
    return cupy


# -------------------------------------------------------------------------------- without a GPU


@pytest.mark.parametrize("use", [
    lambda: ndl.cuda().module,
    lambda: ndl.Tensor([1.0], device=ndl.cuda()),
    lambda: ndl.Tensor([1.0]).to(ndl.cuda()),
    lambda: ndl.ones(2, device=ndl.cuda()),
    lambda: ndl.nn.Linear(2, 2, device=ndl.cuda()),
])
def test_without_cupy_the_error_names_the_fix(no_cupy, use):
    with pytest.raises(DeviceError, match=r'CuPy is not installed.*pip install "minigrad\[cupy\]"'):
        use()


def test_asking_is_no_error(no_cupy):
    assert ndl.cuda().enabled() is False
    assert ndl.cpu().enabled() is True
    assert [d.name for d in ndl.all_devices()] == ["cpu", "cuda"]


def test_without_a_driver(monkeypatch):
    def broken():
        raise CUDARuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(broken))
    with pytest.raises(DeviceError, match=r"99\.0.*InsufficientDriver.*nvidia-smi"):
        ndl.Tensor([1.0], device=ndl.cuda())
    assert not ndl.cuda().enabled()


def test_without_a_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(lambda: 0))
    with pytest.raises(DeviceError, match="finds no CUDA device"):
        ndl.Tensor([1.0], device=ndl.cuda())


def run_with(value: str | None, code: str) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "MINIGRAD_DEVICE"}
    if value is not None:
        environment["MINIGRAD_DEVICE"] = value
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env=environment, check=False)


def test_the_variable():
    code = "import minigrad as ndl; print(ndl.default_device(), ndl.Tensor([1]).device)"
    for value in (None, "cpu"):
        assert run_with(value, code).stdout == "minigrad.cpu() minigrad.cpu()\n"
    for value in ("gpu", "cuda:0", "", "CUDA"):
        child = run_with(value, code)
        assert child.returncode == 1
        assert f"MINIGRAD_DEVICE must be 'cpu' or 'cuda', got {value!r}" in child.stderr


def test_the_variable_never_falls_back():
    """MINIGRAD_DEVICE=cuda without CuPy: an error at the first tensor, not a silent CPU."""
    code = """if True:
        import sys
        sys.modules["cupy"] = None
        import minigrad as ndl
        assert ndl.default_device() is ndl.cuda()
        cpu = ndl.Tensor([1.0], device=ndl.cpu())
        print(cpu.device)
        ndl.Tensor([1.0])"""
    child = run_with("cuda", code)
    assert child.stdout == "minigrad.cpu()\n"
    assert "CuPy is not installed" in child.stderr


def test_running_statistics_stay_on_their_module(no_cupy):
    """With another default device a module on the CPU keeps working on the CPU."""
    code = """if True:
        import sys
        sys.modules["cupy"] = None
        import minigrad as ndl
        from minigrad import nn
        bn = nn.BatchNorm1d(2, device=ndl.cpu())
        bn(ndl.Tensor([[1.0, 2.0], [3.0, 5.0]], device=ndl.cpu()))
        print(bn.running_mean.numpy().tolist())"""
    child = run_with("cuda", code)
    assert child.stderr == ""
    assert child.stdout.startswith("[0.2")


# ----------------------------------------------------------------------------------- everywhere


def test_array_module():
    for x in (np.ones(2), np.float32(1), np.ones(2)[:1], np.ma.ones(2)):
        assert backend.array_module(x) is np
        assert backend.is_array(x)
        assert backend.device_of(x) is ndl.cpu()
    for x in (1.0, [1.0], None, ndl.Tensor([1.0])):
        assert not backend.is_array(x)
        with pytest.raises(DTypeError, match=f"got {type(x).__name__}"):
            backend.array_module(x)


def test_devices_are_single_objects():
    assert ndl.cpu() is ndl.cpu()
    assert ndl.cuda() is ndl.cuda()
    assert ndl.cpu() != ndl.cuda()
    assert repr(ndl.cpu()) == "minigrad.cpu()"
    assert {ndl.cpu(): 1}[ndl.cpu()] == 1


def test_to_device_copies_only_where_it_must():
    x = np.ones(3, dtype="float32")
    assert backend.to_device(x, ndl.cpu()) is x
    assert backend.to_device(x, ndl.cpu(), "float32") is x
    assert backend.to_device(x, ndl.cpu(), "float64").dtype == np.float64
    t = ndl.Tensor(x)
    assert t.to(ndl.cpu()) is t
    host = backend.to_numpy(x)
    assert host is x


def test_device_arrays():
    values = np.arange(4)
    made = ndl.cpu().array(values, dtype="float32")
    values[0] = 9
    np.testing.assert_array_equal(made, [0, 1, 2, 3])
    assert made.dtype == np.float32
    assert ndl.cpu().array([[1, 2]]).shape == (1, 2)
    np.testing.assert_array_equal(ndl.cpu().one_hot(3, [[2], [0]]), [[[0, 0, 1]], [[1, 0, 0]]])
    with pytest.raises(IndexError, match=r"one_hot: indices must lie in 0\.\.2, got 0 to 3"):
        ndl.cpu().one_hot(3, [0, 3])
    with pytest.raises(IndexError):
        ndl.cpu().one_hot(3, [-1])


def test_shares_storage():
    x = np.zeros((4, 3))
    for view in (x, x[1:], x.T, x.reshape(-1), x[1:][:, 0], np.broadcast_to(x, (2, 4, 3))):
        assert backend.shares_storage(view, x)
    part = x[2:]
    assert backend.shares_storage(part.T, part)
    for other in (x.copy(), np.zeros(3), x + 0, x[[0, 1]]):
        assert not backend.shares_storage(other, x)


def test_importing_loads_no_cupy():
    child = run_with(None, "import sys, minigrad; print('cupy' in sys.modules)")
    assert child.stdout == "False\n"
