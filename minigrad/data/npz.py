"""NumPy archives (``.npz``), read without ever unpickling.

The embedded sets are packed with LZMA, of the methods that a zip file may name, which makes images
a sixth smaller than the deflate of ``np.savez_compressed``; ``np.load`` reads both.

Leaves out: memory mapping, and reading some of the arrays only.
"""

from __future__ import annotations

import os
import zipfile

import numpy as np

from ..serialize import DAMAGE
from .errors import DataError

__all__ = ["read_npz"]


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every array of a ``.npz`` file, by name, in the order of the file.

    Raises
    ------
    DataError
        If it is no ``.npz`` file, is truncated or damaged, or holds pickled objects.
    """
    arrays = {}
    with open(path, "rb") as file:  # a missing file is FileNotFoundError, before anything else
        if not zipfile.is_zipfile(file):
            file.seek(0)
            raise DataError(_no_archive(path, file.read(6)))
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                for name in archive.files:
                    arrays[name] = _array(archive, name, path)
        except DataError:
            raise
        except DAMAGE as error:
            if "(missing)" in str(error):  # what zipfile says of a Python built without lzma
                raise DataError(f"{path}: this Python cannot unpack it: {error}") from error
            raise DataError(f"{path}: damaged .npz file ({error}); get the file again") from error
    if not arrays:
        raise DataError(f"{path}: holds no arrays")
    return arrays


def _array(archive: np.lib.npyio.NpzFile, name: str, path: str | os.PathLike[str]) -> np.ndarray:
    try:
        array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{path}: array {name!r} holds Python objects. Loading those runs code "
            "from the file, so minigrad never does; save plain numbers instead, for "
            "example np.savez(path, images=np.stack(list_of_images))") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: entry {name!r} is no NumPy array; write the file "
                        "with np.savez or np.savez_compressed")
    return array


def _no_archive(path: str | os.PathLike[str], start: bytes) -> str:
    if not start:
        return f"{path}: the file is empty, wanted a .npz archive"
    if start.startswith(b"PK"):
        return (f"{path}: a .npz archive that is cut short (its table of contents, at the end, is "
                "missing); get the file again")
    if start == b"\x93NUMPY":
        return (f"{path}: one bare array (.npy), wanted an archive: "
                "np.savez(new_path, images=np.load(path))")
    return (f"{path}: not a .npz archive: it begins with {start.hex(' ')}, wanted 50 4b (a zip "
            "file); write it with np.savez(path, images=...)")
