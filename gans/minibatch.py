"""Minibatch discrimination: Salimans et al. 2016, and its two relatives: D compares samples.

Sources: "Improved techniques for training GANs" (section 3.2); the standard deviation from Karras
et al. 2018, "Progressive growing of GANs" (section 3); packing from Lin et al. 2018, "PacGAN: the
power of two samples in generative adversarial networks".

Changes from gan.py: the discriminator only. D judges samples one at a time, so it cannot see that
all fakes are alike: a generator that makes one good sample over and over is caught only once D has
learned to call this very sample fake, and then it moves to another. Here D is told something about
the batch that the sample comes from (``statistic``)::

    DISCRIMINATION   the last hidden features f of D, (n, A), are mapped by a learned tensor T:
                         M_i = f_i T                                   (kernels B, dims C)
                         o_ib = sum_j exp(-|M_ib - M_jb|_1) - 1        how many are close to i
                     and the B numbers o_i stand beside f_i. The sum has the sample itself in it,
                     whose 1 is taken off. ``scale`` multiplies them; 1 over the batch size makes
                     the share of the batch that is close
    STDDEV           one number stands beside the features of every sample: the mean over the
                     features of their standard deviation over the batch
    PACKING          D judges packs of m samples, side by side, as a whole
    NONE             D of gan.py

Real and fake samples go through D in batches of their own, as the paper demands: in a common batch
the real samples would vouch for the fake ones.

Leaves out: stddev in groups smaller than the batch, feature matching and the other techniques of
Salimans et al. (label smoothing is in ``objectives.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from minigrad import Tensor, init, ops
from minigrad.errors import ShapeError
from minigrad.nn import Flatten, LeakyReLU, Linear, Module, Parameter, Sequential
from minigrad.optim import EMA, Adam

from .gan import GAN, generator
from .ganloss import GANLoss
from .objectives import OBJECTIVES

__all__ = ["MinibatchDiscrimination", "MinibatchGAN", "MinibatchStdDev", "Pack", "Statistic"]

STDDEV_EPS = 1e-8  # added to the variance, so that equal samples have a finite slope


class MinibatchDiscrimination(Module):
    """Features (n, in_features) to (n, in_features + kernels): how close the others are.

    T, (in_features, kernels * dims), is drawn so that the entries of M vary by about 1 for
    features that do; with much larger ones every exp(-distance) begins at 0, and so does its slope.

    The o beside the features are ``scale`` times the paper's: as they are they reach n - 1, far
    more than the features, and D wins by them before G can follow.

    In a batch of one there is nothing to compare with, and every o is 0. The differences of all
    pairs are kept at once: 4 n^2 * kernels * dims bytes, some times over while it trains.

    Raises
    ------
    ValueError
        If a size is less than 1.
    ShapeError
        When called, if the features are not (n, in_features).
    """

    def __init__(self, in_features: int, kernels: int, dims: int, *, scale: float = 1.0) -> None:
        if min(in_features, kernels, dims) < 1:
            raise ValueError("MinibatchDiscrimination: wants sizes of at least 1, got in_features "
                             f"{in_features}, kernels {kernels}, dims {dims}")
        self.in_features, self.kernels, self.dims, self.scale = in_features, kernels, dims, scale
        self.T = Parameter(init.randn(in_features, kernels * dims, std=in_features ** -0.5))

    def statistics(self, x: Tensor) -> Tensor:
        """o of features x (n, in_features): (n, kernels), between 0 and n - 1."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ShapeError(f"MinibatchDiscrimination: wants features (n, {self.in_features}), "
                             f"got {x.shape}")
        n = len(x)
        M = ops.reshape(x @ self.T, (n, self.kernels, self.dims))
        ours = ops.reshape(M, (n, 1, self.kernels, self.dims))
        others = ops.reshape(M, (1, n, self.kernels, self.dims))
        distances = ops.summation(ops.abs(ours - others), 3)  # (n, n, kernels)
        return ops.summation(ops.exp(-distances), 1) - 1.0

    def forward(self, x: Tensor) -> Tensor:
        return ops.concat([x, self.statistics(x) * self.scale], 1)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.kernels}, {self.dims}, scale={self.scale:g}"


class MinibatchStdDev(Module):
    """(n, c, ...) to (n, c + 1, ...): one more channel, the mean standard deviation of the batch.

    The deviation of every feature over the batch, sqrt(variance + 1e-8), is averaged over all
    features and positions to one number, which is the same everywhere. In a batch of one, or of
    equal samples, it is 1e-4, and its slope is 0.

    Raises
    ------
    ShapeError
        When called, if x has fewer than two axes.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"MinibatchStdDev: wants a batch (n, c, ...), got shape {x.shape}")
        deviation = ops.mean(ops.sqrt(ops.var(x, 0) + STDDEV_EPS))
        channel = ops.broadcast_to(deviation, (x.shape[0], 1, *x.shape[2:]))
        return ops.concat([x, channel], 1)


class Pack(Module):
    """(n, c, ...) to (n / m, m c, ...): every m samples that follow each other as one.

    Vectors stand one behind the other, images as further channels, as in the paper.

    Raises
    ------
    ValueError
        If m is less than 1.
    ShapeError
        When called, if m does not divide n.
    """

    def __init__(self, m: int) -> None:
        if m < 1:
            raise ValueError(f"Pack: wants packs of at least 1 sample, got {m}")
        self.m = m

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"Pack: wants a batch (n, c, ...), got shape {x.shape}")
        n, c, *rest = x.shape
        if n % self.m:
            raise ShapeError(f"Pack: a batch of {n} cannot be cut into packs of {self.m}; take a "
                             f"batch size that is a multiple of {self.m}")
        return ops.reshape(x, (n // self.m, self.m * c, *rest))

    def extra_repr(self) -> str:
        return str(self.m)


class Statistic(Enum):
    """What D is told about the batch."""

    NONE = "none"
    DISCRIMINATION = "discrimination"
    STDDEV = "stddev"
    PACKING = "packing"


def discriminator(data_shape: tuple[int, ...], hidden: tuple[int, ...], statistic: Statistic,
                  kernels: int, dims: int, scale: float, pack: int) -> Module:
    """(n, *data_shape) to (n, 1) logits, or (n / pack, 1): D of gan.py with a statistic in it."""
    layers: list[Module] = [Flatten()]
    width = math.prod(data_shape)
    if statistic is Statistic.PACKING:
        layers += [Pack(pack)]
        width *= pack
    for size in hidden:
        layers += [Linear(width, size), LeakyReLU(0.2)]
        width = size
    if statistic is Statistic.DISCRIMINATION:
        layers += [MinibatchDiscrimination(width, kernels, dims, scale=scale)]
        width += kernels
    if statistic is Statistic.STDDEV:
        layers += [MinibatchStdDev()]
        width += 1
    return Sequential(*layers, Linear(width, 1))


@dataclass(eq=False)
class MinibatchGAN(GAN):
    """A GAN whose discriminator sees more than one sample; the training step is that of gan.py.

    100 kernels of 5 dimensions are those of the authors' program for digits; packs of 2 are
    "PacGAN2", the smallest that the paper has.
    """

    statistic: Statistic = Statistic.DISCRIMINATION
    kernels: int = 100  # B of minibatch discrimination
    dims: int = 5  # C
    scale: float = 1.0  # of the kernels' numbers beside the features
    pack: int = 2  # m of packing

    name = "minibatch"

    def __post_init__(self) -> None:
        if self.statistic is Statistic.PACKING and self.batch_size % self.pack:
            raise ValueError(f"batch_size {self.batch_size} cannot be cut into packs of "
                             f"{self.pack}; take a multiple of {self.pack}")
        self.G = generator(self.latent_dim, self.hidden_G, self.data_shape, self.batch_norm)
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = discriminator(self.data_shape, self.hidden_D, self.statistic, self.kernels, self.dims,
                          self.scale, self.pack)
        opt_D = Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1)
        self.loss = GANLoss(D, opt_D, OBJECTIVES[self.objective])

    @classmethod
    def laptop(cls, data: Any) -> MinibatchGAN:
        """The settings measured on two CPU cores, for points in the plane and for images.

        For points these are not the best settings, but some with which a plain GAN collapses, so
        that the statistics can be compared: D learns five times slower than G. After 3,000 steps on
        the ring of 8 a plain GAN finds 2, 6 and 5 modes (seeds 0, 1 and 2), this one all 8. With
        ``scale`` at 1 the discriminator is soon sure of everything, and the samples never come near
        a mode; as the share of the batch that is close the same numbers work. Images have the
        settings of ``GAN.laptop``.
        """
        if len(data.shape) == 1:
            return cls(data.shape, latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128),
                       batch_size=64, lr_G=1e-3, lr_D=2e-4, ema_decay=0.998, kernels=8, dims=4,
                       scale=1 / 64)
        return cls(data.shape, latent_dim=64, hidden_G=(256, 512), hidden_D=(512, 256),
                   batch_norm=True, batch_size=64, lr_G=1e-3, lr_D=1e-3, ema_decay=0.998,
                   kernels=8, dims=4, scale=1 / 64)
