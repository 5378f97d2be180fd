"""Tensors of random and constant numbers, and the usual initialisations of weights.

All random numbers come from ``minigrad.random``: on the host, from one generator, in the order of
the calls. ``device``, ``dtype`` and ``requires_grad`` mean the same everywhere: the default device,
the default dtype and no gradient, unless said otherwise.

Leaves out: orthogonal and truncated initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import random
from .autograd import Tensor, default_dtype
from .autograd import constant as leaf
from .backend import Device, default_device, to_device
from .errors import ShapeError

__all__ = [
    "constant",
    "kaiming_normal",
    "kaiming_uniform",
    "one_hot",
    "ones",
    "ones_like",
    "rand",
    "randb",
    "randn",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
    "zeros_like",
]


def rand(
    *shape: int, low: float = 0.0, high: float = 1.0, device: Device | None = None,
    dtype: Any = None, requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [low, high)."""
    array = random.generator().random(shape, dtype=dtype or default_dtype())
    return _tensor(array * (high - low) + low, device, requires_grad)


def randn(
    *shape: int, mean: float = 0.0, std: float = 1.0, device: Device | None = None,
    dtype: Any = None, requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of the given mean and standard deviation."""
    array = random.generator().standard_normal(shape, dtype=dtype or default_dtype())
    return _tensor(array * std + mean, device, requires_grad)


def randb(
    *shape: int, p: float = 0.5, device: Device | None = None, dtype: Any = "bool",
    requires_grad: bool = False,
) -> Tensor:
    """True with probability p, independently for each element."""
    array = random.generator().random(shape, dtype="float32") <= p
    return _tensor(array.astype(dtype), device, requires_grad)


def constant(
    *shape: int, c: float = 1.0, device: Device | None = None, dtype: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor filled with ``c``."""
    device = device or default_device()
    return _tensor(device.full(shape, c, dtype=dtype or default_dtype()), device, requires_grad)


def ones(
    *shape: int, device: Device | None = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones."""
    return constant(*shape, c=1.0, device=device, dtype=dtype, requires_grad=requires_grad)


def zeros(
    *shape: int, device: Device | None = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros."""
    return constant(*shape, c=0.0, device=device, dtype=dtype, requires_grad=requires_grad)


def ones_like(
    array: Tensor, *, device: Device | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones of another tensor's shape, dtype and device."""
    return constant(*array.shape, c=1.0, device=device or array.device, dtype=array.dtype,
                    requires_grad=requires_grad)


def zeros_like(
    array: Tensor, *, device: Device | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of another tensor's shape, dtype and device."""
    return constant(*array.shape, c=0.0, device=device or array.device, dtype=array.dtype,
                    requires_grad=requires_grad)


def one_hot(
    n: int, i: Any, device: Device | None = None, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """Rows of the n by n identity at the integer indices ``i`` (Tensor, array or list).

    Raises
    ------
    IndexError
        If an index is not in 0..n-1.
    """
    index = i.numpy() if isinstance(i, Tensor) else i
    device = device or default_device()
    return _tensor(device.one_hot(n, index, dtype=dtype or default_dtype()), device, requires_grad)


def xavier_uniform(fan_in: int, fan_out: int, gain: float = 1.0, **options: Any) -> Tensor:
    """Uniform in +-gain sqrt(6 / (fan_in + fan_out)), shape (fan_in, fan_out).

    Source: Glorot and Bengio 2010. ``options`` may hold ``shape`` and those of ``rand``.
    """
    bound = gain * math.sqrt(6 / _positive("xavier_uniform", fan_in + fan_out))
    return _weights(rand, fan_in, fan_out, options, low=-bound, high=bound)


def xavier_normal(fan_in: int, fan_out: int, gain: float = 1.0, **options: Any) -> Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    std = gain * math.sqrt(2 / _positive("xavier_normal", fan_in + fan_out))
    return _weights(randn, fan_in, fan_out, options, std=std)


def kaiming_uniform(
    fan_in: int, fan_out: int, nonlinearity: str = "relu", **options: Any
) -> Tensor:
    """Uniform in +-sqrt(6 / fan_in), shape (fan_in, fan_out), for layers before a ReLU.

    Source: He et al. 2015. ``options`` may hold ``shape`` and those of ``rand``.

    Raises
    ------
    ValueError
        If ``nonlinearity`` is not ``"relu"``, the one that the course knows.
    """
    bound = _relu_gain(nonlinearity) * math.sqrt(3 / _positive("kaiming_uniform", fan_in))
    return _weights(rand, fan_in, fan_out, options, low=-bound, high=bound)


def kaiming_normal(
    fan_in: int, fan_out: int, nonlinearity: str = "relu", **options: Any
) -> Tensor:
    """Normal of standard deviation sqrt(2 / fan_in), for layers before a ReLU (He et al. 2015)."""
    std = _relu_gain(nonlinearity) / math.sqrt(_positive("kaiming_normal", fan_in))
    return _weights(randn, fan_in, fan_out, options, std=std)


def _weights(
    make: Any, fan_in: int, fan_out: int, options: dict[str, Any], **range_: Any
) -> Tensor:
    shape: Sequence[int] | None = options.pop("shape", None)
    return make(*((fan_in, fan_out) if shape is None else shape), **range_, **options)


def _relu_gain(nonlinearity: str) -> float:
    if nonlinearity != "relu":
        raise ValueError(f"kaiming: only nonlinearity='relu' is known, got {nonlinearity!r}")
    return math.sqrt(2)


def _positive(name: str, fan: int) -> int:
    if fan < 1:
        raise ShapeError(f"{name}: the fan must be at least 1, got {fan}")
    return fan


def _tensor(array: Any, device: Device | None, requires_grad: bool) -> Tensor:
    out = leaf(to_device(array, device or default_device()))
    out.requires_grad = requires_grad and array.dtype.kind == "f"
    return out
