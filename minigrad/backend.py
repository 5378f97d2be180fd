"""The only file that knows which array library there is: devices, ``array_module`` and transfers.

Arrays decide which library runs: a kernel asks ``array_module(x)`` and never names NumPy. A CPU
device holds NumPy arrays, a CUDA device CuPy arrays, and both may live in one process, so that the
two can be compared. CuPy is imported when a CUDA device is first used, never before; a missing or
broken GPU is an error that names the fix, never a silent fall back to the CPU.

Leaves out: several GPUs, streams, pinned memory and other array libraries.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy

from . import random
from .errors import DeviceError, DTypeError

__all__ = [
    "Array",
    "Device",
    "all_devices",
    "array_module",
    "broadcast_shapes",
    "cpu",
    "cuda",
    "default_device",
    "device_of",
    "is_array",
    "mask_positions",
    "number_from",
    "shares_storage",
    "to_device",
    "to_numpy",
]

Array = Any  # a numpy.ndarray or a cupy.ndarray


def _cupy() -> ModuleType:
    """Import CuPy on first use and make sure that a device answers.

    Raises
    ------
    DeviceError
        If CuPy is not installed or finds no working CUDA device.
    """
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "cuda(): CuPy is not installed or does not load; install the build for your CUDA "
            f'version, for example: pip install "minigrad[cupy]" ({error})'
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"cuda(): CuPy {cupy.__version__} is installed but no CUDA device answers ({error}); "
            "check the driver with nvidia-smi"
        ) from error
    if count == 0:
        raise DeviceError("cuda(): CuPy finds no CUDA device; check the driver with nvidia-smi")
    return cupy


class Device:
    """A place where arrays live: ``cpu()`` or ``cuda()``; one object each, compared by identity.

    The array makers (``zeros``, ``rand`` ...) are those of the course's devices and return raw
    arrays, not Tensors.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"minigrad.{self.name}()"

    @property
    def module(self) -> ModuleType:
        """The array library of this device: ``numpy`` or ``cupy``."""
        return numpy if self.name == "cpu" else _cupy()

    def enabled(self) -> bool:
        """Whether this device can be used here."""
        try:
            return self.module is not None
        except DeviceError:
            return False

    def array(self, values: Any, dtype: Any = None) -> Array:
        """Copy ``values`` to this device."""
        return to_device(numpy.array(values, dtype=dtype), self)

    def full(self, shape: Sequence[int], fill_value: float, dtype: Any = "float32") -> Array:
        """An array of ``shape`` filled with one value."""
        return self.module.full(shape, fill_value, dtype=dtype)

    def empty(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        """An array of ``shape`` with unset values."""
        return self.module.empty(shape, dtype=dtype)

    def zeros(self, *shape: int, dtype: Any = "float32") -> Array:
        """Zeros; the shape is given as separate integers, as in the course."""
        return self.module.zeros(shape, dtype=dtype)

    def ones(self, *shape: int, dtype: Any = "float32") -> Array:
        """Ones; the shape is given as separate integers, as in the course."""
        return self.module.ones(shape, dtype=dtype)

    def rand(self, *shape: int, dtype: Any = "float32") -> Array:
        """Uniform numbers in [0, 1), from the engine's generator."""
        return to_device(random.generator().random(shape, dtype=dtype), self)

    def randn(self, *shape: int, dtype: Any = "float32") -> Array:
        """Standard normal numbers, from the engine's generator."""
        return to_device(random.generator().standard_normal(shape, dtype=dtype), self)

    def one_hot(self, n: int, i: Any, dtype: Any = "float32") -> Array:
        """Rows of the ``n`` by ``n`` identity at the integer indices ``i`` (any shape)."""
        index = to_numpy(i).astype("int64")
        if index.size and (index.min() < 0 or index.max() >= n):
            raise IndexError(f"one_hot: indices must lie in 0..{n - 1}, got {index.min()} to "
                             f"{index.max()}")
        return to_device(numpy.eye(n, dtype=dtype)[index], self)


_CPU = Device("cpu")
_CUDA = Device("cuda")
_DEVICES = {"cpu": _CPU, "cuda": _CUDA}


def cpu() -> Device:
    """The CPU device, whose arrays are NumPy's."""
    return _CPU


def cuda() -> Device:
    """The CUDA device, whose arrays are CuPy's; ask ``.enabled()`` whether it can be used."""
    return _CUDA


def all_devices() -> list[Device]:
    """Every device that minigrad knows, enabled here or not."""
    return [_CPU, _CUDA]


@functools.cache
def default_device() -> Device:
    """The device of new Tensors: the CPU, or what the variable ``MINIGRAD_DEVICE`` names.

    The variable is read once, at the first call.

    Raises
    ------
    DeviceError
        If ``MINIGRAD_DEVICE`` is neither ``cpu`` nor ``cuda``.
    """
    name = os.environ.get("MINIGRAD_DEVICE", "cpu")
    if name not in _DEVICES:
        raise DeviceError(f"MINIGRAD_DEVICE must be 'cpu' or 'cuda', got {name!r}")
    return _DEVICES[name]


def _is_cupy(x: Any) -> bool:
    """Whether ``x`` is CuPy's, told by its type's name: CuPy need not be there."""
    return type(x).__module__.partition(".")[0] == "cupy"


def array_module(x: Array) -> ModuleType:
    """The library of an array: ``numpy`` for NumPy arrays and scalars, ``cupy`` for CuPy arrays.

    Raises
    ------
    DTypeError
        If ``x`` is not an array.
    """
    if type(x) is numpy.ndarray or isinstance(x, (numpy.ndarray, numpy.generic)):
        return numpy
    if _is_cupy(x):
        return sys.modules["cupy"]
    raise DTypeError(f"array_module: want a NumPy or CuPy array, got {type(x).__name__}")


def is_array(x: Any) -> bool:
    """Whether ``x`` is a NumPy or CuPy array (a NumPy scalar counts)."""
    return isinstance(x, (numpy.ndarray, numpy.generic)) or (_is_cupy(x) and hasattr(x, "dtype"))


def device_of(x: Array) -> Device:
    """The device on which an array lives."""
    return _CPU if array_module(x) is numpy else _CUDA


def to_device(x: Array, device: Device, dtype: Any = None) -> Array:
    """``x`` on ``device`` with ``dtype``: a new array, or ``x`` itself where nothing changes."""
    if array_module(x) is not device.module:
        x = device.module.asarray(x) if device is _CUDA else to_numpy(x)
    if dtype is not None and x.dtype != dtype:
        x = x.astype(dtype)
    return x


def to_numpy(x: Any) -> numpy.ndarray:
    """``x`` as a NumPy array on the host: the one way from a device back to the CPU."""
    if type(x) is numpy.ndarray:
        return x
    return x.get() if _is_cupy(x) else numpy.asarray(x)


def shares_storage(view: Array, array: Array) -> bool:
    """Whether ``view``, made from ``array`` by indexing or reshaping, looks into its memory."""
    base = view.base
    return view is array or (base is not None and (base is array or base is array.base))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape to which ``shapes`` broadcast together (ValueError if they do not)."""
    return numpy.broadcast_shapes(*shapes)


def number_from(value: Any, sizes_of_one: bool = False) -> Any:
    """A NumPy scalar or 0-d NumPy array as a Python number; anything else as it came.

    With ``sizes_of_one`` this holds for every NumPy array of one element.
    """
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, numpy.ndarray) and (not value.shape or (sizes_of_one and value.size == 1)):
        return value.item()
    return value


def mask_positions(mask: numpy.ndarray) -> tuple[numpy.ndarray, ...]:
    """The index arrays of the elements where a mask on the host holds."""
    return mask.nonzero()
