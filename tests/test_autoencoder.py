"""The plain and the denoising autoencoder, and the Gaussian of codes that they sample from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import minigrad as ndl
from gans.autoencoder import Autoencoder, psnr
from gans.evaluation import open_data
from gans.trainer import load_state, state_arrays
from minigrad import Tensor, random
from minigrad.errors import ShapeError

SIDE = 6


def small(**options) -> Autoencoder:
    settings = dict(data_shape=(1, SIDE, SIDE), code_dim=3, hidden=(10, 7), batch_size=8)
    return Autoencoder(**{**settings, **options})


def pictures(n=8, seed=0) -> Tensor:
    """Images in [-1, 1] that a single number describes: the grey of each of their rows."""
    level = np.random.default_rng(seed).uniform(-1, 1, (n, 1, SIDE, 1))
    return Tensor(np.broadcast_to(level, (n, 1, SIDE, SIDE)).astype("float32").copy(),
                  requires_grad=False)


def batches(batch_size=8, seed=0):
    while True:
        yield pictures(batch_size, seed)
        seed += 1


def digits(batch_size, seed=0):
    images = open_data("digits").dataset[np.arange(8000)][0]
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(images[g.integers(0, len(images), batch_size)], requires_grad=False)


def held_out_data(n_train, n_held_out):
    data = open_data("digits")
    return dataclasses.replace(data, train=data.train[:n_train],
                               held_out=data.held_out[:n_held_out])


# ------------------------------------------------------------------------------------------ loss


def test_the_loss_is_the_squared_error_on_the_scale_from_0_to_1():
    model = small()
    x = pictures()
    result = model.reconstruct(x).numpy().astype("float64")
    expected = np.mean(((result + 1) / 2 - (x.numpy() + 1) / 2) ** 2)
    assert model.train_step(iter([x]))["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_the_denoising_loss_compares_with_the_clean_images():
    model = small(noise_std=0.4)
    x = pictures()
    eps = np.random.default_rng(7).standard_normal(x.shape, dtype="float32")
    spoilt = Tensor(x.numpy() + 0.8 * eps, requires_grad=False)  # 0.4 of [0, 1], 0.8 of [-1, 1]
    expected = np.mean(((model.reconstruct(spoilt).numpy() - x.numpy()) / 2) ** 2)
    ndl.manual_seed(7)
    assert model.train_step(iter([x]))["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_noise_has_its_standard_deviation_and_none_leaves_the_images_alone():
    x = pictures(500)
    assert small().corrupt(x) is x
    spoilt = small(noise_std=0.3).corrupt(x, np.random.default_rng(0)).numpy()
    added = (spoilt - x.numpy()) / 2  # on [0, 1]
    assert added.std() == pytest.approx(0.3, rel=0.02) and abs(added.mean()) < 0.01
    assert np.abs(spoilt).max() > 1  # not clipped


@pytest.mark.parametrize("noise_std", [0.0, 0.4])
def test_the_loss_falls_on_real_digits(noise_std):
    model = Autoencoder(hidden=(128,), batch_size=64, noise_std=noise_std)
    stream = digits(64)
    losses = [model.train_step(stream)["loss"].item() for _ in range(200)]
    assert losses[0] > 0.15
    assert np.mean(losses[-20:]) < 0.05


def test_rows_of_grey_are_learned_through_six_numbers():
    ndl.manual_seed(0)
    model, stream = small(code_dim=6, hidden=(64,), lr=3e-3), batches(32)
    for _ in range(1500):
        loss = model.train_step(stream)["loss"].item()
    assert loss < 0.001


def test_a_batch_of_one_is_learned_from():
    model = small(batch_size=1)
    report = model.train_step(batches(batch_size=1))
    assert set(report) == {"loss"} and report["loss"].shape == ()
    assert np.isfinite(model.sample(2, np.random.default_rng(0)).numpy()).all()


# ------------------------------------------------------------------------------------------ codes


def test_the_first_batches_give_their_own_mean_and_covariance():
    """Steps of rate 0 leave the encoder alone, so all codes are of one network."""
    model = small(lr=0.0)
    parts = [pictures(8, seed) for seed in range(5)]
    for part in parts:
        model.train_step(iter([part]))
    codes = np.concatenate([model.encode(part).numpy() for part in parts]).astype("float64")
    np.testing.assert_allclose(model.code_mean.numpy(), codes.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.code_cov.numpy(), np.cov(codes, rowvar=False, bias=True),
                               rtol=1e-4, atol=1e-6)


def test_old_batches_are_forgotten():
    model = small(lr=0.0)
    one, two = pictures(64, 1), pictures(64, 2)
    two = Tensor(0.3 * two.numpy() - 0.7, requires_grad=False)  # elsewhere, and darker
    for _ in range(100):
        model.train_step(iter([one]))
    for _ in range(700):  # 0.99^700 is 0.0009
        model.train_step(iter([two]))
    codes = model.encode(two).numpy().astype("float64")
    np.testing.assert_allclose(model.code_mean.numpy(), codes.mean(axis=0), rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(model.code_cov.numpy(), np.cov(codes, rowvar=False, bias=True),
                               rtol=0.02, atol=2e-3)


def test_the_statistics_are_replaced_and_not_written_in_place():
    model = small()
    mean, cov = model.code_mean, model.code_cov
    before = mean.numpy(), cov.numpy()
    model.train_step(batches())
    assert model.code_mean is not mean and model.code_cov is not cov
    assert np.array_equal(mean.numpy(), before[0]) and np.array_equal(cov.numpy(), before[1])


def test_drawn_codes_have_the_running_mean_and_covariance():
    model, stream = small(), batches()
    for _ in range(50):
        model.train_step(stream)
    z = model.noise(40_000, np.random.default_rng(0)).numpy().astype("float64")
    scale = np.sqrt(np.diag(model.code_cov.numpy()).max())
    np.testing.assert_allclose(z.mean(axis=0), model.code_mean.numpy(), atol=0.03 * scale)
    np.testing.assert_allclose(np.cov(z, rowvar=False), model.code_cov.numpy(),
                               atol=0.03 * scale ** 2)


def test_sampling_repeats_and_changes_nothing():
    model = small()
    model.train_step(batches())
    before, _ = state_arrays(model)
    engine = random.get_state()
    one = model.sample(7, np.random.default_rng(3)).numpy()
    again = model.sample(7, np.random.default_rng(3)).numpy()
    other = model.sample(7, np.random.default_rng(4)).numpy()
    assert one.shape == (7, 1, SIDE, SIDE) and np.abs(one).max() <= 1
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert random.get_state() == engine
    after, _ = state_arrays(model)
    assert all(np.array_equal(before[key], after[key]) for key in before)


# ----------------------------------------------------------------------------------------- state


def test_a_resumed_training_is_the_same_bit_for_bit():
    ndl.manual_seed(3)
    whole, stream = small(noise_std=0.2), batches()
    for _ in range(5):
        whole.train_step(stream)
    arrays, generators = state_arrays(whole)
    assert {"code_mean", "code_cov"} <= arrays.keys()
    engine = random.get_state()
    for _ in range(5):
        last = whole.train_step(stream)
    resumed, rest = small(noise_std=0.2), batches(seed=5)
    load_state(resumed, arrays, generators)
    random.set_state(engine)
    for _ in range(5):
        again = resumed.train_step(rest)
    assert last["loss"].item() == again["loss"].item()
    expected, got = state_arrays(whole)[0], state_arrays(resumed)[0]
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[key], got[key]) for key in expected)


def test_what_is_no_image_or_no_noise_is_refused():
    with pytest.raises(ValueError, match=r"wants images of shape \(c, h, w\), got .*\(2,\)"):
        Autoencoder.laptop(open_data("ring8"))
    with pytest.raises(ValueError, match=r"at least 0, got -0\.1"):
        small(noise_std=-0.1)
    with pytest.raises(ValueError, match="finite and at least 0, got nan"):
        small(noise_std=float("nan"))
    with pytest.raises(ValueError, match="code_dim must be at least 1, got 0"):
        small(code_dim=0)
    with pytest.raises(ShapeError):
        small().train_step(iter([Tensor(np.zeros((2, 1, 5, 5), dtype="float32"))]))


# --------------------------------------------------------------------------------------- measure


def test_decibels():
    assert psnr(0.01) == pytest.approx(20) and psnr(1.0) == 0
    with pytest.raises(ValueError, match="above 0, got 0"):
        psnr(0.0)


def test_measure_looks_at_the_held_out_images_alone():
    model = Autoencoder(code_dim=4, hidden=(32,), noise_std=0.3)
    data = held_out_data(100, 60)
    scores = model.measure(data)
    assert model.measure(dataclasses.replace(data, train=255 - data.train)) == scores
    assert model.measure(dataclasses.replace(data, held_out=255 - data.held_out)) != scores
    assert model.measure(dataclasses.replace(data, held_out=None)) == ()


def test_measure_tells_the_error_and_the_gain_in_decibels():
    model = Autoencoder(code_dim=4, hidden=(32,), noise_std=0.3)
    data = held_out_data(10, 700)  # more than are looked at at once
    x = (data.held_out.astype("float64") / 255)[:, None]
    image = Tensor((2 * x - 1).astype("float32"), requires_grad=False)
    scores = {score.name: score.value for score in model.measure(data)}
    assert set(scores) == {"mse", "psnr", "psnr_gain"}

    def error(images):
        return np.mean(((images + 1) / 2 - x) ** 2)

    assert scores["mse"] == pytest.approx(error(model.reconstruct(image).numpy()), rel=1e-4)
    spoilt = model.corrupt(image, np.random.default_rng(0))
    after = -10 * np.log10(error(model.reconstruct(spoilt).numpy()))
    before = -10 * np.log10(error(np.clip(spoilt.numpy(), -1, 1)))
    assert scores["psnr"] == pytest.approx(after, rel=1e-4)
    assert scores["psnr_gain"] == pytest.approx(after - before, rel=1e-3)
    plain = Autoencoder(code_dim=4, hidden=(32,)).measure(data)
    assert [score.name for score in plain] == ["mse"]
