"""Two-dimensional data sets whose true distribution is known: the toys.

A point cloud in the plane can be judged by eye and by formula, and a generator for it trains in
seconds, so every loss is tried here first. Four toys are in `TOYS`:

============  ==============================================================================
`gaussian`    one correlated Gaussian, the two-dimensional example of the GAN lecture
`ring8`       8 narrow Gaussians on a circle, the test of mode collapse (Metz et al. 2017)
`grid25`      25 narrow Gaussians on a 5 x 5 grid (Dumoulin et al. 2017)
`swissroll`   a spiral with noise: one curved piece, no modes to count
============  ==============================================================================

Sizes and scales of the last three are those of the toy script that accompanies "Improved training
of Wasserstein GANs" (Gulrajani et al. 2017), so that its settings carry over.

>>> points = TOYS["ring8"].sample(256, np.random.default_rng(0))
>>> points.shape, points.dtype
((256, 2), dtype('float32'))

Left out: one-dimensional pairs, moons, more than two dimensions, unequal mode weights, densities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Toy(Protocol):
    """What every toy offers: samples, and the true values that samples are compared with."""

    @property
    def centres(self) -> np.ndarray | None:
        """Mode centres, shape (k, 2) float64; None where there are no separate modes."""

    @property
    def sigma(self) -> float | None:
        """Standard deviation within one mode along each axis; None where it has no meaning."""

    @property
    def mean(self) -> np.ndarray:
        """True mean, shape (2,) float64."""

    @property
    def cov(self) -> np.ndarray:
        """True covariance, shape (2, 2) float64."""

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw n independent points, shape (n, 2) float32."""


def _check_request(n: int, generator: np.random.Generator) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"sample: n must be a whole number >= 0, got {n!r}")
    if not isinstance(generator, np.random.Generator):
        raise TypeError(
            f"sample: generator must be a numpy.random.Generator, got "
            f"{type(generator).__name__}; np.random.default_rng(0) makes one"
        )


@dataclass(frozen=True)
class Gaussian:
    """One Gaussian with linked coordinates: x = z A + mu, with z a row of two N(0, 1) numbers.

    So the covariance is A^T A (rows are samples), and a linear generator can match it exactly:
    it is solved when the generator's weight W has W^T W = A^T A, not when W = A.

    Attributes
    ----------
    A : tuple of two rows
        The mixing matrix; the lecture's by default.
    mu : tuple of two numbers
        The mean.

    Source: the two-dimensional example of the lecture on implementing a GAN (CMU 10-414).
    """

    A: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 2.0), (-0.2, 0.5))
    mu: tuple[float, float] = (2.0, 1.0)

    @property
    def centres(self) -> None:
        """None: a single wide mode is judged by its mean and covariance."""
        return None

    @property
    def sigma(self) -> None:
        """None: the two directions have different widths, see `cov`."""
        return None

    @property
    def mean(self) -> np.ndarray:
        """The mean mu, shape (2,)."""
        return np.array(self.mu, dtype=np.float64)

    @property
    def cov(self) -> np.ndarray:
        """The covariance A^T A, shape (2, 2)."""
        a = np.array(self.A, dtype=np.float64)
        return a.T @ a

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw n points, shape (n, 2) float32, from the NumPy `generator`.

        Raises ValueError for a negative n, TypeError for something that is no Generator.
        """
        _check_request(n, generator)
        z = generator.standard_normal((n, 2))
        return (z @ np.array(self.A) + self.mean).astype(np.float32)


@dataclass(frozen=True)
class Mixture:
    """Equally likely round Gaussians, all of one width: choose a centre, add sigma times N(0, I).

    Attributes
    ----------
    points : tuple of (x, y)
        The centres, before scaling.
    noise : float
        Standard deviation along each axis, before scaling.
    scale : float
        Everything is divided by it, which brings the whole cloud to about unit deviation.

    Source: the toy script of Gulrajani et al. 2017; see `ring` and `grid`.
    """

    points: tuple[tuple[float, float], ...]
    noise: float
    scale: float = 1.0

    @property
    def centres(self) -> np.ndarray:
        """The scaled centres, shape (k, 2)."""
        return np.array(self.points, dtype=np.float64) / self.scale

    @property
    def sigma(self) -> float:
        """The scaled standard deviation of one mode along each axis."""
        return self.noise / self.scale

    @property
    def mean(self) -> np.ndarray:
        """The mean of the centres, shape (2,)."""
        return self.centres.mean(axis=0)

    @property
    def cov(self) -> np.ndarray:
        """Covariance between the centres plus sigma^2 I, shape (2, 2)."""
        offsets = self.centres - self.mean
        return offsets.T @ offsets / len(offsets) + self.sigma**2 * np.eye(2)

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw n points, shape (n, 2) float32, from the NumPy `generator`.

        Raises ValueError for a negative n, TypeError for something that is no Generator.
        """
        _check_request(n, generator)
        which = generator.integers(len(self.points), size=n)
        offsets = self.sigma * generator.standard_normal((n, 2))
        return (self.centres[which] + offsets).astype(np.float32)


@dataclass(frozen=True)
class SwissRoll:
    """A spiral r = t, t uniform on [1.5 pi, 4.5 pi], with round Gaussian noise, then scaled.

    The point is (t cos t, t sin t) / scale, with t = 1.5 pi (1 + 2u) for u uniform on [0, 1]:
    one and a half turns of the formula behind scikit-learn's swiss roll, seen from above.

    Attributes
    ----------
    noise : float
        Standard deviation of the noise along each axis, before scaling.
    scale : float
        Everything is divided by it.

    Source: the toy script of Gulrajani et al. 2017.
    """

    noise: float = 0.25
    scale: float = 7.5

    @property
    def centres(self) -> None:
        """None: the roll is one piece."""
        return None

    @property
    def sigma(self) -> float:
        """The scaled standard deviation of the noise along each axis."""
        return self.noise / self.scale

    @property
    def mean(self) -> np.ndarray:
        """The exact mean, shape (2,): the integrals of t cos t and t sin t over the interval."""
        return np.array([2.0, 2.0 / (3.0 * np.pi)]) / self.scale

    @property
    def cov(self) -> np.ndarray:
        """The exact covariance, shape (2, 2): integrals of t^2 cos^2 t and so on, plus noise."""
        second = np.array(
            [
                [4.875 * np.pi**2 - 0.25, 1.5 * np.pi],
                [1.5 * np.pi, 4.875 * np.pi**2 + 0.25],
            ]
        )
        noise = self.noise**2 * np.eye(2)
        return (second + noise) / self.scale**2 - np.outer(self.mean, self.mean)

    def sample(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw n points, shape (n, 2) float32, from the NumPy `generator`.

        Raises ValueError for a negative n, TypeError for something that is no Generator.
        """
        _check_request(n, generator)
        t = 1.5 * np.pi * (1.0 + 2.0 * generator.random(n))
        spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
        noise = self.noise * generator.standard_normal((n, 2))
        return ((spiral + noise) / self.scale).astype(np.float32)


def ring(k: int = 8, *, radius: float = 2.0, noise: float = 0.02, scale: float = 1.414) -> Mixture:
    """k narrow Gaussians evenly spaced on a circle; the first centre lies on the x axis.

    Lengths are before the division by `scale`. Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"ring: k must be at least 1, got {k}")
    angles = 2.0 * np.pi * np.arange(k) / k
    points = tuple((radius * float(np.cos(a)), radius * float(np.sin(a))) for a in angles)
    return Mixture(points, noise, scale)


def grid(
    side: int = 5, *, spacing: float = 2.0, noise: float = 0.05, scale: float = 2.828
) -> Mixture:
    """side x side narrow Gaussians on a square grid around the origin.

    Lengths are before the division by `scale`. Raises ValueError for side < 1.
    """
    if side < 1:
        raise ValueError(f"grid: side must be at least 1, got {side}")
    line = [spacing * (i - (side - 1) / 2) for i in range(side)]
    return Mixture(tuple((x, y) for x in line for y in line), noise, scale)


TOYS: dict[str, Toy] = {
    "gaussian": Gaussian(),
    "ring8": ring(8),
    "grid25": grid(5),
    "swissroll": SwissRoll(),
}
"""The toys by the names that the command line knows."""
