"""WGAN: Arjovsky, Chintala, Bottou 2017, "Wasserstein generative adversarial networks".

D is no longer a judge of real and fake but a *critic* f: a function whose mean on the data should
lie as far above its mean on samples as its slope allows. Kantorovich and Rubinstein: with slopes up
to 1 the largest such difference is the Wasserstein distance (of slopes up to K: K times it)::

    W(P_data, P_G)  =  max over f with |f(a) - f(b)| <= |a - b|  of  E f(x) - E f(G(z))

Algorithm 1 of the paper::

    repeat
        repeat n_critic times
            sample x from the data and z from the prior
            f goes up     E f(x) - E f(G(z))           (RMSprop)
            every weight of f is clipped to [-c, c]    (after the step)
        sample z from the prior
        G goes down      -E f(G(z))                    (RMSprop)

Changes from gan.py: the losses (no sigmoid, no logarithm), five steps of D to one of G with new
noise for each, the clipping, which bounds the slope of f, and RMSprop, because Adam's momentum made
the authors' trainings unstable. ``wasserstein``, the difference of the means on the last critic
batch before the critic's step, falls as samples get better: the only loss in this folder that does.
It is in the units of the data only up to K, which nobody knows.

Both networks are fully connected, three ReLU layers of 512 and a linear one, like the generator of
the paper's comparison of network forms; its other form, convolutional, is that of dcgan.py. The
paper's values have batch norm in neither. The critic never has it.

Leaves out: convolution (the losses and the clipping carry over to DCGAN's networks as they are),
and the authors' program's habit of training the critic 100 times at the very beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from minigrad import Tensor, no_grad
from minigrad.backend import array_module
from minigrad.nn import Flatten, Linear, Module, ReLU, Sequential
from minigrad.optim import EMA, RMSprop

from .gan import GAN, generator
from .ganloss import GANLoss
from .objectives import Wasserstein

__all__ = ["WGAN", "clip_weights"]


def critic(data_shape: tuple[int, ...], hidden: tuple[int, ...]) -> Module:
    """(n, *data_shape) to (n, 1) values of f: any real number, and only differences count."""
    layers: list[Module] = [Flatten()]
    width = math.prod(data_shape)
    for size in hidden:
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, 1))


def clip_weights(module: Module, c: float) -> None:
    """Put every parameter of the module back into [-c, c], in place."""
    for p in module.parameters():
        array = p.cached_data
        p.copy_(array_module(array).clip(array, -c, c))


@dataclass(eq=False)
class WGAN(GAN):
    """A Wasserstein GAN with clipped weights; the defaults are the paper's.

    ``data_shape`` is (c, h, w) for images in [-1, 1] and (2,) for points in the plane.

    Raises
    ------
    ValueError
        If the critic would have no step, or clipping no room.
    """

    data_shape: tuple[int, ...] = (3, 64, 64)
    hidden_G: tuple[int, ...] = (512, 512, 512)
    hidden_D: tuple[int, ...] = (512, 512, 512)
    batch_size: int = 64
    n_critic: int = 5  # critic steps to one generator step
    clip: float = 0.01  # bound of each weight of the critic
    lr_G: float = 5e-5
    lr_D: float = 5e-5

    k: ClassVar[int]  # these three are no settings here: n_critic, RMSprop, and one objective
    beta1: ClassVar[float]
    objective: ClassVar[Wasserstein] = Wasserstein()

    name = "wgan"
    balance = None  # no value of d_loss means that the critic can tell nothing

    def __post_init__(self) -> None:
        if self.n_critic < 1 or not self.clip > 0:
            raise ValueError(f"WGAN: wants n_critic >= 1 and clip > 0, got {self.n_critic} and "
                             f"{self.clip}")
        self.G = generator(self.latent_dim, self.hidden_G, self.data_shape, self.batch_norm)
        self.opt_G = RMSprop(self.G.parameters(), lr=self.lr_G)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = critic(self.data_shape, self.hidden_D)
        opt_D = RMSprop(D.parameters(), lr=self.lr_D)
        self.loss = GANLoss(D, opt_D, self.objective)

    @classmethod
    def laptop(cls, data: Any) -> WGAN:
        """The settings measured on two CPU cores, for data with a ``name`` and a ``shape``.

        Rates of six to sixty times the paper's, for minutes instead of hours; the averaged
        generator takes out their noise. The clip has to fit the critic: its slope is at most a
        power of c, one factor for each layer. On the ring of 8, after 1,000 steps, three layers of
        128 with c = 0.1 give 5 % of samples near a mode at the best of three pairs of rates, four
        of 64 with c = 0.2 give 18 %. All modes are found early, but they stay smeared for long.
        """
        if data.name == "gaussian":
            return cls(data.shape, latent_dim=2, hidden_G=(), hidden_D=(64, 64), batch_size=128,
                       clip=0.1, lr_G=3e-3, lr_D=1e-3, ema_decay=0.998)
        if len(data.shape) == 1:
            return cls(data.shape, latent_dim=2, hidden_G=(128, 128), hidden_D=(64, 64, 64, 64),
                       batch_size=128, clip=0.2, lr_G=5e-4, lr_D=5e-4, ema_decay=0.998)
        return cls(data.shape, latent_dim=64, hidden_G=(256, 512), hidden_D=(256, 256),
                   batch_norm=True, batch_size=64, clip=0.05, lr_G=3e-4, lr_D=1e-3,
                   ema_decay=0.99)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One pass of the outer loop of Algorithm 1."""
        for _ in range(self.n_critic):
            real = next(batches)
            with no_grad():
                fake = self.G(self.noise(len(real)))
            d_loss = self.loss.d_step(real=real, fake=fake)
            clip_weights(self.D, self.clip)
        g_loss = self.loss.g_loss(fake=self.G(self.noise(self.batch_size)))
        self.opt_G.minimize(g_loss)
        if self.ema is not None:
            self.ema.update()
        return {"d_loss": d_loss, "g_loss": g_loss, "wasserstein": -d_loss}
