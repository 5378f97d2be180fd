"""LSGAN: Mao, Li, Xie, Lau, Wang, Smolley 2017, a GAN with least squares in place of logarithms.

Source: "Least squares generative adversarial networks", ICCV 2017. D's output is any real number,
with no sigmoid behind it, and is drawn to b on data and to a on samples; G draws it to c (equation
2; the values here, 0, 1 and 1, are those of equation 9)::

    D goes down   E (D(x) - b)^2 / 2  +  E (D(G(z)) - a)^2 / 2
    G goes down   E (D(G(z)) - c)^2 / 2

A sample that D takes for data with great confidence is on the right side for cross entropy, which
has no more to say to it: the slope of -log sigmoid is almost 0 there. Least squares draws such a
sample back to where D says c, near the boundary between samples and data, and so near the data. Nor
does a D that is sure of a fake leave G without a slope: the further off, the larger it is.

(a, b, c) = (-1, 1, 0) is the paper's other choice, equation 8: with b - c = 1 and b - a = 2, and D
at its best, G minimizes the Pearson chi-squared divergence of the sum of both distributions from
twice G's. The authors find both choices alike.

Changes from dcgan.py: the objective. Points in the plane are made by the fully connected networks
of gan.py.

Leaves out: the paper's deeper network for images of 112 pixels, and labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from minigrad.nn import Module
from minigrad.optim import EMA, Adam, LinearDecay

from . import dcgan, gan
from .dcgan import DCGAN, Prior, dcgan_init
from .ganloss import GANLoss
from .objectives import LeastSquares, Objective

__all__ = ["LSGAN"]


@dataclass(eq=False)
class LSGAN(DCGAN):
    """A least squares GAN; the fields are the settings, the defaults the paper's.

    ``data_shape`` is (c, h, h) for images in [-1, 1] and (d,) for points.

    Raises
    ------
    ShapeError
        If the network cannot make images of this shape.
    ValueError
        If the labels of samples and data are equal, or one of the three is not finite.
    """

    fake_label: float = 0.0  # a, to which D's output is drawn on samples,
    real_label: float = 1.0  # b, on data,
    wanted_label: float = 1.0  # c, and by G on samples
    hidden_G: tuple[int, ...] = (128, 128)  # widths of the networks of points
    hidden_D: tuple[int, ...] = (128, 128)

    objective: ClassVar[Objective]  # no setting here

    name = "lsgan"

    def __post_init__(self) -> None:
        a, b, c = self.fake_label, self.real_label, self.wanted_label
        if not all(map(math.isfinite, (a, b, c))) or a == b:
            raise ValueError("LSGAN: wants finite labels, fake_label and real_label not equal, got "
                             f"{a}, {b} and {c}")
        self.G, D = self._points() if len(self.data_shape) == 1 else self._images()
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        self.loss = GANLoss(D, Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1),
                            LeastSquares(a, b, c))
        self.schedules: list[LinearDecay] = []

    def _points(self) -> tuple[Module, Module]:
        return (gan.generator(self.latent_dim, self.hidden_G, self.data_shape, batch_norm=False),
                gan.discriminator(self.data_shape, self.hidden_D))

    def _images(self) -> tuple[Module, Module]:
        return (dcgan_init(dcgan.generator(self.latent_dim, self.features_G, self.data_shape,
                                           self.margin)),
                dcgan_init(dcgan.discriminator(self.data_shape, self.features_D, self.margin)))

    @property
    def balance(self) -> float:
        """D's loss when it can tell nothing and says (a + b) / 2 to everything."""
        return ((self.real_label - self.fake_label) / 2) ** 2

    @classmethod
    def laptop(cls, data: Any) -> LSGAN:
        """The settings for two CPU cores, for data with a ``shape``.

        Images: those of DCGAN, whose reasons stand there. Points: those of GAN, with a D that
        learns fifteen times as fast as G instead of five times. On the ring of 8, seed 0, both find
        7 modes, and 53 % of samples lie at one after 4,000 steps, with five times 32 % after 3,000;
        with equal rates of 1e-3 G finds 4 modes.
        """
        if len(data.shape) == 1:
            return cls(data.shape, latent_dim=2, prior=Prior.NORMAL, batch_size=256, lr_G=2e-4,
                       lr_D=3e-3, ema_decay=0.998)
        small = data.shape[-1] <= 32
        rate = 1e-3 if small else 2e-4
        return cls(data.shape, latent_dim=32 if small else 100, prior=Prior.NORMAL, features_G=32,
                   features_D=32, batch_size=64, lr_G=rate, lr_D=rate,
                   ema_decay=0.998 if small else 0.99, margin=2 if data.shape[-1] == 28 else 0)
