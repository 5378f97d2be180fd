"""Autoencoder: images through a narrow code and back; denoising autoencoder: Vincent et al. 2008.

Sources: lecture slides S4:13-41; Hinton and Salakhutdinov 2006, "Reducing the dimensionality of
data with neural networks"; Vincent et al. 2008, "Extracting and composing robust features with
denoising autoencoders". An encoder g and a decoder h learn together::

    code           z = g(x)                       a few numbers for each image
    result         f(x) = h(g(x))
    plain          E |h(g(x)) - x|^2              goes down
    denoising      E |h(g(x + noise * eps)) - x|^2,   eps ~ N(0, I)

(The slide S4:25 writes g for the decoder, too; with one letter for both, f could not be h(g(x)).)

The denoising one is given a spoilt image and asked for the clean one. It cannot just pass the input
on, so it has to learn what digits look like.

**Two scales.** Networks see images in [-1, 1], as everywhere here. Everything that is told about
them is on the scale [0, 1] of black to white: ``noise_std``, the loss, squared errors (a quarter of
those on [-1, 1]), decibels (PSNR = -10 log10 of the mean squared error, since the range is 1).

**No prior.** Nothing in the loss says where codes lie, so there is no distribution that new codes
could be drawn from. ``sample`` takes the nearest thing: a Gaussian with the mean and the covariance
that codes had in training. It is a second model, and no term of the loss has asked the codes to fit
it. Codes drawn from N(0, I), as one may draw them for a variational autoencoder (vae.py), decode to
junk: on digits, after 1,500 steps, a classifier score of 2, against 5.3 with the fitted Gaussian.

Leaves out: convolution, tied weights, training layer by layer, noise that sets pixels to black (the
paper's), sparse and contractive codes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor, no_grad, ops, random
from minigrad.backend import array_module
from minigrad.data import to_tanh_range
from minigrad.nn import Buffer, Flatten, Linear, Module, ReLU, Reshape, Sequential, Tanh
from minigrad.optim import Adam

from .evaluation import Score, TrainingData

__all__ = ["Autoencoder", "psnr"]

CHUNK = 500  # held-out images looked at at once
MOMENTUM = 0.01  # weight of a batch in the running mean and covariance of codes


def encoder(data_shape: tuple[int, ...], hidden: tuple[int, ...], code_dim: int) -> Module:
    """(n, *data_shape) to (n, code_dim); ReLU between the layers, nothing at the end."""
    layers: list[Module] = [Flatten()]
    width = math.prod(data_shape)
    for size in hidden:
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, code_dim))


def decoder(code_dim: int, hidden: tuple[int, ...], data_shape: tuple[int, ...]) -> Module:
    """(n, code_dim) to (n, *data_shape) in [-1, 1]: the encoder's layers backwards."""
    layers: list[Module] = []
    width = code_dim
    for size in reversed(hidden):
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, math.prod(data_shape)), Tanh(), Reshape(*data_shape))


def psnr(mse: float) -> float:
    """Decibels of a mean squared error on the scale [0, 1]: -10 log10(mse); more is better.

    Raises
    ------
    ValueError
        If the error is not positive: equal images have no finite ratio.
    """
    if not mse > 0:
        raise ValueError(f"psnr: wants a mean squared error above 0, got {mse}")
    return -10 * math.log10(mse)


@dataclass(eq=False)
class Autoencoder:
    """An autoencoder of images in [-1, 1]; the fields are its settings.

    ``data_shape`` is (c, h, w). ``hidden`` are the widths from the image to the code; the decoder
    has them in the other order. ``noise_std`` is the standard deviation of what is added to the
    input while training, on the scale [0, 1]: 0 for a plain autoencoder.

    Attributes
    ----------
    code_mean, code_cov : Buffer, (code_dim,) and (code_dim, code_dim)
        Running mean and covariance of the codes of training images; later batches weigh more.

    Raises
    ------
    ValueError
        If the data are no images, there is no code, or the noise is negative or not finite.
    """

    data_shape: tuple[int, ...] = (1, 28, 28)
    code_dim: int = 32
    hidden: tuple[int, ...] = (256,)
    noise_std: float = 0.0
    batch_size: int = 100
    lr: float = 1e-3

    name = "autoencoder"
    default_budget = 60.0  # seconds of training when neither --budget nor --steps is given
    default_threads = 1  # of BLAS

    def __post_init__(self) -> None:
        if len(self.data_shape) != 3:
            raise ValueError(f"{self.name} wants images of shape (c, h, w), got items of shape "
                             f"{tuple(self.data_shape)}")
        if self.code_dim < 1:
            raise ValueError(f"{self.name}: code_dim must be at least 1, got {self.code_dim}")
        if not 0 <= self.noise_std < math.inf:
            raise ValueError(f"{self.name}: noise_std must be finite and at least 0, got "
                             f"{self.noise_std}")
        self.encoder = encoder(self.data_shape, self.hidden, self.code_dim)
        self.decoder = decoder(self.code_dim, self.hidden, self.data_shape)
        self.opt = Adam(self.encoder.parameters() + self.decoder.parameters(), lr=self.lr)
        self.code_mean = Buffer(np.zeros(self.code_dim, dtype="float32"))
        self.code_cov = Buffer(np.eye(self.code_dim, dtype="float32"))

    @classmethod
    def laptop(cls, data: Any) -> Autoencoder:
        """The settings measured on one CPU core: the plain ones, which do on digits."""
        return cls(data.shape)

    def corrupt(self, x: Tensor, g: Any = None) -> Tensor:
        """Images x with this model's noise, from ``g`` or minigrad's generator; x itself if 0.

        The result is not clipped: it leaves [-1, 1].
        """
        if not self.noise_std:
            return x
        g = random.generator() if g is None else g
        eps = g.standard_normal(x.shape, dtype="float32")
        return x + Tensor(2 * self.noise_std * eps, requires_grad=False)  # [-1, 1] is 2 wide

    def encode(self, x: Tensor) -> Tensor:
        """The codes (n, code_dim) of images x in [-1, 1]."""
        return self.encoder(x)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One step down the squared error, per pixel on the scale [0, 1], on one batch."""
        x = next(batches)
        code = self.encode(self.corrupt(x))
        loss = ops.mean(((self.decoder(code) - x) * 0.5) ** 2)
        self.opt.minimize(loss)
        self._follow(code)
        return {"loss": loss.detach()}

    def _follow(self, code: Tensor) -> None:
        """Move the running mean and covariance towards those of a batch of codes.

        The result is the covariance of the mixture: rate parts of the batch, the rest of before.
        """
        rate = max(MOMENTUM, 1 / self.opt.t)  # a plain mean at first
        xp, codes = array_module(code.cached_data), code.cached_data
        mean = codes.mean(axis=0)
        offsets = codes - mean
        step = mean - self.code_mean.cached_data
        cov = (1 - rate) * (self.code_cov.cached_data + rate * xp.outer(step, step)) \
            + rate / len(codes) * offsets.T @ offsets
        self.code_mean = Buffer(self.code_mean.cached_data + rate * step)
        self.code_cov = Buffer(cov)

    def decode(self, z: Tensor) -> Tensor:
        """Images in [-1, 1] of codes z (n, code_dim); nothing is recorded."""
        with no_grad():
            return self.decoder(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images x in [-1, 1] through the code and back; of spoilt images, the clean ones."""
        with no_grad():
            return self.decoder(self.encode(x))

    def noise(self, n: int, g: Any = None) -> Tensor:
        """n codes from the Gaussian that has the running mean and covariance, (n, code_dim).

        From ``g`` or minigrad's generator. This is no prior: see the top of the file.
        """
        g = random.generator() if g is None else g
        values, vectors = np.linalg.eigh(self.code_cov.numpy().astype(np.float64))
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T  # of either sign of vectors
        codes = self.code_mean.numpy() + g.standard_normal((n, self.code_dim)) @ root
        return Tensor(codes.astype("float32"), requires_grad=False)

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        """n decoded draws of ``noise``, (n, *data_shape)."""
        return self.decode(self.noise(n, g))

    def measure(self, data: TrainingData) -> tuple[Score, ...]:
        """Errors on the held-out images; none where the data hold nothing back.

        ``mse`` is that of clean images. A denoising model is also given noisy ones: ``psnr`` is of
        its results, ``psnr_gain`` how much better these are than the noisy images. Those are
        clipped to [0, 1] first, as they would be to be shown, and this alone removes almost half of
        the squared error of noise on a black background.
        """
        if data.held_out is None:
            return ()
        x = to_tanh_range(data.held_out)
        g = np.random.default_rng(0)
        clean, noisy, denoised = [], [], []
        for i in range(0, len(x), CHUNK):
            part = x[i:i + CHUNK]
            image = Tensor(part, requires_grad=False)
            clean.append(_squares(self.reconstruct(image).numpy(), part))
            if self.noise_std:
                spoilt = self.corrupt(image, g)
                noisy.append(_squares(np.clip(spoilt.numpy(), -1, 1), part))
                denoised.append(_squares(self.reconstruct(spoilt).numpy(), part))
        scores = [Score("mse", "squared error of unseen images", _mean(clean),
                        note=f"per pixel on [0, 1], {self.code_dim} numbers")]
        if self.noise_std:
            before, after = psnr(_mean(noisy)), psnr(_mean(denoised))
            scores += [
                Score("psnr", "denoised unseen images, dB", after,
                      note=f"noise {self.noise_std:g}: {before:.1f} dB"),
                Score("psnr_gain", "gain over the noisy images, dB", after - before),
            ]
        return tuple(scores)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared error of each image on the scale [0, 1], float64 (n,); a, b in [-1, 1]."""
    return (((a.astype(np.float64) - b) / 2) ** 2).reshape(len(a), -1).mean(axis=1)


def _mean(parts: list[np.ndarray]) -> float:
    return float(np.concatenate(parts).mean())
