"""GANs on a line: exact densities, every demonstration's number, resuming, and the Dirac GAN."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

import minigrad as ndl
from gans import dynamics
from gans.dynamics import (
    BELL,
    FIVE_STEPS,
    TWO_MODES,
    DiracGAN,
    InstanceNoise,
    LineData,
    LineGAN,
    Order,
    Place,
    ReplayPool,
    Rule,
    density_of,
    diagnose,
    flips,
    record,
    seeded,
    snapshot,
)
from gans.monitor import Sickness
from gans.objectives import Objective
from gans.theory import normal_pdf, wasserstein_1d
from gans.trainer import load_state, named_state, state_arrays
from minigrad import Tensor


def batch(values):
    return Tensor(np.asarray(values, dtype="float32")[:, None], requires_grad=False)


# ----------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("before", [0, 2, 40])
def test_a_training_with_a_pool_resumes_bit_for_bit(before):
    """Before the first batch, half full, and full."""
    def make():
        return LineGAN(pool_share=0.5, pool_capacity=500, batch_size=32, hidden_D=(4,))

    with seeded(3):
        one = make()
        stream = TWO_MODES.batches(32, np.random.default_rng(0))
        for _ in range(before):
            one.train_step(stream)
        assert any(isinstance(value, ReplayPool) for value in named_state(one).values())
        arrays, generators = state_arrays(one)
        noise = ndl.random.get_state()
        rest = [next(stream) for _ in range(20)]
        for i in range(20):
            one.train_step(iter(rest[i:]))
        two = make()
        load_state(two, arrays, generators)
        ndl.random.set_state(noise)
        for i in range(20):
            two.train_step(iter(rest[i:]))
    x = np.linspace(-3, 3, 20)
    assert np.array_equal(one.curve_of_D(x), two.curve_of_D(x))
    assert np.array_equal(one.loss.pool.stored, two.loss.pool.stored)


# --------------------------------------------------------------------------------- the exact curves


def test_data_have_the_density_that_they_claim():
    x = TWO_MODES.grid()
    assert np.trapezoid(TWO_MODES.density(x), x) == pytest.approx(1, abs=1e-6)
    sample = TWO_MODES.sample(20_000, np.random.default_rng(0))[:, 0]
    assert sample.dtype == np.float32 and abs(sample.mean()) < 0.05
    assert abs(abs(sample) - 2).std() < 0.11 and 0.48 < (sample > 0).mean() < 0.52


@pytest.mark.parametrize("options", [dict(centres=()), dict(centres=(math.nan,)), dict(sigma=0.0),
                                     dict(sigma=math.inf)])
def test_data_refuse(options):
    with pytest.raises(ValueError, match="LineData"):
        LineData(**options)


def test_the_density_of_a_known_curve():
    """G(z) = z^3 of a uniform z has the density |x|^(-2/3) / 6 on [-1, 1]; a fold counts twice."""
    z, x = dynamics._Z, np.linspace(-1.5, 1.5, 601)
    got = density_of(z**3, x)
    inside = (abs(x) > 0.1) & (abs(x) < 0.98)
    np.testing.assert_allclose(got[inside], abs(x[inside]) ** (-2 / 3) / 6, rtol=0.03)
    assert got[abs(x) > 1.02].max() == 0
    assert np.trapezoid(density_of(abs(z), x), x) == pytest.approx(1, abs=0.01)
    assert density_of(abs(z), x)[x < -0.02].max() == 0
    assert density_of(abs(z), x)[450 - 50] == pytest.approx(1, rel=0.02)


class Quantiles(ndl.nn.Module):
    """The perfect generator of N(0, 0.5^2)."""

    def forward(self, z):
        normal = NormalDist(0, 0.5)
        return batch([normal.inv_cdf((value + 1) / 2) for value in z.numpy()[:, 0]])


def test_a_snapshot_of_a_perfect_and_of_a_distant_generator():
    gan = LineGAN(hidden_G=None)
    data = LineData((0.0,), 0.5)
    gan.G.place.copy_(np.array([[50.0]], "float32"))
    assert snapshot(gan, data).tv == pytest.approx(1, abs=1e-6)
    gan.G = Quantiles()
    state = snapshot(gan, data)
    assert state.tv < 0.01
    middle = abs(state.x) < 1
    np.testing.assert_allclose(state.best_D[middle], 0.5, atol=0.02)
    assert np.trapezoid(state.model, state.x) == pytest.approx(1, abs=0.01)
    by_hand = np.average(abs(state.D - 0.5), weights=state.data)
    assert state.d_error == pytest.approx(by_hand, abs=0.01)


def test_the_slope_is_that_of_the_loss_and_touches_nothing():
    with seeded(1):
        gan = LineGAN(instance_noise=1.0)
        before, D_before = ndl.random.get_state(), gan.curve_of_D(np.zeros(1))
        minimax, other = gan.slope(Objective.MINIMAX), gan.slope(Objective.NON_SATURATING)
        assert ndl.random.get_state() == before and gan.D.training
    assert all(p.grad is None for p in gan.G.parameters())
    assert gan.curve_of_D(np.zeros(1)) == D_before
    place = LineGAN(hidden_G=None, hidden_D=())
    logit = place.D.modules[1].modules[0]
    logit.weight.copy_(np.array([[2.0]], "float32"))
    logit.bias.copy_(np.array([[-4.0]], "float32"))
    # D's logit is 2 x - 4 with x near 0: d/dplace of log(1 - D) is -2 s, of -log D is -2 (1 - s)
    s = 1 / (1 + np.exp(4 - 2 * 0.17 * dynamics._Z[::8]))
    assert place.slope(Objective.MINIMAX) == pytest.approx(2 * s.mean(), rel=1e-4)
    assert place.slope(Objective.NON_SATURATING) == pytest.approx(2 * (1 - s).mean(), rel=1e-4)
    assert minimax > 0 and other > 0


def test_instance_noise_blurs_in_training_and_not_in_eval():
    noise, x = InstanceNoise(0.5), batch(np.zeros(4000))
    with seeded(0):
        assert noise(x).numpy().std() == pytest.approx(0.5, rel=0.05)
    noise.eval()
    assert np.array_equal(noise(x).numpy(), x.numpy())
    with pytest.raises(ValueError, match="sigma"):
        InstanceNoise(-1.0)


def test_a_place_moves_as_one():
    place = Place(width=0.5)
    place.place.copy_(np.array([[3.0]], "float32"))
    assert place(batch([-1, 0, 1])).numpy()[:, 0].tolist() == [2.5, 3.0, 3.5]
    assert len(place.parameters()) == 1


# -------------------------------------------------------------------------------------- recordings


def test_recordings_repeat_bit_for_bit_and_reading_changes_nothing():
    finals = []
    for every, keep in ((5, (0, 30)), (5, (0, 30)), (60, ())):
        with seeded(2):
            recording = record(LineGAN(instance_noise=0.1, pool_share=0.5, pool_capacity=100),
                               TWO_MODES, 60, seed=2, every=every, keep=keep)
        finals.append(recording)
    one, two, rarely = finals
    assert all(np.array_equal(one[name], two[name]) for name in one.columns)
    assert [state.step for state in one.snapshots] == [0, 30]
    assert all(one[name][-1] == rarely[name][-1] for name in one.columns)
    with seeded(3):
        other = record(LineGAN(), TWO_MODES, 60, seed=3)
    assert one["d_loss"][-1] != other["d_loss"][-1]


def test_seeded_puts_the_generator_back():
    ndl.manual_seed(1)
    before = ndl.random.get_state()
    with pytest.raises(RuntimeError), seeded(9):
        ndl.random.generator().random(5)
        raise RuntimeError
    assert ndl.random.get_state() == before


def test_record_reads_distances_that_theory_confirms():
    with seeded(0):
        recording = record(LineGAN(hidden_G=None), TWO_MODES, 10)
    state = snapshot(recording.gan, TWO_MODES)
    assert recording["tv"][-1] == state.tv
    assert recording["mean"][-1] == pytest.approx(float(recording.gan.G.place.numpy()[0, 0]),
                                                  abs=1e-5)
    # all samples at one place m between the modes: W is the mean distance to the data, 2
    assert recording["w"][-1] == pytest.approx(2, abs=0.1)
    real = TWO_MODES.sample(2000, np.random.default_rng([0, 1]))[:, 0]
    assert recording["w"][-1] == wasserstein_1d(state.G, real)


@pytest.mark.parametrize("options", [dict(steps=0), dict(steps=5, every=0),
                                     dict(steps=5, keep=(6,)), dict(steps=5, keep=(-1,))])
def test_record_refuses(options):
    with pytest.raises(ValueError, match="record"):
        record(LineGAN(), TWO_MODES, **options)


@pytest.mark.parametrize("options", [dict(k=0), dict(batch_size=0)])
def test_a_gan_of_no_steps_is_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        LineGAN(**options)


def test_flips_count_from_one_side_to_the_other():
    assert flips(np.array([2, -2, 2, 0.5, -0.5, 2, -1.5])) == 3
    assert flips(np.array([0.9, -0.9, 0.9])) == 0 and flips(np.array([])) == 0
    with pytest.raises(ValueError, match="least"):
        flips(np.zeros(3), least=0.0)


# ------------------------------------------------------------- the demonstrations' pass numbers


def test_figure_one():
    a, b, c, d = dynamics.figure_one()
    assert a.tv >= 5 * d.tv, (a.tv, d.tv)
    assert b.tv == a.tv and b.d_error < a.d_error / 2  # D alone moved, towards D*
    assert c.tv < a.tv and np.array_equal(c.D, b.D)  # G alone moved, towards the data
    assert d.d_error < 0.03
    crowd = (d.data > 0.1) & (d.model > 0.1)
    assert abs(d.D[crowd] - 0.5).mean() < 0.06


def test_the_cycle_of_two_modes_and_the_pool():
    plain, pooled = dynamics.mode_cycle(1000), dynamics.mode_cycle(1000, pool=True)
    assert flips(plain["mean"]) >= 16, flips(plain["mean"])
    assert flips(pooled["mean"]) <= flips(plain["mean"]) / 2, flips(pooled["mean"])
    assert [state.step for state in plain.snapshots] == list(FIVE_STEPS)
    means = [float(state.G.mean()) for state in plain.snapshots]
    np.testing.assert_allclose(np.array(means)[[0, 1, 3, 4]], [-2, -2, 2, -2], atol=0.4)
    assert abs(means[2]) < 1
    second, fourth = plain.snapshots[1], plain.snapshots[3]
    D_at_A, D_at_B = np.interp([-2, 2], second.x, second.D)
    assert D_at_A < 0.45 and D_at_B > 0.85
    D_at_A, D_at_B = np.interp([-2, 2], fourth.x, fourth.D)
    assert D_at_A > 0.8 and D_at_B < 0.45


def test_oscillation_and_instance_noise():
    plain, cured = dynamics.oscillation(1500), dynamics.oscillation(1500, instance_noise=0.5)
    assert flips(plain["mean"]) >= 4
    assert flips(cured["mean"]) == 0
    assert abs(plain["mean"]).max() > 3 > 1 > abs(cured["mean"]).max()


def test_a_strong_discriminator_leaves_the_minimax_generator_no_slope():
    minimax = dynamics.strong_discriminator(Objective.MINIMAX, 220)
    ratio = minimax["non_saturating_slope"] / minimax["minimax_slope"]
    assert ratio.min() >= 20, ratio.min()
    assert minimax["mean"][-1] < 0
    assert [found.name for found in diagnose(minimax)] == [Sickness.DISCRIMINATOR_WON]
    other = dynamics.strong_discriminator(Objective.NON_SATURATING, 60)
    assert other["mean"][-1] == pytest.approx(4, abs=0.2)


def test_a_weak_discriminator_is_content_far_from_the_data():
    weak = dynamics.weak_discriminator(600)
    late = slice(-20, None)
    for name in ("d_real", "d_fake"):
        assert abs(weak[name][late] - 0.5).max() < 0.05
    floor = dynamics.floor(TWO_MODES, pairs=4)
    assert weak["w"][late].min() >= 5 * floor, (weak["w"][late].min(), floor)
    assert diagnose(weak) == []


def test_the_healthy_training_is_near_the_data_and_the_collapsed_one_is_not():
    healthy, collapsed = dynamics.healthy(800), dynamics.collapse(600)
    assert healthy["w"][-20:].mean() < 0.35 < 1.5 < collapsed["w"][-20:].mean()
    assert diagnose(healthy) == []
    assert [found.name for found in diagnose(collapsed)] == [Sickness.COLLAPSE]


def test_a_discriminator_that_forgets_everything_freezes():
    assert Sickness.FROZEN in [found.name for found in diagnose(dynamics.frozen())]


# ---------------------------------------------------------------------------------- the Dirac GAN


@pytest.mark.parametrize("objective", [Objective.MINIMAX, Objective.NON_SATURATING])
@pytest.mark.parametrize(("noise", "penalty"), [(0, 0), (0.7, 0), (3, 0), (0, 0.3), (0, 2)])
def test_eigenvalues_in_closed_form(objective, noise, penalty):
    game = DiracGAN(objective, noise=noise, penalty=penalty)
    half = noise**2 / 4 + penalty / 2
    root = np.sqrt(complex(half**2 - 0.25))
    got = np.sort_complex(np.linalg.eigvals(game.jacobian()))
    np.testing.assert_allclose(got, np.sort_complex([-half - root, -half + root]), atol=1e-7)
    assert game.velocity(0, 0) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("objective", [Objective.MINIMAX, Objective.NON_SATURATING])
def test_the_jacobian_is_the_slope_of_the_velocity_everywhere(objective):
    game, h = DiracGAN(objective, noise=0.5, penalty=0.2), 1e-5
    numeric = np.stack([(game.velocity(0.7 + h, -0.4) - game.velocity(0.7 - h, -0.4)) / (2 * h),
                        (game.velocity(0.7, -0.4 + h) - game.velocity(0.7, -0.4 - h)) / (2 * h)], 1)
    np.testing.assert_allclose(game.jacobian(0.7, -0.4), numeric, atol=1e-8)


def test_the_velocity_by_hand():
    def s(a):
        return 1 / (1 + math.exp(-a))

    theta, psi = 0.8, -1.3
    got = DiracGAN().velocity(theta, psi)
    assert got == pytest.approx([s(theta * psi) * psi, -s(theta * psi) * theta])
    got = DiracGAN(Objective.NON_SATURATING, penalty=2.0).velocity(theta, psi)
    assert got == pytest.approx([s(-theta * psi) * psi, -s(theta * psi) * theta - 2 * psi])


def test_step_matrices_and_paths():
    game, rate = DiracGAN(), 0.2
    out = abs(np.linalg.eigvals(game.step_matrix(rate)))
    np.testing.assert_allclose(out, math.sqrt(1 + rate**2 / 4), rtol=1e-9)
    stay = game.step_matrix(rate, Order.ALTERNATING)
    assert np.linalg.det(stay) == pytest.approx(1)
    np.testing.assert_allclose(abs(np.linalg.eigvals(stay)), 1, rtol=1e-9)
    small = game.path(1e-4, 2e-4, rate, 3, Order.ALTERNATING)
    np.testing.assert_allclose(small[3], np.linalg.matrix_power(stay, 3) @ small[0], rtol=1e-6)
    assert np.hypot(*game.path(1, 0, rate, 100)[-1]) > 1.5
    assert np.hypot(*game.path(1, 0, rate, 100, Order.ALTERNATING)[-1]) == pytest.approx(1, abs=.1)
    for cure in (DiracGAN(noise=1.0), DiracGAN(penalty=0.5)):
        assert np.hypot(*cure.path(1, 0, rate, 100)[-1]) < 0.02
        assert abs(np.linalg.eigvals(cure.step_matrix(rate))).max() < 1


@pytest.mark.parametrize("options", [dict(objective=Objective.LEAST_SQUARES), dict(noise=-1.0),
                                     dict(penalty=-0.1), dict(noise=math.nan)])
def test_the_dirac_gan_refuses(options):
    with pytest.raises(ValueError, match="DiracGAN"):
        DiracGAN(**options)


def test_the_normal_density_of_the_bell_is_theory_s():
    x = BELL.grid()
    assert np.array_equal(BELL.density(x), normal_pdf(x, 1.0, 1.0))
    assert LineGAN(rule=Rule.SGD).sample(5, np.random.default_rng(0)).shape == (5, 1)
