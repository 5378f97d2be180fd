"""The losses of the two players: values, slopes and the identities of the lectures."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as ndl
from gans.objectives import (
    OBJECTIVES,
    LeastSquares,
    Minimax,
    NonSaturating,
    Objective,
    Wasserstein,
)
from minigrad import Tensor


def logits(*values):
    return Tensor(np.array(values, dtype="float64")[:, None], dtype="float64")


def slope(loss, a):
    """d loss / d logit at a single logit."""
    x = logits(a)
    return ndl.grad(loss(x), x).item()


def test_every_name_has_an_object_and_one_only():
    assert set(OBJECTIVES) == set(Objective)
    assert len({type(o) for o in OBJECTIVES.values()}) == len(Objective)


@pytest.mark.parametrize("d", [0.001, 0.3, 0.5, 0.99])
def test_minimax_is_zero_sum_and_written_on_probabilities(d):
    a = math.log(d / (1 - d))
    real = 0.8
    b = math.log(real / (1 - real))
    d_loss = Minimax().d_loss(logits(b), logits(a)).item()
    assert d_loss == pytest.approx(-math.log(real) - math.log(1 - d))
    assert Minimax().g_loss(logits(a)).item() == pytest.approx(math.log(1 - d))
    assert NonSaturating().g_loss(logits(a)).item() == pytest.approx(-math.log(d))


def test_the_non_saturating_slope_is_999_times_larger_where_d_is_sure():
    a = math.log(0.001 / 0.999)  # D(G(z)) = 0.001
    saturating, non_saturating = slope(Minimax().g_loss, a), slope(NonSaturating().g_loss, a)
    assert saturating == pytest.approx(-0.001)
    assert non_saturating == pytest.approx(-0.999)
    assert non_saturating / saturating == pytest.approx(999)


def test_sign_flip_and_label_flip_agree_only_where_d_is_undecided():
    assert slope(Minimax().g_loss, 0.0) == pytest.approx(slope(NonSaturating().g_loss, 0.0))
    assert slope(Minimax().g_loss, 2.0) != pytest.approx(slope(NonSaturating().g_loss, 2.0))


def test_at_balance_the_discriminator_loss_is_two_log_two():
    assert Minimax().d_loss(logits(0.0), logits(0.0)).item() == pytest.approx(2 * math.log(2))


def test_one_sided_smoothing_moves_the_optimum_to_nine_tenths():
    smooth = Minimax(real_label=0.9)
    # at p_data = p_model the optimal D is 0.9 / 2 = 0.45, with loss 1.3763
    best = math.log(0.45 / 0.55)
    x = logits(best)
    total = ndl.grad(smooth.d_loss(x, x), x).item()
    assert total == pytest.approx(0.0, abs=1e-12)
    assert smooth.d_loss(x, x).item() == pytest.approx(1.3763, abs=5e-5)


def test_least_squares_values_and_slopes():
    ls = LeastSquares()
    assert ls.d_loss(logits(0.0), logits(1.0)).item() == pytest.approx(1.0)
    assert ls.d_loss(logits(1.0), logits(0.0)).item() == 0.0
    assert slope(ls.g_loss, -5.0) == pytest.approx(-6.0)  # no saturation: (a - c)
    pearson = LeastSquares(-1, 1, 0)
    assert pearson.g_loss(logits(2.0)).item() == pytest.approx(2.0)


def test_wasserstein_losses_are_differences_of_means():
    w = Wasserstein()
    real, fake = logits(1.0, 4.0), logits(-2.0, 0.5, 3.0)
    assert w.d_loss(real, fake).item() == pytest.approx(0.5 - 2.5)
    assert w.g_loss(fake).item() == pytest.approx(-0.5)
    # the game is zero-sum: what does not depend on G is a constant to it
    assert w.d_loss(real, fake).item() + w.g_loss(fake).item() == pytest.approx(-2.5)
    # a critic is known up to a constant, which the slopes and the difference do not see
    assert w.d_loss(real + 7.0, fake + 7.0).item() == pytest.approx(w.d_loss(real, fake).item())
    assert [slope(w.g_loss, a) for a in (-50.0, 0.0, 50.0)] == [-1.0] * 3  # never saturates
    assert ndl.grad(w.d_loss(real, fake), [real, fake])[0].numpy().tolist() == [[-0.5]] * 2


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=lambda o: type(o).__name__)
def test_losses_are_finite_scalars_of_the_input_dtype(objective):
    far = Tensor(np.array([[1000.0], [-1000.0]], dtype="float32"))
    for loss in (objective.d_loss(far, far), objective.g_loss(far)):
        assert loss.shape == () and loss.dtype == "float32" and np.isfinite(loss.item())
    belief = objective.belief(far).numpy()
    assert ((belief >= 0) & (belief <= 1)).all()
    ndl.gradcheck(objective.g_loss, logits(0.3, -1.2))
    ndl.gradcheck(objective.d_loss, logits(0.3, -1.2), logits(0.7, 2.0))
