"""Two collections of items, unpaired or paired, as translation needs them.

Leaves out: where they come from (``gans.translation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad import random
from minigrad.data import ArrayDataset, DataError

from .evaluation import TrainingData
from .translator import Direction, as_network

__all__ = ["Jittered", "TranslationData", "moved"]


class Jittered(ArrayDataset):
    """Rows of arrays (n, c, h, w), each mirrored and moved at random when it is read.

    The arrays are moved together, so pairs stay pairs. What moves in repeats the border. Points
    (n, d) have no mirror image and stay as they are. Draws from ``minigrad.random``.

    Parameters
    ----------
    arrays : sequence of arrays (n, ...)
    flip : bool
        Mirror half of the rows left to right.
    shift : int
        Move by -shift to shift pixels along both axes.

    Raises
    ------
    DataError
        For a negative shift, or arrays of several lengths.
    """

    def __init__(self, arrays: Sequence[np.ndarray], flip: bool = False, shift: int = 0) -> None:
        super().__init__(arrays)
        if shift < 0:
            raise DataError(f"Jittered: shift must be at least 0 pixels, got {shift}")
        are_images = all(array.ndim == 4 for array in self.arrays)
        self.flip, self.shift = flip and are_images, shift if are_images else 0

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if not isinstance(index, (int, np.integer)):
            rows = [self[int(i)] for i in np.arange(len(self))[index]]
            return tuple(np.stack(column) for column in zip(*rows, strict=True))
        items = super().__getitem__(index)
        g = random.generator()
        if self.flip and g.random(1)[0] < 0.5:
            items = tuple(x[..., ::-1] for x in items)
        if self.shift:
            dy, dx = g.integers(-self.shift, self.shift + 1, size=2).tolist()
            items = tuple(moved(x, dy, dx) for x in items)
        return items


def moved(x: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Images (..., h, w) moved down by dy and right by dx; the border is repeated."""
    h, w = x.shape[-2:]
    rows = np.clip(np.arange(h) - dy, 0, h - 1)
    columns = np.clip(np.arange(w) - dx, 0, w - 1)
    return x[..., rows[:, None], columns]


@dataclass(frozen=True, eq=False)
class TranslationData(TrainingData):
    """Two collections, or pairs.

    Attributes
    ----------
    a, b : array
        Training items: uint8 images (n, h, w) or (n, h, w, 3), or float32 points (n, 2).
    test_a, test_b : array or None
        Items that are not trained on.
    aligned : bool
        Whether row i of ``a`` belongs to row i of ``b``.
    partners : bool
        Whether row i of ``test_a`` belongs to row i of ``test_b``.
    labels_a, labels_b, test_labels : array of int or None
        Classes that a translation shall keep.
    mirrored : bool
        Whether a mirror image is as good as an image.
    keeps_colours : bool
        Whether bright is to stay bright: if so, a negative correlation is an alarm.
    hidden : tuple of slices or None
        The part (rows, columns) of the picture that the input does not show, where the truth is
        measured.
    """

    a: np.ndarray = None
    b: np.ndarray = None
    test_a: np.ndarray | None = None
    test_b: np.ndarray | None = None
    aligned: bool = False
    partners: bool = False
    labels_a: np.ndarray | None = None
    labels_b: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    mirrored: bool = True
    keeps_colours: bool = True
    hidden: tuple[slice, slice] | None = None

    def collections(self, flip: bool = False, shift: int = 0) -> list[ArrayDataset]:
        """A and B as networks see them, each a data set of its own."""
        return [Jittered((as_network(x),), flip, shift) for x in (self.a, self.b)]

    def pairs(self, flip: bool = False, shift: int = 0) -> ArrayDataset:
        """Pairs (a, b) as networks see them, moved together.

        Raises
        ------
        DataError
            If the rows are no pairs.
        """
        if not self.aligned:
            raise DataError(f"{self.name}: its collections are not paired, and pix2pix learns from "
                            f"pairs (gans list shows them); cyclegan does without")
        return Jittered((as_network(self.a), as_network(self.b)), flip, shift)

    @property
    def sources(self) -> dict[Direction, np.ndarray]:
        """What is translated in each direction to look at it: held-back items where there are."""
        return {Direction.A_TO_B: self.a if self.test_a is None else self.test_a,
                Direction.B_TO_A: self.b if self.test_b is None else self.test_b}
