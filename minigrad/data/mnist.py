"""MNIST and everything published in its form, such as Fashion-MNIST (course API).

Leaves out: downloading (``download.fetch``) and the copy that minigrad carries
(``embedded.load("digits")``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .dataset import ArrayDataset
from .errors import DataError
from .idx import read_idx

__all__ = ["MNISTDataset"]


class MNISTDataset(ArrayDataset):
    """Images and labels from two IDX files; item: (image, label).

    Images are float32 from 0 to 1. Without transforms an image is flat, (784,), and a batch
    (N, 784), as in the course's ``parse_mnist``. Transforms take (28, 28, 1), and what they return
    is the item.

    Parameters
    ----------
    image_filename, label_filename : path
        Gzip-compressed or plain.
    transforms : sequence of callables, optional
        Each takes and returns one H x W x C array.

    Raises
    ------
    DataError
        If a file is damaged or of another kind, or if they differ in length.
    """

    def __init__(
        self,
        image_filename: str | os.PathLike[str],
        label_filename: str | os.PathLike[str],
        transforms: Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:
        pixels, labels = read_idx(image_filename), read_idx(label_filename)
        for path, array, ndim, wanted in (
            (image_filename, pixels, 3, "images: uint8 of shape (N, H, W)"),
            (label_filename, labels, 1, "labels: uint8 of shape (N,)"),
        ):
            if array.dtype != np.uint8 or array.ndim != ndim:
                raise DataError(f"{path}: wanted {wanted}; found {array.dtype} of shape "
                                f"{array.shape}. Are the two file names in order?")
        if len(pixels) != len(labels):
            raise DataError(f"{image_filename} has {len(pixels)} images and {label_filename} has "
                            f"{len(labels)} labels: they do not belong together")
        self.image_shape = pixels.shape[1:]
        images = pixels.reshape(len(pixels), -1).astype(np.float32)
        images /= 255
        super().__init__((images, labels), transforms)
        self.images, self.labels = self.arrays

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """One flat image as H x W x 1, after the transforms."""
        return self.apply_transforms(x.reshape(*self.image_shape, 1))
