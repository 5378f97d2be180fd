"""GANLoss as a composable unit, and the GAN built from it."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as ndl
from gans.gan import GAN
from gans.ganloss import GANLoss
from gans.objectives import NonSaturating, Objective
from gans.toys import TOYS
from minigrad import Tensor, nn, optim
from minigrad.errors import VersionError


def small(**options) -> GAN:
    settings = dict(data_shape=(2,), latent_dim=3, hidden_G=(8,), hidden_D=(8,), batch_size=16)
    return GAN(**{**settings, **options})


def normals(batch_size=16, seed=0):
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(g.standard_normal((batch_size, 2), dtype="float32") + 2, requires_grad=False)


def values(module):
    return {name: p.numpy() for name, p in module.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[k], b[k]) for k in a)


def test_d_step_teaches_d_alone_and_leaves_no_gradient_in_g():
    gan = small()
    before_G, before_D = values(gan.G), values(gan.D)
    fake = gan.G(gan.noise(16))
    gan.loss.d_step(real=next(normals()), fake=fake)
    assert same(before_G, values(gan.G)) and not same(before_D, values(gan.D))
    assert all(p.grad is None for p in gan.G.parameters())


def test_g_loss_updates_nothing_and_minimizing_it_moves_g_alone():
    gan = small()
    fake = gan.G(gan.noise(16))
    before_D = values(gan.D)
    loss = gan.loss.g_loss(fake=fake)
    assert same(before_D, values(gan.D))
    before_G = values(gan.G)
    gan.opt_G.minimize(loss)
    assert same(before_D, values(gan.D)) and not same(before_G, values(gan.G))
    assert all(p.grad is None for p in gan.D.parameters())


def test_stepping_d_between_g_loss_and_its_gradient_is_refused():
    gan = small()
    fake = gan.G(gan.noise(16))
    loss = gan.loss.g_loss(fake=fake)
    gan.loss.d_step(real=next(normals()), fake=fake)
    with pytest.raises(VersionError, match="too early"):
        gan.opt_G.minimize(loss)


def test_one_discriminator_step_is_the_step_computed_by_hand():
    D = nn.Linear(2, 1)
    weight, bias = D.weight.numpy().astype("float64"), D.bias.numpy().astype("float64")
    unit = GANLoss(D, optim.SGD(D.parameters(), lr=0.1), NonSaturating())
    g = np.random.default_rng(3)
    real, fake = (g.standard_normal((5, 2)).astype("float32") for _ in range(2))
    d_loss = unit.d_step(real=Tensor(real), fake=Tensor(fake))

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    p_real, p_fake = sigmoid(real @ weight + bias), sigmoid(fake @ weight + bias)
    assert d_loss.item() == pytest.approx(-np.log(p_real).mean() - np.log(1 - p_fake).mean(),
                                          rel=1e-5)
    grad_weight = (real.T @ (p_real - 1) + fake.T @ p_fake) / 5
    np.testing.assert_allclose(D.weight.numpy(), weight - 0.1 * grad_weight, rtol=1e-5, atol=1e-6)
    assert unit.d_real.item() == pytest.approx(p_real.mean(), rel=1e-5)
    assert unit.d_fake.item() == pytest.approx(p_fake.mean(), rel=1e-5)


def test_loss_is_d_step_then_g_loss():
    one, two = small(), small()
    for name in ("G", "D"):
        getattr(two, name).load_state_dict(getattr(one, name).state_dict())
    z, real = one.noise(16), next(normals())
    together = one.loss.loss(fake=one.G(z), real=real).item()
    fake = two.G(z)
    two.loss.d_step(real=real, fake=fake)
    assert together == two.loss.g_loss(fake=fake).item()


def test_the_pool_decides_what_d_sees():
    D = nn.Linear(2, 1)
    seen = []

    def pool(fake):
        seen.append(fake)
        return Tensor(np.zeros((4, 2), dtype="float32"))

    unit = GANLoss(D, optim.SGD(D.parameters()), NonSaturating(), pool=pool)
    fake = Tensor(np.ones((4, 2), dtype="float32"))
    bias = float(D.bias.numpy()[0, 0])
    unit.d_step(real=fake, fake=fake)
    assert len(seen) == 1 and not seen[0].requires_grad
    assert unit.d_fake.item() == pytest.approx(1 / (1 + np.exp(-bias)), rel=1e-5)


@pytest.mark.parametrize("k", [1, 3])
def test_train_step_consumes_k_batches_and_steps_g_once(k):
    gan = small(k=k)
    taken = []

    def counted():
        for batch in normals():
            taken.append(batch)
            yield batch

    report = gan.train_step(counted())
    assert len(taken) == k and gan.opt_G.t == 1 and gan.loss.opt_D.t == k
    assert set(report) == {"d_loss", "g_loss", "d_real", "d_fake"}
    assert all(t.shape == () for t in report.values())


def test_two_runs_from_one_seed_are_equal_bit_for_bit():
    finals = []
    for _ in range(2):
        ndl.manual_seed(5)
        gan = small(ema_decay=0.9, batch_norm=True)
        stream = normals()
        for _ in range(20):
            gan.train_step(stream)
        finals.append(gan.sample(7, np.random.default_rng(0)).numpy())
    assert np.array_equal(*finals)


def test_images_end_in_tanh_and_points_do_not():
    images = small(data_shape=(1, 4, 4)).sample(3, np.random.default_rng(0)).numpy()
    assert images.shape == (3, 1, 4, 4) and abs(images).max() <= 1
    assert small().sample(3, np.random.default_rng(0)).shape == (3, 2)


def test_sampling_uses_the_average_and_running_statistics_and_restores_the_mode():
    gan = small(ema_decay=0.5, batch_norm=True)
    stream = normals()
    for _ in range(5):
        gan.train_step(stream)
    one = gan.sample(4, np.random.default_rng(1)).numpy()
    again = gan.sample(8, np.random.default_rng(1)).numpy()[:4]
    np.testing.assert_allclose(one, again, rtol=1e-5, atol=1e-6)  # no batch statistics
    assert gan.G.training
    before = one.copy()
    gan.ema.module.parameters()[0].copy_(gan.ema.module.parameters()[0].cached_data * 0 + 1)
    assert not np.allclose(gan.sample(4, np.random.default_rng(1)).numpy(), before)


@pytest.mark.parametrize("objective", list(Objective))
def test_the_lecture_gaussian_is_learned(objective):
    """The averaged linear generator: mean within .3, covariance within 25 %."""
    ndl.manual_seed(0)
    data_generator = np.random.default_rng(0)
    data = TOYS["gaussian"]
    gan = GAN((2,), latent_dim=2, hidden_G=(), hidden_D=(20, 10), batch_size=32, lr_G=1e-2,
              lr_D=1e-2, beta1=0.9, ema_decay=0.998, objective=objective)  # the lecture's settings

    def batches():
        while True:
            yield Tensor(data.sample(gan.batch_size, data_generator), requires_grad=False)

    stream = batches()
    for _ in range(2500):
        gan.train_step(stream)
    layer = gan.ema.module.layers[0]
    weight, mean = layer.weight.numpy(), layer.bias.numpy()[0]
    assert abs(mean - data.mean).max() < 0.3, mean
    error = np.linalg.norm(weight.T @ weight - data.cov) / np.linalg.norm(data.cov)
    assert error < 0.25, weight.T @ weight
