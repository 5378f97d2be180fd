"""How many threads work, and memory that is used again.

Only BLAS has threads so far. Cutting optimizer updates into Python threads was tried and did not
pay: on two cores Adam on 660,000 numbers took 1.4 ms with two threads and 1.1 ms with one.

Leaves out: parallel loops over chunks, which come with convolution, where they pay.
"""

from __future__ import annotations

import os
import threading
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from ..backend import Array

__all__ = ["get_threads", "set_threads", "workspace"]

_local = threading.local()
_threads: list[int] = []
_blas_limit: list[Any] = []


def get_threads() -> int:
    """How many threads BLAS may use: all cores unless ``set_threads`` was called.

    The cores are those this process may run on.
    """
    if _threads:
        return _threads[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(n: int) -> None:
    """Limit BLAS to ``n`` threads.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"set_threads: wants at least 1, got {n}")
    _threads[:] = [n]
    _blas_limit[:] = [threadpool_limits(n)]


def workspace(xp: ModuleType, name: str, size: int, dtype: Any) -> Array:
    """An uninitialised flat array of this thread, valid until ``name`` is asked for again."""
    key = (xp.__name__, name, dtype)
    held = _local.__dict__.get(key)
    if held is None or held.size < size:
        held = _local.__dict__[key] = xp.empty(size, dtype=dtype)
    return held[:size]
