"""What a model that translates images offers, and how whole arrays are translated by it.

Leaves out: training, and writing of picture files, which the command line does.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np

from minigrad import Tensor
from minigrad.data import DataError, ImageFolder, read_image, to_tanh_range

__all__ = ["Direction", "Translator", "as_network", "read_pictures", "translated"]

CHUNK = 50  # images of up to 64 pixels, or points, that are translated at once
PIXELS = CHUNK * 64 * 64  # and fewer of larger ones


class Direction(Enum):
    """From collection A to B, or back."""

    A_TO_B = "ab"
    B_TO_A = "ba"

    @property
    def back(self) -> Direction:
        """The other one."""
        return Direction.B_TO_A if self is Direction.A_TO_B else Direction.A_TO_B


class Translator(Protocol):
    """A model whose generators take an item in place of noise.

    Attributes
    ----------
    data_shape : tuple of int
        Of one item.
    directions : tuple of Direction
        The ways in which it goes.
    """

    data_shape: tuple[int, ...]
    directions: tuple[Direction, ...]

    def translate(self, x: Tensor, direction: Direction) -> Tensor:
        """Items (n, ...) of one collection as items of the other, without recording."""


def as_network(items: np.ndarray) -> np.ndarray:
    """uint8 images as float32 (n, c, h, w) in [-1, 1]; points as they are, in float32."""
    return to_tanh_range(items) if items.dtype == np.uint8 else items.astype(np.float32)


def read_pictures(paths: Sequence[Path], *, size: int, grey: bool
                  ) -> tuple[list[str], np.ndarray]:
    """Files, and those in folders, as squares: names without endings, uint8 images (n, h, w[, 3]).

    Of equal names the later ones get a number.

    Raises
    ------
    DataError
        If there is no such file, or one is no picture.
    """
    names: list[str] = []
    images = []
    taken: set[str] = set()
    for path in paths:
        folder = ImageFolder(path, size=size, grey=grey) if path.is_dir() else None
        files = (path,) if folder is None else folder.paths
        if not path.exists():
            raise DataError(f"{path}: no such file")
        for i, file in enumerate(files):
            images.append(read_image(file, size=size, grey=grey) if folder is None
                          else folder.images[i])
            name, number = file.stem, 1
            while name.casefold() in taken:  # some file systems see no difference of case
                number += 1
                name = f"{file.stem}-{number}"
            taken.add(name.casefold())
            names.append(name)
    return names, np.stack(images)


def translated(model: Translator, x: np.ndarray, direction: Direction) -> np.ndarray:
    """Items as networks see them, (n, ...), translated in pieces; on the host.

    Raises
    ------
    FloatingPointError
        If the model made NaN or infinity of them.
    """
    chunk = CHUNK if x.ndim < 4 else min(CHUNK, max(1, PIXELS // (x.shape[2] * x.shape[3])))
    parts = [model.translate(Tensor(x[i:i + chunk], requires_grad=False), direction).numpy()
             for i in range(0, len(x), chunk)]
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise FloatingPointError("translations are not finite")
    return found
