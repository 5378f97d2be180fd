"""VAE: Kingma and Welling 2014, "Auto-encoding variational Bayes", with fully connected networks.

Changes from autoencoder.py: the encoder answers with a Gaussian instead of a point, and a second
term of the loss pulls all these Gaussians towards one prior, from which new images then come::

    encoder     q(z|x) = N(mu(x), diag sigma(x)^2)            its last layer gives mu, log sigma^2
    draw        z = mu + sigma * eps,   eps ~ N(0, I)         gradients reach mu and sigma
    decoder     p(x|z): every pixel is white with probability sigmoid(logit)
    goes down   -E log p(x|z) + beta * KL(q(z|x) || N(0, I))
    KL          1/2 sum (mu^2 + sigma^2 - log sigma^2 - 1)    the paper's appendix B

For beta = 1 the negative of the loss is the evidence lower bound (ELBO) of log p(x). Both terms are
nats per image, sums over pixels and over latent numbers. The draw multiplies by the standard
deviation sigma; the lecture's slide (S4:56) has the variance in its place, and with that z would
have the variance sigma^4.

Pixels are grey values in [0, 1], not zeros and ones. Their cross entropy is used as if they were
probabilities. It is smallest where the decoder answers with the grey value itself, and there it is
the entropy of the pixels, not 0.

Images made from z are the probabilities, no draws of black and white pixels. The decoder was asked
for the mean of all images that share a z, which is why they are soft.

The defaults are the sizes of the paper's digit model (one hidden layer of 500, batch 100, one draw
for each image). Two things differ: hidden units are ReLU instead of tanh, and Adagrad is Adam.

Leaves out: convolution, learned priors, more than one draw for each image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import Tensor, no_grad, ops, random
from minigrad.data import to_tanh_range
from minigrad.nn import Flatten, Linear, Module, ReLU, Reshape, Sequential
from minigrad.optim import Adam

from .evaluation import Score, TrainingData

__all__ = ["VAE", "gaussian_kl", "interpolation_weights", "reparameterize"]

CHUNK = 500  # held-out images looked at at once
ACTIVE = 0.01  # nats per image from which on a latent number carries something


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) in nats, elementwise: of each latent number of each image.

    1/2 (mu^2 + sigma^2 - log sigma^2 - 1) with ``log_var`` = log sigma^2. Both have one shape, and
    so has the result. The divergence of a vector of independent numbers is the sum of theirs.

    Source: Kingma and Welling 2014, appendix B.
    """
    return (mu ** 2 + ops.exp(log_var) - log_var - 1) * 0.5


def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + sigma * eps, a draw of N(mu, sigma^2) if eps is one of N(0, 1); all of one shape.

    The randomness is in ``eps``, which needs no gradient; mu and sigma = exp(log_var / 2) get
    theirs as through any other sum and product.

    Source: Kingma and Welling 2014, section 2.4; lecture slide S4:56, with sigma for sigma^2.
    """
    return mu + ops.exp(log_var * 0.5) * eps


def interpolation_weights(n: int) -> np.ndarray:
    """w_k = k / (n + 1) for k = 1 ... n: ``n`` evenly spaced weights without the ends 0 and 1.

    Raises
    ------
    ValueError
        If n is less than 1.

    Source: lecture slide S4:93.
    """
    if n < 1:
        raise ValueError(f"interpolation_weights: wants at least 1 image between two, got {n}")
    return np.arange(1, n + 1) / (n + 1)


def encoder(data_shape: tuple[int, ...], hidden: tuple[int, ...], outputs: int) -> Module:
    """(n, *data_shape) to (n, outputs), with ReLU between the layers."""
    layers: list[Module] = [Flatten()]
    width = math.prod(data_shape)
    for size in hidden:
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, outputs))


def decoder(latent_dim: int, hidden: tuple[int, ...], data_shape: tuple[int, ...]) -> Module:
    """(n, latent_dim) to (n, *data_shape) logits: the encoder's layers backwards."""
    layers: list[Module] = []
    width = latent_dim
    for size in reversed(hidden):
        layers += [Linear(width, size), ReLU()]
        width = size
    return Sequential(*layers, Linear(width, math.prod(data_shape)), Reshape(*data_shape))


@dataclass(eq=False)
class VAE:
    """A variational autoencoder of images in [-1, 1]; the fields are its settings.

    ``data_shape`` is (c, h, w). ``hidden`` are the widths from the image to the code; the decoder
    has them in the other order. The decoder is not called G: ``gans export`` would take it for all
    that there is, and a VAE without its encoder cannot be measured.

    Raises
    ------
    ValueError
        If the data are no images (pixels are taken for probabilities), there is no latent number,
        or beta is negative or not finite.
    """

    data_shape: tuple[int, ...] = (1, 28, 28)
    latent_dim: int = 20
    hidden: tuple[int, ...] = (500,)
    beta: float = 1.0  # weight of the KL; 1: the evidence lower bound
    batch_size: int = 100
    lr: float = 1e-3

    name = "vae"
    default_budget = 120.0  # seconds of training when neither --budget nor --steps is given
    default_threads = 1  # of BLAS

    def __post_init__(self) -> None:
        if len(self.data_shape) != 3:
            raise ValueError(f"{self.name} wants images of shape (c, h, w), got items of shape "
                             f"{tuple(self.data_shape)}")
        if self.latent_dim < 1:
            raise ValueError(f"{self.name}: latent_dim must be at least 1, got {self.latent_dim}")
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"{self.name}: beta must be finite and at least 0, got {self.beta}")
        self.encoder = encoder(self.data_shape, self.hidden, 2 * self.latent_dim)
        self.decoder = decoder(self.latent_dim, self.hidden, self.data_shape)
        self.opt = Adam(self.encoder.parameters() + self.decoder.parameters(), lr=self.lr)

    @classmethod
    def laptop(cls, data: Any) -> VAE:
        """The settings measured on one CPU core, on digits.

        After 1,500 steps samples score 4.9 with the plain settings, 5.2 with 10 latent numbers in
        place of 20, 5.8 with a second hidden layer, and 5.9 with twice the rate. With 20 numbers
        the bound is better, by 4 nats of 115, and the samples are worse.
        """
        return cls(data.shape, latent_dim=10, hidden=(512, 256), lr=2e-3)

    def noise(self, n: int, g: Any = None) -> Tensor:
        """n draws of z from the standard normal prior, from ``g`` or minigrad's generator."""
        g = random.generator() if g is None else g
        return Tensor(g.standard_normal((n, self.latent_dim), dtype="float32"),
                      requires_grad=False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma^2 of q(z|x), (n, latent_dim) each, of images x in [-1, 1]."""
        heads = self.encoder(x)
        return heads[:, :self.latent_dim], heads[:, self.latent_dim:]

    def losses(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The two terms for a draw ``eps`` (n, latent_dim): nats per image, means over the batch.

        First the reconstruction, second the KL, which is not yet weighted by beta.
        """
        mu, log_var = self.encode(x)
        logits = self.decoder(reparameterize(mu, log_var, eps))
        # The op is a mean over pixels, and the bound wants their sum.
        reconstruction = ops.bce_with_logits(logits, (x + 1) * 0.5) * math.prod(self.data_shape)
        kl = ops.mean(ops.summation(gaussian_kl(mu, log_var), axes=1))
        return reconstruction, kl

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        """One step of Algorithm 1 of the paper on one batch, with one draw for each image."""
        x = next(batches)
        reconstruction, kl = self.losses(x, self.noise(len(x)))
        loss = reconstruction + kl * self.beta
        self.opt.minimize(loss)
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(),
                "kl": kl.detach()}

    def decode(self, z: Tensor) -> Tensor:
        """Images in [-1, 1] of latent vectors z (n, latent_dim); nothing is recorded."""
        with no_grad():
            return ops.tanh(self.decoder(z) * 0.5)  # 2 sigmoid(a) - 1

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images x in [-1, 1] through the means of their codes and back; nothing is recorded."""
        with no_grad():
            return self.decode(self.encode(x)[0])

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        """n images, (n, *data_shape), decoded from draws of the prior by ``g``."""
        return self.decode(self.noise(n, g))

    def interpolate(self, a: Tensor, b: Tensor, n: int) -> Tensor:
        """The n images between each image of ``a`` and its partner in ``b``, (m, n, c, h, w).

        The means of the codes are mixed, (1 - w_k) mu_a + w_k mu_b with ``interpolation_weights``;
        both ends are left out. Source: lecture slide S4:86-93.

        Raises
        ------
        ValueError
            If n is less than 1, or ``a`` and ``b`` are not equally many images of one shape.
        """
        if a.shape != b.shape:
            raise ValueError(f"interpolate: wants as many images on both sides, got {a.shape} and "
                             f"{b.shape}")
        with no_grad():
            mu_a, mu_b = self.encode(a)[0], self.encode(b)[0]
            w = Tensor(interpolation_weights(n)[:, None].astype("float32"), requires_grad=False)
            mu = mu_a.reshape((len(a), 1, -1)) * (1 - w) + mu_b.reshape((len(b), 1, -1)) * w
            images = self.decode(mu.reshape((len(a) * n, self.latent_dim)))
        return images.reshape((len(a), n, *self.data_shape))

    def measure(self, data: TrainingData) -> tuple[Score, ...]:
        """Errors and bound on the held-out images; none where the data hold nothing back.

        One draw of z for each image, from a generator of its own. The floor of the reconstruction
        is the entropy of the pixels: what a decoder pays that gives every grey value exactly.
        """
        if data.held_out is None:
            return ()
        x = to_tanh_range(data.held_out)
        g = np.random.default_rng(0)
        squares, nats, kls = [], [], []
        for i in range(0, len(x), CHUNK):
            image = Tensor(x[i:i + CHUNK], requires_grad=False)
            with no_grad():
                mu, log_var = self.encode(image)
                kls.append(gaussian_kl(mu, log_var).numpy().astype(np.float64))
                reconstruction, _ = self.losses(image, self.noise(len(image), g))
            nats.append(reconstruction.item() * len(image))
            error = self.decode(mu).numpy().astype(np.float64) - x[i:i + CHUNK]
            squares.append(((error / 2) ** 2).sum())
        of_each = np.concatenate(kls).mean(axis=0)
        reconstruction, kl = sum(nats) / len(x), float(of_each.sum())
        entropy = _entropy((x.astype(np.float64) + 1) / 2) / len(x)
        return (
            Score("mse", "squared error of unseen images", sum(squares) / x.size,
                  note="per pixel on [0, 1], from the means"),
            Score("reconstruction", "reconstruction, nats per image", reconstruction,
                  floor=entropy, note="unseen images"),
            Score("kl", "KL to the prior, nats per image", kl, note="unseen images"),
            Score("elbo", "evidence lower bound, nats per image", -reconstruction - kl,
                  note="unseen images; more is better"),
            Score("active_dims", f"latent numbers in use, of {self.latent_dim}",
                  float((of_each > ACTIVE).sum()), note=f"KL above {ACTIVE} nats"),
        )


def _entropy(p: np.ndarray) -> float:
    """The sum of -p log p - (1 - p) log(1 - p) in nats, 0 where p is 0 or 1."""
    both = np.stack([p, 1 - p])
    return float(-(both * np.log(np.where(both > 0, both, 1.0))).sum())
