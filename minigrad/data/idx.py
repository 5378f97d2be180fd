"""IDX, the file format of MNIST: read and write, plain or gzip-compressed, any element type.

An IDX file is two zero bytes, a type byte, the number of axes, each axis as a big-endian 32-bit
number, then the elements row by row, big-endian (http://yann.lecun.com/exdb/mnist/).

Leaves out: reading a part of a file; the whole array is in memory.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from .errors import DataError

__all__ = ["read_idx", "unpacked", "write_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def unpacked(path: str | os.PathLike[str]) -> tuple[bytes, bool]:
    """The content of a file, decompressed if it is gzip, and whether it is complete.

    A gzip file that ends early gives what could be decompressed and False.

    Raises
    ------
    DataError
        If the gzip data are damaged.
    """
    packed = Path(path).read_bytes()
    if not packed.startswith(_GZIP_MAGIC):
        return packed, True
    content = []
    while packed.startswith(_GZIP_MAGIC):  # one file may be several gzip members in a row
        member = zlib.decompressobj(wbits=31)  # 31: with gzip header and checksum
        try:
            content.append(member.decompress(packed))
        except zlib.error as error:
            raise DataError(f"{path}: the gzip data are damaged ({error}); "
                            "get the file again") from error
        if not member.eof:
            return b"".join(content), False
        packed = member.unused_data
    return b"".join(content), True


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one IDX file, gzip or plain (told by the content, not by the name).

    Returns
    -------
    numpy.ndarray
        Of the shape and element type that the file states, in the machine's byte order.

    Raises
    ------
    DataError
        If it is no IDX file, is damaged, or holds fewer or more bytes than its header states.
    """
    content, complete = unpacked(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(f"{path}: not an IDX file: it begins with "
                        f"{content[:4].hex(' ') or 'nothing'}, wanted 00 00, a type byte "
                        "(08 09 0b 0c 0d 0e) and the number of axes")
    dtype, ndim = np.dtype(_TYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(f"{path}: the IDX header ends early: expected {start} bytes for {ndim} "
                        f"axes, found {len(content)}")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        cause = "" if complete else " (the gzip stream ends early)"
        raise DataError(f"{path}: expected {expected} bytes for shape {shape} of "
                        f"{dtype.newbyteorder('=')}, found {len(content)}{cause}; "
                        "get the file again")
    if not complete:
        raise DataError(f"{path}: all {expected} bytes are there but the gzip stream ends before "
                        "its checksum; get the file again")
    stored = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return stored.astype(dtype.newbyteorder("="))


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write ``array`` as IDX; gzip-compressed if the name ends in ``.gz``, the same bytes always.

    Raises
    ------
    DataError
        If IDX has no type for the elements (it has uint8, int8, int16, int32, float32, float64).
    """
    array = np.asarray(array)
    big_endian = array.dtype.newbyteorder(">")
    codes = {np.dtype(name): code for code, name in _TYPES.items()}
    if big_endian not in codes:
        raise DataError(f"{path}: IDX cannot hold {array.dtype}, only uint8, int8, int16, int32, "
                        "float32 and float64")
    header = bytes([0, 0, codes[big_endian], array.ndim])
    content = header + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(big_endian).tobytes()
    if os.fspath(path).endswith(".gz"):
        content = gzip.compress(content, mtime=0)  # no time stamp: equal arrays, equal files
    Path(path).write_bytes(content)
