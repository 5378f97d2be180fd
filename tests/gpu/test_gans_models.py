"""The models on CuPy: a training step gives NumPy's numbers, and nothing is read back in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from devices import working_on

import minigrad as ndl
from gans.autoencoder import Autoencoder
from gans.cyclegan import CycleGAN
from gans.gan import GAN
from gans.lsgan import LSGAN
from gans.minibatch import MinibatchGAN, Statistic
from gans.pix2pix import Pix2Pix
from gans.trainer import state_arrays
from gans.unrolled import UnrolledGAN
from gans.vae import VAE
from gans.wgan import WGAN
from gans.wgan_gp import WGANGP

CPU, CUDA = ndl.cpu(), ndl.cuda()

SMALL = {"latent_dim": 3, "hidden_G": (8,), "hidden_D": (8,), "batch_size": 6}
PICTURES = {"data_shape": (1, 16, 16), "features_G": 2, "features_D": 2, "batch_size": 2}
MODELS = {
    "gan": lambda: GAN((2,), **SMALL, ema_decay=0.9),
    "wgan": lambda: WGAN((2,), **SMALL, n_critic=2),
    "wgan-gp": lambda: WGANGP((2,), **SMALL, n_critic=2),
    "wgan-gp, images": lambda: WGANGP((1, 4, 4), **SMALL, n_critic=2),
    "unrolled": lambda: UnrolledGAN((2,), **SMALL, unroll=2),
    **{f"minibatch, {statistic.value}": lambda statistic=statistic: MinibatchGAN(
        (2,), **SMALL, statistic=statistic, kernels=3, dims=2) for statistic in Statistic},
    "autoencoder": lambda: Autoencoder((1, 4, 4), code_dim=3, hidden=(8,), batch_size=6),
    "denoising": lambda: Autoencoder((1, 4, 4), code_dim=3, hidden=(8,), batch_size=6,
                                     noise_std=0.3),
    "vae": lambda: VAE((1, 4, 4), latent_dim=3, hidden=(8,), batch_size=6),
    "lsgan": lambda: LSGAN((2,), **SMALL, fake_label=-1.0, wanted_label=0.0),
    "lsgan, images": lambda: LSGAN(**PICTURES, latent_dim=3),
    "cyclegan": lambda: CycleGAN(**PICTURES, blocks=1, pool_size=3, ema_decay=0.9),
    "cyclegan, points": lambda: CycleGAN((2,), features_G=8, features_D=8, batch_size=6),
    "pix2pix": lambda: Pix2Pix(**PICTURES, smallest_map=2, ema_decay=0.9),
    "pix2pix, L1 only": lambda: Pix2Pix(**PICTURES, smallest_map=2, gan_weight=0.0),
}


class Trained:
    """A small model on one device, and its steps, from the seed 0."""

    def __init__(self, name: str, device) -> None:
        self.device, self.g = device, np.random.default_rng(0)
        with working_on(device, self.g):
            self.model = MODELS[name]()
        shape = (self.model.batch_size, *self.model.data_shape)
        self.items = np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")
        self.real = ndl.Tensor(self.items, device=device, requires_grad=False)
        self.other = ndl.Tensor(-self.items, device=device, requires_grad=False)

    def batches(self) -> Iterator[ndl.Tensor | tuple[ndl.Tensor, ndl.Tensor]]:
        while True:
            yield (self.real, self.other) if hasattr(self.model, "translate") else self.real

    def step(self) -> dict[str, ndl.Tensor]:
        with working_on(self.device, self.g):
            return self.model.train_step(self.batches())

    def made(self) -> list[np.ndarray]:
        """Samples, or translations in every direction."""
        with working_on(self.device, self.g):
            if hasattr(self.model, "translate"):
                found = [self.model.translate(self.real, direction)
                         for direction in self.model.directions]
            else:
                found = [self.model.sample(4, np.random.default_rng(2))]
        return [x.numpy() for x in found]


@pytest.mark.parametrize("name", MODELS)
def test_steps_equal_numpys(cp, name):
    here, there = Trained(name, CUDA), Trained(name, CPU)
    for _ in range(3):
        losses, wanted = here.step(), there.step()
        for key, loss in losses.items():
            assert loss.device is CUDA
            np.testing.assert_allclose(loss.numpy(), wanted[key].numpy(), rtol=1e-4, atol=1e-4,
                                       err_msg=key)
    got, want = state_arrays(here.model)[0], state_arrays(there.model)[0]
    assert got.keys() == want.keys() and got
    for path, array in got.items():
        np.testing.assert_allclose(array, want[path], rtol=1e-3, atol=1e-3, err_msg=path)
    for got, want in zip(here.made(), there.made(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_read_back_in_a_step(cp, trace, name):
    trained = Trained(name, CUDA)
    for _ in range(2):
        trained.step()
    with trace() as t:
        trained.step()
    assert t.delta["sync"] == t.delta["d2h"] == 0
