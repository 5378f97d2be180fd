"""The derivations as code, against quadrature, SciPy, linear programs, the engine and the papers.

No oracle here is the formula under test: integrals come from adaptive quadrature, plans from a
linear program, slopes from the engine and from differences, optima from a search.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from scipy.spatial.distance import jensenshannon

import minigrad as ndl
from gans import theory
from gans.objectives import Minimax, NonSaturating
from minigrad import Tensor, ops

GRID = np.linspace(-14.0, 14.0, 8001)
# p = N(0, 1) against q = N(mu, variance): KL(p, q), KL(q, p), JS to 4 digits (slide S4
# "Comparison of distributions").
TABLE = ((-1.0, 0.50, 1.1534, 0.5966, 0.1591), (-0.5, 0.75, 0.1895, 0.1438, 0.0387),
         (0.0, 1.00, 0.0, 0.0, 0.0), (0.5, 1.25, 0.1116, 0.1384, 0.0297),
         (1.0, 1.50, 0.3694, 0.5473, 0.0976))


def weights(n):
    """Lists of n probabilities, some of them 0."""
    masses = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1.0)), min_size=n, max_size=n)
    return masses.filter(lambda m: sum(m) > 0).map(lambda m: np.array(m) / sum(m))


pairs = st.integers(1, 8).flatmap(lambda n: st.tuples(weights(n), weights(n)))
normals = st.tuples(st.floats(-2.0, 2.0), st.floats(0.5, 2.0), st.floats(-2.0, 2.0),
                    st.floats(0.5, 2.0))
fast = settings(max_examples=40, deadline=None)


few = settings(max_examples=12, deadline=None)  # where every example integrates adaptively


def quad(f, low=-14.0, high=14.0):
    return integrate.quad(f, low, high, epsabs=1e-10, epsrel=1e-10, limit=400)[0]


def log_density(t, mu, sigma):
    """Of one number, in plain Python: a quadrature asks for thousands."""
    return -0.5 * ((t - mu) / sigma) ** 2 - math.log(sigma) - math.log(2 * math.pi) / 2


def cdf(t, mu, sigma):
    return 0.5 * math.erfc((mu - t) / sigma / math.sqrt(2))


# ---------------------------------------------------------------------------------- distributions


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (-1.5, 0.3), (4.0, 10.0)])
def test_the_normal_density_is_scipys(mu, sigma):
    x = np.linspace(-30, 30, 61).reshape(61, 1)
    np.testing.assert_allclose(theory.normal_pdf(x, mu, sigma), stats.norm.pdf(x, mu, sigma),
                               rtol=1e-12)
    np.testing.assert_allclose(theory.log_normal_pdf(x, mu, sigma), stats.norm.logpdf(x, mu, sigma),
                               rtol=1e-12)


def test_the_log_density_is_finite_where_the_density_underflows():
    assert theory.normal_pdf(np.array(100.0)) == 0.0
    far = theory.log_normal_pdf(np.array(100.0))
    assert far == pytest.approx(-5000 - math.log(2 * math.pi) / 2)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
def test_a_sigma_that_is_none_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be above 0"):
        theory.normal_pdf(GRID, 0.0, sigma)
    with pytest.raises(ValueError, match="sigmas must be above 0"):
        theory.kl_of_normals(0.0, 1.0, 0.0, sigma)
    with pytest.raises(ValueError, match="sigmas must be above 0"):
        theory.kl_of_normals(0.0, sigma, 0.0, 1.0)


# ------------------------------------------------------------------------------------ divergences


@given(pairs)
@fast
def test_divergences_of_weights_are_scipys(pair):
    p, q = pair
    assert theory.kl(p, q) == pytest.approx(stats.entropy(p, q), rel=1e-12, abs=1e-14)
    # jensenshannon is the square root, which costs half of the digits near 0.
    assert theory.js(p, q) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-9, abs=1e-14)
    assert theory.total_variation(p, q) == pytest.approx(
        max(sum(p[i] - q[i] for i in chosen) for n in range(len(p) + 1)
            for chosen in itertools.combinations(range(len(p)), n)), abs=1e-14)


@given(pairs)
@fast
def test_bounds_and_symmetries(pair):
    p, q = pair
    kl, js, tv = theory.kl(p, q), theory.js(p, q), theory.total_variation(p, q)
    slack = 1e-14
    assert kl >= -slack
    assert -slack <= js <= math.log(2) + slack
    assert -slack <= tv <= 1 + slack
    assert tv <= math.sqrt(max(kl, 0.0) / 2) + 1e-7, "Pinsker"
    assert tv**2 / 2 <= js + slack <= math.log(2) * tv + 2 * slack
    assert js == pytest.approx(theory.js(q, p), abs=slack)
    assert tv == theory.total_variation(q, p)
    assert theory.kl(p, p) == theory.js(p, p) == theory.total_variation(p, p) == 0.0


@given(pairs)
@fast
def test_js_is_the_mean_of_two_kl_to_the_middle(pair):
    p, q = pair
    m = (p + q) / 2
    assert theory.js(p, q) == pytest.approx((stats.entropy(p, m) + stats.entropy(q, m)) / 2,
                                            rel=1e-12, abs=1e-15)


@given(normals)
@few
def test_densities_on_a_grid_agree_with_quadrature_and_closed_forms(parameters):
    mu_p, sigma_p, mu_q, sigma_q = parameters
    x = np.linspace(-24, 24, 8001)
    p, q = theory.normal_pdf(x, mu_p, sigma_p), theory.normal_pdf(x, mu_q, sigma_q)

    def logs(t):
        return log_density(t, mu_p, sigma_p), log_density(t, mu_q, sigma_q)

    def kl_term(t):
        a, b = logs(t)
        return math.exp(a) * (a - b)

    kl = quad(kl_term, mu_p - 12 * sigma_p, mu_p + 12 * sigma_p)
    assert theory.kl_of_normals(*parameters) == pytest.approx(kl, abs=1e-8)
    # Far out, where q is rounded to 0 and p is not, KL on a grid is infinite: a narrow model of
    # wide data must be asked on a grid that ends before.
    inside = q > 1e-300
    assert theory.kl(p[inside], q[inside], x[inside]) == pytest.approx(kl, abs=1e-7)

    def js_term(t):
        a, b = logs(t)
        m = max(a, b) + math.log1p(math.exp(-abs(a - b))) - math.log(2)
        return (math.exp(a) * (a - m) + math.exp(b) * (b - m)) / 2

    assert theory.js(p, q, x) == pytest.approx(quad(js_term, -24, 24), abs=1e-8)

    def tv_term(t):
        a, b = logs(t)
        return abs(math.exp(a) - math.exp(b)) / 2

    # Trapezoids see |.| at its kinks only to second order.
    assert theory.total_variation(p, q, x) == pytest.approx(quad(tv_term, -24, 24), abs=2e-5)


@pytest.mark.parametrize(("mu", "variance", "forward", "reverse", "js"), TABLE)
def test_the_numbers_of_the_lectures_curves(mu, variance, forward, reverse, js):
    p, q = theory.normal_pdf(GRID), theory.normal_pdf(GRID, mu, math.sqrt(variance))
    assert theory.kl(p, q, GRID) == pytest.approx(forward, abs=5e-5)
    assert theory.kl(q, p, GRID) == pytest.approx(reverse, abs=5e-5)
    assert theory.js(p, q, GRID) == pytest.approx(js, abs=5e-5)
    assert theory.js(q, p, GRID) == pytest.approx(js, abs=5e-5)


def test_kl_is_not_symmetric():
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    assert theory.kl(p, q) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert abs(theory.kl(p, q) - theory.kl(q, p)) > 0.1


def test_disjoint_distributions():
    p, q = np.array([0.25, 0.75, 0.0, 0.0]), np.array([0.0, 0.0, 0.5, 0.5])
    assert theory.kl(p, q) == math.inf
    assert theory.js(p, q) == pytest.approx(math.log(2), rel=1e-15)
    assert theory.total_variation(p, q) == 1.0


def test_places_without_mass_count_nothing():
    p, q = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.5, 0.25, 0.0])
    assert theory.kl(p, q) == pytest.approx(0.5 * math.log(2))
    assert theory.kl(q, p) == math.inf
    assert theory.js(p, q) == pytest.approx(theory.js(p[:3], q[:3]))


def test_the_smallest_numbers_of_float64_do_not_make_infinities():
    tiny = 5e-324
    assert theory.kl(np.array([1.0, 0.0]), np.array([1e-320, 1.0])) == pytest.approx(
        -math.log(1e-320), rel=1e-4)
    assert theory.js(np.array([tiny, 1.0]), np.array([0.0, 1.0])) == pytest.approx(0.0, abs=1e-15)
    assert theory.kl_of_normals(0.0, 1e-200, 0.0, 1.0) == pytest.approx(
        -0.5 - math.log(1e-200), rel=1e-12)


@pytest.mark.parametrize(("p", "q", "x"), [
    ([0.5, 0.5], [1.0], None),
    ([], [], None),
    ([[0.5, 0.5]], [[0.5, 0.5]], None),
    ([1.5, -0.5], [0.5, 0.5], None),
    ([0.5, 0.5], [1.5, -0.5], None),
    ([math.nan, 0.5], [0.5, 0.5], None),
    ([0.5, 0.5], [math.inf, 0.5], None),
    ([0.5, 0.5], [0.5, 0.5], [0.0]),
    ([1.0], [1.0], [0.0]),  # one point has no integral: 0 would be no answer
    ([0.5, 0.5], [0.5, 0.5], [1.0, 0.0]),
    ([0.5, 0.5], [0.5, 0.5], [0.0, 0.0]),
    ([0.5, 0.5], [0.5, 0.5], [0.0, math.nan]),
])
def test_what_is_no_pair_of_distributions_is_refused_everywhere(p, q, x):
    p, q = np.array(p), np.array(q)
    x = None if x is None else np.array(x)
    functions = [theory.kl, theory.js, theory.total_variation,
                 lambda p, q, x: theory.value(np.full(p.shape, 0.5), p, q, x)]
    if x is not None:
        functions.append(theory.wasserstein_1d_of_densities)
    for function in functions:
        with pytest.raises(ValueError, match=r"two lists|not negative|increasing"):
            function(p, q, x)
    if x is None:
        with pytest.raises(ValueError, match=r"two lists|not negative"):
            theory.optimal_discriminator(p, q)


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.1, 3)), min_size=1, max_size=5))
@fast
def test_the_second_term_of_a_vae_is_a_sum_of_kl_of_normals(parameters):
    mu, sigma = np.array(parameters).T
    total = sum(theory.kl_of_normals(m, s, 0.0, 1.0) for m, s in parameters)
    assert theory.kl_to_standard_normal(mu, sigma) == pytest.approx(total, abs=1e-12)
    assert theory.kl_to_standard_normal(mu[None], -sigma[None]) == pytest.approx(total, abs=1e-12)


def test_a_sigma_of_zero_has_no_kl():
    with pytest.raises(ValueError, match="other than 0"):
        theory.kl_to_standard_normal(np.zeros(2), np.array([1.0, 0.0]))


def test_means_and_deviations_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"one shape, got \(3, 1\) and \(3,\)"):
        theory.kl_to_standard_normal(np.zeros((3, 1)), np.ones(3))


@pytest.mark.parametrize(("shift", "js"), [
    (0.0, 0.0), (0.25, 0.1733), (0.5, 0.3466), (0.75, 0.5199), (1.0, 0.6931), (1.5, 0.6931),
    (40.0, 0.6931), (-0.25, 0.1733), (-7.0, 0.6931)])
def test_js_of_boxes_is_flat_once_they_part_while_w_goes_on(shift, js):
    assert theory.js_of_shifted_boxes(shift) == pytest.approx(js, abs=5e-5)
    n = 400  # cells of width 1/n: weights of both boxes, exact for shifts of whole cells
    cells = (np.arange(n * 100) + 0.5) / n - 50
    p = ((cells > 0) & (cells < 1)) / n
    q = ((cells > shift) & (cells < 1 + shift)) / n
    assert theory.js(p, q) == pytest.approx(theory.js_of_shifted_boxes(shift), abs=1e-12)
    assert theory.wasserstein_1d(cells[p > 0], cells[q > 0]) == pytest.approx(abs(shift), abs=1e-9)


def normal(mu, sigma):
    return lambda x: theory.log_normal_pdf(x, mu, sigma)


def test_monte_carlo_estimates_are_right_within_their_error_and_the_error_is_true():
    g = np.random.default_rng(4)
    p, q = theory.normal_pdf(GRID), theory.normal_pdf(GRID, 1.0, 1.3)
    kl, js = theory.kl_of_normals(0.0, 1.0, 1.0, 1.3), theory.js(p, q, GRID)
    runs = 400
    of_kl, of_js = np.empty((runs, 2)), np.empty((runs, 2))
    for i in range(runs):
        a, b = g.standard_normal(200), 1.0 + 1.3 * g.standard_normal(300)
        of_kl[i] = theory.kl_monte_carlo(a, normal(0.0, 1.0), normal(1.0, 1.3))
        of_js[i] = theory.js_monte_carlo(a, b, normal(0.0, 1.0), normal(1.0, 1.3))
    for estimates, exact in ((of_kl, kl), (of_js, js)):
        spread = estimates[:, 0].std(ddof=1)
        # Of the errors that are reported: their mean is the spread that is seen, and the mean of
        # all runs misses the exact value by a twentieth of it.
        assert estimates[:, 1].mean() == pytest.approx(spread, rel=0.12)
        assert estimates[:, 0].mean() == pytest.approx(exact, abs=4 * spread / math.sqrt(runs))


def test_monte_carlo_wants_two_samples():
    one = np.zeros(1)
    with pytest.raises(ValueError, match="at least two samples"):
        theory.kl_monte_carlo(one, normal(0, 1), normal(1, 1))
    with pytest.raises(ValueError, match="at least two samples"):
        theory.js_monte_carlo(np.zeros(5), one, normal(0, 1), normal(1, 1))


# ------------------------------------------------------------------------------- the discriminator


@given(pairs)
@fast
def test_no_rule_is_right_more_often_than_half_plus_half_of_the_total_variation(pair):
    p, q = pair
    # Every way to call each outcome real or fake; data and model come equally often.
    rules = itertools.product((True, False), repeat=len(p))
    best = max(np.where(rule, p, q).sum() / 2 for rule in rules)
    assert best == pytest.approx(0.5 + theory.total_variation(p, q) / 2, abs=1e-12)


@given(st.floats(0.01, 5.0), st.floats(0.01, 5.0))
@fast
def test_d_star_is_what_a_search_finds(p, q):
    best = optimize.minimize_scalar(lambda d: -(p * math.log(d) + q * math.log1p(-d)),
                                    bounds=(1e-6, 1 - 1e-6), method="bounded",
                                    options={"xatol": 1e-9}).x
    got = theory.optimal_discriminator(np.array([p]), np.array([q]))
    assert got[0] == pytest.approx(best, abs=1e-5)


@given(st.floats(0.01, 5.0), st.floats(0.01, 5.0), st.floats(0.6, 1.0), st.floats(0.0, 0.4))
@fast
def test_d_star_of_smooth_labels_is_what_a_search_finds(p, q, real, fake):
    def loss(d):
        return -(p * (real * math.log(d) + (1 - real) * math.log1p(-d))
                 + q * (fake * math.log(d) + (1 - fake) * math.log1p(-d)))

    best = optimize.minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded",
                                    options={"xatol": 1e-9}).x
    got = theory.optimal_discriminator(np.array([p]), np.array([q]), real_label=real,
                                       fake_label=fake)
    assert got[0] == pytest.approx(best, abs=1e-5)


def test_d_star_at_the_edges():
    got = theory.optimal_discriminator(np.array([0.5, 0.5, 0.0, 0.0]),
                                       np.array([0.5, 0.0, 0.5, 0.0]))
    np.testing.assert_array_equal(got, [0.5, 1.0, 0.0, np.nan])


@given(pairs, st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
@fast
def test_no_discriminator_beats_d_star_which_is_worth_two_js_less_two_log_two(pair, answers):
    p, q = pair
    best = theory.value(theory.optimal_discriminator(p, q), p, q)
    assert best == pytest.approx(2 * jensenshannon(p, q) ** 2 - 2 * math.log(2), abs=1e-12)
    assert theory.value(np.array(answers[:len(p)]), p, q) <= best + 1e-12


@given(normals)
@fast
def test_the_same_for_densities_and_any_logistic_discriminator(parameters):
    mu_p, sigma_p, mu_q, sigma_q = parameters
    x = np.linspace(-20, 20, 8001)
    p, q = theory.normal_pdf(x, mu_p, sigma_p), theory.normal_pdf(x, mu_q, sigma_q)
    # Far out D* is rounded to 1 while q is not yet 0, which is a value of minus infinity: a D that
    # holds probabilities has to be asked where it can still be told from certainty.
    D = theory.optimal_discriminator(p, q)
    x, p, q, D = (v[(D > 1e-15) & (D < 1 - 1e-15)] for v in (x, p, q, D))
    best, mass = theory.value(D, p, q, x), np.trapezoid(p + q, x)
    assert mass > 1.5
    assert best == pytest.approx(2 * theory.js(p, q, x) - mass * math.log(2), abs=1e-9)
    for slope, shift in ((1.0, 0.0), (-2.0, 1.0), (0.0, 0.0)):
        D = 1 / (1 + np.exp(-slope * x - shift))
        assert theory.value(D, p, q, x) <= best + 1e-9


def test_the_values_of_the_lectures():
    p, q = theory.normal_pdf(GRID), theory.normal_pdf(GRID, 1.0)
    assert theory.value(theory.optimal_discriminator(p, q), p, q, GRID) == pytest.approx(
        -1.1635, abs=5e-5)
    at_balance = theory.value(theory.optimal_discriminator(p, p), p, p, GRID)
    assert at_balance == pytest.approx(-1.3863, abs=5e-5)
    assert theory.value(np.full_like(p, 0.5), p, q, GRID) == pytest.approx(at_balance)


def test_value_by_hand_and_by_quadrature():
    p, q = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    D = np.array([0.2, 0.9])
    want = (0.25 * math.log(0.2) + 0.75 * math.log(0.9)
            + 0.5 * math.log(0.8) + 0.5 * math.log(0.1))
    assert theory.value(D, p, q) == pytest.approx(want)

    def integrand(t):
        log_real, log_fake = -math.log1p(math.exp(-t)), -math.log1p(math.exp(t))
        return (math.exp(log_density(t, 0, 1)) * log_real
                + math.exp(log_density(t, 1, 1)) * log_fake)

    got = theory.value(1 / (1 + np.exp(-GRID)), theory.normal_pdf(GRID),
                       theory.normal_pdf(GRID, 1.0), GRID)
    assert got == pytest.approx(quad(integrand), abs=1e-8)


def test_certain_answers():
    p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert theory.value(np.array([1.0, 0.0]), p, q) == 0.0
    assert theory.value(np.array([0.0, 0.5]), p, q) == -math.inf
    assert theory.value(np.array([0.5, 1.0]), p, q) == -math.inf


def test_answers_count_only_where_they_are_asked():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.5, 0.0])
    for nowhere in (math.nan, 7.0):
        D = np.array([0.5, 0.5, nowhere])
        assert theory.value(D, p, q) == pytest.approx(-2 * math.log(2))


@pytest.mark.parametrize("D", [[0.5, 1.01], [-0.01, 0.5], [0.5, math.nan], [0.5], [0.5, 0.5, 0.5]])
def test_answers_that_are_no_probabilities_are_refused(D):
    with pytest.raises(ValueError, match=r"D holds probabilities|shape of p"):
        theory.value(np.array(D), np.array([0.5, 0.5]), np.array([0.5, 0.5]))


# ---------------------------------------------------------------------------------- earth movers

samples = st.lists(st.integers(-6, 6).map(lambda i: i / 2), min_size=1, max_size=12)


@given(samples, samples)
@fast
def test_wasserstein_of_samples_is_scipys(a, b):
    assert theory.wasserstein_1d(np.array(a), np.array(b)) == pytest.approx(
        stats.wasserstein_distance(a, b), abs=1e-12)


def test_wasserstein_of_many_samples():
    g = np.random.default_rng(0)
    a, b = g.standard_normal(4999), g.standard_normal(3001) + 2
    assert theory.wasserstein_1d(a, b) == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)
    assert theory.wasserstein_1d(a, a[::-1]) == 0.0


@given(normals)
@few
def test_wasserstein_of_densities_is_the_area_between_distribution_functions(parameters):
    mu_p, sigma_p, mu_q, sigma_q = parameters
    x = np.linspace(-24, 24, 8001)
    got = theory.wasserstein_1d_of_densities(theory.normal_pdf(x, mu_p, sigma_p),
                                             theory.normal_pdf(x, mu_q, sigma_q), x)
    want = quad(lambda t: abs(cdf(t, mu_p, sigma_p) - cdf(t, mu_q, sigma_q)), -24, 24)
    assert got == pytest.approx(want, abs=2e-5)


def test_wasserstein_of_an_uneven_grid():
    x = np.sinh(np.linspace(-4, 4, 4001))  # fine in the middle, coarse outside
    got = theory.wasserstein_1d_of_densities(theory.normal_pdf(x), theory.normal_pdf(x, 1.5), x)
    assert got == pytest.approx(1.5, abs=1e-4)


@pytest.mark.parametrize("bad", [[], [[0.0, 1.0]], [math.nan], [math.inf]])
def test_samples_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="wasserstein_1d: a must"):
        theory.wasserstein_1d(np.array(bad), np.array([0.0]))
    with pytest.raises(ValueError, match="wasserstein_1d: b must"):
        theory.wasserstein_1d(np.array([0.0]), np.array(bad))


plans = st.tuples(st.integers(1, 5).flatmap(weights), st.integers(1, 5).flatmap(weights))


@given(plans, st.lists(st.floats(0.1, 2.0), min_size=10, max_size=10))
@fast
def test_the_monotone_plan_is_the_cheapest_that_a_linear_program_finds(masses, gaps):
    p, q = masses
    n, m = len(p), len(q)
    x, y = np.cumsum(gaps[:n]), np.cumsum(gaps[5:5 + m])
    plan = theory.monotone_plan(p, q)
    assert plan.shape == (n, m) and (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), p, atol=1e-12)
    np.testing.assert_allclose(plan.sum(axis=0), q, atol=1e-12)
    cost = np.abs(x[:, None] - y)
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    best = optimize.linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([p, q]))
    assert best.success
    assert (plan * cost).sum() == pytest.approx(best.fun, abs=1e-9)
    assert (plan * cost).sum() == pytest.approx(stats.wasserstein_distance(x, y, p, q), abs=1e-12)


@pytest.mark.parametrize(("p", "q", "words"), [
    ([1.0, -0.5], [0.5], "lists of finite masses"),
    ([[1.0]], [1.0], "lists of finite masses"),
    ([1.0], [0.9], "cannot fill"),
    ([math.nan], [1.0], "finite masses"),
    ([math.inf], [math.inf], "finite masses"),
])
def test_earth_that_cannot_be_moved_is_refused(p, q, words):
    with pytest.raises(ValueError, match=words):
        theory.monotone_plan(np.array(p), np.array(q))


# ------------------------------------------------------------------------------------- the players

MINIMAX, NON_SATURATING, LIKELIHOOD = theory.GENERATOR_COSTS


def engine_slope(loss, a):
    logit = Tensor(np.array([[a]]), dtype="float64")
    return ndl.grad(loss(logit), logit).item()


# D, then the slopes -s, -(1 - s) and -s/(1 - s) with respect to the logit.
SLOPES = ((0.01, -0.01, -0.99, -0.010101), (0.5, -0.5, -0.5, -1.0), (0.99, -0.99, -0.01, -99.0))


@pytest.mark.parametrize(("d", "minimax", "non_saturating", "likelihood"), SLOPES)
def test_costs_and_slopes_are_the_engines_and_the_objectives(d, minimax, non_saturating,
                                                             likelihood):
    a = math.log(d / (1 - d))
    logit = Tensor(np.array([[a]]), dtype="float64")
    for cost, loss, value, slope in (
        (MINIMAX, Minimax().g_loss, math.log(1 - d), minimax),
        (NON_SATURATING, NonSaturating().g_loss, -math.log(d), non_saturating),
        (LIKELIHOOD, lambda x: -ops.summation(ops.exp(x)), -d / (1 - d), likelihood),
    ):
        assert cost.cost(a) == pytest.approx(value, rel=1e-12), cost.name
        assert loss(logit).item() == pytest.approx(value, rel=1e-6), cost.name
        assert cost.slope(a) == pytest.approx(slope, rel=1e-4), cost.name
        assert engine_slope(loss, a) == pytest.approx(float(cost.slope(a)), rel=1e-6), cost.name


@pytest.mark.parametrize("cost", theory.GENERATOR_COSTS, ids=lambda c: c.name)
def test_slopes_are_differences_and_formulas_are_what_is_computed(cost):
    a = np.linspace(-6, 6, 25)
    h = 1e-6
    np.testing.assert_allclose((cost.cost(a + h) - cost.cost(a - h)) / (2 * h), cost.slope(a),
                               rtol=1e-6, atol=1e-9)
    D = 1 / (1 + np.exp(-a))
    formulas = {"log(1 - D)": np.log(1 - D), "-log D": -np.log(D), "-D / (1 - D)": -D / (1 - D)}
    np.testing.assert_allclose(formulas[cost.formula], cost.cost(a), rtol=1e-9)


def test_costs_stay_finite_at_logits_at_which_d_is_rounded_to_zero_or_one():
    a = np.array([-900.0, 900.0])
    np.testing.assert_array_equal(MINIMAX.cost(a), [0.0, -900.0])
    np.testing.assert_array_equal(NON_SATURATING.cost(a), [900.0, 0.0])
    np.testing.assert_array_equal(MINIMAX.slope(a), [0.0, -1.0])
    np.testing.assert_array_equal(NON_SATURATING.slope(a), [-1.0, 0.0])
    assert LIKELIHOOD.cost(np.array([-900.0])) == 0.0


def test_where_d_is_sure_the_slopes_differ_999_times():
    a = math.log(0.001 / 0.999)
    assert NON_SATURATING.slope(a) / MINIMAX.slope(a) == pytest.approx(999.0)


def test_with_d_star_each_cost_is_the_descent_of_its_divergence():
    """Of N(theta, 0.8^2) against the data N(0, 1), with D = D*(theta0) held while G moves."""
    theta, h, sigma = 0.7, 1e-4, 0.8
    p = theory.normal_pdf(GRID)

    def q(t):
        return theory.normal_pdf(GRID, t, sigma)

    logit = theory.log_normal_pdf(GRID) - theory.log_normal_pdf(GRID, theta, sigma)

    def slope(f):
        return (f(theta + h) - f(theta - h)) / (2 * h)

    def js(t):
        return theory.js(p, q(t), GRID)

    divergences = {
        "minimax": lambda t: 2 * js(t),
        # KL(q, p) - 2 JS, which is twice the KL of the middle from the data: never negative.
        "non-saturating": lambda t: 2 * theory.kl((p + q(t)) / 2, p, GRID),
        "maximum likelihood": lambda t: theory.kl(p, q(t), GRID),
    }
    assert divergences["non-saturating"](theta) == pytest.approx(
        theory.kl(q(theta), p, GRID) - 2 * js(theta), abs=1e-9)
    for cost in theory.GENERATOR_COSTS:
        paid = slope(lambda t, c=cost: np.trapezoid(q(t) * c.cost(logit), GRID))
        assert paid == pytest.approx(slope(divergences[cost.name]), abs=1e-5), cost.name
        assert abs(paid) > 0.05, "a slope of 0 would prove nothing"


tables = st.integers(1, 5).flatmap(lambda m: st.lists(
    st.lists(st.integers(-9, 9), min_size=m, max_size=m), min_size=1, max_size=5))


@given(tables)
@fast
def test_who_moves_first_loses_nothing_by_moving_second(table):
    rows = [max(row) for row in table]
    columns = [min(column) for column in zip(*table, strict=True)]
    assert theory.min_max(np.array(table)) == min(rows)
    assert theory.max_min(np.array(table)) == max(columns)
    assert theory.max_min(np.array(table)) <= theory.min_max(np.array(table))


def test_matching_pennies_and_a_saddle():
    pennies = np.array([[1, -1], [-1, 1]])
    assert (theory.min_max(pennies), theory.max_min(pennies)) == (1.0, -1.0)
    saddle = np.array([[3, 2], [5, 1]])
    assert theory.min_max(saddle) == theory.max_min(np.array([[2, 2], [5, 1]])) + 1 == 3.0


@pytest.mark.parametrize("payoff", [np.zeros(3), np.zeros((0, 2)), np.zeros((2, 0)), 1.0,
                                    np.array([[math.nan, 1.0]])])
def test_what_is_no_table_is_refused(payoff):
    for game in (theory.min_max, theory.max_min):
        with pytest.raises(ValueError, match="table of payoffs"):
            game(payoff)


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 0.9))
@fast
def test_simultaneous_steps_turn_and_grow(x, y, rate):
    assume(math.hypot(x, y) > 0.1)
    path = theory.simultaneous_descent(x, y, rate, 30)
    step = np.array([[1.0, -rate], [rate, 1.0]])
    for n in (0, 1, 7, 30):
        np.testing.assert_allclose(path[n], np.linalg.matrix_power(step, n) @ [x, y], rtol=1e-9,
                                   atol=1e-12)
    radius = np.hypot(*path.T)
    np.testing.assert_allclose(radius[1:] / radius[:-1], math.sqrt(1 + rate**2), rtol=1e-9)


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.01, 1.9))
@fast
def test_alternating_steps_keep_an_ellipse(x, y, rate):
    path = theory.alternating_descent(x, y, rate, 200)
    x_first = np.array([[1.0, -rate], [0.0, 1.0]])
    y_then = np.array([[1.0, 0.0], [rate, 1.0]])
    np.testing.assert_allclose(path[1], y_then @ x_first @ [x, y], atol=1e-12)
    kept = path[:, 0] ** 2 + path[:, 1] ** 2 - rate * path[:, 0] * path[:, 1]
    np.testing.assert_allclose(kept, kept[0], rtol=1e-6, atol=1e-12)
    # The ellipse is no larger than its long axis.
    assert (np.hypot(*path.T) ** 2).max() <= kept[0] / (1 - rate / 2) * (1 + 1e-6) + 1e-12


def test_after_a_hundred_steps():
    start = (1.0, 0.0)
    assert np.hypot(*theory.simultaneous_descent(*start, 0.1, 100)[-1]) == pytest.approx(
        1.645, abs=5e-4)
    assert np.hypot(*theory.alternating_descent(*start, 0.1, 100).T).max() < 1.06
    assert theory.simultaneous_descent(*start, 0.1, 0).shape == (1, 2)


def test_all_names_are_documented_and_there():
    for name in theory.__all__:
        assert getattr(theory, name).__doc__, name
    assert sorted(theory.__all__) == list(theory.__all__)


# ---------------------------------------------------------------------- what rounding would spoil


@pytest.mark.parametrize("mu, sigma", [(0.0, 0.5), (4.0, 1.0), (1.0, 1.0)])
def test_value_by_logits_where_the_best_answer_is_rounded(mu, sigma):
    x = np.linspace(-20, 24, 8001)
    p, q = theory.normal_pdf(x), theory.normal_pdf(x, mu, sigma)
    logits = theory.log_normal_pdf(x) - theory.log_normal_pdf(x, mu, sigma)
    want = 2 * theory.js(p, q, x) - 2 * np.log(2)
    assert theory.value_of_logits(logits, p, q, x) == pytest.approx(want, abs=1e-9)
    weak = 0.1 * np.clip(logits, -5, 5)
    answers = 1 / (1 + np.exp(-weak))
    assert theory.value_of_logits(weak, p, q, x) == pytest.approx(theory.value(answers, p, q, x))


@pytest.mark.parametrize("name", ["kl", "js", "total_variation"])
def test_weights_that_are_no_distribution_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: probabilities sum to 1, got 3 and 1"):
        getattr(theory, name)([1.0, 2.0], [0.5, 0.5])
    half = np.full(2, 0.5)
    with pytest.raises(ValueError, match="sum to 1"):
        theory.value(half, [1.0, 2.0], [0.5, 0.5])
    with pytest.raises(ValueError, match="sum to 1"):
        theory.value_of_logits(half, [1.0, 2.0], [0.5, 0.5])
    with pytest.raises(ValueError, match="shape of p"):
        theory.value_of_logits(np.zeros(3), half, half)


def test_paths_of_less_than_no_steps_are_refused():
    for descent in (theory.simultaneous_descent, theory.alternating_descent):
        assert descent(1.0, 2.0, 0.1, 0).tolist() == [[1.0, 2.0]]
        with pytest.raises(ValueError, match="0 steps or more, got -1"):
            descent(1.0, 0.0, 0.1, -1)
