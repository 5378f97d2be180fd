"""The pool of earlier fakes: what it shows, what it stores, its state, and where it lies."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

import minigrad as ndl
from gans import replay
from gans.replay import ReplayPool
from minigrad import Tensor


def batch(values):
    return Tensor(np.asarray(values, dtype="float32")[:, None], requires_grad=False)


def test_the_pool_shows_new_samples_until_it_is_full_and_then_swaps():
    pool = ReplayPool(4, share=1.0)
    assert pool(batch([0, 1, 2])).numpy()[:, 0].tolist() == [0, 1, 2]
    shown = pool(batch([3, 4, 5])).numpy()[:, 0]
    assert shown[0] == 3  # the last free place
    assert set(shown[1:]) <= {0, 1, 2, 3, 4} and shown[1] in {0, 1, 2, 3}
    assert 5 in pool.stored and pool.filled == 4


def test_no_sample_is_lost_or_made_up():
    """What was put in is what was shown and what is stored, each as often."""
    pool, given, shown = ReplayPool(10, share=0.5), [], []
    for i in range(30):
        values = np.arange(7 * i, 7 * i + 7, dtype="float32")
        given += values.tolist()
        shown += pool(batch(values)).numpy()[:, 0].tolist()
    late = shown[10:]  # the first ten are shown and stored
    assert sorted(late + pool.stored[:, 0].tolist()) == sorted(given)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_older_samples(share):
    pool, old, seen = ReplayPool(50, share), 0, 0
    for i in range(200):
        shown = pool(batch(np.full(20, i))).numpy()
        if i > 10:
            # one drawn in the same batch can be swapped back: 20 of 50 places at most
            old, seen = old + int((shown != i).sum()), seen + 20
    assert old / seen <= share + 0.02
    assert old / seen >= 0.75 * share


def test_a_batch_of_one_a_batch_larger_than_the_pool_and_images():
    pool = ReplayPool(1, share=1.0)
    assert pool(batch([1])).numpy()[0, 0] == 1
    assert pool(batch([2])).numpy()[0, 0] == 1
    assert ReplayPool(2)(batch(range(9))).shape == (9, 1)
    images = Tensor(np.zeros((2, 3, 4, 4), dtype="float32"))
    shown = ReplayPool(1)(images)
    assert shown.shape == images.shape and not shown.requires_grad


def test_what_the_pool_shows_and_stores_is_not_the_caller_s_array():
    pool, fake = ReplayPool(3), batch([1, 2, 3])
    shown = pool(fake)
    fake.cached_data[...] = 9
    assert 9 not in shown.numpy() and 9 not in pool.stored


@pytest.mark.parametrize("options", [dict(capacity=0), dict(capacity=2.5), dict(capacity=True),
                                     dict(capacity=3, share=1.1), dict(capacity=3, share=-0.1),
                                     dict(capacity=3, share=math.nan)])
def test_the_pool_refuses(options):
    with pytest.raises(ValueError, match="ReplayPool"):
        ReplayPool(**options)


def test_the_pool_refuses_samples_and_states_that_do_not_fit():
    pool = ReplayPool(3)
    pool(batch([1]))
    with pytest.raises(ValueError, match=r"shape \(1,\), got \(2,\)"):
        pool(Tensor(np.zeros((1, 2), dtype="float32")))
    with pytest.raises(ValueError, match="do not fit"):
        pool.load_state_dict({"stored": np.zeros((4, 1), dtype="float32")})
    with pytest.raises(KeyError, match="stored"):
        pool.load_state_dict({"kept": np.zeros((1, 1), dtype="float32")})


# ------------------------------------------------------------------------------------------ state


@pytest.mark.parametrize("before", [0, 3, 7, 40])
def test_a_pool_goes_on_from_its_state(before):
    """Before the first batch, half full, nearly full (a batch goes over the edge), and full."""
    def given(i):
        return batch(np.arange(4 * i, 4 * i + 4))

    one = ReplayPool(30)
    for i in range(before):
        one(given(i))
    state, noise = one.state_dict(), ndl.random.get_state()
    kept = {key: array.copy() for key, array in state.items()}
    after = [one(given(i)).numpy() for i in range(before, before + 20)]
    assert all(np.array_equal(state[key], kept[key]) for key in kept)  # a copy, not the pool
    two = ReplayPool(30)
    two(given(99))  # what it held before is forgotten
    two.load_state_dict(state)
    ndl.random.set_state(noise)
    again = [two(given(i)).numpy() for i in range(before, before + 20)]
    assert all(np.array_equal(a, b) for a, b in zip(after, again, strict=True))
    assert np.array_equal(one.stored, two.stored) and one.filled == two.filled


def test_a_state_holds_what_is_in_use_and_a_loaded_one_is_no_view():
    pool = ReplayPool(5)
    assert pool.state_dict() == {}
    pool(batch([1, 2]))
    state = pool.state_dict()
    assert state["stored"][:, 0].tolist() == [1, 2]
    other = ReplayPool(5)
    other.load_state_dict(state)
    other(batch([3, 4, 5]))
    assert state["stored"][:, 0].tolist() == [1, 2]
    assert other.state_dict()["stored"][:, 0].tolist() == [1, 2, 3, 4, 5]


def test_two_pools_draw_one_after_the_other_from_one_generator():
    """CycleGAN has two: what one draws moves what the other one draws, and resume keeps both."""
    def shown(first):
        ndl.manual_seed(0)
        one, two = ReplayPool(4), ReplayPool(4)
        for i in range(30):
            if first:
                one(batch(range(i, i + 4)))
            last = two(batch(range(i, i + 4))).numpy()[:, 0].tolist()
        return last

    assert shown(True) != shown(False)


# ------------------------------------------------------------------------------------------ device


class OnDevice(np.ndarray):
    """Stands for an array on a device: one on the host does not mix with it."""

    def __setitem__(self, index, value):
        if isinstance(value, np.ndarray) and value.ndim and not isinstance(value, OnDevice):
            raise TypeError("an array on the host was written into one on the device")
        super().__setitem__(index, value)


def on_device(x):
    return np.asarray(x).view(OnDevice)


def test_a_state_from_the_host_goes_to_where_the_fakes_are(monkeypatch):
    """Checkpoints are on the host; the first batch after a resume takes the pool to the device."""
    taken = []

    def asarray(x):
        taken.append(type(x))
        return x if isinstance(x, OnDevice) else on_device(x.copy())

    device = types.SimpleNamespace(
        asarray=asarray, zeros=lambda shape, dtype: on_device(np.zeros(shape, dtype)))
    monkeypatch.setattr(replay, "array_module", lambda x: device)
    pool = ReplayPool(3, share=1.0)
    pool.load_state_dict({"stored": np.array([[1], [2]], dtype="float32")})
    assert type(pool.stored) is np.ndarray
    fake = types.SimpleNamespace(cached_data=on_device(np.array([[3], [4]], dtype="float32")))
    monkeypatch.setattr(replay, "constant", lambda x: x)
    shown = pool(fake)
    assert taken == [np.ndarray] and isinstance(pool.stored, OnDevice)
    assert isinstance(shown, OnDevice) and shown[0, 0] == 3 and shown[1, 0] in (1, 2, 3)
    pool(fake)
    assert taken == [np.ndarray, OnDevice]  # and stays there
    monkeypatch.setattr(replay, "to_numpy", lambda x: np.asarray(x).view(np.ndarray))
    assert type(pool.state_dict()["stored"]) is np.ndarray
