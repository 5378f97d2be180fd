"""The small real image sets that come with minigrad, so that everything trains offline.

``files/PROVENANCE.md`` says where they come from, ``files/LICENSES.txt`` under which terms.

Leaves out: everything that is not in the package; ``sources.open_dataset`` finds that by path.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import DataError
from .npz import read_npz

__all__ = ["EMBEDDED", "LabelledImages", "UnpairedImages", "load"]

EMBEDDED = ("digits", "optdigits", "emoji")
_FILES = {"digits": "digits", "optdigits": "optdigits", "emoji": "emoji32", "emoji32": "emoji32"}


class LabelledImages(NamedTuple):
    """Grey images of digits, white on black; labels 0..9; ``maximum`` is the value of white."""

    name: str
    maximum: int
    train_images: np.ndarray  # uint8 (N, H, W)
    train_labels: np.ndarray  # uint8 (N,)
    test_images: np.ndarray
    test_labels: np.ndarray


class UnpairedImages(NamedTuple):
    """Emoji in two styles, a and b: other emoji in each training set, the same ones in the tests.

    Labels and sublabels index ``categories`` and ``subcategories``; codes are code points.
    """

    name: str
    maximum: int
    a_images: np.ndarray  # uint8 (467, 32, 32, 3)
    b_images: np.ndarray
    test_a_images: np.ndarray  # uint8 (100, 32, 32, 3); row i shows one emoji in both styles
    test_b_images: np.ndarray
    a_labels: np.ndarray  # uint8 (467,)
    b_labels: np.ndarray
    test_labels: np.ndarray
    a_sublabels: np.ndarray
    b_sublabels: np.ndarray
    test_sublabels: np.ndarray
    a_codes: np.ndarray
    b_codes: np.ndarray
    test_codes: np.ndarray
    a_names: np.ndarray
    b_names: np.ndarray
    test_names: np.ndarray
    categories: np.ndarray
    subcategories: np.ndarray


def load(name: str) -> LabelledImages | UnpairedImages:
    """An embedded set: ``digits`` (28 x 28, 8,000 + 1,000 images), ``optdigits`` (8 x 8, 0..16,
    1,397 + 200) or ``emoji`` (32 x 32 x 3, also called ``emoji32``).

    It is read once and kept; its arrays are read-only, so copy one before writing into it.

    Raises
    ------
    DataError
        If there is no such set.
    """
    if name not in _FILES:
        raise DataError(f"no embedded set is called {name!r}; there are {', '.join(EMBEDDED)}")
    return _load(_FILES[name])


@cache
def _load(file: str) -> LabelledImages | UnpairedImages:
    arrays = read_npz(Path(__file__).parent / "files" / f"{file}.npz")
    for array in arrays.values():
        array.setflags(write=False)
    if "a_images" in arrays:
        return UnpairedImages(name=file, maximum=255, **arrays)
    return LabelledImages(name=file, maximum=16 if file == "optdigits" else 255, **arrays)
