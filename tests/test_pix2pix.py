"""pix2pix: the U-Net at every size, pairs, both losses, dropout as the game's noise, resuming."""

import dataclasses
import math
import os
import signal

import numpy as np
import pytest
from kill_and_resume import same_runs

import minigrad
from gans.evaluation import judge
from gans.models import MODELS, ModelError, build, laptop_settings, paper_settings, settings_to_json
from gans.objectives import Objective
from gans.pix2pix import Pix2Pix, UNet, generator, halvings, pair
from gans.trainer import Interrupted, RunConfig, Trainer, state_arrays
from gans.translation import between, open_collections, open_pairs
from gans.translation_data import TranslationData
from gans.translator import Direction, translated
from minigrad import Tensor, no_grad, random
from minigrad.data import DataError
from minigrad.errors import ShapeError
from minigrad.nn import (
    Conv2d,
    ConvTranspose2d,
    Dropout,
    InstanceNorm2d,
    LeakyReLU,
    ReLU,
    Sequential,
    Tanh,
)

A_TO_B = Direction.A_TO_B
SHAPE = (1, 16, 16)


def small(**options) -> Pix2Pix:
    settings = dict(data_shape=SHAPE, features_G=4, features_D=4, smallest_map=2, batch_size=4)
    return Pix2Pix(**{**settings, **options})


def layers(network) -> list:
    return [m for _, m in network.named_modules() if not isinstance(m, (Sequential, UNet))]


def images(n=4, shape=SHAPE, seed=0) -> Tensor:
    g = np.random.default_rng(seed)
    return Tensor(np.tanh(g.standard_normal((n, *shape), dtype="float32")), requires_grad=False)


def pairs(n=4, shape=SHAPE):
    """The same x and -x for ever."""
    x = images(n, shape)
    while True:
        yield x, -x


def paired_data(n=24, shape=(16, 16), **more) -> TranslationData:
    """uint8 squares and their negatives; four pairs are held back."""
    g = np.random.default_rng(0)
    a = g.integers(0, 256, size=(n + 4, *shape)).astype(np.uint8)
    return between("squares", a[:n], 255 - a[:n], aligned=True, partners=True, test_a=a[n:],
                   test_b=255 - a[n:], keeps_colours=False, **more)


def copied(model) -> dict[str, np.ndarray]:
    return {key: array.copy() for key, array in state_arrays(model)[0].items()}


def changed(before, after) -> set[str]:
    assert list(before) == list(after)
    return {key for key in before if before[key].tobytes() != after[key].tobytes()}


# --------------------------------------------------------------------------------- the generator

MAPS = {  # side of an image, of the smallest map: sides of the maps on the way down
    (16, 1): [8, 4, 2, 1], (28, 2): [16, 8, 4, 2], (28, 4): [16, 8, 4], (32, 1): [16, 8, 4, 2, 1],
    (32, 2): [16, 8, 4, 2], (64, 2): [32, 16, 8, 4, 2], (128, 4): [64, 32, 16, 8, 4],
    (256, 1): [128, 64, 32, 16, 8, 4, 2, 1],
}


@pytest.mark.parametrize("side, smallest", MAPS)
def test_depth_follows_the_size(side, smallest):
    G = generator((3, side, side), 2, smallest, 0.5)
    net = G if isinstance(G, UNet) else G.layers[1]
    assert isinstance(G, UNet) == (side != 28)
    sides = MAPS[side, smallest]
    assert net.depth == len(sides) == halvings((3, side, side), smallest)
    seen = {}
    for name, parts in (("down", net.down), ("up", net.up)):
        for i, part in enumerate(parts):
            part.forward = lambda x, key=(name, i), f=part.forward: seen.setdefault(key, f(x))
    with no_grad():
        y = G(images(1, (3, side, side)))
    assert y.shape == (1, 3, side, side) and abs(y.numpy()).max() <= 1
    assert [seen["down", i].shape[2] for i in range(len(net.down))] == sides
    assert [seen["up", i].shape[2] for i in range(len(net.up))] == sides[-2::-1]
    widths = [2 * min(2**i, 8) for i in range(len(sides))]
    assert [seen["down", i].shape[1] for i in range(len(net.down))] == widths
    assert [seen["up", i].shape[1] for i in range(len(net.up))] == widths[-2::-1]
    for (name, i), y in seen.items():
        norms, dropouts = (sum(isinstance(m, kind) for m in (net.down if name == "down" else
                                                             net.up)[i])
                           for kind in (InstanceNorm2d, Dropout))
        first = (name, i) == ("down", 0)
        assert norms == (y.shape[2] > 2 and not first), (name, i)
        assert dropouts == (name == "up" and y.shape[2] in (2, 4, 8)), (name, i)
    assert [type(m) for m in net.last] == [ConvTranspose2d, Tanh]


def test_the_papers_network():
    """Section 6.1.1: C64-C128-C256-C512 (five times), then CD512 (three times) ... C64."""
    net = UNet(3, 256, features=64, depth=8, dropout=0.5)
    down, up = ([part.layers[0] for part in parts] for parts in (net.down, net.up))
    assert [m.out_channels for m in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [m.out_channels for m in up] == [512, 512, 512, 512, 256, 128, 64]
    assert [m.in_channels for m in up] == [512, 1024, 1024, 1024, 1024, 512, 256]
    assert (net.last.layers[0].in_channels, net.last.layers[0].out_channels) == (128, 3)
    dropped = [any(isinstance(m, Dropout) for m in part) for part in net.up]
    assert dropped == [True] * 3 + [False] * 4
    for m in [*down, *up, net.last.layers[0]]:
        assert (m.kernel_size, m.stride, m.padding) == ((4, 4), (2, 2), (1, 1))
    assert {m.negative_slope for m in layers(net) if isinstance(m, LeakyReLU)} == {0.2}
    assert sum(isinstance(m, LeakyReLU) for m in layers(net)) == 8
    assert sum(isinstance(m, ReLU) for m in layers(net)) == 7


def test_a_bias_only_where_no_norm_follows():
    for m in [*(part := small(data_shape=(1, 32, 32)).G).down, *part.up]:
        convolution = m.layers[0]
        normed = any(isinstance(layer, InstanceNorm2d) for layer in m)
        assert (convolution.bias is None) == normed


def test_skips_hand_over_what_the_smallest_map_lost():
    """With the way through the smallest map cut off, every pixel's own input still matters."""
    net = small().G
    net.down[-1].forward = lambda x: Tensor(np.zeros((len(x), 16, 2, 2), "f4"))
    net.eval()
    x = images(1).numpy()
    moved = x.copy()
    moved[0, 0, 3, 12] += 0.5
    with no_grad():
        difference = abs(net(Tensor(moved)).numpy() - net(Tensor(x)).numpy())[0, 0]
    assert np.unravel_index(difference.argmax(), difference.shape)[0] in range(0, 8)
    assert difference[:8, 8:].max() > 0


def test_28_pixels_get_a_margin_of_background():
    minigrad.manual_seed(0)
    G = generator((1, 28, 28), 4, 2, 0.0)
    x = images(2, (1, 28, 28))
    framed = np.full((2, 1, 32, 32), -1, "float32")
    framed[:, :, 2:30, 2:30] = x.numpy()
    with no_grad():
        inner = G.layers[1](Tensor(framed)).numpy()
        assert np.allclose(G(x).numpy(), inner[:, :, 2:30, 2:30], atol=1e-6)


def test_weights_begin_as_in_dcgan():
    model = small(data_shape=(3, 32, 32), features_G=16, features_D=16)
    for network in (model.G, model.loss.D):
        values = [m.weight.numpy().ravel() for m in layers(network)
                  if isinstance(m, (Conv2d, ConvTranspose2d)) and m.weight.numpy().size > 5000]
        assert values and all(abs(v.std() / 0.02 - 1) < 0.05 for v in values)
        assert all((m.bias.numpy() == 0).all() for m in layers(network)
                   if isinstance(m, (Conv2d, ConvTranspose2d)) and m.bias is not None)


def test_larger_images_than_in_training_are_translated_if_they_can_be_halved():
    model = small()
    assert translated(model, images(2, (1, 32, 48)).numpy(), A_TO_B).shape == (2, 1, 32, 48)
    with pytest.raises(ShapeError, match=r"multiples of 8 \(trained on 16\), got 20 x 20"):
        model.translate(images(2, (1, 20, 20)), A_TO_B)


@pytest.mark.parametrize("shape, message", [
    ((1, 8, 8), "8 x 8 pixels cannot be halved evenly"),
    ((3, 48, 48), "48 x 48 pixels cannot .* side must be 28 or a power of two from 16 to 256"),
    ((3, 512, 512), "from 16 to 256"),
    ((1, 32, 64), r"square images, got items of shape \(1, 32, 64\)"),
    ((2,), r"square images, got items of shape \(2,\)"),
])
def test_refused_shapes(shape, message):
    with pytest.raises(ShapeError, match=message):
        small(data_shape=shape)


@pytest.mark.parametrize("smallest", [0, -1, 3, 8])
def test_refused_smallest_maps(smallest):
    with pytest.raises(ShapeError, match=f"power of two from 1 to 4 .*, got {smallest}"):
        small(smallest_map=smallest)


@pytest.mark.parametrize("weights", [(-1, 100), (1, -1), (0, 0)])
def test_refused_weights(weights):
    with pytest.raises(ValueError, match="of at least 0, not both 0"):
        small(gan_weight=weights[0], l1_weight=weights[1])


def test_refused_dropout():
    with pytest.raises(ValueError, match="Dropout: p must be"):
        small(dropout=1.0)


# ------------------------------------------------------------------------------------- the losses


def test_defaults_are_the_papers():
    data = paired_data()
    values = paper_settings(Pix2Pix, data)
    assert values == {
        "data_shape": SHAPE, "features_G": 64, "features_D": 64, "smallest_map": 1, "dropout": 0.5,
        "noisy": True, "batch_size": 1, "lr": 2e-4, "beta1": 0.5, "gan_weight": 1.0,
        "l1_weight": 100.0, "cool_down": 0.0, "flip": True, "shift": 0, "ema_decay": 0.0,
        "objective": Objective.NON_SATURATING}
    model = small()
    for opt, network in ((model.opt_G, model.G), (model.loss.opt_D, model.loss.D)):
        assert (opt.lr, opt.beta1, opt.beta2) == (2e-4, 0.5, 0.999)
        assert [id(p) for p in opt.params] == [id(p) for p in network.parameters()]
    assert MODELS["pix2pix"] is Pix2Pix and Pix2Pix.directions == (A_TO_B,)


def test_D_sees_pairs():
    model, seen = small(data_shape=(3, 16, 16)), []
    D = model.loss.D
    assert layers(D)[0].in_channels == 6
    D.forward = lambda x, f=D.forward: seen.append(x) or f(x)
    stream = pairs(shape=(3, 16, 16))
    x, y = next(stream)
    minigrad.manual_seed(5)
    fake = model.G(x).numpy()
    minigrad.manual_seed(5)
    model.train_step(stream)
    real_pair, fake_pair, again = (t.numpy() for t in seen)
    assert np.array_equal(real_pair, np.concatenate([x.numpy(), y.numpy()], axis=1))
    assert np.array_equal(fake_pair, np.concatenate([x.numpy(), fake], axis=1))
    assert np.array_equal(again, fake_pair)
    assert seen[1].op is None and seen[2].op is not None  # D's step tells G nothing


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x.astype(np.float64))


def test_the_losses_by_hand():
    model, taken = small(gan_weight=0.7, l1_weight=3.0, dropout=0.0), []
    x, y = next(pairs())
    with no_grad():
        fake = model.G(x)
        real_logits, fake_logits = (model.loss.D(pair(x, t)).numpy() for t in (y, fake))
    minimize = model.opt_G.minimize
    model.opt_G.minimize = lambda loss: taken.append(loss.item()) or minimize(loss)
    report = model.train_step(pairs())
    l1 = abs(fake.numpy().astype(np.float64) - y.numpy()).mean()
    d_loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
    assert report["distance"].item() == pytest.approx(l1, rel=1e-5)
    assert report["d_loss"].item() == pytest.approx(d_loss, rel=1e-5)
    assert report["d_real"].item() == pytest.approx(np.exp(-softplus(-real_logits)).mean(),
                                                    rel=1e-5)
    assert taken == [pytest.approx(3.0 * l1 + 0.7 * report["g_loss"].item(), rel=1e-5)]
    # the generator learned from the opinion of the D that had learned already
    assert report["g_loss"].item() != pytest.approx(softplus(-fake_logits).mean(), rel=1e-6)


def test_g_loss_is_that_of_the_new_D():
    model = small(dropout=0.0)
    x, _ = next(pairs())
    with no_grad():
        fake = model.G(x)
    model.loss.opt_D.lr = 0.0  # D stays as it is
    with no_grad():
        logits = model.loss.D(pair(x, fake)).numpy()
    report = model.train_step(pairs())
    assert report["g_loss"].item() == pytest.approx(softplus(-logits).mean(), rel=1e-5)


def test_who_learns_in_a_step():
    model = small(ema_decay=0.9)
    before = copied(model)
    report = model.train_step(pairs())
    of = {part: {key for key in before if key.startswith(f"{part}.")}
          for part in ("G", "opt_G", "ema", "loss.D", "loss.opt_D")}
    assert set().union(*of.values()) == set(before)
    keys = changed(before, copied(model))
    for part, names in of.items():
        if part in ("G", "loss.D"):  # all of it
            assert names <= keys, names - keys
        else:
            assert names & keys
    assert model.opt_G.t == model.loss.opt_D.t == 1
    assert set(report) == {"distance", "d_loss", "g_loss", "d_real", "d_fake"}
    assert all(value.shape == () and math.isfinite(value.item()) for value in report.values())


def test_without_the_gan_there_is_no_D():
    model = small(gan_weight=0.0, l1_weight=1.0, dropout=0.0)
    assert model.loss is None and not any("D" in key for key in copied(model))
    x, y = next(pairs())
    same = small(gan_weight=0.0, l1_weight=1.0, dropout=0.0)
    for mine, other in zip(same.G.parameters(), model.G.parameters(), strict=True):
        mine.copy_(other.numpy())
    report = model.train_step(pairs())
    assert set(report) == {"distance"}
    same.opt_G.minimize(same.distance(same.G(x), y))
    for mine, other in zip(same.G.parameters(), model.G.parameters(), strict=True):
        assert np.array_equal(mine.numpy(), other.numpy())


def test_both_arms_begin_with_the_same_generator():
    arms = [build(Pix2Pix, dict(data_shape=SHAPE, features_G=4, features_D=4, smallest_map=2,
                                gan_weight=weight), 3) for weight in (1.0, 0.0)]
    for a, b in zip(*(arm.G.parameters() for arm in arms), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("gan_weight", [0.0, 1.0])
def test_it_learns(gan_weight):
    """To invert: the distance falls to a third of what it was."""
    model = small(gan_weight=gan_weight, lr=5e-3, dropout=0.0)
    first = model.train_step(stream := pairs())["distance"].item()
    for _ in range(80):
        last = model.train_step(stream)["distance"].item()
    assert last < first / 3


@pytest.mark.parametrize("objective", list(Objective))
def test_objectives(objective):
    model = small(objective=objective)
    assert math.isfinite(model.train_step(pairs())["g_loss"].item())
    assert model.loss.objective.g_loss(Tensor(np.zeros((1, 1), "f4"))).item() == pytest.approx(
        {Objective.MINIMAX: -math.log(2), Objective.NON_SATURATING: math.log(2),
         Objective.LEAST_SQUARES: 0.5}[objective])


# ---------------------------------------------------------------------------------------- dropout


def test_dropout_is_the_noise_of_training():
    model, x = small(), images()
    assert not np.array_equal(model.G(x).numpy(), model.G(x).numpy())
    quiet = small(dropout=0.0)
    assert np.array_equal(quiet.G(x).numpy(), quiet.G(x).numpy())


def translate(model, x) -> np.ndarray:
    return model.translate(x, A_TO_B).numpy()


def test_dropout_when_translating_is_always_the_same():
    model, x = small(), images()
    assert np.array_equal(translate(model, x), translate(model, x))
    model.G.eval()
    with no_grad():
        quiet = model.G(x).numpy()
    assert not np.array_equal(translate(model, x), quiet)
    model.noisy = False
    assert np.array_equal(translate(model, x), quiet)


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("training", [True, False])
def test_translating_leaves_no_trace(noisy, decay, training):
    model = small(noisy=noisy, ema_decay=decay)
    model.train_step(pairs())
    networks = [model.G, model.loss.D] + ([model.ema.module] if decay else [])
    for network in networks:
        network.train(training)
    before, state = copied(model), random.get_state()
    y = model.translate(images(), A_TO_B)
    assert y.shape == (4, *SHAPE) and not y.requires_grad and y.op is None
    assert not changed(before, copied(model)) and random.get_state() == state
    assert all(m.training == training for n in networks for _, m in n.named_modules())


def test_the_average_translates():
    model, x = small(ema_decay=0.9), images()
    model.train_step(pairs())
    before = translate(model, x)
    for p in model.G.parameters():
        p.copy_(np.zeros(p.shape, "float32"))
    assert np.array_equal(translate(model, x), before)


def test_the_way_back_is_refused():
    with pytest.raises(ValueError, match="from A to B only"):
        small().translate(images(), Direction.B_TO_A)


# ------------------------------------------------------------------------------ data and options


def test_pairs_stay_pairs_when_moved():
    data = paired_data()
    dataset, = small(flip=True, shift=2).datasets(data)
    x, y = dataset[np.arange(24)]
    np.testing.assert_allclose(x, -y, atol=1e-6)
    plain, = small(flip=False, shift=0).datasets(data)
    assert np.array_equal(plain[np.arange(24)][0][:, 0], data.a / np.float32(127.5) - 1)
    assert not np.array_equal(plain[np.arange(24)][0], x)


def test_unpaired_data_are_refused():
    with pytest.raises(DataError, match="not paired, and pix2pix learns from pairs"):
        small().datasets(open_collections("rotation"))
    with pytest.raises(DataError, match="no pairs are called so; did you mean 'emoji-pairs'"):
        Pix2Pix.open_data("emoji")


def test_pairs_of_a_shape_that_it_cannot_learn():
    data = paired_data(shape=(20, 20))
    with pytest.raises(ModelError, match=r"pix2pix cannot learn squares: .*power of two"):
        laptop_settings(Pix2Pix, data)


@pytest.mark.parametrize("name, shape", [("digits-edges", (1, 28, 28)),
                                         ("digits-halves", (1, 28, 28))])
def test_laptop_settings(name, shape):
    data = open_pairs(name)
    model = Pix2Pix.laptop(data)
    assert model.data_shape == data.shape == shape and not model.flip
    assert translate(model, images(2, shape)).shape == (2, *shape)
    assert math.isfinite(model.train_step(pairs(2, shape))["distance"].item())


def test_rates_cool_down_at_the_end():
    for model in (small(cool_down=0.5), small(cool_down=0.5, gan_weight=0.0)):
        model.set_total_steps(4)
        players = [model.opt_G] + ([model.loss.opt_D] if model.loss else [])
        rates = []
        for _ in range(4):
            rates.append([opt.lr / model.lr for opt in players])
            model.train_step(pairs())
        assert rates == [[rate] * len(players) for rate in (1, 1, 1, 0.5)]
        assert all(opt.lr == 0 for opt in players)
    steady = small()
    steady.set_total_steps(4)
    assert steady.schedules == []


def test_the_judge_takes_it():
    data = paired_data(test_labels=None)
    model = small(ema_decay=0.5)
    scores = {score.name: score for score in judge(data).evaluate(model, 4, 0).scores}
    assert {"l1_ab", "gain_ab", "psnr_ab", "sharpness_ab", "retrieval_ab"} <= set(scores)
    assert not any(name.endswith("_ba") for name in scores)


# --------------------------------------------------------------------------------------- resuming

CONFIG = RunConfig("pix2pix", {}, {}, 3, steps=8, log_every=1, report_every=4, threads=1)


def run(folder, stop_at=None, resume=False, monkeypatch=None, **options) -> Pix2Pix:
    """Eight steps; interrupted after ``stop_at``, or going on from there."""
    data = paired_data()
    values = {**paper_settings(Pix2Pix, data), "features_G": 4, "features_D": 4, "shift": 1,
              "smallest_map": 2, "batch_size": 4, "ema_decay": 0.9, "cool_down": 0.5, **options}
    config = dataclasses.replace(CONFIG, settings=settings_to_json(values), data=data.describe())
    trainer = Trainer(build(Pix2Pix, values, 3), data, judge(data), config, folder, progress=False)
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


@pytest.mark.parametrize("gan_weight", [1.0, 0.0])
def test_runs_repeat_and_resume_bit_for_bit(tmp_path, monkeypatch, gan_weight):
    monkeypatch.setattr(Trainer, "_draw_curves", lambda self: None)
    whole = run(tmp_path / "whole", gan_weight=gan_weight)
    run(tmp_path / "cut", stop_at=3, monkeypatch=monkeypatch, gan_weight=gan_weight)
    assert "checkpoint: G.last.layers.0.weight" in same_runs(tmp_path / "whole", tmp_path / "cut")
    resumed = run(tmp_path / "cut", resume=True, gan_weight=gan_weight)
    assert same_runs(tmp_path / "whole", tmp_path / "cut") == []
    assert np.array_equal(translate(whole, images()), translate(resumed, images()))
