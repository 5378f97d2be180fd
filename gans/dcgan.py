"""DCGAN: Radford, Metz, Chintala 2016, generative adversarial networks that are convolutional.

Source: "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016.

Changes from gan.py: the two networks, how their weights begin, and the prior. The training step is
that of Algorithm 1 with k = 1. The rules for both networks (sections 3 and 4 of the paper)::

    resizing            learned: strided convolutions in D, transposed ones in G; no pooling
    hidden layers       none fully connected: G begins with z as an image of one pixel, D ends in a
                        convolution as large as the map that is left
    batch norm          in both, but not at G's output nor at D's input
    activations         G: ReLU, tanh at the end; D: leaky ReLU of slope 0.2
    weights             N(0, 0.02^2); batch norm's scale N(1, 0.02^2), its shift 0
    training            Adam, rate 2e-4, beta1 0.5; batches of 128 images in [-1, 1]

The side of the images gives the depth, since every layer behind the first map doubles it. These are
the sides in G; in D they are the same, backwards::

    16   1 - 4 - 8 - 16                32   1 - 4 - 8 - 16 - 32
    28   1 - 7 - 14 - 28               64   1 - 4 - 8 - 16 - 32 - 64     (128: one more)

Next to the image there are ``features`` channels, in every layer away from it twice as many. The
paper has 128 in G: 1024, 512, 256 and 128 for 64 pixels (the authors' program has 128 in D, too).
PyTorch's example and the benchmark of this project have 64. As in that example kernels are 4x4,
which with stride 2 and padding 1 doubles a map exactly; in the authors' program they are 5x5. No
layer has a bias, as in both programs: before batch norm it would be without effect, and the two
outer layers do without.

Where G's weights are averaged, samples come from the averaged weights in eval mode, with the
running statistics of G itself: those of the average are never computed. That is sound while G moves
little in the time that is averaged over. On digits, with 16 features, a rate of 1e-3 and a decay
that had risen to 0.996 after 2,500 steps, samples by running statistics and by those of 500 samples
differ by 0.05 (root mean square, of a range of 2), and score the same 6.6.

Leaves out: labels, other kernels and normalisations, D's features for classification.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from minigrad import Tensor, init, no_grad, ops, random
from minigrad.errors import ShapeError
from minigrad.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Module,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from minigrad.optim import EMA, Adam, LinearDecay

from .ganloss import GANLoss
from .objectives import OBJECTIVES, Objective

__all__ = ["DCGAN", "Prior", "dcgan_init"]

FIRST_MAP = {16: 4, 28: 7, 32: 4, 64: 4, 128: 4}  # side of an image: side of G's first map


class Prior(Enum):
    """What the latent numbers are drawn from: the cube [-1, 1]^d of the paper, or a Gaussian."""

    UNIFORM = "uniform"
    NORMAL = "normal"


def first_map(data_shape: tuple[int, ...]) -> tuple[int, int]:
    """The side of G's first map, and how often it is doubled to get images of this shape.

    ``data_shape`` is (c, h, h), with a side h of those in ``FIRST_MAP``.

    Raises
    ------
    ShapeError
        If images of this shape are not square, or no number of doublings leads there.
    """
    sizes = "28 or a power of two from 16 to 128 (pictures of a folder: --size 32)"
    if len(data_shape) != 3 or data_shape[1] != data_shape[2]:
        raise ShapeError(f"DCGAN: wants square images, got items of shape {tuple(data_shape)}; "
                         f"their side must be {sizes}")
    side = data_shape[1]
    if side not in FIRST_MAP:
        fault = "too small for the network" if side < min(FIRST_MAP) else (
            "not what doubling a map of 4 or 7 pixels leads to")
        raise ShapeError(f"DCGAN: images of {side} x {side} pixels are {fault}; their side must be "
                         f"{sizes}")
    return FIRST_MAP[side], (side // FIRST_MAP[side]).bit_length() - 1


class Margin(Module):
    """Images with ``margin`` pixels of background, -1, on all sides; or, below 0, without them."""

    def __init__(self, margin: int) -> None:
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        m = self.margin
        if m < 0:
            return x[:, :, -m:m, -m:m]
        return ops.pad(x + 1.0, ((0, 0), (0, 0), (m, m), (m, m))) - 1.0

    def extra_repr(self) -> str:
        return str(self.margin)


def framed(data_shape: tuple[int, ...], margin: int) -> tuple[int, ...]:
    """The shape of images with a margin."""
    return (*data_shape[:1], *(side + 2 * margin for side in data_shape[1:]))


def generator(latent_dim: int, features: int, data_shape: tuple[int, ...],
              margin: int = 0) -> Module:
    """(n, latent_dim) to images (n, *data_shape) in [-1, 1].

    z becomes an image of one pixel. A transposed convolution with a kernel as large as the first
    map makes that map of it; the others, 4x4 with stride 2 and padding 1, double its side. The last
    of them makes the image from ``features`` channels, and each before it halves the channels.
    Batch norm and ReLU stand between them, tanh at the end; there are no biases. With a ``margin``
    the images are made larger by it on all sides, and then lose it.
    """
    first, doublings = first_map(framed(data_shape, margin))
    width = features * 2 ** (doublings - 1)
    layers: list[Module] = [Reshape(latent_dim, 1, 1),
                            ConvTranspose2d(latent_dim, width, first, bias=False)]
    for _ in range(doublings - 1):
        layers += [BatchNorm2d(width), ReLU(),
                   ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False)]
        width //= 2
    layers += [BatchNorm2d(width), ReLU(),
               ConvTranspose2d(width, data_shape[0], 4, stride=2, padding=1, bias=False), Tanh()]
    return Sequential(*layers, *([Margin(-margin)] if margin else []))


def discriminator(data_shape: tuple[int, ...], features: int, margin: int = 0) -> Module:
    """Images (n, *data_shape) to logits (n, 1).

    Convolutions, 4x4 with stride 2 and padding 1, halve the side until G's first map is left. The
    first makes ``features`` channels of the image, and each after it doubles them. Leaky ReLU of
    slope 0.2 follows each, after batch norm in all but the first. One more convolution, with a
    kernel as large as the map that is left, makes the logit. There are no biases. With a ``margin``
    the images get it first.
    """
    last, halvings = first_map(framed(data_shape, margin))
    layers: list[Module] = [Margin(margin)] if margin else []
    layers += [Conv2d(data_shape[0], features, 4, stride=2, padding=1, bias=False),
               LeakyReLU(0.2)]
    width = features
    for _ in range(halvings - 1):
        layers += [Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
                   BatchNorm2d(2 * width), LeakyReLU(0.2)]
        width *= 2
    return Sequential(*layers, Conv2d(width, 1, last, bias=False), Flatten())


def dcgan_init(module: Module) -> Module:
    """Draw the weights of convolutions from N(0, 0.02), of batch norms from N(1, 0.02).

    The second number is the standard deviation; minigrad's generator draws. Biases and shifts
    become 0; other layers and the running statistics stay as they are. Returns the module.
    """
    for _, layer in module.named_modules():
        if isinstance(layer, (Conv2d, ConvTranspose2d, BatchNorm2d)):
            mean = 1.0 if isinstance(layer, BatchNorm2d) else 0.0
            weight = layer.weight
            weight.copy_(init.randn(*weight.shape, mean=mean, std=0.02, device=weight.device,
                                    dtype=weight.dtype).cached_data)
            if layer.bias is not None:
                layer.bias.copy_(init.zeros_like(layer.bias).cached_data)
    return module


@dataclass(eq=False)
class DCGAN:
    """A GAN of convolutional networks; the fields are its settings, the defaults the paper's.

    ``data_shape`` is (c, h, h) for images in [-1, 1].

    Raises
    ------
    ShapeError
        If the network cannot make images of this shape.
    """

    data_shape: tuple[int, ...] = (3, 64, 64)
    latent_dim: int = 100
    prior: Prior = Prior.UNIFORM
    features_G: int = 128  # channels next to the image; doubled in every layer away from it
    features_D: int = 128
    batch_size: int = 128
    lr_G: float = 2e-4
    lr_D: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.0  # of the generator that samples; 0: the generator itself
    margin: int = 0  # pixels of background that the networks see around the images
    cool_down: float = 0.0  # the part of training, at its end, in which both rates fall to 0
    objective: Objective = Objective.NON_SATURATING

    name = "dcgan"
    default_budget = 300.0  # seconds of training when neither --budget nor --steps is given
    default_threads = 2  # of the kernels' loops over images
    blas_threads = 1  # BLAS works inside those loops

    def __post_init__(self) -> None:
        self.G = dcgan_init(generator(self.latent_dim, self.features_G, self.data_shape,
                                      self.margin))
        self.opt_G = Adam(self.G.parameters(), lr=self.lr_G, beta1=self.beta1)
        self.ema = EMA(self.G, decay=self.ema_decay, warmup=True) if self.ema_decay else None
        D = dcgan_init(discriminator(self.data_shape, self.features_D, self.margin))
        opt_D = Adam(D.parameters(), lr=self.lr_D, beta1=self.beta1)
        self.loss = GANLoss(D, opt_D, OBJECTIVES[self.objective])
        self.schedules: list[LinearDecay] = []

    def set_total_steps(self, n: int) -> None:
        """Plan the learning rates of a training of n steps."""
        if self.cool_down:
            self.schedules = [LinearDecay.over_last(self.cool_down, opt, total=n)
                              for opt in (self.opt_G, self.loss.opt_D)]

    @property
    def D(self) -> Module:
        """The discriminator, which belongs to the loss."""
        return self.loss.D

    @property
    def balance(self) -> float | None:
        """The discriminator's loss when it can tell nothing: 2 log 2 for cross entropies."""
        return None if self.objective is Objective.LEAST_SQUARES else 2 * math.log(2)

    @classmethod
    def laptop(cls, data: Any) -> DCGAN:
        """The settings for two CPU cores, for data with a ``shape``.

        A quarter of the paper's channels and half of its batch make a step short enough for some
        thousands of them in five minutes. At so few steps the paper's rate is too small: five times
        as much for images up to 32 pixels, with averaged weights against its noise. Images of 28
        pixels get a margin of 2: from 32 pixels on D has three layers before its last, the third of
        which sees nearly the whole digit; with two it judges strokes, and G learns strokes. 32
        Gaussian numbers are enough for digits, and closer to them than 100 uniform ones.
        """
        small = data.shape[-1] <= 32
        rate = 1e-3 if small else 2e-4
        return cls(data.shape, latent_dim=32 if small else 100, prior=Prior.NORMAL, features_G=32,
                   features_D=32, batch_size=64, lr_G=rate, lr_D=rate,
                   ema_decay=0.998 if small else 0.99, margin=2 if data.shape[-1] == 28 else 0)

    def noise(self, n: int, g: Any = None) -> Tensor:
        """n draws of z from the prior, (n, latent_dim), from ``g`` or minigrad's generator.

        A float32 Tensor that asks for no gradient. ``g`` is a generator of NumPy.
        """
        g = random.generator() if g is None else g
        shape = (n, self.latent_dim)
        if self.prior is Prior.UNIFORM:
            z = 2 * g.random(shape, dtype="float32") - 1
        else:
            z = g.standard_normal(shape, dtype="float32")
        return Tensor(z, requires_grad=False)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """D learns from one batch and as many fakes, then G from D's new opinion of these.

        After both the average of G, if there is one, and the schedules make a step. Returns d_loss,
        g_loss, d_real and d_fake; the last two are D's mean beliefs before its step.
        """
        real = next(batches)
        fake = self.G(self.noise(len(real)))
        d_loss = self.loss.d_step(real=real, fake=fake)
        g_loss = self.loss.g_loss(fake=fake)
        self.opt_G.minimize(g_loss)
        if self.ema is not None:
            self.ema.update()
        for schedule in self.schedules:
            schedule.step()
        return {"d_loss": d_loss, "g_loss": g_loss,
                "d_real": self.loss.d_real, "d_fake": self.loss.d_fake}

    def decode(self, z: Tensor) -> Tensor:
        """Images of latent vectors z (n, latent_dim); by the averaged generator if there is one.

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
        """n images, (n, *data_shape), decoded from noise of ``g``."""
        return self.decode(self.noise(n, g))
