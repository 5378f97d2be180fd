"""The metrics against SciPy, closed forms, invariances, and the floors of a perfect sampler."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from gans import metrics
from gans.metrics import (
    class_histogram,
    class_total_variation,
    classifier_score,
    frechet_distance,
    frechet_floor,
    kid,
    mean_pairwise_distance,
    modes_and_quality,
    nearest_neighbour_ratio,
    sharpness,
    two_sample_accuracy,
    whiten,
    whitened_frechet_distance,
)
from gans.toys import TOYS

seeds = st.integers(0, 10_000)


def rng(seed=0):
    return np.random.default_rng(seed)


def features(seed, n, d, dtype=np.float64):
    """Correlated features with a mean away from zero."""
    generator = rng(seed)
    mix = generator.standard_normal((d, d)) + 0.5 * np.eye(d)
    x = generator.standard_normal((n, d)) @ mix + 3 * generator.standard_normal(d)
    return x.astype(dtype)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# modes and quality ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "floor"), [("ring8", 0.0014), ("grid25", 0.005)])
def test_a_perfect_sampler_scores_989_not_100_and_a_reverse_kl_above_zero(name, floor):
    toy, generator = TOYS[name], rng()
    reports = [
        modes_and_quality(toy.sample(2500, generator), toy.centres, toy.sigma) for _ in range(60)
    ]
    assert np.mean([r.high_quality for r in reports]) == pytest.approx(0.989, abs=0.001)
    assert np.mean([r.reverse_kl for r in reports]) == pytest.approx(floor, rel=0.15)
    assert all(r.modes == r.modes_one_percent == r.total_modes for r in reports)


def test_reverse_kl_floor_of_a_thousand_modes():
    centres = np.stack(np.meshgrid(np.arange(40.0), np.arange(25.0)), axis=-1).reshape(-1, 2)
    samples = centres[rng().integers(1000, size=26_000)]
    report = modes_and_quality(samples, centres, 0.1)
    assert report.reverse_kl == pytest.approx(0.019, abs=0.002)
    assert report.total_modes == report.modes == 1000


def test_modes_are_counted_by_hand():
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    samples = np.concatenate(
        [
            np.tile([0.0, 2.9], (150, 1)),  # 2.9 sigma from the first centre: good
            np.tile([10.0, 3.1], (149, 1)),  # 3.1 sigma from the second: counted there, not good
            [[10.0, 0.0]],  # one good sample: a mode, but below 1 %
        ]
    )
    report = modes_and_quality(samples, centres, 1.0)
    assert report.modes == 2 and report.modes_one_percent == 1 and report.total_modes == 3
    assert report.histogram == (150, 150, 0)
    assert report.high_quality_histogram == (150, 1, 0)
    assert report.high_quality == pytest.approx(151 / 300)
    assert report.reverse_kl == pytest.approx(math.log(3 / 2))


@pytest.mark.parametrize("n", [100, 700, 2500])
def test_exactly_one_percent_is_enough(n):
    centres = np.array([[0.0, 0.0], [9.0, 0.0]])
    samples = np.zeros((n, 2))
    samples[: n // 100] = centres[1]
    assert modes_and_quality(samples, centres, 1.0).modes_one_percent == 2
    samples[0] = 0.0
    assert modes_and_quality(samples, centres, 1.0).modes_one_percent == 1


@given(seed=seeds, n=st.integers(1, 1200), k=st.integers(1, 30), d=st.integers(1, 3))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_modes_agree_with_a_kd_tree(seed, n, k, d):
    generator = rng(seed)
    samples, centres = generator.standard_normal((n, d)), generator.standard_normal((k, d))
    sigma = float(generator.uniform(0.05, 0.3))
    distance, which = cKDTree(centres).query(samples)
    report = modes_and_quality(samples, centres, sigma)
    good = np.bincount(which[distance <= 3 * sigma], minlength=k)
    share = np.bincount(which, minlength=k) / n
    assert report.high_quality == pytest.approx((distance <= 3 * sigma).mean())
    assert report.high_quality_histogram == tuple(good)
    assert report.modes == (good > 0).sum()
    expected = scipy.stats.entropy(share, np.full(k, 1 / k))
    assert report.reverse_kl == pytest.approx(expected, abs=1e-12)


def test_modes_refuse_bad_input():
    centres = np.zeros((2, 2))
    with pytest.raises(ValueError, match="sigma must be a positive number, got 0"):
        modes_and_quality(np.zeros((5, 2)), centres, 0)
    with pytest.raises(ValueError, match=r"equally long rows, got \(5, 3\) and \(2, 2\)"):
        modes_and_quality(np.zeros((5, 3)), centres, 1.0)
    samples = np.zeros((5, 2))
    samples[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"samples: 1 of 5 rows hold NaN .* row 3"):
        modes_and_quality(samples, centres, 1.0)
    with pytest.raises(ValueError, match="samples must have at least 1 rows"):
        modes_and_quality(np.zeros((0, 2)), centres, 1.0)


# spread --------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(2, 40), d=st.integers(1, 20), offset=st.sampled_from([0, 1e4]))
def test_mean_pairwise_distance_is_the_mean_of_scipys_pdist(seed, n, d, offset):
    batch = rng(seed).standard_normal((n, d)) + offset
    expected = scipy.spatial.distance.pdist(batch).mean()
    assert mean_pairwise_distance(batch) == pytest.approx(expected, rel=1e-6)


def test_spread_of_images_and_of_a_collapsed_batch():
    images = rng().integers(0, 256, (8, 5, 5, 3), dtype=np.uint8)
    flat = images.reshape(8, -1).astype(float)
    expected = scipy.spatial.distance.pdist(flat).mean()
    assert mean_pairwise_distance(images) == pytest.approx(expected)
    assert mean_pairwise_distance(np.ones((8, 3))) == 0.0
    with pytest.raises(ValueError, match="batch must have at least 2 rows"):
        mean_pairwise_distance(np.ones((1, 3)))


# classifier score and classes ----------------------------------------------------------------


@given(seed=seeds, n=st.integers(1, 60), k=st.integers(1, 12), dtype=st.sampled_from("fd"))
def test_classifier_score_is_the_mean_kl_of_scipy(seed, n, k, dtype):
    p = softmax(3 * rng(seed).standard_normal((n, k))).astype(dtype)
    wide = p.astype(np.float64)
    kl = scipy.stats.entropy(wide, wide.mean(axis=0, keepdims=True), axis=1)
    assert classifier_score(p) == pytest.approx(np.exp(kl.mean()), rel=1e-5)
    assert 1.0 <= classifier_score(p) <= k + 1e-9


def test_classifier_score_of_known_cases():
    p = softmax(rng().standard_normal((30, 5)))
    assert classifier_score(1.0008 * p) == pytest.approx(classifier_score(p)), "rounded rows"
    assert classifier_score(np.eye(10)) == pytest.approx(10.0)
    assert classifier_score(np.tile([0.2, 0.3, 0.5], (7, 1))) == pytest.approx(1.0)
    assert classifier_score(np.repeat(np.eye(10)[:4], 5, axis=0)) == pytest.approx(4.0)


def test_logits_are_refused_where_probabilities_are_wanted():
    for call in (classifier_score, class_histogram):
        with pytest.raises(ValueError, match="apply softmax to logits first"):
            call(np.array([[2.0, -1.0], [0.5, 0.5]]))
        with pytest.raises(ValueError, match="NaN"):
            call(np.array([[np.nan, 1.0], [0.5, 0.5]]))


def test_class_histogram_counts_the_most_probable_class():
    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])
    np.testing.assert_allclose(class_histogram(p), [0.75, 0.0, 0.25])


@given(seed=seeds, k=st.integers(1, 12))
def test_total_variation_is_a_metric_between_shares(seed, k):
    generator = rng(seed)
    p, q, r = generator.random((3, k)) + 1e-6
    tv = class_total_variation
    assert tv(p, p) == 0.0 and tv(p, q) == pytest.approx(tv(q, p))
    assert tv(p, 7 * q) == pytest.approx(tv(p, q)), "counts and shares must agree"
    assert tv(p, q) <= tv(p, r) + tv(r, q) + 1e-12
    assert tv(p) == pytest.approx(tv(p, np.ones(k)))


def test_total_variation_of_known_cases_and_its_floor():
    assert class_total_variation([1, 0], [0, 1]) == 1.0
    assert class_total_variation([3, 1, 0, 0]) == pytest.approx(0.5)
    counts = rng().multinomial(2000, np.full(10, 0.1), size=400)
    mean = np.mean([class_total_variation(c) for c in counts])
    assert mean == pytest.approx(math.sqrt(9 / (2 * math.pi * 2000)), rel=0.05)
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        class_total_variation([1, 1], [1, 1, 1])
    with pytest.raises(ValueError, match="reference must be counts or shares >= 0"):
        class_total_variation([1, 1], [0, 0])


# Frechet distance ----------------------------------------------------------------------------


@given(seed=seeds, d=st.integers(1, 12), extra=st.integers(1, 60), dtype=st.sampled_from("fd"))
def test_frechet_distance_agrees_with_scipys_matrix_root(seed, d, extra, dtype):
    a = features(seed, 2 * d + extra, d, dtype)
    b = features(seed + 1, 3 * d + extra, d, dtype)
    wide_a, wide_b = a.astype(float), b.astype(float)
    cov_a, cov_b = np.atleast_2d(np.cov(wide_a.T)), np.atleast_2d(np.cov(wide_b.T))
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    gap = wide_a.mean(axis=0) - wide_b.mean(axis=0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * root)
    got = frechet_distance(a, b)
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.trace(cov_a + cov_b))


@given(seed=seeds, d=st.integers(1, 8))
def test_frechet_distance_is_symmetric_and_zero_on_the_diagonal(seed, d):
    a, b = features(seed, 50, d), features(seed + 1, 40, d)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8 * (1 + a.var(axis=0).sum()))
    assert frechet_distance(a, b) >= 0.0


def exact(n, d, mean=0.0, deviation=1.0):
    """n rows whose sample mean and covariance are exactly these."""
    x = rng().standard_normal((n, d))
    (x,) = whiten(x, x)
    return x * deviation + mean


def test_frechet_distance_of_gaussians_in_closed_form():
    m = np.array([1.0, -2.0, 0.5])
    assert frechet_distance(exact(80, 3), exact(80, 3, m)) == pytest.approx(m @ m)
    # equal means, commuting covariances: sum of squared differences of the deviations
    s = np.array([1.0, 2.0, 0.25])
    got = frechet_distance(exact(80, 3), exact(80, 3, 0.0, s))
    assert got == pytest.approx(((s - 1) ** 2).sum())
    # a shrunk sampler is seen although its mean is right
    assert frechet_distance(exact(80, 2), exact(80, 2, 0.0, 1e-9)) == pytest.approx(2.0)


@given(seed=seeds, d=st.integers(1, 6))
def test_whitening_makes_the_reference_standard_and_the_distance_independent_of_units(seed, d):
    real, generated = features(seed, 60, d), features(seed + 1, 50, d)
    (white,) = whiten(real, real)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(np.atleast_2d(np.cov(white.T)), np.eye(d), atol=1e-7)
    unit = np.linalg.qr(rng(seed).standard_normal((d, d)))[0] * 10.0 ** rng(seed).uniform(-2, 2, d)
    before = whitened_frechet_distance(generated, real)
    after = whitened_frechet_distance(generated @ unit + 5.0, real @ unit + 5.0)
    assert after == pytest.approx(before, rel=1e-5)


def test_whitening_uses_the_reference_alone():
    real, generated = exact(80, 2), exact(80, 2, [3.0, 0.0], [2.0, 1.0])
    white_generated, white_real = whiten(real, generated, real)
    assert frechet_distance(white_generated, white_real) == pytest.approx(9 + 1)
    assert whitened_frechet_distance(generated, real) == pytest.approx(9 + 1)
    assert whitened_frechet_distance(real, generated) == pytest.approx((9 + 1) / 4)


@pytest.mark.parametrize(("d", "n", "floor"), [(32, 2000, 0.31), (64, 2000, 1.15)])
def test_frechet_floor_of_real_sets(d, n, floor):
    pools = [features(s, 2 * n, d, np.float32) for s in range(6)]
    got = np.mean([frechet_floor(real, n, rng(0)) for real in pools])
    assert got == pytest.approx(floor, rel=0.05)


def test_frechet_floor_draws_disjoint_sets_from_its_generator():
    real = features(0, 200, 3)
    first = frechet_floor(real, 100, rng(1))
    assert first == frechet_floor(real, 100, rng(1)) != frechet_floor(real, 100, rng(2))
    order = rng(1).permutation(200)
    assert first == whitened_frechet_distance(real[order[:100]], real[order[100:]])
    with pytest.raises(ValueError, match="n = 101 need 202 real rows, got 200"):
        frechet_floor(real, 101, rng(0))


def test_frechet_refusals_name_what_is_wrong():
    good = features(0, 40, 4)
    with pytest.raises(ValueError, match=r"features_b: 7 rows are too few .* of 4 .* least 8 rows"):
        frechet_distance(good, good[:7])
    assert frechet_distance(good, good[:8]) >= 0.0
    with pytest.raises(ValueError, match="equally long rows"):
        frechet_distance(good, good[:, :3])
    bad = good.copy()
    bad[5, 0] = np.inf
    with pytest.raises(ValueError, match=r"features_a: 1 of 40 rows hold NaN or infinity.*row 5"):
        frechet_distance(bad, good)
    with pytest.raises(ValueError, match=r"features of shape \(n, d\), got \(40, 2, 2\)"):
        frechet_distance(good.reshape(40, 2, 2), good)
    with pytest.raises(TypeError, match="real numbers, got dtype complex128"):
        frechet_distance(good.astype(complex), good)
    dead = good.copy()
    dead[:, 2] = 7.0
    with pytest.raises(ValueError, match=r"1 of 4 directions have no variance.*columns: \[2\]"):
        whitened_frechet_distance(good, dead)
    twice = np.concatenate([good, good[:, :1]], axis=1)
    with pytest.raises(ValueError, match="1 of 5 directions have no variance; drop"):
        whiten(twice, twice)


# KID -----------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 5))
def test_kid_is_the_unbiased_estimate_written_as_loops(seed, n, m, d):
    a, b = features(seed, n, d), features(seed + 1, m, d)

    def k(x, y):
        return (x @ y / d + 1) ** 3

    expected = (
        sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * sum(k(x, y) for x in a for y in b) / (n * m)
    )
    scale = max(k(x, x) for x in np.concatenate([a, b]))
    assert kid(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-11 * scale)


def test_kid_is_unbiased_and_sees_a_shift():
    values = [kid(*np.split(rng(s).standard_normal((60, 4)), 2)) for s in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert min(values) < 0 < max(values)
    shifted = kid(rng(1).standard_normal((500, 4)), rng(2).standard_normal((500, 4)) + 0.5)
    assert shifted > 0.2
    with pytest.raises(ValueError, match="features_b must have at least 2 rows"):
        kid(np.ones((5, 2)), np.ones((1, 2)))


# two-sample accuracy -------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(2, 700), d=st.integers(1, 4), shift=st.sampled_from([0, 0.5, 3]))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_two_sample_accuracy_agrees_with_a_kd_tree(seed, n, d, shift):
    generator = rng(seed)
    samples, real = generator.standard_normal((n, d)) + shift, generator.standard_normal((n, d))
    both = np.concatenate([samples, real])
    neighbour = cKDTree(both).query(both, k=2)[1][:, 1]  # the first is the point itself
    right = (neighbour < n) == (np.arange(2 * n) < n)
    got = two_sample_accuracy(samples, real)
    assert got.on_samples == pytest.approx(right[:n].mean())
    assert got.on_real == pytest.approx(right[n:].mean())
    assert got.overall == pytest.approx(right.mean())


def test_two_sample_accuracy_of_typical_generators():
    real, other = rng(0).standard_normal((2, 1000, 2))
    assert two_sample_accuracy(other, real).overall == pytest.approx(0.5, abs=0.04)
    assert two_sample_accuracy(other + 20, real).overall == 1.0
    assert two_sample_accuracy(real, real).overall == 0.0, "copies of these very rows"
    collapsed = two_sample_accuracy(np.zeros((1000, 2)) + 1e-9 * other, real)
    assert collapsed.on_samples > 0.99
    # in many dimensions noisy samples hide from the mean of both numbers, not from the numbers
    plane, other_plane = rng(1).standard_normal((2, 300, 3)) @ rng(2).standard_normal((3, 400))
    noisy = two_sample_accuracy(other_plane + rng(3).standard_normal((300, 400)), plane)
    assert noisy.on_real > 0.95 and noisy.on_samples < 0.05
    with pytest.raises(ValueError, match=r"equally many, .* got 1000 and 999"):
        two_sample_accuracy(real, other[1:])


# memorisation --------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(1, 600), m=st.integers(1, 5000), d=st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_nearest_distances_agree_with_a_kd_tree_across_chunks(seed, n, m, d):
    generator = rng(seed)
    queries = generator.standard_normal((n, d)) + 100
    references = generator.standard_normal((m, d)) + 100
    expected = cKDTree(references).query(queries)[0]
    np.testing.assert_allclose(metrics._nearest(queries, references), expected, atol=1e-6)


def split(seed, sizes, d=8):
    x = rng(seed).standard_normal((sum(sizes), d)) @ rng(99).standard_normal((d, d))
    return np.split(x, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("sizes", [(500, 600, 600), (500, 4000, 500), (500, 300, 900)])
def test_honest_samples_score_one_whatever_the_sizes(sizes):
    ratios = [nearest_neighbour_ratio(*split(s, sizes)) for s in range(6)]
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)
    assert np.std(ratios) < 0.05


def test_equal_sizes_are_the_plain_ratio_of_medians():
    samples, train, held_out = split(0, (200, 300, 300))
    train_distance = cKDTree(train).query(samples)[0]
    held_distance = cKDTree(held_out).query(samples)[0]
    expected = np.median(train_distance) / np.median(held_distance)
    assert nearest_neighbour_ratio(samples, train, held_out) == pytest.approx(expected)


def test_copies_score_zero_also_from_a_training_set_much_larger_than_the_held_out_one():
    samples, train, held_out = split(0, (400, 4000, 500))
    copies = train[rng(1).integers(len(train), size=400)]
    assert nearest_neighbour_ratio(copies, train, held_out) == 0.0
    near = copies + 0.02 * rng(2).standard_normal(copies.shape)
    assert nearest_neighbour_ratio(near, train, held_out) < 0.1
    half = np.concatenate([copies[:220], samples[:180]])
    assert nearest_neighbour_ratio(half, train, held_out) == 0.0


def test_poor_but_honest_samples_are_not_called_copies():
    samples, train, held_out = split(0, (400, 4000, 500))
    noisy = samples + 3 * rng(1).standard_normal(samples.shape)
    shrunk = 0.2 * samples
    far = samples + 50
    for poor in (noisy, shrunk, far):
        assert 0.9 < nearest_neighbour_ratio(poor, train, held_out) < 1.1


def test_ratio_depends_on_neither_order_nor_units():
    samples, train, held_out = split(0, (100, 1000, 200))
    value = nearest_neighbour_ratio(samples, train, held_out)
    by_size = np.concatenate([held_out, train[:800]])  # more than the 200 rows that train has
    by_size = by_size[np.argsort(by_size[:, 0])]
    few = nearest_neighbour_ratio(samples, train[800:], by_size)
    assert few == pytest.approx(1.0, abs=0.1)
    scaled = nearest_neighbour_ratio(10 * samples, 10 * train, 10 * held_out)
    assert scaled == pytest.approx(value)


def test_images_as_integers_equal_images_as_floats():
    images = rng(0).integers(0, 256, (260, 4, 4), dtype=np.uint8)
    sets = images[:50], images[50:200], images[200:]
    value = nearest_neighbour_ratio(*sets)
    assert value == pytest.approx(nearest_neighbour_ratio(*(s.astype(float) for s in sets)))


def test_leaked_held_out_rows_are_refused():
    samples, train, _ = split(0, (100, 500, 100))
    with pytest.raises(ValueError, match="half of the samples equal a held-out row"):
        nearest_neighbour_ratio(samples, train, samples)
    images = rng(0).random((100, 784), dtype=np.float32)
    with pytest.raises(ValueError, match="half of the samples equal a held-out row"):
        nearest_neighbour_ratio(images[:60], images, images[:50])
    with pytest.raises(ValueError, match="held_out must have at least 8 rows"):
        nearest_neighbour_ratio(samples, train, train[:7])
    with pytest.raises(ValueError, match="samples and train must have equally long rows"):
        nearest_neighbour_ratio(samples[:, :5], train, train)


def test_distances_of_many_images_need_little_memory():
    samples = rng(0).random((1000, 784), dtype=np.float32)
    train = rng(1).random((6000, 784), dtype=np.float32)
    tracemalloc.start()
    try:
        metrics._nearest(samples, train)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6, f"{peak / 1e6:.0f} MB"


# sharpness -----------------------------------------------------------------------------------


@given(
    seed=seeds,
    shape=st.sampled_from([(3, 4, 5), (2, 6, 4, 3), (3, 5, 5, 1)]),
    factor=st.floats(0.1, 3),
)
def test_sharpness_grows_with_the_square_of_contrast(seed, shape, factor):
    real = rng(seed).standard_normal(shape)
    assert sharpness(real, real) == pytest.approx(1.0)
    assert sharpness(factor * real + 2, real) == pytest.approx(factor**2)


def test_sharpness_of_known_images():
    stripes = np.tile([0.0, 1.0], (2, 4, 2))  # (2, 4, 4): every step across is 1, none down
    board = (np.indices((4, 4)).sum(axis=0) % 2)[None].astype(float)  # every step is 1
    assert sharpness(stripes, board) == pytest.approx(0.5)
    assert sharpness(stripes.transpose(0, 2, 1), board) == pytest.approx(0.5)
    ramp = np.tile(np.arange(5) / 4, (1, 5, 1))  # every step across is 1/4
    edge = np.tile([0.0, 0, 1, 1, 1], (1, 5, 1))  # the same rise at once
    assert sharpness(ramp, edge) == pytest.approx(0.25)


def test_sharpness_does_not_wrap_around_unsigned_pixels():
    real = rng(0).integers(0, 256, (4, 6, 6), dtype=np.uint8)
    assert sharpness(real, 255 - real) == pytest.approx(1.0)
    blurred = ((real[:, :, :-1].astype(int) + real[:, :, 1:]) // 2).astype(np.uint8)
    assert sharpness(blurred, real[:, :, 1:]) < 0.9


def test_sharpness_refusals():
    image = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match=r"got \(2, 3, 8, 8\); .*NCHW"):
        sharpness(np.zeros((2, 3, 8, 8)), np.zeros((2, 3, 8, 8)))
    with pytest.raises(ValueError, match=r"one size, got \(2, 8, 8\), \(2, 7, 8\)"):
        sharpness(image, image[:, 1:])
    with pytest.raises(ValueError, match="one scale, got uint8 and float64"):
        sharpness(image.astype(np.uint8), image)
    with pytest.raises(ValueError, match="real: every image is flat"):
        sharpness(image, image)
    with pytest.raises(ValueError, match="at least 2 x 2 pixels"):
        sharpness(image[:, :1], image[:, :1])
