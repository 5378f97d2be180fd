"""DCGAN: every rule of the paper on the built networks, its training step, and its samples."""

import dataclasses
import math
import os
import signal

import numpy as np
import pytest
from kill_and_resume import same_runs

import minigrad
from gans import dcgan
from gans.dcgan import DCGAN, Prior, dcgan_init, discriminator, generator
from gans.evaluation import judge, open_data
from gans.models import ModelError, build, laptop_settings, paper_settings, settings_to_json
from gans.objectives import Objective
from gans.trainer import Interrupted, RunConfig, Trainer, draw_samples, state_arrays
from minigrad import Tensor, no_grad, random
from minigrad.data import Stream
from minigrad.errors import ShapeError
from minigrad.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from minigrad.optim import Adam

SHAPES = [(c, side, side) for side in (28, 32, 64) for c in (1, 3)]
SIDES = {16: [4, 8, 16], 28: [7, 14, 28], 32: [4, 8, 16, 32], 64: [4, 8, 16, 32, 64],
         128: [4, 8, 16, 32, 64, 128]}


def small(**options) -> DCGAN:
    settings = dict(data_shape=(1, 16, 16), latent_dim=6, features_G=4, features_D=4, batch_size=8)
    return DCGAN(**{**settings, **options})


def layers(network) -> list:
    """The layers in their order; whatever holds others is walked into."""
    return [m for _, m in network.named_modules() if not isinstance(m, Sequential)]


def convolutions(network) -> list:
    return [m for m in layers(network) if isinstance(m, (Conv2d, ConvTranspose2d))]


def pictures(shape=(1, 16, 16), batch_size=8, seed=0):
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(np.tanh(g.standard_normal((batch_size, *shape), dtype="float32")),
                     requires_grad=False)


def copied(model) -> dict[str, np.ndarray]:
    return {key: array.copy() for key, array in state_arrays(model)[0].items()}


def changed(before, after) -> set[str]:
    assert list(before) == list(after)
    return {key for key in before if before[key].tobytes() != after[key].tobytes()}


# ------------------------------------------------------------------- the rules, on the built nets


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def built(request) -> DCGAN:
    """The plain class, with fewer channels."""
    minigrad.manual_seed(0)
    return DCGAN(request.param, features_G=16, features_D=16)


def test_nothing_but_the_layers_of_the_paper(built):
    """No pooling, no fully connected layer, no upsampling but what is learned, no dropout."""
    assert {type(m) for m in layers(built.G)} == {
        Reshape, ConvTranspose2d, BatchNorm2d, ReLU, Tanh}
    assert {type(m) for m in layers(built.D)} == {Conv2d, BatchNorm2d, LeakyReLU, Flatten}
    assert type(layers(built.G)[0]) is Reshape and layers(built.G)[0].shape == (100, 1, 1)
    assert type(layers(built.D)[-1]) is Flatten


def test_resizing_is_strided_convolution(built):
    _, side, _ = built.data_shape
    first, *doubling = convolutions(built.G)
    assert (first.kernel_size, first.stride, first.padding) == ((SIDES[side][0],) * 2, (1, 1),
                                                                (0, 0))
    assert first.in_channels == built.latent_dim == 100
    *halving, last = convolutions(built.D)
    assert (last.kernel_size, last.stride, last.padding) == ((SIDES[side][0],) * 2, (1, 1), (0, 0))
    assert last.out_channels == 1
    assert len(doubling) == len(halving) == len(SIDES[side]) - 1
    for layer in [*doubling, *halving]:
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))


def test_maps_on_the_way(built):
    c, side, _ = built.data_shape
    for network, x, convolution, sides in (
        (built.G, built.noise(2), ConvTranspose2d, SIDES[side]),
        (built.D, next(pictures(built.data_shape, 2)), Conv2d, [*SIDES[side][-2::-1], 1]),
    ):
        seen = []
        with no_grad():
            for layer in network:
                x = layer(x)
                seen += [x.shape] if isinstance(layer, convolution) else []
        assert [shape[2:] for shape in seen] == [(s, s) for s in sides]
        channels = [shape[1] for shape in seen]
        widths = [16 * 2**i for i in range(len(sides) - 1)]
        assert channels == ([*widths[::-1], c] if convolution is ConvTranspose2d else [*widths, 1])
        assert x.shape == ((2, *built.data_shape) if convolution is ConvTranspose2d else (2, 1))


def test_batch_norm_everywhere_but_at_the_ends(built):
    g, d = layers(built.G), layers(built.D)
    of_g = [isinstance(g[i + 1], BatchNorm2d) for i, m in enumerate(g)
            if isinstance(m, ConvTranspose2d)]
    assert of_g == [True] * (len(of_g) - 1) + [False]  # not at G's output
    of_d = [isinstance(d[i + 1], BatchNorm2d) for i, m in enumerate(d) if isinstance(m, Conv2d)]
    assert of_d == [False] + [True] * (len(of_d) - 2) + [False]  # nor at D's input, nor its logit
    for network in (built.G, built.D):
        for i, m in enumerate(layers(network)):
            if isinstance(m, BatchNorm2d):
                convolution = layers(network)[i - 1]
                assert convolution.out_channels == m.dim and convolution.bias is None


def test_activations(built):
    g, d = layers(built.G), layers(built.D)
    assert type(g[-1]) is Tanh and sum(isinstance(m, Tanh) for m in g) == 1
    for i, m in enumerate(g[:-2]):
        assert not isinstance(m, BatchNorm2d) or type(g[i + 1]) is ReLU
    assert sum(isinstance(m, ReLU) for m in g) == sum(isinstance(m, BatchNorm2d) for m in g)
    assert {m.negative_slope for m in d if isinstance(m, LeakyReLU)} == {0.2}
    assert sum(isinstance(m, LeakyReLU) for m in d) == sum(isinstance(m, Conv2d) for m in d) - 1
    assert type(d[1]) is LeakyReLU
    with no_grad():
        assert abs(built.G(built.noise(4) * 100).numpy()).max() <= 1


@pytest.mark.parametrize("player", ["G", "D"])
def test_weights_begin_normal_with_deviation_002(built, player):
    network = getattr(built, player)
    for layer in convolutions(network):
        is_normal(layer.weight.numpy(), 0.0)
    norms = [m for m in layers(network) if isinstance(m, BatchNorm2d)]
    is_normal(np.concatenate([m.weight.numpy() for m in norms]), 1.0)
    assert all((m.bias.numpy() == 0).all() for m in norms)


def is_normal(values: np.ndarray, mean: float) -> None:
    """N(mean, 0.02^2), within 5 standard errors of mean, deviation and share within one of them."""
    z = (values.astype("float64").ravel() - mean) / 0.02
    n = z.size
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.std() - 1) < 5 / math.sqrt(2 * n)
    share = math.erf(1 / math.sqrt(2))  # 0.683; of uniform numbers with this deviation 0.577
    assert abs((abs(z) < 1).mean() - share) < 5 * math.sqrt(share * (1 - share) / n)


def test_init_also_clears_biases():
    layer = dcgan_init(Conv2d(3, 4, 3))
    assert (layer.bias.numpy() == 0).all()
    before = layer.weight.numpy().copy()
    assert not np.array_equal(dcgan_init(layer).weight.numpy(), before)


def test_both_optimizers_are_adam_with_the_papers_numbers(built):
    for opt, network in ((built.opt_G, built.G), (built.loss.opt_D, built.D)):
        assert type(opt) is Adam and (opt.lr, opt.beta1, opt.beta2) == (2e-4, 0.5, 0.999)
        assert opt.weight_decay == 0
        assert [id(p) for p in opt.params] == [id(p) for p in network.parameters()]


def test_defaults_are_the_papers():
    values = paper_settings(DCGAN, open_data("digits"))
    assert values == {
        "data_shape": (1, 28, 28), "latent_dim": 100, "prior": Prior.UNIFORM, "features_G": 128,
        "features_D": 128, "batch_size": 128, "lr_G": 2e-4, "lr_D": 2e-4, "beta1": 0.5,
        "ema_decay": 0.0, "cool_down": 0.0, "margin": 0, "objective": Objective.NON_SATURATING}
    assert {f.name: f.default for f in dataclasses.fields(DCGAN)}["data_shape"] == (3, 64, 64)
    widths = [m.out_channels for m in convolutions(generator(100, 128, (3, 64, 64)))]
    assert widths == [1024, 512, 256, 128, 3]  # figure 1 of the paper


def test_the_data_lie_in_the_range_of_tanh():
    data = open_data("digits")
    batch = next(Stream(data.dataset, DCGAN.batch_size, seed=0)).numpy()
    assert batch.shape == (128, 1, 28, 28) and batch.dtype == np.float32
    assert (batch.min(), batch.max()) == (-1, 1)


# ------------------------------------------------------------------------------- sizes, the prior


@pytest.mark.parametrize("side", [16, 128])
def test_other_sizes(side):
    minigrad.manual_seed(0)
    with no_grad():
        x = generator(5, 1, (3, side, side))(Tensor(np.ones((2, 5), "f4")))
        assert x.shape == (2, 3, side, side)
        assert discriminator((3, side, side), 1)(x).shape == (2, 1)


@pytest.mark.parametrize("shape, message", [
    ((1, 8, 8), "8 x 8 pixels are too small for the network; their side must be 28 or a power of "
                "two from 16 to 128"),
    ((3, 48, 48), "48 x 48 pixels are not what doubling .* side must be 28 or a power of two"),
    ((3, 256, 256), "from 16 to 128"),
    ((1, 28, 32), r"square images, got items of shape \(1, 28, 32\)"),
    ((28, 28), "square images"),
    ((2,), r"square images, got items of shape \(2,\)"),
])
def test_refused_sizes(shape, message):
    with pytest.raises(ShapeError, match=message):
        small(data_shape=shape)


@pytest.mark.parametrize("name", ["optdigits", "ring8"])
def test_data_that_it_cannot_learn(name):
    with pytest.raises(ModelError, match=f"dcgan cannot learn {name}: DCGAN: .*16 to 128"):
        laptop_settings(DCGAN, open_data(name))


def test_the_prior():
    model = small(latent_dim=50)
    z = model.noise(400, np.random.default_rng(0))
    assert z.shape == (400, 50) and z.dtype == np.float32 and not z.requires_grad
    values = z.numpy()
    assert -1 <= values.min() < -0.999 and 0.999 < values.max() <= 1
    assert abs(values.mean()) < 0.02 and abs(values.std() - 3**-0.5) < 0.02
    normal = small(latent_dim=50, prior=Prior.NORMAL).noise(400, np.random.default_rng(0)).numpy()
    assert abs(normal.std() - 1) < 0.02 and abs(normal).max() > 3
    minigrad.manual_seed(4)
    mine = model.noise(3).numpy()
    assert np.array_equal(mine, model.noise(3, np.random.default_rng(4)).numpy())


# -------------------------------------------------------------------------------------- training


def test_a_step_changes_both_players_and_nothing_else():
    model = small(ema_decay=0.9)
    stream = pictures()
    before, drawn = copied(model), np.random.default_rng(7)
    minigrad.manual_seed(7)
    report = model.train_step(stream)
    parts = {"G", "opt_G", "ema", "loss.D", "loss.opt_D"}
    keys = changed(before, copied(model))
    of = {part: {key for key in before if key.startswith(f"{part}.")} for part in parts}
    assert set().union(*of.values()) == set(before)
    for part in ("G", "loss.D"):  # all of it: weights, scales, shifts, running statistics
        assert of[part] <= keys, of[part] - keys
    assert not {key for key in keys if key.endswith("lr")}
    assert model.opt_G.t == model.loss.opt_D.t == 1
    assert all(p.grad is not None for p in model.G.parameters())
    drawn.random((8, 6), dtype="float32")  # one batch of noise is all that is drawn
    assert random.get_state() == drawn.bit_generator.state
    assert set(report) == {"d_loss", "g_loss", "d_real", "d_fake"}
    assert all(value.shape == () and math.isfinite(value.item()) for value in report.values())


def test_each_player_learns_from_its_own_loss_alone():
    model, stream = small(), pictures()
    real = next(stream)
    before = copied(model)
    fake = model.G(model.noise(8))
    model.loss.d_step(real=real, fake=fake)
    after_d = copied(model)
    model.opt_G.minimize(model.loss.g_loss(fake=fake))

    def moved(*states):
        return {key.split(".layers")[0] for key in changed(*states) if "running" not in key}

    assert moved(before, after_d) == {"loss.D", "loss.opt_D.m", "loss.opt_D.v", "loss.opt_D.t"}
    assert moved(after_d, copied(model)) == {"G", "opt_G.m", "opt_G.v", "opt_G.t"}


def test_one_batch_is_taken_and_the_fakes_are_as_many():
    model, taken = small(), []

    def counted():
        for batch in pictures(batch_size=5):
            taken.append(batch.numpy().copy())
            yield batch

    seen = []
    d_step = model.loss.d_step
    model.loss.d_step = lambda real, fake: seen.append((real, fake)) or d_step(real=real, fake=fake)
    model.train_step(counted())
    (real, fake), = seen
    assert len(taken) == 1 and fake.shape == real.shape == (5, 1, 16, 16)
    assert np.array_equal(real.numpy(), taken[0])


def test_the_average_is_that_of_the_weights():
    model, stream = small(ema_decay=0.99), pictures()
    mine = dict(model.G.named_parameters())
    for key, p in model.ema.module.named_parameters():
        assert np.array_equal(p.numpy(), mine[key].numpy())
    before = {key: p.numpy().copy() for key, p in mine.items()}
    model.train_step(stream)
    decay = 2 / 11  # of the first update, while the average is young
    for key, p in model.ema.module.named_parameters():
        expected = decay * before[key] + (1 - decay) * mine[key].numpy()
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=key)
    for (_, a), (_, b) in zip(model.ema.module.named_buffers(), model.G.named_buffers(),
                              strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_running_statistics_fit_the_averaged_weights():
    """Samples by running statistics are those by the statistics of a large batch, nearly."""
    model, stream = small(ema_decay=0.9, batch_size=32), pictures(batch_size=32)
    for _ in range(150):
        model.train_step(stream)
    z = model.noise(512, np.random.default_rng(0))
    by_running = model.decode(z).numpy()
    average = model.ema.module.train()
    with no_grad():
        by_batch = average(z).numpy()
    assert abs(by_running - by_batch).mean() < 0.1 * by_batch.std()  # 0.7 by those of the start


CONFIG = RunConfig("dcgan", {}, {}, 3, steps=10, log_every=1, report_every=5, threads=1)


def run(folder, stop_at=None, resume=False, monkeypatch=None) -> DCGAN:
    """Ten steps on the first emoji; interrupted after ``stop_at``, or going on from there."""
    data = open_data("emoji:a")
    values = dict(data_shape=data.shape, latent_dim=6, prior=Prior.UNIFORM, features_G=4,
                  features_D=4, batch_size=8, lr_G=1e-3, lr_D=1e-3, beta1=0.5, ema_decay=0.9,
                  objective=Objective.NON_SATURATING)
    config = dataclasses.replace(CONFIG, settings=settings_to_json(values), data=data.describe())
    trainer = Trainer(build(DCGAN, values, 3), data, judge(data), config, folder, progress=False)
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


def test_runs_repeat_and_resume_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_draw_curves", lambda self: None)
    whole = run(tmp_path / "whole")
    again = run(tmp_path / "again")
    assert same_runs(tmp_path / "whole", tmp_path / "again") == []
    run(tmp_path / "cut", stop_at=4, monkeypatch=monkeypatch)
    assert "checkpoint: G.layers.1.weight" in same_runs(tmp_path / "whole", tmp_path / "cut")
    resumed = run(tmp_path / "cut", resume=True)
    assert same_runs(tmp_path / "whole", tmp_path / "cut") == []
    for model in (again, resumed):
        assert np.array_equal(*(draw_samples(m, 5, np.random.default_rng(0))
                                for m in (whole, model)))


# --------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_no_trace(decay, training):
    model, stream = small(ema_decay=decay), pictures()
    model.train_step(stream)
    networks = [model.G, model.D] + ([model.ema.module] if decay else [])
    for network in networks:
        network.train(training)
    before, state = copied(model), random.get_state()
    x = model.sample(4, np.random.default_rng(1))
    y = model.decode(model.noise(4, np.random.default_rng(1)))
    assert x.shape == (4, 1, 16, 16) and np.array_equal(x.numpy(), y.numpy())
    assert not x.requires_grad and x.op is None
    assert not changed(before, copied(model)) and random.get_state() == state
    assert all(m.training == training for n in networks for _, m in n.named_modules())


def test_an_image_does_not_depend_on_the_others_of_its_batch():
    model, stream = small(ema_decay=0.9), pictures()
    for _ in range(3):
        model.train_step(stream)
    z = model.noise(9, np.random.default_rng(2))
    alone = model.decode(Tensor(z.numpy()[:2], requires_grad=False)).numpy()
    np.testing.assert_allclose(model.decode(z).numpy()[:2], alone, rtol=1e-4, atol=1e-6)


def test_samples_come_from_the_average():
    model, stream = small(ema_decay=0.9), pictures()
    model.train_step(stream)
    before = model.sample(3, np.random.default_rng(0)).numpy()
    dcgan_init(model.G)
    assert np.array_equal(model.sample(3, np.random.default_rng(0)).numpy(), before)
    dcgan_init(model.ema.module)
    assert not np.array_equal(model.sample(3, np.random.default_rng(0)).numpy(), before)


@pytest.mark.parametrize("objective", list(Objective))
def test_objectives(objective):
    model = small(objective=objective)
    model.train_step(pictures())
    assert model.balance == (None if objective is Objective.LEAST_SQUARES else 2 * math.log(2))


@pytest.mark.parametrize("name, items, shape", [("digits", 8000, (1, 28, 28)),
                                                ("emoji", 934, (3, 32, 32))])
def test_laptop_settings(name, items, shape):
    data = open_data(name)
    model = DCGAN.laptop(data)
    assert len(data.dataset) == items and model.data_shape == data.shape == shape
    assert model.ema_decay > 0 and model.sample(2, np.random.default_rng(0)).shape == (2, *shape)
    assert model.batch_size <= items and dcgan.DCGAN.default_budget == 300


# ------------------------------------------------------------------ a margin, and cooling down


def test_a_margin_is_background_that_only_the_networks_see():
    model = DCGAN((1, 28, 28), latent_dim=4, features_G=4, features_D=4, batch_size=4, margin=2)
    convolutions = [m for m in model.D if isinstance(m, Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(4, 4)] * 4  # 32 - 16 - 8 - 4 - 1
    x = Tensor(np.random.default_rng(0).random((2, 1, 28, 28), dtype="float32") * 2 - 1)
    framed = dcgan.Margin(2)(x).numpy()
    assert framed.shape == (2, 1, 32, 32)
    np.testing.assert_allclose(framed[:, :, 2:30, 2:30], x.numpy(), atol=1e-6)
    framed[:, :, 2:30, 2:30] = -1
    np.testing.assert_array_equal(framed, -1)
    np.testing.assert_allclose(dcgan.Margin(-2)(dcgan.Margin(2)(x)).numpy(), x.numpy(), atol=1e-6)
    assert model.sample(3, np.random.default_rng(0)).shape == (3, 1, 28, 28)
    assert model.D(x).shape == (2, 1)
    with pytest.raises(ShapeError, match="30 x 30"):
        DCGAN((1, 28, 28), features_G=4, features_D=4, margin=1)


def test_rates_cool_down_at_the_end():
    model = small(cool_down=0.5)
    model.set_total_steps(4)
    rates = []
    for _ in range(4):
        rates.append((model.opt_G.lr / model.lr_G, model.loss.opt_D.lr / model.lr_D))
        model.train_step(pictures())
    assert rates == [(1, 1), (1, 1), (1, 1), (0.5, 0.5)] and model.opt_G.lr == 0
