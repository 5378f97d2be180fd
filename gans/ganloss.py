"""The lecture's idea: a GAN as a loss that can be composed with any network.

A ``GANLoss`` is a discriminator, its optimizer and an objective as one unit. It is not quite a loss
function, since it learns while it is used; apart from that it composes like one. Use it whenever
one collection of samples shall look like another.

Leaves out: what makes the samples, and who minimizes the loss.
"""

from __future__ import annotations

from collections.abc import Callable

from minigrad import Tensor, no_grad, ops
from minigrad.nn import Module
from minigrad.optim import Optimizer

from .objectives import GameObjective

__all__ = ["GANLoss"]


class GANLoss:
    """A discriminator, its optimizer and an objective (CMU 10-414/714, "GAN as a module").

    Parameters
    ----------
    D : Module
        Samples (n, ...) to raw outputs; no sigmoid at its end.
    opt_D : Optimizer
        Over D's parameters.
    objective : GameObjective
        See ``gans.objectives``.
    pool : callable, optional
        Takes a batch of fakes and returns the batch that D shall see (a replay buffer).

    Attributes
    ----------
    d_real, d_fake : Tensor
        D's mean belief in real and in fake samples in the last ``d_step``; 0-d.
    """

    def __init__(self, D: Module, opt_D: Optimizer, objective: GameObjective,
                 pool: Callable[[Tensor], Tensor] | None = None) -> None:
        self.D, self.opt_D, self.objective, self.pool = D, opt_D, objective, pool
        self.d_real: Tensor | None = None
        self.d_fake: Tensor | None = None

    def d_step(self, real: Tensor, fake: Tensor) -> Tensor:
        """Teach D to tell real from fake, and return d_loss; nothing flows back into ``fake``."""
        fake = fake.detach()
        if self.pool is not None:
            fake = self.pool(fake)
        real_logits, fake_logits = self.D(real), self.D(fake)
        d_loss = self.objective.d_loss(real_logits, fake_logits)
        self.opt_D.minimize(d_loss)
        with no_grad():
            self.d_real = ops.mean(self.objective.belief(real_logits))
            self.d_fake = ops.mean(self.objective.belief(fake_logits))
        return d_loss.detach()  # what led to it need not be kept until the next step

    def g_loss(self, fake: Tensor) -> Tensor:
        """What the maker of ``fake`` shall minimize; D learns nothing from it."""
        return self.objective.g_loss(self.D(fake))

    def loss(self, fake: Tensor, real: Tensor) -> Tensor:
        """One ``d_step``, then ``g_loss``: the whole unit used like a loss function."""
        self.d_step(real=real, fake=fake)
        return self.g_loss(fake=fake)
