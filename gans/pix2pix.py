"""pix2pix: Isola, Zhu, Zhou, Efros 2017, translation between images that come in pairs.

Source: "Image-to-image translation with conditional adversarial networks", CVPR 2017. x is an
outline, say, and y the picture that belongs to it. A network that minimizes a distance to y has to
give one answer where several are possible, and the answer with the least expected error is their
mean or median: a blur. D settles that. It is shown the *pair*, so it judges whether y looks real
and whether it belongs to x; the distance sees to it that G(x) is near to y as a whole::

    repeat
        take pairs (x, y)
        D goes down   -E log D(x, y) - E log(1 - D(x, G(x)))
        G goes down   -E log D(x, G(x))  +  lambda E |y - G(x)|        (lambda = 100)

A pair is one image with the channels of both, so the first line is an ordinary ``GANLoss``, and the
whole is the composition of section 3.1: a GAN plus a distance. Changes from cyclegan.py: pairs, and
so one G, one D, no way back and no pool; the generator is a U-Net. With ``gan_weight=0`` there is
no D, and the distance alone is left. The paper halves D's loss, which would change nothing here:
Adam's steps do not depend on the scale of a loss.

G (section 3.2.1): halvings down to a small map, as many doublings up, and at every size a *skip*
that hands the map on the way down to the way up, since an outline is in the same place in x and
y. With f = ``features``, 256 pixels and ``smallest_map`` = 1, kernels 4x4, stride 2::

    down   f  2f  4f  8f  8f  8f  8f  8f       maps of 128, 64, 32, 16, 8, 4, 2, 1; leaky ReLU
    up     8f  8f  8f  8f  4f  2f  f  image    maps of 2, 4, 8, 16, 32, 64, 128, 256; ReLU, tanh

Fewer pixels, fewer layers: from 32 pixels down to maps of 2 they are 4. Images of 28 pixels get a
margin of 2. Instance norm follows every convolution but the first and the last, and those whose map
is 1x1 or 2x2: of a single value it would leave 0, of four next to nothing. (In the authors' program
it is batch norm, with the statistics of the test batch when it translates; their batches are mostly
of one image, for which the two are the same.) Weights begin as in DCGAN.

The game's noise z is dropout on the maps of 2, 4 and 8 pixels on the way up, in training and, other
than usual, when translating; noise at the input was ignored by G, as the paper reports. It makes
little difference: with the settings of ``laptop`` two translations of one emoji are 0.08 apart, and
0.30 from the truth; of one outline 0.009 apart, and 0.05 from the digit. So a translation here
always uses the same draws: equal images, equal answers. D is the PatchGAN of ``gans.patchgan``:
what the whole shows is left to the distance.

What D is worth depends on how much x leaves open. Given the left half of a digit, G gets 95 % of
the gradient energy of real digits with it and 77 % by the distance alone, at 0.7 dB less, and 87.4
instead of 86.1 % of digits are told to be what they are. Given the outline, which leaves next to
nothing open, there is no difference (1,200 steps, 1,000 of the training digits held back).

Leaves out: images that are not square, x and y of different numbers of channels, resizing and
cropping of training images, and translation from B to A, which takes a second model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minigrad import Tensor, no_grad, ops, random
from minigrad.data import Dataset
from minigrad.errors import ShapeError
from minigrad.nn import (
    Conv2d,
    ConvTranspose2d,
    Dropout,
    InstanceNorm2d,
    L1Loss,
    LeakyReLU,
    Module,
    ReLU,
    Sequential,
    Tanh,
)
from minigrad.optim import EMA, Adam, LinearDecay

from .dcgan import Margin, dcgan_init
from .ganloss import GANLoss
from .objectives import OBJECTIVES, Objective
from .patchgan import patch_discriminator
from .translation import open_pairs
from .translation_data import TranslationData
from .translator import Direction

__all__ = ["Pix2Pix", "UNet"]

MARGIN = {28: 2}  # side of an image: pixels around it, up to the next power of two
MOST_WIDENING = 8  # channels of the widest layers, in features
NORM_FROM = 4  # side of the smallest map that is normalised
DROPOUT_UP_TO = 8  # side of the largest map, on the way up, with dropout


def halvings(data_shape: tuple[int, ...], smallest_map: int) -> int:
    """How often images of this shape, with their margin, are halved down to the smallest map.

    Raises
    ------
    ShapeError
        If no number of halvings leads there.
    """
    sizes = "28 or a power of two from 16 to 256"
    if len(data_shape) != 3 or data_shape[1] != data_shape[2]:
        raise ShapeError(f"Pix2Pix: wants square images, got items of shape {tuple(data_shape)}; "
                         f"their side must be {sizes}")
    side = data_shape[1] + 2 * MARGIN.get(data_shape[1], 0)
    if not 16 <= side <= 256 or side & (side - 1):
        raise ShapeError(f"Pix2Pix: images of {data_shape[1]} x {data_shape[1]} pixels cannot be "
                         f"halved evenly down to a small map; their side must be {sizes}")
    if smallest_map < 1 or smallest_map & (smallest_map - 1) or smallest_map > side // 4:
        raise ShapeError(f"Pix2Pix: smallest_map: wants a power of two from 1 to {side // 4} for "
                         f"images of {data_shape[1]} x {data_shape[1]} pixels, got {smallest_map}")
    return (side // smallest_map).bit_length() - 1


def resized(convolution: type[Module], before: int, width: int, *, norm: bool) -> list[Module]:
    """A convolution that halves or doubles, and instance norm if wanted."""
    layer = convolution(before, width, 4, stride=2, padding=1, bias=not norm)
    return [layer, InstanceNorm2d(width)] if norm else [layer]


class UNet(Module):
    """Images (n, channels, side, side) to images of the same shape in [-1, 1].

    Parameters
    ----------
    channels, side : int
    features : int
        Channels next to the image.
    depth : int
        The number of halvings.
    dropout : float
        The probability of zeroing.
    """

    def __init__(self, channels: int, side: int, *, features: int, depth: int,
                 dropout: float) -> None:
        widths = [features * min(2**i, MOST_WIDENING) for i in range(depth)]
        self.side, self.depth = side, depth
        self.down, self.up = [], []
        before = channels
        for i, width in enumerate(widths):
            side //= 2
            norm = i > 0 and side >= NORM_FROM
            self.down.append(Sequential(*resized(Conv2d, before, width, norm=norm),
                                        LeakyReLU(0.2)))
            before = width
        for width in widths[-2::-1]:
            side *= 2
            layers = [*resized(ConvTranspose2d, before, width, norm=side >= NORM_FROM), ReLU()]
            if side <= DROPOUT_UP_TO:
                layers.append(Dropout(dropout))
            self.up.append(Sequential(*layers))
            before = 2 * width  # with the skip
        self.last = Sequential(ConvTranspose2d(before, channels, 4, stride=2, padding=1), Tanh())

    def forward(self, x: Tensor) -> Tensor:
        step = 2**self.depth
        if x.shape[2] % step or x.shape[3] % step:
            raise ShapeError(f"UNet: wants images whose sides, with the margin, are multiples of "
                             f"{step} (trained on {self.side}), got {x.shape[2]} x {x.shape[3]}")
        maps = []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        for layer, skip in zip(self.up, maps[-2::-1], strict=True):
            x = ops.concat((layer(x), skip), axis=1)
        return self.last(x)


def generator(data_shape: tuple[int, ...], features: int, smallest_map: int, dropout: float
              ) -> Module:
    """The U-Net, inside the margin that images of this shape need."""
    depth = halvings(data_shape, smallest_map)
    channels, side, _ = data_shape
    margin = MARGIN.get(side, 0)
    net = UNet(channels, side + 2 * margin, features=features, depth=depth, dropout=dropout)
    return Sequential(Margin(margin), net, Margin(-margin)) if margin else net


def pair(x: Tensor, y: Tensor) -> Tensor:
    """x and y as one image (n, 2 c, h, w)."""
    return ops.concat((x, y), axis=1)


@dataclass(eq=False)
class Pix2Pix:
    """A GAN of pairs plus a distance; the fields are the settings, the defaults the paper's.

    ``data_shape`` is (c, h, h) for images in [-1, 1].

    Raises
    ------
    ShapeError
        If the networks cannot translate images of this shape.
    ValueError
        If a weight is negative or both are 0.
    """

    data_shape: tuple[int, ...] = (3, 256, 256)
    features_G: int = 64  # channels next to the image
    features_D: int = 64
    smallest_map: int = 1  # side of the map in the middle of the U
    dropout: float = 0.5
    noisy: bool = True  # dropout when translating, too
    batch_size: int = 1
    lr: float = 2e-4
    beta1: float = 0.5
    gan_weight: float = 1.0  # 0: the distance alone, without D
    l1_weight: float = 100.0  # lambda
    cool_down: float = 0.0  # the part of training, at its end, in which the rates fall to 0
    flip: bool = True  # mirror training pairs at random
    shift: int = 0  # and move them by up to so many pixels
    ema_decay: float = 0.0  # of the generator that translates; 0: the generator itself
    objective: Objective = Objective.NON_SATURATING

    name = "pix2pix"
    default_data = "digits-edges"
    open_data = staticmethod(open_pairs)  # what --data means
    directions = (Direction.A_TO_B,)
    default_budget = 600.0  # seconds of training when neither --budget nor --steps is given
    default_threads = 2  # of the kernels' loops over images
    blas_threads = 1  # BLAS works inside those loops

    def __post_init__(self) -> None:
        if min(self.gan_weight, self.l1_weight) < 0 or not self.gan_weight + self.l1_weight:
            raise ValueError("Pix2Pix: wants gan_weight and l1_weight of at least 0, not both 0, "
                             f"got {self.gan_weight} and {self.l1_weight}")
        self.G = dcgan_init(generator(self.data_shape, self.features_G, self.smallest_map,
                                      self.dropout))
        self.opt_G = Adam(self.G.parameters(), lr=self.lr, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        self.loss = self._gan_loss() if self.gan_weight else None
        self.distance = L1Loss()
        self.schedules: list[LinearDecay] = []

    def _gan_loss(self) -> GANLoss:
        """"Looks like a true pair"."""
        channels, *sides = self.data_shape
        D = dcgan_init(patch_discriminator((2 * channels, *sides), self.features_D))
        return GANLoss(D, Adam(D.parameters(), lr=self.lr, beta1=self.beta1),
                       OBJECTIVES[self.objective])

    def set_total_steps(self, n: int) -> None:
        """Plan the learning rates of a training of n steps."""
        if self.cool_down:
            players = [self.opt_G, *([self.loss.opt_D] if self.loss else [])]
            self.schedules = [LinearDecay.over_last(self.cool_down, opt, total=n)
                              for opt in players]

    @classmethod
    def laptop(cls, data: TranslationData) -> Pix2Pix:
        """The settings for two CPU cores, for pairs of images.

        A quarter of the paper's channels, batches of 16 and five times the rate: some thousand
        steps of 45 ms are enough for digits. The maps shrink to 2 pixels, which see all of an image
        of 32. Where mirror images are as good, as with emoji, pairs are few, 900, and G soon knows
        them by heart: the distance alone is at its best after 300 steps, on held-back training
        pairs 7.9 % below the identity map's, and at 5.2 % after 1,200. With averaged weights it
        gets to 8.9 %, with shifts of up to 2 pixels, too, to 9.9 %, and stays there for longer.
        """
        few = data.mirrored
        return cls(data.shape, features_G=16, features_D=16, smallest_map=2, batch_size=16,
                   lr=1e-3, flip=data.mirrored, shift=2 if few else 0,
                   ema_decay=0.99 if few else 0.0)

    def datasets(self, data: TranslationData) -> list[Dataset]:
        """The pairs (x, y), moved together."""
        return [data.pairs(self.flip, self.shift)]

    def train_step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """D learns from true pairs and from pairs with a translation, then G from both losses."""
        x, y = next(batches)
        fake = self.G(x)
        l1 = self.distance(fake, y)
        report = {"distance": l1.detach()}
        loss = self.l1_weight * l1
        if self.loss is not None:
            d_loss = self.loss.d_step(real=pair(x, y), fake=pair(x, fake))
            g_loss = self.loss.g_loss(fake=pair(x, fake))
            loss = loss + self.gan_weight * g_loss
            report |= {"d_loss": d_loss, "g_loss": g_loss.detach(),
                       "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}
        self.opt_G.minimize(loss)
        if self.ema is not None:
            self.ema.update()
        for schedule in self.schedules:
            schedule.step()
        return report

    def translate(self, x: Tensor, direction: Direction) -> Tensor:
        """Images x as images y, by the averaged generator if there is one, without recording.

        The draws of dropout are the same at every call; the generator's mode is put back.

        Raises
        ------
        ValueError
            If asked for the way back.
        """
        if direction not in self.directions:
            raise ValueError("Pix2Pix: translates from A to B only; for the way back train it on "
                             "pairs (b, a)")
        G = self.G if self.ema is None else self.ema.module
        was_training = G.training
        G.train(self.noisy)
        previous = random.set_generator(np.random.default_rng(0))  # training's draws stay its own
        try:
            with no_grad():
                return G(x)
        finally:
            random.set_generator(previous)
            G.train(was_training)
