"""The variational autoencoder: its KL, its draw, its bound, and what it measures."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.integrate import quad

import minigrad as ndl
from gans.evaluation import open_data
from gans.pretrained import export_generator
from gans.trainer import RunConfig, load_state, state_arrays
from gans.vae import VAE, gaussian_kl, interpolation_weights, reparameterize
from minigrad import Tensor, ops, random
from minigrad.errors import ShapeError
from minigrad.serialize import CheckpointError

SIDE = 6


def small(**options) -> VAE:
    settings = dict(data_shape=(1, SIDE, SIDE), latent_dim=3, hidden=(10, 7), batch_size=8)
    return VAE(**{**settings, **options})


def pictures(n=8, seed=0) -> Tensor:
    """Images in [-1, 1] whose pixels go with their row, so that there is something to learn."""
    g = np.random.default_rng(seed)
    level = g.uniform(-1, 1, (n, 1, SIDE, 1))
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


def tensor(values) -> Tensor:
    return Tensor(np.asarray(values, dtype="float64"), dtype="float64")


# -------------------------------------------------------------------------------------------- KL


@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (1.5, 1.0), (0.0, 0.2), (-2.0, 3.0)])
def test_the_kl_is_the_integral_of_q_log_q_over_p(mu, sigma):
    def integrand(z):
        log_q = -0.5 * ((z - mu) / sigma) ** 2 - math.log(sigma * math.sqrt(2 * math.pi))
        log_p = -0.5 * z * z - math.log(math.sqrt(2 * math.pi))
        return math.exp(log_q) * (log_q - log_p)

    expected, _ = quad(integrand, mu - 12 * sigma, mu + 12 * sigma, points=[mu])
    kl = gaussian_kl(tensor([mu]), tensor([2 * math.log(sigma)])).numpy()
    assert kl[0] == pytest.approx(expected, abs=1e-9)


def test_the_kl_agrees_with_monte_carlo_within_one_percent():
    """The bound's own terms: means and variances of a small encoder, draws by reparameterize."""
    g = np.random.default_rng(0)
    mu, log_var = tensor(g.normal(0, 1, (5, 4))), tensor(g.normal(-1, 0.7, (5, 4)))
    closed = gaussian_kl(mu, log_var).numpy().sum(axis=1)
    total, n = np.zeros(5), 100_000
    sigma2 = np.exp(log_var.numpy())
    for _ in range(n // 1000):
        eps = tensor(g.standard_normal((1000, 5, 4)))
        z = reparameterize(mu, log_var, eps).numpy()
        log_q = -0.5 * ((z - mu.numpy()) ** 2 / sigma2 + log_var.numpy())
        total += (log_q + 0.5 * z * z).sum(axis=(0, 2))
    np.testing.assert_allclose(total / n, closed, rtol=0.01)


def test_the_gradient_of_the_kl_is_mu_and_half_of_the_variances_excess():
    mu, log_var = tensor([0.7, -1.2]), tensor([0.3, -2.0])
    grads = ndl.grad(ops.summation(gaussian_kl(mu, log_var)), [mu, log_var])
    np.testing.assert_allclose(grads[0].numpy(), mu.numpy(), rtol=1e-12)
    np.testing.assert_allclose(grads[1].numpy(), (np.exp(log_var.numpy()) - 1) / 2, rtol=1e-12)


# ------------------------------------------------------------------------------------------ draw


def test_the_draw_multiplies_by_the_standard_deviation():
    mu, eps = tensor([[1.0, -2.0]]), tensor([[0.5, -1.0]])
    log_var = tensor([[math.log(9.0), math.log(0.25)]])
    np.testing.assert_allclose(reparameterize(mu, log_var, eps).numpy(), [[2.5, -2.5]], rtol=1e-12)


def test_draws_have_the_variance_that_the_encoder_gave():
    g = np.random.default_rng(0)
    z = reparameterize(tensor(0.0), tensor(math.log(4.0)), tensor(g.standard_normal(20_000)))
    assert z.numpy().var() == pytest.approx(4.0, rel=0.05)  # sigma^2 in its place would give 16


def test_gradients_through_the_draw_equal_finite_differences():
    """The whole loss with a fixed eps, with respect to every weight of the encoder's last layer."""
    ndl.set_default_dtype("float64")
    vae = small(hidden=(5,), beta=0.7)
    x = Tensor(pictures(3).numpy().astype("float64"), requires_grad=False)
    eps = Tensor(np.random.default_rng(1).standard_normal((3, 3)), requires_grad=False)

    def loss():
        reconstruction, kl = vae.losses(x, eps)
        return reconstruction + kl * vae.beta

    weight = vae.encoder.layers[-1].weight
    analytic = ndl.grad(loss(), [weight])[0].numpy()
    start, numeric, h = weight.numpy(), np.zeros(weight.shape), 1e-6
    for index in np.ndindex(*weight.shape):
        sides = []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * h
            weight.copy_(moved)
            sides.append(loss().item())
        numeric[index] = (sides[0] - sides[1]) / (2 * h)
    np.testing.assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------------------------ loss


def test_the_losses_are_those_of_numpy():
    vae = small()
    x, eps = pictures(4), vae.noise(4, np.random.default_rng(2))
    reconstruction, kl = vae.losses(x, eps)
    heads = vae.encoder(x).numpy().astype("float64")
    mu, log_var = heads[:, :3], heads[:, 3:]
    z = mu + np.exp(log_var / 2) * eps.numpy()
    logits = vae.decoder(Tensor(z.astype("float32"))).numpy().astype("float64")
    p, target = 1 / (1 + np.exp(-logits)), (x.numpy() + 1) / 2
    nats = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(axis=(1, 2, 3))
    divergence = 0.5 * (mu ** 2 + np.exp(log_var) - log_var - 1).sum(axis=1)
    assert reconstruction.item() == pytest.approx(nats.mean(), rel=1e-5)
    assert kl.item() == pytest.approx(divergence.mean(), rel=1e-4)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_weighs_the_kl_alone(beta):
    vae = small(beta=beta)
    report = {name: value.item() for name, value in vae.train_step(batches()).items()}
    assert set(report) == {"loss", "reconstruction", "kl"}
    assert report["loss"] == pytest.approx(report["reconstruction"] + beta * report["kl"],
                                           rel=1e-6)


def test_a_large_beta_silences_the_code():
    ends = {}
    for beta in (0.1, 100.0):
        ndl.manual_seed(0)
        vae, stream = small(beta=beta, lr=1e-2), batches()
        for _ in range(300):
            report = vae.train_step(stream)
        ends[beta] = report["kl"].item()
    assert ends[0.1] > 1 and ends[100.0] < 0.05


def test_the_loss_falls_on_real_digits():
    vae = VAE(latent_dim=8, hidden=(128,), batch_size=64)
    stream = digits(64)
    losses = [vae.train_step(stream)["loss"].item() for _ in range(200)]
    assert losses[0] > 784 * math.log(2)  # worse than to answer 1/2 to every pixel
    assert np.mean(losses[-20:]) < 200


def test_a_batch_of_one_is_learned_from():
    vae = small(batch_size=1)
    report = vae.train_step(batches(batch_size=1))
    assert all(t.shape == () and np.isfinite(t.item()) for t in report.values())


# ---------------------------------------------------------------------------------------- images


def test_images_lie_between_black_and_white_and_the_decoder_gives_probabilities():
    vae = small()
    z = vae.noise(5, np.random.default_rng(0))
    images, logits = vae.decode(z).numpy(), vae.decoder(z).numpy()
    assert images.shape == (5, 1, SIDE, SIDE) and np.abs(images).max() <= 1
    np.testing.assert_allclose(images, 2 / (1 + np.exp(-logits)) - 1, atol=1e-6)
    far = vae.decode(Tensor(np.full((2, 3), 1e4, dtype="float32"))).numpy()
    assert np.isfinite(far).all() and np.abs(far).max() <= 1


def test_sampling_repeats_and_changes_nothing():
    vae = small()
    before, _ = state_arrays(vae)
    engine = random.get_state()
    one = vae.sample(7, np.random.default_rng(3)).numpy()
    again = vae.sample(7, np.random.default_rng(3)).numpy()
    other = vae.sample(7, np.random.default_rng(4)).numpy()
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert random.get_state() == engine
    after, _ = state_arrays(vae)
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_reconstruct_goes_through_the_mean():
    vae = small()
    x = pictures(4)
    mu, _ = vae.encode(x)
    assert np.array_equal(vae.reconstruct(x).numpy(), vae.decode(mu).numpy())
    assert not vae.reconstruct(x).requires_grad


@pytest.mark.parametrize("shape", [(2,), (28, 28)])
def test_data_that_are_no_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"wants images of shape \(c, h, w\)"):
        VAE(shape)


@pytest.mark.parametrize("options", [{"latent_dim": 0}, {"beta": -1.0}, {"beta": math.inf}])
def test_settings_that_make_no_sense_are_refused(options):
    name, value = options.popitem()
    with pytest.raises(ValueError, match=f"{name} must be .*at least .*, got {value}"):
        small(**{name: value})


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError):
        small().train_step(iter([Tensor(np.zeros((2, 1, 5, 5), dtype="float32"))]))


# ----------------------------------------------------------------------------------- interpolation


def test_the_weights_are_k_over_n_plus_one_exactly():
    assert interpolation_weights(1).tolist() == [1 / 2]
    assert interpolation_weights(3).tolist() == [1 / 4, 2 / 4, 3 / 4]
    assert interpolation_weights(8).tolist() == [k / 9 for k in range(1, 9)]
    with pytest.raises(ValueError, match="at least 1"):
        interpolation_weights(0)


def test_interpolation_decodes_the_mixed_means():
    vae = small()
    a, b = pictures(2, seed=1), pictures(2, seed=2)
    found = vae.interpolate(a, b, 3).numpy()
    assert found.shape == (2, 3, 1, SIDE, SIDE)
    mu_a, mu_b = vae.encode(a)[0].numpy(), vae.encode(b)[0].numpy()
    for k, w in enumerate([0.25, 0.5, 0.75]):
        mixed = Tensor(((1 - w) * mu_a + w * mu_b).astype("float32"))
        np.testing.assert_allclose(found[:, k], vae.decode(mixed).numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="as many images"):
        vae.interpolate(a, pictures(3), 2)


# ---------------------------------------------------------------------------------- state, measure


def test_a_resumed_training_is_the_same_bit_for_bit():
    ndl.manual_seed(3)
    whole, stream = small(), batches()
    for _ in range(5):
        whole.train_step(stream)
    arrays, generators = state_arrays(whole)
    engine = random.get_state()
    for _ in range(5):
        last = whole.train_step(stream)
    resumed, rest = small(), batches(seed=5)
    load_state(resumed, arrays, generators)
    random.set_state(engine)
    for _ in range(5):
        again = resumed.train_step(rest)
    assert all(last[name].item() == again[name].item() for name in last)
    expected, got = state_arrays(whole)[0], state_arrays(resumed)[0]
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[key], got[key]) for key in expected)


def held_out_data(n_train, n_held_out):
    data = open_data("digits")
    return dataclasses.replace(data, train=data.train[:n_train],
                               held_out=data.held_out[:n_held_out])


def test_measure_looks_at_the_held_out_images_alone():
    vae = VAE(latent_dim=4, hidden=(32,))
    data = held_out_data(100, 60)
    scores = {score.name: score for score in vae.measure(data)}
    other_training = dataclasses.replace(data, train=255 - data.train)
    assert vae.measure(other_training) == tuple(scores.values())
    other = dataclasses.replace(data, held_out=255 - data.held_out)
    assert vae.measure(other) != tuple(scores.values())
    assert vae.measure(dataclasses.replace(data, held_out=None)) == ()


def test_measure_tells_the_error_and_the_parts_of_the_bound():
    vae = VAE(latent_dim=4, hidden=(32,))
    data = held_out_data(100, 700)  # more than are looked at at once
    scores = {score.name: score for score in vae.measure(data)}
    x = (data.held_out.astype("float64") / 127.5 - 1)[:, None]
    image = Tensor(x.astype("float32"))
    error = np.mean(((vae.reconstruct(image).numpy() - x) / 2) ** 2)
    assert scores["mse"].value == pytest.approx(error, rel=1e-5)
    kl = gaussian_kl(*vae.encode(image)).numpy()
    assert scores["kl"].value == pytest.approx(kl.sum(axis=1).mean(), rel=1e-4)
    assert scores["active_dims"].value == (kl.mean(axis=0) > 0.01).sum()
    reconstruction, _ = vae.losses(image, vae.noise(700, np.random.default_rng(0)))
    assert scores["reconstruction"].value == pytest.approx(reconstruction.item(), rel=1e-5)
    assert scores["elbo"].value == pytest.approx(
        -scores["reconstruction"].value - scores["kl"].value)
    p = (x + 1) / 2
    grey = p[(p > 0) & (p < 1)]
    entropy = -(grey * np.log(grey) + (1 - grey) * np.log(1 - grey)).sum() / len(x)
    assert scores["reconstruction"].floor == pytest.approx(entropy, rel=1e-4)


def test_a_dimension_that_says_nothing_is_not_active():
    vae = VAE(latent_dim=4, hidden=(32,))
    last = vae.encoder.layers[-1]
    weight, bias = last.weight.numpy(), last.bias.numpy()
    weight[:, [0, 4]], bias[..., [0, 4]] = 0, 0  # mu and log sigma^2 of the first number
    weight[:, 1] *= 20
    last.weight.copy_(weight)
    last.bias.copy_(bias)
    scores = {score.name: score.value for score in vae.measure(held_out_data(10, 50))}
    assert 1 <= scores["active_dims"] <= 3


def test_it_is_not_exported_without_its_encoder(tmp_path):
    config = RunConfig("vae", {}, {}, seed=0, steps=1, log_every=1, report_every=1, threads=1)
    with pytest.raises(CheckpointError, match="no single generator"):
        export_generator(tmp_path / "vae.npz", small(), config, 1)


def test_the_laptop_settings_refuse_points():
    with pytest.raises(ValueError, match="wants images"):
        VAE.laptop(open_data("ring8"))
    assert VAE.laptop(open_data("digits")).data_shape == (1, 28, 28)
