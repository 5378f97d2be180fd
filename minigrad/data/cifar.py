"""CIFAR-10 from its published Python pickles, read without trusting them (course API).

A pickle is a program. The unpickler here hands it stand-ins for the three NumPy names that an array
needs, and refuses every other name, so that no code runs and no NumPy object is built from crafted
internals; what the stand-ins collected is then checked and turned into an array.

Leaves out: CIFAR-100, the label names in ``batches.meta``, downloading, and pickles written by
Python 3 with protocol 5.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .dataset import ArrayDataset
from .errors import DataError, UnsafePickleError

__all__ = ["CIFAR10Dataset", "read_pickle"]

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_DTYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class _Dtype:
    """Stands for ``numpy.dtype`` in a pickle."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.byteorder = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.byteorder = order.decode("latin1") if isinstance(order, bytes) else order

    def dtype(self) -> np.dtype:
        if self.code not in _DTYPES or self.byteorder not in ("|", "<", ">", "="):
            raise UnsafePickleError(f"an array of {self.byteorder}{self.code!s:.40}")
        return np.dtype(self.byteorder + self.code)


class _Array:
    """Stands for an array in a pickle; its name there is ``_reconstruct``."""

    def __init__(self, subtype: Any, shape: Any, code: Any) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        _, shape, dtype, is_fortran, raw = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise UnsafePickleError("an array of objects")
        kind = dtype.dtype()
        if math.prod(shape) * kind.itemsize != len(raw):
            raise ValueError(f"an array of shape {shape} with {len(raw)} bytes")
        flat = np.frombuffer(raw, kind).astype(kind.newbyteorder("="))
        return flat.reshape(shape, order="F" if is_fortran else "C")


class _DataUnpickler(pickle.Unpickler):
    """Admits arrays, bytes, dicts, lists, tuples, numbers and strings."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _ARRAY_MODULES and name == "_reconstruct":
            return _Array
        if (module, name) == ("numpy", "dtype"):
            return _Dtype
        if (module, name) == ("numpy", "ndarray"):
            return "numpy.ndarray"  # only ever an argument of _reconstruct, never called
        raise UnsafePickleError(f"{module}.{name}")


def read_pickle(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """Read a pickled dictionary of plain data; strings of Python 2 come back as bytes.

    Raises
    ------
    UnsafePickleError
        If the pickle names anything but arrays; nothing of it was executed.
    DataError
        If the file is no pickle, is damaged, or holds something else than a dictionary.
    """
    with open(path, "rb") as file:
        try:
            content = _DataUnpickler(file, encoding="bytes").load()
            if isinstance(content, dict):
                return {key: value.array() if isinstance(value, _Array) else value
                        for key, value in content.items()}
        except UnsafePickleError as error:
            raise UnsafePickleError(
                f"{path}: the pickle asks for {error}; wanted numbers, strings, lists, dicts and "
                "arrays of numbers only. Nothing was executed; do not load this file with "
                "Python's pickle") from error
        except Exception as error:  # a damaged pickle can fail in any opcode, in many ways
            raise DataError(f"{path}: not a pickle of CIFAR-10, or damaged "
                            f"({type(error).__name__}: {error})") from error
    raise DataError(f"{path}: wanted a dictionary, found {type(content).__name__}")


class CIFAR10Dataset(ArrayDataset):
    """60,000 colour images of 10 classes; item: (image, label), image (3, 32, 32) from 0 to 1.

    Transforms take and return 32 x 32 x 3, as every transform here does; the item is 3 x 32 x 32.

    Parameters
    ----------
    base_folder : path
        The unpacked ``cifar-10-batches-py`` of https://www.cs.toronto.edu/~kriz/cifar.html.
    train : bool
        Whether to read the 50,000 training images, or the 10,000 test images.
    p : float, optional
        Kept because the course's signature has it; it has no effect, there as here.
    transforms : sequence of callables, optional

    Attributes
    ----------
    X : float32 array (N, 3, 32, 32)
    y : int64 array (N,), 0..9

    Raises
    ------
    DataError
        If a file is damaged or not as published; ``UnsafePickleError`` if it holds code.
    """

    def __init__(
        self,
        base_folder: str | os.PathLike[str],
        train: bool,
        p: float | None = None,
        transforms: Sequence[Callable[[Any], Any]] | None = None,
    ) -> None:
        names = [f"data_batch_{k}" for k in range(1, 6)] if train else ["test_batch"]
        pixels, labels = zip(*(_read_batch(Path(base_folder) / name) for name in names),
                             strict=True)
        images = np.concatenate(pixels).astype(np.float32)
        images /= 255
        super().__init__((images, np.concatenate(labels)), transforms)
        self.p = p
        self.X, self.y = self.arrays

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """One C x H x W image through the transforms, which work on H x W x C."""
        return self.apply_transforms(x.transpose(1, 2, 0)).transpose(2, 0, 1)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """One file: uint8 (N, 3, 32, 32) and int64 (N,)."""
    batch = read_pickle(path)
    missing = [key.decode() for key in (b"data", b"labels") if key not in batch]
    if missing:
        raise DataError(f"{path}: lacks {' and '.join(missing)}; it holds "
                        f"{', '.join(str(key) for key in batch) or 'nothing'}")
    pixels, labels = batch[b"data"], batch[b"labels"]
    if (not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2
            or pixels.shape[1] != 3072):
        found = (f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray)
                 else type(pixels).__name__)
        raise DataError(f"{path}: data: wanted uint8 of shape (N, 3072), found {found}")
    if not isinstance(labels, list) or not all(type(k) is int and 0 <= k < 10 for k in labels):
        raise DataError(f"{path}: labels: wanted a list of integers 0..9")
    if len(labels) != len(pixels):
        raise DataError(f"{path}: {len(pixels)} images but {len(labels)} labels")
    return pixels.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)
