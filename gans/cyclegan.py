"""CycleGAN: Zhu, Park, Isola, Efros 2017, translation between two collections without pairs.

Source: "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV
2017; CMU 10-414/714, "Generative adversarial training", from "CycleGAN" on. Collections A and B
hold horses and zebras, say, and no zebra is the same as a horse. The lecture's structure, one GAN
in each direction::

             G_ab                                        G_ba
    a  ------------->  fake_b  --> D_b          b  ------------->  fake_a  --> D_a
    ^                    |                      ^                    |
    |        G_ba        |                      |        G_ab        |
    +--------------------+                      +--------------------+
          should be a again                           should be b again

G_ab and G_ba are generators with an image in place of noise. "fake_b looks like B" is a
``GANLoss`` with all images of B as the real ones; "a comes back" is a distance of two images. Each
alone is not enough: a GAN may turn every horse into whatever zebra it likes, and the identity comes
back best. Together, with the least squares objective, lambda = 10 and mu = 5 (equations 1 to 3 and
section 5.2)::

    d_loss   =  of D_a on (a, fakes of A) + of D_b on (b, fakes of B), fakes from pools of 50 images
    gan      =  E (D_b(G_ab(a)) - 1)^2 + E (D_a(G_ba(b)) - 1)^2
    cycle    =  E |G_ba(G_ab(a)) - a| + E |G_ab(G_ba(b)) - b|
    identity =  E |G_ba(a) - a| + E |G_ab(b) - b|
    g_loss   =  gan + lambda cycle + mu identity

``LeastSquares`` has a factor 1/2, which the paper has for D only: hence ``gan_weight`` = 2. The
identity loss, in the paper for paintings only, keeps colours: without it nothing but the data tells
that day should not become night. Translation and identity go through a generator as one batch,
which is the same as two, since instance norm knows single images only.

The generator (section 7.2; reflection padding, instance norm and ReLU) with f = ``features``::

    conv 7x7, f - conv 3x3/2, 2f - conv 3x3/2, 4f - residual blocks of 4f - 2f - f - conv 7x7, tanh

``blocks`` is 6 up to 128 pixels and 9 above in the paper. Where the map doubles, 4x4 kernels with
stride 2 take the place of the paper's 3x3 with stride 1/2: they cover every pixel equally often, so
there are no checkerboards. The discriminators are PatchGANs (``gans.patchgan``). Points in the
plane are translated by small networks of linear layers.

Leaves out: collections of images of different sizes, more than two of them, and one generator for
both directions.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from minigrad import Tensor, no_grad, ops
from minigrad.autograd import constant
from minigrad.backend import array_module
from minigrad.data import Dataset
from minigrad.errors import ShapeError
from minigrad.nn import (
    Conv2d,
    ConvTranspose2d,
    InstanceNorm2d,
    L1Loss,
    LeakyReLU,
    Linear,
    Module,
    ReflectionPad2d,
    ReLU,
    Residual,
    Sequential,
    Tanh,
)
from minigrad.optim import EMA, Adam, LinearDecay

from .dcgan import dcgan_init
from .ganloss import GANLoss
from .objectives import OBJECTIVES, Objective
from .patchgan import patch_discriminator
from .replay import ReplayPool
from .translation import open_collections
from .translation_data import TranslationData
from .translator import Direction

__all__ = ["CycleGAN"]


def residual_block(width: int) -> Module:
    """x + conv(relu(conv(x))), with reflected borders and instance norm."""
    return Residual(Sequential(
        ReflectionPad2d(1), Conv2d(width, width, 3, bias=False), InstanceNorm2d(width), ReLU(),
        ReflectionPad2d(1), Conv2d(width, width, 3, bias=False), InstanceNorm2d(width)))


def first_layers(channels: int, features: int) -> list[Module]:
    """Images to ``features`` maps of their size."""
    return [ReflectionPad2d(3), Conv2d(channels, features, 7, bias=False),
            InstanceNorm2d(features), ReLU()]


def inner_layers(f: int, blocks: int) -> list[Module]:
    """f maps to f maps of the same size, by way of 4 f maps of a quarter of the side."""
    return [Conv2d(f, 2 * f, 3, stride=2, padding=1, bias=False), InstanceNorm2d(2 * f), ReLU(),
            Conv2d(2 * f, 4 * f, 3, stride=2, padding=1, bias=False), InstanceNorm2d(4 * f), ReLU(),
            *(residual_block(4 * f) for _ in range(blocks)),
            ConvTranspose2d(4 * f, 2 * f, 4, stride=2, padding=1, bias=False),
            InstanceNorm2d(2 * f), ReLU(),
            ConvTranspose2d(2 * f, f, 4, stride=2, padding=1, bias=False),
            InstanceNorm2d(f), ReLU()]


def last_layers(features: int, channels: int) -> list[Module]:
    """Maps to images in [-1, 1] of their size."""
    return [ReflectionPad2d(3), Conv2d(features, channels, 7), Tanh()]


def image_generator(channels: int, features: int, blocks: int) -> Module:
    """Images (n, channels, h, w) to images of the same shape in [-1, 1]; 4 divides h and w."""
    return Sequential(*first_layers(channels, features), *inner_layers(features, blocks),
                      *last_layers(features, channels))


class SkipGenerator(Module):
    """``image_generator`` with a way around its inner layers, and knowledge of places.

    The first layers see two more channels, the row and the column from -1 to 1 (Liu et al. 2018,
    "CoordConv"); the last layers see, next to what the inner ones made, what these were given (as
    in a U-Net) and the image itself, with its brightness, which instance norm takes away.

    ``begin_with_image`` makes it begin at tanh(2 x), under the noise of its other weights. A
    generator that begins anywhere may settle on red for green there and green for red on the way
    back: that looks like emoji, too, and comes back as well. One of two seeds did so.
    """

    def __init__(self, channels: int, features: int, blocks: int) -> None:
        self.channels, self.features = channels, features
        self.first = Sequential(*first_layers(channels + 2, features))
        self.inner = Sequential(*inner_layers(features, blocks))
        self.last = Sequential(*last_layers(2 * features + channels + 2, channels))

    def begin_with_image(self) -> SkipGenerator:
        """Let the middle of the last kernel pass the image on; returns the module."""
        weight = self.last[1].weight
        values = weight.cached_data.copy()
        middle = values.shape[2] // 2
        for c in range(self.channels):
            values[c, 2 * self.features + c, middle, middle] += 2.0
        weight.copy_(values)
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = ops.concat((x, places(x)), axis=1)
        maps = self.first(x)
        return self.last(ops.concat((self.inner(maps), maps, x), axis=1))


def places(x: Tensor) -> Tensor:
    """The row and the column of every pixel of images (n, c, h, w), from -1 to 1: (n, 2, h, w)."""
    n, _, h, w = x.shape
    xp = array_module(x.cached_data)
    out = xp.empty((n, 2, h, w), dtype=x.dtype)
    out[:, 0] = xp.linspace(-1, 1, h, dtype=x.dtype)[:, None]
    out[:, 1] = xp.linspace(-1, 1, w, dtype=x.dtype)
    return constant(out)


def point_network(inputs: int, hidden: int, outputs: int) -> Module:
    """Points (n, inputs) to (n, outputs): two hidden layers."""
    return Sequential(Linear(inputs, hidden), LeakyReLU(0.2), Linear(hidden, hidden),
                      LeakyReLU(0.2), Linear(hidden, outputs))


def check_shape(name: str, data_shape: tuple[int, ...]) -> None:
    """Refuse items that two halvings do not fit.

    Raises
    ------
    ShapeError
        With the sides that would do.
    """
    if len(data_shape) == 1:
        return
    if len(data_shape) != 3 or min(data_shape[1:]) < 16 or any(s % 4 for s in data_shape[1:]):
        raise ShapeError(f"{name}: wants points (d,) or images (c, h, w) whose sides are at least "
                         f"16 and multiples of 4, got items of shape {tuple(data_shape)}; pictures "
                         "of a folder: --size 32, 64, 128 or 256")


@dataclass(eq=False)
class CycleGAN:
    """Two GANs and a way back; the fields are the settings, the defaults the paper's.

    ``data_shape`` is (c, h, w) for images in [-1, 1], or (d,) for points.

    Raises
    ------
    ShapeError
        If the networks cannot translate items of this shape.
    ValueError
        If a setting is out of its range.
    """

    data_shape: tuple[int, ...] = (3, 256, 256)
    features_G: int = 64  # channels next to the image; hidden layers of points
    features_D: int = 64
    blocks: int = 9  # residual blocks in each generator
    skip: bool = False  # a way around the inner layers of the generators, and places as channels
    batch_size: int = 1
    lr: float = 2e-4
    beta1: float = 0.5
    gan_weight: float = 2.0
    cycle_weight: float = 10.0  # lambda; 0: no cycle loss
    identity_weight: float = 5.0  # mu; 0: no identity loss
    pool_size: int = 50  # images of each collection; 0: D sees new fakes only
    cool_down: float = 0.5  # the part of training, at its end, in which the rates fall to 0
    flip: bool = True  # mirror training images at random
    shift: int = 0  # and move them by up to so many pixels
    ema_decay: float = 0.0  # of the generators that translate; 0: the generators themselves
    objective: Objective = Objective.LEAST_SQUARES

    name = "cyclegan"
    default_data = "emoji"
    open_data = staticmethod(open_collections)  # what --data means
    default_budget = 1800.0  # seconds of training when neither --budget nor --steps is given
    default_threads = 2  # of the kernels' loops over images
    blas_threads = 1  # BLAS works inside those loops

    def __post_init__(self) -> None:
        check_shape("CycleGAN", self.data_shape)
        if not 0 <= self.cool_down <= 1:
            raise ValueError(f"CycleGAN: cool_down is a part of the training, from 0 to 1, got "
                             f"{self.cool_down}")
        if self.blocks < 0 or self.shift < 0:
            raise ValueError(f"CycleGAN: blocks and shift must not be negative, got {self.blocks} "
                             f"and {self.shift}")
        self.G_ab, self.G_ba = self._generator(), self._generator()
        params = itertools.chain(self.G_ab.parameters(), self.G_ba.parameters())
        self.opt_G = Adam(list(params), lr=self.lr, beta1=self.beta1)
        self.loss_a, self.loss_b = self._gan_loss(), self._gan_loss()
        self.ema_ab, self.ema_ba = (
            EMA(G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
            for G in (self.G_ab, self.G_ba))
        self.distance = L1Loss()
        self.schedules: list[LinearDecay] = []

    def _generator(self) -> Module:
        if len(self.data_shape) == 1:
            return point_network(*self.data_shape, self.features_G, *self.data_shape)
        sizes = self.data_shape[0], self.features_G, self.blocks
        if self.skip:
            return dcgan_init(SkipGenerator(*sizes)).begin_with_image()
        return dcgan_init(image_generator(*sizes))

    def _gan_loss(self) -> GANLoss:
        """"Looks like this collection": a discriminator with its optimizer and its pool."""
        if len(self.data_shape) == 1:
            D = point_network(*self.data_shape, self.features_D, 1)
        else:
            D = dcgan_init(patch_discriminator(self.data_shape, self.features_D))
        return GANLoss(D, Adam(D.parameters(), lr=self.lr, beta1=self.beta1),
                       OBJECTIVES[self.objective],
                       pool=ReplayPool(self.pool_size) if self.pool_size else None)

    def set_total_steps(self, n: int) -> None:
        """Plan the learning rates of a training of n steps."""
        if self.cool_down:
            self.schedules = [LinearDecay.over_last(self.cool_down, opt, total=n)
                              for opt in (self.opt_G, self.loss_a.opt_D, self.loss_b.opt_D)]

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The ways in which ``translate`` goes."""
        return tuple(Direction)

    @classmethod
    def laptop(cls, data: TranslationData) -> CycleGAN:
        """The settings for two CPU cores, for two collections of images or points.

        A quarter of the channels, three residual blocks up to 32 pixels (six above), four images at
        once and 2.5 times the paper's rate: about 0.2 s a step on one core, thousands of steps in
        half an hour. Averaged weights take the noise out of the last steps.

        A known map of digits is learned by the paper's networks and weights. Drawings and
        photographs get ``skip``: with so few channels and steps the plain generator comes back
        blurred, and without places it cannot enlarge, which is most of what sets Twemoji, drawn up
        to the border, apart from Noto. The way back then needs less weight (5 for 10), and the
        identity loss, which speaks against moving anything, a tenth (0.5 for 5). Half of the
        channels in D: it knows 467 emoji by heart soon enough. No shifts: D has to see margins.

        Points have no identity to keep, and a lighter way back (3 for 10). 500 steps of 128 points
        take three seconds; then the kernel distance (MMD) of the translated cloud "rotation" to the
        target is at most 1.2 times that of two samples of the target, in both directions and with
        seeds 0 to 2. With the weight of 10 and half the rate it was 1.4 to 5 times after 600.
        """
        if len(data.shape) == 1:
            return cls(data.shape, features_G=64, features_D=64, batch_size=128, lr=4e-3,
                       cycle_weight=3.0, identity_weight=0.0, pool_size=500, flip=False,
                       ema_decay=0.99)
        common = {"features_G": 16, "batch_size": 4, "lr": 5e-4, "flip": data.mirrored}
        if not data.mirrored:
            return cls(data.shape, features_D=32, blocks=3, ema_decay=0.99, **common)
        return cls(data.shape, features_D=16, blocks=3 if data.shape[-1] <= 32 else 6, skip=True,
                   cycle_weight=5.0, identity_weight=0.5, ema_decay=0.998, **common)

    def datasets(self, data: TranslationData) -> list[Dataset]:
        """A and B, each in an order of its own."""
        return [*data.collections(self.flip, self.shift)]

    def train_step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Both D learn from fakes of their collection, then both G from all losses at once.

        One pair of batches (a, b). D makes its step before it judges for G. The averages of the
        generators, if any, and the schedules follow. Returned are, without weights, ``d_loss``,
        ``g_loss`` (the gan part), ``cycle`` and ``identity``, each the sum of both directions, and
        the means of both beliefs, ``d_real`` and ``d_fake``.
        """
        a, b = next(batches)
        fake_b, same_b = self._halves(self.G_ab(ops.concat((a, b))))
        fake_a, same_a = self._halves(self.G_ba(ops.concat((b, a))))
        d_loss = (self.loss_a.d_step(real=a, fake=fake_a)
                  + self.loss_b.d_step(real=b, fake=fake_b))
        gan = self.loss_a.g_loss(fake=fake_a) + self.loss_b.g_loss(fake=fake_b)
        cycle = self.distance(self.G_ba(fake_b), a) + self.distance(self.G_ab(fake_a), b)
        identity = self.distance(same_a, a) + self.distance(same_b, b)
        self.opt_G.minimize(self.gan_weight * gan + self.cycle_weight * cycle
                            + self.identity_weight * identity)
        for average in (self.ema_ab, self.ema_ba):
            if average is not None:
                average.update()
        for schedule in self.schedules:
            schedule.step()
        return {"d_loss": d_loss, "g_loss": gan.detach(), "cycle": cycle.detach(),
                "identity": identity.detach(),
                "d_real": 0.5 * (self.loss_a.d_real + self.loss_b.d_real),
                "d_fake": 0.5 * (self.loss_a.d_fake + self.loss_b.d_fake)}

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = x.shape[0] // 2
        return x[:n], x[n:]

    def translate(self, x: Tensor, direction: Direction) -> Tensor:
        """Items of one collection as items of the other, by the averaged generator if there is one.

        In eval mode and without recording; the generator's mode is put back.
        """
        G, average = ((self.G_ab, self.ema_ab) if direction is Direction.A_TO_B
                      else (self.G_ba, self.ema_ba))
        G = G if average is None else average.module
        was_training = G.training
        G.eval()
        try:
            with no_grad():
                return G(x)
        finally:
            G.train(was_training)
