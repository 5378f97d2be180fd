"""Arrays on disk: one npz file, written whole or not at all, read without pickle.

A file is written beside its destination, flushed to the disk and renamed over it: after a crash, a
full disk or a kill the old file or the new one is there, never half of one.

Leaves out: compression of checkpoints, sharding, and other frameworks' formats.
"""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from .nn import Module

__all__ = ["CheckpointError", "load", "load_module", "save", "save_module", "write_atomically"]

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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
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
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system allows opening folders."""
    if os.name == "posix":
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
        If an array holds objects, a name is reserved, or the file cannot be written.
    """
    ready = {name: numpy.asarray(array) for name, array in arrays.items()}
    if META in ready:
        raise CheckpointError(f"{path}: the name {META} is reserved")
    for name, array in ready.items():
        if array.dtype.hasobject:
            raise CheckpointError(f"{path}: {name} holds Python objects, which are never saved")
    ready[META] = numpy.array(json.dumps(meta))
    writer = numpy.savez_compressed if compress else numpy.savez
    write_atomically(path, lambda file: writer(file, **ready))


def load(path: str | os.PathLike) -> tuple[dict[str, numpy.ndarray], Any]:
    """The arrays and the metadata of a file that ``save`` wrote.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, cut short, or holds pickled objects.
    """
    try:
        with numpy.load(path, allow_pickle=False) as file:
            if not isinstance(file, numpy.lib.npyio.NpzFile):
                raise CheckpointError(f"{path}: want an npz archive, got a single array")
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: damaged, cut short or not an npz file ({error})") from error
    meta = json.loads(str(arrays.pop(META))) if META in arrays else None
    return arrays, meta


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
