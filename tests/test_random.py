"""The one generator: who draws through it, its state, and what may stand in for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minigrad as ndl
from minigrad import data, nn, random


@pytest.fixture(autouse=True)
def put_back():
    before = random.generator()
    yield
    random.set_generator(before)


class Counting:
    """A generator that counts; it has the four methods and nothing else."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._inner = np.random.default_rng(0)

    def random(self, size=None, dtype="float64"):
        self.calls.append("random")
        return self._inner.random(size, dtype)

    def standard_normal(self, size=None, dtype="float64"):
        self.calls.append("standard_normal")
        return self._inner.standard_normal(size, dtype)

    def integers(self, *args, **options):
        self.calls.append("integers")
        return self._inner.integers(*args, **options)

    def permutation(self, x):
        self.calls.append("permutation")
        return self._inner.permutation(x)


DRAWS = {
    "rand": (lambda: ndl.rand(2, 3), ["random"]),
    "randn": (lambda: ndl.randn(2, 3), ["standard_normal"]),
    "randb": (lambda: ndl.init.randb(2, 3), ["random"]),
    "Linear": (lambda: nn.Linear(2, 3), ["random", "random"]),
    "Embedding": (lambda: nn.Embedding(2, 3), ["standard_normal"]),
    "Dropout": (lambda: nn.Dropout(0.5)(ndl.ones(3)), ["random"]),
    "device": (lambda: (ndl.cpu().rand(2), ndl.cpu().randn(2)), ["random", "standard_normal"]),
    "RandomCrop": (lambda: data.RandomCrop(1)(np.zeros((3, 3, 1))), ["integers"]),
    "RandomFlipHorizontal": (lambda: data.RandomFlipHorizontal()(np.zeros((3, 3, 1))), ["random"]),
    "DataLoader": (lambda: list(data.DataLoader(data.NDArrayDataset(np.arange(4)), 2, True)),
                   ["permutation"]),
    "ordinary work": (lambda: (ndl.ones(2) * ndl.zeros(2)).sum(), []),
}


@pytest.mark.parametrize("name", DRAWS)
def test_everything_draws_through_the_generator(name):
    draw, calls = DRAWS[name]
    counting = Counting()
    random.set_generator(counting)
    draw()
    assert counting.calls == calls


def test_set_generator_returns_the_previous_one():
    mine = np.random.default_rng(5)
    before = random.generator()
    assert random.set_generator(mine) is before
    assert random.generator() is mine
    want = np.random.default_rng(5).standard_normal(4, dtype="float32")
    np.testing.assert_array_equal(ndl.randn(4).numpy(), want)


def test_what_lacks_a_method_is_refused():
    before = random.generator()
    with pytest.raises(TypeError, match=r"RandomState has no method integers"):
        random.set_generator(np.random.RandomState(0))
    with pytest.raises(TypeError, match="random, standard_normal, integers, permutation"):
        random.set_generator(0)
    assert random.generator() is before


def test_manual_seed():
    made = ndl.manual_seed(7)
    assert made is random.generator()
    first = ndl.randn(3).numpy()
    ndl.manual_seed(7)
    np.testing.assert_array_equal(ndl.randn(3).numpy(), first)
    ndl.manual_seed(8)
    assert not np.array_equal(ndl.randn(3).numpy(), first)
    with pytest.raises(ValueError):
        ndl.manual_seed(-1)


def test_state_round_trip_through_json():
    ndl.manual_seed(1)
    ndl.randn(5)
    state = json.loads(json.dumps(random.get_state()))
    want = [ndl.randn(3).numpy(), ndl.rand(2).numpy(), random.generator().permutation(9)]
    ndl.manual_seed(99)
    random.set_state(state)
    got = [ndl.randn(3).numpy(), ndl.rand(2).numpy(), random.generator().permutation(9)]
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


def test_a_state_is_a_copy():
    ndl.manual_seed(1)
    state = random.get_state()
    ndl.randn(5)
    assert random.get_state() != state
    random.set_state(state)
    assert random.get_state() == state


def test_a_state_of_another_kind_is_refused():
    other = np.random.Generator(np.random.MT19937(0)).bit_generator.state
    before = random.get_state()
    with pytest.raises(ValueError):
        random.set_state(other)
    assert random.get_state() == before


def test_a_program_that_sets_no_seed_repeats():
    import subprocess
    import sys

    code = "import minigrad as ndl; print(ndl.randn(2).numpy().tolist())"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           check=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert runs == {f"{np.random.default_rng(0).standard_normal(2, dtype='float32').tolist()}\n"}
