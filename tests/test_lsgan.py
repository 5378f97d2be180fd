"""LSGAN: its losses and slopes against the paper's, both kinds of networks, resuming."""

import dataclasses
import math
import os
import signal

import numpy as np
import pytest
from kill_and_resume import same_runs

import minigrad
from gans import __main__ as command_line
from gans import dcgan, gan
from gans.dcgan import DCGAN, Prior
from gans.evaluation import judge, open_data
from gans.lsgan import LSGAN
from gans.models import (
    MODELS,
    ModelError,
    build,
    laptop_settings,
    paper_settings,
    settings_from_json,
    settings_to_json,
)
from gans.objectives import LeastSquares, NonSaturating
from gans.trainer import Interrupted, RunConfig, Trainer, state_arrays
from minigrad import Tensor, grad, no_grad, random
from minigrad.errors import ShapeError
from minigrad.nn import BatchNorm2d, Conv2d, ConvTranspose2d, Linear, Sequential, Sigmoid, Tanh

IMAGE, POINT = (1, 16, 16), (2,)
BOTH = pytest.mark.parametrize("shape", [IMAGE, POINT], ids=["images", "points"])


def small(shape=POINT, **options) -> LSGAN:
    settings = dict(latent_dim=3, features_G=4, features_D=4, hidden_G=(8,), hidden_D=(8, 8),
                    batch_size=6)
    return LSGAN(shape, **{**settings, **options})


def items(shape=POINT, n=6, seed=0):
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(np.tanh(g.standard_normal((n, *shape), dtype="float32")),
                     requires_grad=False)


def layers(network) -> list:
    return [m for _, m in network.named_modules() if not isinstance(m, Sequential)]


def copied(model) -> dict[str, np.ndarray]:
    return {key: array.copy() for key, array in state_arrays(model)[0].items()}


# ------------------------------------------------------------------------------------- the losses


@BOTH
@pytest.mark.parametrize("a, b, c", [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (0.5, 3.0, 2.0)])
def test_the_losses_by_hand(shape, a, b, c):
    model, stream = small(shape, fake_label=a, real_label=b, wanted_label=c), items(shape)
    model.loss.opt_D.lr = 0.0  # so that G meets the D that is asked here
    real = next(stream)
    minigrad.manual_seed(1)
    fake = model.G(model.noise(6))
    on_real, on_fake = (model.D(x).numpy().astype(np.float64) for x in (real, fake.detach()))
    wanted = grad(LeastSquares(a, b, c).g_loss(model.D(fake)), model.G.parameters())
    minigrad.manual_seed(1)
    report = model.train_step(items(shape))
    d_loss = ((on_real - b) ** 2).mean() / 2 + ((on_fake - a) ** 2).mean() / 2
    assert report["d_loss"].item() == pytest.approx(d_loss, rel=1e-4)
    assert report["g_loss"].item() == pytest.approx(((on_fake - c) ** 2).mean() / 2, rel=1e-4)
    belief = np.clip((on_real - a) / (b - a), 0, 1).mean()
    assert report["d_real"].item() == pytest.approx(belief, rel=1e-4, abs=1e-6)
    for p, g in zip(model.G.parameters(), wanted, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g.numpy(), rtol=1e-3, atol=1e-6)


def test_the_generator_has_a_slope_where_cross_entropy_has_none():
    """The argument of section 3.2: samples that D takes for data from afar are drawn back."""
    logits = Tensor(np.array([[-30.0], [30.0]]), dtype="float64")
    (squares,) = grad(LeastSquares().g_loss(logits), [logits])
    (entropy,) = grad(NonSaturating().g_loss(logits), [logits])
    np.testing.assert_allclose(squares.numpy(), [[-15.5], [14.5]])  # both towards 1, over 2 rows
    np.testing.assert_allclose(entropy.numpy(), [[-0.5], [0.0]], atol=1e-12)


@pytest.mark.parametrize("said", [-20.0, 20.0])
def test_the_weights_of_G_feel_a_sure_D(said):
    """D's last bias makes it sure that samples are fake, or real; G's gradient is not zero."""
    model = small(ema_decay=0.0)
    last = layers(model.D)[-1]
    last.bias.copy_(np.full(last.bias.shape, said, "float32"))
    fake = model.G(model.noise(64))
    slopes = grad(model.loss.g_loss(fake=fake), model.G.parameters())
    assert max(abs(g.numpy()).max() for g in slopes) > 1e-2
    flat = grad(NonSaturating().g_loss(model.D(fake)), model.G.parameters())
    if said > 0:
        assert max(abs(g.numpy()).max() for g in flat) < 1e-6


def test_pearson():
    """At D's best, G's loss on both sets is half the chi-squared divergence of p + q from 2 q.

    Ten rows from p and ten from q, on three points; the best D says (p - q) / (p + q).
    """
    of_p, of_q = np.array([5, 3, 2]), np.array([1, 4, 5])
    p, q = of_p / 10, of_q / 10
    objective = LeastSquares(-1.0, 1.0, 0.0)

    def rows(D, counts):
        return Tensor(np.repeat(D, counts), dtype="float64")

    def d_loss(D):
        return objective.d_loss(rows(D, of_p), rows(D, of_q)).item()

    best = (p - q) / (p + q)
    assert all(d_loss(best) < d_loss(best + step) for step in 0.01 * np.eye(3))
    assert all(d_loss(best) < d_loss(best - step) for step in 0.01 * np.eye(3))
    g_loss = sum(objective.g_loss(rows(best, counts)).item() for counts in (of_p, of_q))
    chi_squared = ((2 * q - (p + q)) ** 2 / (p + q)).sum()
    assert g_loss == pytest.approx(chi_squared / 2)


@pytest.mark.parametrize("a, b, c", [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (2.0, -2.0, 0.0)])
def test_the_balance_is_the_loss_of_a_D_that_can_tell_nothing(a, b, c):
    model = small(fake_label=a, real_label=b, wanted_label=c)
    undecided = Tensor(np.full((4, 1), (a + b) / 2, "f4"))
    assert model.balance == pytest.approx(model.loss.objective.d_loss(undecided, undecided).item())


@pytest.mark.parametrize("values", [{"fake_label": 1.0}, {"wanted_label": math.nan},
                                    {"real_label": math.inf}])
def test_refused_numbers(values):
    with pytest.raises(ValueError, match="wants finite labels, fake_label and real_label not"):
        small(**values)


# ----------------------------------------------------------------------------------- the networks


def test_images_have_the_networks_of_dcgan():
    minigrad.manual_seed(2)
    model = small((3, 32, 32), margin=0)
    minigrad.manual_seed(2)
    other = DCGAN((3, 32, 32), latent_dim=3, features_G=4, features_D=4, batch_size=6)
    mine, theirs = copied(model), copied(other)
    assert list(mine) == list(theirs)
    assert all(np.array_equal(mine[key], theirs[key]) for key in mine if "weight" in key)
    assert {type(m) for m in layers(model.G)} >= {ConvTranspose2d, BatchNorm2d, Tanh}


@BOTH
def test_the_output_of_D_is_linear(shape):
    model = small(shape)
    of_D = [m for m in layers(model.D) if isinstance(m, (Conv2d, Linear))]
    assert not any(isinstance(m, (Sigmoid, Tanh)) for m in layers(model.D))
    of_D[-1].weight.copy_(1000 * of_D[-1].weight.numpy())
    with no_grad():
        x = model.D(next(items(shape))).numpy()
    assert x.shape == (6, 1) and abs(x).max() > 10


def test_points_have_the_networks_of_gan():
    model = small(hidden_G=(5, 7), hidden_D=(9,))
    for network, sizes in ((model.G, [(3, 5), (5, 7), (7, 2)]), (model.D, [(2, 9), (9, 1)])):
        assert [m.weight.shape for m in layers(network) if isinstance(m, Linear)] == sizes
    assert [type(m) for m in model.G] == [type(m) for m in gan.generator(3, (5, 7), (2,), False)]
    assert not any(isinstance(m, Tanh) for m in layers(model.G))


@pytest.mark.parametrize("shape", [(1, 20, 20), (1, 28, 32), (2, 2)])
def test_refused_shapes(shape):
    with pytest.raises(ShapeError, match="28 or a power of two from 16 to 128"):
        small(shape)


def test_the_margin_and_the_prior_are_dcgans():
    model = small((1, 28, 28), margin=2)
    assert isinstance(layers(model.D)[0], dcgan.Margin)
    assert model.sample(2, np.random.default_rng(0)).shape == (2, 1, 28, 28)
    assert abs(small(prior=Prior.UNIFORM).noise(500).numpy()).max() <= 1
    assert abs(small(prior=Prior.NORMAL).noise(500).numpy()).max() > 1


def test_defaults_are_the_papers():
    data = open_data("digits")
    values = paper_settings(LSGAN, data)
    assert (values["fake_label"], values["real_label"], values["wanted_label"]) == (0.0, 1.0, 1.0)
    assert (values["lr_G"], values["lr_D"], values["beta1"]) == (2e-4, 2e-4, 0.5)
    assert "objective" not in values and MODELS["lsgan"] is LSGAN
    assert settings_from_json(LSGAN, settings_to_json(values)) == values


@pytest.mark.parametrize("name", ["digits", "ring8", "grid25", "gaussian"])
def test_laptop_settings(name):
    data = open_data(name)
    model = LSGAN.laptop(data)
    assert model.data_shape == data.shape and model.ema_decay > 0
    assert model.sample(2, np.random.default_rng(0)).shape == (2, *data.shape)
    report = model.train_step(items(data.shape))
    assert set(report) == {"d_loss", "g_loss", "d_real", "d_fake"}


def test_its_options_stand_beside_the_trainers():
    base = laptop_settings(LSGAN, open_data("ring8"))
    train, values = command_line._parse_train(
        LSGAN, ["--steps", "7", "--fake-label", "-1", "--wanted-label", "0"], base)
    assert train.steps == 7
    assert values == {**base, "fake_label": -1.0, "wanted_label": 0.0}


def test_data_that_it_cannot_learn():
    with pytest.raises(ModelError, match="lsgan cannot learn optdigits"):
        laptop_settings(LSGAN, open_data("optdigits"))


# --------------------------------------------------------------------------------------- training


@BOTH
def test_a_step_changes_both_players_and_nothing_else(shape):
    model, stream = small(shape, ema_decay=0.9), items(shape)
    before, drawn = copied(model), np.random.default_rng(7)
    minigrad.manual_seed(7)
    report = model.train_step(stream)
    after = copied(model)
    keys = {key for key in before if before[key].tobytes() != after[key].tobytes()}
    for part in ("G", "loss.D"):
        assert {key for key in before if key.startswith(f"{part}.")} <= keys
    assert model.opt_G.t == model.loss.opt_D.t == 1
    drawn.random((6, 3), dtype="float32")  # one batch of noise is all that is drawn
    assert random.get_state() == drawn.bit_generator.state
    assert all(value.shape == () and math.isfinite(value.item()) for value in report.values())


def test_it_learns_where_the_data_are():
    model = small(hidden_G=(32,), hidden_D=(32,), lr_G=2e-3, lr_D=5e-3, batch_size=64)
    g = np.random.default_rng(0)

    def far():
        while True:
            yield Tensor(g.standard_normal((64, 2), dtype="float32") * 0.2 + 2,
                         requires_grad=False)

    stream = far()
    for _ in range(400):
        model.train_step(stream)
    mean = model.sample(500, np.random.default_rng(1)).numpy().mean(axis=0)
    assert abs(mean - 2).max() < 0.5


def test_rates_cool_down():
    model = small(cool_down=0.5)
    model.set_total_steps(4)
    for _ in range(4):
        model.train_step(items())
    assert model.opt_G.lr == model.loss.opt_D.lr == 0


CONFIG = RunConfig("lsgan", {}, {}, 3, steps=8, log_every=1, report_every=4, threads=1)


def run(folder, stop_at=None, resume=False, monkeypatch=None) -> LSGAN:
    """Eight steps on the ring; interrupted after ``stop_at``, or going on from there."""
    data = open_data("ring8")
    values = {**laptop_settings(LSGAN, data), "hidden_G": (8,), "hidden_D": (8,),
              "batch_size": 16, "cool_down": 0.5}
    config = dataclasses.replace(CONFIG, settings=settings_to_json(values), data=data.describe())
    trainer = Trainer(build(LSGAN, values, 3), data, judge(data), config, folder, progress=False)
    trainer.resume() if resume else trainer.start()
    if stop_at is None:
        trainer.run()
        return trainer.model
    advance = Trainer._advance

    def and_stop(self):
        advance(self)
        if self.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", and_stop)
        with pytest.raises(Interrupted):
            trainer.run()
    return trainer.model


def test_runs_resume_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_draw_curves", lambda self: None)
    run(tmp_path / "whole")
    run(tmp_path / "cut", stop_at=3, monkeypatch=monkeypatch)
    assert "checkpoint: G.layers.0.weight" in same_runs(tmp_path / "whole", tmp_path / "cut")
    run(tmp_path / "cut", resume=True)
    assert same_runs(tmp_path / "whole", tmp_path / "cut") == []
