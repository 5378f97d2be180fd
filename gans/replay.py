"""A pool of earlier fakes, which the discriminator sees among the new ones.

Leaves out: pools that store other than the latest fakes by chance.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minigrad import Tensor, random
from minigrad.autograd import constant
from minigrad.backend import Array, array_module, to_numpy

__all__ = ["ReplayPool"]


class ReplayPool:
    """Fakes of earlier steps, mixed into what D sees: the ``pool`` of a ``GANLoss``.

    Until ``capacity`` samples are stored, each new one is stored and shown. From then on each is,
    with probability ``share``, swapped: a stored one, chosen at random, is shown in its place, and
    the new one is stored instead. So D keeps in mind what G used to make, and G gains nothing by
    coming back to it. Source: Shrivastava et al. 2017, section 2.3; CycleGAN stores 50 images.

    Parameters
    ----------
    capacity : int
        How many samples are stored; at least 1.
    share : float
        From 0 (D sees only new samples) to 1.

    Raises
    ------
    ValueError
        For other sizes, or a batch whose samples have another shape than those stored.
    """

    def __init__(self, capacity: int, share: float = 0.5) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ValueError(f"ReplayPool: capacity must be a whole number above 0, got "
                             f"{capacity!r}")
        if not 0 <= share <= 1:
            raise ValueError(f"ReplayPool: share must be between 0 and 1, got {share}")
        self.capacity, self.share = capacity, share
        self.stored: Array | None = None  # (capacity, ...); rows from `filled` on are not in use
        self.filled = 0

    def __call__(self, fake: Tensor) -> Tensor:
        """What D shall see in place of ``fake``: a batch of the same shape, without a graph.

        Sample by sample, in order. ``stored`` keeps copies of single samples, and ``filled`` counts
        them; ``fake`` itself stays as it is. Chance comes from minigrad's generator.
        """
        new = fake.cached_data
        xp = array_module(new)
        if self.stored is None:
            self.stored = xp.zeros((self.capacity, *new.shape[1:]), new.dtype)
        self.stored = xp.asarray(self.stored)  # a state that was loaded is on the host
        if new.shape[1:] != self.stored.shape[1:]:
            raise ValueError(f"ReplayPool: stores samples of shape {self.stored.shape[1:]}, got "
                             f"{new.shape[1:]}")
        shown = new.copy()
        free = min(len(new), self.capacity - self.filled)
        self.stored[self.filled:self.filled + free] = new[:free]
        self.filled += free
        g = random.generator()
        swapped = g.random(len(new) - free) < self.share
        slots = g.integers(self.capacity, size=len(new) - free)
        for i in np.flatnonzero(swapped).tolist():  # images are copied where they lie
            slot = int(slots[i])
            shown[free + i] = self.stored[slot]
            self.stored[slot] = new[free + i]
        return constant(shown)

    def state_dict(self) -> dict[str, Array]:
        """The stored samples, those in use only; none before the first batch."""
        if self.stored is None:
            return {}
        return {"stored": np.array(to_numpy(self.stored[:self.filled]))}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go on from a state that ``state_dict`` gave.

        Raises
        ------
        KeyError
            For unknown names.
        ValueError
            If it holds more than ``capacity`` samples.
        """
        if set(state) - {"stored"}:
            raise KeyError(f"ReplayPool.load_state_dict: wants stored, got {sorted(state)}")
        if not state:
            self.stored, self.filled = None, 0
            return
        stored = np.asarray(state["stored"])
        if len(stored) > self.capacity:
            raise ValueError(f"ReplayPool.load_state_dict: {len(stored)} samples do not fit into "
                             f"a capacity of {self.capacity}")
        self.stored = np.zeros((self.capacity, *stored.shape[1:]), stored.dtype)
        self.stored[:len(stored)] = stored
        self.filled = len(stored)
