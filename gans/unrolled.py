"""Unrolled GAN: Metz et al. 2017, a generator that sees how the discriminator will answer.

Source: Metz, Poole, Pfau, Sohl-Dickstein, "Unrolled generative adversarial networks", ICLR 2017.

Changes from gan.py: the generator's step, and both networks as in the paper's appendix. A GAN shall
solve  min over G of max over D  of f; but when G moves while D stands still, it goes to wherever
this D is weakest, a single mode, and D follows afterwards: mode collapse. Here G goes down on what
f is *after* D's answer of K steps of gradient ascent, with eta their rate::

    theta_D^0     = theta_D
    theta_D^(k+1) = theta_D^k + eta * d f(theta_G, theta_D^k) / d theta_D^k     k = 0 ... K - 1
    repeat
        G goes down   f(theta_G, theta_D^K)      theta_D^K depends on theta_G, too
        D goes up     f(theta_G, theta_D)        one usual step; theta_D^K is thrown away

with  f = E log D(x) + E log(1 - D(G(z))).  The slope of the first has two parts: the usual one, and
the one that goes through theta_D^K. The second is the new one: it says how D would answer a change
of G, and needs the derivative of d f / d theta_D, so the K steps are kept in the graph. The terms
of the real samples count as well, since they depend on theta_D^K. K = 0 is the GAN of the paper's
comparison: equal settings, and a generator that does not look ahead.

The networks of the mixture of Gaussians (appendix A of the paper)::

    G    z of 256 numbers - 128 - 128 - 2, ReLU
    D    the sample times 1/4 - 128 - logit, ReLU
         weights orthogonal, times 0.8; biases 0; Adam, rate 1e-4, beta1 0.5

The authors' own notebook takes the inner steps with D's Adam; here they are steps of plain gradient
ascent, as in the equations above, so that their rate is a setting of its own (``lr_inner``).

Leaves out: inner steps with Adam, the recurrent generators and the images of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor, grad, no_grad, random
from minigrad.nn import Flatten, Linear, Module, ReLU, Sequential, functional_call
from minigrad.optim import EMA, Adam, LinearDecay, sgd_step

from .gan import GAN, generator
from .ganloss import GANLoss
from .objectives import OBJECTIVES, Objective

__all__ = ["UnrolledGAN", "orthogonal_init"]


class Scale(Module):
    """y = factor * x."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return str(self.factor)


def orthogonal_init(module: Module, gain: float) -> Module:
    """Make the weights of all Linear layers ``gain`` times orthogonal, their biases 0.

    A weight that is not square has orthonormal rows or columns, whichever are fewer. Returns the
    module.
    """
    for _, layer in module.named_modules():
        if isinstance(layer, Linear):
            rows, columns = layer.weight.shape
            normals = random.generator().standard_normal(
                (max(rows, columns), min(rows, columns)), dtype="float64")
            q, r = np.linalg.qr(normals)
            q = q * np.sign(np.diag(r))  # else q is not uniform among the orthogonal matrices
            weight = gain * (q if rows >= columns else q.T)
            layer.weight.copy_(weight.astype(layer.weight.dtype))
            if layer.bias is not None:
                layer.bias.copy_(np.zeros(layer.bias.shape, layer.bias.dtype))
    return module


def discriminator(data_shape: tuple[int, ...], hidden: tuple[int, ...], scale: float) -> Module:
    """(n, *data_shape) to (n, 1) logits; ``scale`` brings the samples to about (-1, 1)."""
    layers: list[Module] = [Flatten(), Scale(scale)]
    width = math.prod(data_shape)
    for size in hidden:
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, 1))


@dataclass(eq=False)
class UnrolledGAN(GAN):
    """A GAN whose generator looks K steps of the discriminator ahead (Metz et al. 2017).

    With ``Objective.MINIMAX``, the paper's, G minimizes f itself, real samples included; with
    another one it minimizes that one's ``g_loss`` of the discriminator K steps ahead.

    Raises
    ------
    ValueError
        If ``unroll`` is negative.
    """

    data_shape: tuple[int, ...] = (2,)
    latent_dim: int = 256
    hidden_G: tuple[int, ...] = (128, 128)
    hidden_D: tuple[int, ...] = (128,)
    batch_size: int = 512
    lr_G: float = 1e-4
    lr_D: float = 1e-4
    objective: Objective = Objective.MINIMAX
    unroll: int = 5  # K: the steps that G looks ahead; 0: a plain GAN
    lr_inner: float = 0.3  # eta: the rate of these steps
    gain: float = 0.8  # of the orthogonal weights
    input_scale: float = 0.25  # D divides the paper's ring, of radius 2, by 4
    cool_down: float = 0.0  # the part of training, at its end, in which both rates fall to 0

    name = "unrolled"
    default_data = "ring8"  # of gans train unrolled: what its settings were measured on

    def __post_init__(self) -> None:
        if self.unroll < 0:
            raise ValueError(f"unroll: wants at least 0 steps to look ahead, got {self.unroll}")
        self.G = orthogonal_init(generator(self.latent_dim, self.hidden_G, self.data_shape,
                                           self.batch_norm), self.gain)
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = orthogonal_init(discriminator(self.data_shape, self.hidden_D, self.input_scale),
                            self.gain)
        opt_D = Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1)
        self.loss = GANLoss(D, opt_D, OBJECTIVES[self.objective])
        self.schedules: list[LinearDecay] = []

    def set_total_steps(self, n: int) -> None:
        """Plan the learning rates of a training of n steps."""
        if self.cool_down:
            self.schedules = [LinearDecay.over_last(self.cool_down, opt, total=n)
                              for opt in (self.opt_G, self.loss.opt_D)]

    @classmethod
    def laptop(cls, data: Any) -> UnrolledGAN:
        """The settings measured on two CPU cores, for points in the plane.

        The paper's 25,000 steps become 5,000: G learns ten times as fast, and both rates fall to 0
        over the second half, which brings the samples from near the modes onto them. D has a second
        hidden layer and its input is scaled to the same range. D itself stays slow, since looking
        ahead makes up for that: on the ring of 8 a share of 0.89 of the samples is within 3 sigma
        of a mode, and all modes are found (mean of seeds 0, 1 and 2). With K = 0 and all else equal
        no report of these seeds shows more than one mode. With D's rate equal to G's, D won and G
        stood still (seed 0, K = 5).

        Raises
        ------
        ValueError
            For images: no settings were measured.
        """
        if len(data.shape) != 1:
            raise ValueError("its settings were measured for points in the plane, not for items "
                             f"of shape {data.shape}; --paper takes the paper's")
        return cls(data.shape, latent_dim=64, hidden_D=(64, 64), batch_size=256, lr_G=1e-3,
                   lr_D=1e-4, lr_inner=0.3, input_scale=0.5, cool_down=0.5)

    def look_ahead(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """theta_D^K: D's parameters after K steps on this batch, as functions of ``fake``."""
        theta: dict[str, Tensor] = dict(self.D.named_parameters())
        for _ in range(self.unroll):
            d_loss = self.loss.objective.d_loss(functional_call(self.D, theta, real),
                                                functional_call(self.D, theta, fake))
            slopes = grad(d_loss, list(theta.values()), create_graph=True)
            theta = sgd_step(theta, dict(zip(theta, slopes, strict=True)), self.lr_inner)
        return theta

    def g_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What G minimizes, a 0-d tensor: f(theta_G, theta_D^K)."""
        theta, game = self.look_ahead(real, fake), self.loss.objective
        fake_logits = functional_call(self.D, theta, fake)
        if self.objective is Objective.MINIMAX:
            return -game.d_loss(functional_call(self.D, theta, real), fake_logits)
        return game.g_loss(fake_logits)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One step of G against the discriminator K steps ahead, then k usual ones of D."""
        real = next(batches)
        g_loss = self.g_loss(real=real, fake=self.G(self.noise(len(real))))
        self.opt_G.minimize(g_loss)
        for i in range(self.k):
            real = next(batches) if i else real
            with no_grad():
                fake = self.G(self.noise(len(real)))
            d_loss = self.loss.d_step(real=real, fake=fake)
        if self.ema is not None:
            self.ema.update()
        for schedule in self.schedules:
            schedule.step()
        return {"d_loss": d_loss, "g_loss": g_loss,
                "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}
