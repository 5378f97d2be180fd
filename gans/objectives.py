"""What the two players minimize: every objective is a pair of losses on D's raw outputs.

An objective has ``d_loss(real, fake)`` and ``g_loss(fake)`` on logits, and ``belief(logits)``, the
probability that D gives to "real", for the log. ``Objective`` names them and ``OBJECTIVES`` is the
one table that turns a name into an object.

With s(a) = sigmoid(a) and softplus(a) = log(1 + exp(a)):  -log s(a) = softplus(-a) and
-log(1 - s(a)) = softplus(a), which is how the logarithms are computed: no logit is too large.

Leaves out: hinge objectives, which come with their models, and what bounds the slope of a critic,
which is the business of the Wasserstein models.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from minigrad import Tensor, ops

__all__ = [
    "OBJECTIVES",
    "GameObjective",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Objective",
    "Wasserstein",
]


class GameObjective(Protocol):
    """What every objective offers; arguments are D's raw outputs, of any shape."""

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a 0-d tensor."""

    def g_loss(self, fake: Tensor) -> Tensor:
        """The generator's loss, a 0-d tensor."""

    def belief(self, logits: Tensor) -> Tensor:
        """How real D believes each sample to be, between 0 and 1."""


@dataclass(frozen=True)
class Minimax:
    """The zero-sum game of Goodfellow et al. 2014, equation 1: J_G = -J_D.

    J_D = -E log D(x) - E log(1 - D(G(z))), and G minimizes E log(1 - D(G(z))), whose slope
    vanishes where D is sure that a sample is fake. ``real_label`` below 1 smooths the labels of
    real samples only (Salimans et al. 2016).
    """

    real_label: float = 1.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return ops.bce_with_logits(real, self.real_label) + ops.bce_with_logits(fake, 0.0)

    def g_loss(self, fake: Tensor) -> Tensor:
        return -ops.bce_with_logits(fake, 0.0)

    def belief(self, logits: Tensor) -> Tensor:
        return ops.sigmoid(logits)


@dataclass(frozen=True)
class NonSaturating(Minimax):
    """D as in the minimax game; G maximizes log D(G(z)): "label 1" in the lecture.

    The fixed point is the same, and the slope is largest where D is sure that a sample is fake.
    """

    def g_loss(self, fake: Tensor) -> Tensor:
        return ops.bce_with_logits(fake, 1.0)


@dataclass(frozen=True)
class LeastSquares:
    """Least squares GAN (Mao et al. 2017): D's raw output is drawn to b = 1 or a = 0, G's to c = 1.

    J_D = E (D(x) - b)^2 / 2 + E (D(G(z)) - a)^2 / 2, J_G = E (D(G(z)) - c)^2 / 2.
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (ops.mean((real - self.b) ** 2) + ops.mean((fake - self.a) ** 2))

    def g_loss(self, fake: Tensor) -> Tensor:
        return 0.5 * ops.mean((fake - self.c) ** 2)

    def belief(self, logits: Tensor) -> Tensor:
        return ops.clip((logits - self.a) * (1.0 / (self.b - self.a)), 0.0, 1.0)


@dataclass(frozen=True)
class Wasserstein:
    """The dual form of the Wasserstein distance (Arjovsky et al. 2017, equation 2).

    J_D = E f(G(z)) - E f(x) and J_G = -E f(G(z)). D's raw output is the value f of a critic. The
    losses have no lower bound, so only a critic whose slope is bounded can play: by clipped weights
    (``gans.wgan``) or by a gradient penalty (``gans.wgan_gp``).
    """

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return ops.mean(fake) - ops.mean(real)

    def g_loss(self, fake: Tensor) -> Tensor:
        return -ops.mean(fake)

    def belief(self, logits: Tensor) -> Tensor:
        """sigmoid(f): it orders samples as f does; as a probability it means nothing."""
        return ops.sigmoid(logits)


class Objective(Enum):
    """The names of the objectives, for settings and command lines.

    Wasserstein is none of them: it cannot be chosen for a discriminator whose slope nothing bounds.
    """

    MINIMAX = "minimax"
    NON_SATURATING = "non-saturating"
    LEAST_SQUARES = "least-squares"


OBJECTIVES: dict[Objective, GameObjective] = {
    Objective.MINIMAX: Minimax(),
    Objective.NON_SATURATING: NonSaturating(),
    Objective.LEAST_SQUARES: LeastSquares(),
}
