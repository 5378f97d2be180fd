"""What is done to images before a network sees them: the course's augmentations, and value ranges.

Augmentations take and return one H x W x C array and draw from ``minigrad.random``, each with one
call per image, in the order of the images. Value ranges are functions on whole batches.

Leaves out: everything that resizes (``images.py`` does, while reading) and colour changes.
"""

from __future__ import annotations

import numpy as np

from .. import random
from .errors import DataError

__all__ = ["RandomCrop", "RandomFlipHorizontal", "Transform", "to_tanh_range", "to_uint8"]


class Transform:
    """From one item to one item, as an object with settings (the course's base class)."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__}.__call__")


class RandomFlipHorizontal(Transform):
    """Mirror an H x W x C image left to right with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, img: np.ndarray) -> np.ndarray:
        return np.flip(img, axis=1) if random.generator().random(1)[0] < self.p else img


class RandomCrop(Transform):
    """Shift an H x W x C image by up to ``padding`` pixels each way, filling with zeros.

    That is: pad every side with ``padding`` zeros and cut the old size out at a random place. As
    in the course the first number drawn moves along H, the second along W.
    """

    def __init__(self, padding: int = 3) -> None:
        self.padding = padding

    def __call__(self, img: np.ndarray) -> np.ndarray:
        p = self.padding
        shift_h, shift_w = random.generator().integers(-p, p + 1, size=2)
        padded = np.pad(img, ((p, p), (p, p), (0, 0)))
        h, w, _ = img.shape
        return padded[p + shift_h : p + shift_h + h, p + shift_w : p + shift_w + w]


def to_tanh_range(images: np.ndarray) -> np.ndarray:
    """Images as files hold them, made input for a network: -1 is black, 1 is white.

    Parameters
    ----------
    images : uint8 array, (N, H, W) grey or (N, H, W, C)

    Returns
    -------
    float32 array, (N, C, H, W), contiguous, between -1 and 1 (the range of tanh)

    Raises
    ------
    DataError
        If the array has another element type or number of axes.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise DataError("to_tanh_range: wants uint8 images of shape (N, H, W) or (N, H, W, C), got "
                        f"{images.dtype} of shape {images.shape}")
    x = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    x = np.ascontiguousarray(x, dtype=np.float32)
    x /= 127.5
    x -= 1
    return x


def to_uint8(images: np.ndarray) -> np.ndarray:
    """The way back: a network's output made pictures, rounded and clipped to 0..255.

    ``to_uint8(to_tanh_range(x))`` is ``x`` (one channel comes back as (N, H, W)).

    Parameters
    ----------
    images : float array, (N, C, H, W), -1 black to 1 white; values outside are clipped

    Returns
    -------
    uint8 array, (N, H, W) for one channel, else (N, H, W, C)

    Raises
    ------
    DataError
        If the array has another element type or number of axes, or holds NaN.
    """
    if images.dtype.kind != "f" or images.ndim != 4:
        raise DataError("to_uint8: wants float images of shape (N, C, H, W), got "
                        f"{images.dtype} of shape {images.shape}")
    bad = np.isnan(images).any(axis=(1, 2, 3))
    if bad.any():
        raise DataError(f"to_uint8: image {bad.argmax()} holds NaN, which is no colour "
                        f"({bad.sum()} of {len(images)} images do)")
    x = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    return x[:, 0] if x.shape[1] == 1 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
