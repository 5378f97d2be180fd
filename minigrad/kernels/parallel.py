"""Work shared among Python threads, and memory that is used again.

NumPy releases the interpreter lock inside its loops, so chunks of one array can be updated by
several Python threads. How the work is cut depends on its size alone, never on the number of
threads, so that results are equal bit for bit with one thread and with many.

Leaves out: BLAS's own threads (``set_threads`` only limits them) and nested parallel loops.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy
from threadpoolctl import threadpool_limits

from ..backend import Array

__all__ = ["get_threads", "parallel_for", "set_threads", "workspace"]

PARALLEL_FROM = 1 << 18  # elements; below this a hand-over costs more than it saves

_local = threading.local()
_pool: list[ThreadPoolExecutor] = []
_threads: list[int] = []
_blas_limit: list[Any] = []


def get_threads() -> int:
    """How many threads the kernels and BLAS may use: all cores unless ``set_threads`` was called.

    The cores are those this process may run on.
    """
    if _threads:
        return _threads[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(n: int) -> None:
    """Limit the kernels and BLAS to ``n`` threads.

    Raises
    ------
    ValueError
        If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"set_threads: wants at least 1, got {n}")
    _threads[:] = [n]
    for pool in _pool:
        pool.shutdown()
    _pool.clear()
    _blas_limit[:] = [threadpool_limits(n)]


def parallel_for(
    xp: ModuleType, n: int, body: Callable[[int, int], None], step: int
) -> None:
    """Call ``body(start, stop)`` so that the ranges cover 0..n, cut at multiples of ``step``.

    The ranges are disjoint and ``body`` must write only what belongs to its range. Small work, and
    arrays on a GPU, take a single call.
    """
    threads = get_threads()
    if xp is not numpy or n < PARALLEL_FROM or threads == 1:
        body(0, n)
        return
    if not _pool:
        _pool.append(ThreadPoolExecutor(threads - 1, "minigrad"))
    share = -(-n // (threads * step)) * step
    bounds = [(low, min(low + share, n)) for low in range(0, n, share)]
    waiting = [_pool[0].submit(body, low, high) for low, high in bounds[1:]]
    body(*bounds[0])
    for future in waiting:
        future.result()


def workspace(xp: ModuleType, name: str, size: int, dtype: Any) -> Array:
    """An uninitialised flat array of this thread, valid until ``name`` is asked for again."""
    key = (xp.__name__, name, dtype)
    held = _local.__dict__.get(key)
    if held is None or held.size < size:
        held = _local.__dict__[key] = xp.empty(size, dtype=dtype)
    return held[:size]
