"""Arrays on disk: one npz file, written whole or not at all, read without pickle.

A file is written beside its destination, flushed to the disk and renamed over it: after a crash, a
full disk or a kill the old file or the new one is there, never half of one.

Leaves out: compression of checkpoints, sharding, and other frameworks' formats.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy

from .backend import to_numpy
from .nn import Module

__all__ = ["CheckpointError", "load", "load_module", "save", "save_module", "write_atomically"]

try:
    from lzma import LZMAError
except ImportError:  # a Python built without it; zipfile says so where a file needs it
    LZMAError = zlib.error

# What zipfile, zlib, lzma and NumPy raise while they read a file in which any byte may be wrong,
# also the one that names the compression.
DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, SyntaxError,
          MemoryError, OverflowError, zipfile.BadZipFile, zlib.error, LZMAError, struct.error)
META = "__meta__"  # the key under which the metadata lies, as JSON text


class CheckpointError(ValueError):
    """A checkpoint cannot be written, or is missing, damaged or of another kind."""


def write_atomically(path: str | os.PathLike, write: Any) -> None:
    """Call ``write(file)`` on a new binary file and rename it to ``path`` when it is on the disk.

    Raises
    ------
    CheckpointError
        If the disk is full or the folder cannot be written; the old file is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}; "
                              "the previous file, if any, is unchanged") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system lets us: the new file stands either way."""
    if os.name == "posix":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def save(path: str | os.PathLike, arrays: Mapping[str, Any], meta: Any = None,
         *, compress: bool = False) -> None:
    """Write arrays by name, and metadata that JSON can hold, to an npz file.

    Raises
    ------
    CheckpointError
        If an array holds objects, the name ``__meta__`` is used, or the file cannot be written.
    """
    ready = {name: to_numpy(array) for name, array in arrays.items()}
    for name, array in ready.items():
        if name == META:
            raise CheckpointError(f"{path}: the name {name} is reserved")
        if array.dtype.hasobject:
            raise CheckpointError(f"{path}: {name} holds Python objects, which are never saved")
    ready[META] = numpy.array(json.dumps(meta))
    write_atomically(path, lambda file: _write_npz(file, ready, compress))


def _write_npz(file: BinaryIO, arrays: Mapping[str, numpy.ndarray], compress: bool) -> None:
    """As ``numpy.savez``, which has no room for arrays called ``file`` or ``allow_pickle``."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, array, allow_pickle=False)


def load(path: str | os.PathLike) -> tuple[dict[str, numpy.ndarray], Any]:
    """The arrays and the metadata of a file that ``save`` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, cut short, or holds pickled objects.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            file.seek(-12, os.SEEK_END)  # zipfile does not compare the count at the end
            if int.from_bytes(file.read(2), "little") != min(len(names), 0xFFFF):
                raise ValueError("arrays are missing")
            arrays = {name.removesuffix(".npy"): _read_npy(archive, name) for name in names}
        return arrays, json.loads(str(arrays.pop(META))) if META in arrays else None
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except DAMAGE as error:
        raise CheckpointError(f"{path}: damaged, cut short or not an npz file ({error})") from error


def _read_npy(archive: zipfile.ZipFile, name: str) -> numpy.ndarray:
    with archive.open(name) as member:
        array = numpy.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # also makes zipfile compare the checksum
            raise ValueError(f"{name} is longer than its array")
    return array


def save_module(path: str | os.PathLike, module: Module, meta: Any = None) -> None:
    """Write a module's parameters and buffers, by path."""
    save(path, module.state_dict(), meta)


def load_module(path: str | os.PathLike, module: Module) -> Any:
    """Read a module's parameters and buffers from a file; returns the metadata.

    Raises
    ------
    CheckpointError
        If the file is damaged or belongs to another network.
    """
    arrays, meta = load(path)
    try:
        module.load_state_dict(arrays)
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: does not fit {type(module).__name__}: {error}") from error
    return meta
