"""The toys: every sample against the true mean, covariance, centres and width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from gans.toys import TOYS, Gaussian, SwissRoll, grid, ring

NAMES = sorted(TOYS)


def draw(name, n=20_000, seed=0):
    return TOYS[name].sample(n, np.random.default_rng(seed)).astype(np.float64)


def test_table_has_the_four_toys():
    assert NAMES == ["gaussian", "grid25", "ring8", "swissroll"]


@pytest.mark.parametrize("name", NAMES)
@given(n=st.integers(0, 50), seed=st.integers(0, 99))
def test_samples_are_float32_points_decided_by_the_generator_alone(name, n, seed):
    toy = TOYS[name]
    points = toy.sample(n, np.random.default_rng(seed))
    assert points.shape == (n, 2) and points.dtype == np.float32
    np.random.seed(seed)  # noqa: NPY002  the global generator must not matter
    np.testing.assert_array_equal(points, toy.sample(n, np.random.default_rng(seed)))
    if n:
        other = toy.sample(n, np.random.default_rng(seed + 100))
        assert not np.array_equal(points, other)


@pytest.mark.parametrize("name", NAMES)
def test_sample_moments_match_the_stated_ones(name):
    toy, n = TOYS[name], 200_000
    points = draw(name, n)
    spread = np.sqrt(np.diag(toy.cov))
    assert np.abs(points.mean(axis=0) - toy.mean).max() <= 5 * spread.max() / np.sqrt(n)
    assert np.abs(np.cov(points.T) - toy.cov).max() <= 5 * np.sqrt(3 / n) * spread.max() ** 2


def test_lecture_gaussian_has_the_covariance_of_the_lecture():
    toy = TOYS["gaussian"]
    np.testing.assert_allclose(toy.cov, [[1.04, 1.90], [1.90, 4.25]])
    np.testing.assert_array_equal(toy.mean, [2.0, 1.0])
    assert toy.centres is None and toy.sigma is None
    # whitened samples are standard normal, coordinate by coordinate
    z = (draw("gaussian") - toy.mean) @ np.linalg.inv(np.array(toy.A))
    assert all(stats.kstest(z[:, i], "norm").pvalue > 0.01 for i in range(2))
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.03


def test_ring_has_eight_centres_at_the_published_radius():
    toy = TOYS["ring8"]
    assert toy.sigma == pytest.approx(0.02 / 1.414)
    np.testing.assert_allclose(np.linalg.norm(toy.centres, axis=1), 2 / 1.414)
    np.testing.assert_allclose(toy.centres[0], [2 / 1.414, 0])
    gaps = np.linalg.norm(toy.centres - np.roll(toy.centres, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, 2 * np.sin(np.pi / 8) * 2 / 1.414)


def test_grid_has_25_centres_at_the_published_spacing():
    toy = TOYS["grid25"]
    assert toy.sigma == pytest.approx(0.05 / 2.828)
    expected = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(np.rint(c * 2.828).astype(int)) for c in toy.centres} == expected


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_modes_are_equally_likely_and_of_the_stated_width(name):
    toy, points = TOYS[name], draw(name)
    distances = np.linalg.norm(points[:, None] - toy.centres, axis=2)
    which = distances.argmin(axis=1)
    counts = np.bincount(which, minlength=len(toy.centres))
    assert stats.chisquare(counts).pvalue > 0.01
    offsets = (points - toy.centres[which]) / toy.sigma
    assert all(stats.kstest(offsets[:, i], "norm").pvalue > 0.01 for i in range(2))


def test_moments_of_mixtures_in_closed_form():
    # points at radius r, evenly spread: variance r^2 / 2 per axis, plus that within a mode
    expected = ((2**2 / 2 + 0.02**2) / 1.414**2) * np.eye(2)
    np.testing.assert_allclose(TOYS["ring8"].cov, expected, atol=1e-14)
    # five points at distance 2: variance (5^2 - 1) / 12 * 2^2 = 8 per axis
    expected = ((8 + 0.05**2) / 2.828**2) * np.eye(2)
    np.testing.assert_allclose(TOYS["grid25"].cov, expected, atol=1e-14)


def test_swiss_roll_moments_match_numerical_integrals():
    toy = TOYS["swissroll"]
    low, high = 1.5 * np.pi, 4.5 * np.pi

    def mean_of(f):
        return integrate.quad(lambda t: f(t) / (high - low), low, high, limit=200)[0]

    mean = np.array([mean_of(lambda t: t * np.cos(t)), mean_of(lambda t: t * np.sin(t))])
    mixed = mean_of(lambda t: t**2 * np.cos(t) * np.sin(t))
    squares = mean_of(lambda t: (t * np.cos(t)) ** 2), mean_of(lambda t: (t * np.sin(t)) ** 2)
    second = np.array([[squares[0], mixed], [mixed, squares[1]]])
    cov = second - np.outer(mean, mean) + toy.noise**2 * np.eye(2)
    np.testing.assert_allclose(toy.mean, mean / 7.5, rtol=1e-9)
    np.testing.assert_allclose(toy.cov, cov / 7.5**2, rtol=1e-9)
    assert toy.centres is None and toy.sigma == pytest.approx(0.25 / 7.5)


def test_swiss_roll_without_noise_lies_on_the_spiral():
    points = SwissRoll(noise=0.0).sample(1000, np.random.default_rng(0)) * 7.5
    t = np.linalg.norm(points, axis=1).astype(np.float64)
    assert t.min() >= 1.5 * np.pi - 1e-3 and t.max() <= 4.5 * np.pi + 1e-3
    on_spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    np.testing.assert_allclose(points, on_spiral, atol=2e-4)
    assert stats.kstest(t, stats.uniform(1.5 * np.pi, 3 * np.pi).cdf).pvalue > 0.01


@given(k=st.integers(1, 30), side=st.integers(1, 8))
def test_other_rings_and_grids_are_centred(k, side):
    assert ring(k).centres.shape == (k, 2) and grid(side).centres.shape == (side * side, 2)
    if k > 1:
        np.testing.assert_allclose(ring(k).mean, 0, atol=1e-12)
    np.testing.assert_allclose(grid(side).mean, 0, atol=1e-12)


def test_toys_are_frozen_and_equal_by_value():
    assert Gaussian() == Gaussian() and hash(ring(8)) == hash(ring(8)) and ring(8) != ring(7)
    with pytest.raises(AttributeError):
        TOYS["swissroll"].noise = 0.0


@pytest.mark.parametrize("name", NAMES)
def test_wrong_requests_are_refused_by_name(name):
    toy = TOYS[name]
    for n in (-1, 2.0, True):
        with pytest.raises(ValueError, match=r"n must be a whole number >= 0, got"):
            toy.sample(n, np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"must be a numpy\.random\.Generator, got int"):
        toy.sample(3, 0)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        ring(0)
    with pytest.raises(ValueError, match="side must be at least 1, got 0"):
        grid(0)
