"""WGAN-GP: Gulrajani et al. 2017, "Improved training of Wasserstein GANs".

Clipped weights bound the slope of the critic f, but also what it can express. Here the slope itself
is asked to be 1, where it matters: between the data and the samples (the best critic has slope 1
along the lines of an optimal transport, proposition 1 of the paper). Algorithm 1::

    repeat
        repeat n_critic times
            sample x from the data, z from the prior, and eps uniform on [0, 1], for each row
            x_hat  =  eps x + (1 - eps) G(z)
            f goes down   E f(G(z)) - E f(x) + lambda E (|grad f(x_hat)| - 1)^2       (Adam)
        sample z from the prior
        G goes down      -E f(G(z))                                                   (Adam)

The penalty contains a gradient, so its own gradient is one of second order: ``slopes`` records the
first backward pass (``create_graph=True``) and the optimizer walks back through it. The norm is
over all features of a sample: over one axis of an image it would be another, weaker penalty.

Changes from wgan.py: the penalty in place of the clipping; Adam in place of RMSprop. ``slope`` is
the mean of |grad f(x_hat)| on the last critic batch. At slope s the critic gains s W and pays
lambda (s - 1)^2, so it settles at s = 1 + W / (2 lambda): near 1 for lambda = 10, above it for 0.1.
``d_loss`` contains the penalty, ``wasserstein`` does not. No batch norm in the critic: the penalty
speaks of each sample alone, and batch norm ties it to the others.

Both networks are fully connected, as in the paper's toy examples (three layers of 512).

Leaves out: convolution (``gradient_penalty`` takes any critic), layer norm in the critic, and the
penalty of slopes above 1 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigrad import Tensor, grad, no_grad, ops, random
from minigrad.errors import ShapeError
from minigrad.optim import EMA, Adam, LinearDecay

from .gan import GAN, generator
from .ganloss import GANLoss
from .objectives import Wasserstein
from .wgan import critic

__all__ = ["WGANGP", "gradient_penalty", "segment_points", "slopes"]


def segment_points(real: Tensor, fake: Tensor, g: np.random.Generator | None = None) -> Tensor:
    """One point on each segment from a real sample to a fake one, uniform along it.

    ``real`` and ``fake`` have equal shapes (n, ...); every row has a number eps of its own from
    ``g`` or minigrad's generator. The result is a leaf: nothing flows back to what made ``fake``.

    Raises
    ------
    ShapeError
        If the shapes differ.
    """
    if real.shape != fake.shape:
        raise ShapeError(f"segment_points: wants as many real as fake samples of one shape, got "
                         f"{real.shape} and {fake.shape}")
    g = random.generator() if g is None else g
    eps = Tensor(g.random((len(real),) + (1,) * (real.ndim - 1), dtype="float32"),
                 device=real.device, dtype=real.dtype, requires_grad=False)
    with no_grad():
        return Tensor(eps * real + (1 - eps) * fake)


def slopes(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """|grad_x D(x)| of every row of a leaf x (n, ...): the norm over all features, shape (n,).

    Recorded, so that it can be differentiated again. The 1e-12 under the root keeps that finite
    where the critic is flat.
    """
    gradient = grad(D(x), x, create_graph=True)
    return ops.sqrt(ops.summation(gradient ** 2, tuple(range(1, x.ndim))) + 1e-12)


def gradient_penalty(D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor,
                     g: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
    """E (|grad D| - 1)^2 between real and fake samples, and E |grad D|; both 0-d and recorded.

    Source: equation 3 of the paper. ``g`` gives the places on the segments; minigrad's generator
    without it. Minimizing the penalty changes D alone.

    Raises
    ------
    ShapeError
        If real and fake differ in shape.
    """
    norms = slopes(D, segment_points(real, fake, g))
    return ops.mean((norms - 1) ** 2), ops.mean(norms)


@dataclass(eq=False)
class WGANGP(GAN):
    """A Wasserstein GAN with gradient penalty; the defaults are the paper's.

    ``data_shape`` is (c, h, w) for images in [-1, 1] and (2,) for points in the plane.

    Raises
    ------
    ValueError
        If the critic would have no step, or the penalty is negative.
    """

    data_shape: tuple[int, ...] = (3, 64, 64)
    hidden_G: tuple[int, ...] = (512, 512, 512)
    hidden_D: tuple[int, ...] = (512, 512, 512)
    batch_size: int = 64
    n_critic: int = 5  # critic steps to one generator step
    gp_weight: float = 10.0  # lambda
    lr_G: float = 1e-4
    lr_D: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9
    cool_down: float = 0.0  # the part of training, at its end, in which both rates fall to 0

    k: ClassVar[int]  # these two are no settings here: see n_critic, and there is one objective
    objective: ClassVar[Wasserstein] = Wasserstein()

    name = "wgan-gp"
    balance = None  # no value of d_loss means that the critic can tell nothing

    def __post_init__(self) -> None:
        if self.n_critic < 1 or not self.gp_weight >= 0:
            raise ValueError(f"WGANGP: wants n_critic >= 1 and gp_weight >= 0, got "
                             f"{self.n_critic} and {self.gp_weight}")
        self.G = generator(self.latent_dim, self.hidden_G, self.data_shape, self.batch_norm)
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1, beta2=self.beta2)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = critic(self.data_shape, self.hidden_D)
        opt_D = Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1, beta2=self.beta2)
        self.loss = GANLoss(D, opt_D, self.objective)
        self.schedules: list[LinearDecay] = []

    def set_total_steps(self, n: int) -> None:
        """Plan the learning rates of a training of n steps."""
        if self.cool_down:
            self.schedules = [LinearDecay.over_last(self.cool_down, opt, total=n)
                              for opt in (self.opt_G, self.loss.opt_D)]

    @classmethod
    def laptop(cls, data: Any) -> WGANGP:
        """The settings measured on two CPU cores, for data with a ``name`` and a ``shape``.

        Toys: lambda 0.1 as in the authors' toy script, networks of a quarter of its width. (Lambda
        1 does better than 0.1 at a rate of 1e-3, 62 % near a mode against 50 %.)
        The rate decides: on the grid of 25, after 4,000 steps with 5 critic steps each, 2e-4 for G
        gives 15 % of samples near a mode, 1e-3 for both 50 %, 3e-3 84 % (rates that fall to 0
        over the second half). Three critic steps instead of five then give no less.

        Images: batch norm in G, and lambda 10 as in the paper. On digits a rate of 1e-3 scores 5.6
        after 240 steps, 5e-4 5.0.
        """
        if len(data.shape) == 1:
            return cls(data.shape, latent_dim=2, hidden_G=(128, 128, 128),
                       hidden_D=(128, 128, 128), batch_size=256, n_critic=3, gp_weight=0.1,
                       lr_G=3e-3, lr_D=3e-3, beta1=0.5, ema_decay=0.99, cool_down=0.8)
        return cls(data.shape, latent_dim=64, hidden_G=(256, 512), hidden_D=(512, 256),
                   batch_norm=True, batch_size=64, n_critic=3, lr_G=1e-3, lr_D=1e-3, beta1=0.5,
                   ema_decay=0.99, cool_down=0.5)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One pass of the outer loop of Algorithm 1; the average of G and the schedules follow.

        Returned are ``d_loss``, ``wasserstein`` and ``slope`` of the last critic batch, before its
        step, and ``g_loss``.
        """
        for _ in range(self.n_critic):
            real = next(batches)
            with no_grad():
                fake = self.G(self.noise(len(real)))
            penalty, slope = gradient_penalty(self.D, real, fake)
            distance = ops.mean(self.D(real)) - ops.mean(self.D(fake))
            d_loss = -distance + self.gp_weight * penalty
            self.loss.opt_D.minimize(d_loss)
        g_loss = self.loss.g_loss(fake=self.G(self.noise(self.batch_size)))
        self.opt_G.minimize(g_loss)
        if self.ema is not None:
            self.ema.update()
        for schedule in self.schedules:
            schedule.step()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach(),
                "wasserstein": distance.detach(), "slope": slope.detach()}
