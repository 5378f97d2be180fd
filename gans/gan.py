"""GAN: Goodfellow et al. 2014, "Generative adversarial nets", with fully connected networks.

Algorithm 1 of the paper, with k discriminator steps to one generator step::

    repeat
        repeat k times
            sample x from the data and z from the prior
            D goes down   -E log D(x) - E log(1 - D(G(z)))
        sample z from the prior
        G goes down       -E log D(G(z))         (non-saturating, section 3 of the paper)

The defaults are the sizes of the paper's digit model (z of 100 numbers, generator 1200-1200,
discriminator 240-240, batch 100, k = 1). Two things differ: the discriminator's maxout and dropout
are leaky ReLU, and momentum SGD is Adam with beta1 = 0.5, as every later paper has it.

Leaves out: convolution (DCGAN), conditioning on labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor, no_grad, random
from minigrad.nn import (
    BatchNorm1d,
    Flatten,
    LeakyReLU,
    Linear,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from minigrad.optim import EMA, Adam

from .ganloss import GANLoss
from .objectives import OBJECTIVES, Objective

__all__ = ["GAN"]


def generator(latent_dim: int, hidden: tuple[int, ...], data_shape: tuple[int, ...],
              batch_norm: bool) -> Module:
    """(n, latent_dim) to (n, *data_shape); images end in tanh, points in the plane do not."""
    layers: list[Module] = []
    width = latent_dim
    for size in hidden:
        layers += [Linear(width, size, bias=not batch_norm)]
        layers += [BatchNorm1d(size)] if batch_norm else []
        layers += [ReLU()]
        width = size
    layers += [Linear(width, math.prod(data_shape))]
    if len(data_shape) > 1:
        layers += [Tanh(), Reshape(*data_shape)]
    return Sequential(*layers)


def discriminator(data_shape: tuple[int, ...], hidden: tuple[int, ...]) -> Module:
    """(n, *data_shape) to (n, 1) logits."""
    layers: list[Module] = [Flatten()]
    width = math.prod(data_shape)
    for size in hidden:
        layers += [Linear(width, size), LeakyReLU(0.2)]
        width = size
    return Sequential(*layers, Linear(width, 1))


@dataclass(eq=False)
class GAN:
    """A GAN of fully connected networks; the fields are its settings, the defaults the paper's.

    ``data_shape`` is (c, h, w) for images in [-1, 1] and (2,) for points in the plane.
    """

    data_shape: tuple[int, ...] = (1, 28, 28)
    latent_dim: int = 100
    hidden_G: tuple[int, ...] = (1200, 1200)
    hidden_D: tuple[int, ...] = (240, 240)
    batch_norm: bool = False  # in the generator
    batch_size: int = 100
    k: int = 1  # discriminator steps to one generator step
    lr_G: float = 2e-4
    lr_D: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.0  # of the generator that samples; 0: the generator itself
    objective: Objective = Objective.NON_SATURATING

    name = "gan"
    default_budget = 180.0  # seconds of training when neither --budget nor --steps is given
    # Of BLAS. On two idle cores a second thread makes a step on digits a fifth shorter; if another
    # program uses a core too, the two wait for each other and the step takes ten times as long.
    default_threads = 1

    def __post_init__(self) -> None:
        self.G = generator(self.latent_dim, self.hidden_G, self.data_shape, self.batch_norm)
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = discriminator(self.data_shape, self.hidden_D)
        opt_D = Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1)
        self.loss = GANLoss(D, opt_D, OBJECTIVES[self.objective])

    @property
    def D(self) -> Module:
        """The discriminator, which belongs to the loss."""
        return self.loss.D

    @property
    def balance(self) -> float | None:
        """The discriminator's loss when it can tell nothing: 2 log 2 for cross entropies."""
        return None if self.objective is Objective.LEAST_SQUARES else 2 * math.log(2)

    @classmethod
    def laptop(cls, data: Any) -> GAN:
        """The settings measured on two CPU cores, for data with a ``name`` and a ``shape``.

        Images: networks a third of the paper's size take more steps in the same time; batch
        normalisation in G and a rate of 1e-3 learn in 1,200 steps what 2e-4 without it needs 3,600
        for; averaging G's weights removes the noise of so large a rate. The lecture's Gaussian has
        the lecture's linear generator and small discriminator; with the lecture's rate of 1e-2 and
        batch of 32 the generator flattens onto a line after some 3,000 steps, with a tenth of the
        rate and batches of 128 it does not. On mixtures in the plane D learns five times as fast as
        G: with equal rates of 1e-3 the generator collapses onto one mode of eight.
        """
        if data.name == "gaussian":
            return cls(data.shape, latent_dim=2, hidden_G=(), hidden_D=(20, 10), batch_size=128,
                       lr_G=1e-3, lr_D=1e-3, ema_decay=0.998)
        if len(data.shape) == 1:
            return cls(data.shape, latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128),
                       batch_size=256, lr_G=2e-4, lr_D=1e-3, ema_decay=0.998)
        return cls(data.shape, latent_dim=64, hidden_G=(256, 512), hidden_D=(512, 256),
                   batch_norm=True, batch_size=64, lr_G=1e-3, lr_D=1e-3, ema_decay=0.998)

    def noise(self, n: int, g: Any = None) -> Tensor:
        """n draws of z from the standard normal prior, from ``g`` or minigrad's generator."""
        g = random.generator() if g is None else g
        return Tensor(g.standard_normal((n, self.latent_dim), dtype="float32"),
                      requires_grad=False)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One pass of the outer loop of Algorithm 1."""
        for _ in range(self.k):
            real = next(batches)
            fake = self.G(self.noise(len(real)))
            d_loss = self.loss.d_step(real=real, fake=fake)
        g_loss = self.loss.g_loss(fake=fake)
        self.opt_G.minimize(g_loss)
        if self.ema is not None:
            self.ema.update()
        return {"d_loss": d_loss, "g_loss": g_loss,
                "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}

    def decode(self, z: Tensor) -> Tensor:
        """Samples of latent vectors z (n, latent_dim); the averaged generator if there is one.

        In eval mode and without recording; the generator's mode is put back.
        """
        G = self.G if self.ema is None else self.ema.module
        was_training = G.training
        G.eval()
        try:
            with no_grad():
                return G(z)
        finally:
            G.train(was_training)

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        """n samples, (n, *data_shape), decoded from noise of ``g``."""
        return self.decode(self.noise(n, g))
