"""The course's augmentations and the ranges of image values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import random
from minigrad.data import DataError, RandomCrop, RandomFlipHorizontal, to_tanh_range, to_uint8


@pytest.fixture(autouse=True)
def restored_generator():
    previous = random.set_generator(np.random.default_rng(11))
    yield
    random.set_generator(previous)


def image(h=5, w=4, c=3, seed=0):
    return np.random.default_rng(seed).random((h, w, c))


def test_flip_never_always_and_sometimes():
    x = image()
    np.testing.assert_array_equal(RandomFlipHorizontal(0)(x), x)
    np.testing.assert_array_equal(RandomFlipHorizontal(1)(x), x[:, ::-1, :])
    flipped = sum(np.array_equal(RandomFlipHorizontal()(x), x[:, ::-1, :]) for _ in range(400))
    assert 150 < flipped < 250
    rare = sum(np.array_equal(RandomFlipHorizontal(0.1)(x), x[:, ::-1, :]) for _ in range(400))
    assert 15 < rare < 75


@given(h=st.integers(1, 7), w=st.integers(1, 7), c=st.integers(1, 3), padding=st.integers(0, 9),
       seed=st.integers(0, 1000))
def test_crop_is_a_shift_with_zeros(h, w, c, padding, seed):
    x = image(h, w, c, seed)
    random.manual_seed(seed)
    got = RandomCrop(padding)(x)
    dh, dw = np.random.default_rng(seed).integers(-padding, padding + 1, size=2)
    wanted = np.zeros_like(x)
    for i in range(h):
        for j in range(w):
            if 0 <= i + dh < h and 0 <= j + dw < w:
                wanted[i, j] = x[i + dh, j + dw]
    np.testing.assert_array_equal(got, wanted)


def test_crop_reaches_every_shift():
    x = np.zeros((9, 9, 1))
    x[4, 4] = 1
    places = {tuple(np.argwhere(RandomCrop()(x)[..., 0])[0]) for _ in range(2000)}
    assert places == {(i, j) for i in range(1, 8) for j in range(1, 8)}


def test_transforms_leave_their_input_alone():
    x = image()
    kept = x.copy()
    for _ in range(20):
        RandomFlipHorizontal()(RandomCrop()(x))
    np.testing.assert_array_equal(x, kept)


def test_they_repeat_from_the_seed():
    x = image(8, 8)
    random.manual_seed(1)
    first = [RandomFlipHorizontal()(RandomCrop()(x)) for _ in range(10)]
    random.manual_seed(1)
    np.testing.assert_array_equal([RandomFlipHorizontal()(RandomCrop()(x)) for _ in range(10)],
                                  first)


@given(st.sampled_from([(), (1,), (3,)]), st.integers(0, 100))
def test_to_uint8_undoes_to_tanh_range(channels, seed):
    x = np.random.default_rng(seed).integers(0, 256, (2, 5, 4, *channels), dtype=np.uint8)
    y = to_tanh_range(x)
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    assert y.shape == (2, channels[0] if channels else 1, 5, 4)
    back = to_uint8(y)
    np.testing.assert_array_equal(back, x[..., 0] if channels == (1,) else x)
    assert back.dtype == np.uint8


def test_every_byte_survives_and_the_ends_are_the_ends():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    y = to_tanh_range(x)
    assert (y.min(), y.max()) == (-1, 1)
    np.testing.assert_allclose(y.ravel(), np.arange(256) / 127.5 - 1, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(y), x)


def test_channels_go_where_they_belong():
    x = np.zeros((1, 2, 2, 3), np.uint8)
    x[0, 0, 1] = 255, 0, 255
    np.testing.assert_array_equal(to_tanh_range(x)[0, :, 0, 1], [1, -1, 1])


def test_to_uint8_rounds_and_clips():
    values = np.array([-3, -1, 0.999, 1, 7, 0.0, 0.004], np.float32)
    got = to_uint8(values.reshape(1, 1, 1, -1))
    np.testing.assert_array_equal(got.ravel(), [0, 0, 255, 255, 255, 128, 128])


def test_refusals():
    with pytest.raises(DataError, match=r"to_tanh_range.*float64 of shape \(1, 2, 2\)"):
        to_tanh_range(np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match=r"shape \(2, 2\)"):
        to_tanh_range(np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match=r"to_uint8.*uint8"):
        to_uint8(np.zeros((1, 1, 2, 2), np.uint8))
    x = np.zeros((3, 1, 2, 2))
    x[1, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="image 1 holds NaN"):
        to_uint8(x)
