"""Loops over chunks in Python threads, how many threads work, and memory that is used again.

NumPy and BLAS release the interpreter's lock, so Python threads that each work on images of their
own use all cores. Inside such a loop BLAS itself has one thread: threads of BLAS inside threads of
ours would wait for each other, and cost many times what they gain when another program uses a core.

Leaves out: threads in optimizer updates, which were measured and do not pay: on two cores Adam on
660,000 numbers took 1.4 ms with two threads and 1.1 ms with one.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits

from ..backend import Array

__all__ = ["get_threads", "parallel_for", "set_threads", "workspace"]

Result = TypeVar("Result")

_local = threading.local()
_threads: list[int] = []
_blas_limit: list[Any] = []


def get_threads() -> int:
    """How many threads work: all cores unless ``set_threads`` was called.

    The cores are those this process may run on.
    """
    if _threads:
        return _threads[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(n: int, *, blas: int | None = None) -> None:
    """Let ``n`` threads work: in the kernels' loops over chunks, and in BLAS outside them.

    ``blas`` is the number for BLAS where it shall differ. Threads of BLAS wait for work by looking
    for it all the time, which takes the cores from the loops: a program that convolves much is
    best served with ``blas=1``.

    Raises
    ------
    ValueError
        If a number is below 1.
    """
    blas = n if blas is None else blas
    if min(n, blas) < 1:
        raise ValueError(f"set_threads: wants at least 1, got {n} and {blas} for BLAS")
    _threads[:] = [n]
    _blas_limit[:] = [threadpool_limits(blas)]


def parallel_for(
    work: Callable[[Iterator[slice]], Result], n: int, step: int, worth: int | None = None
) -> list[Result]:
    """Cut 0..n into chunks of at most ``step`` and share them out, in order, among the threads.

    ``work`` is called once in each thread with the chunks that fall to it, and what it returns
    comes back in the order of the chunks, so that partial sums are always added alike: the chunks
    depend on n, ``step`` and the number of threads alone. What is less than ``worth``, by default a
    quarter of a chunk, is not worth a thread: handing the interpreter's lock over takes longer than
    a short call of NumPy. A loop inside a loop runs in its own thread alone.

    Raises
    ------
    Exception
        What ``work`` raised, after all threads have ended.
    """
    threads = 1 if getattr(_local, "inside", False) else get_threads()
    threads = max(1, min(threads, n // max(1, step // 4 if worth is None else worth)))
    rounds = -(-n // (threads * step))
    step = -(-n // (threads * max(1, rounds)))
    if threads == 1:
        return [work(_chunks(0, n, step))]
    bounds = [min(n, rounds * t * step) for t in range(threads + 1)]

    def part(t: int) -> Result:
        _local.inside = True
        try:
            return work(_chunks(bounds[t], bounds[t + 1], step))
        finally:
            _local.inside = False

    with _one_blas_thread():
        pool = _pool(threads - 1, os.getpid())
        others = [pool.submit(contextvars.copy_context().run, part, t) for t in range(1, threads)]
        try:
            first = part(0)
        finally:
            wait(others)
    return [first, *[other.result() for other in others]]


def _chunks(low: int, high: int, step: int) -> Iterator[slice]:
    for start in range(low, high, step):
        yield slice(start, min(start + step, high))


@functools.cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay, with their workspaces; a forked process has none of its parent's."""
    return ThreadPoolExecutor(workers, thread_name_prefix="minigrad")


@functools.cache
def _blas() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Inside, BLAS has one thread; afterwards what it had."""
    limited = [(library, library.get_num_threads()) for library in _blas()]
    limited = [(library, threads) for library, threads in limited if threads != 1]
    for library, _ in limited:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in limited:
            library.set_num_threads(threads)


def workspace(xp: ModuleType, name: str, size: int, dtype: Any) -> Array:
    """An uninitialised flat array of this thread, valid until ``name`` is asked for again."""
    key = (xp.__name__, name, dtype)
    held = _local.__dict__.get(key)
    if held is None or held.size < size:
        held = _local.__dict__[key] = xp.empty(size, dtype=dtype)
    return held[:size]
