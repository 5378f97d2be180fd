"""Loops over chunks: every index once, results in order, errors and BLAS's threads put back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as ndl
from minigrad.kernels import parallel
from minigrad.kernels.parallel import parallel_for


def chunks_of(n: int, step: int, worth: int | None = None) -> list[list[slice]]:
    return parallel_for(list, n, step, worth)


@given(n=st.integers(1, 200), step=st.integers(1, 60), threads=st.integers(1, 5),
       worth=st.none() | st.integers(1, 50))
def test_every_index_comes_once_in_order_and_in_chunks_of_at_most_step(n, step, threads, worth):
    ndl.set_threads(threads)
    found = chunks_of(n, step, worth)
    assert len(found) <= threads
    flat = [s for part in found for s in part]
    assert [i for s in flat for i in range(s.start, s.stop)] == list(range(n))
    assert all(0 < s.stop - s.start <= step for s in flat)
    assert found == chunks_of(n, step, worth)
    if worth is not None and len(found) > 1:
        assert n >= 2 * worth


def test_the_work_is_shared_evenly():
    ndl.set_threads(2)
    assert [[s.stop - s.start for s in part] for part in chunks_of(64, 25)] == [[16, 16], [16, 16]]
    assert [[s.stop - s.start for s in part] for part in chunks_of(64, 100)] == [[32], [32]]
    assert len(chunks_of(20, 100)) == 1  # less than a quarter of a chunk each
    ndl.set_threads(1)
    assert [[s.stop - s.start for s in part] for part in chunks_of(64, 25)] == [[22, 22, 20]]


def test_threads_work_at_the_same_time():
    ndl.set_threads(3)
    meet = threading.Barrier(3, timeout=20)  # breaks unless three threads are in the loop at once
    names = parallel_for(lambda _: (meet.wait(), threading.current_thread().name)[1], 3, 1)
    assert len(set(names)) == 3 and names[0] == threading.current_thread().name


def test_a_loop_in_a_loop_has_one_thread():
    ndl.set_threads(2)
    inner = parallel_for(lambda _: len(chunks_of(100, 1)), 2, 1)
    assert inner == [1, 1]
    assert len(chunks_of(100, 1)) == 2  # and outside there are two again


@pytest.mark.parametrize("bad", [0, 1])
def test_what_a_thread_raises_comes_out_after_all_have_ended(bad):
    ndl.set_threads(2)
    done = []

    def work(chunks):
        (s,) = chunks
        if s.start == bad:
            raise ArithmeticError(f"chunk {bad}")
        done.append(s.start)

    with pytest.raises(ArithmeticError, match=f"chunk {bad}"):
        parallel_for(work, 2, 1)
    assert done == [1 - bad]
    assert len(chunks_of(2, 1)) == 2


def test_blas_has_one_thread_inside_and_its_own_number_after():
    def blas_threads() -> list[int]:  # of NumPy's BLAS, and of SciPy's where it is loaded too
        return sorted({library.get_num_threads() for library in parallel._blas()})

    ndl.set_threads(2)
    assert blas_threads() == [2]
    assert parallel_for(lambda _: blas_threads(), 2, 1) == [[1], [1]]
    assert blas_threads() == [2]
    with pytest.raises(ArithmeticError):
        parallel_for(lambda _: 1 / 0, 2, 1)
    assert blas_threads() == [2]
    ndl.set_threads(2, blas=1)
    assert blas_threads() == [1] and ndl.get_threads() == 2
    assert parallel_for(lambda _: blas_threads(), 2, 1) == [[1], [1]]
    assert blas_threads() == [1]


@pytest.mark.parametrize("n, blas", [(0, None), (-1, None), (2, 0)])
def test_set_threads_refuses(n, blas):
    with pytest.raises(ValueError, match="at least 1"):
        ndl.set_threads(n, blas=blas)


def test_workspaces_belong_to_their_threads():
    ndl.set_threads(2)

    def work(chunks):
        (s,) = chunks
        room = parallel.workspace(np, "test", 1000, np.dtype("float32"))
        room[:] = s.start
        meet.wait()
        return float(room.min()), float(room.max())

    meet = threading.Barrier(2, timeout=20)
    assert parallel_for(work, 2, 1) == [(0, 0), (1, 1)]


def test_errstate_reaches_the_threads():
    ndl.set_threads(2)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        parallel_for(lambda chunks: [np.ones(2) / (s.start - 1.0) for s in chunks], 2, 1)
